"""IndexLookup: what StringLookup and IntegerLookup share."""

import collections
import io
import os

import numpy as np
import torch

from torchkeras.core.claims import claim_memory
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.files import open_regular
from torchkeras.core.serialization import is_deserializing
from torchkeras.core.strings import is_text
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.layers.preprocessing.buckets import buckets, check_salt
from torchkeras.layers.preprocessing.category_vectors import (
    MODES,
    category_vectors,
    check_dense,
    check_mode,
    vectors_shape,
)
from torchkeras.layers.preprocessing.tables import Tables
from torchkeras.layers.preprocessing.vocabulary_files import VocabularyFiles

_BYTES_OF_TOKEN = 1024  # in lists and tables, and for the time that these take


class IndexLookup(VocabularyFiles, Tables, AdaptableLayer):
    """Tokens as their places in a vocabulary, and back.

    The places are, in this order: 0 for the mask token if there is one and the mode is "int";
    `num_oov_indices` for tokens out of the vocabulary; one for each token of the vocabulary.

    A subclass says what tokens are, by the methods below that raise NotImplementedError, and
    documents the arguments.
    """

    _plain_attributes = (
        Tables._plain_attributes
        | AdaptableLayer._plain_attributes
        | {"_tokens", "_places", "_counts", "_document_counts", "_given", "_given_idf_weights"}
    )

    def __init__(
        self,
        max_tokens,
        num_oov_indices,
        mask_token,
        oov_token,
        vocabulary,
        idf_weights,
        invert,
        output_mode,
        pad_to_max_tokens,
        sparse,
        oov_method,
        salt,
        name,
        **kwargs,
    ):
        output_mode = check_mode(output_mode, (*MODES, "tf_idf"))
        _check_int("num_oov_indices", num_oov_indices, 0)
        claim_memory(_BYTES_OF_TOKEN * num_oov_indices)
        if max_tokens is not None:
            _check_int("max_tokens", max_tokens, 2)
        elif pad_to_max_tokens:
            raise ValueError("`pad_to_max_tokens` needs `max_tokens`. Received: max_tokens=None.")
        if invert and output_mode != "int":
            raise ValueError(
                f"`invert` needs output_mode='int'. Received: output_mode={output_mode!r}."
            )
        check_dense(sparse)
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(
                "`oov_method` must be 'floormod' or 'farmhash'. Received: oov_method="
                f"{oov_method!r}."
            )
        size = kwargs.pop("vocabulary_size", None)
        has_vocabulary = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        if output_mode == "int":
            kwargs["dtype"] = "int64"
        super().__init__(name=name, **{**kwargs, "autocast": False})
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.invert = invert
        self.output_mode = output_mode
        self.pad_to_max_tokens = pad_to_max_tokens
        self.oov_method = oov_method
        self.salt = check_salt(salt)
        self._has_vocabulary = has_vocabulary
        self._size = size  # vectors have as many entries; known to configs before the tokens are
        self._given = self._given_idf_weights = None  # what configs hold
        self._forget_counts()
        self._set_tokens(())
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            self._check_idf_weights(idf_weights)
            raise ValueError(
                "`idf_weights` belong to a vocabulary. Received: idf_weights without "
                "`vocabulary`. Give both, or neither and call adapt()."
            )
        mark_built(self)

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described; a config names no files."""
        if isinstance(config.get("vocabulary"), (str, bytes)):
            refuse_path(config["vocabulary"])
        return super().from_config(config)

    # What a subclass says

    def _as_tokens(self, values):
        """List of tokens in an array, tensor or list; a ValueError where they are none."""
        raise NotImplementedError

    def _as_array(self, batch):
        """A batch of tokens as an array of NumPy."""
        raise NotImplementedError

    def _count_in(self, rows):
        """How often each token is in an array of shape `(rows, tokens)`, as a dict."""
        raise NotImplementedError

    def _count_rows_of(self, rows):
        """In how many rows of it each token is, as a dict."""
        raise NotImplementedError

    def _find(self, inputs):
        """Places in an int64 tensor; -1 for the mask token in modes with vectors."""
        raise NotImplementedError

    def _tokens_at(self, places):
        """Tokens for a tensor of places."""
        raise NotImplementedError

    def _tokens_changed(self):
        """Called when `_tokens` and `_places` are new."""

    # The vocabulary

    def _special_tokens(self):
        has_mask = self.mask_token is not None and self.output_mode == "int"
        return [self.mask_token] * has_mask + [self.oov_token] * self.num_oov_indices

    def _first_oov(self):
        return len(self._special_tokens()) - self.num_oov_indices

    def _set_tokens(self, tokens):
        first = len(self._special_tokens())
        self._tokens = tuple(tokens)
        self._places = {token: place for place, token in enumerate(self._tokens, first)}
        if self.mask_token is not None:
            self._places[self.mask_token] = 0 if self.output_mode == "int" else -1
        self._tokens_changed()

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
        """The tokens, each at its place.

        Args:
            include_special_tokens: bool, whether the mask and out-of-vocabulary tokens are there.

        Example:

        >>> keras.layers.StringLookup(vocabulary=["a", "b"], mask_token="").get_vocabulary()
        ['', '[UNK]', 'a', 'b']
        """
        return (self._special_tokens() if include_special_tokens else []) + list(self._tokens)

    def vocabulary_size(self):
        """How many places there are, those for the mask and for other tokens included.

        Example:

        >>> keras.layers.IntegerLookup(vocabulary=[12, 36]).vocabulary_size()
        3
        """
        return len(self._special_tokens()) + len(self._tokens)

    @property
    def idf_weights(self):
        """Weight of each entry in the mode "tf_idf", a tensor; None before there is any."""
        return self._buffers.get("idf_table")

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Take these tokens in place of those the layer has.

        Args:
            vocabulary: list, tuple, array or tensor of different tokens, or the path of a text
                file with one in each line; see the class.
            idf_weights: a number for each of them in the mode "tf_idf", else None.

        Raises:
            ValueError, RuntimeError: see the class.

        Example:

        >>> layer = keras.layers.StringLookup()
        >>> layer.set_vocabulary(["a", "b"])
        >>> layer(["b", "c"])
        tensor([2, 0])
        """
        self._check_idf_weights(idf_weights)
        from_file = isinstance(vocabulary, (str, bytes, os.PathLike))
        tokens = self._from_lines(_lines(vocabulary)) if from_file else self._as_tokens(vocabulary)
        if not tokens:
            raise ValueError(
                f"`vocabulary` must have one token or more. Received: vocabulary={vocabulary!r}."
            )
        given = tokens
        special = self._special_tokens()
        has_special = bool(special) and tokens[: len(special)] == special
        if has_special:
            tokens = tokens[len(special) :]
        self._check_tokens(tokens, special)
        weights = None
        if idf_weights is not None:
            weights = self._all_idf_weights(idf_weights, given, has_special)
        self._set_tokens(tokens)
        self._fix_size()
        if weights is not None:
            self._set_table("idf_table", weights)
        if self._has_vocabulary:
            self._given = None if from_file else given  # the tokens of a file are an asset
            if idf_weights is not None:
                self._given_idf_weights = np.asarray(convert_to_numpy(idf_weights)).tolist()

    def _check_tokens(self, tokens, special):
        twice = [token for token, count in collections.Counter(tokens).items() if count > 1]
        if twice:
            raise ValueError(
                f"The tokens of `vocabulary` must differ. Received more than once: {twice}."
            )
        for argument in ("mask_token", "oov_token") if self.invert else ("mask_token",):
            token = getattr(self, argument)
            if token is not None and token in tokens:
                raise ValueError(
                    f"`vocabulary` may have the special tokens {special} in front, in this order, "
                    f"or not at all. Received: {argument}={token!r} at place {tokens.index(token)} "
                    "of the tokens."
                )
        size = len(special) + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"The vocabulary may have max_tokens={self.max_tokens} places. Received: {size}, "
                f"with {len(special)} for special tokens."
            )

    # Learning it

    def adapt(self, data, batch_size=None, steps=None):
        """Learn the vocabulary: the most frequent tokens first and, of those equally frequent,
        the largest first.

        In the mode "tf_idf" each sample counts as a document, and the weight of a token is
        `log(1 + documents / (1 + documents with the token))`; entries of tokens out of the
        vocabulary have the mean of these.

        Args:
            data: array, tensor or list of tokens; or an iterable of batches of them, such as a
                DataLoader, a PyDataset or a generator.
            batch_size: int, samples that are looked at together; None for all of an array.
            steps: int, number of batches to look at; None for all.

        Raises:
            ValueError: the layer was given its vocabulary, or `data` is without a batch.

        Example:

        >>> layer = keras.layers.IntegerLookup(max_tokens=3)
        >>> layer.adapt([[12, 36], [36, 7]])
        >>> layer.get_vocabulary()
        [-1, 36, 12]
        """
        if isinstance(data, (list, tuple)) and data and np.ndim(data[0]) == 0:
            data = np.array(self._as_tokens(data), dtype=object if is_text(data) else None)
        if hasattr(data, "shape") and len(data.shape) == 1:
            data = data[:, None]  # each of them is a sample; of a batch in a data set all are one
        super().adapt(data, batch_size, steps)

    def _forget_counts(self):
        self._counts = collections.Counter()
        self._document_counts = collections.Counter()
        self._documents = 0

    @property
    def _learns(self):
        return not self._has_vocabulary

    def reset_state(self):
        self._forget_counts()

    def update_state(self, batch):
        batch = self._as_array(batch)
        self._take_in(batch.reshape(len(batch) if batch.ndim > 1 else 1, -1))

    def _take_in(self, rows):
        """Take rows of tokens into account, each as a document."""
        if self._has_vocabulary:
            raise ValueError(
                f"Layer '{self.name}' was given its vocabulary and learns none. Received: adapt(). "
                "Leave `vocabulary` out to adapt the layer, or use set_vocabulary()."
            )
        self._counts.update(self._count_in(rows))
        if self.output_mode == "tf_idf":
            self._documents += len(rows)
            self._document_counts.update(self._count_rows_of(rows))

    def finalize_state(self):
        counts, documents = self._counts, self._document_counts
        if not counts:
            self._fix_size()
            return
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        tokens = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
        special = self._special_tokens()
        if self.max_tokens is not None:
            tokens = tokens[: max(self.max_tokens - len(special), 0)]
        self._set_tokens(tokens)
        self._fix_size()
        if self.output_mode == "tf_idf":
            seen = np.array([documents[token] for token in tokens], "float64")
            weights = np.log(1 + self._documents / (1 + seen))
            self._set_table("idf_table", self._padded(weights, len(special)))
        self._forget_counts()

    # Calling

    def call(self, inputs):
        if self.invert:
            return self._tokens_at(self._as_places(inputs))
        places = self._find(inputs)
        return places if self.output_mode == "int" else self._vectors(places)

    def _vectors(self, places):
        depth = self._depth()
        if depth is None:
            raise RuntimeError(
                f"Layer '{self.name}' has no vocabulary yet. Received: a call with output_mode="
                f"{self.output_mode!r}. Call adapt() or set_vocabulary() first."
            )
        dtype = to_torch_dtype(self.compute_dtype)
        if self.output_mode != "tf_idf":
            return category_vectors(places, self.output_mode, depth, dtype)
        if "idf_table" not in self._buffers:
            raise RuntimeError(
                f"Layer '{self.name}' has no weights of its tokens yet. Received: a call with "
                "output_mode='tf_idf'. Call adapt() or set_vocabulary() first."
            )
        counts = category_vectors(places, "count", depth, dtype)
        return counts * self._table("idf_table", places.device).to(dtype)

    def _as_places(self, inputs):
        if not isinstance(inputs, torch.Tensor) and not is_text(inputs):
            inputs = convert_to_tensor(inputs)  # lists of numbers come as they are
        if not isinstance(inputs, torch.Tensor) or inputs.is_floating_point():
            raise ValueError(
                f"Layer '{self.name}' inverts integers. Received: {inputs!r}. Give an array of "
                "them."
            )
        return inputs.long()

    def _oov_places(self, tokens):
        """Places for tokens out of the vocabulary, of which there are two or more."""
        return buckets(tokens, self.num_oov_indices, self.salt) + self._first_oov()

    def _refuse_unknown(self, tokens):
        raise ValueError(
            f"Layer '{self.name}' knows the tokens of its vocabulary alone. Received: "
            f"{tokens[0]!r}. Give tokens out of it a place by num_oov_indices=1."
        )

    def _depth(self):
        return self.max_tokens if self.pad_to_max_tokens else self._size

    def compute_output_shape(self, input_shape):
        return vectors_shape(input_shape, self.output_mode, self._depth())

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
            "idf_weights": self._given_idf_weights,
            "vocabulary": self._given,
            "vocabulary_size": self._size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }


def _check_int(argument, value, least):
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{argument}` must be an int of at least {least}. Received: {argument}={value!r}."
        )


def _lines(path):
    """The lines of a text file that the program, and no config, has named."""
    if is_deserializing():
        refuse_path(path)
    try:
        with open_regular(path) as file, io.TextIOWrapper(file, encoding="utf-8") as lines:
            text = lines.read()
    except (OSError, UnicodeError) as error:
        raise ValueError(
            "`vocabulary` must be a list, or a file that can be read: UTF-8, a token a line. "
            f"Received: vocabulary={path!r} ({getattr(error, 'strerror', None) or error})."
        ) from error
    return text.removesuffix("\n").split("\n")


def refuse_path(path):
    """Raise the error for a config that names a file of words."""
    raise ValueError(
        "A config holds its vocabulary, and opens no file that it names. Received: vocabulary="
        f"{path!r}. Make the layer in your program, with vocabulary=open(path).read().split('\\n')."
    )
