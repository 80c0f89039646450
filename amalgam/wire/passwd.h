/*
 * passwd.h - stored passwords as htpasswd and its kin write them, and the check of one.
 *
 *   sha1      hex SHA-1 over password and salt, or htpasswd's "{SHA}" + base64 of an unsalted one
 *   apr1      "$apr1$<salt>$<22>" or salt and the 22 characters apart (MD5, 1000 rounds; Apache's)
 *   bcrypt    "$2a$", "$2b$" or "$2y$", cost 4 to 16; a password counts up to its 72nd byte
 *   argon2id  PHC string (RFC 9106), at most 64 MiB and 10 passes
 *
 * A struct passwd points into the texts that it was parsed from. passwd_verify compares without
 * telling by time where a hash differs; its cost depends on the stored text and on the length of the
 * password alone. passwd_blocks says whether it takes more than about a millisecond: then worker
 * threads only. Errors: RC_BADINPUT with a text that shows nothing of the hash. Threads: pure.
 */
#ifndef WIRE_PASSWD_H
#define WIRE_PASSWD_H

#include "base/err.h"
#include "base/slice.h"

enum { PASSWD_BYTES_MAX = 1024 }; /* of a password; longer ones never match */

enum passwd_kind { PASSWD_APR1, PASSWD_SHA1, PASSWD_BCRYPT, PASSWD_ARGON2ID };
struct passwd {
    enum passwd_kind kind;
    struct slice salt, text; /* apr1: salt and its 22 characters; argon2id: the PHC string */
    uint32_t cost;           /* bcrypt */
    uint8_t salt_raw[16];    /* bcrypt */
    uint8_t hash[23];        /* sha1 (20), bcrypt */
};
/* What text begins with decides the kind; without a `$` or `{SHA}` it is one of `otherwise` (apr1 or
 * sha1) with that salt. */
FN enum rc passwd_parse(struct slice text, struct slice salt, enum passwd_kind otherwise,
                        struct passwd *out, struct err *e) MUST_CHECK;
FN bool passwd_verify(const struct passwd *p, struct slice password);
FN bool passwd_blocks(const struct passwd *p, struct slice password);

/* bcrypt.c: 2^cost rounds; the first call of a process takes some 50 ms more. */
FN void bcrypt_hash(struct slice password, const uint8_t salt[16], uint32_t cost, uint8_t out[23]);

#endif
