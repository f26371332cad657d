"""One order by three clients in three languages: the row by node-postgres, the stock in a key by
redis-py, the document by curl. One of them begins a serializable transaction and the others join it
by its token; it commits or rolls back as one, also when one of them is killed in the middle.

Arguments: who begins (row, key, document); all of them, one after the other, if none is given."""

import os
import subprocess
import sys

import redis
from checks import check, equal, finish

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "orders")
PROGRAMS = {
    "row": ["node", os.path.join(FOLDER, "row.js")],
    "key": [sys.executable, os.path.join(FOLDER, "key.py")],
    "document": ["bash", os.path.join(FOLDER, "document.sh")],
}

host, port = os.environ["TESSERA_REDIS"].rsplit(":", 1)
outsider = redis.Redis(
    host=host, port=int(port), username="admin", password=os.environ["PGPASSWORD"], decode_responses=True
)


class Member:
    """A client program of its own."""

    def __init__(self, name):
        self.name = name
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            PROGRAMS[self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def say(self, line):
        """Sends a command that must succeed; what it answers."""
        answer = self.ask(line)
        assert answer == "ok" or answer.startswith("ok "), f"{self.name}: {line}: {answer}"
        return answer[3:]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """What an earlier check has left open must not matter."""
        self.kill()
        self.start()

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


members = {name: Member(name) for name in PROGRAMS}
for member in members.values():
    member.say("setup")
done = 0


def begin(beginner):
    """The order is placed and not ended; the members that joined."""
    for member in members.values():
        member.restart()
    token = members[beginner].say("begin")
    joined = [member for name, member in members.items() if name != beginner]
    for member in joined:
        member.say(f"join {token}")
    for member in members.values():
        member.say(f"order {done + 1}")
    # Nobody else sees any of it.
    equal(outsider.get("stock:a1"), str(10 - done))
    return joined


def leave(joined):
    """After the end; who was killed, or has left, has nothing to leave."""
    for member in joined:
        member.say("leave")


def everywhere(expected):
    """A free lock shows that the transaction is over: this waits for it."""
    outsider.incrby("stock:a1", 0)
    equal({name: member.say("count") for name, member in members.items()}, {name: str(expected) for name in members})


for beginner in sys.argv[1:] or PROGRAMS:

    @check(f"an order that {beginner} begins commits in all models")
    def _():
        global done
        joined = begin(beginner)
        # Who has done its part may leave before the end.
        joined[1].say("leave")
        members[beginner].say("commit")
        done += 1
        leave(joined)
        everywhere(done)

    @check(f"an order that {beginner} begins rolls back in all models")
    def _():
        joined = begin(beginner)
        members[beginner].say("rollback")
        leave(joined)
        everywhere(done)

    @check(f"an order that {beginner} begins is undone when a member of it is killed")
    def _():
        joined = begin(beginner)
        joined[0].kill()
        joined[0].start()
        # What it did is there until the transaction ends, and the one that began decides.
        members[beginner].say("rollback")
        leave(joined)
        everywhere(done)

    @check(f"an order whose beginner {beginner} is killed leaves nothing")
    def _():
        joined = begin(beginner)
        members[beginner].kill()
        members[beginner].start()
        if beginner == "document":
            # HTTP has no connection to lose: any member may end it, or the idle time-out does.
            members["row"].say("rollback")
        leave(joined)
        everywhere(done)


@check("a member cannot commit what it joined, and learns of the end")
def _():
    joined = begin("row")
    answer = members["document"].ask("commit")
    assert answer.startswith("error") and "2D000" in answer, answer
    members["row"].say("rollback")
    answer = members["key"].ask("order 99")
    assert answer.startswith("error") and "already ended" in answer, answer
    leave(joined)
    everywhere(done)


for member in members.values():
    member.end()
finish()
