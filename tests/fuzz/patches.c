#include "patches.h"

bool patch_next(struct fuzz_input *input, struct patch *patch)
{
	if (input->left < 5)
		return false;
	*patch = (struct patch){.block = fuzz_u16(input)};
	patch->offset = fuzz_u16(input) % PATCH_BLOCK;
	uint8_t len = fuzz_u8(input);
	size_t room = PATCH_BLOCK - patch->offset;
	if (len & PATCH_COPY) {
		patch->len = (size_t)(len & ~PATCH_COPY) * 8;
		patch->from_block = fuzz_u16(input);
		patch->from_offset = fuzz_u16(input) % PATCH_BLOCK;
		size_t from_room = PATCH_BLOCK - patch->from_offset;
		room = room < from_room ? room : from_room;
	} else {
		patch->len = len;
		patch->data = fuzz_bytes(input, &patch->len);
	}
	if (patch->len > room)
		patch->len = room;
	return true;
}
