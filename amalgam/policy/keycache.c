/*
 * keycache.c - parsed API keys, so that a check reads no JSON and takes no lock.
 *
 * One per context (thread). An entry is filled from the store under its lock and tracked there
 * (ks_track); any later change of any tracked key moves store_tracked_version, and the whole cache is
 * dropped at the next look: revoking a key counts from the very next check. Absent keys are not kept:
 * a key made a moment ago works at once. Bounded: when full it starts anew.
 * No allocation when the key is there. Tested by tests/unit/policy/test_keys.c.
 */
#include "policy/inside.h"
#include "wire/cred.h"

enum { KEYCACHE_MAX = 16384, KEYCACHE_JSON_MAX = 65536, KEYCACHE_NOTE_MS = 60000 };

struct keycache_item { /* one block with all its strings behind it */
    struct key_entry entry;
    struct keycache_item *next;
    size_t bytes;
    int64_t noted_ms; /* when its use was last told to the store */
};
struct key_cache {
    struct map map;
    struct keycache_item *items;
    struct keycache_item *dead; /* verdicts of this batch may still point into them */
    uint64_t version;
};

void key_cache_sweep(struct key_cache *k)
{
    for (struct keycache_item *i = k->dead, *next; i; i = next) {
        next = i->next;
        mem_wipe(i, i->bytes);
        mem_free(i);
    }
    k->dead = NULL;
}

static void keycache_clear(struct key_cache *k)
{
    struct keycache_item **end = &k->dead;

    while (*end)
        end = &(*end)->next;
    *end = k->items;
    k->items = NULL;
    map_free(&k->map);
    map_init(&k->map);
}

struct key_cache *key_cache_open(void)
{
    struct key_cache *k = mem_zalloc(sizeof *k);

    map_init(&k->map);
    return k;
}

void key_cache_close(struct key_cache *k)
{
    keycache_clear(k);
    key_cache_sweep(k);
    map_free(&k->map);
    mem_free(k);
}

size_t key_cache_count(const struct key_cache *k)
{
    return k->map.n;
}

/* 0: never. What is no number counts as long gone: a key that cannot be judged is not valid. */
static int64_t keycache_seconds(struct slice s)
{
    int64_t n = 0;

    if (s.n == 0 || slice_eq(s, S("0")))
        return 0;
    return slice_i64(s, &n) && n > 0 && n < INT64_MAX / 1000 ? n * 1000 : 1;
}

int64_t key_expires_ms(const struct field_pair *meta, size_t n)
{
    int64_t least = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t at = 0;
        if (slice_eq(meta[i].name, S("expires-ts-unix")) ||
            slice_eq(meta[i].name, S("rotated-until-ts-unix")))
            at = keycache_seconds(meta[i].value);
        if (at > 0 && (least == 0 || at < least))
            least = at;
    }
    return least;
}

static struct slice keycache_copy(char **at, struct slice s)
{
    struct slice r = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return r;
}

static struct keycache_item *keycache_make(struct slice hash, const struct keyrec *rec,
                                           int64_t entry_expires_ms)
{
    size_t bytes = sizeof(struct keycache_item) + rec->meta_n * sizeof(struct field_pair) + hash.n +
                   rec->uuid.n;
    struct keycache_item *i;
    struct field_pair *meta;
    char *at;

    for (size_t k = 0; k < rec->meta_n; k++)
        bytes += rec->meta[k].name.n + rec->meta[k].value.n;
    i = mem_alloc(bytes);
    i->bytes = bytes;
    i->noted_ms = 0;
    meta = (struct field_pair *)(void *)(i + 1);
    at = (char *)(meta + rec->meta_n);
    for (size_t k = 0; k < rec->meta_n; k++) {
        meta[k].name = keycache_copy(&at, rec->meta[k].name);
        meta[k].value = keycache_copy(&at, rec->meta[k].value);
    }
    i->entry.hash = keycache_copy(&at, hash);
    i->entry.uuid = keycache_copy(&at, rec->uuid);
    i->entry.meta = meta;
    i->entry.meta_n = rec->meta_n;
    i->entry.expires_ms = key_expires_ms(meta, rec->meta_n);
    if (entry_expires_ms > 0 && (i->entry.expires_ms == 0 || entry_expires_ms < i->entry.expires_ms))
        i->entry.expires_ms = entry_expires_ms;
    return i;
}

/* Copies the value out under the lock; parsing happens outside. */
static enum rc keycache_read(struct policy_ctx *c, struct slice hash, struct slice *json,
                             int64_t *expires_ms)
{
    char tmp[KS_TMP];
    enum rc rc = RC_OK;
    struct entry *e;

    store_enter(c->opts.store, c->now_ms);
    e = ks_find(c->opts.store, c->opts.scheme->db, hash, KS_TOUCH);
    if (!e) {
        rc = RC_NOTFOUND;
    } else if (ks_type(e) != V_STRING || ks_str(e, tmp).n > KEYCACHE_JSON_MAX) {
        rc = RC_BADINPUT;
    } else {
        *json = arena_dup(&c->arena, ks_str(e, tmp));
        *expires_ms = ks_expire_ms(e);
        ks_track(c->opts.store, e);
    }
    store_leave(c->opts.store);
    return rc;
}

/* People see when a key was last used; a minute is exact enough. */
static void keycache_note(struct policy_ctx *c, struct keycache_item *i)
{
    if (LIKELY(c->now_ms - i->noted_ms < KEYCACHE_NOTE_MS && c->now_ms >= i->noted_ms))
        return;
    i->noted_ms = c->now_ms;
    store_enter(c->opts.store, c->now_ms);
    keyrec_note_use(c->opts.store, c->opts.scheme->db, i->entry.uuid, c->now_ms);
    store_leave(c->opts.store);
}

static enum rc keycache_fill(struct policy_ctx *c, struct slice hash, const struct key_entry **out)
{
    struct key_cache *k = c->keys;
    struct keycache_item *i;
    struct keyrec rec;
    struct slice json = S("");
    int64_t expires_ms = 0;
    enum rc rc = keycache_read(c, hash, &json, &expires_ms);

    if (rc == RC_OK)
        rc = keyrec_parse(json, &c->arena, &rec);
    if (rc != RC_OK)
        return rc;
    /* with unhashed keys a caller may name any key of the store: the record must be its own */
    if (rec.hash.n > 0 && !slice_eq(rec.hash, hash))
        return RC_NOTFOUND;
    if (k->map.n >= KEYCACHE_MAX)
        keycache_clear(k);
    i = keycache_make(hash, &rec, expires_ms);
    i->next = k->items;
    k->items = i;
    map_put(&k->map, i->entry.hash, i);
    keycache_note(c, i);
    *out = &i->entry;
    return RC_OK;
}

enum rc key_cache_get(struct policy_ctx *c, struct slice api_key, const struct key_entry **out)
{
    char dst[KEYREC_HASH_LEN];
    struct slice hash = keyrec_hash(c->opts.scheme, api_key, dst);
    uint64_t version = store_tracked_version(c->opts.store);
    struct keycache_item *i;

    if (UNLIKELY(version != c->keys->version)) {
        keycache_clear(c->keys);
        c->keys->version = version;
    }
    i = map_get(&c->keys->map, hash);
    if (LIKELY(i && slice_eq_secret(i->entry.hash, hash))) {
        keycache_note(c, i);
        *out = &i->entry;
        return RC_OK;
    }
    return keycache_fill(c, hash, out);
}
