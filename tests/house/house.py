#!/usr/bin/env python3
"""The rules of the house (docs/house.md), checked: `make house`.

Each rule is a function that yields faults (file, line, what is wrong and the cure). A rule prints
`ok NAME`, or its faults and `not ok NAME - N faults`. Needs the host libraries and
build/gen/assets.c, which make builds first. Arguments: names of rules, to run only those.
"""
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.chdir(ROOT)
FLOOR = {"base": 1, "wire": 2, "net": 3, "store": 4, "script": 4, "policy": 5, "check": 6, "resp": 6,
         "portal": 6, "main": 7}
CC, MUSL_CC = os.environ.get("HOST_CC", "gcc"), os.environ.get("MUSL_CC", "musl-gcc")
LIBS = subprocess.run(["amalgam/libs/build.sh", "dir"], capture_output=True, text=True, check=True,
                      env=dict(os.environ, CC=CC, MUSL_CC=MUSL_CC)).stdout.strip()
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Iamalgam", "-Ibuild",
         "-DMBEDTLS_USER_CONFIG_FILE=\"postern_mbedtls.h\""]
FILE_MAX, FUNCTION_MAX, ESSAY_MIN = 900, 70, 4

# The first pattern that a library header's name matches says which rooms may reach it.
LIBRARY_ROOMS = [
    (r"sqlite3\.h$|hiredis/", {"store"}),
    (r"(lua|luaconf|lauxlib|lualib)\.h$", {"script"}),
    (r"civetweb\.h$", {"portal"}),
    (r"(yyjson|yaml|pcre2|argon2|zlib|zconf)\.h$|sodium", {"wire"}),
    (r"nghttp2/", {"net"}),
    (r"mbedtls/(ssl|x509|net_sockets|debug|timing)", {"net"}),
    (r"mbedtls/|psa/|everest/|postern_mbedtls\.h$", {"wire", "net"}),
    (r"mimalloc\.h$", {"base"}),
]

BANNED = {
    "sprintf": "snprintf, or buf_fmt", "vsprintf": "vsnprintf", "strcpy": "memcpy with a known length",
    "strcat": "a buf", "strtok": "slice_cut", "gets": "file_read", "atoi": "slice_i64", "atol": "slice_i64",
    "atof": "slice_double", "rand": "rand.h", "srand": "rand.h", "alloca": "an arena", "system": "nothing",
    "popen": "nothing", "localtime": "localtime_r", "gmtime": "gmtime_r", "ctime": "clock.h",
    "asctime": "clock.h", "aligned_alloc": "mem.h (musl's would bypass the allocator)",
}
ALLOCATORS = ("malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "posix_memalign", "memalign")

# Written so that this file does not contain what it looks for.
FOREIGN_TEXT = [
    (r"/work/[a-z.]+|/[r]oot/", "a path of one machine"),
    (r"deb[.]debian[.]org|security[.]debian[.]org|snapshot[.]debian[.]org|registry[.]npmjs[.]org"
     r"|registry[.]yarnpkg[.]com|pypi[.]org|pythonhosted[.]org|proxy[.]golang[.]org|static[.]crates[.]io"
     r"|deb[.]nodesource[.]com", "a registry host (for package-lock.json: npm config omit-lockfile-registry-resolved)"),
]
FOREIGN_FILES = re.compile(
    r"(^|/)(node_modules|vendor|third_party)/|(^|/)(sqlite3|lua|lauxlib|civetweb|yyjson|zlib|mimalloc)\.[ch]$"
    r"|\.(tar(\.\w+)?|tgz|deb|a|o|so|jar|whl)$|\.min\.js$")

ROOM_FILES = sorted(p for room in FLOOR for p in Path("amalgam", room).rglob("*") if p.suffix in (".c", ".h", ".def"))
C_FILES = [p for p in ROOM_FILES if p.suffix == ".c"]
H_FILES = [p for p in ROOM_FILES if p.suffix == ".h"]


def room(path):
    return Path(path).parts[1]


def text(path):
    return Path(path).read_text(encoding="utf-8", errors="replace")


def bare(source):
    """The source with comments, strings and characters blanked, lines kept."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source, flags=re.S)


def in_parallel(function, items):
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return list(pool.map(function, items))


def includes(path):
    """(line, name, quoted) of each #include."""
    for number, line in enumerate(text(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


def reached(path):
    """Every header the compiler reads for this file, from its dependency output."""
    run = subprocess.run([CC, "-M", "-MG", *FLAGS, "-isystem", f"{LIBS}/host/include", str(path)],
                         capture_output=True, text=True)
    return path, run.stdout.replace("\\\n", " ").split()[1:], run.stderr


def may_see(seer, seen):
    return seer == seen or FLOOR[seen] < FLOOR[seer]


def via(path, header):
    """The line of the direct include that leads to a header, for the message."""
    direct = list(includes(path))
    for number, name, _ in direct:
        if header.endswith(name):
            return number, ""
    for number, name, quoted in direct:
        local = Path("amalgam", name)
        if quoted and local.exists() and any(header.endswith(n) for _, n, _ in includes(local)):
            return number, f" (through {name})"
    return 1, " (through another header)"


# ---- the rules --------------------------------------------------------------------------------


def stairs():
    for path, headers, errors in in_parallel(reached, C_FILES + H_FILES):
        if not headers:
            yield path, 1, f"the compiler cannot read it: {errors.strip().splitlines()[:1]}"
        for header in headers:
            parts = Path(os.path.relpath(header)).parts
            if len(parts) > 2 and parts[0] == "amalgam" and parts[1] in FLOOR and not may_see(room(path), parts[1]):
                line, how = via(path, header)
                yield path, line, (f"{room(path)} (floor {FLOOR[room(path)]}) must not see {parts[1]}/{parts[2]} (floor "
                                   f"{FLOOR[parts[1]]}){how}; hand it down as a value, a callback or a table")
    for path in ROOM_FILES:
        for line, name, quoted in includes(path):
            if quoted and not Path("amalgam", name).exists() and not name.startswith("gen/"):
                yield path, line, f'"{name}" is not a file under amalgam/; write "room/file.h" (libraries: <...>)'


def libraries():
    prefix = f"{LIBS}/host/include/"
    for path, headers, _ in in_parallel(reached, C_FILES + H_FILES):
        told = set()
        for header in (h[len(prefix):] for h in headers if h.startswith(prefix)):
            rooms = next((r for pattern, r in LIBRARY_ROOMS if re.match(pattern, header)), set())
            # One message for a library, not one for each of its inner headers.
            family = header.split("/")[0]
            if room(path) not in rooms and family not in told:
                told.add(family)
                line, how = via(path, header)
                yield path, line, f"{header} belongs to {' and '.join(sorted(rooms)) or 'no room'}{how}; call that room instead"


def lone_headers():
    def compile_alone(path):
        name = path.relative_to("amalgam")
        run = subprocess.run([CC, *FLAGS, "-isystem", f"{LIBS}/host/include", "-fsyntax-only", "-Wall", "-x", "c", "-"],
                             input=f'#include "{name}"\n', capture_output=True, text=True)
        first = [e for e in run.stderr.splitlines() if " error: " in e]
        return path, first[0] if first else "" if run.returncode == 0 else run.stderr.strip()
    for path, error in in_parallel(compile_alone, H_FILES):
        if error:
            yield path, 1, f"does not compile alone ({error}); include what it needs"


def unit():
    """The release unit: every .c once, ground floor first; no clash; nothing unused; only main."""
    listed = [(n, name) for n, name, _ in includes("amalgam/postern.c") if name.endswith(".c") and not name.startswith("gen/")]
    count = Counter(name for _, name in listed)
    for path in C_FILES:
        if count[str(path.relative_to("amalgam"))] == 0:
            yield "amalgam/postern.c", 1, f'lacks #include "{path.relative_to("amalgam")}"; add it in its room'
    floor = 0
    for line, name in listed:
        if count[name] > 1:
            yield "amalgam/postern.c", line, f"{name} is listed {count[name]} times; keep one"
        if FLOOR.get(name.split("/")[0], 0) < floor:
            yield "amalgam/postern.c", line, f"{name} stands above its floor; ground floor comes first"
        floor = max(floor, FLOOR.get(name.split("/")[0], 0))


def unit_compiles():
    """One translation unit shows what file by file hides: names used twice, functions unused."""
    Path("build/house").mkdir(parents=True, exist_ok=True)
    Path("build/house/unit.c").write_text('#include "postern.c"\n#include "gen/assets.c"\n')
    run = subprocess.run([CC, *FLAGS, "-isystem", f"{LIBS}/host/include", "-O0", "-Wall", "-Wextra", "-fno-common", "-c",
                          "build/house/unit.c", "-o", "build/house/unit.o"], capture_output=True, text=True)
    for line in run.stderr.splitlines():
        match = re.match(r"(\S+?):(\d+):\d+: (?:fatal )?(error|warning): (.*)", line)
        if match and not match.group(1).startswith("build/gen/"):
            cure = "remove it, or mark it UNUSED if only tests call it" if "unused" in match.group(4) else \
                "file-local names carry the file's stem" if "redefin" in match.group(4) or "conflicting" in match.group(4) \
                else "see the compiler's message"
            yield match.group(1), match.group(2), f"{match.group(4)}; {cure}"
    if run.returncode == 0:
        names = subprocess.run(["nm", "-g", "--defined-only", "build/house/unit.o"], capture_output=True, text=True).stdout
        for name in (line.split()[-1] for line in names.splitlines()):
            if name != "main":
                yield "amalgam/postern.c", 1, f"exports {name}; mark its prototype FN, or make it static"


def static_names():
    """Two files with one static name cannot become one unit; told here before that unit compiles."""
    places = {}
    pattern = re.compile(r"^static\s+(?:inline\s+|const\s+|_Thread_local\s+|\w+_t\s+|struct\s+|enum\s+|unsigned\s+)*[\w\s*]*?\b(\w+)\s*(?:\(|\[|=|;)", re.M)
    for path in C_FILES:
        source = bare(text(path))
        for match in pattern.finditer(source):
            places.setdefault(match.group(1), {}).setdefault(path, source.count("\n", 0, match.start()) + 1)
    for name, files in sorted(places.items()):
        if len(files) > 1 and not name.isupper():  # MACRO(...) after static is an attribute
            first, *others = files
            for path in others:
                yield path, files[path], f"static {name} is also in {first}:{files[first]}; file-local names carry the file's stem"


def macros():
    for path in C_FILES:
        lines = text(path).splitlines()
        undefined = {m.group(1): n for n, l in enumerate(lines) if (m := re.match(r"\s*#\s*undef\s+(\w+)", l))}
        for number, line in enumerate(lines):
            match = re.match(r"\s*#\s*define\s+(\w+)", line)
            if match and undefined.get(match.group(1), -1) < number:
                yield path, number + 1, f"macro {match.group(1)} leaks into the next file of the unit; #undef it below, or use an enum or a function"


def sizes():
    for path in ROOM_FILES:
        lines = text(path).splitlines()
        if len(lines) > FILE_MAX:
            yield path, FILE_MAX, f"{len(lines)} lines, {FILE_MAX} at most; split it by job"
        opened = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                opened = number
            elif line.startswith("}") and opened:
                # A long switch or table says so: /* house: table */ above or in the function.
                exempt = any("house: table" in l for l in lines[max(0, opened - 6):number])
                if number - opened - 1 > FUNCTION_MAX and not exempt:
                    yield path, opened, (f"function of {number - opened - 1} lines, {FUNCTION_MAX} at most; "
                                         "split it (a dispatch table may say /* house: table */)")
                opened = None


def banned():
    calls = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join([*BANNED, *ALLOCATORS]))
    for path in ROOM_FILES:
        source = bare(text(path))
        for match in calls.finditer(source):
            name, line = match.group(1), source.count("\n", 0, match.start()) + 1
            if name in BANNED:
                yield path, line, f"{name}() is banned; use {BANNED[name]}"
            elif str(path) != "amalgam/base/mem.c":
                yield path, line, f"{name}() belongs to base/mem.c; use mem_alloc, mem_free or an arena"


def essays():
    for path in C_FILES:
        source = text(path)
        comment = re.match(r"/\*.*?\*/", source, re.S)
        if not comment or comment.group(0).count("\n") + 1 < ESSAY_MIN:
            yield path, 1, "opens without an essay: what is this, who calls it, what it never does, who owns its data, which threads, how tested"
        elif path.name not in comment.group(0).split("\n")[1]:
            yield path, 2, f'the essay starts with "{path.name} - what it is"'


def tree_files():
    run = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if run.returncode == 0:
        return sorted(p for p in map(Path, run.stdout.split("\0")) if p.is_file())
    skip = {"build", "node_modules", ".git"}
    return sorted(p for p in Path(".").rglob("*") if p.is_file() and not skip & set(p.parts))


def foreign():
    """Nothing third-party in the tree, no path of one machine, no registry host."""
    for path in tree_files():
        if FOREIGN_FILES.search(str(path)):
            yield path, 1, "looks like a third-party or built file; libraries come from amalgam/libs/build.sh, packages from npm"
            continue
        if path.stat().st_size > 1 << 20:
            yield path, 1, "is larger than 1 MiB; generate it, or leave it out"
        data = path.read_bytes()
        if b"\0" in data[:4096]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            for pattern, what in FOREIGN_TEXT:
                if re.search(pattern, line):
                    yield path, number, f"names {what}; derive it at run time or leave it out"


def assets():
    """The generated table is sorted, and what stands in it is found."""
    source = Path("build/house/assets.c")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text('#include "gen/assets.c"\n#include <stdio.h>\nint main(void)\n{\n    const struct asset *a, *before = NULL;\n'
                      '    for (size_t i = 0; (a = asset_at(i)); before = a, i++) {\n'
                      '        if (before && strcmp(before->path, a->path) >= 0)\n            printf("%s: not in order\\n", a->path);\n'
                      '        if (asset_find(slice_str(a->path)) != a)\n            printf("%s: not found\\n", a->path);\n    }\n'
                      '    return asset_find(S("no such")) || asset_find(S("")) != NULL;\n}\n')
    build = subprocess.run([CC, *FLAGS, "-fsanitize=address,undefined", str(source), "-o", "build/house/assets"], capture_output=True, text=True)
    if build.returncode:
        yield "build/gen/assets.c", 1, build.stderr.strip().splitlines()[0]
        return
    run = subprocess.run(["build/house/assets"], capture_output=True, text=True)
    for line in run.stdout.splitlines():
        yield "build/gen/assets.c", 1, line
    if run.returncode:
        yield "build/gen/assets.c", 1, f"asset_find misbehaves {run.stderr[:200]}"


RULES = [stairs, libraries, lone_headers, unit, unit_compiles, static_names, macros, sizes, banned, essays, foreign, assets]


def main():
    wanted = sys.argv[1:] or [rule.__name__ for rule in RULES]
    failed = 0
    for rule in (r for r in RULES if r.__name__ in wanted):
        faults = sorted({(str(f), int(n), w) for f, n, w in rule()})
        for file, line, what in faults:
            print(f"{file}:{line}: {rule.__name__}: {what}")
        failed += bool(faults)
        print(f"not ok house/{rule.__name__} - {len(faults)} fault{'s'[:len(faults) != 1]}" if faults else f"ok house/{rule.__name__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
