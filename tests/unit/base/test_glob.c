/* test_glob.c - Redis' patterns. */
#include "base/clock.h"
#include "base/glob.h"
#include "t.h"

static void table(void)
{
    static const struct {
        const char *p, *t;
        bool fold, ok;
    } rows[] = {
        {"*", "", false, true},
        {"", "", false, true},
        {"", "a", false, false},
        {"a", "", false, false},
        {"*", "anything", false, true},
        {"a*c", "abbbc", false, true},
        {"a*c", "abbb", false, false},
        {"?", "", false, false},
        {"?", "x", false, true},
        {"h?llo", "hello", false, true},
        {"h[ae]llo", "hallo", false, true},
        {"h[ae]llo", "hillo", false, false},
        {"h[^e]llo", "hbllo", false, true},
        {"h[^e]llo", "hello", false, false},
        {"h[a-c]llo", "hbllo", false, true},
        {"h[c-a]llo", "hbllo", false, true},
        {"h[a-c]llo", "hdllo", false, false},
        {"\\*", "*", false, true},
        {"\\*", "x", false, false},
        {"a\\", "a\\", false, true},
        {"[\\]]", "]", false, true},
        {"[\\-]", "-", false, true},
        {"[a", "a", false, true},
        {"[a", "b", false, false},
        {"[", "[", false, false},
        {"ABC*", "abcd", true, true},
        {"ABC*", "abcd", false, false},
        {"[A-C]", "b", true, true},
        {"**a**b**", "xxaxxbxx", false, true},
        {"**a**b**", "xxbxxaxx", false, false},
        {"foo:*:bar", "foo:x:y:bar", false, true},
        {"*a", "aaab", false, false},
        {"a*b*c*d", "a1b2c3d", false, true},
        {"a*b*c*d", "a1b2c3", false, false},
        {"*?", "", false, false},
        {"*?", "x", false, true},
        {"?*?", "x", false, false},
        {"*[0-9]", "abc5", false, true},
        {"*[0-9]", "abc5x", false, false},
        {"a]", "a]", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s on %s", rows[i].p, rows[i].t);
        T_INT(glob_match(slice_str(rows[i].p), slice_str(rows[i].t), rows[i].fold), rows[i].ok);
    }
    T_ROW("NUL");
    T(glob_match(S("a?b"), slice_of("a\0b", 3), false) &&
      !glob_match(S("a"), slice_of("a\0", 2), false));
}

/* 300 stars against 20 KB without an end: never comes back when each star recurses. */
static void many_stars_end(void)
{
    static char pattern[601], text[20000];
    for (int i = 0; i < 300; i++)
        memcpy(pattern + i * 2, "*a", 2);
    pattern[600] = 'b';
    memset(text, 'a', sizeof text);
    T(!glob_match(slice_of(pattern, 601), slice_of(text, sizeof text), false));
}

int main(void)
{
    T_RUN(table);
    T_RUN(many_stars_end);
    return t_done();
}
