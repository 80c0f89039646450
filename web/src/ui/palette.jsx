/*
 * palette.jsx - Ctrl-K: go anywhere by typing. Pages, APIs, their operations, a few actions.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { user, is_admin, sign_out } from '../lib/session.js';
import { catalogue, one_line, operations_of } from '../lib/catalogue.js';
import { set_pref } from '../lib/prefs.js';
import { Dialog, Method } from './parts.jsx';

function fixed() {
  const rows = [[t('nav.apis'), t('palette.page'), () => go('/apis')]];
  if (user.get()) {
    rows.push([t('nav.keys'), t('palette.page'), () => go('/keys')], [t('nav.usage'), t('palette.page'), () => go('/usage')],
      [t('keys.create'), t('palette.action'), () => go('/keys?create=1')]);
  }
  if (is_admin()) {
    rows.push([t('admin.health'), t('palette.page'), () => go('/admin/health')], [t('admin.policies'), t('palette.page'), () => go('/admin/policies')],
      [t('admin.requests'), t('palette.page'), () => go('/admin/requests')],
      [t('admin.people'), t('palette.page'), () => go('/admin/people')], [t('admin.api'), t('palette.page'), () => go('/admin/api')]);
  }
  for (const v of ['light', 'dark', 'system']) rows.push([`${t('theme')}: ${t(`theme.${v}`)}`, t('palette.action'), () => set_pref('theme', v)]);
  rows.push(user.get() ? [t('signout'), t('palette.action'), sign_out] : [t('signin.go'), t('palette.page'), () => go('/signin')]);
  return rows.map(([name, kind, run]) => ({ name, kind, run, text: name.toLowerCase() }));
}

function from_apis(products) {
  return products.flatMap((p) => [
    { name: p.name, kind: 'API', run: () => go(p.href), text: `${p.name} ${one_line(p.description)}`.toLowerCase() },
    ...operations_of(p).map((o) => ({ name: o.summary || o.path, detail: o.path, method: o.method, kind: p.name, run: () => go(o.href), text: `${o.method} ${o.path} ${o.summary} ${p.name}`.toLowerCase() })),
  ]);
}

export default function Palette({ onClose }) {
  const [query, set_query] = useState('');
  const [at, set_at] = useState(0);
  const [apis, set_apis] = useState([]);
  const list = useRef();
  useEffect(() => { catalogue(true).then((c) => set_apis(from_apis(c)), () => {}); }, []);
  const base = useMemo(fixed, []);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...base, ...apis].filter((r) => words.every((w) => r.text.includes(w))).slice(0, 40);
  const cursor = Math.min(at, Math.max(0, rows.length - 1));
  useEffect(() => { list.current?.children[cursor]?.scrollIntoView({ block: 'nearest' }); }, [cursor, query]);
  const run = (r) => { onClose(); setTimeout(r.run, 0); };
  const key = (ev) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[ev.key];
    if (step && rows.length) { ev.preventDefault(); set_at((cursor + step + rows.length) % rows.length); }
    if (ev.key === 'Enter' && rows[cursor]) { ev.preventDefault(); run(rows[cursor]); }
  };
  return (
    <Dialog title={t('palette.title')} onClose={onClose} kind="wide high">
      <input type="text" class="palette" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={rows.length ? `palette-${cursor}` : undefined}
        aria-label={t('palette.label')} placeholder={t('palette.hint')} value={query} onInput={(ev) => { set_query(ev.target.value); set_at(0); }} onKeyDown={key} autoFocus spellcheck={false} />
      <ul class="palette-list" id="palette-list" role="listbox" aria-label={t('palette.title')} ref={list} tabIndex={-1}>
        {rows.map((r, i) => (
          <li id={`palette-${i}`} role="option" aria-selected={i === cursor} onClick={() => run(r)} onPointerMove={() => i !== cursor && set_at(i)}>
            {r.method && <Method name={r.method} />}<span class="name">{r.name}{r.detail && <code>{r.detail}</code>}</span><span class="muted">{r.kind}</span>
          </li>
        ))}
      </ul>
      {!rows.length && <p class="muted" role="status">{t('palette.none')}</p>}
    </Dialog>
  );
}
