"""Some mutated files of every format; `make fuzz` reads many more."""

from fuzzing import run_range, seeds


def test_mutated_inputs_are_read_or_refused_by_a_line():
    names = [name for name in seeds() if not name.startswith(("sealed", "solution", "set"))]
    counts, faults = run_range(0, 4 * len(names), 3, names)
    assert not faults
    assert sum(count for name, count in counts.items() if "refused" in name) > 20
