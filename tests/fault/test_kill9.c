/*
 * test_kill9.c - a process that changes the store is killed at random times; what it said is there.
 *
 * The child does changes 1, 2, 3, ... each an atomic pair (a counter and one of 64 keys that holds its
 * number, and a hash field), now and then a long transaction, with small segments so that the
 * applier and the checkpoints run all the time. It tells the parent through a pipe which change is
 * durable (always) or written to the kernel (everysec, no). The parent kills it with SIGKILL, opens the
 * store and checks that the state is exactly that after some change not older than the last one told.
 * Rounds go on with the same directory, so that recoveries stack.
 */
#include "unit/store/st.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 21, SLOTS = 64, WINDOW = 4096, LONG_EVERY = 97, LONG_KEYS = 40 };
static char dir[200];
static char padding[4000];

static struct slice slot_name(int64_t i)
{
    static char text[32];
    return slice_of(text, (size_t)snprintf(text, sizeof text, "slot:%d", (int)(i % SLOTS)));
}

static struct store *open_store(enum store_durability d)
{
    struct store *st = NULL;
    struct err e = {0};
    struct store_opts o = {.engine = STORE_SQLITE, .dir = dir, .durability = d, .log_segment_bytes = 64 << 10};
    st_seed();
    for (int tries = 0; tries < 6000; tries++) { /* a killed process may hold its lock for a moment */
        enum rc rc = store_open(&o, &st, &e);
        if (rc == RC_OK)
            return st;
        if (rc != RC_BUSY)
            break;
        clock_sleep_ms(5);
    }
    fprintf(stderr, "store_open: %s\n", e.text);
    abort();
}

static void change(struct store *st, int64_t i)
{
    char text[24];
    int64_t n;
    struct slice v = slice_of(text, fmt_i64(text, i));
    ks_atomic_begin(st);
    MUST(ks_incr(st, 0, sl("n"), 1, 0, &n) == RC_OK && n == i);
    if (i % LONG_EVERY == 0)
        for (int k = 0; k < LONG_KEYS; k++) {
            char key[32];
            snprintf(key, sizeof key, "long:%d", k);
            memcpy(padding, text, v.n);
            ks_set(st, 2, sl(key), slice_of(padding, sizeof padding), 0);
        }
    ks_set(st, 0, slot_name(i), v, 0);
    MUST(ks_hset(st, 1, sl("h"), slot_name(i), v, NULL) == RC_OK);
    if (i % 50 == 0)
        MUST(ks_rename(st, 0, slot_name(i), 0, sl("moved"), true, true) == RC_OK);
    ks_atomic_end(st);
}

static void child(int to, enum store_durability d, int64_t n)
{
    static uint64_t lsn[WINDOW];
    struct store *st = open_store(d);
    int64_t told = n, done = n;
    for (;;) {
        if (done - told < WINDOW) {
            done++;
            store_enter(st, st_now);
            change(st, done);
            lsn[done % WINDOW] = store_lsn(st);
            store_leave(st);
        }
        uint64_t safe = d == STORE_ALWAYS ? store_durable_lsn(st) : store_written_lsn(st);
        int64_t now = told;
        while (now < done && lsn[(now + 1) % WINDOW] <= safe)
            now++;
        if (now > told && write(to, &now, sizeof now) != (ssize_t)sizeof now)
            _exit(4);
        if (now == told && done - told == WINDOW)
            clock_sleep_ms(1);
        told = now;
    }
}

static int64_t number(struct store *st, int db, struct slice key)
{
    struct entry *e = ks_find(st, db, key, KS_NOTOUCH);
    char tmp[KS_TMP];
    int64_t n = 0;
    if (!e)
        return 0;
    T(slice_i64(ks_str(e, tmp), &n));
    return n;
}

/* The last change i <= n with i % SLOTS == slot. */
static int64_t last_of(int64_t n, int64_t slot)
{
    int64_t i = n - (n - slot) % SLOTS;
    return n < slot ? 0 : i;
}

static int64_t check(struct store *st)
{
    store_enter(st, st_now);
    int64_t n = number(st, 0, sl("n"));
    for (int64_t slot = 0; slot < SLOTS; slot++) {
        int64_t want = last_of(n, slot), field = 0;
        T_ROW("n %lld slot %lld", (long long)n, (long long)slot);
        T_INT(number(st, 0, slot_name(slot)), want);
        struct entry *h = ks_find(st, 1, sl("h"), 0);
        struct slice v;
        if (h && ks_hget(h, slot_name(slot), &v))
            T(slice_i64(v, &field));
        T_INT(field, want);
    }
    T_INT(number(st, 0, sl("moved")), n - n % 50);
    for (int k = 0; k < LONG_KEYS && n >= LONG_EVERY; k++) {
        char key[32], want[24];
        size_t len = fmt_i64(want, n - n % LONG_EVERY);
        snprintf(key, sizeof key, "long:%d", k);
        struct entry *e = ks_find(st, 2, sl(key), 0);
        T(e && slice_starts(ks_str(e, padding), slice_of(want, len)));
    }
    store_leave(st);
    return n;
}

static int64_t round_of(enum store_durability d, int64_t from, int64_t *told)
{
    int fds[2];
    MUST(pipe(fds) == 0);
    fflush(stdout);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        child(fds[1], d, from);
    }
    close(fds[1]);
    clock_sleep_ms(30 + (int64_t)rand_below(170));
    MUST(kill(pid, SIGKILL) == 0);
    int status;
    MUST(waitpid(pid, &status, 0) == pid);
    T(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    *told = from;
    while (read(fds[0], told, sizeof *told) == (ssize_t)sizeof *told)
        ;
    close(fds[0]);
    struct store *st = open_store(d);
    int64_t n = check(st);
    T(n >= *told);
    store_close(st);
    return n;
}

static void rounds(enum store_durability d, const char *name)
{
    st_dir_clear(dir);
    int64_t n = 0, told = 0, lost = 0;
    int lives = 0;
    for (; lives < ROUNDS / 3 || (n <= 100 && lives < 500); lives++) {
        n = round_of(d, n, &told);
        lost += n < told ? told - n : 0;
    }
    T(n > 100);
    T_INT(lost, 0);
    printf("# %s: %lld changes in %d lives\n", name, (long long)n, lives);
}

static void always_keeps_what_it_acknowledged(void) { rounds(STORE_ALWAYS, "always"); }
static void everysec_keeps_what_the_kernel_has(void) { rounds(STORE_EVERYSEC, "everysec"); }
static void no_keeps_what_the_kernel_has(void) { rounds(STORE_NO, "no"); }

int main(void)
{
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    log_init(LOG_SILENT, false);
    T_RUN(always_keeps_what_it_acknowledged);
    T_RUN(everysec_keeps_what_the_kernel_has);
    T_RUN(no_keeps_what_the_kernel_has);
    st_dir_remove(dir);
    return t_done();
}
