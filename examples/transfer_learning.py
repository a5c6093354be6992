"""Transfer learning: a new head on a known network that stays as it is, then all of it, slowly.

Run: python examples/transfer_learning.py [--weights imagenet]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers

SHAPE = (32, 32, 3)
COLOURS = ("red", "green", "blue")


def make_images(count, seed):
    """Discs somewhere in noise, with pixels from 0 to 255, and the numbers of their colours."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(COLOURS), count)
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centre, radius = rng.uniform(8, 24, (2, count, 1, 1)), rng.uniform(8, 14, (count, 1, 1))
    inside = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < radius**2
    images = rng.normal(100, 20, (count, *SHAPE))
    images += inside[..., None] * np.eye(3)[labels][:, None, None] * 100
    return images.clip(0, 255).astype("float32"), labels


def make_backbone(weights, images):
    """The first third of MobileNetV2; with random weights, its normalization fits `images`."""
    whole = keras.applications.MobileNetV2(input_shape=SHAPE, include_top=False, weights=weights)
    # Any layer's output can end a model. Of such small images the later ones see a pixel or two.
    features = layers.GlobalAveragePooling2D()(whole.get_layer("block_3_project_BN").output)
    backbone = keras.Model(whole.inputs, features, name="backbone")
    if weights is None:
        # What new layers of normalization take for mean and variance is far from what comes.
        normalizations = [x for x in backbone.layers if isinstance(x, layers.BatchNormalization)]
        momentum = normalizations[0].momentum
        for layer in normalizations:
            layer.momentum = 0.0
        backbone(keras.applications.mobilenet_v2.preprocess_input(images), training=True)
        for layer in normalizations:
            layer.momentum = momentum
    return backbone


def make_model(backbone):
    """The backbone between what it expects of pixels and a classifier of its features."""
    inputs = keras.Input(SHAPE)
    x = keras.applications.mobilenet_v2.preprocess_input(inputs)
    # training=False: its normalization keeps the mean and variance it has, whatever is trained.
    x = backbone(x, training=False)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(len(COLOURS), activation="softmax")(x))


def train(model, rate, data, epochs):
    """Train what is trainable; `compile` again whenever that has changed."""
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(*data, epochs=epochs, batch_size=32, verbose=0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="'imagenet' or the path of a file; random by default")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    data, test = make_images(arguments.images, seed=0), make_images(300, seed=1)
    backbone = make_backbone(arguments.weights, data[0][:128])
    model = make_model(backbone)

    backbone.trainable = False
    train(model, 1e-2, data, arguments.epochs)
    _, accuracy = model.evaluate(*test, verbose=0)
    print(f"Head alone, {len(model.trainable_weights)} weights: accuracy {accuracy:.3f}")

    backbone.trainable = True
    train(model, 3e-4, data, arguments.epochs)
    _, accuracy = model.evaluate(*test, verbose=0)
    print(f"All, {len(model.trainable_weights)} weights: accuracy {accuracy:.3f}")
    return model


if __name__ == "__main__":
    main()
