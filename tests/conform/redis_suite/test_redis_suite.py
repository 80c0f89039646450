#!/usr/bin/env python3
"""The official Redis test suite against a running Postern (external-server mode), for what is served.

BUILDS: release
TIMEOUT: 3600

    tests/conform/redis_suite/test_redis_suite.py                 every unit of known.txt
    tests/conform/redis_suite/test_redis_suite.py unit/type/hash  some of them
    ... --write                                                   make known.txt from what happens now

The suite comes from Debian's source package `redis` (7.0.15, BSD licence), fetched by apt with a
private configuration into the user's cache; it needs tclsh. Without either the test is skipped and
says why. Every unit gets a fresh server with an empty memory store and a runner of its own.

known.txt has one line a unit, `unit NAME OK`, the least number of [ok], and below it the names of tests
that fail because what they use is not served yet (or, marked `differs`, because we differ on
purpose). A unit passes if at least OK tests are [ok] and nothing fails that is not named. Tests tagged slow
or needs:repl are left out.
"""
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "box"))
from box import POSTERN, TMP, check, finish, free_port, skip  # noqa: E402

KNOWN = HERE / "known.txt"
CACHE = Path(os.environ.get("POSTERN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postern")
FLAGS = ["--durable", "--dont-clean", "--timeout", "60", "--tags", "-slow -needs:repl"]


def apt_source(target):
    """Unpacks the source package into target; None or why not."""
    apt = target.parent / "redis-apt"
    for part in ("parts", "lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    uris = subprocess.run(["apt-get", "--print-uris", "update"], capture_output=True, text=True).stdout
    bases = dict.fromkeys(re.findall(r"^'(\S+?)/dists/bookworm/InRelease'", uris, re.M))
    if not bases:
        return "apt knows no mirror of Debian 12"
    (apt / "sources.list").write_text("".join(f"deb-src [signed-by={key}] {b} bookworm main\n" for b in bases))
    (apt / "conf").write_text(f"""#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "{apt}/parts";
Dir::State::lists "{apt}/lists";
Dir::Cache "{apt}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::Sandbox::User "";
""")
    subprocess.run(["apt-get", "-qq", "-c", apt / "conf", "update"], capture_output=True)
    got = subprocess.run(["apt-get", "-q", "-c", apt / "conf", "source", "--download-only", "redis"],
                         capture_output=True, text=True, cwd=apt)
    orig = sorted(apt.glob("redis_7.0*.orig.tar.*"))
    if got.returncode or not orig:
        return f"apt-get source redis: {(got.stderr.strip().splitlines() or ['no source'])[-1]}"
    target.mkdir(exist_ok=True)
    done = subprocess.run(["tar", "-xf", orig[-1], "-C", target, "--strip-components=1"], capture_output=True, text=True)
    shutil.rmtree(apt, ignore_errors=True)
    return done.stderr.strip() or None


def suite():
    """A copy of the suite of our own (runs share temporary files and ports), or None: skipped."""
    for program in ("tclsh", "apt-get", "redis-cli", "redis-benchmark"):
        if not shutil.which(program):
            return None, f"no {program} here"
    kept = CACHE / "redis-suite"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock.redis-suite", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / "runtest").exists():
            why = apt_source(kept)
            if why:
                return None, why
    copy = TMP / "suite"
    shutil.copytree(kept / "tests", copy / "tests", dirs_exist_ok=True)
    shutil.copy(kept / "runtest", copy / "runtest")
    (copy / "src").mkdir(exist_ok=True)
    for name in ("redis-server", "redis-cli", "redis-benchmark"):
        path = shutil.which(name) or shutil.which("redis-cli")
        (copy / "src" / name).symlink_to(path)
    return copy, None


def start_server(port):
    data = TMP / f"data-{port}"
    process = subprocess.Popen([POSTERN, "serve", "--data", data, "--store", "memory", "--redis", f"127.0.0.1:{port}",
                                "--portal", "off", "--check", "off", "--admin", "off"],
                               stdout=open(TMP / "server.log", "ab"), stderr=subprocess.STDOUT)
    for _ in range(600):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.1)
    process.kill()
    return None


def run_unit(copy, unit):
    """(names that are ok, names that are not, whether it came to its end)"""
    port = free_port()
    server = start_server(port)
    if server is None:
        return [], [], "the server did not start: " + (TMP / "server.log").read_text()[-300:]
    base = 20000 + os.getpid() % 10 * 1000  # below the ports that connections are given
    try:
        run = subprocess.run(["./runtest", "--host", "127.0.0.1", "--port", str(port), "--baseport", str(base),
                              "--single", unit, *FLAGS], cwd=copy, capture_output=True, timeout=900)
        text = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        text = "TIMEOUT"
    (TMP / f"{unit.replace('/', '-')}.log").write_text(text)
    alive = server.poll() is None
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
    ok = re.findall(r"^\[ok\]: (.*?)(?: \(\d+ ms\))?$", text, re.M)
    bad = [n.split(" in tests/")[0] for n in re.findall(r"^\[(?:err|exception)\]: (.*)$", text, re.M)]
    ended = "" if "[1/1 done]" in text or ("\\o/" in text) else "the unit did not come to its end"
    return ok, bad, ended if alive else "the server died"


def read_known():
    units = {}
    for line in KNOWN.read_text().splitlines():
        if line.startswith("unit "):
            _, name, least = line.split()
            units[name] = (int(least), set())
            names = units[name][1]
        elif line.strip() and not line.startswith("#"):
            names.add(line.strip().removeprefix("differs: "))
    return units


def main():
    units = read_known()
    write = "--write" in sys.argv
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")] or list(units)
    copy, why = suite()
    if copy is None:
        skip("redis suite", why)
        finish()
    lines, total = [], 0
    for unit in wanted:
        ok, bad, trouble = run_unit(copy, unit)
        least, known = units.get(unit, (0, set()))
        new = sorted(set(bad) - known)
        for _ in range(2):
            if write or not (trouble or new or len(ok) < least):
                break
            print(f"# {unit}: once more, without {new} {trouble}", flush=True) # many of its tests race the clock
            ok, bad, trouble = run_unit(copy, unit)
            new = sorted(set(bad) - known)
        total += len(ok)
        if write:
            lines += [f"unit {unit} {len(ok)}", *sorted(set(bad)), ""]
        reason = trouble if trouble and not write else f"fails newly: {new}" if new else \
            f"{len(ok)} ok, {least} expected" if len(ok) < least else ""
        print(f"# {unit}: {len(ok)} ok, {len(bad)} err, {len(new)} of them new {trouble}", flush=True)
        if not write:
            check(f"redis suite {unit} ({len(ok)} ok, {len(bad)} of what is not served)", not reason, reason)
    print(f"# {total} ok in {len(wanted)} units", flush=True)
    if write:
        head = [l for l in KNOWN.read_text().splitlines() if l.startswith("#")]
        KNOWN.write_text("\n".join(head + [""] + lines))
    finish()


main()
