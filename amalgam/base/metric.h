/*
 * metric.h - counters and gauges for /metrics (Prometheus text format 0.0.4).
 *
 * A room declares a static array of struct metric and joins it once at start with metric_join; the
 * hot path adds with metric_add (one relaxed atomic add). A row with labels has one struct per
 * label value; equal names must stand next to each other. Threads: metric_join at start only; the
 * rest any.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };
struct metric {
    const char *name;   /* postern_checks_total; NULL: not in use yet, set last and atomically */
    const char *labels; /* dialect="nginx", or NULL */
    const char *help;
    enum metric_kind kind;
    uint64_t value;              /* touched by the functions below only */
    uint64_t (*read)(void *ctx); /* a gauge that is computed when asked for, or NULL */
    void *ctx;
};

FN void metric_join(struct metric *rows, size_t n);
static inline UNUSED void metric_add(struct metric *m, uint64_t n)
{
    (void)__atomic_fetch_add(&m->value, n, __ATOMIC_RELAXED);
}
static inline UNUSED void metric_set(struct metric *m, uint64_t n)
{
    __atomic_store_n(&m->value, n, __ATOMIC_RELAXED);
}
static inline UNUSED uint64_t metric_value(struct metric *m)
{
    return __atomic_load_n(&m->value, __ATOMIC_RELAXED);
}
/* A row for labels (copied) in a joined array of n nameless rows, claimed when first asked for and kept until
 * the process ends; all have this name and help. NULL: every row has other labels. */
FN struct metric *metric_claim(struct metric *rows, size_t n, const char *name, const char *help,
                               struct slice labels);
FN void metric_write(struct buf *out);

#endif
