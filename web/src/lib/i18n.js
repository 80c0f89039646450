/*
 * i18n.js - words, numbers and times in the person's language.
 *
 * One catalogue per language in messages/; a message is text with {holes}, or an object of plural
 * forms chosen by {n}. build.mjs holds the catalogues against each other and against their use.
 */
import { prefs } from './prefs.js';

const CATALOGUES = {
  en: () => import('../messages/en.json'),
  de: () => import('../messages/de.json'),
};
export const LANGUAGES = [['en', 'English'], ['de', 'Deutsch']];

let messages = {};
export let lang = 'en';
let plural;
let relative;
let numbers;

function wanted() {
  const list = [prefs.get().lang, ...(navigator.languages || [])].filter(Boolean);
  for (const l of list) if (CATALOGUES[l.slice(0, 2)]) return l.slice(0, 2);
  return 'en';
}

export async function load_language() {
  lang = wanted();
  messages = (await CATALOGUES[lang]()).default;
  const locale = (navigator.languages || []).find((l) => l.startsWith(lang)) || lang;
  plural = new Intl.PluralRules(locale);
  relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  numbers = new Intl.NumberFormat(locale);
  exact_format = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'long' });
  day_format = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' });
  document.documentElement.lang = lang;
}
let exact_format;
let day_format;

function pick(key, params) {
  const m = messages[key];
  if (m === undefined) return key;
  return typeof m === 'string' ? m : m[plural.select(params?.n ?? 0)] ?? m.other;
}

export function t(key, params) {
  return pick(key, params).replace(/\{(\w+)\}/g, (_, name) => {
    const v = params?.[name];
    return typeof v === 'number' ? numbers.format(v) : v ?? '';
  });
}

/* The same with vnodes in the holes: gives an array. */
export function tx(key, params) {
  return pick(key, params).split(/\{(\w+)\}/).map((part, i) => (i % 2 ? params[part] : part));
}

export const has_message = (key) => key in messages;
export const num = (n) => numbers.format(n);
export const exact = (iso) => exact_format.format(new Date(iso));
export const day = (iso) => day_format.format(new Date(iso));

const STEPS = [[60, 'second', 1], [3600, 'minute', 60], [86400, 'hour', 3600], [86400 * 100, 'day', 86400],
  [86400 * 550, 'month', 86400 * 30.44], [Infinity, 'year', 86400 * 365.25]];

export function ago(iso) {
  const s = (new Date(iso) - Date.now()) / 1000;
  const [, unit, len] = STEPS.find(([below]) => Math.abs(s) < below);
  return relative.format(Math.round(s / len), unit);
}

export function unit_word(unit) {
  const key = `unit.${unit}`;
  return has_message(key) ? t(`unit.${unit}`) : String(unit || '').toLowerCase();
}

/* A time in nanoseconds, short: "840 ns", "12.3 µs", "4.1 ms". */
export function took(ns) {
  const [v, unit] = ns < 1e3 ? [ns, 'ns'] : ns < 1e6 ? [ns / 1e3, 'µs'] : ns < 1e9 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  return `${num(v < 100 ? Math.round(v * 10) / 10 : Math.round(v))} ${unit}`;
}

export function seconds(s) {
  if (s < 120) return t('time.seconds', { n: s });
  if (s < 7200) return t('time.minutes', { n: Math.round(s / 60) });
  if (s < 172800) return t('time.hours', { n: Math.round(s / 3600) });
  return t('time.days', { n: Math.round(s / 86400) });
}
