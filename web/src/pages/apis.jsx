/*
 * apis.jsx - the catalogue: rows, and a search as you type over names, descriptions and operations.
 */
import { useEffect, useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { useLoad } from '../lib/load.js';
import { catalogue, one_line, operations_of } from '../lib/catalogue.js';
import { user, is_admin, once } from '../lib/session.js';
import { Empty, Loading, Method, PageHead, Trouble, plan_numbers } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';

/* Words found in the text are marked; the text itself stays what it is. */
function Found({ text, words }) {
  if (!words.length || !text) return text;
  const rx = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')})`, 'ig');
  return text.split(rx).map((part, i) => (i % 2 ? <mark>{part}</mark> : part));
}

const has = (text, words) => words.every((w) => (text || '').toLowerCase().includes(w));

function hits(product, words) {
  if (!words.length) return [];
  return operations_of(product).filter((o) => has(`${o.method} ${o.path} ${o.summary} ${o.op.description || ''}`, words));
}

function Row({ api, ops, words, plans }) {
  const shown = ops.slice(0, 4);
  const metadata = api.apiProductMetadata || {};
  return (
    <li class="apirow">
      <div class="what">
        <h2><a class="cover" href={api.href}><Found text={api.name} words={words} /></a></h2>
        <p><Found text={one_line(api.description)} words={words} /></p>
        {shown.length > 0 && (
          <ul class="oprows">
            {shown.map((o) => <li><a href={o.href}><Method name={o.method} /><code><Found text={o.path} words={words} /></code><span><Found text={o.summary} words={words} /></span></a></li>)}
          </ul>
        )}
        {ops.length > shown.length && <p class="small muted">{t('apis.more', { n: ops.length - shown.length })}</p>}
      </div>
      <dl class="meta">
        <div><dt>{t('over.version')}</dt><dd>{(api.versions || []).join(', ') || '–'}{metadata.lifecycle && <span class="tag">{metadata.lifecycle}</span>}</dd></div>
        <div><dt>{t('over.operations')}</dt><dd>{api.operations ?? '–'}</dd></div>
        <div><dt>{t('over.auth')}</dt><dd>{api.apiKeyEnabled ? t('over.key.short') : t('over.open')}</dd></div>
        <div><dt>{t('apis.plans')}</dt><dd>{api.plans?.length ? api.plans.map((name) => { const p = plans.find((x) => x.name === name); return <span class="plan" title={p ? plan_numbers(p) : undefined}>{p?.displayName || name}</span>; }) : '–'}</dd></div>
      </dl>
      <span class="go" aria-hidden="true">{t('apis.try')}<Icon name="right" /></span>
    </li>
  );
}

export default function Apis() {
  const load = useLoad(() => catalogue(false), []);
  const plans = useLoad(() => (user.get() ? once('/v1/plans').catch(() => []) : Promise.resolve([])), []);
  const [query, set_query] = useState('');
  const [deep, set_deep] = useState(false);
  const warm = () => { if (!deep) catalogue(true).then(() => set_deep(true), () => {}); };
  useEffect(() => { if (query) warm(); }, [query]);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = (load.data || []).map((api) => ({ api, ops: hits(api, words) }))
    .filter(({ api, ops }) => !words.length || ops.length || has(`${api.name} ${api.id} ${api.description}`, words));
  const summary = words.length ? t('apis.found', { n: rows.length }) : '';
  return (
    <>
      <PageHead title={t('nav.apis')} lead={t('apis.lead')}>
        <label class="searchbox">
          <span class="sr">{t('apis.search')}</span><Icon name="search" />
          <input type="search" data-search value={query} placeholder={t('apis.search')} onFocus={warm} onInput={(ev) => set_query(ev.target.value)} spellcheck={false} /><kbd>/</kbd>
        </label>
      </PageHead>
      <p class="sr" role="status">{summary}</p>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data?.length === 0 && (
        <Empty title={t('apis.empty')} command={is_admin() ? 'cp openapi.yaml policies/apis/orders.yaml && postern check-config --policies policies' : null}>
          <p>{is_admin() ? t('apis.empty.admin') : t('apis.empty.user')}</p>
        </Empty>
      )}
      {load.data?.length > 0 && rows.length === 0 && <Empty title={t('apis.none', { query })}><p>{t('apis.none.text')}</p></Empty>}
      {rows.length > 0 && <ul class="apirows">{rows.map(({ api, ops }) => <Row key={api.id} api={api} ops={ops} words={words} plans={plans.data || []} />)}</ul>}
    </>
  );
}
