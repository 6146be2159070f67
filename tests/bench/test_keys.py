"""The sizes grow by powers of ten, and a row shows cost and memory of one."""

from bench.keys import Sample, Size, markdown, sizes_up_to


def test_sizes_are_powers_of_ten_up_to_the_greatest() -> None:
    assert sizes_up_to(1_000_000) == [10_000, 100_000, 1_000_000]
    assert sizes_up_to(999_999) == [10_000, 100_000]


def test_the_peak_of_memory_is_that_of_all_samples_so_far() -> None:
    sizes = [Size(10_000, 0.0, 0.02, 0.03, 100, 10), Size(100_000, 0.01, 0.02, 0.04, 200, 20)]
    samples = [Sample(1, 10_000, 150, 10), Sample(2, 100_000, 300, 10)]
    rows = markdown(1_000, {}, sizes, samples).splitlines()[-2:]
    assert rows[0] == "| 10,000 |  | 0.0200 | 0.0300 | 100 | 150 | 10 |"
    assert rows[1] == "| 100,000 | 0.0100 | 0.0200 | 0.0400 | 200 | 300 | 20 |"
