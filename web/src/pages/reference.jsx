/*
 * reference.jsx - the page of one API: operations at the left, the operation in the middle, the panel
 * with samples and Postern's answer at the right.
 */
import { useEffect, useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { once } from '../lib/session.js';
import { useLoad } from '../lib/load.js';
import { api_href, newest, versions_of } from '../lib/catalogue.js';
import { Markdown } from '../lib/markdown.jsx';
import { Loading, Method, PageHead, Trouble } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';
import { groups, key_header, operations, prefix_of } from '../reference/model.js';
import { Operation } from '../reference/operation.jsx';
import { AskPanel } from '../reference/ask.jsx';

function Operations({ spec, list, at, href, home }) {
  const [filter, set_filter] = useState('');
  const [tag, set_tag] = useState('');
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const seen = list.filter((o) => words.every((w) => `${o.method} ${o.path} ${o.summary} ${o.op.description || ''} ${o.tags.join(' ')}`.toLowerCase().includes(w)));
  const parts = groups(spec, seen).filter((g) => !tag || g.name === tag);
  const tags = groups(spec, list);
  return (
    <nav aria-label={t('ops.label')}>
      <input type="search" data-search class="filter" aria-label={t('ops.filter')} placeholder={t('ops.filter')} value={filter} onInput={(ev) => set_filter(ev.target.value)} />
      {tags.length > 1 && (
        <div class="tags" role="group" aria-label={t('ops.tags')}>
          {tags.map((g) => <button type="button" class="chip" aria-pressed={tag === g.name} onClick={() => set_tag(tag === g.name ? '' : g.name)}>{g.name || t('ops.other')}</button>)}
        </div>
      )}
      <ul class="oplist"><li><a href={home} aria-current={at ? undefined : 'page'}>{t('ops.overview')}</a></li></ul>
      {parts.map((g) => (
        <>
          <h2>{g.name || t('ops.other')}</h2>
          <ul class="oplist">
            {g.list.map((o) => (
              <li><a href={href(o)} aria-current={at === o.slug ? 'page' : undefined} title={o.path}>
                <Method name={o.method} /><span class={o.deprecated ? 'old' : ''}>{o.summary}</span></a></li>
            ))}
          </ul>
        </>
      ))}
      {!parts.length && <p class="muted small" role="status">{t('ops.none')}</p>}
    </nav>
  );
}

function Overview({ spec, version, list, href, link }) {
  const info = spec.info || {};
  const facts = [
    [t('over.version'), info.version],
    [t('over.operations'), String(list.length)],
    [t('over.auth'), version.keyHeader ? <>{t('over.key')} <code>{version.keyHeader}</code></> : null],
    [t('over.license'), info.license?.name || version.license],
    [t('over.contact'), info.contact?.email ? <a href={`mailto:${info.contact.email}`}>{info.contact.name || info.contact.email}</a> : info.contact?.name],
    [t('over.terms'), /^https?:\/\//.test(version.termsOfService || info.termsOfService || '') ? <a href={version.termsOfService || info.termsOfService} rel="noreferrer">{t('over.terms.read')}</a> : null],
  ].filter(([, v]) => v);
  return (
    <article class="operation">
      <h2>{t('ops.overview')}</h2>
      <dl class="factlist">{facts.map(([k, v]) => <div><dt>{k}</dt><dd>{v}</dd></div>)}</dl>
      <Markdown text={info.description} level={3} link={link} />
      {version.documentation && <Markdown text={version.documentation} level={3} link={link} />}
      {groups(spec, list).map((g) => (
        <section class="zone">
          <h3>{g.name || t('ops.other')}</h3>
          <Markdown text={g.description} level={4} />
          <ul class="oprows">
            {g.list.map((o) => <li><a href={href(o)}><Method name={o.method} /><code>{o.path}</code><span>{o.summary}</span></a></li>)}
          </ul>
        </section>
      ))}
    </article>
  );
}

/* Also used for the portal's own API: then product is empty and there is no panel. */
export function ReferenceView({ spec, version, product, op, href_of, home }) {
  const list = operations(spec);
  const o = list.find((x) => x.slug === op);
  const gateway = useLoad(() => (product ? once('/v1/gateway').catch(() => null) : Promise.resolve(null)), [product]);
  const href = (x) => href_of(x.slug);
  /* "#listTides" in a description leads to that operation */
  const link = (to) => (to[0] === '#' && list.some((x) => x.slug === to.slice(1)) ? href_of(to.slice(1)) : null);
  const asked = o || list.find((x) => x.method === 'get' && !x.path.includes('{')) || list[0];
  return (
    <div class={`ref ${product ? '' : 'two'}`}>
      <aside class="ops" aria-label={t('ops.label')}>
        <details class="opsmenu" key={o?.slug || ''}><summary><Icon name="menu" /> {o ? o.summary : t('ops.overview')}</summary><Operations spec={spec} list={list} at={o?.slug} href={href} home={home} /></details>
        <div class="opsfull"><Operations spec={spec} list={list} at={o?.slug} href={href} home={home} /></div>
      </aside>
      <div class="mid">
        {op && !o && <div class="notice warn"><p>{t('ops.lost', { op })}</p></div>}
        {o ? <Operation key={o.slug} spec={spec} o={o} full_path={prefix_of(spec, version, o.path, o) + o.path} key_name={key_header(spec, o, version.keyHeader)} link={link} />
          : <Overview spec={spec} version={version} list={list} href={href} link={link} />}
      </div>
      {product && (
        <aside class="try" aria-label={t('ask.title')}>
          {asked && <AskPanel key={asked.slug} named={!o} spec={spec} version={version} product={product} o={asked} gateway={gateway.data} />}
        </aside>
      )}
    </div>
  );
}

export default function Reference({ id, version, op }) {
  const load = useLoad(() => versions_of(id), [id]);
  const all = load.data || [];
  const v = version ? all.find((x) => x.name === version) : newest(all);
  const missing = load.data && !v;
  useEffect(() => { if (v && !version) go(api_href(id, v.name), { replace: true }); }, [v, version]);
  if (load.fault) return <><PageHead title={id} /><Trouble fault={load.fault} again={load.reload} /></>;
  if (!load.data) return <Loading slow={load.slow} rows={6} />;
  if (missing) {
    return (
      <>
        <PageHead title={id} lead={t('version.lost', { version: version || '' })} />
        <ul>{all.map((x) => <li><a href={api_href(id, x.name)}>{x.title || id} {x.name}</a></li>)}</ul>
      </>
    );
  }
  const spec = typeof v.apiSpec === 'string' ? parse_spec(v.apiSpec) : v.apiSpec || {};
  const found = op && operations(spec).find((x) => x.slug === op);
  const title = v.title || spec.info?.title || id;
  return (
    <>
      <PageHead title={title} lead={spec.info?.summary} doc_title={found ? `${found.summary} · ${title}` : title} above={<a class="crumb" href="/apis"><Icon name="left" />{t('over.all')}</a>}>
        {all.length > 1 ? (
          <label class="inline">{t('over.version')} <select value={v.name} onChange={(ev) => go(api_href(id, ev.target.value))}>{all.map((x) => <option>{x.name}</option>)}</select></label>
        ) : <span class="tag">{t('over.version')} {v.name}</span>}
      </PageHead>
      <ReferenceView spec={spec} version={v} product={id} op={op} home={api_href(id, v.name)} href_of={(slug) => api_href(id, v.name, slug)} />
    </>
  );
}

function parse_spec(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
