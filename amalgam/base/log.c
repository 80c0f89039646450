/*
 * log.c - one line per event on stderr, as text or JSON, and the last warnings for the portal.
 *
 * Everybody logs through log_event. Text: "TIME level event key=value ...". JSON: one object per
 * line, whose members are the same keys (values are strings). A line is cut at LOG_LINE_MAX,
 * written with one write(2), is UTF-8, and never holds control bytes. Secrets are the caller's duty: ids are
 * logged, not values. Any thread; log_lock guards the order of lines and the ring of recent ones.
 * Tested by tests/unit/base/test_log.c.
 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/lock.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 2048, LOG_RECENT_MAX = 64, LOG_RECENT_BYTES = 400, LOG_QUOTE_MAX = 200 };

static const char *const log_level_names[] = {"debug", "info", "warn", "error", "silent"};

/* May change while threads log: each is one word, read and written atomically. */
static struct {
    int level;
    int json;
} log_settings = {LOG_INFO, 0};

static struct lock log_lock = LOCK_INIT; /* log_recent_rows, log_recent_n and the order of writes */
static struct log_recent_row {
    int64_t wall_ms;
    enum log_level level;
    char line[LOG_RECENT_BYTES];
} log_recent_rows[LOG_RECENT_MAX];
static size_t log_recent_n; /* ever written */

void log_init(enum log_level level, bool json)
{
    __atomic_store_n(&log_settings.level, (int)level, __ATOMIC_RELAXED);
    __atomic_store_n(&log_settings.json, json ? 1 : 0, __ATOMIC_RELAXED);
}

bool log_level_parse(struct slice s, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(log_level_names); i++)
        if (slice_eq_ci(s, slice_str(log_level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_on(enum log_level level)
{
    int least = __atomic_load_n(&log_settings.level, __ATOMIC_RELAXED);
    return (int)level >= least && level < LOG_SILENT;
}

/* Bytes of the escape at s.p[i] when it is one that log_quote writes, else 0. */
static size_t log_escape_at(struct slice s, size_t i)
{
    struct slice e = slice_from(s, i + 1);
    if (e.n >= 1 && (e.p[0] == '"' || e.p[0] == '\\'))
        return 2;
    for (size_t k = 1; k <= 4; k++)
        if (e.n < 5 || e.p[0] != 'u' || ascii_hex(e.p[k]) < 0)
            return 0;
    return 6;
}

/* s as the inside of a JSON string; returns false when dst is full. `quoted` text holds escapes of
 * its own (from log_quote), which are JSON's already; one that the end of the line cut is text. */
static bool log_escape(char *dst, size_t cap, size_t *n, struct slice s, bool quoted)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        size_t whole = quoted && c == '\\' ? log_escape_at(s, i) : 0;
        if (*n + 8 > cap)
            return false;
        if (whole > 0) {
            memcpy(dst + *n, s.p + i, whole);
            *n += whole;
            i += whole - 1;
        } else if (c == '"' || c == '\\') {
            dst[(*n)++] = '\\';
            dst[(*n)++] = c;
        } else if ((unsigned char)c < ' ' || c == 0x7f) {
            *n += (size_t)snprintf(dst + *n, cap - *n, "\\u%04x", (unsigned)(unsigned char)c);
        } else {
            dst[(*n)++] = c;
        }
    }
    return true;
}

/* Takes `key=value` or `key="quoted value"` off the front of *rest. False: not of that form. */
static bool log_pair(struct slice *rest, struct slice *key, struct slice *value, bool *quoted)
{
    size_t eq = 0, end;
    while (eq < rest->n && rest->p[eq] != '=' && rest->p[eq] != ' ' && rest->p[eq] != '"')
        eq++;
    if (eq == 0 || eq >= rest->n || rest->p[eq] != '=')
        return false;
    *key = slice_of(rest->p, eq);
    *quoted = eq + 1 < rest->n && rest->p[eq + 1] == '"';
    size_t start = eq + (*quoted ? 2 : 1);
    for (end = start; end < rest->n && rest->p[end] != (*quoted ? '"' : ' '); end++)
        if (*quoted && rest->p[end] == '\\')
            end++;
    end = MIN(end, rest->n);
    *value = slice_of(rest->p + start, end - start);
    *rest = slice_from(*rest, end + (*quoted ? 1 : 0));
    while (rest->n > 0 && rest->p[0] == ' ')
        *rest = slice_from(*rest, 1);
    return true;
}

static size_t log_json(char *dst, size_t cap, const char *time, enum log_level level,
                       const char *event, struct slice text)
{
    size_t n = (size_t)snprintf(dst, cap, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
                                time, log_level_names[level], event);
    struct slice key, value;
    bool quoted, room = true;
    cap -= 8; /* the closing quote and brace always fit */
    while (room && text.n > 0) {
        if (!log_pair(&text, &key, &value, &quoted)) {
            key = S("text");
            value = text;
            quoted = false;
            text.n = 0;
        }
        if (n + key.n * 6 + 16 > cap) /* every byte of it may become an escape */
            break;
        memcpy(dst + n, ",\"", 2);
        n += 2;
        (void)log_escape(dst, cap, &n, key, false);
        memcpy(dst + n, "\":\"", 3);
        n += 3;
        room = log_escape(dst, cap, &n, value, quoted);
        dst[n++] = '"';
    }
    dst[n++] = '}';
    dst[n++] = '\n';
    return n;
}

static size_t log_text(char *dst, size_t cap, const char *time, enum log_level level,
                       const char *event, struct slice text)
{
    size_t n = (size_t)snprintf(dst, cap, "%s %-5s %s", time, log_level_names[level], event);
    if (text.n > 0) {
        dst[n++] = ' ';
        for (size_t i = 0; i < text.n && n + 2 < cap; i++)
            dst[n++] = (unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i];
    }
    dst[n++] = '\n';
    return n;
}

/* Bytes that are not UTF-8 become '?': a line is text to whoever reads it. */
static void log_mend(char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = slice_utf8_one(slice_of(text + i, n - i));
        if (len == 0)
            text[i] = '?';
        i += MAX(len, (size_t)1);
    }
}

/* A full or closed stderr must not stop the server: what cannot be written is lost. */
static void log_write(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, p, n);
        if (done <= 0)
            return;
        p += done;
        n -= (size_t)done;
    }
}

static void log_keep(enum log_level level, int64_t wall_ms, const char *event, const char *text)
{
    struct log_recent_row *r = &log_recent_rows[log_recent_n++ % LOG_RECENT_MAX];
    r->wall_ms = wall_ms;
    r->level = level;
    snprintf(r->line, sizeof r->line, "%.100s%s%.290s", event, text[0] ? " " : "", text);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    char text[LOG_LINE_MAX], line[LOG_LINE_MAX * 2], time[40];
    if (!log_on(level))
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct slice s = slice_of(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1));
    log_mend(text, s.n);
    int64_t now_ms = clock_wall_ms();
    size_t t = clock_rfc3339(time, now_ms);
    snprintf(time + t - 1, sizeof time - t + 1, ".%03dZ", (int)(now_ms % 1000));
    size_t len = __atomic_load_n(&log_settings.json, __ATOMIC_RELAXED)
                     ? log_json(line, sizeof line, time, level, event, s)
                     : log_text(line, sizeof line, time, level, event, s);
    lock_take(&log_lock);
    if (level >= LOG_WARN)
        log_keep(level, now_ms, event, text);
    log_write(line, len);
    lock_drop(&log_lock);
}

const char *log_quote(struct slice s)
{
    static _Thread_local char ring[8][LOG_QUOTE_MAX * 6 + 16];
    static _Thread_local unsigned next;
    char *dst = ring[next++ % 8];
    size_t n = 0;
    bool cut = s.n > LOG_QUOTE_MAX;
    dst[n++] = '"';
    (void)log_escape(dst, sizeof ring[0], &n, slice_sub(s, 0, LOG_QUOTE_MAX), false);
    if (cut)
        n += (size_t)snprintf(dst + n, sizeof ring[0] - n, "...");
    dst[n++] = '"';
    dst[n] = '\0';
    return dst;
}

size_t log_recent(size_t n,
                  void (*each)(void *ctx, int64_t wall_ms, enum log_level level, const char *line),
                  void *ctx)
{
    size_t given = 0;
    struct log_recent_row row;
    while (given < MIN(n, (size_t)LOG_RECENT_MAX)) {
        lock_take(&log_lock);
        bool there = given < log_recent_n;
        if (there)
            row = log_recent_rows[(log_recent_n - 1 - given) % LOG_RECENT_MAX];
        lock_drop(&log_lock);
        if (!there)
            break;
        each(ctx, row.wall_ms, row.level, row.line);
        given++;
    }
    return given;
}
