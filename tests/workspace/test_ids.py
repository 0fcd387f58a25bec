"""Public ids."""

from workspace.ids import ALPHABET, RANDOM_CHARACTERS, new_id


def test_an_id_is_its_prefix_and_a_hundred_random_bits_that_nobody_misreads() -> None:
    drawn = [new_id("cnv") for _ in range(2_000)]
    assert len(set(drawn)) == len(drawn)
    assert {len(each) for each in drawn} == {len("cnv_") + RANDOM_CHARACTERS}
    for place in range(4, 4 + RANDOM_CHARACTERS):  # each character of the alphabet may stand anywhere
        assert {each[place] for each in drawn} == set(ALPHABET)
