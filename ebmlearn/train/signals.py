"""Ctrl-C and SIGTERM wait for the end of a training step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and did, after a whole step.

    Args:
        message: Where it stopped and how to go on.
        signal: What asked for it, ``signal.SIGINT`` or ``signal.SIGTERM``. By convention a process ends with
            status ``128 + signal``.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@contextmanager
def deferred(patient: bool = False) -> Iterator[list[int]]:
    """Catch SIGINT and SIGTERM and list them, instead of acting on them. In a thread other than the main one,
    which gets no signals, the list stays empty.

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

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
