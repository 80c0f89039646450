/*
 * template_fn.c - the functions that every template may call: Inja's core, and those of Gloo that need
 * nothing but their arguments.
 *
 * A row of the table is a function; the manual's list (docs/step-transformation.md) is checked against
 * the rows by tests/unit/policy/test_docs.c. Results are made in the run's memory. Nothing here
 * knows a request. Threads: any. Tested by tests/unit/policy/test_template.c.
 */
#include "policy/template_inside.h"

#include "base/rand.h"
#include "wire/hash.h"

#include <math.h>

enum { TEMPLATE_FN_REPLACE_MAX = 64 << 10, TEMPLATE_FN_RANDOM = 16 };

struct template_random { /* replace_with_random: the same text for the same pattern */
    struct slice pattern, text;
    struct template_random *next;
};
#define TEMPLATE_FN(name) \
    static bool template_fn_##name(struct template_run *r, const struct json *a, size_t n, struct json *out)
#define ARGS_UNUSED ((void)r, (void)a, (void)n)

/* ---- pieces ---- */

static bool template_fn_str(struct json *out, struct slice s)
{
    *out = (struct json){.kind = JSON_STR, .s = s};
    return true;
}

static bool template_fn_bool(struct json *out, bool b)
{
    *out = (struct json){.kind = JSON_BOOL, .b = b};
    return true;
}

static bool template_fn_int(struct json *out, int64_t i)
{
    *out = (struct json){.kind = JSON_INT, .i = i};
    return true;
}

static bool template_fn_is_text(struct template_run *r, const struct json *a, const char *fn)
{
    return a->kind == JSON_STR || template_fail(r, RC_BADINPUT, "%s() needs a text", fn);
}

static bool template_fn_is_list(struct template_run *r, const struct json *a, const char *fn)
{
    if (a->kind != JSON_ARR)
        return template_fail(r, RC_BADINPUT, "%s() needs a list", fn);
    return a->n > 0 || template_fail(r, RC_BADINPUT, "%s() of an empty list", fn);
}

static bool template_fn_is_whole(struct template_run *r, const struct json *a, const char *fn)
{
    return a->kind == JSON_INT || template_fail(r, RC_BADINPUT, "%s() needs a whole number", fn);
}

static bool template_fn_real(const struct json *a, double *d)
{
    if (a->kind == JSON_INT)
        *d = (double)a->i;
    else if (a->kind == JSON_UINT)
        *d = (double)a->u;
    else if (a->kind == JSON_REAL)
        *d = a->d;
    else
        return a->kind == JSON_STR && slice_double(a->s, d) && isfinite(*d);
    return true;
}

/* ---- kinds ---- */

/* clang-format off */
TEMPLATE_FN(is_array) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_ARR); }
TEMPLATE_FN(is_boolean) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_BOOL); }
TEMPLATE_FN(is_float) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_REAL); }
TEMPLATE_FN(is_integer) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_INT || a->kind == JSON_UINT); }
TEMPLATE_FN(is_number) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_INT || a->kind == JSON_UINT || a->kind == JSON_REAL); }
TEMPLATE_FN(is_object) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_OBJ); }
TEMPLATE_FN(is_string) { ARGS_UNUSED; return template_fn_bool(out, a->kind == JSON_STR); }
/* clang-format on */

/* ---- names ---- */

TEMPLATE_FN(exists)
{
    (void)n;
    return template_fn_is_text(r, a, "exists") &&
           template_fn_bool(out, template_lookup(r, a->s) != NULL) && r->rc == RC_OK;
}

TEMPLATE_FN(exists_in)
{
    (void)n;
    if (!template_fn_is_text(r, &a[1], "existsIn"))
        return false;
    return template_fn_bool(out, a->kind == JSON_OBJ && template_child(r, a, a[1].s) != NULL) &&
           r->rc == RC_OK;
}

TEMPLATE_FN(item)
{
    const struct json *v = NULL;
    (void)n;
    if (a[1].kind == JSON_STR)
        v = template_child(r, a, a[1].s);
    else if (a->kind == JSON_ARR && a[1].kind == JSON_INT && a[1].i >= 0 && a[1].i < (int64_t)a->n)
        v = &a->items[a[1].i];
    if (v)
        *out = *v;
    return v || template_fail(r, RC_BADINPUT, "at() of what is not there");
}

/* ---- numbers ---- */

TEMPLATE_FN(even)
{
    (void)n;
    return template_fn_is_whole(r, a, "even") && template_fn_bool(out, a->i % 2 == 0);
}

TEMPLATE_FN(odd)
{
    (void)n;
    return template_fn_is_whole(r, a, "odd") && template_fn_bool(out, a->i % 2 != 0);
}

TEMPLATE_FN(divisible_by)
{
    (void)n;
    if (!template_fn_is_whole(r, a, "divisibleBy") || !template_fn_is_whole(r, &a[1], "divisibleBy"))
        return false;
    return template_fn_bool(out, a[1].i != 0 && (a[1].i == -1 || a->i % a[1].i == 0));
}

TEMPLATE_FN(to_float)
{
    double d = 0;
    (void)n;
    if (!template_fn_real(a, &d))
        return template_fail(r, RC_BADINPUT, "float() of what is no number");
    *out = (struct json){.kind = JSON_REAL, .d = d};
    return true;
}

TEMPLATE_FN(to_int)
{
    double d = 0;
    int64_t i;
    (void)n;
    if (a->kind == JSON_INT || (a->kind == JSON_STR && slice_i64(a->s, &i)))
        return template_fn_int(out, a->kind == JSON_INT ? a->i : i);
    if (!template_fn_real(a, &d) || fabs(d) > 9e18)
        return template_fail(r, RC_BADINPUT, "int() of what is no number");
    return template_fn_int(out, (int64_t)d);
}

TEMPLATE_FN(to_round)
{
    double d = 0, scale;
    int64_t digits = 0;
    if (a->kind == JSON_STR || !template_fn_real(a, &d))
        return template_fail(r, RC_BADINPUT, "round() needs a number");
    if (n == 2) {
        if (!template_fn_is_whole(r, &a[1], "round"))
            return false;
        digits = a[1].i;
    }
    if (digits < 0 || digits > 15)
        return template_fail(r, RC_BADINPUT, "round() to 0 to 15 digits");
    scale = pow(10, (double)digits);
    d = round(d * scale) / scale;
    if (digits == 0 && fabs(d) < 9e15)
        return template_fn_int(out, (int64_t)d);
    *out = (struct json){.kind = JSON_REAL, .d = d};
    return true;
}

TEMPLATE_FN(range)
{
    struct json *items;
    (void)n;
    if (!template_fn_is_whole(r, a, "range") || a->i < 0)
        return template_fail(r, RC_BADINPUT, "range() needs a number from 0");
    if (a->i > UINT16_MAX || !(items = (void *)template_take(r, ((size_t)a->i + 1) * sizeof *items)))
        return template_fail(r, RC_TOOBIG, "range() of too many numbers");
    for (int64_t i = 0; i < a->i; i++)
        items[i] = (struct json){.kind = JSON_INT, .i = i};
    *out = (struct json){.kind = JSON_ARR, .n = (uint32_t)a->i, .items = items};
    return template_charge(r, (size_t)a->i / 8);
}

/* ---- lists ---- */

TEMPLATE_FN(first)
{
    (void)n;
    if (!template_fn_is_list(r, a, "first"))
        return false;
    *out = a->items[0];
    return true;
}

TEMPLATE_FN(last)
{
    (void)n;
    if (!template_fn_is_list(r, a, "last"))
        return false;
    *out = a->items[a->n - 1];
    return true;
}

TEMPLATE_FN(length)
{
    (void)n;
    if (a->kind != JSON_STR && a->kind != JSON_ARR && a->kind != JSON_OBJ)
        return template_fail(r, RC_BADINPUT, "length() needs a text, a list or an object");
    return template_fn_int(out, a->kind == JSON_STR ? (int64_t)a->s.n : (int64_t)a->n);
}

static bool template_fn_most(struct template_run *r, const struct json *a, int sign, const char *fn,
                             struct json *out)
{
    int order;

    if (!template_fn_is_list(r, a, fn))
        return false;
    *out = a->items[0];
    for (uint32_t i = 1; i < a->n; i++) {
        if (!template_order(r, &a->items[i], out, &order))
            return false;
        if (order * sign > 0)
            *out = a->items[i];
    }
    return true;
}

TEMPLATE_FN(max)
{
    (void)n;
    return template_fn_most(r, a, 1, "max", out);
}

TEMPLATE_FN(min)
{
    (void)n;
    return template_fn_most(r, a, -1, "min", out);
}

/* Merge, by hand: a comparison may fail, and costs. */
static bool template_fn_merge(struct template_run *r, struct json *v, struct json *spare, size_t n)
{
    size_t half = n / 2, i = 0, k = half, to = 0;
    int order;

    if (n < 2)
        return true;
    if (!template_fn_merge(r, v, spare, half) || !template_fn_merge(r, v + half, spare, n - half))
        return false;
    while (i < half && k < n) {
        if (!template_order(r, &v[i], &v[k], &order))
            return false;
        spare[to++] = order <= 0 ? v[i++] : v[k++];
    }
    while (i < half)
        spare[to++] = v[i++];
    memcpy(v, spare, to * sizeof *v);
    return true;
}

TEMPLATE_FN(sort)
{
    struct json *v, *spare;
    (void)n;
    if (a->kind != JSON_ARR)
        return template_fail(r, RC_BADINPUT, "sort() needs a list");
    v = (void *)template_take(r, (a->n + 1) * sizeof *v);
    spare = v ? (void *)template_take(r, (a->n + 1) * sizeof *v) : NULL;
    if (!spare)
        return false;
    if (a->n)
        memcpy(v, a->items, a->n * sizeof *v);
    *out = (struct json){.kind = JSON_ARR, .n = a->n, .items = v};
    return template_fn_merge(r, v, spare, a->n);
}

TEMPLATE_FN(join)
{
    struct slice s;
    size_t all = 0;
    char *p;
    (void)n;
    if (a->kind != JSON_ARR || !template_fn_is_text(r, &a[1], "join"))
        return template_fail(r, RC_BADINPUT, "join() needs a list and a text");
    for (uint32_t i = 0; i < a->n; i++) {
        if (!template_charge(r, 1) || !template_text(r, &a->items[i], &s))
            return false;
        all += s.n + a[1].s.n;
    }
    p = template_take(r, all);
    if (!p)
        return false;
    all = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        struct slice sep = i ? a[1].s : S("");
        if (!template_text(r, &a->items[i], &s))
            return false;
        memcpy(p + all, sep.p, sep.n);
        memcpy(p + all + sep.n, s.n ? s.p : "", s.n);
        all += sep.n + s.n;
    }
    return template_fn_str(out, slice_of(p, all));
}

/* ---- texts ---- */

static bool template_fn_each(struct template_run *r, const struct json *a, const char *fn,
                             char (*change)(char c), struct json *out)
{
    char *p;

    if (!template_fn_is_text(r, a, fn) || !(p = template_take(r, a->s.n)))
        return false;
    for (size_t i = 0; i < a->s.n; i++)
        p[i] = change(a->s.p[i]);
    return template_fn_str(out, slice_of(p, a->s.n));
}

static char template_fn_to_lower(char c)
{
    return ascii_lower(c);
}

static char template_fn_to_upper(char c)
{
    return ascii_upper(c);
}

TEMPLATE_FN(lower)
{
    (void)n;
    return template_fn_each(r, a, "lower", template_fn_to_lower, out);
}

TEMPLATE_FN(upper)
{
    (void)n;
    return template_fn_each(r, a, "upper", template_fn_to_upper, out);
}

TEMPLATE_FN(capitalize)
{
    (void)n;
    if (!template_fn_each(r, a, "capitalize", template_fn_to_lower, out))
        return false;
    if (out->s.n > 0)
        ((char *)(uintptr_t)out->s.p)[0] = ascii_upper(out->s.p[0]);
    return true;
}

/* As Gloo: nothing beyond the end, and a length of 0 or less, or too long, is the rest. */
TEMPLATE_FN(substring)
{
    struct slice s;
    if (!template_fn_is_text(r, a, "substring"))
        return false;
    if (a[1].kind != JSON_INT || (n == 3 && a[2].kind != JSON_INT) || a[1].i < 0 ||
        (uint64_t)a[1].i >= a->s.n)
        return template_fn_str(out, S(""));
    s = slice_from(a->s, (size_t)a[1].i);
    if (n == 3 && a[2].i > 0)
        s = slice_sub(s, 0, (size_t)a[2].i);
    return template_fn_str(out, s);
}

static bool template_fn_replace_all(struct template_run *r, struct slice s, struct slice from,
                                    struct slice to, struct json *out)
{
    size_t hits = 0, n = 0, at;
    struct slice rest = s;
    char *p;

    if (s.n > TEMPLATE_FN_REPLACE_MAX)
        return template_fail(r, RC_TOOBIG, "replacing in more than %d bytes", TEMPLATE_FN_REPLACE_MAX);
    for (; from.n && (at = slice_find(rest, from)) != SIZE_MAX; hits++)
        rest = slice_from(rest, at + from.n);
    if (hits == 0)
        return template_fn_str(out, s);
    if (!template_charge(r, hits + s.n / 64) || !(p = template_take(r, s.n - hits * from.n + hits * to.n)))
        return false;
    for (rest = s; (at = slice_find(rest, from)) != SIZE_MAX; rest = slice_from(rest, at + from.n)) {
        memcpy(p + n, rest.p, at);
        memcpy(p + n + at, to.p, to.n);
        n += at + to.n;
    }
    memcpy(p + n, rest.p, rest.n);
    return template_fn_str(out, slice_of(p, n + rest.n));
}

TEMPLATE_FN(replace)
{
    (void)n;
    for (size_t i = 0; i < 3; i++)
        if (!template_fn_is_text(r, &a[i], "replace"))
            return false;
    return template_fn_replace_all(r, a->s, a[1].s, a[2].s, out);
}

static struct template_random *template_fn_random(struct template_run *r, struct slice pattern)
{
    struct template_random *x;
    uint8_t bytes[TEMPLATE_FN_RANDOM];
    char *text, *copy;

    for (x = r->randoms; x; x = x->next)
        if (slice_eq(x->pattern, pattern))
            return x;
    x = (void *)template_take(r, sizeof *x);
    text = x ? template_take(r, 32) : NULL;
    copy = text ? template_take(r, pattern.n) : NULL;
    if (!copy)
        return NULL;
    rand_bytes(bytes, sizeof bytes);
    memcpy(copy, pattern.n ? pattern.p : "", pattern.n);
    *x = (struct template_random){slice_of(copy, pattern.n), {text, 0}, r->randoms};
    x->text.n = b64_encode(text, bytes, sizeof bytes) - 2; /* without its == */
    r->randoms = x;
    return x;
}

TEMPLATE_FN(replace_with_random)
{
    const struct template_random *x;
    (void)n;
    if (!template_fn_is_text(r, a, "replace_with_random") ||
        !template_fn_is_text(r, &a[1], "replace_with_random"))
        return false;
    x = template_fn_random(r, a[1].s);
    return x && template_fn_replace_all(r, a->s, a[1].s, x->text, out);
}

static bool template_fn_encode(struct template_run *r, const struct json *a, const char *fn,
                               size_t (*encode)(char *dst, const void *p, size_t n), struct json *out)
{
    char *p;

    if (!template_fn_is_text(r, a, fn) || !(p = template_take(r, a->s.n / 3 * 4 + 8)))
        return false;
    return template_fn_str(out, slice_of(p, encode(p, a->s.n ? a->s.p : "", a->s.n)));
}

/* What is no base64 decodes to nothing, as in Gloo. */
static bool template_fn_decode(struct template_run *r, const struct json *a, const char *fn,
                               enum rc (*decode)(struct slice in, void *dst, size_t cap, size_t *n),
                               struct json *out)
{
    size_t n = 0;
    char *p;

    if (!template_fn_is_text(r, a, fn) || !(p = template_take(r, a->s.n)))
        return false;
    if (decode(a->s, p, a->s.n, &n) != RC_OK)
        n = 0;
    return template_fn_str(out, slice_of(p, n));
}

TEMPLATE_FN(base64_encode)
{
    (void)n;
    return template_fn_encode(r, a, "base64_encode", b64_encode, out);
}

TEMPLATE_FN(base64_decode)
{
    (void)n;
    return template_fn_decode(r, a, "base64_decode", b64_decode, out);
}

TEMPLATE_FN(base64url_encode)
{
    (void)n;
    return template_fn_encode(r, a, "base64url_encode", b64url_encode, out);
}

TEMPLATE_FN(base64url_decode)
{
    (void)n;
    return template_fn_decode(r, a, "base64url_decode", b64url_decode, out);
}

/* The text as it stands between quotes in JSON; under escapeCharacters every text is written so. */
TEMPLATE_FN(raw_string)
{
    struct json list;
    struct slice s;
    (void)n;
    if (r->escape || a->kind != JSON_STR) {
        *out = *a;
        return true;
    }
    list = (struct json){.kind = JSON_ARR, .n = 1, .items = (struct json *)(uintptr_t)a};
    return template_text(r, &list, &s) && template_fn_str(out, slice_sub(s, 2, s.n - 4));
}

/* ---- the table ---- */

/* clang-format off */
static const struct template_fn template_fn_rows[] = {
    {"at", 2, 2, template_fn_item, 0, NULL, "item of a list by number, member of an object by name"},
    {"base64_decode", 1, 1, template_fn_base64_decode, 0, NULL, "the bytes; nothing when it is no base64"},
    {"base64_encode", 1, 1, template_fn_base64_encode, 0, NULL, "base64 with padding"},
    {"base64url_decode", 1, 1, template_fn_base64url_decode, 0, NULL, "the same in the alphabet for URLs"},
    {"base64url_encode", 1, 1, template_fn_base64url_encode, 0, NULL, "the same in the alphabet for URLs, without padding"},
    {"capitalize", 1, 1, template_fn_capitalize, 0, NULL, "first letter upper case, the others lower"},
    {"default", 2, 2, NULL, 0, NULL, "the second when the first is a name that is not there"},
    {"divisibleBy", 2, 2, template_fn_divisible_by, 0, NULL, "whether the second divides the first"},
    {"even", 1, 1, template_fn_even, 0, NULL, "whether a whole number is even"},
    {"exists", 1, 1, template_fn_exists, TEMPLATE_NEEDS_NAMES, NULL, "whether something has this name, given as a text"},
    {"existsIn", 2, 2, template_fn_exists_in, 0, NULL, "whether an object has a member of this name"},
    {"first", 1, 1, template_fn_first, 0, NULL, "first item of a list"},
    {"float", 1, 1, template_fn_to_float, 0, NULL, "a text or number as a fraction"},
    {"int", 1, 1, template_fn_to_int, 0, NULL, "a text or number as a whole number"},
    {"isArray", 1, 1, template_fn_is_array, 0, NULL, "whether it is a list"},
    {"isBoolean", 1, 1, template_fn_is_boolean, 0, NULL, "whether it is true or false"},
    {"isFloat", 1, 1, template_fn_is_float, 0, NULL, "whether it is a fraction"},
    {"isInteger", 1, 1, template_fn_is_integer, 0, NULL, "whether it is a whole number"},
    {"isNumber", 1, 1, template_fn_is_number, 0, NULL, "whether it is a number"},
    {"isObject", 1, 1, template_fn_is_object, 0, NULL, "whether it is an object"},
    {"isString", 1, 1, template_fn_is_string, 0, NULL, "whether it is a text"},
    {"join", 2, 2, template_fn_join, 0, NULL, "items of a list as one text, with the second between them"},
    {"last", 1, 1, template_fn_last, 0, NULL, "last item of a list"},
    {"length", 1, 1, template_fn_length, 0, NULL, "bytes of a text, items of a list, members of an object"},
    {"lower", 1, 1, template_fn_lower, 0, NULL, "ASCII letters lower case"},
    {"max", 1, 1, template_fn_max, 0, NULL, "largest item of a list"},
    {"min", 1, 1, template_fn_min, 0, NULL, "smallest item of a list"},
    {"odd", 1, 1, template_fn_odd, 0, NULL, "whether a whole number is odd"},
    {"range", 1, 1, template_fn_range, 0, NULL, "the list 0, 1, ... below the number"},
    {"raw_string", 1, 1, template_fn_raw_string, 0, NULL, "a text escaped as in JSON, without the quotes"},
    {"replace", 3, 3, template_fn_replace, 0, NULL, "a text with every second replaced by the third"},
    {"replace_with_random", 2, 2, template_fn_replace_with_random, 0, NULL, "a text with every second replaced by a random text, the same for the same second within one policy"},
    {"round", 1, 2, template_fn_to_round, 0, NULL, "a number rounded to so many digits"},
    {"sort", 1, 1, template_fn_sort, 0, NULL, "a list of numbers, or of texts, in order"},
    {"substring", 2, 3, template_fn_substring, 0, NULL, "from this byte on, at most so many"},
    {"upper", 1, 1, template_fn_upper, 0, NULL, "ASCII letters upper case"},
};
/* clang-format on */

const struct template_fn *template_fn_at(size_t i)
{
    return i < ARRAY_LEN(template_fn_rows) ? &template_fn_rows[i] : NULL;
}

const struct template_fn *template_fn_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(template_fn_rows); i++)
        if (slice_eq(name, slice_str(template_fn_rows[i].name)))
            return &template_fn_rows[i];
    return NULL;
}

#undef TEMPLATE_FN
#undef ARGS_UNUSED
