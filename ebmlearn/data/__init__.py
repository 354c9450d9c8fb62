"""Image data sets as plain tensors: ``load("mnist").x`` is (60000, 1, 28, 28) in [-1, 1].

=================  =========================  ===========  =====================================
name               train / valid / test       image        origin
=================  =========================  ===========  =====================================
``digits``         1,442 / - / 355            (1, 8, 8)    inside scikit-learn: no network, no file
``mnist``          60,000 / - / 10,000        (1, 28, 28)  hub, ``ylecun/mnist``
``fashion_mnist``  60,000 / - / 10,000        (1, 28, 28)  hub, ``zalando-datasets/fashion_mnist``
``cifar10``        50,000 / - / 10,000        (3, 32, 32)  hub, ``uoft-cs/cifar10``
``svhn``           73,257 / - / 26,032        (3, 32, 32)  hub, ``ufldl-stanford/svhn``
``celeba``         162,770 / 19,867 / 19,962  (3, 64, 64)  hub, ``flwrlabs/celeba``
=================  =========================  ===========  =====================================

A set of the Hugging Face hub is looked for, in this order, in

1. the folder that the environment variable ``EBMLEARN_DATA`` names, laid out like the hub
   (``<folder>/ylecun/mnist/mnist/train-00000-of-00001.parquet``);
2. the cache of decoded images, from an earlier load (then nothing is asked of the hub);
3. the hub, streamed by ``datasets``.

Images decoded from 1 and 3 are kept as uint8 in ``$EBMLEARN_CACHE``, else ``$XDG_CACHE_HOME/ebmlearn``, else
``~/.cache/ebmlearn``. An entry belongs to its source files (path, size, time of change) and to the way of
decoding; the folder may be deleted at any time. An environment variable set to the empty string counts as
not set. Licences and citations: ``data/README.md``. Needs ``pip install 'ebmlearn[data]'``.

Images of your own become the same ``Images(x, y)``:

=================  ====================================================================================
``from_folder``    a folder of PNG and JPEG files, with sub-folders as classes (``class_names``)
``from_array``     an array, a tensor, or a file ``.npy``, ``.npz``, ``.pt``
``from_hub``       any set of the hub, with the columns of its images and labels named
=================  ====================================================================================

``labelled(y, per_class)`` chooses the few examples that keep their labels where a method learns from few.

Files are taken to be hostile: nothing in them is run, only PNG and JPEG are decoded, after a look at size and
mode, and labels that are no whole numbers in range are refused. What is refused is named, with the reason.

``load_text`` loads texts as token ids, one character a token; it needs no other package.

===============  ======================  ===========================================================
name             train / test, length    origin
===============  ======================  ===========================================================
``names``        26,545 / 2,949, 16      first names, ``names.txt`` of github.com/karpathy/makemore
``shakespeare``  23,149 / 2,572, 64      lines of ``input.txt`` (tinyshakespeare) of karpathy/char-rnn
===============  ======================  ===========================================================

Their files are looked for in the folder of ``EBMLEARN_DATA``, as ``text/names.txt`` and
``text/tinyshakespeare.txt``, then in the cache; else they are downloaded once, into the cache. Wherever a
file comes from, its SHA-256 is checked.
"""

import difflib
from pathlib import Path

import numpy as np
import torch

from ebmlearn.data import cache
from ebmlearn.data.arrays import from_array
from ebmlearn.data.digits import read_digits
from ebmlearn.data.folder import class_names, from_folder
from ebmlearn.data.hub import from_hub, read_parquet
from ebmlearn.data.images import Images, area_average, to_unit
from ebmlearn.data.labels import labelled
from ebmlearn.data.sources import CELEBA_ATTRIBUTES, SOURCES, Source, local_files
from ebmlearn.data.text import Text, is_local_text, load_text

__all__ = [
    "CELEBA_ATTRIBUTES",
    "Images",
    "Text",
    "class_names",
    "from_array",
    "from_folder",
    "from_hub",
    "is_local",
    "is_local_text",
    "labelled",
    "load",
    "load_text",
    "to_unit",
]


def load(
    name: str = "digits", split: str = "train", *, n: int | None = None, size: int | None = None
) -> Images:
    """Load a split of a data set, in the order of its file.

    Args:
        name: ``"digits"``, ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``, ``"svhn"`` or ``"celeba"``.
        split: ``"train"`` or ``"test"``; CelebA has ``"valid"`` too, SVHN ``"extra"``. Digits has no official
            split: in each class, in the order of the file, every fifth image is a test image.
        n: only the first n images; no more than these are decoded. None: all.
        size: reduce the images to size x size by area averaging, after the scaling: a new pixel is the mean
            of the old image over the square it covers (no filter, no rounding back to integer levels).
            MNIST at ``size=14`` is therefore *not* MNIST: each pixel is the mean of a 2 x 2 block.
            None: the sizes of the table at the top of this module.

    Returns:
        ``Images(x, y)``. The integer level u in {0, ..., max} of a pixel becomes 2 u / max - 1, where max is
        255, for digits 16 (``to_unit``). CelebA is the central square of 148 in the 178 x 218 image (rows 35
        to 182, columns 15 to 162, counted from 0), area averaged to 64 x 64 and rounded to integer levels.
        All of CelebA's train split is 8 GB of float32, and SVHN's ``"extra"``, 531,131 easier images, 6.5 GB:
        give ``n``.

    Raises:
        ValueError: unknown ``name`` or ``split``; ``n`` or ``size`` out of range; a file of another layout; a
            label out of range.
        NotADirectoryError: ``EBMLEARN_DATA`` names no folder.
        FileNotFoundError: the folder holds only a part of the files of the split.
        OSError: a file of the folder, or an image in it, is damaged, or no PNG or JPEG.
        ConnectionError: the set is neither in the folder nor in the cache, and the hub cannot be read.
        ImportError: an optional dependency is missing.

    >>> x, y = load("digits", "test")
    >>> x.shape, x.dtype, x.min().item(), x.max().item()
    (torch.Size([355, 1, 8, 8]), torch.float32, -1.0, 1.0)
    >>> load("digits", n=3, size=4).x.shape
    torch.Size([3, 1, 4, 4])
    """
    source = _source(name, split)
    total = source.splits[split]
    if n is not None and (not isinstance(n, int) or not 1 <= n <= total):
        raise ValueError(f"n must be an integer from 1 to {total:,} (split {split!r} of {name}), got n={n!r}")
    if size is not None and (not isinstance(size, int) or not 1 <= size <= source.side):
        raise ValueError(
            f"size must be an integer from 1 to {source.side}, the side of the images of {name} (area"
            f" averaging only makes images smaller), got size={size!r}"
        )
    if source.repo:
        files = local_files(source.repo, (source.config,), split)

        def check(levels: np.ndarray, labels: np.ndarray) -> None:
            found = (levels.shape[1:], labels.shape[1:], levels.dtype, labels.dtype)
            shape = (source.shape[0], source.side, source.side)
            if (
                found != (shape, (len(source.labels),), np.uint8, np.uint8)
                or labels.max() >= source.n_classes
            ):
                raise ValueError(f"shapes, dtypes {found}, labels up to {labels.max()}")

        levels, labels = cache.through(
            _entry(source, name, split, files), n, lambda: read_parquet(source, split, n, files), check
        )
    else:
        levels, labels = read_digits(split)
    if n is not None and n > len(levels):
        raise ValueError(
            f"n={n:,}, but this copy of split {split!r} of {name} holds only {len(levels):,} images"
        )
    x = to_unit(torch.from_numpy(levels[:n]), source.max_level)
    y = torch.from_numpy(labels[:n]).long()
    return Images(x if size is None else area_average(x, size), y.squeeze(1) if y.shape[1] == 1 else y)


def is_local(name: str, split: str = "train", *, n: int | None = None) -> bool:
    """Whether ``load(name, split, n=n)`` needs no network: the set is in ``EBMLEARN_DATA`` or in the cache.

    Looks at file names and the head of a cache entry; imports neither ``datasets`` nor scikit-learn.

    Raises:
        ValueError, NotADirectoryError, FileNotFoundError: as ``load``.

    >>> is_local("digits")
    True
    """
    source = _source(name, split)
    if not source.repo or local_files(source.repo, (source.config,), split):
        return True
    return cache.holds(_entry(source, name, split, []), n)


def _entry(source: Source, name: str, split: str, files: list[Path]) -> Path:
    return cache.entry((source, split), f"{name}-{split}", files)


def _source(name: str, split: str) -> Source:
    if name not in SOURCES:
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), SOURCES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown data set {name!r}: known are {', '.join(SOURCES)}{hint} (images of your own:"
            " from_folder, from_array, from_hub; on the command line the path of a folder or a file)"
        )
    if split not in SOURCES[name].splits:
        raise ValueError(f"{name} has no split {split!r}: its splits are {', '.join(SOURCES[name].splits)}")
    return SOURCES[name]
