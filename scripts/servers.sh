#!/usr/bin/env bash
# servers.sh: install the Debian programs that the tests run against, those that are missing only.
set -euo pipefail

# program, Debian package; one a line, each used by a test.
needed() {
  cat <<'LIST'
chromium chromium
nginx nginx-light
npm npm
LIST
}

missing=()
while read -r program package; do
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("$package")
done < <(needed)
# the library that mongod is linked with
PATH="$PATH:/usr/sbin" ldconfig -p | grep -q "libcurl\.so\.4" || missing+=(libcurl4)
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "The tests need Debian's ${missing[*]}: install them as root, then run this again." >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "== installing ${missing[*]} with apt-get"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null
