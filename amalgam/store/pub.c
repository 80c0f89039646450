/*
 * pub.c - publish and subscribe, and keyspace notifications on top of it.
 *
 * Exact channels hang in lists by hash, equal names next to each other; patterns in one list. The lists
 * hold the subscribers' own structs: nothing is allocated per subscription but the heads, which double.
 * ks_notify costs one test of a mask while notifications are off.
 * Threads: under the store's lock; deliver runs inside it. Tested by tests/unit/store/test_events.c.
 */
#include "base/glob.h"
#include "store/keys.h"

enum { PUB_HEADS_MIN = 64 };

struct pub {
    struct ks_sub **head;
    size_t heads, exact;
    struct ks_sub *patterns;
    uint32_t notify; /* bits by the rows of pub_letters */
    char notify_text[24];
};

void pub_init(struct store *st)
{
    st->pub = mem_zalloc(sizeof *st->pub);
}

void pub_free(struct store *st)
{
    mem_free(st->pub->head);
    mem_free(st->pub);
}

/* Behind an equal name if there is one, so that ks_channels can count runs. */
static void pub_insert(struct pub *p, struct ks_sub *s)
{
    struct ks_sub **head = &p->head[table_hash(s->channel) % p->heads], *at = *head;
    while (at && !slice_eq(at->channel, s->channel))
        at = at->next;
    s->prev = at;
    s->next = at ? at->next : *head;
    if (s->next)
        s->next->prev = s;
    if (at)
        at->next = s;
    else
        *head = s;
}

static void pub_grow(struct pub *p)
{
    struct ks_sub **old = p->head;
    size_t n = p->heads;
    p->heads = n ? n * 2 : PUB_HEADS_MIN;
    p->head = mem_zalloc(p->heads * sizeof *p->head);
    for (size_t i = 0; i < n; i++)
        for (struct ks_sub *s = old[i], *next; s; s = next) {
            next = s->next;
            pub_insert(p, s);
        }
    mem_free(old);
}

void ks_subscribe(struct store *st, struct ks_sub *s)
{
    struct pub *p = st->pub;
    if (s->is_pattern) {
        s->prev = NULL;
        s->next = p->patterns;
        if (s->next)
            s->next->prev = s;
        p->patterns = s;
        return;
    }
    if (p->exact >= p->heads)
        pub_grow(p);
    pub_insert(p, s);
    p->exact++;
}

void ks_unsubscribe(struct store *st, struct ks_sub *s)
{
    struct pub *p = st->pub;
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else if (s->is_pattern)
        p->patterns = s->next;
    else
        p->head[table_hash(s->channel) % p->heads] = s->next;
    s->next = s->prev = NULL;
    p->exact -= !s->is_pattern;
}

size_t ks_publish(struct store *st, struct slice channel, struct slice message)
{
    struct pub *p = st->pub;
    size_t n = 0;
    struct ks_sub *next;
    for (struct ks_sub *s = p->heads ? p->head[table_hash(channel) % p->heads] : NULL; s; s = next) {
        next = s->next;
        if (slice_eq(s->channel, channel)) {
            s->deliver(s->ctx, s, channel, message);
            n++;
        }
    }
    for (struct ks_sub *s = p->patterns; s; s = next) {
        next = s->next;
        if (glob_match(s->channel, channel, false)) {
            s->deliver(s->ctx, s, channel, message);
            n++;
        }
    }
    return n;
}

void ks_channels(struct store *st, void (*each)(void *ctx, struct slice channel, size_t subscribers),
                 void *ctx)
{
    struct pub *p = st->pub;
    for (size_t i = 0; i < p->heads; i++) {
        for (struct ks_sub *s = p->head[i], *run; s; s = run) {
            size_t n = 0;
            for (run = s; run && slice_eq(run->channel, s->channel); run = run->next)
                n++;
            each(ctx, s->channel, n);
        }
    }
}

/* ---- notify-keyspace-events ---- */

/* Redis' letters in the order in which CONFIG GET prints them; the first ten are what A stands for. */
static const char pub_letters[] = "g$lshzxetdnKEm";
enum { PUB_ALL = (1 << 10) - 1, PUB_KEYSPACE = 1 << 11, PUB_KEYEVENT = 1 << 12 };

static uint32_t pub_bit(char c)
{
    const char *at = c ? strchr(pub_letters, c) : NULL;
    return at ? 1u << (at - pub_letters) : 0;
}

enum rc store_set_notify(struct store *st, struct slice flags)
{
    struct pub *p = st->pub;
    uint32_t mask = 0;
    for (size_t i = 0; i < flags.n; i++) {
        uint32_t bit = flags.p[i] == 'A' ? (uint32_t)PUB_ALL : pub_bit(flags.p[i]);
        if (!bit)
            return RC_BADINPUT;
        mask |= bit;
    }
    p->notify = mask;
    char *to = p->notify_text;
    bool all = (mask & PUB_ALL) == PUB_ALL;
    if (all)
        *to++ = 'A';
    for (const char *c = pub_letters; *c; c++)
        if (mask & pub_bit(*c) && !(all && pub_bit(*c) & PUB_ALL))
            *to++ = *c;
    *to = '\0';
    return RC_OK;
}

struct slice store_notify(const struct store *st)
{
    return slice_str(st->pub->notify_text);
}

static void pub_event(struct store *st, const char *kind, int db, struct slice name, struct slice message)
{
    struct buf b;
    buf_init(&b, 0);
    buf_fmt(&b, "__%s@%d__:", kind, db);
    buf_slice(&b, name);
    (void)ks_publish(st, buf_all(&b), message);
    buf_free(&b);
}

void ks_notify(struct store *st, char class, const char *event, struct slice key, int db)
{
    uint32_t mask = st->pub->notify;
    if (LIKELY(!(mask & pub_bit(class))) || st->loading)
        return;
    if (mask & PUB_KEYSPACE)
        pub_event(st, "keyspace", db, key, slice_str(event));
    if (mask & PUB_KEYEVENT)
        pub_event(st, "keyevent", db, slice_str(event), key);
}
