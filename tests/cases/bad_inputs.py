"""Bad calls of every public function: a row for each, with arguments that work, and bad ones for their place.

One argument at a time is exchanged for a bad one. A bad call must raise an error with a sentence of ours that
names the argument, or says what the row says. What returns all the same is listed in `HARMLESS`, with what
makes it right.
"""

import functools
import importlib
import inspect
import io
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import ebmlearn as el
from ebmlearn import diagnostics, energy, nets, objectives, posteriors, sample, targets, unroll
from ebmlearn.evaluate import (
    ais,
    claims,
    exact,
    features,
    fisher,
    images,
    language,
    latent,
    linear,
    twosample,
)
from ebmlearn.sample import Chain, gibbs, hmc, mala, run, ula
from ebmlearn.schedules import describe_schedule, inverse

NAN, INF = math.nan, math.inf
AWAY = object()
"""In the place of a value: the argument is left out."""


class Row(NamedTuple):
    """A function, arguments with which it works, and bad values for some of them."""

    name: str
    covers: tuple[Any, ...]
    call: Callable[..., Any]
    good: dict[str, Any]
    wrong: dict[str, dict[str, Any]]
    says: dict[str, str]


class Case(NamedTuple):
    """A bad call."""

    name: str
    call: Callable[[], Any]
    says: str


ROWS: list[Row] = []
importlib.import_module("sklearn.neighbors")  # sets environment variables at its first import


def row(
    what: Any, good: dict[str, Any], *, call: Any = None, called: str = "", says: Any = (), **wrong: Any
) -> None:
    """Enter a function (or several) into the table.

    Args:
        what: The public function or class; several in a tuple.
        good: Arguments that work.
        call: What is called, if not the function itself.
        called: What the cases are called, if not as the function.
        says: What the message says, by argument, where it is not the argument's name.
        **wrong: Bad values of an argument by a word for each.
    """
    covers = what if isinstance(what, tuple) else (what,)
    name = called or getattr(covers[0], "__qualname__", str(covers[0]))
    ROWS.append(Row(name, covers, call or covers[0], good, wrong, dict(says)))


def cases() -> list[Case]:
    """All bad calls of the table."""
    found = []
    for r in ROWS:
        for argument, values in r.wrong.items():
            for word, value in values.items():
                kwargs = {k: v for k, v in {**r.good, argument: value}.items() if v is not AWAY}
                says = r.says.get(f"{argument}: {word}", r.says.get(argument, rf"\b{argument}\b"))
                found.append(Case(f"{r.name}({argument}: {word})", partial(r.call, **kwargs), says))
    return found


# what is wrong with numbers; filled by hand below, a line a row as far as it goes
# fmt: off


def without(values: dict[str, Any], *words: str) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in words}


COUNT = {"0": 0, "-1": -1, "1.5": 1.5, "True": True, "'2'": "2", "None": None, "nan": NAN}
COUNT_OR_NONE = without(COUNT, "None")
COUNT_FROM_0 = without(COUNT, "0")
POSITIVE = {"0": 0, "-1.0": -1.0, "nan": NAN, "inf": INF, "'0.1'": "0.1", "None": None, "list": [0.1],
    "1j": 1j}
POSITIVE_OR_NONE = without(POSITIVE, "None")
NOT_NEGATIVE = without(POSITIVE, "0")
INSIDE = POSITIVE | {"1.5": 1.5, "1": 1.0}  # in (0, 1)
SHARE = NOT_NEGATIVE | {"1.5": 1.5}  # in [0, 1]
FINITE = {"nan": NAN, "inf": INF, "'1'": "1", "None": None}
BOX = {"reversed": (1.0, -1.0), "empty": (1.0, 1.0), "nan": (NAN, 1.0), "infinite": (-INF, INF),
    "one number": (1.0,), "three numbers": (0.0, 1.0, 2.0), "a number": 4.0, "a string": "ab"}
SIZES = {"0": (0,), "-1": (-1, 2), "1.5": (1.5,), "a number": 3, "a string": "ab", "None": None}

# what is wrong with things

FUNCTION = {"None": None, "a number": 3.0, "a string": "ula"}
MODULE = {"None": None, "a function": lambda x: x.sum(1), "a class": nn.Linear, "a string": "net"}
GENERATOR = {"a seed": 0, "of numpy": np.random.default_rng(0), "a string": "cpu"}
ACTIVATION = {"an activation itself": nn.SiLU(), "a string": "relu", "None": None}
THING = {"None": None, "a number": 1.0, "a string": "x", "a list": [1]}


def x_of(*shape: int) -> torch.Tensor:
    """A fixed batch."""
    n = math.prod(shape)
    return ((torch.arange(n) * 0.618).frac() * 2 - 1).reshape(shape)


X = x_of(8, 2)
IMAGES = x_of(8, 1, 8, 8)
NO_TENSOR = {"an array": X.numpy(), "a list": X.tolist(), "None": None, "a string": "x"}
NO_FLOATS = {"integers": X.long(), "booleans": X > 0, "complex": X + 1j}
NO_BATCH = {"one point": X[0], "a number": X[0, 0]}
NOT_FINITE = {"nan": torch.full((8, 2), NAN), "inf": X / 0}
POINTS = NO_TENSOR | NO_FLOATS | NO_BATCH | {"empty": X[:0]}
OTHER_EVENT = {"1 coordinate": X[:, :1], "3 coordinates": x_of(8, 3), "images": IMAGES}


def standard(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x.square().flatten(1).sum(1)


VALUES = {"None": None, "a string": "energy", "a number": 1.0, "(B, 1)": lambda x: x.square().sum(1,
    keepdim=True), "(B, d)": lambda x: x.square(), "a scalar": lambda x: x.square().sum(), "an array": lambda
    x: x.detach().numpy().sum(1), "returns None": lambda x: None, "returns integers": lambda
    x: x.sum(1).long()}
SLOPES = VALUES | {"detached": lambda x: standard(x).detach(), "a constant": lambda x: torch.zeros(len(x))}
TABLES = without(VALUES, "returns integers", "an array") | {"nan": lambda x: standard(x) * NAN, "-inf": lambda
    x: standard(x) - INF, "+inf": lambda x: standard(x) + INF}
ENERGY_SAYS = {"energy": "energy"}
NET = nets.MLPEnergy(2, (4,), reference_std=1.0)
NORMAL = energy.Gaussian(torch.zeros(2), torch.eye(2))

# energy

row(energy.energy_at, {"energy": standard, "x": X}, says=ENERGY_SAYS, energy=VALUES, x=NO_TENSOR | NO_BATCH)
row(energy.grad, {"energy": standard, "x": X}, says=ENERGY_SAYS, energy=SLOPES, x=NO_TENSOR | NO_FLOATS |
    NO_BATCH)
row(energy.grad, {"x": X}, call=partial(energy.grad, NET), called="grad of a net",
    says={"x: 3 coordinates": "dim=2", "x: images": "dim=2", "x: 1 coordinate": "dim=2"}, x=NO_TENSOR |
    NO_FLOATS | NO_BATCH | OTHER_EVENT | {"float64": X.double()})
EYE = torch.eye(2)
row(energy.Gaussian, {"mean": torch.zeros(2), "cov": EYE}, mean=without(NO_TENSOR, "an array") |
    {"integers": torch.zeros(2).long(), "nan": torch.full((2,), NAN), "empty": X[:0, 0]}, cov=NO_TENSOR |
    {"3 x 3": torch.eye(3), "a vector": torch.ones(2), "negative": -EYE, "zero": 0 * EYE,
    "not symmetric": torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "nan": EYE * NAN, "integers": EYE.long()})
row(energy.GaussianMixture, {"means": X, "std": 1.0, "weights": torch.ones(8)}, means=NO_TENSOR | NO_FLOATS |
    NOT_FINITE | {"one point": X[0], "empty": X[:0]}, std=POSITIVE | {"3 of 8": torch.ones(3),
    "a column": torch.ones(8, 1), "a negative": -torch.ones(8)}, weights={"3 of 8": torch.ones(3),
    "a zero": torch.zeros(8), "nan": torch.full((8,), NAN), "a list": [1.0] * 8,
    "a negative": torch.arange(-1.0, 7)})
row(energy.Ring, {"radius": 2.0, "width": 0.3}, radius=POSITIVE, width=POSITIVE)
row(energy.DoubleWell, {"barrier": 4.0, "position": 1.5, "dim": 2}, barrier=POSITIVE, position=POSITIVE,
    dim=COUNT)
row(energy.GRBM, {"n_visible": 2, "n_hidden": 3, "std": 1.0}, n_visible=COUNT, n_hidden=COUNT, std=POSITIVE |
    {"3 of 2": torch.ones(3), "nan of 2": torch.full((2,), NAN)})
ZEROS = {"weight": torch.zeros(2, 3), "visible_bias": torch.zeros(2), "hidden_bias": torch.zeros(3),
    "std": 1.0}
row(energy.GRBM.from_parameters, ZEROS | {"coupling": "x", "hidden": (0, 1)}, weight=NO_TENSOR |
    {"3 x 2": torch.zeros(3, 2), "a vector": torch.zeros(2)}, visible_bias={"a list": [0.0, 0.0],
    "3 of 2": torch.zeros(3), "integers": torch.zeros(2).long()}, hidden_bias={"2 of 3": torch.zeros(2),
    "None": None}, std={"0": 0.0, "-1": -1.0, "3 of 2": torch.ones(3)}, coupling={"misspelt": "x/sigma",
    "None": None}, hidden={"(0, 2)": (0, 2), "(1, 0)": (1, 0)})
GRBM = energy.GRBM(2, 3)
row(energy.GRBM.match_moments, {"x": X, "std_scale": 1.0}, call=energy.GRBM(2, 3).match_moments, x=NO_TENSOR |
    NO_BATCH | OTHER_EVENT | {"constant": torch.ones(8, 2), "nan": X * NAN}, std_scale=POSITIVE,
    says={"x: constant": "constant", "x: nan": "not finite"})
row(energy.GRBM.tempered, {"beta": 0.5}, call=GRBM.tempered, beta=NOT_NEGATIVE)
row(energy.GRBM.visible_mean, {"h": torch.zeros(8, 3)}, call=GRBM.visible_mean, h={"2 of 3": X, "a list": [[0,
    1, 0]], "one": torch.zeros(3)})
row(energy.GRBM.joint, {"x": X, "h": torch.zeros(8, 3)}, call=GRBM.joint, x=OTHER_EVENT, h={"2 of 3": X,
    "one": torch.zeros(3)})

EXACT = {"Gaussian": NORMAL, "GaussianMixture": energy.GaussianMixture(X, 1.0), "Ring": energy.Ring(2.0, 0.3),
    "DoubleWell": energy.DoubleWell(), "GRBM": GRBM, "rings": targets.rings(),
    "checkerboard": targets.checkerboard(), "pinwheel": targets.pinwheel(), "funnel": targets.funnel(),
    "banana": targets.banana(),
    "RealNVP": nets.RealNVP((2,), 2, 4)}
for _name, _energy in EXACT.items():
    row((energy.ExactEnergy, targets.checkerboard), {"x": X}, call=_energy.log_prob,
        called=f"{_name}.log_prob", x={"an array": X.numpy(), "one point": X[0]} | without(OTHER_EVENT,
        "images"))
    row(energy.ExactEnergy, {"n": 3, "generator": None}, call=_energy.sample, called=f"{_name}.sample",
        n=COUNT_FROM_0, generator=GENERATOR)

# targets

row(targets.rings, {"radii": (1.0, 2.0), "std": 0.1}, says={"radii": "radi"}, radii={"none": (), "0": (0.0,),
    "nan": (NAN,), "a number": 1.0, "a string": "12", "None": None}, std=POSITIVE)
row(targets.pinwheel, {"arms": 5}, arms=COUNT, radius=FINITE, radial_std=POSITIVE, tangential_std=POSITIVE,
    twist=FINITE)
row(targets.eight_gaussians, {}, radius=FINITE, std=POSITIVE)
row(targets.twenty_five_gaussians, {"weights": torch.ones(25)}, spacing=FINITE, std=POSITIVE,
    weights=without(NO_TENSOR, "None") | {"24 of 25": torch.ones(24), "a zero": torch.eye(25)[0],
    "a column": torch.ones(25, 1), "nan": torch.full((25,), NAN)})
row((targets.four_weighted_gaussians,), {"n": 3}, call=targets.four_weighted_gaussians().sample,
    n=COUNT_FROM_0)
row(targets.two_moons, {}, std=POSITIVE, nodes=COUNT)
row(targets.swiss_roll, {}, std=POSITIVE, nodes=COUNT)
row(targets.correlated_gaussian, {}, dim=COUNT | {"1": 1}, correlation=FINITE | {"1": 1.0, "-2": -2.0})
row(targets.banana, {}, std={"a number": 1.0, "one": (1.0,), "three": (1.0, 0.2, 0.2), "None": None,
    "a string": "ab", "0": (0.0, 0.2), "-1": (1.0, -1.0), "inf": (INF, 0.2), "nan": (1.0, NAN)}, bend=FINITE)
row(targets.funnel, {}, dim=COUNT | {"1": 1}, std=POSITIVE | {"1000": 1000.0})
row(targets.phrase_book, {}, n_phrases=COUNT, length=COUNT, n_words=COUNT | {"1": 1}, slip=INSIDE)
row(targets.phrase_book, {"length": 2}, called="a long phrase_book", says={"length": "too many"},
    length={"100": 100})
row(targets.topic_corpus, {"n_words": 4, "length": 3}, n_topics=COUNT | {"1": 1}, n_words=COUNT | {"1": 1},
    length=COUNT, spread=POSITIVE, shares={"none": (), "a number": 0.3, "1": (0.3, 1.0), "nan": (NAN,),
    "a string": "ab"})
row(targets.mixed_table, {}, n_classes=COUNT | {"1": 1}, n_parts=COUNT, n_numbers=COUNT,
    n_binary=COUNT_FROM_0, spread=POSITIVE)
for _t in (targets.topic_corpus(2, 4, 3), targets.mixed_table(2, 1, 3, 1)):
    _name = type(_t).__name__.lstrip("_")
    row(type(_t), {"n": 2, "generator": None}, call=_t.labelled, called=f"{_name}.labelled", n=COUNT_FROM_0,
        generator=GENERATOR)
    row(type(_t), {"n": 2, "generator": None}, call=_t.bayes_accuracy, called=f"{_name}.bayes_accuracy",
        n=COUNT | {"1": 1}, generator=GENERATOR)
    row(type(_t), {"x": torch.tensor([[3.0, 0, 0, 0]])}, call=_t.probabilities, called=_name, x={"3 columns":
        torch.ones(2, 3), "halves": torch.full((2, 4), 0.5), "nan": torch.full((2, 4), NAN), "a list": [[3]]})
row(targets.phrase_book, {"x": torch.zeros(3, 4).long()}, call=targets.phrase_book(), called="phrase_book()",
    says={"x": "x"}, x={"floats": torch.zeros(3, 4), "unknown words": torch.full((3, 4), 9),
    "5 words": torch.zeros(3, 5).long(), "a list": [[0, 1, 2, 3]]})

# samplers

STEP = {"step_size": POSITIVE | {"1e20": 1e20, "a schedule of None": lambda t: None,
    "a schedule of -1": lambda t: -1.0, "a schedule of 'a'": lambda t: "a"}, "energy": SLOPES | {"nan": lambda
    x: standard(x) * NAN}, "x": NO_TENSOR | NO_FLOATS | {"a number": X[0, 0], "bfloat16": X.bfloat16(),
    "float16": X.half(), "nan": X * NAN, "inf": X / 0}, "generator": GENERATOR, "bounds": without(BOX,
    "infinite")}
STEP_SAYS = {"energy": "energy|chain", "energy: nan": "not finite|undefined",
    "x: nan": "not finite|undefined", "x: inf": "not finite|undefined"}
GOOD_STEP = {"energy": standard, "x": X, "step_size": 0.1, "generator": None, "bounds": (-5.0, 5.0)}


def after_steps(make: Callable[..., Any], energy: Any, x: Any, **settings: Any) -> torch.Tensor:
    return run(make(energy, **settings), x, 3)


row(ula, GOOD_STEP, call=partial(after_steps, ula), says=STEP_SAYS, noise_scale=without(NOT_NEGATIVE, "None"),
    **STEP)
row(ula, {"energy": standard, "x": X, "step_size": 0.1}, call=partial(after_steps, ula),
    called="ula, clamped", clamp=without(BOX, "infinite"), noise={"a number": 1.0, "a string": "normal"},
    bounds={"infinite": (0.0, INF)})
row(ula, {"energy": standard, "step_size": 0.1, "clamp": (-1, 1), "bounds": None},
    called="ula, twice confined", bounds={"with clamp": (-1, 1)})
row(mala, GOOD_STEP, call=partial(after_steps, mala), says=STEP_SAYS, noise_scale=without(POSITIVE, "None"),
    **STEP)
row(hmc, GOOD_STEP | {"n_leapfrog": 2}, call=partial(after_steps, hmc), says=STEP_SAYS, n_leapfrog=COUNT,
    temperature=POSITIVE, persistence=SHARE | {"1": 1.0}, **STEP)
row((gibbs, sample.GibbsEnergy), {"energy": GRBM, "x": X, "generator": None}, call=partial(after_steps,
    gibbs), says={"energy": "gibbs_sweep", "x: nan": "not finite", "x: inf": "not finite"},
    energy=without(VALUES, "(B, d)"), x=NO_TENSOR | {"nan": X * NAN, "inf": X / 0, "3 coordinates": x_of(8,
    3)}, generator=GENERATOR)
row((run, sample.Kernel), {"kernel": ula(standard, step_size=0.1), "x": X, "n_steps": 4},
    kernel={"ula itself": ula, "None": None, "an energy": standard, "a chain": Chain(ula, n_steps=1,
    step_size=0.1)}, x=NO_TENSOR, n_steps=COUNT_FROM_0, speed={"a string": "bf16", "a number": 10,
    "True": True})
row(run, {"kernel": ula(standard, step_size=0.1), "x": X, "n_steps": 4, "keep": sample.positions, "every": 2},
    called="run with keep", keep={"a string": "positions", "True": True}, every=COUNT | {"5": 5})
for _kernel in (gibbs, ula):
    _k = gibbs(GRBM) if _kernel is gibbs else ula(standard, step_size=0.1)
    for _keep in (diagnostics.displacement, diagnostics.acceptance, diagnostics.mean_energy):
        if _kernel is gibbs or _keep is diagnostics.acceptance:
            row(_keep, {"n_steps": 2, "keep": sample.positions}, call=partial(run, _k, X),
                called=f"run({_kernel.__name__}, {_keep.__name__})", says={"keep": "a kernel|kernel"},
                keep={"of another kernel": _keep})
row(sample.langevin, GOOD_STEP | {"n_steps": 2}, says=STEP_SAYS | {"step_sise": "step_sise"},
    n_steps=COUNT_FROM_0, step_sise={"misspelt": 0.1}, **without(STEP, "generator"))
row(Chain, {"kernel": ula, "n_steps": 3, "step_size": 0.1}, kernel=FUNCTION | {"a kernel": ula(standard,
    step_size=0.1)}, n_steps=COUNT, step_size=without(POSITIVE, "1j") | {"left out": AWAY, "1e20": 1e20},
    step_sise={"misspelt": 0.1}, noise_scale={"-1": -1.0, "nan": NAN}, temperature={"unknown": 1.0})
row(Chain, {"kernel": hmc, "n_steps": 3, "step_size": 0.1, "n_leapfrog": 2}, called="Chain of hmc",
    n_leapfrog=COUNT | {"left out": AWAY}, persistence={"1": 1.0, "'a'": "a"}, noise_scale={"unknown": 0.1})
row(Chain.__call__, {"energy": standard, "x": X}, call=Chain(mala, n_steps=2, step_size=0.1),
    says={"energy": "energy"}, energy=SLOPES, x=NO_TENSOR | {"a number": X[0, 0]},
    keep={"a string": "positions"})
row(Chain.replace, {}, call=Chain(mala, n_steps=2, step_size=0.1).replace, n_steps=COUNT, step_size=POSITIVE,
    steps={"unknown": 1})
row(sample.adapt_step_size, {"kernel": partial(mala, NORMAL), "x": X, "step_size": 0.5, "target": 0.6,
    "n_steps": 60}, says={"kernel: unadjusted": "unadjusted"}, kernel=FUNCTION | {"unadjusted": partial(ula,
    NORMAL)}, x=NO_TENSOR | NO_FLOATS, step_size=POSITIVE, target=INSIDE, n_steps=COUNT)
row(sample.adapt_step_size, {"kernel": partial(mala, NORMAL), "x": X, "step_size": 0.5, "target": 0.6,
    "n_steps": 50}, called="adapt_step_size from far", says={"step_size": "not settled"},
    step_size={"1e-30": 1e-30})
row(sample.langevin_schedules, {"step_size": 0.1, "noise_scale": None}, step_size=POSITIVE | {"1e20": 1e20},
    noise_scale=without(NOT_NEGATIVE, "None"))
row(sample.NoiseStart, {}, law={"misspelt": "gaussian", "None": None, "a number": 1}, scale=POSITIVE,
    event_shape=without(SIZES, "None"))
row(sample.NoiseStart.sample, {"n": 3}, call=sample.NoiseStart(event_shape=(2,)).sample, n=COUNT_FROM_0)
row(sample.NoiseStart.draw, {"x_data": X}, call=sample.NoiseStart().draw, x_data=NO_TENSOR | NO_FLOATS)
row((sample.DataStart, sample.Start), {"x_data": X}, call=sample.DataStart().draw, x_data=NO_TENSOR)
row(sample.ReplayBuffer, {"x": X, "noise": sample.NoiseStart()}, says={"noise": "noise"}, x=POINTS |
    NOT_FINITE, restart=SHARE, noise={"a number": 1.0, "a string": "normal",
    "a generator": torch.Generator()})
row(sample.ReplayBuffer, {"x": X, "restart": 0.0}, called="ReplayBuffer without noise", restart={"0.5": 0.5})
row(sample.ReplayBuffer.draw, {"x_data": X}, call=lambda x_data: sample.ReplayBuffer(X).draw(x_data),
    says={"x_data: 3 coordinates": "event shape", "x_data: 1 coordinate": "event shape",
    "x_data: images": "event shape", "x_data: too many": "cannot draw", "x_data: empty": "cannot draw"},
    x_data=NO_TENSOR | OTHER_EVENT | {"too many": torch.cat([X, X]), "empty": X[:0]})
row(sample.ReplayBuffer.sample, {"n": 3}, call=sample.ReplayBuffer(X).sample, says={"n: 9": "9 chains",
    "n: 0": "0 chains"}, n=COUNT | {"9": 9})


def stored(x: Any) -> None:
    bank = sample.ReplayBuffer(X)
    bank.draw(X[:4])
    bank.store(x)


row(sample.ReplayBuffer.store, {"x": X[:4]}, call=stored, says={"x": "chains|x"}, x=NO_TENSOR |
    {"too many": X, "nan": X[:4] * NAN, "3 coordinates": x_of(4, 3)})

# speed, schedules, random, unroll

row(el.Speed, {}, compile={"-1": -1, "1.5": 1.5, "True": True, "'10'": "10", "None": None},
    precision={"misspelt": "bfloat16", "None": None, "16": 16}, channels_last={"1": 1, "a string": "yes"},
    cuda_graphs={"without compile": True, "a string": "yes"})
row(el.schedules.linear, {"start": 1.0, "steps": 5}, start=FINITE, steps=COUNT, end=FINITE)
row(el.schedules.linear, {"t": 5}, call=el.schedules.linear(1.0, 5), called="linear(1, 5)",
    says={"t": "give it more steps"}, t={"6": 6})
row((inverse, describe_schedule), {"start": 1.0, "steps": 5}, start=FINITE, steps=POSITIVE)
row(el.seed, {"value": 0}, says={"value": "seed"}, value={"-1": -1, "2**32": 2**32, "1.5": 1.5, "'0'": "0",
    "None": None, "True": True})
row(el.random.ShuffledIndex, {"size": 5}, size=COUNT)
row(el.random.ShuffledIndex.draw, {"n": 2}, call=el.random.ShuffledIndex(5).draw, says={"n: 0": "cannot draw",
    "n: 6": "cannot draw"}, n=COUNT | {"6": 6})
LINE = nn.Linear(1, 1)
row(unroll.unroll, {"module": LINE, "loss": lambda m: m.weight.square().sum(), "n_steps": 1,
    "rule": unroll.sgd(0.1)}, module=MODULE, loss=FUNCTION | {"a vector": lambda m: m.weight,
    "a number returned": lambda m: 1.0}, n_steps=COUNT_FROM_0, rule=FUNCTION)
row(unroll.at, {"module": LINE, "parameters": {"weight": torch.ones(1, 1)}, "function": lambda m: m.weight},
    says={"parameters": "parameter"}, module=MODULE, parameters={"unknown": {"w": torch.ones(1, 1)},
    "of another shape": {"weight": torch.ones(2, 2)}, "a number": {"weight": 1.0}}, function=FUNCTION)
row(unroll.sgd, {"lr": 0.1}, lr=NOT_NEGATIVE)
row(unroll.adam, {"lr": 0.1}, lr=POSITIVE, betas={"a number": 0.9, "1": (1.0, 0.9), "nan": (NAN, 0.9),
    "None": None}, eps=NOT_NEGATIVE)
SGD = torch.optim.SGD(LINE.parameters(), lr=0.1)
row(unroll.continued, {"optimizer": SGD, "module": LINE}, says={"optimizer: momentum": "momentum",
    "optimizer: AdamW": "AdamW"}, optimizer={"None": None, "the class": torch.optim.Adam,
    "momentum": torch.optim.SGD(LINE.parameters(), lr=0.1, momentum=0.9),
    "AdamW": torch.optim.AdamW(LINE.parameters())}, module=MODULE)

# objectives

OBJECTIVE = {"energy": SLOPES, "x": POINTS}
row(objectives.score_matching, {"energy": standard, "x": X}, says=ENERGY_SAYS, energy=SLOPES |
    {"a kink": nn.Sequential(nn.Linear(2, 1), nn.ReLU()), "a plane": lambda x: x.sum(1)}, x=POINTS)
row(objectives.sliced_score_matching, {"energy": standard, "x": X, "generator": None}, says=ENERGY_SAYS,
    projection={"misspelt": "gaussian", "None": None}, n_projections=COUNT, generator=GENERATOR, **OBJECTIVE)
row(objectives.denoising_score_matching, {"energy": standard, "x": X, "sigma": 0.1, "generator": None},
    says=ENERGY_SAYS, sigma=POSITIVE, generator=GENERATOR, **OBJECTIVE)
row(objectives.multiscale_denoising, {"energy": standard, "x": X, "sigmas": (0.1, 1.0), "reference": 0.1},
    says=ENERGY_SAYS | {"x: empty": "larger batch", "x: one": "larger batch"}, sigmas={"reversed": (1.0, 0.1),
    "0": (0.0, 1.0), "nan": (NAN, 1.0), "a number": 0.1, "three": (0.1, 0.2, 0.3), "a string": "ab"},
    reference=POSITIVE, energy=SLOPES, x=POINTS | {"one": X[:1]})
row(objectives.conditional_nce, {"energy": standard, "x": X, "sigma": 0.1, "generator": None},
    says=ENERGY_SAYS, sigma=POSITIVE, n_noise=COUNT, energy=VALUES, x=POINTS, generator=GENERATOR)
row(objectives.ml_gap, {"energy": standard, "x_data": X, "x_model": X}, says={"energy": "energy",
    "x_data: 3 coordinates": "event shape", "x_model: 3 coordinates": "event shape",
    "x_data: integers": "int64", "x_model: integers": "int64"}, energy=VALUES, x_data=NO_TENSOR |
    {"a number": X[0, 0], "empty": X[:0], "3 coordinates": x_of(8, 3), "integers": X.long()},
    x_model=NO_TENSOR | {"a number": X[0, 0], "empty": X[:0], "3 coordinates": x_of(8, 3)})
RATIO = {"a column": torch.zeros(4, 1), "empty": torch.zeros(0), "a number": torch.zeros(()), "a list": [0.0],
    "an array": np.zeros(3), "integers": torch.zeros(4).long(), "None": None}
row(objectives.nce, {"ratio_data": torch.zeros(4), "ratio_noise": torch.zeros(8)}, ratio_data=RATIO,
    ratio_noise=RATIO)
row(objectives.importance_log_z, {"energy": standard, "x": X, "log_q": torch.zeros(8)}, says=ENERGY_SAYS,
    energy=VALUES, x=POINTS, log_q={"a column": torch.zeros(8, 1), "3 of 8": torch.zeros(3), "a list": [0.0] *
    8, "a number": torch.zeros(())})
row(objectives.kernel_stein_discrepancy, {"energy": standard, "x": X}, says=ENERGY_SAYS |
    {"x: one": "1 samples", "x: empty": "0 samples", "x: all equal": "bandwidth"}, bandwidth=POSITIVE_OR_NONE,
    energy=SLOPES, x=POINTS | {"one": X[:1], "all equal": torch.zeros(8, 2)})
row(objectives.nearest_neighbour_entropy, {"x": X, "dim": None, "norm": 2, "floor": 0.0},
    says={"x: one": "B >= 2", "x: two equal": "rows 0 and 1 of x are equal"}, x=NO_TENSOR | NO_FLOATS |
    NO_BATCH | {"one": X[:1], "nan": X * NAN, "inf": X / 0, "two equal": torch.cat([X[:1], X])},
    dim=COUNT_OR_NONE | {"3 of 2": 3}, norm={"3": 3, "inf": INF, "None": None, "2.0": 2.0, "a string": "2"},
    floor=NOT_NEGATIVE)
BINARY = posteriors.BernoulliPosterior(nn.Linear(2, 3), 3)
SMOOTH = posteriors.GaussianPosterior(nn.Linear(2, 6), 3)
MODEL = nets.EBLVM(nets.MLPEnergy(2, (4,)), nets.MLPGenerator(3, (2,), (4,)))
JOINTS = FUNCTION | {"(B, 1)": lambda v, h: v[:, :1], "a scalar": lambda v, h: v.sum(), "returns None": lambda
    v, h: None}
JOINT_SAYS = {"joint": "joint"}
POSTERIOR = {"None": None, "a net": nn.Linear(2, 3), "the class": posteriors.GaussianPosterior}
row(objectives.variational_free_energy, {"joint": GRBM.joint, "posterior": BINARY, "v": X, "n_samples": 2,
    "generator": None}, says=JOINT_SAYS, joint=JOINTS, posterior=POSTERIOR, v=POINTS, n_samples=COUNT_OR_NONE,
    generator=GENERATOR)
row(objectives.variational_free_energy, {"joint": MODEL.joint, "posterior": SMOOTH, "v": X, "n_samples": 1},
    called="variational_free_energy of smooth h", n_samples={"None": None})
row(objectives.posterior_fisher, {"joint": MODEL.joint, "posterior": SMOOTH, "v": X, "generator": None},
    says=JOINT_SAYS | {"posterior: binary": "binary h"}, joint=JOINTS, posterior=POSTERIOR |
    {"binary": BINARY}, v=POINTS, n_samples=COUNT, generator=GENERATOR)
row(objectives.variational_energy, {"joint": GRBM.joint, "posterior": BINARY}, joint=FUNCTION,
    posterior=POSTERIOR)
row(objectives.visited, {"objective": objectives.score_matching, "x": X}, objective=FUNCTION |
    {"evaluates nothing": lambda e, x: x.sum()}, x=POINTS)
for _vaes in (objectives.vaes, objectives.vages):
    row(_vaes, {"joint": GRBM.joint, "posterior": BINARY, "n_samples": 2, "generator": None}, joint=FUNCTION,
        posterior=POSTERIOR, n_samples=COUNT_OR_NONE | ({"1": 1} if _vaes is objectives.vages else {}),
        generator=GENERATOR)
    row(_vaes, {"posterior": BINARY}, call=lambda posterior, f=_vaes: f(GRBM.joint, posterior, None)(X),
        called=f"{_vaes.__name__}, all states", says={"posterior": "GaussianPosterior"},
        posterior={"smooth": SMOOTH})

# posteriors

H = torch.zeros(1, 8, 3)
ROWS_OF_H = {"no draws": H[0], "7 of 8": H[:, :7], "a list": [[[0.0]]], "None": None}
row((posteriors.joint_energies, posteriors.JointEnergy), {"joint": GRBM.joint, "v": X, "h": H}, joint=JOINTS,
    v=NO_TENSOR, h=ROWS_OF_H)
row((posteriors.BernoulliPosterior, posteriors.BinaryPosterior, posteriors.Posterior), {"net": nn.Linear(2,
    3), "latent_dim": 3}, net=MODULE, latent_dim=COUNT, temperature=POSITIVE)
row(posteriors.ExactPosterior, {"rbm": GRBM}, rbm=THING | {"another energy": NORMAL,
    "the class": energy.GRBM}, temperature=POSITIVE)
row(posteriors.GaussianPosterior, {"net": nn.Linear(2, 6), "latent_dim": 3}, net=FUNCTION, latent_dim=COUNT)
row(posteriors.ConditionalPosterior, {"net": nn.Linear(3, 6), "latent_dim": 3, "condition_shape": (1,)},
    net=MODULE, latent_dim=COUNT, condition_shape=SIZES)
for _q in (BINARY, SMOOTH):
    _name = type(_q).__name__
    row(posteriors.Posterior, {"v": X, "n": 1, "generator": None}, call=_q.sample, called=f"{_name}.sample",
        says={"v: other net": "net"}, v=NO_TENSOR | NO_FLOATS | NO_BATCH, n=COUNT, generator=GENERATOR)
    row(posteriors.Posterior, {"h": H, "v": X}, call=_q.log_prob, called=f"{_name}.log_prob", h=ROWS_OF_H,
        v={"a list": X.tolist(), "None": None, "integers": X.long()})
row(posteriors.GaussianPosterior, {"net": nn.Linear(2, 6)}, call=lambda net: posteriors.GaussianPosterior(net,
    3).sample(X), called="GaussianPosterior of a net", net={"5 of 6": nn.Linear(2, 5)})

# diagnostics

CHAINS = x_of(20, 4, 2)
CHAIN_SAYS = {"chains": "chain"}
LONG = {"an array": CHAINS.numpy(), "a list": CHAINS.tolist(), "None": None, "integers": CHAINS.long(),
    "3 steps": CHAINS[:3], "one series": CHAINS[:, 0, 0], "empty": CHAINS[:, :0], "nan": CHAINS * NAN,
    "stuck": torch.ones(20, 4, 2)}
row(diagnostics.r_hat, {"chains": CHAINS}, says=CHAIN_SAYS, chains=LONG)
row(diagnostics.ess, {"chains": CHAINS, "kind": "bulk"}, says=CHAIN_SAYS, chains=LONG,
    kind={"misspelt": "tails", "None": None, "a number": 1})
row(diagnostics.autocorrelation, {"chains": CHAINS, "n_lags": 3}, says=CHAIN_SAYS, chains=LONG, n_lags=COUNT |
    {"21": 21})
SERIES = x_of(20)
LINES = {"an array": SERIES.numpy(), "a list": SERIES.tolist(), "None": None, "shorter": SERIES[:9],
    "a column": SERIES[:, None], "constant": torch.ones(20), "nan": SERIES * NAN}
row(diagnostics.cross_correlation, {"x": SERIES, "y": SERIES, "n_lags": 3}, says={"x": "x|series",
    "y": "y|series"}, x=LINES, y=LINES, n_lags=COUNT | {"21": 21})
row((diagnostics.energy_gap, diagnostics.squared_jump), {"energy": standard, "x_data": X, "x_model": X},
    says={"energy": "energy", "x_data: 3 coordinates": "event shape"}, energy=VALUES,
    x_data={"a list": X.tolist(), "empty": X[:0], "3 coordinates": x_of(8, 3)}, x_model={"None": None,
    "empty": X[:0]}, temperature=POSITIVE)

# evaluate

GRID = exact.Grid((-6, 6), n=30)
NO_GRID = {"None": None, "a box": (-4, 4), "a tensor": X, "the class": exact.Grid}
row(exact.Grid, {"box": (-4, 4), "n": 6, "dim": 2}, box=BOX, n=without(COUNT, "1.5") | {"7": 7, "3": 3,
    "6.0": 6.0, "too many": 3 * 10**5}, dim={"0": 0, "3": 3, "'2'": "2", "1.5": 1.5, "None": None,
    "True": True}, says={"n: too many": "points"})
row(exact.log_z, {"energy": standard, "grid": GRID}, says=ENERGY_SAYS, energy=TABLES |
    {"in 3 dimensions": energy.DoubleWell(dim=3), "returns integers": lambda x: x.sum(1).long()},
    grid=NO_GRID)
row(exact.Grid.log_z, {"energy": standard}, call=GRID.log_z, energy=without(VALUES, "an array"))
row(exact.Grid.tabulate, {"function": standard}, call=GRID.tabulate, function=FUNCTION | {"a scalar": lambda
    x: x.sum()})
PAIR = {"p": standard, "q": standard, "grid": GRID}
for _f in (exact.kl, exact.total_variation, exact.fisher_divergence, exact.best_temperature):
    slope = _f is exact.fisher_divergence
    row(_f, PAIR, says={"p": "energy", "q": "energy"}, p=TABLES, q=without(TABLES, *(("+inf", "nan", "-inf")
        if slope else ())), grid=NO_GRID)
row(exact.expectation, {"f": standard, "energy": standard, "grid": GRID}, says={"energy": "energy",
    "f": "function"}, f=FUNCTION | {"a scalar": lambda x: x.sum(), "nan": lambda x: standard(x) * NAN},
    energy=TABLES, grid=NO_GRID)
row(exact.mode_weights, {"energy": standard, "centers": X, "grid": GRID}, says=ENERGY_SAYS, energy=TABLES,
    centers=NO_TENSOR | {"one": X[0], "3 coordinates": x_of(8, 3), "nan": X * NAN, "none": X[:0],
    "integers": X.long()}, grid=NO_GRID)
GEN = nets.MLPGenerator(2, (3,), (4,))
NO_GENERATOR = THING | {"an energy": NORMAL, "the class": nets.MLPGenerator}
row(exact.marginal, {"generator": GEN, "grid": GRID}, says={"grid: of the line": "grid",
    "generator: of images": "generator"}, generator=NO_GENERATOR | {"of images": nets.MLPGenerator(2, (1, 2,
    2))}, grid=NO_GRID | {"of the line": exact.Grid((-5, 5), 6, dim=1)})
V = x_of(4, 3)
for _f in (latent.log_prob, latent.posterior):
    row(_f, {"x": V, "generator": GEN, "grid": GRID, "prior": None}, says={"prior": "energy",
        "x: nan": "posterior is NaN"}, x=NO_TENSOR | {"2 coordinates": X, "empty": V[:0], "nan": V * NAN,
        "one": V[0]}, generator=NO_GENERATOR, grid=NO_GRID | {"of the line": exact.Grid((-5, 5), 6, dim=1)},
        prior=without(TABLES, "None"))
row(latent.elbo, {"x": V, "generator": GEN, "encoder": posteriors.GaussianPosterior(nn.Linear(3, 4), 2),
    "n": 8}, x=NO_TENSOR | {"2 of 3": X, "empty": V[:0]}, generator=NO_GENERATOR, encoder=POSTERIOR |
    {"3 latents": posteriors.GaussianPosterior(nn.Linear(3, 6), 3)},
    n=COUNT | {"3": 3})
MASSES = latent.posterior(V, GEN, GRID)
row(latent.moments, {"masses": MASSES, "grid": GRID}, masses={"an array": MASSES.numpy(), "one": MASSES[0],
    "of another grid": MASSES[:, :7], "integers": MASSES.long()}, grid=NO_GRID)
row(latent.cell_masses, {"energy": standard, "grid": GRID, "n_cells": 5}, says=ENERGY_SAYS, energy=TABLES,
    grid=NO_GRID, n_cells=COUNT | {"7": 7})
row(latent.sample_tv, {"x": X, "energy": standard, "grid": GRID, "n_cells": 5}, says=ENERGY_SAYS, x=POINTS |
    NOT_FINITE | {"3 coordinates": V}, energy=TABLES, grid=NO_GRID, n_cells=COUNT | {"7": 7})
row(fisher.divergence, {"p": standard, "q": standard, "x": X}, says={"p": "energy", "q": "energy",
    "x: one": "1 samples", "x: empty": "0 samples"}, p=SLOPES, q=SLOPES, x=POINTS | NOT_FINITE |
    {"one": X[:1]})
row(fisher.lower_bound, {"energy": standard, "critic": lambda x: x, "x": X}, says={"energy": "energy",
    "x: empty": "0 samples"}, energy=SLOPES, critic=FUNCTION | {"of one number": lambda x: x[:, :1],
    "returns None": lambda x: None}, x=POINTS | NOT_FINITE)
row(fisher.between_gaussians, {"p": NORMAL, "q": NORMAL}, says={"p: in 3 dimensions": "event shapes"}, p=THING
    | {"a function": standard, "in 3 dimensions": energy.Gaussian(torch.zeros(3), torch.eye(3))}, q=THING |
    {"a mixture": EXACT["GaussianMixture"]})
FACTOR = linear.LinearGaussian(torch.ones(3, 1).double(), torch.zeros(3).double(), 0.5)
LAW = linear.posterior(FACTOR, V)
NO_MODEL = THING | {"a generator": GEN}
X3 = NO_TENSOR | NO_FLOATS | {"2 coordinates": X, "one": V[0], "empty": V[:0], "nan": V * NAN}
row((linear.posterior, linear.LinearGaussian), {"model": FACTOR, "x": V}, called="linear.posterior",
    model=NO_MODEL, x=X3)
row(linear.marginal, {"model": FACTOR}, model=NO_MODEL)
row(linear.short_run, {"model": FACTOR, "x": V, "n_steps": 2, "step_size": 0.1}, model=NO_MODEL, x=X3,
    n_steps=COUNT_FROM_0, step_size=POSITIVE, noise_scale=without(NOT_NEGATIVE, "None"))
row(linear.regress, {"model": FACTOR, "x": V, "law": LAW}, model=NO_MODEL, x=X3, law=THING |
    {"of other data": linear.posterior(FACTOR, V[:2])})
row((linear.kl, linear.Normal), {"p": LAW, "q": LAW}, called="linear.kl", p=THING |
    {"of other data": linear.posterior(FACTOR, V[:2])}, q=THING)
row(linear.ppca, {"x": V, "latent_dim": 1}, says={"x: one": "x", "latent_dim: all": "latent_dim"}, x=NO_TENSOR
    | NO_FLOATS | {"one": V[0], "empty": V[:0], "nan": V * NAN}, latent_dim=COUNT | {"all": 3},
    std=POSITIVE_OR_NONE)
row(linear.from_generator, {"generator": nets.MLPGenerator(1, (3,), ())},
    says={"generator: not affine": "affine"}, generator=NO_GENERATOR | {"not affine": nets.MLPGenerator(2,
    (3,), (16,), activation=nn.Tanh)})
TEXT = torch.tensor([[1, 2, 0], [2, 1, 1]])
row(language.NGram, {"x": TEXT, "n_tokens": 3, "order": 2}, x={"an array": TEXT.numpy(),
    "a list": TEXT.tolist(), "floats": TEXT.float(), "one": TEXT[0], "empty": TEXT[:0], "negative": -TEXT,
    "unknown": TEXT + 5}, n_tokens=COUNT | {"2": 2}, order=COUNT | {"99": 99}, strength=POSITIVE,
    end={"-1": -1, "3": 3, "1.5": 1.5}, says={"order: 99": "n-grams", "n_tokens: 2": "token"})
row(language.NGram, {"x": TEXT}, call=language.NGram(TEXT, 3, order=2), called="NGram()",
    x={"floats": TEXT.float(), "unknown": TEXT + 5, "one": TEXT[0], "a list": TEXT.tolist()})
row(language.perplexity, {"x": TEXT, "energy": lambda x: x.sum(1).double()}, says=ENERGY_SAYS |
    {"energy: returns None": "energy"}, x={"a list": TEXT.tolist(), "empty": TEXT[:0], "one": TEXT[0]},
    energy=FUNCTION | {"a scalar": lambda x: x.sum(), "returns None": lambda x: None})
MANY = x_of(40, 2)
OTHERS = NO_TENSOR | NO_FLOATS | NO_BATCH | NOT_FINITE | {"3 coordinates": x_of(40, 3), "empty": MANY[:0]}
TWO_SAYS = {f"{a}: empty": "samples" for a in "xy"}
row(twosample.squared_mmd, {"x": MANY, "y": MANY + 0.1}, says=TWO_SAYS, x=OTHERS, y=OTHERS,
    bandwidth=POSITIVE_OR_NONE)
row(twosample.mmd, {"x": MANY, "y": MANY + 0.1, "level": 0.1, "generator": None}, says=TWO_SAYS, x=OTHERS,
    y=OTHERS, level=INSIDE, bandwidths={"none": (), "0": (0.0,), "nan": (NAN,), "a number": 1.0,
    "words": ("a",)}, n_permutations=COUNT_OR_NONE | {"2": 2}, generator=GENERATOR)
row(twosample.c2st, {"x": MANY, "y": MANY + 0.1, "generator": None}, says=TWO_SAYS |
    {"x: fewer": "equally many", "x: 5": "at least 10"}, x=OTHERS | {"fewer": MANY[:20], "5": MANY[:5]},
    y=OTHERS, classifier={"a string": "forest", "a function": standard}, generator=GENERATOR)
PICTURES = x_of(50, 1, 2, 2) + torch.eye(50, 4).view(50, 1, 2, 2)
row(images.image_distances, {"x": PICTURES, "y": PICTURES, "generator": None}, says={"y: other size": "event",
    "x: 4": "at least", "n_blocks: 99": "at least 198", "features: nan": "NaN"}, x=NO_TENSOR |
    {"points": MANY, "nan": PICTURES * NAN, "4": PICTURES[:4], "integers": PICTURES.long()}, y={"None": None,
    "other size": x_of(50, 1, 3, 3), "inf": PICTURES / 0}, features=without(FUNCTION, "None") |
    {"images": lambda x: x, "a scalar": lambda x: x.sum(), "nan": lambda x: x.flatten(1) * NAN,
    "an array": lambda x: x.numpy()}, batch_size=COUNT, n_blocks=COUNT | {"99": 99}, generator=GENERATOR)
row(features.inception, {"weights": None}, called="inception",
    says={"weights": "Inception|torch-fidelity|weights"}, weights={"not there": "/nowhere/weights.pth",
    "a folder": tempfile.gettempdir()})
PATH = ais.geometric(NORMAL, standard)
AIS = {"path": PATH, "kernel": partial(mala, step_size=0.5), "betas": 20, "n_steps": 1}
KERNELS = {"None": None, "a string": "mala", "a kernel": mala(standard, step_size=0.1), "ula": partial(ula,
    step_size=0.9), "hot": partial(mala, step_size=0.5, noise_scale=1.0), "returns None": lambda e: None}
BETAS = {"0": 0, "-1": -1, "1.5": 1.5, "None": None, "falling": torch.tensor([1.0, 0.0]),
    "from .1": torch.tensor([0.1, 1.0]), "to 2": torch.tensor([0.0, 2.0]), "a list": [0.0, 1.0],
    "nan": torch.tensor([0.0, NAN, 1.0])}
KERNEL_SAYS = {"kernel: ula": "not exact", "kernel: hot": "temperature",
    "path: of no exact energy": "ExactEnergy"}
PATHS = FUNCTION | {"of no exact energy": lambda b: standard}
row((ais.forward, ais.Path), AIS | {"n_chains": 20, "generator": None}, says=KERNEL_SAYS, path=PATHS,
    kernel=KERNELS, n_chains=COUNT, betas=BETAS, n_steps=COUNT_FROM_0, generator=GENERATOR)
row(ais.reverse, AIS | {"x": MANY}, says=KERNEL_SAYS | {"x: nan": "not finite"}, path=PATHS, kernel=KERNELS,
    x=NO_TENSOR | {"empty": MANY[:0], "a number": MANY[0, 0], "nan": MANY * NAN, "3 coordinates": x_of(40,
    3)}, betas=BETAS, n_steps=COUNT_FROM_0)
row(ais.geometric, {"base": NORMAL, "energy": standard}, base=THING | {"a function": standard},
    energy=FUNCTION)
BOUND = {"label": "gap", "value": 1.0, "below": 2.0}
row(claims.Measured, BOUND, says={"value": "gap", "below": "gap", "above": "gap", "holds_for": "holds_for",
    "error": "gap|error", "digits": "digits"}, value={"None": None, "a string": "1", "True": True, "none": [],
    "an object": object()}, below={"nan": NAN, "inf": INF}, above={"above the other": 3.0, "nan": NAN},
    holds_for={"0": 0, "2 of 1": 2, "misspelt": "all"}, digits={"0": 0}, held_by={"empty": " "})


def one_row(**changes: Any) -> None:
    table = claims.Claims("1609.09408")
    table.add(
        **(
            {
                "claim": "It learns",
                "place": "abstract",
                "test": "as said",
                "verdict": "holds",
                "measured": claims.Measured(**BOUND),
            }
            | changes
        )
    )


row((claims.Claims, claims.ClaimError), {"claim": "It learns"}, call=one_row, says={"measured": "bound",
    "test": "test", "claim: a bar": "breaks the table"}, claim={"empty": "", "a bar": "a | b"},
    place={"empty": " "}, verdict={"unknown": "maybe", "empty": ""}, measured={"none": (),
    "without a bound": claims.Measured("a", 1.0)}, paper={"of another chapter": "1"})
row(claims.Claims, {"paper": "1609.09408"}, call=lambda paper: claims.Claims(paper), called="Claims()",
    says={"paper": "papers"}, paper={"empty": ""})
row(claims.collect, {"folder": Path(__file__).resolve().parents[2] / "book"}, says={"folder": "ipynb"},
    folder={"empty": tempfile.gettempdir() + "/nothing-here"})

# nets

row(nets.MLPEnergy, {"dim": 2, "widths": (4,)}, says={"widths": "widths"}, dim=COUNT, widths=without(SIZES,
    "None"), activation=ACTIVATION, reference_std=POSITIVE_OR_NONE, n_fourier=COUNT_FROM_0,
    fourier_scale=POSITIVE)
row(nets.LinearEnergy, {"features": lambda x: x, "theta": torch.ones(2)}, features=FUNCTION, theta=THING |
    {"integers": torch.ones(2).long(), "a matrix": X})
row(nets.LinearEnergy, {"features": lambda x: x}, call=lambda features: nets.LinearEnergy(features,
    torch.ones(2))(X), called="LinearEnergy()", features={"3 of 2": lambda x: x_of(8, 3),
    "returns None": lambda x: None})
CONV = {"channels": 1, "size": 8, "widths": (4, 4)}
CONV_WRONG = {"channels": COUNT, "size": COUNT | {"1": 1}, "widths": without(SIZES, "None"),
    "activation": ACTIVATION}
NO_FLAG = {"2": 2, "a string": "yes", "None": None}
row(nets.ConvEnergy, CONV, stem=COUNT_OR_NONE, spectral_norm=NO_FLAG, bounded=NO_FLAG, **CONV_WRONG)
row(nets.NonLocalEnergy, CONV, hidden=COUNT, **CONV_WRONG)
row(nets.ResidualFeatures, CONV, n_blocks=COUNT, **CONV_WRONG)
row(nets.ConvEncoder, CONV | {"n_out": 4}, n_out=COUNT, **(CONV_WRONG | {"size": COUNT}))
row(nets.DescriptorEnergy, {"channels": 1, "size": 8, "layers": ((4, 3, 2),)}, says={"layers": "layer"},
    channels=COUNT, size=COUNT, layers={"a number": (4,), "0": ((0, 3, 2),), "too deep": ((4, 8, 2),) * 4},
    reference_std=POSITIVE, activation=ACTIVATION)
for _net in (
    nets.ConvEnergy(1, 8, (4,)),
    nets.NonLocalEnergy(1, 8, (4,), 4),
    nets.ConvEncoder(1, 8, 4, (4,)),
    nets.ResidualFeatures(1, 8, (4,)),
    nets.Classifier((1, 8, 8), 3, width=4),
    nets.DescriptorEnergy(1, 8, ((4, 3, 2),)),
):
    row(type(_net), {"x": IMAGES}, call=_net, called=f"{type(_net).__name__}()", x={"points": X,
        "3 channels": x_of(8, 3, 8, 8), "of side 16": x_of(8, 1, 16, 16), "no channel": IMAGES[:, 0],
        "an array": IMAGES.numpy(), "None": None})
row(nets.Classifier, {"image_shape": (1, 8, 8), "n_outputs": 3}, image_shape=SIZES | {"two": (8, 8),
    "thin": (1, 1, 8)}, n_outputs=COUNT, n_features=COUNT, width=COUNT)
row((nets.MLPGenerator, nets.GaussianGenerator, nets.Generator), {"latent_dim": 2, "event_shape": (3,)},
    latent_dim=COUNT, event_shape=SIZES, widths=without(SIZES, "None"), std=POSITIVE, activation=ACTIVATION)
for _g in (GEN, nets.ConvGenerator(2, 1, 8, (4,)), nets.LadderGenerator((1, 1), (3,), 4)):
    _z = {"3 latents": V, "one": X[0], "an array": X.numpy(), "None": None}
    row(type(_g), {"z": X}, call=_g, called=f"{type(_g).__name__}()", z=_z)
    row(nets.Generator, {"n": 2, "generator": None}, call=_g.sample, called=f"{type(_g).__name__}.sample",
        n=COUNT_FROM_0, generator=GENERATOR)
row(nets.GaussianGenerator, {"x": x_of(8, 3), "z": X, "mask": None}, call=GEN.reconstruction,
    called="reconstruction", x=NO_TENSOR | {"2 of 3": X, "7 of 8": x_of(7, 3)}, z={"7 of 8": X[:7],
    "None": None}, mask={"floats": torch.ones(8, 3), "a list": [True], "of 2": torch.ones(8, 2) > 0},
    says={"z: 7 of 8": "latents", "mask: of 2": "mask|match"})
row(nets.ConvGenerator, {"latent_dim": 2} | CONV, latent_dim=COUNT, channels=COUNT, size=COUNT | {"9": 9},
    widths=without(SIZES, "None"), doublings={"3": 3, "-1": -1, "1.5": 1.5}, kernel=COUNT, std=POSITIVE,
    activation=ACTIVATION)
LADDER = {"latent_dims": (2, 1), "event_shape": (3,)}
row(nets.LadderGenerator, LADDER, latent_dims=SIZES | {"none": ()}, event_shape=SIZES, width=COUNT,
    n_hidden=COUNT_FROM_0, std=POSITIVE, activation=ACTIVATION)
row(nets.ConvLadderGenerator, {"latent_dims": (2, 1), "channels": 1, "size": 10, "width": 4, "side": 5},
    latent_dims=SIZES, channels=COUNT, size=COUNT | {"15": 15}, width=COUNT, side=COUNT | {"4": 4},
    n_projected=COUNT, std=POSITIVE, activation=ACTIVATION)
row(nets.ConditionalEnergy, {"event_shape": (2,), "condition_shape": (1,), "widths": (4,)}, event_shape=SIZES,
    condition_shape=SIZES, reference_std=POSITIVE_OR_NONE)
row(nets.ConditionalGenerator, {"latent_dim": 2, "event_shape": (2,), "condition_shape": (1,)},
    latent_dim=COUNT, event_shape=SIZES, condition_shape=SIZES, std=POSITIVE)
row(nets.beside, {"x": X, "c": X[:, :1], "condition_shape": (1,)}, says={"c": "condition"}, x=NO_TENSOR,
    c={"7 of 8": X[:7, :1], "of 2": X, "None": None, "an array": X.numpy()})
row((nets.EBLVM, nets.JointNet), {"energy": nets.MLPEnergy(2, (4,)), "generator": nets.MLPGenerator(3, (2,),
    (4,))}, energy=MODULE, generator=NO_GENERATOR)
row(nets.CouplingEBLVM, {"features": nn.Linear(2, 4), "n_features": 4, "event_shape": (2,), "latent_dim": 3,
    "width": 4}, features=MODULE, n_features=COUNT, event_shape=SIZES, latent_dim=COUNT, width=COUNT,
    reference_std=POSITIVE)
JOINT = {"latent_dim": 3, "widths": (4,), "latent_widths": (3,), "joint_widths": (4,)}
FLAGS = {"spectral_norm": NO_FLAG, "bounded": NO_FLAG, "reference_std": POSITIVE_OR_NONE, "latent_dim": COUNT,
    "activation": ACTIVATION, "joint_widths": SIZES}
row(nets.JointMLPEnergy, JOINT | {"event_shape": (2,)}, event_shape=SIZES, widths=SIZES, **FLAGS)
row(nets.JointConvEnergy, JOINT | {"channels": 1, "size": 8}, channels=COUNT, size=COUNT | {"1": 1},
    widths=SIZES, **FLAGS)
row(nets.JointMLPEnergy, {"v": X, "h": x_of(8, 3)}, call=nets.JointMLPEnergy((2,), 3, (4,)).joint,
    called="JointMLPEnergy.joint", v=NO_TENSOR | {"3 of 2": x_of(8, 3)}, h=NO_TENSOR | {"7 of 8": x_of(7, 3),
    "2 of 3": X})
SYMBOLS = {"latent_dim": 2, "n_symbols": 3, "widths": (4,)}
row(nets.SymbolEnergy, SYMBOLS, latent_dim=COUNT, n_symbols=COUNT | {"1": 1}, widths=without(SIZES, "None"),
    activation=ACTIVATION, reference_std=POSITIVE_OR_NONE)
SYMBOL = nets.SymbolEnergy(**SYMBOLS)
row(nets.SymbolEnergy, {"z": X}, call=SYMBOL.logits, called="SymbolEnergy.logits", z=NO_TENSOR |
    {"3 of 2": x_of(8, 3)})
row(nets.SymbolEnergy, {"y": torch.zeros(8).long()}, call=lambda y: SYMBOL.given(y)(X),
    called="SymbolEnergy.given", y={"floats": torch.zeros(8), "3": torch.full((8,), 3), "-1": torch.full((8,),
    -1), "7 of 8": torch.zeros(7).long(), "a number": 1, "a list": [0] * 8, "one-hot": torch.eye(8).long()})
LATTICE = {"n": 4, "n_blocks": 2, "block_size": 2}
row(nets.LatticeCode, LATTICE | {"periodic": False, "per_block": False}, n=COUNT | {"1": 1}, n_blocks=COUNT,
    block_size=COUNT, dim=COUNT, periodic=NO_FLAG, per_block=NO_FLAG)
CODE, UNIT = nets.LatticeCode(**LATTICE), X.abs()
row((nets.LatticeCode, nets.Code), {"x": UNIT}, call=CODE, called="LatticeCode.forward",
    x=NO_TENSOR | NO_FLOATS | NO_BATCH | without(OTHER_EVENT, "images") | {"negative": -UNIT, "2": 2 + UNIT,
    "nan": X * NAN})
row(nets.LatticeCode, {"v": x_of(8, 2, 2)}, call=CODE.decode, called="LatticeCode.decode", v=NO_TENSOR |
    {"flat": x_of(8, 4), "one": EYE})
row(nets.LatticeCode, {"n": 8, "n_cells": 1}, call=CODE.draw, called="LatticeCode.draw", n=COUNT_FROM_0,
    n_cells=COUNT | {"3 of 4": 3}, on_lattice=NO_FLAG, generator=GENERATOR)
row(nets.LinearCode, {"event_shape": (2,), "n_blocks": 2}, event_shape=SIZES, n_blocks=COUNT,
    block_size=COUNT)
row(nets.LinearCode, {"x": X}, call=nets.LinearCode((2,), 2), called="LinearCode.forward", x=NO_TENSOR |
    NO_BATCH | OTHER_EVENT)
row(nets.LinearCode, {"v": x_of(8, 2, 2)}, call=nets.LinearCode((2,), 2).reconstruct,
    called="LinearCode.reconstruct", v=NO_TENSOR | {"flat": x_of(8, 4)})
row(nets.BlockMotion, {"n_blocks": 2, "block_size": 2, "dim": 2}, n_blocks=COUNT, block_size=COUNT, dim=COUNT,
    degree=COUNT, scale=POSITIVE)
MOTION = nets.BlockMotion(2, 2, 2)
row(nets.BlockMotion, {"v": x_of(8, 2, 2), "dx": X}, call=MOTION, called="BlockMotion.forward", v=NO_TENSOR |
    {"flat": x_of(8, 4)}, dx=NO_TENSOR | OTHER_EVENT | {"7 of 8": X[:7]})
row((nets.RealNVP, nets.Flow), {"event_shape": (2,), "n_layers": 2, "width": 4}, event_shape=SIZES |
    {"1 element": (1,)}, n_layers=COUNT | {"3": 3}, width=COUNT, max_log_scale=POSITIVE)
row(nets.Glow, {"channels": 1, "size": 4, "n_levels": 1, "n_steps": 1, "width": 4}, channels=COUNT, size=COUNT
    | {"5": 5}, n_levels=COUNT, n_steps=COUNT, width=COUNT, max_log_scale=POSITIVE)
row(nets.ZukoFlow, {}, call=lambda flow=None: flow and nets.ZukoFlow(flow), called="ZukoFlow",
    flow={"a string": "NSF", "a net": nn.Linear(2, 2), "our own": nets.RealNVP((2,), 2, 4)})
BAG = torch.tensor([[1.0, 2, 0], [0, 0, 3]])
row(nets.BagOfWordsGenerator, {"latent_dim": 2, "n_words": 3, "length": 3}, latent_dim=COUNT, n_words=COUNT |
    {"1": 1}, length=COUNT, widths=without(SIZES, "None"), activation=ACTIVATION, background={"of 2":
    torch.zeros(2), "nan": torch.full((3,), NAN), "-inf": torch.zeros(3).log(), "a list": [0.0, 0, 0],
    "counts": torch.ones(3).long()})
row(nets.BagOfWordsGenerator, {"x": BAG, "z": X[:2]}, call=nets.BagOfWordsGenerator(2, 3, length=3)
    .reconstruction, called="BagOfWordsGenerator.reconstruction", x={"negative": -BAG, "halves": BAG / 2,
    "nan": BAG * NAN, "2 of 3": BAG[:, :2], "one": BAG[0], "1 of 2": BAG[:1], "a list": BAG.tolist(),
    "booleans": BAG > 0}, z={"3 latents": V[:2], "None": None})
row(nets.BagOfWordsGenerator, {"x": BAG}, call=nets.BagOfWordsGenerator.background,
    called="BagOfWordsGenerator.background", x={"one": BAG[0], "nan": BAG * NAN, "halves": BAG / 2,
    "None": None})
row(nets.TabularGenerator, {"latent_dim": 2, "n_columns": 3}, latent_dim=COUNT, n_columns=COUNT,
    widths=without(SIZES, "None"), activation=ACTIVATION, binary={"3": (3,), "-1": (-1,), "twice": (1, 1),
    "a number": 1, "1.5": (1.5,)})
row(nets.TabularGenerator, {"x": BAG[1:] / 3, "z": X[:1]}, call=nets.TabularGenerator(2, 3, binary=(2,))
    .reconstruction, called="TabularGenerator.reconstruction", x={"nan": torch.full((1, 3), NAN),
    "of 2": X[:1], "2 rows": BAG / 3, "not binary": BAG[1:], "integers": BAG[1:].long(),
    "a list": [[0.0, 0, 1]]}, z={"3 latents": V[:1], "None": None})
row(nets.TextGenerator, {"latent_dim": 2, "n_tokens": 3, "length": 3}, latent_dim=COUNT, n_tokens=COUNT |
    {"1": 1}, length=COUNT, end={"-1": -1, "3": 3, "1.5": 1.5}, embedding=COUNT, width=COUNT)
row(nets.TextGenerator, {"x": TEXT, "z": X[:2]}, call=nets.TextGenerator(2, 3, 3).reconstruction,
    called="TextGenerator.reconstruction", says={"x: beyond": "ids", "x: after the end": "end"},
    x={"floats": TEXT.float(), "2 of 3": TEXT[:, :2], "beyond": TEXT + 2, "after the end": torch.tensor([[0,
    1, 0], [0, 0, 0]]), "a list": TEXT.tolist()}, z={"3 latents": V[:2], "None": None})

RELU = {"event_shape": (2,), "n_outputs": 3, "hidden": (4,)}
TARGET = nets.ReLUTarget(**RELU)
THETA = TARGET.initial(5, torch.Generator().manual_seed(0))
FIXED = {"2 of 27": X, "one": THETA[0], "an array": THETA.numpy(), "None": None}
row((nets.ReLUTarget, nets.TargetNet), RELU, event_shape=SIZES, n_outputs=COUNT, hidden={"0": (0,), "1.5":
    (1.5,), "a number": 3, "a string": "ab", "None": None, "a convolution of points": ((4, 3),), "three":
    ((4, 3, 1),)}, softmax=NO_FLAG)
row(nets.ReLUTarget, RELU | {"event_shape": (1, 4, 4)}, called="ReLUTarget of images", hidden={"even kernel":
    ((4, 2),), "after a layer": (4, (4, 3)), "too deep": ((4, 3),) * 3})
row(nets.TargetNet, {"theta": THETA, "x": X}, call=TARGET, called="TargetNet()", theta=FIXED, x={"of 3": V,
    "one": X[0], "3 of 5 nets": x_of(3, 8, 2), "an array": X.numpy(), "None": None})
row(nets.TargetNet, {"theta": THETA}, call=TARGET.canonical, called="TargetNet.canonical", theta=FIXED |
    {"no scale": THETA * 0})
row(nets.TargetNet, {"n": 2, "generator": None}, call=TARGET.initial, called="TargetNet.initial",
    n=COUNT_FROM_0, generator=GENERATOR)
row(nets.ResNetTarget, {"channels": 1, "size": 8, "n_outputs": 3, "width": 2, "n_blocks": (1,)},
    channels=COUNT, size=COUNT | {"7": 7}, n_outputs=COUNT, width=COUNT, n_blocks=SIZES)
LAWS = {"misspelt": "gaussian", "None": None}
row((nets.MLPHypernetwork, nets.Hypernetwork), {"n_weights": 3, "latent_dim": 2}, n_weights=COUNT,
    latent_dim=COUNT, widths=without(SIZES, "None"), activation=ACTIVATION, law=LAWS)
row(nets.SharedHypernetwork, {"target": TARGET, "latent_dim": 2, "extractor": (4,), "code_dims": 2,
    "widths": (4,)}, target=THING | {"a hypernetwork": nets.MLPHypernetwork(3, 2)}, latent_dim=COUNT,
    extractor=without(SIZES, "None"), code_dims=COUNT | {"3 for 2 layers": (1, 2, 3), "0 of one": (2, 0)},
    widths=without(SIZES, "None") | {"3 for 2 layers": ((4,), (4,), (4,))}, whole={"2 of 2": (2,), "-1":
    (-1,), "a number": 1}, activation=ACTIVATION, law=LAWS)
HYPER = nets.SharedHypernetwork(TARGET, 2, extractor=(4,), code_dims=2, widths=(4,))
for _h in (HYPER, nets.MLPHypernetwork(3, 2)):
    row(type(_h), {"z": X}, call=_h, called=f"{type(_h).__name__}()", z={"3 latents": V, "one": X[0],
        "an array": X.numpy(), "None": None})
row(nets.Hypernetwork, {"n": 2, "generator": None}, call=HYPER.latent, called="Hypernetwork.latent",
    n=COUNT_FROM_0, generator=GENERATOR)
CLASSES = torch.arange(8) % 3
row(nets.WeightEnergy, {"target": TARGET, "lam": 1.0}, target=THING, loss={"misspelt": "cross entropy",
    "None": None}, lam=NOT_NEGATIVE, prior_std=POSITIVE_OR_NONE)
OF_NETS = nets.WeightEnergy(TARGET, lam=1.0)
NO_CLASSES = {"floats": X[:, 0], "7 of 8": CLASSES[:7], "3": CLASSES + 1, "-1": CLASSES - 1, "one-hot":
    torch.eye(8).long()[:, :3], "a list": CLASSES.tolist(), "None": None}
row(nets.WeightEnergy, {"theta": THETA, "x": X, "y": CLASSES}, call=OF_NETS, called="WeightEnergy()",
    theta=FIXED, x={"of 3": V, "None": None}, y=NO_CLASSES)
row(nets.WeightEnergy, {"y": x_of(8, 3)}, call=lambda y: nets.WeightEnergy(TARGET, "squared", lam=1.0)(THETA,
    X, y), called="WeightEnergy, squared", y={"of one output": X[:, 0], "classes": CLASSES, "7 of 8":
    x_of(7, 3), "None": None})
row(nets.WeightEnergy, {"x": X, "batch_size": 4, "generator": None}, call=lambda x, **k: OF_NETS.on(x,
    CLASSES, **k)(THETA), called="WeightEnergy.on", x={"of 3": V, "None": None}, batch_size=COUNT_OR_NONE,
    generator=GENERATOR)

# figures: they are imported at first use, and drawn to nowhere


def drawn(name: str) -> Callable[..., Any]:
    def draw(**arguments: Any) -> Any:
        import matplotlib.pyplot as plt

        try:
            return getattr(el.viz, name)(**arguments)
        finally:
            plt.close("all")

    return draw


AX = {"a string": "ax", "a number": 1}
POINTS_DRAWN = {"a list": X.tolist(), "None": None, "a string": "x", "complex": X + 1j, "one": X[0],
    "3 coordinates": x_of(8, 3), "empty": X[:0], "nan": X * NAN}
DRAWN_SAYS = {"x": r"samples|images|\bx\b", "trajectory": "trajectory", "energy": "energy"}
row("viz.energy_map", {"energy": standard, "box": (-3, 3), "n": 6}, call=drawn("energy_map"), says=DRAWN_SAYS,
    energy=TABLES, box=BOX | {"left out": None}, n=without(COUNT, "1.5") | {"7": 7},
    kind={"misspelt": "log density", "None": None}, vmax={"0": 0, "-1": -1.0, "nan": NAN, "inf": INF,
    "a string": "1"}, ax=AX)
row("viz.samples", {"x": X}, call=drawn("samples"), says=DRAWN_SAYS, x=POINTS_DRAWN, box=BOX, n_max=COUNT,
    size=POSITIVE, alpha=POSITIVE | {"2": 2.0}, ax=AX)
row("viz.chain", {"trajectory": X}, call=drawn("chain"), says=DRAWN_SAYS, trajectory=POINTS_DRAWN, box=BOX,
    ax=AX)
PICTURES_DRAWN = {"a list": [[1]], "None": None, "points": X, "one": IMAGES[0], "2 channels": x_of(2, 2, 4,
    4), "integers": IMAGES.long(), "empty": IMAGES[:0], "nan": IMAGES * NAN}
row("viz.image_grid", {"x": IMAGES}, call=drawn("image_grid"), says=DRAWN_SAYS, x=PICTURES_DRAWN,
    n_cols=COUNT_OR_NONE, labels={"5 for 3 rows": list("abcde")}, ax=AX)
row("viz.save_grid", {"x": IMAGES, "file": "/dev/null"}, call=drawn("save_grid"), says=DRAWN_SAYS,
    x=PICTURES_DRAWN, n_cols=COUNT_OR_NONE)
WALK = x_of(4, 3, 2)
row("viz.animate", {"trajectory": WALK, "box": (-3, 3), "n_frames": 2}, call=drawn("animate"), says=DRAWN_SAYS
    | {"trajectory: images": "box"}, trajectory={"one chain": X, "None": None, "a list": [[1]], "nan": WALK *
    NAN, "images": x_of(4, 2, 1, 4, 4)}, box={"left out": None, "reversed": (1, -1)}, n_frames=COUNT |
    {"5": 5}, duration_ms=COUNT, every=COUNT)
HISTORY = {"gap": x_of(30)}
row("viz.traces", {"history": HISTORY, "smooth": 5}, call=drawn("traces"), says={"history": "metric|history",
    "keys": "metric", "start: 99": "start"}, history={"a tensor": x_of(30), "None": None, "none": {},
    "two axes": {"gap": X}, "nan": {"gap": X[:, 0] * NAN}, "words": {"gap": "a"}}, keys={"unknown": ["loss"],
    "none": []}, smooth=COUNT | {"99": 99}, start=COUNT_FROM_0 | {"99": 99}, ax=AX)
row("viz.show", {"obj": standard}, call=drawn("show"), says={"obj": "source"}, obj={"a number": 1,
    "an instance": NORMAL, "built in": len}, inner={"unknown": "step"})

# what trains, loads and runs: its sentences are held to their words by the tests of their rooms

CHAIN = Chain(ula, n_steps=2, step_size=0.1)
PLANE = nets.MLPGenerator(2, (2,), (4,))
CODES = posteriors.GaussianPosterior(nn.Linear(2, 4), 2)
NO_CHAIN = THING | {"ula itself": ula}
DSM = partial(objectives.denoising_score_matching, sigma=0.1)
METHODS: dict[Any, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {el.ExactLikelihood: ({"energy": NET,
    "log_z": GRID.log_z}, {"energy": MODULE, "log_z": FUNCTION}), el.MaximumLikelihood: ({"energy": NET,
    "start": sample.NoiseStart(), "chain": CHAIN}, {"energy": MODULE, "chain": NO_CHAIN,
    "data_noise": {"-1": -1.0, "nan": NAN}}), el.NCE: ({"energy": NET, "noise": NORMAL}, {"energy": MODULE,
    "noise": THING, "n_noise": {"0": 0, "-1": -1}}), el.ScoreMatching: ({"energy": NET}, {"energy": MODULE,
    "ema": {"1": 1.0, "-1": -1.0, "nan": NAN}}), el.CoopNets: ({"energy": NET, "generator": PLANE,
    "chain": CHAIN}, {"energy": MODULE, "generator": THING}), el.ShortRunGenerator: ({"energy": standard,
    "start": sample.NoiseStart(), "chain": CHAIN}, {"chain": THING}),
    el.ShortRunInference: ({"generator": PLANE, "chain": CHAIN}, {"generator": THING, "chain": THING,
    "entropy": {"misspelt": "gauss"}, "n_tune": {"0": 0}}), el.LatentPrior: ({"prior": NET,
    "generator": PLANE}, {"prior": MODULE, "generator": THING}), el.DivergenceTriangle: ({"energy":
    nets.JointMLPEnergy((2,), 2, (4,)), "generator": PLANE, "posterior": CODES}, {"energy": MODULE,
    "generator": THING, "posterior": THING, "weight": {"-1": -1.0, "nan": NAN}, "encoder_sign": {"misspelt":
    "papers"}, "noise": {"a number": 0.3}}), el.DualMCMC: ({"energy": NET,
    "generator": PLANE, "posterior": CODES, "chain": CHAIN, "latent_chain": CHAIN}, {"energy": MODULE,
    "generator": THING, "n_x_chains": {"0": 0}}), el.FlowContrastive: ({"energy": NET,
    "flow": nets.RealNVP((2,), 2, 4)}, {"energy": MODULE, "flow": THING, "threshold": {"2": 2.0, "nan": NAN},
    "warmup": {"-1": -1}}), el.NeuralTransport: ({"tilt": NET, "flow": nets.RealNVP((2,), 2, 4),
    "start": sample.NoiseStart(), "chain": CHAIN}, {"tilt": MODULE, "flow": THING}),
    el.SymbolVectorCoupling: ({"prior": SYMBOL, "generator": PLANE, "posterior": CODES,
    "prior_chain": CHAIN}, {"prior": MODULE, "generator": THING, "posterior": THING, "prior_chain": NO_CHAIN,
    "label_weight": {"-1": -1.0, "nan": NAN, "None": None}, "information_weight": {"-1": -1.0, "nan": NAN}}),
    el.VAE: ({"generator": PLANE, "posterior": CODES}, {"generator": THING, "posterior": THING}),
    el.VariationalTeaching: ({"energy": NET, "generator": PLANE, "posterior": CODES, "chain": CHAIN},
    {"energy": MODULE, "kl_weight": {"-1": -1.0, "nan": NAN}}), el.BiDVL: ({"energy": NET,
    "generator": PLANE, "posterior": CODES}, {"energy": MODULE, "generator": THING, "posterior": THING,
    "data_weight": {"-1": -1.0, "nan": NAN}, "latent_weight": {"-1": -1.0, "nan": NAN}, "latent_std":
    {"0": 0.0, "nan": NAN}, "loss": {"misspelt": "hinges"}, "noise": {"a number": 0.3}}),
    el.BiSM: ({"energy": energy.GRBM(2, 3), "posterior": BINARY, "objective": DSM}, {"energy": MODULE,
    "posterior": THING, "n_steps": {"-1": -1},
    "n_unrolled": {"-1": -1}}), el.VaGES: ({"energy": energy.GRBM(2, 3), "posterior": BINARY,
    "objective": DSM}, {"energy": MODULE, "posterior": THING, "n_samples": {"1": 1, "0": 0},
    "n_steps": {"-1": -1}}), el.FisherCritic: ({"energy": standard, "critic": nn.Linear(2, 2)},
    {"critic": MODULE}), el.AlternatingBackprop: ({"generator": PLANE, "n_data": 4, "chain": CHAIN},
    {"generator": THING, "n_data": COUNT, "chain": NO_CHAIN}), el.MotionRepresentation: ({"code": CODE,
    "motion": MOTION}, {"code": THING, "motion": THING | {"other blocks": nets.BlockMotion(3, 2, 2)},
    "motion_weight": NOT_NEGATIVE, "adjacency_weight": NOT_NEGATIVE, "isometry_weight": NOT_NEGATIVE,
    "balance_weight": NOT_NEGATIVE, "reconstruction_weight": NOT_NEGATIVE | {"of a lattice": 1.0},
    "sigma": POSITIVE, "max_alpha": POSITIVE}), el.WeightSampler: ({"hypernetwork": HYPER, "energy":
    OF_NETS}, {"hypernetwork":
    THING | {"of another net": nets.MLPHypernetwork(3, 2)}, "energy": {"None": None, "a number": 3.0},
    "n_nets": COUNT | {"1": 1}, "gauge": NO_FLAG, "entropy_norm": {"3": 3, "None": None}, "entropy_dim":
    {"0": 0, "1.5": 1.5, "28 of 27": 28}, "entropy_floor": POSITIVE}),
    el.Classification: ({"net": nets.Classifier((1, 8, 8), 3, width=4)}, {"net": THING})}
RATES = {"-1": -1.0, "nan": NAN, "a string": "fast", "None": None}
for _method, (_good, _wrong) in METHODS.items():
    row(_method, _good, says=dict.fromkeys(_wrong, "."), **_wrong)
    for _rate in ("lr", "lr_energy", "lr_prior"):
        if _rate in inspect.signature(_method).parameters:
            row(_method, _good, called=f"{_method.__name__}, rate", says={_rate: "."}, **{_rate: RATES})


row(el.WeightSampler, {"batch": (X, CLASSES)}, call=lambda batch: el.WeightSampler(HYPER, OF_NETS, n_nets=4)
    .step(batch), called="WeightSampler.step", batch={"no labels": X, "7 of 8": (X[:7], CLASSES[:7])})
row(el.WeightSampler, {"x": X, "n": 3}, call=el.WeightSampler(HYPER, OF_NETS).predict,
    called="WeightSampler.predict", x={"of 3": V, "None": None}, n=COUNT)


def boxed(batch: Any) -> Any:
    return el.ExactLikelihood(nets.MLPEnergy(2, (4,)), exact.Grid((-1, 1), n=6).log_z).step(batch)


row(el.ExactLikelihood, {"batch": X}, call=boxed, called="ExactLikelihood.step",
    says={"batch: outside": "8 of 8 data lie outside the box"}, batch={"outside": 3 + X, "integers": X.long(),
    "a list": X.tolist()})


ROWED = el.AlternatingBackprop(PLANE, 8, chain=CHAIN)
row(el.AlternatingBackprop, {"x": X, "i": torch.arange(8)}, call=lambda x, i: ROWED.step((x, i)),
    called="AlternatingBackprop.step", says={"i": "row", "x: 3 coordinates": "x has shape"},
    x={"3 coordinates": x_of(8, 3)}, i={"floats": torch.arange(8.0), "7 of 8": torch.arange(7),
    "a row twice": torch.zeros(8).long(),
    "8": torch.arange(1, 9), "-1": torch.arange(-1, 7), "a column": torch.arange(8)[:, None]})
MOVING = el.MotionRepresentation(CODE, MOTION)
row(el.MotionRepresentation, {"x0": UNIT, "dxs": x_of(8, 3, 2)}, call=MOVING.integrate,
    called="MotionRepresentation.integrate", x0={"outside": 2 + UNIT, "3 of 2": x_of(8, 3)}, dxs=NO_TENSOR |
    {"one step": X, "7 of 8": x_of(7, 3, 2)}, says={"x0: outside": "x lies between"})
row(el.MotionRepresentation, {"x0": UNIT, "target": UNIT, "moves": X, "n_steps": 1}, call=MOVING.plan,
    called="MotionRepresentation.plan", n_steps=COUNT_FROM_0)


def fitted(data: Any = X, steps: Any = 1, **settings: Any) -> Any:
    return el.fit(
        el.ScoreMatching(nets.MLPEnergy(2, (4,))),
        data,
        steps=steps,
        **({"batch_size": 4, "progress": False} | settings),
    )


row((el.fit, el.load), {"data": X, "steps": 1}, call=fitted, says=dict.fromkeys(("data", "steps",
    "batch_size", "every", "n_checkpoints", "resume"), "."), data={"None": None, "a string": "mnist", "nan": X
    * NAN, "empty": X[:0], "float64": X.double(), "a number": X[0, 0], "a graph": X.clone().requires_grad_(),
    "two lengths": (X, X[:4])}, steps={"-1": -1}, batch_size={"0": 0, "-1": -1, "too many": 99})
row(el.load, {}, call=lambda out=None: out and el.load(el.ScoreMatching(NET), out), called="load",
    says={"out": "."}, out={"not there": tempfile.gettempdir() + "/nothing-here"})
row("checksum", {}, call=lambda x=X: el.train.checksum(x), says={"x": "."}, x={"None": None})
row(el.Method.add_average, {"decay": 0.9}, call=lambda decay: el.ScoreMatching(NET, ema=decay), called="ema",
    says={"decay": "decay|ema"}, decay={"1": 1.0, "0": 0.0})
row("data.load", {}, call=lambda **k: k and importlib.import_module("ebmlearn.data").load(**({"name": "mnist"}
    | k)), says=dict.fromkeys(("name", "split", "n", "size"), "."), name={"misspelt": "minst"},
    split={"misspelt": "tests"}, n={"0": 0, "-1": -1, "1.5": 1.5, "too many": 10**9})
row("data.load_text", {}, call=lambda **k: k and importlib.import_module("ebmlearn.data").load_text(**k),
    says=dict.fromkeys(("name", "split"), "."), name={"misspelt": "nams"}, split={"misspelt": "tests"})
row("data.is_local", {}, call=lambda **k: k and
    importlib.import_module("ebmlearn.data").is_local(**({"name": "mnist"} | k)), says=dict.fromkeys(("name",
    "split"), "."), name={"misspelt": "minst"}, split={"misspelt": "tests"})
row("data.is_local_text", {}, call=lambda **k: k and
    importlib.import_module("ebmlearn.data").is_local_text(**k), says={"name": "."},
    name={"misspelt": "nams"})
row("recipes.find", {"name": "short-run-mnist"}, call=lambda
    name: importlib.import_module("ebmlearn.recipes").find(name), says={"name": "short-run-mnist"},
    name={"misspelt": "short-run-minst"})
row("runs.read", {}, call=lambda **k: k and importlib.import_module("ebmlearn.runs").read(**k),
    says={"folder": "holds no run"}, folder={"not there": tempfile.gettempdir() + "/nothing-here"})
row("commands.sample", {}, call=lambda **k: k and importlib.import_module("ebmlearn.commands").sample(**k),
    says={"run": "holds no run"}, run={"not there": Path(tempfile.gettempdir()) / "nothing-here"})
row("commands.evaluate", {}, call=lambda **k: (k and
    importlib.import_module("ebmlearn.commands").evaluate(**k, n=4, features="pixels", best=False, seed=0,
    argv=[])), says={"run": "holds no run"}, run={"not there": Path(tempfile.gettempdir()) / "nothing-here"})
row("commands.show", {}, call=lambda **k: k and importlib.import_module("ebmlearn.commands").show(**k),
    says={"name": "no recipe"}, name={"misspelt": "short-run-minst"})


# a stranger's own work: data, method, run; answers of a student

row(el.EnergyDiscrepancy, {"energy": NET, "sigma": 0.5}, energy=MODULE, sigma=POSITIVE, n_noise=COUNT,
    datum_weight=NOT_NEGATIVE)
PROMISED = {"method": lambda: el.ScoreMatching(nets.MLPEnergy(2, (4,))), "data": X}
row((el.testing.check_method,), PROMISED, says={"method": "Method", "promises": "no promise 'resumes'",
    "data": "data|weights of the energy"}, call=partial(el.testing.check_method, batch_size=4),
    method={"None": None, "a class's name": "MLP", "makes none": lambda: 3}, steps={"0": 0, "-1": -1},
    promises={"misspelt": ["resumes"]}, data={"nan": X * NAN, "a string": "mnist", "float64": X.double()})
NOWHERE = {"not there": Path(tempfile.gettempdir()) / "nothing-here"}


@functools.cache
def finished() -> str:
    """The folder of a run of one step."""
    out = tempfile.mkdtemp()
    fitted(out=out)
    return out


def loaded(name: Any = "energy", run: Any = None, **settings: Any) -> Any:
    return el.load_net(run or finished(), name, **settings)


row((el.load_net, el.load_energy), {}, call=loaded, called="load_net", says={"run": "no checkpoint",
    "name": "holds no net|there is no", "into": "energy of", "best": "no .*best.pt"}, run=NOWHERE,
    name={"misspelt": "enrgy", "empty": ""}, into={"another net": nets.MLPEnergy(2, (5,))},
    best={"none": True})
PICTURES = x_of(4, 6, 6).mul(99).add(100).byte().numpy()


@functools.cache
def album() -> Path:
    """A folder of two pictures of one shape."""
    out = Path(tempfile.mkdtemp())
    pil = importlib.import_module("PIL.Image")
    for i in range(2):
        pil.fromarray(PICTURES[i]).save(out / f"{i}.png")
    return out


def from_folder(folder: Any = None, **settings: Any) -> Any:
    return el.data.from_folder(album() if folder is None else folder, **settings)


PICTURE_SETTINGS = {"size": {"0": 0, "-1": -1, "1.5": 1.5, "a string": "8"}, "channels": {"2": 2, "0": 0,
    "a string": "L"}, "n": {"0": 0, "-1": -1, "1.5": 1.5}}
row(("data.from_folder",), {}, call=from_folder, called="from_folder",
    says={"folder": "cannot read the folder"}, folder=NOWHERE, **PICTURE_SETTINGS)
row(("data.class_names",), {}, call=lambda folder=None: el.data.class_names(folder or album()),
    called="class_names", says={"folder": "cannot read the folder"}, folder=NOWHERE)
row(("data.from_array",), {"x": PICTURES}, call=lambda **k: el.data.from_array(**k), called="from_array",
    says={"x": ".", "y": "label|y "}, x={"None": None, "a list": [[1.0]], "a number": 3.0,
    "not there": "no.npy", "nan": x_of(4, 6, 6) * NAN, "levels as floats": x_of(4, 6, 6) + 200,
    "integers": x_of(4, 6, 6).long(), "booleans": x_of(4, 6, 6) > 0, "one axis": x_of(4),
    "no image": PICTURES[:0], "five axes": x_of(4, 1, 1, 6, 6), "five channels": x_of(4, 5, 6, 6),
    "strings": np.array([["a"]])}, y={"too few": np.arange(3), "negative": np.array([0, 1, 2, -1]),
    "fractions": np.array([0, 1, 2, 0.5]), "nan": np.array([0, 1, 2, NAN]),
    "two axes": np.zeros((4, 2), int), "a string": "cats"}, **PICTURE_SETTINGS)
row(("data.from_hub",), {}, call=lambda **k: k and el.data.from_hub(**({"repo": "a/b", "image": "image"}
    | k)), called="from_hub", says={"repo": "repo is", "split": "split is", "config": "config is"},
    repo={"a path": "../../etc", "a number": 3, "None": None, "a space": "a b/c"}, split={"a path": "../x",
    "None": None}, config={"a path": "../x"}, **PICTURE_SETTINGS)
row(("data.labelled",), {"y": [0, 1, 0, 1], "per_class": 1}, call=lambda **k: el.data.labelled(**k),
    called="labelled", says={"y": "^y: |^y hold|^y has shape|examples of y",
    "n_classes": "n_classes|from 0 to 0|class 2 has none"}, y={"None": None, "one missing": [0, 2],
    "negative": [0, -1], "fractions": [0, 0.5], "two axes": [[0, 1]], "empty": [], "strings": ["a"],
    "nan": [0.0, NAN]}, per_class={"0": 0, "-1": -1, "1.5": 1.5, "True": True, "too many": 3, "None": None},
    seed={"-1": -1, "0.5": 0.5, "2**32": 2**32, "None": None}, n_classes={"0": 0, "too few": 1, "too many": 3,
    "1.5": 1.5})
for _what in (el.pretrained.load, el.pretrained.about):
    row(_what, {"name": "digits"}, says={"name": "no pretrained energy"}, name={"misspelt": "digit",
        "another": "imagenet", "None": None, "a number": 3})
row(el.pretrained.make, {}, call=lambda **k: k and el.pretrained.make(out=tempfile.mkdtemp(), **k),
    says={"name": "no pretrained energy"}, name={"misspelt": "digit"})
row(el.exercises.check, {"label": "ex-24-destroyed", "answer": 0.0}, says={"label": "no exercise"},
    label={"misspelt": "ex-24-destroy", "a number": 8, "None": None, "empty": ""})
row((el.runs.LivePlot,), {}, every={"0": 0, "-1": -1, "1.5": 1.5, "None": None, "a string": "2"})
row((el.runs.TensorBoard,), {"folder": "events"}, every={"0": 0, "-1": -1, "1.5": 1.5, "None": None,
    "a string": "2"})
row((el.runs.read_trace,), {}, call=lambda path=None: path and el.runs.read_trace(path), says={"path": "no "},
    path=NOWHERE)
row("commands.plot", {}, call=lambda **k: k and importlib.import_module("ebmlearn.commands").plot(**k),
    says={"run": "holds no run"}, run=NOWHERE)
row((el.viz.save_traces,), {"history": {"gap": x_of(8)}}, call=lambda **k: el.viz.save_traces(**{"file":
    io.BytesIO(), **k}), says={"history": "metric"}, history={"empty": {}, "two axes": {"gap": X},
    "nan": {"gap": X[:, 0] * NAN}})

# fmt: on

HARMLESS: dict[str, Callable[[Any], bool]] = {
    "ml_gap(x_data: integers)": lambda gap: gap == standard(X.long()).mean() - standard(X).mean()
}
"""Bad calls that return, and what makes the result right."""

WARNS: set[str] = {"adapt_step_size from far(step_size: 1e-30)"}
"""Bad calls that return with a warning, which says so."""

NOT_CALLED: dict[str, str] = {
    **dict.fromkeys(
        (
            *(
                "energy.Energy",
                "sample.Bounds",
                "sample.MakeKernel",
                "train.Batch",
                "train.BatchSize",
                "train.Data",
            ),
            *("train.Hook", "train.OptimizerFactory"),
        ),
        "a type",
    ),
    **dict.fromkeys(
        (
            *(
                "evaluate.ais.AIS",
                "evaluate.exact.Estimate",
                "sample.Info",
                "sample.Parts",
                "sample.State",
            ),
            *("data.Images", "data.Text", "recipes.Labels", "recipes.Recipe", "recipes.Streams"),
        ),
        "a tuple of results, which nobody makes by hand; or a recipe, checked by what uses it",
    ),
    **dict.fromkeys(
        (
            *("evaluate.ais.LowESSWarning", "evaluate.exact.LeakWarning", "Stopped", "train.Stopped"),
            "train.RankLost",
        ),
        "a warning or an error",
    ),
    **dict.fromkeys(
        (
            *("commands.GRID", "commands.TIMEOUT", "data.CELEBA_ATTRIBUTES"),
            *("evaluate.claims.HERE", "evaluate.claims.VERDICTS"),
            *("recipes.RECIPES", "viz.CHAIN", "viz.DATA", "viz.DENSITY_MAP", "viz.ENERGY_MAP", "viz.MODEL"),
        ),
        "a constant",
    ),
    **dict.fromkeys(("sample.evaluation_mode", "viz.style", "commands.list_recipes"), "takes no arguments"),
    **dict.fromkeys(
        ("positions", "sample.positions"), "is called by run, with a state and an info of its own"
    ),
    **dict.fromkeys(("exercises.names", "exercises.Verdict"), "takes no arguments, or is what check returns"),
    **dict.fromkeys(("pretrained.NAMES", "testing.PROMISES"), "a constant"),
    **dict.fromkeys(("Method", "train.Method"), "abstract: what it refuses is tried by its subclasses"),
    "data.to_unit": "levels of an image, which the room of data checks where it reads them",
    "evaluate.claims.table": "takes what collect returns",
    **dict.fromkeys(
        ("runs.CoarseDistance", "runs.Grids", "runs.Log", "runs.Trace", "runs.session", "runs.write"),
        "is made by the command line, whose arguments are tried in tests/commands",
    ),
    "commands.measured": "takes the stored file of make gpu, which tests/test_gpu.py holds to its form",
    "commands.train": "its arguments are those of the command line, tried in tests/commands",
    "train.checksum": "tried by its own name",
}
"""Public names that take nothing from a user, with the reason."""
