"""A real Envoy with etc/gateways/envoy-grpc.yaml and what docs/gateway-envoy.md says besides: failure mode both ways, context
extensions by route, bodies, metadata for the access log, the rate-limit filter, gRPC health checks, many at once; steps that ask
others by gRPC, forged tokens, what Envoy tells of its own end.
TIMEOUT: 420
"""
import re
import socket
import threading

import box
import peers
from box import check, equal
from issuer import Issuer, Key, attack_tokens

SAMPLE = (box.ROOT / "etc/gateways/envoy-grpc.yaml").read_text()
PAGE = (box.ROOT / "docs/gateway-envoy.md").read_text()
ROUTES = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: r, namespace: t}
spec:
  hosts: ['*']
  http:
    - {name: keyed, labels: {auth: key}, matchers: [{uri: {prefix: /keyed}}]}
    - {name: tenant, labels: {auth: tenant}, matchers: [{uri: {prefix: /tenant}}]}
    - {name: body, labels: {auth: body}, matchers: [{uri: {prefix: /body}}]}
    - {name: asked, labels: {auth: asked}, matchers: [{uri: {prefix: /asked}}]}
    - {name: token, labels: {auth: token}, matchers: [{uri: {prefix: /token}}]}
    - {name: query, labels: {auth: query}, matchers: [{uri: {prefix: /query}}]}
    - {name: where, labels: {auth: where}, matchers: [{uri: {prefix: /where}}]}
    - {name: open, matchers: [{uri: {prefix: /open}}]}
"""
POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: {0}, namespace: t}}
spec:
  applyToRoutes: [{{route: {{labels: {{auth: {0}}}}}}}]
  config: {{glooAuth: {{configs: [{1}]}}}}
"""
STEPS = {
    "key": "{apiKeyAuth: {headersFromMetadataEntry: {X-User-ID: {name: username}}}}",
    "tenant": """{luaAuth: {headers: [x-tenant], inline: 'return function(r)
      local t = r.context_extensions and r.context_extensions.tenant
      if t ~= "north" then return {allow = false, status = 404, reason = "no_tenant", body = "no tenant"} end
      return {allow = true, headers = {["x-tenant"] = t}} end'}}""",
    "body": "{luaAuth: {inline: 'return function(r) return r.body == \"open sesame\" end'}}",
    "asked": "{luaAuth: {inline: 'return function() return {allow = true, state = {level = 3}} end'}}, "
             "{passThroughAuth: {grpc: {address: 'localhost:PEER', headers: [x-who], connectionTimeout: 30s}}}",
    "token": "{oauth2: {accessTokenValidation: {jwt: {issuer: 'https://idp.example', audiences: [shop], remoteJwks: {url: 'JWKS'}}, "
             "claimsToHeaders: [{claim: email, header: x-email}]}}}",
    "where": """{luaAuth: {headers: [x-where], inline: 'return function(r)
      local d, m = r.destination or {}, r.route_metadata or {}
      local port = math.type(d.port) == "integer" and tostring(d.port) or "?"
      return {allow = true, headers = {["x-where"] = table.concat({d.address or "?", port, r.protocol or "?", (m["com.example"] or {}).tier or "?"}, " ")}}
      end'}}""",
}
JWT_POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: JWTPolicy
metadata: {name: query, namespace: t}
spec:
  applyToRoutes: [{route: {labels: {auth: query}}}]
  config: {providers: {idp: {issuer: 'https://idp.example', audiences: [shop], tokenSource: {queryParams: [access_token]}, remote: {url: 'JWKS'}}}}
"""
# The server that passThroughAuth asks is a Postern as well.
PEER = """{luaAuth: {headers: [x-who], inline: 'return function(r)
      if r.headers["x-token"] ~= "ann" then return {allow = false, status = 401, reason = "who", body = "who are you?"} end
      return {allow = true, headers = {["x-who"] = "ann at " .. tostring(r.metadata["solo.auth.passthrough"].level) .. " from " .. r.source_ip}} end'}}"""
DOMAIN = "domain: edge\ndescriptors:\n  - key: tenant\n    rate_limit: {unit: hour, requests_per_unit: 3}\n"


def peer():
    folder = box.TMP / "envoy-grpc-peer"
    folder.mkdir()
    (folder / "peer.yaml").write_text(POLICY.format("peer", PEER).replace("  applyToRoutes: [{route: {labels: {auth: peer}}}]\n", ""))
    return box.Postern(policies=folder, store="memory")


def policies(**places):
    folder = box.TMP / "envoy-grpc-policies"
    folder.mkdir(exist_ok=True)
    (folder / "routes.yaml").write_text(ROUTES)
    for name, step in STEPS.items():
        for word, place in places.items():
            step = step.replace(word, str(place))
        (folder / f"{name}.yaml").write_text(POLICY.format(name, step))
    (folder / "edge.yaml").write_text(DOMAIN)
    (folder / "query.yaml").write_text(JWT_POLICY.replace("JWKS", str(places["JWKS"])))
    return folder


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, f"the sample no longer has {old!r}"
        text = text.replace(old, new, 1)
    return text


def indented(text, n):
    return "".join(" " * n + line + "\n" for line in text.strip("\n").splitlines())


def rate_limit_filter():
    """As the manual has it."""
    return re.search(r"```yaml\n(- name: envoy\.filters\.http\.ratelimit\n.*?)```", PAGE, re.S).group(1)


ROUTE = """                      routes:
                        - match: {prefix: /}
                          route: {cluster: api}
"""
MORE_ROUTES = """                      response_headers_to_add:
                        - header: {key: x-seen, value: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:userId)%/%DYNAMIC_METADATA(envoy.filters.http.ext_authz:postern_reason)%"}
                      routes:
                        - match: {prefix: /tenant/north}
                          route: {cluster: api}
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                              check_settings: {context_extensions: {tenant: north, other: thing}}
                        - match: {prefix: /where}
                          route: {cluster: api}
                          metadata: {filter_metadata: {com.example: {tier: gold}}}
                        - match: {prefix: /open/limited}
                          route:
                            cluster: api
                            rate_limits:
                              - actions: [{request_headers: {header_name: x-tenant-id, descriptor_key: tenant}}]
                        - match: {prefix: /}
                          route: {cluster: api}
"""
HEALTH = """      common_lb_config: {healthy_panic_threshold: {value: 0}}
      health_checks:
        - {timeout: 5s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {service_name: envoy.service.auth.v3.Authorization}}
      typed_extension_protocol_options: # gRPC is HTTP/2
"""
BODY = """                      route_metadata_context_namespaces: [com.example]
                      with_request_body: {max_request_bytes: 65536, pack_as_bytes: %s}
                      grpc_service:
"""


def envoy(program, name, check_port, upstream_port, *pairs):
    port = box.free_port()
    text = SAMPLE
    for old, new in (("8080", port), ("8083", check_port), ("9000", upstream_port)):
        text = re.sub(rf"(?<![0-9]){old}(?![0-9])", str(new), text)
    text = replaced(text, *pairs, ("timeout: 1s\n                  -", f"timeout: {5 * box.SLOW}s\n                  -"))
    conf = box.TMP / f"{name}.yaml"
    conf.write_text(text)
    process = box.start([program, "-c", str(conf), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"],
                        log=f"{name}.log", cwd=box.TMP)
    if not check(f"{name}: Envoy starts", box.wait_port(port, alive=process), (box.TMP / f"{name}.log").read_text()[-800:]):
        box.finish()
    return port, process


def header(answer, name):
    return [v for k, v in answer.json()["headers"] if k == name]


def raw(port, request):
    """The status of a request that no library would send."""
    with socket.create_connection(("127.0.0.1", port), 20 * box.SLOW) as s:
        s.sendall(request)
        got = s.recv(4096)
        return int(got[9:12]) if got.startswith(b"HTTP/1.1") else 0


def everything(port, upstream, key):
    r = box.get(port, "/keyed", {"X-User-Id": "forged", "X_User_Id": "forged"})
    equal("no key is 401", r.status, 401)
    check("and says why", "API key" in (r.header("www-authenticate") or ""), r.headers.items())
    equal("and carries a decision", len(r.header("x-postern-decision") or ""), 16)
    equal("and a reason", r.header("x-postern-reason"), "key_missing")
    r = box.get(port, "/keyed?x=1", {"api-key": key, "X-User-Id": "forged", "X_User_Id": "forged"})
    if equal("a key is 200", r.status, 200):
        equal("identity is set", header(r, "x-user-id"), ["ann@example.com"])
        equal("other spellings are gone", header(r, "x_user_id"), [])
        equal("the key does not reach the API", header(r, "api-key"), [])
        equal("the query does", r.json()["path"], "/keyed?x=1")
        equal("metadata for the access log", r.header("x-seen"), "ann@example.com/ok")

    r = box.get(port, "/tenant/north", {"x-tenant": "forged"})
    equal("context extensions of a route", (r.status, r.status == 200 and header(r, "x-tenant")), (200, ["north"]))
    r = box.get(port, "/tenant/south", {"x-tenant": "north"})
    equal("a route without them", (r.status, r.body, r.header("x-postern-reason")), (404, "no tenant", "no_tenant"))

    equal("the right body", box.request(port, "POST", "/body", {}, "open sesame").status, 200)
    equal("another body", box.request(port, "POST", "/body", {}, "open barley").status, 403)

    statuses = [box.get(port, "/open/limited", {"x-tenant-id": "t1"}).status for _ in range(3)]
    equal("within the limit", statuses, [200] * 3)
    r = box.get(port, "/open/limited", {"x-tenant-id": "t1"})
    equal("over the limit", (r.status, r.header("x-envoy-ratelimited")), (429, "true"))
    check("with the time to wait", (r.header("retry-after") or "").isdigit(), r.headers.items())
    check("and Envoy's own headers", (r.header("x-ratelimit-limit") or "").startswith("3, 3;w=3600"), r.headers.items())
    equal("another tenant", box.get(port, "/open/limited", {"x-tenant-id": "t2"}).header("x-ratelimit-remaining"), "2")
    equal("nobody's limit", box.get(port, "/open/limited").status, 200)

    bad = []

    def work():
        for _ in range(50):
            if box.get(port, "/keyed", {"api-key": key}).status != 200 or box.get(port, "/keyed").status != 401:
                bad.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal("800 requests of eight clients", len(bad), 0)


def attacks(name, port, upstream, key):
    """What a client sends to bring about an error that is let pass; nothing may reach the API."""
    before = len(upstream.seen)
    head = b"GET /keyed HTTP/1.1\r\nHost: h\r\n"
    rows = {"bytes that are not UTF-8": b"x: caf\xe9\xff\r\n", "a path that is not": None, "a tab and more": b"x: a\t\x80\r\n",
            "many headers": b"".join(b"h%d: v\r\n" % i for i in range(98)), "a large header": b"x: " + b"v" * 50000 + b"\r\n",
            "two keys": f"api-key: {key}\r\napi-key: {key}x\r\n".encode(),
            "a body that is no text": b"Content-Length: 3\r\n\r\n\xff\xfe\xfd"}
    for what, lines in rows.items():
        request = b"GET /keyed/\xff HTTP/1.1\r\nHost: h\r\n\r\n" if lines is None else head + lines + b"\r\n"
        status = raw(port, request)
        check(f"{name}: {what}: denied", status >= 400, status)
    equal(f"{name}: nothing of that reached the API", len(upstream.seen), before)


def asks_another(name, port, upstream):
    r = box.get(port, "/asked", {"x-who": "forged"})
    equal(f"{name}: the server that is asked by gRPC refuses", (r.status, r.body), (401, "who are you?"))
    r = box.get(port, "/asked", {"x-token": "ann", "x-who": "forged"})
    equal(f"{name}: it lets pass, and says who", (r.status, r.status == 200 and header(r, "x-who")), (200, ["ann at 3 from 127.0.0.1"]))


def forged_tokens(name, port, upstream, key):
    def ask(token):
        return box.get(port, "/token", {"Authorization": f"Bearer {token}", "x-email": "root@example.com"})

    r = ask(key.token())
    equal(f"{name}: a good token", (r.status, r.status == 200 and header(r, "x-email")), (200, ["ann@example.com"]))
    before, stranger = len(upstream.seen), Key("stranger")
    rows = attack_tokens(key, stranger)
    wrong = {row: a.status for row, token in rows.items() if (a := ask(token)).status not in (400, 401, 403, 431)}
    equal(f"{name}: {len(rows)} forged tokens are refused", wrong, {})
    equal(f"{name}: nothing of that reached the API", len(upstream.seen), before)


def main():
    program, why = peers.envoy()
    if not program:
        box.skip("envoy", why)
        box.finish()
    upstream = box.Upstream()
    signer, other = Key("one"), peer()
    issuer = Issuer(signer)
    postern = box.Postern(policies=policies(PEER=other.ports["check"], JWKS=issuer.url("/keys")), store="memory")
    postern.user("ann@example.com")
    key = postern.key("ann@example.com", "k", "gold")["key"]
    check_port = postern.ports["check"]
    limits = indented(replaced(rate_limit_filter(), ("timeout: 1s", f"timeout: {5 * box.SLOW}s")), 18)
    router = "                  - name: envoy.filters.http.router\n"
    service = "                      grpc_service:\n"

    deny, _ = envoy(program, "strict", check_port, upstream.port, (ROUTE, MORE_ROUTES), (router, limits + router),
                    ("      typed_extension_protocol_options: # gRPC is HTTP/2\n", HEALTH), (service, BODY % "true"))
    check("Envoy's gRPC health check finds Postern", box.wait_for(lambda: box.get(deny, "/open").status == 200, 30))
    everything(deny, upstream, key)
    attacks("strict", deny, upstream, key)
    asks_another("strict", deny, upstream)
    forged_tokens("strict", deny, upstream, signer)
    r = box.get(deny, f"/query?a=1&access_token={signer.token()}&b=2")
    equal("a token in the query goes no further", (r.status, r.status == 200 and r.json()["path"]), (200, "/query?a=1&b=2"))
    equal("where it arrived, and the route's metadata", header(box.get(deny, "/where", {"x-where": "forged"}), "x-where"),
          [f"127.0.0.1 {deny} HTTP/1.1 gold"])

    loose, _ = envoy(program, "loose", check_port, upstream.port,
                     ("failure_mode_allow: false", "failure_mode_allow: true\n                      failure_mode_allow_header_add: true"),
                     (service, BODY % "false"))
    equal("loose: no key is 401 while Postern is there", box.get(loose, "/keyed").status, 401)
    attacks("loose", loose, upstream, key)
    asks_another("loose", loose, upstream)
    forged_tokens("loose", loose, upstream, signer)
    equal("loose: no metadata of routes unless Envoy is told", header(box.get(loose, "/where"), "x-where"), [f"127.0.0.1 {loose} HTTP/1.1 ?"])
    other.kill()
    r = box.get(loose, "/asked", {"x-token": "ann"})
    equal("loose: the server that is asked is down: denied all the same", (r.status, r.header("x-postern-reason")),
          (403, "passthrough_unreachable"))

    postern.kill()
    before = len(upstream.seen)
    equal("strict: Postern down is denied", box.get(deny, "/keyed", {"api-key": key}).status, 503)
    equal("strict: and nothing reached the API", len(upstream.seen), before)
    r = box.get(loose, "/keyed")
    equal("loose: Postern down is let pass, and marked", (r.status, r.status == 200 and
          header(r, "x-envoy-auth-failure-mode-allowed")), (200, ["true"]))

    postern.up()
    equal("loose: and denied again when it is back", box.wait_for(lambda: box.get(loose, "/keyed").status == 401, 30), True)
    box.finish()


main()
