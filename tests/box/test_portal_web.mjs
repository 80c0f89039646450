#!/usr/bin/env node
/*
 * test_portal_web.mjs - the portal's loop in real Chromium: sign in, search, read an API, create a key,
 * ask Postern (200), see usage move, revoke, ask again (401); in light, dark and on a phone. Then the
 * other pages, one-time setup, keyboard, German, forced colours, 320 px, 2560 px, 200 % zoom, no JavaScript.
 *
 * Runs against the mock server; with POSTERN (a binary) against `postern demo` as well, and against that
 * alone with --real or for the slow build (POSTERN_BUILD=dev). Screenshots go to
 * build/screens/. Needs Chromium and npm ci --ignore-scripts in tests/box/web; skips with a reason else.
 * TIMEOUT: 1800
 */
import net from 'node:net';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import https from 'node:https';
import { spawn, spawnSync } from 'node:child_process';

const { check, check_focus, check_page, missing, not_ok, ok, open_browser, open_person, tally } = await import('./web/drive.mjs');

const only_real = process.argv.includes('--real') || process.env.POSTERN_BUILD === 'dev';
const why = missing(!only_real);
if (why) {
  console.log(`skip portal_web - ${why}`);
  process.exit(0);
}
const { start_mock } = await import('./web/mock.mjs');
const browser = await open_browser();

async function step(name, fn) {
  try {
    await fn();
  } catch (e) {
    not_ok(name, e.message || e);
  }
}

/* ---- the loop ---- */

async function sign_in(p) {
  const { page } = p;
  await page.goto('/keys');
  await page.waitForURL(/\/signin/);
  check(`${p.name}: a page for members asks to sign in and comes back`, /next=%2Fkeys/.test(page.url()), page.url());
  await check_page(p, 'signin');
  await p.shot('signin');
  p.forgiven.push(/status of 401/);
  await page.getByLabel('E-mail').fill('nobody@example.org');
  await page.getByRole('textbox', { name: 'Password', exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  check(`${p.name}: a wrong password is refused in words`, (await page.getByRole('alert').innerText()).length > 10);
  p.forgiven.pop();
  await page.getByRole('button', { name: 'Fill in the demo account' }).click();
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(/\/keys$/);
  ok(`${p.name}: signed in`);
}

async function search(p) {
  const { page } = p;
  await page.goto('/apis');
  await page.getByRole('heading', { name: 'APIs' }).waitFor();
  await page.locator('.apirow').first().waitFor();
  await check_page(p, 'apis');
  await p.shot('apis');
  await page.keyboard.press('/');
  await page.keyboard.type('/tides');
  await page.locator('.apirow .oprows a').first().waitFor();
  check(`${p.name}: search finds a path`, await page.locator('.apirow').count() === 1 && /tides/i.test(await page.locator('.apirow .oprows').innerText()));
  await p.shot('search');
  await page.getByRole('link', { name: /List high and low water/ }).click();
  await page.getByRole('heading', { name: 'List high and low water' }).waitFor();
  check(`${p.name}: the operation has its own address`, /\/apis\/harbour\/[^/]+\/listTides$/.test(page.url()), page.url());
  check(`${p.name}: the operation takes the focus`, await page.evaluate(() => document.activeElement.tagName === 'H2'));
  await check_page(p, 'operation');
  await p.shot('operation');
  await p.shot('operation-full', { fullPage: true });
}

async function read(p) {
  const { page } = p;
  await page.goto('/apis/harbour');
  await page.waitForURL(/\/apis\/harbour\/.+/);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await check_page(p, 'api');
  await p.shot('api', { fullPage: true });
  const id = page.url();
  await page.goto(`${id}/listWarnings`);
  await page.getByRole('button', { name: 'Shallow' }).click();
  await page.locator('.alt .pname', { hasText: 'depth' }).first().waitFor();
  ok(`${p.name}: one of several schemas can be chosen`);
  await page.goto(`${id}/getStation`);
  const tree = page.locator('.answer').first();
  await tree.locator('summary .pname', { hasText: 'neighbours' }).click();
  await tree.locator('.tree .tree .pname', { hasText: 'neighbours' }).waitFor();
  check(`${p.name}: a schema that contains itself is marked`, await tree.locator('.tag', { hasText: 'as above' }).count() > 0);
  await check_page(p, 'schema');
  await page.goto(`${id}/bookBerth`);
  await page.getByRole('heading', { name: 'Book a berth' }).waitFor();
  for (const lang of ['JavaScript', 'Python', 'Go', 'curl']) {
    await page.getByRole('button', { name: lang, exact: true }).click();
    const text = await page.locator('.try .sample pre').innerText();
    check(`${p.name}: sample in ${lang} sends the body`, /Petrel/.test(text) && /Idempotency-Key/i.test(text), text.slice(0, 200));
  }
  await check_page(p, 'body');
  await p.shot('body', { fullPage: true });
}

async function create_key(p, name) {
  const { page } = p;
  await page.goto('/keys');
  await page.getByRole('heading', { name: 'Keys' }).waitFor();
  await page.locator('.state, table.data').first().waitFor();
  await check_page(p, 'keys-before');
  await p.shot('keys-before');
  await page.getByRole('button', { name: 'Create key' }).click();
  await page.getByLabel('Name').fill(name);
  await page.locator('.card').first().waitFor();
  await page.locator('.card', { hasText: p.plan }).click();
  await check_page(p, 'create');
  await p.shot('create');
  await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click();
  await page.locator('[data-key]').waitFor();
  const key = await page.locator('[data-key]').innerText();
  check(`${p.name}: the key is shown`, /^[a-z]+_[0-9A-Za-z]{20,}$/.test(key), key.slice(0, 14));
  await page.getByText('Try it at once').waitFor();
  await check_page(p, 'once');
  await p.shot('once');
  await page.getByRole('button', { name: 'Copy key' }).click();
  await page.getByRole('button', { name: /Copied/ }).or(page.getByRole('button', { name: 'Copy key' })).first().waitFor();
  check(`${p.name}: copy puts it on the clipboard`, await page.evaluate(() => navigator.clipboard.readText()) === key);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save as .env' }).click()]);
  check(`${p.name}: .env holds it`, fs.readFileSync(await download.path(), 'utf8').includes(`=${key}\n`));
  await page.keyboard.press('Escape');
  check(`${p.name}: Esc does not lose it`, await page.locator('[data-key]').isVisible());
  await page.getByRole('button', { name: 'I have stored it' }).click();
  const row = page.locator('tr.fresh');
  await row.waitFor();
  check(`${p.name}: its row has the focus`, await row.evaluate((e) => e === document.activeElement && e.innerText.length > 0));
  check(`${p.name}: the clear key is gone from the page and from storage`,
    await page.evaluate((k) => !document.documentElement.outerHTML.includes(k) && !JSON.stringify({ ...localStorage, ...sessionStorage }).includes(k), key));
  await check_page(p, 'keys');
  await p.shot('keys');
  return key;
}

async function to_operation(p) {
  const { page } = p;
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox', { name: /Page, API/ }).fill('list high');
  await page.getByRole('option', { name: /List high and low water/ }).waitFor();
  await p.shot('palette');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'List high and low water' }).waitFor();
}

async function ask(p, status) {
  const { page } = p;
  await page.getByRole('button', { name: 'Ask Postern' }).click();
  await page.locator('.decision .code-badge', { hasText: String(status) }).waitFor();
  return page.locator('.decision').innerText();
}

async function ask_allowed(p, key) {
  const { page } = p;
  await to_operation(p);
  const shown = await page.locator('.try .sample pre').innerText();
  check(`${p.name}: the sample has the key, masked`, shown.includes(key.slice(0, 12)) && !shown.includes(key), shown);
  await page.getByRole('button', { name: 'Copy curl' }).click();
  check(`${p.name}: the copied sample has the whole key`, (await page.evaluate(() => navigator.clipboard.readText())).includes(key));
  const text = await ask(p, 200);
  check(`${p.name}: allowed, with steps and the limit used up`, /Allowed/.test(text) && /passed/.test(text) && /1 of/.test(text), text);
  await page.locator('.decision').scrollIntoViewIfNeeded();
  await check_page(p, 'allowed');
  await p.shot('allowed');
}

/* A copied sample is run as it stands: what people paste must work. */
async function run_samples(p, key) {
  const { page } = p;
  const field = page.getByLabel(/Your key for/);
  await field.or(page.locator('.try .sample pre', { hasText: key.slice(0, 12) })).first().waitFor();
  if (await field.count()) await field.fill(key); /* a load of the page has forgotten it */
  for (const [lang, program, args] of [['curl', 'bash', ['-c']], ['Python', 'python3', ['-c']]]) {
    await page.getByRole('button', { name: lang, exact: true }).click();
    await page.getByRole('button', { name: `Copy ${lang}` }).click();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    const r = spawnSync(program, [...args, text], { timeout: 120000, encoding: 'utf8' });
    if (r.error || r.status === 127) console.log(`skip ${p.name}: the ${lang} sample runs - ${program} or ${lang} is not here`);
    else check(`${p.name}: the ${lang} sample runs and is allowed`, /(^|\s)200\s/.test(r.stdout), r.stdout + r.stderr);
  }
  await page.getByRole('button', { name: 'curl', exact: true }).click();
}

async function usage_moves(p, name) {
  const { page } = p;
  await page.getByRole('link', { name: 'Usage' }).or(page.getByRole('button', { name: 'Menu' })).first().click();
  if (!/usage/.test(page.url())) await page.getByRole('link', { name: 'Usage' }).first().click();
  await page.getByRole('heading', { name }).waitFor();
  const used = () => page.locator('.sheet', { hasText: name }).locator('.meters').innerText();
  let before = await used();
  if (/\b0 of/.test(before)) { /* the minute turned in between: once more */
    await to_operation(p);
    await ask(p, 200);
    await page.goto('/usage');
    await page.getByRole('heading', { name }).waitFor();
    before = await used();
  }
  check(`${p.name}: usage shows one request`, /\b1 of/.test(before), before);
  await check_page(p, 'usage');
  await p.shot('usage');
}

async function revoke_then_denied(p, name, key) {
  const { page } = p;
  await page.goto('/keys'); /* a new load: the tab forgets clear keys */
  await page.getByRole('button', { name: `Revoke key ${name}` }).click();
  await page.getByRole('dialog').waitFor();
  await check_page(p, 'revoke');
  await p.shot('revoke');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke key' }).click();
  await page.locator('tr.fresh', { hasText: 'revoked' }).waitFor();
  ok(`${p.name}: the row says revoked`);
  await to_operation(p);
  await page.getByLabel(/Your key for/).fill(key);
  const text = await ask(p, 401);
  check(`${p.name}: a revoked key is denied, in words`, /Denied/.test(text), text);
  await page.locator('.decision').scrollIntoViewIfNeeded();
  await check_page(p, 'denied');
  await p.shot('denied');
}

async function loop(base, name, look) {
  const p = { ...await open_person(browser, base, name, look), plan: look.plan || 'Silver' };
  await step(`${name}: loop`, async () => {
    await sign_in(p);
    await search(p);
    await read(p);
    const key_name = `test ${name}`;
    const key = await create_key(p, key_name);
    await ask_allowed(p, key);
    await usage_moves(p, key_name);
    if (look.samples) {
      await to_operation(p);
      await run_samples(p, key);
    }
    await revoke_then_denied(p, key_name, key);
  });
  if (tally.bad) await p.shot('last').catch(() => {});
  await p.context.close();
}

/* ---- the other pages ---- */

async function login(p, at) {
  const { page } = p;
  await page.goto(`/signin?next=${encodeURIComponent(at)}`);
  await page.locator('.notice.info button').click();
  await page.locator('button[type=submit]').click();
  await page.waitForURL(`**${at}`);
}

async function others(base, name, look) {
  const p = await open_person(browser, base, name, look);
  const { page } = p;
  await step(`${name}: other pages`, async () => {
    await login(p, '/admin/health');
    await page.locator('.checks li').first().waitFor();
    await check_page(p, 'health');
    await p.shot('health');
    await page.goto('/admin/policies');
    await page.locator('.counts').waitFor();
    const heads = await page.locator('.counts dt').allInnerTexts();
    check(`${name}: every count has its word`, heads.length === 8 && heads.every((w) => /^[A-Z]/.test(w)), heads.join());
    await check_page(p, 'policies');
    await p.shot('policies');
    await requests(p, name);
    await page.goto('/admin/people');
    await page.locator('table.data').waitFor();
    await page.locator('.pagehead .button.primary').click();
    await page.locator('dialog input[type=email]').fill(`${name}@example.org`);
    await page.locator('dialog button[type=submit]').click();
    await page.locator('.bigkey').waitFor();
    await check_page(p, 'invite');
    await p.shot('invite');
    const link = await page.locator('.bigkey code').innerText();
    await page.locator('dialog .actions.end button').click();
    await page.locator('tr', { hasText: `${name}@example.org` }).waitFor();
    await check_page(p, 'people');
    await p.shot('people');
    await page.goto('/admin/api');
    await page.locator('.state, .oprows').first().waitFor();
    await check_page(p, 'own-api');
    await page.goto('/no/such/page');
    await page.locator('h1').waitFor();
    await check_page(p, 'lost');
    await p.shot('lost');
    await page.keyboard.press('?');
    await page.locator('dialog').waitFor();
    await check_page(p, 'help');
    await p.shot('help');
    await page.keyboard.press('Escape');
    await page.locator('.drop.account > .button').click();
    await check_page(p, 'account');
    await p.shot('account');
    await invited(p, link, name);
  });
  await p.context.close();
}

/* Ask, follow the id to the decision's page, go to the list, and look at the denied ones only. */
async function requests(p, name) {
  const { page } = p;
  await page.goto('/apis/harbour/1.2.0/listTides');
  await page.getByRole('button', { name: 'Ask Postern' }).click();
  await page.locator('.decision .code-badge', { hasText: '401' }).waitFor();
  await page.locator('.decision a[href^="/admin/requests/"]').click();
  await page.locator('.steps.timed li').first().waitFor();
  const id = new URL(page.url()).pathname.split('/').pop();
  const text = await page.locator('main').innerText();
  check(`${name}: the asked decision has its page, with steps and times`, /^[0-9a-f]{16}$/.test(id) && /\/v1\/\S*tides/.test(text) && /key_missing/.test(text) && /\d (ns|µs|ms)/.test(text), text);
  check(`${name}: and says how to ask for it on the command line`, text.includes(`postern eval --explain ${id}`), text);
  await check_page(p, 'request');
  await p.shot('request', { fullPage: true });
  await page.getByRole('link', { name: 'Requests' }).last().click();
  await page.locator(`.request a[href$="${id}"]`).waitFor();
  const ids = await page.locator('.request a').evaluateAll((l) => l.map((a) => a.getAttribute('href').split('/').pop()));
  const times = await page.locator('tbody time').evaluateAll((l) => l.map((e) => e.dateTime));
  check(`${name}: newest first, each once`, new Set(ids).size === ids.length && times.every((v, i) => i === 0 || times[i - 1] >= v), times.join());
  await check_page(p, 'requests');
  await p.shot('requests', { fullPage: true });
  await page.getByLabel('Denied only').check();
  await page.waitForURL(/denied=1$/);
  await page.locator(`.request a[href$="${id}"]`).waitFor();
  await page.waitForFunction(() => ![...document.querySelectorAll('.result')].some((e) => /Allowed/.test(e.innerText)));
  ok(`${name}: denied ones only, with an address of its own`);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.locator(`.request a[href$="${id}"]`).waitFor();
  p.forgiven.push(/status of 40[04]/);
  await page.goto('/admin/requests/ffffffffffffffff');
  await page.getByText('not kept any more').waitFor();
  await check_page(p, 'request-gone');
  p.forgiven.pop();
}

/* The invited person opens the link in another browser, sets a password, and is no administrator. */
async function invited(p, link, name) {
  const q = await open_person(browser, new URL(p.page.url()).origin, `${name}-invited`, {});
  await q.page.goto(new URL(link).pathname + new URL(link).search);
  await q.page.locator('input[name=password]').fill('five words make a password');
  await check_page(q, 'setup');
  await q.shot('setup');
  await q.page.locator('button[type=submit]').click();
  await q.page.waitForURL(/\/apis$/);
  await q.page.goto('/admin/health');
  await q.page.getByRole('heading', { name: 'Only for administrators' }).waitFor();
  check(`${name}: an invited developer is in, and kept out of Admin`, await q.page.getByRole('link', { name: 'Admin' }).count() === 0);
  q.forgiven.push(/status of 404/);
  await q.page.goto(new URL(link).pathname + new URL(link).search);
  await q.page.getByRole('heading', { name: 'This link does not work' }).waitFor();
  ok(`${name}: the link works once`);
  await q.context.close();
}

async function first_setup(base, link) {
  const p = await open_person(browser, base, 'setup', {});
  const { page } = p;
  await step('setup: first account', async () => {
    p.forgiven.push(/status of 404/);
    await page.goto('/setup?token=wrong');
    await page.getByRole('heading', { name: 'This link does not work' }).waitFor();
    await check_page(p, 'gone');
    await p.shot('gone');
    p.forgiven.pop();
    await page.goto('/signin');
    await page.getByText('There is no account yet').waitFor();
    await page.goto(new URL(link).pathname + new URL(link).search);
    await page.getByLabel('E-mail').fill('owner@example.org');
    await page.getByLabel('Name').fill('Olga Owner');
    await page.getByRole('textbox', { name: 'Password', exact: true }).fill('short');
    p.forgiven.push(/status of 422/);
    await page.getByRole('button', { name: 'Set password' }).click();
    await page.locator('.field.wrong').waitFor();
    check('setup: a short password is refused at its field', await page.locator('.field.wrong input').evaluate((e) => e === document.activeElement));
    await check_page(p, 'form');
    await p.shot('form');
    await page.getByRole('textbox', { name: 'Password', exact: true }).fill('long enough to be a password');
    await page.getByRole('button', { name: 'Set password' }).click();
    await page.waitForURL(/\/apis$/);
    await page.getByRole('link', { name: 'Admin' }).first().waitFor();
    ok('setup: the first account is the owner');
    p.forgiven.push(/status of 404/);
    await page.goto(new URL(link).pathname + new URL(link).search);
    await page.getByRole('heading', { name: 'This link does not work' }).waitFor();
    ok('setup: the link works once');
  });
  await p.context.close();
}

/* Widths, zoom, colours and languages: pages are opened and must hold, nothing is changed. */
async function visits(base, name, look, after) {
  const p = await open_person(browser, base, name, look);
  await step(`${name}: visits`, async () => {
    await login(p, '/keys');
    for (const [what, url, wait] of [['apis', '/apis', '.apirow'], ['operation', '/apis/harbour/1.2.0/listTides', '.operation'], ['body', '/apis/ledger/2026-10/createTransfer', '.operation'],
      ['keys', '/keys', '.state, table.data'], ['usage', '/usage', '.state, .sheet'],
      ['requests', '/admin/requests', '.request a'], ['request', '/admin/requests/00000000000000a1', '.steps li'], ['health', '/admin/health', '.checks li']]) {
      await p.page.goto(url);
      await p.page.locator(wait).first().waitFor();
      await check_page(p, what);
      await p.shot(what);
    }
    if (after) await after(p);
  });
  await p.context.close();
}

async function keyboard(base) {
  const p = await open_person(browser, base, 'keyboard', {});
  const { page } = p;
  await step('keyboard', async () => {
    await login(p, '/apis');
    await page.locator('.apirow').first().waitFor();
    await check_focus(p, 'apis', 20);
    await page.goto('/apis/harbour/1.2.0/bookBerth');
    await page.locator('.operation').waitFor();
    await check_focus(p, 'operation', 60);
    await page.reload();
    await page.locator('.operation').waitFor();
    await page.keyboard.press('Tab');
    check('keyboard: the first stop skips to the content', await page.evaluate(() => document.activeElement.className === 'skip'));
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByLabel('Go to the search of the page').uncheck();
    await page.keyboard.press('Escape');
    check('keyboard: the dialog gives the focus back', await page.evaluate(() => document.activeElement.className === 'skip'));
    await page.keyboard.press('/');
    check('keyboard: a key can be switched off', await page.evaluate(() => !document.activeElement.matches('input')));
    await page.goto('/keys');
    await page.getByRole('button', { name: 'Create key' }).click();
    await page.keyboard.press('Escape');
    check('keyboard: Esc closes and the focus returns to the button', await page.evaluate(() => /Create key/.test(document.activeElement.innerText)));
  });
  await p.context.close();
}

async function without_scripts(base) {
  const context = await browser.newContext({ baseURL: base, javaScriptEnabled: false, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await step('noscript', async () => {
    await page.goto('/apis');
    check('noscript: one honest sentence', /JavaScript/.test(await page.locator('noscript, .noscript').first().innerText()));
  });
  await context.close();
}

/* A session that ends under a page: the page goes to sign-in and knows the way back. */
async function session_end(mock) {
  const p = await open_person(browser, mock.url, 'ended', {});
  await step('ended', async () => {
    await login(p, '/apis');
    await p.idle();
    mock.state.sessions.clear();
    p.forgiven.push(/status of 401/);
    await p.page.getByRole('link', { name: 'Usage' }).click();
    await p.page.getByText('Your session has ended').waitFor();
    check('ended: the way back is kept', /next=%2Fusage/.test(p.page.url()), p.page.url());
    await check_page(p, 'signin');
  });
  await p.context.close();
}

/* Names that an address must carry encoded, and an address that is no encoding at all. */
async function addresses(mock) {
  const spec = { openapi: '3.1.0', info: { title: 'Odd names', version: '1.0+b/2' }, paths: {
    '/v1/odd': { get: { operationId: 'odd:list/100%', summary: 'List odd things', responses: { 200: { description: 'Done' } } } } } };
  mock.state.apis.push({ id: 'odd names', spec, operations: 1, path: '/v1', host: 'odd.example.com' });
  const p = await open_person(browser, mock.url, 'addresses', {});
  await step('addresses', async () => {
    await p.page.goto('/apis/odd%20names');
    await p.page.getByRole('link', { name: /List odd things/ }).first().click();
    await p.page.getByRole('heading', { name: 'List odd things' }).waitFor();
    await p.page.reload();
    await p.page.getByRole('heading', { name: 'List odd things' }).waitFor();
    ok('addresses: an operation with signs in its name has an address that can be sent on');
    await p.page.goto('/apis/%E0%A4%A');
    await p.page.getByText('There is no API named').waitFor();
    ok('addresses: one that cannot be decoded is a page, not a blank');
  });
  mock.state.apis.pop();
  await p.context.close();
}

/* Where to go after signing in is a path of ours, whatever the address says. */
async function after_signing_in(mock) {
  const p = await open_person(browser, mock.url, 'next-place', {});
  await step('where to go after signing in', async () => {
    for (const next of ['//evil.example', '/\\evil.example', '/\t/evil.example', 'https://evil.example', 'https:evil.example', 'javascript:alert(1)', '/%09/evil.example', '', '/keys?a=1']) {
      await p.page.goto(`/signin?next=${encodeURIComponent(next)}`);
      await p.page.locator('.notice.info button').click();
      await p.page.locator('button[type=submit]').click();
      await p.page.waitForURL((u) => !u.pathname.startsWith('/signin'));
      const at = new URL(p.page.url());
      check(`after signing in: ${JSON.stringify(next)} stays here`, at.origin === mock.url && (next !== '/keys?a=1' || at.pathname + at.search === next), p.page.url());
      await p.context.clearCookies();
    }
  });
  await p.context.close();
}

/* What one person pasted is not there for the next one at the same tab. */
async function next_person(mock) {
  const p = await open_person(browser, mock.url, 'next', {});
  const { page } = p;
  await step('next person', async () => {
    await login(p, '/apis/harbour/1.2.0/listTides');
    await page.getByLabel(/Your key for/).fill('pst_somebodyelses');
    await page.locator('.drop.account > .button').click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(/\/signin/);
    await page.getByRole('button', { name: 'Fill in the demo account' }).click();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.apirow').first().waitFor();
    await to_operation(p);
    check('next person: the pasted key is gone', await page.getByLabel(/Your key for/).inputValue() === '');
  });
  await p.context.close();
}

/* An operator looks at people, and is not offered what only an owner may do. */
async function operator(mock) {
  const add = (name, more) => mock.add_user({ email: `${name}@example.org`, name, password: 'a quiet little gate', ...more });
  add('Otto', { role: 'operator' });
  add('Dora', { role: 'developer', disabled: true });
  const p = await open_person(browser, mock.url, 'operator', {});
  const { page } = p;
  await step('operator', async () => {
    await page.goto('/signin?next=/admin/people');
    await page.getByLabel('E-mail').fill('Otto@example.org');
    await page.getByRole('textbox', { name: 'Password', exact: true }).fill('a quiet little gate');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('table.data').waitFor();
    check('operator: no invitation is offered', await page.getByRole('button', { name: 'Invite somebody' }).count() === 0);
    check('operator: a disabled account says so', /disabled/.test(await page.locator('tr', { hasText: 'Dora' }).innerText()));
    await check_page(p, 'people');
  });
  await p.context.close();
}

/* ---- a real Postern ---- */

const free_port = () => new Promise((resolve) => {
  const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => resolve(port)); });
});
const alive = (url) => new Promise((resolve) => {
  const req = https.get(`${url}/v1/status`, { rejectUnauthorized: false, timeout: 10000 }, (res) => { res.resume(); resolve(res.statusCode === 200); });
  req.on('error', () => resolve(false));
  req.on('timeout', () => { req.destroy(); resolve(false); });
});

async function start_real(args) {
  for (let tries = 1; ; tries++) {
    try {
      return await start_once(args);
    } catch (e) { /* between choosing a port and binding it somebody else may have taken it */
      if (tries === 3) throw e;
    }
  }
}

async function start_once(args) {
  const port = await free_port();
  const check_port = await free_port();
  const child = spawn(process.env.POSTERN, [...args, '--portal', `127.0.0.1:${port}`, '--check', `127.0.0.1:${check_port}`, '--redis', '127.0.0.1:0', '--admin', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const out = { text: '' };
  let gone = null;
  child.on('error', (e) => { gone = e.message; });
  child.stdout.on('data', (d) => { out.text += d; });
  child.stderr.on('data', (d) => { out.text += d; });
  const url = `https://127.0.0.1:${port}`;
  for (let i = 0; i < 1200 && child.exitCode === null && !gone; i++) {
    if (await alive(url)) return { url, out, stop: () => new Promise((r) => { child.on('exit', r); child.kill('SIGTERM'); }) };
    await new Promise((r) => setTimeout(r, 100));
  }
  if (child.exitCode === null && !gone) child.kill('SIGKILL');
  throw new Error(`${args[0]} did not serve: ${gone || out.text.slice(-300)}`);
}

async function real() {
  const demo = await start_real(['demo']);
  try {
    await loop(demo.url, 'real-light', { samples: true });
    await loop(demo.url, 'real-phone-dark', { width: 390, height: 844, dark: true, plan: 'Gold' });
    await others(demo.url, 'real-admin', {});
  } finally {
    await demo.stop();
  }
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'postern-web-'));
  try {
    const fresh = await start_real(['serve', '--data', dir]);
    const link = /https?:\/\/\S+\/setup\?token=\S+/.exec(fresh.out.text)?.[0];
    if (check('real: a first start prints a setup link', !!link, fresh.out.text.slice(-200))) await first_setup(fresh.url, link);
    await fresh.stop();
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/* ---- all of it ---- */

const PHONE = { width: 390, height: 844, scale: 2 };

async function with_mock() {
  const mock = await start_mock();
  await loop(mock.url, 'light', {});
  await loop(mock.url, 'dark', { dark: true });
  await loop(mock.url, 'phone', PHONE);
  await others(mock.url, 'admin', {});
  await others(mock.url, 'admin-dark', { dark: true });
  await others(mock.url, 'admin-phone', { ...PHONE, dark: true });
  await visits(mock.url, 'w320', { width: 320, height: 640, dark: true });
  await visits(mock.url, 'w1024', { width: 1024, height: 768 });
  await visits(mock.url, 'w2560', { width: 2560, height: 1440 });
  await visits(mock.url, 'zoom200', { width: 720, height: 450, scale: 2 });
  await visits(mock.url, 'forced', { forced: true, still: true });
  await visits(mock.url, 'german', { locale: 'de-DE' }, async (p) => {
    check('german: the page says so', await p.page.evaluate(() => document.documentElement.lang) === 'de');
    check('german: words are German', /Gesundheit/.test(await p.page.locator('h1').innerText()));
  });
  await keyboard(mock.url);
  await without_scripts(mock.url);
  await session_end(mock);
  await addresses(mock);
  await next_person(mock);
  await after_signing_in(mock);
  await operator(mock);
  await mock.close();
  const fresh = await start_mock({ setup: true, private: true });
  await first_setup(fresh.url, fresh.setup);
  await fresh.close();
}

try {
  if (!only_real) await with_mock();
  if (process.env.POSTERN) await step('real', real);
} finally {
  await browser.close();
}
process.exit(tally.bad ? 1 : 0);
