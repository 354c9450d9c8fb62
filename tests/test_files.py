"""A file is written whole or not at all."""

import os

import pytest

from ebmlearn.files import write_whole


def test_the_parts_are_one_file_which_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"something longer than what will be there")
    write_whole(path, b"one ", b"", b"two")
    assert path.read_bytes() == b"one two" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    write_whole(path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("at", ["os.fsync", "os.replace"])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, at):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(at, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_it_is_on_the_disk_before_it_has_its_name_and_then_so_is_the_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "a.bin", []
    path.write_bytes(b"old")

    def spy(handle, sync=os.fsync):
        seen.append((path.read_bytes(), os.fstat(handle).st_ino == os.stat(tmp_path).st_ino))
        sync(handle)

    monkeypatch.setattr("os.fsync", spy)
    write_whole(path, b"new")
    assert seen == [(b"old", False), (b"new", True)]


def test_two_processes_do_not_share_a_temporary_name(tmp_path, monkeypatch):
    names = []

    def spy(a, b, replace=os.replace):
        names.append(os.path.basename(a))
        replace(a, b)

    monkeypatch.setattr("os.replace", spy)
    for number in (1, 2):
        monkeypatch.setattr("os.getpid", lambda number=number: number)
        write_whole(tmp_path / "a.bin", b"")
    assert len(set(names)) == 2


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_whole(tmp_path / "nowhere" / "a.bin", b"")
