"""The checkpoints of a run: which are whole, which go, which is the best, and who may write."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ebmlearn.train import checkpoint
from ebmlearn.train.ranks import Ranks

_NAME = re.compile(r"checkpoint-(\d{8,})(-rank\d+)?\.pt")
_HALF = re.compile(r"(checkpoint-\d{8,}(-rank\d+)?|best)\.pt\.\d+\.tmp")


class Folder:
    """The checkpoints of one run.

    Those of step 1000 are ``checkpoint-00001000.pt`` of rank 0, ``checkpoint-00001000-rank1.pt`` of rank 1,
    and so on. Rank 0 writes its own when all others have written, and removes it first, so that it vouches
    for the set. ``best.pt`` is rank 0's of the lowest criterion.

    Args:
        out: The folder, which all ranks see.
        ranks: Who writes; one rank by default.
        n_kept: How many sets stay, >= 1.
    """

    def __init__(self, out: str | Path, ranks: Ranks | None = None, n_kept: int = 2) -> None:
        self.out, self.ranks, self.n_kept = Path(out), ranks or Ranks(), n_kept
        self.best = self.out / "best.pt"
        self.lock: Any = None
        self.written: list[int] = []  # the steps in the folder when this process last wrote there

    def path(self, step: int, rank: int = 0) -> Path:
        """The file of a step and a rank."""
        return self.out / (f"checkpoint-{step:08d}" + (f"-rank{rank}" if rank else "") + ".pt")

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, ascending."""
        matches = [_NAME.fullmatch(path.name) for path in self.out.glob("checkpoint-*.pt")]
        return sorted(int(match[1]) for match in matches if match and not match[2])

    def last(self) -> str:
        """A sentence that says where the run can go on."""
        steps = self.steps()
        if not steps:
            return f"There is no checkpoint in {self.out}."
        return f"The last checkpoint is {self.path(steps[-1])}; resume=True goes on from there."

    @contextmanager
    def opened(self, resume: bool) -> Iterator[None]:
        """Make the folder if absent, and keep other processes out of it.

        Args:
            resume: Whether it may hold checkpoints.

        Raises:
            BlockingIOError: If another process is training there.
            FileExistsError: If there are checkpoints and ``resume`` is False.
            OSError: If the folder cannot be written.
        """
        from filelock import FileLock

        self.lock = FileLock(self.out / ".lock")
        try:
            self.ranks.on_main(lambda: self._open(resume))
            yield
        finally:
            self.lock.release()
            self.lock = None

    def _open(self, resume: bool) -> None:
        from filelock import Timeout

        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except Timeout:
            raise BlockingIOError(
                f"another process is training in {self.out}; wait for its end, or choose another out"
            ) from None
        except OSError as error:
            advice = "Choose another out, or mend this one."
            raise OSError(error.errno, f"cannot write in {self.out}: {error.strerror}. {advice}") from error
        if not resume and (self.steps() or self.best.exists()):
            raise FileExistsError(
                f"{self.out} holds the checkpoints of a run; pass resume=True to continue it, or another out "
                "for a new one"
            )
        self._remove_what_does_not_count()
        self.written = self.steps()

    def _take_lock(self) -> None:
        self.lock.acquire(blocking=False)
        self.inode = (self.out / ".lock").stat().st_ino

    def _keep_lock(self) -> None:
        """Refuse to write beside another process: whoever removes the file of the lock lets one in."""
        from filelock import Timeout

        path = self.out / ".lock"
        if path.exists() and path.stat().st_ino == self.inode:
            return
        self.lock.release()
        try:
            self._take_lock()
        except Timeout:
            alone = False
        else:
            alone = self.steps() == self.written
        if not alone:
            raise BlockingIOError(
                f"{path} was removed while this process was training, and another has written in {self.out} "
                "or trains there now. This one stopped, and wrote nothing over it. Train in one process, and "
                "leave .lock alone"
            )

    def newest(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """This rank's state at the newest checkpoint, or rank 0's if another number of ranks wrote it; None
        if there is no checkpoint.

        Raises:
            ValueError: If a file of it is damaged or absent. The message says which earlier checkpoint is
                whole: to go back is the user's decision.
        """
        steps = self.ranks.on_main(self.steps)
        return self.ranks.together(lambda: self._read(steps, device)) if steps else None

    def _read(self, steps: list[int], device: torch.device | str) -> dict[str, Any]:
        try:
            state = checkpoint.load(self.path(steps[-1]), device)
            if self.ranks.rank and state["ranks"] == self.ranks.n:
                state = checkpoint.load(self.path(steps[-1], self.ranks.rank), device)
            return state
        except (ValueError, FileNotFoundError) as error:
            whole = next((step for step in reversed(steps[:-1]) if self._is_whole(step)), None)
            then = "start from the beginning"
            if whole is not None:
                then = f"go on from {self.path(whole)}, which is whole"
            files = self.path(steps[-1]).with_suffix("")
            raise ValueError(f"{error}. Or move {files}*.pt away, and resume=True will {then}.") from error

    def _is_whole(self, step: int) -> bool:
        try:
            n = checkpoint.load(self.path(step))["ranks"]
            for rank in range(1, n):
                checkpoint.load(self.path(step, rank))
        except (ValueError, FileNotFoundError):
            return False
        return True

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of a step, on all ranks; then remove what is older than the last ``n_kept``.

        Args:
            step: Its number.
            state: This rank's state; has the number of ranks under ``"ranks"``.

        Raises:
            BlockingIOError: If another process has come into the folder.
            OSError: If a rank cannot write its file; earlier checkpoints are untouched.
        """
        path = self.path(step, self.ranks.rank)
        self.ranks.on_main(self._keep_lock)
        if self.ranks.n > 1:
            self.ranks.together(lambda: None if self.ranks.main else self._write(path, state))
        self.ranks.on_main(lambda: self._finish(path, state))

    def score(self, step: int, state: dict[str, Any], best: bool) -> None:
        """Write rank 0's checkpoint of a step again, with its criterion in it.

        Args:
            step: Its number.
            state: Rank 0's state.
            best: Whether it is the best so far.
        """

        def write() -> None:
            self._keep_lock()
            if best:  # first: after a crash in between the criterion is computed again, and is the same
                self._write(self.best, state)
            self._write(self.path(step), state)

        self.ranks.on_main(write)

    def _finish(self, path: Path, state: dict[str, Any]) -> None:
        self._write(path, state)
        for step in self.steps()[: -self.n_kept]:
            self.path(step).unlink()
        self._remove_what_does_not_count()
        self.written = self.steps()

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        try:
            checkpoint.save(path, state)
        except OSError as error:
            reason = f"could not write {path}: {error.strerror}. Make room or mend the folder. {self.last()}"
            raise OSError(error.errno, reason) from error

    def _remove_what_does_not_count(self) -> None:
        """Files of ranks without that of rank 0, and what a crash left half written."""
        steps = self.steps()
        for path in self.out.iterdir():
            match = _NAME.fullmatch(path.name)
            if _HALF.fullmatch(path.name) or (match and int(match[1]) not in steps):
                path.unlink()
