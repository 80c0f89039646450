/*
 * timer.c - two kinds of time for one reactor.
 *
 * Doors' timers (net_timer) are exact to the millisecond and few: a binary heap. Idle times and
 * deadlines of connections are many and coarse: a wheel of 1024 slots of 64 ms. A connection stands
 * in one slot; traffic stores a timestamp and never touches the wheel. When the slot comes round
 * the true due time is computed, and the connection is put in again if there is some left (times
 * beyond the wheel's 65 s take several rounds). Called by reactor.c and conn.c. Owns the heap's
 * memory, nothing else. Threads: the reactor's. Tested by tests/unit/net/test_timer.c and
 * test_conn.c.
 */
#include "net/inside.h"

/* ---- heap: heap[i] is due before heap[2i] and heap[2i+1]; index 0 is not used ---- */

static void timer_set(struct reactor *r, size_t at, struct net_timer *t)
{
    r->heap[at] = t;
    t->at = at;
}

static void timer_up(struct reactor *r, size_t at)
{
    struct net_timer *t = r->heap[at];
    for (; at > 1 && r->heap[at / 2]->due_ms > t->due_ms; at /= 2)
        timer_set(r, at, r->heap[at / 2]);
    timer_set(r, at, t);
}

static void timer_down(struct reactor *r, size_t at)
{
    struct net_timer *t = r->heap[at];
    for (size_t child; (child = at * 2) <= r->heap_n; at = child) {
        if (child < r->heap_n && r->heap[child + 1]->due_ms < r->heap[child]->due_ms)
            child++;
        if (r->heap[child]->due_ms >= t->due_ms)
            break;
        timer_set(r, at, r->heap[child]);
    }
    timer_set(r, at, t);
}

void timer_cancel(struct reactor *r, struct net_timer *t)
{
    size_t at = t->at;
    if (at == 0)
        return;
    MUST(at <= r->heap_n && r->heap[at] == t);
    t->at = 0;
    struct net_timer *last = r->heap[r->heap_n--];
    if (last == t)
        return;
    timer_set(r, at, last);
    timer_up(r, at);
    timer_down(r, last->at);
}

void timer_arm(struct reactor *r, struct net_timer *t, int64_t delay_ms)
{
    timer_cancel(r, t);
    if (r->heap_n + 1 >= r->heap_cap) {
        r->heap_cap = MAX((size_t)64, r->heap_cap * 2);
        r->heap = mem_realloc(r->heap, r->heap_cap * sizeof(struct net_timer *));
    }
    t->due_ms = r->mono_ms + MAX(delay_ms, 0);
    timer_set(r, ++r->heap_n, t);
    timer_up(r, r->heap_n);
}

/* At most as many as there were at the start: a callback that arms itself with 0 cannot hang us. */
bool timer_run(struct reactor *r)
{
    bool worked = false;
    for (size_t n = r->heap_n; n > 0 && r->heap_n > 0 && r->heap[1]->due_ms <= r->mono_ms; n--) {
        struct net_timer *t = r->heap[1];
        timer_cancel(r, t);
        t->fire(t, r);
        worked = true;
    }
    return worked;
}

/* ---- wheel ---- */

static int64_t wheel_due_ms(const struct conn *c)
{
    int64_t due = c->deadline_ms > 0 ? c->deadline_ms : INT64_MAX;
    /* A parked request or a reply that waits for the disk is not idleness. */
    if (c->idle_ms > 0)
        due = MIN(due, (c->paused || c->held || c->busy ? c->r->mono_ms : c->active_ms) + c->idle_ms);
    return due;
}

static void wheel_unlink(struct conn *c)
{
    *c->wheel_at = c->wheel_next;
    if (c->wheel_next)
        c->wheel_next->wheel_at = c->wheel_at;
    c->wheel_at = NULL;
    c->wheel_next = NULL;
    c->r->wheel_n--;
}

void wheel_remove(struct conn *c)
{
    if (c->wheel_at)
        wheel_unlink(c);
    c->wake_ms = 0;
}

void wheel_place(struct conn *c)
{
    struct reactor *r = c->r;
    int64_t due = wheel_due_ms(c);
    if (due == INT64_MAX || (c->wheel_at && c->wake_ms <= due))
        return; /* looked at early enough already */
    if (c->wheel_at)
        wheel_unlink(c);
    int64_t tick = due / NET_WHEEL_TICK_MS + 1; /* never before it is due */
    /* Two less than a round: wheel_run may be emptying the slot behind wheel_tick. */
    tick = MIN(MAX(tick, r->wheel_tick), r->wheel_tick + NET_WHEEL_SLOTS - 2);
    struct conn **slot = &r->wheel[tick % NET_WHEEL_SLOTS];
    c->wheel_next = *slot;
    if (*slot)
        (*slot)->wheel_at = &c->wheel_next;
    *slot = c;
    c->wheel_at = slot;
    c->wake_ms = tick * NET_WHEEL_TICK_MS;
    r->wheel_n++;
    r->wheel_next_ms = MIN(r->wheel_next_ms, c->wake_ms);
}

static void wheel_look(struct conn *c)
{
    wheel_remove(c);
    if (c->doomed)
        return;
    if (wheel_due_ms(c) <= c->r->mono_ms)
        conn_expire(c);
    else
        wheel_place(c);
}

static int64_t wheel_first_ms(const struct reactor *r)
{
    if (r->wheel_n == 0)
        return INT64_MAX;
    int64_t tick = r->wheel_tick;
    while (r->wheel[tick % NET_WHEEL_SLOTS] == NULL)
        tick++;
    return tick * NET_WHEEL_TICK_MS;
}

void wheel_run(struct reactor *r)
{
    int64_t now_tick = r->mono_ms / NET_WHEEL_TICK_MS;
    if (r->mono_ms < r->wheel_next_ms) {
        /* Nothing is due: keep up with the time so that new entries fit in. */
        r->wheel_tick = MAX(r->wheel_tick, MIN(now_tick, r->wheel_next_ms / NET_WHEEL_TICK_MS));
        return;
    }
    r->wheel_tick = MAX(r->wheel_tick, now_tick - NET_WHEEL_SLOTS + 1); /* one round sees all */
    while (r->wheel_tick <= now_tick) {
        struct conn **slot = &r->wheel[r->wheel_tick++ % NET_WHEEL_SLOTS];
        while (*slot)
            wheel_look(*slot);
    }
    r->wheel_next_ms = wheel_first_ms(r);
}

int64_t timer_next_ms(const struct reactor *r)
{
    int64_t first = r->heap_n > 0 ? r->heap[1]->due_ms : INT64_MAX;
    return MIN(first, r->wheel_next_ms);
}
