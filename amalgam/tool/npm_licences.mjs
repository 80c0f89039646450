// npm_licences.mjs - build-time: `node npm_licences.mjs web OUT` copies the licence of every package
// that the front end's bundle contains (the "dependencies" of package.json, not the tools) to
// OUT/<name>.txt, and prints a line "name version licences/<name>.txt" for each.
import { copyFileSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [dir, out] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(file, "utf8"));
for (const name of Object.keys(read(join(dir, "package.json")).dependencies ?? {}).sort()) {
  const home = join(dir, "node_modules", name);
  const licence = readdirSync(home).find((f) => /^(licen[cs]e|copying)/i.test(f));
  if (!licence) throw new Error(`${name}: no licence file in ${home}`);
  const file = name.replace(/^@/, "").replaceAll("/", "_");
  copyFileSync(join(home, licence), join(out, `${file}.txt`));
  console.log(`${name} ${read(join(home, "package.json")).version} licences/${file}.txt`);
}
