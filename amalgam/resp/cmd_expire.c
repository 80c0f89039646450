/*
 * cmd_expire.c - when keys die: the EXPIRE and TTL families, PERSIST.
 *
 * Times are absolute milliseconds inside. A time that has passed deletes the key at once (event
 * "del"). Inside the store's lock. Tested by test_resp_commands.c and the Redis suite
 * (unit/expire).
 */
#include "resp/resp_int.h"

enum { CMD_EXPIRE_NX = 1, CMD_EXPIRE_XX = 2, CMD_EXPIRE_GT = 4, CMD_EXPIRE_LT = 8 };

static bool cmd_expire_flags(struct resp_client *c, uint32_t *flags)
{
    static const struct {
        const char *word;
        uint32_t flag;
    } words[] = {
        {"NX", CMD_EXPIRE_NX}, {"XX", CMD_EXPIRE_XX}, {"GT", CMD_EXPIRE_GT}, {"LT", CMD_EXPIRE_LT}};
    for (size_t i = 3; i < c->argc; i++) {
        uint32_t flag = 0;
        for (size_t k = 0; k < ARRAY_LEN(words); k++) {
            if (arg_is(c->argv[i], words[k].word))
                flag = words[k].flag;
        }
        *flags |= flag;
        if (flag == 0) {
            resp_errorf(c->out, "ERR Unsupported option %s",
                        arena_cstr(&c->th->arena, slice_sub(c->argv[i], 0, 128)));
            return false;
        }
    }
    if ((*flags & CMD_EXPIRE_NX) && (*flags & ~(uint32_t)CMD_EXPIRE_NX)) {
        reply_err(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*flags & CMD_EXPIRE_GT) && (*flags & CMD_EXPIRE_LT)) {
        reply_err(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Whether the options let a key that dies at old (0: never) die at new_ms instead. */
static bool cmd_expire_allowed(uint32_t flags, int64_t old, int64_t new_ms)
{
    if ((flags & CMD_EXPIRE_NX) && old != 0)
        return false;
    if ((flags & CMD_EXPIRE_XX) && old == 0)
        return false;
    if ((flags & CMD_EXPIRE_GT) && (old == 0 || new_ms <= old))
        return false;
    if ((flags & CMD_EXPIRE_LT) && old != 0 && new_ms >= old)
        return false;
    return true;
}

static void cmd_expire_generic(struct resp_client *c, int unit)
{
    struct slice key = c->argv[1];
    uint32_t flags = 0;
    int64_t at_ms;
    if (!cmd_expire_flags(c, &flags) || !arg_expire(c, c->argv[2], unit, false, &at_ms))
        return;
    const struct entry *e = ks_find(c->st, c->db, key, KS_NOTOUCH);
    if (e == NULL || !cmd_expire_allowed(flags, ks_expire_ms(e), at_ms)) {
        reply_int(c, 0);
        return;
    }
    if (at_ms <= store_now_ms(c->st)) {
        (void)ks_del(c->st, c->db, key);
        ks_notify(c->st, 'g', "del", key, c->db);
    } else {
        (void)ks_expire_at(c->st, c->db, key, at_ms);
        ks_notify(c->st, 'g', "expire", key, c->db);
    }
    reply_int(c, 1);
}

void cmd_expire(struct resp_client *c)
{
    cmd_expire_generic(c, TIME_SECONDS | TIME_RELATIVE);
}

void cmd_pexpire(struct resp_client *c)
{
    cmd_expire_generic(c, TIME_RELATIVE);
}

void cmd_expireat(struct resp_client *c)
{
    cmd_expire_generic(c, TIME_SECONDS);
}

void cmd_pexpireat(struct resp_client *c)
{
    cmd_expire_generic(c, 0);
}

void cmd_persist(struct resp_client *c)
{
    const struct entry *e = ks_find(c->st, c->db, c->argv[1], KS_NOTOUCH);
    bool had = e != NULL && ks_expire_ms(e) != 0;
    if (had) {
        (void)ks_expire_at(c->st, c->db, c->argv[1], 0);
        ks_notify(c->st, 'g', "persist", c->argv[1], c->db);
    }
    reply_int(c, had);
}

static void cmd_expire_left(struct resp_client *c, int unit)
{
    const struct entry *e = ks_find(c->st, c->db, c->argv[1], KS_NOTOUCH);
    int64_t at_ms = e != NULL ? ks_expire_ms(e) : 0;
    if (at_ms == 0) {
        reply_int(c, e != NULL ? -1 : -2);
        return;
    }
    if (unit & TIME_RELATIVE)
        at_ms = MAX(at_ms - store_now_ms(c->st), 0);
    reply_int(c, unit & TIME_SECONDS ? (at_ms + 500) / 1000 : at_ms);
}

void cmd_ttl(struct resp_client *c)
{
    cmd_expire_left(c, TIME_SECONDS | TIME_RELATIVE);
}

void cmd_pttl(struct resp_client *c)
{
    cmd_expire_left(c, TIME_RELATIVE);
}

void cmd_expiretime(struct resp_client *c)
{
    cmd_expire_left(c, TIME_SECONDS);
}

void cmd_pexpiretime(struct resp_client *c)
{
    cmd_expire_left(c, 0);
}
