/*
 * build.mjs - makes build/web from web/src: hashed assets, index.html, favicon.svg.
 *
 *     npm ci --ignore-scripts && node build.mjs [--out DIR] [--watch-sizes]
 *
 * Same input, same bytes: no time, no absolute path, no random name goes into the output. The build
 * fails when a chunk or what a consumer loads grows beyond its budget, when the languages do not have
 * the same messages, when a message is used that is not there, or when the output holds something that
 * the Content-Security-Policy would refuse.
 */
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import crypto from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const arg = process.argv.indexOf('--out');
const out = arg > 0 ? path.resolve(process.argv[arg + 1]) : path.resolve(here, '../build/web');
const KIB = 1024;
const BUDGET = { consumer: 50 * KIB, chunk: 30 * KIB, total: 90 * KIB }; /* gzipped */
const TARGET = ['chrome123', 'firefox120', 'safari17.5'];

const faults = [];
const common = {
  bundle: true, minify: true, charset: 'utf8', target: TARGET, legalComments: 'none', absWorkingDir: here,
  metafile: true, outdir: 'out', write: false, entryNames: 'assets/[name].[hash]', chunkNames: 'assets/[name].[hash]',
  assetNames: 'assets/[name].[hash]', logLevel: 'warning',
};
const gz = (bytes) => zlib.gzipSync(bytes, { level: 9 }).length;

async function bundle() {
  const app = await build({ ...common, entryPoints: ['src/main.jsx'], format: 'esm', splitting: true, jsx: 'automatic', jsxImportSource: 'preact' });
  const early = await build({ ...common, entryPoints: ['src/early.js'], format: 'iife' });
  const css = await build({ ...common, entryPoints: ['src/css/portal.css'], external: ['*.svg'] });
  return [app, early, css];
}

/* Name in the output of a source file, and everything that it loads at once. */
function output_of(meta, source) {
  return Object.keys(meta.outputs).find((o) => meta.outputs[o].entryPoint === source);
}
function closure(meta, name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const i of meta.outputs[name].imports) if (i.kind === 'import-statement') closure(meta, i.path, seen);
  return seen;
}

function check_messages() {
  const read = (lang) => JSON.parse(fs.readFileSync(path.join(here, 'src/messages', `${lang}.json`), 'utf8'));
  const langs = fs.readdirSync(path.join(here, 'src/messages')).map((f) => f.replace('.json', ''));
  const en = read('en');
  const holes = (m) => JSON.stringify(m).match(/\{[a-z]+\}/gi)?.filter((v, i, a) => a.indexOf(v) === i).sort().join() || '';
  for (const lang of langs) {
    const other = read(lang);
    for (const k of Object.keys(en)) if (!(k in other)) faults.push(`messages/${lang}.json: "${k}" is missing`);
    for (const k of Object.keys(other)) {
      if (!(k in en)) faults.push(`messages/${lang}.json: "${k}" is not in en.json`);
      else if (holes(en[k]) !== holes(other[k])) faults.push(`messages/${lang}.json: "${k}" has other {holes} than en.json`);
    }
  }
  const used = new Set();
  const prefixes = new Set();
  const walk = (dir) => {
    for (const f of fs.readdirSync(dir, { withFileTypes: true })) {
      const p = path.join(dir, f.name);
      if (f.isDirectory()) { walk(p); continue; }
      if (!/\.jsx?$/.test(f.name)) continue;
      const text = fs.readFileSync(p, 'utf8');
      for (const m of text.matchAll(/\btx?\(\s*'([^']+)'/g)) used.add(m[1]);
      for (const m of text.matchAll(/'([a-z]+\.[a-zA-Z0-9_.]+)'/g)) if (m[1] in en) used.add(m[1]);
      for (const m of text.matchAll(/`([a-z.]+\.)\$\{/g)) prefixes.add(m[1]);
    }
  };
  walk(path.join(here, 'src'));
  for (const k of used) if (!(k in en)) faults.push(`messages/en.json: "${k}" is used but missing`);
  for (const k of Object.keys(en)) {
    if (!used.has(k) && ![...prefixes].some((p) => k.startsWith(p))) faults.push(`messages/en.json: "${k}" is not used`);
  }
}

function check_csp(name, text) {
  if (/\beval\(|new Function\(/.test(text)) faults.push(`${name}: evaluates text as code`);
  if (/\.innerHTML\s*=[^=]|insertAdjacentHTML|document\.write/.test(text) && !/dangerouslySetInnerHTML/.test(text)) faults.push(`${name}: writes HTML from text`);
  for (const m of text.matchAll(/https?:\/\/([a-z0-9.-]+)/gi)) {
    if (!/^(www\.w3\.org|127\.0\.0\.1|localhost|[a-z.]*example)$/.test(m[1])) faults.push(`${name}: names the host ${m[1]}`);
  }
}

function page(names, preload) {
  return fs.readFileSync(path.join(here, 'src/index.html'), 'utf8')
    .replace('{{early}}', `/${names.early}`).replace('{{css}}', `/${names.css}`).replace('{{main}}', `/${names.main}`)
    .replace('{{preload}}', preload.map((p) => `<link rel="modulepreload" href="/${p}">`).join('\n'));
}

const results = await bundle();
check_messages();
fs.rmSync(out, { recursive: true, force: true });
fs.mkdirSync(path.join(out, 'assets'), { recursive: true });
const files = new Map();
for (const r of results) for (const f of r.outputFiles) files.set(path.relative(path.join(here, 'out'), f.path), f.contents);
for (const [name, bytes] of files) {
  if (name.endsWith('.js')) check_csp(name, Buffer.from(bytes).toString());
  fs.writeFileSync(path.join(out, name), bytes);
}

const strip = (n) => n.replace(/^out\//, '');
const meta = { outputs: Object.fromEntries(Object.entries(results[0].metafile.outputs).map(([k, v]) => [strip(k), { ...v, imports: v.imports.map((i) => ({ ...i, path: strip(i.path) })) }])) };
const names = {
  main: output_of(meta, 'src/main.jsx'),
  early: strip(Object.keys(results[1].metafile.outputs)[0]),
  css: strip(Object.keys(results[2].metafile.outputs)[0]),
};
const first = closure(meta, names.main);
const html = page(names, [...first].filter((n) => n !== names.main).sort());
fs.writeFileSync(path.join(out, 'index.html'), html);
fs.copyFileSync(path.join(here, 'src/favicon.svg'), path.join(out, 'favicon.svg'));

const size = (n) => gz(fs.readFileSync(path.join(out, n)));
const consumer = new Set([...first, names.early, names.css, output_of(meta, 'src/messages/en.json')].filter(Boolean));
for (const p of ['apis', 'reference', 'keys', 'usage', 'signin']) closure(meta, output_of(meta, `src/pages/${p}.jsx`), consumer);
let total = size('index.html');
let loaded = total;
for (const n of [...files.keys()].sort()) {
  const s = size(n);
  total += s;
  if (consumer.has(n)) loaded += s;
  if (s > BUDGET.chunk) faults.push(`${n}: ${s} bytes gzipped, budget ${BUDGET.chunk}`);
  console.log(`${String(s).padStart(7)} gz ${String(files.get(n).length).padStart(8)}  ${n}${consumer.has(n) ? '' : '   (on demand)'}`);
}
if (loaded > BUDGET.consumer) faults.push(`a consumer loads ${loaded} bytes gzipped, budget ${BUDGET.consumer}`);
if (total > BUDGET.total) faults.push(`all files together: ${total} bytes gzipped, budget ${BUDGET.total}`);
const digest = crypto.createHash('sha256');
for (const n of [...files.keys(), 'index.html', 'favicon.svg'].sort()) digest.update(n).update(fs.readFileSync(path.join(out, n)));
console.log(`consumer, all pages: ${loaded} of ${BUDGET.consumer} gz; everything: ${total} of ${BUDGET.total} gz; sha256 ${digest.digest('hex').slice(0, 16)}`);
for (const f of faults) console.error(`error: ${f}`);
process.exit(faults.length ? 1 : 0);
