"""What a start restored is read from the log lines of that start, and shown per kind of start."""

from bench.restart import AFTER_STOP, WITHOUT_STORE, Start, markdown, restored

LINE = '{"step": "join", "records": %d, "seconds": %s, "event": "state restored", "level": "info"}\n'


def test_the_restores_of_all_processes_are_added_and_the_longest_counts() -> None:
    text = "not JSON\n" + LINE % (1_000, "2.5") + '{"event": "other"}\n[1]\n' + LINE % (500, "1.5")
    assert restored(text) == (1_500, 2.5)


def test_a_start_without_a_restore_restored_nothing() -> None:
    assert restored('{"event": "metrics and health are served"}\n') == (0, 0.0)


def test_each_kind_of_start_has_a_row_with_its_rate_of_restore() -> None:
    starts = [Start(AFTER_STOP, 1.5, 1.75, 10, 0, 0.0), Start(WITHOUT_STORE, 12.5, 13.0, 10, 1_000_000, 10.0)]
    rows = markdown(1_000_000, {}, starts).splitlines()[-2:]
    assert rows[0] == "| after SIGTERM | 1 | 1.50 | 1.75 | 0 |  |"
    assert rows[1] == "| without its local store | 1 | 12.5 | 13 | 1,000,000 | 100,000 |"
