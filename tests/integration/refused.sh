#!/bin/bash
# What cannot work is refused with its reason, once and before any work: KVM that is asked for and
# cannot be used, and a cache folder that cannot be made.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
step=(--from "$work/base.tar" -t refused:1 --run true -o "$out/image.tar")

# refused STATUS WORDS ARGUMENT...: its standard error is one line, and it begins with the words.
refused() {
  local status=0
  TMPDIR=$lv_tmp "${run[@]}" "${@:3}" > "$work/stdout" 2> "$work/stderr" || status=$?
  [ "$status" = "$1" ] || wrong "status $status, expected $1" "${@:3}"
  grep -qE "^layervm: ($2)" "$work/stderr" || wrong "no such line: $2" "${@:3}"
  [ "$(wc -l < "$work/stderr")" = 1 ] || wrong "more than one line" "${@:3}"
  [ -z "$(ls -A "$out")" ] || fail "left $(ls -A "$out")"
}

part "--accel kvm without KVM"
run=("$here/tools/machine.py" --kvm absent -- "$LAYERVM_BINARY")
if "${run[@]}" --version > "$work/version" 2>&1; then
  kvm='qemu: KVM was asked for, but .*--accel tcg'
  refused 125 "$kvm" build --accel kvm "${step[@]}"
  refused 125 "$kvm" build --accel kvm "${step[@]}" --mount type=cache,id=a,dst=/c
  refused 125 "$kvm" debug --accel kvm "$work/base.tar" --command true
  refused 125 "$kvm" export --vm --accel kvm "$work/base.tar" -o "$out/x.tar"
  refused 125 "$kvm" cache warm --accel kvm
  [ ! -e "$LAYERVM_CACHE_DIR" ] || [ -z "$(find "$LAYERVM_CACHE_DIR" -type f -size +0)" ] ||
    fail "the cache has something"
else
  skip_part seccomp-notify "$(head -n 1 "$work/version")"
fi

part "a cache folder that cannot be made"
run=("$LAYERVM_BINARY")
echo no > "$work/file"
export LAYERVM_CACHE_DIR=$work/file/cache
folder='output: cache folder .*/file/cache.* cannot be made: Not a directory'
refused 125 "$folder" cache ls
refused 125 "$folder" cache warm
refused 125 "$folder" build --accel "$LAYERVM_TEST_ACCEL" "${step[@]}" --mount type=cache,id=a,dst=/c
for command in "build ${step[*]}" "debug $work/base.tar --command true"; do
  # shellcheck disable=SC2086 # words
  lv $command --accel "$LAYERVM_TEST_ACCEL" 2> "$work/stderr" < /dev/null || wrong "failed" "$command"
  [ "$(grep -c 'cache folder' "$work/stderr")" = 1 ] || wrong "not said once" "$command"
  grep -q '^nothing is cached: cache folder ' "$work/stderr" || wrong "other words" "$command"
  rm -f "$out/image.tar"
done
