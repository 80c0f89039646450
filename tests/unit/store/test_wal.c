/*
 * test_wal.c - the log on disk: cut at every byte, every bit turned over, segments, transactions that are
 * longer than a record, a tail of zeroes, a missing segment.
 */
#include "st.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/apply.h"

#include <errno.h>
#include <fcntl.h>

enum { BATCHES = 6 };
static char dir[220], log_dir[240], cut_dir[240]; /* of a store; its log; a log to be damaged */
static uint64_t batch_end[BATCHES + 1];
static struct store *scratch; /* replayed into, again and again */
static char *image; /* the log's only segment */
static size_t image_n;

static char *first_segment(const char *log_dir)
{
    static char path[300];
    struct arena a;
    char **names;
    size_t n;
    arena_init(&a, 4096, 0);
    MUST(dir_list(&a, log_dir, &names, &n, NULL) == RC_OK && n > 0);
    snprintf(path, sizeof path, "%s/%s", log_dir, names[0]);
    arena_free(&a);
    return path;
}

static void write_segment(const char *p, size_t n)
{
    st_dir_clear(cut_dir);
    char path[300];
    snprintf(path, sizeof path, "%s/%020d.log", cut_dir, 0);
    FILE *f = fopen(path, "w");
    MUST(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

/* A log of small atomic batches, taken from a store that runs: the counter and its twin move together. */
static void make_image(void)
{
    struct store *st = st_disk(dir, STORE_ALWAYS);
    char key[32];
    int64_t n;
    for (int i = 0; i < BATCHES; i++) {
        batch_end[i] = store_lsn(st);
        store_enter(st, st_now);
        T(ks_incr(st, 0, sl("n"), 1, 0, &n) == RC_OK);
        snprintf(key, sizeof key, "k%d", i);
        ks_set(st, i % 3, sl(key), sl("value"), 0);
        T(ks_hset(st, 0, sl("h"), sl(key), sl("v"), NULL) == RC_OK);
        T(ks_incr(st, 1, sl("twin"), 1, 0, &n) == RC_OK);
        store_leave(st);
    }
    batch_end[BATCHES] = store_lsn(st);
    T(store_sync(st, batch_end[BATCHES]) == RC_OK);
    struct arena a;
    struct slice s;
    arena_init(&a, 4096, 0);
    MUST(file_read(&a, first_segment(log_dir), 1u << 30, &s, NULL) == RC_OK);
    image_n = batch_end[BATCHES] + WAL_HEAD;
    T(s.n >= image_n);
    image = mem_alloc(image_n);
    memcpy(image, s.p, image_n);
    arena_free(&a);
    store_close(st);
}

static int64_t count_of(struct store *st, int db, const char *key)
{
    struct entry **slot = table_find(&st->db[db].t, sl(key), table_hash(sl(key)));
    return slot ? (int64_t)entry_word(*slot) : 0;
}

/* Replays what lies in log_dir into an empty store; how many batches are there, all of them whole. */
static int replayed(uint64_t *end)
{
    struct store *st = scratch;
    struct err e = {0};
    keys_free_all(st);
    st->loading = true;
    enum rc rc = replay_log(st, cut_dir, 0, end, &e);
    if (rc != RC_OK)
        t_fail(__FILE__, __LINE__, "replay: %s", e.text);
    int64_t n = count_of(st, 0, "n");
    T_INT(count_of(st, 1, "twin"), n);
    uint64_t keys = 0;
    for (int db = 0; db < 3; db++)
        keys += st->db[db].t.count;
    T_INT(keys, n ? n + 3 : 0);
    st->loading = false;
    return (int)n;
}

static int whole_batches(uint64_t bytes)
{
    int n = 0;
    while (n < BATCHES && batch_end[n + 1] + WAL_HEAD <= bytes)
        n++;
    return n;
}

static void cut_at_every_byte(void)
{
    uint64_t end;
    for (size_t n = 0; n <= image_n; n++) {
        T_ROW("%zu bytes", n);
        write_segment(image, n);
        int got = replayed(&end);
        T_INT(got, n < WAL_HEAD ? 0 : whole_batches(n));
        T_INT(end, batch_end[got]);
    }
}

static void again_after_a_cut(void)
{
    uint64_t end;
    write_segment(image, image_n - 5);
    T_INT(replayed(&end), BATCHES - 1);
    struct stat s;
    T(stat(first_segment(cut_dir), &s) == 0 && (uint64_t)s.st_size == end + WAL_HEAD);
    T_INT(replayed(&end), BATCHES - 1);
}

static void every_bit_turned(void)
{
    char *copy = mem_alloc(image_n);
    uint64_t end;
    for (size_t bit = WAL_HEAD * 8; bit < image_n * 8; bit++) {
        memcpy(copy, image, image_n);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        T_ROW("bit %zu of byte %zu", bit % 8, bit / 8);
        write_segment(copy, image_n);
        T_INT(replayed(&end), whole_batches(bit / 8));
    }
    mem_free(copy);
}

static void zeroes_behind_are_the_end(void)
{
    char *copy = mem_zalloc(image_n + 5000);
    uint64_t end;
    for (size_t more = 1; more < 5000; more += 333) {
        memcpy(copy, image, image_n);
        write_segment(copy, image_n + more);
        T_INT(replayed(&end), BATCHES);
        T_INT(end, batch_end[BATCHES]);
    }
    mem_free(copy);
}

/* Records of an older life of the blocks stand behind the end: never taken for new. */
static void old_records_behind_are_not_read(void)
{
    size_t half = batch_end[3] + WAL_HEAD, from = batch_end[4] + WAL_HEAD;
    char *copy = mem_alloc(image_n);
    uint64_t end;
    memcpy(copy, image, half);
    memcpy(copy + half, image + from, image_n - from);
    write_segment(copy, half + image_n - from);
    T_INT(replayed(&end), 3);
    mem_free(copy);
}

/* One transaction of several records: all or nothing, wherever the log ends. */
static void long_transactions_are_whole(void)
{
    char big[3000];
    memset(big, 'x', sizeof big);
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_ALWAYS);
    char key[32];
    for (int t = 0; t < 2; t++) {
        store_enter(st, st_now);
        ks_atomic_begin(st);
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof key, "t%d:%d", t, i);
            ks_set(st, 0, sl(key), slice_of(big, sizeof big), 0);
        }
        ks_atomic_end(st);
        batch_end[t + 1] = store_lsn(st);
        store_leave(st);
    }
    T(store_sync(st, batch_end[2]) == RC_OK);
    struct arena a;
    struct slice s;
    arena_init(&a, 4096, 0);
    MUST(file_read(&a, first_segment(log_dir), 1u << 30, &s, NULL) == RC_OK);
    T(batch_end[1] > 4 * 65536);
    for (size_t n = WAL_HEAD; n <= batch_end[2] + WAL_HEAD; n += n + 70000 > batch_end[2] ? 1501 : 9973) {
        struct store *mem = scratch;
        uint64_t end;
        struct err e;
        T_ROW("%zu bytes", n);
        keys_free_all(mem);
        write_segment(s.p, n);
        mem->loading = true;
        T_INT(replay_log(mem, cut_dir, 0, &end, &e), RC_OK);
        uint64_t want = n >= batch_end[2] + WAL_HEAD ? 200 : n >= batch_end[1] + WAL_HEAD ? 100 : 0;
        T_INT(mem->db[0].t.count, want);
        mem->loading = false;
    }
    arena_free(&a);
    store_close(st);
}

static struct store *open_small_segments(void)
{
    struct store *st;
    struct err e = {0};
    struct store_opts o = {
        .engine = STORE_SQLITE, .dir = dir, .durability = STORE_ALWAYS, .log_segment_bytes = 4096};
    st_seed();
    MUST(store_open(&o, &st, &e) == RC_OK);
    return st;
}

static size_t segments(void)
{
    struct arena a;
    char **names;
    size_t n = 0;
    arena_init(&a, 4096, 0);
    MUST(dir_list(&a, log_dir, &names, &n, NULL) == RC_OK);
    arena_free(&a);
    return n;
}

static void segments_follow_each_other(void)
{
    st_dir_clear(dir);
    struct store *st = open_small_segments();
    int64_t n;
    char key[32];
    for (int i = 0; i < 400; i++) {
        store_enter(st, st_now);
        snprintf(key, sizeof key, "key number %d", i);
        ks_set(st, 0, sl(key), sl("some value of some length"), 0);
        T(ks_incr(st, 0, sl("n"), 1, 0, &n) == RC_OK);
        uint64_t lsn = store_lsn(st);
        store_leave(st);
        if (i % 20 == 0)
            T(store_sync(st, lsn) == RC_OK);
    }
    T(store_sync(st, store_lsn(st)) == RC_OK);
    T(segments() > 3);
    struct store *mem = st_memory();
    uint64_t end;
    struct err e = {0};
    mem->loading = true;
    uint64_t applied = applier_lsn(st->applier);
    if (applied == 0) {
        struct wal_reader *r;
        struct wal_record rec;
        T_INT(wal_reader_open(log_dir, 0, &r, &e), RC_OK);
        enum rc rc;
        while ((rc = wal_read(r, UINT64_MAX, &rec, &e)) == RC_OK)
            for (struct effect ef; effect_read(&rec.payload, &ef) == RC_OK;)
                replay_effect(mem, &ef);
        T_INT(rc, RC_NOTFOUND);
        end = wal_reader_lsn(r);
        T_INT(end, store_lsn(st));
        T_INT(mem->db[0].t.count, 401);
        wal_reader_close(r);
    }
    mem->loading = false;
    store_close(mem);
    store_close(st);
    T(segments() <= 2); /* applied, so the log is short again */
    st = open_small_segments();
    store_enter(st, st_now);
    T_INT(ks_count(st, 0), 401);
    T_GET(st, 0, "n", "400");
    store_leave(st);
    store_close(st);
}

static void a_missing_segment_is_told(void)
{
    char path[300];
    struct store *st;
    struct err e = {0};
    st_dir_clear(dir);
    st = open_small_segments();
    store_close(st);
    st_dir_clear(log_dir);
    snprintf(path, sizeof path, "%s/%020d.log", log_dir, 5000);
    FILE *f = fopen(path, "w");
    MUST(f && fwrite(image, 1, image_n, f) == image_n && fclose(f) == 0);
    T_INT(st_try_disk(dir, STORE_ALWAYS, &st, &e), RC_IO);
    T(strstr(e.text, "missing") != NULL);
}

static bool no_files; /* atomic: the log cannot have another segment */
static int (*real_open)(const char *path, int flags, unsigned mode);

static int no_open(const char *path, int flags, unsigned mode)
{
    bool refused = __atomic_load_n(&no_files, __ATOMIC_SEQ_CST) && flags & O_CREAT;
    errno = EMFILE;
    return refused ? -1 : real_open(path, flags, mode);
}

/* A transaction longer than a segment, and no file for the next one: neither the log nor SQLite keeps half. */
static void a_segment_never_ends_inside_a_transaction(void)
{
    char key[32], big[3000];
    memset(big, 'x', sizeof big);
    st_dir_clear(dir);
    struct store *st = open_small_segments();
    __atomic_store_n(&no_files, true, __ATOMIC_SEQ_CST);
    store_enter(st, st_now);
    ks_atomic_begin(st);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "t:%d", i);
        ks_set(st, 0, sl(key), slice_of(big, sizeof big), 0);
    }
    ks_atomic_end(st);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    for (int i = 0; i < 1000 && applier_lsn(st->applier) == 0; i++) /* it does what the log made durable */
        clock_sleep_ms(10);
    T_INT(store_durable_lsn(st), lsn);
    T_INT(applier_lsn(st->applier), lsn);
    store_close(st);
    __atomic_store_n(&no_files, false, __ATOMIC_SEQ_CST);
    st = open_small_segments();
    store_enter(st, st_now);
    T_INT(ks_count(st, 0), 100);
    store_leave(st);
    store_close(st);
}

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

int main(void)
{
    struct os_calls calls = *os(); /* nobody pulls the plug here: thousands of syncs take minutes */
    calls.fsync = calls.fdatasync = no_sync;
    real_open = calls.open;
    calls.open = no_open;
    os_replace(&calls);
    scratch = st_memory();
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    snprintf(log_dir, sizeof log_dir, "%s/log", dir);
    snprintf(cut_dir, sizeof cut_dir, "%s", st_dir_make());
    log_init(LOG_SILENT, false);
    make_image();
    T_RUN(cut_at_every_byte);
    T_RUN(again_after_a_cut);
    T_RUN(every_bit_turned);
    T_RUN(zeroes_behind_are_the_end);
    T_RUN(old_records_behind_are_not_read);
    T_RUN(long_transactions_are_whole);
    T_RUN(segments_follow_each_other);
    T_RUN(a_segment_never_ends_inside_a_transaction);
    T_RUN(a_missing_segment_is_told);
    mem_free(image);
    store_close(scratch);
    st_dir_remove(dir);
    st_dir_remove(cut_dir);
    return t_done();
}
