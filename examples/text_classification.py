"""Tell good reviews from bad ones: bags of words, bags of word pairs, an LSTM, a Transformer.

The reviews are made up by a small grammar, so nothing is downloaded. They are hard for whoever
looks at single words: "not really dull" is praise. Pairs of words help, their order helps more.

Run: python examples/text_classification.py [--model bigrams] [--epochs 5] [--samples 4000]
"""

import argparse

import numpy as np

import torchkeras as keras
from torchkeras import layers

THINGS = "plot acting music ending dialogue cast pace script camera story".split()
GOOD = "brilliant moving clever funny gripping fresh warm superb".split()
BAD = "dull clumsy tedious stale loud shallow weak predictable".split()
DEGREES = ["", "", "really ", "so ", "that "]
LENGTH = 24  # words of a review that the sequence models look at, which is all of them


def make_reviews(count, rng):
    """`(texts, labels)`: reviews of two to four opinions, 1 where more of them are praise."""
    texts, labels = [], []
    while len(texts) < count:
        opinions, praise = [], 0
        for thing in rng.choice(THINGS, size=rng.integers(2, 5), replace=False):
            is_good, is_negated = rng.integers(2, size=2)
            word = rng.choice(GOOD if is_good else BAD)
            opinions.append(f"the {thing} was {'not ' * is_negated}{rng.choice(DEGREES)}{word}")
            praise += 1 if is_good != is_negated else -1
        if praise != 0:
            texts.append(", and ".join(opinions).capitalize() + ".")
            labels.append(praise > 0)
    return np.array(texts), np.array(labels, dtype="float32")


def vectorization(kind):
    """The layer that turns texts into what a model of this kind reads."""
    if kind == "words":
        return layers.TextVectorization(output_mode="multi_hot")
    if kind == "bigrams":
        return layers.TextVectorization(ngrams=2, max_tokens=1000, output_mode="multi_hot")
    if kind == "tf_idf":
        return layers.TextVectorization(ngrams=2, max_tokens=1000, output_mode="tf_idf")
    return layers.TextVectorization(output_sequence_length=LENGTH)


class PositionalEmbedding(layers.Layer):
    """The sum of two learned vectors: one for the token, one for its place in the sequence."""

    def __init__(self, length, vocabulary_size, width, **kwargs):
        super().__init__(**kwargs)
        self.tokens = layers.Embedding(vocabulary_size, width, mask_zero=True)
        self.places = layers.Embedding(length, width)
        self.supports_masking = True

    def build(self, input_shape):
        self.tokens.build(input_shape)
        self.places.build(input_shape)

    def call(self, inputs):
        return self.tokens(inputs) + self.places(keras.ops.arange(inputs.shape[-1]))

    def compute_mask(self, inputs, previous_mask=None):
        return self.tokens.compute_mask(inputs)


class TransformerEncoder(layers.Layer):
    """Attention of a sequence to itself, then two dense layers; each is added to what it reads."""

    def __init__(self, width, hidden, heads, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.dense = keras.Sequential(
            [layers.Dense(hidden, activation="relu"), layers.Dense(width)]
        )
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.supports_masking = True

    def call(self, inputs):
        # Padding is left out: its mask rides on `inputs`, and attention reads it there.
        x = self.norms[0](inputs + self.attention(inputs, inputs))
        return self.norms[1](x + self.dense(x))


def make_model(kind, vectorize):
    """A classifier that reads what `vectorize` makes of texts."""
    size = vectorize.vocabulary_size()
    if kind in ("words", "bigrams", "tf_idf"):
        inputs = keras.Input((size,))
        x = layers.Dense(16, activation="relu")(inputs)
    else:
        inputs = keras.Input((LENGTH,), dtype="int64")
        if kind == "lstm":
            # It reads from both ends. The mask of 0, which is padding, keeps it from reading that.
            x = layers.Embedding(size, 32, mask_zero=True)(inputs)
            x = layers.Bidirectional(layers.LSTM(32))(x)
        else:
            x = PositionalEmbedding(LENGTH, size, 32)(inputs)
            x = TransformerEncoder(32, hidden=64, heads=4)(x)
            x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x), name=kind)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ["words", "bigrams", "tf_idf", "lstm", "transformer"]
    parser.add_argument("--model", choices=kinds, default="bigrams")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=4000)
    arguments = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    texts, labels = make_reviews(arguments.samples, rng)
    test_texts, test_labels = make_reviews(1000, rng)

    vectorize = vectorization(arguments.model)
    vectorize.adapt(texts)
    model = make_model(arguments.model, vectorize)
    model.summary()
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    # Texts become numbers once, and not again in each epoch.
    model.fit(vectorize(texts), labels, epochs=arguments.epochs, validation_split=0.1)
    _, accuracy = model.evaluate(vectorize(test_texts), test_labels, verbose=0)
    print(f"Test accuracy: {accuracy:.3f} ({len(test_texts):,} reviews)")

    # For use, the two are one model, from strings to probabilities.
    strings = keras.Input((1,), dtype="string")
    complete = keras.Model(strings, model(vectorize(strings)))
    examples = ["The plot was not really clever, and the cast was so dull.", test_texts[0]]
    probabilities = complete.predict(np.array(examples), verbose=0)[:, 0]
    for text, probability in zip(examples, probabilities, strict=True):
        print(f"{probability:.2f} {text}")


if __name__ == "__main__":
    main()
