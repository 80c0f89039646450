/*
 * step_token_call.c - a token is shown to the introspection (RFC 7662) or the userinfo endpoint.
 *
 * The decision is parked until the answer is there; the answer is kept by the hash of the whole token and
 * the endpoint's id for cacheTimeout, never beyond the exp that it names. Only answers that let pass are kept:
 * a token that was refused is asked about again. No redirect is followed, sizes and time are bounded, and what is
 * not a plain yes denies. The token stands in no log. Tested by tests/unit/policy/test_jwks.c.
 */
#include "policy/step_token.h"

#include "wire/hash.h"

enum { STEP_TOKEN_CALL_MS = 5000, STEP_TOKEN_REPLY_MAX = 64 << 10 };

/* ---- compiling ---- */

/* application/x-www-form-urlencoded */
static struct slice step_token_form(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, 3 * s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            p[n++] = c;
        } else {
            p[n++] = '%';
            p[n++] = "0123456789ABCDEF"[(uint8_t)c >> 4];
            p[n++] = "0123456789ABCDEF"[(uint8_t)c & 15];
        }
    }
    return slice_of(p, n);
}

/* RFC 6749 2.3.1: both parts are form-encoded before base64. */
static struct slice step_token_basic(struct load *l, struct slice id, struct slice secret)
{
    struct arena *a = &l->set->arena;
    struct slice i = step_token_form(a, id), s = step_token_form(a, secret);
    struct slice pair = arena_fmt(a, "%.*s:%.*s", SFMT(i), SFMT(s));
    char *text = arena_alloc(a, B64_LEN(pair.n) + 1);

    return arena_fmt(a, "Basic %.*s", (int)b64_encode(text, pair.p, pair.n), text);
}

static bool step_token_secret(struct load *l, const struct field_in *in,
                              const struct doc_introspection *d, struct slice ns, struct slice *out)
{
    const struct secret *s;

    *out = S("");
    if (!d->secret) {
        if (!d->no_secret && d->client_id.n)
            fault_add(in, false, d->self, NULL, "expected clientSecretRef, or disableClientSecret: true");
        return d->no_secret || !d->client_id.n;
    }
    s = secret_find(l, in, d->self, false, d->secret, ns);
    if (!s)
        return false;
    *out = slice_trim(secret_value(s, S("client-secret")));
    if (slice_starts(*out, S("client_secret:"))) /* an older form: YAML inside the value */
        *out = slice_trim(slice_from(*out, 14));
    if (out->n)
        return true;
    fault_add(in, false, d->self, NULL, "Secret %.*s has no client-secret", SFMT(slice_sub(s->name, 0, 80)));
    return false;
}

bool step_token_call_compile(struct load *l, const struct field_in *in, const struct yaml *at,
                             const struct doc_introspection *d, bool userinfo, int64_t cache_ms,
                             struct slice ns, const struct token_call **out)
{
    struct token_call *c = ARENA_NEW(&l->set->arena, struct token_call);
    struct sha256_state h;
    struct slice secret;
    struct err e = {0};

    if (fetch_url_parse(&l->set->arena, d->url, &c->url, &e) != RC_OK) {
        fault_add(in, false, at, NULL, "%s: %s", userinfo ? "userinfoUrl" : "introspectionUrl", e.text);
        return false;
    }
    if (!step_token_secret(l, in, d, ns, &secret))
        return false;
    c->userinfo = userinfo;
    c->index = userinfo;
    c->client_id = d->client_id;
    c->basic = secret.n ? step_token_basic(l, d->client_id, secret) : S("");
    c->cache_ms = cache_ms;
    sha256_start(&h);
    sha256_add(&h, userinfo ? S("userinfo") : S("introspection"));
    sha256_add(&h, slice_of((const char *)&d->url.n, sizeof d->url.n));
    sha256_add(&h, d->url);
    sha256_add(&h, slice_of((const char *)&d->client_id.n, sizeof d->client_id.n));
    sha256_add(&h, d->client_id);
    sha256_add(&h, slice_of((const char *)&cache_ms, sizeof cache_ms));
    sha256_add(&h, c->basic);
    sha256_end(&h, c->id);
    *out = c;
    return true;
}

/* ---- asking ---- */

static void step_token_answered(void *user, const struct fetch_reply *r)
{
    struct token_wait *w = user;
    struct token_answer *a = &w->answers[w->answer];
    struct json *j = NULL;

    *a = (struct token_answer){.there = true, .rc = r->rc, .status = r->status, .why = r->why};
    if (r->rc == RC_OK &&
        json_parse(w->keys.d->arena, r->body, STEP_TOKEN_REPLY_MAX, &j, NULL) == RC_OK && j->kind == JSON_OBJ)
        a->body = j;
    decision_wake(w->keys.d);
}

static void step_token_begin(struct decision *d)
{
    const struct token_call *c = d->wait_for;
    struct token_wait *w = token_wait_of(d);
    struct http_header headers[3];
    struct fetch_req q = {.url = c->url, .method = c->userinfo ? S("GET") : S("POST"), .headers = headers,
                          .body = S(""), .timeout_ms = STEP_TOKEN_CALL_MS,
                          .reply_bytes_max = STEP_TOKEN_REPLY_MAX};
    size_t n = 0;
    struct slice token = step_token_bearer(d, &n), form = step_token_form(d->arena, token), id;

    headers[q.headers_n++] = (struct http_header){S("accept"), S("application/json")};
    if (c->userinfo) {
        headers[q.headers_n++] =
            (struct http_header){S("authorization"), arena_fmt(d->arena, "Bearer %.*s", SFMT(token))};
    } else {
        headers[q.headers_n++] = (struct http_header){S("content-type"), S("application/x-www-form-urlencoded")};
        if (c->basic.n)
            headers[q.headers_n++] = (struct http_header){S("authorization"), c->basic};
        id = step_token_form(d->arena, c->client_id);
        q.body = arena_fmt(d->arena, "token=%.*s&token_type_hint=access_token%s%.*s", SFMT(form),
                           !c->basic.n && id.n ? "&client_id=" : "", c->basic.n ? 0 : (int)id.n, id.p);
    }
    w->answer = c->index;
    (void)fetch_start(d->c->opts.fetcher, &q, step_token_answered, w);
}

/* What an endpoint said about the time that the token is good for; false: over, or not yet. */
static bool step_token_time(const struct decision *d, const struct json *body, int64_t *until_ms)
{
    const struct json *exp = json_get(body, S("exp")), *nbf = json_get(body, S("nbf"));
    int64_t seconds;

    if (exp) {
        if (exp->kind != JSON_INT && exp->kind != JSON_REAL)
            return false;
        seconds = exp->kind == JSON_INT ? exp->i : exp->d > 0 && exp->d < 1e12 ? (int64_t)exp->d : 0;
        if (seconds <= 0 || seconds > INT64_MAX / 1000 || d->c->now_ms >= seconds * 1000)
            return false;
        *until_ms = MIN(*until_ms, seconds * 1000);
    }
    return !nbf || (nbf->kind == JSON_INT && nbf->i <= d->c->now_ms / 1000 + 60);
}

static enum token_said step_token_judge(struct decision *d, const struct token_call *c, struct slice token,
                                        const struct token_answer *a, const struct json **out,
                                        const char **why)
{
    int64_t until_ms = d->c->now_ms + c->cache_ms;

    *why = c->userinfo ? "userinfo_unavailable" : "introspection_unavailable";
    if (c->userinfo && a->rc == RC_OK && (a->status == 401 || a->status == 403))
        return TOKEN_BAD;
    if (a->rc != RC_OK || a->status != 200 || !a->body)
        return TOKEN_TROUBLE;
    if (!c->userinfo && !json_bool(a->body, S("active"), false))
        return TOKEN_BAD;
    if (!c->userinfo && !step_token_time(d, a->body, &until_ms))
        return TOKEN_BAD;
    if (c->cache_ms > 0)
        token_cache_put(d, c->id, token, a->body, until_ms);
    *out = a->body;
    return TOKEN_GOOD;
}

enum token_said step_token_ask(struct decision *d, const struct token_call *c, struct slice token,
                               const struct json **out, const char **why)
{
    const struct token_wait *w = d->wait;

    if (w && w->answers[c->index].there)
        return step_token_judge(d, c, token, &w->answers[c->index], out, why);
    *out = token_cache_get(d, c->id, token);
    if (*out)
        return TOKEN_GOOD;
    *why = "no_outbound";
    if (!d->c->opts.fetcher || token.n > JWT_TOKEN_MAX)
        return d->c->opts.fetcher ? TOKEN_BAD : TOKEN_TROUBLE;
    d->begin = step_token_begin;
    d->wait_for = c;
    return TOKEN_WAIT;
}
