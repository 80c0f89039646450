/*
 * inside.h - what the files of net/ share and no other room includes: the structs behind
 * reactor.h, conn.h and tls.h, and the few functions between their files.
 *
 * reactor.c turns the loop, timer.c keeps both kinds of time, listener.c accepts, conn.c owns the
 * life of a connection and everything doors call, conn_io.c moves its bytes, tls.c turns bytes into
 * records. One turn may end a connection from anywhere: conn_abort only puts it on the doomed list
 * and conn_reap, at two fixed points of the turn, closes it. So a pointer to a connection is good
 * until the end of the turn.
 * Threads: everything here belongs to the reactor's thread, but what is marked "any".
 */
#ifndef NET_INSIDE_H
#define NET_INSIDE_H

#include "base/mem.h"
#include "net/conn.h"
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    NET_SCRATCH_BYTES = 64 * 1024,         /* one read */
    NET_PLAIN_BYTES = 96 * 1024,           /* what one read can decrypt to, and a record waiting */
    NET_EVENTS_MAX = 256,                  /* connections per turn */
    NET_BUF_FIRST_BYTES = 4096 + 128,      /* not a power of two: neighbours share no cache set */
    NET_BUF_KEEP_BYTES = 64 * 1024,        /* larger buffers go back to the system */
    NET_SPARE_BYTES_MAX = 4 * 1024 * 1024, /* in the freelist of one reactor */
    NET_OUT_FULL_BYTES = 1024 * 1024,      /* conn_out_full */
    NET_OUT_LOW_BYTES = 64 * 1024,         /* drained */
    NET_TURN_BYTES = 4 * 1024 * 1024,      /* read or written for one connection in one turn */
    NET_HANDSHAKE_MS = 10 * 1000,
    NET_FLUSH_MS = 5 * 1000, /* for the last output of a closing connection */
    NET_LINGER_MS = 1000,    /* for the peer to close after us */
    NET_STOP_MS = 1500,
    NET_HOOKS_MAX = 4,
    NET_WHEEL_SLOTS = 1024,
    NET_WHEEL_TICK_MS = 64
};

/* epoll's data pointer leads to one of these; the struct's first member tells which. */
enum net_source { NET_SOURCE_CONN, NET_SOURCE_LISTENER, NET_SOURCE_WAKE };

struct tls_conn;
struct listener_end;

struct conn {
    enum net_source source; /* must be first */
    int fd;
    struct reactor *r;
    const struct conn_proto *proto;
    void *state;
    bool opened : 1;     /* proto->open was called and close is owed */
    bool dirty : 1;      /* in r->dirty */
    bool prompt : 1;     /* is r->serving and has output */
    bool again : 1;      /* in r->again */
    bool doomed : 1;     /* in r->doomed, no callback but close any more */
    bool shaking : 1;    /* the TLS handshake is not done */
    bool queued : 1;     /* in r->shakes, waiting for its turn to compute */
    bool connecting : 1; /* outbound, not connected yet */
    bool readable : 1;   /* epoll said so and no short read came since */
    bool hup : 1;        /* the end was announced: read until it is seen */
    bool eof : 1;        /* and was seen */
    bool eof_told : 1;
    bool out_armed : 1; /* EPOLLOUT is in the interest set */
    bool held : 1;
    bool paused : 1;
    bool busy : 1;      /* answers are owed */
    bool offer : 1;     /* resumed, or new bytes in `in`: offer it */
    bool closing : 1;   /* close after the flush */
    bool lingering : 1; /* our side is shut, waiting for the peer's end */
    bool was_full : 1;  /* `drained` is owed */
    bool silent : 1;    /* in end->silent: no byte came yet */
    bool bye_said : 1;  /* TLS close_notify was written */
    bool bye_heard : 1; /* and was read */
    bool hello : 1;     /* outbound TLS: the first flight is due */
    bool awaits : 1;    /* outbound: an answer is under way */
    bool stop_told : 1; /* proto->stopping was called, or need not be */
    struct buf in;      /* unconsumed input; no memory when empty */
    struct buf out;     /* waiting output; no memory when empty */
    int64_t active_ms;  /* monotonic: bytes moved */
    struct conn *dirty_next, *again_next, *doomed_next, *shake_next;

    int64_t idle_ms, deadline_ms; /* deadline monotonic; 0: none */
    int64_t wake_ms;              /* when the wheel looks at it; 0: not in the wheel */
    struct conn *wheel_next, **wheel_at;

    struct tls_conn *tls; /* made when the first byte arrives */
    struct buf wire;      /* records waiting to be sent; TLS only */
    const char *trouble;  /* outbound; NULL: none */
    enum rc trouble_rc;
    size_t in_bytes_max, out_bytes_max;
    struct listener_end *end; /* where it was accepted; NULL: outbound */
    struct conn *silent_next, *silent_before;
    uint64_t id;
    uint32_t slot, generation;
    struct conn_peer peer;
    uint8_t peer_text_n;
    char peer_text[55]; /* "[39 characters]:65535" */
};

struct conn_list {
    struct conn *head, *tail;
};

/* A listener on one reactor. */
struct listener_end {
    enum net_source source; /* must be first */
    int fd;                 /* -1: stopped, or a Unix socket that another reactor accepts for */
    struct reactor *r;
    struct listener *listener;
    struct listener_end *next; /* of the same reactor */
    struct conn_list silent;   /* oldest first */
    struct net_task stop_task;
    struct net_timer retry; /* accepts again after a pause */
};

struct net_spare {
    struct net_spare *next;
    size_t cap;
};

struct reactor {
    int epoll_fd, wake_fd, spare_fd, index;
    enum net_source wake_source;
    int64_t now_ms, mono_ms;
    char *scratch; /* NET_SCRATCH_BYTES */
    char *plain;   /* NET_PLAIN_BYTES, made when TLS is first used */

    struct conn_list dirty, again, doomed, shakes;
    struct conn *serving; /* whose input is looked at: its output goes out right after */
    struct net_spare *spares;
    size_t spare_bytes;

    struct conn **conns; /* by slot */
    struct conn *conns_free;
    uint32_t conns_n, conns_cap;
    size_t open_n;

    struct net_timer **heap; /* heap[1] is due first */
    size_t heap_n, heap_cap;
    struct conn *wheel[NET_WHEEL_SLOTS];
    int64_t wheel_tick;    /* the first tick that was not looked at */
    int64_t wheel_next_ms; /* no slot is due before; INT64_MAX when the wheel is empty */
    size_t wheel_n;

    struct {
        void (*fn)(void *ctx, struct reactor *r);
        void *ctx;
    } hooks[NET_HOOKS_MAX];
    int hooks_n;
    void *ctx[8];
    struct listener_end *ends;
    int64_t log_next_ms; /* accept trouble is logged once a second */
    bool stopping;
    struct net_task stop_task;
    struct epoll_event events[NET_EVENTS_MAX];

    char pad[64];           /* what follows is written by other threads: on a line of its own */
    struct net_task *inbox; /* newest first */
    int asleep;
    int stop_asked;
};

/* addr.c */
FN socklen_t net_addr_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss);

/* reactor.c: buffers come from a freelist, newest (warmest) first. */
FN void net_buf_take(struct reactor *r, struct buf *b);
FN void net_buf_give(struct reactor *r, struct buf *b);

FN void reactor_settle(struct reactor *r); /* after its loop ended: nothing is under way any more */

/* timer.c */
FN int64_t timer_next_ms(const struct reactor *r); /* monotonic; INT64_MAX: never */
FN bool timer_run(struct reactor *r);
FN void wheel_place(struct conn *c); /* after idle_ms or deadline_ms changed to something earlier */
FN void wheel_remove(struct conn *c);
FN void wheel_run(struct reactor *r);

/* conn.c */
FN void conn_adopt(struct listener_end *end, int fd, const struct sockaddr *from);
FN void conn_mark_dirty(struct conn *c); /* to be flushed in this turn */
FN void conn_visit(struct conn *c);      /* to be continued in the next turn */
FN void conn_unlisted(struct conn *c);   /* taken out of a list while doomed */
FN void conn_spoke(struct conn *c);
FN void conn_begin(struct conn *c); /* calls proto->open; dooms when refused */
FN void conn_expire(struct conn *c);
FN void conn_reap(struct reactor *r);
FN bool conn_stop_all(struct reactor *r); /* true while some have output or work in flight */
FN void conn_close_all(struct reactor *r);
FN bool conn_evict_silent(struct listener_end *end);

/* conn_io.c */
FN void conn_ready(struct conn *c, uint32_t events);
FN bool conn_run_again(struct reactor *r);
FN bool conn_run_shakes(struct reactor *r);
FN void conn_queue_shake(struct conn *c); /* a step of the handshake is due */
FN void conn_flush_all(struct reactor *r);

/* listener.c */
FN void listener_ready(struct listener_end *end);
FN void listener_left(struct listener *l); /* a connection is gone; any thread */
FN const struct listener_opts *listener_options(const struct listener *l);
FN void listener_stop_ends(struct reactor *r);
FN void listener_forget_ends(struct reactor *r);

/* tls.c: one connection's records. It never touches the socket. */
enum tls_step { TLS_WANT, TLS_DONE, TLS_END, TLS_FAILED };
FN struct tls_conn *tls_conn_open(struct tls_server *s, struct buf *wire);
FN struct tls_conn *tls_conn_dial(struct tls_client *t, struct slice name, struct buf *wire);
FN enum rc tls_conn_trouble(const struct tls_conn *t, const char **why); /* of a client, after TLS_FAILED */
FN void tls_conn_close(struct tls_conn *t);
/* Takes bytes from *raw, appends what must be sent to the wire buffer. */
FN enum tls_step tls_conn_shake(struct tls_conn *t, struct slice *raw);
/* TLS_DONE: *n > 0 bytes at dst. TLS_WANT: *raw is used up. TLS_END: the peer said goodbye. */
FN enum tls_step tls_conn_read(struct tls_conn *t, struct slice *raw, char *dst, size_t cap,
                               size_t *n);
FN bool tls_conn_write(struct tls_conn *t, struct slice plain, size_t *used);
FN void tls_conn_bye(struct tls_conn *t);
FN struct slice tls_conn_cert_name(const struct tls_conn *t);

#endif
