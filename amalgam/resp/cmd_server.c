/*
 * cmd_server.c - the server itself: time, role, saving, memory, MONITOR, SHUTDOWN, empty
 * containers.
 *
 * SAVE, BGSAVE and BGREWRITEAOF all mean: what was acknowledged is on disk when the answer comes.
 * They and WAITAOF wait for the disk, so they run outside the lock and answer at once inside EXEC.
 * Tested by test_resp_commands.c and the Redis suite (unit/other, unit/introspection).
 */
#include "resp/resp_int.h"

void cmd_time(struct resp_client *c)
{
    char text[24];
    int64_t us = clock_wall_us();
    reply_array(c, 2);
    reply_bulk(c, slice_of(text, fmt_i64(text, us / 1000000)));
    reply_bulk(c, slice_of(text, fmt_i64(text, us % 1000000)));
}

void cmd_role(struct resp_client *c)
{
    reply_array(c, 3);
    reply_bulk(c, S("master"));
    reply_int(c, (int64_t)store_lsn(c->st));
    reply_array(c, 0);
}

void cmd_lolwut(struct resp_client *c)
{
    static const char door[] = "   _________\n"
                               "  |  _   _  |\n"
                               "  | | | | | |\n"
                               "  | |_| |_| |\n"
                               "  |       o |\n"
                               "  |_________|\n";
    struct slice text = arena_fmt(&c->th->arena, "%s\nPostern %s, speaking Redis %s\n", door,
                                  c->srv->version, c->srv->redis_version);
    resp_verbatim(c->out, c->proto, "txt", text);
}

/* ---- saving ---- */

/* Everything so far is on disk, or the error is answered. */
static bool cmd_server_sync(struct resp_client *c)
{
    struct resp_thread *th = c->th;
    bool in_exec = c->flags & CL_IN_EXEC;
    resp_lock(th);
    uint64_t lsn = store_lsn(c->st);
    if (in_exec)
        return true; /* the reply of EXEC says no more than that it has begun */
    resp_unlock(th);
    if (store_sync(c->st, lsn) == RC_OK) {
        resp_lock(th);
        c->srv->save_ms = store_now_ms(c->st);
        return true;
    }
    reply_rc(c, RC_IO);
    return false;
}

void cmd_save(struct resp_client *c)
{
    if (cmd_server_sync(c))
        reply_ok(c);
}

void cmd_bgsave(struct resp_client *c)
{
    if (c->argc > 2 || (c->argc == 2 && !arg_is(c->argv[1], "SCHEDULE")))
        reply_syntax(c);
    else if (cmd_server_sync(c))
        buf_lit(c->out, "+Background saving started\r\n");
}

void cmd_bgrewriteaof(struct resp_client *c)
{
    if (cmd_server_sync(c))
        buf_lit(c->out, "+Background append only file rewriting started\r\n");
}

void cmd_lastsave(struct resp_client *c)
{
    reply_int(c, c->srv->save_ms / 1000);
}

void cmd_waitaof(struct resp_client *c)
{
    int64_t local, replicas, timeout;
    if (!arg_range(c, c->argv[1], 0, 1, &local) || !arg_i64(c, c->argv[2], &replicas) ||
        !arg_i64(c, c->argv[3], &timeout))
        return;
    if (replicas < 0 || timeout < 0) {
        reply_err(c, "ERR timeout is negative");
        return;
    }
    if (local > 0 && !cmd_server_sync(c))
        return;
    reply_array(c, 2);
    reply_int(c, local);
    reply_int(c, 0);
}

void cmd_shutdown(struct resp_client *c)
{
    for (size_t i = 1; i < c->argc; i++) {
        if (arg_is(c->argv[i], "ABORT")) {
            reply_err(c, "ERR No shutdown in progress.");
            return;
        }
        if (!arg_is(c->argv[i], "NOSAVE") && !arg_is(c->argv[i], "SAVE") &&
            !arg_is(c->argv[i], "NOW") && !arg_is(c->argv[i], "FORCE")) {
            reply_syntax(c);
            return;
        }
    }
    if (c->srv->opts.shutdown == NULL) {
        reply_err(c, "ERR SHUTDOWN is not possible here");
        return;
    }
    c->flags |= CL_CLOSING;
    c->srv->opts.shutdown(c->srv->opts.shutdown_ctx);
}

/* ---- MONITOR ---- */

void cmd_monitor(struct resp_client *c)
{
    if (c->flags & CL_IN_EXEC) {
        reply_err(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (!(c->flags & CL_MONITOR)) {
        c->flags |= CL_MONITOR;
        c->srv->monitors_n++;
        conn_set_idle(c->conn, 0);
    }
    reply_ok(c);
}

/* ---- MEMORY ---- */

void cmd_memory_usage(struct resp_client *c)
{
    int64_t samples;
    for (size_t i = 3; i < c->argc; i += 2) {
        if (!arg_is(c->argv[i], "SAMPLES") || i + 1 >= c->argc) {
            reply_syntax(c);
            return;
        }
        if (!arg_i64(c, c->argv[i + 1], &samples))
            return;
        if (samples < 0) {
            reply_syntax(c);
            return;
        }
    }
    const struct entry *e = ks_find(c->st, c->db, c->argv[2], KS_NOTOUCH);
    if (e == NULL)
        reply_nil(c);
    else
        reply_int(c, (int64_t)ks_bytes(e));
}

void cmd_memory_stats(struct resp_client *c)
{
    struct store_stats st = c->th->store_stats;
    if (!(c->flags & CL_IN_EXEC))
        store_stats(c->st, &st);
    uint64_t keys = 0;
    for (int i = 0; i < STORE_DBS; i++)
        keys += st.keys[i];
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"peak.allocated", MAX(st.peak_bytes, st.used_bytes)},
                {"total.allocated", st.used_bytes},
                {"keys.count", keys},
                {"keys.bytes-per-key", keys > 0 ? st.used_bytes / keys : 0},
                {"dataset.bytes", st.used_bytes},
                {"allocator.resident", mem_rss()}};
    reply_map(c, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        reply_str(c, rows[i].name);
        reply_int(c, (int64_t)rows[i].value);
    }
}

void cmd_memory_doctor(struct resp_client *c)
{
    resp_verbatim(c->out, c->proto, "txt",
                  S("MEMORY STATS and INFO memory give the figures; set "
                    "maxmemory to bound them.\n"));
}

void cmd_memory_malloc_stats(struct resp_client *c)
{
    resp_verbatim(c->out, c->proto, "txt", S("Stats not supported for the current allocator\n"));
}

void cmd_memory_purge(struct resp_client *c)
{
    reply_ok(c);
}

/* ---- modules and functions: there are none ---- */

void cmd_module_list(struct resp_client *c)
{
    reply_array(c, 0);
}

void cmd_function_flush(struct resp_client *c)
{
    if (c->argc > 3 ||
        (c->argc == 3 && !arg_is(c->argv[2], "SYNC") && !arg_is(c->argv[2], "ASYNC")))
        reply_err(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    else
        reply_ok(c);
}

void cmd_function_list(struct resp_client *c)
{
    reply_array(c, 0);
}
