#include <string.h>
#include <time.h>

#include "spec/spec.h"

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar (ISO 8601). */
static int64_t days_since_1970(int year, int month, int day)
{
	/* Years begin in March here, so that the leap day is the last; 400 of them have 146,097
	 * days, and March to any month is 30.6 days a month, rounded. */
	int64_t y = year - (month <= 2) + 400;
	int64_t m = month <= 2 ? month + 9 : month - 3;
	int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
	return days - 719468 - 146097;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return days[month - 1] + (month == 2 && leap);
}

/* Takes exactly count digits from *text on; false: there are others or they are out of range. */
static bool take_digits(const char **text, int count, int min, int max, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++, ++*text) {
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (**text - '0');
	}
	return *value >= min && *value <= max;
}

static bool take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

/* "Z", "+HH", "+HH:MM" or "+HHMM"; *seconds: what UTC is behind. */
static bool take_zone(const char **text, int64_t *seconds)
{
	int hours, minutes = 0;
	*seconds = 0;
	if (take_char(text, 'Z') || take_char(text, 'z'))
		return true;
	bool minus = **text == '-';
	if (!take_char(text, '+') && !take_char(text, '-'))
		return false;
	if (!take_digits(text, 2, 0, 23, &hours))
		return false;
	if (**text != '\0') {
		take_char(text, ':');
		if (!take_digits(text, 2, 0, 59, &minutes))
			return false;
	}
	*seconds = (minus ? -60 : 60) * (60 * hours + minutes);
	return true;
}

/* A fraction of a second, which is cut. */
static bool skip_fraction(const char **text)
{
	if (!take_char(text, '.') && !take_char(text, ','))
		return true;
	size_t digits = strspn(*text, "0123456789");
	*text += digits;
	return digits > 0;
}

/* The time of day with its zone, to the end of text. */
static bool take_time(const char *text, bool extended, int64_t *seconds)
{
	int hour, minute, second = 0;
	int64_t zone;
	if (!take_digits(&text, 2, 0, 23, &hour) || (extended && !take_char(&text, ':')) ||
		!take_digits(&text, 2, 0, 59, &minute))
		return false;
	bool has_second = extended ? take_char(&text, ':') : *text >= '0' && *text <= '9';
	if (has_second && (!take_digits(&text, 2, 0, 60, &second) || !skip_fraction(&text)))
		return false;
	if (!take_zone(&text, &zone) || *text != '\0')
		return false;
	*seconds = 3600 * hour + 60 * minute + second - zone;
	/* A leap second is the last of a day in UTC. */
	return second < 60 || (*seconds + 86400) % 86400 == 0;
}

bool spec_parse_time(const char *text, int64_t *seconds)
{
	int year, month, day;
	int64_t of_day = 0;
	if (!take_digits(&text, 4, 0, 9999, &year))
		return false;
	bool extended = take_char(&text, '-');
	if (!take_digits(&text, 2, 1, 12, &month) || (extended && !take_char(&text, '-')) ||
		!take_digits(&text, 2, 1, days_in_month(year, month), &day))
		return false;
	if (*text != '\0') {
		/* RFC 3339 has a space where people read it. */
		if (!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' '))
			return false;
		if (!take_time(text, extended, &of_day))
			return false;
	}
	*seconds = days_since_1970(year, month, day) * 86400 + of_day;
	return true;
}

bool spec_set_created(struct build_spec *spec, const char *text)
{
	bool now = strcmp(text, "now") == 0;
	int64_t seconds = now ? (int64_t)time(NULL) : 0;
	if (!now && !spec_parse_time(text, &seconds))
		return false;
	if (seconds < 0 || seconds > SPEC_TIME_MAX)
		return false;
	spec->created = seconds;
	spec->created_now = now;
	return true;
}
