/*
 * strlib.c - the string library that scripts see: patterns on pattern.c, bounded building, the rest
 * of Lua's own functions behind a charge for the bytes they read.
 *
 * Callers: scripts, through sandbox.c. find, match, gmatch, gsub and rep are ours; byte, char,
 * format, len, lower, pack, packsize, reverse, sub, unpack, upper are Lua's; dump is gone.
 * A large result is asked of the budget before it is built (budget_room), so that running out of
 * memory is the budget's error and not a string buffer's.
 * Threads: the state's. Tested by tests/unit/script/test_pattern.c and test_sandbox.c.
 */
#include "script/pattern.h"
#include "script/sandbox.h"

enum {
    STRLIB_STEPS = 4,       /* matcher steps for the price of an instruction */
    STRLIB_PLAIN_BYTES = 16 /* bytes of a plain search, or of a pattern, for that price */
};

static struct slice strlib_arg(lua_State *L, int i)
{
    struct slice s;
    s.p = luaL_checklstring(L, i, &s.n);
    return s;
}

/* Where a search begins, from 0: init counts from 1, negative from the end. SIZE_MAX: beyond it. */
static size_t strlib_init(lua_State *L, int arg, size_t n)
{
    lua_Integer at = luaL_optinteger(L, arg, 1);
    if (at < 0)
        return at < -(lua_Integer)n ? 0 : n - (size_t)-at;
    size_t from = at > 0 ? (size_t)at - 1 : 0;
    return from > n ? SIZE_MAX : from;
}

static void strlib_compile(lua_State *L, struct pattern *p, struct slice text, bool caret)
{
    const char *why = NULL;
    budget_charge(L, text.n / STRLIB_PLAIN_BYTES);
    if (!pattern_compile(p, text, caret, &why))
        luaL_error(L, "%s", why);
}

static bool strlib_search(lua_State *L, const struct pattern *p, struct slice subject, size_t from,
                          struct pattern_match *m)
{
    uint64_t left = MIN(budget_left(sandbox_of(L)), UINT64_C(1) << 60);
    uint64_t steps = left * STRLIB_STEPS;
    enum pattern_result r = pattern_search(p, subject, from, &steps, m);
    budget_charge(L, r == PATTERN_SPENT ? left + 1 : left - steps / STRLIB_STEPS);
    return r == PATTERN_FOUND;
}

/* Skips the empty match at `last`, the end of the match before: it belongs to that one. */
static bool strlib_search_next(lua_State *L, const struct pattern *p, struct slice subject,
                               size_t from, size_t last, struct pattern_match *m)
{
    while (strlib_search(L, p, subject, from, m)) {
        if (m->end != last)
            return true;
        from = m->start + 1;
        if (from > subject.n || p->anchored)
            return false;
    }
    return false;
}

static void strlib_push_slice(lua_State *L, struct slice s)
{
    lua_pushlstring(L, s.p, s.n);
}

/* Capture i; i == 0 of a pattern without captures is the whole match. */
static void strlib_push_capture(lua_State *L, const struct pattern *p,
                                const struct pattern_match *m, struct slice subject, int i)
{
    if (i >= p->captures)
        strlib_push_slice(L, slice_sub(subject, m->start, m->end - m->start));
    else if (m->capture[i].p)
        strlib_push_slice(L, m->capture[i]);
    else
        lua_pushinteger(L, (lua_Integer)m->capture[i].n + 1);
}

static int strlib_push_captures(lua_State *L, const struct pattern *p,
                                const struct pattern_match *m, struct slice subject, bool whole)
{
    int n = p->captures == 0 && whole ? 1 : p->captures;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        strlib_push_capture(L, p, m, subject, i);
    return n;
}

static int strlib_found_plain(lua_State *L, struct slice subject, struct slice text, size_t from)
{
    struct slice rest = slice_from(subject, from);
    budget_charge(L, rest.n / STRLIB_PLAIN_BYTES);
    const char *at = text.n == 0 ? rest.p : memmem(rest.p, rest.n, text.p, text.n);
    if (!at) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, at - subject.p + 1);
    lua_pushinteger(L, at - subject.p + (lua_Integer)text.n);
    return 2;
}

static int strlib_look(lua_State *L, bool find)
{
    struct slice subject = strlib_arg(L, 1), text = strlib_arg(L, 2);
    size_t from = strlib_init(L, 3, subject.n);
    struct pattern p;
    struct pattern_match m;
    if (from == SIZE_MAX) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || pattern_is_plain(text)))
        return strlib_found_plain(L, subject, text, from);
    strlib_compile(L, &p, text, true);
    if (!strlib_search(L, &p, subject, from, &m)) {
        luaL_pushfail(L);
        return 1;
    }
    if (!find)
        return strlib_push_captures(L, &p, &m, subject, true);
    lua_pushinteger(L, (lua_Integer)m.start + 1);
    lua_pushinteger(L, (lua_Integer)m.end);
    return 2 + strlib_push_captures(L, &p, &m, subject, false);
}

static int strlib_find(lua_State *L)
{
    return strlib_look(L, true);
}

static int strlib_match(lua_State *L)
{
    return strlib_look(L, false);
}

/* ---- gmatch: upvalues subject, pattern, where to go on, end of the last match ---- */

static int strlib_gmatch_next(lua_State *L)
{
    struct pattern p;
    struct pattern_match m;
    struct slice subject = strlib_arg(L, lua_upvalueindex(1));
    lua_Integer from = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    if (from < 0)
        return 0;
    strlib_compile(L, &p, strlib_arg(L, lua_upvalueindex(2)), false);
    bool found = strlib_search_next(L, &p, subject, (size_t)from, (size_t)last, &m);
    lua_pushinteger(L, found ? (lua_Integer)m.end : -1);
    lua_copy(L, -1, lua_upvalueindex(3));
    lua_copy(L, -1, lua_upvalueindex(4));
    return found ? strlib_push_captures(L, &p, &m, subject, true) : 0;
}

static int strlib_gmatch(lua_State *L)
{
    struct slice subject = strlib_arg(L, 1), text = strlib_arg(L, 2);
    size_t from = strlib_init(L, 3, subject.n);
    struct pattern p;
    strlib_compile(L, &p, text, false); /* a bad pattern is told at once */
    lua_settop(L, 2);
    lua_pushinteger(L, from == SIZE_MAX ? -1 : (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, strlib_gmatch_next, 4);
    return 1;
}

/* ---- gsub ---- */

struct strlib_sub {
    struct pattern p;
    struct pattern_match m;
    struct slice subject;
    luaL_Buffer out;
};

/* Room for n more bytes, so that the buffer's own growth cannot fail. */
static void strlib_room(lua_State *L, const luaL_Buffer *b, size_t n)
{
    if (n > b->size - b->n)
        budget_room(L, b->size + b->size / 2 + n);
}

static void strlib_add(lua_State *L, luaL_Buffer *b, const char *p, size_t n)
{
    strlib_room(L, b, n);
    luaL_addlstring(b, p, n);
}

/* Adds the string on top and pops it. */
static void strlib_add_top(lua_State *L, luaL_Buffer *b)
{
    size_t n;
    (void)lua_tolstring(L, -1, &n);
    strlib_room(L, b, n);
    luaL_addvalue(b);
}

static void strlib_add_text(lua_State *L, struct strlib_sub *sub, struct slice with)
{
    for (size_t i = 0; i < with.n; i++) {
        struct slice rest = slice_from(with, i);
        size_t plain = MIN(slice_index(rest, '%'), rest.n);
        strlib_add(L, &sub->out, rest.p, plain);
        i += plain;
        if (i >= with.n)
            return;
        char c = ++i < with.n ? with.p[i] : 0;
        if (c == '%') {
            strlib_add(L, &sub->out, "%", 1);
        } else if (c == '0') {
            strlib_add(L, &sub->out, sub->subject.p + sub->m.start, sub->m.end - sub->m.start);
        } else if (ascii_digit(c) && (c == '1' || c - '1' < sub->p.captures)) {
            strlib_push_capture(L, &sub->p, &sub->m, sub->subject, c - '1');
            strlib_add_top(L, &sub->out);
        } else if (ascii_digit(c)) {
            luaL_error(L, "invalid capture index %%%c in replacement string", c);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Adds what a function or a table says about the match; false and nil keep it as it is. */
static void strlib_add_value(lua_State *L, struct strlib_sub *sub, int kind)
{
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        int n = strlib_push_captures(L, &sub->p, &sub->m, sub->subject, true);
        int before = budget_enter(L);
        lua_call(L, n, 1);
        budget_leave(L, before);
    } else {
        strlib_push_capture(L, &sub->p, &sub->m, sub->subject, 0);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        strlib_add(L, &sub->out, sub->subject.p + sub->m.start, sub->m.end - sub->m.start);
    } else if (lua_isstring(L, -1)) {
        strlib_add_top(L, &sub->out);
    } else {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
}

static int strlib_gsub(lua_State *L)
{
    struct strlib_sub sub; /* large: not cleared */
    struct slice text = strlib_arg(L, 2), with = {0};
    sub.subject = strlib_arg(L, 1);
    int kind = lua_type(L, 3);
    luaL_argexpected(L, lua_isstring(L, 3) || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3,
                     "string/function/table");
    if (lua_isstring(L, 3))
        with = strlib_arg(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, LUA_MAXINTEGER), n = 0;
    size_t at = 0, last = SIZE_MAX;
    strlib_compile(L, &sub.p, text, true);
    luaL_buffinit(L, &sub.out);
    while (n < most && strlib_search_next(L, &sub.p, sub.subject, at, last, &sub.m)) {
        strlib_add(L, &sub.out, sub.subject.p + at, sub.m.start - at);
        if (with.p)
            strlib_add_text(L, &sub, with);
        else
            strlib_add_value(L, &sub, kind);
        at = last = sub.m.end;
        n++;
        if (sub.p.anchored)
            break;
    }
    strlib_add(L, &sub.out, sub.subject.p + at, sub.subject.n - at);
    budget_room(L, sub.out.n);
    luaL_pushresult(&sub.out);
    lua_pushinteger(L, n);
    return 2;
}

/* ---- building ---- */

static int strlib_rep(lua_State *L)
{
    struct slice s = strlib_arg(L, 1), sep = {"", 0};
    lua_Integer n = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3))
        sep = strlib_arg(L, 3);
    size_t unit = s.n + sep.n;
    if (n <= 0 || unit == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((uint64_t)n > SIZE_MAX / 4 / unit)
        budget_room(L, SIZE_MAX / 2);
    size_t total = (size_t)n * unit - sep.n;
    budget_room(L, 2 * total);
    luaL_Buffer b;
    char *dst = luaL_buffinitsize(L, &b, total);
    if (total > 0)
        memcpy(dst, s.p, s.n);
    if (total > s.n)
        memcpy(dst + s.n, sep.p, sep.n);
    for (size_t have = MIN(unit, total); have < total; have = MIN(2 * have, total))
        memcpy(dst + have, dst, MIN(have, total - have));
    luaL_pushresultsize(&b, total);
    return 1;
}

/* Lua's own format, minus addresses: no %p, and tables and functions by their kind only. */
static int strlib_format(lua_State *L)
{
    struct slice f = strlib_arg(L, 1);
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] != '%')
            continue;
        for (i++; i < f.n && (ascii_digit(f.p[i]) || memchr("-+ #.", f.p[i], 5)); i++)
            ;
        if (i < f.n && f.p[i] == 'p')
            return luaL_error(L, "invalid conversion '%%p' to 'format'");
    }
    for (int i = lua_gettop(L); i > 1; i--) {
        int kind = lua_type(L, i);
        if (kind == LUA_TTABLE || kind == LUA_TFUNCTION || kind == LUA_TUSERDATA) {
            sandbox_text(L, i);
            lua_replace(L, i);
        }
    }
    sandbox_pay(L, true);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static const struct sandbox_row strlib_own[] = {{"find", strlib_find},
                                                {"match", strlib_match},
                                                {"gmatch", strlib_gmatch},
                                                {"gsub", strlib_gsub},
                                                {"rep", strlib_rep}};
static const char *const strlib_reads[] = {"byte", "packsize", "unpack"};
static const char *const strlib_builds[] = {"lower", "pack", "reverse", "upper"};

void strlib_open(lua_State *L)
{
    sandbox_stock(L, luaopen_string);
    sandbox_rows(L, strlib_own, ARRAY_LEN(strlib_own));
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, strlib_format, 1);
    lua_setfield(L, -2, "format");
    for (size_t i = 0; i < ARRAY_LEN(strlib_reads); i++)
        sandbox_paid(L, strlib_reads[i], false);
    for (size_t i = 0; i < ARRAY_LEN(strlib_builds); i++)
        sandbox_paid(L, strlib_builds[i], true);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
}

void utf8lib_open(lua_State *L)
{
    static const char *const reads[] = {"codepoint", "len", "offset"};
    sandbox_stock(L, luaopen_utf8);
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        sandbox_paid(L, reads[i], false);
}
