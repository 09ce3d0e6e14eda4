"""Ranges of user ids, and what log drivers take: the pure parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.engine.containers import logdriver, probes, userids
from corten.errors import Conflict, Invalid, NotImplementedYet


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 50))
def test_ranges_do_not_meet(container_id: str, others: int) -> None:
    taken: set[int] = set()
    for _ in range(others + 1):
        base = userids.allocate(container_id, taken)
        assert base not in taken and base >= userids.FIRST and base + userids.SIZE <= userids.LAST
        assert (base - userids.FIRST) % userids.SIZE == 0
        taken.add(base)


def test_the_pool_has_an_end() -> None:
    everything = set(range(userids.FIRST, userids.LAST, userids.SIZE))
    with pytest.raises(Conflict, match="in use"):
        userids.allocate("ab" * 32, everything)


@given(st.integers(0, userids.SIZE - 1))
def test_shifts_are_inverse(number: int) -> None:
    assert userids.inside(userids.outside(number, userids.FIRST), userids.FIRST) == number
    assert userids.inside(number, 0) == userids.outside(number, 0) == number


def test_strangers_have_no_number_inside() -> None:
    assert userids.inside(0, userids.FIRST) == 65534
    with pytest.raises(Invalid):
        userids.outside(userids.SIZE, userids.FIRST)


@pytest.mark.parametrize(("text", "size"), [("-1", 0), ("10", 10), ("2k", 2048), ("1.5m", 1572864), ("1G", 1 << 30)])
def test_sizes(text: str, size: int) -> None:
    assert logdriver.size(text) == size


@pytest.mark.parametrize("kind", sorted(logdriver.DRIVERS))
def test_no_driver_needs_an_option(kind: str) -> None:
    logdriver.check(kind, {})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("none", {"max-size": "1"}),
        ("json-file", {"compress": "perhaps"}),
        ("json-file", {"compress": "true", "max-file": "1"}),
        ("syslog", {"cache-max-file": "0"}),
        ("syslog", {"syslog-address": "tcp://"}),
        ("syslog", {"syslog-address": "udp://h:nine"}),
    ],
    ids=str,
)
def test_log_options_that_are_refused(kind: str, options: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        logdriver.check(kind, options)
    with pytest.raises(NotImplementedYet):
        logdriver.check("syslog", {"syslog-tls-cert": "/x"})


@given(st.text(max_size=40) | st.just("http://[") | st.just("http://:99999999/"))
def test_a_probe_target_is_taken_or_refused(target: str) -> None:
    for kind in probes.KINDS:
        try:
            probes.check(kind, [target])
        except Invalid:
            continue
