"""The planner of the disk budget: examples of each reason, and what must hold whatever there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corten.engine.budget.model import Item, Kind, Limits, Plan, Survey
from corten.engine.budget.planner import plan

NOW = 1_000_000.0
DAY = 86400.0


def item(id: str, kind: Kind, days: float, *parts: str, needs: tuple[str, ...] = (), pin: str = "") -> Item:
    return Item(id, kind, id, NOW - days * DAY, frozenset(parts), frozenset(needs), pin)


def survey(*items: Item, free: int = 0, **parts: int) -> Survey:
    sizes = {name.replace("_", ":"): size for name, size in parts.items()}
    return Survey(items, sizes, free, NOW)


def gone(made: Plan) -> list[str]:
    return [line.item.id for line in made.removals]


def reasons(made: Plan) -> dict[str, str]:
    return {line.item.id: line.reason for line in made.lines}


def test_the_least_recently_used_goes_first_and_no_more_than_needed() -> None:
    images = [item(f"i{days}", Kind.IMAGE, days, f"layer:{days}") for days in (1, 5, 3)]
    made = plan(survey(*images, layer_1=10, layer_5=10, layer_3=10), Limits(ceiling=15))
    assert gone(made) == ["i5", "i3"]
    assert (made.excess, made.freed, made.missing) == (15, 20, 0)
    assert reasons(made)["i1"] == "enough is free without it"


def test_shared_layers_are_free_when_the_last_image_goes() -> None:
    old = item("old", Kind.IMAGE, 9, "layer:base", "layer:a")
    new = item("new", Kind.IMAGE, 1, "layer:base", "layer:b")
    made = plan(survey(old, new, layer_base=100, layer_a=1, layer_b=1), Limits(ceiling=50))
    assert [(line.item.id, line.size) for line in made.removals] == [("old", 1), ("new", 101)]


def test_what_frees_nothing_stays() -> None:
    twin = item("twin", Kind.IMAGE, 9, "layer:base")
    pinned = item("kept", Kind.IMAGE, 9, "layer:base", pin="pinned by its label")
    other = item("other", Kind.IMAGE, 1, "layer:o")
    made = plan(survey(twin, pinned, other, layer_base=100, layer_o=5), Limits(ceiling=100))
    assert gone(made) == ["other"]
    assert reasons(made)["twin"] == "enough is free without it"


def test_an_image_waits_for_its_container() -> None:
    image = item("image", Kind.IMAGE, 30, "layer:a")
    container = item("box", Kind.CONTAINER, 2, "snapshot:box", "layer:a", needs=("image",))
    younger = item("younger", Kind.IMAGE, 1, "layer:b")
    made = plan(survey(image, container, younger, layer_a=10, layer_b=10, snapshot_box=1), Limits(ceiling=10))
    assert gone(made) == ["box", "image"]
    running = item("box", Kind.CONTAINER, 2, "snapshot:box", "layer:a", needs=("image",), pin="it runs")
    made = plan(survey(image, running, younger, layer_a=10, layer_b=10, snapshot_box=1), Limits(ceiling=10))
    assert gone(made) == ["younger"]
    assert reasons(made)["image"] == "needed by container box"
    assert made.missing == 1


def test_the_young_stay_and_rests_go_first() -> None:
    rest = Item("rest", Kind.UNREFERENCED, "rest", NOW, frozenset({"blob:x"}))
    young = item("young", Kind.IMAGE, 0.001, "layer:y")
    made = plan(survey(rest, young, blob_x=5, layer_y=5, free=0), Limits(floor=100))
    assert gone(made) == ["rest"]
    assert reasons(made)["young"] == "used a moment ago"
    assert made.missing == 95


def test_a_base_image_is_as_young_as_the_cache_upon_it() -> None:
    base = item("base", Kind.IMAGE, 90, "layer:base", "blob:config")
    cache = item("cache", Kind.CACHE, 1, "layer:base", "layer:step")
    other = item("other", Kind.IMAGE, 30, "layer:other")
    sizes = survey(base, cache, other, layer_base=10, blob_config=1, layer_step=10, layer_other=10)
    assert gone(plan(sizes, Limits(ceiling=25))) == ["other"]


def test_without_limits_nothing_goes() -> None:
    made = plan(survey(item("i", Kind.IMAGE, 99, "layer:a"), layer_a=10), Limits())
    assert (gone(made), reasons(made)["i"]) == ([], "there is no budget")


PARTS = st.dictionaries(st.sampled_from([f"layer:{n}" for n in range(6)]), st.integers(0, 50), min_size=1)


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    parts = draw(PARTS)
    ids = [f"i{number}" for number in range(draw(st.integers(1, 7)))]
    items = [
        Item(
            id,
            draw(st.sampled_from(list(Kind))),
            id,
            NOW - draw(st.integers(0, 30)) * DAY,
            frozenset(draw(st.sets(st.sampled_from(sorted(parts))))),
            frozenset(draw(st.sets(st.sampled_from(ids[:number]))) if number else ()),
            draw(st.sampled_from(["", "", "pinned"])),
        )
        for number, id in enumerate(ids)
    ]
    return Survey(tuple(items), parts, draw(st.integers(0, 100)), NOW)


@given(surveys(), st.integers(0, 200), st.integers(0, 200))
def test_what_always_holds(found: Survey, ceiling: int, floor: int) -> None:
    limits = Limits(ceiling, floor)
    made = plan(found, limits)
    removed = [line.item for line in made.removals]
    assert {line.item.id for line in made.lines} == {each.id for each in found.items}
    assert all(line.reason for line in made.lines)
    assert not any(each.pin for each in removed)
    kept = {each.id: each for each in found.items if each not in removed}
    # Nothing that stays needs what goes, and nothing goes before what needs it.
    assert not any(each.needs - set(kept) for each in kept.values())
    for position, each in enumerate(removed):
        assert not any(each.id in later.needs for later in removed[position + 1 :])
    # The bytes are exact.
    left = {part for each in kept.values() for part in each.parts}
    assert made.freed == found.used - sum(found.parts[part] for part in left)
    # No more than needed: without the last removal that frees something the limits do not hold.
    if removed:
        sizes = [line.size for line in made.removals]
        assert made.excess > 0
        assert sum(sizes[:-1]) < made.excess or sizes[-1] == 0
    # If it is not enough, everything that may go is gone or would free nothing.
    if made.missing:
        for line in made.lines:
            if not line.removes and line.reason == "removing it would free nothing":
                assert line.size == 0
