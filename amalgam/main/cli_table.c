/*
 * cli_table.c - every command of the program, one row each.
 *
 * Adding one: a row here, a function, a test in tests/box/test_cli.py. Constant data.
 */
#include "main/cli.h"

#define CLI_JSON {"--json", NULL, "Print JSON.", false}

static const struct cli_command cli_commands[] = {
    {"serve", "", "Run the appliance.", "postern serve --data /var/lib/postern --policies ./policies",
     {{NULL, NULL, NULL, false}}, cli_serve, NULL},
    {"demo", "", "Run it seeded, in memory, on loopback; walk through one allow, deny and limit.",
     "postern demo --once", {{"--once", NULL, "Exit after the walk.", false}}, cli_demo, NULL},
    {"check-config", "", "Validate settings and policies; print every fault with its place and cure.",
     "postern check-config --policies ./policies",
     {{"--strict", NULL, "Count notices as errors.", false}, CLI_JSON}, cli_check_config, NULL},
    {"eval", "", "Decide one request (JSON) against a configuration, without a server.",
     "echo '{\"method\":\"GET\",\"path\":\"/v1/tides\",\"host\":\"api.local\"}' | postern eval --policies ./policies",
     {{"--request", "FILE", "Read the request from FILE instead of standard input.", false},
      {"--trace", NULL, "Print every step.", false},
      {"--explain", "ID", "Instead: why the running Postern (of --data) decided as it did; X-Postern-Decision has the id.", false},
      CLI_JSON}, cli_eval, NULL},
    {"key create", "", "Make an API key. It is printed once and kept nowhere.",
     "postern key create --user ann@example.com --name laptop --plan gold",
     {{"--user", "EMAIL", "Whose key it is.", true},
      {"--name", "NAME", "What it is for.", true},
      {"--plan", "PLAN", "Usage plan.", false},
      {"--product", "ID", "API product it is for; all when left out.", false},
      {"--expires", "TIME", "Validity, such as 90d or 12h; no end when left out.", false},
      CLI_JSON}, cli_run_op, "key.create"},
    {"key list", "", "List API keys (never the keys themselves).", "postern key list --user ann@example.com",
     {{"--user", "EMAIL", "Only this person's.", false}, CLI_JSON}, cli_run_op, "key.list"},
    {"key show", "ID", "Show one API key.", "postern key show 1f0c7d1e-0000-4000-8000-000000000000",
     {CLI_JSON}, cli_run_op, "key.show"},
    {"key revoke", "ID", "Revoke an API key at once.",
     "postern key revoke 1f0c7d1e-0000-4000-8000-000000000000", {CLI_JSON}, cli_run_op, "key.revoke"},
    {"user create", "EMAIL", "Make an account and print a link that sets its password.",
     "postern user create ann@example.com --name Ann --role developer",
     {{"--name", "NAME", "How to call the person.", false},
      {"--role", "ROLE", "developer, operator or owner; developer when left out.", false},
      CLI_JSON}, cli_run_op, "user.create"},
    {"user list", "", "List accounts.", "postern user list", {CLI_JSON}, cli_run_op, "user.list"},
    {"user reset-password", "EMAIL", "Print a link that sets a new password; sessions end when it is used.",
     "postern user reset-password ann@example.com", {CLI_JSON}, cli_run_op, "user.reset"},
    {"user disable", "EMAIL", "Disable an account: its sessions and keys stop working.",
     "postern user disable ann@example.com", {CLI_JSON}, cli_run_op, "user.disable"},
    {"user enable", "EMAIL", "Enable a disabled account again.", "postern user enable ann@example.com",
     {CLI_JSON}, cli_run_op, "user.enable"},
    {"user setup-link", "", "Print a new one-time setup link for the first owner.",
     "postern user setup-link", {CLI_JSON}, cli_run_op, "user.setup"},
    {"config print", "", "Print every setting and its value.", "postern config print --origin",
     {{"--origin", NULL, "Say where each value came from.", false},
      {"--reference", NULL, "Print the reference page of all settings (Markdown).", false}, CLI_JSON},
     cli_config_print, NULL},
    {"healthcheck", "", "Exit 0 if the running Postern is ready (for containers without a shell).",
     "postern healthcheck --admin 127.0.0.1:9091", {{NULL, NULL, NULL, false}}, cli_healthcheck, NULL},
    {"version", "", "Print the version.", "postern version --json",
     {{"--licenses", NULL, "Print the licences of what is linked.", false}, CLI_JSON}, cli_version, NULL},
};

const struct cli_command *cli_command_at(size_t i)
{
    return i < ARRAY_LEN(cli_commands) ? &cli_commands[i] : NULL;
}
#undef CLI_JSON
