/*
 * pool.c - threads for what must block.
 *
 * Called by every door through pool_submit; the answer comes back as a task of the reactor that
 * asked. A reactor never waits here: the lock covers a few pointer moves, and a full queue is
 * RC_BUSY at once.
 * Owns: its threads and the order of the queue, never a job.
 * Threads: any. The mutex protects head, tail, waiting and stopping; it is a pthread one since idle
 * threads sleep on its condition.
 * Tested by tests/unit/net/test_pool.c (under TSan too).
 */
#include "net/pool.h"

#include "base/lock.h"
#include "base/mem.h"

#include <stdio.h>

enum { POOL_THREADS_MAX = 64 };

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t some; /* a job waits, or the end has come */
    struct pool_job *head, *tail;
    size_t waiting, queue_max;
    bool stopping;
    int threads_n;
    pthread_t threads[POOL_THREADS_MAX];
};

static void pool_deliver(struct net_task *t, struct reactor *r)
{
    struct pool_job *j = CONTAINER_OF(t, struct pool_job, task);
    j->done(j, r);
}

/* NULL when the pool stops and nothing is left to do. */
static struct pool_job *pool_next(struct pool *p)
{
    pthread_mutex_lock(&p->mutex);
    while (p->head == NULL && !p->stopping)
        pthread_cond_wait(&p->some, &p->mutex);
    struct pool_job *j = p->head;
    if (j) {
        p->head = j->next;
        if (p->head == NULL)
            p->tail = NULL;
        p->waiting--;
    }
    pthread_mutex_unlock(&p->mutex);
    return j;
}

static void *pool_main(void *arg)
{
    struct pool *p = arg;
    struct pool_job *j;
    while ((j = pool_next(p)) != NULL) {
        j->work(j);
        j->task.run = pool_deliver;
        reactor_post(j->home, &j->task);
    }
    return NULL;
}

struct pool *pool_open(int threads, size_t queue_max)
{
    struct pool *p = mem_zalloc(sizeof *p);
    MUST(pthread_mutex_init(&p->mutex, NULL) == 0);
    MUST(pthread_cond_init(&p->some, NULL) == 0);
    p->queue_max = queue_max;
    p->threads_n = MIN(MAX(threads, 1), (int)POOL_THREADS_MAX);
    for (int i = 0; i < p->threads_n; i++) {
        char name[24];
        snprintf(name, sizeof name, "pool-%d", i);
        p->threads[i] = thread_start(name, pool_main, p);
    }
    return p;
}

enum rc pool_submit(struct pool *p, struct reactor *home, struct pool_job *j)
{
    j->home = home;
    j->next = NULL;
    pthread_mutex_lock(&p->mutex);
    bool taken = !p->stopping && p->waiting < p->queue_max;
    if (taken) {
        if (p->tail)
            p->tail->next = j;
        else
            p->head = j;
        p->tail = j;
        p->waiting++;
        pthread_cond_signal(&p->some);
    }
    pthread_mutex_unlock(&p->mutex);
    return taken ? RC_OK : RC_BUSY;
}

void pool_stop(struct pool *p)
{
    if (p == NULL || p->stopping)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->threads_n; i++)
        thread_join(p->threads[i]);
}

void pool_close(struct pool *p)
{
    if (p == NULL)
        return;
    pool_stop(p);
    pthread_cond_destroy(&p->some);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p);
}
