#!/usr/bin/python3
"""Waits until a process serves, for ExecStartPost: wait_ready.py URL [--seconds N].

Ends with 0 when the address answers 200, or when what its readiness complains of are neighbours
alone: a database that is away is no reason to take predictions away as well. Ends with 1, and a
line that says why, at the limit, or as soon as the process itself ($MAINPID) is gone.
"""

import argparse
import json
import os
import sys
import time
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

NEIGHBOURS = frozenset({"database", "storage", "broker"})
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 5.0
UNAVAILABLE = 503


def main() -> int:
    """Wait, and say how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=120.0, help="wait no longer")
    given = parser.parse_args()
    pid = int(os.environ.get("MAINPID") or 0)
    end = time.monotonic() + given.seconds
    while True:
        serves, seen = look(given.url)
        if serves:
            if seen:
                sys.stderr.write(f"{given.url} serves, but: {seen}\n")
            return 0
        if pid and not alive(pid):
            sys.stderr.write(f"process {pid} ended before {given.url} answered: see its log\n")
            return 1
        if time.monotonic() >= end:
            sys.stderr.write(f"{given.url} not ready within {given.seconds:g} s: {seen}\n")
            return 1
        time.sleep(min(LOOK_SECONDS, max(0.0, end - time.monotonic())))


def look(url: str) -> tuple[bool, str]:
    """Whether it serves, and what it complains of."""
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(url, timeout=ANSWER_SECONDS):
            return True, ""
    except HTTPError as error:
        with error:
            return judged(error.code, error.read())
    except (OSError, ValueError) as error:
        return False, str(error)


def judged(status: int, body: bytes) -> tuple[bool, str]:
    """What an answer that is not 200 means."""
    try:
        checks = json.loads(body)["checks"]
        failing = [name for name, check in checks.items() if not check["ok"]]
    except (ValueError, KeyError, TypeError):
        failing = []
    if status != UNAVAILABLE or not failing:
        return False, f"it answers {status}"
    return set(failing) <= NEIGHBOURS, f"{', '.join(failing)} fails"


def alive(pid: int) -> bool:
    """Whether the process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(main())
