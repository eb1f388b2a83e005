#include "vm/session.h"

#include <errno.h>
#include <string.h>

static const char *stage_name(enum session_stage stage)
{
	switch (stage) {
	case SESSION_BOOTING:
		return "while it boots";
	case SESSION_WAKING:
		return "before it is awake";
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

static void wipe(struct buffer *bytes)
{
	if (bytes->data != NULL)
		explicit_bzero(bytes->data, bytes->capacity);
	buffer_free(bytes);
}

void session_sent(struct session *session, size_t len)
{
	buffer_consume(&session->to, len);
	if (session->to.len == 0)
		wipe(&session->to);
}

static bool runs(const struct session *session)
{
	return session->stage == SESSION_RUNNING;
}

bool session_has_terminal(const struct session *session)
{
	return runs(session) && session->current->streams != NULL &&
	       session->current->streams->terminal != NULL;
}

static bool has_input(const struct session *session)
{
	const struct vm_streams *streams = session->current->streams;
	return streams != NULL && (streams->terminal != NULL || streams->in >= 0);
}

size_t session_room(const struct session *session)
{
	if (!runs(session) || !has_input(session) || session->input_ended)
		return 0;
	return STDIN_WINDOW - session->under_way;
}

void session_input(struct session *session, const void *data, size_t len)
{
	if (len == 0)
		session->input_ended = true;
	session->under_way += len;
	request_put(&session->to, FRAME_STDIN, data, len);
}

void session_resize(struct session *session, uint32_t rows, uint32_t columns)
{
	session->files.rows = rows;
	session->files.columns = columns;
	if (session_has_terminal(session))
		request_put_size(&session->to, FRAME_WINSIZE, rows, columns);
}

/* Output for the report, which is bounded, since all of it may be kept. */
static int log_output(struct session *session, bool from_stderr, const uint8_t *data, size_t len,
	struct error *err)
{
	uint64_t limit = session->options->log_limit;
	session->logged += len;
	if (limit != 0 && session->logged > limit)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the script wrote more than the %llu bytes of output that are accepted; "
			"have it write to a file or /dev/null",
			(unsigned long long)limit);
	report_output(session->report, from_stderr, data, len);
	return 0;
}

static int take_output(struct session *session, bool from_stderr, const uint8_t *data, size_t len,
	struct error *err)
{
	/* A flood of empty frames would never come to the limit. */
	if (len == 0)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent an empty piece of output, which its init never does");
	if (session->current->streams == NULL)
		return log_output(session, from_stderr, data, len, err);
	bool second = from_stderr && !session->files.one_output;
	buffer_add(second ? &session->err : &session->out, data, len);
	return 0;
}

static int take_taken(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	uint32_t taken = len == 4 ? protocol_get_u32(data) : 0;
	if (taken == 0 || taken > session->under_way)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest says that its job took %u bytes of input, where %zu are under "
			"way",
			taken, session->under_way);
	session->under_way -= taken;
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

static bool exit_sound(const struct exit_report *exit, bool started)
{
	switch (exit->how) {
	case EXIT_STATUS:
		return started && exit->code <= 255;
	case EXIT_SIGNAL:
		return started && exit->code >= 1 && exit->code <= 64;
	case EXIT_NOT_RUN:
		return !started && (exit->code == 126 || exit->code == 127);
	default:
		return false;
	}
}

static int take_pong(struct session *session, size_t len, struct error *err)
{
	if (len != 0 || !session->asked)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest sent an answer of %zu bytes that nothing was asked for", len);
	session->asked = false;
	return 0;
}

static void give_job(struct session *session, const struct vm_job *job)
{
	session->current = job;
	session->stage = SESSION_STARTING;
	session->under_way = 0;
	session->input_ended = false;
	request_put_job(&session->to, job, &session->files);
}

/* The run's own job is judged by its end; the one after it can only fail to come about. */
static int keep_end(struct session *session, const struct exit_report *exit, const uint8_t *words,
	size_t len, struct error *err)
{
	char other[FRAME_TEXT_MAX + 1] = "";
	if (session->current == session->job) {
		session->exit = *exit;
		return take_words(session->words, words, len, err);
	}
	int r = take_words(other, words, len, err);
	if (r == 0 && exit->how == EXIT_NOT_RUN)
		report_warning(session->report, "there is no shell to look around with: %s", other);
	return r;
}

static int take_exit(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	if (len < EXIT_REPORT_SIZE)
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest's report of the job's end has %zu bytes, at least %d are "
			"expected",
			len, EXIT_REPORT_SIZE);
	struct exit_report exit = exit_report_get(data);
	if (!exit_sound(&exit, runs(session)))
		return error_set(err, ERROR_GUEST, EPROTO,
			"the guest's report of the job's end makes no sense: kind %u, code %u",
			exit.how, exit.code);
	int r = keep_end(session, &exit, data + EXIT_REPORT_SIZE, len - EXIT_REPORT_SIZE, err);
	if (r < 0)
		return r;
	session->asked = false;
	bool well = exit.how == EXIT_STATUS && exit.code == 0;
	if (session->current->on_failure != NULL && !well && !session->terminated) {
		give_job(session, session->current->on_failure);
		return 0;
	}
	session->stage = SESSION_ENDING;
	request_put(&session->to, FRAME_FINISH, NULL, 0);
	return 0;
}

void session_resume(struct session *session)
{
	session->stage = SESSION_WAKING;
	request_put(&session->to, FRAME_WAKE, NULL, 0);
}

static int take_awake(struct session *session, struct error *err)
{
	int r = request_put_setup(&session->to, session->options, err);
	if (r < 0)
		return r;
	give_job(session, session->job);
	return 0;
}

/* Whether the job that runs has such an output. */
static bool may_write(const struct session *session, bool to_stderr)
{
	if (session->current->kind == VM_JOB_UNPACK)
		return to_stderr;
	return !to_stderr || !session_has_terminal(session);
}

static int take_piece(struct session *session, bool from_stderr, const uint8_t *data, size_t len,
	struct error *err)
{
	if (session->current->kind == VM_JOB_UNPACK)
		return take_reason(session, data, len, err);
	return take_output(session, from_stderr, data, len, err);
}

static int take_failure(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	session->stage = SESSION_OVER;
	session->failed = true;
	return take_words(session->failure, data, len, err);
}

/* It has touched nothing yet, and another guest may be tried in its place. */
static int take_early_failure(
	const struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	char words[FRAME_TEXT_MAX + 1] = "";
	int r = take_words(words, data, len, err);
	return r < 0 ? r
		     : error_set(err, ERROR_GUEST, EIO, "the guest did not %s up: %s",
			       session->stage == SESSION_BOOTING ? "come" : "wake", words);
}

static int take_bye(struct session *session, const uint8_t *data, size_t len, struct error *err)
{
	session->stage = SESSION_OVER;
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
		session_resume(session);
		return 0;
	case FRAME_AWAKE:
		if (stage != SESSION_WAKING || len != 0)
			break;
		return take_awake(session, err);
	case FRAME_STARTED:
		if (stage != SESSION_STARTING || len != 0)
			break;
		session->stage = SESSION_RUNNING;
		if (session->terminated)
			request_put(&session->to, FRAME_TERMINATE, NULL, 0);
		if (session->killed)
			request_put(&session->to, FRAME_KILL, NULL, 0);
		return 0;
	case FRAME_STDOUT:
	case FRAME_STDERR:
		if (stage != SESSION_RUNNING || !may_write(session, type == FRAME_STDERR))
			break;
		return take_piece(session, type == FRAME_STDERR, data, len, err);
	case FRAME_TAKEN:
		if (stage != SESSION_RUNNING || !has_input(session))
			break;
		return take_taken(session, data, len, err);
	case FRAME_PONG:
		if (stage != SESSION_RUNNING)
			break;
		return take_pong(session, len, err);
	case FRAME_EXIT:
		if (stage != SESSION_STARTING && stage != SESSION_RUNNING)
			break;
		return take_exit(session, data, len, err);
	case FRAME_BYE:
		if (stage != SESSION_ENDING)
			break;
		return take_bye(session, data, len, err);
	case FRAME_FAILURE:
		if (stage == SESSION_BOOTING || stage == SESSION_WAKING)
			return take_early_failure(session, data, len, err);
		if (stage == SESSION_OVER)
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
			"expected: layervm and its guest files do not belong together",
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

void session_ask(struct session *session)
{
	if (!runs(session) || session->asked)
		return;
	session->asked = true;
	request_put(&session->to, FRAME_PING, NULL, 0);
}

void session_terminate(struct session *session)
{
	session->terminated = true;
	if (runs(session))
		request_put(&session->to, FRAME_TERMINATE, NULL, 0);
}

void session_kill(struct session *session)
{
	session->killed = true;
	if (runs(session))
		request_put(&session->to, FRAME_KILL, NULL, 0);
}

void session_free(struct session *session)
{
	wipe(&session->to);
	buffer_free(&session->from);
	buffer_free(&session->out);
	buffer_free(&session->err);
}
