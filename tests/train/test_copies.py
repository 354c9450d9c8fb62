"""Copies of methods, whole and apart: by `copy.deepcopy`, `pickle` and `torch.save`."""

import copy
import io
import pickle

import pytest
import torch
from methods import METHODS

from ebmlearn import Chain, DataStart, MaximumLikelihood, ula
from ebmlearn.nets import MLPEnergy


def saved(method):
    stream = io.BytesIO()
    torch.save(method, stream)
    return torch.load(io.BytesIO(stream.getvalue()), weights_only=False)


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m)), "torch.save": saved}


def flat(value):
    """All numbers of a state, nested as it may be."""
    if isinstance(value, torch.Tensor):
        return [value.detach().clone().double().flatten()]
    if isinstance(value, dict):
        return [x for key in value for x in flat(value[key])]
    if isinstance(value, list | tuple):
        return [x for item in value for x in flat(item)]
    return [torch.tensor([float(value)]).double()] if isinstance(value, int | float) else []


def numbers(method):
    return torch.cat(flat(method.state_dict()))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", METHODS)
def test_a_copy_trains_on_bit_for_bit_and_apart(name, how):
    case = METHODS[name]
    method = case.make()
    method.step(case.batch())  # so that optimisers and averages have a state
    other, before = COPIES[how](method), numbers(method)
    torch.manual_seed(3)
    for _ in range(2):
        other.step(case.batch())
    assert torch.equal(numbers(method), before)
    torch.manual_seed(3)
    for _ in range(2):
        method.step(case.batch())
    assert torch.equal(numbers(method), numbers(other)) and not torch.equal(numbers(method), before)
    owned = {id(p) for o in other.optimizers.values() for g in o.param_groups for p in g["params"]}
    assert owned <= {id(p) for p in other.parameters()}


def test_the_copy_has_a_generator_of_its_own():
    generator = torch.Generator().manual_seed(1)
    chain = Chain(ula, n_steps=1, step_size=0.1, generator=generator)
    method = MaximumLikelihood(MLPEnergy(2, (4,)), DataStart(), chain=chain)
    other = copy.deepcopy(method)
    assert other.chain.settings["generator"] is not generator
    ours, theirs = (torch.rand(3, generator=m.chain.settings["generator"]) for m in (method, other))
    assert torch.equal(ours, theirs)
