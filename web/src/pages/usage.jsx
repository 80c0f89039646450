/*
 * usage.jsx - what each key has used up of its limits: a bar with its numbers, and the same as a table.
 */
import { t, exact, num, seconds, unit_word } from '../lib/i18n.js';
import { get } from '../lib/api.js';
import { catalogue } from '../lib/catalogue.js';
import { useLoad } from '../lib/load.js';
import { Empty, Loading, Meter, PageHead, State, Table, Time, Trouble, limit_words, reset_words, say, used_of } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';

async function ask() {
  const names = Object.fromEntries((await catalogue(false).catch(() => [])).map((a) => [a.id, a.name]));
  const keys = (await get('/v1/keys')).filter((k) => k.state === 'active');
  const usage = await Promise.all(keys.map((k) => get(`/v1/keys/${encodeURIComponent(k.id)}/usage`).catch((fault) => ({ fault }))));
  return keys.map((k, i) => ({ k, u: usage[i], names }));
}

function Limits({ k, u, names }) {
  const rows = (u.limits || []).map((l, i) => ({ ...l, id: i }));
  if (!rows.length) return <p class="muted">{t('usage.nolimit')}</p>;
  const columns = [
    { title: t('usage.limit'), cell: (l) => l.name },
    { title: t('keys.product'), cell: (l) => names[l.product] || l.product || t('keys.product.all') },
    { title: t('usage.allowed'), class: 'n', cell: (l) => `${num(l.limit)} / ${unit_word(l.unit)}` },
    { title: t('usage.used'), class: 'n', cell: (l) => num(used_of(l)) },
    { title: t('usage.left'), class: 'n', cell: (l) => num(l.remaining) },
    { title: t('usage.reset'), class: 'n', cell: (l) => seconds(l.reset_seconds) },
  ];
  return (
    <div class="usagerow">
      <div class="meters">
        {rows.map((l) => (
          <div>
            <p><strong>{limit_words(l)}</strong>{rows.length > 1 && <span class="muted small">{names[l.product] || l.product}</span>}{l.over && <State is="bad">{t('usage.over')}</State>}</p>
            <Meter limit={l} label={`${k.name}, ${l.name}, ${names[l.product] || l.product || ''}`} />
            <p class="small muted">{reset_words(l)}</p>
          </div>
        ))}
      </div>
      <Table label={t('usage.table', { name: k.name })} columns={columns} rows={rows} />
    </div>
  );
}

export default function Usage() {
  const load = useLoad(ask, []);
  const refresh = () => load.reload().then(() => say(t('usage.refreshed')));
  return (
    <>
      <PageHead title={t('nav.usage')} lead={t('usage.lead')}>
        <button type="button" class="button" onClick={refresh} disabled={load.busy}><Icon name="refresh" />{t('refresh')}</button>
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data?.length === 0 && <Empty title={t('usage.empty')}><p>{t('usage.empty.text')}</p><p><a class="button primary" href="/keys?create=1">{t('keys.create')}</a></p></Empty>}
      {load.data?.map(({ k, u, names }) => (
        <section class="sheet" key={k.id} aria-labelledby={`u-${k.id}`}>
          <div class="sheethead">
            <h2 id={`u-${k.id}`}>{k.name}</h2><code class="muted">{k.publicPart}…</code>{k.plan && <span class="plan">{k.plan}</span>}
            <span class="muted small push">{t('keys.used')}: <Time iso={k.lastUsedAt} none={t('never')} />{u.asOf && <> · <span title={exact(u.asOf)}>{t('usage.asof', { when: exact(u.asOf) })}</span></>}</span>
          </div>
          {u.fault ? <Trouble fault={u.fault} again={load.reload} /> : <Limits k={k} u={u} names={names} />}
        </section>
      ))}
    </>
  );
}
