/*
 * gzip.h - gzip (RFC 1952) by zlib, bounded. Pure.
 */
#ifndef WIRE_GZIP_H
#define WIRE_GZIP_H

#include "base/buf.h"
#include "base/err.h"

FN enum rc gzip_inflate(struct slice in, struct buf *out,
                        struct err *e) MUST_CHECK; /* bound: out's max */
FN UNUSED void gzip_deflate(struct slice in, int level, struct buf *out);

#endif
