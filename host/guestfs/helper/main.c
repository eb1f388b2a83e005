/*
 * layervm-guestfs: the one program that links libguestfs. This process starts a worker in a group
 * of its own and waits; whatever happens to the worker, and whenever layervm says SIGTERM or is
 * gone, nothing of it remains: no QEMU, no file. messages.h says how layervm and it talk.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guestfs/helper/say.h"
#include "guestfs/helper/worker.h"
#include "guestfs/messages.h"
#include "support/memory.h"
#include "support/temporary.h"

#define WALK_FDS 16
#define GRACE_SECONDS 5 /* from SIGTERM to SIGKILL for the worker */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	remove(path);
	return 0;
}

static void remove_folder(const char *folder)
{
	nftw(folder, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS);
}

static int parse(int argc, char **argv, struct worker_job *job)
{
	if (argc < 3)
		return -EINVAL;
	job->kvm = strcmp(argv[1], "kvm") == 0;
	if (strcmp(argv[2], "written") == 0 && argc == 3)
		return 0;
	if (strcmp(argv[2], "image") != 0 || argc < 5 || argc > 6)
		return -EINVAL;
	job->format = argv[3];
	job->path = argv[4];
	job->root = argc == 6 ? argv[5] : NULL;
	return 0;
}

/* SIGTERM is for what the worker has started: without QEMU its own calls fail, and it tidies up. */
static void on_term(int signal)
{
	(void)signal;
}

static int run_worker(
	const struct worker_job *job, const char *folder, const sigset_t *old, pid_t parent)
{
	const struct sigaction action = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	struct error err = {0};
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || setpgid(0, 0) < 0 ||
		sigaction(SIGTERM, &action, NULL) < 0 || sigprocmask(SIG_SETMASK, old, NULL) < 0)
		return 1;
	if (worker_run(job, folder, &err) < 0) {
		say_error(&err);
		return 1;
	}
	say_done();
	return 0;
}

/* Ends the worker and all that it started. */
static void end_worker(pid_t worker, const sigset_t *signals)
{
	static const struct timespec second = {.tv_sec = 1};
	int status;
	for (unsigned i = 0; i < GRACE_SECONDS; i++) {
		kill(-worker, SIGTERM);
		sigtimedwait(signals, NULL, &second);
		if (waitpid(worker, &status, WNOHANG) == worker)
			return;
	}
	kill(-worker, SIGKILL);
	kill(worker, SIGKILL); /* where it has not become a group yet */
	while (waitpid(worker, &status, 0) < 0 && errno == EINTR)
		;
}

/* The worker's wait status, or -1 where it had to be ended. */
static int await(pid_t worker, const sigset_t *signals)
{
	int status;
	for (;;) {
		if (waitpid(worker, &status, WNOHANG) == worker)
			return status;
		int signal = sigwaitinfo(signals, NULL);
		if (signal < 0 || signal == SIGCHLD)
			continue;
		end_worker(worker, signals);
		return -1;
	}
}

static int supervise(const struct worker_job *job, const char *folder)
{
	static const int caught[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
	struct error err = {0};
	sigset_t signals, old;
	sigemptyset(&signals);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&signals, caught[i]);
	sigprocmask(SIG_BLOCK, &signals, &old);
	pid_t parent = getpid();
	pid_t worker = fork();
	if (worker < 0) {
		error_set_errno(&err, ERROR_INTERNAL, "cannot start a process");
		say_error(&err);
		return 1;
	}
	if (worker == 0)
		_exit(run_worker(job, folder, &old, parent));
	/* Only the worker's ends are to keep the pipes open. */
	close(HELPER_FD_TAR);
	close(HELPER_FD_MESSAGES);
	int status = await(worker, &signals);
	kill(-worker, SIGKILL); /* what it left behind */
	return status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct worker_job job = {0};
	struct error err = {0};
	if (parse(argc, argv, &job) < 0) {
		fputs(HELPER_NAME ": is started by layervm, and of no use by hand\n", stderr);
		return 2;
	}
	cleanup_free char *folder = NULL;
	if (folder_temporary(&folder, &err) < 0) {
		say_error(&err);
		return 1;
	}
	int status = supervise(&job, folder);
	remove_folder(folder);
	return status;
}
