"""The front of the portal: bytes that are slow, silent, pipelined, broken or too many, and its inner server.

TIMEOUT: 1800
"""
import os
import re
import socket
import threading
import time

import box
from box import check, equal
from browser import PASSWORD, TLS, Browser, owner, raw, status_of

DEMO = box.ROOT / "etc/demo/policies"
STATUS = b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def connect(port):
    s = TLS.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=box.WAIT * box.SLOW))
    return s


def read_answers(s, n):
    """n answers with their bodies: [(status, body)]; fewer when the connection ends."""
    left, got = b"", []
    while len(got) < n:
        while b"\r\n\r\n" not in left:
            piece = s.recv(65536)
            if not piece:
                return got
            left += piece
        head, left = left.split(b"\r\n\r\n", 1)
        m = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        length = int(m[1]) if m else 0
        while len(left) < length:
            piece = s.recv(65536)
            if not piece:
                return got
            left += piece
        got.append((int(head.split()[1]), left[:length]))
        left = left[length:]
    return got


def session(p):
    b = owner(p)
    return b, b.cookie.encode()


def test_pipelined(p, cookie):
    port = p.ports["portal"]
    s = connect(port)
    mixed = [(b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", 200), (b"GET /v1/me HTTP/1.1\r\nHost: a\r\n\r\n", 401),
             (b"GET /none.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404), (b"GET /v1/me HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n" % cookie, 200),
             (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405)]
    s.sendall(b"".join(x for x, _ in mixed) * 20)
    got = [x for x, _ in read_answers(s, 100)]
    equal("100 pipelined calls and pages are answered in order", got, [x for _, x in mixed] * 20)
    s.sendall(STATUS)
    equal("and the connection goes on", [x for x, _ in read_answers(s, 1)], [200])
    for i in range(30):
        s.sendall(mixed[i % 5][0])
        got = read_answers(s, 1)
        if not got or got[0][0] != mixed[i % 5][1]:
            check("keep-alive, one by one", False, (i, got))
            break
    else:
        check("keep-alive, one by one", True)
    s.close()
    page = b"GET /none.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for name, first in (("page", page), ("call", LAST)):
        for behind in (STATUS, page):
            got = raw(port, first + behind, tls=True)
            check(f"nothing behind a last {name} is answered", got is not None and got.count(b"HTTP/1.1 ") == 1, got)

    s = connect(port)
    n = 6000
    sender = threading.Thread(target=s.sendall, args=(b"GET /none.txt HTTP/1.1\r\nHost: a\r\n\r\n" * n,), daemon=True)
    sender.start()
    time.sleep(0.5)  # let the output fill
    got = read_answers(s, n)
    equal("6000 pages to one that reads late all come", (len(got), {x for x, _ in got}), (n, {404}))
    s.close()


def test_parts(p, cookie):
    """A request in any pieces is the same request."""
    port = p.ports["portal"]
    body = b'{"name":"in pieces %d"}'
    head = (b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nCookie: %s\r\nSec-Fetch-Site: same-origin\r\nX-Postern: 1\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n")
    s = connect(port)
    for i, cut in enumerate((1, 7, 30, 100, 1000)):
        one = body % i
        data = head % (cookie, len(one)) + one
        for k in range(0, len(data), cut):
            s.sendall(data[k:k + cut])
            if k % (cut * 16) == 0:
                time.sleep(0.001)
        equal(f"a POST in pieces of {cut}", [x for x, _ in read_answers(s, 1)], [201])
    one = body % 9
    s.sendall((head % (cookie, len(one))).replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length"))
    first = s.recv(4096)
    equal("Expect: 100-continue is told to go on", first, b"HTTP/1.1 100 Continue\r\n\r\n")
    s.sendall(one)
    equal("and then answered", [x for x, _ in read_answers(s, 1)], [201])
    s.close()


def test_bad(p):
    port = p.ports["portal"]
    h = b"GET /v1/status HTTP/1.1\r\nHost: a\r\n"
    post = b"POST /v1/session HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nX-Postern: 1\r\nContent-Type: application/json\r\n"
    rows = [
        ("chunked", post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {411}),
        ("1 MiB and a byte announced", post + b"Content-Length: 1048577\r\n\r\n", {413}),
        ("a length beyond all numbers", post + b"Content-Length: 99999999999999999999\r\n\r\n", {400, 413}),
        ("no HTTP", b"HELLO\r\n\r\n", {400}), ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", {400, 505}),
        ("two lengths", post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}),
        ("length and chunked", post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", {400}),
        ("two Hosts", h + b"Host: b\r\n\r\n", {400}), ("no Host", b"GET / HTTP/1.1\r\n\r\n", {400}),
        ("a bare LF", b"GET / HTTP/1.1\nHost: a\n\n", {400}), ("a NUL", h + b"X: \0\r\n\r\n", {400}),
        ("absolute form", b"GET https://a/v1/status HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
        ("asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
        ("a head of 70 KiB", h + b"X: " + b"a" * 70000 + b"\r\n\r\n", {431}),
        ("200 headers", h + b"".join(b"X%d: a\r\n" % i for i in range(200)) + b"\r\n", {431}),
        ("a target of 20 KiB", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    ]
    for name, data, wanted in rows:
        got = raw(port, data, tls=True)
        check(f"{name} is {'/'.join(map(str, wanted))} and closed", got is not None and status_of(got) in wanted
              and len(re.findall(rb"HTTP/1\.1 \d{3} ", got)) == 1 and b"content-security-policy" in got.lower(), got and got[:150])
    smuggled = post + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + STATUS
    got = raw(port, smuggled, tls=True)
    check("a smuggled request is not answered", status_of(got) == 400 and len(re.findall(rb"HTTP/1\.1 \d{3} ", got)) == 1, got)
    got = raw(port, STATUS)
    check("plain HTTP on the TLS port is closed", got is not None and b"HTTP/1" not in got, got)
    for garbage in (os.urandom(400), b"\x16\x03\x01\xff\xff" + os.urandom(300), b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        got = raw(port, garbage)
        check("garbage on the TLS port is closed", got is not None, got)
    got = raw(port, b"BREW /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", tls=True)
    check("an unheard-of method for an operation is refused", status_of(got) in (403, 405, 501), got)


class Later(threading.Thread):
    """A test that takes its time, beside the others; its result is told at the end."""

    def __init__(self, run, *args):
        super().__init__(daemon=True)
        self.args, self.job, self.result = args, run, None
        self.start()

    def run(self):
        self.result = self.job(*self.args)


def trickle(port, head, byte, pause, seconds):
    """Sends head, then a byte after each pause: (what came back, how long it took)."""
    at, got = time.time(), b""
    s = connect(port)
    s.settimeout(pause)
    try:
        s.sendall(head)
        while time.time() - at < seconds:
            s.sendall(byte)
            try:
                piece = s.recv(4096)
                if not piece:
                    return got, time.time() - at
                got += piece
            except TimeoutError:
                pass
    except OSError:
        return got, time.time() - at
    finally:
        s.close()
    return None, time.time() - at


def test_overload(p):
    """Bodies that never end are bounded over all browsers; the bound is given back."""
    port = p.ports["portal"]
    head = b"POST /v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n{"
    open_ones, refused = [], 0
    for _ in range(80):
        s = connect(port)
        s.sendall(head)
        open_ones.append(s)
    waiting, until = list(open_ones), time.time() + 25  # after half a minute they are 408
    while refused < 16 and time.time() < until:
        for s in list(waiting):
            s.settimeout(0.01)
            try:
                refused += s.recv(100).startswith(b"HTTP/1.1 503")
                waiting.remove(s)
            except TimeoutError:
                pass
            except OSError:
                waiting.remove(s)
    equal("of 80 bodies of 1 MiB on their way 64 fit, 16 are refused", refused, 16)
    equal("others are served meanwhile", Browser(port).get("/v1/status").status, 200)
    for s in open_ones:
        s.close()

    def room():
        s = connect(port)
        s.sendall(head + b" " * 1000)
        s.settimeout(0.5)
        try:
            return s.recv(100) is None
        except TimeoutError:
            return True  # it waits for the rest
        finally:
            s.close()
    check("when they are gone there is room again", box.wait_for(room))


def test_leavers(p):
    """Browsers that go away in the middle of a call leave nothing behind."""
    port = p.ports["portal"]
    body = b'{"email":"a@example.com","password":"wrong wrong wrong"}'
    data = (b"POST /v1/session HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\nX-Postern: 1\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)) + body
    for _ in range(40):
        s = connect(port)
        s.sendall(data)
        s.close()
    seen = []

    def one():
        r = Browser(port).get("/v1/api-products")
        seen.append(r.status)

    threads = [threading.Thread(target=one) for _ in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(box.WAIT * box.SLOW)
    equal("24 at once behind 40 that left", seen, [200] * 24)
    got = raw(port, LAST.replace(b"Connection: close\r\n", b""), tls=True, seconds=2)
    check("a connection without another request stays open", got is None)
    s = connect(port)
    s.sendall(STATUS)
    socket.socket.shutdown(s, socket.SHUT_WR)  # not SSLSocket's, which forgets TLS
    equal("one that closes its side after the request is answered", [x for x, _ in read_answers(s, 1)], [200])
    s.close()


def test_inner(p):
    path = p.data / "portal.sock"
    for name, extra in (("without the token", b""), ("with a wrong token", b"X-Inner-Token: " + b"a" * 32 + b"\r\n"),
                        ("with a short token", b"X-Inner-Token: a\r\n")):
        got = raw(None, b"GET /v1/status HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n", path=path)
        check(f"the inner socket refuses {name}", status_of(got) == 403 and b"setup_needed" not in got, got)
    got = raw(None, b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", path=path)
    check("and serves no files", b"root:" not in got and status_of(got) in (400, 403, 404), got[:100])
    r = Browser(p.ports["portal"]).get("/v1/status", headers={"X-Inner-Token": "b" * 32})
    equal("a browser's own token is not passed on", r.status, 200)


if __name__ == "__main__":
    p = box.Postern(policies=DEMO)
    b, cookie = session(p)
    port = p.ports["portal"]
    slow_head = Later(trickle, port, b"GET / HTTP/1.1\r\nX: ", b"a", 0.2, 200)
    slow_body = Later(trickle, port, b"POST /v1/session HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b" ", 0.5, 200)
    silent = Later(lambda: raw(port, b"", tls=False))
    test_pipelined(p, cookie)
    test_parts(p, cookie)
    test_bad(p)
    test_leavers(p)
    test_inner(p)
    slow_head.join(300)
    got, took = slow_head.result
    check("a head that trickles is 408 after ten seconds", status_of(got) == 408 and took > 9, (got, took))
    slow_body.join(300)
    got, took = slow_body.result
    check("a body that trickles is 408 after half a minute", status_of(got) == 408 and took > 29, (got, took))
    silent.join(2 * box.WAIT * box.SLOW)
    equal("one that never says a word is closed", silent.result, b"")
    test_overload(p)
    equal("the portal still works", b.get("/v1/me").status, 200)
    equal("it stops cleanly", p.down(), 0)
    text = p.output()
    check("no report in the log", not re.search("Sanitizer|runtime error|MUST", text) and PASSWORD not in text, text[-800:])
    box.finish()
