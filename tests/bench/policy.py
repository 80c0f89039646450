"""Policies under load: a Lua step, ten thousand routes, ten thousand idle gateways, reloads every second.

    tests/bench/run lua routes idle reload

Load by wrk; for `reload` by h2load (Debian: nghttp2-client), which keeps a rate. Each is left out with a
word when its load generator is not installed.
"""
import socket
import statistics
import subprocess
import threading
import time

import box

ROUTE = """apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {{name: r{n}, namespace: bench}}
spec:
  hosts: [h{n}.example.com]
  http:
    - {{name: r{n}, labels: {{k: 'l{n}'}}, matchers: [{{uri: {{prefix: /v1}}}}]}}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: a{n}, namespace: bench}}
spec:
  applyToRoutes: [{{route: {{labels: {{k: 'l{n}'}}}}}}]
  config: {{glooAuth: {{configs: [{{apiKeyAuth: {{headerName: api-key, headersFromMetadataEntry: {{X-User-ID: {{name: username}}}}}}}}]}}}}
---
"""
LUA = """        - luaAuth:
            headers: [X-Tier]
            inline: |
              return function(req, config)
                local who = req.identity.user
                local domain = who:match('@(.+)$')
                if domain ~= 'example.com' then
                  return {allow = false, status = 403}
                end
                local tier = req.identity.plan == 'gold' and 'first' or 'second'
                return {allow = true, headers = {['X-Tier'] = tier}}
              end
"""


def headers(key, host="api.example.com"):
    return {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/v1/stations", "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": host, "X-Forwarded-For": "192.0.2.7", "api-key": key}


def serve(folder, *args):
    server = box.Postern("--threads", 1, *args, policies=folder)
    server.user("ann@example.com")
    return server, server.key("ann@example.com", "bench", "gold")["key"]


def good(say, server, h):
    first = box.get(server.ports["check"], "/auth/forward", h)
    if first.status != 200:
        say(f"  the check answers {first.status} {first.header('x-postern-reason')}: no measurement")
    return first.status == 200


def cpu_per_request(run, server, h, connections=32):
    before = run.cpu_seconds(server.process.pid)
    rate, total, p99, _ = run.wrk(server.ports["check"], "/auth/forward", h, connections)
    return (run.cpu_seconds(server.process.pid) - before) * 1e6 / total, rate, p99


def lua(run):
    run.say("\nTen lines of Lua after the API key and the limit, against the same without (processor time per check)")
    contenders = {}
    for name in ("without", "with"):
        folder = box.TMP / f"bench-lua-{name}"
        folder.mkdir()
        for file, text in run.POLICIES.items():
            (folder / file).write_text(text + (LUA if name == "with" and file == "keys.yaml" else ""))
        server, key = serve(folder)
        if not good(run.say, server, headers(key)):
            return
        contenders[name] = (server, headers(key))
    samples = run.interleave(contenders, lambda it: cpu_per_request(run, *it))
    cost = {n: statistics.median(r[0] for r in rows) for n, rows in samples.items()}
    run.say(f"  without {cost['without']:.2f} us, with {cost['with']:.2f} us")
    run.target("Lua policy of ten lines, more per check", cost["with"] - cost["without"], 3, "us")
    for server, _ in contenders.values():
        server.down()


def routes(run):
    run.say("\n10,000 routes with an ext-auth policy each, against ten (processor time per check)")
    contenders = {}
    for count in (10, 10000):
        folder = box.TMP / f"bench-routes-{count}"
        folder.mkdir()
        for part in range(0, count, 500):
            (folder / f"{part}.yaml").write_text("".join(ROUTE.format(n=n) for n in range(part, min(count, part + 500))))
        begin = time.perf_counter()
        server, key = serve(folder)
        run.say(f"  {count} routes: ready and key made after {time.perf_counter() - begin:.1f} s")
        h = headers(key, f"h{count * 7 // 10}.example.com")
        if not good(run.say, server, h):
            return
        contenders[count] = (server, h)
    samples = run.interleave(contenders, lambda it: cpu_per_request(run, *it))
    cost = {n: statistics.median(r[0] for r in rows) for n, rows in samples.items()}
    run.say(f"  ten: {cost[10]:.2f} us, ten thousand: {cost[10000]:.2f} us")
    run.target("10,000 routes and policies against 10", cost[10000] / cost[10], 1.2, "times")
    for server, _ in contenders.values():
        server.down()


def idle(run):
    count = 10000
    run.say(f"\n{count} idle keep-alive gateway connections")
    server, key = serve(run.policies(), "--set", f"check.connections_max={count + 1000}", "--set", "check.idle_timeout=10m")
    h = headers(key)
    if not good(run.say, server, h):
        return
    alone = [cpu_per_request(run, server, h)[1] for _ in range(run.ROUNDS)]
    before = run.rss_kib(server.process.pid)
    text = "GET /auth/forward HTTP/1.1\r\nHost: p\r\n" + "".join(f"{n}: {v}\r\n" for n, v in h.items()) + "\r\n"
    held = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", server.ports["check"]), timeout=20)
        s.sendall(text.encode())
        held.append(s)
    answered = sum(s.recv(2048).startswith(b"HTTP/1.1 200") for s in held)
    grown = (run.rss_kib(server.process.pid) - before) / 1000
    beside = [cpu_per_request(run, server, h)[1] for _ in range(run.ROUNDS)]
    for s in held:
        s.sendall(text.encode())
    again = sum(s.recv(2048).startswith(b"HTTP/1.1 200") for s in held)
    run.say(f"  answered {answered}, after the load {again} of {count}; {grown:.1f} MB more")
    run.target("10,000 idle connections", grown, 100, "MB")
    run.target("throughput beside them", statistics.median(beside) / statistics.median(alone), 0.95)
    for s in held:
        s.close()
    server.down()


def latencies(port, h, rate, seconds, log):
    """p99.9 in us of an open load at `rate`, by h2load over HTTP/1.1."""
    log.unlink(missing_ok=True)
    clients = 32
    command = ["h2load", "--h1", "-c", str(clients), "-t", "1", "-D", str(seconds), "--rps", str(max(1, rate // clients)),
               f"--log-file={log}"]
    for n, v in h.items():
        command += ["-H", f"{n}: {v}"]
    subprocess.run(command + [f"http://127.0.0.1:{port}/auth/forward"], capture_output=True, check=True)
    took = sorted(int(line.split()[2]) for line in log.read_text().splitlines() if line.split()[1] == "200")
    return took[int(len(took) * 0.999)] if took else float("inf"), len(took)


def reload(run):
    if not box.which("h2load"):
        run.say("reload: left out, h2load (nghttp2-client) is not installed")
        return
    run.say("\np99.9 at half of the peak while 1,000 policies are loaded anew every second, against none")
    folder = box.TMP / "bench-reload"
    folder.mkdir()
    (folder / "1.yaml").write_text("".join(ROUTE.format(n=n) for n in range(1000)))
    server, key = serve(folder)
    h = headers(key, "h500.example.com")
    if not good(run.say, server, h):
        return
    rate = int(cpu_per_request(run, server, h)[1] / 2)
    found = {"quiet": [], "reloading": []}
    for _ in range(run.ROUNDS):
        for name in found:
            stop = threading.Event()

            def touch():
                n = 0
                while not stop.wait(1):
                    n += 1
                    (folder / "1.yaml").write_text("".join(ROUTE.format(n=n) for n in range(1000)) + f"# {n}\n")
                    server.process.send_signal(1)

            worker = threading.Thread(target=touch)
            if name == "reloading":
                worker.start()
            found[name].append(latencies(server.ports["check"], h, rate, max(5, run.SECONDS), box.TMP / "h2load.log")[0])
            stop.set()
            if name == "reloading":
                worker.join()
    quiet, busy = (statistics.median(found[n]) for n in ("quiet", "reloading"))
    run.say(f"  at {rate}/s: p99.9 {quiet} us quiet, {busy} us with a reload a second")
    run.target("p99.9 with reloads against without", busy / quiet, 5, "times")
    server.down()
