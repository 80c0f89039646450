/*
 * effect.h - what a change did, as bytes: the unit of the log, of replay and of the applier.
 *
 * Effects, not commands: absolute expiry, the popped member as a removal, the new value of a counter.
 * Form: op, db, then what the op's row carries, in this order: type 1, to_db 1, expire_ms 8, at
 * (varint), key, sub, value (each varint length and bytes). Little-endian. Reading checks every
 * length: the bytes may be anything (tests/fuzz/fuzz_log.c). Inside store/ only. Pure.
 */
#ifndef STORE_EFFECT_H
#define STORE_EFFECT_H

#include "store/store.h"

enum effect_op {
    EF_PUT = 1,  /* key is a string: value, expire_ms */
    EF_DEL,      /* key and all its elements are gone */
    EF_EXPIRE,   /* expire_ms, 0: none */
    EF_ELEM_PUT, /* element sub of the key has this value; makes the key (type) if absent */
    EF_ELEM_DEL, /* element sub is gone; the key goes with its last one unless its type may be empty */
    EF_FLUSH,    /* db EFFECT_ALL_DBS: all of them */
    EF_SWAP,     /* db and to_db change places */
    EF_RENAME,   /* key becomes sub in to_db, which is replaced */
    EF_RANGE,    /* value overwrites a long string from `at`, growing it */
    EF_MAKE,     /* an empty key of this type (streams) */
    EF_OPS
};
enum { EFFECT_ALL_DBS = 255 };

struct effect {
    enum effect_op op;
    enum vtype type;
    int db, to_db;
    int64_t expire_ms;
    uint64_t at;
    struct slice key, sub, value;
};

FN void effect_write(struct buf *out, const struct effect *e);
/* Takes one effect off *in. RC_NOTFOUND: *in is empty. RC_BADINPUT: damaged. Slices point into *in. */
FN enum rc effect_read(struct slice *in, struct effect *e) MUST_CHECK;

#endif
