/*
 * asked.c - questions to the reactor threads about their last decisions, from threads that may block.
 *
 * Each reactor keeps its own ring (policy/explain.h) and no lock guards it: a task is posted to every one,
 * answers in its thread, and the asker waits for all of them on a pipe, two seconds at most. The question
 * belongs to whoever lets go of it last. One that no ring has any more is looked for in the log of decisions. Called by the control thread and the portal's workers.
 * Tested by tests/box/test_explain.py.
 */
#include "base/mem.h"
#include "base/os.h"
#include "main/app.h"
#include "main/decisions.h"
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#define ASKED_WAIT_MS 2000
#define ASKED_BYTES_MAX ((size_t)1024 * 1024)

struct asked_part {
    struct net_task task;
    struct asked *of;
    struct buf json;
    bool found;
};
struct asked {
    char id[16];
    bool one, denied_only;
    size_t max, n;
    int pipe[2];
    _Atomic int holders; /* the asker and every task */
    struct asked_part parts[];
};

static void asked_drop(struct asked *q)
{
    if (atomic_fetch_sub(&q->holders, 1) > 1)
        return;
    for (size_t i = 0; i < q->n; i++)
        buf_free(&q->parts[i].json);
    close(q->pipe[0]);
    close(q->pipe[1]);
    mem_free(q);
}

static void asked_run(struct net_task *t, struct reactor *r)
{
    struct asked_part *p = CONTAINER_OF(t, struct asked_part, task);
    struct policy_ctx *c = reactor_ctx(r, REACTOR_CTX_MAIN);
    struct asked *q = p->of;
    ssize_t told;
    if (q->one)
        p->found = policy_explain(c, slice_of(q->id, sizeof q->id), &p->json);
    else
        p->found = policy_recent(c, q->denied_only, q->max, &p->json) > 0;
    told = write(q->pipe[1], "", 1);
    (void)told; /* the asker has a deadline */
    asked_drop(q);
}

static struct asked *asked_post(struct app *a, const struct asked *like)
{
    struct asked *q = mem_zalloc(sizeof *q + a->workers * sizeof q->parts[0]);
    *q = *like;
    q->n = a->workers;
    if (pipe2(q->pipe, O_CLOEXEC) != 0) {
        mem_free(q);
        return NULL;
    }
    atomic_init(&q->holders, (int)a->workers + 1);
    for (size_t i = 0; i < q->n; i++) {
        q->parts[i] = (struct asked_part){.task.run = asked_run, .of = q};
        buf_init(&q->parts[i].json, ASKED_BYTES_MAX);
        reactor_post(a->reactors[i], &q->parts[i].task);
    }
    return q;
}

/* False when not all have answered in time. */
static bool asked_wait(struct asked *q)
{
    int64_t until = clock_mono_ms() + ASKED_WAIT_MS;
    for (size_t i = 0; i < q->n;) {
        struct pollfd p = {.fd = q->pipe[0], .events = POLLIN};
        int64_t left = until - clock_mono_ms();
        char c;
        if (left <= 0)
            return false;
        if (poll(&p, 1, (int)left) > 0 && read(q->pipe[0], &c, 1) == 1)
            i++;
    }
    return true;
}

static enum rc asked_all(struct app *a, const struct asked *like, struct buf *out, struct err *e)
{
    bool found = false;
    if (a->workers == 0 || !a->ready)
        return err_set(e, RC_NOTFOUND, "decisions are kept by a running Postern, and none serves this data directory");
    struct asked *q = asked_post(a, like);
    if (!q)
        return err_set(e, RC_IO, "no pipe could be made");
    if (!asked_wait(q)) {
        asked_drop(q);
        return err_set(e, RC_TIMEOUT, "the doors are too busy to answer; try again");
    }
    for (size_t i = 0; i < q->n; i++) {
        if (!q->parts[i].found || (found && q->one))
            continue;
        if (found)
            buf_byte(out, ',');
        buf_slice(out, buf_all(&q->parts[i].json));
        found = true;
    }
    asked_drop(q);
    return found || !like->one ? RC_OK
                               : err_set(e, RC_NOTFOUND, "no such decision is kept (any more); check.explain says how many are, decisions.file keeps more");
}

/* ---- decisions of the portal's own workers: under the lock, there are few ---- */

void app_keep(void *ctx, bool denied, struct slice id, struct slice json)
{
    struct app *a = ctx;
    struct app_kept *k;
    if (id.n != sizeof k->id)
        return;
    lock_take(&a->faults_lock);
    k = &a->kept[a->kept_next++ % ARRAY_LEN(a->kept)];
    memcpy(k->id, id.p, id.n);
    k->denied = denied;
    buf_free(&k->json);
    buf_init(&k->json, ASKED_BYTES_MAX);
    buf_slice(&k->json, json);
    lock_drop(&a->faults_lock);
}

/* id NULL: the last ones, each with a comma behind it. */
static bool asked_kept(struct app *a, const char *id, bool denied_only, size_t max, struct buf *out)
{
    size_t found = 0;
    lock_take(&a->faults_lock);
    for (size_t i = 1; i <= ARRAY_LEN(a->kept) && found < max; i++) {
        const struct app_kept *k = &a->kept[(a->kept_next + ARRAY_LEN(a->kept) - i) % ARRAY_LEN(a->kept)];
        if (k->json.n == 0 || (denied_only && !k->denied) || (id && memcmp(id, k->id, sizeof k->id) != 0))
            continue;
        buf_slice(out, buf_all(&k->json));
        if (!id)
            buf_byte(out, ',');
        found++;
    }
    lock_drop(&a->faults_lock);
    return found > 0;
}

enum rc app_explain(void *ctx, struct slice id, struct buf *out, struct err *e)
{
    struct asked q = {.one = true};
    if (id.n != sizeof q.id)
        return err_set(e, RC_BADINPUT, "a decision id has 16 hexadecimal digits");
    memcpy(q.id, id.p, sizeof q.id);
    if (asked_kept(ctx, q.id, false, 1, out))
        return RC_OK;
    enum rc rc = asked_all(ctx, &q, out, e);
    if (rc == RC_NOTFOUND && decisions_find(((struct app *)ctx)->settings, id, out) == RC_OK)
        return RC_OK;
    return rc;
}

enum rc app_recent(void *ctx, bool denied_only, size_t max, struct buf *out, struct err *e)
{
    struct asked q = {.denied_only = denied_only, .max = max};
    buf_byte(out, '[');
    (void)asked_kept(ctx, NULL, denied_only, max, out);
    enum rc rc = asked_all(ctx, &q, out, e);
    if (out->n > 1 && out->p[out->n - 1] == ',')
        out->n--; /* nothing came behind the portal's own */
    buf_byte(out, ']');
    return rc;
}
#undef ASKED_WAIT_MS
#undef ASKED_BYTES_MAX
