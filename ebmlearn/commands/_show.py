"""Recipes: which there are, and all about one."""

import inspect

from ebmlearn.recipes import RECIPES, find


def list_recipes() -> None:
    """A line for each recipe: name and summary."""
    width = max(map(len, RECIPES))
    for name, make in RECIPES.items():
        print(f"{name:{width}}  {make().summary}")


def show(name: str, *, smoke: bool = False) -> None:
    """All there is to know about a recipe: sources, settings, nets, what the paper reports, and its code."""
    recipe, make = find(name, smoke=smoke), RECIPES[name]
    method = recipe.method(recipe.shape())
    images = "all images" if recipe.n is None else f"the first {recipe.n:,} images"
    nets = dict(method.named_children())
    print(f"{name}: {recipe.summary}\n")
    print(f"source    {recipe.source}")
    print(f"data      {recipe.data}, {images}, each {recipe.shape()}")
    print(f"training  {recipe.steps:,} steps, {recipe.batch_size} images in a batch")
    print(f"reported  {recipe.expect or 'nothing that we know of'}{' (full size)' if smoke else ''}")
    print("\nnets and what else training keeps")
    for key, net in nets.items():
        size = sum(p.numel() for p in net.parameters())
        print(f"  {key:24}{type(net).__name__}, {size:,} parameters")
    print("\nsettings")
    for key, value in method.settings().items():
        if key not in nets:
            print(f"  {key:24}{value}")
    module = inspect.getmodule(getattr(make, "func", make))
    assert module is not None
    print(f"\n{module.__name__}:\n\n{inspect.getsource(module)}", end="")
