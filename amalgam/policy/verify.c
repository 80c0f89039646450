/*
 * verify.c - passwords that are slow to check: remembered once right, checked by the pool, never twice at a time.
 *
 * A step asks verify_password. What was right in this thread lately is known by a MAC over stored hash
 * and password, under a key that this thread drew and never writes down: a changed hash is another
 * entry, and no password can be read back. What costs more than about a millisecond goes to the worker
 * pool while the decision waits; requests with the same credentials join the one check that is under
 * way. The pool's queue is bounded: beyond it the answer is busy, which is trouble. Wrong passwords are
 * never remembered. Where there is no pool (command line, portal's own threads) it is done at once.
 *
 * Owns: the table, and one block per check under way, with the only copy of the password, wiped when it
 * is done. Threads: the context's; the pool's thread touches nothing but that block and the stored hash,
 * whose set it keeps. Tested by tests/unit/policy/test_basic.c.
 */
#include "net/pool.h"
#include "policy/inside.h"

enum { VERIFY_SETS = 1024, VERIFY_WAYS = 4, VERIFY_KEEP_MS = 10 * 60 * 1000 };

struct verify_known {
    uint8_t mac[32];
    int64_t until_ms; /* wall clock; 0: empty */
};
struct verify_wait { /* d->wait */
    struct decision *d;
    enum verify_said said;
    struct verify_wait *next;
    struct net_task busy;
};
struct verify_job {
    struct pool_job job;
    struct verify *v; /* NULL: the context has gone */
    struct policy_set *set;
    const struct passwd *passwd;
    uint8_t mac[32];
    struct verify_wait *waits;
    struct verify_job *next, **link;
    bool right;
    size_t n;
    char password[PASSWD_BYTES_MAX];
};
struct verify {
    struct policy_ctx *c;
    struct hmac_key key;
    struct verify_job *jobs; /* under way */
    struct verify_known known[VERIFY_SETS][VERIFY_WAYS];
};

static struct verify *verify_of(struct policy_ctx *c)
{
    uint8_t secret[32];

    if (!c->verify) {
        c->verify = mem_zalloc(sizeof *c->verify);
        c->verify->c = c;
        rand_bytes(secret, sizeof secret);
        hmac_key_init(&c->verify->key, slice_of((const char *)secret, sizeof secret));
        mem_wipe(secret, sizeof secret);
    }
    return c->verify;
}

/* Nobody waits for what is still under way; it ends by itself. */
void verify_close(struct policy_ctx *c)
{
    if (!c->verify)
        return;
    for (struct verify_job *j = c->verify->jobs; j; j = j->next) {
        j->v = NULL;
        j->waits = NULL;
    }
    mem_wipe(c->verify, sizeof *c->verify);
    mem_free(c->verify);
    c->verify = NULL;
}

/* ---- what is known to be right ---- */

static void verify_mac(const struct verify *v, const struct passwd *p, struct slice password,
                       uint8_t mac[32])
{
    char text[sizeof p->salt_raw + sizeof p->hash + 600 + PASSWD_BYTES_MAX];
    uint32_t head[4] = {(uint32_t)p->kind, p->cost, (uint32_t)p->salt.n, (uint32_t)p->text.n};
    struct slice parts[] = {slice_of((const char *)head, sizeof head),
                            slice_of((const char *)p->salt_raw, sizeof p->salt_raw),
                            slice_of((const char *)p->hash, sizeof p->hash), p->salt, p->text, password};
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        MUST(parts[i].n <= sizeof text - n);
        if (parts[i].n)
            memcpy(text + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    hmac_sha256(&v->key, slice_of(text, n), mac);
    mem_wipe(text, n);
}

static struct verify_known *verify_row(struct verify *v, const uint8_t mac[32])
{
    return v->known[(mac[0] | (size_t)mac[1] << 8) % VERIFY_SETS];
}

static bool verify_is_known(struct verify *v, const uint8_t mac[32], int64_t now_ms)
{
    struct verify_known *k = verify_row(v, mac);
    struct slice wanted = slice_of((const char *)mac, 32);

    for (size_t i = 0; i < VERIFY_WAYS; i++)
        if (k[i].until_ms > now_ms && k[i].until_ms <= now_ms + VERIFY_KEEP_MS &&
            slice_eq_secret(slice_of((const char *)k[i].mac, 32), wanted))
            return true;
    return false;
}

/* In the place of the one that ends first. */
static void verify_learn(struct verify *v, const uint8_t mac[32], int64_t now_ms)
{
    struct verify_known *k = verify_row(v, mac), *oldest = k;

    for (size_t i = 1; i < VERIFY_WAYS; i++)
        if (k[i].until_ms < oldest->until_ms)
            oldest = &k[i];
    memcpy(oldest->mac, mac, 32);
    oldest->until_ms = now_ms + VERIFY_KEEP_MS;
}

/* ---- one that is checked ---- */

static void verify_work(struct pool_job *job)
{
    struct verify_job *j = CONTAINER_OF(job, struct verify_job, job);

    j->right = passwd_verify(j->passwd, slice_of(j->password, j->n));
    mem_wipe(j->password, sizeof j->password);
}

static void verify_free(struct verify_job *j)
{
    policy_set_drop(j->set);
    mem_wipe(j->password, sizeof j->password);
    mem_free(j);
}

static void verify_done(struct pool_job *job, struct reactor *r)
{
    struct verify_job *j = CONTAINER_OF(job, struct verify_job, job);
    struct verify_wait *w = j->waits;

    (void)r;
    if (j->v) {
        *j->link = j->next;
        if (j->next)
            j->next->link = j->link;
        if (j->right)
            verify_learn(j->v, j->mac, j->v->c->now_ms);
    }
    while (w) {
        struct verify_wait *next = w->next; /* w goes with its decision */
        w->said = j->right ? VERIFY_RIGHT : VERIFY_WRONG;
        decision_wake(w->d);
        w = next;
    }
    verify_free(j);
}

static void verify_say_busy(struct net_task *t, struct reactor *r)
{
    struct verify_wait *w = CONTAINER_OF(t, struct verify_wait, busy);

    (void)r;
    w->said = VERIFY_BUSY;
    decision_wake(w->d);
}

static struct verify_job *verify_find(struct verify *v, const uint8_t mac[32])
{
    for (struct verify_job *j = v->jobs; j; j = j->next)
        if (slice_eq_secret(slice_of((const char *)j->mac, 32), slice_of((const char *)mac, 32)))
            return j;
    return NULL;
}

static struct verify_job *verify_start(struct decision *d, const struct passwd *p,
                                       struct slice password, const uint8_t mac[32])
{
    struct verify *v = d->c->verify;
    struct verify_job *j = mem_zalloc(sizeof *j);

    j->job = (struct pool_job){.work = verify_work, .done = verify_done};
    j->v = v;
    j->set = d->rt->set;
    policy_set_keep(j->set);
    j->passwd = p;
    j->n = password.n;
    memcpy(j->mac, mac, 32);
    if (password.n)
        memcpy(j->password, password.p, password.n);
    if (pool_submit(d->c->opts.pool, d->c->opts.reactor, &j->job) != RC_OK) {
        verify_free(j);
        return NULL;
    }
    j->next = v->jobs;
    j->link = &v->jobs;
    if (j->next)
        j->next->link = &j->next;
    v->jobs = j;
    return j;
}

void verify_begin(struct decision *d, const struct passwd *p, struct slice password)
{
    struct verify_wait *w = ARENA_NEW(d->arena, struct verify_wait);
    struct verify *v = verify_of(d->c);
    struct verify_job *j;
    uint8_t mac[32];

    d->wait = w;
    w->d = d;
    w->said = VERIFY_WAIT;
    verify_mac(v, p, password, mac);
    j = verify_find(v, mac);
    if (!j)
        j = verify_start(d, p, password, mac);
    if (j) {
        w->next = j->waits;
        j->waits = w;
        return;
    }
    w->busy.run = verify_say_busy;
    reactor_post(d->c->opts.reactor, &w->busy);
}

enum verify_said verify_password(struct decision *d, const struct passwd *p, struct slice password)
{
    struct verify *v = verify_of(d->c);
    bool quick = p->kind == PASSWD_SHA1; /* one digest, as the MAC itself */
    uint8_t mac[32];

    if (d->wait)
        return ((const struct verify_wait *)d->wait)->said;
    if (password.n > PASSWD_BYTES_MAX)
        return VERIFY_WRONG;
    if (quick)
        return passwd_verify(p, password) ? VERIFY_RIGHT : VERIFY_WRONG;
    verify_mac(v, p, password, mac);
    if (verify_is_known(v, mac, d->c->now_ms))
        return VERIFY_RIGHT;
    if (d->c->opts.pool && passwd_blocks(p, password))
        return VERIFY_WAIT;
    if (!passwd_verify(p, password))
        return VERIFY_WRONG;
    verify_learn(v, mac, d->c->now_ms);
    return VERIFY_RIGHT;
}
