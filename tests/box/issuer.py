"""An issuer of tokens for tests: keys and signatures by the openssl program, a JWK Set and an introspection
endpoint over HTTP on loopback, switched off and on, counted."""
import base64
import hashlib
import hmac
import http.server
import json
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import box


def b64(data):
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True, check=True).stdout


class Key:
    """RSA of 2048 bits, or P-256."""

    def __init__(self, kid, alg="RS256"):
        self.kid, self.alg = kid, alg
        self.file = Path(tempfile.mkdtemp(dir=box.TMP, prefix="k")) / "key.pem"
        kind = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if alg == "RS256" else ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("genpkey", "-algorithm", *kind, "-out", self.file)
        self.public_pem = openssl("pkey", "-in", self.file, "-pubout")
        if alg == "RS256":
            self.modulus = bytes.fromhex(openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().split("=")[1])
        else:  # the point stands at the end of the key
            self.point = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]

    def jwk(self):
        if self.alg == "RS256":
            return {"kty": "RSA", "kid": self.kid, "use": "sig", "n": b64(self.modulus), "e": "AQAB"}
        return {"kty": "EC", "kid": self.kid, "crv": "P-256", "x": b64(self.point[:32]), "y": b64(self.point[32:])}

    def signature(self, data):
        der = openssl("dgst", "-sha256", "-sign", self.file, stdin=data)
        if self.alg == "RS256":
            return der
        at, numbers = 2, b""
        for _ in range(2):  # two INTEGERs, to 32 bytes each
            size = der[at + 1]
            numbers += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
            at += 2 + size
        return numbers

    def token(self, **claims):
        said = {"iss": "https://idp.example", "sub": "ann", "aud": "shop", "scope": "read write", "email": "ann@example.com",
                "iat": int(time.time()), "exp": int(time.time()) + 3600, **claims}
        part = b64(json.dumps({"alg": self.alg, "kid": self.kid, "typ": "JWT"})) + "." + b64(json.dumps(said))
        return part + "." + b64(self.signature(part.encode()))


def hs256(key, **header):
    part = b64(json.dumps({"alg": "HS256", "typ": "JWT", **header})) + "." + b64(json.dumps(
        {"iss": "https://idp.example", "aud": "shop", "sub": "root", "exp": int(time.time()) + 3600}))
    return part + "." + b64(hmac.new(key, part.encode(), hashlib.sha256).digest())


def attack_tokens(key, stranger):
    """docs/security.md 30 to 36: tokens that nobody may take for one of key's, by what is wrong with them."""
    good = key.token()
    head, payload, signature = good.split(".")
    forged = b64(json.dumps({"iss": "https://idp.example", "aud": "shop", "sub": "root", "exp": int(time.time()) + 3600}))
    stranger.kid = key.kid
    return {
        "30 none": b64('{"alg":"none"}') + f".{forged}.",
        "30 nOnE with a signature": b64('{"alg":"nOnE","kid":"one"}') + f".{forged}.{signature}",
        "30 no alg": b64('{"kid":"one"}') + f".{forged}.{signature}",
        "30 no signature": f"{head}.{payload}.",
        "31 PEM as a secret": hs256(key.public_pem, kid="one"),
        "31 modulus as a secret": hs256(key.modulus, kid="one"),
        "31 JWK as a secret": hs256(json.dumps(key.jwk()).encode(), kid="one"),
        "31 empty secret": hs256(b"", kid="one"),
        "32 jwk of its own": stranger.token(),
        "32 crit": b64('{"alg":"RS256","kid":"one","crit":["exp"]}') + f".{payload}.{signature}",
        "33 kid of a file": hs256(b"", kid="../../../../dev/null"),
        "34 signature of zeros": f"{head}.{payload}." + b64(b"\0" * 256),
        "35 expired": key.token(exp=int(time.time()) - 600),
        "35 no exp": key.token(exp=None),
        "35 from the future": key.token(nbf=int(time.time()) + 600),
        "35 another issuer": key.token(iss="https://idp.example.evil"),
        "36 payload changed": f"{head}.{forged}.{signature}",
        "36 dots": "." * 3000,
        "36 padding": f"{head}.{payload}.{signature}=",
        "36 encrypted": b64('{"alg":"RSA-OAEP","enc":"A256GCM"}') + ".AA.AA.AA.AA",
    }


class Issuer:
    """/keys is the JWK Set, /moved leads to it, /introspect answers from self.opaque."""

    def __init__(self, *keys, tls=False):
        self.keys, self.opaque, self.asked, self.on, self.slow = list(keys), {}, [], True, 0
        self.port = box.free_port()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def say(self, status, body, **headers):
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                outer.asked.append(self.path)
                time.sleep(outer.slow)
                if not outer.on:
                    self.say(503, {"error": "off"})
                elif self.path == "/moved":
                    self.say(302, {}, Location=f"http://127.0.0.1:{outer.port}/keys")
                else:
                    self.say(200, {"keys": [k.jwk() for k in outer.keys]})

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
                outer.asked.append((self.path, form, self.headers.get("Authorization")))
                self.say(200 if outer.on else 503, outer.opaque.get(form["token"][0], {"active": False}))

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server, self.tls, self.ca = Server(("127.0.0.1", self.port), Handler), tls, None
        if tls:
            self.ca, key = (Path(tempfile.mkdtemp(dir=box.TMP, prefix="c")) / n for n in ("ca.pem", "key.pem"))
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", self.ca,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"https://localhost:{self.port}{path}" if self.tls else f"http://127.0.0.1:{self.port}{path}"
