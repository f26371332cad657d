"""psql, unchanged: queries, the backslash commands, \\copy, transactions, errors, cancel.

Argument: path of psql. PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE name the server.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from checks import check, equal, finish

PSQL = sys.argv[1]
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="tessera-psql-"))
DEADLINE_S = 60


def psql(script, *arguments, code=0):
    """Runs a script; returns what went to standard output and to standard error."""
    done = subprocess.run(
        [PSQL, "-X", *arguments], input=script, text=True, capture_output=True, timeout=DEADLINE_S
    )
    equal((done.returncode, done.stderr if done.returncode != code else ""), (code, ""))
    return done.stdout, done.stderr


def shows(script, *texts):
    """Runs a script that must not complain and whose output holds these texts."""
    out, complaint = psql(script, "-v", "ON_ERROR_STOP=1")
    equal(complaint, "")
    for text in texts:
        assert text in out, f"{text!r} is not in\n{out}"
    return out


@check("create tables, an index, a view, a sequence, a schema")
def _():
    shows(
        """
        CREATE SCHEMA shop;
        CREATE TABLE shop.item (
            id integer PRIMARY KEY,
            name varchar(20) NOT NULL DEFAULT 'new',
            price numeric(8,2),
            tags text[],
            added timestamptz,
            UNIQUE (name)
        );
        CREATE INDEX item_price ON shop.item (price DESC);
        CREATE VIEW shop.cheap AS SELECT id, name FROM shop.item WHERE price < 10;
        CREATE SEQUENCE shop.numbers;
        CREATE TABLE city (name text PRIMARY KEY, people integer);
        """,
        "CREATE SCHEMA",
        "CREATE TABLE",
        "CREATE INDEX",
        "CREATE VIEW",
        "CREATE SEQUENCE",
    )


@check("\\copy loads text and csv, and writes them back")
def _():
    source = FOLDER / "items.csv"
    source.write_text('1,"pen, blue",1.50,"{a,b}",2024-01-02 03:04:05+00\n2,ink,12.00,,\n')
    target = FOLDER / "out.csv"
    shows(
        f"\\copy shop.item FROM '{source}' WITH (FORMAT csv)\n"
        f"\\copy (SELECT id, name, price FROM shop.item ORDER BY id) TO '{target}' CSV HEADER\n",
        "COPY 2",
    )
    equal(target.read_text(), 'id,name,price\n1,"pen, blue",1.50\n2,ink,12.00\n')
    shows("COPY city FROM STDIN;\nOslo\t717710\nBergen\t\\N\n\\.\nSELECT count(*) FROM city;", "COPY 2")


@check("queries answer as aligned tables")
def _():
    shows(
        "SELECT name, price FROM shop.item ORDER BY id;",
        "   name    | price \n",
        " pen, blue |  1.50\n ink       | 12.00\n(2 rows)",
    )
    shows("\\x on\nSELECT id FROM shop.cheap;", "-[ RECORD 1 ]", "id | 1")


@check("\\d lists relations")
def _():
    shows("\\d", " public | city | table ")
    shows("\\dt", " public | city | table ")
    shows("\\dt shop.*", " shop   | item | table ")
    shows("\\d shop.*", 'Table "shop.item"', 'View "shop.cheap"', 'Sequence "shop.numbers"')


@check("\\d of a table shows columns, defaults and indexes")
def _():
    shows(
        "\\d shop.item",
        'Table "shop.item"',
        " id     | integer ",
        " name   | character varying(20) ",
        "not null | 'new'::character varying",
        " price  | numeric(8,2) ",
        " tags   | text[] ",
        " added  | timestamp with time zone ",
        '"item_pkey" PRIMARY KEY, btree (id)',
        '"item_name_key" UNIQUE CONSTRAINT, btree (name)',
        '"item_price" btree (price DESC)',
    )
    shows("\\d+ shop.item", "Access method: ", "Storage")
    shows("\\d+ shop.cheap", "View definition:", "shop.item")


@check("\\di, \\dv, \\ds, \\dn, \\du, \\l")
def _():
    shows("\\di shop.*", "item_pkey", "item_price")
    shows("\\dv shop.*", " shop   | cheap | view ")
    shows("\\ds shop.*", " shop   | numbers | sequence ")
    shows("\\dn", " shop ", " public ")
    shows("\\du", " admin ")
    shows("\\l", " tessera ")


@check("\\gdesc, \\gset and variables")
def _():
    shows("SELECT id, price FROM shop.item \\gdesc", " id     | integer", " price  | numeric(8,2)")
    shows("SELECT 40 + 2 AS answer \\gset\nSELECT :answer * 2 AS twice;", "    84")


@check("a transaction is rolled back as a whole; a savepoint keeps its part")
def _():
    shows(
        """
        BEGIN;
        INSERT INTO city VALUES ('Moss', 1);
        SAVEPOINT a;
        INSERT INTO city VALUES ('Hamar', 2);
        ROLLBACK TO a;
        COMMIT;
        BEGIN;
        DELETE FROM city;
        ROLLBACK;
        SELECT 'left: ' || string_agg(name, ' ' ORDER BY name) AS cities FROM city;
        """,
        "left: Bergen Moss Oslo",
    )


@check("an error shows its place, and the exit code tells")
def _():
    _, complaint = psql("SELECT nope FROM city;", "-v", "ON_ERROR_STOP=1", code=3)
    assert 'ERROR:  column "nope" does not exist' in complaint, complaint
    assert "LINE 1: SELECT nope FROM city;" in complaint, complaint
    _, complaint = psql("\\set VERBOSITY verbose\nINSERT INTO city VALUES ('Oslo', 1);")
    for text in [
        'ERROR:  23505: duplicate key value violates unique constraint "city_pkey"',
        "DETAIL:  Key (name)=(Oslo) already exists.",
        "TABLE NAME:  city",
        "CONSTRAINT NAME:  city_pkey",
    ]:
        assert text in complaint, f"{text!r} is not in\n{complaint}"


@check("several statements in one message are one transaction")
def _():
    psql("", "-c", "INSERT INTO city VALUES ('Lost', 1); SELECT 1/0", code=1)
    shows("SELECT 'lost: ' || count(*) FROM city WHERE name = 'Lost';", "lost: 0")


@check("Ctrl-C cancels the query")
def _():
    process = subprocess.Popen(
        [PSQL, "-X", "-c", "SELECT pg_sleep(60)"], stderr=subprocess.PIPE, text=True
    )
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < DEADLINE_S:
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGINT)
    complaint = process.stderr.read()
    assert "canceling statement due to user request" in complaint, complaint


finish()
