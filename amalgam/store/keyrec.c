/*
 * keyrec.c - API keys in the keyspace, in Gloo's form: two string entries per key, values as compact
 * JSON with members in alphabetical order.
 *
 * Called by policy/ (a check that missed its cache), store/account*.c (create, revoke) and main/
 * (import, export). It never sees a clear key except in keyrec_hash, which keeps nothing of it.
 * The keyspace owns the entries; a struct keyrec owns nothing and points into the caller's arena.
 * Threads: as keyrec.h says, entries only inside store_enter/store_leave.
 * Tested by tests/unit/policy/test_keyrec.c.
 */
#include "store/keyrec.h"
#include "wire/json.h"

#define KEYREC_JSON_MAX 65536

struct slice keyrec_hash(const struct keyrec_scheme *s, struct slice api_key, char *dst)
{
    uint8_t mac[32];

    if (s->kind == KEYREC_PLAIN)
        return api_key;
    if (s->kind == KEYREC_SHA256)
        sha256(api_key, mac);
    else
        hmac_sha256(&s->hmac, api_key, mac);
    return slice_of(dst, b64_encode(dst, mac, sizeof mac));
}

struct slice keyrec_meta(const struct keyrec *k, struct slice name)
{
    for (size_t i = 0; i < k->meta_n; i++)
        if (slice_eq(k->meta[i].name, name))
            return k->meta[i].value;
    return S("");
}

bool keyrec_meta_set(struct keyrec *k, struct slice name, struct slice value)
{
    for (size_t i = 0; i < k->meta_n; i++) {
        if (slice_eq(k->meta[i].name, name)) {
            k->meta[i].value = value;
            return true;
        }
    }
    if (k->meta_n == ARRAY_LEN(k->meta))
        return false;
    k->meta[k->meta_n++] = (struct keyrec_pair){name, value};
    return true;
}

/* Other makers write numbers and booleans where Gloo writes strings: their text is taken. */
static struct slice keyrec_scalar(struct arena *a, const struct json *v)
{
    char digits[24];

    switch (v->kind) {
    case JSON_STR: return v->s;
    case JSON_BOOL: return v->b ? S("true") : S("false");
    case JSON_INT: return arena_dup(a, slice_of(digits, fmt_i64(digits, v->i)));
    case JSON_UINT: return arena_dup(a, slice_of(digits, fmt_u64(digits, v->u)));
    default: return S("");
    }
}

enum rc keyrec_parse(struct slice text, struct arena *a, struct keyrec *out)
{
    struct json *j = NULL;
    const struct json *labels, *meta;

    memset(out, 0, sizeof *out);
    if (json_parse(a, text, KEYREC_JSON_MAX, &j, NULL) != RC_OK || j->kind != JSON_OBJ)
        return RC_BADINPUT;
    out->hash = json_str(j, S("api_key"));
    out->uuid = json_str(j, S("uuid"));
    if (out->uuid.n == 0)
        return RC_BADINPUT;
    labels = json_get(j, S("labels"));
    for (uint32_t i = 0; labels && labels->kind == JSON_ARR && i < labels->n; i++)
        if (labels->items[i].kind == JSON_STR && out->labels_n < ARRAY_LEN(out->labels))
            out->labels[out->labels_n++] = labels->items[i].s;
    meta = json_get(j, S("metadata"));
    for (uint32_t i = 0; meta && meta->kind == JSON_OBJ && i < meta->n; i++)
        if (!keyrec_meta_set(out, meta->members[i].name, keyrec_scalar(a, &meta->members[i].value)))
            return RC_BADINPUT; /* more than we can keep: losing "expires-ts-unix" would open a door */
    return RC_OK;
}

enum rc keyrec_get(struct store *st, int db, struct slice hash, struct arena *a, struct keyrec *out)
{
    struct entry *e = ks_find(st, db, hash, KS_TOUCH);
    char tmp[KS_TMP];

    if (!e)
        return RC_NOTFOUND;
    if (ks_type(e) != V_STRING)
        return RC_BADINPUT;
    return keyrec_parse(ks_str(e, tmp), a, out);
}

enum rc keyrec_by_uuid(struct store *st, int db, struct slice uuid, struct arena *a,
                       struct keyrec *out)
{
    struct entry *e = ks_find(st, db, uuid, KS_NOTOUCH);
    char tmp[KS_TMP];
    enum rc rc;

    if (!e)
        return RC_NOTFOUND;
    if (ks_type(e) != V_STRING)
        return RC_BADINPUT;
    rc = keyrec_get(st, db, arena_dup(a, ks_str(e, tmp)), a, out);
    return rc == RC_OK && !slice_eq(out->uuid, uuid) ? RC_BADINPUT : rc;
}

/* Members in alphabetical order, as the other side writes them: selection sort over at most 32. */
static void keyrec_write_meta(struct jsonw *w, const struct keyrec *k)
{
    bool done[ARRAY_LEN(k->meta)] = {false};

    jsonw_obj(w);
    for (size_t round = 0; round < k->meta_n; round++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < k->meta_n; i++)
            if (!done[i] && (best == SIZE_MAX || slice_cmp(k->meta[i].name, k->meta[best].name) < 0))
                best = i;
        done[best] = true;
        jsonw_kstr(w, k->meta[best].name, k->meta[best].value);
    }
    jsonw_end_obj(w);
}

void keyrec_put(struct store *st, int db, const struct keyrec *k, struct arena *scratch)
{
    struct buf out;
    struct jsonw w;

    (void)scratch;
    buf_init(&out, KEYREC_JSON_MAX);
    jsonw_init(&w, &out);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("api_key"), k->hash);
    jsonw_key(&w, S("labels"));
    jsonw_arr(&w);
    for (size_t i = 0; i < k->labels_n; i++)
        jsonw_str(&w, k->labels[i]);
    jsonw_end_arr(&w);
    jsonw_key(&w, S("metadata"));
    keyrec_write_meta(&w, k);
    jsonw_kstr(&w, S("uuid"), k->uuid);
    jsonw_end_obj(&w);
    if (!buf_over(&out)) {
        ks_set(st, db, k->hash, buf_all(&out), 0);
        ks_set(st, db, k->uuid, k->hash, 0);
    }
    buf_free(&out);
}

bool keyrec_del(struct store *st, int db, struct slice uuid)
{
    struct entry *e = ks_find(st, db, uuid, KS_NOTOUCH);
    char tmp[KS_TMP], hash[256];
    struct slice h;

    if (!e || ks_type(e) != V_STRING)
        return false;
    h = ks_str(e, tmp);
    if (h.n > sizeof hash)
        return false;
    memcpy(hash, h.p, h.n);
    ks_del(st, db, slice_of(hash, h.n));
    return ks_del(st, db, uuid);
}

#undef KEYREC_JSON_MAX

/* ---- last use ---- */

/* A refusal (a full or broken disk, another type under that name) is no reason to refuse the request. */
void keyrec_note_use(struct store *st, int db, struct slice uuid, int64_t now_ms)
{
    char text[24];
    bool created;
    if (uuid.n)
        (void)!ks_hset(st, db, S(KEYREC_USED), uuid, slice_of(text, fmt_i64(text, now_ms)), &created);
}

int64_t keyrec_last_use(struct store *st, int db, struct slice uuid)
{
    struct slice text;
    int64_t ms = 0;
    const struct entry *e = ks_find(st, db, S(KEYREC_USED), KS_NOTOUCH);
    return e && ks_type(e) == V_HASH && ks_hget(e, uuid, &text) && slice_i64(text, &ms) ? ms : 0;
}
