"""Chains that move: animated PNG files."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.viz._base import CHAIN, finite_array
from ebmlearn.viz.images import arrange, image_array, image_grid, tile
from ebmlearn.viz.plane import energy_map, frame

if TYPE_CHECKING:
    from IPython.display import Image


def animate(
    trajectory: Tensor,
    energy: Energy | None = None,
    *,
    box: tuple[float, float] | None = None,
    n_frames: int = 20,
    duration_ms: int = 200,
    every: int = 1,
    n_cols: int | None = None,
) -> "Image":
    """Chains that move over an energy map, or images that change, as an animated PNG.

    It moves in a notebook and in the built book and repeats for ever; **a PDF shows its first frame**, the
    start of the chains. The same input gives the same bytes on one machine.

    Args:
        trajectory: Chains in the plane, shape ``(T, B, 2)``, or batches of images, shape ``(T, N, C, H, W)``
            in [-1, 1] with C = 1 or 3 (clipped in the display only).
        energy: Energy whose density is drawn behind chains in the plane.
        box: Limits ``(low, high)`` of both axes; needed by chains in the plane.
        n_frames: Number of frames, evenly spread over the trajectory; the first and the last entry are among
            them.
        duration_ms: Time of a frame in milliseconds.
        every: Steps of the sampler between two entries of the trajectory; scales the step number in the
            title.
        n_cols: Images in a row, see `image_grid`.

    Returns:
        An ``IPython.display.Image``: the last expression of a cell shows it. It has at most
        256 colours; 20 frames of chains take about 100 kB, 20 of coloured noise several times as much.

    Raises:
        ImportError: If IPython is not installed.
        ValueError: If the shapes, the number of frames, the times or the combination of arguments does not
            fit.
    """
    try:
        from IPython.display import Image
    except ImportError as error:
        raise ImportError(
            "animate returns an IPython image: pip install ipython (it comes with Jupyter)."
        ) from error

    check.tensor("trajectory", trajectory) if not isinstance(trajectory, np.ndarray) else None
    trajectory = torch.as_tensor(trajectory)
    for name, value in (("n_frames", n_frames), ("duration_ms", duration_ms), ("every", every)):
        check.count(name, value, 0)
    plane = trajectory.ndim == 3 and trajectory.shape[2] == 2
    if not plane and trajectory.ndim != 5:
        raise ValueError(
            "expected a trajectory of shape (T, B, 2) in the plane or (T, N, C, H, W) of images; "
            f"got {tuple(trajectory.shape)}. One chain needs a batch axis: trajectory[:, None]."
        )
    if plane and box is None:
        raise ValueError("chains in the plane need box=(low, high), the same in every frame.")
    if not plane and not (energy is None and box is None):
        raise ValueError(
            "energy and box belong to chains in the plane; a trajectory of images takes neither."
        )
    if not 2 <= n_frames <= len(trajectory):
        raise ValueError(
            f"n_frames must be between 2 and the {len(trajectory)} entries of the trajectory; got {n_frames}."
        )
    if duration_ms < 1 or every < 1:
        raise ValueError(f"duration_ms and every must be at least 1; got {duration_ms} and {every}.")

    figure = Figure(figsize=(3.0, 3.0), dpi=96, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    if box is not None:
        points = finite_array(trajectory, "the trajectory")
        low, high = box
        if energy is not None:
            energy_map(energy, ax, box=box, colorbar=False, device=trajectory.device)
        frame(ax, box)
        dots = ax.scatter([], [], s=14, color=CHAIN, edgecolors="white", linewidths=0.4)
    else:
        images = image_array(trajectory.flatten(0, 1))
        images = images.reshape(*trajectory.shape[:2], *images.shape[1:])
        image_grid(trajectory[0], ax, n_cols=n_cols)
        high, wide = ax.images[0].get_size()
        figure.set_size_inches(3.6 * min(1, wide / high), 3.6 * min(1, high / wide) + 0.3)
    pages = []
    for t in np.linspace(0, len(trajectory) - 1, n_frames).round().astype(int).tolist():
        title = f"step {t * every}"
        if box is not None:
            dots.set_offsets(points[t])
            outside = int(((points[t] < low) | (points[t] > high)).any(axis=1).sum())
            title += f" ({outside} of {points.shape[1]} outside)" if outside else ""
        else:
            ax.images[0].set_data(tile(images[t], *arrange(images.shape[1], n_cols)))
        ax.set_title(title)
        canvas.draw()
        figure.set_layout_engine("none")  # fixed by the first frame: the picture must not shift
        pages.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return Image(data=animated_png(pages, duration_ms), format="png")


def animated_png(pages: list[Any], duration_ms: int) -> bytes:
    """RGB arrays of one size as an animated PNG of one palette of 256 colours, chosen over all frames."""
    # Median cut, the default, would average away a rare colour: that of a single chain over a map.
    method = PIL.Image.Quantize.MAXCOVERAGE
    sheet = PIL.Image.fromarray(np.concatenate(pages)).quantize(256, method, dither=PIL.Image.Dither.NONE)
    height, width, _ = pages[0].shape
    first, *rest = [sheet.crop((0, k * height, width, (k + 1) * height)) for k in range(len(pages))]
    buffer = io.BytesIO()
    first.save(buffer, format="PNG", save_all=True, append_images=rest, duration=duration_ms, loop=0)
    return buffer.getvalue()
