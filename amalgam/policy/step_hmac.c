/*
 * step_hmac.c - hmacAuth: the client signs headers of its request with a secret that both sides have.
 *
 * The form is that of Kong's hmac-auth plugin: `hmac username="…", algorithm="hmac-sha256",
 * headers="date host request-line", signature="<base64>"` in Authorization or Proxy-Authorization; what
 * is signed are the listed headers as `name: value` by newlines, `request-line` standing for the first
 * line of the request. Stricter than there: the date is always among what is signed, a listed header must
 * be there once, a digest that was signed must be that of the body when the gateway sends one. A name that
 * nobody has costs the same MAC. Secrets come from Secret documents and are never shown.
 * Data: struct hmac_step in the set. Threads: the context's. Tested by tests/unit/policy/test_hmac.c;
 * manual: docs/step-hmac.md.
 */
#include "base/clock.h"
#include "policy/inside.h"
#include "wire/cred.h"

enum {
    STEP_HMAC_SIGNED_MAX = 32,
    STEP_HMAC_HEADER_MAX = 8192,
    STEP_HMAC_SKEW_S = 300,
    STEP_HMAC_VERSIONS = 4
};

struct step_hmac_refs {
    struct field_list refs; /* struct doc_ref */
};
struct step_hmac_doc {
    struct step_hmac_refs *secrets;
    const struct yaml *in_headers;
    struct field_strs algorithms, enforce;
    int64_t skew_s;
    bool body;
    struct user_doc user;
};

struct hmac_user {
    struct slice name, secret;
};
struct hmac_step {
    struct user_step user;
    struct hmac_user *users;
    size_t users_n;
    struct map *by_name; /* one spelling -> struct hmac_user */
    unsigned algorithms; /* bits by mac_kind */
    int64_t skew_ms;
    const struct slice *enforce;
    size_t enforce_n;
    bool body, keep;
};

/* clang-format off */
static const struct field_row step_hmac_ref_rows[] = {USER_REF_ROWS};
static const struct field_table step_hmac_ref_table = {sizeof(struct doc_ref), step_hmac_ref_rows, ARRAY_LEN(step_hmac_ref_rows)};
static const struct field_row step_hmac_refs_rows[] = {
    {"secretRefs", FIELD_LIST, offsetof(struct step_hmac_refs, refs), FIELD_REQUIRED, 0, 0, &step_hmac_ref_table, NULL, "Secrets with username and password"},
};
static const struct field_table step_hmac_refs_table = {sizeof(struct step_hmac_refs), step_hmac_refs_rows, ARRAY_LEN(step_hmac_refs_rows)};
static const struct field_row step_hmac_rows[] = {
    {"secretRefs", FIELD_OBJ, offsetof(struct step_hmac_doc, secrets), FIELD_REQUIRED, 0, 0, &step_hmac_refs_table, NULL, "whose secrets count"},
    {"parametersInHeaders", FIELD_NODE, offsetof(struct step_hmac_doc, in_headers), 0, 0, 0, NULL, NULL, "{}: the parameters are in Authorization or Proxy-Authorization; there is no other place"},
    {"algorithms", FIELD_STRS, offsetof(struct step_hmac_doc, algorithms), 0, 0, 0, NULL, NULL, "some of hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512; all when absent (Postern's own)"},
    {"clockSkewSeconds", FIELD_INT, offsetof(struct step_hmac_doc, skew_s), 0, 1, 86400, NULL, NULL, "how far the request's date may be from ours; 300 when absent (Postern's own)"},
    {"enforceHeaders", FIELD_STRS, offsetof(struct step_hmac_doc, enforce), 0, 0, 0, NULL, NULL, "headers that must be signed, besides the date (Postern's own)"},
    {"validateRequestBody", FIELD_BOOL, offsetof(struct step_hmac_doc, body), 0, 0, 0, NULL, NULL, "a signed digest must cover the body, which the gateway must send (Postern's own)"},
    USER_ROWS(offsetof(struct step_hmac_doc, user.header), offsetof(struct step_hmac_doc, user.keep)),
};
/* clang-format on */
static const struct field_table step_hmac_table = {sizeof(struct step_hmac_doc), step_hmac_rows,
                                                   ARRAY_LEN(step_hmac_rows)};
static const struct slice step_hmac_algorithms[] = {SLIT("hmac-sha1"), SLIT("hmac-sha256"),
                                                    SLIT("hmac-sha384"), SLIT("hmac-sha512")};

const struct field_table *step_hmac_fields(void)
{
    return &step_hmac_table;
}

/* ---- compiling ---- */

static int step_hmac_algorithm(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(step_hmac_algorithms); i++)
        if (slice_eq_ci(name, step_hmac_algorithms[i]))
            return (int)i;
    return -1;
}

static bool step_hmac_settings(const struct field_in *in, const struct yaml *y,
                               const struct step_hmac_doc *d, struct hmac_step *h)
{
    for (size_t i = 0; i < d->algorithms.n; i++) {
        int kind = step_hmac_algorithm(d->algorithms.v[i]);
        if (kind < 0) {
            fault_add(in, false, y, NULL, "algorithms: \"%.*s\" is none of hmac-sha1, hmac-sha256, hmac-sha384, "
                      "hmac-sha512", SFMT(slice_sub(d->algorithms.v[i], 0, 40)));
            return false;
        }
        h->algorithms |= 1u << kind;
    }
    if (h->algorithms == 0)
        h->algorithms = 15;
    for (size_t i = 0; i < d->enforce.n; i++)
        if (!http_token_ok(d->enforce.v[i]) && !slice_eq(d->enforce.v[i], S("@request-target"))) {
            fault_add(in, false, y, NULL, "enforceHeaders: \"%.*s\" is no header name",
                      SFMT(slice_sub(d->enforce.v[i], 0, 60)));
            return false;
        }
    h->enforce = d->enforce.v;
    h->enforce_n = d->enforce.n;
    h->skew_ms = (d->skew_s ? d->skew_s : STEP_HMAC_SKEW_S) * 1000;
    h->body = d->body;
    h->keep = d->user.keep;
    return true;
}

static bool step_hmac_users(struct load *l, const struct field_in *in, const struct yaml *y,
                            const struct field_list *refs, const struct step *s, struct hmac_step *h)
{
    h->users = ARENA_ARRAY(&l->set->arena, struct hmac_user, refs->n + 1);
    h->by_name = set_map_new(l->set);
    for (size_t i = 0; i < refs->n; i++) {
        struct hmac_user *u = &h->users[h->users_n++];
        char canon[BASIC_USER_MAX];
        if (!user_secret(l, in, y, refs->items[i], s, &u->name, &u->secret))
            return false;
        if (u->name.n > BASIC_USER_MAX || !http_value_ok(u->name)) {
            fault_add(in, false, y, NULL, "a username has at most %d bytes and no control characters", BASIC_USER_MAX);
            return false;
        }
        if (map_put(h->by_name, arena_dup(&l->set->arena, user_canon(u->name, canon)), u)) {
            fault_add(in, false, y, NULL, "two Secrets have the username %.*s: case and outer spaces do not count",
                      SFMT(u->name));
            return false;
        }
    }
    if (h->users_n == 0)
        fault_add(in, false, y, NULL, "secretRefs.secretRefs: expected at least one Secret");
    return h->users_n > 0;
}

bool step_hmac_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                       struct step *out)
{
    const struct step_hmac_doc *d = doc;
    struct hmac_step *h = ARENA_NEW(&l->set->arena, struct hmac_step);

    out->data = h;
    return user_compile(l, in, y, &d->user, S("hmac realm=\"\""), &h->user, out) &&
           step_hmac_settings(in, y, d, h) && step_hmac_users(l, in, y, &d->secrets->refs, out, h);
}

/* ---- reading the request ---- */

struct hmac_ask {
    struct slice user, signature;
    int algorithm;
    struct slice signed_names[STEP_HMAC_SIGNED_MAX];
    size_t signed_n;
    bool proxy; /* in Proxy-Authorization */
};

static enum step_said step_hmac_deny(struct decision *d, const struct step *s, struct slice reason,
                                     struct slice words)
{
    return user_deny(d, s, &((const struct hmac_step *)s->data)->user, reason, words);
}

/* The header with the parameters: the one of the two that has our scheme. */
static bool step_hmac_header(struct decision *d, const struct step *s, struct hmac_ask *a,
                             struct slice *params)
{
    static const struct slice names[] = {SLIT("authorization"), SLIT("proxy-authorization")};
    size_t found = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = 0;
        struct slice rest, header = decision_only_header(d, names[i], &n);
        if (!slice_eq_ci(slice_cut(header, ' ', &rest), S("hmac")))
            continue;
        found += n;
        *params = rest;
        a->proxy = i == 1;
    }
    if (found == 0)
        (void)step_hmac_deny(d, s, S("credentials_missing"), S("the request has no signature"));
    if (found > 1)
        (void)step_hmac_deny(d, s, S("credentials_duplicate"), S("the signature was sent twice"));
    return found == 1;
}

static bool step_hmac_names(struct slice list, struct hmac_ask *a)
{
    while (list.n > 0) {
        struct slice name = slice_cut(list, ' ', &list);
        if (name.n == 0)
            continue;
        for (size_t i = 0; i < a->signed_n; i++)
            if (slice_eq_ci(a->signed_names[i], name))
                return false;
        if (a->signed_n == STEP_HMAC_SIGNED_MAX)
            return false;
        a->signed_names[a->signed_n++] = name;
    }
    return a->signed_n > 0;
}

/* Each parameter at most once; what is not known is passed over. */
static bool step_hmac_params(struct slice rest, struct hmac_ask *a)
{
    struct slice algorithm = S(""), headers = S(""), name, value;
    struct {
        struct slice name, *to;
    } known[] = {{S("username"), &a->user}, {S("algorithm"), &algorithm}, {S("headers"), &headers},
                 {S("signature"), &a->signature}};
    bool seen[ARRAY_LEN(known)] = {false};
    enum rc rc;

    if (rest.n > STEP_HMAC_HEADER_MAX)
        return false;
    while ((rc = auth_param_next(&rest, &name, &value)) == RC_OK) {
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            if (!slice_eq_ci(name, known[i].name))
                continue;
            if (seen[i])
                return false;
            seen[i] = true;
            *known[i].to = value;
        }
    }
    a->algorithm = step_hmac_algorithm(algorithm);
    return rc == RC_NOTFOUND && a->user.n > 0 && a->user.n <= BASIC_USER_MAX && a->signature.n > 0 &&
           a->algorithm >= 0 && step_hmac_names(seen[2] ? headers : S("date"), a);
}

static bool step_hmac_is_signed(const struct hmac_ask *a, struct slice name)
{
    for (size_t i = 0; i < a->signed_n; i++)
        if (slice_eq_ci(a->signed_names[i], name))
            return true;
    return false;
}

/* ---- what must be signed, and when ---- */

/* X-Date stands for Date where a client cannot set that. The one that counts must be signed. */
static bool step_hmac_date(struct decision *d, const struct step *s, const struct hmac_ask *a)
{
    const struct hmac_step *h = s->data;
    size_t n = 0;
    struct slice name = S("x-date"), value = decision_only_header(d, name, &n);
    int64_t at = 0;

    if (n == 0) {
        name = S("date");
        value = decision_only_header(d, name, &n);
    }
    if (n != 1 || !clock_parse_http_date(value, &at) || at > d->c->now_ms + h->skew_ms ||
        at < d->c->now_ms - h->skew_ms) {
        (void)step_hmac_deny(d, s, S("date_skew"), S("Date or X-Date is missing, malformed or too far from now"));
        return false;
    }
    if (!step_hmac_is_signed(a, name)) {
        (void)step_hmac_deny(d, s, S("not_signed"), S("the date is not among what was signed"));
        return false;
    }
    return true;
}

static bool step_hmac_enforced(struct decision *d, const struct step *s, const struct hmac_ask *a)
{
    const struct hmac_step *h = s->data;

    for (size_t i = 0; i < h->enforce_n; i++) {
        struct slice name = h->enforce[i];
        if (step_hmac_is_signed(a, name) ||
            (slice_eq_ci(name, S("date")) && step_hmac_is_signed(a, S("x-date"))))
            continue;
        (void)step_hmac_deny(d, s, S("not_signed"), S("a header that must be signed was not"));
        return false;
    }
    return true;
}

/* ---- the signature ---- */

/* One line of what was signed; NULL when the header is not there exactly once. */
static struct slice step_hmac_line(struct decision *d, struct slice name, struct slice version)
{
    struct slice value, m = d->ask->method;
    size_t n = 0;

    if (slice_eq_ci(name, S("request-line")))
        return arena_fmt(d->arena, "%.*s %.*s HTTP/%.*s", SFMT(m), SFMT(d->ask->target), SFMT(version));
    if (slice_eq_ci(name, S("@request-target")) || slice_eq_ci(name, S("(request-target)"))) {
        char *lower = arena_cstr(d->arena, m);
        for (size_t i = 0; i < m.n; i++)
            lower[i] = ascii_lower(lower[i]);
        return arena_fmt(d->arena, "%.*s: %s %.*s", SFMT(name), lower, SFMT(d->ask->target));
    }
    value = decision_only_header(d, name, &n);
    if (slice_eq_ci(name, S("host")) && d->ask->host.n > 0) { /* the header may be that of the gateway's own question */
        value = d->ask->host;
        n = 1;
    }
    return n == 1 ? arena_fmt(d->arena, "%.*s: %.*s", SFMT(name), SFMT(value)) : slice_of(NULL, 0);
}

/* The lines by newlines; NULL when one of them is not there. */
static struct slice step_hmac_text(struct decision *d, const struct hmac_ask *a, struct slice version)
{
    struct slice lines[STEP_HMAC_SIGNED_MAX];
    size_t size = 0, at = 0;
    char *text;

    for (size_t i = 0; i < a->signed_n; i++) {
        lines[i] = step_hmac_line(d, a->signed_names[i], version);
        if (!lines[i].p)
            return slice_of(NULL, 0);
        size += lines[i].n + 1;
    }
    text = arena_alloc(d->arena, size);
    for (size_t i = 0; i < a->signed_n; i++) {
        memcpy(text + at, lines[i].p, lines[i].n);
        at += lines[i].n;
        text[at++] = '\n';
    }
    return slice_of(text, at - 1);
}

/* Which version of HTTP the client wrote into its request line, the gateway does not tell: any will do. */
static bool step_hmac_matches(struct decision *d, const struct hmac_ask *a, struct slice secret,
                              bool *all_there)
{
    static const struct slice versions[STEP_HMAC_VERSIONS] = {SLIT("1.1"), SLIT("2.0"), SLIT("2"), SLIT("1.0")};
    size_t tries = step_hmac_is_signed(a, S("request-line")) ? STEP_HMAC_VERSIONS : 1, n = 0;
    uint8_t given[MAC_BYTES_MAX], mac[MAC_BYTES_MAX];
    bool right = false, decoded = b64_decode(a->signature, given, sizeof given, &n) == RC_OK;

    for (size_t i = 0; i < tries; i++) {
        struct slice text = step_hmac_text(d, a, versions[i]);
        *all_there = text.p != NULL;
        if (!text.p)
            return false;
        size_t size = hmac_of((enum mac_kind)a->algorithm, secret, text, mac);
        right |= decoded && slice_eq_secret(slice_of((const char *)mac, size), slice_of((const char *)given, n));
    }
    mem_wipe(mac, sizeof mac);
    return right;
}

/* The user who signed, or NULL: it was refused. */
static const struct hmac_user *step_hmac_judge(struct decision *d, const struct step *s,
                                               const struct hmac_ask *a)
{
    const struct hmac_step *h = s->data;
    char canon[BASIC_USER_MAX];
    const struct hmac_user *u = map_get(h->by_name, user_canon(a->user, canon));
    bool all_there = false, right = step_hmac_matches(d, a, u ? u->secret : h->users[0].secret, &all_there);

    if (!all_there)
        (void)step_hmac_deny(d, s, S("signed_header_missing"), S("a header that was signed is not there, or twice"));
    else if (!u || !right)
        (void)step_hmac_deny(d, s, S("credentials_wrong"), S("name or signature is wrong"));
    d->wrong = all_there && (!u || !right);
    return all_there && right ? u : NULL;
}

/* ---- the body ---- */

/* Digest (RFC 3230) of SHA-256 and the body; other algorithms beside it are passed over. */
static bool step_hmac_digest_ok(struct slice header, struct slice body)
{
    uint8_t given[32], sum[32];
    size_t n = 0, found = 0;
    bool same = false;

    sha256(body, sum);
    while (header.n > 0) {
        struct slice value, name = slice_cut(slice_trim(slice_cut(header, ',', &header)), '=', &value);
        if (!slice_eq_ci(name, S("sha-256")))
            continue;
        same = b64_decode(value, given, sizeof given, &n) == RC_OK && n == sizeof given &&
               slice_eq_secret(slice_of((const char *)given, n), slice_of((const char *)sum, sizeof sum));
        found++;
    }
    return found == 1 && same;
}

/* A part of the body only, or none although there is one. */
static bool step_hmac_body_is_whole(struct decision *d)
{
    size_t n = 0;
    struct slice partial = decision_only_header(d, S("x-envoy-auth-partial-body"), &n), length;

    if (n > 0 && !slice_eq_ci(partial, S("false")))
        return false;
    if (d->ask->body.n > 0)
        return true;
    if (d->ask->body_hidden)
        return false;
    length = decision_only_header(d, S("content-length"), &n);
    if (n > 0 && !slice_eq(length, S("0")))
        return false;
    (void)decision_only_header(d, S("transfer-encoding"), &n);
    return n == 0;
}

static enum step_said step_hmac_body(struct decision *d, const struct step *s, const struct hmac_ask *a)
{
    const struct hmac_step *h = s->data;
    size_t n = 0;
    struct slice digest = decision_only_header(d, S("digest"), &n), m = d->ask->method;
    bool is_signed = step_hmac_is_signed(a, S("digest")), whole = step_hmac_body_is_whole(d);
    bool reads = slice_eq(m, S("GET")) || slice_eq(m, S("HEAD"));
    bool may_have_one = d->ask->body.n > 0 || slice_eq(m, S("POST")) || slice_eq(m, S("PUT")) || slice_eq(m, S("PATCH"));

    if (!h->body && !(is_signed && whole && d->ask->body.n > 0))
        return STEP_PASS;
    if (!whole && d->ask->body_hidden && reads && n == 0)
        return STEP_PASS; /* a body would mean nothing there */
    if (!whole) {
        d->trouble = S("body_missing");
        return STEP_TROUBLE;
    }
    if (n == 0 && !may_have_one)
        return STEP_PASS;
    if (!is_signed)
        return step_hmac_deny(d, s, S("not_signed"), S("the digest of the body is not among what was signed"));
    if (!step_hmac_digest_ok(digest, d->ask->body))
        return step_hmac_deny(d, s, S("digest_mismatch"), S("the body is not the one whose digest was signed"));
    return STEP_PASS;
}

enum step_said step_hmac_run(struct decision *d, const struct step *s)
{
    const struct hmac_step *h = s->data;
    struct hmac_ask a = {.algorithm = -1};
    const struct hmac_user *u;
    struct slice params = S("");
    char canon[BASIC_USER_MAX];
    enum step_said said;

    if (!step_hmac_header(d, s, &a, &params))
        return STEP_DENY;
    if (!step_hmac_params(params, &a))
        return step_hmac_deny(d, s, S("credentials_malformed"), S("the parameters of the signature are malformed"));
    if (!(h->algorithms & 1u << a.algorithm))
        return step_hmac_deny(d, s, S("algorithm_refused"), S("the policy does not take this algorithm"));
    if (!step_hmac_date(d, s, &a) || !step_hmac_enforced(d, s, &a) ||
        throttle_refuses(d, s, user_canon(a.user, canon), S("")))
        return STEP_DENY;
    u = step_hmac_judge(d, s, &a);
    if (!u)
        return STEP_DENY;
    said = step_hmac_body(d, s, &a);
    if (said != STEP_PASS)
        return said;
    user_identify(d, &h->user, u->name);
    if (a.proxy && !h->keep)
        decision_remove(d, S("proxy-authorization"));
    return STEP_PASS;
}
