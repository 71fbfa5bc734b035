#!/bin/sh
# Turns a Debian root into a node of kind's. Runs inside the root, which has packages.node, beside its own folder:
#   setup.sh BINARIES    the folder that build.sh filled
set -eu
binaries=$1
here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$binaries/version")

# --- Kubernetes
install -m 755 "$binaries/hyper" /usr/bin/kubelet
mkdir -p /usr/lib/kubernetes
ln -f /usr/bin/kubelet /usr/bin/kubectl
ln -f /usr/bin/kubelet /usr/lib/kubernetes/kubeadm
install -m 755 "$here/node/kubeadm.sh" /usr/bin/kubeadm
mkdir -p /kind/manifests /etc/kubernetes/manifests /etc/systemd/system/kubelet.service.d /opt/cni/bin /etc/cni/net.d /etc/containerd
echo "$version" >/kind/version
install -m 755 "$here/node/entrypoint.sh" /usr/local/bin/entrypoint
install -m 644 "$here/node/kubelet.service" "$here/node/harness-images.service" "$here/node/harness-stores.service" /etc/systemd/system/
install -m 644 "$here/node/10-kubeadm.conf" /etc/systemd/system/kubelet.service.d/
install -m 644 "$here/node/containerd.toml" /etc/containerd/config.toml
for plugin in /usr/lib/cni/*; do ln -sf "$plugin" /opt/cni/bin/; done

# --- systemd: only what a node is for
systemctl enable containerd.service kubelet.service harness-images.service harness-stores.service
systemctl disable etcd.service 2>/dev/null || true
systemctl mask etcd.service getty@.service console-getty.service getty.target dev-hugepages.mount sys-kernel-config.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount systemd-udevd.service systemd-logind.service systemd-sysctl.service \
  systemd-modules-load.service systemd-remount-fs.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer fstrim.timer nfs-client.target rpc-statd-notify.service auth-rpcgss-module.service
# stores start their servers themselves, for one cluster each
for unit in glusterd.service glustereventsd.service ceph.target ceph-crash.service nfs-ganesha.service \
  nfs-ganesha-lock.service rpcbind.service rpcbind.socket nvmf-autoconnect.service; do
  systemctl mask "$unit"
done
systemctl set-default multi-user.target
rm -f /etc/machine-id /var/lib/dbus/machine-id
: >/etc/machine-id
printf 'runtime-endpoint: unix:///run/containerd/containerd.sock\n' >/etc/crictl.yaml

# --- the control plane's images: one root under all of kubeadm's names
work=$(mktemp -d)
root=$work/root
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/etc" "$root/run" "$root/tmp" "$root/var/lib"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
ln -s /run "$root/var/run"

# A program, and the libraries that it asks for.
take() {
  for file in "$@"; do
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
    ldd "$file" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
      [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; }
    done
  done
}

take /usr/sbin/xtables-nft-multi /usr/bin/etcd /usr/sbin/conntrack /usr/bin/ip /usr/bin/dash /usr/bin/kmod
for table in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -s xtables-nft-multi "$root/usr/sbin/$table"
done
ln -s dash "$root/usr/bin/sh"
ln -s ../bin/kmod "$root/usr/sbin/modprobe"
# with the libraries of the extensions too: `statistic`, by which kube-proxy shares among endpoints, wants libm
take /usr/lib/*-linux-gnu*/xtables/*.so
chroot "$root" /usr/sbin/iptables -m statistic -h >/dev/null
cp -L /etc/protocols /etc/services "$root/etc/" 2>/dev/null || true
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
mkdir -p "$root/usr/local/bin"
cp "$binaries/hyper" "$root/usr/local/bin/kube-apiserver"
for name in kube-controller-manager kube-scheduler kube-proxy coredns harness-cni; do
  ln "$root/usr/local/bin/kube-apiserver" "$root/usr/local/bin/$name"
done
cp "$binaries/pause" "$root/usr/local/bin/pause"
chmod 1777 "$root/tmp"

# docker-save's form: one layer under two configurations, since a pod names no command for its pause and for CoreDNS.
archive=$work/archive
mkdir "$archive"
tar --create --file="$archive/layer.tar" --directory="$root" --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 .
layer=$(sha256sum "$archive/layer.tar" | cut -d' ' -f1)
architecture=$(dpkg --print-architecture)
for name in pause coredns; do
  cat >"$archive/$name.json" <<EOF
{"architecture": "$architecture", "os": "linux", "created": "1970-01-01T00:00:00Z",
 "config": {"Entrypoint": ["/usr/local/bin/$name"], "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
EOF
done

images=$(kubeadm config images list --kubernetes-version "$version" 2>/dev/null)
named() { echo "$images" | grep "$@" | sed 's|.*|"&"|' | paste -sd,; }
pause=$(echo "$images" | grep '/pause:')
grep -q "\"$pause\"" /etc/containerd/config.toml || sed -i "s,sandbox_image = .*,sandbox_image = \"$pause\"," /etc/containerd/config.toml
cat >"$archive/manifest.json" <<EOF
[{"Config": "pause.json", "RepoTags": [$(named -v /coredns)], "Layers": ["layer.tar"]},
 {"Config": "coredns.json", "RepoTags": [$(named /coredns)], "Layers": ["layer.tar"]}]
EOF
tar --create --file=/kind/images.tar --directory="$archive" .
sed "s,IMAGE,$(echo "$images" | grep /kube-proxy:)," "$here/node/default-cni.yaml" >/kind/manifests/default-cni.yaml

# --- what only the images need
rm -rf "$work" /usr/bin/etcd /usr/bin/etcdctl "$binaries"
