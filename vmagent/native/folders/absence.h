/* What a folder is known not to hold. Of a folder that the guest has made, or has read whole, all names are known as long
 * as the host tells of each new one; a program that looks for another name, as each one that makes a file does, needs no
 * reply of the host. */
#ifndef ABSENCE_H
#define ABSENCE_H
#include "clock.h"
#include <stddef.h>

/* Of one folder; NULL: it may have any name. */
struct absence;

/* All names that the folder had at `asked_at` (tick) or has got since were, or will be, given to `absence_name`; for
 * `valid_ms` the host tells of each new one. */
void absence_begin(struct absence **known, uint32_t valid_ms, uint64_t asked_at);
/* The host has told of a name in a folder that is not known: one whose reply is on its way. */
void absence_missed(void);
/* The folder may have, or soon have, that name. */
void absence_name(struct absence **known, const char *name, size_t length);
/* The host has just said that it tells of changes in the folder for another `valid_ms`. */
void absence_renew(struct absence *known, uint32_t valid_ms);
/* How long it is known that the folder does not have that name (ms); 0: it may have it. */
uint32_t absence_ms(const struct absence *known, const char *name, size_t length);
/* Nothing is known any more of any folder: the host tells of changes by paths, which others may have now. */
void absence_forget_all(void);
void absence_free(struct absence **known);

#endif
