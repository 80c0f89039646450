/*
 * grpc_health.c - grpc.health.v1.Health/Check, and a server reflection that lists the services.
 *
 * A Postern that answers serves, so every known service is SERVING, "" (the server) among them; Watch is
 * not served, as the protocol allows. Reflection answers list_services; it has no file descriptors to
 * give and says so: tools take their .proto files then. Threads: the reactor's.
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

void grpc_health_check(const struct grpc_call *k)
{
    struct pb r = pb_open(k->message);
    struct pb_field f;
    struct slice service = S("");
    bool bad = false;
    size_t mark;
    while (pb_next(&r, &f))
        if (f.number == 1)
            (void)pb_take_text(&f, &service, &bad);
    if (!pb_ok(&r) || bad) {
        grpc_fail(k->s, GRPC_INVALID, S("this is no HealthCheckRequest"));
    } else if (!health_knows(service)) {
        grpc_fail(k->s, GRPC_NOT_FOUND, S("no such service here"));
    } else {
        struct buf *b = grpc_reply(k, &mark);
        pb_put_u64(b, 1, 1); /* SERVING */
        grpc_reply_end(k, mark);
    }
}

static void health_list(struct buf *b)
{
    const struct grpc_method *m;
    size_t list = pb_begin(b, 6);
    for (size_t i = 0; (m = grpc_method_at(i)) != NULL; i++) {
        size_t service = pb_begin(b, 1);
        pb_put_text(b, 1, m->service);
        pb_end(b, service);
    }
    pb_end(b, list);
}

/* One ServerReflectionRequest -> one ServerReflectionResponse. */
void grpc_reflect(const struct grpc_call *k)
{
    struct pb r = pb_open(k->message);
    struct pb_field f;
    bool list = false;
    size_t mark;
    while (pb_next(&r, &f))
        list |= f.number == 7;
    struct buf *b = grpc_reply(k, &mark);
    pb_put_bytes(b, 2, k->message);
    if (list && pb_ok(&r)) {
        health_list(b);
    } else {
        size_t error = pb_begin(b, 7);
        pb_put_u64(b, 1, GRPC_NOT_FOUND);
        pb_put_text(b, 2, S("no file descriptors here: use the .proto files"));
        pb_end(b, error);
    }
    grpc_message_end(k, mark);
}
