"""Print the results of the speed benchmarks as a short table.

python benchmarks/table.py benchmarks/results/speed.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Read the JSON of pytest-benchmark and print one row for each benchmark."""
    results = json.loads(Path(sys.argv[1]).read_text())
    print(", ".join(f"{key} {value}" for key, value in results["machine_info"].items()))
    for entry in results["benchmarks"]:
        name = entry["name"].removeprefix("test_").replace("_", " ")
        numbers = entry["extra_info"] or {"seconds": entry["stats"]["median"]}
        print(f"\n{name}")
        for key, value in numbers.items():
            print(f"  {key:40} {value:,.3g}" if isinstance(value, float) else f"  {key:40} {value}")


if __name__ == "__main__":
    main()
