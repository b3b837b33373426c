"""The report of a closure: tables, one self-contained page, and the files beside it."""

from hepsilon._system.files import write_text
from hepsilon.plotting.style import save_figure
from hepsilon.report.content import Section, Table
from hepsilon.report.held_out import held_out_verdict, write_held_out
from hepsilon.report.inversion import mean_chi2
from hepsilon.report.registry import register_section
from hepsilon.report.samples import write_samples
from hepsilon.report.tables import summary_rows
from hepsilon.report.writer import write_closure

__all__ = [
    "Section",
    "Table",
    "held_out_verdict",
    "mean_chi2",
    "register_section",
    "save_figure",
    "summary_rows",
    "write_closure",
    "write_held_out",
    "write_samples",
    "write_text",
]
