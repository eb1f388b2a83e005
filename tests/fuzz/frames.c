/*
 * The guest's frames. The first byte chooses the job, and by its highest bit a guest that goes on
 * from where it was saved; the second how the rest of the input is cut into pieces, which makes no
 * difference.
 */
#include <string.h>

#include "fuzz.h"
#include "support/fileio.h"
#include "vm/session.h"

#define LOG_LIMIT 2000
#define RESTORED 0x80u

static const char *const env[] = {"A=b", "EMPTY=", NULL};
static const struct vm_options options = {.log_limit = LOG_LIMIT};
static const struct vm_streams streams = {.in = 0, .out = 1, .err = 2};
static const struct vm_job command = {
	.kind = VM_JOB_COMMAND,
	.command = "c",
	.env = env,
	.cwd = "/",
	.user = "u:g",
	.streams = &streams,
};
static const struct vm_job script = {
	.kind = VM_JOB_SCRIPT,
	.script = "#!/x\n",
	.script_len = 5,
	.env = env,
	.cwd = "/w",
};
static const struct vm_job unpacking = {.kind = VM_JOB_UNPACK};
static const struct vm_job script_and_command = {
	.kind = VM_JOB_SCRIPT,
	.script = "x",
	.script_len = 1,
	.env = env,
	.cwd = "/w",
	.on_failure = &command,
};
static const struct vm_job *const jobs[] = {&script, &unpacking, &command, &script_and_command};

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

static void talk_open(struct talk *talk, uint8_t choice)
{
	*talk = (struct talk){.output = fuzz_file_new("", 0), .err = fuzz_error()};
	talk->report = report_new(REPORT_PLAIN, talk->output.fd);
	talk->session.job = jobs[(choice & ~RESTORED) % (sizeof(jobs) / sizeof(jobs[0]))];
	talk->session.report = talk->report;
	talk->session.options = &options;
	if (choice & RESTORED)
		session_resume(&talk->session);
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

static void check_same_bytes(const struct buffer *a, const struct buffer *b)
{
	if (a->len != b->len || (a->len != 0 && memcmp(a->data, b->data, a->len) != 0))
		fuzz_broken("the job's output differs: %zu and %zu bytes", a->len, b->len);
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
	check_same_bytes(&a->session.out, &b->session.out);
	check_same_bytes(&a->session.err, &b->session.err);
	if (a->session.stage != b->session.stage || a->session.current != b->session.current ||
		a->session.logged != b->session.logged || a->session.to.len != b->session.to.len ||
		a->session.failed != b->session.failed ||
		strcmp(a->session.words, b->session.words) != 0 ||
		strcmp(a->session.failure, b->session.failure) != 0 ||
		strcmp(a->session.disk, b->session.disk) != 0 ||
		memcmp(&a->session.exit, &b->session.exit, sizeof(a->session.exit)) != 0)
		fuzz_broken(
			"the state differs: stage %d and %d", a->session.stage, b->session.stage);
}

static void tell(const struct talk *talk)
{
	const struct session *s = &talk->session;
	cleanup_free char *output = output_of(talk);
	uint8_t exit[EXIT_REPORT_SIZE];
	const uint8_t state[] = {(uint8_t)s->stage, s->failed};
	exit_report_put(exit, &s->exit);
	fuzz_outcome("talk", state, sizeof(state));
	fuzz_outcome("talk", exit, sizeof(exit));
	fuzz_outcome("talk", output, strlen(output));
	fuzz_outcome("talk", s->out.data, s->out.len);
	fuzz_outcome("talk", s->err.data, s->err.len);
	fuzz_outcome("talk", s->words, strlen(s->words));
	fuzz_outcome("talk", s->failure, strlen(s->failure));
	fuzz_outcome("talk", s->disk, strlen(s->disk));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[1] != 0 ? data[1] : 1;
	__attribute__((cleanup(talk_close))) struct talk whole;
	__attribute__((cleanup(talk_close))) struct talk pieces;
	talk_open(&whole, data[0]);
	talk_open(&pieces, data[0]);
	say(&whole, data + 2, size - 2, size);
	say(&pieces, data + 2, size - 2, piece);
	check_same(&whole, &pieces);
	tell(&whole);
	return 0;
}
