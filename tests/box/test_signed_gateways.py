"""hmacAuth and basicAuth behind real gateways: what a client signs (host, request line, date, digest of the body) is what
Postern sees behind nginx and Envoy; a body that was changed, an old date, a wrong password; who guesses waits.
TIMEOUT: 900
"""
import base64
import email.utils
import hashlib
import hmac
import time

import box
import gateways
from box import check, equal

HOST = "api.example.com"
POLICIES = """apiVersion: v1
kind: Secret
metadata: {name: bob, namespace: t}
type: extauth.solo.io/credentials
stringData: {username: bob, password: secret}
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: signed, namespace: t}
spec:
  hosts: [api.example.com]
  http:
    - {name: signed, labels: {ask: signed}, matchers: [{uri: {prefix: /signed}}]}
    - {name: whole, labels: {ask: whole}, matchers: [{uri: {prefix: /whole}}]}
    - {name: basic, labels: {ask: basic}, matchers: [{uri: {prefix: /basic}}]}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: signed, namespace: t}
spec:
  applyToRoutes: [{route: {labels: {ask: signed}}}]
  config:
    glooAuth:
      configs:
        - hmacAuth:
            secretRefs: {secretRefs: [{name: bob}]}
            parametersInHeaders: {}
            enforceHeaders: [date, host, request-line]
            userHeader: X-User-ID
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: whole, namespace: t}
spec:
  applyToRoutes: [{route: {labels: {ask: whole}}}]
  config:
    glooAuth:
      configs:
        - hmacAuth:
            secretRefs: {secretRefs: [{name: bob}]}
            parametersInHeaders: {}
            validateRequestBody: true
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: basic, namespace: t}
spec:
  applyToRoutes: [{route: {labels: {ask: basic}}}]
  config:
    glooAuth:
      configs:
        - basicAuth:
            realm: Orders
            apr: {users: {ann: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}
            userHeader: X-User-ID
"""
# What the samples need besides, as the pages of the steps say: the headers that these steps read or remove, and bodies.
MORE_HEADERS = "".join(f"                          - exact: {h}\n" for h in ("authorization", "date", "x-date", "digest"))
BODIES = "                      with_request_body: {max_request_bytes: 65536}\n"


def edit(file, text):
    if file == "envoy.yaml":
        text = text.replace("                          - exact: api-key\n", "                          - exact: api-key\n" + MORE_HEADERS, 1)
        text = text.replace("                              - exact: retry-after\n",
                            "                              - exact: retry-after\n                              - exact: www-authenticate\n", 1)
    if file == "nginx.conf":
        text = text.replace('            proxy_set_header api-key "";', '            proxy_set_header Authorization "";\n            proxy_set_header api-key "";', 1)
    if file.startswith("envoy"):
        text = text.replace("                      failure_mode_allow: false", BODIES + "                      failure_mode_allow: false", 1)
    return text


def digest(body):
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()


def sign(method, path, body=None, at=None, secret="secret", host=HOST, names="date host request-line", algorithm="hmac-sha256"):
    """Headers of a request as Kong's plugin has them."""
    headers = {"Host": HOST, "Date": email.utils.formatdate(at or time.time(), usegmt=True)}
    if body is not None:
        headers["Digest"] = digest(body)
        names += " digest"
    text = "\n".join({"date": f"date: {headers['Date']}", "host": f"host: {host}", "request-line": f"{method} {path} HTTP/1.1",
                      "digest": f"digest: {headers.get('Digest')}"}[n] for n in names.split())
    mac = hmac.new(secret.encode(), text.encode(), algorithm.replace("hmac-", "")).digest()
    headers["Authorization"] = (f'hmac username="bob", algorithm="{algorithm}", headers="{names}", '
                                f'signature="{base64.b64encode(mac).decode()}"')
    return headers


def signed(name, port, upstream):
    path = "/signed/orders?from=2026&to=%20x"
    for algorithm in ("hmac-sha1", "hmac-sha256", "hmac-sha512"):
        r = box.request(port, "GET", path, sign("GET", path, algorithm=algorithm))
        equal(f"{name}: {algorithm}", r.status, 200)
    if r.status == 200:
        seen = {k.lower(): v for k, v in r.json()["headers"]}
        check(f"{name}: the API learns the name and not the signature", seen.get("x-user-id") == "bob"
              and "hmac" not in seen.get("authorization", ""), seen)
    before = len(upstream.seen)
    for what, headers in (("another path was signed", sign("GET", "/signed/other")),
                          ("another method", sign("POST", path)),
                          ("another host", sign("GET", path, host="other.example.com")),
                          ("another secret", sign("GET", path, secret="Secret")),
                          ("too old", sign("GET", path, at=time.time() - 400)),
                          ("in the future", sign("GET", path, at=time.time() + 400)),
                          ("the host was not signed", sign("GET", path, names="date request-line"))):
        r = box.request(port, "GET", path, headers)
        equal(f"{name}: {what}", (r.status, r.body), (401, r.body if name == "nginx" else ""))
    equal(f"{name}: none of these reached the API", len(upstream.seen), before)
    late = box.request(port, "GET", path, sign("GET", path, at=time.time() - 200))
    equal(f"{name}: a little late is in time", late.status, 200)


def bodies(name, port, upstream):
    sends = name != "nginx"  # whether Postern is shown bodies
    body, path = '{"amount": 12}', "/whole/payments"
    headers = sign("POST", path, body)
    equal(f"{name}: a body as it was signed", box.request(port, "POST", path, headers, body).status, 200 if sends else 403)
    if sends:
        equal(f"{name}: the API gets it", upstream.seen[-1].get("body"), body)
    before = len(upstream.seen)
    equal(f"{name}: a body that was changed", box.request(port, "POST", path, headers, body.replace("1", "9")).status, 401 if sends else 403)
    equal(f"{name}: a body without a digest", box.request(port, "POST", path, sign("POST", path), body).status, 401 if sends else 403)
    equal(f"{name}: a body behind the digest of none", box.request(port, "POST", path, sign("POST", path, ""), body).status,
          401 if sends else 403)
    equal(f"{name}: a DELETE with one", box.request(port, "DELETE", path, sign("DELETE", path), body).status, 401 if sends else 403)
    equal(f"{name}: none of these reached the API", len(upstream.seen), before)
    equal(f"{name}: a GET has none", box.request(port, "GET", path, sign("GET", path)).status, 200)


def basic(name, port, upstream):
    def ask(user, password):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return box.get(port, "/basic", {"Host": HOST, "Authorization": f"Basic {token}", "X-User-ID": "root"})
    r = ask("ann", "password")
    equal(f"{name}: basicAuth", r.status, 200)
    if r.status == 200:
        seen = [(k.lower(), v) for k, v in r.json()["headers"]]
        equal(f"{name}: the API learns the name", [v for k, v in seen if k == "x-user-id"], ["ann"])
    r = ask("ann", "other")
    equal(f"{name}: a wrong password", (r.status, r.header("www-authenticate")), (401, 'Basic realm="Orders"'))
    equal(f"{name}: no password", box.get(port, "/basic", {"Host": HOST}).status, 401)
    answers = [ask("ann", f"guess{i}") for i in range(21)]
    equal(f"{name}: who guesses waits", [a.status for a in answers], [401] * 19 + [429] * 2)
    check(f"{name}: and is told how long", (answers[-1].header("retry-after") or "").isdigit(), answers[-1].headers.items())
    equal(f"{name}: the right password goes on from where it was right", ask("ann", "password").status, 200)


def try_gateway(name):
    path, why = gateways.program(name)
    if not path:
        box.skip(name, why)
        return
    folder = box.TMP / "signed-policies"
    folder.mkdir(exist_ok=True)
    (folder / "signed.yaml").write_text(POLICIES)
    config = box.TMP / "signed.yaml"
    config.write_text("throttle:\n  account_failures: 20\n  window: 1h\n")
    upstream = box.Upstream()
    postern = box.Postern("--config", config, policies=folder, store="memory")
    port = box.free_port()
    process = gateways.start(name, path, gateways.place(name, {8080: port, 8083: postern.ports["check"], 9000: upstream.port}, edit), port)
    if process:
        signed(name, port, upstream)
        bodies(name, port, upstream)
        basic(name, port, upstream)
        box.stop(process)
    postern.down()


for gateway in ("nginx", "envoy", "envoy-grpc"):
    try_gateway(gateway)
box.finish()
