"""Logs go to standard error, ours and those of libraries, in one form."""

import json
import logging

import pytest
import structlog

from config import logs


@pytest.fixture(autouse=True)
def leave_logging_as_it_was():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    logging.captureWarnings(False)


def test_json_logs_are_one_object_a_line(capsys):
    logs.setup("info", "json")
    structlog.get_logger("flows").info("epoch committed", flow="views", records=3)
    logging.getLogger("confluent").warning("broker %s is gone", "one")
    out, err = capsys.readouterr()
    ours, theirs = map(json.loads, err.splitlines())
    assert out == ""
    assert (ours["event"], ours["level"], ours["flow"], ours["records"]) == ("epoch committed", "info", "views", 3)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("broker one is gone", "warning", "confluent")
    assert ours["timestamp"].endswith("Z")


def test_an_exception_is_part_of_its_line(capsys):
    logs.setup("info", "json")
    try:
        raise ValueError("no price")
    except ValueError:
        structlog.get_logger("flows").exception("step failed")
    assert "ValueError: no price" in json.loads(capsys.readouterr().err)["exception"]


def test_what_is_below_the_level_is_not_shown(capsys):
    logs.setup("warning", "json")
    structlog.get_logger("flows").info("quiet")
    logging.getLogger("confluent").info("quiet")
    assert capsys.readouterr().err == ""


def test_console_logs_are_lines_for_people(capsys):
    logs.setup("info", "console")
    structlog.get_logger("flows").info("epoch committed", flow="views")
    line = capsys.readouterr().err
    assert "epoch committed" in line
    assert "flow=views" in line


def test_setting_up_again_replaces_what_was_there(capsys):
    logs.setup("info", "json")
    logs.setup("info", "json")
    structlog.get_logger("flows").info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
