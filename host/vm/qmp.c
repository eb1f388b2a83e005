#include "vm/qmp.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "support/clock.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define LINE_MAX_BYTES 65536u
#define DEPTH_MAX 16

/* The name that a descriptor has in QEMU until a command takes it. */
#define STATE_NAME "state"

static int wait_for(const struct qmp *qmp, short events, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = qmp->fd, .events = events},
			{.fd = interrupt_fd(), .events = POLLIN}};
		int64_t left = qmp->deadline - clock_ms();
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (left <= 0)
			return error_set(err, ERROR_QEMU, ETIMEDOUT,
				"QEMU does not answer on its control channel");
		r = poll(fds, 2, left < 3600000 ? (int)left : 3600000);
		if (r < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "cannot wait for QEMU");
		if (r > 0 && fds[0].revents != 0)
			return 0;
	}
}

/* The next message, an object; the caller puts it. */
static int receive(struct qmp *qmp, json_object **message, struct error *err)
{
	const char *end;
	while (qmp->in.len == 0 || (end = memchr(qmp->in.data, '\n', qmp->in.len)) == NULL) {
		if (qmp->in.len > LINE_MAX_BYTES)
			return error_set(err, ERROR_QEMU, EPROTO,
				"QEMU's control channel: a line of more than %u bytes",
				LINE_MAX_BYTES);
		ssize_t n = recv(qmp->fd, buffer_reserve(&qmp->in, 4096), 4096, 0);
		if (n > 0) {
			qmp->in.len += (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return error_set(err, ERROR_QEMU, EPIPE,
				"QEMU closed its control channel before it was ready");
		int r = wait_for(qmp, POLLIN, err);
		if (r < 0)
			return r;
	}
	size_t len = (size_t)(end - (const char *)qmp->in.data);
	json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	*message = tokener == NULL ? NULL
				   : json_tokener_parse_ex(
					     tokener, (const char *)qmp->in.data, (int)len + 1);
	if (tokener != NULL)
		json_tokener_free(tokener);
	buffer_consume(&qmp->in, len + 1);
	if (json_object_is_type(*message, json_type_object))
		return 0;
	json_object_put(*message);
	return error_set(
		err, ERROR_QEMU, EPROTO, "QEMU's control channel: a line that is no JSON object");
}

/* Keeps what an event says of a migration. */
static void note_event(struct qmp *qmp, json_object *message)
{
	json_object *event = NULL;
	json_object *data = NULL;
	json_object *status = NULL;
	json_object_object_get_ex(message, "event", &event);
	json_object_object_get_ex(message, "data", &data);
	json_object_object_get_ex(data, "status", &status);
	const char *name = json_object_get_string(event);
	const char *text = json_object_get_string(status);
	if (name == NULL || text == NULL || strcmp(name, "MIGRATION") != 0)
		return;
	if (strcmp(text, "completed") == 0)
		qmp->migration = QMP_MIGRATION_DONE;
	else if (strcmp(text, "failed") == 0)
		qmp->migration = QMP_MIGRATION_FAILED;
}

static int refused(json_object *error, const char *command, struct error *err)
{
	json_object *description = NULL;
	json_object_object_get_ex(error, "desc", &description);
	const char *words = json_object_get_string(description);
	return error_set(err, ERROR_QEMU, EPROTO, "QEMU refused \"%s\": %s", command,
		words != NULL ? words : "no reason given");
}

/* Sends a line; fd, where there is one, goes with it. */
static int send_line(struct qmp *qmp, const char *line, int fd, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {.iov_base = (char *)line, .iov_len = strlen(line)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	for (;;) {
		ssize_t n = sendmsg(qmp->fd, &message, MSG_NOSIGNAL);
		if (n == (ssize_t)part.iov_len)
			return 0;
		/* A command is far shorter than what a socket holds. */
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return error_set(err, ERROR_QEMU, EPIPE,
				"QEMU closed its control channel before it was ready");
		int r = wait_for(qmp, POLLOUT, err);
		if (r < 0)
			return r;
	}
}

static int command(
	struct qmp *qmp, const char *name, const char *arguments, int fd, struct error *err)
{
	cleanup_free char *line =
		xasprintf("{\"execute\":\"%s\",\"arguments\":%s}\n", name, arguments);
	int r = send_line(qmp, line, fd, err);
	bool answered = false;
	while (r == 0 && !answered) {
		json_object *message = NULL;
		json_object *error = NULL;
		r = receive(qmp, &message, err);
		if (r < 0)
			return r;
		note_event(qmp, message);
		answered = json_object_object_get_ex(message, "return", NULL);
		if (json_object_object_get_ex(message, "error", &error))
			r = refused(error, name, err);
		json_object_put(message);
	}
	return r;
}

int qmp_greet(struct qmp *qmp, struct error *err)
{
	json_object *message = NULL;
	int r = receive(qmp, &message, err);
	if (r < 0)
		return r;
	bool greeted = json_object_object_get_ex(message, "QMP", NULL);
	json_object_put(message);
	if (!greeted)
		return error_set(err, ERROR_QEMU, EPROTO,
			"QEMU's control channel does not begin with a greeting");
	qmp->greeted = true;
	r = command(qmp, "qmp_capabilities", "{}", -1, err);
	if (r < 0)
		return r;
	return command(qmp, "migrate-set-capabilities",
		"{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true},"
		"{\"capability\":\"events\",\"state\":true}]}",
		-1, err);
}

int qmp_execute(struct qmp *qmp, const char *name, struct error *err)
{
	return command(qmp, name, "{}", -1, err);
}

/* Hands a file over and has it migrated to or from. */
static int migrate(struct qmp *qmp, const char *name, int fd, struct error *err)
{
	qmp->migration = QMP_MIGRATION_NONE;
	int r = command(qmp, "getfd", "{\"fdname\":\"" STATE_NAME "\"}", fd, err);
	if (r == 0)
		r = command(qmp, name, "{\"uri\":\"fd:" STATE_NAME "\"}", -1, err);
	while (r == 0 && qmp->migration == QMP_MIGRATION_NONE) {
		json_object *message = NULL;
		r = receive(qmp, &message, err);
		if (r < 0)
			return r;
		note_event(qmp, message);
		json_object_put(message);
	}
	if (r < 0 || qmp->migration == QMP_MIGRATION_DONE)
		return r;
	return error_set(err, ERROR_QEMU, EIO, "QEMU could not %s its state",
		strcmp(name, "migrate") == 0 ? "save" : "load");
}

int qmp_save(struct qmp *qmp, int fd, struct error *err)
{
	return migrate(qmp, "migrate", fd, err);
}

int qmp_load(struct qmp *qmp, int fd, struct error *err)
{
	return migrate(qmp, "migrate-incoming", fd, err);
}

void qmp_free(struct qmp *qmp)
{
	buffer_free(&qmp->in);
	cleanup_close_fn(&qmp->fd);
}
