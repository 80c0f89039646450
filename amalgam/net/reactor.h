/*
 * reactor.h - one epoll loop per thread: connections, timers, messages from other threads.
 *
 * A reactor belongs to one thread; everything reached from its callbacks runs there without locks.
 * Other threads talk to it through reactor_post only. reactor_now_ms is the wall clock and
 * reactor_mono_ms the monotonic one, both read once per turn.
 * A turn: wait, read and dispatch every ready connection, run due timers and posted tasks, run the
 * turn hooks (resp uses one to wait for durability), flush every connection that has output.
 * Errors: reactor_open fails with RC_IO. Ownership: the caller closes after reactor_run returned.
 */
#ifndef NET_REACTOR_H
#define NET_REACTOR_H

#include "base/clock.h"
#include "base/err.h"

struct reactor;

FN enum rc reactor_open(int index, struct reactor **out, struct err *e) MUST_CHECK;
FN void reactor_run(struct reactor *r);  /* until reactor_stop */
FN void reactor_stop(struct reactor *r); /* any thread; open output is flushed for at most 1.5 s */
FN void reactor_close(struct reactor *r);
FN int reactor_index(const struct reactor *r) UNUSED;
FN int64_t reactor_now_ms(const struct reactor *r);
FN int64_t reactor_mono_ms(const struct reactor *r);
FN void reactor_set_ctx(struct reactor *r, int slot,
                        void *ctx); /* slots 0..7: per-thread state of doors */
FN void *reactor_ctx(const struct reactor *r, int slot);
enum { REACTOR_CTX_CHECK, REACTOR_CTX_RESP, REACTOR_CTX_PORTAL, REACTOR_CTX_MAIN };

/* A task is embedded in what it carries; it is not touched between post and run. Any thread. */
struct net_task {
    void (*run)(struct net_task *t, struct reactor *r);
    struct net_task *next;
};
FN void reactor_post(struct reactor *r, struct net_task *t);

/* Timers: embedded, one-shot, millisecond grain; periodic ones are armed again by their callback.
 */
struct net_timer {
    void (*fire)(struct net_timer *t, struct reactor *r);
    int64_t due_ms; /* monotonic */
    size_t at;      /* place in the heap; 0 when not armed */
};
FN void timer_arm(struct reactor *r, struct net_timer *t, int64_t delay_ms);
FN void timer_cancel(struct reactor *r, struct net_timer *t);

/* Called at the end of every turn that dispatched something, before the flush. At most 4. */
FN void reactor_on_turn(struct reactor *r, void (*fn)(void *ctx, struct reactor *r),
                        void *ctx) UNUSED;

#endif
