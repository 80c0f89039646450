/*
 * def.h - the words that every room uses: markers, result codes, assertions.
 *
 * FN marks every prototype that one file offers to another. In the release build the whole product
 * is one translation unit and FN is `static`; in the file-by-file builds it is a hidden extern.
 * There are no exported variables: a table is reached through a function that returns it.
 *
 * rc is what a function that can fail returns. Deny, limited, absent key of a SET are values, not
 * errors. The first layer that finds a fault fills `struct err` (err.h); the others pass it on.
 *
 * Threads: all of this is stateless.
 */
#ifndef BASE_DEF_H
#define BASE_DEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef POSTERN_AMALGAM
#define FN static
#else
#define FN extern __attribute__((visibility("hidden")))
#endif

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN                __attribute__((noreturn))
#define UNUSED                  __attribute__((unused))
#define COLD                    __attribute__((cold, noinline))
#define HOT                     __attribute__((hot))
#define LIKELY(x)               __builtin_expect(!!(x), 1)
#define UNLIKELY(x)             __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)            (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)               ((a) < (b) ? (a) : (b))
#define MAX(a, b)               ((a) > (b) ? (a) : (b))
/* The struct that holds `member` at address p. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Results. One table (rc.c) gives each its name, HTTP status, RESP prefix and gRPC status. */
enum rc {
    RC_OK = 0,
    RC_NOTFOUND,  /* the thing asked for is not there */
    RC_AGAIN,     /* need more bytes, or not now: call again */
    RC_BADINPUT,  /* what came from outside is malformed */
    RC_TOOBIG,    /* a limit of the settings table was reached */
    RC_CONFLICT,  /* exists already, or changed meanwhile */
    RC_DENIED,    /* known but not allowed */
    RC_WRONGTYPE, /* the key holds another type of value */
    RC_NOMEM,     /* memory budget used up */
    RC_IO,        /* the operating system refused */
    RC_TIMEOUT,   /* the deadline passed */
    RC_BUSY,      /* held by another process or thread */
    RC_VERSION,   /* data of a newer version, or a protocol that is not served */
    RC_BUG,       /* a state that must not occur */
    RC_COUNT
};

struct rc_row {
    const char *name; /* "not found" */
    int http;         /* status of the answer */
    const char *resp; /* first word of a RESP error */
    int grpc;         /* grpc-status */
};
FN const struct rc_row *rc_row(enum rc rc);
FN const char *rc_name(enum rc rc);

/* MUST is always on; CHECK in development only. Never used on input from outside. */
FN void must_fail(const char *what, const char *file, int line) NORETURN COLD;
#define MUST(x) ((void)(LIKELY(x) ? (void)0 : must_fail(#x, __FILE__, __LINE__)))
#ifdef POSTERN_DEV
#define CHECK(x) MUST(x)
#else
#define CHECK(x) ((void)sizeof((x) ? 1 : 0))
#endif
/* A branch that is proven dead: aborts in development, is true (and handled) in release. */
FN bool never_hit(const char *what, const char *file, int line) COLD;
#define NEVER(x) (UNLIKELY(x) && never_hit(#x, __FILE__, __LINE__))

#endif
