/* test_metric.c - the Prometheus text. */
#include "base/metric.h"
#include "t.h"

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

int main(void)
{
    T_RUN(text);
    return t_done();
}
