#define _GNU_SOURCE
#include "replies.h"
#include "absence.h"
#include "content.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int fuse;

void replies_set_up(int fd) { fuse = fd; }
int fuse_device(void) { return fuse; }

static void reply(uint64_t unique, int error, const void *bytes, size_t length) {
    if (!unique) return;
    struct fuse_out_header head = {.len = (uint32_t)(sizeof head + length), .error = -error, .unique = unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)bytes, length}};
    while (writev(fuse, parts, 2) < 0 && errno == EINTR) continue; /* other errors: its caller has gone */
}

void reply_error(uint64_t unique, int error) { reply(unique, error, NULL, 0); }
void reply_bytes(uint64_t unique, const void *bytes, size_t length) { reply(unique, 0, bytes, length); }

void send_close(uint64_t handle) {
    struct request *request = request_new(CLOSE, NULL);
    put_u64(request, handle);
    request_cast(request);
}

/* The kernel keeps no attributes that say who looks. They are kept here, so the host is not asked again. */
static uint32_t valid_ms(const struct attributes *attr) {
    return attr->uid == NOBODY || attr->gid == NOBODY ? 0 : attr->valid_ms;
}

static struct fuse_attr converted(const struct attributes *attr, uint32_t uid, uint32_t gid) {
    return (struct fuse_attr){
        .ino = attr->ino,
        .size = attr->size,
        .blocks = attr->blocks,
        .atime = (uint64_t)(attr->atime / 1000000000),
        .mtime = (uint64_t)(attr->mtime / 1000000000),
        .ctime = (uint64_t)(attr->ctime / 1000000000),
        .atimensec = (uint32_t)(attr->atime % 1000000000),
        .mtimensec = (uint32_t)(attr->mtime % 1000000000),
        .ctimensec = (uint32_t)(attr->ctime % 1000000000),
        .mode = attr->mode,
        .nlink = attr->nlink,
        .uid = attr->uid == NOBODY ? uid : attr->uid,
        .gid = attr->gid == NOBODY ? gid : attr->gid,
        .rdev = attr->rdev,
        .blksize = 4096,
    };
}

static struct fuse_entry_out entry_of(const struct node *node, const struct attributes *attr, uint32_t entry_ms,
                                      uint32_t uid, uint32_t gid) {
    uint32_t valid = entry_ms ? valid_ms(attr) : 0;
    return (struct fuse_entry_out){
        .nodeid = node->id,
        .entry_valid = entry_ms / 1000,
        .entry_valid_nsec = entry_ms % 1000 * 1000000,
        .attr_valid = valid / 1000,
        .attr_valid_nsec = valid % 1000 * 1000000,
        .attr = converted(attr, uid, gid),
    };
}

static void send_attr(uint64_t unique, const struct attributes *attr, uint32_t uid, uint32_t gid) {
    uint32_t valid = valid_ms(attr);
    struct fuse_attr_out out = {
        .attr_valid = valid / 1000,
        .attr_valid_nsec = valid % 1000 * 1000000,
        .attr = converted(attr, uid, gid),
    };
    reply_bytes(unique, &out, sizeof out);
}

void reply_entry(uint64_t unique, struct node *node, const struct attributes *attr, uint32_t entry_ms, uint32_t uid,
                 uint32_t gid) {
    struct fuse_entry_out out = entry_of(node, attr, entry_ms, uid, gid);
    if (unique) node->lookups++;
    reply_bytes(unique, &out, sizeof out);
}

void reply_attr(uint64_t unique, const struct node *node, uint32_t uid, uint32_t gid) {
    send_attr(unique, &node->attr, uid, gid);
}

/* Read attributes off a reply's head. Returns false, with the kernel told, where there is an error or too little. */
static bool attributes(struct request *request, int error, const uint8_t *body, size_t length, struct attributes *attr) {
    if (!error && length < sizeof *attr) error = EIO;
    if (error) reply_error(request->unique, error);
    else memcpy(attr, body, sizeof *attr);
    return !error;
}

void on_done(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)body, (void)length;
    reply_error(request->unique, error);
}

void on_bytes(struct request *request, int error, const uint8_t *body, size_t length) {
    if (error) reply_error(request->unique, error);
    else reply_bytes(request->unique, body, length);
}

void reply_read(uint64_t unique, struct node *node, uint64_t offset, const uint8_t *bytes, size_t length) {
    if (!offset && (int64_t)length >= node->version[0]) node->has_pages = true;
    reply_bytes(unique, bytes, length);
}

void on_read(struct request *request, int error, const uint8_t *body, size_t length) {
    if (error) reply_error(request->unique, error);
    else reply_read(request->unique, request->node, request->offset, body, length);
}

/* The kernel gets the node of `name`, if it still waits. */
static struct node *enter(struct request *request, const struct attributes *attr) {
    absence_name(&request->node->absence, request->name, strlen(request->name));
    absence_renew(request->node->absence, attr->valid_ms);
    struct node *node = node_named(request->node, request->name, strlen(request->name), attr);
    node_hold(node);
    node_update(node, attr, request->asked_at);
    return node;
}

/* How long the kernel may keep an entry: not at all where something has changed since it was asked for. */
static uint32_t entry_ms(const struct request *request, const struct node *node, const struct attributes *attr) {
    bool is_old = request->node->changed_at >= request->asked_at || node->changed_at >= request->asked_at;
    return is_old ? 0 : attr->valid_ms;
}

void reply_absent(uint64_t unique, uint32_t valid_ms) {
    struct fuse_entry_out none = {.entry_valid = valid_ms / 1000, .entry_valid_nsec = valid_ms % 1000 * 1000000};
    reply_bytes(unique, &none, sizeof none);
}

void on_entry(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    uint32_t missing_ms = 0;
    if (error == ENOENT && length >= 4) memcpy(&missing_ms, body, 4);
    if (missing_ms && request->node->changed_at < request->asked_at) {
        absence_renew(request->node->absence, missing_ms);
        reply_absent(request->unique, missing_ms);
        return;
    }
    if (!attributes(request, error, body, length, &attr)) return;
    struct node *node = enter(request, &attr);
    reply_entry(request->unique, node, &attr, entry_ms(request, node, &attr), request->uid, request->gid);
    node_release(node);
}

void on_made(struct request *request, int error, const uint8_t *body, size_t length) {
    node_changed(request->node); /* also after an error: it may have been made by an earlier request */
    if (request->other) node_changed(request->other);
    request->asked_at = ++tick;
    on_entry(request, error, body, error ? 0 : length);
}

void on_folder_made(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    uint32_t told_ms = 0;
    uint64_t asked_at = request->asked_at;
    on_made(request, error, body, length);
    if (error || length < sizeof attr + sizeof told_ms) return;
    memcpy(&attr, body, sizeof attr);
    memcpy(&told_ms, body + sizeof attr, sizeof told_ms);
    struct node *made = name_find(request->node, request->name, strlen(request->name));
    if (told_ms && made && is_same_file(&made->attr, &attr)) absence_begin(&made->absence, told_ms, asked_at);
}

void on_attr(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    if (!attributes(request, error, body, length, &attr)) return;
    if (!is_same_file(&attr, &request->node->attr)) { /* another file has its name now */
        reply_error(request->unique, ESTALE);
        return;
    }
    node_update(request->node, &attr, request->asked_at);
    send_attr(request->unique, &attr, request->uid, request->gid);
}

/* What the kernel's pages hold is the file as of `attr`. */
static void note_version(struct node *node, const struct attributes *attr) {
    node->version[0] = (int64_t)attr->size;
    node->version[1] = attr->mtime;
    node->version[2] = attr->ctime;
}

static bool is_of_version(const struct node *node, const struct attributes *attr) {
    return node->version[0] == (int64_t)attr->size && node->version[1] == attr->mtime && node->version[2] == attr->ctime;
}

/* The reply to a change from here, with the attributes after it. */
static bool take_change(struct request *request, int error, const uint8_t *body, size_t length, struct attributes *attr) {
    node_changed(request->node);
    if (!attributes(request, error, body, length, attr)) return false;
    if (!is_same_file(attr, &request->node->attr)) {
        reply_error(request->unique, ESTALE);
        return false;
    }
    node_update(request->node, attr, ++tick);
    return true;
}

void on_changed(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    struct node *node = request->node;
    if (!take_change(request, error, body, length, &attr)) return;
    bool has_same_content = node->version[0] == (int64_t)attr.size && node->version[1] == attr.mtime;
    if (request->size & SET_SIZE || has_same_content) note_version(node, &attr);
    send_attr(request->unique, &attr, request->uid, request->gid);
}

void on_node_changed(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)body, (void)length;
    node_changed(request->node);
    reply_error(request->unique, error);
}

void on_written(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    struct fuse_write_out out = {0};
    if (!error && length < 8) error = EIO;
    if (!take_change(request, error, body + 8, error ? 0 : length - 8, &attr)) return;
    note_version(request->node, &attr);
    memcpy(&out.size, body, 4);
    reply_bytes(request->unique, &out, sizeof out);
}

void on_removed(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)body, (void)length;
    node_changed(request->node);
    if (!error) name_deleted(request->node, request->name, strlen(request->name));
    reply_error(request->unique, error);
}

void absence_before_rename(const struct request *request) {
    const struct node *node = name_find(request->node, request->name, strlen(request->name));
    bool may_be_folder = !node || S_ISDIR(node->attr.mode) || request->size & RENAME_EXCHANGE;
    if (may_be_folder) absence_forget_all(); /* others below it have other paths from now on */
    absence_name(&request->node->absence, request->name, strlen(request->name));
    absence_name(&request->other->absence, request->other_name, strlen(request->other_name));
}

void on_renamed(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)body, (void)length;
    const char *name = request->name, *as = request->other_name;
    absence_before_rename(request);
    node_changed(request->node);
    node_changed(request->other);
    if (!error && request->size & RENAME_EXCHANGE)
        name_exchanged(request->node, name, strlen(name), request->other, as, strlen(as));
    else if (!error) name_moved(request->node, name, strlen(name), request->other, as, strlen(as));
    reply_error(request->unique, error);
}

/* The file is open on the host. */
static void begin_handle(struct handle *handle, const struct attributes *attr, struct fuse_open_out *out) {
    struct node *node = handle->node;
    handle->is_on_host = true;
    out->fh = handle->id;
    if (is_of_version(node, attr)) out->open_flags |= FOPEN_KEEP_CACHE;
    else node->has_pages = false;
    note_version(node, attr);
}

void on_open(struct request *request, int error, const uint8_t *body, size_t length) {
    struct handle *handle = request->handle;
    struct attributes attr;
    struct fuse_open_out out = {0};
    request->handle = NULL;
    if (handle->flags & OPEN_TRUNCATE) node_changed(request->node);
    if (!attributes(request, error, body, length, &attr) || !request->unique) {
        if (!error) send_close(handle->id);
        handle_remove(handle);
        return;
    }
    node_update(request->node, &attr, handle->flags & OPEN_TRUNCATE ? ++tick : request->asked_at);
    begin_handle(handle, &attr, &out);
    if (attr.size == length - sizeof attr) content_keep(handle, body + sizeof attr, attr.size, request->asked_at);
    reply_bytes(request->unique, &out, sizeof out);
}

void on_create(struct request *request, int error, const uint8_t *body, size_t length) {
    struct attributes attr;
    node_changed(request->node);
    if (!attributes(request, error, body, length, &attr) || !request->unique) {
        if (!error) send_close(request->offset);
        return;
    }
    request->asked_at = ++tick;
    struct node *node = enter(request, &attr);
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {.entry = entry_of(node, &attr, attr.valid_ms, request->uid, request->gid)};
    node->lookups++;
    begin_handle(handle_add_as(request->offset, node, request->size & ~OPEN_EXCLUSIVE), &attr, &out.open);
    reply_bytes(request->unique, &out, sizeof out);
    node_release(node);
}

void on_statfs(struct request *request, int error, const uint8_t *body, size_t length) {
    uint64_t given[7];
    if (!error && length < sizeof given) error = EIO;
    if (error) {
        reply_error(request->unique, error);
        return;
    }
    memcpy(given, body, sizeof given);
    struct fuse_statfs_out out = {
        .st = {.blocks = given[0],
               .bfree = given[1],
               .bavail = given[2],
               .files = given[3],
               .ffree = given[4],
               .bsize = (uint32_t)given[5],
               .frsize = (uint32_t)given[5],
               .namelen = (uint32_t)given[6]},
    };
    reply_bytes(request->unique, &out, sizeof out);
}

void on_xattr(struct request *request, int error, const uint8_t *body, size_t length) {
    struct fuse_getxattr_out out = {.size = (uint32_t)length};
    if (error) reply_error(request->unique, error);
    else if (!request->size) reply_bytes(request->unique, &out, sizeof out);
    else if (length > request->size) reply_error(request->unique, ERANGE);
    else reply_bytes(request->unique, body, length);
}

/* --- folders' entries */

struct entry {
    struct attributes attr;
    const char *name;
    uint16_t length;
};

static bool entry_at(const struct handle *folder, size_t at, struct entry *entry, size_t *next) {
    if (folder->length - at < sizeof entry->attr + 2) return false;
    memcpy(&entry->attr, folder->entries + at, sizeof entry->attr);
    memcpy(&entry->length, folder->entries + at + sizeof entry->attr, 2);
    entry->name = (const char *)folder->entries + at + sizeof entry->attr + 2;
    *next = at + sizeof entry->attr + 2 + entry->length;
    return *next <= folder->length;
}

/* Add one entry to the `*size` bytes at `out`. Returns false where it does not fit. */
static bool add_entry(uint8_t *out, size_t *size, size_t limit, bool plus, const struct fuse_entry_out *known,
                      const struct entry *entry, uint64_t offset) {
    size_t head = plus ? sizeof *known : 0;
    struct fuse_dirent dirent = {
        .ino = entry->attr.ino, .off = offset, .namelen = entry->length, .type = entry->attr.mode >> 12};
    size_t needed = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + entry->length);
    if (*size + needed > limit) return false;
    uint8_t *at = out + *size;
    memset(at, 0, needed);
    if (plus) memcpy(at, known, sizeof *known);
    memcpy(at + head, &dirent, FUSE_NAME_OFFSET);
    memcpy(at + head + FUSE_NAME_OFFSET, entry->name, entry->length);
    *size += needed;
    return true;
}

/* The node that the kernel may take over for an entry; none (0) where something here is newer than the entries. */
static struct fuse_entry_out known_entry(const struct request *request, struct handle *folder, const struct entry *entry) {
    struct fuse_entry_out none = {.attr = converted(&entry->attr, request->uid, request->gid)};
    if (folder->node->changed_at >= folder->asked_at || !entry->attr.ino) return none;
    struct node *node = node_named(folder->node, entry->name, entry->length, &entry->attr);
    if (node->changed_at >= folder->asked_at) return none;
    node->lookups++;
    node_update(node, &entry->attr, folder->asked_at);
    return entry_of(node, &entry->attr, entry->attr.valid_ms, request->uid, request->gid);
}

static size_t fill(const struct request *request, struct handle *folder, uint8_t *out) {
    bool plus = request->opcode == FUSE_READDIRPLUS;
    size_t size = 0;
    uint64_t offset = request->offset;
    for (; offset < 2; offset++) {
        struct entry dots = {.attr = folder->node->attr, .name = "..", .length = (uint16_t)(offset + 1)};
        struct fuse_entry_out none = {0};
        if (!add_entry(out, &size, request->size, plus, &none, &dots, offset + 1)) return size;
    }
    if (offset - 2 < folder->cursor) folder->cursor = folder->first, folder->at = 0;
    struct entry entry;
    for (size_t next; entry_at(folder, folder->at, &entry, &next); folder->at = next, folder->cursor++) {
        if (folder->cursor + 2 < offset) continue;
        size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
        if (size + FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + entry.length) > request->size) break;
        struct fuse_entry_out known = {0};
        if (plus) known = known_entry(request, folder, &entry);
        add_entry(out, &size, request->size, plus, &known, &entry, folder->cursor + 3);
    }
    return size;
}

bool reply_entries(const struct request *request, struct handle *folder) {
    if (request->offset == 0 || !folder->entries) return false; /* a reader that begins sees what there is now */
    uint64_t index = request->offset > 2 ? request->offset - 2 : 0, end = folder->first + folder->count;
    if (index < folder->first || (index >= end && !folder->is_last)) return false;
    static uint8_t out[1 << 20];
    reply_bytes(request->unique, out, fill(request, folder, out));
    return true;
}

/* The entries are all that the folder has. */
static void note_all_names(struct handle *folder, uint32_t told_ms) {
    struct entry entry;
    if (folder->node->changed_at >= folder->asked_at) return; /* there may be newer ones */
    absence_begin(&folder->node->absence, told_ms, folder->asked_at);
    for (size_t at = 0; entry_at(folder, at, &entry, &at);) absence_name(&folder->node->absence, entry.name, entry.length);
}

void on_list(struct request *request, int error, const uint8_t *body, size_t length) {
    struct handle *folder = handle_find(request->folder);
    if (!error && (length < 8 || !folder)) error = EIO;
    if (error) {
        reply_error(request->unique, error);
        return;
    }
    uint32_t is_last, told_ms;
    memcpy(&is_last, body, 4);
    memcpy(&told_ms, body + 4, 4);
    free(folder->entries);
    folder->entries = malloc(length);
    if (!folder->entries) abort();
    memcpy(folder->entries, body + 8, length - 8);
    folder->length = length - 8;
    folder->is_last = is_last;
    folder->asked_at = request->asked_at;
    folder->cursor = folder->first = request->offset > 2 ? request->offset - 2 : 0;
    folder->at = folder->count = 0;
    struct entry entry;
    for (size_t at = 0; entry_at(folder, at, &entry, &at);) folder->count++;
    if (told_ms && is_last && !folder->first) note_all_names(folder, told_ms);
    static uint8_t out[1 << 20];
    reply_bytes(request->unique, out, fill(request, folder, out));
}
