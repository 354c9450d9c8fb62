"""Ctrl-C, SIGTERM and SIGHUP wait for the end of a training step."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from torch import Tensor

# the last comes when a terminal is closed or a connection lost
_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and did, after a whole step.

    Args:
        message: Where it stopped and how to go on.
        signal: What asked for it, ``signal.SIGINT``, ``SIGTERM`` or ``SIGHUP``. By convention a process ends
            with status ``128 + signal``.
        history: The metrics so far, each ``(steps,)``, as `fit <ebmlearn.train.fit>` returns them.
    """

    def __init__(self, message: str, signal: int, history: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(message)
        self.signal, self.history = signal, dict(history or {})


@contextmanager
def deferred(patient: bool = False) -> Iterator[list[int]]:
    """Catch SIGINT, SIGTERM and SIGHUP and list them, instead of acting on them. What the process ignores, as
    under ``nohup``, it goes on to ignore. In a thread other than the main one, which gets no signals, the
    list stays empty.

    Args:
        patient: Whether even a second SIGINT is only listed: a launcher of several processes passes on what
            they have already got from the terminal. Else it interrupts at once, the user's way out of a step
            that takes too long.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in caught and not patient:
            raise KeyboardInterrupt
        caught.append(number)

    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in heard}
    try:
        yield caught
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
