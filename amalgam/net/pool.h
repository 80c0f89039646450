/*
 * pool.h - a few threads for what must block: argon2, file reads, DNS, calls to other servers.
 *
 * work runs in a pool thread, then done runs in the reactor that asked. The job is embedded in the
 * caller's struct and untouched in between. The queue is bounded: RC_BUSY when it is full (the
 * caller answers 503 or denies). Threads: pool_submit from any reactor.
 */
#ifndef NET_POOL_H
#define NET_POOL_H

#include "net/reactor.h"

struct pool;
struct pool_job {
    void (*work)(struct pool_job *j);
    void (*done)(struct pool_job *j, struct reactor *r);
    struct net_task task;
    struct reactor *home;
    struct pool_job *next;
};
FN struct pool *pool_open(int threads, size_t queue_max);
FN enum rc pool_submit(struct pool *p, struct reactor *home, struct pool_job *j) MUST_CHECK;
/* Runs what is queued and ends the threads; from then on pool_submit says RC_BUSY. */
FN void pool_stop(struct pool *p);
FN void pool_close(struct pool *p); /* pool_stop, if that was not done, and frees it */

#endif
