"""Write the inventories by which the API reference links to the pages of
Python, numpy, torch and matplotlib. Then building the book needs no net:

    python book/_inv/write.py

An entry is: kind of object, page ($ stands for the name), names.
"""

import pathlib
import zlib

OBJECTS = {
    "python": [
        ("class", "library/functions.html#$", "bool float int object"),
        ("class", "library/stdtypes.html#$", "dict list str tuple"),
        ("class", "library/functools.html#$", "functools.partial"),
        ("class", "library/pathlib.html#$", "pathlib.Path"),
        ("class", "library/typing.html#$", "typing.Any typing.Literal"),
        (
            "class",
            "library/collections.abc.html#$",
            "collections.abc.Callable collections.abc.Collection"
            " collections.abc.Iterable"
            " collections.abc.Mapping collections.abc.Sequence",
        ),
        (
            "exception",
            "library/exceptions.html#$",
            "ConnectionError FileExistsError FileNotFoundError"
            " FloatingPointError ImportError KeyboardInterrupt"
            " NotADirectoryError OSError RuntimeError TypeError ValueError"
            " UserWarning",
        ),
    ],
    "numpy": [
        (
            "class",
            "reference/generated/numpy.ndarray.html#$",
            "numpy.ndarray",
        ),
    ],
    "torch": [
        ("class", "tensors.html#$", "torch.Tensor"),
        ("class", "tensor_attributes.html#$", "torch.device torch.dtype"),
        ("class", "optim.html#$", "torch.optim.swa_utils.AveragedModel"),
        (
            "class",
            "generated/torch.Generator.html#torch.Generator",
            "torch.Generator torch._C.Generator",
        ),
        (
            "class",
            "generated/torch.nn.Module.html#torch.nn.Module",
            "torch.nn.Module torch.nn.modules.module.Module",
        ),
        (
            "class",
            "generated/torch.nn.parameter.Parameter.html#$",
            "torch.nn.parameter.Parameter",
        ),
        (
            "class",
            "optim.html#torch.optim.Optimizer",
            "torch.optim.Optimizer torch.optim.optimizer.Optimizer",
        ),
        (
            "class",
            "data.html#torch.utils.data.Dataset",
            "torch.utils.data.Dataset torch.utils.data.dataset.Dataset",
        ),
        (
            "class",
            "data.html#torch.utils.data.DataLoader",
            "torch.utils.data.DataLoader"
            " torch.utils.data.dataloader.DataLoader",
        ),
    ],
    "matplotlib": [
        (
            "class",
            "api/_as_gen/matplotlib.axes.Axes.html#matplotlib.axes.Axes",
            "matplotlib.axes.Axes matplotlib.axes._axes.Axes",
        ),
    ],
}


def inventory(project: str) -> bytes:
    lines = [
        f"{name} py:{kind} 1 {page} -\n"
        for kind, page, names in OBJECTS[project]
        for name in names.split()
    ]
    head = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version:\n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


if __name__ == "__main__":
    for project in OBJECTS:
        path = pathlib.Path(__file__).with_name(f"{project}.inv")
        path.write_bytes(inventory(project))
