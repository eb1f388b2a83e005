#include "vm/request.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "support/memory.h"

#define ENTROPY_SIZE 64
#define ARGUMENT_MAX 131071u /* execve(2): MAX_ARG_STRLEN without the NUL */
#define PATH_LENGTH_MAX 4095u
#define NAME_LENGTH_MAX 255u

_Static_assert(VM_MOUNTS_MAX == MOUNTS_MAX, "both sides take the same number of mounts");
_Static_assert(VM_SECRET_MAX == SECRET_MAX, "both sides take the same secrets");
_Static_assert(SECRET_MAX + NAME_LENGTH_MAX + 4 <= FRAME_MAX, "a secret fits in a frame");

static int check_env(const char *const *env, struct error *err)
{
	for (size_t i = 0; env[i] != NULL; i++) {
		size_t key = strcspn(env[i], "=");
		if (key == 0 || env[i][key] != '=')
			return error_set(err, ERROR_SPEC, EINVAL,
				"environment: \"%.80s\" is not KEY=VALUE", env[i]);
		if (strlen(env[i]) > ARGUMENT_MAX)
			return error_set(err, ERROR_SPEC, E2BIG,
				"environment: %.*s has %zu bytes, Linux takes at most %u",
				(int)(key < 80 ? key : 80), env[i], strlen(env[i]), ARGUMENT_MAX);
	}
	return 0;
}

/* What would be a fault of layervm's own: two jobs for one terminal, a shell without one. */
static int check_use(const struct vm_job *job, struct error *err)
{
	bool terminal = job->streams != NULL && job->streams->terminal != NULL;
	if (job->kind == VM_JOB_SHELL && !terminal)
		return error_set(
			err, ERROR_INTERNAL, EINVAL, "a shell in the guest without a terminal");
	if (job->on_failure != NULL &&
		(job->streams != NULL || job->on_failure->on_failure != NULL))
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"a job in the guest with streams, or a third one, around a failure");
	return 0;
}

int request_check_job(const struct vm_job *job, struct error *err)
{
	if (job->kind == VM_JOB_UNPACK)
		return 0;
	int r = check_use(job, err);
	if (r == 0)
		r = check_env(job->env, err);
	if (r < 0)
		return r;
	if (job->cwd[0] != '/' || strlen(job->cwd) > PATH_LENGTH_MAX)
		return error_set(err, ERROR_SPEC, EINVAL,
			"working directory \"%.80s\": an absolute path of at most %u bytes is "
			"expected",
			job->cwd, PATH_LENGTH_MAX);
	if (job->kind == VM_JOB_COMMAND && strlen(job->command) > ARGUMENT_MAX)
		return error_set(err, ERROR_SPEC, E2BIG,
			"the command has %zu bytes, Linux takes at most %u", strlen(job->command),
			ARGUMENT_MAX);
	if (job->user != NULL && (job->user[0] == '\0' || strlen(job->user) > NAME_LENGTH_MAX))
		return error_set(err, ERROR_SPEC, EINVAL,
			"user \"%.80s\": NAME|UID[:GROUP|GID] of at most %u bytes is expected",
			job->user, NAME_LENGTH_MAX);
	return job->on_failure != NULL ? request_check_job(job->on_failure, err) : 0;
}

static int check_mount(
	const struct vm_mount *mount, const struct vm_options *options, struct error *err)
{
	if (mount->path[0] != '/' || strlen(mount->path) > PATH_LENGTH_MAX)
		return error_set(err, ERROR_SPEC, EINVAL,
			"mount on \"%.80s\": an absolute path of at most %u bytes is expected",
			mount->path, PATH_LENGTH_MAX);
	if (mount->kind == VM_MOUNT_DISK && mount->disk >= options->further_count)
		return error_set(err, ERROR_INTERNAL, EINVAL, "mount on %.80s: disk %zu of %zu",
			mount->path, mount->disk, options->further_count);
	return 0;
}

int request_check_setup(const struct vm_options *options, struct error *err)
{
	if (options->mount_count > VM_MOUNTS_MAX)
		return error_set(err, ERROR_SPEC, E2BIG,
			"there are %zu mounts, at most %d are taken", options->mount_count,
			VM_MOUNTS_MAX);
	for (size_t i = 0; i < options->mount_count; i++) {
		int r = check_mount(&options->mounts[i], options, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < options->secret_count; i++) {
		const struct vm_secret *secret = &options->secrets[i];
		if (secret->len > VM_SECRET_MAX)
			return error_set(err, ERROR_SPEC, EFBIG,
				"secret %.80s has %zu bytes, at most %d are taken", secret->id,
				secret->len, VM_SECRET_MAX);
		if (strlen(secret->id) > NAME_LENGTH_MAX)
			return error_set(err, ERROR_SPEC, ENAMETOOLONG,
				"secret %.80s: its ID is longer than %u bytes", secret->id,
				NAME_LENGTH_MAX);
	}
	return 0;
}

/* Makes room, and wipes where the bytes were before. */
static void make_room(struct buffer *to, size_t len)
{
	struct buffer grown = {0};
	if (to->capacity - to->len >= len)
		return;
	buffer_reserve(&grown, to->len + len);
	buffer_add(&grown, to->data, to->len);
	if (to->data != NULL)
		explicit_bzero(to->data, to->capacity);
	buffer_free(to);
	*to = grown;
}

/* Adds a frame of two parts. */
static void put_parts(struct buffer *to, enum frame_type type, const void *first, size_t first_len,
	const void *second, size_t second_len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	make_room(to, sizeof(header) + first_len + second_len);
	frame_header_put(header, type, (uint32_t)(first_len + second_len));
	buffer_add(to, header, sizeof(header));
	buffer_add(to, first, first_len);
	buffer_add(to, second, second_len);
}

void request_put(struct buffer *to, enum frame_type type, const void *payload, size_t len)
{
	put_parts(to, type, payload, len, NULL, 0);
}

static void put_text(struct buffer *to, enum frame_type type, const char *text)
{
	request_put(to, type, text, strlen(text));
}

void request_put_size(struct buffer *to, enum frame_type type, uint32_t rows, uint32_t columns)
{
	uint8_t payload[TERMINAL_SIZE];
	protocol_put_u32(payload, rows);
	protocol_put_u32(payload + 4, columns);
	request_put(to, type, payload, sizeof(payload));
}

static void put_network(struct buffer *to, const struct vm_network *network)
{
	uint8_t payload[NETWORK_SIZE];
	memcpy(payload, network->address, 4);
	protocol_put_u32(payload + 4, network->prefix);
	memcpy(payload + 8, network->gateway, 4);
	protocol_put_u32(payload + 12, network->mtu);
	request_put(to, FRAME_NETWORK, payload, sizeof(payload));
}

static void put_mount(struct buffer *to, const struct vm_mount *mount)
{
	uint8_t header[MOUNT_HEADER_SIZE];
	bool disk = mount->kind == VM_MOUNT_DISK;
	protocol_put_u32(header, disk ? MOUNT_DISK : MOUNT_TMPFS);
	protocol_put_u32(header + 4, disk ? (uint32_t)mount->disk + 1 : mount->size_mib);
	protocol_put_u32(header + 8, mount->read_only ? MOUNT_FLAG_READ_ONLY : 0);
	put_parts(to, FRAME_MOUNT, header, sizeof(header), mount->path, strlen(mount->path));
}

static void put_secret(struct buffer *to, const struct vm_secret *secret)
{
	uint8_t header[4 + NAME_LENGTH_MAX];
	size_t id_len = strlen(secret->id);
	protocol_put_u32(header, (uint32_t)id_len);
	memcpy(header + 4, secret->id, id_len);
	put_parts(to, FRAME_SECRET, header, 4 + id_len, secret->data, secret->len);
}

static void put_clock(struct buffer *to)
{
	uint8_t payload[CLOCK_SIZE];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	protocol_put_u32(payload, (uint32_t)now.tv_sec);
	protocol_put_u32(payload + 4, (uint32_t)((uint64_t)now.tv_sec >> 32));
	protocol_put_u32(payload + 8, (uint32_t)now.tv_nsec);
	request_put(to, FRAME_CLOCK, payload, sizeof(payload));
}

int request_put_setup(struct buffer *to, const struct vm_options *options, struct error *err)
{
	uint8_t entropy[ENTROPY_SIZE];
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return error_set_errno(err, ERROR_INTERNAL, "cannot get random bytes");
	put_clock(to);
	request_put(to, FRAME_ENTROPY, entropy, sizeof(entropy));
	if (options->network != NULL)
		put_network(to, options->network);
	for (size_t i = 0; i < options->mount_count; i++)
		put_mount(to, &options->mounts[i]);
	for (size_t i = 0; i < options->secret_count; i++)
		put_secret(to, &options->secrets[i]);
	return 0;
}

static void put_script(struct buffer *to, const struct vm_job *job)
{
	for (size_t done = 0; done < job->script_len;) {
		size_t part = job->script_len - done;
		if (part > FRAME_MAX)
			part = FRAME_MAX;
		request_put(to, FRAME_SCRIPT, (const char *)job->script + done, part);
		done += part;
	}
}

static void put_inside(struct buffer *to, const struct vm_job *job)
{
	put_text(to, FRAME_CWD, job->cwd);
	for (size_t i = 0; job->env[i] != NULL; i++)
		put_text(to, FRAME_ENV, job->env[i]);
	if (job->user != NULL)
		put_text(to, FRAME_USER, job->user);
}

/* A terminal is one output anyway; an unpacking has but one. */
static bool may_share_output(const struct vm_job *job)
{
	return job->kind != VM_JOB_UNPACK &&
	       (job->streams == NULL || job->streams->terminal == NULL);
}

void request_put_job(struct buffer *to, const struct vm_job *job, const struct request_files *files)
{
	const struct vm_streams *streams = job->streams;
	if (job->kind != VM_JOB_UNPACK)
		put_inside(to, job);
	switch (job->kind) {
	case VM_JOB_SCRIPT:
		put_script(to, job);
		break;
	case VM_JOB_COMMAND:
		put_text(to, FRAME_COMMAND, job->command);
		break;
	case VM_JOB_SHELL:
		request_put(to, FRAME_SHELL, NULL, 0);
		break;
	case VM_JOB_UNPACK:
		request_put(to, FRAME_UNPACK, NULL, 0);
		break;
	}
	if (streams != NULL && streams->terminal != NULL)
		request_put_size(to, FRAME_TERMINAL, files->rows, files->columns);
	else if (streams != NULL && streams->in >= 0)
		request_put(to, FRAME_INPUT, NULL, 0);
	if (files->one_output && may_share_output(job))
		request_put(to, FRAME_ONE_OUTPUT, NULL, 0);
	request_put(to, FRAME_START, NULL, 0);
}
