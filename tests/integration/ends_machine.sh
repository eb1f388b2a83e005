#!/bin/bash
# Every way in which a script, root in its guest, can end or stop the machine: without a time limit
# each comes to an end, with one line and the guest's status, and what others survive stays a script.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
base=(-q --from "$work/base.tar" -t end:1 -o "$out/end.tar")

# ends WORDS SCRIPT: the run ends by the guest's fault. No `true` of the script's follows.
ends() {
  expect_fail 125 "guest: $1" "${base[@]}" --run "$2"$'\n''while :; do sleep 1; done'
}

echo "-- the kernel ends"
ends 'the guest was halted while the script ran' 'halt -f'
ends 'the guest was halted while the script ran' 'echo last words; halt -f -n'
ends 'the guest was switched off' 'poweroff -f'
ends 'the guest was switched off' 'reboot -f'
ends 'the guest was switched off' 'echo b > /proc/sysrq-trigger'
ends 'the guest was switched off' 'echo o > /proc/sysrq-trigger'
ends '.*Kernel panic - not syncing: sysrq triggered crash$' 'echo c > /proc/sysrq-trigger'
ends '.*Kernel panic - not syncing: sysrq triggered crash$' \
  'echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger'

echo "-- the kernel sleeps, init stands still"
ends 'the guest stood still while the script ran' 'echo mem > /sys/power/state'
ends 'the guest stood still while the script ran' 'mkdir /tmp/c; mount -t cgroup2 c /tmp/c
mkdir /tmp/c/f; echo 1 > /tmp/c/f/cgroup.procs; echo 1 > /tmp/c/f/cgroup.freeze'

echo "-- the guest's devices go"
ends "the guest's init gave up while the script ran: " \
  'for d in /sys/bus/virtio/drivers/virtio_console/virtio*; do
  echo "${d##*/}" > /sys/bus/virtio/drivers/virtio_console/unbind
done'
expect_fail 1 'script: .*status 1' --from "$work/base.tar" -t end:1 -o "$out/end.tar" --progress plain \
  --run 'for d in /sys/bus/virtio/drivers/virtio_blk/virtio*; do
  echo "${d##*/}" > /sys/bus/virtio/drivers/virtio_blk/unbind
done; echo x > /x'

echo "-- the script's own processes end"
expect_fail 143 'script: .*SIGTERM' "${base[@]}" --run 'echo e > /proc/sysrq-trigger; sleep 100'
expect_fail 137 'script: .*SIGKILL' "${base[@]}" --run 'echo i > /proc/sysrq-trigger; sleep 100'
build "${base[@]}" --run 'kill -9 1; kill -STOP 1; kill -TERM 1; kill -9 -1; echo on > /stays'
build "${base[@]}" --run 'for c in t m w s u; do echo $c > /proc/sysrq-trigger; done'
build "${base[@]}" --run 'echo "reboot: System halted" > /dev/console; sleep 3'

echo "-- a frozen file system thaws"
build "${base[@]}" --run 'fsfreeze --freeze /; (echo late > /late) & sleep 1'

echo "-- another kernel cannot be started"
build "${base[@]}" --run 'test "$(cat /proc/sys/kernel/kexec_load_disabled)" = 1
! echo 0 > /proc/sys/kernel/kexec_load_disabled'
rm "$out/end.tar"
