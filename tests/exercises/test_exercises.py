"""Checked exercises: the chapter's answer is right, slips get hints that differ, and no hint has the answer.

Broken on purpose and seen to fail: a tolerance of 50 %; a slip that is looked for before the right value; a
hint that prints the right value; a checker that seeds the reader's generator; a label that no chapter has.
"""

import ast
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
import numpy as np
import pytest
import torch

import ebmlearn as el
from ebmlearn import exercises, targets
from ebmlearn.exercises._base import CHECKERS, Hint, exercise
from ebmlearn.exercises._compare import compare

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = {int(p.name[:2]): p for p in sorted(BOOK.glob("[0-9][0-9]_*.md"))}
LABELS = sorted(CHECKERS)


# solutions, from the chapters


def solution(label: str, suffix: str = ".md") -> list[Any]:
    """The cells of a solution, of the text or of the notebook with its outputs."""
    path = CHAPTERS[int(label.split("-")[1])].with_suffix(suffix)
    nb = jupytext.read(path) if suffix == ".md" else nbformat.read(path, as_version=4)
    cells, inside = [], False
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            if "{solution-end}" in cell.source:
                inside = False
            if re.search(rf"{{solution-start}} {label}$", cell.source, re.M):
                inside = True
        elif inside and cell.cell_type == "code":
            cells.append(cell)
    assert cells, f"no solution of {label} has code"
    return cells


def defined(label: str, name: str, **known: Any) -> Any:
    """What a function or class of a solution is."""
    for cell in solution(label):
        for node in ast.parse(cell.source).body:
            if getattr(node, "name", None) == name:
                exec(ast.unparse(node), known)
                return known[name]
    raise AssertionError(f"the solution of {label} defines no {name}")


def printed(label: str, *patterns: str) -> list[float]:
    """Numbers that the page prints below a solution: group 1 of each pattern."""
    text = "".join(o.get("text", "") for cell in solution(label, ".ipynb") for o in cell.outputs)
    found = [re.search(pattern, text) for pattern in patterns]
    assert all(found), f"{label} prints {text!r}"
    return [float(match[1].replace(",", "")) for match in found if match]


def bayes_of(noise: float, known: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """p(y|x) of three Gaussians, with the variance of the noise, and with their shares or without."""
    w = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]])
    b = torch.tensor([-1.5, 0.3, -1.0])
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    shares = (b + w.square().sum(1) / 2) * known
    cov = a @ a.T + noise * torch.eye(2)
    return lambda x: (
        shares + torch.distributions.MultivariateNormal(w @ a.T, cov).log_prob(x[:, None])
    ).softmax(1)


class Case(NamedTuple):
    """What the chapter answers, and slips with what must be said of them."""

    right: Callable[[], Any]
    wrong: list[tuple[Any, str]]


def funnel_energy(jacobian: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda y: y[:, 0] ** 2 / 18 + y[:, 1] ** 2 / 2 + (1 - jacobian) * y[:, 0] / 2 + 7


def exact_posterior(slope: Callable[[float, float], float], spread: Callable[[float, float], float]) -> type:
    class Drawn(el.CoopNets):
        def infer(self, x, z):
            b = self.generator.net[0].weight.item()
            return slope(b, b**2 + 0.09) * x + spread(b, b**2 + 0.09) * torch.randn_like(z)

    return Drawn


def third(delta: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    m, s, t = ((w * delta**k).sum(0) for k in (1, 2, 3))
    return (t - 3 * m * s + 2 * m**3) / 6


def growth(s: float, K: int) -> float:
    rho = 1 - s**2 / 2
    return (rho ** (2 * K) + s**2 * sum(rho ** (2 * j) for j in range(K))) / (1 - rho**K)


def largest_of(k: int) -> float:
    """The mean of the largest of k standard normal numbers, by draws of their quantiles."""
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    return torch.special.ndtri(u ** (1 / k)).mean().item()


def filled(W, b, tau, x, seen, of_all=False):
    """The mean of all pixels given those seen; with ``of_all`` by the precision of all."""
    known, rows = W[seen], W if of_all else W[seen]
    precision = torch.eye(W.shape[1]).to(W) + rows.T @ rows / tau**2
    return b + W @ torch.linalg.solve(precision, known.T @ (x - b)[seen] / tau**2)


def cost(a: float) -> float:
    return 0.5 * (a - 1 - math.log(a))


def cliff(share: float) -> float:
    return 2 / share**2 * (1 - math.sqrt(1 - share**2))


CLIFFS = cliff(1 / 2), cliff(1 / 3)
log4, sqrt, exp, pi = math.log(4), math.sqrt, math.exp, math.pi


def kl(v: float, w: float) -> float:
    """Of two normal laws of mean 0, by their variances."""
    return 0.5 * (v / w - 1 - math.log(v / w))


CASES: dict[str, Case] = {
    "ex-01-cooling": Case(
        lambda: printed("ex-01-cooling", *(rf"measured {' +[0-9.]+' * i} +([0-9.]+)" for i in range(4))),
        [
            ([0.4, 0.3, 0.2, 0.1], "before cooling"),
            ([0.16, 0.09, 0.04, 0.01], "do not sum to one"),
            ((torch.tensor([0.4, 0.3, 0.2, 0.1]).sqrt() / 1.9437), "that is heating"),
            ([0.6, 0.3, 0.08, 0.02], "right in part; off: number 1, number 3, number 4"),
            ([0.5, 0.5], r"has shape \(2,\), expected numbers of shape \(4,\)"),
        ],
    ),
    "ex-01-edit": Case(
        lambda: printed("ex-01-edit", "temperature ([0-9.]+)", "variance ([0-9.]+)"),
        [
            ((2, 0.57), "temperature: the noise is too small"),
            ((0.707, 0.57), "temperature: it is the square"),
            ((0.5, 1.0667), "variance: that is the chain's before the edit"),
            ((0.5, 0.5), "variance: that is the limit of small steps"),
            (0.5, "expected 2 parts: temperature, variance"),
        ],
    ),
    "ex-01-importance": Case(
        lambda: lambda d, r: (sqrt(2 * r**2 - 1) / r**2) ** d,
        [
            (lambda d, r: (sqrt(2 * r**2 - 1) / r**2) ** -d, "it is upside down"),
            (lambda d, r: sqrt(2 * r**2 - 1) / r**2, "right for one dimension"),
            (lambda d, r: r ** (-d), "ratio of the peaks"),
        ],
    ),
    "ex-02-rate": Case(
        lambda: lambda s, T: s * sqrt(2 * T),
        [
            (lambda s, T: s * sqrt(T), "along one axis"),
            (lambda s, T: s * T * sqrt(2), "some cancel"),
            (lambda s, T: 2 * s**2 * T, "is a root missing"),
            (lambda s, T: s * sqrt(2), "A place that is wrong is clean"),
        ],
    ),
    "ex-02-missing": Case(
        lambda: defined("ex-02-missing", "fill", torch=torch),
        [
            (lambda W, b, tau, x, seen: filled(W, b, tau, x, torch.ones_like(seen)), "not seen take part"),
            (lambda W, b, tau, x, seen: filled(W, b, tau, x, seen, of_all=True), "that of all pixels"),
            (lambda W, b, tau, x, seen: filled(W, b, tau, x, seen) - b, "missing in the end"),
            (lambda W, b, tau, x, seen: filled(W, b, 1e4 * tau, 1e4 * (x - b) + b, seen), "no slip"),
            (lambda W, b, tau, x, seen: torch.zeros(2), r"has shape \(2,\)"),
        ],
    ),
    "ex-03-step": Case(
        lambda: printed("ex-03-step", r"s = ([0-9.]+)", "a draw ([0-9]+)"),
        [
            ((0.436, 2099), "widest direction"),
            ((0.0019, 2099), "the square of what is asked for: is a root missing?"),
            ((0.0610, 2099), "keeps the standard deviation"),
            ((0.0436, 20), "narrowest direction"),
            ((0.0436, 1050), "steps: a factor of two too small"),
        ],
    ),
    "ex-03-funnel": Case(
        lambda: defined("ex-03-funnel", "straight_funnel", torch=torch, funnel=targets.funnel(std=3.0)),
        [
            (funnel_energy(0), "has a Jacobian, whose logarithm is missing"),
            (funnel_energy(-1), "sign of the log-determinant is reversed"),
            (funnel_energy(2), "here the root is taken"),
            (targets.funnel(std=3.0), "the funnel's own energy"),
            (lambda y: y.square().sum(1) / 2, "by more than a constant"),
            (lambda y: y.square(), r"has shape \(50, 2\)"),
            (lambda y: y.norm(dim=2), "your function raised IndexError"),
        ],
    ),
    "ex-03-coins": Case(
        lambda: (lambda s: 1 / (1 - s**2 / 4), lambda s: 1 / (1 - s**2 / 2)),
        [
            (
                (lambda s: 1 / (1 - s**2 / 2), lambda s: 1 / (1 - s**2 / 4)),
                "always: that belongs to the other",
            ),
            ((lambda s: 1.0, lambda s: 1 / (1 - s**2 / 2)), "always: that is the variance of the right"),
            (
                (lambda s: 1 / (1 - s**2 / 4), lambda s: 1 / (1 + s**2 / 2)),
                "upside down: the chain is too wide",
            ),
        ],
    ),
    "ex-04-half": Case(
        lambda: [(a, cost(a)) for a in CLIFFS],
        [
            ([(1 / CLIFFS[0], 0.001), (1, 1)], "half, precision: learning makes the energy too steep"),
            ([(1.0625, 0.001), (1, 1)], "half, precision: right to first order only"),
            ([(1.0667, 0.001), (1, 1)], "learning moves the precision"),
            ([(CLIFFS[0], cost(1 / CLIFFS[0])), (1, 1)], "half, nats: the two densities have changed places"),
            (
                [(CLIFFS[0], cost(CLIFFS[0])), (CLIFFS[1], 2 * cost(CLIFFS[1]))],
                "third, nats: a factor of two",
            ),
        ],
    ),
    "ex-04-noise": Case(
        lambda: printed("ex-04-noise", "a = ([0-9.]+)")[0],
        [
            (1.0, "clean data"),
            (1.25, "the variance of what the model sees"),
            (0.667, "not standard deviations"),
            (lambda: 0.8, "is a function; expected a number: call it"),
        ],
    ),
    "ex-04-edit": Case(
        lambda: printed("ex-04-edit", "minimum ([0-9.]+)")[0],
        [(0.147, "there CD rests"), (0.2, "maximum likelihood rests"), (1.0, "both variances")],
    ),
    "ex-05-temperature": Case(
        lambda: lambda alpha, beta: beta**2 / (2 * alpha),
        [
            (lambda alpha, beta: beta**2 / alpha, "a factor of two too large"),
            (lambda alpha, beta: 2 * alpha / beta**2, "upside down"),
            (lambda alpha, beta: beta / sqrt(2 * alpha), "is the square missing"),
            (lambda alpha, beta: beta**2 / alpha**2, "the step size is not alpha"),
            (lambda alpha: alpha, "your function raised TypeError"),
        ],
    ),
    "ex-05-length": Case(
        lambda: printed("ex-05-length", r"^(\d+) right")[0],
        [
            (200, "too short"),
            (400, "long enough, but so is a shorter chain"),
            (300.5, "a whole number"),
            (10_000, "far too long"),
        ],
    ),
    "ex-06-target": Case(
        lambda: lambda s, std: s**2 / 2 * sqrt(pi / 2) / std,
        [
            (lambda s, std: s**2 * sqrt(pi / 2) / std, "a factor of two too large"),
            (lambda s, std: s**2 / 2 * sqrt(2 / pi) / std, "mean length of a normal number"),
            (lambda s, std: s**2 / 2 * sqrt(2) / std, "root of the mean square"),
            (lambda s, std: s**2 / 2 * sqrt(pi / 2) / std**2, "a variance below it"),
        ],
    ),
    "ex-06-momentum": Case(
        lambda: lambda beta, rate: pi / math.acos((1 + beta - rate) / (2 * sqrt(beta))),
        [
            (lambda b, rate: 2 * pi / math.acos((1 + b - rate) / (2 * sqrt(b))), "a whole period"),
            (lambda b, rate: pi / math.acos((1 + b - rate) / 2), "the modulus of the roots"),
            (lambda b, rate: math.acos((1 + b - rate) / (2 * sqrt(b))), "the angle of a root"),
            (lambda b, rate: math.acos((1 + b + rate) / (2 * sqrt(b))), "your function raised ValueError"),
        ],
    ),
    "ex-07-hand": Case(
        lambda: defined("ex-07-hand", "by_hand"),
        [
            (lambda v, w, d: d * v * (1 / w - 1 / v) ** 2, "the divergence has a half"),
            (lambda v, w, d: v * (1 / w - 1 / v) ** 2 / 2, "right for one dimension"),
            (lambda v, w, d: d * w * (1 / w - 1 / v) ** 2 / 2, "over the data, and not over the model"),
            (lambda v, w, d: d * (1 / w - 1 / v) ** 2 / 2, "mean of the squared length"),
            (3.0, "is float; expected a function of v, w, d"),
        ],
    ),
    "ex-07-denoise": Case(
        lambda: printed("ex-07-denoise", r"variance \[([0-9.]+)", r"variance \[[0-9.]+, ([0-9.]+)"),
        [
            ((5, 4), "^with: that is the variance of the clean data"),
            ((3, 3), "without: noise makes the data wider"),
            ((0.2, 0.2), "without: that is the precision"),
        ],
    ),
    "ex-08-translate": Case(
        lambda: printed("ex-08-translate", r"T = ([0-9.]+)", r"T = [0-9.]+\nT = ([0-9.]+)"),
        [
            ((1, 2), "second: noise that is too small"),
            ((0.5, 0.5), "first: the drift has half"),
            ((1, 0.7071), "second: the temperature is the square"),
        ],
    ),
    "ex-08-floor": Case(
        lambda: printed("ex-08-floor", r"floor (\d+)")[0],
        [
            (32.0, "the generator's noise alone"),
            (3.2, "the chain's noise alone"),
            (0.55, "one pixel"),
            (70.4, "a factor of two too large"),
        ],
    ),
    "ex-08-edit": Case(
        lambda: defined("ex-08-edit", "ExactPosterior", el=el, torch=torch, tau=0.3),
        [
            (el.CoopNets, "is CoopNets; expected a subclass of CoopNets"),
            (
                type("Bare", (el.CoopNets,), {"__init__": lambda self: None}),
                "raised TypeError: .*with nothing",
            ),
            (type("Same", (el.CoopNets,), {}), "infer returns the latents that it was given"),
            (exact_posterior(lambda b, w: b / w, lambda b, w: 0.0), "spread: there is none"),
            (exact_posterior(lambda b, w: b / w, lambda b, w: 0.09 / w), "spread: that is the variance"),
            (exact_posterior(lambda b, w: b / w, lambda b, w: 0.3 / w), "is a root missing below τ"),
            (exact_posterior(lambda b, w: 1 / b, lambda b, w: 0.3 / w**0.5), "mean: the prior is left out"),
            (exact_posterior(lambda b, w: 0.0, lambda b, w: 1.0), "mean: the draws do not look at x"),
            (exact_posterior(lambda b, w: 1 / 0, lambda b, w: 1.0), "your function raised ZeroDivisionError"),
        ],
    ),
    "ex-09-weight": Case(
        lambda: lambda w: sqrt(w / 2),
        [
            (lambda w: w / 2, "that is the variance"),
            (lambda w: sqrt(w), "two variances below its square"),
            (lambda w: sqrt(2 / w), "goes with much noise"),
        ],
    ),
    "ex-09-small": Case(
        lambda: [0.3, *printed("ex-09-small", "a = (-[0-9.]+)")],
        [
            ((0.21, -4.23), "variance: that is b²"),
            ((1.0, -4.23), "variance: that is what the ends have"),
            ((0.5477, -4.23), "variance: that is the standard deviation"),
            ((0.3, 4.23), "where must the energy push"),
            ((0.3, 0.0), "precision: a flat energy"),
        ],
    ),
    "ex-10-both": Case(
        lambda: (sqrt(1 - 0.3**2), 0.0),
        [
            ((0.91, 0), "b: that is b²"),
            ((1.0, 0), "b: the generator adds noise of its own"),
            ((0.954, 1.0), "a: at the right energy the chain still contracts"),
            ((0.954, 200.0), "forgets its start in one step"),
        ],
    ),
    "ex-10-half": Case(
        lambda: printed("ex-10-half", r"K =  5: weight ([0-9.]+)", r"K = 20: weight ([0-9.]+)"),
        [
            ((0.243, 0.194), "have changed places"),
            ((0.194, 0.194), "that is the weight for the other number of steps"),
            ((0.1, 0.243), "K = 5: the energy is too steep"),
            ((0.194, 0.4), "K = 20: the energy is too flat"),
            ((0.0, 0.4), "a weight is positive"),
        ],
    ),
    "ex-11-noise": Case(
        lambda: defined("ex-11-noise", "at_least", log4=log4),
        [
            (lambda loss: log4 - loss, "sums over two sides"),
            (lambda loss: (loss - log4) / 2, "the sign is reversed"),
            (lambda loss: (log4 / 2 - loss) / 2, "a loss of log 4 proves nothing"),
            (lambda loss: log4 / 2 - loss, "two classes on each side"),
        ],
    ),
    "ex-12-line": Case(
        lambda: (1 / 5, 4 / 5),
        [
            ((-0.4, 0.8), "mean: that is the mean of z"),
            ((1.0, 0.8), "mean: that is the flow's"),
            ((0.2, 0.2), "variance: that is the variance of z"),
            ((0.2, 1.25), "variance: that is the precision"),
            ((0.2, 4), "variance: that is the flow's"),
        ],
    ),
    "ex-12-neff": Case(
        lambda: lambda sigma: exp(-(sigma**2)),
        [
            (lambda sigma: exp(-(sigma**2) / 2), "is the first moment squared"),
            (lambda sigma: exp(sigma**2), "upside down"),
            (lambda sigma: exp(-2 * sigma**2), "one over the second moment"),
        ],
    ),
    "ex-12-vae": Case(
        lambda: lambda b, tau, theta: 1 / (theta + 1 / (b**2 + tau**2)),
        [
            (lambda b, tau, theta: b**2 + tau**2, "before the tilt"),
            (lambda b, tau, theta: 1 / (theta + 1 / b**2), "noise of its own"),
            (lambda b, tau, theta: theta + 1 / (b**2 + tau**2), "that is the precision"),
        ],
    ),
    "ex-13-temperature": Case(
        lambda: printed("ex-13-temperature", r"T = ([0-9.]+)")[0],
        [(0.2, "the square of a ratio"), (25, "cools, and does not heat"), (0.08, "has half the square")],
    ),
    "ex-13-floor": Case(
        lambda: lambda lam: 0.5 * (2 - 1 / lam).log().sum(),
        [
            (lambda lam: (2 - 1 / lam).log().sum(), "is a half missing"),
            (lambda lam: 0.5 * (2 - 1 / lam).log().mean(), "they add up"),
            (lambda lam: 0.5 * math.log(2) * len(lam), "limit of sharp posteriors"),
            (lambda lam: 0.5 * (2 - 1 / lam).log(), r"has shape \(3,\), expected a number"),
        ],
    ),
    "ex-13-collapse": Case(
        lambda: growth,
        [
            (lambda s, K: 1 / growth(s, K), "upside down"),
            (lambda s, K: 2 / (K * s**2), "short chains only"),
            (lambda s, K: 1 / (1 - (1 - s**2 / 2) ** K), "is the variance of the latents one"),
        ],
    ),
    "ex-14-reach": Case(
        lambda: printed("ex-14-reach", *(rf"{K} steps: ([0-9.]+)" for K in (10, 40, 400))),
        [
            ([1.52**2, 2.264**2, 3.01**2], "those are variances"),
            ([3, 3, 3], "the width of the codes"),
            ([1.52, 2.26, 3.5], "off: 400 steps"),
            (1.52, r"is one number, expected numbers of shape \(3,\)"),
        ],
    ),
    "ex-14-cold": Case(
        lambda: printed("ex-14-cold", "theory ([0-9.]+)")[0],
        [
            (0.1516, "standard deviation"),
            (0.1518, "the noise is still in it|standard deviation"),
            (0.125, "exact"),
        ],
    ),
    "ex-15-mixture": Case(
        lambda: printed("ex-15-mixture", *(rf"closed form{' [0-9.]+' * k} ([0-9.]+)" for k in range(3))),
        [
            ([0.1150, 0.6955, 0.1895], "depends on w"),
            ([0.1674, 0.4783, 0.3543], "completed with a half"),
            (0.5, r"is one number, expected numbers of shape \(3,\)"),
        ],
    ),
    "ex-15-information": Case(
        lambda: printed("ex-15-information", "= ([0-9.]+) nats")[0],
        [
            (0.6616, "that is the entropy of the mean alone"),
            (0.1733, "what the symbol leaves open"),
            (0.7045, "those are bits"),
            (-0.0316, "the second part is a mean"),
        ],
    ),
    "ex-15-bayes": Case(
        lambda: bayes_of(0.49, True),
        [
            (bayes_of(0.0, True), "the noise of x is missing"),
            (bayes_of(0.49, False), "the symbols are not equally frequent"),
            (lambda x: x, "shape"),
        ],
    ),
    "ex-16-rest": Case(
        lambda: printed("ex-16-rest", *(rf"c = {c}: ([0-9.]+)" for c in (" 1", " 0", "-1"))),
        [
            ([0.2667, 0.2, 0.1333], "the one that makes q narrow"),
            ([0.3, 0.2, 0.15], "upside down"),
            ([0.2, 0.2, 0.2], "the exact posterior's"),
            ([0.1333, 0.2, 0.3], "off: the cooperative sign"),
        ],
    ),
    "ex-16-generator": Case(
        lambda: lambda a, kappa: kappa / a,
        [
            (lambda a, kappa: kappa, "x has another"),
            (lambda a, kappa: a / kappa, "upside down"),
            (lambda a, kappa: -kappa / a, "the sign is reversed"),
        ],
    ),
    "ex-16-critic": Case(
        lambda: printed("ex-16-critic", "s = ([0-9.]+)")[0],
        [
            (0.0, "for an energy that is given"),
            (0.3, "the other side pulls to a point"),
            (0.09, "the length of a standard normal"),
        ],
    ),
    "ex-17-half": Case(
        lambda: printed("ex-17-half", "share ([0-9.]+)")[0],
        [
            (1.0, "if the covariance vanished"),
            (2.0, "upside down"),
            (-0.5, "the sign is reversed"),
            (0, "not zero"),
        ],
    ),
    "ex-17-step": Case(
        lambda: lambda low, high: 2 / (low + high),
        [
            (lambda low, high: 1 / (low + high), "a factor of two too small"),
            (lambda low, high: 1 / high, "safe, but slow"),
            (lambda low, high: 2 / high, "no longer converges"),
        ],
    ),
    "ex-18-loss": Case(
        lambda: lambda variance, L: variance / (2 * L),
        [
            (lambda variance, L: variance / L, "score matching has a half"),
            (lambda variance, L: variance / 2, "that is for one draw"),
            (lambda variance, L: variance / (2 * L**2), "falls like one over L"),
        ],
    ),
    "ex-18-third": Case(
        lambda: third,
        [
            (lambda d, w: -third(d, w), "the sign is reversed"),
            (lambda d, w: 6 * third(d, w), "is the factorial"),
            (lambda d, w: (w * d**3).sum(0) / 6, "the third moment"),
            (lambda d, w: third(d, torch.full_like(w, 1 / len(w))), "are the weights used"),
        ],
    ),
    "ex-19-scale": Case(
        lambda: 0.5 * sqrt(2 / 1.5),
        [
            (0.5 / sqrt(1.5), "that is right for κ = 1"),
            (0.5 / sqrt(3.0), "a larger weight asks for a larger scale"),
            (1.0 / sqrt(1.5), "the share has the square of ς"),
            (1 / 3, "that is ς²"),
            (0.5 * sqrt(2), "τ is the width of x given h"),
        ],
    ),
    "ex-19-bound": Case(
        lambda: math.log(2) - 3 / 8,
        [
            (3 / 8 - math.log(2), "a loss is positive"),
            (1.5 - math.log(2), "the other way round"),
            (math.log(2), "so do the mean squares"),
            (2 * math.log(2) - 0.75, "there is one latent"),
        ],
    ),
    "ex-20-copies": Case(
        lambda: defined("ex-20-copies", "copies", math=math),
        [
            (lambda m: 2**m, "the units have an order"),
            (lambda m: math.factorial(m), "change the signs"),
            (lambda m: 2 * math.factorial(m), "a sign of its own"),
        ],
    ),
    "ex-20-warm": Case(
        lambda: defined("ex-20-warm", "warmth"),
        [
            (lambda d, delta: 1 / delta, "each direction adds"),
            (lambda d, delta: d / delta, "a factor of two too large"),
            (lambda d, delta: 2 * delta / d, "the temperature itself"),
        ],
    ),
    "ex-20-ball": Case(
        lambda: defined("ex-20-ball", "log_volume", math=math),
        [
            (lambda k: k / 2 * math.log(math.pi) - math.lgamma(k / 2 + 1), "Euclidean"),
            (lambda k: k * math.log(2), "a cube"),
            (lambda k: -math.lgamma(k + 1), "one corner"),
            (lambda k: 2**k / math.factorial(k), "its logarithm"),
        ],
    ),
    "ex-21-bound": Case(
        lambda: defined("ex-21-bound", "most"),
        [
            (lambda kl: sqrt(kl / 2), "bounds the total variation"),
            (lambda kl: 0.5 + sqrt(kl / 2), "which share of the total variation"),
            (lambda kl: 0.5 + kl / 4, "the square of the total variation"),
            (lambda kl: 0.5 + sqrt(kl) / 2, "under the root"),
            (lambda kl: sqrt(kl / 8), "guessing has an accuracy"),
        ],
    ),
    "ex-21-blind": Case(
        lambda: printed("ex-21-blind", r"accuracy ([0-9.]+)", r"([0-9.]+) nats"),
        [
            ((0.5407, 0.0108), "accuracy: the test is one-sided"),
            ((0.5520, 0.0108), "accuracy: how many points are held out"),
            ((0.5260, 0.0108), "accuracy: half of the points train"),
            ((0.5736, 0.0108), "accuracy: the deviation of a share"),
            ((0.5368, 0.0027), "KL: the total variation is twice"),
            ((0.5368, 0.0736), "KL: that is the total variation"),
        ],
    ),
    "ex-21-chance": Case(
        lambda: defined("ex-21-chance", "spread"),
        [
            (lambda k, t: sqrt((k * k - 1) / 12), "that is for one target"),
            (lambda k, t: (k * k - 1) / (12 * t), "that is the variance"),
            (lambda k, t: sqrt((k * k - 1) / 12) / t, "variances add up"),
            (lambda k, t: k / sqrt(12 * t), "whole numbers"),
        ],
    ),
    "ex-22-nat": Case(
        lambda: printed("ex-22-nat", r"bfloat16 to ([0-9,]+)", r"float16  to ([0-9,]+)"),
        [
            ((512, 8192), "bfloat16: just above your limit"),
            ((1024, 16384), "float16: just below your limit"),
            ((1024, 1024), "float16: too small"),
        ],
    ),
    "ex-22-samples": Case(
        lambda: printed("ex-22-samples", r"64: n > ([0-9,]+)", r"2,048: n > ([0-9,]+)"),
        [
            ((128, 2_102_272), "64 features: that is for the means alone"),
            ((2208, 4096), "2,048 features: that is for the means alone"),
            ((4416, 2_102_272), "a factor of two too large"),
            ((2080, 2_102_272), "covariances alone"),
        ],
    ),
    "ex-22-bias": Case(
        lambda: lambda lam, n: (2.5 * lam.sum() + (lam[:, None] * lam / (lam[:, None] + lam)).sum()) / n,
        [
            (lambda lam, n: 2 * lam.sum() / n, "what the means contribute"),
            (
                lambda lam, n: (2 * lam.sum() + (lam[:, None] * lam / (lam[:, None] + lam)).sum()) / n,
                "vary twice as much",
            ),
            (lambda lam, n: (2.5 * lam.sum() + 0.5 * len(lam) * lam.sum()) / n, "right in part"),
        ],
    ),
    "ex-23-range": Case(
        lambda: defined("ex-23-range", "outside"),
        [
            (lambda n: 1 / (n + 1), "that is one side"),
            (lambda n: 2 / n, "how many are there with it"),
            (lambda n: (n - 1) / (n + 1), "the probability to be inside"),
            (lambda n: 2 ** (1 - n), "the median of the law"),
        ],
    ),
    "ex-23-pairs": Case(
        lambda: printed("ex-23-pairs", r"8 of 8: ([0-9.]+)", r"7 of 8: ([0-9.]+)"),
        [
            ((0.9936, 0.529), "8 of 8: the probability of eight successes is to be small"),
            ((0.6306, 0.529), "8 of 8: that is for a bound on both sides"),
            ((0.3123, 0.529), "8 of 8: that is the probability to fail"),
            ((0.6877, 0.875), "7 of 8: that is the estimate"),
            ((0.6877, 0.4843), "7 of 8: one failure at most"),
        ],
    ),
    "ex-23-best": Case(
        lambda: defined("ex-23-best", "best", torch=torch),
        [
            (lambda k: sqrt(2 * math.log(k)), "an upper bound"),
            (lambda k: torch.special.ndtri(torch.tensor(k / (k + 1.0))), "a quantile is no mean"),
            (lambda k: -largest_of(k), "the sign is reversed"),
            (lambda k: largest_of(k) / k, "any of the k"),
        ],
    ),
    "ex-24-destroyed": Case(
        lambda: defined("ex-24-destroyed", "destroyed", torch=torch),
        [
            (lambda v, w, s: kl(v + s**2, w + s**2), "what is left after the noise"),
            (lambda v, w, s: kl(v, w) - kl(v + s, w + s), "variances add"),
            (lambda v, w, s: kl(w, v) - kl(w + s**2, v + s**2), "the other way round"),
            (lambda v, w, s: kl(v, w) - kl(v + s**2, w), "the model gets the noise as well"),
        ],
    ),
}


def test_every_chapter_has_one_and_every_checker_a_case():
    assert [*exercises.names()] == [*CHAPTERS]
    assert sorted(CASES) == LABELS == [label for labels in exercises.names().values() for label in labels]


@pytest.mark.parametrize("label", LABELS)
def test_an_exercise_with_this_label_names_its_checker(label):
    text = CHAPTERS[int(label.split("-")[1])].read_text(encoding="utf-8")
    (body,) = re.findall(rf"```{{exercise}}[^\n]*\n:label: {label}\n(.*?)```\n", text, re.S)
    assert f'`el.exercises.check("{label}", ' in body


@pytest.mark.parametrize("label", LABELS)
def test_the_answer_of_the_chapter_is_right(label):
    verdict = exercises.check(label, CASES[label].right())
    assert verdict and verdict.right, verdict
    assert repr(verdict) == f"{label}: right"


def wrong(label: str) -> list[exercises.Verdict]:
    return [exercises.check(label, answer) for answer, _ in CASES[label].wrong]


@pytest.mark.parametrize("label", LABELS)
def test_slips_are_told_apart(label):
    texts = []
    for verdict, (_, match) in zip(wrong(label), CASES[label].wrong, strict=True):
        assert not verdict and not verdict.right and verdict.label == label
        assert re.search(match, verdict.text), (verdict.text, match)
        texts.append(verdict.text)
    assert len({*texts}) >= 2


def numbers(answer: Any) -> list[float]:
    if isinstance(answer, (list, tuple, torch.Tensor)):
        return [x for part in answer for x in numbers(part)]
    return [float(answer)] if isinstance(answer, (int, float)) or torch.is_tensor(answer) else []


@pytest.mark.parametrize("label", LABELS)
def test_no_hint_contains_the_answer(label):
    right = [x for x in numbers(CASES[label].right()) if x not in (0, 1)]
    mangled = (
        [] if len(right) != 1 else [exercises.check(label, right[0] * f) for f in (0.2, 0.93, 1.07, 1.3, -3)]
    )
    for verdict in [*wrong(label), *mangled]:
        assert not verdict
        said = verdict.text.partition(". The answer is ")[0]  # what follows is the question's
        said = re.sub(r"\(s, K\) = \(.*?\)|shape \(.*?\)|K = \d+|[\d.,]+ (%|features)", "", said)
        for said_number in map(float, re.findall(r"-?\d+(?:\.\d+)?", said)):
            assert not any(math.isclose(said_number, x, rel_tol=0.02) for x in right), verdict


# what any checker does


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (None, "is None; expected a number. The answer is a number, the loss in nats"),
        ("35", "is of type str; expected a number"),
        (float("nan"), "is not finite"),
        (35 + 1j, "is of type complex"),
        (torch.zeros(2, 2), r"has shape \(2, 2\), expected a number"),
        (33.0, "close, but not within 1 %"),
        (35.2**2, "is a root missing"),
        (35.2**0.5, "is the square missing"),
        (-35.2, "the sign is reversed"),
        (140.8, "a factor of four too large"),
        (8.8, "a factor of four too small"),
        (17.6, "a factor of two too small"),
        (35.2 * 2**0.5, "the root of two too large"),
        (35.2 / 2**0.5, "the root of two too small"),
        (1 / 35.2, "upside down"),
        (1000, "^too large"),
        (1, "^too small"),
    ],
)
def test_usual_slips_have_a_hint(answer, match):
    verdict = exercises.check("ex-08-floor", answer)
    assert not verdict and re.search(match, verdict.text), verdict


@pytest.mark.parametrize("answer", [35, 35.2, "numpy", "tensor", "one element", "with a graph"])
def test_a_number_may_come_in_any_form(answer):
    forms = {
        "numpy": np.float32(35.2),
        "tensor": torch.tensor(35.2),
        "one element": torch.tensor([[35.2]]),
        "with a graph": torch.tensor(35.2, requires_grad=True),
    }
    assert exercises.check("ex-08-floor", forms.get(answer, answer)).right


def test_a_right_value_is_never_taken_for_a_slip_and_a_slip_never_for_right():
    compare(1.0, 1.0, wrong=[(1.0, "no")])  # its root, square and inverse, too
    with pytest.raises(Hint, match=r"^not right, by no slip"):
        compare([2.0, 0.3], [1.0, 2.0])
    with pytest.raises(Hint, match=r"^right in part; off: b$"):
        compare([1.0, 3.0], [1.0, 2.0], entries=["a", "b"])
    with pytest.raises(Hint, match=r"^x: too small$"):
        compare(-1.0, 0.0, what="x", absolute=1e-3)


def test_a_function_that_fails_becomes_a_sentence_and_its_arguments_are_copies():
    def spoil(lam):
        lam.zero_()
        raise KeyError("lam")

    text = exercises.check("ex-13-floor", spoil).text
    assert text == "your function raised KeyError: 'lam'; it was called with a tensor of shape (3,)"


def test_what_a_function_does_to_its_arguments_stays_there():
    def mean(lam):
        out = 0.5 * (2 - 1 / lam).log().mean()
        lam.zero_()
        return out

    assert "they add up" in exercises.check("ex-13-floor", mean).text


def test_an_error_without_a_message_is_named():
    assert (
        "raised RuntimeError; it"
        in exercises.check("ex-11-noise", lambda loss: (_ for _ in ()).throw(RuntimeError)).text
    )


def test_the_random_numbers_of_the_reader_go_on_where_they_were():
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2), np.random.rand(2)
    torch.manual_seed(3)
    np.random.seed(3)
    drawn = []

    def noisy(y):
        drawn.append((torch.rand(1).item(), np.random.rand()))
        return y.sum(1)

    assert not exercises.check("ex-03-funnel", noisy)
    assert not exercises.check("ex-03-funnel", noisy)
    assert drawn[0] == drawn[1]  # the seed is the checker's
    assert torch.equal(torch.rand(2), expected[0]) and np.array_equal(np.random.rand(2), expected[1])


def test_gradients_are_there_for_an_answer_that_needs_them_also_where_they_are_off():
    def by_autograd(loss):
        x = torch.tensor(loss, requires_grad=True)
        (slope,) = torch.autograd.grad((log4 - x) ** 2 / 4, x)
        return -slope

    with torch.no_grad():
        assert exercises.check("ex-11-noise", by_autograd).right


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("ex-08-flor", "no exercise 'ex-08-flor' has a checker; did you mean 'ex-08-floor'?"),
        ("ex-08-long-run", "did you mean 'ex-"),
        ("banana", r"ebmlearn.exercises.names\(\) lists them"),
        (8, "no exercise 8 has a checker"),
    ],
)
def test_an_unknown_label_gets_the_nearest_one(label, match):
    with pytest.raises(ValueError, match=match):
        exercises.check(label, 1)


def test_a_label_has_one_checker():
    with pytest.raises(ValueError, match="two checkers for 'ex-08-floor'"):
        exercise("ex-08-floor")(lambda answer: None)
