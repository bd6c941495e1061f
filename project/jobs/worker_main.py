"""Dramatiq's command line, behind its supervisor's pid: it logs as we do, and ends with it."""

import sys

from dramatiq.cli import RET_KILLED, main

from project.observability import multiprocess
from project.observability.logging import configure_logging
from project.processes.parent_death import end_with_parent
from project.processes.supervise import KILLED
from project.settings.loading import load_settings

if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    settings = load_settings()
    multiprocess.identify(f"leader_{settings.worker_slot}")  # its worker has the slot itself
    configure_logging(settings)
    code = main()  # type: ignore[no-untyped-call]
    sys.exit(KILLED if code == RET_KILLED else code)  # theirs is Python's for any failure
