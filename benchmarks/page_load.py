"""Sizes of report pages, and how long a headless Chromium takes to load them.

    python benchmarks/page_load.py report=closure/report.html index=closures/index.html \
        held-out=gnn.report.html --out benchmarks/results/page_load.json

Each page is opened in a browser of its own, several times in turns. ``load`` is the time from the
start of the navigation to the end of the load event, when all pictures are decoded, as the browser
measures it; the start of the browser is not in it. Times are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from hepsilon.report import write_text

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCRIPT = """<script>
addEventListener("load", () => setTimeout(() => {
  const entry = performance.getEntriesByType("navigation")[0];
  const numbers = [entry.domContentLoadedEventEnd, entry.loadEventEnd,
                   document.querySelectorAll("*").length];
  document.title = "measured " + numbers.map(Math.round).join(" ");
}, 0));
</script>"""


def visit(browser: str, page: Path, width: int) -> list[int]:
    """Milliseconds until the text can be read and until all is loaded, and the elements."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / page.name
        copy.write_text(page.read_text().replace("</body>", f"{SCRIPT}</body>"))
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
        command = [browser, *flags, "--dump-dom", copy.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search(r"<title>measured ([\d ]+)</title>", done.stdout)
    if found is None:
        raise SystemExit(f"{page}: the browser did not say when it was loaded")
    return [int(number) for number in found[1].split()]


def main() -> None:
    """Measure the pages in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="+", help="NAME=PAGE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        raise SystemExit(f"there is no browser: {NAMES}")
    pages = {name: Path(path) for name, _, path in (page.partition("=") for page in args.pages)}
    found: dict[str, list[list[int]]] = {name: [] for name in pages}
    for _ in range(args.rounds):
        for name, page in pages.items():
            found[name].append(visit(browser, page, args.width))
    results: dict[str, Any] = {
        name: {
            "bytes": pages[name].stat().st_size,
            "plots": pages[name].read_text().count("<figure"),
            "elements": rounds[0][2],
            "readable [ms]": median(r[0] for r in rounds),
            "load [ms]": median(r[1] for r in rounds),
            "rounds": len(rounds),
        }
        for name, rounds in found.items()
    }
    text = json.dumps(results, indent=1)
    print(text)
    if args.out:
        write_text(args.out, text + "\n")


if __name__ == "__main__":
    main()
