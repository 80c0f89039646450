/*
 * app.c - opens and closes what every command needs: data directory, store, secret key, policies.
 *
 * Called by serve, demo, and by commands that open the data directory themselves. Decides nothing about
 * requests. Owns struct app's parts. app_load_policies runs in main's thread; app_health and
 * app_faults_json in portal workers. Tested by tests/box/test_cli.py and tests/box/test_serve.py.
 */
#include "main/app.h"
#include "base/asset.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rand.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define APP_SECRET_BYTES 32

/* ---- the data directory ---- */

/* Engine memory without --data: a private directory for sockets, removed at the end. */
static enum rc app_temporary_dir(struct app *a, struct err *e)
{
    const char *base = getenv("TMPDIR");
    char path[104];
    int n = snprintf(path, sizeof path, "%s/postern-XXXXXX", base && *base ? base : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, RC_BADINPUT, "TMPDIR is too long for a socket path; set a shorter one");
    if (!mkdtemp(path))
        return err_os(e, "cannot make a private directory %s", path);
    a->data_dir = arena_cstr(&a->arena, slice_str(path));
    a->data_is_temporary = true;
    return RC_OK;
}

static enum rc app_data_dir(struct app *a, struct err *e)
{
    const char *dir = setting_cstr(a->settings, SET_DATA_DIR);
    if (a->demo || (a->in_memory && a->settings->v[SET_DATA_DIR].origin == ORIGIN_DEFAULT))
        return app_temporary_dir(a, e);
    enum rc rc = dir_make(dir, 0700, e);
    if (rc != RC_OK)
        return rc;
    char *full = realpath(dir, NULL);
    if (!full)
        return err_os(e, "cannot resolve the data directory %s", dir);
    a->data_dir = arena_cstr(&a->arena, slice_str(full));
    mem_free(full);
    return RC_OK;
}

/* Engine sqlite locks its directory itself. In memory mode a second Postern would take the sockets of
 * the first away, so the same file is locked here. */
static enum rc app_lock_dir(struct app *a, struct err *e)
{
    const char *path = path_join(&a->arena, a->data_dir, "lock");
    char pid[24];
    a->lock_fd = os()->open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->lock_fd < 0)
        return err_os(e, "cannot write %s", path);
    if (flock(a->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = os()->pread(a->lock_fd, pid, sizeof pid - 1, 0);
        pid[MAX(n, 0)] = 0;
        return err_set(e, RC_BUSY, "another Postern (process %s) uses %s: stop it, or name another directory "
                       "with --data", pid, a->data_dir);
    }
    int n = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (os()->ftruncate(a->lock_fd, 0) != 0 || os()->pwrite(a->lock_fd, pid, (size_t)n, 0) != n)
        return err_os(e, "cannot write %s", path);
    return RC_OK;
}

/* The key of the HMAC: given by a setting, else kept in the data directory, else made now. */
static enum rc app_secret(struct app *a, struct err *e)
{
    struct slice secret = setting(a->settings, SET_SECRET_KEY);
    a->scheme.kind = KEYREC_HMAC_SHA256;
    const char *path = path_join(&a->arena, a->data_dir, "secret.key");
    if (secret.n == 0 && !path_is_file(path)) {
        char raw[APP_SECRET_BYTES], text[B64_LEN(APP_SECRET_BYTES) + 1];
        rand_bytes(raw, sizeof raw);
        size_t n = b64_encode(text, raw, sizeof raw);
        text[n++] = '\n';
        enum rc rc = file_write(path, slice_of(text, n), 0600, e);
        mem_wipe(raw, sizeof raw);
        mem_wipe(text, sizeof text);
        if (rc != RC_OK)
            return rc;
    }
    if (secret.n == 0) {
        enum rc rc = file_read(&a->arena, path, 4096, &secret, e);
        if (rc != RC_OK)
            return rc;
        while (secret.n && (secret.p[secret.n - 1] == '\n' || secret.p[secret.n - 1] == '\r'))
            secret.n--;
        if (secret.n < 16)
            return err_at(e, RC_BADINPUT, path, "the secret key is shorter than 16 characters; "
                          "restore the file from a backup (a new key makes all API keys invalid)");
    }
    hmac_key_init(&a->scheme.hmac, secret);
    return RC_OK;
}

static void app_durable(void *ctx, uint64_t lsn)
{
    struct app *a = ctx;
    lock_take(&a->resp_lock);
    if (a->resp)
        resp_server_durable(a->resp, lsn);
    lock_drop(&a->resp_lock);
}

enum store_durability app_durability(const struct settings *s)
{
    return setting_is(s, SET_STORE_DURABILITY, "always") ? STORE_ALWAYS
           : setting_is(s, SET_STORE_DURABILITY, "no")   ? STORE_NO
                                                         : STORE_EVERYSEC;
}

static const char *app_dir_or(struct app *a, enum setting_id id, const char *name)
{
    const char *dir = setting_cstr(a->settings, id);
    return *dir ? dir : path_join(&a->arena, a->data_dir, name);
}

/* The store first: it locks the directory, and only its holder may make the secret key. */
enum rc app_open(struct app *a, struct settings *s, bool demo, struct err *e)
{
    memset(a, 0, sizeof *a);
    a->lock_fd = -1;
    a->demo = demo;
    arena_init(&a->arena, 8192, (size_t)64 * 1024 * 1024);
    buf_init(&a->faults_json, (size_t)16 * 1024 * 1024);
    a->settings = s;
    a->in_memory = setting_is(s, SET_STORE_ENGINE, "memory");
    a->started_ms = clock_wall_ms();
    enum rc rc = app_data_dir(a, e);
    if (rc == RC_OK && a->in_memory)
        rc = app_lock_dir(a, e);
    if (rc != RC_OK)
        return rc;
    a->policies_dir = app_dir_or(a, SET_POLICIES_DIR, "policies");
    a->lua_dir = app_dir_or(a, SET_LUA_DIR, "lua");
    struct store_opts o = {.engine = a->in_memory ? STORE_MEMORY : STORE_SQLITE,
                           .dir = a->in_memory ? NULL : a->data_dir,
                           .durability = app_durability(s),
                           .maxmemory_bytes = (uint64_t)setting_num(s, SET_STORE_MAXMEMORY),
                           .on_durable = app_durable,
                           .on_durable_ctx = a};
    rc = store_open(&o, &a->store, e);
    if (rc == RC_OK) {
        store_enter(a->store, clock_wall_ms());
        rc = store_set_eviction(a->store, setting(s, SET_STORE_EVICTION));
        store_leave(a->store);
    }
    return rc == RC_OK ? app_secret(a, e) : rc;
}

void app_close(struct app *a)
{
    if (a->box)
        policy_box_close(a->box);
    if (a->store)
        store_close(a->store);
    hmac_key_wipe(&a->scheme.hmac);
    if (a->data_is_temporary) {
        (void)unlink(path_join(&a->arena, a->data_dir, "secret.key"));
        (void)unlink(path_join(&a->arena, a->data_dir, "lock"));
        (void)unlink(path_join(&a->arena, a->data_dir, "control.sock"));
        (void)rmdir(a->data_dir);
    }
    if (a->lock_fd >= 0)
        (void)os()->close(a->lock_fd);
    buf_free(&a->faults_json);
    arena_free(&a->arena);
}

/* ---- policies ---- */

static void app_counts_json(struct jsonw *w, const struct policy_set *set)
{
    struct policy_counts n = {0};
    if (set)
        policy_count(set, &n);
    jsonw_key(w, S("counts"));
    jsonw_obj(w);
    jsonw_ki64(w, S("files"), (int64_t)n.files);
    jsonw_ki64(w, S("resources"), (int64_t)n.resources);
    jsonw_ki64(w, S("routes"), (int64_t)n.routes);
    jsonw_ki64(w, S("extAuth"), (int64_t)n.ext_auth);
    jsonw_ki64(w, S("rateLimits"), (int64_t)n.rate_limits);
    jsonw_ki64(w, S("lua"), (int64_t)n.lua);
    jsonw_ki64(w, S("apis"), (int64_t)n.apis);
    jsonw_ki64(w, S("plans"), (int64_t)n.plans);
    jsonw_end_obj(w);
}

/* The body of /admin/v1/policies: what is in force (the set before, when loading failed), and the
 * faults of the last load. */
static void app_keep_faults(struct app *a, const struct policy_faults *f, const struct policy_set *set)
{
    char when[32];
    struct jsonw w;
    struct policy_set *before = !set && a->box ? policy_box_get(a->box) : NULL;
    lock_take(&a->faults_lock);
    if (set)
        a->loaded_ms = clock_wall_ms();
    buf_clear(&a->faults_json);
    jsonw_init(&w, &a->faults_json);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("loadedAt"), slice_of(when, clock_rfc3339(when, a->loaded_ms)));
    jsonw_kbool(&w, S("inForce"), set != NULL);
    app_counts_json(&w, set ? set : before);
    jsonw_key(&w, S("faults"));
    policy_faults_json(f, &w);
    jsonw_end_obj(&w);
    a->last_reload_failed = set == NULL;
    a->reloads++;
    a->reloads_failed += set == NULL;
    lock_drop(&a->faults_lock);
    if (before)
        policy_set_drop(before);
}

static void app_log_faults(const struct policy_faults *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct policy_fault *r = &f->rows[i];
        log_event(r->notice ? LOG_INFO : LOG_ERROR, r->notice ? "policy.notice" : "policy.fault",
                  "at=%.*s:%d:%d path=%s text=%s", SFMT(r->file), r->line, r->col, log_quote(r->path),
                  log_quote(r->text));
    }
}

enum rc app_load_policies(struct app *a, struct err *e)
{
    struct policy_faults faults;
    policy_faults_init(&faults);
    struct policy_opts o = {.dir = a->policies_dir,
                            .lua_dir = a->lua_dir,
                            .strict = setting_num(a->settings, SET_POLICIES_STRICT) != 0};
    if (a->demo && a->settings->v[SET_POLICIES_DIR].origin == ORIGIN_DEFAULT) {
        o.builtin = asset_at;
        o.builtin_prefix = "etc/demo/policies/";
    }
    struct policy_set *set = NULL;
    enum rc rc = policy_load(&o, &set, &faults);
    app_keep_faults(a, &faults, rc == RC_OK ? set : NULL);
    app_log_faults(&faults);
    if (rc == RC_OK && !a->box)
        a->box = policy_box_open(set);
    else if (rc == RC_OK)
        policy_box_swap(a->box, set);
    else
        err_set(e, rc, "%zu fault%s in the policies of %s; `postern check-config --policies %s` lists them",
                faults.errors, faults.errors == 1 ? "" : "s", o.dir, o.dir);
    policy_faults_free(&faults);
    return rc;
}

static void app_fingerprint_dir(struct arena *scratch, const char *dir, int depth, uint64_t *sum);

/* A file by its facts, a directory by its files. What is not there counts by its absence. */
static void app_fingerprint_path(struct arena *scratch, const char *path, int depth, uint64_t *sum)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        app_fingerprint_dir(scratch, path, depth + 1, sum);
        return;
    }
    struct {
        int64_t size, sec, nsec;
        uint64_t inode, name;
    } facts = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino,
               hash_bytes(path, strlen(path))};
    *sum = hash_bytes_seed(&facts, sizeof facts, *sum);
}

static void app_fingerprint_dir(struct arena *scratch, const char *dir, int depth, uint64_t *sum)
{
    char **names;
    size_t n;
    if (depth > 16 || dir_list(scratch, dir, &names, &n, NULL) != RC_OK)
        return;
    for (size_t i = 0; i < n; i++)
        app_fingerprint_path(scratch, path_join(scratch, dir, names[i]), depth, sum);
}

uint64_t app_fingerprint(struct app *a)
{
    static const enum setting_id files[] = {
        SET_PORTAL_TLS_CERT, SET_PORTAL_TLS_KEY, SET_CHECK_TLS_CERT, SET_CHECK_TLS_KEY, SET_CHECK_TLS_CLIENT_CA,
        SET_REDIS_TLS_CERT, SET_REDIS_TLS_KEY, SET_REDIS_TLS_CLIENT_CA};
    uint64_t sum = 1;
    struct arena scratch;
    arena_init(&scratch, 16384, (size_t)64 * 1024 * 1024);
    app_fingerprint_path(&scratch, a->policies_dir, 0, &sum);
    app_fingerprint_path(&scratch, a->lua_dir, 0, &sum);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (setting(a->settings, files[i]).n)
            app_fingerprint_path(&scratch, setting_cstr(a->settings, files[i]), 0, &sum);
    arena_free(&scratch);
    return sum;
}

/* ---- addresses for people ---- */

static struct slice app_url_of(struct app *a, struct arena *arena, const char *scheme, const struct net_addr *at)
{
    char text[128];
    struct slice rest, name = slice_trim(slice_cut(setting(a->settings, SET_PORTAL_NAMES), ',', &rest));
    size_t n = net_addr_format(at, text);
    if (at->kind != ADDR_TCP)
        return arena_dup(arena, slice_of(text, n));
    if (at->v6_any)
        return arena_fmt(arena, "%s://%.*s:%d", scheme, SFMT(name.n ? name : S("localhost")), at->port);
    return arena_fmt(arena, "%s://%.*s", scheme, (int)n, text);
}

struct slice app_portal_url(struct app *a, struct arena *arena)
{
    struct net_addr at;
    if (a->listeners[DOOR_PORTAL])
        return app_url(a, arena, DOOR_PORTAL);
    /* of a Postern that will serve it later; with the portal off, of one that has it on */
    if (net_addr_parse(setting(a->settings, SET_PORTAL_LISTEN), &at, NULL) != RC_OK || at.kind != ADDR_TCP)
        MUST(net_addr_parse(slice_str(setting_row(SET_PORTAL_LISTEN)->otherwise), &at, NULL) == RC_OK);
    return app_url_of(a, arena, "https", &at);
}

struct slice app_url(struct app *a, struct arena *arena, enum app_door d)
{
    const char *scheme = d == DOOR_PORTAL ? "https" : d == DOOR_REDIS ? "redis" : "http";
    if (d == DOOR_CHECK && a->check_tls)
        scheme = "https";
    if (d == DOOR_REDIS && a->redis_tls)
        scheme = "rediss";
    return app_url_of(a, arena, scheme, &a->addrs[d]);
}

/* ---- what the portal's health page shows ---- */

static void app_health_line(struct portal_health *h, const char *name, const char *state,
                            struct slice value, const char *cure)
{
    *h = (struct portal_health){slice_str(name), slice_str(state), value, slice_str(cure)};
}

static size_t app_health_doors(struct app *a, struct arena *arena, struct portal_health *h)
{
    static const char *const doors[DOORS] = {"check port", "redis port", "portal", "admin port"};
    size_t n = 0;
    for (int d = 0; d < DOORS; d++) {
        if (!a->listeners[d])
            continue;
        char text[128];
        size_t len = net_addr_format(&a->addrs[d], text);
        unsigned long long conns = listener_conns(a->listeners[d]);
        app_health_line(&h[n++], doors[d], "ok",
                        arena_fmt(arena, "%.*s, %llu connection%s", (int)len, text, conns, conns == 1 ? "" : "s"), "");
    }
    return n;
}

static void app_health_store(struct app *a, struct arena *arena, struct portal_health *h)
{
    struct store_stats st;
    store_stats(a->store, &st);
    const char *trouble = store_trouble(a->store);
    uint64_t keys = 0;
    for (int i = 0; i < STORE_DBS; i++)
        keys += st.keys[i];
    app_health_line(h, "store", trouble ? "bad" : "ok",
                    trouble ? slice_str(trouble)
                            : arena_fmt(arena, "%llu keys, %llu KiB, durability %s", (unsigned long long)keys,
                                        (unsigned long long)(st.used_bytes / 1024),
                                        a->in_memory ? "none (memory)"
                                                     : setting_cstr(a->settings, SET_STORE_DURABILITY)),
                    trouble ? "Free space or mend the disk, then restart Postern." : "");
}

size_t app_health(void *ctx, struct arena *arena, struct portal_health **out)
{
    struct app *a = ctx;
    struct portal_health *h = ARENA_ARRAY(arena, struct portal_health, DOORS + 3);
    size_t n = app_health_doors(a, arena, h);
    app_health_store(a, arena, &h[n++]);
    lock_take(&a->faults_lock);
    bool failed = a->last_reload_failed;
    uint64_t reloads = a->reloads;
    struct tls_facts cert = a->portal_cert;
    lock_drop(&a->faults_lock);
    int64_t left_ms = cert.not_after_ms - clock_wall_ms();
    long long left_days = left_ms / 86400000;
    if (a->listeners[DOOR_PORTAL])
        app_health_line(&h[n++], "portal certificate", left_ms <= 0 ? "bad" : left_days < 14 ? "warn" : "ok",
                        left_ms <= 0 ? arena_fmt(arena, "%s, expired", cert.subject)
                                     : arena_fmt(arena, "%s, %lld day%s left", cert.subject, left_days,
                                                 left_days == 1 ? "" : "s"),
                        left_days < 14 ? "Renew the certificate; Postern takes up the new file at once." : "");
    app_health_line(&h[n++], "policies", failed ? "bad" : "ok",
                    failed ? S("the last reload failed; the set before it is in force")
                           : arena_fmt(arena, "loaded %llu time%s since start", (unsigned long long)reloads,
                                       reloads == 1 ? "" : "s"),
                    failed ? "See Policies for the faults and their places." : "");
    *out = h;
    return n;
}

void app_faults_json(void *ctx, struct buf *json)
{
    struct app *a = ctx;
    lock_take(&a->faults_lock);
    buf_slice(json, buf_all(&a->faults_json));
    lock_drop(&a->faults_lock);
}
#undef APP_SECRET_BYTES
