#include "vm/session.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "support/memory.h"

#define ENTROPY_SIZE 64
#define ENV_ENTRY_MAX 131071u /* execve(2): MAX_ARG_STRLEN without the NUL */
#define PATH_LENGTH_MAX 4095u

static const char *stage_name(enum session_stage stage)
{
	switch (stage) {
	case SESSION_BOOTING:
		return "while it boots";
	case SESSION_STARTING:
		return "before the job's start";
	case SESSION_RUNNING:
		return "while the job runs";
	case SESSION_ENDING:
		return "after the job's end";
	case SESSION_OVER:
		return "after its last frame";
	}
	return "at no time";
}

int session_check_job(const struct vm_job *job, struct error *err)
{
	if (job->kind != VM_JOB_SCRIPT)
		return 0;
	for (size_t i = 0; job->env[i] != NULL; i++) {
		size_t key = strcspn(job->env[i], "=");
		if (key == 0 || job->env[i][key] != '=')
			return error_set(err, ERROR_SPEC, EINVAL,
				"environment: \"%.80s\" is not KEY=VALUE", job->env[i]);
		if (strlen(job->env[i]) > ENV_ENTRY_MAX)
			return error_set(err, ERROR_SPEC, E2BIG,
				"environment: %.*s has %zu bytes, Linux takes at most %u",
				(int)(key < 80 ? key : 80), job->env[i], strlen(job->env[i]),
				ENV_ENTRY_MAX);
	}
	if (job->cwd[0] != '/' || strlen(job->cwd) > PATH_LENGTH_MAX)
		return error_set(err, ERROR_SPEC, EINVAL,
			"working directory \"%.80s\": an absolute path of at most %u bytes is "
			"expected",
			job->cwd, PATH_LENGTH_MAX);
	return 0;
}

static void put_frame(
	struct session *session, enum frame_type type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	frame_header_put(header, type, (uint32_t)len);
	buffer_add(&session->to, header, sizeof(header));
	buffer_add(&session->to, payload, len);
}

static void put_script(struct session *session)
{
	const struct vm_job *job = session->job;
	put_frame(session, FRAME_CWD, job->cwd, strlen(job->cwd));
	for (size_t i = 0; job->env[i] != NULL; i++)
		put_frame(session, FRAME_ENV, job->env[i], strlen(job->env[i]));
	for (size_t done = 0; done < job->script_len;) {
		size_t part = job->script_len - done;
		if (part > FRAME_MAX)
			part = FRAME_MAX;
		put_frame(session, FRAME_SCRIPT, (const char *)job->script + done, part);
		done += part;
	}
}

static int put_job(struct session *session, struct error *err)
{
	uint8_t entropy[ENTROPY_SIZE];
	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return error_set_errno(err, ERROR_INTERNAL, "cannot get random bytes");
	put_frame(session, FRAME_ENTROPY, entropy, sizeof(entropy));
	switch (session->job->kind) {
	case VM_JOB_SCRIPT:
		put_script(session);
		break;
	case VM_JOB_UNPACK:
		put_frame(session, FRAME_UNPACK, NULL, 0);
		break;
	}
	put_frame(session, FRAME_START, NULL, 0);
	return 0;
}

static int take_output(struct session *session, bool from_stderr, const uint8_t *data, size_t len,
	struct error *err)
{
	/* A flood of empty frames would never come to the limit. */
	if (len == 0)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent an empty piece of output, which its init never does");
	session->logged += len;
	if (session->log_limit != 0 && session->logged > session->log_limit)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the script wrote more than the %llu bytes of output that are accepted; "
			"have "
			"it write to a file or /dev/null",
			(unsigned long long)session->log_limit);
	report_output(session->report, from_stderr, data, len);
	return 0;
}

/* Adds words of the guest; they are made harmless where an error_set shows them. */
static int take_words(char *to, const uint8_t *data, size_t len, struct error *err)
{
	size_t have = strlen(to);
	if (len > FRAME_TEXT_MAX - have)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent a message of %zu bytes, at most %d are expected",
			have + len, FRAME_TEXT_MAX);
	memcpy(to + have, data, len);
	to[have + len] = '\0';
	return 0;
}

/* Why layers could not be unpacked. A piece without a first byte would go on for ever. */
static int take_reason(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	if (len == 0 || data[0] == '\0')
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent an empty message, which its init never does");
	return take_words(session->words, data, len, err);
}

static int take_exit(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	if (len < EXIT_REPORT_SIZE)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest's report of the job's end has %zu bytes, at least %d are "
			"expected",
			len, EXIT_REPORT_SIZE);
	struct exit_report exit = exit_report_get(data);
	bool started = session->stage == SESSION_RUNNING;
	bool sound = false;
	switch (exit.how) {
	case EXIT_STATUS:
		sound = started && exit.code <= 255;
		break;
	case EXIT_SIGNAL:
		sound = started && exit.code >= 1 && exit.code <= 64;
		break;
	case EXIT_NOT_RUN:
		sound = !started && (exit.code == 126 || exit.code == 127);
		break;
	default:
		break;
	}
	if (!sound)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest's report of the job's end makes no sense: kind %u, code %u",
			exit.how, exit.code);
	session->exit = exit;
	session->stage = SESSION_ENDING;
	return take_words(session->words, data + EXIT_REPORT_SIZE, len - EXIT_REPORT_SIZE, err);
}

static int take_failure(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	session->stage = SESSION_OVER;
	session->failed = true;
	return take_words(session->failure, data, len, err);
}

static int take_bye(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	session->stage = SESSION_OVER;
	put_frame(session, FRAME_RELEASE, NULL, 0);
	return take_words(session->disk, data, len, err);
}

static int take_frame(
	struct session *session, uint8_t type, const uint8_t *data, size_t len, struct error *err)
{
	enum session_stage stage = session->stage;
	switch (type) {
	case FRAME_HELLO:
		if (stage != SESSION_BOOTING)
			break;
		session->stage = SESSION_STARTING;
		return put_job(session, err);
	case FRAME_STARTED:
		if (stage != SESSION_STARTING || len != 0)
			break;
		session->stage = SESSION_RUNNING;
		return 0;
	case FRAME_STDOUT:
	case FRAME_STDERR:
		if (stage != SESSION_RUNNING)
			break;
		if (session->job->kind == VM_JOB_UNPACK && type == FRAME_STDOUT)
			break;
		if (session->job->kind == VM_JOB_UNPACK)
			return take_reason(session, data, len, err);
		return take_output(session, type == FRAME_STDERR, data, len, err);
	case FRAME_EXIT:
		if (stage != SESSION_STARTING && stage != SESSION_RUNNING)
			break;
		return take_exit(session, data, len, err);
	case FRAME_BYE:
		if (stage != SESSION_ENDING)
			break;
		return take_bye(session, data, len, err);
	case FRAME_FAILURE:
		if (stage == SESSION_BOOTING || stage == SESSION_OVER)
			break;
		return take_failure(session, data, len, err);
	default:
		break;
	}
	return error_set(err, ERROR_GUEST, EPROTO,
		"the guest sent a frame of type %u and length %zu %s, where none such is expected",
		type, len, stage_name(stage));
}

static int check_header(const struct frame_header *header, struct error *err)
{
	if (header->version != PROTOCOL_VERSION)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest's init speaks version %u of the protocol, version %d is "
			"expected: "
			"layervm and its guest files do not belong together",
			header->version, PROTOCOL_VERSION);
	if (!frame_header_valid(header))
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent a frame of type %u with length %u, at most %u are expected",
			header->type, header->length, FRAME_MAX);
	return 0;
}

int session_receive(struct session *session, const void *data, size_t len, struct error *err)
{
	size_t done = 0;
	buffer_add(&session->from, data, len);
	while (session->from.len - done >= FRAME_HEADER_SIZE) {
		const uint8_t *frame = session->from.data + done;
		struct frame_header header = frame_header_get(frame);
		int r = check_header(&header, err);
		if (r < 0)
			return r;
		if (session->from.len - done - FRAME_HEADER_SIZE < header.length)
			break;
		r = take_frame(session, header.type, frame + FRAME_HEADER_SIZE, header.length, err);
		if (r < 0)
			return r;
		done += FRAME_HEADER_SIZE + header.length;
	}
	buffer_consume(&session->from, done);
	return 0;
}

void session_terminate(struct session *session)
{
	put_frame(session, FRAME_TERMINATE, NULL, 0);
}

void session_free(struct session *session)
{
	buffer_free(&session->to);
	buffer_free(&session->from);
}
