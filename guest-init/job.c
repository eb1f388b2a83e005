#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "devices.h"
#include "image.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SCRIPT_FILE TOOLBOX_FOLDER "/script"

/* A job while its frames come. */
struct receipt {
	struct job *job;
	struct setup *setup;
	int script; /* -1: no part of it came */
	bool begun; /* a frame came that is this job's */
	bool after_exit;
};

/* What one frame means for the whole. */
enum { MORE = 0, START = 1, FINISH = 2 };

/* Adds an entry, which belongs to the job from now on. */
static int add_env(struct job *job, char *entry, struct fault *fault)
{
	char **env = reallocarray(job->env, job->env_count + 2, sizeof(*env));
	if (env != NULL)
		job->env = env;
	if (entry == NULL || env == NULL) {
		free(entry);
		return fault_set(fault, "no memory for the job's environment");
	}
	env[job->env_count++] = entry;
	env[job->env_count] = NULL;
	return 0;
}

static char **find_env(const struct job *job, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < job->env_count; i++)
		if (strncmp(job->env[i], key, len) == 0 && job->env[i][len] == '=')
			return &job->env[i];
	return NULL;
}

int job_default_env(struct job *job, const char *key, const char *value, struct fault *fault)
{
	char *entry;
	if (find_env(job, key) != NULL)
		return 0;
	if (asprintf(&entry, "%s=%s", key, value) < 0)
		entry = NULL;
	return add_env(job, entry, fault);
}

/* HOME of a user is known in the image only: user.h. */
static int complete_env(struct job *job, struct fault *fault)
{
	if (job->user == NULL && job_default_env(job, "HOME", "/root", fault) < 0)
		return -1;
	if (job_default_env(job, "PATH", DEFAULT_PATH, fault) < 0)
		return -1;
	char **path = find_env(job, "PATH");
	char *entry = NULL;
	/* An empty part of PATH would be the working folder. */
	const char *colon = (*path)[strlen("PATH=")] != '\0' ? ":" : "";
	if (asprintf(&entry, "%s%s%s", *path, colon, PROTOCOL_TOOLBOX) < 0)
		return fault_set(fault, "no memory for the job's environment");
	free(*path);
	*path = entry;
	return 0;
}

/* The script of an earlier job makes room for a new file. */
static int open_script(struct receipt *receipt, struct fault *fault)
{
	if (receipt->script >= 0)
		return 0;
	if (unlink(SCRIPT_FILE) < 0 && errno != ENOENT)
		return fault_set_errno(fault, "cannot remove the script of the job before");
	receipt->script = open(SCRIPT_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (receipt->script < 0)
		return fault_set_errno(fault, "cannot store the script");
	return 0;
}

static int write_script(struct receipt *receipt, const struct frame *frame, struct fault *fault)
{
	size_t done = 0;
	if (open_script(receipt, fault) < 0)
		return -1;
	while (done < frame->length) {
		ssize_t n = write(receipt->script, frame->payload + done, frame->length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set_errno(fault, "cannot store the script");
		done += (size_t)n;
	}
	return 0;
}

/* Makes a frame's payload one of the job's texts. */
static int take_text(char **text, struct frame *frame)
{
	free(*text);
	*text = frame->payload;
	frame->payload = NULL;
	return MORE;
}

static int take_env(struct job *job, struct frame *frame, struct fault *fault)
{
	char *entry = frame->payload;
	frame->payload = NULL;
	return add_env(job, entry, fault);
}

static int take_terminal(struct job *job, const struct frame *frame, struct fault *fault)
{
	job->input = JOB_INPUT_TERMINAL;
	return frame_window_size(frame, &job->rows, &job->columns, fault);
}

static int unexpected(const struct frame *frame, struct fault *fault)
{
	return fault_set(
		fault, "frame of type %d from the host before the job's start", (int)frame->type);
}

/* Takes a frame that may stand outside of a job. Returns 1 where it is none. */
static int take_outside(struct receipt *receipt, const struct frame *frame, struct fault *fault)
{
	switch (frame->type) {
	case FRAME_ENTROPY:
		return devices_add_entropy(frame->payload, frame->length, fault);
	case FRAME_NETWORK:
	case FRAME_MOUNT:
	case FRAME_SECRET:
		return receipt->after_exit ? unexpected(frame, fault)
					   : setup_take(receipt->setup, frame, fault);
	case FRAME_STDIN:
	case FRAME_WINSIZE:
	case FRAME_TERMINATE:
	case FRAME_KILL:
	case FRAME_PING: /* for the job before, which they missed */
		return receipt->after_exit && !receipt->begun ? 0 : unexpected(frame, fault);
	default:
		return 1;
	}
}

/* Takes one frame. Returns MORE, START, FINISH, or -1. */
static int take(struct receipt *receipt, struct frame *frame, struct fault *fault)
{
	struct job *job = receipt->job;
	int r = take_outside(receipt, frame, fault);
	if (r <= 0)
		return r < 0 ? -1 : MORE;
	if (frame->type == FRAME_FINISH && receipt->after_exit && !receipt->begun)
		return FINISH;
	receipt->begun = true;
	switch (frame->type) {
	case FRAME_CWD:
		return take_text(&job->cwd, frame);
	case FRAME_ENV:
		return take_env(job, frame, fault);
	case FRAME_USER:
		return take_text(&job->user, frame);
	case FRAME_SCRIPT:
		return write_script(receipt, frame, fault);
	case FRAME_COMMAND:
		job->kind = JOB_COMMAND;
		return take_text(&job->command, frame);
	case FRAME_SHELL:
		job->kind = JOB_SHELL;
		return MORE;
	case FRAME_UNPACK:
		job->kind = JOB_UNPACK;
		return MORE;
	case FRAME_INPUT:
		job->input = JOB_INPUT_PIPE;
		return MORE;
	case FRAME_ONE_OUTPUT:
		job->one_output = true;
		return MORE;
	case FRAME_TERMINAL:
		return take_terminal(job, frame, fault);
	case FRAME_START:
		return START;
	default:
		return unexpected(frame, fault);
	}
}

/* All frames of the job are there. */
static int complete(struct receipt *receipt, struct fault *fault)
{
	char start[2];
	struct job *job = receipt->job;
	if (job->kind == JOB_UNPACK)
		return 0;
	if (job->kind == JOB_SCRIPT) {
		if (open_script(receipt, fault) < 0)
			return -1;
		ssize_t n = pread(receipt->script, start, sizeof(start), 0);
		job->has_interpreter = n == (ssize_t)sizeof(start) && memcmp(start, "#!", 2) == 0;
	}
	if (job->cwd == NULL)
		return fault_set(fault, "the host named no working directory");
	return complete_env(job, fault);
}

int job_receive(
	int channel, bool after_exit, struct setup *setup, struct job *job, struct fault *fault)
{
	struct receipt receipt = {
		.job = job,
		.setup = setup,
		.script = -1,
		.after_exit = after_exit,
	};
	int r = MORE;
	job->setup = setup;
	while (r == MORE) {
		cleanup_frame struct frame frame = {0};
		r = channel_receive(channel, &frame, fault);
		if (r == 0)
			r = take(&receipt, &frame, fault);
	}
	int next = r == FINISH ? JOB_NONE : JOB_TO_RUN;
	if (r == START)
		r = complete(&receipt, fault);
	if (receipt.script >= 0)
		close(receipt.script); /* what is open for writing cannot be executed */
	return r < 0 ? -1 : next;
}

void job_free(struct job *job)
{
	for (size_t i = 0; i < job->env_count; i++)
		free(job->env[i]);
	free(job->env);
	free(job->command);
	free(job->cwd);
	free(job->user);
	*job = (struct job){0};
}
