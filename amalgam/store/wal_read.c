/*
 * wal_read.c - the reading side of the log: records from segments, and cutting a torn tail.
 *
 * Called by replay.c at start and by the applier (apply.c) behind the writer. Believes nothing: a length
 * is checked against the file, a record against its checksum and its own position, so that bytes
 * of an older life of the file are never taken for new. Owns its window of bytes.
 * Threads: one reader per thread. Tested by tests/unit/store/test_wal.c (every truncation, every bit)
 * and tests/fuzz/fuzz_log.c.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "store/wal.h"
#include "wire/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { WALR_WINDOW = 256 << 10 };

enum rc wal_parse(struct slice bytes, uint64_t lsn, struct wal_record *out, size_t *need)
{
    uint32_t head, crc;
    uint64_t own;
    *need = WAL_RECORD_HEAD;
    if (bytes.n < WAL_RECORD_HEAD)
        return RC_AGAIN;
    memcpy(&head, bytes.p, 4);
    memcpy(&crc, bytes.p + 4, 4);
    memcpy(&own, bytes.p + 8, 8);
    if (head == 0 && crc == 0 && own == 0)
        return RC_NOTFOUND; /* preallocated and never written */
    if (own != lsn)
        return RC_BADINPUT;
    size_t n = head & ~WAL_MORE;
    *need = WAL_RECORD_HEAD + n;
    if (bytes.n < *need)
        return RC_AGAIN;
    if (crc32c(crc32c(0, bytes.p, 4), bytes.p + 8, n + 8) != crc)
        return RC_BADINPUT;
    *out = (struct wal_record){lsn, lsn + *need, (head & WAL_MORE) != 0,
                               slice_of(bytes.p + WAL_RECORD_HEAD, n)};
    return RC_OK;
}

/* ---- segments by name ---- */

struct walr_segment {
    uint64_t first;
    char *path;
};

static bool walr_name(const char *name, uint64_t *first)
{
    struct slice s = slice_str(name);
    if (s.n != 24 || !slice_ends(s, S(".log")))
        return false;
    for (size_t i = 0; i < 20; i++)
        if (!ascii_digit(name[i]))
            return false;
    errno = 0;
    *first = strtoull(name, NULL, 10);
    return errno == 0;
}

/* The segments in order of their first LSN (names sort that way). */
static enum rc walr_list(struct arena *a, const char *dir, struct walr_segment **out, size_t *n,
                         struct err *e)
{
    char **names;
    size_t count;
    *n = 0;
    enum rc rc = dir_list(a, dir, &names, &count, e);
    if (rc != RC_OK)
        return rc;
    *out = ARENA_ARRAY(a, struct walr_segment, count + 1);
    for (size_t i = 0; i < count; i++) {
        uint64_t first;
        if (walr_name(names[i], &first))
            (*out)[(*n)++] = (struct walr_segment){first, path_join(a, dir, names[i])};
    }
    return RC_OK;
}

enum rc wal_oldest(const char *dir, uint64_t *lsn, uint64_t *bytes, struct err *e)
{
    struct arena a;
    struct walr_segment *s;
    size_t n;
    arena_init(&a, 4096, 0);
    enum rc rc = walr_list(&a, dir, &s, &n, e);
    *bytes = 0;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct stat st;
        *bytes += stat(s[i].path, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    if (rc == RC_OK && n == 0)
        rc = RC_NOTFOUND;
    if (rc == RC_OK)
        *lsn = s[0].first;
    arena_free(&a);
    return rc;
}

/* ---- the reader ---- */

struct wal_reader {
    char *dir;
    int fd;
    uint64_t lsn, seg_first;
    struct buf win; /* unread bytes of the segment, the first one stands for lsn */
};

static bool walr_head_ok(const char head[WAL_HEAD], uint64_t first)
{
    uint64_t own;
    uint32_t crc;
    memcpy(&own, head + 16, 8);
    memcpy(&crc, head + 24, 4);
    return memcmp(head, "POSTERNLOG\0\1", 12) == 0 && own == first && crc == crc32c(0, head, 24);
}

/* Opens the segment that begins at or before lsn. Without a sound head it holds nothing: RC_BADINPUT. */
static enum rc walr_open_segment(struct wal_reader *r, const struct walr_segment *s, struct err *e)
{
    char head[WAL_HEAD];
    int fd = os()->open(s->path, O_RDONLY, 0);
    if (fd < 0)
        return err_os(e, "cannot open %s", s->path);
    ssize_t got = os()->pread(fd, head, WAL_HEAD, 0);
    if (got != WAL_HEAD || !walr_head_ok(head, s->first)) {
        enum rc rc = got < 0 ? err_os(e, "cannot read %s", s->path)
                             : err_set(e, RC_BADINPUT, "%s has no sound head", s->path);
        (void)os()->close(fd);
        return rc;
    }
    if (r->fd >= 0)
        (void)os()->close(r->fd);
    r->fd = fd;
    r->seg_first = s->first;
    buf_clear(&r->win);
    return RC_OK;
}

/* exact: the segment that begins at lsn; else the last one that begins at or before it. */
static enum rc walr_seek(struct wal_reader *r, bool exact, struct err *e)
{
    struct arena a;
    struct walr_segment *s;
    size_t n;
    arena_init(&a, 4096, 0);
    enum rc rc = walr_list(&a, r->dir, &s, &n, e);
    size_t at = n;
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        if (exact ? s[i].first == r->lsn : s[i].first <= r->lsn)
            at = i;
    if (rc == RC_OK)
        rc = at == n ? RC_NOTFOUND : walr_open_segment(r, &s[at], e);
    arena_free(&a);
    return rc;
}

enum rc wal_reader_open(const char *dir, uint64_t lsn, struct wal_reader **out, struct err *e)
{
    struct wal_reader *r = mem_zalloc(sizeof *r);
    r->dir = mem_strdup(dir);
    r->fd = -1;
    r->lsn = lsn;
    buf_init(&r->win, SIZE_MAX / 2);
    enum rc rc = walr_seek(r, false, e);
    if (rc == RC_OK)
        *out = r;
    else
        wal_reader_close(r);
    return rc;
}

void wal_reader_close(struct wal_reader *r)
{
    if (r->fd >= 0)
        (void)os()->close(r->fd);
    buf_free(&r->win);
    mem_free(r->dir);
    mem_free(r);
}

uint64_t wal_reader_lsn(const struct wal_reader *r)
{
    return r->lsn;
}

/* Fills the window up to `need` bytes and, cheaply, some more. RC_AGAIN: the file ends before. */
static enum rc walr_fill(struct wal_reader *r, size_t need, struct err *e)
{
    struct stat st;
    int64_t from = (int64_t)(r->lsn - r->seg_first) + WAL_HEAD;
    if (fstat(r->fd, &st) != 0)
        return err_os(e, "cannot read the log in %s", r->dir);
    if (from + (int64_t)need > st.st_size)
        return RC_AGAIN;
    buf_compact(&r->win);
    size_t want = MAX(need, (size_t)WALR_WINDOW);
    while (r->win.n < need) {
        if (!buf_room(&r->win, want - r->win.n))
            return err_set(e, RC_NOMEM, "a log record of %zu bytes does not fit into memory", need);
        ssize_t got = os()->pread(r->fd, r->win.p + r->win.n, want - r->win.n, from + (int64_t)r->win.n);
        if (got < 0)
            return err_os(e, "cannot read the log in %s", r->dir);
        if (got == 0)
            return RC_AGAIN;
        r->win.n += (size_t)got;
    }
    return RC_OK;
}

/* One record of the open segment. RC_NOTFOUND: the segment ends here, cleanly. */
static enum rc walr_next(struct wal_reader *r, struct wal_record *out, struct err *e)
{
    for (;;) {
        size_t need;
        enum rc rc = wal_parse(buf_unread(&r->win), r->lsn, out, &need);
        if (rc != RC_AGAIN)
            return rc;
        size_t have = buf_unread(&r->win).n;
        rc = walr_fill(r, need, e);
        if (rc == RC_AGAIN) {
            struct stat st;
            int64_t at = (int64_t)(r->lsn - r->seg_first) + WAL_HEAD;
            bool clean = have == 0 && fstat(r->fd, &st) == 0 && st.st_size == at;
            return clean ? RC_NOTFOUND : RC_BADINPUT;
        }
        if (rc != RC_OK)
            return rc;
    }
}

enum rc wal_read(struct wal_reader *r, uint64_t limit, struct wal_record *out, struct err *e)
{
    if (r->lsn >= limit)
        return RC_NOTFOUND;
    enum rc rc = walr_next(r, out, e);
    if (rc == RC_NOTFOUND && r->lsn > r->seg_first) {
        rc = walr_seek(r, true, e);
        if (rc == RC_OK)
            rc = walr_next(r, out, e);
    }
    if (rc == RC_BADINPUT)
        return err_set(e, rc, "the log in %s is damaged at position %llu", r->dir,
                       (unsigned long long)r->lsn);
    if (rc != RC_OK)
        return rc;
    r->lsn = out->end;
    buf_consume(&r->win, (size_t)(out->end - out->lsn)); /* the bytes stay until the next fill */
    return RC_OK;
}

enum rc wal_cut(const char *dir, uint64_t lsn, uint64_t *dropped, struct err *e)
{
    struct arena a;
    struct walr_segment *s;
    size_t n;
    arena_init(&a, 4096, 0);
    enum rc rc = walr_list(&a, dir, &s, &n, e);
    *dropped = 0;
    for (size_t i = n; rc == RC_OK && i-- > 0;) {
        struct stat st;
        uint64_t keep = lsn > s[i].first ? lsn - s[i].first + WAL_HEAD : 0;
        uint64_t size = stat(s[i].path, &st) == 0 ? (uint64_t)st.st_size : 0;
        if (keep == 0) {
            *dropped += size > WAL_HEAD ? size - WAL_HEAD : 0;
            if (os()->unlink(s[i].path) != 0)
                rc = err_os(e, "cannot remove %s", s[i].path);
            continue;
        }
        if (size > keep) {
            int fd = os()->open(s[i].path, O_RDWR, 0);
            *dropped += size - keep;
            if (fd < 0 || os()->ftruncate(fd, (int64_t)keep) != 0 || os()->fsync(fd) != 0)
                rc = err_os(e, "cannot cut the log %s at position %llu", s[i].path, (unsigned long long)lsn);
            if (fd >= 0)
                (void)os()->close(fd);
        }
        break;
    }
    if (rc == RC_OK)
        rc = dir_sync(dir, e);
    arena_free(&a);
    return rc;
}

void wal_forget(const char *dir, uint64_t lsn)
{
    struct arena a;
    struct walr_segment *s;
    size_t n;
    arena_init(&a, 4096, 0);
    if (walr_list(&a, dir, &s, &n, NULL) == RC_OK)
        for (size_t i = 0; i + 1 < n; i++) /* a segment ends where the next one begins */
            if (s[i + 1].first <= lsn)
                (void)os()->unlink(s[i].path);
    arena_free(&a);
}
