/*
 * test_oidc_conf.c - the YAML of oauth2.oidcAuthorizationCode and oauth2.oauth2: what it becomes, and what is
 * refused with a place and a cure.
 */
#include "p.h"

#include "policy/step_oidc.h"

#define SECRETS \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\nstringData: {client-secret: x, other: y, key: short}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: old, namespace: n}\nstringData: {client-secret: \"client_secret: from-yaml\\n\"}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: k, namespace: n}\nstringData: {key: 0123456789abcdef0123456789abcdef, previous-key: fedcba9876543210fedcba9876543210, signing-key: none}\n---\n"
#define POLICY \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: p, namespace: n}\nspec:\n config:\n  glooAuth:\n   configs:\n   - oauth2:\n"

/* The step of one policy with these lines; NULL when it does not load. */
static const struct oidc_step *compiled(const char *kind, const char *const *lines)
{
    static char text[9000];
    struct auth_policy *a;
    int n = snprintf(text, sizeof text, "%s%s      %s:\n", SECRETS, POLICY, kind);
    for (size_t i = 0; lines[i]; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "       %s\n", lines[i]);
    {
        const char *files[] = {"t.yaml", text, NULL};
        struct policy_set *s = p_load_files(files);
        if (!s)
            return NULL;
        p_unload();
        p.box = policy_box_open(s);
        a = s->routes[0]->items[0].policy;
        return a->steps[0].data;
    }
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BASE "appUrl: https://app.example.com/", "callbackPath: /cb", "clientId: c", "issuerUrl: https://id.example.com/realm/"
#define SECRET "clientSecretRef: {name: s, namespace: n}"

static void what_it_becomes(void)
{
    const struct oidc_step *o = compiled("oidcAuthorizationCode", LINES(BASE, SECRET));
    MUST(o != NULL);
    T_TEXT(o->redirect_uri, "https://app.example.com/cb");
    T_TEXT(o->discovery_url, "https://id.example.com/realm/.well-known/openid-configuration");
    T_TEXT(o->client_secret, "x");
    T_TEXT(o->scope, "openid");
    T_TEXT(o->after_logout, "https://app.example.com/");
    T_TEXT(o->cookie, "__Host-__session");
    T_TEXT(o->cookie_tail, "; Path=/; Secure; HttpOnly; SameSite=Lax");
    T(!o->in_store && !o->refreshes && o->poll_ms == 30 * 60 * 1000);
    T_INT(o->max_age_s, 2592000);
    T_INT(p.faults.n, 0);
    o = compiled("oidc_authorization_code", LINES("app_url: https://app.example.com", "callback_path: /cb", "client_id: c",
                                                  "issuer_url: https://id.example.com", "client_secret_ref: {name: old}"));
    MUST(o != NULL);
    T_TEXT(o->client_secret, "from-yaml");
}

static void sessions_and_cookies(void)
{
    const struct oidc_step *o = compiled("oidcAuthorizationCode", LINES(BASE, SECRET, "session: {redis: {cookieName: w, keyPrefix: x, preExpiryBuffer: 5s}, "
                                         "cookieOptions: {maxAge: 60, domain: example.com, sameSite: StrictMode}}"));
    MUST(o != NULL);
    T(o->in_store && o->refreshes && o->pre_expiry_ms == 5000);
    T_TEXT(o->cookie, "w");
    T_TEXT(o->cookie_tail, "; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Strict");
    T_TEXT(o->login_tail, "; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=example.com");
    T_INT(o->max_age_s, 60);
    o = compiled("oidcAuthorizationCode", LINES(BASE, SECRET, "session: {cookie: {allowRefreshing: true, keyPrefix: w}, cipherConfig: {keyRef: {name: k, namespace: n}}, "
                                                "cookieOptions: {maxAge: 0, httpOnly: false, path: \"\", sameSite: DefaultMode, notSecure: true}}"));
    MUST(o != NULL);
    T(!o->in_store && o->refreshes && o->keys_n == 2 && o->max_age_s == 0);
    T_TEXT(o->cookie, "w_session");
    T_TEXT(o->cookie_tail, "");
}

static void paths_and_endpoints(void)
{
    const struct oidc_step *o = compiled("oidcAuthorizationCode", LINES("appUrl: https://app.example.com:8443/sub", "callbackPath: \"/cb(/.*)?\"", "parseCallbackPathAsRegex: true",
                                         "clientId: c", "issuerUrl: https://id.example.com", "disableClientSecret: true", "logoutPath: /out", "afterLogoutUrl: /bye",
                                         "authEndpointQueryParams: {kc_idp_hint: \"a b\", code_challenge: x}", "scopes: [openid, email, \"a:b\"]",
                                         "discoveryOverride: {authEndpoint: \"https://x.example.com/a\", authMethods: [client_secret_post]}"));
    MUST(o != NULL);
    T_TEXT(o->redirect_uri, "https://app.example.com:8443/sub/cb");
    T_TEXT(o->app_origin, "https://app.example.com:8443");
    T_TEXT(o->after_logout, "https://app.example.com:8443/sub/bye");
    T_TEXT(o->auth_query, "&kc_idp_hint=a%20b");
    T_TEXT(o->scope, "openid%20email%20a%3Ab");
    T(o->own.post_ok && !o->own.basic_ok && o->own.token.n == 0);
    T(p_fault("", "code challenge of its own") && p.faults.n == 1);
    o = compiled("oauth2", LINES("appUrl: https://app.example.com", "callbackPath: /cb", "clientId: c", SECRET, "authEndpoint: https://f.example.com/a",
                                 "tokenEndpoint: https://f.example.com/t", "scopes: [\"read:user\"]", "headers: {accessTokenHeader: X-Token}"));
    MUST(o != NULL);
    T(o->plain);
    T_TEXT(o->scope, "read%3Auser");
    T_TEXT(o->own.token, "https://f.example.com/t");
}

static void what_is_refused(void)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"clientSecretRef: {name: nobody}", "no Secret"},
        {"clientSecretRef: {name: k, namespace: n}", "has no client-secret"},
        {"scopes: []", "expected clientSecretRef"},
        {"authEndpointQueryParams: {state: x}", "sent by Postern itself"},
        {"authEndpointQueryParams: {Redirect_URI: x}", "sent by Postern itself"},
        {"tokenEndpointQueryParams: {client_secret: x}", "sent by Postern itself"},
        {"logoutPath: out", "is no path"},
        {"logoutPath: /cb", "are the same"},
        {"afterLogoutUrl: //evil.example", "afterLogoutUrl"},
        {"afterLogoutUrl: \"javascript:alert(1)\"", "afterLogoutUrl"},
        {"headers: {idTokenHeader: \"a b\"}", "cannot be set as a header"},
        {"headers: {idTokenHeader: Host}", "cannot be set as a header"},
        {"identityToken: {claimsToHeaders: [{claim: email, header: Cookie}]}", "cannot be set as a header"},
        {"session: {cookie: {}, redis: {}}", "one of cookie and redis"},
        {"session: {redis: {cookieName: \"a b\"}}", "no name for a cookie"},
        {"session: {redis: {preExpiryBuffer: soon}}", "expected a time"},
        {"session: {cipherConfig: {keyRef: {name: s}}}", "32 bytes"},
        {"session: {cookieOptions: {sameSite: NoneMode, notSecure: true}}", "needs a secure cookie"},
        {"session: {cookieOptions: {domain: \"a;b\"}}", "cannot stand in a cookie"},
        {"discoveryOverride: {tokenEndpoint: nowhere}", "tokenEndpoint"},
        {"discoveryPollInterval: often", "expected a time"},
        {"clientAuthentication: {privateKeyJwt: {signingKeyRef: {name: k}}}", "signing-key"},
        {"clientAuthentication: {privateKeyJwt: {signingKeyRef: {name: s}}}", "has no signing-key"},
        {"session: {redis: {headerName: Authorization}}", "cannot be set as a header"},
        {"sessionIdHeaderName: \"a b\"", "cannot be set as a header"},
        {"discoveryOverride: {idTokenAlgs: [none]}", "is not served"},
        {"jwksCacheRefreshPolicy: {never: {}, always: {}}", "one of never, always"},
        {"issuerURL: x", "did you mean issuerUrl"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool secret = i > 2; /* the first three say it themselves */
        T_ROW("%s", rows[i].line);
        T(compiled("oidcAuthorizationCode", secret ? LINES(BASE, SECRET, rows[i].line) : LINES(BASE, rows[i].line)) == NULL);
        T(p_fault("", rows[i].says));
    }
    T_ROW("%s", "");
    T(compiled("oidcAuthorizationCode", LINES("appUrl: app.example.com", "callbackPath: /", "clientId: c", "issuerUrl: id.example.com", SECRET)) == NULL);
    T(p_fault("", "appUrl") && p_fault("", "issuerUrl") && p_fault("", "path of its own"));
    T(compiled("oidcAuthorizationCode", LINES("appUrl: https://a", "callbackPath: \"(/a|/b)\"", "parseCallbackPathAsRegex: true", "clientId: c", "issuerUrl: https://i", SECRET)) == NULL);
    T(p_fault("", "must match"));
    T(compiled("oauth2", LINES("appUrl: https://a", "callbackPath: /cb", "clientId: c", SECRET)) == NULL);
    T(p_fault("oauth2", "required field"));
    T(compiled("nothing", LINES("a: b")) == NULL);
}

static void cookies_that_browsers_would_not_send(void)
{
    T(compiled("oidcAuthorizationCode", LINES("appUrl: http://app.example.com", "callbackPath: /cb", "clientId: c", "issuerUrl: https://i.example.com", SECRET)) != NULL);
    T(p_fault("", "browsers send Secure cookies over https alone"));
}

int main(void)
{
    p_init();
    T_RUN(what_it_becomes);
    T_RUN(sessions_and_cookies);
    T_RUN(paths_and_endpoints);
    T_RUN(what_is_refused);
    T_RUN(cookies_that_browsers_would_not_send);
    p_done();
    return t_done();
}
