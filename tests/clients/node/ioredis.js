// ioredis with its defaults: ready check, pipelines, MULTI, blocking, a subscriber, streams of scans,
// autopipelining, duplicates, offline queue, errors, reconnection.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const Redis = require('ioredis');

const [host, port] = process.env.TESSERA_REDIS.split(':');
const options = { host, port: Number(port), username: 'admin', password: process.env.PGPASSWORD };
const opened = [];

/** A client that the end of the session closes. */
function connect(more = {}) {
  const client = new Redis({ ...options, ...more });
  client.on('error', () => {});
  opened.push(client);
  return client;
}

const client = connect();

const steps = [
  ['is ready after INFO, and sends what came before', async () => {
    const early = connect({ connectionName: 'early', db: 2 });
    assert.equal(early.status, 'connecting');
    assert.equal(await early.set('early', '1'), 'OK');
    assert.equal(early.status, 'ready');
    assert.equal(await early.client('GETNAME'), 'early');
    assert.match(await early.client('INFO'), / db=2 /);
    assert.match(await early.info('server'), /redis_version:7/);
    assert.equal(await client.exists('early'), 0);
  }],
  ['strings, numbers, buffers, times to live', async () => {
    assert.equal(await client.set('s', 'hello', 'EX', 100, 'NX'), 'OK');
    assert.equal(await client.set('s', 'again', 'NX'), null);
    assert.ok((await client.ttl('s')) > 90);
    assert.deepEqual(await client.mget('s', 'none'), ['hello', null]);
    await client.setBuffer(Buffer.from([0, 13, 10]), Buffer.from([255, 0]));
    assert.deepEqual(await client.getBuffer(Buffer.from([0, 13, 10])), Buffer.from([255, 0]));
    assert.equal(await client.incrby('n', 42), 42);
    assert.equal(await client.incrbyfloat('n', 0.5), '42.5');
    await client.mset(new Map([['m1', '1'], ['m2', '2']]));
    assert.deepEqual(await client.mget('m1', 'm2'), ['1', '2']);
  }],
  ['hashes, lists, sets, sorted sets, streams', async () => {
    await client.hset('h', { f: '1', g: '2' });
    assert.deepEqual(await client.hgetall('h'), { f: '1', g: '2' });
    assert.deepEqual(await client.hgetall('none'), {});
    assert.equal(await client.rpush('l', 'a', 'b', 'c'), 3);
    assert.deepEqual(await client.lrange('l', 0, -1), ['a', 'b', 'c']);
    await client.sadd('set', 'x', 'y');
    assert.deepEqual((await client.smembers('set')).sort(), ['x', 'y']);
    await client.zadd('z', 1, 'one', 2.5, 'two');
    assert.deepEqual(await client.zrange('z', 0, -1, 'WITHSCORES'), ['one', '1', 'two', '2.5']);
    const id = await client.xadd('x', '*', 'k', 'v');
    assert.deepEqual(await client.xrange('x', '-', '+'), [[id, ['k', 'v']]]);
    await client.xgroup('CREATE', 'x', 'group', '0');
    const read = await client.xreadgroup('GROUP', 'group', 'ann', 'COUNT', 10, 'STREAMS', 'x', '>');
    assert.deepEqual(read, [['x', [[id, ['k', 'v']]]]]);
    assert.equal(await client.xack('x', 'group', id), 1);
  }],
  ['a pipeline keeps order and tells each error', async () => {
    const pipeline = client.pipeline();
    for (let number = 0; number < 1000; number += 1) pipeline.set(`p:${number}`, number);
    const answers = await pipeline.lpush('p:0', 'x').get('p:999').exec();
    assert.equal(answers.length, 1002);
    assert.match(answers[1000][0].message, /^WRONGTYPE/);
    assert.deepEqual(answers[1001], [null, '999']);
  }],
  ['MULTI: a transaction, also over single commands', async () => {
    assert.deepEqual(await client.multi().set('t', 1).incr('t').get('t').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
    const single = connect();
    await single.multi({ pipeline: false });
    assert.equal(await single.incr('t'), 'QUEUED');
    assert.deepEqual(await single.exec(), [[null, 3]]);
    await single.watch('t');
    await client.incr('t');
    assert.equal(await single.multi().set('t', 0).exec(), null);
    await assert.rejects(client.multi().set('kept', 1).lpush('t', 'x').exec(), /EXECABORT/);
    assert.equal(await client.exists('kept'), 0);
  }],
  ['a blocked client is woken; quitting one ends its wait', async () => {
    const waiting = client.duplicate();
    opened.push(waiting);
    const popped = waiting.blpop('queue', 30);
    await client.rpush('queue', 'job');
    assert.deepEqual(await popped, ['queue', 'job']);
    assert.equal(await waiting.blpop('queue', 0.01), null);
    const entry = waiting.xread('BLOCK', 30000, 'STREAMS', 'feed', '$');
    const fed = setInterval(() => client.xadd('feed', '*', 'k', 'v'), 20);
    try {
      assert.equal((await entry)[0][0], 'feed');
    } finally {
      clearInterval(fed);
    }
  }],
  ['a subscriber gets messages; in RESP2 it may do nothing else', async () => {
    const subscriber = client.duplicate({ protocol: 2 });
    opened.push(subscriber);
    assert.equal(await subscriber.subscribe('news', 'more'), 2);
    assert.equal(await subscriber.psubscribe('n*'), 3);
    const message = once(subscriber, 'message');
    const matched = once(subscriber, 'pmessage');
    assert.equal(await client.publish('news', 'hi'), 2);
    assert.deepEqual(await message, ['news', 'hi']);
    assert.deepEqual(await matched, ['n*', 'news', 'hi']);
    await assert.rejects(subscriber.get('s'), /subscriber mode/);
    assert.equal(await subscriber.unsubscribe('news', 'more'), 1);
    assert.equal(await subscriber.punsubscribe('n*'), 0);
    assert.equal(await subscriber.get('s'), 'hello');
  }],
  ['RESP3, the default, gives types, and a subscriber may do everything', async () => {
    assert.equal((await client.hello(3)).proto ?? 3, 3);
    assert.deepEqual(await client.hgetall('h'), { f: '1', g: '2' });
    const subscriber = client.duplicate();
    opened.push(subscriber);
    await subscriber.subscribe('third');
    const message = once(subscriber, 'message');
    assert.equal(await subscriber.publish('third', 'to myself'), 1);
    assert.deepEqual(await message, ['third', 'to myself']);
    assert.equal(await subscriber.get('s'), 'hello');
    const second = connect({ protocol: 2 });
    assert.deepEqual(await second.hgetall('h'), { f: '1', g: '2' });
  }],
  ['a subscriber comes back with its subscriptions', async () => {
    const subscriber = client.duplicate({ retryStrategy: () => 1, connectionName: 'returning' });
    opened.push(subscriber);
    await subscriber.subscribe('again');
    const id = (await client.client('LIST')).split('\n').find((line) => / name=returning /.test(line)).match(/^id=(\d+)/)[1];
    const ready = once(subscriber, 'ready');
    assert.equal(await client.client('KILL', 'ID', id), 1);
    await ready;
    const message = once(subscriber, 'message');
    const posting = setInterval(() => client.publish('again', 'still here'), 20);
    try {
      assert.deepEqual(await message, ['again', 'still here']);
    } finally {
      clearInterval(posting);
    }
  }],
  ['a stream of a scan meets every key', async () => {
    const pipeline = client.pipeline();
    for (let number = 0; number < 2000; number += 1) pipeline.set(`scan:${number}`, '');
    await pipeline.exec();
    const found = new Set();
    for await (const keys of client.scanStream({ match: 'scan:*', count: 100 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 2000);
    await client.zadd('scores', ...Array.from({ length: 600 }, (_, n) => [n, `m${n}`]).flat());
    let members = 0;
    for await (const part of client.zscanStream('scores', { count: 50 })) members += part.length / 2;
    assert.equal(members, 600);
  }],
  ['autopipelining sends what one turn of the loop asked for together', async () => {
    const auto = connect({ enableAutoPipelining: true });
    await auto.ping();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => auto.incrby('auto', n)));
    assert.equal(answers.length, 200);
    assert.equal(Number(await auto.get('auto')), (199 * 200) / 2);
    const mixed = await Promise.allSettled([auto.get('auto'), auto.lpush('auto', 'x'), auto.get('none')]);
    assert.deepEqual(mixed.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  }],
  ['a lost connection is made again, and commands wait for it', async () => {
    const lost = connect({ retryStrategy: () => 1 });
    const id = await lost.client('ID');
    await client.client('KILL', 'ID', id);
    assert.equal(await lost.set('back', '1'), 'OK');
    assert.notEqual(await lost.client('ID'), id);
  }],
  ['scripts and what else is absent are errors with a reason', async () => {
    await assert.rejects(client.eval('return 1', 0), /EVAL is not supported: there is no Lua/);
    client.defineCommand('scripted', { numberOfKeys: 1, lua: 'return 1' });
    await assert.rejects(client.scripted('k'), /is not supported: there is no Lua/);
    await assert.rejects(client.call('NONSENSE', 'x'), /unknown command/);
    await assert.rejects(client.monitor(), /MONITOR is not supported/);
  }],
  ['quit answers and closes', async () => {
    const leaving = client.duplicate();
    const closed = once(leaving, 'end');
    assert.equal(await leaving.quit(), 'OK');
    await closed;
  }],
  // Last, because the server counts failed logins of an address.
  ['a wrong password is refused', async () => {
    const stranger = connect({ password: 'wrong', retryStrategy: null, maxRetriesPerRequest: 0 });
    await assert.rejects(stranger.get('s'));
  }],
];

async function main() {
  let passed = 0;
  let failed = 0;
  for (const [name, step] of steps) {
    const deadline = setTimeout(() => { console.log(`FAILED  ${name}: no end within 60 s`); process.exit(1); }, 60_000);
    try {
      await step();
      passed += 1;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.stack}`);
    } finally {
      clearTimeout(deadline);
    }
  }
  opened.forEach((each) => each.disconnect());
  // The connection that monitor() made for itself goes on trying: nobody else can end it.
  const last = `${passed} passed, ${failed} failed, 0 skipped\n`;
  process.stdout.write(last, () => process.exit(failed > 0 ? 1 : 0));
}

main().catch((error) => { console.log(error); process.exit(1); });
