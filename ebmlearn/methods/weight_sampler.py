"""Sampling the weights of a network: a hypernetwork that draws from a Gibbs density.

Reference:
    Deutsch, Nijkamp, Yang (2019), "A generative model for sampling high-performance and diverse weights for
    neural networks", arXiv:1905.02898; Deutsch (2018), arXiv:1801.01952.

Notation:
    ==============  ================  ====================================================================
    here            paper             meaning
    ==============  ================  ====================================================================
    ``θ``           same              weights of the target net, a flat vector
    ``E(θ)``        ``λ L(θ)``        energy of the weights: ``λ`` times the loss, and a prior
    ``λ``, ``lam``  ``λ``             inverse temperature; ``β`` is one along a path in this book
    ``h(z)``        ``G(z; φ)``       hypernetwork, ``z`` uniform in a cube, or normal
    ``Q(θ)``        same              the gauge: the one vector that stands for all with one function
    ``Ĥ``           same              entropy by nearest neighbours, ``nearest_neighbour_entropy``
    ==============  ================  ====================================================================

Algorithm, one iteration on a batch of data:
    1. Draw ``z`` of ``n_nets`` nets, and fix the gauge of their weights: ``θ = Q(h(z))``.
    2. The energy of each net, on a share of the batch of its own.
    3. The entropy ``Ĥ`` of the weights, whose dimension is that of ``z`` or of the set of all ``Q(θ)``,
       whichever is less.
    4. One optimiser step of ``h`` down ``mean E(θ) - Ĥ``.

With the law ``q`` of ``θ`` and ``p ∝ exp(-E)``, line 4 goes down ``E_q[E] - H(q) = KL(q ‖ p) - log Z``, the
free energy: its least value is ``-log Z``, at ``q = p``. So ``h`` is an amortised sampler of ``p``, as far as
it bends; and as it is the reverse divergence, a hypernetwork that is too stiff leaves modes of ``p`` out. If
``z`` has fewer dimensions than ``θ``, ``q`` lives on a surface, entropy is with respect to its area, and the
minimum is over surfaces as well.

Why a gauge: in a ReLU net weights can be rescaled, and nothing changes but ``θ``. The entropy grows without
end along these directions, which the loss does not see. Modulo the gauge they are gone, and with them the
freedom of the hidden rows, whose mean square is 1 then. The last layer stays unbounded: where data can be
separated, or a unit is 0 on all of them, the integral of ``exp(-λ L)`` diverges there, too. So a minimum
exists only with a prior, ``prior_std`` of `WeightEnergy <ebmlearn.nets.WeightEnergy>`, which is taken at
``Q(θ)``. Without one, as in the paper, training stops where it is stopped.

Differences from the paper and its code (github.com/sliorde/generating-neural-networks-with-neural-networks):
``Q`` takes the mean row of the last layer to 0, weights and bias, as the softmax allows; the code moves the
bias alone, by the sum of its elements in place of the mean, which leaves that direction free. The entropy has
its constants, and Euclidean distances by default: ``entropy_norm=1`` is the paper's. Its dimension is that
of ``z`` in the paper, which is more than the set has if ``z`` is wide. A distance below 1e-8 counts as that,
where the code adds 1e-8 to all. No batch normalisation in ``h``, which would make nets depend on each other.
"""

from typing import Any, cast

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, energy_at
from ebmlearn.nets import Hypernetwork, WeightEnergy
from ebmlearn.objectives import nearest_neighbour_entropy
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class WeightSampler(Method):
    """A hypernetwork that learns to draw from ``exp(-E)``: weights of good nets that differ.

    Args:
        hypernetwork: What is trained.
        energy: A `WeightEnergy <ebmlearn.nets.WeightEnergy>`; a batch is ``(x, y)`` then, and its length a
            multiple of ``n_nets``. Or any other energy, ``(B, n_weights)`` to ``(B,)``, which sees no data:
            batches are not looked at, and ``fit(method, torch.zeros(1, 1), batch_size=1, steps=...)`` will
            do.
        n_nets: Nets that are drawn in a step, >= 2, by each rank. The entropy is estimated from them.
        gauge: Whether weights are taken to their canonical form; of an energy without a target they are left.
        entropy_norm: Of the distances of nets, 1 or 2.
        entropy_dim: Dimensions of the entropy; None: those of ``z``, but at most those of canonical weights.
        entropy_floor: Distances of nets below this count as this much, > 0.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Raises:
        TypeError: If the hypernetwork or the energy is none.
        ValueError: If an argument is out of its range, or the hypernetwork makes weights of another net.
    """

    def __init__(
        self,
        hypernetwork: Hypernetwork,
        energy: WeightEnergy | Energy,
        *,
        n_nets: int = 32,
        gauge: bool = True,
        entropy_norm: int = 2,
        entropy_dim: int | None = None,
        entropy_floor: float = 1e-8,
        lr: float | Schedule = 3e-4,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check.instance("hypernetwork", hypernetwork, Hypernetwork)
        check.function("energy", energy, "a WeightEnergy, or a function from (B, n_weights) to (B,)")
        self.hypernetwork, self.energy = hypernetwork, energy
        self.n_nets = check.count("n_nets", n_nets, 2)
        check.choice("gauge", gauge, (True, False))
        check.choice("entropy_norm", entropy_norm, (1, 2))
        self.entropy_floor = check.number("entropy_floor", entropy_floor)
        self.has_data = isinstance(energy, WeightEnergy)
        self.gauge, self.entropy_norm = gauge and self.has_data, entropy_norm
        free = hypernetwork.n_weights - (self._target().n_gauge if self.gauge else 0)
        self.entropy_dim = min(hypernetwork.latent_dim, free) if entropy_dim is None else entropy_dim
        if check.count("entropy_dim", self.entropy_dim) > hypernetwork.n_weights:
            raise ValueError(f"entropy_dim is {entropy_dim}; expected at most {hypernetwork.n_weights}")
        if self.has_data and self._target().n_weights != hypernetwork.n_weights:
            raise ValueError(
                f"hypernetwork makes {hypernetwork.n_weights} weights, but the target of the energy has "
                f"{self._target().n_weights}"
            )
        self.add_optimizer("hypernetwork", hypernetwork.parameters(), lr, optimizer)

    def draw(self, n: int) -> Tensor:
        """Weights of nets, in canonical form with ``gauge``, ``(n, n_weights)``; with their graph."""
        theta = self.hypernetwork(self.hypernetwork.latent(n))
        return self._target().canonical(theta) if self.gauge else theta

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws of `draw`, without a graph."""
        return self.draw(n)

    @torch.no_grad()
    def predict(self, x: Tensor, n: int = 100) -> Tensor:
        """What an ensemble of ``n`` nets says: the mean of their probabilities, or of their outputs for the
        squared loss, ``(N, *event)`` to ``(N, n_outputs)``.

        Raises:
            TypeError: If the energy is of no net.
            ValueError: If an argument is off.
        """
        check.count("n", n)
        check.instance("the energy", self.energy, WeightEnergy)
        energy = cast(WeightEnergy, self.energy)
        parts = [energy.predict(part, x).sum(0) for part in self.sample(n).split(self.n_nets)]
        return torch.stack(parts).sum(0) / n

    def energy_on(self, batch: Any) -> Energy:
        """The energy of ``n_nets`` nets, each on a share of a batch of its own.

        Raises:
            TypeError: If the energy takes data, and the batch is none of inputs and what belongs to them.
            ValueError: If it cannot be shared.
        """
        if not isinstance(self.energy, WeightEnergy):
            return self.energy
        if not isinstance(batch, tuple):
            raise TypeError(f"batch is {check.shown(batch)}; expected (x, y), as the energy is of a net")
        n = len(batch[0])
        if n % self.n_nets:
            raise ValueError(
                f"batch has {n} data, which {self.n_nets} nets cannot share; take a batch_size that is a "
                "multiple of n_nets on each rank"
            )
        return self.energy.on(*(part.unflatten(0, (self.n_nets, -1)) for part in batch))

    def entropy(self, theta: Tensor) -> Tensor:
        """The entropy of nets ``(B, n_weights)``, with the settings of this method, in nats."""
        return nearest_neighbour_entropy(
            theta, dim=self.entropy_dim, norm=self.entropy_norm, floor=self.entropy_floor
        )

    def step(self, batch: Tensor | tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One iteration on a batch ``(x, y)``, of shapes ``(N, *event)`` and ``(N, ...)``.

        Returns:
            ``energy``, the mean over nets; ``entropy``; and ``free_energy``, the
            loss, their difference; in nats.
        """
        # 1. nets, in canonical form
        theta = self.draw(self.n_nets)
        # 2. their energies, each on data of its own
        energy = energy_at(self.energy_on(batch), theta).mean()
        # 3. how much they differ
        entropy = self.entropy(theta)
        # 4. the free energy goes down
        self.update("hypernetwork", energy - entropy)
        return {
            "energy": energy.detach(),
            "entropy": entropy.detach(),
            "free_energy": (energy - entropy).detach(),
        }

    def _target(self) -> Any:
        return cast(WeightEnergy, self.energy).target
