"""Names of methods and categories, and the axes that all histograms share."""

from __future__ import annotations

from typing import Any

import hist

__all__ = [
    "ALL",
    "DIRECT",
    "GENERATED",
    "OTHER",
    "SELECTED",
    "TAG_COUNTS",
    "TRUTH",
    "one_method",
    "part_of",
    "replica_axis",
]

ALL = "all"
"""Method without any efficiency, and category of everything."""
DIRECT = "direct"
"""Method of the tag decision itself."""
TRUTH = "truth"
"""Method of the simulated true efficiency."""
GENERATED = "generated"
"""Method of all generated events, what the corrected ones should give back."""
SELECTED = "selected"
"""Method of the selected events, not corrected."""
TAG_COUNTS = "tag_counts"
"""Key of the histograms of all conditions on the tags of an event."""
OTHER = "other"
"""Category of objects whose category the task does not name."""


def replica_axis(replicas: int) -> hist.axis.Integer:
    """Axis of replicas, those of the bootstrap or those of an efficiency, as hist has it."""
    return hist.axis.Integer(0, replicas, name="replica", flow=False)


def one_method(histogram: hist.Hist[Any], method: str) -> Any:
    """Part of a histogram that belongs to one method.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram with the axis ``method``.
    method : str
        Name of the method.

    Returns
    -------
    hist.Hist
        Histogram of the other axes.
    """
    return histogram[{"method": method}]


def part_of(histogram: hist.Hist[Any], **bins: Any) -> Any:
    """Part of a histogram in one bin, such as a category, of each axis that is named.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram of named axes.
    **bins
        Bin by name of the axis; ``sum`` for all of them.

    Returns
    -------
    hist.Hist or accumulator
        Histogram of the other axes; the content of the bin if there are none.
    """
    index: Any = bins
    return histogram[index]
