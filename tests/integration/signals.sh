#!/bin/bash
# Signals come in pairs and threes: timeout(1) and CI signal a command and its group, a terminal all
# of a pipeline. A cache mount is not lost by that, and one that is lost is told in the run that loses
# it. LAYERVM_TEST_SEED chooses signals and times, LAYERVM_TEST_RUNS how many random runs there are.
. "${0%/*}/lib.sh"

if is_missing debugfs; then
  skip "$lacking"
fi
base_busybox "$work/base.tar"
seed=${LAYERVM_TEST_SEED:-$RANDOM}
runs=${LAYERVM_TEST_RUNS:-6}
RANDOM=$seed
echo "   LAYERVM_TEST_SEED=$seed"
mount=(--mount 'type=cache,id=c,dst=/c')
lost='^layervm: warning: cache c: is lost'

# signalled ARGUMENT...: run.py with the flags up to a `--`, and layervm with the rest. Sets $status.
signalled() {
  status=0
  TMPDIR=$lv_tmp "$here/tools/run.py" --limit 120 "$@" \
    > "$work/stdout" 2> "$work/stderr" < /dev/null || status=$?
}

# Sets $disk, the file of the one cache mount, and whether it is $clean.
look() {
  local header
  disk=$(find "$LAYERVM_CACHE_DIR/mount" -type f -size +1G)
  header=$(dumpe2fs -h "$disk" 2> "$work/dumpe2fs.log")
  clean=0
  ! grep -q '^Filesystem state: *clean$' <<< "$header" || clean=1
}

# What was on the cache mount when the script had last synced it, by its words, is there; or it is
# lost, and the run said so.
check_cache() {
  local synced found
  look
  if [ "$clean" = 0 ]; then
    grep -q "$lost" "$work/stderr" || fail "$1: lost without a word"
    return
  fi
  ! grep -q "$lost" "$work/stderr" || fail "$1: told as lost, and is not"
  synced=$(sed -n 's/^synced //p' "$work/stderr" | tail -n 1)
  found=$(debugfs -R 'cat /log' "$disk" 2> "$work/debugfs.log" | tail -n 1)
  [ "${found:-0}" -ge "${synced:-0}" ] || fail "$1: has ${found:-0}, ${synced:-0} was synced"
}

nothing_left() {
  [ -z "$(ls -A "$lv_tmp")" ] || fail "$1: left in TMPDIR: $(ls -A "$lv_tmp")"
  [ -z "$(ls -A "$out")" ] || fail "$1: left $(ls -A "$out")"
}

script='echo 0 > /c/log; i=0; while [ $i -lt 30 ]; do
i=$((i + 1)); echo $i >> /c/log; sync; echo "synced $i" >&2; sleep 0.02; done'
build=(build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t x:1 "${mount[@]}"
  -o "$out/image.tar" --run)
# shellcheck disable=SC2034 # read through a name reference
debug=(debug --accel "$LAYERVM_TEST_ACCEL" "$work/base.tar" "${mount[@]}" --command)

part "the cache mount is there after a run that nothing disturbed"
forget_steps
signalled -- "$LAYERVM_BINARY" "${build[@]}" "$script"
[ "$status" = 0 ] || fail "status $status: $(cat "$work/stderr")"
forget_steps
start=$(date +%s%3N)
signalled -- "$LAYERVM_BINARY" "${build[@]}" "$script"
whole=$(($(date +%s%3N) - start))
rm "$out/image.tar"
look
[ "$clean" = 1 ] || fail "not clean"
check_cache "undisturbed"

part "signals that come together end the run once: nothing is lost"
for pair in TERM+TERM=143 INT+TERM=130 HUP+HUP=129 TERM+TERM+TERM=143; do
  signals=${pair%=*}
  actions=()
  for signal in ${signals//+/ }; do
    actions+=(--on "synced 1=$signal")
  done
  for command in build debug; do
    forget_steps
    declare -n words=$command
    signalled "${actions[@]}" -- "$LAYERVM_BINARY" "${words[@]}" "$script; sleep 1000"
    what="$command, $signals"
    # Of two that are there at once the kernel gives the lower one first.
    case $status in
      129 | 130 | 143) ;;
      *) fail "$what: status $status: $(cat "$work/stderr")" ;;
    esac
    [ "${signals%%+*}" != "${signals##*+}" ] || [ "$status" = "${pair#*=}" ] ||
      fail "$what: status $status"
    ! grep -q "$lost" "$work/stderr" || fail "$what: lost"
    check_cache "$what"
    nothing_left "$what"
  done
done

part "a script that takes no signal is killed, and the cache mount kept"
forget_steps
signalled --on "synced 30=TERM" -- "$LAYERVM_BINARY" "${build[@]}" \
  "trap '' TERM; $script; while :; do sleep 1; done"
[ "$status" = 143 ] || fail "status $status: $(cat "$work/stderr")"
! grep -q "$lost" "$work/stderr" || fail "lost"
check_cache "a script that takes no signal"

part "a second signal after a pause ends the guest at once: what is lost is told"
forget_steps
signalled --on "synced 30=TERM,TERM" -- "$LAYERVM_BINARY" "${build[@]}" \
  "trap '' TERM; $script; while :; do sleep 1; done"
[ "$status" = 143 ] || fail "status $status: $(cat "$work/stderr")"
grep -q "$lost" "$work/stderr" || fail "no warning: $(cat "$work/stderr")"
check_cache "two signals with a pause"
nothing_left "two signals with a pause"

part "signals at random: kept, or told ($runs runs)"
names=(INT TERM HUP)
declare -A ends
for ((run = 1; run <= runs; run++)); do
  at=$((RANDOM % (whole + whole / 4)))
  actions=()
  sent=
  for ((i = RANDOM % 2 + 2; i > 0; i--)); do
    signal=${names[RANDOM % 3]}
    actions+=(--after "$at=$signal")
    sent+=" $signal@$at"
    at=$((at + RANDOM % (RANDOM % 2 ? 20 : 1500)))
  done
  command=$( ((RANDOM % 2)) && echo build || echo debug)
  declare -n words=$command
  forget_steps
  signalled "${actions[@]}" -- "$LAYERVM_BINARY" "${words[@]}" "$script"
  what="run $run (seed $seed): $command,$sent of $whole ms, status $status"
  case $status in
    0) [ "$command" = debug ] || [ -s "$out/image.tar" ] || fail "$what: no output" ;;
    130) [[ $sent = *INT* ]] || fail "$what" ;;
    143) [[ $sent = *TERM* ]] || fail "$what" ;;
    129) [[ $sent = *HUP* ]] || fail "$what" ;;
    *) sed 's/^/   | /' "$work/stderr" >&2; fail "$what" ;;
  esac
  [ "$status" != 0 ] || rm -f "$out/image.tar"
  check_cache "$what"
  nothing_left "$what"
  ends[$status-$clean]=$((${ends[$status-$clean]:-0} + 1))
done
for end in "${!ends[@]}"; do
  echo "   status ${end%-*}, $( ((${end#*-})) && echo kept || echo lost): ${ends[$end]} times"
done
