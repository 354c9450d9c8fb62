"""Training a recipe in a folder."""

import os
import sys
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmlearn import random, runs
from ebmlearn.commands._recipe import named, tell_changes
from ebmlearn.commands._results import GRID
from ebmlearn.data import own
from ebmlearn.progress import progress_enabled
from ebmlearn.recipes import Recipe, Streams
from ebmlearn.speed import Speed
from ebmlearn.train import Hook, Method, checkpoint, checksum, fit
from ebmlearn.train.describe import describe
from ebmlearn.train.ranks import RankLost, Ranks

TIMEOUT = 1800.0
"""Seconds that a rank waits for another: rank 0 decodes data, writes and judges while the others wait."""


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
    settings: dict[str, Any],
    speed: Speed,
    timeout: float = TIMEOUT,
) -> None:
    """Train a recipe in a folder; the arguments are those of the command line.

    A run that goes on keeps the settings that it was given, but for learning rates that are given anew.

    Raises:
        ValueError: If there is no such recipe, an argument is off, or the run to resume has other settings.
        FileExistsError: If ``out`` holds a run and ``resume`` is False, or it holds something else.
        ImportError: If a package is missing.
        RankLost: If another rank has ended, or has not come or answered within ``timeout`` seconds.
        Exception: What `Recipe.load` and `fit` raise.
    """
    given = {"--steps": steps, "--every": every, "--n-checkpoints": n_checkpoints}
    for option, value in given.items():
        if value is not None and value < 1:
            raise ValueError(f"{option} is {value}; expected at least 1")
    label, recipe, file = named(name, smoke=smoke)
    if not 0 < timeout < float("inf"):
        raise ValueError(f"--timeout is {timeout:g}; expected a number of seconds, more than 0")
    if settings.keys() & {"steps"} and steps is not None:
        raise ValueError(
            f"--steps {steps} and --set steps={settings['steps']} say the same; give one of them"
        )
    data = own.resolve(data or recipe.data)
    columns = {"image_column": image_column, "label_column": label_column}
    options = {"recipe": label, "smoke": smoke, "data": data, "seed": seed, **asdict(speed)}
    options |= {name: column for name, column in columns.items() if column}
    accelerator = _accelerator(timeout)
    ranks = Ranks(accelerator)
    old = ranks.on_main(lambda: _earlier(out, resume, options))
    recipe, settings = _with_settings(recipe, old, settings, out / "run.json")
    # the other ranks find it decoded in the cache
    images = ranks.main_first(lambda: recipe.load(data, image=image_column, label=label_column))
    x, streams = images.x, recipe.streams(images, data)
    usual = 0 if recipe.sample is None else 64 if smoke else 1000
    n, least = usual if criterion is None else criterion, max(20, 16 * x.shape[1] + 1)
    if n and recipe.sample is None:
        raise ValueError(f"--criterion is {n}, but this recipe makes no images to be compared; leave it out")
    if n and n < least:
        raise ValueError(f"--criterion is {n}; expected 0, for none, or at least {least} samples")
    random.seed(seed)
    method = recipe.method((x.shape[1], x.shape[2], x.shape[3]), streams.n_classes)
    if steps is None:
        steps = old["steps"] if old and "steps" not in settings else recipe.steps
    settings.pop("steps", None)  # of a run that goes on they may change, as --steps says
    session = {**runs.session(argv, accelerator), "set": settings, "file": file, "first_step": 1}
    run: dict[str, Any] = {
        "options": {**options, "set": settings},
        "file": file,
        "settings": {**method.settings(), "batch_size": str(streams.batch_size)},
        "data": {"images": len(x), "shape": list(x.shape[1:]), "sha256": checksum(x), **_labels(streams)},
        "steps": steps,
        "sessions": [*(old["sessions"] if old else []), session],
    }
    ranks.on_main(lambda: _begin(out / "run.json", run, old))
    every, note = every if every is not None else (10 if smoke else 1000), _Note(out / "run.json", run)
    fit(
        method,
        streams.data,
        steps=steps,
        batch_size=streams.batch_size,
        out=out,
        every=every,
        n_checkpoints=n_checkpoints,
        criterion=runs.CoarseDistance(lambda m: recipe.images(m, n), x[:10_000]) if n else None,
        resume=resume,
        new_lr=resume,  # _begin has compared them with those of the run
        accelerator=accelerator,
        speed=speed,
        hooks=[note, *_hooks(out, recipe, run, every)] if ranks.main else (),
    )
    if ranks.main and not note.written:
        print(f"{out} is at step {steps:,} of {steps:,}: nothing to do; --steps N goes on to step N")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _labels(streams: Streams) -> dict[str, Any]:
    """What ``run.json`` says of the labels that are used: how many, and which."""
    if streams.n_classes is not None and streams.labelled is None:
        return {"classes": streams.n_classes, "labels_sha256": checksum(streams.data[1])}
    if streams.labelled is None:
        return {}
    return {
        "classes": streams.n_classes,
        "labelled": len(streams.labelled),
        "labelled_sha256": checksum(streams.labelled),
    }


def _accelerator(timeout: float) -> Any:
    """What knows devices and ranks, where there is a GPU or a launcher; None: a plain run on the CPU. Ranks
    talk by NCCL on GPUs and by gloo on the CPU, and wait as long."""
    if "WORLD_SIZE" not in os.environ and not torch.cuda.is_available():
        return None
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError as error:
        advice = "pip install 'ebmlearn[devices]'"
        raise ImportError(f"a GPU or torchrun needs accelerate ({error}): {advice}") from error
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and missing:
        raise ValueError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but there is no {', '.join(missing)}: start several "
            "processes with torchrun, which sets them all, or unset WORLD_SIZE"
        )
    waits = InitProcessGroupKwargs(timeout=timedelta(seconds=timeout))
    try:  # without a GPU it makes ranks of CPU processes only if told
        return Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[waits])
    except torch.distributed.DistStoreError as error:
        raise RankLost(
            f"not all of {os.environ['WORLD_SIZE']} ranks have come within {timeout:g} s ({error}): start "
            "the others too, or give a longer --timeout"
        ) from error


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
    saved = {name: value for name, value in old["options"].items() if name != "set"}
    checkpoint.check_settings(_text(saved), _text(options), out / "run.json")
    return old


def _with_settings(
    recipe: Recipe, old: dict[str, Any] | None, given: dict[str, Any], path: Path
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with the settings of its run and those given now, and these settings.

    Raises:
        ValueError: If a setting that is given would change what the run is.
    """
    if old is None:
        return recipe.with_settings(given), dict(given)
    before, merged = old["options"]["set"], {**old["options"]["set"], **given}
    recipes = [recipe.with_settings(changes) for changes in (before, merged)]
    if given:
        saved, wanted = (
            {key: describe(value) for key, value in values.items() if _counts(key, values)}
            for values in (each.settings() for each in recipes)
        )
        checkpoint.check_settings(saved, wanted, path)
    return recipes[1], merged


def _counts(key: str, values: dict[str, Any]) -> bool:
    """Whether a run must keep a setting: all but learning rates and its length. Where something is inside of
    a setting, that says what differs."""
    whole = any(each.startswith(f"{key}.") for each in values)
    return not (whole or key == "steps" or key.partition(".")[0].startswith("lr"))


def _begin(path: Path, run: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Describe a new run; compare one that goes on with what it was."""
    if old is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        runs.write(path, run)
    else:
        saved, wanted = (each["settings"] | _text(each["data"]) for each in (old, run))
        said = run["options"]["set"] != old["options"]["set"]
        checkpoint.check_settings(saved, wanted, path, new_lr=said)
        tell_changes(old.get("file"), run["file"])
        then, now = old["sessions"][-1], run["sessions"][-1]
        changed = [key for key in ("versions", "git", "device") if then[key] != now[key]]
        if changed:
            print(f"note: other {' and '.join(changed)} than in the last session", file=sys.stderr)
    data, n, shape = run["options"]["data"], run["data"]["images"], tuple(run["data"]["shape"])
    few = f", {run['data']['labelled']:,} with labels" if "labelled" in run["data"] else ""
    few = f", of {run['data']['classes']} classes" if "labels_sha256" in run["data"] else few
    print(
        f"{run['options']['recipe']}: {n:,} images {shape} of {data}{few}, {run['steps']:,} steps", flush=True
    )


def _text(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


class _Note:
    """A hook that writes ``run.json`` at the first step: then fit holds the folder's lock, and a session
    counts."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path, self.run, self.written = path, run, False

    def __call__(self, step: int, method: Method, metrics: dict[str, Tensor]) -> None:
        if not self.written:
            self.run["sessions"][-1]["first_step"] = step
            runs.write(self.path, self.run)
            self.written = True


def _hooks(out: Path, recipe: Recipe, run: dict[str, Any], every: int) -> list[Hook]:
    """What rank 0 writes as training goes."""
    steps = run["steps"]
    hooks: list[Hook] = [runs.Trace(out / "trace.csv", every)]
    if recipe.sample is not None:
        draw = partial(recipe.images, n=GRID)
        hooks.append(runs.Grids(out / "samples", draw, every=every, last=steps))
    return hooks if progress_enabled() else [*hooks, runs.Log(steps, recipe.batch_size, every=every)]
