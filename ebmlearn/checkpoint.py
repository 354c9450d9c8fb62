"""Checkpoints that survive a crash and restore a run bit for bit.

A file is written under a temporary name, forced to disk and renamed, so there is a whole old one or a whole
new one at any moment. It ends in the SHA-256 of what precedes it, and is refused if that does not match.
"""

import hashlib
import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

_DIGEST_SIZE = hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash at any moment leaves the previous one whole.

    Args:
        path: The file; its folder exists.
        state: Nested dicts, lists and tuples of tensors, numbers and strings.

    Raises:
        OSError: If it cannot be written (disk full, no permission); the previous file is untouched.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    payload = stream.getvalue()
    replace(path, payload, hashlib.sha256(payload).digest())


def replace(path: Path, *content: bytes) -> None:
    """Write a file under a temporary name and rename it: a crash leaves the old one or the new one, whole.

    Args:
        path: The file; its folder exists.
        *content: What it will hold, in parts.

    Raises:
        OSError: If it cannot be written; the previous file is untouched.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    # The rename itself must reach the disk; only POSIX can open a folder for that.
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint written by `save`; runs no code from the file.

    Args:
        path: The file.
        device: Where its tensors go.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    content = path.read_bytes()
    payload, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError(
            f"the checkpoint {path} is damaged ({len(content)} bytes, checksum does not match) and "
            "was not loaded. Restore it from a copy"
        )
    return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)


def rng_state() -> dict[str, Any]:
    """State of every random generator that training may use: torch (all devices), numpy and Python."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what `rng_state` gave."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])


@contextmanager
def rng_kept() -> Iterator[None]:
    """Whatever is drawn in here, afterwards every random generator is as it was."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


def check_settings(saved: dict[str, str], wanted: dict[str, str], path: Path) -> None:
    """Refuse a checkpoint of another configuration.

    Raises:
        ValueError: Naming every setting that differs, with both values.
    """
    differences = [
        f"  {key}: checkpoint {saved.get(key, '(absent)')} | this run {wanted.get(key, '(absent)')}"
        for key in sorted(saved.keys() | wanted.keys())
        if saved.get(key) != wanted.get(key)
    ]
    if differences:
        raise ValueError(
            f"the checkpoint {path} is of another configuration:\n" + "\n".join(differences) + "\n"
            "Use the same settings, or another folder for a new run."
        )
