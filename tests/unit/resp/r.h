/*
 * r.h - what the tests of resp/ share: a real Redis door on a loopback port with its reactors in
 * threads, and blocking clients that speak in lines.
 *
 * Commands are sent inline ("SET a 1"), replies are compared as the bytes of the protocol, with the
 * line ends written as "|": "$1|1|" is a bulk string. Every read has a time limit.
 */
#ifndef UNIT_RESP_R_H
#define UNIT_RESP_R_H

#include "base/lock.h"
#include "base/log.h"
#include "base/os.h"
#include "resp/resp_int.h"
#include "t.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static struct {
    struct store *store;
    struct resp_server *server;
    struct reactor *reactors[4];
    pthread_t threads[4];
    size_t n;
    struct listener *listener;
    int port;
    char dir[64];
    bool on_disk;
    int shutdowns;
} r;

static void *r_run(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static void r_durable(void *ctx, uint64_t lsn)
{
    (void)ctx;
    struct resp_server *s = __atomic_load_n(&r.server, __ATOMIC_ACQUIRE);
    if (s != NULL)
        resp_server_durable(s, lsn);
}

static void r_shutdown(void *ctx)
{
    (void)ctx;
    __atomic_add_fetch(&r.shutdowns, 1, __ATOMIC_SEQ_CST);
}

static inline UNUSED void r_start(size_t threads, bool disk, const char *password)
{
    struct err e = {0};
    struct store_opts so = {.engine = disk ? STORE_SQLITE : STORE_MEMORY, .dir = r.dir,
                            .durability = STORE_ALWAYS, .on_durable = r_durable};
    log_init(LOG_ERROR, false);
    hash_seed_init();
    snprintf(r.dir, sizeof r.dir, "%s/resp-XXXXXX", getenv("TEST_TMP") ? getenv("TEST_TMP") : "/tmp");
    MUST(!disk || mkdtemp(r.dir) != NULL);
    MUST(store_open(&so, &r.store, &e) == RC_OK);
    r.n = threads;
    r.on_disk = disk;
    for (size_t i = 0; i < threads; i++)
        MUST(reactor_open((int)i, &r.reactors[i], &e) == RC_OK);
    struct resp_opts o = {.store = r.store, .password = slice_str(password), .version = "test",
                          .shutdown = r_shutdown, .durability = STORE_ALWAYS, .maxclients = 64,
                          .limits = {.bulk_bytes_max = 1 << 20, .inline_bytes_max = 1 << 16,
                                     .args_max = 1 << 20}};
    struct resp_server *s = resp_server_open(&o, r.reactors, threads);
    __atomic_store_n(&r.server, s, __ATOMIC_RELEASE);
    struct listener_opts lo = {.proto = resp_proto(), .ctx = s, .conn_max = 100,
                               .in_bytes_max = 8 << 20, .out_bytes_max = 256 << 20};
    MUST(net_addr_parse(S("127.0.0.1:0"), &lo.addr, &e) == RC_OK);
    MUST(listener_open(r.reactors, threads, &lo, &r.listener, &e) == RC_OK);
    r.port = listener_port(r.listener);
    for (size_t i = 0; i < threads; i++)
        r.threads[i] = thread_start("resp", r_run, r.reactors[i]);
}

static inline void r_remove(const char *dir)
{
    struct arena a;
    char **names;
    size_t n = 0;
    arena_init(&a, 4096, 0);
    if (dir_list(&a, dir, &names, &n, NULL) == RC_OK) {
        for (size_t i = 0; i < n; i++) {
            char *path = path_join(&a, dir, names[i]);
            if (path_is_dir(path))
                r_remove(path);
            else
                (void)unlink(path);
        }
    }
    (void)rmdir(dir);
    arena_free(&a);
}

static inline UNUSED void r_stop(void)
{
    listener_stop(r.listener);
    for (size_t i = 0; i < r.n; i++)
        reactor_stop(r.reactors[i]);
    for (size_t i = 0; i < r.n; i++)
        thread_join(r.threads[i]);
    listener_close(r.listener);
    for (size_t i = 0; i < r.n; i++)
        reactor_close(r.reactors[i]);
    struct resp_server *s = r.server;
    __atomic_store_n(&r.server, NULL, __ATOMIC_RELEASE);
    (void)!store_sync(r.store, store_lsn(r.store));
    resp_server_close(s);
    store_close(r.store);
    if (r.on_disk)
        r_remove(r.dir);
}

static inline UNUSED int r_connect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r.port)};
    struct timeval limit = {.tv_sec = 60};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static inline UNUSED void r_send(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        s = slice_from(s, (size_t)n);
    }
}

static inline UNUSED void r_line(int fd, const char *line)
{
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, line);
    buf_lit(&b, "\r\n");
    r_send(fd, buf_all(&b));
    buf_free(&b);
}

/* Reads n bytes, or what comes before the end or the time limit; "\r\n" becomes "|". */
static inline UNUSED const char *r_read(int fd, size_t n)
{
    static char text[1 << 16];
    size_t got = 0, k = 0;
    MUST(n < sizeof text);
    while (got < n) {
        ssize_t x = recv(fd, text + got, n - got, 0);
        if (x <= 0)
            break;
        got += (size_t)x;
    }
    for (size_t i = 0; i < got; i++) {
        if (text[i] == '\r' && i + 1 < got && text[i + 1] == '\n') {
            text[k++] = '|';
            i++;
        } else {
            text[k++] = text[i];
        }
    }
    text[k] = 0;
    return text;
}

static inline UNUSED size_t r_wire_len(const char *expected)
{
    size_t n = strlen(expected);
    for (const char *p = expected; *p != 0; p++)
        n += *p == '|';
    return n;
}

/* The next bytes are these. */
static inline UNUSED bool r_expect(int fd, const char *expected)
{
    const char *got = r_read(fd, r_wire_len(expected));
    if (strcmp(got, expected) == 0)
        return true;
    printf("# wanted %.300s\n# got    %.300s\n", expected, got);
    return false;
}

static inline UNUSED bool r_ask(int fd, const char *line, const char *expected)
{
    r_line(fd, line);
    return r_expect(fd, expected);
}

/* The end of the reply that begins at p, or NULL while bytes are missing. */
static inline UNUSED const char *r_reply_end(const char *p, const char *end)
{
    size_t left = 1; /* values to come */
    while (left > 0) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (eol == NULL)
            return NULL;
        long n = strtol(p + 1, NULL, 10);
        char kind = *p;
        p = eol + 2;
        left--;
        if ((kind == '$' || kind == '=') && n >= 0) {
            if (end - p < n + 2)
                return NULL;
            p += n + 2;
        } else if ((kind == '*' || kind == '~' || kind == '>') && n > 0) {
            left += (size_t)n;
        } else if (kind == '%' && n > 0) {
            left += (size_t)n * 2;
        }
    }
    return p;
}

/* A whole reply of unknown length. */
static inline UNUSED const char *r_all(int fd, const char *line)
{
    static char text[1 << 20];
    size_t n = 0;
    r_line(fd, line);
    while (r_reply_end(text, text + n) == NULL) {
        ssize_t x = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (x <= 0)
            break;
        n += (size_t)x;
    }
    text[n] = 0;
    return text;
}

/* Everything that comes until part is in it. */
static inline UNUSED const char *r_until(int fd, const char *part)
{
    static char text[1 << 16];
    size_t n = 0;
    text[0] = 0;
    while (strstr(text, part) == NULL && n < sizeof text - 1) {
        ssize_t x = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (x <= 0)
            break;
        n += (size_t)x;
        text[n] = 0;
    }
    return text;
}

static inline UNUSED bool r_has(int fd, const char *line, const char *part)
{
    const char *all = r_all(fd, line);
    if (strstr(all, part) != NULL)
        return true;
    printf("# %s: no \"%s\" in %.300s\n", line, part, all);
    return false;
}

/* Asks until the answer has this in it: at most a minute. */
static inline UNUSED bool r_becomes(int fd, const char *line, const char *part)
{
    for (int64_t end = clock_mono_ms() + 60000; clock_mono_ms() < end; clock_sleep_ms(2))
        if (strstr(r_all(fd, line), part) != NULL)
            return true;
    return r_has(fd, line, part);
}

static inline UNUSED bool r_closed(int fd)
{
    char x;
    return recv(fd, &x, 1, 0) == 0;
}

#endif
