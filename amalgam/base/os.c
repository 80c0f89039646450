/*
 * os.c - the table of operating system calls that durability depends on.
 *
 * store/ and file.c call through os(); the fault tests put their own table in place to fail the
 * n-th call, write short or fill the disk. Replacement happens before threads start. EINTR of open,
 * pread and pwrite is handled here, once; the others run in threads without signals. Tested by tests/unit/base/test_os.c.
 */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int os_open(const char *path, int flags, unsigned mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int os_close(int fd)
{
    return close(fd); /* never repeated: Linux has let go of fd even on EINTR */
}

static ssize_t os_pread(int fd, void *p, size_t n, int64_t at)
{
    ssize_t got;
    do
        got = pread(fd, p, n, at);
    while (got < 0 && errno == EINTR);
    return got;
}

static ssize_t os_pwrite(int fd, const void *p, size_t n, int64_t at)
{
    ssize_t done;
    do
        done = pwrite(fd, p, n, at);
    while (done < 0 && errno == EINTR);
    return done;
}

static int os_fdatasync(int fd)
{
    return fdatasync(fd);
}

static int os_fsync(int fd)
{
    return fsync(fd);
}

static int os_ftruncate(int fd, int64_t n)
{
    return ftruncate(fd, n);
}

static int os_fallocate(int fd, int64_t at, int64_t n)
{
    int failed = posix_fallocate(fd, at, n);
    if (failed == 0)
        return 0;
    errno = failed;
    return -1;
}

static int os_rename(const char *from, const char *to)
{
    return rename(from, to);
}

static int os_unlink(const char *path)
{
    return unlink(path);
}

static const struct os_calls os_real = {os_open,      os_close, os_pread,     os_pwrite,
                                        os_fdatasync, os_fsync, os_ftruncate, os_fallocate,
                                        os_rename,    os_unlink};
static const struct os_calls *os_now = &os_real;

const struct os_calls *os(void)
{
    return os_now;
}

void os_replace(const struct os_calls *calls)
{
    os_now = calls ? calls : &os_real;
}
