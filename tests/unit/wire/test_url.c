/* test_url.c - the attack table for paths, hosts, URLs, queries, addresses. */
#include "t.h"
#include "wire/url.h"

static struct arena arena;
static struct err fault;

static void targets(void)
{
    static const struct {
        struct slice in;
        enum rc rc;
        const char *path, *query;
    } rows[] = {
        {SLIT("/"), RC_OK, "/", ""},
        {SLIT("/a/b?c=d&e"), RC_OK, "/a/b", "c=d&e"},
        {SLIT("/a??b"), RC_OK, "/a", "?b"},
        {SLIT("/admin?/public"), RC_OK, "/admin", "/public"},
        {SLIT("//admin/x"), RC_OK, "//admin/x",
         ""}, /* a path, no authority: url_canon_path denies */
        {SLIT("/a#b"), RC_BADINPUT, "", ""},
        {SLIT("/admin#/public"), RC_BADINPUT, "", ""},
        {SLIT("/a?b#c"), RC_BADINPUT, "", ""},
        {SLIT("*"), RC_BADINPUT, "", ""},
        {SLIT(""), RC_BADINPUT, "", ""},
        {SLIT("admin"), RC_BADINPUT, "", ""},
        {SLIT("example.com:443"), RC_BADINPUT, "", ""},
        {SLIT("http://example.com/"), RC_BADINPUT, "", ""},
        {SLIT("/a b"), RC_BADINPUT, "", ""},
        {SLIT("/a\0"), RC_BADINPUT, "", ""},
        {SLIT("/a\r\nX: y"), RC_BADINPUT, "", ""},
        {SLIT("/gr\xc3\xbcn"), RC_BADINPUT, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct url_target t;
        T_ROW("row %zu", i);
        T_INT(url_split_target(rows[i].in, &t, &fault), rows[i].rc);
        if (rows[i].rc != RC_OK)
            continue;
        T_TEXT(t.path, rows[i].path);
        T_TEXT(t.query, rows[i].query);
    }
}

/* Rules are "/public allow, /admin deny": nothing here may pass as something else. */
static void path_attacks(void)
{
    static const struct {
        struct slice in;
        enum rc rc;
        const char *out;
    } rows[] = {
        {SLIT("/public/../admin"), RC_DENIED, ""},
        {SLIT("/public/%2e%2e/admin"), RC_DENIED, ""},
        {SLIT("/public/%2E%2e/admin"), RC_DENIED, ""},
        {SLIT("/public/.%2e/admin"), RC_DENIED, ""},
        {SLIT("/public/..%2fadmin"), RC_DENIED, ""},
        {SLIT("/public/%2E%2E%2Fadmin"), RC_DENIED, ""},
        {SLIT("/public%2Fadmin"), RC_DENIED, ""},
        {SLIT("/public%2fadmin"), RC_DENIED, ""},
        {SLIT("/public/..;/admin"), RC_DENIED, ""},
        {SLIT("/admin;x=1"), RC_DENIED, ""},
        {SLIT("/admin%3bx=1"), RC_DENIED, ""},
        {SLIT("//admin"), RC_DENIED, ""},
        {SLIT("/public//admin"), RC_DENIED, ""},
        {SLIT("/public//"), RC_DENIED, ""},
        {SLIT("/./admin"), RC_DENIED, ""},
        {SLIT("/%2e/admin"), RC_DENIED, ""},
        {SLIT("/admin/."), RC_DENIED, ""},
        {SLIT("/admin/.."), RC_DENIED, ""},
        {SLIT("/."), RC_DENIED, ""},
        {SLIT("/.."), RC_DENIED, ""},
        {SLIT("/../"), RC_DENIED, ""},
        {SLIT("/admin%00"), RC_DENIED, ""},
        {SLIT("/admin%0a"), RC_DENIED, ""},
        {SLIT("/admin%0D%0Ax"), RC_DENIED, ""},
        {SLIT("/admin%7f"), RC_DENIED, ""},
        {SLIT("/public\\..\\admin"), RC_DENIED, ""},
        {SLIT("/public%5c..%5cadmin"), RC_DENIED, ""},
        {SLIT("/public%5Cadmin"), RC_DENIED, ""},
        {SLIT("/admin#/public"), RC_DENIED, ""},
        {SLIT("/admin?x"), RC_DENIED, ""},
        {SLIT("/public/%252e%252e/admin"), RC_DENIED, ""},
        {SLIT("/public/%252fadmin"), RC_DENIED, ""},
        {SLIT("/%2561dmin"), RC_DENIED, ""},
        {SLIT("/a%25%32%66b"), RC_DENIED, ""}, /* %25 and an escaped "2f" */
        {SLIT("/public/%c0%ae%c0%ae/admin"), RC_DENIED, ""},
        {SLIT("/public/%e0%80%af"), RC_DENIED, ""},
        {SLIT("/a%ff"), RC_DENIED, ""},
        {SLIT("/%u002e%u002e/admin"), RC_BADINPUT, ""},
        {SLIT("/a%"), RC_BADINPUT, ""},
        {SLIT("/a%2"), RC_BADINPUT, ""},
        {SLIT("/a%zz"), RC_BADINPUT, ""},
        {SLIT("/a%2g"), RC_BADINPUT, ""},
        {SLIT("admin"), RC_BADINPUT, ""},
        {SLIT(""), RC_BADINPUT, ""},
        {SLIT("http://a/admin"), RC_BADINPUT, ""},
        {SLIT("/a b"), RC_BADINPUT, ""},
        {SLIT("/a\tb"), RC_BADINPUT, ""},
        {SLIT("/a\0b"), RC_BADINPUT, ""},
        {SLIT("/gr\xc3\xbcn"), RC_BADINPUT, ""},
        {SLIT("/\x7f"), RC_BADINPUT, ""},
        /* what must pass, and in which form */
        {SLIT("/"), RC_OK, "/"},
        {SLIT("/admin"), RC_OK, "/admin"},
        {SLIT("/admin/"), RC_OK, "/admin/"},
        {SLIT("/ADMIN"), RC_OK, "/ADMIN"},
        {SLIT("/%61dmin"), RC_OK, "/admin"},
        {SLIT("/%41%7e%2D%5f"), RC_OK, "/A~-_"},
        {SLIT("/a%20b"), RC_OK, "/a%20b"},
        {SLIT("/a%c3%bcb"), RC_OK, "/a%C3%BCb"},
        {SLIT("/a%25b"), RC_OK, "/a%25b"}, /* no second escape: one digit only */
        {SLIT("/a%25zz"), RC_OK, "/a%25zz"},
        {SLIT("/.well-known/x"), RC_OK, "/.well-known/x"},
        {SLIT("/..."), RC_OK, "/..."},
        {SLIT("/a/..b/c.."), RC_OK, "/a/..b/c.."},
        {SLIT("/%2ewell-known"), RC_OK, "/.well-known"},
        {SLIT("/a:b@c,d!$&'()*+="), RC_OK, "/a:b@c,d!$&'()*+="},
        {SLIT("/a%23b%3F"), RC_OK, "/a%23b%3F"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice out = S("");
        T_ROW("%.*s", (int)rows[i].in.n, rows[i].in.p);
        fault.text[0] = '\0';
        enum rc rc = url_canon_path(&arena, rows[i].in, &out, &fault);
        T_INT(rc, rows[i].rc);
        if (rc != RC_OK) {
            T(fault.text[0] != '\0');
            continue;
        }
        T_TEXT(out, rows[i].out);
        struct slice again;
        T_INT(url_canon_path(&arena, out, &again, &fault), RC_OK); /* canonical is stable */
        T_TEXT(again, rows[i].out);
    }
}

static void a_plain_path_is_not_copied(void)
{
    struct slice in = S("/v1/orders/42"), out;
    T_INT(url_canon_path(&arena, in, &out, &fault), RC_OK);
    T(out.p == in.p && out.n == in.n);
}

static void hosts(void)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {SLIT("example.com"), "example.com"},
        {SLIT("EXAMPLE.com"), "example.com"},
        {SLIT("example.com."), "example.com"},
        {SLIT("example.com:443"), "example.com"},
        {SLIT("Example.Com.:8080"), "example.com"},
        {SLIT("localhost"), "localhost"},
        {SLIT("10.0.0.1:80"), "10.0.0.1"},
        {SLIT("[::1]"), "[::1]"},
        {SLIT("[2001:DB8::1]:443"), "[2001:db8::1]"},
        {SLIT("my_host-1.internal"), "my_host-1.internal"},
        {SLIT(""), NULL},
        {SLIT("."), NULL},
        {SLIT(":80"), NULL},
        {SLIT("user@example.com"), NULL},
        {SLIT("example.com:"), NULL},
        {SLIT("example.com:0"), NULL},
        {SLIT("example.com:65536"), NULL},
        {SLIT("example.com:80x"), NULL},
        {SLIT("example.com:-1"), NULL},
        {SLIT("example.com:080000"), NULL},
        {SLIT("exa mple.com"), NULL},
        {SLIT("a,b"), NULL},
        {SLIT("a/b"), NULL},
        {SLIT("a\\b"), NULL},
        {SLIT("a%2eb"), NULL},
        {SLIT(".example.com"), NULL},
        {SLIT("a..b"), NULL},
        {SLIT("example.com.."), NULL},
        {SLIT("[::1"), NULL},
        {SLIT("::1"), NULL},
        {SLIT("[]"), NULL},
        {SLIT("[::1]x"), NULL},
        {SLIT("[1.2.3.4]"), NULL},
        {SLIT("[::1%eth0]"), NULL},
        {SLIT("[::1]:"), NULL},
        {SLIT("a\0b"), NULL},
        {SLIT("gr\xc3\xbcn.de"), NULL},
        {SLIT("a b:80"), NULL},
        {SLIT("a#b"), NULL},
        {SLIT("a?b"), NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice host;
        T_ROW("%.*s", (int)rows[i].in.n, rows[i].in.p);
        enum rc rc = url_canon_host(&arena, rows[i].in, &host, &fault);
        T_INT(rc, rows[i].out ? RC_OK : RC_BADINPUT);
        if (rc == RC_OK && rows[i].out)
            T_TEXT(host, rows[i].out);
    }
    char big[300];
    struct slice host;
    memset(big, 'a', sizeof big);
    T_ROW("long");
    T_INT(url_canon_host(&arena, slice_of(big, 254), &host, &fault), RC_BADINPUT);
    T_INT(url_canon_host(&arena, slice_of(big, 253), &host, &fault), RC_OK);
}

static void urls(void)
{
    static const struct {
        const char *in, *host, *path, *query;
        int port;
        bool given;
    } good[] = {
        {"http://example.com", "example.com", "/", "", 80, false},
        {"https://example.com/", "example.com", "/", "", 443, false},
        {"HTTPS://Example.com:8443/a/b?c=d", "Example.com", "/a/b", "c=d", 8443, true},
        {"http://[::1]:99/x", "[::1]", "/x", "", 99, true},
        {"http://h?q", "h", "/", "q", 80, false},
    };
    static const char *const bad[] = {
        "",
        "example.com",
        "ftp://example.com",
        "http:/example.com",
        "http:example.com",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://a:b@c/",
        "https://ok.com@evil",
        "https://evil\\@ok.com",
        "http://exa mple.com",
        "http://example.com:0",
        "http://example.com:99999",
        "http://example.com:",
        "http://example.com/#f",
        "javascript:alert(1)",
        "//evil",
        "http://a\tb/",
        "http://[::1",
        "http://a..b/",
        "http://gr\xc3\xbcn/",
    };
    struct url u;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        T_ROW("%s", good[i].in);
        T_INT(url_parse(slice_str(good[i].in), &u, &fault), RC_OK);
        T_TEXT(u.host, good[i].host);
        T_TEXT(u.path, good[i].path);
        T_TEXT(u.query, good[i].query);
        T(u.port == good[i].port && u.has_port == good[i].given);
    }
    T_TEXT(u.scheme, "http");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        T_INT(url_parse(slice_str(bad[i]), &u, &fault), RC_BADINPUT);
    }
}

static void coding(void)
{
    struct slice out;
    T_INT(url_decode(&arena, S("a%20b+c%2B"), true, &out), RC_OK);
    T_TEXT(out, "a b c+");
    T_INT(url_decode(&arena, S("a+b"), false, &out), RC_OK);
    T_TEXT(out, "a+b");
    T_INT(url_decode(&arena, S("%"), true, &out), RC_BADINPUT);
    T_INT(url_decode(&arena, S("%4"), true, &out), RC_BADINPUT);
    T_INT(url_decode(&arena, S("%4g"), true, &out), RC_BADINPUT);
    T_INT(url_decode(&arena, S(""), true, &out), RC_OK);
    T_INT(out.n, 0);
    T_TEXT(url_encode(&arena, S("a b/\xc3\xbc~-._")), "a%20b%2F%C3%BC~-._");
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    T_INT(url_decode(&arena, url_encode(&arena, slice_of(all, 256)), true, &out), RC_OK);
    T(slice_eq(out, slice_of(all, 256)));
}

static void queries(void)
{
    struct slice rest = S("a=1&b=two%20words&&bad=%zz&=x&c&d=e=f"), k, v;
    static const char *const want[] = {"a", "1", "b", "two words", "c", "", "d", "e=f"};
    size_t i = 0;
    while (url_query_next(&arena, &rest, &k, &v) && i + 1 < ARRAY_LEN(want)) {
        T_TEXT(k, want[i]);
        T_TEXT(v, want[i + 1]);
        i += 2;
    }
    T_INT(i, ARRAY_LEN(want));
    T(url_query_get(&arena, S("x=1&y=2&x=3"), S("x"), &v) && slice_eq(v, S("1")));
    T(!url_query_get(&arena, S("x=1"), S("z"), &v) && !url_query_get(&arena, S(""), S(""), &v));
}

static void addresses(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"1.2.3.4", "1.2.3.4"},
        {"255.255.255.255", "255.255.255.255"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"01.2.3.4", NULL},
        {"1.2.3.256", NULL},
        {"1.2.3.4 ", NULL},
        {"0x7f.1", NULL},
        {"2130706433", NULL},
        {"1.2.3.", NULL},
        {":::", NULL},
        {"fe80::1%eth0", NULL},
        {"[1.2.3.4]", NULL},
        {"[::1", NULL},
        {"1::2::3", NULL},
        {"[]", NULL},
        {"12345::1", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
    };
    char text[46];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip ip;
        T_ROW("%s", rows[i].in);
        bool ok = ip_parse(slice_str(rows[i].in), &ip);
        T(ok == (rows[i].out != NULL));
        if (ok && rows[i].out)
            T_TEXT(slice_of(text, ip_format(&ip, text)), rows[i].out);
    }
}

static void prefixes(void)
{
    static const struct {
        const char *cidr, *ip;
        int has; /* -1: no prefix */
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", 1},
        {"10.0.0.0/8", "11.0.0.0", 0},
        {"10.1.2.3/8", "10.9.9.9", 1},
        {"10.0.0.0/8", "::ffff:10.1.1.1", 1},
        {"0.0.0.0/0", "1.2.3.4", 1},
        {"0.0.0.0/0", "2001:db8::1", 0},
        {"::/0", "1.2.3.4", 1},
        {"192.168.1.0/25", "192.168.1.127", 1},
        {"192.168.1.0/25", "192.168.1.128", 0},
        {"1.2.3.4", "1.2.3.4", 1},
        {"1.2.3.4", "1.2.3.5", 0},
        {"2001:db8::/33", "2001:db8:7fff::1", 1},
        {"2001:db8::/33", "2001:db8:8000::1", 0},
        {"::1/128", "::1", 1},
        {"10.0.0.0/31", "10.0.0.1", 1},
        {"10.0.0.0/33", "", -1},
        {"10.0.0.0/", "", -1},
        {"10.0.0.0/-1", "", -1},
        {"/8", "", -1},
        {"", "", -1},
        {"::1/129", "", -1},
        {"10.0.0.0/8/8", "", -1},
        {"10.0.0/8", "", -1},
        {"[::1]/128", "", -1},
        {"10.0.0.0/8 ", "", -1},
        {"10.0.0.0/0x8", "", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cidr c;
        struct ip ip;
        T_ROW("%s has %s", rows[i].cidr, rows[i].ip);
        bool ok = cidr_parse(slice_str(rows[i].cidr), &c);
        T(ok == (rows[i].has >= 0));
        if (ok && rows[i].has >= 0) {
            T(ip_parse(slice_str(rows[i].ip), &ip));
            T_INT(cidr_has(&c, &ip), rows[i].has);
        }
    }
}

int main(void)
{
    arena_init(&arena, 0, 0);
    T_RUN(targets);
    T_RUN(path_attacks);
    T_RUN(a_plain_path_is_not_copied);
    T_RUN(hosts);
    T_RUN(urls);
    T_RUN(coding);
    T_RUN(queries);
    T_RUN(addresses);
    T_RUN(prefixes);
    arena_free(&arena);
    return t_done();
}
