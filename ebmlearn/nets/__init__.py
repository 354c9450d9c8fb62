"""Networks, with no algorithm inside."""

from ebmlearn.nets.conv import ConvEnergy
from ebmlearn.nets.linear import LinearEnergy
from ebmlearn.nets.mlp import MLPEnergy

__all__ = ["ConvEnergy", "LinearEnergy", "MLPEnergy"]
