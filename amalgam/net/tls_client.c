/*
 * tls_client.c - TLS as a client: whom we trust, what we show, and the check of the other's name.
 *
 * Called by fetch.c and main (whom to trust), by conn.c for each outbound connection. A tls_client is an
 * immutable configuration: certificates that are trusted, perhaps one of our own. TLS 1.2 and 1.3, the
 * certificate must be good, and carry the name that was asked for as a subject alternative name (RFC
 * 9525: the common name does not count; an address must be there as an address). There is no switch that
 * turns this off. No session is resumed: connections are kept instead.
 * Threads: a client is shared by all reactors; `users` is counted atomically, the rest is only read.
 * Tested by tests/unit/net/test_fetch_tls.c.
 */
#include "net/inside.h"
#include "net/tls_inside.h"

#include "wire/url.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

struct tls_client {
    int users;
    struct tls_client *base; /* whose ca counts when we have none */
    mbedtls_ssl_config conf;
    mbedtls_x509_crt ca, chain;
    mbedtls_pk_context key;
};

void tls_client_close(struct tls_client *t)
{
    if (t == NULL || __atomic_sub_fetch(&t->users, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_x509_crt_free(&t->ca);
    mbedtls_x509_crt_free(&t->chain);
    mbedtls_pk_free(&t->key);
    tls_client_close(t->base);
    mem_free(t);
}

static struct tls_client *tls_client_keep(struct tls_client *t)
{
    (void)__atomic_add_fetch(&t->users, 1, __ATOMIC_RELAXED);
    return t;
}

/* Of a system's bundle some may be of a kind that we do not read: the others count. */
static enum rc tls_client_trust(struct tls_client *t, const struct tls_client_opts *o, struct err *e)
{
    if (o->ca_pem.n == 0 && o->base == NULL)
        return err_set(e, RC_BADINPUT, "no certificates to trust");
    if (o->ca_pem.n == 0) {
        t->base = tls_client_keep(o->base);
        return RC_OK;
    }
    enum rc rc = tls_parse_chain(&t->ca, o->ca_pem, "the CA certificates", e);
    return rc != RC_OK && o->ca_some && t->ca.raw.len > 0 ? RC_OK : rc;
}

static enum rc tls_client_own(struct tls_client *t, const struct tls_client_opts *o, struct err *e)
{
    if (o->cert_pem.n == 0 && o->key_pem.n == 0)
        return RC_OK;
    enum rc rc = tls_parse_chain(&t->chain, o->cert_pem, "the client certificate", e);
    if (rc == RC_OK)
        rc = tls_parse_key(&t->key, o->key_pem, "the client's private key", e);
    if (rc != RC_OK)
        return rc;
    if (mbedtls_pk_check_pair(&t->chain.pk, &t->key, tls_random, NULL) != 0)
        return err_set(e, RC_BADINPUT, "the private key does not belong to the client certificate");
    int ret = mbedtls_ssl_conf_own_cert(&t->conf, &t->chain, &t->key);
    return ret == 0 ? RC_OK : tls_fail(e, "the client certificate", ret);
}

static enum rc tls_client_set(struct tls_client *t, const struct tls_client_opts *o, struct err *e)
{
    static const char *http1[] = {"http/1.1", NULL}, *http2[] = {"h2", NULL};
    int ret = mbedtls_ssl_config_defaults(&t->conf, MBEDTLS_SSL_IS_CLIENT,
                                          MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (ret == 0)
        ret = mbedtls_ssl_conf_alpn_protocols(&t->conf, o->h2 ? http2 : http1);
    if (ret != 0)
        return tls_fail(e, "TLS", ret);
    mbedtls_ssl_conf_rng(&t->conf, tls_random, NULL);
    mbedtls_ssl_conf_min_tls_version(&t->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(&t->conf, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_session_tickets(&t->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    enum rc rc = tls_client_trust(t, o, e);
    if (rc != RC_OK)
        return rc;
    mbedtls_ssl_conf_ca_chain(&t->conf, t->base ? &t->base->ca : &t->ca, NULL);
    return tls_client_own(t, o, e);
}

enum rc tls_client_open(const struct tls_client_opts *o, struct tls_client **out, struct err *e)
{
    tls_init();
    struct tls_client *t = mem_zalloc(sizeof *t);
    t->users = 1;
    mbedtls_ssl_config_init(&t->conf);
    mbedtls_x509_crt_init(&t->ca);
    mbedtls_x509_crt_init(&t->chain);
    mbedtls_pk_init(&t->key);
    enum rc rc = tls_client_set(t, o, e);
    if (rc != RC_OK) {
        tls_client_close(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

/* ---- one connection ---- */

static bool tls_client_has(const mbedtls_x509_crt *crt, int kind, const void *p, size_t n)
{
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s && s->buf.p; s = s->next)
        if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == kind &&
            (p == NULL || (s->buf.len == n && memcmp(s->buf.p, p, n) == 0)))
            return true;
    return false;
}

/* ctx: the address, or NULL. Names are compared by mbedTLS, which would look at the common name if there
 * were no alternative ones. */
static int tls_client_verify(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct ip *ip = ctx;
    if (depth > 0)
        return 0;
    bool v4 = ip && memcmp(ip->b, mapped, 12) == 0;
    bool named = ip ? tls_client_has(crt, MBEDTLS_X509_SAN_IP_ADDRESS, v4 ? ip->b + 12 : ip->b, v4 ? 4 : 16)
                    : tls_client_has(crt, MBEDTLS_X509_SAN_DNS_NAME, NULL, 0);
    if (!named)
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

const mbedtls_ssl_config *tls_client_conf(const struct tls_client *t)
{
    return &t->conf;
}

/* An address is not sent as SNI (RFC 6066 3). */
bool tls_client_begin(struct tls_client *t, struct mbedtls_ssl_context *ssl, struct slice name,
                      struct ip *ip)
{
    char text[256];
    bool is_ip = ip_parse(name, ip);
    if (name.n == 0 || name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    if (mbedtls_ssl_set_hostname(ssl, is_ip ? NULL : text) != 0)
        return false;
    mbedtls_ssl_set_verify(ssl, tls_client_verify, is_ip ? ip : NULL);
    (void)tls_client_keep(t);
    return true;
}

enum rc tls_client_trouble(const struct mbedtls_ssl_context *ssl, const char **why)
{
    static const struct {
        uint32_t flag;
        const char *why;
    } rows[] = {{MBEDTLS_X509_BADCERT_NOT_TRUSTED, "the server's certificate is not trusted"},
                {MBEDTLS_X509_BADCERT_CN_MISMATCH, "the server's certificate is for another name"},
                {MBEDTLS_X509_BADCERT_EXPIRED, "the server's certificate has expired"},
                {MBEDTLS_X509_BADCERT_FUTURE, "the server's certificate is not valid yet"},
                {UINT32_MAX, "the server's certificate is not acceptable"}};
    uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
    if (flags == 0 || flags == UINT32_MAX) { /* it was good, or did not come */
        *why = "TLS failed";
        return RC_IO;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (flags & rows[i].flag) {
            *why = rows[i].why;
            break;
        }
    return RC_DENIED;
}
