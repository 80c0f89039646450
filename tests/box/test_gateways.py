"""Real gateways with the configurations of etc/gateways/ in front of a real upstream, asking Postern.

For each: no key 401, wrong key 401, right key 200 with the identity header set and a forged one gone,
over the limit 429 with Retry-After, another person not limited, what a client gets of each denial (SEEN; the pages
docs/gateway-*.md say the same), bodies and methods, headers of other gateways not believed, Postern down: denied.
TIMEOUT: 1800
"""
import getpass
import signal
import sys

import box
import gateways

HOST = "harbour.example.com"
LIMIT = 5  # of plan bronze in etc/demo/policies/plans.yaml


# What a client gets while Postern is down; the pages say so.
DOWN = {"nginx": 500, "caddy": 502, "haproxy": 403, "envoy": 503, "envoy-grpc": 503, "traefik": 500}
GIVES_UP = ("haproxy", "envoy", "envoy-grpc")  # soon, when Postern does not answer; the others wait longer
TELLS_LIMITS = ("nginx", "envoy", "envoy-grpc")  # hand Postern's headers for the client on when they allow
UNIX = {"nginx": ("server 127.0.0.1:8083", "server unix:{}"), "caddy": ("forward_auth 127.0.0.1:8083", "forward_auth unix/{}"),
        "envoy": ("socket_address: {{address: 127.0.0.1, port_value: 8083}}", "pipe: {{path: {}}}"),
        "envoy-grpc": ("socket_address: {{address: 127.0.0.1, port_value: 8083}}", "pipe: {{path: {}}}")}


def ask(port, key=None, path="/v1/stations", **more):
    headers = {"Host": HOST, **more}
    if key:
        headers["api-key"] = key
    return box.get(port, path, headers)


def upstream_header(answer, name):
    return [v for k, v in answer.json()["headers"] if k == name]


POLICIES = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: where-from, namespace: test}
spec:
  hosts: [harbour.example.com]
  http:
    - {name: where-from, labels: {ask: address}, matchers: [{uri: {exact: /where-from}}]}
    - {name: says, labels: {ask: says}, matchers: [{uri: {prefix: /says/}}]}
    - {name: open, matchers: [{uri: {prefix: /open/}}]}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: where-from, namespace: test}
spec:
  applyToRoutes: [{route: {labels: {ask: address}}}]
  config:
    glooAuth:
      configs:
        - luaAuth: {inline: 'return function(req) return req.source_ip == "127.0.0.1" end'}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: says, namespace: test}
spec:
  applyToRoutes: [{route: {labels: {ask: says}}}]
  config:
    glooAuth:
      configs:
        - luaAuth:
            inline: |
              return function(req)
                  local status = tonumber(req.path:match("%d+"))
                  local headers = {["x-told"] = "yes"}
                  if status == 302 then headers = {location = "https://login.example.com/?a=b"} end
                  return {allow = status == 200, status = status, reason = "says", body = "no: " .. req.method, headers = headers}
              end
"""
# What Postern says -> what the client gets: status, and whether with Postern's body.
RELAYED = {302: (302, True), 401: (401, True), 403: (403, True), 404: (404, True), 418: (418, True)}
SEEN = {name: RELAYED for name in ("caddy", "haproxy", "envoy", "envoy-grpc", "traefik")}
SEEN["nginx"] = {302: (403, False), 401: (401, False), 403: (403, False), 404: (403, False), 418: (403, False)}


def what_is_asked(name, port, upstream):
    """The request's own path, method and host count, whatever it says about itself."""
    box.equal(f"{name}: an open route", ask(port, path="/open/x?y=1").status, 200)
    box.equal(f"{name}: the API gets the path as it is", upstream.seen[-1]["path"], "/open/x?y=1")
    r = box.request(port, "POST", "/open/x", {"Host": HOST}, "a body")
    box.equal(f"{name}: and the body", (r.status, r.json()["body"], r.json()["method"]), (200, "a body", "POST"))
    url = f"http://{HOST}/open/x"
    for lie in ({"X-Forwarded-Uri": "/open/x", "X-Forwarded-Method": "GET"}, {"X-Original-URL": url, "X-Original-Method": "GET"},
                {"X-Forwarded-Host": "other.example.com"}, {"X-HTTP-Method-Override": "GET"}, {"X-Original-URI": "/open/x"},
                {"Connection": "x-forwarded-uri, x-original-url, x-forwarded-method, api-key"}):
        before = len(upstream.seen)
        box.equal(f"{name}: {next(iter(lie))} of a client is not believed", (ask(port, **lie).status, len(upstream.seen)), (401, before))
    r = box.request(port, "HEAD", "/v1/stations", {"Host": HOST})
    box.equal(f"{name}: HEAD is denied as GET is", r.status, 401)


def what_the_client_gets(name, port):
    for said, (status, body) in SEEN[name].items():
        r = box.request(port, "GET", f"/says/{said}", {"Host": HOST})
        box.equal(f"{name}: {said} reaches the client as {status}", r.status, status)
        box.equal(f"{name}: {said}: with Postern's body: {body}", r.body == "no: GET", body)
        if status == 302:
            box.equal(f"{name}: 302 leads there", r.header("location"), "https://login.example.com/?a=b")
    box.equal(f"{name}: a POST's denial", box.request(port, "POST", "/says/403", {"Host": HOST}, "x" * 5000).status, 403)
    box.equal(f"{name}: and an allow", box.request(port, "POST", "/says/200", {"Host": HOST}, "x" * 5000).status, 200)


def try_gateway(name, denied_when_down):
    path, why = gateways.program(name)
    if not path:
        box.skip(name, why)
        return
    upstream = box.Upstream()
    postern = box.Postern(policies=gateways.demo_policies(POLICIES), store="memory")
    for email in ("ann@example.com", "tom@example.com"):
        postern.user(email)
    ann = postern.key("ann@example.com", name, "bronze")["key"]
    tom = postern.key("tom@example.com", name, "gold")["key"]
    port = box.free_port()
    process = gateways.start(name, path, gateways.place(name, {8080: port, 8083: postern.ports["check"], 9000: upstream.port}), port)
    if not process:
        return

    r = ask(port)
    box.equal(f"{name}: no key is 401", r.status, 401)
    box.check(f"{name}: no key says why", "API key is missing or invalid" in (r.header("www-authenticate") or ""),
              r.headers.items())
    box.equal(f"{name}: wrong key is 401", ask(port, "pst_wrongwrongwrong").status, 401)
    box.equal(f"{name}: nothing reached the API", len(upstream.seen), 0)

    forged = {"X-User-ID": "root@example.com", "x-solo-plan": "unlimited"}
    r = ask(port, tom, **forged)
    if box.equal(f"{name}: right key is 200", r.status, 200):
        box.equal(f"{name}: identity is set and the forged one gone", upstream_header(r, "x-user-id"),
                  ["tom@example.com"])
        box.equal(f"{name}: the limit is told on an allow", r.header("ratelimit") is not None, name in TELLS_LIMITS)
        box.equal(f"{name}: plan likewise", upstream_header(r, "x-solo-plan"), ["gold"])
        box.equal(f"{name}: the key does not reach the API", upstream_header(r, "api-key"), [])

    answers = box.in_one_minute(lambda: [ask(port, ann) for _ in range(LIMIT + 1)])
    r = answers.pop()
    box.equal(f"{name}: the plan's requests pass", [x.status for x in answers], [200] * LIMIT)
    box.equal(f"{name}: one more is 429", r.status, 429)
    box.check(f"{name}: 429 says when to come back", (r.header("retry-after") or "").isdigit(), r.headers.items())
    box.equal(f"{name}: another person is not limited", ask(port, tom).status, 200)
    box.check(f"{name}: a path that servers read differently is refused",
              ask(port, tom, "/v1/%2e%2e/admin").status in (400, 403))

    lies = {n: "192.0.2.66" for n in ("X-Real-IP", "X-Forwarded-For", "X-Postern-Client-IP")}
    box.equal(f"{name}: the client's address is the gateway's word", ask(port, path="/where-from", **lies).status, 200)
    what_is_asked(name, port, upstream)
    what_the_client_gets(name, port)

    before = len(upstream.seen)
    if name in GIVES_UP:
        box.freeze(postern.process)
        box.equal(f"{name}: a Postern that does not answer is denied", ask(port, tom).status, denied_when_down)
        postern.process.send_signal(signal.SIGCONT)
    postern.kill()
    box.equal(f"{name}: Postern down is denied", ask(port, tom).status, denied_when_down)
    box.equal(f"{name}: and nothing reached the API", len(upstream.seen), before)
    box.stop(process)


def traefik_trusts():
    """docs/gateway-traefik.md: with trustForwardHeader a client's headers are still dropped, by the entry point."""
    path, why = gateways.program("traefik")
    if not path:
        box.skip("traefik: trustForwardHeader", why)
        return
    upstream = box.Upstream()
    postern = box.Postern(policies=gateways.demo_policies(POLICIES), store="memory")
    port = box.free_port()
    folder = gateways.place("traefik", {8080: port, 8083: postern.ports["check"], 9000: upstream.port},
                            lambda file, text: text.replace("trustForwardHeader: false", "trustForwardHeader: true"))
    if gateways.start("traefik", path, folder, port):
        what_is_asked("traefik, trustForwardHeader", port, upstream)
    postern.down()


def by_unix_socket(name):
    """The page's other way to reach a Postern on the same machine."""
    path, why = gateways.program(name)
    if not path:
        box.skip(f"{name}: Unix socket", why)
        return
    upstream, socket = box.Upstream(), box.TMP / f"check-{name}.sock"
    postern = box.Postern("--check", f"unix:{socket}", policies=gateways.demo_policies(POLICIES), store="memory")
    old, new = (x.format(socket) for x in UNIX[name])
    port = box.free_port()
    mine = f"user {getpass.getuser()};\n" if name == "nginx" else ""  # the socket is for Postern's user alone
    folder = gateways.place(name, {8080: port, 9000: upstream.port}, lambda file, text: mine + text.replace(old, new))
    if gateways.start(name, path, folder, port):
        box.equal(f"{name}: Unix socket: denied", ask(port).status, 401)
        box.equal(f"{name}: Unix socket: allowed", ask(port, path="/open/x").status, 200)
    postern.down()


def haproxy_script_fails():
    path, why = gateways.program("haproxy")
    if not path:
        box.skip("haproxy: a script that fails", why)
        return
    upstream, port = box.Upstream(), box.free_port()
    broken = gateways.place("haproxy", {8080: port, 8083: box.free_port(), 9000: upstream.port},
                            lambda file, text: text.replace("    local answer = ", "    error('broken')\n    local answer = "))
    if gateways.start("haproxy", path, broken, port):
        box.equal("haproxy: a script that fails denies", (ask(port, path="/open/x").status, len(upstream.seen)), (403, 0))


def main():
    chosen = sys.argv[1:]
    for name, down in DOWN.items():
        if not chosen or name in chosen:
            try_gateway(name, down)
            if name in UNIX:
                by_unix_socket(name)
    if not chosen or "traefik" in chosen:
        traefik_trusts()
    if not chosen or "haproxy" in chosen:
        haproxy_script_fails()
    box.finish()


main()
