"""The JSON lines that clients draw bars from."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from corten.api import progress


def collect() -> tuple[list[bytes], list[float], progress.ProgressLines]:
    sent: list[bytes] = []
    now = [0.0]
    return sent, now, progress.ProgressLines(sent.append, clock=lambda: now[0])


def test_lines_end_in_cr_lf_and_hold_one_object() -> None:
    assert progress.stream("Step 1/2 : FROM scratch") == b'{"stream":"Step 1/2 : FROM scratch"}\r\n'
    assert json.loads(progress.error("no", 2)) == {"errorDetail": {"code": 2, "message": "no"}, "error": "no"}
    assert json.loads(progress.status("Pulling from x", "latest")) == {"status": "Pulling from x", "id": "latest"}
    assert json.loads(progress.aux({"ID": "sha256:1"})) == {"aux": {"ID": "sha256:1"}}


def test_a_bar_is_drawn_as_older_clients_print_it() -> None:
    line = json.loads(progress.bar("abc", "Downloading", 500, 1000))
    assert line["progressDetail"] == {"current": 500, "total": 1000}
    assert line["progress"] == "[" + "=" * 25 + ">" + " " * 25 + "]     500B/1kB"
    assert json.loads(progress.bar("abc", "Downloading", 500, 0))["progressDetail"] == {"current": 500}


def test_bars_are_thinned_but_words_and_ends_are_not() -> None:
    sent, now, lines = collect()
    lines.update("a", "Downloading", 1, 10)
    lines.update("a", "Downloading", 2, 10)
    now[0] = progress.BAR_INTERVAL * 2
    lines.update("a", "Downloading", 3, 10)
    lines.update("a", "Downloading", 10, 10)
    lines.update("a", "Download complete")
    lines.update("a", "Download complete")
    seen = [json.loads(line) for line in sent]
    assert [line["progressDetail"].get("current") for line in seen] == [1, 3, 10, None]
    assert seen[-1]["status"] == "Download complete"


def test_layers_do_not_thin_one_another() -> None:
    sent, _, lines = collect()
    lines.update("a", "Downloading", 1, 10)
    lines.update("b", "Downloading", 1, 10)
    lines.message("Digest: sha256:1")
    assert len(sent) == 3


def test_human_sizes() -> None:
    assert [progress.human_size(n) for n in (0, 999, 1000, 1_293_000, 10**15)] == [
        "0B",
        "999B",
        "1kB",
        "1.293MB",
        "1PB",
    ]


@given(st.lists(st.dictionaries(st.text(), st.text())))
def test_a_stream_reads_back(values: list[dict[str, str]]) -> None:
    assert list(progress.decode(b"".join(progress.encode(value) for value in values))) == values
