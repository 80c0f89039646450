"""The log of decisions: lines of JSON without secrets, found when the ring has forgotten, turned over, opened anew.

BUILDS: release dev tsan
"""
import json
import signal
import stat

import box
from box import check, equal

POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: keys, namespace: demo}
spec:
  config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}
"""


def ask(server, path, key=None):
    r = box.get(server.ports["check"], "/auth/forward",
                {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": path, "X-Forwarded-Host": "api.example.com",
                 "X-Forwarded-Proto": "https", **({"api-key": key} if key else {})})
    return r.header("x-postern-decision")


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def known(file, id):
    return box.wait_for(lambda: any(d["decision_id"] == id for d in lines(file)))


def serve(name, settings, policies):
    config = box.TMP / f"{name}.yaml"
    config.write_text(settings)
    return box.Postern("--threads", "2", "--config", config, policies=policies), config


def explain(server, config, id):
    status, out, err = box.run("eval", "--explain", id, "--data", server.data, "--config", config, "--json")
    return status, json.loads(out or "{}"), err


def test_written_and_found(policies):
    file = box.TMP / "decisions.jsonl"
    server, config = serve("all", f"decisions:\n  file: {file}\ncheck:\n  explain: 1\n", policies)
    server.user("ann@example.com")
    key = server.key("ann@example.com", "laptop", "gold")["key"]
    allowed, denied = ask(server, "/v1/tides?secret=in-the-query", key), ask(server, "/v1/tides", "pst_wrong")
    check("each decision gets into the file", known(file, allowed) and known(file, denied), lines(file))
    d = {d["decision_id"]: d for d in lines(file)}
    check("as it would be explained", d[allowed]["allowed"] is True and d[allowed]["user"] == "ann@example.com"
          and d[denied]["reason"] == "key_unknown" and [t["step"] for t in d[denied]["trace"]] == ["route", "apiKeyAuth"], d)
    text = file.read_text()
    check("without key and query", key not in text and "pst_wrong" not in text and "in-the-query" not in text, text)
    equal("for its owner only", stat.S_IMODE(file.stat().st_mode), 0o600)
    for _ in range(8):  # the ring of one decision forgets
        ask(server, "/other")
    status, found, err = explain(server, config, denied)
    check("eval --explain finds it when the ring has forgotten", status == 0 and found == d[denied], (status, found, err))

    file.rename(box.TMP / "moved.jsonl")
    server.process.send_signal(signal.SIGHUP)
    box.wait_for(file.exists)
    later = ask(server, "/later")
    check("SIGHUP: a new file", known(file, later), lines(file))
    last = ask(server, "/last")
    server.down()
    check("what was decided last is written at the end", any(d["decision_id"] == last for d in lines(file)), lines(file))
    status, found, err = explain(server, config, last)
    check("found without a running Postern", status == 0 and found["path"] == "/last", (status, found, err))
    status, _, err = explain(server, config, "0123456789abcdef")
    equal("an id that nobody knows is a no", status, 1)


def test_denied_only_and_turned_over(policies):
    file = box.TMP / "denied.jsonl"
    older = box.TMP / "denied.jsonl.1"
    server, config = serve("denied", f"decisions:\n  file: {file}\n  which: denied\n  file_max: 64kb\ncheck:\n  explain: 0\n", policies)
    server.user("ann@example.com")
    key = server.key("ann@example.com", "laptop", "gold")["key"]
    first = None
    for i in range(400):
        ask(server, f"/{i}/" + "x" * 150, key)
        first = first or ask(server, f"/{i}/" + "x" * 150)
        ask(server, f"/{i}/" + "x" * 150)
        if i % 50 == 49:
            last = ask(server, "/last")
            known(file, last)
    check("at its size the file becomes FILE.1", older.exists() and older.stat().st_size <= 65536
          and file.stat().st_size <= 65536, [f.name for f in box.TMP.iterdir()])
    check("whole lines, denials only", all(d["allowed"] is False for d in lines(file) + lines(older)), "")
    status, found, err = explain(server, config, lines(older)[0]["decision_id"])
    check("the older file is searched, too; no ring is needed", status == 0 and found.get("reason") == "key_missing", (status, found, err))
    server.down()


def test_trouble(policies):
    server, _ = serve("full", "decisions:\n  file: /dev/full\n", policies)
    ask(server, "/")
    metric = "postern_decisions_unwritten_total"

    def unwritten():
        body = box.get(server.ports["admin"], "/metrics").body
        return [int(x.split()[1]) for x in body.splitlines() if x.startswith(metric)] == [1]
    check("a full disk costs lines, which are counted", box.wait_for(unwritten), server.output())
    check("and said in the log", "decisions.unwritten" in server.output(), server.output())
    check("and no decision", ask(server, "/") is not None)
    server.down()
    config = box.TMP / "nowhere.yaml"
    config.write_text("decisions:\n  file: /nowhere/at/all.jsonl\n")
    status, _, err = box.run("serve", "--config", config, "--data", box.TMP / "never", "--portal", "off", "--redis", "off",
                             "--check", "off", "--admin", "off")
    check("a file that cannot be made keeps Postern from starting", status == 3 and "decisions.file" in err, (status, err))


def main():
    policies = box.TMP / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "keys.yaml").write_text(POLICY)
    test_written_and_found(policies)
    test_denied_only_and_turned_over(policies)
    test_trouble(policies)


main()
box.finish()
