/*
 * test_reflect.c - server reflection: services, files and symbols; the descriptors hold together (every type is
 * in a file that is there and imported), and agree with what the door says and reads.
 */
#include "g.h"

#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* The response to one question: field number, text. */
static struct slice ask(const char *path, uint32_t number, const char *text)
{
    struct buf b;
    buf_init(&b, 0);
    pb_put_text(&b, 1, S("here"));
    pb_put_text(&b, number, slice_str(text));
    struct g_answer *a = g_call(path, buf_all(&b));
    buf_free(&b);
    T_INT(a->grpc, 0);
    return g_message(a);
}

/* The FileDescriptorProto of that name in a response. */
static struct slice file(struct slice m, const char *name)
{
    struct pb r = pb_open(g_text(m, "4"));
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == 1 && slice_eq(g_text(f.bytes, "1"), slice_str(name)))
            return f.bytes;
    return (struct slice){NULL, 0};
}

/* The part of that number and name (field 1). */
static struct slice part(struct slice m, uint32_t number, const char *name)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == number && f.type == PB_BYTES && slice_eq(g_text(f.bytes, "1"), slice_str(name)))
            return f.bytes;
    return (struct slice){NULL, 0};
}

static void services_are_listed(void)
{
    static const char *const paths[] = {REFLECT, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct slice m = ask(paths[i], 7, "*"), list = g_text(m, "6");
        T_TEXT(g_text(m, "1"), "here");
        T_TEXT(g_text(m, "2.7"), "*");
        T_TEXT(g_text(list, "1.1"), "envoy.service.auth.v3.Authorization");
        T_TEXT(g_text(list, "1#1.1"), "envoy.service.ratelimit.v3.RateLimitService");
        T_TEXT(g_text(list, "1#2.1"), "grpc.health.v1.Health");
        T_TEXT(g_text(list, "1#3.1"), "grpc.reflection.v1.ServerReflection");
        T_TEXT(g_text(list, "1#4.1"), "grpc.reflection.v1alpha.ServerReflection");
        T(g_text(list, "1#5").p == NULL);
    }
}

static void symbols_are_found(void)
{
    static const char *const rows[][2] = {
        {"envoy.service.auth.v3.Authorization", "envoy/service/auth/v3/external_auth.proto"},
        {"envoy.service.auth.v3.Authorization.Check", "envoy/service/auth/v3/external_auth.proto"},
        {"envoy.service.auth.v3.CheckResponse", "envoy/service/auth/v3/external_auth.proto"},
        {"envoy.service.auth.v3.CheckResponse.ok_response", "envoy/service/auth/v3/external_auth.proto"},
        {"envoy.service.auth.v3.AttributeContext.HttpRequest", "envoy/service/auth/v3/attribute_context.proto"},
        {"envoy.service.auth.v3.AttributeContext.HttpRequest.path", "envoy/service/auth/v3/attribute_context.proto"},
        {"envoy.service.auth.v3.AttributeContext.tls_session", "envoy/service/auth/v3/attribute_context.proto"},
        {"envoy.service.ratelimit.v3.RateLimitResponse.RateLimit.Unit", "envoy/service/ratelimit/v3/rls.proto"},
        {"envoy.service.ratelimit.v3.RateLimitResponse.DescriptorStatus", "envoy/service/ratelimit/v3/rls.proto"},
        {"envoy.type.v3.StatusCode", "envoy/type/v3/http_status.proto"},
        {"grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto"},
        {"grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"},
        {"google.protobuf.Struct", "google/protobuf/struct.proto"},
    };
    static const char *const none[] = {"", ".", "envoy", "envoy.service.auth.v3", "envoy.service.auth.v3.", "grpc.health.v1.health",
                                       "envoy.service.auth.v3.Check", "envoy.service.auth.v3.HttpRequest", "envoy.service.auth.v3.Peer",
                                       "envoy.service.auth.v3.AttributeContext.HttpRequest.", "grpc.health.v1.Health.Check.x",
                                       "envoy.service.auth.v3.AttributeContext.path", "grpc.health.v1.Health.Check.Watch",
                                       "envoy.service.auth.v3.Authorization.CheckRequest"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i][0]);
        T_TEXT(g_text(ask(REFLECT, 4, rows[i][0]), "4.1.1"), rows[i][1]);
        struct slice m = ask(REFLECT, 3, rows[i][1]);
        T_TEXT(g_text(m, "4.1.1"), rows[i][1]);
        T_TEXT(g_text(m, "4.1.12"), "proto3");
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        T_ROW("not %s", none[i]);
        T_INT(g_num(ask(REFLECT, 4, none[i]), "7.1"), 5);
        T_INT(g_num(ask(REFLECT, 3, none[i]), "7.1"), 5);
        T_INT(g_num(ask(REFLECT, 6, none[i]), "7.1"), 5);
    }
    T_ROW("extensions");
    T_TEXT(g_text(ask(REFLECT, 6, "grpc.health.v1.HealthCheckRequest"), "5.1"), "grpc.health.v1.HealthCheckRequest");
    T_INT(g_num(ask(REFLECT, 5, ""), "7.1"), 5);
    T_INT(g_num(ask(REFLECT, 9, "nothing that is known"), "7.1"), 5);
}

static void wrong_questions_are_answered(void)
{
    T_INT(g_num(g_message(g_call(REFLECT, S("\x3a\5*"))), "7.1"), 3);
    T_INT(g_num(g_message(g_call(REFLECT, S("\xff"))), "7.1"), 3);
    T_INT(g_num(g_message(g_call(REFLECT, S(""))), "7.1"), 5);
}

/* ---- the descriptors ---- */

/* "pkg.Outer.Inner" -> its DescriptorProto or EnumDescriptorProto among the files of m. */
static bool type_is_there(struct slice m, struct slice name, bool is_enum)
{
    struct pb files = pb_open(g_text(m, "4"));
    struct pb_field f;
    while (pb_next(&files, &f)) {
        struct slice package = g_text(f.bytes, "2"), at = f.bytes, rest = name;
        if (!slice_starts(name, package) || name.n <= package.n || name.p[package.n] != '.')
            continue;
        rest = slice_from(name, package.n + 1);
        for (bool top = true; at.p && rest.n; top = false) {
            char one[100];
            struct slice head = slice_cut(rest, '.', &rest);
            snprintf(one, sizeof one, "%.*s", SFMT(head));
            at = rest.n == 0 && is_enum ? part(at, top ? 5 : 4, one) : part(at, top ? 4 : 3, one);
        }
        if (at.p)
            return true;
    }
    return false;
}

static int fields_seen;

static void check_fields(struct slice m, struct slice message)
{
    struct pb r = pb_open(message);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == 3)
            check_fields(m, f.bytes);
        if (f.number != 2)
            continue;
        struct slice type = g_text(f.bytes, "6");
        fields_seen++;
        T_ROW("%.*s.%.*s", SFMT(g_text(message, "1")), SFMT(g_text(f.bytes, "1")));
        T(g_num(f.bytes, "3") > 0 && g_num(f.bytes, "4") > 0 && g_text(f.bytes, "10").n > 0);
        T((g_num(f.bytes, "5") == 11 || g_num(f.bytes, "5") == 14) == (type.n > 0));
        if (type.n > 0)
            T(type.p[0] == '.' && type_is_there(m, slice_from(type, 1), g_num(f.bytes, "5") == 14));
    }
}

static void every_type_is_in_a_file_that_comes_along(void)
{
    static const char *const services[] = {"envoy.service.auth.v3.Authorization", "envoy.service.ratelimit.v3.RateLimitService",
                                           "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                           "grpc.reflection.v1alpha.ServerReflection"};
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        struct slice m = ask(REFLECT, 4, services[i]);
        struct pb files = pb_open(g_text(m, "4"));
        struct pb_field f, g;
        while (pb_next(&files, &f))
            for (struct pb r = pb_open(f.bytes); pb_next(&r, &g);) {
                char path[120];
                snprintf(path, sizeof path, "%.*s", g.number == 3 ? (int)g.bytes.n : 0, g.bytes.p ? g.bytes.p : "");
                if (g.number == 3)
                    T(file(m, path).p != NULL);
                else if (g.number == 4)
                    check_fields(m, g.bytes);
            }
    }
    T(fields_seen > 150);
}

static void a_descriptor_says_what_the_contract_says(void)
{
    struct slice m = ask(REFLECT, 4, "envoy.service.auth.v3.Authorization");
    struct slice auth = file(m, "envoy/service/auth/v3/external_auth.proto"), context = file(m, "envoy/service/auth/v3/attribute_context.proto");
    struct slice call = part(part(auth, 6, "Authorization"), 2, "Check"), response = part(auth, 4, "CheckResponse");
    T_TEXT(g_text(call, "2"), ".envoy.service.auth.v3.CheckRequest");
    T_TEXT(g_text(call, "3"), ".envoy.service.auth.v3.CheckResponse");
    T(g_num(call, "5") < 0 && g_num(call, "6") < 0);
    T_INT(g_num(part(response, 2, "ok_response"), "3"), 3);
    T_INT(g_num(part(response, 2, "ok_response"), "9"), 0);
    T(g_num(part(response, 2, "status"), "9") < 0);
    T_TEXT(g_text(response, "8.1"), "http_response");
    struct slice http = part(part(context, 4, "AttributeContext"), 3, "HttpRequest"), headers = part(http, 2, "headers");
    T_INT(g_num(headers, "3"), 3);
    T_INT(g_num(headers, "4"), 3);
    T_TEXT(g_text(headers, "6"), ".envoy.service.auth.v3.AttributeContext.HttpRequest.HeadersEntry");
    T_INT(g_num(part(http, 3, "HeadersEntry"), "7.7"), 1);
    T_INT(g_num(part(part(http, 3, "HeadersEntry"), 2, "value"), "3"), 2);
    T_TEXT(g_text(part(http, 2, "raw_body"), "10"), "rawBody");
    T_INT(g_num(part(http, 2, "raw_body"), "5"), 12);
    struct slice watch = part(part(file(ask(REFLECT, 4, "grpc.health.v1.Health"), "grpc/health/v1/health.proto"), 6, "Health"), 2, "Watch");
    T(g_num(watch, "5") < 0 && g_num(watch, "6") == 1);
    struct slice info = part(part(file(ask(REFLECT, 4, "grpc.reflection.v1alpha.ServerReflection"), "grpc/reflection/v1alpha/reflection.proto"),
                                  6, "ServerReflection"), 2, "ServerReflectionInfo");
    T(g_num(info, "5") == 1 && g_num(info, "6") == 1);
    T_TEXT(g_text(info, "2"), ".grpc.reflection.v1alpha.ServerReflectionRequest");
}

int main(void)
{
    c_init(true);
    T_RUN(services_are_listed);
    T_RUN(symbols_are_found);
    T_RUN(wrong_questions_are_answered);
    T_RUN(every_type_is_in_a_file_that_comes_along);
    T_RUN(a_descriptor_says_what_the_contract_says);
    c_stop();
    p_done();
    buf_free(&g.body);
    return t_done();
}
