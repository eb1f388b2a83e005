#!/bin/bash
# `layervm debug` on a real terminal: a shell with job control, sizes, full-screen programs; and
# every way out leaves the terminal as it was.
. "${0%/*}/lib.sh"
. "${0%/*}/tmux.sh"

! is_missing busybox || skip "$lacking" "no busybox: install busybox-static"
busybox_rootfs "$work/rootfs"
for applet in vi top less stty tty seq clear; do
  ln -s busybox "$work/rootfs/bin/$applet"
done
cat > "$work/rootfs/bin/waits" <<'WAITS'
#!/bin/sh
trap 'echo went on' CONT
echo started
while :; do sleep 1; done
WAITS
chmod +x "$work/rootfs/bin/waits"
seq -f 'line %g' 300 > "$work/rootfs/etc/lines"
tar_folder "$work/rootfs" "$work/base.tar"

# A command line of debug's.
session() { # ARGUMENT...
  printf 'TMPDIR=%q %q debug --accel %q %q' "$lv_tmp" "$LAYERVM_BINARY" "$LAYERVM_TEST_ACCEL" "$work/base.tar"
  [ $# = 0 ] || printf ' %q' "$@"
}

# ends NAME STATUS: the session is over, with that status, and the terminal as before it.
ends() {
  until_true test -s "$work/$1.status"
  [ "$(cat "$work/$1.status")" = "$2" ] || {
    screen >&2
    fail "$1: status $(cat "$work/$1.status"), expected $2"
  }
  until_true modes_are "$work/$1.before"
}

# An interactive shell would put the terminal right by itself: a script does not.
in_script() { # NAME
  rm -f "$work/go"
  {
    echo "until [ -e $work/go ]; do sleep 0.1; done"
    session
    printf '; echo $? > %q; exec sleep 1000\n' "$work/$1.status"
  } > "$work/$1.sh"
  open_terminal sh "$work/$1.sh"
  modes > "$work/$1.before"
  touch "$work/go"
  sees '/ #'
}

part "a shell: its prompt, TERM, colours, its terminal"
# One that leaves the terminal's modes to the programs, where there is such a one.
if ! is_missing dash; then
  open_terminal dash -i
else
  not_here "$lacking" "a shell that leaves the terminal's modes to the programs; bash does not"
  open_terminal bash --norc --noprofile --noediting -i
fi
types "PS1='host> '"
sees '^host> *$'
modes > "$work/main.before"
types 'clear'
types "$(session --changes)"
sees 'exit. ends the shell'
sees '/ #'
modes_are "$work/main.before" && fail "the terminal is not raw"
types 'echo "is:$TERM:$(tty):$(id -u):$HISTFILE:"'
sees "^is:$(tm show-options -gv default-terminal):/dev/pts/0:0::\$"
types "printf '\\033[31mred\\033[0m\\n'"
sees '^red'
tm capture-pane -p -e | grep -q $'\033\\[31mred' || fail "no colour"

part "the size, and a new one"
types 'echo "size=$(stty size)"'
sees '^size=30 100'
tm resize-window -x 70 -y 20
types 'until [ "$(stty size)" = "20 70" ]; do sleep 0.1; done; echo "size is $(stty size)"'
sees '^size is 20 70'
tm resize-window -x 100 -y 30
types 'until [ "$(stty size)" = "30 100" ]; do sleep 0.1; done; echo "size is $(stty size)"'
sees '^size is 30 100'

part "vi edits a file"
types 'vi /tmp/note'
sees '^~'
keys -l 'ihello from vi'
sees '^hello from vi'
keys Escape
sees '^- /tmp/note'
keys -l ':wq'
keys Enter
until_true lacks '^~'
types 'echo "note=$(cat /tmp/note)"'
sees '^note=hello from vi'

part "top shows, less pages"
types 'clear; top'
sees '^Mem:'
sees 'COMMAND'
keys q
types 'clear; less /etc/lines'
sees '^line 1$'
keys Space
sees '^line 50$'
keys q
types 'clear; echo aw''ay'
sees '^away'

part "Ctrl-C ends what runs, Ctrl-Z stops it, fg goes on"
types waits
# Not before it has the terminal: until then the shell takes the keys.
sees '^started'
keys C-c
types 'echo "status $?"'
sees '^status 130'
types 'clear; waits'
sees '^started'
keys C-z
sees 'Stopped'
types 'fg'
sees '^went on'
keys C-c
types 'echo "now $?"'
sees '^now 130'

part "layervm itself is stopped, and goes on"
pid=$(layervm_pid)
kill -TSTP "$pid"
sees '^host> *$'
modes_are "$work/main.before" || {
  modes | diff "$work/main.before" - >&2 || true
  fail "a stopped layervm keeps the terminal raw"
}
tm resize-window -x 90 -y 25
types "clear; fg; echo \$? > $work/main.status"
sees 'layervm|debug'
types 'echo "back $(stty size)"'
sees '^back 25 90'

part "exit, its status, the list of changes"
types 'exit 7'
ends main 7
sees '^A /tmp/note'
sees '^2 changes thrown away'

part "Ctrl-] thrice"
in_script escape
keys C-] C-] C-]
ends escape 130
sees 'interrupted: left by the escape'

part "~. on a new line, out of a full screen"
in_script tilde
types 'vi /etc/lines'
sees '^line 1$'
types ''
keys -l '~.'
ends tilde 130
[ "$(tm display-message -p '#{alternate_on}#{cursor_flag}')" = 01 ] || fail "the screen is left as vi had it"

part "SIGTERM"
in_script term
kill -TERM "$(layervm_pid)"
ends term 143
sees 'interrupted: '

part "SIGKILL: the guard puts the terminal right"
in_script kill
pid=$(layervm_pid)
modes_are "$work/kill.before" && fail "the terminal is not raw"
pgrep -P "$pid" > "$work/children"
kill -KILL "$pid"
ends kill 137
gone() {
  local child
  while read -r child; do
    [ ! -e "/proc/$child" ] || return 1
  done < "$work/children"
}
until_true gone

part "the end of the terminal"
in_script hangup
pid=$(layervm_pid)
pgrep -P "$pid" > "$work/children"
stop_tmux
hung_up() {
  [ ! -e "/proc/$pid" ] && gone
}
deadline=$((SECONDS + 60))
until hung_up; do
  [ $SECONDS -lt $deadline ] || fail "layervm outlives its terminal"
  sleep 0.1
done
finish_parts
