/*
 * settings.h - every setting of Postern: one row each, and where its value came from.
 *
 * flag > environment (POSTERN_..., POSTERN_..._FILE for secrets) > postern.yaml > default. The rows say
 * name, flag, kind, default, range and meaning; `config print`, `--help`, docs/configuration.md and
 * the check of unknown names read the same rows. An unknown setting is an error that names the
 * nearest known one. Texts live in the settings' arena. Threads: built at start, then read only.
 */
#ifndef MAIN_SETTINGS_H
#define MAIN_SETTINGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum setting_id {
    SET_DATA_DIR, SET_POLICIES_DIR, SET_POLICIES_STRICT, SET_LUA_DIR, SET_LUA_INSTRUCTIONS,
    SET_LUA_MEMORY, SET_THREADS, SET_PASSWORDS_THREADS, SET_PASSWORDS_QUEUE,
    SET_THROTTLE_ADDRESS, SET_THROTTLE_ACCOUNT, SET_THROTTLE_WINDOW, SET_THROTTLE_EXEMPT, SET_SECRET_KEY, SET_LOG_LEVEL, SET_LOG_JSON,
    SET_STORE_ENGINE, SET_STORE_DURABILITY, SET_STORE_MAXMEMORY, SET_STORE_EVICTION,
    SET_CHECK_LISTEN, SET_CHECK_SOCKET_MODE, SET_CHECK_TRUSTED, SET_CHECK_BODY_MAX, SET_CHECK_HEAD_MAX,
    SET_CHECK_TARGET_MAX, SET_CHECK_HEADERS_MAX, SET_CHECK_STREAMS_MAX, SET_CHECK_CONN_MAX, SET_CHECK_IDLE,
    SET_CHECK_HEAD_TIMEOUT, SET_CHECK_RATELIMIT_HEADERS, SET_CHECK_X_RATELIMIT_HEADERS, SET_CHECK_EXPLAIN,
    SET_DECISIONS_FILE, SET_DECISIONS_MAX, SET_DECISIONS_KIND,
    SET_CHECK_TLS_CERT, SET_CHECK_TLS_KEY, SET_CHECK_TLS_CLIENT_CA,
    SET_REDIS_LISTEN, SET_REDIS_SOCKET_MODE, SET_REDIS_PASSWORD, SET_REDIS_CONN_MAX, SET_REDIS_IDLE, SET_REDIS_BULK_MAX,
    SET_REDIS_INLINE_MAX, SET_REDIS_ARGS_MAX, SET_REDIS_VERSION, SET_REDIS_TLS_CERT,
    SET_REDIS_TLS_KEY, SET_REDIS_TLS_CLIENT_CA,
    SET_PORTAL_LISTEN, SET_PORTAL_NAMES, SET_PORTAL_TLS_CERT, SET_PORTAL_TLS_KEY, SET_PORTAL_TITLE,
    SET_PORTAL_PUBLIC, SET_PORTAL_GATEWAY_URL, SET_PORTAL_KEY_PREFIX, SET_PORTAL_CONN_MAX,
    SET_PORTAL_IDLE, SET_PORTAL_SESSION_IDLE, SET_PORTAL_SESSION_MAX, SET_PORTAL_BODY_MAX,
    SET_ADMIN_LISTEN, SET_OUTBOUND_CA, SET_OUTBOUND_CONNS, SET_COUNT
};

enum setting_kind {
    KIND_TEXT, KIND_PATH, KIND_ADDR, KIND_INT, KIND_BYTES, KIND_DURATION, KIND_BOOL, KIND_CHOICE,
    KIND_LIST,  /* words with commas; a YAML sequence, too */
    KIND_PEERS, /* the same, of addresses, CIDR ranges, names in certificates and the word unix */
    KIND_RANGES, /* the same, of addresses and CIDR ranges alone */
    KIND_WORD,  /* letters and digits */
    KIND_SECRET
};
enum { SETTING_PEERS_MAX = 64 }; /* as many as check_opts holds */
/* "spiffe://..." or "dns:..." of a KIND_PEERS list: the name as a certificate has it, * and ? as globs. */
FN bool setting_peer_name(struct slice word, struct slice *name);
enum setting_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENV, ORIGIN_FLAG };

struct setting_row {
    enum setting_id id;
    const char *name; /* "check.listen" in postern.yaml; POSTERN_CHECK_LISTEN in the environment */
    const char *flag; /* "--check", or NULL */
    enum setting_kind kind;
    const char *otherwise;  /* default as text */
    int64_t min, max;       /* of numbers, bytes, milliseconds; of the length of paths and words */
    const char *choices;    /* "memory|sqlite" */
    const char *doc;
};
struct setting_value {
    struct slice text;
    int64_t number; /* INT, BYTES, DURATION (ms), BOOL */
    enum setting_origin origin;
    struct slice place; /* "--check", "POSTERN_CHECK_LISTEN", "postern.yaml:4:3" */
};
struct settings {
    struct arena arena;
    struct setting_value v[SET_COUNT];
    struct slice file; /* postern.yaml that was read, or "" */
};

FN void settings_init(struct settings *s); /* the defaults */
FN void settings_free(struct settings *s);
/* Flags first: takes the settings' flags out of argv (argc is updated), leaves the rest in order. */
FN enum rc settings_flags(struct settings *s, int *argc, char **argv, struct err *e) MUST_CHECK;
/* Then environment and file fill what no flag said. config: path of --config or NULL. */
FN enum rc settings_load(struct settings *s, const char *config, char **envp, struct err *e) MUST_CHECK;
FN enum rc settings_put(struct settings *s, enum setting_id id, struct slice text,
                        enum setting_origin origin, struct slice place, struct err *e) MUST_CHECK;

FN struct slice setting(const struct settings *s, enum setting_id id);
FN const char *setting_cstr(const struct settings *s, enum setting_id id);
FN int64_t setting_num(const struct settings *s, enum setting_id id);
FN bool setting_is(const struct settings *s, enum setting_id id, const char *word);
FN const struct setting_row *setting_row(size_t i); /* NULL beyond the last */
FN const char *setting_origin_name(enum setting_origin o);

#endif
