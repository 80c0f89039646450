/*
 * cred.c - API keys, passwords, Basic credentials and cookies as text.
 *
 * Keys are made here and recognised by their form before the store is asked; the store keeps only
 * a keyed hash of them. Password hashes are argon2id; verification takes the costs from the
 * stored text, but only up to a bound, since that text could be imported. Secrets are compared
 * without telling by time. Argon2 blocks for tens of milliseconds: worker threads only. No state.
 * Tested by tests/unit/wire/test_cred.c.
 */
#include "wire/cred.h"

#include "base/mem.h"
#include "base/rand.h"
#include "wire/hash.h"

#include <argon2.h>

enum {
    CRED_COST_KIB = 19456, /* 19 MiB, t=2, p=1: the first choice of OWASP for argon2id */
    CRED_COST_TIME = 2,
    CRED_COST_LANES = 1,
    CRED_KIB_MAX = 64 << 10,
    CRED_TIME_MAX = 10,
    CRED_LANES_MAX = 4,
    CRED_SALT = 16,
    CRED_HASH = 32,
    CRED_PHC_MAX = 512,
    CRED_PASSWORD_MIN = 12,
    CRED_PASSWORD_MAX_BYTES = 1024,
    CRED_KEY_BODY = APIKEY_PUBLIC_LEN + APIKEY_SECRET_LEN + APIKEY_CHECK_LEN,
};

/* ---------------------------------------------------------------- API keys */

static const char cred_base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void cred_checksum(struct slice of, char dst[APIKEY_CHECK_LEN])
{
    uint32_t crc = crc32_ieee(0, of.p, of.n);
    for (size_t i = APIKEY_CHECK_LEN; i > 0; i--, crc /= 62)
        dst[i - 1] = cred_base62[crc % 62];
}

struct slice apikey_new(struct arena *a, struct slice prefix, struct slice *public_part)
{
    MUST(prefix.n > 0 && prefix.n <= APIKEY_PREFIX_MAX);
    size_t before_check = prefix.n + 1 + APIKEY_PUBLIC_LEN + APIKEY_SECRET_LEN;
    size_t n = before_check + APIKEY_CHECK_LEN;
    char *p = arena_alloc(a, n + 1);
    memcpy(p, prefix.p, prefix.n);
    p[prefix.n] = '_';
    rand_text(p + prefix.n + 1, APIKEY_PUBLIC_LEN + APIKEY_SECRET_LEN,
              slice_of(cred_base62, sizeof cred_base62 - 1));
    cred_checksum(slice_of(p, before_check), p + before_check);
    p[n] = '\0';
    *public_part = slice_of(p, prefix.n + 1 + APIKEY_PUBLIC_LEN);
    return slice_of(p, n);
}

bool apikey_form_ok(struct slice key)
{
    char check[APIKEY_CHECK_LEN];
    if (key.n < 1 + 1 + CRED_KEY_BODY || key.n > APIKEY_PREFIX_MAX + 1 + CRED_KEY_BODY)
        return false;
    size_t prefix_n = key.n - CRED_KEY_BODY - 1;
    if (key.p[prefix_n] != '_')
        return false;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool word = ascii_alpha(c) || ascii_digit(c);
        if (!word && !(i <= prefix_n && (c == '_' || c == '-')))
            return false;
    }
    cred_checksum(slice_sub(key, 0, key.n - APIKEY_CHECK_LEN), check);
    return memcmp(check, key.p + key.n - APIKEY_CHECK_LEN, sizeof check) == 0;
}

struct slice apikey_public_part(struct slice key)
{
    if (!apikey_form_ok(key))
        return S("");
    return slice_sub(key, 0, key.n - CRED_KEY_BODY + APIKEY_PUBLIC_LEN);
}

/* ---------------------------------------------------------------- passwords */

struct slice password_hash(struct arena *a, struct slice password)
{
    uint8_t salt[CRED_SALT];
    size_t n = argon2_encodedlen(CRED_COST_TIME, CRED_COST_KIB, CRED_COST_LANES, CRED_SALT,
                                 CRED_HASH, Argon2_id);
    char *out = arena_alloc(a, n);
    rand_bytes(salt, sizeof salt);
    int failed = argon2id_hash_encoded(CRED_COST_TIME, CRED_COST_KIB, CRED_COST_LANES, password.p,
                                       password.n, salt, sizeof salt, CRED_HASH, out, n);
    MUST(failed == ARGON2_OK);
    return slice_of(out, strlen(out));
}

/* "m=19456" at the front of *rest up to ',' or '$': its number when it is at most max. */
static bool cred_cost(struct slice *rest, char name, char end, uint64_t max)
{
    uint64_t v;
    struct slice item = slice_cut(*rest, end, rest);
    return item.n > 2 && item.p[0] == name && item.p[1] == '=' &&
           slice_u64(slice_from(item, 2), &v) && v >= 1 && v <= max;
}

/* The costs stand in the text: a forged or imported one must not cost the machine. */
bool password_phc_ok(struct slice phc)
{
    struct slice start = S("$argon2id$v=19$");
    if (phc.n >= CRED_PHC_MAX || !slice_starts(phc, start) || slice_index(phc, '\0') != SIZE_MAX)
        return false;
    struct slice rest = slice_from(phc, start.n);
    return cred_cost(&rest, 'm', ',', CRED_KIB_MAX) && cred_cost(&rest, 't', ',', CRED_TIME_MAX) &&
           cred_cost(&rest, 'p', '$', CRED_LANES_MAX);
}

bool password_verify(struct slice phc, struct slice password)
{
    char text[CRED_PHC_MAX];
    if (!password_phc_ok(phc) || password.n > CRED_PASSWORD_MAX_BYTES)
        return password_verify_nobody(password);
    memcpy(text, phc.p, phc.n);
    text[phc.n] = '\0';
    return argon2id_verify(text, password.p, password.n) == ARGON2_OK;
}

bool password_verify_nobody(struct slice password)
{
    static const uint8_t salt[CRED_SALT] = {0};
    uint8_t out[CRED_HASH];
    size_t n = MIN(password.n, (size_t)CRED_PASSWORD_MAX_BYTES);
    (void)argon2id_hash_raw(CRED_COST_TIME, CRED_COST_KIB, CRED_COST_LANES, password.p, n, salt,
                            sizeof salt, out, sizeof out);
    mem_wipe(out, sizeof out);
    return false;
}

/* Twelve characters and more that lists of leaked passwords hold, in lower case. What repeats or
 * counts up is found by rule. */
static const char *const cred_common[] = {
    "password1234",     "password12345",     "password123456",
    "passwordpassword", "password1password", "mypassword123",
    "mypassword1234",   "changemechangeme",  "changeme1234",
    "letmeinletmein",   "letmein12345",      "welcome12345",
    "welcome123456",    "welcometotheworld", "iloveyou1234",
    "iloveyouforever",  "iloveyousomuch",    "qwertyuiop12",
    "qwertyuiop123",    "qwerty123456",      "qwerty1234567",
    "qwertyqwerty",     "qwertyasdfgh",      "qwertyuiopasdf",
    "1q2w3e4r5t6y",     "1qaz2wsx3edc",      "1qaz2wsx3edc4rfv",
    "zaq12wsxcde3",     "q1w2e3r4t5y6",      "abc123abc123",
    "abcd1234abcd",     "abcd12345678",      "admin1234567",
    "administrator",    "administrator1",    "adminadminadmin",
    "admin123admin",    "trustno1trustno1",  "correcthorsebatterystaple",
    "superman1234",     "batman123456",      "football1234",
    "baseball1234",     "dragon123456",      "monkey123456",
    "sunshine1234",     "princess1234",      "starwars1234",
    "whatever1234",     "michael12345",      "charlie12345",
    "jennifer1234",     "internet1234",      "computer1234",
    "liverpool123",     "chelsea12345",      "arsenal12345",
    "barcelona123",     "manchesterunited",  "unitedstates",
    "thisisapassword",  "thisismypassword",  "nopasswordnopassword",
    "secretsecret",     "secret123456",      "supersecret123",
    "topsecret123",     "testtesttest",      "test12345678",
    "testing12345",     "testing123456",     "defaultpassword",
    "temporary123",     "masterpassword",    "rootrootroot",
    "toortoortoor",     "p@ssw0rd1234",      "p@ssword1234",
    "passw0rd1234",     "pa55word1234",      "p4ssw0rd1234",
    "spiderman123",     "pokemon12345",      "hello1234567",
    "helloworld123",    "postern12345",      "posternpostern",
    "kubernetes123",    "asdfghjkl123",      "asdfasdfasdf",
    "zxcvbnm12345",     "zxcvbnmzxcvbnm",    "asdfghjkl;'",
    "1234qwerasdf",     "qweasdzxc123",      "123qweasdzxc",
    "aaaaaa111111",     "11111111111a"};

static bool cred_in_list(struct slice password)
{
    for (size_t i = 0; i < ARRAY_LEN(cred_common); i++)
        if (slice_eq_ci(password, slice_str(cred_common[i])))
            return true;
    return false;
}

/* Made of at most three different characters, or each one step from the one before (keyboards
 * aside): "aaaaaaaaaaaa", "121212121212", "123456789012", "abcdefghijkl". */
static bool cred_monotonous(struct slice s)
{
    size_t different = 0, steps = 0;
    for (size_t i = 0; i < s.n; i++) {
        different += memchr(s.p, s.p[i], i) ? 0 : 1;
        if (i > 0) {
            int step = s.p[i] - s.p[i - 1];
            steps += step == 1 || step == -1 || (s.p[i - 1] == '9' && s.p[i] == '0') ? 1 : 0;
        }
    }
    return different <= 3 || steps + 2 >= s.n;
}

static size_t cred_characters(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80 ? 1 : 0;
    return n;
}

const char *password_complaint(struct slice password, struct slice email)
{
    struct slice domain, local = slice_cut(email, '@', &domain);
    if (!slice_utf8(password))
        return "The password is not readable text.";
    if (cred_characters(password) < CRED_PASSWORD_MIN)
        return "Please use at least 12 characters. A few words in a row are fine.";
    if (password.n > CRED_PASSWORD_MAX_BYTES)
        return "Please use at most 1024 bytes.";
    if (email.n > 0 && (slice_eq_ci(password, email) || slice_eq_ci(password, local)))
        return "The password must not be the e-mail address.";
    if (cred_in_list(password) || cred_monotonous(password))
        return "This password is among the first that an attacker tries. Please choose another.";
    return NULL;
}

/* ---------------------------------------------------------------- Basic */

static bool cred_no_controls(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

enum rc basic_read(struct slice authorization, char dst[BASIC_BYTES_MAX], struct slice *user,
                   struct slice *password)
{
    struct slice token, scheme = slice_cut(authorization, ' ', &token), all;
    size_t n = 0;
    if (!slice_eq_ci(scheme, S("basic")))
        return RC_NOTFOUND;
    while (token.n > 0 && token.p[0] == ' ')
        token = slice_from(token, 1);
    if (token.n == 0 || b64_decode(token, dst, BASIC_BYTES_MAX, &n) != RC_OK)
        return RC_BADINPUT;
    all = slice_of(dst, n);
    if (slice_index(all, ':') == SIZE_MAX || !cred_no_controls(all))
        return RC_BADINPUT;
    *user = slice_cut(all, ':', password);
    return user->n <= BASIC_USER_MAX && password->n <= CRED_PASSWORD_MAX_BYTES ? RC_OK : RC_BADINPUT;
}

struct slice user_canon(struct slice user, char dst[BASIC_USER_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < user.n && n < BASIC_USER_MAX; i++)
        if (user.p[i] != ' ' || (n > 0 && dst[n - 1] != ' '))
            dst[n++] = ascii_lower(user.p[i]);
    while (n > 0 && dst[n - 1] == ' ')
        n--;
    return slice_of(dst, n);
}

/* ---------------------------------------------------------------- parameters */

static bool cred_token_char(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static struct slice cred_take_token(struct slice *rest)
{
    size_t n = 0;
    while (n < rest->n && cred_token_char(rest->p[n]))
        n++;
    struct slice token = slice_sub(*rest, 0, n);
    *rest = slice_from(*rest, n);
    return token;
}

/* Behind the opening quote; false without a closing one. */
static bool cred_take_quoted(struct slice *rest, struct slice *value)
{
    size_t end = slice_index(*rest, '"');
    if (end == SIZE_MAX)
        return false;
    *value = slice_sub(*rest, 0, end);
    *rest = slice_from(*rest, end + 1);
    return slice_index(*value, '\\') == SIZE_MAX && cred_no_controls(*value);
}

enum rc auth_param_next(struct slice *rest, struct slice *name, struct slice *value)
{
    *rest = slice_trim(*rest);
    if (rest->n == 0)
        return RC_NOTFOUND;
    *name = cred_take_token(rest);
    if (name->n == 0 || rest->n < 2 || rest->p[0] != '=')
        return RC_BADINPUT;
    *rest = slice_from(*rest, 1);
    if (rest->p[0] == '"') {
        *rest = slice_from(*rest, 1);
        if (!cred_take_quoted(rest, value))
            return RC_BADINPUT;
    } else {
        *value = cred_take_token(rest);
        if (value->n == 0)
            return RC_BADINPUT;
    }
    *rest = slice_trim(*rest);
    if (rest->n == 0)
        return RC_OK;
    if (rest->p[0] != ',' || slice_trim(slice_from(*rest, 1)).n == 0)
        return RC_BADINPUT;
    *rest = slice_from(*rest, 1);
    return RC_OK;
}

/* ---------------------------------------------------------------- cookies */

bool cookie_get(struct slice header, struct slice name, struct slice *value)
{
    struct slice rest = header, found = {NULL, 0};
    size_t times = 0;
    while (rest.n > 0) {
        struct slice v, k = slice_cut(slice_trim(slice_cut(rest, ';', &rest)), '=', &v);
        if (!slice_eq(slice_trim(k), name))
            continue;
        found = slice_trim(v);
        times++;
    }
    if (times != 1)
        return false;
    if (found.n >= 2 && found.p[0] == '"' && found.p[found.n - 1] == '"')
        found = slice_sub(found, 1, found.n - 2);
    *value = found;
    return true;
}
