/*
 * grpc_reflect.h - the tables of grpc_schema.c and what grpc_reflect.c makes of them.
 *
 * A file is a list of rows; MESSAGE, ENUM, SERVICE and ONEOF hold the rows up to their END. Constant data, good
 * for ever, any thread.
 */
#ifndef CHECK_GRPC_REFLECT_H
#define CHECK_GRPC_REFLECT_H

#include "check/grpc.h"

enum schema_kind {
    SCHEMA_MESSAGE,
    SCHEMA_ENUM,
    SCHEMA_SERVICE,
    SCHEMA_ONEOF,
    SCHEMA_END,
    SCHEMA_FIELD,
    SCHEMA_LIST,
    SCHEMA_MAP, /* of texts to type */
    SCHEMA_VALUE,
    SCHEMA_CALL
};
enum { SCHEMA_ANSWERS = 1, SCHEMA_ASKS = 2, SCHEMA_IMPORTS_MAX = 5, SCHEMA_DEPTH_MAX = 4 };

struct schema_row {
    enum schema_kind kind;
    int number;       /* of fields and values; of calls: which side streams */
    const char *name;
    const char *type; /* of a field; of a call: what it takes */
    const char *out;  /* of a call */
};
struct schema_file {
    const char *path, *package;
    const char *imports[SCHEMA_IMPORTS_MAX];
    const struct schema_row *rows;
    size_t n;
};
FN const struct schema_file *schema_file_at(size_t i); /* NULL beyond the last */

#endif
