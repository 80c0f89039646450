/* The table of commands: every row is well formed and found, folded, by its own name only. */
#include "resp/resp_int.h"
#include "resp/config_table.h"
#include "t.h"

static struct resp_index *x;

static void every_name_is_found_in_any_case(void)
{
    for (size_t i = 0; i < resp_rows_n(); i++) {
        const struct resp_row *row = resp_row_at(i);
        char upper[64];
        if (resp_row_is_sub(row))
            continue;
        for (size_t k = 0; k <= row->name_len; k++)
            upper[k] = ascii_upper(row->name[k]);
        struct slice name = slice_of(row->name, row->name_len), big = slice_of(upper, row->name_len);
        T(resp_find(x, name) == row);
        T(resp_find(x, big) == row);
        upper[0] = ascii_lower(upper[0]);
        T(resp_find(x, big) == row);
        T(resp_find(x, slice_sub(name, 0, name.n - 1)) != row);
        upper[row->name_len - 1] = '@';
        T(resp_find(x, big) == NULL);
    }
}

static void names_that_only_look_alike_are_not_found(void)
{
    static const char *const no[] = {"", "g", "ge", "gett", "g\x05t", "GE\x14", "get ", "s\xe5t", "client|id",
                                     "hgetallx", "incrbyfloat ", "geoooooooooooooooooooooooooooooot"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        T(resp_find(x, slice_str(no[i])) == NULL);
    T(resp_find(x, slice_of("get\0", 4)) == NULL);
}

static void rows_are_well_formed(void)
{
    for (size_t i = 0; i < resp_rows_n(); i++) {
        const struct resp_row *r = resp_row_at(i);
        T(r->run != NULL && r->arity != 0 && r->summary[0] != 0 && r->since[0] != 0);
        T(r->group < RG_COUNT && resp_group_name(r->group) != NULL);
        T(r->first == 0 ? r->step == 0 : r->step > 0);
        T(!((r->flags & CF_WRITE) && (r->flags & CF_READONLY)));
        for (const char *p = r->name; *p != 0; p++)
            T(ascii_lower(*p) == *p);
        if (resp_row_is_sub(r))
            T(resp_row_is_sub(r - 1) || ((r - 1)->flags & CF_CONTAINER));
    }
    T(resp_row_at(resp_rows_n()) == NULL);
}

static void subcommands_are_found_behind_their_parent(void)
{
    const struct resp_row *client = resp_find(x, S("client"));
    const struct resp_row *id = resp_find_sub(client, S("ID"));
    T(id != NULL && strcmp(id->name, "client|id") == 0);
    T(resp_find_sub(client, S("encoding")) == NULL);
    T(resp_find_sub(client, S("i")) == NULL);
}

static void key_ranges(void)
{
    static const struct {
        const char *name;
        size_t argc, first, last, step;
    } rows[] = {{"get", 2, 1, 1, 1},  {"mget", 5, 1, 4, 1},  {"mset", 7, 1, 6, 2},
                {"rename", 3, 1, 2, 1}, {"ping", 1, 0, 0, 0}, {"mset", 1, 0, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct resp_range k = {0};
        bool any = resp_row_keys(resp_find(x, slice_str(rows[i].name)), rows[i].argc, &k);
        T(any == (rows[i].first > 0));
        T(k.first == rows[i].first && k.last == rows[i].last && k.step == rows[i].step);
    }
}

static void the_manual_gets_every_row(void)
{
    const char *name, *group, *summary;
    size_t n = 0;
    while (resp_command_doc(n, &name, &group, &summary))
        n++;
    T(n == resp_rows_n());
}

static void settings_are_checked(void)
{
    struct arena a;
    struct slice out;
    arena_init(&a, 1024, 0);
    static const struct {
        const char *name, *in, *out;
    } rows[] = {{"maxmemory", "1mb", "1048576"}, {"maxmemory", "1m", "1000000"},
                {"maxmemory", "x", NULL},        {"maxmemory", "-1", NULL},
                {"slowlog-log-slower-than", "-1", "-1"}, {"slowlog-log-slower-than", "-2", NULL},
                {"appendfsync", "ALWAYS", "always"},     {"appendfsync", "often", NULL},
                {"protected-mode", "YES", "yes"},        {"protected-mode", "1", NULL},
                {"maxmemory-clients", "50%", "50%"},     {"maxmemory-clients", "101%", NULL},
                {"maxmemory", "99999999999999999999gb", NULL},
                {"proto-max-bulk-len", "512mb", "536870912"}, /* what the store and its log can hold */
                {"proto-max-bulk-len", "513mb", NULL},
                {"client-output-buffer-limit", "pubsub 1mb 0 0",
                 "normal 0 0 0 slave 0 0 0 pubsub 1048576 0 0"},
                {"client-output-buffer-limit", "pubsub 1mb", NULL},
                {"client-output-buffer-limit", "nobody 1 2 3", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct config_row *r = config_row_find(slice_str(rows[i].name));
        const char *why = config_check(&a, r, S(""), slice_str(rows[i].in), &out);
        T((why == NULL) == (rows[i].out != NULL));
        if (why == NULL)
            T(slice_eq(out, slice_str(rows[i].out)));
    }
    for (size_t i = 0; i < config_rows_n(); i++) { /* every default passes its own check */
        const struct config_row *r = config_row_at(i);
        T(config_check(&a, r, S(""), slice_str(r->def), &out) == NULL);
        T(config_row_find(slice_str(r->name)) == r);
    }
    arena_free(&a);
}

int main(void)
{
    x = resp_index_open();
    T_RUN(every_name_is_found_in_any_case);
    T_RUN(names_that_only_look_alike_are_not_found);
    T_RUN(rows_are_well_formed);
    T_RUN(subcommands_are_found_behind_their_parent);
    T_RUN(key_ranges);
    T_RUN(the_manual_gets_every_row);
    T_RUN(settings_are_checked);
    resp_index_close(x);
    return t_done();
}
