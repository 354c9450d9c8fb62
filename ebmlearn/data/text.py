"""Texts as token ids: ``load_text("names").x`` is (26545, 16) int64, one character a token."""

import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import torch
from torch import Tensor

from ebmlearn.data import cache
from ebmlearn.data.sources import data_folder


class TextSource(NamedTuple):
    """One file of text.

    Attributes:
        file: its name in the folder ``text``.
        url: where it is published.
        sha256: the checksum of its bytes.
    """

    file: str
    url: str
    sha256: str


TEXTS = {
    "names": TextSource(
        "names.txt",
        "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    ),
    "shakespeare": TextSource(
        "tinyshakespeare.txt",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


class Text(NamedTuple):
    """Lines of text as token ids.

    Attributes:
        x: (N, T) int64; each line ends with id 0, which also fills what is left of its row.
        alphabet: the character of each id; ``alphabet[0]`` is the line feed, the end of a line.
    """

    x: Tensor
    alphabet: str

    def strings(self, x: Tensor) -> list[str]:
        """Rows of ids ``(N, T)`` as strings, each up to its first end.

        >>> Text(torch.empty(0, 3), "\\nab").strings(torch.tensor([[2, 1, 0], [1, 1, 1]]))
        ['ba', 'aaa']
        """
        return ["".join(self.alphabet[i] for i in row).partition("\n")[0] for row in x.tolist()]


def load_text(name: str = "names", split: str = "train") -> Text:
    """Load a split of a text data set, in the order of its file.

    Args:
        name: ``"names"`` or ``"shakespeare"``.
        split: ``"train"`` or ``"test"``. Empty lines are left out, and lines that were there before (2,539
            names, 7,056 lines of Shakespeare), so that no test line is a training line; of the rest, every
            tenth is a test line.

    Returns:
        ``Text(x, alphabet)``, with ids and length the same in both splits: the longest line of the file and
        its end fill a row.

    Raises:
        ValueError: unknown ``name`` or ``split``.
        NotADirectoryError: ``EBMLEARN_DATA`` names no folder.
        OSError: the file is damaged: its checksum is not that of the published file.
        ConnectionError: the file is neither in the folder nor in the cache, and cannot be downloaded.
    """
    source = _source(name)
    if split not in ("train", "test"):
        raise ValueError(f"{name} has no split {split!r}: its splits are train, test")
    lines = [line for line in dict.fromkeys(_bytes(source).decode("ascii").splitlines()) if line]
    alphabet = "\n" + "".join(sorted(set("".join(lines))))
    chosen = [line for i, line in enumerate(lines) if (i % 10 == 9) == (split == "test")]
    x = torch.zeros(len(chosen), max(map(len, lines)) + 1, dtype=torch.int64)
    ids = {character: i for i, character in enumerate(alphabet)}
    for row, line in zip(x, chosen, strict=True):
        row[: len(line)] = torch.tensor([ids[character] for character in line])
    return Text(x, alphabet)


def is_local_text(name: str) -> bool:
    """Whether ``load_text(name)`` needs no network: its file is in ``EBMLEARN_DATA`` or in the cache.

    Raises:
        ValueError, NotADirectoryError: as ``load_text``.
    """
    return any(path.exists() for path in _places(_source(name)))


def _source(name: str) -> TextSource:
    if name not in TEXTS:
        raise ValueError(f"unknown text {name!r}: known are {', '.join(TEXTS)}")
    return TEXTS[name]


def _places(source: TextSource) -> list[Path]:
    """Where the file may lie, the cache last."""
    root = data_folder(f"text/{source.file}", "download the file")
    return [folder / "text" / source.file for folder in (root, cache.folder()) if folder is not None]


def _bytes(source: TextSource) -> bytes:
    places = _places(source)
    for path in places:
        if path.exists():
            return _checked(path.read_bytes(), source, f"delete {path} and copy it again from {source.url}")
    try:
        with urlopen(source.url, timeout=30) as reply:
            content = reply.read()
    except (URLError, TimeoutError) as error:
        raise ConnectionError(
            f"cannot download {source.url} ({error}), and there is no {' nor '.join(map(str, places))}."
            f" Without network, put the file there as text/{source.file} in a folder that EBMLEARN_DATA names"
        ) from error
    _checked(content, source, "what was downloaded is not kept: try again")
    cache.keep(places[-1], lambda file: file.write(content))
    return content


def _checked(content: bytes, source: TextSource, advice: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise OSError(
            f"{source.file} is damaged or another version: its SHA-256 is {found}, expected {source.sha256};"
            f" {advice}"
        )
    return content
