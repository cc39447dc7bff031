#!/bin/sh
# Installs the packages of a lock into /opt/venv, for the Dockerfile: `install.sh LOCK`.
#
# The environment has no pip and keeps no setuptools: pip runs from /build/tools. Two packages are published as source
# only; they are built with the setuptools of the lock, since pip's isolated builds would download another one without
# checking its hash.
set -eu
lock=$1
pip() { /build/tools/bin/pip --python /opt/venv/bin/python3 "$@"; }

python3 -m venv --without-pip /opt/venv
pip install --no-cache-dir --no-compile --require-hashes -r /build/setuptools.lock
pip install --no-cache-dir --no-compile --no-build-isolation --use-pep517 --require-hashes -r "$lock"
pip uninstall --yes --quiet setuptools

packages=$(/opt/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -r "$packages/tensorflow/include" # C++ headers, 290 MB, to compile one's own operations

# Frostline itself is a layer of its own.
echo /opt/frostline/lib > "$packages/frostline.pth"

# On a read-only root no bytecode can be written later, and TensorFlow takes three times as long to import without it.
# `unchecked-hash` bytecode stays valid if a builder changes time stamps.
/opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
