/* Changes that the host has made, repeated here so that inotify in the guest tells of them.
 *
 * FUSE can invalidate what the kernel keeps, but that raises no event. So a process beside the client does to the mounted
 * files what the host has done, one change at a time; the client knows its requests by its pid and replies to them without
 * the host. That process holds no descriptor of /dev/fuse, so it never keeps a file system that has ended. */
#ifndef REPLAY_H
#define REPLAY_H
#include "table.h"
#include <linux/fuse.h>
#include <poll.h>

/* One request of the kernel. */
struct call {
    const struct fuse_in_header *head;
    struct node *node;
    const uint8_t *body;
    const char *text; /* the body as text: most requests are names */
    size_t length;
};

/* Start the process; `mount_point` is where it finds the files. Returns false, with errno, where that fails. */
bool replay_set_up(const char *mount_point);
struct pollfd replay_poll(void);
void replay_work(short events);
/* The host has changed `name` in `parent`. `kinds`: enum change; `attr` is zero where nothing is there any more. */
void replay_add(struct node *parent, const char *name, uint32_t kinds, bool is_folder, const struct attributes *attr);
/* Reply to a request of that process. Returns false where it is to be treated like any other. */
bool replay_serve(const struct call *call);

#endif
