/*
 * test_policies.c - the standard policies of lua/, each with a table of requests and answers.
 *
 * A policy's text is set into a chunk that calls it with a request and a configuration written in
 * Lua and puts the answer into words: "pass", or "status reason" and what else it holds. postern.now
 * and postern.cidr_match stand in for the functions that policy/ gives.
 */
#include "base/os.h"
#include "lab.h"
#include "wire/url.h"

#include <stdlib.h>

static int64_t now_s;

static int host_now(struct script_call *c, void *ctx)
{
    (void)ctx;
    script_num(c, (double)now_s + 0.25);
    return 1;
}

static int host_cidr_match(struct script_call *c, void *ctx)
{
    struct ip ip;
    struct cidr net;
    (void)ctx;
    if (!cidr_parse(script_to_str(c, 2), &net))
        return script_fail(c, "cidr_match: not a range");
    script_bool(c, ip_parse(script_to_str(c, 1), &ip) && cidr_has(&net, &ip));
    return 1;
}

static const struct script_fn host[] = {{"now", "", host_now}, {"cidr_match", "", host_cidr_match}};

static struct slice policy_text(struct arena *a, const char *name)
{
    struct slice text = {0};
    struct err e = {0};
    char path[100];
    snprintf(path, sizeof path, "lua/%s.lua", name);
    if (file_read(a, path, 1 << 20, &text, &e) != RC_OK) {
        printf("not ok reading %s - %s (run from the top of the tree)\n", path, e.text);
        exit(1);
    }
    return text;
}

/* The policy, a call of it, and its answer in words. */
static struct slice wrapped(struct arena *a, struct slice policy, const char *req, const char *config)
{
    return arena_fmt(
        a,
        "local policy = (function()\n%.*s\nend)()\n"
        "return function()\n"
        "  local req = {method = 'GET', path = '/', query = '', host = 'api.test', scheme = 'https',\n"
        "    headers = {}, state = {}}\n"
        "  for k, v in pairs(%s) do req[k] = v end\n"
        "  local r = policy(req, %s)\n"
        "  if r == nil or r == true or r == 'allow' then return 'pass' end\n"
        "  if r == false then return '403' end\n"
        "  assert(r.allow == false and math.type(r.status) == 'integer' and r.body ~= '')\n"
        "  local out = r.status .. ' ' .. r.reason\n"
        "  for k, v in pairs(r.headers or {}) do out = out .. ' ' .. k .. '=' .. v end\n"
        "  return out\n"
        "end\n",
        SFMT(policy), req, config);
}

struct row {
    const char *req, *config, *want; /* want "error ...": the run fails with this text */
};

static void check_rows(const char *name, const struct row *rows, size_t n)
{
    struct arena a;
    arena_init(&a, 4096, 0);
    struct slice text = policy_text(&a, name);
    struct script *s = script_open(NULL);
    script_lib(s, "postern", host, ARRAY_LEN(host), NULL);
    for (size_t i = 0; i < n; i++) {
        struct slice chunk = wrapped(&a, text, rows[i].req, rows[i].config);
        struct lab l = lab_in(s, chunk.p, "");
        T_ROW("%.20s row %zu: %.60s %.50s", name, i, rows[i].req, l.err.text);
        T_INT(l.load, RC_OK);
        if (strncmp(rows[i].want, "error ", 6) == 0) {
            T_INT(l.run, RC_BUG);
            T(strstr(l.err.text, rows[i].want + 6) != NULL);
        } else {
            T_INT(l.run, RC_OK);
            T_TEXT(slice_str(l.text), rows[i].want);
        }
        T(l.instructions < 5000);
    }
    script_close(s);
    arena_free(&a);
}
#define CHECK_ROWS(name, rows) check_rows(name, rows, ARRAY_LEN(rows))

static void header_required(void)
{
    static const struct row rows[] = {
        {"{}", "{}", "pass"},
        {"{headers = {['x-tenant'] = 'a'}}", "{headers = {'X-Tenant'}}", "pass"},
        {"{headers = {['x-tenant'] = ''}}", "{headers = {'x-tenant'}}", "400 header_missing"},
        {"{}", "{headers = {'x-tenant'}}", "400 header_missing"},
        {"{}", "{headers = {'x-tenant'}, status = 412}", "412 header_missing"},
        {"{headers = {a = '1', b = '2'}}", "{headers = {'a', 'b', 'c'}}", "400 header_missing"},
        {"{headers = {v = '2'}}", "{equals = {V = '2'}}", "pass"},
        {"{headers = {v = '2'}}", "{equals = {v = 2}}", "pass"},
        {"{headers = {v = '3'}}", "{equals = {v = {'1', '2'}}}", "400 header_wrong"},
        {"{headers = {v = '2'}}", "{equals = {v = {'1', '2'}}}", "pass"},
        {"{}", "{equals = {v = '1'}}", "400 header_missing"},
    };
    CHECK_ROWS("header_required", rows);
}

static void office_hours(void)
{
    /* 2026-11-20 is a Friday */
    static const struct {
        int64_t at;
        struct row row;
    } rows[] = {
        {1795168800 /* Fri 10:00 */, {"{}", "{}", "pass"}},
        {1795165199 /* Fri 08:59:59 */, {"{}", "{}", "403 outside_office_hours"}},
        {1795165200 /* Fri 09:00 */, {"{}", "{}", "pass"}},
        {1795193999 /* Fri 16:59:59 */, {"{}", "{}", "pass"}},
        {1795194000 /* Fri 17:00 */, {"{}", "{}", "403 outside_office_hours"}},
        {1795255200 /* Sat 10:00 */, {"{}", "{}", "403 outside_office_hours"}},
        {1795255200, {"{}", "{days = {'Sat'}}", "pass"}},
        {1795165199, {"{}", "{utc_offset = '+01:00'}", "pass"}},
        {1795168800, {"{}", "{utc_offset = '-05:30'}", "403 outside_office_hours"}},
        {1795168800, {"{}", "{holidays = {'2026-11-20'}}", "403 outside_office_hours"}},
        {1795168800, {"{}", "{holidays = {'2026-11-21'}}", "pass"}},
        {1795255200, {"{method = 'GET'}", "{methods = {'POST'}}", "pass"}},
        {1795255200, {"{method = 'POST'}", "{methods = {'post'}}", "403 outside_office_hours"}},
        /* 22:00 to 06:00: Saturday 02:00 belongs to Friday, Sunday 02:00 to Saturday */
        {1795226400 /* Sat 02:00 */, {"{}", "{from = '22:00', to = '06:00'}", "pass"}},
        {1795312800 /* Sun 02:00 */, {"{}", "{from = '22:00', to = '06:00'}", "403 outside_office_hours"}},
        {1795168800, {"{}", "{from = '22:00', to = '06:00'}", "403 outside_office_hours"}},
        {1795168800, {"{}", "{from = '9am'}", "error a time is written"}},
        {1795168800, {"{}", "{days = {'friday'}}", "error days are mon"}},
        {1795168800, {"{}", "{utc_offset = 'CET'}", "error utc_offset"}},
        {1795168800, {"{}", "{from = '00:00', to = '24:00'}", "pass"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        now_s = rows[i].at;
        check_rows("office_hours", &rows[i].row, 1);
    }
}

static void ip_allow(void)
{
    static const struct row rows[] = {
        {"{source_ip = '10.1.2.3'}", "{allow = {'10.0.0.0/8'}}", "pass"},
        {"{source_ip = '11.1.2.3'}", "{allow = {'10.0.0.0/8'}}", "403 ip_denied"},
        {"{source_ip = '11.1.2.3'}", "{allow = {'10.0.0.0/8', '11.1.2.3'}}", "pass"},
        {"{source_ip = '10.9.1.1'}", "{allow = {'10.0.0.0/8'}, deny = {'10.9.0.0/16'}}", "403 ip_denied"},
        {"{source_ip = '8.8.8.8'}", "{deny = {'10.9.0.0/16'}}", "pass"},
        {"{source_ip = '2001:db8::7'}", "{allow = {'2001:db8::/32'}}", "pass"},
        {"{source_ip = '2001:db9::7'}", "{allow = {'2001:db8::/32'}}", "403 ip_denied"},
        {"{source_ip = '10.1.2.3'}", "{allow = {}}", "403 ip_denied"},
        {"{}", "{allow = {'0.0.0.0/0'}}", "403 ip_denied"},
        {"{source_ip = ''}", "{}", "403 ip_denied"},
        {"{source_ip = '10.1.2.3'}", "{allow = {'ten'}}", "error cidr_match"},
    };
    CHECK_ROWS("ip_allow", rows);
}

static void claim_suffix(void)
{
    static const struct row rows[] = {
        {"{identity = {metadata = {email = 'ann@example.com'}}}", "{suffix = '@example.com'}", "pass"},
        {"{identity = {metadata = {email = 'Ann@Example.COM'}}}", "{suffix = '@example.com'}", "pass"},
        {"{identity = {metadata = {email = 'ann@example.com.evil.org'}}}", "{suffix = '@example.com'}",
         "403 claim_wrong"},
        {"{identity = {metadata = {email = 'ann@notexample.com'}}}", "{suffix = '@example.com'}",
         "403 claim_wrong"},
        {"{identity = {metadata = {email = 'b@example.org'}}}",
         "{suffix = {'@example.com', '@example.org'}}", "pass"},
        {"{identity = {metadata = {}}}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{state = {email = 'a@example.com'}}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{state = {email = 'a@example.com'}}", "{from = 'state', suffix = '@example.com'}", "pass"},
        {"{state = {org = 'a.test'}}", "{from = 'state', claim = 'org', suffix = '.test'}", "pass"},
        {"{identity = {metadata = {email = 'a@b'}}}", "{suffix = ''}", "403 claim_wrong"},
        {"{identity = {metadata = {email = 'a@b'}}}", "{}", "error suffix is missing"},
        {"{}", "{from = 'headers', suffix = 'x'}", "error from is metadata or state"},
    };
    CHECK_ROWS("claim_suffix", rows);
}

static void maintenance(void)
{
    static const struct row rows[] = {
        {"{}", "{}", "403 maintenance"},
        {"{}", "{enabled = false}", "pass"},
        {"{method = 'GET'}", "{methods = {'POST', 'PUT'}}", "pass"},
        {"{method = 'PUT'}", "{methods = {'POST', 'PUT'}}", "403 maintenance"},
        {"{identity = {user = 'ann@example.com'}}", "{except_users = {'ann@example.com'}}", "pass"},
        {"{identity = {user = ''}}", "{except_users = {''}}", "403 maintenance"},
        {"{path = '/health'}", "{except_paths = {'/health'}}", "pass"},
        {"{path = '/health/live'}", "{except_paths = {'/health/'}}", "pass"},
        {"{path = '/healthy'}", "{except_paths = {'/health'}}", "403 maintenance"},
        {"{}", "{retry_after_s = 120}", "403 maintenance retry-after=120"},
        {"{}", "{['until'] = '2026-11-20T11:00'}", "403 maintenance retry-after=3600"},
        {"{}", "{['until'] = '2026-11-20T10:00'}", "pass"},
        {"{}", "{from = '2026-11-20T10:01'}", "pass"},
        {"{}", "{from = '2026-11-20T10:00'}", "403 maintenance"},
        {"{}", "{['until'] = '2028-02-29T00:00'}", "403 maintenance retry-after=40226400"},
        {"{}", "{['until'] = 'tomorrow'}", "error a time is written"},
    };
    now_s = 1795168800; /* 2026-11-20T10:00:00Z */
    CHECK_ROWS("maintenance", rows);
}

static void method_matrix(void)
{
    static const struct row rows[] = {
        {"{identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}", "pass"},
        {"{method = 'HEAD', identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}", "pass"},
        {"{method = 'POST', identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}",
         "403 method_not_allowed"},
        {"{method = 'PURGE', identity = {plan = 'gold'}}", "{allow = {gold = {'*'}}}", "pass"},
        {"{identity = {plan = 'none'}}", "{allow = {gold = {'*'}}}", "403 method_not_allowed"},
        {"{identity = {plan = 'none'}}", "{allow = {gold = {'*'}}, default = {'GET'}}", "pass"},
        {"{}", "{allow = {gold = {'*'}}}", "403 method_not_allowed"},
        {"{}", "{allow = {gold = {'*'}}, default = {'GET'}}", "pass"},
        {"{identity = {plan = '', user = ''}}", "{allow = {[''] = {'*'}}}", "403 method_not_allowed"},
        {"{identity = {user = 'ann'}}", "{by = 'user', allow = {ann = {'GET'}}}", "pass"},
        {"{method = 'PUT', identity = {metadata = {team = 'ops'}}}",
         "{by = 'team', allow = {ops = {'PUT'}}}", "pass"},
        {"{method = 'PUT', identity = {plan = 'ops', metadata = {}}}",
         "{by = 'team', allow = {ops = {'PUT'}}}", "403 method_not_allowed"},
        {"{identity = {plan = 'free'}}", "{}", "403 method_not_allowed"},
    };
    CHECK_ROWS("method_matrix", rows);
}

/* Each file stands alone, opens with its purpose, its configuration and an example, and this file
 * has a test for each. */
static void files_are_whole(void)
{
    static const char *const tested[] = {"claim_suffix.lua", "header_required.lua", "ip_allow.lua",
                                         "maintenance.lua",  "method_matrix.lua",   "office_hours.lua"};
    struct arena a;
    struct err e = {0};
    char **names;
    size_t n = 0, seen = 0;
    arena_init(&a, 4096, 0);
    T_INT(dir_list(&a, "lua", &names, &n, &e), RC_OK);
    for (size_t i = 0; i < n; i++) {
        char stem[60];
        int id = -1;
        if (!slice_ends(slice_str(names[i]), S(".lua")))
            continue;
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(tested); k++)
            found = found || strcmp(names[i], tested[k]) == 0;
        snprintf(stem, sizeof stem, "%.*s", (int)strlen(names[i]) - 4, names[i]);
        struct slice text = policy_text(&a, stem);
        T_ROW("%s", names[i]);
        T(found);
        seen++;
        T(slice_starts(text, arena_fmt(&a, "-- %s: ", stem)));
        T(slice_find(text, S("\n-- config:\n")) != SIZE_MAX);
        T(slice_find(text, S("\n-- example:\n")) != SIZE_MAX);
        struct script *s = script_open(NULL);
        T_INT(script_load(s, names[i], text, &id, &e), RC_OK);
        script_close(s);
    }
    T_INT(seen, ARRAY_LEN(tested));
    arena_free(&a);
}

int main(void)
{
    T_RUN(header_required);
    T_RUN(office_hours);
    T_RUN(ip_allow);
    T_RUN(claim_suffix);
    T_RUN(maintenance);
    T_RUN(method_matrix);
    T_RUN(files_are_whole);
    return t_done();
}
