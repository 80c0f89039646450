"""What the manual tells people to type is typed: every command of Postern, curl and redis-cli in README.md and
docs/*.md runs, and every policy and settings file in them loads.

Placeholders are filled in by the table below; addresses become this test's own. A command that is not
known to the table fails, so that a new one is thought about.
"""
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import box
from box import check, equal

PAGES = sorted((box.ROOT / "docs").glob("*.md")) + [box.ROOT / n for n in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PORTS = {"8083": "check", "6379": "redis", "8443": "portal", "9091": "admin"}
PROGRAMS = ("postern", "build/postern", "curl", "redis-cli", "echo")
# How a command may end, when it is not 0; "until stopped" runs until it is stopped.
ENDS = {
    ("eval.md", "postern eval"): {0, 1},
    ("redis.md", "redis-cli -p 6379 monitor"): "until stopped",
    ("getting-started.md", "postern serve"): "until stopped",
    ("README.md", "build/postern serve"): "until stopped",
    ("README.md", "build/postern demo"): "until stopped",
}
FOREIGN = re.compile(r"^http:\n +middlewares:|^- name: envoy\.", re.M)  # other programs' YAML
ENV = {k: v for k, v in os.environ.items() if not k.startswith("POSTERN")}


def blocks(page):
    """(language, text, line) of every fenced block."""
    text = page.read_text()
    for m in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield m[1], m[2], text.count("\n", 0, m.start()) + 2


def commands(page):
    """Commands of Postern and its clients, continuation lines joined; the block behind one is its output."""
    found = list(blocks(page))
    for i, (language, text, line) in enumerate(found):
        if language not in ("", "sh"):
            continue
        joined = re.sub(r"(\\|\|)\n\s*", lambda m: "" if m[1] == "\\" else "| ", text)
        for one in joined.splitlines():
            one = re.sub(r"\s+#.*$", "", one).strip()
            if one.split(" ")[0] in PROGRAMS:
                shown = found[i + 1][1] if i + 1 < len(found) and found[i + 1][0] == "" and len(joined.splitlines()) == 1 else None
                yield one, line, shown


class Place:
    """A directory to work in, with `postern` in the PATH and the files that the page speaks of."""

    def __init__(self, page):
        self.dir = Path(tempfile.mkdtemp(dir=box.TMP, prefix="w"))
        (self.dir / "bin").mkdir()
        (self.dir / "build").mkdir()
        for link in ("bin/postern", "build/postern"):
            (self.dir / link).symlink_to(Path(box.POSTERN).resolve())
        self.env = dict(ENV, PATH=f"{self.dir}/bin:{ENV['PATH']}")
        self.ports = {name: box.free_port() for name in PORTS.values()}
        self.key, self.process = None, None
        (self.dir / "policies").mkdir()
        # policies.md's example is shop.yaml in the other pages; getting-started.md has one of its own
        source = page if page.name == "getting-started.md" else box.ROOT / "docs/policies.md"
        name = "api.yaml" if page.name == "getting-started.md" else "shop.yaml"
        self.example = next(t for lang, t, _ in blocks(source) if lang == "yaml" and "kind: RouteTable" in t)
        self.file = self.dir / "policies" / name
        if page.name != "getting-started.md":
            self.file.write_text(self.example)

    def fill(self, command):
        for port, name in PORTS.items():
            command = re.sub(rf"(127\.0\.0\.1:|-p ){port}\b", rf"\g<1>{self.ports[name]}", command)
        command = command.replace("/var/lib/postern", str(self.dir / "var"))
        if self.key:
            command = command.replace("YOUR_KEY", self.key)
        return command

    def decided(self, command):
        """A command that asks about a decision, asking about one that was made here."""
        r = box.get(self.ports["check"], "/auth/forward", {
            "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com",
            "X-Forwarded-Uri": "/v1/stations", "api-key": "pst_wrong"})
        command = re.sub(r"--explain \w+", f"--explain {r.header('x-postern-decision')}", command)
        return command.replace("/var/lib/postern", "./postern-data")

    def doors(self):
        return " ".join(f"--{name} 127.0.0.1:{port}" for name, port in self.ports.items())

    def serve(self, command):
        if self.process:
            box.stop(self.process)
        log = box.TMP / f"docs-{self.ports['check']}.log"
        self.process = box.start(["sh", "-c", f"exec {self.fill(command)} {self.doors()}"], log=log.name, cwd=self.dir, env=self.env)
        box.wait_for(lambda: "is ready" in log.read_text() or self.process.poll() is not None, 30) # the banner is the last word
        return log

    def run(self, command):
        p = subprocess.run(["sh", "-c", self.fill(command)], cwd=self.dir, env=self.env, capture_output=True, text=True,
                           timeout=box.WAIT * box.SLOW, stdin=subprocess.DEVNULL)
        made = re.search(r"^key +(\S+)$", p.stdout, re.M)
        self.key = made[1] if made else self.key
        return p


def ends(page, command):
    for (name, start), wanted in ENDS.items():
        if name == page.name and (command.startswith(start) or f"| {start}" in command):
            return wanted
    return {0}


def test_commands(page):
    todo = list(commands(page))
    if not todo:
        return
    place = Place(page)
    first = todo[0][0]
    if not (" serve " in first or " demo" in first):
        place.serve("postern serve --data ./postern-data --policies ./policies")
    for command, line, shown in todo:
        name = f"{page.name}:{line} {command[:60]}"
        if command.split()[0] in ("curl", "redis-cli") and not box.which(command.split()[0]):
            box.skip(name, "not installed")
            continue
        wanted = ends(page, command)
        if " serve" in command:
            log = place.serve(command)
            check(name, place.process.poll() is None and "is ready" in log.read_text(), log.read_text())
            continue
        if wanted == "until stopped":
            p = subprocess.Popen(["sh", "-c", "exec " + place.fill(command)], cwd=place.dir, env=place.env,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            time.sleep(0.5)
            check(name, p.poll() is None, p.poll())
            box.stop(p)
            continue
        if page.name == "getting-started.md" and "check-config" in command:
            place.file.write_text(place.example)
            taken = box.wait_for(lambda: box.get(place.ports["check"], "/auth/forward", {
                "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com",
                "X-Forwarded-Uri": "/v1/stations", "X-Forwarded-For": "192.0.2.7"}).status == 401)
            check(f"{page.name}: the file is taken up by itself", taken)
        if "--explain" in command:
            command = place.decided(command)
        p = place.run(command)
        check(name, p.returncode in wanted, (p.returncode, p.stdout[-300:], p.stderr[-300:]))
        if shown and "eval" in command:
            squeeze = [" ".join(x.split()) for x in p.stdout.splitlines() if x.strip()]
            equal(f"{page.name}:{line} prints what the page shows", squeeze,
                  [" ".join(x.split()) for x in shown.splitlines() if x.strip()])
        if page.name == "getting-started.md" and command.startswith("curl"):
            check(f"{page.name}: the last step answers 200 with the person", "200" in p.stdout.split("\n")[0]
                  and re.search(r"(?i)^x-user-id: ann@example.com", p.stdout, re.M), p.stdout)
    if place.process:
        box.stop(place.process)


WRAP = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: wrapped}
spec:
  config:
    glooAuth:
      configs:
"""


def test_yaml(page):
    for language, text, line in blocks(page):
        name = f"{page.name}:{line} yaml"
        if language not in ("yaml", "yml") or FOREIGN.search(text):
            continue
        folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="y"))
        if text.startswith("# postern.yaml"):
            (folder / "postern.yaml").write_text(text)
            status, out, err = box.run("config", "print", "--origin", "--config", folder / "postern.yaml")
            check(f"{name}: settings", status == 0 and "(file: " in out, err)
            continue
        if re.match(r"\w+Auth:|luaAuth:", text):
            text = "- " + text.replace("\n", "\n  ").rstrip() + "\n"
        if text.startswith("- "):
            text = WRAP + "".join(f"        {x}\n" for x in text.splitlines())
        (folder / "doc.yaml").write_text(text)
        (folder / "lua").mkdir()
        for script in re.findall(r"script: (\w+)", text):
            if not (box.ROOT / f"lua/{script}.lua").exists():
                (folder / f"lua/{script}.lua").write_text("return function(req, config) end\n")
        status, out, err = box.run("check-config", "--policies", folder, "--lua", folder / "lua")
        check(f"{name}: policy", status == 0 and "error" not in out, (out, err))


if __name__ == "__main__":
    equal("the reference of settings is up to date", (box.ROOT / "docs/configuration.md").read_text(),
          box.run("config", "print", "--reference")[1])
    for page in PAGES:
        test_commands(page)
        test_yaml(page)
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                check(f"{page.name}: link to {target}", False, "there is no such file")
    box.finish()
