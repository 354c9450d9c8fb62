"""Settings of recipes as data.

Mutants tried, each red: a change that reaches the list and not the method; a new value of a chain that drops
its other settings; ``True`` taken for a number; an integer that stays one where a float is wanted; an unknown
name passed on; what is inside of a setting changed before the setting itself; shapes of nets drawn with the
random numbers of the caller.
"""

from functools import partial

import pytest
import torch
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy
from ebmlearn.recipes import RECIPES, Recipe, settings
from ebmlearn.sample import Chain, NoiseStart, hmc, ula
from ebmlearn.schedules import linear


def smoke(name="short-run-mnist"):
    return RECIPES[name](smoke=True)


def changed(changes, name="short-run-mnist"):
    recipe = smoke(name).with_settings(changes)
    return recipe, recipe.method(recipe.shape())


@pytest.mark.parametrize("name", RECIPES)
def test_every_listed_setting_can_be_given_its_own_value(name):
    """And nothing changes then: names and types of all settings of all recipes, those of functions too."""
    recipe = smoke(name)
    listed = recipe.settings()
    again = recipe.with_settings(listed)
    assert again.method(recipe.shape()).settings() == recipe.method(recipe.shape()).settings()
    assert {k: repr(v) for k, v in again.settings().items() if not callable(v)} == {
        k: repr(v) for k, v in listed.items() if not callable(v)
    }
    assert {"batch_size", "steps", "n"} <= listed.keys()


def test_the_list_has_what_is_given_what_is_left_and_what_is_inside():
    found = smoke("coopnets-mnist").settings()
    assert found["chain.n_steps"] == 3 and found["chain.step_size"] == 0.002
    assert found["chain.noise_scale"] is None and found["chain.bounds"] is None  # defaults of the kernel
    assert found["ema"] is None and found["lr_generator"] == 1e-4
    assert found["optimizer.betas"] == (0.5, 0.999) and found["optimizer.eps"] == 1e-8
    assert "optimizer.lr" not in found and "chain.generator" not in found
    assert smoke("bism-mnist").settings()["objective.sigmas"] == (0.1, 2.4)


def test_changes_reach_the_method():
    recipe, method = changed(
        {
            "lr": 1,
            "chain.n_steps": 7,
            "chain.step_size": 0.25,
            "chain.bounds": [-1, 1],
            "optimizer.betas": (0.5, 0.9),
            "ema": 0.9,
            "batch_size": 8,
            "steps": 33,
            "n": None,
        }
    )
    assert repr(method.chain) == "Chain(ula, n_steps=7, step_size=0.25, noise_scale=0.01, bounds=(-1.0, 1.0))"
    (group,) = method.optimizers["energy"].param_groups
    assert group["betas"] == (0.5, 0.9) and repr(group["lr"]) == "1.0"
    assert method.settings()["average of energy"] == "decay 0.9"
    assert (recipe.batch_size, recipe.steps, recipe.n) == (8, 33, None)
    plain = smoke().method(smoke().shape())
    assert plain.chain.n_steps == 10 and plain.optimizers["energy"].defaults["betas"] == (0.9, 0.999)


def test_changes_add_up_and_the_last_counts():
    recipe = smoke().with_settings({"lr": 1e-3, "chain.n_steps": 7}).with_settings({"lr": 1e-5})
    found = recipe.settings()
    assert (found["lr"], found["chain.n_steps"]) == (1e-5, 7)


def test_a_whole_setting_is_changed_before_what_is_inside_of_it():
    chain = Chain(hmc, n_steps=2, step_size=0.1, n_leapfrog=3)
    _, method = changed({"chain.n_leapfrog": 5, "chain": chain})
    assert repr(method.chain) == "Chain(hmc, n_steps=2, step_size=0.1, n_leapfrog=5)"


def test_schedules_have_settings_and_make_way_for_a_number():
    _, method = changed({"lr_prior.start": 1e-3, "lr_generator": 1e-6}, "latent-prior-mnist")
    rates = method.lr_schedules
    assert rates["prior"](0) == 1e-3 and rates["prior"](600) == pytest.approx(0.998e-3)
    assert rates["generator"](0) == rates["generator"](10**6) == 1e-6
    _, method = changed({"lr": linear(1e-3, 10)})  # and the other way round
    assert method.lr_schedules["energy"](5) == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_energy": 1e-4}, r"no setting 'lr_energy'.*show RECIPE` lists all"),
        ({"lrs": 1e-4}, r"no setting 'lrs'; did you mean lr\?"),
        ({"n_steps": 3}, r"no setting 'n_steps'; did you mean chain.n_steps\?"),
        ({"chain.nsteps": 3}, r"no setting 'chain.nsteps'; did you mean chain.n_steps\?"),
        ({"chain.n_steps.x": 3}, r"no setting 'chain.n_steps.x'"),
        ({"batchsize": 3}, r"no setting 'batchsize'; did you mean batch_size\?"),
        (
            {"lr": "fast"},
            r"lr is 'fast'; expected a finite number or a function \(in Python\), such as 0.0001",
        ),
        ({"lr": True}, r"lr is True; expected a finite number"),
        ({"lr": float("inf")}, r"lr is inf; expected a finite number"),
        ({"lr": None}, r"lr is None; expected a finite number"),
        ({"chain.n_steps": 2.5}, r"chain.n_steps is 2.5; expected a whole number, such as 10"),
        ({"chain.n_steps": 0}, r"n_steps is 0; expected the number of steps of a chain, at least 1"),
        ({"chain.noise_scale": "x"}, r"chain.noise_scale is 'x'; expected .*a finite number"),
        ({"chain": 3}, r"chain is 3; expected a Chain"),
        ({"optimizer.betas": 0.5}, r"optimizer.betas is 0.5; expected a tuple, such as \(0.9, 0.999\)"),
        ({"optimizer.betas": (0.5, "x")}, r"optimizer.betas is \(0.5, 'x'\); expected a tuple"),
        ({"optimizer.amsgrad": 1}, r"optimizer.amsgrad is 1; expected True or False"),
        ({"optimizer": "SGD"}, r"optimizer is 'SGD'; expected a function \(in Python\)"),
        ({"batch_size": 8.0}, r"batch_size is 8.0; expected a whole number, such as 64"),
        ({"batch_size": 0}, r"batch_size is 0; expected a whole number of at least 1"),
        ({"batch_size": None}, r"batch_size is None; expected a whole number"),
        ({"pad": -1}, r"pad is -1; expected a whole number of at least 0"),
        ({"lr": 10**400}, r"expected a finite number"),
    ],
)
def test_what_is_off_is_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        smoke().with_settings(changes)


def test_texts_and_switches_are_settings_too():
    _, method = changed({"entropy": "gaussian"}, "short-run-inference-mnist")
    assert method.entropy == "gaussian"
    _, method = changed({"covariance": False, "n_samples": None}, "vages-mnist")
    assert method.covariance is False and method.n_samples is None
    with pytest.raises(ValueError, match="entropy is 3; expected text, such as 'conditional'"):
        changed({"entropy": 3}, "short-run-inference-mnist")
    _, method = changed({"loss": "hinge"}, "bidvl-mnist")
    assert method.loss == "hinge"
    for value in ("square", 3, True):
        with pytest.raises(ValueError, match=r"loss is .*; expected one of 'difference', 'hinge', such as"):
            changed({"loss": value}, "bidvl-mnist")


def test_listing_and_changing_draw_no_random_numbers():
    before = torch.get_rng_state()
    smoke().with_settings({"lr": 1e-5}).settings()

    def setup(shape):  # looks at values, which shapes alone do not have
        scale = torch.rand(3).mean().item()
        return partial(
            MaximumLikelihood,
            ConvEnergy(1, 16, [4]),
            NoiseStart("uniform", 1.0, shape),
            chain=Chain(ula, n_steps=1, step_size=1 + scale),
        )

    looking = Recipe("s", "s", "mnist", setup, MaximumLikelihood.sample, 4, 4)
    assert looking.settings()["chain.n_steps"] == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_a_method_that_is_already_made_is_refused():
    recipe = smoke()
    made = Recipe("s", "s", "mnist", recipe.method, recipe.sample, 4, 4)
    with pytest.raises(ValueError, match=r"gives a MaximumLikelihood; expected partial\(MaximumLikelihood, "):
        made.method((1, 16, 16))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr=1e-4", 1e-4),
        ("n = 20_000", 20_000),
        ("betas=(0.5, .999)", (0.5, 0.999)),
        ("ema=None", None),
        ("on=True", True),
        ("entropy=gaussian", "gaussian"),
        ("entropy='gaussian'", "gaussian"),
        ("a=b=c", "b=c"),
        ("a=__import__('os').getcwd()", "__import__('os').getcwd()"),  # text stays text, and is never run
    ],
)
def test_values_are_read_as_python_writes_them(text, value):
    (found,) = settings.parse([text]).values()
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["lr", "lr=", "=3", ""])
def test_what_is_no_pair_is_refused(text):
    with pytest.raises(ValueError, match=r"--set is '.*'; expected KEY=VALUE, such as lr=1e-4"):
        settings.parse([text])


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="--set gives lr twice: 1 and 2"):
        settings.parse(["lr=1", "lr=2"])
