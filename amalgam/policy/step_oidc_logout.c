/*
 * step_oidc_logout.c - the end of a session: by the person, or by the provider.
 *
 * logoutPath: the session goes from the store (or is remembered as dead), its cookies are cleared, its tokens
 * revoked (sent once, not waited for), and the browser goes to the provider's end of session, if it has
 * one, and from there or at once to afterLogoutUrl. No token stands in an address: with GetMethod the
 * provider is told the client's id; with PostMethod a page with a form carries the id token. That page is a denial,
 * since an allow would let the request pass; doors that can say 200 to the client nevertheless do so. frontChannelLogout.path (OpenID Connect
 * Front-Channel Logout 1.0): the provider's sid ends our session, whatever cookies came along.
 * Tested by tests/unit/policy/test_oidc.c.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

/* ---- the page ---- */

static struct slice oidc_logout_html(struct arena *a, struct slice s)
{
    static const struct {
        char c;
        const char *text;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    char *p = arena_alloc(a, s.n * 6 + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        const char *text = NULL;
        for (size_t k = 0; k < ARRAY_LEN(escapes); k++)
            if (escapes[k].c == s.p[i])
                text = escapes[k].text;
        if (!text) {
            p[n++] = s.p[i];
            continue;
        }
        memcpy(p + n, text, strlen(text));
        n += strlen(text);
    }
    return slice_of(p, n);
}

static enum step_said oidc_logout_page(struct decision *d, const struct step *s, const struct oidc_endpoints *e,
                                       struct slice id_token)
{
    static const char script[] = "document.forms[0].submit()";
    const struct oidc_step *o = s->data;
    struct arena *a = d->arena;
    uint8_t digest[32];
    char hash[B64_LEN(32)];

    (void)oidc_deny(d, s, 403, "logged_out", "signed out");
    d->v->page = true;
    sha256(slice_str(script), digest);
    (void)b64_encode(hash, digest, sizeof digest);
    decision_client(d, S("content-type"), S("text/html; charset=utf-8"));
    decision_client(d, S("content-security-policy"),
                    arena_fmt(a, "default-src 'none'; script-src 'sha256-%.*s'; frame-ancestors 'none'",
                              (int)sizeof hash, hash));
    d->v->body = arena_fmt(a, "<!doctype html><title>Sign out</title><form method=\"post\" action=\"%.*s\">"
                           "<input type=\"hidden\" name=\"id_token_hint\" value=\"%.*s\">"
                           "<input type=\"hidden\" name=\"client_id\" value=\"%.*s\">"
                           "<input type=\"hidden\" name=\"post_logout_redirect_uri\" value=\"%.*s\">"
                           "<button>Sign out</button></form><script>%s</script>\n",
                           SFMT(oidc_logout_html(a, e->end_session)), SFMT(oidc_logout_html(a, id_token)),
                           SFMT(oidc_logout_html(a, o->client_id)), SFMT(oidc_logout_html(a, o->after_logout)), script);
    return STEP_DENY;
}

/* ---- by the person ---- */

static enum step_said oidc_logout_to(struct decision *d, const struct step *s, const struct oidc_endpoints *e,
                                     const struct oidc_session *x)
{
    const struct oidc_step *o = s->data;
    struct arena *a = d->arena;
    struct slice to = o->after_logout;

    if (x->id.n && e->end_session.n && o->end_session_post)
        return oidc_logout_page(d, s, e, x->id_token);
    if (x->id.n && e->end_session.n)
        to = arena_fmt(a, "%.*s%sclient_id=%.*s&post_logout_redirect_uri=%.*s", SFMT(e->end_session),
                       slice_index(e->end_session, '?') == SIZE_MAX ? "?" : "&", SFMT(url_encode(a, o->client_id)),
                       SFMT(url_encode(a, o->after_logout)));
    return oidc_redirect(d, s, "logged_out", "signed out", to);
}

enum step_said oidc_logout(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    struct oidc_endpoints e = {S(""), S(""), S(""), S(""), S(""), S(""), false, false, false};
    struct oidc_session x = {0};
    bool there = oidc_session_find(d, o, &x, &f->hash) == RC_OK;
    enum step_said said;

    if (there) {
        switch (oidc_provider_get(d, o, &e)) {
        case OIDC_GOT_WAIT:
            return oidc_wait(f, OIDC_AT_START, OIDC_WANT_DISCOVERY);
        case OIDC_GOT:
            break;
        case OIDC_GOT_NONE: /* signed out here at least */
            e = o->own;
            break;
        }
        oidc_session_end(d, o, &x, f->hash);
        oidc_tokens_revoke(d, o, &e, x.refresh_token, "refresh_token");
        oidc_tokens_revoke(d, o, &e, x.access_token, "access_token");
    }
    said = oidc_logout_to(d, s, &e, &x);
    oidc_session_clear(d, o);
    return said;
}

/* ---- by the provider ---- */

static struct slice oidc_logout_no_slash(struct slice s)
{
    return s.n > 0 && s.p[s.n - 1] == '/' ? slice_sub(s, 0, s.n - 1) : s;
}

enum step_said oidc_logout_front(struct decision *d, const struct step *s)
{
    const struct oidc_step *o = s->data;
    struct oidc_session x;
    struct slice iss, sid, hash;
    bool has_sid = url_query_get(d->arena, d->query, S("sid"), &sid) && sid.n > 0;
    bool has_iss = url_query_get(d->arena, d->query, S("iss"), &iss) && iss.n > 0;

    if (has_iss && !slice_eq(oidc_logout_no_slash(iss), o->issuer))
        return oidc_deny(d, s, 403, "login_wrong_issuer", "this is not the identity provider of this application");
    (void)oidc_deny(d, s, 403, "logged_out", "signed out");
    d->v->page = true;
    if (has_iss && has_sid)
        oidc_session_end_sid(d, o, sid);
    if (oidc_session_find(d, o, &x, &hash) == RC_OK && (!has_sid || slice_eq(x.sid, sid))) {
        oidc_session_end(d, o, &x, hash);
        oidc_session_clear(d, o);
    }
    return STEP_DENY;
}
