#include "spec/json_text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "support/json_scan.h"
#include "support/memory.h"

/* Longest JSON text that a message shows, in bytes. */
#define SHOWN_MAX 64

static void cleanup_tokener_fn(json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

int json_text_parse(const char *text, size_t len, json_type type, const char *name,
	json_object **out, struct error *err)
{
	const struct json_rules rules = {
		.name = name,
		.kind = ERROR_SPEC,
		.first = type == json_type_object ? '{' : '[',
		.size_max = INT_MAX, /* what json-c takes */
		.depth_max = JSON_TEXT_DEPTH_MAX,
	};
	int r = json_scan(text, len, &rules, err);
	if (r < 0)
		return r;
	/* json-c counts a scalar within the innermost list as a level of its own. */
	json_tokener *tokener __attribute__((cleanup(cleanup_tokener_fn))) =
		json_tokener_new_ex(JSON_TEXT_DEPTH_MAX + 1);
	if (tokener == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "%s: no memory to parse it", name);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
						JSON_TOKENER_ALLOW_TRAILING_CHARS);
	cleanup_json json_object *object = json_tokener_parse_ex(tokener, text, (int)len);
	enum json_tokener_error code = json_tokener_get_error(tokener);
	if (code != json_tokener_success)
		return error_set(err, ERROR_SPEC, EINVAL, "%s: %s, at byte %zu", name,
			json_tokener_error_desc(code), json_tokener_get_parse_end(tokener));
	*out = steal_ptr(&object);
	return 0;
}

/* The JSON text of a value, cut before a character that does not fit. */
static char *shown(json_object *value)
{
	const char *text = json_object_to_json_string_ext(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t len = strlen(text);
	if (len <= SHOWN_MAX)
		return xstrdup(text);
	len = SHOWN_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return xasprintf("%.*s...", (int)len, text);
}

char *json_text_describe(json_object *value)
{
	cleanup_free char *text = shown(value);
	switch (json_object_get_type(value)) {
	case json_type_null:
		return xstrdup("null");
	case json_type_boolean:
		return xstrdup(text);
	case json_type_int:
	case json_type_double:
		return xasprintf("the number %s", text);
	case json_type_string:
		return xasprintf("a string (%s)", text);
	case json_type_array:
		return xasprintf("a list (%s)", text);
	case json_type_object:
		return xasprintf("an object (%s)", text);
	}
	return xstrdup(text);
}

char *json_text_quote(const char *text)
{
	cleanup_json json_object *value = json_object_new_string(text);
	return shown(value);
}
