/*
 * test_explain.c - kept decisions: by id, newest first, bounded, without what might be a secret; reasons
 * counted.
 */
#include "base/metric.h"
#include "p.h"

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

int main(void)
{
    p_init();
    T_RUN(a_decision_is_explained);
    T_RUN(the_oldest_gives_way);
    T_RUN(nothing_is_kept_when_told_so);
    T_RUN(long_texts_are_cut);
    T_RUN(reasons_are_counted);
    p_done();
    return t_done();
}
