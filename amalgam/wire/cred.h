/*
 * cred.h - credentials as text: API keys of our form, password hashes, Basic, cookies.
 *
 * API key: <prefix>_<8 public id><30 secret><6 checksum>, base62; the checksum is CRC-32 (IEEE) of
 * all that stands before it, base62, left-padded with '0'. A typo is found without the store.
 * Passwords: argon2id (RFC 9106), PHC string, 19 MiB, t=2, p=1; verify reads the costs from the
 * string, bounded (64 MiB, t 10). Cookies: RFC 6265. Threads: pure; argon2 blocks ~25 ms: worker
 * threads only.
 */
#ifndef WIRE_CRED_H
#define WIRE_CRED_H

#include "base/arena.h"
#include "base/err.h"

#define APIKEY_PUBLIC_LEN 8
#define APIKEY_SECRET_LEN 30
#define APIKEY_CHECK_LEN  6
#define APIKEY_PREFIX_MAX 16

/* New key into the arena; *public_part is "<prefix>_<8 id>". */
FN struct slice apikey_new(struct arena *a, struct slice prefix, struct slice *public_part);
/* True if key has our form and a right checksum (keys of other makers are not of our form). */
FN bool apikey_form_ok(struct slice key);
FN UNUSED struct slice apikey_public_part(struct slice key); /* "" when not of our form */

FN struct slice password_hash(struct arena *a, struct slice password);
FN bool password_verify(struct slice phc, struct slice password);
/* True if phc is an argon2id string within the bounds that password_verify serves. */
FN bool password_phc_ok(struct slice phc);
/* Same work as a real verification, always false: for unknown users. */
FN bool password_verify_nobody(struct slice password);
/* Rules for new passwords (NIST 800-63B-4): at least 12 characters, not in the blocklist, not the
 * e-mail. NULL when fine, else the sentence to show. */
FN const char *password_complaint(struct slice password, struct slice email);

/* Basic credentials (RFC 7617), strict: one space-separated token of canonical base64, UTF-8 or not, a
 * colon, no control characters, a name of at most BASIC_USER_MAX bytes. The decoded text is in dst:
 * wipe it. RC_NOTFOUND: another scheme, or nothing; RC_BADINPUT: malformed or too long. */
enum { BASIC_USER_MAX = 256, BASIC_BYTES_MAX = BASIC_USER_MAX + 1 + 1024 };
FN enum rc basic_read(struct slice authorization, char dst[BASIC_BYTES_MAX], struct slice *user,
                      struct slice *password) MUST_CHECK;
/* One spelling of a user's name: ASCII letters folded, spaces trimmed, runs of them one space. */
FN struct slice user_canon(struct slice user, char dst[BASIC_USER_MAX]);

/* Parameters behind a scheme (RFC 9110 11.2): name="text" or name=token, by commas. Takes the next one
 * off *rest. RC_NOTFOUND at the end; RC_BADINPUT: malformed (also a backslash inside quotes). */
FN enum rc auth_param_next(struct slice *rest, struct slice *name, struct slice *value) MUST_CHECK;

/* Value of cookie `name` in a Cookie header; false if absent; RC_BADINPUT semantics: twice = false.
 */
FN bool cookie_get(struct slice header, struct slice name, struct slice *value);

#endif
