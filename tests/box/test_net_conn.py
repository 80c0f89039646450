"""Sockets of the real server: taken ports, old socket files, many idle clients, no descriptors left.
TIMEOUT: 1200"""
import os
import socket
import time

from box import SLOW, WAIT, Postern, check, equal, finish, get, rests, wait_for
from test_net_tls import rss_kib

HEAD = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"


def ask(s):
    """One request on a keep-alive connection; the status line."""
    s.sendall(HEAD)
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(65536)
        if not more:
            break
        got += more
    return got.split(b"\r\n")[0].decode(errors="replace")


def taken_port(server):
    port = server.ports["check"]
    second = Postern(wait=False)
    second.command = ["" if a is None else a.replace(f":{second.ports['check']}", f":{port}") for a in second.command]
    try:
        second.up()
        check("net_conn/a_taken_port_is_refused", False, "the second server started")
        second.down()
    except RuntimeError as e:
        check("net_conn/a_taken_port_is_refused", second.process.wait() != 0 and f"127.0.0.1:{port}" in str(e), e)
    equal("net_conn/the_first_still_serves", get(server.ports["admin"], "/healthz").status, 200)


def unix_socket():
    server = Postern(wait=False)
    path = server.data / "c.sock"
    server.command[server.command.index("--check") + 1] = f"unix:{path}"
    server.up()

    def dial():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(WAIT * SLOW)
        s.connect(str(path))
        return s

    with dial() as s:
        check("net_conn/unix_socket_serves", ask(s).startswith("HTTP/1.1 "))
    equal("net_conn/unix_socket_mode", oct(os.stat(path).st_mode & 0o777), "0o600")
    server.kill()
    check("net_conn/a_killed_server_leaves_its_socket", path.exists())
    server.up()
    with dial() as s:
        check("net_conn/the_old_socket_is_replaced", ask(s).startswith("HTTP/1.1 "))
    server.down()
    check("net_conn/and_removed_at_the_end", not path.exists())


def idle_clients(server):
    pid, n = server.process.pid, 2000
    with socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=WAIT * SLOW) as s:
        ask(s)
    before = rss_kib(pid)
    peers = [socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=WAIT * SLOW) for _ in range(n)]
    answers = {ask(p)[:9] for p in peers}
    equal("net_conn/2000_clients_are_answered", answers, {"HTTP/1.1 "})
    each = (rss_kib(pid) - before) * 1024 / n
    if SLOW == 1:
        check("net_conn/idle_clients_are_small", each < 4096, f"{each:.0f} bytes each")
    check("net_conn/idle_clients_use_no_cpu", rests(pid))
    for p in peers:
        p.close()


def no_descriptors():
    server = Postern(wait=False)
    server.command = ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh", *server.command]
    server.up()
    begun = time.time()
    peers = [socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=WAIT * SLOW) for _ in range(300)]
    check("net_conn/running_out_is_logged", wait_for(lambda: "net.accept_failed" in server.output()), server.output()[-300:])
    check("net_conn/running_out_does_not_spin", rests(server.process.pid))
    lines, took = server.output().count("net.accept_failed"), time.time() - begun
    check("net_conn/and_is_logged_once_a_second", lines < 10 + 4 * took, f"{lines} lines in {took:.1f} s")
    for p in peers:
        p.close()

    def serves():
        try:
            with socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=WAIT * SLOW) as s:
                return ask(s).startswith("HTTP/1.1 ")
        except OSError:
            return False

    check("net_conn/serves_again_afterwards", wait_for(serves))
    equal("net_conn/and_stops_properly", server.down(), 0)


def half_closed(server):
    with socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=WAIT * SLOW) as s:
        s.sendall(HEAD)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while more := s.recv(65536):
            got += more
    check("net_conn/a_half_closed_client_gets_its_answer", got.startswith(b"HTTP/1.1 "), got[:80])


if __name__ == "__main__":
    main = Postern()
    taken_port(main)
    half_closed(main)
    idle_clients(main)
    equal("net_conn/stops_properly", main.down(), 0)
    unix_socket()
    no_descriptors()
    finish()
