/*
 * throttle.c - wrong credentials are counted, and who sends too many of them waits.
 *
 * Steps that look at a credential (apiKeyAuth, basicAuth, hmacAuth, ldap) ask throttle_refuses before they
 * look, and say throttle_wrong when it was not right. It counts at the end of the decision and only if
 * that is a denial: what another branch of a booleanExpr let in was no guess. Three counts: by client
 * address (IPv6: its /64), by account and address, by account. The last one alone never refuses an address that
 * has not failed for that account, so nobody can lock somebody else out; it takes from each new address
 * all tries but one. A credential that was right from the same address lately goes on while others of
 * that address wait: a broken client does not stop its neighbours.
 *
 * A count is a bucket that leaks (GCRA): one word holds the time at which it will be empty, with a tag of
 * its key. Tables of a fixed size, sets of four words, atomics and no lock; the word that is empty soonest
 * gives way, so many addresses push out small counts and never a hot one. Nothing of a credential is
 * kept but bits of a keyed hash. A check reads three words and writes none, or one in a minute.
 * Threads: any. Owned by who opened it. Tested by tests/unit/policy/test_throttle.c and test_attacks.c.
 */
#include "base/log.h"
#include "base/metric.h"
#include "policy/inside.h"

enum { THROTTLE_SETS = 16384, THROTTLE_WAYS = 4, THROTTLE_TRIES = 16, THROTTLE_TIME_BITS = 40 };
enum { THROTTLE_RIGHT_MS = 10 * 60 * 1000, THROTTLE_FRESH_MS = 60 * 1000, THROTTLE_SPREAD = 10, THROTTLE_SLACK_MS = 1000, THROTTLE_SKEW_MS = 10000 };
static const int64_t throttle_epoch_ms = 1577836800000; /* 2020; 40 bits of milliseconds last until 2054 */

struct throttle_rate {
    int64_t limit, interval_ms; /* limit 0: not counted */
};
struct throttle {
    struct throttle_rate address, pair, account;
    struct cidr exempt[THROTTLE_EXEMPT_MAX];
    size_t exempt_n;
    uint64_t wrong[THROTTLE_SETS][THROTTLE_WAYS], right[THROTTLE_SETS][THROTTLE_WAYS]; /* atomics */
};
enum throttle_kind { THROTTLE_ADDRESS, THROTTLE_PAIR, THROTTLE_ACCOUNT, THROTTLE_RIGHT };

static struct metric throttle_metrics[] = {
    {"postern_credentials_wrong_total", NULL, "Denials for a wrong credential.", METRIC_COUNTER, 0, NULL, NULL},
    {"postern_credentials_throttled_total", "by=\"address\"", "Credentials that were not looked at, after too many wrong ones.",
     METRIC_COUNTER, 0, NULL, NULL},
    {"postern_credentials_throttled_total", "by=\"account\"", "Credentials that were not looked at, after too many wrong ones.",
     METRIC_COUNTER, 0, NULL, NULL},
};

void throttle_metrics_join(void)
{
    metric_join(throttle_metrics, ARRAY_LEN(throttle_metrics));
}

static struct throttle_rate throttle_rate(uint32_t limit, int64_t window_ms)
{
    return (struct throttle_rate){limit, limit ? MAX(window_ms / limit, 1) : 0};
}

struct throttle *throttle_open(const struct throttle_opts *o)
{
    struct throttle *t;

    if (o->address_failures == 0 && o->account_failures == 0)
        return NULL;
    t = mem_zalloc(sizeof *t);
    t->address = throttle_rate(o->address_failures, o->window_ms);
    t->pair = throttle_rate(o->account_failures, o->window_ms);
    t->account = throttle_rate(o->account_failures * THROTTLE_SPREAD, o->window_ms);
    t->exempt_n = MIN(o->exempt_n, (size_t)THROTTLE_EXEMPT_MAX);
    for (size_t i = 0; i < t->exempt_n; i++)
        t->exempt[i] = o->exempt[i];
    return t;
}

void throttle_close(struct throttle *t)
{
    mem_free(t);
}

/* ---- words ---- */

static uint64_t throttle_time(int64_t ms)
{
    return (uint64_t)MIN(MAX(ms - throttle_epoch_ms, 0), (INT64_C(1) << THROTTLE_TIME_BITS) - 1);
}

static uint64_t *throttle_set(uint64_t table[][THROTTLE_WAYS], uint64_t key)
{
    return table[key % THROTTLE_SETS];
}

static uint64_t throttle_tag(uint64_t key)
{
    return key >> THROTTLE_TIME_BITS << THROTTLE_TIME_BITS;
}

static uint64_t throttle_until(uint64_t word)
{
    return word & ((UINT64_C(1) << THROTTLE_TIME_BITS) - 1);
}

/* Its time, or 0 when there is no word of this key or its time is over. Well beyond `most`
 * the clock was set back; a little beyond, another thread read it later. */
static uint64_t throttle_read(uint64_t table[][THROTTLE_WAYS], uint64_t key, uint64_t now, uint64_t most)
{
    const uint64_t *set = throttle_set(table, key);

    for (size_t i = 0; i < THROTTLE_WAYS; i++) {
        uint64_t word = __atomic_load_n(&set[i], __ATOMIC_RELAXED), until = throttle_until(word);
        if (word != 0 && throttle_tag(word) == throttle_tag(key))
            return until > now && until <= now + most + THROTTLE_SKEW_MS ? until : 0;
    }
    return 0;
}

/* The word of this key, or the one that is over soonest. */
static uint64_t *throttle_word(uint64_t table[][THROTTLE_WAYS], uint64_t key, uint64_t *word)
{
    uint64_t *set = throttle_set(table, key), *least = NULL;

    for (size_t i = 0; i < THROTTLE_WAYS; i++) {
        uint64_t w = __atomic_load_n(&set[i], __ATOMIC_RELAXED);
        if (w != 0 && throttle_tag(w) == throttle_tag(key)) {
            *word = w;
            return &set[i];
        }
        if (!least || throttle_until(w) < throttle_until(*word)) {
            least = &set[i];
            *word = w;
        }
    }
    return least;
}

/* `more` on top of what there is, at most `most` from now. When many threads write one set at the same
 * moment it gives up after some tries. */
static void throttle_raise(uint64_t table[][THROTTLE_WAYS], uint64_t key, uint64_t now, uint64_t more, uint64_t most)
{
    for (int i = 0; i < THROTTLE_TRIES; i++) {
        uint64_t old = 0, *at = throttle_word(table, key, &old), until = now;
        if (throttle_tag(old) == throttle_tag(key) && throttle_until(old) <= now + most + THROTTLE_SKEW_MS)
            until = MAX(now, throttle_until(old));
        until = MIN(until + more, now + most);
        if (__atomic_compare_exchange_n(at, &old, throttle_tag(key) | until, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
    }
}

/* ---- keys ---- */

static uint64_t throttle_key(enum throttle_kind kind, const struct policy_ask *q, uint64_t what)
{
    struct {
        uint64_t kind, what;
        uint8_t address[16];
    } key = {kind, what, {0}};
    static const uint8_t v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (kind != THROTTLE_ACCOUNT && q->has_source_ip)
        memcpy(key.address, q->source_ip.b, memcmp(q->source_ip.b, v4, sizeof v4) == 0 ? 16 : 8);
    return hash_bytes(&key, sizeof key);
}

static bool throttle_exempt(const struct throttle *t, const struct policy_ask *q)
{
    for (size_t i = 0; i < t->exempt_n && q->has_source_ip; i++)
        if (cidr_has(&t->exempt[i], &q->source_ip))
            return true;
    return false;
}

/* ---- asking ---- */

/* Milliseconds until one more try is allowed, 0: now. any: a single count is too many. */
static int64_t throttle_wait(struct throttle *t, const struct throttle_rate *r, uint64_t key, int64_t now_ms, bool any)
{
    uint64_t now = throttle_time(now_ms), until;
    int64_t spare;

    if (r->limit == 0)
        return 0;
    until = throttle_read(t->wrong, key, now, (uint64_t)(r->limit * r->interval_ms));
    /* threads read the clock at different moments: a little more is no reason to refuse */
    spare = any ? 0 : (r->limit - 1) * r->interval_ms + MIN(r->interval_ms / 2, THROTTLE_SLACK_MS);
    return MAX((int64_t)(until - MIN(now, until)) - spare, 0);
}

static int64_t throttle_account_wait(struct throttle *t, const struct decision *d)
{
    uint64_t pair = throttle_key(THROTTLE_PAIR, d->ask, d->account);
    int64_t wait = throttle_wait(t, &t->pair, pair, d->c->now_ms, false);

    if (wait > 0 || throttle_wait(t, &t->pair, pair, d->c->now_ms, true) == 0)
        return wait;
    return throttle_wait(t, &t->account, throttle_key(THROTTLE_ACCOUNT, d->ask, d->account), d->c->now_ms, false);
}

static void throttle_log(struct decision *d, const struct step *s, struct slice reason)
{
    char address[46];
    size_t n = d->ask->has_source_ip ? ip_format(&d->ask->source_ip, address) : 0;

    if (d->c->now_ms - d->c->throttle_log_ms < 1000) /* at most one line a second; the counter has them all */
        return;
    d->c->throttle_log_ms = d->c->now_ms;
    log_event(LOG_WARN, "policy.throttled", "policy=%.*s reason=%.*s client=%.*s decision=%s", SFMT(s->policy),
              SFMT(reason), n ? (int)n : 1, n ? address : "-", d->v->id);
}

static bool throttle_deny(struct decision *d, const struct step *s, bool by_account, int64_t wait_ms)
{
    struct slice reason = by_account ? S("account_throttled") : S("address_throttled");

    metric_add(&throttle_metrics[by_account ? 2 : 1], 1);
    d->throttled = true;
    throttle_log(d, s, reason);
    decision_deny(d, 429, reason,
                  by_account ? S("too many wrong credentials for this account: this one was not looked at")
                             : S("too many wrong credentials from this address: this one was not looked at"), s->rule);
    decision_client(d, S("Retry-After"), arena_fmt(d->arena, "%lld", (long long)(wait_ms + 999) / 1000));
    return true;
}

bool throttle_refuses(struct decision *d, const struct step *s, struct slice account, struct slice credential)
{
    struct throttle *t = d->c->opts.throttle;
    int64_t wait = 0;
    bool by_account = false;

    d->account = account.n ? hash_bytes_seed(account.p, account.n, hash_bytes(s->policy.p, s->policy.n)) | 1 : 0;
    if (!t || throttle_exempt(t, d->ask))
        return false;
    if (d->ask->has_source_ip)
        wait = throttle_wait(t, &t->address, throttle_key(THROTTLE_ADDRESS, d->ask, 0), d->c->now_ms, false);
    if (wait == 0 && d->account) {
        wait = throttle_account_wait(t, d);
        by_account = true;
    }
    if (LIKELY(wait == 0))
        return false;
    if (credential.n && throttle_read(t->right, throttle_key(THROTTLE_RIGHT, d->ask, hash_bytes(credential.p, credential.n)),
                                      throttle_time(d->c->now_ms), THROTTLE_RIGHT_MS))
        return false;
    return throttle_deny(d, s, by_account, wait);
}

void throttle_right(struct decision *d, struct slice credential)
{
    struct throttle *t = d->c->opts.throttle;
    uint64_t now = throttle_time(d->c->now_ms), key;

    d->account = 0;
    if (!t || !d->ask->has_source_ip)
        return;
    key = throttle_key(THROTTLE_RIGHT, d->ask, hash_bytes(credential.p, credential.n));
    if (UNLIKELY(throttle_read(t->right, key, now + THROTTLE_RIGHT_MS - THROTTLE_FRESH_MS, THROTTLE_FRESH_MS) == 0))
        throttle_raise(t->right, key, now, THROTTLE_RIGHT_MS, THROTTLE_RIGHT_MS);
}

static void throttle_add(struct decision *d, const struct throttle_rate *r, enum throttle_kind kind, uint64_t what)
{
    struct throttle *t = d->c->opts.throttle;

    if (r->limit > 0)
        throttle_raise(t->wrong, throttle_key(kind, d->ask, what), throttle_time(d->c->now_ms), (uint64_t)r->interval_ms,
                       (uint64_t)(r->limit * r->interval_ms));
}

void throttle_count(struct decision *d)
{
    struct throttle *t = d->c->opts.throttle;

    metric_add(&throttle_metrics[0], 1);
    if (!t || throttle_exempt(t, d->ask))
        return;
    if (d->ask->has_source_ip)
        throttle_add(d, &t->address, THROTTLE_ADDRESS, 0);
    if (d->account) {
        throttle_add(d, &t->pair, THROTTLE_PAIR, d->account);
        throttle_add(d, &t->account, THROTTLE_ACCOUNT, d->account);
    }
}
