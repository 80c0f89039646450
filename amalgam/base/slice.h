/*
 * slice.h - borrowed bytes: a pointer and a length.
 *
 * A slice never owns. It is valid as long as what it points into; the arena, buffer or table that
 * owns the bytes says how long that is. Slices may hold NUL and any other byte.
 * Nothing here allocates, except where an arena is an argument (arena.h). Threads: pure functions.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include "base/def.h"
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* A slice of a string literal; of a C string (NULL gives the empty slice). */
#define S(lit) ((struct slice){("" lit), sizeof(lit) - 1})
/* The same for initialisers of static tables. */
#define SLIT(lit)                                                                                  \
    {                                                                                              \
        ("" lit), sizeof(lit) - 1                                                                  \
    }
/* printf of a slice: printf("%.*s", SFMT(s)) */
#define SFMT(s) (int)(s).n, (s).p

static inline UNUSED struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}
static inline UNUSED struct slice slice_str(const char *s)
{
    return (struct slice){s ? s : "", s ? strlen(s) : 0};
}
static inline UNUSED bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline UNUSED struct slice slice_from(struct slice s, size_t at)
{
    if (at >= s.n)
        return (struct slice){s.n ? s.p + s.n : s.p, 0}; /* NULL + 0 is undefined in C */
    return (struct slice){s.p + at, s.n - at};
}
static inline UNUSED struct slice slice_sub(struct slice s, size_t at, size_t n)
{
    struct slice r = slice_from(s, at);
    r.n = MIN(r.n, n);
    return r;
}

FN bool slice_same_ci(const char *a, const char *b, size_t n);
static inline UNUSED bool slice_eq_ci(struct slice a, struct slice b) /* ASCII case folded */
{
    return a.n == b.n && slice_same_ci(a.p, b.p, a.n);
}
FN int slice_cmp(struct slice a, struct slice b);    /* bytewise, shorter first */
FN bool slice_starts(struct slice s, struct slice prefix);
FN bool slice_starts_ci(struct slice s, struct slice prefix);
FN bool slice_ends(struct slice s, struct slice suffix);
FN size_t slice_find(struct slice s, struct slice needle); /* index, or SIZE_MAX */
FN size_t slice_index(struct slice s, char c);             /* index, or SIZE_MAX */
FN size_t slice_rindex(struct slice s, char c);
FN struct slice slice_trim(struct slice s); /* spaces and tabs at both ends */
/* Cuts s at the first c: the head is returned, *rest is what follows (empty if none). */
FN struct slice slice_cut(struct slice s, char c, struct slice *rest);
/* Equal without telling by time where they differ (lengths are not secret). */
FN bool slice_eq_secret(struct slice a, struct slice b);

/* Whole slice must be the number: no spaces, no sign for u64, no leading '+', no overflow. */
FN bool slice_u64(struct slice s, uint64_t *out);
FN bool slice_i64(struct slice s, int64_t *out);   /* as Redis: no leading zeros, no "-0" */
FN bool slice_double(struct slice s, double *out); /* inf and nan words accepted, no hex */
/* "90s" "15m" "24h" "30d" "250ms" or plain seconds -> milliseconds. "1.5h" is refused. */
FN bool slice_duration_ms(struct slice s, int64_t *out_ms);
/* "64kb" "1mb" "2gb" or plain bytes, as redis.conf: kb mb gb are 1024 based, k m g 1000 based. */
FN bool slice_bytes(struct slice s, uint64_t *out);
/* True if every byte is a visible ASCII character or space (fit for logs and headers). */
FN bool slice_printable(struct slice s);
FN bool slice_utf8(struct slice s);
/* Bytes of the UTF-8 sequence (RFC 3629) at the front of s, 0 if there is none. */
FN size_t slice_utf8_one(struct slice s);

/* Formats n into dst (at least 24 bytes), returns the length. No NUL. */
FN size_t fmt_u64(char *dst, uint64_t n);
FN size_t fmt_i64(char *dst, int64_t n);
/* Shortest text that reads back as the same double, as Redis 7.2 writes scores ("3.1", "1e-7",
 * "1e+20", "inf", "-inf", "nan"; whole numbers up to 2^62 plain). dst at least 40 bytes. */
FN size_t fmt_double(char *dst, double d);

static inline UNUSED char ascii_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}
static inline UNUSED char ascii_upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
}
static inline UNUSED bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}
/* Value of a hexadecimal digit, or -1. */
static inline UNUSED int ascii_hex(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static inline UNUSED bool ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#endif
