/*
 * p.h - what the tests of policy/ share: a set from text, a store in memory, one question.
 */
#ifndef UNIT_POLICY_P_H
#define UNIT_POLICY_P_H

#include "base/log.h"
#include "policy/inside.h"
#include "t.h"
#include "wire/cred.h"

#include <stdlib.h>

static struct {
    struct store *store;
    struct policy_box *box;
    struct policy_ctx *ctx;
    struct keyrec_scheme scheme;
    struct policy_faults faults;
    struct arena arena;
    int64_t now_ms;
    bool strict;
    struct throttle *throttle; /* of the next p_use, closed by the test */
    const char *source;        /* the client, when it is not 192.0.2.7; "": nobody says */
} p;

#define P_NOW 1794000000000 /* a full minute */

static inline UNUSED void p_init(void)
{
    struct store_opts o = {.engine = STORE_MEMORY};
    struct err e = {0};

    log_init(LOG_SILENT, false);
    hash_seed_init();
    p.now_ms = P_NOW;
    arena_init(&p.arena, 4096, 0);
    policy_faults_init(&p.faults);
    hmac_key_init(&p.scheme.hmac, S("test secret"));
    MUST(store_open(&o, &p.store, &e) == RC_OK);
}

static inline UNUSED void p_unload(void)
{
    if (p.ctx)
        policy_ctx_close(p.ctx);
    if (p.box)
        policy_box_close(p.box);
    p.ctx = NULL;
    p.box = NULL;
}

static inline UNUSED void p_done(void)
{
    p_unload();
    policy_faults_free(&p.faults);
    arena_free(&p.arena);
    store_close(p.store);
}

/* One set from named texts: name, text, ..., NULL. Faults are in p.faults. */
static inline UNUSED struct policy_set *p_load_files(const char *const *files)
{
    static struct policy_opts o;
    struct policy_set *s = NULL;
    struct load l;

    o = (struct policy_opts){.strict = p.strict};
    policy_faults_free(&p.faults);
    policy_faults_init(&p.faults);
    load_begin(&l, &o, &p.faults);
    for (size_t i = 0; files[i]; i += 2)
        load_text(&l, slice_str(files[i]), slice_str(files[i + 1]));
    return load_finish(&l, &s) == RC_OK ? s : NULL;
}

/* Loads and puts into force; false when it does not load. */
static inline UNUSED bool p_use(const char *text)
{
    const char *files[] = {"t.yaml", text, NULL};
    struct policy_set *s = p_load_files(files);
    struct policy_ctx_opts o = {.store = p.store, .scheme = &p.scheme, .throttle = p.throttle};

    for (size_t i = 0; !s && i < p.faults.n; i++)
        printf("# %.*s:%d:%d %.*s: %.*s\n", SFMT(p.faults.rows[i].file), p.faults.rows[i].line,
               p.faults.rows[i].col, SFMT(p.faults.rows[i].path), SFMT(p.faults.rows[i].text));
    if (!s)
        return false;
    p_unload();
    p.box = policy_box_open(s);
    o.box = p.box;
    p.ctx = policy_ctx_open(&o);
    return true;
}

/* A fault whose text or path holds both words. */
static inline UNUSED const struct policy_fault *p_fault(const char *path, const char *text)
{
    for (size_t i = 0; i < p.faults.n; i++)
        if (slice_find(p.faults.rows[i].path, slice_str(path)) != SIZE_MAX &&
            slice_find(p.faults.rows[i].text, slice_str(text)) != SIZE_MAX)
            return &p.faults.rows[i];
    return NULL;
}

/* "GET host/path" with headers "name: value" until NULL. The verdict lives until the next question. */
static inline UNUSED struct policy_verdict p_ask(const char *method, const char *host,
                                                 const char *target, const char *const *headers)
{
    struct http_header h[32];
    struct policy_ask q = {.method = slice_str(method), .host = slice_str(host),
                           .target = slice_str(target), .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;

    q.has_source_ip = ip_parse(slice_str(p.source ? p.source : "192.0.2.7"), &q.source_ip);
    for (; headers && headers[q.headers_n]; q.headers_n++) {
        struct slice rest, s = slice_str(headers[q.headers_n]);
        h[q.headers_n].name = slice_cut(s, ':', &rest);
        h[q.headers_n].value = slice_trim(rest);
    }
    q.headers = h;
    policy_begin(p.ctx, p.now_ms);
    MUST(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK);
    return v;
}

/* A key of ours in the store with metadata name, value, ..., NULL; the clear key. */
static inline UNUSED const char *p_key(const char *const *meta)
{
    static int count;
    struct keyrec k = {0};
    struct slice public_part, clear = apikey_new(&p.arena, S("pst"), &public_part);
    char *hash = arena_alloc(&p.arena, KEYREC_HASH_LEN);

    k.hash = keyrec_hash(&p.scheme, clear, hash);
    k.uuid = arena_fmt(&p.arena, "00000000-0000-4000-8000-%012d", ++count);
    for (size_t i = 0; meta && meta[i]; i += 2)
        keyrec_meta_set(&k, slice_str(meta[i]), slice_str(meta[i + 1]));
    store_enter(p.store, p.now_ms);
    keyrec_put(p.store, 0, &k, &p.arena);
    store_leave(p.store);
    return clear.p;
}

static inline UNUSED struct slice p_upstream(const struct policy_verdict *v, const char *name)
{
    for (size_t i = 0; i < v->upstream_n; i++)
        if (slice_eq_ci(v->upstream[i].name, slice_str(name)))
            return v->upstream[i].value;
    return S("");
}

static inline UNUSED struct slice p_client(const struct policy_verdict *v, const char *name)
{
    for (size_t i = 0; i < v->client_n; i++)
        if (slice_eq_ci(v->client[i].name, slice_str(name)))
            return v->client[i].value;
    return S("");
}

static inline UNUSED bool p_removed(const struct policy_verdict *v, const char *name)
{
    for (size_t i = 0; i < v->remove_n; i++)
        if (slice_eq_ci(v->remove[i], slice_str(name)))
            return true;
    return false;
}

static inline UNUSED const char *p_header(const char *name, const char *value)
{
    return arena_fmt(&p.arena, "%s: %s", name, value).p;
}

#define P_HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
