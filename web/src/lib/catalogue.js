/*
 * catalogue.js - the APIs that this person may see, and, when asked, their operations for the search.
 * Descriptions are fetched four at a time, once per visit.
 */
import { once } from './session.js';
import { operations } from '../reference/model.js';

export const api_href = (id, version, op) => `/apis/${encodeURIComponent(id)}${version ? `/${encodeURIComponent(version)}` : ''}${op ? `/${encodeURIComponent(op)}` : ''}`;

export const versions_of = (id) => once(`/v1/api-products/${encodeURIComponent(id)}/versions`);

const specs = new WeakMap(); /* product -> operations */

async function warm(products) {
  const todo = products.filter((p) => !specs.has(p));
  const work = async () => {
    for (let p = todo.shift(); p; p = todo.shift()) {
      const versions = await versions_of(p.id).catch(() => []);
      const v = newest(versions);
      specs.set(p, v ? operations(v.apiSpec).map((o) => ({ ...o, href: api_href(p.id, v.name, o.slug) })) : []);
    }
  };
  await Promise.all([work(), work(), work(), work()]);
}

export const newest = (versions) => versions[versions.length - 1];

export const operations_of = (product) => specs.get(product) || [];

export async function catalogue(with_operations) {
  const products = await once('/v1/api-products');
  for (const p of products) p.href = api_href(p.id, p.versions?.[p.versions.length - 1]);
  if (with_operations) await warm(products);
  return products;
}

/* The first sentence of a description as plain words: rows have one line, not a chapter. */
export function one_line(text) {
  const first = String(text || '').trim().split(/\n\s*\n|\n#/)[0].replace(/\s+/g, ' ').replace(/[*`#]|\[([^\]]*)\]\([^)]*\)/g, '$1').split(/(?<=[.!?]) (?=\p{Lu})/u)[0];
  return first.length > 160 ? `${first.slice(0, 157).replace(/\s\S*$/, '')}…` : first;
}
