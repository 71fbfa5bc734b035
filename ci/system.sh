#!/usr/bin/env bash
# ci/system.sh [vm]: installs the programs that the harness and its tests call, with vm also those of provider vagrant,
# where they are missing. Only Debian and its relatives; elsewhere it says what is missing. Asks apt nothing when nothing
# is missing.
set -euo pipefail

declare -A package_of=(
  [ip]=iproute2 [nsenter]=util-linux [unshare]=util-linux [mount]=mount [mmdebstrap]=mmdebstrap [tar]=tar [nft]=nftables
)
# provider vagrant: only where it is asked for, some 250 MB
if [ "${1:-}" = vm ]; then
  package_of+=(
    [vagrant]=vagrant [virsh]=libvirt-clients [libvirtd]=libvirt-daemon-system [qemu-system-x86_64]=qemu-system-x86
    [qemu-img]=qemu-utils [dnsmasq]=dnsmasq-base [iptables]=iptables [ssh-keygen]=openssh-client [cpio]=cpio [xz]=xz-utils
    [mke2fs]=e2fsprogs [tini]=tini [zstd]=zstd
  )
fi
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null 2>&1 || missing+=("${package_of[$program]}")
done
if [ "${1:-}" = vm ] && ! vagrant plugin list 2>/dev/null | grep -q vagrant-libvirt; then missing+=(vagrant-libvirt); fi
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "these programs are missing, and there is no apt-get to install them: ${missing[*]}" >&2
  exit 70
fi
if [ "$(id -u)" != 0 ]; then
  echo "run this as root first: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 70
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 70
fi
