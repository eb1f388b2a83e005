# A terminal for stories: tmux with a server of the story's own. Sourced after lib.sh.

# shellcheck shell=bash disable=SC2154 # work is of lib.sh
! is_missing tmux || skip "$lacking" "no tmux: install tmux"

export TMUX_TMPDIR=$work
unset TMUX
tm() {
  tmux -L story -f /dev/null "$@"
}
# A server that is on its way out would take the next terminal with it.
stop_tmux() {
  local server
  server=$(tm display-message -p '#{pid}' 2> /dev/null) || return 0
  tm kill-server 2> /dev/null || true
  while [ -e "/proc/$server" ]; do
    sleep 0.02
  done
}
trap 'stop_tmux; finish' EXIT

# open_terminal COMMAND...: a new terminal of 100 columns and 30 rows with the command in it.
open_terminal() {
  stop_tmux
  tm new-session -d -x 100 -y 30 -s story -- "$@"
  tm set-option -g status off
  tm set-option -g remain-on-exit on
  pane_tty=$(tm display-message -p '#{pane_tty}')
  pane_pid=$(tm display-message -p '#{pane_pid}')
}

screen() {
  tm capture-pane -p
}

# sees PATTERN: waits until a line of the screen matches.
sees() {
  local deadline=$((SECONDS + 45))
  until screen | grep -qE -- "$1"; do
    if [ $SECONDS -ge $deadline ]; then
      screen | sed 's/^/   | /' >&2
      fail "the terminal does not come to show: $1"
    fi
    sleep 0.1
  done
}

# lacks PATTERN: no line of the screen matches now.
lacks() {
  ! screen | grep -qE -- "$1"
}

# keys KEY...: as tmux names them. types TEXT: a line, with Enter.
keys() {
  tm send-keys "$@"
}
types() {
  tm send-keys -l "$1"
  tm send-keys Enter
}

# until_true COMMAND...: waits for it.
until_true() {
  local deadline=$((SECONDS + 60))
  until "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      screen | sed 's/^/   | /' >&2
      fail "never comes true: $*"
    fi
    sleep 0.1
  done
}

# The modes of the terminal as they are, without its size; and whether they are those of a file.
modes() {
  stty -a -F "$pane_tty" | sed 's/rows [0-9]*; columns [0-9]*;//'
}
modes_are() {
  modes | cmp -s - "$1"
}

# layervm's process in the terminal.
layervm_pid() {
  pgrep -P "$pane_pid" -x layervm
}
