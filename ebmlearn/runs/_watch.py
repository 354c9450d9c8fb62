"""Hooks for who watches a run: TensorBoard, and a plot in a notebook."""

import io
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from ebmlearn import check
from ebmlearn.train import Method


class TensorBoard:
    """A hook that writes the metrics for ``tensorboard --logdir FOLDER``, at once, so that a killed run loses
    none.

    A resumed run repeats the steps since its checkpoint: TensorBoard is told to forget what it had of them,
    and a new run in the same folder begins anew. Give each run a folder of its own to compare them.

    Args:
        folder: Where the events go; made if absent. A folder inside that of the run is a good place.
        every: Write the metrics of every so many steps, >= 1.

    Raises:
        ImportError: If the package tensorboard is missing.
        ValueError: If ``every`` is below 1.

    Example:
        ``fit(method, data, steps=1000, out="runs/a", hooks=[TensorBoard("runs/a/tensorboard")])``
    """

    def __init__(self, folder: str | Path, *, every: int = 1) -> None:
        check.count("every", every)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                f"TensorBoard needs the package tensorboard ({error}): pip install 'ebmlearn[log]'"
            ) from error
        self.folder, self.every = Path(folder), every
        self._make: Any = SummaryWriter
        self._writer: Any = None

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        """Write the metrics of a step, if it is time."""
        if self._writer is None:
            self._writer = self._make(str(self.folder), purge_step=step)
        if step % self.every == 0:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value.item(), step)
            self._writer.flush()


class LivePlot:
    """A hook that draws the metrics in a notebook while training goes on: one figure, drawn anew in place.

    Each metric has a panel, and each point in it is the mean of ``every`` steps. Outside of a notebook
    nothing happens. Random numbers are not touched.

    Args:
        every: Steps between two drawings, >= 1. One takes about a tenth of a second.

    Raises:
        ImportError: In a notebook, if matplotlib is missing.
        ValueError: If ``every`` is below 1.

    Example:
        ``fit(method, data, steps=1000, hooks=[LivePlot()])``
    """

    def __init__(self, *, every: int = 100) -> None:
        check.count("every", every)
        self.every = every
        self._block: dict[str, list[float]] = {}
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._shown: Any = None

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        """Note the metrics of a step, and draw if it is time."""
        if not _in_notebook():
            return
        for name, value in metrics.items():
            self._block.setdefault(name, []).append(value.item())
        if step % self.every == 0:
            for name, values in self._block.items():
                self._points.setdefault(name, []).append((step, sum(values) / len(values)))
            self._block = {}
            self._show()

    def _show(self) -> None:
        from IPython.display import Image, display

        picture = Image(self._drawn(), format="png")
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)

    def _drawn(self) -> bytes:
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(f"LivePlot needs matplotlib ({error}): pip install 'ebmlearn[plot]'") from error
        # a figure of its own: pyplot would keep it, and a notebook would show it once more
        figure = Figure(figsize=(4.0, 0.4 + 1.3 * len(self._points)), dpi=144, layout="constrained")
        panels = figure.subplots(len(self._points), sharex=True, squeeze=False)[:, 0]
        for ax, (name, points) in zip(panels, self._points.items(), strict=True):
            ax.plot(*zip(*points, strict=True), marker="." if len(points) < 3 else None)
            ax.set_ylabel(name)
        panels[-1].set_xlabel("step")
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return stream.getvalue()


def _in_notebook() -> bool:
    """Whether a kernel shows what is displayed; a terminal's IPython does not."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")
