"""Loads in advance, outside of any request, what the first create and start would load.

That is modules, libnftables, tables of system calls, the compiled seccomp program, the
cgroup tree: a quarter of a megabyte, and some 20 ms of the first start. `warm` runs the steps of a create and a start
up to the message for the supervisor.
"""

from __future__ import annotations

import structlog

from vmagent.containers import configure, records
from vmagent.containers.model import Container, new_container_id
from vmagent.containers.spec import StartInputs, build_spec
from vmagent.errors import EngineError
from vmagent.linux import compact_json, nft
from vmagent.paths import DataRoot, ExecRoot
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.fields import to_wire
from vmagent.runtime.plan import compile_plan

log = structlog.get_logger(__name__)


def warm(data_root: DataRoot, exec_root: ExecRoot) -> None:
    """Runs in a thread; does not access the disk. Errors are logged, since the first start will report them."""
    try:
        nft.load()
        container_id = new_container_id()
        asked = configure.complete({"Cmd": ["true"]}, {}, container_id, api_version=(1, 44))
        record = Container(
            id=container_id,
            name="none",
            created_ns=0,
            image_id="",
            image_ref="",
            platform="linux",
            argv=asked.argv,
            config=asked.config,
            host_config=asked.host_config,
            endpoints={},
            mounts=[],
        )
        records.encode(record)
        inputs = StartInputs(
            rootfs=exec_root.rootfs,
            host_files=data_root.host_files(container_id),
            cgroup_path="/cove/none",
            own_network=True,
            pid_of={},
        )
        plan = compile_plan(
            build_spec(record, inputs), container_id=container_id, cgroup_path="/cove/none", netns_fd=True
        )
        compact_json.dumps(to_wire(plan))
    except (EngineError, LaunchError, OSError) as e:
        log.warning("engine.not_warmed", error=str(e))
