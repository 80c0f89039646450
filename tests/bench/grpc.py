"""Checks by gRPC against checks by HTTP/1.1: the same question, one server, one load generator, taking turns.

    tests/bench/run grpc
    tests/bench/run idle    ten thousand idle connections, by gRPC too

h2load (Debian: nghttp2-client) asks both ways. HTTP/1.1: so many connections, one request at a time on each. gRPC: as many
calls at once, on four connections (as gateways do) and, without a target, on a connection each: then every call pays for
HTTP/2's frames and tables alone and shares no system call.
"""
import re
import statistics
import subprocess

import box
import h2
import policy


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def check_request(key):
    """What Envoy says of a small request."""
    headers = {":authority": "api.example.com", ":path": "/v1/stations", ":method": "GET", ":scheme": "https",
               "user-agent": "bench/1", "accept": "*/*", "x-forwarded-proto": "https",
               "x-request-id": "2f4b1a8e-3f1a-4b53-9a3b-7a9f0c1d2e3f", "api-key": key}
    http = field(1, "7263") + field(2, "GET") + b"".join(field(3, field(1, k) + field(2, v)) for k, v in headers.items())
    http += field(4, "/v1/stations") + field(5, "api.example.com") + field(6, "https") + field(10, "HTTP/1.1")
    peer = field(1, field(1, field(2, "192.0.2.7") + varint(3 << 3) + varint(4711)))
    return field(1, field(1, peer) + field(2, peer) + field(4, field(2, http)))


def h2load(bench, port, path, options):
    out = subprocess.run(["h2load", "-t1", f"-D{bench.SECONDS}", *options, f"http://127.0.0.1:{port}{path}"],
                         capture_output=True, text=True).stdout
    rate = float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", out).group(1))
    done, good = (int(re.search(p, out).group(1)) for p in (r"(\d+) done", r"status codes: (\d+) 2xx"))
    return rate, done, done - good


def allows(server, body):
    """One call by hand: gRPC answers 200 whatever it says, so it is looked at once."""
    before = box.get(server.ports["admin"], "/metrics").body
    h2 = ["-n1", "-c1", "-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    subprocess.run(["h2load", *h2, f"http://127.0.0.1:{server.ports['check']}/envoy.service.auth.v3.Authorization/Check"],
                   capture_output=True)
    row = 'dialect="grpc",outcome="allowed"} '
    return box.get(server.ports["admin"], "/metrics").body.count(row + "1\n") == before.count(row + "0\n") == 1


def grpc(bench):
    if not box.which("h2load"):
        bench.say("gRPC: left out, h2load is not installed (nghttp2-client)")
        return
    bench.say("\nChecks per second by gRPC and by HTTP/1.1: valid key, one plan limit, two identity headers; one worker")
    server, key = policy.serve(bench.policies())
    message = check_request(key)
    body = box.TMP / "check-request"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    if not allows(server, body):
        bench.say("  the call is not allowed: no measurement")
        bench.results.append(("gRPC", 0, 0.7, False, "x"))
        return
    h1 = ["--h1"] + [x for k, v in policy.headers(key).items() for x in ("-H", f"{k}: {v}")]
    h2 = ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    for calls in (32, 256):
        contenders = {"HTTP/1.1": ("/auth/forward", [f"-c{calls}", *h1])}
        for connections in (calls, 4):
            contenders[f"gRPC on {connections}"] = ("/envoy.service.auth.v3.Authorization/Check",
                                                    [f"-c{connections}", f"-m{calls // connections}", *h2])

        def measure(it):
            before = bench.cpu_seconds(server.process.pid)
            rate, done, bad = h2load(bench, server.ports["check"], *it)
            return rate, (bench.cpu_seconds(server.process.pid) - before) * 1e6 / done, bad

        samples = bench.interleave(contenders, measure)
        rates = {name: statistics.median(r[0] for r in rows) for name, rows in samples.items()}
        for name, rows in samples.items():
            bench.say(f"  {calls:>3} at once  {name:12} {rates[name]:>9.0f}/s   cpu {statistics.median(r[1] for r in rows):5.2f} us"
                      f"   bad answers {sum(r[2] for r in rows)}")
        worst, usual = (rates[name] / rates["HTTP/1.1"] for name in list(contenders)[1:])
        bench.say(f"  a connection for each call, against HTTP/1.1: {worst:.2f}")
        bench.target(f"gRPC on 4 connections, {calls} calls at once, against HTTP/1.1", usual, 0.7)
    server.down()


# What gateways send with each call besides; some of it changes from call to call and fills the tables.
HEADERS = [("user-agent", "gateway/1"), ("grpc-timeout", "200m"), ("x-envoy-internal", "true"), ("x-forwarded-for", "10.0.0.1"),
           ("x-envoy-expected-rq-timeout-ms", "200")]


def idle(bench):
    count = 10000
    bench.say(f"\n{count} idle HTTP/2 connections, each has made a call")
    server, key = policy.serve(bench.policies(), "--set", f"check.connections_max={count + 1000}", "--set", "check.idle_timeout=10m")
    message, held = check_request(key), []
    before = bench.rss_kib(server.process.pid)
    for _ in range(count):
        held.append(h2.Client(server.ports["check"], 60, "/envoy.service.auth.v3.Authorization/Check", message, HEADERS))
    answered = sum(c.answer() is not None for c in held)
    grown = (bench.rss_kib(server.process.pid) - before) * 1024
    bench.say(f"  answered {answered} of {count}; {grown / count:.0f} bytes each")
    bench.target("10,000 idle HTTP/2 connections", grown / 1e6, 100, "MB")
    for c in held:
        c.close()
    server.down()
