/*
 * log.h - one line per event on stderr: time, level, event, key=value pairs; JSON by setting.
 *
 *     log_event(LOG_WARN, "policy.reload_failed", "line=%d text=%s", line, log_quote(text));
 *
 * The format is printf's; write values that may hold spaces or quotes with log_quote. Never log
 * keys, tokens, bodies, passwords or query strings: log ids. Faults are logged once, by who handles
 * them. Threads: any; one lock guards the sink.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_SILENT };

FN void log_init(enum log_level level, bool json);
FN bool log_level_parse(struct slice s, enum log_level *out);
FN bool log_on(enum log_level level);
FN void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* s as a quoted, escaped, at most 200 characters long value in a per-thread ring of 8 buffers. */
FN const char *log_quote(struct slice s);
/* The last warnings and errors (at most n lines, newest first) for the portal and `doctor`. */
FN UNUSED size_t log_recent(size_t n,
                            void (*each)(void *ctx, int64_t wall_ms, enum log_level level,
                                         const char *line),
                            void *ctx);

#endif
