//go:build linux

package xenbox

import (
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed files/initramfs.sh
var initramfsScript []byte

//go:embed files/init.sh
var initScript []byte

//go:embed files/guest-init.sh
var guestInitScript []byte

// guestApplets are the commands of the guest kit's shell.
var guestApplets = strings.Fields("arp arping blockdev cat cmp cut dd df dmesg echo find free grep head " +
	"hexdump hostname ifconfig insmod ip kill ls lsmod md5sum mkdir modprobe mount nc nproc od ping printf ps rm " +
	"rmmod sed seq sha256sum sleep sort sync tail test touch tr true umount uname uptime usleep wc")

// dom0Applets are commands that busybox lends dom0 where no package brings
// them; they come last in PATH.
var dom0Applets = strings.Fields("awk bc bzip2 cpio fdisk file free ftpget gunzip gzip hexdump ifconfig killall less " +
	"losetup lsof microcom more nc netstat nslookup ping pstree reset route strings telnet time top traceroute " +
	"tree unxz unzip usleep vi watch wget which xxd xz xzcat zcat")

// configFiles are the files of dom0 that a plain unpacking of packages lacks.
var configFiles = map[string]string{
	"etc/passwd":        "root::0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"etc/group":         "root:x:0:\ntty:x:5:\ndisk:x:6:\nlp:x:7:\ndialout:x:20:\ncdrom:x:24:\naudio:x:29:\nutmp:x:43:\nvideo:x:44:\nkvm:x:104:\nrender:x:105:\ninput:x:106:\nsgx:x:107:\nnogroup:x:65534:\n",
	"etc/hostname":      "xenbox\n",
	"etc/hosts":         "127.0.0.1 localhost xenbox\n::1 localhost\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	"etc/fstab":         "",
	"etc/mtab":          "", // replaced by a link below
	"root/.bashrc":      "PS1='dom0# '\nalias ls='ls --color=auto'\n",
	"root/.profile":     ". ~/.bashrc\n",
}

// udevRules are the only rules that are kept: dom0 has no real hardware.
var udevRules = []string{"50-udev-default.rules", "60-block.rules", "60-persistent-storage.rules", "80-drivers.rules", "xen"}

// writeConfig completes dom0's root.
func writeConfig(root string) error {
	for name, text := range configFiles {
		p := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	init := strings.ReplaceAll(string(initScript), "@MODULES@", strings.Join(initModules, " "))
	if err := writeExecutable(filepath.Join(root, "usr/lib/xenbox/init"), init); err != nil {
		return err
	}
	for _, d := range []string{"dev", "proc", "sys", "run", "tmp", "mnt", "root", "var/lib/xen", "var/log/xen", "var/lib/xenstored"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	links := map[string]string{"etc/mtab": "/proc/self/mounts", "var/run": "/run", "var/lock": "/run/lock", "usr/bin/sh": "dash"}
	for _, a := range dom0Applets {
		links["usr/lib/xenbox/bin/"+a] = "/usr/bin/busybox"
	}
	for name, to := range links {
		if err := forceLink(to, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return pruneUdevRules(filepath.Join(root, "usr/lib/udev/rules.d"))
}

func writeExecutable(p, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o755))
}

func forceLink(to, at string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(to, at)
}

func pruneUdevRules(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		keep := false
		for _, r := range udevRules {
			keep = keep || strings.HasPrefix(e.Name(), r) || strings.Contains(e.Name(), "xen")
		}
		if !keep {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
