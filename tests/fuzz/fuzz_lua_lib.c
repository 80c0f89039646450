/*
 * fuzz_lua_lib.c - the functions of postern.* with any arguments: types, sizes, patterns, deep and circular
 * tables, and budgets that end in the middle. Nothing may crash, hang or outlive its budget.
 *
 * The input is a program for a small machine that is itself a policy: a byte chooses the function, others make
 * its arguments (also from what earlier calls gave). Errors are caught, as a script may; only a used-up budget
 * ends the call, which is then trouble. After each input an honest question must pass in the same state.
 * Seeds: tests/fuzz/seeds/fuzz_lua_lib.
 */
#include "base/log.h"
#include "policy/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FUZZ_LUA_LIB_CPU_MS = 3000, FUZZ_LUA_LIB_FLUSH = 500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MACHINE \
    "              local F = {}\n" \
    "              for _, n in ipairs({'json', 'jwt', 'base64', 'base64url', 'hex', 'url', 'time', 'store', 'metric', 'http'}) do\n" \
    "                  local names = {json = {'encode', 'decode'}, jwt = {'claims'}, base64 = {'encode', 'decode'}, base64url = {'encode', 'decode'},\n" \
    "                      hex = {'encode', 'decode'}, url = {'encode', 'decode', 'query'}, time = {'parse', 'format', 'fields'},\n" \
    "                      store = {'get', 'set', 'del', 'incr', 'expire', 'ttl'}, metric = {'add'}, http = {'get', 'post', 'request'}}\n" \
    "                  for _, k in ipairs(names[n]) do F[#F + 1] = assert(postern[n][k], k) end\n" \
    "              end\n" \
    "              for _, k in ipairs({'sha1', 'sha256', 'sha512', 'hmac_sha1', 'hmac_sha256', 'equal', 'cidr_match', 'cidr_lookup', 'glob', 'regex',\n" \
    "                  'now', 'log', 'limit', 'limit_peek'}) do F[#F + 1] = assert(postern[k], k) end\n" \
    "              for _, v in ipairs({string.rep, string.format, string.gsub, string.match, table.concat, table.sort, table.unpack, utf8.char,\n" \
    "                  tostring, tonumber, select, os.date, string.byte, string.find, table.insert, next}) do F[#F + 1] = v end\n" \
    "              return function(req)\n" \
    "                  local s, at, got = req.body, 1, {}\n" \
    "                  local function byte() local b = s:byte(at) or 0; at = at + 1; return b end\n" \
    "                  local function text() local n = byte(); local t = s:sub(at, at + n - 1); at = at + n; return t end\n" \
    "                  local value\n" \
    "                  function value(depth)\n" \
    "                      local k = byte() % 15\n" \
    "                      if k == 0 then return nil elseif k == 1 then return true elseif k == 2 then return byte() - 128\n" \
    "                      elseif k == 3 then return math.maxinteger elseif k == 4 then return 0 / 0 elseif k == 5 then return 1e308 * 10\n" \
    "                      elseif k == 6 then return text() elseif k == 7 then return text():rep(byte() * 16) elseif k == 8 then return req\n" \
    "                      elseif k == 9 then return got[byte() % (#got + 1)] elseif k == 10 then return byte() / 7\n" \
    "                      elseif k == 11 then local t = {}; t[1] = t; t.a = t; return t elseif k == 12 then return value\n" \
    "                      elseif k == 13 then local t = {}; for _ = 1, byte() do t = {t} end; return t end\n" \
    "                      local t = {}\n" \
    "                      for i = 1, byte() % 6 do\n" \
    "                          local v = nil; if depth < 4 then v = value(depth + 1) end\n" \
    "                          if byte() % 2 == 0 then t[#t + 1] = v else t[text()] = v end\n" \
    "                      end\n" \
    "                      return t\n" \
    "                  end\n" \
    "                  while at <= #s do\n" \
    "                      local f, n, a = F[byte() % #F + 1], byte() % 5, {}\n" \
    "                      for i = 1, n do a[i] = value(0) end\n" \
    "                      local ok, v = pcall(f, table.unpack(a, 1, n))\n" \
    "                      if ok then got[#got + 1] = v end\n" \
    "                  end\n" \
    "                  if req.path == '/said' then return got[#got] end\n" \
    "                  return true\n" \
    "              end\n"

static const char policy[] = "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec:\n  config:\n"
                             "    glooAuth:\n      configs:\n        - luaAuth:\n            inline: |\n" MACHINE;

static struct {
    struct store *store;
    struct keyrec_scheme scheme;
    struct policy_ctx *ctx[3]; /* by budget */
    unsigned runs;
} fuzz_lua_lib;

static void fuzz_lua_lib_init(void)
{
    static const struct policy_opts opts;
    static const uint64_t instructions[] = {5000, 60000, 1000000};
    static const size_t memory[] = {64 << 10, 256 << 10, 4 << 20};
    struct store_opts o = {.engine = STORE_MEMORY};
    struct policy_faults faults;
    struct policy_set *s = NULL;
    struct err e;
    struct load l;

    log_init(LOG_SILENT, false);
    hash_seed_init();
    hmac_key_init(&fuzz_lua_lib.scheme.hmac, S("secret"));
    MUST(store_open(&o, &fuzz_lua_lib.store, &e) == RC_OK);
    policy_faults_init(&faults);
    load_begin(&l, &opts, &faults);
    load_text(&l, S("fuzz.yaml"), slice_str(policy));
    enum rc rc = load_finish(&l, &s);
    for (size_t i = 0; i < faults.n; i++)
        fprintf(stderr, "%d: %.*s\n", faults.rows[i].line, SFMT(faults.rows[i].text));
    MUST(rc == RC_OK && s);
    struct policy_box *box = policy_box_open(s);
    for (size_t i = 0; i < ARRAY_LEN(fuzz_lua_lib.ctx); i++) {
        struct policy_ctx_opts c = {.box = box, .store = fuzz_lua_lib.store, .scheme = &fuzz_lua_lib.scheme,
                                    .lua_instructions = instructions[i], .lua_memory_bytes = memory[i]};
        fuzz_lua_lib.ctx[i] = policy_ctx_open(&c);
    }
    policy_faults_free(&faults);
}

static int64_t fuzz_lua_lib_cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct policy_verdict fuzz_lua_lib_ask(struct policy_ctx *c, const char *path, struct slice body)
{
    static const struct http_header headers[] = {{SLIT("X-Org"), SLIT("solo.io")}};
    struct policy_ask q = {.method = S("POST"), .host = S("a.example.com"), .target = slice_str(path), .body = body,
                           .headers = headers, .headers_n = 1, .now_ms = 1794000000000, .trace = true};
    struct policy_verdict v;

    policy_begin(c, q.now_ms);
    MUST(policy_decide(c, &q, &v, NULL, NULL) == RC_OK);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size);
    struct policy_verdict v;
    struct policy_ctx *c;
    struct buf json;
    int64_t began;

    if (!fuzz_lua_lib.store)
        fuzz_lua_lib_init();
    if (size == 0 || size > 4096)
        return 0;
    c = fuzz_lua_lib.ctx[data[0] % ARRAY_LEN(fuzz_lua_lib.ctx)];
    began = fuzz_lua_lib_cpu_ms();
    v = fuzz_lua_lib_ask(c, data[0] & 64 ? "/said" : "/", slice_from(body, 1));
    MUST(fuzz_lua_lib_cpu_ms() - began < FUZZ_LUA_LIB_CPU_MS);
    MUST(v.allowed ? v.status == 200 : v.status >= 300 && v.status < 500);
    MUST(data[0] & 64 || v.allowed || slice_eq(v.reason, S("lua_trouble")));
    buf_init(&json, 0);
    policy_verdict_json(&v, true, &json);
    buf_free(&json);
    v = fuzz_lua_lib_ask(c, "/", S("")); /* the next one is served */
    MUST(v.allowed);
    if (++fuzz_lua_lib.runs % FUZZ_LUA_LIB_FLUSH == 0) {
        store_enter(fuzz_lua_lib.store, 1794000000000);
        ks_flush(fuzz_lua_lib.store, -1);
        store_leave(fuzz_lua_lib.store);
    }
    return 0;
}
