"""The Kubernetes manifests as the tests see them: parsed, and an overlay's patches applied as kustomize would."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"
BASE = K8S / "base"
OVERLAY = K8S / "overlays" / "two-workers"


@dataclass(frozen=True)
class Manifests:
    """The resources of the base or of an overlay."""

    resources: list[dict[str, Any]]

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """By name."""
        return {each["metadata"]["name"]: each for each in self.resources if each["kind"] == kind}

    @property
    def flow_jobs(self) -> dict[str, dict[str, Any]]:
        """The Jobs that run flows, by name."""
        return {name: job for name, job in self.of_kind("Job").items() if container(job)["command"][1] == "run"}


def container(job: dict[str, Any]) -> dict[str, Any]:
    """A Job's only container."""
    [only] = job["spec"]["template"]["spec"]["containers"]
    return only


def environment(job: dict[str, Any]) -> dict[str, str]:
    """What the manifest sets in the container's environment."""
    return {each["name"]: each["value"] for each in container(job)["env"]}


def _load(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document is not None]


def _base() -> list[dict[str, Any]]:
    [kustomization] = _load(BASE / "kustomization.yaml")
    return [resource for name in kustomization["resources"] for resource in _load(BASE / name)]


def _overlay() -> list[dict[str, Any]]:
    [kustomization] = _load(OVERLAY / "kustomization.yaml")
    patches = [patch for entry in kustomization["patches"] for patch in _load(OVERLAY / entry["path"])]
    resources = copy.deepcopy(_base())
    for patch in patches:
        [target] = [
            r for r in resources if (r["kind"], r["metadata"]["name"]) == (patch["kind"], patch["metadata"]["name"])
        ]
        _merge(target, patch)
    return resources


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """A strategic merge, as far as the patches here need it: mappings merge, lists of named things merge by name."""
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        elif isinstance(value, list):
            named = {each["name"]: each for each in target.setdefault(key, [])}
            for each in value:
                if each["name"] in named:
                    _merge(named[each["name"]], each)
                else:
                    target[key].append(each)
        else:
            target[key] = value


@pytest.fixture(params=["base", "two-workers"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """The resources of the base, and of the overlay."""
    return Manifests(_base() if request.param == "base" else _overlay())


@pytest.fixture
def base() -> Manifests:
    return Manifests(_base())


@pytest.fixture
def environment_of() -> Any:
    return environment


@pytest.fixture
def container_of() -> Any:
    return container
