/*
 * fuzz_json.c - JSON with any bytes; what is accepted is written and read again and must be the
 * same.
 *
 * Seeds: tests/fuzz/seeds/fuzz_json.
 */
#include "base/mem.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_json_write(struct buf *b, const struct json *v)
{
    struct jsonw w;
    buf_init(b, 0);
    jsonw_init(&w, b);
    jsonw_value(&w, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *v, *again;
    struct err e;
    arena_init(&a, 4096, 1 << 20);
    char *copy = mem_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    enum rc rc = json_parse(&a, slice_of(copy, size), 1 << 16, &v, &e);
    mem_free(copy); /* the tree must not need the input */
    if (rc == RC_OK) {
        struct buf one, two;
        fuzz_json_write(&one, v);
        MUST(slice_utf8(buf_all(&one)));
        MUST(json_parse(&a, buf_all(&one), 1 << 20, &again, &e) == RC_OK);
        fuzz_json_write(&two, again);
        MUST(slice_eq(buf_all(&one), buf_all(&two)));
        buf_free(&one);
        buf_free(&two);
    } else {
        MUST(rc == RC_BADINPUT || rc == RC_TOOBIG);
    }
    /* a string of any bytes must come out as JSON */
    struct buf b;
    struct jsonw w;
    buf_init(&b, 0);
    jsonw_init(&w, &b);
    jsonw_str(&w, slice_of((const char *)data, MIN(size, (size_t)4096)));
    MUST(json_parse(&a, buf_all(&b), 1 << 20, &again, &e) == RC_OK && again->kind == JSON_STR);
    buf_free(&b);
    arena_free(&a);
    return 0;
}
