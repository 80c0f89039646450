/*
 * fuzz_url.c - targets, paths, hosts, URLs, queries and addresses with any bytes.
 *
 * A canonical path must be canonical (reading it again gives itself), start with one slash, hold no
 * dot segment, backslash, control byte or second coding, and mean the same bytes when it is
 * decoded. Seeds: tests/fuzz/seeds/fuzz_url.
 */
#include "base/mem.h"
#include "wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_url_path(struct arena *a, struct slice in)
{
    struct slice path, again, decoded, decoded_in;
    struct err e;
    if (url_canon_path(a, in, &path, &e) != RC_OK)
        return;
    MUST(path.n > 0 && path.p[0] == '/');
    MUST(slice_find(path, S("//")) == SIZE_MAX && slice_find(path, S("/./")) == SIZE_MAX);
    MUST(slice_find(path, S("/../")) == SIZE_MAX && !slice_ends(path, S("/..")) &&
         !slice_ends(path, S("/.")));
    MUST(url_canon_path(a, path, &again, &e) == RC_OK && slice_eq(path, again));
    MUST(url_decode(a, path, false, &decoded) == RC_OK &&
         url_decode(a, in, false, &decoded_in) == RC_OK);
    MUST(slice_eq(decoded, decoded_in) && slice_utf8(decoded));
    static const char never[] = "\\;\r\n\t";
    for (size_t i = 0; i < sizeof never; i++) /* with the NUL */
        MUST(slice_index(decoded, never[i]) == SIZE_MAX);
    if (url_decode(a, decoded, false, &again) == RC_OK) /* a server that decodes twice agrees */
        MUST(slice_eq(again, decoded));
}

static void fuzz_url_others(struct arena *a, struct slice in)
{
    struct slice out, key, value, rest = in;
    struct url_target t;
    struct url u;
    struct ip ip;
    struct cidr c;
    struct err e;
    char text[46];
    if (url_split_target(in, &t, &e) == RC_OK)
        fuzz_url_path(a, t.path);
    if (url_canon_host(a, in, &out, &e) == RC_OK) {
        MUST(out.n > 0 && slice_index(out, '@') == SIZE_MAX && slice_printable(out));
        struct slice again;
        MUST(url_canon_host(a, out, &again, &e) == RC_OK && slice_eq(out, again));
    }
    if (url_parse(in, &u, &e) == RC_OK)
        MUST(u.port > 0 && u.port < 65536 && u.host.n > 0 && u.path.p[0] == '/');
    MUST(url_decode(a, url_encode(a, in), true, &out) == RC_OK && slice_eq(out, in));
    while (url_query_next(a, &rest, &key, &value))
        MUST(key.n > 0);
    if (ip_parse(in, &ip)) {
        struct ip back;
        MUST(ip_parse(slice_of(text, ip_format(&ip, text)), &back) &&
             memcmp(&ip, &back, sizeof ip) == 0);
    }
    if (cidr_parse(in, &c))
        MUST(c.bits >= 0 && c.bits <= 128 && cidr_has(&c, &c.ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 4096, 0);
    char *copy = mem_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    fuzz_url_path(&a, slice_of(copy, size));
    fuzz_url_others(&a, slice_of(copy, size));
    mem_free(copy);
    arena_free(&a);
    return 0;
}
