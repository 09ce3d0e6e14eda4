"""Digests, descriptors, platforms, manifests and configs: parsed and printed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import Invalid
from corten.spec import media_types
from corten.spec.descriptor import Descriptor
from corten.spec.digest import Digest
from corten.spec.image import ImageConfig, Index, Manifest, chain_id, chain_ids
from corten.spec.platform import Platform, best, host

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


@given(st.binary(max_size=64), st.sampled_from(["sha256", "sha384", "sha512"]))
def test_digest_prints_back(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    assert Digest.parse(str(digest)) == digest
    running = digest.hasher()
    running.update(data)
    assert Digest.from_hash(running) == digest


@given(st.text(max_size=80))
def test_text_is_a_digest_or_invalid(text: str) -> None:
    try:
        assert str(Digest.parse(text)) == text
    except Invalid:
        return


@pytest.mark.parametrize("text", ["sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 32, "a" * 64, "sha256:" + "a" * 63])
def test_bad_digests(text: str) -> None:
    with pytest.raises(Invalid):
        Digest.parse(text)


def test_descriptor_prints_back() -> None:
    body = {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": str(ONE),
        "size": 7,
        "urls": ["https://a"],
        "annotations": {"k": "v"},
        "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        "artifactType": "x/y",
    }
    assert Descriptor.parse(body).to_json() == body


@pytest.mark.parametrize("change", [{"size": -1}, {"size": "1"}, {"size": True}, {"digest": 3}, {"digest": "x"}])
def test_bad_descriptors(change: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        Descriptor.parse({"mediaType": "a/b", "digest": str(ONE), "size": 1, **change})


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("Linux/AMD64", "linux/amd64"),
        ("amd64", f"{host().os}/amd64"),
    ],
)
def test_platform_normal_forms(text: str, printed: str) -> None:
    assert str(Platform.parse(text)) == printed


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/am d64", "*"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(Invalid):
        Platform.parse(text)


def test_best_platform() -> None:
    offered = [None, *map(Platform.parse, ("linux/386", "linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/arm64"))]
    assert best(offered, Platform.parse("linux/amd64")) == 4
    assert best(offered, Platform.parse("linux/arm/v7")) == 3
    assert best([Platform("linux", "arm", "v\u00b2")], Platform.parse("linux/arm/v7")) is None
    assert best(offered[:3], Platform.parse("linux/arm/v7")) == 2
    assert best(offered[:2], Platform.parse("linux/amd64")) == 1
    assert best(offered[:2], Platform.parse("linux/arm64")) is None
    assert not Platform.parse("linux/arm/v7").matches(Platform.parse("linux/arm/v6"))


def test_manifest_and_index_print_back() -> None:
    config = Descriptor(media_types.OCI_CONFIG, ONE, 3)
    layer = Descriptor(media_types.OCI_LAYER_GZIP, TWO, 9)
    manifest = Manifest(config, (layer,), annotations={"a": "b"}, subject=config, artifact_type="q")
    assert Manifest.parse(manifest.to_bytes()) == manifest
    index = Index((Descriptor(media_types.OCI_MANIFEST, ONE, 3, Platform("linux", "amd64")),))
    assert Index.parse(index.to_bytes()) == index
    assert index.select(Platform("linux", "amd64")) == index.manifests[0]
    assert index.select(Platform("linux", "s390x")) is None
    for wrong in (index.to_bytes(), b"[]", b"{}", b"\xff", b'{"schemaVersion":1}'):
        with pytest.raises(Invalid):
            Manifest.parse(wrong)
    with pytest.raises(Invalid):
        Index.parse(manifest.to_bytes())


def test_config_keeps_its_bytes() -> None:
    data = b'{ "os":"linux",  "architecture":"amd64", "rootfs":{"type":"layers","diff_ids":["%s"]}, "x":1 }'
    data = data.replace(b"%s", str(ONE).encode())
    config = ImageConfig.parse(data)
    assert config.to_bytes() == data
    assert config.digest == Digest.of(data)
    assert config.diff_ids == (ONE,)
    changed = config.evolve(diff_ids=[ONE, TWO], config={"Cmd": ["a"]}, x=None)
    assert changed.diff_ids == (ONE, TWO)
    assert changed.config == {"Cmd": ["a"]}
    assert "x" not in json.loads(changed.to_bytes())
    assert config.to_bytes() == data


@pytest.mark.parametrize(
    "text", ["[]", '{"rootfs":[1]}', '{"rootfs":{"diff_ids":{"a":1}}}', '{"rootfs":{"diff_ids":["x"]}}', "{"]
)
def test_bad_configs(text: str) -> None:
    with pytest.raises(Invalid):
        ImageConfig.parse(text.encode())


def test_chain_ids() -> None:
    """The example of the specification: the chain of one layer is its diff ID, of more the digest of both."""
    assert chain_id([]) is None
    assert chain_ids([ONE]) == [ONE]
    assert chain_ids([ONE, TWO]) == [ONE, Digest.of(f"{ONE} {TWO}".encode())]
    assert chain_id([ONE, TWO, ONE]) == Digest.of(f"{chain_id([ONE, TWO])} {ONE}".encode())
