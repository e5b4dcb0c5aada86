"""What containers take on the disk: the same in `ps -s`, `inspect -s` and `system df`, and right to the byte."""

from __future__ import annotations

import os

from tests.support.engine import NativeEngine

SCRIPT = """
mkdir -p /deep/er; head -c 5000 /dev/zero >/deep/er/file; ln /deep/er/file /deep/again
head -c 70 /dev/zero >/top; ln -s /deep /link; echo more >>/etc/passwd
"""


def test_sizes_of_containers_agree_and_count_an_inode_once(engine: NativeEngine) -> None:
    names = [f"size-{os.getpid()}-{number}" for number in range(2)]
    client = engine.client()
    for name, script in zip(names, (SCRIPT, "true"), strict=True):
        engine.docker("run", "--name", name, "busybox", "sh", "-c", script)
    try:
        passwd = len(engine.docker("run", "--rm", "busybox", "cat", "/etc/passwd").stdout) + len("more\n")
        wanted = 5000 + 70 + len("/deep") + passwd
        image = client.image_inspect("busybox")["Size"]
        used = client.json_object("GET", "/system/df")["Containers"]
        by_df = {entry["Names"][0].strip("/"): (entry["SizeRw"], entry["SizeRootFs"]) for entry in used}
        listed = client.containers(True, size=True)
        by_list = {entry["Names"][0].strip("/"): (entry["SizeRw"], entry["SizeRootFs"]) for entry in listed}
        for name, own in zip(names, (wanted, 0), strict=True):
            shown = client.inspect(name, size=True)
            assert (shown["SizeRw"], shown["SizeRootFs"]) == (own, own + image)
            assert by_df[name] == by_list[name] == (own, own + image)
        assert all("SizeRw" not in entry for entry in client.containers(True))
    finally:
        engine.docker("rm", *names)
        client.close()
