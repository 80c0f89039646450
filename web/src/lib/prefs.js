/*
 * prefs.js - choices of this browser: theme, language, shortcuts, language of samples. Never a secret.
 * Kept in localStorage under one name; works (and forgets) when storage is switched off.
 */
import { cell } from './cell.js';

const NAME = 'postern';
const DEFAULTS = { theme: 'system', lang: '', sample: 'curl', keys: { search: true, palette: true, help: true } };

function prefs_read() {
  try {
    const stored = JSON.parse(localStorage.getItem(NAME) || '{}');
    return { ...DEFAULTS, ...stored, keys: { ...DEFAULTS.keys, ...stored.keys } };
  } catch {
    return DEFAULTS;
  }
}

export const prefs = cell(prefs_read());

export function set_pref(name, value) {
  prefs.set({ ...prefs.get(), [name]: value });
  try {
    localStorage.setItem(NAME, JSON.stringify(prefs.get()));
  } catch {
    /* kept for this page only */
  }
  if (name === 'theme') {
    if (value === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  }
}
