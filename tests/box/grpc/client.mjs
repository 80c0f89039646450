// A gRPC client of another make (@grpc/grpc-js) against the check port: node client.mjs ADDRESS KEY
// Prints result lines for test_grpc.py. Messages are made by hand: fields are [number, value].
import grpc from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor/index.js'

const [address, key] = process.argv.slice(2)

const varint = n => n < 128 ? [n] : [n & 127 | 128, ...varint(n >>> 7)]
const bytes = v => Buffer.isBuffer(v) ? v : Array.isArray(v) ? message(...v) : Buffer.from(v)
const field = ([number, v]) => typeof v === 'number' ? Buffer.from([...varint(number << 3), ...varint(v)])
  : Buffer.concat([Buffer.from([...varint(number << 3 | 2), ...varint(bytes(v).length)]), bytes(v)])
const message = (...fields) => Buffer.concat(fields.map(field))

// A message as a map of numbers to the list of what they hold.
function read(buf) {
  const out = {}
  for (let at = 0; at < buf.length;) {
    const number = () => { let n = 0, s = 0, b; do { b = buf[at++]; n += (b & 127) * 2 ** s; s += 7 } while (b > 127); return n }
    const tag = number(), type = tag & 7
    let value
    if (type === 0) value = number()
    else if (type === 2) { const n = number(); value = buf.subarray(at, at + n); at += n }
    else { value = buf.subarray(at, at + 8); at += 8 }
    ;(out[tag >>> 3] ||= []).push(value)
  }
  return out
}

const pass = v => v
const method = (path, stream = false, answers = stream) => ({ path, requestStream: stream, responseStream: answers, requestSerialize: pass,
  requestDeserialize: pass, responseSerialize: pass, responseDeserialize: pass })
const Client = grpc.makeGenericClientConstructor({
  check: method('/envoy.service.auth.v3.Authorization/Check'),
  limit: method('/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'),
  health: method('/grpc.health.v1.Health/Check'),
  watch: method('/grpc.health.v1.Health/Watch', false, true),
  nothing: method('/no.such.Service/Method'),
  reflect: method('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', true),
}, 'postern')
const open = options => new Client(address, grpc.credentials.createInsecure(), options)

const checkRequest = (headers, path = '/v1/stations') => message([1, [
  [1, [[1, [[1, [[2, '192.0.2.7'], [3, 4711]]]]]]],
  [4, [[2, [[2, 'GET'], ...Object.entries(headers).map(([k, v]) => [3, [[1, k], [2, v]]]), [4, path], [5, 'harbour.example.com'],
    [6, 'https']]]]]]])
const call = (client, name, request, options = {}) => new Promise(done =>
  client[name](request, new grpc.Metadata(), options, (error, reply) => done({ code: error ? error.code : 0, error, reply: reply && read(reply) })))

const say = (name, good, why) => console.log(good ? `ok ${name}` : `not ok ${name} - ${JSON.stringify(why)}`)
const allowed = r => r.code === 0 && r.reply[1] && !read(r.reply[1][0])[1] && !!r.reply[3]
const status = r => r.reply?.[2] ? read(read(r.reply[2][0])[1][0])[1][0] : 0

const client = open()
let r = await call(client, 'check', checkRequest({ 'api-key': key }))
say('grpc-js: a key is allowed', allowed(r), r)
r = await call(client, 'check', checkRequest({}))
say('grpc-js: no key is 401', status(r) === 401 && read(r.reply[1][0])[1][0] === 16, r)
r = await call(client, 'health', Buffer.alloc(0))
say('grpc-js: health', r.code === 0 && r.reply[1][0] === 1, r)
r = await new Promise(done => {
  const stream = client.watch(Buffer.alloc(0))
  let first
  stream.on('data', d => { first = read(d); stream.cancel() })
  stream.on('error', () => {})
  stream.on('status', s => done({ first, code: s.code }))
})
say('grpc-js: Watch says what is and stays', r.first?.[1]?.[0] === 1 && r.code === grpc.status.CANCELLED, r)
r = await call(client, 'nothing', Buffer.alloc(0))
say('grpc-js: nor is what is not there', r.code === grpc.status.UNIMPLEMENTED, r)
r = await call(client, 'limit', message([1, 'edge'], [2, [[1, [[1, 'tenant'], [2, 'grpc-js']]]]]))
say('grpc-js: a limit', r.code === 0 && r.reply[1][0] === 1 && read(r.reply[2][0])[3][0] === 2, r)
r = await call(client, 'limit', message([1, 'edge']))
say('grpc-js: a limit without descriptors', r.code === grpc.status.INVALID_ARGUMENT && r.error.details.includes('descriptors'), r)
r = await call(client, 'check', Buffer.from([0xff]))
say('grpc-js: nonsense is an error', r.code === grpc.status.INVALID_ARGUMENT, r)

const large = await call(client, 'check', checkRequest({ 'api-key': key, filler: 'x'.repeat(60000) }))
say('grpc-js: a large message', allowed(large), large.code)
// More than the plan of 600 a minute allows: the rest is told so.
const many = await Promise.all(Array.from({ length: 2000 }, () => call(client, 'check', checkRequest({ 'api-key': key }))))
say('grpc-js: 2000 calls at once on one connection', many.every(m => allowed(m) || status(m) === 429), many.find(m => !allowed(m)))

const larger = await call(client, 'check', Buffer.alloc(3 << 20))
say('grpc-js: one that is too large is denied', status(larger) === 413, larger)

const zipped = open({ 'grpc.default_compression_algorithm': 2 })
r = await call(zipped, 'check', checkRequest({ 'api-key': key }))
say('grpc-js: compressed messages are refused', r.code === grpc.status.UNIMPLEMENTED, r)

const listed = await new Promise(done => {
  const seen = [], stream = client.reflect()
  stream.on('data', d => {
    seen.push(read(d))
    if (seen.length === 1) stream.write(message([4, 'grpc.health.v1.Health']))
    else stream.end()
  })
  stream.on('status', s => done([seen, s.code]))
  stream.on('error', () => {})
  stream.write(message([7, '*']))
})
say('grpc-js: reflection, question by question', listed[1] === 0 && listed[0].length === 2 &&
  read(listed[0][0][6][0])[1].some(s => read(s)[1][0].toString() === 'envoy.service.auth.v3.Authorization') &&
  read(read(listed[0][1][4][0])[1][0])[1][0].toString() === 'grpc/health/v1/health.proto', listed)

// Reflection, as tools use it: the descriptors of a service, read by protobufjs; then a call by names alone.
const descriptors = await new Promise(done => {
  const stream = client.reflect()
  stream.on('data', d => { done(read(read(d)[4][0])[1]); stream.end() })
  stream.on('error', () => {})
  stream.write(message([4, 'envoy.service.auth.v3.Authorization']))
})
const root = protobuf.Root.fromDescriptor({ file: descriptors.map(d => descriptor.FileDescriptorProto.decode(d)) }).resolveAll()
const service = root.lookupService('envoy.service.auth.v3.Authorization')
const [asks, says] = [service.methods.Check.resolve().resolvedRequestType, service.methods.Check.resolvedResponseType]
const http = { method: 'GET', path: '/v1/stations', host: 'harbour.example.com', scheme: 'https', headers: [{ key: 'api-key', value: 'wrong' }] } // maps come as lists of entries here
const question = asks.encode(asks.fromObject({ attributes: { source: { address: { socket_address: { address: '192.0.2.7', port_value: 4711 } } },
  request: { http } } })).finish()
const named = await new Promise(done => client.check(Buffer.from(question), (error, reply) => done(error || says.toObject(says.decode(reply), { enums: String }))))
say('grpc-js: a call by the names that reflection gave', named.status?.code === 16 && named.denied_response?.status?.code === 'Unauthorized' &&
  named.denied_response.headers.some(h => h.header.key === 'x-postern-reason'), named)

const late = await call(client, 'check', checkRequest({ 'api-key': key }), { deadline: Date.now() - 1 })
say('grpc-js: a deadline that has passed', late.code === grpc.status.DEADLINE_EXCEEDED, late)
client.close()
zipped.close()
