"""Topics are created once and listed."""

from config.topics import TOPICS


def test_create_makes_what_is_missing_and_says_what(run, log):
    first = run("topics", "create")
    assert sorted(first.stdout.split()) == sorted(TOPICS)
    assert run("topics", "create").stdout == ""
    admin = log.admin()
    assert admin.topics() == {name: topic.partitions for name, topic in TOPICS.items()}
    admin.close()


def test_the_number_of_partitions_is_for_events_only(run, log):
    run("topics", "create", "--partitions", 2)
    admin = log.admin()
    counts = admin.topics()
    admin.close()
    assert (counts["orders.status"], counts["orders.dlq"], counts["risk.controls"]) == (2, 2, 1)


def test_list_shows_what_is_there_and_what_is_missing(run):
    lines = [line.split() for line in run("topics", "list").stdout.splitlines()]
    assert ["orders.status", "missing", "OrderStatusChanged", "delete"] in lines
    run("topics", "create")
    lines = [line.split() for line in run("topics", "list").stdout.splitlines()]
    assert ["orders.status", "4", "OrderStatusChanged", "delete"] in lines
