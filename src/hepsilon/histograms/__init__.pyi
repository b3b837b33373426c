from .categories import category_names, fill_rows, object_categories, pair_categories, pair_names
from .densities import differential, unit_of
from .jets import JET_OBSERVABLES
from .methods import one_method, replica_axis
from .observables import Observable, Observable2D, register_observable, regular
from .tracks import track_observables

__all__ = [
    "JET_OBSERVABLES",
    "Observable",
    "Observable2D",
    "category_names",
    "differential",
    "fill_rows",
    "object_categories",
    "one_method",
    "pair_categories",
    "pair_names",
    "register_observable",
    "regular",
    "replica_axis",
    "track_observables",
    "unit_of",
]
