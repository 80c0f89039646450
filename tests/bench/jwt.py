"""Tokens under load: a JWT that was verified before against an API key, and what verifying anew costs.

    tests/bench/run jwt

The same route, limit and two headers for the upstream each time; load by wrk. `anew` is the same policy with
cacheTimeout: 0s, so each request pays for the signature: processor time above that of `cached` is the cost of one
verification, to be held against that of mbedTLS alone.
"""
import json
import statistics

import box
import policy
from issuer import Key

STEP = """        - oauth2:
            accessTokenValidation:
              cacheTimeout: {cache}
              jwt: {{issuer: 'https://idp.example', localJwks: {{inlineString: '{keys}'}}}}
              claimsToHeaders: [{{claim: email, header: X-User-ID}}, {{claim: plan, header: X-Solo-Plan}}]
"""


def folder(run, name, key, cache):
    d = box.TMP / f"bench-jwt-{name}"
    d.mkdir()
    for file, text in run.POLICIES.items():
        if file == "keys.yaml" and key:
            text = text[:text.index("        - apiKeyAuth")] + STEP.format(cache=cache, keys=json.dumps({"keys": [key.jwk()]}))
        (d / file).write_text(text)
    return d


def jwt(run):
    if not box.which("wrk") or not box.which("openssl"):
        run.say("tokens: left out, wrk or openssl is not installed")
        return
    run.say("\nA bearer token (JWT) in place of the API key; one worker, 32 connections")
    rsa, ec = Key("rsa"), Key("ec", "ES256")
    contenders = {}
    for name, key, cache in (("api key", None, ""), ("RS256 cached", rsa, "10m"), ("ES256 cached", ec, "10m"),
                             ("RS256 anew", rsa, "0s"), ("ES256 anew", ec, "0s")):
        server, api_key = policy.serve(folder(run, name.replace(" ", "-"), key, cache))
        h = policy.headers(api_key)
        if key:
            del h["api-key"]
            h["Authorization"] = "Bearer " + key.token(plan="gold", exp=4000000000)
        if not policy.good(run.say, server, h):
            return
        contenders[name] = (server, h)
    samples = run.interleave(contenders, lambda it: policy.cpu_per_request(run, *it))
    cpu, rate = {}, {}
    for name, rows in samples.items():
        cpu[name], rate[name] = (statistics.median(r[i] for r in rows) for i in (0, 1))
        run.say(f"  {name:13} {rate[name]:>9.0f}/s   cpu {cpu[name]:8.2f} us   p99 {statistics.median(r[2] for r in rows):7.0f} us")
    for alg in ("RS256", "ES256"):
        run.say(f"  one {alg} verification: {cpu[alg + ' anew'] - cpu[alg + ' cached']:.1f} us of processor time")
        run.target(f"checks with {alg} from the cache, against the API key", rate[alg + " cached"] / rate["api key"], 0.9)
    for server, _ in contenders.values():
        server.down()
