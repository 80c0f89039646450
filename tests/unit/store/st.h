/*
 * st.h - what the store's tests share: a store in a fresh directory, time that stands still, short names.
 */
#ifndef UNIT_STORE_ST_H
#define UNIT_STORE_ST_H

#include "../t.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/store.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t st_now UNUSED = 1800000000000;

/* Waits for what must happen: a minute, which only a test that fails takes. */
#define ST_UNTIL(cond)                                                                             \
    do {                                                                                           \
        bool held_ = (cond);                                                                       \
        for (int64_t end_ = clock_mono_ms() + 60000; !held_ && clock_mono_ms() < end_;             \
             held_ = (cond))                                                                       \
            clock_sleep_ms(5);                                                                     \
        if (!held_)                                                                                \
            t_fail(__FILE__, __LINE__, "waited in vain for %s", #cond);                            \
    } while (0)

static inline UNUSED struct slice sl(const char *s)
{
    return slice_str(s);
}

/* A directory of its own below the temporary one, removed by st_dir_remove. */
static inline UNUSED char *st_dir_make(void)
{
    static char path[200];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/postern-store-XXXXXX", tmp ? tmp : "/tmp");
    MUST(mkdtemp(path) != NULL);
    return path;
}

static inline UNUSED void st_dir_clear(const char *dir)
{
    struct arena a;
    char **names;
    size_t n;
    arena_init(&a, 4096, 0);
    if (dir_list(&a, dir, &names, &n, NULL) == RC_OK)
        for (size_t i = 0; i < n; i++) {
            char *p = path_join(&a, dir, names[i]);
            if (path_is_dir(p)) {
                st_dir_clear(p);
                rmdir(p);
            } else {
                unlink(p);
            }
        }
    arena_free(&a);
}

static inline UNUSED void st_dir_remove(const char *dir)
{
    st_dir_clear(dir);
    rmdir(dir);
}

/* Once: a new seed would lose every key of a store that is open. */
static inline UNUSED void st_seed(void)
{
    static bool done;
    if (!done)
        hash_seed_init();
    done = true;
}

static inline UNUSED struct store *st_memory(void)
{
    struct store *st;
    struct err e = {0};
    st_seed();
    enum rc rc = store_open(&(struct store_opts){.engine = STORE_MEMORY}, &st, &e);
    if (rc != RC_OK)
        fprintf(stderr, "store_open: %s\n", e.text);
    MUST(rc == RC_OK);
    return st;
}

static inline UNUSED enum rc st_try_disk(const char *dir, enum store_durability d, struct store **st, struct err *e)
{
    st_seed();
    return store_open(&(struct store_opts){.engine = STORE_SQLITE, .dir = dir, .durability = d}, st, e);
}

static inline UNUSED struct store *st_disk(const char *dir, enum store_durability d)
{
    struct store *st;
    struct err e = {0};
    enum rc rc = st_try_disk(dir, d, &st, &e);
    if (rc != RC_OK)
        fprintf(stderr, "store_open: %s\n", e.text);
    MUST(rc == RC_OK);
    return st;
}

/* The text of a string key, or "(nil)", or "(type)"; valid until the next call. */
static inline UNUSED const char *st_get(struct store *st, int db, const char *key)
{
    static char out[256];
    char tmp[KS_TMP];
    struct entry *e = ks_find(st, db, sl(key), KS_NOTOUCH);
    if (!e)
        return "(nil)";
    if (ks_type(e) != V_STRING)
        return "(type)";
    struct slice v = ks_str(e, tmp);
    snprintf(out, sizeof out, "%.*s", (int)v.n, v.p);
    return out;
}

#define T_GET(st, db, key, want) T_TEXT(sl(st_get(st, db, key)), want)

#endif
