#!/usr/bin/env bash
# build.sh - obtains the libraries of libs.conf and builds them as static archives.
#
#   build.sh musl     archives for the release: musl-gcc -O2
#   build.sh host     archives for development, sanitizers and fuzzing: the host's libc, -O1 -g
#   build.sh all      both
#   build.sh fetch    only obtain (and check) the source tarballs
#   build.sh tarballs print the tarballs in use (for an offline kit: copy them, see DEPS_DIR)
#   build.sh dir      print where the results are, built or not (stdout; all else goes to stderr)
#
# Results: DIR/<flavour>/{include,lib,licences}/ and DIR/<flavour>/versions.txt with lines
# "name version licence-file"; DIR is outside the tree and named by a hash of this script, the table,
# the options and the compiler, so that clones share it and a change never meets stale archives.
#
# Environment:
#   POSTERN_CACHE  the cache; default ${XDG_CACHE_HOME:-$HOME/.cache}/postern
#   DEPS_DIR       a directory with the tarballs, for hosts without apt or network. File names as in
#                  libs.conf (or another version of the same series, named <package>_<version>.orig.tar.*);
#                  a SHA256SUMS file in it, if there is one, must agree.
#   CC, MUSL_CC    compilers; default gcc and musl-gcc
#   JOBS           libraries built at once; default the number of processors
#
# Sources are Debian source packages, fetched by apt from the host's own Debian mirror with a private
# configuration; apt checks the index signature and the file against the index, we check it against
# the pin. Needs: bash, a C compiler, make, patch, xz, bzip2, flock; musl-tools for flavour musl.
#
# Two builds at once wait for each other (flock); a build is made in a temporary directory and renamed
# when complete, so an interrupted one never looks finished.
set -euo pipefail
shopt -s inherit_errexit
exec 3>&2 # progress, also from jobs whose stderr is a log
export LC_ALL=C
umask 022
unset CPATH C_INCLUDE_PATH LIBRARY_PATH CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS MFLAGS

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
conf=$here/libs.conf
cache=${POSTERN_CACHE:-${XDG_CACHE_HOME:-${HOME:?set POSTERN_CACHE or HOME}/.cache}/postern}
tarballs=$cache/tarballs
CC=${CC:-gcc}
MUSL_CC=${MUSL_CC:-musl-gcc}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}

say() { printf 'libs: %s\n' "$*" >&3; }
die() { say "$*"; exit 1; }

# Rows of the table: name package kind file sha256 series
rows() { grep -Ev '^[[:space:]]*(#|$)|^suites ' "$conf"; }
names() { rows | awk '$3 == "orig" { print $1 }'; }

# ---------------------------------------------------------------- where the results are

musl_version() { { "/lib/ld-musl-$(uname -m).so.1" 2>&1 || true; } | sed -n 's/^Version //p'; }

result_dir() {
    local key
    key=$({ cat "$here/build.sh" "$conf" "$here/mbedtls_config.h" "$here"/*.inl
            uname -m; $CC --version | head -1; musl_version; } 2>/dev/null | sha256sum | cut -c1-16)
    echo "$cache/libs-$key"
}

# ---------------------------------------------------------------- obtaining sources

sha_of() { sha256sum "$1" | cut -d' ' -f1; }

# The Debian mirror(s) that this host uses, best guess first, one per line.
debian_mirrors() {
    local suite
    suite=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}") || true
    {
        # What apt has already identified as Debian's main archive...
        apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 2>/dev/null |
            awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3 }'
        # ...or, when no index was ever downloaded, what it would ask for. A wrong guess fails the
        # signature check and the next one is tried.
        apt-get --print-uris update 2>/dev/null |
            sed -n "s#^'\([^']*\)/dists/${suite:-stable}/InRelease'.*#\1/#p"
    } | awk '!seen[$0]++'
}

# A private apt: own source list, own lists, own cache. The host's proxy settings stay in force;
# its update hooks do not run.
apt_conf=
apt_open() {
    [ -z "$apt_conf" ] || return 0
    command -v apt-get >/dev/null ||
        die "no apt-get here: give the tarballs in DEPS_DIR (names in $conf)"
    local apt=$cache/apt key='' mirror suite
    for key in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do [ -e "$key" ] && break; done
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
    cat >"$apt/conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/parts";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::Retries "3";
// A mirror that stands still (a snapshot, an offline copy) will do: indexes are signed, files pinned.
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "";
EOF
    for mirror in $(debian_mirrors); do
        : >"$apt/sources.list"
        for suite in $(sed -n 's/^suites //p' "$conf"); do
            echo "deb-src ${key:+[signed-by=$key] }$mirror $suite main" >>"$apt/sources.list"
        done
        say "reading source indexes ($(sed -n 's/^suites //p' "$conf"))"
        # A suite that has left the mirror is an error to apt but not to us: the others are there.
        apt-get -qq -c "$apt/conf" update >"$apt/update.log" 2>&1 || true
        if apt-cache -c "$apt/conf" showsrc --only-source zlib 2>/dev/null | grep ^Version >/dev/null; then
            apt_conf=$apt/conf
            return 0
        fi
    done
    [ ! -s "$apt/update.log" ] || tail -5 "$apt/update.log" >&2
    die "no Debian mirror in this host's apt configuration that serves sources: give the tarballs in DEPS_DIR (names in $conf)"
}

# Debian versions of a package with the file we want of each: "version sha256 file", newest first.
# kind orig: the upstream tarball; kind diff: Debian's own part.
apt_candidates() {
    local package=$1 pattern='[.]orig[.]tar[.](gz|xz|bz2)$'
    [ "$2" = orig ] || pattern='[.]debian[.]tar[.](gz|xz|bz2)$'
    apt-cache -c "$apt_conf" showsrc --only-source "$package" | awk -v pattern="$pattern" '
        /^[^ ]/ { sums = ($1 == "Checksums-Sha256:") }
        $1 == "Version:" { version = $2 }
        $1 == "Package:" || /^$/ { version = ($1 == "Package:") ? "" : version }
        sums && /^ / && $3 ~ pattern { print version, $1, $3 }' | sort -u | sort -rV
}

apt_download() { # package version kind -> files in $tarballs
    local flag=--tar-only tmp=$tarballs/partial.$$
    [ "$3" = orig ] || flag=--diff-only
    rm -rf "$tmp" && mkdir -p "$tmp"
    if (cd "$tmp" && apt-get -q -c "$apt_conf" source $flag --download-only "$1=$2") >"$cache/apt/source.log" 2>&1; then
        mv "$tmp"/* "$tarballs/"
        rm -rf "$tmp"
        return 0
    fi
    rm -rf "$tmp"
    return 1
}

# Makes sure that one row's file is in the cache; records the file in use in $cache/tarballs/use.*
obtain() { # name package kind file sha256 series
    local name=$1 package=$2 kind=$3 file=$4 sha=$5 series=$6 version sum candidate found
    local note=$tarballs/use.$1.$3
    if [ -f "$tarballs/$file" ] && [ "$(sha_of "$tarballs/$file")" = "$sha" ]; then
        echo "$file" >"$note.$$" && mv "$note.$$" "$note"
        return 0
    fi
    if [ -n "${DEPS_DIR:-}" ]; then
        found=$DEPS_DIR/$file
        [ -f "$found" ] || found=$(ls "$DEPS_DIR/${package}_"*".$([ "$kind" = orig ] && echo orig || echo debian).tar."* 2>/dev/null |
            while read -r candidate; do
                version=${candidate##*/"${package}"_}
                version=${version%.orig.tar.*}
                [[ ${version%.debian.tar.*} =~ $series ]] && echo "$candidate"
            done | sort -V | tail -1) || true
        [ -f "${found:-}" ] || die "$name: no $file (nor a successor) in DEPS_DIR=$DEPS_DIR"
        sum=$(sha_of "$found")
        if [ "${found##*/}" = "$file" ] && [ "$sum" != "$sha" ]; then
            die "$found: SHA-256 is $sum, the table says $sha"
        fi
        if [ -f "$DEPS_DIR/SHA256SUMS" ]; then
            awk -v f="${found##*/}" -v s="$sum" '{ n = $2; sub(/^[*]/, "", n); sub(/^[.]\//, "", n) } n == f { bad = ($1 != s) } END { exit bad }' \
                "$DEPS_DIR/SHA256SUMS" || die "$found: SHA-256 differs from DEPS_DIR/SHA256SUMS"
        fi
        [ "${found##*/}" = "$file" ] || say "NOTE: $name: using ${found##*/} in place of $file"
        cp "$found" "$tarballs/partial.$$" && mv "$tarballs/partial.$$" "$tarballs/${found##*/}"
        echo "${found##*/}" >"$note.$$" && mv "$note.$$" "$note"
        return 0
    fi
    apt_open
    # First whatever Debian version still carries the pinned file, then successors, newest first.
    while read -r version sum candidate; do
        if [ ! -f "$tarballs/$candidate" ] || [ "$(sha_of "$tarballs/$candidate")" != "$sum" ]; then
            say "fetching $candidate"
            apt_download "$package" "$version" "$kind" || { say "$name: the mirror lacks $candidate"; continue; }
            [ "$(sha_of "$tarballs/$candidate")" = "$sum" ] || die "$candidate: differs from the signed index"
        fi
        [ "$sum" = "$sha" ] || say "NOTE: $name: $file is gone, using its successor $candidate"
        echo "$candidate" >"$note.$$" && mv "$note.$$" "$note"
        return 0
    done < <(apt_candidates "$package" "$kind" | awk -v sha="$sha" '$2 == sha'
             apt_candidates "$package" "$kind" | awk -v sha="$sha" -v series="$series" '$2 != sha && $1 ~ series')
    die "$name: neither $file nor a successor ($series) can be had; give it in DEPS_DIR"
}

fetch() {
    mkdir -p "$tarballs"
    exec 8>"$cache/lock.fetch"
    flock -n 8 || { say "waiting for another download"; flock 8; }
    local row
    while read -r row; do
        # shellcheck disable=SC2086
        obtain $row
    done < <(rows)
    rm -rf "$cache/apt" # the indexes: tens of megabytes that are stale tomorrow
    exec 8>&-
}

tarball() { echo "$tarballs/$(cat "$tarballs/use.$1.$2")"; }

# "1:1.3.dfsg+really1.3.2" -> 1.3.2, "0~20190702+dfsg" -> 20190702, "2.0.9+ds" -> 2.0.9
version_of() {
    local v
    v=$(cat "$tarballs/use.$1.orig")
    v=${v#*_}; v=${v%.orig.tar.*}
    v=${v##*really}; v=${v%%+*}
    echo "${v#0~}"
}

# ---------------------------------------------------------------- preparing sources

# Unpacks and patches a library once per tarball and script; sets $src, the directory.
prepare() {
    local name=$1 key tmp
    key=$(cat "$here/build.sh" "$here"/*.inl "$(tarball "$name" orig)" | sha256sum | cut -c1-12)
    src=$cache/src/$name-$(version_of "$name")-$key
    exec 7>"$cache/src/lock.$name"
    flock 7
    if [ ! -d "$src" ]; then
        tmp=$src.tmp.$BASHPID # never a name that the orphan of a killed build still writes to
        rm -rf "$src".tmp.* && mkdir -p "$tmp"
        tar -xf "$(tarball "$name" orig)" -C "$tmp" --strip-components=1 --no-same-owner
        cd "$tmp"
        rm -rf test tests testdata doc docs doxygen examples programs third-party visualc
        if declare -F "prepare_$name" >/dev/null; then "prepare_$name"; fi
        cd "$cache"
        mv "$tmp" "$src"
        # What no build has wanted for a month.
        find "$cache/src" -maxdepth 1 -name "$name-*" -mtime +30 -exec rm -rf {} +
    fi
    exec 7>&-
}

# The one-file form of SQLite comes from its own scripts (they bring their own Tcl).
prepare_sqlite() {
    CC=$CC ./configure --disable-shared --disable-tcl
    make sqlite3.c
    find . -mindepth 1 -maxdepth 1 ! -name sqlite3.c ! -name sqlite3.h ! -name LICENSE.md -exec rm -rf {} +
}

# Debian's patches hold two security fixes that no release has (CVE-2025-55763, CVE-2025-9648).
prepare_civetweb() {
    local patch
    tar -xf "$(tarball civetweb diff)" debian/patches
    for patch in $(grep -Ev '^(#|$)' debian/patches/series); do
        patch -p1 --force <"debian/patches/$patch"
    done
    grep -q 'max_append = buflen - len - 1' src/civetweb.c   # the first fix is in
    grep -A6 'key_dec_len >= ' src/handle_form.inl | grep MG_FORM_FIELD_STORAGE_ABORT >/dev/null # the second
    # Twice the headers, in the struct that callers see too.
    sed -i 's/^#define MG_MAX_HEADERS (64)/#define MG_MAX_HEADERS (128)/' include/civetweb.h
    grep -q 'MG_MAX_HEADERS (128)' include/civetweb.h
}

prepare_pcre2() {
    cp src/config.h.generic src/config.h
    cp src/pcre2.h.generic src/pcre2.h
    cp src/pcre2_chartables.c.dist src/pcre2_chartables.c
}

prepare_lua() { # the licence stands at the end of the header
    sed -n '/^\* Copyright (C)/,/^\*\*\*\*/s/^\* \{0,1\}//p' src/lua.h >LICENCE
    test -s LICENCE
}

prepare_mbedtls() { # a user who forgets the configuration would get other struct layouts
    cat >>include/mbedtls/build_info.h <<'EOF'

#ifndef MBEDTLS_USER_CONFIG_FILE
#error "compile with -DMBEDTLS_USER_CONFIG_FILE='\"postern_mbedtls.h\"'"
#endif
EOF
}

prepare_libsodium() { # the header that its configure writes, and ends for what verifying never calls
    sed -e "s/@VERSION@/$(version_of libsodium)/" -e 's/@SODIUM_LIBRARY_VERSION_M[A-Z]*@/0/' \
        -e '/@SODIUM_LIBRARY_MINIMAL_DEF@/d' src/libsodium/include/sodium/version.h.in >src/libsodium/include/sodium/version.h
    printf '%s\n' '#include <stdlib.h>' 'void sodium_misuse(void) { abort(); }' \
        'void randombytes_buf(void *p, size_t n) { (void)p; (void)n; abort(); }' >src/libsodium/sodium/ends.c
}

# ---------------------------------------------------------------- building

# Each build_* runs in its prepared source directory (read only) with: $out (include lib licences),
# $obj (scratch), $cc, $flags, $flavour.

compile() { # compile [flags...] -- files...: objects into $obj
    local extra=() file
    while [ "$1" != -- ]; do extra+=("$1"); shift; done
    shift
    for file in "$@"; do
        # shellcheck disable=SC2086
        $cc $flags "${extra[@]}" -w -c "$file" -o "$obj/$(echo "${file%.c}" | tr / _).o"
    done
}
archive() { rm -f "$out/lib/$1"; (cd "$obj" && ar rcD "$out/lib/$1" ./*.o); } # D: no times, no owners
headers() { cp "$@" "$out/include/"; }

build_zlib() { # without the gz* file functions: we only work on memory
    compile -DHAVE_UNISTD_H=1 -DHAVE_STDARG_H=1 -D_LARGEFILE64_SOURCE=1 -- \
        adler32.c compress.c crc32.c deflate.c infback.c inffast.c inflate.c inftrees.c trees.c uncompr.c zutil.c
    archive libz.a
    headers zlib.h zconf.h
}

build_lua() {
    local file files=() checks=()
    # In development Lua checks how its API is called.
    if [ "$flavour" = host ]; then checks=(-DLUA_USE_APICHECK); fi
    for file in src/*.c; do case $file in src/lua.c | src/luac.c) ;; *) files+=("$file") ;; esac; done
    compile -std=gnu99 -DLUA_USE_POSIX "${checks[@]}" -- "${files[@]}"
    archive liblua.a
    headers src/{lua,luaconf,lauxlib,lualib}.h
}

build_sqlite() {
    local checks=()
    if [ "$flavour" = host ]; then checks=(-DSQLITE_ENABLE_API_ARMOR); fi
    compile -DSQLITE_THREADSAFE=1 -DSQLITE_DQS=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_DEFAULT_MEMSTATUS=0 \
        -DSQLITE_ENABLE_FTS5 -DSQLITE_TRUSTED_SCHEMA=0 -DSQLITE_DEFAULT_FOREIGN_KEYS=1 \
        -DSQLITE_LIKE_DOESNT_MATCH_BLOBS -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE \
        -DSQLITE_TEMP_STORE=2 -DSQLITE_USE_ALLOCA -DHAVE_FDATASYNC=1 -DHAVE_USLEEP=1 -DHAVE_GMTIME_R=1 \
        -DHAVE_LOCALTIME_R=1 -DHAVE_PREAD=1 -DHAVE_PWRITE=1 "${checks[@]}" -- sqlite3.c
    archive libsqlite3.a
    headers sqlite3.h
}

build_mbedtls() {
    cp -r include/mbedtls include/psa 3rdparty/everest/include/everest "$out/include/"
    cp "$here/mbedtls_config.h" "$out/include/postern_mbedtls.h"
    compile -I"$out/include" -Ilibrary -Iinclude -I3rdparty/everest/include -I3rdparty/everest/include/everest \
        -I3rdparty/everest/include/everest/kremlib -I3rdparty/p256-m \
        "-DMBEDTLS_USER_CONFIG_FILE=\"postern_mbedtls.h\"" -- \
        library/*.c 3rdparty/everest/library/{everest,x25519,Hacl_Curve25519_joined}.c
    archive libmbedtls.a
}

build_civetweb() { # net/ ends TLS and serves the files; civetweb sees plain requests on a Unix socket
    compile -Iinclude -I"$here" -DNO_SSL -DUSE_X_DOM_SOCKET -DNO_CGI -DNO_CACHING -DNO_FILES -DNO_FILESYSTEMS \
        -DMG_EXTERNAL_FUNCTION_mg_cry_internal_impl \
        -DMG_EXTERNAL_FUNCTION_log_access -DNDEBUG -- src/civetweb.c
    archive libcivetweb.a
    headers include/civetweb.h
}

build_yyjson() {
    compile -- src/yyjson.c
    archive libyyjson.a
    headers src/yyjson.h
}

build_pcre2() {
    local file files=()
    for file in src/pcre2_*.c; do
        case $file in *_dftables.c | *_fuzzsupport.c | *_jit_test.c | *_jit_match.c | *_jit_misc.c | *_printint.c | *_ucptables.c) ;;
        *) files+=("$file") ;; esac
    done
    compile -Isrc -DHAVE_CONFIG_H -DPCRE2_CODE_UNIT_WIDTH=8 -DPCRE2_STATIC -DSUPPORT_UNICODE -DSUPPORT_JIT \
        -DNEVER_BACKSLASH_C -DHAVE_MEMMOVE=1 -DHAVE_STRERROR=1 -DHAVE_UNISTD_H=1 -- "${files[@]}"
    archive libpcre2-8.a
    headers src/pcre2.h
}

build_libyaml() {
    local v major minor patch
    v=$(version_of libyaml)
    IFS=. read -r major minor patch <<<"$v"
    compile -Iinclude "-DYAML_VERSION_STRING=\"$v\"" -DYAML_VERSION_MAJOR="$major" \
        -DYAML_VERSION_MINOR="$minor" -DYAML_VERSION_PATCH="$patch" -- src/*.c
    archive libyaml.a
    headers include/yaml.h
}

build_nghttp2() {
    compile -Ilib/includes -Ilib -DNGHTTP2_STATICLIB -DBUILDING_NGHTTP2 -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H \
        -DHAVE_TIME_H -DHAVE_CLOCK_GETTIME -DHAVE_DECL_CLOCK_MONOTONIC=1 -- lib/*.c
    archive libnghttp2.a
    mkdir -p "$out/include/nghttp2"
    cp lib/includes/nghttp2/{nghttp2,nghttp2ver}.h "$out/include/nghttp2/"
}

build_hiredis() {
    compile -- alloc.c async.c hiredis.c net.c read.c sds.c sockcompat.c
    archive libhiredis.a
    mkdir -p "$out/include/hiredis"
    cp hiredis.h async.h read.h sds.h alloc.h "$out/include/hiredis/"
}

build_argon2() { # no threads of its own: lanes run one after the other on our worker
    local core=src/ref.c
    if [ "$(uname -m)" = x86_64 ]; then core=src/opt.c; fi
    compile -Iinclude -Isrc -O3 -DARGON2_NO_THREADS -- \
        src/argon2.c src/core.c src/encoding.c src/thread.c src/blake2/blake2b.c $core
    archive libargon2.a
    headers include/argon2.h
}

build_libsodium() { # only the verification of Ed25519, which mbedTLS lacks
    local d=src/libsodium
    compile -I$d/include -I$d/include/sodium -DSODIUM_STATIC=1 -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -DHAVE_TI_MODE=1 \
        -DHAVE_INLINE_ASM=1 -DHAVE_WEAK_SYMBOLS=1 -DHAVE_EXPLICIT_BZERO=1 -- \
        $d/crypto_core/ed25519/ref10/ed25519_ref10.c $d/crypto_sign/ed25519/ref10/{open,sign}.c \
        $d/crypto_hash/sha512/cp/hash_sha512_cp.c $d/crypto_verify/verify.c $d/sodium/{utils,ends}.c
    archive libsodium.a
    mkdir -p "$out/include/sodium"
    cp $d/include/sodium.h "$out/include/"
    cp $d/include/sodium/*.h "$out/include/sodium/"
}

build_mimalloc() { # one object, linked first, so that its malloc wins over libc's
    $cc $flags -w -Iinclude -DNDEBUG -DMI_MALLOC_OVERRIDE -DMI_STATIC_LIB -ftls-model=local-dynamic \
        -c src/static.c -o "$out/lib/mimalloc.o"
    headers include/mimalloc.h
}

licence_of() { # the licence file in the library's source
    local file
    for file in LICENCE LICENCE.md LICENSE LICENSE.md COPYING License; do
        if [ -f "$file" ]; then echo "$file"; return; fi
    done
    return 1
}

# One library, in a subshell of its own. Not to be called in a condition: bash would go on after a
# failed command.
build_one() {
    local name=$1 flags obj=$out/obj/$1 started=$SECONDS
    exec >"$out/log/$name" 2>&1 8>&- 9>&-
    trap '[ -e "$out/obj/$name.ok" ] || { say "$flavour: $name FAILED, the end of $out/log/$name:"; tail -20 "$out/log/$name" | cut -c1-200 >&3; }' EXIT
    trap 'trap - EXIT; exit 143' TERM
    mkdir -p "$obj"
    prepare "$name"
    flags="-ffile-prefix-map=$src=$name -ffile-prefix-map=$out=libs -ffile-prefix-map=$here=libs -fno-strict-aliasing -pthread"
    case $flavour in
    musl) flags="-O2 -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections $flags" ;;
    host) flags="-O1 -g -fno-omit-frame-pointer -fPIC $flags" ;;
    esac
    cd "$src"
    "build_$name"
    cp "$(licence_of)" "$out/licences/$name.txt"
    touch "$out/obj/$name.ok"
    say "$flavour: $name $(version_of "$name") ($((SECONDS - started)) s)"
}

# musl itself is linked in too.
add_musl() {
    local version licence
    version=$(musl_version)
    for licence in /usr/share/doc/musl-dev/copyright /usr/share/doc/musl/copyright /usr/share/licenses/musl/COPYRIGHT; do
        [ -f "$licence" ] || continue
        cp "$licence" "$out/licences/musl.txt"
        echo "musl ${version:-unknown} licences/musl.txt"
        return
    done
}

build_flavour() {
    flavour=$1
    local final=$2/$flavour name started=$SECONDS
    [ ! -f "$final/versions.txt" ] || return 0
    cc=$CC
    if [ "$flavour" = musl ]; then cc=$MUSL_CC; fi
    command -v "${cc%% *}" >/dev/null || die "no $cc: install $([ "$flavour" = musl ] && echo musl-tools || echo gcc)"
    mkdir -p "$2" "$cache/src"
    exec 9>"$2/lock"
    flock -n 9 || { say "waiting for another build of the libraries"; flock 9; }
    [ ! -f "$final/versions.txt" ] || return 0
    fetch
    out=$final.tmp.$$
    rm -rf "$final".tmp.* && mkdir -p "$out"/{include,lib,licences,log,obj}
    for name in $(names); do
        [ "$name $flavour" != "mimalloc host" ] || continue
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
        build_one "$name" &
    done
    wait
    for name in $(names); do
        [ "$name $flavour" = "mimalloc host" ] || [ -e "$out/obj/$name.ok" ] ||
            die "$flavour: $name could not be built; nothing was installed"
    done
    for name in $(names); do
        [ -f "$out/licences/$name.txt" ] && echo "$name $(version_of "$name") licences/$name.txt"
    done >"$out/versions.tmp" || true
    if [ "$flavour" = musl ]; then add_musl >>"$out/versions.tmp"; fi
    sort -o "$out/versions.txt" "$out/versions.tmp"
    rm -rf "$out"/{obj,log,versions.tmp} "$final"
    mv "$out" "$final"
    exec 9>&-
    say "$flavour: done in $((SECONDS - started)) s: $final"
}

trap 'trap - TERM; kill $(jobs -p) 2>/dev/null; say interrupted; exit 130' INT TERM

case ${1:-} in
dir) result_dir ;;
fetch) fetch ;;
tarballs) fetch; while read -r name _ kind _; do tarball "$name" "$kind"; done < <(rows) ;;
musl | host) build_flavour "$1" "$(result_dir)" ;;
all) dir=$(result_dir); build_flavour musl "$dir"; build_flavour host "$dir" ;;
*) sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
