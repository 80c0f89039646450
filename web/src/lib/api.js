/*
 * api.js - the one place that talks to Postern. Every answer is JSON; every fault becomes a Fault with
 * the server's own words (RFC 9457). Nothing is retried here and nothing is kept.
 */
import { t } from './i18n.js';

/* The server's words are fragments as often as sentences. */
export const sentence = (s) => (/^[a-z]+ /.test(s) ? s[0].toUpperCase() + s.slice(1) + (/[.!?…]$/.test(s) ? '' : '.') : s);

export class Fault extends Error {
  constructor(status, body = {}) {
    super(body.detail || body.message || body.title || '');
    this.status = status;
    this.title = body.title || '';
    this.detail = sentence(body.detail || body.message || '').replace(/`([^`]*)`/g, '“$1”');
    this.field = body.field || '';
    this.id = body.decision_id || body.request_id || '';
    this.retry = 0;
  }
}

let ended = () => {};
export function on_session_end(fn) {
  ended = fn;
}

async function body_of(res) {
  if (res.status === 204) return null;
  try {
    return await res.json();
  } catch {
    return null;
  }
}

export async function call(method, url, data, opts = {}) {
  const init = { method, credentials: 'same-origin', headers: { Accept: 'application/json' }, redirect: 'error', cache: 'no-store' };
  if (method !== 'GET') init.headers['X-Postern'] = '1';
  if (data !== undefined) {
    init.headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(data);
  }
  let res;
  try {
    res = await fetch(url, init);
  } catch {
    throw new Fault(0, { title: t('fault.offline'), detail: t('fault.offline.cure') });
  }
  const body = await body_of(res);
  if (res.ok) return body;
  if (res.status === 401 && !opts.anonymous) ended();
  const fault = new Fault(res.status, body || { title: `${res.status} ${res.statusText}` });
  fault.retry = Number(res.headers.get('Retry-After')) || 0;
  throw fault;
}

export const get = (url, opts) => call('GET', url, undefined, opts);
export const post = (url, data, opts) => call('POST', url, data, opts);
export const put = (url, data) => call('PUT', url, data);
export const del = (url) => call('DELETE', url);
