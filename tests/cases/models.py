"""Models that several tests are about."""

import torch
from torch import nn

from ebmlearn.energy import GRBM
from ebmlearn.nets import RealNVP


def curved(shape=(2,), scale=0.4, n_layers=4):
    """A flow with random weights, far from the identity, in float64."""
    flow = RealNVP(shape, n_layers, width=16).double()
    for net in flow.nets:
        nn.init.normal_(net[-1].weight, std=scale)
        nn.init.normal_(net[-1].bias, std=scale)
    return flow.requires_grad_(False)


def machine(d=3, m=4):
    """A GRBM in float64 with couplings that matter."""
    rbm = GRBM(d, m, std=0.8).double()
    with torch.no_grad():
        rbm.weight.mul_(4)
        rbm.hidden_bias.normal_()
        rbm.visible_bias.normal_()
    return rbm


class Unsteady(nn.Module):
    """In training mode, dropout and batch statistics make it another energy at each step."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze(1) + 0.5 * x.square().sum(1)
