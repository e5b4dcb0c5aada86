#!/usr/bin/env bash
# Install the Debian packages that `make run` needs, and with the argument `test` those of `make test` too.
# Does nothing, and needs no network, where all are there. Root, or sudo.
set -euo pipefail
own_qemu=qemu-system-x86
[ "$(dpkg --print-architecture)" != arm64 ] || own_qemu=qemu-system-arm
run=(
  python3 python3-venv ca-certificates make
  "$own_qemu" qemu-utils                                      # the VM
  mmdebstrap cpio zstd lz4 xz-utils binutils debian-archive-keyring # its image
  libnftables1 procps iproute2                                # the engine natively
  libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 libfontconfig1 # the window
  libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1
)
test=(
  qemu-system-x86 qemu-system-arm                   # the VM of both processors
  busybox-static docker-registry                    # an image's content and a real registry
  xvfb xauth x11-utils fonts-inter fonts-jetbrains-mono # a screen, and the fonts of the pictures
  dbus libxtst6                                     # a tray, and keys pressed in a real process
  crun runc skopeo                                  # peers that the runtime and the store are compared with
  openssh-client libseccomp2 strace util-linux e2fsprogs mount git curl
)
wanted=("${run[@]}")
[ "${1:-run}" = test ] && wanted+=("${test[@]}")
# dpkg-query fails where it does not know one of them, which is no error here.
have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true; } | sed -n 's/^installed //p' | sort -u)
missing=$(comm -13 <(printf '%s\n' "$have") <(printf '%s\n' "${wanted[@]}" | sort -u))
[ -z "$missing" ] && exit 0
echo "Installing Debian packages:" $missing
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
# shellcheck disable=SC2086 # one word a package
"${sudo[@]}" apt-get install -y -qq --no-install-recommends $missing >/dev/null
