"""Nets out of a run's folder: the same to the last bit, and nothing else whatever the file says."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
import zuko
from methods import METHODS
from torch import nn

import ebmlearn as el
from ebmlearn import architecture, energy, nets, posteriors
from ebmlearn.architecture import build, describe
from ebmlearn.train import checkpoint, fit

x2, x4 = torch.randn(5, 2), torch.randn(5, 4)
images, codes = torch.rand(5, 1, 8, 8) * 2 - 1, torch.randn(5, 3)
leaky = partial(nn.LeakyReLU, 0.2)


def target():
    return nets.ReLUTarget((2,), 3, [4])


theta = target().initial(5)

# net, and what it is given
NETS = {
    "MLPEnergy": (
        lambda: nets.MLPEnergy(2, [8, 4], activation=nn.ELU, reference_std=np.float64(2.0), n_fourier=3),
        (x2,),
    ),
    "MLPEnergy, leaky": (lambda: nets.MLPEnergy(np.int64(2), activation=leaky), (x2,)),
    "MLPEnergy, double": (lambda: nets.MLPEnergy(2, (8,)).double(), (x2.double(),)),
    "ConvEnergy": (lambda: nets.ConvEnergy(1, 8, (4, 8), stem=3, activation=leaky), (images,)),
    "NonLocalEnergy": (lambda: nets.NonLocalEnergy(1, 8, (4, 8), 6), (images,)),
    "DescriptorEnergy": (lambda: nets.DescriptorEnergy(1, 8, ((4, 3, 2), (6, 3, 1))), (images,)),
    "LinearEnergy": (lambda: nets.LinearEnergy(nets.ConvEncoder(1, 8, 4, (4, 4)), x4[0]), (images,)),
    "ConditionalEnergy": (lambda: nets.ConditionalEnergy((2,), (3,), (8,), reference_std=1.0), (x2, codes)),
    "SymbolEnergy": (lambda: nets.SymbolEnergy(2, 3, (8,), reference_std=2.0), (x2,)),
    "LatticeCode": (lambda: nets.LatticeCode(5, 3, 2, periodic=True, per_block=True), (x2.abs(),)),
    "LinearCode": (lambda: nets.LinearCode((1, 8, 8), 3, 4), (images,)),
    "BlockMotion": (lambda: nets.BlockMotion(3, 2, 2, degree=3, scale=0.1), (torch.randn(5, 3, 2), x2)),
    "ConvEncoder": (lambda: nets.ConvEncoder(1, 8, 6, (4, 4)), (images,)),
    "ResidualFeatures": (lambda: nets.ResidualFeatures(1, 8, (4, 4, 8), 1), (images,)),
    "Classifier": (lambda: nets.Classifier((1, 8, 8), 3, n_features=5, width=4), (images,)),
    "EBLVM": (
        lambda: nets.EBLVM(nets.MLPEnergy(2, (8,)), nets.MLPGenerator(3, (2,), (8,), std=0.7)),
        (torch.randn(5, 5),),
    ),
    "CouplingEBLVM": (
        lambda: nets.CouplingEBLVM(nets.ResidualFeatures(1, 8, (4, 4, 8), 1), 32, (1, 8, 8), 3, 16),
        (torch.randn(5, 67),),
    ),
    "JointMLPEnergy": (
        lambda: nets.JointMLPEnergy((2,), 3, (8,), spectral_norm=True, bounded=True, reference_std=2.0),
        (torch.randn(5, 5),),
    ),
    "JointConvEnergy": (
        lambda: nets.JointConvEnergy(1, 8, 3, (4, 8), stem=3, activation=leaky, spectral_norm=True),
        (torch.randn(5, 67),),
    ),
    "MLPGenerator": (lambda: nets.MLPGenerator(3, (2,), (8,), bounded=True), (codes,)),
    "ConvGenerator": (lambda: nets.ConvGenerator(3, 1, 8, (8, 4)), (codes,)),
    "LadderGenerator": (lambda: nets.LadderGenerator((1, 2), (1, 8, 8), 8), (codes,)),
    "ConvLadderGenerator": (
        lambda: nets.ConvLadderGenerator((1, 2), 1, 16, 4, side=8, n_projected=1),
        (codes,),
    ),
    "BagOfWordsGenerator": (
        lambda: nets.BagOfWordsGenerator(3, 4, (8,), length=5, background=torch.tensor([0.1, -1, 0, 2])),
        (codes,),
    ),
    "TabularGenerator": (lambda: nets.TabularGenerator(3, 4, (8,), binary=[2, 0]), (codes,)),
    "TextGenerator": (lambda: nets.TextGenerator(3, 6, 4, end=None, reads=False), (torch.arange(4)[None],)),
    "ConditionalGenerator": (
        lambda: nets.ConditionalGenerator(2, (2,), (3,), (8,), std=0.1).given(codes).whole.net,
        (torch.randn(5, 5),),
    ),
    "RealNVP": (lambda: nets.RealNVP((2,), 4, 8, max_log_scale=1.5), (x2,)),
    "Glow": (lambda: nets.Glow(1, 8, n_levels=2, n_steps=2, width=4), (images,)),
    "GRBM": (lambda: energy.GRBM(2, 3, std=torch.tensor([0.5, 2.0]), learn_std=False), (x2,)),
    "GRBM, given": (
        lambda: energy.GRBM.from_parameters(torch.randn(2, 3), torch.randn(2), torch.randn(3), 0.7),
        (x2,),
    ),
    "Gaussian": (lambda: energy.Gaussian(torch.ones(2), 2 * torch.eye(2)), (x2,)),
    "MLPHypernetwork": (lambda: nets.MLPHypernetwork(9, 3, (8,), activation=leaky, law="normal"), (codes,)),
    "SharedHypernetwork": (
        lambda: nets.SharedHypernetwork(
            target(), 3, extractor=[4], code_dims=[2, 3], widths=[[4], []], whole=[1]
        ),
        (codes,),
    ),
    "SharedHypernetwork, of a ResNet": (
        lambda: nets.SharedHypernetwork(
            nets.ResNetTarget(1, 8, 3, width=2, n_blocks=[1]), 3, extractor=(), code_dims=2, widths=(4,)
        ),
        (codes,),
    ),
    "WeightEnergy": (
        lambda: nets.WeightEnergy(target(), lam=3.0, prior_std=2.0),
        (theta, x2, torch.arange(5) % 3),
    ),
    "GaussianPosterior": (
        lambda: posteriors.GaussianPosterior(nets.ConvEncoder(1, 8, 6, (4, 4)), 3).net,
        (images,),
    ),
}
# the flow of another library has a test of its own; a function; nets without weights, parts of others here
NOT_HERE = {"ZukoFlow", "beside", "ReLUTarget", "ResNetTarget"}


def store(folder, net, /, **changes):
    """A folder as `fit` writes it, of a method with this energy."""
    weights = {f"energy.{name}": value for name, value in net.state_dict().items()}
    about = {**describe(net), **changes}
    state = {"step": 1, "ranks": 1, "method": weights, "architectures": {"energy": about}}
    checkpoint.save(folder / "checkpoint-00000001.pt", state)
    return folder


def shaken(net):
    """The net with weights that no constructor makes."""
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point() and value.ndim:
                value.add_(0.1 * torch.randn_like(value))
    return net.eval()


def test_the_table_has_every_net():
    concrete = {name for name in nets.__all__ if not getattr(getattr(nets, name), "__abstractmethods__", ())}
    assert concrete - NOT_HERE == {name.partition(",")[0] for name in NETS} & set(nets.__all__)


@pytest.mark.parametrize("name", NETS)
def test_a_net_comes_back_to_the_last_bit_and_random_numbers_go_on(name, tmp_path):
    make, given = NETS[name]
    net = shaken(make())
    store(tmp_path, net)
    before = torch.get_rng_state()
    back = el.load_energy(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(back) is type(net) and not back.training
    assert not any(p.requires_grad for p in back.parameters())
    assert torch.equal(back(*given), net(*given)) and torch.isfinite(net(*given)).all()
    assert back.state_dict().keys() == net.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(back.buffers(), net.buffers(), strict=True))


ROLES = (
    "energy",
    "generator",
    "flow",
    "prior",
    "tilt",
    "noise",
    "posterior",
    "net",
    "critic",
    "code",
    "motion",
    "hypernetwork",
)
# plain modules of torch, or made of one
OWN = {
    ("variational teaching, conditional", "posterior"),
    ("divergence triangle", "posterior"),
    ("bi-level doubly variational learning", "posterior"),
    ("dual-MCMC teaching", "posterior"),
    ("VaGES", "posterior"),
    ("VaGES, continuous latents", "posterior"),
    ("Fisher critic", "critic"),
    ("bi-level score matching", "posterior"),
    ("symbol-vector coupling", "posterior"),
    ("symbol-vector coupling, clusters", "posterior"),
    ("variational auto-encoder", "posterior"),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_nets_of_a_run_are_those_of_its_method(name, tmp_path):
    """All but those that are, or hold, a plain module."""
    case, seen = METHODS[name], 0
    fit(method := case.make(), case.data, steps=2, batch_size=8, out=tmp_path)
    for role in (r for r in ROLES if isinstance(getattr(method, r, None), nn.Module)):
        if (name, role) in OWN:
            with pytest.raises(ValueError, match=rf"the {role} of .* cannot be built: .* is not one of ebm"):
                el.load_net(tmp_path, role)
            continue
        seen += 1
        own = getattr(method, role)
        average = method.averages[role].module if role in method.averages else own
        for net, back in (
            (own, el.load_net(tmp_path, role, average=False)),
            (average, el.load_net(tmp_path, role)),
        ):
            assert repr(net) == repr(back) and type(net) is type(back)
            wanted, found = net.state_dict(), back.state_dict()
            assert wanted.keys() == found.keys()
            assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    assert seen or name == "Fisher critic"


def trained(out, net=None, **settings):
    torch.manual_seed(0)
    method = el.ScoreMatching(net or nets.MLPEnergy(2, (8,)), **settings)
    return method, partial(fit, method, torch.randn(64, 2), batch_size=16, out=out, progress=False)


def test_the_average_is_taken_unless_the_last_weights_are_asked_for(tmp_path):
    method, run = trained(tmp_path, ema=0.9)
    run(steps=5)
    average, last = el.load_energy(tmp_path), el.load_energy(tmp_path, average=False)
    assert torch.equal(average(x2), method.averages["energy"](x2))
    assert torch.equal(last(x2), method.energy(x2)) and not torch.equal(last(x2), average(x2))


def test_the_best_checkpoint_is_taken_where_asked_for(tmp_path):
    values = iter((1.0, 0.0, 2.0))
    method, run = trained(tmp_path)
    seen = []
    run(steps=3, every=1, criterion=lambda m: next(values), hooks=[lambda *_: seen.append(method.energy(x2))])
    assert torch.equal(el.load_energy(tmp_path, best=True)(x2), seen[1])
    assert torch.equal(el.load_energy(tmp_path)(x2), seen[2])


def test_a_run_that_goes_on_is_the_same_with_a_description(tmp_path):
    """No comparison of settings sees it, and a copy and a pickle of a net keep it."""
    trained(tmp_path)[1](steps=2)
    other, run = trained(tmp_path)
    run(steps=4, resume=True)
    whole, run = trained(None)
    run(steps=4)
    assert torch.equal(whole.energy(x2), other.energy(x2))
    for twin in (copy.deepcopy(whole.energy), pickle.loads(pickle.dumps(whole.energy))):
        assert describe(twin) == describe(whole.energy) and "net" in describe(twin)
    assert "_arguments" not in str(whole.settings()) and "_arguments" not in whole.energy.state_dict()


# nets of one's own


class Mine(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x):
        return self.net(x).squeeze(1)


class Heir(nets.MLPEnergy):
    def forward(self, x):
        return 2 * super().forward(x)


def shared(x):
    return x


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Mine, "its class Mine is not one of ebmlearn"),
        (lambda: Heir(2), "its class Heir is not one of ebmlearn"),
        (
            lambda: nets.MLPEnergy(2, activation=lambda: nn.LeakyReLU(0.2)),
            r"its argument activation is .*<lambda>, not plain data; partial\(nn.LeakyReLU, 0.2\) is",
        ),
        (lambda: nets.LinearEnergy(shared, torch.ones(2)), "its argument features is shared, not plain data"),
        (
            lambda: nets.EBLVM(Mine(), nets.MLPGenerator(3, (2,))),
            "its argument energy is a net that cannot be described, since its class Mine is not",
        ),
        (
            lambda: nets.ZukoFlow(zuko.flows.NSF(2, transforms=1, hidden_features=(8,), passes=2)),
            "its argument flow is a net that cannot be described, since its class NSF is not",
        ),
    ],
)
def test_a_net_of_ones_own_is_filled(make, reason, tmp_path):
    net = shaken(make())
    store(tmp_path, net)
    with pytest.raises(ValueError, match=rf"the energy of .*00001\.pt cannot be built: {reason}"):
        el.load_energy(tmp_path)
    with pytest.raises(ValueError, match=r"have it filled: load_energy\(run, into=MyEnergy\(\)\)$"):
        el.load_energy(tmp_path)
    own = make()
    assert el.load_energy(tmp_path, into=own) is own and not own.training
    x = torch.randn(5, 5) if isinstance(own, nets.EBLVM) else x2
    assert torch.equal(own(x), net(x)) and not any(p.requires_grad for p in own.parameters())


def test_a_run_of_ones_own_energy_through_fit(tmp_path):
    method, run = trained(tmp_path, Mine())
    run(steps=2)
    assert torch.equal(el.load_energy(tmp_path, into=Mine())(x2), method.energy(x2))
    with pytest.raises(ValueError, match=r"into is\nMine(.*\n)*but the energy of .* is\nMine"):
        el.load_energy(tmp_path, into=Mine(5))
    with pytest.raises(ValueError, match=r"0\.\w+ of into is torch\.float64, in .* it is torch\.float32"):
        el.load_energy(tmp_path, into=Mine().double())


def test_an_older_checkpoint_says_nothing_and_can_be_filled_in(tmp_path):
    net = Mine()
    store(tmp_path, net)
    path = tmp_path / "checkpoint-00000001.pt"
    state = checkpoint.load(path)
    del state["architectures"]
    checkpoint.save(path, state)
    with pytest.raises(ValueError, match=r"does not describe it, being of an earlier version\. Make the net"):
        el.load_energy(tmp_path)
    assert torch.equal(el.load_energy(tmp_path, into=Mine())(x2), net(x2))
    with pytest.raises(ValueError, match=r"has other weights than the net to fill: .*\n.*size mismatch"):
        el.load_energy(tmp_path, into=Mine(5))


def test_a_net_that_was_changed_after_it_was_made_is_refused(tmp_path):
    net = nets.MLPEnergy(2, (8,))
    net.net[1] = nn.Tanh()
    store(tmp_path, net)
    with pytest.raises(ValueError, match=r"is not what its arguments make(.*\n)*.*\(1\): Tanh(.*\n)*here"):
        el.load_energy(tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        el.load_energy(tmp_path)
    method = METHODS["latent prior"].make()
    fit(method, METHODS["latent prior"].data, steps=1, batch_size=8, out=tmp_path)
    held = r'holds no net \'energy\'; there are load_net\(run, "generator"\), load_net\(run, "prior"\)$'
    with pytest.raises(ValueError, match=held):
        el.load_energy(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*best\.pt; fit writes it if it is given"):
        el.load_net(tmp_path, "prior", best=True)


# what a file may not say


def called(name, arguments):
    return {"net": name, "arguments": arguments}


MLP = {"dim": 2, "widths": (8,)}
DEEP = called("MLPEnergy", MLP)
for _ in range(30):
    DEEP = called("EBLVM", {"energy": DEEP, "generator": 1})
ACTIVATION = {"activation": "SiLU", "args": (), "settings": {}}
BAD = {
    "a function of the system": (called("os.system", {"command": "touch gotcha"}), "'os.system' is no net"),
    "a function of the package": (called("ebmlearn.files.write_whole", MLP), "write_whole' is no net"),
    "a class of torch": (called("Linear", {"in_features": 2, "out_features": 1}), "'Linear' is no net"),
    "a private class": (called("_Given", {}), "'_Given' is no net"),
    "no name": (called(["MLPEnergy"], MLP), "is no net of ebmlearn"),
    "no description": ("os.system", "expected the class of a net and its arguments, got 'os.system'"),
    "nothing": (None, "expected the class of a net and its arguments, got None"),
    "more than a description": ({**called("MLPEnergy", MLP), "x": 1}, "expected the class of a net"),
    "an abstract class": (called("Flow", {"event_shape": (2,)}), "abstract"),
    "arguments without names": (called("MLPEnergy", (2, (8,))), r"expected arguments by name, got \(2"),
    "an unknown argument": (called("MLPEnergy", {**MLP, "code": "x"}), "unexpected keyword"),
    "a missing argument": (called("MLPEnergy", {}), "missing 1 required positional argument: 'dim'"),
    "a bad value": (called("MLPEnergy", {**MLP, "reference_std": -1.0}), "reference_std is -1.0"),
    "an activation that is none": (
        called("MLPEnergy", {**MLP, "activation": {**ACTIVATION, "activation": "Module"}}),
        "KeyError: 'Module'",
    ),
    "a function as activation": (
        called("MLPEnergy", {**MLP, "activation": {**ACTIVATION, "activation": "os.system"}}),
        "KeyError: 'os.system'",
    ),
    "a wide net": (called("MLPEnergy", {"dim": 2, "widths": (10**6, 10**6)}), "far larger than its weights"),
    "a deep net": (called("MLPEnergy", {"dim": 2, "widths": (2,) * 10**5}), "far larger than its weights"),
    "a wide machine": (
        called("GRBM", {"n_visible": 10**6, "n_hidden": 10**5}),
        "far larger than its weights",
    ),
    "a deep flow": (
        called("Glow", {"channels": 1, "size": 8, "n_levels": 1, "n_steps": 10**7}),
        "far larger than its weights",
    ),
    "a huge number": (called("MLPEnergy", {"dim": 10**12}), "1000000000000 is no size of a net"),
    "a huge power": (
        called("ConvGenerator", {"latent_dim": 2, "channels": 1, "size": 8, "doublings": 10**10}),
        "10000000000 is no size of a net",
    ),
    "a deep nest": (DEEP, "nested more than 20 deep"),
    "another net": (called("MLPEnergy", {"dim": 3, "widths": (8,)}), "is not what its arguments make"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_runs_nothing_and_builds_nothing_else(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    description, message = BAD[name]
    store(tmp_path, nets.MLPEnergy(2, (8,)), net=description)
    with pytest.raises(ValueError, match=rf"the energy of .* {message}|the energy of (.*\n)*.*{message}"):
        el.load_energy(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-00000001.pt"]


def test_other_weights_than_described_are_refused(tmp_path):
    small, large = nets.MLPEnergy(2, (8,)), nets.MLPEnergy(2, (9,))
    store(tmp_path, small, **describe(large))
    with pytest.raises(ValueError, match=r"has other weights than the net to fill: .*\n.*size mismatch"):
        el.load_energy(tmp_path)
    path = tmp_path / "checkpoint-00000001.pt"
    checkpoint.save(path, {**checkpoint.load(path), "architectures": {"energy": "os.system"}})
    with pytest.raises(ValueError, match=r"says of its energy only 'os\.system', which is not from fit"):
        el.load_energy(tmp_path)


# descriptions


def test_a_constructor_keeps_its_signature_and_errors():
    import inspect

    assert [*inspect.signature(nets.MLPEnergy).parameters][:2] == ["dim", "widths"]
    with pytest.raises(TypeError, match=r"MLPEnergy\.__init__\(\) missing 1 required"):
        nets.MLPEnergy()


def test_only_public_classes_of_the_package_can_be_built():
    built = architecture._CLASSES
    assert {"Heir", "Mine"}.isdisjoint(built) and not any(name.startswith("_") for name in built)
    assert all(kind.__module__.startswith("ebmlearn.") for kind in built.values())
    assert {name for name in nets.__all__ if name != "beside"} <= built.keys()


def test_a_large_net_is_built_within_its_budget():
    net = nets.MLPEnergy(3, (2000, 2000))
    n = sum(value.numel() for value in net.state_dict().values())
    assert repr(build(describe(net)["net"], n_elements=n)) == repr(net)
    with pytest.raises(ValueError, match="far larger"):
        build(called("MLPEnergy", {"dim": 3, "widths": (4000, 4000)}), n_elements=n // 100)
