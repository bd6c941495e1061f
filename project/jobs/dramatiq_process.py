"""Dramatiq's own command line, which ends with the supervisor that started it."""

import sys

from dramatiq.cli import main

from project.jobs.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())  # type: ignore[no-untyped-call]
