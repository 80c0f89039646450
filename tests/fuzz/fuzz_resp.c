/*
 * fuzz_resp.c - the RESP reader with any bytes, whole and in pieces: both must see the same
 * commands.
 *
 * The first byte chooses the size of the pieces. Seeds: tests/fuzz/seeds/fuzz_resp.
 */
#include "base/mem.h"
#include "wire/hash.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A digest of all that was read, and of how it ended. */
static uint32_t fuzz_resp_read(struct slice in, size_t piece, bool auth_needed, enum rc *end)
{
    struct resp_limits lim = {
        .bulk_bytes_max = 1 << 20, .inline_bytes_max = 4096, .args_max = 10000};
    struct resp_reader r;
    struct err e;
    uint32_t sum = 0;
    size_t start = 0, have = 0;
    enum rc rc = RC_AGAIN;
    resp_reader_init(&r);
    while (have < in.n && (rc == RC_OK || rc == RC_AGAIN)) {
        have = MIN(have + piece, in.n);
        char *copy = mem_alloc(have - start);
        memcpy(copy, in.p + start, have - start);
        struct slice rest = slice_of(copy, have - start);
        size_t used;
        while ((rc = resp_read(&r, rest, &lim, auth_needed, &used, &e)) == RC_OK) {
            MUST(used > 0 && used <= rest.n);
            sum = crc32_ieee(sum, &r.argc, sizeof r.argc);
            for (size_t i = 0; i < r.argc; i++)
                sum = crc32_ieee(crc32_ieee(sum, &r.argv[i].n, sizeof(size_t)), r.argv[i].p,
                                 r.argv[i].n);
            rest = slice_from(rest, used);
            start += used;
        }
        mem_free(copy);
    }
    resp_reader_free(&r);
    *end = rc;
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice in = slice_of((const char *)data + 1, size - 1);
    bool auth_needed = data[0] & 0x80;
    enum rc whole_end, pieces_end;
    uint32_t whole = fuzz_resp_read(in, in.n, auth_needed, &whole_end);
    uint32_t pieces = fuzz_resp_read(in, (size_t)(data[0] & 0x7f) + 1, auth_needed, &pieces_end);
    MUST(whole == pieces && whole_end == pieces_end);
    return 0;
}
