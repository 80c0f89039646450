/*
 * tls_inside.h - what tls.c lends to tls_ca.c: reading PEM, random numbers, errors of mbedTLS.
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
FN int64_t tls_time_ms(const struct mbedtls_x509_time *x);

#endif
