/*
 * watch.c - WATCH: which clients want to know that a key changed.
 *
 * A fixed number of list heads by the hash of database and key, made at the first WATCH. The lists hold
 * the watchers' own structs. Changes call watch_touch only while anybody watches (keys_touched).
 * Threads: under the store's lock. Tested by tests/unit/store/test_events.c.
 */
#include "store/keys.h"

static struct ks_watch **watch_head(struct store *st, int db, struct slice key)
{
    if (!st->watched)
        st->watched = mem_zalloc(WATCH_HEADS * sizeof(struct ks_watch *));
    return &st->watched[(table_hash(key) + (uint64_t)db) % WATCH_HEADS];
}

void ks_watch(struct store *st, struct ks_watch *w)
{
    (void)keys_slot(st, w->db, w->key, table_hash(w->key)); /* one that expired already is no change */
    struct ks_watch **head = watch_head(st, w->db, w->key);
    w->dirty = false;
    w->prev = NULL;
    w->next = *head;
    if (*head)
        (*head)->prev = w;
    *head = w;
    st->watches++;
}

void ks_unwatch(struct store *st, struct ks_watch *w)
{
    if (w->next)
        w->next->prev = w->prev;
    if (w->prev)
        w->prev->next = w->next;
    else
        *watch_head(st, w->db, w->key) = w->next;
    w->next = w->prev = NULL;
    st->watches--;
}

void watch_touch(struct store *st, int db, struct slice key)
{
    for (struct ks_watch *w = *watch_head(st, db, key); w; w = w->next)
        if (w->db == db && slice_eq(w->key, key))
            w->dirty = true;
}

static bool watch_lives(struct store *st, int db, struct slice key)
{
    struct entry **slot = table_find(&st->db[db].t, key, table_hash(key));
    return slot && (entry_expire(*slot) == 0 || entry_expire(*slot) > st->now_ms);
}

void watch_touch_db(struct store *st, int db, int other)
{
    for (size_t i = 0; st->watches && i < WATCH_HEADS; i++)
        for (struct ks_watch *w = st->watched[i]; w; w = w->next)
            if (w->db == db && (watch_lives(st, db, w->key) || watch_lives(st, other, w->key)))
                w->dirty = true;
}
