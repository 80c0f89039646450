/*
 * regex.h - regular expressions by PCRE2 with match, depth and heap limits: no input can run away.
 *
 * Compiled once, shared by threads (match data is per thread). A match that hits a limit is
 * RC_TOOBIG: the caller treats it as trouble (a denial), never as "no match".
 */
#ifndef WIRE_REGEX_H
#define WIRE_REGEX_H

#include "base/arena.h"
#include "base/err.h"

struct regex;
/* whole: the pattern must match the entire subject. */
FN enum rc regex_compile(struct slice pattern, bool whole, bool fold_case, struct regex **out,
                         struct err *e) MUST_CHECK;
FN void regex_free(struct regex *r);
/* RC_OK: groups[0..*n) filled (unset ones have p == NULL). RC_NOTFOUND: no match. */
FN enum rc regex_match(const struct regex *r, struct slice subject, struct slice *groups,
                       size_t cap, size_t *n);
/* The same from this byte of the subject on; what stands before it is seen by ^, \b and lookbehind. */
FN enum rc regex_match_from(const struct regex *r, struct slice subject, size_t from,
                            struct slice *groups, size_t cap, size_t *n);
FN size_t regex_groups(const struct regex *r); /* of the pattern, without the whole match */

#endif
