/*
 * cli.c - finds the command, its flags and settings, prints help, runs it.
 *
 * Called by main.c. Knows nothing of what commands do (cli_table.c has the rows). Single thread.
 * Tested by tests/unit/main/test_cli.c and tests/box/test_cli.py.
 */
#include "main/cli.h"
#include "base/log.h"
#include "base/map.h"
#include "base/nearest.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int cli_fail(int status, const struct err *e)
{
    char line[700];
    fprintf(stderr, "postern: %s\n", err_line(e, line, sizeof line));
    return status;
}

struct slice cli_flag(const struct cli *c, const char *name)
{
    for (size_t i = 0; i < CLI_FLAGS_MAX && c->command->flags[i].name; i++)
        if (!strcmp(c->command->flags[i].name, name))
            return c->flag_values[i];
    MUST(!"a flag that the command's row names");
    return (struct slice){NULL, 0};
}

bool cli_has(const struct cli *c, const char *name)
{
    return cli_flag(c, name).p != NULL;
}

/* ---- help ---- */

static void cli_help_all(FILE *to)
{
    fprintf(to, "Postern: developer portal, gateway checks and a Redis-protocol store in one program.\n\n"
                "usage: postern COMMAND [FLAGS]\n\n");
    const struct cli_command *k;
    for (size_t i = 0; (k = cli_command_at(i)); i++)
        fprintf(to, "  %-20s %s\n", k->words, k->doc);
    fprintf(to, "\n`postern COMMAND --help` explains one. Begin with: postern demo\n");
}

static void cli_help_settings(FILE *to)
{
    const struct setting_row *row;
    fprintf(to, "\nSettings with a flag (all others: --set name=value; `postern config print` lists them):\n");
    for (size_t i = 0; (row = setting_row(i)); i++)
        if (row->flag)
            fprintf(to, "  %-18s %s%s%s%s\n", row->flag, row->doc, row->otherwise[0] ? " [" : "",
                    row->otherwise, row->otherwise[0] ? "]" : "");
    fprintf(to, "  %-18s Settings file; postern.yaml in the data directory when left out.\n", "--config");
}

static void cli_help_one(FILE *to, const struct cli_command *k)
{
    fprintf(to, "usage: postern %s%s%s [FLAGS]\n\n%s\n", k->words, k->args[0] ? " " : "", k->args, k->doc);
    for (size_t i = 0; i < CLI_FLAGS_MAX && k->flags[i].name; i++)
        fprintf(to, "  %-10s %-8s %s%s\n", k->flags[i].name, k->flags[i].value ? k->flags[i].value : "",
                k->flags[i].doc, k->flags[i].required ? " (required)" : "");
    fprintf(to, "\nexample: %s\n", k->example);
    cli_help_settings(to);
}

/* ---- finding the command ---- */

/* Number of argv words that the row's words match, 0 if it does not. */
static int cli_words_match(const struct cli_command *k, int argc, char **argv)
{
    struct slice rest = slice_str(k->words);
    int n = 0;
    while (rest.n) {
        struct slice word = slice_cut(rest, ' ', &rest);
        if (n >= argc || !slice_eq(word, slice_str(argv[n])))
            return 0;
        n++;
    }
    return n;
}

static const char *cli_words_at(const void *ctx, size_t i)
{
    (void)ctx;
    const struct cli_command *k = cli_command_at(i);
    return k ? k->words : NULL;
}

static int cli_unknown(struct cli *c, int argc, char **argv)
{
    struct slice first = slice_str(argv[0]);
    bool group = false;
    const struct cli_command *k;
    for (size_t i = 0; (k = cli_command_at(i)); i++) {
        struct slice rest, word = slice_cut(slice_str(k->words), ' ', &rest);
        if (rest.n && slice_eq(word, first)) {
            if (!group)
                fprintf(stderr, "postern: `%s` needs one of:\n", argv[0]);
            group = true;
            fprintf(stderr, "  %-20s %s\n", k->words, k->doc);
        }
    }
    if (group)
        return CLI_USAGE;
    struct slice asked = argc > 1 && argv[1][0] != '-'
                             ? arena_fmt(&c->arena, "%s %s", argv[0], argv[1])
                             : first;
    const char *near = nearest_name(asked, cli_words_at, NULL);
    fprintf(stderr, "postern: unknown command `%s`%s%s%s. `postern --help` lists all.\n", argv[0],
            near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    return CLI_USAGE;
}

/* ---- flags of the command ---- */

static int cli_flag_index(const struct cli_command *k, struct slice name)
{
    for (int i = 0; i < CLI_FLAGS_MAX && k->flags[i].name; i++)
        if (slice_eq(slice_str(k->flags[i].name), name))
            return i;
    return -1;
}

static const char *cli_flag_at(const void *ctx, size_t i)
{
    const struct cli_command *k = ctx;
    size_t own = 0;
    while (own < CLI_FLAGS_MAX && k->flags[own].name)
        own++;
    if (i < own)
        return k->flags[i].name;
    i -= own;
    for (size_t r = 0; r < SET_COUNT; r++)
        if (setting_row(r)->flag && i-- == 0)
            return setting_row(r)->flag;
    return NULL;
}

static enum rc cli_read_flag(struct cli *c, char **argv, int argc, int *i, struct err *e)
{
    struct slice value, name = slice_cut(slice_str(argv[*i]), '=', &value);
    int at = cli_flag_index(c->command, name);
    if (at < 0) {
        const char *near = nearest_name(name, cli_flag_at, c->command);
        return err_set(e, RC_BADINPUT, "unknown flag `%.*s`%s%s%s", SFMT(name),
                       near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    }
    bool has_value = name.n < strlen(argv[*i]);
    if (!c->command->flags[at].value) {
        if (has_value)
            return err_set(e, RC_BADINPUT, "%.*s takes no value", SFMT(name));
        value = S("true");
    } else if (!has_value) {
        if (*i + 1 >= argc)
            return err_set(e, RC_BADINPUT, "%.*s needs a value (%s)", SFMT(name),
                           c->command->flags[at].value);
        value = slice_str(argv[++*i]);
    }
    c->flag_values[at] = value;
    return RC_OK;
}

static enum rc cli_read_flags(struct cli *c, int argc, char **argv, struct err *e)
{
    c->args = ARENA_ARRAY(&c->arena, char *, argc + 1);
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1]) {
            c->args[c->args_n++] = argv[i];
            continue;
        }
        enum rc rc = cli_read_flag(c, argv, argc, &i, e);
        if (rc != RC_OK)
            return rc;
    }
    for (int i = 0; i < CLI_FLAGS_MAX && c->command->flags[i].name; i++)
        if (c->command->flags[i].required && !c->flag_values[i].p)
            return err_set(e, RC_BADINPUT, "%s is required. Example: %s", c->command->flags[i].name,
                           c->command->example);
    int wanted = c->command->args[0] ? 1 : 0;
    if (c->args_n != wanted)
        return err_set(e, RC_BADINPUT, wanted ? "%s is missing or given twice. Example: %s"
                                              : "`%s` is too much here. Example: %s",
                       wanted ? c->command->args : c->args[0], c->command->example);
    return RC_OK;
}

/* Takes --config FILE out of argv; POSTERN_CONFIG does the same. */
static const char *cli_take_config(int *argc, char **argv, char **envp)
{
    const char *config = NULL;
    int kept = 0;
    for (int i = 0; envp && envp[i]; i++)
        if (!strncmp(envp[i], "POSTERN_CONFIG=", 15))
            config = envp[i] + 15;
    for (int i = 0; i < *argc; i++) {
        if (!strcmp(argv[i], "--config") && i + 1 < *argc)
            config = argv[++i];
        else if (!strncmp(argv[i], "--config=", 9))
            config = argv[i] + 9;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return config;
}

static bool cli_wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

static int cli_run(struct cli *c, int argc, char **argv, char **envp)
{
    const struct cli_command *k;
    int words = 0;
    for (size_t i = 0; (k = cli_command_at(i)) && !words; i++)
        if ((words = cli_words_match(k, argc, argv)))
            c->command = k;
    if (!words)
        return cli_unknown(c, argc, argv);
    argc -= words;
    argv += words;
    if (cli_wants_help(argc, argv)) {
        cli_help_one(stdout, c->command);
        return CLI_DONE;
    }
    struct err e = {0};
    const char *config = cli_take_config(&argc, argv, envp);
    if (settings_flags(&c->settings, &argc, argv, &e) != RC_OK ||
        cli_read_flags(c, argc, argv, &e) != RC_OK ||
        settings_load(&c->settings, config, envp, &e) != RC_OK)
        return cli_fail(CLI_USAGE, &e);
    int json = cli_flag_index(c->command, S("--json"));
    c->json = json >= 0 && c->flag_values[json].p;
    enum log_level level = LOG_INFO;
    (void)log_level_parse(setting(&c->settings, SET_LOG_LEVEL), &level);
    log_init(level, setting_num(&c->settings, SET_LOG_JSON) != 0);
    return c->command->run(c);
}

static bool cli_is_help(const char *word)
{
    return !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
}

int cli_main(int argc, char **argv, char **envp)
{
    static struct cli c; /* large, and its life is the program's */
    static char version[] = "version";
    hash_seed_init();
    log_init(LOG_INFO, false);
    (void)umask(077); /* whatever is made is its owner's alone */
    if (argc < 2 || cli_is_help(argv[1])) {
        cli_help_all(argc < 2 ? stderr : stdout);
        return argc < 2 ? CLI_USAGE : CLI_DONE;
    }
    if (!strcmp(argv[1], "--version"))
        argv[1] = version;
    arena_init(&c.arena, 4096, (size_t)256 * 1024 * 1024);
    settings_init(&c.settings);
    int status = cli_run(&c, argc - 1, argv + 1, envp);
    settings_free(&c.settings);
    arena_free(&c.arena);
    if (fflush(stdout) != 0 || ferror(stdout)) { /* a key that nobody saw is not "done" */
        fprintf(stderr, "postern: the answer could not be written to standard output\n");
        return CLI_CANNOT;
    }
    return status;
}
