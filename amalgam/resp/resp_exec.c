/*
 * resp_exec.c - one command: which row, whether it may run now, run it, account for it.
 *
 * resp_exec is called by resp_client.c for every command that arrives and walks through the
 * refusals in Redis' order (unknown, arity, login, memory, disk, subscribed, queued by MULTI,
 * paused). resp_call runs a row without questions; EXEC calls it for every queued command.
 * Accounting uses the processor's counter: no system call, no clock per command.
 * Inside the store's lock, but for rows with CF_UNLOCKED. Tested by
 * tests/unit/resp/test_resp_door.c.
 */
#include "base/log.h"
#include "resp/resp_int.h"

/* ---- refusals ---- */

/* A command that could not be queued spoils its transaction. */
static enum resp_done resp_exec_refused(struct resp_client *c, const struct resp_row *row)
{
    if (c->flags & CL_MULTI)
        c->flags |= CL_DIRTY_EXEC;
    if (row != NULL)
        c->th->stats[resp_row_index(row)].rejected++;
    resp_bump(&c->th->error_replies);
    return RESP_DONE;
}

static void resp_exec_unknown(struct resp_client *c, const struct resp_row *parent)
{
    struct arena *a = &c->th->arena;
    if (parent != NULL) {
        char *name = arena_cstr(a, slice_of(parent->name, parent->name_len));
        for (char *p = name; *p != 0; p++)
            *p = ascii_upper(*p);
        struct slice sub = slice_sub(c->argv[1], 0, 128);
        resp_error(c->out,
                   arena_fmt(a, "ERR unknown subcommand '%.*s'. Try %s HELP.", SFMT(sub), name));
        return;
    }
    char args[160];
    size_t n = 0;
    for (size_t i = 1; i < c->argc && n < 128; i++) {
        struct slice s = slice_sub(c->argv[i], 0, 128 - n);
        args[n++] = '\'';
        memcpy(args + n, s.p, s.n);
        n += s.n;
        args[n++] = '\'';
        args[n++] = ' ';
    }
    struct slice name = slice_sub(c->argv[0], 0, 128);
    resp_error(c->out, arena_fmt(a, "ERR unknown command '%.*s', with args beginning with: %.*s",
                                 SFMT(name), (int)n, args));
}

static bool resp_exec_arity_ok(const struct resp_row *row, size_t argc)
{
    return row->arity >= 0 ? argc == (size_t)row->arity : argc >= (size_t)-row->arity;
}

/* EXEC is all that was queued. */
static inline uint32_t resp_exec_flags(const struct resp_client *c, const struct resp_row *row)
{
    return UNLIKELY(row->run == cmd_exec && c->txn != NULL) ? row->flags | c->txn->flags
                                                            : row->flags;
}

/* EXEC that may not write ends its transaction. */
static void resp_exec_no_write(struct resp_client *c, const struct resp_row *row, enum rc rc)
{
    if (row->run != cmd_exec) {
        reply_rc(c, rc);
        return;
    }
    struct buf *why = &c->th->scratch, *out = c->out;
    buf_clear(why);
    c->out = why;
    reply_rc(c, rc);
    c->out = out;
    struct slice text = slice_sub(buf_all(why), 1, why->n - 3);
    resp_error(out, arena_fmt(&c->th->arena, "EXECABORT Transaction discarded because of: %.*s",
                              SFMT(text)));
    txn_discard(c);
    txn_unwatch(c);
}

/* RC_OK, RC_NOMEM or RC_IO: whether a command that writes may run. */
enum rc resp_may_write(struct resp_client *c, uint32_t flags)
{
    if (flags & CF_DENYOOM)
        return store_make_room(c->st);
    return LIKELY(store_trouble(c->st) == NULL) ? RC_OK : RC_IO;
}

/* True: refused and answered. Inside the lock. */
static bool resp_exec_refuse(struct resp_client *c, const struct resp_row *row)
{
    if (UNLIKELY(!(c->flags & CL_AUTHED))) {
        if (c->srv->password.n == 0) /* taken away meanwhile */
            c->flags |= CL_AUTHED;
        else if (!(row->flags & CF_NO_AUTH)) {
            reply_err(c, "NOAUTH Authentication required.");
            return true;
        }
    }
    uint32_t flags = resp_exec_flags(c, row);
    if (flags & CF_WRITE) {
        enum rc rc = resp_may_write(c, flags);
        if (UNLIKELY(rc != RC_OK)) {
            resp_exec_no_write(c, row, rc);
            return true;
        }
    }
    if (UNLIKELY(pubsub_count(c) > 0 && c->proto == 2) && row->run != cmd_ping &&
        row->run != cmd_subscribe && row->run != cmd_unsubscribe && row->run != cmd_psubscribe &&
        row->run != cmd_punsubscribe && row->run != cmd_ssubscribe &&
        row->run != cmd_sunsubscribe && row->run != cmd_quit && row->run != cmd_reset) {
        resp_errorf(
            c->out,
            "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
            "RESET are allowed in this context",
            row->name);
        return true;
    }
    return false;
}

static bool resp_exec_queues(const struct resp_client *c, const struct resp_row *row)
{
    return (c->flags & CL_MULTI) && row->run != cmd_exec && row->run != cmd_discard &&
           row->run != cmd_multi && row->run != cmd_watch && row->run != cmd_quit &&
           row->run != cmd_reset;
}

static bool resp_exec_pauses(struct resp_client *c, const struct resp_row *row)
{
    struct resp_server *s = c->srv;
    if (LIKELY(s->pause_until_ms == 0))
        return false;
    if (s->pause_until_ms <= store_now_ms(c->st)) {
        s->pause_until_ms = 0;
        return false;
    }
    uint32_t flags = resp_exec_flags(c, row);
    return s->pause_all || (flags & (CF_WRITE | CF_MAY_REPLICATE));
}

/* ---- accounting ---- */

static void resp_exec_count_error(struct resp_thread *th, struct slice reply)
{
    resp_bump(&th->error_replies);
    struct slice rest, word = slice_cut(slice_sub(reply, 1, 32), ' ', &rest);
    word.n = MIN(word.n, sizeof th->errors[0].code - 1);
    for (size_t i = 0; i < RESP_ERRSTATS; i++) {
        struct resp_errstat *e = &th->errors[i];
        if (e->n == 0)
            memcpy(e->code, word.p, word.n);
        if (e->n == 0 || slice_eq(slice_str(e->code), word)) {
            e->n++;
            return;
        }
    }
}

static void resp_exec_account(struct resp_client *c, const struct resp_row *row, uint64_t ticks,
                              size_t reply_at)
{
    struct resp_thread *th = c->th;
    struct resp_server *s = c->srv;
    struct resp_stat *stat = &th->stats[resp_row_index(row)];
    stat->calls++;
    stat->ticks += ticks;
    resp_bump(&th->commands);
    const struct buf *o = c->out;
    if (UNLIKELY(o->n > reply_at && o->p[reply_at] == '-')) {
        stat->failed++;
        resp_exec_count_error(th, slice_of(o->p + reply_at, o->n - reply_at));
    }
    if (s->slow_us < 0 && s->latency_ms == 0)
        return;
    int64_t us = resp_ticks_us(s, ticks);
    if (UNLIKELY(s->slow_us >= 0 && us >= s->slow_us && !(row->flags & CF_SKIP_SLOWLOG)))
        slow_note(c, row, us);
    if (UNLIKELY(s->latency_ms > 0 && us >= s->latency_ms * 1000))
        latency_note(s, row->flags & CF_FAST ? "fast-command" : "command", us / 1000,
                     store_now_ms(s->st));
}

/* ---- MONITOR ---- */

/* Passwords are shown as (redacted), in MONITOR and in the slow log. */
struct slice resp_redact(const struct resp_row *row, struct slice *argv, size_t argc, size_t i)
{
    (void)argc;
    if (i == 0)
        return argv[0];
    if (row->run == cmd_auth)
        return S("(redacted)");
    if (row->run == cmd_hello) {
        for (size_t k = 2; k < i; k++) {
            if (arg_is(argv[k], "AUTH") && i - k <= 2)
                return S("(redacted)");
        }
    }
    if (row->run == cmd_config_set) {
        for (size_t k = 2; k + 1 <= i; k += 2) {
            if (k + 1 == i &&
                (slice_eq_ci(argv[k], S("requirepass")) || slice_eq_ci(argv[k], S("masterauth"))))
                return S("(redacted)");
        }
    }
    return argv[i];
}

static void resp_exec_quote(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef", plain[] = "\n\r\t\a\b\\\"",
                      escaped[] = "nrtab\\\"";
    buf_byte(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        const char *at = ch != 0 ? strchr(plain, ch) : NULL;
        if (at != NULL) {
            buf_byte(b, '\\');
            buf_byte(b, escaped[at - plain]);
        } else if (ch < 32 || ch > 126) {
            char x[4] = {'\\', 'x', hex[ch >> 4], hex[ch & 15]};
            buf_put(b, x, sizeof x);
        } else {
            buf_byte(b, (char)ch);
        }
    }
    buf_byte(b, '"');
}

void resp_monitor_line(struct resp_client *c, const struct resp_row *row)
{
    struct buf b;
    buf_init(&b, 0);
    int64_t us = clock_wall_us();
    buf_fmt(&b, "+%lld.%06lld [%d %s]", (long long)(us / 1000000), (long long)(us % 1000000), c->db,
            c->addr);
    for (size_t i = 0; i < c->argc; i++) {
        buf_byte(&b, ' ');
        resp_exec_quote(&b, resp_redact(row, c->argv, c->argc, i));
    }
    buf_lit(&b, "\r\n");
    for (struct resp_client *m = c->srv->clients; m != NULL; m = m->next) {
        if (m->flags & CL_MONITOR)
            resp_send(m, buf_all(&b));
    }
    buf_free(&b);
}

/* ---- running ---- */

HOT void resp_call(struct resp_client *c, const struct resp_row *row)
{
    struct resp_thread *th = c->th;
    c->row = row;
    bool outside = (row->flags & CF_UNLOCKED) && !(c->flags & CL_IN_EXEC);
    if (UNLIKELY(outside))
        resp_unlock(th);
    size_t reply_at = c->out->n;
    uint64_t before = resp_ticks();
    row->run(c);
    uint64_t ticks = resp_ticks() - before;
    if (UNLIKELY(outside))
        resp_lock(th);
    resp_exec_account(c, row, ticks, reply_at);
    if (UNLIKELY(c->srv->monitors_n > 0) && !(row->flags & (CF_ADMIN | CF_SKIP_MONITOR)))
        resp_monitor_line(c, row);
    c->last_row = row;
    c->row = NULL;
}

/* A web page that makes a browser talk to this port must not get further than its request's head.
 */
static bool resp_exec_is_http(struct resp_client *c)
{
    if (!arg_is(c->argv[0], "POST") && !arg_is(c->argv[0], "HOST:"))
        return false;
    log_event(LOG_WARN, "redis.http_refused", "peer=%s (an HTTP request on the Redis port)",
              c->addr);
    c->flags |= CL_CLOSING;
    return true;
}

/* The row, or NULL when refused and answered. Inside the lock. */
static const struct resp_row *resp_exec_admit(struct resp_client *c)
{
    const struct resp_row *row = resp_find(c->srv->index, c->argv[0]);
    if (UNLIKELY(row == NULL)) {
        if (resp_exec_is_http(c))
            return NULL;
        resp_exec_unknown(c, NULL);
        (void)resp_exec_refused(c, NULL);
        return NULL;
    }
    if (UNLIKELY((row->flags & CF_CONTAINER) && c->argc > 1)) {
        const struct resp_row *sub = resp_find_sub(row, c->argv[1]);
        if (sub == NULL) {
            resp_exec_unknown(c, row);
            (void)resp_exec_refused(c, NULL);
            return NULL;
        }
        row = sub;
    }
    if (UNLIKELY(!resp_exec_arity_ok(row, c->argc))) {
        reply_arity(c, row);
        (void)resp_exec_refused(c, row);
        return NULL;
    }
    if (UNLIKELY(resp_exec_refuse(c, row))) {
        (void)resp_exec_refused(c, row);
        return NULL;
    }
    return row;
}

/* CLIENT REPLY: replies of this command go to the sink when they are switched off. */
static void resp_exec_replies(struct resp_client *c)
{
    bool off = c->flags & (CL_REPLY_OFF | CL_REPLY_SKIP);
    c->out = LIKELY(!off) ? conn_out(c->conn) : &c->th->sink;
}

static void resp_exec_finish(struct resp_client *c)
{
    struct resp_thread *th = c->th;
    if (UNLIKELY(c->out == &th->sink))
        buf_clear(&th->sink);
    if (UNLIKELY(c->flags & (CL_REPLY_SKIP | CL_REPLY_SKIP_NEXT))) {
        bool next = c->flags & CL_REPLY_SKIP_NEXT;
        c->flags &= ~(uint32_t)(CL_REPLY_SKIP | CL_REPLY_SKIP_NEXT);
        c->flags |= next ? CL_REPLY_SKIP : 0;
    }
    if (UNLIKELY(th->self.n > 0)) {
        if (!(c->flags & CL_CLOSING)) /* nothing follows the last reply */
            buf_slice(conn_out(c->conn), buf_all(&th->self));
        buf_clear(&th->self);
    }
    th->current = NULL;
    if (UNLIKELY((size_t)(th->arena.end - th->arena.at) != th->arena.used_bytes))
        arena_reset(&th->arena);
}

enum resp_done resp_exec(struct resp_client *c)
{
    struct resp_thread *th = c->th;
    resp_lock(th);
    th->current = c;
    resp_exec_replies(c);
    enum resp_done done = RESP_DONE;
    const struct resp_row *row = resp_exec_admit(c);
    if (row == NULL) {
        /* answered */
    } else if (UNLIKELY(resp_exec_queues(c, row))) {
        txn_queue(c, row);
    } else if (UNLIKELY(resp_exec_pauses(c, row))) {
        c->flags |= CL_PAUSED;
        resp_wait_append(&th->paused, &c->in_paused);
        c->srv->paused_n++;
        th->current = NULL;
        done = RESP_PAUSED;
    } else {
        resp_call(c, row);
    }
    if (done == RESP_DONE)
        resp_exec_finish(c);
    return done;
}
