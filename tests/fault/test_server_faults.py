"""The running server on a disk that is full or fails, out of file descriptors, killed while it applies its log.

What must hold each time: a change that cannot be kept is refused in words; what was acknowledged is there
after a start; checks are decided all the while; what heals, heals without a restart (store/store.h).
Disks are small file systems of their own, mounted here (root), unmounted at the end.

TIMEOUT: 1800
"""
import atexit
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "box"))
import box  # noqa: E402
from box import check, equal, skip  # noqa: E402
from load import Closed, Keep, Redis, forward  # noqa: E402

PLAIN = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: plain, namespace: demo}
spec:
  hosts: [plain.example.com]
  http:
    - {name: plain, labels: {keys: plain}, matchers: [{uri: {prefix: /v1}}]}
"""


def policies(name):
    """The demo's, and a route with keys and without a limit."""
    folder = box.TMP / f"policies-{name}"
    shutil.copytree(box.ROOT / "etc/demo/policies", folder)
    (folder / "plain.yaml").write_text(PLAIN)
    return folder


def mounted(name, *command):
    """The directory where a file system of our own is mounted, or None."""
    at = box.TMP / name
    at.mkdir()
    done = subprocess.run(["mount", *map(str, command), str(at)], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    atexit.register(lambda: subprocess.run(["umount", "-l", str(at)], capture_output=True))
    return at


def server(name, data, *args):
    p = box.Postern("--threads", "2", *args, data=data, policies=policies(name))
    p.user("ann@example.com")
    return p, p.key("ann@example.com", "k", "gold")["key"]


def metric(p, name):
    m = re.search(rf"^{name} (\S+)$", box.get(p.ports["admin"], "/metrics").body, re.M)
    return float(m.group(1)) if m else None


class Writer:
    """Sets keys one after the other and remembers what was answered OK, refused, or not answered."""

    def __init__(self, port, prefix, size):
        self.port, self.prefix, self.value = port, prefix, "x" * size
        self.acked, self.refused, self.n = {}, None, 0
        self.r = Redis(port)

    def one(self):
        key, value = f"{self.prefix}{self.n % 300}", f"{self.n}-{self.value}"
        self.n += 1
        try:
            got = self.r.ask("SET", key, value)
        except (Closed, ConnectionError):
            self.acked.pop(key, None) # nobody said what became of it
            self.r = Redis(self.port)
            return None
        if got == b"OK":
            self.acked[key] = value.encode()
        elif got.startswith(b"-"):
            self.refused = got
        return got

    def until_refused(self):
        until = time.time() + box.WAIT * box.SLOW
        while not self.refused and time.time() < until:
            self.one()
        return self.refused

    def missing(self):
        r = Redis(self.port)
        wrong = [k for k, v in self.acked.items() if r.ask("GET", k) != v]
        r.close()
        return wrong


def plain(k, key):
    return k.ask("GET", "/auth/envoy/v1/x", [("Host", "plain.example.com")] + ([("api-key", key)] if key else []))[0]


def auth_goes_on(name, p, key, counts=True):
    """counts: False where the store takes no changes, so that a limit cannot be kept: trouble is a denial."""
    k = Keep(p.ports["check"])
    equal(f"{name}: keys are checked", [plain(k, key), plain(k, None), plain(k, "no-such-key")], [200, 401, 401])
    equal(f"{name}: {'limits are counted' if counts else 'a limit that cannot count denies'}", forward(k, key), 200 if counts else 403)
    k.s.close()


def refuses(name, p, key, w, words):
    """What every fault of the disk looks like from outside."""
    check(f"{name}: a change is refused in words", w.until_refused() and w.refused.startswith(b"-MISCONF ")
          and b"refused" in w.refused, w.refused)
    auth_goes_on(name, p, key, counts=False)
    equal(f"{name}: what was acknowledged can be read", w.missing(), [])
    r = Redis(p.ports["redis"])
    equal(f"{name}: every kind of change is refused", [x[:8] for x in r.batch([("INCR", "i"), ("HSET", "h", "f", "v"), ("DEL", "w0"),
          ("EXPIRE", "w0", "9"), ("FLUSHALL",)])], [b"-MISCONF"] * 5)
    equal(f"{name}: a transaction is refused as a whole", [x[:9] for x in r.batch([("MULTI",), ("SET", "a", "b"), ("EXEC",)])],
          [b"OK", b"-MISCONF ", b"-EXECABOR"])
    r.close()
    equal(f"{name}: not ready", box.get(p.ports["admin"], "/readyz").status, 503)
    equal(f"{name}: the metric says so", metric(p, "postern_store_trouble"), 1)
    check(f"{name}: the log says why and what to do", re.search(rf"store\.log_failed .*{words}", p.output()), p.output()[-500:])
    status, _, err = p.cli("key", "create", "--user", "ann@example.com", "--name", "n", "--plan", "gold")
    check(f"{name}: no key is made that could be lost", status != 0 and err, (status, err))


# ---- the disk ---------------------------------------------------------------------------------


def test_full(mode):
    name = f"disk full, {mode}"
    at = mounted(f"full-{mode}", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none")
    if not at:
        skip(name, "a file system can only be mounted by root")
        return
    p, key = server(f"full-{mode}", at / "data", "--durability", mode)
    w = Writer(p.ports["redis"], "w", 20000)
    for _ in range(50):
        w.one()
    filler = at / "filler"
    with open(filler, "wb", buffering=0) as f:
        try:
            while f.write(b"\0" * 65536):
                pass
        except OSError:
            pass
    refuses(name, p, key, w, "No space left")
    check(f"{name}: waiting for space costs no processor", box.rests(p.process.pid))
    filler.unlink()
    check(f"{name}: it heals without a restart", box.wait_for(p.ready), p.output()[-300:])
    w.refused = None
    for _ in range(20):
        w.one()
    equal(f"{name}: changes are taken again", w.refused, None)
    r = Redis(p.ports["redis"])
    r.ask("CONFIG", "SET", "appendfsync", "always")
    r.ask("SET", "last", "word")
    r.close()
    p.kill()
    p.up()
    equal(f"{name}: nothing acknowledged is lost", w.missing(), [])
    auth_goes_on(f"{name}, after the restart", p, key)
    equal(f"{name}: a clean end", p.down(), 0)


def test_fails():
    """The kernel gives the file system up: everything is read-only from one moment to the next."""
    name = "disk fails"
    image = box.TMP / "disk.img"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    mkfs = box.which("mkfs.ext4")
    at = None
    if mkfs and subprocess.run([mkfs, "-q", "-F", str(image)], capture_output=True).returncode == 0:
        at = mounted("failing", "-o", "loop", image)
    if not at:
        skip(name, "no file system in a file can be mounted (root, mkfs.ext4 and loop devices are needed)")
        return
    p, key = server("fails", at / "data", "--durability", "always")
    w = Writer(p.ports["redis"], "w", 2000)
    for _ in range(50):
        w.one()
    subprocess.run(["mount", "-o", "remount,abort", str(at)], capture_output=True)
    try:
        (at / "probe").write_text("x")
        skip(name, "the file system cannot be made to fail")
        p.down()
        return
    except OSError:
        pass
    refuses(name, p, key, w, "restart")
    time.sleep(1)
    equal(f"{name}: it does not heal by itself", p.ready(), False)
    check(f"{name}: it can be stopped", p.down() != -9, p.output()[-300:])
    status, _, said = box.run("serve", "--data", at / "data", "--check", "off", "--redis", "off", "--portal", "off",
                              "--admin", "off")
    check(f"{name}: a start there is refused in words", status == 3 and "read-only" in said.lower(), (status, said))
    subprocess.run(["umount", str(at)], capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(at)], capture_output=True).returncode != 0:
        skip(f"{name}: nothing acknowledged is lost", "it cannot be mounted again")
        return
    p.up()
    equal(f"{name}: nothing acknowledged is lost", w.missing(), [])
    auth_goes_on(f"{name}, after the restart", p, key)
    p.down()


# ---- killed while applying --------------------------------------------------------------------


def test_killed_while_applying():
    """DEBUG RELOAD makes the applier move the whole log into SQLite; it is killed somewhere in there, again and again."""
    data = Path(tempfile.mkdtemp(dir=box.TMP))
    p, key = server("killed", data, "--durability", "always")
    wanted, seed = {}, random.randrange(1 << 30)
    dice = random.Random(seed)
    for turn in range(4):
        r = Redis(p.ports["redis"])
        for n in range(60):
            commands, now = [], {}
            for k in range(100):
                i = dice.randrange(3000)
                kind = dice.randrange(5)
                if kind == 0:
                    commands.append(("DEL", f"k{i}"))
                    now[f"k{i}"] = None
                else:
                    commands.append(("SET", f"k{i}", f"{turn}-{n}-{k}" * (1 + 20 * (kind == 1))))
                    now[f"k{i}"] = commands[-1][2].encode()
            commands += [("HSET", "h", f"f{n % 40}", f"{turn}-{n}"), ("RENAME", f"k{i}", f"r{n % 7}")]
            got = r.batch(commands)
            if got[-1] == b"OK":
                now[f"r{n % 7}"], now[f"k{i}"] = now[f"k{i}"], None
            wanted.update(now)
        hash_wanted = dict(zip(*[iter(r.ask("HGETALL", "h"))] * 2))
        r.send(("DEBUG", "RELOAD"))
        time.sleep(dice.random() * (0.5 if turn else 0.05) * box.SLOW)
        p.kill()
        p.up()
        r.close()
        r = Redis(p.ports["redis"])
        names = sorted(wanted)
        got = dict(zip(names, r.ask("MGET", *names)))
        wrong = [(n, wanted[n], got[n]) for n in names if got[n] != wanted[n]]
        check(f"killed while applying: turn {turn + 1}, everything is as it was", not wrong, (seed, len(wrong), wrong[:2]))
        equal(f"killed while applying: turn {turn + 1}, the hash, too", dict(zip(*[iter(r.ask("HGETALL", "h"))] * 2)), hash_wanted)
        r.close()
    r = Redis(p.ports["redis"])
    equal("killed while applying: at last it is applied", r.ask("DEBUG", "RELOAD"), b"OK")
    equal("killed while applying: and the same", dict(zip(names, r.ask("MGET", *names))), {n: wanted[n] for n in names})
    r.close()
    auth_goes_on("killed while applying", p, key)
    p.down()


# ---- file descriptors -------------------------------------------------------------------------


def test_no_files():
    name = "out of files"
    folder = policies("files")
    p = box.Postern("--threads", "2", "--durability", "always", policies=folder, wait=False)
    p.command = ["bash", "-c", 'ulimit -n 64 && exec "$@"', "bash", *p.command]
    p.up()
    p.user("ann@example.com")
    key = p.key("ann@example.com", "k", "gold")["key"]
    k, w = Keep(p.ports["check"]), Writer(p.ports["redis"], "w", 100)
    equal(f"{name}: before", [forward(k, key), w.one()], [200, b"OK"])
    greedy = []
    for _ in range(150):
        s = socket.create_connection(("127.0.0.1", p.ports["check"]), timeout=box.WAIT * box.SLOW)
        greedy.append(s)
    check(f"{name}: the log says so and names the cure", box.wait_for(lambda: "net.accept_failed" in p.output()
          and "ulimit" in p.output()), p.output()[-300:])
    check(f"{name}: it does not spin", box.rests(p.process.pid))
    equal(f"{name}: those inside are served", [forward(k, key), forward(k, None), w.one()], [200, 401, b"OK"])
    (folder / "note.yaml").write_text("domain: note\ndescriptors:\n- {key: k, rate_limit: {unit: hour, requests_per_unit: 7}}\n")
    p.process.send_signal(signal.SIGHUP)
    time.sleep(2)
    equal(f"{name}: a reload that cannot read does not take the policies away", [forward(k, key), forward(k, None)], [200, 401])
    for s in greedy:
        s.close()
    check(f"{name}: it recovers", box.wait_for(p.ready))
    auth_goes_on(f"{name}, afterwards", p, key)
    check(f"{name}: the policies are taken up afterwards", box.wait_for(
        lambda: p.output().rfind("policy.reloaded") > p.output().rfind("policy.reload_failed")), p.output()[-600:])
    r = Redis(p.ports["redis"])
    equal(f"{name}: new connections work", r.ask("PING"), b"PONG")
    r.close()
    equal(f"{name}: nothing acknowledged is lost", w.missing(), [])
    equal(f"{name}: a clean end", p.down(), 0)


if __name__ == "__main__":
    test_no_files()
    test_full("always")
    test_full("everysec")
    test_fails()
    test_killed_while_applying()
    box.finish()
