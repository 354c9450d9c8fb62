"""When to draw a progress bar: in a terminal and in an interactive notebook, never in a log or a test."""

import os
import sys


def progress_enabled() -> bool:
    """Whether somebody is watching: a terminal or a notebook, and ``EBMLEARN_PROGRESS`` is not ``0``."""
    if os.environ.get("EBMLEARN_PROGRESS") == "0":
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules
