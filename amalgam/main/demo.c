/*
 * demo.c - `postern demo`: everything up, in memory, on loopback, with two APIs, plans, people and a key;
 * then a walk through no key, a good key and too many requests on its own check port.
 *
 * The policies are the files of etc/demo/policies inside the binary. Nothing is written but sockets in
 * a private directory that goes at the end. The walk is a real client over TCP. With --once it ends
 * after the walk with status 0, or 1 when a step did not answer as it must.
 * Single thread besides what app_serve starts. Tested by tests/box/test_demo.py.
 */
#include "base/log.h"
#include "base/rand.h"
#include "main/app.h"
#include "main/cli.h"
#include "wire/cred.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DEMO_EMAIL "ann@example.com"
#define DEMO_HOST "harbour.example.com"
#define DEMO_PATH "/v1/stations"
#define DEMO_TRIES 12

static struct { /* what the walk needs to know; one demo per process */
    struct slice key;
    bool once, failed;
} demo;

/* ---- a small blocking client ---- */

struct demo_answer {
    int status;
    char reason[64], decision[40], user[80], retry[16];
};

static void demo_header(const struct http_status_head *h, struct slice name, char *dst, size_t cap)
{
    dst[0] = 0;
    for (size_t i = 0; i < h->headers_n; i++)
        if (slice_eq_ci(h->headers[i].name, name))
            snprintf(dst, cap, "%.*s", SFMT(h->headers[i].value));
}

static bool demo_exchange(struct app *a, struct slice request, struct demo_answer *out)
{
    static char in[16384];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)a->addrs[DOOR_CHECK].port)};
    struct timeval wait = {.tv_sec = 5};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    size_t n = 0;
    enum rc rc = RC_AGAIN;
    static struct http_status_head h;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 &&
        send(fd, request.p, request.n, MSG_NOSIGNAL) == (ssize_t)request.n) {
        while (rc == RC_AGAIN && n < sizeof in) {
            ssize_t got = recv(fd, in + n, sizeof in - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
            rc = http_status_read(slice_of(in, n), http_limits_default(), &h, NULL);
        }
    }
    if (fd >= 0)
        (void)close(fd);
    if (rc != RC_OK)
        return false;
    out->status = h.status;
    demo_header(&h, S("x-postern-reason"), out->reason, sizeof out->reason);
    demo_header(&h, S("x-postern-decision"), out->decision, sizeof out->decision);
    demo_header(&h, S("x-user-id"), out->user, sizeof out->user);
    demo_header(&h, S("retry-after"), out->retry, sizeof out->retry);
    return true;
}

static struct demo_answer demo_ask(struct app *a, struct slice key)
{
    struct demo_answer answer = {0};
    struct slice request =
        arena_fmt(&a->arena,
                  "GET /auth/forward HTTP/1.1\r\nHost: postern\r\nX-Forwarded-Method: GET\r\n"
                  "X-Forwarded-Proto: https\r\nX-Forwarded-Host: " DEMO_HOST "\r\n"
                  "X-Forwarded-Uri: " DEMO_PATH "\r\nX-Forwarded-For: 192.0.2.7\r\n%s%.*s%s"
                  "Connection: close\r\n\r\n",
                  key.n ? "api-key: " : "", SFMT(key), key.n ? "\r\n" : "");
    if (!demo_exchange(a, request, &answer))
        answer.status = 0;
    return answer;
}

/* ---- the walk ---- */

static void demo_line(const char *what, const struct demo_answer *r, int wanted)
{
    bool good = r->status == wanted;
    demo.failed = demo.failed || !good;
    printf("  %-34s %d  %-14s decision %s%s%s%s%s%s\n", what, r->status, r->reason, r->decision,
           r->user[0] ? "  user " : "", r->user, r->retry[0] ? "  retry after " : "", r->retry,
           r->retry[0] ? " s" : "");
    if (!good)
        printf("  %-34s %d was expected\n", "", wanted);
}

static void demo_walk(struct app *a)
{
    printf("\nThe walk: GET https://" DEMO_HOST DEMO_PATH ", asked of the check port as a gateway does\n\n");
    struct demo_answer r = demo_ask(a, S(""));
    demo_line("without a key", &r, 401);
    r = demo_ask(a, S("pst_thisisnokey"));
    demo_line("with a wrong key", &r, 401);
    r = demo_ask(a, demo.key);
    demo_line("with Ann's key (plan bronze)", &r, 200);
    for (int i = 0; i < DEMO_TRIES && r.status == 200; i++)
        r = demo_ask(a, demo.key);
    demo_line("again, over the plan's limit", &r, 429);
    printf("\n");
}

static void demo_next_steps(struct app *a)
{
    struct slice portal = app_url(a, &a->arena, DOOR_PORTAL), check = app_url(a, &a->arena, DOOR_CHECK);
    char redis[128];
    size_t n = net_addr_format(&a->addrs[DOOR_REDIS], redis);
    struct slice port, host = slice_cut(slice_of(redis, n), ':', &port);
    printf("Portal     %.*s   (its certificate comes from the built-in CA: your browser asks once)\n"
           "Sign in    %.*s  with password  %.*s\n\n"
           "Try next\n"
           "  curl -i %.*s/auth/forward -H 'X-Forwarded-Method: GET' -H 'X-Forwarded-Proto: https' \\\n"
           "       -H 'X-Forwarded-Host: " DEMO_HOST "' -H 'X-Forwarded-Uri: " DEMO_PATH "' \\\n"
           "       -H 'X-Forwarded-For: 192.0.2.7' -H 'api-key: %.*s'\n"
           "  redis-cli -h %.*s -p %.*s --scan\n"
           "  postern key list --data %s\n\n"
           "Everything is in memory and goes when you press Ctrl-C.\n",
           SFMT(portal), SFMT(a->demo_email), SFMT(a->demo_password), SFMT(check), SFMT(demo.key), SFMT(host),
           SFMT(port), a->data_dir);
    fflush(stdout);
}

static void demo_started(struct app *a)
{
    demo_walk(a);
    if (demo.once) {
        app_stop(a);
        printf("%s\n", demo.failed ? "The walk failed." : "The walk is done.");
        fflush(stdout);
        return;
    }
    demo_next_steps(a);
}

/* ---- the seeds ---- */

static enum rc demo_person(struct app *a, struct slice email, struct slice name, enum role role,
                           struct slice phc, struct account *out, struct err *e)
{
    return account_create(a->store, &a->arena, email, name, role, phc, a->started_ms, out, e);
}

static enum rc demo_key(struct app *a, struct slice account_id, const char *name, const char *plan,
                        struct slice *clear, struct err *e)
{
    struct account_key key;
    struct account_key_opts o = {.account_id = account_id,
                                 .name = slice_str(name),
                                 .plan = slice_str(plan),
                                 .prefix = setting(a->settings, SET_PORTAL_KEY_PREFIX),
                                 .config_id = S("demo")};
    return account_key_create(a->store, &a->scheme, &a->arena, &o, a->started_ms, &key, clear, e);
}

static enum rc demo_seed(struct app *a, struct err *e)
{
    char password[20];
    rand_text(password, sizeof password, S("abcdefghijkmnpqrstuvwxyz23456789"));
    password[4] = password[9] = password[14] = '-';
    a->demo_email = S(DEMO_EMAIL);
    a->demo_password = arena_dup(&a->arena, slice_of(password, 19));
    struct account ann, tom;
    struct slice unused;
    struct slice phc = password_hash(&a->arena, a->demo_password);
    enum rc rc = demo_person(a, a->demo_email, S("Ann Harbourmaster"), ROLE_OWNER, phc, &ann, e);
    if (rc == RC_OK)
        rc = demo_person(a, S("tom@example.com"), S("Tom Tidewater"), ROLE_DEVELOPER, S(""), &tom, e);
    if (rc == RC_OK)
        rc = demo_key(a, ann.id, "walk", "bronze", &demo.key, e);
    if (rc == RC_OK)
        rc = demo_key(a, ann.id, "weather station", "gold", &unused, e);
    if (rc == RC_OK)
        rc = demo_key(a, tom.id, "notebook", "silver", &unused, e);
    return rc;
}

static bool demo_is_loopback(const struct ip *ip)
{
    struct ip local;
    return ip_parse(S("127.0.0.1"), &local) && !memcmp(&local, ip, sizeof local);
}

/* A fixed port if it is free, else one that the system picks: a demo never fails for a taken port. */
static enum rc demo_port(struct settings *s, enum setting_id id, struct err *e)
{
    struct net_addr addr;
    bool given = s->v[id].origin == ORIGIN_FLAG;
    enum rc rc = net_addr_parse(given ? setting(s, id) : slice_str(setting_row(id)->otherwise), &addr, e);
    if (rc != RC_OK)
        return rc;
    if (given && (addr.kind != ADDR_TCP || addr.v6_any || !demo_is_loopback(&addr.ip)))
        return err_at(e, RC_BADINPUT, setting_row(id)->flag, "the demo serves on 127.0.0.1 only: 127.0.0.1:PORT "
                      "was expected");
    if (given)
        return RC_OK;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)addr.port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool free_port = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    (void)close(fd);
    return settings_put(s, id, free_port ? slice_str(setting_row(id)->otherwise) : S("127.0.0.1:0"),
                        ORIGIN_FLAG, S("demo"), e);
}

static enum rc demo_settings(struct settings *s, struct err *e)
{
    static const enum setting_id doors[] = {SET_CHECK_LISTEN, SET_REDIS_LISTEN, SET_PORTAL_LISTEN,
                                            SET_ADMIN_LISTEN};
    enum rc rc = settings_put(s, SET_STORE_ENGINE, S("memory"), ORIGIN_FLAG, S("demo"), e);
    if (rc == RC_OK && s->v[SET_LOG_LEVEL].origin == ORIGIN_DEFAULT)
        rc = settings_put(s, SET_LOG_LEVEL, S("warn"), ORIGIN_FLAG, S("demo"), e);
    for (size_t i = 0; i < ARRAY_LEN(doors) && rc == RC_OK; i++)
        rc = demo_port(s, doors[i], e);
    return rc;
}

int cli_demo(struct cli *c)
{
    struct app app;
    struct err e = {0};
    demo.once = cli_has(c, "--once");
    app_block_signals();
    if (demo_settings(&c->settings, &e) != RC_OK)
        return cli_fail(CLI_USAGE, &e);
    enum log_level level = LOG_WARN;
    (void)log_level_parse(setting(&c->settings, SET_LOG_LEVEL), &level);
    log_init(level, setting_num(&c->settings, SET_LOG_JSON) != 0);
    printf("Postern %s demo: in memory, on loopback only, not for production.\n", APP_VERSION_TEXT);
    enum rc rc = app_open(&app, &c->settings, true, &e);
    if (rc == RC_OK)
        rc = demo_seed(&app, &e);
    int status = rc == RC_OK ? app_serve(&app, demo_started, &e) : CLI_CANNOT;
    if (status != CLI_DONE)
        (void)cli_fail(status, &e);
    else if (demo.failed)
        status = CLI_NO;
    app_close(&app);
    return status;
}
#undef DEMO_EMAIL
#undef DEMO_HOST
#undef DEMO_PATH
#undef DEMO_TRIES
