/* TLS as a client sees it: both versions, big data, client certificates, tickets, reload; and peers
 * that are silent, slow, or talk nonsense. The client is mbedTLS; openssl's and python's are used
 * by the box tests. Also run under TSan. */
#include "net/tls_inside.h"
#include "nt.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <netinet/tcp.h>
#include <sys/wait.h>

static struct arena arena;
static struct tls_pem pem, other_pem;
static struct rig g;

/* ---- certificates ---- */

struct maker {
    mbedtls_pk_context ca_key, key;
    struct slice ca, crt, key_pem;
};
static struct maker clients, strangers;

static void make_key(mbedtls_pk_context *k)
{
    mbedtls_pk_init(k);
    MUST(mbedtls_pk_setup(k, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0);
    MUST(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*k), tls_random, NULL) == 0);
}

struct san {
    int kind;
    const char *text;
    size_t n;
};

static struct slice make_cert(mbedtls_pk_context *key, mbedtls_pk_context *ca_key, bool is_ca,
                              const struct san *sans, size_t sans_n)
{
    mbedtls_x509write_cert w;
    mbedtls_x509_san_list list[4];
    unsigned char serial[8] = {1, 2, 3, 4}, *out = mem_zalloc(8192);
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, key);
    mbedtls_x509write_crt_set_issuer_key(&w, ca_key);
    MUST(mbedtls_x509write_crt_set_serial_raw(&w, serial, sizeof serial) == 0);
    MUST(mbedtls_x509write_crt_set_validity(&w, "20200101000000", "20490101000000") == 0);
    MUST(mbedtls_x509write_crt_set_subject_name(&w, is_ca ? "CN=client ca" : "CN=client") == 0);
    MUST(mbedtls_x509write_crt_set_issuer_name(&w, "CN=client ca") == 0);
    MUST(mbedtls_x509write_crt_set_basic_constraints(&w, is_ca, -1) == 0);
    for (size_t i = 0; i < sans_n; i++) {
        const struct san *s = &sans[sans_n - 1 - i]; /* mbedTLS writes them from last to first */
        list[i].node.type = s->kind;
        list[i].node.san.unstructured_name.p = (unsigned char *)(uintptr_t)s->text;
        list[i].node.san.unstructured_name.len = s->n;
        list[i].next = i + 1 < sans_n ? &list[i + 1] : NULL;
    }
    if (sans_n > 0)
        MUST(mbedtls_x509write_crt_set_subject_alternative_name(&w, list) == 0);
    MUST(mbedtls_x509write_crt_pem(&w, out, 8192, tls_random, NULL) == 0);
    mbedtls_x509write_crt_free(&w);
    struct slice text = arena_dup(&arena, slice_str((char *)out));
    mem_free(out);
    return text;
}

static void make_clients(struct maker *m)
{
    char *out = mem_zalloc(4096);
    make_key(&m->ca_key);
    make_key(&m->key);
    m->ca = make_cert(&m->ca_key, &m->ca_key, true, NULL, 0);
    MUST(mbedtls_pk_write_key_pem(&m->key, (unsigned char *)out, 4096) == 0);
    m->key_pem = arena_dup(&arena, slice_str(out));
    mem_free(out);
}

static struct slice client_cert(struct maker *m, const struct san *sans, size_t n)
{
    return make_cert(&m->key, &m->ca_key, false, sans, n);
}
#define URI(s)                                                                                     \
    {                                                                                              \
        MBEDTLS_X509_SAN_UNIFORM_RESOURCE_IDENTIFIER, s, sizeof(s) - 1                             \
    }
#define DNS(s)                                                                                     \
    {                                                                                              \
        MBEDTLS_X509_SAN_DNS_NAME, s, sizeof(s) - 1                                                \
    }

/* ---- the client ---- */

struct client {
    int fd;
    size_t received; /* bytes on the wire */
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt ca, crt;
    mbedtls_pk_context key;
    mbedtls_ssl_session ticket;
    bool got_ticket;
};
struct client_opts {
    int version; /* 12, 13, or 0: both */
    const char **alpn;
    struct slice crt, key;
    mbedtls_ssl_session *resume;
    struct slice ca; /* trusted; default: the server's */
};

static int client_send(void *ctx, const unsigned char *p, size_t n)
{
    ssize_t k = send(((struct client *)ctx)->fd, p, n, MSG_NOSIGNAL);
    return k < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)k;
}
static int client_recv(void *ctx, unsigned char *p, size_t n)
{
    struct client *c = ctx;
    ssize_t k = recv(c->fd, p, n, 0);
    c->received += k > 0 ? (size_t)k : 0;
    return k < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)k;
}

static int client_open(struct client *c, const struct rig *rig, struct client_opts o)
{
    memset(c, 0, sizeof *c);
    mbedtls_ssl_init(&c->ssl);
    mbedtls_ssl_config_init(&c->conf);
    mbedtls_x509_crt_init(&c->ca);
    mbedtls_x509_crt_init(&c->crt);
    mbedtls_pk_init(&c->key);
    mbedtls_ssl_session_init(&c->ticket);
    struct slice ca = o.ca.n ? o.ca : pem.ca_cert;
    MUST(tls_parse_chain(&c->ca, ca, "ca", NULL) == RC_OK);
    MUST(mbedtls_ssl_config_defaults(&c->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    mbedtls_ssl_conf_rng(&c->conf, tls_random, NULL);
    mbedtls_ssl_conf_authmode(&c->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&c->conf, &c->ca, NULL);
#if defined(MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED)
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &c->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    if (o.version == 12)
        mbedtls_ssl_conf_max_tls_version(&c->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    if (o.version == 13)
        mbedtls_ssl_conf_min_tls_version(&c->conf, MBEDTLS_SSL_VERSION_TLS1_3);
    if (o.alpn)
        MUST(mbedtls_ssl_conf_alpn_protocols(&c->conf, o.alpn) == 0);
    if (o.crt.n) {
        MUST(tls_parse_chain(&c->crt, o.crt, "crt", NULL) == RC_OK);
        MUST(tls_parse_key(&c->key, o.key, "key", NULL) == RC_OK);
        MUST(mbedtls_ssl_conf_own_cert(&c->conf, &c->crt, &c->key) == 0);
    }
    MUST(mbedtls_ssl_setup(&c->ssl, &c->conf) == 0);
    MUST(mbedtls_ssl_set_hostname(&c->ssl, "localhost") == 0);
    if (o.resume)
        MUST(mbedtls_ssl_set_session(&c->ssl, o.resume) == 0);
    c->fd = nt_dial(rig);
    mbedtls_ssl_set_bio(&c->ssl, c, client_send, client_recv, NULL);
    return c->fd < 0 ? -1 : mbedtls_ssl_handshake(&c->ssl);
}

static bool client_say(struct client *c, const char *p, size_t n)
{
    while (n > 0) {
        int k = mbedtls_ssl_write(&c->ssl, (const unsigned char *)p, n);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static int client_read(struct client *c, char *p, size_t n)
{
    for (;;) {
        int k = mbedtls_ssl_read(&c->ssl, (unsigned char *)p, n);
        if (k == MBEDTLS_ERR_SSL_WANT_READ)
            continue; /* it has read something that was not data */
        if (k != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            return k;
        c->got_ticket = mbedtls_ssl_get_session(&c->ssl, &c->ticket) == 0;
    }
}

static bool client_hear(struct client *c, const char *text)
{
    char got[512] = "";
    size_t n = strlen(text), at = 0;
    int k = 0;
    while (at < n) {
        k = client_read(c, got + at, n - at);
        if (k <= 0)
            break;
        at += (size_t)k;
    }
    if (at == n && memcmp(got, text, n) == 0)
        return true;
    printf("# heard %zu bytes: %.*s (%x)\n", at, (int)at, got, -k);
    return false;
}

static bool client_asks(struct client *c, const char *text, const char *answer)
{
    return client_say(c, text, strlen(text)) && client_hear(c, answer);
}

static void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    mbedtls_ssl_free(&c->ssl);
    mbedtls_ssl_config_free(&c->conf);
    mbedtls_x509_crt_free(&c->ca);
    mbedtls_x509_crt_free(&c->crt);
    mbedtls_pk_free(&c->key);
    mbedtls_ssl_session_free(&c->ticket);
}

/* ---- the server ---- */

static struct tls_server *server;

static void serve(const struct tls_opts *more, struct listener_opts o)
{
    struct tls_opts t = more ? *more : (struct tls_opts){0};
    struct err e = {0};
    if (t.cert_pem.n == 0) {
        t.cert_pem = pem.cert;
        t.key_pem = pem.key;
    }
    MUST(tls_server_open(&t, &server, &e) == RC_OK);
    o.tls = server;
    rig_start(&g, 1, o);
}

static void unserve(void)
{
    NT_UNTIL(listener_conns(g.l) == 0);
    rig_stop(&g);
    tls_server_close(server);
}

/* ---- tests ---- */

static void both_versions_serve(void)
{
    serve(NULL, rig_opts());
    for (int version = 12; version <= 13; version++) {
        struct client c;
        T_ROW("TLS 1.%d", version - 10);
        T_INT(client_open(&c, &g, (struct client_opts){.version = version}), 0);
        T(strcmp(mbedtls_ssl_get_version(&c.ssl), version == 12 ? "TLSv1.2" : "TLSv1.3") == 0);
        T(client_asks(&c, "echo hello\ncert\n", "hello\ncert= tls=1\n"));
        T(client_asks(&c, "close\n", "bye\n"));
        char x;
        T_INT(client_read(&c, &x, 1), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
        client_close(&c);
    }
    T_INT(g.opened, 2);
    unserve();
}

static void a_client_says_goodbye(void)
{
    serve(NULL, rig_opts());
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    T(client_say(&c, "echo a\n", 7));
    mbedtls_ssl_close_notify(&c.ssl);
    T(client_hear(&c, "a\neof\n"));
    client_close(&c);
    NT_UNTIL(nt_get(&g.closed) == 1);
    T_INT(g.eofs, 1);
    unserve();
}

static void big_data_both_ways(void)
{
    struct listener_opts o = rig_opts();
    o.in_bytes_max = 32 << 20;
    serve(NULL, o);
    for (int version = 12; version <= 13; version++) {
        struct client c;
        size_t n = 20 << 20;
        char *bytes = mem_alloc(n), want[64];
        unsigned sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (unsigned char)(bytes[i] = (char)(i * 7 + i / 1000));
        T_INT(client_open(&c, &g, (struct client_opts){.version = version}), 0);
        T(client_say(&c, "need 20971520\n", 14) && client_say(&c, bytes, n));
        snprintf(want, sizeof want, "got 20971520 %u\n", sum);
        T(client_hear(&c, want));
        T(client_say(&c, "big 20971520\necho end\n", 22));
        size_t got = 0;
        usleep(100000); /* a slow reader */
        while (got < n) {
            int k = client_read(&c, bytes, n - got);
            if (k <= 0)
                break;
            for (int i = 0; i < k; i++)
                if (bytes[i] != 'x')
                    got = n + 1;
            got += (size_t)k;
        }
        T_INT(got, n);
        T(client_hear(&c, "end\n"));
        mem_free(bytes);
        client_close(&c);
    }
    unserve();
}

static void parked_and_held_work_over_tls(void)
{
    serve(NULL, rig_opts());
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    T(client_asks(&c, "park 100\necho a\n", "woke\na\n"));
    T(client_asks(&c, "hold 100\necho b\n", "held\nb\n"));
    T(client_asks(&c, "deadline 100\n", "timeout\n"));
    client_close(&c);
    unserve();
}

static void alpn_is_answered(void)
{
    static const char *const offers[] = {"h2", "http/1.1", NULL};
    const char *want_http[] = {"http/1.1", NULL}, *want_other[] = {"smtp", NULL};
    serve(&(struct tls_opts){.alpn = offers}, rig_opts());
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){.alpn = want_http}), 0);
    const char *got = mbedtls_ssl_get_alpn_protocol(&c.ssl);
    T(got && strcmp(got, "http/1.1") == 0);
    client_close(&c);
    T(client_open(&c, &g, (struct client_opts){.alpn = want_other}) != 0);
    client_close(&c);
    unserve();
}

/* ---- client certificates ---- */

static const struct {
    const char *row;
    struct san sans[3];
    size_t n;
    const char *name; /* NULL: refused */
} certs[] = {
    {"none", {{0}}, 0, ""},
    {"a DNS name", {DNS("gw.example")}, 1, "gw.example"},
    {"a URI", {URI("spiffe://td/ns/a")}, 1, "spiffe://td/ns/a"},
    {"a URI behind a DNS name", {DNS("gw.example"), URI("spiffe://td/b")}, 2, "spiffe://td/b"},
    {"the first of two", {DNS("one"), DNS("two")}, 2, "one"},
    {"NUL in a DNS name", {DNS("good.example\0.evil.example")}, 1, NULL},
    {"a URI as a DNS name", {DNS("spiffe://td/ns/a")}, 1, NULL},
    {"NUL in a URI", {URI("spiffe://td/a\0b")}, 1, NULL},
    {"a line end in a URI", {URI("spiffe://td/a\r\nX: y")}, 1, NULL},
};

static void a_client_certificate_gives_the_name(void)
{
    for (int required = 0; required <= 1; required++) {
        serve(&(struct tls_opts){.client_ca_pem = clients.ca, .client_required = required},
              rig_opts());
        for (size_t i = 0; i < ARRAY_LEN(certs) * 2; i++) {
            size_t row = i / 2;
            int version = 12 + (int)(i % 2);
            struct client c;
            char want[80];
            T_ROW("%s, required %d, 1.%d", certs[row].row, required, version - 10);
            int ret = client_open(
                &c, &g,
                (struct client_opts){.version = version,
                                     .crt = client_cert(&clients, certs[row].sans, certs[row].n),
                                     .key = clients.key_pem});
            if (certs[row].name) {
                snprintf(want, sizeof want, "cert=%s tls=1\n", certs[row].name);
                T_INT(ret, 0);
                T(client_asks(&c, "cert\n", want));
            } else { /* 1.3: the client is done before the server has looked */
                T(ret != 0 || !client_say(&c, "cert\n", 5) || client_read(&c, want, 10) <= 0);
            }
            client_close(&c);
        }
        unserve();
    }
}

static void no_certificate_and_wrong_ones(void)
{
    struct san dns = DNS("gw.example");
    for (int i = 0; i < 8; i++) {
        bool required = i & 1, stranger = i & 2;
        int version = i & 4 ? 12 : 13;
        struct client c;
        char x[10];
        T_ROW("required %d stranger %d 1.%d", required, stranger, version - 10);
        serve(&(struct tls_opts){.client_ca_pem = clients.ca, .client_required = required},
              rig_opts());
        struct client_opts o = {.version = version};
        if (stranger) {
            o.crt = client_cert(&strangers, &dns, 1);
            o.key = strangers.key_pem;
        }
        int ret = client_open(&c, &g, o);
        bool served = ret == 0 && client_say(&c, "echo a\n", 7) && client_read(&c, x, 2) > 0;
        T(served == (!required && !stranger));
        client_close(&c);
        T_INT(nt_get(&g.opened), served ? 1 : 0);
        unserve();
    }
}

/* ---- tickets ---- */

/* A resumed handshake does not carry the server's certificate. */
static bool resumes(int version)
{
    struct client first, second;
    T_INT(client_open(&first, &g, (struct client_opts){.version = version}), 0);
    size_t full = first.received;
    T(client_asks(&first, "echo a\n", "a\n"));
    if (version == 12)
        first.got_ticket = mbedtls_ssl_get_session(&first.ssl, &first.ticket) == 0;
    bool resumed = false;
    T(first.got_ticket);
    if (first.got_ticket) {
        T_INT(client_open(&second, &g,
                          (struct client_opts){.version = version, .resume = &first.ticket}),
              0);
        resumed = second.received + 500 < full;
        printf("# 1.%d: %zu bytes in full, %zu resumed\n", version - 10, full, second.received);
        T(client_asks(&second, "echo b\n", "b\n"));
        client_close(&second);
    }
    client_close(&first);
    return resumed;
}

static void sessions_are_resumed_by_ticket(void)
{
    serve(NULL, rig_opts());
    T(resumes(13));
    T(resumes(12));
    unserve();
}

static void no_tickets_where_clients_show_certificates(void)
{
    serve(&(struct tls_opts){.client_ca_pem = clients.ca}, rig_opts());
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){.version = 13}), 0);
    T(client_asks(&c, "echo a\n", "a\n"));
    T(!c.got_ticket);
    client_close(&c);
    unserve();
}

/* ---- reload ---- */

static void a_reload_serves_the_new_and_keeps_the_old(void)
{
    serve(NULL, rig_opts());
    struct client before, after;
    struct err e = {0};
    T_INT(client_open(&before, &g, (struct client_opts){0}), 0);
    struct tls_opts o = {.cert_pem = other_pem.cert, .key_pem = other_pem.key};
    T_INT(tls_server_replace(server, &o, &e), RC_OK);
    T(client_asks(&before, "echo old\n", "old\n"));
    T_INT(client_open(&after, &g, (struct client_opts){.ca = other_pem.ca_cert}), 0);
    T(client_asks(&after, "echo new\n", "new\n"));
    client_close(&after);
    o.key_pem = pem.key; /* does not belong to it */
    T_INT(tls_server_replace(server, &o, &e), RC_BADINPUT);
    T(strstr(e.text, "does not belong") != NULL);
    T_INT(client_open(&after, &g, (struct client_opts){.ca = other_pem.ca_cert}), 0);
    client_close(&after);
    client_close(&before);
    unserve();
}

static void *reloader(void *arg)
{
    for (int i = 0; i < 50; i++) {
        struct tls_pem *p = i % 2 ? &pem : &other_pem;
        struct tls_opts o = {.cert_pem = p->cert, .key_pem = p->key};
        if (tls_server_replace(server, &o, NULL) != RC_OK)
            nt_add(arg);
        usleep(3000);
    }
    return NULL;
}

static void reloads_while_clients_come_and_go(void)
{
    uint64_t failed = 0;
    struct tls_opts o = {.cert_pem = pem.cert, .key_pem = pem.key};
    MUST(tls_server_open(&o, &server, NULL) == RC_OK);
    struct listener_opts lo = rig_opts();
    lo.tls = server;
    rig_start(&g, 2, lo);
    pthread_t t = thread_start("reload", reloader, &failed);
    char both[8192];
    snprintf(both, sizeof both, "%s%s", pem.ca_cert.p, other_pem.ca_cert.p);
    for (int i = 0; i < 60; i++) {
        struct client c;
        T_INT(
            client_open(&c, &g, (struct client_opts){.version = 12 + i % 2, .ca = slice_str(both)}),
            0);
        T(client_asks(&c, "echo a\n", "a\n"));
        client_close(&c);
    }
    thread_join(t);
    T_INT(failed, 0);
    unserve();
}

static void broken_settings_are_refused(void)
{
    struct tls_server *s;
    struct err e = {0};
    const struct {
        struct tls_opts o;
        const char *says;
    } rows[] = {
        {{.cert_pem = SLIT("nonsense"), .key_pem = pem.key}, "certificate"},
        {{.cert_pem = pem.cert, .key_pem = SLIT("")}, "key"},
        {{.cert_pem = pem.cert, .key_pem = other_pem.key}, "does not belong"},
        {{.cert_pem = pem.cert, .key_pem = pem.key, .client_ca_pem = SLIT("x")}, "client CA"},
        {{.cert_pem = pem.cert, .key_pem = pem.key, .client_required = true}, "no client CA"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].says);
        T_INT(tls_server_open(&rows[i].o, &s, &e), RC_BADINPUT);
        T(s == NULL && strstr(e.text, rows[i].says) != NULL);
    }
    T_ROW("%s", "");
}

/* ---- peers that do not behave ---- */

static void silent_peers_cost_nothing_and_are_closed(void)
{
    enum { N = 400 };
    struct listener_opts o = rig_opts();
    int fd[N];
    o.handshake_ms = 5000;
    serve(NULL, o);
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    int64_t begun = nt_ms();
    uint64_t turns = nt_get(&g.turns);
    for (int i = 0; i < N; i++)
        fd[i] = nt_dial(&g);
    T(client_asks(&c, "echo served\n", "served\n")); /* nobody is locked out */
    client_close(&c);
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    NT_UNTIL(listener_conns(g.l) == 1);
    T(nt_ms() - begun >= 4900);
    turns = nt_get(&g.turns) - turns;
    printf("# %llu turns for %d silent peers\n", (unsigned long long)turns, (int)N);
    T(turns < 3 * N); /* one to accept each; a loop that spins takes as many in a millisecond */
    T(client_asks(&c, "echo still\n", "still\n"));
    for (int i = 0; i < N; i++)
        close(fd[i]);
    client_close(&c);
    T_INT(g.opened, 2);
    unserve();
}

static void a_full_house_of_silent_peers_makes_room(void)
{
    struct listener_opts o = rig_opts();
    int fd[20];
    o.conn_max = 10;
    serve(NULL, o);
    for (int i = 0; i < 20; i++)
        fd[i] = nt_dial(&g);
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    T(client_asks(&c, "echo in\n", "in\n"));
    T(listener_conns(g.l) <= 10);
    T(nt_gone(fd[0], NT_WAIT_MS));
    for (int i = 0; i < 20; i++)
        close(fd[i]);
    client_close(&c);
    unserve();
}

static void a_dripping_handshake_is_closed(void)
{
    static const unsigned char hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5};
    struct listener_opts o = rig_opts();
    o.handshake_ms = 800;
    serve(NULL, o);
    int64_t begun = nt_ms();
    int fd = nt_dial(&g);
    bool gone = false;
    for (size_t i = 0; !gone && nt_ms() - begun < NT_WAIT_MS; i++)
        gone = send(fd, hello + i % sizeof hello, 1, MSG_NOSIGNAL) != 1 || nt_gone(fd, 100);
    T(gone && nt_ms() - begun >= 700);
    close(fd);
    T_INT(g.opened, 0);
    unserve();
}

static void nonsense_is_answered_with_an_alert_and_closed(void)
{
    static const struct slice words[] = {
        SLIT("GET / HTTP/1.1\r\n\r\n"), SLIT("\x16\x03\x01\xff\xff aaaaaaaaaa"),
        SLIT("\x15\x03\x03\x00\x02\x02\x28"), SLIT("AAAAAAAAAAAAAAAAAAAA")};
    serve(NULL, rig_opts());
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        int fd = nt_dial(&g);
        T_ROW("%zu", i);
        T(nt_send(fd, words[i].p, words[i].n));
        T(nt_drain(fd) >= 0);
        close(fd);
    }
    T_INT(g.opened, 0);
    unserve();
}

static void random_bytes_after_a_handshake_close(void)
{
    serve(NULL, rig_opts());
    struct client c;
    T_INT(client_open(&c, &g, (struct client_opts){0}), 0);
    T(client_asks(&c, "echo a\n", "a\n"));
    struct slice junk = S("\x17\x03\x03\x00\x20 this is not what was agreed upon");
    T(nt_send(c.fd, junk.p, junk.n));
    NT_UNTIL(nt_get(&g.closed) == 1);
    client_close(&c);
    unserve();
}

/* Records without data, and data behind them in the same segment. */
static void empty_records_lose_nothing(void)
{
    serve(NULL, rig_opts());
    for (int version = 12; version <= 13; version++) {
        struct client c;
        int on = 1, off = 0;
        T_ROW("TLS 1.%d", version - 10);
        T_INT(client_open(&c, &g, (struct client_opts){.version = version}), 0);
        for (int i = 0; i < 4; i++) { /* mbedTLS takes four in a row for an attack */
            setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
            for (int k = 0; k < i; k++)
                T_INT(mbedtls_ssl_write(&c.ssl, NULL, 0), 0);
            if (version == 12)
                T_INT(mbedtls_ssl_send_alert_message(&c.ssl, MBEDTLS_SSL_ALERT_LEVEL_WARNING,
                                                     MBEDTLS_SSL_ALERT_MSG_NO_RENEGOTIATION),
                      0);
            T(client_say(&c, "echo data\n", 10));
            setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
            T(client_hear(&c, "data\n"));
        }
        client_close(&c);
    }
    unserve();
}

static void idle_tls_connections_are_modest(void)
{
    enum { N = 60 };
    static struct client c[N];
    serve(NULL, rig_opts());
    /* Both ends are in this process: what a client costs is measured first, on a server that is not
     * there any more. */
    T_INT(client_open(&c[0], &g, (struct client_opts){0}), 0);
    int64_t before = (int64_t)mem_rss();
    for (int i = 1; i < N; i++)
        T_INT(client_open(&c[i], &g, (struct client_opts){0}), 0);
    long long both = ((int64_t)mem_rss() - before) / (N - 1);
    printf("# %lld bytes for both ends of an idle TLS connection\n", both);
#ifndef POSTERN_DEV
    T(both < 110000);
#endif
    for (int i = 0; i < N; i++)
        client_close(&c[i]);
    unserve();
}

int main(void)
{
    struct slice names[] = {S("localhost"), S("127.0.0.1")};
    struct err e = {0};
    log_init(LOG_SILENT, false);
    signal(SIGPIPE, SIG_IGN);
    arena_init(&arena, 1 << 16, 0);
    MUST(tls_ca_ensure(&arena, NULL, names, 2, &pem, &e) == RC_OK);
    MUST(tls_ca_ensure(&arena, NULL, names, 2, &other_pem, &e) == RC_OK);
    make_clients(&clients);
    make_clients(&strangers);
    T_RUN(both_versions_serve);
    T_RUN(a_client_says_goodbye);
    T_RUN(big_data_both_ways);
    T_RUN(parked_and_held_work_over_tls);
    T_RUN(alpn_is_answered);
    T_RUN(a_client_certificate_gives_the_name);
    T_RUN(no_certificate_and_wrong_ones);
    T_RUN(sessions_are_resumed_by_ticket);
    T_RUN(no_tickets_where_clients_show_certificates);
    T_RUN(a_reload_serves_the_new_and_keeps_the_old);
    T_RUN(reloads_while_clients_come_and_go);
    T_RUN(broken_settings_are_refused);
    T_RUN(silent_peers_cost_nothing_and_are_closed);
    T_RUN(a_full_house_of_silent_peers_makes_room);
    T_RUN(a_dripping_handshake_is_closed);
    T_RUN(nonsense_is_answered_with_an_alert_and_closed);
    T_RUN(random_bytes_after_a_handshake_close);
    T_RUN(empty_records_lose_nothing);
    T_RUN(idle_tls_connections_are_modest);
    mbedtls_pk_free(&clients.ca_key);
    mbedtls_pk_free(&clients.key);
    mbedtls_pk_free(&strangers.ca_key);
    mbedtls_pk_free(&strangers.key);
    arena_free(&arena);
    return t_done();
}
