/* test_log.c - lines on stderr, caught through a pipe. */
#include "base/clock.h"
#include "base/log.h"
#include "t.h"

#include <fcntl.h>
#include <unistd.h>

static char caught[16384];

static int64_t fake_wall(void)
{
    return 1795234368123000;
}

/* stderr goes into a pipe while one event is logged. */
#define CATCH(call)                                                                                \
    do {                                                                                           \
        int ends[2], saved = dup(2);                                                               \
        T(pipe(ends) == 0);                                                                        \
        dup2(ends[1], 2);                                                                          \
        call;                                                                                      \
        dup2(saved, 2);                                                                            \
        close(ends[1]);                                                                            \
        close(saved);                                                                              \
        ssize_t got_ = read(ends[0], caught, sizeof caught - 1);                                   \
        caught[got_ > 0 ? got_ : 0] = '\0';                                                        \
        close(ends[0]);                                                                            \
    } while (0)

static void text_lines(void)
{
    log_init(LOG_INFO, false);
    CATCH(log_event(LOG_INFO, "door.open", "address=%s port=%d", "127.0.0.1", 8080));
    T_TEXT(slice_str(caught),
           "2026-11-21T04:12:48.123Z info  door.open address=127.0.0.1 port=8080\n");
    CATCH(log_event(LOG_WARN, "plain", "%s", ""));
    T_TEXT(slice_str(caught), "2026-11-21T04:12:48.123Z warn  plain\n");
    CATCH(log_event(LOG_DEBUG, "hidden", "x=1"));
    T_TEXT(slice_str(caught), "");
    CATCH(log_event(LOG_ERROR, "forged", "name=%s", "a\nb\x1b[0m"));
    T_TEXT(slice_str(caught), "2026-11-21T04:12:48.123Z error forged name=a?b?[0m\n");
    log_init(LOG_SILENT, false);
    CATCH(log_event(LOG_ERROR, "hidden", "x=1"));
    T_TEXT(slice_str(caught), "");
}

static void json_lines(void)
{
    log_init(LOG_INFO, true);
    CATCH(log_event(LOG_INFO, "door.open", "address=%s text=%s n=%d", "::1",
                    log_quote(S("a \"b\"\n")), 3));
    T_TEXT(slice_str(caught),
           "{\"time\":\"2026-11-21T04:12:48.123Z\",\"level\":\"info\",\"event\":\"door.open\","
           "\"address\":\"::1\",\"text\":\"a \\\"b\\\"\\u000a\",\"n\":\"3\"}\n");
    CATCH(log_event(LOG_INFO, "free", "no pairs \"here\""));
    T_TEXT(slice_str(caught),
           "{\"time\":\"2026-11-21T04:12:48.123Z\",\"level\":\"info\",\"event\":\"free\","
           "\"text\":\"no pairs \\\"here\\\"\"}\n");
}

#define HEAD(event) "{\"time\":\"2026-11-21T04:12:48.123Z\",\"level\":\"info\",\"event\":\"" event "\","

/* Whatever a caller puts into a line, it stays one line of JSON. */
static void json_lines_of_any_text(void)
{
    log_init(LOG_INFO, true);
    CATCH(log_event(LOG_INFO, "key", "a=1 x\ny\\z=2"));
    T_TEXT(slice_str(caught), HEAD("key") "\"a\":\"1\",\"x\\u000ay\\\\z\":\"2\"}\n");
    CATCH(log_event(LOG_INFO, "raw", "path=\"C:\\temp\" name=%s", "\"\\q\""));
    T_TEXT(slice_str(caught),
           HEAD("raw") "\"path\":\"C:\\\\temp\",\"name\":\"\\\\q\"}\n");
    CATCH(log_event(LOG_INFO, "utf8", "a=%s", "gr\xc3\xbc\xc3\x9f\xff\xc3"));
    T_TEXT(slice_str(caught), HEAD("utf8") "\"a\":\"gr\xc3\xbc\xc3\x9f??\"}\n");
}

/* The cut of a long line may go through an escape: what is left of it is not one. */
static void a_cut_escape_is_text(void)
{
    char nuls[200] = {0};
    log_init(LOG_INFO, true);
    for (int skip = 0; skip < 6; skip++) {
        CATCH(log_event(LOG_INFO, "cut", "%.*sa=%s b=%s", skip, "k=345 ",
                        log_quote(slice_of(nuls, 200)), log_quote(slice_of(nuls, 200))));
        size_t n = strlen(caught);
        T(n > 8 && slice_ends(slice_of(caught, n), S("\"}\n")));
        size_t at = n - 3, back = 0; /* in front of the closing quote */
        while (back < at && caught[at - 1 - back] == '\\')
            back++;
        T(back % 2 == 0);
        const char *last = strrchr(caught, 'u');
        T(last && (caught + at - last >= 5 || last[-2] == '\\'));
    }
}

static void long_lines_are_cut(void)
{
    static char big[9000];
    memset(big, '"', sizeof big - 1);
    for (int json = 0; json < 2; json++) {
        log_init(LOG_INFO, json == 1);
        CATCH(log_event(LOG_INFO, "big", "k=%s", big));
        size_t n = strlen(caught);
        T(n > 1000 && n <= 4096 && caught[n - 1] == '\n');
    }
}

static void quoting(void)
{
    char big[500];
    memset(big, 'x', sizeof big);
    T_TEXT(slice_str(log_quote(S("plain"))), "\"plain\"");
    T_TEXT(slice_str(log_quote(S(""))), "\"\"");
    const char *q = log_quote(slice_of(big, sizeof big));
    T_INT(strlen(q), 200 + 3 + 2);
    const char *first = log_quote(S("1"));
    for (int i = 0; i < 7; i++)
        (void)log_quote(S("other"));
    T_TEXT(slice_str(first), "\"1\""); /* seven more fit into the ring */
}

static void remember(void *ctx, int64_t wall_ms, enum log_level level, const char *line)
{
    char *dst = ctx;
    size_t n = strlen(dst);
    (void)wall_ms;
    snprintf(dst + n, 400 - n, "%d:%s;", (int)level, line);
}

static void recent_ones(void)
{
    char seen[400] = "";
    log_init(LOG_INFO, false);
    CATCH(for (int i = 0; i < 100; i++) log_event(LOG_WARN, "w", "n=%d", i);
          log_event(LOG_INFO, "not.kept", "x=1"); log_event(LOG_ERROR, "last", "y=2"));
    T_INT(log_recent(2, remember, seen), 2);
    T_TEXT(slice_str(seen), "3:last y=2;2:w n=99;");
    char all[400] = "";
    T_INT(log_recent(1000, remember, all), 64);
}

static void levels(void)
{
    enum log_level l;
    T(log_level_parse(S("WARN"), &l) && l == LOG_WARN);
    T(!log_level_parse(S("loud"), &l) && !log_level_parse(S(""), &l));
    log_init(LOG_WARN, false);
    T(log_on(LOG_ERROR) && !log_on(LOG_INFO) && !log_on(LOG_SILENT));
}

int main(void)
{
    clock_set_source(fake_wall, NULL);
    T_RUN(text_lines);
    T_RUN(json_lines);
    T_RUN(json_lines_of_any_text);
    T_RUN(a_cut_escape_is_text);
    T_RUN(long_lines_are_cut);
    T_RUN(quoting);
    T_RUN(recent_ones);
    T_RUN(levels);
    return t_done();
}
