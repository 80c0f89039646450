/*
 * url.h - targets, paths and hosts: percent coding and the one canonicalisation (RFC 3986).
 *
 * url_canon_path decides what path the rules see. It must be the path that the upstream will see,
 * so anything on which servers differ is refused, never repaired: dot segments (plain or encoded),
 * encoded slash, backslash (plain or encoded), NUL and control bytes, ';' path parameters,
 * '//' , '#', invalid or double percent coding that would decode to one of these. Unreserved
 * characters that were percent-encoded are decoded (%61 -> a); other escapes keep upper-case hex.
 * Pure; output goes to the arena only when it differs from the input.
 */
#ifndef WIRE_URL_H
#define WIRE_URL_H

#include "base/arena.h"
#include "base/err.h"

struct url_target {
    struct slice path;  /* raw, up to '?' */
    struct slice query; /* without '?', empty if none */
};
/* Origin form only ("/..."); asterisk, authority and absolute form are RC_BADINPUT. */
FN enum rc url_split_target(struct slice target, struct url_target *out, struct err *e);
/* RC_DENIED with the reason in e when ambiguous; RC_BADINPUT when malformed. */
FN enum rc url_canon_path(struct arena *a, struct slice raw_path, struct slice *out, struct err *e);
/* Lower case, port and trailing dot removed; userinfo, empty, spaces, bad ports are RC_BADINPUT. */
FN enum rc url_canon_host(struct arena *a, struct slice raw, struct slice *host, struct err *e);

/* Absolute http/https URL. port is the default one when not given. */
struct url {
    struct slice scheme, host, path, query; /* host lower-cased by the caller if it matters */
    int port;
    bool has_port;
};
FN UNUSED enum rc url_parse(struct slice s, struct url *out, struct err *e);

/* Percent decoding ('+' is a space only when form is set); RC_BADINPUT on a broken escape. */
FN enum rc url_decode(struct arena *a, struct slice in, bool form, struct slice *out);
FN UNUSED struct slice url_encode(struct arena *a, struct slice in); /* all but unreserved */
/* Iterates "a=1&b=2": false at the end; a broken pair is skipped. Start with *rest = query. */
FN bool url_query_next(struct arena *a, struct slice *rest, struct slice *key, struct slice *value);
FN bool url_query_get(struct arena *a, struct slice query, struct slice key, struct slice *value);

/* "1.2.3.4", "::1", "[::1]"; IPv4-mapped IPv6 becomes IPv4. 16 bytes network order, IPv4 mapped. */
struct ip {
    uint8_t b[16];
};
FN bool ip_parse(struct slice s, struct ip *out);
FN size_t ip_format(const struct ip *ip, char dst[46]);
struct cidr {
    struct ip ip;
    int bits; /* of 128 */
};
FN bool cidr_parse(struct slice s, struct cidr *out); /* an address alone is a full-length prefix */
FN bool cidr_has(const struct cidr *c, const struct ip *ip);

#endif
