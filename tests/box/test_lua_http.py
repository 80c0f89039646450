"""Lua policies that ask another server: from a running Postern, where many wait at once and others go on, and from eval.

BUILDS: release dev tsan
"""
import http.server
import json
import tempfile
import threading
import time
from pathlib import Path

import box
from browser import Browser, link_token
from box import check, equal

POLICY = """apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: risk}
spec:
  config:
    glooAuth:
      configs:
        - luaAuth:
            headers: [x-score]
            http: {allow: ["127.0.0.1:%(port)d"]}
            inline: |
              return function(req, config)
                  if req.path == "/plain" then return true end
                  local n = postern.store.incr("asked")
                  local r, why = postern.http.get("http://127.0.0.1:%(port)d" .. req.path, {timeout = 30})
                  if not r then return {allow = false, status = 403, reason = "no_score"} end
                  return {allow = r.status == 200, headers = {["x-score"] = r.body}}
              end
"""


class Scores:
    """Holds answers to /slow back until it is told; counts who waits."""

    def __init__(self):
        outer = self
        self.waiting = 0
        self.lock = threading.Lock()
        self.go = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/slow":
                    with outer.lock:
                        outer.waiting += 1
                    outer.go.wait(60)
                if self.path == "/cut":
                    self.close_connection = True
                    return
                self.send_response(200 if self.path != "/no" else 403)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"42")

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def ask(p, path):
    return box.get(p.ports["check"], "/auth/nginx", {"X-Original-URL": f"http://h.example{path}", "X-Original-Method": "GET"})


scores = Scores()
folder = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
(folder / "risk.yaml").write_text(POLICY % {"port": scores.port})
p = box.Postern("--threads", "1", policies=folder)

r = ask(p, "/score")
check("the answer of the other server decides", r.status == 200 and r.header("x-score") == "42", (r.status, dict(r.headers)))
equal("its no is a no", ask(p, "/no").status, 403)
r = ask(p, "/cut")
check("no answer is a no", r.status == 403 and r.header("X-Postern-Reason") == "no_score", dict(r.headers))

results = []
threads = [threading.Thread(target=lambda: results.append(ask(p, "/slow"))) for _ in range(20)]
for t in threads:
    t.start()
check("20 wait at once, with one worker", box.wait_for(lambda: scores.waiting == 20), scores.waiting)
equal("meanwhile others are served", ask(p, "/plain").status, 200)
check("nobody who waits was answered", results == [], results)
(folder / "risk.yaml").write_text((POLICY % {"port": scores.port}).replace('"/plain"', '"/flat"'))
check("a reload in between", box.wait_for(lambda: not ask(p, "/flat").header("x-score")), "")
scores.go.set()
for t in threads:
    t.join(60 * box.SLOW)
check("all 20 are allowed", [r.status for r in results] == [200] * 20, [r.status for r in results])
asked = int(box.request(p.ports["check"], "POST", "/v1/decide?trace=1", body=json.dumps(
    {"method": "GET", "path": "/score", "host": "h.example"})).status == 200)
equal("/v1/decide waits, too", asked, 1)

# ---- the portal's "Ask Postern": decided where steps can wait

page = Browser(p.ports["portal"])
r = page.post("/v1/setup", {"token": link_token(p.output()), "email": "olga@example.com", "name": "Olga",
                            "password": "a long password of Olga's"})
equal("somebody is signed in at the portal", r.status, 201)
r = page.post("/v1/decide", {"method": "GET", "path": "/score", "host": "h.example", "key": ""})
v = r.json()
check("the page's question asks the other server", r.status == 200 and v.get("allowed") is True
      and v["headers"]["upstream"].get("x-score") == "42", r.body)
status, out, err = box.run("eval", "--explain", v.get("decision_id", ""), "--data", p.data)
check("and is explained afterwards", status == 0 and out.startswith("allowed"), (status, out, err))
v = page.post("/v1/decide", {"method": "GET", "path": "/no", "host": "h.example", "key": ""}).json()
check("its no is a no", v.get("allowed") is False and v.get("reason") == "lua_denied", v)

scores.go.clear()
scores.waiting = 0
pages = []


def slowly():
    pages.append(page.post("/v1/decide", {"method": "GET", "path": "/slow", "host": "h.example", "key": ""}))


threads = [threading.Thread(target=slowly) for _ in range(2)]
for t in threads:
    t.start()
check("two questions wait", box.wait_for(lambda: scores.waiting == 2), scores.waiting)
equal("a third is turned away, so that the portal has threads left",
      page.post("/v1/decide", {"method": "GET", "path": "/score", "host": "h.example", "key": ""}).status, 503)
equal("other pages are served", page.get("/v1/me").status, 200)
scores.go.set()
for t in threads:
    t.join(60 * box.SLOW)
check("both are decided, or were told that it takes too long",
      len(pages) == 2 and all(r.status == 503 or r.json()["allowed"] for r in pages), [r.body for r in pages])

scores.go.clear()
scores.waiting = 0


def last():
    try:
        results.append(ask(p, "/slow"))
    except OSError:  # closed without an answer
        pass


late = threading.Thread(target=last)
late.start()
check("one waits when Postern stops", box.wait_for(lambda: scores.waiting == 1), scores.waiting)
equal("it stops all the same", p.down(), 0)
scores.go.set()
late.join(60 * box.SLOW)

question = json.dumps({"method": "GET", "path": "/score", "host": "h.example"})
status, out, err = box.run("eval", "--policies", folder, "--trace", stdin=question)
check("eval waits for the answer", status == 0 and "allow 200" in out and "x-score: 42" in out, (status, out, err))
status, out, err = box.run("eval", "--policies", folder, "--json", stdin=question.replace("/score", "/no"))
check("eval's no", status == 1 and json.loads(out)["reason"] == "lua_denied", (status, out, err))
scores.server.shutdown()
scores.server.server_close()
status, out, err = box.run("eval", "--policies", folder, stdin=question)
check("eval when nobody is there", status == 1 and "no_score" in out, (status, out, err))
box.finish()
