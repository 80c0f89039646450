"""Steps that ask another server, and transformations, in the running Postern: a scripted server answers as a
passThroughAuth server and as an OPA; every dialect of the check port carries what was made."""
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import box
from box import Postern, check, equal


class Asked(BaseHTTPRequestHandler):
    """Path /check: 200 with X-Email from X-Token, else 401; /v1/data/...: OPA; /slow waits."""
    protocol_version = "HTTP/1.1"
    seen, hold = [], threading.Event()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        Asked.seen.append((self.path, dict(self.headers), body))
        if self.path.startswith("/slow"):
            Asked.hold.wait(60)
        if self.path.startswith("/v1/data/"):
            http = json.loads(body)["input"]["http_request"]
            result = {"allow": http["headers"].get("x-role") != "no", "headers": {"x-opa": "yes"}, "http_status": 403, "body": "not you"}
            return self.say(200, {"Content-Type": "application/json"}, json.dumps({"result": result}))
        token = self.headers.get("X-Token", "")
        if not token:
            return self.say(401, {"WWW-Authenticate": "Token", "X-Secret": "1"}, "who are you?")
        self.say(200, {"X-Email": f"{token}@solo.io", "X-Other": "1"}, json.dumps({"state": {"level": 3}}))

    def say(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def server():
    s = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    s.daemon_threads = True
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s.server_address[1]


POLICIES = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {{name: all}}
spec:
  hosts: ['*']
  http:
    - name: slow
      labels: {{slow: "true"}}
      matchers: [{{uri: {{prefix: /slow}}}}]
    - name: opa
      labels: {{opa: "true"}}
      matchers: [{{uri: {{prefix: /opa}}}}]
    - name: pass
      labels: {{pass: "true"}}
      matchers: [{{uri: {{prefix: /}}}}]
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: pass}}
spec:
  applyToRoutes: [{{route: {{labels: {{pass: "true"}}}}}}]
  config:
    glooAuth:
      configs:
        - passThroughAuth:
            http:
              url: http://127.0.0.1:{port}/check
              request: {{allowedHeaders: [x-token], passThroughBody: true}}
              response: {{allowedUpstreamHeadersToOverwrite: [X-Email], allowedClientHeadersOnDenied: [www-authenticate], readStateFromResponse: true}}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: opa}}
spec:
  applyToRoutes: [{{route: {{labels: {{opa: "true"}}}}}}]
  config:
    glooAuth:
      configs:
        - opaServerAuth: {{package: shop.authz, ruleName: allow, serverAddr: '127.0.0.1:{port}', headers: [x-opa]}}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: slow}}
spec:
  applyToRoutes: [{{route: {{labels: {{slow: "true"}}}}}}]
  config:
    glooAuth:
      configs:
        - passThroughAuth: {{http: {{url: 'http://127.0.0.1:{port}/slow', connectionTimeout: 60s, request: {{headersToAdd: {{x-token: ann}}}}}}}}
---
apiVersion: trafficcontrol.policy.gloo.solo.io/v2
kind: TransformationPolicy
metadata:
  name: modify-header
spec:
  applyToRoutes: [{{route: {{labels: {{pass: "true"}}}}}}]
  config:
    phase: {{postAuthz: {{priority: 2}}}}
    request:
      injaTemplate:
        extractors:
          organization: {{header: 'X-Email', regex: '.*@(.*)$', subgroup: 1}}
        headers:
          x-organization: {{text: "{{{{ organization }}}}"}}
        headersToRemove: [x-token]
    response:
      injaTemplate:
        headers:
          content-type: {{text: application/json}}
        body: {{text: '{{"status":{{{{ header(":status") }}}}}}'}}
"""
FORGED = {"X-Email": "root@example.com", "X-Organization": "example.com", "X_Organization": "example.com"}


def forward(p, uri, **headers):
    ask = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com", "X-Forwarded-Uri": uri,
           "X-Forwarded-For": "192.0.2.7"}
    return box.request(p.ports["check"], "GET", "/auth/forward", dict(ask, **headers))


def nginx(p, uri, **headers):
    ask = {"X-Original-URL": f"https://api.example.com{uri}", "X-Original-Method": "GET", "X-Real-IP": "192.0.2.7"}
    return box.request(p.ports["check"], "GET", "/auth/nginx", dict(ask, **headers))


def envoy(p, uri, **headers):
    return box.request(p.ports["check"], "GET", "/auth/envoy" + uri, dict({"Host": "api.example.com"}, **headers))


def dialects(p):
    for name, ask in (("forward", forward), ("nginx", nginx), ("envoy", envoy)):
        a = ask(p, "/get", **{"X-Token": "ann"}, **FORGED)
        equal(f"{name}: allowed", a.status, 200)
        equal(f"{name}: identity of the server", a.headers.get_all("X-Email"), ["ann@solo.io"])
        equal(f"{name}: the template's header", a.headers.get_all("x-organization"), ["solo.io"])
        check(f"{name}: nothing else is copied", a.header("X-Other") is None)
        gone = (a.header("x-envoy-auth-headers-to-remove") or "").lower().split(",")
        check(f"{name}: the token goes", "x-token" in gone if name == "envoy" else a.header("x-token") == "", dict(a.headers))
        if name != "nginx":
            check(f"{name}: the other spelling goes", "x_organization" in gone if name == "envoy" else a.header("x_organization") == "", dict(a.headers))
        a = ask(p, "/get", **FORGED)
        equal(f"{name}: denied", a.status, 401)
        equal(f"{name}: body as the policy says", (a.body, a.header("content-type")), ('{"status":401}', "application/json"))
        check(f"{name}: header of the server", a.header("www-authenticate") == "Token" and a.header("X-Secret") is None, dict(a.headers))
        check(f"{name}: no identity on a denial", a.header("X-Email") is None and a.header("x-organization") is None)
        a = ask(p, "/opa", **{"x-role": "yes", "x-opa": "forged"})
        equal(f"{name}: OPA allows", (a.status, a.headers.get_all("x-opa")), (200, ["yes"]))
        a = ask(p, "/opa", **{"x-role": "no"})
        equal(f"{name}: OPA refuses", (a.status, a.body, a.header("X-Postern-Reason")), (403, "not you", "opa_denied"))


def decide(p):
    a = box.request(p.ports["check"], "POST", "/v1/decide?trace=1", body=json.dumps(
        {"method": "POST", "path": "/p?x=1", "host": "api.example.com", "headers": {"x-token": "bob"}, "body": '{"a":1}'})).json()
    check("decide: allowed", a["allowed"] and a["headers"]["upstream"]["x-organization"] == "solo.io", a)
    equal("decide: steps", [t["step"] for t in a["trace"]], ["route", "passThroughAuth", "transformation"])
    check("the server got the body", Asked.seen[-1][2] == '{"body":"{\\"a\\":1}"}', Asked.seen[-1])


def many_wait(p):
    Asked.hold.clear()
    with ThreadPoolExecutor(20) as pool:
        slow = [pool.submit(forward, p, f"/slow/{i}") for i in range(20)]
        check("twenty wait", box.wait_for(lambda: sum(path == "/slow" for path, _, _ in Asked.seen) >= 20, 30))
        for i in range(50):  # the others go on
            a = forward(p, "/get", **{"X-Token": "ann"})
            if a.status != 200:
                check("others pass meanwhile", False, a.status)
        check("others pass meanwhile", not any(f.done() for f in slow))
        Asked.hold.set()
        equal("all of them end", [f.result().status for f in slow], [200] * 20)


def eval_waits(policies):
    status, out, err = box.run("eval", "--policies", policies, "--json", stdin=json.dumps(
        {"method": "GET", "path": "/get", "host": "api.example.com", "headers": {"x-token": "eve"}}))
    check("eval asks the server", status == 0 and json.loads(out)["headers"]["upstream"]["X-Email"] == "eve@solo.io", (status, out, err))


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    (folder / "all.yaml").write_text(POLICIES.format(port=server()))
    postern = Postern(policies=folder, store="memory")
    dialects(postern)
    decide(postern)
    many_wait(postern)
    eval_waits(folder)
    Asked.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(forward, postern, "/slow/late")
        box.wait_for(lambda: sum(path == "/slow" for path, _, _ in Asked.seen) >= 21, 30)
        equal("Postern stops while a check waits", postern.down(), 0)
        Asked.hold.set()
        try:
            check("and that check is not allowed", late.result().status != 200)
        except OSError:
            check("and that check is not allowed", True)
    box.finish()
