/*
 * model.js - reading an OpenAPI 3.0 or 3.1 document: local references, operations, parameters, schemas
 * and examples. Pure functions over the plain object; nothing here draws, fetches or changes the document.
 *
 * References may run in circles. deref() follows a chain of at most 32; whoever walks schemas carries
 * the set of references that are open above him.
 */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

export function resolve_pointer(spec, ref) {
  if (typeof ref !== 'string' || !ref.startsWith('#/')) return undefined;
  let at = spec;
  for (const part of ref.slice(2).split('/')) {
    const name = decodeURIComponent(part).replace(/~1/g, '/').replace(/~0/g, '~');
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

export const ref_name = (ref) => String(ref).split('/').pop();

/* Follows $ref to the end. 3.1 allows siblings beside $ref: they win. */
export function deref(spec, node) {
  let at = node;
  let extra = null;
  for (let i = 0; at && typeof at === 'object' && at.$ref && i < 32; i++) {
    const { $ref, ...siblings } = at;
    if (Object.keys(siblings).length) extra = { ...siblings, ...extra };
    at = resolve_pointer(spec, $ref);
  }
  if (!at || typeof at !== 'object' || at.$ref) return extra || {};
  return extra ? { ...at, ...extra } : at;
}

const slug_of = (method, path, op) => op.operationId || `${method}-${path.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '')}`;

const cache = new WeakMap();

export function operations(spec) {
  if (!spec || typeof spec !== 'object') return [];
  if (cache.has(spec)) return cache.get(spec);
  const out = [];
  for (const [path, raw] of Object.entries(spec.paths || {})) {
    const item = deref(spec, raw);
    for (const method of METHODS) {
      const op = item[method];
      if (!op || typeof op !== 'object') continue;
      out.push({ method, path, item, op, slug: slug_of(method, path, op), summary: op.summary || op.operationId || path,
        tags: op.tags?.length ? op.tags : [''], deprecated: !!op.deprecated });
    }
  }
  cache.set(spec, out);
  return out;
}

/* Operations by tag, tags in the document's order, then those that it does not declare. */
export function groups(spec, list) {
  const names = [...(spec.tags || []).map((x) => x.name), ...list.flatMap((o) => o.tags)];
  return [...new Set(names)].map((name) => ({
    name, description: (spec.tags || []).find((x) => x.name === name)?.description || '',
    list: list.filter((o) => o.tags.includes(name)),
  })).filter((g) => g.list.length);
}

/* Parameters of path and operation; the operation's win. */
export function parameters(spec, o) {
  const all = new Map();
  for (const raw of [...(o.item.parameters || []), ...(o.op.parameters || [])]) {
    const p = deref(spec, raw);
    if (p.name) all.set(`${p.in} ${p.name}`, p);
  }
  const order = ['path', 'query', 'header', 'cookie'];
  return [...all.values()].sort((a, b) => order.indexOf(a.in) - order.indexOf(b.in));
}

export const media_of = (content) => Object.entries(content || {}).map(([type, m]) => ({ type, ...m }));

/* Which security scheme asks for the key: header name, or null when the operation is open. */
export function key_header(spec, o, fallback) {
  const needs = o.op.security || spec.security;
  if (needs && !needs.length) return null;
  for (const need of needs || []) {
    for (const name of Object.keys(need)) {
      const s = deref(spec, spec.components?.securitySchemes?.[name]);
      if (s.type === 'apiKey' && s.in === 'header') return s.name;
    }
  }
  return fallback || null;
}

/* ---- schemas ---- */

const list = (v) => (Array.isArray(v) ? v : v === undefined ? [] : [v]);

/* allOf folded into one schema: properties joined, required joined, the rest by the later one. */
export function flatten(spec, schema, open = []) {
  const s = deref(spec, schema);
  if (!s.allOf) return s;
  const { allOf, ...rest } = s;
  const out = {};
  for (const part of [...allOf, rest]) {
    if (part.$ref && open.includes(part.$ref)) continue;
    const f = part === rest ? rest : flatten(spec, part, part.$ref ? [...open, part.$ref] : open);
    for (const [k, v] of Object.entries(f)) {
      if (k === 'properties') out.properties = { ...out.properties, ...v };
      else if (k === 'required') out.required = [...new Set([...(out.required || []), ...v])];
      else out[k] = v;
    }
  }
  return out;
}

export function types_of(s) {
  const types = list(s.type).filter((x) => x !== 'null');
  if (types.length) return types;
  if (s.properties || s.additionalProperties) return ['object'];
  if (s.items || s.prefixItems) return ['array'];
  if (s.const !== undefined || s.enum) return [typeof (s.const ?? s.enum[0])];
  return [];
}

export const is_nullable = (s) => s.nullable === true || list(s.type).includes('null');

/* Alternatives of oneOf/anyOf without the null one. */
export function choices(spec, s) {
  const kind = s.oneOf ? 'oneOf' : s.anyOf ? 'anyOf' : null;
  if (!kind) return null;
  const all = s[kind];
  const real = all.filter((c) => deref(spec, c).type !== 'null');
  return { kind, list: real, with_null: real.length < all.length };
}

export function title_of(spec, schema, i) {
  const s = deref(spec, schema);
  return s.title || (schema.$ref ? ref_name(schema.$ref) : '') || types_of(s).join(' | ') || String(i + 1);
}

export function type_words(spec, schema, depth = 0) {
  const s = flatten(spec, schema);
  const name = schema.$ref ? ref_name(schema.$ref) : '';
  const alt = choices(spec, s);
  if (alt && depth < 3) {
    if (alt.list.length === 1) return `${type_words(spec, alt.list[0], depth + 1)}${alt.with_null ? ' | null' : ''}`;
    return name || alt.list.map((c, i) => title_of(spec, c, i)).join(' | ');
  }
  const types = types_of(s);
  if (types[0] === 'array') return `${s.items && depth < 3 ? type_words(spec, s.items, depth + 1) : 'any'}[]`;
  let words = types[0] === 'object' && name ? name : types.join(' | ') || 'any';
  if (s.format) words += ` (${s.format})`;
  return words + (is_nullable(s) ? ' | null' : '');
}

/* Bounds in words: "1 to 100", "at most 64 characters"... as [message key, parameters]. */
export function bounds(s) {
  const out = [];
  const min = s.minimum ?? (typeof s.exclusiveMinimum === 'number' ? s.exclusiveMinimum : undefined);
  const max = s.maximum ?? (typeof s.exclusiveMaximum === 'number' ? s.exclusiveMaximum : undefined);
  const range = (lo, hi, key) => {
    if (lo !== undefined && hi !== undefined) out.push([lo === hi ? `bound.${key}.same` : `bound.${key}.both`, { lo, hi, n: hi }]);
    else if (lo !== undefined) out.push([`bound.${key}.min`, { lo, n: lo }]);
    else if (hi !== undefined) out.push([`bound.${key}.max`, { hi, n: hi }]);
  };
  range(min, max, 'number');
  range(s.minLength, s.maxLength, 'length');
  range(s.minItems || undefined, s.maxItems, 'items');
  range(s.minProperties, s.maxProperties, 'members');
  if (s.multipleOf) out.push(['bound.multiple', { lo: s.multipleOf, n: s.multipleOf }]);
  if (s.uniqueItems) out.push(['bound.unique', {}]);
  return out;
}

/* ---- examples ---- */

const BY_FORMAT = { 'date-time': '2026-11-21T09:00:00Z', date: '2026-11-21', time: '09:00:00Z', uuid: '0b9c2f6e-6d0a-4d62-9b0f-5f7f3a4f2d11',
  email: 'name@example.org', uri: 'https://api.example/', 'uri-reference': '/', hostname: 'host.example', ipv4: '192.0.2.1', ipv6: '2001:db8::1', byte: 'aGVsbG8=' };

/* A value that the schema would accept, made of its own examples. mode: "read" or "write". */
export function example(spec, schema, mode = 'read', open = []) {
  if (!schema || typeof schema !== 'object' || open.length > 12) return null;
  if (schema.$ref && open.includes(schema.$ref)) return undefined;
  const above = schema.$ref ? [...open, schema.$ref] : [...open, ''];
  const s = flatten(spec, schema);
  if (s.example !== undefined) return s.example;
  if (s.examples?.length) return s.examples[0];
  if (s.const !== undefined) return s.const;
  if (s.default !== undefined) return s.default;
  if (s.enum?.length) return s.enum[0];
  const alt = choices(spec, s);
  if (alt) {
    const own = s.properties ? example(spec, { ...s, oneOf: undefined, anyOf: undefined }, mode, above) : null;
    const one = example(spec, alt.list[0], mode, above);
    return own && one && typeof one === 'object' ? { ...own, ...one } : one;
  }
  const type = types_of(s)[0];
  if (type === 'object') {
    const out = {};
    for (const [name, p] of Object.entries(s.properties || {})) {
      const d = deref(spec, p);
      if ((mode === 'write' && d.readOnly) || (mode === 'read' && d.writeOnly)) continue;
      const v = example(spec, p, mode, above);
      if (v !== undefined) out[name] = v;
    }
    if (!s.properties && s.additionalProperties && typeof s.additionalProperties === 'object') {
      const v = example(spec, s.additionalProperties, mode, above);
      if (v !== undefined) out.name = v;
    }
    return out;
  }
  if (type === 'array') {
    const v = s.items ? example(spec, s.items, mode, above) : undefined;
    return v === undefined ? [] : [v];
  }
  if (type === 'integer' || type === 'number') return s.minimum ?? 1;
  if (type === 'boolean') return true;
  if (type === 'string') return BY_FORMAT[s.format] || 'text';
  return null;
}

/* The example of a media type: its own first, then one made from the schema. */
export function media_example(spec, m, mode) {
  if (m.example !== undefined) return m.example;
  const first = Object.values(m.examples || {})[0];
  if (first) return deref(spec, first).value;
  return m.schema ? example(spec, m.schema, mode) : undefined;
}

export function media_examples(spec, m) {
  return Object.entries(m.examples || {}).map(([name, e]) => ({ name, ...deref(spec, e) })).filter((e) => e.value !== undefined);
}

export const as_text = (v) => (typeof v === 'string' ? v : JSON.stringify(v, null, 2) ?? '');

/* ---- requests ---- */

/* Path prefix: the path of the first server; the route's prefix in front when it is not there. Servers of
 * an operation or a path win, and then stand alone. */
export function prefix_of(spec, version, path, o) {
  let base = '';
  const own = o?.op.servers || o?.item.servers;
  const url = (own || spec.servers)?.[0]?.url || '';
  try {
    base = new URL(url, 'http://localhost').pathname.replace(/\/+$/, '');
  } catch { /* a template: leave it out */ }
  if (own) return base;
  const route = (version?.path || '').replace(/\/+$/, '');
  return route && !`${base}${path}/`.startsWith(`${route}/`) ? route + base : base;
}

export function param_default(spec, p) {
  const s = flatten(spec, p.schema || {});
  const v = p.example ?? Object.values(p.examples || {}).map((e) => deref(spec, e).value)[0] ?? s.example ?? s.examples?.[0];
  const given = v ?? (p.required ? s.default ?? s.enum?.[0] ?? example(spec, s) : undefined);
  return given === undefined || given === null ? '' : Array.isArray(given) ? given.join(',') : typeof given === 'object' ? JSON.stringify(given) : String(given);
}

const encode = (v) => encodeURIComponent(v).replace(/%2C/g, ',').replace(/%3A/g, ':');

/* What is sent: { method, path (with query), headers: [[name, value]], body, type } */
export function request_of(spec, version, o, values, body, type) {
  let path = o.path;
  const query = [];
  const headers = [];
  for (const p of parameters(spec, o)) {
    const v = values[`${p.in} ${p.name}`] ?? '';
    if (p.in === 'path') path = path.replace(`{${p.name}}`, v === '' ? `{${p.name}}` : encode(v));
    if (v === '') continue;
    const many = types_of(flatten(spec, p.schema || {}))[0] === 'array' && p.explode !== false && (p.style || 'form') === 'form';
    if (p.in === 'query') for (const one of many ? v.split(',') : [v]) query.push(`${encode(p.name)}=${encode(one.trim())}`);
    if (p.in === 'header') headers.push([p.name, v]);
  }
  if (body) headers.push(['content-type', type]);
  return { method: o.method.toUpperCase(), path: prefix_of(spec, version, o.path, o) + path + (query.length ? `?${query.join('&')}` : ''), headers, body: body || '' };
}

/* Where samples send requests: the gateway as the server names it, else the API's own host. */
export function base_of(version, gateway) {
  const base = (gateway?.sampleBaseUrl || '').replace(/\/+$/, '');
  return base || `https://${version.host && !version.host.includes('*') ? version.host : 'localhost'}`;
}

/* The Host header that the gateway's address alone would not send, or "". */
export function host_of(version, base) {
  const host = version.host || '';
  if (!host || host.includes('*')) return '';
  try {
    return new URL(base).host === host ? '' : host;
  } catch {
    return host;
  }
}
