/*
 * fetch_dns.c - names to addresses: asked in the worker pool, known for a while, bounded.
 *
 * Called by fetch.c. getaddrinfo blocks, so it runs as a job of the pool; whoever asks for a name that
 * is being asked for waits with the others. An answer is good for 30 s, a refusal for 2 s. Addresses that
 * are older (up to 5 minutes) are still given, and the name is asked for behind the back of who wanted
 * it, so that neither a slow resolver nor its short outage becomes ours. Literals and "localhost" never come to the pool. A job outlives the
 * cache when the fetcher is closed first: it then belongs to nobody and frees itself.
 * Threads: the reactor's; dns_work in a pool thread, on the job's own bytes. Tested by
 * tests/unit/net/test_fetch.c.
 */
#include "net/fetch_inside.h"

#include <netdb.h>
#include <netinet/in.h>

enum { DNS_GOOD_MS = 30 * 1000, DNS_BAD_MS = 2 * 1000, DNS_STALE_MS = 5 * 60 * 1000, DNS_NAMES_MAX = 1024 };

struct dns_name {
    struct slice text; /* behind the struct */
    struct ip ips[FETCH_ADDRS_MAX];
    size_t n;
    int64_t asked_ms, found_ms; /* monotonic; of the last answer, of the last good one */
    bool asking;
    struct fetch_ask *waiting;
};

struct dns_job {
    struct pool_job job;
    struct fetch_names *names; /* NULL: closed meanwhile */
    struct dns_job *next, **link;
    enum rc (*resolve)(const char *name, struct ip *out, size_t max, size_t *n);
    enum rc rc;
    struct ip ips[FETCH_ADDRS_MAX];
    size_t n;
    char text[FETCH_NAME_BYTES];
};

struct fetch_names {
    struct reactor *r;
    struct pool *pool;
    enum rc (*resolve)(const char *name, struct ip *out, size_t max, size_t *n);
    struct map names; /* text -> struct dns_name */
    struct dns_job *jobs;
};

/* ---- the system's resolver ---- */

static bool dns_ip(const struct sockaddr *from, struct ip *out)
{
    memset(out, 0, sizeof *out);
    if (from->sa_family == AF_INET) {
        out->b[10] = out->b[11] = 0xff;
        memcpy(out->b + 12, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return true;
    }
    if (from->sa_family == AF_INET6)
        memcpy(out->b, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    return from->sa_family == AF_INET6;
}

static enum rc dns_system(const char *name, struct ip *out, size_t max, size_t *n)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int ret = getaddrinfo(name, NULL, &hints, &list);
    *n = 0;
    if (ret != 0)
        return ret == EAI_AGAIN || ret == EAI_SYSTEM ? RC_IO : RC_NOTFOUND;
    for (struct addrinfo *a = list; a && *n < max; a = a->ai_next)
        if (dns_ip(a->ai_addr, &out[*n]))
            (*n)++;
    freeaddrinfo(list);
    return *n ? RC_OK : RC_NOTFOUND;
}

/* ---- answers ---- */

static const char *dns_why(enum rc rc)
{
    return rc == RC_NOTFOUND ? "no such host" : "the name cannot be looked up now";
}

/* Its addresses, or those from before while the resolver does not answer. */
static bool dns_usable(const struct dns_name *d, int64_t now_ms)
{
    return d->n > 0 && now_ms - d->found_ms < DNS_GOOD_MS + DNS_STALE_MS;
}

static void dns_tell(struct dns_name *d, enum rc rc)
{
    struct fetch_ask *waiting = d->waiting;
    d->waiting = NULL;
    if (waiting)
        waiting->link = &waiting; /* who is told may forget others: the list stays whole */
    while (waiting) {
        struct fetch_ask *ask = waiting;
        fetch_names_forget(ask);
        ask->got(ask, rc, rc == RC_OK ? "" : dns_why(rc), d->ips, rc == RC_OK ? d->n : 0);
    }
}

static void dns_answer(struct fetch_names *names, struct dns_name *d, const struct dns_job *j)
{
    int64_t now_ms = reactor_mono_ms(names->r);
    enum rc rc = j->rc;
    d->asking = false;
    d->asked_ms = now_ms;
    if (rc == RC_OK) {
        d->n = j->n;
        d->found_ms = now_ms;
        memcpy(d->ips, j->ips, sizeof d->ips);
    } else if (rc == RC_NOTFOUND) {
        d->n = 0;
    } else if (dns_usable(d, now_ms)) {
        rc = RC_OK;
    }
    dns_tell(d, rc);
}

static void dns_work(struct pool_job *job)
{
    struct dns_job *j = CONTAINER_OF(job, struct dns_job, job);
    j->rc = j->resolve(j->text, j->ips, FETCH_ADDRS_MAX, &j->n);
}

static void dns_unlink(struct dns_job *j)
{
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
}

static void dns_done(struct pool_job *job, struct reactor *r)
{
    struct dns_job *j = CONTAINER_OF(job, struct dns_job, job);
    (void)r;
    if (j->names) {
        struct dns_name *d = map_get(&j->names->names, slice_str(j->text));
        dns_unlink(j);
        if (d)
            dns_answer(j->names, d, j);
    }
    mem_free(j);
}

/* ---- asking ---- */

static enum rc dns_ask(struct fetch_names *names, struct dns_name *d)
{
    struct dns_job *j = mem_zalloc(sizeof *j);
    memcpy(j->text, d->text.p, d->text.n);
    j->job = (struct pool_job){.work = dns_work, .done = dns_done};
    j->names = names;
    j->resolve = names->resolve;
    if (pool_submit(names->pool, names->r, &j->job) != RC_OK) {
        mem_free(j);
        return RC_BUSY;
    }
    j->next = names->jobs;
    j->link = &names->jobs;
    if (j->next)
        j->next->link = &j->next;
    names->jobs = j;
    d->asking = true;
    return RC_OK;
}

/* Names that nobody waits for and that are out of date. */
static void dns_sweep(struct fetch_names *names, int64_t now_ms)
{
    size_t it = 0;
    struct slice key;
    void *value;
    struct dns_name *old[64];
    size_t n = 0;
    while (n < ARRAY_LEN(old) && map_next(&names->names, &it, &key, &value)) {
        struct dns_name *d = value;
        if (!d->asking && !d->waiting && now_ms - d->asked_ms > DNS_GOOD_MS)
            old[n++] = d;
    }
    for (size_t i = 0; i < n; i++) {
        map_del(&names->names, old[i]->text);
        mem_free(old[i]);
    }
}

static struct dns_name *dns_name(struct fetch_names *names, struct slice text, int64_t now_ms)
{
    struct dns_name *d = map_get(&names->names, text);
    if (d)
        return d;
    if (names->names.n >= DNS_NAMES_MAX)
        dns_sweep(names, now_ms);
    if (names->names.n >= DNS_NAMES_MAX)
        return NULL;
    d = mem_zalloc(sizeof *d + text.n);
    memcpy((char *)(d + 1), text.p, text.n);
    d->text = slice_of((char *)(d + 1), text.n);
    map_put(&names->names, d->text, d);
    return d;
}

static void dns_wait(struct dns_name *d, struct fetch_ask *ask)
{
    ask->next = d->waiting;
    ask->link = &d->waiting;
    if (ask->next)
        ask->next->link = &ask->next;
    d->waiting = ask;
}

/* Known addresses are given at once; when they are old, the next one who asks gets newer ones. */
static void dns_refresh(struct fetch_names *names, struct dns_name *d, int64_t now_ms)
{
    if (now_ms - d->found_ms >= DNS_GOOD_MS && !d->asking && now_ms - d->asked_ms >= DNS_BAD_MS)
        (void)dns_ask(names, d);
}

static enum rc dns_find(struct fetch_names *names, struct dns_name *d, struct fetch_ask *ask,
                        struct ip *out, size_t *n, const char **why)
{
    int64_t now_ms = reactor_mono_ms(names->r);
    if (dns_usable(d, now_ms)) {
        dns_refresh(names, d, now_ms);
        memcpy(out, d->ips, d->n * sizeof *out);
        *n = d->n;
        return RC_OK;
    }
    if (!d->asking && d->asked_ms && now_ms - d->asked_ms < DNS_BAD_MS) {
        *why = "no such host";
        return RC_NOTFOUND;
    }
    if (!d->asking && dns_ask(names, d) != RC_OK) {
        *why = "too many names are being looked up";
        return RC_BUSY;
    }
    dns_wait(d, ask);
    return RC_AGAIN;
}

enum rc fetch_names_find(struct fetch_names *names, struct slice name, struct fetch_ask *ask,
                         struct ip out[FETCH_ADDRS_MAX], size_t *n, const char **why)
{
    *n = 1;
    if (ip_parse(name, &out[0]))
        return RC_OK;
    if (slice_eq_ci(name, S("localhost")) || slice_ends(name, S(".localhost"))) { /* RFC 6761 6.3 */
        *n = ip_parse(S("127.0.0.1"), &out[0]) && ip_parse(S("::1"), &out[1]) ? 2 : 0;
        return RC_OK;
    }
    *why = "names cannot be looked up here";
    if (!names->pool || name.n >= FETCH_NAME_BYTES)
        return RC_NOTFOUND;
    struct dns_name *d = dns_name(names, name, reactor_mono_ms(names->r));
    *why = "too many names are being looked up";
    return d ? dns_find(names, d, ask, out, n, why) : RC_BUSY;
}

void fetch_names_forget(struct fetch_ask *ask)
{
    if (!ask->link)
        return;
    *ask->link = ask->next;
    if (ask->next)
        ask->next->link = ask->link;
    ask->link = NULL;
}

/* ---- life ---- */

struct fetch_names *fetch_names_open(const struct fetcher_opts *o)
{
    struct fetch_names *names = mem_zalloc(sizeof *names);
    names->r = o->reactor;
    names->pool = o->pool;
    names->resolve = o->resolve ? o->resolve : dns_system;
    map_init(&names->names);
    return names;
}

void fetch_names_close(struct fetch_names *names)
{
    size_t it = 0;
    struct slice key;
    void *value;
    for (struct dns_job *j = names->jobs; j; j = j->next)
        j->names = NULL;
    while (map_next(&names->names, &it, &key, &value))
        mem_free(value);
    map_free(&names->names);
    mem_free(names);
}
