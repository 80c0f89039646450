/* Connections over real sockets: bytes, limits, deadlines, closing, parking, holding, big values,
 * storms. Also run under TSan. */
#include "nt.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct rig g;

static void lines_are_answered_in_one_piece_or_many(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo one\necho two\necho three\n") && nt_hear(fd, "one\ntwo\nthree\n"));
    const char *slow = "echo drip\n";
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; slow[i]; i++) {
        T(nt_send(fd, slow + i, 1));
        usleep(2000);
    }
    T(nt_hear(fd, "drip\n"));
    T(nt_say(fd, "peer\n"));
    char want[40];
    struct sockaddr_in me;
    socklen_t n = sizeof me;
    getsockname(fd, (struct sockaddr *)&me, &n);
    snprintf(want, sizeof want, "127.0.0.1:%d\n", ntohs(me.sin_port));
    T(nt_hear(fd, want));
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void many_connections_on_two_reactors(void)
{
    enum { N = 300 };
    int fd[N];
    uint64_t seen[2] = {0, 0};
    rig_start(&g, 2, rig_opts());
    for (int i = 0; i < N; i++)
        T((fd[i] = nt_dial(&g)) >= 0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < N; i++)
            T(nt_say(fd[i], "id\n"));
        for (int i = 0; i < N; i++) {
            char text[64] = "";
            ssize_t n = recv(fd[i], text, sizeof text - 1, 0);
            unsigned long long id;
            unsigned reactor = 9;
            T(n > 0 && sscanf(text, "%llu %u", &id, &reactor) == 2 && reactor < 2);
            if (reactor < 2)
                seen[reactor]++;
        }
    }
    T(seen[0] > 0 && seen[1] > 0);
    T(listener_conns(g.l) == N);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    NT_UNTIL(nt_get(&g.closed) == N);
    rig_stop(&g);
}

static void a_half_closed_peer_still_gets_its_answers(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo last\npark 50\necho after\n"));
    shutdown(fd, SHUT_WR);
    T(nt_hear(fd, "last\nwoke\nafter\neof\n"));
    T(nt_drain(fd) == 0);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    T(g.eofs == 1);
    rig_stop(&g);
}

static void a_reset_closes_also_while_parked(void)
{
    rig_start(&g, 1, rig_opts());
    const struct linger hard = {1, 0};
    int idle = nt_dial(&g), parked = nt_dial(&g);
    T(nt_say(idle, "echo a\n") && nt_hear(idle, "a\n"));
    T(nt_say(parked, "echo a\npark 60000\n") && nt_hear(parked, "a\n"));
    setsockopt(idle, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    setsockopt(parked, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(idle);
    close(parked);
    NT_UNTIL(nt_get(&g.closed) == 2);
    rig_stop(&g);
}

static void a_last_word_is_not_lost_to_unread_input(void)
{
    static char junk[200000];
    rig_start(&g, 1, rig_opts());
    for (int i = 0; i < 20; i++) {
        int fd = nt_dial(&g);
        memset(junk, 'j', sizeof junk);
        int64_t begun = nt_ms();
        bool good = nt_say(fd, "close\n") && nt_send(fd, junk, sizeof junk);
        usleep(1000);
        good = good && nt_hear(fd, "bye\n") && nt_drain(fd) == 0; /* an end, not a reset */
        T(good || nt_ms() - begun > 900); /* the server does not wait longer for our end */
        close(fd);
    }
    NT_UNTIL(nt_get(&g.closed) == 20);
    rig_stop(&g);
}

static void a_peer_that_never_closes_is_closed(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    int64_t begun = nt_ms();
    T(nt_say(fd, "close\n") && nt_hear(fd, "bye\n") && nt_drain(fd) == 0);
    NT_UNTIL(nt_get(&g.closed) == 1);
    T(nt_ms() - begun >= 500);
    close(fd);
    rig_stop(&g);
}

static void abort_closes_now(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo x\nabort\necho y\n"));
    T(nt_gone(fd, NT_WAIT_MS));
    NT_UNTIL(nt_get(&g.closed) == 1);
    close(fd);
    rig_stop(&g);
}

static void held_output_waits_for_release(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo early\n") && nt_hear(fd, "early\n"));
    int64_t begun = nt_ms();
    T(nt_say(fd, "hold 300\necho also\n"));
    NT_UNTIL(nt_get(&g.datas) >= 2);
    T(nt_say(fd, "echo third\n"));
    T(nt_hear(fd, "held\n"));
    T(nt_ms() - begun >= 290);
    T(nt_hear(fd, "also\nthird\n"));
    T(nt_say(fd, "hold 100\nclose\n") && nt_hear(fd, "held\nbye\n") && nt_drain(fd) == 0);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void a_parked_connection_is_not_read_and_goes_on(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    int64_t begun = nt_ms();
    T(nt_say(fd, "park 200\necho a\n"));
    NT_UNTIL(nt_get(&g.datas) >= 1);
    T(nt_say(fd, "echo b\n"));
    usleep(50000);
    bool once = nt_get(&g.datas) == 1;
    T(once || nt_ms() - begun >= 190); /* unless it took us that long to look */
    T(nt_hear(fd, "woke\na\nb\n"));
    T(nt_ms() - begun >= 190);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void idle_and_deadline_say_a_last_word(void)
{
    enum { IDLE_MS = 1000 };
    struct listener_opts o = rig_opts();
    o.idle_ms = IDLE_MS;
    rig_start(&g, 1, o);
    int fd = nt_dial(&g);
    bool alive = true, late = false;
    int64_t spoke = nt_ms();
    for (int i = 0; i < 15 && alive; i++) { /* not idle, unless we are kept from speaking */
        usleep(100000);
        int64_t now = nt_ms();
        alive = nt_say(fd, "echo k\n") && nt_hear(fd, "k\n");
        late = late || nt_ms() - spoke >= IDLE_MS - 100;
        spoke = now;
    }
    T(alive || late);
    T(!alive || (nt_hear(fd, "timeout\n") && nt_drain(fd) == 0));
    T(!alive || nt_ms() - spoke >= IDLE_MS - 100);
    close(fd);
    fd = nt_dial(&g);
    int64_t begun = nt_ms();
    T(nt_say(fd, "idle 0\ndeadline 400\n"));
    T(nt_hear(fd, "timeout\n") && nt_drain(fd) == 0);
    T(nt_ms() - begun >= 390);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 2);
    T(g.timeouts == 2);
    rig_stop(&g);
}

static void connections_beyond_the_limit_are_closed_and_counted(void)
{
    struct listener_opts o = rig_opts();
    int fd[8];
    o.conn_max = 5;
    rig_start(&g, 2, o);
    for (int i = 0; i < 8; i++)
        fd[i] = nt_dial(&g);
    NT_UNTIL(listener_refused(g.l) == 3);
    int alive = 0;
    for (int i = 0; i < 8; i++) {
        char c;
        alive += nt_say(fd[i], "echo\n") && recv(fd[i], &c, 1, 0) == 1;
        close(fd[i]);
    }
    T(alive == 5);
    NT_UNTIL(listener_conns(g.l) == 0);
    int again = nt_dial(&g);
    T(nt_say(again, "echo ok\n") && nt_hear(again, "ok\n"));
    close(again);
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
}

static void a_door_may_refuse(void)
{
    rig_start(&g, 1, rig_opts());
    g.refuse = true;
    int fd = nt_dial(&g);
    T(nt_gone(fd, NT_WAIT_MS));
    close(fd);
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
}

static void too_much_unconsumed_input_closes(void)
{
    struct listener_opts o = rig_opts();
    char block[1000];
    o.in_bytes_max = 100000;
    rig_start(&g, 1, o);
    int fd = nt_dial(&g);
    memset(block, 'a', sizeof block); /* a line without end */
    bool sent = true;
    for (int i = 0; i < 100000 && sent; i++)
        sent = nt_send(fd, block, sizeof block);
    T(!sent);
    NT_UNTIL(nt_get(&g.closed) == 1);
    close(fd);
    fd = nt_dial(&g);
    T(nt_say(fd, "need 90000\n"));
    for (int i = 0; i < 90; i++)
        T(nt_send(fd, block, sizeof block));
    T(nt_hear(fd, "got 90000 8730000\n"));
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 2);
    rig_stop(&g);
}

static void *line_sender(void *arg)
{
    enum { LINES = 1000000 };
    static char text[LINES / 10 * 9 + 1];
    for (int i = 0; i < LINES / 10; i++)
        memcpy(text + (size_t)i * 9, "echo abc\n", 9);
    for (int i = 0; i < 10; i++)
        if (!nt_send(*(int *)arg, text, LINES / 10 * 9))
            break;
    return NULL;
}

/* Much more than the limit is under way at any time, but the door takes it all. */
static void a_flood_of_small_requests_is_within_the_limit(void)
{
    struct listener_opts o = rig_opts();
    static char bin[1 << 16];
    size_t got = 0;
    o.in_bytes_max = 20000;
    rig_start(&g, 1, o);
    int fd = nt_dial(&g);
    pthread_t t = thread_start("lines", line_sender, &fd);
    while (got < 4000000) {
        ssize_t n = recv(fd, bin, sizeof bin, 0);
        T(n > 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    thread_join(t);
    T_INT(got, 4000000);
    T(nt_say(fd, "echo end\n") && nt_hear(fd, "end\n"));
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void a_little_beyond_the_limit_closes_too(void)
{
    static char block[20100];
    struct listener_opts o = rig_opts();
    o.in_bytes_max = 20000;
    rig_start(&g, 1, o);
    int fd = nt_dial(&g);
    memset(block, 'a', sizeof block);
    T(nt_send(fd, block, 19900));
    NT_UNTIL(nt_get(&g.datas) >= 1);
    usleep(50000);
    T_INT(nt_get(&g.closed), 0);
    T(nt_send(fd, block, 200));
    NT_UNTIL(nt_get(&g.closed) == 1);
    close(fd);
    rig_stop(&g);
}

struct big {
    int fd;
    size_t n;
};

static void *big_sender(void *arg)
{
    static char block[1 << 20];
    struct big *b = arg;
    memset(block, 1, sizeof block);
    for (size_t left = b->n; left > 0; left -= sizeof block)
        if (!nt_send(b->fd, block, sizeof block))
            break;
    return NULL;
}

static int64_t big_arrives_ms(size_t n)
{
    struct big b = {nt_dial(&g), n};
    char line[64];
    int64_t begun = nt_ms();
    snprintf(line, sizeof line, "need %zu\n", n);
    T(nt_say(b.fd, line));
    pthread_t t = thread_start("big", big_sender, &b);
    thread_join(t);
    snprintf(line, sizeof line, "got %zu %zu\n", n, n);
    T(nt_hear(b.fd, line));
    close(b.fd);
    return nt_ms() - begun;
}

static void half_a_gigabyte_arrives_in_linear_time(void)
{
    struct listener_opts o = rig_opts();
    o.in_bytes_max = (512u << 20) + 100;
    rig_start(&g, 1, o);
    int64_t small = big_arrives_ms(32u << 20);
    uint64_t offers = nt_get(&g.datas);
    int64_t large = big_arrives_ms(512u << 20);
    offers = nt_get(&g.datas) - offers;
    printf("# 32 MiB: %lld ms; 512 MiB: %lld ms, offered %llu times\n", (long long)small,
           (long long)large, (unsigned long long)offers);
    T(offers < (512u << 20) / 4096); /* work, not time: 4 KiB at least for each offer */
    NT_UNTIL(nt_get(&g.closed) == 2);
    rig_stop(&g);
}

static void big_output_waits_for_a_slow_reader(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    size_t want = 64u << 20, got = 0;
    static char bin[1 << 16];
    T(nt_say(fd, "big 67108864\necho end\n"));
    usleep(100000);
    while (got < want) {
        ssize_t n = recv(fd, bin, MIN(sizeof bin, want - got), 0);
        T(n > 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    T(got == want);
    T(nt_hear(fd, "end\n"));
    T(nt_get(&g.drained) > 0);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void input_left_for_want_of_room_is_offered_again(void)
{
    enum { N = 500 };
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    static char text[N * 6 + 1], bin[1 << 16];
    for (int i = 0; i < N; i++)
        memcpy(text + (size_t)i * 6, "flood\n", 7);
    T(nt_say(fd, text)); /* in one piece: nothing more comes that could wake the door */
    usleep(100000);
    size_t got = 0, want = (size_t)N * 65536;
    while (got < want) {
        ssize_t n = recv(fd, bin, sizeof bin, 0);
        T(n > 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    T_INT(got, want);
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    rig_stop(&g);
}

static void output_beyond_its_limit_closes(void)
{
    struct listener_opts o = rig_opts();
    o.out_bytes_max = 2 << 20;
    o.in_bytes_max = 256 << 20; /* so that it is not the reason */
    rig_start(&g, 1, o);
    int fd = nt_dial(&g);
    static char echo[100000];
    memset(echo, 'e', sizeof echo);
    memcpy(echo, "echo ", 5);
    echo[sizeof echo - 1] = '\n';
    bool sent = true; /* never reads: the kernel's buffers fill, then ours */
    for (int i = 0; i < 2000 && sent; i++)
        sent = nt_send(fd, echo, sizeof echo);
    T(!sent);
    NT_UNTIL(nt_get(&g.closed) == 1);
    close(fd);
    rig_stop(&g);
}

static void references_know_when_a_connection_is_gone(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo a\n") && nt_hear(fd, "a\n"));
    struct conn_ref first = g.last_ref;
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    fd = nt_dial(&g);
    T(nt_say(fd, "echo a\n") && nt_hear(fd, "a\n"));
    struct conn_ref second = g.last_ref;
    rig_join(&g); /* the reactor's thread is gone: look from here */
    T(first.slot == second.slot && first.generation != second.generation);
    T(conn_ref_get(first) == NULL && conn_ref_get(second) == NULL);
    T(conn_ref_get((struct conn_ref){0}) == NULL);
    close(fd);
    rig_stop(&g);
}

static struct conn_ref poke_ref;
static uint64_t poked, poke_missed;
static void poke_run(struct net_task *t, struct reactor *r)
{
    (void)t, (void)r;
    struct conn *c = conn_ref_get(poke_ref);
    if (c) {
        buf_lit(conn_out(c), "poke\n"); /* outside of any callback of the connection */
        nt_add(&poked);
    } else {
        nt_add(&poke_missed);
    }
}

static void another_thread_reaches_a_connection_by_reference(void)
{
    static struct net_task a = {.run = poke_run}, b = {.run = poke_run};
    rig_start(&g, 1, rig_opts());
    poked = poke_missed = 0;
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo a\n") && nt_hear(fd, "a\n"));
    poke_ref = g.last_ref;
    reactor_post(g.r[0], &a);
    T(nt_hear(fd, "poke\n"));
    close(fd);
    NT_UNTIL(nt_get(&g.closed) == 1);
    reactor_post(g.r[0], &b);
    NT_UNTIL(nt_get(&poke_missed) == 1);
    T(poked == 1);
    rig_stop(&g);
}

static void stop_flushes_and_waits_for_parked_requests(void)
{
    rig_start(&g, 2, rig_opts());
    int parked = nt_dial(&g), held = nt_dial(&g), idle = nt_dial(&g);
    T(nt_say(parked, "echo 1\npark 400\n") && nt_hear(parked, "1\n"));
    T(nt_say(held, "echo 1\n") && nt_hear(held, "1\n") && nt_say(held, "hold 300\n"));
    T(nt_say(idle, "echo 1\n") && nt_hear(idle, "1\n"));
    NT_UNTIL(nt_get(&g.datas) >= 4);
    int64_t begun = nt_ms();
    rig_join(&g);
    bool late = nt_ms() - begun >= 1500; /* that is how long it waits */
    T(late || (nt_hear(parked, "woke\n") && nt_hear(held, "held\n")));
    T(nt_gone(idle, NT_WAIT_MS));
    close(parked);
    close(held);
    close(idle);
    rig_stop(&g);
}

static void stop_does_not_wait_for_ever(void)
{
    rig_start(&g, 1, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo 1\npark 60000\n") && nt_hear(fd, "1\n"));
    int64_t begun = nt_ms();
    rig_join(&g);
    T(nt_ms() - begun >= 1400);
    close(fd);
    rig_stop(&g);
}

static void a_stopped_listener_takes_no_more_but_keeps_what_it_has(void)
{
    rig_start(&g, 2, rig_opts());
    int fd = nt_dial(&g);
    T(nt_say(fd, "echo 1\n") && nt_hear(fd, "1\n"));
    listener_stop(g.l);
    listener_stop(g.l);
    int more;
    NT_UNTIL((more = nt_dial(&g)) < 0 || close(more) < 0);
    T(nt_say(fd, "echo 2\n") && nt_hear(fd, "2\n"));
    close(fd);
    rig_stop(&g);
}

/* ---- binding ---- */

static void a_taken_port_is_a_conflict_that_names_it(void)
{
    for (size_t n = 1; n <= 2; n++) {
        struct listener_opts o = rig_opts();
        struct listener *l;
        struct err e = {0};
        char port[16];
        rig_start(&g, n, o);
        o.addr.port = g.port;
        T(listener_open(g.r, n, &o, &l, &e) == RC_CONFLICT && l == NULL);
        snprintf(port, sizeof port, ":%d", g.port);
        T(strstr(e.text, port) != NULL && strstr(e.text, "127.0.0.1") != NULL);
        rig_stop(&g);
    }
}

static void all_interfaces_serve_both_families(void)
{
    struct listener_opts o = rig_opts();
    struct err e;
    T(net_addr_parse(S(":0"), &o.addr, &e) == RC_OK);
    rig_start(&g, 2, o);
    int fd = nt_dial(&g);
    T(nt_say(fd, "peer\n") && nt_hear(fd, "127.0.0.1:")); /* not ::ffff:127.0.0.1 */
    close(fd);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)g.port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&six, sizeof six) == 0)
        T(nt_say(fd, "peer\n") && nt_hear(fd, "[::1]:"));
    else
        printf("# no IPv6 here\n");
    if (fd >= 0)
        close(fd);
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
}

static void unix_sockets_are_shared_and_cleaned_up(void)
{
    char dir[] = "/tmp/netXXXXXX", path[64];
    struct listener_opts o = rig_opts();
    struct listener *l;
    struct stat st;
    struct err e = {0};
    int fd[20], seen[2] = {0, 0};
    T(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/s", dir);
    o.addr = (struct net_addr){.kind = ADDR_UNIX};
    snprintf(o.addr.path, sizeof o.addr.path, "%s", path);
    o.unix_mode = 0660;
    rig_start(&g, 2, o);
    T(stat(path, &st) == 0 && (st.st_mode & 0777) == 0660);
    for (int i = 0; i < 20; i++) {
        char text[64] = "";
        unsigned reactor = 9;
        fd[i] = nt_socket(path, 0);
        T(nt_say(fd[i], "id\n") && recv(fd[i], text, sizeof text - 1, 0) > 0);
        T(sscanf(text, "%*u %u", &reactor) == 1 && reactor < 2);
        if (reactor < 2)
            seen[reactor]++;
    }
    T(seen[0] == 10 && seen[1] == 10);
    T(nt_say(fd[0], "peer\n") && nt_hear(fd[0], "unix\n"));
    T(listener_open(g.r, 1, &o, &l, &e) == RC_CONFLICT && strstr(e.text, path) != NULL);
    for (int i = 0; i < 20; i++)
        close(fd[i]);
    rig_stop(&g);
    T(stat(path, &st) < 0); /* removed */

    /* The file of a process that died is replaced; anything else is not. */
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    T(bind(dead, (struct sockaddr *)&un, sizeof un) == 0 && listen(dead, 1) == 0);
    close(dead);
    rig_start(&g, 1, o);
    int ok = nt_socket(path, 0);
    T(nt_say(ok, "echo hi\n") && nt_hear(ok, "hi\n"));
    close(ok);
    rig_stop(&g);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    close(file);
    struct reactor *r;
    T(reactor_open(0, &r, &e) == RC_OK);
    T(listener_open(&r, 1, &o, &l, &e) == RC_CONFLICT && strstr(e.text, "not a socket") != NULL);
    reactor_close(r);
    T(stat(path, &st) == 0);
    unlink(path);
    rmdir(dir);
}

static void big_traffic_over_a_unix_socket(void)
{
    char path[64];
    struct listener_opts o = rig_opts();
    snprintf(path, sizeof path, "/tmp/net%d.sock", getpid());
    o.addr = (struct net_addr){.kind = ADDR_UNIX};
    snprintf(o.addr.path, sizeof o.addr.path, "%s", path);
    rig_start(&g, 1, o);
    int fd = nt_socket(path, 0);
    static char bin[1 << 16];
    size_t got = 0;
    T(nt_say(fd, "big 30000000\n"));
    while (got < 30000000) {
        ssize_t n = recv(fd, bin, sizeof bin, 0);
        T(n > 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    T(got == 30000000);
    for (int i = 0; i < 100; i++)
        T(nt_say(fd, "echo small\n") && nt_hear(fd, "small\n"));
    /* All at once and gone: what was sent is still worked off. */
    int hasty = nt_socket(path, 0);
    T(nt_say(hasty, "echo 1\necho 2\n"));
    close(hasty);
    NT_UNTIL(nt_get(&g.closed) == 1);
    close(fd);
    rig_stop(&g);
}

/* ---- trouble ---- */

static void out_of_descriptors_neither_spins_nor_ends(void)
{
    struct rlimit old, few;
    int fd[40], n = 0;
    rig_start(&g, 1, rig_opts());
    for (int i = 0; i < 40; i++) /* sockets now: connecting later needs no new descriptor */
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){.rlim_cur = (rlim_t)fd[39] + 10, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)g.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 40; i++)
        n += connect(fd[i], (struct sockaddr *)&in, sizeof in) == 0;
    T(n == 40);
    NT_UNTIL(listener_refused(g.l) >= 20);
    T(nt_quiet(&g.turns, 300, 20)); /* nothing waits, so nothing turns */
    setrlimit(RLIMIT_NOFILE, &old);
    for (int i = 0; i < 40; i++)
        close(fd[i]);
    NT_UNTIL(listener_conns(g.l) == 0);
    int ok = nt_dial(&g);
    T(nt_say(ok, "echo alive\n") && nt_hear(ok, "alive\n"));
    close(ok);
    rig_stop(&g);
}

static void a_storm_of_connections_leaves_nothing_behind(void)
{
    const struct linger hard = {1, 0};
    rig_start(&g, 2, rig_opts());
    for (int i = 0; i < 3000; i++) {
        int fd = nt_dial(&g);
        T(fd >= 0);
        if (i % 3 == 0)
            T(nt_say(fd, "echo storm\n"));
        if (i % 5 == 0)
            T(nt_say(fd, "close\n"));
        if (i % 2 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
    }
    NT_UNTIL(listener_conns(g.l) == 0);
    int ok = nt_dial(&g);
    T(nt_say(ok, "echo alive\n") && nt_hear(ok, "alive\n"));
    close(ok);
    rig_stop(&g);
}

static void thousands_of_idle_connections_cost_little(void)
{
    enum { N = 5000 }; /* both ends are in this process */
    struct rlimit lim;
    static int fd[N];
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur < 2 * N + 100) {
        t_skip("thousands_of_idle_connections_cost_little", "too few descriptors (ulimit -n)");
        return;
    }
    struct listener_opts o = rig_opts();
    o.idle_ms = 60000;
    rig_start(&g, 1, o);
    int warm = nt_dial(&g);
    T(nt_say(warm, "echo a\n") && nt_hear(warm, "a\n"));
    uint64_t before = mem_rss();
    for (int i = 0; i < N; i++) {
        fd[i] = nt_dial(&g);
        T(nt_say(fd[i], "echo a\n"));
    }
    for (int i = 0; i < N; i++)
        T(nt_hear(fd[i], "a\n"));
    uint64_t each = (mem_rss() - before) / N;
    printf("# %llu bytes for each idle connection and its door's state\n",
           (unsigned long long)each);
#ifndef POSTERN_DEV /* the sanitizers' own share is large */
    T(each < 1500);
#endif
    T(nt_quiet(&g.turns, 300, 10));
    for (int i = 0; i < N; i++)
        close(fd[i]);
    close(warm);
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
}

/* ---- outbound ---- */

struct out_state {
    uint64_t got, closed, timeouts;
    char text[64];
    bool say;
};
static void *out_open(struct conn *c, void *ctx)
{
    struct out_state *s = ctx;
    if (s->say)
        buf_lit(conn_out(c), "echo from outside\n"); /* before it is connected */
    return s;
}
static size_t out_data(struct conn *c, void *state, struct slice in)
{
    struct out_state *s = state;
    (void)c;
    size_t n = MIN(in.n, sizeof s->text - s->got - 1);
    memcpy(s->text + s->got, in.p, n);
    (void)__atomic_add_fetch(&s->got, n, __ATOMIC_SEQ_CST);
    return in.n;
}
static void out_timeout(struct conn *c, void *state)
{
    (void)c;
    nt_add(&((struct out_state *)state)->timeouts);
}
static void out_close(struct conn *c, void *state)
{
    (void)c;
    nt_add(&((struct out_state *)state)->closed);
}
static const struct conn_proto out_proto = {
    .name = "out", .open = out_open, .data = out_data, .timeout = out_timeout, .close = out_close};

struct dial_task {
    struct net_task task;
    struct net_addr to;
    struct out_state *state;
    uint64_t failed;
    int64_t deadline_ms;
};
static void dial_run(struct net_task *t, struct reactor *r)
{
    struct dial_task *d = CONTAINER_OF(t, struct dial_task, task);
    struct err e = {0};
    struct conn *c = conn_connect(r, &d->to, &out_proto, d->state, &e);
    if (c == NULL)
        nt_add(&d->failed);
    else if (d->deadline_ms)
        conn_deadline(c, d->deadline_ms);
}

static void outbound_connections_talk_and_report_failure(void)
{
    static struct out_state s;
    static struct dial_task d;
    s = (struct out_state){.say = true};
    rig_start(&g, 1, rig_opts());
    d = (struct dial_task){.task.run = dial_run, .state = &s};
    d.to = rig_opts().addr;
    d.to.port = g.port;
    reactor_post(g.r[0], &d.task);
    NT_UNTIL(nt_get(&s.got) == 13);
    T(strcmp(s.text, "from outside\n") == 0);

    static struct out_state refused;
    static struct dial_task d2;
    int taken = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening */
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    T(bind(taken, (struct sockaddr *)&in, n) == 0 &&
      getsockname(taken, (struct sockaddr *)&in, &n) == 0);
    refused = (struct out_state){.say = true};
    d2 = d;
    d2.state = &refused;
    d2.to.port = ntohs(in.sin_port);
    reactor_post(g.r[0], &d2.task);
    NT_UNTIL(nt_get(&refused.closed) + nt_get(&d2.failed) == 1);
    T(refused.got == 0);
    close(taken);

    static struct out_state gone;
    static struct dial_task d3;
    gone = (struct out_state){0};
    d3 = (struct dial_task){.task.run = dial_run, .state = &gone};
    d3.to = (struct net_addr){.kind = ADDR_UNIX, .path = "/nonexistent/socket"};
    reactor_post(g.r[0], &d3.task);
    NT_UNTIL(nt_get(&d3.failed) == 1);
    T(gone.closed == 0);

    static struct out_state slow;
    static struct dial_task d4;
    slow = (struct out_state){0};
    d4 = d;
    d4.state = &slow;
    d4.deadline_ms = 100;
    reactor_post(g.r[0], &d4.task);
    NT_UNTIL(nt_get(&slow.closed) == 1);
    T(slow.timeouts == 1);
    rig_stop(&g);
}

int main(void)
{
    log_init(LOG_SILENT, false);
    signal(SIGPIPE, SIG_IGN);
    T_RUN(lines_are_answered_in_one_piece_or_many);
    T_RUN(many_connections_on_two_reactors);
    T_RUN(a_half_closed_peer_still_gets_its_answers);
    T_RUN(a_reset_closes_also_while_parked);
    T_RUN(a_last_word_is_not_lost_to_unread_input);
    T_RUN(a_peer_that_never_closes_is_closed);
    T_RUN(abort_closes_now);
    T_RUN(held_output_waits_for_release);
    T_RUN(a_parked_connection_is_not_read_and_goes_on);
    T_RUN(idle_and_deadline_say_a_last_word);
    T_RUN(connections_beyond_the_limit_are_closed_and_counted);
    T_RUN(a_door_may_refuse);
    T_RUN(too_much_unconsumed_input_closes);
    T_RUN(a_flood_of_small_requests_is_within_the_limit);
    T_RUN(a_little_beyond_the_limit_closes_too);
    T_RUN(half_a_gigabyte_arrives_in_linear_time);
    T_RUN(big_output_waits_for_a_slow_reader);
    T_RUN(input_left_for_want_of_room_is_offered_again);
    T_RUN(output_beyond_its_limit_closes);
    T_RUN(references_know_when_a_connection_is_gone);
    T_RUN(another_thread_reaches_a_connection_by_reference);
    T_RUN(stop_flushes_and_waits_for_parked_requests);
    T_RUN(stop_does_not_wait_for_ever);
    T_RUN(a_stopped_listener_takes_no_more_but_keeps_what_it_has);
    T_RUN(a_taken_port_is_a_conflict_that_names_it);
    T_RUN(all_interfaces_serve_both_families);
    T_RUN(unix_sockets_are_shared_and_cleaned_up);
    T_RUN(big_traffic_over_a_unix_socket);
    T_RUN(out_of_descriptors_neither_spins_nor_ends);
    T_RUN(a_storm_of_connections_leaves_nothing_behind);
    T_RUN(thousands_of_idle_connections_cost_little);
    T_RUN(outbound_connections_talk_and_report_failure);
    return t_done();
}
