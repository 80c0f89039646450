/*
 * front_page.c - the portal's pages and assets, from the files inside the binary.
 *
 * Called by front.c for every GET and HEAD that is no REST call. `/assets/<name>.<hash>.js` never changes
 * and may be kept for ever; everything else is asked for again by its ETag. `/` and every other path that a
 * browser navigates to is the same page, index.html: the front end knows its own addresses.
 * Never touches a file system: names are looked up in the table of assets. Pure but for the buffer that the
 * caller owns. Runs on the front's reactor. Tested by tests/box/test_portal_api.py.
 */
#include "portal/inner.h"
#include "wire/gzip.h"
#include <stdio.h>

static const struct asset *front_page_find(const struct http_head *h, struct slice path)
{
    char name[300];
    int n = snprintf(name, sizeof name, "web%.*s", SFMT(slice_sub(path, 0, 250)));
    const struct asset *a = path.n > 1 && path.n <= 250 ? asset_find(slice_of(name, (size_t)n)) : NULL;
    if (a || slice_starts(path, S("/assets/")))
        return a;
    const struct http_header *accept = http_header_find(h, S("accept"));
    bool wants_page = path.n == 1 || (accept && slice_find(accept->value, S("text/html")) != SIZE_MAX);
    return wants_page ? asset_find(S("web/index.html")) : NULL;
}

/* "gzip" in Accept-Encoding without q=0. */
static bool front_page_takes_gzip(const struct http_head *h)
{
    const struct http_header *accept = http_header_find(h, S("accept-encoding"));
    struct slice rest = accept ? accept->value : S("");
    while (rest.n) {
        struct slice q, word = slice_trim(slice_cut(rest, ',', &rest));
        struct slice coding = slice_trim(slice_cut(word, ';', &q));
        if (!slice_eq_ci(coding, S("gzip")))
            continue;
        q = slice_trim(q);
        double value = 1;
        return !slice_starts_ci(q, S("q=")) || (slice_double(slice_from(q, 2), &value) && value > 0);
    }
    return false;
}

/* The two codings of one file have tags of their own, which begin alike. */
static bool front_page_unchanged(const struct http_head *h, const char *etag)
{
    const struct http_header *have = http_header_find(h, S("if-none-match"));
    return have && (slice_find(have->value, slice_str(etag)) != SIZE_MAX || slice_eq(have->value, S("*")));
}

bool front_page(const struct http_head *h, struct slice path, struct front_page *out)
{
    const struct asset *a = front_page_find(h, path);
    if (!a)
        return false;
    char etag[40];
    bool gz = front_page_takes_gzip(h), fixed = slice_starts(slice_str(a->path), S("web/assets/"));
    snprintf(etag, sizeof etag, "\"%s%s\"", a->etag, gz ? "-gz" : "");
    out->status = front_page_unchanged(h, etag) ? 304 : 200;
    out->mime = a->mime;
    out->body = S("");
    snprintf(out->more, sizeof out->more, "ETag: %s\r\nCache-Control: %s\r\nVary: Accept-Encoding\r\n%s", etag,
             fixed ? "public, max-age=31536000, immutable" : "no-cache",
             gz && out->status == 200 ? "Content-Encoding: gzip\r\n" : "");
    if (out->status == 304)
        return true;
    struct slice packed = slice_of((const char *)a->gz, a->gz_len);
    out->plain.max_bytes = a->len + 1;
    if (gz)
        out->body = packed;
    else if (gzip_inflate(packed, &out->plain, NULL) == RC_OK)
        out->body = buf_all(&out->plain);
    return gz || !buf_over(&out->plain);
}
