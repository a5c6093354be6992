"""K-fold validation: how good a model is, and how much that depends on the samples held out.

Run: python examples/kfold_validation.py [--folds 4] [--epochs 5]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers


def make_model():
    """A small classifier of the ten digits, with new weights at each call."""
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def split(count, folds, seed=0):
    """Yield `(train, held_out)`, arrays of indices below `count`, for each fold.

    Every index is held out exactly once. The order is shuffled first: data is often sorted.
    """
    parts = np.array_split(np.random.default_rng(seed).permutation(count), folds)
    for fold in range(folds):
        others = [part for number, part in enumerate(parts) if number != fold]
        yield np.concatenate(others), parts[fold]


def validate(images, labels, folds, epochs):
    """Accuracies on the held-out samples, one for each fold, each by a model of its own."""
    accuracies = []
    for fold, (train, held_out) in enumerate(split(len(images), folds), start=1):
        model = make_model()
        model.fit(images[train], labels[train], epochs=epochs, batch_size=64, verbose=0)
        _, accuracy = model.evaluate(images[held_out], labels[held_out], verbose=0)
        print(f"Fold {fold}: {accuracy:.3f} ({len(train):,} to train, {len(held_out):,} held out)")
        accuracies.append(accuracy)
    return accuracies


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args(arguments)
    if arguments.folds < 2:
        parser.error("--folds must be at least 2: one part to hold out, and the rest to train on")

    keras.utils.set_random_seed(0)
    (images, labels), (test_images, test_labels) = keras.datasets.mnist.load_sample()
    images, test_images = images.astype("float32") / 255, test_images.astype("float32") / 255
    accuracies = validate(images, labels, arguments.folds, arguments.epochs)
    print(f"Accuracy: {np.mean(accuracies):.3f}, plus or minus {np.std(accuracies):.3f}")

    # The folds have judged the way of training. The model to use is trained so on all samples.
    model = make_model()
    model.fit(images, labels, epochs=arguments.epochs, batch_size=64, verbose=0)
    _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
    print(f"Test accuracy of a model trained on all: {accuracy:.3f}")


if __name__ == "__main__":
    main()
