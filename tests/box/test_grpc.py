"""The check port's gRPC by a client of another make, and beside HTTP/1.1 on the same port, also over TLS.

The client comes from tests/box/grpc (npm ci).
"""
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import box
import h2
from box import check, equal

HERE = Path(__file__).resolve().parent
DOMAIN = """domain: edge
descriptors:
  - key: tenant
    rate_limit: {unit: hour, requests_per_unit: 3}
"""


def policies():
    folder = box.TMP / "grpc-policies"
    shutil.copytree(box.ROOT / "etc/demo/policies", folder, dirs_exist_ok=True)
    (folder / "edge.yaml").write_text(DOMAIN)
    return folder


def grpc_js(port, key):
    if not (HERE / "grpc/node_modules").is_dir() or not box.which("node"):
        return box.skip("grpc-js", "not installed (make test installs it)")
    p = subprocess.run([box.which("node"), str(HERE / "grpc/client.mjs"), f"127.0.0.1:{port}", key], capture_output=True,
                       text=True, timeout=120 * box.SLOW)
    print(p.stdout, end="", flush=True)
    equal("grpc-js: the client came to its end", p.returncode, 0)
    for line in p.stdout.splitlines():
        if line.startswith("not ok"):
            box.failed()
    if p.returncode:
        print("# " + p.stderr[-800:].replace("\n", "\n# "))


def alpn(port, ca, *offers):
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(list(offers))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10 * box.SLOW), server_hostname="localhost") as s:
        chosen = s.selected_alpn_protocol()
        if chosen == "h2":
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            return chosen, s.recv(9)[3]
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        return chosen, s.recv(100)[:12]


def over_tls():
    if not box.which("openssl"):
        return box.skip("TLS", "openssl is not installed")
    key, cert, conf = (box.TMP / n for n in ("grpc.key", "grpc.crt", "grpc.yaml"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    conf.write_text(f"check:\n  tls_cert: {cert}\n  tls_key: {key}\n")
    server = box.Postern("--config", conf, policies=policies(), store="memory")
    port = server.ports["check"]
    equal("TLS: who offers h2 alone speaks HTTP/2", alpn(port, cert, "h2"), ("h2", 4))
    equal("TLS: who offers both speaks HTTP/1.1", alpn(port, cert, "h2", "http/1.1"), ("http/1.1", b"HTTP/1.1 200"))
    server.down()


def rss(server):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text()).group(1)) * 1024


def idle_connections():
    """What an idle connection holds; sanitizers hold more."""
    count, health = 1000, "/grpc.health.v1.Health/Check"
    server = box.Postern(policies=policies(), store="memory")
    warm = [h2.Client(server.ports["check"], 60 * box.SLOW, health) for _ in range(20)]
    for c in warm:
        c.answer()
    before = rss(server)
    headers = [("user-agent", "gateway/1"), ("grpc-timeout", "200m"), ("x-forwarded-for", "10.0.0.1")]
    held = [h2.Client(server.ports["check"], 60 * box.SLOW, health, headers=headers) for _ in range(count)]
    equal("idle connections: each is answered", [c.answer() for c in held], [b"\x08\x01"] * count)
    each = (rss(server) - before) // count
    if os.environ.get("POSTERN_BUILD") == "release":
        check("idle connections: at most 10,000 bytes each", each <= 10000, each)
    server.process.terminate()
    said = [[f[0] for f in c.frames()] for c in held]
    check("idle connections: the end is announced to each", all(h2.GOAWAY in kinds for kinds in said),
          sum(h2.GOAWAY in kinds for kinds in said))
    equal("idle connections: the server stops as it should", server.down(), 0)


def main():
    server = box.Postern(policies=policies(), store="memory")
    server.user("tom@example.com")
    key = server.key("tom@example.com", "grpc", "gold")["key"]
    port = server.ports["check"]
    grpc_js(port, key)
    equal("HTTP/1.1 on the same port", box.get(port, "/healthz").status, 200)
    counted = box.get(server.ports["admin"], "/metrics").body
    check("the metrics count gRPC", 'postern_checks_total{dialect="grpc",outcome="allowed"}' in counted, counted[:300])
    equal("the server stops as it should", server.down(), 0)
    over_tls()
    idle_connections()
    box.finish()


main()
