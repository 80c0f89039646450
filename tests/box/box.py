"""What the black-box tests share: a Postern of their own, an upstream that tells what it got, results.

Only loopback addresses and free ports; every process that is started here is stopped here, by pid.
Waiting is for events, with bounds (WAIT) that only a failing test reaches: a machine may be busy.
"""
import atexit
import fcntl
import http.client
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
POSTERN = os.environ.get("POSTERN", str(ROOT / "build/postern"))
TMP = Path(os.environ.get("TEST_TMP") or tempfile.mkdtemp(prefix="pst-"))
SLOW = {"dev": 5, "tsan": 8}.get(os.environ.get("POSTERN_BUILD"), 1)  # sanitizers take their time
WAIT = 60  # seconds, times SLOW: how long a test waits for what must happen

_failed = 0


def check(name, good, why=""):
    """One test: a line on standard output, remembered for the exit status."""
    global _failed
    if good:
        print(f"ok {name}", flush=True)
    else:
        _failed += 1
        print(f"not ok {name} - {str(why)[:400]}", flush=True)
    return good


def failed():
    """A program that prints its own lines had a "not ok" among them."""
    global _failed
    _failed += 1


def equal(name, got, wanted):
    return check(name, got == wanted, f"got {got!r}, wanted {wanted!r}")


def skip(name, why):
    print(f"skip {name} - {why}", flush=True)


def finish():
    sys.exit(1 if _failed else 0)


_given = {}  # port -> its lock file, held until this process ends


def _claim(port):
    """Tests that run at the same time choose among the same ports: each is for one of them."""
    folder = Path(tempfile.gettempdir()) / f"postern-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    f = open(folder / str(port), "w")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        f.close()
        return False
    _given[port] = f
    return True


def free_port():
    """A loopback port that nobody has: below the range that the system picks from for clients."""
    while True:
        port = random.randrange(10240, 32000)
        if port in _given or not _claim(port):
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


_processes = []


def start(command, log=None, cwd=None, env=None):
    out = open(TMP / (log or "process.log"), "ab")
    p = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cwd, env=env)
    _processes.append(p)
    return p


def freeze(p, seconds=WAIT):
    """SIGSTOP, and only goes on when every thread has stopped: until then they may still answer."""
    def states():
        return {(task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{p.pid}/task").iterdir()}
    p.send_signal(signal.SIGSTOP)
    until = time.time() + seconds * SLOW
    while states() != {"T"} and time.time() < until:
        time.sleep(0.005)


def stop(p, seconds=WAIT):
    """TERM, then KILL; the exit status."""
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    return p.returncode


@atexit.register
def _stop_all():
    for p in _processes:
        stop(p, 10)


def wait_port(port, seconds=WAIT, alive=None):
    until = time.time() + seconds * SLOW
    while time.time() < until:
        if alive and alive.poll() is not None:
            return False
        with socket.socket() as s:
            s.settimeout(10)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def wait_for(test, seconds=WAIT):
    until = time.time() + seconds * SLOW
    while time.time() < until:
        if test():
            return True
        time.sleep(0.05)
    return False


def cpu_seconds(pid):
    """Time on a processor of all threads of a process, by the scheduler's own books."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1e9


def rests(pid, share=0.2):
    """Whether there comes a second in which a process uses less than this share of a processor: one that spins
    never rests. What came before may still have to be worked off."""
    def second():
        before, at = cpu_seconds(pid), time.time()
        time.sleep(1)
        return (cpu_seconds(pid) - before) / (time.time() - at) < share
    return wait_for(second)


def in_one_minute(run):
    """run()'s result, all of it in one minute of the clock: limits per minute count from its beginning."""
    for _ in range(10):
        if time.time() % 60 > 40:
            time.sleep(60.1 - time.time() % 60)
        minute, got = time.time() // 60, run()
        if time.time() // 60 == minute:
            return got
        time.sleep(60.1 - time.time() % 60)  # this minute has seen some of it already
    return got


def run(*args, stdin=None, timeout=WAIT, env=None):
    """`postern ARGS`: (status, stdout, stderr)."""
    p = subprocess.run([POSTERN, *map(str, args)], input=stdin, capture_output=True, text=True,
                       timeout=timeout * SLOW, env=env)
    return p.returncode, p.stdout, p.stderr


class Postern:
    """A server with a data directory and ports of its own."""

    def __init__(self, *args, policies=None, store="sqlite", data=None, wait=True, env=None):
        self.data = Path(data) if data else Path(tempfile.mkdtemp(dir=TMP, prefix="d"))
        self.policies = Path(policies) if policies else self.data / "policies"
        self.ports = {name: free_port() for name in ("check", "redis", "portal", "admin")}
        self.command = [POSTERN, "serve", "--data", str(self.data), "--policies", str(self.policies),
                        "--store", store]
        for name, port in self.ports.items():
            self.command += [f"--{name}", f"127.0.0.1:{port}"]
        self.command += [str(a) for a in args]
        self.env = env
        self.log = TMP / f"postern-{self.ports['check']}.log"
        self.process = None
        if wait:
            self.up()

    def up(self):
        self.process = start(self.command, log=self.log.name, env=self.env)
        until = time.time() + WAIT * SLOW
        while time.time() < until and self.process.poll() is None:
            if self.ready() and "is ready." in self.output():
                return self
            time.sleep(0.02)
        raise RuntimeError(f"postern did not start: {self.output()[-2000:]}")

    def ready(self):
        try:
            return get(self.ports["admin"], "/readyz").status == 200
        except OSError:
            return False

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def down(self):
        return stop(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cli(self, *args, stdin=None):
        return run(*args, "--data", self.data, stdin=stdin)

    def user(self, email):
        status, out, err = self.cli("user", "create", email, "--json")
        assert status == 0, err
        return json.loads(out)

    def key(self, email, name, plan):
        status, out, err = self.cli("key", "create", "--user", email, "--name", name, "--plan", plan, "--json")
        assert status == 0, err
        return json.loads(out)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return self.headers.get(name)

    def json(self):
        return json.loads(self.body)


def request(port, method, path, headers=None, body=None, timeout=WAIT):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOW)
    try:
        c.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            for v in value if isinstance(value, list) else [value]:
                c.putheader(name, v)
        if body is not None:
            body = body.encode() if isinstance(body, str) else body
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read().decode(errors="replace"))
    finally:
        c.close()


def get(port, path, headers=None):
    return request(port, "GET", path, headers)


class Upstream:
    """An API behind a gateway: answers 200 with the request it got as JSON."""

    def __init__(self):
        outer = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode(errors="replace")
                got = {"method": self.command, "path": self.path, "body": body,
                       "headers": [[k.lower(), v] for k, v in self.headers.items()]}
                outer.seen.append(got)
                data = json.dumps(got).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # gateways drop idle connections as they like

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def which(*names):
    for name in names:
        for place in (shutil.which(name), f"/usr/sbin/{name}"):
            if place and os.access(place, os.X_OK):
                return place
    return None
