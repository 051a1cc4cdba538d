from pathlib import Path

from bench.scaling import Seen, measure, show


def test_requests_of_all_clients_are_counted_and_who_took_which_part_of_the_machine(
    tmp_path: Path,
) -> None:
    seen = measure(str(tmp_path), 2, "os", 0.2)
    assert seen.workers == 2
    assert seen.requests_per_s > 100
    assert 0 < seen.client_cores < seen.server_cores * 5


def test_the_table_has_the_median_of_each_kind(capsys) -> None:
    rounds = [Seen(n, "os", 1000.0 * n * turn, 0.5 * n, 0.1) for n in (1, 2) for turn in (1, 2, 3)]
    show(rounds)
    shown = capsys.readouterr().out
    assert "2,000" in shown
    assert "4,000" in shown
