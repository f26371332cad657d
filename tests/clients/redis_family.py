"""What a Python client of Redis does all day, against the server: every type of value, expiry,
pipelines, transactions, blocking, messages, scans, both protocol versions, asyncio.

redis-py and valkey-py are two libraries with one interface; each session calls `run` with its own.
"""

import asyncio
import os
import threading

from checks import check, equal

HOST, PORT = os.environ["TESSERA_REDIS"].rsplit(":", 1)
PASSWORD = os.environ["PGPASSWORD"]
DEADLINE_S = 30


def fails(error, function, *words):
    """The function fails with this kind of error, whose text holds these words."""
    try:
        function()
    except error as found:
        for word in words:
            assert word in str(found), f"{word!r} is not in {found}"
        return str(found)
    raise AssertionError("it should have failed")


def options(**more):
    """Where the server is, and who asks."""
    return {"host": HOST, "port": int(PORT), "username": "admin", "password": PASSWORD, "decode_responses": True, **more}


def run(library, kind, scheme):
    """All checks, with a library, its class of clients and its scheme of URLs."""
    client = kind(**options())
    error = library.ResponseError

    @check("connects by a URL, names itself, tells about the server")
    def _():
        by_url = kind.from_url(f"{scheme}://admin:{PASSWORD}@{HOST}:{PORT}/3", client_name="by-url", decode_responses=True)
        equal([by_url.ping(), by_url.client_getname(), by_url.client_info()["db"]], [True, "by-url", 3])
        equal("by-url" in [entry["name"] for entry in client.client_list()], True)
        info = client.info()
        equal([info["redis_mode"], info["role"], info["loading"]], ["standalone", "master", 0])
        equal(client.config_get("databases"), {"databases": "16"})
        equal(client.command_count() > 200, True)
        equal(client.time()[0] > 1_700_000_000, True)

    @check("strings: options of SET, bytes, bits, floats")
    def _():
        equal(client.set("s", "one", nx=True), True)
        equal(client.set("s", "two", nx=True), None)
        equal(client.set("s", "two", xx=True, get=True, ex=100), "one")
        equal(client.set("s", "three", keepttl=True), True)
        equal(90 < client.ttl("s") <= 100, True)
        equal([client.getex("s", persist=True), client.ttl("s")], ["three", -1])
        equal([client.append("s", "!"), client.strlen("s"), client.getrange("s", -3, -1)], [6, 6, "ee!"])
        equal([client.incr("n"), client.incrby("n", 41), client.decr("n"), client.incrbyfloat("n", 0.5)], [1, 42, 41, 41.5])
        fails(error, lambda: client.incr("s"), "not an integer")
        equal([client.setbit("bits", 7, 1), client.bitcount("bits"), client.getbit("bits", 7)], [0, 1, 1])
        equal(client.bitfield("field").set("u8", 0, 255).incrby("u8", 0, 10).execute(), [0, 9])
        equal([client.mset({"a": "1", "b": "2"}), client.mget("a", "none", "b")], [True, ["1", None, "2"]])
        equal([client.getdel("a"), client.exists("a", "b")], ["1", 1])
        raw = kind(**options(decode_responses=False))
        raw.set(b"\x00key\r\n", bytes(range(256)))
        equal(raw.get(b"\x00key\r\n"), bytes(range(256)))
        large = "x" * 3_000_000
        client.set("large", large)
        equal(client.get("large") == large, True)

    @check("times to live: a key is gone in time, conditions hold")
    def _():
        client.set("t", "v", px=1)
        while client.get("t") is not None:
            pass
        equal([client.exists("t"), client.ttl("t")], [0, -2])
        client.set("t", "v")
        equal([client.expire("t", 100, xx=True), client.expire("t", 100, nx=True), client.expire("t", 50, gt=True)], [False, True, False])
        equal([client.expireat("t", 4102444800), client.expiretime("t"), client.persist("t")], [True, 4102444800, True])

    @check("hashes")
    def _():
        equal(client.hset("h", mapping={"f": "1", "g": "2"}), 2)
        equal([client.hgetall("h"), client.hmget("h", "f", "none")], [{"f": "1", "g": "2"}, ["1", None]])
        equal([client.hincrby("h", "f", 4), client.hincrbyfloat("h", "f", 0.25)], [5, 5.25])
        equal([client.hdel("h", "f", "none"), client.hexists("h", "f"), client.hlen("h")], [1, False, 1])
        client.hset("wide", mapping={f"f{i}": i for i in range(1000)})
        equal(len(dict(client.hscan_iter("wide", count=50))), 1000)

    @check("lists")
    def _():
        equal(client.rpush("l", "x", "y", "z", "y"), 4)
        equal([client.lpop("l"), client.lrange("l", 0, -1), client.lpos("l", "y", rank=-1)], ["x", ["y", "z", "y"], 2])
        equal([client.linsert("l", "BEFORE", "z", "w"), client.lrem("l", -1, "y"), client.lmove("l", "l2", "LEFT", "RIGHT")], [4, 1, "y"])
        equal([client.lmpop(1, "l", direction="RIGHT", count=9), client.exists("l")], [["l", ["z", "w"]], 0])

    @check("sets")
    def _():
        client.sadd("s1", "a", "b", "c")
        client.sadd("s2", "b", "c", "d")
        equal([set(client.sinter("s1", "s2")), set(client.sdiff("s1", "s2"))], [{"b", "c"}, {"a"}])
        equal([client.sunionstore("s3", "s1", "s2"), client.sintercard(2, ["s1", "s2"], limit=1)], [4, 1])
        equal([client.smove("s1", "s2", "a"), client.smismember("s2", ["a", "z"])], [True, [1, 0]])
        equal(client.spop("s3") in {"a", "b", "c", "d"}, True)

    @check("sorted sets")
    def _():
        equal(client.zadd("z", {"one": 1, "two": 2, "three": 3}), 3)
        equal(client.zadd("z", {"one": 9}, gt=True, ch=True), 1)
        equal(client.zrange("z", 0, -1, withscores=True), [("two", 2.0), ("three", 3.0), ("one", 9.0)])
        equal(client.zrange("z", 9, 3, byscore=True, desc=True), ["one", "three"])
        equal([client.zrank("z", "three"), client.zscore("z", "none"), client.zincrby("z", 0.5, "two")], [1, None, 2.5])
        equal([client.zpopmin("z"), client.zunion(["z"], withscores=True)], [[("two", 2.5)], [("three", 3.0), ("one", 9.0)]])
        client.zadd("inf", {"low": float("-inf"), "high": float("inf")})
        equal(client.zrangebyscore("inf", "-inf", "(inf"), ["low"])

    @check("positions, estimates")
    def _():
        client.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
        equal(client.geodist("g", "Palermo", "Catania", "km"), 166.2742)
        equal(client.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC"), ["Catania", "Palermo"])
        client.pfadd("pf", *range(1000))
        equal(abs(client.pfcount("pf") - 1000) < 30, True)

    @check("streams and their groups")
    def _():
        ids = [client.xadd("x", {"n": n}) for n in range(5)]
        equal(client.xlen("x"), 5)
        equal([entry[0] for entry in client.xrange("x", min=f"({ids[0]}", count=2)], ids[1:3])
        client.xgroup_create("x", "group", id="0")
        fails(error, lambda: client.xgroup_create("x", "group"), "already exists")
        read = client.xreadgroup("group", "ann", {"x": ">"}, count=3)
        equal([entry[0] for entry in (read[0][1] if isinstance(read, list) else read["x"][0])], ids[:3])
        equal(client.xack("x", "group", ids[0]), 1)
        equal(client.xpending("x", "group")["pending"], 2)
        claimed = client.xautoclaim("x", "group", "bob", min_idle_time=0)
        equal([entry[0] for entry in claimed[1]], ids[1:3])
        equal(client.xinfo_groups("x")[0]["pending"], 2)
        equal([client.xtrim("x", maxlen=2, approximate=False), client.xdel("x", ids[4]), client.xlen("x")], [3, 1, 1])
        full = client.xinfo_stream("x", full=True)
        equal([full["length"], full["groups"][0]["name"], len(full["groups"][0]["consumers"])], [1, "group", 2])

    @check("scans see every key once, and sorts")
    def _():
        with client.pipeline(transaction=False) as pipe:
            for number in range(3000):
                pipe.set(f"scan:{number}", number)
            pipe.execute()
        found = list(client.scan_iter(match="scan:*", count=100))
        equal([len(found), len(set(found))], [3000, 3000])
        equal(client.unlink(*found), 3000)
        equal(list(client.scan_iter(match="wid?", _type="hash")), ["wide"])
        client.rpush("unsorted", 3, 10, 2)
        equal([client.sort("unsorted", desc=True), client.sort("unsorted", alpha=True)], [["10", "3", "2"], ["10", "2", "3"]])

    @check("a pipeline answers in order, and errors where they happened")
    def _():
        with client.pipeline(transaction=False) as pipe:
            for number in range(1000):
                pipe.set(f"p:{number}", number)
            pipe.lpush("p:0", "x").get("p:999")
            answers = pipe.execute(raise_on_error=False)
        equal([answers[:2], type(answers[-2]) is error or isinstance(answers[-2], error), answers[-1]], [[True, True], True, "999"])

    @check("MULTI is all or nothing, WATCH notices others")
    def _():
        client.delete("both", "n2", "text")
        client.set("text", "v")
        with client.pipeline() as pipe:
            pipe.incr("n2").incr("n2")
            equal(pipe.execute(), [1, 2])
        with client.pipeline() as pipe:
            pipe.set("both", "1")
            pipe.lpush("text", "x")
            fails(error, pipe.execute, "rolled back")
        equal(client.get("both"), None)
        with client.pipeline() as pipe:
            pipe.watch("n2")
            client.incr("n2")
            pipe.multi()
            pipe.set("n2", 0)
            fails(library.WatchError, pipe.execute)
        equal(client.transaction(lambda pipe: pipe.multi() or pipe.incrby("n2", 10), "n2"), [13])

    @check("a blocked client is woken; time-outs end waits")
    def _():
        found = []
        waiting = threading.Thread(target=lambda: found.append(kind(**options()).blpop(["q1", "q2"], timeout=DEADLINE_S)))
        waiting.start()
        client.rpush("q2", "job")
        waiting.join()
        equal(found, [("q2", "job")])
        equal(client.blpop("q1", timeout=0.01), None)
        client.zadd("zq", {"m": 1})
        equal(client.bzpopmin("zq", timeout=1), ("zq", "m", 1.0))
        equal(client.blmove("q1", "q2", 0.01), None)

    @check("messages: channels, patterns, a thread of its own, notifications of keys")
    def _():
        subscriber = client.pubsub()
        subscriber.subscribe("news")
        subscriber.psubscribe("new*")
        equal([subscriber.get_message(timeout=DEADLINE_S)["type"] for _ in range(2)], ["subscribe", "psubscribe"])
        equal(client.publish("news", "hi"), 2)
        equal({subscriber.get_message(timeout=DEADLINE_S)["type"] for _ in range(2)}, {"message", "pmessage"})
        equal([client.pubsub_channels("n*"), client.pubsub_numsub("news"), client.pubsub_numpat()], [["news"], [("news", 1)], 1])
        subscriber.close()
        heard = threading.Event()
        handled = client.pubsub()
        handled.subscribe(**{"handled": lambda message: heard.set()})
        thread = handled.run_in_thread(sleep_time=0.01)
        while not heard.wait(0.01):
            client.publish("handled", "x")
        thread.stop()
        thread.join()
        client.config_set("notify-keyspace-events", "KEA")
        keys = client.pubsub(ignore_subscribe_messages=True)
        keys.psubscribe("__keyevent@0__:*")
        keys.get_message(timeout=DEADLINE_S)
        client.set("noted", "1")
        message = None
        while message is None:
            message = keys.get_message(timeout=DEADLINE_S)
        equal([message["channel"], message["data"]], ["__keyevent@0__:set", "noted"])
        keys.close()

    @check("RESP3 gives types")
    def _():
        third = kind(**options(protocol=3))
        third.zadd("z3", {"a": 1.5})
        third.hset("h3", mapping={"f": "v"})
        third.sadd("set3", "x")
        equal([third.zscore("z3", "a"), third.hgetall("h3"), set(third.smembers("set3"))], [1.5, {"f": "v"}, {"x"}])
        equal(third.execute_command("HELLO")["proto"], 3)
        subscriber = third.pubsub()
        subscriber.subscribe("third")
        subscriber.get_message(timeout=DEADLINE_S)
        equal([third.publish("third", "m"), subscriber.get_message(timeout=DEADLINE_S)["data"]], [1, "m"])
        subscriber.close()

    @check("many threads share a pool, and lose no increment")
    def _():
        pool = library.BlockingConnectionPool(**options(max_connections=4, timeout=DEADLINE_S))
        shared = kind(connection_pool=pool)

        def count():
            for _ in range(50):
                shared.incr("shared")

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(client.get("shared"), "400")

    @check("asyncio: commands at once, a pipeline, a subscriber")
    def _():
        async def session():
            kind_async = getattr(library.asyncio, kind.__name__)
            async with kind_async(**options()) as one:
                equal(await asyncio.gather(*(one.set(f"as:{n}", n) for n in range(50))), [True] * 50)
                async with one.pipeline(transaction=True) as pipe:
                    equal(await pipe.get("as:1").incr("as:1").execute(), ["1", 2])
                async with one.pubsub() as messages:
                    await messages.subscribe("as")
                    await messages.get_message(timeout=DEADLINE_S)
                    await one.publish("as", "hello")
                    equal((await messages.get_message(timeout=DEADLINE_S))["data"], "hello")

        asyncio.run(session())

    @check("what is not there says so")
    def _():
        fails(error, lambda: client.eval("return 1", 0), "EVAL is not supported", "Lua")
        fails(error, lambda: client.dump("text"), "DUMP is not supported")
        fails(error, lambda: client.execute_command("CLIENT", "TRACKING", "ON"), "not supported")
        fails(error, lambda: client.execute_command("NONSENSE", "x"), "unknown command")
        fails(error, lambda: client.execute_command("GET"), "wrong number of arguments")
        fails(error, lambda: client.execute_command("DEBUG", "SLEEP", "1"), "not supported")
        fails(error, lambda: client.hset("text", "f", "v"), "WRONGTYPE")

    return client


def refused(library, kind, retry):
    """Wrong passwords. To be called last, because the server counts failed logins of an address."""

    @check("a wrong password and no password are refused")
    def _():
        failed = library.AuthenticationError
        fails(failed, lambda: kind(**options(password="wrong", retry=retry)).ping())
        fails(failed, lambda: kind(host=HOST, port=int(PORT)).get("a"))
