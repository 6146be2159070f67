"""The table of topics is complete, and immutable."""

import pytest

from config.topics import DEAD_LETTER_TOPIC, TOPICS


def test_events_are_partitioned_and_reference_data_is_compacted_in_one_partition():
    for name, topic in TOPICS.items():
        is_reference = name == "risk.controls" or name.startswith("reference.")
        expected = (1, "compact") if is_reference else (4, "delete")
        assert (topic.partitions, topic.cleanup_policy) == expected, name


def test_every_topic_but_that_of_dead_letters_has_a_subject_named_after_it():
    assert {name: topic.subject for name, topic in TOPICS.items()} == {
        name: None if name == DEAD_LETTER_TOPIC else f"{name}-value" for name in TOPICS
    }


def test_retention_is_told_in_kafkas_words():
    assert TOPICS["orders.status"].config == {"cleanup.policy": "delete", "retention.ms": "604800000"}
    assert TOPICS["reference.symbols"].config == {"cleanup.policy": "compact"}


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TOPICS["other"] = TOPICS["orders.status"]
