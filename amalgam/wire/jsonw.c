/*
 * jsonw.c - writes JSON into a buffer (the second half of json.h).
 *
 * The state is one bit: is a comma due before the next value? After a value or a closing bracket it
 * is, after an opening bracket or a key it is not; so nesting needs no stack. Text that is not
 * UTF-8 is mended with U+FFFD rather than refused: a writer has nobody to complain to. Pure; one
 * thread per writer. Tested by tests/unit/wire/test_json.c.
 */
#include "wire/json.h"

#include <math.h>

void jsonw_init(struct jsonw *w, struct buf *out)
{
    *w = (struct jsonw){.out = out};
}

static inline void jsonw_begin(struct jsonw *w)
{
    if (w->comma)
        buf_byte(w->out, ',');
    w->comma = 1;
}

static void jsonw_open(struct jsonw *w, char bracket)
{
    jsonw_begin(w);
    buf_byte(w->out, bracket);
    w->comma = 0;
    w->depth++;
}

static void jsonw_close(struct jsonw *w, char bracket)
{
    MUST(w->depth > 0);
    buf_byte(w->out, bracket);
    w->comma = 1;
    w->depth--;
}

void jsonw_obj(struct jsonw *w)
{
    jsonw_open(w, '{');
}

void jsonw_end_obj(struct jsonw *w)
{
    jsonw_close(w, '}');
}

void jsonw_arr(struct jsonw *w)
{
    jsonw_open(w, '[');
}

void jsonw_end_arr(struct jsonw *w)
{
    jsonw_close(w, ']');
}

/* A byte that cannot stand for itself in a string of valid UTF-8. */
static void jsonw_escape(struct buf *o, char c)
{
    static const char hex[] = "0123456789abcdef", from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *at = memchr(from, c, sizeof from - 1);
    char text[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
    if (at) {
        text[1] = to[at - from];
        buf_put(o, text, 2);
    } else {
        buf_put(o, text, 6);
    }
}

static void jsonw_text(struct buf *o, struct slice s)
{
    size_t run = 0, i = 0; /* [run, i) can be copied as it is */
    buf_byte(o, '"');
    while (i < s.n) {
        char c = s.p[i];
        if (LIKELY((unsigned char)c >= ' ' && (unsigned char)c < 0x7f && c != '"' && c != '\\')) {
            i++;
            continue;
        }
        size_t n = (unsigned char)c >= 0x80 ? slice_utf8_one(slice_from(s, i)) : 0;
        if (n > 0) {
            i += n;
            continue;
        }
        buf_put(o, s.p + run, i - run);
        if ((unsigned char)c >= 0x80)
            buf_lit(o, "\xef\xbf\xbd");
        else
            jsonw_escape(o, c);
        run = ++i;
    }
    buf_slice(o, slice_sub(s, run, i - run)); /* s may be nothing at all */
    buf_byte(o, '"');
}

void jsonw_key(struct jsonw *w, struct slice name)
{
    jsonw_begin(w);
    jsonw_text(w->out, name);
    buf_byte(w->out, ':');
    w->comma = 0;
}

void jsonw_str(struct jsonw *w, struct slice s)
{
    jsonw_begin(w);
    jsonw_text(w->out, s);
}

void jsonw_i64(struct jsonw *w, int64_t n)
{
    jsonw_begin(w);
    buf_i64(w->out, n);
}

void jsonw_u64(struct jsonw *w, uint64_t n)
{
    jsonw_begin(w);
    buf_u64(w->out, n);
}

/* JSON has no infinity and no NaN: they become null. */
void jsonw_real(struct jsonw *w, double d)
{
    char text[48];
    if (!isfinite(d)) {
        jsonw_null(w);
        return;
    }
    jsonw_begin(w);
    size_t n = fmt_double(text, d);
    buf_put(w->out, text, n);
    if (d == 0 && signbit(d))
        buf_lit(w->out, ".0"); /* "-0" would read back as an integer */
}

void jsonw_bool(struct jsonw *w, bool b)
{
    jsonw_begin(w);
    buf_str(w->out, b ? "true" : "false");
}

void jsonw_null(struct jsonw *w)
{
    jsonw_begin(w);
    buf_lit(w->out, "null");
}

void jsonw_raw(struct jsonw *w, struct slice json)
{
    jsonw_begin(w);
    buf_slice(w->out, json);
}

void jsonw_value(struct jsonw *w, const struct json *v)
{
    switch (v->kind) {
    case JSON_NULL:
        jsonw_null(w);
        break;
    case JSON_BOOL:
        jsonw_bool(w, v->b);
        break;
    case JSON_INT:
        jsonw_i64(w, v->i);
        break;
    case JSON_UINT:
        jsonw_u64(w, v->u);
        break;
    case JSON_REAL:
        jsonw_real(w, v->d);
        break;
    case JSON_STR:
        jsonw_str(w, v->s);
        break;
    case JSON_ARR:
        jsonw_arr(w);
        for (uint32_t i = 0; i < v->n; i++)
            jsonw_value(w, &v->items[i]);
        jsonw_end_arr(w);
        break;
    case JSON_OBJ:
        jsonw_obj(w);
        for (uint32_t i = 0; i < v->n; i++) {
            jsonw_key(w, v->members[i].name);
            jsonw_value(w, &v->members[i].value);
        }
        jsonw_end_obj(w);
        break;
    }
}

void jsonw_kstr(struct jsonw *w, struct slice name, struct slice s)
{
    jsonw_key(w, name);
    jsonw_str(w, s);
}

void jsonw_ki64(struct jsonw *w, struct slice name, int64_t n)
{
    jsonw_key(w, name);
    jsonw_i64(w, n);
}

void jsonw_kbool(struct jsonw *w, struct slice name, bool b)
{
    jsonw_key(w, name);
    jsonw_bool(w, b);
}
