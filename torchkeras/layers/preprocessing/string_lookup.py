"""StringLookup: words as their places in a vocabulary, and back."""

import collections
import json

import numpy as np
import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.strings import as_text
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.layers.preprocessing.farm_hash import farm_hash_64

_MODES = ("int", "one_hot", "multi_hot", "count")
_OLD_MODES = {"binary": "multi_hot"}


class StringLookup(AdaptableLayer):
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
            out-of-vocabulary tokens in front; None to `adapt`.
        idf_weights: None; there is no mode "tf_idf".
        invert: bool, whether places are turned into words instead. In the mode "int" alone.
        output_mode: `"int"` for places; `"one_hot"` for a vector of zeros and a one for each
            word; `"multi_hot"` for one vector for all words on the last axis; `"count"` for
            how often each of these is there.
        pad_to_max_tokens: bool, whether vectors have `max_tokens` entries at any vocabulary.
        sparse: False.
        encoding: `"utf-8"`, by which bytes are read.
        name: str; None for one made from the class.
        salt: None.
        **kwargs: `dtype` of the vectors, `trainable`, and what configs of Keras have besides.

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
        The behaviour is that of Keras 3's layer on TensorFlow, FarmHash64 included. That returns
        vectors as integers; ours have the dtype that its symbols announce.

    Example:

    >>> layer = keras.layers.StringLookup()
    >>> layer.adapt([["a", "c", "d"], ["d", "z", "b"]])
    >>> layer.get_vocabulary()
    ['[UNK]', 'd', 'z', 'c', 'b', 'a']
    >>> layer([["b", "d", "new"]])
    tensor([[4, 1, 0]])
    """

    _plain_attributes = Layer._plain_attributes | {"_words", "_places", "_counts", "_given"}

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
        output_mode = _OLD_MODES.get(output_mode, output_mode)
        if output_mode not in _MODES:
            raise ValueError(
                f"`output_mode` must be one of {', '.join(map(repr, _MODES))}. Received: "
                f"output_mode={output_mode!r}."
            )
        _check_int("num_oov_indices", num_oov_indices, 0)
        if max_tokens is not None:
            _check_int("max_tokens", max_tokens, 2)
        elif pad_to_max_tokens:
            raise ValueError("`pad_to_max_tokens` needs `max_tokens`. Received: max_tokens=None.")
        if invert and output_mode != "int":
            raise ValueError(
                f"`invert` needs output_mode='int'. Received: output_mode={output_mode!r}."
            )
        only = {"idf_weights": None, "sparse": False, "encoding": "utf-8", "salt": None}
        given = {"idf_weights": idf_weights, "sparse": sparse, "encoding": encoding, "salt": salt}
        for argument, value in given.items():
            if value != only[argument]:
                raise ValueError(
                    f"StringLookup supports no other value than {only[argument]!r} for "
                    f"`{argument}`. Received: {argument}={value!r}. Leave it out."
                )
        kwargs.pop("oov_method", None)  # strings are hashed by either method
        size = kwargs.pop("vocabulary_size", None)
        has_vocabulary = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        if output_mode == "int":
            kwargs["dtype"] = "int64"
        super().__init__(name=name, **kwargs)
        self.takes_text = not invert
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.invert = invert
        self.output_mode = output_mode
        self.pad_to_max_tokens = pad_to_max_tokens
        self._has_vocabulary = has_vocabulary
        self._size = size  # vectors have as many entries; known to configs before the words are
        self._given = None  # the vocabulary that configs hold
        self._counts = collections.Counter()
        self._set_words(())
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)
        mark_built(self)

    def _special_tokens(self):
        mask = (
            [self.mask_token] if self.mask_token is not None and self.output_mode == "int" else []
        )
        return mask + [self.oov_token] * self.num_oov_indices

    def _set_words(self, words):
        first = len(self._special_tokens())
        self._words = tuple(words)
        self._places = {word: place for place, word in enumerate(self._words, first)}
        if self.mask_token is not None:
            self._places[self.mask_token] = 0 if self.output_mode == "int" else -1

    def _fix_size(self):
        size = self.vocabulary_size()
        if self.output_mode != "int" and not self.pad_to_max_tokens:
            if self._size not in (None, size):
                raise RuntimeError(
                    f"Layer '{self.name}' makes vectors of {self._size} entries, and its "
                    f"vocabulary cannot change its size. Received: a vocabulary of size {size}. "
                    "Make a new layer, or set `max_tokens` and `pad_to_max_tokens`."
                )
        self._size = size

    def get_vocabulary(self, include_special_tokens=True):
        """The words, each at its place.

        Args:
            include_special_tokens: bool, whether the mask and out-of-vocabulary tokens are there.

        Example:

        >>> keras.layers.StringLookup(vocabulary=["a", "b"], mask_token="").get_vocabulary()
        ['', '[UNK]', 'a', 'b']
        """
        return (self._special_tokens() if include_special_tokens else []) + list(self._words)

    def vocabulary_size(self):
        """How many places there are, those for the mask and for other words included.

        Example:

        >>> keras.layers.StringLookup(vocabulary=["a", "b"]).vocabulary_size()
        3
        """
        return len(self._special_tokens()) + len(self._words)

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take these words in place of those the layer has.

        Args:
            vocabulary: list, tuple or array of different strings, see the class.
            idf_weights: None.

        Raises:
            ValueError, RuntimeError: see the class.

        Example:

        >>> layer = keras.layers.StringLookup()
        >>> layer.set_vocabulary(["a", "b"])
        >>> layer(["b", "c"])
        tensor([2, 0])
        """
        if idf_weights is not None:
            raise ValueError(f"`idf_weights` must be None. Received: {idf_weights!r}.")
        if isinstance(vocabulary, (str, bytes)):
            raise ValueError(
                "`vocabulary` must be a list of strings. Received: vocabulary="
                f"{vocabulary!r}. Read a file by open(path, encoding='utf-8').read().split('\\n')."
            )
        words = as_text(vocabulary)
        if words.ndim != 1 or not words.size:
            raise ValueError(
                "`vocabulary` must be a list of one string or more. Received: an array of shape "
                f"{words.shape}."
            )
        given = words = words.tolist()
        special = self._special_tokens()
        if special and words[: len(special)] == special:
            words = words[len(special) :]
        twice = [word for word, count in collections.Counter(words).items() if count > 1]
        if twice:
            raise ValueError(
                f"The words of `vocabulary` must differ. Received more than once: {twice}."
            )
        for argument in ("mask_token", "oov_token") if self.invert else ("mask_token",):
            token = getattr(self, argument)
            if token is not None and token in words:
                raise ValueError(
                    f"`vocabulary` may have the special tokens {special} in front, in this order, "
                    f"or not at all. Received: {argument}={token!r} at place {words.index(token)} "
                    "of the words."
                )
        size = len(special) + len(words)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"The vocabulary may have max_tokens={self.max_tokens} places. Received: {size}, "
                f"with {len(special)} for special tokens."
            )
        self._set_words(words)
        self._fix_size()
        if self._has_vocabulary:
            self._given = given

    def reset_state(self):
        self._counts = collections.Counter()

    def update_state(self, batch):
        if self._has_vocabulary:
            raise ValueError(
                f"Layer '{self.name}' was given its vocabulary and learns none. Received: adapt(). "
                "Leave `vocabulary` out to adapt the layer, or use set_vocabulary()."
            )
        self._counts.update(as_text(batch).ravel().tolist())

    def finalize_state(self):
        counts, self._counts = self._counts, collections.Counter()
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        words = sorted(counts, key=lambda word: (counts[word], word), reverse=True)
        if self.max_tokens is not None:
            words = words[: max(self.max_tokens - len(self._special_tokens()), 0)]
        self._set_words(words)
        self._fix_size()

    def call(self, inputs):
        if self.invert:
            return self._words_at(inputs)
        inputs = as_text(inputs)  # a lone string comes as it is, and a list of numbers is an error
        words = inputs.ravel().tolist()
        places = np.array([self._place(word) for word in words], dtype="int64")
        places = convert_to_tensor(places.reshape(inputs.shape))
        return places if self.output_mode == "int" else self._vectors(places)

    def _place(self, word):
        place = self._places.get(word)
        if place is not None:
            return place
        count = self.num_oov_indices
        if not count:
            raise ValueError(
                f"Layer '{self.name}' knows the words of its vocabulary alone. Received: {word!r}. "
                "Give words out of it a place by num_oov_indices=1."
            )
        first = len(self._special_tokens()) - count
        return first if count == 1 else first + farm_hash_64(word.encode()) % count

    def _words_at(self, places):
        if not isinstance(places, torch.Tensor) or places.is_floating_point():
            raise ValueError(
                f"Layer '{self.name}' inverts integers. Received: {places!r}. Give an array of "
                "them."
            )
        special = self._special_tokens()
        first, count = len(special), len(self._words)
        words = np.empty(places.numel(), dtype=object)
        for index, place in enumerate(places.flatten().tolist()):
            if first <= place < first + count:
                words[index] = self._words[place - first]
            else:
                words[index] = special[place] if 0 <= place < first else self.oov_token
        return words.reshape(tuple(places.shape))

    def _depth(self):
        return self.max_tokens if self.pad_to_max_tokens else self._size

    def _vectors(self, places):
        depth = self._depth()
        if depth is None:
            raise RuntimeError(
                f"Layer '{self.name}' has no vocabulary yet. Received: a call with output_mode="
                f"{self.output_mode!r}. Call adapt() or set_vocabulary() first."
            )
        one_hot = self.output_mode == "one_hot"
        if places.dim() == 0 or one_hot and not (places.dim() > 1 and places.shape[-1] == 1):
            places = places.unsqueeze(-1)
        # What is left out, -1, is counted in an entry at the end, which is cut off.
        slots = torch.where(places < 0, depth, places)
        shape = (*places.shape[:-1], depth + 1)
        dtype = to_torch_dtype(self.compute_dtype)
        counts = torch.zeros(shape, dtype=dtype, device=places.device)
        counts.scatter_add_(-1, slots, torch.ones_like(slots, dtype=dtype))
        counts = counts[..., :depth]
        return counts if self.output_mode == "count" else counts.clamp(max=1)

    def compute_output_shape(self, input_shape):
        if self.output_mode == "int":
            return tuple(input_shape)
        one_hot = self.output_mode == "one_hot"
        if one_hot and not (len(input_shape) > 1 and input_shape[-1] == 1):
            return (*input_shape, self._depth())
        return (*input_shape[:-1], self._depth())

    def compute_output_spec(self, inputs):
        if self.invert:
            return KerasTensor(inputs.shape, dtype="string")
        return super().compute_output_spec(inputs)

    def get_assets(self):
        words = self.get_vocabulary()
        text = "\n".join(words)
        if text.split("\n") == words:
            return {"vocabulary.txt": text.encode()}
        return {"vocabulary.json": json.dumps(words).encode()}  # words with line breaks, or none

    def set_assets(self, assets):
        if "vocabulary.json" in assets:
            words = json.loads(assets["vocabulary.json"])
        elif "vocabulary.txt" in assets:
            words = assets["vocabulary.txt"].decode().split("\n")
        else:
            return  # Keras leaves a vocabulary out that is in the config
        self._set_words(words[len(self._special_tokens()) :])
        self._fix_size()

    def get_config(self):
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": False,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "idf_weights": None,
            "vocabulary": self._given,
            "vocabulary_size": self._size,
            "oov_method": "floormod",
            "salt": None,
            "encoding": "utf-8",
        }


def _check_int(argument, value, least):
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{argument}` must be an int of at least {least}. Received: {argument}={value!r}."
        )
