"""What a run writes as training goes."""

import io
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
