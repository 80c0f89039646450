/*
 * gzip.c - one gzip member in, one out, by zlib.
 *
 * Inflating stops at the output buffer's bound, so a bomb costs no more than that. Bytes behind the
 * member are refused. Pure; any thread. Tested by tests/unit/wire/test_gzip.c.
 */
#include "wire/gzip.h"

#include "base/mem.h"

#include <limits.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, GZIP_STEP = 16 << 10 };

static void *gzip_lib_alloc(void *ctx, unsigned items, unsigned size)
{
    (void)ctx;
    return mem_try_realloc(NULL, (size_t)items * size);
}

static void gzip_lib_free(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

static unsigned char *gzip_input(struct slice in)
{
    union {
        const char *in;
        unsigned char *lib;
    } u = {in.p}; /* zlib only reads, its struct lacks const */
    return u.lib;
}

/* Until the stream ends or something is wrong. */
static enum rc gzip_inflate_all(z_stream *z, struct buf *out, struct err *e)
{
    int code = Z_OK;
    while (code == Z_OK) {
        size_t room = MIN(out->max_bytes - out->n, (size_t)GZIP_STEP);
        if (room == 0 || !buf_room(out, room)) {
            unsigned char more;
            z->next_out = &more; /* full: it may only end here */
            z->avail_out = 1;
            code = inflate(z, Z_NO_FLUSH);
            if (code == Z_STREAM_END && z->avail_out == 1)
                break;
            return err_set(e, RC_TOOBIG, "more than %zu bytes when inflated", out->max_bytes);
        }
        z->next_out = (unsigned char *)out->p + out->n;
        z->avail_out = (unsigned)room;
        code = inflate(z, Z_NO_FLUSH);
        out->n += room - z->avail_out;
        if (code == Z_BUF_ERROR)
            return err_set(e, RC_BADINPUT, "gzip data that ends too early");
    }
    if (code != Z_STREAM_END)
        return err_set(e, RC_BADINPUT, "not gzip: %s", z->msg ? z->msg : "unreadable");
    if (z->avail_in > 0)
        return err_set(e, RC_BADINPUT, "bytes behind the gzip data");
    return RC_OK;
}

enum rc gzip_inflate(struct slice in, struct buf *out, struct err *e)
{
    z_stream z = {.zalloc = gzip_lib_alloc, .zfree = gzip_lib_free};
    if (in.n > UINT_MAX)
        return err_set(e, RC_TOOBIG, "too much gzip data");
    z.next_in = gzip_input(in);
    z.avail_in = (unsigned)in.n;
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return err_set(e, RC_NOMEM, "no memory to inflate");
    enum rc rc = gzip_inflate_all(&z, out, e);
    inflateEnd(&z);
    return rc;
}

void gzip_deflate(struct slice in, int level, struct buf *out)
{
    z_stream z = {.zalloc = gzip_lib_alloc, .zfree = gzip_lib_free};
    MUST(in.n <= UINT_MAX / 2);
    MUST(deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    size_t bound = deflateBound(&z, (unsigned long)in.n);
    if (buf_room(out, bound)) {
        z.next_in = gzip_input(in);
        z.avail_in = (unsigned)in.n;
        z.next_out = (unsigned char *)out->p + out->n;
        z.avail_out = (unsigned)bound;
        MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
        out->n += bound - z.avail_out;
    }
    deflateEnd(&z);
}
