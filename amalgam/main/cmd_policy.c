/*
 * cmd_policy.c - check-config and eval: the policies without a server.
 *
 * Read only: neither makes a data directory. eval decides one request against the files with an empty
 * store in memory (keys of `Secret` resources work; keys of the data directory do not: ask the
 * running Postern with POST /v1/decide for those). Single thread. Tested by tests/box/test_cli.py.
 */
#include "base/os.h"
#include "main/app.h"
#include "main/cli.h"
#include "main/outbound.h"
#include <stdio.h>
#include <unistd.h>

#define CMD_REQUEST_MAX ((size_t)4 * 1024 * 1024)
#define CMD_WAIT_MS 60000

static enum rc cmd_load(struct cli *c, bool strict, struct policy_set **set, struct policy_faults *f,
                        struct err *e)
{
    const char *dir = setting_cstr(&c->settings, SET_POLICIES_DIR);
    if (!*dir)
        dir = path_join(&c->arena, setting_cstr(&c->settings, SET_DATA_DIR), "policies");
    const char *lua = setting_cstr(&c->settings, SET_LUA_DIR);
    if (!*lua)
        lua = path_join(&c->arena, setting_cstr(&c->settings, SET_DATA_DIR), "lua");
    struct policy_opts o = {.dir = dir, .lua_dir = lua,
                            .strict = strict || setting_num(&c->settings, SET_POLICIES_STRICT)};
    *set = NULL;
    if (!path_is_dir(dir))
        return err_at(e, RC_NOTFOUND, dir, "there is no such directory; name yours with --policies DIR");
    return policy_load(&o, set, f);
}

static void cmd_print_faults(const struct policy_faults *f, FILE *to)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct policy_fault *r = &f->rows[i];
        fprintf(to, "%.*s:%d:%d: %s: %.*s%s%.*s\n", SFMT(r->file), r->line, r->col,
                r->notice ? "notice" : "error", SFMT(r->path), r->path.n ? ": " : "", SFMT(r->text));
    }
}

static void cmd_faults_json(const struct policy_faults *f, bool good)
{
    struct buf b;
    struct jsonw w;
    buf_init(&b, (size_t)64 * 1024 * 1024);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    jsonw_kbool(&w, S("ok"), good);
    jsonw_key(&w, S("faults"));
    policy_faults_json(f, &w);
    jsonw_end_obj(&w);
    printf("%.*s\n", SFMT(buf_all(&b)));
    buf_free(&b);
}

int cli_check_config(struct cli *c)
{
    struct policy_faults f;
    struct policy_set *set;
    struct err e = {0};
    policy_faults_init(&f);
    enum rc rc = cmd_load(c, cli_has(c, "--strict"), &set, &f, &e);
    if (rc != RC_OK && f.n == 0) {
        policy_faults_free(&f);
        return cli_fail(CLI_CANNOT, &e);
    }
    if (c->json)
        cmd_faults_json(&f, rc == RC_OK);
    else
        cmd_print_faults(&f, stdout);
    if (rc == RC_OK && !c->json) {
        struct policy_counts n;
        policy_count(set, &n);
        printf("%zu files, %zu resources, %zu routes, %zu APIs, %zu plans: fine\n", n.files, n.resources,
               n.routes, n.apis, n.plans);
    }
    if (set)
        policy_set_drop(set);
    policy_faults_free(&f);
    return rc == RC_OK ? CLI_DONE : CLI_NO;
}

/* ---- eval ---- */

static enum rc cmd_read_stdin(struct arena *a, struct slice *out, struct err *e)
{
    struct buf b;
    buf_init(&b, CMD_REQUEST_MAX);
    ssize_t n = 1;
    while (n > 0 && buf_room(&b, 65536)) {
        n = read(STDIN_FILENO, b.p + b.n, b.cap - b.n);
        b.n += n > 0 ? (size_t)n : 0;
    }
    *out = arena_dup(a, buf_all(&b));
    bool over = buf_over(&b);
    buf_free(&b);
    return over ? err_set(e, RC_TOOBIG, "the request is larger than 4 MiB") : RC_OK;
}

static enum rc cmd_read_request(struct cli *c, struct policy_ask *q, struct err *e)
{
    struct slice file = cli_flag(c, "--request"), text;
    struct json *j;
    enum rc rc = file.p ? file_read(&c->arena, file.p, CMD_REQUEST_MAX, &text, e)
                        : cmd_read_stdin(&c->arena, &text, e);
    if (rc == RC_OK)
        rc = json_parse(&c->arena, text, CMD_REQUEST_MAX, &j, e);
    return rc == RC_OK ? policy_ask_from_json(&c->arena, j, q, e) : rc;
}

static void cmd_print_verdict(const struct policy_verdict *v, bool trace)
{
    printf("%s %d %.*s: %.*s\n", v->allowed ? "allow" : "deny", v->status, SFMT(v->reason), SFMT(v->words));
    if (v->rule.n)
        printf("rule     %.*s\n", SFMT(v->rule));
    for (size_t i = 0; i < v->upstream_n; i++)
        printf("upstream %.*s: %.*s\n", SFMT(v->upstream[i].name), SFMT(v->upstream[i].value));
    for (size_t i = 0; i < v->remove_n; i++)
        printf("remove   %.*s\n", SFMT(v->remove[i]));
    for (size_t i = 0; i < v->client_n; i++)
        printf("client   %.*s: %.*s\n", SFMT(v->client[i].name), SFMT(v->client[i].value));
    for (size_t i = 0; trace && i < v->trace_n; i++) {
        const struct policy_trace *t = &v->trace[i];
        printf("step     %.*s %.*s %.*s (%.*s) %.*s\n", SFMT(t->said), SFMT(t->step), SFMT(t->policy),
               SFMT(t->rule), SFMT(t->detail));
    }
}

/* One question, with a reactor of its own for steps that ask other servers. */
struct cmd_run {
    struct cli *c;
    struct reactor *r;
    bool trace, late;
    int status; /* CLI_CANNOT until there is a verdict */
    struct net_timer limit;
};

static void cmd_show(struct cmd_run *x, const struct policy_verdict *v)
{
    x->status = v->allowed ? CLI_DONE : CLI_NO;
    if (x->c->json) {
        struct buf b;
        buf_init(&b, CMD_REQUEST_MAX);
        policy_verdict_json(v, true, &b);
        printf("%.*s\n", SFMT(buf_all(&b)));
        buf_free(&b);
    } else {
        cmd_print_verdict(v, x->trace);
    }
}

static void cmd_decided(void *user, const struct policy_verdict *v)
{
    struct cmd_run *x = user;
    if (!x->late)
        cmd_show(x, v);
    reactor_stop(x->r);
}

static void cmd_late(struct net_timer *t, struct reactor *r)
{
    CONTAINER_OF(t, struct cmd_run, limit)->late = true;
    reactor_stop(r);
}

static void cmd_ask(struct cmd_run *x, struct policy_ctx *p, const struct policy_ask *q, struct err *e)
{
    struct policy_verdict v;
    policy_begin(p, q->now_ms);
    enum rc rc = policy_decide(p, q, &v, cmd_decided, x);
    if (rc == RC_OK) {
        cmd_show(x, &v);
        return;
    }
    if (rc != RC_AGAIN) {
        (void)err_set(e, rc, "no decision: %s", rc_name(rc));
        return;
    }
    x->limit.fire = cmd_late;
    timer_arm(x->r, &x->limit, CMD_WAIT_MS);
    reactor_run(x->r);
    timer_cancel(x->r, &x->limit);
    x->late = x->status == CLI_CANNOT;
    if (x->late)
        (void)err_set(e, RC_TIMEOUT, "no decision within %d seconds: another server does not answer",
                      CMD_WAIT_MS / 1000);
}

static int cmd_decide(struct cli *c, struct app *a, struct policy_set *set, struct policy_ask *q, struct err *e)
{
    struct outbound outbound = {0};
    struct cmd_run x = {.c = c, .trace = cli_has(c, "--trace") || c->json, .status = CLI_CANNOT};
    a->box = policy_box_open(set);
    if (outbound_open(&c->settings, &outbound, e) != RC_OK || reactor_open(0, &x.r, e) != RC_OK) {
        outbound_close(&outbound);
        return CLI_CANNOT;
    }
    struct fetcher *fetcher = outbound_fetcher(&outbound, x.r);
    struct policy_ctx_opts o = {.box = a->box, .store = a->store, .scheme = &a->scheme, .fetcher = fetcher,
                                .reactor = x.r,
                                .lua_instructions = (uint64_t)setting_num(&c->settings, SET_LUA_INSTRUCTIONS),
                                .lua_memory_bytes = (size_t)setting_num(&c->settings, SET_LUA_MEMORY)};
    struct policy_ctx *p = policy_ctx_open(&o);
    q->now_ms = clock_wall_ms();
    q->trace = x.trace;
    cmd_ask(&x, p, q, e);
    outbound_stop(&outbound);
    fetcher_close(fetcher);
    policy_ctx_close(p);
    reactor_close(x.r);
    outbound_close(&outbound);
    return x.status;
}

static void cmd_print_explained(const struct json *d)
{
    static const char *const rows[] = {"decision_id", "method", "host", "path", "status", "reason", "words",
                                       "rule", "route", "user", "plan", "key_id"};
    const struct json *steps = json_get(d, S("trace"));
    printf("%s\n", json_bool(d, S("allowed"), false) ? "allowed" : "denied");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *v = json_get(d, slice_str(rows[i]));
        if (v && v->kind == JSON_STR)
            printf("%-12s %.*s\n", rows[i], SFMT(v->s));
        else if (v && v->kind == JSON_INT)
            printf("%-12s %lld\n", rows[i], (long long)v->i);
    }
    for (uint32_t i = 0; steps && i < steps->n; i++) {
        const struct json *t = &steps->items[i];
        printf("%-12s %.*s %.*s %.*s (%.*s) %.*s, %lld us\n", "step", SFMT(json_str(t, S("said"))),
               SFMT(json_str(t, S("step"))), SFMT(json_str(t, S("policy"))), SFMT(json_str(t, S("rule"))),
               SFMT(json_str(t, S("detail"))), (long long)json_int(t, S("took_ns"), 0) / 1000);
    }
}

static int cmd_explain(struct cli *c, struct slice id)
{
    struct buf args, out;
    struct jsonw w;
    struct json *d;
    struct err e = {0};
    buf_init(&args, 4096);
    buf_init(&out, CMD_REQUEST_MAX);
    jsonw_init(&w, &args);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("id"), id);
    jsonw_end_obj(&w);
    enum rc rc = control_call(&c->settings, "decision.show", buf_all(&args), &out, &e);
    if (rc == RC_OK)
        rc = json_parse(&c->arena, buf_all(&out), CMD_REQUEST_MAX, &d, &e);
    if (rc == RC_OK && c->json)
        printf("%.*s\n", SFMT(buf_all(&out)));
    else if (rc == RC_OK)
        cmd_print_explained(d);
    buf_free(&args);
    buf_free(&out);
    if (rc == RC_OK)
        return CLI_DONE;
    return cli_fail(rc == RC_NOTFOUND ? CLI_NO : rc == RC_BADINPUT ? CLI_USAGE : CLI_CANNOT, &e);
}

int cli_eval(struct cli *c)
{
    struct policy_faults f;
    struct policy_set *set;
    struct policy_ask q = {0};
    struct app a = {0};
    struct err e = {0};
    if (cli_flag(c, "--explain").p)
        return cmd_explain(c, cli_flag(c, "--explain"));
    policy_faults_init(&f);
    enum rc rc = cmd_read_request(c, &q, &e);
    int status = rc == RC_BADINPUT ? CLI_USAGE : CLI_CANNOT;
    if (rc == RC_OK)
        rc = cmd_load(c, false, &set, &f, &e);
    if (rc != RC_OK && f.n)
        cmd_print_faults(&f, stderr);
    else if (rc != RC_OK)
        (void)cli_fail(status, &e);
    struct store_opts memory = {.engine = STORE_MEMORY};
    if (rc == RC_OK)
        rc = store_open(&memory, &a.store, &e);
    if (rc == RC_OK) {
        struct slice secret = setting(&c->settings, SET_SECRET_KEY);
        hmac_key_init(&a.scheme.hmac, secret.n ? secret : S("eval"));
        status = cmd_decide(c, &a, set, &q, &e);
        if (status == CLI_CANNOT)
            (void)cli_fail(status, &e);
        policy_box_close(a.box);
        store_close(a.store);
    }
    policy_faults_free(&f);
    return status;
}
#undef CMD_REQUEST_MAX
#undef CMD_WAIT_MS
