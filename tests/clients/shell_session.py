"""`tessera sql` and `tessera user`: results, backslash commands, exit codes, users.

Argument: path of the tessera binary. PGHOST, PGPORT, PGUSER, PGPASSWORD name the server.
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
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


def wait_until_active(statement):
    """Waits until the server runs this statement."""
    question = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{statement}%'"
    began = time.monotonic()
    while run("sql", "-t", "-A", "-c", question)[0].strip() == "0":
        assert time.monotonic() - began < DEADLINE_S, f"{statement} does not start"


class Terminal:
    """`tessera sql` as a person sees it, on a terminal of its own."""

    HISTORY = FOLDER / "history"

    def __init__(self):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", TESSERA_HISTORY=str(self.HISTORY))
            os.execv(TESSERA, [TESSERA, "sql"])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.seen = ""
        self.expect("tessera=#")

    def type(self, keys):
        os.write(self.terminal, keys.encode())
        return self

    def enter(self, line, *expected):
        """Types a line, waits for these texts and then for the prompt: only there is the terminal
        the editor's, and keys are its own."""
        self.type(line + "\r").expect(*expected, "=#")

    def expect(self, *texts):
        """Waits for these texts, in this order; colours and movements do not count."""
        began = time.monotonic()
        for text in texts:
            while text not in self.seen:
                left = DEADLINE_S - (time.monotonic() - began)
                ready = select.select([self.terminal], [], [], max(left, 0))[0]
                assert ready, f"{text!r} does not appear in {self.seen!r}"
                self.seen += self.read()
            self.seen = self.seen.split(text, 1)[1]
        return self

    def read(self):
        try:
            output = os.read(self.terminal, 65536).decode(errors="replace")
        except OSError:
            output = ""
        if not output:
            raise EOFError(f"the shell has ended; last seen {self.seen!r}")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)

    def leave(self):
        self.type("\x04")
        began = time.monotonic()
        try:
            while True:
                left = DEADLINE_S - (time.monotonic() - began)
                assert select.select([self.terminal], [], [], max(left, 0))[0], "the shell does not end"
                self.read()
        except EOFError:
            pass
        equal(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), 0)
        os.close(self.terminal)


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
    process = subprocess.Popen([TESSERA, "sql", "-c", "SELECT pg_sleep(601)"], stderr=subprocess.PIPE, text=True)
    wait_until_active("SELECT pg_sleep(601)")
    os.kill(process.pid, signal.SIGINT)
    process.wait(timeout=DEADLINE_S)
    equal(process.returncode, 1)
    assert "canceling statement due to user request" in process.stderr.read()


@check("at a terminal: statements over lines, expanded output, \\timing")
def _():
    shell = Terminal()
    shell.type("SELECT 6 *\r").enter("7 AS n;", "42", "(1 row)")
    shell.enter("\\timing", "Timing is on")
    shell.enter("\\x", "Expanded display is on")
    shell.enter("SELECT 8 * 8 AS n;", "-[ RECORD 1 ]", "n | 64", "Time: ")
    shell.enter("\\d town", 'Table "public.town"', "people", "town_pkey")
    shell.leave()


@check("at a terminal: Tab completes the names of the catalog")
def _():
    shell = Terminal()
    shell.enter("SELECT count(*) + 1000 AS n FROM tow\t;", "1003", "(1 row)")
    shell.leave()


@check("at a terminal: the history is kept, but no passwords")
def _():
    shell = Terminal()
    shell.enter("SELECT 40 + 3 AS n;", "43", "(1 row)")
    shell.enter("CREATE USER hidden PASSWORD 'not to be kept';", "CREATE ROLE")
    shell.enter("DROP USER hidden;", "DROP ROLE")
    shell.leave()
    shell = Terminal()
    shell.enter("\x1b[A\x1b[A", "43", "(1 row)")
    shell.leave()
    history = Terminal.HISTORY.read_text()
    assert "40 + 3" in history and "not to be kept" not in history, history
    equal(Terminal.HISTORY.stat().st_mode & 0o077, 0)


@check("at a terminal: Ctrl-C ends a statement, \\watch and half a line")
def _():
    shell = Terminal()
    shell.type("SELECT pg_sleep(602);\r")
    wait_until_active("SELECT pg_sleep(602)")
    shell.type("\x03").expect("canceling statement due to user request", "=#")
    shell.enter("SELECT 5 * 5 AS n;", "25", "(1 row)")
    shell.type("\\watch 0.01\r").expect("25", "(1 row)", "25", "(1 row)", "25", "(1 row)")
    shell.type("\x03").expect("=#")
    shell.type("SELECT half a line").expect("half a line").type("\x03").expect("=#")
    shell.enter("SELECT 6 * 6 AS n;", "36", "(1 row)")
    shell.leave()


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
