/*
 * step_key.c - apiKeyAuth: who is it, by an API key in a header.
 *
 * Keys come from the store (the portal makes them) or, when the policy names Secrets, from those alone.
 * Statuses and headers are Gloo's: 401 with `www-authenticate: API key is missing or invalid`, empty
 * body, the same for every reason. Metadata of the key becomes headers for the upstream; each such
 * header is set or removed on every allow, and the key itself is removed. The key is never copied,
 * logged or traced. Runs in the checking thread, no allocation when the key was seen before.
 * Tested by tests/unit/policy/test_keys.c.
 */
#include "policy/inside.h"
#include "policy/names.h"
#include "wire/cred.h"

struct step_key_header {
    const struct yaml *self;
    struct slice name;
    bool required;
};
struct step_key_storage {
    struct field_pairs labels;
    struct field_list refs; /* struct doc_ref */
};
struct step_key_hmac {
    int algorithm;
    struct doc_ref *secret;
};
struct step_key_digest {
    int algorithm;
};
struct step_key_name {
    struct slice name;
};
struct step_key_match {
    struct field_list headers; /* struct step_key_name */
};
struct step_key_doc {
    struct slice header;
    struct step_key_hmac *hmac;
    struct step_key_digest *digest;
    struct step_key_match *match;
    struct step_key_storage *k8s;
    struct field_pairs labels;
    struct field_list refs;
    struct field_list headers, headers_old; /* struct step_key_header */
    struct field_strs plans;
    const struct yaml *unserved;            /* aerospike */
};

/* clang-format off */
static const struct field_row step_key_ref_rows[] = {
    {"name", FIELD_STR, offsetof(struct doc_ref, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the Secret"},
    {"namespace", FIELD_STR, offsetof(struct doc_ref, ns), 0, 0, 0, NULL, NULL, "its namespace"},
};
static const struct field_table step_key_ref_table = {sizeof(struct doc_ref), step_key_ref_rows, ARRAY_LEN(step_key_ref_rows)};
static const struct field_row step_key_storage_rows[] = {
    {"labelSelector", FIELD_PAIRS, offsetof(struct step_key_storage, labels), 0, 0, 0, NULL, NULL, "labels that a Secret must have"},
    {"apiKeySecretRefs", FIELD_LIST, offsetof(struct step_key_storage, refs), 0, 0, 0, &step_key_ref_table, NULL, "Secrets by name"},
};
static const struct field_table step_key_storage_table = {sizeof(struct step_key_storage), step_key_storage_rows, ARRAY_LEN(step_key_storage_rows)};
static const struct field_row step_key_header_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct step_key_header, self), 0, 0, 0, NULL, NULL, ""},
    {"name", FIELD_STR, offsetof(struct step_key_header, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the metadata"},
    {"required", FIELD_BOOL, offsetof(struct step_key_header, required), 0, 0, 0, NULL, NULL, "refuse keys that have none"},
};
static const struct field_table step_key_header_table = {sizeof(struct step_key_header), step_key_header_rows, ARRAY_LEN(step_key_header_rows)};
static const char *const step_key_hmac_words[] = {"HMAC_SHA256", NULL};
static const char *const step_key_digest_words[] = {"SHA256", NULL};
static const struct field_row step_key_hmac_rows[] = {
    {"algorithm", FIELD_WORD, offsetof(struct step_key_hmac, algorithm), 0, 0, 0, NULL, step_key_hmac_words, "HMAC_SHA256"},
    {"sharedSecretRef", FIELD_OBJ, offsetof(struct step_key_hmac, secret), FIELD_REQUIRED, 0, 0, &step_key_ref_table, NULL, "Secret with the key of the HMAC: its entry shared-secret, or the only one"},
};
static const struct field_table step_key_hmac_table = {sizeof(struct step_key_hmac), step_key_hmac_rows, ARRAY_LEN(step_key_hmac_rows)};
static const struct field_row step_key_digest_rows[] = {
    {"algorithm", FIELD_WORD, offsetof(struct step_key_digest, algorithm), 0, 0, 0, NULL, step_key_digest_words, "SHA256"},
};
static const struct field_table step_key_digest_table = {sizeof(struct step_key_digest), step_key_digest_rows, ARRAY_LEN(step_key_digest_rows)};
static const struct field_row step_key_name_rows[] = {
    {"name", FIELD_STR, offsetof(struct step_key_name, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the header and of the Secret's entry"},
};
static const struct field_table step_key_name_table = {sizeof(struct step_key_name), step_key_name_rows, ARRAY_LEN(step_key_name_rows)};
static const struct field_row step_key_match_rows[] = {
    {"headers", FIELD_LIST, offsetof(struct step_key_match, headers), 0, 0, 0, &step_key_name_table, NULL, "request headers that must equal the entry of the same name in the Secret"},
};
static const struct field_table step_key_match_table = {sizeof(struct step_key_match), step_key_match_rows, ARRAY_LEN(step_key_match_rows)};
static const struct field_row step_key_rows[] = {
    {"headerName", FIELD_STR, offsetof(struct step_key_doc, header), 0, 0, 0, NULL, NULL, "header with the key; api-key when absent"},
    {"headersFromMetadataEntry", FIELD_NAMED, offsetof(struct step_key_doc, headers), 0, 0, 0, &step_key_header_table, NULL, "headers for the upstream from the key's metadata"},
    {"headersFromMetadata", FIELD_NAMED, offsetof(struct step_key_doc, headers_old), 0, 0, 0, &step_key_header_table, NULL, "older name of headersFromMetadataEntry"},
    {"k8sSecretApikeyStorage", FIELD_OBJ, offsetof(struct step_key_doc, k8s), 0, 0, 0, &step_key_storage_table, NULL, "keys of Secrets instead of the store"},
    {"labelSelector", FIELD_PAIRS, offsetof(struct step_key_doc, labels), 0, 0, 0, NULL, NULL, "older place of the same"},
    {"apiKeySecretRefs", FIELD_LIST, offsetof(struct step_key_doc, refs), 0, 0, 0, &step_key_ref_table, NULL, "older place of the same"},
    {"skipMetadataValidation", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "read and ignored: values that cannot stand in a header are always refused"},
    {"hmac", FIELD_OBJ, offsetof(struct step_key_doc, hmac), 0, 0, 0, &step_key_hmac_table, NULL, "the Secrets hold base64 of the HMAC of a key"},
    {"digest", FIELD_OBJ, offsetof(struct step_key_doc, digest), 0, 0, 0, &step_key_digest_table, NULL, "the Secrets hold base64 of the digest of a key"},
    {"match", FIELD_OBJ, offsetof(struct step_key_doc, match), 0, 0, 0, &step_key_match_table, NULL, "what of the request must be as the Secret says; with digest only"},
    {"plans", FIELD_STRS, offsetof(struct step_key_doc, plans), 0, 0, 0, NULL, NULL, "plans that a key must have one of; any, or none, when absent (Postern's own)"},
    {"aerospikeApikeyStorage", FIELD_NODE, offsetof(struct step_key_doc, unserved), 0, 0, 0, NULL, NULL, "not served: keep keys in the store or in Secrets; the routes are denied"},
};
/* clang-format on */
static const struct field_table step_key_table = {sizeof(struct step_key_doc), step_key_rows,
                                                  ARRAY_LEN(step_key_rows)};

const struct field_table *step_key_fields(void)
{
    return &step_key_table;
}

/* ---- compiling ---- */

static bool step_key_header_list(struct load *l, const struct field_in *in,
                                 const struct field_list *list, struct key_step *k)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct step_key_header *h = list->items[i];
        if (!header_can_be_set(list->names[i])) {
            fault_add(in, false, h->self, NULL, "\"%.*s\" cannot be set as a header",
                      SFMT(slice_sub(list->names[i], 0, 60)));
            return false;
        }
        k->headers[k->headers_n++] = (struct key_header){list->names[i], h->name, h->required};
    }
    (void)l;
    return true;
}

static void step_key_add_secret(const struct field_in *in, const struct yaml *y, struct key_step *k,
                                struct key_secret *s)
{
    struct key_secret *old = map_put(&k->secrets, slice_of((const char *)s->mac, sizeof s->mac), s);

    if (old && old != s)
        fault_add(in, true, y, NULL, "Secrets %.*s and %.*s hold the same key; the later one counts",
                  SFMT(old->name), SFMT(s->name));
}

static bool step_key_refs(struct load *l, const struct field_in *in, const struct yaml *y,
                          const struct field_list *refs, struct key_step *k)
{
    for (size_t i = 0; i < refs->n; i++) {
        const struct doc_ref *ref = refs->items[i];
        bool found = false;
        for (size_t j = 0; j < l->secrets.n; j++) {
            struct key_secret *s = l->secrets.v[j];
            if (!slice_eq(s->name, ref->name) || (ref->ns.n && !slice_eq(s->ns, ref->ns)))
                continue;
            step_key_add_secret(in, y, k, s);
            found = true;
        }
        if (!found) {
            fault_add(in, false, y, NULL, "no Secret %.*s with an api-key is there",
                      SFMT(slice_sub(ref->name, 0, 80)));
            return false;
        }
    }
    return true;
}

static bool step_key_secrets(struct load *l, const struct field_in *in, const struct yaml *y,
                             const struct step_key_doc *d, struct key_step *k)
{
    const struct field_pairs *labels = d->k8s ? &d->k8s->labels : &d->labels;
    const struct field_list *refs = d->k8s ? &d->k8s->refs : &d->refs;
    struct map *m = set_map_new(l->set);

    k->from_secrets = d->k8s || labels->n > 0 || refs->n > 0;
    if (!k->from_secrets)
        return true;
    if (!step_key_refs(l, in, y, refs, k))
        return false;
    for (size_t j = 0; labels->n > 0 && j < l->secrets.n; j++) {
        struct key_secret *s = l->secrets.v[j];
        if (labels_match(labels, &s->labels))
            step_key_add_secret(in, y, k, s);
    }
    if (k->secrets.n == 0)
        fault_add(in, true, y, NULL, "no Secret matches: every key is refused; leave "
                  "k8sSecretApikeyStorage out to use the store");
    *m = k->secrets; /* the set frees it */
    return true;
}

/* The key of the HMAC: `shared-secret`, or whatever stands alone in the Secret. */
static bool step_key_shared(struct load *l, const struct field_in *in, const struct yaml *y,
                            const struct doc_ref *ref, struct slice policy, struct key_step *k)
{
    struct slice rest, ns = slice_cut(policy, '.', &rest), value; /* a namespace has no dot */
    const struct secret *s = secret_find(l, in, y, false, ref, ns);

    if (!s)
        return false;
    value = secret_value(s, S("shared-secret"));
    if (value.n == 0 && s->values.n == 1)
        value = s->values.v[0].value;
    if (value.n == 0) {
        fault_add(in, false, y, NULL, "Secret %.*s: expected an entry shared-secret, or one entry alone",
                  SFMT(slice_sub(ref->name, 0, 80)));
        return false;
    }
    hmac_key_init(&k->shared, value);
    return true;
}

/* hmac, digest and match: how Secrets hold keys, so only for those. */
static bool step_key_hashed(struct load *l, const struct field_in *in, const struct yaml *y,
                            const struct step_key_doc *d, struct slice policy, struct key_step *k)
{
    const char *wrong = (d->hmac || d->digest) && !k->from_secrets ? "hmac and digest are for keys of Secrets; "
                        "keys of the store are always kept as an HMAC"
                        : d->hmac && d->digest ? "expected one of hmac and digest"
                        : d->match && !d->digest ? "match needs digest" : NULL;

    if (wrong) {
        fault_add(in, false, y, NULL, "%s", wrong);
        return false;
    }
    k->hashed = d->hmac ? KEY_HMAC : d->digest ? KEY_DIGEST : KEY_PLAIN;
    if (d->match) {
        k->match = ARENA_ARRAY(&l->set->arena, struct slice, d->match->headers.n + 1);
        for (size_t i = 0; i < d->match->headers.n; i++)
            k->match[k->match_n++] = ((const struct step_key_name *)d->match->headers.items[i])->name;
    }
    return !d->hmac || step_key_shared(l, in, y, d->hmac->secret, policy, k);
}

bool step_key_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                      struct step *out)
{
    const struct step_key_doc *d = doc;
    struct key_step *k = ARENA_NEW(&l->set->arena, struct key_step);
    size_t n = d->headers.n + d->headers_old.n;
    struct slice *names = ARENA_ARRAY(&l->set->arena, struct slice, n + 1);

    k->header = d->header.n ? d->header : S("api-key");
    k->plans = d->plans;
    k->headers = ARENA_ARRAY(&l->set->arena, struct key_header, n + 1);
    map_init(&k->secrets);
    if (!http_token_ok(k->header)) {
        fault_add(in, false, y, NULL, "headerName \"%.*s\" is no header name",
                  SFMT(slice_sub(k->header, 0, 60)));
        return false;
    }
    if (!step_key_header_list(l, in, &d->headers, k) ||
        !step_key_header_list(l, in, &d->headers_old, k) || !step_key_secrets(l, in, y, d, k) ||
        !step_key_hashed(l, in, y, d, out->policy, k))
        return false;
    for (size_t i = 0; i < k->headers_n; i++)
        names[i] = k->headers[i].header;
    out->identity = names;
    out->identity_n = k->headers_n;
    out->credential = k->header;
    out->api_key = true;
    out->denies = d->unserved != NULL;
    if (out->denies)
        fault_add(in, true, d->unserved, NULL, "aerospikeApikeyStorage is not served: keep keys in the store or in "
                  "Secrets; the routes are denied");
    out->data = k;
    return true;
}

/* ---- running ---- */

static enum step_said step_key_deny(struct decision *d, const struct step *s, struct slice reason,
                                    struct slice words)
{
    decision_deny(d, 401, reason, words, s->rule);
    decision_client(d, S("www-authenticate"), S("API key is missing or invalid"));
    return STEP_DENY;
}

static struct slice step_key_meta(const struct key_entry *e, struct slice name)
{
    for (size_t i = 0; i < e->meta_n; i++)
        if (slice_eq(e->meta[i].name, name))
            return e->meta[i].value;
    return S("");
}

static struct slice step_key_first(const struct key_entry *e, struct slice a, struct slice b)
{
    struct slice v = step_key_meta(e, a);

    return v.n ? v : step_key_meta(e, b);
}

static struct slice step_key_plan(const struct key_entry *e)
{
    return step_key_first(e, S("usagePlan"), S("plan"));
}

void step_key_identify(struct decision *d, const struct key_entry *e)
{
    d->key = e;
    d->v->user = step_key_first(e, S("username"), S("user-id"));
    d->v->plan = step_key_plan(e);
    d->v->key_uuid = e->uuid;
}

void step_key_headers(struct decision *d, const struct key_step *k)
{
    for (size_t i = 0; i < k->headers_n; i++) {
        struct slice v = step_key_meta(d->key, k->headers[i].meta);
        if (v.n == 0)
            continue;
        decision_upstream(d, k->headers[i].header, v, HEADER_SET);
        decision_state_put(d, k->headers[i].header, json_text(d->arena, v));
    }
}

static enum rc step_key_find(struct decision *d, const struct key_step *k, struct slice key,
                             const struct key_entry **e)
{
    const struct key_secret *s;
    uint8_t mac[32];

    char text[B64_LEN(32)];

    if (!k->from_secrets)
        return key_cache_get(d->c, key, e);
    if (k->hashed != KEY_PLAIN) {
        if (k->hashed == KEY_HMAC)
            hmac_sha256(&k->shared, key, mac);
        else
            sha256(key, mac);
        key = slice_of(text, b64_encode(text, mac, sizeof mac));
    }
    hmac_sha256(&d->rt->set->secret_mac, key, mac);
    s = map_get(&k->secrets, slice_of((const char *)mac, sizeof mac));
    if (!s || !slice_eq_secret(slice_of((const char *)s->mac, 32), slice_of((const char *)mac, 32)))
        return RC_NOTFOUND;
    *e = &s->entry;
    return RC_OK;
}

/* Has our form (prefix, '_', 44 of base62) but a wrong checksum. Only looked at when the key was not
 * found: a typo gets a better reason, a right key costs nothing. */
static bool step_key_looks_broken(struct slice key)
{
    size_t body = APIKEY_PUBLIC_LEN + APIKEY_SECRET_LEN + APIKEY_CHECK_LEN;
    size_t at = slice_rindex(key, '_');

    if (at == SIZE_MAX || at == 0 || at > APIKEY_PREFIX_MAX || key.n - at - 1 != body)
        return false;
    for (size_t i = at + 1; i < key.n; i++)
        if (!ascii_alpha(key.p[i]) && !ascii_digit(key.p[i]))
            return false;
    return !apikey_form_ok(key);
}

/* Each named header once, and as the Secret has it; what the Secret lacks matches nothing. */
static bool step_key_matches(const struct decision *d, const struct key_step *k, const struct key_entry *e)
{
    bool all = true;

    for (size_t i = 0; i < k->match_n; i++) {
        size_t n = 0;
        struct slice wanted = step_key_meta(e, k->match[i]);
        struct slice given = decision_only_header(d, k->match[i], &n);
        all &= n == 1 && wanted.n > 0 && slice_eq_secret(wanted, given);
    }
    return all;
}

static bool step_key_plan_ok(const struct key_step *k, const struct key_entry *e)
{
    struct slice plan = step_key_plan(e);

    for (size_t i = 0; i < k->plans.n; i++)
        if (slice_eq(plan, k->plans.v[i]))
            return true;
    return k->plans.n == 0;
}

static enum step_said step_key_check(struct decision *d, const struct step *s,
                                     const struct key_entry *e)
{
    const struct key_step *k = s->data;
    struct slice product = step_key_meta(e, S("product"));

    if (e->expires_ms > 0 && e->expires_ms <= d->c->now_ms)
        return step_key_deny(d, s, S("key_expired"), S("the API key has expired"));
    if (product.n > 0 && !slice_eq(product, d->route->product)) {
        decision_deny(d, 403, S("key_wrong_product"),
                      S("the API key was made for another API product"), s->rule);
        return STEP_DENY;
    }
    if (!step_key_plan_ok(k, e)) {
        decision_deny(d, 403, S("key_wrong_plan"), S("the API key is on a plan that does not include this"), s->rule);
        return STEP_DENY;
    }
    if (k->match_n > 0 && !step_key_matches(d, k, e))
        return step_key_deny(d, s, S("key_header_mismatch"),
                             S("a header of the request is not as the API key says"));
    for (size_t i = 0; i < k->headers_n; i++) {
        struct slice v = step_key_meta(e, k->headers[i].meta);
        if (v.n == 0 && k->headers[i].required)
            return step_key_deny(d, s, S("metadata_missing"),
                                 S("the API key lacks metadata that this policy requires"));
        if (!http_value_ok(v)) {
            d->trouble = S("metadata_invalid");
            return STEP_TROUBLE;
        }
    }
    return STEP_PASS;
}

static enum step_said step_key_wrong(struct decision *d, const struct step *s, struct slice key)
{
    d->wrong = true;
    if (step_key_looks_broken(key))
        return step_key_deny(d, s, S("key_malformed"), S("the API key has a typing error"));
    return step_key_deny(d, s, S("key_unknown"), S("nobody has this API key"));
}

enum step_said step_key_run(struct decision *d, const struct step *s)
{
    const struct key_step *k = s->data;
    const struct key_entry *e = NULL;
    enum step_said said;
    size_t n = 0;
    struct slice key = decision_only_header(d, k->header, &n);
    enum rc rc;

    if (n > 1)
        return step_key_deny(d, s, S("key_duplicate"), S("the API key header was sent twice"));
    if (key.n == 0)
        return step_key_deny(d, s, S("key_missing"), S("the request has no API key"));
    if (UNLIKELY(throttle_refuses(d, s, S(""), key)))
        return STEP_DENY;
    rc = step_key_find(d, k, key, &e);
    if (rc == RC_NOTFOUND)
        return step_key_wrong(d, s, key);
    if (rc != RC_OK) {
        d->trouble = S("key_trouble");
        return STEP_TROUBLE;
    }
    said = step_key_check(d, s, e);
    if (said != STEP_PASS)
        return said;
    throttle_right(d, key);
    step_key_identify(d, e);
    step_key_headers(d, k);
    decision_state_put(d, S("api_key_value"), json_text(d->arena, key)); /* as in Gloo */
    return STEP_PASS;
}
