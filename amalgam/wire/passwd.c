/*
 * passwd.c - stored passwords: which kind, and whether one given is that one.
 *
 * Texts come from policies and are trusted as far as an administrator is: they are bounded, so that
 * a mistaken cost does not stop the machine, and checked when they are read, so that a broken one is
 * a fault of the file and not a user who can never sign in. Argon2id is cred.c's, Blowfish bcrypt.c's;
 * here are SHA-1 and Apache's MD5 scheme. Copies of a password are wiped. Pure; any thread.
 * Tested by tests/unit/wire/test_passwd.c.
 */
#include "wire/passwd.h"

#include "base/mem.h"
#include "wire/cred.h"
#include "wire/hash.h"

#include <mbedtls/md5.h>

enum {
    PASSWD_SALT_MAX = 64,
    PASSWD_APR1_SALT = 8,
    PASSWD_APR1_TEXT = 22,
    PASSWD_APR1_QUICK = 128, /* bytes of a password whose thousand rounds stay under a millisecond */
    PASSWD_BCRYPT_TEXT = 60,
    PASSWD_BCRYPT_COST_MIN = 4,
    PASSWD_BCRYPT_COST_MAX = 16
};

/* ---- crypt's two ways of writing six bits ---- */

static const char passwd_apr1_64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char passwd_bcrypt_64[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static bool passwd_all_of(struct slice s, const char *alphabet)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || !strchr(alphabet, s.p[i]))
            return false;
    return true;
}

/* Six bits a character, high ones first; what is left over at the end is ignored, as everywhere. */
static bool passwd_bcrypt_bytes(struct slice s, uint8_t *out, size_t n)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = 0;

    if (!passwd_all_of(s, passwd_bcrypt_64))
        return false;
    for (size_t i = 0; i < s.n && at < n; i++) {
        bits = bits << 6 | (uint32_t)(strchr(passwd_bcrypt_64, s.p[i]) - passwd_bcrypt_64);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[at++] = (uint8_t)(bits >> have);
        }
    }
    return at == n;
}

/* ---- reading ---- */

static enum rc passwd_parse_bcrypt(struct slice text, struct passwd *out, struct err *e)
{
    uint64_t cost = 0;
    bool ok = text.n == PASSWD_BCRYPT_TEXT && memchr("aby", text.p[2], 3) && text.p[3] == '$' &&
              text.p[6] == '$' && slice_u64(slice_sub(text, text.p[4] == '0' ? 5 : 4,
                                                      text.p[4] == '0' ? 1 : 2), &cost);

    if (!ok || !passwd_bcrypt_bytes(slice_sub(text, 7, 22), out->salt_raw, 16) ||
        !passwd_bcrypt_bytes(slice_from(text, 29), out->hash, 23))
        return err_set(e, RC_BADINPUT, "this is no bcrypt hash ($2a$, $2b$ or $2y$, 60 characters)");
    if (cost < PASSWD_BCRYPT_COST_MIN || cost > PASSWD_BCRYPT_COST_MAX)
        return err_set(e, RC_BADINPUT, "bcrypt cost %llu: %d to %d are served",
                       (unsigned long long)cost, PASSWD_BCRYPT_COST_MIN, PASSWD_BCRYPT_COST_MAX);
    out->kind = PASSWD_BCRYPT;
    out->cost = (uint32_t)cost;
    return RC_OK;
}

static enum rc passwd_parse_apr1(struct slice text, struct slice salt, struct passwd *out,
                                 struct err *e)
{
    if (text.n != PASSWD_APR1_TEXT || !passwd_all_of(text, passwd_apr1_64))
        return err_set(e, RC_BADINPUT, "an apr1 hash has %d characters of ./0-9A-Za-z", PASSWD_APR1_TEXT);
    if (salt.n == 0 || salt.n > PASSWD_APR1_SALT || !slice_printable(salt) ||
        slice_index(salt, '$') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "an apr1 salt has 1 to %d characters", PASSWD_APR1_SALT);
    out->kind = PASSWD_APR1;
    out->salt = salt;
    out->text = text;
    return RC_OK;
}

static enum rc passwd_parse_sha1(struct slice text, struct slice salt, struct passwd *out,
                                 struct err *e)
{
    size_t n = 0;

    if (hex_decode(text, out->hash, 20, &n) != RC_OK || n != 20)
        return err_set(e, RC_BADINPUT, "a sha1 hash has 40 hexadecimal digits");
    if (salt.n > PASSWD_SALT_MAX)
        return err_set(e, RC_BADINPUT, "a salt has at most %d bytes", PASSWD_SALT_MAX);
    out->kind = PASSWD_SHA1;
    out->salt = salt;
    return RC_OK;
}

static enum rc passwd_parse_prefixed(struct slice text, struct passwd *out, struct err *e)
{
    struct slice rest, salt;
    size_t n = 0;

    if (slice_starts(text, S("$2")))
        return passwd_parse_bcrypt(text, out, e);
    if (slice_starts(text, S("$apr1$"))) {
        salt = slice_cut(slice_from(text, 6), '$', &rest);
        return passwd_parse_apr1(rest, salt, out, e);
    }
    if (slice_starts(text, S("$argon2id$"))) {
        out->kind = PASSWD_ARGON2ID;
        out->text = text;
        return password_phc_ok(text) ? RC_OK
                                     : err_set(e, RC_BADINPUT, "this argon2id hash is malformed or costs more "
                                               "than 64 MiB, 10 passes or 4 lanes");
    }
    out->kind = PASSWD_SHA1;
    if (slice_starts(text, S("{SHA}")) &&
        b64_decode(slice_from(text, 5), out->hash, 20, &n) == RC_OK && n == 20)
        return RC_OK;
    return err_set(e, RC_BADINPUT, "this kind of hash is not served: apr1, sha1, bcrypt and argon2id are");
}

enum rc passwd_parse(struct slice text, struct slice salt, enum passwd_kind otherwise,
                     struct passwd *out, struct err *e)
{
    *out = (struct passwd){.salt = S(""), .text = S("")};
    if (text.n > 0 && (text.p[0] == '$' || text.p[0] == '{')) {
        if (salt.n > 0)
            return err_set(e, RC_BADINPUT, "the hash has its salt inside: leave salt out");
        return passwd_parse_prefixed(text, out, e);
    }
    return otherwise == PASSWD_SHA1 ? passwd_parse_sha1(text, salt, out, e)
                                    : passwd_parse_apr1(text, salt, out, e);
}

/* ---- apr1 ---- */

struct passwd_md5 {
    mbedtls_md5_context c;
};

static void passwd_md5_start(struct passwd_md5 *m)
{
    mbedtls_md5_init(&m->c);
    MUST(mbedtls_md5_starts(&m->c) == 0);
}

static void passwd_md5_add(struct passwd_md5 *m, const void *p, size_t n)
{
    MUST(mbedtls_md5_update(&m->c, p, n) == 0);
}

static void passwd_md5_end(struct passwd_md5 *m, uint8_t out[16])
{
    MUST(mbedtls_md5_finish(&m->c, out) == 0);
    mbedtls_md5_free(&m->c);
}

static void passwd_apr1_first(struct slice password, struct slice salt, uint8_t sum[16])
{
    struct passwd_md5 m;

    passwd_md5_start(&m);
    passwd_md5_add(&m, password.p, password.n);
    passwd_md5_add(&m, salt.p, salt.n);
    passwd_md5_add(&m, password.p, password.n);
    passwd_md5_end(&m, sum);
    passwd_md5_start(&m);
    passwd_md5_add(&m, password.p, password.n);
    passwd_md5_add(&m, "$apr1$", 6);
    passwd_md5_add(&m, salt.p, salt.n);
    for (size_t left = password.n; left > 0; left -= MIN(left, (size_t)16))
        passwd_md5_add(&m, sum, MIN(left, (size_t)16));
    for (size_t bits = password.n; bits > 0; bits >>= 1)
        passwd_md5_add(&m, bits & 1 ? "" : password.p, 1); /* "" is one NUL */
    passwd_md5_end(&m, sum);
}

static void passwd_apr1_round(struct slice password, struct slice salt, int i, uint8_t sum[16])
{
    struct passwd_md5 m;

    passwd_md5_start(&m);
    passwd_md5_add(&m, i & 1 ? password.p : (const char *)sum, i & 1 ? password.n : 16);
    if (i % 3)
        passwd_md5_add(&m, salt.p, salt.n);
    if (i % 7)
        passwd_md5_add(&m, password.p, password.n);
    passwd_md5_add(&m, i & 1 ? (const char *)sum : password.p, i & 1 ? 16 : password.n);
    passwd_md5_end(&m, sum);
}

static void passwd_apr1_write(const uint8_t sum[16], char out[PASSWD_APR1_TEXT])
{
    static const uint8_t order[6][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    size_t at = 0;

    for (int i = 0; i < 6; i++) {
        uint32_t v = i == 5 ? sum[11]
                            : (uint32_t)sum[order[i][0]] << 16 | (uint32_t)sum[order[i][1]] << 8 | sum[order[i][2]];
        for (int k = 0; k < (i == 5 ? 2 : 4); k++, v >>= 6)
            out[at++] = passwd_apr1_64[v & 63];
    }
}

static bool passwd_verify_apr1(const struct passwd *p, struct slice password)
{
    uint8_t sum[16];
    char text[PASSWD_APR1_TEXT];
    bool same;

    if (!password.p)
        password = S("");
    passwd_apr1_first(password, p->salt, sum);
    for (int i = 0; i < 1000; i++)
        passwd_apr1_round(password, p->salt, i, sum);
    passwd_apr1_write(sum, text);
    same = slice_eq_secret(slice_of(text, sizeof text), p->text);
    mem_wipe(text, sizeof text);
    mem_wipe(sum, sizeof sum);
    return same;
}

/* ---- the others ---- */

static bool passwd_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    return slice_eq_secret(slice_of((const char *)a, n), slice_of((const char *)b, n));
}

static bool passwd_verify_sha1(const struct passwd *p, struct slice password)
{
    char both[PASSWD_BYTES_MAX + PASSWD_SALT_MAX];
    uint8_t sum[20];

    if (password.n)
        memcpy(both, password.p, password.n);
    if (p->salt.n)
        memcpy(both + password.n, p->salt.p, p->salt.n);
    sha1(slice_of(both, password.n + p->salt.n), sum);
    mem_wipe(both, sizeof both);
    return passwd_same(sum, p->hash, sizeof sum);
}

static bool passwd_verify_bcrypt(const struct passwd *p, struct slice password)
{
    uint8_t sum[23];

    bcrypt_hash(password, p->salt_raw, p->cost, sum);
    /* a NUL would end the password for the programs that made the hash */
    return passwd_same(sum, p->hash, sizeof sum) && slice_index(password, '\0') == SIZE_MAX;
}

bool passwd_verify(const struct passwd *p, struct slice password)
{
    if (password.n > PASSWD_BYTES_MAX)
        return false;
    switch (p->kind) {
    case PASSWD_APR1:
        return passwd_verify_apr1(p, password);
    case PASSWD_SHA1:
        return passwd_verify_sha1(p, password);
    case PASSWD_BCRYPT:
        return passwd_verify_bcrypt(p, password);
    case PASSWD_ARGON2ID:
        return password_verify(p->text, password);
    }
    return false;
}

bool passwd_blocks(const struct passwd *p, struct slice password)
{
    return p->kind == PASSWD_BCRYPT || p->kind == PASSWD_ARGON2ID ||
           (p->kind == PASSWD_APR1 && password.n > PASSWD_APR1_QUICK);
}
