/*
 * test_lua_policies.c - the standard policies of lua/, each with a table of requests and answers, and
 * their page of the manual.
 *
 * A policy's text is set into a chunk that calls it with a request and a configuration written in
 * Lua and puts the answer into words: "pass" and the headers that it sets, or "status reason" and what
 * else it holds. The library is the real one, with a clock of ours.
 */
#include "p.h"

#include "base/asset.h"
#include "base/os.h"
#include "wire/gzip.h"

#include <stdio.h>

static int64_t now_s = 1795168800; /* 2026-11-20T10:00:00Z, a Friday */

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
        "    route = 'r', headers = {}, state = {}}\n"
        "  for k, v in pairs(%s) do req[k] = v end\n"
        "  local r = policy(req, %s)\n"
        "  if r == nil or r == true or r == 'allow' then return 'pass' end\n"
        "  if r == false then return '403' end\n"
        "  local out = 'pass'\n"
        "  if r.allow then\n"
        "    for k, v in pairs(r.headers or {}) do out = out .. ' ' .. k .. '=' .. v end\n"
        "    return out\n"
        "  end\n"
        "  assert(r.allow == false and math.type(r.status) == 'integer' and r.body ~= '')\n"
        "  out = r.status .. ' ' .. r.reason\n"
        "  for k, v in pairs(r.headers or {}) do out = out .. ' ' .. k .. '=' .. v end\n"
        "  return out\n"
        "end\n",
        SFMT(policy), req, config);
}

struct row {
    const char *req, *config, *want; /* want "error ...": the run fails with this text */
};

/* One call of a chunk; the answer is its text, or the error's. */
static enum rc answer(struct script *s, struct slice chunk, char *out, size_t cap)
{
    struct policy_ctx ctx = {.now_ms = now_s * 1000 + 250};
    struct decision d = {.c = &ctx};
    struct lua_call user = {&d, NULL};
    struct err e = {0};
    int id = -1;
    enum rc rc = script_load(s, "policy.lua", chunk, &id, &e);
    if (rc == RC_OK) {
        struct script_call *c = script_begin(s, id, &user);
        rc = script_run(c, 0, 1, &e);
        snprintf(out, cap, "%.*s", SFMT(script_to_str(c, 1)));
        script_end(c);
        script_unload(s, id);
    }
    if (rc != RC_OK)
        snprintf(out, cap, "%s", e.text);
    return rc;
}

static void check_rows(const char *name, const struct row *rows, size_t n)
{
    struct arena a;
    struct policy_ctx ctx = {0};
    size_t fns;
    const struct script_fn *lib = lua_lib(&fns);
    arena_init(&a, 4096, 0);
    struct slice text = policy_text(&a, name);
    struct script *s = script_open(NULL);
    script_lib(s, "postern", lib, fns, &ctx);
    for (size_t i = 0; i < n; i++) {
        char said[400];
        enum rc rc = answer(s, wrapped(&a, text, rows[i].req, rows[i].config), said, sizeof said);
        T_ROW("%.20s row %zu: %.60s", name, i, rows[i].req);
        if (strncmp(rows[i].want, "error ", 6) == 0) {
            T_INT(rc, RC_BUG);
            T(strstr(said, rows[i].want + 6) != NULL);
        } else {
            T_TEXT(slice_str(said), rows[i].want);
        }
        T(script_used_instructions(s) < 5000);
    }
    script_close(s);
    lua_lib_close(ctx.lua);
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
        {"{headers = {v = '1, 2'}}", "{equals = {v = {'1', '2'}}}", "400 header_wrong"},
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
        {"{claims = {email = 'ann@example.com'}}", "{suffix = '@example.com'}", "pass"},
        {"{claims = {email = 'Ann@Example.COM'}}", "{suffix = '@example.com'}", "pass"},
        {"{claims = {email = 'ann@example.com.evil.org'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = 'ann@notexample.com'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = 'b@example.org'}}", "{suffix = {'@example.com', '@example.org'}}", "pass"},
        {"{claims = {email = 'a@evil.org@example.com'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = 'a@example.com@evil.org'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = '@example.com'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = 'ann@ex\xc3\xa4mple.com'}}", "{suffix = '@example.com'}", "403 claim_wrong"},
        {"{claims = {email = 'a@example.com', email_verified = false}}", "{suffix = '@example.com'}", "403 claim_unverified"},
        {"{claims = {email = 'a@example.com', email_verified = true}}", "{suffix = '@example.com'}", "pass"},
        {"{claims = {email = {'a@example.com'}}}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{claims = {}}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{state = {email = 'a@example.com'}}", "{suffix = '@example.com'}", "403 claim_missing"},
        {"{identity = {metadata = {email = 'a@example.com'}}}", "{from = 'metadata', suffix = '@example.com'}", "pass"},
        {"{state = {email = 'a@example.com'}}", "{from = 'state', suffix = '@example.com'}", "pass"},
        {"{identity = {user = 'ann@example.com'}}", "{from = 'identity', claim = 'user', suffix = '@example.com'}", "pass"},
        {"{state = {org = 'a.test'}}", "{from = 'state', claim = 'org', suffix = '.test'}", "pass"},
        {"{claims = {email = 'a@b'}}", "{suffix = ''}", "403 claim_wrong"},
        {"{claims = {email = 'a@b'}}", "{}", "error suffix is missing"},
        {"{}", "{from = 'headers', suffix = 'x'}", "error from is claims, metadata, identity or state"},
    };
    CHECK_ROWS("claim_suffix", rows);
}

static void claim_equals(void)
{
    static const struct row rows[] = {
        {"{claims = {org = 'acme'}}", "{claim = 'org', values = 'acme'}", "pass"},
        {"{claims = {org = 'Acme'}}", "{claim = 'org', values = 'acme'}", "403 claim_wrong"},
        {"{claims = {org = 'b'}}", "{claim = 'org', values = {'a', 'b'}}", "pass"},
        {"{claims = {n = 3}}", "{claim = 'n', values = 3}", "pass"},
        {"{claims = {ok = true}}", "{claim = 'ok', values = true}", "pass"},
        {"{claims = {ok = false}}", "{claim = 'ok', values = true}", "403 claim_wrong"},
        {"{claims = {groups = {'x', 'ops'}}}", "{claim = 'groups', values = {'ops'}}", "pass"},
        {"{claims = {groups = {'x', 'ops'}}}", "{claim = 'groups', values = {'ops'}, all = true}", "403 claim_wrong"},
        {"{claims = {groups = {'ops', 'x'}}}", "{claim = 'groups', values = {'ops', 'x', 'y'}, all = true}", "pass"},
        {"{claims = {groups = {}}}", "{claim = 'groups', values = {'ops'}, all = true}", "403 claim_wrong"},
        {"{claims = {groups = 'x, ops'}}", "{claim = 'groups', values = {'ops'}}", "403 claim_wrong"},
        {"{claims = {realm = {roles = {'admin'}}}}", "{claim = 'realm.roles', values = 'admin'}", "pass"},
        {"{claims = {['realm.roles'] = 'user', realm = {roles = 'admin'}}}", "{claim = 'realm.roles', values = 'admin'}", "403 claim_wrong"},
        {"{claims = {realm = 'x'}}", "{claim = 'realm.roles', values = 'admin'}", "403 claim_missing"},
        {"{claims = {email = 'a@b', email_verified = false}}", "{claim = 'email', values = 'a@b'}", "403 claim_unverified"},
        {"{claims = {org = ''}}", "{claim = 'org', values = ''}", "403 claim_missing"},
        {"{}", "{claim = 'org', values = 'a'}", "403 claim_missing"},
        {"{identity = {metadata = {team = 'a'}}}", "{claim = 'team', from = 'metadata', values = 'a'}", "pass"},
        {"{identity = {plan = 'gold'}}", "{claim = 'plan', from = 'identity', values = 'gold'}", "pass"},
        {"{state = {x = 'a'}}", "{claim = 'x', from = 'state', values = 'a'}", "pass"},
        {"{}", "{values = 'a'}", "error claim and values must be given"},
        {"{}", "{claim = 'x', values = 'a', from = 'y'}", "error from is claims"},
    };
    CHECK_ROWS("claim_equals", rows);
}

static void geo(void)
{
#define TABLE "table = {['192.0.2.0/24'] = 'DE', ['198.51.100.0/24'] = 'FR', ['198.51.100.128/25'] = 'CH', ['2001:db8::/32'] = 'DE'}"
    static const struct row rows[] = {
        {"{source_ip = '192.0.2.7'}", "{" TABLE ", allow = {'DE'}}", "pass"},
        {"{source_ip = '2001:db8::1'}", "{" TABLE ", allow = {'DE'}}", "pass"},
        {"{source_ip = '198.51.100.7'}", "{" TABLE ", allow = {'DE', 'CH'}}", "403 geo_denied"},
        {"{source_ip = '198.51.100.200'}", "{" TABLE ", allow = {'DE', 'CH'}, header = 'x-country'}", "pass x-country=CH"},
        {"{source_ip = '198.51.100.7'}", "{" TABLE ", deny = {'FR'}}", "403 geo_denied"},
        {"{source_ip = '192.0.2.7'}", "{" TABLE ", deny = {'FR'}}", "pass"},
        {"{source_ip = '192.0.2.7'}", "{" TABLE ", allow = {'DE'}, deny = {'DE'}}", "403 geo_denied"},
        {"{source_ip = '8.8.8.8'}", "{" TABLE "}", "403 geo_unknown"},
        {"{source_ip = '8.8.8.8'}", "{" TABLE ", unknown = 'allow', allow = {'DE'}}", "pass"},
        {"{}", "{" TABLE ", unknown = 'allow'}", "403 geo_unknown"},
        {"{source_ip = '8.8.8.8'}", "{" TABLE ", unknown = 'maybe'}", "error unknown is deny or allow"},
        {"{source_ip = '8.8.8.8'}", "{table = {DE = '192.0.2.0/24'}}", "error cidr_lookup"},
        {"{source_ip = '8.8.8.8'}", "{}", "403 geo_unknown"},
    };
#undef TABLE
    CHECK_ROWS("geo", rows);
}

static void canary(void)
{
    static const struct row rows[] = {
        {"{identity = {user = 'ann'}}", "{percent = 100}", "pass x-canary=1"},
        {"{identity = {user = 'ann'}}", "{percent = 0}", "pass x-canary=0"},
        {"{identity = {user = 'ann'}}", "{percent = 0, always = {'ann'}}", "pass x-canary=1"},
        {"{}", "{percent = 100}", "pass x-canary=0"},
        {"{}", "{percent = 100, only = true}", "403 canary_only"},
        {"{identity = {user = 'ann'}}", "{percent = 0, only = true}", "403 canary_only"},
        {"{claims = {sub = 's-1'}}", "{percent = 100}", "pass x-canary=1"},
        {"{source_ip = '192.0.2.7'}", "{percent = 100, by = 'ip', header = 'x-new'}", "pass x-new=1"},
        {"{headers = {['x-s'] = 'a'}}", "{percent = 100, by = 'header:X-S'}", "pass x-canary=1"},
        {"{headers = {['x-s'] = ''}}", "{percent = 100, by = 'header:X-S'}", "pass x-canary=0"},
        {"{}", "{percent = 101}", "error percent is a number"},
        {"{}", "{}", "error percent is a number"},
        {"{}", "{percent = 5, by = 'x'}", "error by is user"},
    };
    CHECK_ROWS("canary", rows);
}

/* Of many callers about the share is in, the same ones each time, and more with a greater share. */
static void canary_is_steady(void)
{
    int in[2] = {0};
    for (int i = 0; i < 200; i++) {
        char req[60], said[2][100];
        struct arena a;
        struct policy_ctx ctx = {0};
        size_t fns;
        const struct script_fn *lib = lua_lib(&fns);
        struct script *s = script_open(NULL);
        arena_init(&a, 4096, 0);
        script_lib(s, "postern", lib, fns, &ctx);
        snprintf(req, sizeof req, "{identity = {user = 'user-%d'}}", i);
        for (int k = 0; k < 2; k++)
            T_INT(answer(s, wrapped(&a, policy_text(&a, "canary"), req, k ? "{percent = 60}" : "{percent = 30}"), said[k], sizeof said[k]), RC_OK);
        for (int k = 0; k < 2; k++)
            in[k] += strcmp(said[k], "pass x-canary=1") == 0;
        T(strcmp(said[0], "pass x-canary=1") != 0 || strcmp(said[1], "pass x-canary=1") == 0);
        script_close(s);
        lua_lib_close(ctx.lua);
        arena_free(&a);
    }
    T(in[0] > 35 && in[0] < 85);
    T(in[1] > 90 && in[1] < 150);
}

static void tenant(void)
{
    static const struct row rows[] = {
        {"{path = '/tenants/red/x', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "pass"},
        {"{path = '/tenants/red', claims = {tenant = 'red'}}", "{path = '/tenants/', set = 'x-tenant'}", "pass x-tenant=red"},
        {"{path = '/tenants/blue/x', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "403 tenant_wrong"},
        {"{path = '/tenants/Red/x', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "403 tenant_wrong"},
        {"{path = '/tenants/redder', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "403 tenant_wrong"},
        {"{path = '/tenants/', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "403 tenant_not_named"},
        {"{path = '/health', claims = {tenant = 'red'}}", "{path = '/tenants/'}", "403 tenant_not_named"},
        {"{path = '/health', claims = {tenant = 'red'}}", "{path = '/tenants/', other = 'allow'}", "pass"},
        {"{path = '/tenants/red', claims = {}}", "{path = '/tenants/'}", "403 tenant_missing"},
        {"{path = '/health'}", "{path = '/tenants/', other = 'allow'}", "403 tenant_missing"},
        {"{path = '/tenants/blue', claims = {tenant = {'red', 'blue'}}}", "{path = '/tenants/'}", "pass"},
        {"{path = '/tenants/blue', claims = {tenant = 'ops'}}", "{path = '/tenants/', all = {'ops'}}", "pass"},
        {"{path = '/tenants/7', claims = {tenant = 7}}", "{path = '/tenants/'}", "pass"},
        {"{host = 'red.example.com', claims = {tenant = 'red'}}", "{host = '.example.com'}", "pass"},
        {"{host = 'blue.example.com', claims = {tenant = 'red'}}", "{host = '.example.com'}", "403 tenant_wrong"},
        {"{host = 'a.red.example.com', claims = {tenant = 'red'}}", "{host = '.example.com'}", "403 tenant_not_named"},
        {"{host = 'red.example.org', claims = {tenant = 'red'}}", "{host = '.example.com'}", "403 tenant_not_named"},
        {"{headers = {['x-t'] = 'red'}, identity = {metadata = {tenant = 'red'}}}", "{header = 'X-T', from = 'metadata'}", "pass"},
        {"{headers = {['x-t'] = 'red, blue'}, claims = {tenant = 'red'}}", "{header = 'X-T'}", "403 tenant_wrong"},
        {"{query = 'a=1&t=red', claims = {tenant = 'red'}}", "{query = 't'}", "pass"},
        {"{query = 't=red&t=blue', claims = {tenant = 'red'}}", "{query = 't'}", "403 tenant_wrong"},
        {"{query = 't=red&%74=blue', claims = {tenant = 'red'}}", "{query = 't'}", "403 tenant_wrong"},
        {"{claims = {tenant = 'red'}}", "{}", "error one of path"},
        {"{}", "{path = '/t/', from = 'x'}", "error from is claims"},
    };
    CHECK_ROWS("tenant", rows);
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
        {"{}", "{['until'] = '2026-11-20T12:00:00+01:00'}", "403 maintenance retry-after=3600"},
    };
    now_s = 1795168800; /* 2026-11-20T10:00:00Z */
    CHECK_ROWS("maintenance", rows);
}

static void method_matrix(void)
{
#define CLERK "{allow = {clerk = {{methods = {'GET'}}, {methods = {'POST'}, paths = {'/orders/*/lines', '/notes/**'}}}}}"
    static const struct row rows[] = {
        {"{identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}", "pass"},
        {"{method = 'HEAD', identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}", "pass"},
        {"{method = 'POST', identity = {plan = 'free'}}", "{allow = {free = {'GET'}}}",
         "403 method_not_allowed"},
        {"{method = 'PURGE', identity = {plan = 'gold'}}", "{allow = {gold = {'*'}}}", "pass"},
        {"{identity = {plan = 'none'}}", "{allow = {gold = {'*'}}}", "403 method_not_allowed"},
        {"{identity = {plan = 'none'}}", "{allow = {gold = {'*'}}, default = {'GET'}}", "pass"},
        {"{method = 'PUT', identity = {plan = 'free'}}", "{allow = {free = {'GET'}}, default = {'*'}}", "403 method_not_allowed"},
        {"{}", "{allow = {gold = {'*'}}}", "403 method_not_allowed"},
        {"{}", "{allow = {gold = {'*'}}, default = {'GET'}}", "pass"},
        {"{identity = {plan = '', user = ''}}", "{allow = {[''] = {'*'}}}", "403 method_not_allowed"},
        {"{identity = {user = 'ann'}}", "{claim = 'user', allow = {ann = {'GET'}}}", "pass"},
        {"{method = 'PUT', identity = {metadata = {team = 'ops'}}}",
         "{claim = 'team', from = 'metadata', allow = {ops = {'PUT'}}}", "pass"},
        {"{method = 'PUT', identity = {plan = 'ops', metadata = {}}}",
         "{claim = 'team', from = 'metadata', allow = {ops = {'PUT'}}}", "403 method_not_allowed"},
        {"{method = 'PUT', claims = {roles = {'x', 'ops'}}}", "{claim = 'roles', from = 'claims', allow = {x = {'GET'}, ops = {'PUT'}}}", "pass"},
        {"{identity = {plan = 'free'}}", "{}", "403 method_not_allowed"},
        {"{path = '/orders', identity = {plan = 'clerk'}}", CLERK, "pass"},
        {"{method = 'POST', path = '/orders/7/lines', identity = {plan = 'clerk'}}", CLERK, "pass"},
        {"{method = 'POST', path = '/orders/7', identity = {plan = 'clerk'}}", CLERK, "403 method_not_allowed"},
        {"{method = 'POST', path = '/orders/7/lines/1', identity = {plan = 'clerk'}}", CLERK, "403 method_not_allowed"},
        {"{method = 'POST', path = '/orders/7/8/lines', identity = {plan = 'clerk'}}", CLERK, "403 method_not_allowed"},
        {"{method = 'POST', path = '/notes', identity = {plan = 'clerk'}}", CLERK, "pass"},
        {"{method = 'POST', path = '/notes/a/b', identity = {plan = 'clerk'}}", CLERK, "pass"},
        {"{method = 'POST', path = '/notesx', identity = {plan = 'clerk'}}", CLERK, "403 method_not_allowed"},
        {"{}", "{from = 'x'}", "error from is claims"},
    };
#undef CLERK
    CHECK_ROWS("method_matrix", rows);
}

/* What the code reads as config.x stands in the header's list and on the page. */
static void every_setting_is_described(struct slice text, struct slice page, const char *name)
{
    size_t code = slice_find(text, S("\nreturn function"));
    struct slice head = slice_sub(text, 0, code), rest = slice_from(text, code);
    for (size_t at; (at = slice_find(rest, S("config."))) != SIZE_MAX;) {
        char word[60], listed[70], quoted[70];
        size_t n = 0;
        rest = slice_from(rest, at + 7);
        while (n < rest.n && n < sizeof word - 1 && (ascii_alpha(rest.p[n]) || rest.p[n] == '_'))
            word[n] = rest.p[n], n++;
        word[n] = '\0';
        snprintf(listed, sizeof listed, "--   %s", word);
        snprintf(quoted, sizeof quoted, "`%s`", word);
        T_ROW("%s config.%s", name, word);
        T(slice_find(head, slice_str(listed)) != SIZE_MAX || slice_find(head, S("from, ")) != SIZE_MAX);
        T(slice_find(page, slice_str(quoted)) != SIZE_MAX);
    }
}

/* Each file stands alone, opens with its purpose, its configuration and an example, and this file
 * has a test for each. */
static void files_are_whole(void)
{
    static const char *const tested[] = {"canary.lua", "claim_equals.lua", "claim_suffix.lua", "geo.lua", "header_required.lua",
                                         "ip_allow.lua", "maintenance.lua", "method_matrix.lua", "office_hours.lua", "tenant.lua"};
    struct arena a;
    struct err e = {0};
    char **names;
    size_t n = 0, seen = 0;
    const struct asset *as = asset_find(S("docs/lua-policies.md"));
    struct buf page;
    arena_init(&a, 4096, 0);
    buf_init(&page, 1 << 20);
    T(as != NULL && gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &page, NULL) == RC_OK);
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
        T(slice_find(text, S("Reason")) != SIZE_MAX);
        T(slice_find(text, S("\n-- example:\n")) != SIZE_MAX);
        T(slice_find(buf_all(&page), arena_fmt(&a, "\n## %s\n", stem)) != SIZE_MAX);
        T(slice_find(buf_all(&page), arena_fmt(&a, "script: %s\n", stem)) != SIZE_MAX);
        every_setting_is_described(text, buf_all(&page), names[i]);
        struct script *s = script_open(NULL);
        T_INT(script_load(s, names[i], text, &id, &e), RC_OK);
        script_close(s);
    }
    T_INT(seen, ARRAY_LEN(tested));
    buf_free(&page);
    arena_free(&a);
}

int main(void)
{
    p_init();
    T_RUN(header_required);
    T_RUN(office_hours);
    T_RUN(ip_allow);
    T_RUN(claim_suffix);
    T_RUN(claim_equals);
    T_RUN(geo);
    T_RUN(canary);
    T_RUN(canary_is_steady);
    T_RUN(tenant);
    T_RUN(maintenance);
    T_RUN(method_matrix);
    T_RUN(files_are_whole);
    p_done();
    return t_done();
}
