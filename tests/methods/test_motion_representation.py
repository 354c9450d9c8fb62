"""Motion as a matrix: each term by hand, and codes whose motion is known: waves on a ring, and three in the
plane.

Mutants tried, each red: weights exchanged between terms; a projection that is left out, or comes before the
update; the matrix transposed, or of the reverse motion; the code of ``x`` in the place of ``y``'s; the
kernel without its half, or with the positions of the same datum; the isometry's sign, its constant
of another block or without ``1/K``; a balance of squares of means; the reconstruction of ``y``; path
integration that decodes before it moves, re-encodes never or from the last step; a plan that moves
away, out of the lattice, or round the ring without end; the inferred motion that is least likely.
"""

import math

import pytest
import torch
from torch import nn

from ebmlearn import seed
from ebmlearn.methods import MotionRepresentation
from ebmlearn.nets import BlockMotion, Code, LatticeCode, LinearCode
from ebmlearn.schedules import linear
from ebmlearn.train import fit

ROTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)


def ring(n=12, frequencies=(1, 2, 3)):
    """Pairs of waves on a ring, and the motion by up to one cell that is exact for them."""
    k = len(frequencies)
    code = LatticeCode(n, k, 2, dim=1, periodic=True).double()
    motion = BlockMotion(k, 2, 1, scale=1 / n).double()
    phase = 2 * math.pi * code.points() * torch.tensor(frequencies)
    with torch.no_grad():
        code.codes.copy_(torch.stack([phase.cos(), phase.sin()], 2) / k**0.5)
        for i, frequency in enumerate(frequencies):
            angle = torch.tensor(2 * math.pi * frequency / n, dtype=torch.float64)
            motion.weight[0, i] = angle.sin() * ROTATION
            motion.weight[1, i] = (angle.cos() - 1) * EYE
    return code, motion


def method_of(code, motion, **settings):
    return MotionRepresentation(code, motion, **{"adjacency_weight": 0.0, "lr": 0.0} | settings)


# one step

WEIGHTS = {"motion": 0.3, "adjacency": 0.7, "isometry": 1.1, "balance": 1.3}


def test_the_terms_are_those_of_the_paper():
    """By loops over data, blocks and elements."""
    code, motion = LatticeCode(5, 3, 2).double(), BlockMotion(3, 2, 2, scale=0.3).double()
    nn.init.normal_(motion.weight)
    method = method_of(code, motion, sigma=0.4, **{f"{k}_weight": v for k, v in WEIGHTS.items()})
    assert method.weights() == WEIGHTS
    x, dx, y = code.draw(6, n_cells=2, on_lattice=False)
    with torch.no_grad():
        v, w, m = code(x), code(y), motion.matrices(dx)
    wanted = dict.fromkeys(WEIGHTS, 0.0)
    for n in range(6):
        wanted["motion"] += sum((m[n, k] @ v[n, k] - w[n, k]).square().sum() for k in range(3)) / 6
        kernel = math.exp(-(x[n] - x[n - 1]).square().sum() / (2 * 0.4**2))
        wanted["adjacency"] += ((v[n] * v[n - 1]).sum() - kernel) ** 2 / 6
        for k in range(3):
            target = (1 - method.alpha[k].item() * dx[n].square().sum()) / 3
            wanted["isometry"] += (v[n, k] @ w[n, k] - target) ** 2 / 6
    wanted["balance"] = sum((v[:, k, i].square().mean() - 1 / 6) ** 2 for k in range(3) for i in range(2))
    found = method.step((x, dx, y))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], torch.as_tensor(value))
    loss = sum(WEIGHTS[name] * value for name, value in wanted.items())
    torch.testing.assert_close(found["loss"], torch.as_tensor(loss))


def test_a_linear_code_is_held_to_be_a_tight_frame():
    code, motion = LinearCode((4,), 3).double(), BlockMotion(3, 2, 1).double()
    method = method_of(code, motion, motion_weight=0.0, reconstruction_weight=2.0)
    x, y = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    found = method.step((x, torch.ones(5, 1).double(), y))
    frame = code.weight.T @ code.weight
    torch.testing.assert_close(found["reconstruction"], (x - x @ frame).square().sum(1).mean())
    assert found.keys() == {"loss", "reconstruction"}
    torch.testing.assert_close(found["loss"], 2 * found["reconstruction"])


@pytest.mark.parametrize("per_block", [False, True])
def test_after_a_step_norms_are_one_again(per_block):
    code = LatticeCode(5, 3, 2, per_block=per_block)
    method = MotionRepresentation(code, BlockMotion(3, 2, 2), isometry_weight=1.0, lr=0.1)
    before, alpha = code.codes.detach().clone(), method.alpha.detach().clone()
    method.step(code.draw(20, n_cells=1))
    squares = code.codes.detach().square().sum(2)
    torch.testing.assert_close(squares.sum(1), torch.ones(25))
    assert (squares - 1 / 3).abs().max().lt(1e-6) == per_block
    assert not torch.equal(before, code.codes) and not torch.equal(alpha, method.alpha)


def test_constants_are_learned_only_where_there_is_an_isometry():
    code, motion = LatticeCode(5, 3, 2), BlockMotion(3, 2, 2)
    free, held = (
        MotionRepresentation(code, motion, isometry_weight=w, max_alpha=20.0).alpha for w in (1.0, 0.0)
    )
    assert free.requires_grad and not held.requires_grad
    assert all(a.min() >= 0 and a.max() <= 20 for a in (free, held))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adjacency_weight": -1.0}, "adjacency_weight is -1.0; expected a number >= 0"),
        ({"motion_weight": 0.0, "adjacency_weight": 0.0}, "all weights are 0, so that nothing would be"),
        ({"reconstruction_weight": 1.0}, "reconstruction_weight is 1.0, but a LatticeCode has no reconstr"),
        ({"code": LinearCode((2,), 3)}, "adjacency_weight is 1.0, but a LinearCode has no squared_distance"),
        ({"motion": BlockMotion(2, 3, 2)}, r"the code has \(n_blocks, block_size\) \(3, 2\), the motion \(2"),
        ({"sigma": 0.0}, "sigma is 0.0; expected a number > 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    good = {"code": LatticeCode(5, 3, 2), "motion": BlockMotion(3, 2, 2)}
    with pytest.raises(ValueError, match=message):
        MotionRepresentation(**good | settings)


def test_bad_calls_are_refused():
    code = LatticeCode(5, 3, 2)
    method = MotionRepresentation(code, BlockMotion(3, 2, 2))
    with pytest.raises(ValueError, match="a batch of 1 has no other position for the adjacency"):
        method.step(code.draw(1, n_cells=1))
    with pytest.raises(ValueError, match=r"x0 has shape \(4, 2\), dxs \(4, 2\); expected"):
        method.integrate(torch.zeros(4, 2), torch.zeros(4, 2))
    signals = method_of(LinearCode((2,), 3), BlockMotion(3, 2, 2))
    with pytest.raises(ValueError, match="a LinearCode cannot be decoded to positions"):
        signals.integrate(torch.zeros(4, 2), torch.zeros(4, 1, 2))


# known motions


def walk(code, n, n_steps, n_cells=1):
    cells = torch.randint(-n_cells, n_cells + 1, (n, n_steps, 1)).double()
    x0 = torch.randint(0, code.n, (n, 1)).double() * code.spacing
    dxs = cells * code.spacing
    return x0, dxs, (x0[:, None] + dxs.cumsum(1)) % 1


def apart(code, x, y):
    return code.squared_distance(x.flatten(0, 1), y.flatten(0, 1)).sqrt()


def test_waves_on_a_ring_have_no_loss_of_motion_and_find_their_way():
    seed(0)
    code, motion = ring()
    method = method_of(code, motion)
    assert method.step(code.draw(100, n_cells=1))["motion"] < 1e-28
    x0, dxs, truth = walk(code, 20, 240)
    for reencode in (False, True):
        assert apart(code, method.integrate(x0, dxs, reencode=reencode), truth).max() < 1e-6
    x, dx, y = code.draw(100, n_cells=1)
    candidates = torch.tensor([[-1.0], [0.0], [1.0]]).double() * code.spacing
    torch.testing.assert_close(method.infer_motion(x, y, candidates), dx)
    assert method.integrate(x0, dxs[:, :0]).shape == (20, 0, 1)


def test_what_is_encoded_anew_has_lost_its_error():
    seed(0)
    code, motion = ring()
    with torch.no_grad():
        motion.weight += 0.03 * torch.randn_like(motion.weight)
    method = method_of(code, motion)
    x0, dxs, truth = walk(code, 20, 100)
    assert apart(code, method.integrate(x0, dxs), truth).max() > code.spacing / 2
    assert apart(code, method.integrate(x0, dxs, reencode=True), truth).max() < 1e-6


def test_a_plan_goes_the_short_way_and_rests_at_its_target():
    code, motion = ring(frequencies=(1,))  # more of equal weight have other maxima
    moves = torch.tensor([[-1.0], [0.0], [1.0]]).double() * code.spacing
    x0, target = torch.tensor([[1.0], [10.0], [5.0]]).double() / 12, torch.tensor([[10.0], [1], [5]]) / 12
    path = method_of(code, motion).plan(x0, target.double(), moves, 4)
    assert path.min() >= 0 and path.max() < 1
    cells = (path[:, :, 0] * 12).round().long() % 12
    assert cells.tolist() == [[1, 0, 11, 10, 10], [10, 11, 0, 1, 1], [5, 5, 5, 5, 5]]


def test_a_plan_stays_on_the_lattice():
    """All moves but one lead out of a corner."""
    code = LatticeCode(4, 2, 2)
    method = MotionRepresentation(code, BlockMotion(2, 2, 2))
    moves = torch.tensor([[-1.0, 0], [0, -1], [-1, -1], [1, -1], [0, 0]]) * code.spacing
    corner = torch.zeros(3, 2)
    assert torch.equal(method.plan(corner, torch.rand(3, 2), moves, 3), corner[:, None].expand(3, 4, 2))


class Waves(Code):
    """Three waves at 120 degrees, in one block: the analytic hexagon of the paper."""

    def __init__(self, a):
        super().__init__(1, 6)
        angles = 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64) + 0.4
        self.vectors = nn.Parameter(a * torch.stack([angles.cos(), angles.sin()], 1))

    def forward(self, x):
        phase = x @ self.vectors.T
        return torch.stack([phase.cos(), phase.sin()], 2).flatten(1)[:, None] / 3**0.5


def of_waves(waves):
    """The matrix of a motion to second order in it: of each wave a rotation's."""
    motion = BlockMotion(1, 6, 2).double()
    with torch.no_grad():
        motion.weight.zero_()
        for j, (p, q) in enumerate(waves.vectors.tolist()):
            here = slice(2 * j, 2 * j + 2)
            for i, factor in enumerate((p, q)):
                motion.weight[i, 0, here, here] = factor * ROTATION
            for i, factor in enumerate((p * p / 2, p * q, q * q / 2)):
                motion.weight[2 + i, 0, here, here] = -factor * EYE
    return motion


def test_three_waves_are_isotropic_and_their_constant_is_a_quarter_of_the_square():
    """The losses of motion and of isometry fall with the sixth and the eighth power of the displacement: both
    squared errors have no term up to the second order; with another constant there is one."""
    waves = Waves(3.0)
    method = method_of(waves, of_waves(waves), isometry_weight=1.0)
    x = torch.rand(50, 2).double()
    angle = 2 * math.pi * torch.arange(50) / 50
    way = torch.stack([angle.cos(), angle.sin()], 1).double()

    def losses(alpha, r):
        with torch.no_grad():
            method.alpha.fill_(alpha)
        return method.step((x, r * way, x + r * way))

    big, small = losses(9 / 4, 0.1), losses(9 / 4, 0.05)
    assert (big["motion"] / small["motion"]).log2().item() == pytest.approx(6, abs=0.1)
    assert (big["isometry"] / small["isometry"]).log2().item() == pytest.approx(8, abs=0.1)
    off = (losses(1.0, 0.1)["isometry"] / losses(1.0, 0.05)["isometry"]).log2().item()
    assert off == pytest.approx(4, abs=0.1)
    # to the fourth order, too, the likeness is that of each direction: a^4 r^4 / 64
    likeness = (waves(x) * waves(x + 0.1 * way)).sum((1, 2))
    wanted = torch.full_like(likeness, 1 - 0.09 / 4 + 0.09**2 / 64)
    torch.testing.assert_close(likeness, wanted, rtol=0, atol=1e-6)


# learned


@pytest.mark.slow
@pytest.mark.statistical
def test_on_a_ring_the_phases_of_the_motion_are_multiples_of_a_turn():
    """Its spectrum is that of the kernel (Bochner), and paths of 240 steps are followed without an error."""
    seed(0)
    code = LatticeCode(24, 1, 10, dim=1, periodic=True)
    motion = BlockMotion(1, 10, 1, scale=1 / 24)
    method = MotionRepresentation(code, motion, lr=linear(0.02, 1000, 0.0))
    fit(method, lambda n: code.draw(n, n_cells=1), steps=1000, batch_size=144, progress=False)
    values = torch.linalg.eigvals(motion.matrices(torch.tensor([[1 / 24]]))[0, 0]).detach()
    alive = values[values.abs() > 0.9]
    phases = alive.angle().abs().mul(24 / (2 * math.pi)).sort().values
    torch.testing.assert_close(
        phases[:9], torch.tensor([0.0, 1, 1, 2, 2, 3, 3, 4, 4]), rtol=0, atol=0.02, check_dtype=False
    )
    power = torch.fft.fft(code.codes.detach()[:, 0], dim=0).abs().square().sum(1)[:5] / 24**2
    wanted = 0.08 * (2 * math.pi) ** 0.5 * torch.exp(-2 * (0.08 * math.pi * torch.arange(5)) ** 2)
    torch.testing.assert_close(power, wanted, rtol=0, atol=0.01)
    x0, dxs, truth = walk(code, 50, 240)
    x0, dxs, truth = x0.float(), dxs.float(), truth.float()
    assert apart(code, method.integrate(x0, dxs), truth).max() < 0.5 / 24
