#!/bin/sh
# Turns a Debian root into a guest's. Run inside the root, once: setup.sh PUBLIC_KEY HOST_KEY_FILE
set -eu
public=$1 host_key=$2

# --- who may come in: by key only, the machine's own

# no password, but not locked: without PAM, sshd lets nobody in whose password begins with `!` (sshd(8))
useradd --create-home --shell /bin/bash --password '*' vagrant
echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/vagrant
for home in /root /home/vagrant; do
  mkdir -p -m 700 "$home/.ssh"
  echo "$public" >"$home/.ssh/authorized_keys"
done
chown -R vagrant: /home/vagrant/.ssh
rm -f /etc/ssh/ssh_host_*
install -m 600 "$host_key" /etc/ssh/ssh_host_ed25519_key
ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key >/etc/ssh/ssh_host_ed25519_key.pub
cat >/etc/ssh/sshd_config.d/guest.conf <<'CONF'
UseDNS no
PasswordAuthentication no
UsePAM no
MaxSessions 64
MaxStartups 64
LoginGraceTime 120
CONF

# --- networks: the control link by DHCP, the wire as the kernel's command line says (ip=, systemd-network-generator)

cat >/etc/systemd/network/20-mgmt.network <<'CONF'
[Match]
Name=mgmt0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
ClientIdentifier=mac
UseDNS=no
UseGateway=no
UseHostname=no
CONF
mkdir -p /etc/systemd/networkd.conf.d /etc/systemd/journald.conf.d /etc/systemd/system/docker.service.d
# what engines and checks put on the links is theirs
cat >/etc/systemd/networkd.conf.d/foreign.conf <<'CONF'
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
CONF
printf '[Journal]\nStorage=volatile\n' >/etc/systemd/journald.conf.d/volatile.conf
# names of the world are refused at once: nobody listens there, and no registry can be reached
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf
printf '127.0.0.1 localhost\n' >/etc/hosts
echo guest >/etc/hostname
printf 'net.ipv4.icmp_ratelimit=0\nkernel.panic=0\n' >/etc/sysctl.d/60-guest.conf

# --- the engine

mkdir -p /etc/docker /harness/shared
# 172.17.0.1 is every node itself: containers that ask for names of the world get an immediate no
echo '{"storage-driver": "overlay2", "dns": ["172.17.0.1"], "shutdown-timeout": 2}' >/etc/docker/daemon.json
cat >/etc/systemd/system/docker.service.d/order.conf <<'CONF'
[Unit]
# a Swarm that finds itself again needs the wire's address
Wants=systemd-networkd-wait-online@eth0.service harness-stores.service
After=systemd-networkd-wait-online@eth0.service harness-stores.service
[Service]
TimeoutStartSec=300
CONF
# what a store left to be started again with its node, before the engine: no container may find a directory where a
# mount should be
cat >/etc/systemd/system/harness-stores.service <<'CONF'
[Unit]
Description=Stores that this node had
ConditionPathExistsGlob=/var/lib/harness/stores/*/up
After=systemd-networkd-wait-online@eth0.service
[Service]
Type=oneshot
RemainAfterExit=yes
# what the hooks start goes on after them
KillMode=process
ExecStart=/bin/sh -c 'for hook in /var/lib/harness/stores/*/up; do timeout -k 2 120 sh "$hook" </dev/null || echo "$hook ended with $?"; done'
CONF

# --- less to start: an emulated guest takes its time for each (what is masked need not be there)

systemctl enable -q systemd-networkd.service systemd-network-generator.service docker.service ssh.service
systemctl mask -q apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer xfs_scrub_all.timer systemd-pstore.service getty@.service getty.target serial-getty@.service \
  sshd-keygen.service ipvsadm.service nfs-server.service nfs-blkmap.service nfs-ganesha.service nfs-ganesha-lock.service \
  fsidd.service rpc-statd-notify.service systemd-networkd-wait-online.service systemd-timesyncd.service \
  modprobe@configfs.service modprobe@drm.service modprobe@fuse.service modprobe@efi_pstore.service systemd-logind.service \
  ceph-crash.service glusterd.service \
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-remount-fs.service \
  systemd-udev-load-credentials.service systemd-hwdb-update.service ldconfig.service systemd-update-done.service systemd-journal-catalog-update.service \
  >/dev/null
: >/etc/machine-id
# the root is mounted when systemd starts: waiting for its device again takes an emulated guest half a minute
rm -f /var/lib/dbus/machine-id /etc/fstab
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt
