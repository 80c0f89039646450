/*
 * ldap_link.h - questions to directories: is this the password of that name, and of which groups is it.
 *
 * ldap_start sends one question over a connection of this thread's pool for that server; done is called
 * once, later, never from inside ldap_start. A question is one bind and, when a filter is given, one
 * search of the same entry, perhaps as a service account. Everything is bounded: connections and waiting
 * questions per server, time, bytes of an answer. The struct is the caller's and stays where it is until
 * done. Threads: the context's.
 */
#ifndef POLICY_LDAP_LINK_H
#define POLICY_LDAP_LINK_H

#include "net/fetch.h"
#include "wire/ldap.h"

struct policy_ctx;
struct ldap_server;
struct ldap_link;

struct ldap_host { /* of a policy; lives as long as the question */
    struct slice name; /* of the host, or its address */
    int port;
    bool tls;       /* from the first byte */
    bool start_tls; /* by StartTLS, before anything else */
    size_t conns_max; /* per thread */
    int64_t timeout_ms;
};
/* WRONG: the directory refused the name or the password. ACCOUNT: it refused the service account. */
enum ldap_said { LDAP_SAID_RIGHT, LDAP_SAID_WRONG, LDAP_SAID_ACCOUNT, LDAP_SAID_BUSY, LDAP_SAID_TROUBLE };
enum { LDAP_VALUES_MAX = 1024 };
struct ldap_ask {
    const struct ldap_host *host;
    struct slice dn, password;               /* password is wiped at the end */
    struct slice account_dn, account_password; /* "": search as who was bound */
    struct slice filter, attribute;          /* filter "": no search */
    struct arena *arena;                     /* for values */
    void (*done)(struct ldap_ask *a);

    enum ldap_said said;
    const char *why; /* of BUSY and TROUBLE: constant text */
    bool found;      /* the entry is there and the filter holds */
    struct slice *values;
    size_t values_n;

    struct { /* ldap_link.c's own */
        struct policy_ctx *c;
        struct ldap_server *server;
        struct ldap_ask *next;
        struct fetch_ask names;
        struct net_task late;
        int64_t until_ms; /* monotonic */
        size_t tries;
        bool starting, again;
    } in;
};
FN void ldap_start(struct policy_ctx *c, struct ldap_ask *a);
FN void ldap_close(struct policy_ctx *c); /* done is not called for what is under way */

#endif
