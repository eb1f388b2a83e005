#include "commands/timings.h"

#include "support/memory.h"

static void show(struct report *report, const struct report_time *time)
{
	cleanup_free char *line = xasprintf("timing    %-9s at %7.3f s, wall %7.3f s, cpu %7.3f s",
		time->name, time->begin, time->seconds, time->cpu);
	report_line(report, "timing", line);
}

void timings_show(struct report *report)
{
	struct report_time time;
	const struct report_time total = {
		.name = "total", .seconds = report_clock(report), .cpu = report_cpu(report)};
	report_done(report);
	for (size_t i = 0; report_time(report, i, &time); i++)
		show(report, &time);
	show(report, &total);
}
