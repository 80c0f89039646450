/* test_metric.c - the Prometheus text; rows that threads claim. BUILDS: tsan */
#include "base/metric.h"
#include "t.h"

#include <pthread.h>
#include <stdio.h>

static uint64_t read_gauge(void *ctx)
{
    return *(uint64_t *)ctx;
}

static void text(void)
{
    static uint64_t outside = 42;
    static struct metric rows[] = {
        {"postern_a_total", "kind=\"x\"", "Things.", METRIC_COUNTER, 0, NULL, NULL},
        {"postern_a_total", "kind=\"y\"", "Things.", METRIC_COUNTER, 0, NULL, NULL},
        {"postern_b", NULL, "Now.", METRIC_GAUGE, 0, NULL, NULL},
        {"postern_c", NULL, "Computed.", METRIC_GAUGE, 0, read_gauge, &outside},
    };
    metric_join(rows, ARRAY_LEN(rows));
    metric_add(&rows[0], 2);
    metric_add(&rows[0], 3);
    metric_set(&rows[2], 7);
    T_INT(metric_value(&rows[0]), 5);
    struct buf b;
    buf_init(&b, 0);
    metric_write(&b);
    T_TEXT(buf_all(&b), "# HELP postern_a_total Things.\n# TYPE postern_a_total counter\n"
                        "postern_a_total{kind=\"x\"} 5\npostern_a_total{kind=\"y\"} 0\n"
                        "# HELP postern_b Now.\n# TYPE postern_b gauge\npostern_b 7\n"
                        "# HELP postern_c Computed.\n# TYPE postern_c gauge\npostern_c 42\n");
    buf_free(&b);
}

/* ---- rows that are claimed while others count and somebody reads: also run under the thread sanitizer ---- */

enum { CLAIM_THREADS = 4, CLAIM_LABELS = 24, CLAIM_ROUNDS = 400, CLAIM_ROWS = 32 };
static struct metric claimed[CLAIM_ROWS];
static int claim_ready;

static void *claim(void *arg)
{
    char labels[32];
    (void)arg;
    __atomic_add_fetch(&claim_ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&claim_ready, __ATOMIC_SEQ_CST) <= CLAIM_THREADS)
        ;
    for (int i = 0; i < CLAIM_ROUNDS * CLAIM_LABELS; i++) {
        snprintf(labels, sizeof labels, "policy=\"p%d\"", i % CLAIM_LABELS);
        struct metric *m = metric_claim(claimed, CLAIM_ROWS, "postern_claimed_total", "Claimed.", slice_str(labels));
        metric_add(m, 1);
    }
    return NULL;
}

static void *read_all(void *arg)
{
    struct buf b;
    (void)arg;
    buf_init(&b, 0);
    __atomic_add_fetch(&claim_ready, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CLAIM_ROUNDS; i++) {
        buf_clear(&b);
        metric_write(&b);
    }
    buf_free(&b);
    return NULL;
}

static void claims_of_threads(void)
{
    pthread_t t[CLAIM_THREADS + 1];
    metric_join(claimed, CLAIM_ROWS);
    for (int i = 0; i <= CLAIM_THREADS; i++)
        MUST(pthread_create(&t[i], NULL, i ? claim : read_all, NULL) == 0);
    for (int i = 0; i <= CLAIM_THREADS; i++)
        MUST(pthread_join(t[i], NULL) == 0);
    int rows = 0;
    for (int i = 0; i < CLAIM_ROWS; i++) { /* each label has one row, which every thread counted in */
        rows += claimed[i].name != NULL;
        T(!claimed[i].name || metric_value(&claimed[i]) == CLAIM_THREADS * CLAIM_ROUNDS);
    }
    T_INT(rows, CLAIM_LABELS);
}

int main(void)
{
    T_RUN(text);
    T_RUN(claims_of_threads);
    return t_done();
}
