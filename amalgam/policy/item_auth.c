/*
 * item_auth.c - an ext-auth policy in a route's chain: its steps, all of them or as booleanExpr says.
 *
 * Without an expression the steps run in order and all must pass. With one they run from left to right
 * as far as its value needs; what a step that failed or stood under a `!` did is undone, and when the
 * whole is false the last refusal is the answer (one by throttle.c stays a refusal under a `!`). The result of each step is kept in the decision, so
 * that one that waited (STEP_WAIT) goes on where it was. Trouble is unknown, never true: `a || b` with
 * a in trouble passes only when b does. shadow: true counts and lets pass; failureModeAllow lets pass
 * what was in trouble. Tested by tests/unit/policy/test_decide.c and test_park.c.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "policy/inside.h"

enum { ITEM_AUTH_SHADOWS = 64 };
static struct metric item_auth_metric[ITEM_AUTH_SHADOWS];

void policy_metrics_join(void)
{
    metric_join(item_auth_metric, ITEM_AUTH_SHADOWS);
    reason_metrics_join();
    lua_metrics_join();
    throttle_metrics_join();
}

/* policy="default.l"; of the policies beyond the last row: "other", which has a row of its own. */
static void item_auth_count(struct decision *d, struct slice policy)
{
    static const char name[] = "postern_shadow_denials_total";
    static const char help[] = "Requests that a policy with shadow: true would have refused.";
    struct slice labels = arena_fmt(d->arena, "policy=\"%.*s\"", SFMT(policy));
    struct metric *m;

    for (size_t i = 8; i + 1 < labels.n; i++)
        if (labels.p[i] == '"' || labels.p[i] == '\\' || (unsigned char)labels.p[i] < ' ')
            labels = S("policy=\"other\"");
    m = metric_claim(item_auth_metric, ITEM_AUTH_SHADOWS - 1, name, help, labels);
    if (!m)
        m = metric_claim(&item_auth_metric[ITEM_AUTH_SHADOWS - 1], 1, name, help, S("policy=\"other\""));
    if (m)
        metric_add(m, 1);
}

void decision_shadow(struct decision *d, const char *step, struct slice policy, struct slice rule,
                     struct slice reason, int64_t began_ns)
{
    item_auth_count(d, policy);
    decision_trace(d, step, policy, rule, "shadow", arena_fmt(d->arena, "would refuse: %.*s", SFMT(reason)),
                   began_ns);
    if (d->c->now_ms - d->c->shadow_log_ms < 1000) /* at most one line a second; the counter has them all */
        return;
    d->c->shadow_log_ms = d->c->now_ms;
    log_event(LOG_INFO, "policy.shadow", "policy=%.*s reason=%.*s decision=%s", SFMT(policy),
              SFMT(reason), d->v->id);
}

/* ---- one step ---- */

static const char *item_auth_word(enum step_said said)
{
    static const char *const words[] = {"pass", "deny", "trouble", "wait"};
    return words[said];
}

static enum step_said item_auth_step(struct decision *d, const struct auth_policy *p,
                                     const struct step *s)
{
    enum step_said said;

    d->at = s;
    if (!d->wait) {
        d->step_began_ns = decision_clock(d);
        d->trouble = S("");
        d->v->words = S("");
    }
    said = s->row->run(d, s);
    if (said == STEP_WAIT)
        return said;
    d->wait = NULL;
    decision_trace(d, s->row->name, p->name, s->rule, item_auth_word(said),
                   said == STEP_PASS ? s->name : said == STEP_DENY || d->v->words.n ? d->v->words : d->trouble,
                   d->step_began_ns);
    if (said == STEP_TROUBLE)
        decision_deny(d, 403, d->trouble,
                      d->v->words.n ? d->v->words : S("the policy could not be decided"), s->rule);
    return said;
}

static enum step_said item_auth_all(struct decision *d, const struct auth_policy *p)
{
    for (; d->step < p->steps_n; d->step++) {
        enum step_said said = item_auth_step(d, p, &p->steps[d->step]);
        if (said != STEP_PASS)
            return said;
    }
    return STEP_PASS;
}

/* ---- expressions ---- */

/* A refusal that an expression may still overrule. */
static void item_auth_keep_denial(struct decision *d)
{
    struct policy_verdict *v = d->v;
    struct decision_denial *k = &d->denial;

    *k = (struct decision_denial){true, v->status, v->reason, v->words, v->rule, v->body, NULL, 0};
    if (v->client_n > d->step_mark.client_n) {
        k->client_n = v->client_n - d->step_mark.client_n;
        k->client = arena_alloc(d->arena, k->client_n * sizeof *k->client);
        memcpy(k->client, v->client + d->step_mark.client_n, k->client_n * sizeof *k->client);
    }
}

static void item_auth_say_denial(struct decision *d, const struct auth_policy *p)
{
    const struct decision_denial *k = &d->denial;

    if (!k->there) {
        decision_deny(d, 403, S("expression_false"), S("the policy's booleanExpr is false"), p->rule);
        return;
    }
    decision_deny(d, k->status, k->reason, k->words, k->rule);
    d->v->body = k->body;
    for (size_t i = 0; i < k->client_n; i++)
        decision_client(d, k->client[i].name, k->client[i].value);
}

static enum step_said item_auth_leaf(struct decision *d, const struct auth_policy *p, size_t i,
                                     bool negated)
{
    enum step_said said;

    if (d->said[i] != ITEM_AUTH_UNKNOWN)
        return (enum step_said)d->said[i];
    if (!d->wait)
        d->step_mark = decision_save(d);
    said = item_auth_step(d, p, &p->steps[i]);
    if (said == STEP_WAIT)
        return said;
    d->said[i] = (uint8_t)said;
    if (said != STEP_PASS)
        item_auth_keep_denial(d);
    if (said != STEP_PASS || negated)
        decision_undo(d, &d->step_mark);
    return said;
}

/* What had to wait was not looked at: its refusal is no no. */
static enum step_said item_auth_not(const struct decision *d, enum step_said said)
{
    if (UNLIKELY(d->throttled && said == STEP_DENY))
        return said;
    return said == STEP_PASS ? STEP_DENY : said == STEP_DENY ? STEP_PASS : said;
}

static enum step_said item_auth_expr(struct decision *d, const struct auth_policy *p,
                                     const struct bool_expr *x, bool negated)
{
    enum step_said left, right;

    if (x->op == BOOL_NAME)
        return item_auth_leaf(d, p, x->index, negated);
    left = item_auth_expr(d, p, x->left, negated || x->op == BOOL_NOT);
    if (x->op == BOOL_NOT)
        return item_auth_not(d, left);
    if (left == STEP_WAIT || (x->op == BOOL_AND ? left != STEP_PASS : left == STEP_PASS))
        return left;
    right = item_auth_expr(d, p, x->right, negated);
    /* unknown or false is unknown */
    return left == STEP_TROUBLE && right == STEP_DENY ? STEP_TROUBLE : right;
}

/* ---- the policy ---- */

static enum step_said item_auth_steps(struct decision *d, const struct auth_policy *p)
{
    enum step_said said;

    if (LIKELY(!p->expr))
        return item_auth_all(d, p);
    if (!d->said) {
        d->said = arena_alloc(d->arena, p->steps_n);
        d->said_n = p->steps_n;
        memset(d->said, ITEM_AUTH_UNKNOWN, p->steps_n);
        d->denial.there = false;
    }
    said = item_auth_expr(d, p, p->expr, false);
    if (said == STEP_DENY || said == STEP_TROUBLE)
        item_auth_say_denial(d, p);
    return said;
}

/* What the client would be sent to is no use to a caller that follows no redirects. */
static void item_auth_redirect(struct decision *d, const struct auth_policy *p)
{
    struct policy_verdict *v = d->v;
    size_t kept = 0;

    if (!p->fail_on_redirect || v->status < 300 || v->status > 399)
        return;
    v->status = 401;
    for (size_t i = 0; i < v->client_n; i++)
        if (!slice_eq_ci(v->client[i].name, S("location")))
            v->client[kept++] = v->client[i];
    v->client_n = kept;
}

static enum item_said item_auth_end(struct decision *d, const struct auth_policy *p,
                                    enum step_said said)
{
    d->step = 0;
    d->said = NULL;
    d->marked = d->throttled = false;
    if (said == STEP_PASS) {
        if (p->shadow) /* it leaves nothing behind */
            decision_undo(d, &d->mark);
        return ITEM_GO;
    }
    item_auth_redirect(d, p);
    if (p->shadow)
        decision_shadow(d, "extAuth", p->name, p->rule, d->v->reason, 0);
    else if (said == STEP_TROUBLE && p->failure_mode_allow)
        decision_trace(d, "extAuth", p->name, p->rule, "pass", S("let pass: failureModeAllow"), 0);
    else
        return ITEM_END;
    decision_undo(d, &d->mark);
    return ITEM_GO;
}

static enum item_said item_auth_run(struct decision *d, const struct chain_item *item)
{
    const struct auth_policy *p = item->policy;
    enum step_said said = STEP_DENY;

    if (!d->marked && (p->shadow || p->failure_mode_allow)) {
        d->mark = decision_save(d);
        d->marked = true;
    }
    if (p->denies) {
        decision_deny(d, 403, S("not_served"),
                      S("the policy asks for something that Postern does not serve"), p->rule);
        decision_trace(d, "extAuth", p->name, p->rule, "deny", d->v->words, 0);
    } else {
        said = item_auth_steps(d, p);
        if (said == STEP_WAIT)
            return ITEM_WAIT;
    }
    return item_auth_end(d, p, said);
}

const struct item_row *item_auth(void)
{
    static const struct item_row row = {"extAuth", item_auth_run};
    return &row;
}
