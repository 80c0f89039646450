/*
 * test_park.c - decisions that wait: moved whole, gone on later, refused at the end, many at once.
 *
 * The second step of a policy is replaced by one of this test, which waits as often as it is told.
 */
#include "p.h"

#define POLICY(expr) \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: w}\nspec:\n config:\n  glooAuth:\n" \
    "    booleanExpr: '" expr "'\n    configs:\n" \
    "    - {name: a, luaAuth: {headers: [x-a], inline: 'return function(r) return {allow = true, headers = {[\"x-a\"] = r.headers.a}, state = {from_a = {r.path}}} end'}}\n" \
    "    - {name: b, luaAuth: {inline: 'return function() end'}}\n" \
    "    - {name: c, luaAuth: {headers: [x-c], inline: 'return function(r) return {allow = true, headers = {[\"x-c\"] = r.state.from_a[1] .. r.query .. r.body}} end'}}\n"

struct work {
    int left, began;
};
static struct decision *waiting[16];
static size_t waiting_n;
static int times;            /* that the step waits */
static enum step_said ends;  /* how it ends */

static void begin(struct decision *d)
{
    struct work *w = d->wait;
    if (!w) {
        w = ARENA_NEW(d->arena, struct work);
        w->left = times;
        d->wait = w;
    }
    w->began++;
    waiting[waiting_n++] = d;
}

static enum step_said wait_run(struct decision *d, const struct step *s)
{
    struct work *w = d->wait;
    T(d->at == s);
    if (w ? --w->left > 0 : times > 0) {
        d->begin = begin;
        return STEP_WAIT;
    }
    if (ends == STEP_DENY)
        decision_deny(d, 401, S("waited"), S("it waited and was refused"), s->rule);
    if (ends == STEP_TROUBLE)
        d->trouble = S("waited");
    return ends;
}

static void use(const char *text)
{
    static struct step_row row = {.name = "wait", .run = wait_run};
    struct auth_policy *a;

    MUST(p_use(text));
    a = p.ctx->set->routes[0]->items[0].policy;
    a->steps[1].row = &row;
    waiting_n = 0;
}

/* What the door got, copied: the verdict is gone afterwards. */
static struct {
    int calls, status;
    bool allowed;
    char reason[40], xa[40], xc[100];
    size_t trace_n;
} got;

static void done(void *user, const struct policy_verdict *v)
{
    T(user == &got);
    got.calls++;
    got.status = v->status;
    got.allowed = v->allowed;
    got.trace_n = v->trace_n;
    snprintf(got.reason, sizeof got.reason, "%.*s", SFMT(v->reason));
    snprintf(got.xa, sizeof got.xa, "%.*s", SFMT(p_upstream(v, "x-a")));
    snprintf(got.xc, sizeof got.xc, "%.*s", SFMT(p_upstream(v, "x-c")));
}

/* Everything that the question points to is overwritten after it was asked. */
static enum rc ask(policy_done_fn *fn)
{
    char target[] = "/path-of-it?q=1", host[] = "h.example", name[] = "a", value[] = "first", body[] = "body";
    struct http_header h = {slice_str(name), slice_str(value)};
    struct policy_ask q = {.method = S("POST"), .host = slice_str(host), .target = slice_str(target),
                           .headers = &h, .headers_n = 1, .body = slice_str(body), .now_ms = p.now_ms,
                           .trace = true};
    struct policy_verdict v;
    enum rc rc;

    memset(&got, 0, sizeof got);
    policy_begin(p.ctx, p.now_ms);
    rc = policy_decide(p.ctx, &q, &v, fn, &got);
    if (rc == RC_OK)
        done(&got, &v);
    memset(target, '#', sizeof target - 1);
    memset(host, '#', sizeof host - 1);
    memset(name, '#', sizeof name - 1);
    memset(value, '#', sizeof value - 1);
    memset(body, '#', sizeof body - 1);
    h = (struct http_header){S("gone"), S("gone")};
    return rc;
}

/* Another batch, so that the memory of the first is used for something else. */
static void other_batch(void)
{
    policy_begin(p.ctx, p.now_ms);
    memset(arena_alloc(policy_arena(p.ctx), 60000), 0xdd, 60000);
}

static void it_goes_on_where_it_was(void)
{
    use(POLICY("a && b && c"));
    times = 3;
    ends = STEP_PASS;
    T(ask(done) == RC_AGAIN);
    T(waiting_n == 1 && got.calls == 0);
    for (size_t i = 0; i < 3; i++) {
        T(waiting_n == i + 1 && waiting[i] == waiting[0]);
        other_batch();
        decision_wake(waiting[i]);
    }
    T(got.calls == 1 && got.allowed);
    T_TEXT(slice_str(got.xa), "first");
    T_TEXT(slice_str(got.xc), "/path-of-itq=1body"); /* state, query and body came along */
    T_INT(got.trace_n, 4); /* route, a, b, c: each once */
    T(p.ctx->parked_n == 0 && p.ctx->parked == NULL);
}

static void without_expression_too(void)
{
    use(POLICY(""));
    times = 1;
    ends = STEP_PASS;
    T(ask(done) == RC_AGAIN);
    other_batch();
    decision_wake(waiting[0]);
    T(got.calls == 1 && got.allowed);
    T_TEXT(slice_str(got.xc), "/path-of-itq=1body");
}

static void refusals_and_trouble(void)
{
    use(POLICY("a && b && c"));
    times = 1;
    ends = STEP_DENY;
    T(ask(done) == RC_AGAIN);
    other_batch();
    decision_wake(waiting[0]);
    T(!got.allowed && got.status == 401);
    T_TEXT(slice_str(got.reason), "waited");
    T_TEXT(slice_str(got.xa), "");

    use(POLICY("a && (b || c)"));
    ends = STEP_DENY;
    T(ask(done) == RC_AGAIN);
    other_batch();
    decision_wake(waiting[0]);
    T(got.allowed);
    T_TEXT(slice_str(got.xa), "first"); /* undone is b alone */

    use(POLICY("a && b"));
    ends = STEP_TROUBLE;
    T(ask(done) == RC_AGAIN);
    decision_wake(waiting[0]);
    T(!got.allowed && got.status == 403);
    times = 0;
    T(ask(done) == RC_OK);
    T(!got.allowed);
}

static void who_cannot_wait_is_refused(void)
{
    use(POLICY("a && b"));
    times = 1;
    ends = STEP_PASS;
    T(ask(NULL) == RC_OK);
    T(!got.allowed && got.status == 503);
    T_TEXT(slice_str(got.reason), "cannot_wait");
}

static void a_reload_changes_nothing_for_it(void)
{
    const char *files[] = {"n.yaml", POLICY("a"), NULL};

    use(POLICY("a && b && c"));
    times = 1;
    ends = STEP_PASS;
    T(ask(done) == RC_AGAIN);
    policy_box_swap(p.box, p_load_files(files));
    other_batch();
    T(p.ctx->rt->next != NULL);
    decision_wake(waiting[0]);
    T(got.allowed);
    T_TEXT(slice_str(got.xc), "/path-of-itq=1body"); /* by the scripts of the set that it began with */
    T(p.ctx->rt->next == NULL);
    times = 0;
    T(ask(done) == RC_OK && got.allowed);
    T_TEXT(slice_str(got.xc), "");
}

static void the_end_refuses_who_waits(void)
{
    use(POLICY("a && b && c"));
    times = 1;
    T(ask(done) == RC_AGAIN);
    p_unload();
    T(got.calls == 1 && !got.allowed && got.status == 503);
    T_TEXT(slice_str(got.reason), "stopping");
}

static void several_wait_in_any_order(void)
{
    static const size_t order[] = {2, 0, 3, 1};
    use(POLICY("a && b && c"));
    times = 1;
    ends = STEP_PASS;
    for (size_t i = 0; i < 4; i++)
        T(ask(done) == RC_AGAIN);
    T(p.ctx->parked_n == 4);
    for (size_t i = 0; i < 4; i++) {
        got.allowed = false;
        decision_wake(waiting[order[i]]);
        T(got.allowed && p.ctx->parked_n == 3 - i);
    }
    T(got.calls == 4);
}

static void note_user(void *user, const struct policy_verdict *v)
{
    snprintf(user, 40, "%.*s", SFMT(v->user));
}

/* What a step took from a cache of the thread, between two waits, must not go with the cache. */
static void what_came_between_two_waits_stays(void)
{
    static struct step_row row = {.name = "wait", .run = wait_run};
    const char *key = p_key((const char *const[]){"username", "ann@example.com", NULL});
    struct http_header h = {S("api-key"), slice_str(key)};
    struct policy_ask q = {.method = S("GET"), .host = S("h"), .target = S("/"), .headers = &h, .headers_n = 1, .now_ms = p.now_ms};
    struct policy_verdict v;
    struct auth_policy *a;
    char user[40] = "";

    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: w}\nspec:\n config:\n  glooAuth:\n    configs:\n"
               "    - luaAuth: {inline: 'return function() end'}\n    - apiKeyAuth: {}\n    - luaAuth: {inline: 'return function() end'}\n"));
    a = p.ctx->set->routes[0]->items[0].policy;
    a->steps[0].row = a->steps[2].row = &row;
    waiting_n = 0;
    times = 1;
    ends = STEP_PASS;
    policy_begin(p.ctx, p.now_ms);
    T(policy_decide(p.ctx, &q, &v, note_user, user) == RC_AGAIN);
    other_batch();
    decision_wake(waiting[0]);
    T_INT(waiting_n, 2);
    key_cache_close(p.ctx->keys); /* as when a key is revoked and the batch is over */
    p.ctx->keys = key_cache_open();
    other_batch();
    decision_wake(waiting[1]);
    T_TEXT(slice_str(user), "ann@example.com");
}

int main(void)
{
    p_init();
    T_RUN(it_goes_on_where_it_was);
    T_RUN(without_expression_too);
    T_RUN(refusals_and_trouble);
    T_RUN(who_cannot_wait_is_refused);
    T_RUN(a_reload_changes_nothing_for_it);
    T_RUN(the_end_refuses_who_waits);
    T_RUN(several_wait_in_any_order);
    T_RUN(what_came_between_two_waits_stays);
    p_done();
    return t_done();
}
