/*
 * item_jwt.c - a JWTPolicy in a route's chain: a token that one provider vouches for, and what it says.
 *
 * Providers are alternatives; for one provider every token that the request holds in its places must be
 * good, so that nobody hides a bad one behind a good one. Answers are those of Envoy's filters: 401 with
 * the words of its JWT filter, 403 `RBAC: access denied` for claims. A header that a claim goes to never
 * comes from the client. A token that was verified here makes the step `jwt` of an ExtAuthPolicy true.
 * One policy_ctx, its thread. Tested by tests/unit/policy/test_jwt_policy.c.
 */
#include "policy/item_jwt.h"

enum { ITEM_JWT_TOKENS_MAX = 8 };

struct item_jwt_token {
    struct slice text;
    const struct jwt_place *place;
};

bool item_jwt_required(const struct chain_item *item)
{
    const struct jwt_policy *p = item->policy;

    return item->row == item_jwt() && p->validation == JWT_REQUIRE_VALID && !p->shadow;
}

/* ---- where tokens are ---- */

static size_t item_jwt_params(const struct decision *d, const struct jwt_place *place,
                              struct item_jwt_token *out, size_t n)
{
    for (struct slice rest = d->query; rest.n > 0;) {
        struct slice value, name = slice_cut(slice_cut(rest, '&', &rest), '=', &value);
        if (n < ITEM_JWT_TOKENS_MAX && value.n > 0 && slice_eq(name, place->name))
            out[n++] = (struct item_jwt_token){value, place};
    }
    return n;
}

/* Two headers of one name give one value with a comma, which is no token. */
static size_t item_jwt_header(struct decision *d, const struct jwt_place *place,
                              struct item_jwt_token *out, size_t n)
{
    struct slice value = S("");

    if (!decision_header(d, place->name, &value) || n == ITEM_JWT_TOKENS_MAX)
        return n;
    if (place->prefix.n > 0 && !slice_starts_ci(value, place->prefix))
        return n;
    value = slice_trim(slice_from(value, place->prefix.n));
    if (value.n > 0)
        out[n++] = (struct item_jwt_token){value, place};
    return n;
}

/* ---- one provider ---- */

static enum token_said item_jwt_provider(struct decision *d, const struct jwt_provider *v,
                                         struct item_jwt_token *tokens, size_t *n,
                                         struct token_found *first)
{
    *n = 0;
    for (size_t i = 0; i < v->places_n; i++)
        *n = v->places[i].is_param ? item_jwt_params(d, &v->places[i], tokens, *n)
                                   : item_jwt_header(d, &v->places[i], tokens, *n);
    *first = (struct token_found){.fault = JWT_MISSING};
    for (size_t i = 0; i < *n; i++) {
        struct token_found found;
        enum token_said said = token_check(d, &v->rule, tokens[i].text, &found);
        if (i == 0 || said != TOKEN_GOOD)
            *first = found;
        if (said != TOKEN_GOOD)
            return said;
    }
    return *n ? TOKEN_GOOD : TOKEN_BAD;
}

/* For later steps and for Lua: jwt_authn.<provider> is the payload. */
static void item_jwt_state(struct decision *d, const struct jwt_provider *v, const struct json *claims)
{
    const struct json *old = decision_state_get(d, S("jwt_authn"));
    struct json *all = ARENA_NEW(d->arena, struct json);
    size_t n = old && old->kind == JSON_OBJ ? old->n : 0;

    *all = (struct json){.kind = JSON_OBJ};
    all->members = ARENA_ARRAY(d->arena, struct json_member, n + 1);
    for (size_t i = 0; i < n; i++)
        if (!slice_eq(old->members[i].name, v->name))
            all->members[all->n++] = old->members[i];
    all->members[all->n++] = (struct json_member){v->name, *claims};
    decision_state_put(d, S("jwt_authn"), all);
    if (d->v->user.n == 0)
        d->v->user = json_str(claims, S("sub"));
}

static bool item_jwt_apply(struct decision *d, const struct jwt_provider *v,
                           const struct item_jwt_token *tokens, size_t n, const struct json *claims)
{
    struct slice head, rest;

    if (!claim_headers_set(d, &v->headers, claims))
        return false;
    if (v->payload_header.n) {
        head = slice_cut(tokens[0].text, '.', &rest);
        (void)head;
        decision_upstream(d, v->payload_header, slice_cut(rest, '.', &head), HEADER_SET);
    }
    for (size_t i = 0; i < n && !v->keep_token; i++)
        if (tokens[i].place->is_param)
            decision_param_remove(d, tokens[i].place->name);
        else
            decision_remove(d, tokens[i].place->name);
    item_jwt_state(d, v, claims);
    return true;
}

/* ---- all providers ---- */

struct item_jwt_end { /* of the providers: the best that was said, or the most telling fault */
    enum token_said said;
    enum jwt_fault fault;
    const struct json *claims;
    bool bad_value;
};

static void item_jwt_worse(struct item_jwt_end *end, enum token_said said, enum jwt_fault fault)
{
    bool better = fault != JWT_MISSING &&
                  (end->fault == JWT_MISSING || end->fault == JWT_WRONG_ISSUER || said != TOKEN_BAD);

    if (end->said != TOKEN_WAIT && better)
        *end = (struct item_jwt_end){.said = said, .fault = fault};
}

static struct item_jwt_end item_jwt_any(struct decision *d, const struct jwt_policy *p)
{
    struct item_jwt_end end = {.said = TOKEN_BAD, .fault = JWT_MISSING};
    struct item_jwt_token tokens[ITEM_JWT_TOKENS_MAX];

    for (size_t i = 0; i < p->providers_n; i++) {
        const struct jwt_provider *v = &p->providers[i];
        struct token_found found;
        size_t n = 0;
        enum token_said said = item_jwt_provider(d, v, tokens, &n, &found);
        if (said == TOKEN_GOOD) {
            bool good = item_jwt_apply(d, v, tokens, n, found.claims);
            return (struct item_jwt_end){TOKEN_GOOD, JWT_OK, found.claims, !good};
        }
        if (said == TOKEN_WAIT)
            end = (struct item_jwt_end){.said = said, .fault = JWT_OK};
        else
            item_jwt_worse(&end, said, found.fault);
    }
    return end;
}

/* ---- what the claims must be ---- */

/* '*' stands for any bytes. Like glob_match without its other signs; linear, no recursion. */
static bool item_jwt_like(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

static bool item_jwt_one_of(struct decision *d, const struct field_strs *patterns, const struct json *claim)
{
    struct slice text;

    for (uint32_t i = 0; claim->kind == JSON_ARR && i < claim->n; i++)
        if (claim->items[i].kind != JSON_ARR && item_jwt_one_of(d, patterns, &claim->items[i]))
            return true;
    if (claim->kind == JSON_ARR || claim->kind == JSON_OBJ || claim->kind == JSON_NULL)
        return false;
    text = jwt_claim_text(d->arena, claim);
    for (size_t i = 0; i < patterns->n; i++)
        if (item_jwt_like(patterns->v[i], text))
            return true;
    return false;
}

static bool item_jwt_claims_ok(struct decision *d, const struct jwt_policy *p, const struct json *claims)
{
    for (size_t i = 0; i < p->claims_n; i++) {
        const struct jwt_claim_rule *r = &p->claims[i];
        const struct json *claim = jwt_claim(claims, r->key, r->delimiter);
        if (r->values.n && (!claim || !item_jwt_one_of(d, &r->values, claim)))
            return false;
        if (r->not_values.n && claim && item_jwt_one_of(d, &r->not_values, claim))
            return false;
    }
    for (size_t i = 0; i < p->scopes.n; i++)
        if (!jwt_has_scope(claims, p->scopes.v[i]))
            return false;
    return true;
}

/* ---- the policy ---- */

static void item_jwt_refuse(struct decision *d, const struct jwt_policy *p, enum jwt_fault f)
{
    const struct jwt_fault_row *row = jwt_fault_row(f);

    decision_deny(d, 401, slice_str(row->reason), slice_str(row->words), p->rule);
    d->v->body = slice_str(row->words);
    decision_client(d, S("www-authenticate"),
                    f == JWT_MISSING ? S("Bearer") : S("Bearer error=\"invalid_token\""));
}

static void item_jwt_forbid(struct decision *d, const struct jwt_policy *p, struct slice reason,
                            struct slice words)
{
    decision_deny(d, 403, reason, words, p->rule);
    d->v->body = S("RBAC: access denied");
}

static bool item_jwt_may_lack(const struct jwt_policy *p, enum jwt_fault f)
{
    return p->validation == JWT_ALLOW_MISSING_OR_FAILED ||
           (p->validation == JWT_ALLOW_MISSING && f == JWT_MISSING);
}

/* STEP_DENY and STEP_TROUBLE: the refusal is in the verdict. */
static enum step_said item_jwt_decide(struct decision *d, const struct jwt_policy *p)
{
    struct item_jwt_end end = item_jwt_any(d, p);

    if (end.said == TOKEN_WAIT)
        return STEP_WAIT;
    if (end.bad_value) {
        item_jwt_forbid(d, p, S("claim_invalid"), S("a claim cannot stand in a header"));
        return STEP_DENY;
    }
    if (end.said != TOKEN_GOOD && !item_jwt_may_lack(p, end.fault)) {
        item_jwt_refuse(d, p, end.fault);
        return end.said == TOKEN_TROUBLE ? STEP_TROUBLE : STEP_DENY;
    }
    if (!item_jwt_claims_ok(d, p, end.claims)) {
        item_jwt_forbid(d, p, S("claim_refused"), S("the token's claims or scopes are not those that the policy asks for"));
        return STEP_DENY;
    }
    return STEP_PASS;
}

static enum item_said item_jwt_run(struct decision *d, const struct chain_item *item)
{
    static const char *const words[] = {"pass", "deny", "trouble"};
    const struct jwt_policy *p = item->policy;
    int64_t began = decision_clock(d);
    enum step_said said;

    if (!d->marked && (p->shadow || p->failure_mode_allow)) {
        d->mark = decision_save(d);
        d->marked = true;
    }
    said = item_jwt_decide(d, p);
    if (said == STEP_WAIT)
        return ITEM_WAIT;
    d->marked = false;
    decision_trace(d, "jwtPolicy", p->name, p->rule, words[said],
                   said == STEP_PASS ? S("the token is good, or need not be") : d->v->words, began);
    if (said == STEP_PASS && !p->shadow)
        return ITEM_GO;
    if (p->shadow && said != STEP_PASS)
        decision_shadow(d, "jwtPolicy", p->name, p->rule, d->v->reason, 0);
    else if (!p->shadow && !(said == STEP_TROUBLE && p->failure_mode_allow))
        return ITEM_END;
    decision_undo(d, &d->mark);
    return ITEM_GO;
}

const struct item_row *item_jwt(void)
{
    static const struct item_row row = {"jwtPolicy", item_jwt_run};
    return &row;
}
