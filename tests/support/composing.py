"""A compose project in a folder of its own, driven by `cove compose`, docker compose and docker-compose 1.29."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.engine import NativeEngine, run
from tests.support.tools import docker_cli, docker_compose_v1, docker_config


class ComposeProject:
    """`cove compose` and the real one, in one folder."""

    def __init__(self, engine: NativeEngine, folder: Path, name: str) -> None:
        self.engine = engine
        self.name = name
        self.folder = folder
        self.environment = {"SECRET": "secret\n"}

    def write(self, text: str) -> None:
        (self.folder / "compose.yaml").write_text(text)

    def cove(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._in_folder(self.engine.cove, *args, check=check)

    def docker(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._in_folder(self.engine.buildx, *args, check=check)

    def old(self, *args: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """docker-compose 1.29, which has docker's client build."""
        found = {
            **environment,
            "DOCKER_HOST": self.engine.host,
            "DOCKER_CONFIG": str(docker_config()),
            "PATH": f"{docker_cli().parent}:{os.environ['PATH']}",
        }
        return run([docker_compose_v1(), *args], {**self.environment, **found}, check, cwd=self.folder)

    def _in_folder(self, tool: Any, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            done: subprocess.CompletedProcess[str] = tool("compose", *args, check=check, cwd=self.folder)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return done

    def containers(self) -> dict[str, str]:
        """The IDs of the project's containers by name, with their states."""
        with self.engine.client() as client:
            found = client.containers(True, filters={"label": [f"com.docker.compose.project={self.name}"]})
        return {item["Names"][0].lstrip("/"): f"{item['Id'][:12]} {item['State']}" for item in found}
