"""A small convnet with augmentation layers inside: few digits to learn from, moved ones to read.

Two models see the same few images of MNIST. One of them sees them moved, turned, stretched and
partly erased, differently in each epoch. Both then read test digits that stand anywhere.

Run: python examples/image_augmentation.py [--epochs 30] [--images 1000]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers


def load_data(count):
    """Up to `count` training images and the test images of the shipped sample, with labels.

    Returns:
        Two pairs: uint8 images of shape (n, 28, 28, 1), and ints of shape (n,).
    """
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_sample()
    return (x_train[:count, ..., None], y_train[:count]), (x_test[..., None], y_test)


def moved(images, distance=4, seed=0):
    """Each image moved by up to `distance` pixels along both axes, on an empty ground."""
    rng = np.random.default_rng(seed)
    result = np.zeros_like(images)
    height, width = images.shape[1:3]
    for image, target in zip(images, result, strict=True):
        down, right = rng.integers(-distance, distance + 1, 2)
        part = image[max(0, -down) : height - down, max(0, -right) : width - right]
        top, left = max(0, down), max(0, right)
        target[top : top + part.shape[0], left : left + part.shape[1]] = part
    return result


def make_augmentation():
    """Layers that change images in training, and let them pass in `evaluate` and `predict`."""
    return layers.Pipeline(
        [
            layers.RandomTranslation(0.15, 0.15, fill_mode="constant"),
            layers.RandomRotation(0.04, fill_mode="constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
            layers.RandomContrast(0.3),
            layers.RandomErasing(0.2, scale=(0.02, 0.1), fill_value=0),
        ],
        name="augmentation",
    )


def make_model(augmentation=None, filters=16):
    """Image -> probabilities of the ten digits; with `augmentation` after the input."""
    image = keras.Input((28, 28, 1))
    x = image if augmentation is None else augmentation(image)
    x = layers.Rescaling(1 / 255)(x)
    for width in (filters, 2 * filters):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    digits = layers.Dense(10, activation="softmax")(x)
    model = keras.Model(image, digits)
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--filters", type=int, default=16)
    arguments = parser.parse_args(arguments)

    (x_train, y_train), (x_test, y_test) = load_data(arguments.images)
    x_moved = moved(x_test)
    accuracies = {}
    for name in ("as they are", "augmented"):
        keras.utils.set_random_seed(0)
        model = make_model(make_augmentation() if name == "augmented" else None, arguments.filters)
        model.fit(
            x_train,
            y_train,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            verbose=0,
        )
        plain, shifted = (model.evaluate(x, y_test, verbose=0)[1] for x in (x_test, x_moved))
        print(f"Images {name}: accuracy {plain:.3f}, of moved digits {shifted:.3f}")
        accuracies[name] = plain, shifted
    return model, accuracies


if __name__ == "__main__":
    main()
