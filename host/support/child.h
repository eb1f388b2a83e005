/*
 * A program as a child process: started with just what it is given, followed by a descriptor,
 * ended with all that it left behind in its process group. Knows nothing of what the program is.
 */
#ifndef LAYERVM_SUPPORT_CHILD_H
#define LAYERVM_SUPPORT_CHILD_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "support/error.h"
#include "support/landlock.h"
#include "support/wall.h"

/* The most descriptors that a program is given. */
#define CHILD_FDS_MAX 64

enum child_privileges {
	CHILD_NO_NEW_PRIVILEGES, /* set-user-ID programs and file capabilities add none */
	CHILD_ANY_PRIVILEGES,    /* what it runs may gain some, as sudo does */
};

enum child_signals {
	/* All have their default. */
	CHILD_SIGNALS_DEFAULT,
	/*
	 * As this program found them: what its caller ignores (nohup: SIGHUP) stays ignored.
	 * SIGPIPE and SIGXFSZ, which this program ignores for itself, have their default.
	 */
	CHILD_SIGNALS_INHERITED,
};

/* A resource limit, set as it is. */
struct child_limit {
	int resource;
	struct rlimit value;
};

struct child_options {
	/* What is run: a path, not searched for (child_find does); absolute where dir is used. */
	const char *path;
	const char *const *argv; /* NULL at the end */
	const char *const *env;  /* NULL at the end; NULL: ours */

	/*
	 * What its descriptor number i is, for each i below fd_count: 3 at least, CHILD_FDS_MAX at
	 * most. They stay open here, one may be named more than once, and no other descriptor comes
	 * to it.
	 */
	const int *fds;
	size_t fd_count;

	int dir;          /* descriptor of its working folder; -1: ours */
	mode_t umask;     /* 0: ours */
	int death_signal; /* what it gets when the calling thread ends */
	enum child_privileges privileges;
	/* What it may open; NULL: whatever its user may. Needs CHILD_NO_NEW_PRIVILEGES. */
	const struct landlock *landlock;
	/* The calls it is refused; NULL: none. Needs CHILD_NO_NEW_PRIVILEGES. */
	const struct wall *wall;
	enum child_signals signals;
	int ignored_signal; /* one that it is to ignore in any case; 0: none */
	const struct child_limit *limits;
	size_t limit_count;

	/* How a failure is told: "FAILURE: reason", as an error of this kind. */
	const char *failure;
	enum error_kind failure_kind;
};

struct child {
	pid_t pid; /* -1: none; it leads a process group of its own */
	int pidfd; /* readable once it has ended */
};
#define CHILD_NONE ((struct child){.pid = -1, .pidfd = -1})

/*
 * The path of a program, searched for on PATH (/usr/bin:/bin where that is not set) unless its
 * name has a '/'. Names that PATH gives relative to the working folder are made absolute. Returns
 * NULL where there is no such file that may be executed. The caller frees it.
 */
char *child_find(const char *name);

/*
 * A pipe for what a child writes: our end, which does not block, and the child's, to be given to
 * it and closed here. Both are the caller's to close.
 */
int child_pipe(int *reading, int *writing, struct error *err);

/*
 * Starts a program; on return it is executed, not merely forked. Where any step up to its exec
 * fails there is no process, and the error is failure with the reason; an ERROR_INTERNAL where
 * this program lacks a descriptor for the start. SIGCHLD must not be ignored, as main.c sees to: no
 * child could be waited for.
 */
int child_start(const struct child_options *options, struct child *child, struct error *err);

/*
 * Waits for the end, and ends what is left of its group by SIGKILL. *status: as waitpid(2) gives
 * it. The child is none afterwards, whatever is returned.
 */
int child_wait(struct child *child, int *status, struct error *err);

/* Asks the child to end, by SIGTERM, if there is one. It is still to be waited for. */
void child_terminate(const struct child *child);

/* Ends the child and its group by SIGKILL, if there is one, and waits for it. */
void child_kill(struct child *child);
#define cleanup_child __attribute__((cleanup(child_kill)))

#endif
