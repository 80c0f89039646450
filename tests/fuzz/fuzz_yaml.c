/*
 * fuzz_yaml.c - YAML with any bytes; what is accepted must become JSON that reads back.
 *
 * Seeds: tests/fuzz/seeds/fuzz_yaml.
 */
#include "base/mem.h"
#include "wire/json.h"
#include "wire/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_yaml_walk(const struct yaml *y, int depth)
{
    size_t nodes = 1;
    MUST(depth <= 64 && y->line >= 1 && y->col >= 1);
    for (uint32_t i = 0; y->kind == YAML_SEQ && i < y->n; i++)
        nodes += fuzz_yaml_walk(y->items[i], depth + 1);
    for (uint32_t i = 0; y->kind == YAML_MAP && i < y->n; i++)
        nodes += 1 + fuzz_yaml_walk(y->pairs[i].value, depth + 1);
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct yaml **docs;
    struct err e;
    size_t n;
    arena_init(&a, 4096, 64 << 20);
    char *copy = mem_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    enum rc rc = yaml_parse(&a, "f", slice_of(copy, size), &docs, &n, &e);
    mem_free(copy); /* the tree must not need the input */
    size_t nodes = 0;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct buf b;
        struct json *v;
        nodes += fuzz_yaml_walk(docs[i], 1);
        buf_init(&b, 0);
        yaml_to_json(docs[i], &b);
        MUST(json_parse(&a, buf_all(&b), 16 << 20, &v, &e) == RC_OK);
        buf_free(&b);
    }
    MUST(nodes <= 200000);
    if (rc != RC_OK)
        MUST(e.text[0] && e.place[0] && (rc == RC_BADINPUT || rc == RC_TOOBIG));
    arena_free(&a);
    return 0;
}
