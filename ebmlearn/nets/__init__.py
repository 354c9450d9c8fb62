"""Networks, with no algorithm inside."""

from ebmlearn.nets.attention import NonLocalEnergy
from ebmlearn.nets.bag_of_words import BagOfWordsGenerator
from ebmlearn.nets.classifier import Classifier
from ebmlearn.nets.codes import Code, LinearCode
from ebmlearn.nets.conditional import ConditionalEnergy, ConditionalGenerator, beside
from ebmlearn.nets.conv import ConvEnergy
from ebmlearn.nets.conv_generator import ConvGenerator
from ebmlearn.nets.conv_ladder import ConvLadderGenerator
from ebmlearn.nets.descriptor import DescriptorEnergy
from ebmlearn.nets.eblvm import EBLVM, CouplingEBLVM, JointNet
from ebmlearn.nets.encoder import ConvEncoder
from ebmlearn.nets.flow import Flow, RealNVP
from ebmlearn.nets.generator import GaussianGenerator, Generator, MLPGenerator
from ebmlearn.nets.glow import Glow
from ebmlearn.nets.hypernetwork import Hypernetwork, MLPHypernetwork, SharedHypernetwork
from ebmlearn.nets.joint import JointConvEnergy, JointMLPEnergy
from ebmlearn.nets.ladder import LadderGenerator
from ebmlearn.nets.lattice import LatticeCode
from ebmlearn.nets.linear import LinearEnergy
from ebmlearn.nets.mlp import MLPEnergy
from ebmlearn.nets.motion import BlockMotion
from ebmlearn.nets.residual import ResidualFeatures
from ebmlearn.nets.resnet_target import ResNetTarget
from ebmlearn.nets.symbol import SymbolEnergy
from ebmlearn.nets.tabular import TabularGenerator
from ebmlearn.nets.target import ReLUTarget, TargetNet
from ebmlearn.nets.text import TextGenerator
from ebmlearn.nets.weight_energy import WeightEnergy
from ebmlearn.nets.zuko import ZukoFlow

__all__ = [
    "EBLVM",
    "BagOfWordsGenerator",
    "BlockMotion",
    "Classifier",
    "Code",
    "ConditionalEnergy",
    "ConditionalGenerator",
    "ConvEncoder",
    "ConvEnergy",
    "ConvGenerator",
    "ConvLadderGenerator",
    "CouplingEBLVM",
    "DescriptorEnergy",
    "Flow",
    "GaussianGenerator",
    "Generator",
    "Glow",
    "Hypernetwork",
    "JointConvEnergy",
    "JointMLPEnergy",
    "JointNet",
    "LadderGenerator",
    "LatticeCode",
    "LinearCode",
    "LinearEnergy",
    "MLPEnergy",
    "MLPGenerator",
    "MLPHypernetwork",
    "NonLocalEnergy",
    "ReLUTarget",
    "RealNVP",
    "ResNetTarget",
    "ResidualFeatures",
    "SharedHypernetwork",
    "SymbolEnergy",
    "TabularGenerator",
    "TargetNet",
    "TextGenerator",
    "WeightEnergy",
    "ZukoFlow",
    "beside",
]
