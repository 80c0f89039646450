/*
 * fuzz_protobuf.c - any bytes as a protobuf message: read, written again, read as the same.
 *
 * Every field lies inside its message; what was read and is written again reads the same; a buffer that
 * is too small is told, never overrun. Nested messages are tried to a depth of 8.
 */
#include "base/mem.h"
#include "wire/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_copy(struct buf *out, const struct pb_field *f)
{
    double d;
    if (f->type == PB_VARINT) {
        pb_put_u64(out, f->number, f->n);
    } else if (pb_take_double(f, &d)) {
        pb_put_double(out, f->number, d);
    } else if (f->type == PB_BYTES) {
        pb_put_bytes(out, f->number, f->bytes);
    } else {
        MUST(f->type == PB_FIXED32 && f->n <= UINT32_MAX);
        pb_put_u64(out, f->number, f->n);
    }
}

static void fuzz_walk(struct slice in, int depth)
{
    struct pb r = pb_open(in);
    struct pb_field f;
    struct slice s, packed;
    bool bad = false;
    uint64_t n;
    struct buf out, small;
    buf_init(&out, 0);
    buf_init(&small, 64);
    size_t fields = 0;
    while (pb_next(&r, &f)) {
        fields++;
        MUST(f.number > 0 && r.at <= r.end);
        MUST(f.type != PB_BYTES || f.bytes.n == 0 || (f.bytes.p >= in.p && f.bytes.p + f.bytes.n <= in.p + in.n));
        fuzz_copy(&out, &f);
        size_t mark = pb_begin(&small, f.number);
        fuzz_copy(&small, &f);
        pb_end(&small, mark);
        if (pb_take_text(&f, &s, &bad))
            MUST(slice_utf8(s));
        if (f.type != PB_BYTES)
            continue;
        for (packed = f.bytes; pb_unpack(&packed, &n, &bad);)
            MUST(packed.n < f.bytes.n);
        struct buf text;
        buf_init(&text, 0);
        pb_put_text(&text, 1, f.bytes);
        struct pb t = pb_open(buf_all(&text));
        MUST(pb_next(&t, &(struct pb_field){0}) && pb_ok(&t));
        buf_free(&text);
        if (depth < 8)
            fuzz_walk(f.bytes, depth + 1);
    }
    MUST(small.n <= 64);
    struct pb again = pb_open(buf_all(&out));
    while (pb_next(&again, &f))
        fields--;
    MUST(pb_ok(&again) && fields == 0);
    buf_free(&out);
    buf_free(&small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size ? size : 1); /* exactly this size: an overread shows */
    memcpy(copy, data, size);
    fuzz_walk(slice_of(copy, size), 0);
    mem_free(copy);
    return 0;
}
