"""HTTP with Python's own client: keys of all types, documents page by page, rows as Arrow."""

import base64
import json
import os
import urllib.error
import urllib.request

import pyarrow
import pyarrow.ipc
from checks import check, equal, finish

PASSWORD = os.environ["PGPASSWORD"]
ARROW = "application/vnd.apache.arrow.stream"


def http(method, path, body=None, accept="application/json", content_type="application/json"):
    request = urllib.request.Request(f"http://{os.environ['TESSERA_HTTP']}/api/v1{path}", method=method)
    secret = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    request.add_header("Accept", accept)
    request.add_header("Content-Type", content_type)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data) as answer:
        return answer.headers, answer.read()


def call(method, path, body=None, **options):
    _, text = http(method, path, body, **options)
    return json.loads(text) if text else None


def arrow(statement, *parameters):
    headers, body = http("POST", "/sql", {"statement": statement, "parameters": parameters}, accept=ARROW)
    equal(headers["Content-Type"], ARROW)
    return pyarrow.ipc.open_stream(body).read_all()


@check("rows come as Arrow with their types")
def _():
    table = arrow(
        "SELECT 1::smallint AS a, 2 AS b, 3::bigint AS c, 0.5::real AS d, 2.5::float8 AS e,"
        " true AS f, 'text' AS g, '\\x00ff'::bytea AS h, date '2024-02-29' AS i,"
        " timestamp '2024-02-29 12:00:00.000001' AS j, timestamptz '2024-02-29 12:00:00+00' AS k,"
        " 12.30::numeric(10,2) AS l, 12.345 AS m, '{\"a\":1}'::jsonb AS n, ARRAY[1,2] AS o, NULL::int AS p"
    )
    equal(
        [str(field.type) for field in table.schema],
        ["int16", "int32", "int64", "float", "double", "bool", "string", "binary", "date32[day]"]
        + ["timestamp[us]", "timestamp[us, tz=UTC]", "decimal128(10, 2)", "string", "string", "string", "int32"],
    )
    row = {name: table.column(name)[0] for name in table.column_names}
    equal([row[name].as_py() for name in "abcdefgh"], [1, 2, 3, 0.5, 2.5, True, "text", b"\x00\xff"])
    equal(str(row["i"].as_py()), "2024-02-29")
    equal(row["j"].as_py().microsecond, 1)
    equal(row["k"].as_py().isoformat(), "2024-02-29T12:00:00+00:00")
    equal(str(row["l"].as_py()), "12.30")
    equal([row[name].as_py() for name in "mop"], ["12.345", "{1,2}", None])
    equal(json.loads(row["n"].as_py()), {"a": 1})
    equal(table.schema.field("l").metadata, {b"sql_type": b"numeric(10,2)"})


@check("many rows are as those of JSON")
def _():
    statement = "SELECT n, 'row ' || n AS t, n % 7 AS s FROM generate_series(1, $1::int) AS g(n)"
    table = arrow(statement, 50_000)
    equal(table.num_rows, 50_000)
    rows = call("POST", "/sql", {"statement": statement, "parameters": [50_000]})["rows"]
    # Without ORDER BY the order is nobody's promise.
    same = sorted(list(row.values()) for row in table.to_pylist()) == sorted(rows)
    equal(same, True)


@check("no rows, no columns, and errors have their own answers")
def _():
    table = arrow("SELECT 1 AS a WHERE false")
    equal((table.num_rows, table.column_names), (0, ["a"]))
    table = arrow("CREATE TABLE arrow_made (a int)")
    equal(table.schema.metadata, {b"tag": b"CREATE TABLE"})
    try:
        http("POST", "/sql", {"statement": "SELECT 1/0"}, accept=ARROW)
        raise AssertionError("it should have failed")
    except urllib.error.HTTPError as error:
        equal(error.headers["Content-Type"], "application/problem+json")
        equal(json.loads(error.read())["code"], "22012")


@check("a stream that fails on the way has no end")
def _():
    # The last row divides by zero, long after the first batches.
    failing = {"statement": "SELECT 1 / (300000 - n) FROM generate_series(1, 300000) AS g(n)"}
    try:
        _, body = http("POST", "/sql", failing, accept=ARROW)
        pyarrow.ipc.open_stream(body).read_all()
        raise AssertionError("it should have failed")
    except (urllib.error.URLError, OSError, pyarrow.ArrowInvalid, ValueError):
        pass
    except Exception as error:  # noqa: BLE001 - http.client has several for a cut answer
        equal(type(error).__name__, "IncompleteRead")


@check("values of every type")
def _():
    typed = "application/vnd.tessera.value+json"
    for kind, value in [
        ("string", "text"),
        ("hash", {"a": "1", "b": "2"}),
        ("list", ["x", "y", "x"]),
        ("set", ["m"]),
        ("zset", [{"member": "low", "score": 1}, {"member": "high", "score": 2.5}]),
        ("stream", [{"id": "1-1", "fields": [["f", "1"], ["f", "2"]]}]),
    ]:
        call("PUT", f"/keys/types/{kind}", {"type": kind, "value": value}, content_type=typed)
        found = call("GET", f"/keys/types/{kind}")
        equal((found["type"], found["value"]), (kind, value))
    call("PUT", "/keys/types/raw", b"\xff\x00", content_type="application/octet-stream")
    equal(http("GET", "/keys/types/raw", accept="*/*")[1], b"\xff\x00")
    equal(base64.urlsafe_b64decode(call("GET", "/keys/types/raw")["value_base64"] + "=="), b"\xff\x00")


@check("all pages show the state of the first")
def _():
    call("POST", "/documents", {"name": "paged"})
    call("POST", "/documents/paged", [{"_id": f"{n:03}", "n": n} for n in range(100)])
    query = {"sort": {"n": -1}, "limit": 30}
    page = call("POST", "/documents/paged:query", query)
    call("POST", "/documents/paged:delete", {"filter": {"n": {"$lt": 50}}})
    call("POST", "/documents/paged", {"_id": "new", "n": 10})
    found = [document["id"] for document in page["documents"]]
    while page["next"]:
        page = call("POST", "/documents/paged:query", {**query, "page": page["next"]})
        found += [document["id"] for document in page["documents"]]
    equal(found, [f"{n:03}" for n in reversed(range(100))])


finish()
