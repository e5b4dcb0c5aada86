/* The kernel's side: requests from /dev/fuse (linux/fuse.h), each replied to from what is known here, or when the host has
 * replied. */
#ifndef SERVE_H
#define SERVE_H
#include "link.h"
#include <linux/fuse.h>

/* One request of the kernel. */
struct call {
    const struct fuse_in_header *head;
    struct node *node;
    const uint8_t *body;
    const char *text; /* the body as text: most requests are names */
    size_t length;
};

/* `fuse`: /dev/fuse, which belongs to a mount. */
void serve_set_up(int fuse);
/* Handle what the kernel asks. Returns false when the file system was unmounted. */
bool serve_work(void);
/* The connection is a new session on the host, which watches no folder yet. */
void serve_new_session(void);
/* The host has sent a notice. */
void serve_notice(int kind, const uint8_t *body, size_t length);
/* Reply to the kernel with `error`; what the host replies later is dropped. */
void serve_give_up(struct request *request, int error);

#endif
