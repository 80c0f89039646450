/*
 * protobuf.h - the protobuf wire format (encoding of proto2 and proto3), read field by field and
 * written into a buf.
 *
 * Reading: pb_next gives one field after the other; slices point into the message. The caller switches
 * on the field's number and takes the value with the pb_take_ functions, which say false for another
 * wire type: such a field counts as unknown, as the format wants it. Unknown fields and groups are
 * skipped. pb_next says false at the end and at the first malformed byte; pb_ok tells which. Strings
 * must be UTF-8 (pb_take_text); bytes need not be. Messages within messages: pb_open on the bytes; how
 * deep is the caller's bound, as a reader knows only its own message.
 * Writing: plain appends. A message within a message is begun and ended; its length is put in later.
 * Text that is not UTF-8 is mended (U+FFFD), so that no strict reader refuses what we say.
 * No allocation but the buf's, no I/O. Errors: RC-less, a flag. Threads: pure.
 */
#ifndef WIRE_PROTOBUF_H
#define WIRE_PROTOBUF_H

#include "base/buf.h"

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_GROUP = 3, PB_GROUP_END = 4, PB_FIXED32 = 5 };

struct pb {
    const char *at, *end;
    bool bad;
};
struct pb_field {
    uint32_t number; /* 1 to 536,870,911 */
    enum pb_type type; /* VARINT, FIXED64, BYTES, FIXED32 */
    uint64_t n;        /* of the numbers */
    struct slice bytes;
};

FN struct pb pb_open(struct slice message);
FN bool pb_next(struct pb *r, struct pb_field *f);
static inline UNUSED bool pb_ok(const struct pb *r)
{
    return !r->bad;
}

FN bool pb_take_u64(const struct pb_field *f, uint64_t *out);
FN bool pb_take_u32(const struct pb_field *f, uint32_t *out); /* cut to 32 bits, as the format has it */
FN bool pb_take_bool(const struct pb_field *f, bool *out);
FN bool pb_take_double(const struct pb_field *f, double *out);
FN bool pb_take_bytes(const struct pb_field *f, struct slice *out);
/* RC-like: false also for bytes that are not UTF-8; *malformed (may not be NULL) is set then, only then. */
FN bool pb_take_text(const struct pb_field *f, struct slice *out, bool *malformed);
/* The bytes of the last field of that number in a message, or "". *malformed is set when the message is, only then. */
FN struct slice pb_within(struct slice message, uint32_t number, bool *malformed);
/* The next number of a packed field's bytes; false at the end, and *malformed when they are cut off. */
FN bool pb_unpack(struct slice *packed, uint64_t *out, bool *malformed) UNUSED;

FN void pb_put_u64(struct buf *b, uint32_t number, uint64_t n);
FN void pb_put_double(struct buf *b, uint32_t number, double d);
FN void pb_put_bytes(struct buf *b, uint32_t number, struct slice bytes);
FN void pb_put_text(struct buf *b, uint32_t number, struct slice text);
FN size_t pb_begin(struct buf *b, uint32_t number); /* a message; the result goes to pb_end */
FN void pb_end(struct buf *b, size_t mark);

#endif
