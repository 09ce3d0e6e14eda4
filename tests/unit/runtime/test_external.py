"""What an external runtime is told (config.json in full) and what its errors are read as."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from corten.kernel import capabilities
from corten.runtime.external import config, filters
from corten.runtime.external.command import Runtime, failure, run
from corten.runtime.external.config import Place
from corten.runtime.protocol import StepFailure
from corten.runtime.users import Identity
from corten.supervisor.model import StartFailure

EVERYTHING = capabilities.mask(capabilities.NAMES)


def body(**given: Any) -> dict[str, Any]:
    return {
        "process": {
            "args": ["sh"],
            "env": ["A=1", "broken"],
            "user": {"uid": 0, "gid": 0, "username": "www", "additionalGids": ["audio"]},
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": ["CAP_CHOWN"]},
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs", "readonly": True},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}], "cgroupsPath": "/corten/x"},
    } | given


def complete(held: int = EVERYTHING, place: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    here = Place(root="/b/rootfs", cgroup="/corten/x", held=held, **(place or {}))
    return config.complete(body(**given), Identity(33, 34, (5, 6), "/var/www"), here)


def test_names_become_numbers() -> None:
    process = complete()["process"]
    assert process["user"] == {"uid": 33, "gid": 34, "additionalGids": [5, 6]}
    assert process["env"] == ["A=1", "HOME=/var/www"]


def test_the_root_is_where_it_is_mounted() -> None:
    assert complete()["root"] == {"path": "/b/rootfs", "readonly": True}


def test_a_capability_that_we_lack_is_not_asked_for() -> None:
    held = EVERYTHING & ~capabilities.bit("CAP_SYS_ADMIN")
    assert complete(held)["process"]["capabilities"] == {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}


def test_the_filter_is_written_out() -> None:
    """Runtimes run without a filter where none is given; ours has a default."""
    assert complete()["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in complete(annotations={"corten.seccomp": "unconfined"})["linux"]


def test_our_annotations_stay_ours() -> None:
    found = complete(annotations={"corten.init": "true", "mine": "1"}, place={"init": "/usr/bin/tini"})
    assert found["annotations"] == {"mine": "1"}
    assert found["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert found["mounts"][-1]["source"] == "/usr/bin/tini"


def test_every_container_has_the_usual_devices() -> None:
    rules = complete()["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"} in rules


def test_limits_that_the_kernel_lacks_are_passed_over_as_by_our_own() -> None:
    asked = {"memory": {"limit": 1, "swap": 2}, "blockIO": {"weight": 5, "leafWeight": 1}}
    absent = frozenset({"memory.memsw.limit_in_bytes", "blkio.weight", "blkio.bfq.weight"})
    found = config.resources(asked, absent)
    assert found["memory"] == {"limit": 1} and found["blockIO"] == {"leafWeight": 1}
    assert config.resources(asked, frozenset())["memory"] == {"limit": 1, "swap": 2}


def test_mounts_have_only_words_that_runtimes_know() -> None:
    mount = {"destination": "/d", "type": "bind", "source": "/s", "options": ["rbind", "ro", "Z", "nocopy"]}
    place = {"sources": {"/d": "/b/external/bind1"}}
    assert complete(mounts=[mount])["mounts"] == [mount | {"options": ["rbind", "ro"]}]
    assert complete(mounts=[mount], place=place)["mounts"][0]["source"] == "/b/external/bind1"


def test_the_nis_name_also_for_runtimes_before_the_field() -> None:
    found = complete(hostname="h", domainname="d")
    assert found["hostname"] == "h" and found["linux"]["sysctl"] == {"kernel.domainname": "d"}


def test_the_result_is_json() -> None:
    assert json.loads(json.dumps(complete())) == complete()


# -- filters -----------------------------------------------------------------------------------------------------------


def entries(found: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    assert found is not None
    return [each for each in found["syscalls"] if name in each["names"]]


def test_the_default_filter() -> None:
    plain = filters.lower(None, (), "x86_64")
    assert entries(plain, "mount") == [] and entries(plain, "read")[0]["action"] == "SCMP_ACT_ALLOW"
    assert entries(filters.lower(None, ("CAP_SYS_ADMIN",), "x86_64"), "mount")[0]["action"] == "SCMP_ACT_ALLOW"
    (clone,) = entries(plain, "clone")
    assert clone["args"] == [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x7E020000, "valueTwo": 0}]
    (clone3,) = entries(plain, "clone3")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", errno.ENOSYS)
    assert len(entries(plain, "socket")) == 3
    assert filters.lower(None, (), "vax") is None


def test_a_profile_in_dockers_form_is_resolved() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [],
        "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "comment": "x"},
            {"name": "b", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
        ],
    }
    found = filters.lower(profile, ("CAP_CHOWN",), "x86_64")
    assert found is not None
    assert found["syscalls"] == [
        {"names": ["a"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["b"], "action": "SCMP_ACT_ALLOW"},
    ]
    assert "SCMP_ARCH_X86_64" in found["architectures"]


# -- errors ------------------------------------------------------------------------------------------------------------


def line(message: str, level: str = "error") -> bytes:
    return json.dumps({"level": level, "msg": message, "time": "now"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("message", "number", "code"),
    [
        ('runc create failed: exec: "x": executable file not found in $PATH', errno.ENOENT, 127),
        ("executable file `x` not found in $PATH: No such file or directory", errno.ENOENT, 127),
        ('runc create failed: exec: "/etc": permission denied', errno.EACCES, 126),
        ("something else", 0, 128),
    ],
)
def test_what_a_runtime_says(message: str, number: int, code: int) -> None:
    found = failure("/usr/sbin/runc", 1, [b"", line("only a warning", "warning") + line(message)])
    assert found.message.lower() == message.lower()
    assert "No such" not in found.message
    assert found.errno == number
    assert StartFailure(found.step, found.errno, found.message).exit_code == code


def test_a_failure_before_the_runtime_runs_is_told_as_its_own() -> None:
    def prepare() -> None:
        raise OSError(errno.ENODEV, "no such device")

    null = os.open("/dev/null", os.O_RDWR)
    try:
        with pytest.raises(StepFailure, match="no such device") as own:
            run(["/bin/true"], [null, null, null], prepare)
        assert "fork/exec" not in own.value.message
        with pytest.raises(StepFailure, match="fork/exec /no/such: no such file or directory") as missing:
            run(["/no/such"], [null, null, null])
        assert missing.value.errno == errno.ENOENT
        assert run(["sh", "-c", "exit 7"], [null, null, null]) == 7
        assert run(["sh", "-c", "kill -9 $$"], [null, null, null]) == 137
    finally:
        os.close(null)


def test_what_a_runtime_says_in_plain_text_or_not_at_all() -> None:
    assert failure("/x/r", 1, [b"first\nlast words\n"]).message == "last words"
    assert failure("/x/r", 3, [b""]).message == "r ended with status 3"


def test_the_command_line() -> None:
    runtime = Runtime.parse({"name": "r", "path": "/x/r", "args": ["--own"], "root": "/run/c/runtimes/r"})
    assert runtime.line("kill", "id", "9") == [
        "/x/r", "--own", "--root", "/run/c/runtimes/r", "--log-format", "json", "kill", "id", "9",
    ]  # fmt: skip
    assert runtime.line("create", log="/l")[4:6] == ["--log", "/l"]
    assert runtime.state_of("id") == "/run/c/runtimes/r/id"
