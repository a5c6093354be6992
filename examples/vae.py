"""A variational autoencoder of handwritten digits, with a `train_step` of its own, and new digits.

Run: python examples/vae.py [--epochs 30] [--images 60000] [--latent 2]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers, ops


def load_images(count):
    """Up to `count` training images and their test images, of shape (n, 28, 28, 1) in [0, 1]."""
    (train, _), (test, _) = keras.datasets.mnist.load_sample()
    if count > len(train):
        try:
            (train, _), (test, _) = keras.datasets.mnist.load_data()
        except OSError as error:
            print(f"The full MNIST is not at hand, the shipped sample is: {error}")
    train, test = (images[:count, ..., None].astype("float32") / 255 for images in (train, test))
    return train, test


class Sampling(layers.Layer):
    """A draw from the normal distribution of given mean and log-variance.

    The noise is drawn apart from the two, so gradients reach them (Kingma & Welling 2014,
    "Auto-encoding variational Bayes", section 2.4).
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, mean, log_variance):
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, mean_shape, log_variance_shape):
        return mean_shape


def make_encoder(latent_size, filters=16):
    """An image -> mean and log-variance of its place in the latent space."""
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.Conv2D(2 * filters, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(32, activation="relu")(x)
    mean = layers.Dense(latent_size, name="mean")(x)
    log_variance = layers.Dense(latent_size, name="log_variance")(x)
    return keras.Model(image, [mean, log_variance], name="encoder")


def make_decoder(latent_size, filters=16):
    """A place in the latent space -> the image there, each pixel a probability."""
    place = keras.Input((latent_size,))
    x = layers.Dense(7 * 7 * 2 * filters, activation="relu")(place)
    x = layers.Reshape((7, 7, 2 * filters))(x)
    x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation="relu")(x)
    image = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    return keras.Model(place, image, name="decoder")


class VariationalAutoencoder(keras.Model):
    """Trains an encoder and a decoder on the evidence lower bound, in nats an image."""

    def __init__(self, latent_size=2, filters=16, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size
        self.encoder = make_encoder(latent_size, filters)
        self.sampling = Sampling()
        self.decoder = make_decoder(latent_size, filters)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.divergence_tracker = keras.metrics.Mean(name="divergence")

    @property
    def metrics(self):
        return [self.loss_tracker, self.reconstruction_tracker, self.divergence_tracker]

    def call(self, images):
        mean, _ = self.encoder(images)
        return self.decoder(mean)

    def losses_of(self, images):
        """Cost of the pixels given a drawn place, and how far the latter is from N(0, 1)."""
        mean, log_variance = self.encoder(images)
        decoded = self.decoder(self.sampling(mean, log_variance))
        reconstruction = ops.mean(
            ops.sum(keras.losses.binary_crossentropy(images, decoded), axis=(1, 2))
        )
        divergence = 0.5 * ops.mean(
            ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=1)
        )
        return reconstruction, divergence

    def report(self, reconstruction, divergence):
        self.loss_tracker.update_state(reconstruction + divergence)
        self.reconstruction_tracker.update_state(reconstruction)
        self.divergence_tracker.update_state(divergence)
        return {metric.name: metric.result() for metric in self.metrics}

    def train_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.zero_grad()
        reconstruction, divergence = self.losses_of(images)
        (reconstruction + divergence).backward()
        weights = self.trainable_weights
        self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return self.report(reconstruction.detach(), divergence.detach())

    def test_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.report(*self.losses_of(images))

    def sample(self, count, seed=None):
        """New images: what the decoder makes of places drawn from N(0, 1)."""
        places = keras.random.normal((count, self.latent_size), seed=seed)
        return self.decoder.predict(places, verbose=0)

    def grid(self, side=8, reach=1.5):
        """One picture of the first two latent axes: `side` by `side` images, as one array."""
        line = np.linspace(-reach, reach, side, dtype="float32")
        places = np.zeros((side * side, self.latent_size), "float32")
        places[:, 0], places[:, 1] = np.tile(line, side), np.repeat(line[::-1], side)
        images = self.decoder.predict(places, verbose=0)[..., 0]
        return images.reshape(side, side, 28, 28).swapaxes(1, 2).reshape(side * 28, side * 28)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--latent", type=int, default=2, help="axes of the latent space")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--picture", help="file for a picture of the latent space, e.g. vae.png")
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    train, test = load_images(arguments.images)
    model = VariationalAutoencoder(arguments.latent, arguments.filters)
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    model.fit(train, epochs=arguments.epochs, batch_size=arguments.batch_size, verbose=2)

    # An image that knows nothing of what is drawn: the mean of all of them.
    mean = np.clip(train.mean(0, keepdims=True), 1e-3, 1 - 1e-3)
    blind = -(test * np.log(mean) + (1 - test) * np.log(1 - mean)).sum((1, 2, 3)).mean()
    results = model.evaluate(test, verbose=0, return_dict=True)
    print(f"Test loss: {results['loss']:.1f} nats an image, the mean image {blind:.1f}")
    print(f"of them {results['divergence']:.1f} for the place in the latent space")
    if arguments.picture:
        from PIL import Image

        Image.fromarray((model.grid() * 255).astype("uint8")).save(arguments.picture)
    return model, train, test


if __name__ == "__main__":
    main()
