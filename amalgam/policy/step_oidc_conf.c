/*
 * step_oidc_conf.c - the YAML of oauth2.oidcAuthorizationCode and oauth2.oauth2 -> struct oidc_step.
 *
 * Field names are Gloo's. Everything that one request could get wrong later is looked at here: URLs, paths,
 * cookie names, header names, parameters that would double our own, Secrets. Called by step_oauth2.c
 * while a set is loaded. Tested by tests/unit/policy/test_oidc_conf.c.
 */
#include "policy/step_oidc.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

struct oidc_conf_override {
    struct slice auth, token, jwks, revoke, end_session;
    struct field_strs methods, algs;
};
struct oidc_conf_key {
    struct doc_ref *ref;
    struct slice valid;
};
struct oidc_conf_client_secret {
    struct doc_ref *ref;
    bool disable;
};
struct oidc_conf_client {
    struct oidc_conf_client_secret *secret;
    struct oidc_conf_key *key;
};
struct oidc_conf_end {
    int method;
};
struct oidc_conf_front {
    struct slice path;
};
struct oidc_conf_claim {
    const struct yaml *self;
    struct slice claim, header;
    bool append;
};
struct oidc_conf_claims {
    struct field_list list; /* struct oidc_conf_claim */
};
struct oidc_conf_headers {
    struct slice id_token, access_token;
    bool bearer;
};
struct oidc_conf_cookie_options {
    struct slice max_age, path, domain;
    bool not_secure, has_path;
    int http_only, same_site;
    const struct yaml *path_node;
};
struct oidc_conf_cookie {
    bool refresh;
    struct slice prefix, target;
};
struct oidc_conf_redis {
    struct slice prefix, name, buffer, target, header;
    int refresh;
};
struct oidc_conf_cipher {
    struct doc_ref *ref;
};
struct oidc_conf_session {
    bool fail_on_fetch;
    struct oidc_conf_cookie_options *options;
    struct oidc_conf_cookie *cookie;
    struct oidc_conf_redis *redis;
    struct oidc_conf_cipher *cipher;
};
struct oidc_conf_auto {
    struct slice space;
};
struct oidc_conf_refetch {
    const struct yaml *never, *always;
    int64_t most;
};
struct oidc_conf_doc {
    struct slice app_url, callback, client_id, issuer, poll, logout, after_logout;
    struct slice auth_endpoint, token_endpoint, revoke_endpoint;
    struct doc_ref *secret;
    bool no_secret, callback_regex;
    struct oidc_conf_client *client;
    struct oidc_conf_override *override;
    struct field_pairs auth_query, token_query, metadata;
    struct field_strs scopes;
    struct oidc_conf_headers *headers;
    struct oidc_conf_claims *id, *access;
    struct oidc_conf_session *session;
    struct oidc_conf_end *end;
    struct oidc_conf_front *front;
    struct oidc_conf_refetch *refetch;
    struct oidc_conf_auto *from_metadata;
    struct slice session_header;
};

/* clang-format off */
#define AT(type, member) offsetof(struct type, member)
#define OIDC_CONF_CODE "read and ignored: scopes are asked for by scopes, and the flow is always that with a code"
#define NOTICE(name, doc) {name, FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, doc}
static const char *const oidc_conf_bools[] = {"true", "false", NULL};
static const char *const oidc_conf_sites[] = {"LaxMode", "StrictMode", "NoneMode", "DefaultMode", NULL};
static const char *const oidc_conf_methods[] = {"GetMethod", "PostMethod", NULL};
static const struct field_row oidc_conf_ref_rows[] = {
    {"name", FIELD_STR, AT(doc_ref, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the Secret"},
    {"namespace", FIELD_STR, AT(doc_ref, ns), 0, 0, 0, NULL, NULL, "its namespace; the policy's when absent"},
};
static const struct field_table oidc_conf_ref = {sizeof(struct doc_ref), oidc_conf_ref_rows, ARRAY_LEN(oidc_conf_ref_rows)};
static const struct field_row oidc_conf_override_rows[] = {
    {"authEndpoint", FIELD_STR, AT(oidc_conf_override, auth), 0, 0, 0, NULL, NULL, "where the browser signs in"},
    {"tokenEndpoint", FIELD_STR, AT(oidc_conf_override, token), 0, 0, 0, NULL, NULL, "where a code becomes tokens"},
    {"jwksUri", FIELD_STR, AT(oidc_conf_override, jwks), 0, 0, 0, NULL, NULL, "where the provider's keys are"},
    {"revocationEndpoint", FIELD_STR, AT(oidc_conf_override, revoke), 0, 0, 0, NULL, NULL, "where tokens are revoked at logout"},
    {"endSessionEndpoint", FIELD_STR, AT(oidc_conf_override, end_session), 0, 0, 0, NULL, NULL, "where the browser is sent at logout"},
    {"authMethods", FIELD_STRS, AT(oidc_conf_override, methods), 0, 0, 0, NULL, NULL, "client_secret_basic, client_secret_post"},
    NOTICE("scopes", OIDC_CONF_CODE), NOTICE("responseTypes", OIDC_CONF_CODE), NOTICE("subjects", OIDC_CONF_CODE),
    NOTICE("claims", OIDC_CONF_CODE),
    {"idTokenAlgs", FIELD_STRS, AT(oidc_conf_override, algs), 0, 0, 0, NULL, NULL, "the only algorithms that id tokens may be signed with"},
};
static const struct field_table oidc_conf_override_table = {sizeof(struct oidc_conf_override), oidc_conf_override_rows, ARRAY_LEN(oidc_conf_override_rows)};
static const struct field_row oidc_conf_secret_rows[] = {
    {"clientSecretRef", FIELD_OBJ, AT(oidc_conf_client_secret, ref), 0, 0, 0, &oidc_conf_ref, NULL, "Secret with client-secret"},
    {"disableClientSecret", FIELD_BOOL, AT(oidc_conf_client_secret, disable), 0, 0, 0, NULL, NULL, "a public client: none"},
};
static const struct field_table oidc_conf_secret = {sizeof(struct oidc_conf_client_secret), oidc_conf_secret_rows, ARRAY_LEN(oidc_conf_secret_rows)};
static const struct field_row oidc_conf_key_rows[] = {
    {"signingKeyRef", FIELD_OBJ, AT(oidc_conf_key, ref), FIELD_REQUIRED, 0, 0, &oidc_conf_ref, NULL, "Secret with signing-key (PEM) and, if the provider wants it, kid"},
    {"validFor", FIELD_STR, AT(oidc_conf_key, valid), 0, 0, 0, NULL, NULL, "how long an assertion counts; 5s"},
};
static const struct field_table oidc_conf_key = {sizeof(struct oidc_conf_key), oidc_conf_key_rows, ARRAY_LEN(oidc_conf_key_rows)};
static const struct field_row oidc_conf_client_rows[] = {
    {"clientSecret", FIELD_OBJ, AT(oidc_conf_client, secret), 0, 0, 0, &oidc_conf_secret, NULL, "the client has a secret"},
    {"privateKeyJwt", FIELD_OBJ, AT(oidc_conf_client, key), 0, 0, 0, &oidc_conf_key, NULL, "the client signs (RFC 7523)"},
};
static const struct field_table oidc_conf_client = {sizeof(struct oidc_conf_client), oidc_conf_client_rows, ARRAY_LEN(oidc_conf_client_rows)};
static const struct field_row oidc_conf_end_rows[] = {
    {"methodType", FIELD_WORD, AT(oidc_conf_end, method), 0, 0, 0, NULL, oidc_conf_methods, "GetMethod (redirect) or PostMethod (a form with the id token)"},
};
static const struct field_table oidc_conf_end = {sizeof(struct oidc_conf_end), oidc_conf_end_rows, ARRAY_LEN(oidc_conf_end_rows)};
static const struct field_row oidc_conf_front_rows[] = {
    {"path", FIELD_STR, AT(oidc_conf_front, path), FIELD_REQUIRED, 0, 0, NULL, NULL, "path that the provider's page loads at its logout"},
};
static const struct field_table oidc_conf_front = {sizeof(struct oidc_conf_front), oidc_conf_front_rows, ARRAY_LEN(oidc_conf_front_rows)};
static const struct field_row oidc_conf_auto_rows[] = {
    {"namespace", FIELD_STR, AT(oidc_conf_auto, space), 0, 0, 0, NULL, NULL, "of the metadata; solo_authconfig_oidc"},
};
static const struct field_table oidc_conf_auto = {sizeof(struct oidc_conf_auto), oidc_conf_auto_rows, ARRAY_LEN(oidc_conf_auto_rows)};
static const struct field_row oidc_conf_refetch_rows[] = {
    {"never", FIELD_NODE, AT(oidc_conf_refetch, never), 0, 0, 0, NULL, NULL, "only every discoveryPollInterval"},
    {"always", FIELD_NODE, AT(oidc_conf_refetch, always), 0, 0, 0, NULL, NULL, "whenever a kid is unknown"},
    {"maxIdpReqPerPollingInterval", FIELD_INT, AT(oidc_conf_refetch, most), 0, 0, 1000000, NULL, NULL, "so often in one discoveryPollInterval"},
};
static const struct field_table oidc_conf_refetch = {sizeof(struct oidc_conf_refetch), oidc_conf_refetch_rows, ARRAY_LEN(oidc_conf_refetch_rows)};
static const struct field_row oidc_conf_headers_rows[] = {
    {"idTokenHeader", FIELD_STR, AT(oidc_conf_headers, id_token), 0, 0, 0, NULL, NULL, "header for the id token"},
    {"accessTokenHeader", FIELD_STR, AT(oidc_conf_headers, access_token), 0, 0, 0, NULL, NULL, "header for the access token"},
    {"useBearerSchemaForAuthorization", FIELD_BOOL, AT(oidc_conf_headers, bearer), 0, 0, 0, NULL, NULL, "before a token in the header Authorization stands \"Bearer \""},
};
static const struct field_table oidc_conf_headers = {sizeof(struct oidc_conf_headers), oidc_conf_headers_rows, ARRAY_LEN(oidc_conf_headers_rows)};
static const struct field_row oidc_conf_claim_rows[] = {
    {NULL, FIELD_SELF, AT(oidc_conf_claim, self), 0, 0, 0, NULL, NULL, ""},
    {"claim", FIELD_STR, AT(oidc_conf_claim, claim), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the claim, or a path with dots"},
    {"header", FIELD_STR, AT(oidc_conf_claim, header), FIELD_REQUIRED, 0, 0, NULL, NULL, "header for the upstream"},
    {"append", FIELD_BOOL, AT(oidc_conf_claim, append), 0, 0, 0, NULL, NULL, "beside a value that an earlier step set"},
};
static const struct field_table oidc_conf_claim = {sizeof(struct oidc_conf_claim), oidc_conf_claim_rows, ARRAY_LEN(oidc_conf_claim_rows)};
static const struct field_row oidc_conf_claims_rows[] = {
    {"claimsToHeaders", FIELD_LIST, AT(oidc_conf_claims, list), 0, 0, 0, &oidc_conf_claim, NULL, "claims as headers"},
};
static const struct field_table oidc_conf_claims = {sizeof(struct oidc_conf_claims), oidc_conf_claims_rows, ARRAY_LEN(oidc_conf_claims_rows)};
static const struct field_row oidc_conf_options_rows[] = {
    {"maxAge", FIELD_STR, AT(oidc_conf_cookie_options, max_age), 0, 0, 0, NULL, NULL, "seconds that a session lasts; 2592000; 0: until the browser ends"},
    {"notSecure", FIELD_BOOL, AT(oidc_conf_cookie_options, not_secure), 0, 0, 0, NULL, NULL, "cookies also over plain http: for tests only"},
    {"httpOnly", FIELD_WORD, AT(oidc_conf_cookie_options, http_only), 0, 0, 0, NULL, oidc_conf_bools, "scripts of the page do not see it; true"},
    {"path", FIELD_NODE, AT(oidc_conf_cookie_options, path_node), 0, 0, 0, NULL, NULL, "of the cookie; /"},
    {"domain", FIELD_STR, AT(oidc_conf_cookie_options, domain), 0, 0, 0, NULL, NULL, "of the cookie; absent: this host alone"},
    {"sameSite", FIELD_WORD, AT(oidc_conf_cookie_options, same_site), 0, 0, 0, NULL, oidc_conf_sites, "LaxMode, StrictMode, NoneMode, or DefaultMode (not sent)"},
};
static const struct field_table oidc_conf_options = {sizeof(struct oidc_conf_cookie_options), oidc_conf_options_rows, ARRAY_LEN(oidc_conf_options_rows)};
static const struct field_row oidc_conf_cookie_rows[] = {
    {"allowRefreshing", FIELD_BOOL, AT(oidc_conf_cookie, refresh), 0, 0, 0, NULL, NULL, "refresh tokens; false for cookies"},
    {"keyPrefix", FIELD_STR, AT(oidc_conf_cookie, prefix), 0, 0, 0, NULL, NULL, "before the cookie's name"},
    {"targetDomain", FIELD_STR, AT(oidc_conf_cookie, target), 0, 0, 0, NULL, NULL, "requests for other hosts are refused"},
};
static const struct field_table oidc_conf_cookie = {sizeof(struct oidc_conf_cookie), oidc_conf_cookie_rows, ARRAY_LEN(oidc_conf_cookie_rows)};
static const struct field_row oidc_conf_redis_rows[] = {
    NOTICE("options", "read and ignored: sessions are in Postern's own store; store: redis://... puts it into your Redis"),
    {"keyPrefix", FIELD_STR, AT(oidc_conf_redis, prefix), 0, 0, 0, NULL, NULL, "of the entries: oidc:<prefix>:"},
    {"cookieName", FIELD_STR, AT(oidc_conf_redis, name), 0, 0, 0, NULL, NULL, "name of the cookie; __session"},
    {"allowRefreshing", FIELD_WORD, AT(oidc_conf_redis, refresh), 0, 0, 0, NULL, oidc_conf_bools, "refresh tokens; true"},
    {"preExpiryBuffer", FIELD_STR, AT(oidc_conf_redis, buffer), 0, 0, 0, NULL, NULL, "refresh so long before they expire; 2s"},
    {"targetDomain", FIELD_STR, AT(oidc_conf_redis, target), 0, 0, 0, NULL, NULL, "requests for other hosts are refused"},
    {"headerName", FIELD_STR, AT(oidc_conf_redis, header), 0, 0, 0, NULL, NULL, "header of the code's exchange that names the session's entry in the store"},
};
static const struct field_table oidc_conf_redis = {sizeof(struct oidc_conf_redis), oidc_conf_redis_rows, ARRAY_LEN(oidc_conf_redis_rows)};
static const struct field_row oidc_conf_cipher_rows[] = {
    {"keyRef", FIELD_OBJ, AT(oidc_conf_cipher, ref), FIELD_REQUIRED, 0, 0, &oidc_conf_ref, NULL, "Secret with key (32 bytes) and, while it is changed, previous-key"},
};
static const struct field_table oidc_conf_cipher = {sizeof(struct oidc_conf_cipher), oidc_conf_cipher_rows, ARRAY_LEN(oidc_conf_cipher_rows)};
static const struct field_row oidc_conf_session_rows[] = {
    {"failOnFetchFailure", FIELD_BOOL, AT(oidc_conf_session, fail_on_fetch), 0, 0, 0, NULL, NULL, "a session that cannot be read is refused; else: sign in again"},
    {"cookieOptions", FIELD_OBJ, AT(oidc_conf_session, options), 0, 0, 0, &oidc_conf_options, NULL, "attributes of the cookies"},
    {"cookie", FIELD_OBJ, AT(oidc_conf_session, cookie), 0, 0, 0, &oidc_conf_cookie, NULL, "the session is in cookies, encrypted"},
    {"redis", FIELD_OBJ, AT(oidc_conf_session, redis), 0, 0, 0, &oidc_conf_redis, NULL, "the session is in the store"},
    {"cipherConfig", FIELD_OBJ, AT(oidc_conf_session, cipher), 0, 0, 0, &oidc_conf_cipher, NULL, "key of the cookies, instead of one made from secret_key"},
};
static const struct field_table oidc_conf_session = {sizeof(struct oidc_conf_session), oidc_conf_session_rows, ARRAY_LEN(oidc_conf_session_rows)};

#define COMMON \
    {"appUrl", FIELD_STR, AT(oidc_conf_doc, app_url), FIELD_REQUIRED, 0, 0, NULL, NULL, "address of the application as browsers see it"}, \
    {"callbackPath", FIELD_STR, AT(oidc_conf_doc, callback), FIELD_REQUIRED, 0, 0, NULL, NULL, "path that the provider sends the browser back to"}, \
    {"clientId", FIELD_STR, AT(oidc_conf_doc, client_id), FIELD_REQUIRED, 0, 0, NULL, NULL, "as registered with the provider"}, \
    {"clientSecretRef", FIELD_OBJ, AT(oidc_conf_doc, secret), 0, 0, 0, &oidc_conf_ref, NULL, "Secret with client-secret"}, \
    {"disableClientSecret", FIELD_BOOL, AT(oidc_conf_doc, no_secret), 0, 0, 0, NULL, NULL, "a public client: none"}, \
    {"scopes", FIELD_STRS, AT(oidc_conf_doc, scopes), 0, 0, 0, NULL, NULL, "to ask for"}, \
    {"session", FIELD_OBJ, AT(oidc_conf_doc, session), 0, 0, 0, &oidc_conf_session, NULL, "where sessions are kept"}, \
    {"logoutPath", FIELD_STR, AT(oidc_conf_doc, logout), 0, 0, 0, NULL, NULL, "path that ends the session; absent: none"}, \
    {"afterLogoutUrl", FIELD_STR, AT(oidc_conf_doc, after_logout), 0, 0, 0, NULL, NULL, "where the browser goes then; appUrl when absent"}, \
    {"authEndpointQueryParams", FIELD_PAIRS, AT(oidc_conf_doc, auth_query), 0, 0, 0, NULL, NULL, "more parameters for the sign-in page"}, \
    {"tokenEndpointQueryParams", FIELD_PAIRS, AT(oidc_conf_doc, token_query), 0, 0, 0, NULL, NULL, "more parameters for the token endpoint"}, \
    {"headers", FIELD_OBJ, AT(oidc_conf_doc, headers), 0, 0, 0, &oidc_conf_headers, NULL, "tokens as headers for the upstream"}
static const struct field_row oidc_conf_rows[] = {
    COMMON,
    {"issuerUrl", FIELD_STR, AT(oidc_conf_doc, issuer), FIELD_REQUIRED, 0, 0, NULL, NULL, "the provider"},
    {"clientAuthentication", FIELD_OBJ, AT(oidc_conf_doc, client), 0, 0, 0, &oidc_conf_client, NULL, "how the client shows who it is"},
    {"discoveryPollInterval", FIELD_STR, AT(oidc_conf_doc, poll), 0, 0, 0, NULL, NULL, "how often the provider's description and keys are read; 30m"},
    {"discoveryOverride", FIELD_OBJ, AT(oidc_conf_doc, override), 0, 0, 0, &oidc_conf_override_table, NULL, "instead of what the description says"},
    {"parseCallbackPathAsRegex", FIELD_BOOL, AT(oidc_conf_doc, callback_regex), 0, 0, 0, NULL, NULL, "callbackPath is an expression"},
    {"endSessionProperties", FIELD_OBJ, AT(oidc_conf_doc, end), 0, 0, 0, &oidc_conf_end, NULL, "how the provider's session is ended"},
    {"frontChannelLogout", FIELD_OBJ, AT(oidc_conf_doc, front), 0, 0, 0, &oidc_conf_front, NULL, "the provider ends sessions through the browser"},
    {"identityToken", FIELD_OBJ, AT(oidc_conf_doc, id), 0, 0, 0, &oidc_conf_claims, NULL, "from the id token"},
    {"accessToken", FIELD_OBJ, AT(oidc_conf_doc, access), 0, 0, 0, &oidc_conf_claims, NULL, "from the access token, if it is a JWT"},
    {"dynamicMetadataFromClaims", FIELD_PAIRS, AT(oidc_conf_doc, metadata), 0, 0, 0, NULL, NULL, "metadata for the gateway: name and claim of the id token"},
    {"jwksCacheRefreshPolicy", FIELD_OBJ, AT(oidc_conf_doc, refetch), 0, 0, 0, &oidc_conf_refetch, NULL, "when the provider's keys are asked for because a kid is unknown"},
    {"sessionIdHeaderName", FIELD_STR, AT(oidc_conf_doc, session_header), 0, 0, 0, NULL, NULL, "older place of session.redis.headerName"},
    NOTICE("provider", "default is served; group claims that Azure keeps elsewhere are not fetched"),
    {"autoMapFromMetadata", FIELD_OBJ, AT(oidc_conf_doc, from_metadata), 0, 0, 0, &oidc_conf_auto, NULL, "more parameters, from the metadata of the request"},
};
static const struct field_table oidc_conf_table = {sizeof(struct oidc_conf_doc), oidc_conf_rows, ARRAY_LEN(oidc_conf_rows)};
static const struct field_row oidc_conf_plain_rows[] = {
    COMMON,
    {"authEndpoint", FIELD_STR, AT(oidc_conf_doc, auth_endpoint), FIELD_REQUIRED, 0, 0, NULL, NULL, "where the browser signs in"},
    {"tokenEndpoint", FIELD_STR, AT(oidc_conf_doc, token_endpoint), FIELD_REQUIRED, 0, 0, NULL, NULL, "where a code becomes tokens"},
    {"revocationEndpoint", FIELD_STR, AT(oidc_conf_doc, revoke_endpoint), 0, 0, 0, NULL, NULL, "where tokens are revoked at logout"},
};
static const struct field_table oidc_conf_plain = {sizeof(struct oidc_conf_doc), oidc_conf_plain_rows, ARRAY_LEN(oidc_conf_plain_rows)};
/* clang-format on */

const struct field_table *step_oidc_fields(void)
{
    return &oidc_conf_table;
}

const struct field_table *step_oidc_plain_fields(void)
{
    return &oidc_conf_plain;
}

/* ---- what each field may be ---- */

struct oidc_conf {
    struct load *l;
    const struct field_in *in;
    const struct yaml *y;
    const struct oidc_conf_doc *doc;
    struct oidc_step *o;
    struct slice ns;
    bool ok;
};

static PRINTF_LIKE(2, 3) void oidc_conf_fault(struct oidc_conf *c, const char *fmt, ...)
{
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fault_add(c->in, false, c->y, NULL, "%s", text);
    c->ok = false;
}

static int64_t oidc_conf_ms(struct oidc_conf *c, const char *name, struct slice text, int64_t otherwise)
{
    int64_t ms = otherwise;

    if (text.n > 0 && (!slice_duration_ms(text, &ms) || ms < 0 || ms > INT64_C(366) * 24 * 3600 * 1000))
        oidc_conf_fault(c, "%s: expected a time such as 30s or 5m, found \"%.*s\"", name,
                        SFMT(slice_sub(text, 0, 40)));
    return ms;
}

/* An absolute URL without '/' at its end, and what stands before its path. */
static struct slice oidc_conf_url(struct oidc_conf *c, const char *name, struct slice text,
                                  struct slice *origin)
{
    struct url u;
    struct err e = {0};

    if (url_parse(text, &u, &e) != RC_OK) {
        oidc_conf_fault(c, "%s \"%.*s\": %s", name, SFMT(slice_sub(text, 0, 80)), e.text);
        return S("");
    }
    if (origin)
        *origin = slice_sub(text, 0, (size_t)(u.host.p - text.p) + u.host.n);
    if (origin && u.has_port)
        *origin = arena_fmt(&c->l->set->arena, "%.*s:%d", SFMT(*origin), u.port);
    return text;
}

static struct slice oidc_conf_no_slash(struct slice s)
{
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* A path as rules see it: canonical. */
static struct slice oidc_conf_path(struct oidc_conf *c, const char *name, struct slice text)
{
    struct slice path = S("");
    struct err e = {0};

    if (text.n == 0)
        return text;
    if (text.p[0] != '/' || slice_index(text, '?') != SIZE_MAX ||
        url_canon_path(&c->l->set->arena, text, &path, &e) != RC_OK)
        oidc_conf_fault(c, "%s \"%.*s\" is no path", name, SFMT(slice_sub(text, 0, 80)));
    return path;
}

static const char *const oidc_conf_auth_ours[] = {"client_id", "response_type", "redirect_uri", "scope", "state",
                                                  "nonce", "response_mode", "request", "request_uri", NULL};
static const char *const oidc_conf_token_ours[] = {"client_id", "client_secret", "grant_type", "code", "redirect_uri",
                                                   "refresh_token", "client_assertion", "client_assertion_type", NULL};

bool oidc_param_ours(bool token, struct slice name)
{
    const char *const *ours = token ? oidc_conf_token_ours : oidc_conf_auth_ours;

    for (; *ours; ours++)
        if (slice_eq_ci(name, slice_str(*ours)))
            return true;
    return slice_starts_ci(name, S("code_challenge")) || slice_eq_ci(name, S("code_verifier"));
}

/* "a=b&c=d". Names that we send ourselves cannot be sent twice. */
static struct slice oidc_conf_query(struct oidc_conf *c, const char *name, const struct field_pairs *from, bool token)
{
    struct arena *a = &c->l->set->arena;
    struct slice all = S("");

    for (size_t i = 0; i < from->n; i++) {
        struct slice key = from->v[i].name;
        if (slice_starts_ci(key, S("code_challenge")) || slice_eq_ci(key, S("code_verifier"))) {
            fault_add(c->in, true, c->y, NULL, "%s: %.*s is not used: every login has a code challenge of "
                      "its own (S256)", name, SFMT(key));
            continue;
        }
        if (oidc_param_ours(token, key))
            oidc_conf_fault(c, "%s: %.*s is sent by Postern itself", name, SFMT(slice_sub(key, 0, 40)));
        all = arena_fmt(a, "%.*s&%.*s=%.*s", SFMT(all), SFMT(url_encode(a, key)),
                        SFMT(url_encode(a, from->v[i].value)));
    }
    return all;
}

static struct slice oidc_conf_secret_of(struct oidc_conf *c, const struct doc_ref *ref, const char *name)
{
    const struct secret *s = secret_find(c->l, c->in, c->y, false, ref, c->ns);
    struct slice value = s ? secret_value(s, slice_str(name)) : S("");

    if (!s)
        c->ok = false;
    else if (value.n == 0)
        oidc_conf_fault(c, "Secret %.*s has no %s", SFMT(slice_sub(ref->name, 0, 80)), name);
    return value;
}

/* ---- the client ---- */

/* Older guides put a line of YAML into the Secret: "client_secret: <value>". */
static struct slice oidc_conf_secret_text(struct slice v)
{
    struct slice key = S("client_secret:");

    while (v.n > 0 && (v.p[v.n - 1] == '\n' || v.p[v.n - 1] == '\r'))
        v.n--;
    return slice_starts(v, key) ? slice_trim(slice_from(v, key.n)) : v;
}

static void oidc_conf_private_key(struct oidc_conf *c, const struct oidc_conf_key *k)
{
    struct oidc_step *o = c->o;
    struct slice token;
    struct err e = {0};
    const struct secret *s;

    o->client = OIDC_CLIENT_KEY;
    o->client_valid_s = MAX(1, oidc_conf_ms(c, "validFor", k->valid, 5000) / 1000);
    o->client_pem = oidc_conf_secret_of(c, k->ref, "signing-key");
    o->client_kid = S("");
    if (o->client_pem.n == 0)
        return;
    s = secret_find(c->l, c->in, c->y, false, k->ref, c->ns);
    o->client_kid = s ? slice_trim(secret_value(s, S("kid"))) : S("");
    if (jwt_sign(&c->l->scratch, o->client_pem, o->client_kid, S("{}"), &token, &e) != RC_OK)
        oidc_conf_fault(c, "the signing-key of Secret %.*s: %s", SFMT(slice_sub(k->ref->name, 0, 80)), e.text);
}

static void oidc_conf_client_of(struct oidc_conf *c)
{
    const struct oidc_conf_doc *d = c->doc;
    const struct oidc_conf_client *how = d->client;
    const struct doc_ref *ref = how && how->secret && how->secret->ref ? how->secret->ref : d->secret;
    bool none = d->no_secret || (how && how->secret && how->secret->disable);

    c->o->client_secret = S("");
    if (how && how->key) {
        oidc_conf_private_key(c, how->key);
        return;
    }
    if (ref && !none) {
        c->o->client = OIDC_CLIENT_SECRET;
        c->o->client_secret = oidc_conf_secret_text(oidc_conf_secret_of(c, ref, "client-secret"));
    } else if (!none) {
        oidc_conf_fault(c, "expected clientSecretRef, clientAuthentication, or disableClientSecret: true");
    }
}

/* ---- endpoints ---- */

static void oidc_conf_endpoint(struct oidc_conf *c, const char *name, struct slice text, struct slice *to)
{
    struct fetch_url u;
    struct err e = {0};

    *to = text;
    if (text.n > 0 && fetch_url_parse(&c->l->scratch, text, &u, &e) != RC_OK)
        oidc_conf_fault(c, "%s: %s", name, e.text);
}

/* Absent: a change of keys is followed, with ten seconds between two questions. */
static void oidc_conf_keys(struct oidc_conf *c)
{
    const struct oidc_conf_refetch *v = c->doc->refetch;

    c->o->unknown_max = INT_MAX;
    c->o->unknown_gap_ms = v ? 0 : OIDC_KID_MS;
    if (!v)
        return;
    if ((v->never != NULL) + (v->always != NULL) + (v->most > 0) > 1)
        oidc_conf_fault(c, "jwksCacheRefreshPolicy: one of never, always and maxIdpReqPerPollingInterval");
    if (!v->always)
        c->o->unknown_max = (int)v->most; /* 0 for never, and for a policy that says nothing */
}

static void oidc_conf_endpoints(struct oidc_conf *c)
{
    const struct oidc_conf_override *v = c->doc->override;
    struct oidc_step *o = c->o;

    o->own = (struct oidc_endpoints){S(""), S(""), S(""), S(""), S(""), S(""), false, false, false};
    if (o->plain) {
        o->issuer = o->discovery_url = S("");
        oidc_conf_endpoint(c, "authEndpoint", c->doc->auth_endpoint, &o->own.auth);
        oidc_conf_endpoint(c, "tokenEndpoint", c->doc->token_endpoint, &o->own.token);
        oidc_conf_endpoint(c, "revocationEndpoint", c->doc->revoke_endpoint, &o->own.revoke);
        o->own.basic_ok = true;
        return;
    }
    o->issuer = oidc_conf_no_slash(oidc_conf_url(c, "issuerUrl", c->doc->issuer, NULL));
    o->discovery_url = arena_fmt(&c->l->set->arena, "%.*s/.well-known/openid-configuration", SFMT(o->issuer));
    o->poll_ms = MAX(1000, oidc_conf_ms(c, "discoveryPollInterval", c->doc->poll, 30 * 60 * 1000));
    oidc_conf_keys(c);
    if (!v)
        return;
    oidc_conf_endpoint(c, "authEndpoint", v->auth, &o->own.auth);
    oidc_conf_endpoint(c, "tokenEndpoint", v->token, &o->own.token);
    oidc_conf_endpoint(c, "jwksUri", v->jwks, &o->own.jwks);
    oidc_conf_endpoint(c, "revocationEndpoint", v->revoke, &o->own.revoke);
    oidc_conf_endpoint(c, "endSessionEndpoint", v->end_session, &o->own.end_session);
    for (size_t i = 0; i < v->algs.n; i++) {
        enum jwt_alg alg = jwt_alg_of(v->algs.v[i]);
        if (alg == JWT_ALG_ANY)
            oidc_conf_fault(c, "idTokenAlgs: %.*s is not served", SFMT(slice_sub(v->algs.v[i], 0, 40)));
        else
            o->algs |= 1u << alg;
    }
    for (size_t i = 0; i < v->methods.n; i++) {
        o->own.basic_ok |= slice_eq(v->methods.v[i], S("client_secret_basic"));
        o->own.post_ok |= slice_eq(v->methods.v[i], S("client_secret_post"));
    }
}

/* ---- paths ---- */

/* The redirect URI is fixed: of an expression, the text before its first operator, which must match. */
static struct slice oidc_conf_literal(struct slice regex)
{
    size_t n = 0;

    if (regex.n > 0 && regex.p[0] == '^')
        regex = slice_from(regex, 1);
    while (n < regex.n && !strchr("\\^$.|?*+()[]{}", regex.p[n]))
        n++;
    if (n < regex.n && n > 0 && strchr("?*{", regex.p[n]))
        n--;
    return slice_sub(regex, 0, n);
}

static void oidc_conf_callback(struct oidc_conf *c)
{
    struct oidc_step *o = c->o;
    struct slice path = c->doc->callback;
    size_t n = 0;

    if (c->doc->callback_regex) {
        o->callback_re = set_regex(c->l->set, c->in, c->y, path, false);
        path = oidc_conf_literal(path);
        if (o->callback_re && regex_match(o->callback_re, path, NULL, 0, &n) != RC_OK)
            oidc_conf_fault(c, "callbackPath: the expression must match \"%.*s\", its beginning without operators, "
                            "which is the redirect URI", SFMT(slice_sub(path, 0, 80)));
        c->ok &= o->callback_re != NULL;
    }
    o->callback_path = oidc_conf_path(c, "callbackPath", path);
    if (o->callback_path.n <= 1)
        oidc_conf_fault(c, "callbackPath must be a path of its own");
    o->redirect_uri = arena_fmt(&c->l->set->arena, "%.*s%.*s", SFMT(o->app_url), SFMT(o->callback_path));
}

static void oidc_conf_paths(struct oidc_conf *c)
{
    const struct oidc_conf_doc *d = c->doc;
    struct oidc_step *o = c->o;
    struct slice after = d->after_logout;

    o->app_url = oidc_conf_no_slash(oidc_conf_url(c, "appUrl", d->app_url, &o->app_origin));
    oidc_conf_callback(c);
    o->logout_path = oidc_conf_path(c, "logoutPath", d->logout);
    o->front_logout_path = oidc_conf_path(c, "frontChannelLogout.path", d->front ? d->front->path : S(""));
    if (o->logout_path.n && slice_eq(o->logout_path, o->callback_path))
        oidc_conf_fault(c, "logoutPath and callbackPath are the same");
    if (after.n > 0 && after.p[0] == '/' && !(after.n > 1 && (after.p[1] == '/' || after.p[1] == '\\')))
        o->after_logout = arena_fmt(&c->l->set->arena, "%.*s%.*s", SFMT(o->app_url), SFMT(after));
    else
        o->after_logout = after.n > 0 ? oidc_conf_url(c, "afterLogoutUrl", after, NULL) : d->app_url;
    if (!http_value_ok(o->after_logout) || slice_index(o->after_logout, ' ') != SIZE_MAX)
        oidc_conf_fault(c, "afterLogoutUrl cannot stand in a header");
    o->end_session_post = d->end && d->end->method == 1;
}

static void oidc_conf_params(struct oidc_conf *c)
{
    struct slice scope = c->o->plain ? S("") : S("openid");

    for (size_t i = 0; i < c->doc->scopes.n; i++)
        if (c->o->plain || !slice_eq(c->doc->scopes.v[i], S("openid")))
            scope = arena_fmt(&c->l->set->arena, "%.*s%s%.*s", SFMT(scope), scope.n ? " " : "",
                              SFMT(c->doc->scopes.v[i]));
    c->o->scope = url_encode(&c->l->set->arena, scope);
    c->o->auth_query = oidc_conf_query(c, "authEndpointQueryParams", &c->doc->auth_query, false);
    c->o->token_query = oidc_conf_query(c, "tokenEndpointQueryParams", &c->doc->token_query, true);
    if (c->doc->from_metadata)
        c->o->metadata_space = c->doc->from_metadata->space.n ? c->doc->from_metadata->space : S("solo_authconfig_oidc");
}

/* ---- headers ---- */

static void oidc_conf_header(struct oidc_conf *c, struct step *out, struct slice name)
{
    static const char *const framing[] = {"host", "connection", "content-length", "te", "upgrade", "cookie",
                                          "transfer-encoding", "trailer", "keep-alive"};
    bool bad = !http_token_ok(name);

    for (size_t i = 0; i < ARRAY_LEN(framing); i++)
        bad |= slice_eq_ci(name, slice_str(framing[i]));
    if (bad)
        oidc_conf_fault(c, "\"%.*s\" cannot be set as a header", SFMT(slice_sub(name, 0, 60)));
    ((struct slice *)(uintptr_t)out->identity)[out->identity_n++] = name;
}

static void oidc_conf_claims_of(struct oidc_conf *c, struct step *out, const struct oidc_conf_claims *from,
                                struct oidc_claims *to)
{
    size_t n = from ? from->list.n : 0;

    to->v = ARENA_ARRAY(&c->l->set->arena, struct oidc_claim, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct oidc_conf_claim *k = from->list.items[i];
        to->v[to->n++] = (struct oidc_claim){k->claim, k->header, k->append};
        oidc_conf_header(c, out, k->header);
    }
}

static void oidc_conf_headers_of(struct oidc_conf *c, struct step *out)
{
    const struct oidc_conf_doc *d = c->doc;
    const struct oidc_conf_headers *h = d->headers;
    struct oidc_step *o = c->o;
    size_t room = 3 + (d->id ? d->id->list.n : 0) + (d->access ? d->access->list.n : 0);

    out->identity = ARENA_ARRAY(&c->l->set->arena, struct slice, room);
    o->id_header = h ? h->id_token : S("");
    o->access_header = h ? h->access_token : S("");
    o->bearer = h && h->bearer;
    if (o->id_header.n && !o->plain)
        oidc_conf_header(c, out, o->id_header);
    if (o->access_header.n)
        oidc_conf_header(c, out, o->access_header);
    oidc_conf_claims_of(c, out, d->id, &o->id_claims);
    oidc_conf_claims_of(c, out, d->access, &o->access_claims);
    o->metadata.v = ARENA_ARRAY(&c->l->set->arena, struct oidc_claim, d->metadata.n + 1);
    for (size_t i = 0; i < d->metadata.n; i++)
        o->metadata.v[o->metadata.n++] = (struct oidc_claim){d->metadata.v[i].value, d->metadata.v[i].name, false};
}

/* ---- sessions ---- */

static void oidc_conf_cipher_of(struct oidc_conf *c, const struct oidc_conf_cipher *cipher)
{
    static const char *const names[] = {"key", "previous-key"};
    const struct secret *s = secret_find(c->l, c->in, c->y, false, cipher->ref, c->ns);

    c->ok &= s != NULL;
    for (size_t i = 0; s && i < ARRAY_LEN(names); i++) {
        struct slice v = secret_value(s, slice_str(names[i]));
        if (v.n == 0 && i > 0)
            break;
        if (v.n != 32) {
            oidc_conf_fault(c, "%s of Secret %.*s must be 32 bytes, it has %zu", names[i],
                            SFMT(slice_sub(cipher->ref->name, 0, 80)), v.n);
            return;
        }
        oidc_key_set(&c->o->keys[c->o->keys_n++], (const uint8_t *)v.p);
    }
}

/* What follows the cookie's value, without Max-Age; and whether the browser can be told with __Host- that
 * no other host may have set it. */
static bool oidc_conf_tail(struct oidc_conf *c, const struct oidc_conf_cookie_options *v)
{
    static const char *const sites[] = {"; SameSite=Lax", "; SameSite=Strict", "; SameSite=None", ""};
    struct arena *a = &c->l->set->arena;
    struct oidc_step *o = c->o;
    int site = v ? v->same_site : 0;
    struct slice path = v && v->path_node ? v->path_node->text : S("/"), domain = v ? v->domain : S(""), rest;

    o->secure = !(v && v->not_secure);
    o->http_only = !(v && v->http_only == 1);
    if (v && v->path_node && v->path_node->kind != YAML_SCALAR)
        oidc_conf_fault(c, "cookieOptions.path: expected text");
    if (!http_value_ok(path) || slice_index(path, ';') != SIZE_MAX || !http_value_ok(domain) ||
        slice_index(domain, ';') != SIZE_MAX)
        oidc_conf_fault(c, "cookieOptions: path or domain cannot stand in a cookie");
    if (site == 2 && !o->secure)
        oidc_conf_fault(c, "cookieOptions: NoneMode needs a secure cookie");
    rest = arena_fmt(a, "%s%.*s%s%.*s%s%s", path.n ? "; Path=" : "", SFMT(path), domain.n ? "; Domain=" : "",
                     SFMT(domain), o->secure ? "; Secure" : "", o->http_only ? "; HttpOnly" : "");
    o->cookie_tail = arena_fmt(a, "%.*s%s", SFMT(rest), sites[site]);
    /* Strict cookies would stay behind on the way back from the provider. */
    o->login_tail = arena_fmt(a, "; Path=/%s; HttpOnly%s", o->secure ? "; Secure" : "", sites[site == 1 ? 0 : site]);
    if (domain.n)
        o->login_tail = arena_fmt(a, "%.*s; Domain=%.*s", SFMT(o->login_tail), SFMT(domain));
    return o->secure && domain.n == 0 && slice_eq(path, S("/"));
}

static void oidc_conf_max_age(struct oidc_conf *c, const struct oidc_conf_cookie_options *v)
{
    c->o->max_age_s = v && v->max_age.n ? oidc_conf_ms(c, "maxAge", v->max_age, 0) / 1000 : OIDC_SESSION_S;
}

/* Sent to the token endpoint, beside headers of our own. */
static void oidc_conf_session_header(struct oidc_conf *c, const struct oidc_conf_redis *redis)
{
    static const char *const ours[] = {"host", "connection", "content-length", "content-type", "accept", "authorization",
                                       "transfer-encoding", "te", "upgrade", "trailer", "keep-alive", "expect"};
    struct slice name = redis && redis->header.n ? redis->header : c->doc->session_header;
    bool bad = name.n > 0 && !http_token_ok(name);

    c->o->session_header = name;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        bad |= slice_eq_ci(name, slice_str(ours[i]));
    if (bad)
        oidc_conf_fault(c, "headerName: \"%.*s\" cannot be set as a header", SFMT(slice_sub(name, 0, 60)));
}

static void oidc_conf_session_of(struct oidc_conf *c)
{
    static const struct oidc_conf_session none;
    const struct oidc_conf_session *v = c->doc->session ? c->doc->session : &none;
    struct oidc_step *o = c->o;
    struct slice name = S("__session"), given;
    bool host_only = oidc_conf_tail(c, v->options);

    if (v->cookie && v->redis)
        oidc_conf_fault(c, "session: one of cookie and redis");
    oidc_conf_max_age(c, v->options);
    o->in_store = v->redis != NULL;
    o->fail_on_fetch = v->fail_on_fetch;
    o->prefix = v->redis && v->redis->prefix.n ? v->redis->prefix : S("session");
    o->refreshes = v->redis ? v->redis->refresh == 0 : v->cookie && v->cookie->refresh;
    o->pre_expiry_ms = oidc_conf_ms(c, "preExpiryBuffer", v->redis ? v->redis->buffer : S(""), 2000);
    o->target_domain = v->redis ? v->redis->target : v->cookie ? v->cookie->target : S("");
    given = v->redis ? v->redis->name : S("");
    if (given.n)
        name = given;
    else if (v->cookie && v->cookie->prefix.n)
        name = arena_fmt(&c->l->set->arena, "%.*s_session", SFMT(v->cookie->prefix));
    if (!http_token_ok(name))
        oidc_conf_fault(c, "\"%.*s\" is no name for a cookie", SFMT(slice_sub(name, 0, 60)));
    o->cookie = host_only && !slice_starts(name, S("__Host-"))
                    ? arena_fmt(&c->l->set->arena, "__Host-%.*s", SFMT(name)) : name;
    if (v->cipher)
        oidc_conf_cipher_of(c, v->cipher);
    oidc_conf_session_header(c, v->redis);
}

/* ---- the whole ---- */

static bool oidc_conf_all(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                          struct step *out, bool plain)
{
    struct oidc_step *o = ARENA_NEW(&l->set->arena, struct oidc_step);
    struct oidc_conf c = {l, in, y, doc, o, S(""), true};
    struct slice rest;

    c.ns = slice_cut(out->policy, '.', &rest);
    o->plain = plain;
    o->client_id = c.doc->client_id;
    oidc_conf_endpoints(&c);
    oidc_conf_paths(&c);
    oidc_conf_params(&c);
    oidc_conf_client_of(&c);
    oidc_conf_headers_of(&c, out);
    oidc_conf_session_of(&c);
    o->ident = oidc_digest(&l->set->arena, arena_fmt(&l->scratch, "%d %.*s %.*s %.*s", plain,
                                                     SFMT(plain ? o->own.token : o->issuer), SFMT(o->client_id),
                                                     SFMT(o->cookie)));
    if (slice_starts_ci(o->app_url, S("http://")) && o->secure)
        fault_add(in, true, y, NULL, "appUrl is plain http: browsers send Secure cookies over https alone; use https, "
                  "or cookieOptions.notSecure for tests");
    out->data = o;
    out->cookie = o->cookie;
    return c.ok;
}

bool step_oidc_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                       struct step *out)
{
    return oidc_conf_all(l, in, doc, y, out, false);
}

bool step_oidc_plain_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                             struct step *out)
{
    return oidc_conf_all(l, in, doc, y, out, true);
}

#undef AT
#undef OIDC_CONF_CODE
#undef NOTICE
#undef COMMON
