"""The configuration in force is shown with where each value comes from."""

from config.reference import reference_markdown


def test_show_prints_every_value_with_its_origin(run, tmp_path):
    file = tmp_path / "orderflow.yaml"
    file.write_text("engine:\n  epoch_ms: 40\nkafka: {sasl_password: hunter2}\n")
    result = run("--config", file, "config", "show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert f"  epoch_ms: 40  # {file}:2" in lines
    assert "  level: error  # ORDERFLOW__LOGS__LEVEL" in lines
    assert "  collect_ms: 5  # default" in lines
    assert f"  sasl_password: '***'  # {file}:3" in lines
    assert "hunter2" not in result.output


def test_reference_prints_the_page(run):
    assert run("config", "reference").stdout == reference_markdown()
