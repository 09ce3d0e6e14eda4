"""--change of import and commit."""

from __future__ import annotations

import pytest

from corten.engine.images.changes import apply
from corten.errors import Invalid


def test_changes_apply_in_order_over_what_is_there() -> None:
    config = {"Env": ["A=1"], "Cmd": ["old"], "OnBuild": ["RUN first"]}
    changed = apply(
        config,
        [
            'CMD ["sh", "-c", "echo hi"]',
            "ENV B=$A C=3",
            "EXPOSE 80 53/udp",
            "WORKDIR /srv",
            "WORKDIR app",
            "LABEL k=v",
            "USER www",
            "VOLUME /data",
            "ONBUILD RUN second",
        ],
    )
    assert changed["Cmd"] == ["sh", "-c", "echo hi"]
    assert changed["Env"] == ["A=1", "B=1", "C=3"]
    assert changed["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert (changed["WorkingDir"], changed["User"], changed["Labels"]) == ("/srv/app", "www", {"k": "v"})
    assert changed["Volumes"] == {"/data": {}}
    assert changed["OnBuild"] == ["RUN first", "RUN second"]
    assert config == {"Env": ["A=1"], "Cmd": ["old"], "OnBuild": ["RUN first"]}


def test_no_changes_change_nothing() -> None:
    assert apply({"Cmd": ["x"]}, []) == {"Cmd": ["x"]}
    assert apply({"Cmd": ["x"]}, ["", "  "]) == {"Cmd": ["x"]}


@pytest.mark.parametrize("change", ["RUN true", "COPY a b", "FROM x", "ARG a"])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(Invalid, match="is not a valid change command"):
        apply({}, [change])


@pytest.mark.parametrize("change", ["NONSENSE x", "ENV", "EXPOSE 99999999", "WORKDIR"])
def test_bad_lines_are_bad_requests(change: str) -> None:
    with pytest.raises(Invalid):
        apply({}, [change])
