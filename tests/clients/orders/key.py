"""The stock of an order, in a key, by redis-py. Commands come as lines, one answer line for each."""

import os
import sys

import redis

host, port = os.environ["TESSERA_REDIS"].rsplit(":", 1)
client = redis.Redis(
    host=host,
    port=int(port),
    username="admin",
    password=os.environ["PGPASSWORD"],
    decode_responses=True,
    single_connection_client=True,
)


def begin():
    client.execute_command("TX.BEGIN", "SERIALIZABLE")
    return client.execute_command("TX.TOKEN")


def leave():
    """The next command makes a new connection, outside of the transaction."""
    client.connection.disconnect()


COMMANDS = {
    "setup": lambda: client.set("stock:a1", 10),
    "begin": begin,
    "join": lambda token: client.execute_command("TX.JOIN", token),
    "order": lambda _: client.decr("stock:a1"),
    "leave": leave,
    "commit": lambda: client.execute_command("TX.COMMIT"),
    "rollback": lambda: client.execute_command("TX.ROLLBACK"),
    "count": lambda: 10 - int(client.get("stock:a1")),
}

for line in sys.stdin:
    name, *words = line.split()
    try:
        answer = COMMANDS[name](*words)
        print(f"ok {'' if answer is None else answer}".strip(), flush=True)
    except redis.RedisError as error:
        print(f"error {error}".replace("\n", " "), flush=True)
