/*
 * parts.jsx - the small parts that every page is made of: page head, times, copy buttons, fields,
 * dialogs, tables, states. No page knows how any of them looks; portal.css does.
 */
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t, ago, exact, num, unit_word, seconds } from '../lib/i18n.js';
import { has_moved } from '../lib/router.js';
import { status } from '../lib/session.js';
import { Icon } from './icons.jsx';

/* ---- saying things ---- */

export function say(text) {
  const live = document.getElementById('live');
  live.textContent = '';
  setTimeout(() => { live.textContent = text; }, 60);
}

export function set_title(text) {
  const product = status.get()?.title || 'Postern';
  document.title = text ? `${text} · ${product}` : product;
}

/* ---- page ---- */

export function PageHead({ title, lead, children, doc_title, above }) {
  const ref = useRef();
  useEffect(() => { set_title(doc_title || title); }, [title, doc_title]);
  useEffect(() => { if (has_moved()) ref.current?.focus({ preventScroll: true }); }, []);
  return (
    <div class="pagehead">
      <div>
        {above}
        <h1 ref={ref} tabIndex={-1}>{title}</h1>
        {lead && <p class="lead">{lead}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </div>
  );
}

export function Loading({ slow, rows = 3 }) {
  if (!slow) return <div class="wait" aria-busy="true" />;
  return (
    <div class="wait" aria-busy="true">
      <span class="sr">{t('wait')}</span>
      {Array.from({ length: rows }, () => <div class="skeleton" />)}
    </div>
  );
}

export function Trouble({ fault, again }) {
  return (
    <section class="state" role="alert">
      <h2><Icon name="warn" /> {fault.title || t('fault.title')}</h2>
      <p>{fault.detail || t('fault.unknown')}</p>
      <p class="muted small">
        {fault.status ? t('fault.status', { status: String(fault.status) }) : null}
        {fault.id ? ` · ${t('fault.id', { id: fault.id })}` : null}
      </p>
      {again && <button type="button" class="button" onClick={again}>{t('fault.again')}</button>}
    </section>
  );
}

export function Empty({ title, children, command }) {
  return (
    <section class="state">
      <h2>{title}</h2>
      {children}
      {command && <Command text={command} />}
    </section>
  );
}

export function Command({ text, label }) {
  return (
    <div class="command">
      <pre tabIndex={0} aria-label={label || t('command')}><code>{text}</code></pre>
      <Copy text={text} label={t('copy.command')} />
    </div>
  );
}

/* ---- small things ---- */

export function Time({ iso, none = '–' }) {
  if (!iso) return <span class="muted">{none}</span>;
  return <time dateTime={iso} title={exact(iso)}>{ago(iso)}<span class="sr"> ({exact(iso)})</span></time>;
}

export async function copy_text(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'sr';
    (document.querySelector('dialog[open]') || document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

export function Copy({ text, label, kind = '', said, onCopied }) {
  const [done, set_done] = useState('');
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => set_done(''), 2000);
    return () => clearTimeout(timer);
  }, [done]);
  const click = async () => {
    const ok = await copy_text(typeof text === 'function' ? text() : text);
    set_done(ok ? 'yes' : 'no');
    if (ok) onCopied?.();
    say(ok ? said || t('copy.done') : t('copy.failed'));
  };
  return (
    <button type="button" class={`button copy ${kind}`} onClick={click}>
      <Icon name={done === 'yes' ? 'tick' : 'copy'} />
      <span class="swap"><span class={done ? 'hide' : ''}>{label}</span><span class={done ? '' : 'hide'}>{done === 'no' ? t('copy.short.failed') : t('copy.short')}</span></span>
    </button>
  );
}

const STATES = { ok: 'tick', active: 'tick', allow: 'tick', bad: 'cross', revoked: 'cross', deny: 'cross', expired: 'dash', warn: 'warn', soon: 'warn', idle: 'dash', info: 'dash' };
const TONES = { active: 'ok', allow: 'ok', revoked: 'bad', deny: 'bad', expired: 'idle', soon: 'warn' };

export function State({ is, children }) {
  return <span class={`mood ${TONES[is] || is}`}><Icon name={STATES[is] || 'dash'} />{children}</span>;
}

export const Method = ({ name }) => <span class={`method ${name.toLowerCase()}`}>{name.toUpperCase()}</span>;

export function StatusCode({ code }) {
  const c = String(code);
  const tone = c[0] === '2' ? 'ok' : c === '401' || c === '403' ? 'bad' : c === '429' ? 'warn' : 'plain';
  return <span class={`code-badge ${tone}`}>{c}</span>;
}

export const plan_numbers = (p) => (p.requestsPerUnit ? t('plan.numbers', { n: p.requestsPerUnit, unit: unit_word(p.unit) }) : t('plan.nolimit'));

/* How much of a limit is used: a bar with its numbers in words beside it. */
export function Meter({ limit, label }) {
  const part = limit.limit ? Math.min(1, limit.used / limit.limit) : 0;
  const tone = limit.over || part >= 1 ? 'bad' : part >= 0.8 ? 'warn' : 'ok';
  return (
    <div class={`meter ${tone}`}>
      <svg viewBox="0 0 1000 8" preserveAspectRatio="none" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={limit.limit} aria-valuenow={Math.min(limit.used, limit.limit)} aria-valuetext={limit_words(limit)}>
        <rect class="track" width="1000" height="8" />
        <rect class="fill" width={Math.round(part * 1000)} height="8" />
      </svg>
    </div>
  );
}

/* Refused requests may be counted too: what is used up never exceeds the limit on the page. */
export const used_of = (l) => (l.limit ? Math.min(l.used, l.limit) : l.used);
export const limit_words = (l) => t('limit.used', { used: used_of(l), limit: l.limit, unit: unit_word(l.unit) });
export const reset_words = (l) => t('limit.reset', { when: seconds(l.reset_seconds) });
export const number = num;

/* ---- forms ---- */

export function Field({ label, hint, error, children, optional }) {
  const id = useId();
  const described = [hint && `${id}-h`, error && `${id}-e`].filter(Boolean).join(' ') || undefined;
  return (
    <div class={`field ${error ? 'wrong' : ''}`}>
      <label htmlFor={id}>{label}{optional && <span class="muted"> {t('optional')}</span>}</label>
      {children({ id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined })}
      {hint && <p class="hint" id={`${id}-h`}>{hint}</p>}
      {error && <p class="error" id={`${id}-e`}><Icon name="warn" /> {error}</p>}
    </div>
  );
}

/* A form that is sent once at a time. onSend may throw a Fault; its field gets the words. */
export function useForm(on_send) {
  const [fault, set_fault] = useState(null);
  const [busy, set_busy] = useState(false);
  const form = useRef();
  const submit = async (ev) => {
    ev.preventDefault();
    if (busy) return;
    set_busy(true);
    set_fault(null);
    try {
      await on_send(Object.fromEntries(new FormData(form.current)));
    } catch (e) {
      if (e.status === undefined) throw e;
      set_fault(e);
      setTimeout(() => (form.current?.querySelector('[aria-invalid]') || form.current?.querySelector('[role=alert]'))?.focus(), 0);
    } finally {
      set_busy(false);
    }
  };
  const error_of = (name) => (fault?.field === name ? fault.detail : '');
  return { form, submit, busy, fault, error_of, set_fault };
}

export function FormFault({ fault, fields = [] }) {
  if (!fault || fields.includes(fault.field)) return null;
  return (
    <div class="notice bad" role="alert" tabIndex={-1}>
      <p><strong>{fault.title}</strong></p>
      {fault.detail && fault.detail !== fault.title && <p>{fault.detail}</p>}
      {fault.retry > 0 && <p>{t('fault.retry', { when: seconds(fault.retry) })}</p>}
    </div>
  );
}

export function Password({ name, auto, value, onInput, ...rest }) {
  const [open, set_open] = useState(false);
  return (
    <span class="withbutton">
      <input {...rest} name={name} type={open ? 'text' : 'password'} autoComplete={auto} spellcheck={false} autoCapitalize="off" value={value} onInput={onInput} />
      <button type="button" class="button ghost" aria-pressed={open} onClick={() => set_open(!open)}><Icon name="eye" /><span class="sr">{t('password.show')}</span></button>
    </span>
  );
}

/* ---- dialog ---- */

let opener = null; /* what had the focus before the first of a chain of dialogs */

export function Dialog({ title, onClose, children, kind = '', stay }) {
  const ref = useRef();
  const id = useId();
  useLayoutEffect(() => {
    const box = ref.current;
    if (!document.activeElement?.closest('dialog')) opener = document.activeElement;
    box.showModal();
    return () => {
      box.close();
      if (document.querySelector('dialog[open]')) return;
      const back = opener?.isConnected && opener !== document.body ? opener : document.querySelector('h1');
      back?.focus();
    };
  }, []);
  const cancel = (ev) => {
    ev.preventDefault();
    if (stay) say(stay);
    else onClose();
  };
  return (
    <dialog ref={ref} class={kind} aria-labelledby={id} onCancel={cancel} onClose={(ev) => ev.target === ref.current && onClose()}>
      <div class="dialoghead">
        <h2 id={id}>{title}</h2>
        {!stay && <button type="button" class="button ghost" onClick={onClose}><Icon name="close" /><span class="sr">{t('close')}</span></button>}
      </div>
      {children}
    </dialog>
  );
}

/* ---- table: rows on a wide page, label and value on a narrow one ---- */

export function Table({ label, columns, rows, row_props }) {
  return (
    <div class="tablebox">
      <table class="data" role="table" aria-label={label}>
        <thead role="rowgroup"><tr role="row">{columns.map((c) => <th role="columnheader" scope="col" class={c.class}>{c.title || <span class="sr">{c.hidden}</span>}</th>)}</tr></thead>
        <tbody role="rowgroup">
          {rows.map((r) => (
            <tr role="row" key={r.id} {...row_props?.(r)}>
              {columns.map((c, i) => (
                <td role={i ? 'cell' : 'rowheader'} class={c.class} data-label={c.title}>{c.cell(r)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
