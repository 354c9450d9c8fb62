"""Rows of parquet files, local or of the hub, streamed by ``datasets`` and checked."""

import os
import socket
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np

from ebmlearn.data.checks import require, whole_labels


class Table(NamedTuple):
    """Columns of one split on the hub, or of the files of it that are here.

    Attributes:
        repo, config, split: what identifies it; ``config=None``: the only one.
        image, labels: names of the columns.
        n_classes: labels are 0 to n_classes - 1; None: unknown.
        files: the local files; none: the hub is read.
    """

    repo: str
    config: str | None
    split: str
    image: str
    labels: tuple[str, ...]
    n_classes: int | None
    files: list[Path]


def rows(table: Table, n: int | None) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """What messages call a row, the bytes of its image, and its labels (int64, checked)."""
    done = 0
    places: list[Path | None] = [*table.files] or [None]
    for file in places:
        start = 0
        for batch in [] if done == n else _batches(table, None if n is None else n - done, file):
            place = file or table.repo
            y = [
                whole_labels(batch[c], f"the labels in column {c!r} of {place}", table.n_classes, start)
                for c in table.labels
            ]
            for i, item in enumerate(batch[table.image]):
                where = f"row {start + i} of {place}"
                content = item.get("bytes") if isinstance(item, dict) else None
                if not isinstance(content, bytes):
                    raise ValueError(
                        f"{where} holds no image in column {table.image!r}, at most the name of a file,"
                        " which is not opened. Download such a set, and give its folder to `from_folder`"
                    )
                yield where, content, np.array([labels[i] for labels in y], dtype=np.int64)
            start += len(batch[table.image])
            done += len(batch[table.image])


def _batches(table: Table, n: int | None, file: Path | None) -> Iterator[dict[str, list[Any]]]:
    """Batches of rows of one local file, or of the hub."""
    datasets = require("datasets")
    require("PIL.Image")
    columns = [table.image, *table.labels]
    options: dict[str, Any] = {"split": table.split, "streaming": True}
    try:
        # Streaming leaves an empty lock file in cache_dir; without it, one in the user's cache for each path.
        with tempfile.TemporaryDirectory() as scratch:
            if file is None:
                _knock(datasets)
                stream = datasets.load_dataset(table.repo, table.config, cache_dir=scratch, **options)
            else:
                data_files = {table.split: escape(str(file))}
                stream = datasets.load_dataset("parquet", data_files=data_files, cache_dir=scratch, **options)
    except Exception as error:
        raise _unreadable(table, file, error) from error
    found = stream.column_names or columns
    if missing := [c for c in columns if c not in found]:
        raise ValueError(f"{file or table.repo} lacks the columns {missing}; it has {found}")
    try:
        stream = stream.select_columns(columns).cast_column(table.image, datasets.Image(decode=False))
        yield from (stream if n is None else stream.take(n)).iter(batch_size=500)
    except Exception as error:
        raise _unreadable(table, file, error) from error


def _knock(datasets: Any) -> None:
    """Ask for the hub once: ``datasets`` would try for half a minute before it says that there is no network.

    Raises:
        OSError: It cannot be reached. Behind a proxy, or when told to stay offline, nothing is asked.
    """
    address = urlsplit(datasets.config.HF_ENDPOINT)
    if (
        not datasets.config.HF_HUB_OFFLINE
        and address.scheme not in getproxies()
        and "all" not in getproxies()
    ):
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=10).close()


def _unreadable(table: Table, file: Path | None, error: Exception) -> Exception:
    cause = f"{type(error).__name__}: {error}"
    if file is not None:
        return OSError(
            f"cannot read {file} ({cause}). The file is damaged or cut off: delete it and copy it again from"
            f" https://huggingface.co/datasets/{table.repo}"
        )
    if isinstance(error, ValueError):  # the hub answered: there is no such split, or several configurations
        return ValueError(
            f"cannot load split {table.split!r} of {table.repo}, config {table.config!r}: {error}"
        )
    root = os.environ.get("EBMLEARN_DATA", "")
    wanted = f"{table.repo}/{table.config or 'data'}/{table.split}-00000-of-*.parquet"
    offline = [v for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(v)]
    return ConnectionError(
        f"cannot load split {table.split!r} of {table.repo}. Looked in (1) the folder EBMLEARN_DATA: "
        + (f"no {Path(root, wanted)}" if root else "the variable is not set")
        + f"; (2) the Hugging Face hub: {cause}. Without network, copy {wanted} from the hub into a folder"
        " and let EBMLEARN_DATA name that folder. With network, unset HF_HUB_OFFLINE and HF_DATASETS_OFFLINE"
        f" (set now: {', '.join(offline) or 'neither'})"
    )
