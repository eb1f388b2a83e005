#include "tree_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/buffer.h"
#include "tree/dump.h"

char *tree_text(struct tree *tree)
{
	cleanup_buffer struct buffer text = {0};
	struct error err;
	if (tree_dump(tree, &text, &err) < 0)
		fail_msg("%s", err.message);
	return buffer_steal_text(&text);
}
