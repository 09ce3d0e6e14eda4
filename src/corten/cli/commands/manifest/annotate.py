"""``corten manifest annotate``: say for what platform an image of a list is."""

from __future__ import annotations

from corten.cli import manifests
from corten.cli.command import Call, Command
from corten.errors import Invalid

# Go's operating systems with the architectures that it knows for each.
_WITH = {
    "aix": "ppc64",
    "android": "386 amd64 arm arm64",
    "darwin": "386 amd64 arm arm64",
    "dragonfly": "amd64",
    "freebsd": "386 amd64 arm arm64 riscv64",
    "illumos": "amd64",
    "ios": "amd64 arm64",
    "js": "wasm",
    "linux": "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x",
    "netbsd": "386 amd64 arm arm64",
    "openbsd": "386 amd64 arm arm64",
    "plan9": "386 amd64 arm",
    "solaris": "amd64",
    "wasip1": "wasm",
    "windows": "386 amd64 arm arm64",
}


def run(call: Call) -> None:
    """Change what the list says of one image."""
    options, (name, image) = call.options, call.arguments
    lists = manifests.lists(call)
    entry = lists.entry(name, image)
    platform = dict(entry["Descriptor"].get("platform") or {})
    for flag, field in (("os", "os"), ("arch", "architecture"), ("variant", "variant"), ("os-version", "os.version")):
        if options.text(flag):
            platform[field] = options.text(flag)
    features = [feature for text in options.many("os-features") for feature in text.split(",") if feature]
    if features:
        known = platform.get("os.features") or []
        platform["os.features"] = [*known, *(feature for feature in features if feature not in known)]
    if platform.get("architecture", "") not in _WITH.get(platform.get("os", ""), "").split():
        given = f"{options.text('os')}/{options.text('arch')}"
        raise Invalid(f"manifest entry for image has unsupported os/arch combination: {given}")
    entry["Descriptor"]["platform"] = manifests.ordered(platform)
    lists.keep(name, image, entry)


COMMAND = Command(
    run,
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    """
        --arch=string          Set architecture
        --os=string            Set operating system
        --os-features=strings  Set operating system feature
        --os-version=string    Set operating system version
        --variant=string       Set architecture variant
    """,
    least=2,
    most=2,
)
