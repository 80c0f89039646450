/*
 * serve.c - brings the doors up, waits for signals, reloads, and brings everything down in order.
 *
 * Threads started here: one reactor per processor for check and redis, one front reactor for portal and
 * admin (TLS handshakes must not delay checks), the control thread. Store and civetweb start theirs.
 * Main's thread then only waits: SIGTERM and SIGINT stop, SIGHUP and a changed file reload policies
 * and certificates. Decides nothing about requests. Tested by tests/box/test_serve.py.
 */
#include "base/log.h"
#include "base/metric.h"
#include "base/os.h"
#include "main/app.h"
#include "main/cli.h"
#include "main/decisions.h"
#include "main/outbound.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVE_WATCH_MS 1000
#define SERVE_CRON_MS 100
#define SERVE_TLS_MS (6 * 3600 * (int64_t)1000) /* the built-in leaf is looked at this often */

/* What one reactor thread owns besides the reactor. */
struct serve_worker {
    struct policy_ctx *policy;
    struct fetcher *fetcher;
    struct check_thread *check;
    pthread_t thread;
};

struct serve {
    struct app *app;
    struct serve_worker *workers;
    pthread_t front;
    struct outbound outbound;
    struct pool *passwords; /* slow password hashes */
    struct throttle *throttle;
    struct decisions *decisions;
    struct policy_ctx **policies; /* of the workers */
    struct net_timer cron;
    int signals;
    uint64_t fingerprint;
    int64_t tls_due_ms; /* monotonic */
};

/* ---- certificates ---- */

static enum rc serve_read_pem(struct app *a, enum setting_id id, struct arena *arena, struct slice *pem,
                              struct err *e)
{
    *pem = S("");
    if (setting(a->settings, id).n == 0)
        return RC_OK;
    return file_read(arena, setting_cstr(a->settings, id), (size_t)1024 * 1024, pem, e);
}

static enum rc serve_keep_facts(struct app *a, struct slice cert_pem, struct err *e)
{
    struct tls_facts facts;
    enum rc rc = tls_cert_facts(cert_pem, &facts, e);
    if (rc != RC_OK)
        return rc;
    lock_take(&a->faults_lock);
    a->portal_cert = facts;
    lock_drop(&a->faults_lock);
    return RC_OK;
}

/* TLS of a door whose files are settings; *out stays NULL when no certificate is set. */
static enum rc serve_tls_files(struct app *a, enum setting_id cert, enum setting_id key,
                               enum setting_id client_ca, struct tls_server **out, struct err *e)
{
    /* HTTP/1.1 before h2: only who offers nothing but h2, as gRPC clients do, means gRPC. */
    static const char *const alpn[] = {"http/1.1", NULL}, *const alpn_check[] = {"http/1.1", "h2", NULL};
    struct arena arena;
    struct tls_opts o = {.alpn = cert == SET_CHECK_TLS_CERT ? alpn_check : alpn};
    if (setting(a->settings, cert).n == 0)
        return RC_OK;
    arena_init(&arena, 16384, (size_t)8 * 1024 * 1024);
    enum rc rc = serve_read_pem(a, cert, &arena, &o.cert_pem, e);
    if (rc == RC_OK)
        rc = serve_read_pem(a, key, &arena, &o.key_pem, e);
    if (rc == RC_OK && client_ca != SET_COUNT)
        rc = serve_read_pem(a, client_ca, &arena, &o.client_ca_pem, e);
    o.client_required = o.client_ca_pem.n > 0;
    if (rc == RC_OK)
        rc = *out ? tls_server_replace(*out, &o, e) : tls_server_open(&o, out, e);
    if (rc == RC_OK && cert == SET_PORTAL_TLS_CERT)
        rc = serve_keep_facts(a, o.cert_pem, e);
    arena_free(&arena);
    return rc;
}

static enum rc serve_tls_builtin(struct app *a, struct err *e)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct slice names[32], rest = setting(a->settings, SET_PORTAL_NAMES);
    size_t n = 0;
    while (rest.n && n < ARRAY_LEN(names)) {
        struct slice name = slice_trim(slice_cut(rest, ',', &rest));
        if (name.n)
            names[n++] = name;
    }
    struct arena arena;
    struct tls_pem pem = {0};
    arena_init(&arena, 16384, (size_t)8 * 1024 * 1024);
    enum rc rc = tls_ca_ensure(&arena, a->in_memory ? NULL : path_join(&arena, a->data_dir, "tls"), names, n,
                               &pem, e);
    struct tls_opts o = {.cert_pem = pem.cert, .key_pem = pem.key, .alpn = alpn};
    if (rc == RC_OK)
        rc = a->portal_tls ? tls_server_replace(a->portal_tls, &o, e)
                           : tls_server_open(&o, &a->portal_tls, e);
    if (rc == RC_OK)
        rc = serve_keep_facts(a, pem.cert, e);
    arena_free(&arena);
    return rc;
}

static enum rc serve_tls(struct app *a, struct err *e)
{
    enum rc rc = RC_OK;
    if (!setting_is(a->settings, SET_PORTAL_LISTEN, "off"))
        rc = setting(a->settings, SET_PORTAL_TLS_CERT).n
                 ? serve_tls_files(a, SET_PORTAL_TLS_CERT, SET_PORTAL_TLS_KEY, SET_COUNT, &a->portal_tls, e)
                 : serve_tls_builtin(a, e);
    if (rc == RC_OK)
        rc = serve_tls_files(a, SET_CHECK_TLS_CERT, SET_CHECK_TLS_KEY, SET_CHECK_TLS_CLIENT_CA, &a->check_tls, e);
    if (rc == RC_OK)
        rc = serve_tls_files(a, SET_REDIS_TLS_CERT, SET_REDIS_TLS_KEY, SET_REDIS_TLS_CLIENT_CA, &a->redis_tls, e);
    return rc;
}

/* ---- doors ---- */

static const struct serve_door {
    enum app_door door;
    enum setting_id listen, conn_max, idle;
    const char *flag, *other; /* the cure when the port is taken */
} serve_doors[] = {
    {DOOR_CHECK, SET_CHECK_LISTEN, SET_CHECK_CONN_MAX, SET_CHECK_IDLE, "--check", "127.0.0.1:8084"},
    {DOOR_REDIS, SET_REDIS_LISTEN, SET_REDIS_CONN_MAX, SET_REDIS_IDLE, "--redis", "127.0.0.1:6380"},
    {DOOR_PORTAL, SET_PORTAL_LISTEN, SET_PORTAL_CONN_MAX, SET_PORTAL_IDLE, "--portal", "127.0.0.1:8444"},
    {DOOR_ADMIN, SET_ADMIN_LISTEN, SET_CHECK_CONN_MAX, SET_PORTAL_IDLE, "--admin", "127.0.0.1:9092"},
};

static unsigned serve_socket_mode(const struct app *a, enum setting_id id)
{
    return (unsigned)strtoul(setting_cstr(a->settings, id), NULL, 8); /* one of three */
}

static void serve_door_opts(struct app *a, enum app_door d, struct listener_opts *o)
{
    size_t redis_in = (size_t)setting_num(a->settings, SET_REDIS_BULK_MAX) + (size_t)64 * 1024 * 1024;
    size_t check_in = (size_t)(setting_num(a->settings, SET_CHECK_BODY_MAX) +
                               setting_num(a->settings, SET_CHECK_HEAD_MAX)) + 65536;
    switch (d) {
    case DOOR_CHECK:
        o->proto = check_proto();
        o->unix_mode = serve_socket_mode(a, SET_CHECK_SOCKET_MODE);
        o->tls = a->check_tls;
        o->in_bytes_max = check_in;
        o->out_bytes_max = (size_t)16 * 1024 * 1024;
        break;
    case DOOR_REDIS:
        o->proto = resp_proto();
        o->ctx = a->resp;
        o->unix_mode = serve_socket_mode(a, SET_REDIS_SOCKET_MODE);
        o->tls = a->redis_tls;
        o->in_bytes_max = redis_in;
        o->out_bytes_max = (size_t)1024 * 1024 * 1024;
        break;
    case DOOR_PORTAL:
        o->proto = portal_proto();
        o->ctx = a->portal;
        o->tls = a->portal_tls;
        o->in_bytes_max = (size_t)setting_num(a->settings, SET_PORTAL_BODY_MAX) + 128 * 1024;
        o->out_bytes_max = (size_t)64 * 1024 * 1024;
        break;
    default:
        o->proto = admin_proto();
        o->ctx = a;
        o->in_bytes_max = 128 * 1024;
        o->out_bytes_max = (size_t)64 * 1024 * 1024;
        break;
    }
}

static enum rc serve_listen(struct app *a, const struct serve_door *row, struct err *e)
{
    struct listener_opts o = {.conn_max = (size_t)setting_num(a->settings, row->conn_max),
                              .idle_ms = setting_num(a->settings, row->idle)};
    enum rc rc = net_addr_parse(setting(a->settings, row->listen), &o.addr, e);
    if (rc != RC_OK || o.addr.kind == ADDR_OFF)
        return rc;
    serve_door_opts(a, row->door, &o);
    bool front = row->door == DOOR_PORTAL || row->door == DOOR_ADMIN;
    rc = listener_open(front ? &a->reactors[a->workers] : a->reactors, front ? 1 : a->workers, &o,
                       &a->listeners[row->door], e);
    a->addrs[row->door] = o.addr;
    if (rc == RC_OK && o.addr.kind == ADDR_TCP)
        a->addrs[row->door].port = listener_port(a->listeners[row->door]);
    if (rc == RC_CONFLICT)
        return err_set(e, rc, "%.*s is taken by another program; choose another address (%s %s) or leave "
                       "this door shut (%s off)", SFMT(setting(a->settings, row->listen)), row->flag, row->other,
                       row->flag);
    if (rc != RC_OK && e && !e->place[0])
        (void)snprintf(e->place, sizeof e->place, "%s", row->flag);
    return rc;
}

/* check.trusted_peers: addresses, ranges, names, the word unix; settings.c has looked at them. */
static void serve_trusted(struct app *a, struct check_opts *o)
{
    struct slice rest = setting(a->settings, SET_CHECK_TRUSTED);
    while (rest.n) {
        struct slice word = slice_trim(slice_cut(rest, ',', &rest));
        if (word.n == 0)
            continue;
        if (slice_eq(word, S("unix"))) {
            o->trust_unix = true;
            continue;
        }
        if (setting_peer_name(word, &o->trusted_names[o->trusted_names_n])) {
            o->trusted_names_n++;
            continue;
        }
        MUST(o->trusted_n < ARRAY_LEN(o->trusted) && cidr_parse(word, &o->trusted[o->trusted_n]));
        o->trusted_n++;
    }
}

static void serve_check_opts(struct app *a, struct check_opts *o)
{
    const struct settings *s = a->settings;
    *o = (struct check_opts){
        .body_bytes_max = (size_t)setting_num(s, SET_CHECK_BODY_MAX),
        .head_ms = setting_num(s, SET_CHECK_HEAD_TIMEOUT),
        .http = {.head_bytes_max = (size_t)setting_num(s, SET_CHECK_HEAD_MAX),
                 .target_bytes_max = (size_t)setting_num(s, SET_CHECK_TARGET_MAX),
                 .headers_max = (size_t)setting_num(s, SET_CHECK_HEADERS_MAX)},
        .streams_max = (uint32_t)setting_num(s, SET_CHECK_STREAMS_MAX),
        .ratelimit_headers = setting_num(s, SET_CHECK_RATELIMIT_HEADERS) != 0,
        .x_ratelimit_headers = setting_num(s, SET_CHECK_X_RATELIMIT_HEADERS) != 0};
    serve_trusted(a, o);
}

static enum rc serve_open_resp(struct app *a, struct err *e)
{
    const struct settings *s = a->settings;
    struct net_addr addr;
    enum rc rc = net_addr_parse(setting(s, SET_REDIS_LISTEN), &addr, e);
    if (rc != RC_OK || addr.kind == ADDR_OFF)
        return rc;
    struct resp_opts o = {.store = a->store,
                          .password = setting(s, SET_REDIS_PASSWORD),
                          .port = addr.port,
                          .maxclients = (size_t)setting_num(s, SET_REDIS_CONN_MAX),
                          .timeout_ms = setting_num(s, SET_REDIS_IDLE),
                          .maxmemory_bytes = (uint64_t)setting_num(s, SET_STORE_MAXMEMORY),
                          .durability = app_durability(s),
                          .limits = {.bulk_bytes_max = (size_t)setting_num(s, SET_REDIS_BULK_MAX),
                                     .inline_bytes_max = (size_t)setting_num(s, SET_REDIS_INLINE_MAX),
                                     .args_max = (size_t)setting_num(s, SET_REDIS_ARGS_MAX)},
                          .version = APP_VERSION_TEXT,
                          .redis_version = setting_cstr(s, SET_REDIS_VERSION),
                          .shutdown = (void (*)(void *))app_stop,
                          .shutdown_ctx = a};
    struct resp_server *r = resp_server_open(&o, a->reactors, a->workers);
    lock_take(&a->resp_lock);
    a->resp = r;
    lock_drop(&a->resp_lock);
    resp_metrics_join(r);
    return RC_OK;
}

/* Where the samples send requests. In the demo there is no gateway: the check port itself answers. */
static struct slice serve_gateway_url(struct app *a, struct slice check_url)
{
    return a->demo ? arena_fmt(&a->arena, "%.*s/auth/envoy", SFMT(check_url))
                   : setting(a->settings, SET_PORTAL_GATEWAY_URL);
}

/* After the check port is bound: the portal tells its address. */
static enum rc serve_open_portal(struct app *a, struct err *e)
{
    const struct settings *s = a->settings;
    if (setting_is(s, SET_PORTAL_LISTEN, "off"))
        return RC_OK;
    struct slice check_url = a->listeners[DOOR_CHECK] ? app_url(a, &a->arena, DOOR_CHECK) : S("");
    struct portal_opts o = {.store = a->store,
                            .box = a->box,
                            .scheme = &a->scheme,
                            .version = slice_str(APP_VERSION_TEXT),
                            .title = setting(s, SET_PORTAL_TITLE),
                            .key_prefix = setting(s, SET_PORTAL_KEY_PREFIX),
                            .gateway_url = serve_gateway_url(a, check_url),
                            .check_url = check_url,
                            .public_catalogue = setting_num(s, SET_PORTAL_PUBLIC) != 0,
                            .demo = a->demo,
                            .demo_email = a->demo_email,
                            .demo_password = a->demo_password,
                            .session_idle_ms = setting_num(s, SET_PORTAL_SESSION_IDLE),
                            .session_absolute_ms = setting_num(s, SET_PORTAL_SESSION_MAX),
                            .body_bytes_max = (size_t)setting_num(s, SET_PORTAL_BODY_MAX),
                            .threads = 4,
                            .socket_dir = a->data_dir,
                            .health = app_health,
                            .policy_faults = app_faults_json,
                            .explain = app_explain,
                            .recent = app_recent,
                            .decide = app_decide,
                            .ctx = a};
    portal_metrics_join();
    return portal_open(&o, &a->portal, e);
}

/* ---- threads ---- */

static void *serve_reactor(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static void serve_cron(struct net_timer *t, struct reactor *r)
{
    struct serve *s = CONTAINER_OF(t, struct serve, cron);
    store_cron(s->app->store, reactor_now_ms(r));
    timer_arm(r, t, SERVE_CRON_MS);
}

static struct throttle *serve_throttle(const struct settings *s)
{
    struct cidr exempt[THROTTLE_EXEMPT_MAX];
    struct throttle_opts o = {.address_failures = (uint32_t)setting_num(s, SET_THROTTLE_ADDRESS),
                              .account_failures = (uint32_t)setting_num(s, SET_THROTTLE_ACCOUNT),
                              .window_ms = setting_num(s, SET_THROTTLE_WINDOW),
                              .exempt = exempt};
    struct slice rest = setting(s, SET_THROTTLE_EXEMPT);
    while (rest.n) {
        struct slice word = slice_trim(slice_cut(rest, ',', &rest));
        if (word.n) /* settings.c has looked at them */
            MUST(o.exempt_n < ARRAY_LEN(exempt) && cidr_parse(word, &exempt[o.exempt_n++]));
    }
    return throttle_open(&o);
}

static enum rc serve_open_reactors(struct serve *s, struct err *e)
{
    struct app *a = s->app;
    int threads = (int)setting_num(a->settings, SET_THREADS);
    a->workers = (size_t)(threads ? threads : MAX(1, cpu_count() - 1));
    a->reactors = ARENA_ARRAY(&a->arena, struct reactor *, a->workers + 1);
    s->workers = ARENA_ARRAY(&a->arena, struct serve_worker, a->workers + 1);
    s->policies = ARENA_ARRAY(&a->arena, struct policy_ctx *, a->workers + 1);
    struct check_opts opts;
    enum rc rc = decisions_open(a->settings, &s->decisions, e);
    serve_check_opts(a, &opts);
    s->passwords = pool_open((int)setting_num(a->settings, SET_PASSWORDS_THREADS),
                             (size_t)setting_num(a->settings, SET_PASSWORDS_QUEUE));
    s->throttle = serve_throttle(a->settings);
    for (size_t i = 0; i <= a->workers && rc == RC_OK; i++) {
        rc = reactor_open((int)i, &a->reactors[i], e);
        if (rc != RC_OK || i == a->workers)
            break;
        s->workers[i].fetcher = outbound_fetcher(&s->outbound, a->reactors[i]);
        struct policy_ctx_opts p = {.box = a->box, .store = a->store, .scheme = &a->scheme,
                                    .fetcher = s->workers[i].fetcher,
                                    .lua_instructions = (uint64_t)setting_num(a->settings, SET_LUA_INSTRUCTIONS),
                                    .lua_memory_bytes = (size_t)setting_num(a->settings, SET_LUA_MEMORY),
                                    .explain_max = (size_t)setting_num(a->settings, SET_CHECK_EXPLAIN),
                                    .reactor = a->reactors[i], .pool = s->passwords,
                                    .throttle = s->throttle, .log = decisions_queue(s->decisions)};
        s->workers[i].policy = s->policies[i] = policy_ctx_open(&p);
        reactor_set_ctx(a->reactors[i], REACTOR_CTX_MAIN, s->workers[i].policy);
        s->workers[i].check = check_thread_open(&opts, s->workers[i].policy, a->store);
        reactor_set_ctx(a->reactors[i], REACTOR_CTX_CHECK, s->workers[i].check);
    }
    return rc;
}

static enum rc serve_up(struct serve *s, struct err *e)
{
    struct app *a = s->app;
    enum rc rc = outbound_open(a->settings, &s->outbound, e);
    check_metrics_join();
    if (rc == RC_OK)
        rc = serve_open_reactors(s, e);
    if (rc == RC_OK)
        rc = serve_tls(a, e);
    if (rc == RC_OK)
        rc = serve_open_resp(a, e);
    for (size_t i = 0; i < ARRAY_LEN(serve_doors) && rc == RC_OK; i++) {
        if (serve_doors[i].door == DOOR_PORTAL)
            rc = serve_open_portal(a, e);
        if (rc == RC_OK)
            rc = serve_listen(a, &serve_doors[i], e);
    }
    if (rc == RC_OK)
        rc = control_start(a, e);
    if (rc != RC_OK)
        return rc;
    s->cron.fire = serve_cron;
    timer_arm(a->reactors[a->workers], &s->cron, SERVE_CRON_MS);
    decisions_start(s->decisions, s->policies, a->workers);
    for (size_t i = 0; i < a->workers; i++)
        s->workers[i].thread = thread_start("reactor", serve_reactor, a->reactors[i]);
    s->front = thread_start("front", serve_reactor, a->reactors[a->workers]);
    a->ready = true;
    return RC_OK;
}

static void serve_stop_threads(struct serve *s)
{
    struct app *a = s->app;
    for (int d = 0; d < DOORS; d++)
        if (a->listeners[d])
            listener_stop(a->listeners[d]);
    for (size_t i = 0; i <= a->workers; i++)
        reactor_stop(a->reactors[i]);
    for (size_t i = 0; i < a->workers; i++)
        thread_join(s->workers[i].thread);
    thread_join(s->front);
}

/* threads: they were started, so everything was. Else whatever there is. */
static void serve_down(struct serve *s, bool threads)
{
    struct app *a = s->app;
    a->ready = false;
    a->stopping = true;
    control_stop(a);
    if (threads)
        serve_stop_threads(s);
    lock_take(&a->resp_lock); /* from here on the log thread wakes nobody */
    struct resp_server *resp = a->resp;
    a->resp = NULL;
    a->reactors_gone = true;
    lock_drop(&a->resp_lock);
    for (int d = 0; d < DOORS; d++)
        if (a->listeners[d])
            listener_close(a->listeners[d]);
    pool_stop(s->passwords); /* what it finished is told when the fetchers are closed */
    outbound_stop(&s->outbound);
    for (size_t i = 0; i < a->workers; i++)
        fetcher_close(s->workers[i].fetcher);
    for (size_t i = 0; i <= a->workers; i++)
        if (a->reactors[i])
            reactor_close(a->reactors[i]);
    if (a->portal)
        portal_close(a->portal); /* after the reactors: the front's connections point to it */
    if (resp)
        resp_server_close(resp);
    decisions_close(s->decisions);
    for (size_t i = 0; i < a->workers; i++) {
        if (s->workers[i].check)
            check_thread_close(s->workers[i].check);
        if (s->workers[i].policy)
            policy_ctx_close(s->workers[i].policy);
    }
    pool_close(s->passwords); /* decisions that went on until now may have asked it, in vain */
    throttle_close(s->throttle);
    outbound_close(&s->outbound);
    struct tls_server *tls[] = {a->portal_tls, a->check_tls, a->redis_tls};
    for (size_t i = 0; i < ARRAY_LEN(tls); i++)
        if (tls[i])
            tls_server_close(tls[i]);
}

/* ---- waiting ---- */

static void serve_reload_tls(struct serve *s)
{
    struct err e = {0};
    s->tls_due_ms = clock_mono_ms() + SERVE_TLS_MS;
    if (serve_tls(s->app, &e) != RC_OK)
        log_event(LOG_ERROR, "tls.reload_failed", "text=%s (the certificate before stays in force)",
                  log_quote(slice_str(e.text)));
}

static void serve_reload(struct serve *s, const char *why)
{
    struct err e = {0};
    s->fingerprint = app_fingerprint(s->app);
    enum rc rc = app_load_policies(s->app, &e);
    if (rc == RC_OK)
        log_event(LOG_INFO, "policy.reloaded", "why=%s version=%llu", why,
                  (unsigned long long)policy_box_version(s->app->box));
    else
        log_event(LOG_ERROR, "policy.reload_failed", "why=%s text=%s (the set before stays in force)", why,
                  log_quote(slice_str(e.text)));
    serve_reload_tls(s);
}

static sigset_t serve_signal_set(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

void app_block_signals(void)
{
    sigset_t set = serve_signal_set();
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void serve_wait(struct serve *s)
{
    struct app *a = s->app;
    while (!a->stopping) {
        struct pollfd p = {.fd = s->signals, .events = POLLIN};
        struct signalfd_siginfo info;
        if (poll(&p, 1, SERVE_WATCH_MS) > 0 && read(s->signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP) {
                decisions_reopen(s->decisions);
                serve_reload(s, "SIGHUP");
                continue;
            }
            log_event(LOG_INFO, "serve.stopping", "signal=%u", info.ssi_signo);
            return;
        }
        if (!a->stopping && app_fingerprint(a) != s->fingerprint)
            serve_reload(s, "file");
        if (!a->stopping && clock_mono_ms() >= s->tls_due_ms)
            serve_reload_tls(s);
    }
}

void app_stop(struct app *a)
{
    a->stopping = true;
}

/* systemd's Type=notify: one datagram to $NOTIFY_SOCKET. */
static void serve_notify_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof sa.sun_path)
        return;
    memcpy(sa.sun_path, path, strlen(path));
    if (sa.sun_path[0] == '@')
        sa.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)!sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa, n);
    (void)close(fd);
}

/* As many descriptors as the system lets us have: connections are the limit, not this. */
static void serve_raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

int app_serve(struct app *a, void (*started)(struct app *a), struct err *e)
{
    struct serve s = {.app = a, .tls_due_ms = clock_mono_ms() + SERVE_TLS_MS};
    sigset_t set = serve_signal_set();
    serve_raise_files();
    s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signals < 0) {
        (void)err_os(e, "cannot wait for signals");
        return CLI_CANNOT;
    }
    s.fingerprint = app_fingerprint(a);
    enum rc rc = app_load_policies(a, e);
    if (rc == RC_OK)
        rc = serve_up(&s, e);
    if (rc == RC_OK) {
        serve_notify_ready();
        started(a);
        serve_wait(&s);
    }
    if (a->reactors)
        serve_down(&s, rc == RC_OK);
    (void)close(s.signals);
    return rc == RC_OK ? CLI_DONE : CLI_CANNOT;
}

/* ---- the command ---- */

static void serve_banner(struct app *a)
{
    struct err e = {0};
    struct slice link = a->portal ? ops_setup_link(a, &a->arena, &e) : S("");
    struct policy_counts n;
    struct policy_set *set = policy_box_get(a->box);
    policy_count(set, &n);
    policy_set_drop(set);
    static const char *const names[DOORS] = {"check", "redis", "portal", "admin"};
    fprintf(stderr, "\nPostern %s is ready.\n", APP_VERSION_TEXT);
    for (int d = 0; d < DOORS; d++)
        if (a->listeners[d])
            fprintf(stderr, "  %-9s %.*s\n", names[d], SFMT(app_url(a, &a->arena, (enum app_door)d)));
    fprintf(stderr, "  %-9s %s\n", "data", a->in_memory ? "in memory; gone when Postern stops" : a->data_dir);
    fprintf(stderr, "  %-9s %s (%zu resources, %zu routes)\n", "policies", a->policies_dir, n.resources,
            n.routes);
    if (n.resources == 0)
        fprintf(stderr, "\nThere are no policies yet: every check is denied. Put YAML files there, they are taken "
                        "up at once.\n");
    if (link.n)
        fprintf(stderr, "\nFirst step: open this link within 30 minutes and make your account\n  %.*s\n",
                SFMT(link));
    fprintf(stderr, "\n");
}

int cli_serve(struct cli *c)
{
    struct app app;
    struct err e = {0};
    app_block_signals();
    enum rc rc = app_open(&app, &c->settings, false, &e);
    int status = rc == RC_OK ? app_serve(&app, serve_banner, &e) : CLI_CANNOT;
    if (status != CLI_DONE)
        (void)cli_fail(status, &e);
    app_close(&app);
    return status;
}
#undef SERVE_WATCH_MS
#undef SERVE_CRON_MS
#undef SERVE_TLS_MS
