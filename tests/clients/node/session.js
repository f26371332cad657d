// node-postgres: queries, prepared statements, COPY, cursors, transactions, errors, cancel.
'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const { from: copyFrom, to: copyTo } = require('pg-copy-streams');

const steps = [
  ['create, and load by COPY', async (client) => {
    await client.query('CREATE TABLE part (id integer PRIMARY KEY, name text, price numeric(8,2), made date)');
    const lines = Array.from({ length: 1000 }, (_, id) => `${id}\tpart ${id}\t${id / 4}\t2024-01-01\n`);
    const load = client.query(copyFrom('COPY part FROM STDIN'));
    await pipeline(Readable.from(lines), load);
    assert.equal(load.rowCount, 1000);
  }],
  ['COPY writes back what it read', async (client) => {
    const parts = [];
    const out = client.query(copyTo('COPY (SELECT id, name FROM part WHERE id < 2 ORDER BY id) TO STDOUT'));
    for await (const part of out) parts.push(part);
    assert.equal(Buffer.concat(parts).toString(), '0\tpart 0\n1\tpart 1\n');
  }],
  ['queries take parameters and give typed results', async (client) => {
    const { rows, fields } = await client.query(
      'SELECT id, price, made, id > $2 AS big FROM part WHERE id = $1', [8, 5]);
    assert.deepEqual(rows.map(({ id, price, big }) => ({ id, price, big })), [{ id: 8, price: '2.00', big: true }]);
    assert.equal(fields[0].dataTypeID, 23);
  }],
  ['a named statement is prepared once', async (client) => {
    for (const id of [1, 2, 3]) {
      const { rows } = await client.query({ name: 'by-id', text: 'SELECT name FROM part WHERE id = $1', values: [id] });
      assert.equal(rows[0].name, `part ${id}`);
    }
  }],
  ['a cursor reads in parts', async (client) => {
    const cursor = client.query(new Cursor('SELECT id FROM part ORDER BY id'));
    let seen = 0;
    for (let rows = await cursor.read(300); rows.length > 0; rows = await cursor.read(300)) seen += rows.length;
    assert.equal(seen, 1000);
    await cursor.close();
  }],
  ['transactions commit and roll back', async (client) => {
    await client.query('BEGIN');
    await client.query('DELETE FROM part');
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await client.query("UPDATE part SET name = 'new' WHERE id = 1");
    await client.query('COMMIT');
    const { rows } = await client.query("SELECT count(*)::int AS n, count(*) FILTER (WHERE name = 'new')::int AS changed FROM part");
    assert.deepEqual(rows[0], { n: 1000, changed: 1 });
  }],
  ['errors carry their code, detail and constraint', async (client) => {
    await assert.rejects(client.query('INSERT INTO part (id) VALUES (1)'), (error) => {
      assert.equal(error.code, '23505');
      assert.equal(error.constraint, 'part_pkey');
      assert.equal(error.detail, 'Key (id)=(1) already exists.');
      return true;
    });
    await assert.rejects(client.query('SELECT nope FROM part'), { code: '42703', position: '8' });
  }],
  ['a query is cancelled, and the session goes on', async (client) => {
    const slept = client.query('SELECT pg_sleep(60)');
    // A request that comes before the query has none to stop, so it is repeated.
    const timer = setInterval(() => requestCancel(client), 300);
    try {
      await assert.rejects(slept, { code: '57014' });
    } finally {
      clearInterval(timer);
    }
    const { rows } = await client.query('SELECT 1 AS one');
    assert.equal(rows[0].one, 1);
  }],
  ['a pool serves many at once', async () => {
    const pool = new Pool({ max: 5 });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query('SELECT $1::int * 2 AS n', [n])));
    assert.deepEqual(answers.map(({ rows }) => rows[0].n), Array.from({ length: 40 }, (_, n) => n * 2));
    await pool.end();
  }],
];

// The protocol's CancelRequest, on a connection of its own.
function requestCancel(client) {
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(80877102, 4);
  message.writeInt32BE(client.processID, 8);
  message.writeInt32BE(client.secretKey, 12);
  const socket = net.connect(Number(process.env.PGPORT), process.env.PGHOST, () => socket.end(message));
  socket.on('error', () => {});
}

async function main() {
  let passed = 0;
  let failed = 0;
  const client = new Client();
  client.on('error', (error) => console.log(`connection: ${error.message}`));
  await client.connect();
  for (const [name, step] of steps) {
    const deadline = setTimeout(() => { console.log(`FAILED  ${name}: no end within 60 s`); process.exit(1); }, 60_000);
    try {
      await step(client);
      passed += 1;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.stack}`);
    } finally {
      clearTimeout(deadline);
    }
  }
  await client.end();
  console.log(`${passed} passed, ${failed} failed, 0 skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}

main().catch((error) => { console.log(error); process.exit(1); });
