/* test_os.c - files whole or not at all, directories, and the replaceable calls. */
#include "base/os.h"
#include "t.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static char *in_dir(struct arena *a, const char *name)
{
    return path_join(a, dir, name);
}

static void write_and_read(void)
{
    struct arena a;
    struct slice s;
    struct err e;
    struct stat st;
    arena_init(&a, 0, 0);
    char *path = in_dir(&a, "file");
    T_INT(file_write(path, S("hello"), 0600, &e), RC_OK);
    T_INT(file_read(&a, path, 100, &s, &e), RC_OK);
    T_TEXT(s, "hello");
    T(s.p[5] == '\0');
    T(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    T_INT(file_write(path, S(""), 0600, &e), RC_OK);
    T_INT(file_read(&a, path, 0, &s, &e), RC_OK);
    T_INT(s.n, 0);
    T_INT(file_read(&a, in_dir(&a, "absent"), 100, &s, &e), RC_NOTFOUND);
    T(e.rc == RC_NOTFOUND && strstr(e.text, "absent") != NULL);
    T_INT(file_read(&a, dir, 100, &s, &e), RC_IO);
    T(path_is_file(path) && !path_is_dir(path) && path_is_dir(dir) && !path_is_file(dir));
    arena_free(&a);
}

static void bounds(void)
{
    struct arena a;
    struct slice s, big;
    struct err e;
    arena_init(&a, 0, 0);
    char *bytes = arena_zalloc(&a, 100000);
    memset(bytes, 'b', 100000);
    big = slice_of(bytes, 100000);
    char *path = in_dir(&a, "big");
    T_INT(file_write(path, big, 0644, &e), RC_OK);
    T_INT(file_read(&a, path, 100000, &s, &e), RC_OK);
    T(slice_eq(s, big));
    T_INT(file_read(&a, path, 99999, &s, &e), RC_TOOBIG);
    T_INT(file_read(&a, "/proc/self/status", 100000, &s, &e), RC_OK); /* says size 0 */
    T(s.n > 100 && slice_starts(s, S("Name:")));
    T_INT(file_read(&a, "/proc/self/status", 10, &s, &e), RC_TOOBIG);
    struct arena small;
    arena_init(&small, 256, 1024);
    T_INT(file_read(&small, path, 200000, &s, &e), RC_TOOBIG);
    arena_free(&small);
    arena_free(&a);
}

static void directories(void)
{
    struct arena a;
    struct err e;
    char **names;
    size_t n;
    arena_init(&a, 0, 0);
    char *deep = in_dir(&a, "a/b/c/");
    T_INT(dir_make(deep, 0755, &e), RC_OK);
    T_INT(dir_make(deep, 0755, &e), RC_OK); /* there already */
    T(path_is_dir(deep));
    for (int i = 0; i < 150; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%03d", (i * 37) % 150);
        T_INT(file_write(path_join(&a, deep, name), S("x"), 0644, &e), RC_OK);
    }
    T_INT(file_write(path_join(&a, deep, ".hidden"), S("x"), 0644, &e), RC_OK);
    T_INT(dir_list(&a, deep, &names, &n, &e), RC_OK);
    T_INT(n, 150);
    for (size_t i = 1; i < n; i++)
        T(strcmp(names[i - 1], names[i]) < 0);
    T_INT(dir_list(&a, in_dir(&a, "absent"), &names, &n, &e), RC_IO);
    T_INT(dir_make(in_dir(&a, "file/below"), 0755, &e), RC_IO);
    T_INT(dir_make("", 0755, &e), RC_BADINPUT);
    T_TEXT(slice_str(path_join(&a, "/x/", "y")), "/x/y");
    T_TEXT(slice_str(path_join(&a, "/x", "y")), "/x/y");
    arena_free(&a);
}

/* Each call of the table fails once; the old content must stand and nothing be left beside. */
static struct os_calls faulty;
static int calls_left;

static bool time_to_fail(int error)
{
    errno = error;
    return calls_left-- == 0;
}

static int f_open(const char *p, int flags, unsigned mode)
{
    static const struct os_calls *real;
    if (!real) {
        os_replace(NULL);
        real = os();
        os_replace(&faulty);
    }
    return time_to_fail(EACCES) ? -1 : real->open(p, flags, mode);
}

static ssize_t f_pwrite(int fd, const void *p, size_t n, int64_t at)
{
    if (time_to_fail(ENOSPC))
        return -1;
    return pwrite(fd, p, n > 3 ? 3 : n, at); /* always short */
}

static int f_fsync(int fd)
{
    return time_to_fail(EIO) ? -1 : fsync(fd);
}

static int f_close(int fd)
{
    int rc = close(fd);
    return time_to_fail(EIO) ? -1 : rc;
}

static int f_rename(const char *from, const char *to)
{
    return time_to_fail(EIO) ? -1 : rename(from, to);
}

static void every_call_fails_once(void)
{
    struct arena a;
    struct slice s;
    struct err e;
    char **names;
    size_t n;
    bool passed = false;
    arena_init(&a, 0, 0);
    char *sub = in_dir(&a, "faults"), *path = path_join(&a, sub, "file");
    T_INT(dir_make(sub, 0755, &e), RC_OK);
    T_INT(file_write(path, S("old"), 0644, &e), RC_OK);
    faulty = *os();
    faulty.open = f_open;
    faulty.pwrite = f_pwrite;
    faulty.fsync = f_fsync;
    faulty.close = f_close;
    faulty.rename = f_rename;
    for (int nth = 0; nth < 50 && !passed; nth++) {
        T_ROW("call %d", nth);
        calls_left = nth;
        os_replace(&faulty);
        enum rc rc = file_write(path, S("new content"), 0644, &e);
        os_replace(NULL);
        passed = rc == RC_OK && calls_left > 0;
        T_INT(file_read(&a, path, 100, &s, &e), RC_OK);
        T(slice_eq(s, S("old")) || slice_eq(s, S("new content")));
        T(rc != RC_OK || slice_eq(s, S("new content")));
        T_INT(dir_list(&a, sub, &names, &n, &e), RC_OK);
        T_INT(n, 1); /* no temporary file stays */
        T_INT(file_write(path, S("old"), 0644, &e), RC_OK);
    }
    T(passed);
    arena_free(&a);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/postern-os-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        printf("not ok temporary directory - cannot make %s\n", dir);
        return 1;
    }
    T_RUN(write_and_read);
    T_RUN(bounds);
    T_RUN(directories);
    T_RUN(every_call_fails_once);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return t_done();
}
