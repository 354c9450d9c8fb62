"""A chain as one value: refused where it is made, the same as `run`, and known by all of its settings."""

from functools import partial

import pytest
import torch

from ebmlearn.diagnostics import mean_energy
from ebmlearn.energy import GRBM
from ebmlearn.sample import Chain, gibbs, hmc, mala, positions, run, ula
from ebmlearn.schedules import inverse, linear

CHAINS = {
    "ula": Chain(ula, n_steps=4, step_size=0.3),
    "ula, cold, falling": Chain(ula, n_steps=4, step_size=linear(0.3, 4), noise_scale=0.01),
    "mala": Chain(mala, n_steps=4, step_size=0.3),
    "hmc": Chain(hmc, n_steps=4, step_size=0.3, n_leapfrog=2, persistence=0.5),
    "partial": Chain(partial(hmc, n_leapfrog=2), n_steps=4, step_size=0.3),
    "gibbs": Chain(gibbs, n_steps=4),
}


@pytest.fixture(params=CHAINS)
def chain(request):
    return CHAINS[request.param]


# what it does


def test_it_is_a_run_of_its_kernel(chain):
    """With the records too, to the last bit."""
    energy, x = GRBM(2, 3), torch.randn(5, 2)
    torch.manual_seed(1)
    kernel = chain.make_kernel(energy, **chain.settings)
    end, path = run(kernel, x, 4, keep=positions, every=2)
    torch.manual_seed(1)
    assert torch.equal(chain(energy, x), end)
    torch.manual_seed(1)
    found, kept = chain(energy, x, keep=positions, every=2)
    assert torch.equal(found, end) and torch.equal(kept, path) and kept.shape == (2, 5, 2)
    torch.manual_seed(1)
    assert torch.equal(chain(energy, x, keep=positions)[1][1::2], path)


def test_every_energy_is_its_own():
    """One chain runs on any energy, and keeps nothing of the last."""
    chain, x = CHAINS["ula"].replace(noise_scale=0.0, n_steps=1), torch.ones(1, 1)
    for a in (1.0, 2.0, 1.0):
        assert chain(lambda x, a=a: 0.5 * a * x.square().sum(1), x) == pytest.approx(1 - 0.045 * a)


def test_keep_that_records_nothing_is_refused():
    with pytest.raises(ValueError, match=r"every=5 records nothing in n_steps=4"):
        CHAINS["ula"](GRBM(2, 3), torch.zeros(1, 2), keep=mean_energy, every=5)


def test_replace_changes_what_it_names_and_leaves_the_chain_alone():
    chain = CHAINS["hmc"]
    text, changed = repr(chain), chain.replace(n_steps=7, n_leapfrog=5)
    assert (changed.make_kernel, changed.n_steps) == (hmc, 7)
    assert changed.settings == {"step_size": 0.3, "n_leapfrog": 5, "persistence": 0.5}
    assert repr(chain) == text and chain.n_steps == 4
    assert repr(chain.replace()) == text
    with pytest.raises(TypeError, match="hmc does not know the setting 'noise_scale'"):
        chain.replace(noise_scale=0.1)
    with pytest.raises(ValueError, match="n_steps is 0"):
        chain.replace(n_steps=0)


# what it refuses


def wrong(n_steps=1, kernel=ula, **settings):
    return lambda: Chain(kernel, n_steps=n_steps, **settings)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            wrong(step_sise=0.1),
            TypeError,
            "ula does not know .* 'step_sise'; did you mean step_size\\?",
        ),
        (
            wrong(step_size=0.1, temperature=2.0),
            TypeError,
            "'temperature'; it knows step_size, noise_scale, bounds, clamp, create_graph, generator",
        ),
        (
            wrong(kernel=hmc, step_size=0.1, n_leapfrog=2, noise_scale=0.1),
            TypeError,
            "hmc does not know the setting 'noise_scale'",
        ),
        (wrong(kernel=gibbs, step_size=0.1), TypeError, "gibbs does not know the setting 'step_size'"),
        (wrong(), TypeError, r"ula needs step_size; give it to Chain, such as step_size=\.\.\."),
        (wrong(kernel=hmc), TypeError, "hmc needs step_size, n_leapfrog; give it to Chain"),
        (wrong(kernel=hmc, step_size=0.1), TypeError, "hmc needs n_leapfrog"),
        (wrong(step_size=-0.1), ValueError, r"step_size is -0\.1; expected a number > 0"),
        (wrong(step_size=0.1, noise_scale=-1.0), ValueError, r"noise_scale is -1\.0"),
        (wrong(step_size=0.1, bounds=(1, 0)), ValueError, "low < high"),
        (wrong(kernel=hmc, step_size=0.1, n_leapfrog=0), ValueError, "n_leapfrog"),
        (wrong(kernel=mala, step_size=float("nan")), ValueError, "step_size is nan"),
        *(
            (wrong(n, step_size=0.1), ValueError, f"n_steps is {n!r}; expected the number of steps")
            for n in (0, -1, True, 1.5, 2.0, "3", None)
        ),
        (
            wrong(kernel="ula", step_size=0.1),
            TypeError,
            "the kernel is 'ula'; expected ula, mala, hmc",
        ),
        (wrong(kernel=None, step_size=0.1), TypeError, "the kernel is None"),
        (lambda: Chain(ula, step_size=0.1), TypeError, "n_steps"),
    ],
)
def test_it_is_refused_where_it_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_kernel_of_ones_own_may_take_any_setting():
    def odd(energy, **settings):
        return ula(energy, step_size=settings["size"])

    assert Chain(odd, n_steps=1, size=0.1)(GRBM(2, 3), torch.zeros(1, 2)).shape == (1, 2)


def test_an_energy_that_it_cannot_take_is_refused_with_the_energy():
    with pytest.raises(TypeError, match="Linear has no method gibbs_sweep"):
        CHAINS["gibbs"](torch.nn.Linear(2, 1), torch.zeros(1, 2))


# what it says of itself


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (CHAINS["ula"], "Chain(ula, n_steps=4, step_size=0.3)"),
        (CHAINS["gibbs"], "Chain(gibbs, n_steps=4)"),
        (CHAINS["hmc"], "Chain(hmc, n_steps=4, step_size=0.3, n_leapfrog=2, persistence=0.5)"),
        # a partial is what it is a partial of
        (CHAINS["partial"], "Chain(hmc, n_steps=4, n_leapfrog=2, step_size=0.3)"),
        (
            Chain(partial(partial(hmc, n_leapfrog=2), step_size=0.1), n_steps=1, step_size=0.2),
            "Chain(hmc, n_steps=1, n_leapfrog=2, step_size=0.2)",
        ),
        (
            Chain(ula, n_steps=4, step_size=inverse(0.3, 10), bounds=(-1, 1)),
            "Chain(ula, n_steps=4, step_size=(0: 0.3, 1: 0.272727, 10: 0.15, 100: 0.0272727, "
            "1000: 0.0029703, 10000: 0.0002997, ... 69386746), bounds=(-1, 1))",
        ),
    ],
)
def test_its_text_shows_all_of_it(made, text):
    assert repr(made) == text


def test_functions_that_are_no_schedules_are_not_called():
    """A setting of a kernel of one's own may be any function, of anything."""

    def ours(energy, *, step_size, proposal):
        return ula(energy, step_size=step_size)

    def proposal():
        raise AssertionError

    text = repr(Chain(ours, n_steps=1, step_size=0.1, proposal=proposal))
    assert "step_size=0.1, proposal=" in text and "proposal" in text.split("proposal=")[1]
