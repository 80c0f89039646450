/*
 * lock.c - the slow half of struct lock (futex), threads, and the number of processors.
 *
 * A lock in this house is held for well under a microsecond, so a waiter spins a little before it
 * asks the kernel. The three states of the word are Drepper's "mutex2": 0 free, 1 held, 2 held and
 * perhaps waited for. Any thread. Tested by tests/unit/base/test_lock.c.
 */
#include "base/lock.h"

#include "base/slice.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOCK_SPINS = 100, LOCK_STACK_BYTES = 2 << 20 };
/* linux/futex.h is the kernel's header: musl's tool chain does not have it. */
enum { LOCK_FUTEX_WAIT = 0 | 128, LOCK_FUTEX_WAKE = 1 | 128 }; /* 128: private to the process */

static void lock_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void lock_take_slow(struct lock *l)
{
    int *word = &l->word;
    for (int i = 0; i < LOCK_SPINS; i++) {
        int free_word = 0;
        if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
        lock_pause();
    }
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, word, LOCK_FUTEX_WAIT, 2, NULL, NULL, 0);
}

void lock_wake(struct lock *l)
{
    syscall(SYS_futex, &l->word, LOCK_FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* musl's default stack is 128 KiB: too little for a parser inside a policy inside a library. */
pthread_t thread_start(const char *name, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t t;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, LOCK_STACK_BYTES);
    int failed = pthread_create(&t, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        perror("postern: cannot start a thread");
        exit(3); /* could not run */
    }
    char cut[16];
    snprintf(cut, sizeof cut, "%.15s", name);
    pthread_setname_np(t, cut);
    return t;
}

void thread_join(pthread_t t)
{
    MUST(pthread_join(t, NULL) == 0);
}

/* A container's share of processors (cgroup v2), rounded up; 0 when there is no such bound. */
static int lock_cpu_cgroup(void)
{
    uint64_t quota, period;
    char line[64];
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    struct slice second, first = slice_cut(slice_str(read ? line : ""), ' ', &second);
    if (second.n && second.p[second.n - 1] == '\n')
        second.n--;
    if (!slice_u64(first, &quota) || !slice_u64(second, &period) || period == 0 || quota == 0)
        return 0;
    return (int)MIN((quota + period - 1) / period, 1024ULL);
}

int cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int share = lock_cpu_cgroup();
    if (share > 0)
        n = MIN(n, share);
    return MAX(n, 1);
}
