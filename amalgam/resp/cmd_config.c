/*
 * cmd_config.c - CONFIG GET, SET, RESETSTAT, REWRITE, and what a setting does when it changes.
 *
 * Values live in the server as text, by row of config_table.c. SET checks all pairs before it
 * changes one; when an effect fails the earlier ones are put back. Changes last until the next
 * start: the lasting place is postern.yaml, so REWRITE is refused with that advice. Inside the
 * store's lock. Tested by test_resp_commands.c and the Redis suite (unit/introspection).
 */
#include "base/glob.h"
#include "resp/config_table.h"
#include "resp/resp_int.h"

/* ---- effects ---- */

static int64_t cmd_config_number(struct slice value)
{
    int64_t n = 0;
    (void)slice_i64(value, &n);
    return n;
}

static void cmd_config_set_password(struct resp_server *s, struct slice value)
{
    mem_wipe((void *)(uintptr_t)s->password.p, s->password.n);
    slice_disown(&s->password);
    s->password = slice_own(value);
}

static void cmd_config_set_limits(struct resp_server *s, struct slice value)
{
    uint64_t l[3][3] = {{0}};
    (void)config_limits(value, l);
    for (size_t i = 0; i < 3; i++)
        s->out_max[i] = (size_t)l[i][0];
}

/* Returns what is wrong, or NULL. */
static const char *cmd_config_apply(struct resp_server *s, enum config_effect effect,
                                    struct slice value)
{
    int64_t n = cmd_config_number(value);
    switch (effect) {
    case CFG_MAXMEMORY:
        store_set_maxmemory(s->st, (uint64_t)n);
        (void)!store_make_room(s->st); /* a lower bound evicts at once */
        break;
    case CFG_EVICTION:
        return store_set_eviction(s->st, value) == RC_OK ? NULL : "unknown policy";
    case CFG_NOTIFICATIONS:
        return store_set_notify(s->st, value) != RC_OK
                   ? "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
                   : NULL;
    case CFG_DURABILITY: /* the memory engine has nothing to sync: accepted */
        (void)!store_set_durability(s->st, slice_eq(value, S("always")) ? STORE_ALWAYS
                                           : slice_eq(value, S("no"))   ? STORE_NO
                                                                        : STORE_EVERYSEC);
        break;
    case CFG_PASSWORD:
        cmd_config_set_password(s, value);
        break;
    case CFG_TIMEOUT:
        s->opts.timeout_ms = n * 1000;
        break;
    case CFG_MAXCLIENTS:
        s->opts.maxclients = (size_t)n;
        break;
    case CFG_SLOW_US:
        s->slow_us = n;
        break;
    case CFG_SLOW_MAX:
        s->slow_max = (size_t)n;
        break;
    case CFG_LATENCY:
        s->latency_ms = n;
        break;
    case CFG_BULK_MAX:
        __atomic_store_n(&s->limits.bulk_bytes_max, (size_t)n, __ATOMIC_RELAXED);
        break;
    case CFG_OUT_LIMITS:
        cmd_config_set_limits(s, value);
        break;
    case CFG_PORT:
        return n == s->opts.port ? NULL
                                 : "Unable to listen on this port. It is set in postern.yaml.";
    case CFG_BIND:
        return slice_eq(value, config_value(s, "bind"))
                   ? NULL
                   : "Failed to bind to specified addresses. They are set in postern.yaml.";
    case CFG_NO_EFFECT:
    case CFG_OWN_VALUE:
        break;
    }
    return NULL;
}

/* ---- start ---- */

static size_t cmd_config_index(const struct config_row *r)
{
    return (size_t)(r - config_row_at(0));
}

/* What the options and the store say already at start is shown, not set. */
static struct slice cmd_config_first(const struct resp_server *s, struct arena *a,
                                     const struct config_row *r)
{
    switch (r->effect) {
    case CFG_PASSWORD:
        return s->password;
    case CFG_EVICTION:
        return store_eviction(s->st);
    case CFG_NOTIFICATIONS:
        return store_notify(s->st);
    case CFG_MAXMEMORY:
        return arena_fmt(a, "%llu", (unsigned long long)s->opts.maxmemory_bytes);
    case CFG_DURABILITY:
        return slice_str(s->opts.durability == STORE_ALWAYS ? "always"
                         : s->opts.durability == STORE_NO   ? "no"
                                                            : "everysec");
    case CFG_TIMEOUT:
        return arena_fmt(a, "%lld", (long long)s->opts.timeout_ms / 1000);
    case CFG_MAXCLIENTS:
        return arena_fmt(a, "%zu", s->opts.maxclients);
    case CFG_BULK_MAX:
        return arena_fmt(a, "%zu", s->limits.bulk_bytes_max);
    case CFG_PORT:
        return arena_fmt(a, "%d", s->opts.port);
    case CFG_SLOW_US:
    case CFG_SLOW_MAX:
    case CFG_LATENCY:
    case CFG_OUT_LIMITS:
        (void)cmd_config_apply((struct resp_server *)(uintptr_t)s, r->effect, slice_str(r->def));
        break;
    case CFG_BIND:
    case CFG_NO_EFFECT:
    case CFG_OWN_VALUE:
        break;
    }
    return slice_str(r->def);
}

void config_open(struct resp_server *s)
{
    struct arena a;
    arena_init(&a, 4096, 0);
    s->config = mem_zalloc(config_rows_n() * sizeof *s->config);
    for (size_t i = 0; i < config_rows_n(); i++) {
        if (config_row_at(i)->kind != CFG_SECRET)
            s->config[i] = mem_strdup(arena_cstr(&a, cmd_config_first(s, &a, config_row_at(i))));
    }
    arena_free(&a);
}

void config_close(struct resp_server *s)
{
    for (size_t i = 0; i < config_rows_n(); i++)
        mem_free(s->config[i]);
    mem_free(s->config);
}

static struct slice cmd_config_get_row(const struct resp_server *s, const struct config_row *r)
{
    if (r->effect == CFG_PASSWORD)
        return s->password;
    if (r->effect == CFG_NOTIFICATIONS)
        return store_notify(s->st);
    return slice_str(s->config[cmd_config_index(r)]);
}

struct slice config_value(const struct resp_server *s, const char *name)
{
    const struct config_row *r = config_row_find(slice_str(name));
    return r != NULL ? cmd_config_get_row(s, r) : S("");
}

/* ---- GET ---- */

static bool cmd_config_matches(struct resp_client *c, const char *name, bool exactly)
{
    for (size_t i = 2; name != NULL && i < c->argc; i++) {
        struct slice asked = c->argv[i];
        if (exactly ? slice_eq_ci(asked, slice_str(name))
                    : glob_match(asked, slice_str(name), true))
            return true;
    }
    return false;
}

void cmd_config_get(struct resp_client *c)
{
    struct resp_gather g = gather_begin(c);
    for (size_t i = 0; i < config_rows_n(); i++) {
        const struct config_row *r = config_row_at(i);
        const char *names[] = {r->name, r->alias};
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            if (!cmd_config_matches(c, names[k], r->flags & CFG_HIDDEN))
                continue;
            gather_bulk(&g, slice_str(names[k]));
            gather_bulk(&g, cmd_config_get_row(c->srv, r));
        }
    }
    reply_map(c, g.n / 2);
    buf_slice(c->out, buf_all(g.b));
}

/* ---- SET ---- */

struct cmd_config_change {
    const struct config_row *row;
    struct slice old, now; /* in the arena */
};

static void cmd_config_failed(struct resp_client *c, struct slice name, const char *why)
{
    resp_errorf(c->out, "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
                arena_cstr(&c->th->arena, slice_sub(name, 0, 128)), why);
}

/* All pairs checked, none applied; false: answered. */
static bool cmd_config_plan(struct resp_client *c, struct cmd_config_change *plan, size_t n)
{
    struct arena *a = &c->th->arena;
    for (size_t i = 0; i < n; i++) {
        struct slice name = c->argv[2 + 2 * i], value = c->argv[3 + 2 * i];
        const struct config_row *r = config_row_find(name);
        if (r == NULL) {
            resp_errorf(c->out, "ERR Unknown option or number of arguments for CONFIG SET - '%s'",
                        arena_cstr(a, slice_sub(name, 0, 128)));
            return false;
        }
        const char *why = r->flags & CFG_IMMUTABLE ? "can't set immutable config" : NULL;
        for (size_t k = 0; k < i && why == NULL; k++)
            why = plan[k].row == r ? "duplicate parameter" : NULL;
        plan[i].row = r;
        plan[i].old = arena_dup(a, cmd_config_get_row(c->srv, r));
        if (why == NULL)
            why = config_check(a, r, plan[i].old, value, &plan[i].now);
        if (why != NULL) {
            cmd_config_failed(c, name, why);
            return false;
        }
    }
    return true;
}

static void cmd_config_keep(struct resp_server *s, const struct config_row *r, struct slice value)
{
    size_t i = cmd_config_index(r);
    if (r->kind == CFG_SECRET)
        return;
    mem_free(s->config[i]);
    s->config[i] = mem_alloc(value.n + 1);
    memcpy(s->config[i], value.n > 0 ? value.p : "", value.n);
    s->config[i][value.n] = 0;
}

void cmd_config_set(struct resp_client *c)
{
    size_t n = (c->argc - 2) / 2;
    if (c->argc % 2 == 1) {
        reply_arity(c, c->row);
        return;
    }
    struct cmd_config_change *plan = ARENA_ARRAY(&c->th->arena, struct cmd_config_change, n);
    if (!cmd_config_plan(c, plan, n))
        return;
    for (size_t i = 0; i < n; i++) {
        const char *why = cmd_config_apply(c->srv, plan[i].row->effect, plan[i].now);
        if (why == NULL)
            continue;
        cmd_config_failed(c, slice_str(plan[i].row->name), why);
        while (i-- > 0)
            (void)cmd_config_apply(c->srv, plan[i].row->effect, plan[i].old);
        return;
    }
    for (size_t i = 0; i < n; i++)
        cmd_config_keep(c->srv, plan[i].row, plan[i].now);
    reply_ok(c);
}

void cmd_config_rewrite(struct resp_client *c)
{
    reply_err(c, "ERR The server is running without a config file that it may write: put lasting "
                 "settings into postern.yaml");
}

void cmd_config_resetstat(struct resp_client *c)
{
    struct resp_server *s = c->srv;
    for (size_t i = 0; i < s->threads_n; i++) {
        struct resp_thread *th = &s->threads[i];
        memset(th->stats, 0, resp_rows_n() * sizeof *th->stats);
        memset(th->errors, 0, sizeof th->errors);
        th->conns = th->in_bytes = th->out_bytes = th->refused = 0;
        __atomic_store_n(&th->commands, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&th->error_replies, 0, __ATOMIC_RELAXED);
    }
    s->ops_last = 0;
    memset(s->ops_sample, 0, sizeof s->ops_sample);
    store_reset_stats(s->st);
    reply_ok(c);
}
