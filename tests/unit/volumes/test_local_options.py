"""Options of the driver local, as mount(2) takes them."""

from __future__ import annotations

import pytest

from corten.errors import Invalid, Unavailable
from corten.kernel import flags
from corten.volumes.model import check_name
from corten.volumes.options import MountRequest


def parse(**options: str) -> MountRequest:
    request = MountRequest.parse(options)
    assert request is not None
    return request


def test_no_options_is_no_mount() -> None:
    assert MountRequest.parse({}) is None


def test_flags_and_data_are_told_apart() -> None:
    request = parse(type="tmpfs", device="tmpfs", o="size=100m,uid=1000,nosuid,ro,rw,noexec")
    assert request.flags == flags.MS_NOSUID | flags.MS_NOEXEC
    assert request.data == "size=100m,uid=1000"


def test_bind() -> None:
    request = parse(type="none", device="/srv", o="bind,ro")
    assert request.is_bind
    assert request.flags == flags.MS_BIND | flags.MS_RDONLY
    assert parse(device="/srv", o="bind").type == "none"
    with pytest.raises(Invalid, match="absolute path"):
        parse(type="none", device="srv", o="bind")


def test_server_names_are_looked_up() -> None:
    request = parse(type="nfs", device=":/export", o="addr=files.example,rw,nfsvers=4")
    assert request.resolved(lambda _: "10.0.0.7").data == "addr=10.0.0.7,nfsvers=4"

    def fail(_: str) -> str:
        raise OSError

    with pytest.raises(Unavailable, match=r"files\.example"):
        request.resolved(fail)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": "red"}, 'invalid option: "colour"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/x"}, 'missing required option: "type"'),
        ({"size": "1g"}, "no quota support"),
    ],
)
def test_refusals(options: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        MountRequest.parse(options)


@pytest.mark.parametrize("name", ["a", "-ab", "a/b", "..", "a b", "", "x" * 300])
def test_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)
