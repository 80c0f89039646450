/*
 * grpc_schema.c - what the messages of our services look like, for tools that ask by reflection.
 *
 * One table per .proto file that those tools know, with the fields that Postern reads or writes (and few
 * others): names and numbers are the contract's, the file is ours. grpc_reflect.c makes descriptors of it. A
 * type is a scalar's name, "=" and an enum, or a message; without a dot it is one of the same package.
 * Data only. Tested by tests/unit/check/test_reflect.c, which holds the numbers against what grpc_auth.c,
 * grpc_limit.c and grpc_health.c say and read, and by tests/box/test_grpc.py with another maker's decoder.
 */
#include "check/grpc_reflect.h"

/* clang-format off */
#define MESSAGE(name)            {SCHEMA_MESSAGE, 0, name, NULL, NULL}
#define ENUM(name)               {SCHEMA_ENUM, 0, name, NULL, NULL}
#define SERVICE(name)            {SCHEMA_SERVICE, 0, name, NULL, NULL}
#define ONEOF(name)              {SCHEMA_ONEOF, 0, name, NULL, NULL}
#define END                      {SCHEMA_END, 0, NULL, NULL, NULL}
#define ONE(n, name, type)       {SCHEMA_FIELD, n, name, type, NULL}
#define MANY(n, name, type)      {SCHEMA_LIST, n, name, type, NULL}
#define MAP(n, name, type)       {SCHEMA_MAP, n, name, type, NULL}
#define VALUE(n, name)           {SCHEMA_VALUE, n, name, NULL, NULL}
#define CALL(name, in, out)      {SCHEMA_CALL, 0, name, in, out}
#define ANSWERS(name, in, out)   {SCHEMA_CALL, SCHEMA_ANSWERS, name, in, out}
#define STREAMS(name, in, out)   {SCHEMA_CALL, SCHEMA_ANSWERS | SCHEMA_ASKS, name, in, out}

static const struct schema_row schema_any[] = {
    MESSAGE("Any"), ONE(1, "type_url", "string"), ONE(2, "value", "bytes"), END,
};
static const struct schema_row schema_duration[] = {
    MESSAGE("Duration"), ONE(1, "seconds", "int64"), ONE(2, "nanos", "int32"), END,
};
static const struct schema_row schema_timestamp[] = {
    MESSAGE("Timestamp"), ONE(1, "seconds", "int64"), ONE(2, "nanos", "int32"), END,
};
static const struct schema_row schema_struct[] = {
    MESSAGE("Struct"), MAP(1, "fields", "Value"), END,
    MESSAGE("Value"),
    ONEOF("kind"),
    ONE(1, "null_value", "=NullValue"), ONE(2, "number_value", "double"), ONE(3, "string_value", "string"),
    ONE(4, "bool_value", "bool"), ONE(5, "struct_value", "Struct"), ONE(6, "list_value", "ListValue"),
    END,
    END,
    ENUM("NullValue"), VALUE(0, "NULL_VALUE"), END,
    MESSAGE("ListValue"), MANY(1, "values", "Value"), END,
};
static const struct schema_row schema_wrappers[] = {
    MESSAGE("DoubleValue"), ONE(1, "value", "double"), END,
    MESSAGE("FloatValue"), ONE(1, "value", "float"), END,
    MESSAGE("Int64Value"), ONE(1, "value", "int64"), END,
    MESSAGE("UInt64Value"), ONE(1, "value", "uint64"), END,
    MESSAGE("Int32Value"), ONE(1, "value", "int32"), END,
    MESSAGE("UInt32Value"), ONE(1, "value", "uint32"), END,
    MESSAGE("BoolValue"), ONE(1, "value", "bool"), END,
    MESSAGE("StringValue"), ONE(1, "value", "string"), END,
    MESSAGE("BytesValue"), ONE(1, "value", "bytes"), END,
};
static const struct schema_row schema_status[] = {
    MESSAGE("Status"),
    ONE(1, "code", "int32"), ONE(2, "message", "string"), MANY(3, "details", "google.protobuf.Any"),
    END,
};
static const struct schema_row schema_base[] = {
    MESSAGE("HeaderValue"), ONE(1, "key", "string"), ONE(2, "value", "string"), ONE(3, "raw_value", "bytes"), END,
    MESSAGE("HeaderValueOption"),
    ENUM("HeaderAppendAction"),
    VALUE(0, "APPEND_IF_EXISTS_OR_ADD"), VALUE(1, "ADD_IF_ABSENT"), VALUE(2, "OVERWRITE_IF_EXISTS_OR_ADD"),
    VALUE(3, "OVERWRITE_IF_EXISTS"),
    END,
    ONE(1, "header", "HeaderValue"), ONE(2, "append", "google.protobuf.BoolValue"),
    ONE(3, "append_action", "=HeaderValueOption.HeaderAppendAction"), ONE(4, "keep_empty_value", "bool"),
    END,
    MESSAGE("HeaderMap"), MANY(1, "headers", "HeaderValue"), END,
    MESSAGE("QueryParameter"), ONE(1, "key", "string"), ONE(2, "value", "string"), END,
    MESSAGE("Metadata"), MAP(1, "filter_metadata", "google.protobuf.Struct"), END,
};
static const struct schema_row schema_address[] = {
    MESSAGE("Pipe"), ONE(1, "path", "string"), ONE(2, "mode", "uint32"), END,
    MESSAGE("SocketAddress"),
    ENUM("Protocol"), VALUE(0, "TCP"), VALUE(1, "UDP"), END,
    ONE(1, "protocol", "=SocketAddress.Protocol"), ONE(2, "address", "string"),
    ONEOF("port_specifier"), ONE(3, "port_value", "uint32"), ONE(4, "named_port", "string"), END,
    END,
    MESSAGE("Address"),
    ONEOF("address"), ONE(1, "socket_address", "SocketAddress"), ONE(2, "pipe", "Pipe"), END,
    END,
};
static const struct schema_row schema_http_status[] = {
    ENUM("StatusCode"),
    VALUE(0, "Empty"), VALUE(200, "OK"), VALUE(301, "MovedPermanently"), VALUE(302, "Found"), VALUE(303, "SeeOther"),
    VALUE(307, "TemporaryRedirect"), VALUE(308, "PermanentRedirect"), VALUE(400, "BadRequest"),
    VALUE(401, "Unauthorized"), VALUE(402, "PaymentRequired"), VALUE(403, "Forbidden"), VALUE(404, "NotFound"),
    VALUE(405, "MethodNotAllowed"), VALUE(406, "NotAcceptable"), VALUE(409, "Conflict"), VALUE(410, "Gone"),
    VALUE(413, "PayloadTooLarge"), VALUE(414, "URITooLong"), VALUE(429, "TooManyRequests"),
    VALUE(431, "RequestHeaderFieldsTooLarge"), VALUE(500, "InternalServerError"), VALUE(503, "ServiceUnavailable"),
    END,
    MESSAGE("HttpStatus"), ONE(1, "code", "=StatusCode"), END,
};
static const struct schema_row schema_context[] = {
    MESSAGE("AttributeContext"),
    MESSAGE("Peer"),
    ONE(1, "address", "envoy.config.core.v3.Address"), ONE(2, "service", "string"), MAP(3, "labels", "string"),
    ONE(4, "principal", "string"), ONE(5, "certificate", "string"),
    END,
    MESSAGE("Request"),
    ONE(1, "time", "google.protobuf.Timestamp"), ONE(2, "http", "AttributeContext.HttpRequest"),
    END,
    MESSAGE("HttpRequest"),
    ONE(1, "id", "string"), ONE(2, "method", "string"), MAP(3, "headers", "string"), ONE(4, "path", "string"),
    ONE(5, "host", "string"), ONE(6, "scheme", "string"), ONE(7, "query", "string"), ONE(8, "fragment", "string"),
    ONE(9, "size", "int64"), ONE(10, "protocol", "string"), ONE(11, "body", "string"), ONE(12, "raw_body", "bytes"),
    ONE(13, "header_map", "envoy.config.core.v3.HeaderMap"),
    END,
    MESSAGE("TLSSession"), ONE(1, "sni", "string"), END,
    ONE(1, "source", "AttributeContext.Peer"), ONE(2, "destination", "AttributeContext.Peer"),
    ONE(4, "request", "AttributeContext.Request"), MAP(10, "context_extensions", "string"),
    ONE(11, "metadata_context", "envoy.config.core.v3.Metadata"), ONE(12, "tls_session", "AttributeContext.TLSSession"),
    ONE(13, "route_metadata_context", "envoy.config.core.v3.Metadata"),
    END,
};
static const struct schema_row schema_auth[] = {
    SERVICE("Authorization"), CALL("Check", "CheckRequest", "CheckResponse"), END,
    MESSAGE("CheckRequest"), ONE(1, "attributes", "AttributeContext"), END,
    MESSAGE("DeniedHttpResponse"),
    ONE(1, "status", "envoy.type.v3.HttpStatus"), MANY(2, "headers", "envoy.config.core.v3.HeaderValueOption"),
    ONE(3, "body", "string"),
    END,
    MESSAGE("OkHttpResponse"),
    MANY(2, "headers", "envoy.config.core.v3.HeaderValueOption"), ONE(3, "dynamic_metadata", "google.protobuf.Struct"),
    MANY(5, "headers_to_remove", "string"),
    MANY(6, "response_headers_to_add", "envoy.config.core.v3.HeaderValueOption"),
    MANY(7, "query_parameters_to_set", "envoy.config.core.v3.QueryParameter"),
    MANY(8, "query_parameters_to_remove", "string"),
    END,
    MESSAGE("CheckResponse"),
    ONE(1, "status", "google.rpc.Status"),
    ONEOF("http_response"), ONE(2, "denied_response", "DeniedHttpResponse"), ONE(3, "ok_response", "OkHttpResponse"), END,
    ONE(4, "dynamic_metadata", "google.protobuf.Struct"),
    END,
};
static const struct schema_row schema_unit[] = {
    ENUM("RateLimitUnit"),
    VALUE(0, "UNKNOWN"), VALUE(1, "SECOND"), VALUE(2, "MINUTE"), VALUE(3, "HOUR"), VALUE(4, "DAY"), VALUE(5, "MONTH"),
    VALUE(6, "YEAR"), VALUE(7, "WEEK"),
    END,
};
static const struct schema_row schema_descriptor[] = {
    MESSAGE("RateLimitDescriptor"),
    MESSAGE("Entry"), ONE(1, "key", "string"), ONE(2, "value", "string"), END,
    MESSAGE("RateLimitOverride"), ONE(1, "requests_per_unit", "uint32"), ONE(2, "unit", "=envoy.type.v3.RateLimitUnit"), END,
    MANY(1, "entries", "RateLimitDescriptor.Entry"), ONE(2, "limit", "RateLimitDescriptor.RateLimitOverride"),
    ONE(3, "hits_addend", "google.protobuf.UInt64Value"),
    END,
};
static const struct schema_row schema_limits[] = {
    SERVICE("RateLimitService"), CALL("ShouldRateLimit", "RateLimitRequest", "RateLimitResponse"), END,
    MESSAGE("RateLimitRequest"),
    ONE(1, "domain", "string"), MANY(2, "descriptors", "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor"),
    ONE(3, "hits_addend", "uint32"),
    END,
    MESSAGE("RateLimitResponse"),
    ENUM("Code"), VALUE(0, "UNKNOWN"), VALUE(1, "OK"), VALUE(2, "OVER_LIMIT"), END,
    MESSAGE("RateLimit"),
    ENUM("Unit"),
    VALUE(0, "UNKNOWN"), VALUE(1, "SECOND"), VALUE(2, "MINUTE"), VALUE(3, "HOUR"), VALUE(4, "DAY"), VALUE(5, "MONTH"),
    VALUE(6, "YEAR"), VALUE(7, "WEEK"),
    END,
    ONE(1, "requests_per_unit", "uint32"), ONE(2, "unit", "=RateLimitResponse.RateLimit.Unit"), ONE(3, "name", "string"),
    END,
    MESSAGE("DescriptorStatus"),
    ONE(1, "code", "=RateLimitResponse.Code"), ONE(2, "current_limit", "RateLimitResponse.RateLimit"),
    ONE(3, "limit_remaining", "uint32"), ONE(4, "duration_until_reset", "google.protobuf.Duration"),
    END,
    ONE(1, "overall_code", "=RateLimitResponse.Code"), MANY(2, "statuses", "RateLimitResponse.DescriptorStatus"),
    MANY(3, "response_headers_to_add", "envoy.config.core.v3.HeaderValue"),
    END,
};
static const struct schema_row schema_health[] = {
    SERVICE("Health"),
    CALL("Check", "HealthCheckRequest", "HealthCheckResponse"),
    ANSWERS("Watch", "HealthCheckRequest", "HealthCheckResponse"),
    END,
    MESSAGE("HealthCheckRequest"), ONE(1, "service", "string"), END,
    MESSAGE("HealthCheckResponse"),
    ENUM("ServingStatus"),
    VALUE(0, "UNKNOWN"), VALUE(1, "SERVING"), VALUE(2, "NOT_SERVING"), VALUE(3, "SERVICE_UNKNOWN"),
    END,
    ONE(1, "status", "=HealthCheckResponse.ServingStatus"),
    END,
};
static const struct schema_row schema_reflection[] = {
    SERVICE("ServerReflection"), STREAMS("ServerReflectionInfo", "ServerReflectionRequest", "ServerReflectionResponse"), END,
    MESSAGE("ServerReflectionRequest"),
    ONE(1, "host", "string"),
    ONEOF("message_request"),
    ONE(3, "file_by_filename", "string"), ONE(4, "file_containing_symbol", "string"),
    ONE(5, "file_containing_extension", "ExtensionRequest"), ONE(6, "all_extension_numbers_of_type", "string"),
    ONE(7, "list_services", "string"),
    END,
    END,
    MESSAGE("ExtensionRequest"), ONE(1, "containing_type", "string"), ONE(2, "extension_number", "int32"), END,
    MESSAGE("ServerReflectionResponse"),
    ONE(1, "valid_host", "string"), ONE(2, "original_request", "ServerReflectionRequest"),
    ONEOF("message_response"),
    ONE(4, "file_descriptor_response", "FileDescriptorResponse"),
    ONE(5, "all_extension_numbers_response", "ExtensionNumberResponse"),
    ONE(6, "list_services_response", "ListServiceResponse"), ONE(7, "error_response", "ErrorResponse"),
    END,
    END,
    MESSAGE("FileDescriptorResponse"), MANY(1, "file_descriptor_proto", "bytes"), END,
    MESSAGE("ExtensionNumberResponse"), ONE(1, "base_type_name", "string"), MANY(2, "extension_number", "int32"), END,
    MESSAGE("ListServiceResponse"), MANY(1, "service", "ServiceResponse"), END,
    MESSAGE("ServiceResponse"), ONE(1, "name", "string"), END,
    MESSAGE("ErrorResponse"), ONE(1, "error_code", "int32"), ONE(2, "error_message", "string"), END,
};

#define FILE_OF(rows) schema_##rows, ARRAY_LEN(schema_##rows)
static const struct schema_file schema_files[] = {
    {"google/protobuf/any.proto", "google.protobuf", {NULL}, FILE_OF(any)},
    {"google/protobuf/duration.proto", "google.protobuf", {NULL}, FILE_OF(duration)},
    {"google/protobuf/timestamp.proto", "google.protobuf", {NULL}, FILE_OF(timestamp)},
    {"google/protobuf/struct.proto", "google.protobuf", {NULL}, FILE_OF(struct)},
    {"google/protobuf/wrappers.proto", "google.protobuf", {NULL}, FILE_OF(wrappers)},
    {"google/rpc/status.proto", "google.rpc", {"google/protobuf/any.proto"}, FILE_OF(status)},
    {"envoy/type/v3/http_status.proto", "envoy.type.v3", {NULL}, FILE_OF(http_status)},
    {"envoy/type/v3/ratelimit_unit.proto", "envoy.type.v3", {NULL}, FILE_OF(unit)},
    {"envoy/config/core/v3/base.proto", "envoy.config.core.v3",
     {"google/protobuf/struct.proto", "google/protobuf/wrappers.proto"}, FILE_OF(base)},
    {"envoy/config/core/v3/address.proto", "envoy.config.core.v3", {NULL}, FILE_OF(address)},
    {"envoy/service/auth/v3/attribute_context.proto", "envoy.service.auth.v3",
     {"envoy/config/core/v3/address.proto", "envoy/config/core/v3/base.proto", "google/protobuf/timestamp.proto"},
     FILE_OF(context)},
    {"envoy/service/auth/v3/external_auth.proto", "envoy.service.auth.v3",
     {"envoy/config/core/v3/base.proto", "envoy/service/auth/v3/attribute_context.proto",
      "envoy/type/v3/http_status.proto", "google/protobuf/struct.proto", "google/rpc/status.proto"}, FILE_OF(auth)},
    {"envoy/extensions/common/ratelimit/v3/ratelimit.proto", "envoy.extensions.common.ratelimit.v3",
     {"envoy/type/v3/ratelimit_unit.proto", "google/protobuf/wrappers.proto"}, FILE_OF(descriptor)},
    {"envoy/service/ratelimit/v3/rls.proto", "envoy.service.ratelimit.v3",
     {"envoy/config/core/v3/base.proto", "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
      "google/protobuf/duration.proto"}, FILE_OF(limits)},
    {"grpc/health/v1/health.proto", "grpc.health.v1", {NULL}, FILE_OF(health)},
    {"grpc/reflection/v1/reflection.proto", "grpc.reflection.v1", {NULL}, FILE_OF(reflection)},
    {"grpc/reflection/v1alpha/reflection.proto", "grpc.reflection.v1alpha", {NULL}, FILE_OF(reflection)},
};
#undef FILE_OF
#undef MESSAGE
#undef ENUM
#undef SERVICE
#undef ONEOF
#undef END
#undef ONE
#undef MANY
#undef MAP
#undef VALUE
#undef CALL
#undef ANSWERS
#undef STREAMS
/* clang-format on */

const struct schema_file *schema_file_at(size_t i)
{
    return i < ARRAY_LEN(schema_files) ? &schema_files[i] : NULL;
}
