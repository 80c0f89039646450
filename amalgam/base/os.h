/*
 * os.h - the operating system calls that durability and files depend on, as a table that the fault
 * tests replace (n-th call fails, short write, ENOSPC, EIO), and file helpers on top of it.
 *
 * Threads: any. Errors: the calls return what the system call returns, with errno.
 */
#ifndef BASE_OS_H
#define BASE_OS_H

#include "base/arena.h"
#include "base/err.h"
#include <sys/types.h>

struct os_calls {
    int (*open)(const char *path, int flags, unsigned mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *p, size_t n, int64_t at);
    ssize_t (*pwrite)(int fd, const void *p, size_t n, int64_t at);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, int64_t n);
    int (*fallocate)(int fd, int64_t at, int64_t n);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
};
FN const struct os_calls *os(void);
FN UNUSED void os_replace(const struct os_calls *calls); /* NULL: the real ones */

/* Whole file into the arena, with a NUL behind it. max_bytes bounds it (RC_TOOBIG). */
FN enum rc file_read(struct arena *a, const char *path, size_t max_bytes, struct slice *out,
                     struct err *e) MUST_CHECK;
/* Writes beside, syncs, renames over, syncs the directory: whole or not at all. */
FN enum rc file_write(const char *path, struct slice data, unsigned mode, struct err *e) MUST_CHECK;
FN enum rc dir_make(const char *path, unsigned mode, struct err *e) MUST_CHECK; /* with parents */
FN enum rc dir_sync(const char *path, struct err *e) MUST_CHECK;
/* Names (not paths) of entries in order; hidden ones left out. *names is an arena array of C
 * strings. */
FN enum rc dir_list(struct arena *a, const char *path, char ***names, size_t *n,
                    struct err *e) MUST_CHECK;
FN bool path_is_dir(const char *path);
FN bool path_is_file(const char *path);
FN char *path_join(struct arena *a, const char *dir, const char *name);

#endif
