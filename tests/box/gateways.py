"""The gateways of etc/gateways/: started with the sample as it stands there, but for addresses and what a page of the
manual says to change. Used by test_gateways.py and test_gateway_pages.py."""
import os
import re
import shutil

import box
import peers

FOLDER = box.ROOT / "etc/gateways"
FILES = {"nginx": ["nginx.conf"], "caddy": ["Caddyfile"], "haproxy": ["haproxy.cfg", "haproxy-postern.lua"],
         "envoy": ["envoy.yaml"], "envoy-grpc": ["envoy-grpc.yaml"], "traefik": ["traefik.yaml", "traefik-routes.yaml"]}


def swap(text, anchor, block):
    """`block` instead of the block of `text` that begins with the line `anchor`: that line, what is indented deeper behind
    it, and a closing brace. Several of that name: all of them."""
    lines, out, at = text.splitlines(), [], 0
    found = False
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.strip() != anchor:
            out.append(line)
            continue
        indent = len(line) - len(line.lstrip())
        while at < len(lines) and (not lines[at].strip() or len(lines[at]) - len(lines[at].lstrip()) > indent):
            at += 1
        if at < len(lines) and lines[at].strip() in ("}", "};"):
            at += 1
        tab = line[:indent]
        out += [(tab + x if x else x) for x in block.rstrip("\n").splitlines()]
        found = True
    assert found, f"no line {anchor!r}"
    return "\n".join(out) + "\n"


def place(name, ports, edit=lambda file, text: text):
    """A folder with the gateway's files; `ports` is {8080: ours, ...}."""
    folder = box.TMP / f"gw-{name}-{ports[8080]}"
    folder.mkdir()
    for file in FILES[name]:
        text = edit(file, (FOLDER / file).read_text())
        for old, new in ports.items():
            text = re.sub(rf"(?<![0-9]){old}(?![0-9])", str(new), text)
        (folder / file).write_text(text)
    return folder


def program(name):
    """(path, "") or (None, why not)."""
    if name.startswith("envoy"):
        return peers.envoy()
    if name == "traefik":
        return peers.go_program(peers.TRAEFIK)
    return (box.which(name), "") if box.which(name) else (None, f"{name} is not installed")


def command(name, path, folder):
    return {
        "nginx": [path, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"],
        "caddy": [path, "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        "haproxy": [path, "-db", "-f", "haproxy.cfg"],
        "traefik": [path, "--configFile=traefik.yaml"],
    }.get(name) or [path, "-c", f"{name}.yaml", "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]


def start(name, path, folder, port):
    """The process, when it serves its port; None and a failed test otherwise."""
    env = dict(os.environ, HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
    log = box.TMP / f"{name}-{port}.log"
    process = box.start(command(name, path, folder), log=log.name, cwd=folder, env=env)
    good = box.wait_port(port, alive=process)
    if good and name == "traefik":  # it listens before it has read its routes
        good = box.wait_for(lambda: box.get(port, "/").status != 404)
    box.check(f"{name} starts", good, log.read_text()[-800:])
    return process if good else None


def demo_policies(text):
    """The demo's policies, and those of `text`."""
    folder = box.TMP / "gateway-policies"
    shutil.copytree(box.ROOT / "etc/demo/policies", folder, dirs_exist_ok=True)
    (folder / "more.yaml").write_text(text)
    return folder
