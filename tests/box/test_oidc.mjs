#!/usr/bin/env node
/*
 * test_oidc.mjs - people sign in at a certified OpenID provider (oidc-provider) in real Chromium, through real gateways
 * that ask Postern.
 *
 * The workshop: Gloo's labs 16 to 19 step by step, the same objects with the rule in Lua instead of Rego (both users in;
 * then user1 refused by the domain of the address; then X-Email; then X-Organization). Every gateway: login, callback,
 * refresh, logout, logout by the provider, with sessions in the store and in cookies so large that there are several.
 * Besides: logins side by side, a key that changes, a provider that is down.
 *
 * Needs Chromium, Caddy and npm ci --ignore-scripts in tests/box/web; skips with a reason else, and gateways one by one.
 * BUILDS: release dev
 * TIMEOUT: 1200
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';

const { check, missing, not_ok, open_browser, tally } = await import('./web/drive.mjs');
const { gateways } = await import('./web/gateways.mjs');

const caddy = gateways.find((g) => g.name === 'caddy').program;
const Provider = await import('oidc-provider').catch(() => import('./web/node_modules/oidc-provider/lib/index.js')).catch(() => null);
const why = missing(false) || (!caddy && 'caddy is not installed') || (!Provider && 'oidc-provider is missing: run npm ci --ignore-scripts in tests/box/web') ||
  (!process.env.POSTERN && 'POSTERN does not name a binary');
if (why) {
  console.log(`skip oidc - ${why}`);
  process.exit(0);
}
const tmp = process.env.TEST_TMP || fs.mkdtempSync('/tmp/oidc-');
const children = [];
const sleep = (ms) => new Promise((r) => { setTimeout(r, ms); });

async function until(what, fn, seconds = 90) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    try {
      const v = await fn();
      if (v) return v;
    } catch { /* not yet */ }
    await sleep(100);
  }
  throw new Error(`waited in vain for ${what}`);
}

function free_port() {
  return new Promise((r) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => r(port)); });
  });
}

function start(name, program, args, env = {}, cwd = tmp) {
  const log = fs.openSync(path.join(tmp, `${name}.log`), 'w');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env }, cwd });
  children.push(child);
  return child;
}

function get(port, target, headers) {
  return new Promise((done, fail) => {
    http.get({ host: '127.0.0.1', port, path: target, headers }, (r) => {
      let body = '';
      r.on('data', (d) => { body += d; });
      r.on('end', () => done({ status: r.statusCode, headers: r.headers, body }));
    }).on('error', fail);
  });
}

/* ---- the provider ---- */

const TTL = 5; /* seconds that tokens live */
const users = { user1: 'user1@example.com', user2: 'user2@solo.io', user3: 'user3@solo.io' };
const badge = 'b'.repeat(3000); /* of user3: a session that needs several cookies */
const idp = { down: false, handler: null, tokens: 0, refreshes: 0, revoked: 0, posted: 0 };

function new_key(kid) {
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
}

/* What it remembers outlives a change of its keys. */
const kept = new Map();
class Kept {
  constructor(kind) { this.kind = kind; }
  name(id) { return `${this.kind}:${id}`; }
  async upsert(id, payload) { kept.set(this.name(id), payload); }
  async find(id) { return kept.get(this.name(id)); }
  async findByUid(uid) { return [...kept].find(([k, v]) => k.startsWith(`${this.kind}:`) && v.uid === uid)?.[1]; }
  async findByUserCode() { return undefined; }
  async consume(id) { kept.get(this.name(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { kept.delete(this.name(id)); }
  async revokeByGrantId(id) { for (const [k, v] of kept) if (v.grantId === id) kept.delete(k); }
}

function provider(key) {
  const p = new Provider.default(idp.issuer, {
    clients: [{
      client_id: 'httpbin', client_secret: 'the client\'s secret: +&%', redirect_uris: apps.map((a) => `${a.url}/callback`),
      post_logout_redirect_uris: apps.map((a) => `${a.url}/get`),
      backchannel_logout_uri: 'https://localhost:1/', backchannel_logout_session_required: true, /* so id tokens have sid */ grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'client_secret_basic',
    }],
    jwks: { keys: [key] },
    adapter: Kept,
    cookies: { keys: ['test'] },
    claims: { openid: ['sub'], email: ['email', 'badge'] },
    conformIdTokenClaims: false,
    scopes: ['openid', 'email'],
    pkce: { required: () => true },
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    ttl: { AccessToken: TTL, IdToken: TTL, AuthorizationCode: 60, RefreshToken: 600, Session: 600, Grant: 600, Interaction: 600 },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true }, rpInitiatedLogout: { enabled: true }, backchannelLogout: { enabled: true } },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: users[id], ...(id === 'user3' && { badge }) }) }),
    clientBasedCORS: () => false,
  });
  p.on('grant.success', (ctx) => {
    idp.tokens++;
    if (ctx.oidc.params.grant_type === 'refresh_token') idp.refreshes++;
  });
  p.on('grant.error', (ctx, e) => console.log(`# grant.error ${e.message} ${e.error_description}`));
  p.on('grant.revoked', () => { idp.revoked++; });
  idp.handler = p.callback();
}

/* The page of the provider's logout that loads the applications' addresses in frames. */
function provider_frames(q, r) {
  const to = new URL(q.url, idp.issuer).searchParams.get('to').replace(/&/g, '&amp;').replace(/"/g, '&quot;');
  r.setHeader('content-type', 'text/html').end(`<!doctype html><title>Signing out</title><iframe src="${to}"></iframe>`);
}

async function start_provider() {
  const server = http.createServer((q, r) => {
    if (idp.down) return q.socket.destroy();
    if (q.url.startsWith('/frames?')) return provider_frames(q, r);
    idp.posted += q.method === 'POST' && q.url.startsWith('/session/end') && !q.url.includes('confirm');
    return idp.handler(q, r);
  });
  await new Promise((r) => { server.listen(0, '127.0.0.1', r); });
  idp.issuer = `http://localhost:${server.address().port}`;
  const say = console.error;
  const quiet = (...a) => (/WARNING|NOTICE|oidc-provider/.test(String(a[0])) ? undefined : say(...a));
  console.warn = console.error = console.info = quiet;
  provider(new_key('first'));
}

/* ---- gateway, API, Postern ---- */

const seen = [];
function start_api() {
  return new Promise((r) => {
    const s = http.createServer((q, a) => {
      seen.push(q.url);
      a.setHeader('content-type', 'application/json');
      a.end(JSON.stringify({ url: q.url, headers: q.headers }));
    }).listen(0, '127.0.0.1', () => r(s.address().port));
  });
}

/* The workshop's objects, as far as its labs have come: 1 sign-in, 2 the rule about addresses, 3 X-Email, 4 X-Organization. */
function lab(app, stage) {
  const logout = stage < 2 ? '' : `
            logoutPath: /logout
            afterLogoutUrl: "${app}/get"`;
  const rule = stage < 2 ? '' : `
      - luaAuth:
          inline: |
            return function(req)
              local payload = req.state.jwt:match("^[^.]+%.([^.]+)%.")
              local email = postern.json.decode(postern.base64.decode(payload)).email
              return email:sub(-8) == "@solo.io"
            end`;
  const objects = [`apiVersion: v1
kind: Secret
metadata:
  name: oauth
  namespace: httpbin
type: extauth.solo.io/oauth
data:
  client-secret: ${Buffer.from('the client\'s secret: +&%').toString('base64')}
`, `apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata:
  name: httpbin
  namespace: httpbin
spec:
  applyToRoutes:
  - route:
      labels:
        oauth: "true"
  config:
    server:
      name: ext-auth-server
      namespace: httpbin
      cluster: cluster1
    glooAuth:
      configs:
      - oauth2:
          oidcAuthorizationCode:
            appUrl: "${app}"
            callbackPath: /callback
            clientId: httpbin
            clientSecretRef:
              name: oauth
              namespace: httpbin
            issuerUrl: "${idp.issuer}/"${logout}
            session:
              failOnFetchFailure: true
              redis:
                cookieName: keycloak-session
                options:
                  host: redis:6379
            scopes:
            - email
            headers:
              idTokenHeader: jwt${rule}
`, `apiVersion: admin.gloo.solo.io/v2
kind: ExtAuthServer
metadata:
  name: ext-auth-server
  namespace: httpbin
spec:
  destinationServer:
    ref:
      cluster: cluster1
      name: ext-auth-service
      namespace: gloo-mesh-addons
    port:
      name: grpc
`, `apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata:
  name: httpbin
  namespace: httpbin
  labels:
    expose: "true"
spec:
  http:
  - name: httpbin
    labels:
      oauth: "true"
    matchers:
    - uri:
        exact: /get
    - uri:
        exact: /logout
    - uri:
        prefix: /callback
    forwardTo:
      destinations:
      - ref:
          name: in-mesh
          namespace: httpbin
        port:
          number: 8000
`];
  const port = new URL(idp.issuer).port;
  if (stage >= 3) objects.push(`apiVersion: networking.gloo.solo.io/v2
kind: ExternalEndpoint
metadata:
  name: keycloak
  namespace: httpbin
  labels:
    host: keycloak
spec:
  address: localhost
  ports:
  - name: http
    number: ${port}
`, `apiVersion: networking.gloo.solo.io/v2
kind: ExternalService
metadata:
  name: keycloak
  namespace: httpbin
  labels:
    expose: "true"
spec:
  hosts:
  - keycloak
  ports:
  - name: http
    number: ${port}
    protocol: HTTP
  selector:
    host: keycloak
`, `apiVersion: security.policy.gloo.solo.io/v2
kind: JWTPolicy
metadata:
  name: httpbin
  namespace: httpbin
spec:
  applyToRoutes:
  - route:
      labels:
        oauth: "true"
  config:
    phase:
      postAuthz:
        priority: 1
    providers:
      keycloak:
        issuer: ${idp.issuer}
        tokenSource:
          headers:
          - name: jwt
        remote:
          url: ${idp.issuer}/jwks
          destinationRef:
            kind: EXTERNAL_SERVICE
            ref:
              name: keycloak
            port:
              number: ${port}
        claimsToHeaders:
        - claim: email
          header: X-Email
`);
  if (stage >= 4) objects.push(`apiVersion: trafficcontrol.policy.gloo.solo.io/v2
kind: TransformationPolicy
metadata:
  name: modify-header
  namespace: httpbin
spec:
  applyToRoutes:
  - route:
      labels:
        oauth: "true"
  config:
    phase:
      postAuthz:
        priority: 2
    request:
      injaTemplate:
        extractors:
          organization:
            header: 'X-Email'
            regex: '.*@(.*)$'
            subgroup: 1
        headers:
          x-organization:
            text: "{{ organization }}"
`);
  return objects.join('---\n');
}

/* What one gateway serves under one name. */
function flow(a) {
  const session = a.kind === 'cookie' ? 'cookie: {allowRefreshing: true, keyPrefix: s}' : 'redis: {cookieName: s, preExpiryBuffer: 1s}';
  return `apiVersion: security.policy.gloo.solo.io/v2
kind: ExtAuthPolicy
metadata: {name: ${a.name}, namespace: flow}
spec:
  applyToRoutes: [{route: {labels: {flow: ${a.name}}}}]
  config:
    glooAuth:
      configs:
      - oauth2:
          oidcAuthorizationCode:
            appUrl: ${a.url}
            callbackPath: /callback
            clientId: httpbin
            clientSecretRef: {name: oauth, namespace: httpbin}
            issuerUrl: ${idp.issuer}
            scopes: [email]
            logoutPath: /logout
            afterLogoutUrl: ${a.url}/get
            endSessionProperties: {methodType: ${a.posts ? 'PostMethod' : 'GetMethod'}}
            frontChannelLogout: {path: /front}
            session: {${session}}
            headers: {idTokenHeader: jwt}
            identityToken: {claimsToHeaders: [{claim: email, header: X-Email}]}
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata: {name: ${a.name}, namespace: flow}
spec:
  hosts: [${a.host}]
  http:
  - name: ${a.name}
    labels: {flow: ${a.name}}
    matchers: [{uri: {exact: /get}}, {uri: {exact: /logout}}, {uri: {exact: /callback}}, {uri: {exact: /front}}]
`;
}

const policies = path.join(tmp, 'policies');
let apps = []; /* { name, host, url, gateway, kind, posts } */

function write_lab(app, stage) {
  fs.writeFileSync(path.join(policies, 'new'), lab(app, stage));
  fs.renameSync(path.join(policies, 'new'), path.join(policies, 'lab.yaml'));
}

async function start_postern() {
  const port = await free_port();
  fs.mkdirSync(policies, { recursive: true });
  write_lab(apps[0].url, 1);
  for (const a of apps.slice(1)) fs.writeFileSync(path.join(policies, `${a.name}.yaml`), flow(a));
  start('postern', process.env.POSTERN, ['serve', '--data', path.join(tmp, 'data'), '--policies', policies, '--store', 'memory',
    '--portal', 'off', '--redis', 'off', '--admin', 'off', '--threads', '2', '--check', `127.0.0.1:${port}`]);
  await until('Postern', async () => (await get(port, '/healthz')).status === 200);
  return port;
}

const listens = (at) => new Promise((r) => { const s = net.connect(at, '127.0.0.1', () => { s.destroy(); r(true); }).on('error', () => r(false)); });

async function start_gateway(g, check_port, api) {
  const home = path.join(tmp, g.name);
  fs.mkdirSync(home, { recursive: true });
  const place = { home, at: g.at, check: check_port, api, key: path.join(tmp, 'key.pem'), cert: path.join(tmp, 'cert.pem'), headers: ['jwt', 'X-Email', 'X-Organization'] };
  start(g.name, g.program, g.write(place), { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home }, home);
  await until(g.name, () => listens(g.at)).catch((e) => { throw new Error(`${e.message}: ${fs.readFileSync(path.join(tmp, `${g.name}.log`), 'utf8').slice(-500)}`); });
}

/* The lab's own name first, then each gateway with a session in the store and, where the cookies arrive, in cookies. */
async function plan() {
  const there = gateways.filter((g) => g.program);
  for (const g of gateways) if (!g.program) console.log(`skip oidc: ${g.name} - it is not installed`);
  for (const g of there) g.at = await free_port();
  const at = there.find((g) => g.name === 'caddy').at;
  apps = [{ name: 'lab', host: 'lab.localhost', url: `https://lab.localhost:${at}` }];
  for (const g of there)
    for (const kind of g.cookies ? ['store', 'cookie'] : ['store']) {
      const name = kind === 'cookie' ? `${g.name}-cookie` : g.name;
      apps.push({ name, host: `${name}.localhost`, url: `https://${name}.localhost:${g.at}`, gateway: g, kind, posts: g.posts && kind === 'store' });
    }
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=*.localhost',
    '-addext', `subjectAltName=${apps.map((a) => `DNS:${a.host}`).join(',')}`, '-keyout', path.join(tmp, 'key.pem'), '-out', path.join(tmp, 'cert.pem')], { stdio: 'ignore' });
  return there;
}

/* ---- people ---- */

async function person(browser, app) {
  const context = await browser.newContext({ baseURL: app, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(60000);
  context.setDefaultNavigationTimeout(60000);
  return { context, page: await context.newPage() };
}

/* At the provider's own pages: name and password, then consent. The application's answer to what was asked for first. */
async function sign_in(page, name) {
  const ours = (u) => !u.startsWith(idp.issuer);
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('password');
  await page.locator('button[type=submit]').click();
  const consent = page.getByRole('button', { name: 'Continue' });
  await Promise.race([consent.waitFor().catch(() => {}), page.waitForURL((u) => ours(u.href))]).catch(() => {});
  if (page.url().includes('/interaction/')) {
    const answer = page.waitForResponse((r) => ours(r.url()) && !r.url().includes('/callback'));
    await consent.click();
    return answer;
  }
  return null;
}

const text_of = async (page) => JSON.parse(await page.locator('body').innerText());
const claims_of = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

/* A file that changed is in force when a request says so. */
const fetched = (p) => p.page.evaluate(() => fetch('/get').then(async (r) => ({ status: r.status, reason: r.headers.get('x-postern-reason'), text: await r.text() })));
const reloaded = (p, what, sure) => until(what, async () => sure((await fetched(p)).text));

async function labs(browser) {
  const app = apps[0].url;
  const user1 = await person(browser, app);
  await user1.page.goto('/get');
  check('lab 17: without a session the browser is sent to the provider', user1.page.url().startsWith(idp.issuer), user1.page.url());
  await sign_in(user1.page, 'user1');
  let got = (await text_of(user1.page)).headers;
  check('lab 17: user1 is in, and the id token is in the header jwt', claims_of(got.jwt).email === users.user1, JSON.stringify(got));
  write_lab(app, 2);
  await reloaded(user1, 'the rule about addresses', (text) => !text.includes('headers'));
  const before = seen.length;
  const answer = await fetched(user1);
  check('lab 17: with the rule about addresses user1 is refused', answer.status === 403, JSON.stringify(answer));
  check('lab 17: nothing of it reached the API', seen.length === before);
  await user1.context.close();

  const user2 = await person(browser, app);
  await user2.page.goto('/get?x=1');
  await sign_in(user2.page, 'user2');
  check('lab 17: user2 comes back to the page that was asked for', user2.page.url() === `${app}/get?x=1`, user2.page.url());
  got = (await text_of(user2.page)).headers;
  check('lab 17: user2 is allowed', claims_of(got.jwt).email === users.user2 && got['x-email'] !== users.user2, JSON.stringify(got).slice(-300));
  write_lab(app, 3);
  await reloaded(user2, 'X-Email', (text) => JSON.parse(text).headers['x-email'] === users.user2);
  check('lab 18: X-Email is set', true);
  write_lab(app, 4);
  await reloaded(user2, 'X-Organization', (text) => JSON.parse(text).headers['x-organization'] === 'solo.io');
  await user2.page.goto('/get');
  got = (await text_of(user2.page)).headers;
  check('lab 19: X-Organization is set', got['x-organization'] === 'solo.io' && got['x-email'] === users.user2, JSON.stringify(got).slice(-300));
  check('the session does not reach the API', !/session/.test(got.cookie || ''), got.cookie);
  const cookies = (await user2.context.cookies(app)).filter((c) => c.name.includes('keycloak-session'));
  check('the cookie is __Host-, Secure, HttpOnly, Lax', cookies.length === 1 && cookies[0].name === '__Host-keycloak-session' && cookies[0].secure &&
    cookies[0].httpOnly && cookies[0].sameSite === 'Lax', JSON.stringify(cookies));
  await user2.page.goto('/logout');
  check('lab 17: logout leads to the end of session of the provider', user2.page.url().includes('/session/end'), user2.page.url());
  await user2.page.getByRole('button', { name: /yes/i }).click();
  await until('the way back', () => user2.page.url().startsWith(`${idp.issuer}/interaction/`));
  check('lab 17: from there to afterLogoutUrl, where one has to sign in again', true);
  await user2.context.close();
}

/* ---- every gateway ---- */

const ours = async (p, app) => (await p.context.cookies(app)).filter((c) => c.name.startsWith('__Host-s'));
const shown = (cookies) => cookies.map((c) => `${c.name}=${c.value.length}`).join(' ');

async function through(browser, a) {
  const say = (what) => `${a.name}: ${what}`;
  const name = a.kind === 'cookie' ? 'user3' : 'user2';
  const p = await person(browser, a.url);
  await p.page.goto('/get?x=1');
  check(say('without a session the browser is sent to the provider'), p.page.url().startsWith(idp.issuer), p.page.url());
  await p.context.addCookies([{ name: 'theme', value: 'dark', url: a.url }]);
  await sign_in(p.page, name);
  check(say('back at the page that was asked for'), p.page.url() === `${a.url}/get?x=1`, p.page.url());
  const got = (await text_of(p.page)).headers;
  check(say('identity is there, our cookies are not'), got['x-email'] === users[name] && got.cookie === 'theme=dark', JSON.stringify(got).slice(0, 300));
  const cookies = await ours(p, a.url);
  check(say('the session came, the login\'s cookie went, in one answer'), (a.kind === 'cookie' ? cookies.length > 1 : cookies.length === 1) &&
    !cookies.some((c) => c.name.includes('_l_')), shown(cookies));
  const forged = await p.page.evaluate(() => fetch('/get', { headers: { 'X-Email': 'root@solo.io', jwt: 'x' } }).then((r) => r.json()));
  check(say('identity cannot be forged'), forged.headers['x-email'] === users[name] && forged.headers.jwt.length > 100);

  const first = got.jwt;
  await until('the tokens to end', async () => { await p.page.goto('/get'); return (await text_of(p.page)).headers.jwt !== first; });
  check(say('tokens are renewed'), p.page.url() === `${a.url}/get`, p.page.url());
  if (a.kind === 'cookie') {
    const now = await ours(p, a.url);
    check(say('and the cookies with them'), now.length > 1 && now.every((c) => !cookies.some((k) => k.name === c.name && k.value === c.value)), shown(now));
  }
  await leave(a, p, say);
  await p.context.close();
}

async function leave(a, p, say) {
  const kept = await ours(p, a.url);
  const posted = idp.posted;
  await p.page.goto('/logout');
  await until('the provider', () => p.page.url().includes('/session/end'));
  check(say('logout leads to the provider, without a token in the address'), !p.page.url().includes('eyJ') && (idp.posted > posted) === !!a.posts, `${p.page.url()} ${idp.posted - posted}`);
  check(say('its cookies are gone'), (await ours(p, a.url)).length === 0, shown(await ours(p, a.url)));
  await p.context.addCookies(kept);
  await p.page.goto('/get');
  check(say('cookies that were kept are worth nothing'), p.page.url().startsWith(idp.issuer), p.page.url());
}

/* Signed out at the provider, whose page loads ours in a frame of another site: no cookie comes along. */
async function by_the_provider(browser, a) {
  const say = (what) => `${a.name}: ${what}`;
  const p = await person(browser, a.url);
  await p.page.goto('/get');
  await sign_in(p.page, 'user2');
  const { iss, sid } = claims_of((await text_of(p.page)).headers.jwt);
  const other = await p.context.newPage();
  const front = (id) => `${idp.issuer}/frames?to=${encodeURIComponent(`${a.url}/front?iss=${encodeURIComponent(iss)}&sid=${encodeURIComponent(id)}`)}`;
  const load = async (id) => { const r = other.waitForResponse((x) => x.url().includes('/front?iss')); await other.goto(front(id)); return (await r).status(); };
  await load('another');
  await p.page.goto('/get');
  check(say('another\'s logout at the provider ends nothing'), p.page.url() === `${a.url}/get`, p.page.url());
  const status = await load(sid);
  check(say(`logout at the provider is answered ${a.gateway.page}`), status === a.gateway.page, status);
  const type = await p.page.evaluate(() => fetch('/get', { redirect: 'manual' }).then((r) => r.type)); /* the provider would let in at once */
  check(say('and has ended the session'), type === 'opaqueredirect', type);
  await p.context.close();
}

/* ---- one gateway for what all have in common ---- */

async function renewed(p) {
  await p.page.goto('/get');
  const first = (await text_of(p.page)).headers.jwt;
  const refreshes = idp.refreshes;
  await until('the tokens to end', async () => { await p.page.goto('/get'); return (await text_of(p.page)).headers.jwt !== first; });
  check('tokens are renewed before they end, and written back', idp.refreshes > refreshes && p.page.url().endsWith('/get'), p.page.url());
  await sleep(TTL * 1000 + 500); /* over again: many at once are one refresh */
  const count = idp.refreshes;
  const all = await p.page.evaluate(() => Promise.all(Array.from({ length: 12 }, () => fetch('/get').then((r) => r.json()).then((j) => j.headers.jwt))));
  check('twelve requests at once are one refresh', new Set(all).size === 1 && idp.refreshes === count + 1, `${new Set(all).size} ${idp.refreshes - count}`);
}

async function key_changes(p, app) {
  const old = (await text_of(p.page)).headers.jwt;
  provider(new_key('second'));
  const kid = (t) => JSON.parse(Buffer.from(t.split('.')[0], 'base64url')).kid;
  await until('a token of the new key', async () => {
    await p.page.goto('/get');
    if (!p.page.url().startsWith(app)) return false;
    return kid((await text_of(p.page)).headers.jwt) === 'second';
  });
  check('a key that changes at the provider is followed', kid(old) === 'first');
}

async function outage(p, app) {
  const ask = async () => { const r = await fetched(p); return `${r.status} ${r.reason}`; };
  await until('fresh tokens', async () => { await p.page.goto('/get'); return p.page.url().startsWith(app); });
  idp.down = true;
  const said = await until('tokens that ended', async () => { const a = await ask(); return a.startsWith('403') && a; });
  check('a provider that is down: what cannot be renewed is refused', said === '403 idp_unavailable', said);
  idp.down = false;
  await until('the provider', async () => (await ask()).startsWith('200'));
  await p.page.goto('/get');
  check('and goes on by itself when it is back', p.page.url() === `${app}/get`);
}

async function side_by_side(browser, app) {
  const p = await person(browser, app);
  const other = await p.context.newPage();
  await p.page.goto('/get?tab=1');
  await other.goto('/get?tab=2');
  await sign_in(p.page, 'user2');
  check('two tabs: the first is signed in', p.page.url() === `${app}/get?tab=1`, p.page.url());
  await sign_in(other, 'user2');
  check('two tabs: so is the second', other.url() === `${app}/get?tab=2`, other.url());
  await p.context.close();
}

async function revoked(p) {
  const before = idp.revoked;
  await p.page.goto('/logout');
  await until('the revocation', () => idp.revoked > before);
  check('logout revokes the tokens', true);
}

async function main() {
  const there = await plan();
  await start_provider();
  const api = await start_api();
  const check_port = await start_postern();
  for (const g of there) await start_gateway(g, check_port, api);
  const browser = await open_browser();
  try {
    const chosen = process.argv.slice(2); /* names of apps, while one looks for a fault */
    if (!chosen.length) await labs(browser);
    for (const a of apps.slice(1)) {
      if (chosen.length && !chosen.includes(a.name)) continue;
      await through(browser, a);
      if (a.kind === 'store') await by_the_provider(browser, a);
    }
    if (chosen.length) return;
    const a = apps[1];
    const user2 = await person(browser, a.url);
    await user2.page.goto('/get');
    await sign_in(user2.page, 'user2');
    await renewed(user2);
    await key_changes(user2, a.url);
    await side_by_side(browser, a.url);
    await outage(user2, a.url);
    await revoked(user2);
  } finally {
    await browser.close();
  }
}

try {
  await main();
} catch (e) {
  not_ok('oidc', e.stack || e.message || e);
} finally {
  for (const c of children) c.kill('SIGTERM');
}
setTimeout(() => process.exit(tally.bad ? 1 : 0), 500);
