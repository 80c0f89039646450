"""TLS from outside: openssl and python as clients; peers that are silent or drip. TIMEOUT: 300"""
import os
import socket
import ssl
import subprocess
import threading
import time

from box import SLOW, Postern, check, finish, get, skip, which


def cpu_seconds(pid):
    ns = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            ns += int(f.read().split()[0])
    return ns / 1e9


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def context(ca):
    return ssl.create_default_context(cafile=str(ca))


def https(port, ca, session=None, ctx=None):
    """One request; (first line of the answer, the open socket)."""
    ctx = ctx or context(ca)
    raw = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
    s = ctx.wrap_socket(raw, server_hostname="localhost", session=session)
    s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = b""
    while b"\r\n" not in got:
        more = s.recv(65536)
        if not more:
            break
        got += more
    return got.split(b"\r\n")[0].decode(errors="replace"), s


def closed_by_peer(s, seconds):
    s.settimeout(seconds)
    try:
        while s.recv(4096):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def versions(port, ca):
    openssl = which("openssl")
    if not openssl:
        skip("net_tls/openssl", "openssl is not installed")
        return
    for flag, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        p = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{port}", flag, "-CAfile", str(ca),
                            "-verify_return_error", "-verify_hostname", "localhost", "-brief"],
                           input=b"", capture_output=True, timeout=30 * SLOW)
        said = (p.stdout + p.stderr).decode(errors="replace")
        check(f"net_tls/openssl_{name}", p.returncode == 0 and name in said and "Verification: OK" in said, said)
    p = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1", "-cipher",
                        "DEFAULT@SECLEVEL=0", "-brief"], input=b"", capture_output=True, timeout=30 * SLOW)
    check("net_tls/old_versions_are_refused", p.returncode != 0, (p.stdout + p.stderr).decode(errors="replace"))


def resumption(port, ca):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        ctx = context(ca)
        ctx.minimum_version = ctx.maximum_version = version
        line, first = https(port, ca, ctx=ctx)
        line2, second = https(port, ca, session=first.session, ctx=ctx)
        check(f"net_tls/resumes_{version.name}", second.session_reused and line2.startswith("HTTP/1.1"), line2)
        first.close()
        second.close()


def silent(port, ca, pid):
    peers = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
    begun = time.time()
    before = cpu_seconds(pid)
    line, s = https(port, ca)
    took = time.time() - begun
    s.close()
    check("net_tls/served_among_1000_silent_peers", line.startswith("HTTP/1.1") and took < 2 * SLOW, f"{line} {took}")
    time.sleep(2)
    used = cpu_seconds(pid) - before
    check("net_tls/silent_peers_use_no_cpu", used < 0.3 * SLOW, f"{used:.2f} s of CPU in 2 s")
    check("net_tls/silent_peers_are_closed", all(closed_by_peer(p, 20) for p in peers))
    took = time.time() - begun
    check("net_tls/by_the_deadline", 8 < took < 16 + SLOW, f"{took:.1f} s, not 10")
    for p in peers:
        p.close()


def dripping(port):
    hello = bytes([0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]) + bytes(600)
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    begun = time.time()
    sent = 0
    try:
        while time.time() - begun < 25:
            s.sendall(hello[sent:sent + 1])
            sent += 1
            time.sleep(0.2)
            s.setblocking(False)
            try:
                if s.recv(100) == b"":
                    break
            except BlockingIOError:
                pass
            s.setblocking(True)
    except OSError:
        pass
    took = time.time() - begun
    check("net_tls/a_dripping_handshake_is_closed", 8 < took < 16, f"{took:.1f} s, not 10")
    s.close()


def storm(port, ca, other_port):
    """Handshakes cost a millisecond or two each: they must not starve the other doors."""
    stop_at = time.time() + 3
    failures = []

    def shake():
        while time.time() < stop_at:
            try:
                https(port, ca)[1].close()
            except OSError as e:
                failures.append(e)

    threads = [threading.Thread(target=shake) for _ in range(4)]
    for t in threads:
        t.start()
    waits = []
    while time.time() < stop_at:
        t0 = time.time()
        get(other_port, "/healthz")
        waits.append(time.time() - t0)
        time.sleep(0.01)
    for t in threads:
        t.join()
    waits.sort()
    check("net_tls/handshakes_do_not_fail_under_load", not failures, failures[:3])
    check("net_tls/handshakes_leave_room_for_others", waits[len(waits) // 2] < 0.1 * SLOW, f"median {waits[len(waits) // 2]:.3f} s")


def idle(port, ca, pid):
    before = rss_kib(pid)
    ctx = context(ca)
    peers = [https(port, ca, ctx=ctx)[1] for _ in range(200)]
    each = (rss_kib(pid) - before) / len(peers)
    if SLOW == 1:
        check("net_tls/idle_connections_are_modest", each < 100, f"{each:.0f} KiB each")
    begun = cpu_seconds(pid)
    time.sleep(1)
    check("net_tls/idle_connections_use_no_cpu", cpu_seconds(pid) - begun < 0.1 * SLOW)
    for p in peers:
        p.close()


if __name__ == "__main__":
    server = Postern()
    portal, ca, pid = server.ports["portal"], server.data / "tls/ca.crt", server.process.pid
    versions(portal, ca)
    resumption(portal, ca)
    silent(portal, ca, pid)
    dripping(portal)
    storm(portal, ca, server.ports["admin"])
    idle(portal, ca, pid)
    check("net_tls/stops_in_time", server.down() == 0)
    finish()
