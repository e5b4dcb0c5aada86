#define _GNU_SOURCE
#include "table.h"
#include "absence.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKETS (1u << 16)

static struct {
    struct node *by_id[BUCKETS], *by_key[BUCKETS];
    struct name *names[BUCKETS];
    struct handle *handles[BUCKETS];
    uint64_t last_node, last_handle;
    struct node *root;
} all;

static uint64_t mixed(uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdull;
    return value ^ value >> 29;
}

static struct node **by_id(uint64_t id) {
    struct node **at = &all.by_id[id % BUCKETS];
    while (*at && (*at)->id != id) at = &(*at)->next_by_id;
    return at;
}

bool is_same_file(const struct attributes *one, const struct attributes *other) {
    return one->ino == other->ino && one->dev == other->dev && one->birth == other->birth &&
           (one->mode & S_IFMT) == (other->mode & S_IFMT);
}

static struct node **by_key(const struct attributes *attr) {
    struct node **at = &all.by_key[mixed(attr->ino * 31 + attr->dev) % BUCKETS];
    while (*at && !is_same_file(&(*at)->attr, attr)) at = &(*at)->next_by_key;
    return at;
}

static struct name **by_name(const struct node *parent, const char *name, size_t length) {
    uint64_t hash = parent->id;
    for (size_t i = 0; i < length; i++) hash = hash * 131 + (unsigned char)name[i];
    struct name **at = &all.names[mixed(hash) % BUCKETS];
    while (*at && ((*at)->parent != parent || (*at)->length != length || memcmp((*at)->text, name, length) != 0))
        at = &(*at)->next;
    return at;
}

static struct node *node_make(const struct attributes *attr) {
    struct node *node = calloc(1, sizeof *node);
    if (!node) abort();
    node->id = ++all.last_node;
    node->attr = *attr;
    node->version[0] = -1;
    *by_id(node->id) = node;
    struct node **at = by_key(attr);
    node->next_by_key = *at;
    *at = node;
    return node;
}

void table_set_up(void) {
    struct attributes attr = {.mode = S_IFDIR | 0555, .nlink = 2, .ino = 1};
    all.root = node_make(&attr); /* gets the number 1, which FUSE_ROOT_ID demands */
    all.root->refs = 1;
}

struct node *table_root(void) { return all.root; }
struct node *node_find(uint64_t id) { return *by_id(id); }

static void detach(struct node *node) {
    if (node->is_detached) return;
    node->is_detached = true;
    struct node **at = &all.by_key[mixed(node->attr.ino * 31 + node->attr.dev) % BUCKETS];
    while (*at && *at != node) at = &(*at)->next_by_key;
    if (*at) *at = node->next_by_key;
}

static void unlink_name(struct name *name) {
    struct name **at = by_name(name->parent, name->text, name->length);
    if (*at == name) *at = name->next;
    at = &name->node->names;
    while (*at != name) at = &(*at)->next_of_node;
    *at = name->next_of_node;
    struct node *parent = name->parent;
    free(name);
    node_release(parent);
}

static void free_if_unused(struct node *node) {
    if (node->lookups || node->refs) return;
    detach(node);
    *by_id(node->id) = node->next_by_id;
    node->refs = 1; /* while its parents may be freed */
    while (node->names) unlink_name(node->names);
    absence_free(&node->absence);
    free(node);
}

void node_hold(struct node *node) { node->refs++; }

void node_release(struct node *node) {
    node->refs--;
    free_if_unused(node);
}

void node_forget(struct node *node, uint64_t lookups) {
    node->lookups -= lookups < node->lookups ? lookups : node->lookups;
    free_if_unused(node);
}

struct node *name_find(struct node *parent, const char *name, size_t length) {
    struct name *found = *by_name(parent, name, length);
    return found ? found->node : NULL;
}

uint64_t name_entered_at(struct node *parent, const char *name, size_t length) {
    struct name *found = *by_name(parent, name, length);
    return found ? found->entered_at : 0;
}

struct node *node_at(const char *path, size_t length) {
    struct node *node = all.root;
    for (size_t at = 0, end; node && at < length; at = end + 1) {
        for (end = at; end < length && path[end] != '/';) end++;
        node = name_find(node, path + at, end - at);
    }
    return node;
}

void nodes_each(void (*visit)(struct node *node)) {
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct node *node = all.by_id[i]; node; node = node->next_by_id) visit(node);
}

static void name_remove(struct node *parent, const char *name, size_t length) {
    struct name *found = *by_name(parent, name, length);
    if (!found) return;
    struct node *node = found->node;
    node_hold(node);
    unlink_name(found);
    node_release(node);
}

void name_deleted(struct node *parent, const char *name, size_t length) {
    struct node *node = name_find(parent, name, length);
    if (!node) return;
    node_hold(node);
    name_remove(parent, name, length);
    if (S_ISDIR(node->attr.mode) || node->attr.nlink < 2) detach(node);
    if (S_ISDIR(node->attr.mode)) node->attr.nlink = 0;
    else if (node->attr.nlink) node->attr.nlink--;
    node_changed(node);
    node_release(node);
}

static void name_add(struct node *parent, const char *name, size_t length, struct node *node) {
    struct name *made = malloc(sizeof *made + length);
    if (!made) abort();
    *made = (struct name){.parent = parent, .node = node, .entered_at = ++tick, .length = (uint16_t)length};
    memcpy(made->text, name, length);
    made->next_of_node = node->names; /* the newest name first: it is the one most likely to be right */
    node->names = made;
    struct name **at = by_name(parent, name, length);
    made->next = *at;
    *at = made;
    node_hold(parent);
}

struct node *node_named(struct node *parent, const char *name, size_t length, const struct attributes *attr) {
    struct name *found = *by_name(parent, name, length);
    if (found && !found->node->is_detached && is_same_file(&found->node->attr, attr)) return found->node;
    if (found) name_remove(parent, name, length);
    struct node *node = *by_key(attr);
    if (!node) node = node_make(attr);
    if (S_ISDIR(attr->mode) && node->names) { /* it has one name: the host has moved it */
        while (node->names) unlink_name(node->names);
        absence_forget_all();
    }
    name_add(parent, name, length, node);
    return node;
}

void name_moved(struct node *from, const char *name, size_t length, struct node *to, const char *as, size_t as_length) {
    struct node *node = name_find(from, name, length), *replaced = name_find(to, as, as_length);
    if (node && node == replaced) return; /* two names of one file: the host has done nothing */
    if (replaced) name_deleted(to, as, as_length);
    if (!node) return;
    node_hold(node);
    name_remove(from, name, length);
    name_add(to, as, as_length, node);
    node_changed(node);
    node_release(node);
}

void name_exchanged(struct node *one, const char *name, size_t length, struct node *other, const char *as,
                    size_t as_length) {
    struct node *first = name_find(one, name, length), *second = name_find(other, as, as_length);
    if (first) node_hold(first);
    if (second) node_hold(second);
    name_remove(one, name, length);
    name_remove(other, as, as_length);
    if (first) name_add(other, as, as_length, first);
    if (second) name_add(one, name, length, second);
    if (first) node_changed(first), node_release(first);
    if (second) node_changed(second), node_release(second);
}

void node_update(struct node *node, const struct attributes *attr, uint64_t asked_at) {
    if (node->changed_at >= asked_at) return; /* they may be older than the change */
    node->attr = *attr;
    node->attr_until_ms = now_ms() + attr->valid_ms;
    node->updated_at = ++tick;
}

void node_changed(struct node *node) {
    node->changed_at = ++tick;
    node->attr_until_ms = 0;
}

long path_of(const struct node *node, const char *name, size_t length, char *path) {
    size_t at = PATH_LIMIT;
    if (name) {
        if (length > at) return -1;
        at -= length;
        memcpy(path + at, name, length);
    }
    while (node != all.root) {
        const struct name *own = node->names;
        if (!own || (size_t)own->length + 1 > at) return -1;
        if (at < PATH_LIMIT) path[--at] = '/';
        at -= own->length;
        memcpy(path + at, own->text, own->length);
        node = own->parent;
    }
    memmove(path, path + at, PATH_LIMIT - at);
    return (long)(PATH_LIMIT - at);
}

uint64_t handle_reserve(void) { return ++all.last_handle; }

static struct handle *add(uint64_t id, struct node *node, uint32_t flags, bool is_folder) {
    struct handle *handle = calloc(1, sizeof *handle);
    if (!handle) abort();
    handle->id = id;
    handle->node = node;
    handle->flags = flags;
    handle->is_folder = is_folder;
    handle->next_of_node = node->handles;
    node->handles = handle;
    struct handle **at = &all.handles[handle->id % BUCKETS];
    handle->next = *at;
    *at = handle;
    node_hold(node);
    return handle;
}

struct handle *handle_add(struct node *node, uint32_t flags, bool is_folder) {
    return add(handle_reserve(), node, flags, is_folder);
}

struct handle *handle_add_as(uint64_t id, struct node *node, uint32_t flags) { return add(id, node, flags, false); }

struct handle *handle_find(uint64_t id) {
    struct handle *handle = all.handles[id % BUCKETS];
    while (handle && handle->id != id) handle = handle->next;
    return handle;
}

void handle_remove(struct handle *handle) {
    struct handle **at = &all.handles[handle->id % BUCKETS];
    while (*at != handle) at = &(*at)->next;
    *at = handle->next;
    at = &handle->node->handles;
    while (*at != handle) at = &(*at)->next_of_node;
    *at = handle->next_of_node;
    struct node *node = handle->node;
    free(handle->entries);
    free(handle);
    node_release(node);
}

void handles_each(void (*visit)(struct handle *handle)) {
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct handle *handle = all.handles[i]; handle; handle = handle->next) visit(handle);
}

struct handle *handle_of(const struct node *node, bool for_writing) {
    struct handle *handle = node->handles;
    while (handle && (handle->is_folder || handle->is_lost || !handle->is_on_host ||
                      (for_writing && !(handle->flags & (OPEN_WRITE | OPEN_READ_WRITE)))))
        handle = handle->next_of_node;
    return handle;
}
