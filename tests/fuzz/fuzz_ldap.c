/*
 * fuzz_ldap.c - a directory's answers, filters and names with any bytes: nothing is read beyond the input,
 * what is written reads back, an escaped value is one value.
 *
 * Seeds: tests/fuzz/seeds/fuzz_ldap.
 */
#include "base/mem.h"
#include "wire/ldap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_ldap_answer(struct slice in)
{
    struct ldap_msg m;
    struct ldap_entry e;
    struct ldap_attr a;
    struct slice v;
    int code;

    while (ldap_read(in, 1 << 16, &m) == RC_OK) {
        MUST(m.bytes > 0 && m.bytes <= in.n && m.id >= 0);
        if (ldap_read_result(&m, &code) == RC_OK)
            MUST(code >= 0);
        if (ldap_read_entry(&m, &e) == RC_OK)
            while (ldap_attr_next(&e, &a) == RC_OK)
                while (ldap_value_next(&a, &v) == RC_OK)
                    MUST(v.n <= in.n);
        in = slice_from(in, m.bytes);
    }
}

static void fuzz_ldap_written(struct slice in)
{
    struct buf b;
    struct ldap_msg m;

    buf_init(&b, 1 << 20);
    ldap_write_bind(&b, 7, in, in);
    MUST(ldap_read(buf_all(&b), 1 << 20, &m) == RC_OK && m.bytes == buf_all(&b).n && m.id == 7);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size + 1), escaped[LDAP_ESCAPED_MAX];
    struct slice in = slice_of(copy, size), value;
    struct err e = {0};
    struct buf b;

    if (size > 0)
        memcpy(copy, data, size);
    fuzz_ldap_answer(in);
    fuzz_ldap_written(in);
    buf_init(&b, 1 << 20);
    if (ldap_filter(in, &b, &e) == RC_OK) {
        struct ldap_msg m;
        struct buf s;
        buf_init(&s, 1 << 20);
        ldap_write_search(&s, 1, S("cn=a"), buf_all(&b), S("memberOf"), 5);
        MUST(ldap_read(buf_all(&s), 1 << 20, &m) == RC_OK && m.bytes == buf_all(&s).n);
        buf_free(&s);
    }
    buf_free(&b);
    value = ldap_dn_escape(slice_sub(in, 0, LDAP_VALUE_MAX), escaped);
    for (size_t i = 0; i < value.n; i++)
        MUST(value.p[i] != ',' && value.p[i] != '=' && value.p[i] != '+' && value.p[i] != '\0');
    MUST(ldap_dn_same(in, in));
    MUST(ldap_dn_same(slice_sub(in, 0, size / 2), slice_from(in, size / 2)) ==
         ldap_dn_same(slice_from(in, size / 2), slice_sub(in, 0, size / 2)));
    mem_free(copy);
    return 0;
}
