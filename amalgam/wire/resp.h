/*
 * resp.h - the Redis protocol, RESP2 and RESP3 (redis.io protocol specification), bytes <->
 * structs.
 *
 * Reading: resp_read takes what has arrived and gives one command as argument slices that point
 * into the input. It keeps its progress in struct resp_reader so that a large command that arrives
 * in pieces is not parsed again from the start. Inline commands with quotes, blank lines are
 * skipped. Error texts are Redis' own ("Protocol error: invalid bulk length"). Writing: into a buf;
 * proto is 2 or 3 and decides between forms. Threads: pure.
 */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "base/buf.h"
#include "base/err.h"

struct resp_limits {
    size_t bulk_bytes_max;   /* 512 MiB */
    size_t inline_bytes_max; /* 64 KiB */
    size_t args_max;         /* 1 Mi */
};
FN const struct resp_limits *resp_limits_default(void);

struct resp_reader {
    struct slice *argv; /* grows; points into the input of the last call that returned RC_OK */
    size_t *offsets;    /* progress: offset and length per argument */
    size_t argv_cap;
    size_t argc;
    size_t at;           /* bytes of the input looked at so far */
    int64_t args_left;   /* -1: at the start of a command */
    int64_t bulk_left;   /* -1: at a header */
    struct buf unquoted; /* arguments of inline commands */
};
FN void resp_reader_init(struct resp_reader *r);
FN void resp_reader_free(struct resp_reader *r);
/* RC_OK: r->argv[0..argc) is a command (argc 0: blank line, skip it) and *used bytes are consumed.
 * RC_AGAIN: need more bytes behind the same ones (the caller may move them). RC_BADINPUT: e->text
 * behind "ERR " is the reply; close then.
 * auth_needed lowers the limits for clients that have not logged in (10 args, 16 KiB), as Redis. */
FN enum rc resp_read(struct resp_reader *r, struct slice in, const struct resp_limits *lim,
                     bool auth_needed, size_t *used, struct err *e);

FN void resp_simple(struct buf *o, struct slice s); /* +s */
FN void resp_error(struct buf *o, struct slice s);  /* -s ; CR and LF become spaces */
FN void resp_errorf(struct buf *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
FN void resp_int(struct buf *o, int64_t n);
FN void resp_bulk(struct buf *o, struct slice s);
FN UNUSED void resp_bulk_i64(struct buf *o, int64_t n);
FN void resp_nil(struct buf *o, int proto);       /* $-1 or _ */
FN void resp_nil_array(struct buf *o, int proto); /* *-1 or _ */
FN void resp_array(struct buf *o, size_t n);
FN void resp_map(struct buf *o, int proto, size_t pairs);
FN void resp_set(struct buf *o, int proto, size_t n);
FN void resp_push(struct buf *o, int proto, size_t n);
FN void resp_double(struct buf *o, int proto, double d);
FN void resp_bool(struct buf *o, int proto, bool b);
FN void resp_verbatim(struct buf *o, int proto, const char *ext, struct slice s);
FN void resp_attribute(struct buf *o, size_t pairs);

#endif
