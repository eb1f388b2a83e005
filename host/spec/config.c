#include "spec/config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "spec/json_text.h"
#include "spec/nearest.h"
#include "support/memory.h"

/* Whether a value fits. */
typedef bool fits_fn(json_object *value);

struct field {
	const char *name;
	fits_fn *fits;
	const char *wanted;
};

static bool is_string(json_object *value)
{
	return json_object_is_type(value, json_type_string);
}

static bool is_bool(json_object *value)
{
	return json_object_is_type(value, json_type_boolean);
}

static bool is_integer(json_object *value)
{
	return json_object_is_type(value, json_type_int);
}

static bool is_object(json_object *value)
{
	return json_object_is_type(value, json_type_object);
}

static bool all_items(json_object *list, fits_fn *fits)
{
	if (!json_object_is_type(list, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (!fits(json_object_array_get_idx(list, i)))
			return false;
	}
	return true;
}

static bool is_strings(json_object *value)
{
	return all_items(value, is_string);
}

static bool is_variable(json_object *value)
{
	if (!is_string(value))
		return false;
	const char *equals = strchr(json_object_get_string(value), '=');
	return equals != NULL && equals != json_object_get_string(value);
}

static bool is_env(json_object *value)
{
	return all_items(value, is_variable);
}

static bool is_labels(json_object *value)
{
	if (!is_object(value))
		return false;
	json_object_object_foreach(value, key, label)
	{
		(void)key;
		if (!is_string(label))
			return false;
	}
	return true;
}

static bool take_port_number(const char **text)
{
	unsigned port = 0;
	size_t digits = strspn(*text, "0123456789");
	if (digits == 0 || digits > 5)
		return false;
	for (size_t i = 0; i < digits; i++)
		port = port * 10 + (unsigned)(*(*text)++ - '0');
	return port <= 65535;
}

bool config_is_port(const char *text)
{
	if (!take_port_number(&text))
		return false;
	if (*text == '-') {
		text++;
		if (!take_port_number(&text))
			return false;
	}
	return *text == '\0' || strcmp(text, "/tcp") == 0 || strcmp(text, "/udp") == 0 ||
	       strcmp(text, "/sctp") == 0;
}

static bool is_ports(json_object *value)
{
	if (!is_object(value))
		return false;
	json_object_object_foreach(value, port, options)
	{
		if (!config_is_port(port) || !is_object(options))
			return false;
	}
	return true;
}

static bool is_volumes(json_object *value)
{
	if (!is_object(value))
		return false;
	json_object_object_foreach(value, path, options)
	{
		if (*path == '\0' || !is_object(options))
			return false;
	}
	return true;
}

#define STRING "a string"
#define STRINGS "a list of strings"
#define BOOL "true or false"
#define INTEGER "a whole number"

static const struct field healthcheck_fields[] = {
	{"Test", is_strings, STRINGS},
	{"Interval", is_integer, "a whole number of nanoseconds"},
	{"Timeout", is_integer, "a whole number of nanoseconds"},
	{"StartPeriod", is_integer, "a whole number of nanoseconds"},
	{"StartInterval", is_integer, "a whole number of nanoseconds"},
	{"Retries", is_integer, INTEGER},
	{NULL, NULL, NULL},
};

static const struct field config_fields[] = {
	{"User", is_string, STRING},
	{"Memory", is_integer, "a whole number of bytes"},
	{"MemorySwap", is_integer, "a whole number of bytes"},
	{"CpuShares", is_integer, INTEGER},
	{"ExposedPorts", is_ports,
		"an object with a key \"PORT/tcp\", \"PORT/udp\" or \"PORT\" and the value {} for "
		"each"},
	{"Env", is_env, "a list of strings \"NAME=value\""},
	{"Entrypoint", is_strings, STRINGS},
	{"Cmd", is_strings, STRINGS},
	{"Healthcheck", is_object, "an object"},
	{"Volumes", is_volumes, "an object with a path and the value {} for each"},
	{"WorkingDir", is_string, STRING},
	{"Labels", is_labels, "an object of strings"},
	{"StopSignal", is_string, STRING},
	{"StopTimeout", is_integer, "a whole number of seconds"},
	{"ArgsEscaped", is_bool, BOOL},
	{"OnBuild", is_strings, STRINGS},
	{"Shell", is_strings, STRINGS},
	{"NetworkDisabled", is_bool, BOOL},
	{"MacAddress", is_string, STRING},
	{"Hostname", is_string, STRING},
	{"Domainname", is_string, STRING},
	{"AttachStdin", is_bool, BOOL},
	{"AttachStdout", is_bool, BOOL},
	{"AttachStderr", is_bool, BOOL},
	{"Tty", is_bool, BOOL},
	{"OpenStdin", is_bool, BOOL},
	{"StdinOnce", is_bool, BOOL},
	{"Image", is_string, STRING},
	{NULL, NULL, NULL},
};

static const struct field *find_field(
	const struct field *fields, const char *name, const char **nearest_name)
{
	struct nearest nearest = nearest_start(name);
	for (const struct field *field = fields; field->name != NULL; field++) {
		if (strcmp(field->name, name) == 0)
			return field;
		nearest_try(&nearest, field->name);
	}
	*nearest_name = nearest.best;
	return NULL;
}

static void warn_unknown(
	struct report *report, const char *where, const char *key, const char *nearest)
{
	if (report == NULL)
		return;
	cleanup_free char *quoted = json_text_quote(key);
	if (nearest != NULL)
		report_warning(report,
			"%s: %s is not known and kept as it is; did you mean \"%s\"?", where,
			quoted, nearest);
	else
		report_warning(report, "%s: %s is not known and kept as it is", where, quoted);
}

static int check_fields(json_object *object, const struct field *fields, const char *where,
	struct report *report, struct error *err)
{
	json_object_object_foreach(object, key, value)
	{
		const char *nearest = NULL;
		const struct field *field = find_field(fields, key, &nearest);
		if (field == NULL) {
			warn_unknown(report, where, key, nearest);
		} else if (value != NULL && !field->fits(value)) {
			cleanup_free char *found = json_text_describe(value);
			return error_set(err, ERROR_SPEC, EINVAL, "%s: %s: is %s, %s is wanted",
				where, key, found, field->wanted);
		}
	}
	return 0;
}

int config_check(json_object *config, const char *where, struct report *report, struct error *err)
{
	int r = check_fields(config, config_fields, where, report, err);
	json_object *healthcheck = NULL;
	if (r < 0 || !json_object_object_get_ex(config, "Healthcheck", &healthcheck) ||
		healthcheck == NULL)
		return r;
	cleanup_free char *inner = xasprintf("%s: Healthcheck", where);
	return check_fields(healthcheck, healthcheck_fields, inner, report, err);
}

void config_drop_nulls(json_object *config)
{
	for (const struct field *field = config_fields; field->name != NULL; field++) {
		json_object *value;
		if (json_object_object_get_ex(config, field->name, &value) && value == NULL)
			json_object_object_del(config, field->name);
	}
}
