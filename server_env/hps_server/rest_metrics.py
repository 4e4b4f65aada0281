"""Counts of the REST facade, in the text format of Prometheus (version 0.0.4)."""

from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Requests by operation and error code, their seconds, and how many are inside."""

    def __init__(self) -> None:
        self.inside = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()

    def count(self, operation: str, code: int, seconds: float) -> None:
        """Note an answer: the envelope's error code, and how long it took."""
        self._requests[operation, code] += 1
        self._seconds[operation] += seconds  # type: ignore[assignment] # a Counter of floats
        for bound in _BUCKETS:
            self._buckets[operation, bound] += seconds <= bound

    def text(self) -> str:
        """All of it."""
        name = "hps_rest_requests_total"
        lines = [f"# HELP {name} Requests answered.", f"# TYPE {name} counter"]
        for (operation, code), count in sorted(self._requests.items()):
            lines.append(f'{name}{{operation="{operation}",code="{code}"}} {count}')
        name = "hps_rest_request_seconds"
        lines += [f"# HELP {name} Time of an answer.", f"# TYPE {name} histogram"]
        for operation in sorted(self._seconds):
            total = sum(n for (each, _), n in self._requests.items() if each == operation)
            label = f'operation="{operation}"'
            for bound in _BUCKETS:
                count = self._buckets[operation, bound]
                lines.append(f'{name}_bucket{{{label},le="{bound:g}"}} {count}')
            lines.append(f'{name}_bucket{{{label},le="+Inf"}} {total}')
            lines.append(f"{name}_sum{{{label}}} {self._seconds[operation]:.6f}")
            lines.append(f"{name}_count{{{label}}} {total}")
        name = "hps_rest_requests_inside"
        lines += [f"# HELP {name} Requests not yet answered.", f"# TYPE {name} gauge"]
        lines.append(f"{name} {self.inside}")
        return "\n".join(lines) + "\n"
