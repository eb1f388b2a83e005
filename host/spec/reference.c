#include "spec/reference.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "spec/json_text.h"
#include "spec/spec.h"
#include "support/memory.h"
#include "support/reference.h"

#define NAME_MAX_LEN 255
#define TAG_MAX_LEN 128

/* Part of a text. */
struct part {
	const char *text;
	size_t len;
};

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* path-component: alpha-numeric [separator alpha-numeric]*; separator: [_.]|__|[-]* */
static bool is_path_component(struct part part)
{
	size_t i = 0;
	while (i < part.len) {
		size_t start = i;
		while (i < part.len && is_lower_alnum(part.text[i]))
			i++;
		if (i == start)
			return false;
		if (i == part.len)
			return true;
		if (part.text[i] == '-') {
			while (i < part.len && part.text[i] == '-')
				i++;
		} else if (part.text[i] == '.') {
			i++;
		} else if (part.text[i] == '_') {
			i++;
			if (i < part.len && part.text[i] == '_')
				i++;
		} else {
			return false;
		}
	}
	return false; /* empty, or it ends with a separator */
}

/* domain-component ['.' domain-component]*, each of letters, digits and '-' within. */
static bool is_domain_name(struct part part)
{
	size_t i = 0;
	for (;;) {
		size_t start = i;
		while (i < part.len && (is_alnum(part.text[i]) || part.text[i] == '-'))
			i++;
		if (i == start || part.text[start] == '-' || part.text[i - 1] == '-')
			return false;
		if (i == part.len)
			return true;
		if (part.text[i] != '.')
			return false;
		i++;
	}
}

/* domain: host [':' port]; host: a domain name or an IPv6 address in brackets. */
static bool is_domain(struct part part)
{
	const char *end = part.text + part.len;
	const char *colon = memrchr(part.text, ':', part.len);
	const char *bracket = memrchr(part.text, ']', part.len);
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		size_t digits = strspn(colon + 1, "0123456789");
		if (digits == 0 || colon + 1 + digits != end)
			return false;
		part.len = (size_t)(colon - part.text);
	}
	if (part.len > 0 && part.text[0] == '[') {
		size_t inner = strspn(part.text + 1, "0123456789abcdefABCDEF:");
		return inner > 0 && inner + 2 == part.len && part.text[1 + inner] == ']';
	}
	return is_domain_name(part);
}

/* The repository with its first part left as it is and the others in lower case, if that helps. */
static char *lowered(const char *text)
{
	char *copy = xstrdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	struct error ignored;
	if (strcmp(copy, text) != 0 && reference_check_name(copy, &ignored) == 0)
		return copy;
	free(copy);
	return NULL;
}

/* Docker reads 64 hex digits as an image's ID. */
static bool is_image_id(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

int reference_check_name(const char *text, struct error *err)
{
	size_t len = strlen(text);
	cleanup_free char *quoted = json_text_quote(text);
	if (len == 0)
		return error_set(err, ERROR_SPEC, EINVAL, "is empty");
	if (len > NAME_MAX_LEN)
		return error_set(err, ERROR_SPEC, EINVAL, "has %zu characters, %d are the limit",
			len, NAME_MAX_LEN);
	if (is_image_id(text))
		return error_set(err, ERROR_SPEC, EINVAL,
			"%s is an image ID (64 hex digits), no name", quoted);

	const char *rest = text;
	bool first = true;
	for (;;) {
		struct part part = {.text = rest, .len = strcspn(rest, "/")};
		bool last = rest[part.len] == '\0';
		if (!is_path_component(part) && !(first && !last && is_domain(part))) {
			cleanup_free char *lower = lowered(text);
			if (lower != NULL)
				return error_set(err, ERROR_SPEC, EINVAL,
					"%s has upper-case letters; \"%s\" would do", quoted,
					lower);
			return error_set(err, ERROR_SPEC, EINVAL,
				"%s is no image name: \"%.*s\" is not lower-case letters and "
				"digits with single '.', '_', '__' or '-' between",
				quoted, (int)part.len, part.text);
		}
		if (last)
			return 0;
		rest += part.len + 1;
		first = false;
	}
}

int reference_check_tag(const char *text, struct error *err)
{
	size_t len = strlen(text);
	bool good = is_alnum(text[0]) || text[0] == '_';
	for (size_t i = 1; i < len && good; i++)
		good = is_alnum(text[i]) || strchr("_.-", text[i]) != NULL;
	if (good && len <= TAG_MAX_LEN)
		return 0;
	cleanup_free char *quoted = json_text_quote(text);
	return error_set(err, ERROR_SPEC, EINVAL,
		"%s is no tag: 1 to %d letters, digits, '_', '.' and '-' are, not beginning with "
		"'.' or '-'",
		quoted, TAG_MAX_LEN);
}

int spec_parse_reference(const char *text, char **name, char **tag, struct error *err)
{
	if (strchr(text, '@') != NULL) {
		cleanup_free char *quoted = json_text_quote(text);
		return error_set(err, ERROR_SPEC, EINVAL,
			"%s has a digest ('@'), which an image to be built cannot have", quoted);
	}
	cleanup_free char *repository = NULL;
	const char *own_tag = reference_split(text, &repository);
	int r = reference_check_name(repository, err);
	if (r == 0 && own_tag != NULL)
		r = reference_check_tag(own_tag, err);
	if (r < 0)
		return r;
	*name = steal_ptr(&repository);
	*tag = own_tag == NULL ? NULL : xstrdup(own_tag);
	return 0;
}
