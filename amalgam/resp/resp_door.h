/*
 * resp_door.h - the door for Redis clients: connections, dispatch, commands by table.
 *
 * One resp_server for the process (configuration, clients, MONITOR), one resp_thread per reactor.
 * Commands are rows of resp_table.c; a new command is one row, one function, one test.
 * Threads: resp_server_open before the reactors run; clients live in their reactor.
 */
#ifndef RESP_RESP_DOOR_H
#define RESP_RESP_DOOR_H

#include "net/conn.h"
#include "store/store.h"
#include "wire/resp.h"

struct resp_server;
struct resp_opts {
    struct store *store;
    struct slice password; /* empty: no AUTH needed */
    struct slice user;     /* "default" when empty */
    int port;
    size_t maxclients;
    int64_t timeout_ms; /* idle clients; 0: never */
    struct resp_limits limits;
    uint64_t maxmemory_bytes;         /* of the store, for CONFIG GET */
    enum store_durability durability; /* the same */
    const char *version;              /* Postern's */
    const char *redis_version;        /* what INFO says, default "7.2.4" */
    void (*shutdown)(void *ctx);      /* SHUTDOWN command */
    void *shutdown_ctx;
};
FN struct resp_server *resp_server_open(const struct resp_opts *o, struct reactor **reactors,
                                        size_t n);
FN void resp_server_close(struct resp_server *s);
/* Called by main from the store's on_durable (log thread): wakes the reactors that hold replies. */
FN void resp_server_durable(struct resp_server *s, uint64_t lsn);
FN const struct conn_proto *resp_proto(void); /* ctx of the listener: the resp_server */
FN void resp_metrics_join(struct resp_server *s);
/* Rows for the manual: false beyond the last. */
FN bool resp_command_doc(size_t i, const char **name, const char **group,
                         const char **summary) UNUSED;

#endif
