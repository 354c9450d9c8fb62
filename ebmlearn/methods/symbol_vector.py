"""Symbol-vector coupling: one net of latents is their prior and the classifier of the examples.

References:
    Pang, Nijkamp, Cui, Han, Wu (2020), "Semi-supervised learning by latent space energy-based model of
    symbol-vector coupling", arXiv:2010.09359.
    Pang, Wu (2021), "Latent space energy-based model of symbol-vector coupling for text generation and
    classification", ICML, arXiv:2108.11556.

Notation:
    ==================  ================  ================================================================
    here                paper             meaning
    ==================  ================  ================================================================
    ``F(z)[y]``         ``⟨y, f_α(z)⟩``   logit of the symbol ``y``, one of ``K``; ``p(y|z) = softmax F(z)``
    ``U(z)``            ``-log p_α(z)``   energy of the prior, ``‖z‖²/(2r²) - logsumexp F(z)``
    ``-log p(x|z)``     ``-log p_β``      ``reconstruction(x, z)`` of the generator
    ``q(z|x)``          ``q_φ``           encoder (``posterior``), of mean ``μ(x)``
    ``λ``, ``c``        ``λ``             weights of the labels and of the information
    ==================  ================  ================================================================

Algorithm, one iteration on ``B`` examples ``x`` and ``B'`` more with labels, ``(x', y')``:
    1. Classifier: one optimiser step on F and one on q, down ``-mean log softmax F(μ(x'))[y']``, for q times
       ``λ``, both from the same weights.
    2. Draw ``z⁺ ~ q(z|x)``, differentiable; K₀ steps of a chain on ``U``, from ``N(0, I)``, to ``z⁻``.
    3. Autoencoder: one optimiser step on generator and q, down ``mean -log p(x|z⁺) + log q(z⁺|x) + U(z⁺)``,
       which is minus the bound of ``log p(x)`` without its ``log Z``, and ``- c I``. The Gaussian part of
       ``log q + U`` is a divergence in closed form.
    4. Prior: one optimiser step on F, down ``mean U(z⁺) - mean U(z⁻) - c I``, with ``z`` held constant.

``I = H(mean p(y|z⁺)) - mean H(p(y|z⁺))``, in [0, log K], is the information that ``y`` has of ``z`` in the
batch. With ``c = 0`` lines 3 and 4 follow the gradient of the bound, that of ``log Z`` included. Without
labels there is no line 1.

Differences from the authors' code (github.com/bpucla/ibebm, commit 315b645): its files differ in lines 3 and
4; these are those of ``semi_sup_classification.py``, whose line 1 moves F by the Adam of line 4 and needs a
weight of 200. Here F has an optimiser for each, so that their rates can differ; q has one, as there. The
label can also enter by chains given ``y``, which that file leaves switched off; here it does not.
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ebmlearn import check
from ebmlearn.methods.vae import check_latents
from ebmlearn.nets import GaussianGenerator, Generator, SymbolEnergy
from ebmlearn.objectives import ml_gap
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory

Labelled = tuple[Tensor, tuple[Tensor, Tensor]]
"""``(x, (x', y'))``, examples and others with their labels."""


class SymbolVectorCoupling(Method):
    """A generator, an encoder, and an energy of symbols and latents: with few labels, or with none.

    Args:
        prior: The energy of symbols and latents.
        generator: The generator to train.
        posterior: The encoder to train.
        prior_chain: The chain on the prior, of ``K₀`` steps: `Chain(ula, n_steps=40, step_size=0.4)
            <ebmlearn.sample.Chain>`.
        label_weight: Weight ``λ`` >= 0 of the labels where they move the encoder; 0: a batch has no labels,
            and symbols are clusters.
        information_weight: Weight ``c`` >= 0 of the information. Without labels it is what keeps one symbol
            from taking all.
        lr_prior: Learning rate of line 4, a number or a schedule of the number of updates. It is to be the
            lowest by far, as in `ebmlearn.methods.LatentPrior`.
        lr_classifier: Learning rate of F in line 1, likewise.
        lr_autoencoder: Learning rate of generator and encoder, likewise. With labels a step makes two of
            these updates: line 1's of the encoder, and line 3's.
        optimizer: ``factory(parameters, lr=...)``, for each.

    Raises:
        ValueError: If the latents differ in number, the prior has no Gaussian term, or a weight is off.
        TypeError: If the prior is no `ebmlearn.nets.SymbolEnergy`, or the kernel cannot take its energy.
    """

    n_labelled: Tensor

    def __init__(
        self,
        prior: SymbolEnergy,
        generator: Generator,
        posterior: GaussianPosterior,
        *,
        prior_chain: Chain,
        label_weight: float = 200.0,
        information_weight: float = 0.0,
        lr_prior: float | Schedule = 3e-5,
        lr_classifier: float | Schedule = 1e-3,
        lr_autoencoder: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check.instance("prior", prior, SymbolEnergy)
        check_latents(generator, posterior)
        check_latents(generator, prior, "prior")
        if prior.reference_std is None:
            raise ValueError(
                "the prior has no Gaussian term, without which exp(-U) need not be integrable: build it with "
                "reference_std=1.0"
            )
        prior_chain.kernel(prior)  # refuses an energy that it cannot take here, not at the first step
        self.label_weight = check.number("label_weight", label_weight, ">= 0")
        self.information_weight = check.number("information_weight", information_weight, ">= 0")
        self.prior, self.generator, self.posterior = prior, generator, posterior
        self.prior_chain = prior_chain
        self.register_buffer("n_labelled", torch.zeros(prior.n_symbols))
        if self.label_weight:
            self.add_optimizer("classifier", prior.parameters(), lr_classifier, optimizer)
        both = [*generator.parameters(), *posterior.parameters()]
        self.add_optimizer("autoencoder", both, lr_autoencoder, optimizer)
        self.add_optimizer("prior", prior.parameters(), lr_prior, optimizer)

    def sample(self, n: int, y: int | Tensor | None = None) -> Tensor:
        """Examples of the model, with the noise of the generator, shape ``(n, *event)``: of one symbol ``y``,
        of ``n`` symbols ``(n,)``, or of any."""
        with torch.no_grad():
            return self.generator.draw(self.sample_prior(n, y))

    def sample_prior(self, n: int, y: int | Tensor | None = None) -> Tensor:
        """Latents from the prior, or from ``p(z|y)``, by ``K₀`` steps from ``N(0, I)``, shape
        ``(n, latent_dim)``."""
        z = self.generator.latent(n)
        if y is None:
            return self.prior_chain(self.prior, z)
        return self.prior_chain(
            self.prior.given(torch.full((n,), y, device=z.device) if isinstance(y, int) else y), z
        )

    @torch.no_grad()
    def infer(self, x: Tensor) -> Tensor:
        """Means of the encoder for examples ``(B, *event)``, shape ``(B, latent_dim)``."""
        return self.posterior.mean(x)

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """``softmax F(μ(x))`` of examples ``(B, *event)``, shape ``(B, K)``: ``p(y|x)`` if the posterior were
        at its mean.

        Warns:
            UserWarning: If it was trained on labels, and a symbol never had one.
        """
        missing = (self.n_labelled == 0).nonzero().flatten().tolist()
        if missing and self.n_labelled.any():
            warnings.warn(
                f"of {self.prior.n_symbols} symbols, {missing} had no label in training, so that nothing "
                "says what they mean: give labels of every class",
                stacklevel=2,
            )
        return self.prior.logits(self.infer(x)).softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable symbols of examples ``(B, *event)``, shape ``(B,)``; see `probabilities`."""
        return self.probabilities(x).argmax(1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """What the generator makes of the encoder's means, shape ``(B, *event)``: its mean if it is
        Gaussian, else a draw."""
        z = self.infer(x)
        return self.generator(z) if isinstance(self.generator, GaussianGenerator) else self.generator.draw(z)

    @torch.no_grad()
    def anomaly(self, x: Tensor) -> Tensor:
        """``-log p(x, z)`` at the encoder's mean, up to a constant, in nats, ``(B, *event)`` to ``(B,)``:
        high where ``x`` is unlike the training data."""
        z = self.infer(x)
        return self.generator.reconstruction(x, z) + self.prior(z)

    def divergence(self, x: Tensor, z: Tensor) -> Tensor:
        """``log q(z|x) + U(z)`` of examples ``(B, *event)`` at draws ``(B, latent_dim)``, its Gaussian part
        in closed form, shape ``(B,)``; on average, with ``log Z``, the divergence of encoder from prior."""
        return self.posterior.kl(x) + self.prior(z) - 0.5 * z.square().sum(1)

    def information(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``I`` of latents ``(B, latent_dim)``, and its first term, the entropy of p(y) over them; over all
        ranks, in nats, each of shape ``()``."""
        log_p = self.prior.logits(z).log_softmax(1)
        p = log_p.exp()
        # the mean over ranks is no mean of their entropies; held constant it has the gradient all the same
        mean = self.mean_over_ranks(p.detach().mean(0))
        entropy = -(p.mean(0) * mean.clamp_min(1e-30).log()).sum()
        return entropy + (p * log_p).sum(1).mean(), entropy

    def step(self, batch: Tensor | Labelled) -> dict[str, Tensor]:
        """One iteration on examples ``(B, *event)`` and labelled ones, ``(x, (x', y'))``; on a tensor
        ``x`` alone if ``label_weight`` is 0.

        Returns:
            ``cross_entropy`` of the labels, if there are any;
            ``reconstruction`` and ``kl``, whose sum is minus the bound up
            to constants; ``energy_gap``; ``information`` and
            ``symbol_entropy``, of p(y) over the batch; all in nats.
        """
        x, labels = self._streams(batch)
        metrics = {}
        # 1. classifier
        if labels is not None:
            x_labelled, y = labels
            z = self.posterior.mean(x_labelled)
            loss = F.cross_entropy(self.prior.logits(z), y)
            self.update("autoencoder", self.label_weight * loss)  # q alone
            loss = F.cross_entropy(self.prior.logits(z.detach()), y)
            self.update("classifier", loss)
            metrics["cross_entropy"] = loss.detach()
        # 2. latents of the examples, and of the prior
        (z,) = self.posterior.rsample(x)
        z_prior = self.sample_prior(len(x))
        # 3. autoencoder
        reconstruction = self.generator.reconstruction(x, z).mean()
        kl = self.divergence(x, z).mean()
        gain = self.information_weight * self.information(z)[0]
        self.update("autoencoder", reconstruction + kl - gain)
        # 4. prior
        z = z.detach()
        gap = ml_gap(self.prior, z, z_prior)
        information, entropy = self.information(z)
        self.update("prior", gap - self.information_weight * information)
        return metrics | {
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            "energy_gap": gap.detach(),
            "information": information.detach(),
            "symbol_entropy": entropy.detach(),
        }

    def _streams(self, batch: Any) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """The examples of a batch, and those with labels, which are counted; refuses what does not go with
        ``label_weight``."""
        if isinstance(batch, Tensor):
            if self.label_weight:
                raise ValueError(
                    f"label_weight is {self.label_weight}, but the batch has no labels; give fit the data "
                    "(x, (x_labelled, y)) and batch_size=(n, n_labelled), or make the method with "
                    "label_weight=0 to find clusters without labels"
                )
            return batch, None
        if not self.label_weight:
            raise ValueError(
                "label_weight is 0, but the batch has labels, which would go unused; give fit the examples "
                "alone, or make the method with label_weight > 0"
            )
        x, (x_labelled, y) = batch
        check.labels("y", y, self.prior.n_symbols)
        if len(x_labelled) != len(y):
            raise ValueError(f"{len(y)} labels for {len(x_labelled)} examples; expected one for each")
        counts = F.one_hot(y, self.prior.n_symbols).sum(0)
        self.n_labelled += self.mean_over_ranks(counts.to(self.n_labelled))
        return x, (x_labelled, y)
