/*
 * samples.js - one request in four languages. Every sample runs as it stands, with what the language
 * brings along (Python: only the standard library).
 */
export const LANGS = [['curl', 'curl'], ['js', 'JavaScript'], ['python', 'Python'], ['go', 'Go']];

const sh = (s) => `'${String(s).replace(/'/g, `'\\''`)}'`;
const js = (s) => JSON.stringify(s);
const indent = (s, by) => s.replace(/\n/g, `\n${by}`);

function js_body(body) {
  try {
    return `JSON.stringify(${indent(JSON.stringify(JSON.parse(body), null, 2), '  ')})`;
  } catch {
    return js(body);
  }
}

function curl(r) {
  const parts = ['curl -i'];
  if (r.method !== 'GET') parts.push(`-X ${r.method}`);
  const lines = [`${parts.join(' ')} ${sh(r.url)}`];
  if (r.host) lines.push(`-H ${sh(`host: ${r.host}`)}`);
  for (const [n, v] of r.headers) lines.push(`-H ${sh(`${n}: ${v}`)}`);
  if (r.body) lines.push(`--data ${sh(r.body)}`);
  return lines.join(' \\\n  ');
}

function javascript(r) {
  const opts = [];
  const note = r.host ? `// through a gateway that answers for ${r.host}\n` : '';
  if (r.method !== 'GET') opts.push(`  method: ${js(r.method)},`);
  if (r.headers.length) opts.push(`  headers: {\n${r.headers.map(([n, v]) => `    ${js(n)}: ${js(v)},`).join('\n')}\n  },`);
  if (r.body) opts.push(`  body: ${js_body(r.body)},`);
  return `${note}const res = await fetch(${js(r.url)}${opts.length ? `, {\n${opts.join('\n')}\n}` : ''});\nif (!res.ok) throw new Error(\`\${res.status} \${await res.text()}\`);\nconsole.log(await res.text());`;
}

function python(r) {
  const lines = ['import urllib.request', ''];
  if (r.body) lines.push(`body = """${r.body.replace(/\\/g, '\\\\').replace(/"""/g, '\\"\\"\\"')}"""`);
  lines.push('req = urllib.request.Request(', `    ${js(r.url)},`);
  if (r.method !== 'GET') lines.push(`    method=${js(r.method)},`);
  const headers = r.host ? [['host', r.host], ...r.headers] : r.headers;
  if (headers.length) lines.push('    headers={', ...headers.map(([n, v]) => `        ${js(n)}: ${js(v)},`), '    },');
  if (r.body) lines.push('    data=body.encode(),');
  lines.push(')', 'with urllib.request.urlopen(req) as res:', '    print(res.status, res.read().decode())');
  return lines.join('\n');
}

function go(r) {
  const imports = ['fmt', 'io', 'net/http', ...(r.body ? ['strings'] : [])];
  const body = r.body ? (r.body.includes('`') ? `strings.NewReader(${js(r.body)})` : `strings.NewReader(\`${r.body}\`)`) : 'nil';
  const heads = r.headers.map(([n, v]) => `\treq.Header.Set(${js(n)}, ${js(v)})`);
  if (r.host) heads.unshift(`\treq.Host = ${js(r.host)}`);
  return `package main\n\nimport (\n${imports.map((i) => `\t"${i}"`).join('\n')}\n)\n\nfunc main() {\n\treq, err := http.NewRequest(${js(r.method)}, ${js(r.url)}, ${body})\n\tif err != nil {\n\t\tpanic(err)\n\t}\n${heads.join('\n')}${heads.length ? '\n' : ''}\tres, err := http.DefaultClient.Do(req)\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tdefer res.Body.Close()\n\tdata, _ := io.ReadAll(res.Body)\n\tfmt.Println(res.Status, string(data))\n}`;
}

const MAKERS = { curl, js: javascript, python, go };

/* r: { method, url, host, headers: [[name, value]], body } */
export const sample = (lang, r) => MAKERS[lang](r);

/* ---- colours ---- */

const WORDS = {
  curl: /\b(curl)\b/,
  js: /\b(const|await|if|throw|new|return)\b/,
  python: /\b(import|with|as|print|def|return)\b/,
  go: /\b(package|import|func|if|defer|return|nil|panic)\b/,
  json: /\b(true|false|null)\b/,
};
const STRING = /`[^`]*`|"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|'(?:[^']|'\\'')*'/;
const NUMBER = /\b\d+(?:\.\d+)?\b/;

/* Text to [class, text] pieces: strings, words, numbers, the rest. */
export function pieces(lang, text) {
  const rx = new RegExp(`(${STRING.source})|(?:${WORDS[lang].source})|(${NUMBER.source})`, 'g');
  const out = [];
  let at = 0;
  for (const m of text.matchAll(rx)) {
    if (m.index > at) out.push(['', text.slice(at, m.index)]);
    const name = lang === 'json' && m[1] && /^\s*:/.test(text.slice(m.index + m[0].length)) ? 'k' : m[1] ? 's' : m[2] ? 'w' : 'n';
    out.push([name, m[0]]);
    at = m.index + m[0].length;
  }
  if (at < text.length) out.push(['', text.slice(at)]);
  return out;
}
