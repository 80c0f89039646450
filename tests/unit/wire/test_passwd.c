/* test_passwd.c - stored passwords against hashes that other programs made (crypt(3) of libxcrypt, openssl
 * passwd, htpasswd), and the reading of Basic credentials. */
#include "t.h"
#include "wire/cred.h"
#include "wire/hash.h"
#include "wire/passwd.h"

static struct arena arena;

static bool right(const char *text, const char *salt, enum passwd_kind kind, struct slice password)
{
    struct passwd p;
    struct err e = {0};
    T_ROW("%s", text);
    if (passwd_parse(slice_str(text), slice_str(salt), kind, &p, &e) != RC_OK) {
        t_fail(__FILE__, __LINE__, "%s", e.text);
        return false;
    }
    return passwd_verify(&p, password);
}

#define A10 "aaaaaaaaaa"
#define A72 A10 A10 A10 A10 A10 A10 A10 "aa"

static void bcrypt(void)
{
    static const struct {
        const char *hash, *password;
    } rows[] = {
        {"$2b$04$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2", "password"},
        {"$2y$04$6TkoGfYw0Y369.b7cxEtXuTa1PNxdK8mu9ZFjVtk9QLxR2HJzU.8S", "password"},
        {"$2a$04$c4yRzIIT8ra6K7pJFqoPiOwznGg7h9a0Dl9r7DMdI/b43f7F/xgrW", "password"},
        {"$2b$05$h0jQMMRwcoqvwzDIH6zQUOFyBbv8bIcXx8dPLfHGloQUWQi/ZCUbG", ""},
        {"$2b$04$S3Gl6AuCNO2zYgKt2I/k3OSUSFJ8Vpd9KIIKbL7cqomrQaK7OzVrG", A72},
        {"$2b$04$bJOSgVXEKXd4vDItcmLEmuBiZa79fIZ3WqzBnKD3wftqGiJ0zAUMK", A72 "aaaaaaaa"},
        {"$2y$06$V/WphctzbscYHwqq3rJW/eDlZCH9lE.g.OZ54CBuJehTCW2PmQOUO", "correct horse battery staple"},
        {"$2y$04$cvalrRnbKGbGe9P31/MdEeZ87WBsv.2UVo5oH8BeVc6L8N/4L/rQq", "p\xc3\xa4ss\xc3\xbf"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice pw = slice_str(rows[i].password);
        T(right(rows[i].hash, "", PASSWD_APR1, pw));
        T(!right(rows[i].hash, "", PASSWD_APR1, S("Password")));
        T(pw.n >= 72 || !right(rows[i].hash, "", PASSWD_APR1, arena_fmt(&arena, "%.*sx", SFMT(pw))));
    }
    T(right(rows[4].hash, "", PASSWD_APR1, S(A72 "whatever"))); /* bcrypt reads 72 bytes */
    T(!right(rows[0].hash, "", PASSWD_APR1, S("password\0x")));
    T(!right(rows[0].hash, "", PASSWD_APR1, S("password\0password\0password")));
    T(!right(rows[0].hash, "", PASSWD_APR1, S("")));
}

static void apr1(void)
{
    T(right("8BvzLUO9IfGPGGsPnAgSu1", "TYiryv0/", PASSWD_APR1, S("password")));
    T(right("14o4fMw/Pm2L34SvyyA2r.", "0adzfifo", PASSWD_APR1, S("password")));
    T(right("$apr1$TYiryv0/$8BvzLUO9IfGPGGsPnAgSu1", "", PASSWD_SHA1, S("password")));
    T(right("$apr1$xY$S3YbnBS64mglq3hIuZmjy.", "", PASSWD_APR1, S("a")));
    T(right("$apr1$xY$HZQ5i8yD1FOWduzQlYOAq1", "", PASSWD_APR1, S("a b c")));
    T(right("$apr1$xY$KLC8O81Xjvca4MwxAo67j0", "", PASSWD_APR1, S("0123456789abcdef0123456789abcdef0123456789")));
    T(!right("8BvzLUO9IfGPGGsPnAgSu1", "TYiryv0/", PASSWD_APR1, S("Password")));
    T(!right("8BvzLUO9IfGPGGsPnAgSu1", "TYiryv0/", PASSWD_APR1, S("")));
    T(!right("8BvzLUO9IfGPGGsPnAgSu1", "TYiryv0/", PASSWD_APR1, slice_of(NULL, 0)));
}

static void sha1_kinds(void)
{
    T(right("010eb058a59f4ac5ba05639b0263cf91b4345fd6", "TYiryv0/", PASSWD_SHA1, S("password")));
    T(right("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "", PASSWD_APR1, S("password")));
    T(!right("010eb058a59f4ac5ba05639b0263cf91b4345fd6", "TYiryv0/", PASSWD_SHA1, S("passwordT")));
    T(!right("010eb058a59f4ac5ba05639b0263cf91b4345fd6", "", PASSWD_SHA1, S("password")));
    T(right("010eb058a59f4ac5ba05639b0263cf91b4345fd6", "", PASSWD_SHA1, S("passwordTYiryv0/"))); /* that is the scheme */
}

static void argon2(void)
{
    struct slice phc = password_hash(&arena, S("correct horse"));
    T(right(phc.p, "", PASSWD_APR1, S("correct horse")));
    T(!right(phc.p, "", PASSWD_APR1, S("correct house")));
}

static void too_long_never_matches(void)
{
    char *p = arena_alloc(&arena, 1025);
    char hex[41];
    uint8_t sum[20];
    memset(p, 'a', 1025);
    sha1(slice_of(p, 1025), sum);
    hex[hex_encode(hex, sum, 20)] = '\0';
    T(!right(hex, "", PASSWD_SHA1, slice_of(p, 1025)));
    sha1(slice_of(p, 1024), sum);
    hex[hex_encode(hex, sum, 20)] = '\0';
    T(right(hex, "", PASSWD_SHA1, slice_of(p, 1024)));
}

static void broken_texts_are_faults(void)
{
    static const struct {
        const char *text, *salt;
        enum passwd_kind kind;
        const char *word;
    } rows[] = {
        {"", "", PASSWD_APR1, "22 characters"},
        {"", "", PASSWD_SHA1, "40 hex"},
        {"password", "", PASSWD_SHA1, "40 hex"},
        {"8BvzLUO9IfGPGGsPnAgSu1", "", PASSWD_APR1, "salt"},
        {"8BvzLUO9IfGPGGsPnAgSu1", "123456789", PASSWD_APR1, "salt"},
        {"8BvzLUO9IfGPGGsPnAgSu!", "TYiryv0/", PASSWD_APR1, "22 characters"},
        {"$apr1$TYiryv0/$8BvzLUO9IfGPGGsPnAgSu1", "TYiryv0/", PASSWD_APR1, "leave salt out"},
        {"$apr1$TYiryv0/", "", PASSWD_APR1, "22 characters"},
        {"$2b$04$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ", "", PASSWD_APR1, "60 characters"},
        {"$2x$04$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2", "", PASSWD_APR1, "60 characters"},
        {"$2b$4$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ22", "", PASSWD_APR1, "60 characters"},
        {"$2b$04$QT01StXLGR6HaVk.6NvWh!7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2", "", PASSWD_APR1, "60 characters"},
        {"$2b$03$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2", "", PASSWD_APR1, "4 to 16"},
        {"$2b$31$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2", "", PASSWD_APR1, "4 to 16"},
        {"$argon2id$v=19$m=9999999,t=2,p=1$c29tZXNhbHQ$aGFzaA", "", PASSWD_APR1, "64 MiB"},
        {"$6$salt$hash", "", PASSWD_APR1, "not served"},
        {"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "", PASSWD_APR1, "not served"},
        {"{SHA}W6ph5Mm5Pz8", "", PASSWD_APR1, "not served"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct passwd p;
        struct err e = {0};
        T_ROW("%s", rows[i].text);
        T(passwd_parse(slice_str(rows[i].text), slice_str(rows[i].salt), rows[i].kind, &p, &e) == RC_BADINPUT);
        T(strstr(e.text, rows[i].word) != NULL);
        T(strlen(rows[i].text) < 10 || !strstr(e.text, rows[i].text));
    }
}

static void what_blocks(void)
{
    struct passwd p = {.kind = PASSWD_APR1};
    char *longer = arena_zalloc(&arena, 1000);
    T(!passwd_blocks(&p, S("password")));
    T(passwd_blocks(&p, slice_of(longer, 1000)));
    p.kind = PASSWD_SHA1;
    T(!passwd_blocks(&p, slice_of(longer, 1000)));
    p.kind = PASSWD_BCRYPT;
    T(passwd_blocks(&p, S("")));
    p.kind = PASSWD_ARGON2ID;
    T(passwd_blocks(&p, S("")));
}

static enum rc basic(struct slice header, struct slice *user, struct slice *password)
{
    static char dst[BASIC_BYTES_MAX];
    return basic_read(header, dst, user, password);
}

static struct slice basic_of(struct slice plain)
{
    char *p = arena_alloc(&arena, 6 + B64_LEN(plain.n));
    memcpy(p, "Basic ", 6);
    return slice_of(p, 6 + b64_encode(p + 6, plain.p, plain.n));
}

static void basic_is_strict(void)
{
    struct slice u, w;
    T(basic(S("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), &u, &w) == RC_OK); /* of RFC 7617 */
    T_TEXT(u, "Aladdin");
    T_TEXT(w, "open sesame");
    T(basic(S("bAsIc   dGVzdDoxMjPCow=="), &u, &w) == RC_OK);
    T_TEXT(w, "123\xc2\xa3");
    T(basic(basic_of(S("a:b:c")), &u, &w) == RC_OK);
    T_TEXT(u, "a");
    T_TEXT(w, "b:c");
    T(basic(basic_of(S(":")), &u, &w) == RC_OK && u.n == 0 && w.n == 0);
    T(basic(S(""), &u, &w) == RC_NOTFOUND);
    T(basic(S("Bearer x"), &u, &w) == RC_NOTFOUND);
    T(basic(S("Basically x"), &u, &w) == RC_NOTFOUND);
    static const struct slice bad[] = {
        SLIT("Basic"), SLIT("Basic "), SLIT("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"), SLIT("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        ", Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), SLIT("Basic QWxhZGRpbjpvcGVuIHNlc2FtZR=="), SLIT("Basic QWxhZGRpbg=="),
        SLIT("Basic QWxh ZGRpbjpvcGVuIHNlc2FtZQ=="), SLIT("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== x"), SLIT("Basic \"QQ==\""),
        SLIT("Basic ="), SLIT("Basic YTpi\nYw=="), SLIT("Basic\tYTpi")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%.*s", SFMT(bad[i]));
        T(basic(bad[i], &u, &w) == (i == 11 ? RC_NOTFOUND : RC_BADINPUT));
    }
    T(basic(basic_of(S("a:b\0")), &u, &w) == RC_BADINPUT);
    T(basic(basic_of(S("a\0:b")), &u, &w) == RC_BADINPUT);
    T(basic(basic_of(S("a\r\n:b")), &u, &w) == RC_BADINPUT);
    T(basic(basic_of(S("a:b\x7f")), &u, &w) == RC_BADINPUT);
    for (size_t n = 250; n < 1400; n++) {
        char *p = arena_alloc(&arena, n + 1);
        memset(p, 'a', n);
        p[10] = ':';
        T_ROW("%zu", n);
        T(basic(basic_of(slice_of(p, n)), &u, &w) == (n <= 11 + 1024 ? RC_OK : RC_BADINPUT));
        p[10] = 'a';
        p[n - 1] = ':';
        T(basic(basic_of(slice_of(p, n)), &u, &w) == (n <= 257 ? RC_OK : RC_BADINPUT));
        arena_reset(&arena);
    }
}

static void names_have_one_spelling(void)
{
    static const char *const rows[][2] = {{"alice", "alice"}, {"Alice", "alice"}, {" alice ", "alice"}, {"ALICE  Smith", "alice smith"},
                                          {"", ""}, {"   ", ""}, {"J\xc3\x96RG", "j\xc3\x96rg"}};
    char dst[BASIC_USER_MAX];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        T_TEXT(user_canon(slice_str(rows[i][0]), dst), rows[i][1]);
}

int main(void)
{
    arena_init(&arena, 4096, 0);
    T_RUN(bcrypt);
    T_RUN(apr1);
    T_RUN(sha1_kinds);
    T_RUN(argon2);
    T_RUN(too_long_never_matches);
    T_RUN(broken_texts_are_faults);
    T_RUN(what_blocks);
    T_RUN(basic_is_strict);
    T_RUN(names_have_one_spelling);
    arena_free(&arena);
    return t_done();
}
