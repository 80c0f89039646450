/*
 * callout.h - a step that asks another server over HTTP and waits: one request, one answer.
 *
 * The step's run says callout_wait(d, begin) when d->wait is NULL. begin is called once the decision has
 * memory of its own: it fills a fetch_req in d->arena and gives it to callout_start. When the answer is
 * there run is called again, and callout_reply(d) is it, copied into d->arena. Nothing is retried here.
 * Threads: the context's.
 */
#ifndef POLICY_CALLOUT_H
#define POLICY_CALLOUT_H

#include "net/fetch.h"
#include "policy/inside.h"

struct callout_reply {
    enum rc rc; /* RC_OK: an answer of any status */
    const char *why;
    int status;
    struct http_header *headers;
    size_t headers_n;
    struct slice body;
};
/* STEP_WAIT; or STEP_TROUBLE with "no_outbound" where nothing can be asked. */
FN enum step_said callout_wait(struct decision *d, void (*begin)(struct decision *d));
FN void callout_start(struct decision *d, const struct fetch_req *q);
FN const struct callout_reply *callout_reply(const struct decision *d);

/* The request's header as this step may see it: what earlier steps set counts, identity headers of
 * others are never read from the client, its own are. */
FN bool callout_header(struct decision *d, struct slice name, struct slice *value);
/* All headers as the step may see them, names in lower case, as members of an object that is begun. */
FN void callout_headers_json(struct decision *d, struct jsonw *w);
FN void callout_state_json(const struct decision *d, struct jsonw *w); /* an object */
/* In answer to a client: 300 to 499 and not 304; all else is 403. */
FN int callout_denial_status(int status);
/* "5s", "250ms"; a fault when it is none. */
FN bool callout_duration(const struct field_in *in, const struct yaml *at, const char *field,
                         struct slice text, int64_t otherwise_ms, int64_t *out_ms);

#endif
