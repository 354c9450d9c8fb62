"""Colours, rc settings and the few helpers that all figures share."""

from typing import Any

import torch
from torch import Tensor

from ebmlearn import check

try:
    import matplotlib.pyplot as plt
    import seaborn as sns
    from cycler import cycler
    from matplotlib.axes import Axes
except ImportError as error:
    raise ImportError("ebmlearn.viz needs matplotlib and seaborn: pip install 'ebmlearn[plot]'") from error

# Lightness 17, 46 and 57 of 100 and hues that stay apart under protanopia and deuteranopia, so that the three
# roles differ for colour-blind readers and in print; each has contrast above 3:1 on white.
DATA = "#1b2a49"
"""Colour of data (dark blue)."""
MODEL = "#b8379a"
"""Colour of model samples (purple)."""
CHAIN = "#e66100"
"""Colour of chains (orange)."""

CYCLE = [DATA, CHAIN, MODEL, "0.55"]

# One perceptually uniform map and its reverse: in both kinds of energy map, dark means likely.
DENSITY_MAP = "mako_r"
"""Name of the colour map of densities: light where the density is 0."""
ENERGY_MAP = "mako"
"""Name of the colour map of energies: dark where the energy is low."""


def style() -> None:
    """Set the book's matplotlib settings; call it once at the top of a chapter.

    Small figures (4 x 3 inches, 144 dots per inch), constrained layout, an opaque white background that stays
    legible on a dark page, a font that ships with matplotlib (the same picture on every machine), and a
    colour cycle whose entries also differ by line style. It changes ``matplotlib.rcParams`` and nothing else;
    importing ``ebmlearn.viz`` changes nothing.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context():
        ...     style()
        ...     matplotlib.rcParams["figure.dpi"]
        144.0
    """
    sns.set_theme(style="ticks")
    plt.rcParams.update(
        {
            "figure.figsize": (4.0, 3.0),
            "figure.dpi": 144,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.dpi": "figure",
            "savefig.facecolor": "white",
            "savefig.transparent": False,
            "axes.facecolor": "white",
            "axes.linewidth": 0.8,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "axes.prop_cycle": cycler(color=CYCLE) + cycler(linestyle=["-", "--", "-.", ":"]),
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "legend.fontsize": 8,
            "legend.title_fontsize": 8,
            "legend.frameon": False,
            "lines.linewidth": 1.3,
            "font.size": 9,
            "font.sans-serif": ["DejaVu Sans"],
            "image.cmap": DENSITY_MAP,
        }
    )


def new_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """``ax`` itself, or the Axes of a new pyplot figure of ``figsize`` inches if it is None."""
    if ax is not None:
        check.instance("ax", ax, Axes, "an Axes of matplotlib, or None for a new figure")
        return ax
    return plt.subplots(figsize=figsize, layout="constrained", facecolor="white")[1]


def finite_array(x: Tensor, name: str) -> Any:
    """``x`` as a float64 numpy array; ValueError if it is empty or holds a NaN or an infinity."""
    try:
        x = torch.as_tensor(x).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} is {check.shown(x)}; expected a tensor.") from None
    if x.is_complex():
        raise ValueError(f"{name} is complex; expected real numbers, such as x.real.")
    x = x.to("cpu", torch.float64)
    if x.numel() == 0:
        raise ValueError(f"{name} of shape {tuple(x.shape)} is empty: there is nothing to draw.")
    bad = int((~x.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{name} holds {bad} non-finite values of {x.numel()}. A plot would leave them out in silence: "
            "find the diverged chains, or select the finite ones yourself."
        )
    return x.numpy()


def note(ax: Axes, text: str) -> None:
    """A line of small print in the lower right corner of ``ax``, added to the lines that are there."""
    for old in ax.texts:
        if old.get_gid() == "ebmlearn-note":
            old.set_text(f"{old.get_text()}\n{text}")
            return
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    small = ax.text(0.98, 0.02, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=8, bbox=box)
    small.set(gid="ebmlearn-note", zorder=10)
