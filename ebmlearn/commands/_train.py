"""Training a recipe in a folder."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmlearn import random, runs
from ebmlearn.commands._results import GRID
from ebmlearn.data import own
from ebmlearn.progress import progress_enabled
from ebmlearn.recipes import Recipe, find
from ebmlearn.speed import Speed
from ebmlearn.train import Hook, Method, checkpoint, checksum, fit
from ebmlearn.train.ranks import Ranks


def train(
    name: str,
    out: Path,
    *,
    argv: list[str],
    smoke: bool = False,
    resume: bool = False,
    steps: int | None = None,
    data: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    seed: int = 0,
    every: int | None = None,
    n_checkpoints: int = 2,
    criterion: int | None = None,
    speed: Speed,
) -> None:
    """Train a recipe in a folder; the arguments are those of the command line.

    Raises:
        ValueError: If there is no such recipe, an argument is off, or the run to resume has other settings.
        FileExistsError: If ``out`` holds a run and ``resume`` is False, or it holds something else.
        ImportError: If a package is missing.
        Exception: What `Recipe.load` and `fit` raise.
    """
    recipe = find(name, smoke=smoke)
    data = own.resolve(data or recipe.data)
    columns = {"image_column": image_column, "label_column": label_column}
    options = {"recipe": name, "smoke": smoke, "data": data, "seed": seed, **asdict(speed)}
    options |= {name: column for name, column in columns.items() if column}
    accelerator = _accelerator()
    ranks = Ranks(accelerator)
    old = ranks.on_main(lambda: _earlier(out, resume, options))
    # the other ranks find it decoded in the cache
    x = ranks.main_first(lambda: recipe.load(data, image=image_column, label=label_column)).x
    n, least = criterion if criterion is not None else (64 if smoke else 1000), max(20, 16 * x.shape[1] + 1)
    if n and n < least:
        raise ValueError(f"--criterion is {n}; expected 0, for none, or at least {least} samples")
    random.seed(seed)
    method = recipe.method((x.shape[1], x.shape[2], x.shape[3]))
    steps = steps if steps is not None else (old["steps"] if old else recipe.steps)
    run: dict[str, Any] = {
        "options": options,
        "settings": {**method.settings(), "batch_size": str(recipe.batch_size)},
        "data": {"images": len(x), "shape": list(x.shape[1:]), "sha256": checksum(x)},
        "steps": steps,
        "sessions": [*(old["sessions"] if old else []), runs.session(argv, accelerator)],
    }
    ranks.on_main(lambda: _begin(out / "run.json", run, old))
    every = every if every is not None else (10 if smoke else 1000)
    fit(
        method,
        x,
        steps=steps,
        batch_size=recipe.batch_size,
        out=out,
        every=every,
        n_checkpoints=n_checkpoints,
        criterion=runs.CoarseDistance(lambda m: recipe.images(m, n), x[:10_000]) if n else None,
        resume=resume,
        accelerator=accelerator,
        speed=speed,
        hooks=_hooks(out, recipe, run, every) if ranks.main else (),
    )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _accelerator() -> Any:
    """What knows devices and ranks, where there is a GPU or a launcher; None: a plain run on the CPU."""
    if "WORLD_SIZE" not in os.environ and not torch.cuda.is_available():
        return None
    try:
        from accelerate import Accelerator
    except ImportError as error:
        advice = "pip install 'ebmlearn[devices]'"
        raise ImportError(f"a GPU or torchrun needs accelerate ({error}): {advice}") from error
    return Accelerator(cpu=not torch.cuda.is_available())  # else it makes no ranks of CPU processes


def _earlier(out: Path, resume: bool, options: dict[str, Any]) -> dict[str, Any] | None:
    """The ``run.json`` of a run that goes on; None for a new one. Refuses what would damage another."""
    # A run that ended before its first step may have left a lock, a temporary file and its description.
    content = sorted(p.name for p in out.glob("[!.]*") if p.suffix != ".tmp")
    if content in ([], ["run.json"]):
        return None
    if "run.json" not in content:
        raise FileExistsError(f"{out} is no run, but holds {content[0]}: give --out a new or empty folder")
    if not resume:
        raise FileExistsError(f"{out} holds a run: continue it with --resume, or give another --out")
    old = runs.read(out)
    checkpoint.check_settings(_text(old["options"]), _text(options), out / "run.json")
    return old


def _begin(path: Path, run: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Describe a new run; compare one that goes on with what it was."""
    if old is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write(path, run)
    else:
        saved, wanted = (each["settings"] | _text(each["data"]) for each in (old, run))
        checkpoint.check_settings(saved, wanted, path)
        then, now = old["sessions"][-1], run["sessions"][-1]
        changed = [key for key in ("versions", "git", "device") if then[key] != now[key]]
        if changed:
            print(f"note: other {' and '.join(changed)} than in the last session", file=sys.stderr)
    data, n, shape = run["options"]["data"], run["data"]["images"], tuple(run["data"]["shape"])
    print(f"{run['options']['recipe']}: {n:,} images {shape} of {data}, {run['steps']:,} steps", flush=True)


def _text(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _hooks(out: Path, recipe: Recipe, run: dict[str, Any], every: int) -> list[Hook]:
    """What rank 0 writes as training goes."""
    unwritten = [run]

    def note(step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        if unwritten:  # a session counts once fit holds the folder's lock
            runs.write(out / "run.json", unwritten.pop())

    steps = run["steps"]
    grids = runs.Grids(out / "samples", lambda m: recipe.images(m, GRID), every=every, last=steps)
    hooks: list[Hook] = [note, runs.Trace(out / "trace.csv", every), grids]
    return hooks if progress_enabled() else [*hooks, runs.Log(steps, recipe.batch_size, every=every)]
