/* test_ldap.c - LDAP messages byte by byte, filters against the encodings of RFC 4511 and 4515, names. */
#include "t.h"
#include "wire/ldap.h"

#include <stdlib.h>

static struct buf out;

static struct slice hex_of(struct slice s)
{
    static char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 3 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%02x", (unsigned char)s.p[i]);
    return slice_of(text, n);
}

static void requests(void)
{
    buf_clear(&out);
    ldap_write_bind(&out, 1, S("cn=a"), S("pw"));
    T_TEXT(hex_of(buf_all(&out)), "3015020400000001600d0201030404636e3d6180027077");
    buf_clear(&out);
    ldap_write_unbind(&out, 2);
    T_TEXT(hex_of(buf_all(&out)), "30080204000000024200");
    struct buf f;
    struct err e;
    buf_init(&f, 1000);
    T(ldap_filter(S("(uid=*)"), &f, &e) == RC_OK);
    buf_clear(&out);
    ldap_write_search(&out, 3, S("cn=a"), buf_all(&f), S("memberOf"), 5);
    T_TEXT(hex_of(buf_all(&out)), "303402040000000363"
                                  "2c0404636e3d610a01000a010002040000000102040000000501010087037569643" "00a04086d656d6265724f66");
    buf_free(&f);
    /* every length of a password gives one whole message */
    for (size_t n = 0; n < 70000; n += n < 300 ? 1 : 977) {
        char *p = calloc(1, n + 1);
        struct ldap_msg m;
        buf_clear(&out);
        ldap_write_bind(&out, 77, S("cn=a"), slice_of(p, n));
        T_ROW("%zu", n);
        T(ldap_read(buf_all(&out), 1 << 20, &m) == RC_OK && m.bytes == buf_all(&out).n && m.id == 77 && m.op == LDAP_BIND_REQUEST);
        free(p);
    }
}

static void answers(void)
{
    struct ldap_msg m;
    int code = -1;
    struct slice ok = S("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00");
    struct slice wrong = S("\x30\x84\x00\x00\x00\x10\x02\x01\x02\x61\x84\x00\x00\x00\x07\x0a\x01\x31\x04\x00\x04\x00"); /* as Active Directory writes lengths */
    T(ldap_read(ok, 100, &m) == RC_OK && m.op == LDAP_BIND_RESPONSE && m.id == 1 && m.bytes == ok.n);
    T(ldap_read_result(&m, &code) == RC_OK && code == LDAP_SUCCESS);
    T(ldap_read(wrong, 100, &m) == RC_OK && ldap_read_result(&m, &code) == RC_OK);
    T_INT(code, LDAP_INVALID_CREDENTIALS);
    for (size_t n = 0; n < ok.n; n++)
        T(ldap_read(slice_sub(ok, 0, n), 100, &m) == RC_AGAIN);
    T(ldap_read(ok, 10, &m) == RC_TOOBIG);
    T(ldap_read(S("\x30\x84\x7f\xff\xff\xff"), 1 << 20, &m) == RC_TOOBIG);
    static const struct slice bad[] = {SLIT("HTTP/1.1 200"), SLIT("\x30\x80\x00\x00"), SLIT("\x30\x85\x00\x00\x00\x00\x01\x00"), SLIT("\x3f\x01\x00"),
                                       SLIT("\x30\x02\x61\x00"), SLIT("\x30\x03\x02\x01\xff"), SLIT("\x30\x05\x02\x01\x01\x61\x07"),
                                       SLIT("\x30\x07\x02\x05\x01\x01\x01\x01\x01"), SLIT("\x30\x02\x02\x00"), SLIT("\x30\x00")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%zu", i);
        T(ldap_read(bad[i], 1000, &m) == RC_BADINPUT);
    }
    T(ldap_read(S("\x30\x06\x02\x01\x01\x61\x01\x0a"), 100, &m) == RC_OK && ldap_read_result(&m, &code) == RC_BADINPUT);
}

static void entries(void)
{
    struct ldap_msg m;
    struct ldap_entry e;
    struct ldap_attr a;
    struct slice v;
    struct slice in = S("\x30\x1e\x02\x01\x03\x64\x19\x04\x04" "cn=a" "\x30\x11\x30\x0f\x04\x08" "memberOf" "\x31\x03\x04\x01g");
    T(ldap_read(in, 100, &m) == RC_OK && m.op == LDAP_SEARCH_ENTRY && ldap_read_entry(&m, &e) == RC_OK);
    T_TEXT(e.dn, "cn=a");
    T(ldap_attr_next(&e, &a) == RC_OK);
    T_TEXT(a.name, "memberOf");
    T(ldap_value_next(&a, &v) == RC_OK);
    T_TEXT(v, "g");
    T(ldap_value_next(&a, &v) == RC_NOTFOUND && ldap_attr_next(&e, &a) == RC_NOTFOUND);
}

static void filters(void)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"(uid=*)", "8703756964"},
        {"(uid=ann)", "a30a04037569640403616e6e"},
        {"(uid>=1)", "a5080403756964040131"},
        {"(uid<=1)", "a6080403756964040131"},
        {"(uid~=1)", "a8080403756964040131"},
        {"(cn=a*)", "a4090402636e3003800161"},
        {"(cn=*a)", "a4090402636e3003820161"},
        {"(cn=a*b*c)", "a40f0402636e3009800161810162820163"},
        {"(!(a=b))", "a208a306040161040162"},
        {"(&(a=b)(c=*))", "a00ba306040161040162870163"},
        {"(|(a=b))", "a108a306040161040162"},
        {"(cn=\\2a\\28\\29\\5c\\00)", "a30b0402636e04052a28295c00"},
        {"(memberOf;range=0)", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        buf_clear(&out);
        T_ROW("%s", rows[i].text);
        T(ldap_filter(slice_str(rows[i].text), &out, &e) == RC_OK);
        if (rows[i].hex)
            T_TEXT(hex_of(buf_all(&out)), rows[i].hex);
    }
    static const char *const bad[] = {"", "uid=*", "(uid=*", "(uid=*))", "()", "(=a)", "(&)", "(!)", "(!(a=b)(c=d))", "(a b=c)", "(cn=a**b)", "(cn>=a*)",
                                      "(cn=\\2)", "(cn=\\zz)", "(cn=\\", "(cn:caseExactMatch:=a)", "(&(a=b)", "(a=b)(c=d)", "((a=b))"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        buf_clear(&out);
        T_ROW("%s", bad[i]);
        T(ldap_filter(slice_str(bad[i]), &out, &e) == RC_BADINPUT && e.text[0]);
    }
    char deep[5000];
    struct err e = {0};
    for (int depth = 15; depth <= 17; depth++) {
        size_t n = 0;
        for (int i = 1; i < depth; i++)
            n += (size_t)snprintf(deep + n, sizeof deep - n, "(!");
        n += (size_t)snprintf(deep + n, sizeof deep - n, "(a=b)");
        for (int i = 1; i < depth; i++)
            deep[n++] = ')';
        buf_clear(&out);
        T_ROW("depth %d", depth);
        T((ldap_filter(slice_of(deep, n), &out, &e) == RC_OK) == (depth <= 16));
    }
    memset(deep, 'a', sizeof deep);
    T(ldap_filter(slice_of(deep, sizeof deep), &out, &e) == RC_TOOBIG);
}

static void names(void)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {SLIT("ann"), "ann"}, {SLIT("a,b"), "a\\2cb"}, {SLIT("a=b"), "a\\3db"}, {SLIT(" a "), "\\20a\\20"}, {SLIT("a b"), "a b"},
        {SLIT("#a"), "\\23a"}, {SLIT("a+b;c<d>e\"f\\g"), "a\\2bb\\3bc\\3cd\\3ee\\22f\\5cg"}, {SLIT("a\0b"), "a\\00b"},
        {SLIT("j\xc3\xb6rg"), "j\xc3\xb6rg"}, {SLIT("x,ou=people,dc=example"), "x\\2cou\\3dpeople\\2cdc\\3dexample"}};
    char dst[LDAP_ESCAPED_MAX];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        T_TEXT(ldap_dn_escape(rows[i].in, dst), rows[i].out);
    char all[LDAP_VALUE_MAX];
    memset(all, ',', sizeof all);
    T_INT(ldap_dn_escape(slice_of(all, sizeof all), dst).n, LDAP_ESCAPED_MAX);

    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"cn=a,dc=b", "cn=a,dc=b", true}, {"cn=a,dc=b", "CN=A, DC=B", true}, {"cn=a,dc=b", " cn = a , dc = b ", true},
        {"cn=a b", "cn=ab", false}, {"cn=a b", "cn=a  b", false}, {"cn=a", "cn=a,dc=b", false}, {"cn=a,dc=b", "cn=a", false},
        {"cn=a\\, b", "cn=a\\,b", false}, {"cn=a\\,dc=b", "cn=a,dc=b", false}, {"cn=a\\ ,dc=b", "cn=a,dc=b", false},
        {"cn=a\\\\ ,dc=b", "cn=a\\\\,dc=b", true}, {"", "", true}, {"", " ", true}, {"cn=", "cn=a", false}, {"cn=\\", "cn=\\", true}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        T_ROW("%s %s", pairs[i].a, pairs[i].b);
        T(ldap_dn_same(slice_str(pairs[i].a), slice_str(pairs[i].b)) == pairs[i].same);
        T(ldap_dn_same(slice_str(pairs[i].b), slice_str(pairs[i].a)) == pairs[i].same);
    }
}

int main(void)
{
    buf_init(&out, 1 << 20);
    T_RUN(requests);
    T_RUN(answers);
    T_RUN(entries);
    T_RUN(filters);
    T_RUN(names);
    buf_free(&out);
    return t_done();
}
