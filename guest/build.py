"""Build the VM's image: `build.py [--arch amd64|arm64] [--release]`. Needs mmdebstrap, lz4, readelf and this project's
virtual environment; not root. Says what it does and how long each part took.

Two parts, each kept in ~/.cache/cove/guest under the hash of all that goes in. The *base* is Debian's and PyPI's: an
unpacked tree, kernel and initrd; made from the network, changed by recipe.py, kernel.py and the lock file alone. The
*image* adds our engine, as the wheel that anyone else would install, and packs the tree. Tools of the guest's versions
(Python, mkfs.erofs, depmod) are run from the base for this machine's own processor, by its own loader: nothing of the
guest's must be installed on the machine that builds, and nothing of another processor's is ever run.
"""

from __future__ import annotations

import argparse
import fcntl
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import elf
import packages
import recipe
from kernel import Modules, bootable, cpio

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cove" / "guest"
IMAGE_FILES = ("vmlinux", "initrd", "root.erofs", "packages.json")
_GENERATE = """
import sys
from pathlib import Path
sys.path += sys.argv[2:]
from vmagent import generated
with generated.code() as compiled:
    from vmagent import main, serving
generated.write(Path(sys.argv[1]), compiled)
"""
KEPT_BASES, KEPT_IMAGES = 4, 4  # in the cache; older ones go


def main() -> int:
    """Exit code 0: the image is there. 1: it could not be built; the reason was printed."""
    parser = argparse.ArgumentParser(description="Build the VM's image.")
    parser.add_argument("--arch", choices=sorted(recipe.ARCHITECTURES), default=None)
    parser.add_argument("--release", action="store_true", help="pack small instead of fast")
    options = parser.parse_args()
    try:
        arch = recipe.ARCHITECTURES[options.arch] if options.arch else this_machine()
        build(arch, release=options.release)
    except (BuildError, packages.PackagesError, OSError, ValueError, subprocess.CalledProcessError) as e:
        print(f"guest: {e}", file=sys.stderr)
        return 1
    return 0


class BuildError(Exception):
    """The image can't be built; the message says why in one line."""


def this_machine() -> recipe.Architecture:
    """The processor that builds. Raises BuildError."""
    machine = os.uname().machine
    for arch in recipe.ARCHITECTURES.values():
        if machine in (arch.machine, arch.debian):
            return arch
    raise BuildError(f"no VM for this processor: {machine}")


def build(arch: recipe.Architecture, *, release: bool) -> None:
    """Make guest/build/<arch> hold the image of the present sources."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would do the work twice and mix their files
        _build_locked(arch, HERE / "build" / arch.debian, release=release)


def _build_locked(arch: recipe.Architecture, into: Path, *, release: bool) -> None:
    base_key = _hash(_base_inputs(arch))
    key = _hash([*_image_inputs(), (f"base {base_key} release {release}", b"")])
    if _held(into) == key:
        return
    image = CACHE / key
    if _held(image) != key:
        started = time.monotonic()
        _need("mmdebstrap", "lz4", "readelf")
        base = CACHE / f"base-{base_key}"
        native = this_machine()
        tools_base = CACHE / f"base-{_hash(_base_inputs(native))}"
        if not tools_base.is_dir():
            make_base(native, tools_base, None)
        tools = Tools(native, tools_base / "root")
        if not base.is_dir():
            make_base(arch, base, tools)
        make_image(arch, base, image, key, tools, release=release)
        _sweep(keep={base.name, tools_base.name, image.name})
        print(f"guest: built in {time.monotonic() - started:.0f} s", flush=True)
    os.utime(image)
    # Beside and then renamed: a VM that starts just now finds the old image whole, or the new one.
    fresh = into.with_name(f".{into.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in (*IMAGE_FILES, "manifest.json"):
        shutil.copyfile(image / name, fresh / name)
    shutil.rmtree(into, ignore_errors=True)
    fresh.rename(into)


def make_base(arch: recipe.Architecture, base: Path, tools: Tools | None) -> None:
    """Debian's tree, PyPI's packages, kernel and initrd, into the cache as `base`. Network. `tools`: None for this
    machine's processor, whose base has them. Raises BuildError, PackagesError."""
    with _new_folder(base) as work, tempfile.TemporaryDirectory(prefix="cove-guest-") as scratch_name:
        scratch = Path(scratch_name)
        debian, kernel, wheels = (scratch / name for name in ("debian", "kernel", "wheels"))
        root = work / "root"
        with _told(f"Debian and PyPI packages for {arch.debian}"), ThreadPoolExecutor(3) as pool:
            parts = (
                pool.submit(packages.debian, arch, recipe.ROOT_PACKAGES, debian),
                pool.submit(packages.debian, arch, (arch.kernel_package,), kernel),
                pool.submit(packages.wheels, arch, wheels),
            )
            for part in parts:
                part.result()
        tools = tools or Tools(arch, debian)
        with _told("the system's tree"):
            _copy_wheels(wheels, root / "usr/lib/python3/dist-packages")
            _assemble(arch, debian, root, tools)
        with _told("kernel, modules, initrd"):
            (release,) = (path.name for path in (kernel / "usr/lib/modules").iterdir())
            depmod = tools.command("kmod", argv0="depmod")
            modules = Modules(kernel, release, depmod)
            if absent := modules.missing(recipe.NEEDED_MODULES):
                raise BuildError(f"kernel {release} has no {', '.join(absent)}")
            modules.install(recipe.ROOT_MODULES, root, depmod)
            (work / "vmlinux").write_bytes(bootable((kernel / "boot" / f"vmlinuz-{release}").read_bytes()))
            (work / "kernel-release").write_text(release)
            _initrd(modules, root, work / "initrd")
        with _told("Python's byte code"):
            tools.compile_python(root, root / "usr/lib/python3.13", root / "usr/lib/python3")
        (work / "packages.json").write_text(packages.manifest(root, debian, kernel, wheels))


def make_image(arch: recipe.Architecture, base: Path, image: Path, key: str, tools: Tools, *, release: bool) -> None:
    """Base and engine packed together, into the cache as `image`."""
    with _new_folder(image) as work, tempfile.TemporaryDirectory(prefix="cove-guest-", dir=CACHE) as scratch_name:
        root = Path(scratch_name) / "root"
        with _told("the engine's wheel"):
            # Hard links: the files of the base are only read, and ours are new names.
            shutil.copytree(base / "root", root, symlinks=True, copy_function=os.link)
            _install_agent(arch, root)
            tools.compile_python(root, root / "usr/lib/python3/dist-packages/vmagent")
            tools.generate(root / "usr/lib/python3/dist-packages")
            _install_guest_files(arch, root)
        with _told("the image"):
            packing = recipe.SMALL_PACKING if release else recipe.FAST_PACKING
            command = [
                *tools.command("mkfs.erofs"),
                "--quiet",
                "-T0",
                "--all-root",
                "-U00000000-0000-0000-0000-000000000000",
            ]
            subprocess.run(
                [*command, *packing, str(work / "root.erofs"), str(root)], check=True, stdout=subprocess.DEVNULL
            )
            for name in ("vmlinux", "initrd", "packages.json"):
                os.link(base / name, work / name)
            files = {
                name: {"size": (work / name).stat().st_size, "sha256": _sha256(work / name)} for name in IMAGE_FILES
            }
            manifest = {
                "schema": 1,
                "key": key,
                "architecture": arch.debian,
                "kernel": (base / "kernel-release").read_text(),
                "files": files,
            }
            (work / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


class Tools:
    """Programs of an unpacked tree, run on this machine by the tree's own loader."""

    def __init__(self, arch: recipe.Architecture, tree: Path) -> None:
        """`arch`: this machine's."""
        self._tree = tree
        self._libraries = tree / "usr/lib" / arch.triplet
        self._loader = self._libraries / arch.loader

    def command(self, name: str, *, argv0: str | None = None) -> list[str]:
        """The first words of a command that runs `name` of the tree."""
        paths = [self._tree / "usr" / folder / name for folder in ("bin", "sbin")]
        found = next((path for path in paths if path.exists()), paths[0])
        return [str(self._loader), "--argv0", argv0 or name, "--library-path", str(self._libraries), str(found)]

    def applets(self, busybox: bytes) -> list[str]:
        """The names of all commands in `busybox`, a program that may be for another processor: those of the tree's own
        one, which was built in the same way, as far as `busybox` has each of these names too."""
        own = self._tree / "usr/bin/busybox"
        listing = subprocess.run([str(own), "--list"], check=True, capture_output=True, text=True).stdout
        return [name for name in listing.split() if b"\0" + name.encode() + b"\0" in busybox]

    def compile_python(self, root: Path, *folders: Path) -> None:
        """Byte code beside the sources, valid by itself: nothing in the guest looks at the sources' times.
        Raises CalledProcessError."""
        # One process: compileall's workers would be started as sys.executable, which is the loader here.
        command = [*self.command(recipe.PYTHON), "-S", "-m", "compileall", "-q"]
        command += ["--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/", *map(str, folders)]
        environ = {"PYTHONHOME": str(self._tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(command, check=True, env=environ)

    def generate(self, packages: Path) -> None:
        """What the engine in `packages` would compile at each start: see vmagent/generated.py. The interpreter is of
        this machine's processor, and so are the packages that the engine loads. Raises CalledProcessError."""
        # Not the folder's own packages: they may be of another processor.
        engine, own = packages / "vmagent", self._tree / "usr/lib/python3/dist-packages"
        with tempfile.TemporaryDirectory(prefix="cove-generate-") as alone:
            (Path(alone) / "vmagent").symlink_to(engine)
            command = [*self.command(recipe.PYTHON), "-S", "-P", "-c", _GENERATE, str(engine / "generated.bin")]
            environ = {"PYTHONHOME": str(self._tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
            subprocess.run([*command, alone, str(own)], check=True, env=environ)


def _copy_wheels(wheels: Path, into: Path) -> None:
    def dropped(_folder: str, names: list[str]) -> set[str]:
        return {name for name in names if any(fnmatch.fnmatch(name, one) for one in recipe.WHEEL_DROPPED)}

    shutil.copytree(wheels, into, ignore=dropped)
    for library in into.rglob("*.so"):
        library.write_bytes(elf.stripped(library.read_bytes()))  # zstandard's carries 20 MB of debug information


def _assemble(arch: recipe.Architecture, debian: Path, root: Path, tools: Tools) -> None:
    """Pick the programs of the recipe, with the libraries that they and PyPI's packages in `root` need, and write the
    system's own few files. Raises BuildError."""
    usr = root / "usr"
    library = Path("lib") / arch.triplet
    for folder in ("bin", "sbin", "lib64", "lib/openssh", "lib/git-core", "lib/cove/bin", "share", str(library)):
        (usr / folder).mkdir(parents=True)
    programs: list[Path] = []
    for name in recipe.PROGRAMS:
        found = next(
            (path for path in (Path("bin") / name, Path("sbin") / name) if (debian / "usr" / path).exists()), None
        )
        if found is None:
            raise BuildError(f"Debian's packages brought no {name}")
        programs.append(found)
    programs += [Path("lib") / name for name in recipe.PRIVATE_PROGRAMS]
    for program in (*programs, *(Path("lib") / name for name in recipe.PRIVATE_SCRIPTS)):
        shutil.copy2(debian / "usr" / program, usr / program)
    for name, target in recipe.PRIVATE_LINKS.items():
        (usr / "lib" / name).symlink_to(target)
    _copy_stdlib(debian / "usr/lib" / recipe.PYTHON, usr / "lib" / recipe.PYTHON)

    dynamic = [debian / "usr" / program for program in programs if program.name != "busybox"]
    dynamic += (usr / "lib" / recipe.PYTHON).rglob("*.so")
    dynamic += (usr / "lib/python3").rglob("*.so")
    dynamic += [debian / "usr" / library / name for name in recipe.OPENED_LIBRARIES]
    names = elf.libraries(dynamic, debian / "usr" / library) | {arch.loader, *recipe.OPENED_LIBRARIES}
    for name in sorted(names):
        source = debian / "usr" / library / name
        if source.exists():
            shutil.copy2(source, usr / library / name)  # follows the link: the file gets the name that is asked for
    loader = usr / arch.loader_folder / arch.loader
    loader.symlink_to(os.path.relpath(usr / library / arch.loader, loader.parent))

    for folder in ("bin", "sbin", "lib", "lib64"):
        (root / folder).symlink_to(f"usr/{folder}")
    for name, target in recipe.PROGRAM_LINKS.items():
        folder = "sbin" if (usr / "sbin" / target).exists() else "bin"
        (usr / "sbin" / name).symlink_to(f"../{folder}/{target}")
    for applet in tools.applets((usr / "bin/busybox").read_bytes()):
        if not any(
            (usr / folder / applet).is_symlink() or (usr / folder / applet).exists() for folder in ("bin", "sbin")
        ):
            (usr / "bin" / applet).symlink_to("busybox")
    for folder in (
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "root",
        "mnt",
        "var/lib/cove",
        "var/tmp",
        "etc/ssh",
        "etc/ssl/certs",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/run").symlink_to("/run")
    authorities = b"".join(file.read_bytes() for file in sorted((debian / "usr/share/ca-certificates").rglob("*.crt")))
    (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(authorities)
    (usr / "lib/ssl").mkdir()
    (usr / "lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (usr / "lib/ssl/certs").symlink_to("/etc/ssl/certs")
    for name in ("protocols", "services"):
        if (debian / "etc" / name).exists():
            shutil.copy2(debian / "etc" / name, root / "etc" / name)
    if (debian / "usr/share/mke2fs/mke2fs.conf").exists():
        shutil.copytree(debian / "usr/share/mke2fs", usr / "share/mke2fs")
    if (debian / "etc/mke2fs.conf").exists():
        shutil.copy2(debian / "etc/mke2fs.conf", root / "etc/mke2fs.conf")


def _copy_stdlib(source: Path, into: Path) -> None:
    def dropped(folder: str, names: list[str]) -> set[str]:
        top = recipe.STDLIB_DROPPED if Path(folder) == source else ()
        return {name for name in names if name in top or name == "__pycache__" or name.startswith("config-3.13")}

    shutil.copytree(source, into, ignore=dropped, symlinks=True)
    for link in [path for path in into.rglob("*") if path.is_symlink() and not path.exists()]:
        link.unlink()


def _initrd(modules: Modules, root: Path, into: Path) -> None:
    """The first process's archive: busybox, the modules that find and read the root, the script that mounts it."""
    files = [(folder, 0o040755, b"") for folder in ("bin", "dev", "lib", "proc", "sys", "sysroot")]
    files.append(("bin/busybox", 0o100755, (root / "usr/bin/busybox").read_bytes()))
    names = []
    for name in modules.closure(recipe.INITRD_MODULES):
        path, data = modules.read(name)
        names.append(Path(path).name)
        files.append((f"lib/{names[-1]}", 0o100644, data))
    files.append(("modules", 0o100644, "\n".join(names).encode() + b"\n"))
    files.append(("bin/sh", 0o120777, b"busybox"))
    files.append(("init", 0o100755, (HERE / "files/initrd-init").read_bytes()))
    # The kernel reads only lz4's legacy frame (-l).
    packed = subprocess.run(["lz4", "-l", "-9", "-c"], input=cpio(files), check=True, capture_output=True)
    into.write_bytes(packed.stdout)


def _install_agent(arch: recipe.Architecture, root: Path) -> None:
    """Our engine, as the wheel of this project: package `vmagent` and its commands."""
    installed = root / "usr/lib/python3/dist-packages"
    with tempfile.TemporaryDirectory(prefix="cove-wheel-") as scratch_name:
        # Built from a copy: setuptools writes into the tree it builds from, and reuses what it finds there.
        scratch = Path(scratch_name)
        source = scratch / "source"
        shutil.copytree(PROJECT / "vmagent", source / "vmagent", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(PROJECT / name, source / name)
        command = [str(packages.uv()), "build", "--quiet", "--wheel", "--no-build-isolation", "--offline"]
        command += ["--python", sys.executable, "-o", str(scratch), str(source)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        wheels = list(scratch.glob("cove-*.whl"))
        if done.returncode or not wheels:
            raise BuildError(f"the engine's wheel does not build: {done.stderr.strip()[-500:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            for member in wheel.infolist():
                if member.filename.startswith("vmagent/"):
                    wheel.extract(member, installed)
    for program in (installed / "vmagent/native/bin").glob("*"):
        if program.name.endswith(f"-{arch.machine}"):
            program.chmod(0o755)  # zipfile extracts without modes
        else:
            program.unlink()
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        if module.startswith("vmagent."):
            script = root / "usr/bin" / name
            script.write_text(
                f"#!/usr/bin/{recipe.PYTHON} -I\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            )
            script.chmod(0o755)


def _install_guest_files(arch: recipe.Architecture, root: Path) -> None:
    """Our programs, and the few lines of configuration a system needs."""
    shutil.copyfile(HERE / "files/init", root / "usr/lib/cove/init")
    (root / "usr/lib/cove/init").chmod(0o755)
    for name in ("control", "tunnel", "folders"):  # they came with the engine's wheel
        program = f"../python3/dist-packages/vmagent/native/bin/{name}-{arch.machine}"
        (root / "usr/lib/cove" / name).symlink_to(program)
    etc = {
        "ssh/sshd_config": (HERE / "files/sshd_config").read_text(),
        "passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74:sshd:/run/sshd:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        "group": "root:x:0:\ntty:x:5:\nsshd:x:74:\nnogroup:x:65534:\n",
        "shadow": "root:*:20000:0:99999:7:::\nsshd:!:20000::::::\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\n",
        # slirp's own addresses: its name server, and the host's loopback behind its gateway.
        "resolv.conf": "nameserver 10.0.2.3\n",
        "hosts": "127.0.0.1 localhost\n127.0.1.1 cove\n10.0.2.2 host.docker.internal host.cove.internal\n",
        "hostname": "cove\n",
        "os-release": 'NAME=Cove\nID=cove\nID_LIKE=debian\nPRETTY_NAME="Cove"\nVERSION_CODENAME=' + recipe.SUITE + "\n",
        "shells": "/bin/sh\n",
    }
    for name, text in etc.items():
        (root / "etc" / name).write_text(text)
    (root / "etc/mtab").symlink_to("/proc/self/mounts")


def _base_inputs(arch: recipe.Architecture) -> Iterator[tuple[str, bytes]]:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    yield "agent", json.dumps([arch.debian, extras["agent"]]).encode()
    yield "lock", (PROJECT / "requirements.lock").read_bytes()
    for name in ("recipe.py", "kernel.py", "packages.py", "elf.py", "build.py", "files/initrd-init"):
        yield name, (HERE / name).read_bytes()


def _image_inputs() -> Iterator[tuple[str, bytes]]:
    yield "scripts", json.dumps(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]).encode()
    for folder in (HERE / "files", PROJECT / "vmagent"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(PROJECT).as_posix(), path.read_bytes()


def _hash(inputs: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, data in inputs:
        digest.update(f"{len(name)} {name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:20]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _held(image: Path) -> str | None:
    """The key of the whole image in that folder; None: none is there, or a file of it is missing or cut short."""
    try:
        manifest = json.loads((image / "manifest.json").read_text())
        if all((image / name).stat().st_size == file["size"] for name, file in manifest["files"].items()):
            return str(manifest["key"])
    except (OSError, ValueError, KeyError):
        return None
    return None


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder that gets its name only when whole. Another build that got there first wins."""
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=CACHE))
    try:
        work.chmod(0o755)
        yield work
        if path.is_dir() and not (path / "manifest.json").exists():
            shutil.rmtree(path)
        try:
            work.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        if work.exists():
            shutil.rmtree(work)


def _sweep(keep: set[str]) -> None:
    """Drop what the cache holds beyond the newest few images and their base."""
    entries = sorted(
        (path for path in CACHE.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    bases = [path for path in entries if path.name.startswith("base-")]
    images = [path for path in entries if not path.name.startswith("base-")]
    for path in (*bases[KEPT_BASES:], *images[KEPT_IMAGES:]):
        if path.name not in keep:
            shutil.rmtree(path)


@contextmanager
def _told(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"guest: {what}: {time.monotonic() - started:.1f} s", flush=True)


def _need(*programs: str) -> None:
    if missing := [name for name in programs if not shutil.which(name)]:
        raise BuildError(f"needs {', '.join(missing)}: run packaging/debian-deps.sh")


if __name__ == "__main__":
    sys.exit(main())
