"""Texts: ids and splits of a file, its checksum wherever it comes from, every error a user can cause."""

import hashlib
import io
import os
import urllib.error
from pathlib import Path

import pytest
import torch

from ebmlearn import data
from ebmlearn.data import text

REAL = os.environ.get("EBMLEARN_DATA", "")
# eleven different lines, the tenth of them "ba"; besides, one is empty and one a repetition
LINES = "a\nb\nc\nab\n\nb\nd\nac\nad\nbd\nda\nba\nabcd"


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No data folder, an empty cache, no network, and a text of eleven lines in place of the names."""
    monkeypatch.delenv("EBMLEARN_DATA", raising=False)
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(text, "urlopen", no_network)
    few = text.TEXTS["names"]._replace(sha256=hashlib.sha256(LINES.encode()).hexdigest())
    monkeypatch.setitem(text.TEXTS, "names", few)


def no_network(url, timeout):
    raise urllib.error.URLError("no network")


@pytest.fixture
def file(monkeypatch, tmp_path):
    """The file of the names in the folder that EBMLEARN_DATA names."""
    monkeypatch.setenv("EBMLEARN_DATA", str(tmp_path / "data"))
    path = tmp_path / "data" / "text" / "names.txt"
    path.parent.mkdir(parents=True)
    path.write_text(LINES)
    return path


def test_ids_padding_and_splits(file):
    train, test = data.load_text("names"), data.load_text("names", "test")
    assert train.alphabet == test.alphabet == "\nabcd"
    assert train.x.dtype == torch.int64
    assert train.x[3].tolist() == [1, 2, 0, 0, 0]
    # a repeated line would be a training line and a test line at once
    assert train.strings(train.x) == ["a", "b", "c", "ab", "d", "ac", "ad", "bd", "da", "abcd"]
    assert test.x.tolist() == [[2, 1, 0, 0, 0]]
    assert test.strings(test.x) == ["ba"]


def test_the_cache_serves_a_second_load_and_the_network_the_first(monkeypatch, tmp_path):
    asked = []

    def reply(url, timeout):
        asked.append(url)
        return io.BytesIO(LINES.encode())

    monkeypatch.setattr(text, "urlopen", reply)
    assert not data.is_local_text("names")
    first = data.load_text()
    assert asked == ["https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"]
    assert data.is_local_text("names")
    assert torch.equal(data.load_text().x, first.x)
    assert len(asked) == 1
    assert [p.name for p in (tmp_path / "cache" / "text").iterdir()] == ["names.txt"]


def test_the_folder_goes_before_the_cache(file, tmp_path):
    kept = tmp_path / "cache" / "text" / "names.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("damaged")
    assert data.is_local_text("names")
    assert len(data.load_text().x) == 10
    file.unlink()
    with pytest.raises(OSError, match=r"names.txt is damaged"):
        data.load_text()


def test_a_damaged_file_is_refused(file):
    # one letter, which nothing else would notice
    file.write_text(LINES.replace("ba", "bb"))
    with pytest.raises(OSError, match=r"its SHA-256 is [0-9a-f]{64}, expected .*; delete .*names.txt"):
        data.load_text()


def test_a_damaged_download_is_refused_and_not_kept(monkeypatch):
    monkeypatch.setattr(text, "urlopen", lambda url, timeout: io.BytesIO(b"not found"))
    with pytest.raises(OSError, match=r"names.txt is damaged or another version: .* try again"):
        data.load_text()
    assert not data.is_local_text("names")


@pytest.mark.parametrize("error", [urllib.error.URLError("refused"), TimeoutError("too slow")])
def test_without_network_the_error_says_where_to_put_the_file(monkeypatch, error):
    def fail(url, timeout):
        raise error

    monkeypatch.setattr(text, "urlopen", fail)
    with pytest.raises(
        ConnectionError, match=r"cannot download https://.* as text/names.txt in a folder"
    ) as e:
        data.load_text()
    assert e.value.__cause__ is error


def test_a_cache_that_cannot_be_written_costs_a_warning_only(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(text, "urlopen", lambda url, timeout: io.BytesIO(LINES.encode()))
    with pytest.warns(UserWarning, match="cannot keep names.txt in .*let EBMLEARN_CACHE name a folder"):
        assert len(data.load_text().x) == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.load_text("nmes"), "unknown text 'nmes': known are names, shakespeare"),
        (lambda: data.is_local_text("mnist"), "unknown text 'mnist'"),
        (lambda: data.load_text("names", "valid"), "names has no split 'valid': its splits are train, test"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_data_folder_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("EBMLEARN_DATA", "no such folder")
    for call in (data.load_text, lambda: data.is_local_text("names")):
        with pytest.raises(NotADirectoryError, match="EBMLEARN_DATA='no such folder' is not a folder"):
            call()


@pytest.mark.parametrize(
    ("name", "shapes", "alphabet", "first"),
    [
        ("names", [(26545, 16), (2949, 16)], 27, ["emma", "evelyn"]),
        ("shakespeare", [(23149, 64), (2572, 64)], 65, ["First Citizen:", "Is't a verdict?"]),
    ],
)
def test_the_real_texts(monkeypatch, name, shapes, alphabet, first):
    monkeypatch.undo()  # the checksum of the package, and the folder of the user
    if not (REAL and Path(REAL, "text", text.TEXTS[name].file).exists()):
        pytest.skip("needs EBMLEARN_DATA with the folder text")
    splits = [data.load_text(name, split) for split in ("train", "test")]
    assert [tuple(s.x.shape) for s in splits] == shapes
    assert [s.strings(s.x[:1])[0] for s in splits] == first
    assert all(len(s.alphabet) == alphabet for s in splits)
    assert all((s.x[:, -1] == 0).all() and s.x.max() < alphabet for s in splits)
