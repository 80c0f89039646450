/*
 * test_nearest.c - mistyped names find the known one, far ones find none.
 */
#include "t.h"

#include "base/nearest.h"

static const char *names(const void *ctx, size_t i)
{
    static const char *const known[] = {"check.listen", "", "portal.listen", "store.engine", "Kind"};
    (void)ctx;
    return i < ARRAY_LEN(known) ? known[i] : NULL;
}

static void finds_the_nearest(void)
{
    static const struct {
        const char *word, *want;
    } rows[] = {{"check.lisen", "check.listen"}, {"portl.listen", "portal.listen"}, {"STORE.ENGINE", "store.engine"},
                {"kind", "Kind"}, {"store.engines", "store.engine"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *near = nearest_name(slice_str(rows[i].word), names, NULL);
        T_ROW("%s", rows[i].word);
        T(near && !strcmp(near, rows[i].want));
    }
}

static void far_words_find_nothing(void)
{
    static char long_word[100];
    memset(long_word, 'a', sizeof long_word - 1);
    T(nearest_name(S("xyzzy"), names, NULL) == NULL);
    T(nearest_name(S(""), names, NULL) == NULL);
    T(nearest_name(slice_str(long_word), names, NULL) == NULL);
}

int main(void)
{
    T_RUN(finds_the_nearest);
    T_RUN(far_words_find_nothing);
    return t_done();
}
