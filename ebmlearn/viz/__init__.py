"""Figures of the book: every function takes and returns a matplotlib Axes, and none calls ``plt.show()``.

`style` sets the look; the functions also work without it. Nothing drawn is cut in silence: where a display is
clipped or thinned, an arrow on the colour bar or a line of text in the figure says so. Tensors may live on
any device and may require gradients.
"""

from ebmlearn.viz._base import CHAIN, DATA, DENSITY_MAP, ENERGY_MAP, MODEL, style
from ebmlearn.viz.animation import animate
from ebmlearn.viz.images import image_grid, save_grid
from ebmlearn.viz.plane import chain, energy_map, samples
from ebmlearn.viz.source import show
from ebmlearn.viz.training import save_traces, traces

__all__ = [
    "CHAIN",
    "DATA",
    "DENSITY_MAP",
    "ENERGY_MAP",
    "MODEL",
    "animate",
    "chain",
    "energy_map",
    "image_grid",
    "samples",
    "save_grid",
    "save_traces",
    "show",
    "style",
    "traces",
]
