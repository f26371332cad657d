"""psycopg 3: text and binary, prepared statements, COPY, transactions, errors, cancel, pipelines."""

import datetime
import decimal
import threading
import uuid

import psycopg
from checks import check, equal, finish
from psycopg.types.json import Jsonb

connection = psycopg.connect("", autocommit=True)


@check("create, and load by COPY")
def _():
    connection.execute("CREATE TABLE measure (id integer PRIMARY KEY, what text, value numeric(10,3))")
    with connection.cursor() as cursor:
        with cursor.copy("COPY measure FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row((number, f"m{number % 7}", decimal.Decimal(number) / 8))
        equal(cursor.rowcount, 1000)
        with cursor.copy("COPY (SELECT id, what FROM measure WHERE id < 3 ORDER BY id) TO STDOUT") as copy:
            equal([row for row in copy.rows()], [("0", "m0"), ("1", "m1"), ("2", "m2")])


@check("binary COPY in both directions")
def _():
    with connection.cursor() as cursor:
        with cursor.copy("COPY measure FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "numeric"])
            copy.write_row((5000, "binary", decimal.Decimal("1.125")))
        with cursor.copy("COPY (SELECT * FROM measure WHERE id = 5000) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "numeric"])
            equal(list(copy.rows()), [(5000, "binary", decimal.Decimal("1.125"))])


@check("parameters and results keep their types, in text and in binary")
def _():
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.timezone.utc)
    connection.execute(
        "CREATE TABLE every_type (b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, "
        "f8 double precision, n numeric, t text, v varchar(5), y bytea, d date, ti time, "
        "ts timestamp, tz timestamptz, iv interval, u uuid, j jsonb, a integer[], ta text[])"
    )
    values = (
        True, -5, 70000, 2**40, 1.5, 0.1, decimal.Decimal("123456789.000100"), "ünïcode 'q'", "abc",
        b"\x00\xff", datetime.date(1969, 12, 31), datetime.time(23, 59, 59, 1),
        moment.replace(tzinfo=None), moment, datetime.timedelta(days=3, seconds=4),
        uuid.UUID("12345678-1234-5678-1234-567812345678"), Jsonb({"a": [1, None, "x"]}),
        [1, 2, 3], ["a", None, "c,d"],
    )
    marks = ", ".join(["%s"] * len(values))
    connection.execute(f"INSERT INTO every_type VALUES ({marks})", values)
    expected = tuple(value.obj if isinstance(value, Jsonb) else value for value in values)
    for binary in (False, True):
        row = connection.cursor(binary=binary).execute("SELECT * FROM every_type").fetchone()
        equal(row, expected)
    connection.execute("DELETE FROM every_type")
    connection.execute(f"INSERT INTO every_type VALUES ({', '.join(['%b'] * len(values))})", values)
    equal(connection.execute("SELECT * FROM every_type").fetchone(), expected)
    connection.execute("INSERT INTO every_type DEFAULT VALUES")
    equal(connection.execute("SELECT * FROM every_type WHERE i4 IS NULL").fetchone(), (None,) * len(values))


@check("a statement is prepared and used again with other values")
def _():
    for number in (3, 4, 900):
        row = connection.execute(
            "SELECT what FROM measure WHERE id = %s", (number,), prepare=True
        ).fetchone()
        equal(row, (f"m{number % 7}",))


@check("joins, aggregates and windows answer")
def _():
    rows = connection.execute(
        "SELECT what, count(*), max(value) - min(value), "
        "rank() OVER (ORDER BY count(*) DESC, what) FROM measure WHERE id < 1000 "
        "GROUP BY what ORDER BY what LIMIT 2"
    ).fetchall()
    equal(rows[0][:2], ("m0", 143))
    equal(rows[0][3], 1)


@check("transactions commit and roll back; nested ones use savepoints")
def _():
    with psycopg.connect("") as other:
        with other.transaction():
            other.execute("INSERT INTO measure VALUES (6000, 'kept', 0)")
            try:
                with other.transaction():
                    other.execute("INSERT INTO measure VALUES (6001, 'undone', 0)")
                    raise RuntimeError("undo")
            except RuntimeError:
                pass
            # Not visible to others before the commit.
            equal(connection.execute("SELECT count(*) FROM measure WHERE id = 6000").fetchone(), (0,))
    rows = connection.execute("SELECT id FROM measure WHERE id >= 6000").fetchall()
    equal(rows, [(6000,)])


@check("errors carry SQLSTATE, detail and the names of what they are about")
def _():
    try:
        connection.execute("INSERT INTO measure VALUES (1, 'twice', 0)")
    except psycopg.errors.UniqueViolation as error:
        equal(error.diag.sqlstate, "23505")
        equal(error.diag.constraint_name, "measure_pkey")
        equal(error.diag.table_name, "measure")
        equal(error.diag.message_detail, "Key (id)=(1) already exists.")
    else:
        raise AssertionError("no error")
    for sql, kind in [
        ("SELECT * FROM nowhere", psycopg.errors.UndefinedTable),
        ("SELECT 1/0", psycopg.errors.DivisionByZero),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("SELECT 'x'::integer", psycopg.errors.InvalidTextRepresentation),
    ]:
        try:
            connection.execute(sql)
        except kind:
            continue
        raise AssertionError(f"no error: {sql}")


@check("a failed transaction refuses statements until it is rolled back")
def _():
    with psycopg.connect("") as other:
        for sql, kind in [
            ("SELECT 1/0", psycopg.errors.DivisionByZero),
            ("SELECT 1", psycopg.errors.InFailedSqlTransaction),
        ]:
            try:
                other.execute(sql)
            except kind:
                continue
            raise AssertionError(f"no error: {sql}")
        other.rollback()
        equal(other.execute("SELECT 1").fetchone(), (1,))


@check("repeatable read: the first updater wins, the other gets 40001")
def _():
    with psycopg.connect("") as one, psycopg.connect("") as two:
        for each in (one, two):
            each.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            each.execute("SELECT value FROM measure WHERE id = 10")
        one.execute("UPDATE measure SET value = value + 1 WHERE id = 10")
        one.commit()
        try:
            two.execute("UPDATE measure SET value = value + 1 WHERE id = 10")
        except psycopg.errors.SerializationFailure:
            two.rollback()
        else:
            raise AssertionError("no conflict")


@check("read committed: an update waits and sees the other's change")
def _():
    before = connection.execute("SELECT value FROM measure WHERE id = 11").fetchone()[0]
    with psycopg.connect("") as one:
        one.execute("UPDATE measure SET value = value + 1 WHERE id = 11")
        started = threading.Event()

        def wait():
            with psycopg.connect("") as two:
                started.set()
                two.execute("UPDATE measure SET value = value + 1 WHERE id = 11")

        waiting = threading.Thread(target=wait)
        waiting.start()
        started.wait(30)
        one.commit()
        waiting.join(30)
        assert not waiting.is_alive()
    equal(connection.execute("SELECT value FROM measure WHERE id = 11").fetchone()[0], before + 2)


@check("a query is cancelled from another thread, and the session goes on")
def _():
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    try:
        connection.execute("SELECT pg_sleep(60)")
    except psycopg.errors.QueryCanceled:
        pass
    else:
        raise AssertionError("not cancelled")
    timer.join()
    equal(connection.execute("SELECT 2").fetchone(), (2,))


@check("a pipeline sends many statements before it reads answers")
def _():
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int + 1", (number,)) for number in range(50)]
    equal([cursor.fetchone()[0] for cursor in cursors], list(range(1, 51)))


@check("a server-side cursor reads a result in parts")
def _():
    with psycopg.connect("") as other:
        with other.cursor(name="parts") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT id FROM measure WHERE id < 1000 ORDER BY id")
            equal([row[0] for row in cursor], list(range(1000)))


@check("notices arrive")
def _():
    heard = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    connection.execute("DROP TABLE IF EXISTS never_was")
    equal(heard, ['table "never_was" does not exist, skipping'])


@check("notifications: at the commit, once each, also to the session that sends them")
def _():
    with psycopg.connect("", autocommit=True) as listener:
        listener.execute("LISTEN jobs")
        with connection.transaction():
            connection.execute("NOTIFY jobs, 'one'")
            connection.execute("SELECT pg_notify('jobs', %s)", ("two",))
            connection.execute("NOTIFY jobs, 'one'")
        # The listener is idle: it is woken.
        heard = [(n.channel, n.payload, n.pid) for n in listener.notifies(timeout=30, stop_after=2)]
        pid = connection.info.backend_pid
        equal(heard, [("jobs", "one", pid), ("jobs", "two", pid)])
        with connection.transaction(force_rollback=True):
            connection.execute("NOTIFY jobs, 'never'")
        listener.execute("NOTIFY jobs, 'own'")
        heard = [n.payload for n in listener.notifies(timeout=30, stop_after=1)]
        equal(heard, ["own"])
        equal(listener.execute("SELECT pg_listening_channels()").fetchall(), [("jobs",)])
        listener.execute("UNLISTEN *")
        connection.execute("NOTIFY jobs, 'late'")
        equal([n.payload for n in listener.notifies(timeout=0)], [])


connection.close()
finish()
