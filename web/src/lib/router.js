/*
 * router.js - addresses. The place is a cell; plain links to our own pages are caught in one handler,
 * so that a page writes <a href> and nothing else. Every page keeps an address that can be sent on.
 */
import { cell } from './cell.js';

/* A part of an address in clear; one that is no encoding stays as it is. */
export function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search), moved: history.state?.moved || 0 });
export const place = cell(read());
let moves = 0;

export function go(href, opts = {}) {
  const url = new URL(href, location.href);
  if (url.origin !== location.origin) return;
  moves += 1;
  history[opts.replace ? 'replaceState' : 'pushState']({ moved: moves }, '', url);
  place.set(read());
  if (!opts.keep) scrollTo(0, 0);
}

/* True once the person has moved inside the application: then a new page takes the focus. */
export const has_moved = () => moves > 0;

/* A place to return to, if it is one of ours. */
export function safe_next(next) {
  if (!next || !/^\/(?![/\\])[^\\\u0000-\u001f]*$/.test(next)) return '/apis';
  return new URL(next, location.origin).origin === location.origin ? next : '/apis';
}

const FOREIGN = /^\/(docs|assets|v1|admin\/v1)(\/|$)/;

function on_click(ev) {
  if (ev.defaultPrevented || ev.button || ev.metaKey || ev.ctrlKey || ev.shiftKey || ev.altKey) return;
  const a = ev.target.closest?.('a[href]');
  if (!a || a.target || a.hasAttribute('download')) return;
  const url = new URL(a.href);
  if (url.origin !== location.origin || FOREIGN.test(url.pathname)) return;
  if (url.pathname === location.pathname && url.search === location.search && url.hash) return;
  ev.preventDefault();
  go(url.href);
}

export function start_router() {
  addEventListener('popstate', () => {
    moves += 1;
    place.set(read());
  });
  document.addEventListener('click', on_click);
}

/* Pattern "/apis/:id" against a path: parameters in clear, or null. */
export function match(pattern, path) {
  const want = pattern.split('/');
  const have = path.replace(/\/+$/, '').split('/');
  if (want.length !== have.length) return null;
  const params = {};
  for (let i = 0; i < want.length; i++) {
    if (want[i][0] === ':') {
      if (!have[i]) return null;
      params[want[i].slice(1)] = decoded(have[i]);
    } else if (want[i] !== have[i]) return null;
  }
  return params;
}
