#!/usr/bin/env bash
# Installs the programs that the harness and its tests call, where they are missing. Only Debian and its relatives; elsewhere it
# says what is missing. Asks apt nothing when nothing is missing.
set -euo pipefail

declare -A package_of=(
  [ip]=iproute2 [nsenter]=util-linux [unshare]=util-linux [mount]=mount [mmdebstrap]=mmdebstrap [tar]=tar [nft]=nftables
)
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null 2>&1 || missing+=("${package_of[$program]}")
done
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
