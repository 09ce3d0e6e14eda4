"""Run the measures on each engine that is installed and print medians and ratios."""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile

from bench import registries
from bench.engines import ENGINES, Engine
from bench.measures import MEASURES, Measure


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
    print(f"  {engine.name}: {measure.name}: {value:.1f} {measure.unit}", file=sys.stderr, flush=True)
    return value


def report(figures: dict[str, dict[str, float | None]], chosen: list[Measure]) -> None:
    names = list(figures)
    print(f"\n{'':44}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>9}{'goal':>7}")
    for measure in chosen:
        row = [figures[name].get(measure.name) for name in names]
        cells = "".join(f"{value:>9.1f} {measure.unit:<2}" if value is not None else f"{'-':>12}" for value in row)
        ours, theirs = figures.get("corten", {}).get(measure.name), figures.get("dockerd", {}).get(measure.name)
        ratio = ""
        if ours and theirs:
            ratio = f"{(ours / theirs if measure.more_is_better else theirs / ours):.1f}x"
        goal = f"{measure.goal:g}x" if measure.goal else ""
        print(f"{measure.name:<44}{cells}{ratio:>9}{goal:>7}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="samples for each quick measure")
    parser.add_argument("--only", default="", help="measures whose name contains this")
    parser.add_argument("--engines", default="corten,dockerd")
    options = parser.parse_args()
    chosen = [measure for measure in MEASURES if options.only in measure.name]
    figures: dict[str, dict[str, float | None]] = {}
    base = busybox_root()
    for name in options.engines.split(",") if chosen else []:
        if name == "dockerd" and not shutil.which("dockerd"):
            print("dockerd is not installed (apt-get install docker.io): no ratios", file=sys.stderr)
            continue
        with ENGINES[name]() as engine:
            engine.docker("import", "-", "busybox", stdin=base)
            figures[name] = {measure.name: take(engine, measure, options.rounds) for measure in chosen}
    if chosen:
        report(figures, chosen)
    registries.main(options.only)


if __name__ == "__main__":
    main()
