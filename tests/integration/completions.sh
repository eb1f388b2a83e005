#!/bin/bash
# What --help, the man pages and the shells' completions say of the flags is the same, command by
# command and flag by flag; and the shells take the files.
. "${0%/*}/lib.sh"

completions=$LAYERVM_BUILD/host/completions
"$LAYERVM_BINARY" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' > "$work/commands"
[ "$(wc -l < "$work/commands")" -ge 5 ] || fail "no commands in --help"

# Each of these lists the flags of a command as "--name" and "-x", a line each.
of_help() {
  "$LAYERVM_BINARY" "$1" --help | grep -E '^ {2,6}-' | grep -oE '^ +(-[a-z], )?--[a-z-]+' |
    grep -oE -- '-{1,2}[a-z-]+'
}
of_manual() {
  # What a line that begins with ":" explains.
  awk '/^: / && last ~ /^\*\*-/ {print last} {last = $0}' "$root/host/commands/layervm-$1.1.md" | grep -oE '\*\*-{1,2}[a-z-]+\*\*' | tr -d '*'
}
# As bash itself completes "layervm COMMAND -".
of_bash() {
  "$BASH" --norc -c '
    . "$1"
    COMP_WORDS=(layervm "$2" -) COMP_CWORD=2
    _layervm
    printf "%s\n" "${COMPREPLY[@]}"' bash "$completions/layervm" "$1"
}
of_zsh() {
  sed -n "/^\t\t$1)\$/,/;;\$/p" "$completions/_layervm" | sed -n "s/^\t*'\*'\([^[]*\)\[.*/\1/p" | grep -oE -- '-{1,2}[a-z][a-z-]*'
}
of_fish() {
  grep "^complete -c layervm -n '__fish_seen_subcommand_from $1' " "$completions/layervm.fish" |
    sed -nE "s/^[^']*'[^']*' -l ([a-z-]+)( -s ([a-z]))?.*/--\1 -\3/p" | tr ' ' '\n' | grep -vx -- -
}

while read -r command; do
  part "$command"
  of_help "$command" | sort > "$work/help"
  [ "$(wc -l < "$work/help")" -ge 4 ] || fail "no flags in --help of $command"
  for source in manual bash zsh fish; do
    "of_$source" "$command" | sort > "$work/$source"
    same "$work/help" "$work/$source"
  done
done < "$work/commands"

part "bash: commands, words, files"
# completed WORD...: what bash makes of the last word.
completed() {
  (cd "$work/folder" && "$BASH" --norc -c '
    . "$1"
    shift
    COMP_WORDS=(layervm "$@") COMP_CWORD=$#
    _layervm
    printf "%s\n" "${COMPREPLY[@]}"' bash "$completions/layervm" "$@" | sort | paste -sd' ')
}
is() {
  [ "$1" = "$2" ] || fail "bash completes to \"$1\", expected \"$2\""
}
mkdir -p "$work/folder/a folder"
touch "$work/folder/a file.tar"
is "$(completed '')" "$( (cat "$work/commands"; echo --help; echo --version; echo -h) | sort | paste -sd' ')"
is "$(completed de)" debug
is "$(completed build --compression '')" 'gzip none zstd'
is "$(completed build --compression z)" zstd
is "$(completed build --compression = z)" zstd
is "$(completed build --compression =)" 'gzip none zstd'
is "$(completed build -o 'a f')" 'a file.tar a folder'
is "$(completed build --keep '')" 'a folder'
is "$(completed export 'a fi')" 'a file.tar'
is "$(completed export --mtime '')" keep
is "$(completed debug --cpus '')" host
is "$(completed debug --env '')" ''
is "$(completed debug --debug)" ''
is "$(completed build --debug)" '--debug-on-failure'
is "$(completed cache '')" 'du ls prune verify warm'
is "$(completed cache v)" verify
is "$(completed cache prune '')" ''
is "$(completed cache prune --max)" '--max-size'

part "bash takes the file where names are checked to the last"
"$BASH" --norc -euo pipefail -c '. "$1"; complete -p layervm' bash "$completions/layervm" > "$work/complete"
grep -q -- '-F _layervm layervm' "$work/complete" || fail "nothing is registered"

part "zsh"
if ! is_missing zsh; then
  zsh -n "$completions/_layervm"
  # In a terminal of its own, as _arguments works in no other place.
  zsh_completes() { # LINE EXPECTED
    zsh -f "$here/tools/complete.zsh" "$completions" "$1" "$2" > "$work/zsh-completed" ||
      fail "zsh completes \"$1\" to: $(cat "$work/zsh-completed")"
  }
  zsh_completes 'layervm debug --comp' 'layervm debug --compression'
  zsh_completes 'layervm build --compression z' 'layervm build --compression zstd'
  zsh_completes 'layervm insp' 'layervm inspect'
  zsh_completes 'layervm cache pr' 'layervm cache prune'
else
  skip_part "$lacking"
fi

part "fish"
if ! is_missing fish; then
  export HOME=$work
  fish_completed() {
    fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$completions/layervm.fish" "$1" |
      cut -f1 | sort | paste -sd' '
  }
  [ "$(fish_completed 'layervm build --compression ')" = 'gzip none zstd' ] ||
    fail "fish completes: $(fish_completed 'layervm build --compression ')"
  [ "$(fish_completed 'layervm ')" = "$(sort "$work/commands" | paste -sd' ')" ] ||
    fail "fish completes: $(fish_completed 'layervm ')"
  [ "$(fish_completed 'layervm cache ')" = 'du ls prune verify warm' ] ||
    fail "fish completes: $(fish_completed 'layervm cache ')"
  [ "$(fish_completed 'layervm debug --commi')" = '--commit' ] ||
    fail "fish completes: $(fish_completed 'layervm debug --commi')"
else
  skip_part "$lacking"
fi
finish_parts
