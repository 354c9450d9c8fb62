"""What a run writes as training goes."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

import ebmlearn
from ebmlearn import random
from ebmlearn.evaluate.images import image_distances
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
            ValueError: If the metrics are others than before.
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
        first, *rows = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        if first != header:
            raise ValueError(f"{self.path} has the columns {first.strip()}, this run has {header.strip()}")
        whole = (row for row in rows if row.endswith("\n"))  # a crash may have cut the last one
        return header + "".join(row for row in whole if int(row.partition(",")[0]) < step)


class Grids:
    """A hook that draws samples every so many steps and writes them as ``<step>.png``.

    The random numbers are the same each time, so grids of different steps can be compared; training goes on
    with its own, as if nothing had been drawn.

    Args:
        folder: Where the pictures go; made if absent.
        sample: ``sample(method)`` gives images ``(N, C, H, W)``, nominally in [-1, 1].
        every: Draw every so many steps.
        last: The last step, which is drawn in any case.
        seed: Of the random numbers.

    Raises:
        ImportError: If what `ebmlearn.viz` needs is missing.
    """

    def __init__(
        self, folder: str | Path, sample: Callable[[Any], Tensor], *, every: int, last: int, seed: int = 0
    ) -> None:
        self.save = ebmlearn.viz.save_grid  # at the start, not after a thousand steps, if it is missing
        self.folder, self.sample = Path(folder), sample
        self.every, self.last, self.seed = every, last, seed

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        """Draw, if it is time."""
        if step % self.every == 0 or step == self.last:
            picture = io.BytesIO()
            with random.kept(self.seed):
                self.save(self.sample(method), picture)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / f"{step:08d}.png", picture.getvalue())


class Log:
    """A hook that prints a line every so many steps: metrics, images a second and the time left.

    Args:
        steps: The last step.
        batch_size: Images in a step.
        every: Print every so many steps, and after the last.
    """

    def __init__(self, steps: int, batch_size: int, *, every: int) -> None:
        self.steps, self.batch_size, self.every = steps, batch_size, every
        self.began: tuple[float, int] | None = None

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        """Print, if it is time."""
        if self.began is None:  # the first step is not timed: a process has a lot to do in it
            self.began = time.monotonic(), step
        elif step % self.every == 0 or step == self.steps:
            rate = (step - self.began[1]) / (time.monotonic() - self.began[0])
            values = ", ".join(f"{name} {value.item():.4g}" for name, value in metrics.items())
            left = tqdm.format_interval((self.steps - step) / rate)
            speed = f"{rate * self.batch_size:.3g} images/s, {left} left"
            print(f"step {step:,} of {self.steps:,}: {values}; {speed}", flush=True)


class CoarseDistance:
    """For ``fit(..., criterion=...)``: how far samples are from data, cheaply, to tell the best checkpoint.

    It is the Fréchet distance of images averaged down to 8 x 8 pixels, which sees how light, contrast and
    colour lie in the image, and no detail. It compares checkpoints of one run, and nothing else.

    Args:
        sample: ``sample(method)`` gives images ``(N, C, H, W)``, more than 64 C of them; with fewer, they are
            averaged down to 4 x 4, which takes more than 16 C.
        x: Data, likewise.
        seed: Of the random numbers, the same each time.
    """

    def __init__(self, sample: Callable[[Any], Tensor], x: Tensor, *, seed: int = 0) -> None:
        self.sample, self.x, self.seed = sample, x, seed

    def __call__(self, method: Method) -> float:
        """The distance of samples of a method."""

        def averages(images: Tensor) -> Tensor:
            side = 8 if n > 64 * images.shape[1] else 4
            return functional.adaptive_avg_pool2d(images, side).flatten(1)

        with random.kept(self.seed):
            x = self.sample(method)
            n = min(len(x), len(self.x))
            return image_distances(x, self.x, averages).frechet
