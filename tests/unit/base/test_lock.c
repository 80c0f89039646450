/* test_lock.c - the lock under contention, threads, processors. */
#include "base/clock.h"
#include "base/lock.h"
#include "t.h"

#include <sched.h>
#include <signal.h>

enum { THREADS = 4, ROUNDS = 50000 };

static struct lock test_lock = LOCK_INIT;
static long counter; /* under test_lock */

static void *worker(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock_take(&test_lock);
        long seen = counter;
        if (i % 1000 == 0)
            sched_yield(); /* others find it held and go to sleep */
        counter = seen + 1;
        lock_drop(&test_lock);
    }
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    *(bool *)arg = sigismember(&mask, SIGTERM) == 1;
    return NULL;
}

static void no_update_is_lost(void)
{
    pthread_t t[THREADS];
    bool blocked[THREADS] = {false};
    for (int i = 0; i < THREADS; i++)
        t[i] = thread_start("a-name-longer-than-15", worker, &blocked[i]);
    for (int i = 0; i < THREADS; i++) {
        thread_join(t[i]);
        T(blocked[i]); /* signals are for the main thread */
    }
    T_INT(counter, (long)THREADS * ROUNDS);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    T(sigismember(&mask, SIGTERM) == 0);
}

static void *holder(void *arg)
{
    (void)arg;
    lock_take(&test_lock);
    clock_sleep_ms(30);
    lock_drop(&test_lock);
    return NULL;
}

static void a_sleeper_is_woken(void)
{
    pthread_t t = thread_start("holder", holder, NULL);
    clock_sleep_ms(10);
    lock_take(&test_lock);
    lock_drop(&test_lock);
    T_INT(test_lock.word, 0);
    thread_join(t);
}

static void processors(void)
{
    T(cpu_count() >= 1 && cpu_count() <= 4096);
}

int main(void)
{
    T_RUN(no_update_is_lost);
    T_RUN(a_sleeper_is_woken);
    T_RUN(processors);
    return t_done();
}
