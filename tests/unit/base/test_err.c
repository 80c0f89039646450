/* test_err.c - result codes and their texts. */
#include "base/err.h"
#include "t.h"

#include <errno.h>

static void every_code_has_a_row(void)
{
    for (int i = 0; i < RC_COUNT; i++) {
        const struct rc_row *r = rc_row((enum rc)i);
        T_ROW("%d", i);
        T(r->name && r->name[0] && r->resp && r->resp[0]);
        T(r->http >= 200 && r->http <= 599 && r->grpc >= 0 && r->grpc <= 16);
        T((i == RC_OK) == (r->http == 200) && (i == RC_OK) == (r->grpc == 0));
    }
    T_ROW("out of range");
    T(rc_row((enum rc)99) == rc_row(RC_BUG) && rc_row((enum rc) - 1) == rc_row(RC_BUG));
    T_TEXT(slice_str(rc_name(RC_NOTFOUND)), "not found");
}

static void filling(void)
{
    struct err e;
    char line[64];
    T_INT(err_set(&e, RC_BADINPUT, "value %d", 7), RC_BADINPUT);
    T_INT(e.rc, RC_BADINPUT);
    T_TEXT(slice_str(e.text), "value 7");
    T_TEXT(slice_str(err_line(&e, line, sizeof line)), "value 7");
    T_INT(err_at(&e, RC_TOOBIG, "a.yaml:3:1", "too long"), RC_TOOBIG);
    T_TEXT(slice_str(err_line(&e, line, sizeof line)), "a.yaml:3:1: too long");
    T_INT(err_set(NULL, RC_IO, "nobody reads"), RC_IO);
    T_INT(err_os(NULL, "nobody reads"), RC_IO);
    errno = ENOENT;
    T_INT(err_os(&e, "open %s", "x"), RC_IO);
    T(strncmp(e.text, "open x: ", 8) == 0 && strlen(e.text) > 10);
    T_INT(errno, ENOENT);
}

static void long_texts_are_cut(void)
{
    struct err e;
    char big[2000], line[16];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    err_at(&e, RC_BUG, big, "%s", big);
    T_INT(strlen(e.text), sizeof e.text - 1);
    T_INT(strlen(e.place), sizeof e.place - 1);
    T_INT(strlen(err_line(&e, line, sizeof line)), sizeof line - 1);
    errno = EIO;
    err_os(&e, "%s", big);
    T_INT(strlen(e.text), sizeof e.text - 1);
}

int main(void)
{
    T_RUN(every_code_has_a_row);
    T_RUN(filling);
    T_RUN(long_texts_are_cut);
    return t_done();
}
