#include "vm/pulse.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/memory.h"

/* When a guest that says nothing is looked at, and how often. */
#define QUIET_MS 5000
#define INTERVAL_MS 1000
#define SUSPECT_INTERVAL_MS 250

/*
 * So many looks at a sleeping guest are enough. One would be, but for a file system of the host's
 * that has a thread of QEMU sleep over a block of the disk, where the guest's init waits for that.
 */
#define LOOKS 30
#define SUSPECT_LOOKS 4

/* Processor time, of each of the guest's processors, in which its init comes to run. */
#define DEAF_MS (120 * 1000)
#define SUSPECT_DEAF_MS 2000

void pulse_heard(struct pulse *pulse, int64_t now)
{
	bool suspect = pulse->suspect;
	*pulse = (struct pulse){
		.suspect = suspect, .next = now + (suspect ? SUSPECT_INTERVAL_MS : QUIET_MS)};
}

void pulse_answered(struct pulse *pulse, int64_t now)
{
	*pulse = (struct pulse){.next = now + QUIET_MS};
}

void pulse_suspect(struct pulse *pulse, int64_t now)
{
	pulse->suspect = true;
	if (pulse->next > now + SUSPECT_INTERVAL_MS)
		pulse->next = now + SUSPECT_INTERVAL_MS;
}

/* Whether the guest has used all the processor time in which its init would have answered. */
static bool is_deaf(const struct pulse *pulse, const struct pulse_look *look,
	enum pulse_state state, unsigned cpus)
{
	int64_t limit = DEAF_MS;
	if (look->cpu_ms < 0 || !pulse->counted || (state == PULSE_WORKING && !pulse->suspect))
		return false;
	/* A console is not believed where nothing else can be asked. */
	if (pulse->suspect && state == PULSE_ASKED)
		limit = SUSPECT_DEAF_MS;
	return (look->cpu_ms - pulse->cpu_before) / (cpus != 0 ? cpus : 1) >= limit;
}

enum pulse_verdict pulse_take(struct pulse *pulse, const struct pulse_look *look,
	enum pulse_state state, unsigned cpus, int64_t now)
{
	bool quick = pulse->suspect && state == PULSE_ASKED;
	pulse->next = now + (quick ? SUSPECT_INTERVAL_MS : INTERVAL_MS);
	/* The first look comes before the guest can answer. */
	if (!pulse->silent) {
		pulse->silent = true;
		pulse->counted = look->cpu_ms >= 0;
		pulse->cpu_before = look->cpu_ms;
		return PULSE_ALIVE;
	}
	if (look->asleep && ++pulse->asleep >= (quick ? SUSPECT_LOOKS : LOOKS))
		return PULSE_STILL;
	return is_deaf(pulse, look, state, cpus) ? PULSE_DEAF : PULSE_ALIVE;
}

/* The state of a thread, as proc(5) has it in its file stat; '\0' where it cannot be told. */
static char thread_state(int tasks, const char *name)
{
	char path[300];
	char text[512] = "";
	snprintf(path, sizeof(path), "%s/stat", name);
	cleanup_close int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	/* The name before it may have parentheses and blanks. */
	const char *end = n > 0 ? strrchr(text, ')') : NULL;
	return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

static bool is_asleep(pid_t pid)
{
	char path[64];
	bool asleep = false;
	snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
	DIR *tasks = opendir(path);
	if (tasks == NULL)
		return false;
	for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
		if (entry->d_name[0] == '.')
			continue;
		asleep = thread_state(dirfd(tasks), entry->d_name) == 'S';
		if (!asleep)
			break;
	}
	closedir(tasks);
	return asleep;
}

static int64_t cpu_ms(pid_t pid)
{
	clockid_t clock;
	struct timespec used;
	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return -1;
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

struct pulse_look pulse_look_at(pid_t pid)
{
	return (struct pulse_look){.asleep = is_asleep(pid), .cpu_ms = cpu_ms(pid)};
}
