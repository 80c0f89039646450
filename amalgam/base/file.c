/*
 * file.c - whole files and directories (the second half of os.h).
 *
 * For settings, policies, keys and certificates: small files read at once and written whole or not
 * at all. The store has its own ways. Everything that matters to durability goes through os(). Any
 * thread; results live in the caller's arena. Tested by tests/unit/base/test_os.c.
 */
#include "base/os.h"

#include "base/rand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_FIRST_BYTES = 4096, FILE_PATH_MAX = 4096, FILE_DIR_ENTRIES_MAX = 100000 };

/* Reads fd to its end into the arena: the size it had is a hint only, it may grow meanwhile. */
static enum rc file_read_fd(struct arena *a, int fd, const char *path, size_t max_bytes,
                            struct slice *out, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_os(e, "cannot read %s", path);
    if (S_ISDIR(st.st_mode))
        return err_set(e, RC_IO, "cannot read %s: it is a directory", path);
    size_t cap = MAX((size_t)(st.st_size > 0 ? st.st_size : 0) + 1, (size_t)FILE_FIRST_BYTES);
    size_t n = 0;
    if ((uint64_t)st.st_size > max_bytes)
        return err_set(e, RC_TOOBIG, "%s is larger than %zu bytes", path, max_bytes);
    char *p = arena_try(a, cap + 1);
    while (p) {
        ssize_t got = os()->pread(fd, p + n, cap - n, (int64_t)n);
        if (got < 0)
            return err_os(e, "cannot read %s", path);
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max_bytes)
            return err_set(e, RC_TOOBIG, "%s is larger than %zu bytes", path, max_bytes);
        if (n == cap) {
            char *bigger = arena_try(a, cap * 2 + 1);
            if (bigger)
                memcpy(bigger, p, n);
            p = bigger;
            cap *= 2;
        }
    }
    if (!p)
        return err_set(e, RC_TOOBIG, "%s does not fit into memory", path);
    p[n] = '\0';
    *out = slice_of(p, n);
    return RC_OK;
}

enum rc file_read(struct arena *a, const char *path, size_t max_bytes, struct slice *out,
                  struct err *e)
{
    int fd = os()->open(path, O_RDONLY, 0);
    if (fd < 0) {
        enum rc rc = errno == ENOENT ? RC_NOTFOUND : RC_IO;
        (void)err_os(e, "cannot open %s", path);
        if (e)
            e->rc = rc;
        return rc;
    }
    enum rc rc = file_read_fd(a, fd, path, max_bytes, out, e);
    os()->close(fd);
    return rc;
}

static bool file_put_all(int fd, struct slice data)
{
    size_t at = 0;
    while (at < data.n) {
        ssize_t done = os()->pwrite(fd, data.p + at, data.n - at, (int64_t)at);
        if (done < 0)
            return false;
        if (done == 0) {
            errno = ENOSPC;
            return false;
        }
        at += (size_t)done;
    }
    return os()->fsync(fd) == 0;
}

static void file_parent(const char *path, char *dst, size_t cap)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(dst, cap, ".");
    else
        snprintf(dst, cap, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

enum rc file_write(const char *path, struct slice data, unsigned mode, struct err *e)
{
    char beside[FILE_PATH_MAX], parent[FILE_PATH_MAX];
    int len =
        snprintf(beside, sizeof beside, "%s.%016llx.tmp", path, (unsigned long long)rand_u64());
    if (len < 0 || (size_t)len >= sizeof beside)
        return err_set(e, RC_BADINPUT, "the path %.100s... is too long", path);
    int fd = os()->open(beside, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return err_os(e, "cannot write %s", path);
    bool ok = file_put_all(fd, data);
    int saved = errno;
    ok = os()->close(fd) == 0 && ok;
    if (!ok || os()->rename(beside, path) != 0) {
        saved = ok ? errno : saved;
        os()->unlink(beside);
        errno = saved;
        return err_os(e, "cannot write %s", path);
    }
    file_parent(path, parent, sizeof parent);
    return dir_sync(parent, e);
}

enum rc dir_sync(const char *path, struct err *e)
{
    int fd = os()->open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return err_os(e, "cannot open the directory %s", path);
    bool ok = os()->fsync(fd) == 0 || errno == EINVAL; /* some file systems have no such thing */
    int saved = errno;
    os()->close(fd);
    errno = saved;
    return ok ? RC_OK : err_os(e, "cannot sync the directory %s", path);
}

enum rc dir_make(const char *path, unsigned mode, struct err *e)
{
    char part[FILE_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return err_set(e, RC_BADINPUT, "a directory path must have 1 to %d bytes",
                       FILE_PATH_MAX - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, (mode_t)mode) != 0 && errno != EEXIST && !path_is_dir(part))
            return err_os(e, "cannot make the directory %s", part);
        part[i] = kept;
    }
    if (!path_is_dir(path))
        return err_set(e, RC_IO, "%s exists and is not a directory", path);
    return RC_OK;
}

static int file_name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum rc dir_list(struct arena *a, const char *path, char ***names, size_t *n, struct err *e)
{
    size_t cap = 64, count = 0;
    char **list = ARENA_ARRAY(a, char *, cap);
    DIR *d = opendir(path);
    if (!d)
        return err_os(e, "cannot list %s", path);
    enum rc rc = RC_OK;
    struct dirent *entry;
    for (errno = 0; (entry = readdir(d)) != NULL; errno = 0) {
        if (entry->d_name[0] == '.')
            continue;
        if (count == FILE_DIR_ENTRIES_MAX) {
            rc = err_set(e, RC_TOOBIG, "%s has more than %d entries", path, FILE_DIR_ENTRIES_MAX);
            break;
        }
        if (count == cap) {
            char **bigger = ARENA_ARRAY(a, char *, cap * 2);
            memcpy(bigger, list, cap * sizeof *list);
            list = bigger;
            cap *= 2;
        }
        list[count++] = arena_cstr(a, slice_str(entry->d_name));
    }
    if (rc == RC_OK && errno != 0)
        rc = err_os(e, "cannot list %s", path);
    closedir(d);
    if (rc != RC_OK)
        return rc;
    qsort(list, count, sizeof *list, file_name_cmp);
    *names = list;
    *n = count;
    return RC_OK;
}

bool path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *path_join(struct arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    const char *slash = n > 0 && dir[n - 1] == '/' ? "" : "/";
    struct slice s = arena_fmt(a, "%s%s%s", dir, slash, name);
    return arena_cstr(a, s);
}
