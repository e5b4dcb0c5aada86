#!/usr/bin/env bash
# Unpack packages of Debian trixie beside the system: trixie.sh FOLDER PACKAGE...
# SUITE=NAME: of that one. NEEDED=1: and those of their dependencies that this system lacks.
# FOLDER then holds their trees (FOLDER/usr/bin/...). Nothing is installed and the system's own apt lists stay as they are.
set -euo pipefail
into=$1
shift
stamp=$into/.packages-$(printf '%s\n' "$@" | sha256sum | cut -c1-12)
[ -e "$stamp" ] && exit 0
mkdir -p "$into"
exec 9<"$into"
flock 9 # another process may be unpacking the same packages
[ -e "$stamp" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
  grep -oE 'https?://[^ ]*/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} ${SUITE:-trixie} main" >"$work/sources.list"
# A mirror may stand still: its lists are signed, but no longer recent.
apt() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false "$@"
}
apt update
if [ -n "${NEEDED:-}" ]; then
  set -- $(apt install --print-uris --no-install-recommends "$@" | sed -nE "s/^'[^']*' ([^_]+)_.*/\\1/p")
  # None where this system has them all: the folder stays empty.
fi
if [ $# -gt 0 ]; then
  (cd "$work/debs" && apt download "$@")
  for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$into"; done
fi
touch "$stamp"
