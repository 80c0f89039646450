/*
 * test_store_fault.c - the n-th call to the operating system fails, for every n until a run meets no fault.
 *
 * Whatever fails: opening says why or works; a change that was reported durable is there after a start
 * on a sound disk; the state is one that the store really had. Then: a full disk heals, a failed sync
 * does not, reads go on.
 */
#include "unit/store/st.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#include <errno.h>

enum kind { K_EIO, K_ENOSPC, K_SHORT, K_EIO_ON, KINDS };
static const char *const kind_names[] = {"EIO once", "ENOSPC once", "short write", "EIO from then on"};

static struct os_calls real;
static enum kind kind;
static int countdown; /* atomic: calls until the fault; 0 and below: fault met */
static bool armed;    /* atomic */
static bool slow;               /* atomic: writes wait */
static bool no_space, no_files, bad_sync; /* atomic: for the tests that name the fault */
static int syncs;                         /* atomic: of the log */

static bool hit(void)
{
    if (!__atomic_load_n(&armed, __ATOMIC_SEQ_CST))
        return false;
    int left = __atomic_sub_fetch(&countdown, 1, __ATOMIC_SEQ_CST);
    return left == 0 || (left < 0 && kind == K_EIO_ON);
}

static bool fails(void)
{
    if (!hit() || kind == K_SHORT)
        return false;
    errno = kind == K_ENOSPC ? ENOSPC : EIO;
    return true;
}

static bool full(void)
{
    if (!__atomic_load_n(&no_space, __ATOMIC_SEQ_CST))
        return false;
    errno = ENOSPC;
    return true;
}

static int f_open(const char *path, int flags, unsigned mode)
{
    if (__atomic_load_n(&no_files, __ATOMIC_SEQ_CST)) {
        errno = EMFILE;
        return -1;
    }
    return fails() ? -1 : real.open(path, flags, mode);
}
static ssize_t f_pread(int fd, void *p, size_t n, int64_t at)
{
    return fails() ? -1 : real.pread(fd, p, n, at);
}
static ssize_t f_pwrite(int fd, const void *p, size_t n, int64_t at)
{
    while (__atomic_load_n(&slow, __ATOMIC_SEQ_CST))
        clock_sleep_ms(5);
    if (full())
        return -1;
    if (hit()) {
        if (kind == K_SHORT)
            return real.pwrite(fd, p, n > 1 ? n / 2 : n, at);
        errno = kind == K_ENOSPC ? ENOSPC : EIO;
        return -1;
    }
    return real.pwrite(fd, p, n, at);
}
static int f_sync(int fd)
{
    (void)fd; /* nobody pulls the plug: the real call would only take time */
    (void)__atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&bad_sync, __ATOMIC_SEQ_CST)) {
        errno = EIO;
        return -1;
    }
    return fails() ? -1 : 0;
}
static int f_ftruncate(int fd, int64_t n)
{
    return fails() ? -1 : real.ftruncate(fd, n);
}
static int f_fallocate(int fd, int64_t at, int64_t n)
{
    return full() || fails() ? -1 : real.fallocate(fd, at, MIN(n, (int64_t)65536));
}
static int f_unlink(const char *path)
{
    return fails() ? -1 : real.unlink(path);
}

static char dir[200];
enum { CHANGES = 6 };

static void arm(enum kind k, int n)
{
    kind = k;
    __atomic_store_n(&countdown, n, __ATOMIC_SEQ_CST);
    __atomic_store_n(&armed, n > 0, __ATOMIC_SEQ_CST);
}

static int64_t value(struct store *st)
{
    int64_t n = -1;
    store_enter(st, st_now);
    const char *text = st_get(st, 0, "n");
    if (strcmp(text, "(nil)") == 0)
        n = 0;
    else
        T(slice_i64(sl(text), &n));
    struct slice v;
    struct entry *h = ks_find(st, 0, sl("h"), 0);
    T(h ? ks_hget(h, sl("n"), &v) && slice_eq(v, sl(text)) : n == 0);
    store_leave(st);
    return n;
}

/* Changes n and its twin together; how many of them were reported durable. */
static int64_t change(struct store *st, int64_t from, int64_t *tried)
{
    int64_t acked = from;
    struct err e;
    for (int64_t i = from + 1; i <= from + CHANGES; i++) {
        char text[24];
        struct slice v = slice_of(text, fmt_i64(text, i));
        store_enter(st, st_now);
        bool may = store_make_room(st) == RC_OK;
        ks_set(st, 0, sl("n"), v, 0);
        if (ks_hset(st, 0, sl("h"), sl("n"), v, NULL) == RC_OK)
            *tried = i;
        uint64_t lsn = store_lsn(st);
        store_leave(st);
        if (store_sync(st, lsn) == RC_OK && may && !store_trouble(st))
            acked = i;
        if (i == from + 3 && store_reload(st, &e) != RC_OK)
            T(e.text[0] != '\0');
    }
    return acked;
}

/* True if the run met its fault. */
static bool one_run(enum kind k, int n)
{
    struct store *st;
    struct err e = {0};
    int64_t acked = 0, tried = 0;
    st_dir_clear(dir);
    T_ROW("%s, call %d", kind_names[k], n);
    arm(k, n);
    if (st_try_disk(dir, STORE_ALWAYS, &st, &e) == RC_OK) {
        acked = change(st, 0, &tried);
        store_close(st);
    } else {
        T(e.text[0] != '\0');
    }
    bool met = __atomic_load_n(&countdown, __ATOMIC_SEQ_CST) <= 0;
    arm(k, 0);
    st = st_disk(dir, STORE_ALWAYS);
    int64_t got = value(st);
    T(got >= acked && got <= tried);
    T(!store_trouble(st));
    store_close(st);
    return met;
}

static void every_call_fails_once(enum kind k)
{
    int n = 1;
    while (one_run(k, n) && n < 3000 && t_state.failures < 5)
        n++;
    T(n > 50 && n < 3000);
    printf("# %s: %d calls\n", kind_names[k], n);
}

static void eio(void) { every_call_fails_once(K_EIO); }
static void enospc(void) { every_call_fails_once(K_ENOSPC); }
static void short_write(void) { every_call_fails_once(K_SHORT); }
static void eio_for_ever(void) { every_call_fails_once(K_EIO_ON); }

static void set(struct store *st, const char *key, const char *v)
{
    store_enter(st, st_now);
    ks_set(st, 0, sl(key), sl(v), 0);
    store_leave(st);
}

static void T_VALUE(struct store *st, const char *key, const char *want)
{
    store_enter(st, st_now);
    T_GET(st, 0, key, want);
    store_leave(st);
}

static void wait_for(struct store *st, bool trouble)
{
    ST_UNTIL((store_trouble(st) != NULL) == trouble);
}

static void a_full_disk_heals(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_EVERYSEC);
    set(st, "a", "1");
    T_INT(store_sync(st, 1), RC_OK);
    __atomic_store_n(&no_space, true, __ATOMIC_SEQ_CST);
    set(st, "b", "told, and kept in the buffer");
    wait_for(st, true);
    T(strstr(store_trouble(st), dir) && strstr(store_trouble(st), "space"));
    set(st, "c", "refused");
    store_enter(st, st_now);
    T_INT(store_make_room(st), RC_IO);
    T(!ks_del(st, 0, sl("a")));
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    T(lsn <= store_durable_lsn(st));
    T_VALUE(st, "a", "1");
    T_VALUE(st, "b", "told, and kept in the buffer");
    T_VALUE(st, "c", "(nil)");
    __atomic_store_n(&no_space, false, __ATOMIC_SEQ_CST);
    wait_for(st, false);
    set(st, "d", "again");
    store_close(st);
    st = st_disk(dir, STORE_EVERYSEC);
    T_VALUE(st, "b", "told, and kept in the buffer");
    T_VALUE(st, "c", "(nil)");
    T_VALUE(st, "d", "again");
    store_close(st);
}

/* The log fails while somebody is inside: what was allowed at the beginning of the batch is done, not dropped. */
static void a_batch_is_all_or_nothing(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_NO);
    __atomic_store_n(&slow, true, __ATOMIC_SEQ_CST);
    set(st, "a", "1"); /* the log's thread is in its write, or will be */
    clock_sleep_ms(100);
    store_enter(st, st_now);
    T_INT(store_make_room(st), RC_OK);
    __atomic_store_n(&no_space, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slow, false, __ATOMIC_SEQ_CST);
    wait_for(st, true);
    ks_set(st, 0, sl("b"), sl("2"), 0);
    T_GET(st, 0, "b", "2");
    store_leave(st);
    store_enter(st, st_now);
    T_INT(store_make_room(st), RC_IO);
    store_leave(st);
    __atomic_store_n(&no_space, false, __ATOMIC_SEQ_CST);
    wait_for(st, false);
    store_close(st);
    st = st_disk(dir, STORE_NO);
    T_VALUE(st, "b", "2");
    store_close(st);
}

static uint64_t set_and_write(struct store *st, const char *v)
{
    store_enter(st, st_now);
    ks_set(st, 0, sl("a"), sl(v), 0);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    store_write(st, &(bool){false});
    return lsn;
}

static void wait_durable(struct store *st, uint64_t lsn)
{
    for (int k = 0; k < 4000 && store_durable_lsn(st) < lsn; k++)
        clock_sleep_ms(5);
    T(store_durable_lsn(st) >= lsn);
}

static uint64_t set_in_turn(struct store *st, int i, bool *gather)
{
    char key[24];
    store_enter(st, st_now);
    ks_set(st, 0, slice_of(key, (size_t)snprintf(key, sizeof key, "k%d", i)), sl("v"), 0);
    uint64_t lsn = store_lsn(st);
    store_leave_turn(st, gather);
    return lsn;
}

/* Mode always: the disk is asked at the end of a turn, once for all that it changed; at once when somebody
 * changes something outside a turn, and when the mode changes in the middle. */
static void a_turn_is_one_sync(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_ALWAYS);
    bool gather = false;
    uint64_t lsn = 0;
    wait_durable(st, set_and_write(st, "first"));
    for (int turn = 0; turn < 20; turn++) {
        T_ROW("%d", turn);
        int before = __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
        uint64_t was = store_durable_lsn(st);
        clock_sleep_ms(10); /* the log thread sleeps by now */
        for (int i = 0; i < 20; i++)
            lsn = set_in_turn(st, i, &gather);
        T(gather);
        clock_sleep_ms(turn < 3 ? 20 : 0);
        T(store_durable_lsn(st) == was && lsn > was);
        store_write(st, &gather);
        T(!gather);
        wait_durable(st, lsn);
        T_INT(__atomic_load_n(&syncs, __ATOMIC_SEQ_CST), before + 1);
    }
    lsn = set_in_turn(st, 1, &gather);
    T(set_and_write(st, "outside") > lsn);
    wait_durable(st, lsn); /* though the turn goes on */
    lsn = set_in_turn(st, 2, &gather);
    store_enter(st, st_now);
    T_INT(store_set_durability(st, STORE_EVERYSEC), RC_OK);
    store_leave(st);
    store_write(st, &gather);
    wait_durable(st, lsn);
    T_ROW("%s", "");
    store_close(st);
}

/* store_write that fails or is cut short leaves everything to the log thread, which writes it whole. */
static void a_failed_quick_write_is_done_again(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_NO);
    for (int i = 0; i < 40; i++) {
        char text[24];
        uint64_t lsn;
        T_ROW("%d", i);
        arm(i % 2 ? K_SHORT : K_ENOSPC, i % 4 < 2 ? 1 : 0);
        lsn = set_and_write(st, (snprintf(text, sizeof text, "value %d", i), text));
        for (int k = 0; k < 2000 && store_written_lsn(st) < lsn; k++)
            clock_sleep_ms(5);
        arm(K_EIO, 0);
        T(store_written_lsn(st) >= lsn);
        T(store_safe_lsn(st) >= lsn);
        wait_for(st, false);
    }
    T_ROW("%s", "");
    store_close(st);
    st = st_disk(dir, STORE_NO);
    T_VALUE(st, "a", "value 39");
    store_close(st);
}

/* The log needs a file when a segment is full, and just then there is none. */
static void missing_files_heal(void)
{
    st_dir_clear(dir);
    struct err e = {0};
    struct store *st;
    struct store_opts o = {.engine = STORE_SQLITE, .dir = dir, .durability = STORE_ALWAYS, .log_segment_bytes = 4096};
    T_INT(store_open(&o, &st, &e), RC_OK);
    __atomic_store_n(&no_files, true, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 200 && !store_trouble(st); i++) {
        set(st, "a", "a value of some length, so that the segment is full before long");
        clock_sleep_ms(2);
    }
    wait_for(st, true);
    T(strstr(store_trouble(st), "open files") && strstr(store_trouble(st), dir));
    store_enter(st, st_now);
    T_INT(store_make_room(st), RC_IO);
    store_leave(st);
    __atomic_store_n(&no_files, false, __ATOMIC_SEQ_CST);
    wait_for(st, false);
    set(st, "b", "again");
    store_close(st);
    st = st_disk(dir, STORE_ALWAYS);
    T_VALUE(st, "a", "a value of some length, so that the segment is full before long");
    T_VALUE(st, "b", "again");
    store_close(st);
}

static void a_failed_sync_does_not_heal(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_ALWAYS);
    set(st, "a", "1");
    store_enter(st, st_now);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    T_INT(store_sync(st, lsn), RC_OK);
    __atomic_store_n(&bad_sync, true, __ATOMIC_SEQ_CST);
    set(st, "b", "2");
    wait_for(st, true);
    uint64_t durable = store_durable_lsn(st);
    __atomic_store_n(&bad_sync, false, __ATOMIC_SEQ_CST);
    clock_sleep_ms(700);
    T(store_trouble(st) && strstr(store_trouble(st), "restart"));
    T_INT(store_durable_lsn(st), durable);
    T_INT(store_sync(st, durable + 1), RC_IO);
    set(st, "c", "3");
    T_VALUE(st, "a", "1");
    T_VALUE(st, "c", "(nil)");
    store_close(st);
    st = st_disk(dir, STORE_ALWAYS);
    T_VALUE(st, "a", "1");
    T_VALUE(st, "c", "(nil)");
    store_close(st);
}

static int sets_done; /* atomic */

static void *set_200_megabytes(void *arg)
{
    static char big[1 << 20];
    struct store *st = arg;
    for (int i = 0; i < 200; i++) {
        store_enter(st, st_now);
        ks_set(st, 0, sl("big"), slice_of(big, sizeof big), 0);
        store_leave(st);
        __atomic_add_fetch(&sets_done, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* A disk that stands still: the log in memory stays bounded, writers wait, and go on afterwards. */
static void a_slow_disk_holds_writers(void)
{
    st_dir_clear(dir);
    struct store *st = st_disk(dir, STORE_NO);
    set(st, "a", "1");
    __atomic_store_n(&slow, true, __ATOMIC_SEQ_CST);
    pthread_t t = thread_start("writer", set_200_megabytes, st);
    int seen = -1, now = 0;
    for (int i = 0; seen != now || (now < 60 && i < 150); i++) { /* until it stands still */
        seen = now;
        clock_sleep_ms(400);
        now = __atomic_load_n(&sets_done, __ATOMIC_SEQ_CST);
    }
    T(now >= 60 && now < 140); /* one buffer of 64 MiB being written, one filling */
    __atomic_store_n(&slow, false, __ATOMIC_SEQ_CST);
    thread_join(t);
    T_INT(__atomic_load_n(&sets_done, __ATOMIC_SEQ_CST), 200);
    T(!store_trouble(st));
    store_close(st);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* SQLite's own syncs, six hundred times */
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    log_init(LOG_SILENT, false);
    real = *os();
    struct os_calls calls = real;
    calls.open = f_open;
    calls.pread = f_pread;
    calls.pwrite = f_pwrite;
    calls.fdatasync = calls.fsync = f_sync;
    calls.ftruncate = f_ftruncate;
    calls.fallocate = f_fallocate;
    calls.unlink = f_unlink;
    os_replace(&calls);
    T_RUN(eio);
    T_RUN(enospc);
    T_RUN(short_write);
    T_RUN(eio_for_ever);
    T_RUN(a_full_disk_heals);
    T_RUN(a_batch_is_all_or_nothing);
    T_RUN(a_failed_quick_write_is_done_again);
    T_RUN(a_turn_is_one_sync);
    T_RUN(missing_files_heal);
    T_RUN(a_failed_sync_does_not_heal);
    T_RUN(a_slow_disk_holds_writers);
    st_dir_remove(dir);
    return t_done();
}
