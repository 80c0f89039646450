/*
 * settings_table.c - the rows of all settings. Adding one: a word in enum setting_id, a row here, a
 * reader in serve.c. The manual's page docs/configuration.md is printed from these rows.
 *
 * Constant data. Tested by tests/unit/main/test_settings.c: every row's default is valid.
 */
#include "main/settings.h"

#define KIB 1024
#define MIB (1024 * 1024)
#define MS 1
#define SEC 1000
#define DAY (86400 * (int64_t)1000)
#define PATH 4000

static const struct setting_row settings_rows[SET_COUNT] = {
    {SET_DATA_DIR, "data", "--data", KIND_PATH, "postern-data", 1, PATH, NULL,
     "Directory of everything that is kept: store, log, certificates, secret key. Made with mode 0700."},
    {SET_POLICIES_DIR, "policies.dir", "--policies", KIND_PATH, "", 0, PATH, NULL,
     "Directory of policy YAML and OpenAPI files, read recursively. Empty: the folder policies in the data directory."},
    {SET_POLICIES_STRICT, "policies.strict", NULL, KIND_BOOL, "false", 0, 0, NULL,
     "Treat kinds and fields that Postern does not serve as errors instead of notices."},
    {SET_LUA_DIR, "lua.dir", "--lua", KIND_PATH, "", 0, PATH, NULL,
     "Directory of Lua policies that `script:` names. Looked up before the built-in ones."},
    {SET_LUA_INSTRUCTIONS, "lua.instructions", NULL, KIND_INT, "1000000", 1000, 1000000000, NULL,
     "Instructions that one call of a Lua policy may use. Beyond it the request is denied."},
    {SET_LUA_MEMORY, "lua.memory", NULL, KIND_BYTES, "4mb", 64 * KIB, (int64_t)1024 * MIB, NULL,
     "Memory that one call of a Lua policy may use."},
    {SET_THREADS, "threads", "--threads", KIND_INT, "0", 0, 256, NULL,
     "Reactor threads for the check and redis ports. 0: one per processor but one, at least one; the log, SQLite and the portal have the rest."},
    {SET_PASSWORDS_THREADS, "passwords.threads", NULL, KIND_INT, "2", 1, 64, NULL,
     "Threads that check slow password hashes (bcrypt, argon2id) for basicAuth."},
    {SET_PASSWORDS_QUEUE, "passwords.queue", NULL, KIND_INT, "128", 1, 100000, NULL,
     "Password checks that may wait for one of these threads. Beyond it a request is denied with verify_busy."},
    {SET_THROTTLE_ADDRESS, "throttle.address_failures", NULL, KIND_INT, "100", 0, 100000, NULL,
     "Wrong credentials (API keys, passwords, signatures) that one client address, of IPv6 one /64, may send within throttle.window. "
     "Beyond it 429 `address_throttled`, until one more is allowed. 0: any number."},
    {SET_THROTTLE_ACCOUNT, "throttle.account_failures", NULL, KIND_INT, "10", 0, 100000, NULL,
     "The same for one account from one address: `account_throttled`. After ten times as many from all addresses together, each "
     "further address has one. 0: any number."},
    {SET_THROTTLE_WINDOW, "throttle.window", NULL, KIND_DURATION, "5m", SEC, DAY, NULL,
     "The time that these two are counted over."},
    {SET_THROTTLE_EXEMPT, "throttle.exempt", NULL, KIND_RANGES, "", 0, 0, NULL,
     "Client addresses and CIDR ranges that never wait, such as a proxy that hides its clients."},
    {SET_SECRET_KEY, "secret_key", "--secret-key", KIND_SECRET, "", 0, 0, NULL,
     "Key of the HMAC that API keys are stored under. Empty: made at first start and kept in secret.key."},
    {SET_LOG_LEVEL, "log.level", "--log-level", KIND_CHOICE, "info", 0, 0, "debug|info|warn|error|silent",
     "Least level that is logged to standard error."},
    {SET_LOG_JSON, "log.json", NULL, KIND_BOOL, "false", 0, 0, NULL, "One JSON object per log line."},
    {SET_STORE_ENGINE, "store.engine", "--store", KIND_CHOICE, "sqlite", 0, 0, "memory|sqlite",
     "Where the store lives: memory (gone at the end) or sqlite (in memory, kept in the data directory)."},
    {SET_STORE_DURABILITY, "store.durability", "--durability", KIND_CHOICE, "everysec", 0, 0,
     "always|everysec|no",
     "When a change is on disk: before its reply, within a second, or when the kernel likes."},
    {SET_STORE_MAXMEMORY, "store.maxmemory", NULL, KIND_BYTES, "0", 0, INT64_MAX, NULL,
     "Bound on the memory of the keyspace. 0: none."},
    {SET_STORE_EVICTION, "store.maxmemory_policy", NULL, KIND_CHOICE, "noeviction", 0, 0,
     "noeviction|allkeys-lru|allkeys-lfu|allkeys-random|volatile-lru|volatile-lfu|volatile-random|volatile-ttl",
     "What gives way at the bound, by Redis' names. Every allkeys policy may take API keys, too: for a store that keeps "
     "them, choose a volatile one."},
    {SET_CHECK_LISTEN, "check.listen", "--check", KIND_ADDR, "127.0.0.1:8083", 0, 0, NULL,
     "Where gateways ask: host:port, :port, unix:/path or off."},
    {SET_CHECK_SOCKET_MODE, "check.socket_mode", NULL, KIND_CHOICE, "0600", 0, 0, "0600|0660|0666",
     "Who may connect when that is a Unix socket: Postern's own user, its group (that of the folder where the folder says so, "
     "chmod g+s), everybody on this machine. Whoever may connect is believed like a gateway."},
    {SET_CHECK_TRUSTED, "check.trusted_peers", NULL, KIND_PEERS, "127.0.0.0/8,::1,unix", 0, 0, NULL,
     "Peers whose forwarded headers are believed: addresses, CIDR ranges, the word unix; with check.tls_client_ca also "
     "names in client certificates (spiffe://mesh/gateways/*, dns:gw.example.com; * and ? stand for anything). Empty: nobody."},
    {SET_CHECK_BODY_MAX, "check.body_max", NULL, KIND_BYTES, "1mb", 0, (int64_t)1024 * MIB, NULL,
     "Largest request body on the check port. Beyond it the answer is 413."},
    {SET_CHECK_HEAD_MAX, "check.header_bytes_max", NULL, KIND_BYTES, "64kb", KIB, MIB, NULL,
     "Largest request head. Beyond it the answer is 431."},
    {SET_CHECK_TARGET_MAX, "check.target_max", NULL, KIND_BYTES, "16kb", 256, MIB, NULL,
     "Longest request target. Beyond it the answer is 414."},
    {SET_CHECK_HEADERS_MAX, "check.headers_max", NULL, KIND_INT, "128", 8, 128, NULL,
     "Most request headers. Beyond it the answer is 431."},
    {SET_CHECK_STREAMS_MAX, "check.streams_max", NULL, KIND_INT, "256", 1, 100000, NULL,
     "Most gRPC calls at once on one connection. A gateway with more opens another connection or waits."},
    {SET_CHECK_CONN_MAX, "check.connections_max", NULL, KIND_INT, "10000", 1, 1000000, NULL,
     "Most open connections on the check port."},
    {SET_CHECK_IDLE, "check.idle_timeout", NULL, KIND_DURATION, "1h", SEC, 30 * DAY, NULL,
     "An idle keep-alive connection is closed after this time."},
    {SET_CHECK_HEAD_TIMEOUT, "check.head_timeout", NULL, KIND_DURATION, "10s", 100 * MS, DAY, NULL,
     "Time to send a request once its first byte has come."},
    {SET_CHECK_RATELIMIT_HEADERS, "check.ratelimit_headers", NULL, KIND_BOOL, "true", 0, 0, NULL,
     "Send RateLimit and RateLimit-Policy (IETF draft 10) with answers."},
    {SET_CHECK_X_RATELIMIT_HEADERS, "check.x_ratelimit_headers", NULL, KIND_BOOL, "false", 0, 0, NULL,
     "Send X-RateLimit-Limit, -Remaining and -Reset (seconds) with answers."},
    {SET_CHECK_EXPLAIN, "check.explain", NULL, KIND_INT, "2048", 0, 1000000, NULL,
     "Decisions that each worker keeps for `postern eval --explain ID` and the portal; about 3 KiB each. 0: none."},
    {SET_DECISIONS_FILE, "decisions.file", NULL, KIND_PATH, "", 0, PATH, NULL,
     "File that every decision of the check port is written to, one JSON object per line, as `postern eval --explain ID` tells it. Empty: none."},
    {SET_DECISIONS_MAX, "decisions.file_max", NULL, KIND_BYTES, "100mb", 64 * KIB, (int64_t)1024 * 1024 * MIB, NULL,
     "Size at which the file becomes FILE.1, in the place of the one before, and a new one is begun."},
    {SET_DECISIONS_KIND, "decisions.which", NULL, KIND_CHOICE, "all", 0, 0, "all|denied",
     "Decisions that are written."},
    {SET_CHECK_TLS_CERT, "check.tls_cert", NULL, KIND_PATH, "", 0, PATH, NULL,
     "Certificate chain (PEM) that switches TLS on for the check port."},
    {SET_CHECK_TLS_KEY, "check.tls_key", NULL, KIND_PATH, "", 0, PATH, NULL, "Its private key (PEM)."},
    {SET_CHECK_TLS_CLIENT_CA, "check.tls_client_ca", NULL, KIND_PATH, "", 0, PATH, NULL,
     "CA (PEM) that gateways' client certificates must come from. Set: a certificate is required."},
    {SET_REDIS_LISTEN, "redis.listen", "--redis", KIND_ADDR, "127.0.0.1:6379", 0, 0, NULL,
     "Where Redis clients connect: host:port, :port, unix:/path or off."},
    {SET_REDIS_SOCKET_MODE, "redis.socket_mode", NULL, KIND_CHOICE, "0600", 0, 0, "0600|0660|0666",
     "The same as check.socket_mode, for this port (Redis: unixsocketperm)."},
    {SET_REDIS_PASSWORD, "redis.password", "--redis-password", KIND_SECRET, "", 0, 0, NULL,
     "Password for AUTH. Empty: none, and only loopback and the Unix socket are served."},
    {SET_REDIS_CONN_MAX, "redis.connections_max", NULL, KIND_INT, "10000", 1, 1000000, NULL,
     "Most open connections on the redis port."},
    {SET_REDIS_IDLE, "redis.idle_timeout", NULL, KIND_DURATION, "0", 0, 365 * DAY, NULL,
     "An idle client is closed after this time. 0: never."},
    {SET_REDIS_BULK_MAX, "redis.bulk_max", NULL, KIND_BYTES, "512mb", KIB, 512 * MIB, NULL,
     "Largest argument of a command."},
    {SET_REDIS_INLINE_MAX, "redis.inline_max", NULL, KIND_BYTES, "64kb", KIB, 64 * MIB, NULL,
     "Longest inline command."},
    {SET_REDIS_ARGS_MAX, "redis.args_max", NULL, KIND_INT, "1048576", 16, 1048576, NULL,
     "Most arguments of a command."},
    {SET_REDIS_VERSION, "redis.version", NULL, KIND_TEXT, "7.2.4", 0, 0, NULL,
     "The redis_version that INFO and HELLO report; some clients insist on one."},
    {SET_REDIS_TLS_CERT, "redis.tls_cert", NULL, KIND_PATH, "", 0, PATH, NULL,
     "Certificate chain (PEM) that switches TLS on for the redis port."},
    {SET_REDIS_TLS_KEY, "redis.tls_key", NULL, KIND_PATH, "", 0, PATH, NULL, "Its private key (PEM)."},
    {SET_REDIS_TLS_CLIENT_CA, "redis.tls_client_ca", NULL, KIND_PATH, "", 0, PATH, NULL,
     "CA (PEM) that clients' certificates must come from. Set: a certificate is required."},
    {SET_PORTAL_LISTEN, "portal.listen", "--portal", KIND_ADDR, "127.0.0.1:8443", 0, 0, NULL,
     "Where browsers connect (https): host:port, :port, unix:/path or off."},
    {SET_PORTAL_NAMES, "portal.names", NULL, KIND_LIST, "localhost,127.0.0.1,::1", 0, 0, NULL,
     "Host names and addresses in the certificate that the built-in CA issues."},
    {SET_PORTAL_TLS_CERT, "portal.tls_cert", NULL, KIND_PATH, "", 0, PATH, NULL,
     "Certificate chain (PEM) instead of the built-in CA's."},
    {SET_PORTAL_TLS_KEY, "portal.tls_key", NULL, KIND_PATH, "", 0, PATH, NULL, "Its private key (PEM)."},
    {SET_PORTAL_TITLE, "portal.title", NULL, KIND_TEXT, "Postern", 0, 0, NULL,
     "Name of the portal, shown in its head and in page titles."},
    {SET_PORTAL_PUBLIC, "portal.public_catalogue", NULL, KIND_BOOL, "true", 0, 0, NULL,
     "People may read public APIs without signing in."},
    {SET_PORTAL_GATEWAY_URL, "portal.gateway_url", NULL, KIND_TEXT, "http://127.0.0.1:8080", 0, 0, NULL,
     "Where the samples send requests: the address of your gateway."},
    {SET_PORTAL_KEY_PREFIX, "portal.key_prefix", NULL, KIND_WORD, "pst", 1, 16, NULL,
     "What new API keys begin with: letters and digits, at most 16."},
    {SET_PORTAL_CONN_MAX, "portal.connections_max", NULL, KIND_INT, "10000", 1, 1000000, NULL,
     "Most open connections on the portal port."},
    {SET_PORTAL_IDLE, "portal.idle_timeout", NULL, KIND_DURATION, "5m", SEC, DAY, NULL,
     "An idle browser connection is closed after this time."},
    {SET_PORTAL_SESSION_IDLE, "portal.session_idle", NULL, KIND_DURATION, "12h", 60 * SEC, 90 * DAY, NULL,
     "A session ends when it was not used for this time."},
    {SET_PORTAL_SESSION_MAX, "portal.session_max", NULL, KIND_DURATION, "7d", 60 * SEC, 365 * DAY, NULL,
     "A session ends this long after sign-in."},
    {SET_PORTAL_BODY_MAX, "portal.body_max", NULL, KIND_BYTES, "1mb", KIB, 64 * MIB, NULL,
     "Largest request body of the portal."},
    {SET_ADMIN_LISTEN, "admin.listen", "--admin", KIND_ADDR, "127.0.0.1:9091", 0, 0, NULL,
     "Where /metrics, /healthz, /readyz and /rlconfig are served: host:port, :port, unix:/path or off."},
    {SET_OUTBOUND_CA, "outbound.ca_file", NULL, KIND_PATH, "", 0, PATH, NULL,
     "Certificates (PEM) that https to other servers trusts. Empty: the file of SSL_CERT_FILE, else the system's bundle."},
    {SET_OUTBOUND_CONNS, "outbound.connections_per_host", NULL, KIND_INT, "64", 1, 10000, NULL,
     "Most connections of a worker thread to one other server; further requests to it wait."},
};

const struct setting_row *setting_row(size_t i)
{
    return i < SET_COUNT ? &settings_rows[i] : NULL;
}
#undef KIB
#undef MIB
#undef MS
#undef SEC
#undef DAY
#undef PATH
