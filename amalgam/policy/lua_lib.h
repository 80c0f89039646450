/*
 * lua_lib.h - what the files behind postern.* share: the scratch of a thread, arguments, one function
 * per row.
 *
 * lua_lib.c has the table of rows, JSON and tokens; lua_text.c what works on text alone; lua_req.c what
 * concerns the request at hand; lua_http.c what asks other servers. A function gets the policy_ctx as ctx and is called by Lua only. No
 * other file includes this but they.
 */
#ifndef POLICY_LUA_LIB_H
#define POLICY_LUA_LIB_H

#include "policy/inside.h"

enum {
    LUA_LIB_TEXT_MAX = 1 << 20,
    LUA_LIB_KEY_MAX = 512,
    LUA_LIB_VALUE_MAX = 65536,
    LUA_LIB_DEPTH_MAX = 32,
    LUA_LIB_REGEX_MAX = 64,
    LUA_LIB_GROUPS_MAX = 10,
    LUA_LIB_ROWS_MAX = 10000 /* of a list of ranges */
};

struct lua_lib_state {
    struct arena scratch;
    struct { /* compiled expressions of this context, oldest replaced */
        char *pattern;
        size_t n;
        struct regex *regex;
    } regex[LUA_LIB_REGEX_MAX];
    size_t regex_next;
};
/* The scratch memory, emptied. */
FN struct lua_lib_state *lua_lib_of(struct policy_ctx *c);
/* A text argument within bounds; false after script_fail was left on the stack. */
FN bool lua_lib_text(struct script_call *c, int i, size_t max, struct slice *out);
/* A number argument: whole or not; false likewise. */
FN bool lua_lib_num(struct script_call *c, int i, double *out);
/* nil and why: what a function says when its input is not what it reads. */
FN int lua_lib_nil(struct script_call *c, struct slice why);

typedef int lua_lib_fn(struct script_call *c, void *ctx);
/* lua_text.c */
FN lua_lib_fn lua_text_b64_encode, lua_text_b64_decode, lua_text_b64url_encode, lua_text_b64url_decode,
    lua_text_hex_encode, lua_text_hex_decode, lua_text_sha1, lua_text_sha256, lua_text_sha512,
    lua_text_hmac_sha1, lua_text_hmac_sha256, lua_text_equal, lua_text_cidr_match,
    lua_text_cidr_lookup, lua_text_glob, lua_text_regex, lua_text_url_encode, lua_text_url_decode,
    lua_text_url_query, lua_text_time_parse, lua_text_time_format, lua_text_time_fields;
/* lua_req.c */
FN lua_lib_fn lua_req_now, lua_req_log, lua_req_metric_add, lua_req_store_get, lua_req_store_set,
    lua_req_store_del, lua_req_store_incr, lua_req_store_expire, lua_req_store_ttl, lua_req_limit,
    lua_req_limit_peek;
/* lua_http.c: the same, said again when a script that waited is run again */
FN lua_lib_fn lua_once_now, lua_once_log, lua_once_metric_add, lua_once_store_get, lua_once_store_set,
    lua_once_store_del, lua_once_store_incr, lua_once_store_expire, lua_once_store_ttl, lua_once_limit,
    lua_once_limit_peek, lua_http_get, lua_http_post, lua_http_request;

#endif
