/* The kernel's side: requests from /dev/fuse (linux/fuse.h), each replied to from what is known here, or when the host has
 * replied. */
#ifndef SERVE_H
#define SERVE_H
#include "link.h"

/* `fuse`: /dev/fuse, which belongs to a mount. */
void serve_set_up(int fuse);
/* Handle what the kernel asks. Returns false when the file system was unmounted. */
bool serve_work(void);
/* The host has sent a notice. */
void serve_notice(int kind, const uint8_t *body, size_t length);
/* Reply to the kernel with `error`; what the host replies later is dropped. */
void serve_give_up(struct request *request, int error);

#endif
