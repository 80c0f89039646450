/*
 * fuzz_resp_door.c - bytes of a Redis client into the whole door: reactor, reader, dispatch, every
 * command, an in-memory store.
 *
 * A real reactor runs in its own thread behind a Unix socket. One input is one connection: everything is
 * sent, the sending side closed, the answer read to its end. What must hold: no crash, an answer that
 * ends, and that begins with a reply type of the protocol. Keys are flushed after every input; the server
 * is opened anew now and then, and whenever an input locked us out (CONFIG SET requirepass, maxclients).
 * Inputs with DEBUG SLEEP are skipped: they would only wait. Seeds: tests/fuzz/seeds/fuzz_resp_door.
 */
#include "base/lock.h"
#include "base/log.h"
#include "resp/resp_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_DOOR_RUNS = 500 };

static struct {
    struct store *store;
    struct resp_server *server;
    struct reactor *reactor;
    struct listener *listener;
    pthread_t thread;
    struct sockaddr_un addr;
    int runs;
} door;

static void *fuzz_door_run(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static void fuzz_door_open(void)
{
    struct err e = {0};
    struct store_opts so = {.engine = STORE_MEMORY};
    log_init(LOG_SILENT, false);
    MUST(store_open(&so, &door.store, &e) == RC_OK);
    MUST(reactor_open(0, &door.reactor, &e) == RC_OK);
    struct resp_opts o = {.store = door.store, .version = "fuzz",
                          .limits = {.bulk_bytes_max = 1 << 16, .inline_bytes_max = 1 << 12, .args_max = 1 << 10}};
    door.server = resp_server_open(&o, &door.reactor, 1);
    struct listener_opts lo = {.proto = resp_proto(), .ctx = door.server, .in_bytes_max = 1 << 20,
                               .out_bytes_max = 64 << 20, .addr = {.kind = ADDR_UNIX}};
    door.addr.sun_family = AF_UNIX;
    (void)snprintf(door.addr.sun_path, sizeof door.addr.sun_path, "%s/fuzz-door-%ld.sock",
                   getenv("TEST_TMP") ? getenv("TEST_TMP") : "/tmp", (long)getpid());
    (void)snprintf(lo.addr.path, sizeof lo.addr.path, "%.100s", door.addr.sun_path);
    MUST(listener_open(&door.reactor, 1, &lo, &door.listener, &e) == RC_OK);
    door.thread = thread_start("door", fuzz_door_run, door.reactor);
    door.runs = 0;
}

static void fuzz_door_close(void)
{
    listener_stop(door.listener);
    reactor_stop(door.reactor);
    thread_join(door.thread);
    listener_close(door.listener);
    reactor_close(door.reactor);
    resp_server_close(door.server);
    store_close(door.store);
    (void)unlink(door.addr.sun_path);
    door.store = NULL;
}

/* What an input may leave behind for the next one. */
static bool fuzz_door_clean(void)
{
    store_enter(door.store, clock_wall_ms());
    ks_flush(door.store, -1);
    if (door.server->pause_until_ms != 0) {
        door.server->pause_until_ms = 0;
        resp_resume_all(door.server);
    }
    bool locked_out = door.server->password.n > 0 || door.server->opts.maxclients < 100;
    store_leave(door.store);
    return !locked_out && ++door.runs < FUZZ_DOOR_RUNS;
}

static bool fuzz_door_skipped(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 5 <= size; i++) {
        if (slice_eq_ci(slice_of((const char *)data + i, 5), S("SLEEP")))
            return true;
    }
    return false;
}

static int fuzz_door_connect(void)
{
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&door.addr, sizeof door.addr) == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answer[1 << 16];
    if (size > 1 << 16 || fuzz_door_skipped(data, size))
        return 0;
    if (door.store == NULL) {
        hash_seed_init();
        fuzz_door_open();
    }
    int fd = fuzz_door_connect();
    if (size > 0)
        (void)send(fd, data, size, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    bool first = true, paused = false;
    for (;;) {
        ssize_t n = recv(fd, answer, sizeof answer, paused ? 0 : MSG_DONTWAIT);
        if (n < 0 && !paused) { /* CLIENT PAUSE holds the rest back: lift it, then wait for the end */
            usleep(200);
            store_enter(door.store, clock_wall_ms());
            door.server->pause_until_ms = 0;
            resp_resume_all(door.server);
            store_leave(door.store);
            paused = true;
            continue;
        }
        MUST(n >= 0 || !"an answer that ends");
        if (n == 0)
            break;
        MUST(!first || strchr("+-:$*%~>_,#=(|", answer[0]) != NULL);
        first = false;
    }
    (void)close(fd);
    if (!fuzz_door_clean())
        fuzz_door_close();
    return 0;
}
