/* Compressed archives are inflated once: what they hold is kept, and is taken for nothing else. */
#include "cache_rig.h"
#include "image_builder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "commands/boot_mark.h"
#include "commands/kept_archive.h"

/* Folders of the archives, which are written once and waited for once until they are settled. */
static char archives[] = "/tmp/layervm-archives-XXXXXX";
enum which { GZIP, OTHER, LARGE, PLAIN, WHICH_COUNT };
static char paths[WHICH_COUNT][64];

/* What the file of each image holds; of LARGE more than half a MiB, which is less when packed. */
static char large[(1 << 19) + 1];
static const char *const texts[WHICH_COUNT] = {
	[GZIP] = "text", [OTHER] = "other", [LARGE] = large, [PLAIN] = "text"};

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static struct buffer one_image(const char *text)
{
	struct buffer bytes = {0};
	cleanup_buffer struct buffer layer = make_layer(text);
	cleanup_free char *config = make_config("", &layer, 1);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "a.tar", layer.data, layer.len);
	builder_text(archive, "a.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"a.json\",\"RepoTags\":[\"one:1\"],\"Layers\":[\"a.tar\"]}]");
	builder_end(archive);
	return bytes;
}

static void write_file(const char *path, const struct buffer *bytes)
{
	struct error err;
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	must(file_write_at(fd, bytes->data, bytes->len, 0, "archive", &err), &err);
}

static void write_archive(const char *path, const char *text, bool compressed)
{
	cleanup_buffer struct buffer bytes = one_image(text);
	cleanup_buffer struct buffer stored =
		compress(&bytes, compressed ? archive_write_add_filter_gzip : NULL);
	write_file(path, &stored);
}

static int make_archives(void **state)
{
	(void)state;
	if (mkdtemp(archives) == NULL)
		return -1;
	memset(large, 'x', sizeof(large) - 1);
	for (size_t i = 0; i < WHICH_COUNT; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%zu", archives, i);
		write_archive(paths[i], texts[i], i != PLAIN);
	}
	for (;;) {
		struct error err;
		cleanup_image struct image *image = NULL;
		const struct image_options options = {.later = true};
		must(image_open(paths[WHICH_COUNT - 1], &options, &image, &err), &err);
		if (image_is_settled(image))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

static int remove_archives(void **state)
{
	(void)state;
	return nftw(archives, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The files of a kind in the cache; path: of one of them. */
static size_t entries(const char *kind, char path[static 256])
{
	char name[128];
	size_t count = 0;
	snprintf(name, sizeof(name), "%s/%s", folder, kind);
	DIR *stream = opendir(name);
	for (const struct dirent *d; stream != NULL && (d = readdir(stream)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, 256, "%s/%.100s", name, d->d_name);
		count++;
	}
	if (stream != NULL)
		closedir(stream);
	return count;
}

/* The keeper's own function, and how often it was called. */
static int (*real_start)(struct image_keep *keep);
static unsigned starts;

static int counting_start(struct image_keep *keep)
{
	starts++;
	return real_start(keep);
}

/* What opening an archive gave. */
struct opening {
	unsigned inflated; /* how often it was begun to be inflated into the cache */
	char *said;
	char *text; /* of the image's file */
};

static void opening_free(struct opening *opening)
{
	free(opening->said);
	free(opening->text);
}
#define cleanup_opening __attribute__((cleanup(opening_free)))

/* Opens and verifies an archive that has the text. */
static struct opening open_archive(const char *path, const char *text, enum base_check check)
{
	struct error err;
	struct kept_archive kept;
	struct opening opening = {0};
	cleanup_buffer struct buffer tar = make_layer(text);
	cleanup_image struct image *image = NULL;
	cleanup_close int said = memfd_create("report", MFD_CLOEXEC);
	cleanup_cache struct cache *cache = open_cache();
	cleanup_report struct report *report = report_new(REPORT_PLAIN, said);
	kept_archive_init(&kept, cache, report, check);
	real_start = kept.keep.start;
	kept.keep.start = counting_start;
	starts = 0;
	const struct image_options options = {.later = true, .keep = &kept.keep};
	must(image_open(path, &options, &image, &err), &err);
	kept_archive_close(&kept);
	opening.inflated = starts;
	must(image_verify(image, &err), &err);
	assert_layer(&image->layers[0], &tar);
	struct buffer bytes = memory_file_bytes(said);
	opening.said = buffer_steal_text(&bytes);
	return opening;
}

static void expect(enum which which, enum base_check check, unsigned inflated, const char *said)
{
	cleanup_opening struct opening opening = open_archive(paths[which], texts[which], check);
	assert_int_equal(opening.inflated, inflated);
	if (said == NULL)
		assert_string_equal(opening.said, "");
	else if (strstr(opening.said, said) == NULL)
		fail_msg("\"%s\" is not in: %s", said, opening.said);
}

/* Of the entries' bytes, one that no header of a tar has. */
#define HIDDEN_BYTE (4096 + 100)

static void edit(const char *path, off_t at)
{
	uint8_t byte;
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	if (at < 0)
		at += lseek(fd, 0, SEEK_END);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Whether `cache verify` takes it for whole. */
static void check_whole(const char *path, bool is_whole)
{
	struct error err;
	struct digest key;
	cleanup_free char *name = xasprintf("sha256:%s", strrchr(path, '/') + 1);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(digest_parse(&key, name));
	assert_int_equal(kept_archive_check(fd, &key, &err) == 0, is_whole);
	assert_true(is_whole || err.kind == ERROR_INPUT);
}

static void test_kept(void **state)
{
	char path[256];
	(void)state;
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
	assert_int_equal(entries(BOOT_MARK_KIND, path), 1);
	expect(GZIP, BASE_CHECK_IDENTITY, 0, NULL);
	expect(OTHER, BASE_CHECK_IDENTITY, 1, NULL);
	expect(OTHER, BASE_CHECK_IDENTITY, 0, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 2);
	expect(PLAIN, BASE_CHECK_IDENTITY, 0, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 2);

	/* Where it is not trusted, it is made anew, and a byte that nobody has looked at is right.
	 */
	assert_int_equal(remove_folder(NULL), 0);
	assert_int_equal(make_folder(NULL), 0);
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
	edit(path, HIDDEN_BYTE);
	expect(GZIP, BASE_CHECK_BYTES, 1, NULL);
	expect(GZIP, BASE_CHECK_IDENTITY, 0, NULL);
	check_whole(path, true);
}

/* A file that was written just now could change without another time. */
static void test_fresh(void **state)
{
	char path[80], entry[256];
	(void)state;
	snprintf(path, sizeof(path), "%s/fresh", archives);
	write_archive(path, "fresh", true);
	cleanup_opening struct opening opening = open_archive(path, "fresh", BASE_CHECK_IDENTITY);
	(void)opening;
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, entry), 0);
	assert_int_equal(unlink(path), 0);
}

/* What would drive the others out. */
static void test_too_large(void **state)
{
	char entry[256];
	(void)state;
	setenv("LAYERVM_CACHE_MAX_SIZE", "1", 1);
	expect(LARGE, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, entry), 0);
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, entry), 1);

	/* Where the archive itself is, nothing is written to the cache's file system. */
	assert_int_equal(remove_folder(NULL), 0);
	assert_int_equal(make_folder(NULL), 0);
	setenv("LAYERVM_CACHE_MAX_SIZE", "0", 1);
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	cleanup_free char *kind = xasprintf("%s/%s", folder, KEPT_ARCHIVE_KIND);
	assert_int_equal(access(kind, F_OK), -1);
}

/* Who does not believe what another run inflates does not wait for it. */
static void test_turns(void **state)
{
	struct digest key;
	char path[256];
	(void)state;
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
	cleanup_free char *name = xasprintf("sha256:%s", strrchr(path, '/') + 1);
	assert_true(digest_parse(&key, name));
	cleanup_cache struct cache *cache = open_cache();
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	assert_true(cache_claim_take(cache, KEPT_ARCHIVE_KIND, &key, &claim));
	expect(GZIP, BASE_CHECK_BYTES, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
	expect(GZIP, BASE_CHECK_IDENTITY, 0, NULL);
}

static void replace_by_copy(const char *path)
{
	struct error err;
	struct buffer bytes = {0};
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(file_read_all(fd, 1u << 20, &bytes, "entry", &err), &err);
	assert_int_equal(unlink(path), 0);
	/* Another file may not get the number of the old one, which is still open. */
	write_file(path, &bytes);
	buffer_free(&bytes);
}

/* Each damage is noticed, told in a line, and gone after it. */
static void test_damage(void **state)
{
	enum { HEAD, CUT, SHORT, LONG, COPY, RECORD, BYTE, DAMAGES };
	(void)state;
	for (int damage = 0; damage < DAMAGES; damage++) {
		char path[256], mark[256];
		struct stat st;
		expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
		assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
		assert_int_equal(entries(BOOT_MARK_KIND, mark), 1);
		assert_int_equal(stat(path, &st), 0);
		switch (damage) {
		case HEAD:
			edit(path, 600);
			break;
		case CUT:
			assert_int_equal(truncate(path, st.st_size - 1), 0);
			break;
		case SHORT:
			assert_int_equal(truncate(path, 100), 0);
			break;
		case LONG:
			assert_int_equal(truncate(path, st.st_size + 1), 0);
			break;
		case COPY:
			replace_by_copy(path);
			break;
		case RECORD:
			edit(path, -40);
			break;
		case BYTE: /* seen where the machine was started since */
			edit(path, HIDDEN_BYTE);
			assert_int_equal(unlink(mark), 0);
			break;
		}
		expect(GZIP, BASE_CHECK_IDENTITY, 1, "; it is made anew\n");
		expect(GZIP, BASE_CHECK_IDENTITY, 0, NULL);
		assert_int_equal(remove_folder(NULL), 0);
		assert_int_equal(make_folder(NULL), 0);
	}
}

/* Every byte counts. */
static void test_check(void **state)
{
	char path[256];
	struct stat st;
	(void)state;
	expect(GZIP, BASE_CHECK_IDENTITY, 1, NULL);
	assert_int_equal(entries(KEPT_ARCHIVE_KIND, path), 1);
	assert_int_equal(stat(path, &st), 0);
	check_whole(path, true);
	for (off_t at = 0; at < st.st_size; at += 97) {
		edit(path, at);
		check_whole(path, false);
		edit(path, at);
	}
	check_whole(path, true);
	/* Under another key it is another file's. */
	char other[256];
	memcpy(other, path, sizeof(other));
	char *last = &other[strlen(other) - 1];
	*last = *last == '0' ? '1' : '0';
	assert_int_equal(rename(path, other), 0);
	check_whole(other, false);
}

/* A keeper whose disk is full. */
struct full_keep {
	struct image_keep keep;
	unsigned failures;
};

static int find_nothing(struct image_keep *keep, const struct digest *file, uint64_t compressed,
	int *fd, uint64_t *size, struct error *err)
{
	(void)keep, (void)file, (void)compressed, (void)fd, (void)size, (void)err;
	return 0;
}

static int start_full(struct image_keep *keep)
{
	(void)keep;
	return open("/dev/full", O_RDWR | O_CLOEXEC);
}

static void finish_never(struct image_keep *keep, const struct digest *content, uint64_t size)
{
	(void)keep, (void)content, (void)size;
	fail();
}

static void count_failure(struct image_keep *keep, int r, struct error *err)
{
	((struct full_keep *)keep)->failures++;
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(err->kind, ERROR_OUTPUT);
}

/* The archive goes to a temporary file then. */
static void test_full(void **state)
{
	struct error err;
	struct full_keep full = {.keep = {find_nothing, start_full, finish_never, count_failure}};
	const struct image_options options = {.keep = &full.keep};
	cleanup_buffer struct buffer tar = make_layer("text");
	cleanup_image struct image *image = NULL;
	(void)state;
	must(image_open(paths[GZIP], &options, &image, &err), &err);
	assert_layer(&image->layers[0], &tar);
	assert_int_equal(full.failures, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_fresh, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_too_large, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_turns, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_damage, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_check, make_folder, remove_folder),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, make_archives, remove_archives);
}
