/*
 * ctx.c - what a thread needs to decide: arena, key cache, Lua state, and the set it works with.
 *
 * policy_begin at the start of a batch is the only place where a swapped set is taken up and memory
 * of the batch before is given back; a verdict lives until then. One thread per context.
 * Tested by tests/unit/policy/test_decide.c.
 */
#include "policy/ldap_link.h"
#include "policy/token.h"

enum { CTX_ARENA_FIRST = 64 << 10, CTX_ARENA_MAX = 1 << 30 };

/* Scripts belong to the set that they came from. */
static void ctx_drop(struct set_rt **at)
{
    struct set_rt *rt = *at;

    *at = rt->next;
    if (rt->script)
        script_close(rt->script);
    mem_free(rt->script_ids);
    policy_set_drop(rt->set);
    mem_free(rt);
}

void ctx_drop_idle(struct policy_ctx *c)
{
    for (struct set_rt **at = &c->rt->next; *at;)
        if ((*at)->parked == 0)
            ctx_drop(at);
        else
            at = &(*at)->next;
}

static void ctx_take_set(struct policy_ctx *c)
{
    struct set_rt *rt = mem_zalloc(sizeof *rt);

    rt->set = policy_box_get(c->opts.box);
    rt->next = c->rt;
    c->rt = rt;
    c->set = rt->set;
}

struct policy_ctx *policy_ctx_open(const struct policy_ctx_opts *o)
{
    struct policy_ctx *c = mem_zalloc(sizeof *c);

    c->opts = *o;
    arena_init(&c->arena, CTX_ARENA_FIRST, CTX_ARENA_MAX);
    c->keys = key_cache_open();
    c->jwks = jwks_cache_open();
    c->tokens = token_cache_open();
    c->explain = explain_open(o->explain_max, &o->log);
    c->id_base = rand_u64();
    c->set_version = policy_box_version(o->box);
    ctx_take_set(c);
    return c;
}

void policy_ctx_close(struct policy_ctx *c)
{
    verify_close(c);
    ldap_close(c);
    park_end_all(c);
    while (c->rt)
        ctx_drop(&c->rt);
    lua_lib_close(c->lua);
    oidc_cache_close(c->oidc);
    token_cache_close(c->tokens);
    jwks_cache_close(c->jwks);
    key_cache_close(c->keys);
    explain_close(c->explain);
    arena_free(&c->arena);
    mem_free(c);
}

void policy_begin(struct policy_ctx *c, int64_t now_ms)
{
    uint64_t version = policy_box_version(c->opts.box);

    arena_reset(&c->arena);
    key_cache_sweep(c->keys);
    token_cache_sweep(c->tokens);
    c->now_ms = now_ms;
    if (UNLIKELY(version != c->set_version)) {
        c->set_version = version;
        ctx_take_set(c);
        ctx_drop_idle(c);
    }
}

struct arena *policy_arena(struct policy_ctx *c)
{
    return &c->arena;
}

bool policy_explain(struct policy_ctx *c, struct slice id, struct buf *json)
{
    return explain_get(c->explain, id, json);
}

size_t policy_log_take(struct policy_ctx *c, struct buf *lines, uint64_t *lost)
{
    return explain_take(c->explain, lines, lost);
}

size_t policy_recent(struct policy_ctx *c, bool denied_only, size_t max, struct buf *json)
{
    return explain_recent(c->explain, denied_only, max, json);
}
