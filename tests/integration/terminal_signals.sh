#!/bin/bash
# Shells in one terminal that are ended by signals at random times: after each the terminal is as it
# was before the first, and nothing is left. LAYERVM_TEST_SEED chooses the signals and the times,
# LAYERVM_TEST_RUNS how many runs there are.
. "${0%/*}/lib.sh"
. "${0%/*}/tmux.sh"

base_busybox "$work/base.tar"
seed=${LAYERVM_TEST_SEED:-$RANDOM}
runs=${LAYERVM_TEST_RUNS:-12}
RANDOM=$seed
echo "   LAYERVM_TEST_SEED=$seed"

# A script, since an interactive shell would put the terminal right by itself.
mkfifo "$work/go"
{
  printf 'while read -r name < %q; do\n' "$work/go"
  printf 'TMPDIR=%q %q debug --accel %q %q\n' "$lv_tmp" "$LAYERVM_BINARY" "$LAYERVM_TEST_ACCEL" "$work/base.tar"
  printf 'echo $? > %q/$name.status\n' "$work"
  printf 'done\n'
} > "$work/loop.sh"
open_terminal sh "$work/loop.sh"
modes > "$work/before"

# How long it takes until there is a shell, in milliseconds: signals fall into all of it, and after.
start=$(date +%s%3N)
echo first > "$work/go"
sees '/ #'
whole=$(($(date +%s%3N) - start))
modes_are "$work/before" && fail "the terminal is not raw in a shell"
types exit
until_true test -s "$work/first.status"

nothing_left() {
  local child
  for child in $children; do
    [ ! -e "/proc/$child" ] || return 1
  done
  [ -z "$(ls -A "$lv_tmp")" ]
}

declare -A statuses=([INT]=130 [TERM]=143 [HUP]=129 [KILL]=137)
names=(INT TERM HUP KILL)
for ((run = 1; run <= runs; run++)); do
  signal=${names[RANDOM % 4]}
  after=$((RANDOM % (whole + whole / 2)))
  what="run $run (seed $seed): SIG$signal after $after ms of $whole"
  echo "$run" > "$work/go"
  until_true layervm_pid
  pid=$(layervm_pid)
  sleep "$((after / 1000)).$(printf '%03d' $((after % 1000)))"
  children=$(pgrep -P "$pid" || true)
  kill "-$signal" "$pid"
  until_true test -s "$work/$run.status"
  [ "$(cat "$work/$run.status")" = "${statuses[$signal]}" ] || fail "$what: status $(cat "$work/$run.status")"
  # The guard of a killed layervm puts the terminal right after its end.
  until_true modes_are "$work/before"
  until_true nothing_left
done
echo "   $runs runs, signals up to $((whole + whole / 2)) ms after the start"
