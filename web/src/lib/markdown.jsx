/*
 * markdown.jsx - CommonMark's everyday part to vnodes: headings, paragraphs, lists, tables, quotes, code,
 * emphasis, code spans, links. Never HTML: a tag in the text stays text. Links go to http(s), mailto or our
 * own pages; anything else stays text.
 */
const SAFE = /^(https?:\/\/|mailto:|\/(?!\/)|#)/i;
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^*\s](?:.*?[^*\s])?)\*|\b_([^_\s](?:.*?[^_\s])?)_\b|\[([^\]]+)\]\(([^)\s]+)\)|<(https?:\/\/[^>\s]+)>|\\([\\`*_{}[\]()#+.!|<>-])/;

export function inline(text, link) {
  const out = [];
  let rest = text;
  while (rest) {
    const m = INLINE.exec(rest);
    if (!m) break;
    if (m.index) out.push(rest.slice(0, m.index));
    if (m[1]) out.push(<code>{m[2].trim()}</code>);
    else if (m[3] || m[4]) out.push(<strong>{inline(m[3] || m[4], link)}</strong>);
    else if (m[5] || m[6]) out.push(<em>{inline(m[5] || m[6], link)}</em>);
    else if (m[7]) out.push(anchor(m[8], inline(m[7], link), link));
    else if (m[9]) out.push(anchor(m[9], m[9], link));
    else out.push(m[10]);
    rest = rest.slice(m.index + m[0].length);
  }
  if (rest) out.push(rest);
  return out;
}

function anchor(href, content, link) {
  const to = link?.(href) ?? href;
  if (!SAFE.test(to)) return content;
  return /^(https?:|mailto:)/i.test(to) ? <a href={to} rel="noreferrer">{content}</a> : <a href={to}>{content}</a>;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((c) => c.trim());
const BULLET = /^(\s*)([-*+]|\d+[.)])\s+(.*)$/;

function blocks(lines, link, level) {
  const out = [];
  let i = 0;
  while (i < lines.length) {
    const line = lines[i];
    if (!line.trim()) { i++; continue; }
    const fence = /^(\s*)(```+|~~~+)/.exec(line);
    if (fence) {
      const body = [];
      for (i++; i < lines.length && !lines[i].trim().startsWith(fence[2]); i++) body.push(lines[i].slice(fence[1].length));
      i++;
      out.push(<pre class="code" tabIndex={0}><code>{body.join('\n')}</code></pre>);
      continue;
    }
    const head = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (head) {
      const H = `h${Math.min(6, Math.max(level, head[1].length + level - 2))}`;
      out.push(<H>{inline(head[2], link)}</H>);
      i++;
      continue;
    }
    if (/^\s*>/.test(line)) {
      const body = [];
      for (; i < lines.length && /^\s*>/.test(lines[i]); i++) body.push(lines[i].replace(/^\s*>\s?/, ''));
      out.push(<blockquote>{blocks(body, link, level)}</blockquote>);
      continue;
    }
    if (line.includes('|') && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[i + 1] || '')) {
      const heads = cells(line);
      const rows = [];
      for (i += 2; i < lines.length && lines[i].includes('|'); i++) rows.push(cells(lines[i]));
      out.push(
        <div class="scroll" tabIndex={0} role="group" aria-label={heads.join(', ')}>
          <table class="plain">
            <thead><tr>{heads.map((c) => <th scope="col">{inline(c, link)}</th>)}</tr></thead>
            <tbody>{rows.map((r) => <tr>{heads.map((_, k) => <td>{inline(r[k] || '', link)}</td>)}</tr>)}</tbody>
          </table>
        </div>,
      );
      continue;
    }
    const bullet = BULLET.exec(line);
    if (bullet) {
      const items = [];
      const ordered = /\d/.test(bullet[2]);
      const deep = bullet[1].length;
      for (; i < lines.length; i++) {
        const b = BULLET.exec(lines[i]);
        if (b && b[1].length <= deep) items.push([b[3]]);
        else if (lines[i].trim() && items.length) items[items.length - 1].push(lines[i].slice(Math.min(deep + 2, lines[i].search(/\S/))));
        else if (!BULLET.test(lines[i + 1] || '')) break;
      }
      const List = ordered ? 'ol' : 'ul';
      out.push(<List>{items.map((it) => <li>{it.length > 1 && it.slice(1).some((l) => BULLET.test(l)) ? blocks(it, link, level) : inline(it.join(' '), link)}</li>)}</List>);
      continue;
    }
    const text = [];
    for (; i < lines.length && lines[i].trim() && !(text.length && /^(\s*>|#{1,6}\s|\s*(```|~~~))/.test(lines[i])) && !(text.length && BULLET.test(lines[i])); i++) text.push(lines[i]);
    out.push(<p>{inline(text.join(' '), link)}</p>);
  }
  return out;
}

/* level: the heading level that "##" becomes; link: rewrites an address, or null to leave it. */
export function Markdown({ text, level = 3, link }) {
  if (!text) return null;
  return <div class="prose">{blocks(String(text).replace(/\r/g, '').split('\n'), link, level)}</div>;
}
