"""Tokens in the running server: keys fetched over HTTP once for all who wait, rotation of keys, an issuer that is
down at start and later, introspection, JWTPolicy; attacks on tokens through every door for gateways."""
import hashlib
import hmac
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import box
from box import Postern, check, equal
from issuer import Issuer, Key, attack_tokens, b64

STEP = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: tokens, namespace: n}}
spec:
  config:
    glooAuth:
      configs:
        - oauth2:
            accessTokenValidation:
              {how}
              claimsToHeaders: [{{claim: email, header: x-email}}]
"""
REMOTE = "jwt: {{issuer: 'https://idp.example', audiences: [shop], remoteJwks: {{url: '{url}', refreshInterval: 2s}}}}"
POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: JWTPolicy
metadata: {{name: tokens, namespace: n}}
spec:
  config:
    providers:
      idp:
        issuer: https://idp.example
        remote: {{url: '{url}'}}
        claimsToHeaders: [{{claim: email, header: x-email}}]
"""


def folder(text):
    d = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    (d / "p.yaml").write_text(text)
    return d


def server(text, env=None):
    return Postern("--threads", "1", policies=folder(text), store="memory", env=env)


FORWARD = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com",
           "X-Forwarded-Uri": "/v1/x", "X-Forwarded-For": "192.0.2.7"}


def forward(p, token, **more):
    bearer = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return box.get(p.ports["check"], "/auth/forward", {**FORWARD, **bearer, **more})


def nginx(p, token):
    return box.get(p.ports["check"], "/auth/nginx", {"X-Original-URL": "https://api.example.com/v1/x", "X-Original-Method": "GET",
                                                     "X-Real-IP": "192.0.2.7", "Authorization": f"Bearer {token}"})


def envoy(p, token):
    return box.get(p.ports["check"], "/auth/envoy/v1/x", {"Host": "api.example.com", "Authorization": f"Bearer {token}"})


def decide(p, token):
    a = box.request(p.ports["check"], "POST", "/v1/decide", {"Content-Type": "application/json"}, json.dumps(
        {"method": "GET", "path": "/v1/x", "host": "api.example.com", "headers": {"authorization": [f"Bearer {token}"]}}))
    a.status = a.json()["status"]
    return a


DOORS = {"forward": forward, "nginx": nginx, "envoy": envoy, "decide": decide}


def attacks(p, name, key, stranger, refused):
    """docs/security.md 30 to 36, each through every door."""
    good, rows = key.token(), attack_tokens(key, stranger)
    for door, ask in DOORS.items():
        equal(f"{name} {door}: a good token passes", ask(p, good).status, 200)
        wrong = {row: a.status for row, token in rows.items() if (a := ask(p, token)).status != refused}
        equal(f"{name} {door}: {len(rows)} attacks are refused", wrong, {})


def one_fetch_and_rotation():
    one, two, ec = Key("one"), Key("two"), Key("ec", "ES256")
    issuer = Issuer(one, ec)
    issuer.slow = 1
    p = server(STEP.format(how=REMOTE.format(url=issuer.url("/keys"))))
    token = one.token()
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: forward(p, token, **{"x-email": "root@example.com"}), range(30)))
    equal("30 requests at once wait for one fetch", ([a.status for a in answers], len(issuer.asked)), ([200] * 30, 1))
    equal("and get the claim, not what the client sent", {a.header("x-email") for a in answers}, {"ann@example.com"})
    issuer.slow = 0
    equal("ES256", forward(p, ec.token()).status, 200)
    equal("no token is 403", forward(p, None).status, 403)
    issuer.keys = [two, ec]
    equal("a new kid is taken up at once", forward(p, two.token()).status, 200)
    stale = [forward(p, Key("x", "ES256").token()).status for _ in range(3)]
    before = len(issuer.asked)
    equal("unknown kids are refused", stale, [403] * 3)
    check("and asked about at most once in an interval", before <= 6, issuer.asked)
    check("a key that is gone ends what it verified", box.wait_for(lambda: forward(p, token).status == 403))
    issuer.on = False
    fresh = two.token(sub="bob")
    until = len(issuer.asked) + 2
    box.wait_for(lambda: forward(p, fresh).status != 200 or len(issuer.asked) >= until)
    equal("an issuer that went down: its last good keys stay", (forward(p, two.token(sub="carl")).status, len(issuer.asked) >= until), (200, True))
    attacks_of = Key("two")
    attacks(p, "accessTokenValidation", two, attacks_of, 403)
    box.stop(p.process)


def down_at_start():
    one = Key("one")
    issuer = Issuer(one)
    issuer.on = False
    p = server(STEP.format(how=REMOTE.format(url=issuer.url("/keys"))))
    token = one.token()
    equal("an issuer that is down at start: refused", forward(p, token).status, 403)
    issuer.on = True
    check("it recovers by itself", box.wait_for(lambda: forward(p, token).status == 200))
    box.stop(p.process)
    issuer = Issuer(one)
    p = server(STEP.format(how=REMOTE.format(url=issuer.url("/moved"))))
    equal("37 a redirect is not followed", (forward(p, token).status, "/keys" in issuer.asked), (403, False))
    box.stop(p.process)


def over_tls():
    one = Key("one")
    issuer = Issuer(one, tls=True)
    text = STEP.format(how=REMOTE.format(url=issuer.url("/keys")))
    p = server(text)
    equal("https: an issuer that nobody vouches for", (forward(p, one.token()).status, issuer.asked), (403, []))
    box.stop(p.process)
    p = server(text, dict(os.environ, POSTERN_OUTBOUND_CA_FILE=str(issuer.ca)))
    equal("https: with outbound.ca_file", forward(p, one.token()).status, 200)
    box.stop(p.process)


def jwt_policy():
    one = Key("one")
    issuer = Issuer(one)
    p = server(POLICY.format(url=issuer.url("/keys")))
    a = forward(p, None)
    equal("JWTPolicy: 401 in Envoy's words", (a.status, a.body, a.header("www-authenticate")), (401, "Jwt is missing", "Bearer"))
    a = forward(p, one.token())
    equal("JWTPolicy: the claim goes on", (a.status, a.header("x-email")), (200, "ann@example.com"))
    attacks(p, "JWTPolicy", one, Key("one"), 401)
    box.stop(p.process)


def introspection():
    issuer = Issuer()
    issuer.opaque = {"good/one": {"active": True, "scope": "read", "email": "ann@example.com"}, "over": {"active": True, "exp": 1}}
    p = server(STEP.format(how=f"introspection: {{introspectionUrl: '{issuer.url('/introspect')}', clientId: postern, clientSecretRef: {{name: idp}}}}")
               + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: idp, namespace: n}\ntype: extauth.solo.io/oauth\nstringData: {client-secret: hidden-word}\n")
    a = forward(p, "good/one")
    equal("introspection: a token that the issuer knows", (a.status, a.header("x-email")), (200, "ann@example.com"))
    equal("it was asked with our credentials", issuer.asked[0][1:], (
        {"token": ["good/one"], "token_type_hint": ["access_token"]}, "Basic cG9zdGVybjpoaWRkZW4td29yZA=="))
    issuer.on = False
    equal("remembered", forward(p, "good/one").status, 200)
    equal("38 not for a part of it", forward(p, "good/on").status, 403)
    issuer.on = True
    equal("unknown, and over", [forward(p, t).status for t in ("bad", "over", "good/on")], [403] * 3)
    log = p.output()
    check("neither token nor secret is in the log", "good/one" not in log and "hidden-word" not in log, log)
    box.stop(p.process)


if __name__ == "__main__":
    if not box.which("openssl"):
        box.skip("tokens", "openssl is not installed")
        box.finish()
    one_fetch_and_rotation()
    down_at_start()
    over_tls()
    jwt_policy()
    introspection()
    box.finish()
