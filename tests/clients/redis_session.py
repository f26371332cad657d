"""redis-py: everything that clients of Redis do; and one transaction over Redis, PostgreSQL and HTTP."""

import base64
import json
import os
import urllib.request

import psycopg
import redis
import redis.asyncio
import redis_family
from checks import check, equal, finish
from redis.backoff import NoBackoff
from redis.retry import Retry

options = redis_family.options()
client = redis_family.run(redis, redis.Redis, "redis")


def http(method, path, body=None, token=None):
    request = urllib.request.Request(f"http://{os.environ['TESSERA_HTTP']}/api/v1{path}", method=method)
    secret = base64.b64encode(f"admin:{redis_family.PASSWORD}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Tessera-Transaction", token)
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@check("an order in a key, a document and a row: one transaction over three protocols")
def _():
    client.set("stock:a1", 10)
    sql = psycopg.connect("", autocommit=True)
    sql.execute("CREATE TABLE sale (id int PRIMARY KEY, sku text)")
    http("POST", "/documents", {"name": "orders"})
    for end, stock, documents, rows in [("ROLLBACK", "10", 0, 0), ("COMMIT", "9", 1, 1)]:
        sql.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        token = sql.execute("SHOW tessera.transaction_token").fetchone()[0]
        joined = redis.Redis(**options, single_connection_client=True)
        joined.execute_command("TX.JOIN", token)
        equal(joined.decr("stock:a1"), 9)
        http("POST", "/documents/orders", {"_id": "o1", "sku": "a1"}, token)
        sql.execute("INSERT INTO sale VALUES (1, 'a1')")
        equal(client.get("stock:a1"), "10")
        sql.execute(end)
        equal(client.get("stock:a1"), stock)
        equal(sql.execute("SELECT count(*) FROM orders").fetchone()[0], documents)
        equal(sql.execute("SELECT count(*) FROM sale").fetchone()[0], rows)
    answer = sql.execute(
        "SELECT k.value, o.doc->>'sku', s.id FROM kv.db0 k, orders o, sale s "
        "WHERE k.key = 'stock:' || s.sku AND o.doc->>'sku' = s.sku"
    ).fetchall()
    equal(answer, [("9", "a1", 1)])


redis_family.refused(redis, redis.Redis, Retry(NoBackoff(), 0))
finish()
