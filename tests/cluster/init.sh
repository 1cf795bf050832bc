#!/bin/bash
# Pid 1 of one host: makes its view of the machine, starts sshd, and lives until its stdin closes.
#
# usage: init.sh NAME, in the host's folder (layout.py writes it), inside new namespaces of every kind but user.
# stdout: its pid as the machine sees it, then `ready`. stdin: its address, once it has an eth0; then never anything.
set -eu
n=0

copy_on_write() { # LOWER AT: changes go to this host's memory; the directory itself is open to every user
  n=$((n + 1))
  mkdir -p "work/up/$n" "work/in/$n"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=work/up/$n,workdir=work/in/$n" "$2"
}

read -r pid _ </proc/self/stat # still the machine's /proc
echo "$pid"

umask 022
hostname "$1"
mount -t proc proc /proc
mount --bind boot_id /proc/sys/kernel/random/boot_id
mount -t tmpfs -o mode=755 tmpfs work
mkdir -p work/cgroup
mount --rbind /sys/fs/cgroup work/cgroup
mount -t sysfs sysfs /sys # lists this host's network devices only
mount --rbind work/cgroup /sys/fs/cgroup
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts /dev/pts
copy_on_write etc:/etc /etc
copy_on_write /usr/local /usr/local

# Everything is put together below work/covers, and laid over the machine's own directories last: until then all
# sources can be reached. `-c` because this folder itself is covered when it lies below one of them.
while IFS=$'\t' read -r mode path; do
  mkdir -p "work/covers$path"
  mount -t tmpfs -o "mode=$mode" tmpfs "work/covers$path"
done <covers
while IFS=$'\t' read -r kind source at; do
  mkdir -p "$at"
  case $kind in
    bind) mount --rbind "$source" "$at" ;;
    read) mount --rbind "$source" "$at" && mount -o remount,bind,ro "$at" ;;
    copy) copy_on_write "$source" "$at" ;;
  esac
done <shown
while IFS=$'\t' read -r mode path; do
  mount -c --rbind "work/covers$path" "$path"
done <covers

# What is not this host's own can only be read: a test that removes /tmp/*, or all there is, harms no machine.
own=$'/etc\n/usr/local\n/var/log\n'$(cut -f 2 covers)
while read -r _ _ _ _ at _; do
  at=$(printf %b "$at")
  case $at in /proc* | /sys* | /dev*) continue ;; esac
  while IFS= read -r mine; do
    case $at/ in "$mine"/*) continue 2 ;; esac
  done <<<"$own"
  mount -o remount,bind,ro "$at"
done </proc/self/mountinfo

mkdir -p /run/sshd /run/lock
head -c 8 /dev/zero >/run/clock
read -r address || exit 0
ip -batch - <<END
link set lo up
addr add $address/16 dev eth0
link set eth0 up
END
cd /
"$(command -v sshd)" -E /var/log/sshd.log
echo ready
exec >/dev/null
while read -r _; do :; done
