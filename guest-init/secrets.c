#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "inside.h"
#include "protocol.h"

#define SECRETS_FOLDER "/secrets"
#define ID_LENGTH_SIZE 4

/* Not a tmpfs: its pages could go to a swap file that a script has made in the image. */
static int open_folder(struct secrets *secrets, struct fault *fault)
{
	if (!secrets->any && mkdir(SECRETS_FOLDER, 0755) < 0)
		return fault_set_errno(fault, "cannot make " SECRETS_FOLDER);
	if (!secrets->any && mount("ramfs", SECRETS_FOLDER, "ramfs",
				     MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
		return fault_set_errno(fault, "cannot mount a ramfs for secrets");
	secrets->any = true;
	int folder = open(SECRETS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return fault_set_errno(fault, "cannot open " SECRETS_FOLDER);
	return folder;
}

static int write_file(
	int folder, const char *id, const char *content, size_t length, struct fault *fault)
{
	int fd = openat(folder, id, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return fault_set_errno(fault, "cannot store secret %.80s", id);
	while (length > 0) {
		ssize_t n = write(fd, content, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fault_set_errno(fault, "cannot store secret %.80s", id);
			close(fd);
			return -1;
		}
		content += n;
		length -= (size_t)n;
	}
	close(fd);
	return 0;
}

/* Whether bytes name a file of a folder. */
static bool is_file_name(const char *id, size_t length)
{
	return length > 0 && length <= 255 && memchr(id, '/', length) == NULL &&
	       memchr(id, '\0', length) == NULL && strncmp(id, ".", length) != 0 &&
	       strncmp(id, "..", length) != 0;
}

int secrets_take(struct secrets *secrets, void *payload, size_t length, struct fault *fault)
{
	char id[256] = "";
	const char *bytes = payload;
	uint32_t id_length = length < ID_LENGTH_SIZE ? 0 : protocol_get_u32(payload);
	if (length < ID_LENGTH_SIZE || id_length > length - ID_LENGTH_SIZE ||
		!is_file_name(bytes + ID_LENGTH_SIZE, id_length))
		return fault_set(fault, "the host sent a secret whose ID is no file name");
	size_t start = ID_LENGTH_SIZE + id_length;
	if (length - start > SECRET_MAX)
		return fault_set(fault, "the host sent a secret of %zu bytes, at most %u are taken",
			length - start, SECRET_MAX);
	memcpy(id, bytes + ID_LENGTH_SIZE, id_length);
	int folder = open_folder(secrets, fault);
	if (folder < 0)
		return -1;
	int r = write_file(folder, id, bytes + start, length - start, fault);
	close(folder);
	explicit_bzero(payload, length);
	return r;
}

int secrets_surround(const struct secrets *secrets, struct fault *fault)
{
	if (!secrets->any)
		return 0;
	return inside_bind(SECRETS_FOLDER,
		&(struct inside){.path = PROTOCOL_SECRETS,
			.follow = true,
			.attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				      MOUNT_ATTR_NOEXEC},
		fault);
}
