"""One training step of every method, as a multiple of one forward and backward pass of what it trains.

    python tests/benchmarks/training.py [--repeats 5]

Images of 28 x 28 in batches of 64, the same networks for all; exact likelihood, which needs a grid, in the
plane. The unit of a row is the pass through its own energy, joint energy or generator with the gradient of
all weights, on the same batch. ``chain_steps`` counts the gradients, in ``x`` or in latents, that the chains
of a step take one after the other, and for bi-level methods the steps of the posterior.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from timing import in_turn, ratio
from torch import Tensor, nn

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate.exact import Grid
from ebmlearn.methods import (
    NCE,
    VAE,
    AlternatingBackprop,
    BiDVL,
    BiSM,
    Classification,
    CoopNets,
    DivergenceTriangle,
    DualMCMC,
    EnergyDiscrepancy,
    ExactLikelihood,
    FisherCritic,
    FlowContrastive,
    LatentPrior,
    MaximumLikelihood,
    MotionRepresentation,
    NeuralTransport,
    ScoreMatching,
    ShortRunInference,
    SymbolVectorCoupling,
    VaGES,
    VariationalTeaching,
    WeightSampler,
)
from ebmlearn.nets import (
    EBLVM,
    BlockMotion,
    Classifier,
    ConvEnergy,
    ConvGenerator,
    JointConvEnergy,
    LinearCode,
    MLPEnergy,
    RealNVP,
    ReLUTarget,
    SharedHypernetwork,
    SymbolEnergy,
    WeightEnergy,
)
from ebmlearn.objectives import (
    denoising_score_matching,
    multiscale_denoising,
    posterior_fisher,
    sliced_score_matching,
)
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, ula
from ebmlearn.train import Method

SHAPE, N_LATENTS, BATCH, N_STEPS = (1, 28, 28), 32, 64, 20
CHAIN = Chain(ula, n_steps=N_STEPS, step_size=1.0, noise_scale=0.01)
LATENT_CHAIN = Chain(ula, n_steps=N_STEPS, step_size=0.1)


class Case(NamedTuple):
    """A method, its loss of one pass, the steps of its chains, and what goes with ``x`` in a batch."""

    method: Method
    loss: Callable[[Tensor], Tensor]
    chain_steps: int = 0
    shape: tuple[int, ...] = SHAPE
    beside: tuple[Tensor, ...] = ()


def energy() -> ConvEnergy:
    return ConvEnergy(1, 28)


def generator() -> ConvGenerator:
    return ConvGenerator(N_LATENTS, 1, 28, (64, 32))


def posterior() -> GaussianPosterior:
    return GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(784, 2 * N_LATENTS)), N_LATENTS)


def of_energy(method: Method, chain_steps: int = 0, shape: tuple[int, ...] = SHAPE) -> Case:
    return Case(method, lambda x: method.energy(x).mean(), chain_steps, shape)


def of_generator(method: Method, chain_steps: int = 0, **beside: tuple[Tensor, ...]) -> Case:
    generator = method.generator
    return Case(method, lambda x: generator.joint(x, generator.latent(len(x))).mean(), chain_steps, **beside)


def of_joint(method: Method, chain_steps: int) -> Case:
    return Case(method, lambda x: method.energy.joint(x, torch.randn(len(x), N_LATENTS)).mean(), chain_steps)


def cases() -> dict[str, Case]:
    """Name -> case; every method of `ebmlearn.methods` at least once."""
    denoising = partial(denoising_score_matching, sigma=0.3)
    bank = ReplayBuffer(torch.rand(1000, *SHAPE) * 2 - 1)
    joint = partial(EBLVM, generator=generator())
    critic = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.Tanh(), nn.Conv2d(32, 1, 3, padding=1))
    fisher = FisherCritic(energy().requires_grad_(False), critic)
    code, moved = LinearCode(SHAPE, 64), torch.rand(BATCH, *SHAPE) * 2 - 1
    classifier, labels = Classifier(SHAPE, 10), torch.arange(BATCH) % 10
    target = ReLUTarget(SHAPE, 10, ((32, 5), (16, 5), 8))
    nets = WeightSampler(SharedHypernetwork(target, N_LATENTS), WeightEnergy(target, lam=1e3), n_nets=8)
    return {
        "exact likelihood, grid of 99²": of_energy(
            ExactLikelihood(MLPEnergy(2, reference_std=2.0), Grid((-6, 6), n=99).log_z), shape=(2,)
        ),
        "maximum likelihood, short-run": of_energy(
            MaximumLikelihood(energy(), NoiseStart(), chain=CHAIN), N_STEPS
        ),
        "maximum likelihood, persistent": of_energy(
            MaximumLikelihood(energy(), bank, chain=CHAIN, ema=0.99), N_STEPS
        ),
        "cooperative learning": of_energy(CoopNets(energy(), generator(), chain=CHAIN), N_STEPS),
        "cooperative learning, inferred latents": of_energy(
            CoopNets(energy(), generator(), chain=CHAIN, latent_chain=LATENT_CHAIN), 2 * N_STEPS
        ),
        "variational teaching": of_energy(
            VariationalTeaching(energy(), generator(), posterior(), chain=CHAIN), N_STEPS
        ),
        "dual-MCMC teaching": of_energy(
            DualMCMC(energy(), generator(), posterior(), chain=CHAIN, latent_chain=LATENT_CHAIN), 2 * N_STEPS
        ),
        "neural transport": of_energy(
            NeuralTransport(
                energy(), RealNVP(SHAPE, 4, 64), NoiseStart("normal", event_shape=SHAPE), chain=LATENT_CHAIN
            ),
            N_STEPS,
        ),
        "latent prior": of_generator(
            LatentPrior(
                MLPEnergy(N_LATENTS, reference_std=1.0),
                generator(),
                prior_chain=LATENT_CHAIN.replace(step_size=0.4),
                posterior_chain=LATENT_CHAIN,
            ),
            2 * N_STEPS,
        ),
        "alternating back-propagation": of_generator(
            AlternatingBackprop(generator(), 1000, chain=LATENT_CHAIN), N_STEPS, beside=(torch.arange(BATCH),)
        ),
        "motion of a linear code": Case(
            MotionRepresentation(
                code, BlockMotion(64, 2, 2), adjacency_weight=0.0, reconstruction_weight=1.0
            ),
            lambda x: (x - code.reconstruct(code(x))).square().mean(),
            beside=(torch.randn(BATCH, 2), moved),
        ),
        "short-run inference": of_generator(
            ShortRunInference(generator(), chain=LATENT_CHAIN, n_chains=64), N_STEPS
        ),
        "symbol-vector coupling, clusters": of_generator(
            SymbolVectorCoupling(
                SymbolEnergy(N_LATENTS, 10),
                generator(),
                posterior(),
                prior_chain=LATENT_CHAIN.replace(step_size=0.4),
                label_weight=0.0,
            ),
            N_STEPS,
        ),
        "variational auto-encoder": of_generator(VAE(generator(), posterior())),
        "divergence triangle": of_joint(
            DivergenceTriangle(
                JointConvEnergy(1, 28, N_LATENTS, spectral_norm=True), generator(), posterior()
            ),
            0,
        ),
        "bi-level doubly variational learning": of_energy(BiDVL(energy(), generator(), posterior())),
        "sliced score matching": of_energy(ScoreMatching(energy(), sliced_score_matching)),
        "denoising score matching": of_energy(ScoreMatching(energy(), denoising)),
        "multi-scale denoising": of_energy(
            ScoreMatching(energy(), partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.1))
        ),
        "NCE": of_energy(NCE(energy(), Gaussian(torch.zeros(SHAPE), torch.eye(784)))),
        "energy discrepancy, 4 points a datum": of_energy(EnergyDiscrepancy(energy(), sigma=0.3)),
        "flow contrastive estimation": of_energy(FlowContrastive(energy(), RealNVP(SHAPE, 4, 64))),
        "classification": Case(
            Classification(classifier),
            lambda x: nn.functional.cross_entropy(classifier.logits(classifier(x)), labels),
            beside=(labels,),
        ),
        "sampling the weights of 8 nets": Case(
            nets,
            lambda x: nets.energy_on((x, labels))(nets.hypernetwork(nets.hypernetwork.latent(8))).mean(),
            beside=(labels,),
        ),
        "Fisher critic": Case(fisher, lambda x: fisher.critic(x).mean()),
        "VaGES": of_joint(
            VaGES(joint(energy()), posterior(), denoising, lower=posterior_fisher, n_steps=5), 5
        ),
        "bi-level score matching": of_joint(
            BiSM(joint(energy()), posterior(), denoising, lower=posterior_fisher, n_steps=5, n_unrolled=5), 10
        ),
    }


def one_pass(case: Case, x: Tensor) -> None:
    loss = case.loss(x)
    torch.autograd.grad(loss, [p for p in case.method.parameters() if p.requires_grad], allow_unused=True)


def table(repeats: int = 5) -> list[dict]:
    """Rows ``name, chain_steps, ms, ratio``."""
    torch.manual_seed(0)
    entries = {}
    found = cases()
    for name, case in found.items():
        x = torch.rand(BATCH, *case.shape) * 2 - 1
        entries[name] = partial(case.method.step, (x, *case.beside) if case.beside else x)
        entries[f"{name}: a pass"] = partial(one_pass, case, x)
    seconds = in_turn(entries, repeats)
    return [
        {
            "name": name,
            "chain_steps": case.chain_steps,
            "ms": 1e3 * statistics.median(seconds[name]),
            "ratio": ratio(seconds[name], seconds[f"{name}: a pass"]),
        }
        for name, case in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for row in table(parser.parse_args().repeats):
        print("{name:40} {chain_steps:3} chain steps {ms:8.1f} ms {ratio:7.1f} passes".format(**row))


if __name__ == "__main__":
    main()
