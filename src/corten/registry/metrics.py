"""What the registry counts, printed for Prometheus (text format 0.0.4).

Each process counts for itself; processes.py sums what several count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)


class Metrics:
    """Counters and one histogram."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()
        self._in_flight = 0

    def begin(self) -> None:
        """A request came."""
        self._in_flight += 1

    def end(self, kind: str, method: str, status: int, seconds: float, received: int, sent: int) -> None:
        """A request was answered."""
        self._in_flight -= 1
        self._requests[kind, method, status] += 1
        self._bytes["received"] += received
        self._bytes["sent"] += sent
        buckets = self._buckets.setdefault(kind, [0] * (len(_BUCKETS) + 1))
        buckets[bisect_left(_BUCKETS, seconds)] += 1
        self._seconds[kind] += seconds  # type: ignore[assignment]

    def count(self, event: str, amount: int = 1) -> None:
        """Something else happened."""
        self._events[event] += amount

    def to_json(self) -> dict[str, Any]:
        """What ``add`` reads."""
        return {
            "requests": [[*key, number] for key, number in self._requests.items()],
            "bytes": self._bytes,
            "events": self._events,
            "buckets": self._buckets,
            "seconds": self._seconds,
            "in_flight": self._in_flight,
        }

    def add(self, other: Mapping[str, Any], *, alive: bool) -> None:
        """Count what another process counted; one that is dead is answering nothing now."""
        for kind, method, status, number in other["requests"]:
            self._requests[kind, method, status] += number
        self._bytes.update(other["bytes"])
        self._events.update(other["events"])
        self._seconds.update(other["seconds"])
        for kind, numbers in other["buckets"].items():
            known = self._buckets.setdefault(kind, [0] * len(numbers))
            self._buckets[kind] = [a + b for a, b in zip(known, numbers, strict=True)]
        self._in_flight += other["in_flight"] if alive else 0

    def to_text(self) -> str:
        """All of them."""
        lines = _header("corten_registry_requests_total", "counter", "Requests answered.")
        for (kind, method, status), number in sorted(self._requests.items()):
            labels = f'kind="{kind}",method="{method}",status="{status}"'
            lines.append(f"corten_registry_requests_total{{{labels}}} {number}")
        lines += _header("corten_registry_requests_in_flight", "gauge", "Requests being answered.")
        lines.append(f"corten_registry_requests_in_flight {self._in_flight}")
        lines += _header("corten_registry_bytes_total", "counter", "Bytes of bodies.")
        lines += [
            f'corten_registry_bytes_total{{direction="{name}"}} {self._bytes[name]}' for name in sorted(self._bytes)
        ]
        lines += _header(
            "corten_registry_events_total", "counter", "Pushes, pulls, mounts, deletions, collected things."
        )
        lines += [
            f'corten_registry_events_total{{event="{name}"}} {self._events[name]}' for name in sorted(self._events)
        ]
        lines += _header("corten_registry_request_seconds", "histogram", "Time to answer.")
        for kind, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, number in zip((*map(str, _BUCKETS), "+Inf"), buckets, strict=True):
                total += number
                lines.append(f'corten_registry_request_seconds_bucket{{kind="{kind}",le="{bound}"}} {total}')
            lines.append(f'corten_registry_request_seconds_sum{{kind="{kind}"}} {self._seconds[kind]:.6f}')
            lines.append(f'corten_registry_request_seconds_count{{kind="{kind}"}} {total}')
        return "\n".join(lines) + "\n"


def _header(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
