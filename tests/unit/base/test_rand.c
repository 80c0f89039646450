/* test_rand.c - random bytes. */
#include "base/rand.h"
#include "t.h"

static void bytes_differ(void)
{
    char a[64], b[64];
    rand_bytes(a, sizeof a);
    rand_bytes(b, sizeof b);
    T(memcmp(a, b, sizeof a) != 0);
    T(rand_u64() != rand_u64());
    rand_bytes(a, 0);
}

static void below_is_uniform(void)
{
    unsigned count[10] = {0};
    for (int i = 0; i < 100000; i++)
        count[rand_below(10)]++;
    for (int i = 0; i < 10; i++)
        T(count[i] > 9000 && count[i] < 11000); /* 10 standard deviations */
    T_INT(rand_below(1), 0);
    for (int i = 0; i < 1000; i++)
        T(rand_below(((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
}

static void texts(void)
{
    char text[200], uuid[37];
    rand_text(text, sizeof text, S("ab"));
    size_t a = 0;
    for (size_t i = 0; i < sizeof text; i++) {
        T(text[i] == 'a' || text[i] == 'b');
        a += text[i] == 'a';
    }
    T(a > 50 && a < 150);
    rand_uuid4(uuid);
    T_INT(strlen(uuid), 36);
    T(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
    T(uuid[14] == '4' && strchr("89ab", uuid[19]) != NULL);
}

static void sevens(void *p, size_t n)
{
    memset(p, 7, n);
}

static void replaced_source(void)
{
    char uuid[37];
    rand_set_source(sevens);
    T(rand_u64() == 0x0707070707070707u);
    rand_uuid4(uuid);
    T_TEXT(slice_str(uuid), "07070707-0707-4707-8707-070707070707");
    rand_set_source(NULL);
    T(rand_u64() != 0x0707070707070707u);
}

int main(void)
{
    T_RUN(bytes_differ);
    T_RUN(below_is_uniform);
    T_RUN(texts);
    T_RUN(replaced_source);
    return t_done();
}
