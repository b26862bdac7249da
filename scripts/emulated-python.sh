#!/usr/bin/env bash
# Run Python with numpy, llvmlite, onnx and ONNX Runtime on an emulated processor:
#
#   emulated-python.sh CPU script.py ARGUMENTS…
#
# CPU: Haswell, Nehalem and other x86-64 models of qemu run this machine's own `python3` (or $PYTHON);
#      cortex-a72 (no dot product), neoverse-n1 and max run Debian's arm64 Python 3.11 with PyPI's wheels.
# Everything is unpacked below $EMULATED_ROOT (default ~/.cache/oracle-node-emulated) without root rights; the first use downloads.
# ONNX Runtime 1.32 aborts under emulated Arm, so $ARM_ONNXRUNTIME defaults to 1.27.0.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
cpu=$1; shift
root=${EMULATED_ROOT:-$HOME/.cache/oracle-node-emulated}
ort=${ARM_ONNXRUNTIME:-1.27.0}
mkdir -p "$root"

# debian ARCHITECTURE TARGET PACKAGE…: unpack Debian packages, with package lists of our own
debian() {
  local arch=$1 target=$2 state="$root/apt-$1"; shift 2
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/debs"
  touch "$state/status"
  local options=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State::Lists=$state/lists"
    -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache" -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update
  ( cd "$state/debs" && apt-get "${options[@]}" download "$@" && for deb in *.deb; do dpkg -x "$deb" "$target"; done )
}

if [ ! -x "$root/qemu/usr/bin/qemu-x86_64-static" ]; then
  debian "$(dpkg --print-architecture)" "$root/qemu" qemu-user-static
fi
case $cpu in
  cortex-*|neoverse-*|max) ;;
  *) exec "$root/qemu/usr/bin/qemu-x86_64-static" -cpu "$cpu" "$(command -v "${PYTHON:-python3}")" "$@" ;;
esac

if [ ! -x "$root/arm64/usr/bin/python3.11" ]; then
  debian arm64 "$root/arm64" python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3.11 libc6 libstdc++6 libgcc-s1 \
    zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1
fi
site=$root/site-$ort
if [ ! -d "$site/llvmlite" ]; then
  platforms=(); for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do platforms+=(--platform "${tag}_aarch64"); done
  "${PYTHON:-python3}" -m pip install -q --no-deps --only-binary=:all: --python-version 3.11 --implementation cp "${platforms[@]}" \
    --target "$site" "onnxruntime==$ort" "numpy<2.5" llvmlite onnx ml_dtypes protobuf flatbuffers packaging typing_extensions
fi
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
exec "$root/qemu/usr/bin/qemu-aarch64-static" -L "$root/arm64" -cpu "$cpu" "$root/arm64/usr/bin/python3.11" "$@"
