/*
 * types.h - the rows of the types of value, one function per file that serves one (see entry.h).
 * Inside store/ only.
 */
#ifndef STORE_TYPES_H
#define STORE_TYPES_H

#include "store/entry.h"

FN const struct vtype_row *hval_row(void);

#endif
