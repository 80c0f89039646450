/*
 * cmd_pubsub.c - publish and subscribe: channels, patterns, shard channels.
 *
 * Channels and patterns hang in the store (ks_subscribe), so that keyspace events and other doors
 * reach them too; shard channels are the server's own (one node owns them all). A message is
 * written in the receiver's protocol by the publisher's thread and sent by resp_send. Confirmations
 * and messages go out even when CLIENT REPLY is off, as in Redis. Owns the resp_sub of each client.
 * Inside the store's lock. Tested by test_resp_door.c and the Redis suite (unit/pubsub).
 */
#include "base/glob.h"
#include "resp/resp_int.h"

static const struct {
    const char *on, *off, *message;
} cmd_pubsub_words[SUB_KINDS] = {
    [SUB_CHANNEL] = {"subscribe", "unsubscribe", "message"},
    [SUB_PATTERN] = {"psubscribe", "punsubscribe", "pmessage"},
    [SUB_SHARD] = {"ssubscribe", "sunsubscribe", "smessage"},
};

size_t pubsub_count(const struct resp_client *c)
{
    return c->subs_n[SUB_CHANNEL] + c->subs_n[SUB_PATTERN] + c->subs_n[SUB_SHARD];
}

/* ---- delivery ---- */

/* Inside the lock, in the publisher's thread. */
static void cmd_pubsub_deliver(const struct resp_sub *s, struct slice channel, struct slice message)
{
    struct resp_client *to = s->client;
    struct buf *b = &to->srv->letter;
    buf_clear(b);
    resp_push(b, to->proto, s->kind == SUB_PATTERN ? 4 : 3);
    resp_bulk(b, slice_str(cmd_pubsub_words[s->kind].message));
    if (s->kind == SUB_PATTERN)
        resp_bulk(b, s->ks.channel);
    resp_bulk(b, channel);
    resp_bulk(b, message);
    resp_send(to, buf_all(b));
    buf_shrink(b, 1 << 16);
}

static void cmd_pubsub_on_message(void *ctx, const struct ks_sub *s, struct slice channel,
                                  struct slice message)
{
    (void)s;
    cmd_pubsub_deliver(ctx, channel, message);
}

/* ---- shard channels ---- */

static void cmd_pubsub_shard_join(struct resp_server *s, struct resp_sub *sub)
{
    struct resp_sub *first = map_get(&s->shards, sub->ks.channel);
    sub->next_of_channel = first;
    if (first != NULL) {
        first->prev_of_channel = sub;
        (void)map_del(&s->shards, first->ks.channel); /* its key must live as long as the row */
    }
    (void)map_put(&s->shards, sub->ks.channel, sub);
}

static void cmd_pubsub_shard_leave(struct resp_server *s, struct resp_sub *sub)
{
    struct resp_sub *next = sub->next_of_channel, *prev = sub->prev_of_channel;
    if (next != NULL)
        next->prev_of_channel = prev;
    if (prev != NULL) {
        prev->next_of_channel = next;
        return;
    }
    (void)map_del(&s->shards, sub->ks.channel);
    if (next != NULL)
        (void)map_put(&s->shards, next->ks.channel, next);
}

static size_t cmd_pubsub_shard_count(const struct resp_server *s, struct slice channel)
{
    size_t n = 0;
    const struct resp_sub *sub = map_get(&s->shards, channel);
    for (; sub != NULL; sub = sub->next_of_channel)
        n++;
    return n;
}

/* ---- subscribing ---- */

static void cmd_pubsub_add(struct resp_client *c, int kind, struct slice name)
{
    if (map_get(&c->subs[kind], name) != NULL)
        return;
    if (pubsub_count(c) == 0) {
        c->srv->pubsub_n++;
        conn_set_idle(c->conn, 0); /* a listener may be silent */
    }
    struct resp_sub *s = mem_zalloc(sizeof *s + name.n);
    memcpy(s->name, name.p, name.n);
    s->client = c;
    s->kind = kind;
    s->ks.channel = slice_of(s->name, name.n);
    s->ks.is_pattern = kind == SUB_PATTERN;
    s->ks.deliver = cmd_pubsub_on_message;
    s->ks.ctx = s;
    (void)map_put(&c->subs[kind], s->ks.channel, s);
    s->next = c->subs_first[kind];
    if (s->next != NULL)
        s->next->prev = s;
    c->subs_first[kind] = s;
    c->subs_n[kind]++;
    if (kind == SUB_SHARD)
        cmd_pubsub_shard_join(c->srv, s);
    else
        ks_subscribe(c->st, &s->ks);
}

static void cmd_pubsub_remove(struct resp_client *c, struct resp_sub *s)
{
    (void)map_del(&c->subs[s->kind], s->ks.channel);
    *(s->prev != NULL ? &s->prev->next : &c->subs_first[s->kind]) = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    c->subs_n[s->kind]--;
    if (s->kind == SUB_SHARD)
        cmd_pubsub_shard_leave(c->srv, s);
    else
        ks_unsubscribe(c->st, &s->ks);
    mem_free(s);
    if (pubsub_count(c) == 0) {
        c->srv->pubsub_n--;
        conn_set_idle(c->conn, c->srv->opts.timeout_ms);
    }
}

void pubsub_drop(struct resp_client *c, int kind)
{
    while (c->subs_first[kind] != NULL)
        cmd_pubsub_remove(c, c->subs_first[kind]);
}

/* What a confirmation counts: channels and patterns together, shard channels apart. */
static size_t cmd_pubsub_shown(const struct resp_client *c, int kind)
{
    return kind == SUB_SHARD ? c->subs_n[SUB_SHARD]
                             : c->subs_n[SUB_CHANNEL] + c->subs_n[SUB_PATTERN];
}

static void cmd_pubsub_confirm(struct resp_client *c, int kind, const char *word,
                               const struct slice *name)
{
    struct buf *o = conn_out(c->conn);
    resp_push(o, c->proto, 3);
    resp_bulk(o, slice_str(word));
    if (name != NULL)
        resp_bulk(o, *name);
    else
        resp_nil(o, c->proto);
    resp_int(o, (int64_t)cmd_pubsub_shown(c, kind));
}

static void cmd_pubsub_subscribe(struct resp_client *c, int kind)
{
    resp_inbox_drain(c->th);
    for (size_t i = 1; i < c->argc; i++) {
        cmd_pubsub_add(c, kind, c->argv[i]);
        cmd_pubsub_confirm(c, kind, cmd_pubsub_words[kind].on, &c->argv[i]);
    }
}

static void cmd_pubsub_unsubscribe_all(struct resp_client *c, int kind)
{
    if (c->subs_n[kind] == 0)
        cmd_pubsub_confirm(c, kind, cmd_pubsub_words[kind].off, NULL);
    while (c->subs_first[kind] != NULL) {
        struct slice name = arena_dup(&c->th->arena, c->subs_first[kind]->ks.channel);
        cmd_pubsub_remove(c, c->subs_first[kind]);
        cmd_pubsub_confirm(c, kind, cmd_pubsub_words[kind].off, &name);
    }
}

static void cmd_pubsub_unsubscribe(struct resp_client *c, int kind)
{
    resp_inbox_drain(c->th);
    if (c->argc == 1)
        cmd_pubsub_unsubscribe_all(c, kind);
    for (size_t i = 1; i < c->argc; i++) {
        struct resp_sub *s = map_get(&c->subs[kind], c->argv[i]);
        if (s != NULL)
            cmd_pubsub_remove(c, s);
        cmd_pubsub_confirm(c, kind, cmd_pubsub_words[kind].off, &c->argv[i]);
    }
}

void cmd_subscribe(struct resp_client *c)
{
    cmd_pubsub_subscribe(c, SUB_CHANNEL);
}
void cmd_psubscribe(struct resp_client *c)
{
    cmd_pubsub_subscribe(c, SUB_PATTERN);
}
void cmd_ssubscribe(struct resp_client *c)
{
    cmd_pubsub_subscribe(c, SUB_SHARD);
}
void cmd_unsubscribe(struct resp_client *c)
{
    cmd_pubsub_unsubscribe(c, SUB_CHANNEL);
}
void cmd_punsubscribe(struct resp_client *c)
{
    cmd_pubsub_unsubscribe(c, SUB_PATTERN);
}
void cmd_sunsubscribe(struct resp_client *c)
{
    cmd_pubsub_unsubscribe(c, SUB_SHARD);
}

/* ---- publishing ---- */

void cmd_publish(struct resp_client *c)
{
    reply_int(c, (int64_t)ks_publish(c->st, c->argv[1], c->argv[2]));
}

void cmd_spublish(struct resp_client *c)
{
    int64_t n = 0;
    struct resp_sub *s = map_get(&c->srv->shards, c->argv[1]);
    for (; s != NULL; s = s->next_of_channel, n++)
        cmd_pubsub_deliver(s, c->argv[1], c->argv[2]);
    reply_int(c, n);
}

/* ---- PUBSUB ---- */

struct cmd_pubsub_walk {
    struct resp_gather g;
    struct slice pattern;
    bool has_pattern;
};

static void cmd_pubsub_each(void *ctx, struct slice channel, size_t subscribers)
{
    struct cmd_pubsub_walk *w = ctx;
    (void)subscribers;
    if (!w->has_pattern || glob_match(w->pattern, channel, false))
        gather_bulk(&w->g, channel);
}

static bool cmd_pubsub_walk_args(struct resp_client *c, struct cmd_pubsub_walk *w)
{
    if (c->argc > 3) {
        reply_unknown_sub(c);
        return false;
    }
    *w = (struct cmd_pubsub_walk){.g = gather_begin(c), .has_pattern = c->argc == 3};
    if (w->has_pattern)
        w->pattern = c->argv[2];
    return true;
}

void cmd_pubsub_channels(struct resp_client *c)
{
    struct cmd_pubsub_walk w;
    if (!cmd_pubsub_walk_args(c, &w))
        return;
    ks_channels(c->st, cmd_pubsub_each, &w);
    gather_end(c, &w.g);
}

void cmd_pubsub_shardchannels(struct resp_client *c)
{
    struct cmd_pubsub_walk w;
    size_t it = 0;
    struct slice key;
    void *value;
    if (!cmd_pubsub_walk_args(c, &w))
        return;
    while (map_next(&c->srv->shards, &it, &key, &value))
        cmd_pubsub_each(&w, key, 1);
    gather_end(c, &w.g);
}

static void cmd_pubsub_count_one(void *ctx, struct slice channel, size_t subscribers)
{
    int64_t *n = map_get(ctx, channel);
    if (n != NULL)
        *n = (int64_t)subscribers;
}

void cmd_pubsub_numsub(struct resp_client *c)
{
    int64_t *n = ARENA_ARRAY(&c->th->arena, int64_t, c->argc);
    struct map asked;
    map_init(&asked);
    for (size_t i = c->argc - 1; i > 1; i--)
        (void)map_put(&asked, c->argv[i], &n[i]);
    ks_channels(c->st, cmd_pubsub_count_one, &asked);
    reply_map(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        reply_bulk(c, c->argv[i]);
        reply_int(c, *(int64_t *)map_get(&asked, c->argv[i]));
    }
    map_free(&asked);
}

void cmd_pubsub_shardnumsub(struct resp_client *c)
{
    reply_map(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        reply_bulk(c, c->argv[i]);
        reply_int(c, (int64_t)cmd_pubsub_shard_count(c->srv, c->argv[i]));
    }
}

static void cmd_pubsub_count_client(const struct resp_client *c, struct map *patterns)
{
    for (struct resp_sub *s = c->subs_first[SUB_PATTERN]; s != NULL; s = s->next)
        (void)map_put(patterns, s->ks.channel, s);
}

size_t pubsub_patterns(const struct resp_server *s)
{
    struct map patterns;
    map_init(&patterns);
    for (const struct resp_client *c = s->clients; c != NULL; c = c->next)
        cmd_pubsub_count_client(c, &patterns);
    size_t n = patterns.n;
    map_free(&patterns);
    return n;
}

void cmd_pubsub_numpat(struct resp_client *c)
{
    reply_int(c, (int64_t)pubsub_patterns(c->srv));
}

static void cmd_pubsub_count_channel(void *ctx, struct slice channel, size_t subscribers)
{
    (void)channel;
    (void)subscribers;
    ++*(size_t *)ctx;
}

size_t pubsub_channels(const struct resp_server *s)
{
    size_t n = 0;
    ks_channels(s->st, cmd_pubsub_count_channel, &n);
    return n;
}
