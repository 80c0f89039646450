"""The server is killed with SIGKILL at random times while Redis clients write; what it acknowledged is there.

What a reply promises (docs/redis.md, store.h), and what is checked after each restart:
  always          a reply means on disk: every acknowledged change is there
  everysec, no    a reply means that the kernel has it, to be synced within a second (no: when the kernel likes): a
                  killed process loses nothing that was acknowledged
  all             each client's changes form an unbroken beginning of what it sent, transactions whole or not at all;
                  an API key, its revocation or an account that a command acknowledged is on disk whatever the mode
Each writer n has a counter n:<n> and 16 slots; change i sets slot i%16 to i and the counter to i, in one EXEC.
Rounds go on with the same directory, so that recoveries stack.
TIMEOUT: 1800
"""
import json
import os
import random
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "box"))
import box  # noqa: E402
from box import check, equal  # noqa: E402

WRITERS, SLOTS, ROUNDS, KEY_ROUNDS = 4, 16, 4, 5
POLICIES = box.ROOT / "etc/demo/policies"


def command(*args):
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in (str(x).encode() for x in args))


class Reader:
    """Replies of a connection, nested ones as lists."""

    def __init__(self, s):
        self.s, self.left = s, b""

    def line(self):
        while b"\r\n" not in self.left:
            piece = self.s.recv(65536)
            if not piece:
                raise OSError("closed")
            self.left += piece
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def one(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            n = int(rest)
            if n < 0:
                return None
            while len(self.left) < n + 2:
                piece = self.s.recv(65536)
                if not piece:
                    raise OSError("closed")
                self.left += piece
            data, self.left = self.left[:n], self.left[n + 2:]
            return data
        if kind == b"*":
            return None if rest == b"-1" else [self.one() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest


class Writer(threading.Thread):
    """Sends changes in small batches and remembers when each was acknowledged."""

    def __init__(self, n, port, start, confirm):
        super().__init__(daemon=True)
        self.n, self.port, self.sent, self.acked = n, port, start, start
        self.confirmed = start  # by WAITAOF
        self.confirm, self.times, self.fault = confirm, [], None
        self.start()

    def run(self):
        try:
            s = socket.create_connection(("127.0.0.1", self.port), timeout=box.WAIT * box.SLOW)
            r = Reader(s)
            while True:
                batch = random.randint(1, 12)
                first = self.sent + 1
                self.sent += batch
                out = b""
                for i in range(first, first + batch):
                    out += (command("MULTI") + command("SET", f"slot:{self.n}:{i % SLOTS}", i)
                            + command("SET", f"n:{self.n}", i) + command("EXEC"))
                ask = self.confirm and random.random() < 0.2
                s.sendall(out + (command("WAITAOF", 1, 0, 0) if ask else b""))
                for i in range(first, first + batch):
                    got = [r.one() for _ in range(4)]
                    if got[3] != [b"OK", b"OK"]:
                        raise RuntimeError(f"EXEC answered {got}")
                    self.acked = i
                    self.times.append((time.monotonic(), i))
                if ask:
                    if r.one()[0] != 1:
                        raise RuntimeError("WAITAOF did not confirm")
                    self.confirmed = first + batch - 1
        except RuntimeError as e:
            self.fault = e
        except OSError:
            pass


def ask(port, *args):
    with socket.create_connection(("127.0.0.1", port), timeout=box.WAIT * box.SLOW) as s:
        s.sendall(command(*args))
        return Reader(s).one()


def look(port, n):
    """What is there of writer n: (counter, fault or None)."""
    counter = int(ask(port, "GET", f"n:{n}") or 0)
    for slot in range(SLOTS):
        wanted = counter - (counter - slot) % SLOTS  # the last change of this slot up to the counter
        got = ask(port, "GET", f"slot:{n}:{slot}")
        if (got is None) != (wanted <= 0) or (got is not None and int(got) != wanted):
            return counter, f"writer {n}: counter {counter}, slot {slot} is {got}, {wanted} was expected"
    return counter, None


def rounds(mode):
    p = box.Postern("--durability", mode, "--check", "off", "--portal", "off")
    at = [0] * WRITERS
    changes = 0
    for number in range(ROUNDS):
        writers = [Writer(n, p.ports["redis"], at[n], mode != "always") for n in range(WRITERS)]
        time.sleep(random.uniform(0.1, 0.5) + (1.2 if mode != "always" and number == 0 else 0))
        box.wait_for(lambda: sum(w.acked for w in writers) > sum(at) + 50)
        p.process.kill()
        p.process.wait()
        for w in writers:
            w.join(box.WAIT * box.SLOW)
        p.up()
        for w in writers:
            counter, fault = look(p.ports["redis"], w.n)
            name = f"{mode}, round {number + 1}, writer {w.n}"
            if fault or w.fault:
                check(f"{name}: an unbroken beginning", False, fault or w.fault)
            if not w.acked <= counter <= w.sent:
                check(f"{name}: nothing promised is lost, nothing is there that was not sent", False,
                      f"acknowledged {w.acked}, sent {w.sent}, there is {counter}")
            changes += counter - at[w.n]
            at[w.n] = counter
        check(f"{mode}, round {number + 1}: killed and recovered, {sum(at)} changes", p.ready())
    check(f"{mode}: the writers did write", changes > 10 * ROUNDS, changes)
    print(f"# {mode}: {changes} changes in {ROUNDS} rounds")
    equal(f"{mode}: after a clean stop everything is there", (p.down(), p.up() and [look(p.ports['redis'], n)[0] for n in range(WRITERS)]),
          (0, at))
    p.down()
    check(f"{mode}: no report in the log", "Sanitizer" not in p.output() and "MUST" not in p.output(), p.output()[-500:])


def allowed(p, key):
    return box.get(p.ports["check"], "/auth/forward", {
        "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "harbour.example.com",
        "X-Forwarded-Uri": "/v1/stations", "X-Forwarded-For": "192.0.2.7", "api-key": key}).status


def keys():
    """API keys and accounts by the command line: the server dies right after the acknowledgement."""
    p = box.Postern("--durability", "no", policies=POLICIES)
    p.user("ann@example.com")
    good, gone = [], []
    for number in range(KEY_ROUNDS):
        key = p.key("ann@example.com", f"key {number}", "gold")
        p.kill()
        p.up()
        good.append(key)
        listed = {k["id"]: k["state"] for k in json.loads(p.cli("key", "list", "--json")[1])}
        check(f"key {number}: listed, allowed and in the store after the kill",
              listed.get(key["id"]) == "active" and allowed(p, key["key"]) == 200 and ask(p.ports["redis"], "GET", key["id"]),
              (listed, allowed(p, key["key"])))
        if number % 2:
            dead = good.pop(0)
            status, _, err = p.cli("key", "revoke", dead["id"])
            p.kill()
            p.up()
            gone.append(dead)
            check(f"key {number}: a revoked one stays revoked after the kill", status == 0 and allowed(p, dead["key"]) == 401
                  and ask(p.ports["redis"], "GET", dead["id"]) is None, err)
    who = p.user("late@example.com")
    p.kill()
    p.up()
    check("an account that was acknowledged is there", who["id"] in p.cli("user", "list", "--json")[1])
    equal("all that live are allowed", {allowed(p, k["key"]) for k in good}, {200})
    equal("all that were revoked are not", {allowed(p, k["key"]) for k in gone}, {401})
    secret = (p.data / "secret.key").read_bytes()
    check("the secret key is whole", len(secret) == 45 and secret.endswith(b"\n"), secret)
    p.down()


def first_start():
    """Killed while it starts for the first time: the next start finds nothing half made."""
    data = box.TMP / "first"
    p = box.Postern("--check", "off", data=data, wait=False)
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08):
        p.process = box.start(p.command, log=p.log.name, env=p.env)
        time.sleep(delay * box.SLOW)
        p.process.send_signal(9)
        p.process.wait()
    p.up()
    check("after eight kills during the first start it starts", p.ready())
    status, out, err = p.cli("user", "create", "ann@example.com", "--json")
    check("and works", status == 0, err)
    p.down()


if __name__ == "__main__":
    seed = int(os.environ.get("TEST_SEED", random.randrange(1 << 30)))
    print(f"# TEST_SEED={seed}")
    random.seed(seed)
    first_start()
    for mode in ("always", "everysec", "no"):
        rounds(mode)
    keys()
    box.finish()
