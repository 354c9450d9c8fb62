"""What chapter 21 makes of its table: ranks, bounds, maps, labels; and what is stored.

Bugs that they are for, each made once and seen to fail: ranks over contestants taken along targets; an
infinite median ranked first; equal ones ranked by their order; an interval from resampled targets alone; a
missing seed passed over; the truth ranked with the others; the two bounds of the accuracy swapped; a map
upside down; milliseconds drawn as seconds; a label outside the frame.
"""

import base64
import math

import bakeoff_views as views
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact


def made(values: dict[str, list[list[float | None]]], **more) -> views.Results:
    """Results with the divergences of seeds, by contestant and target; accuracies are the same numbers."""
    runs = [
        {"budget": "seconds", "target": f"t{i}", "contestant": name, "seed": seed, "end": "done"}
        | {"kl": kl, "accuracy": kl}
        for name, targets in values.items()
        for i, seeds in enumerate(targets)
        for seed, kl in enumerate(seeds)
    ]
    maps = {f"t{i}": {} for i in range(len(next(iter(values.values()))))}
    return views.Results({"runs": runs, "maps": maps, "speed": {}} | more)


THREE = {
    "oracle": [[0.0, 0.0, 0.0]] * 2,
    "steady": [[1.0, 1.1, 1.2], [1.0, 1.0, 1.0]],
    "better": [[0.1, 0.2, 9.0], [1.0, 1.0, 1.0]],
    "lost": [[None, None, 0.0], [5.0, None, 5.0]],
}


def test_a_rank_is_that_of_the_median_and_equal_ones_share_their_places():
    names, values = made(THREE).table("seconds", "kl")
    assert names == ["steady", "better", "lost"]
    # t0: better, steady, lost; t1: both first at 1.5, lost third
    assert views.ranks(values).tolist() == [1.75, 1.25, 3.0]
    many = values.expand(5, -1, -1, -1)
    assert views.ranks(many).tolist() == [[1.75, 1.25, 3.0]] * 5


def test_those_that_are_all_infinite_share_the_last_places():
    values = torch.tensor([[[1.0]], [[math.inf]], [[math.inf]]])
    assert views.ranks(values).tolist() == [1.0, 2.5, 2.5]


def test_ranks_over_all_contestants_have_a_known_mean():
    values = torch.rand(7, 4, 5, generator=torch.Generator().manual_seed(0))
    assert math.isclose(views.ranks(values).mean(), 4.0)


def test_seeds_are_resampled_within_targets_and_targets_among_each_other():
    # one of them is better on t0 and worse on t1, without any noise
    values = torch.tensor([[[1.0] * 5, [4.0] * 5], [[2.0] * 5, [3.0] * 5]])
    held = views.resampled(values, targets=False, n=50)
    assert (held == 1.5).all()
    drawn = views.resampled(values, n=400)[:, 0]
    assert sorted(set(drawn.tolist())) == [1.0, 1.5, 2.0]
    assert abs((drawn == 1.5).double().mean() - 0.5) < 0.13
    # seeds alone: the median of three seeds of [0, 0, 9] is 9 if at least two of three are
    noisy = torch.tensor([[[0.0, 0.0, 9.0]], [[5.0, 5.0, 5.0]]])
    last = (views.resampled(noisy, targets=False, n=2000)[:, 0] == 2.0).double().mean()
    assert abs(last - 7 / 27) < 0.05


def test_the_ranking_leaves_the_truth_out_and_has_the_best_first():
    ranking = views.ranking(made(THREE), "seconds", "kl")
    assert list(ranking.mean) == ["better", "steady", "lost"]
    for name, mean in ranking.mean.items():
        assert ranking.low[name] <= mean <= ranking.high[name]
    assert ranking.low["better"] < 1.25 < ranking.high["better"]


def cells(table: str) -> list[list[str]]:
    """Of a table in Markdown, line by line."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_table_has_a_line_for_each_and_says_who_diverged():
    results = made(THREE)
    for row in results.runs["seconds", "t0", "lost"][:2]:
        row["end"] = "diverged"
    table, ended = views.rank_table(results, "seconds").split("\n\n")
    head, _, *lines = cells(table)
    assert head == ["equal seconds", "energy", "samples", "seeds"]
    assert [line[0] for line in lines] == ["truth", "better", "steady", "lost"]
    assert lines[0][2] == "accuracy 0.000" and ended == "Diverged: lost 2 of 6."
    assert lines[1][-1] == "×1.0" and lines[3][-1] == "over ×99"
    assert "oracle" not in table


def test_divergences_are_shown_target_by_target_in_the_order_of_ranks():
    head, _, *lines = cells(views.target_table(made(THREE), "seconds"))
    assert head == ["KL", "t0", "t1"]
    assert lines == [["better", "0.20", "1.00"], ["steady", "1.10", "1.00"], ["lost", "∞", "5.00"]]
    assert [views.nats(value) for value in (0.0123, 12.3, 100.0)] == ["0.012", "12.3", "over 100"]


def test_seeds_differ_by_a_factor_and_a_run_has_seconds():
    runs = made({"steady": [[1.0, 2.0], [1.0, 6.0], [1.0, 4.0]]}).record["runs"]
    for row in runs:
        row |= {"budget": "gradients", "updates": 300}
    maps = {f"t{i}": {} for i in range(3)}
    results = views.Results({"runs": runs, "maps": maps, "speed": {"steady": 20.0}})
    assert views.steady(results, "gradients", "steady") == 4.0
    assert views.seconds(results, "steady") == 6.0


def test_a_seed_that_is_missing_is_said():
    results = made(THREE | {"late": [[1.0, 1.0], [1.0, 1.0, 1.0]]})
    with pytest.raises(ValueError, match=r"seconds: \[2, 3\] seeds .* complete the file"):
        views.ranking(results, "seconds", "kl")
    with pytest.raises(
        ValueError, match=r"no run of \('seconds', 't0', 'nobody'\); there are t0, t1 for oracle"
    ):
        results.median("seconds", "t0", "nobody", "kl")


@pytest.mark.parametrize("shift", [0.2, 1.0, 3.0])
def test_no_accuracy_on_draws_of_a_density_is_above_the_bound(shift):
    """Of two unit Gaussians a distance apart KL and TV are known; the bound is above and not far."""
    p = Gaussian(torch.zeros(1), torch.eye(1))
    q = Gaussian(torch.tensor([shift]), torch.eye(1))
    grid = exact.Grid((-9, 12), n=300, dim=1)
    best = 0.5 + exact.total_variation(p, q, grid).value / 2
    bound = float(views.most(exact.kl(p, q, grid).value))
    assert best <= bound < min(1.0, best + 0.12)


def test_the_bound_begins_at_a_half_and_ends_at_one():
    assert views.most([0.0, 0.02, 1e9]).tolist() == [0.5, 0.55, 1.0]
    slopes = np.diff(views.most(np.geomspace(1e-3, 20, 300)))
    assert (slopes >= 0).all()


def test_a_map_stands_upright():
    cells = np.zeros((4, 4), np.uint8)
    cells[0, 3] = 255  # lowest y, largest x
    stored = base64.b64encode(cells.tobytes()).decode()
    results = made({"steady": [[1.0]]}, maps={"t0": {"steady": stored}})
    assert views.density(results, "t0", "steady")[0, 3] == 1
    fig, axes = plt.subplots(1, 1, squeeze=False)
    views.draw_maps(results, ["steady"], axes)
    (image,) = axes[0, 0].images
    assert image.origin == "lower" and image.get_array()[0, 3] == 1
    plt.close(fig)


def test_the_course_of_a_run_is_in_seconds_and_the_median_of_the_seeds():
    results = made({"steady": [[1.0, 1.0, 1.0]]}, speed={"steady": 20.0})
    for row, end in zip(results.runs["seconds", "t0", "steady"], (1.0, None, 3.0), strict=True):
        row["curve"] = [[50, 9.0], [100, end]]
    assert views.course(results, "t0", "steady") == [(1.0, 9.0), (2.0, 3.0)]


def test_every_point_of_the_plane_has_a_label_inside_the_frame():
    values = {f"contestant {i}": [[0.1 * 1.1**i]] for i in range(12)}
    results = made(values | {"oracle": [[0.0]], "lost": [[None]]})
    for row in (row for rows in results.runs.values() for row in rows):
        row["accuracy"] = 0.55
    fig, ax = plt.subplots(figsize=(4.2, 5))
    views.draw_plane(results, "seconds", ax)
    fig.canvas.draw()
    frame = ax.get_window_extent()
    assert {text.get_text() for text in ax.texts} == {*values, "truth", "lost"}
    for text in ax.texts:
        box = text.get_window_extent()
        assert views.outside((box.x0, box.y0, box.x1, box.y1), frame) < 20, text
    plt.close(fig)


def test_names_that_nobody_knows_are_kept():
    assert views.family("a new method") == views.OTHER and views.short("a new method") == "a new method"
    assert views.short("ebmkit, ours: persistent chains") == "ebmkit, ours: persistent"
    assert views.short("ebmkit, ours: noise-contrastive estimation") == "ebmkit, ours: contrast"
    assert views.package_or_family("ebmkit, ours: anything") == "ebmkit, ours"


def arena(**fields: tuple[float, float]) -> views.Results:
    """An arena of its own: two contestants, whose medians over three seeds are not their means."""
    runs = [
        {"budget": "gradients", "target": "digits", "contestant": name, "seed": seed, "accuracy": 0.75}
        | {field: both[i] + seed**2 for field, both in fields.items()}
        for i, name in enumerate(("first", "other"))
        for seed in range(3)
    ]
    return views.Results({"runs": runs, "maps": {}})


@pytest.mark.parametrize(
    ("fields", "best", "line"),
    [
        ({"kl": (5.0, 10.0)}, "first", "first 6.00 (5.00 to 9.00) 0.75"),
        ({"nats": (5.0, 10.0), "gap": (0.0, 1.0)}, "other", "other 11.0 (10.0 to 14.0) 0.75"),
        (
            {"nats_high": (6.0, 12.0), "nats_low": (5.0, 10.0)},
            "other",
            "other 11.0 (10.0 to 14.0) 13.0 (12.0 to 16.0) 0.75",
        ),
    ],
)
def test_beyond_the_plane_the_better_one_is_above(fields, best, line):
    results = arena(**fields)
    head, _, first, second = cells(views.beyond(results, "gradients", "digits"))
    assert head[0] == "digits" and head[-1] == "accuracy"
    assert first[0] == best and second[0] != best
    assert " ".join(first) == line


# what is stored


def test_the_truth_cannot_be_told_from_itself():
    results = views.load()
    for target in results.plane("gradients"):
        assert max(results.of("gradients", target, views.TRUTH, "kl")) < 1e-6
        assert min(results.of("gradients", target, views.TRUTH, "p")) > 1e-4
