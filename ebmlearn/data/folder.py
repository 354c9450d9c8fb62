"""Images of a folder of PNG and JPEG files, with sub-folders as classes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from ebmlearn.data.checks import read_bytes
from ebmlearn.data.decode import collect
from ebmlearn.data.images import Images, check_size, spread
from ebmlearn.progress import progress_enabled

_NO_DATA = ("thumbs.db", "desktop.ini")  # what Windows puts beside images and hides
_SPLITS = {"train", "valid", "test"}


def from_folder(
    folder: str | Path,
    *,
    size: int | None = None,
    channels: int | None = None,
    background: float | None = None,
    n: int | None = None,
) -> Images:
    """Load the PNG and JPEG images of a folder.

    The folder holds images, or sub-folders that hold images, a class each. Names are sorted with their
    numbers as numbers (``2.png`` before ``10.png``). What a system hides is no data and left out: names that
    begin with a dot, ``Thumbs.db`` and ``desktop.ini``. Anything else that is no image is refused by name.
    Whether a file is an image is told by its content; no other format is decoded, whatever its name.

    Levels become [-1, 1] as in `ebmlearn.data.load`; 16 bits, CMYK and animations are refused. Photographs
    are turned as their camera noted (EXIF); of the pictures that a phone puts into one JPEG the first is
    taken; colour profiles are not applied.

    Args:
        folder: Its path. A link inside may lead to another file of the folder, not out of it.
        size: The central square of each image becomes (size, size): a new pixel is the mean of the old image
            over the area that it covers, without rounding. Smaller images are enlarged by the same rule,
            with a warning. None: as they are; then all must have one shape.
        channels: 1: grey, of colours 0.299 R + 0.587 G + 0.114 B, rounded to a level. 3: red, green and blue,
            of grey three times the same. None: as they are; a palette counts as colour.
        background: What shines through where an image is transparent, from -1 (black) to 1 (white). None: an
            image that is transparent somewhere is refused.
        n: Only n images, spread evenly over the files (with 100 of 1,000 every tenth, from the first), so
            that each class keeps its share. None: all.

    Returns:
        ``Images(x, y)``: the images in the order of their classes and names, and the number of the class of
        each, 0 everywhere without sub-folders. `ebmlearn.data.class_names` says which
        class that is.

    Raises:
        OSError: A file or folder cannot be read, is damaged, or is no PNG or JPEG; it is named.
        ValueError: An image is too large, of an odd mode or transparent, or two differ in shape; a folder
            is empty, or its layout another; an argument is out of range.
        ImportError: Pillow is missing.
    """
    check_size(size, channels, n, background)
    files = list_files(folder)
    chosen = [files[i] for i in spread(len(files), n)]
    bar = tqdm(chosen, "images", leave=False, delay=1, disable=not progress_enabled())
    content = ((repr(str(file)), read_bytes(file)) for _, file in bar)
    return Images(collect(content, size, channels, background), torch.tensor([label for label, _ in chosen]))


def class_names(folder: str | Path) -> tuple[str, ...]:
    """The sub-folders that `ebmlearn.data.from_folder` takes for classes, in the order of their numbers.

    Returns:
        Their names; one empty name where the folder holds images and no sub-folders.

    Raises:
        OSError, ValueError: As `ebmlearn.data.from_folder`, for what the names of files can tell.
    """
    return tuple(name for name, _ in _classes(Path(folder)))


def list_files(folder: str | Path) -> list[tuple[int, Path]]:
    """Number of the class and path of each file that `from_folder` reads, in its order."""
    return [(label, file) for label, (_, files) in enumerate(_classes(Path(folder))) for file in files]


def has_splits(folder: Path) -> bool:
    """Whether a folder holds a split in each sub-folder: ``train`` and ``test``, perhaps ``valid``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it holds both and something else.
    """
    names = {path.name for path in _visible(folder)}
    if not {"train", "test"} <= names:
        return False
    if odd := sorted(names - _SPLITS):
        raise ValueError(
            f"{str(folder)!r} has the sub-folders train and test, which are splits, and also {odd[0]!r}: move"
            " what is no split out of it"
        )
    return True


def _classes(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Name and files of each class."""
    if has_splits(folder):
        raise ValueError(
            f"{str(folder)!r} holds splits, not classes: give one of them, such as {str(folder / 'train')!r}"
        )
    root, paths = Path(os.path.realpath(folder)), _visible(folder)
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if path not in folders]
    if folders and files:
        raise ValueError(
            f"{str(folder)!r} holds files ({files[0].name!r}) beside sub-folders ({folders[0].name!r});"
            " expected images only, or a sub-folder of images for each class"
        )
    if not paths:
        raise ValueError(f"{str(folder)!r} holds no image")
    for name, inside in [(f.name, _visible(f)) for f in folders] or [("", files)]:
        if not inside:
            raise ValueError(f"the class folder {str(folder / name)!r} holds no image: fill or remove it")
        for path in inside:
            if not Path(os.path.realpath(path)).is_relative_to(root):
                raise ValueError(f"{str(path)!r} is a link that leads out of {str(folder)!r}: copy the file")
            if name and path.is_dir():
                raise ValueError(
                    f"{str(path)!r} is a folder inside of a class; expected images. The sub-folders of"
                    f" {str(folder)!r} are classes, and nothing is deeper"
                )
        yield name, inside


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, without what is hidden, sorted."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is no folder; expected a folder of images")
    try:
        paths = [p for p in folder.iterdir() if p.name[0] != "." and p.name.lower() not in _NO_DATA]
    except OSError as error:
        raise type(error)(f"cannot read the folder {str(folder)!r}: {error.strerror}") from error
    return sorted(paths, key=lambda path: (_parts(path.name), path.name))


def _parts(name: str) -> list[str | int]:
    """Text and numbers by turns, so that numbers compare as numbers."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]
