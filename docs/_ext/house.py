"""The picture of the house, drawn from the rows of layers in pyproject.toml.

``python docs/_ext/house.py`` writes docs/house.svg; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "house.svg"
WIDTH, FLOOR, ROOF, MARGIN, LEGEND = 480, 34, 56, 12, 30
ROLES = {
    "makes one": ("#f6c177", "data networks training efficiencies export"),
    "checks one": ("#9ccfd8", "closure plotting report"),
    "turns one into weights": (
        "#c9b6e8",
        "weights histograms uncertainty analysis_tools processors fits",
    ),
    "all three": ("#e3e3de", ""),
}
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}"
  font-family="sans-serif" font-size="14" role="img">
<title>The rooms of src/hepsilon, one floor for each layer</title>
<rect width="{w}" height="{h}" fill="#fff"/>"""
TOP = """\
<path d="M{left} {y} L{middle} {left} L{right} {y} Z" fill="#fbfaf6" stroke="#444"/>
<text x="{middle}" y="{base}" text-anchor="middle" font-weight="bold">hepsilon</text>"""


def layers() -> list[list[str]]:
    """Rooms of every row, highest first."""
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (rows,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in row.split("|")] for row in rows]


def colour(room: str) -> str:
    """Fill of a room by what it does."""
    found = (fill for fill, rooms in ROLES.values() if room in rooms.split())
    return next(found, ROLES["all three"][0])


def box(x: float, y: float, width: float, fill: str, text: str) -> str:
    """One room."""
    middle = f'x="{x + width / 2:.1f}" y="{y + FLOOR / 2 + 5:.1f}"'
    return (
        f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{width:.1f}" height="{FLOOR - 4}" rx="4" '
        f'fill="{fill}" stroke="#444"/><text {middle} text-anchor="middle">{text}</text>'
    )


def picture() -> str:
    """The house as SVG."""
    floors = layers()
    height = ROOF + FLOOR * len(floors) + 2 * LEGEND + 2 * MARGIN
    inner = WIDTH - 2 * MARGIN
    middle = {"left": MARGIN, "middle": WIDTH // 2, "right": WIDTH - MARGIN}
    lines = [HEAD.format(w=WIDTH, h=height), TOP.format(**middle, y=ROOF, base=ROOF - 10)]
    for number, rooms in enumerate(floors):
        y, width = ROOF + MARGIN / 2 + FLOOR * number, inner / len(rooms)
        for i, room in enumerate(rooms):
            lines.append(box(MARGIN + i * width + 2, y, width - 4, colour(room), room))
    for i, (role, (fill, _)) in enumerate(ROLES.items()):
        x, y = MARGIN + (i % 2) * inner / 2, height - 2 * LEGEND + (i // 2) * 24
        lines.append(
            f'<rect x="{x:.0f}" y="{y}" width="16" height="16" fill="{fill}" stroke="#444"/>'
        )
        lines.append(f'<text x="{x + 24:.0f}" y="{y + 13}">{role}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
