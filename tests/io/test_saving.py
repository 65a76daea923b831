"""What saving writes, what it leaves alone, and what it says about models that can't come back as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pynn as pn

X, Y = np.ones((8, 4), np.float32), np.zeros((8, 2), np.float32)


def small(**kwargs):
    return pn.Sequential([pn.layers.Dense(3, input_shape=(4,), **kwargs), pn.layers.Dense(2)])


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def description(folder):
    return json.loads((folder / "model.json").read_text())


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "[]", '{"weightsManifest": 3}', '{"weightsManifest": [{"paths": [["x"]], "weights": []}]}'])
def test_a_folder_without_a_model_keeps_its_files(tmp_path, text):
    (tmp_path / "data.bin").write_text("mine")
    (tmp_path / "folder.bin").mkdir()
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    small().save(tmp_path)
    assert names(tmp_path) == ["data.bin", "folder.bin", "model.json", "weights.bin"]
    pn.load_model(tmp_path)


def test_shards_of_the_model_before_go_and_files_of_others_stay(tmp_path):
    small().save(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "group1-shard1of1.bin")
    before = description(tmp_path)
    before["weightsManifest"][0]["paths"] = ["group1-shard1of1.bin"]
    (tmp_path / "model.json").write_text(json.dumps(before))
    (tmp_path / "data.bin").write_text("mine")
    small().save(tmp_path)
    assert names(tmp_path) == ["data.bin", "model.json", "weights.bin"]
