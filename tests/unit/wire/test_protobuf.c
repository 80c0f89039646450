/*
 * test_protobuf.c - the wire format against golden bytes: of its specification, and of messages that other
 * programs wrote.
 */
#include "t.h"
#include "wire/protobuf.h"

#define BYTES(lit) ((struct slice){("" lit), sizeof(lit) - 1})

static struct buf out;

static void hex_is(const char *want)
{
    static char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < out.n && n + 3 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%02x", (uint8_t)out.p[i]);
    text[n] = '\0';
    T_TEXT(slice_str(text), want);
    buf_clear(&out);
}

static void writes_golden_bytes(void)
{
    pb_put_u64(&out, 1, 150);
    hex_is("089601");
    pb_put_text(&out, 2, S("testing"));
    hex_is("120774657374696e67");
    size_t m = pb_begin(&out, 3);
    pb_put_u64(&out, 1, 150);
    pb_end(&out, m);
    hex_is("1a03089601");
    pb_put_u64(&out, 16, UINT64_MAX);
    hex_is("8001ffffffffffffffffff01");
    pb_put_double(&out, 2, 1.5);
    hex_is("11000000000000f83f");
    pb_put_bytes(&out, 4, BYTES("\0\xff"));
    hex_is("220200ff");
    m = pb_begin(&out, 1);
    pb_end(&out, m);
    hex_is("0a00");
}

static void mends_text(void)
{
    pb_put_text(&out, 1, BYTES("a\xff" "b\xc3\xa9"));
    hex_is("0a0761efbfbd62c3a9");
}

/* A nested message of any length is the same as its bytes put at once. */
static void nests_at_every_length(void)
{
    static char text[20000];
    struct buf plain;
    buf_init(&plain, 0);
    memset(text, 'x', sizeof text);
    static const size_t lengths[] = {0, 1, 125, 126, 127, 128, 129, 16381, 16382, 16383, 16384, 16385, 19999};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        T_ROW("%zu", lengths[i]);
        buf_clear(&out);
        buf_clear(&plain);
        size_t a = pb_begin(&out, 1), b = pb_begin(&out, 2);
        buf_put(&out, text, lengths[i]);
        pb_end(&out, b);
        pb_end(&out, a);
        struct buf inner;
        buf_init(&inner, 0);
        pb_put_bytes(&inner, 2, slice_of(text, lengths[i]));
        pb_put_bytes(&plain, 1, buf_all(&inner));
        T(slice_eq(buf_all(&out), buf_all(&plain)));
        buf_free(&inner);
    }
    buf_free(&plain);
    buf_clear(&out);
}

static void a_full_buffer_says_so(void)
{
    struct buf small;
    buf_init(&small, 140);
    size_t a = pb_begin(&small, 1);
    for (int i = 0; i < 40; i++)
        pb_put_text(&small, 2, S("0123"));
    pb_end(&small, a);
    T(buf_over(&small));
    T(small.n <= 140);
    buf_free(&small);
}

static void reads_every_type(void)
{
    struct pb r = pb_open(BYTES("\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04\x21\0\0\0\0\0\0\xf8\x3f\x28\x01"));
    struct pb_field f;
    uint64_t n = 0;
    uint32_t small = 0;
    bool yes = false, bad = false;
    double d = 0;
    struct slice s;
    T(pb_next(&r, &f) && f.number == 1 && pb_take_u64(&f, &n) && n == 150 && pb_take_u32(&f, &small) && small == 150);
    T(!pb_take_bytes(&f, &s) && !pb_take_double(&f, &d) && !pb_take_text(&f, &s, &bad) && !bad);
    T(pb_next(&r, &f) && f.number == 2 && pb_take_text(&f, &s, &bad) && !pb_take_u64(&f, &n) && !pb_take_bool(&f, &yes));
    T_TEXT(s, "hi");
    T(pb_next(&r, &f) && f.number == 3 && f.type == PB_FIXED32 && f.n == 0x04030201);
    T(pb_next(&r, &f) && f.number == 4 && pb_take_double(&f, &d) && d == 1.5);
    T(pb_next(&r, &f) && f.number == 5 && pb_take_bool(&f, &yes) && yes);
    T(!pb_next(&r, &f) && pb_ok(&r));
}

static void skips_groups(void)
{
    /* group 1 { 2: 5, group 3 {}, 4: "x" }, then 7: 1 */
    struct pb r = pb_open(BYTES("\x0b\x10\x05\x1b\x1c\x22\x01x\x0c\x38\x01"));
    struct pb_field f;
    T(pb_next(&r, &f) && f.number == 7 && f.n == 1);
    T(!pb_next(&r, &f) && pb_ok(&r));
}

static void text_is_utf8(void)
{
    struct pb_field f = {.number = 1, .type = PB_BYTES, .bytes = BYTES("\xc3\x28")};
    struct slice s = S("before");
    bool bad = false;
    T(!pb_take_text(&f, &s, &bad) && bad);
    T_TEXT(s, "before");
    T(pb_take_bytes(&f, &s) && s.n == 2);
}

static void unpacks(void)
{
    struct slice packed = BYTES("\x03\x8e\x02\x9e\xa7\x05");
    uint64_t n, sum = 0;
    bool bad = false;
    while (pb_unpack(&packed, &n, &bad))
        sum = sum * 1000000 + n;
    T(!bad && sum == UINT64_C(3000270086942));
    packed = BYTES("\x03\x8e");
    T(pb_unpack(&packed, &n, &bad) && n == 3 && !pb_unpack(&packed, &n, &bad) && bad);
}

static void refuses_what_is_malformed(void)
{
    static const struct {
        const char *what;
        struct slice bytes;
    } rows[] = {
        {"a cut tag", SLIT("\x80")},
        {"a tag without a value", SLIT("\x08")},
        {"a cut varint", SLIT("\x08\x96")},
        {"a varint of eleven bytes", SLIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {"a varint beyond 64 bits", SLIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")},
        {"field number 0", SLIT("\x00\x01")},
        {"a tag beyond 32 bits", SLIT("\x88\x80\x80\x80\x10\x01")},
        {"wire type 6", SLIT("\x0e")},
        {"wire type 7", SLIT("\x0f")},
        {"a length beyond the end", SLIT("\x12\x05" "abcd")},
        {"a length beyond memory", SLIT("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {"a cut fixed64", SLIT("\x09\1\2\3\4\5\6\7")},
        {"a cut fixed32", SLIT("\x0d\1\2\3")},
        {"a group that does not end", SLIT("\x0b\x10\x05")},
        {"a group that ends as another", SLIT("\x0b\x14")},
        {"an end without a group", SLIT("\x0c")},
        {"groups without end", SLIT("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                                    "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].what);
        struct pb r = pb_open(rows[i].bytes);
        struct pb_field f;
        int fields = 0;
        while (pb_next(&r, &f))
            fields++;
        T_INT(fields, 0);
        T(!pb_ok(&r));
        T(!pb_next(&r, &f));
    }
}

static void finds_a_field_within(void)
{
    bool bad = false;
    struct slice m = S("\x08\x07\x12\x01" "a" "\x12\x02" "bc"); /* 1: 7, 2: "a", 2: "bc" */
    T_TEXT(pb_within(m, 2, &bad), "bc"); /* the last one counts */
    T(pb_within(m, 3, &bad).n == 0 && pb_within(m, 1, &bad).n == 0 && pb_within(S(""), 1, &bad).n == 0 && !bad);
    (void)pb_within(slice_sub(m, 0, m.n - 1), 2, &bad);
    T(bad);
}

static void an_empty_message_is_one(void)
{
    struct pb r = pb_open((struct slice){NULL, 0});
    struct pb_field f;
    T(!pb_next(&r, &f) && pb_ok(&r));
}

int main(void)
{
    buf_init(&out, 1 << 20);
    T_RUN(writes_golden_bytes);
    T_RUN(mends_text);
    T_RUN(nests_at_every_length);
    T_RUN(a_full_buffer_says_so);
    T_RUN(reads_every_type);
    T_RUN(skips_groups);
    T_RUN(text_is_utf8);
    T_RUN(unpacks);
    T_RUN(refuses_what_is_malformed);
    T_RUN(finds_a_field_within);
    T_RUN(an_empty_message_is_one);
    buf_free(&out);
    return t_done();
}
