#!/bin/bash
# Where KVM is usable the same build on it gives the same bytes as without, and `auto` takes it.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
step=(--from "$work/base.tar" -t kvm:1 --run 'mkdir /made; echo hi > /made/x; rm /bin/yes')
LAYERVM_TEST_ACCEL=kvm
if [ ! -w /dev/kvm ]; then
  expect_fail 125 'qemu: .*kvm' -q "${step[@]}" -o "$out/kvm.tar"
  skip "no usable /dev/kvm; asking for it is refused in one line"
fi
if ! lv build --accel kvm "${step[@]}" -o "$out/kvm.tar" 2> "$work/kvm.log"; then
  grep -qiE '^layervm: qemu: .*kvm' "$work/kvm.log" || { cat "$work/kvm.log" >&2; fail "with KVM"; }
  skip "/dev/kvm is there and makes no virtual machines"
fi
LAYERVM_TEST_ACCEL=tcg
build "${step[@]}" -o "$out/tcg.tar"
cmp "$out/kvm.tar" "$out/tcg.tar"
LAYERVM_TEST_ACCEL=auto
build "${step[@]}" -o "$out/auto.tar" --metadata-file "$work/metadata.json"
cmp "$out/kvm.tar" "$out/auto.tar"
[ "$(jq -r .guest.accel "$work/metadata.json")" = kvm ] || fail "auto did not take KVM"
