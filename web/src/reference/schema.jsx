/*
 * schema.jsx - a schema as a tree. A branch is drawn when it is opened, so that a document that refers to
 * itself costs nothing until somebody walks round the circle; a schema that is open above is marked.
 */
import { useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { Markdown } from '../lib/markdown.jsx';
import { bounds, choices, deref, flatten, ref_name, title_of, type_words, types_of } from './model.js';

const has_inside = (spec, s) => {
  const alt = choices(spec, s);
  if (alt) return alt.list.length > 1 || has_inside(spec, flatten(spec, alt.list[0]));
  const type = types_of(s)[0];
  if (type === 'array') return !!s.items && has_inside(spec, flatten(spec, s.items));
  return !!s.properties || (typeof s.additionalProperties === 'object' && s.additionalProperties !== null);
};

export function Facts({ s, example }) {
  const words = bounds(s).map(([key, p]) => t(key, p));
  if (s.pattern) words.push(<>{t('schema.pattern')} <code>{s.pattern}</code></>);
  if (s.default !== undefined) words.push(<>{t('schema.default')} <code>{JSON.stringify(s.default)}</code></>);
  if (s.const !== undefined) words.push(<>{t('schema.const')} <code>{JSON.stringify(s.const)}</code></>);
  if (example) words.push(<>{t('schema.example')} <code>{example}</code></>);
  if (s.readOnly) words.push(t('schema.readonly'));
  if (s.writeOnly) words.push(t('schema.writeonly'));
  const values = s.enum || (types_of(s)[0] === 'array' && s.items?.enum);
  if (!words.length && !values) return null;
  return (
    <p class="facts">
      {values && <span class="values">{values.map((v) => <code>{String(v)}</code>)}</span>}
      {words.map((w) => <span>{w}</span>)}
    </p>
  );
}

/* A schema that wraps exactly one other (nullable by anyOf) is shown as that one. */
function unwrap(spec, schema) {
  const s = flatten(spec, schema);
  const alt = choices(spec, s);
  if (alt?.list.length === 1) {
    const inner = alt.list[0];
    const f = flatten(spec, inner);
    return { schema: inner, s: s.description ? { ...f, description: s.description } : f };
  }
  return { schema, s };
}

function Row({ spec, name, schema, required, open, level }) {
  const [shown, set_shown] = useState(false);
  const u = unwrap(spec, schema);
  const { s } = u;
  const element = types_of(s)[0] === 'array' && !choices(spec, s) ? unwrap(spec, s.items || {}) : u;
  const ref = element.schema.$ref;
  const round = ref && open.includes(ref);
  const inside = has_inside(spec, s);
  const enum_of = element.s.enum && !s.enum ? { ...s, enum: element.s.enum } : s;
  const head = (
    <span class="prop">
      <span class="pname">{name}</span> <span class="ptype">{type_words(spec, schema)}</span>
      {required && <span class="preq">{t('schema.required')}</span>}
      {s.deprecated && <span class="tag">{t('deprecated')}</span>}
      {round && <span class="tag">{t('schema.again', { name: ref_name(ref) })}</span>}
    </span>
  );
  const text = s.description || (s !== element.s && element.s.description);
  const about = (
    <>
      {text && <Markdown text={text} level={6} />}
      <Facts s={enum_of} />
    </>
  );
  if (!inside) return <li>{head}{about}</li>;
  return (
    <li>
      <details onToggle={(ev) => ev.target === ev.currentTarget && set_shown(ev.target.open)}>
        <summary>{head}</summary>
        {shown && <Tree spec={spec} schema={element.schema} open={ref ? [...open, ref] : open} level={level + 1} />}
      </details>
      {about}
    </li>
  );
}

function Choice({ spec, alt, open, level }) {
  const [at, set_at] = useState(0);
  return (
    <div class="alt">
      <div class="segments" role="group" aria-label={t(`schema.${alt.kind}`)}>
        <span class="muted small">{t(`schema.${alt.kind}`)}</span>
        {alt.list.map((c, i) => <button type="button" aria-pressed={i === at} onClick={() => set_at(i)}>{title_of(spec, c, i)}</button>)}
      </div>
      <Tree key={at} spec={spec} schema={alt.list[at]} open={open} level={level} />
    </div>
  );
}

/* What is inside a schema: its members, its alternatives, or its elements. */
export function Tree({ spec, schema, open = [], level = 0 }) {
  const above = schema.$ref && !open.includes(schema.$ref) ? [...open, schema.$ref] : open;
  const { s } = unwrap(spec, schema);
  const alt = choices(spec, s);
  if (types_of(s)[0] === 'array' && !alt && s.items) {
    return has_inside(spec, flatten(spec, s.items)) ? <Tree spec={spec} schema={s.items} open={above} level={level} /> : <Leaf spec={spec} schema={s.items} />;
  }
  const members = Object.entries(s.properties || {});
  const more = typeof s.additionalProperties === 'object' && s.additionalProperties;
  return (
    <>
      {(members.length > 0 || more) && (
        <ul class="tree">
          {members.map(([name, p]) => <Row key={name} spec={spec} name={name} schema={p} required={s.required?.includes(name)} open={above} level={level} />)}
          {more && <Row spec={spec} name={t('schema.anyname')} schema={more} open={above} level={level} />}
        </ul>
      )}
      {alt && alt.list.length > 1 && <Choice spec={spec} alt={alt} open={above} level={level} />}
      {!members.length && !more && !alt && <Leaf spec={spec} schema={schema} />}
    </>
  );
}

function Leaf({ spec, schema }) {
  const s = deref(spec, schema);
  return <div class="leaf"><span class="ptype">{type_words(spec, schema)}</span>{s.description && <Markdown text={s.description} level={6} />}<Facts s={s} /></div>;
}

/* A whole body: its type in words, then the tree. */
export function Schema({ spec, schema }) {
  return (
    <div class="schema">
      <p class="small muted">{type_words(spec, schema)}</p>
      <Tree spec={spec} schema={schema} />
    </div>
  );
}
