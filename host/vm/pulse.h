/*
 * Whether a guest that says nothing still does something. A script is root in the guest and can
 * halt it, suspend it or stop its init, and no event of QEMU's tells. What is judged is progress,
 * not time: a guest whose virtual processors all sleep has nothing to run, and so never answers
 * what it was asked before; one that has used much processor time without an answer does not let
 * its init run. Knows no frames, and no words of the guest count but as a reason to ask at once.
 */
#ifndef LAYERVM_VM_PULSE_H
#define LAYERVM_VM_PULSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PULSE_NEVER INT64_MAX

/* What was seen of QEMU, once. */
struct pulse_look {
	bool asleep;    /* every thread waits for something to happen */
	int64_t cpu_ms; /* processor time that QEMU has used since its start; -1: not known */
};

/* All zero, then pulse_heard. Times are milliseconds of the monotonic clock. */
struct pulse {
	int64_t next; /* when pulse_take is to be called */
	bool silent;  /* it was called since the guest was heard */
	bool suspect; /* pulse_suspect was, and no answer came since */
	bool counted; /* cpu_before is set */
	unsigned asleep;
	int64_t cpu_before;
};

/* Who may answer. */
enum pulse_state {
	PULSE_ASKED,   /* the guest's init was asked, and answers at once */
	PULSE_WORKING, /* the guest starts a job or unmounts its disks, and says nothing meanwhile
			*/
};

enum pulse_verdict {
	PULSE_ALIVE,
	PULSE_STILL, /* the guest does nothing, and never will */
	PULSE_DEAF,  /* the guest works, but its init does not */
};

/*
 * The guest has said something, which it may have done before its console did, or cannot, because
 * the host does not listen.
 */
void pulse_heard(struct pulse *pulse, int64_t now);

/* The guest's init has answered: it does its work, whatever the console says. */
void pulse_answered(struct pulse *pulse, int64_t now);

/* The guest's console reads as if the guest were halted: it is to be looked at soon. */
void pulse_suspect(struct pulse *pulse, int64_t now);

/* Takes a look at a guest that is silent. cpus: of the guest. */
enum pulse_verdict pulse_take(struct pulse *pulse, const struct pulse_look *look,
	enum pulse_state state, unsigned cpus, int64_t now);

/* Looks at a process, a child of this one, by /proc. Where that cannot be read it is not asleep. */
struct pulse_look pulse_look_at(pid_t pid);

#endif
