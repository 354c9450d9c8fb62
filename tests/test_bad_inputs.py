"""Bad calls of every public function: each is refused, with a sentence of ours that names what is wrong.

A sentence is ours if the error was raised by a ``raise`` of the package: not by torch, and not by Python at a
line of ours. Tried as mutants, and seen to fail: no check of a step size; a batch that may broadcast; a check
that says nothing of the argument; a row without its function.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest
import torch
from bad_inputs import HARMLESS, NOT_CALLED, ROWS, WARNS, cases

import ebmlearn

PACKAGE = Path(ebmlearn.__file__).parent
CASES = cases()
pytestmark = pytest.mark.slow
KINDS = (
    ValueError,
    TypeError,
    KeyError,
    FloatingPointError,
    RuntimeError,
    OSError,
    ImportError,
    AssertionError,
)


@functools.cache
def raises(path: str) -> set[int]:
    """The lines of a file that belong to a ``raise``."""
    nodes = [n for n in ast.walk(ast.parse(Path(path).read_text())) if isinstance(n, ast.Raise)]
    return {line for n in nodes for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)}


def is_ours(error: BaseException) -> bool:
    """Whether a ``raise`` of the package made the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    path = trace.tb_frame.f_code.co_filename
    return PACKAGE in Path(path).parents and trace.tb_lineno in raises(path)


def outcome(case) -> str:
    """What became of a bad call: ``"ours"``, ``"obscure: ..."``, ``"vague: ..."`` or ``"returned: ..."``."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = case.call()
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:150]}"
            if not is_ours(error) or not isinstance(error, KINDS):
                return f"obscure: {text}"
            return "ours" if re.search(case.says, str(error)) else f"vague: {text}"
    said = [str(w.message) for w in warned]
    if case.name in WARNS and any(re.search(case.says, text) for text in said):
        return "ours"
    return f"returned: {result!r:.90}"


@pytest.fixture(scope="module")
def outcomes():
    ebmlearn.seed(0)
    return {case.name: outcome(case) for case in CASES}


def with_outcome(outcomes, word):
    return {name: text for name, text in outcomes.items() if text.startswith(word) and name not in HARMLESS}


def test_the_table_has_six_hundred_bad_calls_each_of_its_own():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 600


@pytest.mark.parametrize("row", ROWS, ids=[f"{i} {r.name}" for i, r in enumerate(ROWS)])
def test_without_what_is_wrong_the_call_works(row):
    """Else a case would be refused for another reason."""
    if row.name == "inception":
        pytest.skip("needs weights")
    row.call(**row.good)


def test_nothing_returns_nonsense_in_silence(outcomes):
    assert with_outcome(outcomes, "returned") == {}


def test_at_most_one_in_twenty_has_no_sentence_of_ours(outcomes):
    obscure = with_outcome(outcomes, "obscure")
    print(f"{len(obscure)} of {len(outcomes)} bad calls without a sentence of ours:")
    print(*(f"  {name}: {text}" for name, text in obscure.items()), sep="\n")
    assert len(obscure) <= len(outcomes) / 20, obscure


def test_the_sentences_name_what_is_wrong(outcomes):
    assert with_outcome(outcomes, "vague") == {}


def test_what_is_harmless_returns(outcomes):
    """An exception that is no longer needed is taken off the list."""
    unknown = HARMLESS.keys() | WARNS
    assert {name for name in unknown if name not in outcomes} == set()
    assert {n: outcomes[n] for n in HARMLESS if not outcomes[n].startswith("returned")} == {}
    for case in CASES:
        if case.name in HARMLESS:
            assert HARMLESS[case.name](case.call()), case.name


def public() -> dict[str, object]:
    """Every public name: of ``__all__``, or of a module without."""
    names = [ebmlearn.__name__, *(m.name for m in pkgutil.walk_packages(ebmlearn.__path__, "ebmlearn."))]
    found = {}
    for module in (importlib.import_module(n) for n in names if "._" not in n):
        for name in getattr(module, "__all__", ()):
            if not inspect.ismodule(getattr(module, name)):
                found[f"{module.__name__}.{name}".removeprefix("ebmlearn.")] = getattr(module, name)
    return found


def test_every_public_name_is_in_the_table():
    covered = {id(what) for row in ROWS for what in row.covers if not isinstance(what, str)}
    words = {what for row in ROWS for what in row.covers if isinstance(what, str)}
    missing = {
        name
        for name, what in public().items()
        if id(what) not in covered and name not in words | NOT_CALLED.keys()
    }
    assert missing == set()
    assert NOT_CALLED.keys() - public().keys() == set()
    torch.manual_seed(0)
