#!/usr/bin/env bash
# The same bits on arm64 as on x86-64: build fastxent for arm64, and run it, on a processor of x86-64.
#
# As root on Debian, since it may install qemu-user and the cross-compiler. Debian's Python of arm64 is
# unpacked, not installed; under qemu's emulation it runs setup.py, whose compiler is a native one
# that makes code for arm64. Then tests/helpers/digests.py prints some 800 digests, here and there, and the
# tests marked arm64 run there. All of it lies in build/arm64; emulated, it takes a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
here=${1:?which python has fastxent for this machine?}
work=$PWD/build/arm64
root=$work/root
triple=aarch64-linux-gnu
mkdir -p "$work"/{package,site,apt/state/lists/partial,apt/cache/archives/partial} "$root"

if ! command -v qemu-aarch64 "$triple-gcc" >"$work/found"; then
    apt-get update
    apt-get install --yes --no-install-recommends qemu-user "gcc-$triple" libc6-dev-arm64-cross
fi

if [ ! -e "$root/usr/bin/python3" ]; then
    echo "=== Python for arm64"
    : >"$work/apt/status" # nothing is installed there yet
    other_apt() {
        apt-get --quiet --quiet -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
            -o Dir::State="$work/apt/state" -o Dir::State::status="$work/apt/status" \
            -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
    }
    other_apt update
    other_apt --yes --no-install-recommends --download-only install python3 libpython3-dev libstdc++6
    for package in "$work"/apt/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
fi
version=$(basename "$(readlink "$root/usr/bin/python3")") # python3.11

# What subprocesses of the emulated Python start, too: see sys.executable below.
cat >"$work/python" <<END
#!/bin/sh
export QEMU_LD_PREFIX="$root" PYTHONPATH="\$PYTHONPATH:$work/package:$work/site" PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
exec qemu-aarch64 -0 "$work/python" "$root/usr/bin/$version" "\$@"
END
chmod +x "$work/python"

echo "=== packages for arm64"
"$here" -m pip install --quiet --upgrade --target "$work/site" --only-binary=:all: \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 \
    --python-version "${version#python}" \
    'cython>=3.1' 'hypothesis>=6.100' 'ml_dtypes>=0.5' 'mpmath>=1.3' 'numpy>=2.0' 'pytest>=8.2' 'setuptools>=77'

echo "=== fastxent for arm64"
include=$root/usr/include
CC="$triple-gcc" LDSHARED="$triple-gcc -shared" FASTXENT_WERROR=1 \
    CFLAGS="-isystem $include/$version -isystem $include" \
    "$work/python" setup.py --quiet build --build-base "$work/made" --build-lib "$work/package"
file "$work"/package/fastxent/_kernels/{,levels/}*.so | grep -c 'ARM aarch64'

echo "=== digests"
run() { # all but the group of large arrays, which would take an hour; line 1 is the level
    (cd tests && PYTHONPATH=. "$@" -P helpers/digests.py binary categorical others | tail -n +2)
}
FASTXENT_SIMD=baseline run "$here" >"$work/digests.here"
run "$work/python" >"$work/digests.there"
lines=$(wc -l <"$work/digests.here")
[ "$lines" -gt 700 ] || { echo "only $lines digests: nothing was compared"; exit 1; }
diff "$work/digests.here" "$work/digests.there"
echo "$lines digests of calls: the same bits on arm64 and x86-64"

echo "=== tests on arm64"
PYTHONPATH="$PWD/tests" "$work/python" -P -c '
import sys, pytest
sys.executable = sys.argv[1]
sys.exit(pytest.main(sys.argv[2:]))' "$work/python" -p no:cacheprovider -m arm64
