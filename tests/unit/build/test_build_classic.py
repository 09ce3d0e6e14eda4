"""Whole builds on fakes: the classic builder's words, files, images and cache."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from corten.build.failures import StepFailed
from corten.build.ports import BaseImage
from corten.build.request import BuildRequest, BuildResult
from corten.errors import CortenError, Invalid, NotFound
from fakes.build import Kitchen, Recorder

pytestmark = pytest.mark.root  # copies are given to 0:0


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    (tmp_path / "kitchen").mkdir()
    return Kitchen(tmp_path / "kitchen")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    return path


def build(kitchen: Kitchen, dockerfile: str, context: Path | None = None, **options: Any) -> tuple[BuildResult, str]:
    recorder = Recorder()
    request = BuildRequest(dockerfile, context, **options)
    result = asyncio.run(kitchen.builder.build(request, recorder))
    assert os.listdir(kitchen.scratch) == []
    assert not [name for name in kitchen.snapshots.names if name.startswith("build-")]
    return result, recorder.text


def fails(kitchen: Kitchen, dockerfile: str, context: Path | None = None, **options: Any) -> tuple[CortenError, str]:
    recorder = Recorder()
    with pytest.raises(CortenError) as caught:
        asyncio.run(kitchen.builder.build(BuildRequest(dockerfile, context, **options), recorder))
    assert not [name for name in kitchen.snapshots.names if name.startswith("build-")]
    return caught.value, recorder.text


def root_of(kitchen: Kitchen, result: BuildResult) -> Path:
    assert result.chain is not None
    return kitchen.snapshots.names[result.chain]


def masked(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", text)


def test_the_words_of_the_classic_builder(kitchen: Kitchen) -> None:
    result, text = build(kitchen, 'FROM busybox\nENV A=b\nRUN echo $A > /x\nCMD ["cat", "/x"]\n')
    assert masked(text) == (
        "Step 1/4 : FROM busybox\n ---> ID\n"
        "Step 2/4 : ENV A=b\n ---> Running in ID\n ---> Removed intermediate container ID\n ---> ID\n"
        "Step 3/4 : RUN echo $A > /x\n ---> Running in ID\n ---> Removed intermediate container ID\n ---> ID\n"
        'Step 4/4 : CMD ["cat", "/x"]\n ---> Running in ID\n ---> Removed intermediate container ID\n ---> ID\n'
        "Successfully built ID\n"
    )
    assert f"Successfully built {result.image_id[7:19]}\n" in text
    assert result.config["config"]["Env"] == ["PATH=/bin", "A=b"]
    assert [entry["created_by"] for entry in result.config["history"]] == [
        "base",
        "/bin/sh -c #(nop)  ENV A=b",
        "/bin/sh -c echo $A > /x",
        '/bin/sh -c #(nop)  CMD ["cat" "/x"]',
    ]
    assert [entry.get("empty_layer", False) for entry in result.config["history"]] == [False, True, False, True]
    assert len(result.diff_ids) == 2


def test_a_second_build_uses_the_cache_and_gives_the_same_image(kitchen: Kitchen, context: Path) -> None:
    (context / "f").write_text("one")
    dockerfile = "FROM busybox\nWORKDIR /app\nCOPY f .\nRUN echo hello > /h\nLABEL x=y\n"
    first, _ = build(kitchen, dockerfile, context)
    os.utime(context / "f", (5, 5))  # touched, same bytes
    second, text = build(kitchen, dockerfile, context)
    assert second.image_id == first.image_id
    assert text.count(" ---> Using cache\n") == 4
    assert len(kitchen.executor.requests) == 1
    (context / "f").write_text("two")
    third, text = build(kitchen, dockerfile, context, explain=True)
    assert third.image_id != first.image_id
    assert text.count(" ---> Using cache\n") == 1
    assert "Cache miss: changed: contents" in text
    _, text = build(kitchen, dockerfile, context, no_cache=True)
    assert "Using cache" not in text


def test_a_changed_label_does_not_run_again(kitchen: Kitchen) -> None:
    build(kitchen, "FROM busybox\nLABEL v=1\nRUN echo x > /x\n")
    result, _ = build(kitchen, "FROM busybox\nLABEL v=2\nRUN echo x > /x\n")
    assert len(kitchen.executor.requests) == 1
    assert result.config["config"]["Labels"] == {"v": "2"}
    assert len(result.diff_ids) == 2


def test_an_image_that_is_gone_is_no_hit(kitchen: Kitchen) -> None:
    first, _ = build(kitchen, "FROM busybox\nENV a=b\n")
    del kitchen.sink.images[first.image_id]
    second, text = build(kitchen, "FROM busybox\nENV a=b\n")
    assert "Using cache" not in text
    assert kitchen.sink.exists(second.image_id)


def test_a_failing_command(kitchen: Kitchen) -> None:
    failure, text = fails(kitchen, "FROM busybox\n\nRUN exit 7\nRUN echo never\n")
    assert isinstance(failure, StepFailed)
    assert failure.message == "The command '/bin/sh -c exit 7' returned a non-zero code: 7"
    assert failure.status == 7
    assert failure.hint is not None
    assert "   3 | >>> RUN exit 7" in failure.hint
    assert "Step 3/4" not in text.replace("Step 3/4 : RUN exit 7", "")
    assert failure.before is not None


def test_a_kept_failure(kitchen: Kitchen) -> None:
    recorder = Recorder()
    with pytest.raises(StepFailed) as caught:
        request = BuildRequest("FROM busybox\nRUN echo a > /a && false\n", keep_failed=True)
        asyncio.run(kitchen.builder.build(request, recorder))
    assert caught.value.snapshot is not None
    assert (kitchen.snapshots.names[caught.value.snapshot] / "a").exists()


COPIES = [
    # sources, destination, what must be there afterwards
    ("a.txt", "/x", {"x": "A"}),
    ("a.txt", "/x/", {"x/a.txt": "A"}),
    ("a.txt", "x", {"work/x": "A"}),
    ("a.txt", ".", {"work/a.txt": "A"}),
    ("a.txt", "/etc", {"etc/a.txt": "A"}),
    ("/a.txt", "/new/deep/name", {"new/deep/name": "A"}),
    ("*.txt", "/t/", {"t/a.txt": "A", "t/b.txt": "B"}),
    ("a.txt b.txt", "/t/", {"t/a.txt": "A", "t/b.txt": "B"}),
    ("dir", "/d", {"d/one": "1", "d/sub/two": "2"}),
    ("dir/", "/d/", {"d/one": "1", "d/sub/two": "2"}),
    (".", "/all/", {"all/a.txt": "A", "all/dir/one": "1"}),
    ("di?/s*", "/s/", {"s/two": "2"}),
    ("[ab].txt", "/t/", {"t/a.txt": "A", "t/b.txt": "B"}),
    ("link", "/l", {"l": "A"}),
    ("a.txt dir", "/m/", {"m/a.txt": "A", "m/one": "1"}),
    ("--parents dir/./sub/two", "/p/", {"p/sub/two": "2"}),
    ("--parents dir/one a.txt", "/p/", {"p/dir/one": "1", "p/a.txt": "A"}),
    ("--parents ./dir/*/two", "/p/", {"p/dir/sub/two": "2"}),
    ("--exclude=*.txt .", "/e/", {"e/dir/one": "1"}),
]


@pytest.mark.parametrize(("sources", "destination", "expected"), COPIES)
def test_where_copies_land(
    kitchen: Kitchen, context: Path, sources: str, destination: str, expected: dict[str, str]
) -> None:
    (context / "dir/sub").mkdir(parents=True)
    for path, text in {"a.txt": "A", "b.txt": "B", "dir/one": "1", "dir/sub/two": "2"}.items():
        (context / path).write_text(text)
    (context / "link").symlink_to("a.txt")
    result, _ = build(kitchen, f"FROM busybox\nWORKDIR /work\nCOPY {sources} {destination}\n", context)
    root = root_of(kitchen, result)
    for path, text in expected.items():
        assert (root / path).read_text() == text
        assert (root / path).stat().st_uid == 0
    if "--exclude" in sources:
        assert not (root / "e/a.txt").exists()


def test_times_modes_owners_and_links(kitchen: Kitchen, context: Path) -> None:
    (context / "tree/in").mkdir(parents=True)
    (context / "tree/in/f").write_text("x")
    os.chown(context / "tree/in/f", 5, 6)
    (context / "tree/in/f").chmod(0o4755)
    os.utime(context / "tree/in/f", (1000, 1000))
    os.utime(context / "tree/in", (2000, 2000))
    (context / "tree/hard").hardlink_to(context / "tree/in/f")
    (context / "tree/soft").symlink_to("/etc/passwd")
    result, _ = build(
        kitchen,
        "FROM busybox\nCOPY tree /t\nCOPY --chown=www --chmod=600 tree/in/f /u\nCOPY --chown=7 tree/in/f /v/w",
        context,
    )
    root = root_of(kitchen, result)
    status = (root / "t/in/f").stat()
    assert (status.st_mtime, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (1000, 0o4755, 0, 0)
    assert (root / "t/in").stat().st_mtime == 2000
    assert (root / "t/soft").readlink() == Path("/etc/passwd")
    assert (root / "t/hard").stat().st_ino == status.st_ino or status.st_nlink >= 1
    status = (root / "u").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, 33, 34)
    assert ((root / "v").stat().st_uid, (root / "v/w").stat().st_gid) == (7, 7)


def test_copy_from_a_stage_keeps_owners(kitchen: Kitchen, context: Path) -> None:
    (context / "f").write_text("x")
    dockerfile = "FROM busybox AS one\nCOPY --chown=9:9 f /f\nFROM busybox\nCOPY --from=one /f /g\n"
    dockerfile += "COPY --from=0 --chown=1 /f /h\n"
    result, text = build(kitchen, dockerfile, context)
    root = root_of(kitchen, result)
    assert ((root / "g").stat().st_uid, (root / "h").stat().st_uid) == (9, 1)
    assert "Step 3/5 : FROM busybox\n" in text
    assert text.index("Step 2/5") < text.index("Step 3/5")


def test_renaming_a_stage_is_no_miss(kitchen: Kitchen) -> None:
    build(kitchen, "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\nCOPY --from=a /f /g\n")
    _, text = build(kitchen, "FROM busybox AS b\nRUN echo 1 > /f\nFROM busybox\nCOPY --from=b /f /g\n")
    assert text.count("Using cache") == 2


def test_only_needed_stages(kitchen: Kitchen) -> None:
    dockerfile = "FROM busybox AS a\nFROM nowhere AS b\nRUN false\nFROM a AS c\nRUN echo hi\nFROM b\n"
    _, text = build(kitchen, dockerfile, target="C")
    assert "nowhere" not in text
    assert text.count("Step") == 3
    failure, _ = fails(kitchen, dockerfile, target="nope")
    assert failure.message == "failed to reach build target nope in Dockerfile"


def test_stages_side_by_side_stay_readable(kitchen: Kitchen) -> None:
    dockerfile = "".join(f"FROM busybox AS s{n}\nRUN echo {n} > /f{n}\nRUN echo out{n}\n" for n in range(4))
    dockerfile += "FROM scratch\n" + "".join(f"COPY --from=s{n} /f{n} /\n" for n in range(4))
    result, text = build(kitchen, dockerfile)
    numbers = [int(number) for number in re.findall(r"Step (\d+)/17", text)]
    assert numbers == list(range(1, 18))
    assert sorted(os.listdir(root_of(kitchen, result))) == ["f0", "f1", "f2", "f3"]
    assert " ---> \n" in text


MISSING = "failed: file not found in build context or excluded by .dockerignore: stat {}: file does not exist"
MANY = "When using COPY with more than one source file, the destination must be a directory and end with a /"
UNKNOWN = "unable to convert uid/gid chown string to host mapping: can't find uid for user x: no such user: x"
FAILURES = [
    ("COPY nope /", "COPY " + MISSING.format("nope")),
    ("ADD ignored.log /", "ADD " + MISSING.format("ignored.log")),
    ("COPY ../x /", "COPY failed: forbidden path outside the build context: ../x ()"),
    ("COPY no*match /", "COPY failed: no source files were specified"),
    ("COPY a* /x", f"COPY failed: {MANY}"),
    ("COPY a1 /etc/passwd/x", "COPY failed: cannot copy to non-directory: /etc/passwd"),
    ("COPY --from=busybox /nope /", "COPY failed: stat nope: file does not exist"),
    ("COPY --chown=x a1 /", f"COPY failed: {UNKNOWN}"),
]


@pytest.mark.parametrize(("line", "message"), FAILURES)
def test_copies_that_fail(kitchen: Kitchen, context: Path, line: str, message: str) -> None:
    for name in ("a1", "a2", "ignored.log"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("*.log\n")
    failure, _ = fails(kitchen, f"FROM busybox\n{line}\n", context)
    assert failure.message == message
    assert f">>> {line}" in (failure.hint or "")


def test_nothing_leads_out_of_the_context(kitchen: Kitchen, context: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    (context / "up").symlink_to("../secret")
    (context / "abs").symlink_to(tmp_path / "secret")
    (context / "here").symlink_to("/inside")
    (context / "inside").write_text("in")
    for name in ("up", "abs"):
        failure, _ = fails(kitchen, f"FROM busybox\nCOPY {name} /x\n", context)
        assert isinstance(failure, NotFound)
    result, _ = build(kitchen, "FROM busybox\nCOPY here /x\n", context)
    assert (root_of(kitchen, result) / "x").read_text() == "in"


def test_links_in_the_image_do_not_lead_out(kitchen: Kitchen, context: Path, tmp_path: Path) -> None:
    (context / "f").write_text("x")
    image = kitchen.add_image("tricky", {"etc/passwd": ""})
    base = kitchen.snapshots.names[str(image.chain)]
    (base / "out").symlink_to(tmp_path)
    (base / "rel").symlink_to("etc")
    result, _ = build(kitchen, "FROM tricky\nCOPY f /out/f\nCOPY f /rel/\nCOPY --link f /rel/g\n", context)
    root = root_of(kitchen, result)
    assert not (tmp_path / "f").exists()
    assert (root / str(tmp_path).lstrip("/") / "f").exists()
    assert (root / "etc/f").exists()
    assert (root / "rel").is_dir()
    assert not (root / "rel").is_symlink()


def test_dockerignore_and_the_file_of_the_dockerfile(kitchen: Kitchen, context: Path) -> None:
    for path in ("keep", "drop", "node/a", "node/keep.me", "node/deep/x"):
        (context / path).parent.mkdir(exist_ok=True)
        (context / path).write_text(path)
    (context / ".dockerignore").write_text("# all of it\ndrop\nnode\n!node/keep.me\n.dockerignore\n")
    result, _ = build(kitchen, "FROM scratch\nCOPY . /\n", context)
    root = root_of(kitchen, result)
    assert sorted(os.listdir(root)) == ["keep", "node"]
    assert os.listdir(root / "node") == ["keep.me"]
    (context / "my.Dockerfile.dockerignore").write_text("*\n!drop\n")
    result, _ = build(kitchen, "FROM scratch\nCOPY . /\n", context, dockerfile_name="my.Dockerfile")
    assert os.listdir(root_of(kitchen, result)) == ["drop"]


def test_add_unpacks_archives(kitchen: Kitchen, context: Path) -> None:
    (context / "in").write_text("data")
    for name, mode in (("t.tar", "w"), ("t.tgz", "w:gz"), ("t.txz", "w:xz")):
        with tarfile.open(context / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(context / "in", "sub/in")
            info = tarfile.TarInfo("owned")
            info.uid, info.gid, info.mtime, info.mode = 12, 13, 99, 0o640
            archive.addfile(info)
            link = tarfile.TarInfo("sub/escape")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(link)
            archive.addfile(tarfile.TarInfo("sub/escape/inside"))
    for name in ("t.tar", "t.tgz", "t.txz"):
        result, _ = build(
            kitchen, f"FROM busybox\nADD {name} /d/\nADD --unpack=false {name} /raw/\nCOPY {name} /c/", context
        )
        root = root_of(kitchen, result)
        assert (root / "d/sub/in").read_text() == "data"
        assert (root / "d/owned").stat().st_uid == 12
        assert (root / "d/etc/inside").exists()  # the link leads to the root of the archive, never out
        assert (root / "raw" / name).exists()
        assert (root / "c" / name).exists()
    with tarfile.open(context / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    failure, _ = fails(kitchen, "FROM busybox\nADD evil.tar /d/\n", context)
    assert isinstance(failure, Invalid)


def test_heredocs(kitchen: Kitchen) -> None:
    dockerfile = (
        "FROM busybox\nARG who=world\nCOPY <<EOF <<-'RAW' /h/\nhello $who\nEOF\n\traw $who\n\tRAW\n"
        "RUN <<END\necho one > /one\nEND\n"
    )
    result, _ = build(kitchen, dockerfile)
    root = root_of(kitchen, result)
    assert (root / "h/EOF").read_text() == "hello world\n"
    assert (root / "h/RAW").read_text() == "raw $who\n"
    assert kitchen.executor.requests[0].args == ("/bin/sh", "-c", "echo one > /one\n")
    assert "who=world" in kitchen.executor.requests[0].env


def test_arguments_environment_and_warnings(kitchen: Kitchen) -> None:
    dockerfile = "ARG TAG=none\nFROM ${TAG}\nARG A=1\nARG B\nENV A=env\nRUN env\n"
    given = {"TAG": "busybox", "B": "two", "HTTP_PROXY": "p", "UNUSED": "x"}
    result, text = build(kitchen, dockerfile, build_args=given)
    env = dict(entry.split("=", 1) for entry in kitchen.executor.requests[0].env)
    assert env == {"PATH": "/bin", "A": "env", "B": "two", "HTTP_PROXY": "p"}
    assert text.startswith("Step 1/6 : ARG TAG=none\nStep 2/6 : FROM ${TAG}\n")
    assert "[Warning] One or more build-args [UNUSED] were not consumed\n" in text
    assert result.config["history"][-1]["created_by"] == "|1 B=two /bin/sh -c env"
    assert "HTTP_PROXY" not in json.dumps(result.config)


def test_a_base_with_triggers(kitchen: Kitchen, context: Path) -> None:
    (context / "f").write_text("x")
    kitchen.add_image("onb", {"etc/passwd": ""}, OnBuild=["COPY f /f", "RUN echo t > /t"])
    result, text = build(kitchen, "FROM onb\nRUN echo hi\n", context)
    assert text.startswith("Step 1/2 : FROM onb\n# Executing 2 build triggers\n")
    root = root_of(kitchen, result)
    assert (root / "f").exists()
    assert (root / "t").exists()
    assert "OnBuild" not in result.config["config"]


def test_labels_of_the_request(kitchen: Kitchen) -> None:
    result, text = build(kitchen, "FROM busybox\n", labels={"b": "$x", "a": "1 2"})
    assert "Step 2/3 : LABEL a=1 2\n" in text
    assert result.config["config"]["Labels"] == {"a": "1 2", "b": "$x"}


def test_the_epoch_makes_builds_the_same(tmp_path: Path, context: Path) -> None:
    (context / "f").write_text("x")
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        kitchen = Kitchen(tmp_path / name)
        dockerfile = "FROM busybox\nCOPY f /f\nCOPY <<E /g\n1\nE\nRUN echo hello > /h\nENV a=b\n"
        result, _ = build(kitchen, dockerfile, context, build_args={"SOURCE_DATE_EPOCH": "1000"})
        assert (root_of(kitchen, result) / "h").stat().st_mtime <= 1000
        assert result.config["created"] == "1970-01-01T00:16:40Z"
        results.append(result.image_id)
    assert results[0] == results[1]


def test_files_that_say_nothing(kitchen: Kitchen) -> None:
    failure, _ = fails(kitchen, "")
    assert failure.message == "the Dockerfile (Dockerfile) cannot be empty"
    failure, _ = fails(kitchen, "FROM scratch\n")
    assert failure.message == "No image was generated. Is your Dockerfile empty?"
    failure, _ = fails(kitchen, "FROM busybox\nRUN ${\n  FOO bar\n")
    failure, _ = fails(kitchen, "FROM busybox\n\nFOOBAR x\n")
    assert failure.message == "dockerfile parse error on line 3: unknown instruction: FOOBAR"
    assert "   3 | >>> FOOBAR x" in (failure.hint or "")
    failure, text = fails(kitchen, "FROM nowhere\n")
    assert failure.message.startswith("pull access denied for nowhere")
    assert text == "Step 1/1 : FROM nowhere\n"


def test_empty_continuations_are_warned_of(kitchen: Kitchen) -> None:
    result, text = build(kitchen, "FROM busybox\nRUN echo a \\\n\n b\n")
    assert text.startswith(
        "[WARNING]: Empty continuation line found in: RUN echo a  b\n[WARNING]: Empty continuation lines"
    )
    assert len(result.warnings) == 1


def test_trees_too_deep_are_refused(kitchen: Kitchen, context: Path) -> None:
    fd = os.open(context, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        for line in ("COPY . /x", "COPY --parents **/f /x/"):
            failure, _ = fails(kitchen, f"FROM busybox\n{line}\n", context)
            assert "nested more than 400 deep" in failure.message
    finally:
        subprocess.run(["rm", "-r", context / "d"], check=True)


def test_cache_from_an_image(kitchen: Kitchen, context: Path) -> None:
    (context / "f").write_text("x")
    dockerfile = "FROM busybox\nENV a=b\nCOPY f /f\nRUN echo x > /x\nRUN echo y > /y\n"
    first, _ = build(kitchen, dockerfile, context)
    image = BaseImage(first.image_id, first.config, first.chain, first.diff_ids)
    kitchen.images.images["cached:1"] = image
    kitchen.cache.records.clear()
    second, text = build(kitchen, dockerfile, context, cache_from=("cached:1", "gone"))
    assert text.count("Using cache") == 4
    assert second.image_id == first.image_id
    kitchen.cache.records.clear()
    _, text = build(kitchen, dockerfile.replace("echo x", "echo z"), context, cache_from=("cached:1",))
    assert text.count("Using cache") == 2
