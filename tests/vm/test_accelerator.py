"""The choice of an accelerator, with a probe whose results are given; the real probe boots a kernel in test_vm.py."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from desktop.platform import platform_for
from desktop.platform.base import Platform
from desktop.vm import accelerator
from desktop.vm.accelerator import Accelerator, ProbeResult, choose_accelerator
from desktop.vm.image import load_image
from desktop.vm.qemu import find_qemu


class OneMachine:
    """A platform with kvm and hvf whose boot id we set."""

    def __init__(self, obstacle: str | None = None) -> None:
        self.accelerators = ("kvm", "hvf")
        self.boot = "boot 1"
        self.obstacle = obstacle

    def accelerator_obstacle(self, accelerator: str) -> str | None:
        return self.obstacle if accelerator == "kvm" else None

    def boot_id(self) -> str:
        return self.boot


class Probes:
    """A probe with a result for each name; `asked` holds the names that were probed."""

    def __init__(self, **answers: ProbeResult) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, name: str) -> ProbeResult:
        self.asked.append(name)
        return self.answers[name]


def choose(
    machine: OneMachine, file: Path, probes: Probes, *, identity: str = "qemu 7", wanted: str | None = None
) -> Accelerator:
    platform: Platform = machine  # type: ignore[assignment]  # it has all members that the choice uses
    return asyncio.run(choose_accelerator(platform, file, identity, probes, wanted))


def test_the_first_that_boots_a_guest_is_taken(tmp_path: Path) -> None:
    probes = Probes(kvm=ProbeResult(False, "kvm is slow"), hvf=ProbeResult(True, "booted in 0.5 s"))
    assert choose(OneMachine(), tmp_path / "a", probes) == Accelerator("hvf", "booted in 0.5 s")


def test_emulation_is_used_where_none_works_and_says_why(tmp_path: Path) -> None:
    probes = Probes(hvf=ProbeResult(False, "hvf opens, but a guest said nothing within 2 s"))
    chosen = choose(OneMachine(obstacle="no /dev/kvm"), tmp_path / "a", probes)
    assert chosen.name == "tcg"
    assert "no /dev/kvm; hvf opens, but" in chosen.why
    assert probes.asked == ["hvf"], "what has an obstacle is not tried"


@pytest.mark.parametrize("change", ["boot", "qemu"])
def test_the_finding_holds_until_the_machine_boots_or_qemu_changes(tmp_path: Path, change: str) -> None:
    machine, file = OneMachine(), tmp_path / "accelerator.json"
    works = ProbeResult(True, "booted")
    first, second, third = Probes(kvm=works), Probes(), Probes(kvm=ProbeResult(False, "slow"), hvf=works)
    choose(machine, file, first)
    assert choose(machine, file, second) == Accelerator("kvm", "booted")
    assert second.asked == []
    if change == "boot":
        machine.boot = "boot 2"
    assert choose(machine, file, third, identity="qemu 8" if change == "qemu" else "qemu 7").name == "hvf"


def test_a_damaged_memory_of_it_only_costs_a_probe(tmp_path: Path) -> None:
    for damage in ("", "[]", "{", json.dumps({"schema": 1})):
        (tmp_path / "a").write_text(damage)
        assert choose(OneMachine(), tmp_path / "a", Probes(kvm=ProbeResult(True, "ok"))).name == "kvm"


def test_the_users_own_choice_is_not_put_to_the_test(tmp_path: Path) -> None:
    assert choose(OneMachine(), tmp_path / "a", Probes(), wanted="tcg").name == "tcg"


@pytest.mark.vm
def test_the_probe_boots_the_real_kernel_and_times_it(
    guest_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulation always boots, so it shows that a working accelerator passes; a busy machine may be slow at it."""
    for limit in ("FIRST_WORD_LIMIT_S", "BOOT_LIMIT_S"):
        monkeypatch.setattr(accelerator, limit, 60.0)
    qemu = find_qemu(platform_for("linux"), os.environ, "amd64")
    image = load_image(guest_image, tmp_path / "verified.json")
    works = asyncio.run(accelerator.probe_by_boot("tcg", qemu, image))
    assert works.works, works.why
    assert works.why.startswith("a guest booted in ")
    monkeypatch.setattr(accelerator, "FIRST_WORD_LIMIT_S", 0.01)
    slow = asyncio.run(accelerator.probe_by_boot("tcg", qemu, image))
    assert slow == ProbeResult(False, "tcg opens, but a guest said nothing within 0.01 s")


@pytest.mark.parametrize("name", ["linux", "darwin", "win32"])
def test_each_platform_names_its_accelerators_best_first(name: str) -> None:
    platform = platform_for(name)
    assert platform.name == name
    assert "tcg" not in platform.accelerators
    assert platform.qemu_hint.startswith("Install it: ")
