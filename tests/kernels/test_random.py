import pytest
import torch

from redraft.kernels.random import Stream, philox, random_ids, uniforms

ALL_ONES = 0xFFFFFFFF


def words(seed, counter):
    return philox(seed, *counter[:3], torch.tensor(counter[3:]))[0].tolist()


# Random123's published known answers for philox4x32 with 10 rounds.
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ((ALL_ONES,) * 4, (ALL_ONES,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, answer):
    assert words(key[0] | key[1] << 32, counter) == answer


def test_a_number_does_not_depend_on_its_neighbours():
    together = philox(7, 1, 2, Stream.TOKEN, torch.arange(50))
    alone = [philox(7, 1, 2, Stream.TOKEN, torch.tensor([position]))[0] for position in range(50)]
    assert torch.equal(together, torch.stack(alone))


def test_denoising_steps_may_differ_by_position():
    steps = torch.tensor([4, 9])
    mixed = philox(7, 1, steps, Stream.TOKEN, torch.tensor([3, 3]))
    assert mixed[0].tolist() == words(7, (1, 4, 1, 3))
    assert mixed[1].tolist() == words(7, (1, 9, 1, 3))


def test_every_counter_word_and_both_seed_words_matter():
    base = words(5, (0, 0, 0, 0))
    changed = [words(5, tuple(int(i == j) for j in range(4))) for i in range(4)]
    changed += [words(6, (0, 0, 0, 0)), words(5 + 2**32, (0, 0, 0, 0))]
    assert base not in changed
    assert len({tuple(each) for each in changed}) == len(changed)


def test_uniforms_are_exact_multiples_of_two_to_minus_24_below_one():
    numbers = uniforms(3, 0, 0, Stream.TOKEN, torch.arange(100_000))
    scaled = numbers.double() * 2**24
    assert numbers.dtype == torch.float32
    assert torch.equal(scaled, scaled.round())
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean().item() - 0.5) < 4 / (12 * 100_000) ** 0.5


def test_random_ids_cover_the_whole_vocabulary_evenly():
    counts = torch.bincount(random_ids(11, 0, 0, Stream.RENOISE, torch.arange(60_000), 6), minlength=6)
    chi_square = ((counts - 10_000).double() ** 2 / 10_000).sum().item()
    assert len(counts) == 6
    assert chi_square < 20.5  # 0.999 quantile of chi-square with 5 degrees of freedom


def test_random_ids_stay_below_a_large_vocabulary():
    ids = random_ids(2**64 - 1, 0, 0, Stream.FIRST_CANVAS, torch.arange(10_000), 262_144)
    assert ids.min() >= 0 and ids.max() < 262_144
