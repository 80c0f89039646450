/* test_resp.c - commands whole, in pieces and broken; replies in both protocols. */
#include "base/mem.h"
#include "t.h"
#include "wire/resp.h"

/* All commands of `in` as text: "[SET|k|v][GET|k]", or what went wrong. `piece` bytes arrive at a
 * time, each time in a fresh block of exactly that size, so stale pointers and overreads show. */
static void run(struct slice in, size_t piece, bool auth_needed, const struct resp_limits *lim,
                struct buf *out)
{
    struct resp_reader r;
    struct err e = {0};
    size_t start = 0, end = 0;
    resp_reader_init(&r);
    buf_clear(out);
    while (end < in.n) {
        end = MIN(end + piece, in.n);
        enum rc rc;
        do {
            size_t used = 99;
            char *copy = mem_alloc(end - start);
            memcpy(copy, in.p + start, end - start);
            rc = resp_read(&r, slice_of(copy, end - start), lim, auth_needed, &used, &e);
            if (rc == RC_OK) {
                buf_byte(out, '[');
                for (size_t i = 0; i < r.argc; i++) {
                    if (i > 0)
                        buf_byte(out, '|');
                    buf_slice(out, r.argv[i]);
                }
                buf_byte(out, ']');
                T(used > 0 && used <= end - start);
                start += used;
            } else {
                T(used == 0);
            }
            mem_free(copy);
        } while (rc == RC_OK && start < end);
        if (rc != RC_OK && rc != RC_AGAIN) {
            buf_fmt(out, "!%d %s", rc == RC_BADINPUT, e.text);
            break;
        }
    }
    if (start < end && in.n == end)
        buf_lit(out, ""); /* bytes left: the last command is not whole */
    resp_reader_free(&r);
}

struct row {
    struct slice in;
    const char *want;
};

static void check_rows(const struct row *rows, size_t n, bool auth_needed)
{
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < n; i++) {
        static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 3, 5, 7, 11};
        for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
            T_ROW("row %zu in pieces of %zu", i, pieces[k]);
            run(rows[i].in, pieces[k], auth_needed, resp_limits_default(), &out);
            T_TEXT(buf_all(&out), rows[i].want);
        }
    }
    buf_free(&out);
}

static void commands(void)
{
    static const struct row rows[] = {
        {SLIT("*1\r\n$4\r\nPING\r\n"), "[PING]"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
         "[SET|k|hello][GET|k]"},
        {SLIT("*2\r\n$3\r\nGET\r\n$0\r\n\r\n"), "[GET|]"},
        {SLIT("*2\r\n$3\r\nGET\r\n$12\r\nab\r\ncd*1\r\n$1\r\n"), "[GET|ab\r\ncd*1\r\n$1]"},
        {SLIT("*0\r\n*1\r\n$4\r\nPING\r\n"), "[][PING]"},
        {SLIT("*-1\r\n*1\r\n$4\r\nPING\r\n"), "[][PING]"},
        {SLIT("PING\r\n"), "[PING]"},
        {SLIT("PING\n\r\n\nGET k\r\n"), "[PING][][][GET|k]"},
        {SLIT("  SET  k   v  \r\n"), "[SET|k|v]"},
        {SLIT("SET k \"a b\\n\\x41\\\"\\q\" 'c\\'d\\n'\r\n"), "[SET|k|a b\nA\"q|c'd\\n]"},
        {SLIT("SET \"\" ''\r\n"), "[SET||]"},
        {SLIT("A b\"c d\"\r\n"), "[A|bc d]"},
        {SLIT("GET k\0junk\r\n"), "[GET|k]"},
        {SLIT("*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n"
              "$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n"),
         "[0|1|2|3|4|5|6|7|8|9]"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"), ""}, /* not whole */
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void broken_ones(void)
{
    static const struct row rows[] = {
        {SLIT("*3000000000\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*1048577\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*x\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*+1\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*1\rx"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*99999999999999999999\r\n"), "!1 Protocol error: invalid multibulk length"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"),
         "!1 Protocol error: expected '$', got 'f'"},
        {SLIT("*1\r\n\r\n"), "!1 Protocol error: expected '$', got ' '"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n"), "!1 Protocol error: invalid bulk length"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n"),
         "!1 Protocol error: invalid bulk length"},
        {SLIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n"),
         "!1 Protocol error: invalid bulk length"},
        {SLIT("*1\r\n$01\r\nx\r\n"), "!1 Protocol error: invalid bulk length"},
        {SLIT("*1\r\n$4\r\nPINGxx*1\r\n"),
         "!1 Protocol error: bulk string is not followed by CRLF"},
        {SLIT("SET \"\"\"test-key\"\"\" test-value\r\n"),
         "!1 Protocol error: unbalanced quotes in request"},
        {SLIT("SET k \"open\r\n"), "!1 Protocol error: unbalanced quotes in request"},
        {SLIT("SET k 'a'b\r\n"), "!1 Protocol error: unbalanced quotes in request"},
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void before_login(void)
{
    static const struct row rows[] = {
        {SLIT("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"), "[AUTH|secret]"},
        {SLIT("*11\r\n"), "!1 Protocol error: unauthenticated multibulk length"},
        {SLIT("*2\r\n$4\r\nAUTH\r\n$16385\r\n"), "!1 Protocol error: unauthenticated bulk length"},
    };
    check_rows(rows, ARRAY_LEN(rows), true);
}

static void long_lines(void)
{
    struct buf in, out;
    buf_init(&in, 0);
    buf_init(&out, 0);
    for (int i = 0; i < 70000; i++)
        buf_byte(&in, 'x');
    run(buf_all(&in), 10000, false, resp_limits_default(), &out);
    T_TEXT(buf_all(&out), "!1 Protocol error: too big inline request");
    in.p[0] = '*';
    run(buf_all(&in), 10000, false, resp_limits_default(), &out);
    T_TEXT(buf_all(&out), "!1 Protocol error: too big mbulk count string");
    memcpy(in.p, "*1\r\n$", 5);
    run(buf_all(&in), 10000, false, resp_limits_default(), &out);
    T_TEXT(buf_all(&out), "!1 Protocol error: too big bulk count string");
    buf_free(&in);
    buf_free(&out);
}

/* 5000 arguments of all lengths around the header's fast paths, in odd pieces. */
static void many_arguments(void)
{
    struct buf in, want, out;
    buf_init(&in, 0);
    buf_init(&want, 0);
    buf_init(&out, 0);
    char big[1200];
    memset(big, 'b', sizeof big);
    resp_array(&in, 5000);
    buf_byte(&want, '[');
    for (size_t i = 0; i < 5000; i++) {
        struct slice arg = slice_of(big, i % 3 ? i % 120 : i % 1200);
        resp_bulk(&in, arg);
        if (i > 0)
            buf_byte(&want, '|');
        buf_slice(&want, arg);
    }
    buf_byte(&want, ']');
    static const size_t pieces[] = {4096, 1460, 65536, 10000000};
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        run(buf_all(&in), pieces[k], false, resp_limits_default(), &out);
        T(slice_eq(buf_all(&out), buf_all(&want)));
    }
    buf_free(&in);
    buf_free(&want);
    buf_free(&out);
}

static void announced_memory_is_not_taken(void)
{
    struct resp_reader r;
    struct err e;
    size_t used;
    resp_reader_init(&r);
    T_INT(resp_read(&r, S("*1000000\r\n$1\r\nx\r\n"), resp_limits_default(), false, &used, &e),
          RC_AGAIN);
    T(r.argv_cap <= 64);
    T_INT(r.args_left, 999999);
    resp_reader_free(&r);
}

static void replies(void)
{
    struct buf o;
    buf_init(&o, 0);
#define REPLY(want, call)                                                                          \
    do {                                                                                           \
        buf_clear(&o);                                                                             \
        call;                                                                                      \
        T_TEXT(buf_all(&o), want);                                                                 \
    } while (0)
    REPLY("+OK\r\n", resp_simple(&o, S("OK")));
    REPLY("-ERR a  b\r\n", resp_error(&o, S("ERR a\r\nb")));
    REPLY("-ERR unknown 'x'\r\n", resp_errorf(&o, "ERR unknown '%s'", "x"));
    REPLY(":-42\r\n", resp_int(&o, -42));
    REPLY(":9223372036854775807\r\n", resp_int(&o, INT64_MAX));
    REPLY("$5\r\nhello\r\n", resp_bulk(&o, S("hello")));
    REPLY("$0\r\n\r\n", resp_bulk(&o, slice_of(NULL, 0)));
    REPLY("$3\r\n-10\r\n", resp_bulk_i64(&o, -10));
    REPLY("$-1\r\n", resp_nil(&o, 2));
    REPLY("_\r\n", resp_nil(&o, 3));
    REPLY("*-1\r\n", resp_nil_array(&o, 2));
    REPLY("_\r\n", resp_nil_array(&o, 3));
    REPLY("*1000000\r\n", resp_array(&o, 1000000));
    REPLY("*6\r\n", resp_map(&o, 2, 3));
    REPLY("%3\r\n", resp_map(&o, 3, 3));
    REPLY("*2\r\n", resp_set(&o, 2, 2));
    REPLY("~2\r\n", resp_set(&o, 3, 2));
    REPLY("*2\r\n", resp_push(&o, 2, 2));
    REPLY(">2\r\n", resp_push(&o, 3, 2));
    REPLY("$3\r\n3.1\r\n", resp_double(&o, 2, 3.1));
    REPLY(",3.1\r\n", resp_double(&o, 3, 3.1));
    REPLY(",inf\r\n", resp_double(&o, 3, (double)__builtin_inf()));
    REPLY(":1\r\n", resp_bool(&o, 2, true));
    REPLY("#f\r\n", resp_bool(&o, 3, false));
    REPLY("$3\r\nabc\r\n", resp_verbatim(&o, 2, "txt", S("abc")));
    REPLY("=7\r\ntxt:abc\r\n", resp_verbatim(&o, 3, "txt", S("abc")));
    REPLY("|1\r\n", resp_attribute(&o, 1));
#undef REPLY
    buf_free(&o);
    buf_init(&o, 40); /* a bound that is too small: nothing half written */
    resp_bulk(&o, S("0123456789012345678901234567890123456789"));
    T(buf_over(&o) && o.n == 0);
    buf_free(&o);
}

int main(void)
{
    T_RUN(commands);
    T_RUN(broken_ones);
    T_RUN(before_login);
    T_RUN(long_lines);
    T_RUN(many_arguments);
    T_RUN(announced_memory_is_not_taken);
    T_RUN(replies);
    return t_done();
}
