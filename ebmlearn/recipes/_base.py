"""What a recipe is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ebmlearn import check, random
from ebmlearn.data import CELEBA_ATTRIBUTES, Images, labelled, load, own
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
# Those of its labels, where it has some
_LABELS = {"labels.per_class": (0, False), "labels.batch_size": (1, False), "labels.seed": (0, False)}
_ATTRIBUTE = "labels.attribute"


def _field(name: str, value: Any) -> int | None:
    least, optional = (_FIELDS | _LABELS)[name]
    if value is None and optional:
        return None
    value = settings.checked(name, value, int | None if optional else int, 64 if least else 2)
    if value < least:
        raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")
    return value


def _attribute(value: Any) -> str | None:
    if value is not None:
        check.choice(_ATTRIBUTE, value, (*CELEBA_ATTRIBUTES, None))
    return value


class Streams(NamedTuple):
    """What `ebmlearn.train.fit` takes, and what became of the labels.

    Attributes:
        data, batch_size: Of `ebmlearn.train.fit`.
        n_classes: Classes of the labels; None without.
        labelled: Indices of the images whose labels are used, ``(n,)``; None without.
    """

    data: Any
    batch_size: Any
    n_classes: int | None
    labelled: Tensor | None


@dataclass(frozen=True)
class Labels:
    """The labels of a recipe that learns from a few of them: a second stream of batches.

    Attributes:
        per_class: Examples of each class that keep their labels, chosen by `ebmlearn.data.labelled`; 0: none,
            and the method finds clusters.
        batch_size: Labelled images in a batch, over all ranks.
        seed: Of the choice.
        attribute: Which of ``ebmlearn.data.CELEBA_ATTRIBUTES`` is the class; None: each image has one class.
        n_classes: Classes of the recipe's own data.
    """

    per_class: int
    batch_size: int
    seed: int = 0
    attribute: str | None = None
    n_classes: int = 10


@dataclass(frozen=True)
class Recipe:
    """A paper's setting, ready to run: ``python -m ebmlearn train NAME --out FOLDER``.

    Attributes:
        summary: One line: the method, the data, and what is special.
        source: Where the numbers come from: paper, and the code that was read.
        data: Name of the data set, for `ebmlearn.data.load`; or images of one's own, as `Recipe.load` takes.
        setup: From the shape ``(C, H, W)`` of an image, a ``partial`` of the method's class: nets and starts
            by position, settings by keyword, so that `Recipe.settings` can list them and
            `Recipe.with_settings` change them. With ``labels``, from the shape and the number of classes.
        sample: ``sample(method, n)`` gives ``n`` images of a trained method, shape ``(n, C, H, W)``,
            nominally in [-1, 1]. It uses the averages of the weights where the method keeps some. None: the
            method makes no images.
        batch_size: Images in a batch, over all ranks.
        steps: Number of iterations.
        n: Use the first ``n`` images only; None: all.
        size: Reduce images with a larger side to this one; None: as they are loaded.
        pad: Pixels of background (-1) added at each side, as papers do to make 28 x 28 into 32 x 32.
        channels: Of images of one's own, where ``data`` names such; None: those of the data set.
        labels: Of how many images the classes are learned, and how; None: it learns from images alone.
        supervised: It learns from all images with their classes, in batches ``(x, y)``; then ``setup`` takes
            the number of classes after the shape, as with ``labels``, which there are none of.
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
    setup: Callable[..., partial[Any]]
    sample: Callable[[Any, int], Tensor] | None
    batch_size: int
    steps: int
    n: int | None = None
    size: int | None = None
    pad: int = 0
    channels: int | None = None
    labels: Labels | None = None
    supervised: bool = False
    expect: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    def method(self, shape: tuple[int, int, int], n_classes: int | None = None) -> Method:
        """The untrained method, for images of a shape ``(C, H, W)``, of so many classes where it has labels
        (None: as its own data).

        Raises:
            ValueError: If the method refuses a setting.
        """
        return settings.change(self._setup(shape, n_classes), self.changes)()

    def settings(self) -> dict[str, Any]:
        """All that `Recipe.with_settings` can change, by name, with the values of now: numbers and texts, and
        the chains, optimisers, schedules and functions of the method."""
        own = {name: getattr(self, name) for name in _FIELDS}
        own |= {name: getattr(self.labels, name.partition(".")[2]) for name in self._of_labels()}
        return own | settings.table(self.sketch())

    def _of_labels(self) -> list[str]:
        return [] if self.labels is None else [*_LABELS, _ATTRIBUTE]

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
        if self.labels is not None:
            given = {name: changes[name] for name in self._of_labels() if name in changes}
            short: dict[str, Any] = {
                name.partition(".")[2]: _attribute(value) if name == _ATTRIBUTE else _field(name, value)
                for name, value in given.items()
            }
            fields["labels"] = replace(self.labels, **short)
        known = [*_FIELDS, *self._of_labels()]
        rest = {name: value for name, value in changes.items() if name not in known}
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
        return settings.change(setup, self.changes, [*_FIELDS, *self._of_labels()])

    def _setup(self, shape: tuple[int, int, int], n_classes: int | None = None) -> partial[Any]:
        usual = [10] if self.supervised else [] if self.labels is None else [self.labels.n_classes]
        setup = self.setup(shape, *([n_classes] if usual and n_classes else usual))
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

    def classes(self, y: Tensor, data: str) -> tuple[Tensor, int]:
        """The class of each image, and the number of classes.

        Args:
            y: Labels of `Recipe.load`.
            data: The data set that they are of, as `Recipe.load` takes it.

        Raises:
            ValueError: If there are none, or several attributes and no word on which.
        """
        attribute = None if self.labels is None else self.labels.attribute
        if self.supervised and y.ndim == 2:
            raise ValueError(
                f"each image of {data} has {len(y.T)} attributes; this recipe learns one class of each"
            )
        if (y.ndim == 2) != (attribute is not None):
            kind = f"{len(y.T)} attributes" if y.ndim == 2 else "one class"
            advice = "one of them, such as Smiling" if y.ndim == 2 else "None"
            raise ValueError(
                f"{_ATTRIBUTE} is {attribute}, but each image of {data} has {kind}: --set {_ATTRIBUTE}= "
                f"takes {advice}"
            )
        if attribute is not None:
            return y[:, CELEBA_ATTRIBUTES.index(attribute)], 2
        if not y.any():
            raise ValueError(
                f"all images of {data} are of one class, so there are no labels to learn; give a folder with "
                "a sub-folder for each class, or --label-column of a set on the hub"
            )
        return y, SOURCES[data].n_classes if data in SOURCES else int(y.max()) + 1

    def streams(self, images: Images, data: str | None = None) -> Streams:
        """What `ebmlearn.train.fit` takes: the images; if it is supervised, with their classes; where it
        learns from some labels, with a second stream of some of them and their classes.

        Args:
            images: Of `Recipe.load`.
            data: The data set that they are of; None: the recipe's own.

        Raises:
            ValueError: If a class has too few images, or as `Recipe.classes`.
        """
        if self.supervised:
            y, n_classes = self.classes(images.y, data or self.data)
            return Streams((images.x, y), self.batch_size, n_classes, None)
        if self.labels is None or not self.labels.per_class:
            return Streams(images.x, self.batch_size, None, None)
        data, labels = data or self.data, self.labels
        y, n_classes = self.classes(images.y, data)
        chosen = labelled(y, labels.per_class, seed=labels.seed, n_classes=n_classes)
        if labels.batch_size > len(chosen):
            raise ValueError(
                f"labels.batch_size is {labels.batch_size}, but {labels.per_class} of each of {n_classes} "
                f"classes are {len(chosen)} labelled images; --set labels.batch_size={len(chosen)} at most"
            )
        few = (images.x[chosen], y[chosen])
        return Streams((images.x, few), (self.batch_size, labels.batch_size), n_classes, chosen)

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
        labels = self.labels and replace(self.labels, per_class=4, batch_size=8)
        return replace(self, batch_size=16, steps=20, n=256, size=16, pad=0, labels=labels)

    @torch.no_grad()
    def images(self, method: Method, n: int, *, progress: bool = False) -> Tensor:
        """``n`` images of a trained method, ``(n, C, H, W)``, made a batch at a time; on the CPU.

        Raises:
            ValueError: If the method makes none.
        """
        if self.sample is None:
            raise ValueError(
                "this recipe samples the weights of nets, and there is no image of a net to draw: `python -m "
                "ebmlearn evaluate RUN` says how right the nets are, in Python method.sample(n) draws them"
            )
        draw = self.sample
        sizes = [min(self.batch_size, n - start) for start in range(0, n, self.batch_size)]
        with evaluation_mode():
            bar = tqdm(sizes, leave=False, disable=not (progress and progress_enabled()))
            return torch.cat([draw(method, size).float().cpu() for size in bar])
