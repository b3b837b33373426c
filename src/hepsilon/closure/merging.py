"""One closure from those of several jobs, if they asked the same question of the same models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from hepsilon.closure.model import Closure
from hepsilon.config.file import InputConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.records import validate
from hepsilon.config.task import Task
from hepsilon.config.verdict import VerdictConfig
from hepsilon.efficiencies.loading import load_correction
from hepsilon.errors import ArtifactError, ConfigError, InputError
from hepsilon.processors.outputs import Output
from hepsilon.processors.saved_outputs import read_saved, read_saved_text

__all__ = ["RESULT", "Merged", "Question", "merge_results", "result_file"]

CLOSURE = "closure.json"
RESULT = "result.npz"
"""File in the folder of a closure that holds all sums, so that others can be added."""


@dataclass(frozen=True)
class Question:
    """All that decides a result, beside the events.

    Attributes
    ----------
    task : Task
        The task.
    input : InputConfig
        Places of the columns.
    observables : dict of str to ObservableConfig
        Section of the configuration.
    verdict : VerdictConfig
        Thresholds.
    options : dict of str to object
        Options of the processor.
    efficiencies : dict of str to tuple of str
        Path and hash of every artifact, by name.
    against : tuple of str
        Names of those from other simulations.
    """

    task: Task
    input: InputConfig
    observables: dict[str, ObservableConfig]
    verdict: VerdictConfig
    options: dict[str, Any]
    efficiencies: dict[str, tuple[str, str]]
    against: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as they stand in a result."""
        names = "task", "input", "verdict"
        plain: dict[str, Any] = {
            name: getattr(self, name).model_dump(mode="json", by_alias=True, exclude_none=True)
            for name in names
        }
        plain["observables"] = {
            name: each.model_dump(mode="json", exclude_none=True)
            for name, each in self.observables.items()
        }
        paths = {name: list(each) for name, each in self.efficiencies.items()}
        more = {"options": self.options, "efficiencies": paths, "against": list(self.against)}
        return plain | more

    @classmethod
    def of(cls, plain: dict[str, Any], place: str) -> Question:
        """Question from plain data.

        Parameters
        ----------
        plain : dict of str to object
            Result of :meth:`as_dict`.
        place : str
            File that it stands in.

        Returns
        -------
        Question
            The question.

        Raises
        ------
        InputError
            If it is damaged, or was written by another release.
        """
        try:
            return cls(
                validate(Task, plain["task"], place, InputError),
                validate(InputConfig, plain["input"], place, InputError),
                {
                    name: validate(ObservableConfig, each, place, InputError)
                    for name, each in plain["observables"].items()
                },
                validate(VerdictConfig, plain["verdict"], place, InputError),
                dict(plain["options"]),
                {name: (str(p), str(h)) for name, (p, h) in plain["efficiencies"].items()},
                tuple(map(str, plain["against"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(f"{place} does not say what was asked; it cannot be merged") from None

    def differences(self, other: Question) -> list[str]:
        """Parts in which two questions differ; where the models lie does not matter."""
        mine, theirs = self.as_dict(), other.as_dict()
        for each in (mine, theirs):
            each["efficiencies"] = {n: pair[1] for n, pair in each["efficiencies"].items()}
        return [name for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class Seen:
    """Events of the trainings among those of a closure, which only their files can tell.

    Attributes
    ----------
    trained_on : dict of str to list of str
        Files of the training, by efficiency.
    shared : dict of str to float
        Share of the events that are in the training, by efficiency.
    two_sample : bool
        Whether there were two-sample tests, which cannot be added.
    """

    trained_on: dict[str, list[str]] = field(default_factory=dict)
    shared: dict[str, float] = field(default_factory=dict)
    two_sample: bool = False

    @classmethod
    def of(cls, closure: Closure) -> Seen:
        """What a closure has found.

        Parameters
        ----------
        closure : TaggingClosure or InversionClosure
            Content of ``closure.json``.

        Returns
        -------
        Seen
            Its part of a result.
        """
        tested = any(entry.two_sample for entry in closure.efficiency.values())
        return cls(closure.trained_on, closure.shared_with_training, tested)

    @classmethod
    def from_dict(cls, plain: Any, place: str) -> Seen:
        """Read it back.

        Parameters
        ----------
        plain : dict of str to object
            Its attributes.
        place : str
            File that it stands in.

        Returns
        -------
        Seen
            The same.

        Raises
        ------
        InputError
            If it is damaged.
        """
        try:
            files = {
                name: [str(file) for file in each] for name, each in plain["trained_on"].items()
            }
            shared = {name: float(share) for name, share in plain["shared"].items()}
            return cls(files, shared, bool(plain["two_sample"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(f"{place} does not say what was seen; it cannot be merged") from None

    @classmethod
    def merged(cls, parts: Sequence[Seen], n_events: Sequence[int]) -> Seen:
        """Put several together, with their numbers of events.

        Parameters
        ----------
        parts : sequence of Seen
            What each job has found.
        n_events : sequence of int
            Number of events of each job.

        Returns
        -------
        Seen
            All files, and mean shares.
        """
        files: dict[str, list[str]] = {}
        shared: dict[str, float] = {}
        for part, number in zip(parts, n_events, strict=True):
            for name, own in part.trained_on.items():
                files[name] = [*files.get(name, ()), *own]
            for name, share in part.shared.items():
                shared[name] = shared.get(name, 0.0) + share * number / sum(n_events)
        return cls(files, shared, any(part.two_sample for part in parts))


@dataclass(frozen=True)
class Merged:
    """Sum of several results.

    Attributes
    ----------
    output : TaggingOutput or InversionOutput
        The sum.
    question : Question
        Question of all of them.
    efficiencies : dict of str to Efficiency or BinByBin
        The efficiencies.
    seen : Seen
        Events of the trainings that the jobs have found, all together.
    """

    output: Any
    question: Question
    efficiencies: dict[str, Any]
    seen: Seen


def result_file(path: str | Path) -> Path:
    """The file with the sums: itself, or that in the folder of a closure.

    Parameters
    ----------
    path : str or Path
        File or folder.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is none.
    """
    found = Path(path) / RESULT if Path(path).is_dir() else Path(path)
    if not found.is_file() and (found.parent / "index.html").is_file():
        raise InputError(
            f"{path} holds the closures of several samples; merge the folders in it, each by itself"
        )
    if not found.is_file() and _of_ratio(found.with_name(CLOSURE)):
        raise InputError(
            f"{path} is the closure of a ratio of two samples, whose bins follow from all entries "
            "of both, so that parts cannot be added; close all files at once: 'hepsilon closure "
            "RATIO --numerator FILES --denominator FILES'"
        )
    if not found.is_file():
        raise InputError(f"no result {str(found)!r}; 'hepsilon closure' writes one into its folder")
    return found


def _of_ratio(path: Path) -> bool:
    """Whether a file is the ``closure.json`` of a ratio."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"numerator", "denominator"} <= content.keys()


def merge_results(paths: Sequence[str | Path], models: dict[str, Path] | None = None) -> Merged:
    """Add the results of several jobs.

    Parameters
    ----------
    paths : sequence of str or Path
        Folders of closures, or the files ``result.npz`` in them.
    models : dict of str to Path, optional
        Where artifacts are now, by name; by default where the first job had them.

    Returns
    -------
    Merged
        Their sum.

    Raises
    ------
    InputError
        If a file is damaged, holds another kind of result, or two of them have read the same
        entries of a file.
    ConfigError
        If they asked different questions, or of different models.
    ArtifactError
        If a model is not there any more, or has another content.
    """
    files = [result_file(path) for path in paths]
    texts = [read_saved_text(file) for file in files]
    questions = [Question.of(text, str(file)) for text, file in zip(texts, files, strict=True)]
    seen = [Seen.from_dict(t.get("seen"), str(file)) for t, file in zip(texts, files, strict=True)]
    for file, question in zip(files[1:], questions[1:], strict=True):
        different = questions[0].differences(question)
        if different:
            raise ConfigError(
                f"{file} and {files[0]} are no parts of one result: {', '.join(different)} differ"
            )
    outputs = [_output(file) for file in files]
    try:
        output = reduce(add, outputs)
    except InputError:
        raise
    except Exception as error:  # hist and NumPy raise many kinds for other bins
        raise ConfigError(
            f"the results have other bins ({error}); name the bins under [observables], so that "
            "every job has the same"
        ) from None
    found = Seen.merged(seen, [each.n_events for each in outputs])
    return Merged(output, questions[0], _efficiencies(questions[0], models or {}), found)


def _output(file: Path) -> Any:
    output = read_saved(file)
    if not isinstance(output, Output):
        raise InputError(f"{file} holds no output of a closure")
    return output


def _efficiencies(question: Question, models: dict[str, Path]) -> dict[str, Any]:
    """The artifacts, which must have the content that was asked."""
    found: dict[str, Any] = {}
    for name, (path, expected) in question.efficiencies.items():
        found[name] = load_correction(models.get(name, Path(path)))
        if found[name].hash != expected:
            raise ArtifactError(
                f"{models.get(name, path)} is not the {name!r} of these results (hash "
                f"{expected[:12]}); say by --efficiency {name}=PATH where that is"
            )
        if found[name].task.ratio is not None:  # the efficiency in one of its samples
            found[name] = found[name].efficiency(name)
    return found
