"""Figures are checked by the data in their artists and, where orientation matters, by their pixels."""

import importlib
import inspect
import io
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import ebmlearn
from ebmlearn import viz
from ebmlearn.energy import Gaussian, GaussianMixture, Ring
from ebmlearn.viz.source import show

BOX = (-4.0, 4.0)
ORANGE = np.array(matplotlib.colors.to_rgb(viz.CHAIN)) * 255


@pytest.fixture(autouse=True)
def no_side_effects(monkeypatch):
    """No call changes rcParams or opens a window; figures are closed afterwards."""
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("plt.show() was called"))
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def corner():
    """A Gaussian in the upper right of the box, nearer to the top than to the right."""
    return Gaussian(torch.tensor([1.0, 2.5]), 0.09 * torch.eye(2))


def pixels(ax):
    """The figure as drawn, (rows, columns, 4), row 0 at the top."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba()).astype(float)


def pixel(ax, x, y):
    """Row and column of a point of the axes in `pixels`."""
    column, row_from_below = ax.transData.transform((x, y))
    return ax.figure.canvas.get_width_height()[1] - row_from_below, column


def notes(ax):
    return "\n".join(text.get_text() for text in ax.texts)


CALLS = {
    "energy_map": lambda **k: viz.energy_map(Ring(2.0, 0.3), box=BOX, n=30, **k),
    "samples": lambda **k: viz.samples(torch.randn(5, 2), **k),
    "chain": lambda **k: viz.chain(torch.randn(5, 3, 2), **k),
    "image_grid": lambda **k: viz.image_grid(torch.zeros(4, 1, 8, 8), **k),
    "traces": lambda **k: viz.traces({"loss": torch.randn(50)}, **k),
}


@pytest.mark.parametrize("name", CALLS)
def test_draws_on_the_given_axes_or_on_one_new_figure(name):
    new = CALLS[name](title="a title")
    assert plt.get_fignums() == [new.figure.number]
    assert new.get_title() == "a title"
    _, (left, right) = plt.subplots(1, 2)
    assert CALLS[name](ax=left) is left
    assert len(plt.get_fignums()) == 2
    assert not right.has_data()


# style


def test_style_gives_opaque_white_small_figures_and_is_idempotent():
    with matplotlib.rc_context():
        viz.style()
        once = dict(matplotlib.rcParams)
        viz.style()
        assert dict(matplotlib.rcParams) == once
        picture = pixels(plt.subplots()[1])
    assert picture.shape == (3 * 144, 4 * 144, 4)
    assert (picture[0, 0] == 255).all()


def lightness(colours):
    """CIE lightness, 0 to 100."""
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_colours_are_readable_in_grey():
    roles = np.sort(lightness([viz.DATA, viz.MODEL, viz.CHAIN]))
    assert np.diff(roles).min() > 10
    assert roles.max() < 62  # contrast 3:1 on white is lightness 61.6
    for name, sign in [(viz.DENSITY_MAP, -1), (viz.ENERGY_MAP, 1)]:
        steps = sign * np.diff(lightness(matplotlib.colormaps[name](np.linspace(0, 1, 32))))
        assert steps.min() > 0
        assert steps.max() < 2 * steps.mean()


@pytest.mark.parametrize("missing", ["matplotlib.pyplot", "seaborn"])
def test_missing_plotting_package_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "ebmlearn.viz._base")
    with pytest.raises(ImportError, match=r"matplotlib and seaborn: pip install 'ebmlearn\[plot\]'"):
        importlib.import_module("ebmlearn.viz._base")


# energy_map


def test_density_is_the_normalised_density_at_the_cell_midpoints(corner):

    def unnormalised(x):
        return corner(x) + 7.0

    image = viz.energy_map(unnormalised, box=BOX, n=90).images[0]
    density = torch.as_tensor(np.asarray(image.get_array()))
    assert density.sum().item() * (8 / 90) ** 2 == pytest.approx(1, abs=1e-9)
    axis = -4 + (torch.arange(90) + 0.5) * 8 / 90
    y, x = torch.meshgrid(axis, axis, indexing="ij")  # rows are y
    exact = corner.log_prob(torch.stack([x, y], -1).flatten(0, 1)).exp().view(90, 90)
    torch.testing.assert_close(density, exact.double(), rtol=1e-4, atol=1e-5)
    assert image.get_clim() == (0, pytest.approx(density.max().item()))


def test_mass_shows_up_at_its_place_on_the_screen(corner):
    ax = viz.energy_map(corner, box=BOX, n=90, colorbar=False)
    picture, extent = pixels(ax)[..., :3].sum(-1), ax.get_window_extent()
    height = picture.shape[0]
    inside = np.full_like(picture, np.inf)
    rows = slice(int(height - extent.y1) + 4, int(height - extent.y0) - 4)
    columns = slice(int(extent.x0) + 4, int(extent.x1) - 4)
    inside[rows, columns] = picture[rows, columns]
    darkest = np.argwhere(inside < inside.min() + 30).mean(0)
    assert darkest == pytest.approx(pixel(ax, 1.0, 2.5), abs=3)
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == (BOX, BOX, 1)


def colour_bar(ax):
    return ax.child_axes[0]._colorbar


def test_energy_is_shown_above_its_minimum_and_its_clipping_is_announced():

    def bowl(x):
        return x.square().sum(1) - 100

    ax = viz.energy_map(bowl, box=BOX, n=90, kind="energy")
    values = np.asarray(ax.images[0].get_array())
    axis = -4 + (np.arange(90) + 0.5) * 8 / 90
    raw = axis[:, None] ** 2 + axis**2
    np.testing.assert_allclose(values, np.minimum(raw - raw.min(), 10), atol=1e-4)
    assert colour_bar(ax).extend == "max"
    assert ax.images[0].get_clim() == (0, 10)
    assert "colours end" not in notes(ax)
    assert "colours end at 10" in notes(viz.energy_map(bowl, box=BOX, n=30, kind="energy", colorbar=False))
    whole = viz.energy_map(bowl, box=BOX, n=30, kind="energy", vmax=32.0)
    assert colour_bar(whole).extend == "neither"


def test_density_vmax_is_the_top_of_the_scale(corner):
    ax = viz.energy_map(corner, box=BOX, n=90, vmax=0.5)
    assert ax.images[0].get_clim() == (0, 0.5)
    assert ax.images[0].get_array().max() == 0.5
    assert colour_bar(ax).extend == "max"
    assert colour_bar(viz.energy_map(corner, box=BOX, n=90)).extend == "neither"
    assert "colours end at 0.5" in notes(viz.energy_map(corner, box=BOX, n=90, vmax=0.5, colorbar=False))


def test_mass_outside_the_box_is_announced_in_the_figure(corner):
    assert "mass" not in notes(viz.energy_map(corner, box=BOX, n=90))
    wide = Gaussian(torch.zeros(2), torch.eye(2))
    text = notes(viz.energy_map(wide, box=(-2.0, 2.0), n=90))  # true: 8.9 %
    assert 5 < float(text.split("%")[0]) < 15

    def flat(x):
        return torch.zeros(len(x))

    assert "mass outside" in notes(viz.energy_map(flat, box=BOX, n=30))


def test_infinite_energy_is_zero_density_and_the_end_of_the_energy_scale():

    def half_plane(x):
        return torch.where(x[:, 0] > 0, x.square().sum(1), torch.inf)

    density = np.asarray(viz.energy_map(half_plane, box=BOX, n=30).images[0].get_array())
    assert (density[:, :15] == 0).all()
    assert (density[:, 15:] > 0).all()
    energy = np.ma.asarray(viz.energy_map(half_plane, box=BOX, n=30, kind="energy").images[0].get_array())
    assert (energy[:, :15] == 10).all()
    assert not np.ma.is_masked(energy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_follow_the_dtype_of_a_network(dtype):
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).to(dtype)
    ax = viz.energy_map(net, box=BOX, n=30, kind="energy")
    assert ax.images[0].get_array().min() == 0
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_and_networks_on_a_gpu():
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).cuda()
    x = torch.randn(30, 4, 2, device="cuda", requires_grad=True)
    ax = viz.energy_map(net, box=BOX, n=30)
    viz.energy_map(lambda x: net(x), ax, box=BOX, n=30, device="cuda")
    viz.samples(x[0], viz.chain(x, ax))
    viz.image_grid(x[:, None])
    viz.traces({"loss": x[:, 0, 0]})
    viz.animate(x, lambda x: net(x), box=BOX, n_frames=2)


@pytest.mark.parametrize(
    ("energy", "options", "message"),
    [
        (Ring(2.0, 0.3), {"kind": "probability"}, 'kind must be "density" or "energy"; got \'probability\''),
        (Ring(2.0, 0.3), {"vmax": 0.0}, "vmax must be positive and finite.*got 0.0"),
        (Ring(2.0, 0.3), {"vmax": float("inf")}, "vmax must be positive and finite"),
        (Ring(2.0, 0.3), {"n": 200}, "multiple of 3"),
        (Ring(2.0, 0.3), {"box": (1.0, -1.0)}, "low < high"),
        (lambda x: x.square().sum(1, keepdim=True), {}, r"shape \(\d+, 1\).*\.squeeze\(-1\)"),
        (lambda x: x[:, 0].sqrt(), {}, "nan"),
    ],
)
def test_energy_map_refuses(energy, options, message):
    with pytest.raises(ValueError, match=message):
        viz.energy_map(energy, **{"box": BOX, "n": 30} | options)
    assert plt.get_fignums() == []


# samples


def test_samples_are_drawn_where_they_are():
    x = torch.randn(100, 2, requires_grad=True)
    ax = viz.samples(x, color=viz.MODEL, label="model")
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), x.detach())
    assert matplotlib.colors.to_hex(dots.get_facecolor()[0]) == viz.MODEL
    assert ax.get_legend_handles_labels()[1] == ["model"]
    assert notes(ax) == ""


def test_thinned_samples_keep_both_ends_and_say_so():
    x = torch.stack([torch.arange(1001.0), torch.zeros(1001)], 1)
    ax = viz.samples(x, n_max=11)
    np.testing.assert_array_equal(ax.collections[0].get_offsets()[:, 0], np.arange(0, 1001, 100))
    assert "11 of 1,001 points shown" in notes(ax)


def test_samples_over_a_map_keep_its_limits_and_count_what_lies_outside():
    ax = viz.energy_map(Ring(2.0, 0.3), box=BOX, n=30)
    viz.samples(torch.tensor([[0.0, 0.0], [3.9, -3.9], [0.0, 4.1], [-9.0, 0.0]]), ax)
    assert (ax.get_xlim(), ax.get_ylim()) == (BOX, BOX)
    assert "2 of 4 points outside" in notes(ax)
    viz.samples(torch.zeros(30, 2), ax, n_max=7)
    assert notes(ax).splitlines() == ["2 of 4 points outside the frame", "7 of 30 points shown"]
    assert len(ax.texts) == 1


def test_samples_box_sets_both_limits():
    ax = viz.samples(torch.zeros(3, 2), box=(-1.0, 2.0))
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 2), (-1, 2))
    assert ax.get_aspect() == 1


def test_a_target_is_drawn_on_its_own_box():
    target = ebmlearn.targets.eight_gaussians()
    assert viz.energy_map(target, n=30).get_xlim() == target.box
    assert viz.energy_map(target, n=30, box=(-5, 5)).get_xlim() == (-5, 5)
    with pytest.raises(ValueError, match=r"no box of its own: pass box=\(low, high\)"):
        viz.energy_map(lambda x: x.sum(1))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(5), {}, r"shape \(N, 2\); got \(5,\)"),
        (torch.zeros(5, 3), {}, r"got \(5, 3\).*x\[\.\.\., :2\]"),
        (torch.zeros(5, 4, 2), {}, r"got \(5, 4, 2\)"),
        (torch.zeros(0, 2), {}, "empty"),
        (torch.tensor([[0.0, torch.nan], [0.0, torch.inf]]), {}, "2 non-finite values of 4"),
        (torch.zeros(5, 2), {"n_max": 0}, "n_max is 0; expected a whole number >= 1"),
        (torch.zeros(5, 2), {"box": (0.0, 0.0)}, "low < high"),
        (torch.zeros(5, 2), {"box": ((-1, 1), (-1, 1))}, "two numbers"),
    ],
)
def test_samples_refuses(x, options, message):
    with pytest.raises(ValueError, match=message):
        viz.samples(x, **options)


# chain


def test_chain_lines_follow_each_chain_from_start_to_end():
    trajectory = torch.randn(7, 3, 2, requires_grad=True)
    ax = viz.chain(trajectory)
    lines, start, end = ax.collections
    for b, path in enumerate(lines.get_segments()):
        np.testing.assert_allclose(path, trajectory[:, b].detach())
    assert len(lines.get_segments()) == 3
    np.testing.assert_allclose(start.get_offsets(), trajectory[0].detach())
    np.testing.assert_allclose(end.get_offsets(), trajectory[-1].detach())
    assert ax.get_legend_handles_labels()[1] == ["start", "end"]
    assert notes(ax) == ""  # the limits hold every state


def test_one_chain_needs_no_batch_axis():
    trajectory = torch.randn(7, 2)
    (path,) = viz.chain(trajectory).collections[0].get_segments()
    np.testing.assert_allclose(path, trajectory)


def test_chain_that_leaves_the_map_is_counted():
    ax = viz.energy_map(Ring(2.0, 0.3), box=BOX, n=30)
    viz.chain(torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, -5.0]]), ax)
    assert (ax.get_xlim(), ax.get_ylim()) == (BOX, BOX)
    assert "2 of 3 states outside" in notes(ax)


def test_chain_refuses():
    with pytest.raises(ValueError, match=r"\(T, 2\) or \(T, B, 2\); got \(4, 3\)"):
        viz.chain(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="non-finite"):
        viz.chain(torch.full((4, 2), torch.inf))


# image_grid


def tile_of(page, k, n_cols, height, width):
    """Image ``k`` cut out of the page, for a border of one pixel."""
    top, left = 1 + (k // n_cols) * (height + 1), 1 + (k % n_cols) * (width + 1)
    return page[top : top + height, left : left + width]


@pytest.mark.parametrize("channels", [1, 3])
def test_image_k_stands_in_its_tile_upright(channels):
    x = torch.rand(5, channels, 4, 6, requires_grad=True) * 2 - 1
    ax = viz.image_grid(x, n_cols=3)
    page = np.asarray(ax.images[0].get_array())
    assert page.shape[:2] == (2 * 5 + 1, 3 * 7 + 1)
    for k in range(5):
        expected = (x[k].detach().permute(1, 2, 0).squeeze(-1) + 1) / 2
        np.testing.assert_allclose(tile_of(page, k, 3, 4, 6), expected, atol=1e-6)
    assert (tile_of(page, 5, 3, 4, 6) == 1).all()  # the tile without image is blank
    assert (page[0, :] == page[5, 0]).all()  # the border
    assert 0.3 < page[0, 0].mean() < 0.8
    assert ax.images[0].origin == "upper"
    assert ax.images[0].get_clim() == (0, 1)


def test_first_row_is_at_the_top_of_the_screen():
    x = torch.stack([torch.ones(1, 8, 8), -torch.ones(1, 8, 8)])
    picture = pixels(viz.image_grid(x, n_cols=1))[..., 0]
    column = picture[:, picture.shape[1] // 2]
    assert column[: len(column) // 2].max() == 255
    assert column[len(column) // 2 :].min() == 0
    assert np.flatnonzero(column == 0).min() > len(column) // 2 - 2


def test_values_outside_the_range_are_clipped_in_the_display_only():
    x = torch.tensor([-3.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4).clone()
    page = np.asarray(viz.image_grid(x).images[0].get_array())
    assert (tile_of(page, 0, 2, 4, 4) == 0).all()
    assert (tile_of(page, 1, 2, 4, 4) == 1).all()
    assert x.abs().min() == 3


def test_columns_follow_labels_or_make_a_square():
    ax = viz.image_grid(torch.zeros(8, 1, 4, 4), labels=["data", "model"])
    assert ax.images[0].get_array().shape == (11, 21)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["data", "model"]
    for tick, k in zip(ax.get_yticks(), [0, 4], strict=True):
        rows = np.arange(11.0)[1 + (k // 4) * 5 :][:4]
        assert tick == pytest.approx(rows.mean(), abs=0.5)
    assert viz.image_grid(torch.zeros(7, 1, 4, 4)).images[0].get_array().shape == (16, 16)
    assert viz.image_grid(torch.zeros(2, 1, 4, 4), n_cols=9).images[0].get_array().shape == (6, 11)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(1, 8, 8), {}, r"\(N, C, H, W\).*got \(1, 8, 8\).*x\[None\]"),
        (torch.zeros(4, 8, 8, 3), {}, r"C = 1 or 3; got \(4, 8, 8, 3\)"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), {}, r"got torch.uint8.*127\.5"),
        (torch.zeros(0, 1, 8, 8), {}, "empty"),
        (torch.full((2, 1, 8, 8), torch.nan), {}, "128 non-finite"),
        (torch.zeros(4, 1, 8, 8), {"n_cols": 0}, "n_cols is 0; expected a whole number >= 1"),
        (torch.zeros(4, 1, 8, 8), {"n_cols": 2, "labels": ["a"]}, "1 labels for 2 rows of 2 images"),
        (torch.zeros(4, 1, 8, 8), {"labels": []}, "0 labels for 2 rows"),
    ],
)
def test_image_grid_refuses(x, options, message):
    with pytest.raises(ValueError, match=message):
        viz.image_grid(x, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_grid_has_the_pixels_of_the_drawn_one(channels, tmp_path):
    x = torch.rand(5, channels, 4, 6) * 2.4 - 1.2  # some beyond the range: clipped in the picture
    viz.save_grid(x, tmp_path / "grid.png", n_cols=3)
    with PIL.Image.open(tmp_path / "grid.png") as picture:
        assert picture.mode == ("L" if channels == 1 else "RGB")
        page = np.asarray(picture)
    drawn = np.asarray(viz.image_grid(x, n_cols=3).images[0].get_array())
    assert page.dtype == np.uint8 and np.abs(page - 255 * drawn).max() <= 0.5
    with pytest.raises(ValueError, match="expected images of shape"):
        viz.save_grid(x[0], tmp_path / "grid.png")


# traces


def test_traces_draw_raw_values_and_their_centred_mean():
    values = torch.randn(40, requires_grad=True)
    ax = viz.traces({"gap": values, "other": values + 1}, keys=["gap"], smooth=5, start=10, ylabel="nats")
    mean, raw = ax.lines
    numbers = values.detach().double().numpy()
    np.testing.assert_array_equal(raw.get_xdata(), np.arange(10, 40))
    np.testing.assert_allclose(raw.get_ydata(), numbers[10:])
    np.testing.assert_array_equal(mean.get_xdata(), np.arange(12, 38))
    np.testing.assert_allclose(mean.get_ydata(), [numbers[i - 2 : i + 3].mean() for i in range(12, 38)])
    assert raw.get_alpha() < 0.5
    assert raw.get_color() == mean.get_color()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_legend()) == ("step", "nats", None)


def test_traces_name_their_metrics():
    history = {"gap": torch.zeros(9), "accept": torch.ones(9)}
    ax = viz.traces(history, smooth=3, labels={"gap": "energy gap"}, xlabel="iteration")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["energy gap", "accept"]
    assert ax.get_xlabel() == "iteration"
    lone = viz.traces(history, keys=["gap"], smooth=1, labels={"gap": "energy gap"})
    assert (len(lone.lines), lone.get_ylabel()) == (1, "energy gap")


@pytest.mark.parametrize(
    ("history", "options", "error", "message"),
    [
        ({}, {}, ValueError, "no metric to draw"),
        ({"a": torch.zeros(9)}, {"keys": ["b"]}, KeyError, r"no metric 'b' in the history; it has a"),
        ({"a": torch.zeros(9)}, {"smooth": 0}, ValueError, "smooth is 0; expected a whole number >= 1"),
        ({"a": torch.zeros(9)}, {"start": -1}, ValueError, "start is -1; expected a whole number >= 0"),
        ({"a": torch.zeros(9)}, {"smooth": 5, "start": 5}, ValueError, "'a' has 9 values: too few"),
        ({"a": torch.zeros(9, 2)}, {}, ValueError, r"'a' has shape \(9, 2\); expected \(steps,\)"),
        ({"a": torch.full((9,), torch.nan)}, {"smooth": 1}, ValueError, "'a' holds 9 non-finite"),
    ],
)
def test_traces_refuse(history, options, error, message):
    with pytest.raises(error, match=message):
        viz.traces(history, **options)


# animate


def frames(image):
    """Frames of an animated PNG as RGB arrays."""
    movie = PIL.Image.open(io.BytesIO(image.data))
    assert movie.format == "PNG"
    pages = []
    for k in range(movie.n_frames):
        movie.seek(k)
        pages.append(np.asarray(movie.convert("RGB")).astype(float))
    return pages


def orange(page):
    """Centre (row, column) of the chains' colour."""
    return np.argwhere(np.abs(page - ORANGE).max(-1) < 40).mean(0)


@pytest.fixture
def eight():
    angle = torch.arange(8) * torch.pi / 4
    return GaussianMixture(2 * torch.stack([angle.cos(), angle.sin()], 1), 0.25)


def test_animation_has_its_frames_and_stays_small(eight):
    trajectory = torch.randn(60, 100, 2).mul(0.1).cumsum(0).requires_grad_()
    movie = viz.animate(trajectory, eight, box=BOX, n_frames=20, duration_ms=150)
    pages = frames(movie)
    assert len(pages) == 20
    assert len({page.tobytes() for page in pages}) == 20
    info = PIL.Image.open(io.BytesIO(movie.data)).info
    assert (info["duration"], info["loop"]) == (150, 0)
    assert len(movie.data) < 300_000
    again = [viz.animate(trajectory, eight, box=BOX, n_frames=3).data for _ in range(2)]
    assert again[0] == again[1]
    assert plt.get_fignums() == []


def test_animated_points_move_from_the_start_to_the_end(eight):
    path = torch.linspace(0, 1, 31)[:, None] * torch.tensor([3.0, 3.0]) + torch.tensor([-1.5, 0.0])
    for energy in (None, eight):
        pages = frames(viz.animate(path[:, None], energy, box=BOX, n_frames=4))
        places = np.array([orange(page) for page in pages])
        steps = np.diff(places, axis=0)
        assert (steps[:, 0] < 0).all()  # upwards on the screen
        assert (steps[:, 1] > 0).all()
        np.testing.assert_allclose(
            np.abs(steps), np.abs(steps).mean(), atol=1.5
        )  # the picture does not shift
        per_unit = np.abs(steps).mean() / 1.0
        assert per_unit == pytest.approx(225 / 8, rel=0.15)


def test_still_chains_and_points_outside_are_told_by_the_title():
    still = torch.zeros(5, 2, 2)
    pages = frames(viz.animate(still, box=BOX, n_frames=5))
    assert len({page.tobytes() for page in pages}) == 5
    numbered = frames(viz.animate(still, box=BOX, n_frames=5, every=10))
    assert (numbered[0] == pages[0]).all()
    assert (numbered[1] != pages[1]).any()
    beyond = still.clone()
    beyond[0, 0] = 9.0
    title = slice(0, 25)
    told = frames(viz.animate(beyond, box=BOX, n_frames=5))[0]
    assert (told[title] < 128).sum() > 1.5 * (pages[0][title] < 128).sum()


@pytest.mark.parametrize("channels", [1, 3])
def test_animated_images_fade_as_they_should(channels):
    level = torch.linspace(-1, 1, 9).view(9, 1, 1, 1, 1)
    movie = viz.animate(level.expand(9, 4, channels, 8, 8), n_frames=9, n_cols=2)
    pages = frames(movie)
    height, width, _ = pages[0].shape
    at = (height - width // 4 - 5, width // 4)  # inside the lower left image
    shown = [page[at].mean() for page in pages]
    np.testing.assert_allclose(shown, np.linspace(0, 255, 9), atol=3)


@pytest.mark.parametrize(
    ("trajectory", "options", "message"),
    [
        (torch.zeros(9, 2), {"box": BOX}, r"got \(9, 2\).*trajectory\[:, None\]"),
        (torch.zeros(9, 4, 3), {"box": BOX}, r"got \(9, 4, 3\)"),
        (torch.zeros(9, 4, 2), {}, "need box"),
        (torch.zeros(9, 4, 2), {"box": (2.0, 1.0), "n_frames": 9}, "low < high"),
        (torch.zeros(9, 4, 1, 8, 8), {"box": BOX}, "takes neither"),
        (torch.zeros(9, 4, 2, 8, 8), {"n_frames": 9}, "C = 1 or 3"),
        (torch.zeros(9, 4, 2), {"box": BOX}, "n_frames must be between 2 and the 9 entries.*got 20"),
        (torch.zeros(9, 4, 2), {"box": BOX, "n_frames": 1}, "n_frames must be between 2"),
        (torch.zeros(9, 4, 2), {"box": BOX, "n_frames": 9, "duration_ms": 0}, "at least 1; got 0 and 1"),
        (torch.zeros(9, 4, 2), {"box": BOX, "n_frames": 9, "every": 0}, "got 200 and 0"),
        (torch.full((9, 4, 2), torch.nan), {"box": BOX, "n_frames": 9}, "trajectory holds 72 non-finite"),
    ],
)
def test_animate_refuses(trajectory, options, message):
    with pytest.raises(ValueError, match=message):
        viz.animate(trajectory, **options)


def test_animate_without_ipython_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="pip install ipython"):
        viz.animate(torch.zeros(9, 4, 2), box=BOX, n_frames=9)


# show


class Sampler:
    """Draws."""

    def step(self, x):
        """One step,

        which moves.
        """

        # as in ```python sampler.step(x)```
        def move(x):
            """Not shown either."""
            return x + 1

        return move(x)


STEP = """def step(self, x):

    # as in ```python sampler.step(x)```
    def move(x):
        \"\"\"Not shown either.\"\"\"
        return x + 1

    return move(x)
"""


def fake_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append((data, raw)))
    return shown


def test_show_prints_the_dedented_source_without_its_docstring(capsys):
    assert show(Sampler.step) is None
    assert capsys.readouterr().out == STEP
    show(Sampler)
    assert capsys.readouterr().out.startswith("class Sampler:\n\n    def step(self, x):\n")
    show(Sampler.step, inner="move")
    assert capsys.readouterr().out == "def move(x):\n    return x + 1\n"


def test_show_finds_the_move_of_every_kernel(capsys):
    for kernel in (ebmlearn.ula, ebmlearn.mala, ebmlearn.hmc, ebmlearn.gibbs):
        inner = "step" if kernel is ebmlearn.gibbs else "move"
        show(kernel, inner=inner)
        printed = capsys.readouterr().out
        assert printed.startswith(f"def {inner}(")
        assert "    return " in printed
        assert max(map(len, printed.splitlines())) <= 78


def test_show_refuses_an_inner_function_that_is_not_there():
    with pytest.raises(ValueError, match=r"'stop'; expected one of \['at', 'init', 'move'\]"):
        show(ebmlearn.mala, inner="stop")


def plain(x):
    return x + 1


def test_show_prints_without_ipython(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    show(plain)
    assert capsys.readouterr().out == inspect.getsource(plain)
    assert "IPython" not in sys.modules


def test_show_gives_a_python_block_in_a_notebook(monkeypatch, capsys):
    shown = fake_notebook(monkeypatch)
    show(plain)
    ((data, raw),) = shown
    source = inspect.getsource(plain).rstrip()
    assert raw
    assert data == {"text/plain": source, "text/markdown": f"```python\n{source}\n```"}
    assert capsys.readouterr().out == ""


def test_show_fences_source_that_holds_a_fence(monkeypatch):
    shown = fake_notebook(monkeypatch)
    show(Sampler.step)
    block = shown[0][0]["text/markdown"]
    assert block.startswith("````python\ndef step")
    assert block.endswith("\n````")
    assert "# as in ```python" in block


@pytest.mark.parametrize("thing", [Sampler(), len, 3])
def test_show_refuses_what_has_no_source(thing):
    with pytest.raises(TypeError, match=r"no Python source for .*show\(type\(obj\)\)"):
        show(thing)


@pytest.mark.slow
def test_in_a_real_notebook():
    """The inline backend keeps the style, `show` gives Markdown, `animate` a PNG; nothing on stderr."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [
        "import torch, matplotlib.pyplot as plt\nfrom ebmlearn import viz\nviz.style()",
        "ax = viz.samples(torch.zeros(3, 2), box=(-1, 1))\nplt.show()",
        "viz.show(viz.style)",
        "viz.animate(torch.zeros(3, 1, 2), box=(-1, 1), n_frames=3)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(book, kernel_name="python3", record_timing=False).execute()
    first, figure, source, movie = (cell.outputs for cell in book.cells)
    assert first == []
    assert [sorted(o.data) for o in figure] == [["image/png", "text/plain"]]
    assert (
        figure[0].data["text/plain"] == "<Figure size 432x432 with 1 Axes>"
    )  # 3 inches at 144 dots per inch
    assert [sorted(o.data) for o in source] == [["text/markdown", "text/plain"]]
    assert [sorted(o.data) for o in movie] == [["image/png", "text/plain"]]
    assert movie[0].data["text/plain"] == "<IPython.core.display.Image object>"
