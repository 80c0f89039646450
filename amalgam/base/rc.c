/*
 * rc.c - the table of result codes, and what happens when one of our own bugs is found.
 *
 * Called by the doors, which turn a result code into an HTTP status, the first word of a RESP error
 * or a grpc-status, and by MUST and NEVER. No other place maps codes. The table is constant; all
 * functions may be called by any thread. Never used for input from outside: that is an rc, not an
 * assertion. Tested by tests/unit/base/test_err.c.
 */
#include "base/def.h"

#include <stdio.h>
#include <stdlib.h>

static const struct rc_row rc_rows[RC_COUNT] = {
    [RC_OK] = {"ok", 200, "OK", 0},
    [RC_NOTFOUND] = {"not found", 404, "ERR", 5},
    [RC_AGAIN] = {"not yet", 503, "TRYAGAIN", 14},
    [RC_BADINPUT] = {"malformed", 400, "ERR", 3},
    [RC_TOOBIG] = {"too big", 413, "ERR", 8},
    [RC_CONFLICT] = {"conflict", 409, "ERR", 6},
    [RC_DENIED] = {"denied", 403, "NOPERM", 7},
    [RC_WRONGTYPE] = {"wrong type", 400, "WRONGTYPE", 9},
    [RC_NOMEM] = {"out of memory", 503, "OOM", 8},
    [RC_IO] = {"input/output error", 500, "ERR", 13},
    [RC_TIMEOUT] = {"timed out", 504, "ERR", 4},
    [RC_BUSY] = {"busy", 503, "BUSY", 14},
    [RC_VERSION] = {"version not served", 505, "NOPROTO", 12},
    [RC_BUG] = {"internal error", 500, "ERR", 13},
};

/* A code outside the table can only come from a bug of ours: it is reported as one. */
const struct rc_row *rc_row(enum rc rc)
{
    unsigned i = (unsigned)rc;
    return &rc_rows[i < RC_COUNT ? i : RC_BUG];
}

const char *rc_name(enum rc rc)
{
    return rc_row(rc)->name;
}

void must_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "postern: internal error at %s:%d: %s does not hold; please report this\n",
            file, line, what);
    abort();
}

bool never_hit(const char *what, const char *file, int line)
{
#ifdef POSTERN_DEV
    must_fail(what, file, line);
#else
    fprintf(stderr, "postern: unexpected state at %s:%d: %s; going on\n", file, line, what);
    return true;
#endif
}
