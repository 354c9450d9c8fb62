"""Codes of positions and signals, and the matrices that move them.

Mutants tried, each red: interpolation off by one (the upper corner's weight at the lower, the last cell
without its edge, neighbours of a ring without the way round, the axes exchanged); points in another order; a
projection of the whole code per block and the reverse, or none at the start; moves in cells of another
spacing, out of the lattice, or not mirrored; the distance the long way round; a motion with a bias,
transposed, without its scale, of another degree; filters of another block, a reconstruction by another frame.
"""

import math

import pytest
import torch
from torch.nn.functional import grid_sample

from ebmlearn import seed
from ebmlearn.nets import BlockMotion, LatticeCode, LinearCode


def lattice(*args, **settings):
    return LatticeCode(*args, **settings).double()


def put(code, values):
    with torch.no_grad():
        code.codes.copy_(values.view_as(code.codes))
    return code


# lattice codes


@pytest.mark.parametrize(("dim", "periodic"), [(1, False), (1, True), (2, False), (2, True), (3, False)])
def test_at_the_points_of_a_lattice_are_its_codes(dim, periodic):
    code = lattice(4, 3, 2, dim=dim, periodic=periodic)
    x = code.points()
    assert x.shape == (4**dim, dim) and len(x.unique(dim=0)) == 4**dim
    assert x.min() == 0 and x.max().item() == pytest.approx(0.75 if periodic else 1.0)
    torch.testing.assert_close(code(x), code.codes)
    assert torch.equal(code.decode(code(x)), x)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_code_linear_in_each_coordinate_is_met_between_the_points(dim):
    code = lattice(5, 1, 2, dim=dim)
    slope, u = torch.randn(dim, 2).double(), code.points()
    product = u.prod(1, keepdim=True)
    put(code, u @ slope + 3 * product + 1)
    x = torch.rand(50, dim).double()
    x[:3] = torch.tensor([[0.0], [1.0], [1 + 5e-6]])  # edges, one of them with a rounding error
    torch.testing.assert_close(code(x)[:, 0], x @ slope + 3 * x.prod(1, keepdim=True) + 1)


def test_two_dimensions_are_the_bilinear_interpolation_of_images():
    code = lattice(6, 2, 3)
    image = code.codes.detach().view(6, 6, 6).permute(2, 0, 1)[None]
    x = torch.rand(30, 2).double()
    found = grid_sample(image, (2 * x.flip(1) - 1)[None, None], align_corners=True)
    torch.testing.assert_close(code(x).flatten(1), found[0, :, 0].T)


def test_a_ring_closes():
    code = lattice(4, 1, 1, dim=1, periodic=True)
    put(code, torch.tensor([1.0, 5, 2, 3]))
    x = torch.tensor([0.0, 1.0, -0.125, 0.875, 1.0625, 7.25]).double()[:, None]
    wanted = torch.tensor([1.0, 1, 2, 2, 2, 5]).double()
    torch.testing.assert_close(code(x).flatten(), wanted)
    far = code.squared_distance(x[:1] + 0.9, x[:1])
    torch.testing.assert_close(far, torch.tensor([0.01]).double())
    torch.testing.assert_close(
        lattice(4, 1, 1).squared_distance(torch.tensor([[0.9, 0.1]]), torch.zeros(1, 2)), torch.tensor([0.82])
    )
    torch.testing.assert_close(code.shift(x[:1] + 0.9, torch.tensor([0.3]).double()), x[:1] + 0.2)


@pytest.mark.parametrize("per_block", [False, True])
def test_norms_are_one_or_those_of_each_block_equal(per_block):
    code = LatticeCode(4, 3, 2, per_block=per_block)
    for scale in (1.0, 7.0):
        squares = code.codes.detach().square().sum(2)
        torch.testing.assert_close(squares.sum(1), torch.ones(16))
        assert (squares - 1 / 3).abs().max().lt(1e-6) == per_block
        before = code.codes.detach().clone()
        put(code, scale * before)
        code.project()
        torch.testing.assert_close(code.codes.detach(), before)


@pytest.mark.statistical
@pytest.mark.parametrize("on_lattice", [True, False])
@pytest.mark.parametrize("periodic", [True, False])
def test_draws_are_moves_within_the_lattice(periodic, on_lattice):
    seed(0)
    code, n = lattice(7, 1, 1, periodic=periodic), 20_000
    x, dx, y = code.draw(n, n_cells=2, on_lattice=on_lattice)
    assert x.dtype == torch.float64 and x.shape == dx.shape == y.shape == (n, 2)
    step = dx / code.spacing
    assert x.min() >= 0 and x.max() <= 1 + 1e-9 and step.abs().max() <= 2 + 1e-9
    assert y.min() >= -1e-9 and y.max() <= 1 + 1e-9
    torch.testing.assert_close(y, (x + dx) % 1 if periodic else x + dx)
    if on_lattice:
        for values, k in ((x / code.spacing, 7), (step, 5)):
            cells = values.round()
            torch.testing.assert_close(values, cells, atol=1e-9, rtol=0)
            assert len(cells.unique()) == k
    # inside of the lattice each move is as frequent as its opposite; moves of a variance of their own
    middle = step[((x > 0.4) & (x < 0.6)).all(1)]
    variance = 2.0 if on_lattice else 4 / 3
    fourth = (16 + 1) * 2 / 5 if on_lattice else 16 / 5
    m = middle.numel()
    assert abs(middle.mean()) < 5 * (variance / m) ** 0.5
    assert abs(middle.square().mean() - variance) < 5 * ((fourth - variance**2) / m) ** 0.5
    assert code.draw(0, n_cells=1)[0].shape == (0, 2)


def test_draws_have_a_generator():
    code = lattice(7, 1, 1)
    first, second = (code.draw(5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LatticeCode(1, 1, 1), "n is 1; expected a whole number >= 2"),
        (lambda: LatticeCode(4, 1, 1)(torch.full((2, 2), 1.1)), r"x lies between 1.1 and 1.1; expected pos"),
        (lambda: LatticeCode(4, 1, 1)(torch.zeros(2, 1)), r"x has shape \(2, 1\); expected \(B, 2\)"),
        (lambda: LatticeCode(4, 1, 1, periodic=True)(torch.full((2, 2), math.nan)), "expected finite pos"),
        (lambda: LatticeCode(7, 1, 1).draw(3, n_cells=4), "n_cells is 4; expected at most half of the latt"),
        (lambda: LinearCode((1, 4), 2)(torch.zeros(2, 4)), r"x has shape \(2, 4\); this net was built for"),
        (lambda: BlockMotion(2, 2, 1)(torch.zeros(3, 2, 2), torch.zeros(2, 1)), "there are 3 codes v and 2"),
    ],
)
def test_bad_calls_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# linear codes


def test_a_block_is_its_filters_and_a_tight_frame_gives_the_signal_back():
    code = LinearCode((2, 3), 4, 2).double()
    q = torch.linalg.qr(torch.randn(8, 6).double())[0]
    with torch.no_grad():
        code.weight.copy_(q)
    x = torch.randn(5, 2, 3).double()
    v = code(x)
    assert v.shape == (5, 4, 2)
    torch.testing.assert_close(v[:, 2, 1], x.flatten(1) @ q[5])
    torch.testing.assert_close(code.reconstruct(v), x)
    code.project()
    assert torch.equal(code.weight, q)


# motions


def test_nothing_moves_where_the_displacement_is_zero():
    motion = BlockMotion(3, 4, 2, degree=3, scale=0.1)
    assert torch.equal(motion.matrices(torch.zeros(2, 2)), torch.eye(4).expand(2, 3, 4, 4))


def test_a_block_is_the_polynomial_and_moves_its_own_part():
    motion = BlockMotion(2, 3, 2, degree=2, scale=0.5).double()
    torch.nn.init.normal_(motion.weight)
    assert motion.monomials == ((0,), (1,), (0, 0), (0, 1), (1, 1))
    dx, v = torch.randn(4, 2).double(), torch.randn(4, 2, 3).double()
    u, w = dx / 0.5, motion.weight
    for n in range(4):
        a, b = u[n]
        for k in range(2):
            m = torch.eye(3) + a * w[0, k] + b * w[1, k] + a * a * w[2, k] + a * b * w[3, k] + b * b * w[4, k]
            torch.testing.assert_close(motion.matrices(dx)[n, k], m)
            torch.testing.assert_close(motion(v, dx)[n, k], m @ v[n, k])
    assert len(BlockMotion(1, 1, 3, degree=2).monomials) == 9


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_rotation_is_met_to_the_order_of_the_degree(degree):
    """With the terms of its exponential series, the error falls with a power one higher than the degree."""
    motion = BlockMotion(1, 2, 1, degree=degree).double()
    generator = torch.tensor([[0.0, -1], [1, 0]]).double()
    with torch.no_grad():
        for p in range(degree):
            motion.weight[p, 0] = torch.linalg.matrix_power(generator, p + 1) / math.factorial(p + 1)
    angles = torch.tensor([[0.1], [0.05]]).double()
    wanted = torch.linalg.matrix_exp(angles[:, :, None] * generator)
    error = (motion.matrices(angles)[:, 0] - wanted).flatten(1).norm(dim=1)
    assert (error[0] / error[1]).log2().item() == pytest.approx(degree + 1, abs=0.05)
