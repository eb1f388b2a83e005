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

/* Adds an entry, which belongs to the job from now on. */
static int add_env(struct job *job, char *entry, struct fault *fault)
{
	char **env = reallocarray(job->env, job->env_count + 2, sizeof(*env));
	if (entry == NULL || env == NULL) {
		free(entry);
		return fault_set(fault, "no memory for the script's environment");
	}
	job->env = env;
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

static int complete_env(struct job *job, struct fault *fault)
{
	char **path = find_env(job, "PATH");
	if (path == NULL) {
		char *entry = strdup("PATH=" DEFAULT_PATH ":" PROTOCOL_TOOLBOX);
		if (add_env(job, entry, fault) < 0)
			return -1;
	} else {
		char *entry = NULL;
		if (asprintf(&entry, "%s:%s", *path, PROTOCOL_TOOLBOX) < 0)
			return fault_set(fault, "no memory for the script's environment");
		free(*path);
		*path = entry;
	}
	if (find_env(job, "HOME") == NULL)
		return add_env(job, strdup("HOME=/root"), fault);
	return 0;
}

static int write_script(int fd, const struct frame *frame, struct fault *fault)
{
	size_t done = 0;
	while (done < frame->length) {
		ssize_t n = write(fd, frame->payload + done, frame->length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set_errno(fault, "cannot store the script");
		done += (size_t)n;
	}
	return 0;
}

/* Takes one frame. Returns 1 after START. */
static int take(struct job *job, int script, struct frame *frame, struct fault *fault)
{
	switch (frame->type) {
	case FRAME_ENTROPY:
		return devices_add_entropy(frame->payload, frame->length, fault);
	case FRAME_CWD:
		free(job->cwd);
		job->cwd = frame->payload;
		frame->payload = NULL;
		return 0;
	case FRAME_ENV: {
		char *entry = frame->payload;
		frame->payload = NULL;
		return add_env(job, entry, fault);
	}
	case FRAME_SCRIPT:
		return write_script(script, frame, fault);
	case FRAME_UNPACK:
		job->kind = JOB_UNPACK;
		return 0;
	case FRAME_START:
		return 1;
	default:
		return fault_set(fault, "frame of type %d from the host before the job's start",
			(int)frame->type);
	}
}

int job_receive(int channel, struct job *job, struct fault *fault)
{
	char start[2];
	int script = open(TOOLBOX_FOLDER "/script", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (script < 0)
		return fault_set_errno(fault, "cannot store the script");
	int r = 0;
	while (r == 0) {
		cleanup_frame struct frame frame = {0};
		r = channel_receive(channel, &frame, fault);
		if (r == 0)
			r = take(job, script, &frame, fault);
	}
	job->has_interpreter = pread(script, start, sizeof(start), 0) == sizeof(start) &&
			       memcmp(start, "#!", sizeof(start)) == 0;
	close(script); /* a script that is open for writing cannot be executed */
	if (r < 0)
		return -1;
	if (job->kind == JOB_UNPACK)
		return 0;
	if (job->cwd == NULL)
		return fault_set(fault, "the host named no working directory");
	return complete_env(job, fault);
}
