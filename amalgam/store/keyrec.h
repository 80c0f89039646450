/*
 * keyrec.h - API keys in the keyspace, in Gloo's form, so that either side can read the other's:
 *     <uuid> -> <hash>
 *     <hash> -> {"api_key":"<hash>","labels":[...],"metadata":{...},"uuid":"<uuid>"}
 * hash = base64(HMAC-SHA-256(secret key, API key)) by default; the scheme is a setting. Members in
 * alphabetical order, metadata values are strings. Extra metadata of ours: "expires-ts-unix",
 * "public", "product", "app", "user-id", "rotated-until-ts-unix". Clear keys are never stored.
 * Keys are always on disk before they are acknowledged: keyrec_put and keyrec_del give the lsn; the
 * caller calls store_sync(lsn) outside the lock before it answers.
 * Threads: inside store_enter/store_leave where noted; the rest pure.
 */
#ifndef STORE_KEYREC_H
#define STORE_KEYREC_H

#include "store/store.h"
#include "wire/hash.h"

#define KEYREC_HASH_LEN 44
enum keyrec_scheme_kind { KEYREC_HMAC_SHA256, KEYREC_SHA256, KEYREC_PLAIN };
struct keyrec_scheme {
    enum keyrec_scheme_kind kind;
    struct hmac_key hmac;
    int db; /* database of the keyspace, default 0 */
};
/* The key of the store that an API key is kept under, into dst (>= KEYREC_HASH_LEN); for PLAIN the
 * slice given is returned. */
FN struct slice keyrec_hash(const struct keyrec_scheme *s, struct slice api_key, char *dst);

struct keyrec_pair {
    struct slice name, value;
};
struct keyrec {
    struct slice hash, uuid;
    struct slice labels[8];
    size_t labels_n;
    struct keyrec_pair meta[32];
    size_t meta_n;
};
FN struct slice keyrec_meta(const struct keyrec *k, struct slice name); /* "" when absent */
FN bool keyrec_meta_set(struct keyrec *k, struct slice name, struct slice value); /* false: full */

/* Inside the lock. Strings of *out are copies in the arena. RC_NOTFOUND; RC_BADINPUT: not our JSON. */
FN enum rc keyrec_get(struct store *st, int db, struct slice hash, struct arena *a,
                      struct keyrec *out) MUST_CHECK;
FN enum rc keyrec_by_uuid(struct store *st, int db, struct slice uuid, struct arena *a,
                          struct keyrec *out) MUST_CHECK;
FN void keyrec_put(struct store *st, int db, const struct keyrec *k, struct arena *scratch);
FN bool keyrec_del(struct store *st, int db, struct slice uuid);
/* Inside the lock. When a key was last used (wall ms, 0: never), in one hash beside the records, so that
 * noting a use does not change a record that caches hold. Checks note it at most once a minute. */
#define KEYREC_USED "postern:key-used"
FN void keyrec_note_use(struct store *st, int db, struct slice uuid, int64_t now_ms);
FN int64_t keyrec_last_use(struct store *st, int db, struct slice uuid);
FN enum rc keyrec_parse(struct slice json, struct arena *a, struct keyrec *out) MUST_CHECK;

#endif
