#include "vm/ending.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "support/interrupt.h"
#include "support/memory.h"

#define CONSOLE_LINES 15
#define MESSAGE_LINES 3
#define HOST_FULL_BYTES (1u << 20)
#define END_WORDS_SIZE 64
#define MEMORY_LEAST_MIB 96 /* with less the kernel finds no room to unpack itself, and resets */

static const char *signal_name(int number)
{
	const char *name = sigabbrev_np(number);
	return name != NULL ? name : "RT";
}

/* What the guest does, at the beginning of a sentence. */
static const char *name_of(const struct vm_job *job)
{
	switch (job->kind) {
	case VM_JOB_SCRIPT:
		return "the script";
	case VM_JOB_COMMAND:
		return "the command";
	case VM_JOB_SHELL:
		return "the shell";
	case VM_JOB_UNPACK:
		break;
	}
	return "the unpacking of the layers";
}

static const char *job_name(const struct session *session)
{
	return name_of(session->job);
}

static int exit_status(const struct exit_report *exit)
{
	return exit->how == EXIT_SIGNAL ? 128 + (int)exit->code : (int)exit->code;
}

int ending_status(const struct machine *machine, const struct session *session)
{
	return machine->unread ? 128 + SIGPIPE : exit_status(&session->exit);
}

/* Whether a line of the console tells no more than that the guest was switched off. */
static bool is_last_word(const char *line)
{
	static const char *const words[] = {"reboot: Power down", "reboot: Restarting system",
		"reboot: machine restart", MACHINE_HALTED};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(line, words[i]) != NULL)
			return true;
	return false;
}

/* Shows the last lines of the guest's console, where there are any but its power off. */
static void show_console(const struct machine *machine, struct report *report)
{
	cleanup_free char *tail = ring_tail(&machine->console_text, CONSOLE_LINES);
	char *rest = tail;
	bool first = true;
	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
		if (*line == '\0' || is_last_word(line))
			continue;
		if (first)
			report_note(report, "the guest's console ends with:");
		report_note(report, "  %s", line);
		first = false;
	}
}

/* Whether the host's file system that the overlay is in has no room left. */
static bool host_full(const struct vm_options *options)
{
	struct statvfs st;
	if (fstatvfs(options->overlay_fd, &st) < 0)
		return false;
	return (uint64_t)st.f_bavail < HOST_FULL_BYTES / (st.f_frsize != 0 ? st.f_frsize : 1);
}

/* The guest's disk did not take what was written to it. */
static int judge_disk(const struct machine *machine, const char *words,
	const struct vm_options *options, struct report *report, struct error *err)
{
	if (host_full(options))
		return error_set(err, ERROR_OUTPUT, ENOSPC,
			"the host's disk is full: the changes of the guest's disk have no room; "
			"free "
			"some, or set TMPDIR to a folder with more");
	show_console(machine, report);
	return error_set(err, ERROR_GUEST, EIO, "%s", words);
}

/* How the job's process ended, as the end of a sentence. */
static const char *end_words(const struct exit_report *exit, char words[static END_WORDS_SIZE])
{
	if (exit->how == EXIT_SIGNAL)
		snprintf(words, END_WORDS_SIZE, "was ended by signal %u (SIG%s)", exit->code,
			signal_name((int)exit->code));
	else
		snprintf(words, END_WORDS_SIZE, "ended with status %u", exit->code);
	return words;
}

void ending_announce(const struct session *session)
{
	char words[END_WORDS_SIZE];
	static const char follows[] = "a shell in the same guest follows; `exit` leaves it, and so "
				      "does Ctrl-] three times";
	if (session->exit.how == EXIT_NOT_RUN)
		report_warning(session->report, "%s cannot be run: %s; %s", job_name(session),
			session->words, follows);
	else
		report_warning(session->report, "%s %s; %s", job_name(session),
			end_words(&session->exit, words), follows);
}

/* The program that init could not start: there is an exit status that says so. */
static int judge_not_run(const struct session *session, struct error *err)
{
	error_set(err, ERROR_SCRIPT, ENOEXEC, "%s cannot be run: %s", job_name(session),
		session->words);
	err->status = exit_status(&session->exit);
	return -ENOEXEC;
}

/* Whether the disk was seen full; *words: of what, as the end of a sentence. */
static bool disk_was_full(const struct session *session, const struct vm_options *options,
	char words[static END_WORDS_SIZE])
{
	bool of_bytes = session->exit.flags & EXIT_FLAG_DISK_FULL;
	bool of_files = session->exit.flags & EXIT_FLAG_FILES_FULL;
	if (of_bytes || options->disk_inodes == 0)
		snprintf(words, END_WORDS_SIZE,
			of_bytes ? "was full" : "had no room for more files");
	else
		snprintf(words, END_WORDS_SIZE, "had no room for more files than %llu",
			(unsigned long long)options->disk_inodes);
	return of_bytes || of_files;
}

static void warn_of_memory(
	const struct session *session, const struct vm_options *options, const char *how)
{
	if (session->exit.oom_kills != 0)
		report_warning(session->report,
			"the guest ran out of its %u MiB of memory and its kernel killed %u "
			"processes, but %s %s; raise buildVMMemorySize (--memory)",
			options->memory_mib, session->exit.oom_kills, job_name(session), how);
}

static int judge_script(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	char words[END_WORDS_SIZE];
	char full[END_WORDS_SIZE];
	const struct exit_report *exit = &session->exit;
	const char *how = end_words(exit, words);
	int status = exit_status(exit);
	if (exit->how == EXIT_NOT_RUN)
		return judge_not_run(session, err);
	if (status == 0) {
		warn_of_memory(session, options, "ended well");
		return 0;
	}
	if (exit->oom_kills != 0)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the script %s after the guest ran out of its %u MiB of memory (its kernel "
			"killed %u processes); raise buildVMMemorySize (--memory)",
			how, options->memory_mib, exit->oom_kills);
	if (disk_was_full(session, options, full))
		return error_set(err, ERROR_DISK_FULL, ENOSPC,
			"the script %s after the guest's disk %s; raise diskSize", how, full);
	error_set(err, ERROR_SCRIPT, ECANCELED, "the script %s", how);
	err->status = status;
	return -ECANCELED;
}

/* A command or a shell: what it comes to is for its user to say, and no error. */
static int judge_session(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	char full[END_WORDS_SIZE];
	if (session->exit.how == EXIT_NOT_RUN)
		return judge_not_run(session, err);
	warn_of_memory(session, options, "went on to its end");
	if (disk_was_full(session, options, full))
		report_warning(session->report,
			"the guest's disk %s before %s ended; raise diskSize (--disk-size)", full,
			job_name(session));
	return 0;
}

static int judge_unpacking(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	char words[END_WORDS_SIZE];
	char full[END_WORDS_SIZE];
	const struct exit_report *exit = &session->exit;
	const char *colon = session->words[0] != '\0' ? ": " : "";
	bool status = exit->how == EXIT_STATUS;
	if (exit->how == EXIT_NOT_RUN)
		return error_set(err, ERROR_GUEST, ENOEXEC, "the layers cannot be unpacked: %s",
			session->words);
	if (status && exit->code == UNPACK_DONE)
		return 0;
	if (exit->oom_kills != 0)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the unpacking of the layers %s after the guest ran out of its %u MiB of "
			"memory; raise buildVMMemorySize (--memory)",
			end_words(exit, words), options->memory_mib);
	if (disk_was_full(session, options, full))
		return error_set(err, ERROR_DISK_FULL, ENOSPC,
			"the guest's disk %s before all layers were unpacked; raise diskSize%s%s",
			full, colon, session->words);
	if (status && exit->code == UNPACK_BAD_LAYER)
		return error_set(err, ERROR_INPUT, EINVAL, "%s", session->words);
	if (status && exit->code == UNPACK_FAILED)
		return error_set(
			err, ERROR_GUEST, EIO, "the layers cannot be unpacked: %s", session->words);
	return error_set(err, ERROR_GUEST, EIO, "the unpacking of the layers %s%s%s",
		end_words(exit, words), colon, session->words);
}

static int judge_job(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	switch (session->job->kind) {
	case VM_JOB_SCRIPT:
		return judge_script(session, options, err);
	case VM_JOB_COMMAND:
	case VM_JOB_SHELL:
		return judge_session(session, options, err);
	case VM_JOB_UNPACK:
		break;
	}
	return judge_unpacking(session, options, err);
}

/* When the guest ended, as the end of a sentence. */
static const char *when_words(const struct session *session, char words[static END_WORDS_SIZE])
{
	bool unpacks = session->job->kind == VM_JOB_UNPACK;
	const struct vm_job *job = session->current != NULL ? session->current : session->job;
	switch (session->stage) {
	case SESSION_BOOTING:
	case SESSION_WAKING:
		return "while it booted";
	case SESSION_STARTING:
		if (unpacks)
			return "before it unpacked the layers";
		snprintf(words, END_WORDS_SIZE, "before %s's start", name_of(job));
		return words;
	case SESSION_RUNNING:
		if (unpacks)
			return "while it unpacked the layers";
		snprintf(words, END_WORDS_SIZE, "while %s ran", name_of(job));
		return words;
	case SESSION_ENDING:
		return "before its disk was unmounted";
	case SESSION_OVER:
		break;
	}
	return "after its last frame";
}

/* The guest ended before its init was done, and QEMU is well: the console tells why. */
static int judge_guest_end(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	char words[END_WORDS_SIZE];
	const char *when = when_words(session, words);
	show_console(machine, report);
	cleanup_free char *panic = ring_find(&machine->console_text, "Kernel panic - ");
	cleanup_free char *init = ring_find(&machine->console_text, "layervm init: ");
	if (panic != NULL && strstr(panic, "memory") != NULL)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the guest ran out of its %u MiB of memory %s (%s); raise "
			"buildVMMemorySize (--memory)",
			options->memory_mib, when, panic);
	if (session->stage <= SESSION_WAKING && options->memory_mib < MEMORY_LEAST_MIB)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the guest did not come up with %u MiB of memory, it needs %d; raise "
			"buildVMMemorySize (--memory)",
			options->memory_mib, MEMORY_LEAST_MIB);
	if (panic != NULL)
		return error_set(
			err, ERROR_GUEST, EIO, "the guest's kernel gave up %s: %s", when, panic);
	if (init != NULL && session->stage <= SESSION_WAKING)
		return error_set(err, ERROR_GUEST, EIO, "the guest did not come up: %s",
			init + strlen("layervm init: "));
	if (init != NULL)
		return error_set(err, ERROR_GUEST, EIO, "the guest's init gave up %s: %s", when,
			init + strlen("layervm init: "));
	return error_set(err, ERROR_GUEST, EIO, "the guest was switched off or reset %s", when);
}

static int judge_qemu_death(const struct machine *machine, struct error *err)
{
	cleanup_free char *messages = ring_tail(&machine->message_text, MESSAGE_LINES);
	size_t len = strlen(messages);
	for (size_t i = 0; i < len; i++)
		if (messages[i] == '\n')
			messages[i] = i + 1 < len ? '|' : '\0';
	const char *colon = *messages != '\0' ? ": " : "";
	int status = machine->status;
	if (WIFSIGNALED(status))
		return error_set(err, ERROR_QEMU, ECHILD, "QEMU was ended by signal %d (SIG%s)%s%s",
			WTERMSIG(status), signal_name(WTERMSIG(status)), colon, messages);
	return error_set(err, ERROR_QEMU, ECHILD, "QEMU ended with status %d%s%s",
		WEXITSTATUS(status), colon, messages);
}

static int judge_timeout(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct error *err)
{
	const char *what = job_name(session);
	if (machine->stop_stage < SESSION_RUNNING)
		what = "the guest's start";
	else if (machine->stop_stage > SESSION_RUNNING)
		what = "the unmounting of the guest's disk";
	return error_set(err, ERROR_TIMEOUT, ETIMEDOUT,
		"%s was not done after the %u seconds of the time limit (--timeout)", what,
		options->timeout);
}

/* The guest did not end, and would not do so: pulse.h. */
static int judge_still(const struct machine *machine, const struct session *session,
	struct report *report, struct error *err)
{
	char words[END_WORDS_SIZE];
	const char *when = when_words(session, words);
	show_console(machine, report);
	cleanup_free char *panic = ring_find(&machine->console_text, "Kernel panic - ");
	cleanup_free char *halted = ring_find(&machine->console_text, MACHINE_HALTED);
	char *mark = panic != NULL ? strstr(panic, " ]---") : NULL;
	if (mark != NULL)
		*mark = '\0';
	if (panic != NULL)
		return error_set(
			err, ERROR_GUEST, EIO, "the guest's kernel gave up %s: %s", when, panic);
	if (halted != NULL)
		return error_set(err, ERROR_GUEST, EIO, "the guest was halted %s", when);
	if (machine->stop == STOP_DEAF)
		return error_set(err, ERROR_GUEST, EIO,
			"the guest did not answer %s, however much it worked: something keeps its "
			"init from running",
			when);
	return error_set(err, ERROR_GUEST, EIO,
		"the guest stood still %s: it was suspended, or its init was stopped", when);
}

static int judge_stop(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	switch (machine->stop) {
	case STOP_INTERRUPT:
		return interrupt_check(err);
	case STOP_TIMEOUT:
		return judge_timeout(machine, session, options, err);
	case STOP_BOOT:
		show_console(machine, report);
		return error_set(err, ERROR_GUEST, ETIMEDOUT,
			"the guest did not come up in %u seconds with %u MiB of memory",
			machine->boot_seconds, options->memory_mib);
	case STOP_END:
		return error_set(err, ERROR_QEMU, ETIMEDOUT,
			"QEMU did not end in %d seconds after the guest was done",
			MACHINE_END_SECONDS);
	case STOP_FAULT:
		*err = machine->fault;
		return -EPROTO;
	case STOP_ESCAPE:
		error_set(err, ERROR_INTERRUPTED, EINTR,
			"left by the escape; what was done in the guest is gone");
		err->status = SIGINT;
		return -EINTR;
	case STOP_STILL:
	case STOP_DEAF:
		return judge_still(machine, session, report, err);
	case STOP_UNREAD:
		error_set(err, ERROR_SCRIPT, EPIPE,
			"%s did not end in %d seconds after the reader of its output was gone",
			job_name(session), MACHINE_GRACE_SECONDS);
		err->status = 128 + SIGPIPE;
		return -EPIPE;
	case STOP_NONE:
		break;
	}
	return 0;
}

/*
 * The disk was not unmounted cleanly. What a script failed with comes first: its disk is thrown
 * away. But where the host's disk is full, that is why.
 */
static int judge_job_and_disk(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	bool failed = session->job->kind == VM_JOB_SCRIPT && exit_status(&session->exit) != 0;
	if (!failed || host_full(options))
		return judge_disk(machine, session->disk, options, report, err);
	report_warning(report, "the guest: %s", session->disk);
	return judge_job(session, options, err);
}

/* All that can go wrong but the job itself, up to the guest's last frame. */
static int judge_run(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	if (machine->stop != STOP_NONE)
		return judge_stop(machine, session, options, report, err);
	if (session->failed)
		return judge_disk(machine, session->failure, options, report, err);
	if (!WIFEXITED(machine->status) || WEXITSTATUS(machine->status) != 0)
		return judge_qemu_death(machine, err);
	if (session->stage != SESSION_OVER)
		return judge_guest_end(machine, session, options, report, err);
	return 0;
}

/*
 * The script failed already, and the shell that looks at what it left changes nothing of that. Why
 * the shell did not come about, or went away, is told all the same.
 */
static int judge_first_job(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	struct error why;
	int r = 0;
	if (machine->stop != STOP_ESCAPE)
		r = judge_run(machine, session, options, report, &why);
	if (r == 0 && machine->stop == STOP_NONE && session->disk[0] != '\0')
		r = judge_disk(machine, session->disk, options, report, &why);
	if (r < 0)
		report_warning(report, "%s after it: %s", name_of(session->current), why.message);
	return judge_job(session, options, err);
}

/* Disks that stay are looked at later: what is not whole on them is told. */
static void warn_of_disks(
	const struct session *session, const struct vm_options *options, struct report *report)
{
	bool unmounted =
		session->stage == SESSION_OVER && !session->failed && session->disk[0] == '\0';
	if (options->disks_stay && session->stage > SESSION_WAKING && !unmounted)
		report_warning(report,
			"the disks that are kept were not unmounted: what was written last is not "
			"on them");
}

int ending_judge(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	warn_of_disks(session, options, report);
	if (session->current != session->job && session->stage > SESSION_WAKING &&
		machine->stop != STOP_INTERRUPT)
		return judge_first_job(machine, session, options, report, err);
	int r = judge_run(machine, session, options, report, err);
	if (r < 0)
		return r;
	if (session->disk[0] == '\0')
		return judge_job(session, options, err);
	return judge_job_and_disk(machine, session, options, report, err);
}
