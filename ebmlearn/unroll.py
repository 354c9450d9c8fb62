"""Steps of an optimiser that can be differentiated: where parameters end, as a function of all else.

Parameters and their gradients are dicts of tensors by name, as in ``named_parameters``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ebmlearn import check

Parameters = dict[str, Tensor]
Rule = Callable[[Parameters, Parameters], Parameters]
"""One step of an optimiser, from parameters and their gradients to new parameters."""


def unroll(module: nn.Module, loss: Callable[[Any], Tensor], n_steps: int, rule: Rule) -> Parameters:
    """The parameters that some steps down a loss would lead to, differentiable by all else in the loss.

    The module stays as it is, and the steps begin at its parameters as constants. The graph of every step is
    kept, so memory grows with their number.

    Args:
        module: Whose parameters move.
        loss: ``loss(module)``, a scalar; evaluated anew at each step.
        n_steps: Number of steps, >= 0.
        rule: `sgd`, `adam` or `continued`.

    Returns:
        The last parameters by name; use them with `at`.

    Raises:
        ValueError: If ``n_steps`` is negative, or the loss is no scalar.
        TypeError: If an argument is of another kind.

    Example:
        >>> target = torch.tensor([1.0], requires_grad=True)
        >>> module = nn.Linear(1, 1, bias=False)
        >>> phi = unroll(module, lambda m: 0.5 * (m.weight - target).square().sum(), 3, sgd(0.5))
        >>> print(torch.autograd.grad(phi["weight"].sum(), target)[0])  # 1 - (1 - 0.5)³
        tensor([0.8750])
    """
    check.module("module", module)
    check.function("loss", loss)
    check.function("rule", rule, "a rule, such as sgd(0.1)")
    check.count("n_steps", n_steps, 0)
    parameters = {k: p.detach().requires_grad_() for k, p in module.named_parameters() if p.requires_grad}
    for _ in range(n_steps):
        value = at(module, parameters, loss)
        if not isinstance(value, Tensor) or value.shape != ():
            raise ValueError(f"the loss is {check.shown(value)}; expected a scalar, shape ()")
        slopes = torch.autograd.grad(
            value, list(parameters.values()), create_graph=True, materialize_grads=True
        )
        parameters = rule(parameters, dict(zip(parameters, slopes, strict=True)))
    return parameters


def at(module: nn.Module, parameters: Parameters, function: Callable[[Any], Tensor]) -> Tensor:
    """``function(module)`` with other values of the module's parameters; the module stays as it is.

    Raises:
        TypeError: If ``module`` is no module or ``function`` no function.
        ValueError: If a name is none of its parameters, or a value has another shape.
    """
    check.module("module", module)
    check.function("function", function)
    own = dict(module.named_parameters())
    for name, value in parameters.items():
        if name not in own:
            raise ValueError(f"there is no parameter {name!r} in the module; it has {', '.join(own)}")
        if not isinstance(value, Tensor) or value.shape != own[name].shape:
            raise ValueError(
                f"the parameter {name!r} is {check.shown(value)}; expected shape {tuple(own[name].shape)}"
            )
    values = {f"module.{name}": value for name, value in parameters.items()}
    return functional_call(_Call(module, function), values)


class _Call(nn.Module):
    """A function of a module as a module, which is what ``functional_call`` calls."""

    def __init__(self, module: nn.Module, function: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self) -> Tensor:
        return self.function(self.module)


def sgd(lr: float) -> Rule:
    """Gradient descent.

    Raises:
        ValueError: If ``lr`` is negative or not finite.
    """
    check.number("lr", lr, ">= 0")
    return lambda parameters, slopes: {k: p - lr * slopes[k] for k, p in parameters.items()}


def adam(
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    moments: dict[str, tuple[int, Tensor, Tensor]] | None = None,
) -> Rule:
    """Adam. A rule remembers its moments: make a new one for each sequence of steps.

    ``eps²`` stands inside the root, where torch adds ``eps`` outside: the root of 0 has no derivative. The
    two differ only where gradients are not far above ``eps``.

    Args:
        lr: Learning rate.
        betas: Decay of the two moments.
        eps: As in torch.
        moments: Steps made and both moments of each parameter, by name; None: from the beginning.

    Raises:
        ValueError: If a setting is out of its range.
    """
    check.number("lr", lr)
    check.number("eps", eps, ">= 0")
    try:
        b1, b2 = (check.number("betas", b, "in [0, 1)") for b in betas)
    except TypeError:
        raise ValueError(f"betas is {check.shown(betas)}; expected two numbers in [0, 1)") from None
    known = dict(moments or {})

    def rule(parameters: Parameters, slopes: Parameters) -> Parameters:
        out = {}
        for k, slope in slopes.items():
            t, m, v = known.get(k, (0, torch.zeros_like(slope), torch.zeros_like(slope)))
            t, m, v = t + 1, b1 * m + (1 - b1) * slope, b2 * v + (1 - b2) * slope.square()
            known[k] = t, m, v
            out[k] = parameters[k] - lr * (m / (1 - b1**t)) / (v / (1 - b2**t) + eps**2).sqrt()
        return out

    return rule


def continued(optimizer: torch.optim.Optimizer, module: nn.Module) -> Rule:
    """The next steps of an optimiser of a module as a rule: its settings, and its moments where it has any.

    Raises:
        ValueError: If it is neither Adam nor SGD, or has momentum, weight decay or another extra.
    """
    check.instance("optimizer", optimizer, torch.optim.Optimizer)
    check.module("module", module)
    group = optimizer.param_groups[0]
    extras = ("momentum", "weight_decay", "amsgrad", "maximize")
    if type(optimizer) not in (torch.optim.Adam, torch.optim.SGD) or any(group.get(k) for k in extras):
        raise ValueError(
            f"cannot unroll {optimizer}; expected torch.optim.Adam or torch.optim.SGD without "
            f"{', '.join(extras)}"
        )
    if isinstance(optimizer, torch.optim.SGD):
        return sgd(group["lr"])
    states = {k: optimizer.state[p] for k, p in module.named_parameters() if p in optimizer.state}
    moments = {k: (int(s["step"]), s["exp_avg"], s["exp_avg_sq"]) for k, s in states.items()}
    return adam(group["lr"], group["betas"], group["eps"], moments)
