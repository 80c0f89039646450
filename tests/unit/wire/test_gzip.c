/* test_gzip.c - there and back, bombs, cut and lengthened data. */
#include "t.h"
#include "wire/gzip.h"

static struct err fault;

static void there_and_back(void)
{
    struct buf plain, packed, back;
    buf_init(&plain, 0);
    buf_init(&packed, 0);
    buf_init(&back, 0);
    for (int i = 0; i < 20000; i++)
        buf_fmt(&plain, "line %d of the text\n", i);
    for (int level = 1; level <= 9; level += 4) {
        buf_clear(&packed);
        buf_clear(&back);
        gzip_deflate(buf_all(&plain), level, &packed);
        T(packed.n < plain.n / 3 && (unsigned char)packed.p[0] == 0x1f);
        T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_OK);
        T(slice_eq(buf_all(&back), buf_all(&plain)));
    }
    buf_clear(&packed);
    buf_clear(&back);
    gzip_deflate(S(""), 6, &packed);
    T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_OK);
    T_INT(back.n, 0);
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&back);
}

static void broken_data(void)
{
    struct buf packed, back;
    buf_init(&packed, 0);
    buf_init(&back, 10000);
    gzip_deflate(S("hello hello hello hello"), 6, &packed);
    for (size_t n = 0; n < packed.n; n++) {
        T_ROW("cut at %zu", n);
        buf_clear(&back);
        T_INT(gzip_inflate(slice_sub(buf_all(&packed), 0, n), &back, &fault), RC_BADINPUT);
    }
    T_ROW("changed");
    for (size_t i = packed.n - 8; i < packed.n; i++) { /* checksum and length */
        packed.p[i] = (char)(packed.p[i] ^ 1);
        buf_clear(&back);
        T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_BADINPUT);
        packed.p[i] = (char)(packed.p[i] ^ 1);
    }
    buf_byte(&packed, 'x');
    buf_clear(&back);
    T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_BADINPUT);
    T_INT(gzip_inflate(S("plain text"), &back, &fault), RC_BADINPUT);
    buf_free(&packed);
    buf_free(&back);
}

static void bombs(void)
{
    struct buf zeros, packed, back;
    buf_init(&zeros, 0);
    buf_init(&packed, 0);
    T(buf_room(&zeros, 10 << 20));
    memset(zeros.p, 0, 10 << 20);
    zeros.n = 10 << 20;
    gzip_deflate(buf_all(&zeros), 9, &packed);
    T(packed.n < 20000);
    for (size_t max = 1; max <= 10 << 20; max *= 10) {
        buf_init(&back, max);
        T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_TOOBIG);
        T(back.cap <= max);
        buf_free(&back);
    }
    buf_init(&back, 10 << 20); /* exactly full is fine */
    T_INT(gzip_inflate(buf_all(&packed), &back, &fault), RC_OK);
    T_INT(back.n, 10 << 20);
    buf_free(&back);
    buf_free(&zeros);
    buf_free(&packed);
}

int main(void)
{
    T_RUN(there_and_back);
    T_RUN(broken_data);
    T_RUN(bombs);
    return t_done();
}
