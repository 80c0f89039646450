/*
 * embed.c - build-time program: turns files into build/gen/assets.c, the table behind base/asset.h.
 *
 * Called by the Makefile as `embed LIST OUT`; LIST has lines "path-inside<TAB>file", in any order. A
 * file that ends in .gz is stored as it is, under the name without .gz (the front end's build has
 * compressed it better than we would); everything else is compressed here, without a time stamp, so
 * that the same files give the same bytes.
 *
 * Never part of the product. One run, one thread, exits at the first fault; memory is freed by exit.
 * Tested by tests/house (the table is sorted, every listed file is found) and by every box test that
 * loads a page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbedtls/sha256.h"
#include "zlib.h"

struct file {
    char *path;
    char *source;
    unsigned char *gz;
    size_t gz_len, len;
    char etag[17];
};

static struct file *files;
static size_t count;

_Noreturn static void die(const char *what, const char *which)
{
    fprintf(stderr, "embed: %s: %s\n", which, what);
    exit(1);
}

static void *grow(void *p, size_t n)
{
    p = realloc(p, n ? n : 1);
    if (!p)
        die("out of memory", "realloc");
    return p;
}

static unsigned char *slurp(const char *name, size_t *len)
{
    FILE *f = fopen(name, "rb");
    unsigned char *data = NULL;
    size_t cap = 0, n = 0, got;
    if (!f)
        die("cannot be read", name);
    do {
        if (cap - n < 65536)
            data = grow(data, cap += cap + 65536);
        n += got = fread(data + n, 1, cap - n, f);
    } while (got > 0);
    if (ferror(f))
        die("cannot be read", name);
    fclose(f);
    *len = n;
    return data;
}

/* gzip with a header that holds no time, no name and no operating system. */
static unsigned char *compress_gzip(const unsigned char *data, size_t len, size_t *out_len)
{
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        die("deflateInit2 failed", "zlib");
    size_t cap = deflateBound(&z, (uLong)len) + 64;
    unsigned char *out = grow(NULL, cap);
    z.next_in = (Bytef *)(size_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        die("deflate failed", "zlib");
    *out_len = z.total_out;
    deflateEnd(&z);
    out[9] = 255;
    return out;
}

static unsigned char *expand_gzip(const char *name, const unsigned char *gz, size_t gz_len, size_t *len)
{
    z_stream z = {0};
    unsigned char *out = NULL;
    size_t cap = 0;
    int rc;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        die("inflateInit2 failed", "zlib");
    z.next_in = (Bytef *)(size_t)gz;
    z.avail_in = (uInt)gz_len;
    do {
        out = grow(out, cap += cap + 65536);
        z.next_out = out + z.total_out;
        z.avail_out = (uInt)(cap - z.total_out);
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END)
            die("is not a gzip file", name);
    } while (rc != Z_STREAM_END);
    *len = z.total_out;
    inflateEnd(&z);
    return out;
}

static void load(struct file *f)
{
    size_t n, name_len = strlen(f->path);
    unsigned char *data = slurp(f->source, &n), *plain = data, sum[32];
    if (name_len > 3 && strcmp(f->path + name_len - 3, ".gz") == 0) {
        f->path[name_len - 3] = '\0';
        f->gz = data;
        f->gz_len = n;
        plain = expand_gzip(f->source, data, n, &f->len);
    } else {
        f->len = n;
        f->gz = compress_gzip(data, n, &f->gz_len);
    }
    mbedtls_sha256(plain, f->len, sum, 0);
    for (size_t i = 0; i < 8; i++)
        snprintf(f->etag + 2 * i, 3, "%02x", sum[i]);
    free(plain);
}

static const char *mime_of(const char *path)
{
    static const char *const rows[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".webp", "image/webp"},
        {".woff2", "font/woff2"},
        {".yaml", "application/yaml"},
        {".md", "text/markdown; charset=utf-8"},
        {".lua", "text/plain; charset=utf-8"},
    };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(dot, rows[i][0]) == 0)
            return rows[i][1];
    return "text/plain; charset=utf-8";
}

static void read_list(const char *name)
{
    size_t n;
    unsigned char *text = slurp(name, &n);
    text = grow(text, n + 1);
    text[n] = '\0';
    for (char *line = strtok((char *)text, "\n"); line; line = strtok(NULL, "\n")) {
        char *tab = strchr(line, '\t');
        if (!tab)
            die("has a line without a tab", name);
        *tab = '\0';
        files = grow(files, (count + 1) * sizeof *files);
        files[count] = (struct file){.path = line, .source = tab + 1};
        load(&files[count++]);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void write_string(FILE *out, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i % 48 == 0)
            fputs(i ? "\"\n    \"" : "    \"", out);
        /* Three digits always: a digit that follows is never taken for part of the escape. */
        fprintf(out, "\\%03o", p[i]);
    }
    fputs(n ? "\"" : "    \"\"", out);
}

static void write_table(FILE *out)
{
    fputs("/* Generated by amalgam/tool/embed.c: files inside the binary, sorted by path. */\n"
          "#ifndef GEN_ASSETS_C\n#define GEN_ASSETS_C\n#include \"base/asset.h\"\n\n",
          out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "static const unsigned char assets_%zu[] = /* %s */\n", i, files[i].path);
        write_string(out, files[i].gz, files[i].gz_len);
        fputs(";\n", out);
    }
    fprintf(out, "\nenum { ASSETS_COUNT = %zu };\n", count);
    fputs("static const struct asset assets_rows[ASSETS_COUNT + 1] = {\n", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out,
                "    {.path = \"%s\", .mime = \"%s\", .etag = \"%s\", .gz = assets_%zu, .gz_len = %zu, "
                ".len = %zu},\n",
                files[i].path, mime_of(files[i].path), files[i].etag, i, files[i].gz_len, files[i].len);
    fputs("    {.path = NULL},\n};\n\n"
          "const struct asset *asset_at(size_t i)\n{\n"
          "    return i < ASSETS_COUNT ? &assets_rows[i] : NULL;\n}\n\n"
          "const struct asset *asset_find(struct slice path)\n{\n"
          "    size_t low = 0, high = path.n ? ASSETS_COUNT : 0;\n"
          "    while (low < high) {\n"
          "        size_t mid = low + (high - low) / 2;\n"
          "        const struct asset *row = &assets_rows[mid];\n"
          "        size_t n = strlen(row->path);\n"
          "        int order = memcmp(path.p, row->path, n < path.n ? n : path.n);\n"
          "        if (order == 0 && n == path.n)\n"
          "            return row;\n"
          "        if (order < 0 || (order == 0 && path.n < n))\n"
          "            high = mid;\n"
          "        else\n"
          "            low = mid + 1;\n"
          "    }\n"
          "    return NULL;\n}\n#endif\n",
          out);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage: embed LIST OUT", "arguments");
    read_list(argv[1]);
    if (count)
        qsort(files, count, sizeof *files, by_path);
    for (size_t i = 1; i < count; i++)
        if (strcmp(files[i - 1].path, files[i].path) == 0)
            die("is listed twice", files[i].path);
    FILE *out = fopen(argv[2], "wb");
    if (!out)
        die("cannot be written", argv[2]);
    write_table(out);
    if (ferror(out) || fclose(out) != 0)
        die("cannot be written", argv[2]);
    return 0;
}
