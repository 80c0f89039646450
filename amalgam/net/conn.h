/*
 * conn.h - listeners and connections: bytes in, bytes out, TLS or not, the same to the protocol.
 *
 * A protocol is a table of callbacks. `data` gets the bytes that have not been consumed yet and
 * returns how many it consumed; the rest is kept and offered again with what comes next. Output is
 * appended to conn_out(c) and written at the end of the turn (once per batch). Idle connections
 * hold no buffers: reading goes to the reactor's scratch, leftovers alone are copied.
 *
 * Limits and deadlines are enforced here for every protocol: connections per listener, bytes
 * waiting in and out, idle time, time to finish the TLS handshake and (by conn_deadline) a request
 * head. Beyond conn_max a new connection is closed at once and counted. Threads: all of it in the
 * connection's reactor; conn_ref's result may travel.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/buf.h"
#include "net/addr.h"
#include "net/reactor.h"
#include "net/tls.h"

struct conn;

struct conn_proto {
    const char *name;
    /* state for this connection, or NULL to refuse it. ctx is the listener's. */
    void *(*open)(struct conn *c, void *ctx);
    size_t (*data)(struct conn *c, void *state, struct slice in);
    /* the peer closed its sending side (optional; default: close after flush) */
    void (*eof)(struct conn *c, void *state);
    /* output fell under 64 KiB again after conn_out_full said true (optional); input that `data`
     * has left is offered again after it */
    void (*drained)(struct conn *c, void *state);
    /* idle or deadline passed: write a last word if any; the connection closes after it (optional)
     */
    void (*timeout)(struct conn *c, void *state);
    /* the reactor stops: called once, what is written is sent; the connection then closes when it is
     * neither busy nor paused nor has output (optional) */
    void (*stopping)(struct conn *c, void *state);
    /* frees the state; no output possible any more */
    void (*close)(struct conn *c, void *state);
    /* outbound: connected, and the TLS handshake done (optional) */
    void (*connected)(struct conn *c, void *state);
};

struct listener_opts {
    struct net_addr addr;
    const struct conn_proto *proto;
    void *ctx;              /* handed to open */
    struct tls_server *tls; /* NULL: plain */
    size_t conn_max;        /* over all reactors; default 10,000 */
    int64_t idle_ms;        /* 0: never */
    int64_t handshake_ms;   /* whole TLS handshake; default 10 s */
    size_t in_bytes_max;    /* unconsumed input; beyond it the connection is closed */
    size_t out_bytes_max;   /* waiting output; beyond it the connection is closed */
    int backlog;            /* default 4096 */
    unsigned unix_mode;     /* of the socket file, default 0600 */
};
struct listener;
/* Binds on every reactor of the array with SO_REUSEPORT (a Unix socket: accepted by the first and
 * handed round). RC_CONFLICT when the port is taken: e->text names the address. Call before
 * reactor_run. */
FN enum rc listener_open(struct reactor **reactors, size_t n, const struct listener_opts *o,
                         struct listener **out, struct err *e) MUST_CHECK;
FN int listener_port(const struct listener *l); /* real port when 0 was asked for */
FN void listener_stop(struct listener *l);      /* accepts no more; any thread */
FN void listener_close(struct listener *l);     /* after the reactors stopped */
FN uint64_t listener_conns(const struct listener *l);
FN uint64_t listener_refused(const struct listener *l);

FN struct reactor *conn_reactor(const struct conn *c);
FN struct buf *conn_out(struct conn *c);
FN bool conn_out_full(const struct conn *c); /* more than 1 MiB waits */
FN void conn_close_soon(struct conn *c);     /* after the output is flushed; input is ignored */
FN void conn_abort(struct conn *c);          /* now, at the end of this callback */
FN void conn_flush(struct conn *c); /* mark as having output (when written outside of data) */
/* Held: output is kept until released (durability). Paused: data is not called (a parked request).
 * Both are switches and do not count: one release undoes any number of holds. Neither counts as
 * idle. */
FN void conn_hold(struct conn *c);
FN void conn_release(struct conn *c);
FN void conn_pause(struct conn *c);
/* Busy: answers are owed though nothing waits to be sent and more is read (HTTP/2). Not idle; stopping waits. */
FN void conn_busy(struct conn *c, bool busy);
FN void conn_resume(struct conn *c); /* offers what waits, also when not paused */
FN void conn_deadline(struct conn *c, int64_t delay_ms); /* 0: none. Fires `timeout` */
FN void conn_set_idle(struct conn *c, int64_t idle_ms);
/* From within `data`: the connection goes on with another protocol, whose `data` the caller calls for
 * what is left. The present one's `close` is not called. */
FN void conn_switch(struct conn *c, const struct conn_proto *proto, void *state);
FN void *conn_state(const struct conn *c);
FN uint64_t conn_id(const struct conn *c); /* unique in this process */
FN int conn_fd(const struct conn *c);

struct conn_peer {
    struct ip ip;
    int port;
    bool is_unix, is_tls;
    struct slice cert_name; /* first URI or DNS name of a verified client certificate, or "" */
};
FN const struct conn_peer *conn_peer(const struct conn *c);
FN struct slice conn_peer_text(const struct conn *c); /* "127.0.0.1:4711", "unix" */

/* A name for a connection that may be gone: other threads carry it in a task to its reactor, where
 * conn_ref_get gives the connection, or NULL. */
struct conn_ref {
    struct reactor *reactor;
    uint32_t slot, generation;
};
FN struct conn_ref conn_ref(const struct conn *c);
FN struct conn *conn_ref_get(struct conn_ref r); /* in its reactor only */

/* Outbound plain connection (used to reach civetweb's Unix socket): non-blocking connect; the
 * proto's open gets ctx; close is called also when connecting failed. */
FN struct conn *conn_connect(struct reactor *r, const struct net_addr *to,
                             const struct conn_proto *proto, void *ctx, struct err *e);
/* The same over TLS: the peer must show a good certificate for name. Counts a user of t. */
FN struct conn *conn_connect_tls(struct reactor *r, const struct net_addr *to,
                                 const struct conn_proto *proto, void *ctx, struct tls_client *t,
                                 struct slice name, struct err *e);
/* A plain outbound connection, whose output is all sent, goes on over TLS, for which name and t are as above. What is
 * written from now on waits for the handshake; `connected` is called again after it. False: it was aborted. */
FN bool conn_start_tls(struct conn *c, struct tls_client *t, struct slice name) MUST_CHECK;
/* Why an outbound connection did not come about or broke, in a few constant words; RC_OK and "" when
 * nothing is known. RC_DENIED: the peer is not whom we trust. */
FN enum rc conn_trouble(const struct conn *c, const char **why);
FN bool conn_is_ended(const struct conn *c); /* by the peer, with TLS in the proper way */
/* An answer is expected: stopping the reactor waits for it, within its bound. */
FN void conn_await(struct conn *c, bool on);

#endif
