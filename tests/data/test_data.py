"""ebmlearn.data: exact pixels from files laid out like the hub, the cache, every error a user can cause."""

import dataclasses
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from tiny_hub import HUB, datasets, write
from torch.nn import functional

from ebmlearn import data
from ebmlearn.data import cache
from ebmlearn.data.checks import require
from ebmlearn.data.images import area_average
from ebmlearn.data.sources import SOURCES

parquet = pytest.importorskip("pyarrow.parquet")
sklearn_datasets = pytest.importorskip("sklearn.datasets")

REAL = os.environ.get("EBMLEARN_DATA")


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No data folder, an empty cache, no network."""
    monkeypatch.delenv("EBMLEARN_DATA", raising=False)
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "cache"))
    # Should a bug ignore EBMLEARN_CACHE: keep the tiny sets of these tests out of the user's own cache.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder that EBMLEARN_DATA names, empty; its name would be a pattern if it were taken for one."""
    path = tmp_path / "my [data] folder"
    path.mkdir()
    monkeypatch.setenv("EBMLEARN_DATA", str(path))
    return path


def scaled(images) -> np.ndarray:
    return (np.stack(images).transpose(0, 3, 1, 2).astype(np.float64) * 2 / 255 - 1).astype(np.float32)


# ---------------------------------------------------------------------------------------------- values


def test_to_unit_maps_every_level_and_both_ends_exactly():
    for top in (255, 16):
        u = torch.arange(top + 1)
        x = data.to_unit(u, top)
        assert x.dtype == torch.float32
        assert x[0] == -1
        assert x[-1] == 1
        assert (x - (2 * u.double() / top - 1)).abs().max() < 1e-7
    assert data.to_unit(torch.tensor([8]), 16) == 0


def test_digits_are_those_of_scikit_learn():
    bunch = sklearn_datasets.load_digits()
    seen, test = [0] * 10, []
    for c in bunch.target:
        seen[c] += 1
        test.append(seen[c] % 5 == 0)
    for split, chosen in (("test", np.array(test)), ("train", ~np.array(test))):
        x, y = data.load("digits", split)
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert x.shape == (chosen.sum(), 1, 8, 8)
        assert len(x) == SOURCES["digits"].splits[split]
        assert np.array_equal(x[:, 0].numpy(), (bunch.images[chosen] / 8 - 1).astype(np.float32))
        assert np.array_equal(y.numpy(), bunch.target[chosen])
        assert x.min() == -1
        assert x.max() == 1
    assert torch.equal(data.load().x, data.load("digits", "train").x)
    assert torch.equal(data.load(n=10).x, data.load().x[:10])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_labels_and_order_are_those_of_the_file(folder, name, split):
    write(folder, name, "train" if split == "test" else "test", seed=1)
    images, columns, _ = write(folder, name, split)
    x, y = data.load(name, split)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    np.testing.assert_allclose(x.numpy(), scaled(images), rtol=0, atol=1e-7)
    assert y.tolist() == columns["label"]


def test_svhn_has_a_third_split_and_zeros_of_class_zero(folder):
    """The file of the hub calls a zero 0; the authors' own files call it 10."""
    images, columns, _ = write(folder, "svhn", "extra", n=30)
    x, y = data.load("svhn", "extra")
    np.testing.assert_allclose(x.numpy(), scaled(images), rtol=0, atol=1e-7)
    assert y.tolist() == columns["label"] and 0 in y
    assert SOURCES["svhn"].splits == {"train": 73_257, "test": 26_032, "extra": 531_131}


def by_repetition(x: np.ndarray, side: int) -> np.ndarray:
    """Area averaging along both axes of (..., S, S), by whole numbers only: repeat, then average blocks."""
    for axis in (-2, -1):
        x = np.moveaxis(x, axis, -1)
        fine = np.repeat(x, side, axis=-1)
        x = np.moveaxis(fine.reshape(*x.shape[:-1], side, x.shape[-1]).mean(-1), -1, axis)
    return x


def test_celeba_crop_size_and_attributes(folder):
    images, columns, _ = write(folder, "celeba", "valid", n=3)
    x, y = data.load("celeba", "valid")
    square = np.stack(images)[:, 35:183, 15:163].transpose(0, 3, 1, 2).astype(np.float64)
    levels = np.rint(by_repetition(square, 64))
    assert x.shape == (3, 3, 64, 64)
    np.testing.assert_allclose(x.numpy(), levels * 2 / 255 - 1, rtol=0, atol=1e-6)
    assert y.shape == (3, 40)
    assert y.dtype == torch.int64
    # The order of CelebA's own list, list_attr_celeba.txt, which is that of the characters' codes.
    assert len(data.CELEBA_ATTRIBUTES) == 40
    assert list(data.CELEBA_ATTRIBUTES) == sorted(data.CELEBA_ATTRIBUTES)
    assert [data.CELEBA_ATTRIBUTES.index(a) for a in ("Eyeglasses", "Male", "Smiling")] == [15, 20, 31]
    for j, attribute in enumerate(data.CELEBA_ATTRIBUTES):
        assert y[:, j].tolist() == [int(v) for v in columns[attribute]]


def test_size_is_the_mean_over_areas_after_scaling(folder):
    write(folder, "mnist")
    x = data.load("mnist").x
    half, ten = data.load("mnist", size=14).x, data.load("mnist", size=10).x
    torch.testing.assert_close(half, functional.avg_pool2d(x, 2), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ten.numpy(), by_repetition(x.double().numpy(), 10), rtol=0, atol=1e-6)
    torch.testing.assert_close(data.load("mnist", size=28).x, x, rtol=0, atol=0)
    digits = data.load("digits", n=5)
    assert torch.equal(data.load("digits", n=5, size=4).x, functional.avg_pool2d(digits.x, 2))


@pytest.mark.parametrize("side", range(1, 28))
def test_area_average_leaves_the_ends_of_the_range_exact(side):
    ends = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 28, 28)
    assert torch.equal(area_average(ends, side), ends[..., :side, :side])


def test_n_reads_no_more_than_n_images(folder):
    good, _, _ = write(folder, "mnist", n=5)
    write(folder, "mnist", images=[*good[:3], b"not an image", good[4]])
    np.testing.assert_allclose(data.load("mnist", n=3).x.numpy(), scaled(good[:3]), rtol=0, atol=1e-7)
    with pytest.raises(OSError, match=r"cannot read .*train-00000-of-00001.parquet"):
        data.load("mnist", n=4)


def test_several_files_are_one_split_in_order(folder):
    parts = [write(folder, "cifar10", shard=(i, 3), n=4, seed=i) for i in range(3)]
    images = [im for part in parts for im in part[0]]
    labels = [label for part in parts for label in part[1]["label"]]
    x, y = data.load("cifar10")
    np.testing.assert_allclose(x.numpy(), scaled(images), rtol=0, atol=1e-7)
    assert y.tolist() == labels
    # The first six need two images of the second file, and nothing of the third.
    write(folder, "cifar10", shard=(1, 3), images=[*images[4:6], b"not an image"], seed=1)
    parts[2][2].write_bytes(b"not parquet")
    x, y = data.load("cifar10", n=6)
    np.testing.assert_allclose(x.numpy(), scaled(images[:6]), rtol=0, atol=1e-7)
    assert len(y) == 6


# --------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub in a folder: `load_dataset(repo, config, ...)` reads `tmp_path/hub`; returns (folder, calls)."""
    calls: list[tuple] = []
    real = datasets.load_dataset

    def load_dataset(path, config=None, *, split, **options):
        if path == "parquet":
            return real(path, config, split=split, **options)
        calls.append((path, config, split))
        pattern = str(tmp_path / "hub" / path / config / f"{split}-*.parquet")
        return real("parquet", data_files={split: pattern}, split=split, **options)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return tmp_path / "hub", calls


@pytest.mark.parametrize("name", HUB)
def test_hub_is_asked_by_id_once(hub, name):
    where, calls = hub
    images, _, _ = write(where, name, "test", n=4)
    assert not data.is_local(name, "test")
    first = data.load(name, "test")
    assert calls == [(*HUB[name][:2], "test")]
    if name != "celeba":
        np.testing.assert_allclose(first.x.numpy(), scaled(images), rtol=0, atol=1e-7)
    assert data.is_local(name, "test")
    second = data.load(name, "test")
    assert len(calls) == 1
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.y, second.y)


def test_folder_goes_before_hub_and_hub_serves_what_the_folder_lacks(hub, folder):
    where, calls = hub
    write(where, "mnist", seed=1)
    images, _, file = write(folder, "mnist", seed=2)
    np.testing.assert_allclose(data.load("mnist").x.numpy(), scaled(images), rtol=0, atol=1e-7)
    assert not calls
    file.unlink()
    assert not np.allclose(data.load("mnist").x.numpy(), scaled(images))
    assert len(calls) == 1


def test_datasets_keeps_no_copy_of_its_own(folder, tmp_path):
    write(folder, "mnist")
    data.load("mnist")
    assert not list((tmp_path / "hf").rglob("*"))


# ------------------------------------------------------------------------------------------- the cache


@pytest.fixture
def no_decoding(monkeypatch):
    """Call it: from then on decoding a file is an error."""

    def forbid(*args):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(data, "read_parquet", forbid)


def test_second_load_decodes_nothing(folder, no_decoding):
    write(folder, "cifar10")
    first = data.load("cifar10")
    no_decoding()
    for n in (None, 3):
        again = data.load("cifar10", n=n)
        assert torch.equal(again.x, first.x[:n])
        assert torch.equal(again.y, first.y[:n])
    assert torch.equal(data.load("cifar10", size=8).x, area_average(first.x, 8))


def test_a_part_serves_smaller_loads_only(folder, no_decoding, tmp_path):
    write(folder, "mnist")
    part = data.load("mnist", n=4)
    whole = data.load("mnist")
    assert len(part.x) == 4
    assert len(whole.x) == 7
    assert len(list((tmp_path / "cache").iterdir())) == 1
    write(folder, "mnist", "test")
    data.load("mnist", "test", n=4)
    no_decoding()
    assert len(data.load("mnist", "test", n=2).x) == 2
    with pytest.raises(AssertionError, match="decoded again"):
        data.load("mnist", "test", n=5)


def test_another_source_file_is_decoded_anew(folder):
    _, _, file = write(folder, "mnist", images=[np.full((28, 28, 1), 10, np.uint8)])
    data.load("mnist")
    before = file.stat()
    write(folder, "mnist", images=[np.full((28, 28, 1), 20, np.uint8)])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size == before.st_size
    assert data.load("mnist").x.unique().item() == pytest.approx(2 * 20 / 255 - 1)


def test_entry_depends_on_files_and_on_the_way_of_decoding(tmp_path, monkeypatch):
    source = SOURCES["celeba"]
    file = tmp_path / "a.parquet"
    file.write_bytes(b"abc")
    os.utime(file, (1, 1))
    names = {cache.entry(source, "celeba-train", []), cache.entry(source, "celeba-train", [file])}
    names.add(cache.entry(source, "celeba-test", [file]))
    names.add(cache.entry(dataclasses.replace(source, crop=140), "celeba-train", [file]))
    names.add(cache.entry(dataclasses.replace(source, side=32), "celeba-train", [file]))
    (tmp_path / "b.parquet").write_bytes(b"abc")
    os.utime(tmp_path / "b.parquet", (1, 1))
    names.add(cache.entry(source, "celeba-train", [tmp_path / "b.parquet"]))
    file.write_bytes(b"abcd")
    os.utime(file, (1, 1))
    names.add(cache.entry(source, "celeba-train", [file]))
    monkeypatch.setattr(cache, "_FORMAT", cache._FORMAT + 1)
    names.add(cache.entry(source, "celeba-train", [file]))
    assert len(names) == 8


def test_folder_of_the_cache(monkeypatch, tmp_path):
    def folder():
        return cache.entry(SOURCES["mnist"], "mnist-train", []).parent

    assert folder() == tmp_path / "cache"
    monkeypatch.setenv("EBMLEARN_CACHE", "")
    assert folder() == tmp_path / "xdg" / "ebmlearn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "ebmlearn"
    monkeypatch.setenv("EBMLEARN_CACHE", "~/kept")  # not a folder that is called ~
    assert folder() == tmp_path / "kept"


@pytest.mark.parametrize("damage", ["cut in half", "one bit", "empty"])
def test_damaged_entry_is_decoded_again_with_a_warning(folder, tmp_path, damage):
    write(folder, "mnist")
    first = data.load("mnist")
    (entry,) = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    if damage == "one bit":
        content[1000] ^= 1
    entry.write_bytes({"cut in half": content[: len(content) // 2], "empty": b""}.get(damage, content))
    with pytest.warns(UserWarning, match=f"the cache file {entry} is damaged .*decoding its images again"):
        again = data.load("mnist")
    assert torch.equal(again.x, first.x)
    assert torch.equal(data.load("mnist").x, first.x)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"levels": np.full((7, 1, 28, 28), np.nan, np.float32)}, "float32"),
        ({"levels": np.zeros((7, 1, 28, 27), np.uint8)}, "27"),
        ({"levels": np.zeros((6, 1, 28, 28), np.uint8)}, "6 images, 7 labels"),
        ({"levels": np.zeros((7, 1, 28, 28), np.int64)}, "int64"),
        ({"labels": np.full((7, 1), 10, np.uint8)}, "labels up to 10"),
        ({"labels": np.zeros((7, 1), np.float32)}, "float32"),
        ({"labels": np.zeros((7, 2), np.uint8)}, "2"),
        ({"labels": np.zeros((6, 1), np.uint8), "levels": np.zeros((6, 1, 28, 28), np.uint8)}, "6 images"),
        ({"levels": np.array([print] * 7)}, "pickle"),
    ],
)
def test_an_entry_of_something_else_is_decoded_again_with_a_warning(folder, tmp_path, change, kind):
    """An intact file, whose content is none that decoding writes."""
    write(folder, "mnist")
    first = data.load("mnist")
    (entry,) = (tmp_path / "cache").iterdir()
    with np.load(entry) as held:
        content = dict(held) | change
    np.savez(entry, **content)
    with pytest.warns(
        UserWarning, match=f"the cache file {entry} is damaged .*{kind}.*decoding its images again"
    ):
        again = data.load("mnist")
    assert torch.equal(again.x, first.x) and torch.equal(again.y, first.y)
    assert torch.equal(data.load("mnist").x, first.x)


def test_a_home_folder_is_understood_in_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EBMLEARN_DATA", "~/sets")
    images, _, _ = write(tmp_path / "sets", "mnist")
    np.testing.assert_allclose(data.load("mnist").x.numpy(), scaled(images), rtol=0, atol=1e-7)


def test_interrupted_write_leaves_the_old_entry(folder, tmp_path, monkeypatch):
    write(folder, "mnist")
    data.load("mnist", n=2)
    (entry,) = (tmp_path / "cache").iterdir()
    before = entry.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert [f.read_bytes() for f in (tmp_path / "cache").iterdir()] == [before]


def test_cache_that_cannot_be_written_costs_a_warning_only(folder, tmp_path, monkeypatch):
    images, _, _ = write(folder, "mnist")
    (tmp_path / "file").touch()
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot keep mnist-train-.*.npz in .*let EBMLEARN_CACHE name"):
        x, _ = data.load("mnist")
    np.testing.assert_allclose(x.numpy(), scaled(images), rtol=0, atol=1e-7)


def test_is_local(hub, folder, tmp_path):
    where, _ = hub
    assert data.is_local("digits")
    assert not data.is_local("mnist")
    write(folder, "mnist")
    assert data.is_local("mnist")
    assert not data.is_local("mnist", "test")
    write(where, "mnist", "test")
    data.load("mnist", "test", n=3)
    assert data.is_local("mnist", "test", n=3)
    assert not data.is_local("mnist", "test", n=4)
    assert not data.is_local("mnist", "test")
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:300])
    assert not data.is_local("mnist", "test", n=3)


def test_is_local_and_the_import_need_no_optional_package():
    code = (
        "import sys; from ebmlearn import data; data.is_local('mnist');"
        "print(sorted({'datasets', 'sklearn', 'PIL', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------------------------------- the errors


@pytest.mark.parametrize(
    ("name", "near"),
    [("Fashion-MNIST", "fashion_mnist"), ("MNIST", "mnist"), ("cifar-10", "cifar10"), ("celebA", "celeba")],
)
def test_unknown_set_names_the_known_and_the_nearest(name, near):
    known = "digits, mnist, fashion_mnist, cifar10, svhn, celeba"
    for function in (data.load, data.is_local):
        with pytest.raises(ValueError, match=f"unknown data set '{name}': known are {known}; .* '{near}'\\?"):
            function(name)
    with pytest.raises(ValueError, match=r"known are .*celeba \(images of your own: from_folder"):
        data.load("zzz")


def test_unknown_split():
    with pytest.raises(ValueError, match="mnist has no split 'valid': its splits are train, test"):
        data.load("mnist", "valid")
    with pytest.raises(ValueError, match="celeba has no split 'val': its splits are train, valid, test"):
        data.is_local("celeba", "val")


@pytest.mark.parametrize("n", [0, -1, 1443, 2.0])
def test_n_out_of_range(n):
    with pytest.raises(ValueError, match=rf"n must be an integer from 1 to 1,442 .*got n={n}"):
        data.load("digits", n=n)


def test_n_larger_than_this_copy(folder, no_decoding):
    write(folder, "mnist")
    for after in (no_decoding, lambda: None):
        with pytest.raises(ValueError, match="n=8, but this copy of split 'train' of mnist holds only 7"):
            data.load("mnist", n=8)
        after()


@pytest.mark.parametrize("size", [0, 9, 4.0])
def test_size_out_of_range(size):
    with pytest.raises(ValueError, match=rf"size must be an integer from 1 to 8, .*got size={size}"):
        data.load("digits", size=size)


def test_data_folder_that_does_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("EBMLEARN_DATA", str(tmp_path / "nowhere"))
    for function in (data.load, data.is_local):
        with pytest.raises(NotADirectoryError, match=r"EBMLEARN_DATA='.*nowhere' is not a folder"):
            function("mnist")


@pytest.mark.parametrize("present", [[0, 2], [1], [0]])
def test_incomplete_split_names_the_missing_files(folder, present):
    for i in present:
        write(folder, "celeba", "test", n=1, shard=(i, 3))
    missing = ", ".join(f"test-0000{i}-of-00003.parquet" for i in range(3) if i not in present)
    with pytest.raises(
        FileNotFoundError, match=f"holds {len(present)} files .* should be 3; missing.* {missing}"
    ):
        data.load("celeba", "test", n=1)


def test_no_network_without_a_folder(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    expected = (
        r"split 'train' of ylecun/mnist.*EBMLEARN_DATA: the variable is not set; .*the Hugging Face hub: .*"
        r"ylecun/mnist/mnist/train-00000-of-\*.parquet.*let EBMLEARN_DATA name.*\(set now: HF_HUB_OFFLINE\)"
    )
    with pytest.raises(ConnectionError, match=expected):
        data.load("mnist")


def test_no_network_and_not_in_the_folder(folder):
    write(folder, "mnist")
    expected = r"no .*my \[data\] folder/uoft-cs/cifar10/plain_text/test-.*the Hugging Face hub: .*neither"
    with pytest.raises(ConnectionError, match=expected):
        data.load("cifar10", "test")


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_truncated_parquet_is_named(folder, tmp_path, keep):
    _, _, file = write(folder, "mnist")
    file.write_bytes(file.read_bytes()[:keep])
    expected = r"cannot read .*train-00000-of-00001.parquet .*damaged or cut off: delete it and copy it again"
    with pytest.raises(OSError, match=expected):
        data.load("mnist")
    assert not (tmp_path / "cache").exists()


def test_missing_column_is_named(folder):
    _, _, file = write(folder, "mnist")
    table = parquet.read_table(file).rename_columns(["image", "digit"])
    parquet.write_table(table.replace_schema_metadata(None), file)
    with pytest.raises(ValueError, match=r"lacks the columns \['label'\]; it has \['image', 'digit'\]"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((28, 27, 1), np.uint8), r"\('L', 28, 27\)"),
        (np.zeros((28, 28, 3), np.uint8), r"\('RGB', 28, 28\)"),
    ],
)
def test_image_of_another_layout_is_refused(folder, image, found):
    write(folder, "mnist", images=[np.zeros((28, 28, 1), np.uint8), image])
    with pytest.raises(ValueError, match=rf"row 1 of .*{found}; expected \('L', 28, 28\)"):
        data.load("mnist")


def test_empty_split_is_refused(folder):
    write(folder, "mnist", images=[])
    with pytest.raises(ValueError, match="split 'train' of ylecun/mnist holds no image"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("name", "module"), [("digits", "sklearn.datasets"), ("mnist", "datasets"), ("mnist", "PIL.Image")]
)
def test_missing_package_names_the_extra(monkeypatch, folder, name, module):
    write(folder, "mnist")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module} .*pip install 'ebmlearn\[data\]'"):
        data.load(name)


# --------------------------------------------------------------------------------------- the real files


@pytest.fixture
def real(monkeypatch):
    """`real(name, split)` loads a set of the user's EBMLEARN_DATA, or skips."""

    def load(name, split):
        if not REAL:
            pytest.skip("EBMLEARN_DATA is not set: no real files to read")
        monkeypatch.setenv("EBMLEARN_DATA", REAL)
        if not data.is_local(name, split):
            pytest.skip(f"{name} ({split}) is not in EBMLEARN_DATA")
        return data.load(name, split)

    return load


@pytest.mark.slow
def test_real_mnist_train(real):
    x, y = real("mnist", "train")
    assert x.shape == (60_000, 1, 28, 28)
    assert y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert x.min() == -1
    assert x.max() == 1
    # The published mean and standard deviation of the training levels, 0.1307 and 0.3081 in units of 255.
    levels = (x.double() + 1) / 2
    assert levels.mean().item() == pytest.approx(0.130660, abs=1e-6)
    assert levels.std().item() == pytest.approx(0.308108, abs=1e-6)


def test_real_mnist_test(real):
    _, y = real("mnist", "test")
    assert y.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_real_cifar10_test(real):
    x, y = real("cifar10", "test")
    assert x.shape == (10_000, 3, 32, 32)
    assert y.bincount().tolist() == [1000] * 10
    assert x.min() == -1
    assert x.max() == 1


def test_real_svhn_test(real):
    x, y = real("svhn", "test")
    assert x.shape == (26_032, 3, 32, 32)
    assert y.bincount().tolist() == [1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595]


def test_imports_of_optional_packages_keep_quiet_about_notebook_widgets(tmp_path, monkeypatch):
    """tqdm.auto warns on stderr in a kernel without ipywidgets; a stored notebook must not hold that."""
    lines = ["import warnings", "warnings.warn('IProgress not found. Update it')", "warnings.warn('other')"]
    (tmp_path / "loud.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        require("loud")
    assert [str(w.message) for w in caught] == ["other"]


def test_a_copy_larger_than_the_known_set_is_read_whole(folder, monkeypatch):
    """Images go into an array made for as many as the set has: one too many is neither lost nor fails."""
    known = dataclasses.replace(SOURCES["mnist"], splits={"train": 3, "test": 3})
    monkeypatch.setitem(SOURCES, "mnist", known)
    images, columns, _ = write(folder, "mnist", n=7)
    x, y = data.load("mnist")
    assert x.shape == (7, 1, 28, 28) and y.tolist() == columns["label"]
    assert np.abs(x.numpy() - scaled(images)).max() < 1e-6
