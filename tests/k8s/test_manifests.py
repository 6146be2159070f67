"""The manifests are valid, agree with themselves, and say only what the product understands."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from cli.main import main
from config.settings import load_settings, options
from config.topology import topology_names

K8S = Path(__file__).parents[2] / "k8s"


def test_every_resource_is_valid_kubernetes(manifests: Any) -> None:
    for resource in manifests.resources:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_validation_refuses_a_field_that_kubernetes_does_not_know(base: Any) -> None:
    job = base.of_kind("Job")["views"]
    job["spec"]["completionmode"] = "Indexed"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_every_manifest_file_is_named_by_its_kustomization() -> None:
    for file in K8S.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(file.read_text())
        named = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))}
        assert {name for name in named if name.endswith(".yaml")} == {
            other.name for other in file.parent.glob("*.yaml") if other != file
        }


def test_every_flow_that_ships_has_a_job(manifests: Any, container_of: Callable[..., Any]) -> None:
    assert sorted(container_of(job)["command"][2] for job in manifests.flow_jobs.values()) == sorted(topology_names())


def test_completions_parallelism_workers_and_addresses_agree(
    manifests: Any, environment_of: Callable[..., Any]
) -> None:
    for name, job in manifests.flow_jobs.items():
        spec, environment = job["spec"], environment_of(job)
        service = manifests.of_kind("Service")[spec["template"]["spec"]["subdomain"]]["metadata"]["name"]
        count = spec["completions"]
        assert spec["completionMode"] == "Indexed"
        assert spec["parallelism"] == count
        assert environment["ORDERFLOW__WORKERS"] == str(count)
        peers = [f"{name}-{index}.{service}:2101" for index in range(count)]
        assert environment["ORDERFLOW__WORKERS__ADDRESSES"].split(",") == peers


def test_the_overlay_gives_every_flow_two_processes(manifests: Any, request: pytest.FixtureRequest) -> None:
    counts = {job["spec"]["completions"] for job in manifests.flow_jobs.values()}
    assert counts == ({2} if "two-workers" in request.node.name else {1, 2})


def test_a_service_finds_the_pods_of_its_job_before_they_are_ready(manifests: Any) -> None:
    for name, job in manifests.flow_jobs.items():
        service = manifests.of_kind("Service")[name]["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True
        assert service["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_every_variable_is_an_option_or_names_the_file(manifests: Any, environment_of: Callable[..., Any]) -> None:
    known = {"ORDERFLOW_CONFIG"}
    for option in options():
        known |= {option.variable, option.declaration.variable or option.variable}
    for job in manifests.of_kind("Job").values():
        assert set(environment_of(job)) <= known


def test_every_command_is_one_of_the_command_line(manifests: Any, container_of: Callable[..., Any]) -> None:
    for job in manifests.of_kind("Job").values():
        program, *arguments = container_of(job)["command"]
        assert program == "orderflow"
        result = CliRunner().invoke(main, [*arguments, "--help"])
        assert result.exit_code == 0, result.output
        command: click.Command = main
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), arguments.pop(0))
            assert found is not None
            command = found
        command.make_parser(click.Context(command)).parse_args(arguments)


def test_the_settings_file_loads_together_with_the_variables_of_each_pod(
    manifests: Any, environment_of: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "orderflow.yaml"
    file.write_text(manifests.of_kind("ConfigMap")["orderflow"]["data"]["orderflow.yaml"])
    for job in manifests.flow_jobs.values():
        for index in range(job["spec"]["completions"]):
            settings = load_settings(file, {**environment_of(job), "JOB_COMPLETION_INDEX": str(index)})
            assert settings.workers.index == index
            assert settings.log.kind == "kafka"
            assert settings.metrics.host == "0.0.0.0"


def test_probes_state_and_settings_are_where_the_settings_say(
    manifests: Any, environment_of: Callable[..., Any], container_of: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "orderflow.yaml"
    file.write_text(manifests.of_kind("ConfigMap")["orderflow"]["data"]["orderflow.yaml"])
    for job in manifests.flow_jobs.values():
        container = container_of(job)
        settings = load_settings(file, environment_of(job) | {"JOB_COMPLETION_INDEX": "0"})
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert ports["metrics"] == settings.metrics.port
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert any(settings.state.dir.is_relative_to(path) and not mounts[path].get("readOnly") for path in mounts)
        assert Path(environment_of(job)["ORDERFLOW_CONFIG"]).parent == Path("/etc/orderflow")
        assert mounts["/etc/orderflow"]["readOnly"] is True


def test_no_container_runs_as_root_or_writes_to_its_image(manifests: Any, container_of: Callable[..., Any]) -> None:
    for job in manifests.of_kind("Job").values():
        assert job["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container_of(job)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_image_holds_every_package_and_its_tag_is_the_version() -> None:
    root = K8S.parent
    copied = {line.split()[1] for line in (K8S / "Containerfile").read_text().splitlines() if line.startswith("COPY ")}
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    [image] = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())["images"]
    assert image["newTag"] == project["project"]["version"]
