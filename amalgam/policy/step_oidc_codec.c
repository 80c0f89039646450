/*
 * step_oidc_codec.c - sessions and logins as records, sealed into texts, and the cookies that carry them.
 *
 * A record: a byte for its kind, a byte for its version, whole numbers (8 bytes, big end first), texts
 * (4 bytes of length before each); nothing may be left over. Sealed (AES-256-GCM) with a random nonce;
 * what it is for is authenticated with it, so that a login's cookie is no session and one provider's
 * session is none of another's. Anything that is not exactly ours reads as nothing at all.
 * Pure. Fuzzed by tests/fuzz/fuzz_oidc.c; tested through test_oidc.c.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

enum { OIDC_CODEC_VERSION = 1, OIDC_CODEC_TEXT_MAX = 64 << 10, OIDC_CODEC_SEALED_MAX = 256 << 10 };

/* ---- records ---- */

static struct slice oidc_codec_write(struct arena *a, char kind, const int64_t *numbers, size_t numbers_n,
                                     const struct slice *texts, size_t texts_n)
{
    size_t n = 2 + numbers_n * 8;
    char *p, *at;

    for (size_t i = 0; i < texts_n; i++)
        n += 4 + texts[i].n;
    p = at = arena_alloc(a, n);
    *at++ = kind;
    *at++ = OIDC_CODEC_VERSION;
    for (size_t i = 0; i < numbers_n; i++)
        for (int shift = 56; shift >= 0; shift -= 8)
            *at++ = (char)((uint64_t)numbers[i] >> shift);
    for (size_t i = 0; i < texts_n; i++) {
        for (int shift = 24; shift >= 0; shift -= 8)
            *at++ = (char)(texts[i].n >> shift);
        if (texts[i].n)
            memcpy(at, texts[i].p, texts[i].n);
        at += texts[i].n;
    }
    return slice_of(p, n);
}

static uint64_t oidc_codec_number(struct slice *in, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)in->p[i];
    *in = slice_from(*in, bytes);
    return v;
}

static bool oidc_codec_read(struct slice in, char kind, int64_t *numbers, size_t numbers_n,
                            struct slice *texts, size_t texts_n)
{
    if (in.n < 2 + numbers_n * 8 || in.p[0] != kind || in.p[1] != OIDC_CODEC_VERSION)
        return false;
    in = slice_from(in, 2);
    for (size_t i = 0; i < numbers_n; i++) {
        uint64_t v = oidc_codec_number(&in, 8);
        if (v > INT64_MAX)
            return false;
        numbers[i] = (int64_t)v;
    }
    for (size_t i = 0; i < texts_n; i++) {
        uint64_t n;
        if (in.n < 4)
            return false;
        n = oidc_codec_number(&in, 4);
        if (n > in.n || n > OIDC_CODEC_TEXT_MAX)
            return false;
        texts[i] = slice_sub(in, 0, (size_t)n);
        in = slice_from(in, (size_t)n);
    }
    return in.n == 0;
}

struct slice oidc_session_write(struct arena *a, const struct oidc_session *s)
{
    const int64_t numbers[] = {s->created_ms, s->expires_ms, s->ends_ms};
    const struct slice texts[] = {s->id, s->id_token, s->access_token, s->refresh_token, s->sub, s->sid};

    return oidc_codec_write(a, 'S', numbers, ARRAY_LEN(numbers), texts, ARRAY_LEN(texts));
}

bool oidc_session_read(struct slice in, struct oidc_session *out)
{
    int64_t n[3];
    struct slice t[6];

    if (!oidc_codec_read(in, 'S', n, ARRAY_LEN(n), t, ARRAY_LEN(t)))
        return false;
    *out = (struct oidc_session){t[0], t[1], t[2], t[3], t[4], t[5], n[0], n[1], n[2]};
    return out->id.n == OIDC_ID_LEN;
}

struct slice oidc_login_write(struct arena *a, const struct oidc_login *s)
{
    const struct slice texts[] = {s->state, s->nonce, s->verifier, s->target};

    return oidc_codec_write(a, 'L', &s->ends_ms, 1, texts, ARRAY_LEN(texts));
}

bool oidc_login_read(struct slice in, struct oidc_login *out)
{
    int64_t n;
    struct slice t[4];

    if (!oidc_codec_read(in, 'L', &n, 1, t, ARRAY_LEN(t)))
        return false;
    *out = (struct oidc_login){t[0], t[1], t[2], t[3], n};
    return out->state.n == OIDC_ID_LEN && out->nonce.n == OIDC_ID_LEN && out->verifier.n == OIDC_ID_LEN;
}

/* ---- sealed texts ---- */

void oidc_key_set(struct oidc_key *k, const uint8_t key[32])
{
    uint8_t digest[32];

    sha256(slice_of((const char *)key, 32), digest);
    memcpy(k->key, key, 32);
    memcpy(k->id, digest, sizeof k->id);
}

/* Lengths before the parts: no two lists of parts are one text. */
static struct slice oidc_codec_aad(struct arena *a, const char *kind, struct slice ident, struct slice more)
{
    return arena_fmt(a, "oidc %s %zu:%.*s %zu:%.*s", kind, ident.n, SFMT(ident), more.n, SFMT(more));
}

struct slice oidc_seal(struct arena *a, const struct oidc_keys *k, const char *kind, struct slice ident,
                       struct slice more, struct slice plain)
{
    struct slice sealed = aead_seal(a, k->v[0].key, plain, oidc_codec_aad(a, kind, ident, more));
    size_t n = sizeof k->v[0].id + sealed.n;
    char *raw = arena_alloc(a, n), *text = arena_alloc(a, B64_LEN(n));

    memcpy(raw, k->v[0].id, sizeof k->v[0].id);
    memcpy(raw + sizeof k->v[0].id, sealed.p, sealed.n);
    return slice_of(text, b64url_encode(text, raw, n));
}

bool oidc_open(struct arena *a, const struct oidc_keys *k, const char *kind, struct slice ident,
               struct slice more, struct slice text, struct slice *plain)
{
    struct slice aad, raw;
    char *p;
    size_t n = 0;

    if (text.n == 0 || text.n > OIDC_CODEC_SEALED_MAX)
        return false;
    p = arena_alloc(a, text.n);
    if (b64url_decode(text, p, text.n, &n) != RC_OK || n < sizeof k->v[0].id)
        return false;
    raw = slice_of(p, n);
    aad = oidc_codec_aad(a, kind, ident, more);
    for (size_t i = 0; i < k->n; i++)
        if (memcmp(raw.p, k->v[i].id, sizeof k->v[i].id) == 0 &&
            aead_open(a, k->v[i].key, slice_from(raw, sizeof k->v[i].id), aad, plain) == RC_OK)
            return true;
    return false;
}

struct slice oidc_random(struct arena *a)
{
    uint8_t raw[OIDC_RANDOM];
    char *text = arena_alloc(a, B64_LEN(sizeof raw));

    rand_bytes(raw, sizeof raw);
    return slice_of(text, b64url_encode(text, raw, sizeof raw));
}

struct slice oidc_digest(struct arena *a, struct slice in)
{
    uint8_t raw[32];
    char *text = arena_alloc(a, B64_LEN(sizeof raw));

    sha256(in, raw);
    return slice_of(text, b64url_encode(text, raw, sizeof raw));
}

/* ---- cookies ---- */

void oidc_cookie_each(const struct http_header *h, size_t n,
                      bool (*each)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    for (size_t i = 0; i < n; i++) {
        struct slice rest = h[i].value;
        if (!slice_eq_ci(h[i].name, S("cookie")))
            continue;
        while (rest.n > 0) {
            struct slice value, one = slice_trim(slice_cut(rest, ';', &rest));
            struct slice name = slice_trim(slice_cut(one, '=', &value));
            if (name.n > 0 && !each(ctx, name, slice_trim(value)))
                return;
        }
    }
}

struct oidc_codec_find {
    struct slice name, value;
    size_t n;
};

static bool oidc_codec_find_one(void *ctx, struct slice name, struct slice value)
{
    struct oidc_codec_find *f = ctx;

    if (slice_eq(name, f->name) && f->n++ == 0)
        f->value = value;
    return true;
}

struct slice oidc_cookie_get(const struct http_header *h, size_t n, struct slice name, size_t *found)
{
    struct oidc_codec_find f = {name, S(""), 0};

    oidc_cookie_each(h, n, oidc_codec_find_one, &f);
    *found = f.n;
    return f.value;
}

/* The first piece says how many there are: "3.<text>". */
struct slice oidc_cookie_joined(struct arena *a, const struct http_header *h, size_t n, struct slice name)
{
    size_t found;
    struct slice text, first = oidc_cookie_get(h, n, name, &found);
    uint64_t pieces = 0;
    char *all;
    size_t at;

    first = slice_cut(first, '.', &text);
    if (found != 1 || !slice_u64(first, &pieces) || pieces < 1 || pieces > OIDC_CHUNKS_MAX ||
        text.n > OIDC_CHUNK)
        return S("");
    all = arena_alloc(a, (size_t)pieces * OIDC_CHUNK);
    memcpy(all, text.p, text.n);
    at = text.n;
    for (uint64_t i = 1; i < pieces; i++) {
        struct slice piece = oidc_cookie_get(h, n, arena_fmt(a, "%.*s_%d", SFMT(name), (int)i), &found);
        if (found != 1 || piece.n == 0 || piece.n > OIDC_CHUNK)
            return S("");
        memcpy(all + at, piece.p, piece.n);
        at += piece.n;
    }
    return slice_of(all, at);
}

bool oidc_cookie_ours(struct slice cookie, struct slice name)
{
    struct slice tail;

    if (!slice_starts(cookie, name))
        return false;
    tail = slice_from(cookie, name.n);
    if (tail.n == 0)
        return true;
    if (tail.n == 2 && tail.p[0] == '_' && ascii_digit(tail.p[1]))
        return true;
    return tail.n == 2 + 1 + 8 && slice_starts(tail, S("_l_"));
}

struct oidc_codec_rest {
    const struct slice *names;
    size_t names_n;
    char *out;
    size_t n;
    bool had;
};

static bool oidc_codec_keep(void *ctx, struct slice name, struct slice value)
{
    struct oidc_codec_rest *r = ctx;

    for (size_t i = 0; i < r->names_n; i++)
        if (oidc_cookie_ours(name, r->names[i])) {
            r->had = true;
            return true;
        }
    if (r->n > 0) {
        memcpy(r->out + r->n, "; ", 2);
        r->n += 2;
    }
    memcpy(r->out + r->n, name.p, name.n);
    r->n += name.n;
    r->out[r->n++] = '=';
    if (value.n)
        memcpy(r->out + r->n, value.p, value.n);
    r->n += value.n;
    return true;
}

struct slice oidc_cookie_rest(struct arena *a, const struct http_header *h, size_t n,
                              const struct slice *names, size_t names_n, bool *had)
{
    struct oidc_codec_rest r = {names, names_n, NULL, 0, false};
    size_t room = 1;

    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(h[i].name, S("cookie")))
            room += h[i].value.n * 2 + 4; /* "a;b" grows to "a=; b=" */
    r.out = arena_alloc(a, room * 2);
    oidc_cookie_each(h, n, oidc_codec_keep, &r);
    *had = r.had;
    return slice_of(r.out, r.n);
}
