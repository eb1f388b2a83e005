#include "vm/ending.h"

#include <errno.h>
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
static const char *job_name(const struct session *session)
{
	return session->job->kind == VM_JOB_UNPACK ? "the unpacking of the layers" : "the script";
}

int ending_status(const struct session *session)
{
	const struct exit_report *exit = &session->exit;
	return exit->how == EXIT_SIGNAL ? 128 + (int)exit->code : (int)exit->code;
}

/* Shows the last lines of the guest's console, where there are any. */
static void show_console(const struct machine *machine, struct report *report)
{
	cleanup_free char *tail = ring_tail(&machine->console_text, CONSOLE_LINES);
	if (*tail == '\0')
		return;
	report_note(report, "the guest's console ends with:");
	char *rest = tail;
	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
		if (*line != '\0')
			report_note(report, "  %s", line);
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
	return error_set(err, ERROR_GUEST, EIO, "the guest: %s", words);
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

static int judge_script(const struct session *session, const struct vm_options *options,
	struct report *report, struct error *err)
{
	char words[END_WORDS_SIZE];
	const struct exit_report *exit = &session->exit;
	const char *how = end_words(exit, words);
	int status = ending_status(session);
	if (exit->how == EXIT_NOT_RUN) {
		error_set(
			err, ERROR_SCRIPT, ENOEXEC, "the script cannot be run: %s", session->words);
		err->status = status;
		return -ENOEXEC;
	}
	if (status == 0) {
		if (exit->oom_kills != 0)
			report_warning(report,
				"the guest ran out of its %u MiB of memory and its kernel killed "
				"%u "
				"processes, but the script ended well; raise buildVMMemorySize "
				"(--memory)",
				options->memory_mib, exit->oom_kills);
		return 0;
	}
	if (exit->oom_kills != 0)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the script %s after the guest ran out of its %u MiB of memory (its kernel "
			"killed %u processes); raise buildVMMemorySize (--memory)",
			how, options->memory_mib, exit->oom_kills);
	if (exit->flags & EXIT_FLAG_DISK_FULL)
		return error_set(err, ERROR_DISK_FULL, ENOSPC,
			"the script %s after the guest's disk was full; raise diskSize", how);
	error_set(err, ERROR_SCRIPT, ECANCELED, "the script %s", how);
	err->status = status;
	return -ECANCELED;
}

static int judge_unpacking(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	char words[END_WORDS_SIZE];
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
	if (exit->flags & EXIT_FLAG_DISK_FULL)
		return error_set(err, ERROR_DISK_FULL, ENOSPC,
			"the guest's disk was full before all layers were unpacked; raise "
			"diskSize%s%s",
			colon, session->words);
	if (status && exit->code == UNPACK_BAD_LAYER)
		return error_set(err, ERROR_INPUT, EINVAL, "%s", session->words);
	if (status && exit->code == UNPACK_FAILED)
		return error_set(
			err, ERROR_GUEST, EIO, "the layers cannot be unpacked: %s", session->words);
	return error_set(err, ERROR_GUEST, EIO, "the unpacking of the layers %s%s%s",
		end_words(exit, words), colon, session->words);
}

static int judge_job(const struct session *session, const struct vm_options *options,
	struct report *report, struct error *err)
{
	switch (session->job->kind) {
	case VM_JOB_SCRIPT:
		break;
	case VM_JOB_UNPACK:
		return judge_unpacking(session, options, err);
	}
	return judge_script(session, options, report, err);
}

/* The guest ended before its init was done, and QEMU is well: the console tells why. */
static int judge_guest_end(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	const char *when[] = {
		[SESSION_BOOTING] = "while it booted",
		[SESSION_STARTING] = "before the script's start",
		[SESSION_RUNNING] = "while the script ran",
		[SESSION_ENDING] = "before its disk was unmounted",
		[SESSION_OVER] = "after its last frame",
	};
	if (session->job->kind == VM_JOB_UNPACK) {
		when[SESSION_STARTING] = "before it unpacked the layers";
		when[SESSION_RUNNING] = "while it unpacked the layers";
	}
	show_console(machine, report);
	cleanup_free char *panic = ring_find(&machine->console_text, "Kernel panic - ");
	cleanup_free char *init = ring_find(&machine->console_text, "layervm init: ");
	if (panic != NULL && strstr(panic, "memory") != NULL)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the guest ran out of its %u MiB of memory %s (%s); raise "
			"buildVMMemorySize (--memory)",
			options->memory_mib, when[session->stage], panic);
	if (session->stage == SESSION_BOOTING && options->memory_mib < MEMORY_LEAST_MIB)
		return error_set(err, ERROR_MEMORY, ENOMEM,
			"the guest did not come up with %u MiB of memory, it needs %d; raise "
			"buildVMMemorySize (--memory)",
			options->memory_mib, MEMORY_LEAST_MIB);
	if (panic != NULL)
		return error_set(err, ERROR_GUEST, EIO, "the guest's kernel gave up %s: %s",
			when[session->stage], panic);
	if (session->stage == SESSION_BOOTING && init != NULL)
		return error_set(err, ERROR_GUEST, EIO, "the guest did not come up: %s",
			init + strlen("layervm init: "));
	return error_set(err, ERROR_GUEST, EIO, "the guest was switched off or reset %s",
		when[session->stage]);
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

static int judge_timeout(
	const struct session *session, const struct vm_options *options, struct error *err)
{
	return error_set(err, ERROR_TIMEOUT, ETIMEDOUT,
		"%s was not done after the %u seconds of the time limit (--timeout)",
		session->stage < SESSION_RUNNING ? "the guest's start" : job_name(session),
		options->timeout);
}

static int judge_stop(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err)
{
	switch (machine->stop) {
	case STOP_INTERRUPT:
		return interrupt_check(err);
	case STOP_TIMEOUT:
		return judge_timeout(session, options, err);
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
	case STOP_NONE:
		break;
	}
	return 0;
}

int ending_judge(const struct machine *machine, const struct session *session,
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
	if (session->disk[0] != '\0')
		return judge_disk(machine, session->disk, options, report, err);
	return judge_job(session, options, report, err);
}
