/*
 * asset.h - files that are inside the binary: the portal's front end, Lua policies, samples,
 * manual, licences. The table is generated at build time (build/gen/assets.c), sorted by path.
 * Everything returned is constant and lives for ever. Threads: any.
 */
#ifndef BASE_ASSET_H
#define BASE_ASSET_H

#include "base/arena.h"

struct asset {
    const char *path; /* "web/index.html", "lua/office_hours.lua", "demo/policies/apis.yaml" */
    const char *mime;
    const char *etag; /* first 16 hex digits of SHA-256 of the content */
    const unsigned char *gz;
    size_t gz_len;
    size_t len; /* of the content once inflated */
};

FN const struct asset *asset_find(struct slice path);
FN const struct asset *asset_at(size_t i); /* NULL beyond the last */

#endif
