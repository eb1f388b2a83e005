#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_MAX INT_MAX /* as container engines have it */
#define GROUPS_MAX 65536

/* A user or group as it was given. */
struct name {
	const char *text;
	bool numeric;
	unsigned id;
};

/*
 * Opens a table of the image for reading. NULL where it is not there, or is no file: then it has
 * no entries. Opening never waits, as it would for a pipe that nobody writes to.
 */
static FILE *open_table(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	FILE *file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	if (file == NULL)
		close(fd);
	return file;
}

static int read_name(const char *text, const char *what, struct name *name, struct fault *fault)
{
	*name = (struct name){.text = text};
	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return 0;
	errno = 0;
	unsigned long id = strtoul(text, NULL, 10);
	if (errno != 0 || id > ID_MAX)
		return fault_set(fault, "%s %.40s is beyond %d", what, text, ID_MAX);
	name->numeric = true;
	name->id = (unsigned)id;
	return 0;
}

static bool is_named(const struct name *name, const char *text, unsigned id)
{
	return name->numeric ? name->id == id : strcmp(name->text, text) == 0;
}

static int no_memory(struct fault *fault)
{
	return fault_set(fault, "no memory for the user's groups");
}

/* The user's line of passwd. *login: its name there, NULL where it has none. */
static int find_passwd(
	const struct name *name, struct user *user, char **login, struct fault *fault)
{
	FILE *table = open_table("/etc/passwd");
	struct passwd *entry = NULL;
	*login = NULL;
	if (table != NULL)
		while ((entry = fgetpwent(table)) != NULL &&
			!is_named(name, entry->pw_name, entry->pw_uid))
			;
	int r = 0;
	if (entry != NULL) {
		user->uid = entry->pw_uid;
		user->gid = entry->pw_gid;
		user->home = strdup(entry->pw_dir);
		*login = strdup(entry->pw_name);
		if (user->home == NULL || *login == NULL)
			r = no_memory(fault);
	} else if (name->numeric) {
		user->uid = name->id;
	} else {
		r = fault_set(
			fault, "user \"%.80s\" is not in the image's /etc/passwd", name->text);
	}
	if (table != NULL)
		fclose(table);
	return r;
}

static int find_group(const struct name *name, struct user *user, struct fault *fault)
{
	FILE *table = open_table("/etc/group");
	struct group *entry = NULL;
	if (table != NULL)
		while ((entry = fgetgrent(table)) != NULL &&
			!is_named(name, entry->gr_name, entry->gr_gid))
			;
	int r = 0;
	if (entry != NULL)
		user->gid = entry->gr_gid;
	else if (name->numeric)
		user->gid = name->id;
	else
		r = fault_set(
			fault, "group \"%.80s\" is not in the image's /etc/group", name->text);
	if (table != NULL)
		fclose(table);
	return r;
}

static bool has_member(const struct group *group, const char *login)
{
	for (char **member = group->gr_mem; *member != NULL; member++)
		if (strcmp(*member, login) == 0)
			return true;
	return false;
}

static int add_group(struct user *user, gid_t gid, struct fault *fault)
{
	if (user->group_count == GROUPS_MAX)
		return fault_set(fault, "the user has more than %d groups", GROUPS_MAX);
	gid_t *groups = reallocarray(user->groups, user->group_count + 1, sizeof(*groups));
	if (groups == NULL)
		return no_memory(fault);
	user->groups = groups;
	groups[user->group_count++] = gid;
	return 0;
}

static int find_memberships(const char *login, struct user *user, struct fault *fault)
{
	FILE *table = open_table("/etc/group");
	if (table == NULL)
		return 0;
	int r = 0;
	for (struct group *entry; r == 0 && (entry = fgetgrent(table)) != NULL;)
		if (has_member(entry, login))
			r = add_group(user, entry->gr_gid, fault);
	fclose(table);
	return r;
}

/* user_text, group_text: the parts of what was asked for. *login: the caller's to free. */
static int find_user(const char *user_text, const char *group_text, struct user *user, char **login,
	struct fault *fault)
{
	struct name name, group;
	if (read_name(user_text, "user", &name, fault) < 0 ||
		read_name(group_text, "group", &group, fault) < 0)
		return -1;
	if (find_passwd(&name, user, login, fault) < 0)
		return -1;
	if (group_text[0] != '\0')
		return find_group(&group, user, fault);
	return *login != NULL ? find_memberships(*login, user, fault) : 0;
}

int user_find(const char *text, struct user *user, struct fault *fault)
{
	const char *colon = strchrnul(text, ':');
	char *user_text = strndup(text, (size_t)(colon - text));
	char *login = NULL;
	*user = (struct user){0};
	if (user_text == NULL)
		return no_memory(fault);
	int r = user_text[0] == '\0'
			? fault_set(fault, "\"%.80s\" names no user", text)
			: find_user(user_text, *colon == ':' ? colon + 1 : "", user, &login, fault);
	free(login);
	free(user_text);
	return r;
}

int user_become(const struct user *user, struct fault *fault)
{
	if (setgroups(user->group_count, user->groups) < 0 || setgid(user->gid) < 0 ||
		setuid(user->uid) < 0)
		return fault_set_errno(fault, "cannot become user %u:%u", user->uid, user->gid);
	return 0;
}
