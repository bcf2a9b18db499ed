#!/bin/sh
# The guest kit's init: say that the guest is up, then sit in a shell.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
if [ -s /modules/order ]; then
	while read -r m; do /bin/busybox insmod "/modules/$m"; done </modules/order
fi
echo "xenlight guest: up"
while :; do /bin/busybox setsid /bin/busybox cttyhack /bin/sh; done
