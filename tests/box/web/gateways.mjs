/*
 * gateways.mjs - real gateways with TLS in front of an API, asking Postern: the files of etc/gateways/ with what
 * docs/gateway-*.md say for people who sign in. For test_oidc.mjs.
 *
 * Each row: what it is called, its program, write(place) -> arguments. place: { home, at, check, api, key, cert, headers }
 * with ports, PEM files and the names of the identity headers. `page`: the status that the client gets for a page of
 * Postern's own; `cookies`: whether cookies of an allow reach the browser; `posts`: whether bodies of denials do.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from './drive.mjs';

const sample = (name) => fs.readFileSync(path.join(root, 'etc/gateways', name), 'utf8');
const page_of = (gateway) => fs.readFileSync(path.join(root, `docs/gateway-${gateway}.md`), 'utf8');
/* Of the section on people who sign in: its block. */
const manual = (gateway) => page_of(gateway).match(/^## People who sign in\n.*?^```\w+\n(.*?)^```$/ms)[1];

function replaced(text, ...pairs) {
  let out = text;
  for (const [from, to] of pairs) {
    if (!out.includes(from)) throw new Error(`the sample no longer has ${from}`);
    out = out.replaceAll(from, to);
  }
  return out;
}

const ports = (text, p) => text.replace(/(?<![0-9])8080(?![0-9])/g, p.at).replace(/(?<![0-9])8083(?![0-9])/g, p.check).replace(/(?<![0-9])9000(?![0-9])/g, p.api);
const put = (p, name, text) => { fs.writeFileSync(path.join(p.home, name), text); return path.join(p.home, name); };

/* The lines for one cookie, for as many as a session in cookies may need. */
const to_ten = (lines) => lines.replace(/^.*_cookie_3.*\n/gm, (line) => Array.from({ length: 8 }, (_, i) => line.replace(/_3/g, `_${i + 3}`)).join(''));

function nginx(p) {
  const identity = p.headers.map((h) => `auth_request_set $id_${h.toLowerCase().replace(/-/g, '_')} $upstream_http_${h.toLowerCase().replace(/-/g, '_')};
      proxy_set_header ${h} $id_${h.toLowerCase().replace(/-/g, '_')};`).join('\n      ');
  const lines = replaced(to_ten(manual('nginx')), ['http://api', `http://127.0.0.1:${p.api}`], ['proxy_pass', `${identity}\n      proxy_pass`]);
  const room = page_of('nginx').match(/`(proxy_buffer_size [^`]*)`/)[1];
  put(p, 'nginx.conf', `daemon off;
pid ${p.home}/pid;
error_log ${p.home}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${p.home}/b; proxy_temp_path ${p.home}/p; fastcgi_temp_path ${p.home}/f; uwsgi_temp_path ${p.home}/u; scgi_temp_path ${p.home}/s;
  server {
    listen 127.0.0.1:${p.at} ssl;
    ssl_certificate ${p.cert};
    ssl_certificate_key ${p.key};
    ${room}
    ${lines}
    location = /_postern {
      internal;
      proxy_pass http://127.0.0.1:${p.check}/auth/nginx;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Real-IP $remote_addr;
    }
  }
}
`);
  return ['-p', p.home, '-c', 'nginx.conf'];
}

function caddy(p) {
  return ['run', '--adapter', 'caddyfile', '--config', put(p, 'Caddyfile', `{
	admin off
	auto_https off
}
https://:${p.at} {
	bind 127.0.0.1
	tls ${p.cert} ${p.key}
	route {
		${p.headers.map((h) => `request_header -${h}`).join('\n\t\t')}
		${replaced(manual('caddy'), ['8083', p.check], ['X-User-ID X-Solo-Plan', p.headers.join(' ')])}
		reverse_proxy 127.0.0.1:${p.api}
	}
}
`)];
}

function haproxy(p) {
  put(p, 'haproxy-postern.lua', replaced(ports(sample('haproxy-postern.lua'), p), ['{"x-user-id", "x-solo-plan"}', `{${p.headers.map((h) => `"${h.toLowerCase()}"`).join(', ')}}`], ['timeout = 2000', 'timeout = 60000']));
  put(p, 'haproxy.pem', fs.readFileSync(p.cert, 'utf8') + fs.readFileSync(p.key, 'utf8'));
  put(p, 'haproxy.cfg', replaced(ports(sample('haproxy.cfg'), p), [`bind 127.0.0.1:${p.at}`, `bind 127.0.0.1:${p.at} ssl crt haproxy.pem`],
    ['    maxconn 4096', '    maxconn 4096\n    tune.bufsize 65536']));
  return ['-db', '-f', 'haproxy.cfg'];
}

const envoy_tls = (p) => [`        - filters:
`, `        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates: [{certificate_chain: {filename: ${p.cert}}, private_key: {filename: ${p.key}}}]
          filters:
`];

function envoy(p) {
  const list = (names) => names.map((n) => `                              - exact: ${n}\n`).join('');
  put(p, 'envoy.yaml', replaced(ports(sample('envoy.yaml'), p), envoy_tls(p), ['timeout: 1s', 'timeout: 60s'],
    ['                          - exact: api-key\n', '                          - exact: api-key\n                          - exact: cookie\n'],
    ['                              - exact: x-solo-plan\n', list([...p.headers.map((h) => h.toLowerCase()), 'cookie'])],
    ['                              - exact: retry-after\n', list(['location', 'set-cookie', 'cache-control', 'content-type', 'content-security-policy'])],
    ['                          allowed_client_headers_on_success:\n                            patterns:\n', `                          allowed_client_headers_on_success:\n                            patterns:\n${list(['set-cookie'])}`]));
  return ['-c', 'envoy.yaml', '--disable-hot-restart', '--concurrency', '1', '-l', 'warning'];
}

function envoy_grpc(p) {
  put(p, 'envoy.yaml', replaced(ports(sample('envoy-grpc.yaml'), p), envoy_tls(p), ['timeout: 1s', 'timeout: 60s']));
  return ['-c', 'envoy.yaml', '--disable-hot-restart', '--concurrency', '1', '-l', 'warning'];
}

const kept_envoy = path.join(process.env.POSTERN_CACHE || path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'postern'), 'envoy/bin');
const on_path = (name) => [...`${process.env.PATH}:/usr/sbin:${kept_envoy}`.split(':')].map((d) => path.join(d, name)).find((f) => fs.existsSync(f));

export const gateways = [
  { name: 'caddy', program: on_path('caddy'), write: caddy, page: 200, cookies: false, posts: true },
  { name: 'nginx', program: on_path('nginx'), write: nginx, page: 200, cookies: true, posts: false },
  { name: 'haproxy', program: on_path('haproxy'), write: haproxy, page: 200, cookies: true, posts: true },
  { name: 'envoy', program: on_path('envoy'), write: envoy, page: 403, cookies: true, posts: true },
  { name: 'envoy-grpc', program: on_path('envoy'), write: envoy_grpc, page: 200, cookies: true, posts: true },
];
