/*
 * faults.c - the list of what is wrong with a directory of policies.
 *
 * Filled by the loader's files (fields.c, load.c, compile*.c), printed by check-config, the log and
 * the portal. Owns its strings. One thread at a time. Tested with the loader (test_load.c).
 */
#include "policy/fields.h"
#include "base/mem.h"
#include <stdio.h>

enum { FAULTS_MAX = 2000, FAULTS_TEXT_MAX = 600 };

void policy_faults_init(struct policy_faults *f)
{
    memset(f, 0, sizeof *f);
    arena_init(&f->arena, 1024, 0);
}

void policy_faults_free(struct policy_faults *f)
{
    mem_free(f->rows);
    arena_free(&f->arena);
    memset(f, 0, sizeof *f);
}

void fault_put(struct policy_faults *f, bool notice, struct slice file, int line, int col,
               struct slice path, struct slice text)
{
    if (!notice)
        f->errors++;
    if (f->n >= FAULTS_MAX)
        return;
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 16;
        f->rows = mem_realloc(f->rows, f->cap * sizeof *f->rows);
    }
    f->rows[f->n++] = (struct policy_fault){
        .notice = notice,
        .file = arena_dup(&f->arena, file),
        .line = line,
        .col = col,
        .path = arena_dup(&f->arena, path),
        .text = arena_dup(&f->arena, text),
    };
}

void policy_faults_json(const struct policy_faults *f, struct jsonw *w)
{
    jsonw_arr(w);
    for (size_t i = 0; i < f->n; i++) {
        const struct policy_fault *r = &f->rows[i];
        jsonw_obj(w);
        jsonw_kstr(w, S("file"), r->file);
        jsonw_ki64(w, S("line"), r->line);
        jsonw_ki64(w, S("col"), r->col);
        jsonw_kstr(w, S("path"), r->path);
        jsonw_kstr(w, S("text"), r->text);
        jsonw_kbool(w, S("notice"), r->notice);
        jsonw_end_obj(w);
    }
    jsonw_end_arr(w);
}

/* "spec.config.glooAuth.configs[0].apiKeyAuth" */
static void faults_path(const struct field_path *p, struct buf *out)
{
    if (!p)
        return;
    faults_path(p->up, out);
    if (p->name.n == 0) {
        buf_fmt(out, "[%zu]", p->index);
        return;
    }
    if (out->n > 0)
        buf_byte(out, '.');
    buf_slice(out, slice_sub(p->name, 0, 80));
}

void fault_add(const struct field_in *in, bool notice, const struct yaml *at,
               const struct field_path *path, const char *fmt, ...)
{
    char text[FAULTS_TEXT_MAX];
    struct buf where;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&where, 2000);
    faults_path(path, &where);
    fault_put(in->faults, notice && !in->strict, in->file, at ? at->line : 0, at ? at->col : 0,
              buf_all(&where), slice_of(text, (size_t)MIN(MAX(n, 0), FAULTS_TEXT_MAX - 1)));
    buf_free(&where);
}
