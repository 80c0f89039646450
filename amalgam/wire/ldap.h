/*
 * ldap.h - LDAPv3 messages (RFC 4511) as bytes <-> structs: simple bind, search of one entry, unbind;
 * search filters (RFC 4515) and values inside names (RFC 4514) from text.
 *
 * BER as LDAP narrows it: definite lengths of at most four bytes, one-byte tags. Reading: no recursion, no
 * allocation, slices point into the input; what does not fit is RC_BADINPUT, what is longer than max is
 * RC_TOOBIG, an unfinished message RC_AGAIN. Writing: into a buf. Filters: at most 4 KiB and 16 levels; no
 * extensible match. Threads: pure.
 */
#ifndef WIRE_LDAP_H
#define WIRE_LDAP_H

#include "base/buf.h"
#include "base/err.h"

enum ldap_op {
    LDAP_BIND_REQUEST = 0x60,
    LDAP_BIND_RESPONSE = 0x61,
    LDAP_UNBIND_REQUEST = 0x42,
    LDAP_SEARCH_REQUEST = 0x63,
    LDAP_SEARCH_ENTRY = 0x64,
    LDAP_SEARCH_DONE = 0x65,
    LDAP_SEARCH_REFERENCE = 0x73,
    LDAP_EXTENDED_REQUEST = 0x77,
    LDAP_EXTENDED_RESPONSE = 0x78
};
enum ldap_code { /* those that mean something to us */
    LDAP_SUCCESS = 0,
    LDAP_CONSTRAINT_VIOLATION = 19,
    LDAP_NO_SUCH_OBJECT = 32,
    LDAP_INVALID_DN = 34,
    LDAP_INAPPROPRIATE_AUTH = 48,
    LDAP_INVALID_CREDENTIALS = 49,
    LDAP_INSUFFICIENT_RIGHTS = 50,
    LDAP_UNWILLING = 53
};

struct ldap_msg {
    int32_t id;
    enum ldap_op op;
    struct slice body; /* content of the operation */
    size_t bytes;      /* of the whole message */
};
FN enum rc ldap_read(struct slice in, size_t max, struct ldap_msg *m) MUST_CHECK;
FN enum rc ldap_read_result(const struct ldap_msg *m, int *code) MUST_CHECK;

struct ldap_entry {
    struct slice dn;
    struct slice attributes; /* not read yet */
};
struct ldap_attr {
    struct slice name, values; /* values: not read yet */
};
FN enum rc ldap_read_entry(const struct ldap_msg *m, struct ldap_entry *e) MUST_CHECK;
/* The next one off; RC_NOTFOUND at the end. */
FN enum rc ldap_attr_next(struct ldap_entry *e, struct ldap_attr *a) MUST_CHECK;
FN enum rc ldap_value_next(struct ldap_attr *a, struct slice *value) MUST_CHECK;

FN void ldap_write_bind(struct buf *out, int32_t id, struct slice dn, struct slice password);
/* Scope: the entry itself. filter: made by ldap_filter. One attribute is asked for. */
FN void ldap_write_search(struct buf *out, int32_t id, struct slice dn, struct slice filter,
                          struct slice attribute, int32_t time_s);
FN void ldap_write_start_tls(struct buf *out, int32_t id); /* RFC 4511 4.14 */
FN void ldap_write_unbind(struct buf *out, int32_t id);

/* "(&(uid=*)(!(locked=TRUE)))" -> BER, appended. */
FN enum rc ldap_filter(struct slice text, struct buf *out, struct err *e) MUST_CHECK;

/* A value as it stands in a name: every character that means something there is escaped. */
enum { LDAP_VALUE_MAX = 256, LDAP_ESCAPED_MAX = LDAP_VALUE_MAX * 3 };
FN struct slice ldap_dn_escape(struct slice value, char dst[LDAP_ESCAPED_MAX]);
/* Two names are the same but for case (ASCII) and spaces around separators; escapes must be alike. */
FN bool ldap_dn_same(struct slice a, struct slice b);

#endif
