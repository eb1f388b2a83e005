#include "commands/proxy_env.h"

#include <string.h>

#include "commands/env_list.h"
#include "support/memory.h"

static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
	"FTP_PROXY", "ftp_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"};

static const char *value_of(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && *value != '\0' ? value : NULL;
}

void proxy_env_add(char ***env)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = value_of(names[i]);
		if (value == NULL || env_list_has(*env, names[i]))
			continue;
		cleanup_free char *entry = xasprintf("%s=%s", names[i], value);
		env_list_set(env, entry);
	}
}

/* Whether a proxy's URL has a host that stands for the machine itself (RFC 3986, RFC 6761). */
static bool is_loopback(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *authority = scheme != NULL ? scheme + 3 : url;
	size_t len = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', len);
	const char *host = at != NULL ? at + 1 : authority;
	static const char *const loopbacks[] = {"127.", "localhost", "[::1]"};
	for (size_t i = 0; i < sizeof(loopbacks) / sizeof(loopbacks[0]); i++) {
		if (strncasecmp(host, loopbacks[i], strlen(loopbacks[i])) == 0)
			return true;
	}
	return false;
}

void proxy_env_note(struct report *report)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = value_of(names[i]);
		if (value == NULL || strcasecmp(names[i], "NO_PROXY") == 0 || !is_loopback(value))
			continue;
		report_note(report,
			"network: %s names a proxy on this machine's loopback, which the guest "
			"cannot reach",
			names[i]);
	}
}
