/* test_cred.c - API keys, argon2id, password rules, cookies. */
#include "t.h"
#include "wire/cred.h"
#include "wire/hash.h"

static struct arena arena;

static void api_keys(void)
{
    struct slice public_part, key = apikey_new(&arena, S("pk_live"), &public_part);
    T_INT(key.n, 7 + 1 + 8 + 30 + 6);
    T(slice_starts(key, S("pk_live_")) && slice_starts(key, public_part));
    T_INT(public_part.n, 7 + 1 + 8);
    T(apikey_form_ok(key) && slice_eq(apikey_public_part(key), public_part));
    T(!slice_eq(key, apikey_new(&arena, S("pk_live"), &public_part)));
    char *typo = arena_cstr(&arena, key);
    for (size_t i = 0; i < key.n; i++) { /* one wrong character anywhere is found */
        char kept = typo[i];
        typo[i] = kept == 'x' ? 'y' : 'x';
        T_ROW("character %zu", i);
        T(!apikey_form_ok(slice_of(typo, key.n)));
        T_INT(apikey_public_part(slice_of(typo, key.n)).n, 0);
        typo[i] = kept;
    }
    for (size_t n = 0; n < key.n; n++)
        T(!apikey_form_ok(slice_sub(key, 0, n)));
}

/* A key put together by hand, so that the form stays what it is. */
static void key_form_is_stable(void)
{
    struct slice head = S("k_01234567abcdefghijklmnopqrstuvwxyz0123");
    uint32_t crc = crc32_ieee(0, head.p, head.n);
    char check[7];
    for (int i = 5; i >= 0; i--, crc /= 62)
        check[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[crc % 62];
    check[6] = '\0';
    struct slice key = arena_fmt(&arena, "%.*s%s", SFMT(head), check);
    T(apikey_form_ok(key));
    T_TEXT(apikey_public_part(key), "k_01234567");
    T(!apikey_form_ok(S("")) && !apikey_form_ok(S("sk_test_something_else")));
    T(!apikey_form_ok(slice_from(key, 1))); /* no prefix */
}

static void passwords(void)
{
    struct slice a = password_hash(&arena, S("correct horse")),
                 b = password_hash(&arena, S("correct horse"));
    T(slice_starts(a, S("$argon2id$v=19$m=19456,t=2,p=1$")) && !slice_eq(a, b));
    T(password_verify(a, S("correct horse")) && password_verify(b, S("correct horse")));
    T(!password_verify(a, S("correct horsf")) && !password_verify(a, S("")));
    T(!password_verify_nobody(S("correct horse")));
}

/* Made by the reference program: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 */
static void known_hash(void)
{
    T(password_verify(S("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
                        "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
                      S("password")));
}

static void costs_are_bounded(void)
{
    static const char *const bad[] = {
        "",
        "$argon2id$",
        "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        "$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=9999,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=2,p=200$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$t=2,m=65536,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$",
        "$argon2id$v=19$m=65536,t=2,p=1$$",
        "password",
        "$2y$05$abcdefghijklmnopqrstuuv",
        "$argon2id$v=19$m=,t=2,p=1$c29tZXNhbHQ$CTFh",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        T(!password_verify(slice_str(bad[i]), S("password")));
    }
}

static void new_passwords(void)
{
    static const struct {
        const char *password, *email;
        bool ok;
    } rows[] = {
        {"a quiet brown harbour", "a@b.c", true},
        {"tr0ub4dor&3xyz", "a@b.c", true},
        {"gr\xc3\xbc\xc3\x9f"
         "e aus wien",
         "", true},
        {"short", "a@b.c", false},
        {"elevenchars", "a@b.c", false},
        {"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", "",
         false}, /* 12 bytes, 6 characters */
        {"Password1234", "a@b.c", false},
        {"aaaaaaaaaaaaaaa", "a@b.c", false},
        {"123456789012", "", false},
        {"abcdefghijklmn", "", false},
        {"121212121212", "", false},
        {"jane.doe@example.com", "Jane.Doe@example.com", false},
        {"jane.doe.long", "jane.doe.long@example.com", false},
        {"correcthorsebatterystaple", "", false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].password);
        const char *why = password_complaint(slice_str(rows[i].password), slice_str(rows[i].email));
        T((why == NULL) == rows[i].ok);
    }
    char big[1100];
    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + (i * 7) % 23);
    T(password_complaint(slice_of(big, 1025), S("")) != NULL);
    T(password_complaint(slice_of(big, 1024), S("")) == NULL);
}

static void cookies(void)
{
    static const struct {
        const char *header, *want;
    } rows[] = {
        {"session=abc", "abc"},
        {"a=1; session=abc; b=2", "abc"},
        {"a=1;session=abc;b=2", "abc"},
        {"session=\"quoted\"", "quoted"},
        {"session=", ""},
        {"session=a=b", "a=b"},
        {"session=1; session=2", NULL},
        {"session=1; session=1", NULL},
        {"xsession=1", NULL},
        {"sessionx=1", NULL},
        {"Session=1", NULL},
        {"", NULL},
        {";;;", NULL},
        {"a=session=1", NULL},
        {"session", ""},
        {" session = x ", "x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice v = S("?");
        T_ROW("%s", rows[i].header);
        bool ok = cookie_get(slice_str(rows[i].header), S("session"), &v);
        T(ok == (rows[i].want != NULL));
        if (ok && rows[i].want)
            T_TEXT(v, rows[i].want);
    }
}

int main(void)
{
    arena_init(&arena, 0, 0);
    T_RUN(api_keys);
    T_RUN(key_form_is_stable);
    T_RUN(passwords);
    T_RUN(known_hash);
    T_RUN(costs_are_bounded);
    T_RUN(new_passwords);
    T_RUN(cookies);
    arena_free(&arena);
    return t_done();
}
