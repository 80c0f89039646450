/*
 * admin.jsx - what administrators see in addition: health, policies, requests, people, and the portal's
 * own API.
 */
import { useEffect, useState } from 'preact/hooks';
import { t, has_message, num } from '../lib/i18n.js';
import { get, post } from '../lib/api.js';
import { go } from '../lib/router.js';
import { useLoad } from '../lib/load.js';
import { user } from '../lib/session.js';
import { Command, Copy, Dialog, Empty, Field, FormFault, Loading, PageHead, State, Table, Time, Trouble, useForm } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';
import { lazy } from '../ui/lazy.jsx';

const Requests = lazy(() => import('./requests.jsx'));
const Reference = lazy(() => import('./reference.jsx').then((m) => ({ default: m.ReferenceView })));

/* ---- health: green is silent ---- */

const RANK = { bad: 0, warn: 1, ok: 2 };

function Health() {
  const load = useLoad(() => get('/admin/v1/health'), []);
  const checks = [...(load.data?.checks || [])].sort((a, b) => RANK[a.state] - RANK[b.state]);
  const ill = checks.filter((c) => c.state !== 'ok');
  return (
    <>
      <PageHead title={t('admin.health')} lead={t('health.lead')}>
        <button type="button" class="button" onClick={load.reload} disabled={load.busy}><Icon name="refresh" />{t('refresh')}</button>
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data && <p>{ill.length ? t('health.ill', { n: ill.length }) : <State is="ok">{t('health.well')}</State>}</p>}
      {load.data && <ul class="checks">
        {checks.map((c) => (
          <li class={c.state}>
            <State is={c.state}>{t(`health.${c.state}`)}</State>
            <strong>{c.name}</strong>
            <span class="value">{c.value}{c.cure && <span class="cure">{c.cure}</span>}</span>
          </li>
        ))}
      </ul>}
    </>
  );
}

/* ---- policies ---- */

function Policies() {
  const load = useLoad(() => get('/admin/v1/policies'), []);
  const d = load.data;
  const faults = (d?.faults || []).map((f, i) => ({ ...f, id: i })).sort((a, b) => (a.notice ? 1 : 0) - (b.notice ? 1 : 0));
  const errors = faults.filter((f) => !f.notice).length;
  const columns = [
    { title: t('policies.kind'), cell: (f) => (f.notice ? <State is="info">{t('policies.notice')}</State> : <State is="bad">{t('policies.error')}</State>) },
    { title: t('policies.where'), cell: (f) => <code>{f.file}:{f.line}:{f.col}</code> },
    { title: t('policies.text'), class: 'wide', cell: (f) => f.text },
  ];
  return (
    <>
      <PageHead title={t('admin.policies')} lead={t('policies.lead')}>
        <button type="button" class="button" onClick={load.reload} disabled={load.busy}><Icon name="refresh" />{t('refresh')}</button>
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!d && !load.fault && <Loading slow={load.slow} />}
      {d && (
        <>
          <p>{t('policies.loaded')} <Time iso={d.loadedAt} />.</p>
          <dl class="counts">{Object.entries(d.counts || {}).map(([k, n]) => <div><dt>{has_message(`count.${k}`) ? t(`count.${k}`) : k}</dt><dd>{num(n)}</dd></div>)}</dl>
          <h2>{t('policies.faults')}</h2>
          {faults.length === 0 && <p class="muted"><State is="ok">{t('policies.none')}</State></p>}
          {errors > 0 && <p>{t('policies.running')}</p>}
          {faults.length > 0 && <Table label={t('policies.faults')} columns={columns} rows={faults} />}
          <p class="small muted">{t('policies.check')}</p>
          <Command text="postern check-config --policies policies --strict" />
        </>
      )}
    </>
  );
}

/* ---- people ---- */

function Invite({ onClose, onDone }) {
  const [made, set_made] = useState(null);
  const f = useForm(async (v) => set_made(await post('/admin/v1/users', { email: v.email.trim(), name: v.name.trim(), role: v.role })));
  if (made) {
    return (
      <Dialog key="made" title={t('invite.made', { email: made.user.email })} onClose={onDone} stay={t('invite.stay')} kind="wide">
        <div class="once">
          <div class="notice warn"><p><strong>{t('invite.once')}</strong> {t('invite.valid')}</p></div>
          <p class="bigkey"><code>{made.setupLink}</code></p>
          <div class="actions"><Copy text={made.setupLink} label={t('invite.copy')} kind="primary" /></div>
          <div class="actions end"><button type="button" class="button primary" onClick={onDone}>{t('invite.sent')}</button></div>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog key="form" title={t('people.invite')} onClose={onClose}>
      <form ref={f.form} onSubmit={f.submit}>
        <FormFault fault={f.fault} fields={['email', 'name', 'role']} />
        <Field label={t('email')} error={f.error_of('email')}>{(p) => <input {...p} type="email" name="email" required autoComplete="off" autoFocus />}</Field>
        <Field label={t('name')} error={f.error_of('name')}>{(p) => <input {...p} type="text" name="name" autoComplete="off" />}</Field>
        <Field label={t('people.role')} error={f.error_of('role')}>
          {(p) => <select {...p} name="role">{['developer', 'operator', 'owner'].map((r) => <option value={r}>{t(`role.${r}`)}: {t(`role.${r}.can`)}</option>)}</select>}
        </Field>
        <div class="actions end">
          <button type="button" class="button" onClick={onClose}>{t('cancel')}</button>
          <button type="submit" class="button primary" disabled={f.busy}>{t('people.create')}</button>
        </div>
      </form>
    </Dialog>
  );
}

function PersonState({ u }) {
  if (u.disabled) return <State is="bad">{t('people.disabled')}</State>;
  return u.synced ? <State is="ok">{t('people.active')}</State> : <State is="idle">{t('people.waits')}</State>;
}

function People() {
  const load = useLoad(() => get('/admin/v1/users'), []);
  const [open, set_open] = useState(false);
  const rows = load.data || [];
  const columns = [
    { title: t('name'), cell: (u) => <strong>{u.name || u.email}</strong> },
    { title: t('email'), cell: (u) => u.email },
    { title: t('people.role'), cell: (u) => t(`role.${u.role}`) },
    { title: t('keys.state'), cell: (u) => <PersonState u={u} /> },
    { title: t('people.since'), cell: (u) => <Time iso={u.createdAt} /> },
  ];
  return (
    <>
      <PageHead title={t('admin.people')} lead={t('people.lead')}>
        {user.get().role === 'owner' && <button type="button" class="button primary" onClick={() => set_open(true)}><Icon name="plus" />{t('people.invite')}</button>}
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {rows.length > 0 && <Table label={t('admin.people')} columns={columns} rows={rows} />}
      {open && <Invite onClose={() => set_open(false)} onDone={() => { set_open(false); load.reload(); }} />}
    </>
  );
}

/* ---- the portal's own API, drawn by the same renderer ---- */

function OwnApi({ op }) {
  const load = useLoad(() => get('/admin/v1/openapi.json'), []);
  return (
    <>
      <PageHead title={t('admin.api')} lead={t('admin.api.lead')}><a class="button" href="/admin/v1/openapi.json" download="postern-openapi.json"><Icon name="download" />{t('admin.api.file')}</a></PageHead>
      {load.fault && (load.fault.status === 404 ? <Empty title={t('admin.api.none')} /> : <Trouble fault={load.fault} again={load.reload} />)}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data && <Reference spec={load.data} version={{}} product="" op={op} home="/admin/api" href_of={(slug) => `/admin/api/${encodeURIComponent(slug)}`} />}
    </>
  );
}

const SECTIONS = [['health', 'admin.health', Health], ['policies', 'admin.policies', Policies], ['requests', 'admin.requests', Requests], ['people', 'admin.people', People], ['api', 'admin.api', OwnApi]];

export default function Admin({ section, op, decision, query }) {
  useEffect(() => { if (!section) go('/admin/health', { replace: true }); }, [section]);
  const found = SECTIONS.find(([name]) => name === section);
  const Section = found?.[2];
  return (
    <div class="admin">
      <nav class="rail" aria-label={t('nav.admin')}>
        <ul>{SECTIONS.map(([name, key]) => <li><a href={`/admin/${name}`} aria-current={name === section ? 'page' : undefined}>{t(key)}</a></li>)}</ul>
      </nav>
      <div class="content">
        {Section && <Section key={section} op={op} decision={decision} query={query} />}
        {section && !Section && <PageHead title={t('lost.title')} lead={t('lost.text', { path: `/admin/${section}` })} />}
      </div>
    </div>
  );
}
