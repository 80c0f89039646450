#!/usr/bin/env python3
"""docs/redis.md lists every command of the table (amalgam/resp/resp_rows.def) and every setting of CONFIG.

BUILDS: release
With --write it writes the two lists into the page; as a test it says whether they are current.
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from box import ROOT, check, finish  # noqa: E402

PAGE = ROOT / "docs/redis.md"
GROUPS = {"STRING": "Strings", "GENERIC": "Keys", "HASH": "Hashes", "PUBSUB": "Publish and subscribe",
          "TRANSACTIONS": "Transactions", "CONNECTION": "Connection", "CLUSTER": "Cluster",
          "SCRIPTING": "Functions", "SERVER": "Server"}


def commands():
    text = (ROOT / "amalgam/resp/resp_rows.def").read_text()
    row = re.compile(r'^ROW\("([^"]+)", (\w+), (-?\d+), [^,]+, [^,]+, [^,]+, [^,]+, RG_(\w+), "([^"]+)", "([^"]*)", "([^"]*)"\)', re.M)
    found = row.findall(text)
    assert len(found) == len(re.findall(r"^ROW\(", text, re.M)), "a row that this script cannot read"
    lines = []
    for group, title in GROUPS.items():
        lines += ["", f"### {title}", "", "| command | what it does |", "|---|---|"]
        for name, run, _, of, _, summary, syntax in found:
            if of == group and run != "cmd_container":
                call = " ".join([name.upper().replace("|", " "), syntax]).strip().replace("|", "\\|")
                lines.append(f"| `{call}` | {summary} |")
    return lines


def settings():
    text = (ROOT / "amalgam/resp/config_table.c").read_text()
    table = text[text.index("config_table_rows[] = {"):text.index("#undef BOOLEAN")]
    live, shown, kept = [], [], []
    part = live
    for line in table.splitlines():
        if "for show:" in line:
            part = shown
        elif "kept and given back" in line:
            part = kept
        match = re.match(r'\s+(?:\w+\(|\{)"([^"]+)"', line)
        if match:
            part.append(match.group(1))
    ticks = lambda names: ", ".join(f"`{n}`" for n in names)
    return ["", f"With an effect: {ticks(live)}.", "", f"Fixed, shown only: {ticks(shown)}.", "",
            f"Kept and given back, without effect: {ticks(kept)}."]


def page(text):
    for name, lines in (("commands", commands()), ("settings", settings())):
        begin, end = f"<!-- {name}: written by tests/box/test_redis_docs.py --write -->", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        text = head + begin + "\n".join(lines) + "\n\n" + end + rest.split(end)[1]
    return text


if "--write" in sys.argv:
    PAGE.write_text(page(PAGE.read_text()))
    sys.exit(0)
old = PAGE.read_text()
check("docs/redis.md lists the commands and settings of the tables", page(old) == old,
      "run tests/box/test_redis_docs.py --write")
finish()
