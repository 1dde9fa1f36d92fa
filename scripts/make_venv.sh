#!/usr/bin/env bash
# make_venv.sh PYTHON FOLDER: an empty virtual environment with pip, also where Debian leaves out ensurepip.
set -euo pipefail
python=$1
folder=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Python 3.11 or later is needed; $python is $("$python" --version 2>&1)." >&2
  echo "Name another one: make PYTHON=python3.12 …" >&2
  exit 1
fi
echo "== making $folder with $("$python" --version)"
rm -rf "$folder"
if "$python" -c 'import ensurepip' 2>/dev/null; then
  "$python" -m venv "$folder"
else
  "$python" -m venv --without-pip "$folder"
  "$python" -m pip --python "$folder/bin/python" --disable-pip-version-check install pip
fi
