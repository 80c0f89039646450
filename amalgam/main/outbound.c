/*
 * outbound.c - opens what calls to other servers share: name threads and trusted certificates.
 *
 * Whom https trusts: the file of the setting outbound.ca_file, else that of SSL_CERT_FILE, else the first
 * bundle of the system that is there. One that was named must be usable; without any, https is refused
 * unless a policy brings its own. Read once, at start. Called by serve.c and cmd_policy.c; owns the pool
 * and the trust. Single thread. Tested by tests/unit/main/test_outbound.c.
 */
#include "main/outbound.h"

#include "base/log.h"
#include "base/os.h"
#include "net/tls.h"

#include <stdlib.h>

enum { OUTBOUND_NAME_THREADS = 2, OUTBOUND_NAMES_MAX = 256, OUTBOUND_CA_BYTES = 8 << 20 };

static const char *outbound_system_bundle(void)
{
    static const char *const paths[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (path_is_file(paths[i]))
            return paths[i];
    return NULL;
}

static enum rc outbound_trust(const struct settings *s, struct tls_client **out, struct err *e)
{
    const char *named = setting_cstr(s, SET_OUTBOUND_CA), *from_env = getenv("SSL_CERT_FILE");
    const char *path = *named ? named : from_env && *from_env ? from_env : outbound_system_bundle();
    struct arena a;
    struct tls_client_opts o = {.ca_some = !*named};
    *out = NULL;
    if (!path)
        return RC_OK;
    arena_init(&a, 65536, OUTBOUND_CA_BYTES * 2);
    enum rc rc = file_read(&a, path, OUTBOUND_CA_BYTES, &o.ca_pem, e);
    if (rc == RC_OK) {
        rc = tls_client_open(&o, out, e);
        if (rc != RC_OK && e)
            (void)err_at(e, rc, path, "certificates to trust (outbound.ca_file or SSL_CERT_FILE): %s",
                         arena_cstr(&a, slice_str(e->text)));
    }
    arena_free(&a);
    return rc;
}

enum rc outbound_open(const struct settings *s, struct outbound *out, struct err *e)
{
    *out = (struct outbound){.settings = s};
    enum rc rc = outbound_trust(s, &out->trust, e);
    if (rc != RC_OK)
        return rc;
    if (!out->trust)
        log_event(LOG_INFO, "outbound.no_ca", "text=no CA bundle was found: https to other servers needs "
                  "outbound.ca_file or a CA in the policy");
    out->names = pool_open(OUTBOUND_NAME_THREADS, OUTBOUND_NAMES_MAX);
    return RC_OK;
}

struct fetcher *outbound_fetcher(const struct outbound *o, struct reactor *r)
{
    struct fetcher_opts f = {.reactor = r, .pool = o->names, .trust = o->trust,
                             .conns_per_host = (size_t)setting_num(o->settings, SET_OUTBOUND_CONNS)};
    return fetcher_open(&f);
}

void outbound_stop(struct outbound *o)
{
    pool_stop(o->names);
}

void outbound_close(struct outbound *o)
{
    pool_close(o->names);
    o->names = NULL;
    tls_client_close(o->trust);
    o->trust = NULL;
}
