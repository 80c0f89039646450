/* test_buf.c - bounded buffers and queues. */
#include "base/buf.h"
#include "t.h"

static void writing(void)
{
    struct buf b;
    buf_init(&b, 0);
    buf_lit(&b, "a");
    buf_str(&b, "bc");
    buf_u64(&b, 18446744073709551615u);
    buf_i64(&b, -5);
    buf_byte(&b, ';');
    buf_fmt(&b, "%s=%d", "k", 7);
    buf_slice(&b, S(""));
    T_TEXT(buf_all(&b), "abc18446744073709551615-5;k=7");
    char big[600];
    memset(big, 'z', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    buf_fmt(&b, "%s", big);
    T_INT(b.n, 29 + 599);
    T(b.p[b.n - 1] == 'z');
    buf_free(&b);
    T(b.p == NULL && b.n == 0);
    buf_lit(&b, "again");
    T_TEXT(buf_all(&b), "again");
    buf_free(&b);
}

static void the_bound_holds(void)
{
    struct buf b;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++)
        buf_byte(&b, 'x');
    T(!buf_over(&b) && b.n == 100 && b.cap <= 100);
    buf_byte(&b, 'y');
    T(buf_over(&b) && b.n == 100);
    buf_clear(&b);
    T(!buf_over(&b));
    T(!buf_room(&b, 101) && buf_over(&b));
    buf_clear(&b);
    T(!buf_room(&b, SIZE_MAX));
    buf_clear(&b);
    T(buf_room(&b, 100));
    buf_free(&b);
}

static void a_queue_reuses_its_room(void)
{
    struct buf b;
    char expect = 0, next = 0;
    buf_init(&b, 1000);
    for (int round = 0; round < 5000; round++) { /* 7 in, 7 out, at most 700 inside */
        for (int i = 0; i < 7; i++)
            buf_byte(&b, next++);
        if (round >= 100) {
            struct slice s = buf_unread(&b);
            T(s.n >= 7);
            for (int i = 0; i < 7; i++)
                T(s.p[i] == expect++);
            buf_consume(&b, 7);
        }
    }
    T(!buf_over(&b) && b.cap <= 1000);
    T_INT(buf_unread(&b).n, 700);
    buf_consume(&b, 700);
    T(b.at == 0 && b.n == 0);
    buf_shrink(&b, 10);
    T(b.cap == 0);
    buf_free(&b);
}

static void compacting(void)
{
    struct buf b;
    buf_init(&b, 0);
    buf_lit(&b, "abcdef");
    buf_consume(&b, 2);
    buf_shrink(&b, 0); /* not empty: nothing happens */
    T_TEXT(buf_unread(&b), "cdef");
    buf_compact(&b);
    T(b.at == 0 && b.n == 4);
    T_TEXT(buf_unread(&b), "cdef");
    buf_free(&b);
}

int main(void)
{
    T_RUN(writing);
    T_RUN(the_bound_holds);
    T_RUN(a_queue_reuses_its_room);
    T_RUN(compacting);
    return t_done();
}
