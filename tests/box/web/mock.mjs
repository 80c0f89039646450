/*
 * mock.mjs - a stand-in for Postern's portal, for work on web/ and for its browser test.
 *
 * Serves build/web with the same headers as the real one and answers the same routes from memory, with
 * a toy decision (key known? plan used up?). It is a test tool: no security, loopback only, Node's
 * standard library and the YAML parser of the test's dependencies. Run by hand:
 *     node tests/box/web/mock.mjs [port] [--setup] [--slow]
 */
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import crypto from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
  + "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const HEADERS = {
  'Content-Security-Policy': CSP,
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const PLANS = [
  { name: 'bronze', displayName: 'Bronze', description: 'To look around.', requestsPerUnit: 5, unit: 'MINUTE' },
  { name: 'silver', displayName: 'Silver', description: 'For one application.', requestsPerUnit: 60, unit: 'MINUTE' },
  { name: 'gold', displayName: 'Gold', description: 'For a whole department.', requestsPerUnit: 5000, unit: 'HOUR' },
];
const UNIT_S = { SECOND: 1, MINUTE: 60, HOUR: 3600, DAY: 86400 };

function load_apis() {
  const dir = path.join(root, 'etc/demo/policies/apis');
  return fs.readdirSync(dir).filter((f) => f.endsWith('.yaml')).sort().map((f) => {
    const spec = parse(fs.readFileSync(path.join(dir, f), 'utf8'));
    const id = f.replace('.yaml', '');
    let operations = 0;
    for (const item of Object.values(spec.paths)) {
      operations += Object.keys(item).filter((m) => m !== 'parameters').length;
    }
    return { id, spec, operations, path: '/v1', host: `${id}.example.com` };
  });
}

class Problem extends Error {
  constructor(status, title, detail, extra = {}) {
    super(detail);
    this.status = status;
    this.body = { type: 'about:blank', title, status, detail, message: detail, ...extra };
  }
}

const base62 = (n) => {
  const abc = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  return Array.from(crypto.randomBytes(n), (b) => abc[b % 62]).join('');
};
const now = () => new Date().toISOString();

function new_state(opts) {
  const st = { opts, apis: load_apis(), users: [], sessions: new Map(), links: new Map(), keys: [], counters: new Map(), decisions: opts.setup ? [] : decisions_before() };
  if (opts.setup) st.links.set('mock-setup-token', { kind: 'setup', expires: Date.now() + 30 * 60e3 });
  else add_user(st, { email: 'demo@postern.example', name: 'Demo Keeper', role: 'owner', password: 'a quiet little gate' });
  return st;
}

function add_user(st, u) {
  const user = { id: crypto.randomUUID(), createdAt: now(), updatedAt: now(), ...u };
  st.users.push(user);
  return user;
}

const show_user = (u) => ({ id: u.id, email: u.email, name: u.name, username: u.email, isAdmin: u.role !== 'developer',
  role: u.role, synced: !!u.password, disabled: !!u.disabled, createdAt: u.createdAt, updatedAt: u.updatedAt });

const state_of = (k) => (k.revoked ? 'revoked' : k.expiresAt && Date.parse(k.expiresAt) < Date.now() ? 'expired' : 'active');
const show_key = (k) => ({ id: k.id, name: k.name, publicPart: k.publicPart, plan: k.plan, product: k.product, state: state_of(k),
  createdAt: k.createdAt, expiresAt: k.expiresAt, lastUsedAt: k.lastUsedAt });

function window_of(st, k, count) {
  const plan = PLANS.find((p) => p.name === k.plan) || PLANS[0];
  const len = UNIT_S[plan.unit];
  const start = Math.floor(Date.now() / 1000 / len) * len;
  const name = `${k.id}|${start}`;
  const used = st.counters.get(name) || 0;
  if (count && used < plan.requestsPerUnit) st.counters.set(name, used + 1);
  const after = count ? Math.min(used + 1, plan.requestsPerUnit) : used;
  return { name: plan.name, product: k.product || null, limit: plan.requestsPerUnit, unit: plan.unit, used: after,
    remaining: plan.requestsPerUnit - after, reset_seconds: start + len - Math.floor(Date.now() / 1000),
    over: count ? used >= plan.requestsPerUnit : used >= plan.requestsPerUnit };
}

/* What gateways asked before anybody came here: two workers' lists, not in order between them. */
function decisions_before() {
  const at = Date.now();
  const route = { step: 'route', policy: 'demo.harbour', rule: 'routes.yaml:8', said: 'pass', detail: 'GET /v1/tides belongs to harbour.', took_ns: 840 };
  const row = (n, minutes, d) => ({ decision_id: `00000000000000a${n}`, at_ms: at - minutes * 60e3, method: 'GET', host: 'harbour.example.com', path: '/v1/tides',
    route: 'demo.harbour', took_ns: 31400, ...d });
  return [
    row(1, 3, { allowed: true, status: 200, reason: 'ok', words: 'allowed', user: 'ann@example.com', plan: 'gold', key_id: '00000000-0000-4000-8000-000000000001',
      trace: [route, { step: 'apiKeyAuth', policy: 'demo.keys', rule: 'auth.yaml:14', said: 'pass', detail: 'config_0', took_ns: 4210 },
        { step: 'rateLimit', policy: 'demo.trial', rule: 'limits.yaml:40', said: 'shadow', detail: 'limited', took_ns: 2600 },
        { step: 'rateLimit', policy: 'demo.plans', rule: 'limits.yaml:22', said: 'pass', detail: 'within the limit', took_ns: 3100 }] }),
    row(2, 9, { allowed: false, status: 401, reason: 'key_unknown', words: 'nobody has this API key', rule: 'auth.yaml:14',
      trace: [route, { step: 'apiKeyAuth', policy: 'demo.keys', rule: 'auth.yaml:14', said: 'deny', detail: 'nobody has this API key', took_ns: 5100 }] }),
    row(3, 1, { allowed: false, status: 403, reason: 'lua_trouble', method: 'DELETE', path: `/v1/berths/${'a-very-long-segment-'.repeat(6)}`, words: 'Lua policy demo.rules: rules.yaml:12:4: attempt to index a nil value',
      rule: 'rules.yaml:12', took_ns: 1234567, trace: [route, { step: 'luaAuth', policy: 'demo.rules', rule: 'rules.yaml:12', said: 'trouble', detail: 'lua_trouble', took_ns: 1201000 }] }),
  ];
}
function keep(st, d) {
  st.decisions.push(d);
}
const short = ({ trace, ...d }) => d;

function decide(st, b) {
  const id = crypto.randomBytes(8).toString('hex');
  const api = st.apis.find((a) => (b.host ? a.host === b.host : a.id === b.product) && (b.path || '').startsWith('/'));
  const trace = [];
  const say = (allowed, status, reason, words, rule, limits = []) => {
    const d = { decision_id: id, allowed, status, reason, words, rule, trace, limits };
    keep(st, { ...d, at_ms: Date.now(), took_ns: 48210, method: b.method, host: b.host || api?.host || '', path: (b.path || '').split('?')[0],
      trace: trace.map((s, i) => ({ ...s, took_ns: s.said === 'skip' ? 0 : 1400 + i * 11700 })) });
    return d;
  };
  if (!api || !/^\/(v1\/|health$)/.test(b.path)) return say(false, 403, 'no_route', `No route matches ${b.method} ${b.path}. Check the path, or add a RouteTable.`, '');
  trace.push({ step: 'route', policy: 'demo.' + api.id, rule: 'routes.yaml:8', said: 'pass', detail: `${b.method} ${b.path} belongs to ${api.id}.` });
  if (b.path === '/health') return say(true, 200, 'ok', 'no policy applies to this route', 'routes.yaml:33');
  const clear = b.key || '';
  const key = st.keys.find((k) => k.clear === clear);
  const deny = (reason, words) => {
    trace.push({ step: 'apiKeyAuth', policy: 'demo.keys', rule: 'auth.yaml:14', said: 'deny', detail: words });
    trace.push({ step: 'rateLimit', policy: 'demo.plans', rule: 'limits.yaml:22', said: 'skip', detail: 'Not reached.' });
    return say(false, 401, reason, words, 'auth.yaml:14');
  };
  if (!clear) return deny('key_missing', 'The request has no API key. Send it in the header api-key.');
  if (!key || state_of(key) === 'revoked') return deny('key_unknown', 'Nobody has this API key. Look for a typo, or create a new key.');
  if (state_of(key) === 'expired') return deny('key_expired', `Key ${key.publicPart} has expired. Create a new one.`);
  key.lastUsedAt = now();
  trace.push({ step: 'apiKeyAuth', policy: 'demo.keys', rule: 'auth.yaml:14', said: 'pass', detail: `Key ${key.publicPart} on plan ${key.plan}.` });
  const w = window_of(st, key, true);
  if (w.over) {
    trace.push({ step: 'rateLimit', policy: 'demo.plans', rule: 'limits.yaml:22', said: 'limited', detail: `${w.limit} of ${w.limit} used.` });
    return say(false, 429, 'limited', `The plan ${key.plan} allows ${w.limit} requests per ${w.unit.toLowerCase()}. Try again in ${w.reset_seconds} s.`, 'limits.yaml:22', [w]);
  }
  trace.push({ step: 'rateLimit', policy: 'demo.plans', rule: 'limits.yaml:22', said: 'pass', detail: `${w.used} of ${w.limit} used.` });
  return say(true, 200, 'ok', 'Allowed: the key is good and the plan has room.', 'auth.yaml:14', [w]);
}

function need(cond, status, title, detail, extra) {
  if (!cond) throw new Problem(status, title, detail, extra);
}
const admin = (c) => need(c.user && c.user.role !== 'developer', c.user ? 403 : 401, c.user ? 'Forbidden' : 'Not signed in', 'Only administrators may see this.');
const signed = (c) => need(c.user, 401, 'Not signed in', 'Sign in first.');

function open_session(c, user) {
  const id = crypto.randomBytes(32).toString('base64url');
  c.st.sessions.set(id, user.id);
  c.headers['Set-Cookie'] = `__Host-postern=${id}; Secure; HttpOnly; SameSite=Lax; Path=/`;
}
function good_password(p) {
  need(typeof p === 'string' && p.length >= 12, 422, 'Password is too short', 'At least 12 characters; a few words are fine.', { field: 'password' });
}

const ROUTES = [
  ['GET', '/v1/status', (c) => ({ version: '0.1.0-mock', product: 'Postern', title: 'Postern', setup_needed: !c.st.users.length, signed_in: !!c.user,
    demo: !c.st.opts.setup, public_catalogue: !c.st.opts.private,
    ...(c.st.opts.setup ? {} : { sign_in_hint: { email: 'demo@postern.example', password: 'a quiet little gate' } }) })],
  ['GET', '/v1/setup', (c) => {
    const l = c.st.links.get(c.url.searchParams.get('token'));
    need(l && l.expires > Date.now(), 404, 'Not found', 'This link was used already or is older than 30 minutes.');
    return { expires_at: new Date(l.expires).toISOString(), kind: l.kind, ...(l.user ? { email: l.user.email, name: l.user.name } : {}) };
  }],
  ['POST', '/v1/setup', (c) => {
    const l = c.st.links.get(c.body.token);
    need(l, 404, 'Not found', 'This link was used already or is older than 30 minutes.');
    if (!l.user) need(/.@./.test(c.body.email || ''), 422, 'E-mail is not valid', 'Write it as name@host.', { field: 'email' });
    good_password(c.body.password);
    const user = l.user || add_user(c.st, { email: c.body.email, name: c.body.name, role: 'owner' });
    user.password = c.body.password;
    c.st.links.delete(c.body.token);
    open_session(c, user);
    c.status = 201;
    return show_user(user);
  }],
  ['POST', '/v1/session', (c) => {
    const u = c.st.users.find((x) => x.email === c.body.email && x.password && x.password === c.body.password);
    need(u, 401, 'Not signed in', 'E-mail or password is wrong.');
    open_session(c, u);
    return show_user(u);
  }],
  ['DELETE', '/v1/session', (c) => { c.st.sessions.delete(c.session); c.headers['Set-Cookie'] = '__Host-postern=; Max-Age=0; Secure; HttpOnly; SameSite=Lax; Path=/'; return null; }],
  ['PUT', '/v1/me/password', (c) => {
    signed(c);
    need(c.body.current === c.user.password, 422, 'Wrong password', 'The present password is not right.', { field: 'current' });
    good_password(c.body.password);
    c.user.password = c.body.password;
    return null;
  }],
  ['GET', '/v1/me', (c) => { signed(c); return show_user(c.user); }],
  ['GET', '/v1/plans', (c) => { signed(c); return PLANS; }],
  ['GET', '/v1/gateway', () => ({ checkUrl: 'http://127.0.0.1:8083', sampleBaseUrl: 'http://127.0.0.1:8083/auth/envoy' })],
  ['GET', '/v1/api-products', (c) => c.st.apis.map((a) => ({ id: a.id, name: a.spec.info.title, description: a.spec.info.description,
    apiProductMetadata: {}, versionsCount: 1, apiKeyEnabled: true, oauthEnabled: false, versions: [a.spec.info.version],
    plans: PLANS.map((p) => p.name), operations: a.operations }))],
  ['GET', '/v1/api-products/:id/versions', (c) => {
    const a = c.st.apis.find((x) => x.id === c.params.id);
    need(a, 404, 'Not found', `There is no API named ${c.params.id}.`);
    return [{ id: `${a.id}-${a.spec.info.version}`, apiProductId: a.id, name: a.spec.info.version, title: a.spec.info.title, apiSpec: a.spec,
      documentation: '', license: a.spec.info.license?.name || '', termsOfService: a.spec.info.termsOfService || '', productVersionMetadata: {},
      keyHeader: 'api-key', host: a.host, path: a.path }];
  }],
  ['GET', '/v1/keys', (c) => { signed(c); return c.st.keys.filter((k) => k.user === c.user.id).map(show_key).reverse(); }],
  ['POST', '/v1/keys', (c) => {
    signed(c);
    const name = (c.body.name || '').trim();
    need(name && name.length <= 64, 422, 'Name is missing', 'Between 1 and 64 characters.', { field: 'name' });
    need(!c.st.keys.some((k) => k.user === c.user.id && k.name === name && !k.revoked), 409, 'Name is taken', `You have a key named ${name} already.`, { field: 'name' });
    const pub = 'pst_' + base62(8);
    const k = { id: crypto.randomUUID(), user: c.user.id, name, publicPart: pub, clear: pub + base62(36), plan: c.body.plan || 'bronze',
      product: c.body.product || null, createdAt: now(), lastUsedAt: null,
      expiresAt: c.body.expiresInDays ? new Date(Date.now() + c.body.expiresInDays * 86400e3).toISOString() : null };
    c.st.keys.push(k);
    c.status = 201;
    c.headers['Cache-Control'] = 'no-store';
    return { ...show_key(k), apiKey: k.clear };
  }],
  ['DELETE', '/v1/keys/:id', (c) => {
    signed(c);
    const k = c.st.keys.find((x) => x.id === c.params.id && x.user === c.user.id);
    need(k, 404, 'Not found', 'There is no such key.');
    k.revoked = now();
    return null;
  }],
  ['GET', '/v1/keys/:id/usage', (c) => {
    signed(c);
    const k = c.st.keys.find((x) => x.id === c.params.id && x.user === c.user.id);
    need(k, 404, 'Not found', 'There is no such key.');
    return { limits: [window_of(c.st, k, false)], asOf: now() };
  }],
  ['POST', '/v1/decide', (c) => { signed(c); return decide(c.st, c.body); }],
  ['GET', '/admin/v1/health', (c) => {
    admin(c);
    return { checks: [
      { name: 'portal', state: 'ok', value: 'https 127.0.0.1:8443, 12 connections' },
      { name: 'check', state: 'ok', value: '127.0.0.1:8083, 1,204 decisions in the last minute' },
      { name: 'redis', state: 'ok', value: '127.0.0.1:6379' },
      { name: 'store', state: 'warn', value: 'memory, nothing survives a stop', cure: 'Start with --store sqlite to keep keys and counters.' },
      { name: 'certificate', state: 'ok', value: 'valid until 2027-11-21' },
      { name: 'policies', state: 'bad', value: '1 fault in the last reload, the set of 04:12 stays in force', cure: 'Mend limits.yaml:31:7, then wait a second or send SIGHUP.' },
    ] };
  }],
  ['GET', '/admin/v1/policies', (c) => {
    admin(c);
    return { loadedAt: new Date(Date.now() - 420e3).toISOString(),
      counts: { files: 6, resources: 14, routes: 4, extAuth: 2, rateLimits: 3, lua: 1, apis: c.st.apis.length, plans: PLANS.length },
      faults: [
        { file: 'limits.yaml', line: 31, col: 7, text: 'spec.raw.rateLimits[0].unit: "MINUTES" is not a unit; expected SECOND, MINUTE, HOUR or DAY. Write MINUTE.', notice: false },
        { file: 'routes.yaml', line: 9, col: 5, text: 'forwardTo is read and ignored: your gateway routes, Postern decides.', notice: true },
      ] };
  }],
  ['GET', '/admin/v1/decisions', (c) => {
    admin(c);
    return c.st.decisions.filter((d) => !(c.url.searchParams.get('denied') === '1' && d.allowed)).slice(-(Number(c.url.searchParams.get('limit')) || 50)).map(short);
  }],
  ['GET', '/admin/v1/decisions/:id', (c) => {
    admin(c);
    const d = c.st.decisions.find((x) => x.decision_id === c.params.id);
    need(d, 404, 'Not found', 'no such decision is kept (any more); check.explain says how many are');
    return d;
  }],
  ['GET', '/admin/v1/users', (c) => { admin(c); return c.st.users.map(show_user); }],
  ['POST', '/admin/v1/users', (c) => {
    admin(c);
    need(/.@./.test(c.body.email || ''), 422, 'E-mail is not valid', 'Write it as name@host.', { field: 'email' });
    need(!c.st.users.some((u) => u.email === c.body.email), 409, 'Already there', `${c.body.email} has an account.`, { field: 'email' });
    const user = add_user(c.st, { email: c.body.email, name: c.body.name || '', role: c.body.role || 'developer' });
    const token = base62(32);
    c.st.links.set(token, { kind: 'invite', user, expires: Date.now() + 86400e3 });
    c.status = 201;
    return { user: show_user(user), setupLink: `${c.origin}/setup?token=${token}` };
  }],
  ['GET', '/admin/v1/openapi.json', (c) => { admin(c); return admin_spec(); }],
];

function admin_spec() {
  const ok = (description) => ({ 200: { description, content: { 'application/json': { schema: { type: 'object' } } } } });
  return { openapi: '3.1.0', info: { title: 'Postern for administrators', version: '1', description: 'What the portal itself uses.' },
    servers: [{ url: '/' }], paths: {
      '/admin/v1/health': { get: { operationId: 'getHealth', summary: 'Get health', tags: ['State'], responses: ok('One line per part.') } },
      '/admin/v1/policies': { get: { operationId: 'getPolicies', summary: 'Get policies', tags: ['State'], responses: ok('Counts and faults.') } },
      '/admin/v1/users': { get: { operationId: 'listUsers', summary: 'List people', tags: ['People'], responses: ok('Everybody.') } },
    } };
}

function match(method, pathname) {
  for (const [m, pattern, fn] of ROUTES) {
    if (m !== method) continue;
    const want = pattern.split('/');
    const have = pathname.split('/');
    if (want.length !== have.length) continue;
    const params = {};
    if (want.every((w, i) => (w[0] === ':' ? (params[w.slice(1)] = decodeURIComponent(have[i])) !== '' : w === have[i]))) return { fn, params };
  }
  return null;
}

function api(st, req, res, url, body) {
  const session = /__Host-postern=([^;]+)/.exec(req.headers.cookie || '')?.[1];
  const user = st.users.find((u) => u.id === st.sessions.get(session));
  const c = { st, url, session, user, status: 200, headers: {}, origin: `http://${req.headers.host}` };
  const send = (status, type, obj) => {
    res.writeHead(status, { ...HEADERS, 'Content-Type': type, 'Cache-Control': 'no-store', ...c.headers });
    res.end(obj === null ? '' : JSON.stringify(obj));
  };
  try {
    const unsafe = req.method !== 'GET';
    need(!unsafe || (req.headers['x-postern'] === '1' && (req.headers['sec-fetch-site'] || 'same-origin') === 'same-origin'),
      403, 'Forbidden', 'The request does not come from the portal.');
    c.body = body ? JSON.parse(body) : {};
    const hit = match(req.method, url.pathname);
    need(hit, 404, 'Not found', 'There is no such address.');
    c.params = hit.params;
    const out = hit.fn(c);
    send(out === null ? 204 : c.status, 'application/json', out);
  } catch (e) {
    if (!(e instanceof Problem)) throw e;
    send(e.status, 'application/problem+json', e.body);
  }
}

function file(req, res, url) {
  const web = process.env.WEB_BUILD || path.join(root, 'build/web');
  const asset = url.pathname.startsWith('/assets/') || url.pathname === '/favicon.svg';
  const name = asset ? path.join(web, path.normalize(url.pathname)) : path.join(web, 'index.html');
  if (!name.startsWith(web) || !fs.existsSync(name)) { res.writeHead(404, HEADERS); res.end(); return; }
  const gz = zlib.gzipSync(fs.readFileSync(name));
  res.writeHead(200, { ...HEADERS, 'Content-Type': TYPES[path.extname(name)] || 'application/octet-stream', 'Content-Encoding': 'gzip',
    'Cache-Control': url.pathname.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache' });
  res.end(gz);
}

export function start_mock(opts = {}) {
  const st = new_state(opts);
  const server = http.createServer((req, res) => {
    const url = new URL(req.url, 'http://x');
    const parts = [];
    req.on('data', (d) => parts.push(d));
    req.on('end', () => {
      const isapi = /^\/(v1|admin\/v1)\//.test(url.pathname);
      if (isapi) setTimeout(() => api(st, req, res, url, Buffer.concat(parts).toString()), opts.slow ? 900 : 0);
      else file(req, res, url);
    });
  });
  return new Promise((resolve) => server.listen(opts.port || 0, '127.0.0.1', () => {
    const url = `http://127.0.0.1:${server.address().port}`;
    resolve({ url, state: st, add_user: (u) => add_user(st, u), setup: `${url}/setup?token=mock-setup-token`, close: () => new Promise((r) => { server.closeAllConnections?.(); server.close(r); }) });
  }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2]) || 8444;
  const m = await start_mock({ port, setup: process.argv.includes('--setup'), slow: process.argv.includes('--slow') });
  console.log(m.url, process.argv.includes('--setup') ? m.setup : 'demo@postern.example / "a quiet little gate"');
}
