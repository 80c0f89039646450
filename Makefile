# Postern's build: one file, no configure step. `make help` lists the targets.
#
# Two builds of the same sources:
#   release  amalgam/postern.c as one translation unit, musl, static: build/postern
#   dev      file by file with ASan and UBSan, the host's libc: build/dev/postern
# tsan, fuzz and rel (release flags, file by file, for unit tests) are variants of dev. Each has its
# own directory under build/, so modes never mix. The libraries are built once per machine by
# amalgam/libs/build.sh into a cache outside the tree.

VERSION := 0.1.0

HOST_CC ?= gcc
MUSL_CC ?= musl-gcc
CLANG ?= clang
NODE ?= node
NPM ?= npm
PYTHON ?= python3
# WERROR= builds in spite of warnings; WEB=0 leaves the front end out (no node needed).
WERROR ?= -Werror
WEB ?= 1
# Seconds for each fuzz target of `make fuzz`.
FUZZ_SECONDS ?= 60
# Arguments handed through: `make demo DEMO_ARGS=--once`, `make test TESTS='box gateways'`.
DEMO_ARGS ?=
TESTS ?=

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := release
FORCE:
.PHONY: FORCE

# ---- libraries -------------------------------------------------------------------------------

LIBS_SH := CC="$(HOST_CC)" MUSL_CC="$(MUSL_CC)" amalgam/libs/build.sh
LIBS := $(shell $(LIBS_SH) dir)
# On a bare machine there is no compiler yet to name the cache by: these goals install one and call make again.
BARE_GOALS := demo test setup setup-test help clean
ifeq ($(LIBS)$(filter $(BARE_GOALS),$(MAKECMDGOALS)),)
$(error amalgam/libs/build.sh cannot name its cache: set POSTERN_CACHE to a writable directory)
endif
ARCHIVES := -lcivetweb -lhiredis -lnghttp2 -lmbedtls -lsqlite3 -llua -lpcre2-8 -lyyjson -lyaml \
            -largon2 -lsodium -lz -lm
# versions.txt is the last thing a library build writes.
$(LIBS)/musl/versions.txt:
	@$(LIBS_SH) musl
$(LIBS)/host/versions.txt:
	@$(LIBS_SH) host

# ---- sources ---------------------------------------------------------------------------------

ROOMS := base wire net store script policy check resp portal main
SRC := $(sort $(wildcard $(ROOMS:%=amalgam/%/*.c)))
HEADERS := $(sort $(wildcard $(ROOMS:%=amalgam/%/*.h)))
OBJ_NAMES := $(SRC:amalgam/%.c=%.o) gen/assets.o

# The rooms that a room may use, itself first, ground floor last: what its unit tests link.
upto.base := base gen
upto.wire := wire $(upto.base)
upto.net := net $(upto.wire)
upto.store := store $(upto.net)
upto.script := script $(upto.store)
upto.policy := policy $(upto.script)
upto.check := check $(upto.policy)
upto.resp := resp $(upto.policy)
upto.portal := portal $(upto.policy)
upto.main := main portal resp check $(upto.policy)

# ---- flags -----------------------------------------------------------------------------------

# The tree's own path never gets into a binary.
COMMON := -std=c11 -D_GNU_SOURCE -Iamalgam -Ibuild -pthread -fno-common -fno-strict-aliasing \
          -ffile-prefix-map=$(CURDIR)=. -DMBEDTLS_USER_CONFIG_FILE='"postern_mbedtls.h"'
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wundef -Wvla -Wformat=2 \
        -Wimplicit-fallthrough -Wwrite-strings -Wcast-qual $(WERROR)
WARN_FILES := $(WARN) -Wmissing-prototypes
# Tests include .c files and poke about: warnings inform, they do not stop.
WARN_TESTS := -Wall -Wextra -Wno-unused-function -Wno-missing-field-initializers -Itests -Itests/unit
# Stack protector and clash protection are lost in the noise; the linker flags cost nothing.
HARDEN := -fstack-protector-strong -fstack-clash-protection
RELEASE := -O2 -fPIE $(HARDEN)
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

# Static position-independent: address randomisation without a dynamic loader. musl-gcc has no switch
# for it, so the start files are named here; without them (another libc layout) plain -static.
MUSL_LIB := /usr/lib/$(shell uname -m)-linux-musl
CRT := $(wildcard $(MUSL_LIB)/rcrt1.o)
GCC_FILE = $(shell $(HOST_CC) -print-file-name=$(1))
ifneq ($(CRT),)
LINK_MUSL = $(HOST_CC) -nostdlib -static-pie -o $@ $(CRT) $(MUSL_LIB)/crti.o $(call GCC_FILE,crtbeginS.o) \
            $(1) -L$(MUSL_LIB) --sysroot=/nonexistent -Wl,--start-group -lc -lgcc -lgcc_eh -Wl,--end-group \
            $(call GCC_FILE,crtendS.o) $(MUSL_LIB)/crtn.o $(LINK_HARDEN)
else
LINK_MUSL = $(MUSL_CC) -static -o $@ $(1) $(LINK_HARDEN)
endif
LINK_HARDEN := -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--build-id=none

# mode: compiler, flags, flavour of libraries
dev.cc = $(HOST_CC)
dev.flags = $(SANITIZE) -DPOSTERN_DEV $(WARN_FILES)
dev.libs = host
tsan.cc = $(HOST_CC)
tsan.flags = -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DPOSTERN_DEV $(WARN_FILES)
tsan.libs = host
fuzz.cc = $(CLANG)
fuzz.flags = -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
             -fno-sanitize-recover=all -DPOSTERN_DEV -DPOSTERN_FUZZ -Wall
fuzz.libs = host
rel.cc = $(MUSL_CC)
rel.flags = $(RELEASE) -ffunction-sections -fdata-sections $(WARN_FILES)
rel.libs = musl
MODES := dev tsan fuzz rel

version.dev = $(VERSION)-dev
# A release names its commit; a source tree without git is known by its version alone.
version.release := $(VERSION)$(shell git rev-parse --short=10 HEAD 2>/dev/null | sed 's/^/+g/')

# ---- what people call ------------------------------------------------------------------------

.PHONY: help release dev tsan unit unit-build fuzz fuzz-build fuzz-brief bench lint house format-check \
        web libs setup setup-test demo test test-build clean compdb
release: build/postern           ## build/postern: the static release binary (default)
dev: build/dev/postern           ## build/dev/postern: ASan and UBSan, file by file
tsan: build/tsan/postern         ## build/tsan/postern: thread sanitizer

help:                            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

libs: $(LIBS)/musl/versions.txt $(LIBS)/host/versions.txt ## only the libraries, both flavours
	@echo $(LIBS)

setup:                           ## install the packages that building needs (root and apt)
	@amalgam/tool/setup.sh build
setup-test:                      ## install the packages that testing needs (root and apt)
	@amalgam/tool/setup.sh test

# The packages come first; the rest in a new make, whose compiler checks then see them.
demo: setup                      ## from nothing to a running demonstration; DEMO_ARGS=...
	@$(MAKE) release
	build/postern demo $(DEMO_ARGS)

test: setup-test                 ## everything: build both ways, run all tests; TESTS='box gateways'
	@$(MAKE) test-build
	@tests/run $(TESTS)
test-build: release dev tsan unit-build fuzz-build build/test-env

unit: unit-build                 ## unit tests: with ASan and UBSan, and with release flags
	@tests/run unit
fuzz: fuzz-build                 ## each fuzz target for FUZZ_SECONDS (60)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz
fuzz-brief: fuzz-build           ## each fuzz target for 5 seconds
	@FUZZ_SECONDS=5 tests/run fuzz
bench: release                   ## measurements: tests/bench/run
	@tests/bench/run
house: $(LIBS)/host/versions.txt build/gen/assets.c ## the rules of the house, checked
	@HOST_CC="$(HOST_CC)" MUSL_CC="$(MUSL_CC)" $(PYTHON) tests/house/house.py
clean:                           ## remove build/ (the libraries stay in the cache)
	rm -rf build

# ---- objects, file by file -------------------------------------------------------------------

# A file whose time changes only when its content does: a changed flag, compiler, library set or list
# of files rebuilds what depends on it, and nothing else does. ($$PPID: two makes at once do not meet.)
define keep_if_same
	@mkdir -p $(@D)
	@if ! cmp -s $@.$$PPID $@; then mv $@.$$PPID $@; else rm -f $@.$$PPID; fi
endef

define MODE
$(1).dir := build/$(1)
$(1).compile = $$($(1).cc) $$(COMMON) $$($(1).flags) -isystem $$(LIBS)/$$($(1).libs)/include
build/$(1)/flags: FORCE
	@mkdir -p $$(@D); printf '%s\n' '$$(subst ','\'',$$($(1).compile))' "$$$$($$($(1).cc) --version | head -1)" '$$(version.dev)' >$$@.$$$$PPID
	$$(keep_if_same)
build/$(1)/rooms.list: FORCE
	@mkdir -p $$(@D); echo $$(OBJ_NAMES) >$$@.$$$$PPID
	$$(keep_if_same)
build/$(1)/obj/%.o: amalgam/%.c build/$(1)/flags | $$(LIBS)/$$($(1).libs)/versions.txt
	@mkdir -p $$(@D)
	@echo '  $(1)  $$<'
	@$$($(1).compile) -DPOSTERN_VERSION='"$$(version.dev)"' -MMD -MP -c $$< -o $$@
build/$(1)/obj/gen/assets.o: build/gen/assets.c build/$(1)/flags
	@mkdir -p $$(@D)
	@$$($(1).compile) -MMD -MP -c $$< -o $$@
# One archive a room, without main(): a test that includes a .c file takes its own copy and the
# archive's member stays out.
build/$(1)/lib%.a: build/$(1)/rooms.list
	@rm -f $$@.$$$$PPID; ar rcD $$@.$$$$PPID $$(filter %.o,$$^) && mv $$@.$$$$PPID $$@
$$(foreach room,$$(ROOMS) gen,$$(eval build/$(1)/lib$$(room).a: \
    $$(filter-out build/$(1)/obj/main/main.o,$$(addprefix build/$(1)/obj/,$$(filter $$(room)/%,$$(OBJ_NAMES))))))
-include $$(OBJ_NAMES:%.o=build/$(1)/obj/%.d)
endef
$(foreach mode,$(MODES),$(eval $(call MODE,$(mode))))

# archives MODE ROOM: what a program of that room links
archives = $(patsubst %,build/$(1)/lib%.a,$(upto.$(2)))
build/dev/postern: build/dev/obj/main/main.o $(call archives,dev,main)
build/tsan/postern: build/tsan/obj/main/main.o $(call archives,tsan,main)
build/dev/postern build/tsan/postern: build/%/postern:
	@echo '  link $@'
	@$($*.cc) $(filter -fsanitize%,$($*.flags)) -g -pthread -o $@ $^ -L$(LIBS)/host/lib $(ARCHIVES)

# ---- the release, one unit -------------------------------------------------------------------

# The unit is the table of contents and, behind it, the generated assets.
build/gen/unit.c: Makefile
	@mkdir -p $(@D)
	@printf '/* The release translation unit. */\n#include "postern.c"\n#include "gen/assets.c"\n' >$@
build/release/flags: FORCE
	@mkdir -p $(@D); echo '$(subst ','\'',$(release.compile))' "$$($(MUSL_CC) --version | head -1)" '$(version.release)' >$@.$$PPID
	$(keep_if_same)
release.compile = $(MUSL_CC) $(COMMON) $(RELEASE) $(WARN) $(WARN_UNIT) -isystem $(LIBS)/musl/include
# A function that no file uses any more is reported, and refused by `make house`.
WARN_UNIT := -Wno-error=unused-function
build/release/unit.o: build/gen/unit.c build/gen/assets.c amalgam/postern.c build/release/flags | $(LIBS)/musl/versions.txt
	@echo '  release  amalgam/postern.c'
	@$(release.compile) -DPOSTERN_VERSION='"$(version.release)"' -MMD -MP -c $< -o $@ 2>build/release/warnings || { cat build/release/warnings >&2; exit 1; }
	@n=$$(grep -c 'Wunused-function' build/release/warnings); [ $$n = 0 ] || echo "  note: $$n functions that nothing uses (build/release/warnings)"
-include build/release/unit.d
build/postern: build/release/unit.o
	@echo '  link $@'
	@$(call LINK_MUSL,-s $(LIBS)/musl/lib/mimalloc.o $< -L$(LIBS)/musl/lib $(ARCHIVES))

# ---- files inside the binary -----------------------------------------------------------------

WEB_SRC := $(if $(filter-out 0,$(WEB)),$(if $(wildcard web/build.mjs),$(shell find web -name node_modules -prune -o -type f -print)))
ASSET_SRC := $(shell find etc lua docs -type f \( -path 'etc/*' -o -name '*.lua' -o -name '*.md' \) ! -path '*/test*' ! -name '*_test.*' 2>/dev/null) \
             $(wildcard LICENSE)

WEB_DONE := $(if $(WEB_SRC),build/web/.done,build/no-web)

web: $(WEB_DONE)                 ## the portal's front end, into build/web/
web/node_modules/.done: web/package.json web/package-lock.json
	@command -v $(NPM) >/dev/null || { echo "make: the front end needs node 18 or later with npm: run 'make setup', or build with WEB=0" >&2; exit 1; }
	@echo '  npm  web'
	@cd web && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
build/web/.done: web/node_modules/.done $(WEB_SRC)
	@echo '  web  build/web'
	@rm -rf build/web && mkdir -p build/web
	@$(NODE) web/build.mjs >build/web.log 2>&1 || { cat build/web.log >&2; exit 1; }
	@touch $@
build/no-web:
	@mkdir -p $(@D) && touch $@

# "path inside<TAB>file"; licences and versions of everything that is linked or bundled come along.
build/gen/versions.txt: $(LIBS)/musl/versions.txt $(WEB_DONE)
	@rm -rf $(@D)/licences && mkdir -p $(@D)/licences
	@cp $(LIBS)/musl/licences/*.txt $(@D)/licences/
	@{ cat $<; $(if $(WEB_SRC),$(NODE) amalgam/tool/npm_licences.mjs web $(@D)/licences;) } >$@
build/gen/assets.list: $(WEB_DONE) build/gen/versions.txt FORCE
	@{ printf 'libs/versions.txt\tbuild/gen/versions.txt\n'; \
	   for f in $(ASSET_SRC) $(if $(WEB_SRC),$$(find build/web -type f ! -name '.*')) build/gen/licences/*.txt; do \
	       inside=$${f#build/}; printf '%s\t%s\n' "$${inside#gen/}" "$$f"; done; \
	 } | LC_ALL=C sort >$@.$$PPID
	$(keep_if_same)
build/gen/embed: amalgam/tool/embed.c | $(LIBS)/musl/versions.txt
	@mkdir -p $(@D)
	@$(MUSL_CC) -static -std=c11 -O2 -Wall -Wextra -Werror -DMBEDTLS_USER_CONFIG_FILE='"postern_mbedtls.h"' \
	    -isystem $(LIBS)/musl/include $< -o $@ -L$(LIBS)/musl/lib -lmbedtls -lz
build/gen/assets.c: build/gen/embed build/gen/assets.list build/gen/versions.txt $(WEB_DONE) $(ASSET_SRC)
	@build/gen/embed build/gen/assets.list $@

# ---- tests -----------------------------------------------------------------------------------

UNIT_SRC := $(sort $(wildcard tests/unit/*/test_*.c))
FAULT_SRC := $(sort $(wildcard tests/fault/test_*.c tests/fault/*/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
UNIT_BIN := $(UNIT_SRC:tests/%.c=%)
FAULT_BIN := $(FAULT_SRC:tests/%.c=%)

# Unit tests of what threads share say so near their top: "BUILDS: tsan".
TSAN_BIN := $(patsubst tests/%.c,%,$(shell grep -lE 'BUILDS:.* tsan' $(UNIT_SRC)))

unit-build: $(UNIT_BIN:%=build/dev/%) $(UNIT_BIN:%=build/rel/%) $(TSAN_BIN:%=build/tsan/%) $(FAULT_BIN:%=build/dev/%)
# A test of tests/unit/<room>/ links its room and those below; a fault test links them all.
$(foreach t,$(UNIT_BIN),$(foreach mode,dev rel,$(eval build/$(mode)/$(t): $(call archives,$(mode),$(word 2,$(subst /, ,$(t)))))))
$(FAULT_BIN:%=build/dev/%): $(call archives,dev,main)
$(UNIT_BIN:%=build/dev/%) $(FAULT_BIN:%=build/dev/%): build/dev/%: tests/%.c
	@mkdir -p $(@D)
	@echo '  dev  $<'
	@$(dev.cc) $(COMMON) $(SANITIZE) -DPOSTERN_DEV $(WARN_TESTS) -isystem $(LIBS)/host/include -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) -L$(LIBS)/host/lib $(ARCHIVES)
$(UNIT_BIN:%=build/rel/%): build/rel/%: tests/%.c
	@mkdir -p $(@D)
	@echo '  rel  $<'
	@$(rel.cc) $(COMMON) $(RELEASE) $(WARN_TESTS) -isystem $(LIBS)/musl/include -MMD -MP -MF $@.d -static \
	    -o $@ $(LIBS)/musl/lib/mimalloc.o $< $(filter %.a,$^) -L$(LIBS)/musl/lib $(ARCHIVES)
$(foreach t,$(TSAN_BIN),$(eval build/tsan/$(t): $(call archives,tsan,$(word 2,$(subst /, ,$(t))))))
$(TSAN_BIN:%=build/tsan/%): build/tsan/%: tests/%.c
	@mkdir -p $(@D)
	@echo '  tsan $<'
	@$(tsan.cc) $(COMMON) $(filter-out $(WARN_FILES),$(tsan.flags)) $(WARN_TESTS) -isystem $(LIBS)/host/include -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) -L$(LIBS)/host/lib $(ARCHIVES)
-include $(UNIT_BIN:%=build/dev/%.d) $(TSAN_BIN:%=build/tsan/%.d) $(UNIT_BIN:%=build/rel/%.d) $(FAULT_BIN:%=build/dev/%.d)

fuzz-build: $(FUZZ_SRC:tests/fuzz/%.c=build/fuzz/%)
$(FUZZ_SRC:tests/fuzz/%.c=build/fuzz/%): build/fuzz/%: tests/fuzz/%.c $(call archives,fuzz,main)
	@echo '  fuzz $<'
	@$(fuzz.cc) $(COMMON) $(fuzz.flags) -fsanitize=fuzzer $(WARN_TESTS) -isystem $(LIBS)/host/include -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) -L$(LIBS)/host/lib $(ARCHIVES)
-include $(FUZZ_SRC:tests/fuzz/%.c=build/fuzz/%.d)

# What test scripts import: a Python environment and npm packages, when they ask for any.
build/test-env: $(wildcard tests/requirements.txt) $(wildcard tests/box/*/package-lock.json)
	@mkdir -p build
	@if [ -f tests/requirements.txt ]; then $(PYTHON) -m venv build/venv && build/venv/bin/pip -q install -r tests/requirements.txt; fi
	@for d in $(dir $(wildcard tests/box/*/package-lock.json)); do \
	    echo "  npm  $$d"; (cd $$d && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) || exit 1; done
	@touch $@

# ---- lint ------------------------------------------------------------------------------------

compdb: build/dev/compile_commands.json ## build/dev/compile_commands.json for editors and clang-tidy
build/dev/compile_commands.json: build/dev/rooms.list build/dev/flags build/gen/assets.c
	@for f in $(SRC); do printf '{"directory":"%s","file":"%s","command":"cc %s -c %s"},\n' '$(CURDIR)' "$$f" \
	    '$(subst ",\",$(subst ','\'',$(COMMON))) -DPOSTERN_DEV -isystem $(LIBS)/host/include' "$$f"; done \
	 | sed '1s/^/[/; $$s/,$$/]/' >$@
lint: compdb house               ## clang-tidy over every file, and the rules of the house
	@printf '%s\n' $(SRC) | xargs -P "$$(nproc)" -n 4 clang-tidy --quiet -p build/dev
