"""Recipes: which there are, and all about one."""

import inspect
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from torch import nn

from ebmlearn import runs
from ebmlearn.commands._gpu import measured, stored
from ebmlearn.commands._recipe import Named, named, of_run
from ebmlearn.recipes import RECIPES, Recipe
from ebmlearn.sample import Chain
from ebmlearn.schedules import describe_schedule
from ebmlearn.train.describe import describe


def list_recipes() -> None:
    """The recipes by method: data, size of the images, weights, and how much work they are."""
    width = max(map(len, RECIPES)) + 4
    print(f"{'':{width}}data      images       parameters  steps x batch     chain steps an update")
    recipes = {name: make() for name, make in RECIPES.items()}
    for _, group in groupby(recipes, key=lambda name: name.rpartition("-")[0]):
        names = list(group)
        print(f"\n{recipes[names[0]].summary.partition(' on ')[0]}")
        for source in dict.fromkeys(recipes[name].source for name in names):
            print(fill(source, 100, initial_indent="  ", subsequent_indent="  "))
        for name in names:
            print(f"  {name:{width - 2}}{_line(recipes[name])}")


def _line(recipe: Recipe) -> str:
    shape = " x ".join(map(str, recipe.shape()))
    n = sum(sum(p.numel() for p in net.parameters()) for _, net in _nets(recipe))
    work = f"{recipe.steps:,} x {recipe.batch_size}"
    chains = [value for value in recipe.settings().values() if isinstance(value, Chain)]
    steps = " + ".join(_chain_steps(chain) for chain in chains) or "none"
    return f"{recipe.data:10}{shape:13}{n:10,}  {work:18}{steps}"


def _chain_steps(chain: Chain) -> str:
    leaps = chain.settings.get("n_leapfrog")
    return f"{chain.n_steps}" if leaps is None else f"{chain.n_steps} x {leaps} leapfrog"


def _nets(recipe: Recipe) -> Iterator[tuple[str, nn.Module]]:
    """The nets of a method and its start, by name; they have shapes and no values."""
    build = recipe.sketch()
    given = inspect.signature(build.func).bind_partial(*build.args, **build.keywords).arguments
    return ((name, value) for name, value in given.items() if isinstance(value, nn.Module))


def show(name: str, *, smoke: bool = False, settings: dict[str, Any], recipe: str | None = None) -> None:
    """All there is to know about a recipe: sources, settings, nets, what the paper reports, and its code. In
    a checkout with a stored run of ``make gpu`` also what that found; an installed wheel has none.

    Args:
        name: Of the recipe; ``FILE.py:NAME``; or the folder of a run, of which it shows the recipe.
        smoke: The tiny size.
        settings: Settings to change.
        recipe: That of the run, where its file must be named.

    Raises:
        ValueError, FileNotFoundError: If there is no such recipe, or a setting is off.
    """
    if (Path(name) / "run.json").exists():
        about = runs.read(name)
        smoke = about["options"]["smoke"]
        found = Named(about["options"]["recipe"], of_run(Path(name), about, recipe), about.get("file"))
    else:
        found = named(name, smoke=smoke)
    before, changed = found.recipe.settings(), found.recipe.with_settings(settings)
    images = "all images" if changed.n is None else f"the first {changed.n:,} images"
    print(f"{found.label}: {changed.summary}\n")
    print(f"source    {changed.source}")
    print(f"data      {changed.data}, {images}, each {changed.shape()}")
    print(f"training  {changed.steps:,} steps, {changed.batch_size} images in a batch")
    if (labels := changed.labels) is not None:
        of = f" by {labels.attribute}" if labels.attribute else ""
        print(f"labels    {labels.per_class:,} of each class{of}, {labels.batch_size} in a batch")
    if changed.supervised:
        print("labels    the classes of all images")
    print(f"reported  {changed.expect or 'nothing that we know of'}{' (full size)' if smoke else ''}")
    if not smoke and (found_there := measured(stored(), found.label)) is not None:
        print(f"measured  {found_there.replace(chr(10), chr(10) + ' ' * 10)}")
    print("\nnets and what else training keeps")
    for key, net in _nets(changed):
        size = sum(p.numel() for p in net.parameters())
        print(f"  {key:24}{type(net).__name__}, {size:,} parameters")
    print("\nsettings, each for --set KEY=VALUE")
    values = {key: _text(key, value) for key, value in changed.settings().items()}
    usual = {key: _text(key, value) for key, value in before.items()}
    width = max(map(len, values)) + 1
    for key, value in values.items():
        was = f"   (not {usual[key]})" if key in usual and usual[key] != value else ""
        print(f"  {key:{width}} {value}{was}")
    print(f"\n{_code(found)}", end="")


def _text(key: str, value: Any) -> str:
    if callable(value) and key.startswith("lr") and "." not in key:
        return f"{describe(value)}, with the values {describe_schedule(value)}"
    return describe(value)


def _code(found: Named) -> str:
    if found.file is not None:
        return f"{found.file['path']}:\n\n{Path(found.file['path']).read_text(encoding='utf-8')}"
    module = inspect.getmodule(found.recipe.setup)
    assert module is not None
    return f"{module.__name__}:\n\n{inspect.getsource(module)}"
