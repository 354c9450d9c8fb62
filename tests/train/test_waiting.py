"""Who is waited for, told from what the ranks have said at this exchange.

Bugs that they are for: exchanges that are not counted, so that an old word stands for a new one; a rank that
asks without saying that it waits itself; ranks of an earlier start of the launcher, heard in this one.
"""

import pytest

from ebmlearn.train.waiting import Waiting


class Board:
    """The launcher's store, within this process."""

    def __init__(self):
        self.said = {}

    def set(self, key, value):
        self.said[key] = value

    def check(self, keys):
        return all(key in self.said for key in keys)


@pytest.fixture
def ranks():
    board, found = Board(), [Waiting(rank, 3, limit=8.0) for rank in range(3)]
    for rank in found:
        rank._store = board
    return found


def test_who_has_said_nothing_at_this_exchange_is_missing(ranks):
    for rank in ranks:
        rank.begin()
    ranks[1]._tell()
    assert ranks[0]._missing(0) == [2]
    assert ranks[2]._missing(0) == []  # the other two have said so by now


def test_what_was_said_at_an_earlier_exchange_does_not_count(ranks):
    for rank in ranks:
        rank.begin()
        rank._tell()
    ranks[0].begin()
    assert ranks[0]._missing(0) == [1, 2]
    ranks[1].begin()
    ranks[1]._tell()
    assert ranks[0]._missing(0) == [2]


def test_what_was_said_before_the_launcher_began_again_does_not_count(ranks, monkeypatch):
    for rank in ranks:
        rank.begin()
        rank._tell()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert ranks[0]._missing(0) == [1, 2]
