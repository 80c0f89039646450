/*
 * grpc_health.c - grpc.health.v1.Health: Check and Watch.
 *
 * A Postern that answers serves, so every known service is SERVING, "" (the server) among them. Watch says
 * that, then nothing until the server stops: NOT_SERVING, and the call ends. Threads: the reactor's.
 * Tested by tests/unit/check/test_grpc.c and tests/box/test_grpc.py.
 */
#include "check/grpc.h"

static bool health_knows(struct slice service)
{
    const struct grpc_method *m;
    bool known = service.n == 0 || slice_eq(service, S("ratelimit")); /* the reference server's name */
    for (size_t i = 0; (m = grpc_method_at(i)) != NULL; i++)
        known |= slice_eq(service, m->service);
    return known;
}

enum health_status { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2, HEALTH_UNKNOWN = 3 };

/* False: answered. */
static bool health_read(const struct grpc_call *k, struct slice *service)
{
    struct pb r = pb_open(k->message);
    struct pb_field f;
    bool bad = false;
    *service = S("");
    while (pb_next(&r, &f))
        if (f.number == 1)
            (void)pb_take_text(&f, service, &bad);
    if (pb_ok(&r) && !bad)
        return true;
    grpc_fail(k->s, GRPC_INVALID, S("this is no HealthCheckRequest"));
    return false;
}

void grpc_health_check(const struct grpc_call *k)
{
    struct slice service;
    size_t mark;
    if (!health_read(k, &service))
        return;
    if (!health_knows(service)) {
        grpc_fail(k->s, GRPC_NOT_FOUND, S("no such service here"));
        return;
    }
    struct buf *b = grpc_reply(k, &mark);
    pb_put_u64(b, 1, HEALTH_SERVING);
    grpc_reply_end(k, mark);
}

static void health_tell(const struct grpc_call *k, enum health_status status)
{
    size_t mark;
    struct buf *b = grpc_reply(k, &mark);
    pb_put_u64(b, 1, (uint64_t)status);
    grpc_message_end(k, mark);
}

/* A service that is not known is no error here: it might come. */
void grpc_health_watch(const struct grpc_call *k)
{
    struct slice service;
    if (!health_read(k, &service))
        return;
    grpc_stream_begin(k);
    health_tell(k, health_knows(service) ? HEALTH_SERVING : HEALTH_UNKNOWN);
}

void grpc_health_bye(const struct grpc_call *k)
{
    health_tell(k, HEALTH_NOT_SERVING);
}
