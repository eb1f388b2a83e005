/*
 * The guest's frames. The first byte chooses the job, the second how the rest of the input is cut
 * into pieces; the pieces make no difference.
 */
#include <string.h>

#include "fuzz.h"
#include "support/fileio.h"
#include "vm/session.h"

#define LOG_LIMIT 2000

static const char *const env[] = {"A=b", "EMPTY=", NULL};
static const struct vm_job jobs[] = {
	{.kind = VM_JOB_SCRIPT, .script = "#!/x\n", .script_len = 5, .env = env, .cwd = "/w"},
	{.kind = VM_JOB_UNPACK},
};

/* A conversation, and what came of it. */
struct talk {
	struct session session;
	struct fuzz_file output;
	struct report *report;
	struct error err;
	int result;
};

static void talk_close(struct talk *talk)
{
	session_free(&talk->session);
	report_free(talk->report);
	fuzz_file_close(&talk->output);
}

static void talk_open(struct talk *talk, const struct vm_job *job)
{
	*talk = (struct talk){.output = fuzz_file_new("", 0), .err = fuzz_error()};
	talk->report = report_new(REPORT_PLAIN, talk->output.fd);
	talk->session.job = job;
	talk->session.report = talk->report;
	talk->session.log_limit = LOG_LIMIT;
}

static void say(struct talk *talk, const uint8_t *data, size_t size, size_t piece)
{
	while (size != 0 && talk->result == 0) {
		size_t n = size < piece ? size : piece;
		talk->result = session_receive(&talk->session, data, n, &talk->err);
		data += n;
		size -= n;
	}
	if (!fuzz_ok(talk->result, &talk->err) && talk->err.kind != ERROR_GUEST &&
		talk->err.kind != ERROR_LIMIT)
		fuzz_broken("not the guest's fault: %s", talk->err.message);
	if (talk->session.from.len >= FRAME_HEADER_SIZE + FRAME_MAX && talk->result == 0)
		fuzz_broken("%zu bytes of the guest are kept", talk->session.from.len);
}

static char *output_of(const struct talk *talk)
{
	struct error err = fuzz_error();
	struct buffer text = {0};
	lseek(talk->output.fd, 0, SEEK_SET);
	fuzz_must(file_read_all(talk->output.fd, (size_t)1 << 24, &text, "output", &err), &err,
		"output");
	return buffer_steal_text(&text);
}

static void check_same(const struct talk *a, const struct talk *b)
{
	cleanup_free char *output_a = output_of(a);
	cleanup_free char *output_b = output_of(b);
	if (a->result != b->result || strcmp(a->err.message, b->err.message) != 0)
		fuzz_broken("whole: %d \"%s\"; in pieces: %d \"%s\"", a->result, a->err.message,
			b->result, b->err.message);
	if (strcmp(output_a, output_b) != 0)
		fuzz_broken("the output differs:\n%s\n%s", output_a, output_b);
	if (a->session.stage != b->session.stage || a->session.logged != b->session.logged ||
		a->session.to.len != b->session.to.len || a->session.failed != b->session.failed ||
		strcmp(a->session.words, b->session.words) != 0 ||
		strcmp(a->session.failure, b->session.failure) != 0 ||
		strcmp(a->session.disk, b->session.disk) != 0 ||
		memcmp(&a->session.exit, &b->session.exit, sizeof(a->session.exit)) != 0)
		fuzz_broken(
			"the state differs: stage %d and %d", a->session.stage, b->session.stage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const struct vm_job *job = &jobs[data[0] % 2];
	size_t piece = data[1] != 0 ? data[1] : 1;
	__attribute__((cleanup(talk_close))) struct talk whole;
	__attribute__((cleanup(talk_close))) struct talk pieces;
	talk_open(&whole, job);
	talk_open(&pieces, job);
	say(&whole, data + 2, size - 2, size);
	say(&pieces, data + 2, size - 2, piece);
	check_same(&whole, &pieces);
	return 0;
}
