"""The data sets, and where their files lie: ``SOURCES`` is the only list of them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_ATTRIBUTES = """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
    Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
    High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
    Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
    Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
#: The 40 attributes of CelebA, in the order of the columns of `Images.y`.
CELEBA_ATTRIBUTES: tuple[str, ...] = tuple(_ATTRIBUTES.split())


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        splits: number of images of each split.
        shape: (C, H, W) of an image in the file.
        max_level: the largest integer level of a pixel; the smallest is 0.
        repo, config: id and configuration on the hub; ``repo=""`` means that scikit-learn holds the set.
        image, labels: column of the images, and columns of the labels (several: ``y`` is (N, len(labels))).
        n_classes: labels are 0 to n_classes - 1.
        crop: side of the central square that is kept, or None for the whole image.
        side: side of the images that ``ebmlearn.data.load`` returns; smaller than the crop: area averaging.
    """

    splits: dict[str, int]
    shape: tuple[int, int, int]
    side: int
    max_level: int = 255
    repo: str = ""
    config: str = ""
    image: str = "image"
    labels: tuple[str, ...] = ("label",)
    n_classes: int = 10
    crop: int | None = None


SOURCES = {
    "digits": Source({"train": 1_442, "test": 355}, (1, 8, 8), 8, max_level=16),
    "mnist": Source({"train": 60_000, "test": 10_000}, (1, 28, 28), 28, repo="ylecun/mnist", config="mnist"),
    "fashion_mnist": Source(
        {"train": 60_000, "test": 10_000},
        (1, 28, 28),
        28,
        repo="zalando-datasets/fashion_mnist",
        config="fashion_mnist",
    ),
    "cifar10": Source(
        {"train": 50_000, "test": 10_000},
        (3, 32, 32),
        32,
        repo="uoft-cs/cifar10",
        config="plain_text",
        image="img",
    ),
    "svhn": Source(
        {"train": 73_257, "test": 26_032, "extra": 531_131},
        (3, 32, 32),
        32,
        repo="ufldl-stanford/svhn",
        config="cropped_digits",
    ),
    "celeba": Source(
        {"train": 162_770, "valid": 19_867, "test": 19_962},
        (3, 218, 178),
        64,
        repo="flwrlabs/celeba",
        config="img_align+identity+attr",
        labels=CELEBA_ATTRIBUTES,
        n_classes=2,
        crop=148,
    ),
}


def data_folder(content: str, otherwise: str) -> Path | None:
    """The folder that ``EBMLEARN_DATA`` names; None where it is not set.

    Args:
        content: What the folder should hold, for the error.
        otherwise: What happens without the variable, for the error.

    Raises:
        NotADirectoryError: ``EBMLEARN_DATA`` names something that is not a folder.
    """
    root = os.path.expanduser(os.environ.get("EBMLEARN_DATA", ""))
    if root and not Path(root).is_dir():
        raise NotADirectoryError(
            f"EBMLEARN_DATA={root!r} is not a folder; let it name the folder that holds {content}, or unset"
            f" it to {otherwise}"
        )
    return Path(root) if root else None


def local_files(repo: str, configs: tuple[str, ...], split: str) -> list[Path]:
    """The parquet files of a split in the folder that ``EBMLEARN_DATA`` names; empty when there are none.

    Args:
        repo: Id on the hub.
        configs: Sub-folders of the set to look in; the first that has files of the split counts.
        split: Name.

    Raises:
        NotADirectoryError: ``EBMLEARN_DATA`` names something that is not a folder.
        FileNotFoundError: some, but not all, of the numbered files of the split are there.
    """
    root = data_folder(
        "for instance, ylecun/mnist/mnist/train-00000-of-00001.parquet", "use the Hugging Face hub"
    )
    for folder in [] if root is None else [root / repo / config for config in configs]:
        if files := sorted(folder.glob(f"{split}-*-of-*.parquet")):
            return _whole_split(folder, split, files)
    return []


def _whole_split(folder: Path, split: str, files: list[Path]) -> list[Path]:
    numbered = re.compile(re.escape(split) + r"-[0-9]{5}-of-([0-9]{5})\.parquet")
    totals = {int(match[1]) for f in files if f.is_file() and (match := numbered.fullmatch(f.name))}
    total = max(totals, default=0)
    wanted = [folder / f"{split}-{i:05d}-of-{total:05d}.parquet" for i in range(total)]
    if files != wanted or not all(f.is_file() for f in files):
        odd = sorted({f.name for f in wanted if f.is_file()} ^ {f.name for f in [*wanted, *files]})
        more = f" and {len(odd) - 5:,} more" if len(odd) > 5 else ""
        raise FileNotFoundError(
            f"{folder} holds {len(files)} files of split {split!r}, which should be {total}; missing or not"
            f" of this set: {', '.join(odd[:5])}{more}. Copy the complete split from the hub"
        )
    return files
