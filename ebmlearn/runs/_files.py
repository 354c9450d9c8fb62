"""``run.json``: what was run, when and with what."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import ebmlearn
from ebmlearn.files import write_whole


def session(argv: list[str], accelerator: Any) -> dict[str, Any]:
    """When, how, where and with what a command was run.

    Args:
        argv: Its arguments.
        accelerator: The ``accelerate.Accelerator`` of a run, or None.
    """
    cuda = torch.cuda.is_available()
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": argv,
        "ranks": 1 if accelerator is None else accelerator.num_processes,
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("ebmlearn", "torch", "numpy", "accelerate")},
        },
        "git": _revision(),
    }


def _version(package: str) -> str | None:
    if package == "ebmlearn":  # which may lie in a folder of its own, not installed
        return ebmlearn.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> dict[str, Any] | None:
    """Commit of the package's folder and whether it holds changes; None if git does not keep it."""
    here = Path(ebmlearn.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed package may lie inside the repository of something else.
        git("ls-files", "--error-unmatch", "__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "."))}
    except (OSError, subprocess.CalledProcessError):
        return None


def read(folder: str | Path) -> dict[str, Any]:
    """The ``run.json`` of a run.

    Raises:
        FileNotFoundError: If the folder holds no run.
        ValueError: If the file is damaged.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no run: there is no {path}. Runs are made by "
            "`python -m ebmlearn train NAME --out FOLDER`"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); the checkpoints beside it may be whole") from error
    missing = _missing(about, _CONTENT)
    if missing:
        raise ValueError(f"{path} is damaged ({missing}); the checkpoints beside it may be whole")
    about["options"].setdefault("set", {})
    return about


# What a run.json must have to be of use. Each session has more, which is shown and not used.
_CONTENT: dict[str, Any] = {
    "options": {"recipe": str, "smoke": bool, "data": str, "seed": int},
    "settings": dict,
    "data": {"shape": list, "images": int, "sha256": str},
    "steps": int,
    "sessions": list,
}
_IF_THERE: dict[str, Any] = {"file": {"path": str, "sha256": str}, "set": dict}


def _missing(content: Any, wanted: dict[str, Any], name: str = "") -> str:
    """What is not as it must be; empty if all is."""
    if not isinstance(content, dict):
        return f"{name or 'it'} is no object"
    optional = {key: kind for key, kind in _IF_THERE.items() if content.get(key) is not None}
    for key, kind in {**wanted, **optional}.items():
        if key not in content:
            return f"there is no {name}{key}"
        if isinstance(kind, dict):
            fault = _missing(content[key], kind, f"{name}{key}.")
            if fault:
                return fault
        elif not isinstance(content[key], kind):
            return f"{name}{key} is {content[key]!r}"
    shape = content.get("shape", [1, 1, 1])
    if [type(side) for side in shape] != [int] * 3 or min(shape) < 1:
        return f"{name}shape is {shape!r}"
    if not all(isinstance(each, dict) for each in content.get("sessions", [])):
        return "a session is no object"
    return ""


def write(path: str | Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(Path(path), (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
