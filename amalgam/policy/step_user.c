/*
 * step_user.c - what the steps share that learn a user's name from credentials in a header.
 *
 * basicAuth, hmacAuth and ldap: the same refusals (401, empty body, a challenge; one reason for a wrong
 * name and a wrong password), the same identity afterwards: the verdict's user, `username` in the state,
 * and the header that the policy names. The header with the credentials is removed unless the policy says
 * otherwise. Credentials are never logged, traced or put into a text. Threads: the context's; nothing is
 * kept. Tested through the steps, tests/unit/policy/test_basic.c and its neighbours.
 */
#include "policy/inside.h"
#include "wire/cred.h"

bool header_can_be_set(struct slice name)
{
    static const char *const framing[] = {"host", "connection", "content-length", "te", "upgrade",
                                          "transfer-encoding", "trailer", "keep-alive",
                                          /* between Postern and the gateway */
                                          "x-postern-decision", "x-postern-reason", "x-postern-status",
                                          "x-envoy-auth-headers-to-remove"};

    if (!http_token_ok(name))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(framing); i++)
        if (slice_eq_ci(name, slice_str(framing[i])))
            return false;
    return true;
}

bool user_realm(struct load *l, const struct field_in *in, const struct yaml *y, struct slice realm,
                struct slice *challenge)
{
    struct buf b;

    if (!http_value_ok(realm) || !slice_utf8(realm) || realm.n > 256) {
        fault_add(in, false, y, NULL, "realm: expected at most 256 bytes of text in one line");
        return false;
    }
    buf_init(&b, 2048);
    buf_lit(&b, "Basic realm=\"");
    for (size_t i = 0; i < realm.n; i++) {
        if (realm.p[i] == '"' || realm.p[i] == '\\')
            buf_byte(&b, '\\');
        buf_byte(&b, realm.p[i]);
    }
    buf_byte(&b, '"');
    *challenge = arena_dup(&l->set->arena, buf_all(&b));
    buf_free(&b);
    return true;
}

bool user_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                  const struct user_doc *doc, struct slice challenge, struct user_step *u,
                  struct step *out)
{
    struct slice *name = ARENA_NEW(&l->set->arena, struct slice);

    u->header = doc->header;
    u->challenge = challenge;
    if (doc->header.n > 0 && !header_can_be_set(doc->header)) {
        fault_add(in, false, y, NULL, "userHeader \"%.*s\" cannot be set as a header",
                  SFMT(slice_sub(doc->header, 0, 60)));
        return false;
    }
    *name = doc->header;
    out->identity = name;
    out->identity_n = doc->header.n > 0;
    out->credential = doc->keep ? S("") : S("authorization");
    return true;
}

bool user_secret(struct load *l, const struct field_in *in, const struct yaml *y,
                 const struct doc_ref *ref, const struct step *s, struct slice *name,
                 struct slice *password)
{
    struct slice rest, ns = slice_cut(s->policy, '.', &rest); /* a namespace has no dot */
    const struct secret *secret = secret_find(l, in, y, false, ref, ns);

    if (!secret)
        return false;
    *name = secret_value(secret, S("username"));
    *password = secret_value(secret, S("password"));
    if (name->n > 0 && password->n > 0)
        return true;
    fault_add(in, false, y, NULL, "Secret %.*s: expected username and password in it",
              SFMT(slice_sub(ref->name, 0, 80)));
    return false;
}

enum step_said user_deny(struct decision *d, const struct step *s, const struct user_step *u,
                         struct slice reason, struct slice words)
{
    decision_deny(d, 401, reason, words, s->rule);
    decision_client(d, S("www-authenticate"), u->challenge);
    return STEP_DENY;
}

void user_identify(struct decision *d, const struct user_step *u, struct slice name)
{
    d->v->user = name;
    decision_state_put(d, S("username"), json_text(d->arena, name));
    if (u->header.n > 0)
        decision_upstream(d, u->header, name, HEADER_SET);
}

enum rc user_basic(struct decision *d, const struct step *s, const struct user_step *u, char *dst,
                   struct slice *name, struct slice *password)
{
    size_t n = 0;
    struct slice header = decision_only_header(d, S("authorization"), &n);
    enum rc rc = n > 1 ? RC_CONFLICT : basic_read(header, dst, name, password);

    if (rc == RC_CONFLICT)
        (void)user_deny(d, s, u, S("credentials_duplicate"), S("Authorization was sent twice"));
    else if (rc == RC_NOTFOUND)
        (void)user_deny(d, s, u, S("credentials_missing"), S("the request has no Basic credentials"));
    else if (rc != RC_OK)
        (void)user_deny(d, s, u, S("credentials_malformed"), S("the Basic credentials are malformed"));
    return rc;
}
