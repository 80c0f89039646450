/*
 * test_boolexpr.c - booleanExpr: precedence, short circuit, what stays of steps that did not count.
 */
#include "p.h"

static size_t letter(const void *ctx, struct slice name)
{
    (void)ctx;
    return name.n == 1 && name.p[0] >= 'a' && name.p[0] <= 'c' ? (size_t)(name.p[0] - 'a') : SIZE_MAX;
}

static bool value(const struct bool_expr *x, unsigned bits)
{
    switch (x->op) {
    case BOOL_NAME: return bits >> x->index & 1;
    case BOOL_NOT: return !value(x->left, bits);
    case BOOL_AND: return value(x->left, bits) && value(x->right, bits);
    case BOOL_OR: return value(x->left, bits) || value(x->right, bits);
    }
    return false;
}

static void precedence_is_that_of_c(void)
{
    static const struct {
        const char *text;
        bool want[8]; /* by c b a */
    } rows[] = {
        {"a || b && c", {0, 1, 0, 1, 0, 1, 1, 1}},
        {"(a || b) && c", {0, 0, 0, 0, 0, 1, 1, 1}},
        {"!a && b", {0, 0, 1, 0, 0, 0, 1, 0}},
        {"!(a && b)", {1, 1, 1, 0, 1, 1, 1, 0}},
        {"!!a||!b", {1, 1, 0, 1, 1, 1, 0, 1}},
        {"\ta\n", {0, 1, 0, 1, 0, 1, 0, 1}},
        {"((a))&&((b)||c)", {0, 0, 0, 1, 0, 1, 0, 1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct bool_expr *x = NULL;
        struct err e = {0};
        T(bool_parse(&p.arena, slice_str(rows[i].text), letter, NULL, &x, &e) == RC_OK);
        for (unsigned bits = 0; x && bits < 8; bits++)
            T(value(x, bits) == rows[i].want[bits]);
    }
}

static void faults_say_where(void)
{
    static const char *const rows[][2] = {
        {"", "expected the name of a step, ! or ( at character 1"},
        {"a ||", "expected the name of a step, ! or ( at character 5"},
        {"a | b", "expected ||, && or the end at character 3"},
        {"a b", "expected ||, && or the end at character 3"},
        {"(a", "expected ) at character 3"},
        {"a)", "expected ||, && or the end at character 2"},
        {"d", "no step is named \"d\""},
        {"a && nosuch || b", "no step is named \"nosuch\""},
    };
    char deep[200];
    const struct bool_expr *x;
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        e = (struct err){0};
        T(bool_parse(&p.arena, slice_str(rows[i][0]), letter, NULL, &x, &e) == RC_BADINPUT);
        T(strstr(e.text, rows[i][1]) != NULL);
    }
    memset(deep, '!', sizeof deep);
    e = (struct err){0};
    T(bool_parse(&p.arena, slice_of(deep, sizeof deep), letter, NULL, &x, &e) == RC_BADINPUT);
    T(strstr(e.text, "at most 32 levels") != NULL);
}

/* Steps a, b, c by Lua: each says what the header of its name asks for, and leaves a mark. */
#define STEP(n) "    - {name: " n ", luaAuth: {headers: [x-" n "], inline: 'return function(r) local h = r.headers[\"" n "\"]; " \
    "if h == \"trouble\" then error(\"no\") end; if h == \"deny\" then return {allow = false, status = 401, reason = \"" n "\", headers = {[\"w-" n "\"] = \"1\"}} end; " \
    "return {allow = true, headers = {[\"x-" n "\"] = \"1\"}} end'}}\n"
#define POLICY(fail, expr) "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e}\nspec:\n" \
    " config:\n  failureModeAllow: " fail "\n  glooAuth:\n    booleanExpr: '" expr "'\n    configs:\n" STEP("a") STEP("b") STEP("c")

static struct policy_verdict ask(const char *a, const char *b, const char *cc)
{
    static char h[3][40];
    snprintf(h[0], sizeof h[0], "a: %s", a);
    snprintf(h[1], sizeof h[1], "b: %s", b);
    snprintf(h[2], sizeof h[2], "c: %s", cc);
    return p_ask("GET", "h", "/", (const char *const[]){h[0], h[1], h[2], NULL});
}

static bool client_has(const struct policy_verdict *v, const char *name)
{
    for (size_t i = 0; i < v->client_n; i++)
        if (slice_eq_ci(v->client[i].name, slice_str(name)))
            return true;
    return false;
}

static void steps_are_joined(void)
{
    struct policy_verdict v;

    MUST(p_use(POLICY("false", "a || b")));
    v = ask("deny", "pass", "deny");
    T(v.allowed && v.status == 200 && !client_has(&v, "w-a")); /* nothing of the refusal stays */
    T_TEXT(p_upstream(&v, "x-b"), "1");
    T_TEXT(p_upstream(&v, "x-c"), ""); /* not run */
    v = ask("pass", "pass", "pass");
    T(v.allowed && v.trace_n == 2); /* route and a: b was not needed */
    v = ask("deny", "deny", "pass");
    T(!v.allowed && v.status == 401 && client_has(&v, "w-b") && !client_has(&v, "w-a"));
    T_TEXT(v.reason, "b");

    MUST(p_use(POLICY("false", "!a && b")));
    v = ask("deny", "pass", "");
    T(v.allowed);
    v = ask("pass", "pass", "");
    T(!v.allowed && v.status == 403);
    T_TEXT(v.reason, "expression_false");

    MUST(p_use(POLICY("false", "!(a && b) && c")));
    v = ask("pass", "deny", "pass");
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-a"), ""); /* stood under a ! */
    T_TEXT(p_upstream(&v, "x-c"), "1");
}

static void trouble_is_never_true(void)
{
    struct policy_verdict v;

    MUST(p_use(POLICY("false", "a || b")));
    v = ask("trouble", "pass", "");
    T(v.allowed);
    v = ask("trouble", "deny", "");
    T(!v.allowed);
    MUST(p_use(POLICY("false", "!a")));
    T(!ask("trouble", "", "").allowed);
    MUST(p_use(POLICY("true", "!a")));
    T(ask("trouble", "", "").allowed);
    T(!ask("pass", "", "").allowed);
    MUST(p_use(POLICY("true", "a && b")));
    T(!ask("deny", "trouble", "").allowed);
    T(ask("trouble", "deny", "").allowed); /* b is not looked at */
    MUST(p_use(POLICY("true", "a || b")));
    T(ask("trouble", "deny", "").allowed); /* unknown: what the policy says of trouble */
}

static void names_must_be_known(void)
{
    T(!p_use(POLICY("false", "a || nosuch")));
    T(p_fault("booleanExpr", "no step is named \"nosuch\"") != NULL);
    T(!p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e}\nspec:\n"
             " config: {glooAuth: {booleanExpr: x, configs: [{name: x, apiKeyAuth: {}}, {name: x, apiKeyAuth: {}}]}}\n"));
    T(p_fault("booleanExpr", "two steps are named \"x\"") != NULL);
}

static void redirects_can_be_refusals(void)
{
#define REDIRECT(say) "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e}\nspec:\n" \
    " config: {glooAuth: {failOnRedirect: " say ", configs: [{luaAuth: {inline: \"return function() " \
    "return {allow = false, status = 302, headers = {Location = '/login', ['X-Also'] = '1'}} end\"}}]}}\n"
    struct policy_verdict v;

    MUST(p_use(REDIRECT("false")));
    v = p_ask("GET", "h", "/", NULL);
    T(v.status == 302 && client_has(&v, "location"));
    MUST(p_use(REDIRECT("true")));
    v = p_ask("GET", "h", "/", NULL);
    T(v.status == 401 && !client_has(&v, "location") && client_has(&v, "x-also"));
}

int main(void)
{
    p_init();
    T_RUN(precedence_is_that_of_c);
    T_RUN(faults_say_where);
    T_RUN(steps_are_joined);
    T_RUN(trouble_is_never_true);
    T_RUN(names_must_be_known);
    T_RUN(redirects_can_be_refusals);
    p_done();
    return t_done();
}
