/*
 * fuzz_log.c - the log with any bytes.
 *
 * An even first byte: the rest is a segment behind its head, read record by record. An odd one: the rest
 * is the payload of a sound record (a fuzzer does not find checksums), done to an empty keyspace; then
 * walking, counting and the books must agree, and what was read must be written the same way again.
 * Seeds: tests/fuzz/seeds/fuzz_log.
 */
#include "base/map.h"
#include "store/apply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_log_records(struct slice in)
{
    uint64_t lsn = 0;
    struct wal_record r;
    size_t need;
    while (wal_parse(in, lsn, &r, &need) == RC_OK) {
        struct effect ef;
        MUST(r.end - r.lsn <= in.n && r.payload.p + r.payload.n <= in.p + in.n);
        struct slice p = r.payload;
        while (effect_read(&p, &ef) == RC_OK)
            ;
        in = slice_from(in, (size_t)(r.end - r.lsn));
        lsn = r.end;
    }
}

static uint64_t fuzz_log_walked;
static void fuzz_log_entry(void *ctx, struct entry *e)
{
    (void)ctx;
    struct slice a, b;
    char tmp[KS_TMP];
    uint64_t n = 0;
    if (ks_type(e) == V_STRING)
        (void)ks_str(e, tmp);
    else if (ks_type(e) == V_HASH) {
        for (uint64_t it = 0; ks_hnext(e, &it, &a, &b); n++)
            ;
        MUST(n == ks_hlen(e));
    }
    MUST(ks_encoding(e) && ks_bytes(e) > 0 && ks_expire_ms(e) >= 0);
    fuzz_log_walked++;
}

static void fuzz_log_check(struct store *st)
{
    for (int db = 0; db < STORE_DBS; db++) {
        uint64_t cursor = 0;
        fuzz_log_walked = 0;
        do
            cursor = ks_scan(st, db, cursor, 1000, fuzz_log_entry, NULL);
        while (cursor);
        MUST(fuzz_log_walked == ks_count(st, db));
    }
    ks_flush(st, -1);
    keys_free_all(st);
    MUST(keys_used_bytes(st) == 0);
}

static void fuzz_log_effects(struct store *st, struct slice in)
{
    struct effect ef, again;
    struct buf b;
    buf_init(&b, 0);
    while (effect_read(&in, &ef) == RC_OK) {
        if (ef.op == EF_RANGE && ef.at > 1u << 20)
            continue; /* large, and slow with sanitizers */
        buf_clear(&b);
        effect_write(&b, &ef);
        struct slice s = buf_all(&b);
        MUST(effect_read(&s, &again) == RC_OK && s.n == 0);
        MUST(again.op == ef.op && again.db == ef.db && slice_eq(again.key, ef.key) &&
             slice_eq(again.value, ef.value) && again.expire_ms == ef.expire_ms);
        replay_effect(st, &ef);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store *st;
    struct err e;
    if (size == 0)
        return 0;
    if (!st) {
        hash_seed_init();
        MUST(store_open(&(struct store_opts){.engine = STORE_MEMORY}, &st, &e) == RC_OK);
    }
    struct slice in = slice_of((const char *)data + 1, size - 1);
    if (data[0] % 2 == 0) {
        fuzz_log_records(in);
        return 0;
    }
    st->loading = true;
    fuzz_log_effects(st, in);
    fuzz_log_check(st);
    st->loading = false;
    return 0;
}
