/*
 * tls_ca.c - the built-in certificate authority: a CA and one leaf for this server, ECDSA P-256.
 *
 * Called by main at start and at reload (tls_ca_ensure is idempotent). A missing pair is made, a
 * leaf that is broken, foreign, about to expire or made for other names is made again; a CA that is
 * there is never touched, since clients trust it: if it cannot be used, that is an error. Each key
 * is written before its certificate and every file is replaced whole, so a crash in between leaves
 * a key without certificate (the certificate is made for it) or a pair that does not match (the
 * leaf is made again). Owns nothing: PEM texts live in the caller's arena. Threads: any, one at a
 * time per directory. Tested by tests/unit/net/test_tls_ca.c (openssl verifies what it makes).
 */
#include "net/tls_inside.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rand.h"
#include "wire/url.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <time.h>

enum {
    CA_DAYS = 3650,
    CA_LEAF_DAYS = 365,
    CA_RENEW_DAYS = 30,
    CA_NAMES_MAX = 64,
    CA_FILE_BYTES_MAX = 64 * 1024,
    CA_PEM_BYTES_MAX = 16 * 1024
};
#define CA_DAY_MS ((int64_t)24 * 3600 * 1000)

struct ca_pair {
    const char *what; /* "ca", "server": the stem of the file names */
    mbedtls_x509_crt crt;
    mbedtls_pk_context key;
    struct slice crt_pem, key_pem;
    bool have_crt, have_key;
};

struct ca_names {
    const struct slice *at;
    size_t n;
};

static void ca_pair_init(struct ca_pair *p, const char *what)
{
    memset(p, 0, sizeof *p);
    p->what = what;
    mbedtls_x509_crt_init(&p->crt);
    mbedtls_pk_init(&p->key);
}

static void ca_pair_free(struct ca_pair *p)
{
    mbedtls_x509_crt_free(&p->crt);
    mbedtls_pk_free(&p->key);
}

/* ---- names ---- */

static bool ca_name_char(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '.' || c == '-' || c == '_' || c == '*';
}

static enum rc ca_check_names(struct ca_names names, struct err *e)
{
    struct ip ip;
    if (names.n == 0 || names.n > CA_NAMES_MAX)
        return err_set(e, RC_BADINPUT, "a certificate needs 1 to %d names, not %zu", CA_NAMES_MAX,
                       names.n);
    for (size_t i = 0; i < names.n; i++) {
        struct slice s = names.at[i];
        bool ok = s.n > 0 && s.n <= 253;
        for (size_t k = 0; ok && k < s.n; k++)
            ok = ca_name_char(s.p[k]);
        if (!ok && !ip_parse(s, &ip))
            return err_set(e, RC_BADINPUT, "'%.*s' is neither a DNS name nor an IP address",
                           (int)MIN(s.n, (size_t)100), s.p);
    }
    return RC_OK;
}

/* What stands in the certificate for the name: 4 or 16 bytes of address, or the name. */
static struct slice ca_name_bytes(struct arena *a, struct slice name, bool *is_ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct ip ip;
    *is_ip = ip_parse(name, &ip);
    if (!*is_ip)
        return name;
    size_t skip = memcmp(ip.b, mapped, sizeof mapped) == 0 ? 12 : 0;
    return arena_dup(a, slice_of((const char *)ip.b + skip, 16 - skip));
}

static bool ca_names_same(struct arena *a, const mbedtls_x509_crt *crt, struct ca_names names)
{
    size_t n = 0;
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s && s->buf.p; s = s->next) {
        int kind = s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
        bool found = false;
        for (size_t i = 0; i < names.n && !found; i++) {
            bool is_ip;
            struct slice name = ca_name_bytes(a, names.at[i], &is_ip);
            found = kind == (is_ip ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME) &&
                    slice_eq(name, slice_of((const char *)s->buf.p, s->buf.len));
        }
        if (!found)
            return false;
        n++;
    }
    return n == names.n;
}

/* ---- making ---- */

static void ca_time(char dst[16], int64_t wall_ms)
{
    struct tm tm;
    time_t t = (time_t)(wall_ms / 1000);
    gmtime_r(&t, &tm);
    MUST(strftime(dst, 16, "%Y%m%d%H%M%S", &tm) == 14);
}

static int ca_write_names(struct arena *a, mbedtls_x509write_cert *w, struct ca_names names)
{
    mbedtls_x509_san_list *list = ARENA_ARRAY(a, mbedtls_x509_san_list, names.n);
    for (size_t i = 0; i < names.n; i++) {
        bool is_ip;
        struct slice s = ca_name_bytes(a, names.at[i], &is_ip);
        list[i].node.type = is_ip ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME;
        list[i].node.san.unstructured_name.p = (unsigned char *)arena_cstr(a, s);
        list[i].node.san.unstructured_name.len = s.n;
        list[i].next = i + 1 < names.n ? &list[i + 1] : NULL;
    }
    mbedtls_asn1_sequence use = {
        .buf = {.tag = MBEDTLS_ASN1_OID,
                .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                .p = (unsigned char *)arena_cstr(a, S(MBEDTLS_OID_SERVER_AUTH))}};
    int ret = mbedtls_x509write_crt_set_subject_alternative_name(w, list);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_ext_key_usage(w, &use);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    return ret == 0 ? mbedtls_x509write_crt_set_basic_constraints(w, 0, -1) : ret;
}

static int ca_write_authority(mbedtls_x509write_cert *w)
{
    int ret = mbedtls_x509write_crt_set_basic_constraints(w, 1, 0);
    return ret != 0 ? ret
                    : mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                                 MBEDTLS_X509_KU_CRL_SIGN);
}

/* names: NULL for the CA itself. subject and issuer are DN texts. */
static int ca_write(struct arena *a, mbedtls_x509write_cert *w, const char *subject,
                    mbedtls_pk_context *key, const char *issuer, mbedtls_pk_context *issuer_key,
                    const struct ca_names *names, char *pem)
{
    char from[16], to[16];
    unsigned char serial[16];
    int64_t now_ms = clock_wall_ms();
    ca_time(from, now_ms - CA_DAY_MS); /* clocks of clients may be behind */
    ca_time(to, now_ms + (names ? CA_LEAF_DAYS : CA_DAYS) * CA_DAY_MS);
    rand_bytes(serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and no leading zero */
    mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(w, key);
    mbedtls_x509write_crt_set_issuer_key(w, issuer_key);
    int ret = mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof serial);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_validity(w, from, to);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_subject_name(w, subject);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_issuer_name(w, issuer);
    if (ret == 0)
        ret = names ? ca_write_names(a, w, *names) : ca_write_authority(w);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_subject_key_identifier(w);
    if (ret == 0)
        ret = mbedtls_x509write_crt_set_authority_key_identifier(w);
    return ret != 0 ? ret
                    : mbedtls_x509write_crt_pem(w, (unsigned char *)pem, CA_PEM_BYTES_MAX,
                                                tls_random, NULL);
}

static enum rc ca_make_key(struct arena *a, struct ca_pair *p, struct err *e)
{
    char *pem = arena_alloc(a, CA_PEM_BYTES_MAX);
    mbedtls_pk_free(&p->key);
    mbedtls_pk_init(&p->key);
    int ret = mbedtls_pk_setup(&p->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (ret == 0)
        ret =
            mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(p->key), tls_random, NULL);
    if (ret == 0)
        ret = mbedtls_pk_write_key_pem(&p->key, (unsigned char *)pem, CA_PEM_BYTES_MAX);
    if (ret != 0)
        return tls_fail(e, "cannot make a key", ret);
    p->key_pem = slice_str(pem);
    return RC_OK;
}

static enum rc ca_make_crt(struct arena *a, struct ca_pair *p, const char *subject,
                           const char *issuer, struct ca_pair *by, const struct ca_names *names,
                           struct err *e)
{
    char *pem = arena_alloc(a, CA_PEM_BYTES_MAX);
    mbedtls_x509write_cert w;
    mbedtls_x509write_crt_init(&w);
    int ret = ca_write(a, &w, subject, &p->key, issuer, &by->key, names, pem);
    mbedtls_x509write_crt_free(&w);
    if (ret != 0)
        return tls_fail(e, "cannot make a certificate", ret);
    p->crt_pem = slice_str(pem);
    mbedtls_x509_crt_free(&p->crt);
    mbedtls_x509_crt_init(&p->crt);
    return tls_parse_chain(&p->crt, p->crt_pem, "the new certificate", e);
}

/* ---- files ---- */

static const char *ca_path(struct arena *a, const char *dir, const struct ca_pair *p,
                           const char *ext)
{
    return path_join(a, dir, arena_fmt(a, "%s.%s", p->what, ext).p);
}

static enum rc ca_save(struct arena *a, const char *dir, const struct ca_pair *p, struct err *e)
{
    if (dir == NULL)
        return RC_OK;
    enum rc rc = dir_make(dir, 0700, e);
    if (rc == RC_OK)
        rc = file_write(ca_path(a, dir, p, "key"), p->key_pem, 0600, e);
    return rc == RC_OK ? file_write(ca_path(a, dir, p, "crt"), p->crt_pem, 0600, e) : rc;
}

static enum rc ca_read(struct arena *a, const char *path, struct slice *out, bool *have,
                       struct err *e)
{
    *have = path_is_file(path);
    return *have ? file_read(a, path, CA_FILE_BYTES_MAX, out, e) : RC_OK;
}

/* What is there, parsed; have_* say what. */
static enum rc ca_load(struct arena *a, const char *dir, struct ca_pair *p, struct err *e)
{
    if (dir == NULL)
        return RC_OK;
    const char *key_path = ca_path(a, dir, p, "key"), *crt_path = ca_path(a, dir, p, "crt");
    enum rc rc = ca_read(a, key_path, &p->key_pem, &p->have_key, e);
    if (rc == RC_OK)
        rc = ca_read(a, crt_path, &p->crt_pem, &p->have_crt, e);
    if (rc == RC_OK && p->have_key)
        rc = tls_parse_key(&p->key, p->key_pem, key_path, e);
    if (rc == RC_OK && p->have_crt)
        rc = tls_parse_chain(&p->crt, p->crt_pem, crt_path, e);
    return rc;
}

/* ---- the two certificates ---- */

static enum rc ca_make_authority(struct arena *a, const char *dir, struct ca_pair *ca,
                                 struct err *e)
{
    char id[9], subject[64];
    rand_text(id, 8, S("0123456789abcdef")); /* trust stores tell installations apart by the name */
    id[8] = '\0';
    snprintf(subject, sizeof subject, "CN=Postern CA %s,O=Postern", id);
    enum rc rc = ca->have_key ? RC_OK : ca_make_key(a, ca, e);
    if (rc == RC_OK)
        rc = ca_make_crt(a, ca, subject, subject, ca, NULL, e);
    return rc == RC_OK ? ca_save(a, dir, ca, e) : rc;
}

static enum rc ca_ensure_authority(struct arena *a, const char *dir, struct ca_pair *ca,
                                   struct err *e)
{
    enum rc rc = ca_load(a, dir, ca, e);
    if (rc != RC_OK)
        return rc;
    if (!ca->have_crt)
        return ca_make_authority(a, dir, ca, e);
    if (!ca->have_key)
        return err_set(e, RC_IO,
                       "%s is missing: restore it, or remove ca.crt beside it to make a new "
                       "CA (clients must then trust that one)",
                       ca_path(a, dir, ca, "key"));
    if (mbedtls_pk_check_pair(&ca->crt.pk, &ca->key, tls_random, NULL) != 0)
        return err_set(e, RC_BADINPUT, "%s does not belong to the ca.crt beside it",
                       ca_path(a, dir, ca, "key"));
    if (tls_time_ms(&ca->crt.valid_to) <= clock_wall_ms())
        return err_set(e, RC_BADINPUT,
                       "%s has expired: remove it and ca.key to make a new CA "
                       "(clients must then trust that one)",
                       ca_path(a, dir, ca, "crt"));
    return RC_OK;
}

static bool ca_leaf_good(struct arena *a, struct ca_pair *leaf, struct ca_pair *ca,
                         struct ca_names names)
{
    uint32_t flags = 0;
    return leaf->have_crt && leaf->have_key &&
           tls_time_ms(&leaf->crt.valid_to) > clock_wall_ms() + CA_RENEW_DAYS * CA_DAY_MS &&
           mbedtls_pk_check_pair(&leaf->crt.pk, &leaf->key, tls_random, NULL) == 0 &&
           mbedtls_x509_crt_verify(&leaf->crt, &ca->crt, NULL, NULL, &flags, NULL, NULL) == 0 &&
           ca_names_same(a, &leaf->crt, names);
}

static enum rc ca_ensure_leaf(struct arena *a, const char *dir, struct ca_pair *leaf,
                              struct ca_pair *ca, struct ca_names names, struct err *e)
{
    struct err broken;
    char issuer[400], subject[100];
    if (ca_load(a, dir, leaf, &broken) == RC_OK && ca_leaf_good(a, leaf, ca, names))
        return RC_OK;
    if (mbedtls_x509_dn_gets(issuer, sizeof issuer, &ca->crt.subject) < 0)
        return err_set(e, RC_BADINPUT, "the name of the CA is too long");
    bool fits = names.at[0].n <= 64; /* X.520: a common name has at most 64 characters */
    snprintf(subject, sizeof subject, "CN=%.*s,O=Postern", fits ? (int)names.at[0].n : 7,
             fits ? names.at[0].p : "postern");
    enum rc rc = ca_make_key(a, leaf, e);
    if (rc == RC_OK)
        rc = ca_make_crt(a, leaf, subject, issuer, ca, &names, e);
    return rc == RC_OK ? ca_save(a, dir, leaf, e) : rc;
}

enum rc tls_ca_ensure(struct arena *a, const char *dir, const struct slice *names, size_t names_n,
                      struct tls_pem *out, struct err *e)
{
    struct ca_pair ca, leaf;
    struct ca_names list = {names, names_n};
    memset(out, 0, sizeof *out);
    enum rc rc = ca_check_names(list, e);
    if (rc != RC_OK)
        return rc;
    tls_init();
    ca_pair_init(&ca, "ca");
    ca_pair_init(&leaf, "server");
    rc = ca_ensure_authority(a, dir, &ca, e);
    if (rc == RC_OK)
        rc = ca_ensure_leaf(a, dir, &leaf, &ca, list, e);
    if (rc == RC_OK)
        *out = (struct tls_pem){.ca_cert = ca.crt_pem, .cert = leaf.crt_pem, .key = leaf.key_pem};
    ca_pair_free(&ca);
    ca_pair_free(&leaf);
    return rc;
}
#undef CA_DAY_MS
