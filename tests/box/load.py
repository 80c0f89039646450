"""A load on a running Postern from many sides at once, where every answer is checked.

Each part is a thread with connections of its own; what it found wrong is in Load.faults. The parts know
what the server must answer, because nobody else touches their keys: a lost or a wrong reply is noticed.
"""
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import box
from browser import TLS, Browser

HOST = "harbour.example.com"
LIMIT = 500  # of the descriptor that all threads share, per year
POLICY = f"""domain: load
descriptors:
- {{key: shared, rate_limit: {{unit: year, requests_per_unit: {LIMIT}}}}}
"""
GOOD = "domain: note%d\ndescriptors:\n- {key: k, rate_limit: {unit: hour, requests_per_unit: 7}}\n"
BAD = "domain: note%d\ndescriptors: [\n"


class Closed(OSError):
    """The server ended the connection."""


class Redis:
    """A client of the Redis port: bytes out, values in. Errors are values that begin with '-'."""

    def __init__(self, port, seconds=box.WAIT):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=seconds * box.SLOW)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left, self.at = b"", 0

    def send(self, *commands):
        self.s.sendall(b"".join(self.pack(*c) for c in commands))

    @staticmethod
    def pack(*words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def more(self):
        piece = self.s.recv(1 << 16)
        if not piece:
            raise Closed("closed")
        self.left, self.at = self.left[self.at:] + piece, 0

    def line(self):
        while (end := self.left.find(b"\r\n", self.at)) < 0:
            self.more()
        text, self.at = self.left[self.at:end], end + 2
        return text

    def read(self):
        head = self.line()
        kind, rest = head[:1], head[1:]
        if kind == b"$" and rest != b"-1":
            n = int(rest)
            while len(self.left) - self.at < n + 2:
                self.more()
            value, self.at = self.left[self.at:self.at + n], self.at + n + 2
            return value
        if kind == b"*" and rest != b"-1":
            return [self.read() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        return head if kind == b"-" else None if kind in b"$*" else rest

    def ask(self, *words):
        self.send(words)
        return self.read()

    def batch(self, commands):
        self.send(*commands)
        return [self.read() for _ in commands]

    def close(self):
        self.s.close()


class Keep:
    """A keep-alive connection to the check port: (status, body)."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=box.WAIT * box.SLOW)
        self.left = b""

    def ask(self, method, target, headers, body=""):
        lines = [f"{method} {target} HTTP/1.1"] + [f"{k}: {v}" for k, v in headers]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.s.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        while b"\r\n\r\n" not in self.left:
            self.more()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head).group(1))
        while len(self.left) < length:
            self.more()
        got, self.left = self.left[:length], self.left[length:]
        return int(head.split()[1]), got.decode()

    def more(self):
        piece = self.s.recv(65536)
        if not piece:
            raise Closed("closed")
        self.left += piece


def forward(k, key):
    headers = [("Host", "postern"), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Proto", "https"),
               ("X-Forwarded-Host", HOST), ("X-Forwarded-Uri", "/v1/stations?near=1,2"), ("X-Forwarded-For", "192.0.2.7")]
    return k.ask("GET", "/auth/forward", headers + ([("api-key", key)] if key else []))[0]


def nginx(k, key):
    headers = [("Host", "postern"), ("X-Original-URL", f"https://{HOST}/v1/stations"), ("X-Original-Method", "GET"),
               ("X-Real-IP", "192.0.2.7")]
    return k.ask("GET", "/auth/nginx", headers + ([("api-key", key)] if key else []))[0]


def envoy(k, key):
    return k.ask("GET", "/auth/envoy/v1/stations", [("Host", HOST)] + ([("api-key", key)] if key else []))[0]


def lua(k, key):
    """A route whose chain ends in Lua."""
    return k.ask("GET", "/auth/envoy/v1/accounts", [("Host", "ledger.example.com")] + ([("api-key", key)] if key else []))[0]


def decide(k, key):
    body = json.dumps({"method": "GET", "path": "/v1/stations", "host": HOST, "headers": {"api-key": key} if key else {}})
    status, got = k.ask("POST", "/v1/decide?trace=1", [("Host", "postern")], body)
    got = json.loads(got)
    return got["status"] if status == 200 and got["allowed"] == (got["status"] == 200) else -status


def shared_limit(k):
    body = json.dumps({"domain": "load", "descriptors": [{"entries": [{"key": "shared", "value": "x"}]}]})
    return k.ask("POST", "/json", [("Host", "postern")], body)[0]


class Load:
    def __init__(self, p, policies, key, boss, mode_changes=True):
        self.p, self.policies, self.key, self.boss = p, policies, key, boss
        self.redis, self.check = p.ports["redis"], p.ports["check"]
        self.on, self.ending = True, False
        self.faults, self.counts, self.threads = [], {}, []
        self.kept = {}     # key -> value that the server acknowledged last
        self.doubtful = {} # key -> value that was sent and not answered
        self.passed, self.mode_changes = 0, mode_changes
        self.pages = [b"", b""]
        self.lock = threading.Lock()

    # ---- running ----

    def start(self, *parts):
        for part, n in parts:
            for i in range(n):
                t = threading.Thread(target=self.guard, args=(part, i), daemon=True)
                self.threads.append(t)
                t.start()
        return self

    def guard(self, part, i):
        try:
            part(i)
        except OSError as e:
            if not self.ending: # the server goes down: connections end
                self.fault(part.__name__, i, repr(e))
        except Exception as e:
            self.fault(part.__name__, i, repr(e))

    def fault(self, *what):
        with self.lock:
            self.faults.append(what)

    def same(self, what, got, wanted):
        if got != wanted:
            self.fault(what, f"got {str(got)[:300]!r}, wanted {str(wanted)[:300]!r}")

    def did(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def stop(self, seconds=60):
        """Every part ends after its round."""
        self.on = False
        for t in self.threads:
            t.join(seconds * box.SLOW)
            if t.is_alive():
                self.fault("thread", t.name, "hangs: a reply did not come")
        return self

    # ---- Redis ----

    def pipelines(self, i):
        """Batches on keys of our own: every reply is known beforehand."""
        r = Redis(self.redis)
        for n in itertools.count(1):
            if not self.on:
                break
            at, counter = f"p{i}:{n % 50}", f"n{i}"
            value = b"%d-" % n + os.urandom(n % 40) + b"x" * (n * 37 % 3000)
            self.doubtful[at], self.doubtful[counter] = value, b"%d" % n
            got = r.batch([("SET", at, value), ("GET", at), ("INCR", counter), ("HSET", f"h{i}", n % 20, n),
                           ("HGET", f"h{i}", n % 20), ("APPEND", f"a{i}", "ab"), ("STRLEN", f"a{i}"),
                           ("SET", f"e{i}", n, "PX", 1 + n % 30), ("DEL", f"a{i}") if n % 25 == 0 else ("EXISTS", f"a{i}"),
                           ("MGET", at, counter), ("NOSUCH", n), ("RENAME", at, at + "r"), ("RENAME", at + "r", at)])
            tail = 2 * ((n - 1) % 25 + 1)
            wanted = [b"OK", value, n, 1 if n <= 20 else 0, b"%d" % n, tail, tail, b"OK", 1, [value, b"%d" % n]]
            self.same("pipeline", got[:10], wanted)
            self.same("rename", (got[10][:4], got[11:]), (b"-ERR", [b"OK", b"OK"]))
            self.kept[at], self.kept[counter] = value, b"%d" % n
            self.did("batches")
        r.close()

    def plain(self, i):
        """One key after the other in bulk, as redis-benchmark does."""
        r = Redis(self.redis)
        for n in itertools.count(1):
            if not self.on:
                break
            got = r.batch([("SET", f"b{i}:{(n * 64 + k) % 2000}", "xxx") for k in range(64)])
            self.same("bulk", got, [b"OK"] * 64)
            self.did("bulk", 64)
        r.close()

    def watchers(self, i):
        """Everybody adds to one number by WATCH and MULTI: no addition may be lost."""
        r = Redis(self.redis)
        while self.on:
            r.ask("WATCH", "sum")
            n = int(r.ask("GET", "sum") or 0)
            got = r.batch([("MULTI",), ("SET", "sum", n + 1), ("INCR", f"tx{i}"), ("EXEC",)])
            self.same("transaction", got[:3], [b"OK", b"QUEUED", b"QUEUED"])
            if got[3] is not None:
                self.same("exec", got[3][0], b"OK")
                self.did("sum")
            else:
                self.did("transactions that met another")
        r.close()

    def publisher(self, i):
        """Numbers to a channel; what its subscribers get must be all of them, in order."""
        names = [f"room{i}.{k}" for k in range(3)]
        subs = [Redis(self.redis) for _ in names]
        for k, s in enumerate(subs):
            kind, name = ("PSUBSCRIBE", f"room{i}*") if k == 2 else ("SUBSCRIBE", f"room{i}")
            self.same("confirmed", s.ask(kind, name), [kind.lower().encode(), name.encode(), 1])
        r, n = Redis(self.redis), 0
        while self.on:
            got = r.batch([("PUBLISH", f"room{i}", n + k) for k in range(20)])
            if self.ending: # some of the three are gone already
                return
            if got != [3] * 20: # who is missing, as the server sees it
                self.fault("receivers", i, n, got, r.ask("PUBSUB", "NUMSUB", f"room{i}"), r.ask("CLIENT", "LIST", "TYPE", "pubsub"))
            for k, s in enumerate(subs):
                got = [s.read()[-1] for _ in range(20)]
                self.same("messages", got, [b"%d" % (n + j) for j in range(20)])
            n += 20
            self.did("messages", 60)
        for c in [r, *subs]:
            c.close()

    def monitors(self, i):
        while self.on:
            r = Redis(self.redis)
            self.same("monitor", r.ask("MONITOR"), b"OK")
            for _ in range(200):
                line = r.line()
                if not re.match(rb'\+\d+\.\d{6} \[\d+ [^\]]+\] "', line):
                    self.fault("monitor", line[:200])
                if not self.on:
                    break
            r.close()
            self.did("monitors")

    def settings(self, i):
        """What looks at or changes what belongs to other threads."""
        r = Redis(self.redis)
        rounds = [("CONFIG", "SET", "maxmemory", "1gb"), ("CONFIG", "SET", "maxmemory", "0"),
                  ("CONFIG", "SET", "slowlog-log-slower-than", "1"), ("CONFIG", "SET", "slowlog-log-slower-than", "10000"),
                  ("CONFIG", "SET", "latency-monitor-threshold", "1"), ("CONFIG", "SET", "notify-keyspace-events", "KEA"),
                  ("CONFIG", "SET", "notify-keyspace-events", ""), ("CONFIG", "SET", "proto-max-bulk-len", "300mb"),
                  ("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0 pubsub 64mb 16mb 60"),
                  ("CONFIG", "SET", "maxclients", "9000"), ("CONFIG", "SET", "timeout", "0"), ("CONFIG", "SET", "requirepass", ""),
                  ("CONFIG", "RESETSTAT"), ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
                  ("CONFIG", "SET", "maxmemory-policy", "noeviction")]
        looks = [("CLIENT", "LIST"), ("INFO", "all"), ("SLOWLOG", "GET", "10"), ("CONFIG", "GET", "*"), ("PUBSUB", "CHANNELS"),
                 ("PUBSUB", "NUMPAT"), ("CLIENT", "INFO"), ("DBSIZE",), ("LATENCY", "LATEST"), ("COMMAND", "COUNT"),
                 ("OBJECT", "FREQ", "sum"), ("SCAN", "0"), ("INFO", "commandstats"), ("MEMORY", "USAGE", "sum"), ("SLOWLOG", "RESET")]
        for n in itertools.count():
            if not self.on:
                break
            if self.mode_changes and n % 5 == 0:
                mode = ("always", "everysec", "no")[n // 5 % 3]
                self.same("appendfsync", r.ask("CONFIG", "SET", "appendfsync", mode), b"OK")
            self.same("CONFIG", (rounds[n % len(rounds)], r.ask(*rounds[n % len(rounds)])), (rounds[n % len(rounds)], b"OK"))
            for look in looks:
                got = r.ask(*look)
                if got is None or (isinstance(got, bytes) and got.startswith(b"-") and look[0] not in ("OBJECT", "MEMORY")):
                    self.fault("settings", look, got)
            if n % 4 == 0:
                self.same("CLIENT PAUSE", r.ask("CLIENT", "PAUSE", "20", "WRITE"), b"OK")
            if n % 8 == 0:
                self.same("CLIENT UNPAUSE", r.ask("CLIENT", "UNPAUSE"), b"OK")
            self.did("settings")
        r.close()

    def store_work(self, i):
        """What stops or moves the whole store: through the disk and back, databases swapped and emptied, saved."""
        r = Redis(self.redis)
        r.ask("SELECT", "5")
        for n in itertools.count():
            if not self.on:
                break
            got = r.batch([("MSET", *[f"{w}{k}" for k in range(200) for w in "kv"]), ("EXPIRE", "k7", "100"), ("SWAPDB", "5", "6"),
                           ("DBSIZE",), ("SWAPDB", "6", "5"), ("GET", "k9"), ("SAVE",), ("WAITAOF", "1", "0", "1000")])
            self.same("databases", got, [b"OK", 1, b"OK", 0, b"OK", b"v9", b"OK", [1, 0]])
            self.same("DEBUG RELOAD", r.ask("DEBUG", "RELOAD"), b"OK")
            self.same("after the reload", r.batch([("DBSIZE",), ("GET", "k8"), ("FLUSHDB",), ("DBSIZE",)]), [200, b"v8", b"OK", 0])
            self.did("reloads of the store")
            time.sleep(0.3)
        r.close()

    def killed(self, i):
        """One connection ends others; each must see its end, and nothing but its end."""
        r = Redis(self.redis)
        while self.on:
            victim = Redis(self.redis)
            name = victim.ask("CLIENT", "ID")
            victim.batch([("SUBSCRIBE", f"victim{k}") for k in range(5)])
            self.same("CLIENT KILL", r.ask("CLIENT", "KILL", "ID", name), 1)
            try:
                self.fault("killed", victim.read())
            except (Closed, ConnectionResetError):
                self.did("kills")
            victim.close()
        r.close()

    # ---- checks ----

    def checks(self, i):
        dialects = [forward, nginx, envoy, lua, decide]
        k = Keep(self.check)
        for n in itertools.count(i):
            if not self.on:
                break
            ask = dialects[n % len(dialects)]
            self.same(f"{ask.__name__} with a key", ask(k, self.key), 200)
            self.same(f"{ask.__name__} without", ask(k, None), 401)
            self.same(f"{ask.__name__} with a wrong one", ask(k, "no-such-key"), 401 if ask is not nginx else 401)
            status = shared_limit(k)
            if status not in (200, 429):
                self.fault("/json", status)
            if status == 200:
                with self.lock:
                    self.passed += 1
            self.did("checks", 4)
        k.s.close()

    # ---- people ----

    def portal_keys(self, i):
        """A key works from the moment it is answered, and no longer than it is revoked."""
        k = Keep(self.check)
        for n in itertools.count():
            if not self.on:
                break
            made = self.boss.post("/v1/keys", {"name": f"k{i}-{n}", "plan": "gold"})
            if made.status != 201:
                self.fault("make a key", made.status, made.body)
                return
            made = made.json()
            self.same("a new key", forward(k, made["apiKey"]), 200)
            usage = self.boss.get(f"/v1/keys/{made['id']}/usage")
            self.same("usage", usage.status, 200)
            gone = self.boss.call("DELETE", f"/v1/keys/{made['id']}")
            if gone.status not in (200, 204):
                self.fault("revoke a key", gone.status, gone.body)
            self.same("a revoked key", forward(k, made["apiKey"]), 401)
            self.did("portal keys")
        k.s.close()

    def cli_keys(self, i):
        k = Keep(self.check)
        for n in itertools.count():
            if not self.on:
                break
            made = self.p.key("ann@example.com", f"c{i}-{n}", "gold")
            self.same("a new key of the CLI", nginx(k, made["key"]), 200)
            status, _, err = self.p.cli("key", "revoke", made["id"])
            self.same("key revoke", (status, err), (0, ""))
            self.same("a revoked key of the CLI", nginx(k, made["key"]), 401)
            self.did("CLI keys")
        k.s.close()

    def portal_pages(self, i):
        while self.on:
            for path in ("/v1/status", "/v1/api-products", "/v1/plans", "/admin/v1/health", "/admin/v1/policies", "/v1/keys"):
                self.same(path, self.boss.get(path).status, 200)
            r = self.boss.post("/v1/decide", {"method": "GET", "path": "/v1/stations", "host": HOST})
            self.same("/v1/decide of the portal", r.status, 200)
            self.did("portal rounds")

    def operators(self, i):
        while self.on:
            for path in ("/metrics", "/healthz", "/readyz", "/rlconfig"):
                self.same(path, box.get(self.p.ports["admin"], path).status, 200)
            self.did("operator rounds")
            time.sleep(0.05)

    # ---- disturbance ----

    def reloads(self, i):
        """A file that changes every 200 ms, every third time for the worse; SIGHUP besides."""
        for n in itertools.count():
            if not self.on:
                break
            (self.policies / "note.tmp").write_text((BAD if n % 3 == 2 else GOOD) % n)
            (self.policies / "note.tmp").rename(self.policies / "note.yaml")
            if n % 2:
                self.p.process.send_signal(signal.SIGHUP)
            self.did("policy files")
            time.sleep(0.2)
        (self.policies / "note.yaml").unlink(missing_ok=True)

    def drops(self, i):
        """Connections that come and go, in the middle of something."""
        pieces = {"redis": [b"", b"*2\r\n$3\r\nGET\r\n$100\r\nab", b"PING\r\n", Redis.pack("SUBSCRIBE", "elsewhere"), b"*-x\r\n",
                            Redis.pack("SET", f"d{i}", "v") * 30, Redis.pack("MULTI") + Redis.pack("WATCH", "sum"),
                            Redis.pack("MONITOR")],
                  "check": [b"", b"GET /auth/forward HTTP/1.1\r\nHost", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 20, b"\0\0"],
                  "portal": [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"],
                  "admin": [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"]}
        for n in itertools.count(i):
            if not self.on:
                break
            for door, texts in pieces.items():
                s = socket.create_connection(("127.0.0.1", self.p.ports[door]), timeout=box.WAIT * box.SLOW)
                try:
                    s.sendall(texts[n % len(texts)])
                    if n % 3 == 0:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0") # ends with a reset
                except OSError:
                    pass
                s.close()
            if n % 5 == 0:
                with socket.create_connection(("127.0.0.1", self.p.ports["portal"]), timeout=box.WAIT * box.SLOW) as s:
                    TLS.wrap_socket(s).close()
            self.did("dropped connections", 4)
            time.sleep(0.01)

    def benchmark(self, i):
        """redis-benchmark itself, where it is installed."""
        program = box.which("redis-benchmark", "valkey-benchmark")
        while self.on and program:
            p = subprocess.run([program, "-p", str(self.redis), "-n", "10000", "-P", "16", "-c", "20", "-r", "5000", "-q",
                                "--dbnum", "3", "-t", "set,get,incr,hset,mset"], capture_output=True, text=True,
                               timeout=120 * box.SLOW)
            if p.returncode != 0 or "rror" in p.stdout + p.stderr:
                self.fault("redis-benchmark", p.returncode, (p.stdout + p.stderr)[-300:])
            self.did("redis-benchmark")

    def deaf(self, i):
        """Clients who ask for much and read nothing: nobody waits for them, not even the end."""
        deaf = [Redis(self.redis) for _ in range(4)]
        deaf[0].send(("MONITOR",))
        deaf[1].send(("PSUBSCRIBE", "*.deaf"), ("PING",))
        deaf[2].send(*[("SET", "long", "x" * 100000), *[("GET", "long")] * 100])
        deaf[3].s.settimeout(0.2)
        while self.on and not self.ending:
            try:
                deaf[3].send(("GET", "long"))
            except TimeoutError:
                pass
            time.sleep(0.001)
        self.did("deaf")
        while self.on:
            time.sleep(0.1)

    # ---- afterwards ----

    def missing(self):
        """Keys that do not hold what was acknowledged last (or what was on its way)."""
        r = Redis(self.redis)
        wrong = []
        for key, value in self.kept.items():
            got = r.ask("GET", key)
            if got != value and got != self.doubtful.get(key):
                wrong.append((key, (got or b"")[:20], value[:20]))
        r.close()
        return wrong
