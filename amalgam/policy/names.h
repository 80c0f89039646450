/*
 * names.h - small comparisons that several files of policy/ share.
 */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include "policy/fields.h"

/* True when every pair of want is in have. Nothing wanted: true. */
FN bool labels_match(const struct field_pairs *want, const struct field_pairs *have);
/* "header_name" and "headerName" are one name; name is the lowerCamel one. */
FN bool field_name_is(struct slice given, const char *name);

#endif
