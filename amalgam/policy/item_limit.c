/*
 * item_limit.c - a rate-limit policy in a route's chain: count, and refuse what is over.
 *
 * limit.c counts; this file makes the answer: 429 with Retry-After of the limit that opens last.
 * A limit that cannot be counted refuses unless the policy says failureModeAllow; with shadow: true
 * it counts and lets pass. Tested by tests/unit/policy/test_limit.c.
 */
#include "policy/inside.h"

/* The limit that is over and takes longest to start anew; its reset is what Retry-After says. */
static const struct policy_limit *item_limit_over(const struct policy_verdict *v)
{
    const struct policy_limit *worst = NULL;

    for (size_t i = 0; i < v->limits_n; i++)
        if (v->limits[i].over && (!worst || v->limits[i].reset_s > worst->reset_s))
            worst = &v->limits[i];
    return worst;
}

static void item_limit_refuse(struct decision *d, struct slice rule)
{
    const struct policy_limit *l = item_limit_over(d->v);

    decision_deny(d, 429, S("limited"), S("too many requests"), rule);
    if (!l)
        return;
    d->v->words = arena_fmt(d->arena, "over the limit %.*s: %u per %s, again in %lld s",
                            SFMT(l->name), l->limit, limit_unit_name(l->unit),
                            (long long)l->reset_s);
    decision_client(d, S("Retry-After"),
                    arena_fmt(d->arena, "%lld", (long long)MAX(l->reset_s, 1)));
    decision_client(d, S("x-envoy-ratelimited"), S("true"));
}

static enum item_said item_limit_run(struct decision *d, const struct chain_item *item)
{
    const struct limit_policy *p = item->policy;
    int64_t began = decision_clock(d);
    bool over = false, trouble = false, met;
    struct slice rule;

    met = limit_run(d, p, &over, &rule, &trouble);
    if (LIKELY(!over && !trouble)) {
        decision_trace(d, "rateLimit", p->name, rule, met ? "pass" : "skip",
                       met ? S("within the limit") : S("no limit matches"), began);
        return ITEM_GO;
    }
    if (p->shadow) {
        decision_shadow(d, "rateLimit", p->name, rule, over ? S("limited") : d->trouble, began);
        return ITEM_GO;
    }
    if (trouble && p->failure_mode_allow) {
        decision_trace(d, "rateLimit", p->name, rule, "pass", d->trouble, began);
        return ITEM_GO;
    }
    if (over)
        item_limit_refuse(d, rule);
    else
        decision_deny(d, 403, d->trouble, S("the limit could not be counted"), rule);
    decision_trace(d, "rateLimit", p->name, rule, over ? "limited" : "trouble", d->v->words, began);
    return ITEM_END;
}

const struct item_row *item_limit(void)
{
    static const struct item_row row = {"rateLimit", item_limit_run};
    return &row;
}
