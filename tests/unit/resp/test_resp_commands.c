/* Commands by what they answer, in a table: a line sent, the bytes expected. The last test makes sure
 * that no row of the command table is left out. */
#include "r.h"

struct say {
    const char *line, *reply; /* reply NULL: begins with anything but '-'; "~x": contains x */
};

static int fd;

static void run(const struct say *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        T_ROW("%s", rows[i].line);
        if (rows[i].reply == NULL)
            T(r_all(fd, rows[i].line)[0] != '-');
        else if (rows[i].reply[0] == '~')
            T(r_has(fd, rows[i].line, rows[i].reply + 1));
        else
            T(r_ask(fd, rows[i].line, rows[i].reply));
    }
    T_ROW("%s", "");
}
#define RUN(rows) run(rows, ARRAY_LEN(rows))

static void strings(void)
{
    static const struct say rows[] = {
        {"FLUSHALL", "+OK|"}, {"SET a 1", "+OK|"}, {"GET a", "$1|1|"}, {"get none", "$-1|"},
        {"SET a 2 NX", "$-1|"}, {"SET a 2 XX GET", "$1|1|"}, {"SET b 1 XX", "$-1|"},
        {"SET a 3 NX XX", "-ERR syntax error|"}, {"SET a 3 EX 10 PX 10", "-ERR syntax error|"},
        {"SET a 3 EX 0", "-ERR invalid expire time in 'set' command|"},
        {"SET a 3 EX x", "-ERR value is not an integer or out of range|"},
        {"SET a 3 EX 9223372036854775807", "-ERR invalid expire time in 'set' command|"},
        {"SET a 3 EX", "-ERR syntax error|"}, {"SET a 3 EX 9999999", "+OK|"}, {"TTL a", "~:99999"},
        {"SET a 4 KEEPTTL", "+OK|"}, {"TTL a", "~:99999"}, {"SET a 5", "+OK|"}, {"TTL a", ":-1|"},
        {"SET a 5 PXAT 32503680000000", "+OK|"}, {"EXPIRETIME a", ":32503680000|"},
        {"PEXPIRETIME a", ":32503680000000|"}, {"GETEX a PERSIST", "$1|5|"}, {"TTL a", ":-1|"},
        {"GETEX a EX 9999999", "$1|5|"}, {"TTL a", "~:99999"}, {"GETEX a KEEPTTL", "-ERR syntax error|"},
        {"GETDEL a", "$1|5|"}, {"GETDEL a", "$-1|"}, {"SETNX a x", ":1|"}, {"SETNX a y", ":0|"},
        {"SETEX a 500 v", "+OK|"}, {"PSETEX a 500000 v", "+OK|"}, {"GETSET a w", "$1|v|"}, {"TTL a", ":-1|"},
        {"MSET k1 1 k2 2", "+OK|"}, {"MGET k1 none k2", "*3|$1|1|$-1|$1|2|"},
        {"MSET k1", "-ERR wrong number of arguments for 'mset' command|"},
        {"MSET k1 1 k2", "-ERR wrong number of arguments for 'mset' command|"},
        {"MSETNX k3 3 k1 9", ":0|"}, {"EXISTS k3", ":0|"}, {"MSETNX k3 3 k4 4", ":1|"},
        {"APPEND k3 45", ":3|"}, {"STRLEN k3", ":3|"}, {"GETRANGE k3 1 -1", "$2|45|"},
        {"GETRANGE k3 -1 -5", "$0||"}, {"SUBSTR k3 0 0", "$1|3|"}, {"GETRANGE none 0 -1", "$0||"},
        {"SETRANGE k3 5 x", ":6|"}, {"SETRANGE k3 -1 x", "-ERR offset is out of range|"},
        {"SETRANGE k3 2000000 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)|"},
        {"SETRANGE none 5 \"\"", ":0|"}, {"INCR n", ":1|"}, {"INCRBY n 10", ":11|"}, {"DECR n", ":10|"},
        {"DECRBY n 3", ":7|"}, {"INCRBY n 9223372036854775807", "-ERR increment or decrement would overflow|"},
        {"DECRBY n -9223372036854775808", "-ERR decrement would overflow|"},
        {"INCR a", "-ERR value is not an integer or out of range|"}, {"INCRBYFLOAT n 0.5", "$3|7.5|"},
        {"INCRBYFLOAT n 5.0e3", "$6|5007.5|"}, {"INCRBYFLOAT a 1", "-ERR value is not a valid float|"},
        {"INCRBYFLOAT n inf", "-ERR increment would produce NaN or Infinity|"},
        {"MSET s1 ohmytext s2 mynewtext", "+OK|"}, {"LCS s1 s2", "$6|mytext|"}, {"LCS s1 s2 LEN", ":6|"},
        {"LCS s1 s2 IDX MINMATCHLEN 4 WITHMATCHLEN",
         "*4|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6|"},
        {"LCS s1 s2 LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.|"},
        {"HSET h f v", ":1|"}, {"GET h", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
        {"INCR h", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
        {"APPEND h x", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
        {"SET h x GET", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
        {"LCS h s1", "-ERR The specified keys must contain string values|"}, {"MGET h", "*1|$-1|"},
        {"GET", "-ERR wrong number of arguments for 'get' command|"}, {"SET h x", "+OK|"},
    };
    RUN(rows);
}

static void keys(void)
{
    static const struct say rows[] = {
        {"FLUSHALL", "+OK|"}, {"MSET a 1 b 2 c 3", "+OK|"}, {"DEL a none", ":1|"}, {"UNLINK b", ":1|"},
        {"EXISTS c c a", ":2|"}, {"TOUCH c a", ":1|"}, {"TYPE c", "+string|"}, {"TYPE a", "+none|"},
        {"HSET h f v", ":1|"}, {"TYPE h", "+hash|"}, {"DBSIZE", ":2|"}, {"KEYS c*", "*1|$1|c|"},
        {"KEYS [a-b]", "*0|"}, {"SCAN 0 MATCH c", "*2|$1|0|*1|$1|c|"}, {"SCAN 0 TYPE hash", "*2|$1|0|*1|$1|h|"},
        {"SCAN x", "-ERR invalid cursor|"}, {"SCAN 0 COUNT 0", "-ERR syntax error|"},
        {"SCAN 0 COUNT x", "-ERR value is not an integer or out of range|"}, {"SCAN 0 FOO", "-ERR syntax error|"},
        {"RENAME c d", "+OK|"}, {"RENAME c d", "-ERR no such key|"}, {"RENAME d d", "+OK|"},
        {"RENAMENX d h", ":0|"}, {"RENAMENX d c", ":1|"}, {"RENAMENX c c", ":0|"},
        {"COPY c d", ":1|"}, {"COPY c d", ":0|"}, {"COPY c d REPLACE", ":1|"}, {"COPY none x", ":0|"},
        {"COPY c c", "-ERR source and destination objects are the same|"},
        {"COPY c c DB 1", ":1|"}, {"COPY c c DB 99", "-ERR DB index is out of range|"},
        {"MOVE c 1", ":0|"}, {"MOVE d 1", ":1|"}, {"MOVE c 0", "-ERR source and destination objects are the same|"},
        {"SELECT 1", "+OK|"}, {"DBSIZE", ":2|"}, {"SELECT 16", "-ERR DB index is out of range|"},
        {"SELECT x", "-ERR value is not an integer or out of range|"}, {"SELECT 0", "+OK|"},
        {"SWAPDB 0 1", "+OK|"}, {"EXISTS d", ":1|"}, {"SWAPDB 0 99", "-ERR DB index is out of range|"},
        {"SWAPDB x 1", "-ERR invalid first DB index|"}, {"FLUSHDB SYNC", "+OK|"}, {"RANDOMKEY", "$-1|"},
        {"SET r 1", "+OK|"}, {"RANDOMKEY", "$1|r|"}, {"FLUSHALL NOW", "-ERR syntax error|"},
        {"OBJECT ENCODING r", "$3|int|"}, {"OBJECT ENCODING none", "$-1|"}, {"OBJECT REFCOUNT r", ":2147483647|"},
        {"OBJECT IDLETIME r", ":0|"}, {"OBJECT FREQ r", "~An LFU maxmemory policy is not selected"},
        {"OBJECT HELP", "~ENCODING"}, {"OBJECT", "-ERR wrong number of arguments for 'object' command|"},
        {"OBJECT FOO x", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.|"},
        {"EXPIRE r 100", ":1|"}, {"EXPIRE r 200 NX", ":0|"}, {"EXPIRE r 50 GT", ":0|"}, {"EXPIRE r 50 LT", ":1|"},
        {"EXPIRE r 60 XX", ":1|"}, {"EXPIRE r 1 GT LT", "~not compatible"}, {"EXPIRE r 1 NX XX", "~not compatible"},
        {"EXPIRE r 1 FOO", "-ERR Unsupported option FOO|"}, {"EXPIRE r x", "-ERR value is not an integer or out of range|"},
        {"PERSIST r", ":1|"}, {"PERSIST r", ":0|"}, {"PEXPIRE r 100000", ":1|"}, {"PTTL none", ":-2|"},
        {"EXPIREAT r 32503680000", ":1|"}, {"PEXPIREAT r 32503680000000", ":1|"}, {"EXPIRE none 1", ":0|"},
        {"EXPIRE r -1", ":1|"}, {"EXISTS r", ":0|"}, {"TTL r", ":-2|"},
        {"SET r 1 PX 1", "+OK|"}, {"DEBUG SLEEP 0.01", "+OK|"}, {"GET r", "$-1|"}, {"DBSIZE", ":0|"},
        {"WAIT 0 0", ":0|"}, {"WAITAOF 0 0 0", "*2|:0|:0|"}, {"WAITAOF 1 0 0", "*2|:1|:0|"},
    };
    RUN(rows);
}

static void hashes(void)
{
    static const struct say rows[] = {
        {"FLUSHALL", "+OK|"}, {"HSET h a 1 b 2", ":2|"}, {"HSET h a 3 c 4", ":1|"}, {"HGET h a", "$1|3|"},
        {"HGET h none", "$-1|"}, {"HGET none a", "$-1|"}, {"HMGET h a none b", "*3|$1|3|$-1|$1|2|"},
        {"HMSET h d 5", "+OK|"}, {"HSET h a", "-ERR wrong number of arguments for 'hset' command|"},
        {"HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command|"}, {"HLEN h", ":4|"},
        {"HEXISTS h a", ":1|"}, {"HEXISTS h z", ":0|"}, {"HSTRLEN h a", ":1|"}, {"HSETNX h a 9", ":0|"},
        {"HSETNX h e 9", ":1|"}, {"HDEL h e d c", ":3|"}, {"HGETALL h", "*4|$1|a|$1|3|$1|b|$1|2|"},
        {"HKEYS h", "*2|$1|a|$1|b|"}, {"HVALS h", "*2|$1|3|$1|2|"}, {"HGETALL none", "*0|"},
        {"HINCRBY h a 2", ":5|"}, {"HINCRBY h new -1", ":-1|"}, {"HSET h t text", ":1|"},
        {"HINCRBY h t 1", "-ERR hash value is not an integer|"},
        {"HINCRBY h a 9223372036854775807", "-ERR increment or decrement would overflow|"},
        {"HINCRBYFLOAT h a 0.5", "$3|5.5|"}, {"HINCRBYFLOAT h t 1", "-ERR hash value is not a float|"},
        {"HINCRBYFLOAT h a x", "-ERR value is not a valid float|"}, {"HDEL h a new t", ":3|"},
        {"HRANDFIELD h", "$1|b|"}, {"HRANDFIELD h 5", "*1|$1|b|"}, {"HRANDFIELD h -2 WITHVALUES", "*4|$1|b|$1|2|$1|b|$1|2|"},
        {"HRANDFIELD none", "$-1|"}, {"HRANDFIELD none 3", "*0|"}, {"HRANDFIELD h 1 FOO", "-ERR syntax error|"},
        {"HSCAN h 0", "*2|$1|0|*2|$1|b|$1|2|"}, {"HSCAN h 0 MATCH z*", "*2|$1|0|*0|"}, {"HSCAN none 0", "*2|$1|0|*0|"},
        {"HDEL h b", ":1|"}, {"EXISTS h", ":0|"}, {"SET s x", "+OK|"},
        {"HGET s a", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
        {"HSET s a b", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
    };
    RUN(rows);
}

static void transactions(void)
{
    static const struct say rows[] = {
        {"FLUSHALL", "+OK|"}, {"EXEC", "-ERR EXEC without MULTI|"}, {"DISCARD", "-ERR DISCARD without MULTI|"},
        {"MULTI", "+OK|"}, {"MULTI", "-ERR MULTI calls can not be nested|"}, {"SET a 1", "+QUEUED|"},
        {"INCR a", "+QUEUED|"}, {"WATCH a", "-ERR WATCH inside MULTI is not allowed|"}, {"EXEC", "*2|+OK|:2|"},
        {"MULTI", "+OK|"}, {"FOO", "~unknown command 'FOO'"},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.|"},
        {"MULTI", "+OK|"}, {"GET", "-ERR wrong number of arguments for 'get' command|"},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.|"},
        {"MULTI", "+OK|"}, {"SAVE", "-ERR Command not allowed inside a transaction|"},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.|"},
        {"MULTI", "+OK|"}, {"SET a x", "+QUEUED|"}, {"INCR a", "+QUEUED|"},
        {"EXEC", "*2|+OK|-ERR value is not an integer or out of range|"},
        {"MULTI", "+OK|"}, {"DISCARD", "+OK|"}, {"WATCH a a b", "+OK|"}, {"WATCH a", "+OK|"}, {"SET a 5", "+OK|"}, {"MULTI", "+OK|"},
        {"GET a", "+QUEUED|"}, {"EXEC", "*-1|"}, {"WATCH a", "+OK|"}, {"SET a 6", "+OK|"}, {"UNWATCH", "+OK|"},
        {"MULTI", "+OK|"}, {"GET a", "+QUEUED|"}, {"EXEC", "*1|$1|6|"}, {"MULTI", "+OK|"},
        {"INFO keyspace", "+QUEUED|"}, {"EXEC", "~db0:keys=1"}, {"MULTI", "+OK|"}, {"EXEC", "*0|"},
    };
    RUN(rows);
}

static void connection_and_server(void)
{
    static const struct say rows[] = {
        {"PING", "+PONG|"}, {"PING x", "$1|x|"}, {"PING x y", "-ERR wrong number of arguments for 'ping' command|"},
        {"ECHO hi", "$2|hi|"}, {"AUTH x", "~without any password configured"}, {"AUTH default any", "+OK|"},
        {"AUTH nobody any", "-WRONGPASS invalid username-password pair or user is disabled.|"},
        {"HELLO", "~standalone"}, {"HELLO 4", "-NOPROTO unsupported protocol version|"},
        {"HELLO x", "-ERR Protocol version is not an integer or out of range|"},
        {"HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'|"}, {"HELLO 3", "~%7"},
        {"GET none", "_|"}, {"HELLO 2 SETNAME tester", "~*14"},
        {"CLIENT GETNAME", "$6|tester|"}, {"CLIENT SETNAME \"a b\"", "~cannot contain spaces"},
        {"CLIENT SETNAME t2", "+OK|"}, {"CLIENT ID", NULL}, {"CLIENT INFO", "~cmd=client|info"},
        {"CLIENT LIST", "~name=t2"}, {"CLIENT LIST TYPE pubsub", "$0||"}, {"CLIENT LIST ID 999999", "$0||"},
        {"CLIENT LIST FOO", "-ERR syntax error|"}, {"CLIENT SETINFO LIB-NAME lib", "+OK|"},
        {"CLIENT SETINFO LIB-VER 1.0", "+OK|"}, {"CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'|"},
        {"CLIENT INFO", "~lib-name=lib lib-ver=1.0"}, {"CLIENT NO-EVICT ON", "+OK|"}, {"CLIENT NO-TOUCH ON", "+OK|"},
        {"CLIENT NO-TOUCH MAYBE", "-ERR syntax error|"}, {"CLIENT KILL ID 999999", ":0|"},
        {"CLIENT KILL 1.2.3.4:5", "-ERR No such client|"}, {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0|"},
        {"CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'|"}, {"CLIENT KILL USER foo", "-ERR No such user 'foo'|"},
        {"CLIENT PAUSE x", "-ERR timeout is not an integer or out of range|"}, {"CLIENT PAUSE -1", "-ERR timeout is negative|"},
        {"CLIENT PAUSE 0", "+OK|"}, {"CLIENT UNPAUSE", "+OK|"}, {"CLIENT UNBLOCK 5", ":0|"}, {"CLIENT GETREDIR", ":-1|"},
        {"CLIENT REPLY ON", "+OK|"}, {"CLIENT HELP", "~SETNAME"}, {"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.|"},
        {"FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' |"},
        {"READONLY", "-ERR This instance has cluster support disabled|"}, {"READWRITE", "-ERR This instance has cluster support disabled|"},
        {"ASKING", "-ERR This instance has cluster support disabled|"}, {"CLUSTER INFO", "-ERR This instance has cluster support disabled|"},
        {"FUNCTION FLUSH", "+OK|"}, {"FUNCTION LIST", "*0|"}, {"FUNCTION HELP", "~FLUSH"}, {"MODULE LIST", "*0|"}, {"MODULE HELP", "~LIST"},
        {"ACL WHOAMI", "$7|default|"}, {"ACL USERS", "*1|$7|default|"}, {"ACL LIST", "~user default on nopass ~* &* +@all"},
        {"ACL CAT", "~keyspace"}, {"ACL CAT hash", "~hset"}, {"ACL CAT foo", "-ERR Unknown category 'foo'|"}, {"ACL GETUSER default", "~nopass"},
        {"ACL GETUSER foo", "$-1|"}, {"ACL GENPASS 8", NULL}, {"ACL LOG", "*0|"}, {"ACL HELP", "~WHOAMI"},
        {"BGSAVE", "+Background saving started|"}, {"BGREWRITEAOF", "+Background append only file rewriting started|"}, {"SAVE", "+OK|"},
        {"LASTSAVE", NULL}, {"TIME", NULL}, {"ROLE", "~master"}, {"LOLWUT", "~Postern"}, {"DBSIZE", NULL},
        {"COMMAND COUNT", NULL}, {"COMMAND INFO get foo", "~@string"}, {"COMMAND DOCS set", "~KEEPTTL"}, {"COMMAND DOCS", "~unsubscribe"},
        {"COMMAND", "~subscribe"}, {"COMMAND LIST FILTERBY PATTERN hget*", "*2|$4|hget|$7|hgetall|"}, {"COMMAND LIST", "~substr"},
        {"COMMAND LIST FILTERBY ACLCAT transaction", "~watch"}, {"COMMAND LIST FOO", "-ERR syntax error|"}, {"COMMAND HELP", "~DOCS"},
        {"COMMAND GETKEYS MSET a 1 b 2", "*2|$1|a|$1|b|"}, {"COMMAND GETKEYS PING", "-ERR The command has no key arguments|"},
        {"COMMAND GETKEYS FOO", "-ERR Invalid command specified|"}, {"COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command|"},
        {"COMMAND GETKEYSANDFLAGS GET a", "~access"}, {"CONFIG GET maxmemory", "*2|$9|maxmemory|$1|0|"}, {"CONFIG GET nothing", "*0|"},
        {"CONFIG GET *max*-policy port", "~noeviction"}, {"CONFIG SET maxmemory 100mb", "+OK|"}, {"CONFIG GET maxmemory", "*2|$9|maxmemory|$9|104857600|"},
        {"CONFIG SET maxmemory 0", "+OK|"}, {"CONFIG SET foo 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'|"},
        {"CONFIG SET maxmemory x", "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value|"},
        {"CONFIG SET databases 4", "~can't set immutable config"}, {"CONFIG SET maxmemory 1 maxmemory 2", "~duplicate parameter"},
        {"CONFIG SET timeout 5 maxmemory-policy foo", "~must be one of the following"}, {"CONFIG GET timeout", "*2|$7|timeout|$1|0|"},
        {"CONFIG SET notify-keyspace-events KEA", "+OK|"}, {"CONFIG GET notify-keyspace-events", "*2|$22|notify-keyspace-events|$3|AKE|"},
        {"CONFIG SET notify-keyspace-events \"\"", "+OK|"}, {"CONFIG REWRITE", "~postern.yaml"}, {"CONFIG HELP", "~RESETSTAT"},
        {"INFO", "~redis_version:7.2.4"}, {"INFO everything", "~cmdstat_ping"}, {"INFO server clients", "~connected_clients:1"},
        {"INFO errorstats", "~errorstat_ERR"}, {"MEMORY USAGE none", "$-1|"}, {"SET a x", "+OK|"}, {"MEMORY USAGE a", NULL},
        {"MEMORY USAGE a SAMPLES 0", NULL}, {"MEMORY USAGE a FOO", "-ERR syntax error|"}, {"MEMORY STATS", "~peak.allocated"},
        {"MEMORY DOCTOR", NULL}, {"MEMORY MALLOC-STATS", NULL}, {"MEMORY PURGE", "+OK|"}, {"MEMORY HELP", "~USAGE"},
        {"DEBUG OBJECT a", "~encoding:embstr"}, {"DEBUG OBJECT none", "-ERR no such key|"}, {"DEBUG SET-ACTIVE-EXPIRE 1", "+OK|"},
        {"DEBUG JMAP", "+OK|"}, {"DEBUG RELOAD", "+OK|"}, {"DEBUG HELP", "~RELOAD"}, {"DEBUG FOO", "~unknown subcommand"},
        {"DEBUG SLEEP x", "-ERR value is not a valid float|"}, {"DEBUG DIGEST-VALUE none", "~000000"},
        {"SHUTDOWN FOO", "-ERR syntax error|"}, {"SHUTDOWN ABORT", "-ERR No shutdown in progress.|"},
        {"PUBSUB CHANNELS", "*0|"}, {"PUBSUB NUMPAT", ":0|"}, {"PUBSUB NUMSUB x", "*2|$1|x|:0|"}, {"PUBSUB SHARDCHANNELS", "*0|"},
        {"PUBSUB SHARDNUMSUB x", "*2|$1|x|:0|"}, {"PUBSUB HELP", "~NUMPAT"}, {"PUBLISH c m", ":0|"}, {"SPUBLISH c m", ":0|"},
        {"RESET", "+RESET|"}, {"CLIENT GETNAME", "$-1|"},
    };
    RUN(rows);
}

static uint64_t calls[512];

static void note_calls(void)
{
    store_enter(r.store, clock_wall_ms());
    for (size_t k = 0; k < resp_rows_n(); k++)
        for (size_t i = 0; i < r.n; i++)
            calls[k] += r.server->threads[i].stats[k].calls;
    store_leave(r.store);
}

static void statistics_begin_again(void)
{
    note_calls();
    T(r_has(fd, "INFO commandstats", "cmdstat_hset:calls="));
    T(r_has(fd, "INFO stats", "total_error_replies:"));
    T(r_ask(fd, "CONFIG RESETSTAT", "+OK|"));
    T(strstr(r_all(fd, "INFO commandstats"), "cmdstat_hset:") == NULL);
    T(r_has(fd, "INFO stats", "total_error_replies:0\r\n"));
}

static void slow_log_and_latency(void)
{
    static const struct say rows[] = {
        {"SLOWLOG RESET", "+OK|"}, {"CONFIG SET slowlog-log-slower-than 1000000 latency-monitor-threshold 1000", "+OK|"},
        {"DEBUG SLEEP 1.2", "+OK|"}, {"SLOWLOG LEN", ":1|"}, {"SLOWLOG GET", "~$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$3\r\n1.2"},
        {"SLOWLOG GET -2", "-ERR count should be greater than or equal to -1|"}, {"SLOWLOG HELP", "~RESET"},
        {"LATENCY LATEST", "~command"}, {"LATENCY HISTORY command", "~*1\r\n*2"}, {"LATENCY GRAPH command", "~high"},
        {"LATENCY GRAPH foo", "-ERR No samples available for event 'foo'|"}, {"LATENCY DOCTOR", "~samples"},
        {"LATENCY HELP", "~HISTORY"}, {"LATENCY RESET foo", ":0|"}, {"LATENCY RESET command", ":1|"},
        {"CONFIG SET slowlog-log-slower-than 0", "+OK|"}, {"AUTH default sesame-open", "+OK|"},
        {"HELLO 2 AUTH default sesame-open", "~server"}, {"SLOWLOG GET 10", "~(redacted)"},
    };
    RUN(rows);
    T(strstr(r_all(fd, "SLOWLOG GET 128"), "sesame") == NULL);
    T(r_ask(fd, "CONFIG SET slowlog-log-slower-than 10000 latency-monitor-threshold 0", "+OK|"));
}

static void subscriptions(void)
{
    int other = r_connect();
    T(r_ask(other, "SUBSCRIBE a b", "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|"));
    T(r_ask(other, "PSUBSCRIBE a*", "*3|$10|psubscribe|$2|a*|:3|"));
    T(r_ask(other, "SSUBSCRIBE s", "*3|$10|ssubscribe|$1|s|:1|"));
    T(r_ask(other, "GET x", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                            "RESET are allowed in this context|"));
    T(r_ask(other, "PING x", "*2|$4|pong|$1|x|"));
    T(r_ask(fd, "PUBLISH a hi", ":2|"));
    T(r_expect(other, "*3|$7|message|$1|a|$2|hi|*4|$8|pmessage|$2|a*|$1|a|$2|hi|"));
    T(r_ask(fd, "SPUBLISH s yo", ":1|"));
    T(r_expect(other, "*3|$8|smessage|$1|s|$2|yo|"));
    T(r_ask(fd, "PUBSUB NUMSUB a", "*2|$1|a|:1|"));
    T(r_ask(fd, "PUBSUB SHARDNUMSUB s", "*2|$1|s|:1|"));
    T(r_ask(fd, "PUBSUB NUMPAT", ":1|"));
    T(r_has(fd, "INFO stats", "pubsub_channels:2\r\npubsub_patterns:1\r\npubsubshard_channels:1\r\n"));
    T(r_ask(fd, "PUBSUB SHARDCHANNELS", "*1|$1|s|"));
    T(r_ask(other, "UNSUBSCRIBE a", "*3|$11|unsubscribe|$1|a|:2|"));
    T(r_ask(other, "PUNSUBSCRIBE", "*3|$12|punsubscribe|$2|a*|:1|"));
    T(r_ask(other, "SUNSUBSCRIBE s", "*3|$12|sunsubscribe|$1|s|:0|"));
    T(r_ask(other, "RESET", "+RESET|"));
    T(r_ask(fd, "PUBSUB CHANNELS", "*0|"));
    T(r_ask(fd, "CONFIG SET notify-keyspace-events KEA", "+OK|"));
    T(r_has(other, "HELLO 3", "%7"));
    T(r_ask(other, "PSUBSCRIBE __key*:*", ">3|$10|psubscribe|$8|__key*:*|:1|"));
    T(r_ask(fd, "SET k v", "+OK|"));
    T(r_expect(other, ">4|$8|pmessage|$8|__key*:*|$16|__keyspace@0__:k|$3|set|"));
    T(r_expect(other, ">4|$8|pmessage|$8|__key*:*|$18|__keyevent@0__:set|$1|k|"));
    T(r_ask(other, "PUBLISH __keyx:y z", ":1|>4|$8|pmessage|$8|__key*:*|$8|__keyx:y|$1|z|"));
    T(r_ask(fd, "CONFIG SET notify-keyspace-events \"\"", "+OK|"));
    close(other);
}

static void monitor_and_farewell(void)
{
    int other = r_connect();
    T(r_ask(other, "MONITOR", "+OK|"));
    T(r_ask(fd, "AUTH default secret-word", "+OK|"));
    T(r_ask(fd, "MULTI", "+OK|"));
    T(r_ask(fd, "SET a \"x\\n\"", "+QUEUED|"));
    T(r_ask(fd, "EXEC", "*1|+OK|"));
    const char *all = r_until(other, "\"EXEC\"");
    const char *auth = strstr(all, "\"AUTH\" \"(redacted)\" \"(redacted)\""), *multi = strstr(all, "\"MULTI\"");
    const char *set = strstr(all, "\"SET\" \"a\" \"x\\n\""), *exec = strstr(all, "\"EXEC\"");
    T(auth && multi && set && exec && auth < multi && multi < set && set < exec);
    T(strstr(all, "secret-word") == NULL);
    T(r_ask(other, "QUIT", "+OK|"));
    T(r_closed(other));
    close(other);
    other = r_connect();
    T(r_ask(other, "SHUTDOWN NOSAVE", ""));
    T(r_closed(other));
    T(__atomic_load_n(&r.shutdowns, __ATOMIC_SEQ_CST) == 1);
    close(other);
}

/* Rows that answer before a row's function runs, or that only containers have. */
static bool never_runs(const struct resp_row *row) { return row->run == cmd_container; }

static void every_row_has_a_test(void)
{
    note_calls();
    for (size_t i = 0; i < resp_rows_n(); i++) {
        T_ROW("%s", resp_row_at(i)->name);
        T(calls[i] > 0 || never_runs(resp_row_at(i)));
    }
    T_ROW("%s", "");
}

int main(void)
{
    r_start(1, false, "");
    fd = r_connect();
    T_RUN(strings);
    T_RUN(keys);
    T_RUN(hashes);
    T_RUN(transactions);
    T_RUN(connection_and_server);
    T_RUN(statistics_begin_again);
    T_RUN(slow_log_and_latency);
    T_RUN(subscriptions);
    T_RUN(monitor_and_farewell);
    T_RUN(every_row_has_a_test);
    close(fd);
    r_stop();
    return t_done();
}
