/*
 * cmd_txn.c - transactions: MULTI queues copies of commands, EXEC runs them under one lock.
 *
 * A queued command lives in the transaction's arena until EXEC or DISCARD. WATCH hangs a ks_watch
 * into the store, which marks it dirty at the first change of its key. In the log the effects of
 * one EXEC are one record (ks_atomic_begin .. end), so a crash leaves all of them or none. Inside
 * the store's lock. Tested by test_resp_commands.c and the Redis suite (unit/multi).
 */
#include "resp/resp_int.h"

struct cmd_txn_watch {
    struct ks_watch ks;
    bool lived;        /* when it was watched */
    struct slice name; /* database as a byte, key behind it; ks.key is its tail */
};

static struct cmd_txn_watch *cmd_txn_watch_of(struct ks_watch *w)
{
    return CONTAINER_OF(w, struct cmd_txn_watch, ks);
}

void txn_unwatch(struct resp_client *c)
{
    while (c->watches != NULL) {
        struct ks_watch *w = c->watches;
        c->watches = w->next_of_client;
        ks_unwatch(c->st, w);
        (void)map_del(&c->watched, cmd_txn_watch_of(w)->name);
        slice_disown(&cmd_txn_watch_of(w)->name);
        mem_free(cmd_txn_watch_of(w));
        if (c->watches != NULL)
            continue;
        c->srv->watching_n--;
        map_free(&c->watched);
    }
}

void txn_discard(struct resp_client *c)
{
    c->flags &= ~(uint32_t)(CL_MULTI | CL_DIRTY_EXEC);
    if (c->txn == NULL)
        return;
    arena_free(&c->txn->arena);
    mem_free(c->txn);
    c->txn = NULL;
}

void cmd_multi(struct resp_client *c)
{
    if (c->flags & CL_MULTI) {
        reply_err(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->flags |= CL_MULTI;
    c->txn = mem_zalloc(sizeof *c->txn);
    arena_init(&c->txn->arena, 1024, 0);
    c->txn->tail = &c->txn->first;
    reply_ok(c);
}

void txn_queue(struct resp_client *c, const struct resp_row *row)
{
    if (row->flags & CF_NO_MULTI) {
        reply_err(c, "ERR Command not allowed inside a transaction");
        c->flags |= CL_DIRTY_EXEC;
        return;
    }
    struct resp_txn *t = c->txn;
    if (!(c->flags & CL_DIRTY_EXEC)) { /* one that will not run need not be kept */
        struct resp_queued *q = arena_zalloc(&t->arena, sizeof *q + c->argc * sizeof q->argv[0]);
        q->row = row;
        q->argc = c->argc;
        for (size_t i = 0; i < c->argc; i++)
            q->argv[i] = arena_dup(&t->arena, c->argv[i]);
        *t->tail = q;
        t->tail = &q->next;
        t->flags |= row->flags;
    }
    t->n++;
    buf_lit(c->out, "+QUEUED\r\n");
}

void cmd_discard(struct resp_client *c)
{
    if (!(c->flags & CL_MULTI)) {
        reply_err(c, "ERR DISCARD without MULTI");
        return;
    }
    txn_discard(c);
    txn_unwatch(c);
    reply_ok(c);
}

/* ---- WATCH ---- */

static void cmd_txn_watch_key(struct resp_client *c, struct slice key)
{
    struct cmd_txn_watch *own = mem_zalloc(sizeof *own);
    struct ks_watch *w = &own->ks;
    char *name = mem_alloc(key.n + 1);
    name[0] = (char)c->db;
    memcpy(name + 1, key.p, key.n);
    own->name = slice_of(name, key.n + 1);
    if (map_get(&c->watched, own->name) != NULL) {
        slice_disown(&own->name);
        mem_free(own);
        return;
    }
    own->lived = ks_find(c->st, c->db, key, KS_NOTOUCH) != NULL;
    w->db = c->db;
    w->key = slice_from(own->name, 1);
    w->next_of_client = c->watches;
    c->srv->watching_n += c->watches == NULL;
    c->watches = w;
    (void)map_put(&c->watched, own->name, w);
    ks_watch(c->st, w);
}

void cmd_watch(struct resp_client *c)
{
    if (c->flags & CL_MULTI) {
        reply_err(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < c->argc; i++)
        cmd_txn_watch_key(c, c->argv[i]);
    reply_ok(c);
}

void cmd_unwatch(struct resp_client *c)
{
    txn_unwatch(c);
    reply_ok(c);
}

static bool cmd_txn_is_dirty(struct resp_client *c)
{
    bool dirty = false;
    for (struct ks_watch *w = c->watches; w != NULL; w = w->next_of_client) {
        if (cmd_txn_watch_of(w)
                ->lived) /* to have expired since is a change, though nobody has looked */
            (void)ks_find(c->st, w->db, w->key, KS_NOTOUCH);
        dirty = dirty || w->dirty;
    }
    return dirty;
}

/* ---- EXEC ---- */

static void cmd_txn_run(struct resp_client *c, struct resp_txn *t)
{
    const struct resp_row *exec = c->row;
    struct slice *argv = c->argv;
    size_t argc = c->argc;
    c->flags |= CL_IN_EXEC;
    ks_atomic_begin(c->st);
    reply_array(c, t->n);
    for (struct resp_queued *q = t->first; q != NULL; q = q->next) {
        c->argv = q->argv;
        c->argc = q->argc;
        enum rc rc = q->row->flags & CF_WRITE ? resp_may_write(c, q->row->flags) : RC_OK;
        if (rc == RC_OK)
            resp_call(c, q->row);
        else
            reply_rc(c, rc);
    }
    ks_atomic_end(c->st);
    c->flags &= ~(uint32_t)CL_IN_EXEC;
    c->argv = argv;
    c->argc = argc;
    c->row = exec;
}

/* Figures that INFO and MEMORY STATS need are taken before: their function takes the lock itself.
 */
static void cmd_txn_prepare(struct resp_client *c, const struct resp_txn *t)
{
    if (!(t->flags & CF_UNLOCKED))
        return;
    resp_unlock(c->th);
    store_stats(c->st, &c->th->store_stats);
    resp_lock(c->th);
}

void cmd_exec(struct resp_client *c)
{
    if (!(c->flags & CL_MULTI)) {
        reply_err(c, "ERR EXEC without MULTI");
        return;
    }
    cmd_txn_prepare(c, c->txn);
    struct resp_txn *t = c->txn;
    if (c->flags & CL_DIRTY_EXEC) {
        reply_err(c, "EXECABORT Transaction discarded because of previous errors.");
    } else if (cmd_txn_is_dirty(c)) {
        resp_nil_array(c->out, c->proto);
    } else {
        txn_unwatch(c);
        c->txn = NULL; /* a RESET or QUIT inside must not free it */
        c->flags &= ~(uint32_t)CL_MULTI;
        cmd_txn_run(c, t);
        arena_free(&t->arena);
        mem_free(t);
    }
    txn_discard(c);
    txn_unwatch(c);
    if (c->srv->monitors_n > 0)
        resp_monitor_line(c, c->row);
}
