/* The outbound client over TLS, against a server of our own: whom it trusts, names and addresses, client
 * certificates, ends that are cut off, and servers that are silent or speak no TLS. Also run under TSan. */
#include "base/map.h"
#include "ft.h"
#include "net/tls_inside.h"

#include <mbedtls/ecp.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

/* ---- certificates ---- */

static struct arena arena;
static struct tls_pem pem, other_pem;

struct maker {
    mbedtls_pk_context key;
    struct slice key_pem;
};

static void make_key(struct maker *m)
{
    char out[4096] = "";
    mbedtls_pk_init(&m->key);
    MUST(mbedtls_pk_setup(&m->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0);
    MUST(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(m->key), tls_random, NULL) == 0);
    MUST(mbedtls_pk_write_key_pem(&m->key, (unsigned char *)out, sizeof out) == 0);
    m->key_pem = arena_dup(&arena, slice_str(out));
}

static struct slice make_cert(struct maker *subject, struct maker *issuer, bool is_ca, const char *cn,
                              const char *dns, const char *until)
{
    mbedtls_x509write_cert w;
    mbedtls_x509_san_list san = {0};
    unsigned char serial[8] = {1, 2, 3, 4}, out[8192] = "";
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, &subject->key);
    mbedtls_x509write_crt_set_issuer_key(&w, &issuer->key);
    MUST(mbedtls_x509write_crt_set_serial_raw(&w, serial, sizeof serial) == 0);
    MUST(mbedtls_x509write_crt_set_validity(&w, "20200101000000", until) == 0);
    MUST(mbedtls_x509write_crt_set_subject_name(&w, cn) == 0);
    MUST(mbedtls_x509write_crt_set_issuer_name(&w, "CN=made ca") == 0);
    MUST(mbedtls_x509write_crt_set_basic_constraints(&w, is_ca, -1) == 0);
    if (dns) {
        san.node.type = MBEDTLS_X509_SAN_DNS_NAME;
        san.node.san.unstructured_name.p = (unsigned char *)(uintptr_t)dns;
        san.node.san.unstructured_name.len = strlen(dns);
        MUST(mbedtls_x509write_crt_set_subject_alternative_name(&w, &san) == 0);
    }
    MUST(mbedtls_x509write_crt_pem(&w, out, sizeof out, tls_random, NULL) == 0);
    mbedtls_x509write_crt_free(&w);
    return arena_dup(&arena, slice_str((char *)out));
}

/* ---- the server ---- */

static struct reactor *server_r;
static struct listener *server_l;
static struct tls_server *server_tls;
static pthread_t server_thread;
static uint64_t server_conns;
static int port;

static void *serve_open(struct conn *c, void *ctx)
{
    (void)c;
    nt_add(&server_conns);
    return ctx;
}

static size_t serve_data(struct conn *c, void *state, struct slice in)
{
    static const char block[4096] = {[0 ... 4095] = 'b'};
    struct http_head h;
    struct err e;
    (void)state;
    if (http_head_read(in, http_limits_default(), &h, &e) != RC_OK)
        return 0;
    if (slice_eq(h.target, S("/end")) || slice_eq(h.target, S("/cut"))) {
        buf_lit(conn_out(c), "HTTP/1.1 200 OK\r\n\r\nuntil the end");
        if (slice_eq(h.target, S("/end")))
            conn_close_soon(c);
        else
            conn_deadline(c, 0), conn_set_idle(c, 200); /* see serve_timeout */
    } else if (slice_eq(h.target, S("/big"))) {
        buf_lit(conn_out(c), "HTTP/1.1 200 OK\r\nContent-Length: 819200\r\n\r\n");
        for (int i = 0; i < 200; i++)
            buf_put(conn_out(c), block, sizeof block);
    } else {
        buf_fmt(conn_out(c), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", h.host.n, SFMT(h.host));
    }
    return h.head_bytes;
}

static void serve_timeout(struct conn *c, void *state)
{
    (void)state;
    shutdown(conn_fd(c), SHUT_WR); /* the end of TCP without that of TLS */
    conn_abort(c);
}

static void serve_close(struct conn *c, void *state)
{
    (void)c;
    (void)state;
}

static void serve(struct tls_opts o)
{
    static const struct conn_proto proto = {.name = "https", .open = serve_open, .data = serve_data,
                                            .timeout = serve_timeout, .close = serve_close};
    struct listener_opts l = {.proto = &proto, .ctx = &server_conns};
    struct err e = {0};
    server_conns = 0;
    MUST(tls_server_open(&o, &server_tls, &e) == RC_OK);
    l.tls = server_tls;
    MUST(net_addr_parse(S("127.0.0.1:0"), &l.addr, &e) == RC_OK);
    MUST(reactor_open(1, &server_r, &e) == RC_OK);
    MUST(listener_open(&server_r, 1, &l, &server_l, &e) == RC_OK);
    port = listener_port(server_l);
    server_thread = thread_start("https", ft_reactor, server_r);
}

static void unserve(void)
{
    reactor_stop(server_r);
    thread_join(server_thread);
    listener_close(server_l);
    reactor_close(server_r);
    tls_server_close(server_tls);
}

/* ---- the client ---- */

static struct ft_client client;

static enum rc resolve(const char *name, struct ip *out, size_t max, size_t *n)
{
    (void)name;
    (void)max;
    *n = ip_parse(S("127.0.0.1"), &out[0]);
    return RC_OK;
}

static struct tls_client *trust(struct slice ca)
{
    struct tls_client *t = NULL;
    struct err e = {0};
    MUST(tls_client_open(&(struct tls_client_opts){.ca_pem = ca}, &t, &e) == RC_OK);
    return t;
}

static void start(struct tls_client *t)
{
    ft_open(&client, (struct fetcher_opts){.pool = pool_open(1, 16), .resolve = resolve, .trust = t});
}

static struct ft_call get(const char *host, const char *path, const struct fetch_tls *tls)
{
    static char text[16][200];
    static int i;
    char *t = text[i++ % 16];
    snprintf(t, 200, "https://%s:%d%s", host, port, path);
    struct ft_call q = {.url = t, .tls = tls, .timeout_ms = 30000};
    ft_call(&client, &q);
    return q;
}

static void names_and_addresses(void)
{
    static const struct {
        const char *host;
        enum rc rc;
        const char *why;
    } rows[] = {{"localhost", RC_OK, ""},
                {"127.0.0.1", RC_OK, ""},
                {"good.example", RC_OK, ""},
                {"Good.Example", RC_OK, ""},
                {"bad.example", RC_DENIED, "another name"},
                {"127.0.0.2", RC_DENIED, "another name"},
                {"a.good.example", RC_DENIED, "another name"}};
    serve((struct tls_opts){.cert_pem = pem.cert, .key_pem = pem.key});
    struct tls_client *t = trust(pem.ca_cert);
    start(t);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            T_ROW("%s", rows[i].host);
            if (strcmp(rows[i].host, "127.0.0.2") == 0 && rows[i].rc == RC_DENIED) {
                /* nobody listens there: the name is what is checked */
                struct fetch_tls other = {.server_name = S("127.0.0.2")};
                struct ft_call q = get("127.0.0.1", "/", &other);
                T_INT(q.rc, RC_DENIED);
                continue;
            }
            struct ft_call q = get(rows[i].host, "/", NULL);
            T_INT(q.rc, rows[i].rc);
            T(strstr(q.why, rows[i].why) != NULL);
        }
    T_ROW("the rest");
    T_INT(nt_get(&server_conns), 3); /* those that came through, kept */
    ft_close(&client);
    tls_client_close(t);
    unserve();
}

static void bodies_over_tls(void)
{
    serve((struct tls_opts){.cert_pem = pem.cert, .key_pem = pem.key});
    struct tls_client *t = trust(pem.ca_cert);
    start(t);
    struct ft_call end = get("localhost", "/end", NULL), cut = get("localhost", "/cut", NULL),
                   big = get("localhost", "/big", NULL);
    T_INT(end.rc, RC_OK);
    T_TEXT(slice_str(end.body_got), "until the end");
    T_INT(cut.rc, RC_IO); /* somebody else may have cut it */
    T_INT(big.rc, RC_OK);
    T_INT(big.body_n, 819200);
    ft_close(&client);
    tls_client_close(t);
    unserve();
}

static void whom_it_trusts(void)
{
    serve((struct tls_opts){.cert_pem = pem.cert, .key_pem = pem.key});
    struct tls_client *wrong = trust(other_pem.ca_cert);
    struct fetch_tls right = {.ca_pem = pem.ca_cert}, broken = {.ca_pem = S("no PEM")},
                     named = {.ca_pem = pem.ca_cert, .server_name = S("good.example")},
                     half = {.ca_pem = pem.ca_cert, .cert_pem = pem.cert};
    start(wrong);
    struct ft_call q = get("localhost", "/", NULL);
    T_INT(q.rc, RC_DENIED);
    T(strstr(q.why, "not trusted") != NULL);
    T_INT(get("localhost", "/", &right).rc, RC_OK);
    T_INT(get("localhost", "/", NULL).rc, RC_DENIED); /* the connection of the one is not the other's */
    T_INT(get("bad.example", "/", &right).rc, RC_DENIED);
    T_INT(get("bad.example", "/", &named).rc, RC_OK);
    T_INT(get("localhost", "/", &broken).rc, RC_BADINPUT);
    T_INT(get("localhost", "/", &half).rc, RC_BADINPUT);
    ft_close(&client);
    tls_client_close(wrong);
    start(NULL);
    T_INT(get("localhost", "/", NULL).rc, RC_DENIED);
    T_INT(get("localhost", "/", &right).rc, RC_OK);
    ft_close(&client);
    unserve();
}

static void certificates_that_are_no_good(void)
{
    struct maker ca, leaf;
    make_key(&ca);
    make_key(&leaf);
    struct slice root = make_cert(&ca, &ca, true, "CN=made ca", NULL, "20490101000000");
    struct slice old = make_cert(&leaf, &ca, false, "CN=x", "good.example", "20210101000000");
    struct slice common = make_cert(&leaf, &ca, false, "CN=good.example", NULL, "20490101000000");
    struct slice fine = make_cert(&leaf, &ca, false, "CN=x", "good.example", "20490101000000");
    const struct {
        struct slice cert;
        enum rc rc;
        const char *why;
    } rows[] = {{old, RC_DENIED, "expired"}, {common, RC_DENIED, "another name"}, {fine, RC_OK, ""}};
    struct tls_client *t = trust(root);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        serve((struct tls_opts){.cert_pem = rows[i].cert, .key_pem = leaf.key_pem});
        start(t);
        T_ROW("%s", rows[i].why);
        struct ft_call q = get("good.example", "/", NULL);
        T_INT(q.rc, rows[i].rc);
        T(strstr(q.why, rows[i].why) != NULL);
        ft_close(&client);
        unserve();
    }
    tls_client_close(t);
    mbedtls_pk_free(&ca.key);
    mbedtls_pk_free(&leaf.key);
}

static void a_certificate_of_our_own(void)
{
    struct maker ca, leaf;
    make_key(&ca);
    make_key(&leaf);
    struct slice root = make_cert(&ca, &ca, true, "CN=made ca", NULL, "20490101000000");
    struct slice mine = make_cert(&leaf, &ca, false, "CN=me", "me.example", "20490101000000");
    struct fetch_tls with = {.cert_pem = mine, .key_pem = leaf.key_pem}, without = {.ca_pem = pem.ca_cert};
    struct tls_client *t = trust(pem.ca_cert);
    serve((struct tls_opts){.cert_pem = pem.cert, .key_pem = pem.key, .client_ca_pem = root,
                            .client_required = true});
    start(t);
    T_INT(get("localhost", "/", &with).rc, RC_OK);
    T_INT(get("localhost", "/", &without).rc, RC_IO);
    T_INT(get("localhost", "/", NULL).rc, RC_IO);
    T_INT(get("localhost", "/", &with).rc, RC_OK);
    ft_close(&client);
    unserve();
    tls_client_close(t);
    mbedtls_pk_free(&ca.key);
    mbedtls_pk_free(&leaf.key);
}

static void who_speaks_no_tls(void)
{
    struct ft_server plain;
    struct tls_client *t = trust(pem.ca_cert);
    ft_serve(&plain, NULL);
    port = plain.port;
    start(t);
    T_INT(get("localhost", "/", NULL).rc == RC_OK, 0);
    ft_close(&client);
    ft_end(&plain);
    ft_serve(&plain, NULL); /* it waits for a whole request, so it is silent */
    port = plain.port;
    start(t);
    struct ft_call q = {.url = NULL, .timeout_ms = 300};
    char text[100];
    snprintf(text, sizeof text, "https://localhost:%d/", port);
    q.url = text;
    ft_call(&client, &q);
    T_INT(q.rc, RC_TIMEOUT);
    ft_close(&client);
    ft_end(&plain);
    tls_client_close(t);
}

static void settings_that_cannot_be(void)
{
    struct tls_client *t = NULL;
    struct err e = {0};
    T(tls_client_open(&(struct tls_client_opts){0}, &t, &e) != RC_OK && t == NULL);
    struct tls_client_opts o = {.ca_pem = pem.ca_cert, .cert_pem = pem.cert, .key_pem = other_pem.key};
    T(tls_client_open(&o, &t, &e) != RC_OK && t == NULL);
    T(strstr(e.text, "does not belong") != NULL);
    o = (struct tls_client_opts){.ca_pem = arena_fmt(&arena, "%.*s-----BEGIN CERTIFICATE-----\nAAAA\n"
                                                     "-----END CERTIFICATE-----\n", SFMT(pem.ca_cert))};
    T(tls_client_open(&o, &t, &e) != RC_OK && t == NULL);
    o.ca_some = true;
    T(tls_client_open(&o, &t, &e) == RC_OK && t != NULL);
    tls_client_close(t);
}

int main(void)
{
    static const struct slice names[] = {SLIT("localhost"), SLIT("127.0.0.1"), SLIT("good.example")};
    struct err e = {0};
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_SILENT, false);
    hash_seed_init();
    arena_init(&arena, 65536, 0);
    MUST(tls_ca_ensure(&arena, NULL, names, 3, &pem, &e) == RC_OK);
    MUST(tls_ca_ensure(&arena, NULL, names, 3, &other_pem, &e) == RC_OK);
    T_RUN(names_and_addresses);
    T_RUN(bodies_over_tls);
    T_RUN(whom_it_trusts);
    T_RUN(certificates_that_are_no_good);
    T_RUN(a_certificate_of_our_own);
    T_RUN(who_speaks_no_tls);
    T_RUN(settings_that_cannot_be);
    arena_free(&arena);
    return t_done();
}
