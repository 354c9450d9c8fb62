"""Learning methods: one file, one paper."""

from ebmlearn.methods.alternating_backprop import AlternatingBackprop
from ebmlearn.methods.bidvl import BiDVL
from ebmlearn.methods.bism import BiSM
from ebmlearn.methods.classifier import Classification
from ebmlearn.methods.coopnets import CoopNets
from ebmlearn.methods.divergence_triangle import DivergenceTriangle
from ebmlearn.methods.dual_mcmc import DualMCMC
from ebmlearn.methods.energy_discrepancy import EnergyDiscrepancy
from ebmlearn.methods.exact_likelihood import ExactLikelihood
from ebmlearn.methods.fisher_critic import FisherCritic
from ebmlearn.methods.flow_contrastive import FlowContrastive
from ebmlearn.methods.latent_prior import LatentPrior
from ebmlearn.methods.maximum_likelihood import MaximumLikelihood
from ebmlearn.methods.motion_representation import MotionRepresentation
from ebmlearn.methods.nce import NCE
from ebmlearn.methods.neural_transport import NeuralTransport
from ebmlearn.methods.score_matching import ScoreMatching
from ebmlearn.methods.short_run import ShortRunGenerator
from ebmlearn.methods.short_run_inference import ShortRunInference
from ebmlearn.methods.symbol_vector import SymbolVectorCoupling
from ebmlearn.methods.vae import VAE
from ebmlearn.methods.vages import VaGES
from ebmlearn.methods.variational_teaching import VariationalTeaching
from ebmlearn.methods.weight_sampler import WeightSampler

__all__ = [
    "NCE",
    "VAE",
    "AlternatingBackprop",
    "BiDVL",
    "BiSM",
    "Classification",
    "CoopNets",
    "DivergenceTriangle",
    "DualMCMC",
    "EnergyDiscrepancy",
    "ExactLikelihood",
    "FisherCritic",
    "FlowContrastive",
    "LatentPrior",
    "MaximumLikelihood",
    "MotionRepresentation",
    "NeuralTransport",
    "ScoreMatching",
    "ShortRunGenerator",
    "ShortRunInference",
    "SymbolVectorCoupling",
    "VaGES",
    "VariationalTeaching",
    "WeightSampler",
]
