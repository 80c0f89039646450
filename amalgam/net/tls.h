/*
 * tls.h - TLS 1.2 and 1.3 by mbedTLS for every listener, and the built-in certificate authority.
 *
 * A tls_server is what a listener presents: certificate chain, key, optional client CA (mTLS),
 * ALPN, session tickets. It can be replaced while connections are open (reload): old ones keep
 * theirs. The CA lives in DIR/tls: ca.crt, ca.key, server.crt, server.key (0600), ECDSA P-256; made
 * at first start, leaf renewed when it has less than 30 days or its names changed. In memory mode
 * nothing is written. The dir of tls_ca_ensure is DIR/tls itself. Errors: RC_IO, RC_BADINPUT with
 * what is wrong in which file. A client CA that cannot be loaded is an error, never "no mTLS".
 * Threads: a tls_server is shared by all reactors.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/arena.h"
#include "base/err.h"

struct tls_server;
struct tls_opts {
    struct slice cert_pem, key_pem;
    struct slice client_ca_pem; /* empty: no client certificates asked for */
    bool client_required;
    const char *const *alpn; /* NULL-terminated, or NULL */
};
FN enum rc tls_server_open(const struct tls_opts *o, struct tls_server **out,
                           struct err *e) MUST_CHECK;
FN enum rc tls_server_replace(struct tls_server *s, const struct tls_opts *o,
                              struct err *e) MUST_CHECK;
FN void tls_server_close(struct tls_server *s);

/* A client's: whom it trusts and what it shows. Shared by all threads; counted, so that open connections
 * keep it. */
struct tls_client;
struct tls_client_opts {
    struct slice ca_pem;            /* trusted, and nobody else; empty: those of base */
    struct slice cert_pem, key_pem; /* empty: none */
    bool ca_some;                   /* ca_pem may hold some that cannot be read */
    bool h2;                        /* speaks HTTP/2, and says so (ALPN) */
    struct tls_client *base;
};
FN enum rc tls_client_open(const struct tls_client_opts *o, struct tls_client **out,
                           struct err *e) MUST_CHECK;
FN void tls_client_close(struct tls_client *t);

struct tls_pem {
    struct slice ca_cert, cert, key; /* PEM, in the arena */
};
/* Reads or makes CA and leaf for the names (DNS names or IP literals). dir NULL: in memory only. */
FN enum rc tls_ca_ensure(struct arena *a, const char *dir, const struct slice *names,
                         size_t names_n, struct tls_pem *out, struct err *e) MUST_CHECK;
/* Facts for `doctor`, the health page and the log. */
struct tls_facts {
    int64_t not_after_ms;
    char subject[200], issuer[200], fingerprint[65]; /* SHA-256, hex */
};
FN enum rc tls_cert_facts(struct slice cert_pem, struct tls_facts *out, struct err *e) MUST_CHECK;

#endif
