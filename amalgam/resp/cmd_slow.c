/*
 * cmd_slow.c - SLOWLOG and LATENCY: which commands took long, and when.
 *
 * The slow log is a ring of the last slowlog-max-len commands that took slowlog-log-slower-than
 * microseconds or more; long arguments are cut as in Redis (32 arguments, 128 bytes each),
 * passwords shown as (redacted). Latency keeps 160 samples (one per second at most) for each event.
 * resp_exec.c writes both; inside the store's lock. Tested by the Redis suite (unit/slowlog,
 * unit/latency-monitor) and test_resp_commands.c.
 */
#include "resp/resp_int.h"

enum { SLOW_ARGS = 32, SLOW_ARG_BYTES = 128, LATENCY_EVENTS = 8, LATENCY_SAMPLES = 160 };

/* ---- SLOWLOG ---- */

struct cmd_slow_entry {
    struct cmd_slow_entry *next;
    uint64_t id;
    int64_t wall_ms, us;
    struct slice addr, name; /* owned, as the arguments */
    size_t argc;
    struct slice argv[SLOW_ARGS];
};
struct resp_slow {
    struct cmd_slow_entry *first; /* newest */
    size_t n;
    uint64_t next_id;
};

struct resp_slow *slow_open(void)
{
    return mem_zalloc(sizeof(struct resp_slow));
}

static void cmd_slow_free(struct cmd_slow_entry *e)
{
    for (size_t i = 0; i < e->argc; i++)
        slice_disown(&e->argv[i]);
    slice_disown(&e->addr);
    slice_disown(&e->name);
    mem_free(e);
}

/* Keeps the newest `keep`. */
static void cmd_slow_trim(struct resp_slow *l, size_t keep)
{
    struct cmd_slow_entry **at = &l->first;
    for (size_t i = 0; i < keep && *at != NULL; i++)
        at = &(*at)->next;
    while (*at != NULL) {
        struct cmd_slow_entry *e = *at;
        *at = e->next;
        cmd_slow_free(e);
        l->n--;
    }
}

void slow_close(struct resp_slow *l)
{
    cmd_slow_trim(l, 0);
    mem_free(l);
}

static struct slice cmd_slow_arg(struct resp_client *c, const struct resp_row *row, size_t i)
{
    struct arena *a = &c->th->arena;
    if (i == SLOW_ARGS - 1 && c->argc > SLOW_ARGS)
        return slice_own(arena_fmt(a, "... (%zu more arguments)", c->argc - SLOW_ARGS + 1));
    struct slice s = resp_redact(row, c->argv, c->argc, i);
    if (s.n <= SLOW_ARG_BYTES)
        return slice_own(s);
    return slice_own(arena_fmt(a, "%.*s... (%zu more bytes)", SLOW_ARG_BYTES,
                               arena_cstr(a, slice_sub(s, 0, SLOW_ARG_BYTES)),
                               s.n - SLOW_ARG_BYTES));
}

void slow_note(struct resp_client *c, const struct resp_row *row, int64_t us)
{
    struct resp_slow *l = c->srv->slow;
    if (c->srv->slow_max == 0)
        return;
    struct cmd_slow_entry *e = mem_zalloc(sizeof *e);
    e->id = l->next_id++;
    e->wall_ms = clock_wall_ms();
    e->us = us;
    e->addr = slice_own(slice_str(c->addr));
    e->name = slice_own(c->name);
    e->argc = MIN(c->argc, (size_t)SLOW_ARGS);
    for (size_t i = 0; i < e->argc; i++)
        e->argv[i] = cmd_slow_arg(c, row, i);
    e->next = l->first;
    l->first = e;
    l->n++;
    cmd_slow_trim(l, c->srv->slow_max);
}

void cmd_slowlog_get(struct resp_client *c)
{
    const struct resp_slow *l = c->srv->slow;
    int64_t count = 10;
    if (c->argc > 3) {
        reply_unknown_sub(c);
        return;
    }
    if (c->argc == 3) {
        if (!slice_i64(c->argv[2], &count) || count < -1) {
            reply_err(c, "ERR count should be greater than or equal to -1");
            return;
        }
        if (count == -1)
            count = INT64_MAX;
    }
    size_t n = (uint64_t)count < l->n ? (size_t)count : l->n;
    reply_array(c, n);
    for (const struct cmd_slow_entry *e = l->first; n > 0; e = e->next, n--) {
        reply_array(c, 6);
        reply_int(c, (int64_t)e->id);
        reply_int(c, e->wall_ms / 1000);
        reply_int(c, e->us);
        reply_array(c, e->argc);
        for (size_t i = 0; i < e->argc; i++)
            reply_bulk(c, e->argv[i]);
        reply_bulk(c, e->addr);
        reply_bulk(c, e->name);
    }
}

void cmd_slowlog_len(struct resp_client *c)
{
    reply_int(c, (int64_t)c->srv->slow->n);
}

void cmd_slowlog_reset(struct resp_client *c)
{
    cmd_slow_trim(c->srv->slow, 0);
    reply_ok(c);
}

/* ---- LATENCY ---- */

struct cmd_slow_event {
    const char *name; /* a literal */
    struct {
        int64_t s, ms;
    } samples[LATENCY_SAMPLES];
    size_t n; /* written so far; the newest is n - 1 modulo LATENCY_SAMPLES */
    int64_t max_ms;
};
struct resp_latency {
    struct cmd_slow_event events[LATENCY_EVENTS];
};

struct resp_latency *latency_open(void)
{
    return mem_zalloc(sizeof(struct resp_latency));
}

void latency_close(struct resp_latency *l)
{
    mem_free(l);
}

void latency_note(struct resp_server *s, const char *event, int64_t ms, int64_t now_ms)
{
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        struct cmd_slow_event *e = &s->latency->events[i];
        if (e->name != NULL && strcmp(e->name, event) != 0)
            continue;
        e->name = event;
        e->max_ms = MAX(e->max_ms, ms);
        size_t last = (e->n + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;
        if (e->n > 0 && e->samples[last].s == now_ms / 1000) {
            e->samples[last].ms = MAX(e->samples[last].ms, ms);
            return;
        }
        e->samples[e->n % LATENCY_SAMPLES].s = now_ms / 1000;
        e->samples[e->n++ % LATENCY_SAMPLES].ms = ms;
        return;
    }
}

static struct cmd_slow_event *cmd_slow_find(struct resp_client *c, struct slice name)
{
    for (size_t i = 0; i < LATENCY_EVENTS; i++) {
        struct cmd_slow_event *e = &c->srv->latency->events[i];
        if (e->name != NULL && slice_eq_ci(slice_str(e->name), name))
            return e;
    }
    return NULL;
}

void cmd_latency_latest(struct resp_client *c)
{
    size_t n = 0;
    struct cmd_slow_event *events = c->srv->latency->events;
    while (n < LATENCY_EVENTS && events[n].name != NULL)
        n++;
    reply_array(c, n);
    for (size_t i = 0; i < n; i++) {
        const struct cmd_slow_event *e = &events[i];
        size_t last = (e->n - 1) % LATENCY_SAMPLES;
        reply_array(c, 4);
        reply_str(c, e->name);
        reply_int(c, e->samples[last].s);
        reply_int(c, e->samples[last].ms);
        reply_int(c, e->max_ms);
    }
}

void cmd_latency_history(struct resp_client *c)
{
    const struct cmd_slow_event *e = cmd_slow_find(c, c->argv[2]);
    size_t n = e != NULL ? MIN(e->n, (size_t)LATENCY_SAMPLES) : 0;
    reply_array(c, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = (e->n - n + i) % LATENCY_SAMPLES;
        reply_array(c, 2);
        reply_int(c, e->samples[at].s);
        reply_int(c, e->samples[at].ms);
    }
}

void cmd_latency_reset(struct resp_client *c)
{
    struct cmd_slow_event *events = c->srv->latency->events;
    int64_t n = 0;
    for (size_t i = 0; i < LATENCY_EVENTS;) {
        bool asked = c->argc == 2;
        for (size_t k = 2; k < c->argc && events[i].name != NULL; k++)
            asked = asked || slice_eq_ci(slice_str(events[i].name), c->argv[k]);
        if (!asked || events[i].name == NULL) {
            i++;
            continue;
        }
        memmove(&events[i], &events[i + 1], (LATENCY_EVENTS - 1 - i) * sizeof events[0]);
        memset(&events[LATENCY_EVENTS - 1], 0, sizeof events[0]);
        n++;
    }
    reply_int(c, n);
}

/* One column per sample, drawn downwards from the time it took. */
void cmd_latency_graph(struct resp_client *c)
{
    const struct cmd_slow_event *e = cmd_slow_find(c, c->argv[2]);
    if (e == NULL) {
        resp_errorf(c->out, "ERR No samples available for event '%s'",
                    arena_cstr(&c->th->arena, slice_sub(c->argv[2], 0, 128)));
        return;
    }
    size_t n = MIN(e->n, (size_t)LATENCY_SAMPLES);
    struct buf *b = &c->th->scratch;
    buf_clear(b);
    buf_fmt(b, "%s - high %lld ms, %zu samples, oldest first\n", e->name, (long long)e->max_ms, n);
    for (int64_t row = 4; row > 0; row--) {
        for (size_t i = 0; i < n; i++) {
            int64_t ms = e->samples[(e->n - n + i) % LATENCY_SAMPLES].ms;
            int64_t high = MAX(e->max_ms, 1);
            buf_byte(b, ms * 4 >= high * row ? '#' : row == 1 ? '_' : ' ');
        }
        buf_byte(b, '\n');
    }
    resp_verbatim(c->out, c->proto, "txt", buf_all(b));
}

void cmd_latency_doctor(struct resp_client *c)
{
    const struct cmd_slow_event *events = c->srv->latency->events;
    struct buf *b = &c->th->scratch;
    buf_clear(b);
    if (c->srv->latency_ms == 0)
        buf_str(b, "Latency monitoring is off. Switch it on with "
                   "CONFIG SET latency-monitor-threshold <milliseconds>.\n");
    else if (events[0].name == NULL)
        buf_str(b, "No event took longer than the threshold.\n");
    for (size_t i = 0; i < LATENCY_EVENTS && events[i].name != NULL; i++)
        buf_fmt(b, "%s: %zu samples, worst %lld ms. SLOWLOG GET names the commands.\n",
                events[i].name, MIN(events[i].n, (size_t)LATENCY_SAMPLES),
                (long long)events[i].max_ms);
    resp_verbatim(c->out, c->proto, "txt", buf_all(b));
}
