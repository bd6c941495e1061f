"""Ends a process with the one that started it, so that no worker runs on unwatched."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent dies, by whatever.

    Linux alone can; elsewhere who kills a parent has to kill its process group.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
