"""`tessera sql` and `tessera user`: results, backslash commands, exit codes, users.

Argument: path of the tessera binary. PGHOST, PGPORT, PGUSER, PGPASSWORD name the server.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from checks import check, equal, finish

TESSERA = sys.argv[1]
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="tessera-shell-"))
DEADLINE_S = 60


def run(*arguments, script="", code=0, environment=None):
    """Runs a command; returns what went to standard output and to standard error."""
    done = subprocess.run(
        [TESSERA, *arguments],
        input=script,
        text=True,
        capture_output=True,
        timeout=DEADLINE_S,
        env={**os.environ, **(environment or {})},
    )
    equal((done.returncode, done.stderr if done.returncode != code else ""), (code, ""))
    return done.stdout, done.stderr


@check("a script creates, loads and queries")
def _():
    out, complaint = run(
        "sql",
        "--stop-on-error",
        script="""
        CREATE TABLE town (name text PRIMARY KEY, people integer CHECK (people > 0));
        COPY town FROM STDIN;
Oslo\t717710
Bergen\t291940
\\.
        SELECT * FROM town ORDER BY people;
        """,
    )
    equal(complaint, "")
    assert "  name  | people \n--------+--------\n Bergen | 291940\n Oslo   | 717710\n(2 rows)" in out, out


@check("\\copy in both directions")
def _():
    source, target = FOLDER / "in.csv", FOLDER / "out.csv"
    source.write_text("name,people\nMoss,50290\n")
    run("sql", script=f"\\copy town FROM '{source}' WITH (FORMAT csv, HEADER true)\n")
    run("sql", script=f"\\copy (SELECT name FROM town ORDER BY name) TO '{target}' csv\n")
    equal(target.read_text(), "Bergen\nMoss\nOslo\n")


@check("\\d shows a table, \\dt lists it")
def _():
    out, _ = run("sql", script="\\d town\n\\dt\n\\di\n\\dn\n\\du\n\\l\n")
    for text in ['Table "public.town"', " people | integer ", '"town_pkey" PRIMARY KEY, btree (name)', " public | town | table "]:
        assert text in out, f"{text!r} is not in\n{out}"


@check("csv, json and expanded output")
def _():
    out, _ = run("sql", "--csv", "-c", "SELECT name, people FROM town ORDER BY name LIMIT 1")
    equal(out, "name,people\nBergen,291940\n")
    out, _ = run("sql", "--format", "json", "-c", "SELECT name, people FROM town ORDER BY name LIMIT 1")
    equal(json.loads(out), [{"name": "Bergen", "people": 291940}])
    out, _ = run("sql", "-x", "-c", "SELECT name FROM town ORDER BY name LIMIT 1")
    equal(out, "-[ RECORD 1 ]\nname | Bergen\n\n")


@check("errors show their place, and exit codes are psql's")
def _():
    _, complaint = run("sql", "-c", "SELECT nope FROM town", code=1)
    assert "LINE 1: SELECT nope FROM town\n               ^" in complaint, complaint
    out, _ = run("sql", script="SELECT 1/0;\nSELECT 'went on';\n")
    assert "went on" in out
    run("sql", "-v", "ON_ERROR_STOP=1", script="SELECT 1/0;\nSELECT 'went on';\n", code=3)
    run("sql", "-c", "SELECT 1", code=2, environment={"PGPASSWORD": "wrong"})
    run("sql", "-f", str(FOLDER / "missing.sql"), code=1)


@check("\\i, \\timing, \\pset, \\gx, \\conninfo, \\errverbose")
def _():
    (FOLDER / "a.sql").write_text("SELECT 'included';\n")
    out, complaint = run(
        "sql",
        script=f"\\i {FOLDER / 'a.sql'}\n\\timing on\n\\pset null none\nSELECT NULL AS a \\gx\n\\conninfo\nSELECT 1/0;\n\\errverbose\n",
    )
    for text in ["included", "Time: ", "a | none", "You are connected"]:
        assert text in out, f"{text!r} is not in\n{out}"
    assert "22012" in complaint, complaint


@check("Ctrl-C cancels the statement")
def _():
    process = subprocess.Popen([TESSERA, "sql", "-c", "SELECT pg_sleep(60)"], stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < DEADLINE_S:
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGINT)
    equal(process.returncode, 1)
    assert "canceling statement due to user request" in process.stderr.read()


@check("users are added, log in, change their password, and go")
def _():
    run("user", "add", "ann", script="first word\n")
    out, _ = run("user", "list")
    assert " ann " in out and "administrator" in out, out
    ann = {"PGUSER": "ann", "PGPASSWORD": "first word"}
    out, _ = run("sql", "-t", "-A", "-c", "SELECT current_user", environment=ann)
    equal(out, "ann\n")
    run("user", "password", "ann", script="second word\n")
    run("sql", "-c", "SELECT 1", code=2, environment=ann)
    run("sql", "-c", "SELECT 1", environment={**ann, "PGPASSWORD": "second word"})
    run("user", "drop", "ann")
    run("user", "drop", "ann", code=1)


@check("version")
def _():
    out, _ = run("version")
    assert out.startswith("tessera "), out


finish()
