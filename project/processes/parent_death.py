"""Ends a process when its parent dies, so that no worker runs on unsupervised.

`python -m project.processes.parent_death PID COMMAND…` execs a command that ends so.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent dies, for whatever reason.

    parent: its pid; if it is dead by now, this process exits at once. Only Linux can do this;
    elsewhere, to kill a parent is to kill its process group.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - our own words, no shell
