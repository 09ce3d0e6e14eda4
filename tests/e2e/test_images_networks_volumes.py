"""Images, builds, networks and volumes through docker-py: conflicts and their words, cancelling, disk use, prunes."""

from __future__ import annotations

import http.client
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import docker
import pytest

from rig.daemon import Daemon
from rig.registry import Registry


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def context(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def waits_for(what: str, condition: object, seconds: float = 15) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def processes(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


@pytest.fixture
def names(client: docker.DockerClient) -> Iterator[list[str]]:
    """Images that the test names; gone after it."""
    made: list[str] = []
    yield made
    for name in made:
        try:
            client.images.remove(name, force=True)
        except docker.errors.ImageNotFound:
            continue


# A step that lasts is known by how long.
SLOW = b"FROM busybox\nRUN sleep %s\n"


def begin_build(daemon: Daemon, marker: str, query: str = "") -> UnixConnection:
    connection = UnixConnection(daemon.socket)
    body = context({"Dockerfile": SLOW % marker.encode()})
    connection.request("POST", f"/v1.50/build?nocache=1{query}", body, {"Content-Type": "application/x-tar"})
    waits_for("the step did not start", lambda: processes(f"sleep\0{marker}"))
    return connection


def test_a_client_that_goes_away_takes_its_step_with_it(daemon: Daemon) -> None:
    connection = begin_build(daemon, "60001")
    connection.close()
    waits_for("the step still runs", lambda: not processes("sleep\060001"))
    waits_for("the workspace is still there", lambda: not list((daemon.data_root / "builds" / "work").iterdir()))


def test_a_build_is_cancelled_by_its_id(daemon: Daemon) -> None:
    connection = begin_build(daemon, "60002", "&buildid=mine")
    other = UnixConnection(daemon.socket)
    other.request("POST", "/v1.50/build/cancel?id=mine")
    assert other.getresponse().status == 200
    answer = connection.getresponse().read()
    assert b'"errorDetail"' in answer.splitlines()[-1]
    waits_for("the step still runs", lambda: not processes("sleep\060002"))
    other = UnixConnection(daemon.socket)
    other.request("POST", "/v1.50/build/cancel?id=mine")
    assert other.getresponse().status == 404


def test_a_daemon_killed_during_a_step_ends_it_when_it_is_back(daemon: Daemon) -> None:
    connection = begin_build(daemon, "60003")
    daemon.kill()
    connection.close()
    daemon.start()
    waits_for("the step still runs", lambda: not processes("sleep\060003"))
    assert not list((daemon.exec_root / "steps").iterdir())


def test_a_failed_step_tells_its_status(client: docker.DockerClient) -> None:
    body = io.BytesIO(context({"Dockerfile": b"FROM busybox\nRUN exit 42\n"}))
    *_, last = client.api.build(fileobj=body, custom_context=True, decode=True)
    assert last["errorDetail"]["code"] == 42


def test_context_cannot_reach_out(client: docker.DockerClient) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("Dockerfile")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(docker.errors.APIError, match="Cannot locate specified Dockerfile"):
        list(client.api.build(fileobj=io.BytesIO(out.getvalue()), custom_context=True, decode=True))
    body = io.BytesIO(context({"Dockerfile": b"FROM busybox\nCOPY ../../etc/passwd /x\n"}))
    *_, last = client.api.build(fileobj=body, custom_context=True, decode=True)
    assert "forbidden path outside the build context" in last["error"] or "not found in build context" in last["error"]


def test_images_in_use_say_by_whom(client: docker.DockerClient, names: list[str]) -> None:
    names.append("held:1")
    image, _ = client.images.build(
        fileobj=io.BytesIO(context({"Dockerfile": b"FROM busybox\nLABEL held=1\n"})), custom_context=True, tag="held:1"
    )
    container = client.containers.create("held:1", "true")
    short = image.id.removeprefix("sha256:")[:12]
    with pytest.raises(docker.errors.APIError) as refused:
        client.images.remove("held:1")
    assert refused.value.status_code == 409
    assert refused.value.explanation == (
        f'conflict: unable to remove repository reference "held:1" (must force) - container {container.id[:12]} '
        f"is using its referenced image {short}"
    )
    with pytest.raises(
        docker.errors.APIError, match=rf"unable to delete {short} \(must be forced\) - image is being used"
    ):
        client.images.remove(image.id)
    container.remove()
    client.images.remove("held:1")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(image.id)


def test_a_saved_image_loads_as_it_was(client: docker.DockerClient, names: list[str]) -> None:
    names.append("kept:1")
    recipe = b"FROM busybox\nRUN mkdir /d && echo x > /d/f && ln /d/f /d/g && ln -s f /d/s\nENV A=b\n"
    image, _ = client.images.build(
        fileobj=io.BytesIO(context({"Dockerfile": recipe})), custom_context=True, tag="kept:1"
    )
    archive = b"".join(image.save(named="kept:1"))
    before = image.attrs
    client.images.remove("kept:1")
    (loaded,) = client.images.load(archive)
    assert loaded.id == image.id
    assert loaded.tags == ["kept:1"]
    assert loaded.attrs["RootFS"] == before["RootFS"]
    assert client.containers.run("kept:1", "cat /d/g /d/s", remove=True) == b"x\nx\n"


def test_a_commit_can_be_run(client: docker.DockerClient, names: list[str]) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "echo made > /made"])
    container.start()
    container.wait()
    image = container.commit("made", "1", message="why", author="who", changes=['CMD ["cat", "/made"]', "ENV X=y"])
    names.append("made:1")
    assert image.attrs["Comment"] == "why"
    assert image.attrs["Author"] == "who"
    assert "X=y" in image.attrs["Config"]["Env"]
    assert client.containers.run("made:1", remove=True) == b"made\n"
    assert image.history()[0]["Size"] == 5


def test_filters_of_the_image_list(client: docker.DockerClient, names: list[str]) -> None:
    busybox = client.images.get("busybox")
    for name in ("one/a:1", "one/b:2"):
        busybox.tag(name)
        names.append(name)
    assert len(client.images.list("one/a")) == 1
    (row,) = client.api.images(filters={"reference": "one/*"})
    assert row["RepoTags"] == ["one/a:1", "one/b:2"]
    assert client.images.list(filters={"reference": "two/*"}) == []
    assert busybox.id in [image.id for image in client.images.list(filters={"until": "2100-01-01T00:00:00Z"})]
    with pytest.raises(docker.errors.APIError, match="invalid filter"):
        client.images.list(filters={"nonsense": "1"})
    with pytest.raises(docker.errors.APIError, match="No such image"):
        client.images.list(filters={"before": "nothing"})


def test_networks_are_guarded(client: docker.DockerClient) -> None:
    for name in ("bridge", "host", "none"):
        with pytest.raises(docker.errors.APIError) as refused:
            client.networks.get(name).remove()
        assert refused.value.status_code == 403
        assert "pre-defined network and cannot be removed" in refused.value.explanation
        with pytest.raises(docker.errors.APIError) as refused:
            client.networks.create(name)
        assert refused.value.status_code == 403
    network = client.networks.create("guarded", labels={"a": "b"})
    try:
        with pytest.raises(docker.errors.APIError) as refused:
            client.networks.create("guarded")
        assert refused.value.status_code == 409
        assert refused.value.explanation == "network with name guarded already exists"
        container = client.containers.run("busybox", "sleep 100", detach=True, name="guest", network="guarded")
        network.reload()
        assert [item["Name"] for item in network.attrs["Containers"].values()] == ["guest"]
        with pytest.raises(docker.errors.APIError, match=r'has active endpoints \(name:"guest" id:"') as refused:
            network.remove()
        assert refused.value.status_code == 403
        assert client.networks.prune()["NetworksDeleted"] is None
        network.disconnect(container)
        network.connect(container, aliases=["other"])
        assert client.networks.list(filters={"label": "a=b"})[0].name == "guarded"
        container.remove(force=True)
        assert client.networks.prune({"label": "a=b"})["NetworksDeleted"] == ["guarded"]
    finally:
        for left in client.networks.list(names=["guarded"]):
            left.remove()


def test_volumes_are_guarded(client: docker.DockerClient) -> None:
    volume = client.volumes.create("guarded", labels={"a": "b"})
    try:
        container = client.containers.create("busybox", "true", volumes=["guarded:/data"])
        with pytest.raises(docker.errors.APIError) as refused:
            volume.remove()
        assert refused.value.status_code == 409
        assert refused.value.explanation == f"remove guarded: volume is in use - [{container.id}]"
        assert client.volumes.prune({"all": True})["VolumesDeleted"] in (None, [])
        container.remove()
        assert client.volumes.prune()["VolumesDeleted"] in (None, [])
        assert [item.name for item in client.volumes.list(filters={"label": "a=b"})] == ["guarded"]
        assert client.volumes.prune({"all": True, "label": "a=b"})["VolumesDeleted"] == ["guarded"]
        with pytest.raises(docker.errors.NotFound):
            client.volumes.get("guarded")
    finally:
        for left in client.volumes.list(filters={"name": "guarded"}):
            left.remove(force=True)


def test_disk_use_adds_up(client: docker.DockerClient, names: list[str]) -> None:
    names.append("big:1")
    recipe = b"FROM busybox\nRUN head -c 1000000 /dev/zero > /big\n"
    client.images.build(fileobj=io.BytesIO(context({"Dockerfile": recipe})), custom_context=True, tag="big:1")
    container = client.containers.run("big:1", "sleep 100", detach=True, volumes=["measured:/data"])
    try:
        container.exec_run("sh -c 'head -c 5000 /dev/zero > /data/f; head -c 7000 /dev/zero > /own'")
        usage = client.df()
        row = next(item for item in usage["Images"] if item["RepoTags"] == ["big:1"])
        assert row["Containers"] == 1
        assert row["Size"] - row["SharedSize"] == 1_000_000
        assert usage["LayersSize"] >= row["Size"]
        volume = next(item for item in usage["Volumes"] if item["Name"] == "measured")
        assert volume["UsageData"] == {"RefCount": 1, "Size": 5000}
        own = next(item for item in usage["Containers"] if item["Id"] == container.id)
        assert own["SizeRw"] == 7000
        assert client.api.df(), "the same without the model"
    finally:
        container.remove(force=True)
        client.volumes.get("measured").remove()
    client.images.remove("big:1")
    assert client.df()["LayersSize"] < usage["LayersSize"]


def test_pulls_of_one_image_share_their_work(daemon: Daemon, client: docker.DockerClient, registry: Registry) -> None:
    name = f"{registry.address}/shared/box"
    client.images.get("busybox").tag(name, "1")
    pushed = client.images.push(name, tag="1", stream=True, decode=True)
    assert any("digest: sha256:" in line.get("status", "") for line in pushed)
    client.images.remove(f"{name}:1")
    results: list[str] = []

    def pull() -> None:
        own = daemon.client()
        results.append(own.images.pull(name, tag="1").id)
        own.close()

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [client.images.get("busybox").id] * 4
    digests = client.images.get(f"{name}:1").attrs["RepoDigests"]
    assert f"{name}@{client.images.get_registry_data(f'{name}:1').id}" in digests
    client.images.remove(f"{name}:1")


def test_remote_contexts_that_are_not_there(daemon: Daemon) -> None:
    for remote, words in (
        ("ftp://x/y", b"could not be recognized as URL"),
        ("http://127.0.0.1:1/x", b"error downloading"),
    ):
        connection = UnixConnection(daemon.socket)
        connection.request("POST", f"/v1.50/build?remote={quote(remote, safe='')}")
        answer = connection.getresponse()
        assert answer.status >= 400
        assert words in answer.read()


def test_a_container_leaves_the_network_none_and_comes_back(daemon: Daemon) -> None:
    daemon.docker("network", "create", "later")
    try:
        daemon.docker("run", "-d", "--name", "lone", "--network", "none", "busybox", "sleep", "100")
        private = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        assert private in daemon.docker("network", "connect", "later", "lone", check=False).stderr
        daemon.docker("network", "disconnect", "none", "lone")
        daemon.docker("network", "connect", "later", "lone")
        assert "eth0" in daemon.docker("exec", "lone", "ip", "addr").stdout
        assert daemon.docker("exec", "lone", "nslookup", "lone").stdout
        assert private in daemon.docker("network", "connect", "none", "lone", check=False).stderr
        daemon.docker("restart", "-t", "0", "lone")
        assert "eth0" in daemon.docker("exec", "lone", "ip", "addr").stdout
        daemon.docker("network", "disconnect", "later", "lone")
        daemon.docker("network", "connect", "none", "lone")
        shown = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
        assert daemon.docker("inspect", "lone", "--format", shown).stdout.split() == ["none"]
        daemon.docker("rm", "-f", "lone")
    finally:
        daemon.docker("network", "rm", "later")


def test_names_are_known_from_the_network_that_was_joined_later(daemon: Daemon) -> None:
    """From the default bridge, too, where there are none; what the container has written itself is kept."""
    daemon.docker("network", "create", "named")
    try:
        daemon.docker("run", "-d", "--name", "asked", "--network", "named", "busybox", "sleep", "100")
        daemon.docker(
            "run", "-d", "--name", "asks", "busybox", "sh", "-c", "echo 192.0.2.1 own >>/etc/hosts; sleep 100"
        )
        daemon.docker("exec", "asks", "sh", "-c", "until grep -q own /etc/hosts; do sleep 0.1; done")
        before = daemon.docker("exec", "asks", "cat", "/etc/hosts").stdout
        daemon.docker("network", "connect", "named", "asks")
        assert daemon.docker("exec", "asks", "nslookup", "asked").stdout
        hosts = daemon.docker("exec", "asks", "cat", "/etc/hosts").stdout
        own = daemon.docker("exec", "asks", "hostname").stdout.strip()
        assert hosts.startswith(before) and hosts.removeprefix(before).split()[1:] == [own]
        daemon.docker("network", "disconnect", "named", "asks")
        assert daemon.docker("exec", "asks", "cat", "/etc/hosts").stdout == before
        daemon.docker("rm", "-f", "asks", "asked")
    finally:
        daemon.docker("network", "rm", "named")
