"""redis-cli, unchanged: scripts of commands on standard input, mass insertion, scans, big keys, both
protocol versions, output formats, what errors look like.

Argument: path of redis-cli. TESSERA_REDIS and PGPASSWORD name the server and the password of `admin`.
"""

import json
import os
import subprocess
import sys

from checks import check, equal, finish

CLI = sys.argv[1]
HOST, PORT = os.environ["TESSERA_REDIS"].rsplit(":", 1)
PASSWORD = os.environ["PGPASSWORD"]
DEADLINE_S = 60


def cli(*arguments, stdin=None, user="admin", password=PASSWORD, code=0):
    """Runs redis-cli; what it wrote, without the last line end."""
    login = ["--user", user, "--pass", password, "--no-auth-warning"] if user else []
    done = subprocess.run(
        [CLI, "-h", HOST, "-p", PORT, *login, *arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    text = done.stdout.decode("latin-1")
    equal((done.returncode, done.stderr.decode() if done.returncode != code else ""), (code, ""))
    return text.rstrip("\n")


def script(*lines, options=()):
    """What a script on standard input shows, line by line."""
    return cli(*options, stdin="".join(f"{line}\n" for line in lines).encode("latin-1")).split("\n")


@check("commands as arguments: one answer each, raw into a pipe, as a table for people")
def _():
    equal(cli("SET", "greeting", "hello world"), "OK")
    equal(cli("GET", "greeting"), "hello world")
    equal(cli("--no-raw", "GET", "greeting"), '"hello world"')
    equal(cli("--no-raw", "GET", "none"), "(nil)")
    equal(cli("--no-raw", "INCR", "n"), "(integer) 1")
    equal(cli("--no-raw", "RPUSH", "l", "a", "b"), "(integer) 2")
    equal(cli("--no-raw", "LRANGE", "l", "0", "-1"), '1) "a"\n2) "b"')
    equal(cli("--no-raw", "LRANGE", "none", "0", "-1"), "(empty array)")
    equal(cli("-r", "3", "INCR", "n"), "2\n3\n4")
    equal(cli("-n", "5", "SET", "elsewhere", "1"), "OK")
    equal(cli("EXISTS", "elsewhere"), "0")
    equal(cli("-x", "SET", "piped", stdin=b"from\r\na pipe\x00\xff"), "OK")
    equal(cli("STRLEN", "piped"), "14")


@check("every type of value in a script")
def _():
    answers = script(
        "HSET h f 1 g 2", "HGETALL h", "SADD s a", "SMEMBERS s", "ZADD z 1 one 2 two", "ZRANGE z 0 -1 WITHSCORES",
        "XADD x 1-1 k v", "XRANGE x - +", "SETBIT bits 7 1", "GET bits", "PFADD pf a b", "PFCOUNT pf",
        "TYPE h", "TYPE x", "OBJECT ENCODING h", "DBSIZE",
    )  # fmt: skip
    equal(
        answers,
        ["2", "f", "1", "g", "2", "1", "a", "2", "one", "1", "two", "2", "1-1", "1-1", "k", "v", "0", "\x01", "1", "2",
         "hash", "stream", "listpack", "10"],
    )  # fmt: skip


@check("quotes and escapes reach the server as bytes")
def _():
    equal(script('SET "a key" "\\x00\\r\\n\\"quoted\\""', 'STRLEN "a key"', "SET single 'it''s'"), ["OK", "11", "Invalid argument(s)"])


@check("MULTI: queued, run at once, discarded, spoilt")
def _():
    equal(script("MULTI", "SET m 1", "INCR m", "EXEC"), ["OK", "QUEUED", "QUEUED", "OK", "2"])
    equal(script("MULTI", "SET m 9", "DISCARD", "GET m"), ["OK", "QUEUED", "OK", "2"])
    spoilt = script("MULTI", "SET m 9", "NONSENSE", "EXEC", "GET m")
    equal([line.split(" ")[0] for line in spoilt if line], ["OK", "QUEUED", "ERR", "EXECABORT", "2"])
    undone = script("MULTI", "SET m 9", "LPUSH m x", "EXEC", "GET m")
    equal([line.split(" ")[0] for line in undone if line], ["OK", "QUEUED", "QUEUED", "EXECABORT", "2"])
    equal(script("WATCH m", "MULTI", "INCR m", "EXEC", "UNWATCH"), ["OK", "OK", "QUEUED", "3", "OK"])


@check("our own transactions")
def _():
    answers = script("TX.BEGIN SERIALIZABLE", "INCR m", "TX.ROLLBACK", "GET m", "TX.BEGIN", "INCR m", "TX.COMMIT", "GET m")
    equal([answers[1], answers[2], answers[3], answers[5], answers[6], answers[7]], ["4", "OK", "3", "4", "OK", "4"])


@check("errors are told, and the exit code says so where that is asked for")
def _():
    equal(cli("LPUSH", "greeting", "x"), "WRONGTYPE Operation against a key holding the wrong kind of value")
    equal(cli("--no-raw", "INCR", "greeting"), "(error) ERR value is not an integer or out of range")
    equal(cli("-e", "INCR", "greeting", code=1), "")
    equal(cli("GET").strip(), "ERR wrong number of arguments for 'get' command")
    assert cli("EVAL", "return 1", "0").startswith("ERR EVAL is not supported")
    assert cli("GET", "greeting", user=None).startswith("NOAUTH Authentication required.")


@check("RESP3 by -3: maps, sets, doubles, pushed messages")
def _():
    equal(cli("-3", "--no-raw", "HGETALL", "h"), '1# "f" => "1"\n2# "g" => "2"')
    equal(cli("-3", "--no-raw", "ZSCORE", "z", "two"), "(double) 2")
    equal(cli("-3", "--no-raw", "SMEMBERS", "s"), '1~ "a"')
    equal(cli("-3", "--json", "HGETALL", "h"), '{"f":"1","g":"2"}')
    equal(json.loads(cli("-3", "--json", "ZRANGE", "z", "0", "-1", "WITHSCORES")), [["one", 1.0], ["two", 2.0]])
    equal(cli("--csv", "LRANGE", "l", "0", "-1"), '"a","b"')


@check("mass insertion by --pipe")
def _():
    count = 10_000
    commands = b"".join(
        b"*3\r\n$3\r\nSET\r\n$%d\r\nmass:%d\r\n$%d\r\n%d\r\n" % (5 + len(str(n)), n, len(str(n)), n) for n in range(count)
    )
    told = cli("--pipe", stdin=commands)
    assert f"errors: 0, replies: {count}" in told, told
    equal(cli("GET", "mass:9999"), "9999")
    # As plain lines, with an error among them.
    told = cli("--pipe", stdin=b"SET line 1\r\nINCR line\r\nINCR greeting\r\n", code=1)
    assert "errors: 1, replies: 3" in told, told


@check("--scan meets every key once")
def _():
    found = cli("--scan", "--pattern", "mass:*").split("\n")
    equal([len(found), len(set(found))], [10_000, 10_000])
    equal(cli("--scan", "--quoted-pattern", '"a ke\\x79"').strip('"'), "a key")


@check("--bigkeys and --memkeys name the biggest keys")
def _():
    cli("-x", "SET", "biggest", stdin=b"x" * 1_000_000)
    told = cli("--bigkeys")
    assert 'Biggest string found \'"biggest"\' has 1000000 bytes' in " ".join(told.split()), told
    for summary in ["Sampled 10", "strings with", "lists with", "hashs with", "zsets with", "streams with"]:
        assert summary in told, told
    assert '"biggest"' in cli("--memkeys"), "no biggest"


@check("facts: INFO, CLIENT LIST, CONFIG GET, COMMAND DOCS, latency")
def _():
    info = cli("INFO", "server")
    assert "redis_version:7." in info and "tessera_version:" in info, info
    assert "cmd=client" in cli("CLIENT", "LIST")
    equal(cli("CONFIG", "GET", "databases"), "databases\n16")
    assert "summary" in cli("COMMAND", "DOCS", "GET")
    latency = cli("--latency", "-i", "1", "--raw").split()
    assert len(latency) == 4, latency


@check("a subscriber prints what comes")
def _():
    login = ["--user", "admin", "--pass", PASSWORD, "--no-auth-warning"]
    subscriber = subprocess.Popen([CLI, "-h", HOST, "-p", PORT, *login, "SUBSCRIBE", "news"], stdout=subprocess.PIPE)
    try:
        equal([subscriber.stdout.readline() for _ in range(3)], [b"subscribe\n", b"news\n", b"1\n"])
        equal(cli("PUBLISH", "news", "hi"), "1")
        equal([subscriber.stdout.readline() for _ in range(3)], [b"message\n", b"news\n", b"hi\n"])
    finally:
        subscriber.kill()
        subscriber.wait()


@check("a login within a session, and a wrong password")
def _():
    lines = cli(user=None, stdin=f"GET greeting\nAUTH admin {PASSWORD}\nGET greeting\nAUTH admin wrong\nGET greeting\n".encode()).split("\n")
    equal([line.split(" ")[0] for line in lines if line], ["NOAUTH", "OK", "hello", "WRONGPASS", "hello"])


finish()
