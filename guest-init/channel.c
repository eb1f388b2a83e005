#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices.h"

int channel_open(struct fault *fault)
{
	int fd = open(DEVICE_CHANNEL, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open %s", DEVICE_CHANNEL);
	return fd;
}

static int write_all(int fd, const void *data, size_t len, struct fault *fault)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set_errno(fault, "cannot write to the host");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int channel_send(
	int channel, enum frame_type type, const void *payload, size_t length, struct fault *fault)
{
	uint8_t header[FRAME_HEADER_SIZE];
	frame_header_put(header, type, (uint32_t)length);
	if (write_all(channel, header, sizeof(header), fault) < 0)
		return -1;
	return write_all(channel, payload, length, fault);
}

static int read_all(int fd, void *data, size_t len, struct fault *fault)
{
	char *p = data;
	while (len > 0) {
		ssize_t n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set_errno(fault, "cannot read from the host");
		if (n == 0)
			return fault_set(fault, "the host closed the channel");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int channel_receive(int channel, struct frame *frame, struct fault *fault)
{
	uint8_t bytes[FRAME_HEADER_SIZE];
	if (read_all(channel, bytes, sizeof(bytes), fault) < 0)
		return -1;
	struct frame_header header = frame_header_get(bytes);
	if (!frame_header_valid(&header))
		return fault_set(fault,
			"frame of version %u, type %u and length %u from the host, version %u is "
			"expected: layervm and its guest files do not belong together",
			header.version, header.type, header.length, PROTOCOL_VERSION);
	char *payload = malloc((size_t)header.length + 1);
	if (payload == NULL)
		return fault_set_errno(fault, "cannot receive %u bytes", header.length);
	if (read_all(channel, payload, header.length, fault) < 0) {
		free(payload);
		return -1;
	}
	payload[header.length] = '\0';
	*frame = (struct frame){
		.type = header.type,
		.length = header.length,
		.payload = payload,
	};
	return 0;
}

int frame_window_size(
	const struct frame *frame, uint32_t *rows, uint32_t *columns, struct fault *fault)
{
	const uint8_t *payload = (const uint8_t *)frame->payload;
	if (frame->length != TERMINAL_SIZE)
		return fault_set(fault, "the host gave a terminal's size in %u bytes, not %d",
			frame->length, TERMINAL_SIZE);
	*rows = protocol_get_u32(payload);
	*columns = protocol_get_u32(payload + 4);
	return 0;
}

void frame_free(struct frame *frame)
{
	free(frame->payload);
	frame->payload = NULL;
}
