"""What this process has counted since its start, for /metrics."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Plain numbers, one loop, no locks."""

    def __init__(self) -> None:
        self.batches = 0
        self.records = 0
        self.quarantined = 0
        self.commands: Counter[str] = Counter()  #: by how they ended here
        self.refused: Counter[str] = Counter()  #: requests turned away, by reason
        self.links = 0  #: app links now

    def batch(self, records: int, quarantined: int) -> None:
        """One batch was acknowledged."""
        self.batches += 1
        self.records += records
        self.quarantined += quarantined

    def text(self, *, boxes: int, followers: int) -> str:
        """Prometheus' text format 0.0.4."""
        lines = [
            *_metric("boxes", "gauge", "Boxes connected now.", boxes),
            *_metric("app_links", "gauge", "App links open now.", self.links),
            *_metric("followers", "gauge", "Sites followed, over all app links.", followers),
            *_metric("batches_total", "counter", "Batches acknowledged.", self.batches),
            *_metric("records_total", "counter", "Records in acknowledged batches.", self.records),
            *_metric("quarantined_total", "counter", "Records put into quarantine.", self.quarantined),
            *_by("commands_total", "How relayed commands ended.", "end", self.commands),
            *_by("refused_total", "Requests turned away.", "reason", self.refused),
        ]
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, help_: str, value: int) -> list[str]:
    full = f"plugside_cloud_{name}"
    return [f"# HELP {full} {help_}", f"# TYPE {full} {kind}", f"{full} {value}"]


def _by(name: str, help_: str, label: str, values: Counter[str]) -> list[str]:
    full = f"plugside_cloud_{name}"
    head = [f"# HELP {full} {help_}", f"# TYPE {full} counter"]
    return head + [f'{full}{{{label}="{key}"}} {count}' for key, count in sorted(values.items())]
