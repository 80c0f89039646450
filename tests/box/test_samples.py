"""Every sample in etc/ is loaded by the program itself.
BUILDS: release
"""
import box

status, out, err = box.run("config", "print", "--origin", "--config", box.ROOT / "etc/postern.yaml")
box.equal("etc/postern.yaml is read", status, 0)
box.check("its values come from the file", "etc/postern.yaml:" in out, out + err)

status, out, err = box.run("check-config", "--policies", box.ROOT / "etc/demo/policies")
box.equal("etc/demo/policies are fine", status, 0)
box.check("without faults", "fine" in out and "error" not in out, out + err)

unit = (box.ROOT / "etc/postern.service").read_text()
command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
words = command.split()[1:]
box.equal("the unit starts a command that exists", box.run(words[0], "--help")[0], 0)
for flag in (w for w in words if w.startswith("--")):
    box.check(f"the unit's {flag} exists", flag in box.run("serve", "--help")[1])
box.finish()
