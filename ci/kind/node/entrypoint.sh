#!/bin/bash
# A node's first process: prepares the container, then becomes systemd. Nothing here may change the machine's own
# settings, which a privileged container could.
set -euo pipefail

say() { echo "entrypoint: $*"; }

# Kernel settings that no namespace holds, and that systemd and kubelet write to: they get files of their own instead.
own=/run/harness/sysctl
mkdir -p "$own"
for name in fs/file-max fs/nr_open kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom; do
  [ -e "/proc/sys/$name" ] || continue
  cat "/proc/sys/$name" >"$own/${name//\//.}"
  mount --bind "$own/${name//\//.}" "/proc/sys/$name"
done

for point in /sys $(awk '$3 ~ /^cgroup/ {print $2}' /proc/self/mounts); do
  case ",$(awk -v p="$point" '$2 == p {print $4}' /proc/self/mounts | tail -n 1)," in
  *,ro,*) mount -o remount,bind,rw "$point" || say "$point stays read-only" ;;
  esac
done
mount --make-rshared /

# cgroup v2: kind's node starts in the root of its own namespace; systemd makes what it needs there.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  say "cgroup v2"
else
  # kind waits for systemd's last line, or for this one (its own images say it too): then kubeadm.sh waits instead.
  say "detected cgroup v1"
fi

[ -e /dev/kmsg ] || ln -s /dev/console /dev/kmsg
[ -s /etc/machine-id ] || cat /proc/sys/kernel/random/uuid | tr -d - >/etc/machine-id

# Names of nodes are the engine's to know; the world's are not to be waited for.
address=$(ip -4 -o address show dev eth0 | awk '{sub("/.*", "", $4); print $4; exit}')
remember=/kind/old-ipv4
# An engine may give a node that it starts again another address: kubelet and etcd were told the first one.
if [ -s "$remember" ] && [ "$(cat "$remember")" != "$address" ]; then
  before=$(cat "$remember")
  say "the address was $before and is $address"
  grep -rlF "$before" /etc/kubernetes/manifests /kind/kubeadm.conf /var/lib/kubelet/kubeadm-flags.env 2>/dev/null |
    xargs -r sed -i "s/\\b${before//./\\.}\\b/$address/g"
fi
echo "$address" >"$remember"

# What the topology calls the nodes: stores speak of them so. An engine writes both files anew at each start, and
# systemd takes the name from the second one.
if [ -s /var/lib/harness/hostname ]; then
  cat /var/lib/harness/hosts >>/etc/hosts
  cat /var/lib/harness/hostname >/etc/hostname
fi

# Loop devices belong to the machine's kernel; a node needs names for them.
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for ((i = 0; i < 64; i++)); do
  [ -e "/dev/loop$i" ] || mknod "/dev/loop$i" b 7 "$i"
done

# A name that nobody knows is refused at once: the kernel else says so once a second (icmp(7)).
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit

exec /sbin/init "$@"
