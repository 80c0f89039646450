"""The check port with mTLS: gateways trusted by the name in their certificate, and by nothing else."""
import http.client
import ssl

import box
import certs
import h2
from box import check, equal

POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: open, namespace: t}
spec:
  config: {glooAuth: {configs: [{luaAuth: {inline: '
    return function(req) return req.path ~= "/edge" or req.gateway == "spiffe://mesh/gateways/edge" end'}}]}}
"""


def ask(folder, port, name, path="/"):
    """Status and reason; (0, why) when TLS or the connection fails."""
    tls = ssl.create_default_context(cafile=str(folder / "servers.crt"))
    if name:
        tls.load_cert_chain(str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    c = http.client.HTTPSConnection("localhost", port, context=tls, timeout=20 * box.SLOW)
    try:
        c.request("GET", "/auth/forward", headers={"X-Forwarded-Method": "GET", "X-Forwarded-Uri": path, "X-Forwarded-Host": "h"})
        r = c.getresponse()
        return r.status, r.getheader("x-postern-reason")
    except OSError as e:
        return 0, str(e)
    finally:
        c.close()


def field(number, value):
    value = value.encode() if isinstance(value, str) else value
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def ask_grpc(folder, port, name, path="/"):
    """Authorization/Check: "allowed", "denied", "error" for a gRPC error, or "" when TLS or the connection fails."""
    tls = ssl.create_default_context(cafile=str(folder / "servers.crt"))
    tls.set_alpn_protocols(["h2"])
    if name:
        tls.load_cert_chain(str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    http_part = field(2, "GET") + field(4, path) + field(5, "h")
    request = field(1, field(4, field(2, http_part)))
    try:
        c = h2.Client(port, 20 * box.SLOW, "/envoy.service.auth.v3.Authorization/Check", request, tls=tls)
        said = c.answer()
        c.close()
    except OSError:
        return ""
    if said is None:
        return ""
    return "error" if said == b"" else "allowed" if said.startswith(b"\x0a\x00") else "denied"


def main():
    if not box.which("openssl"):
        box.skip("check_mtls", "openssl is not installed")
        return
    folder = box.TMP / "pki"
    folder.mkdir()
    for name in ("servers", "gateways", "strangers"):
        certs.authority(folder, name)
    certs.leaf(folder, "servers", "server", "DNS:localhost")
    certs.leaf(folder, "gateways", "edge", "URI:spiffe://mesh/gateways/edge")
    certs.leaf(folder, "gateways", "other", "URI:spiffe://mesh/other/edge")
    certs.leaf(folder, "gateways", "dns", "DNS:gw.example.com")
    certs.leaf(folder, "gateways", "disguised", "DNS:spiffe.mesh")
    certs.leaf(folder, "strangers", "forged", "URI:spiffe://mesh/gateways/edge")
    policies = box.TMP / "policies"
    policies.mkdir()
    (policies / "open.yaml").write_text(POLICY)
    server = box.Postern("--set", f"check.tls_cert={folder}/server.crt", "--set", f"check.tls_key={folder}/server.key",
                         "--set", f"check.tls_client_ca={folder}/gateways.crt",
                         "--set", "check.trusted_peers=spiffe://mesh/gateways/*,dns:gw.example.com", policies=policies)
    port = server.ports["check"]
    equal("a gateway of the right name is served", ask(folder, port, "edge"), (200, "ok"))
    equal("by DNS name too", ask(folder, port, "dns"), (200, "ok"))
    equal("another name of the same CA is not", ask(folder, port, "other"), (403, "untrusted_peer"))
    equal("nor one that looks alike", ask(folder, port, "disguised"), (403, "untrusted_peer"))
    equal("the right name by a strange CA does not get that far", ask(folder, port, "forged")[0], 0)
    equal("nor does nobody", ask(folder, port, None)[0], 0)
    wanted = {"edge": "allowed", "dns": "allowed", "other": "error", "disguised": "error", "forged": "", None: ""}
    equal("the same by gRPC", {name: ask_grpc(folder, port, name) for name in wanted}, wanted)
    equal("the name is an identity that policies see",
          [(ask(folder, port, name, "/edge")[0], ask_grpc(folder, port, name, "/edge")) for name in ("edge", "dns")],
          [(200, "allowed"), (403, "denied")])
    server.down()
    status, _, err = box.run("serve", "--data", server.data, "--set", "check.trusted_peers=spiffe:/typo")
    check("a name that is none is refused at start", status == 2 and "spiffe://" in err, (status, err))


main()
box.finish()
