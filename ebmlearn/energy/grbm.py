"""The Gaussian-Bernoulli restricted Boltzmann machine."""

import math
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.energy.base import ExactEnergy

Coupling = Literal["x", "x/std", "x/std**2"]

_POWERS = {"x": 0, "x/std": 1, "x/std**2": 2}


class GRBM(ExactEnergy):
    """Gaussian-Bernoulli restricted Boltzmann machine: a net to train whose ``log Z`` and samples are exact.

    The joint energy of a visible ``x`` and hidden units ``h`` in {0, 1}ᵐ is

    ``E(x, h) = Σᵢ (xᵢ - bᵢ)² / (2σᵢ²) - c·h - xᵀWh``,

    with ``W`` *not* divided by σ; `from_parameters` and `parameters_in` translate the other conventions. The
    sum over ``h`` leaves the free energy ``E(x) = Σᵢ (xᵢ - bᵢ)² / (2σᵢ²) - Σⱼ softplus(cⱼ + (xᵀW)ⱼ)``: a
    mixture of 2ᵐ Gaussians of variance σ² with means ``b + σ² Wh``.

    Weights start as ``Wᵢⱼ ~ N(0, 1 / (4 d σᵢ²))``: the input of a hidden unit then varies by ½ over data of
    spread σ, for any ``d``. Much smaller weights leave all units alike, and training stays near the one
    Gaussian that they make together. ``b`` and ``c`` start at 0. Call `match_moments` before training on data
    that are not standardised: a model far from all data has no useful gradient.

    Args:
        n_visible: ``d`` >= 1, the length of ``x``.
        n_hidden: ``m`` >= 1. `log_z` and `sample` enumerate 2ᵐ states, for ``m`` up to ``MAX_ENUMERATED``.
        std: σ > 0, a number or shape ``(d,)``.
        learn_std: Whether ``log_std`` is a parameter or stays as it is, a buffer.

    Attributes:
        weight: ``W``, shape ``(d, m)``.
        visible_bias: ``b``, shape ``(d,)``, in units of ``x``.
        hidden_bias: ``c``, shape ``(m,)``.
        log_std: ``log σ``, shape ``(d,)``.

    Raises:
        ValueError: If a size is below 1, or ``std`` is not positive or of another shape.

    Example:
        >>> rbm = GRBM.from_parameters(torch.tensor([[2.0]]), torch.zeros(1), torch.zeros(1), 1.0)
        >>> print(f"{rbm.log_z.item():.4f}")  # log √(2π) (1 + e²)
        3.0459
    """

    MAX_ENUMERATED = 24
    """Largest number of hidden units whose states are enumerated."""

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    log_std: Tensor

    def __init__(
        self, n_visible: int, n_hidden: int, *, std: float | Tensor = 1.0, learn_std: bool = True
    ) -> None:
        super().__init__()
        check.count("n_visible", n_visible)
        check.count("n_hidden", n_hidden)
        if not isinstance(std, Tensor):
            check.number("std", std, hint=f", or a tensor of {n_visible} of them")
        self.event_shape = (n_visible,)
        scale = torch.as_tensor(std, dtype=getattr(std, "dtype", torch.get_default_dtype())).detach()
        if scale.shape not in [(), (n_visible,)] or not (scale > 0).all() or not scale.isfinite().all():
            raise ValueError(
                f"std is {std}; expected a positive number, or {n_visible} of them in shape ({n_visible},)"
            )
        scale = scale.expand(n_visible)
        noise = torch.randn(n_visible, n_hidden, dtype=scale.dtype, device=scale.device)
        self.weight = nn.Parameter(0.5 * n_visible**-0.5 * noise / scale[:, None])
        self.visible_bias = nn.Parameter(torch.zeros_like(scale))
        self.hidden_bias = nn.Parameter(noise.new_zeros(n_hidden))
        if learn_std:
            self.log_std = nn.Parameter(scale.log())
        else:
            self.register_buffer("log_std", scale.log())

    @property
    def std(self) -> Tensor:
        """σ, the standard deviation of ``x`` given ``h``, shape ``(d,)``."""
        return self.log_std.exp()

    def extra_repr(self) -> str:
        learn_std = isinstance(self.log_std, nn.Parameter)
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, learn_std={learn_std}"

    @torch.no_grad()
    def match_moments(self, x: Tensor, *, std_scale: float = 1.0) -> Self:
        """Move to the mean and standard deviation of data, so that training starts where the data are.

        ``b`` becomes the mean and ``σ`` ``std_scale`` times the standard deviation. ``W`` keeps its size in
        units of ``σ``, and ``c = -Wᵀb`` puts every hidden unit at probability ½ at the mean of the data.

        A new model with ``std_scale=1`` is nearly the best single Gaussian, which is a plateau of the
        likelihood. On data with several modes begin narrower, with 0.5 say: the units then have to move.

        Args:
            x: Data, shape ``(n, d)``.
            std_scale: ``σ`` in units of the data's standard deviation, > 0.

        Returns:
            The model itself.

        Raises:
            ValueError: If ``x`` is of the wrong shape, a coordinate of it does not vary, or ``std_scale`` is
                not positive.
        """
        check.number("std_scale", std_scale)
        self._check(x)
        mean, std = x.mean(0), x.std(0, correction=0)
        if not (std > 0).all():
            constant = (~(std > 0)).nonzero().flatten().tolist()
            raise ValueError(
                f"coordinates {constant} of the data are constant or not finite and have no density: add "
                "noise to the data, or leave these coordinates out"
            )
        std = std_scale * std
        self.weight.mul_((self.std / std)[:, None])
        self.visible_bias.copy_(mean)
        self.hidden_bias.copy_(-mean @ self.weight)
        self.log_std.copy_(std.log())
        return self

    # The energy and the conditionals

    def forward(self, x: Tensor) -> Tensor:
        """Free energy, ``(B, d)`` to ``(B,)``."""
        hidden = softplus(self._hidden_logits(x)).sum(1)
        return self._quadratic(x) - hidden

    def joint(self, x: Tensor, h: Tensor) -> Tensor:
        """``E(x, h)`` of shape ``(B,)``, for ``x`` of shape ``(B, d)`` and ``h`` of shape ``(B, m)``."""
        self._check_hidden(h)
        hidden = (self._hidden_logits(x) * h).sum(1)
        return self._quadratic(x) - hidden

    def score(self, x: Tensor) -> Tensor:
        """Score ``∇ log p(x) = -(x - b)/σ² + W p(h = 1 | x)``, shape ``(B, d)``; differentiable."""
        return self.hidden_prob(x) @ self.weight.T - (x - self.visible_bias) / self.std.square()

    def hidden_prob(self, x: Tensor) -> Tensor:
        """``p(hⱼ = 1 | x) = sigmoid(cⱼ + (xᵀW)ⱼ)``, ``(B, d)`` to ``(B, m)``."""
        return self._hidden_logits(x).sigmoid()

    def visible_mean(self, h: Tensor) -> Tensor:
        """Mean ``b + σ² Wh`` of ``x`` given ``h``, ``(B, m)`` to ``(B, d)``; the variance is σ²."""
        self._check_hidden(h)
        return self.visible_bias + self.std.square() * (h @ self.weight.T)

    @torch.no_grad()
    def sample_hidden(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``h`` given ``x``, ``(B, d)`` to ``(B, m)``, zeros and ones of the dtype of ``x``."""
        logits = self._hidden_logits(x)
        # U < sigmoid(a) is logit(U) < a; comparing logits costs less than bernoulli(sigmoid(a))
        noise = torch.rand(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
        return (noise.logit_() < logits).to(logits.dtype)

    @torch.no_grad()
    def sample_visible(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``x`` given ``h`` from ``N(b + σ² Wh, σ²)``, ``(B, m)`` to ``(B, d)``."""
        mean = self.visible_mean(h)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.std * noise

    def gibbs_sweep(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One sweep of block Gibbs sampling: ``h`` given ``x``, then ``x`` given ``h``; keeps ``(B, d)``."""
        return self.sample_visible(self.sample_hidden(x, generator), generator)

    # The exact answers

    @property
    def log_z(self) -> Tensor:  # type: ignore[override]
        """Log of the partition function, shape ``()``, exact and differentiable by the parameters.

        ``log Σ_h exp(c·h + b·Wh + ½ Σᵢ σᵢ² (Wh)ᵢ²) + Σᵢ log σᵢ + ½ d log 2π``. The exponent is a quadratic
        form in ``h``, so time and memory do not depend on ``d``: 2ᵐ numbers in float64, 8 MB for ``m = 20``.
        It is computed anew at each access. With ``W = 0`` there is a closed form, for any ``m``.

        Raises:
            ValueError: If ``m`` exceeds ``MAX_ENUMERATED``; `ebmlearn.evaluate.ais` then estimates it.
        """
        if self._independent():
            # equal to the sum over h, and so is its gradient by W
            hidden = softplus(self.hidden_bias + self.visible_bias @ self.weight).sum()
        else:
            hidden = self._table()[2].flatten().logsumexp(0).to(self.weight.dtype)
        return hidden + self.log_std.sum() + 0.5 * len(self.log_std) * math.log(2 * math.pi)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent exact samples, shape ``(n, d)``: ``h`` out of all 2ᵐ states, then ``x`` given ``h``.

        Raises:
            ValueError: As `log_z`.
        """
        check.draws(n, generator)
        if self._independent():
            h = self.sample_hidden(self.visible_bias.expand(n, -1), generator)
        else:
            first, second, table = self._table()
            state = torch.multinomial(table.flatten().softmax(0), n, replacement=True, generator=generator)
            h = torch.cat([first[state // len(second)], second[state % len(second)]], 1).to(self.weight.dtype)
        return self.sample_visible(h, generator)

    def tempered(self, beta: float) -> "GRBM":
        """A copy with ``β W`` and ``β c``: a path from ``N(b, σ²)`` at β = 0 to this model at β = 1.

        It is the usual path of `ebmlearn.evaluate.ais` (Salakhutdinov and Murray, 2008), and keeps the
        conditionals, so that `ebmlearn.sample.gibbs` runs along it.

        Raises:
            ValueError: If ``beta`` is negative or not finite. Beyond 1 the couplings are stronger than here.
        """
        check.number("beta", beta, ">= 0")
        return self.from_parameters(
            beta * self.weight, self.visible_bias, beta * self.hidden_bias, self.std, learn_std=False
        )

    # Conventions

    @classmethod
    @torch.no_grad()
    def from_parameters(
        cls,
        weight: Tensor,
        visible_bias: Tensor,
        hidden_bias: Tensor,
        std: float | Tensor,
        *,
        coupling: Coupling = "x",
        hidden: tuple[int, int] = (0, 1),
        learn_std: bool = True,
    ) -> Self:
        """A model with given parameters, in any of the usual conventions.

        All have the joint energy ``Σᵢ (xᵢ - bᵢ)² / (2σᵢ²) - c·h - Σᵢⱼ aᵢ(x) Wᵢⱼ hⱼ`` up to a constant:

        - ``a = x``, ``h`` in {0, 1}: this class;
        - ``a = x/σ``, ``h`` in {0, 1}: Krizhevsky (2009), Hinton (2010);
        - ``a = x/σ²``, ``h`` in {0, 1}: Cho, Ilin and Raiko (2011);
        - ``a = x``, ``h`` in {-1, 1}, σ = 1 and ``W = B/2``: Liu, Lee and Jordan (2016), whose energy is
          ``½ ‖x‖² - b·x - c·h - ½ xᵀBh``.

        Args:
            weight: ``W``, shape ``(d, m)``.
            visible_bias: ``b``, shape ``(d,)``.
            hidden_bias: ``c``, shape ``(m,)``.
            std: σ > 0, a number or shape ``(d,)``.
            coupling: ``a``: ``"x"``, ``"x/std"`` or ``"x/std**2"``.
            hidden: Values of a hidden unit, ``(0, 1)`` or ``(-1, 1)``.
            learn_std: As in the class.

        Raises:
            ValueError: If the shapes disagree, ``std`` is not positive or the convention is unknown.
        """
        for name, value in (("weight", weight), ("visible_bias", visible_bias), ("hidden_bias", hidden_bias)):
            check.floats(name, value)
        if (
            weight.ndim != 2
            or visible_bias.shape != weight.shape[:1]
            or hidden_bias.shape != weight.shape[1:]
        ):
            shapes = ", ".join(str(tuple(p.shape)) for p in (weight, visible_bias, hidden_bias))
            raise ValueError(
                f"weight, visible_bias and hidden_bias have shapes {shapes}; expected (d, m), (d,) and (m,)"
            )
        out = cls(*weight.shape, std=torch.as_tensor(std).to(weight), learn_std=learn_std)
        weight = weight * out._scale(coupling, hidden)
        if hidden == (-1, 1):  # h → 2h - 1; its part linear in x moves the mean
            visible_bias = visible_bias - out.std.square() * weight.sum(1)
            weight, hidden_bias = 2 * weight, 2 * hidden_bias
        out.weight.copy_(weight)
        out.visible_bias.copy_(visible_bias)
        out.hidden_bias.copy_(hidden_bias)
        return out

    @torch.no_grad()
    def parameters_in(self, coupling: Coupling = "x", hidden: tuple[int, int] = (0, 1)) -> dict[str, Tensor]:
        """The parameters in another convention: the inverse of `from_parameters`, by the same names."""
        weight, visible_bias, hidden_bias = self.weight, self.visible_bias, self.hidden_bias
        scale = self._scale(coupling, hidden)
        if hidden == (-1, 1):
            weight, hidden_bias = weight / 2, hidden_bias / 2
            visible_bias = visible_bias + self.std.square() * weight.sum(1)
        return {
            "weight": weight / scale,
            "visible_bias": visible_bias.clone(),
            "hidden_bias": hidden_bias.clone(),
            "std": self.std,
        }

    # Parts

    def _scale(self, coupling: str, hidden: tuple[int, int]) -> Tensor:
        if coupling not in _POWERS or hidden not in [(0, 1), (-1, 1)]:
            raise ValueError(
                f"coupling is {coupling!r} and hidden {hidden}; expected one of {list(_POWERS)}, and "
                "(0, 1) or (-1, 1)"
            )
        return self.std[:, None] ** -_POWERS[coupling]

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            check.tensor("x", x)
        if x.ndim != 2 or x.shape[1:] != self.event_shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (B, {self.event_shape[0]}), a point a row. Flatten "
                "images with x.flatten(1)."
            )

    def _check_hidden(self, h: Tensor) -> None:
        if not isinstance(h, Tensor):
            check.tensor("h", h)
        if h.ndim != 2 or h.shape[1] != len(self.hidden_bias):
            raise ValueError(f"h has shape {tuple(h.shape)}; expected (B, {len(self.hidden_bias)})")

    def _quadratic(self, x: Tensor) -> Tensor:
        return 0.5 * ((x - self.visible_bias) / self.std).square().sum(1)

    def _hidden_logits(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.hidden_bias + x @ self.weight

    def _independent(self) -> bool:
        return not self.weight.any()

    def _table(self) -> tuple[Tensor, Tensor, Tensor]:
        """States of the first and of the other hidden units, and the log-weight of each pair of them.

        With ``a = c + Wᵀb`` and ``G = Wᵀ diag(σ²) W`` a state weighs ``a·h + ½ hᵀGh``. Split in two halves,
        that is one matrix product of 2^(m/2) by 2^(m/2) entries, instead of 2ᵐ times ``d`` products.
        """
        m = self.weight.shape[1]
        if m > self.MAX_ENUMERATED:
            raise ValueError(
                f"2^{m} hidden states are too many to enumerate: that is for at most {self.MAX_ENUMERATED} "
                "hidden units. Estimate log Z with ebmlearn.evaluate.ais; sample with ebmlearn.sample.gibbs."
            )
        weight = self.weight.double()
        scaled = self.std.double()[:, None] * weight
        field, gram = self.hidden_bias.double() + self.visible_bias.double() @ weight, scaled.T @ scaled
        k = m // 2
        first, second = binary_states(k, field), binary_states(m - k, field)

        def alone(h: Tensor, part: slice) -> Tensor:
            return h @ field[part] + 0.5 * (h @ gram[part, part] * h).sum(1)

        head, tail = slice(0, k), slice(k, m)
        cross = first @ gram[head, tail] @ second.T
        return first, second, cross + alone(first, head)[:, None] + alone(second, tail)


def binary_states(m: int, like: Tensor) -> Tensor:
    """All vectors of {0, 1}ᵐ, shape ``(2**m, m)``, of the dtype and on the device of ``like``."""
    return (torch.arange(2**m, device=like.device)[:, None] >> torch.arange(m, device=like.device) & 1).to(
        like
    )
