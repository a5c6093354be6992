import json

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.applications import imagenet_utils
from torchkeras.utils import file_utils

IMAGE = np.array([[[255.0, 127.5, 0.0]]])  # one pixel: red, green, blue
EXPECTED = {
    "tf": [1.0, 0.0, -1.0],
    "torch": [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0 - 0.406) / 0.225],
    "caffe": [0 - 103.939, 127.5 - 116.779, 255 - 123.68],  # blue, green, red
}


@pytest.mark.parametrize("mode", EXPECTED)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values_are_those_of_the_formula_and_dtypes_stay(mode, dtype):
    tolerance = {"float16": 0.13, "float32": 1e-5, "float64": 1e-12}[dtype]
    for image in (IMAGE.astype(dtype), torch.tensor(IMAGE.astype(dtype))):
        found = imagenet_utils.preprocess_input(image, mode=mode)
        assert found.dtype == image.dtype
        np.testing.assert_allclose(np.asarray(found)[0, 0], EXPECTED[mode], rtol=0, atol=tolerance)
        first = np.moveaxis(np.asarray(image), -1, 0)
        found = imagenet_utils.preprocess_input(first, "channels_first", mode=mode)
        np.testing.assert_allclose(found[:, 0, 0], EXPECTED[mode], rtol=0, atol=tolerance)


def test_the_format_that_is_set_counts():
    keras.config.set_image_data_format("channels_first")
    found = keras.applications.resnet50.preprocess_input(np.moveaxis(IMAGE, -1, 0))
    np.testing.assert_allclose(found[:, 0, 0], EXPECTED["caffe"])


@pytest.mark.parametrize("options", [{"mode": "jax"}, {"data_format": "channels_middle"}])
def test_other_modes_and_formats_are_refused(options):
    with pytest.raises(ValueError, match="Received: "):
        imagenet_utils.preprocess_input(IMAGE, **options)


def test_it_can_stand_in_a_compiled_and_an_exported_model():
    class Model(torch.nn.Module):
        def forward(self, x):
            return keras.applications.vgg16.preprocess_input(x)

    x = torch.tensor(IMAGE, dtype=torch.float32)[None]
    expected = imagenet_utils.preprocess_input(x)
    exported = torch.export.export(Model(), (x,))
    torch.testing.assert_close(exported.module()(x), expected)


@pytest.fixture
def class_index(tmp_path, monkeypatch):
    path = tmp_path / "models" / "imagenet_class_index.json"
    path.parent.mkdir()
    path.write_text(json.dumps({str(i): [f"n{i:08}", f"name_{i}"] for i in range(1000)}))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(imagenet_utils, "_CLASS_INDEX_MD5", file_utils.hash_file(path, "md5"))


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_decode_predictions_names_the_highest_scores(class_index, kind):
    scores = np.zeros((2, 1000), "float32")
    scores[0, [7, 999, 0]] = 0.5, 0.3, 0.2
    scores[1, 3] = 1
    scores = torch.tensor(scores, requires_grad=True) if kind == "tensor" else scores
    first, second = keras.applications.vgg19.decode_predictions(scores, top=3)
    assert [entry[:2] for entry in first] == [
        ("n00000007", "name_7"),
        ("n00000999", "name_999"),
        ("n00000000", "name_0"),
    ]
    assert [entry[2] for entry in first] == [np.float32(x) for x in (0.5, 0.3, 0.2)]
    assert second[0] == ("n00000003", "name_3", 1.0)
    assert len(imagenet_utils.decode_predictions(scores)[0]) == 5


@pytest.mark.parametrize("shape", [(1000,), (1, 10), (1, 1, 1000)])
def test_decode_predictions_wants_the_classes_of_imagenet(shape):
    with pytest.raises(ValueError, match=r"Received: preds of shape"):
        imagenet_utils.decode_predictions(np.zeros(shape))
