"""What a stranger would write, annotated: it runs, and type checkers have nothing to say about it.

It stands for code outside of this repository and imports nothing but the installed package.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import ebmlearn as el


class Mine(nn.Module):
    """An energy of one's own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.net(x)
        return values.squeeze(1) + 0.5 * x.square().sum(1)


class Contrast(el.Method):
    """A method of one's own: lower the energy of data, raise that of noise."""

    def __init__(self, energy: nn.Module, lr: float = 1e-3) -> None:
        super().__init__()
        self.energy = energy
        self.add_optimizer("energy", energy.parameters(), lr, torch.optim.Adam)
        self.add_average("energy", energy, 0.9)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        loss = el.ml_gap(self.energy, batch, torch.randn_like(batch))
        self.update("energy", loss)
        return {"loss": loss.detach()}


def learn(out: Path) -> Tensor:
    """Train, stop, go on, load, judge and sample."""
    target = el.targets.eight_gaussians(radius=1.0)
    energy = el.nets.MLPEnergy(2, (16, 16), activation=partial(nn.LeakyReLU, 0.2), reference_std=2.0)
    noise = el.NoiseStart("normal", 1.5, (2,))
    bank = el.ReplayBuffer(noise.sample(500), restart=0.05, noise=noise)
    chain = el.Chain(el.ula, n_steps=5, step_size=0.15)
    method = el.MaximumLikelihood(energy, bank, chain=chain, lr=el.schedules.linear(3e-3, 20), ema=0.99)
    seen: list[float] = []

    def note(step: int, method: el.Method, metrics: dict[str, Tensor]) -> None:
        seen.extend(value.item() for value in metrics.values())

    history = el.fit(method, target.sample, steps=10, out=out, every=5, hooks=[note], progress=False)
    history = el.fit(method, target.sample, steps=20, out=out, resume=True, progress=False)
    losses: Tensor = history["energy_gap"]
    step: int = el.load(method, out)
    average = method.averages["energy"]
    learned = el.load_energy(out)
    grid = el.evaluate.exact.Grid((-12, 12), n=60)
    divergence = el.evaluate.exact.kl(target, average, grid)
    again = el.evaluate.exact.kl(target, learned, grid)
    print(step, len(losses), float(divergence.value) == float(again.value))
    x = el.langevin(learned, torch.randn(50, 2), n_steps=10, step_size=0.1)
    value, slope = el.grad(learned, x)
    print(value.shape, slope.shape, chain.replace(n_steps=2)(learned, x).shape)
    return method.sample(10)


def learn_mine(out: Path) -> Mine:
    """The same with an energy and a method of one's own, on data of one's own."""
    data = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    method = Contrast(Mine())
    el.fit(method, data, steps=5, batch_size=16, out=out, progress=False)
    return el.load_energy(out, into=Mine(), average=False)


def generate(out: Path) -> Tensor:
    """A generator from a run."""
    method = el.CoopNets(
        el.nets.MLPEnergy(2, (8,)),
        el.nets.MLPGenerator(3, (2,), (8,)),
        chain=el.Chain(el.ula, n_steps=2, step_size=0.1),
    )
    el.fit(method, torch.randn(64, 2), steps=2, batch_size=16, out=out, progress=False)
    samples: Tensor = el.load_net(out, "generator").sample(7)
    return samples


if __name__ == "__main__":
    el.seed(0)
    folder = Path(sys.argv[1])
    print(learn(folder / "a").shape, learn_mine(folder / "b").net, generate(folder / "c").shape)
