#!/bin/sh
# Turns a Debian root into a node's or a workload's. Run inside the root, by mmdebstrap and by the Dockerfile alike:
#   setup.sh install ROLE    install the packages of packages.ROLE that are missing (node-...: of node as well)
#   setup.sh configure ROLE  everything else
set -eu
here=$(dirname "$0")

# A node of a kind is a plain node, and more.
listed() {
  for role in "${1%%-*}" "$1"; do sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.$role"; done | sort -u
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install() {
  missing=
  for package in $(listed "$1"); do
    installed "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  apt-get update -q
  # shellcheck disable=SC2086  # a list of names
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $missing
  apt-get clean
  rm -rf /var/lib/apt/lists/*
}

configure() {
  case "$1" in
  node | node-stores | node-ssh)
    # Nobody pulls or is called from outside here: no unit of Debian's may start an engine of its own.
    rm -f /etc/machine-id /var/lib/dbus/machine-id
    mkdir -p /harness/shared /etc/docker
    chmod 755 "$here/entrypoint.sh"
    ;;
  workload)
    # Every node unpacks this image for every cluster: what no shell, ping or Python script needs is left out.
    rm -rf /usr/lib/*/gconv /usr/share/zoneinfo /usr/share/common-licenses /usr/share/perl5 /usr/lib/*/perl-base \
      /usr/lib/python3*/pydoc_data /usr/lib/python3*/lib-dynload/_test* /usr/lib/python3*/lib-dynload/_codecs_*
    mkdir -p /usr/local/bin
    # applets for people: only where the root has no program of that name
    for applet in vi nc less wget httpd telnet; do
      command -v "$applet" >/dev/null 2>&1 || ln -s /bin/busybox "/usr/local/bin/$applet"
    done
    ;;
  esac
}

case "${1:-} ${2:-}" in
"install node" | "install node-stores" | "install node-ssh" | "install workload") install "$2" ;;
"configure node" | "configure node-stores" | "configure node-ssh" | "configure workload") configure "$2" ;;
*)
  echo "usage: setup.sh install|configure node|node-stores|node-ssh|workload" >&2
  exit 64
  ;;
esac
