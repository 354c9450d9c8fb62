"""Everything that needs a GPU, in one command that goes on where it was: ``make gpu``.

    python tests/benchmarks/gpu.py [--minutes 28] [--out book/gpu.json] [PART ...]

Each part is a process of its own, of less than nine minutes, and its result is stored at once. What is stored
is not done again, unless code, card or versions are others, or a part has failed. No part begins that would
not end within ``--minutes``, so the command may be given several times. ``--device cpu --tiny`` rehearses it.

The file has ``date``, ``card``, ``driver``, ``versions``, ``code`` (a checksum of the package) and ``parts``:
for each its ``status`` (``done``, ``failed``, ``skipped``), ``seconds``, and its ``rows`` or its ``error``.

``tests``
    The tests marked ``gpu``: how many passed, failed, were skipped.
``kernels``, ``methods``
    The same random numbers on CPU and GPU: how far apart a chain of each sampler ends, and one step of each
    method, relative to the way gone.
``resume``
    Each recipe at smoke size: interrupted and resumed with deterministic algorithms, weights that differ.
``synchronisation``
    Whether a chain waits for the GPU: torch is told to refuse that.
``graphs``
    Compiled chains with and without CUDA graphs: time of a step, and whether the ends are equal.
``images``
    Images per second through a chain step of the recipes' energies, for each setting of `Speed`: over the
    plain loop that published code has, and as a share of the measured rate of a large product in bfloat16.
``train NAME``
    A recipe for some minutes: updates, images per second, distances of its samples from test images beside
    those of training images, and a picture in ``book/_static/gpu``. The first has the time to end.
"""

import argparse
import contextlib
import csv
import datetime
import hashlib
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recipes import CountFlops
from run_all import rounded, versions
from timing import in_turn, ratio
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import ebmlearn
from ebmlearn import Speed, data, fit, recipes, ula
from ebmlearn.energy import GRBM, grad
from ebmlearn.files import write_whole
from ebmlearn.nets import ConvEnergy, MLPEnergy
from ebmlearn.sample import run
from ebmlearn.train.checkpoint import load as read_checkpoint

ROOT = Path(__file__).parents[2]
OUT = ROOT / "book" / "gpu.json"
PICTURES = ROOT / "book" / "_static" / "gpu"
RUNS = ROOT / "runs" / "gpu"
CHAIN = {"step_size": 10.0, "noise_scale": 0.003}
SPEEDS = {
    "float32": Speed(),
    "float32, compiled": Speed(compile=10),
    "bf16": Speed(precision="bf16"),
    "bf16, channels last": Speed(precision="bf16", channels_last=True),
    "bf16, channels last, compiled": Speed(compile=10, precision="bf16", channels_last=True),
}
MINUTES = {
    "coopnets-cifar10": 7.0,
    "short-run-cifar10": 2.0,
    "dual-mcmc-cifar10": 2.0,
    "latent-prior-cifar10": 1.5,
    "variational-teaching-cifar10": 1.5,
    "fce-cifar10": 1.5,
}
"""Of training; the recipes in the order in which they fill the time."""
FAST = ["--precision", "bf16", "--channels-last", "--compile"]
TINY = 3
"""Repeats, steps and the like of a rehearsal."""


def to_cpu(x: Tensor) -> Tensor:
    return x.cpu()


class SameNoise(TorchDispatchMode):
    """Draws on the CPU whatever is drawn in here, so that each device sees the same random numbers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        tensors = [a for a in args if isinstance(a, Tensor)]
        device = tensors[0].device if tensors else kwargs.get("device", "cpu")
        here, there = tree_map_only(Tensor, to_cpu, (args, kwargs))
        drawn = func(*here, **({**there, "device": "cpu"} if there.get("device") else there))
        return args[0].copy_(drawn) if func._schema.name.endswith("_") else drawn.to(device)


def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """The samplers and the methods that the tests run over."""
    sys.path.insert(0, str(ROOT / "tests" / "cases"))
    return importlib.import_module("samplers").SAMPLERS, importlib.import_module("methods").METHODS


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def each(names: Any, row: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each name; one that fails is a row too, with its ``error``, and the rest goes on."""
    found = []
    for name in names:
        try:
            found.append({"name": name, **row(name)})
        except Exception as error:
            found.append({"name": name, "error": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
        print(found[-1], flush=True)
    return found


def apart(ends: dict[str, Tensor], start: Tensor) -> float:
    """How far the ends on two devices are apart, relative to the way gone on the CPU."""
    here, there = ends.values()
    return ((here - there.cpu()).norm() / (here - start).norm()).item()


def tests(device: str, tiny: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["-m", "pytest", "tests", "-q", "-m", "gpu", f"--junitxml={report}"]
        subprocess.run([sys.executable, *command, *(["tests/viz"] if tiny else [])], cwd=ROOT, check=False)
        suite = next(ET.parse(report).getroot().iter("testsuite"))
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return [{**counts, "failed": failed}]


def kernels(device: str, tiny: bool) -> list[dict[str, Any]]:
    samplers, _ = tables()

    def row(name: str) -> dict[str, Any]:
        torch.manual_seed(0)
        gibbs = name == "gibbs"
        net = GRBM(2, 4) if gibbs else MLPEnergy(2, (32, 32), reference_std=2.0)
        x, ends = torch.randn(64, 2), {}
        for where in ("cpu", device):
            torch.manual_seed(1)
            with SameNoise():
                end = run(samplers[name].make(net.to(where)), x.to(where), TINY if tiny else 20)
            ends[f"{where} {len(ends)}"] = end
        return {"error": apart(ends, x)}

    return each(samplers, row)


def methods(device: str, tiny: bool) -> list[dict[str, Any]]:
    _, cases = tables()

    def row(name: str) -> dict[str, Any]:
        case, ends = cases[name], {}
        for where in ("cpu", device):
            torch.manual_seed(0)
            method = case.make()
            start = flat(method)
            method.to(where)
            batch = move(case.batch(), where)
            torch.manual_seed(1)
            with SameNoise():
                for _ in range(case.steps):
                    method.step(batch)
            ends[f"{where} {len(ends)}"] = flat(method)
        return {"error": apart(ends, start)}

    return each(list(cases)[: TINY if tiny else None], row)


def flat(method: Any) -> Tensor:
    return torch.cat([p.detach().cpu().flatten() for p in method.parameters()])


def move(batch: Any, device: str) -> Any:
    return batch.to(device) if isinstance(batch, Tensor) else tuple(move(part, device) for part in batch)


def resume(device: str, tiny: bool) -> list[dict[str, Any]]:
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False

    def row(name: str) -> dict[str, Any]:
        recipe = recipes.RECIPES[name](smoke=True)
        x = torch.rand(64, *recipe.shape(), generator=torch.Generator().manual_seed(0)) * 2 - 1
        weights = []
        with tempfile.TemporaryDirectory() as folder:
            for parts in ((4,), (2, 4)):
                for steps in parts:
                    ebmlearn.seed(0)
                    method = recipe.method(tuple(x.shape[1:])).to(device)
                    out = {"out": Path(folder) / str(len(parts)), "every": 2, "resume": True}
                    fit(method, x, steps=steps, batch_size=recipe.batch_size, progress=False, **out)
                weights.append(flat(method))
        return {"weights": len(weights[0]), "differ": int((weights[0] != weights[1]).sum())}

    return each(list(recipes.RECIPES)[: TINY if tiny else None], row)


def synchronisation(device: str, tiny: bool) -> list[dict[str, Any]]:
    samplers, _ = tables()

    def row(name: str) -> dict[str, Any]:
        net = (GRBM(2, 4) if name == "gibbs" else MLPEnergy(2, (32, 32))).to(device)
        x, kernel = torch.randn(64, 2, device=device), samplers[name].make(net)
        run(kernel, x, 2)
        with refusing(device):
            state = kernel.init(x)
            for _ in range(TINY if tiny else 20):
                state, _ = kernel.step(state)
        return {"waits": False}

    return each(samplers, row)


@contextlib.contextmanager
def refusing(device: str) -> Iterator[None]:
    """In here, whatever makes the CPU wait for the GPU raises an error."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def graphs(device: str, tiny: bool) -> list[dict[str, Any]]:
    sizes = (16,) if tiny else (64, 1000, 10_000)

    def row(size: str) -> dict[str, Any]:
        torch.manual_seed(0)
        net, x = MLPEnergy(2, (128, 128)).to(device), torch.randn(int(size), 2, device=device)
        speeds = {"eager": Speed(), "compiled": Speed(compile=10)}
        if device == "cuda":
            speeds["graphs"] = Speed(compile=10, cuda_graphs=True)
        n, ends = 10 if tiny else 100, {}

        def go(speed: Speed) -> Tensor:
            torch.manual_seed(1)
            end = run(ula(net, step_size=0.1), x, n, speed=speed)
            wait(device)
            return end

        ends = {name: go(speed) for name, speed in speeds.items()}
        seconds = in_turn({name: partial(go, s) for name, s in speeds.items()}, 1 if tiny else 7)
        steps = {f"us, {name}": 1e6 * statistics.median(t) / n for name, t in seconds.items()}
        way = (ends["eager"] - x).norm()
        errors = {f"error, {k}": ((v - ends["eager"]).norm() / way).item() for k, v in ends.items()}
        return {"chains": int(size), **steps, **errors}

    return each(map(str, sizes), row)


def plain_loop(energy: torch.nn.Module, x: Tensor, n_steps: int) -> Tensor:
    """As published code writes it: the weights are in the graph as well."""
    for _ in range(n_steps):
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(energy(x).sum(), x)
        x = x - 0.5 * CHAIN["step_size"] ** 2 * slope + CHAIN["noise_scale"] * torch.randn_like(x)
    return x.detach()


def images(device: str, tiny: bool) -> list[dict[str, Any]]:
    peak = rate_of_products(device, 256 if tiny else 8192)
    batch, n = (4, 2) if tiny else (256, 20)
    energies: dict[str, Callable[[], Any]] = {"default ConvEnergy, 28 x 28": partial(ConvEnergy, 1, 28)}
    for name in () if tiny else ("short-run-cifar10", "coopnets-cifar10", "short-run-celeba64"):
        energies[name] = partial(energy_of, name)

    def row(name: str) -> dict[str, Any]:
        torch.manual_seed(0)
        net = energies[name]().to(device)
        shape = recipes.RECIPES[name]().shape() if name in recipes.RECIPES else (1, 28, 28)
        x = torch.rand(batch, *shape, device=device) * 2 - 1
        with CountFlops() as count:
            grad(net, x)
        entries: dict[str, Callable[[], object]] = {
            "plain loop": lambda: (plain_loop(net, x, n), wait(device))
        }
        for label, speed in SPEEDS.items():
            if tiny and speed.compile:
                continue
            entries[label] = partial(chain, net, x, n, speed, device)
        seconds = in_turn(entries, 1 if tiny else 5)
        found: dict[str, Any] = {"flop per image": count.total / batch, "bf16 product, flop/s": peak}
        for label, times in seconds.items():
            per_second = batch * n / statistics.median(times)
            found[label] = {
                "images/s": per_second,
                "over the plain loop": 1 / ratio(times, seconds["plain loop"]),
                "of the bf16 rate": per_second * count.total / batch / peak,
            }
        return found

    return each(energies, row)


def energy_of(name: str) -> torch.nn.Module:
    recipe = recipes.RECIPES[name]()
    net = recipe.method(recipe.shape()).energy
    assert isinstance(net, torch.nn.Module)
    return net


def chain(net: Any, x: Tensor, n: int, speed: Speed, device: str) -> Tensor:
    speed.prepare(net)
    end = run(ula(net, **CHAIN), x, n, speed=speed)
    wait(device)
    return end


def rate_of_products(device: str, side: int) -> float:
    """Floating-point operations a second of a large product in bfloat16: what the card reaches, not what it
    says that it has."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def go() -> None:
        for _ in range(10):
            a @ a
        wait(device)

    return 10 * 2 * side**3 / statistics.median(in_turn({"product": go}, 5)["product"])


def train(name: str, device: str, tiny: bool) -> list[dict[str, Any]]:
    """A recipe on the command line, told to stop when its time is over."""
    label = recipes.RECIPES[name](smoke=tiny)
    if not tiny and not data.is_local(label.data):
        raise LookupError(f"{label.data} is not at hand: set EBMLEARN_DATA, or load it once with a network")
    folder = RUNS / f"{name}{'-tiny' if tiny else ''}"
    options = ["--smoke", "--data", "digits"] if tiny else FAST
    limit = 60 * (0.5 if tiny else MINUTES[name])
    begun = time.monotonic()
    run_for(limit, ["train", name, "--out", str(folder), "--resume", *options])
    seconds = time.monotonic() - begun
    newest = sorted(folder.glob("checkpoint-*[0-9].pt"))[-1]
    updates = read_checkpoint(newest)["step"]
    with (folder / "trace.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    n = 100 if tiny else 10_000
    extra = ["-n", str(n), *(["--features", "pixels"] if tiny else [])]
    run_for(240, ["evaluate", str(folder), *extra])
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))[-1]
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = folder / "sample.png" if tiny else PICTURES / f"{name}.png"
    run_for(120, ["sample", str(folder), "--out", str(picture)])
    row = {"updates": updates, "of": label.steps, "seconds": seconds, "n": n, "last": last}
    row["images/s"] = updates * label.batch_size / seconds
    return [{**row, **{key: found[key] for key in ("model", "training images")}}]


def run_for(seconds: float, argv: list[str]) -> None:
    """A command of the package, which is asked to end after so long.

    Raises:
        RuntimeError: If it fails otherwise.
    """
    command = [sys.executable, "-m", "ebmlearn", *argv]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=120)
    if process.returncode not in (0, 128 + signal.SIGTERM):
        last = (said.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{argv[0]} ended with status {process.returncode}: {last}")


PARTS: dict[str, tuple[Callable[[str, bool], list[dict[str, Any]]], float]] = {
    "tests": (tests, 2),
    "kernels": (kernels, 1),
    "methods": (methods, 2),
    "synchronisation": (synchronisation, 1),
    "resume": (resume, 4),
    "graphs": (graphs, 2),
    "images": (images, 4),
    **{f"train {name}": (partial(train, name), minutes + 2) for name, minutes in MINUTES.items()},
}
"""Name -> (what makes its rows, minutes that it may take)."""


def about(device: str) -> dict[str, Any]:
    """What results belong to; another one begins anew."""
    total = hashlib.sha256()
    for path in sorted(Path(ebmlearn.__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    card, driver = "none", "none"
    if device == "cuda":
        card = torch.cuda.get_device_name()
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    cuda = {"cuda": torch.version.cuda} if device == "cuda" else {}
    return {"card": card, "driver": driver, "versions": versions() | cuda, "code": total.hexdigest()[:16]}


def one(name: str, device: str, tiny: bool, minutes: float) -> dict[str, Any]:
    """A part in a process of its own: what it found, or how it failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, __file__, "--only", name, "--rows", str(rows), "--device", device]
        environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "EBMLEARN_PROGRESS": "0"}
        try:
            done = subprocess.run(
                [*command, *(["--tiny"] if tiny else [])],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60 * minutes,
                check=False,
            )
            error = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        except subprocess.TimeoutExpired:
            error = [f"not done after {minutes:g} minutes"]
        found: dict[str, Any] = {"seconds": time.monotonic() - begun}
        if rows.exists():
            return {"status": "done", **found, "rows": json.loads(rows.read_text(encoding="utf-8"))}
    skipped = error[0].startswith("LookupError: ")
    return {"status": "skipped" if skipped else "failed", **found, "error": error[0]}


def everything(out: Path, names: list[str], device: str, tiny: bool, minutes: float) -> dict[str, Any]:
    """Do what is missing and fits into the time; the record, which is stored after each part."""
    now, begun = about(device), time.monotonic()
    record = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if {key: record.get(key) for key in now} != now:
        record = {"date": datetime.date.today().isoformat(), **now, "parts": {}}
    for name in names:
        limit, left = PARTS[name][1], minutes - (time.monotonic() - begun) / 60
        if record["parts"].get(name, {}).get("status") == "done":
            print(f"{name}: is there", flush=True)
        elif limit > left:
            print(
                f"{name}: may take {limit:g} minutes, {left:.1f} are left; give the command again", flush=True
            )
        else:
            record["parts"][name] = one(name, device, tiny, limit)
            print(f"{name}: {record['parts'][name]['status']}", flush=True)
            write_whole(out, (json.dumps(rounded(record), indent=1, ensure_ascii=False) + "\n").encode())
    return record


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: the numbers mean nothing")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device here; --device cpu --tiny rehearses the command")
    if args.only:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        rows = PARTS[args.only][0](args.device, args.tiny)
        args.rows.write_text(json.dumps(rounded(rows)), encoding="utf-8")
        return
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        raise SystemExit(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    record = everything(args.out, args.parts or list(PARTS), args.device, args.tiny, args.minutes)
    failed = [name for name, part in record["parts"].items() if part["status"] == "failed"]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; see {args.out.name}")


if __name__ == "__main__":
    main()
