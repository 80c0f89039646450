/*
 * outbound.h - what calls to other servers share in this process: threads that look up names, and the
 * certificates that are trusted. One struct; each reactor gets a fetcher from it. Called by serve and
 * eval; the threads are the pool's. Errors: a CA file that was named but cannot be used.
 */
#ifndef MAIN_OUTBOUND_H
#define MAIN_OUTBOUND_H

#include "main/settings.h"
#include "net/fetch.h"

struct outbound {
    const struct settings *settings;
    struct pool *names;
    struct tls_client *trust; /* NULL: nobody, so no https without fetch_tls.ca_pem */
};
FN enum rc outbound_open(const struct settings *s, struct outbound *out, struct err *e) MUST_CHECK;
FN struct fetcher *outbound_fetcher(const struct outbound *o, struct reactor *r);
/* First the threads (reactors run no more), then the fetchers are closed by who opened them, then: */
FN void outbound_stop(struct outbound *o);
FN void outbound_close(struct outbound *o);

#endif
