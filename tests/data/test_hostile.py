"""Malicious and damaged files: none runs code, keeps us waiting or loads as data; each gets a sentence.

Broken on purpose and seen to fail: all of Pillow's formats; no look at the header before decoding; a PNG
whose checksums, or whose number of rows, nobody compares; pickles allowed in .npy and .pt; the header of .npy
taken at its word; packed files without a limit, a checksum or a count of entries; pipes opened like files;
links followed out of the folder; labels cast to uint8; names of files in a table opened.
"""

import io
import os
import pickle
import signal
import struct
import subprocess
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from tiny_hub import cut_off, png, write

from ebmlearn import data
from ebmlearn.data import array_files, decode

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


class Payload:
    """Unpickled, it makes the file of the environment variable CANARY."""

    def __reduce__(self):
        return eval, ("open(__import__('os').environ['CANARY'], 'w').close()",)


@pytest.fixture
def canary(monkeypatch, tmp_path):
    """A file that code of a payload makes; a program that is started counts as that too."""
    path = tmp_path / "canary"
    monkeypatch.setenv("CANARY", str(path))
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: path.touch())
    monkeypatch.setattr(os, "system", lambda command: path.touch())
    return path


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No network, no cache of others; what keeps waiting is ended."""
    cut_off(monkeypatch, tmp_path)

    def late(*_):
        raise AssertionError("it keeps waiting")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# ----------------------------------------------------------------------------------------- what is in files

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
PNG = png(GREY)
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(canary) (w) file closefile\nshowpage\n"
)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>fetch('http://example.org')</script></svg>"


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8))), "JPEG")


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def made(width, height, depth=8, colour=0, rows=b"\0" * 9, before=b"", interlaced=0):
    """A PNG with a header of one's own."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + before + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flipped(content, at):
    out = bytearray(content)
    out[at] ^= 4
    return bytes(out)


def animated():
    frames = [Image.fromarray(GREY + i) for i in (0, 1)]
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])


def packed(**entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npy(x, **options):
    buffer = io.BytesIO()
    np.save(buffer, x, **options)
    return buffer.getvalue()


def header(shape, descr="|u1"):
    """The head of a .npy file, with nothing behind it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def pt(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


IMAGES = np.zeros((4, 8, 8), np.uint8)
PICKLED = npy(np.array([Payload()], dtype=object), allow_pickle=True)

# Content of a file called image.png in a folder of images.
IN_A_FOLDER = {
    "EPS": (EPS, OSError, "cannot read .*image.png'.*is no PNG or JPEG image"),
    "PostScript": (EPS.replace(b" EPSF-3.0", b""), OSError, "is no PNG or JPEG image"),
    "SVG": (SVG, OSError, "is no PNG or JPEG image"),
    "GIF": (encoded(Image.fromarray(GREY), "GIF"), OSError, "is no PNG or JPEG image"),
    "TIFF": (encoded(Image.fromarray(GREY), "TIFF"), OSError, "is no PNG or JPEG image"),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(24), OSError, "is no PNG or JPEG image"),
    "PDF": (b"%PDF-1.7\n1 0 obj <</OpenAction<</S/JavaScript>>>>", OSError, "is no PNG or JPEG image"),
    "HTML": (b"<html><script>alert(1)</script></html>", OSError, "is no PNG or JPEG image"),
    "pickle": (pickle.dumps(Payload()), OSError, "is no PNG or JPEG image"),
    "empty": (b"", OSError, "is no PNG or JPEG image"),
    "zip": (packed(a=PNG), OSError, "is no PNG or JPEG image"),
    "PNG, header of 60,000 x 60,000": (made(60_000, 60_000), ValueError, "too large: .*3600000000 pixels"),
    "PNG, header of 2^31 x 2^31": (made(2**31 - 1, 2**31 - 1), ValueError, "is too large: "),
    "PNG, 10,000 x 10,000": (made(10_000, 10_000), ValueError, "10000 x 10000 pixels; .* at most 80,000,000"),
    "PNG of no pixels": (made(0, 0), OSError, "damaged or cut off"),
    "PNG, rows missing": (made(8, 8), OSError, "damaged or cut off"),
    "PNG, cut off": (PNG[:-20], OSError, "damaged or cut off"),
    "PNG, cut off in its header": (PNG[:20], OSError, "damaged or cut off"),
    "PNG, only its signature": (PNG[:8], OSError, "damaged or cut off"),
    "PNG, a bit of its pixels flipped": (flipped(PNG, 60), OSError, "damaged or cut off"),
    "PNG, a bit of its width flipped": (flipped(PNG, 19), OSError, "damaged or cut off"),
    "PNG, 16 bits of grey": (
        encoded(Image.fromarray(GREY.astype(np.uint16)), "PNG"),
        ValueError,
        "I;16|16 bits",
    ),
    "PNG, 16 bits of colour": (made(8, 8, 16, 2, (b"\0" * 49) * 8), ValueError, "has 16 bits a channel"),
    "PNG, header not first": (
        made(8, 8, 16, 2, (b"\0" * 49) * 8, before=chunk(b"tEXt", b"a\0" + b"\x08" * 30)),
        (OSError, ValueError),
        "header is not where it should be|16 bits",
    ),
    "PNG, animated": (animated(), ValueError, "an animation of 2 pictures"),
    "PNG, a text that unpacks to 100 MB": (
        made(8, 8, rows=b"\0" * 72, before=b"")[:33]
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))
        + made(8, 8, rows=b"\0" * 72)[33:],
        OSError,
        "damaged",
    ),
    "PNG, transparent": (
        encoded(Image.fromarray(np.full((8, 8, 4), 100, np.uint8)), "PNG"),
        ValueError,
        "transparent in places: .*`background=`",
    ),
    "JPEG, cut off": (JPEG[: len(JPEG) // 2], OSError, "damaged or cut off"),
    "JPEG, only its signature": (JPEG[:3], OSError, "damaged or cut off"),
    "JPEG in CMYK": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), ValueError, "has the mode 'CMYK'"),
}

# Name and content of a file of arrays.
OF_ARRAYS = {
    "npy, pickled objects": ("x.npy", PICKLED, ValueError, "holds pickled objects, which could run code"),
    "npy that is a pickle": ("x.npy", pickle.dumps(Payload()), OSError, "not written by numpy.save"),
    "npy, code in its header": (
        "x.npy",
        header((1,)).replace(b"'|u1'", b"exit()"),
        OSError,
        "not written by numpy.save",
    ),
    "npy, a terabyte by its header": ("x.npy", header((10**6, 1000, 1000)), OSError, "0 bytes of data where"),
    "npy, a negative shape": ("x.npy", header((-4, 8, 8)), OSError, "0 bytes of data where"),
    "npy, cut off": ("x.npy", npy(IMAGES)[:-1], OSError, "255 bytes of data where the shape .* has 256"),
    "npy, cut off in its header": ("x.npy", npy(IMAGES)[:20], OSError, "it is damaged"),
    "npy, more than its header says": ("x.npy", npy(IMAGES) + b"\0", OSError, "257 bytes of data"),
    "npy, empty": ("x.npy", b"", OSError, "it is damaged"),
    "npy, text": ("x.npy", npy(np.array(["a", "b"])), ValueError, "holds values of the dtype <U1"),
    "npy, records": (
        "x.npy",
        npy(np.zeros(3, [("a", "u1"), ("b", "f4")])),
        ValueError,
        "holds values of the dtype",
    ),
    "npy, complex": (
        "x.npy",
        npy(np.zeros((4, 8, 8), complex)),
        ValueError,
        "holds values of the dtype complex",
    ),
    "npy, NaN": ("x.npy", npy(np.full((4, 8, 8), np.nan)), ValueError, "holds NaN or infinity"),
    "npy, infinity": ("x.npy", npy(np.full((4, 8, 8), -np.inf)), ValueError, "holds NaN or infinity"),
    "npz, pickled objects": ("x.npz", packed(**{"x.npy": PICKLED}), ValueError, "holds pickled objects"),
    "npz, names that lead elsewhere": (
        "x.npz",
        packed(**{"../../canary": b"1", "x.npy": npy(IMAGES)}),
        ValueError,
        r"holds '../../canary', 'x'; expected the images x",
    ),
    "npz, pickle as labels": (
        "x.npz",
        packed(**{"x.npy": npy(IMAGES), "y.npy": PICKLED}),
        ValueError,
        r"\['y'\] holds pickled objects",
    ),
    "npz, a header of a terabyte": (
        "x.npz",
        packed(**{"x.npy": header((10**6, 1000, 1000)) + bytes(100)}),
        OSError,
        "100 bytes of data where",
    ),
    "npz that unpacks to more than is read": (
        "x.npz",
        packed(**{"x.npy": header((2**24,)) + bytes(2**24)}),
        ValueError,
        "unpacks to 16,777,344 bytes; expected at most 1,048,576",
    ),
    "npz that is no zip": ("x.npz", npy(IMAGES), OSError, "not written by numpy.savez"),
    "npz, damaged": (
        "x.npz",
        flipped(
            packed(**{"x.npy": npy(np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8))}), 300
        ),
        OSError,
        "it is damaged",
    ),
    "npz, labels out of range": (
        "x.npz",
        packed(**{"x.npy": npy(IMAGES), "y.npy": npy(np.array([0, 1, -1, 2]))}),
        ValueError,
        "the labels y: number 2 is -1; expected a whole number",
    ),
    "pt, pickled objects": ("x.pt", pt({"x": Payload()}), ValueError, "could run code and is not loaded"),
    "pt, a whole module": ("x.pt", pt(torch.nn.Linear(2, 2)), ValueError, "could run code and is not loaded"),
    "pt that is a pickle": ("x.pt", pickle.dumps(Payload()), OSError, "not written by torch.save"),
    "pt that is an old torch.save": (
        "x.pt",
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        OSError,
        "not written by",
    ),
    "pt, pickle in a zip": (
        "x.pt",
        packed(**{"x/data.pkl": pickle.dumps(Payload())}),
        ValueError,
        "could run code",
    ),
    "pt, cut off": ("x.pt", pt(torch.zeros(4, 8, 8))[:-50], OSError, "not written by torch.save"),
    "pt, weights of a net": (
        "x.pt",
        pt(torch.nn.Linear(2, 2).state_dict()),
        ValueError,
        "a dictionary of .'weight'",
    ),
    "pt, a tensor of a terabyte that has one number": (
        "x.pt",
        pt(torch.zeros(1).expand(10**6, 1000, 1000)),
        ValueError,
        "says more than it holds",
    ),
    "a file of another kind": (
        "x.pkl",
        pickle.dumps(Payload()),
        ValueError,
        "ends in '.pkl'; expected a file .npy",
    ),
}


@pytest.mark.parametrize("case", IN_A_FOLDER)
def test_a_hostile_image(tmp_path, canary, case):
    content, error, message = IN_A_FOLDER[case]
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    (folder / "image.png").write_bytes(content)
    for size in (None, 4):
        with pytest.raises(error, match=message) as refused:
            data.from_folder(folder, size=size)
        assert "image.png'" in str(refused.value)
    assert not canary.exists()


@pytest.mark.parametrize("case", OF_ARRAYS)
def test_a_hostile_array(tmp_path, canary, monkeypatch, case):
    name, content, error, message = OF_ARRAYS[case]
    if "more than is read" in case:
        monkeypatch.setattr(array_files, "MAX_UNPACKED", 2**20)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        data.from_array(tmp_path / name)
    assert not canary.exists()


def test_what_the_payloads_would_do(canary, tmp_path):
    """The cases above are dangerous: loaded carelessly they make the canary, or start another decoder."""
    pickle.loads(pickle.dumps(Payload()))
    assert canary.exists()
    canary.unlink()
    np.load(io.BytesIO(PICKLED), allow_pickle=True)
    assert canary.exists()
    canary.unlink()
    torch.load(io.BytesIO(OF_ARRAYS["pt, pickled objects"][1]), weights_only=False)
    assert canary.exists()
    assert Image.open(io.BytesIO(EPS)).format == "EPS"  # which Pillow gives to Ghostscript
    image = Image.open(io.BytesIO(IN_A_FOLDER["PNG, 16 bits of colour"][0]))
    assert image.mode == "RGB"  # the low bits are gone without a word
    Image.open(io.BytesIO(IN_A_FOLDER["PNG, rows missing"][0])).load()  # black without a word


def test_size_and_mode_are_seen_before_a_pixel_is_decoded(tmp_path, monkeypatch):
    def forbidden(self):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", forbidden)
    for case in ("PNG, 10,000 x 10,000", "PNG, 16 bits of colour", "PNG, header of 60,000 x 60,000"):
        content, error, message = IN_A_FOLDER[case]
        with pytest.raises(error, match=message):
            decode.open_image(content, "x")
    with pytest.raises(ValueError, match=r"x is of \(mode, height, width\) \('L', 10000, 10000\); expected"):
        decode.open_image(IN_A_FOLDER["PNG, 10,000 x 10,000"][0], "x", ("L", 28, 28))
    with pytest.raises(OSError, match=r"pixels were decoded"):
        decode.open_image(PNG, "x")


def test_no_flipped_bit_of_a_png_changes_a_pixel():
    """300 of them: refused, or where they change nothing, loaded as they were."""
    rng, refused = np.random.default_rng(0), 0
    content = png(rng.integers(0, 256, (28, 28), dtype=np.uint8) // 8 * 8)
    right = np.asarray(decode.open_image(content, "x"))
    for at in rng.integers(0, 8 * len(content), 300):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << (at % 8)
        try:
            found = np.asarray(decode.open_image(bytes(damaged), "x"))
        except (OSError, ValueError):
            refused += 1
        else:
            assert np.array_equal(found, right)
    assert refused > 250


@pytest.mark.parametrize("kind", [".npz", ".pt"])
def test_no_flipped_bit_of_a_packed_array_changes_a_number(tmp_path, kind):
    """300 of each: their checksums are compared. (A .npy has none.)"""
    rng, refused = np.random.default_rng(0), 0
    x, y = rng.integers(0, 256, (8, 6, 6), np.uint8), np.arange(8)
    file = tmp_path / f"x{kind}"
    if kind == ".npz":
        np.savez(file, x=x, y=y)
    else:
        torch.save({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, file)
    content, right = file.read_bytes(), data.from_array(file)
    for at in rng.integers(0, 8 * len(content), 300):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << (at % 8)
        file.write_bytes(damaged)
        try:
            found = data.from_array(file)
        except (OSError, ValueError):
            refused += 1
        else:
            assert torch.equal(found.x, right.x) and torch.equal(found.y, right.y)
    assert refused > 100


# ---------------------------------------------------------------------------------------- names and places


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    return folder


def test_a_pipe_keeps_nobody_waiting(images, tmp_path):
    for name in (images / "pipe.png", tmp_path / "x.npy"):
        os.mkfifo(name)
    with pytest.raises(OSError, match=r"cannot read .*pipe.png': it is no regular file"):
        data.from_folder(images)
    with pytest.raises(OSError, match=r"cannot read .*x.npy': it is no regular file"):
        data.from_array(tmp_path / "x.npy")


def test_a_device_is_not_read(images, tmp_path):
    (tmp_path / "x.npy").symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r"x.npy': it is no regular file"):
        data.from_array(tmp_path / "x.npy")
    (images / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"zero.png' is a link that leads out of"):
        data.from_folder(images)


@pytest.mark.parametrize("target", ["../secret.png", "../secret", "../nothing"])
def test_a_link_that_leads_out_is_not_followed(images, tmp_path, target):
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "b.png").write_bytes(PNG)
    (images / "b.png").symlink_to(target)
    if target == "../secret":
        (images / "a.png").unlink()
    with pytest.raises(ValueError, match=r"b.png' is a link that leads out of .*: copy the file"):
        data.from_folder(images)


def test_a_link_inside_and_a_link_to_the_folder_are_fine(images, tmp_path):
    (images / "b.png").symlink_to("a.png")
    (tmp_path / "link").symlink_to(images)
    x, _ = data.from_folder(tmp_path / "link")
    assert torch.equal(x[0], x[1])


def test_a_link_in_a_circle_or_to_nothing_is_named(images):
    (images / "loop.png").symlink_to("loop.png")
    with pytest.raises((OSError, ValueError), match=r"loop.png"):
        data.from_folder(images)
    (images / "loop.png").unlink()
    (images / "none.png").symlink_to("gone.png")
    with pytest.raises(OSError, match=r"cannot read .*none.png': No such file"):
        data.from_folder(images)


def test_a_folder_named_like_an_image(images):
    (images / "x.png").mkdir()
    with pytest.raises(ValueError, match=r"holds files \('a.png'\) beside sub-folders \('x.png'\)"):
        data.from_folder(images)
    (images / "a.png").unlink()
    with pytest.raises(ValueError, match=r"the class folder .*x.png' holds no image: fill or remove it"):
        data.from_folder(images)


@pytest.mark.parametrize(
    "name",
    ["two\nlines.png", "..hidden..png.txt", "\x1b[31mred.png", "$(touch canary).png", "-rf.png", "%n.png"],
)
def test_odd_names_are_only_names(images, canary, name):
    (images / name.lstrip(".")).write_bytes(PNG)
    assert len(data.from_folder(images).x) == 2
    (images / name.lstrip(".")).write_bytes(b"no image")
    with pytest.raises(OSError, match=r"is no PNG or JPEG") as refused:
        data.from_folder(images)
    assert "\n" not in str(refused.value) and "\x1b" not in str(refused.value)
    assert not canary.exists()


def test_a_name_that_is_no_text(images):
    os.link(images / "a.png", os.fsencode(images) + b"/b\xff.png")
    assert len(data.from_folder(images).x) == 2
    with open(os.fsencode(images) + b"/c\xff.png", "wb"):
        pass
    with pytest.raises(OSError, match=r"c\\udcff.png'.*is no PNG or JPEG") as refused:
        data.from_folder(images)
    str(refused.value).encode()  # can be printed


def test_what_may_not_be_read_is_named(images, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", IMAGES)

    def refuse(path, *args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match=r"cannot read .*a.png': Permission denied"):
        data.from_folder(images)
    with pytest.raises(OSError, match=r"cannot read .*x.npy': Permission denied"):
        data.from_array(tmp_path / "x.npy")
    monkeypatch.undo()
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError, match=r"cannot read the folder .*images': Permission denied"):
        data.from_folder(images)


def test_a_file_of_a_terabyte_is_not_read(images):
    with open(images / "big.png", "wb") as file:
        file.write(PNG)
        file.truncate(2**40)
    with pytest.raises(OSError, match=r"big.png': 1,099,511,627,776 bytes; expected at most 268,435,456"):
        data.from_folder(images)


# ------------------------------------------------------------------------------------------------- parquet


def table(folder, **columns):
    """MNIST's training split with these columns."""
    file = folder / "ylecun/mnist/mnist/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), file)


def stored(*contents):
    return [{"bytes": content, "path": None} for content in contents]


DIGIT = png(np.zeros((28, 28), np.uint8))
ROWS = r"the labels in column 'label' of .*train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 300], ROWS + ": number 1 is 300; expected a whole number from 0 to 9"),
        ([3, 10], ROWS + ": number 1 is 10; expected"),
        ([-1, 3], ROWS + ": number 0 is -1; expected"),
        ([1.0, 1.7], ROWS + ": number 1 is 1.7; expected"),
        ([1.0, float("nan")], ROWS + ": number 1 is nan; expected"),
        ([1.0, float("inf")], ROWS + ": number 1 is inf; expected"),
        ([1, None], ROWS + " hold 'None'; expected a whole number from 0 to 9"),
        (["cat", "dog"], ROWS + " hold 'cat'; expected"),
        ([[1], [1, 2]], ROWS + " are lists of several lengths"),
        ([b"\x80\x04.", b"\x80\x04."], ROWS + " hold .*expected"),
    ],
)
def test_labels_of_a_table_that_are_none(tmp_path, labels, message):
    table(tmp_path / "hub", image=stored(DIGIT, DIGIT), label=labels)
    with pytest.raises(ValueError, match=message):
        data.load("mnist")


def test_whole_labels_pass_whatever_their_type(tmp_path):
    table(tmp_path / "hub", image=stored(DIGIT, DIGIT), label=[9.0, 0.0])
    assert data.load("mnist").y.tolist() == [9, 0]


def test_attributes_are_0_or_1(tmp_path):
    _, _, file = write(tmp_path / "hub", "celeba", n=2)
    held = parquet.read_table(file)
    at = held.column_names.index("Smiling")
    parquet.write_table(held.set_column(at, "Smiling", pyarrow.array([1, 2])), file)
    with pytest.raises(
        ValueError, match=r"column 'Smiling' of .*: number 1 is 2; expected a whole number from 0 to 1"
    ):
        data.load("celeba")


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (stored(EPS), OSError, "cannot read row 0 of .*parquet: it is no PNG or JPEG"),
        (stored(DIGIT, SVG), OSError, "cannot read row 1 of .*parquet: it is no PNG or JPEG"),
        (stored(pickle.dumps(Payload())), OSError, "it is no PNG or JPEG"),
        (
            stored(made(9_400, 9_400)),
            ValueError,
            r"row 0 of .* \('L', 9400, 9400\); expected \('L', 28, 28\)",
        ),
        (stored(made(10**9, 10**9)), ValueError, "row 0 of .* is too large"),
        (stored(DIGIT[:-10]), OSError, "row 0 of .*damaged or cut off"),
        (stored(None), ValueError, "row 0 of .* holds no image in column 'image'"),
        ([None], ValueError, "row 0 of .* holds no image in column 'image'"),
        ([{"bytes": None, "path": "SECRET"}], ValueError, "at most the name of a file, which is not opened"),
        ([7], OSError, "cannot read .*parquet"),
        (["SECRET"], ValueError, "at most the name of a file, which is not opened"),
    ],
)
def test_images_of_a_table_that_are_none(tmp_path, canary, image, error, message):
    secret = tmp_path / "secret.png"
    secret.write_bytes(DIGIT)
    if "SECRET" in str(image):
        image = [str(secret) if isinstance(image[0], str) else {"bytes": None, "path": str(secret)}]
    table(tmp_path / "hub", image=image, label=[1] * len(image))
    for load in (
        data.load,
        lambda _: data.from_hub("ylecun/mnist", config="mnist", image="image", label="label"),
    ):
        if load is data.load or "9400" not in message:
            with pytest.raises(error, match=message):
                load("mnist")
    assert not canary.exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "name",
    [
        "train-x-of-y",
        "train-00000-of-99999999999",
        "train-00000-of-99999",
        "train-1-of-1",
        "train-٠٠٠٠٠-of-00001",
    ],
)
def test_files_of_a_split_that_are_numbered_oddly(tmp_path, name):
    _, _, file = write(tmp_path / "hub", "mnist", n=1)
    file.rename(file.with_name(f"{name}.parquet"))
    with pytest.raises(
        FileNotFoundError, match=r"missing or not of this set: .*Copy the complete split"
    ) as refused:
        data.load("mnist")
    assert len(str(refused.value)) < 700


def test_a_split_that_is_a_folder_or_a_pipe(tmp_path):
    file = tmp_path / "hub/ylecun/mnist/mnist/train-00000-of-00001.parquet"
    file.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"not of this set: train-00000-of-00001.parquet"):
        data.load("mnist")
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(FileNotFoundError, match=r"not of this set: train-00000-of-00001.parquet"):
        data.load("mnist")


@pytest.mark.parametrize("repo", ["../secret", "a/..", "/etc/passwd", "a/b/c", "a", "a/b\n", "", "a b/c", 7])
def test_an_id_is_no_path(repo):
    with pytest.raises(
        ValueError, match=r"repo is .*; expected the id of a set on the hub, such as 'owner/name'"
    ):
        data.from_hub(repo, image="image")


@pytest.mark.parametrize("name", ["../..", "a/b", "", "train[:10]", "*"])
def test_splits_and_configurations_are_no_paths(name):
    with pytest.raises(ValueError, match=r"split is .*; expected a name of letters"):
        data.from_hub("a/b", image="image", split=name)
    with pytest.raises(ValueError, match=r"config is .*; expected a name of letters"):
        data.from_hub("a/b", image="image", config=name)


def test_there_are_enough_of_them():
    assert len(IN_A_FOLDER) + len(OF_ARRAYS) >= 30
