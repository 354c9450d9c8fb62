"""Checkpoints that survive a crash and restore a run bit for bit.

A file is written under a temporary name, forced to disk and renamed, so there is a whole old one or a whole
new one at any moment. It ends in the SHA-256 of what precedes it, and is refused if that does not match.
"""

import hashlib
import io
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from ebmlearn.files import write_whole

LR_OF = "lr of "
"""What the setting of a learning rate begins with; the name of its optimiser follows."""

_CODE = re.compile(r" \(code [0-9a-f]+ of Python [\d.]+\)")
_VERSION = re.compile(r"\(code [0-9a-f]+ of Python ([\d.]+)\)")
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
    write_whole(path, payload, hashlib.sha256(payload).digest())


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint written by `save`; runs no code from the file.

    Args:
        path: The file.
        device: Where its tensors go.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or holds anything but tensors, numbers and text.
    """
    content = path.read_bytes()
    payload, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError(
            f"the checkpoint {path} is damaged ({len(content)} bytes, checksum does not match) and "
            "was not loaded. Restore it from a copy"
        )
    try:
        return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except pickle.UnpicklingError:  # whose text advises to load it nonetheless
        raise ValueError(
            f"{path} holds other things than tensors, numbers and text, which might run code when they are "
            "read. It was not loaded, and no checkpoint of fit holds such things: find out where the file is "
            "from, and delete it"
        ) from None


def check_settings(
    saved: dict[str, str], wanted: dict[str, str], path: Path, *, new_lr: bool = False
) -> dict[str, tuple[str, str]]:
    """Refuse a checkpoint of another configuration.

    Args:
        saved: The settings of the checkpoint, as text.
        wanted: Those of this run.
        path: The file, for the message.
        new_lr: Whether learning rates may differ.

    Returns:
        The old and the new one of each learning rate that differs, by the name of its optimiser.

    Raises:
        ValueError: Naming every setting that differs and may not, with both values.
    """
    differ = [key for key in sorted(saved.keys() | wanted.keys()) if _differ(saved.get(key), wanted.get(key))]
    rates = [key for key in differ if key.startswith(LR_OF) and key in saved and key in wanted]
    refused = [key for key in differ if not (new_lr and key in rates)]
    if refused:
        lines = [
            f"  {key}: checkpoint {saved.get(key, '(absent)')} | this run {wanted.get(key, '(absent)')}"
            for key in refused
            if not any(key.startswith((f"{outer}.", f"{outer}[")) for outer in refused)  # which says it too
        ]
        advice = "Use the same settings, or another folder for a new run."
        if rates and not new_lr:
            advice += " Learning rates may change in a run that goes on, if you say so: new_lr=True."
        raise ValueError(
            f"the checkpoint {path} is of another configuration:\n" + "\n".join(lines) + f"\n{advice}"
        )
    return {key.removeprefix(LR_OF): (saved[key], wanted[key]) for key in rates}


def _differ(a: str | None, b: str | None) -> bool:
    """Whether settings differ. The code of functions of two versions of Python cannot be compared."""
    if a is None or b is None or a == b:
        return a != b
    if set(_VERSION.findall(a)) != set(_VERSION.findall(b)):
        return _CODE.sub("", a) != _CODE.sub("", b)
    return True
