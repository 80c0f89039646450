/*
 * apply.c - the applier: reads the log behind the writer and brings SQLite up to it.
 *
 * Begins when the log is longer than a segment or ten seconds old, in turns of at most 16 Ki effects or
 * 4 MiB (eight times that when it hurries): the last value per key and element wins, keys are sorted
 * (one walk through the tree instead of jumps), written in transactions of 1000 keys so that the portal
 * never waits long for the connection; the last one carries applied_lsn. A crash in the middle is
 * harmless: the whole turn is replayed over it. Nothing is applied before it is durable in the log.
 * FLUSH, SWAP and RENAME are done one by one, in the order of the log (apply_in_order). A long string
 * whose range changed is read back from SQLite once per turn and patched here.
 * It rests nine times as long as it works, less when the log grows beyond four segments, not at all
 * beyond eight: that, and niceness, is the low priority. It holds no lock of the store while it works.
 * Threads: its own; applier_drain is called by others. Tested by tests/unit/store/test_model.c and tests/fault/.
 */
#include "store/apply.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    APPLY_EFFECTS = 16 << 10,
    APPLY_BYTES = 4 << 20,
    APPLY_KEYS_PER_TX = 1000,
    APPLY_HURRY = 8, /* times as much at once while catching up or closing: fewer walks through the tree */
    APPLY_AGE_MS = 10000,
    APPLY_TICK_MS = 1000,
    APPLY_NICE = 5,
};

struct applier {
    struct applier_opts o;
    struct db *db;
    struct wal *wal;
    char *log_dir;
    struct replay_map map;
    uint64_t applied;    /* atomic, written by the thread */
    uint64_t drain_lsn;  /* the rest under mu */
    bool stop, failed;
    struct err fault;
    int64_t behind_since_ms; /* 0: nothing to apply */
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t work, done;
};

uint64_t applier_lsn(const struct applier *ap)
{
    return __atomic_load_n(&ap->applied, __ATOMIC_ACQUIRE);
}

/* ---- what a turn collects: the last state of every key it touches ---- */

struct apply_elem {
    struct slice sub, value;
    bool gone;
    struct apply_elem *next;
};
enum apply_base { BASE_KEEP, BASE_PUT, BASE_MAKE };
struct apply_key {
    int db;
    struct slice key;
    bool wipe; /* what SQLite has of it goes first */
    bool expire_set;
    enum apply_base base;
    enum vtype type;
    int64_t expire_ms;
    struct slice value;
    size_t value_cap; /* of a value that was patched and is ours to write */
    uint64_t life; /* counts wipes: elements of an earlier life are not found again */
    struct apply_elem *elems;
    size_t elems_n;
};
struct apply_turn {
    struct applier *ap;
    struct arena a;
    struct map keys, elems;
    size_t effects, bytes, rows;
    uint64_t end;  /* behind the last record of the turn */
    bool in_order; /* the next record must be done effect by effect */
};

static struct apply_key *apply_key_of(struct apply_turn *t, const struct effect *ef)
{
    char small[256];
    struct slice name = {small, ef->key.n + 1};
    char *p = name.n <= sizeof small ? small : arena_alloc(&t->a, name.n);
    p[0] = (char)ef->db;
    if (ef->key.n)
        memcpy(p + 1, ef->key.p, ef->key.n);
    name.p = p;
    struct apply_key *k = map_get(&t->keys, name);
    if (k)
        return k;
    k = ARENA_NEW(&t->a, struct apply_key);
    name = p == small ? arena_dup(&t->a, name) : name;
    k->db = ef->db;
    k->key = slice_from(name, 1);
    (void)map_put(&t->keys, name, k);
    return k;
}

static void apply_elem_of(struct apply_turn *t, struct apply_key *k, const struct effect *ef)
{
    size_t n = 16 + ef->sub.n;
    char *p = arena_alloc(&t->a, n);
    memcpy(p, &k, 8);
    memcpy(p + 8, &k->life, 8);
    if (ef->sub.n)
        memcpy(p + 16, ef->sub.p, ef->sub.n);
    struct apply_elem *el = map_get(&t->elems, slice_of(p, n));
    if (!el) {
        el = ARENA_NEW(&t->a, struct apply_elem);
        el->sub = slice_of(p + 16, ef->sub.n);
        el->next = k->elems;
        k->elems = el;
        k->elems_n++;
        (void)map_put(&t->elems, slice_of(p, n), el);
    }
    el->gone = ef->op == EF_ELEM_DEL;
    el->value = el->gone ? S("") : arena_dup(&t->a, ef->value);
}

struct apply_row {
    struct apply_turn *t;
    struct apply_key *k;
};

static bool apply_read_row(void *ctx, const struct db_row *r)
{
    struct apply_row *row = ctx;
    struct apply_key *k = row->k;
    if (db_int(r, 0) != V_STRING)
        return false;
    k->value = arena_dup(&row->t->a, db_blob(r, 2));
    if (!k->expire_set)
        k->expire_ms = db_int(r, 1);
    return false;
}

/* A range of a string: onto the turn's own value, or onto the one that SQLite has. */
static enum rc apply_patch(struct apply_turn *t, struct apply_key *k, const struct effect *ef, struct err *e)
{
    if (k->base != BASE_PUT) {
        struct apply_row row = {t, k};
        enum rc rc = RC_OK;
        k->value = S("");
        k->value_cap = 0;
        if (!k->wipe)
            rc = db_query(t->ap->db, e, apply_read_row, &row,
                          "SELECT type, expire_ms, value FROM kv WHERE db=?1 AND key=?2", "ib",
                          (int64_t)t->ap->map.row[k->db], k->key);
        if (rc != RC_OK && rc != RC_NOTFOUND)
            return rc;
        k->base = BASE_PUT;
        k->type = V_STRING;
        k->expire_set = true;
    }
    size_t n = MAX(k->value.n, (size_t)ef->at + ef->value.n);
    if (n > k->value_cap) {
        char *p = arena_try(&t->a, n * 2);
        if (!p)
            return err_set(e, RC_NOMEM, "a string of %zu bytes does not fit into memory", n);
        memcpy(p, k->value.p, k->value.n);
        k->value.p = p;
        k->value_cap = n * 2;
    }
    char *p = (char *)(uintptr_t)k->value.p;
    if (ef->at > k->value.n)
        memset(p + k->value.n, 0, (size_t)ef->at - k->value.n);
    memcpy(p + ef->at, ef->value.p, ef->value.n);
    k->value.n = n;
    return RC_OK;
}

static enum rc apply_collect(struct apply_turn *t, const struct effect *ef, struct err *e)
{
    struct apply_key *k = apply_key_of(t, ef);
    switch (ef->op) {
    case EF_PUT:
        k->base = BASE_PUT;
        k->type = V_STRING;
        k->expire_ms = ef->expire_ms;
        k->expire_set = true;
        k->value = arena_dup(&t->a, ef->value);
        k->value_cap = ef->value.n;
        break;
    case EF_DEL:
        *k = (struct apply_key){.db = k->db, .key = k->key, .wipe = true, .life = k->life + 1};
        break;
    case EF_EXPIRE:
        k->expire_ms = ef->expire_ms;
        k->expire_set = true;
        break;
    case EF_MAKE:
        k->base = BASE_MAKE;
        k->type = ef->type;
        break;
    case EF_RANGE:
        return apply_patch(t, k, ef, e);
    case EF_ELEM_PUT:
        k->type = ef->type;
        apply_elem_of(t, k, ef);
        break;
    case EF_ELEM_DEL:
        apply_elem_of(t, k, ef);
        break;
    case EF_FLUSH:
    case EF_SWAP:
    case EF_RENAME:
    case EF_OPS:
    default:
        break;
    }
    return RC_OK;
}

static bool apply_is_ordered(struct slice payload)
{
    struct effect ef;
    while (effect_read(&payload, &ef) == RC_OK)
        if (ef.op == EF_FLUSH || ef.op == EF_SWAP || ef.op == EF_RENAME)
            return true;
    return false;
}

/* ---- writing a key ---- */

/* RC_NOTFOUND of a DELETE or UPDATE that met no row is fine here. */
static enum rc apply_ok(enum rc rc)
{
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc apply_wipe(struct applier *ap, int64_t db, struct slice key, struct err *e)
{
    enum rc rc = apply_ok(db_run(ap->db, e, "DELETE FROM kv WHERE db=?1 AND key=?2", "ib", db, key));
    if (rc == RC_OK)
        rc = apply_ok(db_run(ap->db, e, "DELETE FROM elem WHERE db=?1 AND key=?2", "ib", db, key));
    return rc;
}

static enum rc apply_elems(struct applier *ap, const struct apply_key *k, int64_t db, struct err *e)
{
    enum rc rc = RC_OK;
    bool any = false;
    for (const struct apply_elem *el = k->elems; el; el = el->next)
        any = any || !el->gone;
    if (any && k->base != BASE_MAKE)
        rc = db_run(ap->db, e,
                    "INSERT OR IGNORE INTO kv(db, key, type, expire_ms, value) VALUES(?1, ?2, ?3, 0, NULL)",
                    "ibi", db, k->key, (int64_t)k->type);
    for (const struct apply_elem *el = k->elems; el && rc == RC_OK; el = el->next) {
        if (el->gone)
            rc = apply_ok(db_run(ap->db, e, "DELETE FROM elem WHERE db=?1 AND key=?2 AND sub=?3", "ibb", db,
                                 k->key, el->sub));
        else
            rc = db_run(ap->db, e, "INSERT OR REPLACE INTO elem(db, key, sub, value) VALUES(?1, ?2, ?3, ?4)",
                        "ibbb", db, k->key, el->sub, el->value);
    }
    return rc;
}

static enum rc apply_write_key(struct applier *ap, const struct apply_key *k, struct err *e)
{
    int64_t db = ap->map.row[k->db];
    enum rc rc = k->wipe ? apply_wipe(ap, db, k->key, e) : RC_OK;
    if (rc == RC_OK && k->base == BASE_PUT)
        rc = db_run(ap->db, e,
                    "INSERT OR REPLACE INTO kv(db, key, type, expire_ms, value) VALUES(?1, ?2, ?3, ?4, ?5)",
                    "ibiib", db, k->key, (int64_t)k->type, k->expire_ms, k->value);
    else if (rc == RC_OK && k->base == BASE_MAKE)
        rc = db_run(ap->db, e,
                    "INSERT OR REPLACE INTO kv(db, key, type, expire_ms, value) VALUES(?1, ?2, ?3, 0, NULL)",
                    "ibi", db, k->key, (int64_t)k->type);
    if (rc == RC_OK && k->elems)
        rc = apply_elems(ap, k, db, e);
    if (rc == RC_OK && k->expire_set && k->base != BASE_PUT)
        rc = apply_ok(db_run(ap->db, e, "UPDATE kv SET expire_ms=?3 WHERE db=?1 AND key=?2", "ibi", db,
                             k->key, k->expire_ms));
    return rc;
}

static int apply_cmp(const void *a, const void *b)
{
    const struct apply_key *x = *(struct apply_key *const *)a, *y = *(struct apply_key *const *)b;
    return x->db != y->db ? x->db - y->db : slice_cmp(x->key, y->key);
}

static int64_t apply_backlog(const struct applier *ap)
{
    return (int64_t)(wal_written(ap->wal) - applier_lsn(ap));
}

static bool apply_stops(struct applier *ap)
{
    pthread_mutex_lock(&ap->mu);
    bool stop = ap->stop;
    pthread_mutex_unlock(&ap->mu);
    return stop;
}

static bool apply_hurries(struct applier *ap)
{
    pthread_mutex_lock(&ap->mu);
    bool hurry = ap->stop || ap->drain_lsn > applier_lsn(ap);
    pthread_mutex_unlock(&ap->mu);
    return hurry || apply_backlog(ap) > 8 * (int64_t)ap->o.segment_bytes;
}

/* Gives the processor away for a multiple of the time worked. */
static void apply_rest(struct applier *ap, int64_t began_ns)
{
    int64_t worked_ms = (clock_mono_ns() - began_ns) / 1000000 + 1;
    int64_t times = apply_backlog(ap) > 4 * (int64_t)ap->o.segment_bytes ? 3 : 9;
    for (int64_t left = MIN(worked_ms * times, (int64_t)500); left > 0 && !apply_hurries(ap); left -= 20)
        clock_sleep_ms(MIN(left, (int64_t)20));
}

static enum rc apply_commit(struct applier *ap, uint64_t lsn, struct err *e)
{
    enum rc rc = RC_OK;
    if (lsn)
        rc = db_run(ap->db, e, "UPDATE meta SET value=?1 WHERE name='applied_lsn'", "i", (int64_t)lsn);
    if (rc == RC_OK)
        return db_commit(ap->db, e);
    db_rollback(ap->db);
    return rc;
}

/* Writes keys[from..to) in one transaction; the turn's last one carries its position. */
static enum rc apply_write_some(struct apply_turn *t, struct apply_key **keys, size_t from, size_t to,
                                struct err *e)
{
    enum rc rc = db_begin(t->ap->db, e);
    if (rc != RC_OK)
        return rc;
    for (size_t i = from; i < to && rc == RC_OK; i++)
        rc = apply_write_key(t->ap, keys[i], e);
    if (rc == RC_OK)
        return apply_commit(t->ap, to == t->keys.n ? t->end : 0, e);
    db_rollback(t->ap->db);
    return rc;
}

static enum rc apply_write_turn(struct apply_turn *t, struct err *e)
{
    struct apply_key **keys = ARENA_ARRAY(&t->a, struct apply_key *, t->keys.n + 1);
    size_t n = 0, it = 0;
    struct slice name;
    void *value;
    while (map_next(&t->keys, &it, &name, &value))
        keys[n++] = value;
    qsort(keys, n, sizeof *keys, apply_cmp);
    enum rc rc = RC_OK;
    size_t from = 0;
    do {
        int64_t began = clock_mono_ns();
        size_t to = from, weight = 0, most = APPLY_KEYS_PER_TX * (apply_hurries(t->ap) ? APPLY_HURRY : 1u);
        while (to < n && weight < most)
            weight += 1 + keys[to++]->elems_n;
        rc = apply_write_some(t, keys, from, to, e);
        from = to;
        if (!apply_hurries(t->ap))
            apply_rest(t->ap, began);
    } while (rc == RC_OK && from < n && !apply_stops(t->ap));
    return rc == RC_OK && from < n ? RC_AGAIN : rc; /* the position stays: the turn is done again */
}

/* ---- records that must be done in order ---- */

static enum rc apply_flush(struct applier *ap, int db, struct err *e)
{
    if (db == EFFECT_ALL_DBS) {
        enum rc rc = apply_ok(db_run(ap->db, e, "DELETE FROM kv", ""));
        return rc == RC_OK ? apply_ok(db_run(ap->db, e, "DELETE FROM elem", "")) : rc;
    }
    int64_t row = ap->map.row[db];
    enum rc rc = apply_ok(db_run(ap->db, e, "DELETE FROM kv WHERE db=?1", "i", row));
    return rc == RC_OK ? apply_ok(db_run(ap->db, e, "DELETE FROM elem WHERE db=?1", "i", row)) : rc;
}

static enum rc apply_rename(struct applier *ap, const struct effect *ef, struct err *e)
{
    int64_t from = ap->map.row[ef->db], to = ap->map.row[ef->to_db];
    enum rc rc = apply_wipe(ap, to, ef->sub, e);
    if (rc == RC_OK)
        rc = apply_ok(db_run(ap->db, e, "UPDATE kv SET db=?3, key=?4 WHERE db=?1 AND key=?2", "ibib", from,
                             ef->key, to, ef->sub));
    if (rc == RC_OK)
        rc = apply_ok(db_run(ap->db, e, "UPDATE elem SET db=?3, key=?4 WHERE db=?1 AND key=?2", "ibib", from,
                             ef->key, to, ef->sub));
    return rc;
}

static enum rc apply_swap(struct applier *ap, const struct effect *ef, struct err *e)
{
    uint8_t tmp = ap->map.row[ef->db];
    ap->map.row[ef->db] = ap->map.row[ef->to_db];
    ap->map.row[ef->to_db] = tmp;
    return replay_map_write(ap->db, &ap->map, e);
}

static enum rc apply_one(struct apply_turn *t, const struct effect *ef, struct err *e)
{
    struct applier *ap = t->ap;
    if (ef->op == EF_FLUSH)
        return apply_flush(ap, ef->db, e);
    if (ef->op == EF_RENAME)
        return apply_rename(ap, ef, e);
    if (ef->op == EF_SWAP)
        return apply_swap(ap, ef, e);
    struct apply_turn one = {.ap = ap};
    arena_init(&one.a, 1024, 0);
    map_init(&one.keys);
    map_init(&one.elems);
    enum rc rc = apply_collect(&one, ef, e);
    size_t it = 0;
    struct slice name;
    void *value;
    while (rc == RC_OK && map_next(&one.keys, &it, &name, &value))
        rc = apply_write_key(ap, value, e);
    map_free(&one.keys);
    map_free(&one.elems);
    arena_free(&one.a);
    return rc;
}

/* One record, effect by effect, in one transaction with its position. */
static enum rc apply_in_order(struct apply_turn *t, const struct wal_record *rec, struct err *e)
{
    struct slice payload = rec->payload;
    struct replay_map before = t->ap->map;
    struct effect ef;
    enum rc rc = db_begin(t->ap->db, e), got = RC_OK;
    if (rc != RC_OK)
        return rc;
    while (rc == RC_OK && (got = effect_read(&payload, &ef)) == RC_OK)
        rc = apply_one(t, &ef, e);
    MUST(rc != RC_OK || got == RC_NOTFOUND); /* its checksum was right: it cannot be damaged inside */
    if (rc == RC_OK)
        rc = apply_commit(t->ap, rec->end, e);
    else
        db_rollback(t->ap->db);
    if (rc != RC_OK)
        t->ap->map = before;
    return rc;
}

/* ---- a turn ---- */

static enum rc apply_read_turn(struct apply_turn *t, uint64_t limit, struct err *e)
{
    struct wal_reader *r;
    struct wal_record rec;
    struct effect ef;
    enum rc rc = wal_reader_open(t->ap->log_dir, t->end, &r, e);
    if (rc != RC_OK)
        return rc;
    size_t times = apply_hurries(t->ap) ? APPLY_HURRY : 1;
    while (t->effects < times * APPLY_EFFECTS && t->bytes < times * APPLY_BYTES) {
        rc = wal_read(r, limit, &rec, e);
        if (rc != RC_OK)
            break;
        if (apply_is_ordered(rec.payload)) {
            t->in_order = true;
            if (t->effects == 0)
                rc = apply_in_order(t, &rec, e); /* alone; otherwise it begins the next turn */
            if (t->effects == 0 && rc == RC_OK)
                t->end = rec.end;
            break;
        }
        for (struct slice p = rec.payload; rc == RC_OK && effect_read(&p, &ef) == RC_OK; t->effects++)
            rc = apply_collect(t, &ef, e);
        if (rc != RC_OK)
            break;
        t->effects++; /* an empty record moves the position too */
        t->bytes += rec.payload.n;
        t->end = rec.end;
    }
    wal_reader_close(r);
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc apply_turn(struct applier *ap, uint64_t limit, struct err *e)
{
    struct apply_turn t = {.ap = ap, .end = applier_lsn(ap)};
    if (wal_sync(ap->wal, limit) != RC_OK)
        return err_set(e, RC_IO, "the log cannot be synced");
    arena_init(&t.a, 64 << 10, 0);
    map_init(&t.keys);
    map_init(&t.elems);
    enum rc rc = apply_read_turn(&t, limit, e);
    if (rc == RC_OK && t.end == applier_lsn(ap))
        rc = err_set(e, RC_IO, "the log in %.200s ends at %llu, before what was written: it was changed by others",
                     ap->log_dir, (unsigned long long)t.end);
    if (rc == RC_OK && t.effects)
        rc = apply_write_turn(&t, e);
    map_free(&t.keys);
    map_free(&t.elems);
    arena_free(&t.a);
    if (rc == RC_OK)
        __atomic_store_n(&ap->applied, t.end, __ATOMIC_RELEASE);
    return rc;
}

/* SQLite syncs its own log into the file; only then may segments go. */
static void apply_checkpoint(struct applier *ap)
{
    uint64_t lsn = applier_lsn(ap);
    struct err e;
    if (db_checkpoint(ap->db, &e) == RC_OK)
        wal_forget(ap->log_dir, lsn);
    else
        log_event(LOG_WARN, "store.checkpoint_failed", "text=%s", log_quote(slice_str(e.text)));
}

/* ---- the thread ---- */

/* How far to apply now; the current position if there is no reason to. */
static uint64_t apply_goal(struct applier *ap)
{
    uint64_t written = wal_written(ap->wal), applied = applier_lsn(ap);
    int64_t now = clock_mono_ms();
    if (written == applied)
        ap->behind_since_ms = 0;
    else if (ap->behind_since_ms == 0)
        ap->behind_since_ms = now;
    bool old = ap->behind_since_ms && now - ap->behind_since_ms >= APPLY_AGE_MS;
    bool long_log = written - applied > ap->o.segment_bytes;
    return old || long_log || apply_hurries(ap) ? written : applied;
}

static void apply_round(struct applier *ap, uint64_t goal)
{
    struct err e = {0};
    enum rc rc = RC_OK;
    while (rc == RC_OK && applier_lsn(ap) < goal && !apply_stops(ap))
        rc = apply_turn(ap, goal, &e);
    if (apply_stops(ap))
        return;
    pthread_mutex_lock(&ap->mu);
    bool news = rc != RC_OK && !ap->failed;
    ap->failed = rc != RC_OK;
    if (rc != RC_OK)
        ap->fault = e;
    else
        ap->behind_since_ms = 0;
    pthread_mutex_unlock(&ap->mu);
    if (news)
        log_event(LOG_ERROR, "store.apply_failed", "text=%s", log_quote(slice_str(e.text)));
    apply_checkpoint(ap);
    db_trim(ap->db);
}

static void apply_wait(struct applier *ap)
{
    struct timespec ts;
    wal_until(&ts, APPLY_TICK_MS);
    pthread_mutex_lock(&ap->mu);
    pthread_cond_broadcast(&ap->done);
    if (!ap->stop && (ap->failed || ap->drain_lsn <= applier_lsn(ap)))
        (void)pthread_cond_timedwait(&ap->work, &ap->mu, &ts);
    pthread_mutex_unlock(&ap->mu);
}

static void *apply_main(void *arg)
{
    struct applier *ap = arg;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), APPLY_NICE);
    while (!apply_stops(ap)) {
        uint64_t goal = apply_goal(ap);
        if (goal > applier_lsn(ap))
            apply_round(ap, goal);
        apply_wait(ap);
    }
    return NULL;
}

struct applier *applier_start(const struct applier_opts *o)
{
    struct applier *ap = mem_zalloc(sizeof *ap);
    ap->o = *o;
    ap->db = o->st->sql;
    ap->wal = o->st->wal_home;
    ap->log_dir = mem_strdup(o->log_dir);
    ap->applied = o->applied_lsn;
    struct err e;
    if (replay_map_read(ap->db, &ap->map, &e) != RC_OK)
        log_event(LOG_ERROR, "store.apply_failed", "text=%s", log_quote(slice_str(e.text)));
    pthread_mutex_init(&ap->mu, NULL);
    wal_cond_init(&ap->work);
    wal_cond_init(&ap->done);
    ap->thread = thread_start("apply", apply_main, ap);
    return ap;
}

void applier_stop(struct applier *ap)
{
    pthread_mutex_lock(&ap->mu);
    ap->stop = true;
    pthread_cond_signal(&ap->work);
    pthread_mutex_unlock(&ap->mu);
    thread_join(ap->thread);
    pthread_mutex_destroy(&ap->mu);
    pthread_cond_destroy(&ap->work);
    pthread_cond_destroy(&ap->done);
    mem_free(ap->log_dir);
    mem_free(ap);
}

enum rc applier_drain(struct applier *ap, uint64_t lsn, int64_t wait_ms, struct err *e)
{
    struct timespec until;
    int late = 0;
    wal_until(&until, MAX(wait_ms, (int64_t)0));
    pthread_mutex_lock(&ap->mu);
    ap->drain_lsn = MAX(ap->drain_lsn, lsn);
    ap->failed = false;
    while (applier_lsn(ap) < lsn && !ap->failed && late == 0) {
        pthread_cond_signal(&ap->work);
        late = wait_ms < 0 ? pthread_cond_wait(&ap->done, &ap->mu)
                           : pthread_cond_timedwait(&ap->done, &ap->mu, &until);
    }
    enum rc rc = applier_lsn(ap) >= lsn ? RC_OK : ap->failed ? RC_IO : RC_AGAIN;
    if (rc == RC_IO && e)
        *e = ap->fault;
    ap->drain_lsn = 0;
    pthread_mutex_unlock(&ap->mu);
    return rc;
}
