/*
 * explain.h - the last decisions of a thread, kept so that each can be explained afterwards by its id, and
 * handed to whoever writes the log of decisions.
 *
 * A bounded ring, oldest overwritten; what it costs a decision is copying a few hundred bytes. Kept are
 * the question without query, headers and body (a secret may stand there), the verdict's words, and the
 * steps with their times; texts are cut at EXPLAIN_TEXT_MAX bytes.
 * Memory: about 1.5 KiB a decision, touched only as the ring fills. Threads: the context's; for
 * explain_take one other.
 */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "base/buf.h"

struct decision;
struct explain;
struct policy_log;
/* n: decisions kept, may be 0. log: where others go by a queue, or nowhere. NULL: neither. */
FN struct explain *explain_open(size_t n, const struct policy_log *log);
/* From another thread: what is in the queue, oldest first, a line of JSON each. Returns how many; *lost grows by
 * those that found the queue full. */
FN size_t explain_take(struct explain *x, struct buf *out, uint64_t *lost);
FN void explain_close(struct explain *x);
FN void explain_expect(const struct explain *x); /* explain_put will come soon */
FN void explain_put(struct explain *x, const struct decision *d);
/* The decision as JSON; false when it is not there (any more). */
FN bool explain_get(const struct explain *x, struct slice id, struct buf *out);
/* Newest first, at most max, one JSON object after another with commas between, behind those in out
 * already: several threads' lists are joined by who calls. Returns how many. */
FN size_t explain_recent(const struct explain *x, bool denied_only, size_t max, struct buf *out);

#endif
