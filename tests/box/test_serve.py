"""The server's life: first start, refusals, reload, stop, what operators see, bad HTTP, many connections.

TIMEOUT: 1800
"""
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import box
from box import check, equal
from browser import TLS, Browser, link_token, owner, raw, status_of

DEMO = box.ROOT / "etc/demo/policies"
HOST = "harbour.example.com"
DEV = os.environ.get("POSTERN_BUILD") == "dev"
ENV = {k: v for k, v in os.environ.items() if not k.startswith("POSTERN")}


def fresh(prefix="s"):
    return Path(tempfile.mkdtemp(dir=box.TMP, prefix=prefix))


def ask_text(key=None, keep=True):
    lines = ["GET /auth/forward HTTP/1.1", "Host: postern", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https",
             f"X-Forwarded-Host: {HOST}", "X-Forwarded-Uri: /v1/stations", "X-Forwarded-For: 192.0.2.7"]
    lines += [f"api-key: {key}"] if key else []
    lines += [] if keep else ["Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Keep:
    """A keep-alive connection to the check port."""

    def __init__(self, port=None, path=None):
        self.s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.s.settimeout(box.WAIT * box.SLOW)
        self.s.connect(str(path) if path else ("127.0.0.1", port))
        self.left = b""

    def ask(self, key=None):
        self.s.sendall(ask_text(key))
        while b"\r\n\r\n" not in self.left:
            piece = self.s.recv(65536)
            if not piece:
                raise OSError("closed")
            self.left += piece
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1))
        while len(self.left) < length:
            self.left += self.s.recv(65536)
        self.left = self.left[length:]
        return int(head.split()[1])

    def close(self):
        self.s.close()


def start_alone(args, seconds=box.WAIT, **more):
    """A start that is expected to fail: (status, what it said)."""
    program = box.POSTERN
    if "user" in more:  # who cannot look into the directory of the checkout
        program = Path(tempfile.mkdtemp(prefix="pst-bin-")) / "postern"
        program.parent.chmod(0o755)
        shutil.copy(box.POSTERN, program)
    p = subprocess.run([program, "serve", *map(str, args)], capture_output=True, text=True,
                       timeout=seconds * box.SLOW, env=ENV, **more)
    if program != box.POSTERN:
        shutil.rmtree(program.parent)
    return p.returncode, p.stderr


OFF = ["--check", "off", "--redis", "off", "--portal", "off", "--admin", "off"]


# ---- starting ---------------------------------------------------------------------------------


def test_first_start():
    data = box.TMP / "first" / "deep"
    p = box.Postern(data=data)
    said = p.output()
    check("the banner names every door", all(x in said for x in (
        f"http://127.0.0.1:{p.ports['check']}", f"redis://127.0.0.1:{p.ports['redis']}",
        f"https://127.0.0.1:{p.ports['portal']}", f"http://127.0.0.1:{p.ports['admin']}", str(data))), said)
    equal("the one-time link is printed once", said.count("/setup?token="), 1)
    check("without policies it says that every check is denied", "every check is denied" in said, said)
    modes = {str(x.relative_to(data)): x.stat().st_mode & 0o777 for x in data.rglob("*")}
    equal("the data directory is 0700", data.stat().st_mode & 0o777, 0o700)
    equal("secret.key is 0600", modes["secret.key"], 0o600)
    check("nothing in it is for others", not any(m & 0o077 for m in modes.values()), modes)
    equal("without policies every check is denied", box.get(p.ports["check"], "/auth/forward").status, 403)

    status, said = start_alone(["--data", data, *OFF])
    check("a second Postern on the directory is refused with the pid", status == 3 and f"process {p.process.pid}" in said
          and "--data" in said, (status, said))
    equal("and the first goes on", box.get(p.ports["admin"], "/readyz").status, 200)
    owner(p)
    equal("SIGTERM ends with status 0", p.down(), 0)
    check("the sockets are gone", not [x for x in data.iterdir() if x.is_socket()], list(data.iterdir()))
    before = (data / "secret.key").read_bytes(), (data / "tls/ca.crt").read_bytes()
    at = len(p.output())
    p.up()
    check("with an account there is no setup link", "/setup?token=" not in p.output()[at:], p.output()[at:])
    check("secret and CA stay", before == ((data / "secret.key").read_bytes(), (data / "tls/ca.crt").read_bytes()))
    p.down()


def test_memory_directory():
    p = box.Postern(store="memory")
    status, said = start_alone(["--data", p.data, "--store", "memory", *OFF])
    check("in memory, too, one directory has one Postern", status == 3 and f"process {p.process.pid}" in said, said)
    p.down()
    home = fresh("t")
    q = box.start([box.POSTERN, "serve", "--store", "memory", *OFF[:-2], "--admin", f"127.0.0.1:{p.ports['admin']}"],
                  log="memory.log", env=dict(ENV, TMPDIR=str(home)))
    box.wait_for(lambda: p.ready())
    check("without --data memory makes a private directory", [x.name[:8] for x in home.iterdir()] == ["postern-"],
          list(home.iterdir()))
    box.stop(q)
    equal("and takes it away", list(home.iterdir()), [])


def test_ports_taken():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        for door in ("check", "redis", "portal", "admin"):
            args = list(OFF)
            args[args.index(f"--{door}") + 1] = f"127.0.0.1:{port}"
            status, said = start_alone(["--data", fresh(), *args])
            check(f"a taken port says the flag that cures it: --{door}",
                  status == 3 and f"127.0.0.1:{port}" in said and re.search(rf"--{door} 127\.0\.0\.1:\d+", said)
                  and f"--{door} off" in said, (status, said))
    status, said = start_alone(["--data", fresh(), *OFF[:-2], "--admin", "192.0.2.1:9"])
    check("an address that is not ours is status 3", status == 3 and "192.0.2.1:9" in said, (status, said))


def test_bad_directories():
    file = fresh() / "file"
    file.write_text("x")
    status, said = start_alone(["--data", file, *OFF])
    check("a data directory that is a file", status == 3 and "not a directory" in said.lower() and str(file) in said, said)
    status, said = start_alone(["--data", file / "below", *OFF])
    check("a data directory below a file", status == 3 and str(file) in said, said)

    shut = fresh()
    os.chmod(box.TMP, 0o711)
    os.chmod(shut, 0o555)
    if os.getuid() == 0:
        status, said = start_alone(["--data", shut, *OFF], user=65534, group=65534, extra_groups=[])
    else:
        status, said = start_alone(["--data", shut, *OFF])
    check("a data directory that cannot be written", status == 3 and str(shut) in said and
          re.search("read-only|rights|Permission", said), (status, said))

    newer = fresh()
    assert box.run("user", "create", "ann@example.com", "--data", newer)[0] == 0
    db = sqlite3.connect(newer / "postern.db")
    db.execute("UPDATE meta SET value=999 WHERE name='schema'")
    db.commit()
    db.close()
    status, said = start_alone(["--data", newer, *OFF])
    check("data of a newer version is refused and says what to do", status == 3 and "newer Postern" in said
          and "999" in said and "backup" in said, (status, said))

    broken = fresh()
    assert box.run("user", "create", "ann@example.com", "--data", broken)[0] == 0
    (broken / "secret.key").write_text("short\n")
    status, said = start_alone(["--data", broken, *OFF])
    check("a secret key that was cut is refused", status == 3 and "secret.key" in said and "backup" in said, said)

    bad = fresh("p")
    (bad / "a.yaml").write_text("kind: [\n")
    status, said = start_alone(["--data", fresh(), "--policies", bad, *OFF])
    check("broken policies at the start are status 3 and named", status == 3 and "a.yaml:" in said
          and "check-config" in said, (status, said))
    status, said = start_alone(["--data", fresh(), *OFF[:4], "--portal", f"127.0.0.1:{box.free_port()}", "--admin", "off",
                                "--set", "portal.tls_cert=/nonexistent/cert.pem"])
    check("a certificate that is not there is status 3", status == 3 and "/nonexistent/cert.pem" in said, (status, said))


def test_unix_sockets():
    folder = fresh("u")
    p = box.Postern("--check", f"unix:{folder}/c.sock", "--redis", f"unix:{folder}/r.sock", policies=DEMO, store="memory")
    p.user("ann@example.com")
    key = p.key("ann@example.com", "k", "gold")["key"]
    k = Keep(path=folder / "c.sock")
    equal("checks over a Unix socket, its forwarded headers believed", (k.ask(key), k.ask()), (200, 401))
    got = raw(None, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", path=folder / "r.sock")
    equal("Redis over a Unix socket", got, b"+PONG\r\n+OK\r\n")
    k.close()
    p.down()
    check("the socket files are gone", not list(folder.iterdir()), list(folder.iterdir()))
    group = os.getgid() if os.getuid() else 1
    os.chown(folder, -1, group)
    folder.chmod(0o2750)
    p = box.Postern("--check", f"unix:{folder}/c.sock", "--redis", f"unix:{folder}/r.sock", "--set", "check.socket_mode=0660",
                    policies=DEMO, store="memory")
    seen = [(f.stat().st_mode & 0o777, f.stat().st_gid == group) for f in (folder / "c.sock", folder / "r.sock")]
    equal("the group may use the socket that says so, and only that one", seen, [(0o660, True), (0o600, True)])
    p.down()
    status, said = start_alone(["--data", fresh(), *OFF, "--set", "check.socket_mode=777"])
    check("another mode is refused", status != 0 and "0600|0660|0666" in said, (status, said))


# ---- reload -----------------------------------------------------------------------------------

DENY_ALL = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: closed}
spec:
  applyToRoutes:
    - route:
        labels: {keys: plain}
  config:
    glooAuth:
      configs:
        - luaAuth:
            inline: "return function() return {allow = false, status = 403, reason = 'closed'} end"
"""


def put(path, text):
    """A whole file or the one before: Postern may look at any moment."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def copy_policies():
    folder = fresh("p")
    for f in DEMO.rglob("*.yaml"):
        to = folder / f.relative_to(DEMO)
        to.parent.mkdir(exist_ok=True)
        to.write_text(f.read_text())
    return folder


class Loop:
    """Asks on one keep-alive connection, again and again, and remembers every status."""

    def __init__(self, port, key):
        self.seen, self.fault, self.on = [], None, True
        self.thread = threading.Thread(target=self.run, args=(port, key), daemon=True)
        self.thread.start()

    def run(self, port, key):
        try:
            k = Keep(port)
            while self.on:
                self.seen.append(k.ask(key))
                time.sleep(0.002)
            k.close()
        except OSError as e:
            self.fault = e

    def end(self):
        self.on = False
        self.thread.join(box.WAIT * box.SLOW)
        return self.fault


def metric(p, name):
    m = re.search(rf"^{re.escape(name)} (\S+)$", box.get(p.ports["admin"], "/metrics").body, re.M)
    return float(m.group(1)) if m else None


def test_reload():
    folder = copy_policies()
    (folder / "plans.yaml").unlink()
    p = box.Postern(policies=folder)
    boss = owner(p)
    key = p.key("olga@example.com", "k", "")["key"]
    loop = Loop(p.ports["check"], key)
    equal("before", Keep(p.ports["check"]).ask(key), 200)
    put(folder / "closed.yaml", DENY_ALL)
    check("a new file comes into force by itself", box.wait_for(lambda: loop.seen and loop.seen[-1] == 403), loop.seen[-1:])
    loads = metric(p, "postern_policy_reloads_total")

    put(folder / "closed.yaml", DENY_ALL.replace("luaAuth", "[broken"))
    box.wait_for(lambda: metric(p, "postern_policy_reloads_failed_total") == 1)
    equal("a bad file is counted", (metric(p, "postern_policy_reloads_failed_total"),
                                    metric(p, "postern_policy_last_load_failed"),
                                    metric(p, "postern_policy_reloads_total")), (1, 1, loads + 1))
    equal("what was in force stays so", Keep(p.ports["check"]).ask(key), 403)
    equal("and Postern is ready", box.get(p.ports["admin"], "/readyz").status, 200)
    v = boss.get("/admin/v1/policies").json()
    check("the portal shows the fault with its place, and what is in force", v["inForce"] is False
          and any(f["file"].endswith("closed.yaml") and f["line"] > 0 and not f["notice"] for f in v["faults"])
          and v["counts"]["routes"] >= 2, v)
    h = {c["name"]: c for c in boss.get("/admin/v1/health").json()["checks"]}
    equal("the health page says so", h["policies"]["state"], "bad")
    check("the log says so", "policy.reload_failed" in p.output() and "closed.yaml" in p.output(), p.output()[-400:])

    (folder / "closed.yaml").unlink()
    p.process.send_signal(signal.SIGHUP)
    check("SIGHUP reloads", box.wait_for(lambda: loop.seen[-1] == 200 and "why=SIGHUP" in p.output()), loop.seen[-1:])
    for i in range(10):
        put(folder / "note.yaml", DENY_ALL.replace("keys: plain", f"nothing: n{i}"))
        p.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    box.wait_for(lambda: metric(p, "postern_policy_reloads_total") >= loads + 8, 8) # fewer, when signals met
    box.wait_for(lambda: len(loop.seen) > 50)
    fault = loop.end()
    check("no request of the keep-alive loop was dropped by all this", fault is None and len(loop.seen) > 50
          and set(loop.seen) == {200, 403}, (fault, len(loop.seen), set(loop.seen)))
    p.down()


def test_certificates():
    cert = fresh("t")
    for name in ("a", "b"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", cert / f"{name}.key", "-out", cert / f"{name}.crt", "-days", "30",
                        "-subj", f"/CN={name}.example.com"], check=True, capture_output=True)

    def put(name):
        for kind in ("key", "crt"):
            (cert / f"n.{kind}").write_bytes((cert / f"{name}.{kind}").read_bytes())
            (cert / f"n.{kind}").rename(cert / f"live.{kind}")

    def subject():
        with socket.create_connection(("127.0.0.1", p.ports["portal"]), timeout=box.WAIT * box.SLOW) as s:
            with TLS.wrap_socket(s) as t:
                der = t.getpeercert(binary_form=True)
        return next((n for n in ("a", "b") if f"{n}.example.com".encode() in der), "?")

    put("a")
    p = box.Postern("--set", f"portal.tls_cert={cert}/live.crt", "--set", f"portal.tls_key={cert}/live.key", store="memory")
    equal("the certificate of the settings is served", subject(), "a")
    put("b")
    check("a new one is taken up by itself", box.wait_for(lambda: subject() == "b"), subject())
    (cert / "live.crt").write_text("no certificate")
    box.wait_for(lambda: "tls.reload_failed" in p.output())
    check("a broken one is logged, the one before stays", "tls.reload_failed" in p.output() and subject() == "b",
          p.output()[-300:])
    boss = owner(p)
    for command in (("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     cert / "old.key", "-out", cert / "old.csr", "-subj", "/CN=old.example.com"),
                    ("x509", "-req", "-in", cert / "old.csr", "-signkey", cert / "old.key", "-days", "-1", "-out", cert / "old.crt")):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    put("old")

    def line():
        return next(c for c in boss.get("/admin/v1/health").json()["checks"] if c["name"] == "portal certificate")

    box.wait_for(lambda: "old.example.com" in line()["value"])
    check("one that has expired is bad, not a matter of days", line()["state"] == "bad" and line()["value"].endswith("expired"), line())
    p.down()


# ---- stopping ---------------------------------------------------------------------------------


def test_restart():
    p = box.Postern(policies=DEMO)
    p.user("ann@example.com")
    keys = [p.key("ann@example.com", f"k{i}", "gold")["key"] for i in range(5)]
    r = socket.create_connection(("127.0.0.1", p.ports["redis"]))
    r.sendall(b"SET colour blue\r\n")
    equal("before", r.recv(100), b"+OK\r\n")
    idle = Keep(p.ports["check"])
    idle.ask()
    equal("SIGTERM with idle connections ends with status 0", p.down(), 0)
    equal("idle connections see the end", idle.s.recv(10), b"")
    check("the log says that it stops", "serve.stopping" in p.output(), p.output()[-200:])
    p.up()
    k = Keep(p.ports["check"])
    equal("after a restart the keys are there", [k.ask(key) for key in keys], [200] * 5)
    r = socket.create_connection(("127.0.0.1", p.ports["redis"]))
    r.sendall(b"GET colour\r\n")
    equal("and the data", r.recv(100), b"$4\r\nblue\r\n")
    p.process.send_signal(signal.SIGINT)
    equal("SIGINT is the same", p.process.wait(box.WAIT * box.SLOW), 0)


# ---- what operators see -----------------------------------------------------------------------


def test_operators():
    p = box.Postern(policies=DEMO)
    admin = p.ports["admin"]
    Keep(p.ports["check"]).ask()
    for path, kind in (("/healthz", "text/plain"), ("/readyz", "text/plain"), ("/rlconfig", "application/json"),
                       ("/metrics", "text/plain; version=0.0.4")):
        r = box.get(admin, path)
        check(f"{path} answers", r.status == 200 and r.header("content-type") == kind
              and r.header("cache-control") == "no-store", (r.status, r.headers.items()))
        h = box.request(admin, "HEAD", path)
        check(f"HEAD {path}", h.status == 200 and h.body == "", h.body)
        r = box.request(admin, "POST", path, body="")
        check(f"POST {path} is 405 with Allow", r.status == 405 and r.header("allow") == "GET, HEAD", r.headers.items())
    equal("other paths are 404", box.get(admin, "/").status, 404)
    json.loads(box.get(admin, "/rlconfig").body)

    text = box.get(admin, "/metrics").body
    kinds, seen, helped, last = {}, set(), set(), None
    faults = []
    if not text.endswith("\n"):
        faults.append("no newline at the end")
    for n, line in enumerate(text.splitlines(), 1):
        m = re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)", line)
        if m:
            if m[1] == "TYPE":
                if m[2] in kinds or m[3] not in ("counter", "gauge", "histogram") or m[2] not in helped:
                    faults.append((n, line))
                kinds[m[2]] = m[3]
            else:
                helped.add(m[2])
            last = m[2]
            continue
        m = re.fullmatch(r'([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\d+(?:\.\d+)?)', line)
        if not m or m[1] not in kinds or m[1] != last or m[1] + (m[2] or "") in seen:
            faults.append((n, line))
            continue
        if kinds[m[1]] == "counter" and not m[1].endswith("_total"):
            faults.append((n, line))
        seen.add(m[1] + (m[2] or ""))
    check("/metrics is the strict text format", not faults, faults)
    check("/metrics has what dashboards need", {"postern_checks_total", "postern_connections", "postern_store_keys",
          "process_resident_memory_bytes", "postern_policy_reloads_failed_total"} <= set(kinds), sorted(kinds))
    check("no secrets there", (p.data / "secret.key").read_text().strip() not in text)
    p.down()


# ---- bad HTTP ---------------------------------------------------------------------------------

H = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
BAD = [ # name, bytes, statuses that are right
    ("no HTTP at all", b"\x16\x03\x01\x00\xa5\x01\x00\x00", {400}),
    ("a line of rubbish", b"HELLO\r\n\r\n", {400}),
    ("HTTP/2.0 in the line", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", {400, 505}),
    ("HTTP/1.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", {400, 505}),
    ("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    ("two Hosts", H + b"Host: b\r\n\r\n", {400}),
    ("a bare LF", b"GET /healthz HTTP/1.1\nHost: a\n\n", {400}),
    ("a folded header", H + b"X: a\r\n b\r\n\r\n", {400}),
    ("a space before the colon", H + b"X : a\r\n\r\n", {400}),
    ("a NUL in a value", H + b"X: a\0b\r\n\r\n", {400}),
    ("two different lengths", H + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", {400}),
    ("length and chunked", H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    ("a length that is no number", H + b"Content-Length: +5\r\n\r\n", {400}),
    ("an unknown transfer coding", H + b"Transfer-Encoding: gzip, chunked\r\n\r\n", {400, 501}),
    ("a target of 20 KiB", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    ("a head of 70 KiB", H + b"X: " + b"a" * 70000 + b"\r\n\r\n", {431}),
    ("200 headers", H + b"".join(b"X%d: a\r\n" % i for i in range(200)) + b"\r\n", {431}),
    ("a head without end", H + b"X: " + b"a" * 200000, {431}),
]


def test_bad_http():
    p = box.Postern(policies=DEMO, store="memory")
    for door in ("check", "admin"):
        port = p.ports[door]
        for name, data, wanted in BAD:
            got = raw(port, data)
            check(f"{door}: {name} is {'/'.join(map(str, wanted))} and closed",
                  got is not None and status_of(got) in wanted and got.count(b"HTTP/1.1 ") == 1, got and got[:200])
        smuggled = (b"POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        got = raw(port, smuggled)
        check(f"{door}: a smuggled request is not answered", status_of(got) == 400 and got.count(b"HTTP/1.1 ") == 1, got)
    body = b"POST /json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    got = raw(p.ports["check"], body % 2_000_000 + b"x" * 1000)
    check("check: a body of 2 MB is 413 before it arrives", status_of(got) == 413, got and got[:200])
    got = raw(p.ports["admin"], H + b"Content-Length: 5\r\n\r\nhello")
    check("admin: a body is 413", status_of(got) == 413, got and got[:200])
    equal("check: nobody else noticed", Keep(p.ports["check"]).ask(), 401)

    k = socket.create_connection(("127.0.0.1", p.ports["check"]))
    k.sendall(ask_text() * 50)
    k.settimeout(box.WAIT * box.SLOW)
    got = b""
    while got.count(b"HTTP/1.1 401") < 50:
        piece = k.recv(65536)
        if not piece:
            break
        got += piece
    equal("check: 50 pipelined requests have 50 answers", got.count(b"HTTP/1.1 401"), 50)
    got = raw(p.ports["check"], ask_text().replace(b"HTTP/1.1", b"HTTP/1.0"))
    check("check: HTTP/1.0 is answered and closed", status_of(got) == 401, got and got[:100])
    got = raw(p.ports["admin"], b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 300 + b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
              b"Connection: close\r\n\r\n")
    check("admin: 300 pipelined pages all come", got is not None and got.count(b"HTTP/1.1 200") == 301,
          got and got.count(b"HTTP/1.1 200"))
    got = raw(p.ports["admin"], H + b"Connection: close\r\n\r\n" + H + b"\r\n")
    check("admin: nothing behind a last request is answered", got is not None and got.count(b"HTTP/1.1 ") == 1, got)
    p.down()
    clean_log("bad HTTP", p)


def test_slow_http():
    p = box.Postern("--set", "check.head_timeout=1s", policies=DEMO, store="memory")
    at = time.time()
    got = raw(p.ports["check"], H)
    check("check: a head that stays incomplete is 408 after its time", status_of(got) == 408 and time.time() - at > 0.8,
          (got, time.time() - at))
    got = slow(p.ports["check"], box.WAIT)
    check("check: bytes that trickle do not put it off", got is not None and status_of(got) == 408, got)
    p.down()
    clean_log("slow HTTP", p)


def slow(port, seconds, tls=False):
    """A head, byte by byte, for as long as the server takes it."""
    s = socket.create_connection(("127.0.0.1", port))
    s = TLS.wrap_socket(s) if tls else s
    s.settimeout(0.2)
    got, until = b"", time.time() + seconds * box.SLOW
    try:
        for byte in H * 100:
            s.send(bytes([byte]))
            try:
                piece = s.recv(4096)
                if not piece:
                    return got
                got += piece
            except TimeoutError:
                pass
            if time.time() > until:
                return None
    except OSError:
        return got
    finally:
        s.close()
    return None


def clean_log(name, p):
    said = p.output()
    bad = [x for x in said.splitlines() if re.search("Sanitizer|runtime error|MUST|panic", x)]
    check(f"{name}: no report in the log", not bad, bad[:3])


# ---- many connections -------------------------------------------------------------------------


def raise_files(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_many():
    n, tls_n = (2000, 200) if DEV else (10000, 1000)
    if raise_files(n + 1000) < n + 600:
        box.skip("many connections", "the limit of open files is too low")
        return
    p = box.Postern("--set", f"check.connections_max={n + 100}", policies=DEMO, store="memory")
    p.user("ann@example.com")
    key = p.key("ann@example.com", "k", "gold")["key"]
    idle, tls = [], []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", p.ports["check"]), timeout=box.WAIT * box.SLOW)
        s.sendall(ask_text())
        idle.append(s)
        if len(idle) % 100 == 0:
            for t in idle[-100:]:
                t.recv(4096)
    for _ in range(tls_n):
        s = TLS.wrap_socket(socket.create_connection(("127.0.0.1", p.ports["portal"]), timeout=box.WAIT * box.SLOW))
        tls.append(s)
    tls[0].sendall(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n")
    k = Keep(p.ports["check"])
    equal("checks go on beside them", [k.ask(key), k.ask()], [200, 401])
    body = box.get(p.ports["admin"], "/metrics").body
    held = {m[1]: int(m[2]) for m in re.finditer(r'postern_connections\{door="(\w+)"\} (\d+)', body)}
    check(f"{n} idle connections on the check port, {tls_n} on the portal", held["check"] >= n and held["portal"] >= tls_n, held)
    check("they cost no processor", box.rests(p.process.pid))
    rss = int(re.search(r"process_resident_memory_bytes (\d+)", body).group(1))
    check("and little memory", DEV or rss < 200 * 1024 * 1024, rss)
    lost = 0
    for i, s in enumerate(idle):
        s.sendall(ask_text())
        if i % 100 == 99:
            lost += sum(not t.recv(4096).startswith(b"HTTP/1.1 401") for t in idle[i - 99:i + 1])
    equal("every idle check connection still answers", lost, 0)
    lost = sum(not ask_tls(s) for s in tls[1:])
    equal("every idle portal connection still answers", lost, 0)
    for s in idle + tls:
        s.close()
    box.wait_for(lambda: metric(p, 'postern_connections{door="check"}') <= 2)
    check("closed ones are forgotten", metric(p, 'postern_connections{door="check"}') <= 2)
    p.down()
    clean_log("many connections", p)


def ask_tls(s):
    try:
        s.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        return s.recv(4096).startswith(b"HTTP/1.1 404")
    except OSError:
        return False


def test_silent():
    """A thousand that connect to the TLS port and say nothing: no processor, and others are served."""
    raise_files(3000)
    p = box.Postern(policies=DEMO, store="memory")
    silent = []
    for _ in range(1000):
        silent.append(socket.create_connection(("127.0.0.1", p.ports["portal"]), timeout=box.WAIT * box.SLOW))
    check("a thousand silent connections cost less than a fifth of a processor", box.rests(p.process.pid))
    equal("the portal serves others meanwhile", Browser(p.ports["portal"]).get("/v1/status").status, 200)
    equal("so does the check port", Keep(p.ports["check"]).ask(), 401)
    for s in silent:
        s.close()
    p.down()


def test_bound():
    p = box.Postern("--set", "check.connections_max=10", policies=DEMO, store="memory")
    first = [Keep(p.ports["check"]) for _ in range(10)]
    equal("up to the bound all are served", {k.ask() for k in first}, {401})
    over = raw(p.ports["check"], ask_text())
    equal("one more is closed at once", over, b"")
    check("and counted", box.wait_for(lambda: metric(p, 'postern_connections_refused_total{door="check"}') >= 1))
    equal("those inside go on", {k.ask() for k in first}, {401})
    first[0].close()
    check("a place that was freed is given again",
          box.wait_for(lambda: status_of(raw(p.ports["check"], ask_text(keep=False))) == 401))
    p.down()


if __name__ == "__main__":
    test_first_start()
    test_memory_directory()
    test_ports_taken()
    test_bad_directories()
    test_unix_sockets()
    test_reload()
    test_certificates()
    test_restart()
    test_operators()
    test_bad_http()
    test_slow_http()
    test_bound()
    test_silent()
    test_many()
    box.finish()
