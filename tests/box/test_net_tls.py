"""TLS from outside: openssl and python as clients; peers that are silent or drip. TIMEOUT: 1200"""
import socket
import ssl
import subprocess
import threading
import time

from box import SLOW, WAIT, Postern, check, cpu_seconds, finish, get, rests, skip, which


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def context(ca):
    return ssl.create_default_context(cafile=str(ca))


def https(port, ca, session=None, ctx=None):
    """One request; (first line of the answer, the open socket)."""
    ctx = ctx or context(ca)
    raw = socket.create_connection(("127.0.0.1", port), timeout=WAIT * SLOW)
    s = ctx.wrap_socket(raw, server_hostname="localhost", session=session)
    s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = b""
    while b"\r\n" not in got:
        more = s.recv(65536)
        if not more:
            break
        got += more
    return got.split(b"\r\n")[0].decode(errors="replace"), s


def closed_by_peer(s, seconds=WAIT * SLOW):
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
                           input=b"", capture_output=True, timeout=WAIT * SLOW)
        said = (p.stdout + p.stderr).decode(errors="replace")
        check(f"net_tls/openssl_{name}", p.returncode == 0 and name in said and "Verification: OK" in said, said)
    p = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1", "-cipher",
                        "DEFAULT@SECLEVEL=0", "-brief"], input=b"", capture_output=True, timeout=WAIT * SLOW)
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
    begun, before = time.time(), cpu_seconds(pid)
    peers = [socket.create_connection(("127.0.0.1", port), timeout=WAIT * SLOW) for _ in range(1000)]
    line, s = https(port, ca)
    s.close()
    check("net_tls/served_among_1000_silent_peers", line.startswith("HTTP/1.1"), line)
    check("net_tls/silent_peers_are_closed", all(closed_by_peer(p) for p in peers))
    took, used = time.time() - begun, cpu_seconds(pid) - before
    check("net_tls/not_before_the_deadline", took > 8, f"{took:.1f} s, not 10")
    # All of it costs a tenth of a second, five times that with sanitizers; a loop that spins has ten seconds.
    check("net_tls/silent_peers_use_no_cpu", used < 2.5, f"{used:.2f} s of CPU in {took:.1f} s")
    for p in peers:
        p.close()


def dripping(port):
    hello = bytes([0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]) + bytes(600)
    begun = time.time()
    s = socket.create_connection(("127.0.0.1", port), timeout=WAIT * SLOW)
    sent, closed = 0, False
    try:
        while time.time() - begun < WAIT * SLOW and not closed:
            s.sendall(hello[sent:sent + 1])
            sent += 1
            time.sleep(0.2)
            s.setblocking(False)
            try:
                closed = s.recv(100) == b""
            except BlockingIOError:
                pass
            s.setblocking(True)
    except OSError:
        closed = True
    took = time.time() - begun
    check("net_tls/a_dripping_handshake_is_closed", closed and took > 8, f"{took:.1f} s, not 10")
    s.close()


def storm(port, ca, other_port):
    """Handshakes cost a millisecond or two each: they must not starve the other doors."""
    stop_at = time.time() + 3
    failures, done = [], []

    def shake():
        while time.time() < stop_at:
            try:
                https(port, ca)[1].close()
                done.append(1)
            except OSError as e:
                failures.append(e)

    threads = [threading.Thread(target=shake) for _ in range(4)]
    for t in threads:
        t.start()
    waits = []  # in handshakes that came first
    while time.time() < stop_at or len(waits) < 10:
        before = len(done)
        get(other_port, "/healthz")
        waits.append(len(done) - before)
        time.sleep(0.01)
    for t in threads:
        t.join()
    waits.sort()
    check("net_tls/handshakes_do_not_fail_under_load", not failures, failures[:3])
    median = waits[len(waits) // 2]
    check("net_tls/handshakes_leave_room_for_others", median < 40, f"a median of {median} handshakes before an answer")


def idle(port, ca, pid):
    before = rss_kib(pid)
    ctx = context(ca)
    peers = [https(port, ca, ctx=ctx)[1] for _ in range(200)]
    each = (rss_kib(pid) - before) / len(peers)
    if SLOW == 1:
        check("net_tls/idle_connections_are_modest", each < 100, f"{each:.0f} KiB each")
    check("net_tls/idle_connections_use_no_cpu", rests(pid))
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
