"""Wrong credentials at a running Postern: who guesses waits, others do not; told in decisions, metrics and log."""
import json

import box
from box import check, equal

POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: keys, namespace: demo}
spec:
  config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}
"""
SETTINGS = """throttle:
  address_failures: 3
  window: 1h
  exempt: [198.51.100.0/24]
"""


def main():
    folder = box.TMP / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "keys.yaml").write_text(POLICY)
    config = box.TMP / "postern.yaml"
    config.write_text(SETTINGS)
    server = box.Postern("--threads", "2", "--config", config, policies=folder)
    server.user("ann@example.com")
    key = server.key("ann@example.com", "laptop", "gold")["key"]

    def ask(source, clear):
        # a connection of its own each time: any thread may answer, and all count together
        return box.get(server.ports["check"], "/auth/forward",
                       {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/", "X-Forwarded-Host": "api.example.com",
                        "X-Forwarded-Proto": "https", "X-Forwarded-For": source, "api-key": clear})

    equal("three wrong keys are looked at", [ask("192.0.2.1", f"pst_guess{i}").status for i in range(3)], [401] * 3)
    answers = [ask("192.0.2.1", f"pst_guess{i}") for i in range(8)]
    equal("the next ones are not", [r.status for r in answers], [429] * 8)
    r = ask("192.0.2.1", key)
    check("nor is a right one from there, and it is told when to come again",
          r.status == 429 and r.header("x-postern-reason") == "address_throttled"
          and 0 < int(r.header("retry-after")) <= 1200, (r.status, r.headers))
    equal("from elsewhere it passes", ask("192.0.2.2", key).status, 200)
    equal("an exempt address never waits", {ask("198.51.100.7", "pst_guess").status for _ in range(8)}, {401})

    _, out, err = box.run("eval", "--explain", r.header("x-postern-decision"), "--data", server.data, "--json")
    d = json.loads(out or "{}")
    check("the decision is explained", d.get("reason") == "address_throttled" and d["trace"][-1]["step"] == "apiKeyAuth"
          and "wrong credentials from this address" in d["words"] and key not in out and "guess" not in out, (out, err))
    metrics = box.get(server.ports["admin"], "/metrics").body
    check("and counted", 'postern_credentials_throttled_total{by="address"} 9\n' in metrics
          and "postern_credentials_wrong_total 11\n" in metrics
          and 'postern_decisions_total{reason="address_throttled"} 9\n' in metrics, metrics)
    check("the log has the address and no key", "policy.throttled" in server.output() and "client=192.0.2.1" in server.output()
          and "guess" not in server.output(), server.output())
    server.down()

    config.write_text("throttle:\n  exempt: [unix]\n")
    status, _, err = box.run("serve", "--config", config, "--data", box.TMP / "never")
    check("exempt takes addresses alone", status == 2 and "addresses and CIDR ranges" in err, (status, err))


main()
box.finish()
