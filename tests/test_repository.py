"""The repository as a stranger finds it: what its documents say is true, and what it ships is complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = {".git", ".venv", ".tools", ".orderflow", "dist", "__pycache__", ".hypothesis", "target"}
# Written so that this file does not match itself.
FORBIDDEN = re.compile(
    r"/wor[k]/|/roo[t]/|/hom[e]/|pypi[.]or[g]|pythonhosted[.]or[g]|maven[.]apache[.]org/maven[2]|repo1?[.]mave[n]"
    r"|\bassistan[t]\b|\bclaud[e]\b|\banthropi[c]\b|\bissue #?\d",
    re.IGNORECASE,
)


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def text_files() -> Iterator[tuple[Path, str]]:
    """Every text file of the repository, nothing that was made from it."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in MADE and not name.endswith("_cache")]
        for name in files:
            try:
                yield Path(folder, name), Path(folder, name).read_text()
            except UnicodeDecodeError:
                continue


def targets() -> dict[str, str]:
    """The Makefile's targets and their help lines."""
    found = re.findall(r"^([a-z][a-z0-9-]*):(?!=)[^#\n]*(?:## (.*))?$", MAKEFILE, re.MULTILINE)
    return dict(found)


def test_every_make_target_says_what_it_does() -> None:
    assert [name for name, text in targets().items() if not text] == []
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(targets())


def test_every_make_target_that_a_document_names_exists() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        named = set(re.findall(r"`make ([a-z0-9-]+)", text)) | set(
            re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE)
        )
        assert named <= set(targets()), document.name
    assert {"run", "test"} <= set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))


def test_every_command_of_the_readme_s_table_exists() -> None:
    rows = [row.split("|")[1] for row in README.splitlines() if row.startswith("| `orderflow ")]
    assert len(rows) >= 10
    for row in rows:
        group = ""
        for text in re.findall(r"`([^`]+)`", row):
            words = text.removeprefix("orderflow ").split()
            group = words[0] if words[0] in COMMANDS else group
            command: click.Command = main
            for word in words:
                if not isinstance(command, click.Group):
                    break
                found = command.get_command(click.Context(command), word)
                assert found is not None, f"there is no `{text}`"
                command = found
            options = {name for parameter in command.params for name in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", text)) <= options, text


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_can_be_loaded_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_the_readme_s_example_runs() -> None:
    [example] = blocks("python")
    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.kills
def test_the_readme_s_tour_ends_with_positions_and_no_dead_letter(tmp_path: Path) -> None:
    [tour] = blocks("sh tour")
    environment = {
        **os.environ,
        "ORDERFLOW__LOG__PATH": str(tmp_path / "log"),
        "ORDERFLOW__STATE__DIR": str(tmp_path / "state"),
    }
    tour = tour.replace("$PWD/.venv/bin", str(Path(sys.executable).parent))
    done = subprocess.run(
        ["bash", "-euc", tour], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ACC\d+ +ABC +", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^ABC +XNAS +", done.stdout, re.MULTILINE), done.stdout
    assert '"eventType":"ORDER_ENRICHED"' in done.stdout
    assert done.stdout.splitlines()[-1].startswith("TIME"), "the list of dead letters is empty"


def test_the_event_in_the_readme_can_be_produced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERFLOW__LOG__PATH", str(tmp_path / "log"))
    monkeypatch.setenv("ORDERFLOW__LOGS__LEVEL", "error")
    [event] = blocks("json")
    assert CliRunner().invoke(main, ["topics", "create"]).exit_code == 0
    result = CliRunner().invoke(main, ["produce", "orders.status"], input=event)
    assert result.exit_code == 0, result.output
    consumed = CliRunner().invoke(main, ["consume", "orders.status", "--until-end"])
    assert '"arrivalPrice":412.3' in consumed.stdout


def test_every_variable_of_the_readme_is_an_option() -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text()
    for variable in re.findall(r"ORDERFLOW__[A-Z_]*[A-Z]", README):
        assert variable == "ORDERFLOW__SECTION__KEY" or f"`{variable}`" in reference, variable


def test_every_link_and_path_in_the_documents_exists() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
        assert [link for link in links if not (document.parent / link).exists()] == [], document.name
        paths = re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w./]+)`", text)
        assert [path for path in paths if not (ROOT / path).exists()] == [], document.name


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    folders = {file.parent.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("__init__.py")}
    assert sorted(str(folder) for folder in folders if f"`{folder}/" not in text) == []


def test_no_file_speaks_of_the_machine_or_the_place_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def pins(lock: str) -> dict[str, str]:
    """Name and version of every pin, with its marker; each must have a hash."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text().strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    found = {}
    for entry in entries:
        line = entry.splitlines()[0].removesuffix(" \\")
        found[line] = line.partition("==")[0]
    return found


def test_the_locks_pin_every_dependency_and_agree() -> None:
    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert set(runtime) <= set(development)

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~ \[;]", each)[0].lower().replace("_", "-") for each in requirements}

    assert names(PROJECT["project"]["dependencies"]) <= set(runtime.values())
    assert names(PROJECT["project"]["optional-dependencies"]["dev"]) <= set(development.values())
    assert names(PROJECT["build-system"]["requires"]) <= set(development.values())
    assert not names(["pytest", "ruff", "mypy"]) & set(runtime.values())


def test_every_dependency_has_its_reasons_in_the_decisions() -> None:
    decisions = (ROOT / "docs" / "decisions.md").read_text().lower()
    required = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=]", each)[0].lower() for each in required}
    assert sorted(name for name in names if f"**{name}**" not in decisions) == []


def test_ci_runs_the_commands_that_people_run() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    called = [line.split()[-1] for line in script.splitlines() if line.startswith("make ")]
    assert called == ["check", "test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_wheel_holds_all_that_the_command_needs(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    unpacked = tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, unpacked], check=True, timeout=60)
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    script = (
        "import config, cli.main, sys; assert config.__file__.startswith(sys.argv.pop(1)), config.__file__;"
        "cli.main.main(prog_name='orderflow')"
    )
    for arguments, printed in (
        (["topology", "validate", "order_status"], "order_status: valid"),
        (["schemas", "check"], "orders.status"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, str(unpacked), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout
    shipped = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    for package in PACKAGES:
        data = [file for file in (ROOT / package).rglob("*") if file.suffix in {".yaml", ".avsc", ".xml"}]
        assert {file.relative_to(ROOT) for file in data} <= shipped
