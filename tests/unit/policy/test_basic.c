/*
 * test_basic.c - basicAuth: Gloo's documented vectors, one answer for every refusal, one principal for every
 * spelling, slow hashes off the reactor, remembered and joined, and what a policy file may get wrong.
 */
#include "pwait.h"

#define POLICY(step) \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec: {config: {glooAuth: {configs: [" step "]}}}\n"
#define APR "{basicAuth: {realm: gloo, apr: {users: {user: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}, Alice: {salt: 0adzfifo, hashedPassword: 14o4fMw/Pm2L34SvyyA2r.}}}}}"
#define SHA "{basicAuth: {encryption: {sha1: {}}, userList: {users: {user: {salt: TYiryv0/, hashedPassword: 010eb058a59f4ac5ba05639b0263cf91b4345fd6}}}}}"
#define LISTED "{basicAuth: {realm: 'a \"b\" \\c', encryption: {apr: {}}, user_list: {users: {user: {salt: TYiryv0/, hashed_password: 8BvzLUO9IfGPGGsPnAgSu1}}}, userHeader: x-user}}"
/* bcrypt cost 6: "correct horse battery staple"; cost 4: "password" */
#define SLOW "{basicAuth: {realm: slow, userHeader: x-user, userList: {users: {" \
    "anna: {hashedPassword: '$2y$06$V/WphctzbscYHwqq3rJW/eDlZCH9lE.g.OZ54CBuJehTCW2PmQOUO'}," \
    "bert: {hashedPassword: '$2b$04$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2'}}}}}"

static const char *basic(const char *user, const char *password)
{
    struct slice plain = arena_fmt(&p.arena, "%s:%s", user, password);
    char *b64 = arena_zalloc(&p.arena, B64_LEN(plain.n) + 1);
    b64_encode(b64, plain.p, plain.n);
    return arena_fmt(&p.arena, "Authorization: Basic %s", b64).p;
}

static struct policy_verdict ask(const char *user, const char *password)
{
    return p_ask("GET", "h", "/", P_HEADERS(basic(user, password), "X-User: eve"));
}

static void gloos_vectors(void)
{
    static const char *const policies[] = {POLICY(APR), POLICY(SHA), POLICY(LISTED)};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        T_ROW("policy %zu", i);
        T(p_use(policies[i]));
        struct policy_verdict v = ask("user", "password");
        T(v.allowed);
        T_TEXT(v.user, "user");
        T(p_removed(&v, "authorization"));
        v = ask("user", "passwore");
        T(!v.allowed);
        T_INT(v.status, 401);
        T_TEXT(v.reason, "credentials_wrong");
        T(!ask("user", "").allowed);
        T(!ask("", "password").allowed);
    }
    T(p_use(POLICY(APR)));
    T(ask("alice", "password").allowed);
}

/* What a client sees does not tell a wrong name from a wrong password. */
static void refusals_are_alike(void)
{
    T(p_use(POLICY(APR)));
    struct policy_verdict name = ask("nobody", "password");
    T_TEXT(name.reason, "credentials_wrong");
    T_TEXT(name.words, "name or password is wrong");
    T_TEXT(p_client(&name, "www-authenticate"), "Basic realm=\"gloo\"");
    T_INT(name.body.n, 0);
    T_INT(name.client_n, 1);
    struct policy_verdict word = ask("user", "nothing");
    T_TEXT(word.reason, "credentials_wrong");
    T_TEXT(word.words, "name or password is wrong");
    T_TEXT(p_client(&word, "www-authenticate"), "Basic realm=\"gloo\"");
    T_INT(word.body.n, 0);
    T_INT(word.status, 401);

    static const struct {
        const char *header, *reason;
    } rows[] = {
        {"x: y", "credentials_missing"},
        {"Authorization: Bearer abc", "credentials_missing"},
        {"Authorization:", "credentials_missing"},
        {"Authorization: Basic", "credentials_malformed"},
        {"Authorization: Basic ????", "credentials_malformed"},
        {"Authorization: Basic dXNlcjpwYXNzd29yZA==, Basic dXNlcjpwYXNzd29yZA==", "credentials_malformed"},
        {"Authorization: Basic dXNlcg==", "credentials_malformed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(rows[i].header));
        T_ROW("%s", rows[i].header);
        T_INT(v.status, 401);
        T_TEXT(v.reason, rows[i].reason);
        T_TEXT(p_client(&v, "www-authenticate"), "Basic realm=\"gloo\"");
        T_INT(v.body.n, 0);
    }
    struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(basic("user", "password"), basic("user", "password")));
    T_TEXT(v.reason, "credentials_duplicate");
    T_INT(v.status, 401);
}

static void realm_is_quoted(void)
{
    T(p_use(POLICY(LISTED)));
    struct policy_verdict v = ask("user", "no");
    T_TEXT(p_client(&v, "www-authenticate"), "Basic realm=\"a \\\"b\\\" \\\\c\"");
    T(p_use(POLICY(SHA)));
    v = ask("user", "no");
    T_TEXT(p_client(&v, "www-authenticate"), "Basic realm=\"\"");
}

/* Attack 44: every spelling of a name is one principal, the name of the policy. */
static void one_principal(void)
{
    static const char *const names[] = {"Alice", "alice", "ALICE", " alice", "alice ", "aLiCe  "};
    T(p_use(POLICY(APR)));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct policy_verdict v = ask(names[i], "password");
        T_ROW("%s", names[i]);
        T(v.allowed);
        T_TEXT(v.user, "Alice");
    }
    T(!ask("ali ce", "password").allowed);
    T(!ask("alice\xc2\xa0", "password").allowed);
}

static void identity(void)
{
    T(p_use(POLICY(LISTED ", {name: l, luaAuth: {headers: [x-l], inline: 'return function(r) return {allow = true, headers = {[\"x-l\"] = r.state.username}} end'}}")));
    struct policy_verdict v = ask("USER", "password");
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-user"), "user");
    T_TEXT(p_upstream(&v, "x-l"), "user");
    v = p_ask("GET", "h", "/", P_HEADERS(basic("user", "password"), "X_User: eve"));
    T(v.allowed && p_removed(&v, "X_User"));
    /* the header is a credential, unless the policy says that the upstream wants it */
    T(p_removed(&v, "authorization"));
    T(p_use(POLICY("{basicAuth: {keepAuthorization: true, userList: {users: {user: {hashedPassword: '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}}}}}")));
    v = ask("user", "password");
    T(v.allowed && !p_removed(&v, "authorization"));
}

static void files_with_faults(void)
{
    static const struct {
        const char *step, *text;
    } rows[] = {
        {"{basicAuth: {}}", "expected apr.users"},
        {"{basicAuth: {realm: r}}", "expected apr.users"},
        {"{basicAuth: {apr: {users: {}}, encryption: {apr: {}}}}", "apr stands alone"},
        {"{basicAuth: {apr: {users: {}}, userList: {users: {}}}}", "apr stands alone"},
        {"{basicAuth: {encryption: {}, userList: {users: {}}}}", "one of apr"},
        {"{basicAuth: {encryption: {apr: {}, sha1: {}}, userList: {users: {}}}}", "one of apr"},
        {"{basicAuth: {apr: {users: {u: {salt: x}}}}}", "required field"},
        {"{basicAuth: {apr: {users: {u: {salt: x, hashedPassword: short}}}}}", "22 characters"},
        {"{basicAuth: {userList: {users: {u: {salt: x, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}}", "encryption must"},
        {"{basicAuth: {apr: {users: {'a:b': {salt: x, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}}", "no colon"},
        {"{basicAuth: {apr: {users: {' ': {salt: x, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}}", "a name has"},
        {"{basicAuth: {apr: {users: {Bob: {salt: x, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}, bob: {salt: x, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}}", "are one name"},
        {"{basicAuth: {realm: \"a\\nb\", apr: {users: {}}}}", "realm"},
        {"{basicAuth: {userHeader: Host, apr: {users: {}}}}", "cannot be set"},
        {"{basicAuth: {userHeader: 'a b', apr: {users: {}}}}", "cannot be set"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", arena_fmt(&p.arena, POLICY("%s"), rows[i].step).p, NULL};
        T_ROW("%s", rows[i].step);
        struct policy_set *s = p_load_files(files);
        T(s == NULL);
        policy_set_drop(s);
        T(p_fault("", rows[i].text) != NULL);
        for (size_t k = 0; k < p.faults.n; k++) /* no hash in a message */
            T(slice_find(p.faults.rows[k].text, S("8BvzLUO9")) == SIZE_MAX);
    }
    T(p_use(POLICY("{basicAuth: {apr: {users: {}}}}")));
    T(p_fault("", "no users") != NULL);
    T_TEXT(ask("a", "b").reason, "credentials_wrong");
}

/* The command line has no pool: it checks at once. */
static void slow_hashes_without_a_pool(void)
{
    T(p_use(POLICY(SLOW)));
    T(ask("anna", "correct horse battery staple").allowed);
    T(ask("anna", "correct horse battery staple").allowed);
    T(!ask("anna", "password").allowed);
    T(!ask("bert", "correct horse battery staple").allowed);
    T(ask("bert", "password").allowed);
    T(p_use(arena_fmt(&p.arena, POLICY("{basicAuth: {userList: {users: {u: {hashedPassword: '%.*s'}}}}}"),
                      SFMT(password_hash(&p.arena, S("correct horse")))).p));
    T(ask("u", "correct horse").allowed);
    T(!ask("u", "correct house").allowed);
}

static void slow_hashes_wait_and_are_remembered(void)
{
    pw_open(2, 16);
    pw_use(POLICY(SLOW));
    struct pw_call c = pw_ask("/", P_HEADERS(basic("anna", "correct horse battery staple"), "x-user: eve"));
    T(c.waited && c.allowed);
    T_TEXT(slice_str(c.user), "anna");
    T_TEXT(slice_str(c.x_user), "anna");
    T(c.auth_removed);
    c = pw_ask("/", P_HEADERS(basic("Anna ", "correct horse battery staple")));
    T(!c.waited && c.allowed);
    for (int i = 0; i < 2; i++) { /* what was wrong is checked again */
        c = pw_ask("/", P_HEADERS(basic("anna", "wrong")));
        T(c.waited && !c.allowed && c.status == 401 && c.body_n == 0);
        T_TEXT(slice_str(c.reason), "credentials_wrong");
        T_TEXT(slice_str(c.challenge), "Basic realm=\"slow\"");
    }
    /* and so is a name that nobody has (attack 51) */
    c = pw_ask("/", P_HEADERS(basic("nobody", "wrong")));
    T(c.waited && !c.allowed && c.status == 401);
    T_TEXT(slice_str(c.reason), "credentials_wrong");
    T_TEXT(slice_str(c.detail), "name or password is wrong");
    /* also with the password of whoever stands in for it */
    T(!pw_ask("/", P_HEADERS(basic("nobody", "password"))).allowed);
    T(!pw_ask("/", P_HEADERS(basic("nobody", "correct horse battery staple"))).allowed);
    /* not for ever */
    p.now_ms += 11 * 60 * 1000;
    c = pw_ask("/", P_HEADERS(basic("anna", "correct horse battery staple")));
    T(c.waited && c.allowed);
    p.now_ms -= 20 * 60 * 1000; /* nor after the clock went back */
    c = pw_ask("/", P_HEADERS(basic("anna", "correct horse battery staple")));
    T(c.allowed);
    p.now_ms = P_NOW;
    pw_close();
}

/* The table holds for hash and password: another hash for the name is another question. */
/* What waited and then would have been refused passes in the shadow, with nothing of it left; and limits of
 * throttle hold over a wait. */
static void in_the_shadow_and_throttled(void)
{
    struct throttle_opts o = {.account_failures = 2, .window_ms = 3600000};
    pw_open(2, 16);
    pw_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec: {config: {shadow: true, glooAuth: {configs: [" SLOW "]}}}\n"
           "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec: {hosts: ['*'], http: [{name: all}]}\n");
    struct pw_call c = pw_ask("/", P_HEADERS(basic("anna", "wrong"), "x-user: eve"));
    T(c.waited && c.allowed && c.status == 200);
    T_TEXT(slice_str(c.user), "");
    T_TEXT(slice_str(c.x_user), "");
    T_TEXT(slice_str(c.challenge), "");
    pw_unload();
    p.throttle = throttle_open(&o);
    pw_use(POLICY(SLOW));
    for (int i = 0; i < 2; i++)
        T_TEXT(slice_str(pw_ask("/", P_HEADERS(basic("anna", "wrong"))).reason), "credentials_wrong");
    c = pw_ask("/", P_HEADERS(basic("anna", "correct horse battery staple")));
    T(!c.waited && c.status == 429);
    T_TEXT(slice_str(c.reason), "account_throttled");
    pw_close();
    throttle_close(p.throttle);
    p.throttle = NULL;
}

static void a_new_password_counts_at_once(void)
{
    pw_open(1, 16);
    pw_use(POLICY(SLOW));
    T(pw_ask("/", P_HEADERS(basic("bert", "password"))).allowed);
    T(!pw_ask("/", P_HEADERS(basic("anna", "password"))).allowed);
    pw_use(POLICY("{basicAuth: {userList: {users: {bert: {hashedPassword: '$2y$06$V/WphctzbscYHwqq3rJW/eDlZCH9lE.g.OZ54CBuJehTCW2PmQOUO'}}}}}"));
    T(!pw_ask("/", P_HEADERS(basic("bert", "password"))).allowed);
    pw_close();
}

static void one_check_for_many_requests(void)
{
    static struct pw_call same[6], other[2];
    struct pool_job held;
    const char *right = basic("anna", "correct horse battery staple");

    memset(same, 0, sizeof same);
    memset(other, 0, sizeof other);
    pw_open(1, 1);
    pw_use(POLICY(SLOW));
    pw_gate_shut(&held);
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        pw_send(&same[i], "/", P_HEADERS(right));
    pw_send(&other[0], "/", P_HEADERS(basic("anna", "wrong"))); /* the queue has room for one */
    pw_join(&other[0]);
    T(other[0].waited && !other[0].allowed && other[0].status == 403);
    T_TEXT(slice_str(other[0].reason), "verify_busy");
    T(!__atomic_load_n(&same[0].done, __ATOMIC_SEQ_CST));
    pw_gate_open();
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        pw_join(&same[i]);
        T(same[i].waited && same[i].allowed);
    }
    other[1].cannot_wait = true;
    pw_send(&other[1], "/", P_HEADERS(basic("bert", "wrong")));
    pw_join(&other[1]);
    T(!other[1].allowed && other[1].status == 503);
    T_TEXT(slice_str(other[1].reason), "cannot_wait");
    pw_close();
}

static void the_end_comes_while_a_check_is_under_way(void)
{
    static struct pw_call c[2];
    struct pool_job held;

    memset(c, 0, sizeof c);
    pw_open(1, 4);
    pw_use(POLICY(SLOW));
    pw_gate_shut(&held);
    pw_send(&c[0], "/", P_HEADERS(basic("anna", "correct horse battery staple")));
    pw_unload(); /* the context goes first */
    pw_join(&c[0]);
    T(!c[0].allowed && c[0].status == 503);
    T_TEXT(slice_str(c[0].reason), "stopping");
    pw_gate_open();
    pw_use(POLICY(SLOW));
    pw_gate_shut(&held);
    pw_send(&c[1], "/", P_HEADERS(basic("anna", "correct horse battery staple")));
    pw_gate_open();
    pw_close(); /* the pool goes first, as in serve.c */
    T(__atomic_load_n(&c[1].done, __ATOMIC_SEQ_CST));
}

int main(void)
{
    p_init();
    T_RUN(gloos_vectors);
    T_RUN(refusals_are_alike);
    T_RUN(realm_is_quoted);
    T_RUN(one_principal);
    T_RUN(identity);
    T_RUN(files_with_faults);
    T_RUN(slow_hashes_without_a_pool);
    T_RUN(slow_hashes_wait_and_are_remembered);
    T_RUN(in_the_shadow_and_throttled);
    T_RUN(a_new_password_counts_at_once);
    T_RUN(one_check_for_many_requests);
    T_RUN(the_end_comes_while_a_check_is_under_way);
    p_done();
    return t_done();
}
