/* Settings: rows, flags, environment, secrets from files, postern.yaml, and what is said about faults. */
#include "main/settings.h"
#include "base/os.h"
#include "unit/t.h"

#include <stdlib.h>
#include <unistd.h>

static struct settings s;
static struct err e;
static char dir[] = "/tmp/pst-settings-XXXXXX";

static void fresh(void)
{
    settings_free(&s);
    settings_init(&s);
    e = (struct err){0};
}

static const char *at(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *file(const char *name, const char *text)
{
    struct err we = {0};
    if (file_write(at(name), slice_str(text), 0600, &we) != RC_OK)
        t_fail(__FILE__, __LINE__, "%s", we.text);
    return at(name);
}

/* Loads with an environment of one line (NULL: none) and a settings file (NULL: none). */
static enum rc load(const char *env, const char *yaml)
{
    char line[400];
    char *envp[] = {line, NULL};
    snprintf(line, sizeof line, "%s", env ? env : "PATH=/bin");
    char *data[] = {"--data", dir, NULL};
    int n = 2;
    T_INT(settings_flags(&s, &n, data, &e), RC_OK);
    return settings_load(&s, yaml ? file("postern.yaml", yaml) : NULL, envp, &e);
}

static enum rc put(enum setting_id id, const char *text)
{
    e = (struct err){0};
    return settings_put(&s, id, slice_str(text), ORIGIN_FLAG, S("here"), &e);
}

/* ---- rows ---- */

static void every_default_is_valid_and_every_row_complete(void)
{
    fresh(); /* settings_init insists on valid defaults */
    for (size_t i = 0; i < SET_COUNT; i++) {
        const struct setting_row *r = setting_row(i);
        T_ROW("%s", r->name);
        T_INT(r->id, i);
        T(r->doc && r->doc[0] >= 'A' && r->doc[0] <= 'Z' && r->doc[strlen(r->doc) - 1] == '.');
        T(strlen(r->name) <= 32); /* as far as nearest names are looked for */
        T(!r->flag || !strncmp(r->flag, "--", 2));
        T((r->kind == KIND_CHOICE) == (r->choices != NULL));
        if (r->kind == KIND_INT || r->kind == KIND_BYTES || r->kind == KIND_DURATION)
            T(r->min < r->max);
        T_INT(s.v[i].origin, ORIGIN_DEFAULT);
        T_TEXT(setting(&s, r->id), r->otherwise);
    }
    T(setting_row(SET_COUNT) == NULL);
}

static void names_and_flags_are_unique(void)
{
    for (size_t i = 0; i < SET_COUNT; i++)
        for (size_t k = i + 1; k < SET_COUNT; k++) {
            const struct setting_row *a = setting_row(i), *b = setting_row(k);
            T_ROW("%s %s", a->name, b->name);
            T(strcmp(a->name, b->name) != 0);
            T(!a->flag || !b->flag || strcmp(a->flag, b->flag) != 0);
        }
}

static void both_ends_of_every_range_hold(void)
{
    char text[32];
    for (size_t i = 0; i < SET_COUNT; i++) {
        const struct setting_row *r = setting_row(i);
        const char *unit = r->kind == KIND_DURATION ? "ms" : "";
        if (r->kind != KIND_INT && r->kind != KIND_BYTES && r->kind != KIND_DURATION)
            continue;
        fresh();
        T_ROW("%s", r->name);
        snprintf(text, sizeof text, "%lld%s", (long long)r->min, unit);
        T_INT(put(r->id, text), RC_OK);
        T_INT(setting_num(&s, r->id), r->min);
        snprintf(text, sizeof text, "%lld%s", (long long)r->max, unit);
        T_INT(put(r->id, text), RC_OK);
        T_INT(setting_num(&s, r->id), r->max);
        if (r->max < INT64_MAX) {
            snprintf(text, sizeof text, "%lld%s", (long long)r->max + 1, unit);
            T_INT(put(r->id, text), RC_BADINPUT);
        }
        if (r->min > 0) {
            snprintf(text, sizeof text, "%lld%s", (long long)r->min - 1, unit);
            T_INT(put(r->id, text), RC_BADINPUT);
            T(strstr(e.text, "out of range") && strstr(e.text, r->name));
            T_TEXT(slice_str(e.place), "here");
        }
        T_INT(put(r->id, "no number"), RC_BADINPUT);
        T_INT(setting_num(&s, r->id), r->max); /* refused values change nothing */
    }
}

/* ---- kinds ---- */

static void kinds_take_what_they_should(void)
{
    static const struct {
        enum setting_id id;
        const char *text;
        bool good;
        int64_t number;
    } rows[] = {
        {SET_CHECK_BODY_MAX, "64kb", true, 65536},
        {SET_CHECK_BODY_MAX, "1mb", true, 1048576},
        {SET_CHECK_BODY_MAX, "1.5mb", false, 0},
        {SET_CHECK_BODY_MAX, "-1", false, 0},
        {SET_PORTAL_IDLE, "250ms", false, 0}, /* out of range */
        {SET_PORTAL_IDLE, "15m", true, 900000},
        {SET_PORTAL_IDLE, "90", true, 90000},
        {SET_PORTAL_IDLE, "1.5h", false, 0},
        {SET_LOG_JSON, "yes", true, 1},
        {SET_LOG_JSON, "Off", true, 0},
        {SET_LOG_JSON, "maybe", false, 0},
        {SET_LOG_LEVEL, "warn", true, 0},
        {SET_LOG_LEVEL, "loud", false, 0},
        {SET_STORE_ENGINE, "memory|sqlite", false, 0},
        {SET_STORE_ENGINE, "", false, 0},
        {SET_CHECK_LISTEN, ":8083", true, 0},
        {SET_CHECK_LISTEN, "unix:/run/p.sock", true, 0},
        {SET_CHECK_LISTEN, "off", true, 0},
        {SET_CHECK_LISTEN, "localhost", false, 0},
        {SET_CHECK_LISTEN, "127.0.0.1:99999", false, 0},
        {SET_CHECK_TRUSTED, "", true, 0},
        {SET_CHECK_TRUSTED, "10.0.0.0/8, ::1, unix", true, 0},
        {SET_CHECK_TRUSTED, "10.0.0.0/33", false, 0},
        {SET_CHECK_TRUSTED, "gateway.example.com", false, 0},
        {SET_PORTAL_KEY_PREFIX, "acme2", true, 0},
        {SET_PORTAL_KEY_PREFIX, "", false, 0},
        {SET_PORTAL_KEY_PREFIX, "a_b", false, 0},
        {SET_PORTAL_KEY_PREFIX, "seventeenletters1", false, 0},
        {SET_DATA_DIR, "", false, 0},
        {SET_POLICIES_DIR, "", true, 0},
        {SET_THREADS, "+2", false, 0},
        {SET_THREADS, "2", true, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fresh();
        T_ROW("%s %s", setting_row(rows[i].id)->name, rows[i].text);
        T_INT(put(rows[i].id, rows[i].text), rows[i].good ? RC_OK : RC_BADINPUT);
        if (rows[i].good)
            T_INT(setting_num(&s, rows[i].id), rows[i].number);
        else
            T(strstr(e.text, setting_row(rows[i].id)->name));
    }
}

static void peers_have_a_bound(void)
{
    char text[2000];
    size_t n = 0;
    for (int i = 0; i < SETTING_PEERS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "10.0.0.%d,", i);
    fresh();
    T_INT(put(SET_CHECK_TRUSTED, text), RC_OK);
    snprintf(text + n, sizeof text - n, "10.0.1.0");
    T_INT(put(SET_CHECK_TRUSTED, text), RC_BADINPUT);
}

static void a_secret_is_never_repeated(void)
{
    fresh();
    T_INT(settings_put(&s, SET_SECRET_KEY, slice_of("hunter2\0x", 9), ORIGIN_ENV, S("there"), &e), RC_BADINPUT);
    T(!strstr(e.text, "hunter2") && strstr(e.text, "secret_key"));
}

/* ---- who wins ---- */

static void flag_beats_environment_beats_file_beats_default(void)
{
    fresh();
    char *flag[] = {"--check", "127.0.0.1:1", NULL};
    int n = 2;
    T_INT(settings_flags(&s, &n, flag, &e), RC_OK);
    T_INT(n, 0);
    T_INT(load("POSTERN_CHECK_LISTEN=127.0.0.1:2", "check:\n  listen: 127.0.0.1:3\n"), RC_OK);
    T_TEXT(setting(&s, SET_CHECK_LISTEN), "127.0.0.1:1");
    T_INT(s.v[SET_CHECK_LISTEN].origin, ORIGIN_FLAG);
    T_TEXT(s.v[SET_CHECK_LISTEN].place, "--check");
    fresh();
    T_INT(load("POSTERN_CHECK_LISTEN=127.0.0.1:2", "check:\n  listen: 127.0.0.1:3\n"), RC_OK);
    T_TEXT(setting(&s, SET_CHECK_LISTEN), "127.0.0.1:2");
    T_INT(s.v[SET_CHECK_LISTEN].origin, ORIGIN_ENV);
    T_TEXT(s.v[SET_CHECK_LISTEN].place, "POSTERN_CHECK_LISTEN");
    fresh();
    T_INT(load(NULL, "check:\n  listen: 127.0.0.1:3\n"), RC_OK);
    T_TEXT(setting(&s, SET_CHECK_LISTEN), "127.0.0.1:3");
    T_INT(s.v[SET_CHECK_LISTEN].origin, ORIGIN_FILE);
    T(slice_ends(s.v[SET_CHECK_LISTEN].place, S("postern.yaml:2:11")));
    T_TEXT(slice_str(setting_origin_name(ORIGIN_FILE)), "file");
    fresh();
    T_TEXT(setting(&s, SET_CHECK_LISTEN), "127.0.0.1:8083");
}

static void flags_are_taken_out_and_the_rest_stays_in_order(void)
{
    fresh();
    char *argv[] = {"one", "--threads=3", "two", "--set", "log.json=true", "--redis", "off", "--three", NULL};
    int n = 8;
    T_INT(settings_flags(&s, &n, argv, &e), RC_OK);
    T_INT(n, 3);
    T(!strcmp(argv[0], "one") && !strcmp(argv[1], "two") && !strcmp(argv[2], "--three") && argv[3] == NULL);
    T_INT(setting_num(&s, SET_THREADS), 3);
    T_INT(setting_num(&s, SET_LOG_JSON), 1);
    T(setting_is(&s, SET_REDIS_LISTEN, "off"));
}

static void broken_flags_are_refused(void)
{
    static const struct {
        const char *flag, *value, *said;
    } rows[] = {
        {"--check", NULL, "needs a value"},
        {"--set", "log.jsn=true", "did you mean `log.json`"},
        {"--set", "log.json", "name=value"},
        {"--set", "log.json=perhaps", "true or false"},
        {"--set", "completely.different=1", "unknown setting `completely.different`"},
        {"--store", "disk", "one of memory|sqlite"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fresh();
        T_ROW("%s %s", rows[i].flag, rows[i].value ? rows[i].value : "");
        char flag[40], value[60];
        snprintf(flag, sizeof flag, "%s", rows[i].flag);
        snprintf(value, sizeof value, "%s", rows[i].value ? rows[i].value : "");
        char *argv[] = {flag, rows[i].value ? value : NULL, NULL};
        int n = rows[i].value ? 2 : 1;
        T_INT(settings_flags(&s, &n, argv, &e), RC_BADINPUT);
        T(strstr(e.text, rows[i].said));
    }
}

/* ---- environment ---- */

static void the_environment_is_strict(void)
{
    fresh();
    T_INT(load("POSTERN_CHECK_LISTN=x", NULL), RC_BADINPUT);
    T(strstr(e.text, "check.listen"));
    T_TEXT(slice_str(e.place), "POSTERN_CHECK_LISTN");
    fresh();
    T_INT(load("POSTERN_CHECK_LISTEN=nowhere", NULL), RC_BADINPUT);
    T_TEXT(slice_str(e.place), "POSTERN_CHECK_LISTEN");
    fresh();
    T_INT(load("postern_check_listen=nowhere", NULL), RC_OK); /* not ours */
    fresh();
    T_INT(load("POSTERN_BUILD=dev", NULL), RC_OK); /* what tests set */
    fresh();
    T_INT(load("POSTERN_SERVICE_HOST=10.0.0.7", NULL), RC_OK); /* what Kubernetes sets beside a Service postern */
    fresh();
    T_INT(load("POSTERN_PORT=tcp://10.0.0.7:8083", NULL), RC_OK);
    fresh();
    T_INT(load("POSTERN_PORT_8083_TCP_ADDR=10.0.0.7", NULL), RC_OK);
    fresh();
    T_INT(load("POSTERN_PORT=8443", NULL), RC_BADINPUT); /* somebody meant a setting */
    fresh();
    T_INT(load("POSTERN_PORTAL_PUBLIC_CATALOGUE=no", NULL), RC_OK);
    T_INT(setting_num(&s, SET_PORTAL_PUBLIC), 0);
}

static void secrets_come_from_files_too(void)
{
    char line[300];
    fresh();
    snprintf(line, sizeof line, "POSTERN_REDIS_PASSWORD_FILE=%s", file("pw", "open sesame\r\n"));
    T_INT(load(line, NULL), RC_OK);
    T_TEXT(setting(&s, SET_REDIS_PASSWORD), "open sesame");
    T_INT(s.v[SET_REDIS_PASSWORD].origin, ORIGIN_ENV);
    fresh();
    snprintf(line, sizeof line, "POSTERN_CHECK_LISTEN_FILE=%s", at("pw"));
    T_INT(load(line, NULL), RC_BADINPUT); /* no secret */
    fresh();
    snprintf(line, sizeof line, "POSTERN_SECRET_KEY_FILE=%s", at("absent"));
    T(load(line, NULL) != RC_OK);
    T(strstr(e.text, "absent") || strstr(e.place, "absent"));
}

/* ---- postern.yaml ---- */

static void the_file_beside_the_data_is_found(void)
{
    fresh();
    (void)file("postern.yaml", "portal: {title: Harbour}\n");
    char *data[] = {"--data", dir, NULL}, *none[] = {NULL};
    int n = 2;
    T_INT(settings_flags(&s, &n, data, &e), RC_OK);
    T_INT(settings_load(&s, NULL, none, &e), RC_OK);
    T_TEXT(setting(&s, SET_PORTAL_TITLE), "Harbour");
    T(slice_ends(s.file, S("postern.yaml")));
    (void)unlink(at("postern.yaml"));
    fresh();
    T(settings_load(&s, at("postern.yaml"), none, &e) != RC_OK); /* named and not there */
}

static void yaml_forms(void)
{
    fresh();
    T_INT(load(NULL, "check:\n  trusted_peers: [10.0.0.0/8, unix]\nredis:\n  listen: off\n  password:\n"
                     "secret_key: 'sixteen letters!'\nlog:\n  json: true\n"), RC_OK);
    T_TEXT(setting(&s, SET_CHECK_TRUSTED), "10.0.0.0/8,unix");
    T_TEXT(setting(&s, SET_REDIS_LISTEN), "off");
    T_TEXT(setting(&s, SET_REDIS_PASSWORD), "");
    T_TEXT(setting(&s, SET_SECRET_KEY), "sixteen letters!");
    T_INT(setting_num(&s, SET_LOG_JSON), 1);
    fresh();
    T_INT(load(NULL, ""), RC_OK); /* empty is fine */
}

static void yaml_faults_have_places(void)
{
    static const struct {
        const char *yaml, *place, *said;
    } rows[] = {
        {"check:\n  listn: 1\n", ":2:3", "did you mean `check.listen`"},
        {"chekc:\n  listen: 1\n", ":1:1", "unknown setting `chekc`"},
        {"check:\n  listen: [a, b]\n", ":2:11", "not a list"},
        {"check:\n  trusted_peers: [[a]]\n", ":2:19", "plain values"},
        {"check:\n  listen: {a: b}\n", ":2:3", "unknown setting `check.listen`"},
        {"log:\n  level: loud\n", ":2:10", "one of debug"},
        {"threads: 1000\n", ":1:10", "out of range"},
        {"- a\n", "", "mapping of settings"},
        {"a: 1\n---\nb: 2\n", "", "one YAML document"},
        {"threads: 1\nthreads: 2\n", ":2", ""},
        {"check: [\n", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fresh();
        T_ROW("row %zu", i);
        T_INT(load(NULL, rows[i].yaml), RC_BADINPUT);
        T(strstr(e.text, rows[i].said));
        T(strstr(e.place, "postern.yaml") && strstr(e.place, rows[i].place));
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return 2;
    settings_init(&s);
    T_RUN(every_default_is_valid_and_every_row_complete);
    T_RUN(names_and_flags_are_unique);
    T_RUN(both_ends_of_every_range_hold);
    T_RUN(kinds_take_what_they_should);
    T_RUN(peers_have_a_bound);
    T_RUN(a_secret_is_never_repeated);
    T_RUN(flag_beats_environment_beats_file_beats_default);
    T_RUN(flags_are_taken_out_and_the_rest_stays_in_order);
    T_RUN(broken_flags_are_refused);
    T_RUN(the_environment_is_strict);
    T_RUN(secrets_come_from_files_too);
    T_RUN(the_file_beside_the_data_is_found);
    T_RUN(yaml_forms);
    T_RUN(yaml_faults_have_places);
    settings_free(&s);
    (void)unlink(at("postern.yaml"));
    (void)unlink(at("pw"));
    (void)rmdir(dir);
    return t_done();
}
