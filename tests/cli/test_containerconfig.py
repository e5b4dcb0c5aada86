"""The body of the create request for the flags of `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from desktop.cli.containerconfig import build, parse_publish
from desktop.cli.flags import parse
from desktop.cli.mountflags import parse_mount
from desktop.cli.run import SPEC


def body(*argv: str, environ: dict[str, str] | None = None, detach: bool = False) -> dict[str, Any]:
    return build(parse(SPEC, argv), environ or {}, detach=detach)


def host(*argv: str) -> dict[str, Any]:
    return dict(body(*argv)["HostConfig"])


def test_the_command_s_own_flags_stay_its_own() -> None:
    made = body("--rm", "-it", "image", "sh", "-c", "echo --rm")
    assert (made["Image"], made["Cmd"]) == ("image", ["sh", "-c", "echo --rm"])
    assert body("image")["Cmd"] is None


def test_streams_attached_are_those_asked_for() -> None:
    def attached(*argv: str, detach: bool = False) -> tuple[bool, ...]:
        made = body(*argv, "image", detach=detach)
        return tuple(made[key] for key in ("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce"))

    assert attached() == (False, True, True, False, False)
    assert attached("-i") == (True, True, True, True, True)
    assert attached("-a", "STDERR") == (False, False, True, False, False)
    assert attached("-i", "-a", "stdin") == (True, False, False, True, True)
    assert attached("-i", detach=True) == (False, False, False, True, False)


def test_the_environment_comes_from_files_flags_and_ours(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nF=1\nOURS\nNOT_OURS\n")
    made = body("--env-file", str(file), "-e", "A=b c", "-e", "OURS", "-e", "GONE", "i", environ={"OURS": "x"})
    assert made["Env"] == ["F=1", "OURS=x", "A=b c", "OURS=x", "GONE"]


def test_limits_and_isolation() -> None:
    made = host(
        *(
            "-m",
            "64m",
            "--memory-swap",
            "-1",
            "--cpus",
            "0.5",
            "--pids-limit",
            "5",
            "--ulimit",
            "nofile=10:20",
            "--init",
        ),
        *(
            "--cap-add",
            "NET_ADMIN",
            "--read-only",
            "--sysctl",
            "a.b=1",
            "--device",
            "/dev/fuse:/dev/f:r",
            "--pid",
            "host",
        ),
        *("--shm-size", "1g", "--restart", "on-failure:3", "--add-host", "h=1.2.3.4", "image"),
    )
    assert (made["Memory"], made["MemorySwap"], made["NanoCpus"], made["PidsLimit"]) == (64 << 20, -1, 5 * 10**8, 5)
    assert made["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    assert made["Devices"] == [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "r"}]
    assert made["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (made["CapAdd"], made["ReadonlyRootfs"], made["Sysctls"]) == (["NET_ADMIN"], True, {"a.b": "1"})
    assert (made["PidMode"], made["ShmSize"], made["Init"]) == ("host", 1 << 30, True)
    assert made["ExtraHosts"] == ["h:1.2.3.4"]
    assert "PidsLimit" not in host("image")


def test_volumes_in_all_their_notations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = body("-v", "/a:/b:ro", "-v", "name:/c", "-v", "/anon", "-v", "./rel:/d", "--tmpfs", "/t:size=1m", "image")
    assert made["HostConfig"]["Binds"] == ["/a:/b:ro", "name:/c", f"{tmp_path}/rel:/d"]
    assert made["Volumes"] == {"/anon": {}}
    assert made["HostConfig"]["Tmpfs"] == {"/t": "size=1m"}
    assert parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rslave"},
    }
    for bad, words in (
        ("type=bind,src=/a", "target is required"),
        ("foo", "must be a key=value pair"),
        ("type=tmpfs,dst=/x,volume-nocopy=true", "cannot mix 'volume-*' options with mount type 'tmpfs'"),
    ):
        with pytest.raises(ValueError, match="invalid argument") as mistake:
            parse_mount(bad)
        assert words in str(mistake.value)


def test_ports_in_all_their_notations() -> None:
    assert parse_publish("80") == [("80/tcp", "", "")]
    assert parse_publish("8080:80/udp") == [("80/udp", "", "8080")]
    assert parse_publish("127.0.0.1::80") == [("80/tcp", "127.0.0.1", "")]
    assert parse_publish("[::1]:8080:80") == [("80/tcp", "::1", "8080")]
    assert parse_publish("8000-8001:80-81") == [("80/tcp", "", "8000"), ("81/tcp", "", "8001")]
    assert parse_publish("8000-8010:80") == [("80/tcp", "", "8000-8010")]
    for bad in ("99999:1", "x", "80:80:80:80", "1.2.3:80:80", "80-82:80-81", "80/foo", "0"):
        with pytest.raises(ValueError, match=r".+"):
            parse_publish(bad)
    made = body("-p", "8080:80", "--expose", "90", "image")
    assert made["ExposedPorts"] == {"80/tcp": {}, "90/tcp": {}}
    assert made["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}


def test_networks_carry_addresses_and_aliases() -> None:
    made = body(
        "--net", "n", "--network-alias", "web", "--ip", "10.0.0.5", "--mac-address", "02:00:00:00:00:01", "image"
    )
    assert made["HostConfig"]["NetworkMode"] == "n"
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "n": {
            "IPAMConfig": {"IPv4Address": "10.0.0.5", "IPv6Address": ""},
            "Aliases": ["web"],
            "MacAddress": "02:00:00:00:00:01",
        }
    }
    assert "NetworkingConfig" not in body("image")
    assert "NetworkingConfig" not in body("--net", "container:x", "image")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--rm", "--restart", "always"], "cannot specify both --restart and --rm"),
        (["--restart", "on-failure:x"], "maximum retry count must be an integer"),
        (["--env-file", "/nope"], "open /nope: no such file or directory"),
        (["--security-opt", "seccomp=/nope"], "opening seccomp profile (/nope) failed"),
        (["--ulimit", "nofile=10:5"], "soft limit must be less than or equal to hard limit: 10 > 5"),
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts"),
        (["-a", "foo"], "valid streams are STDIN, STDOUT and STDERR"),
        (["--add-host", "foo"], 'bad format for add-host: "foo"'),
    ],
)
def test_nonsense_is_refused_before_anybody_is_asked(argv: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=r".+") as mistake:
        body(*argv, "image")
    assert words in str(mistake.value)
