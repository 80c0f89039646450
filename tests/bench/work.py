"""What a request costs before any clock: instructions in user mode and system calls, counted.

    tests/bench/run work        needs valgrind and strace; leaves itself out without them

Counts do not depend on what else the machine does. Each figure is the difference of two runs (a short
and a long one) divided by the difference of their requests, so that start-up falls out.
"""
import re
import shutil
import subprocess
import time

import box

SHORT, LONG = 10000, 40000


def servers(folder):
    """name -> (command, port): both with one thread for requests, nothing on disk."""
    ours, theirs = box.free_port(), box.free_port()
    data = folder / "data"
    return {
        "postern": ([str(box.POSTERN), "serve", "--data", str(data), "--store", "memory", "--portal", "off", "--check", "off",
                     "--admin", "off", "--redis", f"127.0.0.1:{ours}", "--threads", "1"], ours),
        "redis": (["redis-server", "--port", str(theirs), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--dir", str(folder)], theirs),
    }


def load(port, test, count):
    subprocess.run(["redis-benchmark", "-p", str(port), "-t", test, "-c", "50", "-n", str(count), "-d", "32", "-r", "1000", "-q"],
                   capture_output=True, check=True)


def run(tracer, server, test, count):
    """The server under a tracer, loaded and ended; the tracer has written its file then."""
    command, port = server
    process = box.start(tracer + command, log="bench-work.log")
    box.wait_port(port, 120)
    load(port, test, count)
    subprocess.run(["redis-cli", "-p", str(port), "shutdown", "nosave"], capture_output=True)
    deadline = time.time() + 60
    while process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    box.stop(process)


def instructions(folder, server, test, count):
    out = folder / "callgrind.out"
    run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"], server, test, count)
    return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1))


def calls(folder, server, test, count):
    out = folder / "strace.out"
    run(["strace", "-f", "-c", "-o", str(out)], server, test, count)
    found = {}
    for line in out.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
            found[words[-1]] = int(words[3])
    return found


def report(say):
    if not shutil.which("valgrind") or not shutil.which("strace") or not shutil.which("redis-server"):
        say("work: left out, valgrind, strace or redis-server is not installed")
        return
    say("\nWork per request, pipeline 1, 50 connections, one thread each: counted, not timed")
    for test in ("get", "set"):
        for name in ("postern", "redis"):
            folder = box.TMP / f"work-{name}-{test}"
            folder.mkdir(exist_ok=True)
            spent = [instructions(folder, servers(folder)[name], test, n) for n in (SHORT, LONG)]
            made = [calls(folder, servers(folder)[name], test, n) for n in (SHORT, LONG)]
            per = {c: (made[1].get(c, 0) - made[0].get(c, 0)) / (LONG - SHORT) for c in made[1]}
            top = "  ".join(f"{c} {n:.2f}" for c, n in sorted(per.items(), key=lambda x: -x[1]) if n >= 0.01)
            say(f"  {test.upper():4} {name:8} {(spent[1] - spent[0]) / (LONG - SHORT):6.0f} instructions in user mode; {top}")
