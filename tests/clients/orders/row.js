// The row of an order, by node-postgres. Commands come as lines, one answer line for each.
'use strict';

const readline = require('node:readline');
const { Client } = require('pg');

async function main() {
  const client = new Client();
  // The server may end the connection; the next command then says so.
  client.on('error', () => {});
  await client.connect();
  const commands = {
    async setup() {
      await client.query('CREATE TABLE IF NOT EXISTS sale (id int PRIMARY KEY, sku text)');
    },
    async begin() {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      const { rows } = await client.query('SHOW tessera.transaction_token');
      return Object.values(rows[0])[0];
    },
    async join(token) {
      await client.query(`SET tessera.join = '${token}'`);
    },
    async order(id) {
      await client.query('INSERT INTO sale VALUES ($1, $2)', [Number(id), 'a1']);
    },
    async leave() {
      await client.query('RESET tessera.join');
    },
    async commit() {
      const { command } = await client.query('COMMIT');
      if (command !== 'COMMIT') throw new Error(`answered ${command}`);
    },
    async rollback() {
      await client.query('ROLLBACK');
    },
    async count() {
      const { rows } = await client.query('SELECT count(*)::int AS n FROM sale');
      return rows[0].n;
    },
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    try {
      console.log(`ok ${(await commands[name](...words)) ?? ''}`.trim());
    } catch (error) {
      console.log(`error ${error.code ?? ''} ${error.message}`.replaceAll('\n', ' '));
    }
  }
  await client.end();
}

main();
