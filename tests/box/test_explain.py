"""A decision explained afterwards: eval --explain, the portal's REST API, counters; after a reload too."""
import json
import signal

import box
from box import check, equal

POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: keys, namespace: demo}
spec:
  config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}
"""


def asked(server, path, headers=None):
    r = box.get(server.ports["check"], "/auth/forward",
                {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": path, "X-Forwarded-Host": "api.example.com",
                 "X-Forwarded-Proto": "https", **(headers or {})})
    return r, r.header("x-postern-decision")


def main():
    folder = box.TMP / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "keys.yaml").write_text(POLICY)
    server = box.Postern("--threads", "2", policies=folder)
    server.user("ann@example.com")
    key = server.key("ann@example.com", "laptop", "gold")["key"]
    r, allowed = asked(server, "/v1/tides?secret=in-the-query", {"api-key": key})
    equal("a right key passes", r.status, 200)
    r, denied = asked(server, "/v1/tides", {"api-key": "pst_wrong"})
    equal("a wrong one does not", r.status, 401)

    status, out, err = box.run("eval", "--explain", allowed, "--data", server.data)
    check("eval --explain tells an allow", status == 0 and out.startswith("allowed\n") and "ann@example.com" in out
          and "keys.yaml:5" in out and "/v1/tides" in out, (status, out, err))
    check("without the query and the key", "in-the-query" not in out and key not in out, out)
    status, out, err = box.run("eval", "--explain", denied, "--data", server.data, "--json")
    d = json.loads(out or "{}")
    check("and a denial, as JSON", status == 0 and d["allowed"] is False and d["reason"] == "key_unknown"
          and [t["step"] for t in d["trace"]] == ["route", "apiKeyAuth"], (status, out, err))
    check("wrong keys are not kept", "pst_wrong" not in out, out)
    status, out, err = box.run("eval", "--explain", "0123456789abcdef", "--data", server.data)
    check("an id that nobody knows is a no, with a word on why", status == 1 and "check.explain" in err, (status, err))
    status, out, err = box.run("eval", "--explain", "nonsense", "--data", server.data)
    check("what is no id is a wrong use", status == 2 and "16 hexadecimal digits" in err, (status, err))

    (folder / "keys.yaml").write_text(POLICY.replace("name: keys", "name: others"))
    server.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda: "why=SIGHUP" in server.output(), 30)
    status, out, err = box.run("eval", "--explain", denied, "--data", server.data)
    check("a reload does not take it away", status == 0 and "demo.keys" in out, (status, out, err))

    metrics = box.get(server.ports["admin"], "/metrics").body
    check("denials are counted by reason", 'postern_decisions_total{reason="key_unknown"} 1' in metrics
          and 'postern_decisions_total{reason="ok"} 1' in metrics, metrics)
    server.down()
    status, out, err = box.run("eval", "--explain", denied, "--data", server.data)
    check("nobody knows it when Postern does not run", status == 1 and "running Postern" in err, (status, err))


main()
box.finish()
