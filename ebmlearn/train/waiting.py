"""Which rank another one waits for. While all goes well nothing of this touches the network.

Ranks exchange in the same order, so that each can count its exchanges. A rank that has waited for a while
says in the launcher's store at which exchange it waits. Who has not said so when time is over is the one that
is waited for: it is stopped or dead, and cannot say anything.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch

T = TypeVar("T")

HEARD_AFTER = 1.0
"""Seconds after which a rank lets the others know that it waits."""
SAY_AFTER = 60.0
"""Seconds after which a rank that waits for another says so, or half of the time limit."""
PATIENCE = 3.0
"""Seconds in which a rank that is alive is heard of, once an exchange has failed."""


class Waiting(threading.Thread):
    """How long this rank has waited for another one, which may be stopped and not dead.

    Args:
        rank, n: Which rank this is, of how many.
        limit: Seconds after which torch gives an exchange up; None: not known.
    """

    def __init__(self, rank: int, n: int, limit: float | None) -> None:
        super().__init__(daemon=True)
        self.rank, self.n, self.limit = rank, n, limit
        self.since: float | None = None
        self.count = 0
        self._store: Any = None

    def begin(self) -> None:
        """An exchange begins."""
        self.count += 1
        self.since = time.monotonic()

    def run(self) -> None:
        heard = said = 0
        say_after = SAY_AFTER if self.limit is None else min(SAY_AFTER, self.limit / 2)
        while True:
            time.sleep(0.1)
            since, count = self.since, self.count
            waited = 0.0 if since is None else time.monotonic() - since
            if waited > HEARD_AFTER and heard != count:
                heard = count
                _within(PATIENCE, self._tell)
            if waited > say_after and said != count:
                said = count
                until = (
                    "time limit of torch.distributed" if self.limit is None else f"{self.limit:g} s in all"
                )
                print(
                    f"rank {self.rank} has waited {waited:.0f} s for {self._who(HEARD_AFTER)}, which is "
                    f"slow, stopped or out of reach. It waits up to {until} in all",
                    file=sys.stderr,
                    flush=True,
                )

    def verdict(self) -> str:
        """Why an exchange has failed: which ranks have been waited for, and what to do."""
        waited = 0.0 if self.since is None else time.monotonic() - self.since
        who = self._who(PATIENCE)
        if self.limit is None or waited < 0.9 * self.limit:
            return f"{who} has ended or cannot be reached"
        return (
            f"{who} has not answered for {self.limit:g} s, so it is stopped, slow or out of reach; if it was "
            "only slow, give a longer timeout"
        )

    def _who(self, patience: float) -> str:
        found = _within(patience + 1, lambda: self._missing(patience)) or []
        if not found:
            return "another rank"
        return f"rank {found[0]}" if len(found) == 1 else f"one of the ranks {', '.join(map(str, found))}"

    def _missing(self, patience: float) -> list[int]:
        """The ranks that have not said that they wait at this exchange."""
        self._tell()
        end = time.monotonic() + patience
        missing = sorted(set(range(self.n)) - {self.rank})
        with suppress(RuntimeError):  # rank 0 has ended, and the store with it: what is known is known
            while missing := [r for r in missing if not self._store.check([self._key(r)])]:
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
        return missing

    def _tell(self) -> None:
        if self._store is None:
            host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            limit = timedelta(seconds=PATIENCE)
            self._store = torch.distributed.TCPStore(host, port, is_master=False, timeout=limit)
        self._store.set(self._key(self.rank), "waits")

    def _key(self, rank: int) -> str:
        began = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return f"ebmlearn/{began}/{self.count}/{rank}"


def _within(seconds: float, function: Callable[[], T]) -> T | None:
    """The result of a call that may hang with the machine it asks; None if it does, or fails."""
    found: list[T] = []

    def call() -> None:
        with suppress(RuntimeError, KeyError, ValueError):
            found.append(function())

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
