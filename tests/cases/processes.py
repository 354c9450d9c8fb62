"""Other processes, for what only these can show: crashes, signals, ranks.

An interpreter takes seconds to import torch. These are forked, in a hundredth of a second, from a server that
has imported it and has done nothing else.
"""

import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["ebmlearn.commands", "accelerate", "torch._dynamo", "pytest"])


class Child:
    """``function(*arguments)`` in another process; what it prints goes to a file."""

    def __init__(self, function: Callable, *arguments: Any, log: Path, **environment: str) -> None:
        self.log = log
        known = {**os.environ, **environment}
        self.process = SERVER.Process(target=_begin, args=(function, arguments, log, known))
        self.process.start()

    def kill(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self, timeout: float = 300) -> int:
        """Its exit status, or minus the number of the signal that ended it."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"not finished after {timeout} s:\n{self.printed}")
        return self.process.exitcode

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    @property
    def printed(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def module(name: str, *argv: str) -> None:
    """For `Child`: ``python -m name *argv``."""
    sys.argv[1:] = argv
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def script(path: str, *argv: str) -> None:
    """For `Child`: ``python path *argv``."""
    sys.argv[:] = [path, *argv]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")


def ranks(function: Callable, *arguments: Any, log: Path, n: int = 2) -> list[Child]:
    """Children that are the ranks of one run, as ``torchrun`` would start them; ``log`` is a folder."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    common = {
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        Child(
            function, *arguments, log=log / f"rank{rank}.log", RANK=str(rank), LOCAL_RANK=str(rank), **common
        )
        for rank in range(n)
    ]


def _begin(function: Callable, arguments: tuple, log: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(handle, standard)
    import torch

    torch.set_num_threads(1)
    function(*arguments)
