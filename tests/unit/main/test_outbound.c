/* Whom https to other servers trusts: the setting, SSL_CERT_FILE, the system's bundle; and files that
 * cannot be used are an error, never "trust nobody" in silence. */
#include "base/log.h"
#include "base/os.h"
#include "main/outbound.h"
#include "net/tls.h"
#include "t.h"

#include <stdlib.h>
#include <unistd.h>

static struct arena arena;
static char good[64], bad[64];

static enum rc open_with(const char *setting, const char *env, bool *trusts)
{
    struct settings s;
    struct outbound o;
    struct err e = {0};
    settings_init(&s);
    if (setting)
        MUST(settings_put(&s, SET_OUTBOUND_CA, slice_str(setting), ORIGIN_FLAG, S("test"), &e) == RC_OK);
    if (env)
        setenv("SSL_CERT_FILE", env, 1);
    else
        unsetenv("SSL_CERT_FILE");
    enum rc rc = outbound_open(&s, &o, &e);
    *trusts = rc == RC_OK && o.trust != NULL;
    T((rc == RC_OK) == (e.text[0] == '\0'));
    if (rc == RC_OK)
        outbound_close(&o);
    settings_free(&s);
    return rc;
}

static void which_file_counts(void)
{
    bool trusts;
    T(open_with(good, NULL, &trusts) == RC_OK && trusts);
    T(open_with(NULL, good, &trusts) == RC_OK && trusts);
    T(open_with(good, bad, &trusts) == RC_OK && trusts);
    T(open_with(bad, good, &trusts) != RC_OK && !trusts);
    T(open_with(NULL, bad, &trusts) != RC_OK && !trusts);
    T(open_with("/no/such/file", NULL, &trusts) != RC_OK && !trusts);
    T(open_with(NULL, "/no/such/file", &trusts) != RC_OK && !trusts);
    T(open_with(NULL, NULL, &trusts) == RC_OK); /* whatever this machine has */
}

int main(void)
{
    static const struct slice names[] = {SLIT("localhost")};
    struct tls_pem pem;
    struct err e = {0};
    log_init(LOG_SILENT, false);
    arena_init(&arena, 65536, 0);
    snprintf(good, sizeof good, "/tmp/postern-ca-%d.pem", (int)getpid());
    snprintf(bad, sizeof bad, "/tmp/postern-bad-%d.pem", (int)getpid());
    MUST(tls_ca_ensure(&arena, NULL, names, 1, &pem, &e) == RC_OK);
    FILE *f = fopen(good, "w");
    fwrite(pem.ca_cert.p, 1, pem.ca_cert.n, f);
    fclose(f);
    f = fopen(bad, "w");
    fputs("this is no certificate\n", f);
    fclose(f);
    T_RUN(which_file_counts);
    unlink(good);
    unlink(bad);
    arena_free(&arena);
    return t_done();
}
