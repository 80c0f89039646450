/*
 * test_ldap.c - the step ldap against a scripted directory: what it is asked, what its answers mean, and everything
 * that a broken one can do. A real one is in tests/box/test_ldap.py.
 */
#include "pwait.h"

#include "wire/ldap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum mode { GOOD, WRONG, UNDECIDED, NO_ENTRY, OTHER_GROUP, SILENT, GARBAGE, HUGE, CUT, NOTICE, OTHER_ID, CLOSES, TWO_ENTRIES, CLOSED_AT_ONCE };
static struct {
    int fd, port, mode, conns, binds, searches, empty, stop;
    char dn[600];
    pthread_t thread;
} dir;

static int get(int *n)
{
    return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

static void add(int *n)
{
    __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
}

static void put(int fd, const void *q, size_t n)
{
    (void)!send(fd, q, n, MSG_NOSIGNAL);
}

static void put_result(int fd, int32_t id, int op, int code)
{
    char text[] = {0x30, 0x0f, 0x02, 0x04, 0, 0, 0, (char)id, (char)op, 7, 0x0a, 1, (char)code, 4, 0, 4, 0};
    put(fd, text, sizeof text);
}

static void put_entry(int fd, int32_t id, const char *group)
{
    char text[200];
    size_t n = strlen(group), at = 0;
    const char attr[] = "memberOf";
    size_t values = 2 + n, one = 2 + 8 + 2 + values, list = 2 + one, body = 2 + 4 + 2 + list;
    const int head[] = {0x30, (int)(6 + 2 + body), 2, 4, 0, 0, 0, id, 0x64, (int)body, 4, 4, 'c', 'n', '=', 'a', 0x30, (int)list, 0x30, (int)one, 4, 8};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        text[at++] = (char)head[i];
    memcpy(text + at, attr, 8);
    at += 8;
    const int tail[] = {0x31, (int)values, 4, (int)n};
    for (size_t i = 0; i < ARRAY_LEN(tail); i++)
        text[at++] = (char)tail[i];
    memcpy(text + at, group, n);
    put(fd, text, at + n);
}

static bool odd(int fd, int32_t id, int mode)
{
    static const char huge[] = "\x30\x84\x7f\x00\x00\x00\x02\x01\x01", notice[] = "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00";
    if (mode == GARBAGE)
        put(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    else if (mode == HUGE)
        put(fd, huge, sizeof huge - 1);
    else if (mode == NOTICE)
        put(fd, notice, sizeof notice - 1);
    else if (mode == OTHER_ID)
        put_result(fd, id + 1, 0x61, 0);
    else if (mode == CUT)
        put(fd, "\x30\x0c\x02\x01", 4);
    return mode == GARBAGE || mode == HUGE || mode == NOTICE || mode == OTHER_ID || mode == CUT || mode == SILENT;
}

/* False: the connection ends. */
static bool serve_one(int fd, const struct ldap_msg *m)
{
    int mode = get(&dir.mode);
    if (m->op == LDAP_BIND_REQUEST) {
        struct slice b = m->body; /* version, name, password */
        size_t n = (unsigned char)b.p[4] < 0x80 ? (unsigned char)b.p[4] : 0;
        add(&dir.binds);
        snprintf(dir.dn, sizeof dir.dn, "%.*s", (int)n, b.p + 5);
        if (b.p[5 + n] == (char)0x80 && b.p[6 + n] == 0)
            add(&dir.empty);
        if (odd(fd, m->id, mode))
            return mode == SILENT;
        put_result(fd, m->id, 0x61, mode == WRONG ? 49 : mode == UNDECIDED ? 51 : 0);
        return true;
    }
    add(&dir.searches);
    if (mode != NO_ENTRY)
        put_entry(fd, m->id, mode == OTHER_GROUP ? "cn=others" : "CN=Staff");
    if (mode == TWO_ENTRIES)
        put_entry(fd, m->id, "cn=staff");
    put_result(fd, m->id, 0x65, mode == NO_ENTRY ? 32 : 0);
    return mode != CLOSES;
}

static void *serve_conn(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char in[8192];
    size_t n = 0;
    ssize_t got;
    while (!get(&dir.stop) && (got = recv(fd, in + n, sizeof in - n, 0)) > 0) {
        struct ldap_msg m;
        n += (size_t)got;
        bool more = true;
        while (more && ldap_read(slice_of(in, n), sizeof in, &m) == RC_OK) {
            more = m.op != LDAP_UNBIND_REQUEST && serve_one(fd, &m);
            memmove(in, in + m.bytes, n - m.bytes);
            n -= m.bytes;
        }
        if (!more)
            break;
    }
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(dir.fd, NULL, NULL)) >= 0 && !get(&dir.stop);) {
        pthread_t t;
        add(&dir.conns);
        if (get(&dir.mode) == CLOSED_AT_ONCE) {
            close(fd);
            continue;
        }
        MUST(pthread_create(&t, NULL, serve_conn, (void *)(intptr_t)fd) == 0);
        pthread_detach(t);
    }
    return NULL;
}

static void dir_up(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    dir.fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(dir.fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(dir.fd, 64) == 0);
    MUST(getsockname(dir.fd, (struct sockaddr *)&sa, &n) == 0);
    dir.port = ntohs(sa.sin_port);
    MUST(pthread_create(&dir.thread, NULL, serve, NULL) == 0);
}

static void dir_down(void)
{
    __atomic_store_n(&dir.stop, 1, __ATOMIC_SEQ_CST);
    shutdown(dir.fd, SHUT_RDWR);
    pthread_join(dir.thread, NULL);
    close(dir.fd);
}

static void mode(enum mode m)
{
    __atomic_store_n(&dir.mode, (int)m, __ATOMIC_SEQ_CST);
}

static const char *policy(const char *fields)
{
    return arena_fmt(&p.arena,
                     "apiVersion: v1\nkind: Secret\nmetadata: {name: reader}\nstringData: {username: cn=reader, password: r}\n---\n"
                     "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec: {config: {glooAuth: {configs: ["
                     "{ldap: {address: '127.0.0.1:%d', userDnTemplate: 'uid=%%s,dc=x', userHeader: x-user, %s}}]}}}\n",
                     dir.port, fields).p;
}

static const char *basic(const char *user, const char *password)
{
    struct slice plain = arena_fmt(&p.arena, "%s:%s", user, password);
    char *b64 = arena_zalloc(&p.arena, B64_LEN(plain.n) + 1);
    b64_encode(b64, plain.p, plain.n);
    return arena_fmt(&p.arena, "Authorization: Basic %s", b64).p;
}

static struct pw_call ask(const char *user, const char *password)
{
    return pw_ask("/", P_HEADERS(basic(user, password), "x-user: eve"));
}

#define GROUPS "allowedGroups: ['cn=staff']"

static void what_answers_mean(void)
{
    static const struct {
        enum mode mode;
        int status;
        const char *reason;
    } rows[] = {
        {GOOD, 200, "ok"}, {WRONG, 401, "credentials_wrong"}, {UNDECIDED, 403, "ldap_trouble"}, {NO_ENTRY, 403, "group_missing"},
        {OTHER_GROUP, 403, "group_missing"}, {GARBAGE, 403, "ldap_trouble"}, {HUGE, 403, "ldap_trouble"}, {CUT, 403, "ldap_trouble"},
        {NOTICE, 403, "ldap_trouble"}, {OTHER_ID, 403, "ldap_trouble"}, {TWO_ENTRIES, 403, "ldap_trouble"}, {CLOSED_AT_ONCE, 403, "ldap_trouble"},
        {GOOD, 200, "ok"},
    };
    pw_open(0, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        mode(rows[i].mode);
        pw_use(policy(GROUPS)); /* with new connections */
        struct pw_call c = ask("ann", "pw");
        T_ROW("%zu mode %d", i, rows[i].mode);
        T_INT(c.status, rows[i].status);
        T_TEXT(slice_str(c.reason), rows[i].reason);
        T(c.waited && c.allowed == (rows[i].status == 200));
        T_TEXT(slice_str(c.challenge), rows[i].status == 401 ? "Basic realm=\"\"" : "");
        T_TEXT(slice_str(c.user), c.allowed ? "ann" : "");
        T_TEXT(slice_str(c.x_user), c.allowed ? "ann" : "");
        T(c.auth_removed == c.allowed);
    }
    pw_close();
}

static void names_are_values(void)
{
    mode(GOOD);
    pw_open(0, 0);
    pw_use(policy("disableGroupChecking: true"));
    int searches = get(&dir.searches);
    T(ask("Ann", "pw").allowed);
    T_TEXT(slice_str(dir.dn), "uid=ann,dc=x");
    T_INT(get(&dir.searches), searches);
    T(ask("x,ou=admin+a=b", "pw").allowed);
    T_TEXT(slice_str(dir.dn), "uid=x\\2cou\\3dadmin\\2ba\\3db,dc=x");
    /* nothing that a directory would take for an anonymous bind, or fold in its own way, gets there */
    int binds = get(&dir.binds);
    static const char *const users[] = {"", " ", "j\xc3\xb6rg", "ann\xc2\xa0"};
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        T(!ask(users[i], "pw").allowed);
        T_TEXT(slice_str(ask(users[i], "pw").reason), "credentials_wrong");
    }
    struct pw_call c = ask("ann", "");
    T(!c.allowed && c.status == 401 && !c.waited);
    T_INT(get(&dir.binds), binds);
    T_INT(get(&dir.empty), 0);
    pw_close();
}

static void connections_are_kept_and_renewed(void)
{
    mode(GOOD);
    pw_open(0, 0);
    pw_use(policy(GROUPS ", pool: {maxSize: 2, initialSize: 1}"));
    int conns = get(&dir.conns);
    for (int i = 0; i < 5; i++)
        T(ask("ann", "pw").allowed);
    T_INT(get(&dir.conns) - conns, 1);
    static struct pw_call many[40];
    memset(many, 0, sizeof many);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        pw_send(&many[i], "/", P_HEADERS(basic(i % 2 ? "ann" : "bob", "pw")));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        pw_join(&many[i]);
        T(many[i].allowed);
        T_TEXT(slice_str(many[i].user), i % 2 ? "ann" : "bob");
    }
    T_INT(get(&dir.conns) - conns, 2);
    mode(CLOSES); /* after each answer: the next question finds its connection ended, or ending */
    for (int i = 0; i < 10; i++)
        T(ask("ann", "pw").allowed);
    mode(GOOD);
    T(ask("ann", "pw").allowed);
    pw_close();
}

static void time_is_bounded(void)
{
    static struct pw_call many[300];
    size_t trouble = 0, busy = 0;
    mode(SILENT);
    pw_open(0, 0);
    pw_use(policy(GROUPS ", requestTimeout: 200ms, pool: {maxSize: 1}"));
    memset(many, 0, sizeof many);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        pw_send(&many[i], "/", P_HEADERS(basic("ann", "pw")));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        pw_join(&many[i]);
        T(!many[i].allowed && many[i].status == 403);
        trouble += !strcmp(many[i].reason, "ldap_trouble");
        busy += !strcmp(many[i].reason, "ldap_busy");
    }
    T(trouble >= 1 && busy >= 43 && trouble + busy == ARRAY_LEN(many)); /* 1 asks, 256 wait, the others do not even that */
    mode(GOOD);
    T(ask("ann", "pw").allowed);
    pw_close();
}

static void service_account(void)
{
    mode(GOOD);
    pw_open(0, 0);
    pw_use(policy(GROUPS ", groupLookupSettings: {checkGroupsWithServiceAccount: true, credentialsSecretRef: {name: reader}}"));
    T(ask("ann", "pw").allowed);
    T_TEXT(slice_str(dir.dn), "cn=reader");
    pw_close();
}

static void ends_while_it_asks(void)
{
    static struct pw_call c[3];
    memset(c, 0, sizeof c);
    mode(SILENT);
    pw_open(0, 0);
    pw_use(policy(GROUPS));
    int binds = get(&dir.binds);
    pw_send(&c[0], "/", P_HEADERS(basic("ann", "pw")));
    for (int i = 0; i < 60000 && get(&dir.binds) == binds; i++)
        usleep(1000);
    pw_unload();
    pw_join(&c[0]);
    T_TEXT(slice_str(c[0].reason), "stopping");
    pw_use(policy(GROUPS));
    pw_send(&c[1], "/", P_HEADERS(basic("ann", "pw")));
    binds = get(&dir.binds);
    c[2].cannot_wait = true;
    pw_send(&c[2], "/", P_HEADERS(basic("ann", "pw")));
    pw_join(&c[2]);
    T_TEXT(slice_str(c[2].reason), "cannot_wait");
    pw_close();
    T(get(&c[1].done) && !c[1].allowed);
}

static void nobody_there(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0), port = dir.port; /* bound, not listening */
    MUST(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
    pw_open(0, 0);
    dir.port = ntohs(sa.sin_port);
    pw_use(policy(GROUPS));
    struct pw_call c = ask("ann", "pw");
    T(!c.allowed && c.status == 403);
    T_TEXT(slice_str(c.reason), "ldap_trouble");
    dir.port = port;
    close(fd);
    pw_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec: {config: {glooAuth: {configs: ["
           "{ldap: {address: 'ldaps://directory.example.com', userDnTemplate: 'uid=%s', disableGroupChecking: true}}]}}}\n");
    c = ask("ann", "pw"); /* no names without a fetcher */
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "ldap_trouble");
    pw_close();
    T(p_use(policy(GROUPS)));
    struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(basic("ann", "pw")));
    T_TEXT(v.reason, "no_outbound");
}

static void files_with_faults(void)
{
    static const struct {
        const char *fields, *text;
    } rows[] = {
        {"userDnTemplate: 'uid=%s', " GROUPS, "required field"},
        {"address: 'h:389', " GROUPS, "required field"},
        {"address: 'h:389', userDnTemplate: 'uid=x', " GROUPS, "one %s"},
        {"address: 'h:389', userDnTemplate: 'uid=%s,cn=%s', " GROUPS, "one %s"},
        {"address: 'h:0', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: 'h:99999', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: 'h:', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: '', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: 'http://h', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: 'ldap://h/dc=x', userDnTemplate: 'uid=%s', " GROUPS, "host:port"},
        {"address: 'h:389', userDnTemplate: 'uid=%s'", "allowedGroups"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', searchFilter: uid=*, " GROUPS, "no LDAP filter"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', requestTimeout: soon, " GROUPS, "requestTimeout"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', requestTimeout: 2m, " GROUPS, "requestTimeout"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', groupLookupSettings: {checkGroupsWithServiceAccount: true}, " GROUPS, "needs credentialsSecretRef"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', groupLookupSettings: {checkGroupsWithServiceAccount: true, credentialsSecretRef: {name: no}}, " GROUPS, "no Secret"},
        {"address: 'h:389', userDnTemplate: 'uid=%s', pool: {maxSize: 0}, " GROUPS, "from 1"},
        {"address: 'ldaps://h', startTls: true, userDnTemplate: 'uid=%s', " GROUPS, "startTls"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", arena_fmt(&p.arena,
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec: {config: {glooAuth: {configs: [{ldap: {%s}}]}}}\n",
            rows[i].fields).p, NULL};
        T_ROW("%s", rows[i].fields);
        struct policy_set *s = p_load_files(files);
        T(s == NULL);
        policy_set_drop(s);
        T(p_fault("", rows[i].text) != NULL);
    }
    static const char *const good[] = {"h:389", "ldap://h", "ldaps://h", "LDAPS://h:637/", "[::1]:389", "ldap://[::1]", "ldap://127.0.0.1:389"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        T_ROW("%s", good[i]);
        T(p_use(arena_fmt(&p.arena, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec: {config: {glooAuth: {configs: [{ldap: {address: '%s', "
                          "userDnTemplate: 'uid=%%s', disableGroupChecking: true}}]}}}\n", good[i]).p));
    }
}

int main(void)
{
    p_init();
    dir_up();
    T_RUN(what_answers_mean);
    T_RUN(names_are_values);
    T_RUN(connections_are_kept_and_renewed);
    T_RUN(time_is_bounded);
    T_RUN(service_account);
    T_RUN(ends_while_it_asks);
    T_RUN(nobody_there);
    T_RUN(files_with_faults);
    p_done();
    dir_down();
    return t_done();
}
