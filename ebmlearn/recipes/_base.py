"""What a recipe is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ebmlearn import random
from ebmlearn.data import Images, load, own
from ebmlearn.data.sources import SOURCES
from ebmlearn.progress import progress_enabled
from ebmlearn.recipes import settings
from ebmlearn.sample import evaluation_mode
from ebmlearn.train import Method

# Settings of the recipe itself, with the least value, and whether they may be None
_FIELDS = {
    "batch_size": (1, False),
    "steps": (1, False),
    "n": (1, True),
    "size": (1, True),
    "pad": (0, False),
    "channels": (1, True),
}


def _field(name: str, value: Any) -> int | None:
    least, optional = _FIELDS[name]
    if value is None and optional:
        return None
    value = settings.checked(name, value, int | None if optional else int, 64 if least else 2)
    if value < least:
        raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")
    return value


@dataclass(frozen=True)
class Recipe:
    """A paper's setting, ready to run: ``python -m ebmlearn train NAME --out FOLDER``.

    Attributes:
        summary: One line: the method, the data, and what is special.
        source: Where the numbers come from: paper, and the code that was read.
        data: Name of the data set, for `ebmlearn.data.load`; or images of one's own, as `Recipe.load` takes.
        setup: From the shape ``(C, H, W)`` of an image, a ``partial`` of the method's class: nets and starts
            by position, settings by keyword, so that `Recipe.settings` can list them and
            `Recipe.with_settings` change them.
        sample: ``sample(method, n)`` gives ``n`` images of a trained method, shape ``(n, C, H, W)``,
            nominally in [-1, 1]. It uses the averages of the weights where the method keeps some.
        batch_size: Images in a batch, over all ranks.
        steps: Number of iterations.
        n: Use the first ``n`` images only; None: all.
        size: Reduce images with a larger side to this one; None: as they are loaded.
        pad: Pixels of background (-1) added at each side, as papers do to make 28 x 28 into 32 x 32.
        channels: Of images of one's own, where ``data`` names such; None: those of the data set.
        expect: What the paper reports for it, with its source; empty where we know of none.
        changes: Settings of the method that `Recipe.with_settings` has changed, by name.

    Example:
        >>> from ebmlearn import fit
        >>> from ebmlearn.recipes import RECIPES
        >>> recipe = RECIPES["short-run-cifar10"](smoke=True)
        >>> x = torch.rand(64, 3, 16, 16) * 2 - 1  # in earnest: x = recipe.load().x
        >>> method = recipe.method(x.shape[1:])
        >>> history = fit(method, x, steps=2, batch_size=recipe.batch_size)
        >>> recipe.images(method, 20).shape
        torch.Size([20, 3, 16, 16])
        >>> other = recipe.with_settings({"lr": 1e-5, "chain.n_steps": 5, "batch_size": 8})
        >>> other.method(x.shape[1:]).chain.n_steps, other.batch_size
        (5, 8)
    """

    summary: str
    source: str
    data: str
    setup: Callable[[tuple[int, int, int]], partial[Any]]
    sample: Callable[[Any, int], Tensor]
    batch_size: int
    steps: int
    n: int | None = None
    size: int | None = None
    pad: int = 0
    channels: int | None = None
    expect: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    def method(self, shape: tuple[int, int, int]) -> Method:
        """The untrained method, for images of a shape ``(C, H, W)``.

        Raises:
            ValueError: If the method refuses a setting.
        """
        return settings.change(self._setup(shape), self.changes)()

    def settings(self) -> dict[str, Any]:
        """All that `Recipe.with_settings` can change, by name, with the values of now: numbers and texts, and
        the chains, optimisers, schedules and functions of the method."""
        return {name: getattr(self, name) for name in _FIELDS} | settings.table(self.sketch())

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        """The same recipe with other settings: ``{"lr_energy": 1e-4, "chain.n_steps": 60}``.

        Args:
            changes: New values by name, see `Recipe.settings`. What a schedule gave may become a number.

        Raises:
            ValueError: If there is no such setting, or a value is of another type than it takes.
        """
        fields: dict[str, Any] = {
            name: _field(name, value) for name, value in changes.items() if name in _FIELDS
        }
        rest = {name: value for name, value in changes.items() if name not in _FIELDS}
        changed = replace(self, **fields, changes={**self.changes, **rest})
        changed.sketch()  # refuses what is unknown or off here, not when the method is built
        return changed

    def sketch(self) -> partial[Any]:
        """What makes the method, with nets that have shapes and no values, so that it costs no time."""
        try:
            with torch.device("meta"):
                setup = self._setup(self.shape())
        except (RuntimeError, TypeError):  # a net that looks at values while it is made
            with random.kept():
                setup = self._setup(self.shape())
        return settings.change(setup, self.changes, _FIELDS)

    def _setup(self, shape: tuple[int, int, int]) -> partial[Any]:
        setup = self.setup(shape)
        if not isinstance(setup, partial):
            kind = type(setup).__name__
            raise ValueError(
                f"the recipe's setup gives a {kind}; expected partial({kind}, ...), not yet called, so that "
                "its settings can be listed and changed"
            )
        return setup

    def load(
        self,
        data: str | None = None,
        split: str = "train",
        n: int | None = None,
        *,
        image: str | None = None,
        label: str | None = None,
    ) -> Images:
        """The images that it trains on and their labels, as `ebmlearn.data.load` gives them.

        Args:
            data: Another data set than its own. Its images are reduced only where they are larger than
                ``size``, and padded only where they have the side of the recipe's own. Or images of one's
                own: a folder, a file ``.npy``, ``.npz`` or ``.pt``, or an id on the hub. These get the
                `Recipe.shape` of the recipe, and nothing is padded.
            split: Of the data set.
            n: The first ``n`` images; None: the recipe's own number. Where the split has fewer: all. Of a
                folder or file ``n`` images spread evenly, with a warning where the recipe says how many.
            image, label: Columns of a data set on the hub that is none of `ebmlearn.data`.

        Raises:
            ValueError, OSError, ImportError: As `ebmlearn.data.load`, `ebmlearn.data.from_folder`,
                `ebmlearn.data.from_array` or `ebmlearn.data.from_hub`; the errors say how to get the data.
        """
        name, asked, n = own.resolve(data or self.data), n is not None, n or self.n
        if own.is_own(name):
            channels, side, _ = self.shape()
            columns = {"image": image, "label": label}
            return own.load(name, split, size=side, channels=channels, n=n, warn=not asked, **columns)
        if image or label:
            raise ValueError(
                f"the columns of images and labels are named for sets on the hub; {name} is none"
            )
        if n is not None and name in SOURCES:  # what is no data set or split is refused by the loader
            n = min(n, SOURCES[name].splits.get(split, n))
        larger = self.size is not None and name in SOURCES and SOURCES[name].side > self.size
        x, y = load(name, split, n=n, size=self.size if larger else None)
        if self.pad and self.data in SOURCES and SOURCES[name].side == SOURCES[self.data].side:
            x = functional.pad(x, (self.pad,) * 4, value=-1.0)
        return Images(x, y)

    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image of `load`, without loading any.

        Raises:
            ValueError: If ``data`` are no set of `ebmlearn.data`, and ``size`` or ``channels`` is missing.
        """
        size, channels = self.size, self.channels
        if source := SOURCES.get(self.data):
            size, channels = size or source.side, channels or source.shape[0]
        if size is None or channels is None:
            raise ValueError(
                f"the recipe's data are {self.data!r}, which is no set of ebmlearn.data; then give it size="
                " and channels=, which its images get"
            )
        return channels, size + 2 * self.pad, size + 2 * self.pad

    def tiny(self) -> Self:
        """The same on few and small images, in few and small batches; the nets are left to the caller."""
        return replace(self, batch_size=16, steps=20, n=256, size=16, pad=0)

    @torch.no_grad()
    def images(self, method: Method, n: int, *, progress: bool = False) -> Tensor:
        """``n`` images of a trained method, ``(n, C, H, W)``, made a batch at a time; on the CPU."""
        sizes = [min(self.batch_size, n - start) for start in range(0, n, self.batch_size)]
        with evaluation_mode():
            bar = tqdm(sizes, leave=False, disable=not (progress and progress_enabled()))
            return torch.cat([self.sample(method, size).float().cpu() for size in bar])
