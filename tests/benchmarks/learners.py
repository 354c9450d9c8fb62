"""What `truth.py` trains: each package's learners, every one through the interface that its own pages show.

A learner is a function of the target and of a `Watch <clock.Watch>`. It trains until the watch has seen
enough, and calls ``watch(energy)`` after each update, from the hook or callback that its package offers.
``LEARNERS`` has them under ``(package, settings, learner)``. Settings are

``own``
    What the package documents; for this one, ``recipes/plane.py``. For ebmkit 0.16.0 that is its README
    (persistent chains), and ``examples/benchmark_losses.py`` and ``examples/train_energy_discrepancy.py`` of
    its source distribution (the others). For torchebm 0.8.9 it is ``examples/20-training`` of its repository,
    whose loop is that of its README. Those pages train on two moons, which are about as wide as the targets
    here. Their numbers of updates are not kept: all go on to the cap.
``ours``
    Another package's learner with the net, batch, optimiser, rate, average and chain of ``recipes/plane.py``,
    as far as its interface goes. Three things stay its own. ebmkit's NCE starts its log Z at 0 and not at an
    estimate; its replay buffer may draw a chain twice; and torchebm's returns chains to other slots than they
    came from.
``compiled``
    This package's own settings with ``Speed(compile=10)``.

Nothing here was tuned for this contest. The rates of ``recipes/plane.py`` fall to 0 after its 1,000 updates,
so those runs end there, whoever makes them. All learners draw fresh points of the target by the same function
in every update. All energies have the sign of this package, ``+E``. Those of the other packages' own settings
have no reference term: they are normalised over the box of the grid, like all the rest.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import ExactEnergy
from ebmlearn.recipes import plane
from ebmlearn.schedules import linear
from ebmlearn.speed import Speed
from ebmlearn.train import fit

Watch = Callable[[Callable[[Tensor], Tensor]], None]
Learner = Callable[[ExactEnergy, Watch], None]

FOREVER = 10**6  # updates: the watch ends the run
STEPS = plane.PLANE["persistent chains"].steps


def ours(name: str, target: ExactEnergy, watch: Watch, *, speed: Speed | None = None) -> None:
    """A recipe of the plane, by `fit`."""
    recipe = plane.PLANE[name]
    method = recipe.make(target, recipe.steps)
    fit(
        method,
        target.sample,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        speed=speed,
        hooks=[lambda *_: watch(recipe.model(method))],
        progress=False,
    )


def batches(target: ExactEnergy, size: int) -> Iterator[Tensor]:
    while True:
        yield target.sample(size)


def with_ebmkit(
    net: Callable[[Any], nn.Module],
    loss_of: Callable[[Any], nn.Module],
    target: ExactEnergy,
    watch: Watch,
    *,
    size: int = 256,
    lr: float = 1e-3,
    ema: float | None = None,
    falling: int = 0,
) -> None:
    """Its ``Trainer``; with ``falling`` the rate falls to 0 in so many updates, as ours does."""
    import ebm

    energy, loss = net(ebm), loss_of(ebm)
    optimizer = torch.optim.Adam([*energy.parameters(), *loss.parameters()], lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear(1.0, falling)) if falling else None

    def after(step: int, out: Any) -> None:
        if schedule is not None:
            schedule.step()
        watch(energy if trainer.ema is None else trainer.ema.module)

    trainer = ebm.Trainer(energy, loss, optimizer, device="cpu", ema_decay=ema, callback=after)
    trainer.fit(batches(target, size), steps=falling or FOREVER, batch_size=size, verbose=False)


def with_torchebm(
    net: Callable[[], nn.Module],
    loss_of: Callable[[Any, Any], nn.Module],
    target: ExactEnergy,
    watch: Watch,
    *,
    size: int = 256,
    lr: float = 1e-3,
    ema: float | None = None,
    falling: int = 0,
) -> None:
    """The loop of its README over one of its losses; ``falling`` as in `with_ebmkit`."""
    import torchebm.core
    import torchebm.losses
    import torchebm.samplers
    import torchebm.utils.ema

    class Model(torchebm.core.BaseModel):
        """Its energies are subclasses; this one holds a net."""

        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).view(-1)

    energy = Model(net())
    loss_fn = loss_of(torchebm, energy)
    if ema is not None and isinstance(loss_fn, torchebm.losses.ContrastiveDivergence):
        loss_fn.initialize_buffer((2,), init_noise_scale=plane.SPREAD)
    optimizer = torch.optim.Adam(energy.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear(1.0, falling)) if falling else None
    average = None if ema is None else torchebm.utils.ema.EMA(energy, ema)
    for _ in range(falling or FOREVER):
        loss = loss_fn(target.sample(size))
        if isinstance(loss, tuple):  # contrastive divergence gives the samples, too
            loss, _ = loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        if average is not None:
            average.update(energy)
        watch(energy if average is None else average.module)


def ebmkit_chains(ebm: Any, step_size: float, n_steps: int, buffer: Any) -> nn.Module:
    return ebm.ContrastiveDivergence(ebm.LangevinDynamics(step_size, n_steps), buffer)


def torchebm_chains(torchebm: Any, energy: Any, step_size: float, n_steps: int, **settings: Any) -> nn.Module:
    sampler = torchebm.samplers.LangevinDynamics(model=energy, step_size=step_size, noise_scale=1.0)
    cd = torchebm.losses.ContrastiveDivergence
    return cd(model=energy, sampler=sampler, k_steps=n_steps, persistent=True, **settings)


def plain_net() -> nn.Module:
    """That of the examples of torchebm, and with another name of ebmkit."""
    return nn.Sequential(nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))


def spread(shape: tuple[int, ...]) -> Tensor:
    return plane.SPREAD * torch.randn(shape)


def wide_noise() -> torch.distributions.Distribution:
    normal = torch.distributions.Normal(torch.zeros(2), plane.SPREAD)
    return torch.distributions.Independent(normal, 1)


CHAINS, COOPNETS, SCORE = "persistent chains", "cooperative learning", "score matching"
NCE, DISCREPANCY = "noise-contrastive estimation", "energy discrepancy"
EPS = plane.LONG_STEPS.settings["step_size"] ** 2 / 2  # their ε is our s²/2
K = plane.LONG_STEPS.n_steps
AS_CHAINS = {"size": 200, "lr": 2e-3, "ema": 0.99, "falling": STEPS}
AS_SCORE = AS_CHAINS | {"lr": 5e-3}
AS_NCE = AS_CHAINS | {"lr": 1e-2, "ema": None}

LEARNERS: dict[tuple[str, str, str], Learner] = {
    **{
        ("ebmlearn", "own", name): partial(ours, name) for name in (CHAINS, COOPNETS, SCORE, NCE, DISCREPANCY)
    },
    **{
        ("ebmlearn", "compiled", name): partial(ours, name, speed=Speed(compile=10))
        for name in (CHAINS, COOPNETS)
    },
    ("ebmkit", "own", CHAINS): partial(
        with_ebmkit,
        lambda ebm: ebm.nets.MLPEnergy(dim=2, hidden=(128, 128)),
        lambda ebm: ebmkit_chains(ebm, 1e-2, 60, ebm.ReplayBuffer(8192, (2,))),
    ),
    ("ebmkit", "own", SCORE): partial(
        with_ebmkit,
        lambda ebm: ebm.nets.MLPEnergy(dim=2, hidden=(128, 128)),
        lambda ebm: ebm.SlicedScoreMatching(),
    ),
    ("ebmkit", "own", NCE): partial(
        with_ebmkit,
        lambda ebm: ebm.nets.MLPEnergy(dim=2, hidden=(128, 128)),
        lambda ebm: ebm.NoiseContrastiveEstimation(noise_ratio=4),
    ),
    ("ebmkit", "own", DISCREPANCY): partial(
        with_ebmkit,
        lambda ebm: ebm.nets.MLPEnergy(dim=2, hidden=(128, 128)),
        lambda ebm: ebm.EnergyDiscrepancy(sigma=0.3, m_particles=16),
        ema=0.999,
    ),
    ("ebmkit", "ours", CHAINS): partial(
        with_ebmkit,
        lambda ebm: plane.net(0),
        lambda ebm: ebmkit_chains(ebm, EPS, K, ebm.ReplayBuffer(2000, (2,), 0.0, spread)),
        **AS_CHAINS,
    ),
    ("ebmkit", "ours", SCORE): partial(
        with_ebmkit, lambda ebm: plane.net(), lambda ebm: ebm.losses.ExactScoreMatching(), **AS_SCORE
    ),
    ("ebmkit", "ours", NCE): partial(
        with_ebmkit,
        lambda ebm: plane.net(),
        lambda ebm: ebm.NoiseContrastiveEstimation(wide_noise()),
        **AS_NCE,
    ),
    ("ebmkit", "ours", DISCREPANCY): partial(
        with_ebmkit,
        lambda ebm: plane.net(),
        lambda ebm: ebm.EnergyDiscrepancy(sigma=1.0, m_particles=4),
        **AS_SCORE,
    ),
    ("torchebm", "own", CHAINS): partial(
        with_torchebm,
        plain_net,
        lambda torchebm, energy: torchebm_chains(torchebm, energy, 0.1, 10, buffer_size=8192),
    ),
    ("torchebm", "own", SCORE): partial(
        with_torchebm,
        plain_net,
        lambda torchebm, energy: torchebm.losses.DenoisingScoreMatching(model=energy, noise_scale=0.1),
    ),
    ("torchebm", "ours", CHAINS): partial(
        with_torchebm,
        lambda: plane.net(0),
        lambda torchebm, energy: torchebm_chains(
            torchebm,
            energy,
            EPS,
            K,
            buffer_size=2000,
            init_steps=0,
            new_sample_ratio=0.0,
            energy_reg_weight=0.0,
        ),
        **AS_CHAINS,
    ),
    ("torchebm", "ours", SCORE): partial(
        with_torchebm,
        plane.net,
        lambda torchebm, energy: torchebm.losses.ScoreMatching(model=energy, hessian_method="exact"),
        **AS_SCORE,
    ),
}
