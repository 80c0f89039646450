/*
 * err.c - fills struct err. Called by the layer that finds a fault; see err.h for the rules.
 *
 * Texts are cut at the size of their field, never overrun. Nothing is allocated; the caller owns
 * the struct. Any thread. Tested by tests/unit/base/test_err.c.
 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static PRINTF_LIKE(4, 0) enum rc
    err_fill(struct err *e, enum rc rc, const char *place, const char *fmt, va_list ap)
{
    if (!e)
        return rc;
    e->rc = rc;
    snprintf(e->place, sizeof e->place, "%s", place);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    return rc;
}

enum rc err_set(struct err *e, enum rc rc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_fill(e, rc, "", fmt, ap);
    va_end(ap);
    return rc;
}

enum rc err_at(struct err *e, enum rc rc, const char *place, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_fill(e, rc, place ? place : "", fmt, ap);
    va_end(ap);
    return rc;
}

enum rc err_os(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    err_fill(e, RC_IO, "", fmt, ap);
    va_end(ap);
    if (e) {
        size_t n = strlen(e->text);
        snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(saved));
    }
    errno = saved;
    return RC_IO;
}

const char *err_line(const struct err *e, char *dst, size_t cap)
{
    if (e->place[0])
        snprintf(dst, cap, "%s: %s", e->place, e->text);
    else
        snprintf(dst, cap, "%s", e->text);
    return dst;
}
