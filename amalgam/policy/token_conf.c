/*
 * token_conf.c - what policies say about tokens -> token_rule, jwks_source, claim_headers.
 *
 * Used by accessTokenValidation and JWTPolicy while a set is loaded. Keys that stand in the policy are read
 * here once, to find faults; threads read them again for themselves (jwks.c). The ids are SHA-256 of all
 * that a result depends on, each part with its length before it. One thread at a time. Tested by
 * tests/unit/policy/test_jwt_steps.c.
 */
#include "policy/token.h"

#include "wire/hash.h"

#define TOKEN_CONF_SKEW_MS  60000
#define TOKEN_CONF_MS_MAX   (366 * 24 * 3600 * (int64_t)1000)

/* ---- ids ---- */

static void token_conf_add(struct sha256_state *s, struct slice part)
{
    uint64_t n = part.n;

    sha256_add(s, slice_of((const char *)&n, sizeof n));
    sha256_add(s, part);
}

static void token_conf_add_num(struct sha256_state *s, int64_t n)
{
    sha256_add(s, slice_of((const char *)&n, sizeof n));
}

/* ---- values ---- */

/* Bytes that YAML gives as "5m", "300s", "300" or, in protobuf's JSON, "0.5s" (refused: whole units only). */
bool token_duration(const struct field_in *in, const struct yaml *at, const char *name,
                    struct slice text, int64_t otherwise_ms, int64_t *out)
{
    struct field_path p = {NULL, slice_str(name), 0};

    *out = otherwise_ms;
    if (text.n == 0 || (slice_duration_ms(text, out) && *out >= 0 && *out <= TOKEN_CONF_MS_MAX))
        return true;
    fault_add(in, false, at, &p, "expected a duration such as 300s or 5m, at most a year");
    return false;
}

bool claim_headers_compile(struct load *l, const struct field_in *in, const struct field_list *list,
                           struct claim_headers *out)
{
    out->v = ARENA_ARRAY(&l->set->arena, struct claim_header, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct doc_claim_header *d = list->items[i];
        if (!header_can_be_set(d->header)) {
            fault_add(in, false, d->self, NULL, "\"%.*s\" cannot be set as a header",
                      SFMT(slice_sub(d->header, 0, 60)));
            return false;
        }
        out->v[out->n++] = (struct claim_header){d->claim, d->header, d->append};
    }
    return true;
}

/* ---- keys ---- */

bool jwks_source_local(struct load *l, const struct field_in *in, const struct yaml *at,
                       struct slice text, int flags, struct jwks_source **out)
{
    struct jwks_source *s = ARENA_NEW(&l->set->arena, struct jwks_source);
    struct sha256_state h;
    struct jwks *keys = NULL;
    struct err e = {0};

    if (jwks_parse(text, flags, &keys, &e) != RC_OK) {
        fault_add(in, false, at, NULL, "no key can be read: %s", e.text);
        return false;
    }
    jwks_free(keys);
    s->text = arena_dup(&l->set->arena, text);
    s->flags = flags;
    sha256_start(&h);
    token_conf_add_num(&h, flags);
    token_conf_add(&h, S("local"));
    token_conf_add(&h, text);
    sha256_end(&h, s->id);
    *out = s;
    return true;
}

void jwks_source_name(struct jwks_source *s, struct slice url)
{
    struct sha256_state h;

    sha256_start(&h);
    token_conf_add_num(&h, s->flags);
    token_conf_add(&h, S("remote"));
    token_conf_add(&h, url);
    token_conf_add_num(&h, s->refresh_ms);
    token_conf_add_num(&h, s->timeout_ms);
    token_conf_add_num(&h, s->unknown_max);
    token_conf_add_num(&h, s->unknown_gap_ms);
    sha256_end(&h, s->id);
}

bool jwks_source_remote(struct load *l, const struct field_in *in, const struct yaml *at,
                        struct slice url, struct slice refresh, struct slice timeout, int flags,
                        struct jwks_source **out)
{
    struct jwks_source *s = ARENA_NEW(&l->set->arena, struct jwks_source);
    struct err e = {0};

    if (fetch_url_parse(&l->set->arena, url, &s->url, &e) != RC_OK) {
        fault_add(in, false, at, NULL, "url: %s", e.text);
        return false;
    }
    if (!token_duration(in, at, "refreshInterval", refresh, JWKS_REFRESH_MS, &s->refresh_ms) ||
        !token_duration(in, at, "timeout", timeout, JWKS_FETCH_MS, &s->timeout_ms))
        return false;
    s->refresh_ms = MAX(s->refresh_ms, 1000);
    s->timeout_ms = MIN(MAX(s->timeout_ms, 1), 60000);
    s->unknown_max = 1;
    s->flags = flags & ~JWKS_SYMMETRIC;
    jwks_source_name(s, url);
    *out = s;
    return true;
}

/* ---- rules ---- */

static bool token_conf_algs(const struct field_in *in, const struct yaml *at,
                            const struct field_strs *names, unsigned *out)
{
    struct field_path p = {NULL, S("algorithms"), 0};

    for (size_t i = 0; i < names->n; i++) {
        enum jwt_alg alg = jwt_alg_of(names->v[i]);
        if (alg == JWT_ALG_ANY) {
            fault_add(in, false, at, &p, "\"%.*s\" is not served; served are RS256, RS384, RS512, PS256, "
                      "PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512",
                      SFMT(slice_sub(names->v[i], 0, 40)));
            return false;
        }
        *out |= 1u << alg;
    }
    return true;
}

static void token_conf_rule_id(struct token_rule *r)
{
    struct sha256_state h;

    sha256_start(&h);
    token_conf_add(&h, S("jwt"));
    token_conf_add(&h, slice_of((const char *)r->keys->id, TOKEN_ID));
    token_conf_add(&h, r->want.issuer);
    token_conf_add_num(&h, (int64_t)r->want.audiences_n);
    for (size_t i = 0; i < r->want.audiences_n; i++)
        token_conf_add(&h, r->want.audiences[i]);
    token_conf_add_num(&h, r->want.skew_s);
    token_conf_add_num(&h, r->want.no_exp_ok);
    token_conf_add_num(&h, r->algs);
    token_conf_add_num(&h, r->need_kid);
    token_conf_add_num(&h, r->cache_ms);
    sha256_end(&h, r->id);
}

bool token_rule_compile(struct load *l, const struct field_in *in, const struct yaml *at,
                        const struct doc_rule *d, struct token_rule *r)
{
    struct slice *audiences = ARENA_ARRAY(&l->set->arena, struct slice, d->audiences.n + 1);
    int64_t skew_ms = 0;

    if (!token_duration(in, at, "clockSkewSeconds", d->skew, TOKEN_CONF_SKEW_MS, &skew_ms) ||
        !token_conf_algs(in, at, &d->algorithms, &r->algs))
        return false;
    for (size_t i = 0; i < d->audiences.n; i++)
        audiences[i] = d->audiences.v[i];
    r->want = (struct jwt_want){.issuer = d->issuer, .audiences = audiences, .audiences_n = d->audiences.n,
                                .skew_s = skew_ms / 1000, .no_exp_ok = d->no_exp_ok};
    token_conf_rule_id(r);
    return true;
}

#undef TOKEN_CONF_SKEW_MS
#undef TOKEN_CONF_MS_MAX
