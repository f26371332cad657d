"""Named checks with one summary line; every client script here uses it.

A check is a function that raises when its property does not hold. The summary line is the one that
`cargo xtask test` reads.
"""

import sys
import traceback

_results = {"passed": 0, "failed": 0, "skipped": 0}


def check(name):
    """Runs the decorated function at once and notes how it went."""

    def run(function):
        try:
            function()
        except Exception:  # noqa: BLE001 - every kind of failure is a failed check
            _results["failed"] += 1
            print(f"FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            _results["passed"] += 1
            print(f"ok      {name}")
        return function

    return run


def note(name, error=None):
    """Notes a check that was carried out elsewhere."""
    _results["failed" if error else "passed"] += 1
    print(f"{'FAILED' if error else 'ok    '}  {name}{f': {error}' if error else ''}")


def equal(found, expected):
    """Fails with both values in the message."""
    assert found == expected, f"found {found!r}, expected {expected!r}"


def finish():
    """Prints the summary and ends the program."""
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**_results))
    sys.exit(1 if _results["failed"] else 0)
