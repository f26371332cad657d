"""redis-py: types of values, pipelines, transactions, blocking, pub/sub; and one transaction over
Redis, PostgreSQL and HTTP."""

import base64
import json
import os
import threading
import urllib.request

import psycopg
import redis
from checks import check, equal, finish
from redis.backoff import NoBackoff
from redis.retry import Retry

host, port = os.environ["TESSERA_REDIS"].rsplit(":", 1)
password = os.environ["PGPASSWORD"]
options = {"host": host, "port": int(port), "username": "admin", "password": password, "decode_responses": True}
client = redis.Redis(**options)


def fails(error, function):
    try:
        function()
    except error as found:
        return str(found)
    raise AssertionError("it should have failed")


def http(method, path, body=None, token=None):
    request = urllib.request.Request(f"http://{os.environ['TESSERA_HTTP']}/api/v1{path}", method=method)
    secret = base64.b64encode(f"admin:{password}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Tessera-Transaction", token)
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@check("strings, numbers, times to live")
def _():
    equal(client.set("greeting", "hello", ex=100), True)
    equal(client.get("greeting"), "hello")
    equal(90 < client.ttl("greeting") <= 100, True)
    equal([client.incr("n"), client.incrby("n", 41), client.decr("n")], [1, 42, 41])
    fails(redis.ResponseError, lambda: client.incr("greeting"))
    equal(client.mget(["greeting", "absent"]), ["hello", None])
    raw = redis.Redis(**{**options, "decode_responses": False})
    raw.set(b"\x00key\r\n", b"\xff\x00")
    equal(raw.get(b"\x00key\r\n"), b"\xff\x00")


@check("hashes, lists, sets, sorted sets, streams")
def _():
    equal(client.hset("h", mapping={"a": "1", "b": "2"}), 2)
    equal(client.hgetall("h"), {"a": "1", "b": "2"})
    equal(client.rpush("l", "x", "y", "z"), 3)
    equal([client.lpop("l"), client.lrange("l", 0, -1)], ["x", ["y", "z"]])
    client.sadd("s", "a", "b")
    equal(client.smembers("s"), {"a", "b"})
    client.zadd("z", {"one": 1, "two": 2})
    equal(client.zrange("z", 0, -1, withscores=True), [("one", 1.0), ("two", 2.0)])
    client.xadd("log", {"k": "v"}, id="1-1")
    equal(client.xrange("log"), [("1-1", {"k": "v"})])
    fails(redis.ResponseError, lambda: client.lpush("h", "x"))
    equal(sorted(client.scan_iter(match="?")), ["h", "l", "n", "s", "z"])


@check("a pipeline answers in order, MULTI is all or nothing")
def _():
    with client.pipeline(transaction=False) as pipe:
        for number in range(100):
            pipe.set(f"p:{number}", number)
        pipe.get("p:99")
        equal(pipe.execute()[-1], "99")
    with client.pipeline() as pipe:
        pipe.set("both", "1")
        pipe.lpush("greeting", "x")
        fails(redis.RedisError, pipe.execute)
    equal(client.get("both"), None)
    with client.pipeline() as pipe:
        pipe.watch("n")
        client.incr("n")
        pipe.multi()
        pipe.set("n", 0)
        fails(redis.WatchError, pipe.execute)


@check("a blocked client is woken, a subscriber gets messages")
def _():
    found = []
    waiting = threading.Thread(target=lambda: found.append(redis.Redis(**options).blpop("queue", timeout=30)))
    waiting.start()
    client.rpush("queue", "job")
    waiting.join()
    equal(found, [("queue", "job")])
    subscriber = client.pubsub()
    subscriber.subscribe("news")
    equal(subscriber.get_message(timeout=30)["type"], "subscribe")
    equal(client.publish("news", "hi"), 1)
    equal(subscriber.get_message(timeout=30)["data"], "hi")


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


# Last, because the server counts failed logins of an address.
@check("a wrong password and no password are refused")
def _():
    fails(redis.AuthenticationError, lambda: redis.Redis(**{**options, "password": "wrong", "retry": Retry(NoBackoff(), 0)}).ping())
    fails(redis.AuthenticationError, lambda: redis.Redis(host=host, port=int(port)).get("a"))


finish()
