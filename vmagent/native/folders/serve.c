#define _GNU_SOURCE
#include "serve.h"
#include "absence.h"
#include "content.h"
#include "replay.h"
#include "replies.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DATA = 1 << 20, LIST_BYTES = 256 * 1024,
       ABSENT_MS = 1000 /* how long the kernel keeps what it can have here at any time */ };

static uint8_t input[MAX_DATA + 65536];

static struct request *begin(const struct call *call, enum operation operation, reply_handler *on_reply) {
    struct request *request = request_new(operation, on_reply);
    request->unique = call->head->unique;
    request->opcode = call->head->opcode;
    request->uid = call->head->uid;
    request->gid = call->head->gid;
    request->node = call->node;
    return request;
}

static const char *copied(const char *text) {
    char *copy = strdup(text);
    if (!copy) abort();
    return copy;
}

/* Send a request that is complete but for whether its path could be written. */
static void send_if(bool has_path, struct request *request, int otherwise) {
    if (has_path) {
        request_send(request);
        return;
    }
    reply_error(request->unique, otherwise);
    request->node = request->other = NULL; /* not held yet */
    if (request->handle) handle_remove(request->handle);
    request_free(request);
}

/* A request about `name` in the call's folder. */
static struct request *begin_named(const struct call *call, enum operation operation, reply_handler *on_reply,
                                   const char *name, bool *has_path) {
    struct request *request = begin(call, operation, on_reply);
    request->name = copied(name);
    *has_path = put_path(request, call->node, name);
    return request;
}

/* The same for one that makes `name`, if it does: its reply may be lost. */
static struct request *begin_making(const struct call *call, enum operation operation, reply_handler *on_reply,
                                    const char *name, bool *has_path) {
    absence_name(&call->node->absence, name, strlen(name));
    return begin_named(call, operation, on_reply, name, has_path);
}

static void put_handle_and_path(struct request *request, const struct node *node, struct handle *handle, bool *is_there) {
    put_u64(request, handle ? handle->id : 0);
    if (put_path(request, node, NULL)) return;
    if (handle) put_string(request, "", 0);
    else *is_there = false;
}

static struct handle *usable(struct handle *handle) { return handle && !handle->is_lost ? handle : NULL; }

static void do_lookup(const struct call *call) {
    bool has_path;
    uint32_t absent_ms = link_is_ready() ? absence_ms(call->node->absence, call->text, strlen(call->text)) : 0;
    if (absent_ms) {
        reply_absent(call->head->unique, absent_ms < ABSENT_MS ? absent_ms : ABSENT_MS);
        return;
    }
    struct request *request = begin_named(call, LOOKUP, on_entry, call->text, &has_path);
    send_if(has_path, request, ENOENT);
}

/* A removed folder or FIFO that is still in use: the host has nothing by which it could be reached. */
static bool is_only_here(const struct node *node) { return !node->names && node != table_root() && !handle_of(node, false); }

static void do_getattr(const struct call *call) {
    struct node *node = call->node;
    if (node->attr_until_ms > now_ms() || is_only_here(node)) {
        reply_attr(call->head->unique, node, call->head->uid, call->head->gid);
        return;
    }
    bool is_there = true;
    struct request *request = begin(call, GETATTR, on_attr);
    put_handle_and_path(request, node, handle_of(node, false), &is_there);
    send_if(is_there, request, ESTALE);
}

static uint32_t which_of(uint32_t valid) {
    static const uint32_t pairs[][2] = {{FATTR_MODE, SET_MODE},   {FATTR_UID, SET_UID},
                                        {FATTR_GID, SET_GID},     {FATTR_SIZE, SET_SIZE},
                                        {FATTR_ATIME, SET_ATIME}, {FATTR_MTIME, SET_MTIME},
                                        {FATTR_ATIME_NOW, ATIME_NOW}, {FATTR_MTIME_NOW, MTIME_NOW}};
    uint32_t which = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (valid & pairs[i][0]) which |= pairs[i][1];
    return which;
}

static int64_t ns(uint64_t seconds, uint32_t rest) { return (int64_t)seconds * 1000000000 + rest; }

static void set_here(const struct call *call, const struct fuse_setattr_in *in) {
    struct attributes *attr = &call->node->attr;
    if (in->valid & FATTR_MODE) attr->mode = (attr->mode & S_IFMT) | (in->mode & 07777);
    if (in->valid & FATTR_UID) attr->uid = in->uid;
    if (in->valid & FATTR_GID) attr->gid = in->gid;
    if (in->valid & FATTR_ATIME) attr->atime = ns(in->atime, in->atimensec);
    if (in->valid & FATTR_MTIME) attr->mtime = ns(in->mtime, in->mtimensec);
    reply_attr(call->head->unique, call->node, call->head->uid, call->head->gid);
}

static void do_setattr(const struct call *call) {
    const struct fuse_setattr_in *in = (const void *)call->body;
    if (is_only_here(call->node)) {
        set_here(call, in);
        return;
    }
    struct handle *handle = in->valid & FATTR_FH ? usable(handle_find(in->fh)) : NULL;
    if (!handle || handle->is_folder) handle = call->node->names ? NULL : handle_of(call->node, in->valid & FATTR_SIZE);
    bool is_there = true;
    struct request *request = begin(call, SETATTR, on_changed);
    request->size = which_of(in->valid);
    put_handle_and_path(request, call->node, handle, &is_there);
    put_u32(request, request->size);
    put_u32(request, in->mode);
    put_u32(request, in->uid);
    put_u32(request, in->gid);
    put_u64(request, in->size);
    put_u64(request, (uint64_t)ns(in->atime, in->atimensec));
    put_u64(request, (uint64_t)ns(in->mtime, in->mtimensec));
    send_if(is_there, request, ESTALE);
}

static void do_readlink(const struct call *call) {
    struct request *request = begin(call, READLINK, on_bytes);
    send_if(put_path(request, call->node, NULL), request, ESTALE);
}

static void do_symlink(const struct call *call) { /* the name, then the target */
    const char *target = call->text + strlen(call->text) + 1;
    bool has_path;
    struct request *request = begin_making(call, SYMLINK, on_made, call->text, &has_path);
    put_string(request, target, strlen(target));
    send_if(has_path, request, ENOENT);
}

static void do_mknod(const struct call *call) {
    const struct fuse_mknod_in *in = (const void *)call->body;
    bool has_path;
    struct request *request = begin_making(call, MKNOD, on_made, (const char *)(in + 1), &has_path);
    put_u32(request, in->mode);
    send_if(has_path, request, ENOENT);
}

static void do_mkdir(const struct call *call) {
    const struct fuse_mkdir_in *in = (const void *)call->body;
    bool has_path;
    struct request *request = begin_making(call, MKDIR, on_folder_made, (const char *)(in + 1), &has_path);
    put_u32(request, in->mode);
    send_if(has_path, request, ENOENT);
}

static void do_remove(const struct call *call) {
    bool has_path;
    enum operation operation = call->head->opcode == FUSE_RMDIR ? RMDIR : UNLINK;
    struct request *request = begin_named(call, operation, on_removed, call->text, &has_path);
    send_if(has_path, request, ENOENT);
}

static void do_rename(const struct call *call) {
    uint64_t to;
    uint32_t flags = 0;
    const char *name;
    if (call->head->opcode == FUSE_RENAME2) {
        const struct fuse_rename2_in *in = (const void *)call->body;
        to = in->newdir, flags = in->flags, name = (const char *)(in + 1);
    } else {
        const struct fuse_rename_in *in = (const void *)call->body;
        to = in->newdir, name = (const char *)(in + 1);
    }
    const char *as = name + strlen(name) + 1;
    struct node *other = node_find(to);
    bool has_path;
    struct request *request = begin_named(call, RENAME, on_renamed, name, &has_path);
    request->other = other;
    request->other_name = copied(as);
    request->size = flags;
    if (other) absence_before_rename(request);
    has_path = has_path && other && put_path(request, other, as);
    put_u32(request, flags);
    send_if(has_path, request, ENOENT);
}

static void do_link(const struct call *call) {
    const struct fuse_link_in *in = (const void *)call->body;
    const char *name = (const char *)(in + 1);
    struct node *source = node_find(in->oldnodeid);
    absence_name(&call->node->absence, name, strlen(name));
    struct request *request = begin(call, LINK, on_made);
    request->name = copied(name);
    request->other = source;
    bool has_path = source && put_path(request, source, NULL) && put_path(request, call->node, name);
    send_if(has_path, request, ENOENT);
}

static uint32_t open_flags(uint32_t flags) {
    uint32_t found = (flags & O_ACCMODE) == O_WRONLY ? OPEN_WRITE : (flags & O_ACCMODE) == O_RDWR ? OPEN_READ_WRITE : 0;
    return found | (flags & O_TRUNC ? OPEN_TRUNCATE : 0) | (flags & O_EXCL ? OPEN_EXCLUSIVE : 0);
}

static void do_open(const struct call *call) {
    const struct fuse_open_in *in = (const void *)call->body;
    uint32_t flags = open_flags(in->flags & ~O_EXCL);
    const struct node *node = call->node;
    bool has_pages = node->has_pages && node->version[1] == node->attr.mtime;
    bool wants_content = !(flags & (OPEN_WRITE | OPEN_TRUNCATE)) && node->attr.size <= CONTENT_LIMIT && !has_pages;
    struct request *request = begin(call, OPEN, on_open);
    request->handle = handle_add(call->node, flags, false);
    put_u64(request, request->handle->id);
    bool has_path = put_path(request, node, NULL);
    put_u32(request, flags | (wants_content ? OPEN_CONTENT : 0));
    put_u64(request, node->attr.dev);
    put_u64(request, node->attr.ino);
    send_if(has_path, request, ESTALE);
}

static void do_create(const struct call *call) {
    const struct fuse_create_in *in = (const void *)call->body;
    const char *name = (const char *)(in + 1);
    absence_name(&call->node->absence, name, strlen(name));
    struct request *request = begin(call, CREATE, on_create);
    request->name = copied(name);
    request->size = open_flags(in->flags);
    request->offset = handle_reserve();
    put_u64(request, request->offset);
    bool has_path = put_path(request, call->node, name);
    put_u32(request, request->size);
    put_u32(request, in->mode);
    send_if(has_path, request, ENOENT);
}

/* The open file of a request; replies with an error where it was lost. */
static struct handle *open_file(const struct call *call, uint64_t id) {
    struct handle *handle = handle_find(id);
    if (handle && !handle->is_lost && !handle->is_folder) return handle;
    reply_error(call->head->unique, handle && !handle->is_folder ? EIO : EBADF);
    return NULL;
}

static void do_read(const struct call *call) {
    const struct fuse_read_in *in = (const void *)call->body;
    struct handle *handle = open_file(call, in->fh);
    if (!handle) return;
    uint32_t size = in->size < MAX_DATA ? in->size : MAX_DATA;
    const uint8_t *bytes = content_at(handle, in->offset, &size);
    if (bytes) {
        reply_read(call->head->unique, call->node, in->offset, bytes, size);
        return;
    }
    struct request *request = begin(call, READ, on_read);
    request->offset = in->offset;
    put_u64(request, handle->id);
    put_u64(request, in->offset);
    put_u32(request, size);
    request_send(request);
}

static void do_write(const struct call *call) {
    const struct fuse_write_in *in = (const void *)call->body;
    struct handle *handle = open_file(call, in->fh);
    if (!handle) return;
    /* Pages of a mapping are written back where they lie, whatever the file's flags say. */
    bool appends = in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE);
    struct request *request = begin(call, WRITE, on_written);
    put_u64(request, handle->id);
    put_u64(request, in->offset);
    put_u32(request, appends ? WRITE_APPEND : 0);
    put_bytes(request, in + 1, in->size);
    request_send(request);
}

static void do_release(const struct call *call) {
    const struct fuse_release_in *in = (const void *)call->body;
    struct handle *handle = handle_find(in->fh);
    if (handle) {
        if (handle->is_on_host) send_close(handle->id);
        handle_remove(handle);
    }
    reply_error(call->head->unique, 0);
}

static void do_fsync(const struct call *call) {
    const struct fuse_fsync_in *in = (const void *)call->body;
    if (is_only_here(call->node)) {
        reply_error(call->head->unique, 0);
        return;
    }
    struct handle *handle = call->head->opcode == FUSE_FSYNC ? open_file(call, in->fh) : NULL;
    if (!handle && call->head->opcode == FUSE_FSYNC) return;
    bool is_there = true;
    struct request *request = begin(call, FSYNC, on_done);
    put_handle_and_path(request, call->node, handle, &is_there);
    put_u32(request, in->fsync_flags & FUSE_FSYNC_FDATASYNC);
    send_if(is_there, request, ESTALE);
}

static void do_opendir(const struct call *call) {
    struct fuse_open_out out = {.fh = handle_add(call->node, 0, true)->id};
    reply_bytes(call->head->unique, &out, sizeof out);
}

static void do_readdir(const struct call *call) {
    const struct fuse_read_in *in = (const void *)call->body;
    struct handle *folder = handle_find(in->fh);
    if (!folder || !folder->is_folder) {
        reply_error(call->head->unique, EBADF);
        return;
    }
    struct request *request = begin(call, LIST, on_list);
    request->offset = in->offset;
    request->size = in->size < MAX_DATA ? in->size : MAX_DATA;
    if (reply_entries(request, folder)) {
        request->node = NULL;
        request_free(request);
        return;
    }
    uint64_t first = in->offset > 2 ? in->offset - 2 : 0;
    put_u64(request, folder->id);
    bool has_path = put_path(request, call->node, NULL);
    put_u64(request, first);
    put_u32(request, LIST_BYTES);
    folder->is_on_host = true;
    request->folder = folder->id;
    send_if(has_path, request, ENOENT);
}

static void do_statfs(const struct call *call) {
    struct request *request = begin(call, STATFS, on_statfs);
    if (!put_path(request, call->node, NULL)) { /* of a removed file: of the root */
        put_string(request, "", 0);
    }
    request_send(request);
}

/* Names of other kinds have no meaning on the host. The kernel asks for some of them at each write. */
static bool is_for_host(const char *name) { return strncmp(name, "user.", 5) == 0; }

static void do_getxattr(const struct call *call) {
    const struct fuse_getxattr_in *in = (const void *)call->body;
    const char *name = (const char *)(in + 1);
    if (!is_for_host(name)) {
        reply_error(call->head->unique, EOPNOTSUPP);
        return;
    }
    struct request *request = begin(call, GETXATTR, on_xattr);
    request->size = in->size;
    bool has_path = put_path(request, call->node, NULL);
    put_string(request, name, strlen(name));
    send_if(has_path, request, ENODATA);
}

static void do_listxattr(const struct call *call) {
    const struct fuse_getxattr_in *in = (const void *)call->body;
    struct request *request = begin(call, LISTXATTR, on_xattr);
    request->size = in->size;
    send_if(put_path(request, call->node, NULL), request, ESTALE);
}

static void do_setxattr(const struct call *call) {
    const struct fuse_setxattr_in *in = (const void *)call->body;
    const char *name = (const char *)call->body + FUSE_COMPAT_SETXATTR_IN_SIZE;
    if (!is_for_host(name)) {
        reply_error(call->head->unique, EOPNOTSUPP);
        return;
    }
    struct request *request = begin(call, SETXATTR, on_node_changed);
    bool has_path = put_path(request, call->node, NULL);
    put_string(request, name, strlen(name));
    put_u32(request, in->flags);
    put_bytes(request, name + strlen(name) + 1, in->size);
    send_if(has_path, request, ESTALE);
}

static void do_removexattr(const struct call *call) {
    if (!is_for_host(call->text)) {
        reply_error(call->head->unique, EOPNOTSUPP);
        return;
    }
    struct request *request = begin(call, REMOVEXATTR, on_node_changed);
    bool has_path = put_path(request, call->node, NULL);
    put_string(request, call->text, strlen(call->text));
    send_if(has_path, request, ESTALE);
}

static void do_fallocate(const struct call *call) {
    const struct fuse_fallocate_in *in = (const void *)call->body;
    struct handle *handle = open_file(call, in->fh);
    if (!handle) return;
    struct request *request = begin(call, FALLOCATE, on_node_changed);
    put_u64(request, handle->id);
    put_u32(request, in->mode);
    put_u64(request, in->offset);
    put_u64(request, in->length);
    request_send(request);
}

static void do_lseek(const struct call *call) {
    const struct fuse_lseek_in *in = (const void *)call->body;
    struct handle *handle = open_file(call, in->fh);
    if (!handle) return;
    struct request *request = begin(call, SEEK, on_bytes);
    put_u64(request, handle->id);
    put_u64(request, in->offset);
    put_u32(request, in->whence);
    request_send(request);
}

static void do_init(const struct call *call) {
    const struct fuse_init_in *in = (const void *)call->body;
    uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_DO_READDIRPLUS |
                      FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_MAX_PAGES |
                      FUSE_CACHE_SYMLINKS;
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .flags = in->flags & wanted,
        .max_background = 64,
        .congestion_threshold = 48,
        .max_write = MAX_DATA,
        .time_gran = 1,
        .max_pages = MAX_DATA / 4096,
    };
    reply_bytes(call->head->unique, &out, sizeof out);
}

static void do_forgets(const struct call *call) {
    if (call->head->opcode == FUSE_FORGET) {
        const struct fuse_forget_in *in = (const void *)call->body;
        if (call->node) node_forget(call->node, in->nlookup);
        return;
    }
    const struct fuse_batch_forget_in *in = (const void *)call->body;
    const struct fuse_forget_one *one = (const void *)(in + 1);
    for (uint32_t i = 0; i < in->count; i++) {
        struct node *node = node_find(one[i].nodeid);
        if (node) node_forget(node, one[i].nlookup);
    }
}

static void handle_call(const struct call *call) {
    static void (*const calls[])(const struct call *) = {
        [FUSE_LOOKUP] = do_lookup,       [FUSE_GETATTR] = do_getattr,     [FUSE_SETATTR] = do_setattr,
        [FUSE_READLINK] = do_readlink,   [FUSE_SYMLINK] = do_symlink,     [FUSE_MKNOD] = do_mknod,
        [FUSE_MKDIR] = do_mkdir,         [FUSE_UNLINK] = do_remove,       [FUSE_RMDIR] = do_remove,
        [FUSE_RENAME] = do_rename,       [FUSE_RENAME2] = do_rename,      [FUSE_LINK] = do_link,
        [FUSE_OPEN] = do_open,           [FUSE_CREATE] = do_create,       [FUSE_READ] = do_read,
        [FUSE_WRITE] = do_write,         [FUSE_RELEASE] = do_release,     [FUSE_RELEASEDIR] = do_release,
        [FUSE_FSYNC] = do_fsync,         [FUSE_FSYNCDIR] = do_fsync,      [FUSE_OPENDIR] = do_opendir,
        [FUSE_READDIR] = do_readdir,     [FUSE_READDIRPLUS] = do_readdir, [FUSE_STATFS] = do_statfs,
        [FUSE_GETXATTR] = do_getxattr,   [FUSE_LISTXATTR] = do_listxattr, [FUSE_SETXATTR] = do_setxattr,
        [FUSE_REMOVEXATTR] = do_removexattr, [FUSE_FALLOCATE] = do_fallocate, [FUSE_LSEEK] = do_lseek,
    };
    uint32_t opcode = call->head->opcode;
    if (opcode == FUSE_INIT) do_init(call);
    else if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) do_forgets(call);
    else if (opcode == FUSE_INTERRUPT) link_on_interrupt(((const struct fuse_interrupt_in *)call->body)->unique);
    else if (opcode == FUSE_DESTROY) reply_error(call->head->unique, 0);
    else if (opcode >= sizeof calls / sizeof *calls || !calls[opcode]) reply_error(call->head->unique, ENOSYS);
    else if (!call->node) reply_error(call->head->unique, ESTALE);
    else if (replay_serve(call)) return;
    else calls[opcode](call);
}

bool serve_work(void) {
    for (int turns = 0; turns < 64 && link_has_room(); turns++) {
        ssize_t count = read(fuse_device(), input, sizeof input - 1);
        if (count < 0 && (errno == EINTR || errno == ENOENT)) continue; /* ENOENT: its caller has gone */
        if (count < 0 && errno == EAGAIN) return true;
        if (count < (ssize_t)sizeof(struct fuse_in_header)) return false; /* ENODEV: unmounted */
        input[count] = 0;
        const struct fuse_in_header *head = (const void *)input;
        const uint8_t *body = (const uint8_t *)(head + 1);
        tick++;
        struct call call = {head, node_find(head->nodeid), body, (const char *)body, head->len - sizeof *head};
        handle_call(&call);
    }
    return true;
}

static void on_watched(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    if (error || length < sizeof attr) return;
    memcpy(&attr, body, sizeof attr);
    if (is_same_file(&attr, &request->node->attr)) node_update(request->node, &attr, request->asked_at);
}

static void watch(struct node *node) {
    node->attr_until_ms = 0;
    if (!S_ISDIR(node->attr.mode) || node == table_root() || !node->lookups) return;
    struct request *request = request_new(LOOKUP, on_watched);
    request->node = node;
    if (put_path(request, node, NULL)) {
        request_send(request);
        return;
    }
    request->node = NULL;
    request_free(request);
}

static void on_connected(void) {
    absence_forget_all();
    nodes_each(watch);
}

static void on_notice(int kind, const uint8_t *body, size_t length) {
    uint16_t lengths[2];
    const char *texts[2];
    uint32_t numbers[2];
    struct attributes attr;
    size_t at = 0;
    if (kind != CHANGED) return;
    for (int i = 0; i < 2; i++) {
        if (length - at < 2) return;
        memcpy(&lengths[i], body + at, 2);
        texts[i] = (const char *)body + at + 2;
        at += 2 + (size_t)lengths[i];
        if (at > length) return;
    }
    if (length - at < sizeof numbers + sizeof attr || lengths[1] > 255) return;
    memcpy(numbers, body + at, sizeof numbers);
    memcpy(&attr, body + at + sizeof numbers, sizeof attr);
    struct node *parent = node_at(texts[0], lengths[0]);
    if (!parent) {
        absence_missed();
        return;
    }
    char name[256];
    memcpy(name, texts[1], lengths[1]);
    name[lengths[1]] = 0;
    absence_name(&parent->absence, name, lengths[1]);
    replay_add(parent, name, numbers[0], numbers[1] != 0, &attr);
}

void serve_set_up(int fuse) {
    table_set_up();
    replies_set_up(fuse);
    link_on((struct link_events){.connected = on_connected, .notice = on_notice, .give_up = reply_error});
}
