"""Runs Dramatiq's command line with the project's logging; it ends with its supervisor.

It is apart from worker_process.py because the supervisor starts it as a program. The first argument
is the supervisor's process id.
"""

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
    multiprocess.identify(f"leader_{settings.worker_slot}")  # its worker process has the slot
    configure_logging(settings)
    code = main()  # type: ignore[no-untyped-call]
    sys.exit(
        KILLED if code == RET_KILLED else code
    )  # Dramatiq's code is 1, as for any failure of Python's
