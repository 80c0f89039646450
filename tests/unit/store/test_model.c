/*
 * test_model.c - random operations against a plain model: in memory, through close and open, through
 * DEBUG RELOAD, and through a crash (a copy of the directory taken while the store runs).
 */
#include "st.h"

enum { DBS = 3, KEYS = 14, FIELDS = 8, VALUE_MAX = 40000 };

struct value {
    enum { ABSENT, STRING, HASH } kind;
    int64_t expire_ms;
    size_t n;
    char *p; /* VALUE_MAX */
    struct { bool on; size_t n; char p[120]; } field[FIELDS];
};
static struct value model[DBS][KEYS];
static uint64_t rng = 88172645463325252u;
static int64_t now;

static uint64_t rnd(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (rng >> 11) % n;
}

static uint64_t seed_more; /* first argument, for a longer hunt */
static char noise[VALUE_MAX * 2];
static struct slice rnd_bytes(size_t max)
{
    return slice_of(noise + rnd(VALUE_MAX), rnd(max + 1));
}

static struct slice key_name(int k)
{
    static char text[4][80];
    static int turn;
    char *t = text[turn++ % 4];
    int n = k % 3 ? snprintf(t, 80, "key:%d", k)
                  : snprintf(t, 80, "a much longer name of a key, to be of another class of size: %d", k);
    return slice_of(t, (size_t)n);
}

static struct value *live(int db, int k)
{
    struct value *v = &model[db][k];
    if (v->kind != ABSENT && v->expire_ms && v->expire_ms <= now)
        v->kind = ABSENT;
    return v;
}

static void set_bytes(struct value *v, struct slice s, int64_t expire)
{
    v->kind = STRING;
    v->expire_ms = expire;
    memcpy(v->p, s.p, s.n);
    v->n = s.n;
}

static void copy_value(struct value *to, const struct value *from)
{
    char *p = to->p;
    memcpy(p, from->p, VALUE_MAX);
    *to = *from;
    to->p = p;
}

static int64_t rnd_expire(void)
{
    return rnd(3) ? 0 : now + 1 + (int64_t)rnd(400);
}

static void op_set(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    int64_t at = rnd_expire();
    struct slice s = rnd(8) ? rnd_bytes(60) : rnd_bytes(5000);
    char number[24];
    if (rnd(4) == 0)
        s = slice_of(number, fmt_i64(number, (int64_t)rnd(1000) - 500));
    if (rnd(6) == 0) {
        ks_set(st, db, key_name(k), s, KS_KEEP_TTL);
        set_bytes(v, s, v->kind ? v->expire_ms : 0);
        return;
    }
    ks_set(st, db, key_name(k), s, at);
    set_bytes(v, s, at);
}

static void op_incr(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    int64_t n = 0, by = (int64_t)rnd(100) - 50, out = 0, at = rnd_expire();
    enum rc want = RC_OK;
    if (v->kind == HASH)
        want = RC_WRONGTYPE;
    else if (v->kind == STRING && !slice_i64(slice_of(v->p, v->n), &n))
        want = RC_BADINPUT;
    enum rc rc = ks_incr(st, db, key_name(k), by, at, &out);
    T_INT(rc, want);
    if (rc != RC_OK)
        return;
    T_INT(out, n + by);
    char text[24];
    set_bytes(v, slice_of(text, fmt_i64(text, n + by)), v->kind == STRING ? v->expire_ms : at);
}

static void op_change(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    struct slice s = rnd(4) ? rnd_bytes(40) : rnd_bytes(2500);
    size_t len, was = v->kind == STRING ? v->n : 0;
    bool append = rnd(2);
    size_t at = append ? was : rnd(was + 20);
    if (at + s.n > VALUE_MAX)
        return;
    enum rc rc = append ? ks_append(st, db, key_name(k), s, &len) : ks_setrange(st, db, key_name(k), at, s, &len);
    if (v->kind == HASH) {
        T_INT(rc, RC_WRONGTYPE);
        return;
    }
    T_INT(rc, RC_OK);
    if (s.n == 0 && (v->kind == STRING || !append))
        return;
    if (v->kind == ABSENT)
        set_bytes(v, S(""), 0);
    if (at > v->n)
        memset(v->p + v->n, 0, at - v->n);
    memcpy(v->p + at, s.p, s.n);
    v->n = MAX(v->n, at + s.n);
    T_INT(len, v->n);
}

static void op_hash(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    char name[16];
    size_t f = rnd(FIELDS);
    snprintf(name, sizeof name, "field%zu", f);
    bool created = false;
    if (rnd(3) == 0) {
        enum rc rc = ks_hdel(st, db, key_name(k), sl(name));
        bool there = v->kind == HASH && v->field[f].on;
        T_INT(rc, v->kind == STRING ? RC_WRONGTYPE : there ? RC_OK : RC_NOTFOUND);
        if (!there)
            return;
        v->field[f].on = false;
        size_t left = 0;
        for (size_t i = 0; i < FIELDS; i++)
            left += v->field[i].on;
        v->kind = left ? HASH : ABSENT;
        return;
    }
    struct slice s = rnd_bytes(rnd(10) ? 30 : 110);
    enum rc rc = ks_hset(st, db, key_name(k), sl(name), s, &created);
    T_INT(rc, v->kind == STRING ? RC_WRONGTYPE : RC_OK);
    if (rc != RC_OK)
        return;
    if (v->kind == ABSENT) {
        for (size_t i = 0; i < FIELDS; i++)
            v->field[i].on = false;
        v->kind = HASH;
        v->expire_ms = 0;
    }
    T(created == !v->field[f].on);
    v->field[f].on = true;
    v->field[f].n = s.n;
    memcpy(v->field[f].p, s.p, s.n);
}

static void op_rename(struct store *st, int db, int k)
{
    int to_db = (int)rnd(DBS), to = (int)rnd(KEYS);
    bool replace = rnd(3), keep = rnd(2);
    struct value *v = live(db, k), *w = live(to_db, to);
    enum rc rc = ks_rename(st, db, key_name(k), to_db, key_name(to), replace, keep);
    if (v->kind == ABSENT) {
        T_INT(rc, RC_NOTFOUND);
    } else if (v == w) {
        T_INT(rc, replace && !keep ? RC_OK : RC_CONFLICT);
    } else if (w->kind != ABSENT && !replace) {
        T_INT(rc, RC_CONFLICT);
    } else {
        T_INT(rc, RC_OK);
        copy_value(w, v);
        if (!keep)
            v->kind = ABSENT;
    }
}

static void op_rare(struct store *st, int db)
{
    int other = (int)rnd(DBS);
    if (rnd(2)) {
        ks_swap(st, db, other);
        for (int k = 0; k < KEYS && other != db; k++) {
            struct value t = model[db][k];
            model[db][k] = model[other][k];
            model[other][k] = t;
        }
        return;
    }
    bool all = rnd(4) == 0;
    ks_flush(st, all ? -1 : db);
    for (int d = 0; d < DBS; d++)
        for (int k = 0; k < KEYS && (all || d == db); k++)
            model[d][k].kind = ABSENT;
}

static void op_expire(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    int64_t at = rnd(3) ? now + (int64_t)rnd(300) - 20 : 0;
    bool done = ks_expire_at(st, db, key_name(k), at);
    T(done == (v->kind != ABSENT && (at != 0 || v->expire_ms != 0)));
    if (v->kind == ABSENT)
        return;
    v->expire_ms = at;
    if (at && at <= now)
        v->kind = ABSENT;
}

static void op(struct store *st)
{
    int db = (int)rnd(DBS), k = (int)rnd(KEYS);
    uint64_t what = rnd(1000);
    if (what < 250)
        op_set(st, db, k);
    else if (what < 380)
        op_incr(st, db, k);
    else if (what < 520)
        op_change(st, db, k);
    else if (what < 780)
        op_hash(st, db, k);
    else if (what < 860)
        T(ks_del(st, db, key_name(k)) == (live(db, k)->kind != ABSENT)), model[db][k].kind = ABSENT;
    else if (what < 930)
        op_expire(st, db, k);
    else if (what < 994)
        op_rename(st, db, k);
    else
        op_rare(st, db);
}

static void check_key(struct store *st, int db, int k)
{
    struct value *v = live(db, k);
    struct entry *e = ks_find(st, db, key_name(k), KS_NOTOUCH);
    char tmp[KS_TMP];
    T_ROW("db %d key %d", db, k);
    T((e != NULL) == (v->kind != ABSENT));
    if (!e || v->kind == ABSENT)
        return;
    T_INT(ks_expire_ms(e), v->expire_ms);
    T_INT(ks_type(e), v->kind == STRING ? V_STRING : V_HASH);
    if (ks_type(e) == V_STRING && v->kind == STRING) {
        T(slice_eq(ks_str(e, tmp), slice_of(v->p, v->n)));
    } else if (ks_type(e) == V_HASH && v->kind == HASH) {
        uint64_t n = 0;
        for (size_t i = 0; i < FIELDS; i++) {
            char name[16];
            snprintf(name, sizeof name, "field%zu", i);
            struct slice got = {0};
            bool there = ks_hget(e, sl(name), &got);
            T(there == v->field[i].on && (!there || slice_eq(got, slice_of(v->field[i].p, v->field[i].n))));
            n += v->field[i].on;
        }
        T_INT(ks_hlen(e), n);
    }
}

static void check_all(struct store *st)
{
    store_enter(st, now);
    for (int db = 0; db < DBS; db++) {
        uint64_t n = 0;
        for (int k = 0; k < KEYS; k++) {
            check_key(st, db, k);
            n += model[db][k].kind != ABSENT;
        }
        T_INT(ks_count(st, db), n);
    }
    store_leave(st);
    T_ROW("%s", "");
}

static void model_init(uint64_t seed)
{
    rng = (seed + seed_more) * 2654435761u + 88172645463325252u;
    now = st_now;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)rnd(256);
    for (int db = 0; db < DBS; db++)
        for (int k = 0; k < KEYS; k++) {
            if (!model[db][k].p)
                model[db][k].p = mem_zalloc(VALUE_MAX + 8);
            model[db][k].kind = ABSENT;
        }
}

static void batch(struct store *st, bool atomic)
{
    store_enter(st, now);
    if (atomic)
        ks_atomic_begin(st);
    for (uint64_t i = 0, n = 1 + rnd(20); i < n; i++)
        op(st);
    if (atomic)
        ks_atomic_end(st);
    store_leave(st);
    if (rnd(8) == 0)
        now += (int64_t)rnd(60);
    if (rnd(20) == 0)
        store_cron(st, now);
}

static void memory_equals_model(void)
{
    model_init(1);
    struct store *st = st_memory();
    for (int i = 0; i < 6000; i++) {
        batch(st, false);
        if (i % 50 == 0)
            check_all(st);
    }
    check_all(st);
    struct store_stats s;
    store_enter(st, now);
    ks_flush(st, -1);
    store_leave(st);
    store_stats(st, &s);
    T_INT(s.used_bytes, 0);
    store_close(st);
}

static void survives_close_and_open(void)
{
    char dir[200];
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    for (uint64_t seed = 1; seed <= 3; seed++) {
        model_init(seed + 100);
        st_dir_clear(dir);
        for (int round = 0; round < 12; round++) {
            struct store *st = st_disk(dir, (enum store_durability)(round % 3));
            check_all(st);
            for (int i = 0; i < 120; i++)
                batch(st, rnd(3) == 0);
            check_all(st);
            store_close(st);
        }
    }
    st_dir_remove(dir);
}

static void survives_reload(void)
{
    char dir[200];
    struct err e;
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    model_init(7);
    struct store *st = st_disk(dir, STORE_NO);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 40; i++)
            batch(st, rnd(3) == 0);
        T_INT(store_reload(st, &e), RC_OK);
        check_all(st);
    }
    store_close(st);
    st_dir_remove(dir);
}

static void copy_file(const char *from, const char *to)
{
    struct arena a;
    struct slice s;
    arena_init(&a, 4096, 0);
    if (file_read(&a, from, 1u << 30, &s, NULL) == RC_OK)
        MUST(file_write(to, s, 0600, NULL) == RC_OK);
    arena_free(&a);
}

static void copy_dir(const char *from, const char *to)
{
    struct arena a;
    char **names;
    size_t n;
    arena_init(&a, 4096, 0);
    MUST(dir_make(to, 0700, NULL) == RC_OK);
    MUST(dir_list(&a, from, &names, &n, NULL) == RC_OK);
    for (size_t i = 0; i < n; i++) {
        char *f = path_join(&a, from, names[i]), *t = path_join(&a, to, names[i]);
        if (path_is_dir(f))
            copy_dir(f, t);
        else if (strcmp(names[i], "postern.db-shm") != 0)
            copy_file(f, t);
    }
    arena_free(&a);
}

/* What was synced is in a copy of the files, however far the applier is. */
static void survives_a_crash(void)
{
    char dir[200], copy[220];
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    snprintf(copy, sizeof copy, "%s.copy", dir);
    model_init(11);
    struct store *st = st_disk(dir, STORE_NO);
    for (int round = 0; round < 25; round++) {
        struct err e;
        for (int i = 0; i < 60; i++)
            batch(st, rnd(3) == 0);
        if (round % 4 == 1)
            T_INT(store_reload(st, &e), RC_OK);
        store_enter(st, now);
        uint64_t lsn = store_lsn(st);
        store_leave(st);
        T_INT(store_sync(st, lsn), RC_OK);
        T(store_durable_lsn(st) >= lsn && store_written_lsn(st) >= lsn);
        st_dir_clear(copy);
        copy_dir(dir, copy);
        struct store *again = st_disk(copy, STORE_NO);
        check_all(again);
        store_close(again);
    }
    store_close(st);
    st_dir_remove(dir);
    st_dir_remove(copy);
}

int main(int argc, char **argv)
{
    seed_more = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    T_RUN(memory_equals_model);
    T_RUN(survives_close_and_open);
    T_RUN(survives_reload);
    T_RUN(survives_a_crash);
    return t_done();
}
