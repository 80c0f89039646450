/*
 * drive.mjs - a real browser with a strict eye: every page opened through it is watched for
 * Content-Security-Policy violations, requests to other origins, console errors, page errors and
 * layout shifts; check_page() adds axe's WCAG 2.2 AA rules and sideways scrolling.
 */
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

export const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../../..');
export const screens = process.env.SCREENS || path.join(root, 'build/screens');
const need = createRequire(import.meta.url);
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'];
const SHIFT_MAX = 0.02;

/* ---- result lines ---- */

export const tally = { ok: 0, bad: 0 };
export function ok(name) { tally.ok++; console.log(`ok ${name}`); }
export function not_ok(name, why) { tally.bad++; console.log(`not ok ${name} - ${String(why).replace(/\s+/g, ' ').slice(0, 600)}`); }
export function check(name, cond, why = 'false') { if (cond) ok(name); else not_ok(name, typeof why === 'function' ? why() : why); return !!cond; }

/* Why the browser test cannot run here, or null. */
export function missing(need_build) {
  const chromium = process.env.CHROMIUM || '/usr/bin/chromium';
  if (!fs.existsSync(chromium)) return `no ${chromium}: install the package chromium, or set CHROMIUM`;
  for (const m of ['playwright-core', 'axe-core', 'yaml']) {
    try { need.resolve(m); } catch { return `${m} is missing: run npm ci --ignore-scripts in tests/box/web`; }
  }
  if (need_build && !fs.existsSync(path.join(process.env.WEB_BUILD || path.join(root, 'build/web'), 'index.html'))) return 'build/web is missing: run npm ci --ignore-scripts and node build.mjs in web';
  return null;
}

export async function open_browser() {
  const { chromium } = need('playwright-core');
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
}

/* One person: a fresh profile and a watched page. look: { width, height, dark, forced, locale, scale } */
export async function open_person(browser, base, name, look = {}) {
  const context = await browser.newContext({
    baseURL: base, ignoreHTTPSErrors: true, viewport: { width: look.width || 1440, height: look.height || 900 }, deviceScaleFactor: look.scale || 1,
    colorScheme: look.dark ? 'dark' : 'light', forcedColors: look.forced ? 'active' : 'none', reducedMotion: look.still ? 'reduce' : 'no-preference',
    locale: look.locale || 'en-GB', timezoneId: 'UTC', permissions: ['clipboard-read', 'clipboard-write'], acceptDownloads: true,
  });
  const page = await context.newPage();
  const faults = [];
  const forgiven = []; /* [regular expression] of console errors that a step provokes */
  await page.exposeBinding('__violation', (_, text) => faults.push(`CSP: ${text}`));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (e) => window.__violation(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
    window.__shift = 0;
    window.__moved = [];
    new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) { window.__shift += e.value; window.__moved.push(...e.sources.map((s) => `${e.value.toFixed(3)} ${s.node?.nodeName} ${s.node?.className || ''} ${s.previousRect.y}->${s.currentRect.y}`)); } }).observe({ type: 'layout-shift', buffered: true });
  });
  page.on('console', (m) => { if (m.type() === 'error' && !forgiven.some((rx) => rx.test(m.text()))) faults.push(`console: ${m.text()} ${m.location().url}`); });
  page.on('pageerror', (e) => faults.push(`page error: ${e.stack || e.message}`));
  page.on('request', (r) => { const u = new URL(r.url()); if (!['data:', 'blob:'].includes(u.protocol) && u.origin !== new URL(base).origin) faults.push(`off-origin request: ${r.url()}`); });
  let open = 0;
  page.on('request', () => { open++; });
  page.on('requestfinished', () => { open--; });
  page.on('requestfailed', () => { open--; });
  page.setDefaultTimeout(60000);
  return { idle: () => idle(page, () => open), name, context, page, faults, forgiven, shot: (what, opts) => shot(page, `${name}-${what}`, opts) };
}

/* At rest: nothing asked for during 100 ms, and two frames drawn. */
async function idle(page, open) {
  const end = Date.now() + 60000;
  for (let quiet = 0; quiet < 4 && Date.now() < end;) {
    await page.waitForTimeout(25);
    quiet = open() > 0 ? 0 : quiet + 1;
  }
  await page.evaluate(() => new Promise((r) => { requestAnimationFrame(() => requestAnimationFrame(r)); }));
}

async function shot(page, name, opts = {}) {
  fs.mkdirSync(screens, { recursive: true });
  if (opts.fullPage) await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  await page.screenshot({ path: path.join(screens, `${name}.png`), animations: 'disabled', ...opts });
}

const axe_source = () => fs.readFileSync(need.resolve('axe-core/axe.min.js'), 'utf8');

async function axe(page) {
  await page.evaluate(`${axe_source()};undefined`);
  return page.evaluate(async (tags) => {
    const r = await window.axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] });
    return r.violations.map((v) => `${v.id}: ${v.nodes.length}x ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} [${(n.failureSummary || '').split('\n')[1] || ''}]`).join('; ')}`);
  }, TAGS);
}

/* Everything that must hold on any page at rest. */
export async function check_page(p, what) {
  const { page } = p;
  const label = `${p.name}/${what}`;
  await p.idle();
  const bad = await axe(page);
  check(`${label}: no axe violation`, !bad.length, bad.join(' | '));
  const wide = await page.evaluate(() => {
    const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (over <= 0) return '';
    const el = [...document.querySelectorAll('main *, header *, footer *')].find((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && getComputedStyle(e).position !== 'absolute');
    return `${over} px too wide, ${el ? el.outerHTML.slice(0, 160) : ''}`;
  });
  check(`${label}: no sideways scrolling`, !wide, wide);
  const shift = await page.evaluate(() => window.__shift);
  check(`${label}: no layout shift`, shift <= SHIFT_MAX, `${shift} ${shift > SHIFT_MAX ? await page.evaluate(() => window.__moved.join('; ')) : ''}`);
  const small = await page.evaluate(() => [...document.querySelectorAll('button, select, input:not([type=radio],[type=checkbox]), summary, .button')].filter((e) => {
    const r = e.getBoundingClientRect();
    return r.width > 2 && (r.height < 27.5 || r.width < 27.5) && e.checkVisibility() && !e.closest('.sr');
  }).map((e) => `${e.outerHTML.slice(0, 80)} ${Math.round(e.getBoundingClientRect().width)}x${Math.round(e.getBoundingClientRect().height)}`));
  check(`${label}: targets of 28 px`, !small.length, small.slice(0, 4).join(' | '));
  check(`${label}: quiet console, same origin, no CSP violation`, !p.faults.length, p.faults.splice(0).join(' | '));
}

/* Tab through the page: each stop must be visible and not under the sticky header. */
export async function check_focus(p, what, stops = 40) {
  const { page } = p;
  const hidden = [];
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  for (let i = 0; i < stops; i++) {
    await page.keyboard.press('Tab');
    const why = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return '';
      const r = e.getBoundingClientRect();
      const s = getComputedStyle(e);
      const ring = s.outlineStyle !== 'none' || e.closest('label, .card') || e.matches('.cover, input[type=radio]');
      const x = Math.min(Math.max(r.left + Math.min(r.width / 2, 40), 1), innerWidth - 1);
      const y = Math.min(Math.max(r.top + r.height / 2, 1), innerHeight - 1);
      const top = document.elementFromPoint(x, y);
      const covered = top && !e.contains(top) && !top.contains(e) && top.closest('header.top') && !e.closest('header.top');
      return !ring ? `no ring: ${e.outerHTML.slice(0, 80)}` : covered ? `covered: ${e.outerHTML.slice(0, 80)}` : '';
    });
    if (why) hidden.push(why);
  }
  check(`${p.name}/${what}: focus is visible and not covered`, !hidden.length, hidden.slice(0, 3).join(' | '));
}
