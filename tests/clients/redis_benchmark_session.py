"""redis-benchmark, unchanged: all its default tests, one command at a time and in pipelines, in both
protocol versions, with random keys, with new connections. What counts is that every test ends and no
answer is an error; speed is measured elsewhere.

Argument: path of redis-benchmark. TESSERA_REDIS and PGPASSWORD name the server and the password.
"""

import csv
import io
import os
import subprocess
import sys

from checks import check, equal, finish

BENCHMARK = sys.argv[1]
HOST, PORT = os.environ["TESSERA_REDIS"].rsplit(":", 1)
PASSWORD = os.environ["PGPASSWORD"]
DEADLINE_S = 300
# What redis-benchmark 7 runs without -t, and the words it puts behind some names.
DEFAULT_TESTS = [
    "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP",
    "ZADD", "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)",
    "LRANGE_300 (first 300 elements)", "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)",
    "MSET (10 keys)",
]  # fmt: skip


def benchmark(*arguments, password=PASSWORD):
    """Runs it; exit code, names of the tests that ended, everything else that it said."""
    command = [BENCHMARK, "-h", HOST, "-p", PORT, "--user", "admin", "-a", password, "--csv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    # What -k 0 always says.
    said = [line for line in done.stderr.splitlines() if line.strip() and "Keepalive disabled" not in line]
    return done.returncode, [row[0] for row in rows[1:] if len(row) == 8], said


for name, arguments in [
    ("one command at a time", ["-n", "200", "-c", "10"]),
    ("pipelines of 16", ["-n", "800", "-c", "10", "-P", "16"]),
    ("RESP3", ["-n", "100", "-c", "5", "-3"]),
    ("random keys, pipelines, values of 100 bytes", ["-n", "800", "-c", "10", "-P", "16", "-r", "1000", "-d", "100"]),
    ("two threads", ["-n", "200", "-c", "10", "--threads", "2"]),
]:

    @check(f"all default tests: {name}")
    def _(arguments=arguments):
        equal(benchmark(*arguments), (0, DEFAULT_TESTS, []))


@check("a new connection for every command")
def _():
    equal(benchmark("-n", "100", "-c", "5", "-k", "0", "-t", "ping,set,get"), (0, ["PING_INLINE", "PING_MBULK", "SET", "GET"], []))


@check("its settings of the server are answered")
def _():
    done = subprocess.run(
        [BENCHMARK, "-h", HOST, "-p", PORT, "--user", "admin", "-a", PASSWORD, "-n", "10", "-c", "1", "-t", "set"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    equal([done.returncode, "Could not fetch" in done.stderr, "host configuration \"appendonly\": " in done.stdout], [0, False, True])


@check("an error of the server is told, so the checks above would see one")
def _():
    code, ended, said = benchmark("-n", "10", "-c", "1", "NONSENSE", "x")
    assert any("unknown command" in line for line in said), (code, ended, said)


finish()
