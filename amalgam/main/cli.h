/*
 * cli.h - the command line: rows of commands and flags, exit statuses, what every command is given.
 *
 * A command is one row in cli_table.c: words, flags, one line of doc, an example, a function. --help is
 * printed from the row. Exit status: 0 done, 1 the answer is no, 2 usage, 3 could not run.
 * Data goes to stdout, everything for people who wait to stderr. Single thread until serve starts.
 */
#ifndef MAIN_CLI_H
#define MAIN_CLI_H

#include "base/arena.h"
#include "base/err.h"
#include "main/settings.h"
#include "wire/json.h"

enum cli_exit { CLI_DONE = 0, CLI_NO = 1, CLI_USAGE = 2, CLI_CANNOT = 3 };

#define CLI_FLAGS_MAX 12
struct cli_flag {
    const char *name;  /* "--user" */
    const char *value; /* "EMAIL", or NULL for a switch */
    const char *doc;
    bool required;
};
struct cli;
struct cli_command {
    const char *words; /* "key create" */
    const char *args;  /* "FILE", or "" */
    const char *doc;
    const char *example;
    struct cli_flag flags[CLI_FLAGS_MAX];
    int (*run)(struct cli *c);
    const char *op; /* of the control socket (ops.c) when run is cli_run_op */
};

struct cli {
    struct arena arena;
    struct settings settings;
    const struct cli_command *command;
    struct slice flag_values[CLI_FLAGS_MAX]; /* p == NULL: not given */
    char **args; /* what is left: positional */
    int args_n;
    bool json;
};

/* The whole command line; the exit status. */
FN int cli_main(int argc, char **argv, char **envp);
FN const struct cli_command *cli_command_at(size_t i); /* NULL beyond the last */
/* Value of a flag of this command; p == NULL when it was not given. */
FN struct slice cli_flag(const struct cli *c, const char *name);
FN bool cli_has(const struct cli *c, const char *name);
/* "postern: place: text" on stderr; returns status. */
FN int cli_fail(int status, const struct err *e);

FN int cli_serve(struct cli *c);
FN int cli_demo(struct cli *c);
FN int cli_check_config(struct cli *c);
FN int cli_eval(struct cli *c);
FN int cli_run_op(struct cli *c);
FN int cli_config_print(struct cli *c);
FN int cli_healthcheck(struct cli *c);
FN int cli_version(struct cli *c);

#endif
