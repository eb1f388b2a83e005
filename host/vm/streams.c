#include "vm/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/memory.h"

#define INPUT_PIECE 65536u

static const struct vm_streams *find_streams(const struct vm_job *job)
{
	if (job->streams == NULL && job->on_failure != NULL)
		return job->on_failure->streams;
	return job->streams;
}

int streams_open(struct streams *streams, struct session *session, struct error *err)
{
	const struct vm_streams *given = find_streams(session->job);
	*streams = (struct streams){.session = session, .in = -1, .out.fd = -1, .err.fd = -1};
	if (session->job->streams == NULL)
		session->files.one_output = !report_tells_apart(session->report);
	if (given == NULL)
		return 0;
	if (given->terminal != NULL) {
		streams->terminal = given->terminal;
		streams->in = terminal_fd(given->terminal);
		outlet_open(&streams->out, streams->in);
		terminal_size(given->terminal, &session->files.rows, &session->files.columns);
		return 0;
	}
	if (fcntl(given->out, F_GETFD) < 0 || fcntl(given->err, F_GETFD) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the job's output");
	outlet_open(&streams->out, given->out);
	outlet_open(&streams->err, given->err);
	session->files.one_output = outlet_same(&streams->out, &streams->err);
	if (given->in >= 0) {
		size_t piece;
		streams->in = outlet_unblock(given->in, O_RDONLY, &streams->in_owned, &piece);
	}
	return 0;
}

bool streams_full(const struct streams *streams)
{
	const struct session *session = streams->session;
	return session->out.len >= STREAMS_PENDING_MAX || session->err.len >= STREAMS_PENDING_MAX;
}

bool streams_pending(const struct streams *streams)
{
	return streams->session->out.len != 0 || streams->session->err.len != 0;
}

void streams_drop(struct streams *streams)
{
	streams->session->out.len = 0;
	streams->session->err.len = 0;
}

static void resize(struct streams *streams)
{
	uint32_t rows, columns;
	terminal_size(streams->terminal, &rows, &columns);
	session_resize(streams->session, rows, columns);
}

int streams_follow(struct streams *streams, struct error *err)
{
	if (streams->terminal == NULL)
		return 0;
	bool raw = terminal_signal_fd(streams->terminal) >= 0;
	if (session_has_terminal(streams->session) && !raw) {
		int r = terminal_raw(streams->terminal, err);
		if (r == 0)
			resize(streams);
		return r;
	}
	if (!session_has_terminal(streams->session) && raw && !streams_pending(streams))
		terminal_restore(streams->terminal, TERMINAL_TIDY);
	return 0;
}

/* How much can be read for the job now; the escape's filter may add a byte. */
static size_t room(const struct streams *streams)
{
	size_t room = session_room(streams->session);
	if (streams->terminal != NULL)
		room -= room != 0;
	return room < INPUT_PIECE ? room : INPUT_PIECE;
}

void streams_watch(const struct streams *streams, struct pollfd fds[static STREAMS_FDS])
{
	const struct session *session = streams->session;
	bool reads = streams->in >= 0 && room(streams) != 0;
	bool terminal = streams->terminal != NULL;
	fds[STREAMS_IN] = (struct pollfd){.fd = reads ? streams->in : -1, .events = POLLIN};
	fds[STREAMS_OUT] = (struct pollfd){
		.fd = session->out.len != 0 ? streams->out.fd : -1, .events = POLLOUT};
	fds[STREAMS_ERR] = (struct pollfd){
		.fd = session->err.len != 0 ? streams->err.fd : -1, .events = POLLOUT};
	fds[STREAMS_SIGNALS] = (struct pollfd){
		.fd = terminal ? terminal_signal_fd(streams->terminal) : -1, .events = POLLIN};
}

static void end_input(struct streams *streams)
{
	if (streams->in_owned)
		close(streams->in);
	streams->in_owned = false;
	streams->in = -1;
}

/* Gives the job what was typed. */
static int pass_keys(struct streams *streams, const uint8_t *data, size_t len, int64_t now)
{
	cleanup_buffer struct buffer keys = {0};
	if (escape_filter(&streams->escape, data, len, now, &keys))
		return STREAMS_ESCAPED;
	if (keys.len != 0)
		session_input(streams->session, keys.data, keys.len);
	return STREAMS_NOTHING;
}

static int read_input(struct streams *streams, int64_t now, struct error *err)
{
	uint8_t piece[INPUT_PIECE];
	ssize_t n = read(streams->in, piece, room(streams));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return STREAMS_NOTHING;
	bool gone = n == 0 || (n < 0 && errno == EIO);
	if (streams->terminal != NULL && gone) { /* it was hung up */
		end_input(streams);
		return STREAMS_READER_GONE;
	}
	if (n < 0)
		return error_set_errno(err, ERROR_INPUT, "standard input cannot be read");
	if (streams->terminal != NULL)
		return pass_keys(streams, piece, (size_t)n, now);
	if (n == 0)
		end_input(streams);
	session_input(streams->session, piece, (size_t)n);
	return STREAMS_NOTHING;
}

static int write_output(struct outlet *outlet, struct buffer *bytes, struct error *err)
{
	bool gone = outlet->gone;
	int r = outlet_write(outlet, bytes, err);
	if (r < 0)
		return r;
	return outlet->gone && !gone ? STREAMS_READER_GONE : STREAMS_NOTHING;
}

int streams_act(struct streams *streams, const struct pollfd fds[static STREAMS_FDS], int64_t now,
	struct error *err)
{
	struct session *session = streams->session;
	int event = STREAMS_NOTHING;
	if (fds[STREAMS_SIGNALS].revents != 0) {
		bool resized;
		event = terminal_take_signals(streams->terminal, &resized, err);
		if (event == 0 && resized)
			resize(streams);
	}
	if (event == STREAMS_NOTHING && fds[STREAMS_OUT].revents != 0)
		event = write_output(&streams->out, &session->out, err);
	if (event == STREAMS_NOTHING && fds[STREAMS_ERR].revents != 0)
		event = write_output(&streams->err, &session->err, err);
	if (event == STREAMS_NOTHING && fds[STREAMS_IN].revents != 0 && room(streams) != 0)
		event = read_input(streams, now, err);
	return event;
}

void streams_close(struct streams *streams)
{
	if (streams->terminal != NULL)
		terminal_restore(streams->terminal, TERMINAL_UNTIDY);
	end_input(streams);
	outlet_close(&streams->out);
	outlet_close(&streams->err);
}
