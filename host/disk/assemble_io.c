#include "disk/assemble_io.h"

#include <errno.h>
#include <string.h>

#include "disk/disk.h"
#include "disk/library_error.h"
#include "support/fileio.h"

static const char disk_name[] = "the guest's disk";

static struct assemble_io *io_of(io_channel channel)
{
	return channel->private_data;
}

/* Which writer the bytes at offset belong to; NULL: none. */
static struct disk_writer *writer_of(struct assemble_io *io, uint64_t offset)
{
	if (offset >= io->start)
		return &io->data;
	return offset >= io->table ? &io->inodes : NULL;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Adds bytes behind what the writer has, or behind a hole there. */
static int append(
	struct disk_writer *w, uint64_t offset, const void *data, size_t len, struct error *err)
{
	void *room;
	int r = 0;
	if (offset > writer_offset(w))
		r = writer_skip(w, offset - writer_offset(w), err);
	if (r == 0)
		r = writer_room(w, len, &room, err);
	if (r == 0)
		memcpy(room, data, len);
	return r;
}

static int write_bytes(
	struct assemble_io *io, uint64_t offset, const void *data, size_t len, struct error *err)
{
	struct disk_writer *w = writer_of(io, offset);
	if (w == NULL && is_zero(data, len))
		return 0;
	if (w != NULL && offset >= writer_offset(w))
		return append(w, offset, data, len, err);
	uint8_t *held = w != NULL ? writer_held(w, offset, len) : NULL;
	if (held == NULL)
		return file_write_at(io->fd, data, len, offset, disk_name, err);
	memcpy(held, data, len);
	return 0;
}

static int read_bytes(
	struct assemble_io *io, uint64_t offset, void *data, size_t len, struct error *err)
{
	struct disk_writer *w = writer_of(io, offset);
	const uint8_t *held = w != NULL ? writer_held(w, offset, len) : NULL;
	if (w != NULL && offset >= writer_offset(w))
		memset(data, 0, len);
	else if (held != NULL)
		memcpy(data, held, len);
	else
		return file_read_at(io->fd, data, len, offset, disk_name, err);
	return 0;
}

/* libext2fs knows codes only: the words are kept for assemble_io_error. */
static errcode_t code_of(struct assemble_io *io, int r)
{
	if (r < 0)
		io->failed = r;
	return -r;
}

/* A negative count is one of bytes. */
static size_t length(io_channel channel, int count)
{
	return count < 0 ? (size_t)-count : (size_t)count * (size_t)channel->block_size;
}

static errcode_t io_read(io_channel channel, unsigned long long block, int count, void *data)
{
	struct assemble_io *io = io_of(channel);
	uint64_t offset = block * (unsigned)channel->block_size;
	return code_of(io, read_bytes(io, offset, data, length(channel, count), &io->err));
}

static errcode_t io_write(io_channel channel, unsigned long long block, int count, const void *data)
{
	struct assemble_io *io = io_of(channel);
	uint64_t offset = block * (unsigned)channel->block_size;
	return code_of(io, write_bytes(io, offset, data, length(channel, count), &io->err));
}

static errcode_t io_read_narrow(io_channel channel, unsigned long block, int count, void *data)
{
	return io_read(channel, block, count, data);
}

static errcode_t io_write_narrow(
	io_channel channel, unsigned long block, int count, const void *data)
{
	return io_write(channel, block, count, data);
}

static errcode_t io_set_block_size(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

/* All is flushed by assemble_io_flush, once nothing changes any more. */
static errcode_t io_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

/* The descriptor is the caller's, and the channel's memory too. */
static errcode_t io_close(io_channel channel)
{
	(void)channel;
	return 0;
}

static errcode_t io_open(const char *name, int flags, io_channel *channel)
{
	struct assemble_io *io = (struct assemble_io *)(uintptr_t)name;
	(void)flags;
	*channel = &io->channel;
	return 0;
}

const struct struct_io_manager assemble_io_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "layervm",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_block_size,
	.read_blk = io_read_narrow,
	.write_blk = io_write_narrow,
	.flush = io_flush,
	.read_blk64 = io_read,
	.write_blk64 = io_write,
};

void assemble_io_init(struct assemble_io *io, int fd, uint64_t table, uint64_t start)
{
	*io = (struct assemble_io){.name = "disk", .fd = fd, .table = table, .start = start};
	io->channel = (struct struct_io_channel){
		.magic = EXT2_ET_MAGIC_IO_CHANNEL,
		.manager = (io_manager)(uintptr_t)&assemble_io_manager,
		.name = io->name,
		.block_size = DISK_BLOCK_SIZE,
		.refcount = 1,
		.private_data = io,
	};
	writer_init(&io->inodes, fd, table);
	writer_init(&io->data, fd, start);
}

void assemble_io_free(struct assemble_io *io)
{
	writer_free(&io->inodes);
	writer_free(&io->data);
}

int assemble_io_flush(struct assemble_io *io, struct error *err)
{
	int r = writer_flush(&io->inodes, err);
	return r < 0 ? r : writer_flush(&io->data, err);
}

int assemble_io_error(
	const struct assemble_io *io, errcode_t code, const char *doing, struct error *err)
{
	if (io->failed != 0) {
		*err = io->err;
		return io->failed;
	}
	return library_error(code, doing, err);
}
