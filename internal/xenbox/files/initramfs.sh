#!/bin/busybox sh
# Dom0's first userspace: find the root, hand over. A few commands only, each
# costs an emulated CPU tens of milliseconds.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
while read -r m; do $bb insmod "/modules/$m"; done </modules/order
i=0
disk=
while [ -z "$disk" ]; do
	for d in /sys/block/vd*; do
		serial=
		read -r serial 2>/dev/null <"$d/serial"
		[ "$serial" = root ] && disk=/dev/${d##*/}
	done
	[ -n "$disk" ] && break
	i=$((i + 1))
	if [ $i -gt 200 ]; then
		echo "xenbox: no root disk"
		echo o >/proc/sysrq-trigger
		$bb sleep 60
	fi
	$bb usleep 50000
done
$bb mount -t ext4 -o noatime $disk /root || echo "xenbox: can't mount the root"
$bb mount -o move /proc /root/proc
$bb mount -o move /sys /root/sys
$bb mount -o move /dev /root/dev
exec $bb switch_root /root /usr/lib/xenbox/init
