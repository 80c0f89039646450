/*
 * idp.h - a scripted identity provider for the tests of oauth2: discovery, keys, token and revocation
 * endpoint on a port of its own, one request per connection, in a thread. It does what `idp` says and
 * remembers what it was asked. Its keys are test data.
 */
#ifndef UNIT_POLICY_IDP_H
#define UNIT_POLICY_IDP_H

#include "base/arena.h"
#include "wire/hash.h"
#include "wire/jwt.h"
#include "t.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
    const char *kid, *pem, *jwk;
} idp_keys[] = {
    {"k0",
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIJS9zRdECdaB4pVOjnO/8wrJdzAxGakrIX30eo5JoxqEoAoGCCqGSM49\n"
    "AwEHoUQDQgAEQwh29A0etwGXn79pMWlcKFcBatMrYqkf3PHggoaqfsDiqqW5z+Wg\n"
    "hV7yc8gn4BjUoN5BzytJqpIe9VujKTQB3w==\n"
    "-----END EC PRIVATE KEY-----\n",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"kid\":\"k0\",\"x\":\"Qwh29A0etwGXn79pMWlcKFcBatMrYqkf3PHggoaqfsA\",\"y\":\"4qqluc_loIVe8nPIJ-AY1KDeQc8rSaqSHvVboyk0Ad8\"}"},
    {"k1",
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIDSRAkBZ3nyLL789NNWeHx7iDf+lpBHQYCLXxNHJ5XTUoAoGCCqGSM49\n"
    "AwEHoUQDQgAE/Pez3AhygMlVnIHUmlGrhP/lDBhUGL/fTxDwXpYeZvtpMw7O0Nr2\n"
    "9NZx1cjQw/Xlrp+aMlvjejDkrrZu/gHqEw==\n"
    "-----END EC PRIVATE KEY-----\n",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"kid\":\"k1\",\"x\":\"_Pez3AhygMlVnIHUmlGrhP_lDBhUGL_fTxDwXpYeZvs\",\"y\":\"aTMOztDa9vTWcdXI0MP15a6fmjJb43ow5K62bv4B6hM\"}"},
};

static struct {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock; /* for all below */
    bool stop, down;      /* down: connections are closed at once */
    bool iss_sent, no_end_session, post_only, no_refresh;
    int key;              /* that signs and is published */
    int token_status;     /* 0: 200 */
    int hold_ms;          /* before each answer of the token endpoint */
    int64_t now_s, lives_s;
    char issuer[100];     /* in the description, or "": its own */
    char claims[9000];     /* instead of what stands in the id token, or more of it */
    char nonce[100], aud[100], sub[100], token_iss[100];
    size_t discoveries, keys_asked, tokens, refreshes, revocations;
    char last_form[8192], last_auth[512], last_target[512], last_session[100]; /* of the token endpoint */
} idp;

static inline UNUSED struct slice idp_url(struct arena *a, const char *path)
{
    return arena_fmt(a, "http://127.0.0.1:%d%s", idp.port, path);
}

static inline UNUSED void idp_say(int fd, int status, const char *text)
{
    char head[200];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\n", status, strlen(text));
    if (write(fd, head, (size_t)n) == n)
        (void)!write(fd, text, strlen(text));
}

static inline UNUSED struct slice idp_id_token(struct arena *a)
{
    struct slice token = S("");
    struct slice iss = idp.token_iss[0] ? slice_str(idp.token_iss) : idp_url(a, "");
    struct slice claims = arena_fmt(a, "{\"iss\":\"%.*s\",\"sub\":\"%s\",\"aud\":\"%s\",\"exp\":%lld,\"iat\":%lld,"
                                    "\"nonce\":\"%s\",\"sid\":\"provider-session\"%s}", SFMT(iss),
                                    idp.sub[0] ? idp.sub : "user-1", idp.aud[0] ? idp.aud : "the-client",
                                    (long long)(idp.now_s + idp.lives_s), (long long)idp.now_s, idp.nonce, idp.claims);
    MUST(jwt_sign(a, slice_str(idp_keys[idp.key].pem), slice_str(idp_keys[idp.key].kid), claims, &token, NULL) == RC_OK);
    return token;
}

static inline UNUSED void idp_token(struct arena *a, int fd, const char *form)
{
    bool refresh = strstr(form, "grant_type=refresh_token") != NULL;
    struct slice body;
    idp.tokens++;
    idp.refreshes += refresh;
    snprintf(idp.last_form, sizeof idp.last_form, "%s", form);
    if (idp.token_status) {
        idp_say(fd, idp.token_status, "{\"error\":\"invalid_grant\"}");
        return;
    }
    body = arena_fmt(a, "{\"access_token\":\"access-%zu\",\"token_type\":\"Bearer\",\"expires_in\":%lld%s,\"id_token\":\"%.*s\"}",
                     idp.tokens, (long long)idp.lives_s, idp.no_refresh ? "" : ",\"refresh_token\":\"refresh\"",
                     SFMT(idp_id_token(a)));
    idp_say(fd, 200, body.p);
}

static inline UNUSED void idp_discovery(struct arena *a, int fd)
{
    struct slice own = idp_url(a, ""), body;
    idp.discoveries++;
    body = arena_fmt(a, "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%.*s/auth\",\"token_endpoint\":\"%.*s/token\","
                     "\"jwks_uri\":\"%.*s/jwks\",\"revocation_endpoint\":\"%.*s/revoke\"%s%s}",
                     idp.issuer[0] ? idp.issuer : own.p, SFMT(own), SFMT(own), SFMT(own), SFMT(own),
                     idp.iss_sent ? ",\"authorization_response_iss_parameter_supported\":true" : "",
                     idp.post_only ? ",\"token_endpoint_auth_methods_supported\":[\"client_secret_post\"]" : "");
    if (!idp.no_end_session)
        body = arena_fmt(a, "%.*s,\"end_session_endpoint\":\"%.*s/end\"}", (int)body.n - 1, body.p, SFMT(own));
    idp_say(fd, 200, body.p);
}

static inline UNUSED void idp_answer(int fd, char *in)
{
    struct arena a;
    char *body = strstr(in, "\r\n\r\n") + 4, *auth = strstr(in, "uthorization: ");
    arena_init(&a, 4096, 0);
    if (strstr(in, "POST /token") == in)
        idp.last_auth[0] = '\0';
    if (auth && auth < body && strstr(in, "POST /token") == in)
        snprintf(idp.last_auth, sizeof idp.last_auth, "%.*s", (int)strcspn(auth + 14, "\r"), auth + 14);
    if (strstr(in, "POST /token") == in) {
        const char *session = strcasestr(in, "\r\nx-idp-session: ");
        snprintf(idp.last_target, sizeof idp.last_target, "%.*s", (int)strcspn(in + 5, " "), in + 5);
        snprintf(idp.last_session, sizeof idp.last_session, "%.*s", session ? (int)strcspn(session + 17, "\r") : 0, session ? session + 17 : "");
    }
    if (strstr(in, "GET /.well-known/openid-configuration ") == in) {
        idp_discovery(&a, fd);
    } else if (strstr(in, "GET /jwks ") == in) {
        idp.keys_asked++;
        idp_say(fd, 200, arena_fmt(&a, "{\"keys\":[%s]}", idp_keys[idp.key].jwk).p);
    } else if (strstr(in, "POST /token") == in) {
        idp_token(&a, fd, body);
    } else if (strstr(in, "POST /revoke ") == in) {
        idp.revocations++;
        idp_say(fd, 200, "{}");
    } else {
        idp_say(fd, 404, "{}");
    }
    arena_free(&a);
}

static inline UNUSED void idp_serve(int fd)
{
    static char in[65536];
    size_t n = 0;
    for (;;) {
        ssize_t k = read(fd, in + n, sizeof in - 1 - n);
        if (k <= 0)
            return;
        n += (size_t)k;
        in[n] = '\0';
        char *end = strstr(in, "\r\n\r\n"), *len = strcasestr(in, "content-length: ");
        size_t body = end && len && len < end ? strtoul(len + 16, NULL, 10) : 0;
        if (end && n >= (size_t)(end + 4 - in) + body)
            break;
    }
    pthread_mutex_lock(&idp.lock);
    int hold = strstr(in, "POST /token") == in ? idp.hold_ms : 0;
    pthread_mutex_unlock(&idp.lock);
    usleep((useconds_t)hold * 1000);
    pthread_mutex_lock(&idp.lock);
    idp_answer(fd, in);
    pthread_mutex_unlock(&idp.lock);
}

static inline UNUSED void *idp_thread(void *arg)
{
    (void)arg;
    for (;;) {
        struct pollfd w = {.fd = idp.fd, .events = POLLIN};
        bool there = poll(&w, 1, 20) > 0;
        pthread_mutex_lock(&idp.lock);
        bool stop = idp.stop, down = idp.down;
        pthread_mutex_unlock(&idp.lock);
        if (stop)
            return NULL;
        int fd = there ? accept(idp.fd, NULL, NULL) : -1;
        if (fd >= 0 && !down)
            idp_serve(fd);
        if (fd >= 0)
            close(fd);
    }
}

static inline UNUSED void idp_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    pthread_mutex_init(&idp.lock, NULL);
    idp.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(idp.fd >= 0 && bind(idp.fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(idp.fd, 64) == 0);
    MUST(getsockname(idp.fd, (struct sockaddr *)&at, &n) == 0);
    idp.port = ntohs(at.sin_port);
    MUST(pthread_create(&idp.thread, NULL, idp_thread, NULL) == 0);
}

static inline UNUSED void idp_stop(void)
{
    pthread_mutex_lock(&idp.lock);
    idp.stop = true;
    pthread_mutex_unlock(&idp.lock);
    pthread_join(idp.thread, NULL);
    close(idp.fd);
}

/* Everything as it is at first, but for the counters. */
static inline UNUSED void idp_reset(int64_t now_ms)
{
    idp.down = idp.iss_sent = idp.no_end_session = idp.post_only = idp.no_refresh = false;
    idp.key = idp.token_status = idp.hold_ms = 0;
    idp.now_s = now_ms / 1000;
    idp.lives_s = 300;
    idp.issuer[0] = idp.claims[0] = idp.aud[0] = idp.sub[0] = idp.token_iss[0] = '\0';
    idp.discoveries = idp.keys_asked = idp.tokens = idp.refreshes = idp.revocations = 0;
}

#endif
