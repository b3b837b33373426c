from .closures import ClosureFolder, closure_templates
from .combine import datacard
from .formats import FORMATS, write_templates
from .histfactory import workspace
from .responses import ResponseMatrix, response_matrix
from .template import Axis, Channel, Process, Template, Templates, templates

__all__ = [
    "FORMATS",
    "Axis",
    "Channel",
    "ClosureFolder",
    "Process",
    "ResponseMatrix",
    "Template",
    "Templates",
    "closure_templates",
    "datacard",
    "response_matrix",
    "templates",
    "workspace",
    "write_templates",
]
