"""What the networks of a training leave: a test of it, and on request trees behind the networks.

The test compares responses and efficiencies on events that the networks were not trained on
(:mod:`hepsilon.training.refinement_residuals`). With ``refine = true`` trees are boosted from the
logits of the networks (:mod:`hepsilon.training.refinement_trees`), on all events; with folds each
event has the logits of the network that was not trained on it. They become a stage of the
efficiency where the loss on events that the trees were not fitted to falls by more than twice its
error. Where a network has seen the events of its logits, it has already taken a part of what there
is to gain on them: the gain out of fold is then rather too small than too large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.refinement_cards import RefinementCard, RegionCard, ResidualsCard
from hepsilon.efficiencies.tree_inputs import input_names
from hepsilon.efficiencies.trees import Trees
from hepsilon.training.kept import Kept
from hepsilon.training.preparation import Sides
from hepsilon.training.refinement_entries import Entries, entries_of, leading
from hepsilon.training.refinement_regions import regions
from hepsilon.training.refinement_residuals import residuals
from hepsilon.training.refinement_trees import FOLDS, Boosted, boost, fit_rounds

__all__ = ["Findings", "find"]

TESTED = 100_000
"""Largest number of objects that the test looks at."""
MOST_OBJECTS = 2_000_000
"""Largest number of objects that trees are fitted to."""


@dataclass(frozen=True)
class Findings:
    """What a training has found behind its networks.

    Attributes
    ----------
    residuals : ResidualsCard or None
        Test of the efficiency; None where there are too few events.
    regions : tuple of RegionCard
        Of a task of events, expected against available events.
    refinement : RefinementCard or None
        Trees; None where they were not asked for.
    trees : Trees or None
        None where they are not kept.
    added : tuple of ndarray of float64, shape (n, working points)
        What trees that were not fitted to the entry add to its logit, for the leading entries of
        both sides (with folds of all events once); empty where no trees are kept.
    """

    residuals: ResidualsCard | None
    regions: tuple[RegionCard, ...] = ()
    refinement: RefinementCard | None = None
    trees: Trees | None = None
    added: tuple[Array, ...] = ()


def find(kept: Kept, sides: Sides, refine: bool, seed: int) -> Findings:
    """Test the efficiency of a training, and refine it where that is asked for.

    Parameters
    ----------
    kept : Kept
        Networks that are kept.
    sides : tuple of two TrainingColumns
        Events of the training and of the validation, one row for each object; with folds both are
        all events.
    refine : bool
        Whether to boost trees.
    seed : int
        Seed of the responses that are drawn for the test.

    Returns
    -------
    Findings
        What was found.
    """
    own = kept.prepared
    task, folds = own.config.task, own.resampling.folds
    unseen = entries_of(kept, leading(sides[1], TESTED), partners=True)
    names = input_names(task, partners=True)
    found = Findings(residuals(unseen, names, None if task.of_events else own.spec, seed))
    if task.of_events:
        first = leading(sides[0], TESTED)
        seen = unseen if folds else entries_of(kept, first, partners=True)
        share = first.n_events / sides[0].n_events
        found = replace(found, regions=regions(seen, unseen, names, share))
    return _refined(kept, sides, seed, found) if refine else found


def _refined(kept: Kept, sides: Sides, seed: int, found: Findings) -> Findings:
    """The findings with trees."""
    own = kept.prepared
    partners = own.config.task.of_events or bool(own.architecture.blocks)
    used = [leading(side, MOST_OBJECTS) for side in (sides[:1] if own.resampling.folds else sides)]
    parts = [entries_of(kept, columns, partners) for columns in used]
    entries = Entries.joined(parts)
    boosted = boost(entries, seed)
    names = input_names(own.config.task, partners)
    shares = {
        names[i]: float(boosted.shares[i]) for i in np.argsort(-boosted.shares, kind="stable")
    }
    trees, outputs = boosted.trees, own.architecture.working_points
    if boosted.worthwhile and own.resampling.kind == "bootstrap":
        trees, outputs = _of_replicas(kept, used, partners, boosted, seed)
    card = RefinementCard(
        kept=boosted.worthwhile,
        gain=boosted.gain.mean,
        error=boosted.gain.error,
        n_events=entries.n_events,
        n_folds=FOLDS,
        rounds=boosted.rounds,
        partners=partners,
        inputs=names,
        outputs=outputs,
        shares={name: share for name, share in shares.items() if share > 0.0},
    )
    if not card.kept:
        return replace(found, refinement=card)
    added = np.split(boosted.added, np.cumsum([len(part.logits) for part in parts])[:-1])
    return replace(found, refinement=card, trees=trees, added=tuple(added))


def _of_replicas(
    kept: Kept, used: list[TrainingColumns], partners: bool, boosted: Boosted, seed: int
) -> tuple[Trees, int]:
    """Trees of each network on its own bootstrap sample: the replicas contain their error."""
    own = kept.prepared
    points, parts = own.architecture.working_points, [boosted.trees]
    for number in range(1, own.resampling.networks):
        entries = Entries.joined([entries_of(kept, c, partners, number) for c in used])
        counts = own.resampling.counts(entries.keys, number)
        trees, _ = fit_rounds(entries, boosted.rounds, seed, counts)
        parts.append(trees)
    return Trees.joined(parts, points), points * len(parts)
