"""config.json and shim.json."""

from __future__ import annotations

import pytest

from corten.errors import Invalid
from corten.runtime.protocol import StepFailure
from corten.spec.runtime import Spec
from corten.supervisor.model import ExitRecord, ShimOptions, StartFailure


@pytest.mark.parametrize(
    "body", [{}, [], {"process": {}}, {"process": {"args": []}}, {"process": {"args": ["x"]}, "mounts": [1]}]
)
def test_nonsense_is_refused(body: object) -> None:
    with pytest.raises(Invalid):
        Spec.parse(body)  # type: ignore[arg-type]


def test_extensions() -> None:
    spec = Spec.parse(
        {
            "process": {"args": ["x"], "user": {"username": "www:staff", "additionalGids": ["audio", 7]}},
            "linux": {"namespaces": [{"type": "network", "path": "/proc/1/ns/net"}, {"type": "pid"}]},
        }
    )
    assert (spec.process.user.name, spec.process.user.groups) == ("www:staff", ("audio", 7))
    assert spec.linux.namespaces == {"network": "/proc/1/ns/net", "pid": ""}


def test_values_come_back() -> None:
    options = ShimOptions(tty=True, log_path="/x", log_max_size=5, log_attrs={"a": "b"})
    assert ShimOptions.parse({**options.to_json(), "unknown": 1}) == options
    record = ExitRecord(137, 2.0, 9, True, 1.0, "x")
    assert ExitRecord.parse(record.to_json()) == record


@pytest.mark.parametrize(("errno", "code"), [(2, 127), (13, 126), (8, 126), (21, 126), (22, 128)])
def test_exit_codes_of_failed_starts(errno: int, code: int) -> None:
    assert StartFailure("exec", errno, "x").exit_code == code
    assert StartFailure("mount /proc", errno, "x").exit_code == 128


def test_failures_keep_their_step() -> None:
    failure = StepFailure.of("mount /proc", OSError(1, "mount: Operation not permitted", "proc"))
    assert failure.message == "mount /proc proc: mount: operation not permitted"
    assert StepFailure.of("other", failure) is failure
    again = StepFailure.parse(failure.to_json())
    assert (again.step, again.errno, again.message) == (failure.step, failure.errno, failure.message)
