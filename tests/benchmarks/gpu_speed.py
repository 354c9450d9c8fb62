"""Parts of ``make gpu`` that measure: CUDA graphs, and images per second through a chain."""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gpu_rows import Row, Rows, distance, each, held, wait
from recipes import CountFlops
from timing import in_turn, ratio
from torch import Tensor

from ebmlearn import Speed, hmc, mala, recipes, ula
from ebmlearn.energy import grad
from ebmlearn.nets import ConvEnergy, MLPEnergy
from ebmlearn.sample import run

CHAIN = {"step_size": 10.0, "noise_scale": 0.003}
SPEEDS = {
    "float32": Speed(),
    "float32, channels last, compiled": Speed(compile=5, channels_last=True),
    "bf16": Speed(precision="bf16"),
    "bf16, channels last": Speed(precision="bf16", channels_last=True),
    "bf16, channels last, compiled": Speed(compile=5, precision="bf16", channels_last=True),
}
CONV = ("short-run-cifar10", "coopnets-cifar10", "short-run-celeba64")
SAMPLERS: dict[str, Any] = {
    "ula": partial(ula, step_size=0.1),
    "mala": partial(mala, step_size=0.1),
    "hmc": partial(hmc, step_size=0.1, n_leapfrog=5),
}
CHAINS = ("ula 64", "ula 1000", "ula 10000", "mala 1000", "hmc 1000")


def graphs(device: str, tiny: bool) -> Rows:
    n = 10 if tiny else 100

    def row(name: str) -> Row:
        sampler, size = name.split()
        torch.manual_seed(0)
        net, x = MLPEnergy(2, (128, 128)).to(device), torch.randn(int(size), 2, device=device)
        speeds = {"eager": Speed(), "compiled": Speed(compile=10)}
        if device == "cuda":
            speeds["graphs"] = Speed(compile=10, cuda_graphs=True)

        def go(speed: Speed) -> Tensor:
            torch.manual_seed(1)
            end = run(SAMPLERS[sampler](net), x, n, speed=speed)
            wait(device)
            return end

        ends = {key: go(speed).clone() for key, speed in speeds.items()}
        seconds = in_turn({key: partial(go, s) for key, s in speeds.items()}, 1 if tiny else 7)
        steps = {f"us, {key}": 1e6 * statistics.median(times) / n for key, times in seconds.items()}
        apart = {f"apart, {key}": distance(ends["eager"], end, x) for key, end in ends.items()}
        return {"chains": int(size), **steps, **held(apart, dict.fromkeys(apart, 1e-2))}

    yield from each(("ula 16",) if tiny else CHAINS, row)


def plain_loop(energy: torch.nn.Module, x: Tensor, n_steps: int) -> Tensor:
    """As published code writes it: the weights are in the graph as well."""
    for _ in range(n_steps):
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(energy(x).sum(), x)
        x = x - 0.5 * CHAIN["step_size"] ** 2 * slope + CHAIN["noise_scale"] * torch.randn_like(x)
    return x.detach()


def images(device: str, tiny: bool) -> Rows:
    peak = rate_of_products(device, 256 if tiny else 8192)
    batch, n = (4, 2) if tiny else (256, 20)

    def row(name: str) -> Row:
        torch.manual_seed(0)
        net = (ConvEnergy(1, 28) if tiny else energy_of(name)).to(device)
        shape = (1, 28, 28) if tiny else recipes.RECIPES[name]().shape()
        x = torch.rand(batch, *shape, device=device) * 2 - 1
        with CountFlops() as count:
            grad(net, x)
        entries: dict[str, Callable[[], object]] = {
            "plain loop": lambda: (plain_loop(net, x, n), wait(device))
        }
        for label, speed in SPEEDS.items():
            if not (tiny and speed.compile):
                entries[label] = partial(chain, net, x, n, speed, device)
        seconds = in_turn(entries, 1 if tiny else 5)
        found: Row = {"batch": batch, "flop per image": count.total / batch, "bf16 product, flop/s": peak}
        for label, times in seconds.items():
            per_second = batch * n / statistics.median(times)
            found[label] = {
                "images/s": per_second,
                "over the plain loop": 1 / ratio(times, seconds["plain loop"]),
                "of the bf16 rate": per_second * count.total / batch / peak,
            }
        return found

    yield from each(("default ConvEnergy",) if tiny else CONV, row)


def energy_of(name: str) -> torch.nn.Module:
    recipe = recipes.RECIPES[name]()
    net = recipe.method(recipe.shape()).energy
    assert isinstance(net, torch.nn.Module)
    return net


def chain(net: Any, x: Tensor, n: int, speed: Speed, device: str) -> Tensor:
    memory = torch.channels_last if speed.channels_last else torch.contiguous_format
    net.to(memory_format=memory)  # Speed.prepare only turns them one way
    end = run(ula(net, **CHAIN), x, n, speed=speed)
    wait(device)
    return end


def rate_of_products(device: str, side: int) -> float:
    """Floating-point operations a second of a large product in bfloat16: what the card reaches, not what it
    says that it has."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def go() -> None:
        for _ in range(10):
            a @ a
        wait(device)

    return 10 * 2 * side**3 / statistics.median(in_turn({"product": go}, 5)["product"])
