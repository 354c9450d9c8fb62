"""The stored times to truth (`make truth`) of chapter 22: their medians
over the seeds, and the figure."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("truth.json")
TARGETS = ("T4", "8 Gaussians")
BOUNDS = {"0.1": "seconds_010", "0.05": "seconds_005"}
GROUPS = {
    ("ebmlearn", "own"): "ebmlearn",
    ("ebmlearn", "compiled"): "ebmlearn, compiled",
    ("ebmkit", "own"): "ebmkit",
    ("ebmkit", "ours"): "ebmkit, our settings",
    ("torchebm", "own"): "torchebm",
    ("torchebm", "ours"): "torchebm, our settings",
}
FIELDS = ("target", "package", "settings", "learner")
SHORT = {
    "persistent chains": "persistent chains",
    "cooperative learning": "cooperative learning",
    "score matching": "score matching",
    "noise-contrastive estimation": "noise contrast",
    "energy discrepancy": "energy discrepancy",
}


class Contest:
    """A record; a time is infinite where a bound was not reached."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record, self.rows = record, record["rows"]
        self.seeds = 1 + max(row["seed"] for row in self.rows)

    def runs(self, target: str, group: tuple, learner: str, bound: str):
        """Seconds of all seeds, sorted."""
        key = (target, *group, learner)
        field = BOUNDS[bound]
        found = [
            math.inf if row[field] is None else row[field]
            for row in self.rows
            if key == tuple(row[k] for k in FIELDS)
        ]
        return sorted(found)

    def median(self, *key: Any) -> float:
        return statistics.median_low(self.runs(*key))

    def learners(self, group: tuple) -> list[str]:
        """Those of a package in some settings, as the record has them."""
        found = [
            row["learner"]
            for row in self.rows
            if (row["package"], row["settings"]) == group
        ]
        return list(dict.fromkeys(found))

    def fastest(self, target: str, group: tuple, bound: str):
        """The least median, and whose it is."""
        return min(
            (self.median(target, group, name, bound), name)
            for name in self.learners(group)
        )


def load() -> Contest:
    return Contest(json.loads(FILE.read_text("utf-8")))


def told(seconds: float) -> str:
    """Two digits, and a word where a bound was not reached."""
    return "not reached" if seconds == math.inf else f"{seconds:.2g} s"


def ratio(
    contest: Contest, target: str, package: str, learner: str
) -> str:
    """Their time to 0.1 nats in our settings over ours in them."""
    of = contest.median
    theirs = of(target, (package, "ours"), learner, "0.1")
    ours = of(target, ("ebmlearn", "own"), learner, "0.1")
    if math.inf in (theirs, ours):
        return "     -"
    return f"{theirs / ours:6.2f}"


def draw(contest: Contest, axes: Any) -> None:
    """A row for each learner, a panel for each target."""
    y, labels, heads = 0, {}, []
    finite = [row[f] for row in contest.rows for f in BOUNDS.values()]
    least = 0.7 * min(s for s in finite if s is not None)
    most = 2 * contest.record["cap"]
    for group, head in GROUPS.items():
        names = contest.learners(group)
        heads += [y] if names else []
        labels |= {y: head} if names else {}
        for name in names:
            y += 1
            labels[y] = f"{SHORT[name]} "
            for ax, target in zip(axes, TARGETS, strict=True):
                for shift, bound, face in (
                    (-0.16, "0.1", "w"),
                    (0.16, "0.05", "k"),
                ):
                    _mark(
                        ax,
                        contest.runs(target, group, name, bound),
                        y + shift,
                        most,
                        face,
                    )
        y += 1 if names else 0
    for ax, target in zip(axes, TARGETS, strict=True):
        ax.set(
            xscale="log",
            xlim=(least, 1.6 * most),
            ylim=(y - 0.4, -0.7),
            title=target,
        )
        ax.set(xlabel="seconds", yticks=[])
        ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
        ax.grid(axis="x", color="0.9", lw=0.6)
        ax.axvline(contest.record["cap"], color="0.6", ls=":", lw=0.8)
    axes[0].set_yticks(list(labels), list(labels.values()))
    for ax in axes:
        ax.tick_params(axis="y", length=0)
    for text, at in zip(axes[0].get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if at in heads else "normal")


def _mark(
    ax: Any, runs: list[float], y: float, most: float, face: str
) -> None:
    shown = [min(seconds, most) for seconds in runs]
    middle = statistics.median_low(shown)
    ax.plot(
        [shown[0], shown[-1]], [y, y], "-", color="0.6", lw=0.9, zorder=1
    )
    if middle == most:
        ax.plot(
            middle,
            y,
            "x",
            color="k" if face == "k" else "0.6",
            ms=4,
            mew=0.9,
        )
    else:
        ax.plot(middle, y, "o", mec="k", mfc=face, ms=4, mew=0.8)
