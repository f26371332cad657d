"""asyncpg: binary everywhere, type introspection, COPY, pool resets, cancel by time-out."""

import asyncio
import datetime
import decimal
import traceback

import asyncpg
from checks import equal, finish, note


async def loads_by_copy(connection):
    await connection.execute("CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz, note text)")
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    records = [(number, start + datetime.timedelta(minutes=number), f"n{number}") for number in range(500)]
    status = await connection.copy_records_to_table("event", records=records)
    equal(status, "COPY 500")
    equal(await connection.fetchval("SELECT count(*) FROM event"), 500)


async def queries_with_parameters(connection):
    row = await connection.fetchrow("SELECT at, note FROM event WHERE id = $1", 60)
    equal(row["at"], datetime.datetime(2024, 1, 1, 1, tzinfo=datetime.timezone.utc))
    equal(row["note"], "n60")
    rows = await connection.fetch("SELECT id FROM event WHERE id = ANY($1::bigint[]) ORDER BY id", [1, 5, 9])
    equal([row["id"] for row in rows], [1, 5, 9])
    equal(await connection.fetchval("SELECT $1::numeric * 2", decimal.Decimal("1.25")), decimal.Decimal("2.50"))


async def many_values_in_one_call(connection):
    await connection.executemany("INSERT INTO event VALUES ($1, now(), $2)", [(1000 + n, "many") for n in range(100)])
    equal(await connection.fetchval("SELECT count(*) FROM event WHERE note = 'many'"), 100)


async def transactions(connection):
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM event")
            raise RuntimeError("undo")
    except RuntimeError:
        pass
    async with connection.transaction(isolation="repeatable_read"):
        async with connection.transaction():
            await connection.execute("UPDATE event SET note = 'changed' WHERE id = 1")
    equal(await connection.fetchval("SELECT count(*) FROM event"), 600)
    equal(await connection.fetchval("SELECT note FROM event WHERE id = 1"), "changed")


async def errors(connection):
    try:
        await connection.execute("INSERT INTO event VALUES ($1, now(), 'x')", 1)
    except asyncpg.UniqueViolationError as error:
        equal(error.constraint_name, "event_pkey")
        equal(error.detail, "Key (id)=(1) already exists.")
    else:
        raise AssertionError("no error")


async def cancel(connection):
    try:
        await connection.fetchval("SELECT pg_sleep(60)", timeout=0.5)
    except asyncio.TimeoutError:
        pass
    else:
        raise AssertionError("not cancelled")
    equal(await connection.fetchval("SELECT 1"), 1)


async def cursor(connection):
    async with connection.transaction():
        seen = [row["id"] async for row in connection.cursor("SELECT id FROM event WHERE id < 200 ORDER BY id", prefetch=30)]
    equal(seen, list(range(200)))


async def pool(_connection):
    async with asyncpg.create_pool(min_size=2, max_size=4) as connections:

        async def one(number):
            async with connections.acquire() as connection:
                return await connection.fetchval("SELECT $1::int * 2", number)

        equal(await asyncio.gather(*(one(number) for number in range(20))), [2 * n for n in range(20)])


async def copy_out(connection):
    parts = []

    async def collect(data):
        parts.append(data)

    await connection.copy_from_query("SELECT id, note FROM event WHERE id < 2 ORDER BY id", output=collect, format="csv")
    equal(b"".join(parts), b"0,n0\n1,changed\n")


async def main():
    connection = await asyncpg.connect()
    for step in [loads_by_copy, queries_with_parameters, many_values_in_one_call, transactions, errors, cancel, cursor, pool, copy_out]:
        try:
            await asyncio.wait_for(step(connection), timeout=60)
        except Exception as error:  # noqa: BLE001 - every kind of failure is a failed check
            traceback.print_exc()
            note(step.__name__, repr(error))
        else:
            note(step.__name__)
    await connection.close()


asyncio.run(main())
finish()
