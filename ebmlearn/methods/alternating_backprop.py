"""Alternating back-propagation: a generator, learned with latents that stay with their data.

Reference:
    Han, Lu, Zhu, Wu (2017), "Alternating back-propagation for generator network", AAAI, arXiv:1606.08571.

Notation:
    ==================  ==============  ==================================================================
    here                paper           meaning
    ==================  ==============  ==================================================================
    ``x_i``, ``z_i``    ``Y_i, Z_i``    a datum, and the latents that are kept for it
    ``U(z)``            ``-log p``      energy of the posterior, the ``joint`` of the generator; for a
                                        Gaussian one ``‖z‖²/2 + ‖x - g(z)‖²/(2τ²)``
    ``K``, ``s``        ``l``, ``s``    steps and step size of the chain, ``z ← z - (s²/2) ∇U(z) + σ ε``
    ==================  ==============  ==================================================================

Algorithm, from ``z_i ~ N(0, I)`` for all data; one iteration on a batch of rows ``i``:
    1. Take the latents ``z_i`` of the batch as the last visit left them.
    2. Infer: K steps of the chain on ``U``, given ``x_i``, from there.
    3. Keep their ends as the new ``z_i``.
    4. Learn: one optimiser step of the generator down ``mean -log p(x_i|z_i)``, with ``z_i`` held constant.

Lines 2 and 4 are two back-propagations through one network: by its input, and by its weights. A chain goes on
where it stopped, so that a few steps a visit reach the posterior, if the weights move slowly. Where short-run
inference is biased by its K steps, this is not; the price is a row of memory for each datum, and latents
that are old where data are visited seldom. A new datum has no row: it needs a longer chain, ``infer``.

With several ranks each moves the latents of its own data and gets the new ones of the others: all are whole.

Differences from the paper: its line 4 is a gradient step on all data at once, here an optimiser's on a batch.
"""

from typing import Any

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.nets import Generator
from ebmlearn.sample import Chain
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class AlternatingBackprop(Method):
    """A generator, and latents of each datum. A batch is data with their rows, ``(x, torch.arange(len(x)))``.

    Args:
        generator: The generator to train.
        n_data: Number of data, >= 1.
        chain: The chain that infers, `Chain(ula, n_steps=20, step_size=0.1) <ebmlearn.sample.Chain>` for
            instance. `ula` is stable below ``2 / √λ``, with ``λ`` the largest curvature of ``U``.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Attributes:
        z: The latents, shape ``(n_data, latent_dim)``: part of the method's state, and of its checkpoints.

    Raises:
        ValueError: If ``n_data`` is out of range.
        TypeError: If the chain has no use for an energy.
    """

    z: Tensor

    def __init__(
        self,
        generator: Generator,
        n_data: int,
        *,
        chain: Chain,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check.instance("generator", generator, Generator)
        check.instance("chain", chain, Chain)
        chain.kernel(lambda z: z.sum(1))  # refuses here what takes no plain function, not at the first step
        self.generator, self.chain = generator, chain
        self.n_data = check.count("n_data", n_data)
        self.register_buffer("z", generator.latent(n_data))
        self.add_optimizer("generator", generator.parameters(), lr, optimizer)

    def sample(self, n: int) -> Tensor:
        """Examples of the model, with the noise of the generator, shape ``(n, *event)``."""
        with torch.no_grad():
            return self.generator.sample(n)

    @torch.no_grad()
    def infer(self, x: Tensor, *, n_steps: int | None = None, **options: Any) -> Tensor:
        """Latents of examples that have no row: the ends of chains from ``N(0, I)``, ``(B, latent_dim)``.

        Args:
            x: Examples, shape ``(B, *event)``.
            n_steps: Steps, >= 0; None: those of the chain, which are few if it was meant to go on.
            **options: Of `Generator.joint <ebmlearn.nets.Generator.joint>`, such as ``mask``.
        """
        chain = self.chain if n_steps is None else self.chain.replace(n_steps=n_steps)
        return chain(lambda z: self.generator.joint(x, z, **options), self.generator.latent(len(x)))

    def step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One iteration on a batch ``(x, i)``, of shapes ``(B, *event)``
        and ``(B,)``, int64: data and their rows in ``z``.

        Returns:
            ``reconstruction``, the loss of line 4, up to the generator's
            constant, and ``prior``, the mean of ``‖z‖²/2``, which is half
            of ``latent_dim`` in the model; in nats.

        Raises:
            ValueError: If a row is out of range, or comes twice.
        """
        x, rows = batch
        self._check(x, rows)
        # 1. and 2. the chains go on
        z = self.z[rows]
        z = self.chain(lambda z: self.generator.joint(x, z), z)
        # 3. keep their ends
        self.z[self.gather_over_ranks(rows)] = self.gather_over_ranks(z)
        # 4. generator
        loss = self.generator.reconstruction(x, z).mean()
        self.update("generator", loss)
        prior = 0.5 * z.square().sum(1).mean()
        return {"reconstruction": loss.detach(), "prior": prior}

    def _check(self, x: Tensor, rows: Tensor) -> None:
        if rows.dtype != torch.int64 or rows.shape != x.shape[:1]:
            raise ValueError(
                f"the rows are {rows.dtype} of shape {tuple(rows.shape)}; expected torch.int64, "
                f"({len(x)},): fit(method, (x, torch.arange(len(x))), ...)"
            )
        if int(rows.min()) < 0 or int(rows.max()) >= self.n_data:
            raise ValueError(
                f"the batch has rows from {int(rows.min())} to {int(rows.max())}; expected 0 to "
                f"{self.n_data - 1}, since n_data is {self.n_data}"
            )
        if len(rows.unique()) < len(rows):
            value, count = rows.unique(return_counts=True)
            raise ValueError(
                f"row {int(value[count > 1][0])} comes {int(count.max())} times in a batch of {len(rows)}; "
                "each datum has one chain, so expected different rows"
            )
