/*
 * err.h - the text of a failure: what, where, and what was expected.
 *
 * The layer that finds the fault fills it with err_set; every other layer passes it on unread.
 * Callers own the struct (usually on the stack) and may pass NULL when they do not want the text.
 * place is "file:line:column" or a field path ("spec.config.glooAuth.configs[0].apiKeyAuth").
 * Never put a secret into a text: it goes to logs and to the portal.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/def.h"
#include <stdarg.h>

struct err {
    enum rc rc;
    char text[400];
    char place[200]; /* "" when there is none */
};

/* Fills e (if not NULL) and returns rc, so that callers can write `return err_set(e, RC_..., ...)`.
 */
FN enum rc err_set(struct err *e, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
FN enum rc err_at(struct err *e, enum rc rc, const char *place, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* RC_IO with strerror(errno) behind the text. */
FN enum rc err_os(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "place: text" or "text" into dst; returns dst. */
FN const char *err_line(const struct err *e, char *dst, size_t cap);

#endif
