"""Networks, with no algorithm inside."""

from ebmlearn.nets.conv import ConvEnergy
from ebmlearn.nets.eblvm import EBLVM
from ebmlearn.nets.flow import RealNVP
from ebmlearn.nets.generator import ConvGenerator, GaussianGenerator, Generator, MLPGenerator
from ebmlearn.nets.ladder import LadderGenerator
from ebmlearn.nets.linear import LinearEnergy
from ebmlearn.nets.mlp import MLPEnergy
from ebmlearn.nets.text import TextGenerator

__all__ = [
    "EBLVM",
    "ConvEnergy",
    "ConvGenerator",
    "GaussianGenerator",
    "Generator",
    "LadderGenerator",
    "LinearEnergy",
    "MLPEnergy",
    "MLPGenerator",
    "RealNVP",
    "TextGenerator",
]
