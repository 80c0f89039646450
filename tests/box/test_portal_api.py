"""The portal's REST API, as its pages and as strangers call it."""
import base64
import calendar
import gzip
import hashlib
import hmac
import json
import re
import subprocess
import threading
import time
import uuid

import box
from box import check, equal
from browser import PASSWORD, Browser, link_token, owner, person, raw, status_of

DEMO = box.ROOT / "etc/demo/policies"
HOST = "harbour.example.com"
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
                               "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
                               "require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "strict-transport-security": "max-age=31536000",
}
secrets = [PASSWORD]  # what must never stand in the log
answers = []          # every answer, to look at its headers in the end


class Seen(Browser):
    """A browser whose answers are looked at again at the end."""

    def call(self, method, path, *args, **more):
        r = super().call(method, path, *args, **more)
        answers.append((method, path, r))
        return r


def problem(name, r, status, field=None, words=""):
    """A refusal in the shape that pages and Gloo's front end read."""
    try:
        v = r.json()
    except ValueError:
        v = {}
    return check(name, r.status == status and v.get("status") == status and v.get("detail") == v.get("message")
                 and v.get("title") and v.get("field") == field and words in v.get("detail", "")
                 and r.header("content-type") == "application/problem+json", (r.status, r.body[:300]))


def ask(p, key, path="/v1/stations", host=HOST):
    return box.get(p.ports["check"], "/auth/forward", {
        "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "X-Forwarded-Uri": path,
        "X-Forwarded-For": "192.0.2.7", **({"api-key": key} if key else {})})


def test_setup(p):
    b = Seen(p.ports["portal"])
    token = link_token(p.output())
    secrets.append(token)
    s = b.get("/v1/status").json()
    check("status before the first account", s["setup_needed"] and not s["signed_in"] and not s["demo"]
          and s["product"] == "Postern" and "sign_in_hint" not in s, s)
    problem("setup without a token is 404", b.get("/v1/setup"), 404)
    problem("setup with a wrong token is 404", b.get("/v1/setup?token=" + "x" * 43), 404)
    v = b.get(f"/v1/setup?token={token}").json()
    check("the link says what it is for", v["kind"] == "setup" and v["expires_at"] and v["email"] == "", v)
    good = {"token": token, "email": "olga@example.com", "name": "Olga", "password": PASSWORD}
    problem("a short password", b.post("/v1/setup", dict(good, password="short")), 422, "password")
    problem("a password that everybody uses", b.post("/v1/setup", dict(good, password="password1234")), 422, "password")
    problem("the address as password", b.post("/v1/setup", dict(good, password="olga@example.com")), 422, "password")
    problem("no address", b.post("/v1/setup", dict(good, email="olga")), 422, "email")
    problem("a wrong token", b.post("/v1/setup", dict(good, token="y" * 43)), 404)
    r = b.post("/v1/setup", good)
    v = r.json()
    check("the first account is an owner and signed in", r.status == 201 and v["role"] == "owner" and v["isAdmin"]
          and b.get("/v1/me").json()["email"] == "olga@example.com", r.body)
    cookie = r.header("set-cookie")
    check("the cookie has its bounds", re.fullmatch(r"__Host-postern=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=\d+",
                                                    cookie), cookie)
    secrets.append(b.cookie.split("=")[1])
    problem("the link works once", b.post("/v1/setup", good), 404)
    problem("also for looking", b.get(f"/v1/setup?token={token}"), 404)
    check("status afterwards", not b.get("/v1/status").json()["setup_needed"] and b.get("/v1/status").json()["signed_in"])
    return b


def test_sign_in(p):
    b = Seen(p.ports["portal"])
    wrong = b.post("/v1/session", {"email": "olga@example.com", "password": "wrong wrong wrong"})
    nobody = b.post("/v1/session", {"email": "nobody@example.com", "password": "wrong wrong wrong"})
    problem("a wrong password is 401", wrong, 401)
    check("an unknown account gets the very same answer", wrong.body == nobody.body
          and sorted(wrong.headers.items()) == sorted(nobody.headers.items()), (wrong.body, nobody.body))

    def seconds(email):
        at = time.time()
        b.post("/v1/session", {"email": email, "password": "wrong wrong wrong"})
        return time.time() - at

    both = [(seconds("olga@example.com"), seconds("no@example.com")) for _ in range(3)]
    known, unknown = min(x for x, _ in both), min(x for _, x in both)  # the least: others may use the machine
    check("and takes as long", unknown > known / 5 and known > unknown / 5, (known, unknown))
    for body in ({}, {"email": 1, "password": 2}, {"email": "", "password": ""}, {"email": "a" * 5000, "password": "b" * 5000}):
        check(f"nonsense is 401: {str(body)[:40]}", b.post("/v1/session", body).status == 401)
    r = b.post("/v1/session", {"email": " Olga@Example.COM ", "password": PASSWORD})
    check("sign in, the address in any letters", r.status == 200 and r.json()["email"] == "olga@example.com", r.body)
    first = b.cookie
    second = Seen(p.ports["portal"])
    second.post("/v1/session", {"email": "olga@example.com", "password": PASSWORD})
    check("each sign-in has a session of its own", second.cookie != first)
    equal("sign out", b.call("DELETE", "/v1/session").status, 204)
    b.cookie = first
    problem("a session that ended is 401", b.get("/v1/me"), 401)
    equal("the other one goes on", second.get("/v1/me").status, 200)
    for cookie in ("__Host-postern=", "__Host-postern=" + "A" * 43, f"{second.cookie}; {second.cookie}", "postern=x",
                   "__Host-postern=" + "A" * 5000):
        b.cookie = cookie
        check(f"a cookie that is none: {cookie[:30]}", b.get("/v1/me").status == 401)

    r = second.call("PUT", "/v1/me/password", {"current": "not it, certainly", "password": "another harbour wall"})
    problem("changing the password needs the current one", r, 422, "current")
    third = Seen(p.ports["portal"])
    third.post("/v1/session", {"email": "olga@example.com", "password": PASSWORD})
    r = second.call("PUT", "/v1/me/password", {"current": PASSWORD, "password": "another harbour wall"})
    secrets.append("another harbour wall")
    check("it changes", r.status == 204 and r.body == b"", (r.status, r.body))
    equal("this browser stays signed in, the others do not", (second.get("/v1/me").status, third.get("/v1/me").status), (200, 401))
    second.call("PUT", "/v1/me/password", {"current": "another harbour wall", "password": PASSWORD})
    return second


def test_throttle(p):
    b = Seen(p.ports["portal"])
    statuses = []
    while len(statuses) < 25 and (not statuses or statuses[-1] != 429):
        # one account, its address written in many ways
        email = "VICTIM@example.com" if len(statuses) % 2 else "victim@example.com"
        r = b.post("/v1/session", {"email": email, "password": "guess number %d" % len(statuses)})
        statuses.append(r.status)
    problem("too many attempts on one account are 429", r, 429)
    check("after a few, with Retry-After", 9 <= len(statuses) <= 22 and 0 < int(r.header("retry-after")) <= 301,
          (statuses, r.headers.items()))
    r = b.post("/v1/session", {"email": "olga@example.com", "password": PASSWORD})
    check("other accounts are not throttled by it", r.status == 200, r.body)


def test_forgery(boss, p):
    body = {"name": "forged", "plan": "bronze"}
    origin = f"https://127.0.0.1:{p.ports['portal']}"
    rows = [
        ("no Sec-Fetch-Site, no Origin", {"Sec-Fetch-Site": None}, 403),
        ("cross-site", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("same-site", {"Sec-Fetch-Site": "same-site"}, 403),
        ("none", {"Sec-Fetch-Site": "none"}, 403),
        ("no X-Postern", {"X-Postern": None}, 403),
        ("another X-Postern", {"X-Postern": "0"}, 403),
        ("another Origin", {"Sec-Fetch-Site": None, "Origin": "https://evil.example"}, 403),
        ("Origin over http", {"Sec-Fetch-Site": None, "Origin": origin.replace("https", "http")}, 403),
        ("Origin null", {"Sec-Fetch-Site": None, "Origin": "null"}, 403),
        ("another Origin beside a right Sec-Fetch-Site of a cross-site page", {"Sec-Fetch-Site": "cross-site", "Origin": origin}, 403),
        ("a form's type", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("plain text", {"Content-Type": "text/plain"}, 415),
    ]
    for name, headers, status in rows:
        r = boss.post("/v1/keys", body, headers=headers)
        check(f"forged request refused: {name}", r.status == status and r.json()["status"] == status, (r.status, r.body))
    equal("and none of them made a key", boss.get("/v1/keys").json(), [])
    r = boss.post("/v1/keys", {"name": "by origin"}, headers={"Sec-Fetch-Site": None, "Origin": origin})
    equal("the own Origin will do where Sec-Fetch-Site is not sent", r.status, 201)
    secrets.append(r.json()["apiKey"])
    boss.call("DELETE", "/v1/keys/" + r.json()["id"])


def test_roles(p, boss):
    dev, ops = person(p, "dev@example.com"), person(p, "ops@example.com", "operator")
    stranger = Seen(p.ports["portal"])
    paths = ["/v1/me", "/v1/keys", "/v1/teams", "/v1/apps", "/admin/v1/health", "/admin/v1/policies", "/admin/v1/users",
             "/admin/v1/openapi.json"]
    for path in paths:
        problem(f"signed out: {path} is 401", stranger.get(path), 401)
        wanted = (403 if path.startswith("/admin/v1/") and "openapi" not in path else 200, 200, 200)
        equal(f"developer, operator, owner: {path}", tuple(b.get(path).status for b in (dev, ops, boss)), wanted)
    body = {"email": "new@example.com", "name": "New", "role": "developer"}
    equal("only an owner invites", [b.post("/admin/v1/users", body).status for b in (stranger, dev, ops)], [401, 403, 403])
    r = boss.post("/admin/v1/users", body)
    v = r.json()
    check("the invitation is a link", r.status == 201 and v["user"]["email"] == "new@example.com" and
          v["setupLink"].startswith(f"https://127.0.0.1:{p.ports['portal']}/setup?token="), v)
    problem("twice is 409", boss.post("/admin/v1/users", body), 409, "email")
    problem("no such role", boss.post("/admin/v1/users", dict(body, role="king")), 422, "role")
    token = link_token(v["setupLink"])
    secrets.append(token)
    got = stranger.get(f"/v1/setup?token={token}").json()
    check("the invited page knows the person", got["kind"] == "invite" and got["email"] == "new@example.com" and got["name"] == "New", got)
    new = Seen(p.ports["portal"])
    r = new.post("/v1/setup", {"token": token, "password": PASSWORD, "email": "other@example.com"})
    check("the password is set, for that account only", r.status in (200, 201) and r.json()["email"] == "new@example.com"
          and r.json()["role"] == "developer", r.body)
    users = boss.get("/admin/v1/users").json()
    equal("everybody is listed", [u["email"] for u in users],
          ["dev@example.com", "new@example.com", "olga@example.com", "ops@example.com"])
    page = boss.get("/admin/v1/users?limit=3")
    rest = boss.get(f"/admin/v1/users?limit=3&cursor={page.header('x-next-cursor')}")
    check("in pages, too", [u["email"] for u in page.json() + rest.json()] == [u["email"] for u in users]
          and len(page.json()) == 3 and rest.header("x-next-cursor") is None, (page.body, rest.body))
    check("no password is in any of it", "argon2" not in json.dumps(users))
    return dev


def test_catalogue(p, dev):
    out = Seen(p.ports["portal"])
    for who, b in (("signed out", out), ("signed in", dev)):
        rows = {r["id"]: r for r in b.get("/v1/api-products").json()}
        check(f"{who}: the catalogue", set(rows) == {"harbour", "ledger"}, rows.keys())
        h = rows["harbour"]
        check(f"{who}: a product in Gloo's shape", h["name"] == "Harbour tides" and h["versionsCount"] == 1 and h["apiKeyEnabled"]
              and h["oauthEnabled"] is False and h["apiProductMetadata"].get("lifecycle") == "Production" and len(h["versions"]) == 1
              and h["operations"] > 0 and "bronze" in h["plans"], h)
        v = b.get("/v1/api-products/harbour").json()
        check(f"{who}: one product", v["id"] == "harbour" and v["contactEmail"].endswith("harbour.example.com"), v)
        v = b.get("/v1/api-products/harbour/versions").json()
        check(f"{who}: its versions with their documents", len(v) == 1 and v[0]["apiProductId"] == "harbour"
              and v[0]["apiSpec"]["openapi"].startswith("3.") and v[0]["keyHeader"] == "api-key" and v[0]["host"] == HOST
              and v[0]["path"] == "/v1", {k: x for k, x in v[0].items() if k != "apiSpec"})
        problem(f"{who}: no such product", b.get("/v1/api-products/none"), 404)
        problem(f"{who}: nor its versions", b.get("/v1/api-products/none/versions"), 404)
    plans = out.get("/v1/plans").json()
    equal("plans", [(x["name"], x["displayName"], x["requestsPerUnit"], x["unit"]) for x in plans],
          [("bronze", "Bronze", 5, "MINUTE"), ("silver", "Silver", 60, "MINUTE"), ("gold", "Gold", 600, "MINUTE")])
    g = out.get("/v1/gateway").json()
    check("the gateway's address", g["checkUrl"] == f"http://127.0.0.1:{p.ports['check']}" and g["sampleBaseUrl"] == "http://127.0.0.1:8080", g)

    me = dev.get("/v1/me").json()
    teams, apps = dev.get("/v1/teams").json(), dev.get("/v1/apps").json()
    check("one team, one app, as Gloo's front end reads them", len(teams) == 1 and len(apps) == 1 and apps[0]["teamId"] == teams[0]["id"]
          and dev.get(f"/v1/teams/{teams[0]['id']}").json() == teams[0] and dev.get(f"/v1/apps/{apps[0]['id']}").json() == apps[0]
          and dev.get(f"/v1/teams/{teams[0]['id']}/apps").json() == apps
          and dev.get(f"/v1/teams/{teams[0]['id']}/members").json()[0]["id"] == me["id"], (teams, apps))
    other = str(uuid.uuid4())
    for path in (f"/v1/teams/{other}", f"/v1/teams/{other}/apps", f"/v1/teams/{other}/members", f"/v1/apps/{other}",
                 f"/v1/apps/{other}/api-keys"):
        problem(f"not one's own: {path.replace(other, 'X')}", dev.get(path), 404)
    problem("more teams are a later matter", dev.post("/v1/teams", {"name": "x"}), 501)


def test_keys(p, dev, boss):
    r = dev.post("/v1/keys", {"name": "laptop", "plan": "bronze", "product": "harbour", "expiresInDays": 30})
    key = r.json()
    secrets.append(key["apiKey"])
    check("a key is made and shown once, kept by no cache", r.status == 201 and r.header("cache-control") == "no-store"
          and re.fullmatch(r"pst_[0-9A-Za-z]{44}", key["apiKey"]) and key["publicPart"] == key["apiKey"][:12]
          and key["state"] == "active" and key["plan"] == "bronze" and key["product"] == "harbour" and key["expiresAt"], r.body)
    for name, body, status, field in [
            ("the same name", {"name": "laptop"}, 409, "name"), ("no name", {}, 422, "name"),
            ("a name of two lines", {"name": "a\nb"}, 422, "name"), ("a name of 101 letters", {"name": "x" * 101}, 422, "name"),
            ("no such plan", {"name": "a", "plan": "platinum"}, 422, "plan"),
            ("no such product", {"name": "a", "product": "none"}, 422, "product"),
            ("0 days", {"name": "a", "expiresInDays": 0}, 422, "expiresInDays"),
            ("half a day", {"name": "a", "expiresInDays": 0.5}, 422, "expiresInDays"),
            ("days in words", {"name": "a", "expiresInDays": "thirty"}, 422, "expiresInDays"),
            ("4000 days", {"name": "a", "expiresInDays": 4000}, 422, "expiresInDays")]:
        problem(f"key refused: {name}", dev.post("/v1/keys", body), status, field)
    for text in ("{", "[]", '{"name":"a","name":"b"}', "", "null", '"x"', "{" * 100):
        r = dev.post("/v1/keys", None, raw=text, headers={"Content-Type": "application/json"})
        check(f"a body that is no object: {text[:20]!r}", r.status == (422 if text == "" else 400), (r.status, r.body))
    rows = dev.get("/v1/keys").json()
    check("the list has it, without the key", [k["name"] for k in rows] == ["laptop"] and "apiKey" not in rows[0], rows)
    check("others do not see it", "laptop" not in {k["name"] for k in boss.get("/v1/keys").json()})
    problem("nor may others revoke it", person(p, "eve@example.com").call("DELETE", "/v1/keys/" + key["id"]), 404)

    cli = box.which("redis-cli")
    secret = (p.data / "secret.key").read_text().strip()
    secrets.append(secret)
    digest = base64.b64encode(hmac.digest(secret.encode(), key["apiKey"].encode(), hashlib.sha256)).decode()
    if cli:
        def redis(*args):
            return subprocess.run([cli, "-p", str(p.ports["redis"]), *args], capture_output=True, text=True).stdout.rstrip("\n")
        equal("redis-cli sees uuid -> hash", redis("GET", key["id"]), digest)
        v = json.loads(redis("GET", digest))
        check("and hash -> the record in Gloo's form", v["api_key"] == digest and v["uuid"] == key["id"]
              and v["metadata"]["usagePlan"] == "bronze" and v["metadata"]["username"] == "dev@example.com"
              and v["metadata"]["name"] == "laptop" and int(v["metadata"]["created-ts-unix"]) > 1e9, v)
    else:
        box.skip("redis-cli sees the key", "redis-cli is not installed")

    r = ask(p, key["apiKey"])
    check("the check port allows it and names the person", r.status == 200 and r.header("x-user-id") == "dev@example.com", r.headers.items())
    ask(p, key["apiKey"])
    row = dev.get("/v1/keys").json()[0]
    check("the list says when it was last used", rows[0]["lastUsedAt"] is None and row["lastUsedAt"] is not None
          and abs(calendar.timegm(time.strptime(row["lastUsedAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()) < 600, row)
    for _ in range(3):
        use = dev.get(f"/v1/keys/{key['id']}/usage").json()
        used = [x for x in use["limits"] if x["limit"] == 5]
        if used and used[0]["used"] > 0:
            break
        ask(p, key["apiKey"])  # the minute turned in between
    check("usage moves", used and used[0]["used"] in (1, 2) and used[0]["remaining"] == 5 - used[0]["used"]
          and used[0]["unit"] == "MINUTE" and 0 < used[0]["reset_seconds"] <= 60 and not used[0]["over"] and use["asOf"], use)
    again = dev.get(f"/v1/keys/{key['id']}/usage").json()
    check("looking does not count", [x["used"] for x in again["limits"]] <= [x["used"] for x in use["limits"]], again)

    q = {"method": "GET", "path": "/v1/stations?near=7", "product": "harbour", "key": key["apiKey"]}
    r = dev.post("/v1/decide", q)
    v = r.json()
    check("decide says yes with its steps", r.status == 200 and v["allowed"] and v["status"] == 200 and v["user"] == "dev@example.com"
          and v["plan"] == "bronze" and len(v["decision_id"]) == 16 and {t["said"] for t in v["trace"]} <= {"pass", "skip"}
          and v["limits"][0]["limit"] == 5, v)
    check("the key is not in the answer", key["apiKey"].encode() not in r.body, r.body)
    v = dev.post("/v1/decide", dict(q, key="")).json()
    check("without a key it says no", not v["allowed"] and v["status"] == 401 and v["reason"] == "key_missing" and v["words"]
          and any(t["said"] == "deny" for t in v["trace"]), v)
    for _ in range(30):  # six, unless the minute turns
        v = dev.post("/v1/decide", q).json()
        if not v["allowed"]:
            break
    check("it counts like a request", not v["allowed"] and v["status"] == 429 and v["reason"] == "limited"
          and any(x["over"] for x in v["limits"]), v)
    problem("decide without a path", dev.post("/v1/decide", {"method": "GET"}), 422, "path")
    problem("a key with a line break", dev.post("/v1/decide", dict(q, key="a\r\nX-Evil: 1")), 422, "key")

    equal("revoke", dev.call("DELETE", "/v1/keys/" + key["id"]).status, 204)
    equal("from then on the check port says 401", ask(p, key["apiKey"]).status, 401)
    problem("twice is 404", dev.call("DELETE", "/v1/keys/" + key["id"]), 404, "id")
    rows = dev.get("/v1/keys").json()
    equal("the list keeps it as revoked", [(k["name"], k["state"]) for k in rows], [("laptop", "revoked")])
    r = dev.post("/v1/keys", {"name": "laptop"})
    equal("its name is free again", r.status, 201)
    secrets.append(r.json()["apiKey"])
    equal("operators may revoke anybody's", boss.call("DELETE", "/v1/keys/" + r.json()["id"]).status, 204)

    app = dev.get("/v1/apps").json()[0]["id"]
    r = dev.post(f"/v1/apps/{app}/api-keys", {"apiKeyName": "by Gloo's page"})
    v = r.json()
    secrets.append(v["apiKey"])
    check("Gloo's way of making a key", r.status == 201 and v["name"] == "by Gloo's page" and "metadata" in v, v)
    check("and of listing and revoking it", "by Gloo's page" in {k["name"] for k in dev.get(f"/v1/apps/{app}/api-keys").json()}
          and dev.call("DELETE", "/v1/api-keys/" + v["id"]).status == 204)
    names = [f"n{i}" for i in range(5)]
    for n in names:
        secrets.append(dev.post("/v1/keys", {"name": n}).json()["apiKey"])
    got, cursor = [], ""
    while cursor is not None and len(got) < 20:
        r = dev.get(f"/v1/keys?limit=3&cursor={cursor}")
        got += r.json()
        cursor = r.header("x-next-cursor")
    equal("keys in pages", [k["id"] for k in got], [k["id"] for k in dev.get("/v1/keys").json()])

    status, _, err = p.cli("user", "disable", "dev@example.com")
    live = dev.post("/v1/session", {"email": "dev@example.com", "password": PASSWORD})
    check("disabled: the session ends, signing in is refused like any wrong password", dev.get("/v1/me").status == 401
          and live.status == 401 and "disabled" not in live.body.decode(), (status, err, live.body))


def test_admin(boss):
    h = boss.get("/admin/v1/health").json()["checks"]
    names = [c["name"] for c in h]
    check("health has a line for each part", {"check port", "redis port", "portal", "admin port", "store", "portal certificate",
          "policies"} <= set(names) and all(c["state"] == "ok" for c in h), h)
    v = boss.get("/admin/v1/policies").json()
    check("policies: counts, load time, no faults", v["inForce"] and v["loadedAt"] and v["counts"]["apis"] == 2
          and not [f for f in v["faults"] if not f["notice"]], v)
    d = boss.get("/admin/v1/openapi.json").json()
    rows = {(m, path) for path, ops in d["paths"].items() for m in ops}
    check("the portal describes itself", d["openapi"].startswith("3.") and ("post", "/v1/keys") in rows
          and ("get", "/admin/v1/health") in rows and len(rows) >= 30, sorted(rows))
    for path, ops in d["paths"].items():
        want = re.findall(r"\{(\w+)\}", path)
        for m, op in ops.items():
            if [x["name"] for x in op["parameters"]] != want or not op["summary"] or not op["responses"]:
                check(f"openapi: {m} {path}", False, op)


# ---- HTTP -------------------------------------------------------------------------------------


def test_decisions(p, dev, boss):
    r = ask(p, "pst_nobodys", "/v1/stations?token=in-the-query")
    denied = r.header("x-postern-decision")
    open_one = ask(p, "", "/health").header("x-postern-decision")
    asked = dev.post("/v1/decide", {"method": "GET", "path": "/v1/stations", "product": "harbour", "key": ""}).json()["decision_id"]
    rows = boss.get("/admin/v1/decisions?limit=500").json()
    by_id = {d["decision_id"]: d for d in rows}
    check("the list has what gateways and the page asked", {denied, open_one, asked} <= set(by_id) and len(by_id) == len(rows), sorted(by_id))
    d = by_id[denied]
    check("with time, request and reason, without query and key", not d["allowed"] and d["status"] == 401 and d["reason"] == "key_unknown"
          and d["method"] == "GET" and d["host"] == HOST and d["path"] == "/v1/stations" and d["at_ms"] > 1.6e12 and d["took_ns"] >= 0
          and "in-the-query" not in json.dumps(rows) and "pst_nobodys" not in json.dumps(rows), d)
    only = boss.get("/admin/v1/decisions?denied=1&limit=500").json()
    check("denied ones only", {denied, asked} <= {x["decision_id"] for x in only} and not any(x["allowed"] for x in only), only[:2])
    for name, one in (("a gateway's", denied), ("the page's", asked)):
        r = boss.get(f"/admin/v1/decisions/{one}")
        v = r.json()
        check(f"{name} decision has its steps with times", r.status == 200 and v["decision_id"] == one and not v["allowed"]
              and any(t["step"] == "apiKeyAuth" and t["said"] == "deny" for t in v["trace"]) and all(t["took_ns"] >= 0 for t in v["trace"]), v)
    check("one is enough when one is asked for", 1 <= len(boss.get("/admin/v1/decisions?limit=1").json()) <= 8)
    problem("an id that nobody knows", boss.get("/admin/v1/decisions/0123456789abcdef"), 404)
    problem("no number", boss.get("/admin/v1/decisions?limit=many"), 422, "limit")
    problem("developers do not see it", dev.get("/admin/v1/decisions"), 403)
    problem("nor one of them", dev.get(f"/admin/v1/decisions/{asked}"), 403)


def test_http(p, boss):
    b = Seen(p.ports["portal"])
    r = b.call("HEAD", "/v1/status")
    check("HEAD has the head of GET and no body", r.status == 200 and r.body == b""
          and int(r.header("content-length")) == len(b.get("/v1/status").body), r.headers.items())
    problem("an unknown operation is 404", b.get("/v1/nothing"), 404)
    problem("also below a known one", b.get("/v1/keys/a/b/c"), 404)
    r = b.call("PATCH", "/v1/keys")
    check("a method that is not served is 405 with Allow", r.status == 405 and r.header("allow") == "GET, HEAD, POST", r.headers.items())
    r = b.post("/", {})
    check("so it is for pages", r.status == 405 and r.header("allow") == "GET, HEAD", (r.status, r.headers.items()))
    problem("a page that is not there, asked for as JSON", b.get("/assets/none.js"), 404)
    problem("also for browsers, when it is an asset", b.get("/assets/none.js", headers={"Accept": "text/html"}), 404)
    for path in ("/../secret.key", "/assets/../index.html", "/assets/%2e%2e/index.html", "/..%2f..%2fetc/passwd", "/web/index.html",
                 "/v1/../admin/v1/users", "/v1/%2e%2e/keys", "/v1//keys", "/v1/keys/%00", "/v1/keys/..", "/v1/api-products/a%2fb"):
        r = b.get(path)
        check(f"nothing at {path}", r.status in (400, 401, 404, 405), (r.status, r.body[:100]))
    index = b.get("/", headers={"Accept": "text/html", "Accept-Encoding": "identity"})
    if index.status == 200:
        tag = index.header("etag")
        packed = b.get("/", headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
        check("gzip and identity are the same page", packed.header("content-encoding") == "gzip"
              and gzip.decompress(packed.body) == index.body and packed.header("vary") == "Accept-Encoding"
              and index.header("content-encoding") is None, packed.headers.items())
        check("with tags of their own", tag and packed.header("etag") not in (None, tag), (tag, packed.header("etag")))
        same = b.get("/", headers={"If-None-Match": tag, "Accept-Encoding": "identity"})
        check("an unchanged page is 304 without a body", same.status == 304 and same.body == b"" and same.header("etag") == tag
              and same.header("content-length") is None, same.headers.items())
        equal("another tag is 200", b.get("/", headers={"If-None-Match": '"x"'}).status, 200)
        equal("gzip;q=0 is no gzip", b.get("/", headers={"Accept-Encoding": "gzip;q=0"}).header("content-encoding"), None)
        r = b.get("/apis/harbour/v1", headers={"Accept": "text/html"})
        check("every address of the front end is the page", r.status == 200 and r.header("cache-control") == "no-cache", r.headers.items())
        name = re.search(rb'/assets/[\w.-]+\.js', index.body).group(0).decode()
        r = b.get(name)
        check("assets may be kept for ever", r.status == 200 and "immutable" in r.header("cache-control")
              and r.header("content-type").startswith("text/javascript"), r.headers.items())
        head = b.call("HEAD", name)
        check("HEAD of an asset", head.status == 200 and head.body == b"" and head.header("content-length") == r.header("content-length"))
        r = b.get("/favicon.svg")
        check("the icon is not immutable", r.status != 200 or r.header("cache-control") == "no-cache", r.headers.items())
    else:
        box.skip("pages: gzip, ETag, assets", "this binary has no front end")
    old = raw(p.ports["portal"], b"GET /v1/status HTTP/1.0\r\n\r\n", tls=True)
    check("HTTP/1.0 is answered and closed", status_of(old) == 200 and b"connection: close" in old.lower(), old)
    r = boss.post("/v1/keys", None, raw="x" * (1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    problem("a body of more than 1 MiB is 413", r, 413)
    r = boss.post("/v1/keys", {"name": "a", "more": "y" * (1000 * 1000)})
    check("a large one below it is read", r.status == 201, (r.status, r.body[:100]))
    secrets.append(r.json()["apiKey"])
    many = {f"X-H{i}": "v" for i in range(100)}
    equal("a hundred headers are no hindrance", boss.get("/v1/me", headers=many).status, 200)
    equal("nor is a head of 50 KiB", boss.get("/v1/me", headers={"X-Large": "v" * 50000}).status, 200)
    forged = {"X-Inner-Token": "x" * 32, "X-Inner-Peer": "203.0.113.1", "X_Inner_Token": "y"}
    equal("headers that look like ours mean nothing", boss.get("/v1/me", headers=forged).status, 200)


def test_localhost(p):
    """HSTS is kept by name for all ports: nobody wants it for localhost."""
    for host, there in (("localhost:8443", False), ("LOCALHOST", False), ("portal.localhost:1", False),
                        ("127.0.0.1:8443", True), ("localhost.example.com", True), ("xlocalhost", True)):
        for path in ("/", "/absent.js", "/v1/me"):
            r = Browser(p.ports["portal"]).get(path, headers={"Host": host})
            equal(f"HSTS for {host}{path}", r.header("strict-transport-security"), "max-age=31536000" if there else None)


def test_answers():
    """What holds for every answer that was seen."""
    bad = []
    for method, path, r in answers:
        for name, value in SECURITY.items():
            if r.header(name) != value:
                bad.append((method, path, r.status, name, r.header(name)))
        if path.startswith(("/v1/", "/admin/")) and r.header("cache-control") != "no-store":
            bad.append((method, path, r.status, "cache-control", r.header("cache-control")))
        if r.header("server") or r.header("x-powered-by"):
            bad.append((method, path, "server"))
        if r.body and not r.header("content-type"):
            bad.append((method, path, "content-type"))
        if r.status == 204 and (r.body or r.header("content-length")):
            bad.append((method, path, "204 with a length"))
        if 300 <= r.status < 400 and r.status != 304:
            bad.append((method, path, "a redirect"))
    check(f"security headers on every one of {len(answers)} answers", len(answers) > 100 and not bad, bad[:5])


def test_log(p):
    text = p.output()
    check("no key, password, token or cookie stands in the log", not [s for s in secrets[2:] + secrets[:1] if s in text],
          [s for s in secrets[2:] + secrets[:1] if s in text])
    check("no report in the log", not re.search("Sanitizer|runtime error|MUST", text), text[-500:])


def test_public_off():
    p = box.Postern("--set", "portal.public_catalogue=false", policies=DEMO, store="memory")
    b = Seen(p.ports["portal"])
    equal("without a public catalogue strangers see nothing", b.get("/v1/api-products").json(), [])
    problem("not even by name", b.get("/v1/api-products/harbour"), 404)
    boss = owner(p)
    equal("people who are signed in do", len(boss.get("/v1/api-products").json()), 2)
    p.down()


def test_links():
    """A link is good for one thing only, and not longer than that thing makes sense."""
    p = box.Postern(store="memory")
    b = Seen(p.ports["portal"])
    token = link_token(p.output())
    status, out, _ = p.cli("user", "create", "first@example.com", "--role", "owner", "--json")
    body = {"token": token, "email": "second@example.com", "name": "Second", "password": PASSWORD}
    problem("the setup link ends with the first account, however that came", b.post("/v1/setup", body), 404)
    problem("also for looking", b.get(f"/v1/setup?token={token}"), 404)
    invite = link_token(out)
    status, out, _ = p.cli("user", "reset-password", "first@example.com", "--json")
    reset = link_token(out)
    check("invite and reset stand side by side", [b.get(f"/v1/setup?token={t}").json()["kind"] for t in (invite, reset)]
          == ["invite", "reset"])
    status, out, _ = p.cli("user", "reset-password", "first@example.com", "--json")
    problem("a new reset link ends the one before", b.get(f"/v1/setup?token={reset}"), 404)
    reset = link_token(out)
    p.cli("user", "disable", "first@example.com")
    problem("a disabled account has no way back in", b.post("/v1/setup", {"token": reset, "password": PASSWORD}), 404)
    p.cli("user", "enable", "first@example.com")
    first = Seen(p.ports["portal"])
    r = first.post("/v1/setup", {"token": reset, "password": PASSWORD})
    check("enabled again the link works", r.status in (200, 201) and r.json()["role"] == "owner", r.body)
    problem("once", b.post("/v1/setup", {"token": reset, "password": PASSWORD}), 404)
    status, out, _ = p.cli("user", "reset-password", "first@example.com", "--json")
    b.post("/v1/setup", {"token": link_token(out), "password": "a different harbour wall"})
    equal("setting a password ends the sessions before", first.get("/v1/me").status, 401)

    results = []
    status, out, _ = p.cli("user", "reset-password", "first@example.com", "--json")
    one = {"token": link_token(out), "password": PASSWORD}
    threads = [threading.Thread(target=lambda: results.append(Browser(p.ports["portal"]).post("/v1/setup", one).status))
               for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(box.WAIT * box.SLOW)
    check("six at once with one link: one gets in", len([x for x in results if x in (200, 201)]) == 1
          and set(results) <= {200, 201, 404, 503}, results)
    p.down()


def test_inner(p):
    """civetweb's own socket answers nobody but the front."""
    got = raw(None, b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", path=p.data / "portal.sock")
    equal("the inner socket refuses without the token", status_of(got), 403)
    got = raw(None, b"GET /v1/status HTTP/1.1\r\nHost: a\r\nX-Inner-Token: " + b"a" * 32 + b"\r\n\r\n", path=p.data / "portal.sock")
    equal("and with a wrong one", status_of(got), 403)


if __name__ == "__main__":
    p = box.Postern(policies=DEMO)
    boss = Seen(p.ports["portal"])
    boss.cookie = test_setup(p).cookie
    boss.cookie = test_sign_in(p).cookie
    test_forgery(boss, p)
    boss.call("DELETE", "/v1/keys/none")
    dev = test_roles(p, boss)
    seen_dev = Seen(p.ports["portal"])
    seen_dev.cookie = dev.cookie
    test_catalogue(p, seen_dev)
    test_decisions(p, seen_dev, boss)
    test_keys(p, seen_dev, boss)
    test_admin(boss)
    test_http(p, boss)
    test_localhost(p)
    test_throttle(p)
    test_inner(p)
    p.down()
    test_answers()
    test_log(p)
    test_public_off()
    test_links()
    box.finish()
