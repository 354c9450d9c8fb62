"""Flows of the library zuko, as flows of this one."""

from typing import Any

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.nets.flow import Flow, _log_normal


class ZukoFlow(Flow):
    """A flow of the library `zuko <https://zuko.readthedocs.io>`_, such as one of splines, as a `Flow`.

    In zuko the transform leads from ``x`` to ``z``, here it leads from ``z`` to ``x``; that is the whole
    difference. The package zuko is not needed to import this class, only to build what it is given: ``pip
    install 'ebmlearn[flows]'``.

    Args:
        flow: A flow of zuko without a context, over vectors, with ``N(0, I)`` as its base. Many of zuko's
            flows are autoregressive: one direction takes ``dim`` passes, and ``passes=2`` makes coupling
            layers of them, where both directions take two.

    Raises:
        ValueError: If the base is not ``N(0, I)``, or ``x`` has another event shape.

    Example::

        flow = ZukoFlow(zuko.flows.NSF(2, transforms=3, hidden_features=(32, 32), passes=2))
    """

    def __init__(self, flow: Any) -> None:
        try:
            base = flow().base
        except (AttributeError, TypeError):
            raise TypeError(
                f"flow is {check.shown(flow)}; expected a flow of zuko, such as zuko.flows.NSF(2)"
            ) from None
        super().__init__(tuple(base.event_shape))
        z = torch.linspace(-2.0, 2.0, 5)[:, None].expand(-1, *self.event_shape).flatten(1)
        normal = _log_normal(z)
        if len(self.event_shape) != 1 or not torch.allclose(base.log_prob(z).to(normal), normal, atol=1e-4):
            raise ValueError(f"the flow's base is {base}; expected N(0, I) over vectors, as NSF has")
        self.flow = flow

    def generate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.check(z)
        return self.flow().transform.inv.call_and_ladj(z)

    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        return self.flow().transform.call_and_ladj(x)
