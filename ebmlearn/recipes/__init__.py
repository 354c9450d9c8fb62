"""The papers' large settings, runnable: ``python -m ebmlearn train NAME --out FOLDER``.

A recipe is a function of its size: ``RECIPES["short-run-cifar10"]()`` has the paper's numbers, and with
``smoke=True`` the same method, code path and kind of net at a size that trains on a CPU in less than a
minute, which shows that everything runs and nothing else. One file for each method; every number has its
source beside it.

``python -m ebmlearn show NAME`` lists the settings of a recipe, and ``--set KEY=VALUE`` changes one:
``--set lr_energy=1e-4 --set chain.n_steps=60``; in Python, `Recipe.with_settings` does. They are recorded in
``run.json``, and hold for whatever is done with the run. A run that goes on keeps them, but for learning
rates, which may be given anew. A recipe that learns classes from a few labels has ``labels.per_class`` among
them; with ``--data FOLDER`` the sub-folders are the classes. One that samples classifiers learns from all
labels, and ``evaluate`` says how often its nets are right.

Nets are code: to have others, copy the recipe to a file of your own, and name it ``FILE.py:NAME`` in place of
a name::

    # my_recipes.py: python -m ebmlearn train my_recipes.py:mine --out runs/a
    def mine(*, smoke=False):
        def setup(shape):
            energy, start = ConvEnergy(shape[0], shape[1], [64, 128]), NoiseStart("uniform", 1.0, shape)
            chain = Chain(ula, n_steps=50, step_size=0.1)
            return partial(MaximumLikelihood, energy, start, chain=chain, lr=1e-4)

        return Recipe("short run on digits", "ours", "mnist", setup, MaximumLikelihood.sample, 64, 20_000)

To name a file is to run it. A run's folder holds the path and the SHA-256 of the file, and no code.
``sample``, ``evaluate`` and ``show`` find the file again and run it, if it is as you have run it before on
this machine; otherwise they ask you to name it, ``--recipe my_recipes.py:mine``. So the folder of somebody
else runs nothing that you did not name. What the file imports is not compared.
"""

import difflib
from collections.abc import Callable
from functools import partial

from ebmlearn.recipes import anatomy, from_file
from ebmlearn.recipes._base import Labels, Recipe, Streams
from ebmlearn.recipes.bidvl import bidvl
from ebmlearn.recipes.coopnets import coopnets
from ebmlearn.recipes.divergence_triangle import divergence_triangle
from ebmlearn.recipes.dual_mcmc import dual_mcmc
from ebmlearn.recipes.flow_contrastive import flow_contrastive
from ebmlearn.recipes.latent_prior import latent_prior
from ebmlearn.recipes.neural_transport import neural_transport
from ebmlearn.recipes.score_matching_latent import score_matching_latent
from ebmlearn.recipes.short_run import short_run
from ebmlearn.recipes.short_run_inference import short_run_inference
from ebmlearn.recipes.symbol_vector import symbol_vector
from ebmlearn.recipes.variational_teaching import variational_teaching
from ebmlearn.recipes.weight_sampler import weight_sampler

# The name says the side of the images where a data set comes in several.
_DATA = {"mnist": "mnist", "cifar10": "cifar10", "celeba64": "celeba"}
# For the method that is known for it.
_SVHN = {"svhn": "svhn"}

RECIPES: dict[str, Callable[..., Recipe]] = {
    **{f"short-run-{name}": partial(short_run, data) for name, data in _DATA.items()},
    **{f"anatomy-convergent-{name}": partial(anatomy.convergent, data) for name, data in _DATA.items()},
    **{f"anatomy-nonconvergent-{name}": partial(anatomy.nonconvergent, data) for name, data in _DATA.items()},
    **{f"coopnets-{name}": partial(coopnets, data) for name, data in _DATA.items()},
    **{f"variational-teaching-{name}": partial(variational_teaching, data) for name, data in _DATA.items()},
    **{f"dual-mcmc-{name}": partial(dual_mcmc, data) for name, data in _DATA.items()},
    **{f"fce-{name}": partial(flow_contrastive, data) for name, data in _DATA.items()},
    **{f"neural-transport-{name}": partial(neural_transport, data) for name, data in _DATA.items()},
    **{f"short-run-inference-{name}": partial(short_run_inference, data) for name, data in _DATA.items()},
    **{f"latent-prior-{name}": partial(latent_prior, data) for name, data in _DATA.items()},
    **{f"symbol-vector-{name}": partial(symbol_vector, data) for name, data in (_DATA | _SVHN).items()},
    **{f"divergence-triangle-{name}": partial(divergence_triangle, data) for name, data in _DATA.items()},
    **{f"bism-{name}": partial(score_matching_latent, "bism", data) for name, data in _DATA.items()},
    **{f"vages-{name}": partial(score_matching_latent, "vages", data) for name, data in _DATA.items()},
    **{f"bidvl-{name}": partial(bidvl, data) for name, data in _DATA.items()},
    **{f"weight-sampler-{name}": partial(weight_sampler, name) for name in ("mnist", "cifar10")},
}
"""Name to function ``recipe(*, smoke=False) -> Recipe``, in the order of the book."""


def find(name: str, *, smoke: bool = False) -> Recipe:
    """The recipe of a name.

    Args:
        name: One of `RECIPES`, or ``FILE.py:NAME`` for one of your own, whose file is run.
        smoke: The tiny size.

    Raises:
        ValueError: If there is none.
        FileNotFoundError: If there is no such file.
    """
    own = from_file.split(name)
    if own is not None:
        return from_file.make(from_file.read(own[0]), own[1], smoke=smoke)
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else "`python -m ebmlearn list` shows them"
        raise ValueError(f"there is no recipe {name!r}; {hint}")
    return RECIPES[name](smoke=smoke)


__all__ = ["RECIPES", "Labels", "Recipe", "Streams", "find"]
