"""Images of one's own: a folder, an array or the hub; the right pixels, in the right order and class."""

import io
import os

import numpy as np
import pytest
import test_hostile as hostile
import torch
from PIL import Image
from test_data import by_repetition
from tiny_hub import cut_off, datasets, png, write
from torch.nn import functional

from ebmlearn import data
from ebmlearn.data import decode, hub, own, stream

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    cut_off(monkeypatch, tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Call it with names and images (arrays, or images of Pillow): a folder of PNG files."""

    def make(where="images", **images):
        for name, image in images.items():
            file = tmp_path / where / f"{name.replace('__', '/')}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(image, np.ndarray):
                file.write_bytes(png(image))
            else:
                image.save(file, "PNG")
        return tmp_path / where

    return make


def grey(value, height=8, width=8):
    return np.full((height, width), value, np.uint8)


def levels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def unit(u):
    return torch.as_tensor(np.asarray(u, np.float32) * np.float32(2) / np.float32(255) - np.float32(1))


# ------------------------------------------------------------------------------------------------- folders


def test_pixels_of_grey_and_colour_are_those_of_the_file(folder):
    images = [levels(6, 9) for _ in range(3)]
    x, y = data.from_folder(folder("grey", **{f"i{i}": im for i, im in enumerate(images)}))
    torch.testing.assert_close(x, unit(np.stack(images)[:, None]), rtol=0, atol=1e-7)
    assert x.dtype == torch.float32 and y.dtype == torch.int64 and y.tolist() == [0, 0, 0]
    colours = [levels(6, 9, 3) for _ in range(2)]
    x, _ = data.from_folder(folder("colour", **{f"i{i}": im for i, im in enumerate(colours)}))
    torch.testing.assert_close(x, unit(np.stack(colours).transpose(0, 3, 1, 2)), rtol=0, atol=1e-7)


def test_a_jpeg_is_read_whatever_its_name(tmp_path):
    for name in ("a.jpg", "b.JPEG", "c.png", "d"):
        (tmp_path / "images").mkdir(exist_ok=True)
        image = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 16), np.uint8))
        Image.fromarray(image).save(tmp_path / "images" / name, "JPEG", quality=95)
    x, _ = data.from_folder(tmp_path / "images", size=2)
    assert x.shape == (4, 1, 2, 2)
    assert (x - unit([[0, 80], [160, 240]])).abs().max() < 0.02


def test_names_are_sorted_with_numbers_as_numbers(folder):
    names = ["b10", "b2", "b1", "a3", "10", "9", "b02"]
    path = folder(**{name: grey(i) for i, name in enumerate(names)})
    order = ["9", "10", "a3", "b1", "b02", "b2", "b10"]
    assert data.from_folder(path).x[:, 0, 0, 0].tolist() == [unit(names.index(n)).item() for n in order]


def test_subfolders_are_classes_in_order(folder):
    path = folder(
        **{
            "cat__2": grey(3),
            "cat__1": grey(2),
            "class10__a": grey(5),
            "class9__a": grey(4),
            "ant__z": grey(1),
        }
    )
    x, y = data.from_folder(path)
    assert data.class_names(path) == ("ant", "cat", "class9", "class10")
    assert y.tolist() == [0, 1, 1, 2, 3]
    assert torch.equal(x[:, 0, 0, 0], unit([1, 2, 3, 4, 5]))
    assert data.class_names(folder("flat", a=grey(0))) == ("",)


def test_what_is_hidden_is_no_data_and_all_else_is_refused(folder):
    path = folder(cats__a=grey(1))
    for name in (".DS_Store", "Thumbs.db", "cats/.hidden.png", "cats/desktop.ini"):
        (path / name).write_bytes(b"x")
    (path / ".ipynb_checkpoints").mkdir()
    assert len(data.from_folder(path).x) == 1 and data.class_names(path) == ("cats",)
    (path / "cats" / "labels.csv").write_text("a")
    with pytest.raises(OSError, match=r"labels.csv': it is no PNG or JPEG image"):
        data.from_folder(path)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 17), (20, 13), (7, 7)])
@pytest.mark.parametrize("size", [5, 7])
def test_size_is_the_mean_over_areas_of_the_central_square(folder, height, width, size):
    image = levels(height, width, 3)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side].transpose(2, 0, 1).astype(np.float64)
    x, _ = data.from_folder(folder(a=image), size=size)
    np.testing.assert_allclose(x[0].numpy(), by_repetition(square, size) * 2 / 255 - 1, rtol=0, atol=1e-6)


def test_smaller_images_are_enlarged_by_the_same_rule_and_it_is_said(folder):
    image, other = levels(4, 4), levels(9, 9)
    path = folder(a=image, b=other)
    with pytest.warns(UserWarning, match=r"1 of 2 images are smaller than 6 x 6 and were enlarged.*a.png'"):
        x, _ = data.from_folder(path, size=6)
    np.testing.assert_allclose(
        x[0, 0], by_repetition(image.astype(float), 6) * 2 / 255 - 1, rtol=0, atol=1e-6
    )
    with pytest.warns(UserWarning, match="1 of 1 images are smaller"):
        x = data.from_array(image[None], size=8).x
    torch.testing.assert_close(
        x, functional.interpolate(unit(image)[None, None], scale_factor=2), rtol=0, atol=1e-7
    )


def test_images_of_several_shapes_need_a_size(folder):
    path = folder(a=levels(8, 8), b=levels(8, 9))
    with pytest.raises(
        ValueError, match=r"a.png' has the shape .* \(1, 8, 8\) and .*b.png' has \(1, 8, 9\).*size="
    ):
        data.from_folder(path)
    path = folder("mixed", a=levels(8, 8), b=levels(8, 8, 3))
    with pytest.raises(
        ValueError, match=r"\(1, 8, 8\) and .*b.png' has \(3, 8, 8\).*channels=1 or channels=3"
    ):
        data.from_folder(path)
    assert data.from_folder(path, channels=3).x.shape == (2, 3, 8, 8)


def test_channels(folder):
    image = levels(5, 6, 3)
    weighted = np.rint(image.astype(float) @ [0.299, 0.587, 0.114])
    x = data.from_folder(folder("colour", a=image), channels=1).x
    assert (x[0, 0] - unit(weighted)).abs().max() <= 2 / 255 + 1e-6  # Pillow rounds in whole numbers
    assert (x[0, 0] - unit(weighted)).abs().mean() < 1e-3
    plain = levels(5, 6)
    x = data.from_folder(folder("grey", a=plain), channels=3).x
    assert torch.equal(x, unit(plain).expand(1, 3, 5, 6))
    colour = unit(image.transpose(2, 0, 1))
    x = data.from_array(image[None], channels=1).x
    torch.testing.assert_close(
        x[0, 0], 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2], rtol=0, atol=1e-6
    )
    assert torch.equal(data.from_array(plain[None], channels=3).x, unit(plain).expand(1, 3, 5, 6))


def test_palettes_and_bits_are_converted(folder):
    image = levels(8, 8, 3) // 64 * 64
    palette = Image.fromarray(image).quantize(64, dither=Image.Dither.NONE)
    x = data.from_folder(folder("palette", a=palette)).x
    assert torch.equal(x[0], unit(np.asarray(palette.convert("RGB")).transpose(2, 0, 1)))
    bits = levels(8, 8) > 127
    x = data.from_folder(folder("bits", a=Image.fromarray(bits))).x
    assert torch.equal(x[0, 0], torch.from_numpy(bits * 2.0 - 1).float())


def test_transparency(folder):
    opaque = np.concatenate([levels(4, 4, 3), np.full((4, 4, 1), 255, np.uint8)], 2)
    assert torch.equal(
        data.from_folder(folder("opaque", a=opaque)).x[0], unit(opaque[..., :3].transpose(2, 0, 1))
    )
    glass = opaque.copy()
    glass[..., 3] = levels(4, 4)
    path = folder("glass", a=glass)
    with pytest.raises(
        ValueError, match=r"a.png' is transparent in places: say what shines through, `background="
    ):
        data.from_folder(path)
    for background in (-1.0, 0.5, 1.0):
        alpha = glass[..., 3:].astype(np.float64) / 255
        wanted = alpha * (glass[..., :3] / 127.5 - 1) + (1 - alpha) * background
        x = data.from_folder(path, background=background).x
        np.testing.assert_allclose(x[0].numpy(), wanted.transpose(2, 0, 1), rtol=0, atol=1e-5)
    for value in (2, float("nan")):
        with pytest.raises(ValueError, match=r"background is .*; expected a level from -1"):
            data.from_folder(path, background=value)
        with pytest.raises(ValueError, match=r"background is .*; expected a level from -1"):
            data.from_hub("a/b", image="image", background=value)


def test_a_colour_that_stands_for_transparent(folder, tmp_path):
    path = folder(a=grey(7))
    image = grey(7)
    image[0, 0] = 9
    Image.fromarray(image).save(path / "a.png", transparency=9)
    with pytest.raises(ValueError, match=r"transparent in places"):
        data.from_folder(path)
    x = data.from_folder(path, background=1.0).x
    assert x.shape == (1, 1, 8, 8) and x[0, 0, 0, 0] == 1 and (x.flatten()[1:] == unit(7)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_the_camera_noted(tmp_path, orientation):
    """Three corners are dark, bright, brighter: seen upright, at the top left, top right and bottom left."""
    upright = np.full((16, 32), 255, np.uint8)
    upright[:8, :8], upright[:8, -8:], upright[-8:, :8] = 0, 80, 160
    # What a camera that is held so writes; EXIF says how to undo it.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(np.ascontiguousarray(stored)).save(
        tmp_path / "images" / "a.jpg", "JPEG", exif=exif, quality=100
    )
    x, _ = data.from_folder(tmp_path / "images")
    assert x.shape == (1, 1, 16, 32)
    assert (x[0, 0] - unit(upright)).abs().max() < 0.05


def test_of_the_pictures_of_a_phone_the_first_is_taken(tmp_path):
    (tmp_path / "images").mkdir()
    first, second = Image.fromarray(grey(200, 16, 16)), Image.fromarray(grey(20, 8, 8))
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    (tmp_path / "images" / "a.jpg").write_bytes(buffer.getvalue())
    x, _ = data.from_folder(tmp_path / "images")
    assert x.shape == (1, 1, 16, 16) and (x - unit(200)).abs().max() < 0.02


@pytest.mark.parametrize("colour", [0, 2])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 8), (13, 9)])
def test_interlaced_images_are_whole(colour, height, width):
    """Pillow writes none, so the seven passes of Adam7 are laid out here, by the pattern of the standard."""
    image = levels(height, width, 3 if colour else 1)
    pattern = "1646264677777777565656567777777736463646777777775656565677777777"
    number = np.tile(np.array([int(k) for k in pattern]).reshape(8, 8), (2, 2))[:height, :width]
    stream = b""
    for k in range(1, 8):
        for row in range(height):
            if (number[row] == k).any():
                stream += b"\0" + image[row][number[row] == k].tobytes()
    content = hostile.made(width, height, 8, colour, stream, interlaced=1)
    x = np.asarray(decode.open_image(content, "x")).reshape(image.shape)
    assert np.array_equal(x, image)
    with pytest.raises(OSError, match=r"its pixels unpack to .* bytes, not"):
        decode.open_image(hostile.made(width, height, 8, colour, stream[:-1], interlaced=1), "x")


def test_n_keeps_the_shares_of_the_classes(folder):
    path = folder(**{f"{c}__{i}": grey(10 * k + i) for k, c in enumerate("ab") for i in range(6)})
    x, y = data.from_folder(path, n=4)
    assert y.tolist() == [0, 0, 1, 1] and torch.equal(x[:, 0, 0, 0], unit([0, 3, 10, 13]))
    with pytest.raises(ValueError, match=r"n is 13, but there are only 12 images"):
        data.from_folder(path, n=13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is 0; expected a whole number >= 1"),
        ({"size": 2.0}, "size is 2.0; expected"),
        ({"size": True}, "size is True; expected"),
        ({"n": -1}, "n is -1; expected"),
        ({"channels": 2}, r"channels is 2; expected 1 \(grey\), 3"),
    ],
)
def test_arguments_out_of_range(folder, options, message):
    path = folder(a=grey(1))
    for make in (
        lambda: data.from_folder(path, **options),
        lambda: data.from_array(levels(2, 8, 8), **options),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(ValueError, match=message):
        data.from_hub("a/b", image="image", **options)


def test_layouts_that_are_none(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot read the folder .*nowhere'"):
        data.from_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file' is no folder; expected a folder of images"):
        data.from_folder(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty' holds no image"):
        data.from_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"b' is a folder inside of a class; expected images"):
        data.from_folder(folder("deep", a__b__c=grey(1)))
    path = folder("splits", train__a=grey(1), test__b=grey(2))
    for function in (data.from_folder, data.class_names):
        with pytest.raises(
            ValueError, match=r"splits' holds splits, not classes: give .* such as '.*splits/train'"
        ):
            function(path)


# -------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("shape", "result"),
    [
        ((5, 6, 7), (5, 1, 6, 7)),
        ((1, 6, 7), (1, 1, 6, 7)),
        ((5, 6, 7, 1), (5, 1, 6, 7)),
        ((5, 6, 7, 3), (5, 3, 6, 7)),
        ((5, 1, 6, 7), (5, 1, 6, 7)),
        ((5, 3, 6, 7), (5, 3, 6, 7)),
        ((3, 3, 6, 7), (3, 3, 6, 7)),
    ],
)
def test_shapes_of_arrays(shape, result):
    u = levels(*shape)
    wanted = unit(u.reshape(result) if shape[-1] != 3 else u.transpose(0, 3, 1, 2))
    for array in (u, torch.from_numpy(u), unit(u), unit(u).double(), np.asfortranarray(u)):
        x, y = data.from_array(array)
        assert x.shape == result and x.dtype == torch.float32 and y.tolist() == [0] * len(u)
        torch.testing.assert_close(x, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (levels(6, 7, 3), r"\(6, 7, 3\), which could be one colour image or several grey ones"),
        (levels(3, 6, 7), r"\(3, 6, 7\), which could be one colour image"),
        (levels(6, 7, 1), r"\(6, 7, 1\), which could be one colour image"),
        (levels(5, 3, 6, 3), r"\(5, 3, 6, 3\), whose channels could be the second or the last axis"),
        (levels(5, 1, 6, 1), r"\(5, 1, 6, 1\), whose channels could be"),
        (levels(5, 6, 7, 4), r"\(5, 6, 7, 4\); expected .*Of 4 channels the last is transparency"),
        (levels(5, 6, 7, 2), r"\(5, 6, 7, 2\); expected \(N, H, W\), "),
        (levels(5, 42), r"\(5, 42\); expected \(N, H, W\)"),
        (np.uint8(7), r"is a uint8; expected an array, a tensor or the path"),
        (levels(5, 1, 6, 7, 8), r"\(5, 1, 6, 7, 8\); expected"),
        (levels(0, 6, 7), r"\(0, 1, 6, 7\): no image, or no pixel in it"),
        (levels(5, 0, 7), r"\(5, 1, 0, 7\): no image, or no pixel in it"),
        (levels(5, 6, 7).astype(int), "dtype torch.int64; expected uint8 levels .* x.astype"),
        (levels(5, 6, 7) > 3, "dtype torch.bool; expected uint8"),
        (levels(5, 6, 7).astype(complex), "dtype complex128; expected uint8"),
        (torch.zeros(5, 6, 7, dtype=torch.complex64), "dtype torch.complex64; expected uint8"),
        (np.array([["a"]]), "dtype <U1; expected uint8 or floating"),
        (levels(5, 6, 7).astype(np.float32), r"lies in \[.*, 255\]; .*white, give 2 \* x / 255 - 1"),
        (levels(5, 6, 7) / 255, r"lies in \[.*, 1\]; .*white, give 2 \* x / 1 - 1"),
        (levels(5, 6, 7) / 100 - 1.5, r"lies in \[-1.[45].*, .*\]; expected numbers in \[-1, 1\]"),
        (np.full((5, 6, 7), np.nan), "holds NaN or infinity"),
        (torch.full((5, 6, 7), float("-inf")), "holds NaN or infinity"),
        (torch.zeros(5, 6, 7).to_sparse(), "is no plain tensor of numbers, but torch.sparse_coo"),
        (torch.zeros(5, 6, 7, device="meta"), "is no plain tensor of numbers.* on meta"),
        ([[[0.0]]], "is a list; expected an array, a tensor or the path"),
        (None, "is a NoneType; expected an array"),
    ],
)
def test_arrays_that_could_be_anything(array, message):
    with pytest.raises(ValueError, match=message):
        data.from_array(array)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], r"y has the shape \(2,\), for 3 images; expected \(3,\)"),
        (np.eye(3), r"y has the shape \(3, 3\), for 3 images; .*of one-hot labels y.argmax\(1\)"),
        ([0, 1, -1], "the labels y: number 2 is -1; expected a whole number from 0"),
        ([0, 1.5, 1], "the labels y: number 1 is 1.5; expected"),
        (torch.tensor([0, float("nan"), 1]), "the labels y: number 1 is nan; expected"),
        ([0, 2**40, 1], "the labels y: number 1 is 1099511627776; expected"),
        (["a", "b", "c"], "the labels y hold 'a'; expected"),
        ([None, 1, 2], "the labels y hold 'None'; expected"),
        ([[1], [1, 2], [3]], "the labels y are lists of several lengths"),
        (2, r"y has the shape \(1,\), for 3 images"),
    ],
)
def test_labels_that_are_none(y, message):
    with pytest.raises(ValueError, match=message):
        data.from_array(levels(3, 1, 8, 8), y)


@pytest.mark.parametrize(
    "y", [[2, 0, 1], torch.tensor([2.0, 0, 1]), np.uint8([2, 0, 1]), torch.tensor([2, 0, 1]).bfloat16()]
)
def test_labels_become_int64(y):
    found = data.from_array(levels(3, 1, 8, 8), y).y
    assert found.dtype == torch.int64 and found.tolist() == [2, 0, 1]


def test_files_of_arrays(tmp_path):
    u, y = levels(6, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    np.save(tmp_path / "x.npy", u)
    np.savez(tmp_path / "x.npz", x=u)
    np.savez_compressed(tmp_path / "xy.npz", x=u, y=y.numpy())
    torch.save(torch.from_numpy(u), tmp_path / "x.pt")
    torch.save((torch.from_numpy(u), y), tmp_path / "xy.pt")
    torch.save({"y": y, "x": torch.from_numpy(u)}, tmp_path / "dict.pt")
    for name in ("x.npy", "x.npz", "xy.npz", "x.pt", "xy.pt", "dict.pt"):
        x, found = data.from_array(tmp_path / name)
        assert torch.equal(x, unit(u)[:, None])
        assert torch.equal(found, torch.zeros(6, dtype=torch.int64) if name[1] == "." else y)
    assert torch.equal(data.from_array(str(tmp_path / "x.npy"), y).y, y)
    with pytest.raises(ValueError, match=r"y is given, and .*xy.pt' holds labels too"):
        data.from_array(tmp_path / "xy.pt", y)
    with pytest.raises(OSError, match=r"cannot read '.*none.npy': No such file"):
        data.from_array(tmp_path / "none.npy")


def test_an_array_is_left_as_it_was():
    x = torch.rand(4, 1, 8, 8) * 2 - 1
    before, made = x.clone(), data.from_array(x).x
    made.zero_()
    assert torch.equal(x, before)
    big = levels(4, 8, 8).astype(">f4") / np.float32(255) * 2 - 1  # of another byte order
    torch.testing.assert_close(
        data.from_array(big).x[:, 0], torch.from_numpy(big.astype("f4")), rtol=0, atol=1e-6
    )


def test_size_and_n_of_arrays():
    u = levels(700, 8, 10)  # more than are worked on at a time
    x = data.from_array(u, np.arange(700), size=4)
    torch.testing.assert_close(x.x, functional.avg_pool2d(unit(u)[:, None, :, 1:9], 2), rtol=0, atol=1e-6)
    few = data.from_array(u, np.arange(700), size=4, n=7)
    assert few.y.tolist() == [0, 100, 200, 300, 400, 500, 600] and torch.equal(few.x, x.x[::100])


# ----------------------------------------------------------------------------------------------- the hub


def published(tmp_path, where="data", split="train", **columns):
    """A set of the hub that our table does not hold."""
    file = tmp_path / "hub" / "someone" / "flowers" / where / f"{split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": content, "path": None} for content in columns["picture"]]
    features = {"picture": datasets.Image(), "kind": datasets.Value("int64")}
    datasets.Dataset.from_dict({**columns, "picture": images}, datasets.Features(features)).to_parquet(file)
    return file


@pytest.mark.parametrize("where", ["data", "default", ""])
def test_a_set_of_the_hub_that_the_table_lacks(tmp_path, where):
    images = [levels(9, 9, 3) for _ in range(5)]
    published(tmp_path, where, picture=[png(im) for im in images], kind=[0, 12, 1, 1, 300])
    x, y = data.from_hub("someone/flowers", image="picture", label="kind")
    torch.testing.assert_close(x, unit(np.stack(images).transpose(0, 3, 1, 2)), rtol=0, atol=1e-7)
    assert y.tolist() == [0, 12, 1, 1, 300] and y.dtype == torch.int64
    few = data.from_hub("someone/flowers", image="picture", size=3, channels=1, n=2)
    assert few.x.shape == (2, 1, 3, 3) and few.y.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"n is 6, but split 'train' of someone/flowers holds only 5 images"):
        data.from_hub("someone/flowers", image="picture", n=6)


def test_a_configuration_is_a_folder(tmp_path):
    published(tmp_path, "small", picture=[png(grey(1))], kind=[0])
    published(tmp_path, "large", picture=[png(grey(2))], kind=[0])
    assert data.from_hub("someone/flowers", config="large", image="picture").x[0, 0, 0, 0] == unit(2)


def test_a_set_of_the_hub_is_decoded_once_for_each_way(tmp_path, monkeypatch):
    published(tmp_path, picture=[png(levels(8, 8)) for _ in range(4)], kind=[3, 2, 1, 0])
    first = data.from_hub("someone/flowers", image="picture", label="kind", size=4)
    decoded = []
    real = hub.rows
    monkeypatch.setattr(hub, "rows", lambda *args: decoded.append(args) or real(*args))
    for n in (None, 2):
        again = data.from_hub("someone/flowers", image="picture", label="kind", size=4, n=n)
        assert torch.equal(again.x, first.x[:n]) and torch.equal(again.y, first.y[:n])
    assert not decoded
    data.from_hub("someone/flowers", image="picture", label="kind", size=2)
    data.from_hub("someone/flowers", image="picture", size=4)
    assert len(decoded) == 2


def test_the_hub_is_asked_when_the_folder_lacks_the_set(monkeypatch, tmp_path):
    file, calls, real = published(tmp_path, picture=[png(grey(1))], kind=[0]), [], datasets.load_dataset
    moved = tmp_path / "elsewhere.parquet"
    file.rename(moved)

    def load_dataset(path, config=None, *, split, **options):
        calls.append((path, config, split))
        return real("parquet", data_files={split: str(moved)}, split=split, **options)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for _ in range(2):
        assert len(data.from_hub("someone/flowers", image="picture", split="validation").x) == 1
    assert calls == [("someone/flowers", None, "validation")]


def test_errors_of_a_set_of_the_hub(tmp_path, monkeypatch):
    published(tmp_path, picture=[png(grey(1)), png(grey(1, 9, 9))], kind=[0, 1])
    with pytest.raises(ValueError, match=r"lacks the columns \['image'\]; it has \['picture', 'kind'\]"):
        data.from_hub("someone/flowers", image="image")
    with pytest.raises(ValueError, match=r"row 0 of .* \(1, 8, 8\) and row 1 of .* has \(1, 9, 9\).*size="):
        data.from_hub("someone/flowers", image="picture")
    expected = r"split 'test' of someone/flowers. Looked in .*flowers/data/test-00000-of-\*.parquet; \(2\)"
    with pytest.raises(ConnectionError, match=expected):
        data.from_hub("someone/flowers", image="picture", split="test")

    def answer(*args, **options):
        raise ValueError("Bad split: test. Available splits: ['train']")

    monkeypatch.setattr(datasets, "load_dataset", answer)
    with pytest.raises(
        ValueError, match=r"cannot load split 'test' of someone/flowers.*Available splits: \['train'\]"
    ):
        data.from_hub("someone/flowers", image="picture", split="test")


def test_without_network_nothing_is_tried_for_long(monkeypatch):
    """One knock at the hub's door decides; where there is a proxy the door is another's."""
    knocks, asked = [], []

    def nobody(address, timeout):
        knocks.append(address)
        raise OSError("Name or service not known")

    monkeypatch.setattr(stream.socket, "create_connection", nobody)
    monkeypatch.setattr(stream, "getproxies", dict)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append(args) or 1 / 0)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://huggingface.co")
    with pytest.raises(ConnectionError, match=r"the Hugging Face hub: OSError: Name or service not known"):
        data.load("mnist")
    assert knocks == [("huggingface.co", 443)] and not asked
    monkeypatch.setattr(stream, "getproxies", lambda: {"https": "http://proxy:3128"})
    with pytest.raises(ConnectionError, match=r"ZeroDivisionError"):
        data.load("mnist")
    assert len(knocks) == len(asked) == 1


# ------------------------------------------------------------------------------- by the name a command gets


def test_names_mean_the_same_from_everywhere(folder, tmp_path, monkeypatch):
    path = folder(a=grey(1))
    monkeypatch.chdir(tmp_path)
    assert own.resolve("images") == own.resolve("./images/") == own.resolve(str(path)) == str(path)
    assert own.is_own(own.resolve("images")) and own.is_own("someone/flowers") and not own.is_own("mnist")
    (tmp_path / "mnist").mkdir()
    assert own.resolve("mnist") == "mnist" and own.resolve("./mnist") == str(tmp_path / "mnist")
    assert own.resolve("someone/flowers") == "someone/flowers"
    for gone in ("gone.npy", "./gone", str(tmp_path / "gone"), "~/gone", "a/b/c"):
        with pytest.raises(FileNotFoundError, match=r"there is no file or folder '.*' \(looked from '"):
            own.resolve(gone)


def test_splits_of_a_folder(folder):
    path = folder(train__a__1=grey(1), train__b__1=grey(2), test__a__1=grey(3), test__b__1=grey(4))
    for split, values in (("train", [1, 2]), ("test", [3, 4])):
        x, y = own.load(str(path), split, size=8, channels=1)
        assert torch.equal(x[:, 0, 0, 0], unit(values)) and y.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"has no sub-folder 'valid'"):
        own.load(str(path), "valid", size=8, channels=1)
    (path / "test" / "b").rename(path / "test" / "c")
    with pytest.raises(
        ValueError, match=r"test' has other classes than .*train'.*'b', 'c' in one of them only"
    ):
        own.load(str(path), "test", size=8, channels=1)
    (path / "notes").mkdir()
    with pytest.raises(ValueError, match=r"sub-folders train and test, which are splits, and also 'notes'"):
        own.load(str(path), "train", size=8, channels=1)


def test_nothing_is_set_aside_in_silence(folder, tmp_path):
    np.save(tmp_path / "x.npy", levels(4, 8, 8))
    for path in (folder(a=grey(1)), tmp_path / "x.npy"):
        with pytest.raises(
            ValueError, match=r"has no split 'test': nothing of it is set aside.*--test FOLDER"
        ):
            own.load(str(path), "test", size=8, channels=1)


def test_fewer_images_than_there_are_is_said(folder, tmp_path):
    path = folder(**{f"a{i}": grey(i) for i in range(6)})
    np.save(tmp_path / "x.npy", np.stack([grey(i) for i in range(6)]))
    for data_ in (path, tmp_path / "x.npy"):
        with pytest.warns(UserWarning, match=r"3 of the 6 images of .* are used, spread evenly"):
            x, _ = own.load(str(data_), size=8, channels=1, n=3)
        assert torch.equal(x[:, 0, 0, 0], unit([0, 2, 4]))
        assert len(own.load(str(data_), size=8, channels=1, n=9).x) == 6  # without a warning


def test_a_folder_is_decoded_once(folder, monkeypatch):
    path, decoded = folder(a__x=levels(8, 8), b__x=levels(8, 8)), []
    monkeypatch.setattr(own, "from_folder", lambda *a, **o: decoded.append(a) or data.from_folder(*a, **o))
    first = own.load(str(path), size=4, channels=1)
    again = own.load(str(path), size=4, channels=1)
    assert (
        len(decoded) == 1 and torch.equal(again.x, first.x) and again.y.tolist() == first.y.tolist() == [0, 1]
    )
    own.load(str(path), size=2, channels=1)
    own.load(str(path), size=4, channels=3)
    assert len(decoded) == 3
    folder(b__y=levels(8, 8))
    assert len(own.load(str(path), size=4, channels=1).x) == 3
    before = (path / "a" / "x.png").stat()
    (path / "a" / "x.png").write_bytes((path / "b" / "x.png").read_bytes())
    os.utime(path / "a" / "x.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    x, _ = own.load(str(path), size=4, channels=1)
    assert torch.equal(x[0], x[1])


def test_columns_belong_to_the_hub(folder, tmp_path):
    with pytest.raises(
        ValueError, match=r"taken for an id on the Hugging Face hub. Then name the column.*--image-column"
    ):
        own.load("someone/flowers", size=8, channels=1)
    with pytest.raises(ValueError, match=r"the columns of images and labels are named for sets on the hub"):
        own.load(str(folder(a=grey(1))), size=8, channels=1, image="picture")
    published(tmp_path, "small", picture=[png(grey(2))], kind=[4])
    x, y = own.load("someone/flowers:small", size=8, channels=3, image="picture", label="kind")
    assert x.shape == (1, 3, 8, 8) and y.tolist() == [4]
    write(tmp_path / "hub", "mnist", n=2)
    assert own.load("ylecun/mnist:mnist", size=14, channels=1, image="image", label="label").x.shape == (
        2,
        1,
        14,
        14,
    )
