"""The command line: every command, its exit status, the control socket and the directory itself."""
import json
import os
import re
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import box
from box import check, equal, run

ROOT = box.ROOT
ENV = {k: v for k, v in os.environ.items() if not k.startswith("POSTERN")}


def fresh(prefix="c"):
    return Path(tempfile.mkdtemp(dir=box.TMP, prefix=prefix))


def commands():
    _, out, _ = run("--help")
    return re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", out, re.M)


def test_help():
    status, out, _ = run("--help")
    names = commands()
    equal("--help exits 0", status, 0)
    wanted = ["serve", "demo", "check-config", "eval", "key create", "key list", "key show", "key revoke", "user create",
              "user list", "user reset-password", "user disable", "user enable", "user setup-link", "config print",
              "healthcheck", "version"]
    equal("--help lists every command", sorted(names), sorted(wanted))
    for name in names:
        status, out, _ = run(*name.split(), "--help")
        check(f"{name} --help has an example", status == 0 and f"example: " in out and f"postern {name}" in out, out)
    status, out, err = run()
    check("no command is usage", status == 2 and not out and "usage:" in err, (status, err))


def test_usage():
    rows = [
        (["serv"], 2, "did you mean `serve`?"),
        (["key", "lst"], 2, "`key` needs one of:"),
        (["key", "list", "--usr", "x"], 2, "did you mean `--user`?"),
        (["serve", "--potal", "x"], 2, "did you mean `--portal`?"),
        (["serve", "--set", "chek.listen=1"], 2, "did you mean `check.listen`?"),
        (["serve", "--threads", "many"], 2, "threads: `many` is not a whole number"),
        (["serve", "--check", "nowhere"], 2, "host:port"),
        (["serve", "extra"], 2, "`extra` is too much here"),
        (["eval", "--request", "/nonexistent/r.json", "--policies", "."], 3, "/nonexistent/r.json"),
        (["version", "--config", "/nonexistent/postern.yaml"], 2, "/nonexistent/postern.yaml"),
    ]
    for args, wanted, said in rows:
        status, out, err = run(*args, env=ENV)
        check(f"`{' '.join(args)}` exits {wanted} and says why", status == wanted and said in err, (status, out, err))
    status, _, err = run("version", env=dict(ENV, POSTERN_CHEK_LISTEN="x"))
    check("an unknown name in the environment is an error", status == 2 and "check.listen" in err, err)
    status, _, err = run("config", "print", env=dict(ENV, POSTERN_REDIS_PASSWORD_FILE="/nonexistent/pw"))
    check("a secret's file that is not there is an error", status == 2 and "/nonexistent/pw" in err, err)
    with open("/dev/full", "w") as full:
        p = subprocess.run([box.POSTERN, "config", "print"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENV)
    check("an answer that cannot be written is no success", p.returncode == 3 and "could not be written" in p.stderr,
          (p.returncode, p.stderr))


def test_config_print():
    data = fresh()
    (data / "postern.yaml").write_text("check:\n  listen: 127.0.0.1:3\n  idle_timeout: 5m\nportal:\n  title: Harbour\n"
                                       "redis:\n  password: from-the-file\n")
    env = dict(ENV, POSTERN_CHECK_LISTEN="127.0.0.1:2", POSTERN_CHECK_IDLE_TIMEOUT="6m",
               POSTERN_SECRET_KEY="from-the-environment")
    status, out, err = run("config", "print", "--origin", "--data", data, "--check", "127.0.0.1:1", env=env)
    lines = {line.split()[0]: line for line in out.splitlines()}
    equal("config print exits 0", (status, err), (0, ""))
    check("a flag wins", "127.0.0.1:1" in lines["check.listen"] and "(flag: --check)" in lines["check.listen"], lines)
    check("then the environment", "6m" in lines["check.idle_timeout"]
          and "(environment: POSTERN_CHECK_IDLE_TIMEOUT)" in lines["check.idle_timeout"], lines)
    check("then the file, with its place", "Harbour" in lines["portal.title"]
          and "postern.yaml:5:10)" in lines["portal.title"], lines)
    check("then the default", "(default)" in lines["threads"], lines)
    check("secrets are not shown", "from-the" not in out and "(set)" in lines["redis.password"]
          and "(set)" in lines["secret_key"], lines)
    status, out, _ = run("config", "print", "--json", "--data", data, env=env)
    rows = {r["name"]: r for r in json.loads(out)}
    check("--json has value, origin and place", rows["portal.title"]["value"] == "Harbour"
          and rows["portal.title"]["origin"] == "file" and rows["redis.password"]["value"] == "(set)"
          and "from-the" not in out, rows["portal.title"])
    _, plain, _ = run("config", "print", env=ENV)
    equal("config print names every setting once", sorted(line.split()[0] for line in plain.splitlines()), sorted(rows))

    (data / "postern.yaml").write_text("check:\n  listen: [1, 2]\n")
    status, _, err = run("config", "print", "--data", data, env=ENV)
    check("a broken file is named with line and column", status == 2 and "postern.yaml:2:11" in err, err)

    status, out, _ = run("config", "print", "--reference", env=ENV)
    page = ROOT / "docs/configuration.md"
    check("docs/configuration.md is what --reference prints", page.exists() and page.read_text() == out,
          "run: postern config print --reference >docs/configuration.md")


def test_version():
    status, out, _ = run("version")
    check("version", status == 0 and re.fullmatch(r"postern \d+\.\d+\.\d+\S*\n", out), out)
    status, out, _ = run("version", "--json")
    v = json.loads(out)
    names = {x["name"] for x in v["libraries"]}
    check("version --json lists the libraries", {"sqlite", "lua", "mbedtls", "civetweb"} <= {n.rstrip("0123456789.") for n in names}
          and all(x["version"] for x in v["libraries"]), names)
    status, out, _ = run("version", "--licenses")
    check("version --licenses prints notices", status == 0 and out.count("==== ") >= 8 and "MIT" in out, out[:300])


# ---- policies ---------------------------------------------------------------------------------

GOOD = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: keys}
spec:
  config:
    glooAuth:
      configs:
        - apiKeyAuth:
            headerName: api-key
            k8sSecretApikeyStorage:
              labelSelector: {team: tides}
            headersFromMetadataEntry:
              X-User-ID: {name: user-id}
---
apiVersion: v1
kind: Secret
metadata:
  name: ann
  labels: {team: tides}
type: extauth.solo.io/apikey
stringData:
  api-key: the-key-of-ann-is-long
  user-id: ann
"""


def policies(text):
    folder = fresh("p")
    (folder / "all.yaml").write_text(text)
    return folder


def test_check_config():
    good = policies(GOOD)
    status, out, err = run("check-config", "--policies", good)
    check("check-config on good files", status == 0 and "fine" in out, (status, out, err))
    status, out, _ = run("check-config", "--policies", ROOT / "etc/demo/policies", "--strict")
    check("the demo's policies are fine, strictly", status == 0, out)
    broken = policies(GOOD.replace("headerName: api-key", "headerName: [1"))
    status, out, _ = run("check-config", "--policies", broken)
    check("broken YAML: status 1 with file, line and column", status == 1 and re.search(r"all\.yaml:\d+:\d+: error: ", out), out)
    odd = policies(GOOD.replace("headerName:", "headrName:"))
    status, out, _ = run("check-config", "--policies", odd)
    check("an unknown field is named, with its place",
          re.search(r"all\.yaml:9:\d+: (notice|error): .*headrName", out), (status, out))
    status, out, _ = run("check-config", "--policies", odd, "--strict")
    equal("with --strict it is an error", status, 1)
    status, out, _ = run("check-config", "--policies", odd, "--strict", "--json")
    v = json.loads(out)
    check("--json has the same", status == 1 and v["ok"] is False and v["faults"][0]["line"] == 9
          and v["faults"][0]["file"].endswith("all.yaml") and v["faults"][0]["notice"] in (True, False), v)
    check("a Secret's key is in no output", "the-key-of-ann" not in out, out)
    status, out, err = run("check-config", "--policies", good / "nowhere")
    check("no such directory is status 3", status == 3 and "nowhere" in err, err)
    status, out, err = run("check-config", "--policies", good, "--set", "check.trusted_peers=10.0.0.0/99")
    check("settings are checked, too", status == 2 and "check.trusted_peers" in err, err)


def ask(folder, request, *args):
    return run("eval", "--policies", folder, *args, stdin=request if isinstance(request, str) else json.dumps(request))


def test_eval():
    folder = policies(GOOD)
    good = {"method": "GET", "path": "/v1/x", "host": "api.local", "headers": {"api-key": ["the-key-of-ann-is-long"]}}
    status, out, err = ask(folder, good)
    check("eval allows a Secret's key", status == 0 and out.startswith("allow 200 ok"), (status, out, err))
    check("identity headers are printed", re.search(r"^upstream X-User-ID: ann$", out, re.M | re.I), out)
    check("the key's header is removed", re.search(r"^remove +api-key$", out, re.M | re.I), out)
    status, out, _ = ask(folder, dict(good, headers={"api-key": ["another-key-entirely"]}))
    check("eval denies a wrong key with status 1", status == 1 and out.startswith("deny 401"), (status, out))
    status, out, _ = ask(folder, {"method": "GET", "path": "/v1/x"}, "--trace")
    check("--trace prints the steps", status == 1 and "\nstep " in out and "apiKeyAuth" in out, out)
    status, out, _ = ask(folder, good, "--json")
    v = json.loads(out)
    check("--json is the decision", status == 0 and v["allowed"] is True and v["status"] == 200 and v["trace"]
          and {k.lower(): x for k, x in v["headers"]["upstream"].items()}["x-user-id"] in ("ann", ["ann"]), v)
    check("the key is in no output", "the-key-of-ann" not in out, out)
    request = fresh() / "request.json"
    request.write_text(json.dumps(good))
    status, out, _ = run("eval", "--policies", folder, "--request", request)
    check("--request FILE", status == 0 and out.startswith("allow"), out)
    for text in ("", "{", "[]", '{"method": 1}', '{"method":"GET","path":"/","nonsense":1}'):
        status, out, err = ask(folder, text)
        check(f"eval of {text!r} is usage", status == 2 and err.startswith("postern: "), (status, out, err))
    status, _, err = ask(policies(GOOD.replace("name: keys", "name: [")), good)
    check("eval with broken policies is status 3", status == 3 and "all.yaml:" in err, (status, err))


# ---- keys and people --------------------------------------------------------------------------


def test_people(name, cli):
    """The same commands, answered by the running server or by opening the directory."""
    status, out, _ = cli("user", "create", "Ann@Example.com", "--name", "Ann", "--json")
    ann = json.loads(out)
    check(f"{name}: user create", status == 0 and ann["email"] == "ann@example.com" and ann["state"] == "invited"
          and re.match(r"https://\S+/setup\?token=[\w-]{43}$", ann["link"]), out)
    status, _, err = cli("user", "create", "ann@example.com")
    check(f"{name}: twice is status 1", status == 1 and "already" in err, (status, err))
    status, _, err = cli("user", "create", "no address")
    check(f"{name}: no e-mail address is usage", status == 2 and "email" in err, (status, err))
    status, _, err = cli("user", "create", "bob@example.com", "--role", "king")
    check(f"{name}: no such role is usage", status == 2 and "developer, operator or owner" in err, (status, err))
    status, out, _ = cli("user", "list")
    check(f"{name}: user list", status == 0 and "ann@example.com" in out, out)
    status, out, _ = cli("user", "reset-password", "ann@example.com", "--json")
    check(f"{name}: reset-password gives a new link", status == 0 and json.loads(out)["link"] != ann["link"], out)
    status, _, err = cli("user", "setup-link")
    check(f"{name}: no setup link once there are accounts", status == 1 and "reset-password" in err, (status, err))

    status, out, _ = cli("key", "create", "--user", "ann@example.com", "--name", "laptop", "--plan", "bronze",
                         "--expires", "90d", "--json")
    key = json.loads(out)
    check(f"{name}: key create", status == 0 and re.fullmatch(r"pst_[0-9A-Za-z]{44}", key["key"]) and key["state"] == "active"
          and key["public"] == key["key"][:12] and key["expires"], out)
    status, out, err = cli("key", "create", "--user", "ann@example.com", "--name", "phone")
    check(f"{name}: for people, the key stands in a line", status == 0 and re.search(r"^key +pst_", out, re.M)
          and "only time" in err, (out, err))
    for args, wanted, said in [
            (("--user", "ann@example.com", "--name", "laptop"), 1, "already"),
            (("--user", "nobody@example.com", "--name", "x"), 1, "there is no account"),
            (("--user", "ann@example.com", "--name", "x", "--expires", "soon"), 2, "90d"),
            (("--user", "ann@example.com", "--name", "a\nb"), 2, "name")]:
        status, _, err = cli("key", "create", *args)
        check(f"{name}: key create {args[3]!r} {args[4:]} exits {wanted}", status == wanted and said in err, (status, err))
    status, out, _ = cli("key", "list", "--user", "ann@example.com", "--json")
    rows = json.loads(out)
    check(f"{name}: key list, newest first, never the key", status == 0 and [r["name"] for r in rows] == ["phone", "laptop"]
          and key["key"] not in out, out)
    status, out, _ = cli("key", "show", key["id"], "--json")
    check(f"{name}: key show", status == 0 and json.loads(out)["name"] == "laptop", out)
    status, _, err = cli("key", "show", "00000000-0000-4000-8000-000000000000")
    check(f"{name}: key show of none is status 1", status == 1 and "no key" in err, (status, err))
    status, out, _ = cli("key", "revoke", key["id"], "--json")
    check(f"{name}: key revoke", status == 0 and json.loads(out)["state"] == "revoked", out)
    status, _, err = cli("key", "revoke", key["id"])
    check(f"{name}: revoke twice is status 1", status == 1, (status, err))
    for word, state in (("disable", "disabled"), ("enable", "invited")):
        status, out, _ = cli("user", word, "ann@example.com", "--json")
        check(f"{name}: user {word}", status == 0 and json.loads(out)["state"] == state, out)
    status, _, err = cli("user", "disable", "nobody@example.com")
    check(f"{name}: disable of none is status 1", status == 1 and "no account" in err, (status, err))


def test_running():
    p = box.Postern()
    status, out, _ = p.cli("user", "setup-link", "--json")
    check("running: setup-link while there is no account", status == 0 and "/setup?token=" in out, out)
    test_people("running", p.cli)
    key = p.key("ann@example.com", "tablet", "gold")["key"]
    status, _, err = p.cli("key", "create", "--user", "ann@example.com", "--name", "z", "--plan", "platinum")
    check("running: without plans in the policies any plan is taken", status == 0, err)
    status, _, err = run("healthcheck", "--admin", f"127.0.0.1:{p.ports['admin']}")
    equal("healthcheck of a ready server", (status, err), (0, "ready\n"))
    check("the key is not in the server's log", key not in p.output(), p.output()[-300:])
    p.down()
    status, _, err = run("healthcheck", "--admin", f"127.0.0.1:{p.ports['admin']}")
    check("healthcheck of a stopped server is status 1", status == 1 and "no answer" in err, (status, err))
    status, out, err = p.cli("key", "list", "--json")
    check("stopped: the same keys are there", status == 0 and "tablet" in out, (status, err))


def test_key_names():
    """A plan and a product must be names of the policies, by the command line as by the portal."""
    p = box.Postern(policies=box.ROOT / "etc/demo/policies")
    p.cli("user", "create", "ann@example.com")
    for args, wanted, said in [(("--plan", "platinum"), 2, "no plan `platinum`"), (("--product", "harbor"), 2, "no API product `harbor`"),
                               (("--plan", "gold", "--product", "harbour"), 0, "")]:
        status, _, err = p.cli("key", "create", "--user", "ann@example.com", "--name", "k", *args)
        check(f"key create {' '.join(args)} exits {wanted}", status == wanted and said in err, (status, err))
    p.down()


def many_keys(data, first, last):
    """Rows as the portal would have made them, by the thousand."""
    with sqlite3.connect(data / "postern.db") as db:
        columns = [r[1] for r in db.execute("PRAGMA table_info(api_key)")]
        row = dict(zip(columns, db.execute("SELECT * FROM api_key WHERE name = 'one'").fetchone()))
        for i in range(first, last):
            made = dict(row, id=f"{i:08x}-0000-4000-8000-000000000000", name=f"key number {i}" + "x" * 40, hash=f"h{i}", public_part=f"p{i}")
            db.execute(f"INSERT INTO api_key ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", [made[c] for c in columns])


def test_control_bounds():
    """An answer beyond the bound is refused in words, and a caller that does not read holds nobody up."""
    p = box.Postern()
    p.cli("user", "create", "ann@example.com")
    p.cli("key", "create", "--user", "ann@example.com", "--name", "one")
    p.down()
    many_keys(p.data, 0, 8000)
    p.up()
    lazy = socket.socket(socket.AF_UNIX)
    lazy.connect(str(p.data / "control.sock"))
    lazy.sendall(b'{"op":"key.list","args":{}}\n')
    status, out, err = p.cli("key", "list", "--json")
    check("8001 keys are listed beside a caller that does not read", status == 0 and len(json.loads(out)) == 8001, (status, err))
    lazy.close()
    p.down()
    many_keys(p.data, 8000, 20000)
    p.up()
    status, _, err = p.cli("key", "list", "--json")
    check("more than the bound is refused in words", status == 3 and "--user EMAIL" in err, (status, err[:200]))
    p.down()


def test_stopped():
    data = fresh("d")
    test_people("stopped", lambda *args: run(*args, "--data", data))
    names = sorted(x.name for x in data.iterdir())
    check("stopped: the directory is closed again", "control.sock" not in names and "secret.key" in names, names)
    modes = {x.name: oct(x.stat().st_mode & 0o777) for x in data.iterdir()}
    check("stopped: files are the owner's alone", all(m in ("0o600", "0o700") for m in modes.values()), modes)


def test_wrong_data():
    nowhere = fresh() / "no" / "where"
    status, _, err = run("key", "list", "--data", nowhere)
    check("a --data that is not there is status 3 and is not made", status == 3 and "no data directory" in err
          and not nowhere.exists(), (status, err))
    other = fresh()
    (other / "thesis.txt").write_text("mine")
    status, _, err = run("user", "list", "--data", other)
    check("a --data of something else is status 3 and left alone", status == 3 and "no data directory of a Postern" in err
          and [x.name for x in other.iterdir()] == ["thesis.txt"], (status, err))
    status, _, err = run("user", "list", "--data", other / "thesis.txt")
    check("a --data that is a file is status 3", status == 3, (status, err))
    status, _, err = run("user", "list", "--data", "x" * 120)
    check("a --data too long for a socket says so", status == 2 and "too long" in err, (status, err))


def test_races():
    """Two commands on one stopped directory: one waits its turn or says who is there; nothing is lost."""
    data = fresh("r")
    assert run("user", "create", "ann@example.com", "--data", data)[0] == 0
    jobs = [subprocess.Popen([box.POSTERN, "key", "create", "--user", "ann@example.com", "--name", f"k{i}", "--data", str(data),
                              "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
            for i in range(4)]
    made = []
    for j in jobs:
        out, err = j.communicate(timeout=box.WAIT * box.SLOW)
        if j.returncode == 0:
            made.append(json.loads(out)["id"])
        else:
            check("the loser says who is there", j.returncode == 3 and "another Postern" in err, (j.returncode, err))
    listed = {r["id"] for r in json.loads(run("key", "list", "--data", data, "--json")[1])}
    equal("every key that was acknowledged is there", listed, set(made))
    check("somebody won", made, made)


if __name__ == "__main__":
    test_help()
    test_usage()
    test_config_print()
    test_version()
    test_check_config()
    test_eval()
    test_running()
    test_key_names()
    test_control_bounds()
    test_stopped()
    test_wrong_data()
    test_races()
    box.finish()
