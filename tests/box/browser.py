"""A browser as far as the portal's REST API needs one: TLS, a cookie, the headers that pages send.

The certificate comes from the built-in CA; the tests that look at certificates have their own client.
"""
import http.client
import json
import re
import socket
import ssl
import time

import box

TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE
PASSWORD = "a long harbour wall"


class Browser:
    def __init__(self, port):
        self.port, self.cookie = port, None

    def call(self, method, path, body=None, headers=None, raw=None, timeout=box.WAIT):
        """One request as the portal's pages send it; headers with value None are left out."""
        send = {"Accept": "application/json"}
        if method not in ("GET", "HEAD"):
            send.update({"Sec-Fetch-Site": "same-origin", "X-Postern": "1"})
        if body is not None:
            send["Content-Type"] = "application/json"
            raw = json.dumps(body)
        if self.cookie:
            send["Cookie"] = self.cookie
        send.update(headers or {})
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout * box.SLOW, context=TLS)
        try:
            c.request(method, path, body=raw, headers={k: v for k, v in send.items() if v is not None})
            r = c.getresponse()
            answer = box.Answer(r.status, r.headers, r.read())
        finally:
            c.close()
        cookie = answer.header("set-cookie")
        if cookie and cookie.startswith("__Host-postern="):
            value = cookie.split(";")[0]
            self.cookie = value if value != "__Host-postern=" else None
        return answer

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body, **more):
        return self.call("POST", path, body, **more)


def link_token(text):
    """The token of the first link in a text."""
    return re.search(r"/setup\?token=([\w-]{43})", text).group(1)


def owner(postern, email="olga@example.com"):
    """The first account, made with the link that the server printed."""
    b = Browser(postern.ports["portal"])
    box.wait_for(lambda: "/setup?token=" in postern.output()) # the banner comes after readiness
    r = b.post("/v1/setup", {"token": link_token(postern.output()), "email": email, "name": "Olga",
                             "password": PASSWORD})
    assert r.status == 201, r.body
    return b


def person(postern, email, role="developer"):
    """An account made on the command line, its password set by its link, signed in."""
    status, out, err = postern.cli("user", "create", email, "--role", role, "--json")
    assert status == 0, err
    b = Browser(postern.ports["portal"])
    r = b.post("/v1/setup", {"token": link_token(out), "password": PASSWORD})
    assert r.status in (200, 201), r.body
    return b


# ---- bytes ------------------------------------------------------------------------------------


def raw(port, data, tls=False, seconds=box.WAIT, path=None, half_close=False):
    """What comes back for these bytes until the other side closes; None when it does not close in time."""
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    s.settimeout(seconds * box.SLOW)
    got = b""
    try:
        s.connect(str(path) if path else ("127.0.0.1", port))
        s = TLS.wrap_socket(s) if tls else s
        for part in data if isinstance(data, list) else [data]:
            s.sendall(part)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        until = time.time() + seconds * box.SLOW
        while time.time() < until:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece
        return None
    except TimeoutError:
        return None
    except OSError:
        return got
    finally:
        s.close()


def status_of(data):
    return int(data.split(b" ", 2)[1]) if data and data.startswith(b"HTTP/") else None
