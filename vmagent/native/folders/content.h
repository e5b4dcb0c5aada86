/* The content of small files, which the host sends with its reply to OPEN: who opens a file reads it next. It serves the
 * first reads only, and those that come at once, so nobody reads what is older than CONTENT_MS. */
#ifndef CONTENT_H
#define CONTENT_H
#include "table.h"

enum { CONTENT_MS = 100 };

/* The open file `handle` has that content, as asked for at `asked_at`. */
void content_keep(const struct handle *handle, const uint8_t *bytes, size_t length, uint64_t asked_at);
/* Up to `*size` bytes from `offset` on; `*size` becomes how many there are. NULL: they are not here. */
const uint8_t *content_at(const struct handle *handle, uint64_t offset, uint32_t *size);

#endif
