/*
 * addr.h - addresses that a listener binds or a client connects to: "host:port", ":port" (loopback
 * is not implied: all interfaces), "unix:/path", "off". Host is an IP literal or "localhost"; names
 * are resolved by the worker pool only (outbound). Pure. Threads: any.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/err.h"
#include "wire/url.h"

struct net_addr {
    enum { ADDR_OFF, ADDR_TCP, ADDR_UNIX } kind;
    struct ip ip;
    bool v6_any; /* ":port": bind [::] with IPv4 mapped, or 0.0.0.0 where IPv6 is off */
    int port;
    char path[104];
};
FN enum rc net_addr_parse(struct slice s, struct net_addr *out, struct err *e) MUST_CHECK;
FN size_t net_addr_format(const struct net_addr *a, char dst[128]); /* "127.0.0.1:8083" */

#endif
