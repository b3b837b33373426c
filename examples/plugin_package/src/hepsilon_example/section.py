"""A report section: the observables that agree worst."""

from hepsilon.closure.model import Closure
from hepsilon.report import Section, Table, register_section


@register_section("unlikely")
def unlikely(closure: Closure) -> Section | None:
    """The three smallest p-values of each efficiency."""
    rows = []
    for name, entry in closure.efficiency.items():
        known = {key: each.p_value for key, each in entry.observables.items() if each.ndf}
        for key, p_value in sorted(known.items(), key=lambda pair: pair[1] or 0.0)[:3]:
            rows.append([name, key, f"{p_value:.2g}"])
    if not rows:
        return None
    return Section("Least likely observables", table=Table(["efficiency", "observable", "p"], rows))
