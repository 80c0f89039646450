/*
 * ldap.c - LDAP messages, filters and names.
 *
 * Called by policy/ldap_link.c with what a directory sent, and by step_ldap.c when a policy is loaded.
 * Everything read is bounded by the message, which is bounded by the caller; depth of filters is bounded
 * here. Lengths are written in the shortest form; those read may be longer than needed, as BER allows.
 * No I/O, no state, any thread. Tested by tests/unit/wire/test_ldap.c; fuzzed by tests/fuzz/fuzz_ldap.c.
 */
#include "wire/ldap.h"

enum {
    BER_BOOLEAN = 0x01,
    BER_INTEGER = 0x02,
    BER_OCTETS = 0x04,
    BER_ENUM = 0x0a,
    BER_SEQUENCE = 0x30,
    BER_SET = 0x31,
    LDAP_SIMPLE = 0x80,
    LDAP_EXTENDED_NAME = 0x80,
    LDAP_FILTER_AND = 0xa0,
    LDAP_FILTER_OR = 0xa1,
    LDAP_FILTER_NOT = 0xa2,
    LDAP_FILTER_EQUAL = 0xa3,
    LDAP_FILTER_PARTS = 0xa4,
    LDAP_FILTER_GREATER = 0xa5,
    LDAP_FILTER_LESS = 0xa6,
    LDAP_FILTER_PRESENT = 0x87,
    LDAP_FILTER_LIKE = 0xa8,
    LDAP_FILTER_DEPTH = 16,
    LDAP_FILTER_BYTES = 4096
};

/* ---- reading ---- */

/* Tag and length at the front: *head is their size. */
static enum rc ldap_head(struct slice in, uint8_t *tag, size_t *head, size_t *length)
{
    const uint8_t *p = (const uint8_t *)in.p;
    size_t n;

    if (in.n < 2)
        return RC_AGAIN;
    *tag = p[0];
    if ((p[0] & 0x1f) == 0x1f)
        return RC_BADINPUT; /* a tag of several bytes */
    *head = 2;
    *length = p[1];
    if (p[1] < 0x80)
        return RC_OK;
    n = p[1] & 0x7f;
    if (n == 0 || n > 4)
        return RC_BADINPUT;
    if (in.n < 2 + n)
        return RC_AGAIN;
    *length = 0;
    for (size_t i = 0; i < n; i++)
        *length = *length << 8 | p[2 + i];
    *head = 2 + n;
    return RC_OK;
}

/* The next element off; inside a whole message, so all of it must be there. */
static bool ldap_take(struct slice *in, uint8_t *tag, struct slice *value)
{
    size_t head, length;

    if (ldap_head(*in, tag, &head, &length) != RC_OK || length > in->n - head)
        return false;
    *value = slice_sub(*in, head, length);
    *in = slice_from(*in, head + length);
    return true;
}

static bool ldap_take_as(struct slice *in, uint8_t wanted, struct slice *value)
{
    uint8_t tag;

    return ldap_take(in, &tag, value) && tag == wanted;
}

static bool ldap_take_int(struct slice *in, uint8_t tag, int64_t *out)
{
    struct slice v;
    int64_t n;

    if (!ldap_take_as(in, tag, &v) || v.n == 0 || v.n > 4)
        return false;
    n = (v.p[0] & 0x80) ? -1 : 0;
    for (size_t i = 0; i < v.n; i++)
        n = (int64_t)((uint64_t)n << 8 | (uint8_t)v.p[i]);
    *out = n;
    return true;
}

enum rc ldap_read(struct slice in, size_t max, struct ldap_msg *m)
{
    uint8_t tag;
    size_t head, length;
    struct slice body;
    int64_t id;
    enum rc rc = ldap_head(in, &tag, &head, &length);

    if (rc != RC_OK)
        return rc;
    if (tag != BER_SEQUENCE)
        return RC_BADINPUT;
    if (length > max || head + length > max)
        return RC_TOOBIG;
    if (in.n < head + length)
        return RC_AGAIN;
    body = slice_sub(in, head, length);
    if (!ldap_take_int(&body, BER_INTEGER, &id) || id < 0 || id > INT32_MAX ||
        !ldap_take(&body, &tag, &m->body))
        return RC_BADINPUT;
    m->id = (int32_t)id;
    m->op = (enum ldap_op)tag;
    m->bytes = head + length;
    return RC_OK; /* controls may follow: none is asked for, none is looked at */
}

enum rc ldap_read_result(const struct ldap_msg *m, int *code)
{
    struct slice in = m->body, dn, text;
    int64_t n;

    if (!ldap_take_int(&in, BER_ENUM, &n) || n < 0 || !ldap_take_as(&in, BER_OCTETS, &dn) ||
        !ldap_take_as(&in, BER_OCTETS, &text))
        return RC_BADINPUT;
    *code = (int)n;
    return RC_OK;
}

enum rc ldap_read_entry(const struct ldap_msg *m, struct ldap_entry *e)
{
    struct slice in = m->body;

    return ldap_take_as(&in, BER_OCTETS, &e->dn) && ldap_take_as(&in, BER_SEQUENCE, &e->attributes)
               ? RC_OK : RC_BADINPUT;
}

enum rc ldap_attr_next(struct ldap_entry *e, struct ldap_attr *a)
{
    struct slice in;

    if (e->attributes.n == 0)
        return RC_NOTFOUND;
    return ldap_take_as(&e->attributes, BER_SEQUENCE, &in) && ldap_take_as(&in, BER_OCTETS, &a->name) &&
                   ldap_take_as(&in, BER_SET, &a->values)
               ? RC_OK : RC_BADINPUT;
}

enum rc ldap_value_next(struct ldap_attr *a, struct slice *value)
{
    if (a->values.n == 0)
        return RC_NOTFOUND;
    return ldap_take_as(&a->values, BER_OCTETS, value) ? RC_OK : RC_BADINPUT;
}

/* ---- writing: parts are put together first, so that every length is known ---- */

static size_t ldap_length_size(size_t n)
{
    return n < 0x80 ? 1 : n < 0x100 ? 2 : n < 0x10000 ? 3 : 4;
}

static void ldap_put_head(struct buf *out, uint8_t tag, size_t n)
{
    size_t size = ldap_length_size(n);

    CHECK(n < 1u << 24);
    buf_byte(out, (char)tag);
    if (size > 1)
        buf_byte(out, (char)(0x80 | (size - 1)));
    for (size_t i = size > 1 ? size - 1 : 1; i > 0; i--)
        buf_byte(out, (char)(n >> (i - 1) * 8 & 0xff));
}

static void ldap_put(struct buf *out, uint8_t tag, struct slice value)
{
    ldap_put_head(out, tag, value.n);
    buf_slice(out, value);
}

static size_t ldap_size(size_t n)
{
    return 1 + ldap_length_size(n) + n;
}

/* Four bytes always: one form, one size. */
static void ldap_put_int(struct buf *out, int32_t n)
{
    ldap_put_head(out, BER_INTEGER, 4);
    for (int i = 24; i >= 0; i -= 8)
        buf_byte(out, (char)((uint32_t)n >> i & 0xff));
}

static void ldap_put_message(struct buf *out, int32_t id, enum ldap_op op, size_t body)
{
    ldap_put_head(out, BER_SEQUENCE, ldap_size(4) + ldap_size(body));
    ldap_put_int(out, id);
    ldap_put_head(out, (uint8_t)op, body);
}

void ldap_write_bind(struct buf *out, int32_t id, struct slice dn, struct slice password)
{
    ldap_put_message(out, id, LDAP_BIND_REQUEST, 3 + ldap_size(dn.n) + ldap_size(password.n));
    ldap_put(out, BER_INTEGER, S("\x03")); /* version */
    ldap_put(out, BER_OCTETS, dn);
    ldap_put(out, LDAP_SIMPLE, password);
}

void ldap_write_search(struct buf *out, int32_t id, struct slice dn, struct slice filter,
                       struct slice attribute, int32_t time_s)
{
    size_t list = ldap_size(attribute.n);

    ldap_put_message(out, id, LDAP_SEARCH_REQUEST,
                     ldap_size(dn.n) + 3 + 3 + ldap_size(4) * 2 + 3 + filter.n + ldap_size(list));
    ldap_put(out, BER_OCTETS, dn);
    ldap_put(out, BER_ENUM, S("\0")); /* base object */
    ldap_put(out, BER_ENUM, S("\0")); /* never follow aliases */
    ldap_put_int(out, 1);             /* entries */
    ldap_put_int(out, time_s);
    ldap_put(out, BER_BOOLEAN, S("\0")); /* values too */
    buf_slice(out, filter);
    ldap_put_head(out, BER_SEQUENCE, list);
    ldap_put(out, BER_OCTETS, attribute);
}

void ldap_write_start_tls(struct buf *out, int32_t id)
{
    struct slice oid = S("1.3.6.1.4.1.1466.20037");

    ldap_put_message(out, id, LDAP_EXTENDED_REQUEST, ldap_size(oid.n));
    ldap_put(out, LDAP_EXTENDED_NAME, oid);
}

void ldap_write_unbind(struct buf *out, int32_t id)
{
    ldap_put_message(out, id, LDAP_UNBIND_REQUEST, 0);
}

/* ---- filters ---- */

struct ldap_parse {
    struct slice in;
    const char *why;
    int depth;
};

static bool ldap_filter_fail(struct ldap_parse *p, const char *why)
{
    if (!p->why)
        p->why = why;
    return false;
}

/* "\2a" undone; what RFC 4515 wants escaped is refused bare. */
static bool ldap_unescape(struct ldap_parse *p, struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int high, low;
        if (s.p[i] != '\\') {
            buf_byte(out, s.p[i]);
            continue;
        }
        high = i + 2 < s.n ? ascii_hex(s.p[i + 1]) : -1;
        low = i + 2 < s.n ? ascii_hex(s.p[i + 2]) : -1;
        if (high < 0 || low < 0)
            return ldap_filter_fail(p, "a backslash is followed by two hexadecimal digits");
        buf_byte(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

static bool ldap_attribute_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != ';' && s.p[i] != '.')
            return false;
    return s.n > 0;
}

/* a*b*c: what stands first, in between, last */
static bool ldap_filter_parts(struct ldap_parse *p, struct slice name, struct slice value, struct buf *out)
{
    struct buf parts;
    bool first = true, ok = true;

    buf_init(&parts, LDAP_FILTER_BYTES * 2);
    for (;;) {
        size_t star = slice_index(value, '*');
        bool last = star == SIZE_MAX;
        struct slice part = slice_sub(value, 0, last ? value.n : star);
        struct buf raw;
        buf_init(&raw, LDAP_FILTER_BYTES);
        ok = ok && ldap_unescape(p, part, &raw);
        if (part.n > 0)
            ldap_put(&parts, first ? 0x80 : last ? 0x82 : 0x81, buf_all(&raw));
        else if (!first && !last)
            ok = ldap_filter_fail(p, "two stars side by side");
        buf_free(&raw);
        first = false;
        if (last)
            break;
        value = slice_from(value, star + 1);
    }
    ldap_put_head(out, LDAP_FILTER_PARTS, ldap_size(name.n) + ldap_size(buf_all(&parts).n));
    ldap_put(out, BER_OCTETS, name);
    ldap_put(out, BER_SEQUENCE, buf_all(&parts));
    buf_free(&parts);
    return ok;
}

/* name=value, name>=value, name<=value, name~=value, name=*, name=a*b */
static bool ldap_filter_item(struct ldap_parse *p, struct slice item, struct buf *out)
{
    size_t at = slice_index(item, '=');
    struct slice name = slice_sub(item, 0, at == SIZE_MAX ? 0 : at), value = slice_from(item, name.n + 1);
    char before = name.n ? name.p[name.n - 1] : '\0';
    uint8_t tag = before == '>' ? LDAP_FILTER_GREATER : before == '<' ? LDAP_FILTER_LESS
                  : before == '~' ? LDAP_FILTER_LIKE : LDAP_FILTER_EQUAL;
    struct buf raw;
    bool ok;

    if (tag != LDAP_FILTER_EQUAL)
        name.n--;
    if (at == SIZE_MAX || !ldap_attribute_ok(name))
        return ldap_filter_fail(p, "expected (name=value); extensible matches are not served");
    if (tag == LDAP_FILTER_EQUAL && slice_eq(value, S("*"))) {
        ldap_put(out, LDAP_FILTER_PRESENT, name);
        return true;
    }
    if (tag == LDAP_FILTER_EQUAL && slice_index(value, '*') != SIZE_MAX)
        return ldap_filter_parts(p, name, value, out);
    buf_init(&raw, LDAP_FILTER_BYTES);
    ok = slice_index(value, '*') == SIZE_MAX ? ldap_unescape(p, value, &raw) : ldap_filter_fail(p, "a star in a comparison");
    ldap_put_head(out, tag, ldap_size(name.n) + ldap_size(buf_all(&raw).n));
    ldap_put(out, BER_OCTETS, name);
    ldap_put(out, BER_OCTETS, buf_all(&raw));
    buf_free(&raw);
    return ok;
}

static bool ldap_filter_one(struct ldap_parse *p, struct buf *out);

/* (&...), (|...), (!.) behind the sign */
static bool ldap_filter_list(struct ldap_parse *p, char sign, struct buf *out)
{
    struct buf inner;
    size_t n = 0;
    bool ok = true;

    buf_init(&inner, LDAP_FILTER_BYTES * 4);
    while (ok && p->in.n > 0 && p->in.p[0] == '(') {
        ok = ldap_filter_one(p, &inner);
        n++;
    }
    if (ok && (n == 0 || (sign == '!' && n != 1)))
        ok = ldap_filter_fail(p, sign == '!' ? "! stands before one filter" : "& and | stand before filters");
    ldap_put(out, sign == '&' ? LDAP_FILTER_AND : sign == '|' ? LDAP_FILTER_OR : LDAP_FILTER_NOT, buf_all(&inner));
    ok = ok && !buf_over(&inner);
    buf_free(&inner);
    return ok;
}

static bool ldap_filter_one(struct ldap_parse *p, struct buf *out)
{
    bool ok;

    if (p->in.n < 2 || p->in.p[0] != '(')
        return ldap_filter_fail(p, "expected (");
    if (++p->depth > LDAP_FILTER_DEPTH)
        return ldap_filter_fail(p, "nested deeper than 16 levels");
    p->in = slice_from(p->in, 1);
    if (p->in.p[0] == '&' || p->in.p[0] == '|' || p->in.p[0] == '!') {
        char sign = p->in.p[0];
        p->in = slice_from(p->in, 1);
        ok = ldap_filter_list(p, sign, out);
    } else {
        size_t n = 0;
        while (n < p->in.n && p->in.p[n] != '(' && p->in.p[n] != ')')
            n++;
        ok = ldap_filter_item(p, slice_sub(p->in, 0, n), out);
        p->in = slice_from(p->in, n);
    }
    if (ok && (p->in.n == 0 || p->in.p[0] != ')'))
        ok = ldap_filter_fail(p, "expected )");
    p->in = slice_from(p->in, 1);
    p->depth--;
    return ok;
}

enum rc ldap_filter(struct slice text, struct buf *out, struct err *e)
{
    struct ldap_parse p = {.in = text};

    if (text.n > LDAP_FILTER_BYTES)
        return err_set(e, RC_TOOBIG, "a filter has at most %d bytes", LDAP_FILTER_BYTES);
    if (slice_index(text, '\0') != SIZE_MAX || !ldap_filter_one(&p, out))
        return err_set(e, RC_BADINPUT, "this is no LDAP filter: %s", p.why ? p.why : "malformed");
    if (p.in.n > 0)
        return err_set(e, RC_BADINPUT, "this is no LDAP filter: something stands behind its end");
    return buf_over(out) ? err_set(e, RC_TOOBIG, "the filter is too long") : RC_OK;
}

/* ---- names ---- */

static bool ldap_dn_special(struct slice v, size_t i)
{
    char c = v.p[i];

    return strchr("\"+,;<>\\=#", c) || (c == ' ' && (i == 0 || i + 1 == v.n)) || (unsigned char)c < ' ' ||
           c == 0x7f;
}

struct slice ldap_dn_escape(struct slice value, char dst[LDAP_ESCAPED_MAX])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < value.n && i < LDAP_VALUE_MAX; i++) {
        char c = value.p[i];
        if (!ldap_dn_special(value, i)) { /* strchr finds NUL too */
            dst[n++] = c;
            continue;
        }
        dst[n++] = '\\';
        dst[n++] = hex[(unsigned char)c >> 4];
        dst[n++] = hex[(unsigned char)c & 15];
    }
    return slice_of(dst, n);
}

static bool ldap_separates(struct slice s, size_t i)
{
    return i >= s.n || s.p[i] == ',' || s.p[i] == '=' || s.p[i] == '+';
}

/* The next character that counts, in lower case, or -1 at the end. *raw: it was escaped. */
static int ldap_dn_next(struct slice s, size_t *at, bool *at_start)
{
    size_t i = *at;

    for (;;) {
        size_t end = i;
        while (end < s.n && s.p[end] == ' ')
            end++;
        if (end == i || !(*at_start || ldap_separates(s, end)))
            break;
        i = end; /* spaces before or behind a separator, or at the ends */
    }
    if (i >= s.n) {
        *at = i;
        return -1;
    }
    *at_start = ldap_separates(s, i);
    *at = i + 1;
    return (unsigned char)ascii_lower(s.p[i]);
}

/* An escaped character belongs to its backslash: "\," is no separator and "\ " no space to drop. */
static int ldap_dn_step(struct slice s, size_t *at, bool *at_start, bool *escaped)
{
    int c;

    if (*escaped && *at < s.n) {
        *escaped = false;
        *at_start = false;
        c = (unsigned char)ascii_lower(s.p[*at]);
        (*at)++;
        return c;
    }
    c = ldap_dn_next(s, at, at_start);
    *escaped = c == '\\';
    return c;
}

bool ldap_dn_same(struct slice a, struct slice b)
{
    size_t i = 0, k = 0;
    bool a_start = true, b_start = true, a_escaped = false, b_escaped = false;

    for (;;) {
        int x = ldap_dn_step(a, &i, &a_start, &a_escaped), y = ldap_dn_step(b, &k, &b_start, &b_escaped);
        if (x != y)
            return false;
        if (x < 0)
            return true;
    }
}
