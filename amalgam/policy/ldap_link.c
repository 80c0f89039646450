/*
 * ldap_link.c - this thread's connections to directories, and the questions that go over them.
 *
 * A connection carries one question at a time, since a bind is the state of the connection; it is kept
 * for the next one, which binds anew. As many as the policy says are open per server, further questions
 * wait in a bounded queue. A question on a kept connection that ends before any answer is asked once more
 * on a new one; addresses of a name are tried in turn. Time is kept by the connection's deadline, so
 * nothing here outlives the reactor: its closing ends every question. Never follows a referral.
 * Called by step_ldap.c. Owns: servers and links in mem_. Threads: the context's.
 * Tested by tests/unit/policy/test_ldap.c (a scripted directory), tests/box/test_ldap.py (slapd).
 */
#include "base/clock.h"
#include "net/conn.h"
#include "policy/inside.h"
#include "policy/ldap_link.h"

#include <stdio.h>

enum {
    LDAP_QUEUE_MAX = 256,
    LDAP_ANSWER_BYTES = 1 << 20,
    LDAP_IDLE_MS = 60 * 1000,
    LDAP_SERVERS_MAX = 256
};

enum ldap_stage { LDAP_IDLE, LDAP_STARTS_TLS, LDAP_BINDS, LDAP_BINDS_ACCOUNT, LDAP_SEARCHES };
struct ldap_link {
    struct conn *c;
    struct ldap_server *server; /* NULL: closed by us, waits for the end of the connection */
    struct ldap_ask *ask;
    enum ldap_stage stage;
    int32_t id;
    bool secure; /* StartTLS was answered: what follows goes over TLS, or not at all */
    bool used, answered; /* a question was answered; a byte came for this one */
    struct ldap_link *next, **link;
};
struct ldap_server {
    struct ldap *owner;
    struct slice key; /* behind the struct: name, port, TLS, connections */
    struct ip ips[FETCH_ADDRS_MAX];
    size_t ips_n, ip_at;
    struct ldap_link *links;
    size_t links_n, queue_n, asks_n;
    struct ldap_ask *first, *last;
    struct ldap_server *next;
};
struct ldap {
    struct policy_ctx *c;
    struct ldap_server *servers;
    size_t servers_n;
};

static void ldap_place(struct ldap_ask *a);

/* ---- the end of a question ---- */

static void ldap_late(struct net_task *t, struct reactor *r)
{
    struct ldap_ask *a = CONTAINER_OF(t, struct ldap_ask, in.late);

    (void)r;
    a->done(a);
}

static void ldap_finish(struct ldap_ask *a, enum ldap_said said, const char *why)
{
    if (a->in.server)
        a->in.server->asks_n--;
    a->said = said;
    a->why = why;
    mem_wipe((void *)(uintptr_t)a->password.p, a->password.n);
    if (!a->in.starting) {
        a->done(a);
        return;
    }
    a->in.late.run = ldap_late;
    reactor_post(a->in.c->opts.reactor, &a->in.late);
}

/* ---- links ---- */

static void ldap_unlink(struct ldap_link *k)
{
    *k->link = k->next;
    if (k->next)
        k->next->link = k->link;
    k->server->links_n--;
    k->server = NULL;
}

/* The connection is not to be trusted any more. */
static void ldap_drop(struct ldap_link *k)
{
    ldap_unlink(k);
    k->ask = NULL;
    conn_abort(k->c);
}

static void ldap_send(struct ldap_link *k, enum ldap_stage stage)
{
    struct ldap_ask *a = k->ask;
    struct buf *out = conn_out(k->c);
    int64_t left_ms = MAX(a->in.until_ms - reactor_mono_ms(conn_reactor(k->c)), 1);

    k->stage = stage;
    k->id = k->id < INT32_MAX ? k->id + 1 : 1;
    if (stage == LDAP_STARTS_TLS)
        ldap_write_start_tls(out, k->id);
    else if (stage == LDAP_BINDS)
        ldap_write_bind(out, k->id, a->dn, a->password);
    else if (stage == LDAP_BINDS_ACCOUNT)
        ldap_write_bind(out, k->id, a->account_dn, a->account_password);
    else
        ldap_write_search(out, k->id, a->dn, a->filter, a->attribute, (int32_t)(left_ms / 1000 + 1));
    conn_set_idle(k->c, 0);
    conn_deadline(k->c, left_ms);
    conn_await(k->c, true);
    conn_flush(k->c);
}

static void ldap_give(struct ldap_link *k, struct ldap_ask *a)
{
    k->ask = a;
    k->answered = false;
    ldap_send(k, a->host->start_tls && !k->secure ? LDAP_STARTS_TLS : LDAP_BINDS);
}

static struct ldap_ask *ldap_queue_take(struct ldap_server *s)
{
    struct ldap_ask *a = s->first;

    if (a) {
        s->first = a->in.next;
        s->last = s->first ? s->last : NULL;
        s->queue_n--;
    }
    return a;
}

/* Those who waited too long are told; the first of the others is returned. */
static struct ldap_ask *ldap_queue_next(struct ldap_server *s)
{
    struct ldap_ask *a;
    int64_t now = reactor_mono_ms(s->owner->c->opts.reactor);

    while ((a = ldap_queue_take(s)) && a->in.until_ms <= now)
        ldap_finish(a, LDAP_SAID_BUSY, "no connection to the directory came free in time");
    return a;
}

/* The link has no question any more: it takes the next, or is kept. */
static void ldap_link_free(struct ldap_link *k)
{
    struct ldap_ask *a;

    k->ask = NULL;
    k->stage = LDAP_IDLE;
    k->used = true;
    conn_deadline(k->c, 0);
    conn_await(k->c, false);
    conn_set_idle(k->c, LDAP_IDLE_MS);
    a = ldap_queue_next(k->server);
    if (!a)
        return;
    if (k->server && !k->ask)
        ldap_give(k, a);
    else
        ldap_place(a); /* telling the others took the link */
}

static void ldap_answer(struct ldap_link *k, enum ldap_said said, const char *why)
{
    struct ldap_ask *a = k->ask;

    ldap_link_free(k);
    ldap_finish(a, said, why);
}

static void ldap_fail(struct ldap_link *k, const char *why)
{
    struct ldap_ask *a = k->ask;
    struct ldap_server *s = k->server;

    ldap_drop(k);
    if (a)
        ldap_finish(a, LDAP_SAID_TROUBLE, why);
    a = ldap_queue_next(s);
    if (a)
        ldap_place(a);
}

/* ---- answers ---- */

/* What a directory says to a name and a password that do not fit, or to an account that is locked. */
static bool ldap_refuses(int code)
{
    return code == LDAP_INVALID_CREDENTIALS || code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN ||
           code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_UNWILLING || code == LDAP_CONSTRAINT_VIOLATION ||
           code == LDAP_INSUFFICIENT_RIGHTS;
}

static void ldap_bound(struct ldap_link *k, int code)
{
    struct ldap_ask *a = k->ask;
    bool account = k->stage == LDAP_BINDS_ACCOUNT;

    if (code == LDAP_SUCCESS && !account && a->filter.n == 0)
        ldap_answer(k, LDAP_SAID_RIGHT, "");
    else if (code == LDAP_SUCCESS)
        ldap_send(k, !account && a->account_dn.n > 0 ? LDAP_BINDS_ACCOUNT : LDAP_SEARCHES);
    else if (ldap_refuses(code))
        ldap_answer(k, account ? LDAP_SAID_ACCOUNT : LDAP_SAID_WRONG, "");
    else
        ldap_answer(k, LDAP_SAID_TROUBLE, "the directory could not decide about a bind");
}

static bool ldap_entry_values(struct ldap_ask *a, const struct ldap_msg *m)
{
    struct ldap_entry e;
    struct ldap_attr attr;
    struct slice v;
    enum rc rc = ldap_read_entry(m, &e), at = RC_NOTFOUND;

    a->found = true;
    while (rc == RC_OK && (rc = ldap_attr_next(&e, &attr)) == RC_OK) {
        if (!slice_eq_ci(attr.name, a->attribute))
            continue;
        while ((at = ldap_value_next(&attr, &v)) == RC_OK) {
            if (!a->values)
                a->values = ARENA_ARRAY(a->arena, struct slice, LDAP_VALUES_MAX);
            if (a->values_n < LDAP_VALUES_MAX)
                a->values[a->values_n++] = arena_dup(a->arena, v);
        }
        if (at != RC_NOTFOUND)
            return false;
    }
    return rc == RC_NOTFOUND;
}

static bool ldap_searched(struct ldap_link *k, const struct ldap_msg *m)
{
    int code = -1;

    if (m->op == LDAP_SEARCH_REFERENCE)
        return true;
    if (m->op == LDAP_SEARCH_ENTRY)
        return !k->ask->found && ldap_entry_values(k->ask, m);
    if (m->op != LDAP_SEARCH_DONE || ldap_read_result(m, &code) != RC_OK)
        return false;
    if (code == LDAP_SUCCESS || code == LDAP_NO_SUCH_OBJECT)
        ldap_answer(k, LDAP_SAID_RIGHT, "");
    else
        ldap_answer(k, LDAP_SAID_TROUBLE, "the directory could not decide about a search");
    return true;
}

static struct tls_client *ldap_trust(const struct policy_ctx *c)
{
    return c->opts.fetcher ? fetcher_trust(c->opts.fetcher) : NULL;
}

/* Never on in the clear: without TLS the question is at its end. */
static void ldap_started(struct ldap_link *k, int code)
{
    struct tls_client *trust = ldap_trust(k->server->owner->c);

    k->secure = true;
    if (code != LDAP_SUCCESS || !trust)
        ldap_fail(k, "the directory refuses StartTLS");
    else if (conn_start_tls(k->c, trust, k->ask->host->name))
        ldap_send(k, LDAP_BINDS);
}

static bool ldap_message(struct ldap_link *k, const struct ldap_msg *m, bool last)
{
    int code = -1;

    if (!k->ask || m->id != k->id) /* also its notice that it is going away */
        return false;
    k->answered = true;
    if (k->stage == LDAP_SEARCHES)
        return ldap_searched(k, m);
    if (k->stage == LDAP_STARTS_TLS) { /* what stands behind it in the clear could be anybody's */
        if (!last || m->op != LDAP_EXTENDED_RESPONSE || ldap_read_result(m, &code) != RC_OK)
            return false;
        ldap_started(k, code);
        return true;
    }
    if (m->op != LDAP_BIND_RESPONSE || ldap_read_result(m, &code) != RC_OK)
        return false;
    ldap_bound(k, code);
    return true;
}

static size_t ldap_conn_data(struct conn *c, void *state, struct slice in)
{
    struct ldap_link *k = state;
    struct ldap_msg m = {0};
    size_t used = 0;

    (void)c;
    while (k->server && used < in.n) {
        enum rc rc = ldap_read(slice_from(in, used), LDAP_ANSWER_BYTES, &m);
        if (rc == RC_AGAIN)
            return used;
        if (rc == RC_OK && m.id == 0 && k->ask) { /* goes away: as if it had gone */
            conn_abort(k->c);
            return in.n;
        }
        if (rc != RC_OK || !ldap_message(k, &m, used + m.bytes == in.n)) {
            if (k->server)
                ldap_fail(k, rc == RC_TOOBIG ? "the directory's answer is too long" : "the directory's answer makes no sense");
            return in.n;
        }
        used += m.bytes;
    }
    return in.n;
}

/* ---- connections ---- */

static void *ldap_conn_open(struct conn *c, void *ctx)
{
    struct ldap_link *k = ctx;

    k->c = c;
    return k;
}

static void ldap_conn_timeout(struct conn *c, void *state)
{
    struct ldap_link *k = state;

    if (k->ask) {
        ldap_fail(k, "the directory did not answer in time");
        return;
    }
    if (!k->server)
        return;
    ldap_write_unbind(conn_out(c), k->id + 1); /* idle for long */
    ldap_unlink(k);
}

static void ldap_forget_idle(struct ldap_server *s)
{
    for (struct ldap_link *k = s->links, *next; k; k = next) {
        next = k->next;
        if (!k->ask)
            ldap_drop(k);
    }
}

/* Another connection, or another address, may do: a kept one had ended, or this one never began. */
static bool ldap_again(struct ldap_server *s, struct ldap_ask *a, bool used, bool answered)
{
    if (answered || a->in.until_ms <= reactor_mono_ms(s->owner->c->opts.reactor))
        return false;
    if (used) {
        ldap_forget_idle(s);
        return !a->in.again && (a->in.again = true);
    }
    s->ip_at++;
    return ++a->in.tries < s->ips_n;
}

static void ldap_conn_close(struct conn *c, void *state)
{
    struct ldap_link *k = state;
    struct ldap_server *s = k->server;
    struct ldap_ask *a = k->ask, *next;
    bool used = k->used, answered = k->answered;
    const char *why = "";

    (void)conn_trouble(c, &why);
    if (s)
        ldap_unlink(k);
    mem_free(k);
    if (!s)
        return;
    if (a && ldap_again(s, a, used, answered))
        ldap_place(a);
    else if (a)
        ldap_finish(a, LDAP_SAID_TROUBLE, *why ? why : "the directory ended the connection");
    next = ldap_queue_next(s);
    if (next)
        ldap_place(next);
}

static void ldap_conn_eof(struct conn *c, void *state)
{
    (void)state;
    conn_abort(c);
}

static const struct conn_proto ldap_proto = {.name = "ldap", .open = ldap_conn_open, .data = ldap_conn_data,
                                             .eof = ldap_conn_eof, .timeout = ldap_conn_timeout,
                                             .close = ldap_conn_close};

static struct ldap_link *ldap_connect(struct ldap_server *s, const struct ldap_host *h, const char **why)
{
    struct policy_ctx *c = s->owner->c;
    struct tls_client *trust = h->tls || h->start_tls ? ldap_trust(c) : NULL;
    struct net_addr to = {.kind = ADDR_TCP, .port = h->port};
    struct ldap_link *k;
    struct err e = {0};

    *why = "the directory cannot be reached";
    if ((h->tls || h->start_tls) && !trust)
        *why = "no certificates are trusted, so no TLS";
    if (s->ips_n == 0 || ((h->tls || h->start_tls) && !trust))
        return NULL;
    to.ip = s->ips[s->ip_at % s->ips_n];
    k = mem_zalloc(sizeof *k);
    if (!(h->tls ? conn_connect_tls(c->opts.reactor, &to, &ldap_proto, k, trust, h->name, &e)
                 : conn_connect(c->opts.reactor, &to, &ldap_proto, k, &e))) {
        mem_free(k);
        return NULL;
    }
    k->server = s;
    k->next = s->links;
    k->link = &s->links;
    if (k->next)
        k->next->link = &k->next;
    s->links = k;
    s->links_n++;
    return k;
}

/* An idle link, a new one, or the queue. */
static void ldap_place(struct ldap_ask *a)
{
    struct ldap_server *s = a->in.server;
    struct ldap_link *k = s->links;
    const char *why = "too many requests wait for the directory";

    while (k && k->ask)
        k = k->next;
    if (!k && s->links_n < a->host->conns_max) {
        k = ldap_connect(s, a->host, &why);
        if (!k) {
            ldap_finish(a, LDAP_SAID_TROUBLE, why);
            return;
        }
    }
    if (k) {
        ldap_give(k, a);
    } else if (s->queue_n >= LDAP_QUEUE_MAX) {
        ldap_finish(a, LDAP_SAID_BUSY, why);
    } else {
        a->in.next = NULL;
        *(s->last ? &s->last->in.next : &s->first) = a;
        s->last = a;
        s->queue_n++;
    }
}

/* ---- servers ---- */

static struct ldap *ldap_of(struct policy_ctx *c)
{
    if (!c->ldap) {
        c->ldap = mem_zalloc(sizeof *c->ldap);
        c->ldap->c = c;
    }
    return c->ldap;
}

/* Room for another one: servers of sets that are long gone. */
static void ldap_sweep(struct ldap *l)
{
    for (struct ldap_server **at = &l->servers, *s; (s = *at);) {
        if (s->asks_n > 0 || s->links_n > 0) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        l->servers_n--;
        mem_free(s);
    }
}

static struct ldap_server *ldap_server_of(struct ldap *l, const struct ldap_host *h)
{
    char text[400];
    struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "%.*s:%d%s/%zu", SFMT(h->name), h->port,
                                                       h->tls ? "s" : h->start_tls ? "t" : "", h->conns_max));
    struct ldap_server *s = l->servers;

    while (s && !slice_eq(s->key, key))
        s = s->next;
    if (!s && l->servers_n >= LDAP_SERVERS_MAX)
        ldap_sweep(l);
    if (s || l->servers_n >= LDAP_SERVERS_MAX)
        return s;
    s = mem_zalloc(sizeof *s + key.n);
    memcpy(s + 1, key.p, key.n);
    s->key = slice_of((const char *)(s + 1), key.n);
    s->owner = l;
    s->next = l->servers;
    l->servers = s;
    l->servers_n++;
    return s;
}

static void ldap_addresses(struct ldap_server *s, const struct ip *ips, size_t n)
{
    s->ips_n = MIN(n, (size_t)FETCH_ADDRS_MAX);
    memcpy(s->ips, ips, s->ips_n * sizeof *ips);
}

static void ldap_got_name(struct fetch_ask *names, enum rc rc, const char *why, const struct ip *ips, size_t n)
{
    struct ldap_ask *a = CONTAINER_OF(names, struct ldap_ask, in.names);

    if (rc == RC_OK)
        ldap_addresses(a->in.server, ips, n);
    if (rc != RC_OK)
        ldap_finish(a, LDAP_SAID_TROUBLE, why);
    else if (a->in.until_ms <= reactor_mono_ms(a->in.c->opts.reactor))
        ldap_finish(a, LDAP_SAID_TROUBLE, "the directory's name took too long to look up");
    else
        ldap_place(a);
}

static enum rc ldap_find(struct policy_ctx *c, struct ldap_ask *a, struct ip ips[FETCH_ADDRS_MAX], size_t *n,
                         const char **why)
{
    *n = 1;
    *why = "names cannot be looked up here";
    if (ip_parse(a->host->name, &ips[0]))
        return RC_OK;
    a->in.names.got = ldap_got_name;
    return c->opts.fetcher ? fetcher_find(c->opts.fetcher, a->host->name, &a->in.names, ips, n, why)
                           : RC_NOTFOUND;
}

void ldap_start(struct policy_ctx *c, struct ldap_ask *a)
{
    struct ip ips[FETCH_ADDRS_MAX];
    const char *why = "too many directories";
    size_t n = 0;
    enum rc rc;

    memset(&a->in, 0, sizeof a->in);
    a->in.starting = true;
    a->in.until_ms = reactor_mono_ms(c->opts.reactor) + a->host->timeout_ms;
    a->in.c = c;
    a->in.server = ldap_server_of(ldap_of(c), a->host);
    if (a->in.server)
        a->in.server->asks_n++;
    rc = a->in.server ? ldap_find(c, a, ips, &n, &why) : RC_BUSY;
    if (rc == RC_OK) {
        ldap_addresses(a->in.server, ips, n);
        ldap_place(a);
    } else if (rc != RC_AGAIN) {
        ldap_finish(a, LDAP_SAID_TROUBLE, why);
    }
    a->in.starting = false;
}

void ldap_close(struct policy_ctx *c)
{
    if (!c->ldap)
        return;
    for (struct ldap_server *s = c->ldap->servers, *next; s; s = next) {
        next = s->next;
        for (struct ldap_link *k = s->links; k; k = k->next) { /* they go when their connections have ended */
            k->server = NULL;
            k->ask = NULL;
            conn_abort(k->c);
        }
        mem_free(s);
    }
    mem_free(c->ldap);
    c->ldap = NULL;
}
