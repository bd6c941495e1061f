"""Log files of running processes, parsed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Logged:
    """A process that logs JSON lines to a file."""

    log_file: Path

    def log(self) -> str:
        """The output so far, of stdout and stderr."""
        return self.log_file.read_text(encoding="utf-8")

    def records(self, message: str | None = None) -> list[dict[str, Any]]:
        """The complete lines as JSON, of one event if it is named. Raises ValueError for others."""
        whole = self.log().rpartition("\n")[0]
        records = [json.loads(line) for line in whole.splitlines()]
        return [item for item in records if message is None or item["message"] == message]
