/*
 * tls_inside.h - what tls.c lends to tls_ca.c and tls_client.c: reading PEM, random numbers, errors of
 * mbedTLS; and the client's half of a connection.
 * Threads: any.
 */
#ifndef NET_TLS_INSIDE_H
#define NET_TLS_INSIDE_H

#include "net/tls.h"

struct mbedtls_x509_crt;
struct mbedtls_pk_context;
struct mbedtls_x509_time;

FN void tls_init(void);                                        /* before anything of mbedTLS */
FN int tls_random(void *ctx, unsigned char *p, size_t n);      /* for f_rng */
FN enum rc tls_fail(struct err *e, const char *what, int ret); /* RC_BADINPUT */
FN enum rc tls_parse_chain(struct mbedtls_x509_crt *out, struct slice pem, const char *what,
                           struct err *e);
FN enum rc tls_parse_key(struct mbedtls_pk_context *out, struct slice pem, const char *what,
                         struct err *e);
/* tls_client.c, for tls.c */
struct mbedtls_ssl_context;
struct mbedtls_ssl_config;
struct ip;
FN const struct mbedtls_ssl_config *tls_client_conf(const struct tls_client *t);
/* Sets up whose name is expected; *ip must live as long as ssl. Counts a user. */
FN bool tls_client_begin(struct tls_client *t, struct mbedtls_ssl_context *ssl, struct slice name,
                         struct ip *ip);
FN enum rc tls_client_trouble(const struct mbedtls_ssl_context *ssl, const char **why);
FN int64_t tls_time_ms(const struct mbedtls_x509_time *x);

#endif
