/*
 * jwt.c - the form of a token, its dates and audience, claims as text.
 *
 * jwt_parse takes a token apart and believes nothing; jwt_verify (jwk.c) checks the signature;
 * jwt_check holds the claims against what is wanted. A caller does all three, in this order, and the
 * first fault is the answer: none is overruled by a later one. Everything is bounded before it is
 * decoded. Pure; any thread. Tested by tests/unit/wire/test_jwt.c, test_jwt_attacks.c and
 * tests/fuzz/fuzz_jwt.c.
 */
#include "wire/jwt.h"

#include "wire/hash.h"

enum { JWT_SIGNATURE_MAX = 1024 };
static const int64_t jwt_seconds_max = 253402300799; /* the end of the year 9999 */

const struct jwt_fault_row *jwt_fault_row(enum jwt_fault f)
{
    static const struct jwt_fault_row rows[JWT_FAULTS] = {
        [JWT_OK] = {"ok", ""},
        [JWT_MISSING] = {"token_missing", "Jwt is missing"},
        [JWT_MALFORMED] = {"token_malformed",
                           "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
        [JWT_ENCRYPTED] = {"token_encrypted",
                           "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"},
        [JWT_BAD_HEADER] = {"token_header_invalid", "Jwt header is an invalid JSON"},
        [JWT_BAD_PAYLOAD] = {"token_payload_invalid", "Jwt payload is an invalid JSON"},
        [JWT_BAD_ALG] = {"token_alg_refused", "Jwt header [alg] is not supported"},
        [JWT_NO_KID] = {"token_no_kid", "Jwt header [kid] field is required"},
        [JWT_NO_KEY] = {"token_key_unknown", "Jwks doesn't have key to match kid or alg from Jwt"},
        [JWT_NO_KEYS] = {"jwks_unavailable", "Jwks remote fetch is failed"},
        [JWT_BAD_SIGNATURE] = {"token_signature_invalid", "Jwt verification fails"},
        [JWT_BAD_DATE] = {"token_date_invalid", "Jwt payload is an invalid JSON"},
        [JWT_NO_EXP] = {"token_no_exp", "Jwt payload [exp] field is required"},
        [JWT_EXPIRED] = {"token_expired", "Jwt is expired"},
        [JWT_NOT_YET] = {"token_not_yet_valid", "Jwt not yet valid"},
        [JWT_WRONG_ISSUER] = {"token_issuer_wrong", "Jwt issuer is not configured"},
        [JWT_WRONG_AUDIENCE] = {"token_audience_wrong", "Audiences in Jwt are not allowed"},
    };
    return &rows[f];
}

/* ---- form ---- */

/* Exactly three parts, the first two not empty. */
static enum jwt_fault jwt_split(struct slice token, struct slice part[3])
{
    struct slice rest = token;
    size_t dots = 0;

    if (token.n == 0)
        return JWT_MISSING;
    if (token.n > JWT_TOKEN_MAX)
        return JWT_MALFORMED;
    for (size_t i = 0; i < token.n; i++)
        dots += token.p[i] == '.';
    if (dots != 2)
        return dots == 4 ? JWT_ENCRYPTED : JWT_MALFORMED;
    for (int i = 0; i < 3; i++)
        part[i] = slice_cut(rest, '.', &rest);
    return part[0].n && part[1].n && part[0].n <= JWT_HEADER_MAX ? JWT_OK : JWT_MALFORMED;
}

/* A part that is a JSON object in base64url. */
static bool jwt_object(struct arena *a, struct slice part, const struct json **out)
{
    char *text = arena_alloc(a, part.n);
    struct json *j = NULL;
    size_t n = 0;

    if (b64url_decode(part, text, part.n, &n) != RC_OK ||
        json_parse(a, slice_of(text, n), JWT_TOKEN_MAX, &j, NULL) != RC_OK || j->kind != JSON_OBJ)
        return false;
    *out = j;
    return true;
}

/* What the header may say. jwk, jku, x5u, x5c and the like are nobody's business here; crit and b64 would
 * change how the token must be read, enc and zip say that it is none of ours. */
static enum jwt_fault jwt_read_header(struct jwt *t)
{
    const struct json *kid = json_get(t->header, S("kid")), *alg = json_get(t->header, S("alg"));

    if (json_get(t->header, S("enc")) || json_get(t->header, S("zip")))
        return JWT_ENCRYPTED;
    if (json_get(t->header, S("crit")) || json_get(t->header, S("b64")))
        return JWT_BAD_HEADER;
    if (!alg || alg->kind != JSON_STR)
        return JWT_BAD_ALG;
    t->alg = jwt_alg_of(alg->s);
    if (t->alg == JWT_ALG_ANY)
        return JWT_BAD_ALG;
    if (kid && (kid->kind != JSON_STR || kid->s.n > JWT_KID_MAX))
        return JWT_BAD_HEADER;
    t->kid = kid ? kid->s : S("");
    return JWT_OK;
}

/* A NumericDate: seconds, fractions allowed, within four-digit years. */
static bool jwt_date(const struct json *claims, struct slice name, int64_t *ms)
{
    const struct json *v = json_get(claims, name);

    *ms = JWT_NO_DATE;
    if (!v)
        return true;
    if (v->kind == JSON_INT && v->i >= 0 && v->i <= jwt_seconds_max)
        *ms = v->i * 1000;
    else if (v->kind == JSON_REAL && v->d >= 0 && v->d <= (double)jwt_seconds_max)
        *ms = (int64_t)(v->d * 1000);
    else
        return false;
    return true;
}

static enum jwt_fault jwt_read_claims(struct jwt *t)
{
    const struct json *iss = json_get(t->claims, S("iss"));

    if (!jwt_date(t->claims, S("exp"), &t->exp_ms) || !jwt_date(t->claims, S("nbf"), &t->nbf_ms) ||
        !jwt_date(t->claims, S("iat"), &t->iat_ms))
        return JWT_BAD_DATE;
    if (iss && iss->kind != JSON_STR)
        return JWT_BAD_PAYLOAD;
    t->issuer = iss ? iss->s : S("");
    return JWT_OK;
}

enum jwt_fault jwt_parse(struct arena *a, struct slice token, struct jwt *out)
{
    struct slice part[3];
    enum jwt_fault f = jwt_split(token, part);
    char *signature;
    size_t n = 0;

    *out = (struct jwt){.token = token};
    if (f != JWT_OK)
        return f;
    if (!jwt_object(a, part[0], &out->header))
        return JWT_BAD_HEADER;
    f = jwt_read_header(out);
    if (f != JWT_OK)
        return f;
    signature = arena_alloc(a, JWT_SIGNATURE_MAX);
    if (b64url_decode(part[2], signature, JWT_SIGNATURE_MAX, &n) != RC_OK || n == 0)
        return JWT_BAD_SIGNATURE;
    out->signature = slice_of(signature, n);
    out->payload = part[1];
    out->signed_part = slice_of(token.p, part[0].n + 1 + part[1].n);
    if (!jwt_object(a, part[1], &out->claims))
        return JWT_BAD_PAYLOAD;
    return jwt_read_claims(out);
}

/* ---- what it must say ---- */

static bool jwt_is_wanted(const struct jwt_want *w, const struct json *audience)
{
    for (size_t i = 0; i < w->audiences_n; i++)
        if (audience->kind == JSON_STR && slice_eq(audience->s, w->audiences[i]))
            return true;
    return false;
}

static bool jwt_audience_ok(const struct jwt *t, const struct jwt_want *w)
{
    const struct json *aud = json_get(t->claims, S("aud"));

    if (w->audiences_n == 0)
        return true;
    if (!aud || aud->kind != JSON_ARR)
        return aud && jwt_is_wanted(w, aud);
    for (uint32_t i = 0; i < aud->n; i++)
        if (jwt_is_wanted(w, &aud->items[i]))
            return true;
    return false;
}

enum jwt_fault jwt_check(const struct jwt *t, const struct jwt_want *w, int64_t now_ms)
{
    int64_t skew_ms = w->skew_s * 1000;

    if (t->exp_ms == JWT_NO_DATE && !w->no_exp_ok)
        return JWT_NO_EXP;
    if (t->exp_ms != JWT_NO_DATE && now_ms >= t->exp_ms + skew_ms)
        return JWT_EXPIRED;
    if (t->nbf_ms != JWT_NO_DATE && now_ms + skew_ms < t->nbf_ms)
        return JWT_NOT_YET;
    if (t->iat_ms != JWT_NO_DATE && now_ms + skew_ms < t->iat_ms)
        return JWT_NOT_YET;
    if (w->issuer.n && !slice_eq(w->issuer, t->issuer))
        return JWT_WRONG_ISSUER;
    return jwt_audience_ok(t, w) ? JWT_OK : JWT_WRONG_AUDIENCE;
}

/* ---- claims ---- */

const struct json *jwt_claim(const struct json *claims, struct slice name, char delimiter)
{
    const struct json *v = json_get(claims, name);

    if (v || slice_index(name, delimiter) == SIZE_MAX)
        return v;
    for (v = claims; v && name.n > 0;)
        v = json_get(v, slice_cut(name, delimiter, &name));
    return v;
}

struct slice jwt_claim_text(struct arena *a, const struct json *claim)
{
    struct slice text;
    struct jsonw w;
    struct buf b;
    char *p;

    if (claim->kind == JSON_STR)
        return claim->s;
    if (claim->kind == JSON_NULL)
        return S("");
    buf_init(&b, 4 * JWT_TOKEN_MAX);
    jsonw_init(&w, &b);
    jsonw_value(&w, claim);
    text = buf_all(&b);
    if (claim->kind == JSON_ARR || claim->kind == JSON_OBJ) {
        p = arena_alloc(a, B64_LEN(text.n) + 1);
        text = slice_of(p, b64_encode(p, text.p, text.n));
    } else {
        text = arena_dup(a, text);
    }
    buf_free(&b);
    return text;
}

static bool jwt_scope_in(const struct json *v, struct slice scope)
{
    struct slice rest;

    for (uint32_t i = 0; v && v->kind == JSON_ARR && i < v->n; i++)
        if (v->items[i].kind == JSON_STR && slice_eq(v->items[i].s, scope))
            return true;
    if (!v || v->kind != JSON_STR)
        return false;
    for (rest = v->s; rest.n > 0;)
        if (slice_eq(slice_cut(rest, ' ', &rest), scope))
            return true;
    return false;
}

bool jwt_has_scope(const struct json *claims, struct slice scope)
{
    return scope.n > 0 && (jwt_scope_in(json_get(claims, S("scope")), scope) ||
                           jwt_scope_in(json_get(claims, S("scp")), scope));
}
