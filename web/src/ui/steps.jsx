/*
 * steps.jsx - the steps of a decision as a vertical list: a tick, a cross or a dash, what was said and by
 * which rule, and the time where it is known. For the panel of an operation and for the page of a request.
 */
import { t, has_message, took } from '../lib/i18n.js';
import { sentence } from '../lib/api.js';
import { State } from './parts.jsx';

const SAID = { pass: 'ok', allow: 'ok', deny: 'bad', limited: 'bad', skip: 'idle', trouble: 'warn', shadow: 'info' };

export function Steps({ trace, times }) {
  return (
    <ol class={times ? 'steps timed' : 'steps'}>
      {trace.map((s) => (
        <li class={SAID[s.said] || 'idle'}>
          <State is={SAID[s.said] || 'idle'}>{has_message(`said.${s.said}`) ? t(`said.${s.said}`) : s.said}</State>
          <span class="step"><strong>{s.step}</strong>{s.detail && <span>{sentence(s.detail)}</span>}{(s.rule || s.policy) && <code class="muted">{[s.policy, s.rule].filter(Boolean).join(' · ')}</code>}</span>
          {times && <span class="took">{s.took_ns > 0 ? took(s.took_ns) : ''}</span>}
        </li>
      ))}
    </ol>
  );
}
