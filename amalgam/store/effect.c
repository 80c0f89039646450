/*
 * effect.c - effects to bytes and back, by one table of what each op carries (see effect.h).
 *
 * Called by keys.c (write, under the lock), replay.c and apply.c (read). Never allocates but in the
 * buffer it is given. Tested by tests/unit/store/test_wal.c, test_model.c and tests/fuzz/fuzz_log.c.
 */
#include "store/effect.h"

enum { HAS_TYPE = 1, HAS_TO_DB = 2, HAS_EXPIRE = 4, HAS_AT = 8, HAS_KEY = 16, HAS_SUB = 32, HAS_VALUE = 64 };

static unsigned effect_fields(unsigned op)
{
    static const uint8_t fields[EF_OPS] = {
        [EF_PUT] = HAS_EXPIRE | HAS_KEY | HAS_VALUE,
        [EF_DEL] = HAS_KEY,
        [EF_EXPIRE] = HAS_EXPIRE | HAS_KEY,
        [EF_ELEM_PUT] = HAS_TYPE | HAS_KEY | HAS_SUB | HAS_VALUE,
        [EF_ELEM_DEL] = HAS_TYPE | HAS_KEY | HAS_SUB,
        [EF_FLUSH] = 0,
        [EF_SWAP] = HAS_TO_DB,
        [EF_RENAME] = HAS_TO_DB | HAS_KEY | HAS_SUB,
        [EF_RANGE] = HAS_AT | HAS_KEY | HAS_VALUE,
        [EF_MAKE] = HAS_TYPE | HAS_KEY,
    };
    return fields[op];
}

static char *effect_varint(char *p, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *p++ = (char)(0x80 | (n & 0x7f));
    *p++ = (char)n;
    return p;
}

static char *effect_bytes(char *p, struct slice s)
{
    p = effect_varint(p, s.n);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

void effect_write(struct buf *out, const struct effect *e)
{
    unsigned f = effect_fields(e->op);
    /* 4 bytes, expiry 8, four varints of at most 10 */
    if (!buf_room(out, 52 + e->key.n + e->sub.n + e->value.n))
        return;
    char *p = out->p + out->n;
    *p++ = (char)e->op;
    *p++ = (char)e->db;
    if (f & HAS_TYPE)
        *p++ = (char)e->type;
    if (f & HAS_TO_DB)
        *p++ = (char)e->to_db;
    if (f & HAS_EXPIRE) {
        memcpy(p, &e->expire_ms, 8);
        p += 8;
    }
    if (f & HAS_AT)
        p = effect_varint(p, e->at);
    if (f & HAS_KEY)
        p = effect_bytes(p, e->key);
    if (f & HAS_SUB)
        p = effect_bytes(p, e->sub);
    if (f & HAS_VALUE)
        p = effect_bytes(p, e->value);
    out->n = (size_t)(p - out->p);
}

static bool effect_take(struct slice *in, size_t n, const char **p)
{
    if (n > in->n)
        return false;
    *p = in->p;
    *in = slice_from(*in, n);
    return true;
}

static bool effect_take_varint(struct slice *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const char *p;
        if (!effect_take(in, 1, &p))
            return false;
        uint64_t byte = (unsigned char)*p;
        v |= (byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = v;
            return shift < 63 || byte < 2;
        }
    }
    return false;
}

static bool effect_take_bytes(struct slice *in, struct slice *out)
{
    uint64_t n;
    const char *p;
    if (!effect_take_varint(in, &n) || n > in->n || !effect_take(in, (size_t)n, &p))
        return false;
    *out = slice_of(p, (size_t)n);
    return true;
}

static bool effect_db_valid(const struct effect *e)
{
    bool all = e->op == EF_FLUSH && e->db == EFFECT_ALL_DBS;
    return (e->db < STORE_DBS || all) && e->to_db < STORE_DBS && (unsigned)e->type < V_TYPES &&
           e->expire_ms >= 0 && e->at <= 1u << 29;
}

enum rc effect_read(struct slice *in, struct effect *e)
{
    const char *p;
    if (in->n == 0)
        return RC_NOTFOUND;
    if (!effect_take(in, 2, &p))
        return RC_BADINPUT;
    unsigned op = (unsigned char)p[0];
    if (op == 0 || op >= EF_OPS)
        return RC_BADINPUT;
    *e = (struct effect){.op = (enum effect_op)op, .db = (unsigned char)p[1]};
    unsigned f = effect_fields(op);
    if (f & HAS_TYPE) {
        if (!effect_take(in, 1, &p))
            return RC_BADINPUT;
        e->type = (enum vtype)(unsigned char)*p;
    }
    if (f & HAS_TO_DB) {
        if (!effect_take(in, 1, &p))
            return RC_BADINPUT;
        e->to_db = (unsigned char)*p;
    }
    if (f & HAS_EXPIRE) {
        if (!effect_take(in, 8, &p))
            return RC_BADINPUT;
        memcpy(&e->expire_ms, p, 8);
    }
    bool ok = (!(f & HAS_AT) || effect_take_varint(in, &e->at)) &&
              (!(f & HAS_KEY) || effect_take_bytes(in, &e->key)) &&
              (!(f & HAS_SUB) || effect_take_bytes(in, &e->sub)) &&
              (!(f & HAS_VALUE) || effect_take_bytes(in, &e->value));
    return ok && effect_db_valid(e) ? RC_OK : RC_BADINPUT;
}
