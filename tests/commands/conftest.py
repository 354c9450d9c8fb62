"""What the tests of the command line share."""

import shutil

import pytest
from command import TRAIN, call

from ebmlearn.commands import _train


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "a"


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "a"


@pytest.fixture
def trained(out, once):
    """A run of ``TRAIN``, made once and copied; for tests that have the tiny data."""
    if not once.exists():
        assert call(*TRAIN, "--out", once) == 0
    shutil.copytree(once, out)
    return out


@pytest.fixture
def fails(capsys):
    """Call it with arguments: the message of a call that must fail with status 2 and no traceback."""

    def run(*argv):
        capsys.readouterr()
        assert call(*argv) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ") and "Traceback" not in printed
        return printed

    return run


@pytest.fixture
def fitted(monkeypatch):
    """What the command gives to fit, which it then runs."""
    found = {}

    def spy(method, given, *, fit=_train.fit, **settings):
        found.update(method=method, data=given, **settings)
        return fit(method, given, **settings)

    monkeypatch.setattr(_train, "fit", spy)
    return found
