/*
 * operation.jsx - the middle zone: one operation with its parameters, body and answers.
 */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { has_moved } from '../lib/router.js';
import { Markdown, inline } from '../lib/markdown.jsx';
import { Copy, Method, StatusCode } from '../ui/parts.jsx';
import { Icon } from '../ui/icons.jsx';
import { as_text, deref, flatten, media_example, media_of, param_default, parameters, type_words } from './model.js';
import { Facts, Schema } from './schema.jsx';
import { pieces } from './samples.js';

export function Code({ lang, text, label }) {
  return <pre class="code" tabIndex={0} aria-label={label}><code>{pieces(lang, text).map(([c, s]) => (c ? <span class={`c-${c}`}>{s}</span> : s))}</code></pre>;
}

/* Segments that switch what is below: buttons with aria-pressed, no roving. */
export function Segments({ options, value, onChoose, label }) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([v, word]) => <button type="button" aria-pressed={v === value} onClick={() => onChoose(v)}>{word}</button>)}
    </div>
  );
}

function Params({ spec, list, place }) {
  const rows = list.filter((p) => p.in === place);
  const id = useId();
  if (!rows.length) return null;
  return (
    <section class="zone" aria-labelledby={id}>
      <h3 id={id}>{t(`params.${place}`)}</h3>
      <ul class="tree">
        {rows.map((p) => {
          const schema = p.schema || media_of(p.content)[0]?.schema || {};
          const s = flatten(spec, schema);
          const values = s.items ? { ...s, enum: s.enum || flatten(spec, s.items).enum } : s;
          return (
            <li key={p.name}>
              <span class="prop"><span class="pname">{p.name}</span> <span class="ptype">{type_words(spec, schema)}</span>
                {p.required && <span class="preq">{t('schema.required')}</span>}{p.deprecated && <span class="tag">{t('deprecated')}</span>}</span>
              <Markdown text={p.description || s.description} level={6} />
              <Facts s={values} example={param_default(spec, { ...p, required: false })} />
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/* Schema and example of one media type, with a switch. */
function Media({ spec, content, mode, label }) {
  const types = media_of(content);
  const [type, set_type] = useState(types[0]?.type);
  const [view, set_view] = useState('schema');
  const m = types.find((x) => x.type === type) || types[0];
  if (!m) return null;
  const text = as_text(media_example(spec, m, mode));
  const only_text = !m.schema;
  const shown = only_text ? 'example' : view;
  const csv = typeof media_example(spec, m, mode) === 'string';
  return (
    <div class="media">
      <div class="bar">
        {types.length > 1 ? <Segments label={t('media.type')} options={types.map((x) => [x.type, x.type])} value={m.type} onChoose={set_type} /> : <code class="small">{m.type}</code>}
        {!only_text && text && <Segments label={label} options={[['schema', t('media.schema')], ['example', t('media.example')]]} value={view} onChoose={set_view} />}
      </div>
      {shown === 'schema' ? <Schema spec={spec} schema={m.schema} /> : (
        <div class="sample"><Code lang={csv ? 'curl' : 'json'} text={text} label={t('media.example')} /><Copy text={text} label={t('copy.example')} kind="small" /></div>
      )}
    </div>
  );
}

function Answer({ spec, code, raw, first }) {
  const r = deref(spec, raw);
  const [shown, set_shown] = useState(first);
  const headers = Object.entries(r.headers || {});
  const deep = headers.length || media_of(r.content).length;
  const head = <><StatusCode code={code} /><span class="words">{inline(r.description || '')}</span></>;
  if (!deep) return <li class="answer"><div class="answerhead">{head}</div></li>;
  return (
    <li class="answer">
      <details open={first} onToggle={(ev) => ev.target === ev.currentTarget && set_shown(ev.target.open)}>
        <summary>{head}</summary>
        {shown && (
          <div class="inside">
            {headers.length > 0 && (
              <ul class="tree">
                {headers.map(([name, h]) => {
                  const d = deref(spec, h);
                  return <li><span class="prop"><span class="pname">{name}</span> <span class="ptype">{t('params.header.one')}</span></span><Markdown text={d.description} level={6} /></li>;
                })}
              </ul>
            )}
            <Media spec={spec} content={r.content} mode="read" label={t('answer.of', { code: String(code) })} />
          </div>
        )}
      </details>
    </li>
  );
}

export function Operation({ spec, o, full_path, key_name, link }) {
  const ref = useRef();
  useEffect(() => { if (has_moved()) ref.current?.focus({ preventScroll: true }); }, [o.slug]);
  const body = o.op.requestBody && deref(spec, o.op.requestBody);
  const params = parameters(spec, o);
  const answers = Object.entries(o.op.responses || {});
  return (
    <article class="operation">
      <h2 ref={ref} tabIndex={-1}>{o.summary}</h2>
      <p class="address"><Method name={o.method} /><code>{full_path.split('/').map((part, i) => (i ? <><wbr />/{part}</> : part))}</code><Copy text={full_path} label={t('copy.path')} kind="small ghost" /></p>
      {o.deprecated && <div class="notice warn"><p><Icon name="warn" /> {t('deprecated.text')}</p></div>}
      <Markdown text={o.op.description} level={3} link={link} />
      <p class="small muted needs"><Icon name="key" /> {key_name ? <span>{t('needs.key')} <code>{key_name}</code></span> : t('needs.nothing')}</p>
      {['path', 'query', 'header', 'cookie'].map((place) => <Params spec={spec} list={params} place={place} />)}
      {body && (
        <section class="zone" aria-labelledby="op-body">
          <h3 id="op-body">{t('body')}{body.required && <span class="preq">{t('schema.required')}</span>}</h3>
          <Markdown text={body.description} level={4} />
          <Media spec={spec} content={body.content} mode="write" label={t('body')} />
        </section>
      )}
      <section class="zone" aria-labelledby="op-answers">
        <h3 id="op-answers">{t('answers')}</h3>
        <ul class="answers">{answers.map(([code, r], i) => <Answer key={`${o.slug}${code}`} spec={spec} code={code} raw={r} first={i === 0} />)}</ul>
      </section>
    </article>
  );
}
