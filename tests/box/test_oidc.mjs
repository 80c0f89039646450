#!/usr/bin/env node
/*
 * test_oidc.mjs - people sign in at a certified OpenID provider (oidc-provider) in real Chromium, through Caddy
 * that asks Postern: the objects of Gloo's workshop labs 16 to 19 with the rule in Lua instead of Rego (user1
 * refused by the domain of the address, user2 allowed, X-Email and X-Organization set), logins side by side,
 * refresh, a key that changes, a provider that is down, logout. nginx: the redirect through auth_request.
 *
 * Needs Chromium, Caddy and npm ci --ignore-scripts in tests/box/web; skips with a reason else.
 * BUILDS: release dev
 * TIMEOUT: 600
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';

const { check, missing, not_ok, open_browser, tally } = await import('./web/drive.mjs');

const on_path = (name) => (process.env.PATH + ':/usr/sbin').split(':').map((d) => path.join(d, name)).find((p) => fs.existsSync(p));
const caddy = on_path('caddy');
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

function start(name, program, args, env = {}) {
  const log = fs.openSync(path.join(tmp, `${name}.log`), 'w');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
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
const users = { user1: 'user1@example.com', user2: 'user2@solo.io' };
const idp = { down: false, handler: null, tokens: 0, refreshes: 0, revoked: 0 };

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

function provider(key, app) {
  const p = new Provider.default(idp.issuer, {
    clients: [{
      client_id: 'httpbin', client_secret: 'the client\'s secret: +&%', redirect_uris: [`${app}/callback`],
      post_logout_redirect_uris: [`${app}/get`], grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'client_secret_basic',
    }],
    jwks: { keys: [key] },
    adapter: Kept,
    cookies: { keys: ['test'] },
    claims: { openid: ['sub'], email: ['email'] },
    conformIdTokenClaims: false,
    scopes: ['openid', 'email'],
    pkce: { required: () => true },
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    ttl: { AccessToken: TTL, IdToken: TTL, AuthorizationCode: 60, RefreshToken: 600, Session: 600, Grant: 600, Interaction: 600 },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: users[id] }) }),
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

async function start_provider(app) {
  const server = http.createServer((q, r) => (idp.down ? q.socket.destroy() : idp.handler(q, r)));
  await new Promise((r) => { server.listen(0, '127.0.0.1', r); });
  idp.issuer = `http://localhost:${server.address().port}`;
  const say = console.error;
  const quiet = (...a) => (/WARNING|NOTICE|oidc-provider/.test(String(a[0])) ? undefined : say(...a));
  console.warn = console.error = console.info = quiet;
  provider(new_key('first'), app);
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

function policies(app) {
  const lab = `apiVersion: v1
kind: Secret
metadata: {name: oauth, namespace: httpbin}
type: extauth.solo.io/oauth
data:
  client-secret: ${Buffer.from('the client\'s secret: +&%').toString('base64')}
---
apiVersion: security.policy.gloo.solo.io/v2
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
            issuerUrl: "${idp.issuer}/"
            logoutPath: /logout
            afterLogoutUrl: "${app}/get"
            session:
              failOnFetchFailure: true
              redis:
                cookieName: keycloak-session
                preExpiryBuffer: 1s
                options:
                  host: redis:6379
            scopes:
            - email
            headers:
              idTokenHeader: jwt
      - luaAuth:
          inline: |
            return function(req)
              local payload = req.state.jwt:match("^[^.]+%.([^.]+)%.")
              local email = postern.json.decode(postern.base64.decode(payload)).email
              return email:sub(-8) == "@solo.io"
            end
---
apiVersion: networking.gloo.solo.io/v2
kind: RouteTable
metadata:
  name: httpbin
  namespace: httpbin
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
---
apiVersion: security.policy.gloo.solo.io/v2
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
        keepToken: true # not in the lab: this test looks at the token
        claimsToHeaders:
        - claim: email
          header: X-Email
---
apiVersion: trafficcontrol.policy.gloo.solo.io/v2
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
`;
  const dir = path.join(tmp, 'policies');
  fs.mkdirSync(dir, { recursive: true });
  fs.writeFileSync(path.join(dir, 'lab.yaml'), lab);
  return dir;
}

async function start_postern(app) {
  const port = await free_port();
  start('postern', process.env.POSTERN, ['serve', '--data', path.join(tmp, 'data'), '--policies', policies(app), '--store', 'memory',
    '--portal', 'off', '--redis', 'off', '--admin', 'off', '--threads', '2', '--check', `127.0.0.1:${port}`]);
  await until('Postern', async () => (await get(port, '/healthz')).status === 200);
  return port;
}

async function start_caddy(at, check_port, api) {
  const home = path.join(tmp, 'caddy');
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, 'Caddyfile'), `{
	admin off
	auto_https disable_redirects
	local_certs
	skip_install_trust
}
https://app.localhost:${at} {
	bind 127.0.0.1
	route {
		request_header -X-Email
		request_header -X-Organization
		request_header -jwt
		forward_auth 127.0.0.1:${check_port} {
			uri /auth/forward
			copy_headers jwt X-Email X-Organization Cookie
		}
		reverse_proxy 127.0.0.1:${api}
	}
}
`);
  start('caddy', caddy, ['run', '--config', path.join(home, 'Caddyfile'), '--adapter', 'caddyfile'],
    { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home });
  await until('Caddy', () => new Promise((r) => { const s = net.connect(at, '127.0.0.1', () => { s.destroy(); r(true); }).on('error', () => r(false)); }));
}

/* ---- people ---- */

async function person(browser, app) {
  const context = await browser.newContext({ baseURL: app, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(60000);
  context.setDefaultNavigationTimeout(60000);
  return { context, page: await context.newPage() };
}

/* At the provider's own pages: name and password, then consent. */
async function sign_in(page, name) {
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('password');
  await page.locator('button[type=submit]').click();
  await page.waitForURL((u) => !u.href.includes('/interaction/') || u.href.includes('/interaction/'));
  const consent = page.getByRole('button', { name: 'Continue' });
  await Promise.race([consent.waitFor().catch(() => {}), page.waitForURL((u) => u.host.startsWith('app.'))]).catch(() => {});
  if (page.url().includes('/interaction/')) {
    const answer = page.waitForResponse((r) => r.url().includes('//app.') && !r.url().includes('/callback'));
    await consent.click();
    return answer;
  }
  return null;
}

const text_of = async (page) => JSON.parse(await page.locator('body').innerText());

async function labs(browser, app) {
  const user1 = await person(browser, app);
  await user1.page.goto('/get');
  check('lab 17: without a session the browser is sent to the provider', user1.page.url().startsWith(idp.issuer), user1.page.url());
  const before = seen.length;
  let answer = await sign_in(user1.page, 'user1');
  check('lab 17: user1 is refused by the rule about addresses', answer && answer.status() === 403, `${answer && answer.status()} ${user1.page.url()}`);
  check('lab 17: nothing of it reached the API', seen.length === before);
  await user1.context.close();

  const user2 = await person(browser, app);
  await user2.page.goto('/get?x=1');
  answer = await sign_in(user2.page, 'user2');
  check('lab 17: user2 comes back to the page that was asked for', user2.page.url() === `${app}/get?x=1`, user2.page.url());
  const got = (await text_of(user2.page)).headers;
  check('lab 17: the id token is in the header jwt', /^eyJ/.test(got.jwt || ''), JSON.stringify(got));
  check('lab 18: X-Email is set', got['x-email'] === 'user2@solo.io', JSON.stringify(got));
  check('lab 19: X-Organization is set', got['x-organization'] === 'solo.io', JSON.stringify(got));
  check('the session does not reach the API', !/session/.test(got.cookie || ''), got.cookie);
  const cookies = (await user2.context.cookies(app)).filter((c) => c.name.includes('keycloak-session'));
  check('the cookie is __Host-, Secure, HttpOnly, Lax', cookies.length === 1 && cookies[0].name === '__Host-keycloak-session' && cookies[0].secure &&
    cookies[0].httpOnly && cookies[0].sameSite === 'Lax', JSON.stringify(cookies));
  return user2;
}

async function renewed(p) {
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
  provider(new_key('second'), app);
  const kid = (t) => JSON.parse(Buffer.from(t.split('.')[0], 'base64url')).kid;
  await until('a token of the new key', async () => {
    await p.page.goto('/get');
    if (!p.page.url().startsWith(app)) return false;
    return kid((await text_of(p.page)).headers.jwt) === 'second';
  });
  check('a key that changes at the provider is followed', kid(old) === 'first');
}

async function outage(p, app) {
  const ask = () => p.page.evaluate(() => fetch('/get').then((r) => `${r.status} ${r.headers.get('x-postern-reason')}`));
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

async function logout(p, app) {
  const revoked = idp.revoked;
  const cookies = await p.context.cookies(app);
  await p.page.goto('/logout');
  check('logout leads to the end of session of the provider, without a token', p.page.url().includes('/session/end') && !p.page.url().includes('eyJ'), p.page.url());
  check('the cookie is gone', !(await p.context.cookies(app)).some((c) => c.name === '__Host-keycloak-session'));
  await until('the revocation', () => idp.revoked > revoked);
  check('the tokens are revoked', true);
  await p.context.addCookies(cookies.filter((c) => c.name === '__Host-keycloak-session'));
  await p.page.goto('/get');
  check('a kept cookie is worth nothing', p.page.url().startsWith(idp.issuer), p.page.url());
}

/* nginx: auth_request knows 401 and 403 alone; the recipe of docs/gateway-nginx.md makes redirects of them. */
async function nginx_redirects(check_port, api) {
  const nginx = on_path('nginx');
  if (!nginx) {
    console.log('skip oidc: nginx - it is not installed');
    return;
  }
  const at = await free_port();
  const home = path.join(tmp, 'nginx');
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, 'nginx.conf'), `daemon off;
pid ${home}/pid;
error_log ${home}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${home}/b; proxy_temp_path ${home}/p; fastcgi_temp_path ${home}/f; uwsgi_temp_path ${home}/u; scgi_temp_path ${home}/s;
  server {
    listen 127.0.0.1:${at};
    location / {
      auth_request /postern;
      auth_request_set $to $upstream_http_location;
      auth_request_set $set_cookie $upstream_http_set_cookie;
      auth_request_set $cookie $upstream_http_cookie;
      error_page 403 = @denied;
      proxy_set_header Cookie $cookie;
      proxy_pass http://127.0.0.1:${api};
    }
    location @denied {
      if ($to = "") { return 403; }
      add_header Set-Cookie $set_cookie always;
      add_header Cache-Control no-store always;
      return 302 $to;
    }
    location = /postern {
      internal;
      proxy_pass http://127.0.0.1:${check_port}/auth/nginx;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URL https://$http_host$request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Real-IP $remote_addr;
    }
  }
}
`);
  start('nginx', nginx, ['-p', home, '-c', 'nginx.conf']);
  await until('nginx', () => new Promise((r) => { const s = net.connect(at, '127.0.0.1', () => { s.destroy(); r(true); }).on('error', () => r(false)); }));
  const r = await get(at, '/get', { host: 'app.localhost' });
  check('nginx: the denial becomes a redirect with the login\'s cookie', r.status === 302 && r.headers.location.startsWith(`${idp.issuer}/auth?`) &&
    /__Host-keycloak-session_l_/.test(String(r.headers['set-cookie'])), `${r.status} ${JSON.stringify(r.headers)}`);
  const dead = { cookie: `__Host-keycloak-session=${'A'.repeat(43)}`, 'x-original-method': 'GET', 'x-original-url': 'https://app.localhost/get' };
  const cookies = (await get(check_port, '/auth/nginx', dead)).headers['set-cookie'];
  check('nginx: it gets one Set-Cookie, that of the login', cookies.length === 1 && /_l_/.test(cookies[0]), JSON.stringify(cookies));
}

async function main() {
  const at = await free_port();
  const app = `https://app.localhost:${at}`;
  await start_provider(app);
  const api = await start_api();
  const check_port = await start_postern(app);
  await start_caddy(at, check_port, api);
  const browser = await open_browser();
  try {
    const user2 = await labs(browser, app);
    await renewed(user2);
    await key_changes(user2, app);
    await side_by_side(browser, app);
    await outage(user2, app);
    await logout(user2, app);
    await nginx_redirects(check_port, api);
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
