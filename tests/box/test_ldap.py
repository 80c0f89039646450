"""The step ldap against a real directory: OpenLDAP's slapd, with groups, a service account, TLS and an outage.

TIMEOUT: 240
"""
import base64
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import box
from box import Postern, check, equal

SLAPD = box.which("slapd")
SLAPADD = box.which("slapadd")
MODULES = next((p for p in ("/usr/lib/ldap", "/usr/lib/openldap", "/usr/libexec/openldap") if Path(p).exists()), None)
SCHEMA = next((p for p in ("/etc/ldap/schema", "/etc/openldap/schema") if Path(p).exists()), None)
FORWARD = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com",
           "X-Forwarded-Uri": "/v1/x", "X-Forwarded-For": "192.0.2.7"}
STAFF = "cn=staff,ou=groups,dc=example,dc=com"


def person(uid, password, *groups, more=""):
    member = "".join(f"memberOf: {g}\n" for g in groups)
    return (f"dn: uid={uid},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\ncn: {uid}\nsn: {uid}\nuid: {uid}\n"
            f"userPassword: {password}\n{more}{member}\n")


LDIF = f"""dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: cn=reader,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: readerpw

""" + person("ann", "annpw", STAFF, "cn=other,ou=groups,dc=example,dc=com") + person("bob", "bobpw", "cn=other,ou=groups,dc=example,dc=com") \
    + person("cat", "catpw", STAFF, more="title: away\n") + person("a\\2cb", "commapw", STAFF).replace("cn: a\\2cb\nsn: a\\2cb\nuid: a\\2cb", "cn: a,b\nsn: x\nuid: a,b")


class Directory:
    def __init__(self, tls=None, more=""):
        self.dir = Path(tempfile.mkdtemp(dir=box.TMP, prefix="l"))
        (self.dir / "db").mkdir()
        self.port, self.tls_port = box.free_port(), box.free_port() if tls else None
        conf = "".join(f"include {SCHEMA}/{n}.schema\n" for n in ("core", "cosine", "inetorgperson"))
        conf += f"modulepath {MODULES}\nmoduleload back_mdb\nmoduleload memberof\npidfile {self.dir}/pid\n"
        if tls:
            conf += f"TLSCertificateFile {tls}/server.crt\nTLSCertificateKeyFile {tls}/server.key\nTLSCACertificateFile {tls}/ca.crt\n"
        conf += more
        conf += f'database mdb\nsuffix "dc=example,dc=com"\ndirectory {self.dir}/db\noverlay memberof\n'
        conf += 'access to attrs=userPassword by anonymous auth by * none\n'
        conf += 'access to * by dn.exact="cn=reader,dc=example,dc=com" read by self read by * none\n'
        (self.dir / "slapd.conf").write_text(conf)
        (self.dir / "data.ldif").write_text(LDIF)
        made = subprocess.run([SLAPADD, "-f", self.dir / "slapd.conf", "-l", self.dir / "data.ldif"], capture_output=True, text=True)
        self.trouble = made.stderr if made.returncode else ""
        self.process = None

    def up(self):
        where = f"ldap://127.0.0.1:{self.port}/" + (f" ldaps://127.0.0.1:{self.tls_port}/" if self.tls_port else "")
        self.process = box.start([SLAPD, "-f", str(self.dir / "slapd.conf"), "-h", where, "-d", "0"], log=str(self.dir / "log"))
        box.wait_port(self.port, alive=self.process)
        return self

    def down(self):
        box.stop(self.process)


def policy(port, extra="", groups=f"allowedGroups: ['{STAFF}']", scheme="ldap"):
    d = Path(tempfile.mkdtemp(dir=box.TMP, prefix="p"))
    write(d, port, extra, groups, scheme)
    return d


def write(d, port, extra="", groups=f"allowedGroups: ['{STAFF}']", scheme="ldap"):
    (d / "ldap.yaml").write_text(f"""apiVersion: v1
kind: Secret
metadata: {{name: reader}}
stringData: {{username: "cn=reader,dc=example,dc=com", password: readerpw}}
---
apiVersion: v1
kind: Secret
metadata: {{name: broken}}
stringData: {{username: "cn=reader,dc=example,dc=com", password: wrong}}
---
apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {{name: directory}}
spec:
  config:
    glooAuth:
      configs:
        - ldap:
            address: {scheme}://127.0.0.1:{port}
            userDnTemplate: uid=%s,ou=people,dc=example,dc=com
            {groups}
            realm: People
            userHeader: X-User
            {extra}
""")


def ask(p, user=None, password="", **more):
    headers = dict(FORWARD, **more)
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return box.request(p.ports["check"], "GET", "/auth/forward", headers, timeout=60)


def rows(p, name, wanted):
    for (user, password), status in wanted.items():
        equal(f"{name}: {user!r} {password!r}", ask(p, user, password).status, status)


PEOPLE = {("ann", "annpw"): 200, ("Ann ", "annpw"): 200, ("ann", "bobpw"): 401, ("bob", "bobpw"): 403, ("nobody", "x"): 401,
          ("ann", ""): 401, ("", ""): 401, ("a,b", "commapw"): 200, ("a,b", "annpw"): 401,
          ("ann,ou=people,dc=example,dc=com", "annpw"): 401, ("*", "annpw"): 401, ("ann)(uid=*", "annpw"): 401, ("ann\u00a0", "annpw"): 401}


def users():
    d = Directory().up()
    p = Postern(policies=policy(d.port), store="memory")
    rows(p, "groups", PEOPLE)
    a = ask(p, "ANN", "annpw", **{"X-User": "eve"})
    equal("the upstream learns the name, not the password", (a.header("x-user"), a.header("authorization")), ("ann", ""))
    wrong, nobody, empty = ask(p, "ann", "wrong"), ask(p, "eve", "annpw"), ask(p, "ann", "")
    for what, b in (("wrong", wrong), ("nobody", nobody), ("empty", empty)):
        equal(f"{what} looks alike", (b.status, b.header("www-authenticate"), b.body), (401, 'Basic realm="People"', ""))
    got = {}
    threads = [threading.Thread(target=lambda i=i: got.__setitem__(i, ask(p, *(("ann", "annpw") if i % 2 else ("bob", "bobpw"))).status)) for i in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal("many at once, each its own answer", [got.get(i) for i in range(60)], [403, 200] * 30)
    d.down()
    b = ask(p, "ann", "annpw")
    equal("the directory is down: denied, as trouble", (b.status, b.header("www-authenticate")), (403, None))
    d.up()
    check("and up again: it recovers by itself", box.wait_for(lambda: ask(p, "ann", "annpw").status == 200, 30))
    p.down()
    d.down()


def variants():
    d = Directory().up()
    where = policy(d.port)
    reader = "groupLookupSettings: {checkGroupsWithServiceAccount: true, credentialsSecretRef: {name: %s}}"
    cases = [
        ("service account", dict(extra=reader % "reader"), {("ann", "annpw"): 200, ("bob", "bobpw"): 403, ("ann", "x"): 401}),
        ("service account refused", dict(extra=reader % "broken"), {("ann", "annpw"): 403, ("ann", "x"): 401}),
        ("no groups", dict(groups="disableGroupChecking: true"), {("ann", "annpw"): 200, ("bob", "bobpw"): 200, ("bob", "x"): 401, ("bob", ""): 401}),
        ("filter", dict(extra="searchFilter: (&(objectClass=person)(!(title=away)))"), {("ann", "annpw"): 200, ("cat", "catpw"): 403}),
        ("spelling of a group", dict(groups="allowedGroups: ['CN=Staff, OU=Groups,dc=example, dc=com']"), {("ann", "annpw"): 200, ("bob", "bobpw"): 403}),
        ("another attribute", dict(extra="membershipAttributeName: title", groups="allowedGroups: [away]"), {("cat", "catpw"): 200, ("ann", "annpw"): 403}),
        ("one connection", dict(extra="pool: {maxSize: 1, initialSize: 1}"), {("ann", "annpw"): 200, ("bob", "bobpw"): 403}),
    ]
    for name, fields, wanted in cases:
        write(where, d.port, **fields)
        p = Postern(policies=where, store="memory")
        rows(p, name, wanted)
        if name == "service account refused":
            request = '{"method":"GET","path":"/","host":"h","headers":{"authorization":["Basic YW5uOmFubnB3"]}}'
            status, out, err = box.run("eval", "--policies", where, "--json", stdin=request)
            check("eval asks the directory too, and names the trouble", '"ldap_account"' in out, (out, err))
        p.down()
    d.down()


def over_tls():
    if not box.which("openssl"):
        box.skip("ldaps", "openssl is not installed")
        return
    tls = Path(tempfile.mkdtemp(dir=box.TMP, prefix="t"))
    run = lambda *a: subprocess.run(["openssl", *a], cwd=tls, check=True, capture_output=True)
    (tls / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test ca")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.crt", "-days", "2", "-extfile", "ext")
    d = Directory(tls=tls).up()
    box.wait_port(d.tls_port, alive=d.process)
    where = policy(d.tls_port, scheme="ldaps")
    p = Postern(policies=where, store="memory", env=dict(os.environ, POSTERN_OUTBOUND_CA_FILE=str(tls / "ca.crt")))
    rows(p, "ldaps", {("ann", "annpw"): 200, ("bob", "bobpw"): 403, ("ann", "x"): 401})
    p.down()
    p = Postern(policies=where, store="memory")
    rows(p, "ldaps, not trusted", {("ann", "annpw"): 403})
    p.down()
    d.down()
    start_tls(tls)


class Clear:
    """A directory that answers StartTLS in its own way; remembers the operations that it was asked for in the clear."""
    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.asked, self.answer = self.socket.getsockname()[1], [], answer
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c = self.socket.accept()[0]
            except OSError:
                return
            c.settimeout(60)
            try:
                while message := c.recv(4096):
                    self.asked.append(message)
                    c.sendall(self.answer)
            except OSError:
                pass
            c.close()


def result(id, op, code):
    return bytes([0x30, 0x0c, 2, 1, id, op, 7, 0x0a, 1, code, 4, 0, 4, 0])


def start_tls(tls):
    trusted = dict(os.environ, POSTERN_OUTBOUND_CA_FILE=str(tls / "ca.crt"))
    d = Directory(tls=tls, more="security ssf=128\n").up()
    where = policy(d.port, extra="startTls: true")
    p = Postern(policies=where, store="memory", env=trusted)
    rows(p, "startTls", {("ann", "annpw"): 200, ("bob", "bobpw"): 403, ("ann", "x"): 401})
    rows(p, "startTls, kept", {("ann", "annpw"): 200})
    d.down()
    d.up()
    rows(p, "startTls, a new connection", {("ann", "annpw"): 200, ("ann", "x"): 401})
    p.down()
    p = Postern(policies=where, store="memory")
    r = ask(p, "ann", "annpw")
    equal("startTls, not trusted", (r.status, r.header("x-postern-reason")), (403, "ldap_trouble"))
    p.down()
    p = Postern(policies=policy(d.port), store="memory", env=trusted)
    check("in the clear this directory takes nobody", ask(p, "ann", "annpw").status in (401, 403))
    p.down()
    d.down()
    d = Directory().up()
    p = Postern(policies=policy(d.port, extra="startTls: true"), store="memory", env=trusted)
    r = ask(p, "ann", "annpw")
    equal("a directory that has no TLS", (r.status, r.header("x-postern-reason")), (403, "ldap_trouble"))
    p.down()
    d.down()
    for name, answer in (("refuses", result(1, 0x78, 2)), ("says yes and more in the clear", result(1, 0x78, 0) + result(2, 0x61, 0)),
                         ("answers a bind", result(1, 0x61, 0)), ("says yes and no TLS", result(1, 0x78, 0)), ("is none", b"HTTP/1.1 400 x\r\n\r\n")):
        fake = Clear(answer)
        p = Postern(policies=policy(fake.port, extra="startTls: true", groups="disableGroupChecking: true"), store="memory", env=trusted)
        r = ask(p, "ann", "annpw")
        equal(f"a directory that {name}", (r.status, r.header("x-postern-reason")), (403, "ldap_trouble"))
        check(f"a directory that {name} gets no password", not any(b"annpw" in m or b"uid=ann" in m for m in fake.asked)
              and b"1.3.6.1.4.1.1466.20037" in fake.asked[0], fake.asked)
        p.down()
        fake.socket.close()


if __name__ == "__main__":
    if not (SLAPD and SLAPADD and MODULES and SCHEMA):
        box.skip("ldap", "slapd is not installed")
    else:
        trouble = Directory().trouble
        if trouble:
            check("slapd takes the test's data", False, trouble)
        else:
            users()
            variants()
            over_tls()
    box.finish()
