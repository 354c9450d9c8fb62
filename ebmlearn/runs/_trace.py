"""``trace.csv``: a row for each step, written at once and read again."""

import os
from pathlib import Path

import torch
from torch import Tensor

from ebmlearn.files import write_whole
from ebmlearn.train import Method


class Trace:
    """A hook that writes a row of a CSV file for each step, at once, so that a killed run loses none.

    A resumed run repeats the steps since its checkpoint: their old rows are dropped first.

    Args:
        path: The file.
        every: Force the rows to disk every so many steps: what `fit` has as ``every``.
    """

    def __init__(self, path: str | Path, every: int) -> None:
        self.path, self.every = Path(path), every
        self.names: list[str] | None = None

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        """Write the row of a step.

        Raises:
            ValueError: If the metrics are others than before, or the file is damaged.
        """
        row = [str(step), *(f"{value.item():.9g}" for value in metrics.values())]  # a float32 exactly
        if self.names is None:
            self.names = list(metrics)
            write_whole(self.path, self._earlier(step, ",".join(["step", *metrics]) + "\n").encode())
        if list(metrics) != self.names:
            raise ValueError(f"step {step} reports {list(metrics)}; the steps before reported {self.names}")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(",".join(row) + "\n")
            if step % self.every == 0:  # what comes next, a checkpoint, must not outlive the rows before it
                file.flush()
                os.fsync(file.fileno())

    def _earlier(self, step: int, header: str) -> str:
        """What stays of the file: the header and the steps before this one."""
        if step == 1 or not self.path.exists():
            return header
        first, rows = _lines(self.path, step - 1)
        if first != header:
            raise ValueError(f"{self.path} has the columns {first.strip()}, this run has {header.strip()}")
        return header + "".join(rows)


def read_trace(path: str | Path) -> dict[str, Tensor]:
    """The metrics of a run from its ``trace.csv``, as `ebmlearn.fit` returns them: ``(steps,)`` each.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; it is written while `python -m ebmlearn train` runs")
    first, rows = _lines(path)
    names = first.strip().split(",")[1:]
    values = torch.tensor([[float(value) for value in row.split(",")[1:]] for row in rows])
    return dict(zip(names, values.reshape(len(rows), len(names)).unbind(1), strict=True))


def _lines(path: Path, last: int | None = None) -> tuple[str, list[str]]:
    """The header and the rows to the step ``last``, as they stand. What a crash left after that is dropped.

    Raises:
        ValueError: If a row is not of the step that is due, or not of as many numbers as there are columns.
    """
    advice = "Restore it from a copy, or move it away: training goes on without the curves so far"
    first, *rows = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
    if rows and not rows[-1].endswith("\n"):
        del rows[-1]
    if not first.startswith("step,"):
        begins = first.strip()[:60]
        raise ValueError(
            f"{path} is damaged: it begins with {begins!r}, expected 'step,' and names. {advice}"
        )
    n, rows = first.count(","), rows[:last]
    for step, row in enumerate(rows, start=1):
        at, *values = row.rstrip("\n").split(",")
        if at != str(step) or len(values) != n or not all(map(_is_number, values)):
            found = row.strip()[:60]
            raise ValueError(
                f"{path} is damaged: row {step} is {found!r}, expected step {step} and {n} numbers. {advice}"
            )
    return first, rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
