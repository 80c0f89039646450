/*
 * reason.c - decisions counted by reason: postern_decisions_total{reason="..."}.
 *
 * Reasons are code words of the steps, and what Lua policies give. A row is claimed without a lock when
 * a reason is first seen; REASON_MAX of them, the rest counts as "other". `ok` has the first row, so an
 * allow costs one comparison. Any thread. Tested by tests/unit/policy/test_explain.c.
 */
#include "base/metric.h"
#include "policy/inside.h"
#include <stdio.h>

enum { REASON_MAX = 128, REASON_TEXT_MAX = 64 };
enum { REASON_FREE, REASON_TAKEN, REASON_READY };

static struct reason_row {
    int state; /* atomic; text and n are fixed once it is REASON_READY */
    size_t n;
    char text[REASON_TEXT_MAX + 1], labels[REASON_TEXT_MAX + 16];
} reason_rows[REASON_MAX];
static struct metric reason_metrics[REASON_MAX];

static bool reason_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return s.n > 0 && s.n <= REASON_TEXT_MAX;
}

static void reason_fill(size_t i, struct slice reason)
{
    struct reason_row *r = &reason_rows[i];
    struct metric *m = &reason_metrics[i];

    memcpy(r->text, reason.p, reason.n);
    r->n = reason.n;
    (void)snprintf(r->labels, sizeof r->labels, "reason=\"%.*s\"", SFMT(reason));
    m->labels = r->labels;
    m->help = "Decisions by reason.";
    m->kind = METRIC_COUNTER;
    __atomic_store_n(&m->name, "postern_decisions_total", __ATOMIC_RELEASE);
    __atomic_store_n(&r->state, REASON_READY, __ATOMIC_RELEASE);
}

/* The row of a reason, made when it is new. Two threads may meet the same new reason: who comes second
 * waits for the few instructions that filling takes. */
static size_t reason_find(struct slice reason)
{
    for (size_t i = 0; i < REASON_MAX; i++) {
        struct reason_row *r = &reason_rows[i];
        int state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE), expected = REASON_FREE;
        while (state == REASON_TAKEN)
            state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
        if (state == REASON_READY && slice_eq(slice_of(r->text, r->n), reason))
            return i;
        if (state == REASON_FREE &&
            __atomic_compare_exchange_n(&r->state, &expected, REASON_TAKEN, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            reason_fill(i, reason);
            return i;
        }
        if (state == REASON_FREE) /* somebody took it meanwhile: look at this row again */
            i--;
    }
    return REASON_MAX;
}

void reason_count(struct slice reason)
{
    size_t i = reason_find(reason_word(reason) ? reason : S("other"));

    if (i == REASON_MAX)
        i = reason_find(S("other"));
    if (i < REASON_MAX)
        metric_add(&reason_metrics[i], 1);
}

void reason_metrics_join(void)
{
    (void)reason_find(S("ok"));
    (void)reason_find(S("other"));
    metric_join(reason_metrics, ARRAY_LEN(reason_metrics));
}
