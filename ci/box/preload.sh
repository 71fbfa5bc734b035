#!/usr/bin/env bash
# preload.sh ROOT: load ROOT/image.tar into ROOT's own engine. Called in mount and network namespaces of its own.
set -euo pipefail
root=$1
mount --bind "$root" "$root"
for tree in proc sys dev; do mount --rbind "/$tree" "$root/$tree"; done
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cd "$root"
# not chroot: what the engine mounts would land elsewhere
pivot_root . mnt
umount -l /mnt
dockerd --bridge none --iptables=false --ip6tables=false --storage-driver overlay2 --config-file /dev/null \
  --host unix:///run/preload.sock &
engine=$!
trap 'kill "$engine" 2>/dev/null; wait "$engine" || true' EXIT
for _ in $(seq 120); do
  docker --host unix:///run/preload.sock info >/dev/null 2>&1 && break
  kill -0 "$engine"
  sleep 0.5
done
timeout 300 docker --host unix:///run/preload.sock load --quiet --input /image.tar
