/*
 * test_h2.c - HTTP/2 sessions of the check port against peers that are a nuisance: resets, CONTINUATIONs,
 * HPACK bombs, PING and SETTINGS floods, closed windows, unfinished requests, broken frames. In every
 * case the harm is bounded, the connection or stream ends as the standard says, and others are served.
 */
#include "g.h"

#include "net/h2.h"

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static struct buf out;

static void frame(int type, int flags, uint32_t stream, struct slice payload)
{
    const char head[9] = {(char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n, (char)type, (char)flags,
                          (char)(stream >> 24), (char)(stream >> 16), (char)(stream >> 8), (char)stream};
    buf_put(&out, head, 9);
    buf_slice(&out, payload);
}

static void start(void)
{
    buf_clear(&out);
    buf_lit(&out, H2_PREFACE);
    frame(SETTINGS, 0, 0, S(""));
}

/* A literal field that is not put into the table. */
static void field(struct buf *b, const char *name, const char *value)
{
    buf_byte(b, 0);
    buf_byte(b, (char)strlen(name));
    buf_str(b, name);
    buf_byte(b, (char)strlen(value));
    buf_str(b, value);
}

static struct slice request_block(const char *path)
{
    static struct buf b;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    field(&b, ":method", "POST");
    field(&b, ":scheme", "http");
    field(&b, ":path", path);
    field(&b, ":authority", "p");
    field(&b, "content-type", "application/grpc");
    return buf_all(&b);
}

/* What the door said, frame by frame, until that is enough or the connection ends. */
static struct {
    bool closed, goaway;
    uint32_t goaway_code, goaway_last, last_rst;
    int frames[16], rsts, ends; /* ends: frames with END_STREAM */
    size_t bytes;
} said;

static bool never(void)
{
    return false;
}
static bool reset(void)
{
    return said.rsts > 0;
}
static bool answered(void)
{
    return said.rsts > 0 || said.ends > 0 || said.goaway;
}
static bool ponged(void)
{
    return said.frames[PING] > 0;
}
static bool five_ends(void)
{
    return said.ends == 5;
}
static bool greeted(void)
{
    return said.frames[SETTINGS] == 2;
}

static uint32_t word(const char *p)
{
    return (uint32_t)(uint8_t)p[0] << 24 | (uint32_t)(uint8_t)p[1] << 16 | (uint32_t)(uint8_t)p[2] << 8 | (uint8_t)p[3];
}

static void hear(int fd, bool (*enough)(void))
{
    struct timeval wait = {.tv_sec = 60};
    struct buf in;
    buf_init(&in, 0);
    memset(&said, 0, sizeof said);
    MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    while (!enough()) {
        MUST(buf_room(&in, 65536));
        ssize_t n = recv(fd, in.p + in.n, 65536, 0);
        if (n <= 0) {
            said.closed = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
            break;
        }
        in.n += (size_t)n;
        said.bytes += (size_t)n;
        for (struct slice u = buf_unread(&in); u.n >= 9 && u.n >= 9 + (word(u.p) >> 8); u = buf_unread(&in)) {
            size_t length = word(u.p) >> 8;
            int type = u.p[3];
            said.frames[type & 15]++;
            said.ends += (type == DATA || type == HEADERS) && (u.p[4] & END_STREAM);
            if (type == GOAWAY) {
                said.goaway = true;
                said.goaway_last = word(u.p + 9);
                said.goaway_code = word(u.p + 13);
            }
            if (type == RST) {
                said.rsts++;
                said.last_rst = word(u.p + 9);
            }
            buf_consume(&in, 9 + length);
        }
    }
    buf_free(&in);
}

/* Sends all that was framed and hears the end. */
static void run(void)
{
    int fd = c_connect();
    c_send(fd, out.p, out.n);
    hear(fd, never);
    close(fd);
}

static void ends(uint32_t code)
{
    T(said.closed);
    T(said.goaway);
    if (said.goaway)
        T_INT(said.goaway_code, code);
}

static void serves_others(void)
{
    T_INT(g_num(g_message(g_call("/grpc.health.v1.Health/Check", S(""))), "1"), 1);
}

/* ---- floods ---- */

static void rapid_reset(void)
{
    start();
    for (uint32_t i = 0; i < 5000; i++) {
        frame(HEADERS, END_HEADERS, 2 * i + 1, request_block(G_CHECK));
        frame(RST, 0, 2 * i + 1, S("\0\0\0\x8"));
    }
    run();
    T(said.closed && said.goaway);
    serves_others();
}

static void continuation_flood(void)
{
    start();
    frame(HEADERS, 0, 1, request_block(G_CHECK));
    for (int i = 0; i < 10000; i++)
        frame(CONTINUATION, 0, 1, S("\0\1a\1b"));
    run();
    T(said.closed && said.frames[DATA] == 0);
    start();
    frame(HEADERS, 0, 1, request_block(G_CHECK));
    for (int i = 0; i < 10000; i++)
        frame(CONTINUATION, 0, 1, S(""));
    run();
    T(said.closed && said.frames[DATA] == 0);
    serves_others();
}

static void flood(int type, int flags, uint32_t stream, struct slice payload)
{
    start();
    if (stream)
        frame(HEADERS, END_HEADERS, stream, request_block(G_CHECK));
    for (int i = 0; i < 20000; i++)
        frame(type, flags, stream, payload);
    run();
    T(said.closed);
    T(said.bytes < 20000 * 17);
    serves_others();
}

static void ping_flood(void)
{
    flood(PING, 0, 0, S("12345678"));
    ends(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void settings_flood(void)
{
    flood(SETTINGS, 0, 0, S("\0\4\0\0\xff\xff"));
    flood(SETTINGS, ACK, 0, S(""));
}

static void floods_that_move_nothing(void)
{
    flood(DATA, 0, 1, S(""));
    flood(DATA, 0, 1, S("\0"));
    flood(WINDOW, 0, 0, S("\0\0\0\1"));
    flood(PRIORITY, 0, 3, S("\0\0\0\1\1"));
    flood(0x42, 0, 0, S("unknown"));
}

/* Nobody reads the answers: what waits is bounded, and the door stops reading. */
static void a_flood_whose_answers_nobody_reads(void)
{
    int fd = c_connect();
    start();
    for (int i = 0; i < 1500; i++)
        frame(PING, 0, 0, S("12345678"));
    c_send(fd, out.p, out.n);
    serves_others();
    close(fd);
    serves_others();
}

static void hpack_bomb(void)
{
    static char value[3900];
    struct buf block;
    buf_init(&block, 0);
    memset(value, 'v', sizeof value);
    start();
    buf_slice(&block, request_block(G_CHECK));
    buf_lit(&block, "\x40\1b\x7f\xbd\x1d"); /* into the table: b, 3900 bytes */
    buf_put(&block, value, sizeof value);
    for (int i = 0; i < 10000; i++)
        buf_byte(&block, (char)0xbe); /* and again */
    frame(HEADERS, END_HEADERS | END_STREAM, 1, buf_all(&block));
    int fd = c_connect();
    c_send(fd, out.p, out.n);
    hear(fd, answered);
    close(fd);
    T(said.frames[DATA] == 0);
    T(said.frames[HEADERS] == 1 || said.rsts == 1 || said.goaway); /* 431, or worse */
    serves_others();
    buf_free(&block);
}

/* ---- what does not come to an end ---- */

static void a_preface_that_drips(void)
{
    int fd = c_connect();
    c_send(fd, "PRI * HT", 8);
    hear(fd, never);
    T(said.closed && said.bytes == 0);
    close(fd);
    fd = c_connect();
    for (size_t i = 0; i < sizeof H2_PREFACE - 1; i++) {
        c_send(fd, H2_PREFACE + i, 1);
        usleep(1000);
    }
    start();
    c_send(fd, out.p + sizeof H2_PREFACE - 1, out.n - (sizeof H2_PREFACE - 1));
    hear(fd, greeted);
    T(!said.closed && greeted());
    close(fd);
}

static void requests_that_do_not_end(void)
{
    int fd = c_connect();
    start();
    frame(HEADERS, END_HEADERS, 1, request_block(G_CHECK));
    frame(DATA, 0, 1, S("\0\0\0\0\x64" "abc"));
    c_send(fd, out.p, out.n);
    hear(fd, reset);
    T_INT(said.rsts, 1);
    T_INT(said.last_rst, NGHTTP2_CANCEL);
    T_INT(said.frames[HEADERS], 0);
    close(fd);
}

static void an_idle_connection_ends_with_a_goodbye(void)
{
    struct check_opts o = c_opts(true);
    c_stop();
    c_idle_ms = 200;
    c_start(&o);
    start();
    run();
    ends(NGHTTP2_NO_ERROR);
    c_stop();
    c_idle_ms = 60000;
    o.head_ms = 400;
    c_start(&o);
}

/* A request is under way when the reactor stops; the rest of it and the answer to the PING come after that. */
static bool stopped_in_the_middle(void)
{
    struct check_opts o = c_opts(true);
    int fd = c_connect();
    start();
    frame(HEADERS, END_HEADERS, 1, request_block("/grpc.health.v1.Health/Check"));
    frame(PING, 0, 0, S("12345678"));
    c_send(fd, out.p, out.n);
    hear(fd, ponged); /* so the head was read */
    reactor_stop(c.reactor);
    hear(fd, ponged);
    bool told = said.goaway && said.goaway_last == 0x7fffffff && said.goaway_code == NGHTTP2_NO_ERROR && !said.closed;
    buf_clear(&out);
    frame(DATA, END_STREAM, 1, S("\0\0\0\0\0"));
    frame(HEADERS, END_HEADERS, 3, request_block("/grpc.health.v1.Health/Check"));
    frame(DATA, END_STREAM, 3, S("\0\0\0\0\0"));
    frame(PING, ACK, 0, S("\0\0\0\0\0\0\0\0"));
    c_send(fd, out.p, out.n);
    hear(fd, never);
    close(fd);
    c_stop();
    o.head_ms = 400;
    c_start(&o);
    return told && said.closed && said.ends == 2 && said.frames[DATA] == 2 && said.goaway &&
           said.goaway_last == 3 && said.goaway_code == NGHTTP2_NO_ERROR;
}

static void stopping_says_goodbye_twice(void)
{
    bool good = false;
    for (int i = 0; i < 20 && !good; i++)
        good = stopped_in_the_middle(); /* the reactor does not wait for ever, and this thread may be late */
    T(good);
    serves_others();
}

/* Idle sessions share the buffer of the frame that is being sent: answers of many do not mix. */
static void many_sessions_take_turns(void)
{
    enum { SESSIONS = 20, ROUNDS = 5 /* five_ends */ };
    int fds[SESSIONS];
    for (uint32_t round = 0; round <= ROUNDS; round++)
        for (int i = 0; i < SESSIONS; i++) {
            buf_clear(&out);
            if (round == 0) {
                fds[i] = c_connect();
                start();
            } else {
                frame(HEADERS, END_HEADERS, 2 * round - 1, request_block("/grpc.health.v1.Health/Check"));
                frame(DATA, END_STREAM, 2 * round - 1, S("\0\0\0\0\0"));
            }
            c_send(fds[i], out.p, out.n);
            if (round == 0)
                hear(fds[i], greeted);
        }
    for (int i = 0; i < SESSIONS; i++) {
        hear(fds[i], five_ends);
        T_INT(said.frames[DATA], ROUNDS);
        T_INT(said.ends, ROUNDS);
        T(!said.goaway && !said.rsts);
        close(fds[i]);
    }
}

static void zero_window_stall(void)
{
    static const uint32_t settings[] = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0};
    struct slice body = g_frame(S(""));
    struct g_source sources[30];
    g_open(settings);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        sources[i] = (struct g_source){.bytes = body};
        (void)g_send("POST", G_CHECK, NULL, NULL, &sources[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        g_wait(&g.answers[i]);
        T(g.answers[i].over && g.answers[i].n == 0);
        T_INT(g.answers[i].rst, NGHTTP2_CANCEL);
    }
    g_close();
    serves_others();
}

/* Before the client knows the bound it is told to try again; later it should have known. */
static void too_many_streams(void)
{
    for (int knows = 0; knows < 2; knows++) {
        int fd = c_connect();
        start();
        if (knows)
            frame(SETTINGS, ACK, 0, S(""));
        for (uint32_t i = 0; i < 101; i++) {
            struct slice block = request_block(G_CHECK);
            struct buf b;
            buf_init(&b, 0);
            if (knows && i == 0)
                buf_lit(&b, "\x3f\xe1\7"); /* HPACK: the table is 1,024 bytes now, as was asked for */
            buf_slice(&b, block);
            frame(HEADERS, END_HEADERS, 2 * i + 1, buf_all(&b));
            buf_free(&b);
        }
        c_send(fd, out.p, out.n);
        hear(fd, reset);
        if (knows)
            ends(NGHTTP2_PROTOCOL_ERROR);
        else
            T_INT(said.last_rst, NGHTTP2_REFUSED_STREAM);
        close(fd);
    }
}

/* ---- heads and frames that are broken ---- */

/* A head with so many fields of so many bytes; true when the call is answered. */
static bool head_passes(size_t fields, size_t bytes)
{
    struct buf b;
    buf_init(&b, 0);
    buf_slice(&b, request_block("/grpc.health.v1.Health/Check"));
    for (size_t i = 0; i < fields; i++) {
        buf_lit(&b, "\0\1x\x7f"); /* the length minus 127 follows */
        for (size_t n = bytes - 127; ; n >>= 7) {
            buf_byte(&b, (char)(n >= 128 ? (n & 127) | 128 : n));
            if (n < 128)
                break;
        }
        for (size_t k = 0; k < bytes; k++)
            buf_byte(&b, 'v');
    }
    start();
    for (size_t at = 0; at < b.n; at += 16384)
        frame(at ? CONTINUATION : HEADERS, at + 16384 >= b.n ? END_HEADERS : 0, 1, slice_sub(buf_all(&b), at, 16384));
    frame(DATA, END_STREAM, 1, S("\0\0\0\0\0"));
    int fd = c_connect();
    c_send(fd, out.p, out.n);
    hear(fd, answered);
    close(fd);
    buf_free(&b);
    T_INT(said.frames[HEADERS] + said.rsts, said.frames[DATA] ? 2 : 1);
    T(!said.closed);
    return said.frames[DATA] == 1;
}

static void large_heads(void)
{
    T(head_passes(5, 10000));
    T(!head_passes(7, 10000));
    T(head_passes(120, 127));
    T(!head_passes(129, 127));
}

static void broken_frames(void)
{
    static char big[20000];
    static const struct {
        const char *what;
        int type, flags;
        uint32_t stream;
        struct slice payload;
    } rows[] = {
        {"a frame that is too large", DATA, 0, 1, {big, sizeof big}},
        {"DATA of stream 0", DATA, 0, 0, SLIT("x")},
        {"DATA of a stream that is not open", DATA, 0, 7, SLIT("x")},
        {"HEADERS of stream 0", HEADERS, END_HEADERS, 0, SLIT("")},
        {"an even stream", HEADERS, END_HEADERS, 2, SLIT("\x82")},
        {"PUSH_PROMISE from a client", PUSH, END_HEADERS, 1, SLIT("\0\0\0\2\x82")},
        {"a CONTINUATION of nothing", CONTINUATION, END_HEADERS, 1, SLIT("\x82")},
        {"HPACK beyond the table", HEADERS, END_HEADERS, 1, SLIT("\xff\xff\xff\x7f")},
        {"a short PING", PING, 0, 0, SLIT("123")},
        {"a SETTINGS that is cut", SETTINGS, 0, 0, SLIT("\0\4\0")},
        {"a window of nothing", WINDOW, 0, 0, SLIT("\0\0\0\0")},
        {"a window beyond 2^31", WINDOW, 0, 0, SLIT("\x7f\xff\xff\xff")},
        {"a RST of stream 0", RST, 0, 0, SLIT("\0\0\0\0")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].what);
        start();
        frame(rows[i].type, rows[i].flags, rows[i].stream, rows[i].payload);
        run();
        T(said.closed && said.goaway && said.goaway_code != 0);
        T_INT(said.frames[HEADERS], 0);
    }
    serves_others();
}

static void one_stream(struct slice block, int flags, struct slice more)
{
    start();
    frame(HEADERS, END_HEADERS | flags, 1, block);
    buf_slice(&out, more);
    int fd = c_connect();
    c_send(fd, out.p, out.n);
    hear(fd, reset);
    close(fd);
}

static void broken_requests(void)
{
    struct buf b, kept;
    buf_init(&b, 0);
    buf_init(&kept, 0);
    static const char *const rows[][2] = {{"Upper", "x"}, {"connection", "close"}, {"transfer-encoding", "chunked"},
                                          {":path", "/again"}, {":odd", "x"}, {"te", "gzip"}, {"x", "a\nb"},
                                          {"content-length", "7"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i][0]);
        buf_clear(&b);
        buf_slice(&b, request_block(G_CHECK));
        field(&b, rows[i][0], rows[i][1]);
        one_stream(buf_all(&b), END_STREAM, S(""));
        T_INT(said.rsts, 1);
        T_INT(said.last_rst, NGHTTP2_PROTOCOL_ERROR);
        T_INT(said.frames[DATA], 0);
    }
    T_ROW("trailers that do not end the stream");
    start();
    out.n = 0;
    frame(DATA, 0, 1, S("\0\0\0\0\0"));
    frame(HEADERS, END_HEADERS, 1, S("\0\1a\1b"));
    buf_slice(&kept, buf_all(&out));
    one_stream(request_block(G_CHECK), 0, buf_all(&kept));
    T_INT(said.rsts, 1);
    T_INT(said.frames[DATA], 0);
    T_ROW("trailers that do are nothing to us");
    buf_clear(&kept);
    out.n = 0;
    frame(DATA, 0, 1, S("\0\0\0\0\0"));
    frame(HEADERS, END_HEADERS | END_STREAM, 1, S("\0\1a\1b"));
    buf_slice(&kept, buf_all(&out));
    start();
    frame(HEADERS, END_HEADERS, 1, request_block("/grpc.health.v1.Health/Check"));
    buf_slice(&out, buf_all(&kept));
    int fd = c_connect();
    c_send(fd, out.p, out.n);
    hear(fd, answered);
    close(fd);
    T(said.frames[HEADERS] == 2 && said.frames[DATA] == 1 && said.rsts == 0);
    buf_free(&b);
    buf_free(&kept);
}

int main(void)
{
    static const char policies[] =
        "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
        "  config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() return true end'}}]}}\n";
    struct check_opts o = c_opts(true);
    c_init(true);
    MUST(c_use(policies));
    c_stop();
    o.head_ms = 400; /* what does not come to an end is waited for */
    c_start(&o);
    buf_init(&out, 0);
    T_RUN(rapid_reset);
    T_RUN(continuation_flood);
    T_RUN(ping_flood);
    T_RUN(settings_flood);
    T_RUN(floods_that_move_nothing);
    T_RUN(a_flood_whose_answers_nobody_reads);
    T_RUN(hpack_bomb);
    T_RUN(a_preface_that_drips);
    T_RUN(requests_that_do_not_end);
    T_RUN(an_idle_connection_ends_with_a_goodbye);
    T_RUN(stopping_says_goodbye_twice);
    T_RUN(many_sessions_take_turns);
    T_RUN(zero_window_stall);
    T_RUN(too_many_streams);
    T_RUN(large_heads);
    T_RUN(broken_frames);
    T_RUN(broken_requests);
    c_stop();
    p_done();
    buf_free(&out);
    buf_free(&g.body);
    return t_done();
}
