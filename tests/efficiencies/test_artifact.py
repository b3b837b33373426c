from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hepsilon import ArtifactError, Task, load
from hepsilon._system.files import sha256
from hepsilon.config import Passed, validate
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.identity import file_identity
from hepsilon.efficiencies import packing
from hepsilon.efficiencies.artifact import (
    identified_card,
    read_arrays,
    read_blob,
    read_card,
    write_artifact,
)
from hepsilon.efficiencies.card import ArtifactCard, SourceFile, versions
from hepsilon.efficiencies.packing import LIMITS, Limits
from hepsilon.errors import HepsilonError

Array = npt.NDArray[Any]

ARRAYS: dict[str, dict[str, Array]] = {
    "member0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)},
    "member1": {"count": np.array(7, np.int64), "mask": np.array([True, False])},
}
CARD = ArtifactCard(
    kind="network",
    task=Task(features=("pt",), passed=Passed(field="tag", above=(0.3,))),
    features=FeatureSpec(features=(Feature(name="pt", kind="numeric", low=20.0, high=600.0),)),
    n_events=10,
    n_objects=35,
    passed_rate=0.25,
    files=(SourceFile(name="a.root", sha256="0" * 64),),
    versions={"python": "3.11"},
    arrays=("member0", "member1"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "model.hepsilon", CARD, ARRAYS)


def card_of(path: Path) -> ArtifactCard:
    card: ArtifactCard = validate(ArtifactCard, read_card(path), str(path), ArtifactError)
    return card


def arrays_of(path: Path) -> dict[str, dict[str, Array]]:
    return read_arrays(path, card_of(path), sha256(path))


def rewrite(path: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Change (bytes) or remove (None) entries of a zip."""
    with zipfile.ZipFile(path) as archive:
        content: dict[str, bytes | None] = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (content | dict(changes)).items():
            if data is not None:
                archive.writestr(name, data)
    return path


def noted(path: Path, name: str, content: bytes) -> Path:
    """Change an entry, and its hash in the card: what a stranger can do."""
    known = {**read_card(path)["content"], name: hashlib.sha256(content).hexdigest()}
    return with_card(rewrite(path, {name: content}), content=known)


def with_card(path: Path, **changes: Any) -> Path:
    return rewrite(path, {"card.json": json.dumps(read_card(path) | changes).encode()})


# what is written


def test_the_card_survives_the_round_trip(path: Path) -> None:
    card = card_of(path)
    assert card.model_copy(update={"content": {}}) == CARD
    with zipfile.ZipFile(path) as archive:
        rest = [name for name in archive.namelist() if name != "card.json"]
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in rest}
    assert card.content == found


def test_the_arrays_survive_the_round_trip(path: Path) -> None:
    again = arrays_of(path)
    assert {group: list(members) for group, members in again.items()} == {
        group: list(members) for group, members in ARRAYS.items()
    }
    for group, members in ARRAYS.items():
        for name, array in members.items():
            np.testing.assert_array_equal(again[group][name], array)
            assert again[group][name].dtype == array.dtype


def test_the_same_content_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = write_artifact(tmp_path / "other name", CARD, ARRAYS)
    assert again.read_bytes() == path.read_bytes()


def test_arrays_in_any_memory_layout_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    kernel = np.asfortranarray(ARRAYS["member0"]["kernel"])
    arrays = ARRAYS | {"member0": ARRAYS["member0"] | {"kernel": kernel}}
    again = write_artifact(tmp_path / "fortran", CARD, arrays)
    assert again.read_bytes() == path.read_bytes()


def test_other_content_gives_other_bytes(path: Path, tmp_path: Path) -> None:
    card = CARD.model_copy(update={"n_events": 11})
    again = write_artifact(tmp_path / "other", card, ARRAYS)
    assert again.read_bytes() != path.read_bytes()


def test_the_file_is_a_plain_zip_of_json_and_arrays(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert names[0] == "card.json"
    assert all(name.endswith(".npy") for name in names[1:])


def test_source_files_are_named_without_their_folder(path: Path) -> None:
    identity, size = file_identity(path)
    described = SourceFile(name=path.name, identity=identity, size=size)
    assert SourceFile.of(path) == described
    assert size == path.stat().st_size
    hashed = described.model_copy(update={"sha256": sha256(path)})
    assert SourceFile.of(path, content_hash=True) == hashed


def test_source_files_are_the_same_by_what_is_known_of_both() -> None:
    by_identity = SourceFile(name="a", identity="uuid:1", size=10)
    by_hash = SourceFile(name="b", sha256="0" * 64)
    both = SourceFile(name="c", identity="uuid:1", size=10, sha256="1" * 64)
    assert by_identity.is_same(both)
    assert not by_identity.is_same(by_hash)
    assert not by_identity.is_same(both.model_copy(update={"size": 11}))
    assert not both.is_same(both.model_copy(update={"sha256": "0" * 64}))
    assert by_hash.is_same(both.model_copy(update={"sha256": "0" * 64}))


def test_versions_leave_out_what_is_not_installed() -> None:
    found = versions(("scipy", "no-such-package"))
    assert {"python", "hepsilon", "numpy", "scipy"} <= set(found)
    assert "no-such-package" not in found


# writing that fails


def test_failed_writing_leaves_no_file(tmp_path: Path) -> None:
    objects = ARRAYS | {"member1": {"table": np.array([{}, None], object)}}
    with pytest.raises(ValueError, match="Object arrays"):
        write_artifact(tmp_path / "model", CARD, objects)
    assert list(tmp_path.iterdir()) == []


def test_failed_writing_keeps_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    objects = ARRAYS | {"member1": {"table": np.array([{}, None], object)}}
    with pytest.raises(ValueError, match="Object arrays"):
        write_artifact(path, CARD, objects)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_arrays_that_the_card_does_not_name_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected the arrays"):
        write_artifact(tmp_path / "model", CARD, {"member0": {}})
    assert list(tmp_path.iterdir()) == []


# files that are refused


def test_refusals_are_no_os_errors() -> None:
    # coffea's skipbadfiles would silently drop the chunk
    assert issubclass(ArtifactError, HepsilonError)
    assert not issubclass(ArtifactError, OSError)


@pytest.mark.parametrize("read", [read_card, arrays_of, load], ids=["card", "arrays", "load"])
def test_a_missing_file_is_no_os_error_nor_caused_by_one(tmp_path: Path, read: Any) -> None:
    if read is arrays_of:
        read = lambda path: read_arrays(path, CARD, "0" * 64)  # noqa: E731
    with pytest.raises(ArtifactError, match=r"no model or map file .*nothing") as caught:
        read(tmp_path / "nothing")
    assert caught.value.__cause__ is None


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no model or map file"):
        read_card(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", pickle.dumps({"format": 1})])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a hepsilon file"):
        read_card(path)


@pytest.mark.parametrize(
    "card", [None, b"", b"{", b"\xff\xfe", b"[]", b"1", b"{}", b'{"format": "onnx", "version": 1}']
)
def test_a_zip_without_a_valid_card_is_refused(path: Path, card: bytes | None) -> None:
    with pytest.raises(ArtifactError, match="is not a hepsilon file"):
        read_card(rewrite(path, {"card.json": card}))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(path: Path, version: Any) -> None:
    with pytest.raises(ArtifactError, match="expected format version 1, received"):
        read_card(with_card(path, version=version))


def test_another_kind_is_refused(path: Path) -> None:
    with pytest.raises(
        ArtifactError,
        match=r"expected a kind of .*'network', 'ratio', 'ratio-map'\], received 'histogram'",
    ):
        load(with_card(path, kind="histogram"))


def test_unknown_keys_of_the_card_are_refused(path: Path) -> None:
    with pytest.raises(ArtifactError, match="surprise: unknown key"):
        load(with_card(path, surprise=1))


@pytest.mark.parametrize(
    "name",
    ["model.py", "weights.pkl", "member0/x.txt", "member0/a/b.npy", "other/x.npy", "../x.npy"],
)
def test_content_that_the_card_does_not_name_is_refused(path: Path, name: str) -> None:
    rewrite(path, {name: b"content"})
    with pytest.raises(ArtifactError, match="unknown content"):
        arrays_of(path)


def test_a_file_that_changed_since_its_card_was_read_is_refused(path: Path) -> None:
    before = sha256(path)
    write_artifact(path, CARD.model_copy(update={"n_events": 11}), ARRAYS)
    with pytest.raises(ArtifactError, match=f"changed since it was loaded.*{before[:12]}"):
        read_arrays(path, CARD, before)


class Trap:
    """Its unpickling would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_arrays_are_refused_and_never_unpickled(path: Path, tmp_path: Path) -> None:
    trap, npy = tmp_path / "sprung", tmp_path / "trap.npy"
    np.save(npy, np.array([Trap(trap)], object), allow_pickle=True)
    noted(path, "member0/kernel.npy", npy.read_bytes())
    with pytest.raises(ArtifactError, match=r"is damaged.*Object arrays cannot be loaded"):
        arrays_of(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_arrays_that_are_no_arrays_are_refused(path: Path, content: bytes) -> None:
    noted(path, "member0/kernel.npy", content)
    with pytest.raises(ArtifactError, match="is damaged"):
        arrays_of(path)


def test_truncated_files_are_refused(path: Path) -> None:
    content = path.read_bytes()
    for size in range(0, len(content), 50):
        path.write_bytes(content[:size])
        with pytest.raises(ArtifactError):
            read_card(path)


def read_everything(path: Path) -> tuple[Any, Any]:
    card = card_of(path)
    groups = read_arrays(path, card, sha256(path))
    return card, {g: {n: a.tolist() for n, a in members.items()} for g, members in groups.items()}


def test_a_damaged_byte_is_refused_or_changes_nothing(path: Path) -> None:
    content, expected = path.read_bytes(), read_everything(path)
    escaped = {}
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert read_everything(path) == expected
        except ArtifactError:
            continue
        except Exception as error:  # every other kind of error is collected
            escaped[position] = f"{type(error).__module__}.{type(error).__name__}: {error}"
    assert escaped == {}


# other content


BLOBS = {"model.onnx": b"\x08\x08" + bytes(range(256))}


def with_blob(path: Path) -> Path:
    return write_artifact(path, CARD.model_copy(update={"blobs": ("model.onnx",)}), ARRAYS, BLOBS)


def test_blobs_survive_the_round_trip(tmp_path: Path) -> None:
    path = with_blob(tmp_path / "model")
    card = validate(ArtifactCard, read_card(path), str(path), ArtifactError)
    assert card.blobs == ("model.onnx",)
    assert read_blob(path, card, "model.onnx", sha256(path)) == BLOBS["model.onnx"]
    np.testing.assert_equal(read_arrays(path, card, sha256(path)), ARRAYS)
    assert with_blob(tmp_path / "again").read_bytes() == path.read_bytes()


def test_blobs_that_the_card_does_not_name_are_refused(path: Path) -> None:
    with pytest.raises(ArtifactError, match="the blobs"):
        write_artifact(path, CARD, ARRAYS, BLOBS)
    with pytest.raises(ArtifactError, match=r"holds no model\.onnx; it has"):
        read_blob(path, CARD, "model.onnx", sha256(path))
    rewrite(path, BLOBS)
    with pytest.raises(ArtifactError, match=r"unknown content 'model\.onnx'"):
        arrays_of(path)


@pytest.mark.parametrize("name", ["model.py", "card.json", "../model.onnx"])
def test_blobs_of_other_names_are_refused(path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"blobs\.0: .*'model\.onnx'"):
        validate(ArtifactCard, read_card(with_card(path, blobs=[name])), str(path), ArtifactError)


def test_blobs_that_are_missing_damaged_or_changed_are_refused(tmp_path: Path) -> None:
    path = with_blob(tmp_path / "model")
    card, before = card_of(path), sha256(path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(20, 40)))] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="changed since it was loaded"):
        read_blob(path, card, "model.onnx", before)
    with pytest.raises(ArtifactError, match=r"is damaged.*CRC"):
        read_blob(path, card, "model.onnx", sha256(path))
    with_blob(path)
    rewrite(path, {"model.onnx": b"another graph"})
    with pytest.raises(ArtifactError, match=r"model\.onnx is not the content that its card"):
        read_blob(path, card, "model.onnx", sha256(path))
    with_blob(path)
    rewrite(path, {"model.onnx": None})
    with pytest.raises(ArtifactError, match="is damaged"):
        read_blob(path, card, "model.onnx", sha256(path))


# what strangers can write


NPY = np.lib.format


def npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    NPY.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["<f2", ">f8", ">f4", ">i4", "<c8", "<U3", "S3", "<M8[s]"])
def test_types_that_are_not_stored_are_refused(path: Path, dtype: str) -> None:
    array = np.zeros(3, dtype)
    with pytest.raises(ArtifactError, match="expected booleans, integers, float32 or float64"):
        arrays_of(noted(path, "member0/bias.npy", npy(array)))
    arrays = ARRAYS | {"member0": ARRAYS["member0"] | {"bias": array}}
    with pytest.raises(ArtifactError, match="expected booleans"):
        write_artifact(path.with_name("other"), CARD, arrays)
    assert not path.with_name("other").exists()


@pytest.mark.parametrize("shape", [(10**15,), (2, 10**12), (4,), (2,), (3, 0)])
def test_arrays_of_another_size_than_their_header_are_refused(
    path: Path, shape: tuple[int, ...]
) -> None:
    """Before anything of that size is made."""
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    NPY.write_array_header_1_0(buffer, header)  # type: ignore[no-untyped-call]
    with pytest.raises(ArtifactError, match="has 24 bytes"):
        arrays_of(noted(path, "member0/bias.npy", buffer.getvalue() + bytes(24)))


def test_content_that_is_not_what_the_card_describes_is_refused(path: Path) -> None:
    rewrite(path, {"member0/bias.npy": npy(np.ones(3))})
    with pytest.raises(
        ArtifactError, match=r"bias\.npy is not the content that its card describes"
    ):
        arrays_of(path)
    rewrite(path, {"member0/bias.npy": None})
    with pytest.raises(ArtifactError, match=r"is damaged: it lacks member0/bias\.npy"):
        arrays_of(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["card.json", "member0/bias.npy"])
def test_a_name_that_stands_twice_is_refused(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, archive.read(name))
    for read in (read_card, arrays_of, load):
        with pytest.raises(ArtifactError, match=f"{name}' stands in the file more than once"):
            read(path)


def packed(path: Path, name: str, size: int) -> Path:
    """A file with an entry of so many zeros."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as e:
        for _ in range(size >> 20):
            e.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize(
    ("name", "size"), [("member0/more.npy", LIMITS.content + (1 << 20)), ("other", 512 << 20)]
)
def test_bombs_are_refused_before_they_are_unpacked(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    packed(path, name, size)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "read", pytest.fail)
    for read in (read_card, load):
        with pytest.raises(ArtifactError, match=r"would unpack to \d+ bytes"):
            read(path)


def test_a_card_of_many_bytes_is_refused_before_it_is_unpacked(path: Path) -> None:
    rewrite(path, {"card.json": None})
    with pytest.raises(ArtifactError, match=rf"{LIMITS.card} are read"):
        read_card(packed(path, "card.json", LIMITS.card + (1 << 20)))


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LIMITS.file + 1)  # without taking room
    with pytest.raises(ArtifactError, match="bytes, more than"):
        read_card(path)


def test_a_long_list_of_content_is_refused_before_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LIMITS", Limits(directory=300))
    with pytest.raises(ArtifactError, match="its list of content is longer"):
        read_card(path)


@pytest.mark.parametrize("error", [PermissionError("no"), OSError(5, "I/O error"), TimeoutError()])
def test_errors_of_the_disk_are_ours_and_have_no_cause(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """coffea would drop the chunk for an OSError, and for one that is the cause of another."""

    def fail(self: Path) -> bytes:
        raise error

    card, digest = card_of(path), sha256(path)
    monkeypatch.setattr(Path, "read_bytes", fail)
    for read in (read_card, load, lambda path: read_arrays(path, card, digest)):
        with pytest.raises(ArtifactError, match="cannot be read") as caught:
            read(path)
        assert caught.value.__cause__ is None


def test_the_card_and_the_hash_are_those_of_one_content(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file is replaced while it is read."""
    before, original = sha256(path), Path.read_bytes

    def replaced(self: Path) -> bytes:
        content = original(self)
        write_artifact(self, CARD.model_copy(update={"n_events": 11}), ARRAYS)
        return content

    monkeypatch.setattr(Path, "read_bytes", replaced)
    card, digest = identified_card(path)
    assert (card["n_events"], digest) == (10, before)
    assert sha256(path) != before


@pytest.mark.parametrize(
    "change",
    [
        {"low": None},
        {"low": 700.0},
        {"std": 0.0},
        {"std": -1.0},
        {"missing_share": 2.0},
        {"kind": "categorical"},
        {"kind": "categorical", "categories": [4, 4]},
    ],
)
def test_features_that_make_no_sense_are_refused(path: Path, change: dict[str, Any]) -> None:
    features = read_card(path)["features"]
    features["features"][0] |= change
    expected = "'pt' (has no range, or no categories|needs both low and high)"
    with pytest.raises(ArtifactError, match=expected):
        card_of(with_card(path, features=features))


@pytest.mark.parametrize(
    "numbers",
    [
        {"low": 3, "high": 2},
        {"low": -1, "high": 2},
        {"low": 0, "high": 10**12},
        {"low": 0, "high": 10**12, "seen": [0, 10**12]},
        {"low": 0, "high": 2, "seen": [0, 1]},
        {"low": 0, "high": 2, "seen": [0, 2, 1, 2]},
    ],
)
def test_numbers_of_objects_that_make_no_sense_are_refused(
    path: Path, numbers: dict[str, Any]
) -> None:
    features = read_card(path)["features"] | {"multiplicity": numbers}
    with pytest.raises(ArtifactError, match="multiplicity: expected a range"):
        card_of(with_card(path, features=features))


@pytest.mark.parametrize("card", [{"n_events": -1}, {"n_objects": -5}])
def test_numbers_of_a_sample_are_not_negative(path: Path, card: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="numbers of a sample"):
        card_of(with_card(path, **card))
