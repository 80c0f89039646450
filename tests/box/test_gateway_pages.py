"""The pages docs/gateway-*.md: the complete configurations in them are those of etc/gateways/, which test_gateways.py runs;
every other snippet is put into its sample and run here, with a real gateway: the check port behind mTLS (with a certificate
of a stranger too), people who are sent to sign in and whose session the API does not see. A snippet that nothing here uses fails.
TIMEOUT: 1800
"""
import re
import sys

import box
import certs
import gateways
from box import check, equal

HOST = "harbour.example.com"
PAGES = sorted((box.ROOT / "docs").glob("gateway-*.md"))
OF = {"nginx": "nginx", "caddy": "caddy", "haproxy": "haproxy", "envoy": "envoy", "envoy-grpc": "envoy", "traefik": "traefik"}
# Snippets by their first line: sample file and the line whose block they replace.
MTLS = {
    "nginx": {"location = /_postern {": ("nginx.conf", "location = /_postern {")},
    "caddy": {"forward_auth https://10.0.0.5:8083 {": ("Caddyfile", "forward_auth 127.0.0.1:8083 {")},
    "haproxy": {"listen postern": ("haproxy.cfg", "")},
    "envoy-grpc": {"- name: postern": ("envoy-grpc.yaml", "- name: postern")},
    "envoy": {"- name: postern": ("envoy.yaml", "- name: postern")},
    "traefik": {"forwardAuth:": ("traefik-routes.yaml", "forwardAuth:")},
}
SIGN_IN = {
    "nginx": {"location / {": ("nginx.conf", "location / {"), "location @postern_denied {": ("nginx.conf", "location @postern_denied {")},
    "caddy": {"forward_auth 127.0.0.1:8083 {": ("Caddyfile", "forward_auth 127.0.0.1:8083 {")},
    "haproxy": {},
    "envoy": {"allowed_headers:": ("envoy.yaml", "allowed_headers:"), "authorization_response:": ("envoy.yaml", "authorization_response:")},
    "envoy-grpc": {},
    "traefik": {"authResponseHeaders: [X-User-ID, X-Solo-Plan, Cookie]":
                ("traefik-routes.yaml", "authResponseHeaders: [X-User-ID, X-Solo-Plan]")},
}
# The short form on the first page that people see (README.md).
README = {"location / {": ("nginx.conf", "location / {"), "location = /_postern {": ("nginx.conf", "location = /_postern {")}
# Run by test_envoy_grpc.py; settings are run by test_docs.py.
ELSEWHERE = ("- name: envoy.filters.http.ratelimit", "# postern.yaml")
POLICIES = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: web, namespace: test}
spec:
  hosts: [harbour.example.com]
  http:
    - {name: web, labels: {auth: web}, matchers: [{uri: {prefix: /web}}]}
    - {name: inside, labels: {auth: inside}, matchers: [{uri: {prefix: /inside}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: oauth, namespace: test}
type: extauth.solo.io/oauth
stringData: {client-secret: secret}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: web, namespace: test}
spec:
  applyToRoutes: [{route: {labels: {auth: web}}}]
  config:
    glooAuth:
      configs:
        - oauth2:
            oauth2:
              appUrl: https://harbour.example.com
              callbackPath: /web/callback
              clientId: harbour
              clientSecretRef: {name: oauth, namespace: test}
              authEndpoint: https://login.example.com/authorize
              tokenEndpoint: https://login.example.com/token
              session: {redis: {cookieName: harbour}}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: inside, namespace: test}
spec:
  applyToRoutes: [{route: {labels: {auth: inside}}}]
  config:
    glooAuth:
      configs:
        - luaAuth:
            headers: [cookie]
            inline: |
              return function(req)
                  local all = req.headers.cookie or ""
                  if not all:find("session=right", 1, true) then return false end
                  return {allow = true, headers = {cookie = (all:gsub("session=right; ", ""))}}
              end
"""


def blocks(page):
    return re.findall(r"^```\w+\n(.*?)^```$", page.read_text(), re.M | re.S)


def parts(text):
    """The top-level blocks of a snippet."""
    return [x for x in re.split(r"(?m)^(?=[^\s}])", text) if x.strip()]


used = set()


def snippets(name, table):
    """(file, anchor, text) of the page's snippets that the table names."""
    found = []
    for block in blocks(box.ROOT / f"docs/gateway-{OF[name]}.md"):
        pieces = parts(block)
        if all(p.splitlines()[0] in table[name] for p in pieces):
            found += [(*table[name][p.splitlines()[0]], p) for p in pieces]
            used.add(block)
    return found


def every_snippet_runs():
    """Each block is a sample, or in one of the tables."""
    samples = {p.read_text() for p in gateways.FOLDER.iterdir()}
    firsts = {first for table in (MTLS, SIGN_IN) for rows in table.values() for first in rows}
    for page in PAGES:
        for block in blocks(page):
            known = block in samples or block.startswith(ELSEWHERE) or all(p.splitlines()[0] in firsts for p in parts(block))
            check(f"{page.name}: a snippet that is run: {block.splitlines()[0]}", known, "not a file of etc/gateways and in no table")
    for name, files in gateways.FILES.items():
        for file in files:
            text = (box.ROOT / f"docs/gateway-{OF[name]}.md").read_text()
            check(f"{file} is on its page", (gateways.FOLDER / file).read_text() in text)


def certificates():
    """Authorities of servers, of gateways and of strangers, and certificates by them."""
    folder = box.TMP / "certificates"
    folder.mkdir()
    for ca in ("postern-ca", "gateways-ca", "strangers-ca"):
        certs.authority(folder, ca)
    servers = "DNS:postern.example.com,DNS:localhost"
    for name, ca, san in (("postern", "postern-ca", servers), ("impostor", "strangers-ca", servers),
                          ("gateway", "gateways-ca", "DNS:gateway.example.com"), ("stranger", "strangers-ca", "DNS:gateway.example.com")):
        certs.leaf(folder, ca, name, san)
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return folder


def edited(name, table, extra=lambda file, text: text):
    """Puts the page's snippets into the samples."""
    changes = snippets(name, table)

    def edit(file, text):
        for where, anchor, block in changes:
            if where == file:
                text = gateways.swap(text, anchor, block) if anchor else text + "\n" + block
        return extra(file, text)
    return edit


def over_tls(folder, gateway):
    """Addresses and files of the page -> ours; `gateway` is whose certificate it shows."""
    def extra(file, text):
        text = text.replace("https://postern.example.com:8083", "https://localhost:8083").replace("10.0.0.5", "127.0.0.1")
        if file == "haproxy-postern.lua":
            text = text.replace("127.0.0.1:8083", "127.0.0.1:8084")
        if file == "envoy.yaml":  # "for HTTP leave out"
            text = re.sub(r" +typed_extension_protocol_options:\n.*\n.*\n.*\n", "", text)
            text = re.sub(r" +alpn_protocols: \[h2\]\n", "", text)
        text = re.sub(r"\bgateway\.(crt|key|pem)\b", rf"{folder}/{gateway}.\1", text)
        return re.sub(r"\bpostern-ca\.crt\b", f"{folder}/postern-ca.crt", text)
    return extra


def ask(port, path="/v1/stations", **headers):
    return box.get(port, path, {"Host": HOST, **headers})


def run(name, path, check_port, upstream, edit):
    """Its port, or None."""
    port = box.free_port()
    folder = gateways.place(name, {8080: port, 8083: check_port, 8084: box.free_port(), 9000: upstream.port}, edit)
    return port if gateways.start(name, path, folder, port) else None


def mtls(name, path, folder, servers, key):
    """`servers`: Postern with its own certificate, and with one that the gateway must not believe."""
    upstream = box.Upstream()
    for who, postern, good in (("gateway", servers[0], True), ("stranger", servers[0], False), ("gateway", servers[1], False)):
        title = f"{name}: mTLS, {who}" + ("" if postern is servers[0] else ", an impostor for Postern")
        port = run(name, path, postern.ports["check"], upstream, edited(name, MTLS, over_tls(folder, who)))
        if not port:
            continue
        if good:
            equal(f"{title}: no key is 401", ask(port).status, 401)
            r = ask(port, **{"api-key": key, "X-User-ID": "root"})
            equal(f"{title}: the key is 200", (r.status, upstream.seen and [v for k, v in upstream.seen[-1]["headers"] if k == "x-user-id"]),
                  (200, ["ann@example.com"]))
        else:
            before = len(upstream.seen)
            check(f"{title}: denied", ask(port, **{"api-key": key}).status in (403, 500, 502, 503))
            equal(f"{title}: nothing reached the API", len(upstream.seen), before)


def sign_in(name, path, postern):
    upstream = box.Upstream()
    port = run(name, path, postern.ports["check"], upstream, edited(name, SIGN_IN))
    if not port:
        return
    r = ask(port, "/web/x?y=1")
    equal(f"{name}: sign-in: sent there", (r.status, (r.header("location") or "").split("?")[0]), (302, "https://login.example.com/authorize"))
    check(f"{name}: sign-in: with a cookie", "HttpOnly" in (r.header("set-cookie") or ""), r.headers.get_all("set-cookie"))
    equal(f"{name}: sign-in: not to be kept", r.header("cache-control"), "no-store")
    equal(f"{name}: sign-in: nothing reached the API", len(upstream.seen), 0)
    equal(f"{name}: sign-in: another denial is 403", ask(port, "/inside").status, 403)
    r = ask(port, "/inside", Cookie="a=1; session=right; b=2")
    equal(f"{name}: sign-in: the API gets the other cookies", (r.status, [v for k, v in upstream.seen[-1]["headers"] if k == "cookie"] if upstream.seen else ""),
          (200, ["a=1; b=2"]))


def readme(path, postern, key):
    upstream = box.Upstream()
    block, = re.findall(r"^```nginx\n(.*?)^```$", (box.ROOT / "README.md").read_text(), re.M | re.S)

    def edit(file, text):
        for piece in parts(block):
            text = gateways.swap(text, README[piece.splitlines()[0]][1], piece)
        return gateways.swap(text, "location @postern_denied {", "")
    port = run("nginx", path, postern.ports["check"], upstream, edit)
    if port:
        equal("README.md: no key is 401", ask(port).status, 401)
        r = ask(port, **{"api-key": key, "X-User-ID": "root"})
        equal("README.md: the key is 200", (r.status, [v for k, v in upstream.seen[-1]["headers"] if k == "x-user-id"]), (200, ["tom@example.com"]))


def main():
    every_snippet_runs()
    folder = certificates()
    policies = gateways.demo_policies(POLICIES)
    plain = box.Postern(policies=policies, store="memory")
    servers = [box.Postern("--set", f"check.tls_cert={folder}/{who}.crt", "--set", f"check.tls_key={folder}/{who}.key",
                           "--set", f"check.tls_client_ca={folder}/gateways-ca.crt", "--set", "check.trusted_peers=dns:gateway.example.com",
                           policies=policies, store="memory") for who in ("postern", "impostor")]
    servers[0].user("ann@example.com")
    key = servers[0].key("ann@example.com", "k", "gold")["key"]
    missing = []
    for name in sys.argv[1:] or gateways.FILES:
        path, why = gateways.program(name)
        if not path:
            missing.append(OF[name])
            box.skip(name, why)
            continue
        mtls(name, path, folder, servers, key)
        sign_in(name, path, plain)
        if name == "nginx":
            plain.user("tom@example.com")
            readme(path, plain, plain.key("tom@example.com", "k", "gold")["key"])
    for page in PAGES:
        left = [b for b in blocks(page) if b not in used and not b.startswith(ELSEWHERE)
                and b not in {p.read_text() for p in gateways.FOLDER.iterdir()}]
        if page.stem.split("-")[1] not in missing:
            equal(f"{page.name}: every snippet was run", left, [])
    box.finish()


main()
