/* Timers of one reactor without a thread: order, cancelling, re-arming; by a clock that we turn. */
#include "net/inside.h"
#include "nt.h"

static int64_t now_ns;
static int64_t wall_us(void)
{
    return 1700000000000000 + now_ns / 1000;
}
static int64_t mono_ns(void)
{
    return now_ns;
}

enum { N = 2000 };
static struct net_timer timers[N];
static int64_t fired_at[N];
static int fired_n;
static int64_t last_due;
static bool in_order = true;

static void fire(struct net_timer *t, struct reactor *r)
{
    fired_at[t - timers] = reactor_mono_ms(r);
    in_order = in_order && t->due_ms >= last_due;
    last_due = t->due_ms;
    fired_n++;
}

static void again(struct net_timer *t, struct reactor *r)
{
    fired_n++;
    timer_arm(r, t, 0);
}

static struct reactor *open_at(int64_t ms)
{
    struct reactor *r;
    struct err e;
    now_ns = ms * 1000000;
    clock_set_source(wall_us, mono_ns);
    MUST(reactor_open(0, &r, &e) == RC_OK);
    fired_n = 0;
    last_due = 0;
    memset(timers, 0, sizeof timers);
    memset(fired_at, 0, sizeof fired_at);
    return r;
}

static void step(struct reactor *r, int64_t ms)
{
    now_ns += ms * 1000000;
    r->mono_ms = now_ns / 1000000;
    timer_run(r);
    wheel_run(r);
}

static void timers_fire_in_order_and_in_time(void)
{
    struct reactor *r = open_at(1000000);
    unsigned x = 1;
    int64_t delay[N];
    for (int i = 0; i < N; i++) {
        x = x * 1103515245 + 12345;
        delay[i] = (x >> 8) % 5000;
        timers[i].fire = fire;
        timer_arm(r, &timers[i], delay[i]);
    }
    for (int i = 0; i < N; i += 3)
        timer_cancel(r, &timers[i]);
    for (int i = 1; i < N; i += 3)
        timer_arm(r, &timers[i], delay[i] = 5000 - delay[i]);
    for (int ms = 0; ms <= 5001; ms++) {
        step(r, 1);
        T(timer_next_ms(r) > r->mono_ms);
    }
    T(in_order);
    T(fired_n == N - (N + 2) / 3);
    for (int i = 0; i < N; i++) {
        T(timers[i].at == 0);
        T(fired_at[i] == (i % 3 == 0 ? 0 : 1000000 + MAX(delay[i], 1)));
    }
    T(timer_next_ms(r) == INT64_MAX);
    reactor_close(r);
    clock_set_source(NULL, NULL);
}

static void a_timer_of_zero_does_not_hang_the_turn(void)
{
    struct reactor *r = open_at(5);
    timers[0].fire = again;
    timer_arm(r, &timers[0], -100);
    step(r, 0);
    T(fired_n == 1);
    step(r, 0);
    T(fired_n == 2);
    timer_cancel(r, &timers[0]);
    timer_cancel(r, &timers[0]);
    step(r, 10);
    T(fired_n == 2);
    reactor_close(r);
    clock_set_source(NULL, NULL);
}

/* ---- the wheel: connections that are not sockets ---- */

static void *wheel_open(struct conn *c, void *ctx)
{
    return (void)ctx, c;
}
static size_t wheel_data(struct conn *c, void *s, struct slice in)
{
    return (void)c, (void)s, in.n;
}
static uint64_t timeouts;
static int64_t timeout_at;
static void wheel_timeout(struct conn *c, void *s)
{
    (void)s;
    timeouts++;
    timeout_at = reactor_mono_ms(conn_reactor(c));
}
static void wheel_close(struct conn *c, void *s)
{
    (void)c, (void)s;
}
static const struct conn_proto wheel_proto = {.name = "wheel",
                                              .open = wheel_open,
                                              .data = wheel_data,
                                              .timeout = wheel_timeout,
                                              .close = wheel_close};

static struct conn *wheel_conn(struct reactor *r)
{
    struct net_addr a;
    struct err e;
    static int fd = -1;
    if (fd < 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "pwheel%d", getpid());
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && listen(fd, 100) == 0);
    }
    a = (struct net_addr){.kind = ADDR_UNIX};
    snprintf(a.path + 1, sizeof a.path - 1, "pwheel%d", getpid());
    struct conn *c = conn_connect(r, &a, &wheel_proto, NULL, &e);
    MUST(c != NULL);
    c->connecting = false;
    return c;
}

static void expires_near(int64_t idle_ms, int64_t step_ms)
{
    struct reactor *r = open_at(777777);
    struct conn *c = wheel_conn(r);
    int64_t start = r->mono_ms;
    timeouts = 0;
    conn_set_idle(c, idle_ms);
    while (timeouts == 0 && r->mono_ms < start + idle_ms + 10000) {
        T(timer_next_ms(r) < INT64_MAX);
        step(r, step_ms);
    }
    T(timeouts == 1);
    T(timeout_at - start >= idle_ms);
    T(timeout_at - start <= idle_ms + 2 * NET_WHEEL_TICK_MS + step_ms);
    reactor_close(r);
    clock_set_source(NULL, NULL);
}

static void idle_times_are_met_within_two_ticks(void)
{
    static const int64_t idle[] = {1,     63,    64,    65,     1000,   10000,
                                   65000, 65536, 66000, 300000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        expires_near(idle[i], 1 + (int64_t)i);
        expires_near(idle[i], 64);
    }
    expires_near(10000, 70000); /* the loop was asleep for longer than a round */
    expires_near(300000, 200000);
}

static void traffic_postpones_and_deadlines_come_first(void)
{
    struct reactor *r = open_at(50000);
    struct conn *c = wheel_conn(r);
    timeouts = 0;
    conn_set_idle(c, 1000);
    for (int i = 0; i < 100; i++) {
        step(r, 500);
        c->active_ms = r->mono_ms;
    }
    T(timeouts == 0);
    conn_deadline(c, 200);
    conn_deadline(c, 0); /* taken back */
    step(r, 600);
    T(timeouts == 0);
    c->active_ms = r->mono_ms;
    conn_deadline(c, 300);
    step(r, 250);
    T(timeouts == 0);
    step(r, 200);
    T(timeouts == 1);
    reactor_close(r);
    clock_set_source(NULL, NULL);
}

static void parked_and_held_connections_are_not_idle(void)
{
    struct reactor *r = open_at(50000);
    struct conn *c = wheel_conn(r);
    timeouts = 0;
    conn_set_idle(c, 1000);
    conn_pause(c);
    for (int i = 0; i < 100; i++)
        step(r, 100);
    T(timeouts == 0);
    conn_resume(c);
    conn_hold(c);
    for (int i = 0; i < 100; i++)
        step(r, 100);
    T(timeouts == 0);
    conn_release(c);
    for (int i = 0; i < 13; i++)
        step(r, 100);
    T(timeouts == 1);
    reactor_close(r);
    clock_set_source(NULL, NULL);
}

int main(void)
{
    T_RUN(timers_fire_in_order_and_in_time);
    T_RUN(a_timer_of_zero_does_not_hang_the_turn);
    T_RUN(idle_times_are_met_within_two_ticks);
    T_RUN(traffic_postpones_and_deadlines_come_first);
    T_RUN(parked_and_held_connections_are_not_idle);
    return t_done();
}
