/*
 * ask.jsx - the sticky panel: values, key, the sample in four languages, and Postern's own decision about
 * this very request. A clear key is used only when this tab has seen it: just created, or pasted.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { t, has_message, exact, lang as ui_lang } from '../lib/i18n.js';
import { post, sentence } from '../lib/api.js';
import { cell, useCell } from '../lib/cell.js';
import { prefs, set_pref } from '../lib/prefs.js';
import { user, vault, here_as_next, is_admin } from '../lib/session.js';
import { Copy, Field, Meter, Method, Password, StatusCode, Trouble, limit_words, reset_words, say } from '../ui/parts.jsx';
import { Steps } from '../ui/steps.jsx';
import { Icon } from '../ui/icons.jsx';
import { as_text, base_of, deref, flatten, host_of, key_header, media_example, media_examples, media_of, param_default, parameters, request_of, types_of } from './model.js';
import { LANGS, sample } from './samples.js';
import { Code, Segments } from './operation.jsx';

const pasted = cell('');
const chosen = cell(''); /* id in the vault, "paste", or "" for the newest that there is */
user.watch(() => { /* nobody finds what the one before pasted */
  if (user.get()) return;
  pasted.set('');
  chosen.set('');
});

const mask = (clear) => `${clear.slice(0, Math.min(12, clear.length >> 2))}${'•'.repeat(8)}`;

function key_in_use() {
  const all = vault.get();
  const id = chosen.get();
  if (id === 'paste' || !all.size) return pasted.get().trim();
  return (all.get(id) || [...all.values()].pop()).clear;
}

function KeyBox({ header }) {
  const all = [...useCell(vault).values()];
  const paste = useCell(pasted);
  const pick = useCell(chosen);
  if (!useCell(user)) return <p class="small">{t('ask.signin')} <a href={`/signin?next=${here_as_next()}`}>{t('signin.go')}</a></p>;
  const at = pick || all[all.length - 1]?.id || 'paste';
  return (
    <div class="keybox">
      {all.length > 0 && (
        <Field label={t('ask.key')}>
          {(p) => (
            <select {...p} value={at} onChange={(ev) => chosen.set(ev.target.value)}>
              {all.map((k) => <option value={k.id}>{k.name} ({k.publicPart})</option>)}
              <option value="paste">{t('ask.key.other')}</option>
            </select>
          )}
        </Field>
      )}
      {at === 'paste' && (
        <Field label={t('ask.paste', { header })} hint={t('ask.paste.hint')}>
          {(p) => <Password {...p} auto="off" value={paste} onInput={(ev) => { pasted.set(ev.target.value); chosen.set('paste'); }} placeholder="pst_…" />}
        </Field>
      )}
      {at === 'paste' && !paste && <p class="small"><a href="/keys?create=1">{t('keys.create')}</a></p>}
    </div>
  );
}

function Value({ spec, p, value, onInput }) {
  const s = flatten(spec, p.schema || {});
  const label = <><code>{p.name}</code> <span class="muted small">{t(`params.${p.in}.one`)}</span>{p.required && <span class="preq">{t('schema.required')}</span>}</>;
  const options = s.enum || (types_of(s)[0] === 'boolean' ? ['true', 'false'] : null);
  return (
    <Field label={label}>
      {(a) => (options ? (
        <select {...a} value={value} onChange={(ev) => onInput(ev.target.value)}>
          {!p.required && <option value="">{t('ask.absent')}</option>}
          {options.map((v) => <option value={String(v)}>{String(v)}</option>)}
        </select>
      ) : <input {...a} type="text" value={value} spellcheck={false} autoCapitalize="off" autoComplete="off" onInput={(ev) => onInput(ev.target.value)} />)}
    </Field>
  );
}

function Values({ spec, list, values, set }) {
  const row = (p) => <Value key={p.in + p.name} spec={spec} p={p} value={values[`${p.in} ${p.name}`] ?? ''} onInput={(v) => set({ ...values, [`${p.in} ${p.name}`]: v })} />;
  const must = list.filter((p) => p.required);
  const may = list.filter((p) => !p.required);
  return (
    <>
      {must.map(row)}
      {may.length > 0 && <details class="more"><summary>{t('ask.optional', { n: may.length })}</summary>{may.map(row)}</details>}
    </>
  );
}

function Body({ spec, media, value, onInput }) {
  const named = media_examples(spec, media);
  return (
    <div class="bodybox">
      {named.length > 1 && (
        <Field label={t('media.example')}>
          {(p) => <select {...p} onChange={(ev) => onInput(as_text(named[ev.target.value].value))}>{named.map((e, i) => <option value={i}>{e.summary || e.name}</option>)}</select>}
        </Field>
      )}
      <Field label={<>{t('body')} <span class="muted small">{media.type}</span></>}>
        {(p) => <textarea {...p} rows={Math.min(14, value.split('\n').length + 1)} value={value} spellcheck={false} onInput={(ev) => onInput(ev.target.value)} />}
      </Field>
    </div>
  );
}

/* ---- the decision ---- */

export function Decision({ d, took, at }) {
  const todo = `todo.${d.reason}`;
  const box = useRef();
  useEffect(() => { box.current.scrollIntoView({ block: 'nearest' }); }, [d]);
  return (
    <section ref={box} class={`decision ${d.allowed ? 'ok' : 'bad'}`} aria-label={t('ask.answer')}>
      <p class="verdict"><StatusCode code={d.status} /><strong>{d.allowed ? t('ask.allowed') : d.status === 429 ? t('ask.limited') : t('ask.denied')}</strong><code class="muted">{d.reason}</code></p>
      {d.words && <p lang={ui_lang === 'en' ? undefined : 'en'}>{sentence(d.words)}</p>}
      {!d.allowed && has_message(todo) && <p>{t(todo)}</p>}
      {d.trace?.length > 0 && <Steps trace={d.trace} />}
      {d.limits?.map((l) => (
        <div class="used">
          <p class="small"><strong>{l.name}</strong> {limit_words(l)}<span class="muted"> · {reset_words(l)}</span></p>
          <Meter limit={l} label={l.name} />
        </div>
      ))}
      <p class="small muted">{t('ask.id')} {is_admin() ? <a href={`/admin/requests/${d.decision_id}`}><code>{d.decision_id}</code></a> : <code>{d.decision_id}</code>} · <time dateTime={at} title={exact(at)}>{took} ms</time></p>
    </section>
  );
}

/* ---- the panel ---- */

export function AskPanel({ spec, version, product, o, gateway, named }) {
  const list = parameters(spec, o).filter((p) => p.in !== 'cookie');
  const media = o.op.requestBody ? media_of(deref(spec, o.op.requestBody).content)[0] : null;
  const [values, set_values] = useState(() => Object.fromEntries(list.map((p) => [`${p.in} ${p.name}`, p.required ? param_default(spec, p) : ''])));
  const [body, set_body] = useState(() => (media ? as_text(media_example(spec, media, 'write')) : ''));
  const [clear_shown, set_clear] = useState(false);
  const [answer, set_answer] = useState(null);
  const [busy, set_busy] = useState(false);
  const code = useCell(prefs).sample;
  const me = useCell(user);
  useCell(vault); useCell(pasted); useCell(chosen);

  const header = key_header(spec, o, version.keyHeader);
  const clear = header && me ? key_in_use() : '';
  const r = request_of(spec, version, o, values, body, media?.type);
  const base = base_of(version, gateway);
  const text = (key) => sample(code, { ...r, url: base + r.path, host: host_of(version, base), headers: header ? [[header, key], ...r.headers] : r.headers });
  const shown = text(clear ? (clear_shown ? clear : mask(clear)) : 'YOUR_API_KEY');
  const name = LANGS.find(([l]) => l === code)[1];

  const ask = async () => {
    set_busy(true);
    const start = performance.now();
    try {
      const d = await post('/v1/decide', { method: r.method, path: r.path, product, ...(version.host && !version.host.includes('*') ? { host: version.host } : {}), ...(clear ? { key: clear } : {}) });
      set_answer({ d, took: Math.max(1, Math.round(performance.now() - start)), at: new Date().toISOString() });
      say(`${d.status}. ${d.words || d.reason}`);
    } catch (fault) {
      if (fault.status === undefined) throw fault;
      set_answer({ fault });
    } finally {
      set_busy(false);
    }
  };

  return (
    <>
      <h2 class="small-title">{t('ask.title')}</h2>
      {named && <p class="address"><Method name={o.method} /><code>{o.path}</code></p>}
      {(list.length > 0 || media) && (
        <div class="values-box">
          <Values spec={spec} list={list} values={values} set={set_values} />
          {media && <Body spec={spec} media={media} value={body} onInput={set_body} />}
        </div>
      )}
      {header && <KeyBox header={header} />}
      <div class="sample">
        <div class="bar">
          <Segments label={t('ask.lang')} options={LANGS} value={code} onChoose={(v) => set_pref('sample', v)} />
        </div>
        <Code lang={code} text={shown} label={t('ask.sample', { lang: name })} />
        <div class="bar">
          <Copy text={() => text(clear || 'YOUR_API_KEY')} label={t('copy.sample', { lang: name })} said={clear ? t('copy.withkey') : t('copy.done')} />
          {clear && <button type="button" class="button ghost" aria-pressed={clear_shown} onClick={() => set_clear(!clear_shown)}><Icon name="eye" />{clear_shown ? t('ask.hide') : t('ask.reveal')}</button>}
        </div>
      </div>
      {me && (
        <div class="askbox">
          <button type="button" class="button primary" onClick={ask} disabled={busy}>{t('ask.go')}</button>
          <p class="small muted">{t('ask.hint')}</p>
          {answer?.d && <Decision {...answer} />}
          {answer?.fault && <Trouble fault={answer.fault} again={ask} />}
        </div>
      )}
    </>
  );
}
