"""The native modules. `LEVELS` is the one table of the instruction sets."""

import gzip
import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.sdist import sdist


class Level(NamedTuple):
    """What an instruction set is; its intrinsics are in simd.h, its module in _kernels/levels."""

    features: tuple[str, ...]  # the module is compiled for them, and `engine` asks for each of them
    flags: tuple[str, ...] = ()  # more of the compiler's
    machines: tuple[str, ...] = ("x86_64", "amd64")


LEVELS = {
    "baseline": Level((), machines=("",)),
    "avx2": Level(("avx2", "fma", "f16c")),
    # gcc and clang would take vectors of 256 bits
    "avx512": Level(
        ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "fma"),
        ("-mprefer-vector-width=512",),
    ),
}
# Compilers do not know how to ask the processor for these.
CHECKS = {"f16c": "fastxent_has_f16c()"}


def wanted(name):
    """Whether an environment variable of the build is set."""
    return os.environ.get(name, "0") not in ("", "0")


def is_gcc():
    """Whether the compiler is gcc: clang says so, too, but knows none of gcc's own options."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    ask = [*command, "-dM", "-E", "-x", "c", os.devnull]
    try:
        macros = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    except OSError:  # no compiler: the build will say so
        return False
    return "__GNUC__" in macros and "__clang__" not in macros


PLATFORM = sysconfig.get_platform()
MSVC = PLATFORM.startswith("win")
SANITIZE = wanted("FASTXENT_SANITIZE")
COVERAGE = wanted("FASTXENT_COVERAGE")
ABI3 = not (sysconfig.get_config_var("Py_GIL_DISABLED") or wanted("FASTXENT_NO_ABI3"))

# No contraction: the source says which products and sums are fused, and every level gives the same
# bits. -fno-trapping-math changes no result, and lets a choice between two values be vectorised.
COMPILE = "-O3 -g0 -DNDEBUG -fwrapv -fvisibility=hidden -Wall -Wextra".split()
COMPILE += "-ffp-contract=off -fno-math-errno -fno-trapping-math".split()
if is_gcc():
    # It stops inlining in long functions, and where a module has grown enough: a call in a loop
    # cannot be vectorised. Small functions are inlined first, whatever the size of the module, and
    # long ones that are called from several places never: -O3's 200 instructions make modules a
    # third larger, and rows of float64 an eighth slower.
    # What it guesses to be cold keeps its accumulators in memory, and it has taken whole kernels
    # for that. A loop that fills or copies the numbers of 64 rows stays a loop: "rep stos" and a call
    # of memcpy take longer than the rest of what few classes need.
    COMPILE += [
        "--param=large-function-insns=50000",
        "--param=large-stack-frame=200000",
        "--param=early-inlining-insns=50",
        "--param=max-inline-insns-single=70",
        "--param=inline-unit-growth=40",
        "-fno-guess-branch-probability",
        "-fno-tree-loop-distribute-patterns",
    ]
LINK = ["-Wl,-s"] if sys.platform == "linux" else []
if SANITIZE:
    LINK = ["-fsanitize=address,undefined"]
    COMPILE += ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", *LINK]
if COVERAGE:
    LINK = ["--coverage"]
    COMPILE += ["-O1", "-Wno-maybe-uninitialized", "-fprofile-update=atomic", *LINK]
if MSVC:
    COMPILE, LINK = ["/O2", "/fp:precise"], []
WERROR = ["-Werror"] if wanted("FASTXENT_WERROR") and not MSVC else []

VARIANT = "sanitize" if SANITIZE else "coverage" if COVERAGE else "abi3" if ABI3 else "plain"
beyond_baseline = sys.maxsize > 2**32 and not MSVC and not COVERAGE  # each level has the same lines
levels = {
    name: level
    for name, level in LEVELS.items()
    if PLATFORM.endswith(level.machines) and (beyond_baseline or name == "baseline")
}
flags = {
    name: [*(f"-m{feature}" for feature in level.features), *level.flags]
    for name, level in levels.items()
}
built_with = {name: " ".join([*COMPILE, *flags[name]]) for name in levels}
version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]

abi3 = [("Py_LIMITED_API", "0x030B0000")] if ABI3 else []
# CFLAGS=-march=native would make a baseline that dies elsewhere: simd.h refuses it.
guard = [] if wanted("FASTXENT_ALLOW_NATIVE") else [("FASTXENT_FORBID_AVX", "1")]
checks = {
    name: " && ".join(CHECKS.get(f, f'__builtin_cpu_supports("{f}")') for f in level.features)
    for name, level in levels.items()
}
rows = " ".join(f"ROW({name}, ({check}))" for name, check in checks.items() if check)
numpy_api = ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")
about = [
    *([("FASTXENT_LEVELS(ROW)", rows)] if rows else []),
    numpy_api,
    ("FASTXENT_VERSION", f'"{version}"'),
    ("FASTXENT_BUILD_INFO", '"{}"'.format("; ".join(map(": ".join, built_with.items())))),
]

# What the modules include, all of it by each of them.
included = sorted(
    str(path)
    for path in Path("fastxent/_kernels").rglob("*")
    if path.suffix in {".h", ".pxd", ".pxi"}
)


def extension(name, flags, macros, include_dirs=()):
    """One module of the native layer, all of which depend on every .pxd."""
    return Extension(
        f"fastxent._kernels.{name}",
        [f"fastxent/_kernels/{name.replace('.', '/')}.pyx"],
        include_dirs=["fastxent/_kernels", *include_dirs],
        define_macros=abi3 + macros,
        depends=["setup.py", "pyproject.toml", *included],
        extra_compile_args=COMPILE + flags + WERROR,
        extra_link_args=LINK,
        py_limited_api=ABI3,
    )


class PlainSdist(sdist):
    """An archive whose bytes hang on the files' names and contents, and on SOURCE_DATE_EPOCH."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owner):  # noqa: A002, ARG002
        """Give the path of `base_dir`, packed."""
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def plain(info):
            info.mtime, info.mode = epoch, 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            return info

        path = f"{base_name}.tar.gz"
        with (
            Path(path).open("wb") as file,
            gzip.GzipFile("", "wb", mtime=epoch, fileobj=file) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=plain)
        return path


modules = [
    extension(f"levels.{level}", flags[level], [] if flags[level] else guard) for level in levels
]
modules.append(extension("engine", [], guard + about, [np.get_include()]))
modules += [
    extension(name, [], [*guard, numpy_api], [np.get_include()])
    for name in ("isotonic", "group_sums")
]

setup(
    cmdclass={"sdist": PlainSdist},
    ext_modules=cythonize(
        modules,
        # no generated C beside the sources, but where tools/cython_coverage.py is to read it
        build_dir=None if COVERAGE else f"build/{VARIANT}/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "linetrace": COVERAGE,  # marks in the C where each line begins
        },
    ),
    options={
        "build": {"build_base": f"build/{VARIANT}"},
        "build_ext": {"parallel": os.cpu_count()},
        "bdist_wheel": {"py_limited_api": "cp311"} if ABI3 else {},
    },
)
