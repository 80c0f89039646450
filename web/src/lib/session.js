/*
 * session.js - who is here, what the server is, and the clear keys of this tab.
 *
 * A clear key lives in the map below and nowhere else: not in storage, not in an address. It is gone
 * when the tab is.
 */
import { cell } from './cell.js';
import { get, del, on_session_end } from './api.js';
import { go } from './router.js';

export const status = cell(null);
export const user = cell(null);
export const vault = cell(new Map()); /* id of a key -> { name, publicPart, plan, clear } */

const cache = new Map();

/* GET that is asked once per visit (plans, products, specs). */
export function once(url) {
  if (!cache.has(url)) cache.set(url, get(url).catch((e) => { cache.delete(url); throw e; }));
  return cache.get(url);
}

export function keep_key(k) {
  vault.set(new Map(vault.get()).set(k.id, { id: k.id, name: k.name, publicPart: k.publicPart, plan: k.plan, clear: k.apiKey }));
}
export function forget_key(id) {
  const next = new Map(vault.get());
  next.delete(id);
  vault.set(next);
}

export async function load_session() {
  const s = await get('/v1/status');
  status.set(s);
  user.set(s.signed_in ? await get('/v1/me', { anonymous: true }).catch(() => null) : null);
}

export function signed_in(u) {
  cache.clear();
  user.set(u);
  status.set({ ...status.get(), signed_in: true, setup_needed: false });
}

function forget() {
  cache.clear();
  vault.set(new Map());
  user.set(null);
  status.set({ ...status.get(), signed_in: false });
}

export async function sign_out() {
  await del('/v1/session');
  forget();
  go('/signin');
}

export const here_as_next = () => encodeURIComponent(location.pathname + location.search);

on_session_end(() => {
  if (!user.get()) return;
  forget();
  go(`/signin?ended=1&next=${here_as_next()}`, { replace: true });
});

export const is_admin = () => !!user.get()?.isAdmin;
