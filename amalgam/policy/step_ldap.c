/*
 * step_ldap.c - ldap: a user name and a password, checked by a directory; which groups count.
 *
 * Gloo's flow: the Basic credentials are bound as the name that userDnTemplate makes of the user, then
 * that entry is read for its groups, one of which must be allowed. The user's name is escaped (RFC 4514),
 * so it can only ever be a value; it has one spelling (ASCII, lower case) for the bind and for the
 * principal alike. An empty password never gets to the directory, which would take it for an anonymous bind
 * and say yes. What the directory cannot decide is trouble, never an answer: 403, not Gloo's 500.
 * Data: struct ldap_step in the set. Threads: the context's. Tested by tests/unit/policy/test_ldap.c and
 * tests/box/test_ldap.py; manual: docs/step-ldap.md.
 */
#include "base/log.h"
#include "policy/inside.h"
#include "policy/ldap_link.h"
#include "wire/cred.h"

enum { STEP_LDAP_CONNS = 5, STEP_LDAP_DN_MAX = 512, STEP_LDAP_TIMEOUT_MS = 5000, STEP_LDAP_TIMEOUT_MS_MAX = 60000 };

struct step_ldap_pool {
    int64_t max, initial;
};
struct step_ldap_lookup {
    struct doc_ref *secret;
    bool account;
};
struct step_ldap_doc {
    struct slice address, template, attribute, filter, realm, timeout;
    struct field_strs groups;
    bool no_groups, start_tls;
    struct step_ldap_pool *pool;
    struct step_ldap_lookup *lookup;
    struct user_doc user;
};

struct ldap_step {
    struct user_step user;
    struct ldap_host host;
    struct slice before, behind; /* of the user in its name */
    struct slice filter;         /* as it is sent; "": groups do not matter */
    struct slice attribute;
    const struct slice *groups;
    size_t groups_n;
    struct slice account_dn, account_password;
};

/* clang-format off */
static const struct field_row step_ldap_ref_rows[] = {USER_REF_ROWS};
static const struct field_table step_ldap_ref_table = {sizeof(struct doc_ref), step_ldap_ref_rows, ARRAY_LEN(step_ldap_ref_rows)};
static const struct field_row step_ldap_pool_rows[] = {
    {"maxSize", FIELD_INT, offsetof(struct step_ldap_pool, max), 0, 1, 1000, NULL, NULL, "connections to the directory, for each of our threads; 5 when absent"},
    {"initialSize", FIELD_INT, offsetof(struct step_ldap_pool, initial), 0, 0, 1000, NULL, NULL, "read; connections are made when they are needed"},
};
static const struct field_table step_ldap_pool_table = {sizeof(struct step_ldap_pool), step_ldap_pool_rows, ARRAY_LEN(step_ldap_pool_rows)};
static const struct field_row step_ldap_lookup_rows[] = {
    {"credentialsSecretRef", FIELD_OBJ, offsetof(struct step_ldap_lookup, secret), 0, 0, 0, &step_ldap_ref_table, NULL, "Secret of the service account: username is its name in the directory, password"},
    {"checkGroupsWithServiceAccount", FIELD_BOOL, offsetof(struct step_ldap_lookup, account), 0, 0, 0, NULL, NULL, "read the groups as the service account, not as the user"},
};
static const struct field_table step_ldap_lookup_table = {sizeof(struct step_ldap_lookup), step_ldap_lookup_rows, ARRAY_LEN(step_ldap_lookup_rows)};
static const struct field_row step_ldap_rows[] = {
    {"address", FIELD_STR, offsetof(struct step_ldap_doc, address), FIELD_REQUIRED, 0, 0, NULL, NULL, "host:port, ldap://host[:port] or ldaps://host[:port]"},
    {"startTls", FIELD_BOOL, offsetof(struct step_ldap_doc, start_tls), 0, 0, 0, NULL, NULL, "TLS on an ldap:// connection before anything else is said; not with ldaps:// (Postern's own)"},
    {"userDnTemplate", FIELD_STR, offsetof(struct step_ldap_doc, template), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of a user's entry, with one %s for the user"},
    {"membershipAttributeName", FIELD_STR, offsetof(struct step_ldap_doc, attribute), 0, 0, 0, NULL, NULL, "attribute with the groups; memberOf when absent"},
    {"allowedGroups", FIELD_STRS, offsetof(struct step_ldap_doc, groups), 0, 0, 0, NULL, NULL, "names of groups, one of which the user must be in"},
    {"searchFilter", FIELD_STR, offsetof(struct step_ldap_doc, filter), 0, 0, 0, NULL, NULL, "filter that the entry must satisfy; (uid=*) when absent"},
    {"disableGroupChecking", FIELD_BOOL, offsetof(struct step_ldap_doc, no_groups), 0, 0, 0, NULL, NULL, "the password is enough; nothing is read"},
    {"pool", FIELD_OBJ, offsetof(struct step_ldap_doc, pool), 0, 0, 0, &step_ldap_pool_table, NULL, "connections"},
    {"groupLookupSettings", FIELD_OBJ, offsetof(struct step_ldap_doc, lookup), 0, 0, 0, &step_ldap_lookup_table, NULL, "who reads the groups"},
    {"realm", FIELD_STR, offsetof(struct step_ldap_doc, realm), 0, 0, 0, NULL, NULL, "what the browser shows people whom it asks (Postern's own)"},
    {"requestTimeout", FIELD_STR, offsetof(struct step_ldap_doc, timeout), 0, 0, 0, NULL, NULL, "time for a whole check by the directory; 5s when absent, 60s at most (Postern's own)"},
    USER_ROWS(offsetof(struct step_ldap_doc, user.header), offsetof(struct step_ldap_doc, user.keep)),
};
/* clang-format on */
static const struct field_table step_ldap_table = {sizeof(struct step_ldap_doc), step_ldap_rows,
                                                   ARRAY_LEN(step_ldap_rows)};

const struct field_table *step_ldap_fields(void)
{
    return &step_ldap_table;
}

/* ---- compiling ---- */

static bool step_ldap_address(const struct field_in *in, const struct yaml *y, struct slice text,
                              struct ldap_host *h)
{
    struct slice port = S("");
    uint64_t n = 0;
    size_t colon;

    h->tls = slice_starts_ci(text, S("ldaps://"));
    text = slice_from(text, h->tls ? 8 : slice_starts_ci(text, S("ldap://")) ? 7 : 0);
    if (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    h->name = text;
    colon = slice_rindex(text, ':');
    if (text.n > 0 && text.p[0] == '[') {
        size_t end = slice_index(text, ']');
        h->name = slice_sub(text, 1, end == SIZE_MAX ? 0 : end - 1);
        port = slice_from(text, end == SIZE_MAX ? text.n : end + 1);
        port = port.n > 0 && port.p[0] == ':' ? slice_from(port, 1) : port;
    } else if (colon != SIZE_MAX) {
        h->name = slice_sub(text, 0, colon);
        port = slice_from(text, colon + 1);
    }
    h->port = h->tls ? 636 : 389;
    if (port.n > 0 && slice_u64(port, &n) && n > 0 && n < 65536)
        h->port = (int)n;
    else if (port.n > 0 || colon == text.n - 1)
        h->name.n = 0;
    for (size_t i = 0; i < h->name.n; i++)
        if (!ascii_alpha(h->name.p[i]) && !ascii_digit(h->name.p[i]) && !strchr("-._:", h->name.p[i]))
            h->name.n = 0;
    if (h->name.n == 0 || h->name.n > 253)
        fault_add(in, false, y, NULL, "address: expected host:port, ldap://host or ldaps://host, found \"%.*s\"",
                  SFMT(slice_sub(text, 0, 80)));
    return h->name.n > 0 && h->name.n <= 253;
}

static bool step_ldap_tls(const struct field_in *in, const struct yaml *y, bool start, struct ldap_host *h)
{
    h->start_tls = start;
    if (start && h->tls)
        fault_add(in, false, y, NULL, "startTls: ldaps:// is TLS from the beginning; take ldap:// or leave startTls out");
    return !(start && h->tls);
}

static bool step_ldap_template(const struct field_in *in, const struct yaml *y, struct slice t,
                               struct ldap_step *s)
{
    size_t at = slice_find(t, S("%s"));

    if (at == SIZE_MAX || slice_find(slice_from(t, at + 2), S("%s")) != SIZE_MAX || t.n > STEP_LDAP_DN_MAX) {
        fault_add(in, false, y, NULL, "userDnTemplate: expected one %%s, as in uid=%%s,ou=people,dc=example,dc=com");
        return false;
    }
    s->before = slice_sub(t, 0, at);
    s->behind = slice_from(t, at + 2);
    return true;
}

static bool step_ldap_groups(struct load *l, const struct field_in *in, const struct yaml *y,
                             const struct step_ldap_doc *d, struct ldap_step *s)
{
    struct err e = {0};
    struct buf b;

    if (d->no_groups)
        return true;
    s->groups = d->groups.v;
    s->groups_n = d->groups.n;
    s->attribute = d->attribute.n ? d->attribute : S("memberOf");
    if (s->groups_n == 0) {
        fault_add(in, false, y, NULL, "expected allowedGroups, or disableGroupChecking: true when the password is enough");
        return false;
    }
    buf_init(&b, 1 << 16);
    if (ldap_filter(d->filter.n ? d->filter : S("(uid=*)"), &b, &e) == RC_OK)
        s->filter = arena_dup(&l->set->arena, buf_all(&b));
    else
        fault_add(in, false, y, NULL, "searchFilter: %s", e.text);
    buf_free(&b);
    return s->filter.n > 0;
}

static bool step_ldap_account(struct load *l, const struct field_in *in, const struct yaml *y,
                              const struct step_ldap_lookup *d, const struct step *out, struct ldap_step *s)
{
    if (!d || !d->account)
        return true;
    if (d->secret)
        return user_secret(l, in, y, d->secret, out, &s->account_dn, &s->account_password);
    fault_add(in, false, y, NULL, "groupLookupSettings: checkGroupsWithServiceAccount needs credentialsSecretRef");
    return false;
}

static bool step_ldap_timeout(const struct field_in *in, const struct yaml *y, struct slice text,
                              struct ldap_host *h)
{
    h->timeout_ms = STEP_LDAP_TIMEOUT_MS;
    if (text.n == 0 || (slice_duration_ms(text, &h->timeout_ms) && h->timeout_ms > 0 &&
                        h->timeout_ms <= STEP_LDAP_TIMEOUT_MS_MAX))
        return true;
    fault_add(in, false, y, NULL, "requestTimeout: expected a time up to 60s, as in 5s or 500ms");
    return false;
}

bool step_ldap_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                       struct step *out)
{
    const struct step_ldap_doc *d = doc;
    struct ldap_step *s = ARENA_NEW(&l->set->arena, struct ldap_step);
    struct slice challenge;

    out->data = s;
    s->filter = s->account_dn = s->account_password = S("");
    s->host.conns_max = d->pool && d->pool->max ? (size_t)d->pool->max : STEP_LDAP_CONNS;
    return step_ldap_address(in, y, d->address, &s->host) && step_ldap_tls(in, y, d->start_tls, &s->host) && step_ldap_template(in, y, d->template, s) &&
           step_ldap_timeout(in, y, d->timeout, &s->host) && step_ldap_groups(l, in, y, d, s) &&
           step_ldap_account(l, in, y, d->lookup, out, s) && user_realm(l, in, y, d->realm, &challenge) &&
           user_compile(l, in, y, &d->user, challenge, &s->user, out);
}

/* ---- running ---- */

struct step_ldap_wait { /* d->wait */
    struct ldap_ask ask;
    struct decision *d;
    struct slice user;
};

/* One spelling, and only what every directory takes for the same. */
static bool step_ldap_user(struct slice name, char canon[BASIC_USER_MAX], struct slice *user)
{
    *user = user_canon(name, canon);
    return user->n > 0 && slice_printable(*user);
}

static void step_ldap_done(struct ldap_ask *a)
{
    decision_wake(CONTAINER_OF(a, struct step_ldap_wait, ask)->d);
}

static void step_ldap_begin(struct decision *d)
{
    const struct ldap_step *s = d->at->data;
    struct step_ldap_wait *w = ARENA_NEW(d->arena, struct step_ldap_wait);
    char text[BASIC_BYTES_MAX], canon[BASIC_USER_MAX], escaped[LDAP_ESCAPED_MAX];
    struct slice name, password, dn;
    size_t n;

    MUST(basic_read(decision_only_header(d, S("authorization"), &n), text, &name, &password) == RC_OK);
    MUST(step_ldap_user(name, canon, &name));
    dn = ldap_dn_escape(name, escaped);
    w->d = d;
    w->user = arena_dup(d->arena, name);
    w->ask = (struct ldap_ask){.host = &s->host, .password = arena_dup(d->arena, password), .filter = s->filter,
                               .attribute = s->attribute, .account_dn = s->account_dn,
                               .account_password = s->account_password, .arena = d->arena, .done = step_ldap_done};
    w->ask.dn = arena_fmt(d->arena, "%.*s%.*s%.*s", SFMT(s->before), SFMT(dn), SFMT(s->behind));
    mem_wipe(text, sizeof text);
    d->wait = w;
    ldap_start(d->c, &w->ask);
}

static bool step_ldap_is_member(const struct ldap_step *s, const struct ldap_ask *a)
{
    for (size_t i = 0; i < a->values_n; i++)
        for (size_t k = 0; k < s->groups_n; k++)
            if (ldap_dn_same(a->values[i], s->groups[k]))
                return true;
    return false;
}

static enum step_said step_ldap_trouble(struct decision *d, const struct step *s, struct slice reason,
                                        const char *why)
{
    d->trouble = reason;
    d->v->words = arena_fmt(d->arena, "LDAP: %s", why);
    if (d->c->now_ms - d->c->trouble_log_ms >= 1000) {
        d->c->trouble_log_ms = d->c->now_ms;
        log_event(LOG_WARN, "policy.ldap_trouble", "policy=%.*s decision=%s text=%s", SFMT(s->policy), d->v->id,
                  log_quote(slice_str(why)));
    }
    return STEP_TROUBLE;
}

/* The groups, for later steps. */
static void step_ldap_groups_state(struct decision *d, const struct ldap_ask *a)
{
    struct json *list = ARENA_NEW(d->arena, struct json);

    list->kind = JSON_ARR;
    list->items = ARENA_ARRAY(d->arena, struct json, a->values_n + 1);
    for (size_t i = 0; i < a->values_n; i++)
        if (slice_utf8(a->values[i]))
            list->items[list->n++] = *json_text(d->arena, a->values[i]);
    decision_state_put(d, S("groups"), list);
}

static enum step_said step_ldap_judge(struct decision *d, const struct step *s, const struct step_ldap_wait *w)
{
    const struct ldap_step *l = s->data;
    const struct ldap_ask *a = &w->ask;
    size_t n;

    switch (a->said) {
    case LDAP_SAID_WRONG:
        d->wrong = true;
        return user_deny(d, s, &l->user, S("credentials_wrong"), S("name or password is wrong"));
    case LDAP_SAID_ACCOUNT:
        return step_ldap_trouble(d, s, S("ldap_account"), "the directory refuses the service account");
    case LDAP_SAID_BUSY:
        return step_ldap_trouble(d, s, S("ldap_busy"), a->why);
    case LDAP_SAID_TROUBLE:
        return step_ldap_trouble(d, s, S("ldap_trouble"), a->why);
    case LDAP_SAID_RIGHT:
        throttle_right(d, decision_only_header(d, S("authorization"), &n));
        break;
    }
    if (l->filter.n > 0 && !(a->found && step_ldap_is_member(l, a))) {
        decision_deny(d, 403, S("group_missing"), S("the user is in none of the groups that are allowed"), s->rule);
        return STEP_DENY;
    }
    if (l->filter.n > 0)
        step_ldap_groups_state(d, a);
    user_identify(d, &l->user, w->user);
    return STEP_PASS;
}

enum step_said step_ldap_run(struct decision *d, const struct step *s)
{
    const struct ldap_step *l = s->data;
    char text[BASIC_BYTES_MAX], canon[BASIC_USER_MAX];
    struct slice name, password;
    bool may_be;
    size_t n;

    if (d->wait)
        return step_ldap_judge(d, s, d->wait);
    if (user_basic(d, s, &l->user, text, &name, &password) != RC_OK)
        return STEP_DENY;
    may_be = step_ldap_user(name, canon, &name) && password.n > 0;
    mem_wipe(text, sizeof text);
    if (!may_be) /* a bind without a password is an anonymous one, and succeeds */
        return user_deny(d, s, &l->user, S("credentials_wrong"), S("name or password is wrong"));
    if (!d->c->opts.reactor)
        return step_ldap_trouble(d, s, S("no_outbound"), "other servers cannot be asked from here");
    if (throttle_refuses(d, s, name, decision_only_header(d, S("authorization"), &n)))
        return STEP_DENY;
    d->begin = step_ldap_begin;
    return STEP_WAIT;
}
