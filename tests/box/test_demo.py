"""`postern demo`: the walk, the portal it leaves running, ports that are taken, and that nothing stays behind."""
import os
import re
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import box
from box import check, equal, run
from browser import Browser

ENV = {k: v for k, v in os.environ.items() if not k.startswith("POSTERN")}
PORTS = {"check": 8083, "redis": 6379, "portal": 8443, "admin": 9091}


def home():
    return Path(tempfile.mkdtemp(dir=box.TMP, prefix="h"))


def test_once():
    tmp, here = home(), home()
    p = box.in_one_minute(lambda: subprocess.run([str(Path(box.POSTERN).resolve()), "demo", "--once"], capture_output=True,
                                                 text=True, timeout=box.WAIT * box.SLOW, env=dict(ENV, TMPDIR=str(tmp)), cwd=here))
    equal("demo --once exits 0", (p.returncode, p.stderr), (0, ""))
    statuses = re.findall(r"^  (?:without|with|again).*?  (\d{3})  (\w+)", p.stdout, re.M)
    equal("the walk: no key, a wrong key, a good one, too many", statuses,
          [("401", "key_missing"), ("401", "key_unknown"), ("200", "ok"), ("429", "limited")])
    equal("each line has a decision id", len(re.findall(r"decision [0-9a-f]{16}\b", p.stdout)), 4)
    check("the limit says when to come back", re.search(r"429 .*retry after \d+ s", p.stdout), p.stdout)
    check("and it says that it is done", p.stdout.rstrip().endswith("The walk is done."), p.stdout[-200:])
    equal("no file stays in TMPDIR, none in the directory it was called in", (list(tmp.iterdir()), list(here.iterdir())),
          ([], []))


def serve(*args, tmp):
    log = box.TMP / f"demo-{tmp.name}.log"
    p = box.start([box.POSTERN, "demo", *args], log=log.name, env=dict(ENV, TMPDIR=str(tmp)))
    box.wait_for(lambda: "press Ctrl-C" in log.read_text() or p.poll() is not None)
    return p, log.read_text()


def test_serves():
    tmp = home()
    taken = []
    for port in PORTS.values(): # whoever has them: the demo must do without
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            s.listen()
            taken.append(s)
        except OSError:
            s.close()
    p, said = serve(tmp=tmp)
    m = re.search(r"https://127\.0\.0\.1:(\d+)", said)
    if not check("with its ports taken the demo picks others", p.poll() is None and m and int(m[1]) != PORTS["portal"], said):
        return
    for s in taken:
        s.close()
    email, password = re.search(r"Sign in +(\S+) +with password +(\S+)", said).groups()
    b = Browser(int(m[1]))
    status = b.get("/v1/status").json()
    check("the portal knows that it is a demo", status["demo"] and not status["setup_needed"]
          and status["sign_in_hint"] == {"email": email, "password": password}, status)
    equal("its password works", b.post("/v1/session", {"email": email, "password": password}).status, 200)
    equal("two APIs are in the catalogue", sorted(x["id"] for x in b.get("/v1/api-products").json()), ["harbour", "ledger"])
    keys = b.get("/v1/keys").json()
    check("keys are there", {"walk", "weather station"} <= {k["name"] for k in keys}, keys)
    g = b.get("/v1/gateway").json()
    check("samples go to the check port", g["sampleBaseUrl"] == g["checkUrl"] + "/auth/envoy", g)
    h = b.get("/admin/v1/health").json()["checks"]
    check("everything is well", all(c["state"] == "ok" for c in h), h)

    lines = re.sub(r"\\\n\s*", " ", said.split("Try next\n")[1].split("\n\n")[0])
    for command in re.findall(r"^  (\S.*)$", lines, re.M):
        program = command.split()[0]
        if program not in ("postern",) and not box.which(program):
            box.skip(f"demo: `{program}`", "not installed")
            continue
        command = re.sub(r"^postern", box.POSTERN, command)
        r = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=box.WAIT * box.SLOW, env=ENV)
        good = {"curl": r"HTTP/1\.1 (200|429)", "redis-cli": r"[0-9a-f-]{36}", "postern": r"weather station"}[program]
        check(f"what to try next works: {program}", r.returncode == 0 and re.search(good, r.stdout), (command, r.stdout, r.stderr))
    p.send_signal(signal.SIGINT)
    equal("Ctrl-C ends it with status 0", p.wait(box.WAIT * box.SLOW), 0)
    equal("and leaves no file in TMPDIR", list(tmp.iterdir()), [])


def test_refusals():
    for args, said in ((("--check", ":8083"), "127.0.0.1 only"), (("--portal", "0.0.0.0:8443"), "127.0.0.1 only"),
                       (("--check", "off"), "127.0.0.1 only"), (("--onec",), "did you mean `--once`?")):
        status, _, err = run("demo", *args, env=ENV)
        check(f"demo {' '.join(args)} is usage", status == 2 and said in err, (status, err))
    tmp, data = home(), home()
    status, _, err = run("demo", "--once", "--data", data, env=dict(ENV, TMPDIR=str(tmp)))
    check("a data directory is left alone", status == 0 and not list(data.iterdir()) and not list(tmp.iterdir()), err)
    status, _, err = run("demo", "--once", env=dict(ENV, TMPDIR="/nonexistent/" + "x" * 20))
    check("a TMPDIR that is not there is status 3", status == 3 and "/nonexistent/" in err, (status, err))
    port = box.free_port()
    status, out, err = run("demo", "--once", "--check", f"127.0.0.1:{port}", env=dict(ENV, TMPDIR=str(tmp)))
    check("a port of one's own", status == 0, (status, out, err))


if __name__ == "__main__":
    test_once()
    test_serves()
    test_refusals()
    box.finish()
