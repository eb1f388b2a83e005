/* Names of images, by the grammar of distribution's reference package. */
#ifndef LAYERVM_SPEC_REFERENCE_H
#define LAYERVM_SPEC_REFERENCE_H

#include "support/error.h"

/* Whether text is a repository, without a tag: "[HOST[:PORT]/]part[/part...]". */
int reference_check_name(const char *text, struct error *err);

/* Whether text is a tag: a letter, digit or '_', then up to 127 of these, '.' and '-'. */
int reference_check_tag(const char *text, struct error *err);

#endif
