"""What the manual tells people to type is typed: every command of Postern, curl and redis-cli in README.md and
docs/*.md runs, and every policy and settings file in them loads.

Placeholders are filled in by the table below; addresses become this test's own. A command that is not
known to the table fails, so that a new one is thought about. Each block of each page has to be run by somebody: by
this file, or by the test that BY names, which has to speak of the page; a block that nobody runs fails.
"""
import base64
import email.utils
import hmac
import json
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
# (page, language): the test that runs such blocks.
BY = {
    ("gateway-*.md", "*"): "box/test_gateway_pages.py", ("README.md", "nginx"): "box/test_gateway_pages.py",
    ("step-opa.md", "rego"): "box/test_opa.py", ("step-opa.md", "yaml"): "box/test_opa.py",
}
ran = set()  # (page, line) of blocks
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
                ran.add((page.name, line))
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
            ran.update((page.name, at) for _, text, at in blocks(page) if text == shown)
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
        if language not in ("yaml", "yml") or page.match("gateway-*.md") and not text.startswith("# postern.yaml"):
            continue
        ran.add((page.name, line))
        folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="y"))
        if text.startswith("# postern.yaml"):
            (folder / "postern.yaml").write_text(text)
            status, out, err = box.run("config", "print", "--origin", "--config", folder / "postern.yaml")
            check(f"{name}: settings", status == 0 and "(file: " in out, err)
            continue
        (folder / "doc.yaml").write_text(wrapped(text))
        (folder / "lua").mkdir()
        for script in re.findall(r"script: (\w+)", text):
            if not (box.ROOT / f"lua/{script}.lua").exists():
                (folder / f"lua/{script}.lua").write_text("return function(req, config) end\n")
        status, out, err = box.run("check-config", "--policies", folder, "--lua", folder / "lua")
        check(f"{name}: policy", status == 0 and "error" not in out, (out, err))


def test_make(page):
    """Targets that people are told to make are there; what stands beside them is known."""
    for language, text, line in blocks(page):
        joined = text.replace("\\\n", "")
        lines = [re.sub(r"\s+#.*$", "", x).strip() for x in joined.splitlines() if x.strip()]
        if language != "sh" or not any(re.search(r"\bmake\b|web/|build\.mjs", x) for x in lines):
            continue
        for one in lines:
            words = one.split("&& ")[-1].split()
            if words[0] == "make":
                goals = [w for w in words[1:] if "=" not in w]
                p = subprocess.run(["make", "-n", "-q", *(goals or ["release"])], cwd=box.ROOT, env=ENV, capture_output=True, text=True)
                check(f"{page.name}:{line} {one}", "No rule to make" not in p.stderr, p.stderr)
            else:
                files = [w for w in words if re.search(r"\.(mjs|py|sh)$", w)]
                known = all((box.ROOT / w).exists() or (box.ROOT / "web" / w).exists() for w in files)
                check(f"{page.name}:{line} {one}", known, files)
        ran.add((page.name, line))


def test_tree(page):
    """docs/house.md: the directories that it draws are there."""
    for _, text, line in blocks(page):
        if page.name == "house.md" and text.startswith("Makefile "):
            for name in re.findall(r"^([\w.]+/?) ", text, re.M):
                check(f"{page.name}:{line} {name}", (box.ROOT / name).exists(), "it is not there")
            ran.add((page.name, line))


def signature(signed):
    return base64.b64encode(hmac.digest(b"secret", signed.encode(), "sha256")).decode()


def test_signature(page):
    """docs/step-hmac.md: the signature that it shows is that of its lines; a request signed so today passes its policy."""
    for language, text, line in blocks(page):
        if page.name != "step-hmac.md" or language != "text":
            continue
        head, _, signed = text.rstrip("\n").partition("\n\n")
        check(f"{page.name}:{line} the signature", f'signature="{signature(signed)}"' in head, signature(signed))
        start, *rows = head.splitlines()
        old = dict(row.split(": ", 1) for row in rows)
        now = email.utils.formatdate(usegmt=True)
        headers = {"Date": now, "Authorization": old["Authorization"].replace(signature(signed), signature(signed.replace(old["Date"], now)))}
        folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="h"))
        policy = next(t for lang, t, _ in blocks(page) if lang == "yaml" and "hmacAuth" in t)
        (folder / "p.yaml").write_text(re.sub(r"(?m)^ +applyToRoutes: .*\n", "", policy))
        method, uri, _ = start.split()
        for name, path, wanted in (("passes", uri, True), ("another path does not", uri + "x", False)):
            status, out, err = box.run("eval", "--policies", folder, "--json", stdin=json.dumps(
                {"method": method, "path": path, "host": old["Host"], "headers": headers}))
            check(f"{page.name}:{line} the signed request: {name}", out and json.loads(out)["allowed"] == wanted, (status, out, err))
        ran.add((page.name, line))


def test_said(page):
    """Answers and log lines: what the program says is in that form."""
    place = None
    for language, text, line in blocks(page):
        name = f"{page.name}:{line}"
        if page.name == "check-port.md" and language == "json":
            folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="j"))
            (folder / "l.yaml").write_text("domain: mongo_cps\ndescriptors: [{key: database, value: users, rate_limit: {unit: second, requests_per_unit: 500}}]\n")
            place = box.Postern(policies=folder, store="memory")
            asked = re.search(r"-d '([^']+)'", page.read_text())[1]
            equal(f"{name} the answer", box.request(place.ports["check"], "POST", "/json", body=asked).json(), json.loads(text))
        elif page.name == "eval.md" and language == "text":
            place = Place(page)
            place.file.write_text(WRAP + "        - apiKeyAuth: {}\n")
            place.serve("postern serve --data ./postern-data --policies ./policies")
            p = place.run(place.decided("postern eval --explain 0 --data /var/lib/postern"))
            first = [x.split()[0] for x in text.splitlines()]
            equal(f"{name} the words in front", [x.split()[0] for x in p.stdout.splitlines()], first)
        elif page.name == "lua.md" and text.startswith("policy.lua_trouble"):
            folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="l"))
            (folder / "rules.yaml").write_text(WRAP.replace("wrapped", "members-only") + "        - luaAuth: {inline: 'return function(req) return nil .. 1 end'}\n")
            place = box.Postern(policies=folder, store="memory")
            box.get(place.ports["check"], "/auth/envoy/x", {"Host": "h", "X-Request-Id": "abc-123"})
            form = re.sub(r"[0-9a-f]{16}", "[0-9a-f]{16}", re.sub(r'text=".*"', 'text="rules.yaml:.*"', text.strip()))
            check(f"{name} the log line", box.wait_for(lambda: re.search(form, place.output()), 20), place.output()[-600:])
        elif page.name == "lua-policies.md" and "io.jwt.decode" in text:
            pass  # what people have in Rego; the same in Lua stands below it and is run
        else:
            continue
        ran.add((page.name, line))
    if place:
        box.stop(place.process)


STEP_PARTS = ("## Statuses and reasons", "## Headers", "## Fields")
NO_REASON = {"denied_response", "error_response", "headers_to_remove", "ok_response"}  # words of the tables that are no reasons
BASIC = {"authorization": "Basic " + base64.b64encode(b"ann:password").decode()}
LONG_KEY = {"api-key": "a-long-random-key-of-your-build-server"}
# Examples decided: page, what the block has in it, request, status and reason, a header for the upstream.
EXAMPLES = [
    ("step-api-key.md", "digest:", {"headers": dict(LONG_KEY, **{"x-tenant": "north"})}, (200, "ok"), ("X-User-ID", "build-server")),
    ("step-api-key.md", "digest:", {"headers": dict(LONG_KEY, **{"x-tenant": "south"})}, (401, "key_header_mismatch"), None),
    ("step-api-key.md", "digest:", {"headers": {"api-key": "pRyWmNKwwbx5F9LGyWjHi8efIRVDDazjmb3Tp1Jsty4="}}, (401, "key_unknown"), None),
    ("step-api-key.md", "required: true", {}, (401, "key_missing"), None),
    ("step-portal.md", "portalAuth:", {"headers": {"api-key": "x"}}, (401, "key_unknown"), None),
    ("step-lua.md", "luaAuth:", {}, (401, "key_missing"), None),
    ("step-boolean.md", "booleanExpr:", {}, (401, "credentials_missing"), None),
    ("step-boolean.md", "booleanExpr:", {"headers": BASIC, "source_ip": "192.0.2.9"}, (200, "ok"), None),
    ("step-boolean.md", "booleanExpr:", {"headers": BASIC, "source_ip": "198.51.100.9"}, (401, "key_missing"), None),
    ("step-basic.md", "kind: ExtAuthPolicy", {"headers": BASIC}, (200, "ok"), ("X-User", "ann")),
    ("step-basic.md", "encryption: {sha1", {"headers": BASIC}, (200, "ok"), None),
    ("step-basic.md", "argon2id", {"headers": BASIC}, (200, "ok"), None),
    ("step-basic.md", "kind: ExtAuthPolicy", {}, (401, "credentials_missing"), None),
    ("step-opa.md", "opaAuth:", {}, (403, "not_served"), None),
    ("step-hmac.md", "hmacAuth:", {}, (401, "credentials_missing"), None),
    ("step-jwt.md", "providers:", {}, (401, "token_missing"), None),
    ("step-access-token.md", "accessTokenValidation:", {}, (403, "token_missing"), None),
    ("step-ldap.md", "ldap:", {}, (401, "credentials_missing"), None),
    ("step-transformation.md", "x-organization", {"headers": {"X-Email": "ann@solo.io"}}, (200, "ok"), ("x-organization", "solo.io")),
]


def test_step_page(page):
    """A page of a step: what it is for, its YAML, statuses with reasons that the program has, headers, fields."""
    text = page.read_text()
    if not page.name.startswith("step-"):
        return
    purpose = re.split(r"^```|^## ", text, maxsplit=1, flags=re.M)[0]
    check(f"{page.name}: says what it is for", len(purpose.split()) > 12, purpose)
    check(f"{page.name}: has an example", any(language == "yaml" for language, _, _ in blocks(page)))
    for part in STEP_PARTS:
        check(f"{page.name}: {part}", f"\n{part}\n" in text, "no such part")
    code = "".join(p.read_text() for p in (box.ROOT / "amalgam").rglob("*.c"))
    statuses = text.partition(STEP_PARTS[0])[2].partition("\n## ")[0]
    for reason in sorted(set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", statuses)) - NO_REASON):
        check(f"{page.name}: reason {reason}", f'"{reason}"' in code, "the program never says so")


def wrapped(text):
    """A policy around a step that stands alone."""
    if re.match(r"\w+Auth:|luaAuth:", text):
        text = "- " + text.replace("\n", "\n  ").rstrip() + "\n"
    return WRAP + "".join(f"        {x}\n" for x in text.splitlines()) if text.startswith("- ") else text


def test_examples(page):
    for name, part, request, wanted, header in EXAMPLES:
        if name != page.name:
            continue
        text = next(t for language, t, _ in blocks(page) if language == "yaml" and part in t)
        folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="e"))
        (folder / "p.yaml").write_text(wrapped(text))
        if "TransformationPolicy" in text:  # alone it lets nobody pass: a route that is open
            (folder / "r.yaml").write_text("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\n"
                                           "spec: {hosts: ['*'], http: [{labels: {oauth: 'true'}}]}\n")
        said = {k: v if isinstance(v, list) else [v] for k, v in request.get("headers", {}).items()}
        status, out, err = box.run("eval", "--policies", folder, "--json", stdin=json.dumps(
            dict({"method": "GET", "path": "/x", "host": "shop.example.com"}, **dict(request, headers=said))))
        got = json.loads(out) if out else {}
        equal(f"{name}: {part} {json.dumps(request)[:40]}", (got.get("status"), got.get("reason"), err), (*wanted, ""))
        if header:
            equal(f"{name}: {part} {header[0]}", got["headers"]["upstream"].get(header[0]), header[1])


def every_step_has_a_page():
    """Each row of the tables of steps is the title, or in the title, of a page."""
    source = (box.ROOT / "amalgam/policy/steps.c").read_text() + (box.ROOT / "amalgam/policy/step_oauth2.c").read_text()
    titles = " ".join(re.findall(r"^##? (.*)$", "".join(p.read_text() for p in PAGES if p.name.startswith("step-")), re.M))
    for name in re.findall(r'^    \{"(\w+)", step_|LATER\("(\w+)"', source, re.M):
        name = name[0] or name[1]
        if name in ("pluginAuth", "oauth"):
            check(f"{name} is on the page of policies", f"`{name}`" in (box.ROOT / "docs/policies.md").read_text())
        else:
            check(f"step {name} has a page", re.search(rf"\b{name}\b", titles), titles)


def elsewhere(page, language):
    """The test that BY names, if it speaks of the page."""
    for (name, lang), test in BY.items():
        if page.match(name) and lang in ("*", language):
            words = (box.ROOT / "tests" / test).read_text()
            return page.name in words or name in words
    return False


def every_block_runs(page):
    for language, text, line in blocks(page):
        check(f"{page.name}:{line} is run", (page.name, line) in ran or elsewhere(page, language), text[:80])


if __name__ == "__main__":
    equal("the reference of settings is up to date", (box.ROOT / "docs/configuration.md").read_text(),
          box.run("config", "print", "--reference")[1])
    for page in PAGES:
        for test in (test_commands, test_yaml, test_make, test_tree, test_signature, test_said, test_step_page, test_examples):
            test(page)
        every_block_runs(page)
    every_step_has_a_page()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                check(f"{page.name}: link to {target}", False, "there is no such file")
    box.finish()
