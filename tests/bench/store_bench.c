/*
 * store_bench.c - the store alone, in one process: nanoseconds per operation, bytes per key, worst pause.
 *
 *     store_bench [keys]           engine memory: SET, GET, INCR, DEL, bytes per key with and without TTL
 *     store_bench log DIR [mode]   engine sqlite: SET by batches of 16, and `always` with 50 waiting clients
 *
 * Link as the release is linked (mimalloc first, musl): bytes per key are growth of RSS. One line per
 * figure: name value unit.
 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct store *bench_store;
static uint64_t bench_n = 1000000;
static int64_t bench_now = 1800000000000;

/* Time this thread ran (a pause that another program causes is not ours); of the whole process. */
static int64_t bench_cpu_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t bench_mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static struct slice bench_key(char dst[24], uint64_t i)
{
    snprintf(dst, 24, "key:%012llu", (unsigned long long)i);
    return slice_of(dst, 16);
}

/* Keys are made in blocks before the clock runs: only the store is timed. */
enum { BLOCK = 16 };
static double bench_loop(const char *name, void (*op)(struct slice key, uint64_t i), bool spread)
{
    static char text[BLOCK][24];
    struct slice key[BLOCK];
    int64_t total = 0, worst = 0, cpu = bench_cpu_ns(CLOCK_PROCESS_CPUTIME_ID), own = 0;
    for (uint64_t i = 0; i < bench_n; i += BLOCK) {
        uint64_t at[BLOCK];
        for (uint64_t k = 0; k < BLOCK; k++) {
            at[k] = spread ? bench_mix(i + k) % bench_n : i + k;
            key[k] = bench_key(text[k], at[k]);
        }
        int64_t ran = bench_cpu_ns(CLOCK_THREAD_CPUTIME_ID), t = clock_mono_ns();
        store_enter(bench_store, bench_now);
        for (uint64_t k = 0; k < BLOCK; k++)
            op(key[k], at[k]);
        store_leave(bench_store);
        t = clock_mono_ns() - t;
        ran = bench_cpu_ns(CLOCK_THREAD_CPUTIME_ID) - ran;
        total += t;
        own += ran;
        worst = ran > worst ? ran : worst;
    }
    double ns = (double)total / (double)bench_n;
    double others = (double)(bench_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)bench_n;
    printf("%s_ns %.1f ns (cpu %.1f, process with key making %.1f)\n%s_worst_batch_us %.1f us\n", name, ns,
           (double)own / (double)bench_n, others, name, (double)worst / 1000);
    fflush(stdout);
    return ns;
}

static char bench_value[64] = "0123456789abcdefghijklmnopqrstuvwxyz";
static void op_set(struct slice key, uint64_t i)
{
    memcpy(bench_value, &i, 4);
    ks_set(bench_store, 0, key, slice_of(bench_value, 32), 0);
}
static void op_set_ttl(struct slice key, uint64_t i)
{
    ks_set(bench_store, 0, key, slice_of(bench_value, 32), bench_now + 1000000 + (int64_t)(i % 100000));
}
static uint64_t bench_sum;
static void op_get(struct slice key, uint64_t i)
{
    char tmp[KS_TMP];
    struct entry *e = ks_find(bench_store, 0, key, KS_TOUCH);
    bench_sum += e ? ks_str(e, tmp).n : i;
}
static void op_incr(struct slice key, uint64_t i)
{
    int64_t out;
    (void)i;
    if (ks_incr(bench_store, 1, key, 1, 0, &out) == RC_OK)
        bench_sum += (uint64_t)out;
}
static void op_del(struct slice key, uint64_t i)
{
    (void)i;
    bench_sum += ks_del(bench_store, 0, key);
}

static void bench_bytes(const char *name, void (*op)(struct slice key, uint64_t i))
{
    char text[24];
    uint64_t before = mem_rss();
    struct store_stats s;
    for (uint64_t i = 0; i < bench_n; i++) {
        store_enter(bench_store, bench_now);
        op(bench_key(text, bench_mix(i)), i);
        store_leave(bench_store);
    }
    store_stats(bench_store, &s);
    printf("%s %.1f bytes (accounted %.1f)\n", name, (double)(mem_rss() - before) / (double)bench_n,
           (double)s.used_bytes / (double)bench_n);
    fflush(stdout);
}

static void bench_drop(void)
{
    store_enter(bench_store, bench_now);
    ks_flush(bench_store, -1);
    store_leave(bench_store);
    for (int i = 0; i < 2000; i++)
        store_cron(bench_store, bench_now);
}

static void bench_open(const char *dir, enum store_durability d)
{
    struct err e = {0};
    struct store_opts o = {.engine = dir ? STORE_SQLITE : STORE_MEMORY, .dir = dir, .durability = d};
    if (store_open(&o, &bench_store, &e) != RC_OK) {
        fprintf(stderr, "store_bench: %s\n", e.text);
        exit(3);
    }
}

static void bench_memory(void)
{
    bench_open(NULL, STORE_NO);
    bench_bytes("bytes_per_key_16_32", op_set);
    bench_drop();
    store_close(bench_store);
    bench_open(NULL, STORE_NO);
    bench_loop("set_new", op_set, false);
    bench_loop("set", op_set, true);
    bench_loop("get", op_get, true);
    bench_loop("incr_new", op_incr, false);
    bench_loop("incr", op_incr, true);
    bench_loop("del", op_del, false);
    store_close(bench_store);
}

static void bench_ttl(void)
{
    bench_open(NULL, STORE_NO);
    bench_bytes("bytes_per_key_16_32_ttl", op_set_ttl);
    store_close(bench_store);
}

/* ---- the log ---- */

enum { CLIENTS = 50 };

/* One thread plays 50 clients that each wait for their SET to be durable: an event loop's turns. */
static void bench_always(const char *dir)
{
    bench_open(dir, STORE_ALWAYS);
    uint64_t waits[CLIENTS] = {0}, done = 0;
    char text[24];
    int64_t t = clock_mono_ns();
    for (int turn = 0; done < bench_n / 10; turn++) {
        uint64_t durable = store_durable_lsn(bench_store);
        bool any = false;
        for (int c = 0; c < CLIENTS; c++) {
            if (waits[c] > durable)
                continue;
            store_enter(bench_store, bench_now);
            op_set(bench_key(text, bench_mix(done++) % bench_n), done);
            waits[c] = store_lsn(bench_store);
            store_leave(bench_store);
            any = true;
        }
        if (!any && store_sync(bench_store, durable + 1) != RC_OK)
            exit(3);
    }
    double s = (double)(clock_mono_ns() - t) / 1e9;
    printf("always_50_clients %.0f sets_per_s\n", (double)done / s);
    store_close(bench_store);
}

static void bench_log(const char *dir, const char *mode)
{
    enum store_durability d = strcmp(mode, "no") == 0 ? STORE_NO : STORE_EVERYSEC;
    if (strcmp(mode, "always") == 0) {
        bench_always(dir);
        return;
    }
    bench_open(dir, d);
    bench_loop("log_set_new", op_set, false);
    bench_loop("log_set", op_set, true);
    bench_loop("log_incr", op_incr, true);
    int64_t t = clock_mono_ns();
    store_close(bench_store);
    printf("close_ms %.0f ms\n", (double)(clock_mono_ns() - t) / 1e6);
    t = clock_mono_ns();
    bench_open(dir, d);
    printf("open_ms %.0f ms\n", (double)(clock_mono_ns() - t) / 1e6);
    store_close(bench_store);
}

int main(int argc, char **argv)
{
    hash_seed_init();
    if (argc > 2 && strcmp(argv[1], "log") == 0) {
        bench_log(argv[2], argc > 3 ? argv[3] : "everysec");
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "ttl") == 0) {
        bench_ttl();
        return 0;
    }
    if (argc > 1)
        bench_n = strtoull(argv[1], NULL, 10);
    bench_memory();
    return bench_sum == 42;
}
