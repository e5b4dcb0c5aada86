/* The kernel's side: requests from /dev/fuse (linux/fuse.h), each replied to from what is known here, or when the host has
 * replied. */
#ifndef SERVE_H
#define SERVE_H
#include <stdbool.h>

/* `fuse`: /dev/fuse, which belongs to a mount. Before link_set_up. */
void serve_set_up(int fuse);
/* Handle what the kernel asks. Returns false when the file system was unmounted. */
bool serve_work(void);

#endif
