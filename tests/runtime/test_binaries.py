"""The compiled kernels: which registers they use, what they call and export."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.machinery import ModuleSpec

import pytest

from helpers.losses import LEVELS

BASELINE_ONLY = ["engine", "group_sums", "isotonic"]
MODULES = [*LEVELS, *BASELINE_ONLY]

# The registers that a level must use, and those that it must not.
REGISTERS = {
    "baseline": (None, "[yz]mm"),
    "avx2": ("ymm", "zmm"),
    "avx512": ("zmm", None),
    **dict.fromkeys(BASELINE_ONLY, (None, "[yz]mm")),
}
FUSED = re.compile(
    r"\bv?f(?:n?m(?:add|sub)|maddsub|msubadd)\w*|\bf(?:madd|msub|nmadd|nmsub|mla|mls)\b"
)
# Narrow registers prove nothing: AVX writes to those of SSE2 too, and AVX-512 to those of AVX2.
BEYOND_SSE2 = re.compile(
    r"\tv[a-z]\w+ .*%xmm|\t(?:p?blendv?\w*|round[ps][sd]|pm(?:ulld|ovsx\w+|ovzx\w+|ax(?:s[bd]|u[wd])|"
    r"in(?:s[bd]|u[wd]))|ptest|p(?:extr|insr)[bdq]|haddp[sd]|pshufb|p(?:cmpeq|cmpgt)q|packusdw)\b"
)
OF_AVX512 = re.compile(r"%[xyz]mm(?:1[6-9]|2\d|3[01])\b|%k[0-7]\b")
LIBM = re.compile(
    r"\b_*(?:exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|fma|fmin|fmax|sqrt|rint|nearbyint|round|"
    r"floor|ceil|trunc|frexp|ldexp|scalbn|logb|ilogb|tanh|sinh|cosh)[fl]?(?:_finite)?(?=@|$)",
    re.MULTILINE,
)

pytestmark = [
    pytest.mark.uncounted,
    pytest.mark.wheel,
    pytest.mark.skipif(sys.platform != "linux", reason="objdump is asked about ELF modules"),
    pytest.mark.skipif(
        shutil.which("objdump") is None, reason="NOT CHECKED: no objdump (binutils)"
    ),
]
x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86-64")


def find_module(name: str) -> ModuleSpec | None:
    folder = "levels." if name in LEVELS else ""
    return importlib.util.find_spec(f"fastxent._kernels.{folder}{name}")


@cache
def objdump(option: str, name: str) -> str:
    spec = find_module(name)
    if spec is None:
        pytest.skip(f"{name} is not built")
    assert spec.origin is not None
    command = ["objdump", option, "--wide", "--no-show-raw-insn", spec.origin]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@x86_64
@pytest.mark.parametrize("name", MODULES)
def test_registers(name):
    code = objdump("--disassemble", name)
    assert len(code.splitlines()) > 1000
    needed, forbidden = REGISTERS[name]
    if needed is not None:
        assert code.count(f"%{needed}") > 1000
    if forbidden is not None:
        assert re.findall(f"%{forbidden}", code) == []
    assert bool(OF_AVX512.search(code)) == (name == "avx512")
    assert bool(BEYOND_SSE2.search(code)) == (name in ("avx2", "avx512"))


def test_instructions_of_later_processors_would_be_found():
    for line in [
        "\tvaddsd %xmm0,%xmm1,%xmm2",
        "\troundsd $1,%xmm0,%xmm0",
        "\tpblendvb %xmm0,%xmm1",
    ]:
        assert BEYOND_SSE2.search(line)
    for line in ["\tvmovups %ymm17,(%rax)", "\tkmovw %k1,%eax"]:
        assert OF_AVX512.search(line)


@x86_64
def test_every_level_is_built():
    missing = [name for name in MODULES if not find_module(name)]
    assert missing == []


# That none is made by contraction, where the source says a * b + c: test_fma.py, and the digests.
@pytest.mark.parametrize("name", MODULES)
def test_fused_multiply_adds_are_where_the_source_has_them(name):
    found = FUSED.findall(objdump("--disassemble", name))
    is_level = name not in BASELINE_ONLY
    has_instruction = is_level and (name != "baseline" or platform.machine() == "aarch64")
    assert bool(found) == has_instruction


def test_a_fused_multiply_add_would_be_found():
    for line in ["vfmadd231ps %zmm0,%zmm1,%zmm2", "vfnmsub132sd %xmm0,%xmm1,%xmm2", "fmla v0.2d"]:
        assert FUSED.search(line)


@pytest.mark.parametrize("name", MODULES)
def test_no_call_to_libm(name):
    symbols = objdump("--dynamic-syms", name)
    assert "PyModuleDef_Init" in symbols or "PyModule" in symbols
    assert LIBM.findall(symbols) == []
    assert "libm.so" not in objdump("--private-headers", name)


def test_a_call_to_libm_would_be_found():
    assert len(LIBM.findall(" exp\n (GLIBC_2.29) log1pf\n __log_finite\n pow@GLIBC_2.2\n")) == 4


@pytest.mark.parametrize("name", MODULES)
def test_only_the_init_function_is_exported(name):
    symbols = objdump("--dynamic-syms", name)
    exported = [
        line.split()[-1]
        for line in symbols.splitlines()
        if re.match(r"[0-9a-f]{16} [g ]", line) and "*UND*" not in line and " w " not in line
    ]
    assert exported == [f"PyInit_{name}"]
