/* The built-in CA: what is made verifies (by mbedTLS and, where it is installed, by openssl), is
 * kept, is renewed when it must be, and is never replaced behind the user's back. */
#include "net/tls_inside.h"
#include "nt.h"

#include "base/os.h"

#include <sys/stat.h>

static struct arena arena;
static char dir[64];
static int64_t ahead_ms; /* what our clock is ahead of the real one */

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + ahead_ms * 1000;
}
#define DAYS(n) ((int64_t)(n)*24 * 3600 * 1000)

static const struct slice names[] = {SLIT("localhost"), SLIT("127.0.0.1"), SLIT("::1"),
                                     SLIT("gw.example.com")};

static enum rc ensure(size_t n, struct tls_pem *out, struct err *e)
{
    return tls_ca_ensure(&arena, dir, names, n, out, e);
}

static const char *in_dir(const char *name)
{
    return path_join(&arena, dir, name);
}

static int shell(const char *fmt, const char *a, const char *b)
{
    char line[400];
    snprintf(line, sizeof line, fmt, a, b);
    return system(line);
}

static void in_memory_nothing_is_written(void)
{
    struct tls_pem p;
    struct tls_facts f, ca;
    struct err e = {0};
    T_INT(tls_ca_ensure(&arena, NULL, names, 4, &p, &e), RC_OK);
    T_INT(tls_cert_facts(p.cert, &f, &e), RC_OK);
    T_INT(tls_cert_facts(p.ca_cert, &ca, &e), RC_OK);
    T(strstr(f.subject, "localhost") && strcmp(f.issuer, ca.subject) == 0);
    T(strlen(f.fingerprint) == 64 && strcmp(f.fingerprint, ca.fingerprint) != 0);
    int64_t days = (f.not_after_ms - clock_wall_ms()) / DAYS(1);
    T(days >= 364 && days <= 365);
    days = (ca.not_after_ms - clock_wall_ms()) / DAYS(1);
    T(days >= 3649 && days <= 3650);
}

static void files_are_made_once_and_kept(void)
{
    struct tls_pem p, again;
    struct err e = {0};
    struct stat st;
    T_INT(ensure(4, &p, &e), RC_OK);
    static const char *const files[] = {"ca.crt", "ca.key", "server.crt", "server.key"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        T_ROW("%s", files[i]);
        T(stat(in_dir(files[i]), &st) == 0 && (st.st_mode & 0777) == 0600);
    }
    T_ROW("%s", "");
    T_INT(ensure(4, &again, &e), RC_OK);
    T(slice_eq(p.ca_cert, again.ca_cert) && slice_eq(p.cert, again.cert) &&
      slice_eq(p.key, again.key));
}

static void openssl_agrees(void)
{
    if (system("command -v openssl >/dev/null 2>&1") != 0) {
        t_skip("openssl_agrees", "openssl is not installed");
        return;
    }
    T_INT(shell("openssl verify -x509_strict -purpose sslserver -verify_hostname gw.example.com "
                "-CAfile %s %s >/dev/null",
                in_dir("ca.crt"), in_dir("server.crt")),
          0);
    T_INT(shell("openssl verify -x509_strict -verify_ip 127.0.0.1 -CAfile %s %s >/dev/null",
                in_dir("ca.crt"), in_dir("server.crt")),
          0);
    T_INT(shell("openssl verify -x509_strict -verify_ip ::1 -CAfile %s %s >/dev/null",
                in_dir("ca.crt"), in_dir("server.crt")),
          0);
    T(shell("openssl verify -verify_hostname evil.example.com -CAfile %s %s >/dev/null 2>&1",
            in_dir("ca.crt"), in_dir("server.crt")) != 0);
    T_INT(shell("openssl x509 -in %s -noout -text | grep -q 'CA:TRUE, pathlen:0' #%s",
                in_dir("ca.crt"), ""),
          0);
    T_INT(shell("openssl x509 -in %s -noout -text | grep -q 'ASN1 OID: prime256v1' #%s",
                in_dir("server.crt"), ""),
          0);
}

static void other_names_make_another_leaf_by_the_same_ca(void)
{
    struct tls_pem all, fewer, back;
    struct err e = {0};
    T_INT(ensure(4, &all, &e), RC_OK);
    T_INT(ensure(2, &fewer, &e), RC_OK);
    T(slice_eq(all.ca_cert, fewer.ca_cert) && !slice_eq(all.cert, fewer.cert));
    T_INT(ensure(4, &back, &e), RC_OK);
    T(!slice_eq(all.cert, back.cert));
}

static void a_leaf_is_renewed_before_it_expires(void)
{
    struct tls_pem now, later;
    struct tls_facts f;
    struct err e = {0};
    T_INT(ensure(4, &now, &e), RC_OK);
    ahead_ms = DAYS(334);
    T_INT(ensure(4, &later, &e), RC_OK);
    T(slice_eq(now.cert, later.cert));
    ahead_ms = DAYS(336);
    T_INT(ensure(4, &later, &e), RC_OK);
    T(!slice_eq(now.cert, later.cert) && slice_eq(now.ca_cert, later.ca_cert));
    T_INT(tls_cert_facts(later.cert, &f, &e), RC_OK);
    T(f.not_after_ms > clock_wall_ms() + DAYS(300));
    ahead_ms = DAYS(3651);
    T_INT(ensure(4, &later, &e), RC_BADINPUT);
    T(strstr(e.text, "ca.crt") && strstr(e.text, "expired"));
    ahead_ms = 0;
    T_INT(ensure(4, &later, &e), RC_OK);
}

static void put(const char *name, const char *text)
{
    MUST(file_write(in_dir(name), slice_str(text), 0600, NULL) == RC_OK);
}

static void what_a_crash_leaves_is_mended(void)
{
    struct tls_pem before, after;
    struct err e = {0};
    T_INT(ensure(4, &before, &e), RC_OK);
    unlink(in_dir("server.crt")); /* the key was written, the certificate was not */
    T_INT(ensure(4, &after, &e), RC_OK);
    T(slice_eq(before.ca_cert, after.ca_cert) && !slice_eq(before.cert, after.cert));
    put("server.key", before.key.p); /* a pair that does not match */
    T_INT(ensure(4, &after, &e), RC_OK);
    T(!slice_eq(before.key, after.key));
    put("server.crt", "broken");
    T_INT(ensure(4, &after, &e), RC_OK);
    unlink(in_dir("ca.crt")); /* the first start did not get further */
    unlink(in_dir("server.crt"));
    unlink(in_dir("server.key"));
    T_INT(ensure(4, &after, &e), RC_OK);
    T(!slice_eq(before.ca_cert, after.ca_cert));
}

static void a_damaged_ca_is_an_error_and_stays(void)
{
    struct tls_pem p, good;
    struct err e = {0};
    T_INT(ensure(4, &good, &e), RC_OK);
    struct slice ca = good.ca_cert, key;
    T_INT(file_read(&arena, in_dir("ca.key"), 65536, &key, &e), RC_OK);
    unlink(in_dir("ca.key"));
    T_INT(ensure(4, &p, &e), RC_IO);
    T(strstr(e.text, "ca.key") && strstr(e.text, "restore"));
    put("ca.key", "nonsense");
    T_INT(ensure(4, &p, &e), RC_BADINPUT);
    T(strstr(e.text, "ca.key") != NULL);
    put("ca.key", good.key.p); /* some other key */
    T_INT(ensure(4, &p, &e), RC_BADINPUT);
    T(strstr(e.text, "does not belong") != NULL);
    put("ca.key", key.p);
    put("ca.crt", "nonsense");
    T_INT(ensure(4, &p, &e), RC_BADINPUT);
    T(strstr(e.text, "ca.crt") != NULL);
    put("ca.crt", ca.p);
    T_INT(ensure(4, &p, &e), RC_OK);
    T(slice_eq(p.ca_cert, ca) && slice_eq(p.cert, good.cert));
}

static void names_are_checked(void)
{
    struct tls_pem p;
    struct err e = {0};
    static const struct slice bad[] = {
        SLIT(""),         SLIT("a b"), SLIT("a,CN=evil"), SLIT("a\0b"), SLIT("ex\xc3\xa4mple"),
        SLIT("1.2.3.4/8")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%zu", i);
        T_INT(tls_ca_ensure(&arena, NULL, &bad[i], 1, &p, &e), RC_BADINPUT);
    }
    T_ROW("%s", "");
    T_INT(tls_ca_ensure(&arena, NULL, NULL, 0, &p, &e), RC_BADINPUT);
    char text[200];
    memset(text, 'a', sizeof text);
    struct slice longest = slice_of(text, sizeof text); /* does not fit into a common name */
    T_INT(tls_ca_ensure(&arena, NULL, &longest, 1, &p, &e), RC_OK);
}

static void facts_of_nonsense_are_an_error(void)
{
    struct tls_facts f;
    struct err e = {0};
    T_INT(tls_cert_facts(S("nonsense"), &f, &e), RC_BADINPUT);
    T_INT(tls_cert_facts(S(""), &f, &e), RC_BADINPUT);
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/netcaXXXXXX");
    MUST(mkdtemp(dir) != NULL);
    strncat(dir, "/a/tls", sizeof dir - strlen(dir) - 1); /* is made, with its parents */
    log_init(LOG_SILENT, false);
    clock_set_source(wall_us, NULL);
    arena_init(&arena, 1 << 16, 0);
    T_RUN(in_memory_nothing_is_written);
    T_RUN(files_are_made_once_and_kept);
    T_RUN(openssl_agrees);
    T_RUN(other_names_make_another_leaf_by_the_same_ca);
    T_RUN(a_leaf_is_renewed_before_it_expires);
    T_RUN(what_a_crash_leaves_is_mended);
    T_RUN(a_damaged_ca_is_an_error_and_stays);
    T_RUN(names_are_checked);
    T_RUN(facts_of_nonsense_are_an_error);
    dir[strlen(dir) - strlen("/a/tls")] = '\0';
    shell("rm -rf '%s' #%s", dir, "");
    arena_free(&arena);
    return t_done();
}
