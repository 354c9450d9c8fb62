"""Who takes part in the bake-off of chapter 21, in the plane.

Every method of `ebmlearn.recipes.plane` in the settings of its recipe,
the truth itself, and three rivals that need no energy: a Gaussian, a
kernel density estimate and a flow of splines. Where the packages ebmkit
and torchebm are installed, their trainers take part too, in the settings
that they document and in ours (`tests/benchmarks/learners.py`).
"""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ebmlearn as el
from arena import Contestant, Learned, Watch
from ebmlearn.energy import Gaussian, GaussianMixture
from ebmlearn.recipes.plane import PLANE, PlaneRecipe

N_FIT = 2000
"""Points that a formula is fitted to."""

BANDWIDTHS = 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56
"""Standard deviations that the kernel density estimate chooses from, in
units of x."""


LARGER = 4
"""How much larger the batches are of recipes without a chain, an update of
which costs a tenth of the gradients and less: so that nobody is limited by
the overhead of small updates."""

WITH_CHAIN = 10
"""Gradients a datum from which an update is said to have a chain."""

FLOW_BATCH = 1000
"""Data in an update of a flow: for its time, it makes few updates."""


def scaled(method: el.Method, scale: float) -> el.Method:
    """The method, untrained, with all its rates multiplied."""
    for name, rate in method.lr_schedules.items():
        method.lr_schedules[name] = partial(_times, scale, rate)
    return method


def _times(scale: float, rate: Callable[[int], float], t: int) -> float:
    return scale * rate(t)


def without_haste(recipe: PlaneRecipe) -> PlaneRecipe:
    """A recipe with larger batches, if it has no chain."""
    if recipe.gradients >= WITH_CHAIN * recipe.batch_size:
        return recipe
    if recipe.batch_size != 200:  # exact likelihood: its grid is the cost
        return recipe
    return dataclasses.replace(
        recipe,
        batch_size=LARGER * recipe.batch_size,
        gradients=LARGER * recipe.gradients,
    )


def by_recipe(
    recipe: PlaneRecipe,
    target: Any,
    updates: int,
    scale: float,
    watch: Watch | None = None,
) -> Learned:
    """Train a recipe of the plane."""
    made: list[Any] = []

    def make(*how: Any) -> el.Method:
        made.append(scaled(recipe.make(*how), scale))
        return made[0]

    def after(*_: Any) -> None:
        watch(lambda: recipe.model(made[0]))

    own = dataclasses.replace(recipe, make=make)
    own.train(target, steps=updates, hooks=[after] if watch else [])
    sample = recipe.sample and partial(recipe.sample, made[0])
    return Learned(recipe.model(made[0]), sample)


class FlowLikelihood(el.Method):
    """Maximum likelihood of a flow, which is all that a flow needs.

    Args:
        flow: The flow.
        lr: Learning rate.
    """

    def __init__(self, flow: el.nets.Flow, lr: Any) -> None:
        super().__init__()
        self.flow = flow
        self.add_optimizer("flow", flow.parameters(), lr, torch.optim.Adam)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One update on a batch ``(B, d)``; returns ``nats``."""
        nats = -self.flow.log_prob(batch).mean()
        self.update("flow", nats)
        return {"nats": nats.detach()}


def by_flow(
    target: Any, updates: int, scale: float, watch: Watch | None = None
) -> Learned:
    """A flow of rational-quadratic splines, from the package zuko."""
    import zuko

    x = target.sample(N_FIT)
    how = {"transforms": 3, "hidden_features": (32, 32), "passes": 2}
    flow = el.nets.ZukoFlow(zuko.flows.NSF(x[0].numel(), **how))
    rate = el.schedules.linear(3e-3 * scale, updates)
    method = FlowLikelihood(flow, rate)

    def energy(x: Tensor) -> Tensor:
        return -flow.log_prob(x)

    hooks = [lambda *_: watch(lambda: energy)] if watch else []
    how = {"steps": updates, "batch_size": FLOW_BATCH, "hooks": hooks}
    el.fit(method, target.sample, **how, progress=False)
    return Learned(energy, flow.sample)


def gaussian(
    target: Any, updates: int, scale: float, watch: Watch | None = None
) -> Learned:
    """The Gaussian with the moments of data."""
    x = target.sample(N_FIT)
    fitted = Gaussian(x.mean(0), x.T.cov())
    return Learned(fitted, fitted.sample)


def kernel_density(
    target: Any, updates: int, scale: float, watch: Watch | None = None
) -> Learned:
    """A Gaussian on each datum, as wide as other data like best."""
    x, held_out = target.sample(N_FIT), target.sample(N_FIT)
    estimates = [GaussianMixture(x, h) for h in BANDWIDTHS]
    best = max(estimates, key=lambda p: p.log_prob(held_out).mean().item())
    return Learned(best, best.sample)


def oracle(
    target: Any, updates: int, scale: float, watch: Watch | None = None
) -> Learned:
    """The truth itself: what the judge can say at best."""
    return Learned(target, target.sample)


class Enough(Exception):
    """Ends the run of a package that would go on for ever."""


def by_rival(
    key: tuple[str, str, str],
    target: Any,
    updates: int,
    scale: float,
    watch: Watch | None = None,
) -> Learned:
    """Train by another package, through the interface it documents."""
    from learners import AS_CHAINS, CHAINS, LEARNERS

    seen: list[Any] = []

    def after(energy: Any) -> None:
        seen.append(energy)
        if watch:
            watch(lambda: energy)
        if len(seen) == updates:
            raise Enough

    train, how = LEARNERS[key], {}
    if key[1] == "ours":
        rate = train.keywords.get("lr", AS_CHAINS["lr"])
        how = {"lr": scale * rate, "falling": updates}
        if key[2] != CHAINS:
            how["size"] = LARGER * train.keywords["size"]
    with contextlib.suppress(Enough):
        train(target, after, **how)
    return Learned(seen[-1])


def rivals() -> dict[str, Contestant]:
    """The trainers of other packages, as far as they are installed.

    They take part in the contest of seconds alone: with equal gradients,
    a package that makes the same updates can win or lose nothing.
    """
    scripts = str(Path(__file__).parents[1] / "tests/benchmarks")
    if scripts not in sys.path:
        sys.path.append(scripts)
    from learners import LEARNERS

    modules = {"ebmkit": "ebm", "torchebm": "torchebm"}
    found = {}
    for key in LEARNERS:
        package, settings, learner = key
        if package in modules and find_spec(modules[package]):
            tail = ", ours" if settings == "ours" else ""
            found[f"{package}{tail}: {learner}"] = Contestant(
                math.nan,
                partial(by_rival, key),
                ("seconds",),
                tuned=settings == "ours",
            )
    return found


def contestants() -> dict[str, Contestant]:
    """All of them, by name."""
    recipes = {name: without_haste(PLANE[name]) for name in PLANE}
    ours = {
        name: Contestant(recipe.gradients, partial(by_recipe, recipe))
        for name, recipe in recipes.items()
    }
    flow = (
        {"flow": Contestant(FLOW_BATCH, by_flow)}
        if find_spec("zuko")
        else {}
    )
    return {
        "oracle": Contestant(0, oracle, tuned=False),
        **ours,
        "Gaussian": Contestant(0, gaussian, tuned=False),
        "kernel density": Contestant(0, kernel_density, tuned=False),
        **flow,
        **rivals(),
    }
