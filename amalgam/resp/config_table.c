/*
 * config_table.c - the settings that CONFIG GET and SET know: rows, and how a value is checked.
 *
 * A Redis client or test suite asks for many settings. Those with an effect here have an apply function
 * (cmd_config.c); those without are kept and given back, and docs/redis.md says so. Values are text in
 * the form CONFIG GET shows. Nothing here changes anything. Threads: any.
 */
#include "resp/config_table.h"

#define BOOLEAN(name, def) {name, NULL, CFG_BOOL, def, 0, 0, NULL, 0, CFG_NO_EFFECT}
#define NUMBER(name, def, min, max) {name, NULL, CFG_INT, def, min, max, NULL, 0, CFG_NO_EFFECT}
#define ALIAS(name, alias, def, max) {name, alias, CFG_INT, def, 0, max, NULL, 0, CFG_NO_EFFECT}
#define BYTES(name, def, min, max) {name, NULL, CFG_MEMORY, def, min, max, NULL, 0, CFG_NO_EFFECT}
#define CHOICE(name, def, words) {name, NULL, CFG_ENUM, def, 0, 0, words, 0, CFG_NO_EFFECT}
#define TEXT(name, def) {name, NULL, CFG_TEXT, def, 0, 0, NULL, 0, CFG_NO_EFFECT}
#define FIXED(name, def) {name, NULL, CFG_TEXT, def, 0, 0, NULL, CFG_IMMUTABLE, CFG_NO_EFFECT}

static const struct config_row config_table_rows[] = {
    /* with an effect */
    {"maxmemory", NULL, CFG_MEMORY, "0", 0, INT64_MAX, NULL, 0, CFG_MAXMEMORY},
    {"maxmemory-policy", NULL, CFG_ENUM, "noeviction", 0, 0,
     "volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, "
     "allkeys-random, noeviction",
     0, CFG_EVICTION},
    {"notify-keyspace-events", NULL, CFG_NOTIFY, "", 0, 0, NULL, 0, CFG_NOTIFICATIONS},
    {"appendfsync", NULL, CFG_ENUM, "everysec", 0, 0, "always, everysec, no", 0, CFG_DURABILITY},
    {"requirepass", NULL, CFG_SECRET, "", 0, 0, NULL, 0, CFG_PASSWORD},
    {"timeout", NULL, CFG_INT, "0", 0, INT32_MAX, NULL, 0, CFG_TIMEOUT},
    {"maxclients", NULL, CFG_INT, "10000", 1, UINT32_MAX, NULL, 0, CFG_MAXCLIENTS},
    {"slowlog-log-slower-than", NULL, CFG_INT, "10000", -1, INT64_MAX, NULL, 0, CFG_SLOW_US},
    {"slowlog-max-len", NULL, CFG_INT, "128", 0, INT64_MAX, NULL, 0, CFG_SLOW_MAX},
    {"latency-monitor-threshold", NULL, CFG_INT, "0", 0, INT64_MAX, NULL, 0, CFG_LATENCY},
    {"proto-max-bulk-len", NULL, CFG_MEMORY, "536870912", 1024, 512 << 20, NULL, 0, CFG_BULK_MAX},
    {"protected-mode", NULL, CFG_BOOL, "yes", 0, 0, NULL, 0, CFG_OWN_VALUE},
    {"client-output-buffer-limit", NULL, CFG_LIMITS,
     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", 0, 0, NULL, 0,
     CFG_OUT_LIMITS},
    /* for show: what Postern is */
    {"port", NULL, CFG_TEXT, "", 0, 0, NULL, 0, CFG_PORT},
    {"bind", NULL, CFG_TEXT, "127.0.0.1", 0, 0, NULL, 0, CFG_BIND},
    FIXED("databases", "16"),
    FIXED("dir", "."),
    FIXED("dbfilename", "postern.db"),
    FIXED("unixsocket", ""),
    FIXED("daemonize", "no"),
    FIXED("cluster-enabled", "no"),
    FIXED("io-threads", "1"),
    FIXED("tcp-backlog", "4096"),
    FIXED("pidfile", ""),
    FIXED("logfile", ""),
    FIXED("aclfile", ""),
    FIXED("supervised", "no"),
    FIXED("appendfilename", ""),
    {"replicaof", "slaveof", CFG_TEXT, "", 0, 0, NULL, CFG_IMMUTABLE, CFG_NO_EFFECT},
    FIXED("enable-debug-command", "yes"),
    FIXED("enable-module-command", "no"),
    FIXED("enable-protected-configs", "no"),
    /* kept and given back, without effect */
    TEXT("save", ""),
    {"key-load-delay", NULL, CFG_INT, "0", INT32_MIN, INT32_MAX, NULL, CFG_HIDDEN, CFG_NO_EFFECT},
    BOOLEAN("appendonly", "yes"),
    BOOLEAN("aof-use-rdb-preamble", "yes"),
    BOOLEAN("aof-load-truncated", "yes"),
    NUMBER("auto-aof-rewrite-percentage", "100", 0, INT32_MAX),
    BYTES("auto-aof-rewrite-min-size", "67108864", 0, INT64_MAX),
    BOOLEAN("no-appendfsync-on-rewrite", "no"),
    BOOLEAN("stop-writes-on-bgsave-error", "yes"),
    BOOLEAN("rdbcompression", "yes"),
    BOOLEAN("rdbchecksum", "yes"),
    CHOICE("sanitize-dump-payload", "clients", "no, yes, clients"),
    NUMBER("maxmemory-samples", "5", 1, 64),
    NUMBER("maxmemory-eviction-tenacity", "10", 0, 100),
    {"maxmemory-clients", NULL, CFG_PERCENT, "0", 0, INT64_MAX, NULL, 0, CFG_NO_EFFECT},
    NUMBER("lfu-log-factor", "10", 0, INT32_MAX),
    NUMBER("lfu-decay-time", "1", 0, INT32_MAX),
    NUMBER("hz", "10", 1, 500),
    BOOLEAN("dynamic-hz", "yes"),
    BOOLEAN("activerehashing", "yes"),
    BOOLEAN("activedefrag", "no"),
    NUMBER("active-expire-effort", "1", 1, 10),
    BOOLEAN("lazyfree-lazy-eviction", "no"),
    BOOLEAN("lazyfree-lazy-expire", "no"),
    BOOLEAN("lazyfree-lazy-server-del", "no"),
    BOOLEAN("lazyfree-lazy-user-del", "no"),
    BOOLEAN("lazyfree-lazy-user-flush", "no"),
    ALIAS("hash-max-listpack-entries", "hash-max-ziplist-entries", "128", INT64_MAX),
    ALIAS("hash-max-listpack-value", "hash-max-ziplist-value", "64", INT64_MAX),
    ALIAS("zset-max-listpack-entries", "zset-max-ziplist-entries", "128", INT64_MAX),
    ALIAS("zset-max-listpack-value", "zset-max-ziplist-value", "64", INT64_MAX),
    {"list-max-listpack-size", "list-max-ziplist-size", CFG_INT, "-2", INT32_MIN, INT32_MAX, NULL, 0,
     CFG_NO_EFFECT},
    NUMBER("list-compress-depth", "0", 0, INT32_MAX),
    NUMBER("set-max-intset-entries", "512", 0, INT64_MAX),
    NUMBER("set-max-listpack-entries", "128", 0, INT64_MAX),
    NUMBER("set-max-listpack-value", "64", 0, INT64_MAX),
    BYTES("hll-sparse-max-bytes", "3000", 0, INT64_MAX),
    BYTES("stream-node-max-bytes", "4096", 0, INT64_MAX),
    NUMBER("stream-node-max-entries", "100", 0, INT64_MAX),
    BYTES("client-query-buffer-limit", "1073741824", 1048576, INT64_MAX),
    NUMBER("tracking-table-max-keys", "1000000", 0, INT64_MAX),
    {"lua-time-limit", "busy-reply-threshold", CFG_INT, "5000", 0, INT64_MAX, NULL, 0, CFG_NO_EFFECT},
    NUMBER("tcp-keepalive", "300", 0, INT32_MAX),
    CHOICE("loglevel", "notice", "debug, verbose, notice, warning, nothing"),
    BOOLEAN("latency-tracking", "yes"),
    NUMBER("repl-timeout", "60", 1, INT32_MAX),
    BYTES("repl-backlog-size", "1048576", 1, INT64_MAX),
    NUMBER("repl-diskless-sync-delay", "5", 0, INT32_MAX),
    BOOLEAN("repl-diskless-sync", "yes"),
    BOOLEAN("replica-serve-stale-data", "yes"),
    BOOLEAN("replica-read-only", "yes"),
    NUMBER("replica-priority", "100", 0, INT32_MAX),
    {"min-replicas-to-write", "min-slaves-to-write", CFG_INT, "0", 0, INT32_MAX, NULL, 0,
     CFG_NO_EFFECT},
    {"min-replicas-max-lag", "min-slaves-max-lag", CFG_INT, "10", 0, INT32_MAX, NULL, 0,
     CFG_NO_EFFECT},
    TEXT("masterauth", ""),
    TEXT("masteruser", ""),
    CHOICE("acl-pubsub-default", "resetchannels", "allchannels, resetchannels"),
    NUMBER("acllog-max-len", "128", 0, INT64_MAX),
    NUMBER("cluster-node-timeout", "15000", 0, INT64_MAX),
    BOOLEAN("cluster-require-full-coverage", "yes"),
    BOOLEAN("cluster-allow-reads-when-down", "no"),
    BOOLEAN("crash-log-enabled", "yes"),
    BOOLEAN("jemalloc-bg-thread", "yes"),
};

#undef BOOLEAN
#undef NUMBER
#undef ALIAS
#undef BYTES
#undef CHOICE
#undef TEXT
#undef FIXED

const struct config_row *config_row_at(size_t i)
{
    return i < ARRAY_LEN(config_table_rows) ? &config_table_rows[i] : NULL;
}

size_t config_rows_n(void) { return ARRAY_LEN(config_table_rows); }

const struct config_row *config_row_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(config_table_rows); i++) {
        const struct config_row *r = &config_table_rows[i];
        if (slice_eq_ci(name, slice_str(r->name)) ||
            (r->alias != NULL && slice_eq_ci(name, slice_str(r->alias))))
            return r;
    }
    return NULL;
}

/* ---- checking ---- */

static struct slice config_table_number(struct arena *a, int64_t n)
{
    return arena_fmt(a, "%lld", (long long)n);
}

static const char *config_table_int(struct arena *a, const struct config_row *r, struct slice in,
                                    struct slice *out)
{
    int64_t n;
    if (!slice_i64(in, &n))
        return "argument couldn't be parsed into an integer";
    if (n < r->min || n > r->max)
        return arena_fmt(a, "argument must be between %lld and %lld inclusive", (long long)r->min,
                         (long long)r->max).p;
    *out = config_table_number(a, n);
    return NULL;
}

bool config_memory(struct slice in, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t by;
    } units[] = {{"", 1},           {"b", 1},          {"k", 1000},       {"kb", 1024},
                 {"m", 1000000},    {"mb", 1 << 20},   {"g", 1000000000}, {"gb", 1 << 30}};
    size_t n = 0;
    uint64_t number;
    while (n < in.n && ascii_digit(in.p[n]))
        n++;
    if (!slice_u64(slice_sub(in, 0, n), &number))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_eq_ci(slice_from(in, n), slice_str(units[i].unit)))
            return !__builtin_mul_overflow(number, units[i].by, out);
    }
    return false;
}

static const char *config_table_memory(struct arena *a, const struct config_row *r, struct slice in,
                                       struct slice *out)
{
    uint64_t n;
    if (!config_memory(in, &n) || n > INT64_MAX)
        return "argument must be a memory value";
    if ((int64_t)n < r->min || (int64_t)n > r->max)
        return arena_fmt(a, "argument must be between %lld and %lld inclusive", (long long)r->min,
                         (long long)r->max).p;
    *out = config_table_number(a, (int64_t)n);
    return NULL;
}

static const char *config_table_percent(struct arena *a, const struct config_row *r, struct slice in,
                                        struct slice *out)
{
    uint64_t n;
    if (in.n == 0 || in.p[in.n - 1] != '%')
        return config_table_memory(a, r, in, out);
    if (!slice_u64(slice_sub(in, 0, in.n - 1), &n))
        return "argument must be a memory or percent value";
    if (n > 100)
        return "percentage argument must be less or equal to 100";
    *out = in;
    return NULL;
}

static const char *config_table_enum(struct arena *a, const struct config_row *r, struct slice in,
                                     struct slice *out)
{
    struct slice rest = slice_str(r->words);
    while (rest.n > 0) {
        struct slice word = slice_trim(slice_cut(rest, ',', &rest));
        if (slice_eq_ci(word, in)) {
            *out = word;
            return NULL;
        }
    }
    return arena_fmt(a, "argument(s) must be one of the following: %s", r->words).p;
}

/* "normal 0 0 0 pubsub 32mb 8mb 60": the classes that are named change. */
bool config_limits(struct slice in, uint64_t limits[3][3])
{
    static const char *const names[] = {"normal", "slave", "pubsub", "replica"};
    while ((in = slice_trim(in)).n > 0) {
        struct slice word = slice_cut(in, ' ', &in);
        size_t k = 0;
        while (k < ARRAY_LEN(names) && !slice_eq_ci(word, slice_str(names[k])))
            k++;
        if (k == ARRAY_LEN(names))
            return false;
        for (size_t i = 0; i < 3; i++) {
            in = slice_trim(in);
            struct slice value = slice_cut(in, ' ', &in);
            if (!config_memory(value, &limits[k == 3 ? 1 : k][i]))
                return false;
        }
    }
    return true;
}

static const char *config_table_limits(struct arena *a, struct slice old, struct slice in,
                                       struct slice *out)
{
    uint64_t l[3][3] = {{0}};
    if (!config_limits(old, l) || !config_limits(in, l))
        return "Error in buffer limits configuration.";
    *out = arena_fmt(a, "normal %llu %llu %llu slave %llu %llu %llu pubsub %llu %llu %llu",
                     (unsigned long long)l[0][0], (unsigned long long)l[0][1],
                     (unsigned long long)l[0][2], (unsigned long long)l[1][0],
                     (unsigned long long)l[1][1], (unsigned long long)l[1][2],
                     (unsigned long long)l[2][0], (unsigned long long)l[2][1],
                     (unsigned long long)l[2][2]);
    return NULL;
}

const char *config_check(struct arena *a, const struct config_row *r, struct slice old,
                         struct slice in, struct slice *out)
{
    *out = in;
    switch (r->kind) {
    case CFG_BOOL:
        if (!slice_eq_ci(in, S("yes")) && !slice_eq_ci(in, S("no")))
            return "argument must be 'yes' or 'no'";
        *out = slice_eq_ci(in, S("yes")) ? S("yes") : S("no");
        return NULL;
    case CFG_INT: return config_table_int(a, r, in, out);
    case CFG_MEMORY: return config_table_memory(a, r, in, out);
    case CFG_PERCENT: return config_table_percent(a, r, in, out);
    case CFG_ENUM: return config_table_enum(a, r, in, out);
    case CFG_LIMITS: return config_table_limits(a, old, in, out);
    case CFG_NOTIFY:
    case CFG_SECRET:
    case CFG_TEXT: break;
    }
    return in.n > 65536 ? "argument is too long" : NULL;
}
