/*
 * app.h - the parts of a running (or briefly opened) Postern and how they hang together.
 *
 * app_open brings up what every command needs: data directory, store, secret key. serve.c adds
 * policies, reactors, doors. Fields are set at start and read-only afterwards, but for what `faults_lock`
 * guards. Threads: see each field.
 */
#ifndef MAIN_APP_H
#define MAIN_APP_H

#include "base/lock.h"
#include "main/settings.h"
#include "net/conn.h"
#include "net/pool.h"
#include "policy/policy.h"
#include "portal/portal.h"
#include "resp/resp_door.h"
#include "check/check.h"

#define APP_VERSION_TEXT POSTERN_VERSION
#ifndef POSTERN_VERSION
#define POSTERN_VERSION "0.1.0"
#endif

enum app_door { DOOR_CHECK, DOOR_REDIS, DOOR_PORTAL, DOOR_ADMIN, DOORS };

struct app {
    struct settings *settings;
    struct arena arena;          /* main's thread, at start only */
    const char *data_dir;        /* absolute; in memory mode a private directory that goes at the end */
    const char *policies_dir, *lua_dir;
    bool data_is_temporary;
    int lock_fd;                 /* of the data directory in memory mode (else the store's); -1: none */
    bool in_memory;
    bool demo;
    struct store *store;
    struct keyrec_scheme scheme;
    struct policy_box *box;
    struct reactor **reactors;   /* [0 .. workers) doors of gateways and Redis; [workers] the front */
    size_t workers;
    struct listener *listeners[DOORS];
    struct net_addr addrs[DOORS]; /* as bound: real ports */
    struct lock resp_lock;       /* resp: set at start, cleared before its reactors go; the log thread reads it */
    bool reactors_gone;          /* under resp_lock: nothing may be posted to them any more */
    struct resp_server *resp;
    struct portal *portal;
    struct tls_server *portal_tls, *check_tls, *redis_tls;
    int64_t started_ms;
    _Atomic bool ready, stopping;
    struct slice demo_email, demo_password;

    struct lock faults_lock;     /* the ones below: written by reload and portal workers, read by these and admin */
    struct tls_facts portal_cert;
    struct buf faults_json;
    int64_t loaded_ms;
    bool last_reload_failed;
    uint64_t reloads, reloads_failed;
    _Atomic int deciding; /* questions of the portal's page under way, see app_decide */
};

/* Data directory, store, secret key. demo: a private directory whatever the settings say. RC_BUSY:
 * another Postern has the directory. After a failure app_close frees what there is. */
FN enum rc app_open(struct app *a, struct settings *s, bool demo, struct err *e) MUST_CHECK;
FN void app_close(struct app *a);
/* Policies of the settings into a->box (made at the first call). Faults are kept for the portal and
 * printed on stderr; a failed reload leaves the set in force. */
FN enum rc app_load_policies(struct app *a, struct err *e) MUST_CHECK;
/* Number that changes when a file under the policy directories or a certificate does. */
FN uint64_t app_fingerprint(struct app *a);
/* "http://127.0.0.1:8083", "https://127.0.0.1:8443" of a door as bound. A door on all interfaces is
 * called by the first of portal.names. Any thread. */
FN struct slice app_url(struct app *a, struct arena *arena, enum app_door d);
/* How people reach the portal, also when this process does not serve it. */
FN struct slice app_portal_url(struct app *a, struct arena *arena);
FN size_t app_health(void *ctx, struct arena *arena, struct portal_health **out);
FN void app_faults_json(void *ctx, struct buf *json);
/* asked.c: a decision by its id, the last ones newest first per thread (a JSON list). ctx: the app. Threads
 * that may block; two seconds at most. RC_NOTFOUND, RC_TIMEOUT. */
FN enum rc app_explain(void *ctx, struct slice id, struct buf *json, struct err *e);
/* How a request is decided, as JSON with its trace; steps may wait for other servers. RC_BUSY, RC_TIMEOUT. */
FN enum rc app_decide(void *ctx, const struct policy_ask *q, struct buf *json, struct err *e);
FN enum rc app_recent(void *ctx, bool denied_only, size_t max, struct buf *json, struct err *e);

FN enum store_durability app_durability(const struct settings *s);

/* serve.c: before app_open, so that no thread takes the signals that main waits for. */
FN void app_block_signals(void);
/* Everything up, run until a signal or app_stop. started is called once when ready. */
FN int app_serve(struct app *a, void (*started)(struct app *a), struct err *e);
FN void app_stop(struct app *a); /* any thread */

/* admin.c: /metrics /healthz /readyz /rlconfig */
FN const struct conn_proto *admin_proto(void); /* ctx: the app */

/* control.c and ops.c: commands that change data, in this process or in the running one. */
FN enum rc control_start(struct app *a, struct err *e) MUST_CHECK;
FN void control_stop(struct app *a);
/* Runs op with JSON args: in the Postern that serves data_dir, else here by opening it. The answer's
 * JSON is in out. */
FN enum rc control_call(struct settings *s, const char *op, struct slice args_json, struct buf *out,
                        struct err *e) MUST_CHECK;
FN enum rc ops_run(struct app *a, struct slice op, const struct json *args, struct arena *arena,
                   struct buf *out, struct err *e) MUST_CHECK;
FN struct slice ops_setup_link(struct app *a, struct arena *arena, struct err *e); /* "" when not needed */

#endif
