/*
 * cmd_stats.c - INFO: what the server is and has done, section by section.
 *
 * Clients decide by it whether to work at all (loading, redis_version, role, maxmemory_policy). The
 * keyspace's figures come from store_stats, which takes the lock itself: INFO runs outside and
 * takes the lock for the rest; inside EXEC the figures were taken just before (cmd_txn.c). Tested
 * by test_resp_commands.c and the Redis suite (unit/info-command).
 */
#include "resp/resp_int.h"
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

struct cmd_stats {
    struct resp_client *c;
    struct resp_server *s;
    struct store_stats st;
    int64_t now_ms;
    struct buf *o;
};

static void cmd_stats_server(struct cmd_stats *i)
{
    struct utsname u;
    struct buf *o = i->o;
    int64_t up_s = MAX(i->now_ms - i->s->start_ms, 0) / 1000;
    (void)uname(&u);
    buf_fmt(o, "redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n",
            i->s->redis_version);
    buf_fmt(o,
            "redis_build_id:postern\r\nredis_mode:standalone\r\nserver_name:postern\r\n"
            "postern_version:%s\r\n",
            i->s->version);
    buf_fmt(o, "os:%s %s %s\r\narch_bits:%d\r\nmonotonic_clock:POSIX clock_gettime\r\n", u.sysname,
            u.release, u.machine, (int)sizeof(void *) * 8);
    buf_fmt(o, "multiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\ngcc_version:%s\r\n",
            "0.0.0");
    buf_fmt(o, "process_id:%ld\r\nprocess_supervised:no\r\nrun_id:%s\r\ntcp_port:%d\r\n",
            (long)getpid(), i->s->run_id, i->s->opts.port);
    buf_fmt(o,
            "server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\nhz:10\r\n",
            (long long)clock_wall_us(), (long long)up_s, (long long)(up_s / 86400));
    buf_fmt(o,
            "configured_hz:10\r\nlru_clock:%lld\r\nexecutable:postern\r\nconfig_file:\r\n"
            "io_threads_active:0\r\n",
            (long long)(i->now_ms / 1000 & 0xffffff));
}

static void cmd_stats_clients(struct cmd_stats *i)
{
    const struct resp_server *s = i->s;
    size_t in = 0, out = 0;
    for (const struct resp_client *c = s->clients; c != NULL; c = c->next) {
        in = MAX(in, c->query_bytes);
        out = MAX(out, c->out_bytes);
    }
    buf_fmt(i->o, "connected_clients:%zu\r\ncluster_connections:0\r\nmaxclients:%zu\r\n",
            s->clients_n - s->monitors_n, s->opts.maxclients);
    buf_fmt(i->o, "client_recent_max_input_buffer:%zu\r\nclient_recent_max_output_buffer:%zu\r\n",
            in, out);
    buf_fmt(i->o,
            "blocked_clients:%zu\r\ntracking_clients:0\r\npubsub_clients:%zu\r\n"
            "watching_clients:%zu\r\nclients_in_timeout_table:0\r\n",
            s->paused_n, s->pubsub_n, s->watching_n);
}

static void cmd_stats_human(struct buf *o, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGT";
    double n = (double)bytes;
    size_t u = 0;
    for (; n >= 1024 && units[u + 1] != 0; u++)
        n /= 1024;
    buf_fmt(o, u == 0 ? "%s:%.0f%c\r\n" : "%s:%.2f%c\r\n", name, n, units[u]);
}

static void cmd_stats_memory(struct cmd_stats *i)
{
    struct buf *o = i->o;
    uint64_t rss = mem_rss(), max = 0;
    (void)slice_u64(config_value(i->s, "maxmemory"), &max);
    uint64_t peak = MAX(i->st.peak_bytes, i->st.used_bytes);
    buf_fmt(o, "used_memory:%llu\r\n", (unsigned long long)i->st.used_bytes);
    cmd_stats_human(o, "used_memory_human", i->st.used_bytes);
    buf_fmt(o, "used_memory_rss:%llu\r\n", (unsigned long long)rss);
    cmd_stats_human(o, "used_memory_rss_human", rss);
    buf_fmt(o, "used_memory_peak:%llu\r\n", (unsigned long long)peak);
    cmd_stats_human(o, "used_memory_peak_human", peak);
    buf_fmt(o, "used_memory_overhead:0\r\nused_memory_startup:0\r\nused_memory_dataset:%llu\r\n",
            (unsigned long long)i->st.used_bytes);
    buf_fmt(o, "total_system_memory:%llu\r\nused_memory_lua:0\r\nused_memory_scripts:0\r\n",
            (unsigned long long)sysconf(_SC_PHYS_PAGES) *
                (unsigned long long)sysconf(_SC_PAGESIZE));
    buf_fmt(o, "maxmemory:%llu\r\n", (unsigned long long)max);
    cmd_stats_human(o, "maxmemory_human", max);
    buf_fmt(o, "maxmemory_policy:%.*s\r\nmem_fragmentation_ratio:%.2f\r\n",
            SFMT(store_eviction(i->s->st)),
            i->st.used_bytes > 0 ? (double)rss / (double)i->st.used_bytes : 0.0);
    buf_fmt(o, "mem_allocator:libc\r\nmem_clients_normal:0\r\nmem_not_counted_for_evict:0\r\n"
               "mem_aof_buffer:0\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\n"
               "lazyfreed_objects:0\r\n");
}

static void cmd_stats_persistence(struct cmd_stats *i)
{
    const char *trouble = store_trouble(i->s->st);
    const char *state = trouble == NULL ? "ok" : "err";
    uint64_t behind = i->st.lsn - MIN(i->st.lsn, i->st.durable_lsn);
    buf_fmt(i->o,
            "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:%llu\r\n"
            "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:%lld\r\nrdb_last_bgsave_status:%s\r\n",
            (unsigned long long)i->st.changes, (long long)i->s->save_ms / 1000, state);
    buf_fmt(i->o,
            "rdb_last_bgsave_time_sec:0\r\nrdb_current_bgsave_time_sec:-1\r\nrdb_saves:0\r\n"
            "aof_enabled:%d\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n",
            i->st.lsn > 0);
    buf_fmt(i->o,
            "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
            "aof_last_bgrewrite_status:ok\r\naof_last_write_status:%s\r\n",
            state);
    buf_fmt(i->o,
            "aof_current_size:%llu\r\naof_pending_bio_fsync:0\r\n"
            "postern_log_bytes_not_on_disk:%llu\r\npostern_db_bytes:%llu\r\n",
            (unsigned long long)i->st.log_bytes, (unsigned long long)behind,
            (unsigned long long)i->st.db_bytes);
}

static uint64_t cmd_stats_ops(const struct resp_server *s)
{
    uint64_t n = 0;
    for (size_t k = 0; k < RESP_OPS_SAMPLES; k++)
        n += s->ops_sample[k];
    return n * 10 / RESP_OPS_SAMPLES;
}

static void cmd_stats_stats(struct cmd_stats *i)
{
    const struct resp_server *s = i->s;
    uint64_t conns = 0, commands = 0, in = 0, out = 0, errors = 0, refused = 0;
    for (size_t k = 0; k < s->threads_n; k++) {
        const struct resp_thread *th = &s->threads[k];
        conns += th->conns;
        commands += th->commands;
        in += th->in_bytes;
        out += th->out_bytes;
        errors += th->error_replies;
        refused += th->refused;
    }
    buf_fmt(i->o,
            "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
            "instantaneous_ops_per_sec:%llu\r\ntotal_net_input_bytes:%llu\r\n",
            (unsigned long long)conns, (unsigned long long)commands,
            (unsigned long long)cmd_stats_ops(s), (unsigned long long)in);
    buf_fmt(i->o,
            "total_net_output_bytes:%llu\r\nrejected_connections:%llu\r\nsync_full:0\r\n"
            "expired_keys:%llu\r\nevicted_keys:%llu\r\nkeyspace_hits:%llu\r\n",
            (unsigned long long)out, (unsigned long long)refused, (unsigned long long)i->st.expired,
            (unsigned long long)i->st.evicted, (unsigned long long)i->st.hits);
    buf_fmt(i->o,
            "keyspace_misses:%llu\r\npubsub_channels:%zu\r\npubsub_patterns:%zu\r\n"
            "pubsubshard_channels:%zu\r\nlatest_fork_usec:0\r\ntotal_forks:0\r\n",
            (unsigned long long)i->st.misses, pubsub_channels(s), pubsub_patterns(s), s->shards.n);
    buf_fmt(i->o,
            "tracking_total_keys:0\r\nunexpected_error_replies:0\r\ntotal_error_replies:%llu\r\n"
            "acl_access_denied_auth:0\r\n",
            (unsigned long long)errors);
}

static void cmd_stats_replication(struct cmd_stats *i)
{
    buf_fmt(i->o,
            "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"
            "master_replid:%s\r\nmaster_replid2:%040d\r\nmaster_repl_offset:%llu\r\n"
            "second_repl_offset:-1\r\nrepl_backlog_active:0\r\n",
            i->s->run_id, 0, (unsigned long long)i->st.lsn);
}

static void cmd_stats_cpu(struct cmd_stats *i)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    buf_fmt(i->o,
            "used_cpu_sys:%lld.%06ld\r\nused_cpu_user:%lld.%06ld\r\n"
            "used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n",
            (long long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, (long long)u.ru_utime.tv_sec,
            (long)u.ru_utime.tv_usec);
}

static void cmd_stats_errorstats(struct cmd_stats *i)
{
    for (size_t k = 0; k < i->s->threads_n; k++) {
        for (size_t e = 0; e < RESP_ERRSTATS; e++) {
            const struct resp_errstat *x = &i->s->threads[k].errors[e];
            uint64_t n = x->n;
            for (size_t j = 0; j < i->s->threads_n * RESP_ERRSTATS && n > 0; j++) {
                const struct resp_errstat *y =
                    &i->s->threads[j / RESP_ERRSTATS].errors[j % RESP_ERRSTATS];
                bool same = y != x && y->n > 0 && strcmp(x->code, y->code) == 0;
                if (same && y < x)
                    n = 0; /* told already */
                else if (same)
                    n += y->n;
            }
            if (n > 0)
                buf_fmt(i->o, "errorstat_%s:count=%llu\r\n", x->code, (unsigned long long)n);
        }
    }
}

static struct resp_stat cmd_stats_row(const struct resp_server *s, size_t row)
{
    struct resp_stat sum = {0};
    for (size_t k = 0; k < s->threads_n; k++) {
        const struct resp_stat *x = &s->threads[k].stats[row];
        sum.calls += x->calls;
        sum.ticks += x->ticks;
        sum.rejected += x->rejected;
        sum.failed += x->failed;
    }
    return sum;
}

static void cmd_stats_commandstats(struct cmd_stats *i)
{
    for (size_t k = 0; k < resp_rows_n(); k++) {
        struct resp_stat x = cmd_stats_row(i->s, k);
        if (x.calls == 0 && x.rejected == 0)
            continue;
        long long us = (long long)resp_ticks_us(i->s, x.ticks);
        buf_fmt(i->o,
                "cmdstat_%s:calls=%llu,usec=%lld,usec_per_call=%.2f,rejected_calls=%llu,"
                "failed_calls=%llu\r\n",
                resp_row_at(k)->name, (unsigned long long)x.calls, us,
                x.calls > 0 ? (double)us / (double)x.calls : 0.0, (unsigned long long)x.rejected,
                (unsigned long long)x.failed);
    }
}

static void cmd_stats_cluster(struct cmd_stats *i)
{
    buf_lit(i->o, "cluster_enabled:0\r\n");
}

static void cmd_stats_nothing(struct cmd_stats *i)
{
    (void)i;
}

static void cmd_stats_keyspace(struct cmd_stats *i)
{
    for (int db = 0; db < STORE_DBS; db++) {
        if (i->st.keys[db] > 0)
            buf_fmt(i->o, "db%d:keys=%llu,expires=%llu,avg_ttl=0\r\n", db,
                    (unsigned long long)i->st.keys[db], (unsigned long long)i->st.expires[db]);
    }
}

enum { CMD_STATS_DEFAULT = 1, CMD_STATS_ALL = 2, CMD_STATS_EVERYTHING = 4 };

static const struct {
    const char *name, *title;
    void (*write)(struct cmd_stats *i);
    int sets;
} cmd_stats_sections[] = {
    {"server", "Server", cmd_stats_server, 7},
    {"clients", "Clients", cmd_stats_clients, 7},
    {"memory", "Memory", cmd_stats_memory, 7},
    {"persistence", "Persistence", cmd_stats_persistence, 7},
    {"stats", "Stats", cmd_stats_stats, 7},
    {"replication", "Replication", cmd_stats_replication, 7},
    {"cpu", "CPU", cmd_stats_cpu, 7},
    {"modules", "Modules", cmd_stats_nothing, CMD_STATS_DEFAULT | CMD_STATS_EVERYTHING},
    {"errorstats", "Errorstats", cmd_stats_errorstats, 7},
    {"commandstats", "Commandstats", cmd_stats_commandstats, CMD_STATS_ALL | CMD_STATS_EVERYTHING},
    {"cluster", "Cluster", cmd_stats_cluster, 7},
    {"keyspace", "Keyspace", cmd_stats_keyspace, 7},
};

static bool cmd_stats_wants(struct slice asked, size_t section)
{
    int sets = cmd_stats_sections[section].sets;
    return slice_eq_ci(asked, slice_str(cmd_stats_sections[section].name)) ||
           (arg_is(asked, "DEFAULT") && (sets & CMD_STATS_DEFAULT)) ||
           (arg_is(asked, "ALL") && (sets & CMD_STATS_ALL)) ||
           (arg_is(asked, "EVERYTHING") && (sets & CMD_STATS_EVERYTHING));
}

static bool cmd_stats_section(const struct resp_client *c, size_t section)
{
    bool wanted = c->argc == 1 && (cmd_stats_sections[section].sets & CMD_STATS_DEFAULT);
    for (size_t k = 1; k < c->argc && !wanted; k++)
        wanted = cmd_stats_wants(c->argv[k], section);
    return wanted;
}

void cmd_info(struct resp_client *c)
{
    struct cmd_stats i = {.c = c, .s = c->srv, .o = &c->th->scratch};
    bool in_exec = c->flags & CL_IN_EXEC;
    buf_clear(i.o);
    if (in_exec)
        i.st = c->th->store_stats;
    else
        store_stats(c->st, &i.st);
    resp_lock(c->th);
    i.now_ms = store_now_ms(c->st);
    for (size_t k = 0; k < ARRAY_LEN(cmd_stats_sections); k++) {
        if (!cmd_stats_section(c, k))
            continue;
        buf_fmt(i.o, "%s# %s\r\n", i.o->n > 0 ? "\r\n" : "", cmd_stats_sections[k].title);
        cmd_stats_sections[k].write(&i);
    }
    resp_verbatim(c->out, c->proto, "txt", buf_all(i.o));
}
