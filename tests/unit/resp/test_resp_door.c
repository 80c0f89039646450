/* The door as a whole: bytes in pieces, pipelines, several threads, replies held for the disk, login,
 * pausing, killing, silence. */
#include "r.h"

static void pieces_of_any_size(void)
{
    static const char text[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\nPING\r\n";
    static const char reply[] = "+OK|$5|hello|+PONG|";
    int fd = r_connect();
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        r_send(fd, slice_of(text, cut));
        if (cut % 7 == 0)
            usleep(2000);
        r_send(fd, slice_of(text + cut, sizeof text - 1 - cut));
        T(r_expect(fd, reply));
    }
    for (size_t i = 0; i < sizeof text - 1; i++) {
        r_send(fd, slice_of(text + i, 1));
        usleep(200);
    }
    T(r_expect(fd, reply));
    T(r_ask(fd, "DEL a", ":1|"));
    close(fd);
}

static void pipelines_answer_in_order(void)
{
    enum { N = 20000 };
    struct buf b;
    char expected[64];
    bool good = true;
    int fd = r_connect();
    buf_init(&b, 0);
    T(r_ask(fd, "DEL n", ":0|") || true);
    for (int i = 0; i < N; i++)
        buf_str(&b, "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n");
    r_send(fd, buf_all(&b));
    for (int i = 1; i <= N && good; i++) {
        snprintf(expected, sizeof expected, ":%d|", i);
        good = r_expect(fd, expected);
    }
    T(good);
    buf_free(&b);
    close(fd);
}

static void broken_protocol_is_answered_and_closed(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"*1\r\nfoo\r\n", "-ERR Protocol error: expected '$', got 'f'|"},
                {"*3000000000\r\n", "-ERR Protocol error: invalid multibulk length|"},
                {"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length|"},
                {"*1\r\n$99999999\r\n", "-ERR Protocol error: invalid bulk length|"},
                {"set \"a\"b c\r\n", "-ERR Protocol error: unbalanced quotes in request|"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = r_connect();
        T_ROW("%s", rows[i].in);
        r_send(fd, S("PING\r\n"));
        r_send(fd, slice_str(rows[i].in));
        T(r_expect(fd, "+PONG|"));
        T(r_expect(fd, rows[i].out));
        T(r_closed(fd));
        close(fd);
    }
    T_ROW("%s", "");
}

static void an_http_request_is_cut_off(void)
{
    static const char *const heads[] = {"POST / HTTP/1.1\r\nSET a b\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        int fd = r_connect();
        r_send(fd, slice_str(heads[i]));
        T(strstr(r_read(fd, 200), "+OK") == NULL);
        close(fd);
        fd = r_connect();
        T(r_ask(fd, "EXISTS a", ":0|"));
        close(fd);
    }
}

static void silence(void)
{
    int fd = r_connect();
    r_line(fd, "CLIENT REPLY SKIP");
    r_line(fd, "PING 1");
    T(r_ask(fd, "PING 2", "$1|2|"));
    r_line(fd, "CLIENT REPLY OFF");
    r_line(fd, "SET quiet 1");
    r_line(fd, "GET quiet");
    T(r_ask(fd, "CLIENT REPLY ON", "+OK|"));
    T(r_ask(fd, "GET quiet", "$1|1|"));
    close(fd);
}

static void pausing(void)
{
    int fd = r_connect(), other = r_connect();
    T(r_ask(fd, "CLIENT PAUSE 600000 WRITE", "+OK|"));
    T(r_ask(other, "PING", "+PONG|"));
    r_line(other, "SET p 1");
    r_line(other, "PING");
    T(r_becomes(fd, "INFO clients", "blocked_clients:1\r"));
    T(r_ask(fd, "EXISTS p", ":0|"));
    T(r_ask(fd, "CLIENT UNPAUSE", "+OK|"));
    T(r_expect(other, "+OK|+PONG|"));
    int64_t from = clock_mono_ms();
    T(r_ask(fd, "CLIENT PAUSE 150 ALL", "+OK|"));
    T(r_ask(other, "PING", "+PONG|"));
    T(clock_mono_ms() - from >= 80);
    close(fd);
    close(other);
}

static void killing_reaches_other_threads(void)
{
    int fd[8], boss = r_connect();
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        fd[i] = r_connect();
        T(r_ask(fd[i], "PING", "+PONG|"));
    }
    T(r_becomes(boss, "INFO clients", "connected_clients:9\r")); /* those of earlier tests are gone */
    T(r_has(boss, "CLIENT KILL TYPE normal", ":8\r\n"));
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        T(r_closed(fd[i]));
        close(fd[i]);
    }
    T(r_ask(boss, "CLIENT KILL TYPE normal SKIPME no", ":1|"));
    T(r_closed(boss));
    close(boss);
}

static void messages_cross_threads_in_order(void)
{
    enum { SUBS = 6, MESSAGES = 500 };
    int sub[SUBS], pub = r_connect();
    char line[64], expected[96];
    for (int i = 0; i < SUBS; i++) {
        sub[i] = r_connect();
        T(r_ask(sub[i], "SUBSCRIBE c", "*3|$9|subscribe|$1|c|:1|"));
    }
    for (int k = 0; k < MESSAGES; k++) {
        snprintf(line, sizeof line, "PUBLISH c %d", 1000 + k);
        r_line(pub, line);
    }
    for (int k = 0; k < MESSAGES; k++)
        T(r_expect(pub, ":6|"));
    for (int i = 0; i < SUBS; i++) {
        bool good = true;
        for (int k = 0; k < MESSAGES && good; k++) {
            snprintf(expected, sizeof expected, "*3|$7|message|$1|c|$4|%d|", 1000 + k);
            good = r_expect(sub[i], expected);
        }
        T(good);
        close(sub[i]);
    }
    close(pub);
}

static void a_slow_listener_is_cut_off(void)
{
    int sub = r_connect(), pub = r_connect();
    struct buf b;
    buf_init(&b, 0);
    T(r_ask(pub, "CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"", "+OK|"));
    T(r_ask(sub, "SUBSCRIBE flood", "*3|$9|subscribe|$5|flood|:1|"));
    buf_str(&b, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nflood\r\n$500000\r\n");
    for (int i = 0; i < 500000; i++)
        buf_byte(&b, 'x');
    buf_str(&b, "\r\n");
    bool cut = false;
    for (int64_t end = clock_mono_ms() + 60000; !cut && clock_mono_ms() < end;) {
        r_send(pub, buf_all(&b));
        cut = strcmp(r_read(pub, 4), ":0|") == 0;
    }
    T(cut);
    T(r_ask(pub, "CONFIG SET client-output-buffer-limit \"pubsub 32mb 8mb 60\"", "+OK|"));
    buf_free(&b);
    close(sub);
    close(pub);
}

static void too_many_clients_are_told(void)
{
    int fd = r_connect();
    T(r_ask(fd, "CONFIG SET maxclients 1", "+OK|"));
    int other = r_connect();
    T(r_expect(other, "-ERR max number of clients reached|"));
    T(r_closed(other));
    T(r_ask(fd, "CONFIG SET maxclients 64", "+OK|"));
    close(other);
    close(fd);
}

/* ---- with a password ---- */

static void login(void)
{
    int fd = r_connect();
    T(r_ask(fd, "GET a", "-NOAUTH Authentication required.|"));
    T(r_ask(fd, "FOO", "-ERR unknown command 'FOO', with args beginning with: |"));
    T(r_has(fd, "HELLO 3", "-NOAUTH HELLO must be called"));
    T(r_ask(fd, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.|"));
    T(r_ask(fd, "AUTH default wrong", "-WRONGPASS invalid username-password pair or user is disabled.|"));
    T(r_ask(fd, "AUTH other pass word", "-ERR syntax error|"));
    T(r_ask(fd, "PING", "-NOAUTH Authentication required.|"));
    T(r_ask(fd, "AUTH correct-horse", "+OK|"));
    T(r_ask(fd, "PING", "+PONG|"));
    T(r_ask(fd, "RESET", "+RESET|"));
    T(r_ask(fd, "PING", "-NOAUTH Authentication required.|"));
    T(r_has(fd, "HELLO 3 AUTH default correct-horse SETNAME me", "%7"));
    T(r_ask(fd, "CLIENT GETNAME", "$2|me|"));
    T(r_has(fd, "ACL LIST", "on #"));
    T(strstr(r_all(fd, "INFO everything"), "correct-horse") == NULL);
    T(r_ask(fd, "CONFIG SET requirepass new-horse", "+OK|"));
    close(fd);
    fd = r_connect();
    T(r_ask(fd, "AUTH correct-horse", "-WRONGPASS invalid username-password pair or user is disabled.|"));
    T(r_ask(fd, "AUTH new-horse", "+OK|"));
    close(fd);
    fd = r_connect(); /* limits before login: 10 arguments, 16 KiB */
    r_send(fd, S("*11\r\n"));
    T(r_expect(fd, "-ERR Protocol error: unauthenticated multibulk length|"));
    T(r_closed(fd));
    close(fd);
}

/* ---- on disk, mode always ---- */

static void replies_wait_for_the_disk(void)
{
    int fd[4];
    char line[64];
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        fd[i] = r_connect();
    for (int k = 0; k < 300; k++) {
        for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
            snprintf(line, sizeof line, "SET k%zu-%d x", i, k);
            r_line(fd[i], line);
        }
        for (size_t i = 0; i < ARRAY_LEN(fd); i++)
            T(r_expect(fd[i], "+OK|"));
        /* acknowledged means durable */
        T(store_durable_lsn(r.store) > 0);
    }
    store_enter(r.store, clock_wall_ms());
    uint64_t lsn = store_lsn(r.store);
    store_leave(r.store);
    T(store_durable_lsn(r.store) >= lsn);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        close(fd[i]);
}

static void commands_that_come_while_held_wait_their_turn(void)
{
    struct buf b;
    int fd = r_connect();
    buf_init(&b, 0);
    for (int k = 0; k < 2000; k++)
        buf_fmt(&b, "SET pipe-%d x\r\nGET pipe-%d\r\n", k, k);
    for (size_t at = 0; at < b.n; at += 1000) {
        r_send(fd, slice_sub(buf_all(&b), at, 1000));
        usleep(100);
    }
    bool good = true;
    for (int k = 0; k < 2000 && good; k++)
        good = r_expect(fd, "+OK|$1|x|");
    T(good);
    buf_free(&b);
    close(fd);
}

static void reload_keeps_everything(void)
{
    int fd = r_connect();
    T(r_ask(fd, "FLUSHALL", "+OK|"));
    T(r_ask(fd, "HSET h f v g w", ":2|"));
    T(r_ask(fd, "SET s 12 PXAT 32503680000000", "+OK|"));
    T(r_ask(fd, "DEBUG RELOAD", "+OK|"));
    T(r_ask(fd, "HGET h g", "$1|w|"));
    T(r_ask(fd, "INCR s", ":13|"));
    T(r_ask(fd, "PEXPIRETIME s", ":32503680000000|"));
    T(r_ask(fd, "DBSIZE", ":2|"));
    close(fd);
}

static bool r_served(int fd)
{
    return strstr(r_all(fd, "PING"), "+PONG") != NULL;
}

static void clients_that_leave_while_held_are_forgotten(void)
{
    for (int i = 0; i < 200; i++) {
        int fd = r_connect();
        r_line(fd, "SET gone x");
        close(fd);
    }
    int fd = r_connect();
    for (int64_t end = clock_mono_ms() + 60000; !r_served(fd) && clock_mono_ms() < end;) {
        close(fd); /* one too many, for now */
        usleep(5000);
        fd = r_connect();
    }
    T(r_becomes(fd, "INFO clients", "connected_clients:1\r"));
    close(fd);
}

int main(void)
{
    r_start(2, false, "");
    T_RUN(pieces_of_any_size);
    T_RUN(pipelines_answer_in_order);
    T_RUN(broken_protocol_is_answered_and_closed);
    T_RUN(an_http_request_is_cut_off);
    T_RUN(silence);
    T_RUN(pausing);
    T_RUN(killing_reaches_other_threads);
    T_RUN(messages_cross_threads_in_order);
    T_RUN(a_slow_listener_is_cut_off);
    T_RUN(too_many_clients_are_told);
    r_stop();
    r_start(1, false, "correct-horse");
    T_RUN(login);
    r_stop();
    r_start(2, true, "");
    T_RUN(replies_wait_for_the_disk);
    T_RUN(commands_that_come_while_held_wait_their_turn);
    T_RUN(reload_keeps_everything);
    T_RUN(clients_that_leave_while_held_are_forgotten);
    r_stop();
    return t_done();
}
