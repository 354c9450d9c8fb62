"""Longer runs on MNIST at 28 x 28: long_runs.json and a picture of each.

    python book/long_runs.py                all: 80 minutes of one core
    python book/long_runs.py short-run      one of them, likewise stored

Chapters 5, 6, 8 to 10, 12, 13, 15, 16 and 19 show digits of 8 x 8 or
14 x 14 pixels after a minute of training. Here the same classes have full
images, larger nets and two to fifteen minutes each. Every run has one
seed. Draws are judged as in `latent_mnist`: by a Fréchet distance of
features of a small classifier, which is no FID, and by two classifiers
that are to tell them from test images.
"""

import json
import math
import pathlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import ebmlearn as el
from ebmlearn import nets, viz
from latent_mnist import JUDGED, images_and_judge, judge
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
PICTURES = FILE.parent / "_static" / "long_runs"
SIZE, PIXELS, SHOWN, LONG = 28, (1, 28, 28), 30, 2000
UPDATES = {
    "short-run": 2400,
    "coopnets": 2500,
    "variational-teaching": 2500,
    "dual-mcmc": 2500,
    "flow": 3000,
    "neural-transport": 400,
    "inference": 1600,
    "VAE": 13_000,
    "symbols": 4000,
    "triangle": 2500,
    "bidvl": 2500,
}
SETTING = {
    "images": "28 x 28, in [-1, 1]; 60,000",
    "energy": "convolutions of 16, 32, 64 channels, SiLU, then 7 x 7",
    "decoder": "MLP 32-512-512-784, SiLU, tanh",
    "batch": 32,
    "batch of decoders": 100,
    "updates": UPDATES,
    "short-run": "30 steps from uniform noise, x - grad E + 0.01 noise,"
    " data noise 0.03, Adam 3e-4 falling linearly to 0",
    "coopnets": "15 such steps from a decoder with tau = 0.1; data noise"
    " 0.1; Adam with beta_1 = 0, 3e-4 for the energy, 1e-3 for the"
    " decoder, falling linearly to 0",
    "variational-teaching": "as coopnets, and an encoder 784-512-64",
    "dual-mcmc": "as that with tau = 0.3, and 10 steps of 0.1 for latents",
    "neural-transport": "RealNVP, 8 layers of 512, data noise 0.1, batch"
    " 100, Adam 1e-3 falling linearly to 0; tilt by the energy, batch 32,"
    " Adam 3e-4 likewise, 1,000 persistent chains, each 5 steps of HMC of"
    " 3 x 0.1",
    "inference": "25 steps of 0.08 from N(0, I), tau = 0.3, Adam 1e-3"
    " falling linearly to 0",
    "VAE": "the same decoder and rate, and an encoder 784-512-64",
    "symbols": "that VAE with 10 symbols: F 32-128-128-10, 40 steps of"
    " 0.4; batches of 100 images and 100 of the first 10 of each class"
    " with labels, of weight 50; information 5; Adam 1e-3 falling linearly"
    " to 0, the prior's 3e-5",
    "triangle": "decoder with tau = 0.3 and encoder as in dual-mcmc, whose"
    " draws have no noise; the energy's convolutions and 32-128, joined,"
    " 128-1, with spectral norms; weight 1, the paper's sign; batch 32;"
    " Adam with betas 0 and 0.9, 1e-4 for the energy, 1e-3 falling"
    " linearly to 0 for the others",
    "bidvl": "as that, with the energy of the other runs; both weights 1",
    "judged by": f"{JUDGED} draws and as many test images",
}


class Found(NamedTuple):
    """What a run has made."""

    title: str
    images: Tensor
    seconds: float
    error: float | None = None
    """Mean square of their difference from the right ones."""
    asked: Tensor | None = None
    """Symbols that they were to show, (n,)."""
    accuracy: float | None = None
    """Share of test images whose symbol was told right."""


def energy() -> nets.ConvEnergy:
    return nets.ConvEnergy(1, SIZE, (32, 64), stem=16)


def decoder(std: float) -> nets.MLPGenerator:
    return nets.MLPGenerator(32, PIXELS, (512, 512), std=std, bounded=True)


COOL = el.Chain(
    el.ula, n_steps=30, step_size=math.sqrt(2), noise_scale=0.01
)
UNIFORM = el.NoiseStart("uniform", 1.0, PIXELS)


def falling(name: str, start: float) -> el.schedules.Schedule:
    return el.schedules.linear(start, UPDATES[name])


def learn(name: str, method: el.Method, x, batch) -> float:
    """Seconds of training."""
    start = time.process_time()
    el.fit(method, x, steps=UPDATES[name], batch_size=batch)
    return time.process_time() - start


def short_run(x: Tensor, test: Tensor) -> Iterator[Found]:
    """Draws; then the ends of chains that go on for 2,000 steps."""
    method = el.MaximumLikelihood(
        energy(),
        UNIFORM,
        chain=COOL,
        data_noise=0.03,
        lr=falling("short-run", 3e-4),
    )
    seconds = learn("short-run", method, x, 32)
    yield Found("short run", draws(method.sample), seconds)
    yield longer(method, test, seconds)


def longer(method: el.MaximumLikelihood, x: Tensor, s: float) -> Found:
    """The ends of 2,000 steps from images with the noise of training."""
    x = x[:200] + 0.03 * torch.randn_like(x[:200])
    ends = method.chain.replace(n_steps=LONG)(method.energy, x)
    return Found("2,000 steps from test images", ends, s, square(ends - x))


def draws(sample) -> Tensor:
    """In parts, since a chain keeps more than its images."""
    parts = [sample(200) for _ in range(0, JUDGED, 200)]
    return torch.cat(parts)[:JUDGED].detach()


def decoded(g: nets.MLPGenerator) -> Tensor:
    """Images at latents of N(0, I)."""
    return draws(lambda n: g(g.latent(n)))


def again(title: str, g, codes: Tensor, x: Tensor, s: float) -> Found:
    """Images at their codes."""
    images = g(codes).detach()
    return Found(title, images, s, square(images - x))


def noisy(x: Tensor, n: int) -> Tensor:
    """With the noise of the decoder, so that it can match them."""
    some = x[torch.randint(len(x), (n,))]
    return some + 0.1 * torch.randn_like(some)


def encoder() -> el.posteriors.GaussianPosterior:
    return el.posteriors.GaussianPosterior(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 512),
            nn.SiLU(),
            nn.Linear(512, 64),
        ),
        32,
    )


def companions(name: str, *others: str) -> dict:
    """What is the same for all companions: the chain and the rates, of
    the energy and of ``others``."""
    rates = {f"lr_{one}": falling(name, 1e-3) for one in others}
    return {
        "chain": COOL.replace(n_steps=15),
        "lr_energy": falling(name, 3e-4),
        "optimizer": partial(torch.optim.Adam, betas=(0.0, 0.999)),
    } | rates


def proposed_and_revised(name: str, method, x: Tensor) -> Iterator[Found]:
    """Draws after training, before and after the chain."""
    seconds = learn(name, method, partial(noisy, x), 32)
    yield Found("decoder", decoded(method.generator), seconds)
    yield Found("after 15 steps", draws(method.sample), seconds)


def coopnets(x: Tensor, test: Tensor) -> Iterator[Found]:
    how = companions("coopnets", "generator")
    method = el.CoopNets(energy(), decoder(0.1), **how)
    yield from proposed_and_revised("coopnets", method, x)


def variational_teaching(x: Tensor, test: Tensor) -> Iterator[Found]:
    name = "variational-teaching"
    three = energy(), decoder(0.1), encoder()
    method = el.VariationalTeaching(*three, **companions(name, "vae"))
    yield from proposed_and_revised(name, method, x)


def dual_mcmc(x: Tensor, test: Tensor) -> Iterator[Found]:
    """Draws; then test images again, by the encoder and by its chain."""
    name = "dual-mcmc"
    method = el.DualMCMC(
        energy(),
        decoder(0.3),
        encoder(),
        latent_chain=el.Chain(el.ula, n_steps=10, step_size=0.1),
        **companions(name, "generator", "posterior"),
    )
    yield from proposed_and_revised(name, method, x)
    g = method.generator
    for title, infer in {
        "test images at the encoder's mean": method.posterior.mean,
        "at the encoder's draws": lambda x: method.posterior.sample(x)[0],
        "ten steps later": method.infer,
    }.items():
        yield again(title, g, infer(test).detach(), test, 0.0)


def neural_transport(x: Tensor, test: Tensor) -> Iterator[Found]:
    """Draws of the flow; then of its tilt, by the persistent chains."""
    flow = nets.RealNVP(PIXELS, 8, 512)
    likelihood = el.ExactLikelihood(
        flow, lambda q: q.log_z, lr=falling("flow", 1e-3)
    )
    seconds = learn("flow", likelihood, partial(noisy, x), 100)
    yield Found("flow", draws(flow.sample), seconds)
    method = el.NeuralTransport(
        energy(),
        flow,
        el.ReplayBuffer(torch.randn(1000, *PIXELS)),
        chain=el.Chain(el.hmc, n_steps=5, step_size=0.1, n_leapfrog=3),
        lr=falling("neural-transport", 3e-4),
    )
    seconds += learn("neural-transport", method, partial(noisy, x), 32)
    yield Found("tilted", draws(method.sample), seconds)


def inference(x: Tensor, test: Tensor) -> Iterator[Found]:
    chain = el.Chain(el.ula, n_steps=25, step_size=0.08)
    method = el.ShortRunInference(
        decoder(0.3),
        chain=chain,
        entropy="conditional",
        lr=falling("inference", 1e-3),
    )
    seconds = learn("inference", method, x, 100)
    g = method.generator
    yield Found("decoder at N(0, I)", decoded(g), seconds)
    codes = method.infer(test)
    yield again("decoder at short runs", g, codes, test, seconds)
    yield fill(g, chain, test, "filled in", seconds)
    q = encoder()
    el.seed(0)
    vae = el.VAE(decoder(0.3), q, lr=falling("VAE", 1e-3))
    seconds = learn("VAE", vae, x, 100)
    g = vae.generator
    yield Found("VAE at N(0, I)", decoded(g), seconds)
    codes = vae.posterior.sample(test)[0]
    yield again("VAE at its codes", g, codes, test, seconds)
    yield fill(g, chain, test, "filled in by the VAE's decoder", seconds)


def symbols(x: Tensor, test: Tensor) -> Iterator[Found]:
    """Draws by symbol, three of each shown; and of any symbol."""
    y, y_test = answers(len(x), len(test))
    few = torch.cat([(y == k).nonzero()[:10, 0] for k in range(10)])
    method = el.SymbolVectorCoupling(
        nets.SymbolEnergy(32, 10, (128, 128)),
        decoder(0.3),
        encoder(),
        prior_chain=el.Chain(el.ula, n_steps=40, step_size=0.4),
        label_weight=50.0,
        information_weight=5.0,
        lr_classifier=falling("symbols", 1e-3),
        lr_autoencoder=falling("symbols", 1e-3),
    )
    seconds = learn("symbols", method, (x, (x[few], y[few])), (100, 100))
    right = (method.predict(test) == y_test).float().mean().item()
    g, asked = method.generator, torch.arange(10).repeat(JUDGED // 10)
    asked[:SHOWN] = asked[:SHOWN].sort().values
    images = g(method.sample_prior(JUDGED, asked)).detach()
    title = "of the symbols 0 to 9"
    yield Found(title, images, seconds, asked=asked, accuracy=right)
    any_symbol = draws(lambda n: g(method.sample_prior(n)))
    yield Found("of any symbol", any_symbol, 0.0)


def answers(n: int, n_test: int) -> tuple[Tensor, Tensor]:
    """Digits of the first n training images and of the test images."""
    y, y_test = (el.data.load("mnist", s).y for s in ("train", "test"))
    mixed = torch.Generator().manual_seed(0)  # as images_and_judge
    return y[:n], y_test[torch.randperm(len(y_test), generator=mixed)][
        :n_test
    ]


def triangle(x: Tensor, test: Tensor) -> Iterator[Found]:
    """Draws; then test images again."""
    method = el.DivergenceTriangle(
        nets.JointConvEnergy(
            1, SIZE, 32, (32, 64), stem=16, spectral_norm=True
        ),
        decoder(0.3),
        encoder(),
        noise=False,
        lr_generator=falling("triangle", 1e-3),
        lr_posterior=falling("triangle", 1e-3),
    )
    yield from drawn_and_again("triangle", method, x, test)


def bidvl(x: Tensor, test: Tensor) -> Iterator[Found]:
    """The same; then draws, moved by steps on the energy."""
    method = el.BiDVL(
        energy(),
        decoder(0.3),
        encoder(),
        noise=False,
        lr_autoencoder=falling("bidvl", 1e-3),
    )
    yield from drawn_and_again("bidvl", method, x, test)
    chain = COOL.replace(n_steps=15)
    g = method.generator
    moved = draws(lambda n: chain(method.energy, g(g.latent(n)).detach()))
    yield Found("after 15 steps", moved, 0.0)


def drawn_and_again(name: str, method, x, test) -> Iterator[Found]:
    """Draws after training, and test images at the encoder's mean."""
    seconds = learn(name, method, x, 32)
    g, q = method.generator, method.posterior
    yield Found("decoder", decoded(g), seconds)
    codes = q.mean(test).detach()
    yield again("test images at the encoder's mean", g, codes, test, 0.0)


def fill(g, chain: el.Chain, x: Tensor, title: str, s: float) -> Found:
    """Lower halves that are the mean of ten, decoded at short runs from
    the upper ones. The error is that of the lower ones."""
    method = el.ShortRunInference(g, chain=chain, entropy="conditional")
    seen = torch.ones(PIXELS, dtype=torch.bool)
    seen[:, SIZE // 2 :] = False
    guesses = [g(method.infer(x, mask=seen)).detach() for _ in range(10)]
    filled = torch.where(seen, x, torch.stack(guesses).mean(0))
    return Found(title, filled, s, square((filled - x)[:, ~seen]))


def square(x: Tensor) -> float:
    return x.square().mean().item()


RUNS = {
    "short-run": short_run,
    "coopnets": coopnets,
    "variational-teaching": variational_teaching,
    "dual-mcmc": dual_mcmc,
    "neural-transport": neural_transport,
    "inference": inference,
    "symbols": symbols,
    "triangle": triangle,
    "bidvl": bidvl,
}


def run(name: str) -> dict:
    """Train, judge and draw one of the runs."""
    x, test, other, net = images_and_judge(SIZE)
    found = [Found("other test images", other, 0.0)]
    el.seed(0)
    found += list(RUNS[name](x, test))
    rows = []
    for title, images, seconds, error, asked, accuracy in found:
        row = {"images": title, "n": len(images)}
        if asked is not None:
            told = net.eval().logits(net(images)).argmax(1)
            row["as asked"] = round(
                (told == asked).float().mean().item(), 4
            )
        if accuracy is not None:
            row["accuracy"] = round(accuracy, 4)
        if len(images) == JUDGED:
            row |= judge(test, images, net, 0)
        if error is not None:
            row["squared error"] = round(error, 4)
        row["largest |pixel|"] = round(images.abs().max().item(), 2)
        rows.append(row | {"seconds": round(seconds)})
        print(rows[-1], flush=True)
    draw(name, [Found("test images", test, 0.0), *found[1:]])
    return {"made": made(), "rows": rows}


def draw(name: str, found: list[Found]) -> None:
    """Strips of images, one below the other."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    fig, axes = plt.subplots(
        len(found), figsize=(4.2, 0.85 * len(found)), layout="constrained"
    )
    for ax, one in zip(axes, found, strict=True):
        viz.image_grid(one.images[:SHOWN], ax, n_cols=15, title=one.title)
    fig.savefig(PICTURES / f"{name}.png", dpi=150)
    plt.close(fig)


def stored() -> dict:
    """The file: setting, and the rows of each run."""
    return json.loads(FILE.read_text("utf-8"))


def main(argv: list[str]) -> None:
    torch.set_num_threads(1)
    for name in argv or RUNS:
        found = run(name)
        # read late: another run may have been stored meanwhile
        runs = stored()["runs"] if FILE.exists() else {}
        table = {"setting": SETTING, "runs": runs | {name: found}}
        write(FILE, table)


if __name__ == "__main__":
    main(sys.argv[1:])
