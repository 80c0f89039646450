/*
 * control.c - commands that change data reach the running Postern through DIR/control.sock.
 *
 * One request per connection: a line {"op":"key.create","args":{...}}, answered by one line
 * {"ok":true,"data":{...}} or {"ok":false,"rc":"conflict","place":"name","text":"..."}. The socket
 * lies in the 0700 data directory, for its owner only: who can open it owns the data anyway. A thread of
 * its own serves it and may block (SQLite, argon2). Without a running Postern the caller opens the data
 * directory itself and runs the same op.
 * Tested by tests/box/test_cli.py (both ways).
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "main/app.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_LINE_MAX ((size_t)4 * 1024 * 1024)
#define CONTROL_DATA_MAX (CONTROL_LINE_MAX - (size_t)128 * 1024) /* what stands around it, a read's room */
#define CONTROL_WAIT_MS 30000 /* for the answer */
#define CONTROL_ASK_MS 2000   /* for the question, which a caller sends at once */

static struct { /* the one control thread of this process */
    int fd;
    pthread_t thread;
    bool running;
} control = {.fd = -1};

static enum rc control_address(const char *dir, struct sockaddr_un *sa, struct err *e)
{
    memset(sa, 0, sizeof *sa);
    sa->sun_family = AF_UNIX;
    size_t n = strlen(dir);
    static const char name[] = "/control.sock";
    if (n + sizeof name > sizeof sa->sun_path)
        return err_at(e, RC_BADINPUT, dir, "the path of the data directory is too long for a socket "
                      "(%zu characters at most)", sizeof sa->sun_path - sizeof name);
    memcpy(sa->sun_path, dir, n);
    memcpy(sa->sun_path + n, name, sizeof name);
    return RC_OK;
}

/* ---- lines over a socket ---- */

static enum rc control_send(int fd, struct slice data)
{
    while (data.n) {
        ssize_t n = send(fd, data.p, data.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return RC_IO;
        data = slice_from(data, (size_t)n);
    }
    return RC_OK;
}

static enum rc control_read_line(int fd, struct buf *in, int64_t wait_ms)
{
    int64_t until = clock_mono_ms() + wait_ms;
    while (slice_index(buf_unread(in), '\n') == SIZE_MAX) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return RC_TIMEOUT;
        if (!buf_room(in, 65536))
            return RC_TOOBIG;
        ssize_t n = recv(fd, in->p + in->n, in->cap - in->n, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return RC_IO;
        in->n += (size_t)n;
    }
    return RC_OK;
}

/* ---- server side ---- */

static void control_answer(struct app *a, const struct json *request, struct arena *arena, struct buf *out)
{
    struct buf data;
    struct err e = {0};
    buf_init(&data, CONTROL_DATA_MAX);
    const struct json *args = json_get(request, S("args"));
    enum rc rc = ops_run(a, json_str(request, S("op")), args, arena, &data, &e);
    struct jsonw w;
    jsonw_init(&w, out);
    jsonw_obj(&w);
    jsonw_kbool(&w, S("ok"), rc == RC_OK);
    if (rc == RC_OK) {
        jsonw_key(&w, S("data"));
        jsonw_raw(&w, buf_all(&data));
    } else {
        jsonw_ki64(&w, S("rc"), rc);
        jsonw_kstr(&w, S("place"), slice_str(e.place));
        jsonw_kstr(&w, S("text"), slice_str(e.text));
    }
    jsonw_end_obj(&w);
    buf_byte(out, '\n');
    mem_wipe(data.p, data.n); /* a key that was just made stands in it */
    buf_free(&data);
}

static void control_serve_one(struct app *a, int fd)
{
    struct arena arena;
    struct buf in, out;
    arena_init(&arena, 16384, (size_t)64 * 1024 * 1024);
    buf_init(&in, CONTROL_LINE_MAX);
    buf_init(&out, CONTROL_LINE_MAX);
    struct json *request;
    if (control_read_line(fd, &in, CONTROL_ASK_MS) == RC_OK &&
        json_parse(&arena, buf_unread(&in), CONTROL_LINE_MAX, &request, NULL) == RC_OK) {
        control_answer(a, request, &arena, &out);
        (void)control_send(fd, buf_all(&out));
    }
    mem_wipe(out.p, out.n);
    buf_free(&in);
    buf_free(&out);
    arena_free(&arena);
}

static void *control_loop(void *arg)
{
    /* A caller that stopped reading must not keep the others waiting, or Postern from stopping. */
    static const struct timeval patience = {.tv_sec = CONTROL_ASK_MS / 1000};
    struct app *a = arg;
    while (!a->stopping) {
        struct pollfd p = {.fd = control.fd, .events = POLLIN};
        if (poll(&p, 1, 500) <= 0)
            continue;
        int fd = accept4(control.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        control_serve_one(a, fd);
        (void)close(fd);
    }
    return NULL;
}

enum rc control_start(struct app *a, struct err *e)
{
    struct sockaddr_un sa;
    enum rc rc = control_address(a->data_dir, &sa, e);
    if (rc != RC_OK)
        return rc;
    (void)unlink(sa.sun_path); /* we hold the directory's lock: nobody else serves it */
    control.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = control.fd < 0 ? -1 : bind(control.fd, (struct sockaddr *)&sa, sizeof sa);
    if (bound != 0 || listen(control.fd, 16) != 0)
        return err_os(e, "cannot listen on %s", sa.sun_path);
    control.thread = thread_start("control", control_loop, a);
    control.running = true;
    return RC_OK;
}

void control_stop(struct app *a)
{
    struct sockaddr_un sa;
    if (!control.running)
        return;
    (void)shutdown(control.fd, SHUT_RDWR); /* wakes its poll */
    thread_join(control.thread);
    (void)close(control.fd);
    control.running = false;
    if (control_address(a->data_dir, &sa, NULL) == RC_OK)
        (void)unlink(sa.sun_path);
}

/* ---- caller's side ---- */

static enum rc control_result(struct slice line, struct arena *arena, struct buf *out, struct err *e)
{
    struct json *answer;
    enum rc rc = json_parse(arena, line, CONTROL_LINE_MAX, &answer, e);
    if (rc != RC_OK)
        return rc;
    const struct json *data = json_get(answer, S("data"));
    if (json_bool(answer, S("ok"), false) && data) {
        struct jsonw w;
        jsonw_init(&w, out);
        jsonw_value(&w, data);
        return RC_OK;
    }
    int64_t n = json_int(answer, S("rc"), RC_BUG);
    rc = n > RC_OK && n < RC_COUNT ? (enum rc)n : RC_BUG;
    char text[400];
    struct slice said = json_str(answer, S("text"));
    memcpy(text, said.p, MIN(said.n, sizeof text - 1));
    text[MIN(said.n, sizeof text - 1)] = 0;
    struct slice place = json_str(answer, S("place"));
    return err_at(e, rc, arena_cstr(arena, place), "%s", text);
}

static enum rc control_remote(int fd, const char *op, struct slice args, struct buf *out, struct err *e)
{
    struct arena arena;
    struct buf line;
    arena_init(&arena, 16384, (size_t)64 * 1024 * 1024);
    buf_init(&line, CONTROL_LINE_MAX);
    buf_fmt(&line, "{\"op\":\"%s\",\"args\":", op);
    buf_slice(&line, args);
    buf_lit(&line, "}\n");
    enum rc rc = control_send(fd, buf_all(&line));
    buf_clear(&line);
    if (rc == RC_OK)
        rc = control_read_line(fd, &line, CONTROL_WAIT_MS);
    if (rc != RC_OK)
        (void)err_set(e, rc, "the running Postern did not answer on its control socket (%s)", rc_name(rc));
    else
        rc = control_result(buf_unread(&line), &arena, out, e);
    buf_free(&line);
    arena_free(&arena);
    return rc;
}

static enum rc control_local(struct settings *s, const char *op, struct slice args, struct buf *out,
                             struct err *e)
{
    struct app app;
    struct arena arena;
    struct json *parsed;
    arena_init(&arena, 16384, (size_t)64 * 1024 * 1024);
    enum rc rc = app_open(&app, s, false, e);
    if (rc != RC_OK && e) /* whatever it was: the question was not asked, so there is no answer "no" */
        e->rc = rc = RC_IO;
    if (rc == RC_OK)
        rc = json_parse(&arena, args, CONTROL_LINE_MAX, &parsed, e);
    if (rc == RC_OK)
        rc = ops_run(&app, slice_str(op), parsed, &arena, out, e);
    app_close(&app);
    arena_free(&arena);
    return rc;
}

/* Never make a data directory, or make one of what is another program's, as a side effect of asking
 * something of it. */
static enum rc control_check_dir(const struct settings *s, struct err *e)
{
    const char *dir = setting_cstr(s, SET_DATA_DIR);
    struct arena arena;
    char **names;
    size_t n = 0;
    if (!path_is_dir(dir))
        return err_at(e, RC_IO, dir, "no data directory there; name the one of your Postern with --data DIR");
    arena_init(&arena, 4096, (size_t)16 * 1024 * 1024);
    enum rc rc = dir_list(&arena, dir, &names, &n, e);
    bool ours = path_is_file(path_join(&arena, dir, "postern.db"));
    arena_free(&arena);
    if (rc == RC_OK && n && !ours)
        return err_at(e, RC_IO, dir, "this is no data directory of a Postern (there is no postern.db in it); name "
                      "yours with --data DIR");
    return rc;
}

enum rc control_call(struct settings *s, const char *op, struct slice args_json, struct buf *out,
                     struct err *e)
{
    struct sockaddr_un sa;
    enum rc rc = control_address(setting_cstr(s, SET_DATA_DIR), &sa, e);
    if (rc != RC_OK)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_os(e, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0) {
        rc = control_remote(fd, op, args_json, out, e);
    } else if (errno == ENOENT || errno == ECONNREFUSED) {
        rc = control_check_dir(s, e);
        if (rc == RC_OK)
            rc = control_local(s, op, args_json, out, e);
    } else if (errno == ENOTDIR) {
        rc = err_at(e, RC_IO, setting_cstr(s, SET_DATA_DIR), "this is no directory; name the one of your Postern "
                    "with --data DIR");
    } else {
        rc = err_os(e, "cannot reach %s", sa.sun_path);
    }
    (void)close(fd);
    return rc;
}
#undef CONTROL_LINE_MAX
#undef CONTROL_DATA_MAX
#undef CONTROL_WAIT_MS
#undef CONTROL_ASK_MS
