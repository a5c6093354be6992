import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers
from torchkeras.core import tree

CASES = {
    "images alone": image_case(layers.MaxNumBoundingBoxes, {"max_number": 3}, (2, 4, 5, 3)),
}


@layer_cases(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize("single", [False, True])
def test_boxes_are_added_or_left_out(single):
    data = sample()
    data = tree.map_structure(lambda x: x[0], data) if single else data
    for number in (1, 4):
        out = layers.MaxNumBoundingBoxes(number, fill_value=-2)(data)["bounding_boxes"]
        for name, given in data["bounding_boxes"].items():
            axis = 0 if single else 1
            assert out[name].shape[axis] == number
            n = min(number, 2)
            assert torch.equal(out[name].narrow(axis, 0, n), given.narrow(axis, 0, n))
            assert bool((out[name].narrow(axis, n, number - n) == -2).all())


def test_symbols():
    boxes = {"boxes": keras.Input((None, 4)), "labels": keras.Input((None,), dtype="int32")}
    out = layers.MaxNumBoundingBoxes(7)(
        {"images": keras.Input((8, 8, 3), dtype="uint8"), "bounding_boxes": boxes}
    )
    assert out["images"].dtype == "uint8"
    assert out["bounding_boxes"]["boxes"].shape == (None, 7, 4)
    assert out["bounding_boxes"]["labels"].shape == (None, 7)
