/*
 * keys.jsx - the person's keys: create (shown once), look, revoke. Nothing is assumed done before the
 * server has said so.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t, tx } from '../lib/i18n.js';
import { del, get, post } from '../lib/api.js';
import { go } from '../lib/router.js';
import { useLoad } from '../lib/load.js';
import { catalogue } from '../lib/catalogue.js';
import { forget_key, keep_key, once } from '../lib/session.js';
import { base_of, host_of, prefix_of } from '../reference/model.js';
import { sample } from '../reference/samples.js';
import { Copy, Command, Dialog, Empty, Field, FormFault, Loading, PageHead, State, Table, Time, Trouble, plan_numbers, useForm } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';

const SOON_MS = 7 * 86400e3;
const EXPIRIES = [30, 90, 365, 0];

function KeyState({ k }) {
  if (k.state === 'active' && k.expiresAt && Date.parse(k.expiresAt) - Date.now() < SOON_MS) {
    return <State is="soon">{t('state.soon', { n: Math.max(0, Math.ceil((Date.parse(k.expiresAt) - Date.now()) / 86400e3)) })}</State>;
  }
  return <State is={k.state}>{t(`state.${k.state}`)}</State>;
}

/* ---- create ---- */

function PlanCards({ plans, name }) {
  return (
    <fieldset class="cards">
      <legend>{t('keys.plan')}</legend>
      {plans.map((p, i) => (
        <label class="card">
          <input type="radio" name={name} value={p.name} defaultChecked={i === 0} />
          <span><strong>{p.displayName || p.name}</strong><span class="brass">{plan_numbers(p)}</span>{p.description && <span class="muted small">{p.description}</span>}</span>
        </label>
      ))}
    </fieldset>
  );
}

function CreateForm({ onClose, onMade }) {
  const load = useLoad(() => Promise.all([once('/v1/plans'), catalogue(false)]), []);
  const f = useForm(async (v) => {
    const k = await post('/v1/keys', { name: v.name.trim(), ...(v.plan ? { plan: v.plan } : {}), ...(v.product ? { product: v.product } : {}), ...(Number(v.expiry) ? { expiresInDays: Number(v.expiry) } : {}) });
    keep_key(k);
    onMade(k);
  });
  if (load.fault) return <Trouble fault={load.fault} again={load.reload} />;
  if (!load.data) return <Loading slow={load.slow} />;
  const [plans, apis] = load.data;
  return (
    <form ref={f.form} onSubmit={f.submit}>
      <FormFault fault={f.fault} fields={['name', 'plan', 'product', 'expiresInDays']} />
      <Field label={t('keys.name')} hint={t('keys.name.hint')} error={f.error_of('name')}>{(p) => <input {...p} type="text" name="name" maxLength={64} required autoFocus autoComplete="off" />}</Field>
      {plans.length > 0 && <PlanCards plans={plans} name="plan" />}
      {f.error_of('plan') && <p class="error"><Icon name="warn" /> {f.error_of('plan')}</p>}
      <div class="two-fields">
        <Field label={t('keys.product')} error={f.error_of('product')}>
          {(p) => <select {...p} name="product"><option value="">{t('keys.product.all')}</option>{apis.map((a) => <option value={a.id}>{a.name}</option>)}</select>}
        </Field>
        <Field label={t('keys.expiry')} error={f.error_of('expiresInDays')}>
          {(p) => <select {...p} name="expiry" defaultValue="90">{EXPIRIES.map((d) => <option value={d} selected={d === 90}>{d ? t('keys.expiry.days', { n: d }) : t('keys.expiry.never')}</option>)}</select>}
        </Field>
      </div>
      <div class="actions end">
        <button type="button" class="button" onClick={onClose}>{t('cancel')}</button>
        <button type="submit" class="button primary" disabled={f.busy}>{t('keys.create')}</button>
      </div>
    </form>
  );
}

function save_env(k) {
  const url = URL.createObjectURL(new Blob([`# ${k.name}\nPOSTERN_API_KEY=${k.apiKey}\n`], { type: 'text/plain' }));
  const a = document.createElement('a');
  a.href = url;
  a.download = `${k.name.replace(/[^A-Za-z0-9._-]+/g, '-') || 'postern'}.env`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function first_get(api) {
  for (const [path, item] of Object.entries(api?.apiSpec?.paths || {})) if (item.get && !path.includes('{')) return path;
  return '/';
}

async function try_line(k) {
  const [gw, apis] = await Promise.all([once('/v1/gateway'), catalogue(false)]);
  const id = k.product || apis[0]?.id;
  if (!id) return '';
  const versions = await once(`/v1/api-products/${encodeURIComponent(id)}/versions`);
  const v = versions[versions.length - 1];
  const path = first_get(v);
  return sample('curl', { method: 'GET', url: base_of(v, gw) + prefix_of(v.apiSpec || {}, v, path) + path, host: host_of(v, gw.sampleBaseUrl), headers: [[v.keyHeader || 'api-key', k.apiKey]] }).replace(/ \\\n {2}/g, ' ');
}

function Once({ k, onStored }) {
  const line = useLoad(() => try_line(k).catch(() => ''), [k.id]);
  const head = useRef();
  const [safe, set_safe] = useState(false);
  useEffect(() => { head.current?.focus(); }, []);
  return (
    <div class="once">
      <div class="notice warn"><p ref={head} tabIndex={-1}><strong>{t('once.title')}</strong> {t('once.text')}</p></div>
      <p class="bigkey"><code data-key>{k.apiKey}</code></p>
      <div class="actions">
        <Copy text={k.apiKey} label={t('once.copy')} kind={safe ? '' : 'primary'} onCopied={() => set_safe(true)} />
        <button type="button" class="button" onClick={() => { save_env(k); set_safe(true); }}><Icon name="download" />{t('once.env')}</button>
      </div>
      {line.data && <><p class="small muted">{t('once.try')}</p><Command text={line.data} label={t('once.try')} /></>}
      <div class="actions end"><button type="button" class={`button ${safe ? 'primary' : ''}`} onClick={onStored}>{t('once.stored')}</button></div>
    </div>
  );
}

function Create({ onClose, onMade }) {
  const [k, set_k] = useState(null);
  if (k) {
    return <Dialog key="once" title={t('once.head', { name: k.name })} onClose={() => onMade(k)} stay={t('once.stay')} kind="wide"><Once k={k} onStored={() => onMade(k)} /></Dialog>;
  }
  return <Dialog key="form" title={t('keys.create')} onClose={onClose}><CreateForm onClose={onClose} onMade={set_k} /></Dialog>;
}

/* ---- revoke ---- */

function Revoke({ k, onClose, onDone }) {
  const f = useForm(async () => {
    await del(`/v1/keys/${encodeURIComponent(k.id)}`);
    forget_key(k.id);
    onDone();
  });
  return (
    <Dialog title={t('revoke.title', { name: k.name })} onClose={onClose}>
      <form ref={f.form} onSubmit={f.submit}>
        <FormFault fault={f.fault} />
        <p>{tx('revoke.text', { key: <code>{k.publicPart}…</code> })}</p>
        {k.lastUsedAt && <p>{t('revoke.used')} <Time iso={k.lastUsedAt} /></p>}
        <div class="actions end">
          <button type="button" class="button" onClick={onClose} autoFocus>{t('revoke.keep')}</button>
          <button type="submit" class="button danger" disabled={f.busy}>{t('revoke.go')}</button>
        </div>
      </form>
    </Dialog>
  );
}

/* ---- list ---- */

export default function Keys({ query }) {
  const load = useLoad(() => get('/v1/keys'), []);
  const names = useLoad(() => catalogue(false).catch(() => []), []);
  const [dialog, set_dialog] = useState(query.get('create') ? { create: true } : null);
  const [fresh, set_fresh] = useState(null);
  useEffect(() => { if (query.get('create')) { set_dialog({ create: true }); go('/keys', { replace: true, keep: true }); } }, [query]);
  useLayoutEffect(() => { if (fresh && load.data) document.querySelector(`tr[data-id="${fresh}"]`)?.focus(); }, [fresh, load.data]);
  const close = () => set_dialog(null);
  const made = (k) => { set_dialog(null); load.reload().then(() => set_fresh(k.id)); };
  const revoked = (k) => { set_dialog(null); load.reload().then(() => set_fresh(k.id)); };
  const product = (id) => (id ? names.data?.find((a) => a.id === id)?.name || id : t('keys.product.all'));
  const columns = [
    { title: t('keys.name'), cell: (k) => <strong class="name">{k.name}</strong> },
    { title: t('keys.state'), cell: (k) => <KeyState k={k} /> },
    { title: t('keys.public'), cell: (k) => <code title={t('keys.public.hint')}>{k.publicPart}…</code> },
    { title: t('keys.plan'), cell: (k) => k.plan || '–' },
    { title: t('keys.product'), cell: (k) => product(k.product) },
    { title: t('keys.created'), cell: (k) => <Time iso={k.createdAt} /> },
    { title: t('keys.used'), cell: (k) => <Time iso={k.lastUsedAt} none={t('never')} /> },
    { title: t('keys.expires'), cell: (k) => <Time iso={k.expiresAt} none={t('never')} /> },
    { title: '', hidden: t('actions'), class: 'act', cell: (k) => (k.state === 'revoked' ? null : <button type="button" class="button small" onClick={() => set_dialog({ revoke: k })} aria-label={t('revoke.label', { name: k.name })}>{t('revoke.short')}</button>) },
  ];
  return (
    <>
      <PageHead title={t('nav.keys')} lead={t('keys.lead')}>
        <button type="button" class="button primary" onClick={() => set_dialog({ create: true })}><Icon name="plus" />{t('keys.create')}</button>
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data?.length === 0 && (
        <Empty title={t('keys.empty')} command="postern key create --user you@example.org --name first"><p>{t('keys.empty.text')}</p></Empty>
      )}
      {load.data?.length > 0 && (
        <Table label={t('nav.keys')} columns={columns} rows={load.data} row_props={(k) => ({ 'data-id': k.id, tabIndex: k.id === fresh ? -1 : undefined, class: `${k.id === fresh ? 'fresh' : ''} ${k.state === 'active' ? '' : 'past'}`, onBlur: (ev) => ev.target === ev.currentTarget && set_fresh(null) })} />
      )}
      {dialog?.create && <Create onClose={close} onMade={made} />}
      {dialog?.revoke && <Revoke k={dialog.revoke} onClose={() => set_dialog(null)} onDone={() => revoked(dialog.revoke)} />}
    </>
  );
}
