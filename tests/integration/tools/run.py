#!/usr/bin/python3
"""Runs a command and sees to it that nothing of it stays behind.

    run.py [--limit SECONDS] [--on TEXT=ACTION]... [--after MILLISECONDS=ACTION]... -- COMMAND...

Is the reaper of all that the command starts. Its standard error is passed on; once TEXT has
appeared there, ACTION is done: the name of a signal that the command itself gets (INT), several
a pause apart (INT,INT), or kill-qemu, which ends the QEMU among its children with SIGKILL. --after does
its action after a time, unless the command was done by then.

The exit status is the command's, 128 + n if signal n ended it; 98 when the limit (120 seconds
unless given) passed; 99 when a process of it was still there two seconds after its end: such
processes are named, and ended; 97 when an action's text never came.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 2.0


def processes():
    """{pid: (parent's pid, state, name)} of all processes."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                text = stat.read()
        except OSError:
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        found[int(entry)] = (int(parent), state, name)
    return found


def descendants(top):
    """[(pid, name)] of the living processes below top."""
    found = processes()
    below = {top}
    while True:
        more = {pid for pid, (parent, _, _) in found.items() if parent in below} - below
        if not more:
            break
        below |= more
    return [(pid, found[pid][2]) for pid in sorted(below - {top}) if found[pid][1] not in "ZX"]


def act(action, command):
    if action == "kill-qemu":
        qemu = [pid for pid, name in descendants(command.pid) if name.startswith("qemu")]
        if not qemu:
            sys.exit("run.py: no QEMU to kill")
        os.kill(qemu[0], signal.SIGKILL)
        return
    for number, name in enumerate(action.split(",")):
        if number > 0:
            time.sleep(1.1)  # two signals within a second count as one
        command.send_signal(signal.Signals["SIG" + name])


def reap():
    """Collects ended children; returns the (pid, name) of those that live."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
    return descendants(os.getpid())


def follow(command, actions, timed, deadline):
    """Passes standard error on until its end, or that of the command; does the actions.

    timed: [(when, action)], the earliest first.
    """
    seen = b""
    pipe = command.stderr.fileno()
    while time.monotonic() < deadline:
        wait = 0.1
        if timed:
            wait = min(wait, max(0, timed[0][0] - time.monotonic()))
        ready, _, _ = select.select([pipe], [], [], wait)
        while timed and time.monotonic() >= timed[0][0]:
            _, action = timed.pop(0)
            if command.poll() is None:
                act(action, command)
        if ready:
            data = os.read(pipe, 65536)
            if not data:
                return True
            os.write(2, data)
            seen += data
            while actions and actions[0][0] in seen:
                seen = seen[seen.index(actions[0][0]) :]
                act(actions.pop(0)[1], command)
        elif command.poll() is not None:
            return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=float, default=120)
    parser.add_argument("--on", action="append", default=[])
    parser.add_argument("--after", action="append", default=[])
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    actions = [(on.rpartition("=")[0].encode(), on.rpartition("=")[2]) for on in arguments.on]

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A background job of a shell, or nohup, ignores these; the command is to have them as at a terminal.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    command = subprocess.Popen(arguments.command, stderr=subprocess.PIPE, start_new_session=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    timed = []
    for after in arguments.after:
        milliseconds, _, action = after.partition("=")
        timed.append((time.monotonic() + int(milliseconds) / 1000, action))
    timed.sort(key=lambda item: item[0])
    in_time = follow(command, actions, timed, time.monotonic() + arguments.limit)
    if in_time:
        status = command.wait()
        status = status if status >= 0 else 128 - status
    else:
        print(f"run.py: not done after {arguments.limit:g} s", file=sys.stderr)
        status = 98

    until = time.monotonic() + (GRACE_SECONDS if in_time else 0)
    left = reap()
    while left and time.monotonic() < until:
        time.sleep(0.02)
        left = reap()
    for pid, name in left:
        print(f"run.py: left behind: process {pid} ({name})", file=sys.stderr)
        os.kill(pid, signal.SIGKILL)
    if status != 98 and left:
        status = 99
    elif status != 98 and actions:
        print(f"run.py: never said: {actions[0][0].decode()}", file=sys.stderr)
        status = 97
    return status


sys.exit(main())
