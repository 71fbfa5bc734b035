#!/usr/bin/env bash
# ci/box/build.sh DIR [IMAGE [MIRROR [PACKAGE...]]]: a Vagrant box for libvirt from Debian's packages, and what it is booted with.
#   DIR/harness.box   metadata, an empty Vagrantfile and the disk: one ext4 file system, no partition, no boot loader
#   DIR/vmlinuz DIR/initrd.img   given to the guest by its emulator
#   DIR/key DIR/host_key.pub     how guests are entered, and how they are known; made here, for this machine alone
# IMAGE is an archive of `docker save`: it is in the engine of every guest from the start. Loading it takes an emulated
# guest minutes.
# Needs root (owners of files), mmdebstrap, mke2fs, qemu-img, ssh-keygen and cpio. About 2 minutes on two quiet cores.
set -euo pipefail
suite=trixie
size=10G
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
image=${2:-}
mirror=${3:-}
shift $(($# < 3 ? $# : 3))
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT

ssh-keygen -q -t ed25519 -N '' -C harness -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -C harness-guest -f "$work/host_key"

packages=$({ sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.box"; printf '%s\n' "$@"; } | sed '/^$/d' | paste -sd, -)
echo "the guest's root: $(echo "$packages" | tr , '\n' | wc -l) packages of $suite and what they need"
mmdebstrap --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt=force-confold --essential-hook='mkdir -p "$1/etc/initramfs-tools" && echo "update_initramfs=no" >"$1/etc/initramfs-tools/update-initramfs.conf"' \
  --customize-hook="cp '$here/setup.sh' '$work/host_key' \"\$1/root/\"" \
  --customize-hook="chroot \"\$1\" sh /root/setup.sh '$(cat "$work/key.pub")' /root/host_key" \
  --customize-hook='rm "$1/root/setup.sh" "$1/root/host_key"' \
  --format=tar "$suite" "$work/root.tar" ${mirror:+"$mirror"}
mkdir "$work/root"
tar --extract --numeric-owner --exclude='./dev/*' --directory="$work/root" --file="$work/root.tar"
rm "$work/root.tar"

# An engine in the root, which nothing reaches and which reaches nothing, takes the image in.
preload() {
  cp "$image" "$work/root/image.tar"
  unshare --mount --net --propagation private bash "$here/preload.sh" "$work/root" >"$work/preload.log" 2>&1
}
if [ -n "$image" ]; then
  echo "the image that services run in"
  if ! preload; then
    tail -n 5 "$work/preload.log"
    echo "no engine takes it in here: each guest will"
    rm -rf "$work/root/var/lib/docker"
  fi
  rm -f "$work/root/image.tar"
fi

echo "its kernel and initrd"
kernel=$(basename "$(echo "$work"/root/boot/vmlinuz-*)" | sed 's/^vmlinuz-//')
cp "$work/root/boot/vmlinuz-$kernel" "$work/vmlinuz"
mkdir -p "$work/initrd/bin"
cp "$work/root/usr/bin/busybox" "$work/initrd/bin/busybox"
cp "$here/init" "$work/initrd/init"
chmod 755 "$work/initrd/init"
: >"$work/initrd/modules"
for module in virtio_blk virtio_net; do
  chroot "$work/root" modprobe --set-version "$kernel" --show-depends "$module" | while read -r how path _; do
    [ "$how" = insmod ] || continue
    name=$(basename "${path%.xz}")
    case "$path" in
    *.xz) xz --decompress --stdout "$work/root$path" >"$work/initrd/$name" ;;
    *) cp "$work/root$path" "$work/initrd/$name" ;;
    esac
    echo "$name" >>"$work/initrd/modules"
  done
done
(cd "$work/initrd" && find . | cpio --quiet --create --format=newc --owner=0:0) >"$work/initrd.img"
rm -rf "$work/root/boot"/* "$work/root/usr/bin/busybox"

echo "the disk"
mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -m 0 -L harness -d "$work/root" "$work/disk.raw" "$size"
qemu-img convert -c -o compression_type=zstd -m 2 -O qcow2 "$work/disk.raw" "$work/box.img"
rm -rf "$work/root" "$work/disk.raw"
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": '"${size%G}"'}' >"$work/metadata.json"
echo '# What the box needs is said by the Vagrantfile that uses it.' >"$work/Vagrantfile"
tar --create --directory="$work" --file="$work/harness.box" metadata.json Vagrantfile box.img

rm "$work/host_key" "$work/key.pub"
for name in harness.box vmlinuz initrd.img key host_key.pub; do mv "$work/$name" "$out/$name"; done
