"""The stored bake-off (`bakeoff.py`) of chapter 21: its ranks, tables and
figures.

Contestants and targets are those that the file has. A number is infinite
where a run diverged or a density gives data no mass.
"""

import base64
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import tables
from ebmlearn import viz

FILE = Path(__file__).with_name("bakeoff.json")
TRUTH = "oracle"
"""The contestant that draws from the target: shown and not ranked."""

FAMILIES = {
    "chains": (
        "persistent chains",
        "contrastive divergence",
        "short run",
    ),
    "no chain": (
        "exact likelihood",
        "score matching",
        "denoising score matching",
        "noise-contrastive estimation",
        "energy discrepancy",
    ),
    "energy and companion": (
        "cooperative learning",
        "flow contrastive estimation",
        "VAE as sampler",
        "dual-MCMC teaching",
        "neural transport",
        "divergence triangle",
        "BiDVL",
    ),
    "generator": (
        "VAE",
        "alternating back-propagation",
        "short-run inference",
        "latent-space prior",
    ),
    "no energy learned": ("Gaussian", "kernel density", "flow"),
}
OTHER = "others"
LOOKS = {
    "chains": ("o", viz.CHAIN),
    "no chain": ("s", viz.DATA),
    "energy and companion": ("^", viz.MODEL),
    "generator": ("v", "0.45"),
    "no energy learned": ("D", "white"),
    OTHER: ("P", "0.75"),
    TRUTH: ("*", "black"),
}
SHORT = {
    "noise-contrastive estimation": "noise contrast",
    "flow contrastive estimation": "flow contrast",
    "denoising score matching": "denoising",
    "contrastive divergence": "contrastive div.",
    "cooperative learning": "cooperative",
    "alternating back-propagation": "alternating b.-p.",
    "dual-MCMC teaching": "dual MCMC",
    "divergence triangle": "triangle",
    TRUTH: "truth",
    "checkerboard": "checker- board",
}
SHORTER = {
    "persistent chains": "persistent",
    "energy discrepancy": "discrepancy",
    "noise-contrastive estimation": "contrast",
    "score matching": "scores",
}
"""Beside the name of a package."""

COLUMNS = {
    "8 Gaussians": "eight",
    "25 Gaussians": "lattice",
    "checkerboard": "board",
}
"""Of a table with all targets, which has to fit on a phone."""

ENERGY, SAMPLES = "kl", "accuracy"
"""What a run is ranked by: the divergence of its density, the accuracy
of a classifier that tells its samples from data."""


def family(name: str) -> str:
    """What kind of contestant it is; that of another package is OTHER."""
    if name == TRUTH:
        return TRUTH
    found = [f for f, names in FAMILIES.items() if name in names]
    return found[0] if found else OTHER


def short(name: str) -> str:
    """A name that fits beside a point; packages keep theirs."""
    package, colon, learner = name.rpartition(": ")
    names = SHORT | SHORTER if package else SHORT
    return package + colon + names.get(learner, learner)


class Ranks(NamedTuple):
    """Mean ranks over targets; 1 is best.

    Attributes:
        mean: By contestant, best first.
        low: Lower end of the interval that resampling gives.
        high: Upper end.
    """

    mean: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]


class Results:
    """What the file holds."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record, self.maps = record, record["maps"]
        self.runs: dict[tuple[str, str, str], list[dict]] = {}
        for row in sorted(record["runs"], key=lambda row: row["seed"]):
            key = row["budget"], row["target"], row["contestant"]
            self.runs.setdefault(key, []).append(row)

    def of(self, budget: str, target: str, name: str, field: str):
        """A number of each seed; infinite where a run has none.

        Raises:
            ValueError: If there is no such run.
        """
        key = budget, target, name
        if key not in self.runs:
            raise ValueError(
                f"no run of {key}; there are {', '.join(self.on(budget))}"
                f" for {', '.join(self.names(budget))}"
            )
        found = [row.get(field) for row in self.runs[key]]
        return [math.inf if value is None else value for value in found]

    def median(self, *key: str) -> float:
        """That of the seeds; infinite where most of them are."""
        return statistics.median_low(self.of(*key))

    def on(self, budget: str) -> list[str]:
        """All targets of a budget."""
        return list(
            dict.fromkeys(t for b, t, _ in self.runs if b == budget)
        )

    def plane(self, budget: str) -> list[str]:
        """Those in the plane, of whose densities the file has maps."""
        return [
            target for target in self.on(budget) if target in self.maps
        ]

    def names(self, budget: str, target: str | None = None) -> list[str]:
        """Who took part: in the plane, or on one target."""
        asked = [target] if target else self.plane(budget)
        found = [n for b, t, n in self.runs if b == budget and t in asked]
        return list(dict.fromkeys(found))

    def typical(self, budget: str, name: str, field: str) -> float:
        """Median over the targets in the plane of the seeds' median."""
        return statistics.median_low(
            self.median(budget, target, name, field)
            for target in self.plane(budget)
        )

    def table(
        self, budget: str, field: str, targets: Iterable[str] = ()
    ) -> tuple[list[str], Tensor]:
        """Ranked contestants; values ``(contestant, target, seed)``.

        Raises:
            ValueError: If a contestant has more or fewer seeds than
                others.
        """
        names = [n for n in self.names(budget) if n != TRUTH]
        asked = tuple(targets) or self.plane(budget)
        values = [
            [self.of(budget, target, name, field) for target in asked]
            for name in names
        ]
        found = {len(seeds) for rows in values for seeds in rows}
        if len(found) != 1:
            raise ValueError(
                f"{budget}: {sorted(found)} seeds of a contestant on a"
                " target; expected as many of each: complete the file"
            )
        return names, torch.tensor(values, dtype=torch.float64)

    def lost(self, budget: str, name: str) -> tuple[int, int]:
        """Runs in the plane that diverged, and all of them."""
        ends = [
            row["end"]
            for target in self.plane(budget)
            for row in self.runs[budget, target, name]
        ]
        return ends.count("diverged"), len(ends)


def load() -> Results:
    return Results(json.loads(FILE.read_text("utf-8")))


# ranks


def ranks(values: Tensor) -> Tensor:
    """Mean rank over targets of the medians over seeds.

    Equal medians share the mean of their places, and so do all that are
    infinite.

    Args:
        values: Shape ``(..., contestant, target, seed)``.

    Returns:
        Shape ``(..., contestant)``; 1 is best on every target.
    """
    middle = values.sort(-1).values[..., (values.shape[-1] - 1) // 2]
    one, other = middle.unsqueeze(-3), middle.unsqueeze(-2)
    places = (other < one).double() + 0.5 * (other == one)
    return places.sum(-3).mean(-1) + 0.5


def resampled(
    values: Tensor, *, targets: bool = True, n: int = 1000
) -> Tensor:
    """Mean ranks in contests that might have been, ``(n, contestant)``.

    Seeds are drawn anew with replacement, for each contestant and target
    by itself, and the targets too unless these are held fixed.
    """
    g = torch.Generator().manual_seed(0)
    n_names, n_targets, n_seeds = values.shape
    at = torch.arange(n_targets).expand(n, -1)
    if targets:
        at = torch.randint(n_targets, (n, n_targets), generator=g)
    shape = n, n_names, n_targets, n_seeds
    seeds = torch.randint(n_seeds, shape, generator=g)
    drawn = values[:, at].transpose(0, 1).gather(-1, seeds)
    # in pieces, because all pairs of contestants are compared
    return torch.cat([ranks(part) for part in drawn.split(100)])


def ranking(
    results: Results,
    budget: str,
    field: str,
    *,
    over: Iterable[str] = (),
    level: float = 0.9,
    **how: Any,
) -> Ranks:
    """Mean ranks with an interval that holds this share of `resampled`.

    Args:
        results: The runs.
        budget: Which contest.
        field: What is ranked, less is better.
        over: Targets; none: all in the plane.
        level: Of the interval.
        how: As for `resampled`.
    """
    names, values = results.table(budget, field, over)
    drawn = resampled(values, **how)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2])
    low, high = drawn.quantile(ends.double(), 0)
    order = ranks(values).argsort(stable=True).tolist()
    return Ranks(
        *(
            {names[i]: part[i].item() for i in order}
            for part in (ranks(values), low, high)
        )
    )


def steady(results: Results, budget: str, name: str) -> float:
    """Largest divergence of the seeds over the least, median target."""
    factors = []
    for target in results.plane(budget):
        kls = results.of(budget, target, name, ENERGY)
        top = max(kls)
        factors.append(top / min(kls) if top < math.inf else top)
    return statistics.median_low(factors)


def seconds(results: Results, name: str) -> float:
    """That a run of equal gradients takes on one idle thread."""
    ms = results.record["speed"].get(name, 0.0)
    target = results.plane("gradients")[0]
    return results.of("gradients", target, name, "updates")[0] * ms / 1000


def rank_table(results: Results, budget: str, **how: Any) -> str:
    """Mean ranks by energy and by samples, and their intervals, Markdown.

    After them by how much seeds differ (`steady`) and, for equal
    gradients, the seconds. The truth stands above, with its accuracy in
    place of ranks. The last line names who diverged.
    """
    by_energy, by_samples = (
        ranking(results, budget, field, **how)
        for field in (ENERGY, SAMPLES)
    )
    timed = budget == "gradients"
    accuracy = results.typical(budget, TRUTH, SAMPLES)
    head = [f"equal {budget}", "energy", "samples", "seeds", "s"]
    rows = [["truth", "", f"accuracy {accuracy:.3f}", "", ""]]
    for name in by_energy.mean:
        factor = steady(results, budget, name)
        rows.append(
            [
                short(name),
                *(
                    f"{part.mean[name]:.1f} ({part.low[name]:.0f}–"
                    f"{part.high[name]:.0f})"
                    for part in (by_energy, by_samples)
                ),
                f"×{factor:.1f}" if factor < 100 else "over ×99",
                f"{seconds(results, name):.1f}" if timed else "",
            ]
        )
    wide = len(head) if timed else len(head) - 1
    made = tables.markdown(head[:wide], [row[:wide] for row in rows])
    lost = {name: results.lost(budget, name) for name in by_energy.mean}
    ended = [
        f"{short(name)} {n} of {tried}"
        for name, (n, tried) in lost.items()
        if n
    ]
    return f"{made}\n\nDiverged: {', '.join(ended) or 'none'}."


def target_table(results: Results, budget: str) -> str:
    """Median divergences in nats on each target, in Markdown, in the order
    of mean ranks."""
    targets = results.plane(budget)
    rows = [
        [short(name)]
        + [nats(results.median(budget, t, name, ENERGY)) for t in targets]
        for name in ranking(results, budget, ENERGY, n=2).mean
    ]
    heads = [COLUMNS.get(target, target) for target in targets]
    return tables.markdown(["KL", *heads], rows)


def nats(value: float) -> str:
    """As `brief`, and a digit more where little is lost; ∞ where most runs
    diverged."""
    if value >= 100:
        return "over 100" if value < math.inf else "∞"
    return f"{value:.3f}" if value < 0.1 else brief(value)


# figures


def most(kl: Any) -> Any:
    """The largest accuracy of any test on draws of a density.

    Half of one plus the total variation, by Pinsker's inequality and, for
    large divergences, that of Bretagnolle and Huber.

    Args:
        kl: Divergence of data from the density, in nats; an array.
    """
    kl = np.asarray(kl, dtype=float)
    variation = np.minimum((kl / 2) ** 0.5, (1 - np.exp(-kl)) ** 0.5)
    return 0.5 + variation / 2


def draw_plane(results: Results, budget: str, ax: Any) -> None:
    """Each contestant where its energy (KL) and samples (C2ST) put it."""
    at = {
        name: (
            results.typical(budget, name, ENERGY),
            results.typical(budget, name, SAMPLES),
        )
        for name in results.names(budget)
    }
    finite = [kl for kl, _ in at.values() if 0 < kl < math.inf]
    low, high = 0.4 * min(finite), 4 * max(finite)
    shown = {
        name: (min(max(kl, 1.3 * low), 0.75 * high), min(accuracy, 1.0))
        for name, (kl, accuracy) in at.items()
    }
    heights = [accuracy for _, accuracy in shown.values()]
    bottom, top = min(heights) - 0.03, max(heights) + 0.05
    kl = np.geomspace(low, high, 200)
    ax.fill_between(kl, most(kl), 1.1, color="0.93", lw=0)
    ax.plot(kl, most(kl), "-", color="0.6", lw=1)
    ax.axhline(0.5, color="0.6", ls=":", lw=1)
    ax.set(xscale="log", xlim=(low, high), ylim=(bottom, top))
    ax.set_xlabel("energy wrong by: KL, nats (median target)")
    ax.set_ylabel("samples told from data: accuracy")
    used = [f for f in LOOKS if f in {family(name) for name in at}]
    for kind in used:
        mark, color = LOOKS[kind]
        points = [shown[n] for n in shown if family(n) == kind]
        size = 9 if kind == TRUTH else 6
        ax.plot(
            *zip(*points, strict=True),
            mark,
            ms=size,
            color=color,
            mec="k",
            mew=0.7,
            label="truth" if kind == TRUTH else kind,
            zorder=3,
        )
    ax.figure.canvas.draw()
    place(ax, {short(name): xy for name, xy in shown.items()})


def place(ax: Any, points: dict[str, tuple[float, float]]) -> None:
    """A label beside each point, where it hides the least.

    Labels are set one after the other, those of crowded points first, at
    the free place nearest to the point.
    """
    pixels = {
        name: ax.transData.transform(xy) for name, xy in points.items()
    }
    centres = np.array(list(pixels.values()))
    unit = ax.figure.dpi / 72  # pixels of a point
    frame = ax.get_window_extent()
    labels: list[tuple] = []
    taken = [
        (x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit)
        for x, y in centres
    ]

    def crowded(name: str) -> float:
        far = np.linalg.norm(centres - pixels[name], axis=1)
        return float((far < 60 * unit).sum())

    for name in sorted(points, key=crowded, reverse=True):
        text = ax.annotate(name, points[name], fontsize=8, zorder=4)
        size = text.get_window_extent()
        width, height = size.width, size.height
        spots = []
        for away in range(7, 130, 5):
            for angle in np.arange(0, 2 * np.pi, np.pi / 8):
                dx = away * unit * np.cos(angle)
                dy = away * unit * np.sin(angle)
                x, y = pixels[name] + (dx, dy)
                x -= width * (1 - np.cos(angle)) / 2
                y -= height / 2
                box = (x, y, x + width, y + height)
                hidden = sum(overlap(box, other) for other in taken)
                hidden += 9 * outside(box, frame)
                middle = (
                    pixels[name] + (x + width / 2, y + height / 2)
                ) / 2
                hidden += 300 * any(inside(middle, b) for b in labels)
                spots.append((hidden + 0.2 * away * unit, away, box))
        _, away, box = min(spots)
        taken.append(box)
        labels.append(box)
        spot = (np.array(box[:2]) - pixels[name]) / unit
        text.remove()
        line = {"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkB": 3}
        ax.annotate(
            name,
            points[name],
            spot,
            textcoords="offset points",
            fontsize=8,
            zorder=4,
            arrowprops=line | {"shrinkA": 0} if away > 12 else None,
        )


def overlap(one: tuple, other: tuple) -> float:
    """Common area of two boxes (left, bottom, right, top)."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def inside(point: Any, box: tuple) -> bool:
    """Whether a point is in a box (left, bottom, right, top)."""
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def outside(box: tuple, frame: Any) -> float:
    """Area of a box that a frame cuts off."""
    inner = (frame.x0, frame.y0, frame.x1, frame.y1)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - overlap(box, inner)


def density(results: Results, target: str, name: str) -> np.ndarray:
    """Root of a density on a square, as a share of its largest."""
    cells = np.frombuffer(
        base64.b64decode(results.maps[target][name]), np.uint8
    )
    side = math.isqrt(len(cells))
    return cells.reshape(side, side) / 255


def draw_maps(results: Results, names: list[str], axes: Any) -> None:
    """A row for each contestant, a column for each target of the maps."""
    for row, name in zip(axes, names, strict=True):
        for ax, target in zip(row, results.maps, strict=True):
            ax.set(xticks=[], yticks=[])
            for side in ax.spines.values():
                side.set(visible=True, color="0.7", lw=0.5)
            if name in results.maps[target]:
                ax.imshow(
                    density(results, target, name),
                    cmap=viz.DENSITY_MAP,
                    origin="lower",
                    vmin=0,
                    vmax=1,
                )
        row[0].set_ylabel(
            wrapped(short(name)), rotation=0, ha="right", va="center"
        )
        row[0].yaxis.label.set_fontsize(8)
    for ax, target in zip(axes[0], results.maps, strict=True):
        ax.set_title(wrapped(SHORT.get(target, target), 9), fontsize=8)


def wrapped(text: str, width: int = 12) -> str:
    """At most two lines, broken at the space nearest to the middle."""
    spaces = [i for i, c in enumerate(text) if c == " "]
    if len(text) <= width or not spaces:
        return text
    at = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return text[:at] + "\n" + text[at + 1 :]


def best_of_families(results: Results, budget: str) -> dict[str, str]:
    """By family the contestant whose energy is nearest on most targets."""
    found: dict[str, str] = {}
    for name in ranking(results, budget, ENERGY, n=2).mean:
        found.setdefault(package_or_family(name), name)
    return found


def package_or_family(name: str) -> str:
    """As `family`, but packages one by one."""
    return name.split(": ")[0] if ": " in name else family(name)


def course(results: Results, target: str, name: str) -> list[tuple]:
    """Seconds, and the median divergence over the seeds, along a run."""
    curves = [
        row["curve"]
        for row in results.runs["seconds", target, name]
        if "curve" in row
    ]
    ms = results.record["speed"].get(name, 0.0)
    points = []
    for at in zip(*curves, strict=False):
        values = [math.inf if kl is None else kl for _, kl in at]
        points.append(
            (at[0][0] * ms / 1000, statistics.median_low(values))
        )
    return points


STROKES = "-", "--", "-.", ":", (0, (5, 1)), (0, (1, 3)), (0, (6, 2, 1, 2))


def draw_time(
    results: Results, axes: Any, also: Iterable[str] = ()
) -> list[Any]:
    """Divergence against seconds, a panel for each target.

    The best of each family and package, and others if one asks. What
    makes no updates has no course, but a level.

    Returns:
        The lines of the last panel, for a legend.
    """
    chosen = [*best_of_families(results, "seconds").values(), *also]
    lines: list[Any] = []
    for ax, target in zip(axes, results.plane("seconds"), strict=True):
        lines = []
        for i, name in enumerate(dict.fromkeys(chosen)):
            points = course(results, target, name)
            mark, color = LOOKS[family(name)]
            if family(name) == OTHER:
                mark = "Pp*X<>"[i % 6]
            mark = "h" if name in also else mark
            level = results.median("seconds", target, name, ENERGY)
            found = [(s, kl) for s, kl in points if kl < math.inf]
            lines += ax.plot(
                [s for s, _ in found] or [0, 1],
                [kl for _, kl in found] or [level, level],
                marker=mark if points else "",
                ls=STROKES[i % len(STROKES)],
                color="0.4" if color == "white" else color,
                mfc=color,
                mec="k",
                mew=0.5,
                ms=5,
                lw=1,
                label=short(name),
                transform=ax.transData
                if points
                else ax.get_yaxis_transform(),
            )
        ax.set(xscale="log", yscale="log", title=target)
        ax.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
        ax.set_xticks([], minor=True)
        ax.set_yticks([], minor=True)
        ax.grid(axis="y", color="0.9", lw=0.6)
    return lines


# beyond the plane


def beyond(results: Results, budget: str, target: str) -> str:
    """A line for each contestant in an arena of its own, best first, in
    Markdown.

    The medians of the seeds, and their range: of nats lost (KL); where
    the truth is not known of nats that a datum has; where these are only
    bracketed of both ends, lower and upper.
    """
    fields = {
        field
        for row in results.record["runs"]
        for field in row
        if row["target"] == target and row[field] is not None
    }
    shown, sign = ("nats_low", "nats_high"), -1
    if "nats" in fields:
        shown = ("nats",)
    elif ENERGY in fields:
        shown, sign = (ENERGY,), 1
    rows = []
    for name in results.names(budget, target):
        values = [results.of(budget, target, name, f) for f in shown]
        test = results.of(budget, target, name, SAMPLES)
        middle = statistics.median_low(test)
        told = f"{middle:.2f}" if middle <= 1 else ""
        cells = [short(name), *map(spread, values), told]
        rows.append((sign * statistics.median_low(values[0]), cells))
    heads = {ENERGY: "KL, nats", "nats_low": "nats, one end"}
    heads |= {"nats_high": "nats, other end"}
    head = [target, *(heads.get(f, f) for f in shown), "accuracy"]
    return tables.markdown(head, [cells for _, cells in sorted(rows)])


def spread(values: list[float]) -> str:
    """Their median and range, such as ``0.12 (0.10 to 0.15)``."""
    ends = f"({brief(min(values))} to {brief(max(values))})"
    return f"{brief(statistics.median_low(values))} {ends}"


def brief(value: float) -> str:
    """Two decimals below 10, one below 100, and none above."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"
