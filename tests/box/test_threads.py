"""The running whole under threads: every door at once, and every answer looked at.

About fifteen seconds of everything (load.py), then SIGTERM. The thread sanitizer's binary must not report
a race, the ASan one nothing at all, leaks at the end included.

BUILDS: release dev tsan
TIMEOUT: 1800
"""
import os
import shutil
import time

import box
from box import check, equal
from browser import owner
from load import LIMIT, POLICY, Load, Redis

BUILD = os.environ.get("POSTERN_BUILD", "release")
SECONDS = float(os.environ.get("LOAD_SECONDS", "15"))
REPORTS = box.TMP / "reports"


def environment():
    """Reports go to files of ours: they are judged here, and shown."""
    REPORTS.mkdir(exist_ok=True)
    quiet = box.ROOT / "tests/box/tsan.supp"
    return dict(os.environ,
                # wrong keys come in thousands from one address: counted by all threads, and none is to wait
                POSTERN_THROTTLE_ADDRESS_FAILURES="100000", POSTERN_THROTTLE_WINDOW="1s",
                POSTERN_DECISIONS_FILE=str(box.TMP / "decisions.jsonl"), POSTERN_DECISIONS_FILE_MAX="1mb",
                TSAN_OPTIONS=f"log_path={REPORTS}/tsan:halt_on_error=0:second_deadlock_stack=1:history_size=4:"
                             f"suppressions={quiet}",
                ASAN_OPTIONS=f"log_path={REPORTS}/asan:detect_leaks=1:abort_on_error=0:strict_string_checks=1",
                UBSAN_OPTIONS=f"log_path={REPORTS}/ubsan:print_stacktrace=1:halt_on_error=1")


def no_reports(name):
    texts = [f.read_text(errors="replace") for f in sorted(REPORTS.iterdir())]
    for text in texts:
        print("\n".join("  | " + line for line in text.splitlines()[:400]), flush=True)
    check(f"{name}: no report of a sanitizer", not texts, f"{len(texts)} processes reported, see the log")
    shutil.rmtree(REPORTS)


def policies():
    folder = box.TMP / "policies"
    shutil.copytree(box.ROOT / "etc/demo/policies", folder)
    plans = folder / "plans.yaml"
    plans.write_text(plans.read_text().replace("requestsPerUnit: 600", "requestsPerUnit: 4000000"))
    (folder / "load.yaml").write_text(POLICY)
    return folder


def test_everything():
    folder = policies()
    p = box.Postern("--threads", "4", "--durability", "always", policies=folder, env=environment())
    boss = owner(p)
    p.user("ann@example.com")
    load = Load(p, folder, p.key("ann@example.com", "load", "gold")["key"], boss)
    at = time.time()
    load.start((load.pipelines, 4), (load.plain, 1), (load.watchers, 3), (load.publisher, 2), (load.monitors, 1),
               (load.settings, 2), (load.store_work, 1), (load.killed, 1), (load.checks, 4), (load.portal_keys, 1),
               (load.cli_keys, 1), (load.portal_pages, 1), (load.operators, 1), (load.reloads, 1), (load.drops, 1),
               (load.benchmark, 1))
    time.sleep(SECONDS)
    load.stop()
    print(f"{time.time() - at:.0f} s:", ", ".join(f"{n} {what}" for what, n in sorted(load.counts.items())), flush=True)
    check("no reply is lost or wrong", not load.faults, (len(load.faults), load.faults[:5]))
    quiet = [w for w in ("batches", "bulk", "sum", "messages", "monitors", "settings", "reloads of the store", "kills",
                         "checks", "portal keys", "CLI keys", "portal rounds", "operator rounds", "policy files",
                         "dropped connections")
             if load.counts.get(w, 0) == 0]
    check("every part has had its turn", not quiet, quiet)
    r = Redis(p.ports["redis"])
    equal("no addition of a transaction is lost", int(r.ask("GET", "sum")), load.counts["sum"])
    check("a limit of all threads together lets through what it says", load.passed == min(LIMIT, load.counts["checks"] // 4),
          (load.passed, load.counts["checks"]))
    equal("what was acknowledged is there", load.missing(), [])
    check("no client is left behind", box.wait_for(lambda: len(r.ask("CLIENT", "LIST").splitlines()) == 1))
    r.close()
    equal("SIGTERM ends it with status 0", p.down(), 0)
    p.up()
    equal("after a restart it is there again", load.missing(), [])
    equal("the second end is clean, too", p.down(), 0)
    no_reports("a clean run")


def test_paused_and_held():
    """A client whose reply waits for the disk is paused besides: it and its neighbours are served afterwards."""
    p = box.Postern("--threads", "1", "--durability", "always", policies=box.TMP / "policies", env=environment())
    clients = [Redis(p.ports["redis"]) for _ in range(4)]
    got = []
    try:
        for turn in range(20):
            for i, c in enumerate(clients):
                c.send(("SET", f"a{i}", turn), ("CLIENT", "PAUSE", "30", "WRITE"), ("SET", f"b{i}", turn), ("GET", f"a{i}"))
            got += [[c.read() for _ in range(4)] for c in clients]
    except OSError as e:
        got.append(repr(e))
    equal("paused and held at once", got, [[b"OK", b"OK", b"OK", b"%d" % turn] for turn in range(20) for _ in clients])
    r = Redis(p.ports["redis"])
    equal("a change of the durability answers", [r.ask("CONFIG", "SET", "appendfsync", m) for m in ("no", "always", "everysec")],
          [b"OK"] * 3)
    r.send(("MULTI",), ("SET", "x", "1"), ("CONFIG", "SET", "maxmemory", "1gb"), ("CONFIG", "SET", "appendfsync", "always"),
           ("CONFIG", "RESETSTAT"), ("SET", "y", "2"), ("EXEC",))
    equal("settings inside a transaction", [r.read() for _ in range(7)][-1], [b"OK"] * 5)
    equal("and the end is clean", p.down(), 0)
    no_reports("paused and held")


def test_end_under_load():
    """SIGTERM in the middle: it ends, nothing acknowledged is lost, no OK for what is not on disk."""
    for mode in ("always", "everysec"):
        folder = box.TMP / "policies"
        p = box.Postern("--threads", "4", "--durability", mode, policies=folder, env=environment())
        boss = owner(p)
        load = Load(p, folder, p.key("olga@example.com", "load", "gold")["key"], boss, mode_changes=False)
        load.start((load.pipelines, 4), (load.plain, 2), (load.watchers, 2), (load.publisher, 1), (load.monitors, 1),
                   (load.checks, 2), (load.drops, 1), (load.deaf, 1))
        time.sleep(3)
        load.ending = True
        at = time.time()
        status = p.down()
        took = time.time() - at
        load.stop()
        equal(f"{mode}: SIGTERM under load ends with status 0", status, 0)
        print(f"{mode}: {took:.1f} s", flush=True)
        check(f"{mode}: no reply was wrong", not load.faults, (len(load.faults), load.faults[:5]))
        p.up()
        equal(f"{mode}: everything acknowledged is on disk", load.missing(), [])
        r = Redis(p.ports["redis"])
        total = int(r.ask("GET", "sum") or 0)
        check(f"{mode}: so are transactions", load.counts["sum"] <= total <= load.counts["sum"] + 2, (total, load.counts["sum"]))
        r.close()
        equal(f"{mode}: the end after it is clean", p.down(), 0)
        no_reports(mode)


if __name__ == "__main__":
    test_everything()
    test_paused_and_held()
    test_end_under_load()
    box.finish()
