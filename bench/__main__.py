"""Run the measures on each engine that is installed and print medians and ratios."""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack

from bench import registries
from bench.engines import ENGINES, Engine
from bench.measure import WARM_UP, Interleaved, Measure
from bench.measures import MEASURES

Figures = dict[str, dict[str, float | None]]  # by engine, then by measure


def busybox_root() -> bytes:
    """A root file system of Debian's static busybox, the same bytes for every engine."""
    path = shutil.which("busybox") or "/bin/busybox"
    applets = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(path, "bin/busybox", filter=lambda info: info.replace(mode=0o755, deep=False))
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
    return buffer.getvalue()


def take(engine: Engine, measure: Measure, rounds: int) -> float | None:
    try:
        value = measure.take(engine, rounds)
    except Exception as error:
        print(f"  {engine.name}: {measure.name}: {error}", file=sys.stderr)
        return None
    tell(engine, measure, value)
    return value


def interleave(engines: list[Engine], measure: Interleaved, rounds: int) -> dict[str, float | None]:
    """What counts of each engine's samples."""
    taken: dict[str, list[float]] = {engine.name: [] for engine in engines}
    try:
        with ExitStack() as stack:
            samplers = [(engine.name, stack.enter_context(measure.prepare(engine))) for engine in engines]
            for _ in range(measure.samples or WARM_UP + rounds):
                for name, sample in samplers:
                    taken[name].append(sample())
                samplers.reverse()  # nobody is always the second
    except Exception as error:
        print(f"  {measure.name}: {error}", file=sys.stderr)
        return dict.fromkeys(taken)
    found = {name: measure.figure(values) for name, values in taken.items()}
    for engine in engines:
        tell(engine, measure, found[engine.name])
    return dict(found)


def tell(engine: Engine, measure: Measure | Interleaved, value: float) -> None:
    print(f"  {engine.name}: {measure.name}: {value:.1f} {measure.unit}", file=sys.stderr, flush=True)


def start(stack: ExitStack, name: str) -> Engine:
    """An engine with its image, until the stack is left."""
    engine = stack.enter_context(ENGINES[name]())
    engine.docker("import", "-", "busybox", stdin=busybox_root())
    return engine


def measure_all(names: list[str], chosen: list[Measure | Interleaved], rounds: int) -> Figures:
    alone = [measure for measure in chosen if isinstance(measure, Measure)]
    together = [measure for measure in chosen if isinstance(measure, Interleaved)]
    figures: Figures = {name: {} for name in names}
    for name in names if alone else ():
        with ExitStack() as stack:
            engine = start(stack, name)
            figures[name] |= {measure.name: take(engine, measure, rounds) for measure in alone}
    if together:
        with ExitStack() as stack:
            engines = [start(stack, name) for name in names]
            for measure in together:
                for name, value in interleave(engines, measure, rounds).items():
                    figures[name][measure.name] = value
    return figures


def report(figures: Figures, chosen: Iterable[Measure | Interleaved]) -> None:
    names = list(figures)
    print(f"\n{'':44}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>9}{'goal':>7}")
    for measure in chosen:
        row = [figures[name].get(measure.name) for name in names]
        cells = "".join(f"{value:>9.1f} {measure.unit:<2}" if value is not None else f"{'-':>12}" for value in row)
        ours, theirs = figures.get("corten", {}).get(measure.name), figures.get("dockerd", {}).get(measure.name)
        ratio = ""
        if ours and theirs:
            ratio = f"{(ours / theirs if measure.more_is_better else theirs / ours):.2f}x"
        goal = f"{measure.goal:g}x" if measure.goal else ""
        print(f"{measure.name:<44}{cells}{ratio:>9}{goal:>7}")


def is_installed(name: str) -> bool:
    if name == "dockerd" and not shutil.which("dockerd"):
        print("dockerd is not installed (apt-get install docker.io): no ratios", file=sys.stderr)
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="samples for each quick measure")
    parser.add_argument("--only", default="", help="measures whose name contains this")
    parser.add_argument("--engines", default="corten,dockerd")
    options = parser.parse_args()
    chosen = [measure for measure in MEASURES if options.only in measure.name]
    names = [name for name in options.engines.split(",") if is_installed(name)]
    if chosen:
        report(measure_all(names, chosen, options.rounds), chosen)
    registries.main(options.only)


if __name__ == "__main__":
    main()
