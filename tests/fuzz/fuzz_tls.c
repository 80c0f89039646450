/*
 * fuzz_tls.c - what a stranger can send to a TLS port before and in the handshake, in pieces of any
 * size; certificates and addresses out of any bytes.
 *
 * The first byte says what the rest is: 0 an address, 1 a certificate, else raw bytes for a
 * handshake, in pieces of that many bytes. Without a client's private part no handshake can
 * succeed, every step ends, and nothing is written without a bound. Seeds:
 * tests/fuzz/seeds/fuzz_tls.
 */
#include "base/mem.h"
#include "net/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_server *fuzz_server(void)
{
    static struct tls_server *server;
    static const struct slice names[] = {SLIT("localhost")};
    if (server)
        return server;
    struct arena a;
    struct tls_pem pem;
    struct err e;
    arena_init(&a, 1 << 16, 0);
    MUST(tls_ca_ensure(&a, NULL, names, 1, &pem, &e) == RC_OK);
    struct tls_opts o = {.cert_pem = pem.cert, .key_pem = pem.key, .client_ca_pem = pem.ca_cert};
    MUST(tls_server_open(&o, &server, &e) == RC_OK);
    arena_free(&a);
    return server;
}

static void fuzz_handshake(size_t piece, struct slice in)
{
    struct buf wire;
    buf_init(&wire, 1 << 20);
    struct tls_conn *t = tls_conn_open(fuzz_server(), &wire);
    enum tls_step step = TLS_WANT;
    for (size_t at = 0; at < in.n && step == TLS_WANT; at += piece) {
        struct slice raw = slice_sub(in, at, piece);
        step = tls_conn_shake(t, &raw);
        MUST(step == TLS_FAILED || (step == TLS_WANT && raw.n == 0));
    }
    MUST(!buf_over(&wire));
    tls_conn_bye(t);
    tls_conn_close(t);
    buf_free(&wire);
}

static void fuzz_address(struct slice in)
{
    struct net_addr a, b;
    struct err e;
    char text[128];
    if (net_addr_parse(in, &a, &e) != RC_OK)
        return;
    size_t n = net_addr_format(&a, text);
    MUST(n < sizeof text);
    MUST(net_addr_parse(slice_of(text, n), &b, &e) == RC_OK);
    MUST(a.kind == b.kind && a.port == b.port && a.v6_any == b.v6_any &&
         memcmp(&a.ip, &b.ip, sizeof a.ip) == 0 && strcmp(a.path, b.path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_facts facts;
    struct err e;
    if (size == 0)
        return 0;
    struct slice in = slice_of((const char *)data + 1, size - 1);
    if (data[0] == 0)
        fuzz_address(in);
    else if (data[0] == 1)
        (void)tls_cert_facts(in, &facts, &e);
    else
        fuzz_handshake(data[0], in);
    return 0;
}
