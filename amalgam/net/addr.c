/*
 * addr.c - text to address and back, for the settings and for error texts.
 *
 * Called by main (settings), listener.c and conn.c. Never resolves names: only literals and
 * "localhost", so that parsing cannot block. Owns nothing. Threads: any.
 * Tested by tests/unit/net/test_addr.c.
 */
#include "net/inside.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static enum rc addr_parse_unix(struct slice path, struct net_addr *out, struct err *e)
{
    if (path.n == 0 || path.n >= sizeof out->path)
        return err_set(e, RC_BADINPUT,
                       "the path of a Unix socket must have 1 to %zu bytes, not %zu",
                       sizeof out->path - 1, path.n);
    if (slice_index(path, '\0') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "the path of a Unix socket must not hold a NUL byte");
    out->kind = ADDR_UNIX;
    memcpy(out->path, path.p, path.n);
    return RC_OK;
}

static enum rc addr_parse_tcp(struct slice s, struct slice host, struct slice port,
                              struct net_addr *out, struct err *e)
{
    uint64_t n;
    if (port.n > 5 || !slice_u64(port, &n) || n > 65535)
        return err_set(e, RC_BADINPUT, "'%.*s' has no port between 0 and 65535 behind the last ':'",
                       (int)MIN(s.n, (size_t)100), s.p);
    out->kind = ADDR_TCP;
    out->port = (int)n;
    if (host.n == 0) {
        out->v6_any = true;
        return RC_OK;
    }
    if (slice_eq_ci(host, S("localhost")))
        host = S("127.0.0.1");
    bool bare_v6 = host.p[0] != '[' && slice_index(host, ':') != SIZE_MAX;
    if (bare_v6 || !ip_parse(host, &out->ip))
        return err_set(e, RC_BADINPUT,
                       "'%.*s' is not an address: write 127.0.0.1:8083, [::1]:8083, :8083, "
                       "localhost:8083, unix:/path or off",
                       (int)MIN(s.n, (size_t)100), s.p);
    return RC_OK;
}

enum rc net_addr_parse(struct slice s, struct net_addr *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (slice_eq_ci(s, S("off"))) {
        out->kind = ADDR_OFF;
        return RC_OK;
    }
    if (slice_starts(s, S("unix:")))
        return addr_parse_unix(slice_from(s, 5), out, e);
    size_t colon = slice_rindex(s, ':');
    if (colon == SIZE_MAX)
        return err_set(e, RC_BADINPUT,
                       "'%.*s' has no port: write 127.0.0.1:8083, :8083, unix:/path or off",
                       (int)MIN(s.n, (size_t)100), s.p);
    return addr_parse_tcp(s, slice_of(s.p, colon), slice_from(s, colon + 1), out, e);
}

size_t net_addr_format(const struct net_addr *a, char dst[128])
{
    if (a->kind == ADDR_OFF)
        return (size_t)snprintf(dst, 128, "off");
    if (a->kind == ADDR_UNIX)
        return (size_t)snprintf(dst, 128, "unix:%s", a->path);
    if (a->v6_any)
        return (size_t)snprintf(dst, 128, ":%d", a->port);
    char host[46];
    int n = (int)ip_format(&a->ip, host);
    bool v6 = memchr(host, ':', (size_t)n) != NULL;
    return (size_t)snprintf(dst, 128, v6 ? "[%.*s]:%d" : "%.*s:%d", n, host, a->port);
}

socklen_t net_addr_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (a->kind == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)(void *)ss;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, a->path, sizeof a->path);
        return sizeof *un;
    }
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(a->ip.b, mapped, 12) == 0) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)ss;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)a->port);
        memcpy(&in->sin_addr, a->ip.b + 12, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)(void *)ss;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons((uint16_t)a->port);
    memcpy(&in->sin6_addr, a->ip.b, 16);
    return sizeof *in;
}
