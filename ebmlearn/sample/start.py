"""Where chains start: in noise, at the data, or where they stopped last time.

The three starts turn one learning rule into short-run MCMC, contrastive divergence and persistent contrastive
divergence (see `ebmlearn.methods.maximum_likelihood`). A start gives ``x0 = start.draw(x_data)`` and, once
the chains have run, takes their ends back by ``start.store(x)``.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.random import ShuffledIndex


class Start(nn.Module, ABC):
    """Abstract: where chains start."""

    @abstractmethod
    def draw(self, x_data: Tensor) -> Tensor:
        """Starting points for as many chains as the batch ``x_data`` has elements, shape ``(B, *event)``."""

    def sample(self, n: int) -> Tensor:
        """Starting points for ``n`` chains where there is no batch, shape ``(n, *event)``.

        Raises:
            ValueError: If the start has none without data, or not so many.
        """
        raise ValueError(
            f"{type(self).__name__} has no starting points of its own, only those of a batch x: run the "
            "chains from there, method.chain(method.energy, x)"
        )

    def store(self, x: Tensor) -> None:
        """Take back the ends of the chains of the last draw; only a persistent start keeps them."""
        return


class NoiseStart(Start):
    """Every chain starts afresh from noise: short-run MCMC (Nijkamp et al. 2019, arXiv:1904.09770).

    Args:
        law: ``"uniform"`` on ``[-scale, scale]`` or ``"normal"`` with standard deviation ``scale``.
        scale: Half-width or standard deviation, > 0.
        event_shape: Shape of an event, which only `sample` needs: `draw` sees it in the data.

    Raises:
        ValueError: If ``law`` or ``scale`` is off.
    """

    like: Tensor

    def __init__(
        self, law: str = "uniform", scale: float = 1.0, event_shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        check.choice("law", law, ("uniform", "normal"))
        check.number("scale", scale)
        if event_shape is not None:
            event_shape = check.counts("event_shape", event_shape, some=False)
        self.law, self.scale, self.event_shape = law, float(scale), event_shape
        self.register_buffer("like", torch.zeros(()), persistent=False)  # follows the method's device

    def draw(self, x_data: Tensor) -> Tensor:
        """Noise of the shape, dtype and device of ``x_data``."""
        check.floats("x_data", x_data)
        noise = torch.empty_like(x_data)
        if self.law == "normal":
            return noise.normal_(0, self.scale)
        return noise.uniform_(-self.scale, self.scale)

    def sample(self, n: int) -> Tensor:
        """Noise of shape ``(n, *event_shape)``.

        Raises:
            ValueError: If the shape of an event is not known.
        """
        if self.event_shape is None:
            raise ValueError(
                "this start does not know the shape of an event: build it with it, such as "
                "NoiseStart(event_shape=(2,)), or draw(x) it like a batch of data"
            )
        return self.draw(self.like.expand(check.count("n", n, 0), *self.event_shape))

    def extra_repr(self) -> str:
        return f"law={self.law!r}, scale={self.scale}"


class DataStart(Start):
    """Every chain starts at a data point: contrastive divergence (Hinton 2002)."""

    def draw(self, x_data: Tensor) -> Tensor:
        check.tensor("x_data", x_data)
        return x_data.clone()


class ReplayBuffer(Start):
    """A bank of persistent chains: persistent contrastive divergence (Tieleman 2008).

    Each draw takes slots that no other chain of the batch holds, `store` writes the ends back into the same
    slots, and no slot is visited twice in a pass. The bank lives on the module's device and in its
    ``state_dict``.

    Args:
        x: Initial states of all chains, shape ``(size, *event)``; copied.
        restart: Probability, in [0, 1], that a drawn chain starts afresh instead (0: never; Du and Mordatch
            2019, arXiv:1903.08689, use 0.05).
        noise: Where a restarted chain starts; needed when ``restart`` > 0.

    Raises:
        ValueError: If ``restart`` is not a probability, comes without ``noise``, or ``x`` is empty, of
            integers or not finite.
        TypeError: If ``x`` is no tensor, or ``noise`` no `NoiseStart`.
    """

    x: Tensor
    scratch = ("_slots",)  # within a step only

    def __init__(self, x: Tensor, *, restart: float = 0.0, noise: NoiseStart | None = None) -> None:
        super().__init__()
        check.number("restart", restart, "in [0, 1]", hint=", the probability that a chain starts afresh")
        if noise is not None:
            check.instance("noise", noise, NoiseStart)
        elif restart > 0:
            raise ValueError(f"restart is {restart} and noise is None; expected a NoiseStart if restart > 0")
        check.batch("x", x, least=1, finite=not x.is_meta)  # which has a shape only
        self.restart, self.noise = float(restart), noise
        self.register_buffer("x", x.detach().clone())
        self.index = ShuffledIndex(len(x))
        self._slots: Tensor | None = None

    def draw(self, x_data: Tensor) -> Tensor:
        check.tensor("x_data", x_data)
        if x_data.shape[1:] != self.x.shape[1:]:
            raise ValueError(
                f"the buffer holds chains of event shape {tuple(self.x.shape[1:])}, but the batch has shape "
                f"{tuple(x_data.shape)}; build the buffer from states of the data's shape"
            )
        self._slots = self.index.draw(len(x_data))
        x = self.x[self._slots]
        if self.noise is not None and self.restart > 0:
            fresh = torch.rand(len(x), device=x.device) < self.restart
            x[fresh] = self.noise.draw(x[fresh])
        return x

    def sample(self, n: int) -> Tensor:
        """The states of ``n`` different chains of the bank, drawn at random; the bank stays as it is.

        Raises:
            ValueError: If the bank is smaller.
        """
        if check.count("n", n, 0) == 0 or n > len(self.x):
            raise ValueError(f"asked for {n} chains; the buffer holds {len(self.x)}")
        return self.x[torch.randperm(len(self.x), device=self.x.device)[:n]]

    def store(self, x: Tensor) -> None:
        """Write the ends of the chains into the slots they came from, shape ``(B, *event)``.

        Raises:
            RuntimeError: If no draw is open.
            ValueError: If ``x`` has another shape than the draw, or is not finite (the bank is left as it
                was).
        """
        check.tensor("x", x)
        if self._slots is None:
            raise RuntimeError("store without a draw: call draw(x_data) first, once for each store")
        if x.shape != (len(self._slots), *self.x.shape[1:]):
            raise ValueError(f"got chains of shape {tuple(x.shape)} for a draw of {len(self._slots)} slots")
        if not x.isfinite().all():
            raise ValueError("the chains hold values that are not finite; the buffer was not changed")
        self.x[self._slots] = x.detach()
        self._slots = None

    def extra_repr(self) -> str:
        return f"size={len(self.x)}, event={tuple(self.x.shape[1:])}, restart={self.restart}"
