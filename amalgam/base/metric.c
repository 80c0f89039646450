/*
 * metric.c - joins the rooms' metric rows and writes them for /metrics.
 *
 * The rows belong to the rooms (static arrays); this file only keeps a list of them, filled at
 * start by one thread. Adding is inline in metric.h. Reading is by any thread and sees each value
 * as it stands. Tested by tests/unit/base/test_metric.c.
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/metric.h"

enum { METRIC_GROUPS_MAX = 64 };

static struct {
    struct metric *rows;
    size_t n;
} metric_groups[METRIC_GROUPS_MAX];
static size_t metric_groups_n;

void metric_join(struct metric *rows, size_t n)
{
    MUST(metric_groups_n < METRIC_GROUPS_MAX);
    metric_groups[metric_groups_n].rows = rows;
    metric_groups[metric_groups_n].n = n;
    metric_groups_n++;
}

/* Its labels, put there when the row is free; somebody may put others at the same moment. */
static const char *metric_labels_of(struct metric *m, struct slice labels, bool *mine)
{
    const char *is = __atomic_load_n(&m->labels, __ATOMIC_ACQUIRE);
    char *text;

    *mine = false;
    if (is)
        return is;
    text = mem_alloc(labels.n + 1);
    memcpy(text, labels.p, labels.n);
    text[labels.n] = '\0';
    *mine = __atomic_compare_exchange_n(&m->labels, &is, (const char *)text, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE);
    if (*mine)
        return text;
    mem_free(text);
    return is;
}

struct metric *metric_claim(struct metric *rows, size_t n, const char *name, const char *help,
                            struct slice labels)
{
    size_t at = hash_bytes_seed(labels.p, labels.n, 1);

    for (size_t i = 0; i < n; i++, at++) {
        struct metric *m = &rows[at % n];
        bool mine;
        if (!slice_eq(slice_str(metric_labels_of(m, labels, &mine)), labels))
            continue;
        if (mine) {
            m->help = help;
            m->kind = METRIC_COUNTER;
            __atomic_store_n(&m->name, name, __ATOMIC_RELEASE);
        }
        return m;
    }
    return NULL;
}

static void metric_write_head(struct buf *out, const struct metric *m)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
            m->kind == METRIC_COUNTER ? "counter" : "gauge");
}

static void metric_write_row(struct buf *out, struct metric *m)
{
    uint64_t v = m->read ? m->read(m->ctx) : metric_value(m);
    buf_str(out, m->name);
    if (m->labels) {
        buf_byte(out, '{');
        buf_str(out, m->labels);
        buf_byte(out, '}');
    }
    buf_byte(out, ' ');
    buf_u64(out, v);
    buf_byte(out, '\n');
}

void metric_write(struct buf *out)
{
    const char *last = "";
    for (size_t g = 0; g < metric_groups_n; g++)
        for (size_t i = 0; i < metric_groups[g].n; i++) {
            struct metric *m = &metric_groups[g].rows[i];
            if (!__atomic_load_n(&m->name, __ATOMIC_ACQUIRE))
                continue; /* a row that is not in use yet */
            if (strcmp(last, m->name) != 0)
                metric_write_head(out, m);
            metric_write_row(out, m);
            last = m->name;
        }
}
