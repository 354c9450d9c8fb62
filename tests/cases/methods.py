"""Every learning method at a size that trains in a blink: the contract test runs over this table. Add a
line for a new one."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ebmlearn import random
from ebmlearn.energy import GRBM, Gaussian
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
    ConditionalEnergy,
    ConditionalGenerator,
    ConvEncoder,
    ConvEnergy,
    ConvGenerator,
    CouplingEBLVM,
    Glow,
    JointConvEnergy,
    JointMLPEnergy,
    LadderGenerator,
    LatticeCode,
    LinearCode,
    MLPEnergy,
    MLPGenerator,
    MLPHypernetwork,
    RealNVP,
    ReLUTarget,
    ResidualFeatures,
    SharedHypernetwork,
    SymbolEnergy,
    WeightEnergy,
)
from ebmlearn.objectives import (
    conditional_nce,
    denoising_score_matching,
    kernel_stein_discrepancy,
    multiscale_denoising,
    posterior_fisher,
    sliced_score_matching,
)
from ebmlearn.posteriors import BernoulliPosterior, ConditionalPosterior, GaussianPosterior
from ebmlearn.sample import Chain, DataStart, NoiseStart, ReplayBuffer, ula
from ebmlearn.schedules import inverse
from ebmlearn.train import Batch, Method
from ebmlearn.train.batch import each


class Case(NamedTuple):
    make: Callable[[], Method]
    data: Batch
    steps: int = 1
    """Iterations in which every optimiser has a turn."""

    def batch(self) -> Batch:
        """The first eight data."""
        return each(lambda x: x[:8], self.data)


def points() -> Tensor:
    return torch.randn(64, 2, generator=torch.Generator().manual_seed(7))


def images() -> Tensor:
    return torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(7)) * 2 - 1


def moved_positions() -> Batch:
    with random.kept(7):
        return LatticeCode(6, 1, 1).draw(64, n_cells=1)


def moved_signals() -> Batch:
    x, shifts = torch.randn(32, 6, generator=torch.Generator().manual_seed(7)), torch.arange(32) % 3 - 1.0
    moved = torch.stack([s.roll(int(k)) for s, k in zip(x, shifts, strict=True)])
    return x, shifts[:, None], moved


def bent_flow(shape: tuple[int, ...]) -> RealNVP:
    """A flow starts as the identity, where only the last layers of its nets have a gradient: leave it."""
    flow = RealNVP(shape, 2, 8)
    for net in flow.nets:
        torch.nn.init.normal_(net[-1].weight, std=0.1)
    return flow


def bent_glow() -> Glow:
    flow = Glow(1, 8, n_levels=2, n_steps=1, width=4)
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    return flow


SHORT = Chain(ula, n_steps=2, step_size=0.1)

METHODS = {
    "exact likelihood": Case(
        lambda: ExactLikelihood(MLPEnergy(2, (8,), reference_std=1.0), Grid((-6, 6), n=30).log_z), points()
    ),
    "contrastive divergence": Case(
        lambda: MaximumLikelihood(MLPEnergy(2, (8,)), DataStart(), chain=SHORT), points()
    ),
    "persistent chains, averaged": Case(
        lambda: MaximumLikelihood(
            MLPEnergy(2, (8,), reference_std=2.0),
            ReplayBuffer(torch.randn(40, 2), restart=0.1, noise=NoiseStart()),
            chain=SHORT,
            ema=0.9,
        ),
        points(),
    ),
    "short-run": Case(
        lambda: MaximumLikelihood(
            ConvEnergy(1, 8, (4, 8)),
            NoiseStart(),
            chain=Chain(ula, n_steps=3, step_size=1.0, noise_scale=0.01, bounds=(-2.0, 2.0)),
            data_noise=0.1,
            lr=inverse(1e-3, 1),
        ),
        images(),
    ),
    "cooperative learning": Case(
        lambda: CoopNets(MLPEnergy(2, (8,)), MLPGenerator(3, (2,), (8,)), chain=SHORT, ema=0.9),
        points(),
    ),
    "cooperative learning, inferred latents": Case(
        lambda: CoopNets(
            ConvEnergy(1, 8, (4, 8)),
            ConvGenerator(3, 1, 8, (8, 4)),
            chain=SHORT,
            latent_chain=SHORT,
            lr_generator=inverse(1e-3, 1),
        ),
        images(),
    ),
    "variational teaching": Case(
        lambda: VariationalTeaching(
            ConvEnergy(1, 8, (4, 8)),
            ConvGenerator(3, 1, 8, (8, 4)),
            GaussianPosterior(ConvEncoder(1, 8, 6, (4, 4)), 3),
            chain=SHORT,
            lr_vae=inverse(1e-3, 1),
            ema=0.9,
        ),
        images(),
    ),
    "variational teaching, conditional": Case(
        lambda: VariationalTeaching(
            ConditionalEnergy((1, 8, 8), (3,), (8,), reference_std=1.0),
            ConditionalGenerator(2, (1, 8, 8), (3,), (8,)),
            ConditionalPosterior(nn.Linear(67, 4), 2, (3,)),
            chain=SHORT,
        ),
        (images(), torch.eye(3)[torch.arange(32) % 3]),
    ),
    "dual-MCMC teaching": Case(
        lambda: DualMCMC(
            MLPEnergy(2, (8,), reference_std=1.0),
            MLPGenerator(3, (2,), (8,)),
            GaussianPosterior(nn.Linear(2, 6), 3),
            chain=SHORT,
            latent_chain=SHORT,
            lr_posterior=inverse(1e-3, 1),
            ema=0.9,
        ),
        points(),
    ),
    "dual-MCMC teaching, two chains of x": Case(
        lambda: DualMCMC(
            ConvEnergy(1, 8, (4, 8)),
            ConvGenerator(3, 1, 8, (8, 4)),
            GaussianPosterior(ConvEncoder(1, 8, 6, (4, 4)), 3),
            chain=SHORT,
            latent_chain=SHORT,
            generator_weight=50.0,
            posterior_weight=0.1,
            n_x_chains=2,
        ),
        images(),
    ),
    "neural transport": Case(
        lambda: NeuralTransport(
            MLPEnergy(2, (8,)),
            bent_flow((2,)),
            ReplayBuffer(torch.randn(40, 2)),
            chain=Chain(ula, n_steps=2, step_size=0.2),
            lr=inverse(1e-3, 1),
            ema=0.9,
        ),
        points(),
    ),
    "neural transport, fresh": Case(
        lambda: NeuralTransport(
            ConvEnergy(1, 8, (4, 8)),
            bent_glow(),
            NoiseStart("normal"),
            chain=SHORT,
            warmup=2,
            bin_width=2 / 255,
            lr_flow=inverse(1e-3, 1),
        ),
        images(),
        steps=4,
    ),
    "latent prior": Case(
        lambda: LatentPrior(
            MLPEnergy(3, (8,), reference_std=1.0),
            MLPGenerator(3, (2,), (8,)),
            prior_chain=SHORT.replace(n_steps=3),
            posterior_chain=SHORT,
            lr_prior=inverse(1e-3, 1),
        ),
        points(),
    ),
    "alternating back-propagation": Case(
        lambda: AlternatingBackprop(MLPGenerator(3, (2,), (8,)), 64, chain=SHORT, lr=inverse(1e-3, 1)),
        (points(), torch.arange(64)),
    ),
    "motion of a lattice code": Case(
        lambda: MotionRepresentation(
            LatticeCode(6, 3, 2),
            BlockMotion(3, 2, 2, scale=0.2),
            isometry_weight=9.0,
            balance_weight=1.0,
            lr=inverse(3e-3, 1),
        ),
        moved_positions(),
    ),
    "motion of a linear code": Case(
        lambda: MotionRepresentation(
            LinearCode((6,), 3), BlockMotion(3, 2, 1), adjacency_weight=0.0, reconstruction_weight=1.0
        ),
        moved_signals(),
    ),
    "score matching": Case(lambda: ScoreMatching(MLPEnergy(2, (8,)), ema=0.9), points()),
    "sliced score matching": Case(
        lambda: ScoreMatching(ConvEnergy(1, 8, (4, 8)), sliced_score_matching), images()
    ),
    "denoising score matching": Case(
        lambda: ScoreMatching(
            MLPEnergy(2, (8,)), partial(denoising_score_matching, sigma=0.3, control_variate=True)
        ),
        points(),
    ),
    "multi-scale denoising": Case(
        lambda: ScoreMatching(
            ConvEnergy(1, 8, (4, 8)), partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.1)
        ),
        images(),
    ),
    "kernel Stein discrepancy": Case(
        lambda: ScoreMatching(MLPEnergy(2, (8,)), kernel_stein_discrepancy), points()
    ),
    "conditional NCE": Case(
        lambda: ScoreMatching(MLPEnergy(2, (8,)), partial(conditional_nce, sigma=0.3)), points()
    ),
    "NCE": Case(lambda: NCE(MLPEnergy(2, (8,)), Gaussian(torch.zeros(2), torch.eye(2)), n_noise=2), points()),
    "energy discrepancy": Case(
        lambda: EnergyDiscrepancy(ConvEnergy(1, 8, (4, 8)), sigma=0.3, n_noise=3, ema=0.9), images()
    ),
    "flow contrastive estimation": Case(
        lambda: FlowContrastive(MLPEnergy(2, (8,)), bent_flow((2,)), threshold=0.5, warmup=2),
        points(),
        steps=20,
    ),
    "flow contrastive estimation, images": Case(
        lambda: FlowContrastive(
            ConvEnergy(1, 8, (4, 8)), bent_flow((1, 8, 8)), threshold=0.45, warmup=2, lr_flow=inverse(0.01, 1)
        ),
        images(),
        steps=20,
    ),
    "flow contrastive estimation, from likelihood": Case(
        lambda: FlowContrastive(
            ConvEnergy(1, 8, (4, 8)), bent_glow(), threshold=0.5, warmup=2, bin_width=2 / 255
        ),
        images(),
        steps=20,
    ),
    "VaGES": Case(
        lambda: VaGES(
            GRBM(2, 3),
            BernoulliPosterior(nn.Linear(2, 3), 3),
            partial(denoising_score_matching, sigma=0.3),
            n_steps=2,
            lr_posterior=inverse(0.1, 1),
        ),
        points(),
    ),
    "VaGES, continuous latents": Case(
        lambda: VaGES(
            EBLVM(MLPEnergy(64, (8,)), MLPGenerator(3, (1, 8, 8), (8,))),
            GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(64, 6)), 3),
            partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.1),
            n_samples=3,
            lower=posterior_fisher,
            n_steps=1,
            ema=0.9,
        ),
        images(),
    ),
    "Fisher critic": Case(
        lambda: FisherCritic(
            Gaussian(torch.zeros(2), torch.eye(2)), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        ),
        points(),
    ),
    "bi-level score matching": Case(
        lambda: BiSM(
            GRBM(2, 3),
            BernoulliPosterior(torch.nn.Linear(2, 3), 3),
            partial(denoising_score_matching, sigma=0.3),
            n_steps=2,
            n_unrolled=2,
            lr_posterior=inverse(0.1, 1),
        ),
        points(),
    ),
    "bi-level score matching, continuous latents": Case(
        lambda: BiSM(
            CouplingEBLVM(ResidualFeatures(1, 8, (4, 4, 8), 1), 32, (1, 8, 8), 3, 16),
            GaussianPosterior(ConvEncoder(1, 8, 6, (4, 4)), 3),
            partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.1, geometric=True),
            lower=posterior_fisher,
            n_steps=1,
            n_unrolled=0,
            ema=0.9,
        ),
        images(),
    ),
    "bi-level doubly variational learning": Case(
        lambda: BiDVL(
            MLPEnergy(2, (8,), reference_std=1.0),
            MLPGenerator(3, (2,), (8,)),
            GaussianPosterior(nn.Linear(2, 6), 3),
            lr_autoencoder=inverse(1e-3, 1),
        ),
        points(),
    ),
    "bi-level doubly variational learning, hinge": Case(
        lambda: BiDVL(
            ConvEnergy(1, 8, (4, 8)),
            ConvGenerator(3, 1, 8, (8, 4)),
            GaussianPosterior(ConvEncoder(1, 8, 6, (4, 4)), 3),
            data_weight=0.05,
            latent_weight=0.1,
            loss="hinge",
            noise=False,
        ),
        images(),
    ),
    "short-run inference": Case(
        lambda: ShortRunInference(
            MLPGenerator(3, (2,), (8,)), chain=Chain(ula, n_steps=2, step_size=inverse(0.1, 1))
        ),
        points(),
    ),
    "short-run inference, tuned": Case(
        lambda: ShortRunInference(
            MLPGenerator(3, (2,), (8,)),
            chain=SHORT,
            tune_every=2,
            n_chains=5,
            lr_step=inverse(0.1, 1),
        ),
        points(),
        steps=2,
    ),
    "short-run inference, layers of latents": Case(
        lambda: ShortRunInference(
            LadderGenerator((2, 3), (1, 8, 8), 8),
            chain=SHORT.replace(noise_scale=0.05),
            tune_every=1,
            entropy="conditional",
            n_chains=1,
        ),
        images(),
    ),
    "symbol-vector coupling": Case(
        lambda: SymbolVectorCoupling(
            SymbolEnergy(3, 4, (8,)),
            MLPGenerator(3, (2,), (8,)),
            GaussianPosterior(nn.Linear(2, 6), 3),
            prior_chain=SHORT,
            information_weight=1.0,
            lr_prior=inverse(1e-3, 1),
        ),
        (points(), (points() + 1, torch.arange(64) % 4)),
    ),
    "symbol-vector coupling, clusters": Case(
        lambda: SymbolVectorCoupling(
            SymbolEnergy(3, 4, (8,)),
            MLPGenerator(3, (1, 8, 8), (8,)),
            GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(64, 6)), 3),
            prior_chain=SHORT,
            label_weight=0.0,
        ),
        images(),
    ),
    "variational auto-encoder": Case(
        lambda: VAE(
            MLPGenerator(3, (1, 8, 8), (8,)),
            GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(64, 6)), 3),
            lr=inverse(1e-3, 1),
        ),
        images(),
    ),
    "divergence triangle": Case(
        lambda: DivergenceTriangle(
            JointMLPEnergy((2,), 3, (8,), joint_widths=(8,), reference_std=3.0),
            MLPGenerator(3, (2,), (8,)),
            GaussianPosterior(nn.Linear(2, 6), 3),
            weight=2.0,
            encoder_sign="cooperative",
            noise=False,
            lr_posterior=inverse(1e-3, 1),
        ),
        points(),
    ),
    "divergence triangle, images": Case(
        lambda: DivergenceTriangle(
            JointConvEnergy(1, 8, 3, (4, 8), joint_widths=(8,), spectral_norm=True, bounded=True),
            ConvGenerator(3, 1, 8, (8, 4)),
            GaussianPosterior(ConvEncoder(1, 8, 6, (4, 4)), 3),
        ),
        images(),
    ),
    "classification": Case(
        lambda: Classification(Classifier((1, 8, 8), 3, n_features=5, width=4)),
        (images(), torch.arange(32) % 3),
    ),
    "weight sampler": Case(
        lambda: WeightSampler(
            SharedHypernetwork(
                target := ReLUTarget((1, 8, 8), 3, ((2, 3), 4)),
                5,
                extractor=(8,),
                code_dims=3,
                widths=(6,),
                whole=(2,),
            ),
            WeightEnergy(target, lam=100.0),
            n_nets=2,
            entropy_norm=1,
            lr=inverse(1e-3, 1),
        ),
        (images(), torch.arange(32) % 3),
    ),
    "weight sampler, regression": Case(
        lambda: WeightSampler(
            MLPHypernetwork(9, 9, (8,), law="normal"),
            WeightEnergy(ReLUTarget((2,), 1, (2,), softmax=False), "squared", lam=10.0, prior_std=1.0),
            n_nets=4,
            gauge=False,
        ),
        (points(), points().sum(1)),
    ),
}


def recorder(kind: type[Method]) -> type[Method]:
    """A method whose updates are noted, ``recorded[name] = loss`` and ``order``, and not made."""

    class Recorder(kind):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings)
            self.recorded, self.order = {}, []

        def update(self, name, loss):
            self.recorded[name] = loss
            self.order.append(name)

    return Recorder
