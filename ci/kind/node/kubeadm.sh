#!/bin/sh
# kubeadm, once the node is up. kind gives a node's systemd 30 s, in which a machine under load does not import the
# control plane's images; where it can be told not to wait (entrypoint.sh), the wait is here, and as long as it takes.
case "${1:-}" in
init | join)
  end=$(($(cut -d. -f1 /proc/uptime) + 300))
  until systemctl is-active --quiet multi-user.target; do
    if [ "$(cut -d. -f1 /proc/uptime)" -gt "$end" ]; then
      echo "this node's systemd is not up after 300 s: $(systemctl list-jobs --no-legend 2>&1 | head -n 5)" >&2
      exit 1
    fi
    sleep 0.3
  done
  ;;
esac
exec /usr/lib/kubernetes/kubeadm "$@"
