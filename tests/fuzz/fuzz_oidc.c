/*
 * fuzz_oidc.c - any bytes as a session's or a login's record, as a sealed text and as a Cookie header: what is
 * not whole is nothing, what reads writes the same bytes again, cookies of ours never get through.
 *
 * Seeds: tests/fuzz/seeds/fuzz_oidc.
 */
#include "policy/step_oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_oidc_records(struct arena *a, struct slice in)
{
    struct oidc_session s;
    struct oidc_login l;
    if (oidc_session_read(in, &s))
        MUST(slice_eq(oidc_session_write(a, &s), in));
    if (oidc_login_read(in, &l))
        MUST(slice_eq(oidc_login_write(a, &l), in));
}

static void fuzz_oidc_sealed(struct arena *a, struct slice in)
{
    struct oidc_keys keys = {.n = 1};
    struct slice text, plain;
    uint8_t key[32] = "a key of thirty-two bytes......";
    oidc_key_set(&keys.v[0], key);
    MUST(!oidc_open(a, &keys, "session", S("ident"), S("id"), in, &plain));
    text = oidc_seal(a, &keys, "session", S("ident"), S("id"), in);
    MUST(oidc_open(a, &keys, "session", S("ident"), S("id"), text, &plain) && slice_eq(plain, in));
    MUST(!oidc_open(a, &keys, "login", S("ident"), S("id"), text, &plain));
    MUST(!oidc_open(a, &keys, "session", S("iden"), S("tid"), text, &plain));
}

static void fuzz_oidc_cookies(struct arena *a, struct slice in)
{
    const struct http_header h[] = {{S("Cookie"), in}, {S("x"), in}, {S("cookie"), S("web=abc; web_1=d; web_l_AAAAAAAA=e; other=f")}};
    const struct slice names[] = {S("web")};
    struct slice rest, joined;
    bool had;
    size_t n;
    rest = oidc_cookie_rest(a, h, 3, names, 1, &had);
    MUST(had && slice_find(rest, S("other=f")) != SIZE_MAX);
    const struct http_header again = {S("cookie"), rest};
    (void)oidc_cookie_get(&again, 1, S("web"), &n);
    MUST(n == 0);
    joined = oidc_cookie_joined(a, h, 1, S("web"));
    MUST(joined.n <= (size_t)OIDC_CHUNK * OIDC_CHUNKS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, MIN(size, 60000));
    struct arena a;
    arena_init(&a, 4096, 64 << 20);
    fuzz_oidc_records(&a, in);
    fuzz_oidc_sealed(&a, in);
    fuzz_oidc_cookies(&a, in);
    arena_free(&a);
    return 0;
}
