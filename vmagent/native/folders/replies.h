/* Replies to the kernel: from what is known here, and from the host's replies. */
#ifndef REPLIES_H
#define REPLIES_H
#include "link.h"

void replies_set_up(int fuse);
int fuse_device(void);

void reply_error(uint64_t unique, int error);
void reply_bytes(uint64_t unique, const void *bytes, size_t length);
/* The kernel gets one more lookup of the node. */
void reply_entry(uint64_t unique, struct node *node, const struct attributes *attr, uint32_t valid_ms, uint32_t uid,
                 uint32_t gid);
void reply_absent(uint64_t unique, uint32_t valid_ms);
/* Bytes of the file `node` from `offset` on. */
void reply_read(uint64_t unique, struct node *node, uint64_t offset, const uint8_t *bytes, size_t length);
/* A rename is under way, or has been carried out: what it means for what is known of folders' names. */
void absence_before_rename(const struct request *request);
void reply_attr(uint64_t unique, const struct node *node, uint32_t uid, uint32_t gid);
/* Reply to a request for a folder's entries from those that the host has sent. Returns false where it has not. */
bool reply_entries(const struct request *request, struct handle *folder);
void send_close(uint64_t handle);

reply_handler on_entry, on_attr, on_changed, on_bytes, on_made, on_removed, on_renamed, on_open, on_create, on_written,
    on_done, on_list, on_read, on_folder_made, on_statfs, on_xattr, on_node_changed;

#endif
