"""Whether efficiencies are asked what they were trained for, and about other events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hepsilon.config.task import Cut, Fiducial, Task
from hepsilon.data.sources import Files, Source
from hepsilon.efficiencies.card import SourceFile
from hepsilon.errors import InputError

__all__ = [
    "baselines",
    "compared",
    "differences",
    "found_in_training",
    "task_differences",
    "trained_on",
    "warnings_of",
]

SILENT = ("features", "categorical", "weight", "object_weight", "truth")
"""Parts of a task that are compared otherwise, or may differ without a word."""

BASELINES = ("map", "factorised-map", "bin-by-bin")
"""Kinds of artifacts that are binned."""

NAMES = {"passed": "response"}
"""Names of the parts that are not called what they are."""


def differences(efficiencies: Mapping[str, Any], task: Task) -> dict[str, list[str]]:
    """Differences between the question and what each efficiency was trained for.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name; those without a task cannot be compared.
    task : Task
        The question.

    Returns
    -------
    dict of str to list of str
        Differences as text, of the efficiencies that have some.
    """
    tasks = {name: getattr(efficiency, "task", None) for name, efficiency in efficiencies.items()}
    found = {n: task_differences(t, task) for n, t in tasks.items() if isinstance(t, Task)}
    return {name: texts for name, texts in found.items() if texts}


def task_differences(trained: Task, asked: Task) -> list[str]:
    """Differences between two tasks, as text; weight, truth and features may differ.

    Parameters
    ----------
    trained, asked : Task
        Task of the training, and the question.

    Returns
    -------
    list of str
        One text for each part that differs: empty for the same question.
    """
    texts = []
    for part in Task.model_fields:
        if part in SILENT:
            continue
        before, now = (_comparable(getattr(task, part)) for task in (trained, asked))
        if before != now:
            there, here = (_text(getattr(task, part)) for task in (trained, asked))
            name = NAMES.get(part, part)
            texts.append(f"another {name} than the task's: {there}, not {here}")
    for name, values in trained.categorical.items():
        more = sorted(set(asked.categorical.get(name, ())) - set(values))
        if more:
            texts.append(f"other categories of {name} than the task's: {list(values)}, not {more}")
    return texts


def _comparable(value: Any) -> Any:
    """Form of a part of a task that is equal for all parts with its meaning."""
    if isinstance(value, Fiducial):
        return _comparable(value.cuts)
    if isinstance(value, tuple) and any(isinstance(cut, Cut) for cut in value):
        return sorted({cut.model_dump_json() for cut in value})  # in any order
    return value


def _text(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Fiducial):
        return _text(value.cuts)
    if isinstance(value, tuple):
        return " and ".join(map(str, value))
    return str(value)


def trained_on(efficiencies: Mapping[str, Any], files: Files) -> dict[str, list[str]]:
    """Files that efficiencies were trained on, by the identity of the files, not by their names.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name; of those without a card nothing is known.
    files : str, Path, Source or iterable of these
        Files of a sample; those that are not there any more cannot be compared.

    Returns
    -------
    dict of str to list of str
        Names of the files, of the efficiencies that were trained on some.
    """
    cards = {name: getattr(e, "card", None) for name, e in efficiencies.items()}
    sources = {
        name: (*getattr(card, "files", ()), *getattr(card, "recalibrated_on", ()))
        for name, card in cards.items()
    }
    if not any(sources.values()):
        return {}
    whole = any(source.identity is None for of_one in sources.values() for source in of_one)
    given = [files] if isinstance(files, str | Path | Source) else files
    here = [source for file in given for source in _described(file, whole)]
    found = {
        name: [file.name for file in here if any(file.is_same(other) for other in of_one)]
        for name, of_one in sources.items()
    }
    return {name: names for name, names in found.items() if names}


def baselines(efficiencies: Mapping[str, Any]) -> list[str]:
    """Efficiencies that are binned baselines.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name.

    Returns
    -------
    list of str
        Names of maps and bin-by-bin corrections.
    """
    kinds = {n: getattr(getattr(e, "card", None), "kind", None) for n, e in efficiencies.items()}
    return [name for name, kind in kinds.items() if kind in BASELINES]


def _described(file: str | Path | Source, content_hash: bool) -> list[SourceFile]:
    """Identities of the files that a name stands for; none of files that are gone."""
    try:
        return list(SourceFile.of_all(file, content_hash=content_hash))
    except (InputError, OSError):
        return []


def compared(efficiencies: Mapping[str, Any]) -> dict[str, str]:
    """Architectures that were compared before one was chosen, and what that advises.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name.

    Returns
    -------
    dict of str to str
        Validation losses as text, of the efficiencies whose architecture was chosen among others.
    """
    cards = {name: getattr(each, "card", None) for name, each in efficiencies.items()}
    found = {name: getattr(card, "selection", None) for name, card in cards.items()}
    return {
        name: "; ".join(filter(None, (str(selection), selection.advice)))
        for name, selection in found.items()
        if selection is not None
    }


def found_in_training(efficiencies: Mapping[str, Any]) -> dict[str, list[str]]:
    """Collect what the trainings found behind their networks.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name.

    Returns
    -------
    dict of str to list of str
        Sentences on residuals, refinement and regions, of the efficiencies whose card has such.
    """
    found = {}
    for name, each in efficiencies.items():
        card = getattr(each, "card", None)
        residuals, refinement = (getattr(card, n, None) for n in ("residuals", "refinement"))
        texts = [] if residuals is None else [f"residuals: {residuals}"]
        texts += [] if refinement is None else [f"refinement: {refinement}"]
        regions = getattr(card, "regions", ())
        texts += [f"{r.variable} {r.low:.3g} to {r.high:.3g}: {r}" for r in regions]
        if texts:
            found[name] = texts
    return found


def warnings_of(
    different: Mapping[str, Sequence[str]], seen: Mapping[str, Sequence[str]]
) -> list[str]:
    """Sentences for terminal and page.

    Parameters
    ----------
    different : mapping of str to sequence of str
        Result of :func:`differences`.
    seen : mapping of str to sequence of str
        Result of :func:`trained_on`.

    Returns
    -------
    list of str
        One sentence for each finding; empty if all is as it should be.
    """
    found = [
        f"warning: {name} was trained on {len(files)} of the files of this closure "
        f"({', '.join(files)}): it says nothing about other events"
        for name, files in seen.items()
    ]
    for name, texts in different.items():
        found += [f"warning: {name} was learned for {text}" for text in texts]
    return found
