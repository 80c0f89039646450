/*
 * config_table.h - rows of CONFIG: what a setting is called, its form, its default, its effect.
 *
 * config_check turns a value into the form that CONFIG GET shows, or says in Redis' words what is
 * wrong with it (constant or in the arena). Pure. Threads: any.
 */
#ifndef RESP_CONFIG_TABLE_H
#define RESP_CONFIG_TABLE_H

#include "base/arena.h"

enum config_kind {
    CFG_BOOL,
    CFG_INT,
    CFG_MEMORY,
    CFG_PERCENT,
    CFG_ENUM,
    CFG_LIMITS,
    CFG_NOTIFY,
    CFG_SECRET,
    CFG_TEXT
};
enum { CFG_IMMUTABLE = 1, CFG_HIDDEN = 2 /* shown when asked for by name */ };
/* What happens when it is set; cmd_config.c has one function for each. */
enum config_effect {
    CFG_NO_EFFECT,
    CFG_OWN_VALUE,
    CFG_MAXMEMORY,
    CFG_EVICTION,
    CFG_NOTIFICATIONS,
    CFG_DURABILITY,
    CFG_PASSWORD,
    CFG_TIMEOUT,
    CFG_MAXCLIENTS,
    CFG_SLOW_US,
    CFG_SLOW_MAX,
    CFG_LATENCY,
    CFG_BULK_MAX,
    CFG_OUT_LIMITS,
    CFG_PORT,
    CFG_BIND
};

struct config_row {
    const char *name, *alias; /* alias: older name or NULL */
    enum config_kind kind;
    const char *def;
    int64_t min, max;
    const char *words; /* of an enum: "a, b, c" */
    unsigned flags;
    enum config_effect effect;
};
FN const struct config_row *config_row_at(size_t i); /* NULL beyond the last */
FN size_t config_rows_n(void);
FN const struct config_row *config_row_find(struct slice name);
FN const char *config_check(struct arena *a, const struct config_row *r, struct slice old,
                            struct slice in, struct slice *out);
FN bool config_memory(struct slice in, uint64_t *out); /* "64mb", "1g" (decimal), bytes */
FN bool config_limits(struct slice in, uint64_t limits[3][3]);

#endif
