/*
 * store_lock.c - one lock for the keyspace, or shards? Millions of operations per second of 1 and 2 threads
 * that do nothing else, against (a) one store entered once per batch of 1, 16, 64 commands and (b) 16 stores,
 * each key in its own, entered once per command, as shards would have to.
 *
 * This is the worst case for one lock: a real thread spends most of its time outside, in system calls
 * and parsing (`work` adds 2 us of that per command). The conclusion is in docs/house-store.md.
 */
#include "base/clock.h"
#include "base/lock.h"
#include "base/map.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SHARDS = 16, KEYS = 200000, SECONDS_MS = 1500, THREADS_MAX = 4 };
static struct store *lock_store[SHARDS];
static bool lock_stop;

struct lock_run {
    int shards, batch, work_ns;
    uint64_t seed, done;
};

static void lock_work(int ns)
{
    if (ns == 0)
        return;
    int64_t until = clock_mono_ns() + ns;
    while (clock_mono_ns() < until)
        ;
}

static void *lock_thread(void *arg)
{
    struct lock_run *r = arg;
    uint64_t x = r->seed, n = 0;
    char key[64][24];
    struct slice name[64];
    while (!__atomic_load_n(&lock_stop, __ATOMIC_RELAXED)) {
        for (int i = 0; i < r->batch; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            name[i] = slice_of(key[i], (size_t)snprintf(key[i], 24, "key:%012u", (unsigned)(x % KEYS)));
            lock_work(r->work_ns);
        }
        struct store *st = lock_store[0];
        if (r->shards == 1)
            store_enter(st, 1);
        for (int i = 0; i < r->batch; i++) {
            if (r->shards > 1) {
                st = lock_store[hash_bytes(name[i].p, name[i].n) >> 20 & (SHARDS - 1)];
                store_enter(st, 1);
            }
            if (i % 2)
                (void)ks_find(st, 0, name[i], KS_TOUCH);
            else
                ks_set(st, 0, name[i], name[i], 0);
            if (r->shards > 1)
                store_leave(st);
        }
        if (r->shards == 1)
            store_leave(st);
        n += (uint64_t)r->batch;
    }
    r->done = n;
    return NULL;
}

static int64_t lock_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Millions of operations per second; *cpu_ns: processor time per operation, steadier on a busy machine. */
static double lock_measure(int threads, int shards, int batch, int work_ns, double *cpu_ns)
{
    int64_t cpu = lock_cpu_ns();
    struct lock_run run[THREADS_MAX];
    pthread_t t[THREADS_MAX];
    __atomic_store_n(&lock_stop, false, __ATOMIC_RELAXED);
    for (int i = 0; i < threads; i++) {
        run[i] = (struct lock_run){shards, batch, work_ns, (uint64_t)i * 7919 + 1, 0};
        t[i] = thread_start("bench", lock_thread, &run[i]);
    }
    clock_sleep_ms(SECONDS_MS);
    __atomic_store_n(&lock_stop, true, __ATOMIC_RELAXED);
    uint64_t n = 0;
    for (int i = 0; i < threads; i++) {
        thread_join(t[i]);
        n += run[i].done;
    }
    *cpu_ns = (double)(lock_cpu_ns() - cpu) / (double)n;
    return (double)n / SECONDS_MS / 1000;
}

int main(void)
{
    static const struct { int shards, batch; } ways[] = {{1, 1}, {1, 16}, {1, 64}, {SHARDS, 1}};
    struct err e;
    hash_seed_init();
    for (int i = 0; i < SHARDS; i++)
        if (store_open(&(struct store_opts){.engine = STORE_MEMORY}, &lock_store[i], &e) != RC_OK)
            return 3;
    for (int work = 0; work <= 2000; work += 2000)
        for (size_t i = 0; i < ARRAY_LEN(ways); i++)
            for (int threads = 1; threads <= 2; threads++) {
                double cpu, mops = lock_measure(threads, ways[i].shards, ways[i].batch, work, &cpu);
                printf("work_ns %d shards %d batch %d threads %d: %.2f Mops/s, %.0f cpu ns/op\n", work,
                       ways[i].shards, ways[i].batch, threads, mops, cpu);
            }
    return 0;
}
