"""`python -m tests.benchmarks admit` (or another): what something costs, beside a floor measured in the same run."""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import admit, dashboard, memory, records, shields, sinks
from tests.benchmarks.measure import Line, table

BENCHMARKS: dict[str, Callable[[int], list[Line]]] = {
    "admit": admit.run,
    "dashboard": dashboard.run,
    "memory": memory.run,
    "records": records.run,
    "shields": shields.run,
    "sinks": sinks.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=9, help="how often each pair is measured; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    lines = BENCHMARKS[options.benchmark](options.rounds)
    print(f"Python {platform.python_version()}, {platform.machine()}; medians of {options.rounds} rounds\n")
    print(table(lines))
    if options.json:
        options.json.write_text(json.dumps([line._asdict() for line in lines], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
