/* test_hash.c - digests, MACs, checksums, text codings, AEAD: published vectors and properties. */
#include "base/rand.h"
#include "t.h"
#include "wire/hash.h"

static struct arena arena;

static struct slice hex(const void *p, size_t n)
{
    char *text = arena_alloc(&arena, n * 2);
    return slice_of(text, hex_encode(text, p, n));
}

/* FIPS 180-4 examples (and the empty message). */
static void sha256_vectors(void)
{
    static const struct {
        const char *msg, *want;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t out[32];
    for (int portable = 0; portable < 2; portable++) {
        hash_portable_only(portable == 1);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            T_ROW("portable %d, row %zu", portable, i);
            sha256(slice_str(rows[i].msg), out);
            T_TEXT(hex(out, 32), rows[i].want);
        }
        struct sha256_state s;
        char a[1000];
        memset(a, 'a', sizeof a);
        sha256_start(&s);
        for (int i = 0; i < 1000; i++)
            sha256_add(&s, slice_of(a, sizeof a));
        sha256_end(&s, out);
        T_TEXT(hex(out, 32), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    hash_portable_only(false);
}

/* Both paths, all lengths around the block, in two parts: always the same digest. */
static void sha256_paths_agree(void)
{
    uint8_t a[32], b[32], c[32];
    char msg[300];
    for (size_t i = 0; i < sizeof msg; i++)
        msg[i] = (char)(i * 13 + 5);
    for (size_t n = 0; n <= sizeof msg; n++) {
        T_ROW("length %zu", n);
        hash_portable_only(false);
        sha256(slice_of(msg, n), a);
        hash_portable_only(true);
        sha256(slice_of(msg, n), b);
        hash_portable_only(false);
        T(memcmp(a, b, 32) == 0);
        struct sha256_state s;
        sha256_start(&s);
        sha256_add(&s, slice_of(msg, n / 3));
        sha256_add(&s, slice_of(msg + n / 3, 0));
        sha256_add(&s, slice_of(msg + n / 3, n - n / 3));
        sha256_end(&s, c);
        T(memcmp(a, c, 32) == 0);
    }
}

static void other_digests(void)
{
    uint8_t out[64];
    sha1(S("abc"), out);
    T_TEXT(hex(out, 20), "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1(S(""), out);
    T_TEXT(hex(out, 20), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    sha512(S("abc"), out);
    T_TEXT(hex(out, 64), "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

/* RFC 4231 cases 1 to 4, 6, 7; RFC 2202 cases 1 and 2. */
static void hmac_vectors(void)
{
    static char key25[25], aa[131], dd[50], cd[50];
    for (int i = 0; i < 25; i++)
        key25[i] = (char)(i + 1);
    memset(aa, 0xaa, sizeof aa);
    memset(dd, 0xdd, sizeof dd);
    memset(cd, 0xcd, sizeof cd);
    struct slice b20 =
        S("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b");
    const struct {
        struct slice key, msg;
        const char *want;
    } rows[] = {
        {b20, S("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {S("Jefe"), S("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {slice_of(aa, 20), slice_of(dd, 50),
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {slice_of(key25, 25), slice_of(cd, 50),
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {slice_of(aa, 131), S("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {slice_of(aa, 131),
         S("This is a test using a larger than block-size key and a larger than block-size data. "
           "The key "
           "needs to be hashed before being used by the HMAC algorithm."),
         "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    uint8_t out[32];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hmac_key k;
        T_ROW("row %zu", i);
        hmac_key_init(&k, rows[i].key);
        hmac_sha256(&k, rows[i].msg, out);
        T_TEXT(hex(out, 32), rows[i].want);
        hmac_sha256(&k, rows[i].msg, out); /* the key is not used up */
        T_TEXT(hex(out, 32), rows[i].want);
        hmac_key_wipe(&k);
        T(k.inner[0] == 0 && k.outer[7] == 0);
    }
    hmac_sha1(b20, S("Hi There"), out);
    T_TEXT(hex(out, 20), "b617318655057264e28bc0b6fb378c8ef146be00");
    hmac_sha1(S("Jefe"), S("what do ya want for nothing?"), out);
    T_TEXT(hex(out, 20), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

/* HMAC from its definition, for all lengths around the paddings. */
static void hmac_by_definition(void)
{
    char msg[200], block[64 + 200], outer[64 + 32];
    uint8_t want[32], got[32], inner[32];
    struct hmac_key k;
    memset(msg, 'm', sizeof msg);
    hmac_key_init(&k, S("key"));
    for (size_t n = 0; n <= sizeof msg; n++) {
        memset(block, 0x36, 64);
        memset(outer, 0x5c, 64);
        for (int i = 0; i < 3; i++) {
            block[i] = (char)(block[i] ^ "key"[i]);
            outer[i] = (char)(outer[i] ^ "key"[i]);
        }
        memcpy(block + 64, msg, n);
        sha256(slice_of(block, 64 + n), inner);
        memcpy(outer + 64, inner, 32);
        sha256(slice_of(outer, 96), want);
        hmac_sha256(&k, slice_of(msg, n), got);
        T_ROW("length %zu", n);
        T(memcmp(want, got, 32) == 0);
    }
}

/* The check values of the catalogue of CRC algorithms, and running sums. */
static void checksums(void)
{
    T(crc32_ieee(0, "123456789", 9) == 0xcbf43926u);
    T(crc32c(0, "123456789", 9) == 0xe3069283u);
    T(crc64_redis(0, "123456789", 9) == 0xe9c6d914c4b8d9cau);
    char text[100];
    memset(text, 'q', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        T_ROW("cut at %zu", n);
        T(crc32_ieee(crc32_ieee(0, text, n), text + n, 100 - n) == crc32_ieee(0, text, 100));
        T(crc32c(crc32c(0, text, n), text + n, 100 - n) == crc32c(0, text, 100));
        T(crc64_redis(crc64_redis(0, text, n), text + n, 100 - n) == crc64_redis(0, text, 100));
    }
}

/* RFC 4648 section 10, and what a strict decoder refuses. */
static void base64(void)
{
    static const struct {
        const char *plain, *std, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    static const char *const bad_std[] = {
        "Z",      "Zg",   "Zg=", "Zg===", "Zh==",     "Zm9=", "Zm 8=",
        "Zm8=\n", "====", "=",   "Zm=8",  "Zg==Zg==", "-_-_", "Zm9v\xc3\xbc\xc3\xbc",
        "A===",   "Zg=A"};
    static const char *const bad_url[] = {"Z",    "Zg==", "Zh",   "Zm9",
                                          "+/+/", "Zm 8", "Zm8=", "Zm9vY"};
    char text[64];
    uint8_t back[64];
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice p = slice_str(rows[i].plain);
        T_ROW("%s", rows[i].std);
        T_TEXT(slice_of(text, b64_encode(text, p.p, p.n)), rows[i].std);
        T_INT(B64_LEN(p.n), strlen(rows[i].std));
        T_TEXT(slice_of(text, b64url_encode(text, p.p, p.n)), rows[i].url);
        T_INT(b64_decode(slice_str(rows[i].std), back, p.n, &n), RC_OK);
        T(slice_eq(slice_of((char *)back, n), p));
        T_INT(b64url_decode(slice_str(rows[i].url), back, p.n, &n), RC_OK);
        T(slice_eq(slice_of((char *)back, n), p));
        if (p.n > 0)
            T_INT(b64_decode(slice_str(rows[i].std), back, p.n - 1, &n), RC_TOOBIG);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_std); i++) {
        T_ROW("bad %s", bad_std[i]);
        T_INT(b64_decode(slice_str(bad_std[i]), back, sizeof back, &n), RC_BADINPUT);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++) {
        T_ROW("bad url %s", bad_url[i]);
        T_INT(b64url_decode(slice_str(bad_url[i]), back, sizeof back, &n), RC_BADINPUT);
    }
}

static void hexadecimal(void)
{
    uint8_t out[8];
    size_t n;
    T_TEXT(hex("\x00\xab\xff", 3), "00abff");
    T_INT(hex_decode(S("00ABff"), out, 3, &n), RC_OK);
    T(n == 3 && memcmp(out, "\x00\xab\xff", 3) == 0);
    T_INT(hex_decode(S("0"), out, 8, &n), RC_BADINPUT);
    T_INT(hex_decode(S("0g"), out, 8, &n), RC_BADINPUT);
    T_INT(hex_decode(S("0x"), out, 8, &n), RC_BADINPUT);
    T_INT(hex_decode(S("0011"), out, 1, &n), RC_TOOBIG);
    T_INT(hex_decode(S(""), out, 0, &n), RC_OK);
}

static void zeros(void *p, size_t n)
{
    memset(p, 0, n);
}

/* The GCM specification's test case 14 (key and nonce zero, one block of zeros), then forgeries. */
static void sealing(void)
{
    static const uint8_t key[32] = {0};
    static const char block[16] = {0};
    struct slice plain;
    rand_set_source(zeros);
    struct slice sealed = aead_seal(&arena, key, slice_of(block, 16), S(""));
    rand_set_source(NULL);
    T_TEXT(hex(sealed.p, sealed.n), "000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18"
                                    "d0d1c8a799996bf0265b98b5d48ab919");
    sealed = aead_seal(&arena, key, S("secret"), S("for:alice"));
    T_INT(sealed.n, 12 + 6 + 16);
    T_INT(aead_open(&arena, key, sealed, S("for:alice"), &plain), RC_OK);
    T_TEXT(plain, "secret");
    T_INT(aead_open(&arena, key, sealed, S("for:bob"), &plain), RC_DENIED);
    char *forged = arena_cstr(&arena, sealed);
    for (size_t i = 0; i < sealed.n; i++) {
        forged[i] = (char)(forged[i] ^ 0x10);
        T_INT(aead_open(&arena, key, slice_of(forged, sealed.n), S("for:alice"), &plain),
              RC_DENIED);
        forged[i] = (char)(forged[i] ^ 0x10);
    }
    for (size_t n = 0; n < sealed.n; n++)
        T_INT(aead_open(&arena, key, slice_of(forged, n), S("for:alice"), &plain), RC_DENIED);
    T(!slice_eq(aead_seal(&arena, key, S("x"), S("")), aead_seal(&arena, key, S("x"), S(""))));
    T_INT(aead_open(&arena, key, aead_seal(&arena, key, S(""), S("")), S(""), &plain), RC_OK);
    T_INT(plain.n, 0);
}

int main(void)
{
    arena_init(&arena, 0, 0);
    T_RUN(sha256_vectors);
    T_RUN(sha256_paths_agree);
    T_RUN(other_digests);
    T_RUN(hmac_vectors);
    T_RUN(hmac_by_definition);
    T_RUN(checksums);
    T_RUN(base64);
    T_RUN(hexadecimal);
    T_RUN(sealing);
    arena_free(&arena);
    return t_done();
}
