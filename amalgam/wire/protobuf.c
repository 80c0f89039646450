/*
 * protobuf.c - varints, tags and lengths of the protobuf wire format, both ways.
 *
 * Called by the gRPC door (check/grpc_*.c). Knows no message: numbers and what they mean stand there.
 * A reader never reads past its slice and makes progress with every byte, so that it ends. Groups are
 * skipped to a bounded depth. Nested messages are written with one byte kept for the length, which is
 * enough for 127 bytes; longer ones are moved up. Pure. Tested by tests/unit/wire/test_protobuf.c and
 * tests/fuzz/fuzz_protobuf.c.
 */
#include "wire/protobuf.h"

enum { PB_NUMBER_MAX = 0x1fffffff, PB_VARINT_BYTES = 10, PB_GROUPS_MAX = 32 };

/* ---- reading ---- */

struct pb pb_open(struct slice message)
{
    const char *p = message.p ? message.p : "";
    return (struct pb){p, p + message.n, false};
}

static bool pb_fail(struct pb *r)
{
    r->bad = true;
    r->at = r->end;
    return false;
}

/* At most ten bytes, and the tenth has one bit to give. */
static bool pb_varint(struct pb *r, uint64_t *out)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < PB_VARINT_BYTES && r->at < r->end; i++) {
        uint8_t byte = (uint8_t)*r->at++;
        if (i == PB_VARINT_BYTES - 1 && byte > 1)
            return pb_fail(r);
        n |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = n;
            return true;
        }
    }
    return pb_fail(r);
}

static bool pb_fixed(struct pb *r, size_t bytes, uint64_t *out)
{
    uint64_t n = 0;
    if ((size_t)(r->end - r->at) < bytes)
        return pb_fail(r);
    for (size_t i = bytes; i-- > 0;)
        n = n << 8 | (uint8_t)r->at[i];
    r->at += bytes;
    *out = n;
    return true;
}

static bool pb_length(struct pb *r, struct slice *out)
{
    uint64_t n;
    if (!pb_varint(r, &n))
        return false;
    if (n > (size_t)(r->end - r->at))
        return pb_fail(r);
    *out = slice_of(r->at, (size_t)n);
    r->at += n;
    return true;
}

static bool pb_tag(struct pb *r, struct pb_field *f)
{
    uint64_t tag;
    if (!pb_varint(r, &tag))
        return false;
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum pb_type)(tag & 7);
    f->n = 0;
    f->bytes = S("");
    if (tag > UINT32_MAX || f->number == 0 || f->number > PB_NUMBER_MAX)
        return pb_fail(r);
    return true;
}

static bool pb_value(struct pb *r, struct pb_field *f)
{
    switch (f->type) {
    case PB_VARINT:
        return pb_varint(r, &f->n);
    case PB_FIXED64:
        return pb_fixed(r, 8, &f->n);
    case PB_FIXED32:
        return pb_fixed(r, 4, &f->n);
    case PB_BYTES:
        return pb_length(r, &f->bytes);
    default:
        return pb_fail(r);
    }
}

/* A group ends with the number that it began with; those within it are skipped along. */
static bool pb_skip_group(struct pb *r, uint32_t number)
{
    uint32_t open[PB_GROUPS_MAX];
    size_t depth = 0;
    struct pb_field f;
    open[depth++] = number;
    while (depth > 0) {
        if (!pb_tag(r, &f))
            return false;
        if (f.type == PB_GROUP) {
            if (depth == PB_GROUPS_MAX)
                return pb_fail(r);
            open[depth++] = f.number;
        } else if (f.type == PB_GROUP_END) {
            if (open[--depth] != f.number)
                return pb_fail(r);
        } else if (!pb_value(r, &f)) {
            return false;
        }
    }
    return true;
}

bool pb_next(struct pb *r, struct pb_field *f)
{
    while (r->at < r->end) {
        if (!pb_tag(r, f))
            return false;
        if (LIKELY(f->type != PB_GROUP))
            return pb_value(r, f);
        if (!pb_skip_group(r, f->number))
            return false;
    }
    return false;
}

bool pb_take_u64(const struct pb_field *f, uint64_t *out)
{
    if (f->type != PB_VARINT)
        return false;
    *out = f->n;
    return true;
}

bool pb_take_u32(const struct pb_field *f, uint32_t *out)
{
    uint64_t n;
    if (!pb_take_u64(f, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

bool pb_take_bool(const struct pb_field *f, bool *out)
{
    if (f->type != PB_VARINT)
        return false;
    *out = f->n != 0;
    return true;
}

bool pb_take_double(const struct pb_field *f, double *out)
{
    if (f->type != PB_FIXED64)
        return false;
    memcpy(out, &f->n, sizeof *out);
    return true;
}

bool pb_take_bytes(const struct pb_field *f, struct slice *out)
{
    if (f->type != PB_BYTES)
        return false;
    *out = f->bytes;
    return true;
}

bool pb_take_text(const struct pb_field *f, struct slice *out, bool *malformed)
{
    if (f->type != PB_BYTES)
        return false;
    if (UNLIKELY(!slice_utf8(f->bytes))) {
        *malformed = true;
        return false;
    }
    *out = f->bytes;
    return true;
}

struct slice pb_within(struct slice message, uint32_t number, bool *malformed)
{
    struct pb r = pb_open(message);
    struct pb_field f;
    struct slice found = S("");
    while (pb_next(&r, &f))
        if (f.number == number)
            (void)pb_take_bytes(&f, &found);
    *malformed |= !pb_ok(&r);
    return found;
}

bool pb_unpack(struct slice *packed, uint64_t *out, bool *malformed)
{
    struct pb r = pb_open(*packed);
    if (packed->n == 0)
        return false;
    bool there = pb_varint(&r, out);
    *malformed |= !there;
    *packed = slice_of(r.at, (size_t)(r.end - r.at));
    return there;
}

/* ---- writing ---- */

static size_t pb_varint_put(char *dst, uint64_t n)
{
    size_t i = 0;
    for (; n >= 0x80; n >>= 7)
        dst[i++] = (char)(n | 0x80);
    dst[i++] = (char)n;
    return i;
}

static void pb_put_varint(struct buf *b, uint64_t n)
{
    char bytes[PB_VARINT_BYTES];
    if (LIKELY(n < 0x80))
        buf_byte(b, (char)n);
    else
        buf_put(b, bytes, pb_varint_put(bytes, n));
}

static void pb_put_tag(struct buf *b, uint32_t number, enum pb_type type)
{
    pb_put_varint(b, (uint64_t)number << 3 | type);
}

void pb_put_u64(struct buf *b, uint32_t number, uint64_t n)
{
    pb_put_tag(b, number, PB_VARINT);
    pb_put_varint(b, n);
}

void pb_put_double(struct buf *b, uint32_t number, double d)
{
    uint64_t n;
    char bytes[8];
    memcpy(&n, &d, sizeof n);
    for (size_t i = 0; i < sizeof bytes; i++, n >>= 8)
        bytes[i] = (char)n;
    pb_put_tag(b, number, PB_FIXED64);
    buf_put(b, bytes, sizeof bytes);
}

void pb_put_bytes(struct buf *b, uint32_t number, struct slice bytes)
{
    pb_put_tag(b, number, PB_BYTES);
    pb_put_varint(b, bytes.n);
    buf_slice(b, bytes);
}

void pb_put_text(struct buf *b, uint32_t number, struct slice text)
{
    if (LIKELY(slice_utf8(text))) {
        pb_put_bytes(b, number, text);
        return;
    }
    size_t mark = pb_begin(b, number);
    for (size_t at = 0; at < text.n;) {
        size_t n = slice_utf8_one(slice_from(text, at));
        if (n)
            buf_put(b, text.p + at, n);
        else
            buf_lit(b, "\xef\xbf\xbd");
        at += n ? n : 1;
    }
    pb_end(b, mark);
}

size_t pb_begin(struct buf *b, uint32_t number)
{
    pb_put_tag(b, number, PB_BYTES);
    buf_byte(b, 0);
    return b->n;
}

void pb_end(struct buf *b, size_t mark)
{
    char bytes[PB_VARINT_BYTES];
    if (buf_over(b))
        return;
    size_t n = b->n - mark, more = pb_varint_put(bytes, n) - 1;
    if (UNLIKELY(more > 0)) {
        if (!buf_room(b, more))
            return;
        memmove(b->p + mark + more, b->p + mark, n);
        b->n += more;
    }
    memcpy(b->p + mark - 1, bytes, more + 1);
}
