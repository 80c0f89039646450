/*
 * tls.c - TLS 1.2 and 1.3 for one connection at a time, by mbedTLS; and what a listener presents.
 *
 * conn_io.c feeds the raw bytes that it read and gets records in a buffer that it sends: this file
 * never sees a socket, never blocks and never waits. main opens and replaces servers.
 *
 * A tls_server points to an immutable tls_face (chain, key, client CA, ALPN, ticket keys). Each
 * connection keeps the face that it began with; a replaced one goes when its last connection does.
 * Session tickets are given only where no client certificates are asked for: a ticket would carry a
 * client past a CA that no longer knows it (and mbedTLS keeps no peer certificate in TLS 1.3 ones).
 * A client certificate that is shown must be good, also when none is required.
 *
 * Threads: a server is shared by all reactors. The lock protects `now` and the counts of all faces;
 * it is taken once per handshake and once per closed connection. mbedTLS guards its own shared
 * state (MBEDTLS_THREADING_C); everything else in a face is only read.
 * Tested by tests/unit/net/test_tls.c (with openssl's and mbedTLS' clients),
 * tests/box/test_net_tls.py.
 */
#include "net/inside.h"
#include "net/tls_inside.h"

#include "base/lock.h"
#include "base/metric.h"
#include "base/rand.h"
#include "wire/hash.h"

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <time.h>

enum { TLS_ALPN_MAX = 6, TLS_NAME_MAX = 256, TLS_TICKET_SECONDS = 12 * 3600 };

struct tls_face {
    size_t users; /* connections, and one for being the server's present face */
    bool asks_clients;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt chain, client_ca;
    mbedtls_pk_context key;
    mbedtls_ssl_ticket_context tickets;
    char alpn_text[TLS_ALPN_MAX][16];
    const char *alpn[TLS_ALPN_MAX + 1];
};

struct tls_server {
    struct lock lock;
    struct tls_face *now;
};

struct tls_conn {
    mbedtls_ssl_context ssl;
    struct tls_server *server; /* NULL: a client's */
    struct tls_face *face;
    struct tls_client *client;
    struct ip ip; /* the client's peer, when it has no name */
    struct buf *wire; /* the connection's */
    struct slice raw; /* what was read and not taken yet; during a call only */
    struct slice cert_name;
};

static struct metric tls_metrics[] = {
    {.name = "postern_tls_handshakes_total", .help = "TLS handshakes completed."},
    {.name = "postern_tls_handshake_failures_total", .help = "TLS handshakes that failed."},
};
enum { TLS_METRIC_DONE, TLS_METRIC_FAILED };

/* ---- the library ---- */

static void tls_init_once(void)
{
    MUST(psa_crypto_init() == PSA_SUCCESS);
    metric_join(tls_metrics, ARRAY_LEN(tls_metrics));
}

void tls_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tls_init_once);
}

int tls_random(void *ctx, unsigned char *p, size_t n)
{
    (void)ctx;
    rand_bytes(p, n);
    return 0;
}

enum rc tls_fail(struct err *e, const char *what, int ret)
{
    char why[120];
    mbedtls_strerror(ret, why, sizeof why);
    return err_set(e, RC_BADINPUT, "%s: %s (-0x%04x)", what, why, (unsigned)-ret);
}

/* PEM wants a NUL behind its bytes. Free with tls_text_free. */
static unsigned char *tls_text(struct slice s)
{
    unsigned char *text = mem_alloc(s.n + 1);
    if (s.n > 0)
        memcpy(text, s.p, s.n);
    text[s.n] = 0;
    return text;
}

static void tls_text_free(unsigned char *text, size_t n)
{
    mem_wipe(text, n); /* it may be a private key */
    mem_free(text);
}

enum rc tls_parse_chain(mbedtls_x509_crt *out, struct slice pem, const char *what, struct err *e)
{
    unsigned char *text = tls_text(pem);
    int ret = mbedtls_x509_crt_parse(out, text, pem.n + 1);
    tls_text_free(text, pem.n);
    if (ret > 0)
        return err_set(e, RC_BADINPUT, "%s: %d of its certificates cannot be read", what, ret);
    return ret == 0 ? RC_OK : tls_fail(e, what, ret);
}

enum rc tls_parse_key(mbedtls_pk_context *out, struct slice pem, const char *what, struct err *e)
{
    unsigned char *text = tls_text(pem);
    int ret = mbedtls_pk_parse_key(out, text, pem.n + 1, NULL, 0, tls_random, NULL);
    tls_text_free(text, pem.n);
    if (ret == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || ret == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return err_set(e, RC_BADINPUT, "%s: it is encrypted; store it without a password", what);
    return ret == 0 ? RC_OK : tls_fail(e, what, ret);
}

/* ---- faces ---- */

static void tls_face_free(struct tls_face *f)
{
    mbedtls_ssl_config_free(&f->conf);
    mbedtls_ssl_ticket_free(&f->tickets);
    mbedtls_x509_crt_free(&f->chain);
    mbedtls_x509_crt_free(&f->client_ca);
    mbedtls_pk_free(&f->key);
    mem_free(f);
}

static enum rc tls_face_load(struct tls_face *f, const struct tls_opts *o, struct err *e)
{
    enum rc rc = tls_parse_chain(&f->chain, o->cert_pem, "the certificate", e);
    if (rc == RC_OK)
        rc = tls_parse_key(&f->key, o->key_pem, "the private key", e);
    if (rc != RC_OK)
        return rc;
    if (mbedtls_pk_check_pair(&f->chain.pk, &f->key, tls_random, NULL) != 0)
        return err_set(e, RC_BADINPUT,
                       "the private key does not belong to the certificate (the "
                       "first one in its file)");
    f->asks_clients = o->client_ca_pem.n > 0;
    if (f->asks_clients)
        return tls_parse_chain(&f->client_ca, o->client_ca_pem, "the client CA", e);
    if (o->client_required)
        return err_set(e, RC_BADINPUT,
                       "client certificates are required but no client CA is given");
    return RC_OK;
}

static enum rc tls_face_alpn(struct tls_face *f, const char *const *names, struct err *e)
{
    size_t n = 0;
    for (; names && names[n]; n++) {
        if (n == TLS_ALPN_MAX || strlen(names[n]) >= sizeof f->alpn_text[0])
            return err_set(e, RC_BUG, "too many or too long ALPN names");
        memcpy(f->alpn_text[n], names[n], strlen(names[n]) + 1);
        f->alpn[n] = f->alpn_text[n];
    }
    int ret = n > 0 ? mbedtls_ssl_conf_alpn_protocols(&f->conf, f->alpn) : 0;
    return ret == 0 ? RC_OK : tls_fail(e, "ALPN", ret);
}

static enum rc tls_face_tickets(struct tls_face *f, struct err *e)
{
    if (f->asks_clients)
        return RC_OK;
    int ret = mbedtls_ssl_ticket_setup(&f->tickets, tls_random, NULL, MBEDTLS_CIPHER_AES_256_GCM,
                                       TLS_TICKET_SECONDS);
    if (ret != 0)
        return tls_fail(e, "session tickets", ret);
    mbedtls_ssl_conf_session_tickets_cb(&f->conf, mbedtls_ssl_ticket_write,
                                        mbedtls_ssl_ticket_parse, &f->tickets);
    return RC_OK;
}

static enum rc tls_face_set(struct tls_face *f, const struct tls_opts *o, struct err *e)
{
    int ret = mbedtls_ssl_config_defaults(&f->conf, MBEDTLS_SSL_IS_SERVER,
                                          MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (ret == 0)
        ret = mbedtls_ssl_conf_own_cert(&f->conf, &f->chain, &f->key);
    if (ret != 0)
        return tls_fail(e, "TLS", ret);
    mbedtls_ssl_conf_rng(&f->conf, tls_random, NULL);
    mbedtls_ssl_conf_min_tls_version(&f->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(&f->conf, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_authmode(&f->conf, !f->asks_clients     ? MBEDTLS_SSL_VERIFY_NONE
                                        : o->client_required ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                             : MBEDTLS_SSL_VERIFY_OPTIONAL);
    if (f->asks_clients)
        mbedtls_ssl_conf_ca_chain(&f->conf, &f->client_ca, NULL);
    enum rc rc = tls_face_alpn(f, o->alpn, e);
    return rc == RC_OK ? tls_face_tickets(f, e) : rc;
}

static enum rc tls_face_open(const struct tls_opts *o, struct tls_face **out, struct err *e)
{
    tls_init();
    struct tls_face *f = mem_zalloc(sizeof *f);
    mbedtls_ssl_config_init(&f->conf);
    mbedtls_ssl_ticket_init(&f->tickets);
    mbedtls_x509_crt_init(&f->chain);
    mbedtls_x509_crt_init(&f->client_ca);
    mbedtls_pk_init(&f->key);
    f->users = 1;
    enum rc rc = tls_face_load(f, o, e);
    if (rc == RC_OK)
        rc = tls_face_set(f, o, e);
    if (rc != RC_OK) {
        tls_face_free(f);
        f = NULL;
    }
    *out = f;
    return rc;
}

static void tls_face_put(struct tls_server *s, struct tls_face *f)
{
    lock_take(&s->lock);
    bool last = --f->users == 0;
    lock_drop(&s->lock);
    if (last)
        tls_face_free(f);
}

static struct tls_face *tls_face_get(struct tls_server *s)
{
    lock_take(&s->lock);
    struct tls_face *f = s->now;
    f->users++;
    lock_drop(&s->lock);
    return f;
}

/* ---- servers ---- */

enum rc tls_server_open(const struct tls_opts *o, struct tls_server **out, struct err *e)
{
    struct tls_face *f;
    *out = NULL;
    enum rc rc = tls_face_open(o, &f, e);
    if (rc != RC_OK)
        return rc;
    *out = mem_zalloc(sizeof **out);
    (*out)->now = f;
    return RC_OK;
}

enum rc tls_server_replace(struct tls_server *s, const struct tls_opts *o, struct err *e)
{
    struct tls_face *f;
    enum rc rc = tls_face_open(o, &f, e);
    if (rc != RC_OK)
        return rc; /* the present face stays */
    lock_take(&s->lock);
    struct tls_face *before = s->now;
    s->now = f;
    lock_drop(&s->lock);
    tls_face_put(s, before);
    return RC_OK;
}

/* All connections are closed by then. */
void tls_server_close(struct tls_server *s)
{
    if (s == NULL)
        return;
    MUST(s->now->users == 1);
    tls_face_free(s->now);
    mem_free(s);
}

/* ---- connections ---- */

static int tls_send(void *ctx, const unsigned char *p, size_t n)
{
    struct tls_conn *t = ctx;
    buf_put(t->wire, p, n);
    return buf_over(t->wire) ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)n;
}

static int tls_recv(void *ctx, unsigned char *p, size_t n)
{
    struct tls_conn *t = ctx;
    if (t->raw.n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    n = MIN(n, t->raw.n);
    memcpy(p, t->raw.p, n);
    t->raw = slice_from(t->raw, n);
    return (int)n;
}

struct tls_conn *tls_conn_open(struct tls_server *s, struct buf *wire)
{
    struct tls_conn *t = mem_zalloc(sizeof *t);
    t->server = s;
    t->face = tls_face_get(s);
    t->wire = wire;
    mbedtls_ssl_init(&t->ssl);
    if (mbedtls_ssl_setup(&t->ssl, &t->face->conf) != 0) { /* out of memory */
        tls_conn_close(t);
        return NULL;
    }
    mbedtls_ssl_set_bio(&t->ssl, t, tls_send, tls_recv, NULL);
    return t;
}

struct tls_conn *tls_conn_dial(struct tls_client *client, struct slice name, struct buf *wire)
{
    struct tls_conn *t = mem_zalloc(sizeof *t);
    t->wire = wire;
    mbedtls_ssl_init(&t->ssl);
    if (mbedtls_ssl_setup(&t->ssl, tls_client_conf(client)) != 0 ||
        !tls_client_begin(client, &t->ssl, name, &t->ip)) {
        tls_conn_close(t);
        return NULL;
    }
    t->client = client;
    mbedtls_ssl_set_bio(&t->ssl, t, tls_send, tls_recv, NULL);
    return t;
}

enum rc tls_conn_trouble(const struct tls_conn *t, const char **why)
{
    return tls_client_trouble(&t->ssl, why);
}

void tls_conn_close(struct tls_conn *t)
{
    mbedtls_ssl_free(&t->ssl);
    if (t->face)
        tls_face_put(t->server, t->face);
    if (t->client)
        tls_client_close(t->client);
    mem_free(t);
}

static struct slice tls_san(const mbedtls_x509_crt *crt, int kind)
{
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s && s->buf.p; s = s->next)
        if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == kind)
            return slice_of((const char *)s->buf.p, s->buf.len);
    return S("");
}

/* The name that policies know the client by. False: one that cannot be shown or compared safely. */
static bool tls_client_name(struct tls_conn *t, const mbedtls_x509_crt *crt)
{
    struct slice name = tls_san(crt, MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER);
    if (name.n == 0) {
        name = tls_san(crt, MBEDTLS_X509_SAN_DNS_NAME);
        if (slice_index(name, '/') != SIZE_MAX || slice_index(name, ':') != SIZE_MAX)
            return false; /* a DNS name that looks like a URI */
    }
    t->cert_name = name;
    return name.n <= TLS_NAME_MAX && slice_printable(name); /* no NUL either */
}

static bool tls_client_ok(struct tls_conn *t)
{
    if (t->client || !t->face->asks_clients)
        return true;
    const mbedtls_x509_crt *crt = mbedtls_ssl_get_peer_cert(&t->ssl);
    if (crt == NULL) /* where one is required the handshake has failed before */
        return true;
    if (mbedtls_ssl_get_verify_result(&t->ssl) == 0 && tls_client_name(t, crt))
        return true;
    t->cert_name = S("");
    (void)mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                         MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
    return false;
}

/* mbedTLS also says WANT_READ after a record that was not for us, with more bytes at hand. True:
 * call it again. A call that takes nothing may still move its state, but not for ever. */
static bool tls_more(const struct tls_conn *t, int ret, size_t *left, int *calls)
{
    enum { CALLS_MAX = 8 };
    if (ret != MBEDTLS_ERR_SSL_WANT_READ || t->raw.n == 0)
        return false;
    *calls = t->raw.n < *left ? 0 : *calls + 1;
    *left = t->raw.n;
    return *calls < CALLS_MAX;
}

enum tls_step tls_conn_shake(struct tls_conn *t, struct slice *raw)
{
    int ret, calls = 0;
    size_t left = raw->n;
    t->raw = *raw;
    do
        ret = mbedtls_ssl_handshake(&t->ssl);
    while (tls_more(t, ret, &left, &calls));
    *raw = t->raw;
    t->raw = S("");
    if (ret == MBEDTLS_ERR_SSL_WANT_READ && raw->n == 0)
        return TLS_WANT;
    bool ok = ret == 0 && tls_client_ok(t);
    metric_add(&tls_metrics[ok ? TLS_METRIC_DONE : TLS_METRIC_FAILED], 1);
    return ok ? TLS_DONE : TLS_FAILED;
}

enum tls_step tls_conn_read(struct tls_conn *t, struct slice *raw, char *dst, size_t cap, size_t *n)
{
    int ret, calls = 0;
    size_t left = raw->n;
    t->raw = *raw;
    do {
        ret = mbedtls_ssl_read(&t->ssl, (unsigned char *)dst, cap);
        /* a record without data (the end has a name of its own); a ticket that we do not keep */
        if (ret == 0 || ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            ret = MBEDTLS_ERR_SSL_WANT_READ;
    } while (tls_more(t, ret, &left, &calls));
    *raw = t->raw;
    t->raw = S("");
    if (ret > 0) {
        *n = (size_t)ret;
        return TLS_DONE;
    }
    if (ret == MBEDTLS_ERR_SSL_WANT_READ && raw->n == 0)
        return TLS_WANT;
    return ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? TLS_END : TLS_FAILED;
}

bool tls_conn_write(struct tls_conn *t, struct slice plain, size_t *used)
{
    int ret = mbedtls_ssl_write(&t->ssl, (const unsigned char *)plain.p, plain.n);
    *used = ret > 0 ? (size_t)ret : 0;
    return ret > 0;
}

void tls_conn_bye(struct tls_conn *t)
{
    (void)mbedtls_ssl_close_notify(&t->ssl);
}

struct slice tls_conn_cert_name(const struct tls_conn *t)
{
    return t->cert_name;
}

/* ---- facts ---- */

int64_t tls_time_ms(const mbedtls_x509_time *x)
{
    struct tm tm = {.tm_year = x->year - 1900,
                    .tm_mon = x->mon - 1,
                    .tm_mday = x->day,
                    .tm_hour = x->hour,
                    .tm_min = x->min,
                    .tm_sec = x->sec};
    return (int64_t)timegm(&tm) * 1000;
}

static void tls_fingerprint(const mbedtls_x509_crt *crt, char hex[65])
{
    uint8_t sum[32];
    sha256(slice_of((const char *)crt->raw.p, crt->raw.len), sum);
    hex[hex_encode(hex, sum, sizeof sum)] = '\0';
}

enum rc tls_cert_facts(struct slice cert_pem, struct tls_facts *out, struct err *e)
{
    mbedtls_x509_crt crt;
    tls_init();
    memset(out, 0, sizeof *out);
    mbedtls_x509_crt_init(&crt);
    enum rc rc = tls_parse_chain(&crt, cert_pem, "the certificate", e);
    if (rc == RC_OK) {
        out->not_after_ms = tls_time_ms(&crt.valid_to);
        /* A name that is too long is left empty. */
        if (mbedtls_x509_dn_gets(out->subject, sizeof out->subject, &crt.subject) < 0)
            out->subject[0] = '\0';
        if (mbedtls_x509_dn_gets(out->issuer, sizeof out->issuer, &crt.issuer) < 0)
            out->issuer[0] = '\0';
        tls_fingerprint(&crt, out->fingerprint);
    }
    mbedtls_x509_crt_free(&crt);
    return rc;
}
