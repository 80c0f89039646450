/*
 * step_basic.c - basicAuth: a user name and a password, against hashes that stand in the policy.
 *
 * Gloo's two shapes: `apr.users`, or `encryption` with `userList.users`; besides, hashes that say
 * themselves what they are (bcrypt, argon2id). Names have one spelling (user_canon): the principal is the
 * name as the policy writes it, however the client did. A name that nobody has costs the check of
 * somebody's hash, always the same one for the same name, so that neither the answer nor its time tells
 * who exists. Slow hashes are checked by verify.c. Data: struct basic_step in the set.
 * Threads: the context's. Tested by tests/unit/policy/test_basic.c; manual: docs/step-basic.md.
 */
#include "policy/inside.h"
#include "wire/cred.h"

struct step_basic_user {
    const struct yaml *self;
    struct slice salt, hash;
};
struct step_basic_users {
    struct field_list users; /* struct step_basic_user */
};
struct step_basic_encryption {
    const struct yaml *apr, *sha1;
};
struct step_basic_doc {
    struct slice realm;
    struct step_basic_users *apr, *list;
    struct step_basic_encryption *encryption;
    struct user_doc user;
};

struct basic_user {
    struct slice name;  /* as the policy writes it */
    struct slice canon;
    struct passwd passwd;
};
struct basic_step {
    struct user_step user;
    struct basic_user *users;
    size_t users_n;
    struct map *by_name; /* canon -> struct basic_user */
};

/* clang-format off */
static const struct field_row step_basic_user_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct step_basic_user, self), 0, 0, 0, NULL, NULL, ""},
    {"salt", FIELD_STR, offsetof(struct step_basic_user, salt), 0, 0, 0, NULL, NULL, "salt of the hash; none when the hash has it inside"},
    {"hashedPassword", FIELD_STR, offsetof(struct step_basic_user, hash), FIELD_REQUIRED, 0, 0, NULL, NULL, "the hash: apr1's 22 characters, sha1's 40 digits, or a whole $apr1$, $2y$, $argon2id$ or {SHA} text"},
};
static const struct field_table step_basic_user_table = {sizeof(struct step_basic_user), step_basic_user_rows, ARRAY_LEN(step_basic_user_rows)};
static const struct field_row step_basic_users_rows[] = {
    {"users", FIELD_NAMED, offsetof(struct step_basic_users, users), FIELD_REQUIRED, 0, 0, &step_basic_user_table, NULL, "users by name"},
};
static const struct field_table step_basic_users_table = {sizeof(struct step_basic_users), step_basic_users_rows, ARRAY_LEN(step_basic_users_rows)};
static const struct field_row step_basic_encryption_rows[] = {
    {"apr", FIELD_NODE, offsetof(struct step_basic_encryption, apr), 0, 0, 0, NULL, NULL, "Apache's MD5 scheme"},
    {"sha1", FIELD_NODE, offsetof(struct step_basic_encryption, sha1), 0, 0, 0, NULL, NULL, "hexadecimal SHA-1 over password and salt"},
};
static const struct field_table step_basic_encryption_table = {sizeof(struct step_basic_encryption), step_basic_encryption_rows, ARRAY_LEN(step_basic_encryption_rows)};
static const struct field_row step_basic_rows[] = {
    {"realm", FIELD_STR, offsetof(struct step_basic_doc, realm), 0, 0, 0, NULL, NULL, "what the browser shows people whom it asks"},
    {"apr", FIELD_OBJ, offsetof(struct step_basic_doc, apr), 0, 0, 0, &step_basic_users_table, NULL, "users with apr1 hashes; not beside userList"},
    {"encryption", FIELD_OBJ, offsetof(struct step_basic_doc, encryption), 0, 0, 0, &step_basic_encryption_table, NULL, "what the hashes of userList are: one of apr, sha1; none when they say it themselves"},
    {"userList", FIELD_OBJ, offsetof(struct step_basic_doc, list), 0, 0, 0, &step_basic_users_table, NULL, "users"},
    USER_ROWS(offsetof(struct step_basic_doc, user.header), offsetof(struct step_basic_doc, user.keep)),
};
/* clang-format on */
static const struct field_table step_basic_table = {sizeof(struct step_basic_doc), step_basic_rows,
                                                    ARRAY_LEN(step_basic_rows)};

const struct field_table *step_basic_fields(void)
{
    return &step_basic_table;
}

/* ---- compiling ---- */

static bool step_basic_form(const struct field_in *in, const struct yaml *y,
                            const struct step_basic_doc *d)
{
    const char *wrong = NULL;

    if (d->apr && (d->list || d->encryption))
        wrong = "apr stands alone: not beside encryption and userList";
    else if (!d->apr && !d->list)
        wrong = "expected apr.users, or userList.users with encryption";
    else if (d->encryption && !d->encryption->apr == !d->encryption->sha1)
        wrong = "encryption: expected one of apr: {} and sha1: {}";
    if (wrong)
        fault_add(in, false, y, NULL, "%s", wrong);
    return !wrong;
}

static bool step_basic_add(struct load *l, const struct field_in *in, struct basic_step *b,
                           struct slice name, const struct step_basic_user *from,
                           enum passwd_kind kind, bool must_say)
{
    struct basic_user *u = &b->users[b->users_n++], *twin;
    char canon[BASIC_USER_MAX];
    struct err e = {0};

    u->name = name;
    u->canon = name.n <= sizeof canon ? arena_dup(&l->set->arena, user_canon(name, canon)) : S("");
    if (u->canon.n == 0 || !http_value_ok(name) || slice_index(name, ':') != SIZE_MAX) {
        fault_add(in, false, from->self, NULL, "user \"%.*s\": a name has 1 to %d bytes, no colon and no control "
                  "characters", SFMT(slice_sub(name, 0, 60)), BASIC_USER_MAX);
        return false;
    }
    if (must_say && from->hash.n > 0 && from->hash.p[0] != '$' && from->hash.p[0] != '{') {
        fault_add(in, false, from->self, NULL, "user %.*s: the hash does not say what it is: encryption must",
                  SFMT(name));
        return false;
    }
    if (passwd_parse(from->hash, from->salt, kind, &u->passwd, &e) != RC_OK) {
        fault_add(in, false, from->self, NULL, "user %.*s: %s", SFMT(name), e.text);
        return false;
    }
    twin = map_put(b->by_name, u->canon, u);
    if (twin) {
        fault_add(in, false, from->self, NULL, "users %.*s and %.*s are one name: case and outer spaces do not count",
                  SFMT(twin->name), SFMT(name));
        return false;
    }
    return true;
}

bool step_basic_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                        struct step *out)
{
    const struct step_basic_doc *d = doc;
    struct basic_step *b = ARENA_NEW(&l->set->arena, struct basic_step);
    bool sha1 = d->encryption && d->encryption->sha1;
    const struct field_list *users;
    struct slice challenge;

    out->data = b;
    if (!step_basic_form(in, y, d) || !user_realm(l, in, y, d->realm, &challenge) ||
        !user_compile(l, in, y, &d->user, challenge, &b->user, out))
        return false;
    users = d->apr ? &d->apr->users : &d->list->users;
    b->users = ARENA_ARRAY(&l->set->arena, struct basic_user, users->n + 1);
    b->by_name = set_map_new(l->set);
    for (size_t i = 0; i < users->n; i++)
        if (!step_basic_add(l, in, b, users->names[i], users->items[i], sha1 ? PASSWD_SHA1 : PASSWD_APR1,
                            !d->apr && !d->encryption))
            return false;
    if (users->n == 0)
        fault_add(in, true, y, NULL, "there are no users: everybody is refused");
    return true;
}

/* ---- running ---- */

/* The user of that name, or another one, always the same, whose hash is checked in vain. */
static const struct basic_user *step_basic_find(const struct basic_step *b, struct slice name,
                                                bool *known)
{
    char canon[BASIC_USER_MAX];
    struct slice c = user_canon(name, canon);
    const struct basic_user *u = map_get(b->by_name, c);

    *known = u != NULL;
    return u ? u : &b->users[hash_bytes(c.p, c.n) % b->users_n];
}

static void step_basic_begin(struct decision *d)
{
    const struct basic_step *b = d->at->data;
    char text[BASIC_BYTES_MAX];
    size_t n;
    bool known;
    struct slice name, password;

    MUST(basic_read(decision_only_header(d, S("authorization"), &n), text, &name, &password) == RC_OK);
    verify_begin(d, &step_basic_find(b, name, &known)->passwd, password);
    mem_wipe(text, sizeof text);
}

static enum step_said step_basic_judge(struct decision *d, const struct step *s, struct slice name,
                                       struct slice password)
{
    const struct basic_step *b = s->data;
    const struct basic_user *u;
    enum verify_said said;
    char canon[BASIC_USER_MAX];
    bool known;
    size_t n;

    if (b->users_n == 0)
        return user_deny(d, s, &b->user, S("credentials_wrong"), S("there are no users"));
    if (!d->wait && throttle_refuses(d, s, user_canon(name, canon), decision_only_header(d, S("authorization"), &n)))
        return STEP_DENY;
    u = step_basic_find(b, name, &known);
    said = verify_password(d, &u->passwd, password);
    if (said == VERIFY_WAIT) {
        d->begin = step_basic_begin;
        return STEP_WAIT;
    }
    if (said == VERIFY_BUSY) {
        d->trouble = S("verify_busy");
        return STEP_TROUBLE;
    }
    if (!known || said != VERIFY_RIGHT) {
        d->wrong = true;
        return user_deny(d, s, &b->user, S("credentials_wrong"), S("name or password is wrong"));
    }
    throttle_right(d, decision_only_header(d, S("authorization"), &n));
    user_identify(d, &b->user, u->name);
    return STEP_PASS;
}

enum step_said step_basic_run(struct decision *d, const struct step *s)
{
    const struct basic_step *b = s->data;
    char text[BASIC_BYTES_MAX];
    struct slice name, password;
    enum step_said said = STEP_DENY;

    if (user_basic(d, s, &b->user, text, &name, &password) == RC_OK)
        said = step_basic_judge(d, s, name, password);
    mem_wipe(text, sizeof text);
    return said;
}
