/*
 * expire.c - keys whose time is up, and the other background work: a slice at a time.
 *
 * The index of the table (table_due) names what is due without looking at the rest, so that a key goes,
 * and its "expired" event is sent, at the next tick after its time. Reading a key that is due removes
 * it as well (keys_slot). store_cron is called by a reactor about ten times a second; it takes the lock
 * in slices of at most a few hundred keys, so that commands wait for less than a millisecond.
 * Tested by tests/unit/store/test_events.c with a clock of its own.
 */
#include "base/clock.h"
#include "store/keys.h"

enum { EXPIRE_SLICE = 200, TRASH_SLICE = 2000, CRON_SLICES = 32, CRON_BUDGET_NS = 8000000 };

bool expire_some(struct store *st, size_t max)
{
    struct entry *due[64];
    size_t done = 0;
    for (int db = 0; db < STORE_DBS && done < max; db++) {
        while (st->db[db].expires && done < max) {
            size_t n = table_due(&st->db[db].t, st->now_ms, due, ARRAY_LEN(due));
            if (n == 0)
                break;
            for (size_t i = 0; i < n; i++)
                keys_expire_now(st, db, due[i], table_hash(entry_key(due[i])));
            done += n;
        }
    }
    return done >= max;
}

static bool expire_trash_some(struct store *st)
{
    if (st->trash_n == 0)
        return false;
    if (table_free_some(&st->trash[st->trash_n - 1], entry_free, TRASH_SLICE))
        st->trash_n--;
    return st->trash_n > 0;
}

void store_set_active_expire(struct store *st, bool on)
{
    st->lazy_expire = !on;
}

void store_cron(struct store *st, int64_t now_ms)
{
    int64_t until = clock_mono_ns() + CRON_BUDGET_NS;
    bool more = true;
    for (int i = 0; more && i < CRON_SLICES; i++) {
        store_enter(st, now_ms);
        more = !st->lazy_expire && expire_some(st, EXPIRE_SLICE);
        more = expire_trash_some(st) || more;
        st->peak_bytes = MAX(st->peak_bytes, keys_used_bytes(st));
        store_leave(st);
        more = more && clock_mono_ns() < until;
    }
}
