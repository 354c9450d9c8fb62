"""Promises about single steps: functions of a trial that say what is wrong; an empty text if nothing is."""

from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ebmlearn.energy import Energy
from ebmlearn.sample import Chain, Info, Kernel, State
from ebmlearn.testing._trial import Trial
from ebmlearn.train.batch import each, parts


def listed(names: list[str]) -> str:
    """The first few of some names."""
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + rest


def optimizers(trial: Trial) -> str:
    """Every trainable parameter has an optimiser, and is a part of the method"""
    method = trial.make()
    owned = {id(p) for o in method.optimizers.values() for g in o.param_groups for p in g["params"]}
    if not owned:
        return "it has no optimiser; call add_optimizer for each net that learns, in __init__"
    orphans = [name for name, p in method.named_parameters() if p.requires_grad and id(p) not in owned]
    if orphans:
        return (
            f"no optimiser moves {listed(orphans)}; give it to add_optimizer, or freeze it by "
            "requires_grad_(False) if it is not to learn"
        )
    if owned - {id(p) for p in method.parameters()}:
        return (
            "an optimiser has a parameter that is no part of the method, so that no checkpoint holds it; "
            "assign its net to an attribute, self.net = net (several: to an nn.ModuleList)"
        )
    return ""


def metrics(trial: Trial) -> str:
    """A step returns its metrics, a dict of finite scalars without a graph"""
    method, batch = trial.make(), trial.batch()
    for _ in range(trial.steps):
        found: Any = method.step(batch)
        if not isinstance(found, dict) or not found:
            what = "an empty dict" if found == {} else f"a {type(found).__name__}"
            return f"step returned {what}; return a dict of numbers, such as {{'loss': loss.detach()}}"
        for name, value in found.items():
            if not isinstance(value, Tensor) or value.shape != ():
                what = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
                return f"the metric {name!r} is {what}; make it a tensor of shape (), by .mean() for example"
            if not value.isfinite():
                return f"the metric {name!r} is {value.item()}; fit stops training at the first such step"
            if value.requires_grad:
                return f"the metric {name!r} holds its graph, which fills the memory; return .detach()"
    return ""


def learning(trial: Trial) -> str:
    """Every parameter of every optimiser gets a gradient and moves"""
    method, batch = trial.make(), trial.batch()
    names = {id(p): name for name, p in method.named_parameters()}
    groups = [g["params"] for o in method.optimizers.values() for g in o.param_groups]
    owned = {names.get(id(p), "a parameter of none of its nets"): p for group in groups for p in group}
    before = {name: p.detach().clone() for name, p in owned.items()}
    for _ in range(trial.steps):
        method.step(batch)
    turn = "if its turn comes later, say in how many steps: check_method(..., steps=20)"
    idle = [name for name, count in method.updates.items() if not count]
    if idle:
        return f"{idle[0]!r} made no update in {trial.steps} step(s); call self.update, or {turn}"
    still = [name for name, p in owned.items() if p.grad is None or not p.grad.any()]
    if still:
        return (
            f"the loss has no gradient by {listed(still)}; look for .detach(), .item() or torch.no_grad on "
            f"the way from it to the loss; {turn}"
        )
    still = [name for name, p in owned.items() if torch.equal(p, before[name])]
    return f"{listed(still)} had a gradient and did not move; is the learning rate 0?" if still else ""


def untouched(trial: Trial) -> str:
    """A step leaves its batch as it was"""
    method, batch = trial.make(), trial.batch()
    before = each(torch.clone, batch)
    for _ in range(trial.steps):
        method.step(batch)
    for (name, now), (_, then) in zip(parts(batch, "batch"), parts(before), strict=True):
        if not torch.equal(now, then):
            return f"step changed {name} in place, and with it the data; write x = x + noise, not x += noise"
        if now.grad is not None or now.requires_grad:
            return f"step left {name} with a gradient to be tracked; take slopes by ebmlearn.grad"
    return ""


def clean(trial: Trial) -> str:
    """Chains see nets in evaluation mode, and nothing but an update leaves a gradient in a net"""
    method, batch = trial.make(), trial.batch()
    method.train()

    def count(name: str, loss: Tensor) -> None:
        method.updates[name] += 1

    modes: list[bool] = []
    chains = {name: value for name, value in vars(method).items() if isinstance(value, Chain)}
    for name, chain in chains.items():
        setattr(method, name, _watched(chain, modes))
    method.update = count  # type: ignore[method-assign]
    for _ in range(trial.steps):
        method.step(batch)
    if chains and not modes:
        return f"no chain ran in {trial.steps} step(s); say how many it takes: check_method(..., steps=20)"
    if any(modes):
        return "a chain ran with a net in training mode, where dropout moves its target; do not call train()"
    left = [name for name, p in method.named_parameters() if p.grad is not None]
    if left:
        return (
            f"step left a gradient in {listed(left)} without an update; leave backward() to "
            "self.update(name, loss), and take slopes by ebmlearn.grad"
        )
    off = [name or "the method" for name, module in method.named_modules() if not module.training]
    return (
        f"step left {listed(off)} in evaluation mode; leave modes to ebmlearn.run or a Chain" if off else ""
    )


def _watched(chain: Chain, modes: list[bool]) -> Chain:
    """A chain that notes the mode of every module that is called in its steps."""

    @wraps(chain.make_kernel)
    def make_kernel(energy: Energy, **settings: Any) -> Kernel:
        kernel = chain.make_kernel(energy, **settings)

        def step(state: State) -> tuple[State, Info]:
            def note(module: nn.Module, args: Any, out: Any) -> None:
                modes.append(module.training)

            hook = register_module_forward_hook(note)
            try:
                return kernel.step(state)
            finally:
                hook.remove()

        return kernel._replace(step=step)

    return Chain(make_kernel, n_steps=chain.n_steps, **chain.settings)
