/* The loop: messages from many threads arrive once each, in each sender's order, and wake a
 * sleeper; stop works from anywhere; hooks run when something was done. Also run under TSan. */
#include "nt.h"

#include <sys/eventfd.h>

enum { SENDERS = 4, EACH = 20000 };

struct note {
    struct net_task task;
    int sender, number;
};
static struct note notes[SENDERS][EACH];
static int next_of[SENDERS];
static uint64_t ran, misordered;

static void note_run(struct net_task *t, struct reactor *r)
{
    struct note *n = CONTAINER_OF(t, struct note, task);
    (void)r;
    if (next_of[n->sender]++ != n->number)
        misordered++;
    nt_add(&ran);
}

static struct rig rig;

static void *sender(void *arg)
{
    int me = *(int *)arg;
    for (int i = 0; i < EACH; i++) {
        notes[me][i] = (struct note){.task.run = note_run, .sender = me, .number = i};
        reactor_post(rig.r[0], &notes[me][i].task);
        if (i % 1000 == 0)
            usleep(200); /* let it fall asleep now and then */
    }
    return NULL;
}

static void messages_of_four_threads_all_arrive_in_order(void)
{
    pthread_t t[SENDERS];
    int me[SENDERS];
    rig_start(&rig, 1, rig_opts());
    ran = misordered = 0;
    for (int i = 0; i < SENDERS; i++) {
        me[i] = i;
        t[i] = thread_start("sender", sender, &me[i]);
    }
    for (int i = 0; i < SENDERS; i++)
        thread_join(t[i]);
    NT_UNTIL(nt_get(&ran) == SENDERS * EACH);
    rig_stop(&rig);
    T(misordered == 0);
}

static void a_message_wakes_a_sleeper_every_time(void)
{
    static struct note one;
    rig_start(&rig, 1, rig_opts());
    bool woken = true;
    for (int i = 0; i < 300 && woken; i++) {
        uint64_t before = nt_get(&ran);
        one = (struct note){.task.run = note_run};
        reactor_post(rig.r[0], &one.task);
        for (int64_t end = nt_ms() + NT_WAIT_MS; nt_get(&ran) == before && nt_ms() < end;)
            usleep(50);
        woken = nt_get(&ran) == before + 1;
        T(woken);
    }
    rig_stop(&rig);
}

static uint64_t ping_left;
static void ping_run(struct net_task *t, struct reactor *r)
{
    uint64_t left = nt_get(&ping_left);
    if (left == 0)
        return;
    __atomic_store_n(&ping_left, left - 1, __ATOMIC_SEQ_CST);
    reactor_post(rig.r[1 - reactor_index(r)], t); /* may be posted again from its own run */
}

static void two_reactors_play_ping_pong(void)
{
    static struct net_task t = {.run = ping_run};
    rig_start(&rig, 2, rig_opts());
    ping_left = 20000;
    reactor_post(rig.r[0], &t);
    NT_UNTIL(nt_get(&ping_left) == 0);
    rig_stop(&rig);
}

static void stop_before_run_and_twice(void)
{
    struct reactor *r;
    struct err e;
    T(reactor_open(7, &r, &e) == RC_OK);
    T(reactor_index(r) == 7);
    reactor_stop(r);
    reactor_stop(r);
    reactor_run(r); /* comes back at once */
    reactor_close(r);
}

static void tasks_after_the_end_are_still_run(void)
{
    static struct note late;
    rig_start(&rig, 1, rig_opts());
    rig_join(&rig);
    uint64_t before = ran;
    late = (struct note){.task.run = note_run};
    reactor_post(rig.r[0], &late.task);
    rig_stop(&rig);
    T(ran == before + 1);
}

static void hooks_run_after_work_and_not_without(void)
{
    rig_start(&rig, 1, rig_opts());
    T(nt_quiet(&rig.turns, 50, 1));
    uint64_t idle = nt_get(&rig.turns);
    int fd = nt_dial(&rig);
    T(nt_say(fd, "echo a\n") && nt_hear(fd, "a\n"));
    NT_UNTIL(nt_get(&rig.turns) > idle);
    T(nt_get(&rig.turns) <= idle + 4); /* accept and data, not a turn more per step */
    T(nt_quiet(&rig.turns, 100, 1)); /* asleep */
    close(fd);
    NT_UNTIL(nt_get(&rig.closed) == 1);
    rig_stop(&rig);
}

static void contexts_and_clocks(void)
{
    struct reactor *r;
    struct err e;
    int x;
    T(reactor_open(0, &r, &e) == RC_OK);
    T(reactor_ctx(r, REACTOR_CTX_MAIN) == NULL);
    reactor_set_ctx(r, REACTOR_CTX_MAIN, &x);
    T(reactor_ctx(r, REACTOR_CTX_MAIN) == &x);
    int64_t off = reactor_now_ms(r) - clock_wall_ms();
    T(off <= 0 && off > -1000000);
    off = reactor_mono_ms(r) - clock_mono_ms();
    T(off <= 0 && off > -1000000);
    reactor_close(r);
}

static void no_descriptors_is_an_error_and_not_a_crash(void)
{
    struct rlimit old, none;
    struct reactor *r;
    struct err e = {0};
    getrlimit(RLIMIT_NOFILE, &old);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    enum rc rc = reactor_open(0, &r, &e);
    setrlimit(RLIMIT_NOFILE, &old);
    T(rc == RC_IO && r == NULL && e.text[0] != '\0');
}

/* ---- connections of other connections ---- */

static struct conn *mourner;

static void *pair_open(struct conn *c, void *ctx)
{
    (void)ctx;
    if (mourner == NULL)
        mourner = c;
    return c;
}

static size_t pair_data(struct conn *c, void *state, struct slice in)
{
    static const char block[4096];
    (void)state;
    while (!buf_over(conn_out(c))) /* more than may wait: the flush ends it */
        buf_put(conn_out(c), block, sizeof block);
    return in.n;
}

static void pair_close(struct conn *c, void *state)
{
    (void)state;
    if (c != mourner)
        buf_lit(conn_out(mourner), "gone\n");
}

/* Nothing else happens in that reactor: no event, no timer. */
static void a_last_word_to_another_connection_is_sent_at_once(void)
{
    static const struct conn_proto pair = {
        .name = "pair", .open = pair_open, .data = pair_data, .close = pair_close};
    struct rig g;
    struct listener_opts o = rig_opts();
    o.proto = &pair;
    o.out_bytes_max = 64 * 1024;
    mourner = NULL;
    rig_start(&g, 1, o);
    int first = nt_dial(&g);
    NT_UNTIL(listener_conns(g.l) == 1);
    int second = nt_dial(&g);
    T(nt_say(second, "x") && nt_hear(first, "gone\n"));
    close(second);
    NT_UNTIL(listener_conns(g.l) == 1);
    close(first);
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
}

/* The second reactor has ended already when the first one hands a connection over. */
static void a_connection_handed_to_an_ended_reactor_is_closed(void)
{
    char dir[] = "/tmp/netXXXXXX";
    for (int listener_first = 0; listener_first < 2; listener_first++) {
        struct reactor *r[2];
        struct rig g = {.n = 2};
        struct listener_opts o = rig_opts();
        struct err e;
        struct listener *l;
        int fd[4];
        if (!listener_first)
            T(mkdtemp(dir) != NULL);
        o.addr = (struct net_addr){.kind = ADDR_UNIX};
        snprintf(o.addr.path, sizeof o.addr.path, "%s/s", dir);
        o.ctx = &g;
        T(reactor_open(0, &r[0], &e) == RC_OK && reactor_open(1, &r[1], &e) == RC_OK);
        T(listener_open(r, 2, &o, &l, &e) == RC_OK);
        for (int i = 0; i < 4; i++)
            fd[i] = nt_socket(o.addr.path, 0);
        reactor_stop(r[1]);
        reactor_run(r[1]);
        listener_stop(l);
        reactor_stop(r[0]);
        reactor_run(r[0]);
        if (listener_first)
            listener_close(l);
        reactor_close(r[1]);
        reactor_close(r[0]);
        if (!listener_first) {
            T_INT(listener_conns(l), 0);
            listener_close(l);
        }
        T(g.opened == g.closed);
        for (int i = 0; i < 4; i++) {
            T(nt_gone(fd[i], 30000));
            close(fd[i]);
        }
    }
    rmdir(dir);
}

int main(void)
{
    log_init(LOG_SILENT, false);
    T_RUN(messages_of_four_threads_all_arrive_in_order);
    T_RUN(a_message_wakes_a_sleeper_every_time);
    T_RUN(two_reactors_play_ping_pong);
    T_RUN(stop_before_run_and_twice);
    T_RUN(tasks_after_the_end_are_still_run);
    T_RUN(hooks_run_after_work_and_not_without);
    T_RUN(contexts_and_clocks);
    T_RUN(no_descriptors_is_an_error_and_not_a_crash);
    T_RUN(a_last_word_to_another_connection_is_sent_at_once);
    T_RUN(a_connection_handed_to_an_ended_reactor_is_closed);
    return t_done();
}
