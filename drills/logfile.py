"""What processes have written, read back while they run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Logged:
    """Something that writes JSON lines to a file."""

    log_file: Path

    def log(self) -> str:
        """All that has been written so far, to stdout and stderr."""
        return self.log_file.read_text(encoding="utf-8")

    def records(self, message: str | None = None) -> list[dict[str, Any]]:
        """The log's whole lines as JSON, of one event if it is named; fails where one is none."""
        whole = self.log().rpartition("\n")[0]
        records = [json.loads(line) for line in whole.splitlines()]
        return [item for item in records if message is None or item["message"] == message]
