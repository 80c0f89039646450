/*
 * glob.h - Redis' glob patterns (KEYS, SCAN MATCH, PSUBSCRIBE): * ? [a-z] [^x] \c.
 * Linear in time: a pattern with many stars cannot run away (CVE-2024-31228). Pure.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include "base/slice.h"

FN bool glob_match(struct slice pattern, struct slice text, bool fold_case);

#endif
