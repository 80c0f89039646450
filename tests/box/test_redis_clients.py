#!/usr/bin/env python3
"""Real Redis clients against a Postern: redis-cli, redis-benchmark, ioredis, node-redis.

Every client does what it does at start-up and in ordinary use; once without a password and once with.
The Node clients come from tests/box/redis (npm ci).
"""
import re
import shutil
import subprocess
from pathlib import Path

from box import POSTERN, SLOW, TMP, check, equal, finish, free_port, skip, start, wait_port

HERE = Path(__file__).resolve().parent
PASSWORD = "open-sesame-42"


def serve(port, *more):
    process = start([POSTERN, "serve", "--data", str(TMP / f"d{port}"), "--redis", f"127.0.0.1:{port}", "--portal", "off",
                     "--check", "off", "--admin", "off", *more], log=f"redis-{port}.log")
    if not wait_port(port, alive=process):
        check("postern serves the Redis port", False, (TMP / f"redis-{port}.log").read_text()[-300:])
        finish()
    return process


def run(*command, text=None, seconds=120):
    try:
        done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True, timeout=seconds * SLOW)
        return done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        return "TIMEOUT"


def cli(port, *args, text=None):
    return run("redis-cli", "-p", port, *args, text=text).strip()


def redis_cli(port):
    if not shutil.which("redis-cli"):
        return skip("redis-cli", "not installed (package redis-tools)")
    equal("redis-cli PING", cli(port, "ping"), "PONG")
    equal("redis-cli SET and GET", cli(port, text="set a 1\nincr a\nget a\n").split(), ["OK", "2", "2"])
    equal("redis-cli -n", cli(port, "-n", "5", "set", "five", "x"), "OK")
    check("redis-cli -3 shows maps", "proto" in cli(port, "-3", "hello"))
    for i in range(3):
        cli(port, "set", f"key:{i:04}", "v")
    cli(port, "-n", "0", "hset", "small-hash", "f", "v")
    equal("redis-cli --scan", sorted(cli(port, "--scan", "--pattern", "key:*").split()), [f"key:{i:04}" for i in range(3)])
    check("redis-cli --bigkeys", "Biggest hash" in cli(port, "--bigkeys") or "hashs with" in cli(port, "--bigkeys"))
    check("redis-cli --memkeys", "Biggest string" in cli(port, "--memkeys") or "strings with" in cli(port, "--memkeys"))
    pipe = "".join(f"*3\r\n$3\r\nSET\r\n$7\r\np:{i:05}\r\n$1\r\nx\r\n" for i in range(20000))
    answer = cli(port, "--pipe", text=pipe)
    check("redis-cli --pipe loads 20,000 keys", "errors: 0, replies: 20000" in answer, answer)
    hints = run("redis-cli", "-p", port, "command", "docs", "set")
    check("redis-cli COMMAND DOCS", "KEEPTTL" in hints)


def redis_benchmark(port):
    if not shutil.which("redis-benchmark"):
        return skip("redis-benchmark", "not installed (package redis-tools)")
    for depth in (1, 16):
        out = run("redis-benchmark", "-p", port, "-n", "20000", "-c", "20", "-P", depth, "-q", "-t",
                  "ping,set,get,incr,hset,mset")
        rates = re.findall(r"([A-Z_]+)[^:\n]*: ([\d.]+) requests per second", out)
        check(f"redis-benchmark, pipeline {depth}", len(rates) >= 7 and "rror" not in out and all(float(r) > 0 for _, r in rates), out)


def node_clients(port, password=""):
    node = shutil.which("node")
    if not node or not (HERE / "redis/node_modules/ioredis").exists():
        return skip("ioredis and node-redis", "no node, or no node_modules in tests/box/redis (npm ci)")
    out = run(node, HERE / "redis/clients.mjs", port, *([password] if password else []), seconds=600)
    tag = " with a password" if password else ""
    lines = re.findall(r"^(ok|not ok) (.*?)(?: - (.*))?$", out, re.M)
    check(f"Node clients ran{tag}", len(lines) >= 15, out[-400:])
    for good, name, why in lines:
        check(name + tag, good == "ok", why)


def login(port):
    if not shutil.which("redis-cli"):
        return
    check("without a password: NOAUTH", "NOAUTH" in cli(port, "get", "a"))
    check("a wrong password: WRONGPASS", "WRONGPASS" in cli(port, "auth", "wrong"))
    equal("redis-cli -a", cli(port, "-a", PASSWORD, "--no-auth-warning", "ping"), "PONG")
    equal("redis-cli --user --pass", cli(port, "--user", "default", "--pass", PASSWORD, "--no-auth-warning", "ping"), "PONG")


def main():
    port = free_port()
    open_server = serve(port, "--store", "memory")
    redis_cli(port)
    redis_benchmark(port)
    node_clients(port)
    port = free_port()
    serve(port, "--durability", "always", "--redis-password", PASSWORD)
    login(port)
    node_clients(port, PASSWORD)
    equal("the server is still there", open_server.poll(), None)
    finish()


main()
