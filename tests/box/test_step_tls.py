"""passThroughAuth over https, through real gateways: a server of a private authority that wants a certificate of Postern's,
as docs/step-passthrough.md says; another authority, another name, no certificate are denied."""
import json
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import box
import certs
import gateways
from box import check, equal

HOST = "harbour.example.com"
# label: CA that is trusted, certificate that is shown, name that is expected
WAYS = {"good": ("servers", "postern", "auth.example.com"), "wrong-ca": ("strangers", "postern", "auth.example.com"),
        "wrong-name": ("servers", "postern", "other.example.com"), "no-cert": ("servers", "", "auth.example.com"),
        "forged": ("servers", "forged", "auth.example.com"), "url-name": ("servers", "postern", ""), "no-ca": ("", "postern", "auth.example.com")}
POLICY = """---
apiVersion: v1
kind: Secret
metadata: {{name: tls-{label}, namespace: test}}
type: kubernetes.io/tls
stringData: {secret}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: tls-{label}, namespace: test}}
spec:
  applyToRoutes: [{{route: {{labels: {{tls: {label}}}}}}}]
  config:
    glooAuth:
      configs:
        - passThroughAuth:
            http:
              url: https://localhost:{port}/check
              connectionTimeout: 60s
              request: {{allowedHeaders: [x-token]}}
              response: {{allowedUpstreamHeadersToOverwrite: [X-User-ID], allowedClientHeadersOnDenied: [www-authenticate]}}
              tlsConfig: {tls}
"""


class Auth(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_POST(self):
        token = self.headers.get("X-Token", "")
        Auth.seen.append((dict(self.connection.getpeercert()["subject"][0])["commonName"], token))
        self.send_response(200 if token else 401)
        self.send_header("X-User-ID" if token else "WWW-Authenticate", token or "Token")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # handshakes that fail, as they shall


def https_server(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "auth.crt", folder / "auth.key")
    context.load_verify_locations(folder / "clients.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server(("127.0.0.1", 0), Auth)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def policies(folder, port):
    routes, text = "", ""
    for label, (ca, cert, name) in WAYS.items():
        secret = {"ca.crt": (folder / f"{ca}.crt").read_text()} if ca else {}
        if cert:
            secret |= {"tls.crt": (folder / f"{cert}.crt").read_text(), "tls.key": (folder / f"{cert}.key").read_text()}
        tls = {"secretRef": {"name": f"tls-{label}", "namespace": "test"}} | ({"sni": name} if name else {})
        routes += f"    - {{labels: {{tls: {label}}}, matchers: [{{uri: {{prefix: /{label}/}}}}]}}\n"
        text += POLICY.format(label=label, secret=json.dumps(secret), port=port, tls=json.dumps(tls))
    return (f"apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {{name: tls, namespace: test}}\nspec:\n"
            f"  hosts: ['*']\n  http:\n{routes}{text}")


def ask(port, label, **headers):
    return box.get(port, f"/{label}/x", {"Host": HOST, **headers})


def directly(p):
    for label in WAYS:
        r = box.get(p.ports["check"], f"/auth/envoy/{label}/x", {"Host": HOST, "X-Token": "ann"})
        wanted = (200, "ok") if label in ("good", "url-name") else (403, "passthrough_unreachable")
        equal(f"{label}: {wanted[1]}", (r.status, r.header("x-postern-reason")), wanted)


def through(name, p):
    path, why = gateways.program(name)
    if not path:
        box.skip(name, why)
        return
    upstream, port = box.Upstream(), box.free_port()
    def edit(file, text):
        return text.replace("- exact: api-key", "- exact: api-key\n                          - exact: x-token")
    if not gateways.start(name, path, gateways.place(name, {8080: port, 8083: p.ports["check"], 9000: upstream.port}, edit), port):
        return
    r = ask(port, "good", **{"X-Token": "ann", "X-User-ID": "root"})
    equal(f"{name}: allowed, the server's header counts", (r.status, r.status == 200 and
          [v for k, v in r.json()["headers"] if k == "x-user-id"]), (200, ["ann"]))
    r = ask(port, "good")
    equal(f"{name}: its denial reaches the client", (r.status, r.header("www-authenticate")), (401, "Token"))
    before = len(upstream.seen)
    for label in ("wrong-ca", "wrong-name", "no-cert", "forged"):
        equal(f"{name}: {label} is denied", ask(port, label, **{"X-Token": "ann"}).status, 403)
    equal(f"{name}: nothing of that reached the API", len(upstream.seen), before)


def main():
    folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="c"))
    for ca in ("servers", "clients", "strangers"):
        certs.authority(folder, ca)
    certs.leaf(folder, "servers", "auth", "DNS:auth.example.com,DNS:localhost")
    certs.leaf(folder, "clients", "postern", "DNS:postern.example.com")
    certs.leaf(folder, "strangers", "forged", "DNS:postern.example.com")
    place = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    (place / "all.yaml").write_text(policies(folder, https_server(folder)))
    p = box.Postern(policies=place, store="memory")
    directly(p)
    check("the server saw Postern's certificate, and nobody else's", {who for who, _ in Auth.seen} == {"postern"}, Auth.seen)
    for name in ("nginx", "caddy", "haproxy", "envoy-grpc"):
        through(name, p)
    p.down()


main()
box.finish()
