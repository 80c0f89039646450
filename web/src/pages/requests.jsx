/*
 * requests.jsx - operators: the last decisions of this Postern, and one of them with its steps and times.
 *
 * Postern keeps a bounded number of them per worker, and the answer is the workers' lists one behind
 * the other: they are put in order here. Nothing is asked for again by itself.
 */
import { t, has_message, lang as ui_lang, took } from '../lib/i18n.js';
import { get, sentence } from '../lib/api.js';
import { go } from '../lib/router.js';
import { useLoad } from '../lib/load.js';
import { once } from '../lib/session.js';
import { Command, Copy, Empty, Loading, Method, PageHead, StatusCode, Table, Time, Trouble, say } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';
import { Steps } from '../ui/steps.jsx';

const LIMIT = 100;
const foreign = ui_lang === 'en' ? undefined : 'en'; /* what the server says is English */
const verdict = (d) => (d.allowed ? t('ask.allowed') : d.status === 429 ? t('ask.limited') : t('ask.denied'));
const iso = (d) => new Date(d.at_ms).toISOString();
const target = (d) => `${d.host || ''}${d.path || ''}`;

function Address({ d, href }) {
  const text = <code>{target(d)}</code>;
  return <span class="request"><Method name={d.method || '–'} />{href ? <a href={href}>{text}</a> : text}</span>;
}

async function ask(denied) {
  const list = await get(`/admin/v1/decisions?limit=${LIMIT}${denied ? '&denied=1' : ''}`);
  const seen = new Map(list.map((d) => [d.decision_id, { ...d, id: d.decision_id }]));
  const gateway = seen.size ? null : await once('/v1/gateway').catch(() => null);
  return { rows: [...seen.values()].sort((a, b) => b.at_ms - a.at_ms).slice(0, LIMIT), check: gateway?.checkUrl || 'http://127.0.0.1:8083' };
}

function List({ denied }) {
  const load = useLoad(() => ask(denied), [denied]);
  const rows = load.data?.rows || [];
  const refresh = () => load.reload().then(() => say(t('requests.refreshed')));
  const toggle = (ev) => go(ev.target.checked ? '/admin/requests?denied=1' : '/admin/requests', { replace: true });
  const columns = [
    { title: t('requests.request'), cell: (d) => <Address d={d} href={`/admin/requests/${d.id}`} /> },
    { title: t('requests.result'), cell: (d) => <><span class="result"><StatusCode code={d.status} />{verdict(d)}</span><code class="muted reason">{d.reason}</code></> },
    { title: t('requests.who'), class: 'who', cell: (d) => d.user || <span class="muted">–</span> },
    { title: t('requests.when'), cell: (d) => <Time iso={iso(d)} /> },
    { title: t('requests.took'), class: 'n', cell: (d) => took(d.took_ns) },
  ];
  return (
    <>
      <PageHead title={t('admin.requests')} lead={t('requests.lead')}>
        <label class="check"><input type="checkbox" checked={denied} onChange={toggle} />{t('requests.denied')}</label>
        <button type="button" class="button" onClick={refresh} disabled={load.busy}><Icon name="refresh" />{t('refresh')}</button>
      </PageHead>
      {load.fault && <Trouble fault={load.fault} again={load.reload} />}
      {!load.data && !load.fault && <Loading slow={load.slow} />}
      {load.data && rows.length === 0 && (
        <Empty title={denied ? t('requests.none.denied') : t('requests.none')} command={denied ? null : `curl -s ${load.data.check}/v1/decide -d '{"method":"GET","host":"localhost","path":"/"}'`}>
          <p>{denied ? t('requests.none.denied.text') : t('requests.none.text')}</p>
        </Empty>
      )}
      {rows.length > 0 && <Table label={t('admin.requests')} columns={columns} rows={rows} />}
      {rows.length > 0 && <p class="small muted">{rows.length === LIMIT ? t('requests.more', { n: LIMIT }) : t('requests.kept')}</p>}
    </>
  );
}

function Fact({ name, children }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

function One({ id }) {
  const load = useLoad(() => get(`/admin/v1/decisions/${encodeURIComponent(id)}`), [id]);
  const d = load.data;
  const todo = d && !d.allowed && `fix.${d.reason}`;
  const back = <p class="small back"><a href="/admin/requests"><Icon name="left" />{t('admin.requests')}</a></p>;
  const gone = load.fault && (load.fault.status === 404 || load.fault.status === 400);
  return (
    <>
      <PageHead above={back} title={t('requests.one')} lead={t('requests.one.lead')} doc_title={`${t('requests.one')} ${id}`}>
        <Copy text={id} label={t('requests.copy')} />
      </PageHead>
      {gone && <Empty title={t('requests.gone')} command="postern config print --origin"><p>{t('requests.gone.text', { id })}</p></Empty>}
      {load.fault && !gone && <Trouble fault={load.fault} again={load.reload} />}
      {!d && !load.fault && <Loading slow={load.slow} />}
      {d && (
        <>
          <section class={`decision ${d.allowed ? 'ok' : 'bad'}`} aria-label={t('ask.answer')}>
            <p><Address d={d} /></p>
            <p class="verdict"><StatusCode code={d.status} /><strong>{verdict(d)}</strong><code class="muted">{d.reason}</code></p>
            {d.words && d.words !== 'allowed' && <p lang={foreign}>{sentence(d.words)}</p>}
            {todo && has_message(todo) && <p>{t(todo)}</p>}
            {d.rule && <p class="small">{t('requests.rule')} <code>{d.rule}</code></p>}
          </section>
          <dl class="about">
            <Fact name={t('requests.when')}><Time iso={iso(d)} /></Fact>
            <Fact name={t('requests.took')}>{took(d.took_ns)}</Fact>
            <Fact name={t('requests.route')}>{d.route ? <code>{d.route}</code> : <span class="muted">–</span>}</Fact>
            <Fact name={t('requests.who')}>{d.user || <span class="muted">–</span>}</Fact>
            <Fact name={t('requests.plan')}>{d.plan || <span class="muted">–</span>}</Fact>
            <Fact name={t('requests.key')}>{d.key_id ? <code>{d.key_id}</code> : <span class="muted">–</span>}</Fact>
          </dl>
          <h2>{t('requests.steps')}</h2>
          {d.trace?.length ? <Steps trace={d.trace} times /> : <p class="muted">{t('requests.nosteps')}</p>}
          <p class="small muted after">{t('requests.command')}</p>
          <Command text={`postern eval --explain ${d.decision_id}`} />
        </>
      )}
    </>
  );
}

export default function Requests({ decision, query }) {
  return decision ? <One key={decision} id={decision} /> : <List denied={query?.get('denied') === '1'} />;
}
