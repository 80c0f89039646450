/*
 * decisions.h - the log of decisions: a file of JSON lines that a thread of its own writes.
 *
 * The check threads only copy decisions into queues (policy/explain.c). A full disk or a slow one costs lines,
 * which are counted in postern_decisions_unwritten_total, never a check. Errors: RC_IO when the file cannot
 * be opened at start. Threads: open and close main's, reopen and find any.
 */
#ifndef MAIN_DECISIONS_H
#define MAIN_DECISIONS_H

#include "main/settings.h"
#include "policy/policy.h"

struct decisions;
/* *out stays NULL when decisions.file is empty. */
FN enum rc decisions_open(const struct settings *s, struct decisions **out, struct err *e) MUST_CHECK;
/* For the options of the contexts; d may be NULL: no log. */
FN struct policy_log decisions_queue(struct decisions *d);
FN void decisions_start(struct decisions *d, struct policy_ctx *const *ctxs, size_t n); /* ctxs: read until the close */
FN void decisions_reopen(struct decisions *d); /* SIGHUP: whoever moved the file gets a new one */
/* When the contexts decide nothing any more and are still there: writes what is left. */
FN void decisions_close(struct decisions *d);
/* Looks for a decision in the file and the one before it; newest first is not needed: ids are unique. RC_NOTFOUND. */
FN enum rc decisions_find(const struct settings *s, struct slice id, struct buf *json) MUST_CHECK;

#endif
