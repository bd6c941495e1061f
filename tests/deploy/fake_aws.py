#!/usr/bin/env -S python3 -I -S
"""Replaces aws, docker and git on a test's PATH: records each call and answers from a file.

FAKE_CALLS: the file that gets a line of JSON for each call. FAKE_ANSWERS: JSON, beginning of a
command to its output, or to {"code": …, "out": …, "err": …}; the longest beginning that matches is
used. Of a list the calls get one item after the other, then the last one.
"""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    calls = Path(os.environ["FAKE_CALLS"])
    stdin = sys.stdin.read() if "--password-stdin" in sys.argv else ""
    call = {"command": [Path(sys.argv[0]).name, *sys.argv[1:]], "stdin": stdin.strip()}
    with calls.open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")
    line = " ".join(call["command"])
    answers = json.loads(Path(os.environ["FAKE_ANSWERS"]).read_text(encoding="utf-8"))
    start = max((start for start in answers if line.startswith(start)), key=len, default="")
    answer = answers.get(start, "")
    if isinstance(answer, list):
        recorded = map(json.loads, calls.read_text(encoding="utf-8").splitlines())
        number = sum(" ".join(one["command"]).startswith(start) for one in recorded)
        answer = answer[min(number, len(answer)) - 1]
    if isinstance(answer, str):
        answer = {"code": 0, "out": answer}
    if answer["out"]:
        sys.stdout.write(answer["out"] + "\n")
    sys.stderr.write(answer.get("err", ""))
    return answer["code"]


if __name__ == "__main__":
    sys.exit(main())
