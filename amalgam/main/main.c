/*
 * main.c - where the program begins, alone in its file so that tests can link everything else.
 *
 * Called by the system. Decides nothing, owns nothing: cli.c finds the command and runs it.
 * One thread. Tested by every test that runs the binary.
 */
#include "main/cli.h"

int main(int argc, char **argv, char **envp)
{
    return cli_main(argc, argv, envp);
}
