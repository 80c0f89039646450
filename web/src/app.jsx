/*
 * app.jsx - the shell: header, entries, account, footer, keys; and the table of pages.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { t, LANGUAGES, lang, load_language } from './lib/i18n.js';
import { decoded, place, go, match } from './lib/router.js';
import { status, user, is_admin, sign_out, here_as_next } from './lib/session.js';
import { prefs, set_pref } from './lib/prefs.js';
import { cell, useCell } from './lib/cell.js';
import { Mark, Icon } from './ui/icons.jsx';
import { lazy } from './ui/lazy.jsx';
import { PageHead, Trouble } from './ui/parts.jsx';

const Apis = lazy(() => import('./pages/apis.jsx'));
const Reference = lazy(() => import('./pages/reference.jsx'));
const Keys = lazy(() => import('./pages/keys.jsx'));
const Usage = lazy(() => import('./pages/usage.jsx'));
const SignIn = lazy(() => import('./pages/signin.jsx'));
const Setup = lazy(() => import('./pages/setup.jsx'));
const Admin = lazy(() => import('./pages/admin.jsx'));
const Palette = lazy(() => import('./ui/palette.jsx'));
const Help = lazy(() => import('./ui/help.jsx'));
const ChangePassword = lazy(() => import('./ui/password.jsx'));

/* pattern, page, who: "any", "catalogue" (any, when the catalogue is public), "user", "admin" */
const PAGES = [
  ['/apis', Apis, 'catalogue'],
  ['/apis/:id', Reference, 'catalogue'],
  ['/apis/:id/:version', Reference, 'catalogue'],
  ['/apis/:id/:version/:op', Reference, 'catalogue'],
  ['/keys', Keys, 'user'],
  ['/usage', Usage, 'user'],
  ['/admin', Admin, 'admin'],
  ['/admin/:section', Admin, 'admin'],
  ['/admin/api/:op', Admin, 'admin'],
  ['/admin/requests/:decision', Admin, 'admin'],
  ['/signin', SignIn, 'any'],
  ['/setup', Setup, 'any'],
];
const ENTRIES = [
  ['/apis', 'nav.apis', () => true],
  ['/keys', 'nav.keys', () => !!user.get()],
  ['/usage', 'nav.usage', () => !!user.get()],
  ['/admin', 'nav.admin', is_admin],
];

export const floating = cell(null); /* "palette", "help", "password" or null */

function find_page(path) {
  for (const [pattern, Page, who] of PAGES) {
    const params = match(pattern, path);
    if (params) return { pattern, Page, who, params };
  }
  return null;
}

function NotFound({ path }) {
  return (
    <>
      <PageHead title={t('lost.title')} lead={t('lost.text', { path: decoded(path) })} />
      <p><a class="button primary" href="/apis">{t('lost.go')}</a></p>
    </>
  );
}

function Forbidden() {
  return (
    <>
      <PageHead title={t('forbidden.title')} lead={t('forbidden.text')} />
      <p><a class="button primary" href="/apis">{t('lost.go')}</a></p>
    </>
  );
}

function Page() {
  const at = useCell(place);
  const me = useCell(user);
  const st = useCell(status);
  const hit = find_page(at.path);
  const closed = hit && !me && (hit.who === 'user' || hit.who === 'admin' || (hit.who === 'catalogue' && !st.public_catalogue));
  useEffect(() => {
    if (at.path === '/') go('/apis', { replace: true });
    else if (closed) go(`/signin?next=${here_as_next()}`, { replace: true });
  }, [at.path, closed]);
  if (at.path === '/' || closed) return null;
  if (!hit) return <NotFound path={at.path} />;
  if (hit.who === 'admin' && !is_admin()) return <Forbidden />;
  const { Page: Found, params } = hit;
  return <Found key={hit.pattern.split('/')[1] + (params.id || '')} {...params} section={params.section ?? hit.pattern.split('/')[2]} query={at.query} />;
}

/* ---- header ---- */

function Entries({ path }) {
  return ENTRIES.filter(([, , seen]) => seen()).map(([href, key]) => (
    <li><a href={href} aria-current={path.startsWith(href) ? (path === href ? 'page' : 'true') : undefined}>{t(key)}</a></li>
  ));
}

/* A button with a panel below: closes by Esc, by a click elsewhere, and when the place changes. */
function Drop({ label, name, children, kind }) {
  const [open, set_open] = useState(false);
  const box = useRef();
  const button = useRef();
  const at = useCell(place);
  useEffect(() => set_open(false), [at]);
  useEffect(() => {
    if (!open) return undefined;
    const key = (ev) => {
      if (ev.key !== 'Escape') return;
      set_open(false);
      button.current.focus();
    };
    const leave = (ev) => { if (!box.current.contains(ev.target)) set_open(false); };
    document.addEventListener('keydown', key);
    document.addEventListener('pointerdown', leave);
    document.addEventListener('focusin', leave);
    return () => {
      document.removeEventListener('keydown', key);
      document.removeEventListener('pointerdown', leave);
      document.removeEventListener('focusin', leave);
    };
  }, [open]);
  return (
    <div class={`drop ${kind}`} ref={box}>
      <button type="button" class="button ghost" ref={button} aria-expanded={open} aria-label={name} onClick={() => set_open(!open)}>{label}</button>
      {open && <div class="panel">{children(() => set_open(false))}</div>}
    </div>
  );
}

function Choice({ legend, name, value, options, onChoose }) {
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class="segments">
        {options.map(([v, word]) => (
          <label class={v === value ? 'on' : ''}>
            <input type="radio" name={name} value={v} checked={v === value} onChange={() => onChoose(v)} />{word}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

const redraw = cell(0);

function Look() {
  const p = useCell(prefs);
  const choose_lang = async (l) => {
    set_pref('lang', l);
    await load_language();
    redraw.set(redraw.get() + 1);
  };
  return (
    <>
      <Choice legend={t('theme')} name="theme" value={p.theme} onChoose={(v) => set_pref('theme', v)}
        options={[['system', t('theme.system')], ['light', t('theme.light')], ['dark', t('theme.dark')]]} />
      <Choice legend={t('language')} name="lang" value={lang} onChoose={choose_lang} options={LANGUAGES} />
    </>
  );
}

function Account() {
  const me = useCell(user);
  const label = me ? <span class="face" aria-hidden="true">{(me.name || me.email)[0].toUpperCase()}</span> : <span class="look">{t('account.look')}<Icon name="down" /></span>;
  return (
    <Drop kind="account" label={label} name={me ? t('account.of', { name: me.name || me.email }) : t('account.look')}>
      {(close) => (
        <>
          {me && (
            <p class="who"><strong>{me.name || me.email}</strong><span class="muted">{me.email}</span>
              <span class="tag">{t(`role.${me.role}`)}</span></p>
          )}
          <Look />
          <div class="rows">
            <button type="button" onClick={() => { close(); floating.set('help'); }}>{t('help.title')}<kbd>?</kbd></button>
            {me && <button type="button" onClick={() => { close(); floating.set('password'); }}>{t('password.change')}</button>}
            {me && <button type="button" onClick={sign_out}>{t('signout')}</button>}
          </div>
        </>
      )}
    </Drop>
  );
}

function Header() {
  const at = useCell(place);
  const st = useCell(status);
  const me = useCell(user);
  const bare = at.path === '/setup';
  return (
    <header class="top">
      <a class="brand" href="/apis"><Mark size={24} /> <span>{st.title || 'Postern'}</span></a>
      {!bare && (
        <>
          <Drop kind="menu" name={t('nav.menu')} label={<Icon name="menu" />}>
            {() => <nav aria-label={t('nav.label')}><ul><Entries path={at.path} /></ul></nav>}
          </Drop>
          <nav class="entries" aria-label={t('nav.label')}><ul><Entries path={at.path} /></ul></nav>
          <div class="right">
            <button type="button" class="button search" aria-keyshortcuts="Control+K" onClick={() => floating.set('palette')}>
              <Icon name="search" /><span>{t('search')}</span><kbd aria-hidden="true">Ctrl K</kbd>
            </button>
            {!me && at.path !== '/signin' && <a class="button primary" href={`/signin?next=${here_as_next()}`}>{t('signin.go')}</a>}
            <Account />
          </div>
        </>
      )}
    </header>
  );
}

/* ---- keys ---- */

const typing = (el) => el?.closest?.('input, textarea, select, [contenteditable]');

function on_key(ev) {
  const on = prefs.get().keys;
  if (ev.defaultPrevented || ev.isComposing) return;
  if (on.palette && (ev.ctrlKey || ev.metaKey) && !ev.shiftKey && !ev.altKey && ev.key.toLowerCase() === 'k') {
    ev.preventDefault();
    if (!document.querySelector('dialog[open]')) floating.set('palette');
    return;
  }
  if (ev.ctrlKey || ev.metaKey || ev.altKey || typing(ev.target) || document.querySelector('dialog[open]')) return;
  if (on.search && ev.key === '/') {
    ev.preventDefault();
    const box = document.querySelector('[data-search]');
    if (box) { box.focus(); box.select(); } else floating.set('palette');
  }
  if (on.help && ev.key === '?') {
    ev.preventDefault();
    floating.set('help');
  }
}

function Floating() {
  const what = useCell(floating);
  const close = () => floating.set(null);
  if (what === 'palette') return <Palette onClose={close} />;
  if (what === 'help') return <Help onClose={close} />;
  if (what === 'password') return <ChangePassword onClose={close} />;
  return null;
}

export function App() {
  const st = useCell(status);
  useCell(redraw);
  useEffect(() => {
    document.addEventListener('keydown', on_key);
    return () => document.removeEventListener('keydown', on_key);
  }, []);
  return (
    <div class="app">
      <a class="skip" href="#main">{t('skip')}</a>
      <Header />
      {st.demo && <p class="banner"><strong>{t('demo')}</strong> {t('demo.text')}</p>}
      <main id="main" tabIndex={-1}><Page /></main>
      <footer><span>{st.product} {st.version}</span><span>{t('footer.keys')} <kbd>?</kbd></span></footer>
      <Floating />
    </div>
  );
}

/* The server did not answer at all. */
export function Dead({ fault }) {
  return <main class="dead"><Mark size={32} /><Trouble fault={fault} again={() => location.reload()} /></main>;
}
