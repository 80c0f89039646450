/*
 * cmd_info.c - config print, version, healthcheck: commands that only tell.
 *
 * Secrets are printed as "(set)" or "(empty)". Single thread. Tested by tests/box/test_cli.py.
 */
#include "base/asset.h"
#include "main/app.h"
#include "main/cli.h"
#include "wire/gzip.h"
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- config print ---- */

static struct slice cmd_info_value(const struct settings *s, const struct setting_row *row)
{
    struct slice text = setting(s, row->id);
    return row->kind != KIND_SECRET ? text : text.n ? S("(set)") : S("(empty)");
}

static void cmd_info_reference(void)
{
    const struct setting_row *row;
    printf("# Configuration reference\n\n"
           "Every setting can be given as a flag (where one is named, or `--set name=value`), in the environment\n"
           "(`POSTERN_` and the name in capitals with dots as underscores; secrets also as `..._FILE`), or in\n"
           "`postern.yaml` (dots are nesting). A flag wins over the environment, the environment over the file,\n"
           "the file over the default. An unknown name is an error. `postern config print --origin` shows what is\n"
           "in force and why. This page is printed by `postern config print --reference`.\n\n");
    for (size_t i = 0; (row = setting_row(i)); i++) {
        printf("## %s\n\n%s\n\n", row->name, row->doc);
        printf("- default: %s%s%s\n", row->otherwise[0] ? "`" : "", row->otherwise[0] ? row->otherwise : "empty",
               row->otherwise[0] ? "`" : "");
        if (row->flag)
            printf("- flag: `%s`\n", row->flag);
        if (row->choices)
            printf("- one of: `%s`\n", row->choices);
        if (row->kind == KIND_INT || row->kind == KIND_BYTES || row->kind == KIND_DURATION)
            printf("- range: %lld to %lld%s\n", (long long)row->min, (long long)row->max,
                   row->kind == KIND_BYTES ? " bytes" : row->kind == KIND_DURATION ? " milliseconds" : "");
        printf("\n");
    }
}

static void cmd_info_json(const struct settings *s)
{
    struct buf b;
    struct jsonw w;
    const struct setting_row *row;
    buf_init(&b, (size_t)1024 * 1024);
    jsonw_init(&w, &b);
    jsonw_arr(&w);
    for (size_t i = 0; (row = setting_row(i)); i++) {
        jsonw_obj(&w);
        jsonw_kstr(&w, S("name"), slice_str(row->name));
        jsonw_kstr(&w, S("value"), cmd_info_value(s, row));
        jsonw_kstr(&w, S("origin"), slice_str(setting_origin_name(s->v[i].origin)));
        jsonw_kstr(&w, S("place"), s->v[i].place);
        jsonw_kstr(&w, S("doc"), slice_str(row->doc));
        jsonw_end_obj(&w);
    }
    jsonw_end_arr(&w);
    printf("%.*s\n", SFMT(buf_all(&b)));
    buf_free(&b);
}

int cli_config_print(struct cli *c)
{
    const struct setting_row *row;
    if (cli_has(c, "--reference")) {
        cmd_info_reference();
        return CLI_DONE;
    }
    if (c->json) {
        cmd_info_json(&c->settings);
        return CLI_DONE;
    }
    for (size_t i = 0; (row = setting_row(i)); i++) {
        struct slice value = cmd_info_value(&c->settings, row);
        printf("%-28s %.*s", row->name, SFMT(value));
        if (cli_has(c, "--origin")) {
            const struct setting_value *v = &c->settings.v[i];
            bool named = v->origin != ORIGIN_DEFAULT;
            printf("%*s(%s%s%.*s)", value.n < 32 ? (int)(32 - value.n) : 1, "",
                   setting_origin_name(v->origin), named ? ": " : "", named ? (int)v->place.n : 0, v->place.p);
        }
        printf("\n");
    }
    return CLI_DONE;
}

/* ---- version ---- */

static bool cmd_info_asset(const char *path, struct buf *out)
{
    const struct asset *a = asset_find(slice_str(path));
    return a && gzip_inflate(slice_of((const char *)a->gz, a->gz_len), out, NULL) == RC_OK;
}

/* libs/versions.txt is made with the libraries: name, version, licence, one library per line. */
static void cmd_info_libraries(struct jsonw *w, struct slice text)
{
    jsonw_key(w, S("libraries"));
    jsonw_arr(w);
    while (text.n) {
        struct slice rest, line = slice_cut(text, '\n', &text);
        struct slice name = slice_cut(line, ' ', &rest);
        struct slice version = slice_cut(rest, ' ', &rest);
        if (name.n == 0)
            continue;
        jsonw_obj(w);
        jsonw_kstr(w, S("name"), name);
        jsonw_kstr(w, S("version"), version);
        jsonw_end_obj(w);
    }
    jsonw_end_arr(w);
}

int cli_version(struct cli *c)
{
    struct buf text, b;
    struct jsonw w;
    buf_init(&text, (size_t)4 * 1024 * 1024);
    buf_init(&b, (size_t)4 * 1024 * 1024);
    if (cli_has(c, "--licenses")) {
        const struct asset *a;
        for (size_t i = 0; (a = asset_at(i)); i++) {
            if (!slice_starts(slice_str(a->path), S("licences/")))
                continue;
            buf_clear(&text);
            if (cmd_info_asset(a->path, &text))
                printf("==== %s ====\n%.*s\n", a->path + 9, SFMT(buf_all(&text)));
        }
    } else if (c->json) {
        (void)cmd_info_asset("libs/versions.txt", &text);
        jsonw_init(&w, &b);
        jsonw_obj(&w);
        jsonw_kstr(&w, S("name"), S("postern"));
        jsonw_kstr(&w, S("version"), slice_str(APP_VERSION_TEXT));
        cmd_info_libraries(&w, buf_all(&text));
        jsonw_end_obj(&w);
        printf("%.*s\n", SFMT(buf_all(&b)));
    } else {
        printf("postern %s\n", APP_VERSION_TEXT);
    }
    buf_free(&text);
    buf_free(&b);
    return CLI_DONE;
}

/* ---- healthcheck ---- */

/* ":port" is asked on 127.0.0.1, which also hosts without IPv6 have. */
static socklen_t cmd_info_sockaddr(const struct net_addr *addr, struct sockaddr_storage *ss)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)addr->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)addr->port)};
    memset(ss, 0, sizeof *ss);
    memcpy(&in6.sin6_addr, addr->ip.b, 16);
    bool v4 = addr->v6_any || IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    if (addr->kind == ADDR_UNIX) {
        memcpy(un.sun_path, addr->path, sizeof addr->path);
        memcpy(ss, &un, sizeof un);
        return sizeof un;
    }
    if (!v4) {
        memcpy(ss, &in6, sizeof in6);
        return sizeof in6;
    }
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!addr->v6_any)
        memcpy(&in.sin_addr, addr->ip.b + 12, 4);
    memcpy(ss, &in, sizeof in);
    return sizeof in;
}

static int cmd_info_connect(const struct net_addr *addr)
{
    struct timeval wait = {.tv_sec = 5};
    struct sockaddr_storage ss;
    socklen_t n = cmd_info_sockaddr(addr, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&ss, n) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

int cli_healthcheck(struct cli *c)
{
    static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: postern\r\nConnection: close\r\n\r\n";
    struct net_addr addr;
    struct err e = {0};
    char in[4096];
    if (net_addr_parse(setting(&c->settings, SET_ADMIN_LISTEN), &addr, &e) != RC_OK)
        return cli_fail(CLI_USAGE, &e);
    if (addr.kind == ADDR_OFF) {
        fprintf(stderr, "postern: the admin port is off: nobody to ask\n");
        return CLI_CANNOT;
    }
    int fd = cmd_info_connect(&addr);
    ssize_t n = -1;
    if (fd >= 0 && send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) > 0)
        n = recv(fd, in, sizeof in, 0);
    if (fd >= 0)
        (void)close(fd);
    bool ready = n >= 12 && slice_starts(slice_of(in, (size_t)n), S("HTTP/1.1 200"));
    fprintf(stderr, "%s\n", ready ? "ready" : n > 0 ? "not ready" : "no answer on the admin port");
    return ready ? CLI_DONE : CLI_NO;
}
