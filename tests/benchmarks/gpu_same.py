"""Parts of ``make gpu`` that hold the GPU to the CPU: tests, kernels, methods, synchronisation, resume."""

import contextlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_rows import ROOT, TINY, Row, Rows, SameNoise, Waits, distance, each, held, tables
from torch import Tensor

import ebmlearn
from ebmlearn import fit, recipes
from ebmlearn.data import Images
from ebmlearn.energy import GRBM
from ebmlearn.nets import MLPEnergy
from ebmlearn.sample import run
from ebmlearn.sample._steps import Deferred, plain_step

DTYPES = {"float64": torch.float64, "float32": torch.float32}
APART = {"float64": 1e-6, "float32": 0.05}
"""Limits. In float32 rounding may turn a decision of a chain, or the sign of a slope that should be 0, which
Adam makes a whole step of; in float64 what is left is an error in the code."""


def tests(device: str, tiny: bool) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["-m", "pytest", "tests/viz" if tiny else "tests", "-q", "-m", "gpu"]
        command += ["-p", "no:cacheprovider", f"--junitxml={report}"]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
        yield outcome(ET.parse(report))


def outcome(report: Any) -> Row:
    """The row of a report of pytest."""
    suite = next(report.getroot().iter("testsuite"))
    bad = [c.get("name") for c in suite.iter("testcase") if {"failure", "error"} & {part.tag for part in c}]
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return {"name": "gpu", **counts, **({"error": f"failed: {', '.join(bad)}"} if bad else {})}


def energy(sampler: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return GRBM(2, 4) if sampler == "gibbs" else MLPEnergy(2, (32, 32), reference_std=2.0)


def kernels(device: str, tiny: bool) -> Rows:
    samplers, _ = tables()
    n = TINY if tiny else 20

    def end(name: str, where: str, dtype: torch.dtype, x: Tensor) -> Tensor:
        net = energy(name).to(where, dtype)
        torch.manual_seed(1)
        with SameNoise():
            return run(samplers[name].make(net), x.to(where), n)

    def row(name: str) -> Row:
        apart = {}
        for key, dtype in DTYPES.items():
            torch.manual_seed(2)
            x = torch.randn(64, 2).to(dtype)
            here, there = (end(name, where, dtype, x) for where in ("cpu", device))
            apart[key] = distance(here, there, x)
        return held(apart, APART)

    yield from each(samplers, row)


def methods(device: str, tiny: bool) -> Rows:
    _, cases = tables()

    def ends(name: str, where: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        case, before = cases[name], torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            torch.manual_seed(0)
            with SameNoise(), torch.device(where):  # what is no weight is made there as well
                method = case.make().to(where, dtype)
            start, batch = flat(method), move(case.batch(), where, dtype)
            torch.manual_seed(1)
            with SameNoise():
                for _ in range(case.steps):
                    method.step(batch)
        finally:
            torch.set_default_dtype(before)
        return start, flat(method)

    def row(name: str) -> Row:
        apart, starts = {}, {}
        for key, dtype in DTYPES.items():
            (start, here), (other, there) = (ends(name, where, dtype) for where in ("cpu", device))
            apart[key], starts[key] = distance(here, there, start), (start - other).abs().max().item()
        if max(starts.values()) > 1e-6:
            raise AssertionError(f"weights differ by {max(starts.values()):.2g} before the first step")
        return held(apart, APART)

    yield from each(cases, row)


def flat(method: Any) -> Tensor:
    return torch.cat([p.detach().cpu().flatten().clone() for p in method.parameters()])


def move(batch: Any, device: str, dtype: torch.dtype) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, dtype if batch.is_floating_point() else batch.dtype)
    return tuple(move(part, device, dtype) for part in batch)


def resume(device: str, tiny: bool) -> Rows:
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False

    def weights(recipe: recipes.Recipe, folder: Path, *parts: int) -> Tensor:
        streams = recipe.streams(pretended(recipe))
        for steps in parts:
            ebmlearn.seed(0)
            method = recipe.method(recipe.shape(), streams.n_classes).to(device)
            run = {"out": folder / str(len(parts)), "every": 2, "resume": True, "progress": False}
            fit(method, streams.data, steps=steps, batch_size=streams.batch_size, **run)
        return flat(method)

    def row(name: str) -> Row:
        recipe = recipes.RECIPES[name](smoke=True)
        with tempfile.TemporaryDirectory() as folder:
            whole, resumed = (weights(recipe, Path(folder), *parts) for parts in ((4,), (2, 4)))
        return {"weights": len(whole), **held({"differ": int((whole != resumed).sum())}, {"differ": 0})}

    names = list(recipes.RECIPES)
    yield from each([n for n in names if n.endswith("-mnist")] if tiny else names, row)


def pretended(recipe: recipes.Recipe) -> Images:
    """Images of noise, with classes where the recipe learns some, since data sets may not be at hand."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(64, *recipe.shape(), generator=draw) * 2 - 1
    if recipe.labels is not None and recipe.labels.attribute is not None:
        return Images(x, torch.randint(2, (64, 40), generator=draw))
    return Images(x, torch.arange(64) % 10)


def synchronisation(device: str, tiny: bool) -> Rows:
    samplers, _ = tables()

    def row(name: str) -> Row:
        net, x = energy(name).to(device), torch.randn(64, 2, device=device)
        kernel = samplers[name].make(net)
        run(kernel, x, 2)
        state, step = kernel.init(x), kernel.step
        if kernel.parts:  # as `run` does on a device that Python runs ahead of
            step = plain_step(kernel.parts, Deferred())
        with refusing(device), Waits() as waits:
            for _ in range(TINY if tiny else 20):
                state, _ = step(state)
        return held({"waits": waits.count}, {"waits": 0})

    yield from each(samplers, row)


@contextlib.contextmanager
def refusing(device: str) -> Iterator[None]:
    """In here, whatever makes the CPU wait for the GPU raises an error."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
