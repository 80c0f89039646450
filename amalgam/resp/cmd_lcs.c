/*
 * cmd_lcs.c - LCS: the longest common subsequence of two strings, its length, or where it matches.
 *
 * The classic table of (n+1)*(m+1) lengths, filled once and walked back from the end. Time and
 * memory are the product of the lengths, and the store's lock is held meanwhile: the table is
 * bounded. Called by the row of LCS. Tested by the Redis suite (unit/type/string) and
 * test_resp_commands.c.
 */
#include "resp/resp_int.h"

enum { CMD_LCS_CELLS_MAX = 64 << 20 };

struct cmd_lcs {
    struct slice a, b;
    uint32_t *len; /* lengths for prefixes i, j at i * (b.n + 1) + j */
    bool idx, with_len;
    int64_t min_len;
};

static uint32_t *cmd_lcs_cell(const struct cmd_lcs *l, size_t i, size_t j)
{
    return &l->len[i * (l->b.n + 1) + j];
}

static void cmd_lcs_fill(struct cmd_lcs *l)
{
    for (size_t i = 1; i <= l->a.n; i++) {
        for (size_t j = 1; j <= l->b.n; j++) {
            uint32_t up = *cmd_lcs_cell(l, i - 1, j), left = *cmd_lcs_cell(l, i, j - 1);
            *cmd_lcs_cell(l, i, j) =
                l->a.p[i - 1] == l->b.p[j - 1] ? *cmd_lcs_cell(l, i - 1, j - 1) + 1 : MAX(up, left);
        }
    }
}

struct cmd_lcs_run { /* matching ranges, growing towards the front; empty when n is 0 */
    size_t a, b, n;
};

static void cmd_lcs_match(const struct cmd_lcs *l, struct resp_gather *g,
                          const struct cmd_lcs_run *r)
{
    if (r->n == 0 || (l->min_len > 0 && (int64_t)r->n < l->min_len))
        return;
    resp_array(g->b, l->with_len ? 3 : 2);
    resp_array(g->b, 2);
    resp_int(g->b, (int64_t)r->a);
    resp_int(g->b, (int64_t)(r->a + r->n - 1));
    resp_array(g->b, 2);
    resp_int(g->b, (int64_t)r->b);
    resp_int(g->b, (int64_t)(r->b + r->n - 1));
    if (l->with_len)
        resp_int(g->b, (int64_t)r->n);
    g->n++;
}

/* From the end to the front: matches go to g, the subsequence itself into text (its length known).
 */
static void cmd_lcs_walk(const struct cmd_lcs *l, struct resp_gather *g, char *text, size_t n)
{
    struct cmd_lcs_run run = {0};
    size_t i = l->a.n, j = l->b.n;
    while (i > 0 && j > 0) {
        if (l->a.p[i - 1] == l->b.p[j - 1]) {
            if (text != NULL)
                text[--n] = l->a.p[i - 1];
            if (run.n > 0 && !(run.a == i && run.b == j)) {
                cmd_lcs_match(l, g, &run);
                run.n = 0;
            }
            run = (struct cmd_lcs_run){i - 1, j - 1, run.n + 1};
            i--;
            j--;
        } else if (*cmd_lcs_cell(l, i - 1, j) > *cmd_lcs_cell(l, i, j - 1)) {
            i--;
        } else {
            j--;
        }
    }
    cmd_lcs_match(l, g, &run);
}

static bool cmd_lcs_value(struct resp_client *c, struct slice key, struct slice *out, char *tmp)
{
    struct entry *e = lookup(c, key);
    *out = S("");
    if (e == NULL)
        return true;
    if (ks_type(e) != V_STRING) {
        reply_err(c, "ERR The specified keys must contain string values");
        return false;
    }
    *out = ks_str(e, tmp);
    return true;
}

static bool cmd_lcs_options(struct resp_client *c, struct cmd_lcs *l, bool *len_only)
{
    for (size_t i = 3; i < c->argc; i++) {
        if (arg_is(c->argv[i], "IDX")) {
            l->idx = true;
        } else if (arg_is(c->argv[i], "LEN")) {
            *len_only = true;
        } else if (arg_is(c->argv[i], "WITHMATCHLEN")) {
            l->with_len = true;
        } else if (arg_is(c->argv[i], "MINMATCHLEN") && i + 1 < c->argc) {
            if (!arg_i64(c, c->argv[++i], &l->min_len))
                return false;
        } else {
            return reply_syntax(c), false;
        }
    }
    if (l->idx && *len_only) {
        reply_err(c, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

void cmd_lcs(struct resp_client *c)
{
    struct cmd_lcs l = {0};
    bool len_only = false;
    char tmp_a[KS_TMP], tmp_b[KS_TMP];
    if (!cmd_lcs_value(c, c->argv[1], &l.a, tmp_a) || !cmd_lcs_value(c, c->argv[2], &l.b, tmp_b) ||
        !cmd_lcs_options(c, &l, &len_only))
        return;
    if ((l.a.n + 1) > CMD_LCS_CELLS_MAX / (l.b.n + 1)) {
        reply_err(c, "ERR Insufficient memory, transient memory for LCS exceeds 256 MiB");
        return;
    }
    l.len = mem_zalloc((l.a.n + 1) * (l.b.n + 1) * sizeof *l.len);
    cmd_lcs_fill(&l);
    size_t n = *cmd_lcs_cell(&l, l.a.n, l.b.n);
    struct resp_gather g = gather_begin(c);
    if (l.idx) {
        cmd_lcs_walk(&l, &g, NULL, 0);
        reply_map(c, 2);
        reply_bulk(c, S("matches"));
        gather_end(c, &g);
        reply_bulk(c, S("len"));
        reply_int(c, (int64_t)n);
    } else if (len_only) {
        reply_int(c, (int64_t)n);
    } else {
        char *text = mem_alloc(n + 1);
        cmd_lcs_walk(&l, &g, text, n);
        reply_bulk(c, slice_of(text, n));
        mem_free(text);
    }
    mem_free(l.len);
}
