/* The outbound client against a real server: every form of body, kept connections, the queue, names,
 * and servers that are slow, stop half-way, send too much or no HTTP. Also run under TSan. */
#include "base/map.h"
#include "ft.h"

static struct ft_server server;
static struct ft_client client;
static char base[64];

static const char *url(const char *path)
{
    static char text[512][100];
    static int i;
    char *t = text[i++ % 512];
    snprintf(t, 100, "http://127.0.0.1:%d%s", server.port, path);
    return t;
}

static void start(struct fetcher_opts o)
{
    ft_serve(&server, NULL);
    ft_open(&client, o);
    snprintf(base, sizeof base, "127.0.0.1:%d", server.port);
}

static void stop(void)
{
    ft_close(&client);
    ft_end(&server);
}

static void bodies_of_every_form(void)
{
    static const struct {
        const char *path;
        int status;
        const char *body;
    } rows[] = {{"/ok", 200, "ok"},      {"/chunked", 201, "abcde"}, {"/end", 200, "until the end"},
                {"/204", 204, ""},       {"/interim", 200, "ok"},    {"/redirect", 302, ""},
                {"/bye", 200, "ok"},     {"/extra", 200, "ok"},      {"/nothing", 404, ""},
                {"/big?3000", 200, NULL}};
    start((struct fetcher_opts){0});
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct ft_call q = {.url = url(rows[i].path)};
            T_ROW("%s %d", rows[i].path, round);
            ft_call(&client, &q);
            T_INT(q.rc, RC_OK);
            T_INT(q.status, rows[i].status);
            if (rows[i].body)
                T_TEXT(slice_str(q.body_got), rows[i].body);
            else
                T_INT(q.body_n, 3000);
            if (i == 0)
                T_TEXT(slice_str(q.a), "one");
        }
    T_ROW("HEAD");
    struct ft_call head = {.url = url("/head"), .method = "HEAD"};
    ft_call(&client, &head);
    T(head.rc == RC_OK && head.status == 200 && head.body_n == 0);
    stop();
}

static void what_is_sent(void)
{
    start((struct fetcher_opts){0});
    struct ft_call q = {.url = url("/echo?a=b&c=%20"), .method = "POST", .body = "the body",
                        .headers = {{S("X-One"), S("1")}, {S("Authorization"), S("Bearer t")}},
                        .headers_n = 2};
    char want[500];
    ft_call(&client, &q);
    snprintf(want, sizeof want,
             "POST /echo?a=b&c=%%20 HTTP/1.1\r\nHost: %s\r\nUser-Agent: postern\r\nX-One: 1\r\n"
             "Authorization: Bearer t\r\nContent-Length: 8\r\n\r\nthe body",
             base);
    T_TEXT(slice_str(q.body_got), want);
    struct ft_call own = {.url = url("/echo"), .headers = {{S("host"), S("other.example")}}, .headers_n = 1};
    ft_call(&client, &own);
    T(strstr(own.body_got, "host: other.example\r\n") && !strstr(own.body_got, "Host: "));
    stop();
}

static void connections_are_kept(void)
{
    start((struct fetcher_opts){0});
    for (int i = 0; i < 20; i++) {
        struct ft_call q = {.url = url("/ok")};
        ft_call(&client, &q);
        T(q.rc == RC_OK);
    }
    T_INT(nt_get(&server.conns), 1);
    struct fetch_counts n = ft_counts(&client);
    T(n.conns == 1 && n.idle == 1 && n.fetches == 0 && n.hosts == 1);
    struct ft_call once = {.url = url("/ok"), .once = true};
    ft_call(&client, &once);
    T(once.rc == RC_OK && nt_get(&server.conns) == 2); /* on one of its own */
    stop();
}

static void idle_ones_are_closed(void)
{
    start((struct fetcher_opts){.idle_ms = 100});
    struct ft_call q = {.url = url("/ok")};
    ft_call(&client, &q);
    FT_UNTIL(nt_get(&server.open) == 0);
    struct fetch_counts n = ft_counts(&client);
    T(n.conns == 0 && n.idle == 0 && n.hosts == 0);
    stop();
}

/* The server ends the connection when the second request comes: it is sent again, once. */
static void a_dead_kept_connection_is_replaced(void)
{
    start((struct fetcher_opts){0});
    for (int i = 0; i < 4; i++) {
        struct ft_call q = {.url = url("/once")};
        ft_call(&client, &q);
        T(q.rc == RC_OK);
        T_TEXT(slice_str(q.body_got), "once");
    }
    T_INT(nt_get(&server.conns), 4);
    T_INT(nt_get(&server.requests), 7); /* 1 + 3 * 2 */
    stop();
}

static void trouble_has_a_name(void)
{
    static const struct {
        const char *path;
        enum rc rc;
        const char *why;
    } rows[] = {{"/half", RC_IO, "ended before"},
                {"/halfhead", RC_IO, "ended before"},
                {"/halfchunk", RC_IO, "ended before"},
                {"/garbage", RC_BADINPUT, "no HTTP"},
                {"/barelf", RC_BADINPUT, "no HTTP"},
                {"/twice", RC_BADINPUT, "no HTTP"},
                {"/both", RC_BADINPUT, "no HTTP"},
                {"/fold", RC_BADINPUT, "no HTTP"},
                {"/gzipped", RC_BADINPUT, "no HTTP"},
                {"/badchunk", RC_BADINPUT, "chunks"},
                {"/switch", RC_BADINPUT, "interim"},
                {"/bighead", RC_TOOBIG, "head is too large"},
                {"/big?5000", RC_TOOBIG, "too large"},
                {"/slow", RC_TIMEOUT, "no answer in time"},
                {"/drip", RC_TIMEOUT, "no answer in time"}};
    start((struct fetcher_opts){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ft_call q = {.url = url(rows[i].path), .timeout_ms = rows[i].rc == RC_TIMEOUT ? 200 : 20000,
                            .reply_bytes_max = 4000};
        T_ROW("%s", rows[i].path);
        ft_call(&client, &q);
        T_INT(q.rc, rows[i].rc);
        T(strstr(q.why, rows[i].why) != NULL);
        T(q.status == 0 && q.body_n == 0);
    }
    T_ROW("a length beyond the limit");
    struct ft_call q = {.url = url("/head"), .reply_bytes_max = 999};
    ft_call(&client, &q);
    T_INT(q.rc, RC_TOOBIG);
    struct fetch_counts n = ft_counts(&client);
    T(n.idle == 0 && n.fetches == 0); /* nothing half-read is kept */
    stop();
}

static void nobody_there(void)
{
    start((struct fetcher_opts){0});
    struct ft_server gone;
    ft_serve(&gone, NULL);
    int port = gone.port;
    ft_end(&gone);
    char text[100];
    snprintf(text, sizeof text, "http://127.0.0.1:%d/", port);
    struct ft_call q = {.url = text};
    ft_call(&client, &q);
    T_INT(q.rc, RC_IO);
    T_TEXT(slice_str(q.why), "connection refused");
    snprintf(text, sizeof text, "http://localhost:%d/ok", server.port); /* ::1 may refuse, too */
    struct ft_call local = {.url = text};
    ft_call(&client, &local);
    T_INT(local.rc, RC_OK);
    struct ft_call unix_one = {.url = "unix:/no/such/socket:/x"};
    ft_call(&client, &unix_one);
    T_INT(unix_one.rc, RC_IO);
    struct ft_call name = {.url = "http://name.example/"};
    ft_call(&client, &name);
    T_INT(name.rc, RC_NOTFOUND); /* no pool, no names */
    stop();
}

static void over_a_unix_socket(void)
{
    char path[90], text[200];
    snprintf(path, sizeof path, "/tmp/postern-ft-%d.sock", (int)getpid());
    ft_serve(&server, path);
    ft_open(&client, (struct fetcher_opts){0});
    snprintf(text, sizeof text, "unix:%s:/echo?x=1", path);
    for (int i = 0; i < 3; i++) {
        struct ft_call q = {.url = text};
        ft_call(&client, &q);
        T_INT(q.rc, RC_OK);
        T(strstr(q.body_got, "GET /echo?x=1 HTTP/1.1\r\nHost: localhost\r\n") != NULL);
    }
    T_INT(nt_get(&server.conns), 1);
    stop();
}

static void requests_that_are_refused(void)
{
    static const struct {
        const char *method;
        struct http_header h;
    } rows[] = {{"GET", {SLIT("X-A"), SLIT("a\r\nX-B: b")}}, {"GET", {SLIT("X-A"), SLIT("a\nb")}},
                {"GET", {SLIT("X A"), SLIT("a")}},           {"GET", {SLIT("X-A:"), SLIT("a")}},
                {"GET", {SLIT(""), SLIT("a")}},              {"GET", {SLIT("X\r\nY"), SLIT("a")}},
                {"GE T", {SLIT("X-A"), SLIT("a")}},          {"GET / HTTP/1.1\r\nX: y", {SLIT("X-A"), SLIT("a")}},
                {"GET", {SLIT("Content-Length"), SLIT("5")}}, {"GET", {SLIT("transfer-encoding"), SLIT("chunked")}},
                {"GET", {SLIT("Connection"), SLIT("close")}}, {"GET", {SLIT("Host"), SLIT("a b")}},
                {"GET", {SLIT("Host"), SLIT("")}},           {"GET", {SLIT("Upgrade"), SLIT("h2c")}}};
    start((struct fetcher_opts){0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ft_call q = {.url = url("/ok"), .method = rows[i].method, .headers = {rows[i].h}, .headers_n = 1};
        T_ROW("row %zu", i);
        ft_call(&client, &q);
        T_INT(q.rc, RC_BADINPUT);
    }
    T_INT(nt_get(&server.conns), 0);
    stop();
}

static void a_host_has_so_many_connections(void)
{
    enum { N = 12 };
    static struct ft_call q[N];
    memset(q, 0, sizeof q);
    start((struct fetcher_opts){.conns_per_host = 2, .queue_per_host = 8});
    for (int i = 0; i < N; i++) {
        q[i].url = url("/wait?100");
        q[i].k = &client;
        ft_post(&client, &q[i]);
        usleep(2000);
    }
    size_t ok = 0, busy = 0;
    for (int i = 0; i < N; i++) {
        FT_UNTIL(nt_get(&q[i].dones) == 1);
        ok += q[i].rc == RC_OK;
        busy += q[i].rc == RC_BUSY;
    }
    T_INT(nt_get(&server.conns), 2);
    T(ok >= 10 && ok + busy == N);
    struct fetch_counts n = ft_counts(&client);
    T(n.waiting == 0 && n.fetches == 0 && n.conns == 2);
    stop();
}

static void many_at_once(void)
{
    enum { N = 400 };
    static struct ft_call q[N];
    memset(q, 0, sizeof q);
    start((struct fetcher_opts){.conns_per_host = 8});
    for (int i = 0; i < N; i++) {
        q[i].url = url(i % 3 ? "/ok" : i % 2 ? "/once" : "/bye");
        ft_post(&client, &q[i]);
    }
    for (int i = 0; i < N; i++) {
        FT_UNTIL(nt_get(&q[i].dones) == 1);
        T_INT(q[i].rc, RC_OK);
    }
    T(ft_counts(&client).fetches == 0);
    stop();
}

static void cancelled_ones_are_silent(void)
{
    static const char *const paths[] = {"/slow", "/ok", "/wait?50"};
    static struct ft_call q[9], waits[3];
    memset(q, 0, sizeof q);
    memset(waits, 0, sizeof waits);
    start((struct fetcher_opts){.conns_per_host = 2});
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        waits[i].url = url("/wait?200");
        ft_post(&client, &waits[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        q[i].url = url(paths[i % 3]);
        q[i].cancel = true;
        if (i > 5) /* fails at once, and is cancelled before that is told */
            q[i] = (struct ft_call){.url = q[i].url, .method = "B AD", .cancel = true};
        ft_post(&client, &q[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        FT_UNTIL(nt_get(&waits[i].dones) == 1);
        T_INT(waits[i].rc, RC_OK);
    }
    for (size_t i = 0; i < ARRAY_LEN(q); i++)
        T_INT(nt_get(&q[i].dones), 1);
    T(ft_counts(&client).fetches == 0);
    stop();
}

/* done starts the next request, on the connection that has just become free. */
struct chain {
    struct net_task task;
    int left;
    uint64_t ends;
};

static void chain_start(struct chain *c);
static void chain_done(void *user, const struct fetch_reply *r)
{
    struct chain *c = user;
    T_INT(r->rc, RC_OK);
    if (--c->left > 0)
        chain_start(c);
    else
        nt_add(&c->ends);
}

static void chain_start(struct chain *c)
{
    struct fetch_req q = {.url = {.host = S("127.0.0.1"), .port = server.port, .path = S("/ok")}};
    (void)fetch_start(client.f, &q, chain_done, c);
}

static void chain_run(struct net_task *t, struct reactor *r)
{
    (void)r;
    chain_start(CONTAINER_OF(t, struct chain, task));
}

static void one_after_the_other_from_done(void)
{
    struct chain c = {.task = {.run = chain_run}, .left = 50};
    start((struct fetcher_opts){0});
    reactor_post(client.r, &c.task);
    FT_UNTIL(nt_get(&c.ends) == 1);
    T_INT(nt_get(&server.conns), 1);
    stop();
}

static void closing_with_requests_under_way(void)
{
    static struct ft_call q[6];
    memset(q, 0, sizeof q);
    start((struct fetcher_opts){.conns_per_host = 2});
    for (size_t i = 0; i < ARRAY_LEN(q); i++) {
        q[i].url = url("/slow");
        ft_post(&client, &q[i]);
    }
    FT_UNTIL(nt_get(&server.requests) == 2);
    ft_close(&client);
    for (size_t i = 0; i < ARRAY_LEN(q); i++)
        T_INT(nt_get(&q[i].dones), 0);
    ft_end(&server);
}

/* Stopping waits for an answer that comes soon. */
static void stopping_waits_for_an_answer(void)
{
    struct ft_call q = {.url = url("/")};
    start((struct fetcher_opts){0});
    q.url = url("/wait?300");
    ft_post(&client, &q);
    FT_UNTIL(nt_get(&server.requests) == 1);
    reactor_stop(client.r);
    FT_UNTIL(nt_get(&q.dones) == 1);
    T_INT(q.rc, RC_OK);
    stop();
}

/* ---- names ---- */

static uint64_t lookups;
static int lookup_gate; /* 1: it hangs */

static enum rc resolve(const char *name, struct ip *out, size_t max, size_t *n)
{
    T(max >= 3);
    nt_add(&lookups);
    while (__atomic_load_n(&lookup_gate, __ATOMIC_SEQ_CST))
        usleep(1000);
    *n = 0;
    if (strcmp(name, "good.example") == 0)
        *n = ip_parse(S("127.0.0.1"), &out[0]);
    if (strcmp(name, "second.example") == 0) /* nobody listens at the first two */
        *n = ip_parse(S("127.99.0.1"), &out[0]) && ip_parse(S("127.99.0.2"), &out[1]) &&
                     ip_parse(S("127.0.0.1"), &out[2])
                 ? 3
                 : 0;
    if (strcmp(name, "broken.example") == 0)
        return RC_IO;
    return *n ? RC_OK : RC_NOTFOUND;
}

static const char *named(const char *name, const char *path)
{
    static char text[64][200];
    static int i;
    char *t = text[i++ % 64];
    snprintf(t, 200, "http://%s:%d%s", name, server.port, path);
    return t;
}

static void names_are_asked_for_once(void)
{
    enum { N = 20 };
    static struct ft_call q[N];
    memset(q, 0, sizeof q);
    lookups = 0;
    lookup_gate = 1;
    start((struct fetcher_opts){.pool = pool_open(2, 16), .resolve = resolve});
    for (int i = 0; i < N; i++) {
        q[i].url = named("Good.Example", "/ok");
        q[i].cancel = i == 7;
        ft_post(&client, &q[i]);
    }
    FT_UNTIL(nt_get(&lookups) == 1);
    __atomic_store_n(&lookup_gate, 0, __ATOMIC_SEQ_CST);
    for (int i = 0; i < N; i++) {
        FT_UNTIL(nt_get(&q[i].dones) == 1);
        T_INT(q[i].rc, RC_OK);
    }
    struct ft_call later = {.url = named("good.example", "/end")};
    ft_call(&client, &later);
    ft_call(&client, &later);
    T_INT(nt_get(&lookups), 1);
    struct ft_call second = {.url = named("second.example", "/echo")};
    ft_call(&client, &second);
    T_INT(second.rc, RC_OK);
    T(strstr(second.body_got, "Host: second.example:") != NULL);
    stop();
}

static void names_that_are_not_there(void)
{
    lookups = 0;
    lookup_gate = 0;
    start((struct fetcher_opts){.pool = pool_open(1, 16), .resolve = resolve});
    struct ft_call q = {.url = named("nobody.example", "/ok")};
    ft_call(&client, &q);
    T_INT(q.rc, RC_NOTFOUND);
    ft_call(&client, &q);
    T_INT(q.rc, RC_NOTFOUND);
    T(nt_get(&lookups) <= 2); /* a refusal is kept for two seconds */
    struct ft_call broken = {.url = named("broken.example", "/ok")};
    ft_call(&client, &broken);
    T_INT(broken.rc, RC_IO);
    T(strstr(broken.why, "looked up") != NULL);
    stop();
}

static void a_resolver_that_hangs(void)
{
    lookups = 0;
    lookup_gate = 1;
    start((struct fetcher_opts){.pool = pool_open(1, 1), .resolve = resolve});
    struct ft_call q = {.url = named("good.example", "/ok"), .timeout_ms = 100}, other = {.url = url("/ok")};
    ft_call(&client, &q);
    T_INT(q.rc, RC_TIMEOUT);
    ft_call(&client, &other); /* the reactor goes on */
    T_INT(other.rc, RC_OK);
    struct ft_call a = {.url = named("a.example", "/ok"), .timeout_ms = 100};
    struct ft_call b = {.url = named("b.example", "/ok"), .timeout_ms = 100};
    ft_call(&client, &a);
    ft_call(&client, &b);
    T_INT(a.rc, RC_TIMEOUT); /* queued */
    T_INT(b.rc, RC_BUSY);
    reactor_stop(client.r);
    thread_join(client.thread);
    __atomic_store_n(&lookup_gate, 0, __ATOMIC_SEQ_CST);
    pool_close(client.pool);
    fetcher_close(client.f); /* the job is done, nobody wants it any more */
    reactor_close(client.r);
    ft_end(&server);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_SILENT, false);
    hash_seed_init();
    T_RUN(bodies_of_every_form);
    T_RUN(what_is_sent);
    T_RUN(connections_are_kept);
    T_RUN(idle_ones_are_closed);
    T_RUN(a_dead_kept_connection_is_replaced);
    T_RUN(trouble_has_a_name);
    T_RUN(nobody_there);
    T_RUN(over_a_unix_socket);
    T_RUN(requests_that_are_refused);
    T_RUN(a_host_has_so_many_connections);
    T_RUN(many_at_once);
    T_RUN(cancelled_ones_are_silent);
    T_RUN(one_after_the_other_from_done);
    T_RUN(closing_with_requests_under_way);
    T_RUN(stopping_waits_for_an_answer);
    T_RUN(names_are_asked_for_once);
    T_RUN(names_that_are_not_there);
    T_RUN(a_resolver_that_hangs);
    return t_done();
}
