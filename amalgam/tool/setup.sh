#!/usr/bin/env bash
# setup.sh - the Debian packages that building and testing need.
#
#   setup.sh build   what `make` and `make demo` need
#   setup.sh test    that, and what `make test` needs besides
#   setup.sh list    print the package names (for images and documentation)
#
# Installs only what is missing, and only as root on a host with apt; else it says plainly what to
# install and fails. Running it again does nothing. Daemons that packages bring along are not
# started: the tests start their own on free ports.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# "package what-proves-it-is-there": a command, or a file (wildcards allowed).
build_packages='
gcc gcc
libc6-dev /usr/include/stdlib.h
make make
musl-tools musl-gcc
patch patch
xz-utils xz
bzip2 bzip2
util-linux flock
ca-certificates /etc/ssl/certs/ca-certificates.crt
'
test_packages='
clang clang
libclang-rt-dev /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a
clang-tidy clang-tidy
git git
python3 python3
python3-venv /usr/lib/python3.*/ensurepip/__init__.py
curl curl
nginx nginx
openssl openssl
caddy caddy
haproxy haproxy
redis-server redis-server
redis-tools redis-cli
tcl tclsh
chromium chromium
slapd slapd
wrk wrk
nghttp2-client h2load
nghttp2-client h2load
'

say() { printf 'setup: %s\n' "$*" >&2; }

node_is_good() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -ge 18 ]
}

there() { # package proof
    case $2 in
    /*) compgen -G "$2" >/dev/null ;;
    *) command -v "$2" >/dev/null || [ -x "/usr/sbin/$2" ] ;;
    esac
}

missing() { # lines of "package proof" on stdin
    local package proof
    while read -r package proof; do
        [ -n "$package" ] || continue
        there "$package" "$proof" || echo "$package"
    done
    node_is_good || printf 'nodejs\nnpm\n'
}

# Keeps dpkg from starting daemons while it installs, and leaves no trace of having done so.
install() {
    local policy=/usr/sbin/policy-rc.d made=''
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\n# Made by Postern setup.sh while it installs packages.\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=$policy
    fi
    # shellcheck disable=SC2064
    trap "rm -f '$made'" EXIT
    export RUNLEVEL=1
    local apt=(apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install)
    # Old indexes are good enough until they are not.
    "${apt[@]}" "$@" >&2 || { apt-get -q update >&2 && "${apt[@]}" "$@" >&2; }
}

main() {
    local rows want
    case ${1:-} in
    build) rows=$build_packages ;;
    test) rows=$build_packages$test_packages ;;
    list) awk 'NF { print $1 }' <<<"$build_packages$test_packages"; printf 'nodejs\nnpm\n'; return ;;
    *) sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    want=$(missing <<<"$rows")
    [ -n "$want" ] || return 0
    # shellcheck disable=SC2086
    set -- $want
    if ! command -v apt-get >/dev/null; then
        say "this host lacks: $*"
        say "(Debian's names; install your system's counterparts, then run this again)"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "this host lacks packages, and installing them needs root. Run:"
        say "    sudo apt-get install --no-install-recommends $*"
        exit 1
    fi
    say "installing $*"
    install "$@"
    want=$(missing <<<"$rows")
    [ -z "$want" ] || { say "still missing after the installation:" $want; exit 1; }
}
main "$@"
