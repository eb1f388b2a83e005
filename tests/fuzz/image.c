/* Image archives: the input is the file. */
#include "archive.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	archive_initialize();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_image struct image *image = archive_open(data, size);
	if (image != NULL)
		archive_check(image, NULL);
	return 0;
}
