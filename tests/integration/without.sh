#!/bin/bash
# The stories on machines that lack things: what they can do there still passes, and what they skip is
# told to scripts/test, which fails where the machine has it.
. "${0%/*}/lib.sh"

lists=$work/lists
mkdir "$lists"

# on_machine_without NAMES STATUS STORY: the story ends with the status there, and says that it skipped.
on_machine_without() {
  local lacking_here=$1 expected=$2 story=$3 list status=0 name
  list=$lists/$3-$1
  echo "-- $story without $lacking_here"
  LAYERVM_TEST_WITHOUT=$lacking_here LAYERVM_TEST_SKIPS=$list bash "$here/$story.sh" \
    > "$work/story" 2>&1 || status=$?
  [ "$status" = "$expected" ] || { cat "$work/story" >&2; fail "status $status, expected $expected"; }
  for name in ${lacking_here//,/ }; do
    cut -f2 "$list" | tr , '\n' | grep -qx "$name" || fail "$name is not said to lack: $(cat "$list")"
  done
}

on_machine_without root,zstd,busybox,docker,podman 0 export
on_machine_without bsdtar,podman 0 export
on_machine_without zsh,fish 0 completions
on_machine_without skopeo 0 inspect
on_machine_without fixtures 0 inspect
on_machine_without umoci 0 self
on_machine_without umoci 0 export_random
on_machine_without skopeo,root,podman,docker 0 consumers
on_machine_without skopeo,docker 0 debug_commit
on_machine_without skopeo 0 build_hello
on_machine_without root 0 reproducible
on_machine_without busybox 77 ends
on_machine_without fixtures 77 fixtures
on_machine_without fixtures 77 export_fixtures
on_machine_without tmux 77 terminal_signals
on_machine_without guestfish 77 guestfs
on_machine_without qemu-img 77 export_disks
on_machine_without passt 77 network
on_machine_without packages 77 build_everything

echo "-- mounting: by a user, by root, by neither"
if ! is_missing root && mount_namespace; then
  LAYERVM_TEST_WITHOUT=unshare-rm mount_namespace || fail "root cannot mount"
  [ "${unshare[*]}" = "unshare -m" ] || fail "root mounts by ${unshare[*]}"
fi
! LAYERVM_TEST_WITHOUT=mounts mount_namespace || fail "it mounts"

echo "-- what is skipped for no reason is a failure"
printf 'story: part\tbusybox,root\twords\n' > "$work/list"
[ "$("$here/../skips.py" --has busybox)" = yes ]
LAYERVM_TEST_WITHOUT='' "$here/../skips.py" "$work/list" > "$work/said" && is_root &&
  fail "it is none: $(cat "$work/said")"
printf 'story: part\tbusybox\twords\n' > "$work/list"
! "$here/../skips.py" "$work/list" > "$work/said" || fail "it is none: $(cat "$work/said")"
grep -qx '    FAILED: this machine has busybox' "$work/said" || fail "$(cat "$work/said")"
printf 'story: part\tbusibox\twords\n' > "$work/list"
! "$here/../skips.py" "$work/list" > "$work/said" || fail "a name that is none: $(cat "$work/said")"
printf 'story: part\tno-such-thing,busybox\twords\n' > "$work/list"
! "$here/../skips.py" "$work/list" > "$work/said" || fail "a name that is none: $(cat "$work/said")"
: > "$work/list"
"$here/../skips.py" "$work/list" > "$work/said"
grep -qx 'Nothing was skipped.' "$work/said" || fail "$(cat "$work/said")"
