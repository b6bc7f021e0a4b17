import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.manifest import BundleError, Manifest
from bundle.store import Bundle, find_version, find_versions, load_bundle, save_bundle

FILES = [
    *("model.onnx", "model.int8.onnx", "golden.json", "golden.int8.json"),
    *("vocabulary.json", "MODEL_CARD.md"),
]

Change = Callable[[Any], Any]


@pytest.fixture
def copy(shipped_path: Path, tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to spoil."""
    return Path(shutil.copytree(shipped_path, tmp_path / "models" / shipped_path.name))


def rewrite(path: Path, change: Change) -> None:
    """Change a JSON file of a bundle, and let the manifest's checksum agree."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    if path.name != "manifest.json":
        checksum = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
        rewrite(path.parent / "manifest.json", lambda manifest: within(manifest, "files", checksum))


def within(document: dict[str, Any], key: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The document with changes to the object at `key`."""
    return document | {key: document[key] | changes}


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    """The document with one key less."""
    return {name: value for name, value in document.items() if name != key}


def test_the_shipped_bundle_loads_and_says_what_the_contract_asks(shipped: Bundle) -> None:
    manifest = shipped.manifest
    assert manifest.architecture.output_shapes == {"embedding": ["?", 500, 32], "lstm": ["?", 100], "dense": ["?", 1]}
    assert manifest.tokenizer.max_length == 500
    assert manifest.labels == ["negative", "positive"]
    assert [variant.precision for variant in manifest.variants] == ["fp32", "int8"]
    assert manifest.variants[0].metrics["accuracy"] >= 0.915
    assert manifest.variants[1].metrics["accuracy"] >= 0.914
    assert all(variant.metrics["expected_calibration_error"] <= 0.015 for variant in manifest.variants)
    assert set(manifest.files) == set(FILES)
    assert all(len(graph.golden) >= 20 for graph in shipped.graphs)


def test_the_plain_version_stays_to_compare_and_to_roll_back_to(shipped_path: Path) -> None:
    plain = load_bundle(find_version(shipped_path.parent, "1"))
    assert [variant.precision for variant in plain.manifest.variants] == ["fp32"]
    assert plain.graph_for("cpu") is plain.graph_for("cuda")
    with pytest.raises(BundleError, match="holds no int8 variant, only fp32"):
        plain.graph("int8")


def test_each_provider_has_its_variant(shipped: Bundle) -> None:
    assert shipped.graph_for("cpu").variant.precision == "int8"
    assert shipped.graph_for("cuda").variant.precision == "fp32"


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: cannot be read"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=f"{name}: has SHA-256"):
        load_bundle(copy)


def test_a_truncated_manifest_is_named(copy: Path) -> None:
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text()[:100])
    with pytest.raises(BundleError, match=r"manifest\.json: is not JSON"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda manifest: manifest | {"format_version": 1}, "has format_version 1; this code reads 2"),
        (lambda manifest: [manifest], "has format_version None"),
        (lambda manifest: without(manifest, "threshold"), "lacks threshold"),
        (lambda manifest: manifest | {"colour": "red"}, "has unknown colour"),
        (lambda manifest: manifest | {"threshold": "0.5"}, "threshold is '0.5', not float"),
        (lambda manifest: manifest | {"threshold": True}, "threshold is True, not float"),
        (lambda manifest: manifest | {"threshold": 0}, "threshold is 0, not between 0 and 1"),
        (lambda manifest: manifest | {"threshold": float("nan")}, "threshold is nan, not between 0 and 1"),
        (
            lambda manifest: manifest | {"labels": ["positive", "negative"]},
            r"labels are \['positive', 'negative'\], not",
        ),
        (lambda manifest: manifest | {"labels": ["positive"]}, r"labels are \['positive'\], not"),
        (lambda manifest: manifest | {"version": "9"}, "is of version 9, in the folder of 2"),
        (
            lambda manifest: manifest | {"variants": [one | {"golden_tolerance": 1} for one in manifest["variants"]]},
            "golden_tolerance of fp32 is 1, not 0 to 0.01",
        ),
        (lambda manifest: manifest | {"labels": ["negative", 1]}, r"labels\[1\] is 1, not str"),
        (lambda manifest: manifest | {"files": without(manifest["files"], "golden.json")}, "lists no golden.json"),
        (lambda manifest: within(manifest, "tokenizer", {"truncation_side": "top"}), "is 'top', not one of"),
        (lambda manifest: within(manifest, "tokenizer", {"version": 99}), "is made for tokenizer version 99"),
        (lambda manifest: manifest | {"variants": manifest["variants"][:1]}, "must name one variant for cpu, not 0"),
        (lambda manifest: manifest | {"variants": manifest["variants"] * 2}, "must name one variant for cpu, not 2"),
    ],
)
def test_a_wrong_manifest_says_which_field(copy: Path, change: Change, reason: str) -> None:
    rewrite(copy / "manifest.json", change)
    with pytest.raises(BundleError, match=reason):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("vocabulary.json", lambda tokens: tokens[:-1], "has 29999 tokens, the embedding has 30000 rows"),
        ("vocabulary.json", lambda tokens: [*tokens[:-1], tokens[5]], "holds a token twice"),
        ("vocabulary.json", lambda tokens: {"tokens": tokens}, "is not a list of tokens"),
        ("vocabulary.json", lambda tokens: [*tokens[:2], *reversed(tokens[2:])], "reads other input_ids"),
        ("golden.json", lambda answers: [{"text": "a"}], "is not a list of golden answers"),
        ("golden.json", lambda answers: [answers[0] | {"input_ids": [5]}], "reads other input_ids in 'I loved it.'"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(copy: Path, name: str, change: Change, reason: str) -> None:
    rewrite(copy / name, change)
    with pytest.raises(BundleError, match=reason):
        load_bundle(copy)


def test_golden_answers_within_the_tolerance_pass_and_others_do_not(shipped: Bundle) -> None:
    graph = shipped.graph("fp32")
    expected = [answer.positive_probability for answer in graph.golden]
    tolerance = graph.variant.golden_tolerance
    graph.check_golden([probability + 0.9 * tolerance for probability in expected])
    for wrong in (expected[0] + 1.1 * tolerance, float("nan")):
        with pytest.raises(BundleError, match=r"golden\.json: the model answers .* for 'I loved it\.'"):
            graph.check_golden([wrong, *expected[1:]])


def files_of(bundle: Bundle) -> dict[str, bytes]:
    return {name: (bundle.path / name).read_bytes() for name in FILES}


def test_a_saved_bundle_is_the_same_when_loaded(shipped: Bundle, tmp_path: Path) -> None:
    manifest = dataclasses.replace(shipped.manifest, version="7")
    saved = save_bundle(tmp_path / "models" / "7", manifest, files_of(shipped))
    assert saved.manifest == manifest
    assert [graph.golden for graph in saved.graphs] == [graph.golden for graph in shipped.graphs]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["7"]


def test_an_existing_version_stays_unless_replaced_on_purpose(shipped: Bundle, tmp_path: Path) -> None:
    path = tmp_path / shipped.path.name
    save_bundle(path, shipped.manifest, files_of(shipped))
    (path / "mark").touch()
    with pytest.raises(BundleError, match="exists; versions do not change"):
        save_bundle(path, shipped.manifest, files_of(shipped))
    assert (path / "mark").exists()
    save_bundle(path, shipped.manifest, files_of(shipped), replace=True)
    assert not (path / "mark").exists()


def test_a_bundle_that_does_not_verify_is_never_visible(shipped: Bundle, tmp_path: Path) -> None:
    save_bundle(tmp_path / "2", shipped.manifest, files_of(shipped))
    broken = files_of(shipped) | {"vocabulary.json": b"[]"}
    with pytest.raises(BundleError, match=r"vocabulary\.json"):
        save_bundle(tmp_path / "2", shipped.manifest, broken, replace=True)
    with pytest.raises(BundleError, match=r"vocabulary\.json"):
        save_bundle(tmp_path / "3", dataclasses.replace(shipped.manifest, version="3"), broken)
    with pytest.raises(BundleError, match=r"is of version 2, in the folder of 3"):
        save_bundle(tmp_path / "3", shipped.manifest, files_of(shipped))
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
    assert load_bundle(tmp_path / "2").manifest == shipped.manifest


@pytest.mark.parametrize("after", [True, False], ids=["after the first rename", "by the second one"])
def test_a_replacement_that_stops_half_way_leaves_the_old_version(
    shipped: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    path = tmp_path / shipped.path.name
    save_bundle(path, shipped.manifest, files_of(shipped))
    (path / "mark").touch()
    rename = Path.rename

    def interrupted(source: Path, target: Path) -> Path:
        if after and source == path:
            rename(source, target)
            raise KeyboardInterrupt
        if not after and source.name != "old" and target == path:
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(path, shipped.manifest, files_of(shipped), replace=True)
    assert (path / "mark").exists()
    assert list(tmp_path.iterdir()) == [path]


def test_the_newest_version_is_the_highest_number(tmp_path: Path) -> None:
    for name in ("9", "10", ".10-half", "11.bak", "latest"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").touch()
    assert find_version(tmp_path).name == "10"
    assert find_version(tmp_path, "9").name == "9"
    for which, found in (("all", ["10", "9"]), ("9,10", ["9", "10"]), ("9,9", ["9"]), ("newest", ["10"])):
        assert [path.name for path in find_versions(tmp_path, which)] == found
    for which in ("3", "9,3", "9,", ""):
        with pytest.raises(BundleError, match=r"holds no version 3?, only 9, 10"):
            find_versions(tmp_path, which)
    with pytest.raises(BundleError, match="holds no model"):
        find_version(tmp_path / "missing")


def test_a_manifest_survives_json(shipped: Bundle) -> None:
    assert Manifest.from_json(shipped.manifest.to_json()) == shipped.manifest
