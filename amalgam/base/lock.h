/*
 * lock.h - a mutex that spins for a moment before it sleeps, and threads with names.
 *
 * Locks live in store/, log and the policy-set handle, and nowhere else (house rule); what each
 * protects is written beside it. Not recursive. Threads: any.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/def.h"
#include <pthread.h>

struct lock {
    int word; /* 0 free, 1 held, 2 held and somebody sleeps; atomic operations only */
};
#define LOCK_INIT                                                                                  \
    {                                                                                              \
        0                                                                                          \
    }
FN void lock_take_slow(struct lock *l);
FN void lock_wake(struct lock *l);
static inline UNUSED void lock_take(struct lock *l)
{
    int free_word = 0;
    if (UNLIKELY(!__atomic_compare_exchange_n(&l->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                              __ATOMIC_RELAXED)))
        lock_take_slow(l);
}
static inline UNUSED bool lock_try(struct lock *l)
{
    int free_word = 0;
    return __atomic_compare_exchange_n(&l->word, &free_word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
static inline UNUSED void lock_drop(struct lock *l)
{
    if (UNLIKELY(__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2))
        lock_wake(l);
}

/* Starts a joinable thread with all signals blocked; ends the process if it cannot. */
FN pthread_t thread_start(const char *name, void *(*fn)(void *), void *arg);
FN void thread_join(pthread_t t);
FN int cpu_count(void); /* processors this process may use, at least 1 */

#endif
