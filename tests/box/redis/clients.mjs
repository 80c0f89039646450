// What ioredis and node-redis do at start-up and in ordinary use, against a Postern. Called by
// test_redis_clients.py with the port and, if there is one, the password; prints result lines.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { createClient } from "redis";

const [port, password] = [Number(process.argv[2]), process.argv[3]];
let failed = 0;

async function check(name, run) {
  const limit = new Promise((_, no) => setTimeout(() => no(new Error("no answer within 2 minutes")), 120000).unref());
  try {
    await Promise.race([run(), limit]);
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name} - ${String(e.message ?? e).replace(/\s+/g, " ").slice(0, 300)}`);
  }
}

async function ioredis() {
  const r = new Redis({ host: "127.0.0.1", port, password, db: 3, connectionName: "box", maxRetriesPerRequest: 1 });
  const errors = [];
  r.on("error", (e) => errors.push(e.message));
  await check("ioredis becomes ready (INFO says loading:0)", async () => {
    await new Promise((yes) => (r.status === "ready" ? yes() : r.once("ready", yes)));
  });
  await check("ioredis strings, expiry, hashes", async () => {
    await r.flushdb();
    assert.equal(await r.set("k", "v", "EX", 100), "OK");
    assert.equal(await r.get("k"), "v");
    assert.ok((await r.ttl("k")) > 90);
    assert.equal(await r.hset("h", { a: 1, b: 2 }), 2);
    assert.deepEqual(await r.hgetall("h"), { a: "1", b: "2" });
    assert.equal(await r.client("GETNAME"), "box");
    assert.deepEqual((await r.getBuffer("k")).toString(), "v");
  });
  await check("ioredis pipeline and MULTI", async () => {
    const p = r.pipeline();
    for (let i = 0; i < 1000; i++) p.incr("n");
    const replies = await p.exec();
    assert.equal(replies[999][1], 1000);
    const m = await r.multi().set("x", "1").incr("x").exec();
    assert.deepEqual(m, [[null, "OK"], [null, 2]]);
  });
  await check("ioredis scanStream sees every key", async () => {
    for (let i = 0; i < 500; i++) await r.set(`scan:${i}`, i);
    const seen = new Set();
    for await (const keys of r.scanStream({ match: "scan:*", count: 50 })) keys.forEach((k) => seen.add(k));
    assert.equal(seen.size, 500);
  });
  await check("ioredis subscribes and publishes", async () => {
    const sub = r.duplicate();
    const got = new Promise((yes) => sub.on("message", (c, m) => yes(`${c}=${m}`)));
    assert.equal(await sub.subscribe("news"), 1);
    assert.equal(await r.publish("news", "hello"), 1);
    assert.equal(await got, "news=hello");
    await sub.quit();
  });
  await check("ioredis EXEC is refused after a watched key changed", async () => {
    const other = r.duplicate();
    await r.watch("w");
    await other.set("w", "changed");
    assert.equal(await r.multi().set("w", "mine").exec(), null);
    await other.quit();
  });
  await check("ioredis monitor", async () => {
    const m = await r.monitor();
    const got = new Promise((yes) => m.on("monitor", (_, args) => args[1] === "seen" && yes(args.join(" "))));
    await r.get("seen");
    assert.equal((await got).toLowerCase(), "get seen");
    m.disconnect();
  });
  await check("ioredis saw no error", async () => assert.deepEqual(errors, []));
  await r.quit();
}

async function nodeRedis(RESP) {
  const name = `node-redis RESP${RESP}`;
  const r = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false }, password, database: 4, RESP, name: "box2" });
  const errors = [];
  r.on("error", (e) => errors.push(e.message));
  await check(`${name} connects`, async () => void (await r.connect()));
  await check(`${name} strings, hashes, MULTI`, async () => {
    await r.flushDb();
    assert.equal(await r.set("k", "v", { EX: 100 }), "OK");
    assert.equal(await r.get("k"), "v");
    await r.hSet("h", { a: "1", b: "2" });
    assert.deepEqual({ ...(await r.hGetAll("h")) }, { a: "1", b: "2" });
    assert.deepEqual(await r.multi().set("x", "1").incr("x").exec(), ["OK", 2]);
    assert.equal(await r.clientGetName(), "box2");
  });
  await check(`${name} scanIterator`, async () => {
    for (let i = 0; i < 200; i++) await r.set(`scan:${i}`, "x");
    let n = 0;
    for await (const keys of r.scanIterator({ MATCH: "scan:*" })) n += keys.length;
    assert.equal(n, 200);
  });
  await check(`${name} subscribes and publishes`, async () => {
    const sub = r.duplicate();
    sub.on("error", (e) => errors.push(e.message));
    await sub.connect();
    const got = new Promise((yes) => sub.pSubscribe("new*", (m, c) => yes(`${c}=${m}`)));
    for (let i = 0; i < 3000 && (await r.publish("news", "hi")) === 0; i++) await new Promise((t) => setTimeout(t, 20));
    assert.equal(await got, "news=hi");
    await sub.close();
  });
  await check(`${name} saw no error`, async () => assert.deepEqual(errors, []));
  await r.close();
}

await ioredis();
await nodeRedis(2);
await nodeRedis(3);
process.exit(failed ? 1 : 0);
