/* test_regex.c - matching, groups, and patterns that would run away. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "t.h"
#include "wire/regex.h"

static struct err fault;

static enum rc match(const char *pattern, bool whole, bool fold, struct slice subject,
                     struct slice *g, size_t cap, size_t *n)
{
    struct regex *r = NULL;
    enum rc rc = regex_compile(slice_str(pattern), whole, fold, &r, &fault);
    if (rc != RC_OK)
        return rc;
    rc = regex_match(r, subject, g, cap, n);
    regex_free(r);
    return rc;
}

static void matching(void)
{
    static const struct {
        const char *p;
        bool whole, fold;
        const char *s;
        enum rc rc;
    } rows[] = {
        {"b+", false, false, "abbc", RC_OK},
        {"b+", true, false, "abbc", RC_NOTFOUND},
        {"b+", true, false, "bbb", RC_OK},
        {"/public", true, false, "/admin?/public", RC_NOTFOUND},
        {"a|ab", true, false, "ab", RC_OK}, /* whole tries the second branch */
        {"ABC", false, true, "xabcx", RC_OK},
        {"ABC", false, false, "xabcx", RC_NOTFOUND},
        {"a$", false, false, "a\n", RC_NOTFOUND},
        {"^$", false, false, "", RC_OK},
        {"", true, false, "", RC_OK},
        {"^a", false, false, "b\na", RC_NOTFOUND},
        {".", true, false, "\xff", RC_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice g[4];
        size_t n;
        T_ROW("%s on %s", rows[i].p, rows[i].s);
        T_INT(match(rows[i].p, rows[i].whole, rows[i].fold, slice_str(rows[i].s), g, 4, &n),
              rows[i].rc);
    }
}

static void groups(void)
{
    struct slice g[8];
    size_t n;
    T_INT(match("/v(\\d+)/(x)?(\\w+)", true, false, S("/v12/orders"), g, 8, &n), RC_OK);
    T_INT(n, 4);
    T_TEXT(g[0], "/v12/orders");
    T_TEXT(g[1], "12");
    T(g[2].p == NULL);
    T_TEXT(g[3], "orders");
    T_INT(match("(a)(b)(c)", true, false, S("abc"), g, 2, &n), RC_OK);
    T_INT(n, 2);
    T_INT(match("a", false, false, S("b"), NULL, 0, &n), RC_NOTFOUND);
    T_INT(match("a", false, false, S("a"), NULL, 0, &n), RC_OK);
}

static void bad_patterns(void)
{
    static const char *const bad[] = {"(",   "[a",     "a{2,1}", "*", "\\", "(?<n>a)(?<n>b)",
                                      "\\C", "(*UTF)a"};
    struct regex *r;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        fault.text[0] = '\0';
        T_INT(regex_compile(slice_str(bad[i]), false, false, &r, &fault), RC_BADINPUT);
        T(fault.text[0]);
    }
    char big[20000];
    memset(big, 'a', sizeof big);
    T_INT(regex_compile(slice_of(big, sizeof big), false, false, &r, &fault), RC_TOOBIG);
    memset(big, '(', 60);
    memset(big + 60, ')', 60);
    T_INT(regex_compile(slice_of(big, 120), false, false, &r, &fault), RC_BADINPUT);
}

/* 100 KB against patterns with catastrophic backtracking: an error, not eternity. */
static void runaways_end(void)
{
    static const char *const patterns[] = {
        "(a+)+$", "(a|aa)+$", "(a|a)*b", "(.*)*x", "((a*)*)*$b", "(*LIMIT_MATCH=4000000000)(a+)+$"};
    size_t n = 100000;
    char *text = mem_alloc(n);
    memset(text, 'a', n);
    text[n - 1] = '!';
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct slice g[2];
        size_t found;
        T_ROW("%s", patterns[i]);
        enum rc rc = match(patterns[i], true, false, slice_of(text, n), g, 2, &found);
        T(rc == RC_TOOBIG || rc == RC_NOTFOUND);
    }
    struct slice g[1];
    T_ROW("surely caught");
    T_INT(match("(a+)+$", false, false, slice_of(text, n), g, 1, &n), RC_TOOBIG);
    mem_free(text);
}

static void *in_thread(void *arg)
{
    const struct regex *r = arg;
    struct slice g[2];
    size_t n;
    for (int i = 0; i < 2000; i++)
        T(regex_match(r, S("/v7/x"), g, 2, &n) == RC_OK && slice_eq(g[1], S("7")));
    return NULL;
}

static void shared_by_threads(void)
{
    struct regex *r;
    pthread_t t[3];
    T_INT(regex_compile(S("/v(\\d+)/.*"), true, false, &r, &fault), RC_OK);
    for (int i = 0; i < 3; i++)
        t[i] = thread_start("regex", in_thread, r);
    for (int i = 0; i < 3; i++)
        thread_join(t[i]);
    regex_free(r);
    regex_free(NULL);
}

int main(void)
{
    T_RUN(matching);
    T_RUN(groups);
    T_RUN(bad_patterns);
    T_RUN(runaways_end);
    T_RUN(shared_by_threads);
    return t_done();
}
