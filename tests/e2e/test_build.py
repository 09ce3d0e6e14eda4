"""docker build with the real command line: instructions, cache, contexts, stages, failures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rig.daemon import Daemon


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def config(daemon: Daemon, image: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(daemon.docker("inspect", image).stdout)[0]["Config"]
    return found


EVERY_INSTRUCTION = """\
# the article's instructions, and those around them
ARG BASE=busybox
FROM ${BASE}
MAINTAINER Somebody <some@body>
ARG WHO=world
ENV GREETING="hello $WHO" \\
    OTHER=thing
WORKDIR /srv/app
COPY file.txt ./
ADD folder /srv/folder
RUN echo "$GREETING" > greeting && \\
    id -u > user
RUN ["sh", "-c", "echo exec-form > exec"]
LABEL version=1 "spaced label"="a b"
EXPOSE 80 53/udp
VOLUME /data
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["cat"]
CMD ["greeting"]
"""


def test_every_instruction(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": EVERY_INSTRUCTION, "file.txt": "file\n", "folder/a/b": "b\n", "ignored.txt": "no",
                     ".dockerignore": "ignored.txt\n"})  # fmt: skip
    output = daemon.docker("build", "-t", "every", "--build-arg", "WHO=there", str(tmp_path)).stdout
    assert "Step 1/17 : ARG BASE=busybox" in output
    assert re.search(r"Successfully built [0-9a-f]{12}\nSuccessfully tagged every:latest\n$", output)
    assert daemon.docker("run", "--rm", "every").stdout == "hello there\n"
    assert (
        daemon.docker("run", "--rm", "every", "file.txt", "exec", "user", "/srv/folder/a/b").stdout
        == "file\nexec-form\n0\nb\n"
    )
    made = config(daemon, "every")
    assert made["User"] == "1000:1000"
    assert made["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert made["Volumes"] == {"/data": {}}
    assert made["Labels"] == {"version": "1", "spaced label": "a b"}
    assert made["StopSignal"] == "SIGINT"
    assert made["WorkingDir"] == "/srv/app"
    assert "GREETING=hello there" in made["Env"]  # type: ignore[operator]
    history = daemon.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "every").stdout
    assert "CMD" in history.splitlines()[0] and "EXPOSE" in history
    daemon.docker("rmi", "-f", "every")


def test_the_cache(daemon: Daemon, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Dockerfile": "FROM busybox\nCOPY one /\nRUN cat /proc/sys/kernel/random/uuid > /stamp\nCOPY two /\n",
            "one": "1",
            "two": "2",
        },
    )

    def build(*flags: str) -> tuple[str, int]:
        output = daemon.docker("build", "-t", "cached", *flags, str(tmp_path)).stdout
        return daemon.docker("run", "--rm", "cached", "cat", "/stamp").stdout, output.count("Using cache")

    first, hits = build()
    assert hits == 0
    assert build() == (first, 3)
    (tmp_path / "one").touch()  # the same bytes
    assert build() == (first, 3)
    (tmp_path / "two").write_text("changed")
    assert build() == (first, 2)
    (tmp_path / "one").write_text("changed")
    second, hits = build()
    assert second != first and hits == 0
    third, hits = build("--no-cache")
    assert third != second and hits == 0
    daemon.docker("rmi", "-f", "cached")


def test_stages(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = """\
    FROM busybox AS tools
    RUN echo made > /made
    FROM busybox AS unused
    RUN false
    FROM scratch AS final
    COPY --from=tools /made /made
    COPY --from=busybox /bin/busybox /bin/busybox
    CMD ["/bin/busybox", "cat", "/made"]
    """
    write(tmp_path, {"Dockerfile": "\n".join(line.strip() for line in dockerfile.splitlines()) + "\n"})
    daemon.docker("build", "-t", "staged", str(tmp_path))
    assert daemon.docker("run", "--rm", "staged").stdout == "made\n"
    failed = daemon.docker("build", "--target", "unused", str(tmp_path), check=False)
    assert failed.returncode == 1 and "returned a non-zero code: 1" in failed.stderr
    daemon.docker("rmi", "-f", "staged")


def test_ownership_and_modes(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = "FROM busybox\nCOPY --chown=12:34 --chmod=640 f /f\nCOPY run /run.sh\nRUN /run.sh\n"
    write(tmp_path, {"Dockerfile": dockerfile, "f": "",
                     "run": "#!/bin/sh\nstat -c '%u %g %a' /f > /out\n"})  # fmt: skip
    (tmp_path / "run").chmod(0o755)
    daemon.docker("build", "-t", "owned", str(tmp_path))
    assert daemon.docker("run", "--rm", "owned", "cat", "/out").stdout == "12 34 640\n"
    daemon.docker("rmi", "-f", "owned")


def test_whiteouts_and_deep_layers(daemon: Daemon) -> None:
    lines = ["FROM busybox", "RUN mkdir /d && touch /d/a /d/b", "RUN rm /d/a", "RUN rm -r /d && mkdir /d && touch /d/c"]
    lines += [f"RUN echo {n} > /n{n}" for n in range(130)]
    daemon.docker("build", "-t", "deep", "-", stdin="\n".join(lines) + "\n")
    assert daemon.docker("run", "--rm", "deep", "sh", "-c", "ls /d; cat /n0 /n129").stdout == "c\n0\n129\n"
    daemon.docker("rmi", "-f", "deep")


def test_dockerfile_elsewhere_and_context_on_standard_input(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path / "context", {"f": "x\n"})
    write(tmp_path, {"Other": "FROM busybox\nCOPY f /\nCMD cat /f\n"})
    daemon.docker("build", "-t", "other", "-f", str(tmp_path / "Other"), str(tmp_path / "context"))
    assert daemon.docker("run", "--rm", "other").stdout == "x\n"
    identity = daemon.docker("build", "-q", "-", stdin="FROM busybox\nENV A=1\n").stdout.strip()
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", identity)
    daemon.docker("rmi", "-f", "other", identity)


def test_failed_builds_leave_no_container(daemon: Daemon) -> None:
    failed = daemon.docker("build", "-t", "failing", "-", stdin="FROM busybox\nRUN echo before; exit 9\n", check=False)
    assert failed.returncode == 9
    assert "before" in failed.stdout
    assert "The command '/bin/sh -c echo before; exit 9' returned a non-zero code: 9" in failed.stderr
    assert daemon.docker("ps", "-aq").stdout == "" and daemon.docker("images", "-q", "failing").stdout == ""


def test_run_mounts(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = """\
FROM busybox AS base
RUN --mount=type=cache,target=/cache echo kept >> /cache/list && cp /cache/list /list
RUN --mount=type=bind,source=f,target=/mnt/f cat /mnt/f > /bound
RUN --mount=type=tmpfs,target=/scratch echo x > /scratch/y
RUN <<EOF
echo heredoc > /here
EOF
COPY <<EOF /inline
text
EOF
CMD cat /list /bound /here /inline; ls -d /scratch /cache || true
"""
    write(tmp_path, {"Dockerfile": dockerfile, "f": "file\n"})
    daemon.docker("build", "-t", "mounts", str(tmp_path))
    assert daemon.docker("run", "--rm", "mounts").stdout.startswith("kept\nfile\nheredoc\ntext\n")
    daemon.docker("rmi", "-f", "mounts")


@pytest.mark.parametrize("client", ["docker", "corten"])
def test_both_clients_build_the_same_image(daemon: Daemon, tmp_path: Path, client: str) -> None:
    write(tmp_path, {"Dockerfile": "FROM busybox\nCOPY . /all\n", "a/b": "1", "c": "2", "skip": "3",
                     ".dockerignore": "skip\nDockerfile\n.dockerignore\n"})  # fmt: skip
    getattr(daemon, client)("build", "-t", f"same-{client}", str(tmp_path))
    listing = daemon.docker("run", "--rm", f"same-{client}", "find", "/all", "-type", "f").stdout.split()
    assert sorted(listing) == ["/all/a/b", "/all/c"]
    daemon.docker("rmi", "-f", f"same-{client}")


def test_every_image_that_is_built_has_a_path(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nENV A=$PATH\n")
    daemon.docker("build", "-t", "pathed", str(tmp_path))
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    shown = daemon.docker("image", "inspect", "pathed", "--format", '{{join .Config.Env " "}}').stdout
    assert shown.split() == [f"PATH={path}", f"A={path}"]
    daemon.docker("rmi", "pathed")
