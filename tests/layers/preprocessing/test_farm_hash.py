"""FarmHash64 against values of other implementations."""

import pytest

from torchkeras.layers.preprocessing.farm_hash import farm_hash_64


@pytest.mark.parametrize(
    ("size", "value"),  # of farmhash.fingerprint64 in pyfarmhash 0.5.1, Google's C++
    [
        (0, 11160318154034397263),
        (3, 2640714258260161385),
        (7, 4341691227789030229),
        (16, 6080716761534418621),
        (17, 11394395984755135400),
        (32, 18417110746069939610),
        (33, 2004761416539416594),
        (64, 11261912070464707578),
        (65, 2608948203458330154),
        (128, 14061449006046005066),
        (129, 11176984671211548628),
        (300, 10612737130197260944),
    ],
)
def test_every_length_has_the_value_of_the_reference(size, value):
    assert farm_hash_64((b"abcdefghijklmnopqrstuvwxyz" * 12)[:size]) == value


def test_values_that_bigquery_documents_for_farm_fingerprint():
    values = [farm_hash_64(text) for text in (b"1footrue", b"2applefalse", b"3true")]
    signed = [value - (value >> 63 << 64) for value in values]
    assert signed == [-1541654101129638711, 2794438866806483259, -4880158226897771312]
