"""Real gateways with the configurations of etc/gateways/ in front of a real upstream, asking Postern.

For each: no key 401, wrong key 401, right key 200 with the identity header set and a forged one gone,
over the limit 429 with Retry-After, another person not limited, Postern down: denied.
TIMEOUT: 1800
"""
import os
import re
import shutil
import sys
from pathlib import Path

import box
import peers

GATEWAYS = box.ROOT / "etc/gateways"
HOST = "harbour.example.com"
LIMIT = 5  # of plan bronze in etc/demo/policies/plans.yaml


def place(name, gateway, check, upstream):
    """A copy of a sample configuration with this test's ports."""
    folder = box.TMP / f"gw-{gateway}"
    folder.mkdir(exist_ok=True)
    text = (GATEWAYS / name).read_text()
    for old, new in (("8080", gateway), ("8083", check), ("9000", upstream)):
        text = re.sub(rf"(?<![0-9]){old}(?![0-9])", str(new), text)
    (folder / name).write_text(text)
    return folder


def nginx(gateway, check, upstream):
    program = box.which("nginx")
    if not program:
        return None, "nginx is not installed"
    folder = place("nginx.conf", gateway, check, upstream)
    return box.start([program, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"], log="nginx.log"), ""


def caddy(gateway, check, upstream):
    program = box.which("caddy")
    if not program:
        return None, "caddy is not installed"
    folder = place("Caddyfile", gateway, check, upstream)
    env = dict(os.environ, HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
    return box.start([program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
                     log="caddy.log", env=env), ""


def haproxy(gateway, check, upstream):
    program = box.which("haproxy")
    if not program:
        return None, "haproxy is not installed"
    folder = place("haproxy.cfg", gateway, check, upstream)
    place("haproxy-postern.lua", gateway, check, upstream)
    return box.start([program, "-db", "-f", "haproxy.cfg"], log="haproxy.log", cwd=folder), ""


def envoy(gateway, check, upstream, name="envoy"):
    program, why = peers.envoy()
    if not program:
        return None, why
    folder = place(f"{name}.yaml", gateway, check, upstream)
    return box.start([program, "-c", str(folder / f"{name}.yaml"), "--disable-hot-restart", "--concurrency", "1",
                      "-l", "warning"], log=f"{name}.log", cwd=folder), ""


def envoy_grpc(gateway, check, upstream):
    return envoy(gateway, check, upstream, "envoy-grpc")


def ask(port, key=None, path="/v1/stations", **more):
    headers = {"Host": HOST, **more}
    if key:
        headers["api-key"] = key
    return box.get(port, path, headers)


def upstream_header(answer, name):
    return [v for k, v in answer.json()["headers"] if k == name]


WHERE_FROM = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: where-from, namespace: test}
spec:
  hosts: [harbour.example.com]
  http:
    - name: where-from
      labels: {ask: address}
      matchers: [{uri: {exact: /where-from}}]
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
"""


def policies():
    """The demo's, and a route that only the gateway's own client address passes."""
    folder = box.TMP / "gateway-policies"
    shutil.copytree(box.ROOT / "etc/demo/policies", folder, dirs_exist_ok=True)
    (folder / "where-from.yaml").write_text(WHERE_FROM)
    return folder


def try_gateway(name, launch, denied_when_down):
    upstream = box.Upstream()
    postern = box.Postern(policies=policies(), store="memory")
    for email in ("ann@example.com", "tom@example.com"):
        postern.user(email)
    ann = postern.key("ann@example.com", name, "bronze")["key"]
    tom = postern.key("tom@example.com", name, "gold")["key"]
    port = box.free_port()
    process, why = launch(port, postern.ports["check"], upstream.port)
    if not process:
        box.skip(name, why)
        postern.down()
        return
    if not box.check(f"{name} starts", box.wait_port(port, alive=process), (box.TMP / f"{name}.log").read_text()[-800:]):
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

    postern.kill()
    before = len(upstream.seen)
    box.check(f"{name}: Postern down is denied", ask(port, tom).status in denied_when_down)
    box.equal(f"{name}: and nothing reached the API", len(upstream.seen), before)
    box.stop(process)


def main():
    chosen = sys.argv[1:]
    for name, launch, down in (("nginx", nginx, (500, 502, 503)), ("caddy", caddy, (502, 503)),
                               ("haproxy", haproxy, (403, 503)), ("envoy", envoy, (403, 503)),
                               ("envoy-grpc", envoy_grpc, (403, 503))):
        if not chosen or name in chosen:
            try_gateway(name, launch, down)
    box.finish()


main()
