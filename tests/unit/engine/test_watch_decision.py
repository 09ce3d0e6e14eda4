"""Whom a follower of images follows, when it acts, how it judges, what it hands on."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.engine.containers import mounts, options
from corten.engine.containers.model import Container, HealthRecord
from corten.engine.containers.status import Status
from corten.engine.watch import decision, inherit, notice
from corten.engine.watch.decision import Order, Trial, Verdict
from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.reference import Reference

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
IMAGE_ID = "sha256:" + "fe" * 32
IMAGE = {
    "Env": ["PATH=/bin", "VERSION=1"],
    "Cmd": ["serve"],
    "Entrypoint": ["/entry"],
    "Labels": {"version": "1", "vendor": "v"},
    "ExposedPorts": {"80/tcp": {}},
    "WorkingDir": "/app",
    "StopSignal": "SIGINT",
    "Healthcheck": {"Test": ["CMD", "probe"], "Interval": 10**9},
    "Volumes": {"/cache": {}},
}


def container(
    config: dict[str, Any] | None = None, image: dict[str, Any] | None = None, name: str = "app:qa", **host: Any
) -> Container:
    merged = options.read_config({"Cmd": ["sh"], "Image": name} | (config or {}), image or {})
    kept = options.read_host_config(host, options.Defaults())
    points = mounts.collect(merged, kept, lambda _: ())
    made = Container("ab" * 32, "web", 1000.0, IMAGE_ID, name, merged, kept, mounts=points)
    made.state.status = Status.RUNNING
    return made


@pytest.mark.parametrize(
    ("labels", "followed"),
    [
        ({}, False),
        ({"com.corten.watch": "true"}, True),
        ({"com.corten.watch": "TRUE "}, True),
        ({"com.corten.watch": "1"}, True),
        ({"com.corten.watch": ""}, False),
        ({"com.corten.watch": "no"}, False),
        ({"com.centurylinklabs.watchtower.enable": "true"}, True),
        ({"com.centurylinklabs.watchtower.enable": "false"}, False),
        ({"com.corten.watch": "false", "com.centurylinklabs.watchtower.enable": "true"}, False),
    ],
)
def test_labels(labels: dict[str, str], followed: bool) -> None:
    assert decision.is_followed(labels) is followed


def test_tags_are_followed_and_nothing_else() -> None:
    assert str(decision.target(container(name="app"))) == "docker.io/library/app:latest"
    assert str(decision.target(container(name="r.example:5000/a/b:1"))) == "r.example:5000/a/b:1"
    for pinned in (f"app@{ONE}", f"app:1@{ONE}", IMAGE_ID, "fe" * 32, "fefefefefefe", "fefe"):
        with pytest.raises(Invalid, match="never moves"):
            decision.target(container(name=pinned))
    assert decision.target(container(name="cafe")).repository == "library/cafe"  # hex, and yet no id of this image


def test_verdicts() -> None:
    assert decision.judge([ONE, TWO], ONE, "") is Verdict.CURRENT
    assert decision.judge([ONE], TWO, "") is Verdict.MOVED
    assert decision.judge([], TWO, str(ONE)) is Verdict.MOVED  # the tag has moved since the bad one
    assert decision.judge([ONE], TWO, str(TWO)) is Verdict.BAD
    assert decision.judge([ONE], ONE, str(ONE)) is Verdict.CURRENT  # it runs: whatever was said of it is old


@pytest.mark.parametrize(
    ("host", "config", "order"),
    [
        ({}, {}, Order.START_FIRST),
        ({"PublishAllPorts": True}, {}, Order.START_FIRST),
        ({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}, {}, Order.STOP_FIRST),
        ({"NetworkMode": "host"}, {}, Order.STOP_FIRST),
        ({"NetworkMode": "container:x"}, {}, Order.STOP_FIRST),
        ({"Binds": ["data:/data"]}, {}, Order.STOP_FIRST),
        ({"Binds": ["data:/data:ro"]}, {}, Order.START_FIRST),
        ({"Tmpfs": {"/tmp": ""}}, {}, Order.START_FIRST),
        ({}, {"MacAddress": "02:42:ac:11:00:02"}, Order.STOP_FIRST),
        ({"Binds": ["data:/data"]}, {"Labels": {"com.corten.watch.order": "start-first"}}, Order.START_FIRST),
        ({}, {"Labels": {"com.corten.watch.order": "stop-first"}}, Order.STOP_FIRST),
    ],
)
def test_order(host: dict[str, Any], config: dict[str, Any], order: Order) -> None:
    assert decision.order(container(config, **host)) is order


def test_a_fixed_address_is_had_by_one_only() -> None:
    made = container()
    made.endpoints = {"net": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}}
    assert decision.order(made) is Order.STOP_FIRST
    made.endpoints = {"net": {"IPAMConfig": {}, "Aliases": ["a"]}}
    assert decision.order(made) is Order.START_FIRST


def test_an_order_that_there_is_not() -> None:
    with pytest.raises(Invalid, match="start-first or stop-first"):
        decision.order(container({"Labels": {"com.corten.watch.order": "both"}}))


def test_obstacles() -> None:
    made = container()
    assert decision.obstacle(made, []) == ""
    assert "sidecar shares its namespaces" in decision.obstacle(made, ["sidecar"])
    for status in (Status.PAUSED, Status.EXITED, Status.CREATED, Status.RESTARTING):
        made.state.status = status
        assert status in decision.obstacle(made, [])


def test_a_trial_by_time() -> None:
    made = container()
    assert decision.trial(made, 1.0, 5.0).trial is Trial.WAIT
    assert decision.trial(made, 5.0, 5.0).trial is Trial.PASSED
    made.state.status, made.state.exit_code = Status.EXITED, 7
    judged = decision.trial(made, 1.0, 5.0)
    assert judged.trial is Trial.FAILED and "exit status 7" in judged.reason


def test_a_trial_by_health() -> None:
    made = container({"Healthcheck": {"Test": ["CMD", "x"], "Interval": 10**9, "Timeout": 10**9, "Retries": 2}})
    made.state.health = HealthRecord()
    assert decision.patience(made) == 34.0
    assert decision.trial(made, 20.0, 5.0).trial is Trial.WAIT  # a time of grace is for those without a check
    assert decision.trial(made, 35.0, 5.0).trial is Trial.FAILED
    made.state.health.status = "healthy"
    assert decision.trial(made, 0.1, 5.0).trial is Trial.PASSED
    made.state.health = HealthRecord("unhealthy", 2, [{"ExitCode": 1, "Output": "no answer\n"}])
    judged = decision.trial(made, 0.1, 5.0)
    assert judged.trial is Trial.FAILED and judged.reason == "the new container is unhealthy: no answer"


# -- notices ---------------------------------------------------------------------------------------------------


def test_notices_of_registries() -> None:
    target = {"repository": "team/app", "tag": "qa", "digest": str(ONE)}
    events = [
        {"action": "push", "target": target},
        {"action": "push", "target": target},
        {"action": "push", "target": {"repository": "team/app", "digest": str(ONE)}},  # a blob
        {"action": "pull", "target": target | {"tag": "pulled"}},
        {"action": "delete", "target": target | {"tag": "gone"}},
    ]
    [push] = notice.parse({"events": events})
    assert push.concerns(Reference.parse("r.example/team/app:qa"))
    assert push.concerns(Reference.parse("other-name-of-it:5000/team/app:qa"))
    assert not push.concerns(Reference.parse("r.example/team/app:production"))
    assert not push.concerns(Reference.parse("r.example/other/app:qa"))


def test_a_notice_of_the_hub() -> None:
    [push] = notice.parse({"push_data": {"tag": "1"}, "repository": {"repo_name": "me/app"}})
    assert push.concerns(Reference.parse("me/app:1"))


@pytest.mark.parametrize("body", [None, [], "x", {}, {"events": {}}, {"push_data": {}, "repository": "x"}])
def test_what_is_no_notice(body: Any) -> None:
    with pytest.raises(Invalid, match="no notice"):
        notice.parse(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["action", "target", "repository", "tag", "repo_name", "push_data", "events"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4), json_values, json_values)
def test_no_notice_breaks_the_reader(events: list[Any], repository: Any, data: Any) -> None:
    assert isinstance(notice.parse({"events": events}), tuple)
    with contextlib.suppress(Invalid):
        notice.parse({"repository": repository, "push_data": data})


# -- what is handed on -----------------------------------------------------------------------------------------


def test_the_new_images_word_counts_where_the_user_said_nothing() -> None:
    made = container({"Cmd": None, "Env": ["OWN=1"], "Labels": {"mine": "yes"}}, IMAGE)
    own = inherit.own_config(made.config, IMAGE)
    newer = IMAGE | {
        "Env": ["PATH=/bin", "VERSION=2"],
        "Cmd": ["serve", "--better"],
        "Labels": {"version": "2"},
        "Healthcheck": {"Test": ["CMD", "better"]},
        "WorkingDir": "/new",
    }
    again = options.read_config(own, newer)
    assert sorted(again["Env"]) == ["OWN=1", "PATH=/bin", "VERSION=2"]
    assert again["Cmd"] == ["serve", "--better"] and again["Entrypoint"] == ["/entry"]
    assert again["Labels"] == {"version": "2", "mine": "yes"}
    assert again["Healthcheck"] == {"Test": ["CMD", "better"]}
    assert again["WorkingDir"] == "/new"


def test_the_users_word_stays() -> None:
    asked = {
        "Cmd": ["other"],
        "Env": ["VERSION=mine"],
        "User": "www",
        "WorkingDir": "/mine",
        "StopSignal": "SIGTERM",
        "StopTimeout": 3,
        "Healthcheck": {"Interval": 5 * 10**9},
        "Labels": {"version": "mine"},
    }
    made = container(asked, IMAGE)
    again = options.read_config(inherit.own_config(made.config, IMAGE), IMAGE | {"Cmd": ["newer"], "User": "root"})
    assert again == options.read_config(asked | {"Image": "app:qa"}, IMAGE | {"Cmd": ["newer"], "User": "root"})
    assert again["Cmd"] == ["other"] and again["User"] == "www" and again["Healthcheck"]["Interval"] == 5 * 10**9


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"Cmd": None},
        {"Entrypoint": ["/mine"], "Cmd": None},
        {"Entrypoint": ["/mine"], "Cmd": ["x"]},
        {"Entrypoint": [""], "Cmd": ["x"]},
        {"Entrypoint": [""], "Cmd": ["serve"]},
        {"Healthcheck": {"Test": ["NONE"]}},
        {"Volumes": {"/data": {}}, "ExposedPorts": {"81/tcp": {}}},
    ],
)
def test_the_same_image_again_gives_the_same_container(asked: dict[str, Any]) -> None:
    made = container(asked, IMAGE)
    assert options.read_config(inherit.own_config(made.config, IMAGE), IMAGE) == made.config


def test_volumes_without_a_name_are_handed_on() -> None:
    made = container(
        {"Volumes": {"/cache": {}, "/flag": {}}},
        Binds=["/bare", "named:/named"],
        Mounts=[{"Type": "volume", "Target": "/mounted"}, {"Type": "tmpfs", "Target": "/mem"}],
    )
    for number, point in enumerate(made.mounts):
        if point.anonymous:
            made.mounts[number] = type(point)(**{**_fields(point), "name": f"v{point.destination[1:]}"})
    host = inherit.host_config(made)
    assert host["Binds"] == ["vbare:/bare", "named:/named"]
    sources = {item["Target"]: item.get("Source") for item in host["Mounts"]}
    assert sources == {"/mounted": "vmounted", "/mem": None, "/cache": "vcache", "/flag": "vflag"}
    again = mounts.collect(made.config, options.read_host_config(host, options.Defaults()), lambda _: ())
    assert {point.destination: point.name for point in again} == {
        point.destination: point.name for point in made.mounts
    }


def _fields(point: Any) -> dict[str, Any]:
    return {name: getattr(point, name) for name in point.__dataclass_fields__}


def test_nobody_is_led_to_a_container_on_trial() -> None:
    made = container(NetworkMode="net", RestartPolicy={"Name": "always"}, AutoRemove=False)
    made.endpoints = {"net": {"Aliases": ["db"], "IPAMConfig": {}}, "gone": {}}
    made.left_networks = ["gone"]
    wanted = inherit.request(made, {}, "web-watch-1", IMAGE_ID, aliases=False)
    assert wanted.networking == {"EndpointsConfig": {"net": {"IPAMConfig": {}}}}
    assert wanted.host_config["RestartPolicy"]["Name"] == "no"
    assert wanted.image_id == IMAGE_ID and wanted.config["Image"] == "app:qa"
    assert made.host_config["RestartPolicy"]["Name"] == "always", "the old one's is untouched"
    alone = inherit.request(made, {}, "web-watch-1", IMAGE_ID, aliases=True)
    assert alone.networking["EndpointsConfig"]["net"]["Aliases"] == ["db"]
