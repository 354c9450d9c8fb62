"""Learned energies that come with the package: ``pretrained.load("digits")``.

==========  ============================================================================================
``digits``  Gaussian-Bernoulli machine on the digits of scikit-learn as vectors of 64 pixels, 16 hidden
            units, learned by its exact likelihood (chapter 4). Exact log Z, samples, Gibbs sweeps.
==========  ============================================================================================

On held-out digits, with uniform noise as wide as a level, its mean log-likelihood is -1.7 nats. A Gaussian
with all correlations has 2.3, which is better, and one of independent pixels -17.0: it is an energy to try
things on, with an exact answer to each, and not the best density of digits.

Beside each file of weights lies one that says where it comes from: the command that made it, date, seed,
versions, SHA-256, and its numbers, which a test computes again. `about` reads it. To make one anew::

    python -m ebmlearn.pretrained make digits --out FOLDER
"""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from ebmlearn import runs
from ebmlearn.architecture import describe
from ebmlearn.train import checkpoint
from ebmlearn.train.reuse import net_of

__all__ = ["NAMES", "about", "load", "make"]

NAMES = ("digits",)
"""Names that `load` knows."""

HERE = Path(__file__).parent


def load(name: str = "digits") -> nn.Module:
    """A learned energy, in evaluation mode and without gradients, but for those by its input.

    Args:
        name: One of `NAMES`.

    Raises:
        ValueError: If there is no such energy, or its file is not the one that was measured.

    Example:
        >>> energy = load("digits")
        >>> energy.sample(3).shape, f"{energy.log_z.item():.1f}"
        (torch.Size([3, 64]), '7.3')
    """
    _check(name)
    path, known = HERE / f"{name}.pt", about(name)["sha256"]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != known:
        raise ValueError(
            f"{path} has SHA-256 {found}; {name}.json beside it says {known}: install the package again"
        )
    return net_of(checkpoint.load(path), path, "energy")


def about(name: str = "digits") -> dict[str, Any]:
    """Where a learned energy comes from, and its numbers.

    Args:
        name: One of `NAMES`.

    Returns:
        ``command``, ``seed``, ``settings``, ``session`` (date, versions, machine), ``sha256`` and
        ``numbers``, all in nats.

    Raises:
        ValueError: If there is no such energy.
    """
    _check(name)
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def make(name: str, out: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Learn an energy anew and write its two files: in less than a minute on one core.

    Args:
        name: One of `NAMES`.
        out: Folder for the files; made if absent.
        seed: Of weights and order of the data.

    Returns:
        What `about` reads.

    Raises:
        ValueError: If there is no such energy.
        ImportError: If scikit-learn is missing, which has the digits.
    """
    from ebmlearn.pretrained import _digits

    _check(name)
    path = Path(out) / f"{name}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = _digits.split()
    energy = _digits.learn(parts.train, seed)
    weights = {f"energy.{key}": value for key, value in energy.state_dict().items()}
    checkpoint.save(path, {"architectures": {"energy": describe(energy)}, "method": weights})
    command = f"python -m ebmlearn.pretrained make {name} --out FOLDER --seed {seed}"
    found = {
        "command": command,
        "seed": seed,
        "settings": _digits.SETTINGS,
        "session": runs.session(command.split(), None),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "numbers": {key: round(value, 3) for key, value in _digits.measure(energy, *parts).items()},
    }
    runs.write(path.with_suffix(".json"), found)
    return found


def _check(name: str) -> None:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        raise ValueError(
            f"there is no pretrained energy {name!r}"
            + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(NAMES)}")
        )
