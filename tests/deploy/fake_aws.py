#!/usr/bin/env -S python3 -I -S
"""Stands for aws, docker and git on the PATH of a test: records each call, answers from a file.

FAKE_CALLS: where a line of JSON is written for each call. FAKE_ANSWERS: JSON, beginning of a
command → its output, or {"code": …, "out": …, "err": …}; the longest beginning that fits wins. A
list of such is answered one after the other, the last of them for ever.
"""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Record, answer."""
    name = Path(sys.argv[0]).name
    said = "" if sys.stdin.isatty() or "--password-stdin" not in sys.argv else sys.stdin.read()
    call = {"command": [name, *sys.argv[1:]], "stdin": said.strip()}
    with Path(os.environ["FAKE_CALLS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")
    line = " ".join(call["command"])
    calls = Path(os.environ["FAKE_CALLS"]).read_text(encoding="utf-8").splitlines()
    answers = json.loads(Path(os.environ["FAKE_ANSWERS"]).read_text(encoding="utf-8"))
    fitting = [start for start in answers if line.startswith(start)]
    start = max(fitting, key=len, default="")
    answer = answers.get(start, "")
    if isinstance(answer, list):
        before = sum(" ".join(json.loads(one)["command"]).startswith(start) for one in calls)
        answer = answer[min(before, len(answer)) - 1]
    if isinstance(answer, str):
        answer = {"code": 0, "out": answer}
    if answer["out"]:
        sys.stdout.write(answer["out"] + "\n")
    sys.stderr.write(answer.get("err", ""))
    return answer["code"]


if __name__ == "__main__":
    sys.exit(main())
