"""Dramatiq's own command line: it logs as we do, and ends with the supervisor that started it."""

import sys

from dramatiq.cli import main

from project.configuration import load_settings
from project.jobs.parent import end_with_parent
from project.observability import multiprocess
from project.observability.logging import configure_logging

if __name__ == "__main__":
    end_with_parent()
    settings = load_settings()
    multiprocess.identify(f"leader_{settings.worker_slot}")  # its worker has the slot itself
    configure_logging(settings)
    sys.exit(main())  # type: ignore[no-untyped-call]
