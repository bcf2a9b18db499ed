#!/bin/sh
# Dom0's init: mount what a host has, start Xen's toolstack, run the agent,
# power off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/xenbox/bin
export HOME=/root TERM=linux LANG=C
stage() { echo "xenbox-stage: $1"; }
stage userspace
umask 022
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/xen /run/xenstored /run/udev /run/xenbox /var/lib/xen /var/lib/xen/dump /var/lib/xenstored /var/log/xen
ln -sfn /proc/self/fd /dev/fd
ln -sfn fd/0 /dev/stdin
ln -sfn fd/1 /dev/stdout
ln -sfn fd/2 /dev/stderr
echo xenbox >/proc/sys/kernel/hostname
ip link set lo up
modprobe -qa @MODULES@
[ -e /proc/xen/capabilities ] || mount -t xenfs xenfs /proc/xen
/lib/systemd/systemd-udevd --daemon 2>/dev/null
# The bridge that libxl's network cards are put on by default.
ip link add xenbr0 type bridge
ip address add 192.0.2.1/24 dev xenbr0
ip link set xenbr0 up
payload=
for d in /sys/block/vd*; do
	serial=
	read -r serial 2>/dev/null <"$d/serial"
	case $serial in
	payload) payload=/dev/${d##*/} ;;
	beside) # another suite's root: its Xen comes beside ours
		mount -o ro "/dev/${d##*/}" /mnt
		cp -an /mnt/usr/lib/xen-* /usr/lib/
		for lib in /usr/lib/*-linux-gnu; do cp -an "/mnt$lib"/libxen* "/mnt$lib"/libxlutil* "$lib/"; done
		umount /mnt
		;;
	esac
done
stage toolstack
read -r major </sys/hypervisor/version/major
read -r minor </sys/hypervisor/version/minor
xen=/usr/lib/xen-$major.$minor/bin
$xen/oxenstored --pid-file /run/xenstore.pid
$xen/xen-init-dom0
$xen/xenconsoled --pid-file=/run/xenconsoled.pid
stage payload
busybox tar -xf "$payload" -C /
stage agent
/run/xenbox/agent dom0-agent </dev/null
stage end
sync
echo o >/proc/sysrq-trigger
sleep 60
