/*
 * resp_int.h - what the files of resp/ share: the client, the thread, the server, a row, replies.
 *
 * WHO OWNS WHAT. A resp_client belongs to its reactor. Fields that other threads look at (CLIENT
 * LIST, PUBLISH, MONITOR, KILL) and everything in resp_server change only inside
 * store_enter/store_leave: the lock of the store guards them, there is no other lock here. Commands
 * run inside it, unless their row says CF_UNLOCKED (they wait for the disk, or call a store
 * function that takes the lock itself). A client's flags are changed by its own thread only, inside
 * the lock: its own thread reads them anywhere, others inside. Counters that /metrics reads without
 * the lock are stored atomically.
 *
 * A command is a function of the client: arguments in argv[0..argc), reply into c->out. It may keep
 * nothing that argv points to. It never touches the socket.
 */
#ifndef RESP_RESP_INT_H
#define RESP_RESP_INT_H

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "resp/resp_door.h"
#include <stdatomic.h>

enum { /* resp_row.flags */
       CF_WRITE = 1 << 0,
       CF_READONLY = 1 << 1,
       CF_DENYOOM = 1 << 2,
       CF_ADMIN = 1 << 3,
       CF_PUBSUB = 1 << 4,
       CF_NOSCRIPT = 1 << 5,
       CF_BLOCKING = 1 << 6,
       CF_LOADING = 1 << 7,
       CF_STALE = 1 << 8,
       CF_SKIP_MONITOR = 1 << 9,
       CF_SKIP_SLOWLOG = 1 << 10,
       CF_ASKING = 1 << 11,
       CF_FAST = 1 << 12,
       CF_NO_AUTH = 1 << 13,
       CF_MAY_REPLICATE = 1 << 14,
       CF_NO_MULTI = 1 << 15,
       CF_MOVABLE = 1 << 16,
       CF_ALLOW_BUSY = 1 << 17,
       /* not shown by COMMAND */
       CF_DANGEROUS = 1 << 18, /* ACL category only */
       CF_UNLOCKED = 1 << 19,  /* runs outside the store's lock */
       CF_CONTAINER = 1 << 20, /* has subcommands */
       CF_NOT_KEY = 1 << 22,   /* its range names channels */
};

enum resp_group {
    RG_GENERIC,
    RG_STRING,
    RG_LIST,
    RG_SET,
    RG_ZSET,
    RG_HASH,
    RG_PUBSUB,
    RG_TRANSACTIONS,
    RG_CONNECTION,
    RG_SERVER,
    RG_SCRIPTING,
    RG_CLUSTER,
    RG_COUNT
};

struct resp_client;
typedef void resp_run_fn(struct resp_client *c);

struct resp_row {
    const char *name; /* "get", "client|list" */
    resp_run_fn *run;
    int arity; /* argument count with the name; negative: at least */
    uint32_t flags;
    int8_t first, last, step; /* keys */
    uint8_t group;
    const char *since, *summary, *syntax;
    uint8_t name_len;
};

/* ---- resp_table.c ---- */
struct resp_index;
FN struct resp_index *resp_index_open(void);
FN void resp_index_close(struct resp_index *x);
FN const struct resp_row *resp_find(const struct resp_index *x, struct slice name);
FN const struct resp_row *resp_find_sub(const struct resp_row *parent, struct slice name);
struct resp_server;
/* "get" or "client|list". */
FN const struct resp_row *resp_find_full(const struct resp_server *s, struct slice name);
FN const struct resp_row *
resp_row_at(size_t i); /* NULL beyond the last; subcommands follow parents */
FN size_t resp_row_index(const struct resp_row *row);
FN size_t resp_rows_n(void);
FN const char *resp_group_name(int group);
/* Range of the key arguments for a call with argc arguments. False: no keys. */
struct resp_range {
    size_t first, last, step;
};
FN bool resp_row_keys(const struct resp_row *row, size_t argc, struct resp_range *out);
FN bool resp_row_is_sub(const struct resp_row *row);

/* ---- the server ---- */
enum { /* resp_client.flags */
       CL_MULTI = 1 << 0,
       CL_DIRTY_EXEC = 1 << 1, /* a command could not be queued */
       CL_IN_EXEC = 1 << 2,
       CL_MONITOR = 1 << 3,
       CL_REPLY_OFF = 1 << 4,
       CL_REPLY_SKIP_NEXT = 1 << 5,
       CL_REPLY_SKIP = 1 << 6,
       CL_AUTHED = 1 << 7,
       CL_CLOSING = 1 << 8,
       CL_NO_EVICT = 1 << 9,
       CL_NO_TOUCH = 1 << 10,
       CL_PAUSED = 1 << 11,   /* by CLIENT PAUSE; its commands wait */
       CL_READONLY = 1 << 14, /* READONLY of a cluster client: remembered, without effect */
};

enum { SUB_CHANNEL, SUB_PATTERN, SUB_SHARD, SUB_KINDS };

struct resp_sub { /* one subscription */
    struct ks_sub ks;
    struct resp_client *client;
    int kind;
    struct resp_sub *next, *prev;                       /* of the client, one kind */
    struct resp_sub *next_of_channel, *prev_of_channel; /* shard channels only */
    char name[];
};

struct resp_queued { /* a command of a transaction */
    struct resp_queued *next;
    const struct resp_row *row;
    size_t argc;
    struct slice argv[];
};
struct resp_txn {
    struct arena arena;
    struct resp_queued *first, **tail;
    size_t n;
    uint32_t flags; /* of all rows together */
};

struct resp_wait { /* a place in a resp_list */
    struct resp_wait *next, *prev;
};

struct resp_client {
    struct conn *conn;
    struct resp_thread *th;
    struct resp_server *srv;
    struct store *st;
    struct buf *out; /* conn_out, or the thread's sink when replies are off */
    struct slice *argv;
    size_t argc;
    const struct resp_row *row; /* running now */
    int db, proto;
    uint32_t flags;
    struct resp_reader reader;
    /* seldom */
    uint64_t id;
    int64_t born_ms, last_ms; /* wall */
    const struct resp_row *last_row;
    size_t query_bytes, out_bytes, argv_bytes; /* at the end of the last batch, for CLIENT LIST */
    struct slice name, lib_name, lib_ver;      /* owned */
    struct resp_txn *txn;
    struct ks_watch *watches;
    struct map watched;         /* the same, by database and key */
    struct map subs[SUB_KINDS]; /* name -> resp_sub */
    struct resp_sub *subs_first[SUB_KINDS];
    size_t subs_n[SUB_KINDS];
    bool held,
        held_input; /* replies wait for the disk; and commands came meanwhile. Its thread only */
    uint64_t wait_lsn;
    struct resp_wait in_held, in_paused; /* of th; a client may be in both */
    struct resp_client *next, *prev;     /* srv->clients */
    char addr[56], laddr[56];
};

struct resp_stat { /* of one row in one thread */
    uint64_t calls, ticks, rejected, failed;
};
struct resp_errstat {
    char code[16];
    uint64_t n;
};
enum { RESP_ERRSTATS = 24 };

struct resp_list {
    struct resp_wait *first, *last;
};

struct resp_thread {
    struct resp_server *srv;
    struct reactor *reactor;
    int index;
    bool locked;                    /* this thread is inside store_enter */
    uint64_t batch_lsn;             /* what the replies of this batch wait for */
    bool gather;                    /* of store_leave_turn: this turn has changed something */
    struct resp_client *current;    /* whose command runs */
    struct buf sink, scratch, self; /* dropped replies; lists being built; pushes to current */
    struct arena arena;             /* of one command */
    struct resp_list held, paused;
    int waiting;        /* atomic: held is not empty at the end of a turn */
    int durable_posted; /* atomic */
    struct net_task durable_task;
    struct buf inbox,
        inbox_work; /* bytes for clients of this thread, from others; inbox: store's lock */
    bool inbox_posted;
    struct net_task inbox_task;
    int resume_posted; /* atomic */
    struct net_task resume_task;
    struct net_timer cron;
    struct resp_stat *stats; /* per row */
    struct resp_errstat errors[RESP_ERRSTATS];
    struct store_stats store_stats; /* for INFO inside EXEC */
    uint64_t commands, conns, in_bytes, out_bytes, error_replies, refused;
};

struct resp_slow; /* slowlog.c */
struct resp_latency;

enum { RESP_OPS_SAMPLES = 16 };

struct resp_server {
    struct store *st;
    struct resp_opts opts;
    char *redis_version, *version; /* owned */
    struct resp_thread *threads;
    size_t threads_n;
    struct resp_index *index;
    int64_t start_ms; /* wall */
    char run_id[41];
    /* guarded by the store's lock */
    struct resp_thread *inside; /* which of our threads holds the lock, if one does */
    struct buf letter;          /* a message being written */
    struct resp_client *clients;
    size_t clients_n, monitors_n, paused_n, pubsub_n, watching_n; /* of clients */
    int64_t pause_until_ms;
    bool pause_all;
    struct map shards;     /* channel -> first resp_sub */
    char **config;         /* values by row of cmd_config.c */
    struct slice password; /* owned; empty: none */
    struct resp_limits limits;
    struct resp_slow *slow;
    struct resp_latency *latency;
    int64_t slow_us;    /* slowlog-log-slower-than, -1 off */
    int64_t latency_ms; /* latency-monitor-threshold, 0 off */
    size_t slow_max;
    size_t out_max[3]; /* hard limits of client-output-buffer-limit: normal, replica, pubsub */
    int64_t save_ms;   /* LASTSAVE */
    uint64_t stat_base_changes;
    uint64_t ops_sample[RESP_OPS_SAMPLES];
    uint64_t ops_last;
    size_t ops_at;
    bool active_expire; /* DEBUG SET-ACTIVE-EXPIRE */
    /* ticks -> time; written by thread 0's cron, read anywhere */
    uint64_t tick0;
    int64_t tick0_ns;
    _Atomic uint64_t ns_per_kitick; /* nanoseconds per 1024 ticks */
};

/* ---- time: a counter of the processor that costs a few nanoseconds ---- */
static inline UNUSED uint64_t resp_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t t;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#else
    return (uint64_t)clock_mono_ns();
#endif
}
FN int64_t resp_ticks_us(const struct resp_server *s, uint64_t ticks);

/* ---- resp_server.c ---- */
static inline UNUSED struct resp_server *resp_ctx_server(void *ctx)
{
    return ctx;
}
/* A counter that /metrics reads without the lock. Inside, in its thread. */
static inline UNUSED void resp_bump(uint64_t *n)
{
    __atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}
FN void resp_lock(struct resp_thread *th);   /* store_enter if this thread is not inside */
FN void resp_unlock(struct resp_thread *th); /* store_leave if it is */
/* Bytes for a client of whatever thread, in order; inside the lock, from any thread. To the client
 * whose command is running: behind its reply. */
FN void resp_send(struct resp_client *to, struct slice bytes);
FN void resp_inbox_drain(struct resp_thread *th); /* inside the lock, in th */
FN void resp_hold(struct resp_client *c, uint64_t lsn);
FN void resp_wait_remove(struct resp_list *l, struct resp_wait *w);
FN void resp_wait_append(struct resp_list *l, struct resp_wait *w);
FN void resp_resume_all(struct resp_server *s); /* CLIENT UNPAUSE; inside the lock */
FN void resp_kill(struct resp_client *victim);  /* inside; never the caller's own */

/* ---- resp_client.c ---- */
FN void resp_client_reset(struct resp_client *c); /* RESET: subscriptions, transaction, name... */
FN void resp_client_line(struct resp_client *c, int64_t now_ms, struct buf *o);
FN bool resp_client_limit(struct resp_client *c); /* false: too much output waits */

/* ---- resp_exec.c ---- */
enum resp_done { RESP_DONE, RESP_PAUSED };
FN enum resp_done resp_exec(struct resp_client *c); /* c->argv: one command from the socket */
FN void resp_call(struct resp_client *c, const struct resp_row *row); /* checks are done */
FN enum rc resp_may_write(struct resp_client *c, uint32_t flags);
FN void resp_monitor_line(struct resp_client *c, const struct resp_row *row);
FN struct slice resp_redact(const struct resp_row *row, struct slice *argv, size_t argc, size_t i);

/* ---- replies and arguments: resp_reply.c and inline ---- */
static inline UNUSED void reply_ok(struct resp_client *c)
{
    buf_lit(c->out, "+OK\r\n");
}
static inline UNUSED void reply_int(struct resp_client *c, int64_t n)
{
    resp_int(c->out, n);
}
static inline UNUSED void reply_bulk(struct resp_client *c, struct slice s)
{
    resp_bulk(c->out, s);
}
static inline UNUSED void reply_str(struct resp_client *c, const char *s)
{
    resp_bulk(c->out, slice_str(s));
}
static inline UNUSED void reply_nil(struct resp_client *c)
{
    resp_nil(c->out, c->proto);
}
static inline UNUSED void reply_array(struct resp_client *c, size_t n)
{
    resp_array(c->out, n);
}
static inline UNUSED void reply_map(struct resp_client *c, size_t n)
{
    resp_map(c->out, c->proto, n);
}
#define reply_err(c, lit) resp_error((c)->out, S(lit))
FN void reply_syntax(struct resp_client *c);
FN void reply_wrongtype(struct resp_client *c);
FN void reply_arity(struct resp_client *c, const struct resp_row *row);
/* The error for a store function's result; integers: what overflow is called. */
FN void reply_rc(struct resp_client *c, enum rc rc);
/* Each answers the error itself and returns false. */
FN bool arg_i64(struct resp_client *c, struct slice s, int64_t *out);
FN bool arg_range(struct resp_client *c, struct slice s, int64_t min, int64_t max, int64_t *out);
FN bool arg_db(struct resp_client *c, struct slice s, int *out, const char *not_int);
FN bool arg_float(struct resp_client *c, struct slice s, long double *out);
FN size_t fmt_long_double(char dst[400], long double v); /* as Redis prints INCRBYFLOAT */
FN bool arg_is(struct slice s, const char *word);        /* folded case; word in upper case */
FN void reply_unknown_sub(struct resp_client *c);
FN struct slice slice_own(struct slice s); /* a copy by mem_alloc */
FN void slice_disown(struct slice *s);

static inline UNUSED struct entry *lookup(struct resp_client *c, struct slice key)
{
    return ks_find(c->st, c->db, key, UNLIKELY(c->flags & CL_NO_TOUCH) ? KS_NOTOUCH : KS_TOUCH);
}
/* False: another type, and the error is answered. *e NULL: absent. */
static inline UNUSED bool lookup_as(struct resp_client *c, struct slice key, enum vtype t,
                                    struct entry **e)
{
    *e = lookup(c, key);
    if (LIKELY(*e == NULL || ks_type(*e) == t))
        return true;
    reply_wrongtype(c);
    return false;
}

/* Replies whose length is known at the end: elements go to the thread's scratch. Not nested. */
struct resp_gather {
    struct buf *b;
    size_t n;
};
FN struct resp_gather gather_begin(struct resp_client *c);
static inline UNUSED void gather_bulk(struct resp_gather *g, struct slice s)
{
    resp_bulk(g->b, s);
    g->n++;
}
FN void gather_end(struct resp_client *c, struct resp_gather *g); /* as an array */

/* SCAN's options; false: answered. */
struct resp_scan {
    uint64_t cursor;
    size_t count;
    struct slice match, type;
    bool has_match, has_type;
};
FN bool arg_scan(struct resp_client *c, size_t at, bool with_type, struct resp_scan *s);

/* Expiry options of SET and GETEX, and of the EXPIRE family: absolute milliseconds; false:
 * answered. */
enum { TIME_SECONDS = 1, TIME_RELATIVE = 2 };
FN bool arg_expire(struct resp_client *c, struct slice s, int unit, bool positive, int64_t *at_ms);

/* ---- shared between command files ---- */
FN void txn_discard(struct resp_client *c);
FN void txn_unwatch(struct resp_client *c);
FN void txn_queue(struct resp_client *c, const struct resp_row *row);
FN void pubsub_drop(struct resp_client *c, int kind); /* all subscriptions, without replies */
FN size_t pubsub_count(const struct resp_client *c);
FN size_t pubsub_channels(const struct resp_server *s); /* that somebody listens to */
FN size_t pubsub_patterns(const struct resp_server *s); /* different ones, not subscriptions */
FN bool text_float(struct slice s, long double *out);   /* arg_float without an answer */
FN bool resp_login(struct resp_client *c, struct slice user, struct slice password);
FN bool resp_set_text(struct resp_client *c, struct slice *to, struct slice s, const char *what);
FN struct slice resp_user(const struct resp_server *s);
FN void config_open(struct resp_server *s);
FN void config_close(struct resp_server *s);
FN struct slice config_value(const struct resp_server *s, const char *name);
FN struct resp_slow *slow_open(void);
FN void slow_close(struct resp_slow *l);
FN void slow_note(struct resp_client *c, const struct resp_row *row, int64_t us);
FN struct resp_latency *latency_open(void);
FN void latency_close(struct resp_latency *l);
FN void latency_note(struct resp_server *s, const char *event, int64_t ms, int64_t now_ms);
FN bool acl_row_in(const struct resp_row *row, struct slice category);
FN bool acl_is_category(struct slice name);
FN void acl_categories(const struct resp_row *row, void (*each)(void *ctx, const char *name),
                       void *ctx);

#define ROW(name, fn, ...) FN resp_run_fn fn;
#include "resp/resp_rows.def"
#undef ROW

#endif
