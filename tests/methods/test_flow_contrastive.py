"""Flow contrastive estimation: its value, its two gradients and its turns, against quadrature and finite
differences.

Broken on purpose and seen to fail: the sample path detached, the sign of log q, the turns exchanged, the
roles (who ascends) exchanged, log_z left out of the optimiser; a warm-up that ascends the value, one that
never ends, one that leaves log_z alone; noise of twice the width, not centred, or on the flow's data only.
"""

import copy
import math

import pytest
import torch
from models import curved
from torch.nn.functional import logsigmoid

import ebmlearn
from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood, FlowContrastive
from ebmlearn.nets import MLPEnergy, RealNVP
from ebmlearn.schedules import inverse
from ebmlearn.targets import four_weighted_gaussians
from ebmlearn.train import fit

sgd = torch.optim.SGD


def jsd(p, q, grid):
    """Jensen-Shannon divergence of two normalised densities."""

    def mixture(x):
        return -torch.logaddexp(p.log_prob(x), q.log_prob(x))

    return 0.5 * (exact.kl(p, mixture, grid).value + exact.kl(q, mixture, grid).value)


def value(method, data, grid):
    """V by quadrature."""

    def ratio(x):
        return method.ratio(x, method.flow.log_prob(x))

    found = exact.expectation(lambda x: logsigmoid(ratio(x)), data, grid).value
    missed = exact.expectation(lambda x: logsigmoid(-ratio(x)), method.flow, grid).value
    return (found + missed).item()


@pytest.fixture
def data():
    return four_weighted_gaussians().double()


@pytest.fixture
def grid():
    return exact.Grid((-15, 15), n=300, dtype=torch.float64)


def with_the_truth(data, flow, **settings):
    """The energy is that of the data: the classifier that no other beats."""
    method = FlowContrastive(data, flow, **settings)
    method.log_z.data = data.log_z.clone()
    return method


def test_the_best_classifier_has_the_value_2_jsd_minus_log_4(data, grid):
    method = with_the_truth(data, curved(scale=0.2))
    best = 2 * jsd(data, method.flow, grid) - math.log(4)
    assert -1.2 < best < -0.2
    assert value(method, data, grid) == pytest.approx(best, abs=1e-6)
    method.log_z.data += 0.3
    assert value(method, data, grid) < best - 1e-3


def test_the_step_estimates_that_value_and_the_accuracy(data, grid):
    n = 50_000
    method = with_the_truth(data, curved(scale=0.2), threshold=0.99, lr_energy=0.0)
    metrics = method.step(data.sample(n))
    assert metrics["value"].item() == pytest.approx(value(method, data, grid), abs=5 * 2 / math.sqrt(n))

    def right(x):  # Bayes: the larger of the two densities wins
        return (data.log_prob(x) > method.flow.log_prob(x)).double()

    of_data, of_noise = (exact.expectation(right, p, grid).value.item() for p in (data, method.flow))
    assert metrics["accuracy"].item() == pytest.approx(
        0.5 * (of_data + 1 - of_noise), abs=5 * 0.5 / math.sqrt(2 * n)
    )


def test_the_flow_gradient_is_that_of_the_value_through_the_samples(data):
    """Finite differences with common random numbers; without the sample path the two differ by far."""
    flow = curved().requires_grad_(True)
    method = FlowContrastive(MLPEnergy(2, (8,), reference_std=2.0).double(), flow, threshold=0.0)
    method.optimizers["flow"] = sgd(flow.parameters(), lr=1.0)
    method.lr_schedules["flow"] = lambda t: 0.0
    x = data.sample(200)

    def at(shift):
        with torch.no_grad():
            for p, d in zip(flow.parameters(), direction, strict=True):
                p += shift * d
        torch.manual_seed(1)
        found = method.step(x)
        with torch.no_grad():
            for p, d in zip(flow.parameters(), direction, strict=True):
                p -= shift * d
        assert found["flow_turn"] == 1
        return found["value"].item()

    for seed in range(3):
        torch.manual_seed(seed)
        direction = [torch.randn_like(p) for p in flow.parameters()]
        difference = (at(1e-5) - at(-1e-5)) / 2e-5
        at(0.0)
        slope = sum((p.grad * d).sum().item() for p, d in zip(flow.parameters(), direction, strict=True))
        assert slope == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_with_the_true_energy_the_flow_descends_the_jsd(data, grid):
    torch.manual_seed(0)
    flow = RealNVP((2,), 4, 16).double()
    method = with_the_truth(data, flow, threshold=0.0, lr_flow=1e-2)
    before = jsd(data, flow, grid)
    history = fit(method, data.sample, steps=150, batch_size=200)
    assert jsd(data, flow, grid) < 0.6 * before
    assert history["flow_turn"].all() and method.updates == {"energy": 0, "flow": 150}


@pytest.mark.parametrize(("threshold", "mover"), [(0.0, "flow"), (0.99, "energy")])
def test_only_the_one_whose_turn_it_is_moves_and_the_right_way(data, threshold, mover):
    """The energy ascends V, the flow descends it; a small step must show in V on the same points."""
    flow = curved().requires_grad_(True)
    net = MLPEnergy(2, (8,), reference_std=2.0).double()
    method = FlowContrastive(net, flow, threshold=threshold, lr_energy=1e-2, lr_flow=1e-3, optimizer=sgd)
    before = {name: p.clone() for name, p in method.named_parameters()}
    x = data.sample(500)
    torch.manual_seed(1)
    first = method.step(x)
    moved = {name.split(".")[0] for name, p in method.named_parameters() if not torch.equal(p, before[name])}
    assert moved == ({"flow"} if mover == "flow" else {"energy", "log_z"})
    assert method.updates[mover] == 1 and sum(method.updates.values()) == 1
    assert first["flow_turn"].item() == (mover == "flow")
    given = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
    assert given == moved
    torch.manual_seed(1)
    change = (method.step(x)["value"] - first["value"]).item()
    assert change < -1e-5 if mover == "flow" else change > 1e-5


def test_the_threshold_is_one_on_the_accuracy(data):
    """0.49 and 0.51 around a classifier that is right half of the time: all ratios are positive."""
    for threshold, turn in [(0.49, 1), (0.51, 0)]:
        method = FlowContrastive(data, curved().requires_grad_(True), threshold=threshold)
        method.log_z.data -= 1e6
        metrics = method.step(data.sample(50))
        assert metrics["accuracy"].item() == 0.5 and metrics["flow_turn"].item() == turn


def test_all_ranks_take_the_same_turn(data):
    """By their mean accuracy: if each went by its own, they could wait for each other for ever."""
    method = FlowContrastive(data, curved().requires_grad_(True), threshold=0.95)
    assert method.step(data.sample(50))["flow_turn"] == 0
    method.mean_over_ranks = torch.ones_like  # as if the other rank had made up for this one
    metrics = method.step(data.sample(50))
    assert metrics["accuracy"] == 1 and metrics["flow_turn"] == 1


def test_the_learned_log_z_is_the_one_of_quadrature(data, grid):
    """Energy and flow stay as they are: what is left is Bennett's estimate of log Z."""
    method = FlowContrastive(data, curved(scale=0.2), threshold=0.99, lr_energy=lambda t: 0.1 * 0.97**t)
    method.log_z.data += 1.0
    fit(method, data.sample, steps=150, batch_size=1000)
    assert method.log_z.item() == pytest.approx(exact.log_z(data, grid).value, abs=0.04)


def test_log_z_starts_at_its_importance_sampling_estimate():
    energy = Gaussian(torch.ones(2), 0.5 * torch.eye(2))
    method = FlowContrastive(energy, RealNVP((2,)))
    assert method.log_z.item() == pytest.approx(math.log(math.pi), abs=0.2)


def test_the_warmup_is_likelihood_of_the_flow_and_then_the_game_begins(data):
    flow = curved().requires_grad_(True)
    net = MLPEnergy(2, (8,), reference_std=2.0).double()
    alone = ExactLikelihood(copy.deepcopy(flow), lambda q: q.log_z, lr=0.01)
    method = FlowContrastive(copy.deepcopy(net), flow, threshold=0.99, warmup=3, lr_flow=0.01)
    batches = [data.sample(200) for _ in range(4)]
    for i, batch in enumerate(batches[:3]):
        torch.manual_seed(i)
        metrics = method.step(batch)
        assert metrics["flow_turn"] == 1
        torch.testing.assert_close(metrics["nll"], alone.step(batch)["nll"])
    for p, q in zip(flow.parameters(), alone.energy.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), method.energy.parameters(), strict=True))
    kept = copy.deepcopy(flow.state_dict())
    metrics = method.step(batches[3])  # with this threshold, the energy's turn
    assert metrics["flow_turn"] == 0 and method.updates == {"flow": 3, "energy": 1}
    assert all(torch.equal(v, kept[k]) for k, v in flow.state_dict().items())


def test_log_z_follows_its_estimate_in_the_warmup():
    energy = Gaussian(torch.ones(2), 0.5 * torch.eye(2))
    method = FlowContrastive(energy, RealNVP((2,)), warmup=1, lr_flow=0.0)
    method.log_z.data += 7.0
    method.step(torch.randn(20_000, 2))
    assert method.log_z.item() == pytest.approx(math.log(math.pi), abs=0.05)


@pytest.mark.statistical
def test_levels_are_dequantised_by_uniform_noise_of_their_distance():
    """Both nets see the same noisy data, new in each step, and the samples of the flow as they are."""
    seen = {"energy": [], "flow": []}
    method = FlowContrastive(MLPEnergy(2), RealNVP((2,)), bin_width=0.5, lr_energy=0.0, threshold=0.99)
    method.energy.register_forward_pre_hook(lambda net, args: seen["energy"].append(args[0]))
    method.flow.register_forward_pre_hook(lambda net, args: seen["flow"].append(args[0]))
    levels = torch.randint(0, 4, (20_000, 2)) / 2
    for _ in range(2):
        method.step(levels)
    x, again = seen["flow"]
    assert torch.equal(seen["energy"][0], x) and not torch.equal(again, x)
    noise = x - levels
    assert -0.25 <= noise.min() < -0.249 and 0.249 < noise.max() <= 0.25
    assert abs(noise.mean()) < 5 * 0.5 / math.sqrt(12 * noise.numel())
    assert noise.std().item() == pytest.approx(0.5 / math.sqrt(12), rel=0.02)
    assert seen["energy"][1].abs().max() > 2.5  # N(0, I) of the flow


@pytest.mark.statistical
@pytest.mark.slow
def test_four_weighted_gaussians():
    ebmlearn.seed(0)
    target = four_weighted_gaussians()
    net, flow = MLPEnergy(2, (64, 64), reference_std=2.5), RealNVP((2,), 6, 32)
    method = FlowContrastive(
        net,
        flow,
        threshold=0.62,
        lr_energy=inverse(5e-3, 300),
        lr_flow=inverse(5e-3, 300),
    )
    history = fit(method, target.sample, steps=1000, batch_size=250)
    grid = exact.Grid((-12, 12), n=360)
    assert exact.kl(target, net, grid).value <= 0.08
    assert exact.kl(target, flow, grid).value < 0.5
    assert abs(method.log_z.item() - exact.log_z(net, grid).value) < 0.3
    best = 2 * jsd(target, flow, grid) - math.log(4)
    assert value(method, target, grid) <= best + 1e-3
    assert abs(history["value"][-200:].mean().item() - best) < 0.05
    assert 0.2 < history["flow_turn"].mean() < 0.95


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_a_threshold_that_is_no_accuracy_is_refused(data, threshold):
    with pytest.raises(ValueError, match=rf"threshold is {threshold}; expected an accuracy in \[0, 1\)"):
        FlowContrastive(data, curved(), threshold=threshold)


@pytest.mark.parametrize("setting", [{"warmup": -1}, {"bin_width": -0.1}])
def test_bad_settings_are_refused(data, setting):
    with pytest.raises(ValueError, match="expected warmup >= 0 and bin_width >= 0; got"):
        FlowContrastive(data, curved(), **setting)
