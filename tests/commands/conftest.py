"""What the tests of the command line share."""

import pytest
from command import call


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "a"


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
