/* The command table, and the command line's own exits: what needs no server and no data directory. */
#include "main/cli.h"
#include "unit/t.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static char out[65536];

/* cli_main in a child, as the program runs it: its exit status; both outputs are in `out`. */
static int run(const char *line)
{
    char copy[400];
    char *argv[32] = {"postern"}, *none[] = {NULL};
    int argc = 1, pipes[2];
    snprintf(copy, sizeof copy, "%s", line);
    for (char *p = copy; *p && argc < 31; argc++) {
        argv[argc] = p;
        char *space = strchr(p, ' ');
        if (space)
            *space = '\0';
        p = space ? space + 1 : p + strlen(p);
    }
    fflush(stdout);
    if (pipe(pipes) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        close(pipes[0]);
        int status = cli_main(argc, argv, none);
        fflush(stdout);
        _exit(status);
    }
    close(pipes[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(pipes[0], out + n, sizeof out - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
    close(pipes[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void every_row_is_complete(void)
{
    size_t n = 0;
    const struct cli_command *k;
    for (; (k = cli_command_at(n)); n++) {
        T_ROW("%s", k->words);
        T(k->run != NULL && k->doc[0] && k->doc[strlen(k->doc) - 1] == '.');
        T(strstr(k->example, "postern ") && strstr(k->example, k->words));
        T((k->run == cli_run_op) == (k->op != NULL));
        for (size_t f = 0; f < CLI_FLAGS_MAX && k->flags[f].name; f++) {
            T(!strncmp(k->flags[f].name, "--", 2) && k->flags[f].doc[0]);
            for (size_t r = 0; r < SET_COUNT; r++) /* a setting's flag would be taken away before */
                T(!setting_row(r)->flag || strcmp(setting_row(r)->flag, k->flags[f].name) != 0);
        }
        for (size_t i = 0; i < n; i++)
            T(strcmp(cli_command_at(i)->words, k->words) != 0);
    }
    T(n >= 17);
}

static void help_of_every_command(void)
{
    const struct cli_command *k;
    char line[200];
    for (size_t i = 0; (k = cli_command_at(i)); i++) {
        T_ROW("%s", k->words);
        snprintf(line, sizeof line, "%s --help", k->words);
        T_INT(run(line), CLI_DONE);
        T(strstr(out, k->example) && strstr(out, k->doc) && strstr(out, "usage: postern"));
        for (size_t f = 0; f < CLI_FLAGS_MAX && k->flags[f].name; f++)
            T(strstr(out, k->flags[f].name));
    }
}

static void exits(void)
{
    static const struct {
        const char *line;
        int status;
        const char *said;
    } rows[] = {
        {"--help", CLI_DONE, "usage: postern COMMAND"},
        {"help", CLI_DONE, "usage: postern COMMAND"},
        {"--version", CLI_DONE, "postern "},
        {"version", CLI_DONE, "postern "},
        {"servee", CLI_USAGE, "did you mean `serve`?"},
        {"key crate", CLI_USAGE, "`key` needs one of:"},
        {"kye list", CLI_USAGE, "did you mean `key list`?"},
        {"frobnicate", CLI_USAGE, "unknown command `frobnicate`"},
        {"version --jsn", CLI_USAGE, "did you mean `--json`?"},
        {"version --json=1", CLI_USAGE, "takes no value"},
        {"version more", CLI_USAGE, "`more` is too much here"},
        {"serve --polices x", CLI_USAGE, "did you mean `--policies`?"},
        {"serve --check", CLI_USAGE, "--check needs a value"},
        {"key show", CLI_USAGE, "ID is missing"},
        {"key show a b", CLI_USAGE, "given twice"},
        {"key create --user a@b.c", CLI_USAGE, "--name is required"},
        {"key create --user", CLI_USAGE, "--user needs a value"},
        {"config print --set x.y=1", CLI_USAGE, "unknown setting `x.y`"},
        {"config print --config /nonexistent/postern.yaml", CLI_USAGE, "postern.yaml"},
        {"healthcheck --admin off", CLI_CANNOT, "off"},
        {"key list --data /nonexistent/data", CLI_CANNOT, "no data directory"},
        {"check-config --policies /nonexistent/p", CLI_CANNOT, "no such directory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].line);
        T_INT(run(rows[i].line), rows[i].status);
        T(strstr(out, rows[i].said));
    }
}

static void config_print_hides_secrets(void)
{
    T_INT(run("config print --origin --secret-key 0123456789abcdefghij"), CLI_DONE);
    T(!strstr(out, "0123456789abcdefghij") && strstr(out, "(set)") && strstr(out, "(flag: --secret-key)"));
    T_INT(run("config print --json --secret-key 0123456789abcdefghij"), CLI_DONE);
    T(!strstr(out, "0123456789abcdefghij") && strstr(out, "\"origin\":\"flag\""));
}

static void the_reference_names_every_setting(void)
{
    T_INT(run("config print --reference"), CLI_DONE);
    for (size_t i = 0; i < SET_COUNT; i++) {
        char head[80];
        snprintf(head, sizeof head, "\n## %s\n", setting_row(i)->name);
        T_ROW("%s", setting_row(i)->name);
        T(strstr(out, head) && strstr(out, setting_row(i)->doc));
    }
}

int main(void)
{
    T_RUN(every_row_is_complete);
    T_RUN(help_of_every_command);
    T_RUN(exits);
    T_RUN(config_print_hides_secrets);
    T_RUN(the_reference_names_every_setting);
    return t_done();
}
