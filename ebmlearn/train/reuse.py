"""The nets of a run, ready to use without the method that trained them."""

from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from ebmlearn import architecture, random
from ebmlearn.train import checkpoint
from ebmlearn.train.folder import Folder

NetT = TypeVar("NetT", bound=nn.Module)


@overload
def load_energy(
    run: str | Path,
    *,
    into: NetT,
    best: bool = False,
    average: bool = True,
    device: torch.device | str = "cpu",
) -> NetT: ...
@overload
def load_energy(
    run: str | Path,
    *,
    into: None = None,
    best: bool = False,
    average: bool = True,
    device: torch.device | str = "cpu",
) -> nn.Module: ...
def load_energy(
    run: str | Path,
    *,
    into: nn.Module | None = None,
    best: bool = False,
    average: bool = True,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """The energy of a run, ready to sample or evaluate: ``load_net(run, "energy")``.

    Args:
        run: As in `load_net`, as are the others.
        into: See `load_net`.
        best: See `load_net`.
        average: See `load_net`.
        device: See `load_net`.

    Raises:
        FileNotFoundError, ValueError: As `load_net`.

    Example:
        >>> import tempfile
        >>> from ebmlearn import nets, methods, objectives
        >>> from ebmlearn.train import fit
        >>> out = tempfile.mkdtemp()
        >>> method = methods.ScoreMatching(nets.MLPEnergy(2), ema=0.9)
        >>> history = fit(method, torch.randn(200, 2), steps=5, out=out)
        >>> energy = load_energy(out)
        >>> energy(torch.zeros(3, 2)).shape
        torch.Size([3])
    """
    return load_net(run, "energy", into=into, best=best, average=average, device=device)


def load_net(
    run: str | Path,
    name: str,
    *,
    into: nn.Module | None = None,
    best: bool = False,
    average: bool = True,
    device: torch.device | str = "cpu",
) -> Any:
    """A net of a run, in evaluation mode and without gradients, but for those by its input.

    Nets of this package are built from what the checkpoint says of them. No code is run from the file, so
    that a run may come from anyone.

    Args:
        run: The folder that was given to `fit` or to the command line.
        name: The method's name of the net: ``"energy"``, ``"generator"``, ``"flow"``, ``"prior"``,
            ``"posterior"``, ...
        into: A net to be filled, and returned, for one that a checkpoint cannot describe: your own class, or
            an activation that is a lambda. None: it is built.
        best: Take the checkpoint of the lowest criterion instead of the newest.
        average: Take the moving average of the weights where the run keeps one; False: the last weights.
        device: Where the net goes; ``into`` stays where it is.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If it is damaged, holds no such net or does not describe it, or ``into`` is another net.
    """
    state, path = saved(run, best=best, device=device)
    return net_of(state, path, name, into=into, average=average, device=device)


def net_of(
    state: dict[str, Any],
    path: Path,
    name: str,
    *,
    into: nn.Module | None = None,
    average: bool = True,
    device: torch.device | str = "cpu",
) -> Any:
    """As `load_net`, of a checkpoint that was read.

    Args:
        state: The checkpoint.
        path: Its file, for messages.
        name: As in `load_net`, as are the others.
        into: See `load_net`.
        average: See `load_net`.
        device: See `load_net`.

    Raises:
        ValueError: As `load_net`.
    """
    weights, about = _weights(state, path, name, average), _about(state, path, name)
    if into is None:
        net = _built(about, path, name, sum(weight.numel() for weight in weights.values()))
    else:
        net = _checked(into, weights, about, path, name)
    try:  # a built net gets the dtypes of the file by its tensors themselves
        net.load_state_dict(weights, assign=into is None)
    except RuntimeError as error:
        raise ValueError(f"{name} of {path} has other weights than the net to fill: {error}") from error
    return (net if into is not None else net.to(device)).eval().requires_grad_(False)


def saved(run: str | Path, *, best: bool, device: torch.device | str) -> tuple[dict[str, Any], Path]:
    """The newest or the best checkpoint of a run, and its file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    folder = Folder(run)
    if best and not folder.best.exists():
        raise FileNotFoundError(f"there is no {folder.best}; fit writes it if it is given a criterion")
    state = checkpoint.load(folder.best, device) if best else folder.newest(device)
    if state is None:
        raise FileNotFoundError(f"there is no checkpoint in {run}; is it the folder that was given to fit?")
    return state, folder.best if best else folder.path(state["step"])


def _weights(state: dict[str, Any], path: Path, name: str, average: bool) -> dict[str, Tensor]:
    every = {key: value for key, value in state["method"].items() if isinstance(value, Tensor)}
    nets = sorted({key.partition(".")[0] for key in every if "." in key} - {"averages"})
    if name not in nets:
        held = ", ".join(f'load_net(run, "{net}")' for net in nets)
        raise ValueError(f"{path} holds no net {name!r}; there are {held}")
    prefixes = [f"averages.{name}.module."] if average else []
    prefix = next((p for p in prefixes if any(key.startswith(p) for key in every)), f"{name}.")
    return {key.removeprefix(prefix): value for key, value in every.items() if key.startswith(prefix)}


def _about(state: dict[str, Any], path: Path, name: str) -> dict[str, Any]:
    """What the checkpoint says of a net; empty where it says nothing, as older ones do."""
    about = state.get("architectures", {}).get(name, {})
    if about and not (isinstance(about, dict) and isinstance(about.get("repr"), str)):
        raise ValueError(f"{path} says of its {name} only {str(about)[:80]!r}, which is not from fit")
    return about


def _built(about: dict[str, Any], path: Path, name: str, n_elements: int) -> nn.Module:
    call = "load_energy(run, into=MyEnergy())" if name == "energy" else f'load_net(run, "{name}", into=...)'
    remedy = f"Make the net as the run did and have it filled: {call}"
    if "net" not in about:
        reason = about.get("reason", "the checkpoint does not describe it, being of an earlier version")
        raise ValueError(f"the {name} of {path} cannot be built: {reason}. {remedy}")
    with random.kept():
        try:
            net = architecture.build(about["net"], n_elements=n_elements)
        except ValueError as error:
            raise ValueError(f"the {name} of {path} was not built: {error}. {remedy}") from error
    if repr(net) != about["repr"]:
        raise ValueError(
            f"the {name} of {path} is not what its arguments make, so it was changed after that, or the "
            f"package was: there it is\n{about['repr']}\nhere\n{net!r}\n{remedy}"
        )
    return net


def _checked(
    into: nn.Module, weights: dict[str, Tensor], about: dict[str, Any], path: Path, name: str
) -> nn.Module:
    """A net to fill, which is what the run had, as far as can be told."""
    if about and repr(into) != about["repr"]:
        raise ValueError(f"into is\n{into!r}\nbut the {name} of {path} is\n{about['repr']}")
    for key, value in into.state_dict().items():
        if key in weights and value.dtype != weights[key].dtype:
            raise ValueError(
                f"{key} of into is {value.dtype}, in {path} it is {weights[key].dtype}: bring into "
                "to that dtype first, with .double() or .float()"
            )
    return into
