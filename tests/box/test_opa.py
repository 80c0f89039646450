"""opaServerAuth with a real Open Policy Agent: the policies and rules of docs/step-opa.md as they stand there, every form of
a result, over TCP, TLS and a Unix socket; an OPA that is stopped, too slow, gone and back.
TIMEOUT: 1800
"""
import json
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import box
import certs
import peers
from box import check, equal

PAGE = (box.ROOT / "docs/step-opa.md").read_text()
FORMS = """package forms

yes := true
no := false
list_yes := [true]
list_no := [false, "the reason"]
nothing if input.http_request.path == "/never"
null_value := null
text := "yes"
number := 1
empty_list := []
empty_object := {}
allowed := {"allowed": true}
allow_text := {"allow": "yes"}
denied := {"allow": false, "http_status": 302, "headers": {"location": "https://login.example.com/"}}
denied_200 := {"allow": false, "http_status": 200, "body": "never mind"}
denied_500 := {"allow": false, "http_status": 500}
bad_header := {"allow": true, "headers": {"x-ok": "a\\nb"}}
deep := {"field": {"allow": true}}
clash := 1 if input.http_request.method == "GET"
clash := 2 if input.http_request.host != ""
request := {"allow": false, "body": json.marshal(input)}
body := input.http_request.body == "please"
"""
# rule -> status, reason; with `returnDecisionReason`
RESULTS = {
    "yes": (200, "ok"), "no": (403, "opa_denied"), "list_yes": (200, "ok"), "list_no": (403, "opa_denied"),
    "nothing": (403, "opa_undefined"), "no_such_rule": (403, "opa_undefined"), "null_value": (403, "opa_undefined"),
    "text": (403, "opa_malformed"), "number": (403, "opa_malformed"), "empty_list": (403, "opa_malformed"),
    "empty_object": (403, "opa_malformed"), "allowed": (200, "ok"), "allow_text": (403, "opa_malformed"),
    "denied": (302, "opa_denied"), "denied_200": (403, "opa_denied"), "denied_500": (403, "opa_denied"),
    "bad_header": (403, "opa_malformed"), "deep/field": (200, "ok"), "deep/field/allow": (200, "ok"),
    "clash": (403, "opa_failed"), "request": (403, "opa_denied"), "body": (403, "opa_denied"),
}
ROUTE = "    - {{labels: {{auth: {label}}}, matchers: [{{uri: {{prefix: {prefix}}}}}]}}\n"
POLICY = """---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: {label}}}
spec:
  applyToRoutes: [{{route: {{labels: {{auth: {label}}}}}}}]
  config:
    failureModeAllow: {allow}
    glooAuth: {{configs: [{{opaServerAuth: {{package: forms, ruleName: {rule}, serverAddr: '{addr}', timeout: {timeout}, options: {{returnDecisionReason: true}}}}}}]}}
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


class Opa:
    """A real OPA with the page's rules and the forms."""

    def __init__(self, program, addr, *flags):
        self.rules, self.addr = Path(tempfile.mkdtemp(dir=box.TMP, prefix="r")), addr
        for i, text in enumerate(blocks("rego") + [FORMS]):
            (self.rules / f"{i}.rego").write_text(text)
        self.command = [program, "run", "--server", "--disable-telemetry", "--addr", addr, *flags, str(self.rules)]
        self.process = None

    def up(self):
        self.process = box.start(self.command, log="opa.log")
        return self

    def listens(self, port):
        return check("opa starts", box.wait_port(port, alive=self.process), (box.TMP / "opa.log").read_text()[-600:])


def ask(p, path, method="GET", body=None, **headers):
    """By Envoy's dialect, the one that sends bodies."""
    head = {"Host": "api.example.com", **headers}
    return box.request(p.ports["check"], method, "/auth/envoy" + path, head, body)


def policies(port, tls_port, socket):
    """The page's two policies, and one for each form of a result and each way to reach an OPA."""
    folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    routes, text = "", ""
    rows = [(f"r{i}", rule, f"127.0.0.1:{port}", "60s", "false") for i, rule in enumerate(RESULTS)]
    rows += [("tls", "yes", f"https://localhost:{tls_port}", "60s", "false"),
             ("wrong-name", "yes", f"https://127.0.0.1:{tls_port}", "60s", "false"),
             ("unix", "yes", f"unix:{socket}", "60s", "false"),
             ("short", "yes", f"127.0.0.1:{port}", "1s", "false"), ("careless", "yes", f"127.0.0.1:{port}", "1s", "true")]
    for label, rule, addr, timeout, allow in rows:
        routes += ROUTE.format(label=label, prefix=f"/{label}/")
        text += POLICY.format(label=label, rule=rule, addr=addr, timeout=timeout, allow=allow)
    routes += ROUTE.format(label="tenants", prefix="/tenants/") + ROUTE.format(label="opa", prefix="/")
    (folder / "all.yaml").write_text("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: all}\n"
                                     "spec:\n  hosts: ['*']\n  http:\n" + routes + text)
    for i, block in enumerate(b for b in blocks("yaml") if "opaServerAuth" in b):
        block = block.replace("127.0.0.1:8181", f"127.0.0.1:{port}").replace("timeout: 2s", "timeout: 60s")
        (folder / f"page{i}.yaml").write_text(block.replace("serverAddr: 127.0.0.1", "timeout: 60s\n            serverAddr: 127.0.0.1")
                                              if "timeout" not in block else block)
    return folder


def the_page(p):
    equal("page: the first rule allows", ask(p, "/public/x").status, 200)
    equal("page: it denies", (ask(p, "/public/x", "POST").status, ask(p, "/other").status), (403, 403))
    equal("page: a header counts", ask(p, "/other", **{"x-role": "admin"}).status, 200)
    p.user("ann@example.com")
    key = {"api-key": p.key("ann@example.com", "opa", "gold")["key"]}
    forged = {"x-tenant": "south", "x-debug": "1", "X-User-ID": "tom@example.com"}
    r = ask(p, "/tenants/north/list?x=1", **key, **forged)
    equal("page: the tenant of the key", (r.status, r.headers.get_all("x-tenant"), r.header("x-served-for")), (200, ["north"], "north"))
    check("page: x-debug goes", "x-debug" in (r.header("x-envoy-auth-headers-to-remove") or ""), dict(r.headers))
    r = ask(p, "/tenants/south/list", **key, **forged)
    equal("page: another tenant is denied", (r.status, r.body, r.header("x-postern-reason")), (404, "no such tenant", "opa_denied"))
    equal("page: no key, OPA is not asked", ask(p, "/tenants/north/list", **forged).status, 401)


def forms(p):
    rows = {rule: f"/r{i}/x?a=b" for i, rule in enumerate(RESULTS)}
    for rule, wanted in RESULTS.items():
        r = ask(p, rows[rule], **{"x-ok": "forged"})
        equal(f"result: {rule}", (r.status, r.header("x-postern-reason")), wanted)
    equal("the reason of a list is the body", ask(p, rows["list_no"]).body, "the reason")
    equal("a redirect's place", ask(p, rows["denied"]).header("location"), "https://login.example.com/")
    got = json.loads(ask(p, rows["request"], "PUT", '{"n":1}', **{"X-Many": "1"}).body)
    http = got["http_request"]
    equal("input: the request", {k: http[k] for k in ("method", "path", "host", "query", "body")},
          {"method": "PUT", "path": rows["request"], "host": "api.example.com", "query": "a=b", "body": '{"n":1}'})
    equal("input: headers", {k: http["headers"].get(k) for k in ("x-many", ":method", ":path", ":authority")},
          {"x-many": "1", ":method": "PUT", ":path": rows["request"], ":authority": "api.example.com"})
    equal("input: no state", got["state"], None)
    equal("input: Envoy's form is the same", got["check_request"]["attributes"]["request"]["http"], http)
    equal("a rule about the body", ask(p, rows["body"], "POST", "please").status, 200)


def trouble(p, opa, port):
    box.freeze(opa.process)
    r = ask(p, "/short/x")
    equal("OPA too slow is denied", (r.status, r.header("x-postern-reason")), (403, "opa_unreachable"))
    equal("and let pass where the policy says so", ask(p, "/careless/x").status, 200)
    opa.process.send_signal(signal.SIGCONT)
    check("it goes on", box.wait_for(lambda: ask(p, "/short/x").status == 200))
    box.stop(opa.process)
    r = ask(p, "/short/x")
    equal("OPA down is denied", (r.status, r.header("x-postern-reason")), (403, "opa_unreachable"))
    equal("and let pass where the policy says so, again", ask(p, "/careless/x").status, 200)
    opa.up().listens(port)
    check("OPA back is asked again", box.wait_for(lambda: ask(p, "/short/x").status == 200))


def main():
    program, why = peers.go_program(peers.OPA)
    if not program:
        box.skip("opaServerAuth with a real OPA", why)
        return
    print(subprocess.run([program, "version"], capture_output=True, text=True).stdout.split("\n")[0])
    port, tls_port, socket = box.free_port(), box.free_port(), box.TMP / "opa.sock"
    certs.authority(box.TMP, "ca")
    certs.leaf(box.TMP, "ca", "opa", "DNS:localhost")
    opa = Opa(program, f"127.0.0.1:{port}").up()
    Opa(program, f"unix://{socket}").up()
    tls = Opa(program, f"127.0.0.1:{tls_port}", "--tls-cert-file", str(box.TMP / "opa.crt"),
              "--tls-private-key-file", str(box.TMP / "opa.key")).up()
    if not (opa.listens(port) and tls.listens(tls_port) and check("opa has its socket", box.wait_for(socket.exists))):
        return
    p = box.Postern("--set", f"outbound.ca_file={box.TMP / 'ca.crt'}", policies=policies(port, tls_port, socket), store="memory")
    the_page(p)
    forms(p)
    equal("over TLS", ask(p, "/tls/x").status, 200)
    r = ask(p, "/wrong-name/x")
    equal("TLS with another name is denied", (r.status, r.header("x-postern-reason")), (403, "opa_unreachable"))
    equal("over a Unix socket", ask(p, "/unix/x").status, 200)
    trouble(p, opa, port)
    p.down()


main()
box.finish()
