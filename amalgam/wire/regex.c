/*
 * regex.c - regular expressions by PCRE2, with limits on every match.
 *
 * Patterns come from policies, subjects from strangers: matching is bounded in steps, depth and
 * heap, and a match that hits a bound is an error, not a "no". Patterns work on bytes (paths and
 * headers are ASCII once they reach a rule), `$` means the very end, and \C, callouts and
 * (*LIMIT...) verbs that would raise the bounds have no effect. Compiled patterns are shared and
 * constant; match data and the JIT's stack belong to a thread and are freed with it.
 * Tested by tests/unit/wire/test_regex.c.
 */
#include "wire/regex.h"

#include "base/mem.h"

#include <pthread.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    REGEX_PATTERN_MAX = 16 << 10,
    REGEX_NEST_MAX = 50,
    REGEX_MATCH_MAX = 200000, /* steps: some milliseconds at most */
    REGEX_DEPTH_MAX = 2000,
    REGEX_HEAP_MAX_KIB = 2048,
    REGEX_GROUPS_MAX = 100,
    REGEX_STACK_FIRST = 32 << 10,
    REGEX_STACK_MAX = 512 << 10,
};

struct regex {
    pcre2_code *code;
};

struct regex_thread {
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static pthread_once_t regex_once = PTHREAD_ONCE_INIT;
static pthread_key_t regex_thread_key;

static void regex_thread_free(void *p)
{
    struct regex_thread *t = p;
    pcre2_match_data_free(t->data);
    pcre2_match_context_free(t->limits);
    pcre2_jit_stack_free(t->stack);
    mem_free(t);
}

/* The main thread does not run key destructors when it returns from main. */
static void regex_exit(void)
{
    struct regex_thread *t = pthread_getspecific(regex_thread_key);
    if (t) {
        pthread_setspecific(regex_thread_key, NULL);
        regex_thread_free(t);
    }
}

static void regex_key_make(void)
{
    MUST(pthread_key_create(&regex_thread_key, regex_thread_free) == 0);
    (void)atexit(regex_exit);
}

static struct regex_thread *regex_thread_get(void)
{
    pthread_once(&regex_once, regex_key_make);
    struct regex_thread *t = pthread_getspecific(regex_thread_key);
    if (LIKELY(t != NULL))
        return t;
    t = mem_zalloc(sizeof *t);
    t->data = pcre2_match_data_create(REGEX_GROUPS_MAX, NULL);
    t->limits = pcre2_match_context_create(NULL);
    t->stack = pcre2_jit_stack_create(REGEX_STACK_FIRST, REGEX_STACK_MAX, NULL);
    MUST(t->data && t->limits);
    pcre2_set_match_limit(t->limits, REGEX_MATCH_MAX);
    pcre2_set_depth_limit(t->limits, REGEX_DEPTH_MAX);
    pcre2_set_heap_limit(t->limits, REGEX_HEAP_MAX_KIB);
    pcre2_jit_stack_assign(t->limits, NULL, t->stack);
    pthread_setspecific(regex_thread_key, t);
    return t;
}

enum rc regex_compile(struct slice pattern, bool whole, bool fold_case, struct regex **out,
                      struct err *e)
{
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (pattern.n > REGEX_PATTERN_MAX)
        return err_set(e, RC_TOOBIG, "a regular expression longer than %d bytes",
                       REGEX_PATTERN_MAX);
    options |= whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    options |= fold_case ? PCRE2_CASELESS : 0;
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    MUST(c != NULL);
    pcre2_set_parens_nest_limit(c, REGEX_NEST_MAX);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &code, &at, c);
    pcre2_compile_context_free(c);
    if (!compiled) {
        char text[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        return err_set(e, RC_BADINPUT, "bad regular expression at offset %zu: %s", (size_t)at,
                       text);
    }
    /* Where the kernel forbids executable pages this fails and matching is interpreted. */
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    struct regex *r = mem_alloc(sizeof *r);
    r->code = compiled;
    *out = r;
    return RC_OK;
}

void regex_free(struct regex *r)
{
    if (r)
        pcre2_code_free(r->code);
    mem_free(r);
}

enum rc regex_match(const struct regex *r, struct slice subject, struct slice *groups, size_t cap,
                    size_t *n)
{
    return regex_match_from(r, subject, 0, groups, cap, n);
}

size_t regex_groups(const struct regex *r)
{
    uint32_t n = 0;

    MUST(pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &n) == 0);
    return n;
}

enum rc regex_match_from(const struct regex *r, struct slice subject, size_t from,
                         struct slice *groups, size_t cap, size_t *n)
{
    struct regex_thread *t = regex_thread_get();
    const char *p = subject.n ? subject.p : "";
    *n = 0;
    int found = pcre2_match(r->code, (PCRE2_SPTR)p, subject.n, from, 0, t->data, t->limits);
    if (found == PCRE2_ERROR_NOMATCH)
        return RC_NOTFOUND;
    if (found < 0)
        return RC_TOOBIG;
    size_t set = found > 0 ? (size_t)found : REGEX_GROUPS_MAX;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(t->data);
    *n = MIN(set, cap);
    for (size_t i = 0; i < *n; i++) {
        bool unset = at[i * 2] == PCRE2_UNSET || at[i * 2] > at[i * 2 + 1];
        groups[i] = unset ? slice_of(NULL, 0) : slice_of(p + at[i * 2], at[i * 2 + 1] - at[i * 2]);
    }
    return RC_OK;
}

#undef PCRE2_CODE_UNIT_WIDTH
