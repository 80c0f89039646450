/*
 * yaml_value.c - what the nodes of a YAML tree mean (the second half of yaml.h).
 *
 * Values are read by YAML 1.2's core schema, so "no" and "on" are texts and 012 is twelve; a quoted
 * scalar is always a text. yaml_to_json gives the same document to readers that know JSON only.
 * Pure; any thread. Tested by tests/unit/wire/test_yaml.c.
 */
#include "wire/yaml.h"

#include "wire/json.h"

#include <math.h>

struct yaml *yaml_get(const struct yaml *map, struct slice key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->n; i++)
        if (slice_eq(map->pairs[i].key, key))
            return map->pairs[i].value;
    return NULL;
}

bool yaml_is_null(const struct yaml *y)
{
    return !y || y->kind == YAML_NULL;
}

bool yaml_bool(const struct yaml *y, bool *out)
{
    if (!y || y->kind != YAML_SCALAR || y->quoted)
        return false;
    struct slice s = y->text;
    bool yes = slice_eq(s, S("true")) || slice_eq(s, S("True")) || slice_eq(s, S("TRUE"));
    bool no = slice_eq(s, S("false")) || slice_eq(s, S("False")) || slice_eq(s, S("FALSE"));
    if (!yes && !no)
        return false;
    *out = yes;
    return true;
}

bool yaml_i64(const struct yaml *y, int64_t *out)
{
    return y && y->kind == YAML_SCALAR && slice_i64(y->text, out);
}

/* [-+]? [0-9]+, 0o[0-7]+ or 0x[0-9a-fA-F]+ that fits; anything else is not an integer here. */
static bool yaml_core_int(struct slice s, int64_t *out)
{
    bool negative = s.n > 0 && s.p[0] == '-', sign = negative || (s.n > 0 && s.p[0] == '+');
    unsigned base = 10;
    if (!sign && s.n > 2 && s.p[0] == '0' && (s.p[1] == 'o' || s.p[1] == 'x'))
        base = s.p[1] == 'o' ? 8 : 16;
    s = slice_from(s, sign ? 1 : base != 10 ? 2 : 0);
    uint64_t v = 0, max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)ascii_hex(s.p[i]); /* no digit: larger than any base */
        if (d >= base || v > (max - d) / base)
            return false;
        v = v * base + d;
    }
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return s.n > 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool yaml_core_real(struct slice s, double *out)
{
    size_t digits = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == 'e' || c == 'E')
            break;
        digits += ascii_digit(c) ? 1 : 0;
    }
    if (digits == 0 || !slice_double(s, out))
        return false;
    return isfinite(*out) != 0;
}

static void yaml_scalar_json(const struct yaml *y, struct jsonw *w)
{
    bool b;
    int64_t i;
    double d;
    if (y->quoted)
        jsonw_str(w, y->text);
    else if (yaml_bool(y, &b))
        jsonw_bool(w, b);
    else if (yaml_core_int(y->text, &i))
        jsonw_i64(w, i);
    else if (yaml_core_real(y->text, &d))
        jsonw_real(w, d);
    else
        jsonw_str(w, y->text);
}

static void yaml_node_json(const struct yaml *y, struct jsonw *w)
{
    switch (y->kind) {
    case YAML_NULL:
        jsonw_null(w);
        break;
    case YAML_SCALAR:
        yaml_scalar_json(y, w);
        break;
    case YAML_SEQ:
        jsonw_arr(w);
        for (uint32_t i = 0; i < y->n; i++)
            yaml_node_json(y->items[i], w);
        jsonw_end_arr(w);
        break;
    case YAML_MAP:
        jsonw_obj(w);
        for (uint32_t i = 0; i < y->n; i++) {
            jsonw_key(w, y->pairs[i].key);
            yaml_node_json(y->pairs[i].value, w);
        }
        jsonw_end_obj(w);
        break;
    }
}

void yaml_to_json(const struct yaml *y, struct buf *out)
{
    struct jsonw w;
    jsonw_init(&w, out);
    yaml_node_json(y, &w);
}
