/*
 * test_explain.c - kept decisions: by id, newest first, bounded, without what might be a secret; reasons
 * counted; the queue for the log of decisions. BUILDS: tsan
 */
#include "base/metric.h"
#include "p.h"

#include <pthread.h>

#define POLICY "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: keys, namespace: n}\nspec:\n" \
               "  config: {glooAuth: {configs: [{apiKeyAuth: {}}, {luaAuth: {inline: 'return function() return {allow = false, status = 404, reason = \"gone-away\"} end'}}]}}\n"

static void with_room_for(size_t n)
{
    struct policy_ctx_opts o = {.box = p.box, .store = p.store, .scheme = &p.scheme, .explain_max = n};
    policy_ctx_close(p.ctx);
    p.ctx = policy_ctx_open(&o);
}

static bool has(const struct buf *b, const char *text)
{
    return slice_find(buf_all(b), slice_str(text)) != SIZE_MAX;
}

static void a_decision_is_explained(void)
{
    struct buf out;
    struct policy_verdict v;
    const char *key;
    static char header[200];

    MUST(p_use(POLICY));
    with_room_for(4);
    buf_init(&out, 0);
    key = p_key((const char *const[]){"username", "ann", "usagePlan", "gold", NULL});
    snprintf(header, sizeof header, "api-key: %s", key);
    v = p_ask("GET", "Api.example.com", "/v1/tides?token=hidden-in-query", (const char *const[]){header, "cookie: hidden-too", NULL});
    T(!v.allowed);
    T(policy_explain(p.ctx, slice_str(v.id), &out));
    T(has(&out, "\"method\":\"GET\"") && has(&out, "\"host\":\"api.example.com\"") && has(&out, "\"path\":\"/v1/tides\""));
    T(has(&out, "\"allowed\":false") && has(&out, "\"status\":404") && has(&out, "\"reason\":\"gone-away\""));
    T(has(&out, "\"user\":\"ann\"") && has(&out, "\"plan\":\"gold\""));
    T(has(&out, "\"step\":\"apiKeyAuth\",\"policy\":\"n.keys\",\"rule\":\"t.yaml:5\",\"said\":\"pass\""));
    T(has(&out, "\"step\":\"luaAuth\"") && has(&out, "\"said\":\"deny\""));
    T(!has(&out, "hidden") && !has(&out, key));
    buf_clear(&out);
    T(!policy_explain(p.ctx, S("0123456789abcdef"), &out) && out.n == 0);
    buf_free(&out);
}

static void the_oldest_gives_way(void)
{
    struct buf out;
    char ids[6][17];

    MUST(p_use(POLICY));
    with_room_for(4);
    buf_init(&out, 0);
    for (size_t i = 0; i < 6; i++)
        memcpy(ids[i], p_ask("GET", "h", "/", NULL).id, 17);
    for (size_t i = 0; i < 6; i++) {
        buf_clear(&out);
        T(policy_explain(p.ctx, slice_str(ids[i]), &out) == (i >= 2));
    }
    buf_clear(&out);
    T_INT(policy_recent(p.ctx, false, 3, &out), 3);
    T(slice_find(buf_all(&out), slice_str(ids[5])) < slice_find(buf_all(&out), slice_str(ids[4])));
    T(has(&out, "},{") && !has(&out, ids[2]));
    buf_clear(&out);
    T_INT(policy_recent(p.ctx, true, 100, &out), 4);
    buf_free(&out);
}

static void nothing_is_kept_when_told_so(void)
{
    struct buf out;
    struct policy_verdict v;

    MUST(p_use(POLICY));
    with_room_for(0);
    buf_init(&out, 0);
    v = p_ask("GET", "h", "/", NULL);
    T(!policy_explain(p.ctx, slice_str(v.id), &out));
    T_INT(policy_recent(p.ctx, false, 10, &out), 0);
    buf_free(&out);
}

static void long_texts_are_cut(void)
{
    static char path[4000];
    struct buf out;
    struct policy_verdict v;

    MUST(p_use(POLICY));
    with_room_for(2);
    buf_init(&out, 0);
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    v = p_ask("GET", "h", path, NULL);
    T(policy_explain(p.ctx, slice_str(v.id), &out) && out.n < 2000);
    buf_free(&out);
}

static uint64_t counted(const char *reason)
{
    char line[120];
    struct buf out;
    size_t at;
    uint64_t n = 0;

    buf_init(&out, 0);
    metric_write(&out);
    snprintf(line, sizeof line, "postern_decisions_total{reason=\"%s\"} ", reason);
    at = slice_find(buf_all(&out), slice_str(line));
    if (at != SIZE_MAX) {
        struct slice rest, number = slice_cut(slice_from(buf_all(&out), at + strlen(line)), '\n', &rest);
        T(slice_u64(number, &n));
    }
    buf_free(&out);
    return n;
}

static void reasons_are_counted(void)
{
    uint64_t before = counted("key_missing"), gone;

    MUST(p_use(POLICY));
    (void)p_ask("GET", "h", "/", NULL);
    (void)p_ask("GET", "h", "/", NULL);
    T_INT(counted("key_missing") - before, 2);
    before = counted("path_ambiguous");
    (void)p_ask("GET", "h", "/a/../b", NULL);
    T_INT(counted("path_ambiguous") - before, 1);
    gone = counted("other");
    for (int i = 0; i < 300; i++) { /* more than there are rows for: none is lost, none is out of bounds */
        static char word[20];
        snprintf(word, sizeof word, "word-%d", i);
        reason_count(slice_str(word));
    }
    T_INT(counted("word-3"), 1);
    T(counted("other") > gone + 100);
    reason_count(S("no word \"}\n"));
    T(counted("other") > gone + 101);
}

/* ---- the queue for the log ---- */

enum { LOG_SLOTS = 8 };
static int log_wakes;

static void log_wake(void *ctx)
{
    __atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
}

static void with_log(size_t explain, bool denied_only)
{
    struct policy_ctx_opts o = {.box = p.box, .store = p.store, .scheme = &p.scheme, .explain_max = explain,
                                .log = {LOG_SLOTS, denied_only, log_wake, &log_wakes}};
    log_wakes = 0;
    policy_ctx_close(p.ctx);
    p.ctx = policy_ctx_open(&o);
}

static void what_the_log_gets(void)
{
    struct buf out;
    uint64_t lost = 0;
    char ids[12][17];
    MUST(p_use(POLICY));
    buf_init(&out, 0);
    for (size_t explain = 0; explain < 5; explain += 4) {
        with_log(explain, false);
        T_INT(policy_log_take(p.ctx, &out, &lost), 0);
        for (size_t i = 0; i < 12; i++)
            memcpy(ids[i], p_ask("GET", "h", "/", NULL).id, 17);
        T_INT(log_wakes, 1); /* when half full, once */
        buf_clear(&out);
        lost = 0;
        T_INT(policy_log_take(p.ctx, &out, &lost), LOG_SLOTS);
        T_INT(lost, 12 - LOG_SLOTS);
        for (size_t i = 0; i < 12; i++)
            T(has(&out, ids[i]) == (i < LOG_SLOTS));
        T(out.p[0] == '{' && out.p[out.n - 1] == '\n');
        lost = 0;
        T_INT(policy_log_take(p.ctx, &out, &lost), 0);
        T_INT(lost, 0);
        buf_clear(&out);
        T(policy_explain(p.ctx, slice_str(ids[11]), &out) == (explain > 0));
    }
    buf_free(&out);
}

static void the_log_of_denials(void)
{
    struct buf out;
    uint64_t lost = 0;
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {config: {glooAuth: {configs: [\n"
               "  {luaAuth: {inline: 'return function(r) return r.path == \"/yes\" end'}}]}}}\n"));
    with_log(2, true);
    buf_init(&out, 0);
    T(p_ask("GET", "h", "/yes", NULL).allowed);
    T(!p_ask("GET", "h", "/no", NULL).allowed);
    T_INT(policy_log_take(p.ctx, &out, &lost), 1);
    T(has(&out, "\"path\":\"/no\"") && !has(&out, "/yes"));
    buf_free(&out);
}

static void *taker(void *arg)
{
    struct buf out;
    uint64_t *sum = arg, lost = 0;
    buf_init(&out, 0);
    while (sum[0] + lost < 5000) {
        buf_clear(&out);
        sum[0] += policy_log_take(p.ctx, &out, &lost);
    }
    sum[1] = lost;
    buf_free(&out);
    return NULL;
}

/* One decides, one takes: each decision is taken or counted as lost, once. */
static void taken_by_another_thread(void)
{
    uint64_t sum[2] = {0};
    pthread_t t;
    MUST(p_use(POLICY));
    with_log(4, false);
    MUST(pthread_create(&t, NULL, taker, sum) == 0);
    for (int i = 0; i < 5000; i++)
        (void)p_ask("GET", "h", "/", NULL);
    MUST(pthread_join(t, NULL) == 0);
    T_INT(sum[0] + sum[1], 5000);
    T(sum[0] > 0);
}

int main(void)
{
    p_init();
    T_RUN(a_decision_is_explained);
    T_RUN(the_oldest_gives_way);
    T_RUN(nothing_is_kept_when_told_so);
    T_RUN(long_texts_are_cut);
    T_RUN(reasons_are_counted);
    T_RUN(what_the_log_gets);
    T_RUN(the_log_of_denials);
    T_RUN(taken_by_another_thread);
    p_done();
    return t_done();
}
