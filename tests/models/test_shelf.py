from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ingest.errors import BadInput, ModelRefused
from ingest.messages import Instant
from models.manifest import TrainedOn
from models.open import open_model
from models.places import versions
from models.shelf import live_names, promote, retire, save_model

TRAINED_ON = TrainedOn(parts=2, frames=2, batches=1, since=Instant(0), until=Instant(5))


def doubling_graph(width: int = 3) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", width])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def save(shelf: Path, name: str = "fusion", card: str = "a card", width: int = 3) -> str:
    return save_model(
        shelf,
        name=name,
        kind="fusion",
        files={"risk.onnx": doubling_graph(width), "rest.json": b"{}"},
        features=["a", "b", "c"],
        threshold=0.25,
        trained_on=TRAINED_ON,
        notes={"bands": [1.5, 2]},
        card=card,
    ).version


def test_a_saved_model_is_live_and_runs(tmp_path: Path) -> None:
    save(tmp_path)
    model = open_model(tmp_path, "fusion", features=["a", "b", "c"])
    (doubled,) = model.run("risk.onnx", {"x": np.array([[1, 2, 3]], np.float32)})
    assert doubled.tolist() == [[2, 4, 6]]
    assert model.read("rest.json") == b"{}"
    assert model.read("card.md") == b"a card"
    assert (model.model_name.name, model.model_name.version) == ("fusion", "1")
    assert model.manifest.trained_on == TRAINED_ON
    assert model.manifest.notes == {"bands": [1.5, 2]}
    assert model.manifest.files["risk.onnx"].inputs[0].shape == ["rows", 3]


def test_equal_content_has_an_equal_hash(tmp_path: Path) -> None:
    save(tmp_path / "one")
    save(tmp_path / "two")
    assert open_model(tmp_path / "one", "fusion").model_name == open_model(tmp_path / "two", "fusion").model_name


def test_the_next_version_goes_live_and_promote_goes_back(tmp_path: Path) -> None:
    assert [save(tmp_path), save(tmp_path, card="another")] == ["1", "2"]
    assert open_model(tmp_path, "fusion").model_name.version == "2"
    promote(tmp_path, "fusion", "1")
    assert open_model(tmp_path, "fusion").model_name.version == "1"
    assert save(tmp_path) == "3"


def test_a_retired_model_is_live_no_more_and_its_versions_stay(tmp_path: Path) -> None:
    save(tmp_path)
    name = live_names(tmp_path)[0]
    assert retire(tmp_path, name)
    assert not retire(tmp_path, name)
    assert live_names(tmp_path) == []
    assert promote(tmp_path, name, "1").version == "1"
    assert live_names(tmp_path) == [name]


def test_promote_refuses_what_does_not_open_and_the_live_one_stays(tmp_path: Path) -> None:
    save(tmp_path)
    save(tmp_path)
    (tmp_path / "fusion" / "1" / "rest.json").write_bytes(b"[]")
    with pytest.raises(ModelRefused, match=r"rest\.json"):
        promote(tmp_path, "fusion", "1")
    with pytest.raises(ModelRefused):
        promote(tmp_path, "fusion", "7")
    assert open_model(tmp_path, "fusion").model_name.version == "2"


@pytest.mark.parametrize("file", ["risk.onnx", "rest.json", "card.md", "manifest.json", "manifest.sha256"])
def test_a_file_with_one_byte_changed_is_refused_by_name(tmp_path: Path, file: str) -> None:
    save(tmp_path)
    path = tmp_path / "fusion" / "1" / file
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ModelRefused, match="sha256 differs"):
        open_model(tmp_path, "fusion")


def test_a_missing_file_model_or_pointer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no live version of fusion"):
        open_model(tmp_path, "fusion")
    save(tmp_path)
    (tmp_path / "fusion" / "1" / "risk.onnx").unlink()
    with pytest.raises(ModelRefused, match=r"risk\.onnx"):
        open_model(tmp_path, "fusion")
    (tmp_path / "fusion" / "live").write_text("../other")
    with pytest.raises(ModelRefused, match="not a number"):
        open_model(tmp_path, "fusion")


def test_another_feature_list_or_order_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(ModelRefused, match="order of its features"):
        open_model(tmp_path, "fusion", features=["b", "a", "c"])
    with pytest.raises(ModelRefused, match="features differ"):
        open_model(tmp_path, "fusion", features=["a", "b"])


def test_a_manifest_that_describes_other_inputs_is_refused(tmp_path: Path) -> None:
    """A well-sealed manifest whose shapes are not the graph's: somebody mixed two trainings."""
    save(tmp_path)
    folder = tmp_path / "fusion" / "1"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["risk.onnx"]["inputs"][0]["shape"] = ["rows", 4]
    _seal(folder, manifest)
    with pytest.raises(ModelRefused, match="inputs or outputs differ"):
        open_model(tmp_path, "fusion")


def test_a_manifest_of_another_model_or_format_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    folder = tmp_path / "fusion" / "1"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    _seal(folder, manifest | {"name": "vision-top"})
    with pytest.raises(ModelRefused, match="the manifest is of vision-top"):
        open_model(tmp_path, "fusion")
    _seal(folder, manifest | {"surprise": 1})
    with pytest.raises(ModelRefused, match="not a manifest"):
        open_model(tmp_path, "fusion")


def test_an_onnx_file_that_does_not_open_is_never_placed(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(ModelRefused, match=r"bad\.onnx"):
        save_model(
            tmp_path,
            name="fusion",
            kind="fusion",
            files={"bad.onnx": b"not a graph"},
            features=[],
            threshold=None,
            trained_on=TRAINED_ON,
            notes={},
            card="",
        )
    assert open_model(tmp_path, "fusion").model_name.version == "1"
    assert versions(tmp_path, "fusion") == [1]


@pytest.mark.parametrize("name", ["vision-a/b", "vision-../../x", "vision-Kamera Süd", ".", "..", "vision-%2F"])
def test_any_camera_id_is_a_folder_of_the_shelf_itself(tmp_path: Path, name: str) -> None:
    shelf = tmp_path / "shelf"
    save(shelf, name=name)
    assert live_names(shelf) == [name]
    assert open_model(shelf, name).model_name.name == name
    assert [path.name for path in tmp_path.iterdir()] == ["shelf"]
    assert len(list(shelf.iterdir())) == 1


def test_a_file_name_that_is_a_path_and_a_name_too_long_are_refused(tmp_path: Path) -> None:
    for file in ("../x", "manifest.json", ".live", "a/b"):
        with pytest.raises(BadInput):
            save_model(
                tmp_path,
                name="fusion",
                kind="fusion",
                files={file: b""},
                features=[],
                threshold=None,
                trained_on=TRAINED_ON,
                notes={},
                card="",
            )
    with pytest.raises(BadInput):
        save(tmp_path, name="vision-" + "x" * 300)


def test_no_draft_is_left_behind(tmp_path: Path) -> None:
    save(tmp_path)
    save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "fusion").iterdir()) == ["1", "2", "live"]


def _seal(folder: Path, manifest: object) -> None:
    raw = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(raw)
    (folder / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest())
