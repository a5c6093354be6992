"""StringLookup: words as their places in a vocabulary, and back."""

import collections
import itertools

import numpy as np

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.strings import as_text
from torchkeras.layers.preprocessing.index_lookup import IndexLookup


class StringLookup(IndexLookup):
    """Words as their places in a vocabulary, which is given or learned from text.

    The places are, in this order: 0 for the mask token if there is one and the mode is "int";
    `num_oov_indices` for the words out of the vocabulary, among which the word's hash chooses;
    and one for each word of the vocabulary. `adapt` puts the most frequent word first and, of
    words equally frequent, the one that comes last in the order of code points.

    Args:
        max_tokens: int above 1, most places there may be, those for the mask and for other words
            included; None for any number. `adapt` keeps the most frequent words.
        num_oov_indices: int of at least 0, places for words out of the vocabulary; with 0 such a
            word is an error.
        mask_token: str that stands for no word: 0 in the mode "int", in the others left out; None
            for no such string.
        oov_token: str that `invert` and `get_vocabulary` give for words out of the vocabulary.
        vocabulary: list, tuple or array of different strings, with or without the mask and
            out-of-vocabulary tokens in front; or the path of a text file in UTF-8 with one in
            each line, which goes into model files with the layer; None to `adapt`.
        idf_weights: numbers by which counts are multiplied in the mode "tf_idf", as many as
            `vocabulary` has strings. Where these are without special tokens, words out of the
            vocabulary have the mean of them.
        invert: bool, whether places are turned into words instead. In the mode "int" alone.
        output_mode: `"int"` for places; `"one_hot"` for a vector of zeros and a one for each
            word; `"multi_hot"` for one vector for all words on the last axis; `"count"` for
            how often each of these is there; `"tf_idf"` for that times the word's weight.
        pad_to_max_tokens: bool, whether vectors have `max_tokens` entries at any vocabulary.
        sparse: False.
        encoding: `"utf-8"`, by which bytes are read.
        name: str; None for one made from the class.
        salt: int or two of them, another choice among places for words out of the vocabulary.
        **kwargs: `dtype` of the vectors, `trainable`, `oov_method` (without effect: strings are
            hashed by either method), and what configs of Keras have besides.

    Input shape:
        Text of any shape, as an array or as lists of strings; integers with `invert`.

    Output shape:
        The same, int64, in the mode "int", with `invert` as an array of strings. With n places
        `(..., n)` for an input of `(..., words)`; in "one_hot" `(..., words, n)`, or `(..., n)`
        where `words` is 1. These are floats.

    Raises:
        ValueError: an argument is out of its range; the vocabulary is empty, has a word twice or
            too many, or a mask token within; a word is out of the vocabulary and has no place;
            `adapt` where the vocabulary was given.
        RuntimeError: vectors are asked for before there is a vocabulary, or the number of their
            entries would change.

    Source:
        The behaviour is that of Keras 3's layer on TensorFlow, FarmHash64 and, with a salt,
        SipHash-2-4 included. That returns vectors as integers; ours have the dtype that its
        symbols announce.

    Example:

    >>> layer = keras.layers.StringLookup()
    >>> layer.adapt([["a", "c", "d"], ["d", "z", "b"]])
    >>> layer.get_vocabulary()
    ['[UNK]', 'd', 'z', 'c', 'b', 'a']
    >>> layer([["b", "d", "new"]])
    tensor([[4, 1, 0]])
    """

    takes_text = True

    def __init__(
        self,
        max_tokens=None,
        num_oov_indices=1,
        mask_token=None,
        oov_token="[UNK]",
        vocabulary=None,
        idf_weights=None,
        invert=False,
        output_mode="int",
        pad_to_max_tokens=False,
        sparse=False,
        encoding="utf-8",
        name=None,
        salt=None,
        **kwargs,
    ):
        if encoding != "utf-8":
            raise ValueError(
                f"Bytes are read as UTF-8. Received: encoding={encoding!r}. Decode them first."
            )
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            sparse=sparse,
            oov_method=kwargs.pop("oov_method", "floormod"),
            salt=salt,
            name=name,
            **kwargs,
        )

    def _as_tokens(self, values):
        words = as_text(values)
        if words.ndim != 1:
            raise ValueError(
                f"A list of strings was expected. Received: an array of shape {words.shape}."
            )
        return words.tolist()

    def _from_lines(self, lines):
        return lines

    def _as_array(self, batch):
        return as_text(batch)

    def _count_in(self, rows):
        return collections.Counter(itertools.chain.from_iterable(_lists(rows)))

    def _count_rows_of(self, rows):
        return collections.Counter(itertools.chain.from_iterable(map(set, _lists(rows))))

    def _find(self, inputs):
        inputs = as_text(inputs)  # a lone string comes as it is, and a list of numbers is an error
        return convert_to_tensor(self._places_of(inputs.ravel().tolist()).reshape(inputs.shape))

    def _places_of(self, words):
        """Places of a list of strings, as an array."""
        # Negative numbers below that of the mask token stand for words that are not there.
        found = map(self._places.get, words, itertools.repeat(-2))
        places = np.fromiter(found, dtype="int64", count=len(words))
        unknown = places == -2
        if unknown.any():
            if self.num_oov_indices == 1:
                places[unknown] = self._first_oov()
                return places
            strange = np.array(words, dtype=object)[unknown]
            if not self.num_oov_indices:
                self._refuse_unknown(strange)
            places[unknown] = self._oov_places(strange).cpu().numpy()
        return places

    def _tokens_changed(self):
        self._by_place = np.array(self.get_vocabulary(), dtype=object)

    def _tokens_at(self, places):
        places = places.cpu().numpy()
        inside = (places >= 0) & (places < len(self._by_place))
        words = np.full(places.shape, self.oov_token, dtype=object)
        words[inside] = self._by_place[places[inside]]
        return words

    def compute_output_spec(self, inputs):
        if self.invert:
            return KerasTensor(inputs.shape, dtype="string")
        return super().compute_output_spec(inputs)

    def get_config(self):
        return {**super().get_config(), "encoding": "utf-8"}


def _lists(rows):
    return rows.tolist() if isinstance(rows, np.ndarray) else rows
