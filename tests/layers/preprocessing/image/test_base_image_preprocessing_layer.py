import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras.core import tree
from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)


class RandomDim(BaseImagePreprocessingLayer):
    """Images times a random number, one for each; boxes are moved by it."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        return self.draw_uniform(data, (1, 1, 1), 1.0, 2.0, seed) if training else None

    def transform_images(self, images, transformation, training=True):
        images = self.cast(images)
        return images * transformation.to(images.dtype) if training else images

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes
        return {**bounding_boxes, "boxes": bounding_boxes["boxes"] + transformation[:, 0]}

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


CASES = {
    "batch": image_case(
        RandomDim,
        {},
        (2, 4, 5, 3),
        custom_objects={"RandomDim": RandomDim},
        expected_num_seed_generators=1,
    ),
    "integers": image_case(
        RandomDim,
        {},
        (2, 4, 5, 3),
        input_dtype="uint8",
        custom_objects={"RandomDim": RandomDim},
        expected_output_dtype="float32",
    ),
    "one image": image_case(
        RandomDim,
        {"data_format": "channels_first"},
        (3, 4, 5),
        custom_objects={"RandomDim": RandomDim},
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_a_transformation_is_one_for_an_image_and_all_that_goes_with_it():
    data = sample(batch=3)
    layer = RandomDim(seed=1, bounding_box_format="xyxy")
    out = layer(data)
    factors = out["images"] / data["images"]
    factors = torch.nanmean(factors.flatten(1), 1)
    assert len(factors.unique()) == 3 and bool((factors >= 1).all() and (factors < 2).all())
    moved = out["bounding_boxes"]["boxes"] - data["bounding_boxes"]["boxes"]
    torch.testing.assert_close(moved, factors[:, None, None].expand(3, 2, 4), rtol=1e-5, atol=1e-5)
    assert out["labels"] is not None and torch.equal(out["labels"], data["labels"])
    assert torch.equal(out["segmentation_masks"], data["segmentation_masks"])


def test_one_image_gives_what_a_batch_of_it_gives():
    data = sample(batch=1)
    single = tree.map_structure(lambda x: x[0], data)
    results = [RandomDim(seed=1, bounding_box_format="xyxy")(x) for x in (data, single)]
    tree.map_structure(lambda a, b: torch.testing.assert_close(a[0], b), *results)


def test_arrays_lists_and_other_entries():
    data = tree.map_structure(lambda x: x.numpy(), sample())
    layer = RandomDim(seed=1, bounding_box_format="xyxy")
    given = {**data, "images": data["images"].tolist(), "note": 7}
    out = layer(given)
    assert out["note"] == 7 and out["bounding_boxes"]["boxes"].dtype is torch.float32
    assert isinstance(given["images"], list), "the input is not changed"
    again = RandomDim(seed=1, bounding_box_format="xyxy")(data)
    torch.testing.assert_close(out["images"], again["images"])


def test_augments_unless_told_not_to_as_in_keras():
    x = torch.ones(2, 4, 4, 3)
    layer = RandomDim(seed=1)
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layer(inputs))
    for call in (layer, model, keras.Sequential([RandomDim()])):
        assert not torch.equal(call(x), x)
        assert torch.equal(call(x, training=False), x)
    model.compile("sgd", "mae")
    assert model.evaluate(x, x, verbose=0) == 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    with pytest.warns(UserWarning, match="no trainable weights"):
        losses = model.fit(x, x, validation_data=(x, x), verbose=0).history
    assert losses["loss"][0] > 0 and losses["val_loss"] == [0]
    assert not torch.equal(model(x), x) and not model.training, "as before `fit`"
    assert torch.equal(model.eval()(x), x)
    assert torch.equal(torch.nn.Sequential(RandomDim()).eval()(x), x)


def test_boxes_stay_exact_in_half_precision():
    data = sample(size=(6, 3001))
    out = RandomDim(dtype="mixed_bfloat16", bounding_box_format="xyxy")(data, training=False)
    assert out["images"].dtype is torch.bfloat16
    assert torch.equal(out["bounding_boxes"]["boxes"], data["bounding_boxes"]["boxes"])


def test_symbols_of_a_dict():
    inputs = {
        "images": keras.Input((4, 5, 3), dtype="uint8"),
        "labels": keras.Input((), dtype="int64"),
        "bounding_boxes": {
            "boxes": keras.Input((None, 4), dtype="int32"),
            "labels": keras.Input((None,), dtype="int32"),
        },
    }
    out = RandomDim(bounding_box_format="xyxy")(inputs)
    found = tree.map_structure(lambda x: (x.shape, x.dtype), out)
    assert found["images"] == ((None, 4, 5, 3), "float32")
    assert found["labels"] == ((None,), "int64")
    assert found["bounding_boxes"]["boxes"] == ((None, None, 4), "float32")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.ones(4, 4), "rank 4"),
        ({"labels": torch.ones(2)}, "key 'images'"),
        (sample(), "bounding_box_format='xyxy'"),
    ],
)
def test_wrong_inputs(data, words):
    with pytest.raises(ValueError, match=words):
        RandomDim()(data)


class Dimmed(torch.utils.data.Dataset):
    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.layer({"images": np.ones((4, 4, 3), "uint8"), "labels": i})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 1])
def test_workers_draw_numbers_of_their_own(seed):
    loader = torch.utils.data.DataLoader(Dimmed(RandomDim(seed=seed)), num_workers=2)
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        runs.append([torch.stack([x["images"][0, 0, 0, 0] for x in loader]) for _ in range(2)])
    assert len(torch.cat(runs[0]).unique()) == 8, "the same in two workers, or two epochs"
    assert torch.equal(torch.cat(runs[0]), torch.cat(runs[1]))


def test_ranges():
    assert factor_range(-0.3) == (-0.3, 0.3)
    assert factor_range(None) == (0.0, 0.0)
    assert factor_range(0.3, (0.0, 1.0)) == (0.0, 0.3)
    assert factor_range([0.5, -0.1]) == (-0.1, 0.5)
    assert check_value_range((1.0, 0.0)) == [0.0, 1.0]
    for wrong in (1.5, (0, 2), "a", (1,), True):
        with pytest.raises(ValueError, match="`factor` must be a number from -1"):
            factor_range(wrong)
    for wrong in (1.0, (0, 1, 2), ("a", "b")):
        with pytest.raises(ValueError, match="value_range"):
            check_value_range(wrong)


def test_a_model_of_dicts():
    shapes = {"images": (4, 5, 3), "labels": ()}
    inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    outputs = keras.layers.RandomFlip(seed=1)(keras.layers.Resizing(6, 8)(inputs))
    model = keras.Model(inputs, outputs)
    data = {"images": torch.rand(16, 4, 5, 3), "labels": torch.arange(16.0)}
    out = model(data)
    assert out["images"].shape == (16, 6, 8, 3) and torch.equal(out["labels"], data["labels"])
    kept = model(data, training=False)["images"]
    same = (out["images"] == kept).flatten(1).all(1)
    assert 0 < int(same.sum()) < 16
    again = keras.Model.from_config(model.get_config())
    assert torch.equal(again(data, training=False)["images"], kept)
