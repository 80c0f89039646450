/*
 * cjwt.c - JWTPolicy documents -> struct jwt_policy, an item of the chains that it applies to.
 *
 * The fields are Gloo's (kinds.c has the table). A policy with a fault refuses the whole load, as everywhere:
 * a provider that could not be read never lets pass. Every header that a provider may set is an identity
 * header of its routes. One thread at a time. Tested by tests/unit/policy/test_jwt_policy.c.
 */
#include "policy/item_jwt.h"

struct cjwt {
    struct load *l;
    struct resource *r;
    struct field_in in;
};

static bool cjwt_local(struct cjwt *c, const struct doc_jwt_local *d, struct token_rule *rule)
{
    struct slice text = d->text;

    if (!d->text.n == !d->secret) {
        fault_add(&c->in, false, d->self, NULL, "local: expected one of inline and secretRef");
        return false;
    }
    if (d->secret) {
        const struct secret *s = secret_find(c->l, &c->in, d->self, false, d->secret->ref, c->r->ns);
        if (!s)
            return false;
        text = secret_value(s, d->secret->key);
        if (text.n == 0) {
            fault_add(&c->in, false, d->self, NULL, "Secret %.*s has no %.*s", SFMT(s->name),
                      SFMT(slice_sub(d->secret->key, 0, 80)));
            return false;
        }
    }
    return jwks_source_local(c->l, &c->in, d->self, text, JWKS_SYMMETRIC, &rule->keys);
}

static bool cjwt_keys(struct cjwt *c, const struct doc_jwt_provider *d, struct token_rule *rule)
{
    if (!d->local == !d->remote) {
        fault_add(&c->in, false, d->self, NULL, "expected one of local and remote: the keys of the issuer");
        return false;
    }
    if (d->local)
        return cjwt_local(c, d->local, rule);
    return jwks_source_remote(c->l, &c->in, d->remote->self, d->remote->url, d->remote->cache,
                              d->remote->timeout, 0, &rule->keys);
}

static bool cjwt_places(struct cjwt *c, const struct doc_jwt_source *d, struct jwt_provider *p)
{
    size_t n = d ? d->headers.n + d->params.n : 0;

    p->places = ARENA_ARRAY(&c->l->set->arena, struct jwt_place, n + 2);
    for (size_t i = 0; d && i < d->headers.n; i++) {
        const struct doc_jwt_header *h = d->headers.items[i];
        if (!http_token_ok(h->name)) {
            fault_add(&c->in, false, h->self, NULL, "\"%.*s\" is no header name",
                      SFMT(slice_sub(h->name, 0, 60)));
            return false;
        }
        p->places[p->places_n++] = (struct jwt_place){h->name, h->prefix, false};
    }
    for (size_t i = 0; d && i < d->params.n; i++)
        p->places[p->places_n++] = (struct jwt_place){d->params.v[i], S(""), true};
    if (n == 0) {
        p->places[p->places_n++] = (struct jwt_place){S("Authorization"), S("Bearer "), false};
        p->places[p->places_n++] = (struct jwt_place){S("access_token"), S(""), true};
    }
    return true;
}

static bool cjwt_provider(struct cjwt *c, const struct doc_jwt_provider *d, struct slice name,
                          struct jwt_provider *p)
{
    struct doc_rule rule = {d->issuer, d->skew, d->audiences, d->algorithms, d->no_exp_ok};

    p->name = name;
    p->keep_token = d->keep_token;
    p->payload_header = d->payload_header;
    p->rule.cache_ms = 10 * 60 * 1000;
    if (p->payload_header.n && !http_token_ok(p->payload_header)) {
        fault_add(&c->in, false, d->self, NULL, "outputPayloadToHeader is no header name");
        return false;
    }
    return cjwt_keys(c, d, &p->rule) && token_rule_compile(c->l, &c->in, d->self, &rule, &p->rule) &&
           cjwt_places(c, d->source, p) && claim_headers_compile(c->l, &c->in, &d->headers, &p->headers);
}

static bool cjwt_claims(struct cjwt *c, const struct field_list *list, struct jwt_policy *p)
{
    p->claims = ARENA_ARRAY(&c->l->set->arena, struct jwt_claim_rule, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct doc_jwt_claim *d = list->items[i];
        if (d->delimiter.n > 1 || (d->values.n == 0 && d->not_values.n == 0)) {
            fault_add(&c->in, false, d->self, NULL, d->delimiter.n > 1
                          ? "nestedClaimDelimiter: expected one character"
                          : "expected values or notValues");
            return false;
        }
        p->claims[p->claims_n++] = (struct jwt_claim_rule){
            d->key, d->delimiter.n ? d->delimiter.p[0] : '.', d->values, d->not_values};
    }
    return true;
}

static void cjwt_identity(struct cjwt *c, const struct jwt_policy *p, struct chain_item *item)
{
    struct slice *names;
    size_t room = 1;

    for (size_t i = 0; i < p->providers_n; i++)
        room += p->providers[i].headers.n + 1;
    names = ARENA_ARRAY(&c->l->set->arena, struct slice, room);
    for (size_t i = 0; i < p->providers_n; i++) {
        const struct jwt_provider *v = &p->providers[i];
        for (size_t k = 0; k < v->headers.n; k++)
            names[item->identity_n++] = v->headers.v[k].header;
        if (v->payload_header.n)
            names[item->identity_n++] = v->payload_header;
    }
    item->identity = names;
}

void compile_jwt_policy(struct load *l, struct resource *r)
{
    const struct doc_jwt_policy *d = r->doc->spec;
    const struct doc_jwt_config *f = d->config;
    struct jwt_policy *p = ARENA_NEW(&l->set->arena, struct jwt_policy);
    struct cjwt c = {l, r, load_in(l, r->file)};
    struct chain_item item = {.row = item_jwt(), .policy = p, .phase = PHASE_PRE, .key_header = S("")};

    p->name = r->full;
    p->rule = load_rule(l, r->file, r->node);
    p->scopes = f->scopes;
    p->shadow = f->shadow;
    p->failure_mode_allow = f->failure_mode_allow;
    item.shadow = p->shadow;
    p->validation = f->allow_missing_or_failed ? JWT_ALLOW_MISSING_OR_FAILED : (enum jwt_validation)f->validation;
    p->providers = ARENA_ARRAY(&l->set->arena, struct jwt_provider, f->providers.n + 1);
    if (f->providers.n == 0)
        fault_add(&c.in, false, r->node, NULL, "expected at least one of providers");
    for (size_t i = 0; i < f->providers.n; i++)
        if (cjwt_provider(&c, f->providers.items[i], f->providers.names[i], &p->providers[p->providers_n]))
            p->providers_n++;
    if (!cjwt_claims(&c, &f->claims, p))
        return;
    if (f->phase && f->phase->post) {
        item.phase = PHASE_POST;
        item.priority = f->phase->post->priority;
    } else if (f->phase && f->phase->pre) {
        item.priority = f->phase->pre->priority;
    }
    cjwt_identity(&c, p, &item);
    compile_select(l, r, &d->apply, item);
}
