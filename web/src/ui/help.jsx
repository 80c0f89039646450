/*
 * help.jsx - what the keys do, and a switch for each.
 */
import { t } from '../lib/i18n.js';
import { prefs, set_pref } from '../lib/prefs.js';
import { useCell } from '../lib/cell.js';
import { Dialog } from './parts.jsx';

const KEYS = [['search', '/'], ['palette', 'Ctrl K'], ['help', '?']];

export default function Help({ onClose }) {
  const on = useCell(prefs).keys;
  return (
    <Dialog title={t('help.title')} onClose={onClose}>
      <p class="muted">{t('help.text')}</p>
      <ul class="switches">
        {KEYS.map(([name, key]) => (
          <li>
            <label><input type="checkbox" checked={on[name]} onChange={(ev) => set_pref('keys', { ...on, [name]: ev.target.checked })} /> <span>{t(`help.key.${name}`)}</span></label>
            <kbd>{key}</kbd>
          </li>
        ))}
        <li><span>{t('help.key.esc')}</span><kbd>Esc</kbd></li>
      </ul>
    </Dialog>
  );
}
