#!/bin/sh
# A node's first process after tini: prepares the container for an engine of its own, then starts it and ends with it.
#   HARNESS_ADDRESS      the node's address on the wire
#   HARNESS_REGISTRY=no  no registry can be reached: names must fail at once instead of after time-outs
set -eu

say() { echo "entrypoint: $*"; }

# Swarm asks a registry for every image; a resolver that refuses makes that 1 s instead of 46 s.
if [ "${HARNESS_REGISTRY:-no}" = no ]; then
  printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf
fi

# Engines before 26 leave these read-only where the machine lacks a capability.
for point in /sys $(awk '$3 ~ /^cgroup/ {print $2}' /proc/self/mounts); do
  case ",$(awk -v p="$point" '$2 == p {print $4}' /proc/self/mounts | tail -n 1)," in
  *,ro,*) mount -o remount,bind,rw "$point" || say "$point stays read-only" ;;
  esac
done

# cgroup v2: processes may not sit in a group that hands controllers down.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/init
  xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null || true
  sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
i=0
while [ "$i" -lt 64 ]; do
  [ -e "/dev/loop$i" ] || mknod "/dev/loop$i" b 7 "$i"
  i=$((i + 1))
done

# What a store left to be started again with its node: servers, then mounts. Each hook bounds itself; the engine comes
# last, so that no container finds a directory where a mount should be.
for hook in /var/lib/harness/stores/*/up; do
  [ ! -e "$hook" ] || timeout -k 2 120 sh "$hook" </dev/null || say "$hook ended with $?"
done

# A hard kill leaves these behind; an engine that finds its own number in them does not start.
rm -f /run/docker.pid /run/docker.sock /run/docker/containerd/containerd.pid

# Containers ask the node's own address for names of the world: nobody listens, the answer is an immediate no.
engine() {
  dockerd \
    --host unix:///run/docker.sock \
    --storage-driver overlay2 \
    --dns "${HARNESS_ADDRESS:?}" \
    --shutdown-timeout 2 &
  pid=$!
}

# The node ends with its engine, unless a fault holds it back (fault kill-engine): then it is started again later.
trap 'kill -TERM "$pid"' TERM INT
while :; do
  engine
  code=0
  wait "$pid" || code=$?
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || code=$?; done
  [ -e /run/harness-engine-held ] || exit "$code"
  say "the engine ended with $code and is held back"
  while [ -e /run/harness-engine-held ]; do sleep 0.1; done
done
