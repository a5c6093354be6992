"""VocabularyFiles: the tokens of a lookup and their weights, checked and in model files."""

import json

import numpy as np

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy


class VocabularyFiles:
    """The part of IndexLookup for weights of tokens, and for what goes into files."""

    def _check_idf_weights(self, idf_weights):
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            raise ValueError(
                "`idf_weights` belong to output_mode='tf_idf', and there to every vocabulary that "
                f"is given. Received: output_mode={self.output_mode!r}, idf_weights={idf_weights}."
            )

    def _all_idf_weights(self, given, tokens, has_special):
        """Weights of all entries, for those that were given with some tokens."""
        weights = np.asarray(convert_to_numpy(given), dtype=config.floatx())
        if weights.shape != (len(tokens),):
            raise ValueError(
                f"`idf_weights` must be one number for each of {len(tokens)} tokens. Received: "
                f"shape {weights.shape}."
            )
        return self._padded(weights, 0 if has_special else len(self._special_tokens()))

    def _padded(self, weights, front):
        """Weights with the mean of them in front, and zeros behind where vectors are padded."""
        back = max(self.max_tokens - front - len(weights), 0) if self.pad_to_max_tokens else 0
        mean = weights.mean(dtype="float64") if weights.size else 0
        padded = np.pad(weights.astype("float64"), (front, back), constant_values=(mean, 0))
        return padded.astype(config.floatx())

    def get_assets(self):
        tokens = self.get_vocabulary()
        lines = list(map(str, tokens))
        read_back = self._from_lines("\n".join(lines).split("\n"))
        if tokens and tokens[-1] != "" and read_back == tokens:
            assets = {"vocabulary.txt": "\n".join(lines).encode()}
        else:  # tokens with line breaks, or none; an empty line at the end is lost in Keras's files
            assets = {"vocabulary.json": json.dumps(tokens).encode()}
        if self.output_mode == "tf_idf" and "idf_table" in self._buffers:
            assets["idf_weights.json"] = json.dumps(self._arrays["idf_table"].tolist()).encode()
        return assets

    def set_assets(self, assets):
        if "vocabulary.json" in assets:
            tokens = json.loads(assets["vocabulary.json"])
        elif "vocabulary.txt" in assets:
            lines = assets["vocabulary.txt"].decode().split("\n")
            while lines and not lines[-1]:
                lines.pop()
            tokens = self._from_lines(lines)
            if lines and not tokens:
                raise ValueError(f"A token in each line was expected. Received: {lines[:5]}...")
        else:
            return  # Keras leaves a vocabulary out that is in the config
        special = self._special_tokens()
        self._set_tokens(self._as_tokens(tokens[len(special) :]))
        self._fix_size()
        if "idf_weights.json" in assets:
            self._load_idf_weights(json.loads(assets["idf_weights.json"]))

    def _from_lines(self, lines):
        """Tokens of the lines of a text; an empty list where they are none."""
        raise NotImplementedError

    def _load_idf_weights(self, weights):
        weights = np.asarray(weights, dtype=config.floatx())
        if weights.shape != (self._depth(),):
            raise ValueError(
                f"The weights of {self._depth()} entries were expected. Received: shape "
                f"{weights.shape}."
            )
        self._set_table("idf_table", weights)

    def save_own_variables(self, store):
        """Put the weights of the mode "tf_idf" where Keras's files have them.

        Args:
            store: dict to fill.
        """
        if self.output_mode == "tf_idf" and "idf_table" in self._buffers:
            store["idf_weights"] = self._arrays["idf_table"]

    def load_own_variables(self, store):
        """Take the weights of the mode "tf_idf" from where Keras's files have them.

        Args:
            store: dict of arrays.
        """
        if self.output_mode == "tf_idf" and "idf_weights" in store:
            self._load_idf_weights(store["idf_weights"])
