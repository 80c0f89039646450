"""basicAuth in the running server: the policies of docs/step-basic.md, slow hashes off the reactor, reload and stop
while a check is under way, identity headers in the answer."""
import base64
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import box
from box import Postern, check, equal

WRAP = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: basic}
spec:
  config:
    glooAuth:
      configs:
"""
# bcrypt of "password"
COST4 = "$2b$04$QT01StXLGR6HaVk.6NvWh.7JP4LRd2o8vGqy0MNj3yQZqWBaIiUQ2"
FORWARD = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com",
           "X-Forwarded-Uri": "/v1/x", "X-Forwarded-For": "192.0.2.7"}


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(p, user=None, password="", **more):
    headers = dict(FORWARD, **more)
    if user is not None:
        headers["Authorization"] = basic(user, password)
    return box.request(p.ports["check"], "GET", "/auth/forward", headers, timeout=60 * box.SLOW)


def snippets():
    text = (box.ROOT / "docs/step-basic.md").read_text()
    for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S):
        if block.startswith("- "):
            yield WRAP + "".join(f"        {line}\n" for line in block.splitlines())
        else:  # without a RouteTable every policy applies
            yield block


def folder(text):
    d = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    (d / "basic.yaml").write_text(text)
    return d


def manual():
    for i, text in enumerate(snippets()):
        p = Postern(policies=folder(text), store="memory")
        name = f"snippet {i}"
        equal(f"{name}: right", ask(p, "ann", "password").status, 200)
        equal(f"{name}: again", ask(p, "Ann", "password").status, 200)
        if "bob" in text:
            equal(f"{name}: argon2id", [ask(p, "bob", w).status for w in ("password", "password", "other")], [200, 200, 401])
        wrong, nobody, none = ask(p, "ann", "other"), ask(p, "eve", "password"), ask(p)
        for what, a in (("wrong", wrong), ("nobody", nobody), ("none", none)):
            equal(f"{name}: {what}", (a.status, a.header("www-authenticate"), a.body), (401, 'Basic realm="Orders"', ""))
        names = lambda a: sorted((k.lower(), v) for k, v in a.headers.items() if k.lower() not in ("x-postern-decision", "date"))
        equal(f"{name}: a wrong name looks like a wrong password", names(nobody), names(wrong))
        if i == 0:
            a = ask(p, "ann", "password", **{"X-User": "eve"})
            equal(f"{name}: the upstream learns the name", a.header("x-user"), "ann")
            equal(f"{name}: and not the password", a.header("authorization"), "")
        p.down()


def many(users):
    return WRAP + "        - basicAuth: {userHeader: X-User, userList: {users: {" + ", ".join(
        f"{u}: {{hashedPassword: '{COST4}'}}" for u in users) + "}}}\n"


def at_once():
    """Forty people sign in at once while policies are loaded again and again; then the server is stopped in the midst."""
    users = [f"user{i}" for i in range(40)]
    where = folder(many(users))
    p = Postern("--threads", "2", policies=where, store="memory")
    got = {}

    def one(u):
        got[u] = [ask(p, u, w).status for w in ("password", "password", "wrong", "password")]
    threads = [threading.Thread(target=one, args=(u,)) for u in users]
    for t in threads:
        t.start()
    for i in range(5):
        (where / "more.yaml").write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}}}\ndata: {{a: b}}\n")
        time.sleep(0.2)
    for t in threads:
        t.join()
    equal("everybody gets the right answers", {u: g for u, g in got.items() if g != [200, 200, 401, 200]}, {})
    stop = [threading.Thread(target=lambda u=u: quiet(p, u)) for u in users]
    for t in stop:
        t.start()
    status = p.down()
    for t in stop:
        t.join()
    check("a stop while checks are under way is a clean one", status in (0, None), status)


def quiet(p, u):
    try:
        ask(p, u, "wrong")
    except OSError:
        pass
    except Exception:  # the answer was cut by the stop
        pass


def busy():
    """One thread, a queue of one: what does not find room is a denial and never an allow."""
    users = ["ann"]
    env = dict(os.environ, POSTERN_PASSWORDS_THREADS="1", POSTERN_PASSWORDS_QUEUE="1")
    p = Postern(policies=folder(many(users)), store="memory", env=env)
    got = []

    def one(i):
        got.append(ask(p, "ann", f"wrong{i}").status)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("denied, whether there was room or not", set(got) <= {401, 403}, got)
    equal("the right one still gets in", ask(p, "ann", "password").status, 200)
    p.down()


if __name__ == "__main__":
    manual()
    at_once()
    busy()
    box.finish()
