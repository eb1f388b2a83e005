#include "layer/tar_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layer/tar_fields.h"
#include "support/memory.h"
#include "support/ustar.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Go and libarchive take no larger pax header, and no larger long name. */
#define BODY_MAX (1u << 20)

/* What the next bytes are. */
enum state {
	HEADER,
	BODY,  /* of a pax header or a long name */
	MAP,   /* more of an old sparse map */
	AHEAD, /* the map ahead of a sparse file's data */
	DATA,
	ENDED,
};

/* What was said ahead of an entry. */
struct ahead {
	char type; /* 'x'; 'L' also for 'K'; 0: nothing */
	char *long_name;
	bool long_link;
};

/* What a file is, and its sparse map where one is read. */
struct map {
	char *name;               /* of the entry */
	uint64_t stored, logical; /* bytes of the file in the tar, and with its holes */
	struct sparse_pieces pieces;
	bool over;                /* of an old one: its last piece was seen */
	uint64_t numbers, wanted; /* of one ahead of the data: seen, and as many as there are */
	char digits[20];          /* of the next number */
	size_t digit_count;
	uint64_t offset;
};

struct tar_check {
	enum state state;
	uint64_t position;
	uint64_t left;            /* bytes of DATA, with the padding */
	uint64_t zeros;           /* 1: a block of zeros came before */
	uint8_t block[TAR_BLOCK]; /* the beginning of one */
	size_t block_len;
	bool begun; /* headers of an entry were seen from `start` on, not the entry itself */
	uint64_t start;
	char body_type;
	size_t body_size; /* without its padding */
	struct buffer body;
	struct ahead ahead;
	struct map map;           /* of the last file */
	struct tar_said *entries; /* that were not asked for, from first on */
	size_t first, count, capacity;
	char fault[PAX_FAULT_SIZE];
};

/* A block that goes on with the map. */
struct gnu_map {
	char pieces[21][24];
	char is_extended;
	char pad[7];
};
_Static_assert(sizeof(struct gnu_map) == TAR_BLOCK, "a block");

void tar_said_free(struct tar_said *said)
{
	free(said->path);
	free(said->target);
	buffer_free(&said->pax);
	*said = (struct tar_said){0};
}

struct tar_check *tar_check_new(void)
{
	return xcalloc(1, sizeof(struct tar_check));
}

static void forget_ahead(struct tar_check *c)
{
	free(c->ahead.long_name);
	c->ahead = (struct ahead){0};
	buffer_free(&c->body);
}

void tar_check_free(struct tar_check *check)
{
	if (check == NULL)
		return;
	forget_ahead(check);
	for (size_t i = check->first; i < check->count; i++)
		tar_said_free(&check->entries[i]);
	free(check->entries);
	free(check->map.name);
	free(check);
}

/* The entry's name as far as it is known; the caller frees it. */
static char *entry_name(const struct tar_check *c, const struct ustar *h)
{
	struct pax_said said;
	char fault[PAX_FAULT_SIZE];
	if (c->ahead.long_name != NULL)
		return xstrdup(c->ahead.long_name);
	if (c->ahead.type == 'x') {
		(void)pax_read(&c->body, &said, fault);
		if (said.path.key != NULL)
			return xstrndup(said.path.value, said.path.value_len);
	}
	bool prefix = h->prefix[0] != '\0' && memcmp(h->magic, "ustar", 6) == 0;
	return xasprintf("%.155s%s%.100s", prefix ? h->prefix : "", prefix ? "/" : "", h->name);
}

/* Refuses an entry for what is in c->fault. */
static int refuse_named(const struct tar_check *c, const char *name, struct error *err)
{
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: %s, which readers of tars do not take alike; pack it again", name, c->fault);
}

static int refuse(const struct tar_check *c, const struct ustar *h, struct error *err)
{
	cleanup_free char *name = entry_name(c, h);
	return refuse_named(c, name, err);
}

/* The same for what is of no entry. */
static int refuse_place(const struct tar_check *c, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, EINVAL,
		"at byte %" PRIu64 ": %s, which readers of tars do not take alike; pack it again",
		c->position, what);
}

static void say_field(struct tar_check *c, const char *name, const char *field, size_t len)
{
	char text[16];
	snprintf(text, sizeof(text), "%.*s", (int)len, field);
	snprintf(c->fault, sizeof(c->fault), "its header's %s, \"%s\", is no plain number", name,
		text);
}

/* Whether each number of a header is one; those of use are given out. */
static bool read_numbers(
	struct tar_check *c, const struct ustar *h, struct tar_said *said, uint64_t *size)
{
	const struct {
		const char *name, *field;
		size_t len;
		int64_t min, value;
	} fields[] = {
		{"mode", h->mode, sizeof(h->mode), 0, 0},
		{"uid", h->uid, sizeof(h->uid), 0, 0},
		{"gid", h->gid, sizeof(h->gid), 0, 0},
		{"size", h->size, sizeof(h->size), 0, 0},
		{"mtime", h->mtime, sizeof(h->mtime), INT64_MIN, 0},
		{"devmajor", h->devmajor, sizeof(h->devmajor), 0, 0},
		{"devminor", h->devminor, sizeof(h->devminor), 0, 0},
	};
	int64_t values[COUNT(fields)] = {0};
	bool device = h->typeflag == '3' || h->typeflag == '4';
	for (size_t i = 0; i < COUNT(fields); i++) {
		/* Blanks alone are common where there is no device. */
		if (i >= 5 && !device && (fields[i].field[0] == ' ' || fields[i].field[0] == '\0'))
			continue;
		if (!tar_number(fields[i].field, fields[i].len, &values[i]) ||
			values[i] < fields[i].min) {
			say_field(c, fields[i].name, fields[i].field, fields[i].len);
			return false;
		}
	}
	said->mode = (uint32_t)values[0] & 07777;
	*size = (uint64_t)values[3];
	said->mtime_sec = values[4];
	said->major = (uint64_t)values[5];
	said->minor = (uint64_t)values[6];
	return true;
}

static int take_long_name(struct tar_check *c, struct error *err)
{
	const char *text = (const char *)c->body.data;
	size_t len = strnlen(text != NULL ? text : "", c->body_size);
	if (len == 0 || !tar_is_zero(text + len, c->body_size - len))
		return refuse_place(c, "a GNU long name is empty, or has a NUL in it", err);
	if (c->body_type == 'L')
		c->ahead.long_name = xstrndup(text, len);
	else
		c->ahead.long_link = true;
	c->ahead.type = 'L';
	buffer_free(&c->body);
	return 0;
}

/* The body of a header is whole. What is wrong with a pax header is told with the entry's name. */
static int end_body(struct tar_check *c, struct error *err)
{
	int r = 0;
	c->state = HEADER;
	c->body.len = c->body_size;
	if (c->body_type == 'x') {
		c->ahead.type = 'x';
		return 0;
	}
	if (c->body_type == 'g')
		r = pax_read_global(&c->body, c->fault) ? 0 : refuse_place(c, c->fault, err);
	else
		return take_long_name(c, err);
	buffer_free(&c->body);
	return r;
}

/* A header ahead of an entry's own. Its body is taken next. */
static int begin_body(struct tar_check *c, const struct ustar *h, uint64_t size, struct error *err)
{
	char type = h->typeflag;
	const char *what = NULL;
	if (type == 'g' ? c->ahead.type != 0 : type == 'x' && c->ahead.type == 'x')
		what = type == 'g' ? "a global pax header follows the entry's own"
				   : "two pax headers are before one entry";
	else if (type == 'x' ? c->ahead.type != 0 : type != 'g' && c->ahead.type == 'x')
		what = "a pax header and a GNU long name are before one entry";
	else if ((type == 'L' && c->ahead.long_name != NULL) || (type == 'K' && c->ahead.long_link))
		what = "two GNU long names are before one entry";
	else if (size > BODY_MAX)
		what = "a header is larger than 1 MiB";
	if (what != NULL)
		return refuse_place(c, what, err);
	c->body_type = type;
	c->body_size = (size_t)size;
	c->state = BODY;
	return size == 0 ? end_body(c, err) : 0;
}

static void begin_data(struct tar_check *c, uint64_t size)
{
	c->state = size != 0 ? DATA : HEADER;
	c->left = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static int end_map(struct tar_check *c, struct error *err)
{
	const struct map *map = &c->map;
	snprintf(c->fault, sizeof(c->fault),
		"its sparse map does not fit its size, %" PRIu64 " in the tar and %" PRIu64
		" with its holes",
		map->stored, map->logical);
	if (map->pieces.bytes != map->stored || map->pieces.end > map->logical)
		return refuse_named(c, map->name, err);
	begin_data(c, map->stored);
	return 0;
}

static int fail_map(struct tar_check *c, struct error *err)
{
	snprintf(c->fault, sizeof(c->fault),
		"its sparse map has what is no plain number, or no piece in its place");
	return refuse_named(c, c->map.name, err);
}

static bool read_piece(struct map *map, const char piece[24])
{
	int64_t offset, length;
	map->over = map->over || piece[0] == '\0';
	if (map->over)
		return tar_is_zero(piece, 24);
	return tar_number(piece, 12, &offset) && offset >= 0 &&
	       tar_number(piece + 12, 12, &length) && length >= 0 &&
	       sparse_pieces_add(&map->pieces, (uint64_t)offset, (uint64_t)length);
}

/* Pieces of an old sparse map: those after the last one are empty. */
static int read_pieces(struct tar_check *c, const char (*pieces)[24], size_t count,
	bool is_extended, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!read_piece(&c->map, pieces[i]))
			return fail_map(c, err);
	}
	if (is_extended && c->map.over)
		return fail_map(c, err);
	c->state = MAP;
	return is_extended ? 0 : end_map(c, err);
}

static int begin_map(struct tar_check *c, const struct ustar *h, struct error *err)
{
	struct gnu_tail tail;
	int64_t times[2], offset, logical;
	memcpy(&tail, h->prefix, sizeof(tail));
	if (!tar_number(tail.offset, sizeof(tail.offset), &offset) || offset != 0 ||
		!tar_number(tail.realsize, sizeof(tail.realsize), &logical) || logical < 0 ||
		!tar_number(tail.atime, sizeof(tail.atime), &times[0]) ||
		!tar_number(tail.ctime, sizeof(tail.ctime), &times[1]) ||
		!tar_is_zero(tail.longnames, sizeof(tail.longnames)) || tail.unused != '\0') {
		snprintf(c->fault, sizeof(c->fault), "its sparse header is not as GNU tar's are");
		return refuse_named(c, c->map.name, err);
	}
	c->map.logical = (uint64_t)logical;
	return read_pieces(c, tail.pieces, COUNT(tail.pieces), tail.is_extended != '\0', err);
}

static int take_map(struct tar_check *c, const void *block, struct error *err)
{
	struct gnu_map map;
	memcpy(&map, block, sizeof(map));
	return read_pieces(c, map.pieces, COUNT(map.pieces), map.is_extended != '\0', err);
}

static bool is_map_whole(const struct map *map)
{
	return map->numbers != 0 && map->numbers == map->wanted;
}

/* A number of the map ahead of the data: how many pieces there are, then offsets and lengths. */
static bool take_map_number(struct map *map)
{
	uint64_t number;
	if (!pax_number(map->digits, map->digit_count, &number))
		return false;
	map->digit_count = 0;
	map->numbers++;
	if (map->numbers == 1)
		return !__builtin_mul_overflow(number, 2, &map->wanted) &&
		       !__builtin_add_overflow(map->wanted, 1, &map->wanted);
	if (map->numbers % 2 == 1)
		return sparse_pieces_add(&map->pieces, map->offset, number);
	map->offset = number;
	return true;
}

/* The map ahead of the data takes whole blocks; its lines end within the last of them. */
static int take_ahead(struct tar_check *c, const uint8_t *block, struct error *err)
{
	struct map *map = &c->map;
	if (map->stored < TAR_BLOCK)
		return fail_map(c, err);
	map->stored -= TAR_BLOCK;
	for (size_t i = 0; i < TAR_BLOCK && !is_map_whole(map); i++) {
		if (block[i] == '\n' ? !take_map_number(map)
				     : map->digit_count == sizeof(map->digits))
			return fail_map(c, err);
		if (block[i] != '\n')
			map->digits[map->digit_count++] = (char)block[i];
	}
	return is_map_whole(map) ? end_map(c, err) : 0;
}

static bool is_file(char type)
{
	return type == '0' || type == '\0' || type == 'S';
}

/* Whether what is said ahead and in the header goes with the entry's type. */
static bool check_type(struct tar_check *c, const struct ustar *h, const struct pax_said *pax,
	const char *name, uint64_t size)
{
	char type = h->typeflag;
	size_t len = strlen(name);
	bool slash = len != 0 && name[len - 1] == '/';
	bool link = type == '1' || type == '2';
	/* A directory of the oldest format is a file with a slash behind its own name. */
	size_t own_len = strnlen(h->name, sizeof(h->name));
	bool own_slash = type == '\0' && own_len != 0 && h->name[own_len - 1] == '/';
	bool old_dir = own_slash && c->ahead.type == 0;
	const char *what = NULL;
	if (type != '\0' && strchr("0123456S", type) == NULL)
		snprintf(c->fault, sizeof(c->fault), "it is of type \"%c\"", type);
	else if (len == 0)
		what = "it has no name";
	else if (is_file(type) && (slash || own_slash) && !old_dir)
		what = "it is a file with a slash behind its name";
	else if (size != 0 && (!is_file(type) || old_dir))
		snprintf(c->fault, sizeof(c->fault),
			"it has a size of %" PRIu64 ", though it is no file", size);
	else if (!link && (pax->linkpath.key != NULL || c->ahead.long_link))
		what = "it has the target of a link, though it is no link";
	else if (pax->sparse != PAX_DENSE && type != '0' && type != '\0')
		what = "it is told to be sparse, though it is no file";
	else if (pax->sparse != PAX_DENSE && pax->has_size && size <= USTAR_OCTAL_11)
		what = "its pax records have a size besides those of a sparse file";
	else if (type == 'S' && c->ahead.type == 'x')
		what = "it has a pax header, and is sparse in GNU's way";
	else if (pax->sparse == PAX_SPARSE_LISTED && pax->pieces.bytes != size)
		what = "its sparse map does not tell of as many bytes as its size";
	else if (size > INT64_MAX - TAR_BLOCK)
		what = "its size is too large";
	else
		return true;
	if (what != NULL)
		snprintf(c->fault, sizeof(c->fault), "%s", what);
	return false;
}

static char *copy_value(const struct pax_record *record)
{
	return record->key != NULL ? xstrndup(record->value, record->value_len) : NULL;
}

static void add_entry(struct tar_check *c, struct tar_said *said, const struct pax_said *pax)
{
	if (c->first == c->count)
		c->first = c->count = 0;
	if (pax->has_mtime) {
		said->mtime_sec = pax->mtime_sec;
		said->mtime_nsec = pax->mtime_nsec;
	}
	said->at = c->start;
	said->path = copy_value(&pax->path);
	said->target = copy_value(&pax->linkpath);
	said->pax = c->body;
	c->body = (struct buffer){0};
	c->entries = array_grow(c->entries, c->count, &c->capacity, sizeof(*c->entries));
	c->entries[c->count++] = *said;
	c->begun = false;
	forget_ahead(c);
}

static int take_entry(struct tar_check *c, const struct ustar *h, struct tar_said *said,
	uint64_t size, struct error *err)
{
	struct pax_said pax = {0};
	if (c->ahead.type == 'x' && !pax_read(&c->body, &pax, c->fault))
		return refuse(c, h, err);
	cleanup_free char *name = entry_name(c, h);
	if (pax.has_size)
		size = pax.size;
	if (!check_type(c, h, &pax, name, size))
		return refuse_named(c, name, err);
	free(c->map.name);
	c->map = (struct map){.name = steal_ptr(&name), .stored = size, .logical = pax.sparse_size};
	int r = 0;
	if (h->typeflag == 'S')
		r = begin_map(c, h, err);
	else if (pax.sparse == PAX_SPARSE_AHEAD)
		c->state = AHEAD;
	else
		begin_data(c, size);
	if (r == 0)
		add_entry(c, said, &pax);
	return r;
}

static int take_zeros(struct tar_check *c, struct error *err)
{
	if (c->ahead.type != 0)
		return refuse_place(c, "the tar ends behind a header for an entry", err);
	if (++c->zeros == 2)
		c->state = ENDED;
	return 0;
}

static int take_header(struct tar_check *c, const struct ustar *h, struct error *err)
{
	struct tar_said said = {0};
	uint64_t size;
	if (tar_is_zero(h, sizeof(*h)))
		return take_zeros(c, err);
	if (!tar_has_checksum(h))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s at byte %" PRIu64 ": no tar header, its checksum is wrong",
			c->position == 0 ? "not a tar" : "a damaged tar", c->position);
	if (!c->begun)
		c->start = c->position;
	c->begun = true;
	const char *fault = tar_format_fault(h);
	if (fault != NULL)
		snprintf(c->fault, sizeof(c->fault), "%s", fault);
	if (fault != NULL || !read_numbers(c, h, &said, &size))
		return refuse(c, h, err);
	if (c->zeros != 0) {
		snprintf(c->fault, sizeof(c->fault), "one block of zeros is before it");
		return refuse(c, h, err);
	}
	if (h->typeflag != '\0' && strchr("gxLK", h->typeflag) != NULL)
		return begin_body(c, h, size, err);
	return take_entry(c, h, &said, size, err);
}

static int take_block(struct tar_check *c, const uint8_t *block, struct error *err)
{
	struct ustar header;
	switch (c->state) {
	case HEADER:
		memcpy(&header, block, sizeof(header));
		return take_header(c, &header, err);
	case MAP:
		return take_map(c, block, err);
	case AHEAD:
		return take_ahead(c, block, err);
	case BODY:
		buffer_add(&c->body, block, TAR_BLOCK);
		return c->body.len < c->body_size ? 0 : end_body(c, err);
	default:
		return 0;
	}
}

/* Takes some bytes, of which *taken are used up. */
static int take_some(
	struct tar_check *c, const uint8_t *data, size_t len, size_t *taken, struct error *err)
{
	int r = 0;
	*taken = len;
	if (c->state == DATA || c->state == ENDED) {
		if (c->state == DATA && len > c->left)
			*taken = (size_t)c->left;
		tar_check_skip(c, *taken);
		return 0;
	}
	if (c->block_len == 0 && len >= TAR_BLOCK) {
		*taken = TAR_BLOCK;
		r = take_block(c, data, err);
		c->position += TAR_BLOCK;
		return r;
	}
	if (len > TAR_BLOCK - c->block_len)
		*taken = TAR_BLOCK - c->block_len;
	memcpy(c->block + c->block_len, data, *taken);
	c->block_len += *taken;
	if (c->block_len == TAR_BLOCK) {
		c->block_len = 0;
		r = take_block(c, c->block, err);
		c->position += TAR_BLOCK;
	}
	return r;
}

int tar_check_add(struct tar_check *check, const void *data, size_t len, struct error *err)
{
	const uint8_t *at = data;
	while (len != 0) {
		size_t taken;
		int r = take_some(check, at, len, &taken, err);
		if (r < 0)
			return r;
		at += taken;
		len -= taken;
	}
	return 0;
}

uint64_t tar_check_skippable(const struct tar_check *check)
{
	switch (check->state) {
	case DATA:
		return check->left;
	case ENDED:
		return UINT64_MAX;
	default:
		return 0;
	}
}

void tar_check_skip(struct tar_check *check, uint64_t len)
{
	check->position += len;
	if (check->state != DATA)
		return;
	check->left -= len;
	if (check->left == 0)
		check->state = HEADER;
}

static int differ(uint64_t at, struct error *err)
{
	return error_set(err, ERROR_INPUT, EINVAL,
		"at byte %" PRIu64 ": readers of tars do not see the same entry there; pack it "
		"again",
		at);
}

int tar_check_entry(struct tar_check *check, uint64_t at, struct tar_said *said, struct error *err)
{
	if (check->first == check->count || check->entries[check->first].at != at)
		return differ(at, err);
	*said = check->entries[check->first++];
	return 0;
}

int tar_check_end(const struct tar_check *check, struct error *err)
{
	if (check->first != check->count)
		return differ(check->entries[check->first].at, err);
	if (check->ahead.type != 0 || check->state == BODY || check->state == MAP ||
		check->state == AHEAD)
		return refuse_place(check, "the tar ends behind a header for an entry", err);
	return 0;
}
